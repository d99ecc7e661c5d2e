"""Where a loss seems to have its minima: a search in numbers, which proves nothing."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import sympy as sp

from symdiscover.floats import Array, evaluate_floats
from symdiscover.loss import Loss

#: Half the sides of the cubes that are searched, the nodes on each side of their grids, by the number of variables; the
#: nodes of each from which a local search starts, and its steps.
SCALES, GRID, NODES, STEPS = (1.2, 5.0, 20.0, 100.0, 500.0), {1: 401, 2: 41, 3: 17}, 2, 60


#: Points with larger coordinates come last, however low they lie.
NEAR = 12.0


def values(loss: Loss, points: Array) -> Array:
    """The loss at points (k, n): an array (k,), infinite where it is not a number.

    Examples
    --------
    >>> values(Loss.parse("x**2 + y"), np.array([[2.0, 1.0], [0.0, -1.0]]))
    array([ 5., -1.])
    """
    heights = evaluate_floats(loss.expression, {x: points[:, k] for k, x in enumerate(loss.variables)})
    return np.where(np.isfinite(heights), heights, np.inf) + np.zeros(len(points))


def minimisers(loss: Loss, count: int = 4) -> list[Array]:
    """Up to `count` points (n,) that look like local minima: those near the origin first, then the lowest.

    A grid over each cube shows nodes below all their neighbours; a local search starts from the lowest of them.
    """
    rng = np.random.default_rng(0)
    ends: list[tuple[float, Array]] = []
    for scale in SCALES:
        step = 2 * scale / (GRID[loss.dimension] - 1)
        for point in _low_nodes(loss, scale):
            ends.append(_descended(loss, point, step / 2, rng))
    far = [float(np.abs(point).max()) for _, point in ends]
    order = sorted(range(len(ends)), key=lambda i: (far[i] > NEAR, round(ends[i][0], 9), far[i]))
    chosen: list[Array] = []
    for height, point in (ends[i] for i in order):
        apart = all(np.abs(point - other).max() > 1e-3 * (1 + np.abs(point).max()) for other in chosen)
        if apart and np.isfinite(height):
            chosen.append(point)
    return chosen[:count]


def _low_nodes(loss: Loss, scale: float) -> list[Array]:
    """The lowest nodes of a grid that are below their neighbours."""
    n = loss.dimension
    sides = np.linspace(-scale, scale, GRID[n])
    points = np.stack(np.meshgrid(*[sides] * n, indexing="ij"), axis=-1)
    heights = values(loss, points.reshape(-1, n)).reshape(points.shape[:-1])
    low = np.isfinite(heights)
    for axis, shift in itertools.product(range(n), (1, -1)):
        low &= heights <= np.roll(heights, shift, axis=axis)
        edge = [slice(None)] * n
        edge[axis] = slice(None, 1) if shift == 1 else slice(-1, None)
        low[tuple(edge)] = False
    nodes = points[low]
    return list(nodes[np.argsort(heights[low], kind="stable")][:NODES])


def _descended(loss: Loss, point: Array, spread: float, rng: np.random.Generator) -> tuple[float, Array]:
    """A cloud of points around the best one, which narrows where it finds nothing lower."""
    height = float(values(loss, point[None])[0])
    for _ in range(STEPS):
        cloud = point + spread * rng.standard_normal((40, len(point))) * rng.choice([1.0, 0.1, 0.01], (40, 1))
        heights = values(loss, cloud)
        best = int(np.argmin(heights))
        if heights[best] < height:
            point, height = cloud[best], float(heights[best])
        else:
            spread *= 0.5
        if spread < 1e-10:
            break
    return height, point


def nearby_numbers(point: Sequence[float], tolerance: float) -> list[tuple[sp.Expr, ...]]:
    """Short exact numbers near a point: whole ones, halves, fractions, multiples of pi; the shortest first.

    Examples
    --------
    >>> nearby_numbers([0.50000001, 3.14159265], 1e-6)
    [(1/2, pi)]
    """
    listed = [_short(float(x), tolerance) for x in point]
    return [tuple(listed)] if all(x is not None for x in listed) else []


def _short(x: float, tolerance: float) -> sp.Expr | None:
    for unit in (sp.Integer(1), sp.pi):
        for denominator in (1, 2, 3, 4, 5, 10, 100):
            multiple = x / float(unit) * denominator
            if abs(multiple - round(multiple)) * float(unit) / denominator < tolerance:
                return sp.Rational(round(multiple), denominator) * unit
    return None
