"""Basins: true lemmas are proved, false ones never are, and images refute them where they disagree."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import mpmath
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

import symdiscover as sd
from symdiscover.basins import Basins, is_unbounded, rises, starts_at_zero, undoes
from symdiscover.group import Group
from symdiscover.invariance import exact_residual
from tests.symdiscover.lemmas import basins, claimed, unproved, x, y

R, oo = sp.Rational, sp.oo
t = sp.Symbol("t", positive=True)
k = sp.Symbol("k", positive=True)

TRUE = {
    "powers": basins((x**4, 3 * sp.Abs(y))),
    "powers with formulas": basins(
        (x**4, 3 * sp.Abs(y)), inverses=((sp.sqrt(x), sp.sqrt(x)), (y**2 / 3, y**2 / 3))
    ),
    "polynomials": basins((x**4 + x**2, y**6 + y**2)),
    "rastrigin": basins((x**2 - 10 * sp.cos(2 * sp.pi * x), y**2 - 10 * sp.cos(2 * sp.pi * y)), R(2, 5), 17),
    "lopsided": basins((x**2 + x**3 / 4, y**2), 2, R(7, 10), lows=1, loss="x**2 + x**3/4 + y**2"),
    "outer": basins((x**2 + x**4, y**2), outer=sp.exp(-x)),
    "in a frame": basins((x**4, y**2), frame=[[1, 1], [1, -1]]),
    "centres": basins(((x - 1) ** 4 + x, y**2), R(1, 4), R(1, 100), centres=(1 - R(1, 4) ** R(1, 3), 0)),
    "product": basins((-sp.log(sp.cos(x)) + x**2, y**2), 1, R(9, 10), outer=sp.exp(-x)),
    "constants": basins((k * x**4, y**2), constants="k"),
    "a kink": basins((sp.Abs(x) + x**2, sp.Max(y, -2 * y))),
}  # fmt: skip


@pytest.mark.parametrize("name", TRUE)
def test_a_true_lemma_is_proved(name: str) -> None:
    loss, lemma = TRUE[name]
    assert not unproved(loss, lemma, 10.0)
    certificate = sd.verify(claimed(loss, lemma))
    assert certificate.status == "proved" and certificate.group_law


@pytest.mark.parametrize("name", TRUE)
def test_another_loss_is_not_proved_by_it(name: str) -> None:
    loss, lemma = TRUE[name]
    other = replace(loss, expression=loss.expression + R(1, 10**9) * x * y)
    assert "reduction" in unproved(other, lemma)


def with_(name: str, **changes: Any) -> tuple[sd.Loss, Basins]:
    loss, lemma = TRUE[name]
    return loss, replace(lemma, **changes)


@pytest.mark.parametrize(
    ("name", "changes", "fact"),
    [
        ("rastrigin", {"centres": (R(1, 10**6), sp.Integer(0))}, "chart"),
        ("rastrigin", {"highs": (R(3, 5), R(2, 5))}, "chart"),
        ("rastrigin", {"lows": (sp.Integer(-3), R(-2, 5))}, "chart"),
        ("rastrigin", {"barrier": sp.Integer(19)}, "inverse chart"),
        ("rastrigin", {"barrier": oo}, "inverse chart"),
        ("rastrigin", {"outer": 2 * x}, "reduction"),
        ("rastrigin", {"outer": x + R(1, 10**30)}, "reduction"),
        ("lopsided", {"barrier": R(76, 100)}, "inverse chart"),
        ("lopsided", {"lows": (sp.Integer(-4), sp.Integer(-1))}, "chart"),
        ("polynomials", {"parts": (x**4 + x**2, y**6 - y**2)}, "reduction"),
        ("powers with formulas", {"inverses": ((sp.sqrt(x), sp.sqrt(x) / 2), (y**2 / 3, y**2 / 3))}, "inverse"),
        ("powers with formulas", {"inverses": ((sp.sqrt(x), sp.sqrt(x)), (y**2, y**2 / 3))}, "inverse"),
        ("powers with formulas", {"inverses": ((-sp.sqrt(x), sp.sqrt(x)), (y**2 / 3, y**2 / 3))}, "inverse"),
        ("centres", {"centres": (R(37, 100), sp.Integer(0))}, "chart"),
        ("product", {"highs": (sp.Integer(2), sp.Integer(1))}, "chart"),
        ("outer", {"outer": sp.exp(x)}, "reduction"),
        ("in a frame", {"frame": sp.ImmutableMatrix([[1, 1], [1, -2]])}, "reduction"),
    ],
)  # fmt: skip
def test_a_false_lemma_is_not_proved(name: str, changes: dict[str, Any], fact: str) -> None:
    assert fact in unproved(*with_(name, **changes))
    assert not unproved(*with_(name), 10.0)


free: dict[str, Any] = {"ends": oo, "barrier": oo}
near: dict[str, Any] = {"ends": 1, "barrier": R(1, 2)}
#: First parts that do not fall and rise around 0, or jump, or are not defined.
HOSTILE = {
    "a dip narrower than a grid": (x**2 - 9 * R(1, 10**4) * sp.exp(-((10**4 * (x - R(3, 10))) ** 2)), near),
    "a fast wiggle": (x**2 + R(1, 10**5) * (1 - sp.cos(10**6 * x)), near),
    "rational dip": (x**2 - R(1, 10**6) / (1 + (10**7 * (x - R(3, 10))) ** 2), near),
    "polynomial with a dip beyond": (x**2 * (x - 100) ** 2, free),
    "polynomial with a dip below a millionth": (x**4 - R(1, 10**6) * x**3, free),
    "two minima": ((x**2 - 1) ** 2, free),
    "a jump up at the centre": (x**2 + sp.sign(x) ** 2, free),
    "a jump down at the centre": (x**2 - sp.sign(x) ** 2, free),
    "a jump beside the centre": (x**2 + sp.Heaviside(x), free),
    "another value at the centre": (sp.Piecewise((5, sp.Eq(x, 0)), (x**2, True)), free),
    "a lower value at the centre": (sp.Piecewise((-5, sp.Eq(x, 0)), (x**2, True)), free),
    "a Piecewise with a jump": (sp.Piecewise((x**2, sp.Abs(x) < R(1, 2)), (x**2 - R(1, 10), True)), near),
    "a Piecewise with a jump up": (sp.Piecewise((x**2, sp.Abs(x) < R(1, 2)), (x**2 + 1, True)), near),
    "a floor": (x**2 - sp.floor(4 * x) / 100, near),
    "a sign": (x**2 + sp.sign(R(1, 2) - sp.Abs(x)) / 10, near),
    "x over |x|": (x**2 - (x - R(1, 2)) / sp.Abs(x - R(1, 2)) / 10, near),
    "a jump of the arc tangent": (x**2 - sp.atan(1 / (sp.Abs(x) - R(1, 2))) / 10, near),
    "a jump of tanh": (x**2 - sp.tanh(1 / (sp.Abs(x) - R(1, 2))) / 10, near),
    "a jump of acot": (x**2 - sp.acot(sp.Abs(x) - R(1, 2)) / 10, near),
    "atan2 at its cut": (x**2 + sp.atan2(1 - sp.Abs(x), -1), free),
    "an argument": (x**2 + sp.arg(1 - sp.Abs(x)), free),
    "a pole": (x**2 + R(1, 10**3) / (sp.Abs(x) - R(1, 2)) ** 2, near),
    "a tangent": (sp.tan(4 * sp.Abs(x)), near),
    "a logarithm at the centre": (sp.log(sp.Abs(x)), free),
    "a hole": (10 * x**2 + ((sp.Abs(x) - R(1, 4)) * (sp.Abs(x) - R(1, 2))) ** R(3, 2), near),
    "undefined on one side": (x**2 + x ** R(5, 2), near),
    "constant": (0 * x + 3, free),
    "constant beyond one": (sp.Min(sp.Abs(x), 1), free),
    "never above one": (1 - sp.exp(-(x**2)), free),
    "one-sided": (x + sp.exp(x), free),
    "huge and cancelling": (10**20 * (x**2 + 1) - 10**20 * (1 + x**2) - x**2, free),
    "a hidden zero": ((sp.sin(1) ** 2 + sp.cos(1) ** 2 - 1) * x**2, free),
    "another hidden zero": ((sp.sqrt(2) + sp.sqrt(3) - sp.sqrt(5 + 2 * sp.sqrt(6))) * x**2, free),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_basin_is_not_proved(name: str) -> None:
    part, data = HOSTILE[name]
    assert unproved(*basins((part, y**2), **data))
    swapped = part.xreplace({x: y})
    assert unproved(*basins((x**2, swapped), **data))


@pytest.mark.parametrize("name", ["a jump up at the centre", "atan2 at its cut", "two minima"])
def test_verify_never_calls_it_proved(name: str) -> None:
    part, data = HOSTILE[name]
    try:
        assert sd.verify(claimed(*basins((part, y**2), **data)), budget=20).status != "proved"
    except sd.NotInvariant as refuted:
        assert refuted.counterexample


def test_images_refute_a_wrong_inverse_and_a_wrong_centre() -> None:
    for name, changes in (
        ("powers with formulas", {"inverses": ((sp.sqrt(x), sp.sqrt(x) / 2), (y**2 / 3, y**2 / 3))}),
        ("polynomials", {"centres": (sp.Integer(1), sp.Integer(0))}),
    ):
        with pytest.raises(sd.NotInvariant):
            sd.verify(claimed(*with_(name, **changes)))


@pytest.mark.parametrize(
    "changes",
    [
        {"barrier": y**2 + 1}, {"centres": (y, sp.Integer(0))}, {"parts": (x**4 * (1 + y**2), 3 * sp.Abs(y))},
        {"outer": x + y}, {"inverses": ((y, y), ())}, {"parts": (x**4, 3 * sp.Abs(y) + x)},
    ],
)  # fmt: skip
def test_what_moves_with_the_point_is_refused(changes: dict[str, Any]) -> None:
    """A barrier of 1 + y^2 is none: the group would leave the domain."""
    loss, lemma = with_("powers", **changes)
    with pytest.raises(sd.SymmetryError, match="basins need"):
        claimed(loss, lemma)
    claimed(*with_("powers"))


def test_groups_that_do_not_keep_the_length_are_refused() -> None:
    """All maps keep a constant loss, but not the region of the lemma."""
    for matrix in ([[1, 0], [0, 1]], [[0, 1], [1, 0]]):
        group = Group("other", 2, (sp.ImmutableMatrix(matrix),))
        with pytest.raises(sd.SymmetryError, match="not about groups"):
            sd.verify(claimed(*basins((x**2, y**2), outer=sp.Integer(5) + 0 * x), group))
    assert sd.verify(claimed(*TRUE["polynomials"], sd.O(2))).status == "proved"


@pytest.mark.parametrize(
    "changes",
    [
        {"barrier": 0}, {"ends": -1}, {"frame": [[1, 1], [2, 2]]}, {"inverses": ((x,), ())}, {"lows": oo, "ends": 1},
        {"centres": (0,)},
    ],
)  # fmt: skip
def test_data_that_are_no_basins_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(sd.SymmetryError):
        basins((x**2, y**2), loss="x**2 + y**2", **({"ends": 1, "barrier": R(1, 2)} | changes))
    basins((x**2, y**2), ends=1, barrier=R(1, 2))


@settings(max_examples=10)
@given(st.lists(st.integers(-4, 4), min_size=5, max_size=5), st.sampled_from([R(1, 2), R(2)]))
def test_a_proved_lemma_turns_points_exactly(c: list[int], ends: sp.Rational) -> None:
    first = x**2 + R(c[0], 3) * x**3 + R(c[1], 4) * x**4 + R(c[2], 4) * (1 - sp.cos(2 * x))
    second = y**2 * sp.exp(R(c[3], 4) * y) + R(abs(c[4]), 3) * sp.Abs(y)
    barrier = ends**2 / 8
    loss, lemma = basins((first, second), ends, barrier)
    if unproved(loss, lemma):
        return
    claim = claimed(loss, lemma)
    for turn in (1, 2.5, 4):
        point = [float(ends) / 20 * turn, -float(ends) / 15]
        if (
            0
            < loss.expression.xreplace({s: sp.Float(v, 30) for s, v in zip((x, y), point, strict=True)})
            < barrier
        ):
            with mpmath.workdps(60):
                cosine, sine = mpmath.cos(turn), mpmath.sin(turn)
                matrix = mpmath.matrix([[cosine, -sine], [sine, cosine]])
                assert exact_residual(claim, matrix, point) < 1e-40
                assert exact_residual(claim, matrix * mpmath.mpf(1.001), point) > 1e-9


@pytest.mark.parametrize(
    ("function", "width", "truth"),
    [
        (t**3 + t, oo, True), (t**3 - t, oo, False), (sp.sqrt(t) + sp.log(1 + t), oo, True), (1 - sp.cos(t), sp.Integer(3), True),
        (1 - sp.cos(t), sp.Integer(4), False), (sp.tan(t), sp.Integer(1), True), (sp.tan(t), sp.Integer(2), False),
        (t - sp.acot(t - 1), oo, False), (sp.atan2(1 - t, -1), oo, False), (t + sp.arg(t - 1), oo, False), (-1 / (t - 1), sp.Integer(2), False),
        ((t - 1) ** 3, oo, False), (t**2 - 2 * R(1, 10**9) * t, oo, False), (k * t**2 + t, oo, True), ((1 - k) * t**2, oo, False),
        (sp.floor(t) + t, sp.Integer(2), False), (t + sp.sqrt(t - 1), sp.Integer(2), False),
    ],
)  # fmt: skip
def test_rises(function: sp.Expr, width: sp.Expr, truth: bool) -> None:
    assert rises(function, t, width) is truth
    assert not rises(-function, t, width) or not truth


def test_small_questions() -> None:
    assert is_unbounded(t**2 - 5 * t, t) and is_unbounded(k * sp.sqrt(t), t)
    assert not any(is_unbounded(f, t) for f in (5 - t**2, 1 / t, sp.log(1 + t), (1 - k) * t, sp.exp(t)))
    assert starts_at_zero(sp.exp(t) - 1, t) and starts_at_zero(sp.sqrt(t), t)
    assert not any(
        starts_at_zero(f, t)
        for f in (t + 1, 1 / t, sp.log(t), sp.Min(1 / t, 1), sp.sign(t) + t, sp.atan(1 / t))
    )
    assert undoes(sp.sqrt(t**2 + 1 - 1), t, oo) and not undoes(sp.sqrt(t**2 + 1) - 1, t, oo)
    assert not undoes(sp.acos(sp.cos(2 * t)) / 2, t, sp.Integer(2)) and not undoes(-sp.sqrt(t**2), t, oo)
