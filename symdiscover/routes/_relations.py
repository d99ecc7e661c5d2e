"""Constant linear relations between functions, exactly."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import sympy as sp

from symdiscover.errors import OutsideDomain
from symdiscover.exact_linear import Field, Span, Vector, kernel
from symdiscover.floats import Array, compiled
from symdiscover.loss import Loss
from symdiscover.normal_form import NormalForm, TooLarge
from symdiscover.routes import NoSymmetry

#: Of more denominators than this no common one is formed.
DENOMINATORS = 2

#: Smaller than this relative to the largest, a singular value may be rounding and is decided exactly.
RANK = 1e-8

#: Random points for each function.
SAMPLES = 4

#: One row of the linear system: column -> {powers of the constants: rational}.
Row = Mapping[int, Mapping[tuple[int, ...], Any]]


def linear_relations(functions: Sequence[sp.Expr], loss: Loss) -> list[list[sp.Expr]]:
    """A basis of {v : sum_i v_i f_i = 0 identically}, v over Q(constants of the loss), reduced, without denominators.

    Exact and complete for functions that are rational in the variables. Other functions (exp(x), sin(x), ...)
    are expanded by their addition theorems and then treated as independent: every relation found is true, some may
    be missed. So are relations over the common denominator of more than two sums.

    Raises
    ------
    NoSymmetry
        If the functions have too many terms.

    Examples
    --------
    >>> loss = Loss.parse("x + y")
    >>> x, y = loss.variables
    >>> linear_relations([x, y, x - 2*y], loss)
    [[1, -2, -1]]
    """
    if _independent(functions, loss):
        return []
    form, numerators = _normal_form(functions)
    free = [i for i, part in enumerate(form.parts) if not part.free_symbols & set(loss.variables)]
    rows: dict[tuple[int, ...], dict[int, dict[tuple[int, ...], Any]]] = {}
    for column, numerator in enumerate(numerators):
        for powers, coefficient in numerator.items():
            monomial = tuple(0 if i in free else n for i, n in enumerate(powers))
            constant = tuple(powers[i] for i in free)
            rows.setdefault(monomial, {}).setdefault(column, {})[constant] = coefficient
    return _kernel([rows[key] for key in sorted(rows)], len(functions), [form.parts[i] for i in free])


def _independent(functions: Sequence[sp.Expr], loss: Loss) -> bool:
    """Whether functions that are not all rational are far from any relation at random points, in floating point.

    A relation holds at every point; for rational functions the exact computation is cheap, and says more.
    """
    symbols = (*loss.variables, *loss.constants)
    if all(f.is_rational_function(*symbols) for f in functions):
        return False
    rng = np.random.default_rng(0)
    points = rng.uniform(0.2, 2.0, (len(symbols), SAMPLES * len(functions)))
    points[loss.dimension :] = points[
        loss.dimension :, :1
    ]  # relations may hold with coefficients of the constants
    points[: loss.dimension] *= rng.choice([-1.0, 1.0], points[: loss.dimension].shape)
    try:
        columns = compiled(functions, symbols)(points.T)
    except OutsideDomain:
        return False
    return _is_full_rank(columns[np.isfinite(columns).all(axis=1)])


def _normal_form(functions: Sequence[sp.Expr]) -> tuple[NormalForm, list[Any]]:
    """The numerators over a common denominator; of many denominators, each a part of its own."""
    sums = {
        p.base for f in functions for p in f.atoms(sp.Pow) if p.base.is_Add and p.exp.is_Integer and p.exp < 0
    }
    for opaque in [True] if len(sums) > DENOMINATORS else [False, True]:
        try:
            form = NormalForm(functions, opaque)
            return form, form.numerators(functions)
        except TooLarge:
            continue
    raise NoSymmetry("more terms than the linear algebra is tried on")


def _kernel(rows: Sequence[Row], size: int, constants: Sequence[sp.Expr]) -> list[list[sp.Expr]]:
    """The kernel of a matrix of polynomials in constants.

    At random values of the constants the rank is at most the generic one, so that the kernel there contains as many
    vectors as the generic kernel at least. If those vectors annihilate the matrix as polynomials they are all of
    it; else the rows that are independent there are solved over the field of the constants.
    """
    rng = random.Random(0)
    if any(not part.is_Symbol and not _power_of_symbol(part) for part in constants):
        values = [
            float(part.xreplace({s: sp.Rational(rng.randint(2, 99), 7) for s in part.free_symbols}))
            for part in constants
        ]
        return [] if _has_full_rank(rows, size, values) else _over_field(rows, size, constants)
    sample = [sp.QQ(rng.randint(2, 10**6), rng.randint(2, 10**6)) for _ in constants]
    field = Field.of([])
    span, chosen = Span(field), []
    for row in sorted(rows, key=len):
        if len(span) == size:
            return []
        if span.add({column: value for column, entry in row.items() if (value := _at(entry, sample))}):
            chosen.append(row)
    vectors = kernel(field, span.rows.values(), size)
    if all(_annihilated(row, vector) for row in rows for vector in vectors):
        return [
            [field.expression(vector.get(i, field.domain.zero)) for i in range(size)]
            for vector in _reduced(field, vectors)
        ]
    return _over_field(chosen, size, constants)


def _has_full_rank(rows: Sequence[Row], size: int, values: Sequence[float]) -> bool:
    """Whether the columns are independent in floating point, far beyond its rounding."""
    matrix = np.zeros((len(rows), size))
    for i, row in enumerate(rows):
        for column, entry in row.items():
            matrix[i, column] = sum(
                float(c) * math.prod(v**n for v, n in zip(values, p, strict=True)) for p, c in entry.items()
            )
    return _is_full_rank(matrix)


def _is_full_rank(matrix: Array) -> bool:
    """Whether the columns are independent, rows and columns scaled to length one."""
    with np.errstate(all="ignore"):
        matrix = matrix / np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-300)
        matrix = matrix / np.maximum(np.linalg.norm(matrix, axis=0), 1e-300)
    if len(matrix) < matrix.shape[1] or not np.isfinite(matrix).all():
        return False
    singular = np.linalg.svd(matrix, compute_uv=False)
    return bool(singular[-1] > RANK * singular[0])


def _power_of_symbol(part: sp.Expr) -> bool:
    return bool(part.is_Pow and part.base.is_Symbol and part.exp.is_Rational)


def _at(entry: Mapping[tuple[int, ...], Any], sample: Sequence[Any]) -> Any:
    total = sp.QQ(0)
    for powers, coefficient in entry.items():
        for value, n in zip(sample, powers, strict=True):
            coefficient = coefficient * value**n
        total += coefficient
    return total


def _annihilated(row: Row, vector: Vector) -> bool:
    """Whether the row times a rational vector is the zero polynomial."""
    total: dict[tuple[int, ...], Any] = {}
    for column, entry in row.items():
        if column in vector:
            for powers, coefficient in entry.items():
                total[powers] = total.get(powers, 0) + coefficient * vector[column]
    return not any(total.values())


def _over_field(rows: Sequence[Row], size: int, constants: Sequence[sp.Expr]) -> list[list[sp.Expr]]:
    def expression(entry: Mapping[tuple[int, ...], Any]) -> sp.Expr:
        return sp.Add(
            *[
                sp.Mul(
                    sp.Rational(int(c.numerator), int(c.denominator)),
                    *[b**n for b, n in zip(constants, powers, strict=True)],
                )
                for powers, c in entry.items()
            ]
        )

    written = [{column: expression(entry) for column, entry in row.items()} for row in sorted(rows, key=len)]
    field = Field.of(entry for row in written for entry in row.values())
    equations = [
        {column: value for column, entry in row.items() if (value := field.element(entry))} for row in written
    ]
    vectors = _reduced(field, kernel(field, equations, size))
    return [
        _cleared([field.expression(vector.get(i, field.domain.zero)) for i in range(size)])
        for vector in vectors
    ]


def _reduced(field: Field, vectors: Sequence[Vector]) -> list[Vector]:
    """The reduced echelon form: each vector has 1 where the others have 0."""
    span = Span(field, vectors)
    return [span.rows[pivot] for pivot in sorted(span.rows)]


def _cleared(vector: list[sp.Expr]) -> list[sp.Expr]:
    """The vector times the least common denominator of its entries."""
    common = sp.Integer(1)
    for entry in vector:
        common = sp.lcm(common, sp.denom(sp.together(entry)))
    return [sp.cancel(entry * common) for entry in vector]
