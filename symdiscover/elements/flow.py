"""Flows along level sets in torch, with projection: what an action without a closed form runs.

`symdiscover.flow` is the same in NumPy, with the reasons and the source of the numbers above the mark, which
`symdiscover.source` writes into the module it generates.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from symdiscover.flow import (
    ACCURACY,
    CORRECTIONS,
    COUNTS,
    FAR,
    LEAP,
    LEVEL,
    MARCH,
    ROOTS,
    STAGES,
    WEIGHTS,
)

Slope = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
Velocity = Callable[[torch.Tensor], torch.Tensor]

# --- elements ---


def move(slope: Slope, velocity: Velocity, start: torch.Tensor, time: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The points at `time` (...) on the curves of the field through `start` (..., m), and which were reached (...).

    A point that is not reached stays as it is: where the flow meets a gradient of zero or what is not finite, or leaves
    its level set. Which number of steps is fine enough for a point is found out first, so that derivatives see no others.
    """
    with torch.no_grad():
        moved, counts = start, torch.zeros_like(time)
        for count in COUNTS:
            found, fine, sound = run(slope, velocity, start, time, count)
            new = (counts == 0) & (sound if count == COUNTS[-1] else fine)
            moved, counts = torch.where(new[..., None], found, moved), torch.where(new, count, counts)
            if every(counts > 0):
                break
    if torch.is_grad_enabled():
        moved = start
        for count in COUNTS:
            chosen = counts == count
            if every(~chosen):
                continue
            u = torch.where(chosen[..., None], start, start.detach())
            found, _, _ = run(slope, velocity, u, torch.where(chosen, time, 0.0), count)
            moved = torch.where(chosen[..., None], found, moved)
    return moved, counts > 0


def run(
    slope: Slope, velocity: Velocity, start: torch.Tensor, time: torch.Tensor, count: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The image in `count` equal steps, whether these are fine (...), and whether the image is on the level set (...)."""
    rounding = torch.finfo(start.dtype).eps
    level, gradient = slope(start)
    size, steep = length(start), length(gradient)
    slack = 64 * rounding * (size + level.abs() / steep)
    u, path, off, sound = start, torch.zeros_like(level), torch.zeros_like(level), level.isfinite()
    for _ in range(count):
        stepped, drift = step(slope, velocity, u, time / count, level)
        taken = length(stepped - u)
        sound = sound & (drift <= LEAP * taken + slack)
        u, path, off = stepped, path + taken, off + drift
    u, _ = project(slope, u, level)
    value, _ = slope(u)
    sound = sound & ((value - level).abs() <= rounding * (LEVEL * level.abs() + 16 * size * steep))
    sound = sound & u.isfinite().all(-1)
    return u, sound & (off <= rounding**ACCURACY * path + count * slack), sound


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
    u = start.expand(*share.shape, -1)
    time = torch.where(closed, share * torch.where(closed, time, 1.0), 0.0)
    moved, reached = move(slope, lambda v: turn(slope(v)[1]), u, time)
    return moved, reached & closed


def period(slope: Slope, start: torch.Tensor) -> torch.Tensor:
    """The time after which the field (-L_2, L_1) returns to `start` (..., 2); NaN where it does not.

    Found by `march` to half of the digits, then by one more step of Newton's, which gives it its derivative.
    """
    with torch.no_grad():
        time = march(slope, start)
        closed = time.isfinite()
    u = torch.where(closed[..., None], start, start.detach())
    back, reached = move(slope, lambda v: turn(slope(v)[1]), u, torch.where(closed, time, 0.0))
    closed = closed & reached
    ahead = torch.where(closed[..., None], turn(slope(u)[1]).detach(), 1.0)
    late = ((back - u) * ahead).sum(-1) / ahead.square().sum(-1)
    closed = closed & (late.detach().abs() <= 1e-3 * time)
    return torch.where(closed, time - late, torch.nan)


def march(slope: Slope, start: torch.Tensor) -> torch.Tensor:
    """The period to half of the digits (...): steps as long as their error allows, the last ones Newton's to the start."""
    half = torch.finfo(start.dtype).eps ** 0.5
    level, gradient = slope(start)
    origin, u, t, side = turn(gradient), start, torch.zeros_like(level), torch.zeros_like(level)
    homing, done = torch.zeros_like(level, dtype=torch.bool), torch.zeros_like(level, dtype=torch.bool)
    h = 1e-4 * (1 + length(start)) / length(gradient)
    for _ in range(MARCH):
        ahead = (turn(slope(u)[1]) * origin).sum(-1)
        size = torch.where(homing, -side / ahead, h)
        stepped, drift = step(slope, lambda v: turn(slope(v)[1]), u, size, level)
        taken = length(stepped - u)
        good = (homing | (drift <= ROOTS * half * taken)) & ~done
        u, t = torch.where(good[..., None], stepped, u), torch.where(good, t + size, t)
        before, side = side, ((u - start) * origin).sum(-1)
        homing = homing | (good & (before < 0) & (side >= 0) & (length(u - start) <= 2 * taken))
        away = ~(length(u - start) <= FAR * (1 + length(start)))
        t = torch.where(away, torch.nan, t)
        done = done | away | (homing & (size.abs() <= half * t))
        if every(done):
            break
        growth = 0.9 * (ROOTS * half * taken / drift) ** (1 / 9)
        h = h * torch.where(growth.isnan(), 0.2, growth).clamp(0.2, 4.0)
    return torch.where(done, t, torch.nan)


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
