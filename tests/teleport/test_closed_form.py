from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from symdiscover.errors import SymmetryError
from teleport.closed_form import closed_form, scaling_optimum, teleport_circle
from teleport.objective import gradient_norm, loss_after_step
from tests.teleport.actions import (
    CIRCLE,
    DOUBLE,
    LINE,
    booth,
    bowl,
    dense_maximum,
    derived_with_constants,
    point,
    points,
    product,
    rosenbrock,
    stretched,
)

CIRCLES = {"Rosenbrock": rosenbrock, "Booth": booth, "stretched": stretched}


def one_by_one(action, rows, **bounds):
    found = [teleport_circle(action, row, **bounds) for row in rows]
    return torch.stack([f.point for f in found]), torch.tensor([float(f.after) for f in found], dtype=DOUBLE)


@pytest.mark.parametrize("name", CIRCLES)
@pytest.mark.parametrize("scale", [0.1, 2.0, 20.0])
def test_the_teleport_reaches_the_maximum_of_a_dense_grid(name, scale) -> None:
    action, rows = CIRCLES[name](), points(20, scale)
    best = dense_maximum(action, rows)
    for moved, after in (one_by_one(action, rows), teleport_circle(action, rows)[0::3]):
        assert bool((after >= 0.999999 * best).all())
        reached = gradient_norm(action.loss, moved)
        torch.testing.assert_close(reached, after, rtol=1e-8, atol=0)
        torch.testing.assert_close(action.loss(moved), action.loss(rows), rtol=1e-8, atol=0)


def test_a_random_angle_does_not_reach_it() -> None:
    action, rows = rosenbrock(), points(20)
    moved = action(torch.linspace(0.3, 3.0, 20, dtype=DOUBLE), rows)
    assert bool((gradient_norm(action.loss, moved) < 0.999 * dense_maximum(action, rows)).any())


@pytest.mark.parametrize("name", CIRCLES)
def test_it_keeps_to_the_radius(name) -> None:
    action, rows = CIRCLES[name](), points(10)
    best = dense_maximum(action, rows, count=4000, reach=0.3)
    found = teleport_circle(action, rows, radius=0.3)
    assert bool((found.element.abs() <= 0.3).all())
    assert bool((found.after >= 0.999999 * best).all())
    assert bool((found.after < 0.99 * teleport_circle(action, rows).after).any())
    torch.testing.assert_close(one_by_one(action, rows, radius=0.3)[1], found.after, rtol=1e-9, atol=0)
    each = teleport_circle(action, rows, radius=torch.full((10,), 0.3, dtype=DOUBLE))
    torch.testing.assert_close(each.after, found.after, rtol=1e-9, atol=0)


@pytest.mark.parametrize("name", CIRCLES)
def test_the_minimum_is_found_too(name) -> None:
    action, rows = CIRCLES[name](), points(10)
    found = teleport_circle(action, rows, minimise=True)
    assert bool((found.after <= found.before).all())
    reached = gradient_norm(action.loss, found.point)
    assert bool(((reached - found.after).abs() <= 1e-12 * teleport_circle(action, rows).after).all())
    for aside in (-0.01, 0.01, 1.0, 2.0):
        assert bool((gradient_norm(action.loss, action(found.element + aside, rows)) > found.after).all())


def test_without_a_spectrum_the_result_is_the_same() -> None:
    action, rows = rosenbrock(), points(10)

    class Bare:
        group, loss, __call__ = action.group, staticmethod(action.loss), staticmethod(action.__call__)

    sampled = teleport_circle(Bare(), rows)
    assert sampled.evaluations > 1
    torch.testing.assert_close(sampled.after, teleport_circle(action, rows).after, rtol=1e-9, atol=0)


def test_without_an_image_the_action_itself_moves_the_point() -> None:
    def spectrum(x, y):
        return [4 * (x * x + y * y)]

    flat = bowl(spectrum=spectrum)
    assert teleport_circle(flat, point(1, 2)).element == 0
    tilted = replace(flat, spectrum=lambda x, y: [1.0, 0.0, 1.0])
    torch.testing.assert_close(teleport_circle(tilted, point(1, 0)).point, point(0, 1))


def test_booth_agrees_with_the_formula() -> None:
    """The maximum is 36 L on x2 = x1 + 2, the minimum 4 L."""
    action, rows = booth(), points(10)
    largest, smallest = teleport_circle(action, rows), teleport_circle(action, rows, minimise=True)
    torch.testing.assert_close(largest.after, 36 * action.loss(rows))
    torch.testing.assert_close(smallest.after, 4 * action.loss(rows))
    torch.testing.assert_close(largest.point[:, 1], largest.point[:, 0] + 2)


