"""One analytic formula in `Z` on an open interval: whether it is zero there, its sign, its zeros, its inverse."""

from __future__ import annotations

import mpmath
import sympy as sp
from sympy.simplify.fu import TR8

from symdiscover import normal_form
from symdiscover.enclosure import Enclosure
from symdiscover.errors import SymmetryError
from symdiscover.identity import value_at

#: The argument of every activation expression.
Z = sp.Symbol("z", real=True)
#: The distance from the end of an interval; positive, so that SymPy may take roots and signs.
_P = sp.Symbol("p", positive=True)

#: Functions that are one-to-one and analytic where they are real; SymPy knows their inverses.
INJECTIVE = (sp.exp, sp.log, sp.tanh, sp.atanh, sp.sinh, sp.asinh, sp.atan, sp.erf)
ANALYTIC = (*INJECTIVE, sp.sin, sp.cos, sp.cosh, sp.erfc)
#: Values of formulas at small numbers, in 60 digits, that are larger than this are no rounding of 0.
_ROUNDING = mpmath.mpf("1e-40")
#: What SymPy raises where it gives up on an expression; none of it decides anything.
GIVEN_UP = (ArithmeticError, LookupError, NotImplementedError, RecursionError, TypeError, ValueError)


class Undecided(Exception):
    """The real line could not be split: a zero or a sign is not known."""


def inside(expression: sp.Expr, low: sp.Expr, high: sp.Expr) -> sp.Expr:
    """The expression on an open interval, in a positive symbol where the interval has an end."""
    if high == sp.oo:
        return expression if low == -sp.oo else expression.xreplace({Z: low + _P})
    if low == -sp.oo:
        return expression.xreplace({Z: high - _P})
    return expression.xreplace({Z: (low + high * _P) / (1 + _P)})


def zero_between(branch: sp.Expr, low: sp.Expr, high: sp.Expr) -> str | None:
    """The method that proves one analytic formula to be zero on an open interval; None where none does."""
    formula = _in_exponentials(inside(branch, low, high), hyperbolic=False)
    if formula == 0:
        return "structure"
    if is_zero(formula) or is_zero(_in_exponentials(formula, hyperbolic=True)):
        return "fractions of polynomials"
    for symbol, point in ((Z, 0), (_P, 1)):
        slope = _in_exponentials(sp.diff(formula, symbol), hyperbolic=True)
        if formula.has(symbol) and is_zero(slope) and is_zero(formula.subs(symbol, point)):
            return "derivative 0 and value 0 at a point"
    return None


def is_zero(expression: sp.Expr) -> bool:
    """Whether it is proved to be zero, exactly and in bounded time; a value that is not 0 ends the attempt."""
    point = {s: sp.Rational(17 + 2 * i, 13) for i, s in enumerate(sorted(expression.free_symbols, key=str))}
    value = value_at(expression, point, 60)
    if value is not None and abs(value) > _ROUNDING:
        return False
    try:
        return expression == 0 or normal_form.is_zero(expression)
    except GIVEN_UP:
        return False


def sign_between(formula: sp.Expr, low: sp.Expr, high: sp.Expr) -> int:
    """1 where the formula is proved to be nowhere negative on the interval, -1 nowhere positive, 0: not known.

    Examples
    --------
    >>> sign_between(1 - sp.tanh(Z)**2, -sp.oo, sp.oo), sign_between(Z, -sp.oo, 0), sign_between(Z**3 - Z, 0, sp.oo)
    (1, -1, 0)
    """
    formula = inside(formula, low, high)
    for form in (formula, _factored(_in_exponentials(formula, hyperbolic=True)), TR8(formula)):
        if form.is_nonnegative or form.is_nonpositive:
            return 1 if form.is_nonnegative else -1
        try:
            enclosed = Enclosure()(form)
        except SymmetryError:
            continue
        if enclosed.low >= 0 or enclosed.high <= 0:
            return 1 if enclosed.low >= 0 else -1
    return 0


