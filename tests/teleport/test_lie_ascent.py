from __future__ import annotations

import pytest
import torch

import symdiscover as sd
from teleport.ascent import ascend
from teleport.objective import gradient_norm
from tests.teleport.actions import DOUBLE, booth, derived, ellipsoid, point, points, product, rosenbrock


def test_on_an_ellipsoid_the_long_way_reaches_four_lambda_max_times_the_loss() -> None:
    """‖∇L‖² of wᵀAw is at most 4 λ_max L on a level set, reached on the eigenline of λ_max."""
    action, rows = ellipsoid(), points(6, n=3)
    found = ascend(action, rows, steps=80)
    torch.testing.assert_close(found.after, 100 * action.loss(rows), rtol=1e-6, atol=0)
    assert bool((found.point[:, :2].abs() < 1e-2 * found.point[:, 2:].abs()).all())
    assert bool((ascend(action, rows, steps=2).after < 99 * action.loss(rows)).any())


def test_the_steps_compose_to_the_element_and_keep_to_the_radius() -> None:
    action, rows = ellipsoid(), points(6, n=3)
    found = ascend(action, rows, radius=0.3)
    torch.testing.assert_close(action(found.element, rows), found.point)
    angle = ((found.element.diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2).clamp(-1, 1).arccos()
    assert bool((angle <= found.radius + 1e-7).all() and (found.radius <= 0.3 + 1e-12).all())
    assert bool((angle > 0.25).any())


def test_every_row_has_its_own_step_length() -> None:
    """A batch gives what its rows give alone."""
    action, rows = booth(), torch.cat([points(3, 0.01), points(3, 100.0)])
    together = ascend(action, rows, method="general", radius=0.7)
    for i, row in enumerate(rows):
        alone = ascend(action, row, method="general", radius=0.7)
        torch.testing.assert_close(alone.point, together.point[i])
        assert alone.steps == together.steps[i] and alone.reason == together.reason[i]


def test_a_radius_for_each_row_bounds_that_row() -> None:
    bounds = torch.tensor([0.01, 0.1, 0.4], dtype=DOUBLE)
    found = ascend(product(), points(3), radius=bounds)
    assert bool((found.radius <= bounds * (1 + 1e-12)).all())
    assert bool((found.radius > 0.9 * bounds).all())


def test_a_cap_on_the_gain_is_kept_and_reached() -> None:
    rows = points(8).abs() + torch.tensor([0.1, 1.0], dtype=DOUBLE)
    found = ascend(product(), rows, max_gain=5.0, steps=40)
    assert bool((found.gain <= 5 * (1 + 1e-9)).all())
    assert bool((found.gain > 4.9).all()) and set(found.reason) == {"gain reached"}
    assert bool((ascend(product(), rows, radius=2.0).gain > 5).any())
    low = ascend(product(), point(1, 5), minimise=True, max_gain=1.5, steps=40)
    assert 1 / 1.5 - 1e-9 <= float(low.gain) < 0.7


def test_the_norm_is_the_largest_singular_value_of_the_matrix() -> None:
    """Scaling two coordinates apart: the matrix diag(t, -t) has norm |t|, not √2 |t|."""
    found = ascend(product(), point(1, 3), radius=0.3, steps=40)
    assert float(found.element.abs()) == pytest.approx(0.3, rel=1e-5)


def test_a_symmetric_point_needs_a_random_direction_to_leave() -> None:
    """On x = y the gradient of (xy - 1)² is smallest: the derivative along the orbit vanishes."""
    start = point(2, 2)
    assert ascend(product(), start, radius=0.3).reason == "already the optimum of the orbit"
    found = ascend(product(), start, radius=0.3, generator=torch.Generator().manual_seed(0))
    assert found.reason == "radius reached" and float(found.gain) > 1.1


def test_every_group_of_the_library_can_be_climbed() -> None:
    for text, n in (
        ("x**2 + y**2 - z**2 + (x**2 + y**2 - z**2)**2", 3),
        ("(x*y - 1)**2", 2),
        ("(x - y)**4 + (x - y)**2", 2),
    ):
        derivation = sd.derive(sd.Loss.parse(text))
        actions = [sd.to_torch(c) for c in derivation.certificates]
        assert actions
        for action in actions:
            rows = points(4, 1.0, seed=3, n=n)
            found = ascend(action, rows, radius=0.3)
            assert bool((found.after >= found.before).all())
            torch.testing.assert_close(action.loss(found.point), action.loss(rows), rtol=1e-9, atol=1e-12)
            if not action.group.dimension:
                assert set(found.reason) == {"no continuous direction"}


def test_the_objective_never_falls_and_its_value_is_that_of_one_application() -> None:
    action, rows = rosenbrock(), points(40, 3.0)
    found = ascend(action, rows, method="general", steps=25)
    assert bool((found.after >= found.before).all())
    torch.testing.assert_close(gradient_norm(action.loss, found.point), found.after, rtol=1e-9, atol=0)


def test_the_work_is_counted() -> None:
    calls = 0

    def counted(loss_of, params):
        nonlocal calls
        calls += 1
        return gradient_norm(loss_of, params)

    found = ascend(booth(), point(5, -5), objective=counted, radius=0.3)
    assert found.evaluations == calls
    assert found.gradient_equivalents > found.evaluations
    assert derived("(x*y - 1)**2").group.dimension >= 1
