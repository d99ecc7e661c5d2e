"""Rays: from a centre inside, each level set is met once by each ray, so directions can be turned and levels kept.

With u = sqrt(L(x) - floor) y / |y| the loss is |u|^2 + floor, and O(n) acts on u: x -> c + t g(x - c) with the t > 0 that
keeps the loss. The centre, a frame that evens out the curvatures, and the region are found in numbers; that L grows along
the rays there is for `verify` to prove.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator, Sequence

import numpy as np
import sympy as sp

from symdiscover.errors import OutsideDomain, SymmetryError
from symdiscover.floats import Array
from symdiscover.group import SO, Group, O
from symdiscover.growth import level_bounds
from symdiscover.loss import Loss
from symdiscover.normal_form import is_zero
from symdiscover.routes import NoSymmetry
from symdiscover.routes._minima import minimisers, nearby_numbers, values
from symdiscover.slopes import JUMPS, slope
from symdiscover.star import Star
from symdiscover.symmetry import Kind, Symmetry, coordinate_symbols, unused

order = 70
lifts = False

#: Variables beyond which the faces of the cube are too many to prove anything on.
VARIABLES = 3
#: Seconds in all, and for one region.
SECONDS, REGION_SECONDS = 8.0, 3.0
#: The lengths at which rays are looked at, and how many regions of shrinking size are tried.
LENGTHS = np.geomspace(1e-4, 1e3, 211)
SHRINKS = (1.0, 0.7, 0.4, 0.2, 0.05)
#: The inner cube relative to the outer one, where the centre itself cannot be part of the region.
INNER = (0.02, 0.1, 0.3)


def find(loss: Loss, found: tuple[Symmetry, ...] = ()) -> list[Symmetry]:
    """O(n) on the directions from a centre, SO(2) in two dimensions, a reflection in one.

    Examples
    --------
    >>> find(Loss.parse("x**4 + y**2 + x**2*y**2 + exp(x**2)"))[0].group.name
    'SO(2)'
    """
    n = loss.dimension
    if loss.constants:
        raise NoSymmetry("symbolic constants: intervals need numbers")
    if n > VARIABLES:
        raise NoSymmetry(f"more than {VARIABLES} variables: too many directions to prove anything about")
    if any(s.group.dimension >= n - 1 > 0 for s in found):
        raise NoSymmetry("what was found already moves each point anywhere on its level set")
    deadline = time.monotonic() + SECONDS
    try:
        centres = minimisers(loss)
        for star in _stars(loss, centres, deadline):
            if star.holds(loss, min(REGION_SECONDS, deadline - time.monotonic())):
                return [claim(loss, star)]
    except OutsideDomain as unknown:
        raise NoSymmetry(f"no intervals for this loss: {unknown}") from None
    raise NoSymmetry("no region was found in which the loss grows along all rays from a point")


def claim(loss: Loss, star: Star) -> Symmetry:
    """The symmetry of a loss that grows along the rays of a star."""
    coordinates = coordinate_symbols(loss.variables, loss.constants)
    taken = Loss(loss.expression, (*loss.variables, *coordinates), loss.constants)
    scratch = unused(sp.symbols("m t", real=True), taken)
    group = {1: _reflection(), 2: SO(2)}.get(loss.dimension) or O(loss.dimension)
    chart = star.chart(loss, coordinates, scratch)
    kind: Kind = "implicit" if group.basis else "discrete"
    return Symmetry(loss, group, chart, kind, "ray", star.reduced(loss, coordinates))


def _reflection() -> Group:
    return Group("Z2", 1, (), (sp.ImmutableMatrix([[-1]]),), compact=True, element="matrix")


def _stars(loss: Loss, centres: Sequence[Array], deadline: float) -> Iterator[Star]:
    """Regions around the minimisers to try in time, the widest first; those that hold the centre before those that do not."""
    for point in centres:
        exact = nearby_numbers(point.tolist(), 1e-4 * (1 + float(np.abs(point).max())))
        for centre in exact:
            if _is_flat(loss, centre):
                yield from _around(loss, centre, (0.0,), deadline)
        power = 5 - max(0, math.ceil(math.log10(float(np.abs(point).max()) + 1e-9)))
        rounded = tuple(sp.Rational(round(float(x) * 10**power), 10**power) for x in point)
        yield from _around(loss, exact[0] if exact else rounded, INNER, deadline)


def _is_flat(loss: Loss, centre: tuple[sp.Expr, ...]) -> bool:
    """Whether no derivative that there is at the centre is other than 0: else the loss does not grow from there."""
    at = dict(zip(loss.variables, centre, strict=True))
    for x in loss.variables:
        rate = slope(loss.expression, x)
        value = rate.xreplace(at)
        if not (rate.has(*JUMPS) or value.has(sp.nan, sp.zoo, sp.oo) or is_zero(value)):
            return False
    return True


def _around(
    loss: Loss, centre: tuple[sp.Expr, ...], inner: Sequence[float], deadline: float
) -> Iterator[Star]:
    at = np.array([float(c) for c in centre])
    frame = _frame(loss, at)
    reach = _reach(loss, at, frame)
    for ratio, shrink in itertools.product(inner, SHRINKS):
        if time.monotonic() > deadline:
            return
        far = _two_digits(0.95 * shrink * reach)
        near = _two_digits(ratio * float(far)) if ratio else sp.Integer(0)
        if far > near and (star := _with_levels(loss, centre, frame, near, far)) is not None:
            yield star


def _with_levels(
    loss: Loss, centre: tuple[sp.Expr, ...], frame: sp.ImmutableMatrix, near: sp.Rational, far: sp.Rational
) -> Star | None:
    """The star with the widest levels that its cubes allow."""
    n = loss.dimension
    bare = Star(centre, frame, near, far, sp.Integer(0), sp.Integer(1))
    try:
        lowest, _ = level_bounds(lambda face: bare.along(loss, face, far), n)
        if near:
            _, highest = level_bounds(lambda face: bare.along(loss, face, near), n)
            floor = _rounded(highest, upward=True)
        else:
            floor = loss.expression.xreplace(dict(zip(loss.variables, centre, strict=True)))
        ceiling = _rounded(lowest, upward=False)
        return Star(centre, frame, near, far, floor, ceiling)
    except (OutsideDomain, SymmetryError, TypeError, ValueError, OverflowError):
        return None


def _frame(loss: Loss, at: Array) -> sp.ImmutableMatrix:
    """A with A^T A near the Hessian, scaled: level sets look round in y = A (x - c). The identity where that is no help."""
    n = len(at)
    h = 1e-3 * (1 + np.abs(at).max())
    steps = [h * np.eye(n)[i] for i in range(n)]
    stencil = [
        at + s * a + t * b for a, b in itertools.product(steps, steps) for s in (1, -1) for t in (1, -1)
    ]
    heights = values(loss, np.array(stencil)).reshape(n, n, 2, 2)
    hessian = (heights[..., 0, 0] - heights[..., 0, 1] - heights[..., 1, 0] + heights[..., 1, 1]) / (
        4 * h * h
    )
    if not np.isfinite(hessian).all():
        return sp.ImmutableMatrix(sp.eye(n))
    sizes = np.linalg.eigvalsh((hessian + hessian.T) / 2)
    if not (sizes[0] > 1e-6 * sizes[-1] > 0 and sizes[-1] > 4 * sizes[0]):
        return sp.ImmutableMatrix(sp.eye(n))
    upper = np.linalg.cholesky((hessian + hessian.T) / 2).T
    upper = upper / np.abs(upper).max()
    return sp.ImmutableMatrix(n, n, lambda i, j: _two_digits(float(upper[i, j])))


def _reach(loss: Loss, at: Array, frame: sp.ImmutableMatrix) -> float:
    """How far from the centre, in the largest coordinate of y, the loss still grows along the rays looked at."""
    n = len(at)
    inverse = np.array(frame.inv().tolist(), dtype=float)
    sides = np.linspace(-1, 1, {1: 1, 2: 33, 3: 9}[n])
    faces = [
        np.insert(np.array(rest), k, sign)
        for k in range(n)
        for sign in (1.0, -1.0)
        for rest in itertools.product(sides, repeat=n - 1)
    ]
    directions = np.array(faces) @ inverse.T
    points = at + LENGTHS[None, :, None] * directions[:, None, :]
    heights = values(loss, points.reshape(-1, n)).reshape(len(directions), len(LENGTHS))
    with np.errstate(all="ignore"):
        rises = np.diff(heights, axis=1) > 0
    small = LENGTHS[1:] < 0.02  # around a centre that is none to the last digit, rises are rounding
    ends = [LENGTHS[1:][~(row | small)][:1] for row in rises]
    return float(min([LENGTHS[-1] / 10, *[end[0] for end in ends if len(end)]]))


def _two_digits(x: float) -> sp.Rational:
    if x == 0:
        return sp.Integer(0)
    power = 1 - math.floor(math.log10(abs(x)))
    return sp.Rational(round(x * 10.0**power)) / sp.Integer(10) ** power


def _rounded(x: float, upward: bool) -> sp.Rational:
    """A number of few digits above or below."""
    if not math.isfinite(x):
        raise ValueError("no finite level")
    power = 5 - math.floor(math.log10(max(abs(x), 1e-12)))
    scaled = sp.Rational(x) * sp.Integer(10) ** power
    return (sp.ceiling(scaled) if upward else sp.floor(scaled)) / sp.Integer(10) ** power
