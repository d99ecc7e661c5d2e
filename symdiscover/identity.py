"""Deciding whether one real expression vanishes identically: proof, evidence, or a counterexample."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import mpmath
import sympy as sp
from sympy.core.relational import Relational

from symdiscover import normal_form
from symdiscover.budget import call
from symdiscover.errors import BudgetExceeded, SymmetryError
from symdiscover.rounding import evaluate_digits, evaluate_exact
from symdiscover.symmetry import STRENGTH, Status

#: Expressions that would expand to more terms than this are not expanded.
EXPANDED_TERMS = 20_000
#: A value is computed in `LOW` and in `HIGH` digits or more. What vanishes shrinks by their difference, less `MARGIN`;
#: what does not vanish agrees. Constants of extreme size add to `HIGH`: see `high_digits`.
LOW, HIGH, MARGIN = 80, 300, 60
#: Random points of the numerical test, and how many more beside each place where pieces meet.
POINTS, BESIDE = 24, 4
#: Places where pieces meet that are looked at.
PIECES = 24


@dataclass(frozen=True)
class Verdict:
    """What is known of "expression = 0": a status, how it was reached, and where it fails."""

    status: Status
    method: str
    residual: str = "0"
    counterexample: dict[str, str] = field(default_factory=dict)


Point = dict[sp.Symbol, sp.Rational]


def decide_zero(
    expression: sp.Expr,
    seconds: float = 10.0,
    seed: int = 0,
    conditions: Sequence[sp.Basic] = (),
    thorough: bool = True,
) -> Verdict:
    """Decide whether an expression in real symbols is identically zero where it is defined.

    Tried in order: structural zero, a search for a counterexample, expansion, reduction modulo cos^2 + sin^2 = 1,
    fractions of polynomials (`normal_form`), simplification in bounded time. What none of them settles
    is ``identity-tested`` (rational functions at random rational points, exactly: Schwartz-Zippel) or ``numerical``.

    Parameters
    ----------
    expression:
        Free symbols are real; symbols declared positive are sampled positive.
    seconds:
        For the simplification, which may not end.
    conditions:
        Relations that hold where the identity is claimed; points that break one are not sampled.
    thorough:
        Whether to simplify at all.

    Examples
    --------
    >>> x, t = sp.symbols("x t", real=True)
    >>> decide_zero((x + 1)**2 - x**2 - 2*x - 1).method
    'expand'
    >>> decide_zero(x*sp.sin(t)**2 + x*sp.cos(t)**2 - x).status
    'proved'
    >>> decide_zero(x**2 - x).status
    'refuted'
    """
    expression = sp.sympify(expression, strict=True)
    if conditions and expression.has(sp.Piecewise):
        given: dict[sp.Basic, sp.Basic] = dict.fromkeys(conditions, sp.true)
        expression = expression.xreplace(given | {sp.Not(condition): sp.false for condition in conditions})
    if expression == 0:
        return Verdict("proved", "structure")
    for point in sample_points(expression, seed, 3, conditions):
        if vanishes(expression, point) is False:
            return _refuted(expression, point)
    for name, is_zero in _PROOFS.items():
        try:
            if is_zero(expression):
                return Verdict("proved", name)
        except (ArithmeticError, LookupError, NotImplementedError, RecursionError, TypeError, ValueError):
            continue  # SymPy gives up on an expression in many ways, and none of them decides anything
    tested = _tested(expression, seed, conditions)
    if thorough and tested.status != "refuted" and simplifies_to_zero(expression, seconds):
        return Verdict("proved", "simplify")
    return tested


def _by_expansion(expression: sp.Expr) -> bool:
    return bool(expanded_terms(expression) <= EXPANDED_TERMS and sp.expand(expression) == 0)


def _by_circle(expression: sp.Expr) -> bool:
    return bool(expanded_terms(expression) <= EXPANDED_TERMS and reduce_circle(sp.expand(expression)) == 0)


def _by_common_factor(expression: sp.Expr) -> bool:
    factored = sp.factor_terms(expression)
    return any(normal_form.is_zero(factor) for factor in sp.Mul.make_args(factored) if factor.is_Add)


#: From the cheapest to the dearest; each ends.
_PROOFS: dict[str, Callable[[sp.Expr], bool]] = {
    "expand": _by_expansion,
    "cos^2 + sin^2 = 1": _by_circle,
    "common factor": _by_common_factor,
    "fractions of polynomials": normal_form.is_zero,
}


def simplifies_to_zero(expression: sp.Expr, seconds: float) -> bool:
    """Whether SymPy's simplification ends in that time, and in zero."""
    try:
        return bool(call(sp.simplify, expression, seconds=seconds) == 0)
    except BudgetExceeded:
        return False
    except Exception:  # SymPy's simplification fails in many ways; that decides nothing
        return False