def sampled_sign(seam: sp.Expr, low: sp.Expr, high: sp.Expr) -> int:
    """The sign of what has no zero between: that at one point."""
    if low == -sp.oo:
        point = sp.Integer(-1) if high == sp.oo else sp.floor(high) - 1
    else:
        point = sp.floor(low) + 2 if high == sp.oo else sp.Rational(sp.N((low + high) / 2, 30))
    constants = {symbol: sp.Integer(1) for symbol in seam.free_symbols - {Z}}
    value = value_at(seam, {**constants, Z: point}, 50)
    if value is None or abs(value) < _ROUNDING:
        raise Undecided
    return 1 if value > 0 else -1


def zeros(seam: sp.Expr, low: sp.Expr, high: sp.Expr) -> list[sp.Expr]:
    """All zeros of a formula strictly inside an interval, in order."""
    if not seam.has(Z):
        return []
    roots = {root for root in _all_zeros(seam, low, high) if low < root < high}
    return sorted(roots, key=lambda root: sp.N(root, 30))


def unwind(formula: sp.Expr, value: sp.Expr) -> list[sp.Expr]:
    """Candidates for the z at which an analytic formula in `Z` takes a value, by undoing one operation after another.

    Examples
    --------
    >>> y = sp.Symbol("y", positive=True)
    >>> unwind(2*sp.tanh(Z) - 1, y), unwind(Z/(1 + Z), y)
    ([atanh(y/2 + 1/2)], [y/(1 - y)])
    """
    if formula == Z:
        return [value]
    varying = [argument for argument in formula.args if argument.has(Z)]
    if len(varying) != 1:
        return _unwind_fraction(formula, value)
    (inner,) = varying
    if formula.is_Add:
        return unwind(inner, value - (formula - inner))
    if formula.is_Mul:
        factor = formula / inner
        return unwind(inner, value / factor) if factor.is_nonzero else []
    if isinstance(formula, INJECTIVE):
        return unwind(inner, sp.log(value) if isinstance(formula, sp.exp) else formula.inverse()(value))
    if not formula.is_Pow:
        return []
    if inner == formula.exp:
        return unwind(inner, sp.log(value) / sp.log(formula.base)) if formula.base.is_positive else []
    exponent = formula.exp
    if not exponent.is_Rational:
        return []
    if exponent.q == 1 and exponent.p % 2:
        root = value**exponent if abs(exponent) == 1 else sp.sign(value) * sp.Abs(value) ** (1 / exponent)
        return unwind(inner, root)
    root = value ** (1 / exponent)
    return unwind(inner, root) + (unwind(inner, -root) if exponent.q == 1 else [])


def _unwind_fraction(formula: sp.Expr, value: sp.Expr) -> list[sp.Expr]:
    """For fractions of polynomials in z, or in one exponential, of degree at most two."""
    w = sp.Dummy(positive=True)
    formula, rate = _one_exponential(_in_exponentials(formula, hyperbolic=True), Z, w)
    unknown = w if rate else Z
    if formula.has(Z if rate else w) or not formula.is_rational_function(unknown):
        return []
    numerator = sp.numer(sp.together(formula - value))
    equation = sp.Poly(numerator, unknown) if numerator.is_polynomial(unknown) else None
    if equation is None or not 1 <= equation.degree() <= 2:
        return []
    a, b, c = (equation.coeff_monomial(unknown**k) for k in (2, 1, 0))
    if a == 0:
        roots = [-c / b]
    else:
        roots = [(-b + s * sp.sqrt(sp.factor(b**2 - 4 * a * c))) / (2 * a) for s in (1, -1)]
    return [sp.log(root) / rate for root in roots] if rate else roots


