"""Evaluation in other arithmetics: exact, in many digits, and in float64 with a bound that holds and is not vacuous."""

from __future__ import annotations

import math
from fractions import Fraction

import hypothesis.strategies as st
import mpmath
import pytest
import sympy as sp
from hypothesis import assume, given, settings

from symdiscover.errors import OutsideDomain
from symdiscover.rounding import (
    EPSILON,
    FUNCTIONS,
    Tracked,
    evaluate_digits,
    evaluate_exact,
    evaluate_tracked,
)

x, y = sp.symbols("x y", real=True)
a = sp.Symbol("a", positive=True)
R = sp.Rational

EXPRESSIONS: dict[str, sp.Expr] = {
    "polynomial": x**3 - 3 * x * y**2 + R(1, 3),
    "Rosenbrock": 100 * (x**2 - y) ** 2 + (x - 1) ** 2,
    "rational": (x + y) / (x**2 + 1) - 1 / (3 + y**2),
    "cancelling": (x + 10**8) ** 2 - 10**16 - 2 * 10**8 * x,
    "roots": sp.sqrt(1 + x**2) - sp.Abs(x) ** R(1, 3) + (2 + y**2) ** R(-3, 2),
    "exponentials": sp.exp(-x) * sp.log(1 + y**2) + 2**y,
    "circle": sp.sin(30 * x) * sp.cos(x * y) + sp.tan(y / 3),
    "hyperbola": sp.sinh(x / 3) - sp.cosh(y / 4) + sp.tanh(x * y),
    "inverse": sp.atan(x - y) + sp.asinh(5 * x) + sp.asin(y / 30) - sp.acos(x / 40) + sp.atanh(x / 50),
    "angles": sp.atan2(y, x) + sp.acosh(2 + x**2),
    "pieces": sp.Max(x, y) - sp.Min(x**2, 1) + sp.Abs(x - y),
    "Piecewise": sp.Piecewise((x**2, x > 0), (sp.sin(x), (x < -1) & (y > 0)), (y, True)),
    "steps": sp.floor(x) + sp.ceiling(y / 2) + sp.sign(x - 1) + sp.Heaviside(y - 3),
    "powers": (x**2 + 1) ** y + a ** R(5, 7),
    "constants": sp.pi * x + sp.E * y + sp.sqrt(2) / 3,
}
finite = st.floats(-20, 20, allow_nan=False).filter(lambda v: abs(v) > 1e-3)


@pytest.mark.parametrize("name", EXPRESSIONS)
@settings(max_examples=25)
@given(finite, finite, st.floats(0.1, 5))
def test_many_digits_against_sympy(name: str, u: float, v: float, w: float) -> None:
    expression = EXPRESSIONS[name]
    point = {x: R(u), y: R(v), a: R(w)}
    with mpmath.workdps(60):  # one of the expressions cancels 32 digits
        value = evaluate_digits(expression, {s: mpmath.mpf(int(r.p)) / int(r.q) for s, r in point.items()})
        expected = mpmath.mpf(str(sp.N(expression.xreplace(point), 90)))
        assert abs(value - expected) <= mpmath.mpf(10) ** -28 * (1 + abs(expected))
        assert not abs(value * mpmath.mpf("1.000001") + 1e-20 - expected) <= mpmath.mpf(10) ** -28 * (
            1 + abs(expected)
        )


@pytest.mark.parametrize("name", EXPRESSIONS)
@settings(max_examples=60)
@given(finite, finite, st.floats(0.1, 5))
def test_the_bound_holds(name: str, u: float, v: float, w: float) -> None:
    """|float64 value - exact value| <= the bound."""
    expression = EXPRESSIONS[name]
    tracked = evaluate_tracked(expression, {x: Tracked(u), y: Tracked(v), a: Tracked(w)})
    with mpmath.workdps(60):
        exact = evaluate_digits(expression, {x: mpmath.mpf(u), y: mpmath.mpf(v), a: mpmath.mpf(w)})
        assert abs(mpmath.mpf(tracked.value) - exact) <= tracked.margin


@pytest.mark.parametrize("name", EXPRESSIONS)
@settings(max_examples=60)
@given(finite, finite, st.floats(0.1, 5), st.floats(-1, 1), st.floats(-1, 1))
def test_the_bound_carries_errors_of_the_arguments(
    name: str, u: float, v: float, w: float, p: float, q: float
) -> None:
    """Arguments that are off by up to their margins give values that are off by at most the bound."""
    expression = EXPRESSIONS[name]
    errors = (1e6 * abs(u), 1e6 * abs(v))
    if name in ("steps", "Piecewise"):  # nothing bounds a jump, and theirs are at integers
        for value, error in zip((u, v), errors, strict=True):
            assume(value == 0 or abs(value - round(value)) > error * EPSILON)
    tracked = evaluate_tracked(
        expression, {x: Tracked(u, errors[0]), y: Tracked(v, errors[1]), a: Tracked(w)}
    )
    with mpmath.workdps(60):
        at = {
            x: mpmath.mpf(u) + p * errors[0] * EPSILON,
            y: mpmath.mpf(v) + q * errors[1] * EPSILON,
            a: mpmath.mpf(w),
        }
        # a bound of second order at the margins, exact to a few per cent
        assert abs(mpmath.mpf(tracked.value) - evaluate_digits(expression, at)) <= 1.05 * tracked.margin


