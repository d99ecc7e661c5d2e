"""The numerical fallback, for every differentiable loss: flows along the level set, projected onto it.

The fields L_j d_i - L_i d_j are tangent to the level sets of L and span their tangent spaces. Two variables whose level
curves close have a true SO(2), the flow of (-L_y, L_x) with its period as a whole turn; level curves that are not all
closed have the flow by arc length. In more variables an element is an antisymmetric matrix Omega, and moves a point for
unit time along Omega grad L / |grad L|: these flows do not commute, and are no action of R^k.
"""

from __future__ import annotations

import numpy as np
import sympy as sp

from symdiscover.errors import OutsideDomain
from symdiscover.flow import LevelFlow
from symdiscover.flow_claim import regular_points
from symdiscover.group import Group
from symdiscover.loss import Loss
from symdiscover.routes import NoSymmetry
from symdiscover.routes._known import LEVEL_SETS, moves_all_level_sets
from symdiscover.symmetry import Chart, Symmetry

order = 90

#: Gradients with more operations are not evaluated step by step, nor losses of more variables.
OPERATIONS, VARIABLES = 50_000, 64
#: Steps in which a level curve must close to count as closed, and the power of the rounding unit that bounds their errors.
STEPS, ACCURACY = 300, 0.5


def find(loss: Loss, found: tuple[Symmetry, ...] = ()) -> list[Symmetry]:
    """One flow, unless a group in `found` moves each point anywhere on its level set already, wherever the point is.

    Examples
    --------
    >>> [claim] = find(Loss.parse("x**4 + y**4 + x*y"))
    >>> claim.group.name, claim.group.element, claim.kind
    ('SO(2)', 'angle', 'numerical')
    >>> [(claim.group.name, claim.group.element) for text in ("x*y + sin(x)", "x**4 + y**4 + sin(x*z)")
    ...     for claim in find(Loss.parse(text))]
    [('level-set flow', 'time'), ('level-set flow', 'vector')]
    """
    n = loss.dimension
    if n == 1:
        raise NoSymmetry("the level sets of one variable are points")
    if n > VARIABLES:
        raise NoSymmetry(f"more than {VARIABLES} variables")
    if not loss.expression.free_symbols & set(loss.variables):
        raise NoSymmetry("a constant loss")
    if moves_all_level_sets(found):
        raise NoSymmetry(LEVEL_SETS)
    flow = _numerical(loss)
    points = regular_points(flow, n)
    if not len(points):
        raise NoSymmetry(
            "its gradient is zero or not finite at every sample point: it is constant in pieces, or nearly"
        )
    chart = Chart.identity(loss.variables, loss.constants)
    reduced = loss.expression.xreplace(dict(zip(loss.variables, chart.coordinates, strict=True)))
    group = Group("level-set flow", n, (), element="time" if n == 2 else "vector")
    note = "a flow by arc length, the higher values on the left"
    if n > 2:
        note = "words in flows that do not commute: elements have no product"
    elif not loss.constants and np.isfinite(flow.period(points)).all():
        group = Group("SO(2)", 2, (), compact=True, element="angle")
        note = f"all {len(points)} level curves looked at are closed; a point on one that does not close, or closes late, stays"
    return [Symmetry(loss, group, chart, "numerical", "level_set", reduced, note=note, flow=())]


def _numerical(loss: Loss) -> LevelFlow:
    """The loss as a function of floats, its constants at one value each."""
    constants = {s: sp.Rational(k + 4, 2 * k + 5) for k, s in enumerate(loss.constants)}
    try:
        if sum(slope.count_ops() for slope in loss.gradient) > OPERATIONS:
            raise NoSymmetry("a gradient of too many operations")
        return LevelFlow(loss.expression.xreplace(constants), loss.variables, STEPS, ACCURACY)
    except OutsideDomain as error:
        raise NoSymmetry(f"not differentiable in closed form: {error}") from error
