from __future__ import annotations

import pytest
import torch

from symdiscover.errors import SymmetryError
from teleport.objective import gradient_norm, loss_after_step
from tests.teleport.actions import DOUBLE, point, points


def rosenbrock(x):
    return 100 * (x[..., 0] ** 2 - x[..., 1]) ** 2 + (x[..., 0] - 1) ** 2


def by_hand(x):
    first = 400 * x[..., 0] * (x[..., 0] ** 2 - x[..., 1]) + 2 * (x[..., 0] - 1)
    second = -200 * (x[..., 0] ** 2 - x[..., 1])
    return first**2 + second**2


def test_gradient_norm_is_the_squared_norm_of_the_gradient_of_each_row() -> None:
    x = points(12).reshape(3, 4, 2)
    torch.testing.assert_close(gradient_norm(rosenbrock, x), by_hand(x), rtol=1e-12, atol=0)
    assert gradient_norm(rosenbrock, point(-1, -1)) == 806416.0


def test_the_squared_norm_is_not_the_norm() -> None:
    assert not torch.isclose(gradient_norm(rosenbrock, point(-1, -1)), by_hand(point(-1, -1)).sqrt())


def test_gradient_norm_is_differentiable_where_gradients_are_enabled() -> None:
    x = points(3).requires_grad_()
    assert torch.autograd.gradcheck(lambda y: gradient_norm(rosenbrock, y), (x,))
    with torch.no_grad():
        assert not gradient_norm(rosenbrock, x).requires_grad


def test_gradient_norm_leaves_the_parameters_alone() -> None:
    x = point(1.0, 2.0).requires_grad_()
    gradient_norm(rosenbrock, x)
    assert x.grad is None


def test_a_mapping_of_tensors_gives_the_norm_of_the_joint_gradient() -> None:
    model = torch.nn.Linear(3, 2, dtype=DOUBLE)
    batch = points(5, n=3)
    params = {name: p.detach() for name, p in model.named_parameters()} | {"steps": torch.tensor(3)}

    def loss_of(p):
        weights = {name: p[name] for name in ("weight", "bias")}
        return torch.func.functional_call(model, weights, (batch,)).square().mean()

    loss = model(batch).square().mean()
    expected = sum(g.square().sum() for g in torch.autograd.grad(loss, list(model.parameters())))
    torch.testing.assert_close(gradient_norm(loss_of, params), expected)
    without_bias = torch.autograd.grad(model(batch).square().mean(), model.weight)[0].square().sum()
    assert not torch.isclose(gradient_norm(loss_of, params), without_bias)


def test_a_scalar_loss_of_a_matrix_sums_over_the_whole_matrix() -> None:
    w = points(3, n=4)
    torch.testing.assert_close(gradient_norm(lambda m: m.square().sum(), w), 4 * w.square().sum())


def test_a_constant_loss_has_gradient_zero() -> None:
    assert gradient_norm(lambda x: torch.ones(x.shape[:-1]), points(3)).tolist() == [0, 0, 0]
    half = gradient_norm(lambda p: p["a"].square().sum(), {"a": point(1.0), "b": point(2.0)})
    assert half == 4


def test_a_loss_whose_axes_are_not_the_leading_ones_is_refused() -> None:
    with pytest.raises(SymmetryError, match="leading"):
        gradient_norm(lambda x: x.square().sum(0), points(3))


def test_loss_after_step_is_the_loss_after_gradient_descent() -> None:
    x, lr = points(6, 0.5), 1e-3
    y = x.clone()
    for steps in (1, 2, 3):
        leaf = y.clone().requires_grad_()
        y = (leaf - lr * torch.autograd.grad(rosenbrock(leaf).sum(), leaf)[0]).detach()
        torch.testing.assert_close(
            loss_after_step(lr, steps)(rosenbrock, x), rosenbrock(y), rtol=1e-12, atol=0
        )
        assert not torch.allclose(loss_after_step(2 * lr, steps)(rosenbrock, x), rosenbrock(y))


def test_loss_after_step_is_differentiable_through_the_step() -> None:
    x = points(2, 0.5).requires_grad_()
    assert torch.autograd.gradcheck(lambda y: loss_after_step(1e-3)(rosenbrock, y), (x,))


@pytest.mark.parametrize("arguments", [(0,), (-1e-3,), (float("nan"),), (0.1, 0), (0.1, 1.5)])
def test_loss_after_step_refuses_bad_numbers(arguments) -> None:
    with pytest.raises(SymmetryError):
        loss_after_step(*arguments)
