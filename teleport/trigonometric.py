"""The global maximum of a trigonometric polynomial p(θ) = a0 + Σ_k a_k cos kθ + b_k sin kθ.

On a grid of spacing h the value nearest a maximum lies within (h²/8) max|p''| of it, and max|p''| ≤ Σ k²
√(a_k² + b_k²). So only grid points that close to the best of the grid can lie beside the global maximum;
Newton's method is started at every one of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from symdiscover.errors import SymmetryError

#: Newton steps from each candidate; from half a grid spacing away four suffice, the rest is for flat maxima.
NEWTON_STEPS = 8
#: Values that differ by less than this, relative to the size of p, count as equal: the smaller angle is
#: taken.
TIE = 1e-14
#: A trigonometric polynomial of degree K has its extrema resolved by 16 K grid points.
POINTS_PER_DEGREE = 16
#: Angles at which an unknown function on the circle is sampled at first, and at most.
SAMPLES = (64, 512)

Spectrum = Sequence[float] | NDArray[np.float64] | Tensor


def maximise_circle(
    coefficients: Spectrum | Sequence[Tensor], radius: float | Tensor | None = None, minimise: bool = False
) -> tuple[Any, Any]:
    """The angle θ, |θ| <= radius, at which p(θ) = a0 + Σ_k a_k cos kθ + b_k sin kθ is largest, and p(θ).

    Where several maxima agree to rounding the one nearest 0 is taken, so that a constant gives θ = 0.

    Parameters
    ----------
    coefficients:
        [a0, a1, b1, a2, b2, ...], an odd number: Python floats or a NumPy vector for one polynomial; a tensor
        (..., 2K + 1), or a sequence of tensors (...,), for a batch, on any device.
    radius:
        Bound on |θ|; None, or π and more, is the whole circle. For a batch it may be a tensor (...,).
    minimise:
        Find the smallest value instead.

    Returns
    -------
    (theta, value)
        Floats for one polynomial, tensors (...,) for a batch, θ in [-π, π]. Coefficients that are not finite
        give θ = 0 and the value NaN.

    Raises
    ------
    SymmetryError
        If the number of coefficients is even, or the radius not positive.

    Examples
    --------
    >>> maximise_circle([1.0, 0.0, 2.0])  # 1 + 2 sin θ
    (1.57079632..., 3.0)
    >>> maximise_circle([1.0, 0.0, 2.0], radius=0.5, minimise=True)
    (-0.5, 0.0411...)
    """
    if len(coefficients) == 0:
        raise SymmetryError("a trigonometric polynomial needs at least its mean a0")
    if isinstance(coefficients, Tensor) or any(isinstance(c, Tensor) for c in coefficients):
        return _maximise_batch(_stacked(coefficients), radius, minimise)
    if len(coefficients) % 2 == 0:
        raise SymmetryError(f"[a0, a1, b1, ...] has an odd number of coefficients, not {len(coefficients)}")
    reach = math.pi if radius is None else min(float(radius), math.pi)
    if not reach > 0:
        raise SymmetryError(f"the radius must be positive, not {radius!r}")
    return _maximise_floats(coefficients, reach, minimise)  # type: ignore[arg-type]


def _maximise_floats(
    coefficients: Sequence[float] | NDArray[np.float64], reach: float, minimise: bool
) -> tuple[float, float]:
    c = np.asarray(coefficients, dtype=np.float64)
    if minimise:
        c = -c
    sign = -1.0 if minimise else 1.0
    terms: list[float] = c.tolist()
    degree = len(terms) // 2
    amplitude = curvature = 0.0
    for k in range(1, degree + 1):
        modulus = math.hypot(terms[2 * k - 1], terms[2 * k])
        amplitude += modulus
        curvature += k * k * modulus
    if not math.isfinite(terms[0] + curvature):
        return 0.0, math.nan
    grid, table, spacing = _grid(degree, reach)
    samples = table.dot(c)
    best, start = float(samples.max()), float(samples[len(grid) // 2])
    tie = TIE * (abs(terms[0]) + amplitude)
    if amplitude <= tie:
        return 0.0, sign * start
    angle, value = 0.0, start
    for i in (samples >= best - curvature * spacing * spacing / 8).nonzero()[0].tolist():
        found, height = _newton(terms, degree, grid[i], spacing, reach)
        if height > value + tie or (height > value - tie and abs(found) < abs(angle)):
            angle, value = found, height
    if abs(angle) > math.pi:
        angle -= math.copysign(2 * math.pi, angle)
    return angle, sign * value


def _newton(
    terms: list[float], degree: int, start: float, spacing: float, reach: float
) -> tuple[float, float]:
    """The best point met on Newton's way to a maximum within one spacing of `start`."""
    # On the whole circle the ends of the grid are the same point and bound nothing.
    bound = reach if reach < math.pi else 2 * math.pi
    low, high = max(start - spacing, -bound), min(start + spacing, bound)
    theta, angle, value = start, start, -math.inf
    for _ in range(NEWTON_STEPS):
        cosine, sine = math.cos(theta), math.sin(theta)
        c, s = cosine, sine
        height, slope, bend = terms[0], 0.0, 0.0
        for k in range(1, degree + 1):
            a, b = terms[2 * k - 1], terms[2 * k]
            wave = a * c + b * s
            height += wave
            slope += k * (b * c - a * s)
            bend -= k * k * wave
            c, s = c * cosine - s * sine, s * cosine + c * sine
        if height > value:
            angle, value = theta, height
        step = -slope / bend if bend < 0 else math.copysign(spacing / 2, slope)
        moved = min(max(theta + step, low), high)
        if abs(moved - theta) < 1e-8:  # quadratic convergence: `moved` is exact, its value differs by 1e-16
            return (moved if angle == theta else angle), value
        theta = moved
    return angle, value


