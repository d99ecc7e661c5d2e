"""Level-set teleportation of an `nn.Module`: the search runs on a flat copy of its parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from symdiscover.errors import Diverged, SymmetryError
from teleport.ascent_result import CODE, LevelSetAscent
from teleport.level_set import LevelSetSettings, level_set_ascent


def level_set_teleport(
    model: nn.Module,
    loss_fn: Callable[[Tensor, Tensor], Tensor],
    x: Tensor,
    y: Tensor,
    settings: LevelSetSettings | None = None,
    *,
    on_failure: Literal["skip", "raise"] = "skip",
) -> LevelSetAscent:
    """Move a model to where ‖∇L‖ is large within its level set on a batch: max ½ log ‖∇L(w)‖², L(w) <= L(w_0).

    The model computes another function afterwards: only its loss on this batch is no higher, up to the
    tolerance (grade: approximate, on this batch). Any model will do, no symmetry is needed. What requires a
    gradient is changed in place; everything else, `.grad`, buffers, modes and the random stream, is left
    alone. The loss is that of the mode in which the model is; in training mode dropout draws the same mask at
    every point of the search. If anything fails, every bit is put back.

    Parameters
    ----------
    loss_fn:
        (output, target) -> scalar, twice differentiable. The penalty of weight decay is not part of it.
    settings:
        By default `LevelSetSettings()`: 50 steps, ρ_0 = 0.1. Losses of networks need not have a largest
        gradient on a level set; `max_gain` and `radius`, in the Euclidean norm of all parameters, bound it.
    on_failure:
        "raise" raises where the loss or its gradient is not finite; "skip" says so in the result.

    Returns
    -------
    LevelSetAscent
        `point` and `element` are the parameters that require a gradient, flattened and joined in the order of
        ``model.named_parameters()``: where they are now, and by how much they moved.

    Raises
    ------
    SymmetryError
        If no parameter requires a gradient, one is neither float32 nor float64, they lie on several devices,
        or the loss is no scalar.
    Diverged
        With ``on_failure="raise"``.

    Notes
    -----
    Mishkin, Bietti and Gower, AISTATS 2025, arXiv:2403.03362.

    Examples
    --------
    >>> _ = torch.manual_seed(0)
    >>> model = nn.Sequential(nn.Linear(4, 8), nn.Softplus(), nn.Linear(8, 1)).double()
    >>> x, y = torch.randn(16, 4).double(), torch.randn(16, 1).double()
    >>> import teleport as tp
    >>> found = tp.level_set_teleport(model, nn.functional.mse_loss, x, y, tp.LevelSetSettings(steps=10, max_gain=4.0))
    >>> bool(found.moved), float(found.gain) > 1.5, float(found.loss_change) <= 1e-6
    (True, True, True)
    """
    if on_failure not in ("skip", "raise"):
        raise SymmetryError(f'on_failure is "skip" or "raise", not {on_failure!r}')
    settings = settings or LevelSetSettings()
    moving = _moving(model)

    def loss_of(flat: Tensor) -> Tensor:
        return _loss(model, loss_fn, _named(flat, moving), x, y)

    start = torch.cat([parameter.detach().flatten() for parameter in moving.values()])
    found = level_set_ascent(loss_of, start, settings)
    if on_failure == "raise" and found.reason == "not finite":
        raise Diverged(
            "the loss or its gradient is not finite: lower the learning rate, or look at the batch"
        )
    if not bool(found.moved):
        return found
    return _commit(model, loss_fn, moving, start, found, settings, x, y)


def _moving(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that require a gradient, tied ones once."""
    moving = {name: value for name, value in model.named_parameters() if value.requires_grad}
    if not moving:
        raise SymmetryError("no parameter of this model requires a gradient: nothing may be moved")
    if kinds := {value.dtype for value in moving.values()} - {torch.float32, torch.float64}:
        names = ", ".join(sorted(map(str, kinds)))
        raise SymmetryError(f"parameters must be float32 or float64, not {names}: convert with model.float()")
    if len(devices := {value.device for value in moving.values()}) > 1:
        names = ", ".join(sorted(map(str, devices)))
        raise SymmetryError(f"the parameters lie on several devices ({names}): move the model to one")
    return moving


def _named(flat: Tensor, moving: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The flat vector cut into tensors of the shapes and kinds of the parameters."""
    pieces = flat.split([value.numel() for value in moving.values()])
    return {
        name: piece.reshape(value.shape).to(value.dtype)
        for (name, value), piece in zip(moving.items(), pieces, strict=True)
    }


def _loss(
    model: nn.Module,
    loss_fn: Callable[[Tensor, Tensor], Tensor],
    named: Mapping[str, Tensor],
    x: Tensor,
    y: Tensor,
) -> Tensor:
    """The loss at other parameters; layers write to copies of the buffers, and the random stream is put back."""
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    # The fast kernels of attention have no second derivative.
    with _same_random_stream(model), sdpa_kernel(SDPBackend.MATH):
        loss = loss_fn(functional_call(model, {**named, **buffers}, (x,)), y)
    if not isinstance(loss, Tensor) or loss.ndim:
        kind = f"a tensor of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
        raise SymmetryError(f"loss_fn must return a scalar tensor, not {kind}")
    return loss


@contextmanager
def _same_random_stream(model: nn.Module) -> Iterator[None]:
    devices = {parameter.device for parameter in model.parameters() if parameter.is_cuda}
    with torch.random.fork_rng(devices=list(devices)):
        yield


def _commit(
    model: nn.Module,
    loss_fn: Callable[[Tensor, Tensor], Tensor],
    moving: Mapping[str, nn.Parameter],
    start: Tensor,
    found: LevelSetAscent,
    settings: LevelSetSettings,
    x: Tensor,
    y: Tensor,
) -> LevelSetAscent:
    """Write the parameters, look at the loss once more, and put every bit back unless it keeps the constraint."""
    snapshot = {name: value.detach().clone() for name, value in moving.items()}
    try:
        with torch.no_grad():
            for name, value in _named(found.point, moving).items():
                moving[name].copy_(value)
            after = _loss(model, loss_fn, moving, x, y).to(found.loss_before)
            keeps = bool(settings.keeps(found.loss_before, after))
    except BaseException:
        _restore(moving, snapshot)
        raise
    work = found.gradient_equivalents + 1
    if keeps:
        return replace(found, loss_after=after, gradient_equivalents=work)
    # Parameters of several kinds are searched in the widest one, and rounded when they are written.
    _restore(moving, snapshot)
    return replace(
        found,
        point=start,
        element=torch.zeros_like(found.element),
        after=found.before,
        radius=torch.zeros_like(found.radius),
        steps=torch.zeros_like(found.steps),
        gradient_equivalents=work,
        code=torch.full_like(found.code, CODE["no larger gradient within the tolerance"]),
        loss_after=found.loss_before,
    )


def _restore(moving: Mapping[str, Tensor], snapshot: Mapping[str, Tensor]) -> None:
    """Put every bit back; an interruption meanwhile has to wait."""
    left = dict(snapshot)
    while left:
        try:
            with torch.no_grad():
                for name in list(left):
                    moving[name].copy_(left[name])
                    del left[name]
        except KeyboardInterrupt:
            continue
