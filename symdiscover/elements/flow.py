"""Flows along level sets in torch, with projection: what an action without a closed form runs.

`symdiscover.flow` is the same in NumPy, with the reasons and the source of the numbers above the mark, which
`symdiscover.source` writes into the module it generates.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from symdiscover.flow import ACCURACY, CORRECTIONS, FAR, LEAP, LEVEL, STAGES, STEPS, WEIGHTS

Slope = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
Velocity = Callable[[torch.Tensor], torch.Tensor]

# --- elements ---


def move(
    slope: Slope, velocity: Velocity, start: torch.Tensor, time: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The points at `time` (...) on the curves of the field through `start` (..., m), and which were reached (...).

    A point that is not reached stays as it is: where the flow meets a gradient of zero or what is not finite, leaves its
    level set, or needs too many steps. The lengths of the steps are found first; derivatives are those of these steps.
    """
    rounding = torch.finfo(start.dtype).eps
    with torch.no_grad():
        origin, end = start.detach(), time.detach()
        level, gradient = slope(origin)
        slack = slack_of(origin, level, gradient)
        u, left, path, h, steps = origin, end, torch.zeros_like(level), end / 16, []
        for _ in range(STEPS):
            size = torch.where(h.abs() < left.abs(), h, left)
            stepped, taken, good, growth = attempt(slope, velocity, u, size, level, path, slack)
            good = good & (left != 0)
            u, left = torch.where(good[..., None], stepped, u), torch.where(good, left - size, left)
            path, h = path + torch.where(good, taken, 0.0), size * growth
            steps.append(torch.where(good, size, 0.0))
            if every((left == 0) | (h.abs() < 1e-3 * rounding * end.abs())):
                break
        u = torch.where((end != 0)[..., None], project(slope, u, level)[0], origin)
        allowed = rounding * (LEVEL * level.abs() + 16 * length(origin) * length(gradient))
        reached = (left == 0) & ((slope(u)[0] - level).abs() <= allowed) & u.isfinite().all(-1)
        reached = reached & (length(gradient) > 0)
    if not torch.is_grad_enabled():
        return torch.where(reached[..., None], u, start), reached
    # A last step of length zero carries the derivative by time.
    steps.append(time - end)
    u = replay(slope, velocity, torch.where(reached[..., None], start, origin), steps, reached)
    return torch.where(reached[..., None], u, start), reached


def replay(
    slope: Slope, velocity: Velocity, start: torch.Tensor, steps: list[torch.Tensor], rows: torch.Tensor
) -> torch.Tensor:
    """The same steps again with derivatives, in those rows."""
    u, level = start, slope(start)[0]
    for h in steps:
        u, _ = step(slope, velocity, u, torch.where(rows, h, 0.0), level)
    return u


