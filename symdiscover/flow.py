"""Flows along the level sets of a function, with projection, in NumPy: what `verify` looks at.

A field X with dQ(X) = 0 is integrated by Runge-Kutta steps of order eight, each followed by two Newton corrections along
the gradient, u <- u - (Q(u) - Q_0) grad Q / |grad Q|^2. What is moved therefore stays on its level set to rounding, however
long the steps; how far the first correction goes says how good they are. `symdiscover.elements.flow` is the same in torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from symdiscover.errors import OutsideDomain
from symdiscover.floats import Array, compiled

_S = math.sqrt(21)
#: The method of order eight in eleven stages of G. J. Cooper and J. H. Verner (SIAM J. Numer. Anal. 9 (1972) 389): the
#: rows of its table below the diagonal, and its weights.
STAGES: tuple[tuple[float, ...], ...] = (
    (),
    (1 / 2,),
    (1 / 4, 1 / 4),
    (1 / 7, (-7 - 3 * _S) / 98, (21 + 5 * _S) / 49),
    ((11 + _S) / 84, 0.0, (18 + 4 * _S) / 63, (21 - _S) / 252),
    ((5 + _S) / 48, 0.0, (9 + _S) / 36, (-231 + 14 * _S) / 360, (63 - 7 * _S) / 80),
    ((10 - _S) / 42, 0.0, (-432 + 92 * _S) / 315, (633 - 145 * _S) / 90, (-504 + 115 * _S) / 70, (63 - 13 * _S) / 35),
    (1 / 14, 0.0, 0.0, 0.0, (14 - 3 * _S) / 126, (13 - 3 * _S) / 63, 1 / 9),
    (1 / 32, 0.0, 0.0, 0.0, (91 - 21 * _S) / 576, 11 / 72, (-385 - 75 * _S) / 1152, (63 + 13 * _S) / 128),
    (1 / 14, 0.0, 0.0, 0.0, 1 / 9, (-733 - 147 * _S) / 2205, (515 + 111 * _S) / 504, (-51 - 11 * _S) / 56,
     (132 + 28 * _S) / 245),
    (0.0, 0.0, 0.0, 0.0, (-42 + 7 * _S) / 18, (-18 + 28 * _S) / 45, (-273 - 53 * _S) / 72, (301 + 53 * _S) / 72,
     (28 - 28 * _S) / 45, (49 - 7 * _S) / 18),
)  # fmt: skip
WEIGHTS = (1 / 20, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 49 / 180, 16 / 45, 49 / 180, 1 / 20)
#: Newton corrections after each step, and once more at the end.
CORRECTIONS = 2
#: Numbers of equal steps: each point is moved in the fewest that are good enough for it.
COUNTS = (16, 64, 256)
#: The rounding unit to this power is the share of the path that the first corrections may add up to in good steps.
ACCURACY = 0.7
#: A correction longer than this share of its step has left the level set for another part of it.
LEAP = 0.25
#: Roundings of the loss within which a moved point must be on its level set: 1e-12 in float64.
LEVEL = 4096.0
#: Steps in which a level curve is followed until it closes, and their error as a share of the step, in roots of the
#: rounding unit. A curve that goes further from its start than `FAR` times its size counts as open.
MARCH, ROOTS, FAR = 400, 16.0, 1e6

EPSILON = float(np.finfo(float).eps)
Velocity = Callable[[Array], Array]
Truths = NDArray[np.bool_]


def slopes_of(function: sp.Expr, coordinates: Sequence[sp.Symbol]) -> tuple[sp.Expr, ...]:
    """The function and its partial derivatives, those of jumps taken as zero.

    Raises
    ------
    OutsideDomain
        If a derivative has no closed form, as that of floor.

    Examples
    --------
    >>> x, y = sp.symbols("x y", real=True)
    >>> slopes_of(sp.Abs(x) * y**2, [x, y])
    (y**2*Abs(x), y**2*sign(x), 2*y*Abs(x))
    """
    slopes = []
    for coordinate in coordinates:
        slope = sp.diff(function, coordinate)
        if slope.has(sp.DiracDelta):
            slope = slope.replace(sp.DiracDelta, lambda *arguments: sp.Integer(0))
        if slope.has(sp.Derivative, sp.Subs, sp.Integral) or slope.has(sp.nan, sp.zoo, sp.oo):
            raise OutsideDomain(f"the derivative by {coordinate} has no closed form")
        slopes.append(slope)
    return (function, *slopes)


def turn(gradient: Array) -> Array:
    """(-g_2, g_1): along the level curve, the higher values on the left."""
    return gradient[..., ::-1] * (-1.0, 1.0)


def unit(gradient: Array) -> Array:
    """The gradient at length one."""
    return gradient / np.sqrt((gradient * gradient).sum(-1, keepdims=True))


class LevelFlow:
    """Flows that keep Q(u) equal, for points u: (..., m).

    Parameters
    ----------
    function, coordinates:
        Q and u_1, ..., u_m; no other symbols.
    counts:
        Numbers of equal steps, tried in this order.

    Examples
    --------
    >>> x, y = sp.symbols("x y", real=True)
    >>> circles = LevelFlow(x**2 + y**2, (x, y))
    >>> points = np.array([[1.0, 0.0], [0.0, 3.0]])
    >>> bool(np.allclose(circles.period(points), np.pi))  # the field is (-2 y, 2 x)
    True
    >>> moved, reached = circles.move(circles.turning, points, np.full(2, np.pi / 4))
    >>> reached.tolist(), (moved.round(9) + 0.0).tolist()
    ([True, True], [[0.0, 1.0], [-3.0, 0.0]])
    """

    def __init__(
        self, function: sp.Expr, coordinates: Sequence[sp.Symbol], counts: tuple[int, ...] = COUNTS
    ) -> None:
        self.counts = counts
        self._slopes = compiled(slopes_of(function, coordinates), coordinates)

    def slope(self, u: Array) -> tuple[Array, Array]:
        """Q (...) and its gradient (..., m)."""
        values = self._slopes(u)
        return values[..., 0], values[..., 1:]

    def turning(self, u: Array) -> Array:
        """The field (-Q_2, Q_1), for m = 2."""
        return turn(self.slope(u)[1])

    def arc(self, u: Array) -> Array:
        """The same at length one."""
        return turn(unit(self.slope(u)[1]))

    def sloping(self, omega: Array) -> Velocity:
        """The field Omega grad Q / |grad Q| of antisymmetric matrices Omega: (..., m, m)."""
        return lambda u: np.einsum("...ij,...j->...i", omega, unit(self.slope(u)[1]))

    def regular(self, u: Array) -> Truths:
        """Where Q and its gradient are finite, and the gradient is not zero."""
        value, gradient = self.slope(u)
        return np.isfinite(value) & np.isfinite(gradient).all(-1) & (np.abs(gradient).max(-1) > 0)

    def move(self, velocity: Velocity, start: Array, time: Array) -> tuple[Array, Truths]:
        """The points at `time` (...) on the curves of the field through `start` (..., m), and whether they were reached.

        A point that is not reached stays: where the flow meets what is not finite or a gradient of zero, or the steps
        are too coarse to stay on the level set.
        """
        moved, reached = start, np.zeros(time.shape, dtype=bool)
        for count in self.counts:
            found, fine, sound = self._run(velocity, start, time, count)
            new = ~reached & (sound if count == self.counts[-1] else fine)
            moved, reached = np.where(new[..., None], found, moved), reached | new
            if reached.all():
                break
        return moved, reached

    def euler(self, velocity: Velocity, start: Array, time: Array, count: int = COUNTS[0]) -> Array:
        """The same by steps of order one without any projection: what a flow that leaves its level set looks like."""
        u = start
        for _ in range(count):
            u = u + (time / count)[..., None] * velocity(u)
        return u

    def _run(self, velocity: Velocity, start: Array, time: Array, count: int) -> tuple[Array, Truths, Truths]:
        """The image in so many steps, whether the steps are fine, and whether it is sound at least."""
        with np.errstate(all="ignore"):
            level, gradient = self.slope(start)
            size, steep = _length(start), _length(gradient)
            slack = 64 * EPSILON * (size + np.abs(level) / steep)
            u, h = start, time / count
            path, off, sound = np.zeros_like(level), np.zeros_like(level), np.isfinite(level)
            for _ in range(count):
                stepped, drift = self._step(velocity, u, h, level)
                length = _length(stepped - u)
                sound = sound & (drift <= LEAP * length + slack)
                u, path, off = stepped, path + length, off + drift
            u, _ = self._settle(u, level)
            value, _ = self.slope(u)
            sound = sound & (np.abs(value - level) <= EPSILON * (LEVEL * np.abs(level) + 16 * size * steep))
            sound = sound & np.isfinite(u).all(-1)
            return u, sound & (off <= EPSILON**ACCURACY * path + count * slack), sound

    def period(self, start: Array, march: int = MARCH) -> Array:
        """The time after which the field (-Q_2, Q_1) returns to `start` (..., 2); NaN where it does not."""
        with np.errstate(all="ignore"):
            t = self._march(start, march)
            origin = self.turning(start)
            back, reached = self.move(self.turning, start, np.where(np.isfinite(t), t, 0.0))
            late = ((back - start) * origin).sum(-1) / (origin * origin).sum(-1)
            return np.where(reached & (np.abs(late) <= 1e-3 * t), t - late, np.nan)

    def _march(self, start: Array, march: int) -> Array:
        """The period to half of the digits: steps as long as their error allows, the last ones Newton's to the start."""
        level, gradient = self.slope(start)
        origin, u, t = turn(gradient), start, np.zeros_like(level)
        side, homing, done = np.zeros_like(level), np.zeros_like(level, bool), np.zeros_like(level, bool)
        h = 1e-4 * (1 + _length(start)) / _length(gradient)
        coarse = ROOTS * np.sqrt(EPSILON)
        for _ in range(march):
            ahead = (turn(self.slope(u)[1]) * origin).sum(-1)
            size = np.where(homing, -side / ahead, h)
            stepped, drift = self._step(self.turning, u, size, level)
            length = _length(stepped - u)
            taken = (homing | (drift <= coarse * length)) & ~done
            u, t = np.where(taken[..., None], stepped, u), np.where(taken, t + size, t)
            before, side = side, ((u - start) * origin).sum(-1)
            homing = homing | (taken & (before < 0) & (side >= 0) & (_length(u - start) <= 2 * length))
            away = ~(_length(u - start) <= FAR * (1 + _length(start)))
            t = np.where(away, np.nan, t)
            done = done | away | (homing & (np.abs(size) <= np.sqrt(EPSILON) * t))
            growth = 0.9 * (coarse * length / drift) ** (1 / 9)
            h = h * np.clip(np.where(np.isnan(growth), 0.2, growth), 0.2, 4.0)
            if done.all():
                break
        return np.where(done, t, np.nan)

    def _step(self, velocity: Velocity, u: Array, h: Array, level: Array) -> tuple[Array, Array]:
        stages: list[Array] = []
        for row in STAGES:
            at = u
            for weight, stage in zip(row, stages, strict=True):
                at = at + weight * stage if weight else at
            stages.append(h[..., None] * velocity(at))
        total = sum(weight * stage for weight, stage in zip(WEIGHTS, stages, strict=True) if weight)
        return self._settle(u + total, level)

    def _settle(self, u: Array, level: Array) -> tuple[Array, Array]:
        """Newton corrections along the gradient, and how far the first one went."""
        drift = None
        for _ in range(CORRECTIONS):
            value, gradient = self.slope(u)
            shift = ((value - level) / (gradient * gradient).sum(-1))[..., None] * gradient
            drift = _length(shift) if drift is None else drift
            u = u - shift
        return u, drift


def _length(vectors: Array) -> Array:
    return np.sqrt((vectors * vectors).sum(-1))
