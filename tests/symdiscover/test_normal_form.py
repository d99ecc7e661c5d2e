"""Fractions of polynomials in irrational parts: equal values, exact zeros, bounded work."""

from __future__ import annotations

import time

import hypothesis.strategies as st
import mpmath
import pytest
import sympy as sp
from hypothesis import given, settings

from symdiscover.normal_form import NormalForm, TooLarge, canonical, is_zero
from symdiscover.rounding import evaluate_digits

x, y, z, t = sp.symbols("x y z t", real=True)
b = sp.Symbol("b", positive=True)
R = sp.Rational

ZEROS = {
    "double angle": sp.cos(2 * t) - sp.cos(t) ** 2 + sp.sin(t) ** 2,
    "half angle": 2 * sp.sin(t / 2) * sp.cos(t / 2) - sp.sin(t),
    "five angles": sp.sin(x + 2 * y - z) - sp.expand_trig(sp.sin(x + 2 * y - z)),
    "hyperbolic": sp.cosh(2 * x + y) - sp.cosh(2 * x) * sp.cosh(y) - sp.sinh(2 * x) * sp.sinh(y),
    "tangent": sp.tan(x) * sp.cos(x) - sp.sin(x),
    "tanh": sp.tanh(x) ** 2 * sp.cosh(x) ** 2 - sp.cosh(x) ** 2 + 1,
    "exponentials": sp.exp(x * y + 1) * sp.exp(-x * y) - sp.E,
    "powers of two": 2 ** (x + 1) - 2 * 2**x,
    "powers of a constant": b ** (x + y) / b**y - b**x,
    "roots": sp.sqrt(x**2 + y**2) ** 3 - (x**2 + y**2) * sp.sqrt(x**2 + y**2),
    "cube roots": sp.cbrt(b) * sp.cbrt(b) ** 2 - b,
    "a root of |x|": sp.sign(x) * sp.Abs(x**3) ** R(1, 3) - x,
    "a root of x |x|": sp.sqrt(sp.Abs(x * sp.Abs(x))) * sp.sign(x * sp.Abs(x)) - x,
    "signs": sp.sign(2 * x - 2 * y) + sp.sign(y - x),
    "|xy|": sp.Abs(x * y) - sp.Abs(x) * sp.Abs(y),
    "ReLU": x * sp.Heaviside(3 * x) - sp.Max(0, x),
    "numbers": sp.sqrt(2) * sp.sqrt(3) * x - sp.sqrt(6) * x,
    "inside cos": sp.cos((x * sp.cos(t) - y * sp.sin(t)) ** 2 + (x * sp.sin(t) + y * sp.cos(t)) ** 2)
    - sp.cos(x**2 + y**2),
    "inside Max": sp.Max(y, x * (y + 1)) - sp.Max(y, x * y + x),
    "inside Piecewise": (
        sp.Piecewise((x * (x + 1), x * (1 + y) > 0), (y, True))
        - sp.Piecewise((x**2 + x, x + x * y > 0), (y, True))
    ),
}


@pytest.mark.parametrize("name", ZEROS)
def test_zero(name: str) -> None:
    assert is_zero(ZEROS[name])


@pytest.mark.parametrize("name", ZEROS)
def test_zero_twin(name: str) -> None:
    """The same expressions a little off are not zero."""
    zero = ZEROS[name]
    symbol = min(zero.free_symbols | {x}, key=str)
    assert not is_zero(zero + R(1, 10**100) * symbol)
    assert not is_zero(zero + 1)


NOT_ZERO = [
    sp.sin(2 * t) - 2 * sp.sin(t),
    sp.sqrt(x**2) - x,
    sp.Abs(x) - x,
    sp.sign(x) - 1,
    sp.sign(x) ** 2 - 2,
    sp.Max(x, y) - x,
    sp.exp(x + y) - sp.exp(x) - sp.exp(y),
    sp.cos(x + y) - sp.cos(x) * sp.cos(y) - sp.sin(x) * sp.sin(y),
    sp.cosh(x) ** 2 + sp.sinh(x) ** 2 - 1,
    sp.floor(x + 1) - sp.floor(x),
    (x**2) ** R(1, 3) - x ** R(2, 3) + 1,
]