def _tested(expression: sp.Expr, seed: int, conditions: Sequence[sp.Basic]) -> Verdict:
    agreed = 0
    for point in sample_points(expression, seed + 1, POINTS, conditions):
        zero = vanishes(expression, point)
        if zero is False:
            return _refuted(expression, point)
        agreed += zero is True
    if not agreed:
        return Verdict("unchecked", "no sample point where it is real and finite", str(expression)[:200])
    if _is_rational(expression):
        return Verdict("identity-tested", f"{agreed} random rational points, exactly (Schwartz-Zippel)")
    return Verdict("numerical", f"{agreed} points in {LOW} and {high_digits(expression)} digits")


def _is_rational(expression: sp.Expr) -> bool:
    """Whether it is a rational function over the rational numbers: then its values are computed exactly."""
    if expression.is_Pow:
        return bool(expression.exp.is_Integer) and _is_rational(expression.base)
    if expression.is_Add or expression.is_Mul:
        return all(map(_is_rational, expression.args))
    return bool(expression.is_Symbol or expression.is_Rational)


def _refuted(expression: sp.Expr, point: Point) -> Verdict:
    value = value_at(expression, point, 40)
    shown = "not zero" if value is None else mpmath.nstr(value, 12)
    return Verdict("refuted", "counterexample", shown, {s.name: str(v) for s, v in point.items()})


def value_at(expression: sp.Expr, point: Point, digits: int) -> Any:
    """The value as an mpf computed in so many digits; None where it is not real and finite."""
    with mpmath.workdps(digits):
        try:
            values = {s: mpmath.mpf(int(v.p)) / int(v.q) for s, v in point.items()}
            value = evaluate_digits(expression, values)
        except (ArithmeticError, LookupError, SymmetryError, TypeError, ValueError):
            return None
        return value if isinstance(value, mpmath.mpf) and mpmath.isfinite(value) else None


def vanishes(expression: sp.Expr, point: Point) -> bool | None:
    """Whether the expression is zero at a point; None where it is not real and finite.

    Exactly for rational functions. Others are computed in two precisions: no tolerance is involved, so that neither
    tiny nor huge values mislead.

    Examples
    --------
    >>> x = sp.Symbol("x", real=True)
    >>> at = {x: sp.Rational(1, 3)}
    >>> vanishes(sp.sin(x)**2 + sp.cos(x)**2 - 1, at), vanishes(sp.exp(x + sp.Rational(1, 10**90)) - sp.exp(x), at)
    (True, False)
    """
    try:
        return not evaluate_exact(expression, {s: Fraction(int(v.p), int(v.q)) for s, v in point.items()})
    except TypeError:
        pass
    except (ArithmeticError, SymmetryError):
        return None
    digits = high_digits(expression)
    low, high = value_at(expression, point, LOW), value_at(expression, point, digits)
    if low is None or high is None:
        return None
    if low == 0:
        terms = [value_at(term, point, LOW) for term in sp.Add.make_args(expression)]
        low = sum((abs(term) for term in terms if term is not None), mpmath.mpf(0))
    return shrinks(low, high, digits)


def shrinks(low: Any, high: Any, digits: int) -> bool:
    """Whether a value in `LOW` digits (or the size of its terms) and in `digits` digits are rounding of zero."""
    return bool(abs(high) <= abs(low) * mpmath.mpf(10) ** (LOW + MARGIN - digits))


def high_digits(expression: sp.Basic) -> int:
    """How many digits tell a value from zero: more than all powers of extreme constants could hide together.

    Examples
    --------
    >>> x = sp.Symbol("x", real=True)
    >>> high_digits(sp.sin(x) + 2), high_digits(sp.sin(x) + sp.Rational(1, 10**200) * x**2)
    (300, 702)
    """
    sizes = [max(len(str(abs(int(r.p)))), len(str(int(r.q)))) for r in expression.atoms(sp.Rational)]
    extreme = sum(size for size in sizes if size > 20)
    powers = [abs(int(p.exp)) for p in expression.atoms(sp.Pow) if p.exp.is_Integer]
    return HIGH + extreme * max([1, *powers])


def sample_points(
    expression: sp.Expr, seed: int, count: int, conditions: Sequence[sp.Basic] = ()
) -> Iterator[Point]:
    """Random rational points that meet the conditions: of sizes from 1e-2 to 1e3, and beside the seams of pieces.

    Of each kind twenty tries are made for each point.
    """
    rng = random.Random(seed)
    symbols = sorted(
        expression.free_symbols.union(*(c.free_symbols for c in conditions)), key=lambda symbol: symbol.name
    )
    seams = _seams([expression, *conditions])
    generic = (_random_point(symbols, rng) for _ in range(20 * count))
    tries = itertools.product(range(10 * BESIDE), seams)
    beside = (near for _, seam in tries for near in _beside(seam, _random_point(symbols, rng), rng))
    for points, wanted in ((generic, count), (beside, BESIDE * len(seams))):
        yield from itertools.islice((p for p in points if _meets(p, conditions)), wanted)


def _meets(point: Point, conditions: Sequence[sp.Basic]) -> bool:
    try:
        return all(condition.xreplace(point) == sp.true for condition in conditions)
    except TypeError:  # no comparison: a side is no real number there
        return False


