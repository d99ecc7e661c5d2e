from __future__ import annotations

import copy

import pytest
import torch

from teleport.ascent import AscentSettings
from teleport.point_teleport import allowance, evaluate, needs_closure, teleport_point, trial_loss
from tests.teleport.actions import DOUBLE, booth, bowl, point, points, rosenbrock

OPTIMIZERS = {
    "SGD": lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9),
    "Adam": lambda p: torch.optim.Adam(p, lr=0.1),
    "Adagrad": lambda p: torch.optim.Adagrad(p, lr=0.5),
    "LBFGS": lambda p: torch.optim.LBFGS(p, max_iter=3),
}


def step(optimizer, parameter):
    def closure():
        state = evaluate(booth().loss, parameter)
        parameter.grad = state.gradient
        return float(state.loss)

    closure()
    optimizer.step(closure)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_trial_step_is_the_step_that_follows_and_changes_nothing(name) -> None:
    parameter = torch.nn.Parameter(point(5, -5))
    optimizer = OPTIMIZERS[name]([parameter])
    for _ in range(3):
        step(optimizer, parameter)
    value, state = parameter.detach().clone(), copy.deepcopy(optimizer.state_dict())
    tried = trial_loss(optimizer, booth().loss, evaluate(booth().loss, parameter))
    assert torch.equal(parameter.detach(), value)
    assert str(optimizer.state_dict()) == str(state)
    step(optimizer, parameter)
    assert torch.equal(booth().loss(parameter.detach()), tried)
    fresh = OPTIMIZERS[name]([torch.nn.Parameter(value)])
    assert not torch.equal(trial_loss(fresh, booth().loss, evaluate(booth().loss, value)), tried)


def test_only_lbfgs_needs_a_closure() -> None:
    parameter = torch.nn.Parameter(point(1, 2))
    assert {name: needs_closure(make([parameter])) for name, make in OPTIMIZERS.items()} == {
        "SGD": False,
        "Adam": False,
        "Adagrad": False,
        "LBFGS": True,
    }


def test_the_state_is_a_copy_with_the_gradient() -> None:
    x = torch.nn.Parameter(point(5, -5))
    state = evaluate(booth().loss, x)
    leaf = x.detach().clone().requires_grad_()
    torch.testing.assert_close(state.gradient, torch.autograd.grad(booth().loss(leaf), leaf)[0])
    with torch.no_grad():
        x.add_(1)
    assert state.point.tolist() == [5, -5] and x.grad is None
    assert evaluate(lambda y: torch.ones(()), x).gradient.tolist() == [0, 0]


def test_the_allowance_grows_with_the_condition_of_the_evaluation() -> None:
    loss = rosenbrock().loss
    near, far = evaluate(loss, point(1 + 1e-9, 1)), evaluate(loss, point(1e3, 1e3))
    eps = torch.finfo(DOUBLE).eps
    assert float(allowance(near, near, None)) > 1e6 * eps * float(near.loss)
    assert float(allowance(far, far, None)) < 1e4 * eps * float(far.loss)
    assert float(allowance(far, far, 1e-3)) == pytest.approx(1e-3 * float(far.loss))
    single = evaluate(loss, point(1.5, 1, dtype=torch.float32))
    double = evaluate(loss, point(1.5, 1))
    ratio = torch.finfo(torch.float32).eps / eps
    assert float(allowance(single, single, None)) == pytest.approx(
        ratio * float(allowance(double, double, None)), rel=1e-3
    )


def test_rows_are_decided_one_by_one() -> None:
    """A batch of one row that moves, one at a minimum and one that is not finite."""
    rows = torch.stack([point(-1, -1), point(1, 1), point(float("nan"), 0)])
    generator = torch.Generator().manual_seed(0)
    here = evaluate(rosenbrock().loss, rows)
    record, there = teleport_point(7, rosenbrock(), AscentSettings(), rosenbrock().loss, here, generator)
    assert record.step == 7 and record.accepted.tolist() == [True, False, False]
    assert record.reason == ("exact optimum", "zero gradient", "not finite")
    torch.testing.assert_close(there.point[1:], rows[1:], equal_nan=True, rtol=0, atol=0)
    assert not torch.equal(there.point[0], rows[0])
    torch.testing.assert_close(there.gradient[0], evaluate(rosenbrock().loss, there.point[0]).gradient)
    assert torch.equal(here.point.nan_to_num(), rows.nan_to_num())


def test_the_guard_halves_until_the_trial_step_is_no_worse() -> None:
    parameter = torch.nn.Parameter(points(6, 0.7))
    optimizer = torch.optim.SGD([parameter], lr=2e-3)
    loss, generator = rosenbrock().loss, torch.Generator().manual_seed(0)
    here = evaluate(loss, parameter)
    record, there = teleport_point(0, rosenbrock(), AscentSettings(), loss, here, generator, None, optimizer)
    plain, moved = trial_loss(optimizer, loss, here), trial_loss(optimizer, loss, there)
    assert bool((moved <= plain).all()) and record.rejected > 0
    free, _ = teleport_point(0, rosenbrock(), AscentSettings(), loss, here, generator)
    assert bool((record.radius < free.radius).any())
    assert record.gradient_equivalents > free.gradient_equivalents
    refused = [r for r, accepted in zip(record.reason, record.accepted.tolist(), strict=True) if not accepted]
    assert set(refused) == {"a trial step from there ends higher"}


def test_an_orbit_without_a_better_point_is_no_failure() -> None:
    here = evaluate(bowl().loss, point(3, 4))
    record, there = teleport_point(
        0, bowl(), AscentSettings(), bowl().loss, here, torch.Generator().manual_seed(0)
    )
    assert record.reason == "already the optimum of the orbit" and not bool(record.accepted)
    assert there.point.tolist() == [3, 4] and float(record.relative_change) == 0
