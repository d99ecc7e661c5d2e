"""Ascent over the Lie algebra of any group: normalised steps with backtracking, every row by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from teleport.ascent_result import CODE, MOVES, Ascent
from teleport.objective import Objective, gradient_norm
from teleport.point_action import PointAction, PointGroup, parameters

#: Halvings of a step before a row counts as converged, and the relative growth below which it does.
TRIALS, GROWTH = 25, 1e-12
#: The gain counts as reached this close to `max_gain`.
GAIN_MARGIN = 0.01
#: Length of the first step without a radius, and as a share of the radius.
FIRST_STEP, FIRST_SHARE = 0.1, 0.25


def lie_ascent(
    action: PointAction,
    point: Tensor,
    objective: Objective,
    radius: float | Tensor | None,
    steps: int,
    minimise: bool,
    generator: torch.Generator | None,
    max_gain: float | None,
) -> Ascent:
    """Normalised steps in the Lie algebra with backtracking, every row by itself.

    Where the elements of the action have no products, the steps add up in their coordinates, all from the given point.
    """
    composes: bool = getattr(action, "composes", True)
    sign = -1.0 if minimise else 1.0
    point = point.detach()
    length = _norm(action.group, point)
    xi = point.new_zeros(*point.shape[:-1], parameters(action))
    total = xi

    def image(x: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
        g = action.exp(step if composes else total + step)
        return g, action(g, x if composes else point)

    def along(x: Tensor, step: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        with torch.no_grad():
            g, moved = image(x, step)
            return g, moved, sign * objective(action.loss, moved)

    def slope(x: Tensor) -> Tensor:
        with torch.enable_grad():
            step = xi.clone().requires_grad_()
            value = objective(action.loss, image(x, step)[1]).sum()
            if not value.requires_grad:
                return torch.zeros_like(xi)
            (derivative,) = torch.autograd.grad(value, step, allow_unused=True, materialize_grads=True)
        return sign * derivative

    with torch.no_grad():
        element = action.exp(xi)
        start = sign * objective(action.loss, point)
    x, value = point, start
    bound = torch.full_like(start, torch.inf)
    if radius is not None:
        bound = torch.as_tensor(radius, dtype=start.dtype, device=start.device).expand_as(start).clone()
    size = torch.where(bound.isfinite(), FIRST_SHARE * bound, FIRST_STEP)
    cap = torch.full_like(start, torch.inf)
    if max_gain is not None:
        # Minimising, the signed objective is -f and may rise to -f / max_gain.
        cap = start / max_gain if minimise else start * max_gain
    growth = max(GROWTH, 4 * torch.finfo(start.dtype).eps)
    used, taken = torch.zeros_like(start), torch.zeros_like(start, dtype=torch.long)
    code = torch.full_like(taken, CODE["steps used"])
    alive = start.isfinite()
    code = torch.where(alive, code, CODE["not finite"])
    evaluations, work = 1, 1.0

    def stop(rows: Tensor, reason: str) -> None:
        nonlocal alive, code
        rows = rows & alive
        code = torch.where(rows, CODE[reason], code)
        alive = alive & ~rows

    if objective is gradient_norm:
        stop(start == 0, "zero gradient")
    else:
        with torch.no_grad():
            stop(gradient_norm(action.loss, point) == 0, "zero gradient")
        work += 1
    for _ in range(steps):
        if not bool(alive.any()):
            break
        derivative = slope(x)
        evaluations, work = evaluations + 1, work + 3
        towards, norm = derivative, length(derivative)
        stop(~norm.isfinite() & (taken == 0), "not finite")
        flat = alive & (norm == 0)
        if generator is not None and bool(flat.any()):
            noise = torch.randn(xi.shape, generator=generator, dtype=xi.dtype, device=generator.device).to(
                xi.device
            )
            towards = torch.where(flat[..., None], noise, derivative)
            norm = length(towards)
        stop(~(norm > 0) | ~norm.isfinite(), "converged")
        direction = torch.where(alive[..., None], towards / norm[..., None], 0.0)
        rate = (direction * derivative).sum(-1)
        trial = torch.minimum(size, bound - used)
        pending, base = alive.clone(), value
        for _ in range(TRIALS):
            step = torch.where(pending, trial, 0.0)
            g, moved, height = along(x, step[..., None] * direction)
            evaluations, work = evaluations + 1, work + 1
            better = pending & (height > base) & (height <= cap) & moved.isfinite().all(-1)
            x = torch.where(better[..., None], moved, x)
            value = torch.where(better, height, value)
            element = torch.where(
                _rows(better, element), action.compose(g, element) if composes else g, element
            )
            total = torch.where(better[..., None], total + step[..., None] * direction, total)
            used, taken = used + torch.where(better, trial, 0.0), taken + better.long()
            pending = pending & ~better
            if not bool(pending.any()):
                break
            trial = torch.where(pending, _shorter(trial, rate, base, height), trial)
        stop(pending, "converged")
        stop(used >= bound * (1 - 1e-6), "radius reached")
        if max_gain is not None:
            stop(value >= cap - GAIN_MARGIN * cap.abs(), "gain reached")
        stop((value - base) <= growth * base.abs(), "converged")
        size = torch.where(alive, 2 * trial, size)

    # One application of the composed element, so that rounding does not pile up over the steps.
    with torch.no_grad():
        final = action(element, point)
        after = sign * objective(action.loss, final)
        evaluations, work = evaluations + 1, work + 1
        moved_rows = (taken > 0) & (after > start) & final.isfinite().all(-1)
        stays = ~moved_rows & (code < MOVES)
        code = torch.where(stays, CODE["already the optimum of the orbit"], code)
        identity = action.exp(xi)
        return Ascent(
            torch.where(moved_rows[..., None], final, point),
            torch.where(_rows(moved_rows, element), element, identity),
            sign * start,
            sign * torch.where(moved_rows, after, start),
            torch.where(moved_rows, used, 0.0),
            torch.where(moved_rows, taken, 0),
            evaluations,
            work,
            code,
        )


def _shorter(trial: Tensor, rate: Tensor, base: Tensor, height: Tensor) -> Tensor:
    """To the top of the parabola through value and slope at 0 and the value at `trial`, within [0.1, 0.5]."""
    top = rate * trial.square() / (2 * (base + rate * trial - height))
    return torch.where(
        top.isfinite(), torch.minimum(torch.maximum(top, 0.1 * trial), 0.5 * trial), 0.5 * trial
    )


def _rows(mask: Tensor, element: Tensor) -> Tensor:
    """A mask (...,) over rows, shaped to select elements (..., *)."""
    return mask.reshape(mask.shape + (1,) * (element.ndim - mask.ndim))


def _norm(group: PointGroup, like: Tensor) -> Callable[[Tensor], Tensor]:
    """xi: (..., dimension) -> ‖Σ xi_i B_i‖, the largest singular value; Euclidean without a basis."""
    basis: Any = getattr(group, "basis", None)
    if not basis:
        return lambda xi: torch.linalg.vector_norm(xi, dim=-1)
    matrices = torch.tensor(
        np.array([_floats(matrix) for matrix in basis]), dtype=like.dtype, device=like.device
    )

    def norm(xi: Tensor) -> Tensor:
        # The singular value routine raises where it meets a NaN.
        finite = xi.isfinite().all(-1)
        matrix = torch.einsum("...i,ijk->...jk", torch.where(finite[..., None], xi, 0.0), matrices)
        return torch.where(finite, torch.linalg.matrix_norm(matrix, ord=2), torch.nan)

    return norm


def _floats(matrix: Any) -> list[list[float]]:
    rows = matrix.tolist() if hasattr(matrix, "tolist") else matrix
    return [[float(entry) for entry in row] for row in rows]


def no_ascent(action: PointAction, point: Tensor, objective: Objective) -> Ascent:
    with torch.no_grad():
        value = objective(action.loss, point)
    element = action.exp(point.new_zeros(*point.shape[:-1], 0))
    code = torch.full_like(value, CODE["no continuous direction"], dtype=torch.long)
    zero = torch.zeros_like(value)
    return Ascent(point.detach().clone(), element, value, value, zero, zero.long(), 1, 1.0, code)