def _one_exponential(formula: sp.Expr, variable: sp.Symbol, w: sp.Symbol) -> tuple[sp.Expr, sp.Expr | None]:
    """The formula with w for the exponential e^(rate z) of which all of its exponentials are powers."""
    rates = {sp.diff(e.exp, variable) for e in formula.atoms(sp.exp) if e.has(variable)}
    if not rates or not all(rate.is_number for rate in rates):
        return formula, None
    first = abs(min(rates, key=abs))
    ratios = {rate: sp.cancel(rate / first) for rate in rates}
    if not all(ratio.is_Rational for ratio in ratios.values()):
        return formula, None
    unit = first / sp.ilcm(1, *[ratio.q for ratio in ratios.values()])
    return formula.replace(
        lambda e: isinstance(e, sp.exp) and e.has(variable),
        lambda e: sp.exp(e.exp.subs(variable, 0)) * w ** sp.cancel(sp.diff(e.exp, variable) / unit),
    ), unit


def _factored(formula: sp.Expr) -> sp.Expr:
    """As a product, with a positive symbol for the exponential in it, where that is a small fraction."""
    for variable in (Z, _P):
        formula, _ = _one_exponential(formula, variable, sp.Dummy(positive=True))
    try:
        return sp.factor(sp.together(formula))
    except GIVEN_UP:
        return formula


def _in_exponentials(formula: sp.Expr, hyperbolic: bool) -> sp.Expr:
    """With e^(u log b) for b^u, and with exponentials for hyperbolic functions."""
    formula = formula.replace(
        lambda e: e.is_Pow and e.base.is_number and e.base.is_positive and not e.exp.is_number,
        lambda e: sp.exp(e.exp * sp.log(e.base)),
    )
    return formula.rewrite([sp.sinh, sp.cosh, sp.tanh], sp.exp) if hyperbolic else formula


def _all_zeros(seam: sp.Expr, low: sp.Expr, high: sp.Expr) -> list[sp.Expr]:
    within = inside(seam, low, high)
    if within.is_nonzero or (within.is_real and (within.is_positive or within.is_negative)):
        return []
    if seam.is_Mul:
        return [root for factor in seam.args if factor.has(Z) for root in _all_zeros(factor, low, high)]
    if seam.is_Pow and seam.base.has(Z) and not seam.exp.has(Z):
        return [] if seam.exp.is_negative else _all_zeros(seam.base, low, high)
    if seam.is_rational_function(Z):
        return _rational_zeros(seam, low, high)
    try:
        enclosed = Enclosure()(within)
        if enclosed.low > 0 or enclosed.high < 0:
            return []
    except SymmetryError:
        pass
    roots = unwind(seam, sp.S.Zero) if _one_to_one(seam) else []
    if len(roots) != 1 or not roots[0].is_number or roots[0].is_real is None:
        raise Undecided
    return [root for root in roots if root.is_real]


def _rational_zeros(seam: sp.Expr, low: sp.Expr, high: sp.Expr) -> list[sp.Expr]:
    numerator = sp.numer(sp.cancel(sp.together(seam)))
    if (numerator.free_symbols - {Z}) and not numerator.is_Mul:
        factored = sp.factor(numerator)
        if factored.is_Mul:
            return _all_zeros(factored, low, high)
        if factored != Z:
            raise Undecided
    polynomial = sp.Poly(numerator, Z)
    roots = sp.roots(polynomial)
    if sum(roots.values()) != polynomial.degree() or any(root.is_real is None for root in roots):
        raise Undecided
    real = [root for root in roots if root.is_real]
    exact = polynomial.get_domain().is_QQ or polynomial.get_domain().is_ZZ
    if exact and polynomial.sqf_part().count_roots() != len(
        real
    ):  # real ones are written with i from degree 3
        raise Undecided
    return real


def _one_to_one(formula: sp.Expr) -> bool:
    """Whether z stands in it once, under functions that are one-to-one."""
    while formula != Z:
        varying = [argument for argument in formula.args if argument.has(Z)]
        if len(varying) != 1 or not (formula.is_Add or formula.is_Mul or isinstance(formula, INJECTIVE)):
            return False
        (formula,) = varying
    return True
