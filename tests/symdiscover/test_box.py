"""Intervals on many boxes: every value lies inside, and nothing is called positive or continuous that is not."""

from __future__ import annotations

import math
import random
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from symdiscover.box import _RULES, Boxes, bounds_on, is_continuous_on, is_positive
from symdiscover.errors import OutsideDomain, SymmetryError
from symdiscover.expression import parse
from tests.symdiscover.real_expressions import MP, NAMES, Meaning, Undefined, meanings

x, y = sp.symbols("x y", real=True)
SIZES = st.sampled_from([1e-12, 1e-3, 0.5, 3.0, 40.0, 1e6])


def read(meaning: Meaning) -> sp.Expr | None:
    try:
        return parse(meaning.text, variables=["x", "y"], positive=["a"]).expression
    except SymmetryError:
        return None


def box(
    symbols: list[sp.Symbol], seed: int, size: float, width: float
) -> dict[sp.Symbol, tuple[float, float]]:
    draw = random.Random(seed)
    sides = {}
    for s in symbols:
        low = abs(draw.gauss(0, 1)) * size if s.is_positive else draw.gauss(0, 1) * size
        sides[s] = (low, low + draw.random() * width)
    return sides


def values_inside(
    meaning: Meaning, sides: dict[sp.Symbol, tuple[float, float]], seed: int, count: int = 6
) -> list[Any]:
    """Values at corners and random points, computed in 300 bits without SymPy."""
    draw = random.Random(seed)
    values = []
    for _ in range(count):
        point = {name: MP.mpf(1) for name in NAMES}
        for s, (low, high) in sides.items():
            point[s.name] = MP.mpf(draw.choice([low, high, draw.uniform(low, high), low / 2 + high / 2]))
        try:
            values.append(meaning.value(point))
        except (Undefined, ValueError, ZeroDivisionError, OverflowError):
            continue
    return [v for v in values if not isinstance(v, MP.mpc) and MP.isfinite(v)]


@settings(max_examples=150)
@given(meanings(), st.integers(0, 2**20), SIZES, SIZES)
def test_every_value_of_an_expression_is_inside(
    meaning: Meaning, seed: int, size: float, width: float
) -> None:
    expression = read(meaning)
    if expression is None or not (symbols := sorted(expression.free_symbols, key=str)):
        return
    sides = box(symbols, seed, size, width)
    try:
        low, high = bounds_on(expression, sides, parts=3)
    except OutsideDomain:
        return
    for value in values_inside(meaning, sides, seed):
        assert low <= value <= high
        if math.isfinite(high):
            assert not low <= abs(value) + abs(MP.mpf(high)) + 1 <= high


ENDS = st.floats(-30, 30) | st.sampled_from([0.0, 1.0, -1.0, math.pi, -math.pi / 2, 1e-300, 1e8, -1e200])
ORACLE = {sp.Abs: "fabs"}


@pytest.mark.parametrize("kind", _RULES, ids=lambda kind: kind.__name__)
@given(first=ENDS, second=ENDS, seed=st.integers(0, 2**20))
def test_every_value_of_a_function_is_inside(kind: type, first: float, second: float, seed: int) -> None:
    low, high = sorted((first, second))
    if kind in (sp.exp, sp.sinh, sp.cosh) and max(abs(low), abs(high)) > 700:
        return
    draw = random.Random(seed)
    points = [MP.mpf(p) for p in (low, high, *(draw.uniform(low, high) for _ in range(6)))]
    if kind is sp.Heaviside:
        values = [MP.mpf(p > 0) for p in points if p != 0]
    else:
        function = getattr(MP, ORACLE.get(kind, kind.__name__))
        values = [function(p) for p in points if kind is not sp.log or p > 0]
    bottom, top = Boxes({x: (np.array([low]), np.array([high]))})(
        kind(x, evaluate=False) if kind is not sp.Heaviside else sp.Heaviside(x)
    )
    assert all(bottom[0] <= v <= top[0] for v in values)


@given(ENDS, ENDS, st.sampled_from(["2", "3", "-1", "-2", "-5", "1/2", "3/4", "-1/2", "-7/2", "64"]))
def test_every_value_of_a_power_is_inside(first: float, second: float, exponent: str) -> None:
    low, high = sorted((first, second))
    power = Fraction(exponent)
    real = [p for p in (low, high, low / 2 + high / 2) if p > 0 or (p < 0 and power.denominator == 1)]
    values = [MP.mpf(p) ** (MP.mpf(power.numerator) / power.denominator) for p in real]
    bottom, top = bounds_on(sp.Pow(x, sp.Rational(exponent), evaluate=False), {x: (low, high)}, 1)
    assert all(bottom <= v <= top for v in values)
    if power.denominator != 1 and low < 0:
        assert (bottom, top) == (-math.inf, math.inf)


