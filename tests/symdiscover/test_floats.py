"""Expressions at arrays of numbers, against the same in many digits."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from symdiscover.errors import OutsideDomain, SymmetryError
from symdiscover.expression import parse
from symdiscover.floats import _FUNCTIONS, evaluate_floats
from tests.symdiscover.real_expressions import MP, NAMES, Meaning, Undefined, meanings

x, y = sp.symbols("x y", real=True)


@settings(max_examples=100)
@given(meanings(6), st.integers(0, 2**16))
def test_values_are_those_of_many_digits(meaning: Meaning, seed: int) -> None:
    try:
        expression = parse(meaning.text, variables=["x", "y"], positive=["a"]).expression
    except SymmetryError:
        return
    draw = random.Random(seed)
    at = {name: abs(draw.gauss(0, 2)) + 0.1 if name == "a" else draw.gauss(0, 2) for name in NAMES}

    def moved(shift: float) -> float | None:
        try:
            return float(meaning.value({name: MP.mpf(value) + shift for name, value in at.items()}))
        except (Undefined, ValueError, ZeroDivisionError, OverflowError, TypeError):
            return None

    exact, left, right = moved(0.0), moved(-1e-9), moved(1e-9)
    if exact is None or left is None or right is None or not abs(exact) < 1e100:
        return
    spread = abs(left - exact) + abs(right - exact)
    if spread > 1e-3 * (1 + abs(exact)):
        return
    symbols = {s: at[s.name] for s in expression.free_symbols}
    value = float(evaluate_floats(expression, symbols))
    allowed = 1e-6 * (1 + abs(exact)) + 1e3 * spread
    assert abs(value - exact) <= allowed
    assert not abs(value + 2 * allowed + 1 - exact) <= allowed


@pytest.mark.parametrize("kind", _FUNCTIONS, ids=lambda kind: kind.__name__)
def test_every_function_is_the_one_of_sympy(kind: type) -> None:
    arguments = {sp.atan2: (x, y), sp.polygamma: (sp.Integer(1), x)}.get(kind, (x,))
    place = {x: 1.3 if kind is sp.acosh else 0.4, y: -0.7}
    exact = kind(*arguments).xreplace({s: sp.Float(v, 40) for s, v in place.items()})
    value = float(evaluate_floats(kind(*arguments), place))
    assert value == pytest.approx(float(exact), rel=1e-14)
    assert value != pytest.approx(float(exact) + 1e-3, rel=1e-14)


def test_arrays_broadcast() -> None:
    values = evaluate_floats(x * y + 1, {x: np.arange(3.0)[:, None], y: np.arange(2.0)})
    assert values.tolist() == [[1, 1], [1, 2], [1, 3]]
    assert values.tolist() != evaluate_floats(x * y, {x: np.arange(3.0)[:, None], y: np.arange(2.0)}).tolist()


def test_what_is_no_number_is_nan_or_infinite() -> None:
    points = np.array([-1.0, 0.0, 4.0])
    for expression in (sp.sqrt(x), sp.log(x), x**sp.pi, sp.sqrt(x - 1)):
        values = evaluate_floats(expression, {x: points})
        assert not math.isfinite(values[0]) and math.isfinite(values[2])
    assert evaluate_floats(x ** sp.Rational(1, 3), {x: -8.0}) == -2  # the real root, as in the generated code
    assert np.isnan(evaluate_floats(sp.Piecewise((1, x < 0)), {x: points})).tolist() == [False, True, True]


def test_conditions() -> None:
    points = np.array([-1.0, 0.5, 2.0])
    assert evaluate_floats(sp.And(x > 0, x < 1), {x: points}).tolist() == [False, True, False]
    assert evaluate_floats(sp.Or(x <= 0, x >= 1), {x: points}).tolist() == [True, False, True]
    assert evaluate_floats(sp.true, {x: points}).all() and not evaluate_floats(sp.false, {x: points}).any()


def test_an_unknown_function_is_refused() -> None:
    with pytest.raises(OutsideDomain, match="no values in float64"):
        evaluate_floats(sp.Function("f")(x), {x: 1.0})
    assert evaluate_floats(sp.sin(x), {x: 0.0}) == 0
