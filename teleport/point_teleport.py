"""One teleport of a point or a batch of points: search, check, guard. Nothing is changed here.

A row is moved only if the search moved it, its loss is the same to rounding or, after a search within the level
set, has not risen beyond the tolerance of that search, and, with a guard, one trial step of the optimizer from
there ends no higher than one from where it stands.
"""

from __future__ import annotations

import copy
import inspect
import time
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor
from torch.linalg import LinAlgError  # type: ignore[attr-defined]

from symdiscover.errors import OutsideDomain
from teleport.ascent import AscentSettings
from teleport.ascent_result import Ascent
from teleport.level_set import LevelSetSettings
from teleport.point_action import PointAction, parameters
from teleport.trajectory import TeleportRecord

LossFunction = Callable[[Tensor], Tensor]
Search = Callable[[PointAction, Tensor, torch.Generator], Ascent]

#: Why the result of a search is refused.
LOSS_CHANGED, NO_HELP = "the loss changed", "a trial step from there ends higher"
#: Rounding units by which the loss may change at a teleport, per unit of |L| + Σ|x_i ∂_iL| at both ends.
ROUNDING_UNITS = 64
#: How often the guard halves the radius before it gives up.
HALVINGS = 10


class State(NamedTuple):
    """Points (..., n) with their losses (...,) and gradients (..., n)."""

    point: Tensor
    loss: Tensor
    gradient: Tensor

    @property
    def gradient_norm(self) -> Tensor:
        """‖∇L‖², (...,)."""
        return self.gradient.square().sum(-1)


def evaluate(loss_fn: LossFunction, point: Tensor) -> State:
    """Loss and gradient at a copy of the points; a loss that does not depend on them has gradient 0."""
    with torch.enable_grad():
        leaf = point.detach().clone().requires_grad_()
        loss = loss_fn(leaf)
        if loss.requires_grad:
            (gradient,) = torch.autograd.grad(loss.sum(), leaf, allow_unused=True, materialize_grads=True)
        else:
            gradient = torch.zeros_like(leaf)
    return State(leaf.detach(), loss.detach(), gradient)


def teleport_point(
    step: int,
    action: PointAction,
    search: Search,
    loss_fn: LossFunction,
    here: State,
    generator: torch.Generator,
    tolerance: float | None = None,
    optimizer: torch.optim.Optimizer | None = None,
) -> tuple[TeleportRecord, State]:
    """Search the orbit from `here` and keep what passes the checks.

    Parameters
    ----------
    step:
        For the record.
    tolerance:
        Relative change of the loss that is allowed; None means rounding. `LevelSetSettings` have their own.
    optimizer:
        Guard with one step of it, on a copy. A refused row is tried again with half the radius where the
        search has one.

    Returns
    -------
    (record, state)
        What happened, and the points to go on from: those of `here`, to the bit, where a row was not
        accepted.
    """
    began = time.perf_counter()
    with torch.no_grad():
        element = action.exp(here.point.new_zeros(*here.point.shape[:-1], parameters(action)))
    radius, accepted = torch.zeros_like(here.loss), torch.zeros_like(here.loss, dtype=torch.bool)
    change = torch.zeros_like(here.loss)
    there, reasons = here, [""] * here.loss.numel()
    rejected, evaluations, work = 0, 0, 0.0
    plain = None
    if optimizer is not None:
        plain, work = trial_loss(optimizer, loss_fn, here), 1.0

    for _ in range(1 if optimizer is None else 1 + HALVINGS):
        try:
            found = search(action, here.point, generator)
        except (OutsideDomain, LinAlgError) as error:
            reasons = [reason or str(error) for reason in reasons]
            break
        moved = evaluate(loss_fn, found.point)
        evaluations, work = evaluations + found.evaluations, work + found.gradient_equivalents + 1
        change = torch.where(accepted, change, (moved.loss - here.loss).abs())
        same = _same(search, here, moved, tolerance)
        helps = torch.ones_like(same)
        if optimizer is not None and plain is not None:
            helps, work = trial_loss(optimizer, loss_fn, moved) <= plain, work + 1
        take = found.moved & same & helps & ~accepted
        refused = found.moved & ~take & ~accepted
        reasons = _reasons(reasons, found, same, helps, accepted)
        rejected += int(refused.sum())
        there = State(
            *(torch.where(_rows(take, new), new, old) for new, old in zip(moved, there, strict=True))
        )
        element = torch.where(_rows(take, element), found.element, element)
        radius, accepted = torch.where(take, found.radius, radius), accepted | take
        if not isinstance(search, AscentSettings | LevelSetSettings) or not bool(refused.any()):
            break
        search = replace(search, radius=torch.where(refused, found.radius / 2, 1.0))

    record = TeleportRecord(
        step=step,
        before=here.point,
        after=there.point,
        loss_before=here.loss,
        loss_after=there.loss,
        relative_change=torch.where(change == 0, 0.0, change / here.loss.abs()),
        gradient_before=here.gradient_norm,
        gradient_after=there.gradient_norm,
        element=element,
        radius=radius,
        accepted=accepted,
        reason=tuple(reasons) if here.loss.ndim else reasons[0],
        rejected=rejected,
        evaluations=evaluations,
        gradient_equivalents=work,
        seconds=time.perf_counter() - began,
    )
    return record, there


