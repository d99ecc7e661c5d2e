"""Affine fields xi = B x + c with sum_i xi_i dL/dx_i = 0: the Lie algebra of all linear and affine symmetries.

For polynomials the null space is exact and complete for the ansatz. The finite action is the exponential of the
(n + 1) x (n + 1) matrix of B and c.
"""

from __future__ import annotations

from collections.abc import Sequence

import sympy as sp

from symdiscover.errors import SymmetryError
from symdiscover.group import ElementKind, Group, exponential
from symdiscover.lie_algebra import LieAlgebra
from symdiscover.loss import Loss
from symdiscover.routes import NoSymmetry
from symdiscover.routes._outer import compositions
from symdiscover.routes._relations import linear_relations
from symdiscover.symmetry import Chart, Symmetry

order = 40

#: More unknowns than this are not attempted.
UNKNOWNS = 420


def find(loss: Loss, found: tuple[Symmetry, ...] = ()) -> list[Symmetry]:
    """All affine fields that annihilate the loss, as one group; nothing if `found` has them already.

    Examples
    --------
    >>> find(Loss.parse("x**2*y + z**4*y**2"))[0].map
    (x*exp(t), y*exp(-2*t), z*exp(t))
    """
    n = len(loss.variables)
    if n * (n + 1) > UNKNOWNS:
        raise NoSymmetry(f"{n} variables: {n * (n + 1)} unknowns, more than {UNKNOWNS}")
    fields = [field for field in affine_fields(loss) if any(entry != 0 for entry in field)]
    if not fields:
        raise NoSymmetry("no affine field annihilates the loss")
    known = [vector for symmetry in found if (vectors := known_fields(symmetry)) for vector in vectors]
    if known and len(fields) <= sp.Matrix(known).rank():
        raise NoSymmetry(f"{len(fields)} affine fields, all found already")
    basis = tuple(_matrix(field, n) for field in fields)
    if not any(generator[i, n] != 0 for generator in basis for i in range(n)):
        basis = tuple(sp.ImmutableMatrix(generator[:n, :n]) for generator in basis)
    group = _group(basis, n)
    return [Symmetry(loss, group, Chart.identity(loss.variables, loss.constants), route="affine")]


def affine_fields(loss: Loss) -> list[list[sp.Expr]]:
    """A basis of the affine fields, each as (B_11, B_12, ..., B_nn, c_1, ..., c_n)."""
    polynomial = compositions(loss, lambda inner: inner.is_polynomial(*loss.variables))
    inner = next((composition.inner for composition in polynomial), loss.expression)
    gradient = [sp.diff(inner, x) for x in loss.variables]
    products = [x * slope for slope in gradient for x in loss.variables]
    return linear_relations([*products, *gradient], loss)


def known_fields(symmetry: Symmetry) -> list[list[sp.Expr]]:
    """The fields of a symmetry in the variables, in the coordinates of `affine_fields`; empty unless all are affine."""
    chart, variables = symmetry.chart, symmetry.loss.variables
    jacobian = sp.Matrix(chart.forward).jacobian(variables)
    if jacobian.free_symbols & set(variables) or not symmetry.group.basis:
        return []
    forward = dict(zip(chart.coordinates, chart.forward, strict=True))
    inverse = jacobian.inv()
    vectors = []
    for generator in symmetry.group.basis:
        velocity = inverse * sp.Matrix(
            [entry.xreplace(forward) for entry in map(sp.sympify, symmetry.field(generator))]
        )
        velocity = velocity.applyfunc(sp.expand)
        linear = velocity.jacobian(variables)
        constant = velocity.xreplace(dict.fromkeys(variables, sp.Integer(0)))
        vectors.append([*linear, *constant])
    return vectors


def _matrix(field: Sequence[sp.Expr], n: int) -> sp.ImmutableMatrix:
    matrix = sp.zeros(n + 1, n + 1)
    matrix[:n, :n] = sp.Matrix(n, n, list(field[: n * n]))
    matrix[:n, n] = sp.Matrix(field[n * n :])
    return sp.ImmutableMatrix(matrix)


def _group(basis: tuple[sp.ImmutableMatrix, ...], n: int) -> Group:
    """The group with the name it is usually given: SO(2), PositiveScaling(k), R^k, GL(k) ... or that of its algebra."""
    affine = basis[0].rows == n + 1
    if all(generator.is_diagonal() for generator in basis):
        return Group(f"PositiveScaling({len(basis)})", n, basis, affine=affine, element=_additive(basis))
    if len(basis) == 1:
        speed = _rotation_speed(basis[0])
        if speed is not None:
            turn = (sp.ImmutableMatrix(basis[0] / speed),)
            return Group("SO(2)", n, turn, compact=True, affine=affine, element="angle")
        closed = exponential(basis[0], sp.Symbol("t", real=True)) is not None
        return Group("R", n, basis, affine=affine, element="time" if closed else "matrix")
    if all((a * b - b * a).applyfunc(sp.expand).is_zero_matrix for a in basis for b in basis):
        closed = all(exponential(generator, sp.Symbol("t", real=True)) is not None for generator in basis)
        return Group(f"R^{len(basis)}", n, basis, affine=affine, element="vector" if closed else "matrix")
    try:
        name = LieAlgebra.from_matrices(basis).name
    except SymmetryError:
        name = ""
    return Group(group_name(name) or f"Lie group of dimension {len(basis)}", n, basis, affine=affine)


def _additive(basis: Sequence[sp.ImmutableMatrix]) -> ElementKind:
    return "time" if len(basis) == 1 else "vector"


def _rotation_speed(generator: sp.ImmutableMatrix) -> sp.Expr | None:
    """w with B^3 = -w^2 B, so that exp(t B) turns with period 2 pi / w; None where there is none."""
    cube = generator**3
    i, j = next((i, j) for i in range(generator.rows) for j in range(generator.cols) if generator[i, j] != 0)
    ratio = sp.cancel(-cube[i, j] / generator[i, j])
    if not ratio.is_positive or not (cube + ratio * generator).applyfunc(sp.cancel).is_zero_matrix:
        return None
    return sp.sqrt(ratio)


def group_name(algebra: str) -> str:
    """The connected group usually meant by an algebra's name: so(3) -> SO(3), gl(2,R) -> GL(2)."""
    name = algebra.replace(",R)", ")").replace(",", ", ").replace(",  ", ", ")
    for small, large in (("so(", "SO("), ("sl(", "SL("), ("gl(", "GL("), ("se(", "SE("), ("aff(", "Aff(")):
        name = name.replace(small, large)
    return name
