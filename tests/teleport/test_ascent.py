from __future__ import annotations

import math

import pytest
import torch

from symdiscover.errors import Diverged, SymmetryError
from teleport.ascent import AscentSettings, ascend
from teleport.objective import gradient_norm, loss_after_step
from tests.teleport.actions import (
    DOUBLE,
    booth,
    bowl,
    dense_maximum,
    ellipsoid,
    point,
    points,
    product,
    rosenbrock,
    stretched,
)


def test_on_circles_the_exact_optimum_is_used() -> None:
    action, rows = rosenbrock(), points(10)
    found = ascend(action, rows)
    assert found.reason == ("exact optimum",) * 10
    assert bool((found.after >= 0.999999 * dense_maximum(action, rows)).all())
    assert found.evaluations == 1
    alone = ascend(action, rows[0])
    assert alone.reason == "exact optimum" and alone.gain.shape == ()
    torch.testing.assert_close(alone.point, found.point[0])


@pytest.mark.parametrize("method", ["closed", "general"])
@pytest.mark.parametrize("make", [rosenbrock, booth, stretched])
def test_the_result_is_what_it_says(make, method) -> None:
    action, rows = make(), points(10)
    found = ascend(action, rows, radius=0.3, method=method)
    torch.testing.assert_close(found.before, gradient_norm(action.loss, rows))
    torch.testing.assert_close(found.after, gradient_norm(action.loss, found.point), rtol=1e-9, atol=0)
    torch.testing.assert_close(action(found.element, rows), found.point, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(action.loss(found.point), action.loss(rows), rtol=1e-9, atol=0)
    assert bool((found.gain >= 1).all() and (found.gain[found.moved] > 1).all())
    assert bool((found.radius <= 0.3 * (1 + 1e-12)).all())


def test_the_general_method_agrees_with_the_exact_one_inside_a_small_radius() -> None:
    """Where the derivative has one sign both end at the same end of the interval."""
    action, rows = rosenbrock(), points(30)
    exact = ascend(action, rows, radius=0.05)
    general = ascend(action, rows, radius=0.05, method="general", steps=30)
    monotone = exact.element.abs() > 0.05 * 0.999
    assert int(monotone.sum()) > 20
    ratio = (general.after / exact.after)[monotone]
    assert bool((ratio <= 1 + 1e-9).all()) and float(ratio.median()) > 0.999999


def test_without_a_closed_form_the_general_method_is_used() -> None:
    action, rows = rosenbrock(), points(10, 0.5)
    step = loss_after_step(1e-3)
    found = ascend(action, rows, objective=step, minimise=True, steps=20)
    assert bool((found.after <= found.before).all())
    torch.testing.assert_close(found.after, step(action.loss, found.point))
    assert "exact optimum" not in found.reason


def test_minimising_lowers_and_maximising_raises() -> None:
    for method in ("closed", "general"):
        rows = points(10)
        low = ascend(booth(), rows, minimise=True, method=method, steps=40)
        high = ascend(booth(), rows, method=method, steps=40)
        torch.testing.assert_close(low.after, 4 * booth().loss(rows), rtol=1e-6, atol=0)
        torch.testing.assert_close(high.after, 36 * booth().loss(rows), rtol=1e-6, atol=0)


@pytest.mark.parametrize("method", ["closed", "general"])
@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ((1.0, 1.0), "zero gradient"),
        ((math.nan, 1.0), "not finite"),
        ((1.0, math.inf), "not finite"),
        ((1e200, 1e200), "not finite"),
    ],
)
def test_where_there_is_nothing_to_do_the_bits_stay_and_the_reason_is_told(
    bad, reason, batched, method
) -> None:
    x = point(*bad)
    start = torch.stack([x, point(-1, -1)]) if batched else x
    found = ascend(rosenbrock(), start, method=method)
    first = found.reason[0] if batched else found.reason
    assert first == reason
    moved = found.point[0] if batched else found.point
    assert moved.view(torch.int64).tolist() == x.view(torch.int64).tolist()
    assert found.moved.flatten().tolist() == [False, True][: found.moved.numel()]
    assert bool((found.gain.flatten()[0] == 1) & (found.radius.flatten()[0] == 0))


def test_on_failure_raise_raises_for_what_is_not_finite_only() -> None:
    with pytest.raises(Diverged):
        ascend(rosenbrock(), point(math.nan, 0), on_failure="raise")
    assert ascend(rosenbrock(), point(1, 1), on_failure="raise").reason == "zero gradient"


def test_the_optimum_of_an_orbit_stays() -> None:
    best = ascend(booth(), point(5, -5)).point
    again = ascend(booth(), best, method="general")
    assert float(again.gain) == pytest.approx(1, abs=1e-9)
    assert ascend(bowl(), point(3, 4)).reason == "already the optimum of the orbit"
    assert ascend(bowl(), point(3, 4), method="general").reason == "already the optimum of the orbit"


def test_non_compact_groups_need_a_bound() -> None:
    with pytest.raises(SymmetryError, match=r"not compact.*radius"):
        ascend(product(), point(1, 3))
    assert ascend(product(), point(1, 3), radius=0.3).reason == "radius reached"
    assert ascend(product(), point(1, 3), max_gain=5.0, steps=30).reason == "gain reached"


def test_arguments_that_make_no_sense_are_refused() -> None:
    action, x = rosenbrock(), point(-1, -1)
    for arguments in (
        {"method": "newton"},
        {"radius": 0.0},
        {"radius": -1.0},
        {"radius": torch.tensor([0.1, -0.1])},
        {"steps": 0},
        {"steps": 2.5},
        {"max_gain": 1.0},
        {"method": "closed", "max_gain": 3.0},
        {"method": "closed", "objective": loss_after_step(0.1)},
        {"on_failure": "ignore"},
    ):
        with pytest.raises(SymmetryError):
            ascend(action, x, **arguments)
    for dtype in (torch.float16, torch.bfloat16, torch.int64):
        with pytest.raises(SymmetryError, match="float32"):
            ascend(action, x.to(dtype))


def test_settings_call_the_same_search() -> None:
    settings = AscentSettings(radius=0.2, method="general", steps=4)
    rows = points(5)
    torch.testing.assert_close(
        settings(booth(), rows).point,
        ascend(booth(), rows, radius=0.2, method="general", steps=4).point,
        rtol=0,
        atol=0,
    )
    with pytest.raises(SymmetryError):
        AscentSettings().check(product(), point(1, 3))
    settings.check(product(), point(1, 3))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_and_shape_of_the_point_are_kept(dtype) -> None:
    for action in (rosenbrock(), ellipsoid()):
        n = 2 if action is rosenbrock() else 3
        for shape in ((n,), (4, n), (2, 3, n)):
            x = points(math.prod(shape[:-1]), n=n).reshape(shape).to(dtype)
            found = ascend(action, x, radius=0.4)
            assert found.point.shape == shape and found.point.dtype == dtype
            for table in (found.before, found.after, found.radius, found.gain, found.steps, found.moved):
                assert table.shape == shape[:-1]


def test_an_ascent_leaves_the_callers_random_stream_and_point_alone() -> None:
    state, x = torch.get_rng_state(), points(4)
    kept = x.clone()
    ascend(rosenbrock(), x, method="general", generator=torch.Generator().manual_seed(1))
    ascend(rosenbrock(), x)
    assert torch.equal(torch.get_rng_state(), state) and torch.equal(x, kept)
    assert x.dtype == DOUBLE
