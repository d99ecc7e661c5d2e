"""Star: a region in which a loss grows along every ray from a centre, so that a level set is a sphere seen from there.

With y = A (x - c), |y|_2 the Euclidean and |y|_max the largest coordinate, and L growing in t along every ray c + t A^{-1} d,
u = sqrt(L(x) - floor) y / |y|_2 is a chart with L = |u|^2 + floor: O(n) acts on u, and x is found on the ray of u by one root.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import sympy as sp

from symdiscover.errors import OutsideDomain, SymmetryError
from symdiscover.group import Group
from symdiscover.growth import Face, faces, grows, level_bounds
from symdiscover.loss import Loss
from symdiscover.normal_form import is_zero
from symdiscover.root import Root
from symdiscover.symmetry import Chart, Fact, keeps_length


@dataclass(frozen=True)
class Star:
    """The claim that a loss grows along every ray from a centre, between two cubes and two levels.

    Parameters
    ----------
    centre:
        c, n numbers.
    frame:
        A, an invertible matrix of rational numbers.
    near, far:
        The cubes: near < |A (x - c)|_max < far. `near` may be 0.
    floor, ceiling:
        The levels: floor < L(x) < ceiling. No value on the inner cube is above the floor, none on the outer below the ceiling.
    """

    centre: tuple[sp.Expr, ...]
    frame: sp.ImmutableMatrix
    near: sp.Rational
    far: sp.Rational
    floor: sp.Expr
    ceiling: sp.Expr

    name = "star"

    def __post_init__(self) -> None:
        n = len(self.centre)
        numbers = (*self.centre, *self.frame, self.near, self.far, self.floor, self.ceiling)
        if self.frame.shape != (n, n) or any(e.free_symbols or not e.is_real for e in numbers):
            raise SymmetryError(
                "a star needs a centre of n numbers, an n x n frame, two radii and two levels"
            )
        if is_zero(self.frame.det()) or not (0 <= self.near < self.far and self.floor < self.ceiling):
            raise SymmetryError("the frame of a star must be invertible, its radii and levels in order")

    def chart(self, loss: Loss, coordinates: Sequence[sp.Symbol], scratch: Sequence[sp.Symbol]) -> Chart:
        """The chart; `scratch` are two symbols for the length of u and the place on the ray."""
        u, (size, t) = tuple(coordinates), scratch
        moved = self._offsets(loss)
        length = sp.sqrt(sp.Add(*[y**2 for y in moved]))
        forward = [sp.sqrt(loss.expression - self.floor) * y / length for y in moved]
        ray = self._ray([t * v / size for v in u])
        along = loss.expression.xreplace(dict(zip(loss.variables, ray, strict=True)))
        target = sp.Add(*[v**2 for v in u]) + self.floor
        return Chart(
            loss.variables,
            u,
            tuple(forward),
            (
                (size, sp.Max(*[sp.Abs(v) for v in u])),
                (t, Root(t, along, target, self.near, self.far)),
                *zip(loss.variables, ray, strict=True),
            ),
            self._conditions(loss, moved),
            self,
        )

    def reduced(self, loss: Loss, coordinates: Sequence[sp.Symbol]) -> sp.Expr:
        """The loss in the chart's coordinates."""
        return sp.Add(*[u**2 for u in coordinates]) + self.floor

    def admits(self, group: Group) -> bool:
        """Whether the group keeps |u|."""
        return keeps_length(group)

    @property
    def height(self) -> sp.Expr:
        """The bound of |u|^2."""
        return self.ceiling - self.floor

    def cell(self, loss: Loss) -> tuple[list[float], list[list[float]]]:
        """c and far A^{-1}."""
        spread = float(self.far) * np.array(self.frame.inv().tolist(), dtype=float)
        return [float(c) for c in self.centre], spread.tolist()

    def holds(self, loss: Loss, seconds: float) -> bool:
        """Whether everything that has to hold is proved in that time."""
        return all(fact.proved for fact in self.prove(loss, seconds))

    def prove(self, loss: Loss, seconds: float = 10.0) -> list[Fact]:
        """What has to hold, each with whether it is proved."""
        n, deadline = loss.dimension, time.monotonic() + seconds
        grown = not loss.constants and not loss.expression.has(
            sp.floor, sp.ceiling, sp.Piecewise, sp.Heaviside, sp.sign
        )
        t = sp.Symbol("t", positive=True)
        for face in faces(n):
            left = deadline - time.monotonic()
            grown = grown and grows(self.along(loss, face, t), t, *self._reach, face.box, left)
        return [
            Fact(
                "chart",
                "L grows along each ray: d/dt L(c + t d) > 0, so psi(phi(x)) = x",
                grown,
                f"intervals on {2 * n} faces",
            ),
            Fact(
                "inverse chart",
                "each ray takes each level, so phi(psi(u)) = u",
                self._levels_hold(loss),
                "interval bounds",
            ),
            Fact("reduction", "L(x) = |u|^2 + floor", True, "structure"),
            Fact("domain", "g keeps |u|, and so the levels", True, "structure"),
        ]

    def _levels_hold(self, loss: Loss) -> bool:
        """max L on the inner cube <= floor, min L on the outer cube >= ceiling."""
        n = loss.dimension
        try:
            outer, _ = level_bounds(lambda face: self.along(loss, face, self.far), n)
            if self.near == 0:
                at_centre = loss.expression.xreplace(dict(zip(loss.variables, self.centre, strict=True)))
                return is_zero(at_centre - self.floor) and sp.Rational(outer) >= self.ceiling
            _, inner = level_bounds(lambda face: self.along(loss, face, self.near), n)
        except OutsideDomain:
            return False
        return bool(sp.Rational(outer) >= self.ceiling and sp.Rational(inner) <= self.floor)

    @property
    def _reach(self) -> tuple[float, float]:
        """The radii in float64, rounded outward."""
        near = math.nextafter(float(self.near), 0.0) if self.near > 0 else 0.0
        return near, math.nextafter(float(self.far), math.inf)

    def along(self, loss: Loss, face: Face, t: sp.Expr) -> sp.Expr:
        """L(c + t A^{-1} d) for the directions d of a face of the cube."""
        ray = self._ray([t * d for d in face.directions])
        return loss.expression.xreplace(dict(zip(loss.variables, ray, strict=True)))

    def _ray(self, y: Sequence[sp.Expr]) -> list[sp.Expr]:
        """x = c + A^{-1} y."""
        return [c + e for c, e in zip(self.centre, self.frame.inv() * sp.Matrix(y), strict=True)]

    def _offsets(self, loss: Loss) -> list[sp.Expr]:
        """y = A (x - c)."""
        return list(self.frame * sp.Matrix([x - c for x, c in zip(loss.variables, self.centre, strict=True)]))

    def _conditions(self, loss: Loss, moved: Sequence[sp.Expr]) -> tuple[sp.Basic, ...]:
        size = sp.Max(*[sp.Abs(y) for y in moved])
        inner = [size > self.near] if self.near > 0 else []
        return (*inner, size < self.far, loss.expression > self.floor, loss.expression < self.ceiling)
