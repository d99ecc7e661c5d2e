"""Is a map an element of a group that was found before? It decides what is reported, never what is true."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import mpmath
import sympy as sp

from symdiscover.errors import SymmetryError
from symdiscover.group import Group
from symdiscover.lie_algebra import orbit_dimension
from symdiscover.rounding import evaluate_digits
from symdiscover.symmetry import Symmetry

#: Digits of the computation, and the size below which a difference is rounding.
DIGITS, SMALL = 40, mpmath.mpf(10) ** -20
#: Discrete elements of a found group that are looked at.
ELEMENTS = 128
#: Why a route does not look further, see `moves_whole_spheres`.
SPHERES = "the rotations found already move each point anywhere on its level sphere"
#: The same for `moves_level_sets`.
LEVEL_SETS = "what is found already moves each point anywhere on its level set"


def is_known(found: Sequence[Symmetry], images: Sequence[sp.Expr]) -> bool:
    """Whether one of the symmetries has x -> images among its elements, at random points and random constants.

    Examples
    --------
    >>> from symdiscover import Loss
    >>> from symdiscover.routes.peel import find
    >>> rosenbrock = Loss.parse("(x**2 - y)**2 + (x - 1)**2")
    >>> x, y = rosenbrock.variables
    >>> is_known(find(rosenbrock), [x, 2*x**2 - y]), is_known(find(rosenbrock), [-x, y])
    (True, False)
    """
    return any(_contains(symmetry, images) for symmetry in found)


def moves_whole_spheres(found: Sequence[Symmetry]) -> bool:
    """Whether a definite O(n) on all coordinates was found: every level set is then an orbit, or several spheres."""
    for symmetry in found:
        group = symmetry.group
        whole = group.size == symmetry.loss.dimension and not symmetry.chart.conditions
        if whole and group.form is not None and group.compact and group.dimension:
            return True
    return False


def moves_level_sets(found: Sequence[Symmetry]) -> bool:
    """Whether a group was found whose orbits have the dimension of the level sets; numerical flows do not count."""
    return any(_is_transitive(symmetry) for symmetry in found if symmetry.group.basis)


def moves_all_level_sets(found: Sequence[Symmetry]) -> bool:
    """The same of a group that acts everywhere, or off a null set: what acts in one basin leaves the others."""
    return moves_level_sets([s for s in found if all(isinstance(c, sp.Ne) for c in s.chart.conditions)])


def _is_transitive(symmetry: Symmetry) -> bool:
    n = symmetry.loss.dimension
    if symmetry.dimension < n - 1:
        return False
    fields = [symmetry.field(generator) for generator in symmetry.group.basis]
    try:
        return orbit_dimension(fields, symmetry.chart.coordinates) >= n - 1
    except (SymmetryError, ValueError):
        return False


def _contains(symmetry: Symmetry, images: Sequence[sp.Expr]) -> bool:
    group, m = symmetry.group, symmetry.group.size
    if not (group.basis or group.discrete):
        return False
    with mpmath.workdps(DIGITS):
        rng = random.Random(5)
        constants = {a: mpmath.mpf(rng.uniform(0.5, 2)) for a in symmetry.loss.constants}
        pairs = []
        for _ in range(4 * group.matrix_size + 8):
            point = constants | {x: mpmath.mpf(rng.uniform(-2, 2)) for x in symmetry.loss.variables}
            try:
                moved = point | {
                    x: evaluate_digits(e, point) for x, e in zip(symmetry.loss.variables, images, strict=True)
                }
                pair = [[evaluate_digits(u, p) for u in symmetry.chart.forward] for p in (point, moved)]
            except (ArithmeticError, SymmetryError, ValueError):
                continue
            if any(not _near(a, b) for a, b in zip(*(u[m:] for u in pair), strict=True)):
                return False
            pairs.append([[*u[:m], mpmath.mpf(1)] if group.affine else u[:m] for u in pair])
            if len(pairs) == group.matrix_size + 2:
                break
        matrix = _linear_map(pairs, group.matrix_size)
        return matrix is not None and _is_element(group, matrix, constants)


def _near(a: Any, b: Any) -> bool:
    return bool(abs(a - b) <= SMALL * (1 + abs(a) + abs(b)))


def _linear_map(pairs: Sequence[Sequence[Sequence[Any]]], size: int) -> mpmath.matrix | None:
    """The matrix with g u = v for all pairs (u, v); None where there is none."""
    if len(pairs) < size + 2:
        return None
    before = mpmath.matrix([u for u, _ in pairs[:size]])
    try:
        transposed = [
            mpmath.lu_solve(before, mpmath.matrix([v[i] for _, v in pairs[:size]])) for i in range(size)
        ]
    except ZeroDivisionError:
        return None
    g = mpmath.matrix([list(row) for row in transposed])
    for u, v in pairs[size:]:
        if any(not _near(a, b) for a, b in zip(g * mpmath.matrix(u), v, strict=True)):
            return None
    return g


def _is_element(group: Group, g: mpmath.matrix, constants: Mapping[sp.Symbol, Any]) -> bool:
    def numbers(matrix: sp.Matrix) -> mpmath.matrix:
        return mpmath.matrix(
            [[evaluate_digits(entry, constants) for entry in row] for row in matrix.tolist()]
        )

    if group.form is not None:
        form = numbers(group.form)
        return _is_zero(g.T * form * g - form)
    if group.dimension == group.matrix_size**2:
        return True
    basis = [numbers(generator) for generator in group.basis]
    generators = [numbers(generator) for generator in group.discrete]
    elements = [mpmath.eye(group.matrix_size)]
    for element in elements:  # the list grows while it is walked
        for generator in generators:
            new = generator * element
            if len(elements) < ELEMENTS and not any(_is_zero(new - old) for old in elements):
                elements.append(new)
    return any(_in_identity_component(basis, element**-1 * g) for element in elements)


def _in_identity_component(basis: Sequence[mpmath.matrix], g: mpmath.matrix) -> bool:
    """Whether g is 1, or its principal logarithm lies in the span of the basis."""
    if _is_zero(g - mpmath.eye(g.rows)):
        return True
    if not basis or mpmath.det(g) <= 0:
        return False
    try:
        logarithm = mpmath.logm(g)
        columns = mpmath.matrix([[b[i] for b in map(list, basis)] for i in range(g.rows**2)])
        target = mpmath.matrix(list(logarithm))
        coordinates = mpmath.lu_solve(columns, target)
        # Near an eigenvalue -1 the logarithm loses half of the digits.
        return bool(mpmath.norm(columns * coordinates - target, mpmath.inf) < mpmath.sqrt(SMALL))
    except (ArithmeticError, ValueError):
        return False


def _is_zero(matrix: mpmath.matrix) -> bool:
    return bool(mpmath.mnorm(matrix, 1) <= SMALL)
