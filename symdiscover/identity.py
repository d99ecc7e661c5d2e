"""Deciding whether one real expression vanishes identically: proof, evidence, or a counterexample."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import sympy as sp

from symdiscover.budget import Deadline, call
from symdiscover.errors import BudgetExceeded
from symdiscover.symmetry import STRENGTH, Status

#: Expressions that would expand to more terms than this are not expanded.
EXPANDED_TERMS = 20_000
#: Digits of numerical evaluation, and the relative size below which a value counts as zero.
DIGITS, ZERO = 60, sp.Float("1e-40")
#: Random points of the numerical test.
POINTS = 24


@dataclass(frozen=True)
class Verdict:
    """What is known of "expression = 0": a status, how it was reached, and where it fails."""

    status: Status
    method: str
    residual: str = "0"
    counterexample: dict[str, str] = field(default_factory=dict)


def decide_zero(
    expression: sp.Expr, seconds: float = 10.0, seed: int = 0, conditions: Sequence[sp.Basic] = ()
) -> Verdict:
    """Decide whether an expression in real symbols is identically zero where it is defined.

    Tried in order: structural zero, a search for a counterexample in 60 digits, expansion, cancellation of the
    rational function, reduction modulo cos^2 + sin^2 = 1, simplification in bounded time. What none of them settles
    is ``identity-tested`` (rational functions at random rational points: Schwartz-Zippel) or ``numerical``.

    Parameters
    ----------
    expression:
        Free symbols are real; symbols declared positive are sampled positive.
    seconds:
        Time left for the steps that may not end.
    conditions:
        Relations that hold where the identity is claimed; points that break one are not sampled.

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
    if expression == 0:
        return Verdict("proved", "structure")
    deadline = Deadline(seconds)
    points = 0
    for point in sample_points(expression, seed, 3, conditions):
        value = _relative_value(expression, point)
        if value is None:
            continue
        points += 1
        if value > ZERO:
            return _refuted(expression, point)
    if expanded_terms(expression) <= EXPANDED_TERMS:
        expanded = sp.expand(expression)
        if expanded == 0:
            return Verdict("proved", "expand")
        reduced = reduce_circle(expanded)
        if reduced == 0:
            return Verdict("proved", "cos^2 + sin^2 = 1")
        for name, transform in _TRANSFORMS.items():
            if deadline.expired:
                break
            try:
                if call(transform, expression, seconds=deadline.left() / (1 if name == "simplify" else 2)) == 0:
                    return Verdict("proved", name)
            except BudgetExceeded:
                continue
    return _tested(expression, seed, conditions)


def _numerator(expression: sp.Expr) -> sp.Expr:
    numerator = sp.fraction(sp.together(expression))[0]
    return sp.expand(numerator) if expanded_terms(numerator) <= EXPANDED_TERMS else numerator


def _cancel(expression: sp.Expr) -> sp.Expr:
    return sp.cancel(sp.together(expression))


#: From the cheapest to the dearest; each ends or is ended.
_TRANSFORMS = {"common denominator": _numerator, "cancel": _cancel, "simplify": sp.simplify}


def _tested(expression: sp.Expr, seed: int, conditions: Sequence[sp.Basic]) -> Verdict:
    rational = expression.is_rational_function(*expression.free_symbols)
    agreed = 0
    for point in sample_points(expression, seed + 1, POINTS, conditions):
        value = _relative_value(expression, point)
        if value is None:
            continue
        if value > ZERO:
            return _refuted(expression, point)
        agreed += 1
    if not agreed:
        return Verdict("unchecked", "no sample point where it is real and finite", str(expression)[:200])
    if rational:
        return Verdict("identity-tested", f"{agreed} random rational points (Schwartz-Zippel)")
    return Verdict("numerical", f"{agreed} points in {DIGITS} digits")


def _refuted(expression: sp.Expr, point: dict[sp.Symbol, sp.Rational]) -> Verdict:
    residual = sp.N(expression.xreplace(point), 12)
    return Verdict("refuted", f"{DIGITS} digits", str(residual), {s.name: str(v) for s, v in point.items()})


def sample_points(
    expression: sp.Expr, seed: int, count: int, conditions: Sequence[sp.Basic] = ()
) -> Iterator[dict[sp.Symbol, sp.Rational]]:
    """Random rational points of sizes from 1e-2 to 1e3 that meet the conditions; twenty tries for each point."""
    rng = random.Random(seed)
    symbols = sorted(
        expression.free_symbols.union(*(c.free_symbols for c in conditions)), key=lambda symbol: symbol.name
    )
    yielded = 0
    for _ in range(20 * count):
        if yielded == count:
            return
        size = 10.0 ** rng.uniform(-2, 3) if rng.random() < 0.4 else 3.0
        point = {}
        for symbol in symbols:
            value = sp.Rational(rng.randint(-10_000, 10_000) or 1, rng.randint(2_000, 9_999)) * sp.Rational(
                max(1, round(size * 100)), 300
            )
            point[symbol] = abs(value) if symbol.is_positive else value
        if all(condition.xreplace(point) == sp.true for condition in conditions):
            yielded += 1
            yield point


def _relative_value(expression: sp.Expr, point: dict[sp.Symbol, sp.Rational]) -> sp.Float | None:
    """|value| over the sum of the sizes of its terms; None where it is not real and finite."""
    total, scale = sp.Float(0, DIGITS), sp.Float(0, DIGITS)
    for term in sp.Add.make_args(expression):
        value = sp.N(term.xreplace(point), DIGITS + 20)
        if not value.is_number or not value.is_real or not value.is_finite:
            return None
        total, scale = total + value, scale + abs(value)
    return abs(total) / scale if scale > 0 else sp.Float(0)


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
                lambda e, s=s, c=c, sign=sign: (sign * (c**2 - 1)) ** (int(e.exp) // 2) * s ** (int(e.exp) % 2),
            )
            if expanded_terms(expression) > EXPANDED_TERMS:
                return expression
            expression = sp.expand(expression)
    return expression


def weakest(statuses: Sequence[Status]) -> Status:
    """The weakest of several statuses."""
    return max(statuses, key=STRENGTH.index, default="proved")