@pytest.mark.parametrize(
    ("expression", "sides", "low", "high"),
    [
        (x**2 - 2 * x, (0, 2), -4, 4),
        (1 / x, (1, 4), 0.25, 1),
        (x**-2, (-2, -1), 0.25, 1),
        (sp.Max(x, 1), (0, 3), 1, 3),
        (sp.Min(x, 1, x**2), (0, 3), 0, 1),
        (sp.sqrt(x), (0, 4), 0, 2),
        (sp.cos(x), (3, 4), -1, math.cos(4)),
        (sp.sin(x), (1, 2), math.sin(1), 1),
        (sp.Piecewise((x, x < 1), (5, True)), (0, 2), 0, 5),
        (sp.Piecewise((x, x < 3), (5, True)), (0, 2), 0, 2),
        (sp.Piecewise((x, (x > 0) & (x < 1)), (5, True)), (-2, -1), 5, 5),
        (sp.Abs(x), (-3, 1), 0, 3),
        (sp.diff(sp.Max(x, 1), x), (0, 3), 0, 1),
    ],
)  # fmt: skip
def test_bounds_are_sharp(expression: sp.Expr, sides: tuple[float, float], low: float, high: float) -> None:
    bottom, top = bounds_on(expression, {x: sides}, 1)
    assert (bottom, top) == pytest.approx((low, high), abs=1e-9)
    assert (bottom, top) != pytest.approx((low + 1e-3, high), abs=1e-9)


@pytest.mark.parametrize(
    ("expression", "sides"),
    [
        (1 / x, (-1, 1)), (1 / x, (0, 1)), (sp.log(x), (-1, 1)), (sp.log(x), (-2, -1)), (sp.sqrt(x - 1), (0, 3)),
        (sp.sqrt(x), (-2, -1)), (x ** sp.Rational(3, 2), (-1, 1)), (sp.tan(x), (1, 2)), (sp.exp(x**2), (0, 100)),
        (x**600, (-2, -1.5)), (sp.Piecewise((x, x < 1)), (0, 2)),
    ],
)  # fmt: skip
def test_what_is_no_number_is_the_whole_line_or_infinite(
    expression: sp.Expr, sides: tuple[float, float]
) -> None:
    assert not all(map(math.isfinite, bounds_on(expression, {x: sides}, 1)))
    assert all(map(math.isfinite, bounds_on(expression, {x: (0.4, 0.45)}, 1))) or expression.has(
        sp.sqrt(x - 1)
    )


def test_huge_and_tiny_numbers_keep_their_enclosure() -> None:
    for factor in (sp.Rational(1, 10**400), sp.Rational(1, 10**310), sp.Rational(3, 10**300)):
        low, high = bounds_on(factor * x, {x: (1e300, 1e305)}, 1)
        assert (
            low <= mpmath.mpf(factor.p) / factor.q * 1e300 and mpmath.mpf(factor.p) / factor.q * 1e305 <= high
        )
    assert bounds_on(x + 1, {x: (2.0**53, 2.0**53)}, 1)[1] > 2**53
    low, high = bounds_on(10**20 * x - 10**20 * x * (1 - sp.Rational(1, 10**10)), {x: (1, 1)}, 1)
    assert low <= 1e10 <= high and not low <= 0 <= high


@pytest.mark.parametrize(
    "expression", [sp.I * x, sp.floor(x), sp.Function("f")(x), 10**400 * x, sp.oo * x, sp.atan2(x, x - 5)]
)
def test_what_has_no_rule_is_refused(expression: sp.Expr) -> None:
    with pytest.raises(OutsideDomain):
        bounds_on(expression, {x: (1, 2)})
    assert not is_positive(expression, {x: (1, 2)}) and not is_continuous_on(expression, {x: (1, 2)})
    assert is_positive(sp.ceiling(2) * x, {x: (1, 2)})


HIDDEN = (
    sp.sin(1) ** 2 + sp.cos(1) ** 2 - 1,
    sp.sqrt(5 + 2 * sp.sqrt(6)) - sp.sqrt(2) - sp.sqrt(3),
)


@pytest.mark.parametrize("zero", [*HIDDEN, *(-h for h in HIDDEN)], ids=str)
def test_a_number_that_hides_a_zero_is_never_positive(zero: sp.Expr) -> None:
    """Its first digits say 1e-123, of either sign."""
    assert not is_positive(zero + 0 * x, {x: (0, 1)}, 0.2)
    assert not is_positive(sp.Mul(zero, 1 + x**2, evaluate=False), {x: (0, 1)}, 0.2)
    assert is_positive(zero + sp.Rational(1, 10**40) + x**2, {x: (1, 2)}, 0.5)


