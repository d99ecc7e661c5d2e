"""What the ascent maximises or minimises over an orbit: plain functions of a loss and of the parameters.

An objective is called as ``objective(loss_of, params)``, where ``loss_of(params)`` is the loss. `params` is a
tensor, or a mapping from names to tensors as `torch.func.functional_call` takes it. The loss may be a scalar,
or a tensor of independent losses whose axes are the leading axes of every parameter: then the objective has
that same shape. To add an objective, write such a function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from symdiscover.errors import SymmetryError

Params = Tensor | Mapping[str, Tensor]
LossOf = Callable[[Any], Tensor]
Objective = Callable[[LossOf, Params], Tensor]


def gradient_norm(loss_of: LossOf, params: Params) -> Tensor:
    """The squared norm ‖∇L‖² of the gradient, the rate at which gradient flow lowers the loss.

    Differentiable once more where a parameter requires a gradient; else no graph is kept.

    Parameters
    ----------
    loss_of:
        params -> loss, () or (...,).
    params:
        A tensor (..., n), rows being points whose losses are independent, or a mapping of tensors.

    Returns
    -------
    Tensor
        The shape of the loss.

    Raises
    ------
    SymmetryError
        If the axes of the loss are not the leading axes of the parameters.

    Notes
    -----
    The objective of Algorithm 1 in Zhao et al. 2022, arXiv:2205.10637.

    Examples
    --------
    >>> gradient_norm(lambda x: (x**2).sum(-1), torch.tensor([[1.0, 2.0], [0.0, 3.0]]))
    tensor([20., 36.])
    """
    loss, _, gradients = _differentiate(loss_of, params)
    terms = [gradient.square().flatten(loss.ndim).sum(-1) for gradient in gradients.values()]
    return torch.stack(terms).sum(0)


def loss_after_step(lr: float, steps: int = 1) -> Objective:
    """The loss after `steps` steps of gradient descent, L(w - lr ∇L(w)) for one; to be minimised.

    Raises
    ------
    SymmetryError
        If `lr` is not positive or `steps` not a whole number of at least 1.

    Examples
    --------
    >>> loss_after_step(0.25)(lambda x: (x**2).sum(-1), torch.tensor([1.0, 2.0]))
    tensor(1.2500)
    """
    if not lr > 0:
        raise SymmetryError(f"the rate of loss_after_step must be positive, not {lr!r}")
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise SymmetryError(f"loss_after_step needs a whole number of steps of at least 1, not {steps!r}")

    def objective(loss_of: LossOf, params: Params) -> Tensor:
        for _ in range(steps):
            _, leaves, gradients = _differentiate(loss_of, params)
            stepped = leaves | {name: leaves[name] - lr * gradient for name, gradient in gradients.items()}
            params = stepped[""] if isinstance(params, Tensor) else stepped
        return loss_of(params)

    objective.__name__ = objective.__qualname__ = f"loss_after_step({lr}, steps={steps})"
    return objective


def _differentiate(loss_of: LossOf, params: Params) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
    """The loss, the parameters it was taken at, and its gradient in each one that is a floating-point tensor.

    A lone tensor gets the name "". A graph is kept only where the caller can use it.
    """
    given = {"": params} if isinstance(params, Tensor) else dict(params)
    keep = torch.is_grad_enabled() and any(value.requires_grad for value in given.values())
    with torch.enable_grad():
        leaves = {
            name: value
            if keep and value.requires_grad
            else value.detach().requires_grad_(value.is_floating_point())
            for name, value in given.items()
        }
        wanted = [name for name, value in leaves.items() if value.requires_grad]
        loss = loss_of(leaves[""] if isinstance(params, Tensor) else leaves)
        for name in wanted:
            if leaves[name].ndim < loss.ndim or leaves[name].shape[: loss.ndim] != loss.shape:
                raise SymmetryError(
                    f"a loss of shape {tuple(loss.shape)} does not fit "
                    f"{'parameter ' + name if name else 'points'} of shape {tuple(leaves[name].shape)}: "
                    "its axes must be the leading ones, one loss for each point"
                )
        if not loss.requires_grad:  # the loss is constant
            return loss, leaves, {name: torch.zeros_like(leaves[name]) for name in wanted}
        gradients = torch.autograd.grad(
            loss.sum(),
            [leaves[name] for name in wanted],
            create_graph=keep,
            allow_unused=True,
            materialize_grads=True,
        )
    if not keep:
        loss, leaves = loss.detach(), {name: value.detach() for name, value in leaves.items()}
    return loss, leaves, dict(zip(wanted, gradients, strict=True))
