"""Star: true lemmas are proved, false ones never are, and images refute them where they disagree."""

from __future__ import annotations

import mpmath
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

import symdiscover as sd
from symdiscover.invariance import exact_residual
from symdiscover.star import Star
from tests.symdiscover.lemmas import claimed, star, unproved, x, y

R = sp.Rational

TRUE = {
    "round": star("x**2 + y**2"),
    "quartic": star("x**4/4 + x**2 + y**2 + x**2*y**2 + y**4", far=2, ceiling=3),
    "coupled": star("x**2 - x*y + y**2 + cos(x)", floor=1, ceiling=R(6, 5)),
    "shifted": star("(x - 1)**2 + exp((y + 2)**2)", centre=(1, -2), floor=1, ceiling=R(3, 2)),
    "in a frame": star("(x + 2*y)**2 + 100*y**2", frame=[[1, 2], [0, 10]]),
    "beyond an inner cube": star("(x**2 + y**2)**2 - (x**2 + y**2)/100", near=R(1, 5), far=2, floor=R(1, 10), ceiling=4),
    "a kink": star("abs(x) + abs(y) + x**2", ceiling=R(1, 2)),
    "a root": star("sqrt(x**2 + 2*y**2) + y**2", ceiling=R(1, 2)),
    "below a maximum": star("1 - exp(-x**2 - 2*y**2)", ceiling=R(3, 5), far=1),
    "himmelblau": star("(x**2 + y - 11)**2 + (x + y**2 - 7)**2", centre=(3, 2), far=R(1, 2), ceiling=1),
    "one variable": star("x**2 + x**3/4", centre=(0,), far=1, ceiling=R(1, 2)),
    "level not zero": star("x**2 + y**2 - 5", floor=-5, ceiling=-R(9, 2)),
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
    other = sd.Loss(loss.expression + R(1, 10) * sp.sin(40 * loss.variables[0] ** 2), loss.variables)
    assert unproved(other, lemma)


@pytest.mark.parametrize(
    ("name", "changes", "facts"),
    [
        ("round", {"centre": (R(1, 10**6), sp.Integer(0))}, {"chart"}),
        ("round", {"centre": (R(1, 10), sp.Integer(0))}, {"chart"}),
        ("shifted", {"centre": (sp.Integer(1), R(-199, 100))}, {"chart"}),
        ("a root", {"centre": (sp.Integer(0), R(1, 100))}, {"chart"}),
        ("himmelblau", {"far": sp.Integer(9)}, {"chart"}),
        ("himmelblau", {"centre": (R(29, 10), sp.Integer(2))}, {"chart"}),
        ("round", {"ceiling": R(1001, 1000)}, {"inverse chart"}),
        ("quartic", {"ceiling": R(81, 10)}, {"inverse chart"}),
        ("round", {"floor": R(-1, 10**9)}, {"inverse chart"}),
        ("level not zero", {"floor": sp.Integer(-6)}, {"inverse chart"}),
        ("coupled", {"floor": R(9, 10)}, {"inverse chart"}),
        ("beyond an inner cube", {"floor": R(1, 1000)}, {"inverse chart"}),
        ("beyond an inner cube", {"near": R(1, 100)}, {"chart"}),
        ("beyond an inner cube", {"near": sp.Integer(0)}, {"chart"}),
        ("one variable", {"far": sp.Integer(4), "ceiling": sp.Integer(4)}, {"inverse chart"}),
        ("in a frame", {"frame": sp.ImmutableMatrix([[1, 0], [0, 100]]), "ceiling": sp.Integer(50)}, {"inverse chart"}),
    ],
)  # fmt: skip
def test_a_false_lemma_is_not_proved(name: str, changes: dict[str, object], facts: set[str]) -> None:
    loss, lemma = TRUE[name]
    data = {k: getattr(lemma, k) for k in ("centre", "frame", "near", "far", "floor", "ceiling")}
    assert facts <= set(unproved(loss, Star(**(data | changes))))
    assert not unproved(loss, Star(**data), 10.0)


bump = R(1, 10**4) * sp.exp(-((10**4 * (x - R(3, 10))) ** 2) - (10**4 * y) ** 2)
r2 = x**2 + y**2
#: Losses that do not grow along some ray of the unit cube, or jump, or are not defined; what is wrong with them.
HOSTILE = {
    "a bump narrower than a grid": r2 + 3 * bump,
    "a bump at a corner": r2 + 9 * bump.xreplace({x: x - R(69, 100), y: y - R(99, 100)}),
    "a fast wiggle": r2 + R(1, 10**5) * (1 - sp.cos(10**6 * x)),
    "a ring where it is flat": (r2 - R(1, 4)) ** 3,
    "constant along a ray": x**2,
    "constant": sp.Integer(0) * x,
    "constant along one line of rays": (x - y) ** 2 * (1 + x**2),
    "saddle": x**2 - y**2,
    "hill": -r2,
    "a jump of the arc tangent": r2 - sp.atan(1 / (r2 - R(1, 4))) / 10 - sp.atan(4) / 10,
    "a jump of the arc tangent across a line": r2 - sp.atan(1 / (x - R(1, 3))) / 10 - sp.atan(3) / 10,
    "a jump of tanh": r2 - sp.tanh(1 / (x - R(1, 4))) / 10 - sp.tanh(4) / 10,
    "a jump of the logistic function": r2 + 1 / (1 + sp.exp(1 / (x - R(1, 4)))) / 5 - 1 / (1 + sp.exp(-4)) / 5,
    "a sign": r2 - sp.sign(x - R(1, 2)) / 100 - R(1, 100),
    "x over |x|": r2 - (x - R(1, 2)) / sp.Abs(x - R(1, 2)) / 100 - R(1, 100),
    "a floor": r2 - sp.floor(x + R(1, 2)) / 100,
    "a ceiling": r2 - sp.ceiling(x - R(1, 2)) / 100,
    "a Heaviside": r2 - sp.Heaviside(x - R(1, 2)) / 100,
    "a Piecewise with a jump": sp.Piecewise((r2, x < R(1, 2)), (r2 - R(1, 100), True)),
    "a Piecewise with a dip": sp.Piecewise((r2, x < R(3, 10)), (r2 - R(1, 10), x < R(3001, 10000)), (r2, True)),
    "atan2 at its cut": r2 + sp.atan2(y - R(1, 2), x - 2) / 100 - sp.atan2(-R(1, 2), -2) / 100,
    "a pole": r2 + R(1, 10**4) / ((x - R(1, 2)) ** 2 + (y - R(1, 2)) ** 2),
    "a pole with a rising slope": r2 - R(1, 10) / (x - R(1, 2)) - R(1, 5),
    "a logarithm of what vanishes": r2 + sp.log(sp.Abs(x - R(1, 2))) / 100 + sp.log(2) / 100,
    "a hole": r2 + ((x - R(1, 4)) * (x - R(1, 2))) ** R(3, 2) - R(1, 8) ** R(3, 2),
    "half of it undefined": r2 + sp.sqrt(x + y),
    "a tangent": r2 + sp.tan(2 * x) / 100,
    "cancellation": (10**8 + r2) ** 2 - 10**16 - 2 * 10**8 * r2 - r2**2 + x * y,
    "huge constants": 10**20 * (r2 + 1) - 10**20 * (1 + r2) + x**2 - R(1, 10**9) * y**2,
    "a hidden zero": (sp.sin(1) ** 2 + sp.cos(1) ** 2 - 1) * r2,
    "another hidden zero": (sp.sqrt(2) + sp.sqrt(3) - sp.sqrt(5 + 2 * sp.sqrt(6))) * r2,
    "tiny and negative": x**2 - R(1, 10**30) * y**2,
    "a line through the centre": r2 + R(1, 10**6) * x,
    "a kink that falls": r2 - sp.Abs(x - R(1, 2)) * 3 + R(3, 2),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_what_does_not_grow_along_rays_is_not_proved(name: str) -> None:
    loss, lemma = star(HOSTILE[name], far=1, ceiling=R(1, 2))
    assert unproved(loss, lemma)
    if name != "a line through the centre":
        loss, lemma = star(HOSTILE[name], near=R(1, 10), far=1, floor=R(1, 3), ceiling=R(1, 2))
        assert unproved(loss, lemma)


@pytest.mark.parametrize("name", ["a sign", "half of it undefined", "saddle"])
def test_verify_never_calls_it_proved(name: str) -> None:
    claim = claimed(*star(HOSTILE[name], far=1, ceiling=R(1, 2)))
    try:
        assert sd.verify(claim, budget=20).status != "proved"
    except sd.NotInvariant as refuted:
        assert refuted.counterexample


def test_images_refute_a_wrong_centre() -> None:
    """From there a ray meets a level twice, and the root found is not the one that the chart means."""
    loss, lemma = star("(x**2 - 1)**2 + y**2", far=3, floor=1, ceiling=60)
    with pytest.raises(sd.NotInvariant):
        sd.verify(claimed(*star("(x**2 - 1)**2 + y**2", far=3, floor=R(-1, 10), ceiling=R(3, 4))))
    assert "chart" in unproved(loss, lemma)
    assert not unproved(*star("(x**2 - 1)**2 + y**2", centre=(1, 0), far=R(1, 4), ceiling=R(1, 20)), 10.0)


@settings(max_examples=8)
@given(st.lists(st.integers(-4, 4), min_size=6, max_size=6), st.sampled_from([R(1, 4), R(1), R(3)]))
def test_a_proved_lemma_turns_points_exactly(c: list[int], far: sp.Rational) -> None:
    """Random losses: where the lemma is proved, images of random points under random turns have the same loss."""
    expression = (
        x**2 + 2 * y**2 + R(c[0], 3) * x * y + R(c[1], 2) * x**3 + R(c[2], 2) * x * y**2
        + R(c[3], 4) * (1 - sp.cos(3 * x)) + R(c[4], 4) * sp.Abs(y) ** 3 + R(c[5], 4) * x**2 * y**2
    )  # fmt: skip
    loss, lemma = star(expression, far=far, ceiling=far**2 / 8)
    if unproved(loss, lemma):
        return
    claim = claimed(loss, lemma)
    for k in range(3):
        with mpmath.workdps(60):
            turn = mpmath.mpf(k + 1)
            matrix = mpmath.matrix(
                [[mpmath.cos(turn), -mpmath.sin(turn)], [mpmath.sin(turn), mpmath.cos(turn)]]
            )
            point = [mpmath.mpf(far.p) / far.q / 20 * (k + 1) / 3, mpmath.mpf(far.p) / far.q / 30]
        if (
            0
            < loss.expression.xreplace({s: sp.Float(v, 30) for s, v in zip((x, y), point, strict=True)})
            < lemma.ceiling
        ):
            assert exact_residual(claim, matrix, point) < 1e-40
            assert exact_residual(claim, matrix * mpmath.mpf(1.01), point) > 1e-6


@pytest.mark.parametrize(
    "changes",
    [
        {"near": 2}, {"far": -1}, {"floor": 3}, {"frame": [[1, 1], [1, 1]]}, {"frame": [[1]]}, {"far": sp.oo},
        {"centre": (x, 0)}, {"floor": x}, {"centre": (sp.I, 0)}, {"near": -R(1, 2)},
    ],
)  # fmt: skip
def test_data_that_are_no_star_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(sd.SymmetryError):
        star("x**2 + y**2", **changes)
    star("x**2 + y**2")


def test_symbolic_constants_are_not_proved() -> None:
    loss, lemma = star("x**2 + y**2")
    a = sp.Symbol("a", positive=True)
    assert "chart" in unproved(sd.Loss(a * x**2 + y**2, (x, y), (a,)), lemma)
    assert not unproved(loss, lemma, 10.0)
