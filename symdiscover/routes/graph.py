"""Graphs: a loss of degree one or two in a variable z is solved for z, and the others move in a box.

The level sets above the box are graphs of z over the other variables, and R^(n-1) acts on them by closed formulas: on one
branch of the square root, over the stated box. Where a basin is turned as a whole this adds nothing, and is not tried.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import numpy as np
import sympy as sp

from symdiscover.errors import OutsideDomain
from symdiscover.graph import Graph
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
            if not composition.inner.is_polynomial(z) or sp.Poly(composition.inner, z).degree() not in (1, 2):
                continue
            outer = composition.at(loss.variables[0])
            for width in WIDTHS:
                centre = [c for i, c in enumerate(rounded) if i != k]
                lows, highs = tuple(c - width for c in centre), tuple(c + width for c in centre)
                for sign in (1, -1):
                    inner = sp.expand(sign * composition.inner) if sign < 0 else composition.inner
                    written = outer.xreplace({loss.variables[0]: sign * loss.variables[0]})
                    bare = Graph(inner, written, sp.Integer(k), sp.Integer(1), lows, highs, -sp.oo)
                    if (level := _level(loss, bare)) is not None:
                        yield Graph(inner, written, sp.Integer(k), sp.Integer(1), lows, highs, level)


def _level(loss: Loss, graph: Graph) -> sp.Expr | None:
    """A short number above the ridge c - b^2 / 4a on the box; minus infinity for degree one."""
    a, b, _ = graph.coefficients(loss)
    others = [x for i, x in enumerate(loss.variables) if i != int(graph.solved)]
    box = {y: (float(low), float(high)) for y, low, high in zip(others, graph.lows, graph.highs, strict=True)}
    if not graph.bounds(b if a == 0 else a, box)[1] > 0:
        return None
    if a == 0:
        return -sp.oo
    _, highest = graph.bounds(graph.ridge(loss), box)
    if not math.isfinite(highest):
        return None
    power = 1 - math.floor(math.log10(max(abs(highest), 1e-6)))
    return sp.ceiling(sp.Rational(highest) * sp.Integer(10) ** power + 1) / sp.Integer(10) ** power
