"""Enclosures contain every value, are sharp where a sign is read off them, and refuse what is nowhere real."""

from __future__ import annotations

import math
import random

import mpmath
import pytest
import sympy as sp
from hypothesis import given
from hypothesis import strategies as st

from symdiscover.enclosure import Enclosure, decide
from symdiscover.errors import OutsideDomain
from symdiscover.interval import RULES, Interval, exactly

x, y = sp.symbols("x y", real=True)
a = sp.Symbol("a", positive=True)

MP = mpmath.MPContext()
MP.prec = 250
FUNCTIONS = [kind for kind in RULES if kind not in (sp.Add, sp.Mul, sp.Max, sp.Min, sp.atan2)]
ENDS = st.floats(-30, 30) | st.sampled_from([0.0, 1.0, -1.0, math.pi, -math.pi / 2, 1e-300, 1e8, -1e200])


def over(low: float, high: float) -> Enclosure:
    return Enclosure(lambda _: Interval(MP.mpf(low), MP.mpf(high)))


def value(kind: type, *args: object) -> object | None:
    """The real value of a function, by the evaluation of mpmath; None where there is none."""
    named = {sp.Abs: "fabs", sp.ceiling: "ceil"}.get(kind, kind.__name__)
    try:
        result = getattr(MP, named)(*args)
    except (ValueError, ZeroDivisionError, OverflowError):
        return None
    return None if isinstance(result, MP.mpc) or not MP.isfinite(result) else result


@pytest.mark.parametrize("kind", FUNCTIONS, ids=lambda kind: kind.__name__)
@given(first=ENDS, second=ENDS, seed=st.integers(0, 2**32))
def test_every_value_of_a_function_is_inside(kind: type, first: float, second: float, seed: int) -> None:
    low, high = sorted((first, second))
    draw = random.Random(seed)
    points = [low, high, *(draw.uniform(low, high) for _ in range(6))]
    values = [
        value(kind, MP.mpf(point))
        for point in points
        if kind not in (sp.exp, sp.sinh, sp.cosh) or point < 700
    ]
    values = [v for v in values if v is not None and abs(v) < 1e300]
    try:
        enclosed = over(low, high)(kind(x, evaluate=False))
    except OutsideDomain:
        assert not values
        return
    assert all(v in enclosed for v in values)


@given(
    st.lists(st.tuples(ENDS, ENDS), min_size=2, max_size=2),
    st.sampled_from([sp.Add, sp.Mul, sp.Max, sp.Min, sp.atan2]),
)
def test_every_value_of_two_arguments_is_inside(boxes: list[tuple[float, float]], kind: type) -> None:
    sides = {symbol: sorted(box) for symbol, box in zip((x, y), boxes, strict=True)}
    enclose = Enclosure(lambda symbol: Interval(*map(MP.mpf, sides[symbol])))
    exact = {
        sp.Add: lambda u, v: u + v,
        sp.Mul: lambda u, v: u * v,
        sp.Max: max,
        sp.Min: min,
        sp.atan2: lambda u, v: MP.atan2(u, v) if u or v else None,
    }[kind]
    points = {symbol: [low, high, low / 2 + high / 2] for symbol, (low, high) in sides.items()}
    values = [exact(MP.mpf(u), MP.mpf(v)) for u in points[x] for v in points[y]]
    values = [v for v in values if v is not None and abs(v) < 1e308]
    try:
        enclosed = enclose(kind(x, y, evaluate=False))
    except OutsideDomain:
        assert not values
        return
    assert all(v in enclosed for v in values)


@given(ENDS, ENDS, st.sampled_from(["2", "3", "-1", "-2", "1/2", "3/4", "-1/2", "-7/2"]))
def test_every_value_of_a_power_is_inside(first: float, second: float, exponent: str) -> None:
    low, high = sorted((first, second))
    power = sp.Rational(exponent)
    real = [p for p in (low, high, low / 2 + high / 2) if p > 0 or (p < 0 and power.is_Integer)]
    values = [MP.mpf(point) ** (MP.mpf(int(power.p)) / int(power.q)) for point in real]
    values = [v for v in values if abs(v) < 1e308]
    try:
        enclosed = over(low, high)(sp.Pow(x, power, evaluate=False))
    except OutsideDomain:
        assert not values
        return
    assert all(v in enclosed for v in values)


@pytest.mark.parametrize(
    ("expr", "low", "high"),
    [
        (x**2, 0, math.inf),
        (sp.sin(x), -1, 1),
        (sp.exp(x), 0, math.inf),
        (a, 0, math.inf),
        (sp.Abs(x) + 1, 1, math.inf),
        (sp.Max(x, 2, evaluate=False), 2, math.inf),
        (sp.sign(x), -1, 1),
        (1 / (1 + x**2), 0, 1),
        (sp.sqrt(x), 0, math.inf),
        (sp.acos(x), 0, math.pi),
        (sp.Piecewise((1, x > 0), (3, True)), 1, 3),
        (sp.Piecewise((1, x**2 >= 0), (3, True), evaluate=False), 1, 1),
        (sp.Piecewise((1, sp.And(x > 0, x**2 < 0)), (3, True), evaluate=False), 3, 3),
        (sp.Rational(1, 3), 1 / 3, 1 / 3),
    ],
)
def test_bounds_are_sharp(expr: sp.Expr, low: float, high: float) -> None:
    enclosed = Enclosure()(expr)
    assert float(enclosed.low) == pytest.approx(low, abs=1e-15)
    assert float(enclosed.high) == pytest.approx(high, abs=1e-15)