def attempt(
    slope: Slope,
    velocity: Velocity,
    u: torch.Tensor,
    h: torch.Tensor,
    level: torch.Tensor,
    path: torch.Tensor,
    slack: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """A step, its length, whether it is good, and by how much the next one should be longer."""
    rounding = torch.finfo(u.dtype).eps
    stepped, drift = step(slope, velocity, u, h, level)
    taken = length(stepped - u)
    allowed = rounding**ACCURACY * taken + slack
    short = taken <= rounding**0.5 * path
    good = (drift <= allowed) | (short & (drift <= LEAP * taken))
    growth = 0.9 * (allowed / drift) ** (1 / 9)
    return stepped, taken, good, torch.where(growth.isnan(), 0.05, growth).clamp(0.05, 10.0)


def slack_of(start: torch.Tensor, level: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """How far rounding alone may take a point off its level set (...)."""
    return 64 * torch.finfo(start.dtype).eps * (length(start) + level.abs() / length(gradient))


def step(
    slope: Slope, velocity: Velocity, u: torch.Tensor, h: torch.Tensor, level: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """One Runge-Kutta step, back onto the level set, and how far that took (...)."""
    stages: list[torch.Tensor] = []
    for row in STAGES:
        at = u
        for weight, stage in zip(row, stages, strict=True):
            if weight:
                at = torch.add(at, stage, alpha=weight)
        stages.append(h[..., None] * velocity(at))
    for weight, stage in zip(WEIGHTS, stages, strict=True):
        if weight:
            u = torch.add(u, stage, alpha=weight)
    return project(slope, u, level)


def project(slope: Slope, u: torch.Tensor, level: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Newton corrections u - (L - level) grad L / |grad L|^2, and how far the first one went (...)."""
    drift = torch.zeros_like(level)
    for number in range(CORRECTIONS):
        value, gradient = slope(u)
        shift = ((value - level) / gradient.square().sum(-1))[..., None] * gradient
        drift = length(shift) if number == 0 else drift
        u = u - shift
    return u, drift


def length(vectors: torch.Tensor) -> torch.Tensor:
    """The Euclidean length of vectors (..., m), never differentiated."""
    return vectors.detach().square().sum(-1).sqrt()


def every(rows: torch.Tensor) -> bool:
    """Whether it holds in all rows; under vmap, where that cannot be asked, no."""
    try:
        return bool(rows.all())
    except RuntimeError:
        return False


# --- plane ---


def turn(gradient: torch.Tensor) -> torch.Tensor:
    """(-L_2, L_1): along the level curve, the higher values on the left."""
    return torch.stack([-gradient[..., 1], gradient[..., 0]], dim=-1)


# --- angle ---


def turning(slope: Slope, start: torch.Tensor, theta: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Points moved along closed curves by theta T / 2 pi, T the period of the field (-L_2, L_1) there."""
    time = period(slope, start)
    share = torch.remainder(theta + torch.pi, 2 * torch.pi) / (2 * torch.pi) - 0.5
    closed, share, time = torch.broadcast_tensors(time.isfinite(), share, time)
    time = torch.where(closed, share * torch.where(closed, time, 1.0), 0.0)
    moved, reached = move(slope, lambda v: turn(slope(v)[1]), start.expand(*share.shape, -1), time)
    return moved, reached & closed


def period(slope: Slope, start: torch.Tensor) -> torch.Tensor:
    """The time after which the field (-L_2, L_1) returns to `start` (..., 2); NaN where it does not.

    Its derivative is that of one Newton step: where the curve of a neighbour, followed for this time, ends up late.
    """
    with torch.no_grad():
        time, steps = march(slope, start.detach())
        closed = time.isfinite()
    if not torch.is_grad_enabled():
        return time
    u = torch.where(closed[..., None], start, start.detach())
    back = replay(slope, lambda v: turn(slope(v)[1]), u, steps, closed)
    ahead = torch.where(closed[..., None], turn(slope(u)[1]).detach(), 1.0)
    late = ((back - u) * ahead).sum(-1) / ahead.square().sum(-1)
    return torch.where(closed, time - (late - late.detach()), torch.nan)


def march(slope: Slope, start: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """The period of each curve (...), NaN where it does not close, and the steps that were taken."""
    half = torch.finfo(start.dtype).eps ** 0.5
    level, gradient = slope(start)
    slack, origin = slack_of(start, level, gradient), turn(gradient)
    u, t, side, path = start, torch.zeros_like(level), torch.zeros_like(level), torch.zeros_like(level)
    homing, ended, steps = torch.zeros_like(level) > 0, torch.zeros_like(level) > 0, []
    h = 1e-3 * (1 + length(start)) / length(gradient)
    for _ in range(STEPS):
        ahead = (turn(slope(u)[1]) * origin).sum(-1)
        size = torch.where(homing, -side / ahead, h)  # Newton's steps to the line through the start
        stepped, taken, good, growth = attempt(
            slope, lambda v: turn(slope(v)[1]), u, size, level, path, slack
        )
        good = (good | homing) & ~ended
        u, t = torch.where(good[..., None], stepped, u), torch.where(good, t + size, t)
        path, h = path + torch.where(good, taken, 0.0), h * growth
        steps.append(torch.where(good, size, 0.0))
        before, side = side, ((u - start) * origin).sum(-1)
        away = length(u - start)
        homing = homing | (good & (before < 0) & (side >= 0) & (away <= 2 * taken))
        ended = ended | ~(away <= FAR * (1 + length(start)))
        ended = ended | (homing & (size.abs() <= half * t))
        if every(ended):
            break
    closed = homing & ended & (length(u - start) <= max(1e-6, half) * path)
    return torch.where(closed, t, torch.nan), steps


# --- time ---


def arc(slope: Slope, start: torch.Tensor, time: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Points moved along level curves by a length `time`, the higher values on the left; and which were moved."""
    time, _ = torch.broadcast_tensors(time, start[..., 0])

    def velocity(u: torch.Tensor) -> torch.Tensor:
        gradient = slope(u)[1]
        return turn(gradient) / gradient.square().sum(-1, keepdim=True).sqrt()

    return move(slope, velocity, start.expand(*time.shape, -1), time)


# --- vector ---


def word(slope: Slope, start: torch.Tensor, xi: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Points moved for unit time along Omega grad L / |grad L|, Omega antisymmetric with the entries xi (..., k) above
    its diagonal, row by row; and which were moved."""
    size = start.shape[-1]
    time, _ = torch.broadcast_tensors(torch.ones_like(xi[..., 0]), start[..., 0])
    entries = iter(xi.unbind(-1))
    zero = torch.zeros_like(xi[..., 0])
    upper = {(i, j): next(entries) for i in range(size) for j in range(i + 1, size)}
    rows = [
        torch.stack([upper[i, j] if i < j else -upper[j, i] if j < i else zero for j in range(size)], dim=-1)
        for i in range(size)
    ]
    omega = torch.stack(rows, dim=-2)

    def velocity(u: torch.Tensor) -> torch.Tensor:
        gradient = slope(u)[1]
        unit = gradient / gradient.square().sum(-1, keepdim=True).sqrt()
        return (omega @ unit[..., None])[..., 0]

    return move(slope, velocity, start.expand(*time.shape, -1), time)


# --- field ---


def along(
    slope: Slope, field: Velocity, start: torch.Tensor, time: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Points moved for a time (...) along the field; and which were moved."""
    time, _ = torch.broadcast_tensors(time, start[..., 0])
    return move(slope, field, start.expand(*time.shape, -1), time)