@pytest.mark.parametrize("name", [n for n in EXPRESSIONS if n not in ("cancelling", "steps", "Piecewise")])
def test_the_bound_is_not_vacuous(name: str) -> None:
    """At ordinary points the bound is within a few hundred units in the last place of the largest term."""
    at = {x: Tracked(1.25), y: Tracked(-0.75), a: Tracked(2.0)}
    tracked = evaluate_tracked(EXPRESSIONS[name], at)
    largest = max(abs(evaluate_tracked(term, at).value) for term in sp.Add.make_args(EXPRESSIONS[name]))
    assert tracked.error <= 300 * max(largest, abs(tracked.value))
    assert tracked.error >= 0.5 * abs(tracked.value)


def test_cancellation_is_seen() -> None:
    """(1 + d)^2 - 1 - 2 d at d = 1e-8: the bound says that no digit is right; in d^2 all are."""
    at = {x: Tracked(1e-8)}
    bad = evaluate_tracked((1 + x) ** 2 - 1 - 2 * x, at)
    assert bad.margin > 1e-16
    assert evaluate_tracked(x**2, at).margin < 1e-30


def test_second_order_at_a_minimum() -> None:
    """At a zero of a square the first-order bound is 0, and the value is not."""
    u = Tracked(0.1) + Tracked(0.2) + Tracked(-0.3)
    square = u * u
    assert square.value > 0 and square.margin >= square.value
    power = evaluate_tracked(x**2, {x: Tracked(0.0, u.error)})
    assert power.margin >= square.value
    root = evaluate_tracked(sp.sqrt(x), {x: Tracked(0.0, 4.0)})
    assert root.margin >= math.sqrt(4 * EPSILON)


def test_jumps_near_the_point_are_infinitely_uncertain() -> None:
    for jump in (sp.floor(x), sp.sign(x - 3), sp.Heaviside(x - 3), sp.ceiling(x)):
        assert evaluate_tracked(jump, {x: Tracked(3.0, 8.0)}).margin == math.inf
        assert evaluate_tracked(jump, {x: Tracked(3.4, 8.0)}).margin == 0
    assert evaluate_tracked(sp.atan2(y, x), {x: Tracked(0.0, 1.0), y: Tracked(0.0, 1.0)}).margin == math.inf


@settings(max_examples=50)
@given(st.fractions(-9, 9), st.fractions(-9, 9))
def test_exact(u: Fraction, v: Fraction) -> None:
    expression = (x**3 - y) / (1 + x**2) + R(2, 7) * (y - R(1, 3)) ** 2
    value = evaluate_exact(expression, {x: u, y: v})
    assert value == (u**3 - v) / (1 + u**2) + Fraction(2, 7) * (v - Fraction(1, 3)) ** 2
    assert value + Fraction(1, 10**60) != evaluate_exact(expression, {x: u, y: v})


@pytest.mark.parametrize(
    "expression", [sp.sqrt(x), sp.sin(x), sp.pi * x, sp.sqrt(2) * x, 2**x, sp.Abs(x)], ids=str
)
def test_what_is_not_rational_is_refused(expression: sp.Expr) -> None:
    with pytest.raises(TypeError):
        evaluate_exact(expression, {x: Fraction(1, 2)})


@pytest.mark.parametrize(
    ("expression", "at"),
    [
        (sp.sqrt(x), -1), (sp.log(x), -2), (sp.log(x), 0), (sp.asin(x), 2), (sp.acosh(x), 0), (x ** R(1, 3), -8),
        (sp.Abs(sp.sqrt(x)), -1), (sp.log(x) * sp.log(x), -1), (sp.Piecewise((1, x > 0)), -1),
        (sp.diff(sp.floor(x), x), 1), (sp.atanh(x), 3), ((-1 - x**2) ** sp.Symbol("y", real=True), 1),
    ],
)  # fmt: skip
def test_outside_the_domain(expression: sp.Expr, at: int) -> None:
    """No complex number takes part, not even one that a later step would make real."""
    with pytest.raises(OutsideDomain):
        evaluate_digits(expression, {x: mpmath.mpf(at), y: mpmath.mpf("0.5")})


def test_outside_the_domain_twins() -> None:
    assert evaluate_digits(sp.sqrt(x), {x: mpmath.mpf(4)}) == 2
    assert evaluate_digits(sp.Piecewise((1, x > 0)), {x: mpmath.mpf(1)}) == 1
    with pytest.raises(ZeroDivisionError):
        evaluate_digits(1 / x, {x: mpmath.mpf(0)})


def test_every_function_has_its_counterpart() -> None:
    """The table against SymPy's own evaluation, each function at a point of its domain."""
    for function, name in FUNCTIONS.items():
        arguments = [R(3, 2), R(5, 4)][: 2 if function is sp.atan2 else 1]
        if function in (sp.asin, sp.acos, sp.atanh):
            arguments = [R(1, 3)]
        symbols = [x, y][: len(arguments)]
        with mpmath.workdps(30):
            values = {s: mpmath.mpf(int(r.p)) / int(r.q) for s, r in zip(symbols, arguments, strict=True)}
            value = evaluate_digits(function(*symbols), values)
            expected = mpmath.mpf(str(sp.N(function(*arguments), 40)))
            assert abs(value - expected) < mpmath.mpf(10) ** -25, name
            assert not abs(value + 1e-9 - expected) < mpmath.mpf(10) ** -25, name


def test_shared_parts_are_computed_once() -> None:
    """An expression whose tree has 2^60 leaves."""
    e = x
    for _ in range(60):
        e = sp.Add(sp.sin(e), sp.cos(e), evaluate=False)
    assert abs(evaluate_digits(e, {x: mpmath.mpf(1)})) < 2