def test_rosenbrock_from_minus_one_agrees_with_the_published_figure() -> None:
    found = teleport_circle(rosenbrock(), point(-1, -1))
    torch.testing.assert_close(found.point, point(14.97, 222.76), rtol=1e-3, atol=0)
    assert found.before == pytest.approx(806416) and found.after == pytest.approx(7.5e7, rel=1e-2)


def test_constant_orbits_minima_and_what_is_not_finite_do_not_move() -> None:
    rows = points(5)
    assert teleport_circle(bowl(), rows).element.tolist() == [0] * 5
    for action in (rosenbrock(), booth(), stretched()):
        for bad in (point(math.nan, 1), point(math.inf, 1), point(1e200, 1e200)):
            alone, together = teleport_circle(action, bad), teleport_circle(action, bad[None])
            assert float(alone.element) == 0 and math.isnan(alone.after)
            assert together.element.tolist() == [0] and together.after.isnan().all()
            torch.testing.assert_close(alone.point, bad, equal_nan=True, rtol=0, atol=0)
    found = teleport_circle(rosenbrock(), point(1, 1))
    assert found.element == 0 and found.before == 0


def test_float32_points_stay_float32_and_are_searched_in_float64() -> None:
    action, rows = rosenbrock(), points(10).float()
    found = teleport_circle(action, rows)
    assert found.point.dtype == torch.float32
    assert bool((found.after >= 0.999999 * dense_maximum(action, rows.double())).all())
    alone = teleport_circle(action, rows[0])
    assert alone.point.dtype == torch.float32
    torch.testing.assert_close(alone.point, found.point[0], rtol=1e-5, atol=0)


def test_constants_that_are_tensors_are_allowed() -> None:
    action = derived_with_constants()
    plain, tensors = action.at(a=1.0, b=100.0), action.at(a=torch.tensor(1.0), b=torch.tensor(100.0))
    expected = teleport_circle(rosenbrock(), point(-1, -1))
    for one in (plain, tensors):
        torch.testing.assert_close(teleport_circle(one, point(-1, -1)).point, expected.point)


def test_groups_without_an_angle_are_refused() -> None:
    with pytest.raises(SymmetryError, match="use ascend"):
        teleport_circle(product(), point(1, 2))


def test_the_registry_knows_the_gradient_norm_on_circles_and_nothing_else() -> None:
    assert closed_form(gradient_norm, CIRCLE) is teleport_circle
    assert closed_form(gradient_norm, LINE) is None
    assert closed_form(loss_after_step(0.1), CIRCLE) is None


def scaling_value(a, b, s):
    return (a * s**2 + b / s**2).sum(-1)


@pytest.mark.parametrize("radius", [0.2, 1.0, 3.0])
def test_scalings_beat_every_point_of_a_grid_of_the_box(radius) -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(2, 50, dtype=DOUBLE, generator=generator) * 3).exp()
    grid = torch.linspace(-radius, radius, 2001, dtype=DOUBLE).exp()[:, None]
    values = a * grid**2 + b / grid**2
    s, top = scaling_optimum(a, b, radius)
    torch.testing.assert_close(top, values.amax(0).sum())
    torch.testing.assert_close(top, scaling_value(a, b, s))
    s, low = scaling_optimum(a, b, radius, minimise=True)
    assert low <= values.amin(0).sum()
    torch.testing.assert_close(low, values.amin(0).sum(), rtol=1e-4, atol=0)
    torch.testing.assert_close(low, scaling_value(a, b, s))
    assert scaling_value(a, b, 1 / s) > low * 1.01  # the wrong way round


def test_scalings_are_minimal_at_the_fourth_root_and_dead_units_stay() -> None:
    s, _ = scaling_optimum(point(1, 16, 0, 0, 3), point(16, 1, 0, 2, 0), radius=1.0, minimise=True)
    torch.testing.assert_close(s, point(2, 0.5, 1, math.e, 1 / math.e))
    s, _ = scaling_optimum(point(1, 16, 0, 0, 3), point(16, 1, 0, 2, 0), radius=1.0)
    torch.testing.assert_close(s, point(1 / math.e, math.e, 1, 1 / math.e, math.e))


@pytest.mark.parametrize("radius", [0.0, -1.0, math.inf, math.nan])
def test_scalings_without_a_bound_are_refused(radius) -> None:
    with pytest.raises(SymmetryError, match="radius"):
        scaling_optimum(point(1, 2), point(2, 1), radius)


def test_negative_squared_norms_are_refused() -> None:
    with pytest.raises(SymmetryError, match="squared"):
        scaling_optimum(point(1, -2), point(2, 1), 1.0)


@pytest.mark.gpu
def test_a_batch_on_the_gpu_agrees() -> None:
    action, rows = rosenbrock(), points(100)
    found = teleport_circle(action, rows.cuda())
    assert found.point.device.type == "cuda"
    torch.testing.assert_close(found.after.cpu(), teleport_circle(action, rows).after)
