"""Growth along rays: what is proved to grow does, and a dip, a jump or a constant stretch is not."""

from __future__ import annotations

import itertools
import random

import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from symdiscover.errors import OutsideDomain
from symdiscover.floats import evaluate_floats
from symdiscover.growth import faces, flattened, grows, level_bounds

t = sp.Symbol("t", positive=True)
d, e = sp.symbols("d e", real=True)
SIDE = {d: (-1.0, 1.0)}
R = sp.Rational

# function of t and d, near, far
GROWING = [
    (t**2, 0, 3), (t + d * t / 2, 0, 3), (t**4 + t**2 + d**2 * t**2, 0, 2), (sp.sqrt(t**2 + d**2 * t**2), 0, 2),
    (1 - sp.cos(t), 0, 3), (sp.exp(t * d) + 2 * t, 0, 1), (sp.Abs(t * d - t) + 2 * t, 0, 1), (sp.log(t), R(1, 10), 2),
    (sp.Max(t, 1) + t, 0, 3), (t - R(9, 10) * sp.sin(t) + d * t / 100, 0, 3), (t**4 + t**8, 0, 1), (-1 / t, 1, 5),
]  # fmt: skip
# function of t and d, near, far, and what is wrong with it
NOT_GROWING = [
    (t**2 + d * t, 0, 2, "falls at first for d < 0"),
    (t**2 - R(1, 10**4) * t, 0, 2, "falls on a ten thousandth"),
    (d**2 * t**2, 0, 1, "constant along one ray"),
    (sp.cos(t) + t, 0, 3, "flat at one place"),
    (sp.Integer(1) + 0 * t, 0, 1, "constant"),
    (t - 3 * R(1, 10**4) * sp.exp(-((10**4 * (t - R(3, 10))) ** 2)), 0, 1, "a dip narrower than a grid"),
    (t + R(1, 10**6) * sp.sin(2 * 10**6 * t), 0, 1, "a fast wiggle"),
    (sp.Piecewise((t, t < R(1, 2)), (t - R(1, 100), True)), 0, 1, "a jump"),
    (sp.Piecewise((t, t < R(1, 2)), (t - R(1, 100), True)), R(1, 3), 1, "a jump, away from the centre"),
    (t + sp.sign(d - t) / 100, 0, 1, "a jump at a place that moves"),
    (t - sp.atan(1 / (t - R(1, 3))), 0, 1, "a jump of the arc tangent"),
    (t - sp.tanh(1 / (t - R(1, 3))), R(1, 10), 1, "a jump of tanh"),
    (-1 / (t - R(1, 2)), 0, 1, "a pole with a positive slope"),
    (sp.tan(3 * t), 0, 1, "a pole of the tangent"),
    (10 * t + ((t - 1) * (t - 2)) ** R(3, 2), 0, 3, "a hole between 1 and 2"),
    (t + sp.sqrt(t - R(1, 2)), 0, 1, "a hole at the centre"),
    (t**2 - 2 * R(1, 1000) * t**2 * (1 + sp.cos(1000 / t)), R(1, 10), 1, "wiggles near the centre"),
    (t**2 - 3 * sp.Max(0, t - R(1, 2)), 0, 1, "a slope that jumps down, and grows beside"),
    (t**2 - 2 * sp.Abs(t - R(1, 2)) - 2 * t, 0, 1, "a slope that jumps down, and is 0 at 0"),
    (sp.floor(t) + t, 0, 2, "no rule"),
    (t**3 - t**2 / 10**6, 0, 1, "falls on a millionth"),
    (-(t**4) + t**8, 0, 2, "a hill"),
]  # fmt: skip


@pytest.mark.parametrize(("function", "near", "far"), GROWING, ids=lambda v: str(v)[:40])
def test_growth_is_proved(function: sp.Expr, near: sp.Expr, far: int) -> None:
    assert grows(function, t, float(near), far, SIDE, 3)
    assert not grows(-function, t, float(near), far, SIDE, 0.2)


@pytest.mark.parametrize(("function", "near", "far", "why"), NOT_GROWING, ids=lambda v: str(v)[:40])
def test_what_does_not_grow_is_not_proved_to(function: sp.Expr, near: sp.Expr, far: int, why: str) -> None:
    assert not grows(function, t, float(near), far, SIDE, 0.5), why


@settings(max_examples=40)
@given(st.lists(st.integers(-3, 3), min_size=4, max_size=4), st.integers(0, 2**16))
def test_a_proof_of_growth_is_never_contradicted(c: list[int], seed: int) -> None:
    function = c[0] * t + c[1] * t**2 * (1 + d) + c[2] * sp.sin(2 * t) + c[3] * sp.exp(-t * d) / 2
    if not grows(function, t, 0.0, 1.5, SIDE, 0.3):
        return
    draw = random.Random(seed)
    for _ in range(20):
        places = sorted(draw.uniform(0, 1.5) for _ in range(2))
        low, high = (evaluate_floats(function, {t: place, d: draw.uniform(-1, 1)}) for place in places)
        side = draw.uniform(-1, 1)
        low, high = (float(evaluate_floats(function, {t: place, d: side})) for place in places)
        assert low <= high + 1e-12


def test_without_time_nothing_is_proved() -> None:
    assert not grows(t**2, t, 0, 3, SIDE, 0.0)
    assert grows(t**2, t, 0, 3, SIDE, 3.0)


def test_the_faces_cover_the_cube() -> None:
    for n in (1, 2, 3):
        found = {face.directions for face in faces(n)}
        assert len(found) == 2 * n
        for corner in itertools.product((-1, 1), repeat=n):
            on = [
                f
                for f in faces(n)
                if all(a == b or a.free_symbols for a, b in zip(f.directions, corner, strict=True))
            ]
            assert len(on) == n
        assert len(found - {next(faces(n)).directions}) == 2 * n - 1


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (sp.sqrt(t**2 + d**2 * t**2), t * sp.sqrt(1 + d**2)),
        (sp.Abs(2 * t - t * d) + sp.exp(t), t * sp.Abs(2 - d) + sp.exp(t)),
        ((t + 1) ** 2 - 1, t**2 + 2 * t),
    ],
)
def test_flattened(function: sp.Expr, expected: sp.Expr) -> None:
    assert flattened(function, t) - expected == 0
    assert flattened(function + d, t) - expected != 0


@given(st.floats(0.01, 5), st.floats(-1, 1))
def test_flattened_changes_no_value(place: float, side: float) -> None:
    for function in (
        sp.sqrt(t**3 * (1 + d) + t**2) + sp.Abs(t * d - 2 * t) ** R(3, 2),
        (t * d + t**2) ** 3 - t,
    ):
        at = {t: place, d: side}
        before, after = (float(evaluate_floats(f, at)) for f in (function, flattened(function, t)))
        assert after == pytest.approx(before, rel=1e-9, abs=1e-9)
        assert after != pytest.approx(before + 1e-3 * (1 + abs(before)), rel=1e-9, abs=1e-9)


def test_levels_on_the_faces() -> None:
    low, high = level_bounds(lambda face: sum(f**2 for f in face.directions), 2)
    assert 0.99 < low <= 1 and 2 <= high < 2.01
    with pytest.raises(OutsideDomain):
        level_bounds(lambda face: 1 / sum(face.directions), 2)
    assert level_bounds(lambda face: face.directions[0] * 3, 1) == pytest.approx((-3, 3))