@pytest.mark.parametrize("expression", NOT_ZERO, ids=str)
def test_not_zero(expression: sp.Expr) -> None:
    assert not is_zero(expression)


def leaves() -> st.SearchStrategy[sp.Expr]:
    return st.sampled_from([x, y, sp.Integer(2), R(-1, 3), sp.sqrt(2), b, sp.sqrt(b)])


def grown(inner: st.SearchStrategy[sp.Expr]) -> st.SearchStrategy[sp.Expr]:
    functions = st.sampled_from([sp.sin, sp.cos, sp.exp, sp.cosh, sp.tanh, sp.Abs, sp.sign, sp.atan])
    return st.one_of(
        st.tuples(inner, inner).map(lambda p: p[0] + p[1]),
        st.tuples(inner, inner).map(lambda p: p[0] * p[1]),
        st.tuples(inner, st.integers(-2, 3)).map(lambda p: p[0] ** p[1] if p[0] != 0 else p[0]),
        st.tuples(functions, inner).map(lambda p: p[0](p[1])),
        st.tuples(inner, inner).map(lambda p: sp.Max(p[0], p[1], evaluate=False)),
        inner.map(lambda e: sp.sqrt(1 + e**2)),
    )


@settings(max_examples=120)
@given(st.recursive(leaves(), grown, max_leaves=6), st.booleans())
def test_the_fraction_has_the_value_of_the_expression(expression: sp.Expr, opaque: bool) -> None:
    """numerator / factors = the expression, at a point, in forty digits."""
    with mpmath.workdps(60):
        point = {x: mpmath.mpf("0.731"), y: mpmath.mpf("-0.417"), b: mpmath.mpf("1.93")}
        try:
            value = evaluate_digits(expression, point)
            form = NormalForm([expression], opaque)
            fraction = form.fraction(expression)
        except (ArithmeticError, ValueError, TooLarge, OverflowError):
            return
        if abs(value) > 1e15:
            return
        result = evaluate_digits(form.expression(fraction.numerator), point)
        for factor, power in fraction.factors.items():
            result /= evaluate_digits(form.expression(factor), point) ** power
        assert abs(result - value) <= mpmath.mpf(10) ** -25 * (1 + abs(value))
        wrong = result + mpmath.mpf(10) ** -20 * (1 + abs(value))
        assert not abs(wrong - value) <= mpmath.mpf(10) ** -25 * (1 + abs(value))


def test_numerators_share_a_denominator() -> None:
    functions = [1 / x, 1 / (x + y), y / (x * (x + y))]
    form = NormalForm(functions)
    first, second, third = (form.expression(p) for p in form.numerators(functions))
    assert sp.expand(first - second - third) == 0
    assert sp.expand(first - second + third) != 0


def test_opaque_keeps_reciprocals_apart() -> None:
    split = 1 / (x + y) + 1 / (x - y) - 2 * x / (x**2 - y**2)
    assert NormalForm([split]).fraction(split).numerator == 0
    assert NormalForm([split], opaque=True).fraction(split).numerator != 0
    assert is_zero(split)


def test_work_is_bounded() -> None:
    v = sp.symbols("v1:13", real=True)
    start = time.monotonic()
    with pytest.raises(TooLarge):
        NormalForm([sp.Add(*v) ** 30]).fraction(sp.Add(*v) ** 30)
    assert not is_zero(sp.Add(*v) ** 30 - sp.Add(*v) ** 29)
    assert time.monotonic() - start < 90
    assert is_zero(sp.Add(*v) ** 3 - sp.expand(sp.Add(*v) ** 3))


def test_canonical() -> None:
    assert canonical(x * (x + 1)) == canonical(x**2 + x) == x**2 + x
    assert canonical(x * (x + 1)) != canonical(x**2 - x)
    v = sp.symbols("v1:13", real=True)
    assert canonical(sp.Add(*v) ** 40) == sp.Add(*v) ** 40  # too large: as it is
