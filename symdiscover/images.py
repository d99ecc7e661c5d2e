"""Images of points under a claimed symmetry, in many digits: a numerical test for what no proof reached."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import Any

import mpmath
import sympy as sp

from symdiscover.errors import NotInvariant, OutsideDomain, SymmetryError
from symdiscover.identity import LOW, Point, high_digits, sample_points, shrinks, value_at
from symdiscover.root import solve_digits
from symdiscover.rounding import evaluate_digits
from symdiscover.symmetry import Symmetry

#: Points that are tested.
POINTS = 12


def agreeing_images(symmetry: Symmetry) -> int:
    """How many images psi(g phi(x)), at random x and g, have the loss of x.

    Raises
    ------
    NotInvariant
        With the first image that has not, or, where a lemma promises one, that is not there.
    """
    agreed = 0
    loss, conditions = symmetry.loss.expression, symmetry.chart.conditions
    digits = (LOW, high_digits(loss))
    for number, point in enumerate(sample_points(loss, 0, POINTS, conditions)):
        before = [value_at(loss, point, d) for d in digits]
        try:
            images = [list(images_of(symmetry, point, random.Random(number), d)) for d in digits]
        except (ArithmeticError, SymmetryError) as error:
            if isinstance(error, OutsideDomain) and symmetry.chart.lemma is not None and None not in before:
                raise refutation(symmetry, f"there is no image, {error},", point) from error
            continue
        for pair in zip(*images, strict=True):
            after = [_loss_at(symmetry, image, point, d) for image, d in zip(pair, digits, strict=True)]
            if None in (*before, *after):
                continue
            with mpmath.workdps(digits[-1]):
                low, high = (abs(a - b) for a, b in zip(after, before, strict=True))
                if not shrinks(low or abs(before[-1]), high, digits[-1]):
                    raise refutation(symmetry, "the loss moves", point, mpmath.nstr(high, 12))
            agreed += 1
    return agreed


def refutation(
    symmetry: Symmetry, reason: str, point: Mapping[sp.Symbol, Any], residual: str | None = None
) -> NotInvariant:
    """The error that says why the claim is false, and where."""
    where = {s.name: str(v) for s, v in point.items()}
    listed = (
        "at " + ", ".join(f"{name} = {value}" for name, value in where.items()) if where else "everywhere"
    )
    size = "" if residual is None else f" (residual {residual})"
    return NotInvariant(
        f"{symmetry.group.name} does not leave {symmetry.loss} unchanged: {reason}{size} {listed}",
        residual,
        where,
    )


def _loss_at(symmetry: Symmetry, image: dict[sp.Symbol, Any], point: Point, digits: int) -> Any:
    with mpmath.workdps(digits):
        values = {s: mpmath.mpf(int(v.p)) / int(v.q) for s, v in point.items()} | image
        try:
            return evaluate_digits(symmetry.loss.expression, values)
        except (ArithmeticError, SymmetryError):
            return None


def images_of(
    symmetry: Symmetry, point: Point, rng: random.Random, digits: int
) -> Iterator[dict[sp.Symbol, Any]]:
    """Images of a point under random elements and the discrete generators, as mpmath numbers."""
    chart, group = symmetry.chart, symmetry.group
    with mpmath.workdps(digits):
        values = {s: mpmath.mpf(int(v.p)) / int(v.q) for s, v in point.items()}
        values |= {s: mpmath.mpf(1) for s in symmetry.loss.constants if s not in values}
        constants = {s: sp.Rational(point.get(s, 1)) for s in symmetry.loss.constants}
        if not (group.basis or group.discrete):
            for _ in range(2):
                at = values | {t: mpmath.mpf(rng.randint(-999, 999)) / 700 for t in symmetry.parameters}
                yield {
                    x: evaluate_digits(image, at)
                    for x, image in zip(chart.variables, symmetry.map or (), strict=True)
                }
            return
        elements = [_numbers(generator.xreplace(constants)) for generator in group.discrete]
        if group.basis:
            for _ in range(2):
                terms = [
                    mpmath.mpf(rng.randint(-999, 999)) / 700 * _numbers(b.xreplace(constants))
                    for b in group.basis
                ]
                elements.append(mpmath.expm(sum(terms[1:], terms[0])))
        u = [evaluate_digits(expression, values) for expression in chart.forward]
        for element in elements:
            head = mpmath.matrix([*u[: group.size], 1] if group.affine else u[: group.size])
            moved = values | dict(
                zip(chart.coordinates, [*list(element * head)[: group.size], *u[group.size :]], strict=True)
            )
            for variable, expression in chart.inverse:
                moved[variable] = solve_digits(expression, moved)
            yield {x: moved[x] for x in chart.variables}


def _numbers(matrix: sp.Matrix) -> mpmath.matrix:
    return mpmath.matrix([[evaluate_digits(entry, {}) for entry in row] for row in matrix.tolist()])