def _reasons(known: list[str], found: Ascent, same: Tensor, helps: Tensor, settled: Tensor) -> list[str]:
    """Why the search of each row ended or was refused; a row that was accepted before keeps its reason."""
    names = [found.reason] if isinstance(found.reason, str) else list(found.reason)
    flags = (flag.flatten().tolist() for flag in (found.moved, same, helps, settled))
    reasons = []
    for old, name, moved, equal, good, done in zip(known, names, *flags, strict=True):
        if done:
            reasons.append(old)
        elif not moved or (equal and good):
            reasons.append(name)
        else:
            reasons.append(NO_HELP if equal else LOSS_CHANGED)
    return reasons


def _same(search: Search, here: State, there: State, tolerance: float | None) -> Tensor:
    """Whether the loss is as it was, as far as the kind of search allows."""
    if isinstance(search, LevelSetSettings):
        return search.keeps(here.loss, there.loss)
    return (there.loss - here.loss).abs() <= allowance(here, there, tolerance)


def allowance(here: State, there: State, tolerance: float | None) -> Tensor:
    """How much the loss may differ between two points of an orbit.

    A point is known to half a unit in its last place, so its loss is known to ε Σ|x_i ∂_iL|: near a minimum,
    or far out, that is more than ε|L|.
    """
    if tolerance is not None:
        return tolerance * here.loss.abs()
    size = here.loss.abs()
    for state in (here, there):
        size = size + (state.point * state.gradient).abs().sum(-1)
    return ROUNDING_UNITS * torch.finfo(size.dtype).eps * size


def needs_closure(optimizer: torch.optim.Optimizer) -> bool:
    """Whether ``optimizer.step`` must be given a closure, as that of L-BFGS."""
    closure = inspect.signature(optimizer.step).parameters.get("closure")
    return closure is not None and closure.default is inspect.Parameter.empty


def trial_loss(optimizer: torch.optim.Optimizer, loss_fn: LossFunction, state: State) -> Tensor:
    """The loss after one step of a copy of the optimizer, its state included, from `state`."""
    shadow = _copy(optimizer)
    (parameter,) = shadow.param_groups[0]["params"]
    with torch.no_grad():
        parameter.copy_(state.point)
    parameter.grad = state.gradient.clone()

    def closure() -> float:
        now = evaluate(loss_fn, parameter)
        parameter.grad = now.gradient
        return float(now.loss.sum())

    if needs_closure(shadow):
        shadow.step(closure)
    else:
        shadow.step()
    with torch.no_grad():
        return loss_fn(parameter)


def _copy(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """A copy with parameters and state of its own.

    `copy.deepcopy` of an optimizer keeps only its state and its groups; L-BFGS holds its parameters a second
    time.
    """
    shadow = object.__new__(type(optimizer))
    shadow.__dict__.update(copy.deepcopy(optimizer.__dict__, {id(optimizer): shadow}))
    return shadow


def _rows(mask: Tensor, values: Tensor) -> Tensor:
    """A mask (...,) over rows, shaped to select values (..., *)."""
    return mask.reshape(mask.shape + (1,) * (values.ndim - mask.ndim))