@lru_cache(maxsize=64)
def _grid(degree: int, reach: float) -> tuple[list[float], NDArray[np.float64], float]:
    """Angles from -reach to reach with 0 in the middle, rows [1, cos θ, sin θ, ...], and the spacing."""
    angles = np.linspace(-reach, reach, _points(degree) + 1)
    angles[len(angles) // 2] = 0.0
    waves = [f(k * angles) for k in range(1, degree + 1) for f in (np.cos, np.sin)]
    return angles.tolist(), np.stack([np.ones_like(angles), *waves], axis=1), 2 * reach / _points(degree)


def _points(degree: int) -> int:
    return max(32, POINTS_PER_DEGREE * degree)


def _stacked(coefficients: Spectrum | Sequence[Tensor | float]) -> Tensor:
    """A tensor (..., 2K + 1) from a list of tensors (...,) and numbers."""
    if isinstance(coefficients, Tensor):
        return coefficients
    like = next(c for c in coefficients if isinstance(c, Tensor))
    parts = [c if isinstance(c, Tensor) else like.new_tensor(float(c)) for c in coefficients]
    return torch.stack(torch.broadcast_tensors(*parts), dim=-1)


@torch.no_grad()
def _maximise_batch(
    coefficients: Tensor, radius: float | Tensor | None, minimise: bool
) -> tuple[Tensor, Tensor]:
    if coefficients.shape[-1] % 2 == 0:
        raise SymmetryError(
            f"[a0, a1, b1, ...] has an odd number of coefficients, not {coefficients.shape[-1]}"
        )
    sign = -1.0 if minimise else 1.0
    finite = coefficients.isfinite().all(-1)
    c = torch.where(finite[..., None], sign * coefficients, 0.0)
    reach = _reach(radius, c)
    degree = c.shape[-1] // 2
    spacing = 2 * reach[..., None] / _points(degree)
    if isinstance(radius, Tensor):
        unit = torch.linspace(-1, 1, _points(degree) + 1, dtype=c.dtype, device=c.device)
        grid = reach[..., None] * unit
        samples = _evaluate(c, grid)[0]
    else:
        angles, table, _ = _grid(degree, math.pi if radius is None else min(float(radius), math.pi))
        grid = torch.tensor(angles, dtype=c.dtype, device=c.device)
        samples = c @ torch.from_numpy(table).to(c).T

    # Every peak of the grid, of which there are at most K and the two ends, and its highest points besides.
    walls = torch.full_like(samples[..., :1], -torch.inf)
    padded = torch.cat([walls, samples, walls], dim=-1)
    peak = (samples >= padded[..., :-2]) & (samples >= padded[..., 2:])
    peaks = torch.where(peak, samples, -torch.inf).topk(degree + 2, dim=-1).indices
    highest = samples.topk(2, dim=-1).indices
    theta = grid.expand_as(samples).gather(-1, torch.cat([peaks, highest], dim=-1))

    bound = torch.where(reach < math.pi, reach, 2 * math.pi)[..., None]
    low, high = torch.maximum(theta - spacing, -bound), torch.minimum(theta + spacing, bound)
    angle, value = theta, torch.full_like(theta, -torch.inf)
    for _ in range(NEWTON_STEPS):
        height, slope, bend = _evaluate(c, theta)
        better = height > value
        angle, value = torch.where(better, theta, angle), torch.where(better, height, value)
        step = torch.where(bend < 0, -slope / bend, slope.sign() * spacing / 2)
        theta = torch.minimum(torch.maximum(theta + step, low), high)

    start = c.sum(-1, keepdim=True) - c[..., 2::2].sum(-1, keepdim=True)
    angle = torch.cat([torch.zeros_like(start), angle], dim=-1)
    value = torch.cat([start, value], dim=-1)
    tie = max(TIE, 8 * torch.finfo(c.dtype).eps) * c.abs().sum(-1, keepdim=True)
    best = value.amax(-1, keepdim=True)
    choice = torch.where(value >= best - tie, angle.abs(), torch.inf).argmin(-1, keepdim=True)
    angle, value = angle.gather(-1, choice)[..., 0], value.gather(-1, choice)[..., 0]
    angle = torch.where(angle.abs() > math.pi, angle - 2 * math.pi * angle.sign(), angle)
    return angle, torch.where(finite, sign * value, torch.nan)


def _reach(radius: float | Tensor | None, like: Tensor) -> Tensor:
    """The bound on |θ| for each row, (...,)."""
    if radius is None:
        radius = math.pi
    if not isinstance(radius, Tensor):
        if not radius > 0:
            raise SymmetryError(f"the radius must be positive, not {radius!r}")
        radius = torch.tensor(float(radius), dtype=like.dtype, device=like.device)
    return radius.to(like).clamp(max=math.pi).expand(like.shape[:-1])


def _evaluate(c: Tensor, theta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """p, p' and p'' at theta (..., M) for coefficients c (..., 2K + 1)."""
    k = torch.arange(1, c.shape[-1] // 2 + 1, dtype=c.dtype, device=c.device)
    a, b = c[..., None, 1::2], c[..., None, 2::2]
    turn = theta[..., None] * k
    x, y = turn.cos(), turn.sin()
    wave = a * x + b * y
    return c[..., :1] + wave.sum(-1), (b * x - a * y) @ k, -(wave @ k.square())


def sample_circle(
    function: Callable[[Tensor], Tensor],
    like: Tensor,
    radius: float | Tensor | None = None,
    minimise: bool = False,
) -> tuple[Tensor, Tensor, Tensor, int]:
    """The maximum over |θ| <= radius of a function on the circle that is known only by its values.

    Its values at equispaced angles are interpolated by a trigonometric polynomial (FFT). The polynomial is
    trusted when the upper half of its spectrum vanishes to rounding; otherwise the samples are doubled, and
    at last the best peaks of a dense grid are narrowed down by ever finer grids. Where the function is not
    finite it is not chosen.

    Parameters
    ----------
    function:
        θ: (M, ...) -> values (M, ...), the rows over any batch axes.
    like:
        A tensor (...,) with the batch axes, dtype and device of the values.

    Returns
    -------
    (theta, value, start, evaluations)
        Tensors (...,), with start the value at θ = 0, and the number of angles per row. The value is one of
        `function`, never of the interpolant, and never worse than the start.
    """
    sign = -1.0 if minimise else 1.0
    reach = _reach(radius, like[..., None])
    count, evaluations = SAMPLES[0], 0
    while True:
        turn = torch.arange(count, dtype=like.dtype, device=like.device) * (2 * math.pi / count)
        values = _signed(function, _column(turn, like), sign)
        evaluations += count
        degree = _degree(values)
        if degree is not None or count >= SAMPLES[1]:
            break
        count *= 2
    start = values[0]
    if degree is not None:
        waves = torch.fft.rfft(values, dim=0)[: degree + 1] * (2 / count)
        parts = [waves[0].real / 2] + [part for wave in waves[1:] for part in (wave.real, -wave.imag)]
        candidates = _maximise_batch(torch.stack(parts, dim=-1), reach, minimise=False)[0][None]
        values = _signed(function, candidates, sign)
        evaluations += 1
    else:
        candidates, values, more = _zoom(function, reach, like, sign)
        evaluations += more
    candidates = torch.cat([torch.zeros_like(candidates[:1]), candidates])
    values = torch.cat([start[None].nan_to_num(nan=-torch.inf), values])
    choice = values.argmax(0, keepdim=True)
    theta, value = candidates.gather(0, choice)[0], values.gather(0, choice)[0]
    return theta, sign * torch.where(start.isfinite(), value, torch.nan), sign * start, evaluations


def _column(angles: Tensor, like: Tensor) -> Tensor:
    """Angles (M,) as (M, ...) over the batch axes of `like`."""
    return angles.reshape((-1,) + (1,) * like.ndim).expand((-1, *like.shape))


def _signed(function: Callable[[Tensor], Tensor], theta: Tensor, sign: float) -> Tensor:
    values = sign * function(theta)
    return torch.where(values.isfinite(), values, -torch.inf)


def _degree(values: Tensor) -> int | None:
    """The degree of the interpolant of samples (M, ...); None when its spectrum has not died out at M/4."""
    if not bool(values.isfinite().all()):
        return None
    size = torch.fft.rfft(values, dim=0).abs()
    tail = 4096 * torch.finfo(values.dtype).eps * size.amax(0)
    seen = (size > tail).reshape(len(size), -1).any(1).nonzero()
    degree = int(seen.max()) if len(seen) else 0
    return degree if degree <= len(values) // 4 else None


def _zoom(
    function: Callable[[Tensor], Tensor], reach: Tensor, like: Tensor, sign: float
) -> tuple[Tensor, Tensor, int]:
    """Peaks of a grid, each narrowed down by ever finer grids: angles (P, ...), values, evaluations."""
    peaks, fine = 6, 9
    unit = torch.linspace(-1, 1, SAMPLES[1] + 1, dtype=like.dtype, device=like.device)
    grid = reach * _column(unit, like)
    values = _signed(function, grid, sign)
    walls = torch.full_like(values[:1], -torch.inf)
    padded = torch.cat([walls, values, walls])
    peak = (values >= padded[:-2]) & (values >= padded[2:])
    chosen = torch.where(peak, values, -torch.inf).topk(peaks, dim=0).indices
    centre, best = grid.gather(0, chosen), values.gather(0, chosen)
    evaluations = len(unit)
    width = 2 * reach / SAMPLES[1]
    offsets = torch.linspace(-1, 1, fine, dtype=like.dtype, device=like.device)
    # Each round divides the width by four; below the root of the rounding unit values no longer change.
    for _ in range(14):
        trial = centre[None] + width * offsets.reshape((-1, 1) + (1,) * like.ndim)
        trial = torch.minimum(torch.maximum(trial, -reach), reach)
        heights = _signed(function, trial.flatten(0, 1), sign).reshape(trial.shape)
        evaluations += fine * peaks
        heights, choice = heights.max(0)
        better = heights > best
        centre = torch.where(better, trial.gather(0, choice[None])[0], centre)
        best = torch.where(better, heights, best)
        width = width / 4
    return centre, best, evaluations