def _random_point(symbols: Sequence[sp.Symbol], rng: random.Random) -> Point:
    size = 10.0 ** rng.uniform(-2, 3) if rng.random() < 0.4 else 3.0
    point = {}
    for symbol in symbols:
        value = sp.Rational(rng.randint(-10_000, 10_000) or 1, rng.randint(2_000, 9_999)) * sp.Rational(
            max(1, round(size * 100)), 300
        )
        point[symbol] = abs(value) if symbol.is_positive else value
    return point


def _seams(expressions: Sequence[sp.Basic]) -> list[sp.Expr]:
    """Expressions whose sign decides which piece of the given ones applies."""
    seams: dict[sp.Expr, None] = {}
    for node in itertools.chain.from_iterable(map(sp.preorder_traversal, expressions)):
        if isinstance(node, (sp.Abs, sp.sign, sp.Heaviside, sp.floor, sp.ceiling)):
            seams[node.args[0]] = None
        elif isinstance(node, (sp.Max, sp.Min)):
            seams.update(dict.fromkeys(a - b for a, b in itertools.combinations(node.args, 2)))
        elif isinstance(node, Relational):
            seams[node.lhs - node.rhs] = None
    return [seam for seam in seams if seam.free_symbols][:PIECES]


def _beside(seam: sp.Expr, point: Point, rng: random.Random) -> Iterator[Point]:
    """The point moved along one coordinate to both sides of the zero set of the seam, by a random small distance."""
    symbol = rng.choice(sorted(seam.free_symbols, key=lambda s: s.name))
    along = seam.xreplace({s: v for s, v in point.items() if s != symbol})
    root = _root(along, symbol, rng)
    if root is None:
        return
    distance = sp.Rational(rng.randint(1, 9), 10 ** rng.randint(1, 12))
    distance *= abs(root) if root and rng.random() < 0.5 else 1 + abs(root)
    for value in (root - distance, root + distance):
        if value > 0 or not symbol.is_positive:
            yield {**point, symbol: value}


def _root(along: sp.Expr, symbol: sp.Symbol, rng: random.Random) -> sp.Rational | None:
    """A zero of a function of one variable: exact where it is linear, else by bisection from a random change of sign."""
    if along.is_polynomial(symbol) and sp.degree(along, symbol) == 1:
        slope = along.coeff(symbol, 1)
        root = sp.cancel(symbol - along / slope) if slope else None
        return root if root is not None and root.is_Rational else None
    grid = sorted(
        {s * sp.Rational(rng.randint(1, 99), 10) * sp.Integer(10) ** k for s in (-1, 1) for k in range(-6, 7)}
        | {sp.Integer(0)}
    )
    values = [(x, value_at(along, {symbol: x}, 30)) for x in grid]
    known = [(x, value) for x, value in values if value is not None]
    changes = [(a, b) for (a, u), (b, v) in itertools.pairwise(known) if (u > 0) != (v > 0)]
    if not changes:
        return None
    low, high = rng.choice(changes)
    rising = (value_at(along, {symbol: high}, 30) or 0) > 0
    for _ in range(50):
        middle = (low + high) / 2
        value = value_at(along, {symbol: middle}, 30)
        if value is None:
            return None
        low, high = (low, middle) if (value > 0) == rising else (middle, high)
    return high


def expanded_terms(expression: sp.Expr) -> float:
    """An upper bound for the number of terms of the expanded expression, without expanding it."""
    if expression.is_Add:
        return sum(expanded_terms(argument) for argument in expression.args)
    if expression.is_Mul:
        return math.prod(expanded_terms(argument) for argument in expression.args)
    if expression.is_Pow and expression.exp.is_Integer and expression.base.is_Add:
        terms, power = expanded_terms(expression.base), abs(int(expression.exp))
        if terms > EXPANDED_TERMS or power * math.log(max(terms, 2)) > 300:
            return math.inf
        return math.comb(int(terms) + power - 1, power)
    return max((expanded_terms(argument) for argument in expression.args), default=1)


def reduce_circle(expression: sp.Expr) -> sp.Expr:
    """Replace even powers of sines and hyperbolic sines: s^2 = 1 - c^2, sinh^2 = cosh^2 - 1; expanded."""
    for sine, cosine, sign in ((sp.sin, sp.cos, -1), (sp.sinh, sp.cosh, 1)):
        for call_ in sorted(expression.atoms(sine), key=str):
            s, c = call_, cosine(call_.args[0])
            expression = expression.replace(
                lambda e, s=s: e.is_Pow and e.base == s and e.exp.is_Integer and e.exp >= 2,
                lambda e, s=s, c=c, sign=sign: (
                    (sign * (c**2 - 1)) ** (int(e.exp) // 2) * s ** (int(e.exp) % 2)
                ),
            )
            if expanded_terms(expression) > EXPANDED_TERMS:
                return expression
            expression = sp.expand(expression)
    return expression


def weakest(statuses: Sequence[Status]) -> Status:
    """The weakest of several statuses."""
    return max(statuses, key=STRENGTH.index, default="proved")
