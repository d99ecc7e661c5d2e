"""Gradient descent, or any torch optimizer, on a function of points, with teleports on a schedule.

For t = 0, 1, ...: if t in K, w <- a(g, w) with g a maximiser of ‖∇L(a(g, w))‖²; then an optimizer step at w.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import fields
from typing import Any, Literal

import torch
from torch import Tensor

from symdiscover.errors import Diverged, SymmetryError
from teleport.ascent import AscentSettings
from teleport.ascent_result import REASONS
from teleport.level_set import Displacement, LevelSetSettings
from teleport.paper import PaperSettings
from teleport.point_action import PointAction
from teleport.point_teleport import (
    LOSS_CHANGED,
    NO_HELP,
    LossFunction,
    Search,
    evaluate,
    needs_closure,
    teleport_point,
)
from teleport.schedule import Clock, Schedule, never
from teleport.trajectory import TeleportRecord, Trajectory

OptimizerFactory = Callable[[list[torch.nn.Parameter]], torch.optim.Optimizer]

#: Optimizers that treat every number by itself, so that many starts run as one parameter.
ELEMENTWISE = (
    torch.optim.SGD,
    torch.optim.Adagrad,
    torch.optim.Adam,
    torch.optim.AdamW,
    torch.optim.Adamax,
    torch.optim.NAdam,
    torch.optim.RAdam,
    torch.optim.RMSprop,
    torch.optim.Rprop,
    torch.optim.Adadelta,
    torch.optim.ASGD,
)


def descend(
    loss_fn: LossFunction,
    start: Tensor,
    lr: float | None,
    steps: int,
    optimizer: Literal["gd", "adagrad"] | OptimizerFactory = "gd",
    action: PointAction | None = None,
    schedule: Schedule = never,
    teleport: Literal["exact", "paper"] | Search = "exact",
    *,
    guard: bool = False,
    tolerance: float | None = None,
    seed: int | torch.Generator = 0,
    on_failure: Literal["skip", "raise"] = "skip",
    progress: bool = False,
) -> Trajectory:
    """Run `steps` optimizer steps from `start`, teleporting before those that the schedule names.

    A batch of starts runs as one: the optimizer sees the sum of the losses. A teleport that would change the
    loss beyond rounding, or whose result is not finite, is not made: the parameter keeps its bits, and the
    record says why. It is always the same `Parameter`, changed in place, so that the state of the optimizer
    stays with it.

    Parameters
    ----------
    loss_fn:
        x: (..., n) -> (...,), rows independent; the loss that `action` leaves unchanged.
    start:
        (n,) or (..., n), float32 or float64, on any device. It is not changed.
    lr:
        The rate of "gd" and "adagrad". A factory sets its own: give None.
    optimizer:
        "gd", "adagrad", or a function from a list of parameters to a `torch.optim.Optimizer`; one that needs
        a closure, as L-BFGS does, gets it. Only single starts where rows would not stay independent.
    action:
        Of a symmetry of the loss; None without teleports and for `LevelSetSettings`, which need no symmetry.
    schedule:
        Asked with ``Clock(step=t, epoch=t)``: every step sees the whole loss, so it is an epoch.
    teleport:
        "exact" for the optimum of the orbit where a closed form is known, "paper" for the published ascent,
        `AscentSettings` or `PaperSettings`, or any function (action, point, generator) -> `Ascent`;
        `LevelSetSettings` for an ascent within the level set, whose invariance is approximate.
    guard:
        Accept a teleport only where one trial step of the optimizer from there ends no higher than without
        it. A refused one is tried again with half the radius, where the search has one.
    tolerance:
        Relative change of the loss that a teleport may cause. None means rounding: a multiple of the rounding
        unit times |L| + Σ|x_i ∂_iL|. `LevelSetSettings` have a tolerance of their own.
    seed:
        For the random angles of "paper"; or a generator.
    on_failure:
        "raise" turns a teleport that had to be refused, by anything but the guard, into an error.
    progress:
        Show a bar on stderr once a second has passed.

    Raises
    ------
    SymmetryError
        If the arguments do not fit together. What is wrong is said before the first step.
    Diverged
        With ``on_failure="raise"``, if the loss is not finite at a teleport.

    Notes
    -----
    Zhao et al. 2022, arXiv:2205.10637, Algorithm 1.

    Examples
    --------
    >>> path = descend(lambda x: (x**2).sum(-1), torch.tensor([1.0, 2.0]), lr=0.25, steps=2)
    >>> path.losses
    tensor([5.0000, 1.2500, 0.3125])
    """
    _check(loss_fn, start, steps, action, schedule, teleport, tolerance, on_failure)
    if isinstance(teleport, LevelSetSettings) and schedule is not never:
        action = Displacement(loss_fn, start.shape[-1])
    point = torch.nn.Parameter(start.detach().clone())
    stepper = _optimizer(optimizer, lr, point, teleports=action is not None)
    search = _search(teleport, action, point.detach()) if schedule is not never else None
    generator = seed if isinstance(seed, torch.Generator) else torch.Generator().manual_seed(seed)

    points = torch.empty((steps + 1, *start.shape), dtype=start.dtype, device=start.device)
    losses = torch.empty((steps + 1, *start.shape[:-1]), dtype=start.dtype, device=start.device)
    norms = torch.empty_like(losses)
    records: list[TeleportRecord] = []
    gradients = 0
    with_closure = needs_closure(stepper)

    def closure() -> float:
        nonlocal gradients
        state = evaluate(loss_fn, point)
        point.grad = state.gradient
        gradients += 1
        return float(state.loss.sum())

    began = time.perf_counter()
    for t in _bar(range(steps), progress):
        state = evaluate(loss_fn, point)
        points[t], losses[t], norms[t] = state.point, state.loss, state.gradient_norm
        if search is not None and action is not None and schedule(Clock(step=t, epoch=t)):
            trial = stepper if guard else None
            record, state = teleport_point(t, action, search, loss_fn, state, generator, tolerance, trial)
            records.append(record)
            if on_failure == "raise":
                _raise(record)
            if bool(record.accepted.any()):
                with torch.no_grad():
                    point.copy_(state.point)
        if with_closure:
            stepper.step(closure)
        else:
            point.grad = state.gradient
            gradients += 1
            stepper.step()
    state = evaluate(loss_fn, point)
    points[steps], losses[steps], norms[steps] = state.point, state.loss, state.gradient_norm

    settings = {
        "optimizer": type(stepper).__name__,
        **{name: value for name, value in stepper.defaults.items() if isinstance(value, bool | int | float)},
        "steps": steps,
        "schedule": getattr(schedule, "__name__", repr(schedule)),
        "teleport": None if search is None else _describe(search),
        "guard": guard,
        "tolerance": tolerance,
        "seed": seed if isinstance(seed, int) else "generator",
        "dtype": str(start.dtype),
        "device": start.device.type,
        "torch": torch.__version__,
    }
    seconds = time.perf_counter() - began
    return Trajectory(points, losses, norms, tuple(records), settings, gradients, seconds)


def _check(
    loss_fn: LossFunction,
    start: Tensor,
    steps: int,
    action: PointAction | None,
    schedule: Schedule,
    teleport: str | Search,
    tolerance: float | None,
    on_failure: str,
) -> None:
    if start.dtype not in (torch.float32, torch.float64):
        raise SymmetryError(
            f"the start must be float32 or float64, not {start.dtype}: convert with start.double()"
        )
    if start.ndim == 0:
        raise SymmetryError("the start is a point (n,) or a batch of points (..., n), not a scalar")
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 0:
        raise SymmetryError(f"the number of steps must be a whole number of at least 0, not {steps!r}")
    if on_failure not in ("skip", "raise"):
        raise SymmetryError(f'on_failure is "skip" or "raise", not {on_failure!r}')
    if tolerance is not None and not tolerance >= 0:
        raise SymmetryError(f"the tolerance must not be negative, but is {tolerance!r}")
    free = isinstance(teleport, LevelSetSettings)
    if action is None and schedule is not never and not free:
        raise SymmetryError(
            "a schedule of teleports needs an action to teleport by: give action=, or teleport=LevelSetSettings()"
        )
    if free and (action is not None or tolerance is not None):
        name, instead = ("action", "leave it out") if action is not None else ("tolerance", "set theirs")
        raise SymmetryError(f"LevelSetSettings take no {name} of descend: {instead}")
    with torch.no_grad():
        shape = loss_fn(start).shape
    if shape != start.shape[:-1]:
        raise SymmetryError(
            f"the loss of points of shape {tuple(start.shape)} must have shape {tuple(start.shape[:-1])}, "
            f"one for each point, but has {tuple(shape)}: sum over the last axis only"
        )


def _optimizer(
    optimizer: str | OptimizerFactory, lr: float | None, point: torch.nn.Parameter, teleports: bool
) -> torch.optim.Optimizer:
    if callable(optimizer):
        if lr is not None:
            raise SymmetryError("the function that makes the optimizer sets its rate: give lr=None")
        made = optimizer([point])
    else:
        if lr is None or not lr > 0:
            raise SymmetryError(f"the rate lr must be positive, not {lr!r}")
        makers: dict[str, Callable[..., torch.optim.Optimizer]] = {
            "gd": torch.optim.SGD,
            "adagrad": torch.optim.Adagrad,
        }
        if optimizer not in makers:
            raise SymmetryError(
                f'the optimizer is "gd", "adagrad" or a function of the parameters, not {optimizer!r}'
            )
        made = makers[optimizer]([point], lr=lr)
    if [id(parameter) for group in made.param_groups for parameter in group["params"]] != [id(point)]:
        raise SymmetryError(
            "the optimizer must be made of the parameters that its function is given, and of no others"
        )
    if point.ndim > 1 and type(made) not in ELEMENTWISE:
        raise SymmetryError(
            f"{type(made).__name__} mixes the rows of a batch of starts, or is not known not to: "
            "run one start at a time"
        )
    if teleports and made.defaults.get("weight_decay"):
        warnings.warn(
            "weight decay is not part of the loss that a teleport keeps: add the penalty to the loss instead",
            stacklevel=3,
        )
    return made


def _search(teleport: str | Search, action: PointAction | None, start: Tensor) -> Search:
    names: dict[str, Search] = {"exact": AscentSettings(method="closed"), "paper": PaperSettings()}
    if isinstance(teleport, str):
        if teleport not in names:
            raise SymmetryError(f'teleport is "exact", "paper", settings or a function, not {teleport!r}')
        teleport = names[teleport]
    if action is not None and isinstance(teleport, AscentSettings | PaperSettings):
        teleport.check(action, start)
    return teleport


def _raise(record: TeleportRecord) -> None:
    """Turn a failed teleport into an error; a zero gradient, or no better point, is no failure."""
    reasons = {record.reason} if isinstance(record.reason, str) else set(record.reason)
    if "not finite" in reasons:
        raise Diverged(
            f"the loss is not finite at the teleport before step {record.step}: lower the learning rate"
        )
    if LOSS_CHANGED in reasons:
        change = float(record.relative_change.max())
        raise SymmetryError(
            f"the teleport before step {record.step} would have changed the loss by {change:.1e} of it: "
            "the action does not belong to this loss, or is inexact; give a tolerance to allow it"
        )
    if errors := reasons.difference(REASONS, (NO_HELP,)):
        raise SymmetryError(f"the teleport before step {record.step} failed: {'; '.join(sorted(errors))}")


def _describe(search: Search) -> dict[str, Any] | str:
    if not isinstance(search, AscentSettings | PaperSettings | LevelSetSettings):
        return getattr(search, "__name__", repr(search))
    table = {item.name: getattr(search, item.name) for item in fields(search)}
    if "objective" in table:
        table["objective"] = getattr(table["objective"], "__name__", repr(table["objective"]))
    return {"search": type(search).__name__, **table}


def _bar(steps: Iterable[int], progress: bool) -> Iterable[int]:
    if not progress:
        return steps
    from tqdm import tqdm

    return tqdm(steps, file=sys.stderr, delay=1.0, unit="step")
