"""Graphs: a loss of degree one or two in a variable z is solved for z, and the others move in a box.

The level sets above the box are graphs of z over the other variables, and R^(n-1) acts on them by closed formulas: on one
branch of the square root, over the stated box. Where a basin is turned as a whole this adds nothing, and is not tried.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import sympy as sp

from symdiscover.errors import OutsideDomain, SymmetryError
from symdiscover.floats import evaluate_floats
from symdiscover.graph import Graph, coefficients
from symdiscover.group import Translation
from symdiscover.identity import expanded_terms
from symdiscover.loss import Loss
from symdiscover.routes import NoSymmetry
from symdiscover.routes._minima import minimisers
from symdiscover.routes._outer import compositions
from symdiscover.symmetry import Symmetry, coordinate_symbols

order = 75
lifts = False

#: Seconds in all.
SECONDS = 4.0
#: Half widths of the boxes that are tried, the longest polynomial that is looked at, and the most variables.
WIDTHS, TERMS, VARIABLES = (2, 1, sp.Rational(1, 2), sp.Rational(1, 10)), 300, 6
#: Nodes on each side of a box at which the leading coefficient must have the sign, by the number of its sides.
NODES = {1: 17, 2: 9, 3: 5}


def find(loss: Loss, found: tuple[Symmetry, ...] = ()) -> list[Symmetry]:
    """R^(n-1) on the branch of the level sets over a box.

    Examples
    --------
    >>> symmetry = find(Loss.parse("(y - x**2)**2*(1 + x**4) + cos(x)"))[0]
    >>> symmetry.group.name, symmetry.kind
    ('R', 'branch')
    """
    n = loss.dimension
    if n == 1 or n > VARIABLES:
        raise NoSymmetry(f"between 2 and {VARIABLES} variables are needed")
    if loss.constants:
        raise NoSymmetry("symbolic constants: intervals need numbers")
    if any(s.group.dimension >= n - 1 and s.kind in ("closed-form", "branch") for s in found):
        raise NoSymmetry("what was found already moves each point anywhere on its level set")
    try:
        deadline = time.monotonic() + SECONDS
        for graph in _graphs(loss):
            if time.monotonic() > deadline:
                break
            if graph.holds(loss):
                coordinates = coordinate_symbols(loss.variables, loss.constants)
                chart = graph.chart(loss, coordinates)
                reduced = graph.reduced(loss, coordinates)
                return [Symmetry(loss, Translation(n - 1), chart, "branch", "graph", reduced)]
    except OutsideDomain as unknown:
        raise NoSymmetry(f"no intervals for this loss: {unknown}") from None
    raise NoSymmetry("of degree one or two in no variable, with a leading coefficient of one sign on a box")


def _graphs(loss: Loss) -> Iterator[Graph]:
    """Graphs to try: every inner function and variable, boxes around the lowest point that is found."""
    n = loss.dimension
    lowest = minimisers(loss, 1) if n <= 3 else []
    middle = lowest[0] if lowest else np.zeros(n)
    rounded = [sp.Rational(round(2 * float(x)), 2) if abs(x) < 1e6 else sp.Integer(0) for x in middle]
    for composition in compositions(loss, lambda inner: expanded_terms(inner) <= TERMS):
        for k, z in enumerate(loss.variables):
            try:
                quadratic, linear, _ = coefficients(composition.inner, z)
            except SymmetryError:  # of another degree
                continue
            outer, others = composition.at(loss.variables[0]), [x for x in loss.variables if x != z]
            for width in WIDTHS:
                centre = [c for i, c in enumerate(rounded) if i != k]
                lows, highs = tuple(c - width for c in centre), tuple(c + width for c in centre)
                sign = _sign(
                    quadratic or linear, dict(zip(others, zip(lows, highs, strict=True), strict=True))
                )
                if not sign:
                    continue
                inner = sp.expand(sign * composition.inner) if sign < 0 else composition.inner
                written = outer.xreplace({loss.variables[0]: sign * loss.variables[0]})
                bare = Graph(inner, written, sp.Integer(k), sp.Integer(1), lows, highs, -sp.oo)
                if (level := _level(loss, bare)) is not None:
                    yield replace(bare, level=level)


def _sign(leading: sp.Expr, box: Mapping[sp.Symbol, tuple[sp.Expr, sp.Expr]]) -> int:
    """The sign of the leading coefficient at the nodes of a grid, 0 where it has none or changes."""
    sides = [np.linspace(float(low), float(high), NODES.get(len(box), 3)) for low, high in box.values()]
    values = evaluate_floats(leading, dict(zip(box, np.meshgrid(*sides), strict=True)))
    return 1 if (values > 0).all() else -1 if (values < 0).all() else 0


def _level(loss: Loss, graph: Graph) -> sp.Expr | None:
    """A short number above the ridge c - b^2 / 4a on the box; minus infinity for degree one."""
    a, _, _ = graph.coefficients(loss)
    if a == 0:
        return -sp.oo
    others = [x for i, x in enumerate(loss.variables) if i != int(graph.solved)]
    box = {y: (float(low), float(high)) for y, low, high in zip(others, graph.lows, graph.highs, strict=True)}
    _, highest = graph.bounds(graph.ridge(loss), box)
    if not math.isfinite(highest):
        return None
    power = 1 - math.floor(math.log10(max(abs(highest), 1e-6)))
    return sp.ceiling(sp.Rational(highest) * sp.Integer(10) ** power + 1) / sp.Integer(10) ** power
