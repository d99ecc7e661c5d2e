"""A function of one real variable, piece by piece: where its pieces meet, its formula on each, its value between.

Kinks are the zeros of what decides a case: arguments of Abs, Max, Min, sign and Heaviside, conditions of Piecewise,
and arguments at which a logarithm, a root or a quotient ends. Between two of them the function is one analytic
formula, so an identity of formulas proves an identity of functions there.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import sympy as sp
from sympy.core.relational import Relational

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
_ANALYTIC = (*INJECTIVE, sp.sin, sp.cos, sp.cosh, sp.erfc)
_CASES = (sp.Abs, sp.sign, sp.Heaviside, sp.Max, sp.Min)
#: What SymPy raises where it gives up on an expression; none of it decides anything.
GIVEN_UP = (ArithmeticError, LookupError, NotImplementedError, RecursionError, TypeError, ValueError)


class Undecided(Exception):
    """The real line could not be split: a zero or a sign is not known."""


@dataclass(frozen=True)
class Pieces:
    """`branches[i]` holds between `kinks[i - 1]` and `kinks[i]`, `values[i]` at `kinks[i]`; None: not real there."""

    kinks: tuple[sp.Expr, ...]
    branches: tuple[sp.Expr | None, ...]
    values: tuple[sp.Expr | None, ...]
    low: sp.Expr = -sp.oo
    high: sp.Expr = sp.oo

    def intervals(self) -> Iterator[tuple[sp.Expr, sp.Expr, sp.Expr | None]]:
        """Each open interval and its formula, from left to right."""
        ends = (self.low, *self.kinks, self.high)
        for (low, high), branch in zip(itertools.pairwise(ends), self.branches, strict=True):
            yield low, high, branch

    @property
    def domain(self) -> sp.Set:
        """Where the function is real and finite."""
        parts = [sp.Interval.open(low, high) for low, high, branch in self.intervals() if branch is not None]
        points = [k for k, value in zip(self.kinks, self.values, strict=True) if value is not None]
        return sp.Union(*parts, sp.FiniteSet(*points))


def split(expression: sp.Expr, low: sp.Expr = -sp.oo, high: sp.Expr = sp.oo) -> Pieces:
    """The pieces of an expression in `Z` on an open interval; kinks across which one formula holds are left out.

    Raises
    ------
    Undecided
        If a kink cannot be found exactly, there are infinitely many, or a function is not known to be analytic.

    Examples
    --------
    >>> split(sp.Max(Z, 0) + sp.Abs(Z - 1)).branches
    (1 - z, 1, 2*z - 1)
    >>> split(sp.log(Z)).domain
    Interval.open(0, oo)
    """
    parts: list[tuple[sp.Expr, sp.Expr | None]] = []
    for _, end, branch in _parts(expression, low, high, frozenset()):
        parts.append((end, branch))
    kinks: list[sp.Expr] = []
    branches, values = [parts[0][1]], []
    for (kink, _), (_, right) in itertools.pairwise(parts):
        value, left = _value(expression, kink), branches[-1]
        if not _continues(left, value, right, kink):
            kinks.append(kink)
            values.append(value)
            branches.append(right)
    return Pieces(tuple(kinks), tuple(branches), tuple(values), low, high)


def inside(expression: sp.Expr, low: sp.Expr, high: sp.Expr) -> sp.Expr:
    """The expression on an open interval, in a positive symbol where the interval has an end."""
    if high == sp.oo:
        return expression if low == -sp.oo else expression.xreplace({Z: low + _P})
    if low == -sp.oo:
        return expression.xreplace({Z: high - _P})
    return expression.xreplace({Z: (low + high * _P) / (1 + _P)})


def vanishes(
    expression: sp.Expr, low: sp.Expr = -sp.oo, high: sp.Expr = sp.oo, partial: bool = False
) -> str | None:
    """How an expression in `Z` is proved to be zero on an open interval, piece by piece; None: it is not proved.

    With `partial`, points at which it is not real are passed over.

    Examples
    --------
    >>> vanishes(sp.Max(Z, 0) - sp.Max(-Z, 0) - Z)
    'structure for all z'
    >>> vanishes(sp.Max(Z, 0) + sp.Max(Z - 1, 0) - sp.Max(2*Z - 1, 0)) is None
    True
    """
    if expression == 0:
        return _said("structure", low, high)
    try:
        pieces = split(expression, low, high)
    except Undecided:
        return None
    said = []
    for start, end, branch in pieces.intervals():
        if branch is None and partial:
            continue
        method = None if branch is None else zero_between(branch, start, end)
        if method is None:
            return None
        said.append(_said(method, start, end))
    for kink, value in zip(pieces.kinks, pieces.values, strict=True):
        if value is None and partial:
            continue
        if value is None or not is_zero(value):
            return None
        said.append(f"value at z = {kink}")
    return "; ".join(said) or None


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
    """Whether it is proved to be zero, exactly and in bounded time."""
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
    for form in (formula, _factored(_in_exponentials(formula, hyperbolic=True))):
        if form.is_nonnegative or form.is_nonpositive:
            return 1 if form.is_nonnegative else -1
        try:
            enclosed = Enclosure()(form)
        except SymmetryError:
            continue
        if enclosed.low >= 0 or enclosed.high <= 0:
            return 1 if enclosed.low >= 0 else -1
    return 0


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


def _one_exponential(
    formula: sp.Expr, variable: sp.Symbol, w: sp.Symbol
) -> tuple[sp.Expr, sp.Expr | None]:
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


def _said(method: str, low: sp.Expr, high: sp.Expr) -> str:
    if low == -sp.oo:
        return f"{method} for all z" if high == sp.oo else f"{method} on z < {high}"
    return f"{method} on z > {low}" if high == sp.oo else f"{method} on {low} < z < {high}"


def _value(expression: sp.Expr, point: sp.Expr) -> sp.Expr | None:
    value = expression.subs(Z, point)
    if value.has(sp.nan, sp.zoo, sp.oo, -sp.oo) or value.is_real is False:
        return None
    if not value.is_real:
        raise Undecided
    return value


def _continues(
    left: sp.Expr | None, value: sp.Expr | None, right: sp.Expr | None, kink: sp.Expr
) -> bool:
    """Whether one formula holds on both sides of a kink and at it."""
    if left is None or value is None or right is None:
        return left is None and value is None and right is None
    return is_zero(left - right) and is_zero(left.subs(Z, kink) - value)


def _parts(
    expression: sp.Expr, low: sp.Expr, high: sp.Expr, settled: frozenset[sp.Basic]
) -> Iterator[tuple[sp.Expr, sp.Expr, sp.Expr | None]]:
    """The pieces one case after another; `settled` are the nodes that are real on this interval as they stand."""
    node = _open_case(expression, settled)
    if node is None:
        yield low, high, expression
        return
    if isinstance(node, sp.Max | sp.Min):
        seam = node.args[0] - node.args[1]
    elif isinstance(node, Relational):
        seam = node.lhs - node.rhs
    else:
        argument = node.args[0]
        seam = (1 - argument) * (1 + argument) if isinstance(node, sp.atanh) else argument
    scale, seam = sp.factor_terms(seam).as_independent(Z, as_Add=False)
    for start, end in itertools.pairwise((low, *_zeros(seam, low, high), high)):
        chosen = _chosen(node, scale, seam, _sampled_sign(seam, start, end))
        if chosen is None:
            yield start, end, None
        elif chosen == node:
            yield from _parts(expression, start, end, settled | {node})
        else:
            yield from _parts(expression.xreplace({node: chosen}), start, end, settled)


def _open_case(expression: sp.Basic, settled: frozenset[sp.Basic]) -> sp.Basic | None:
    """The next node whose case is not decided. Conditions come first: a branch not taken need not be real."""
    pieces = next((e for e in sp.preorder_traversal(expression) if isinstance(e, sp.Piecewise)), None)
    if pieces is not None:
        relations = [r for _, condition in pieces.args for r in condition.atoms(Relational) if r.has(Z)]
        if not relations:
            raise Undecided  # a condition on constants
        relation = min(relations, key=sp.default_sort_key)
        return _open_case(relation.lhs, settled) or _open_case(relation.rhs, settled) or relation
    for node in sp.postorder_traversal(expression):
        if not node.args or not node.has(Z) or node in settled or node.is_Add or node.is_Mul:
            continue
        if isinstance(node, (*_CASES, sp.log, sp.atanh)):
            return node
        if node.is_Pow and not (node.exp.is_Integer and node.exp > 0):
            if node.base.has(Z):
                return node
            if not node.base.is_positive:
                raise Undecided
        elif not node.is_Pow and not isinstance(node, _ANALYTIC):
            raise Undecided
    return None


def _chosen(node: sp.Basic, scale: sp.Expr, seam: sp.Expr, sign: int) -> sp.Basic | None:
    """What a node is where scale * seam decides its case and the seam has this sign; None: not real."""
    size, total = sp.Abs(scale) * sign * seam, sp.sign(scale) * sign
    if isinstance(node, sp.Abs | sp.sign):
        return size if isinstance(node, sp.Abs) else total
    if isinstance(node, sp.Max | sp.Min):
        first, second, *rest = node.args
        if total.is_number:
            kept = first if (total > 0) == isinstance(node, sp.Max) else second
        else:
            kept = (first + second + (size if isinstance(node, sp.Max) else -size)) / 2
        return node.func(kept, *rest) if rest else kept
    if not total.is_number:
        raise Undecided
    if isinstance(node, sp.Heaviside):
        return sp.Integer(int(total > 0))
    if isinstance(node, Relational):
        if isinstance(node, sp.Eq | sp.Ne):
            return sp.false if isinstance(node, sp.Eq) else sp.true
        return sp.true if (total > 0) == isinstance(node, sp.Gt | sp.Ge) else sp.false
    if node.is_Pow and node.exp.is_Integer:
        return node
    return node if total > 0 else None


def _sampled_sign(seam: sp.Expr, low: sp.Expr, high: sp.Expr) -> int:
    """The sign of what has no zero between: that at one point."""
    if low == -sp.oo:
        point = sp.Integer(-1) if high == sp.oo else sp.floor(high) - 1
    else:
        point = sp.floor(low) + 2 if high == sp.oo else sp.Rational(sp.N((low + high) / 2, 30))
    constants = {symbol: sp.Integer(1) for symbol in seam.free_symbols - {Z}}
    value = value_at(seam, {**constants, Z: point}, 50)
    if value is None or abs(value) < sp.Float("1e-40"):
        raise Undecided
    return 1 if value > 0 else -1


def _zeros(seam: sp.Expr, low: sp.Expr, high: sp.Expr) -> list[sp.Expr]:
    """All zeros of a formula strictly inside an interval, in order."""
    if not seam.has(Z):
        return []
    roots = {root for root in _all_zeros(seam, low, high) if low < root < high}
    return sorted(roots, key=lambda root: sp.N(root, 30))


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
    return [root for root in roots if root.is_real]


def _one_to_one(formula: sp.Expr) -> bool:
    """Whether z stands in it once, under functions that are one-to-one."""
    while formula != Z:
        varying = [argument for argument in formula.args if argument.has(Z)]
        if len(varying) != 1 or not (formula.is_Add or formula.is_Mul or isinstance(formula, INJECTIVE)):
            return False
        (formula,) = varying
    return True