@pytest.mark.parametrize(
    ("nowhere", "somewhere"),
    [
        (sp.log(-(x**2), evaluate=False), sp.log(x)),
        (sp.log(sp.S.Zero, evaluate=False), sp.log(sp.S(2))),
        (sp.Pow(-1 - x**2, sp.S.Half, evaluate=False), sp.Pow(1 - x**2, sp.S.Half, evaluate=False)),
        (sp.Pow(sp.S.Zero, -1, evaluate=False), 1 / x),
        (sp.asin(x**2 + 2, evaluate=False), sp.asin(x**2 + 1)),
        (sp.acosh(sp.sin(x) / 2, evaluate=False), sp.acosh(sp.sin(x) + 1)),
        (sp.atanh(x**2 + 2, evaluate=False), sp.atanh(x**2)),
        (sp.exp(1000 + x**2), sp.exp(700 + x**2)),
        (sp.exp(-1000 + sp.S.Zero), sp.exp(-700 + sp.S.Zero)),
        (sp.exp(sp.S(710)), sp.exp(sp.S(709))),
        (sp.tan(sp.pi / 2, evaluate=False), sp.tan(sp.pi / 3, evaluate=False)),
        (sp.cot(sp.S.Zero, evaluate=False), sp.cot(sp.S.One)),
        (sp.atan2(0, 0, evaluate=False), sp.atan2(0, x, evaluate=False)),
        (sp.I * x, x),
        (sp.oo, sp.Integer(10) ** 300),
        (sp.Function("f")(x), sp.sin(x)),
    ],
)
def test_what_is_nowhere_real_is_refused(nowhere: sp.Expr, somewhere: sp.Expr) -> None:
    with pytest.raises(OutsideDomain):
        Enclosure()(nowhere)
    Enclosure()(somewhere)


@pytest.mark.parametrize(
    "hidden",
    [
        sp.sin(1) ** 2 + sp.cos(1) ** 2 - 1,
        sp.sqrt(5 + 2 * sp.sqrt(6)) - sp.sqrt(2) - sp.sqrt(3),
        sp.exp(sp.log(3) / 2 + sp.S.Half, evaluate=False) - sp.sqrt(3) * sp.exp(sp.S.Half),
    ],
)
def test_a_number_that_cannot_be_told_from_zero_decides_nothing(hidden: sp.Expr) -> None:
    enclose, nearby = Enclosure(), hidden + sp.Rational(1, 10**50)
    assert 0 in enclose(hidden) and 0 not in enclose(nearby)
    for kind in (
        lambda u: sp.Pow(u, -1, evaluate=False),
        lambda u: sp.log(u, evaluate=False),
        lambda u: sp.sign(u, evaluate=False),
    ):
        enclose(kind(nearby))
        with pytest.raises(OutsideDomain, match="told from 0"):
            enclose(kind(hidden))


def test_small_angles_keep_their_relative_accuracy() -> None:
    tiny = sp.Rational(1, 10**100)
    for expr in (sp.sin(tiny), sp.tan(tiny), tiny - sp.sin(tiny) / 2):
        assert Enclosure()(expr).low > 0
    # The sine of 1e300 is not known to 60 digits, and its enclosure says so.
    assert 0 in Enclosure()(sp.sin(sp.Integer(10) ** 300))


def test_a_point_is_a_box() -> None:
    at_point = Enclosure(lambda symbol: exactly({"x": 0.5, "y": -2.0}[symbol.name]))
    enclosed = at_point(x * y + sp.exp(x))
    assert enclosed.fixed and float(enclosed.low) == pytest.approx(-1 + math.exp(0.5))
    with pytest.raises(OutsideDomain):
        at_point(sp.log(y))


def test_the_precision_of_the_caller_is_neither_used_nor_changed() -> None:
    before = mpmath.mp.prec
    mpmath.mp.prec = 10
    try:
        assert float(Enclosure()(sp.pi).low) == pytest.approx(math.pi, abs=1e-15)
        assert mpmath.mp.prec == 10
    finally:
        mpmath.mp.prec = before


@pytest.mark.parametrize("kind", [sp.Gt, sp.Ge, sp.Lt, sp.Le, sp.Eq, sp.Ne])
@given(st.integers(-2, 2), st.integers(-2, 2))
def test_a_comparison_is_decided_only_if_all_differences_agree(kind: type, first: int, second: int) -> None:
    low, high = sorted((first, second))
    outcomes = {bool(kind(sp.Rational(d), 0)) for d in (low, (low + high) / 2, high)}
    if low < 0 < high:
        outcomes.add(bool(kind(sp.S.Zero, 0)))
    decided = decide(kind, Interval(low, high))
    assert decided == (outcomes.pop() if len(outcomes) == 1 else None)
