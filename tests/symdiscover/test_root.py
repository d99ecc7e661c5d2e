"""Roots in many digits and in float64, with the error bound that rounding leaves."""

from __future__ import annotations

import math
import random

import mpmath
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from symdiscover.errors import OutsideDomain
from symdiscover.root import Root, solve_digits, solve_tracked
from symdiscover.rounding import EPSILON, Tracked

t, u, v = sp.symbols("t u v", real=True)
zero, oo, R = sp.Integer(0), sp.oo, sp.Rational

# root, values of the symbols, the known number
KNOWN = {
    "cube root": (Root(t, t**3, v, zero, oo), {v: 5}, lambda: mpmath.cbrt(5)),
    "high root": (Root(t, t**9, v, zero, oo), {v: 2}, lambda: mpmath.root(2, 9)),
    "logarithm": (Root(t, sp.exp(t), v, zero, oo), {v: 7}, lambda: mpmath.log(7)),
    "a finite end": (Root(t, 1 - sp.cos(t), v, zero, sp.pi), {v: 1}, lambda: mpmath.pi / 2),
    "an end that depends": (Root(t, t**2, v, zero, u), {v: 2, u: 3}, lambda: mpmath.sqrt(2)),
    "far away": (Root(t, t, v, zero, oo), {v: 10**30}, lambda: mpmath.mpf(10) ** 30),
    "tiny": (Root(t, t + t**2, v, zero, oo), {v: R(1, 10**20)}, lambda: 2 / (1 + mpmath.sqrt(1 + 4 * mpmath.mpf(10) ** -20)) / 10**20),
    "negative side": (Root(t, t**3, v, sp.Integer(-5), oo), {v: -8}, lambda: mpmath.mpf(-2)),
    "flat at the end": (Root(t, t**4, v, zero, oo), {v: R(1, 16)}, lambda: mpmath.mpf(1) / 2),
    "a kink": (Root(t, sp.Abs(t - 1) / 2 + t, v, zero, oo), {v: 4}, lambda: mpmath.mpf(3)),
    "at a corner": (Root(t, sp.Max(t, 2 * t - 1), v, zero, oo), {v: 1}, lambda: mpmath.mpf(1)),
}  # fmt: skip


@pytest.mark.parametrize("digits", [15, 60, 200])
@pytest.mark.parametrize("name", KNOWN)
def test_the_root_is_known(name: str, digits: int) -> None:
    root, values, known = KNOWN[name]
    with mpmath.workdps(digits):
        found = root.digits({s: _number(x) for s, x in values.items()})
        size = abs(known())
        assert abs(found - known()) <= size * mpmath.mpf(10) ** (4 - digits)
        assert not abs(found * (1 + mpmath.mpf(10) ** (8 - digits)) - known()) <= size * mpmath.mpf(10) ** (
            4 - digits
        )


def _number(value: object) -> mpmath.mpf:
    return mpmath.mpf(value.p) / value.q if isinstance(value, sp.Rational) else mpmath.mpf(value)


@pytest.mark.parametrize(
    ("root", "value", "reached"),
    [
        (Root(t, t**2, v, zero, sp.Integer(2)), 4.01, 3.99),
        (Root(t, sp.atan(t), v, zero, oo), 1.6, 1.5),
        (Root(t, -sp.exp(-t), v, zero, oo), 0.0, -0.5),
        (Root(t, 1 - sp.cos(t), v, zero, sp.Integer(1)), 0.5, 0.4),
    ],
)
def test_a_value_that_is_not_reached_is_refused(root: Root, value: float, reached: float) -> None:
    with pytest.raises(OutsideDomain, match="does not reach"):
        root.digits({v: mpmath.mpf(value)})
    assert root.digits({v: mpmath.mpf(reached)}) > 0


def test_a_root_is_a_step_like_an_expression() -> None:
    root = KNOWN["an end that depends"][0]
    assert root.free_symbols == {u, v} and root.slope == 2 * t
    moved = root.xreplace({v: u + 1, t: u})
    assert moved.target == u + 1 and moved.unknown == t and moved.function == t**2
    assert moved != root and root.xreplace({}) == root
    assert root.parts == (t**2, v, zero, u)
    assert solve_digits(root, {v: mpmath.mpf(4), u: mpmath.mpf(3)}) == 2
    assert solve_digits(v + 1, {v: mpmath.mpf(4)}) == 5
    assert solve_tracked(v + 1, {v: Tracked(4.0)}).value == 5
    assert solve_tracked(root, {v: Tracked(4.0), u: Tracked(3.0)}).value == 2


@settings(max_examples=40)
@given(
    st.floats(1e-6, 1e6),
    st.integers(0, 2**16),
    st.sampled_from([t**3 + t, t**2, sp.exp(t) - 1 + t, sp.sqrt(1 + t**2) - 1]),
)
def test_the_tracked_error_bounds_the_true_one(target: float, seed: int, function: sp.Expr) -> None:
    """Values that are themselves rounded: the exact root of any of them lies within the bound."""
    carried = 8.0
    root = Root(t, function, v, zero, oo)
    tracked = root.tracked({v: Tracked(target, carried * target)})
    draw = random.Random(seed).uniform(-1, 1)
    with mpmath.workdps(60):
        exact = root.digits({v: mpmath.mpf(target) * (1 + mpmath.mpf(draw) * carried * EPSILON)})
        bound = mpmath.mpf(EPSILON) * tracked.error * mpmath.mpf("1.001")
        assert abs(exact - tracked.value) <= bound
        assert bound <= 1e-6 * (1 + exact)
        assert not abs(exact + 3 * bound - tracked.value) <= bound


def test_the_flatter_the_larger_the_bound() -> None:
    constant = Root(t, sp.Max(t, 1), v, zero, oo).tracked({v: Tracked(1.0, 1.0)})
    assert constant.error == math.inf
    steep, flat = (Root(t, f, v, zero, oo).tracked({v: Tracked(1e-12, 1e-12)}) for f in (t, t**4))
    assert flat.error > 100 * steep.error
