"""Translations: directions v along which the loss is constant, v . grad L = 0.

They are quotiented out before the other routes: along v every field f(x) v would count as a new symmetry.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import sympy as sp

from symdiscover.group import GL, Translation
from symdiscover.loss import Loss
from symdiscover.routes import NoSymmetry
from symdiscover.routes._relations import linear_relations
from symdiscover.symmetry import Chart, Symmetry, coordinate_symbols

order = 10


@dataclass(frozen=True)
class Quotient:
    """A loss with its translations divided out: L(x) = reduced(y), y_j = x_j - sum_a v_a[j] x_{p_a}.

    `shifts` gives for each remaining variable the sum; `pivots` are the variables x_{p_a} that the reduced loss no
    longer has.
    """

    loss: Loss
    reduced: Loss
    pivots: tuple[sp.Symbol, ...]
    shifts: dict[sp.Symbol, sp.Expr]

    def lift(self, symmetry: Symmetry) -> Symmetry:
        """The symmetry of the reduced loss as one of the whole loss, the pivots staying where they are."""
        forward = {y: y - shift for y, shift in self.shifts.items()}
        extra = coordinate_symbols((*symmetry.chart.coordinates, *self.loss.variables), self.loss.constants)
        names = dict(zip(symmetry.chart.coordinates, extra, strict=False))
        last = extra[len(names) : len(names) + len(self.pivots)]
        chart = Chart(
            self.loss.variables,
            (*names.values(), *last),
            (*[u.xreplace(forward) for u in symmetry.chart.forward], *self.pivots),
            (
                *zip(self.pivots, last, strict=True),
                *[(x, e.xreplace({**names, **forward}) + self.shifts[x]) for x, e in symmetry.chart.inverse],
            ),
            tuple(condition.xreplace(forward) for condition in symmetry.chart.conditions),
        )
        reduced = None if symmetry.reduced is None else symmetry.reduced.xreplace(names)
        flow = None if symmetry.flow is None else tuple(e.xreplace(names) for e in symmetry.flow)
        return replace(
            symmetry, loss=self.loss, chart=chart, reduced=reduced, parameters=(), map=None, flow=flow
        )


def quotient(loss: Loss) -> Quotient:
    """Divide the translations of a loss out; without any, the reduced loss is the loss itself."""
    vectors = _null_vectors(loss)
    pivots: list[sp.Symbol] = []
    shifts: dict[sp.Symbol, sp.Expr] = {}
    for vector in vectors:
        index = next(i for i, entry in enumerate(vector) if entry != 0)
        pivots.append(loss.variables[index])
    rest = [x for x in loss.variables if x not in pivots]
    for x in rest:
        j = loss.variables.index(x)
        shifts[x] = sp.Add(*[vector[j] * pivot for vector, pivot in zip(vectors, pivots, strict=True)])
    expression = loss.expression.xreplace(dict.fromkeys(pivots, sp.Integer(0)))
    if not rest:  # a constant loss: keep one variable, so that there is a loss at all
        return Quotient(loss, loss, tuple(pivots), {})
    return Quotient(loss, Loss(expression, tuple(rest), loss.constants, loss.name), tuple(pivots), shifts)


def find(loss: Loss, found: tuple[Symmetry, ...] = ()) -> list[Symmetry]:
    """R^k acting by shifts along the constant directions; for quadratics also GL(k) on their null directions.

    Examples
    --------
    >>> find(Loss.parse("(x + y - z)**2"))[0].map
    (t1 + x, t2 + y, t1 + t2 + z)
    """
    divided = quotient(loss)
    if not divided.pivots:
        raise NoSymmetry("no direction v with v . grad L = 0")
    moved = coordinate_symbols(loss.variables, loss.constants)
    heads, tails = moved[: len(divided.pivots)], moved[len(divided.pivots) :]
    rest = tuple(divided.shifts)
    chart = Chart(
        loss.variables,
        moved,
        (*divided.pivots, *[x - divided.shifts[x] for x in rest]),
        (
            *zip(divided.pivots, heads, strict=True),
            *[(x, u + divided.shifts[x]) for x, u in zip(rest, tails, strict=True)],
        ),
    )
    reduced = divided.reduced.expression.xreplace(dict(zip(rest, tails, strict=True)))
    group = Translation(len(heads))
    if len(heads) == 1:
        group = replace(group, element="time")
    claims = [Symmetry(loss, group, chart, route="translations", reduced=reduced)]
    if (
        loss.expression.is_polynomial(*loss.variables)
        and sp.Poly(loss.expression, *loss.variables).total_degree() == 2
    ):
        claims.append(Symmetry(loss, GL(len(heads)), chart, route="translations", reduced=reduced))
    return claims


def _null_vectors(loss: Loss) -> list[list[sp.Expr]]:
    """v with v . grad L = 0, reduced so that each has 1 where the others have 0; none whose entries may be undefined."""
    vectors = linear_relations(loss.gradient, loss)
    result = []
    for vector in vectors:
        pivot = next(entry for entry in vector if entry != 0)
        scaled = [sp.cancel(entry / pivot) for entry in vector]
        if all(sp.denom(entry).is_nonzero for entry in scaled):
            result.append(scaled)
    return result