@pytest.mark.parametrize(
    "base", [x**2, (x - 1) ** 4, 1 - sp.cos(x), sp.exp(x) - 1 - x, sp.Abs(x) + x**2, x**2 * sp.exp(-x)]
)
@pytest.mark.parametrize("edge", ["inside", "at the end"])
def test_positive_by_a_hair_or_not_at_all(base: sp.Expr, edge: str) -> None:
    zero = 1 if base == (x - 1) ** 4 else 0
    sides = {x: (zero - 1.3, zero + 1.1) if edge == "inside" else (zero, zero + 1.1)}
    assert is_positive(base + sp.Rational(1, 10**6), sides)
    assert not is_positive(base, sides, 0.2)
    assert not is_positive(base - sp.Rational(1, 10**9), sides, 0.2)


def test_positive_by_a_billionth() -> None:
    assert is_positive(x**2 + sp.Rational(1, 10**9), {x: (-1, 1)})
    assert not is_positive(x**2 - sp.Rational(1, 10**9), {x: (-1, 1)}, 0.3)


DIP = sp.Rational(3, 10), sp.Rational(3001, 10000)


@pytest.mark.parametrize(
    "dip",
    [
        sp.Piecewise((1, x < DIP[0]), (-1, x < DIP[1]), (1, True)),
        sp.Piecewise((1, x <= DIP[0]), (-1, x <= DIP[1]), (1, True)),
        1 - 2 * sp.Heaviside(x - DIP[0]) + 2 * sp.Heaviside(x - DIP[1]),
        1 - sp.sign(x - DIP[0]) + sp.sign(x - DIP[1]),
        1 - 2 * sp.exp(-((10**6 * (x - DIP[0])) ** 2)),
        sp.Max(sp.Abs(x - DIP[0]) * 10**5 - 1, -1) + sp.Rational(1, 2),
        sp.atan(1 / (x - DIP[0])) + sp.pi / 2 - sp.Rational(1, 10),
        1 - 2 / (1 + (10**7 * (x - DIP[0])) ** 2),
    ],
    ids=str,
)
def test_a_dip_narrower_than_the_first_parts_is_not_missed(dip: sp.Expr) -> None:
    """The mean value theorem says nothing of what jumps, and middles fall beside the dip."""
    assert not is_positive(dip, {x: (0, 1)}, 0.5)
    assert is_positive(dip, {x: (0.5, 1)}, 0.5)


@settings(max_examples=60)
@given(meanings(5), st.integers(0, 2**20), st.sampled_from([0.5, 3.0]))
def test_nothing_is_called_positive_that_is_not(meaning: Meaning, seed: int, size: float) -> None:
    expression = read(meaning)
    if expression is None or not (symbols := sorted(expression.free_symbols, key=str)):
        return
    sides = box(symbols, seed, size, size)
    values = values_inside(meaning, sides, seed, 20)
    if is_positive(expression, sides, 0.2, 5_000):
        assert all(v > 0 for v in values)
        assert not is_positive(-expression, sides, 0.2, 5_000)
    if values:
        lowest = sp.Rational(str(MP.nstr(min(values), 40))) + sp.Rational(1, 10**6)
        assert not is_positive(expression - lowest, sides, 0.1, 2_000)


@pytest.mark.parametrize(
    ("expression", "where"),
    [
        (sp.atan(1 / (x - 1)), 1), (sp.tanh(1 / (x - 1)), 1), (1 / (1 + sp.exp(1 / (x - 1))), 1), (sp.sign(x - 1), 1),
        (sp.Heaviside(x - 1), 1), (sp.Piecewise((0, x < 1), (1, True)), 1), (sp.Piecewise((0, x <= 1), (1, True)), 1),
        ((x - 1) / sp.Abs(x - 1), 1), (sp.sqrt((x - 1) * (x - 2)), 1.5), (sp.log(sp.Abs(x - 1)), 1), (sp.tan(sp.pi * x / 2), 1),
    ],
)  # fmt: skip
def test_jumps_holes_and_poles_are_seen(expression: sp.Expr, where: float) -> None:
    for low, high in ((0, 3), (0, where), (where, 3), (where - 0.3, where + 1e-6)):
        assert not is_continuous_on(expression, {x: (low, high)}, 7)
    beside = (0.2, 0.4)
    assert is_continuous_on(expression, {x: beside}, 7)


@pytest.mark.parametrize(
    "expression",
    [
        sp.sqrt(x**2 + y**2),
        sp.Abs(x - y),
        sp.Max(x, y),
        sp.exp(-(x**2)) * sp.cos(y),
        sp.sqrt(sp.sqrt(x**4 + 1) - y),
    ],
)
def test_what_is_continuous_is_called_so(expression: sp.Expr) -> None:
    assert is_continuous_on(expression, {x: (-2, 2), y: (-2, 0.5)}, 8)
    assert not is_continuous_on(1 / expression - 1 / (expression * 0 + x - 1), {x: (-2, 2), y: (-2, 0.5)}, 8)
