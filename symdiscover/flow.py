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
#: Newton corrections after each step.
CORRECTIONS = 2
#: The rounding unit to this power is the share of its length by which a step may leave the level set.
ACCURACY = 0.65
#: Steps that are tried, and the share of a step by which one that is short beside the path may leave the level set: where
#: the field has a kink none is better.
STEPS, LEAP = 500, 0.25
#: Roundings of the loss within which a moved point must be on its level set: 1e-12 in float64.
LEVEL = 4096.0
#: A curve that goes further from its start than this many times its size counts as open.
FAR = 1e6

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
    steps, accuracy:
        Steps that are tried, and the power of the rounding unit that bounds their errors.

    Examples
    --------
    >>> x, y = sp.symbols("x y", real=True)
    >>> circles = LevelFlow(x**2 + y**2, (x, y))
    >>> points = np.array([[1.0, 0.0], [0.0, 3.0]])
    >>> bool(np.allclose(circles.period(points), np.pi))  # the field is (-2 y, 2 x)
    True
    >>> moved, reached = circles.move(circles.turning, points, np.full(2, np.pi / 4))
    >>> reached.tolist(), (moved.round(6) + 0.0).tolist()
    ([True, True], [[0.0, 1.0], [-3.0, 0.0]])
    """

    def __init__(
        self,
        function: sp.Expr,
        coordinates: Sequence[sp.Symbol],
        steps: int = STEPS,
        accuracy: float = ACCURACY,
    ) -> None:
        self.steps, self.accuracy = steps, accuracy
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

        A point that is not reached stays: where the flow meets what is not finite or a gradient of zero, or leaves its
        level set, or needs too many steps.
        """
        with np.errstate(all="ignore"):
            level, gradient = self.slope(start)
            slack = self._slack(start, level, gradient)
            u, left, path, h = start, time, np.zeros_like(level), time / 16
            for _ in range(self.steps):
                size = np.where(np.abs(h) < np.abs(left), h, left)
                stepped, taken, good, growth = self._attempt(velocity, u, size, level, path, slack)
                good = good & (left != 0)
                u, left = np.where(good[..., None], stepped, u), np.where(good, left - size, left)
                path, h = path + np.where(good, taken, 0.0), size * growth
                if ((left == 0) | (np.abs(h) < 1e-3 * EPSILON * np.abs(time))).all():
                    break
            u = np.where((time != 0)[..., None], self._settle(u, level)[0], start)
            off = np.abs(self.slope(u)[0] - level)
            sound = off <= EPSILON * (LEVEL * np.abs(level) + 16 * _length(start) * _length(gradient))
            reached = (left == 0) & sound & np.isfinite(u).all(-1) & (_length(gradient) > 0)
            return np.where(reached[..., None], u, start), reached

    def euler(self, velocity: Velocity, start: Array, time: Array, count: int = 32) -> Array:
        """The same by steps of order one without any projection: what a flow that leaves its level set looks like."""
        u = start
        with np.errstate(all="ignore"):
            for _ in range(count):
                u = u + (time / count)[..., None] * velocity(u)
        return u

    def period(self, start: Array) -> Array:
        """The time after which the field (-Q_2, Q_1) returns to `start` (..., 2); NaN where it does not."""
        with np.errstate(all="ignore"):
            level, gradient = self.slope(start)
            slack, origin = self._slack(start, level, gradient), turn(gradient)
            u, t, side, path = start, np.zeros_like(level), np.zeros_like(level), np.zeros_like(level)
            homing, ended = np.zeros_like(level, bool), np.zeros_like(level, bool)
            h = 1e-3 * (1 + _length(start)) / _length(gradient)
            for _ in range(self.steps):
                ahead = (turn(self.slope(u)[1]) * origin).sum(-1)
                size = np.where(homing, -side / ahead, h)  # Newton's steps to the line through the start
                stepped, taken, good, growth = self._attempt(self.turning, u, size, level, path, slack)
                good = (good | homing) & ~ended
                u, t = np.where(good[..., None], stepped, u), np.where(good, t + size, t)
                path, h = path + np.where(good, taken, 0.0), h * growth
                before, side = side, ((u - start) * origin).sum(-1)
                away = _length(u - start)
                homing = homing | (good & (before < 0) & (side >= 0) & (away <= 2 * taken))
                ended = ended | ~(away <= FAR * (1 + _length(start)))
                ended = ended | (homing & (np.abs(size) <= np.sqrt(EPSILON) * t))
                if ended.all():
                    break
            closed = homing & ended & (_length(u - start) <= 1e-6 * path)
            return np.where(closed, t, np.nan)

    def _slack(self, start: Array, level: Array, gradient: Array) -> Array:
        """How far rounding alone may take a point off its level set."""
        return 64 * EPSILON * (_length(start) + np.abs(level) / _length(gradient))

    def _attempt(
        self, velocity: Velocity, u: Array, h: Array, level: Array, path: Array, slack: Array
    ) -> tuple[Array, Array, Truths, Array]:
        """A step, its length, whether it is good, and by how much the next one should be longer."""
        stepped, drift = self._step(velocity, u, h, level)
        taken = _length(stepped - u)
        allowed = EPSILON**self.accuracy * taken + slack
        short = taken <= np.sqrt(EPSILON) * path
        good = (drift <= allowed) | (short & (drift <= LEAP * taken))
        growth = 0.9 * (allowed / drift) ** (1 / 9)
        return stepped, taken, good, np.clip(np.where(np.isnan(growth), 0.05, growth), 0.05, 10.0)

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
        drift = np.zeros_like(level)
        for number in range(CORRECTIONS):
            value, gradient = self.slope(u)
            shift = ((value - level) / (gradient * gradient).sum(-1))[..., None] * gradient
            drift = _length(shift) if number == 0 else drift
            u = u - shift
        return u, drift


def _length(vectors: Array) -> Array:
    return np.sqrt((vectors * vectors).sum(-1))
