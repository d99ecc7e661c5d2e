"""Search an orbit for the largest value of an objective: exactly where that is known, else by ascent.

The general ascent works in the Lie algebra of any group. At the current point x it takes the derivative of
objective(a(exp ξ, x)) at ξ = 0, goes along it by a step of a given length in the norm ‖log g‖, backtracks
until the objective has grown, and starts again from ξ = 0. The steps compose to one group element.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from symdiscover.errors import Diverged, SymmetryError
from teleport.ascent_result import CODE, Ascent, check_steps
from teleport.closed_form import ClosedForm, Optimum, closed_form
from teleport.lie_ascent import lie_ascent, no_ascent
from teleport.objective import Objective, gradient_norm
from teleport.point_action import PointAction, PointGroup, parameters

Method = Literal["auto", "general", "closed"]


def ascend(
    action: PointAction,
    point: Tensor,
    objective: Objective = gradient_norm,
    radius: float | Tensor | None = None,
    steps: int = 10,
    minimise: bool = False,
    method: Method = "auto",
    generator: torch.Generator | None = None,
    max_gain: float | None = None,
    on_failure: Literal["skip", "raise"] = "skip",
) -> Ascent:
    """Move x to the point a(g, x) of its orbit where the objective is largest, ‖log g‖ <= radius.

    The best point seen is returned, the given one included; the objective never falls. Rows of a batch are
    independent, each with a step length of its own.

    Parameters
    ----------
    action:
        An exact action on points.
    point:
        (..., n), float32 or float64.
    objective:
        ``objective(loss_of, points)`` of shape (...,).
    radius:
        Bound on ‖log g‖, the spectral norm of the Lie-algebra matrix, summed over the steps; a tensor (...,)
        gives each row its own. Orbits of non-compact groups have no largest gradient: there a radius or
        `max_gain` is required.
    steps:
        Ascent steps at most, in the general method.
    minimise:
        Make the objective small instead.
    method:
        "closed" for the exact optimum, "general" for the ascent, "auto" for the exact one where it is known.
    generator:
        Where the derivative along the orbit vanishes, at a minimum of the objective say, the general method
        stays; given a generator, it tries one random direction from there.
    max_gain:
        Cap on after/before, or on before/after when minimising. The general method honours it.
    on_failure:
        "skip" leaves a point whose objective is not finite where it is and says so; "raise" raises.

    Raises
    ------
    SymmetryError
        For a non-compact group without a bound, a closed form that is not known, or arguments that make no
        sense.
    Diverged
        If the objective is not finite and ``on_failure="raise"``.

    Notes
    -----
    The search of Zhao et al. 2022, Algorithm 1, with steps normalised and bounded; see also section 3 there.
    """
    form = _method(action.group, point, objective, radius, steps, method, max_gain, on_failure)
    if form is not None:
        result = _exact(form, action, point, radius, minimise)
    elif parameters(action) == 0:
        result = no_ascent(action, point, objective)
    else:
        result = lie_ascent(action, point, objective, radius, steps, minimise, generator, max_gain)
    if on_failure == "raise" and bool((result.code == CODE["not finite"]).any()):
        raise Diverged(
            "the objective is not finite at the point given: lower the learning rate, or start elsewhere"
        )
    return result


def _method(
    group: PointGroup,
    point: Tensor,
    objective: Objective,
    radius: float | Tensor | None,
    steps: int,
    method: str,
    max_gain: float | None,
    on_failure: str,
) -> ClosedForm | None:
    """The closed form to use, or None for the general ascent, once the arguments make sense."""
    if method not in ("auto", "general", "closed"):
        raise SymmetryError(f'the method is "auto", "general" or "closed", not {method!r}')
    if on_failure not in ("skip", "raise"):
        raise SymmetryError(f'on_failure is "skip" or "raise", not {on_failure!r}')
    if point.dtype not in (torch.float32, torch.float64):
        raise SymmetryError(
            f"points must be float32 or float64, not {point.dtype}: convert with point.float()"
        )
    check_steps(steps)
    if radius is not None and not (bool((radius > 0).all()) if isinstance(radius, Tensor) else radius > 0):
        raise SymmetryError(f"the radius must be positive, not {radius!r}")
    if max_gain is not None and not max_gain > 1:
        raise SymmetryError(f"max_gain is a factor above 1, not {max_gain!r}")
    form = closed_form(objective, group)
    if method == "closed" and form is None:
        name = getattr(objective, "__name__", "this objective")
        raise SymmetryError(
            f'no closed form of {name} is known for {group.name}: use method="general" with a radius'
        )
    if method == "closed" and max_gain is not None:
        raise SymmetryError('a closed form does not honour max_gain: use method="general", or a radius')
    if radius is None and max_gain is None and not group.compact:
        raise SymmetryError(
            f"{group.name} is not compact and the objective need not have a largest value on its orbits: "
            "give radius=0.3, say, or max_gain=10"
        )
    return None if method == "general" or max_gain is not None else form


def _exact(
    form: ClosedForm, action: PointAction, point: Tensor, radius: float | Tensor | None, minimise: bool
) -> Ascent:
    found = form(action, point.detach(), radius=radius, minimise=minimise)
    if isinstance(found.element, float):
        return _exact_point(found, point)
    element, before, after = (value.to(point) for value in (found.element, found.before, found.after))
    moved = element != 0
    stays = torch.where(before == 0, CODE["zero gradient"], CODE["already the optimum of the orbit"])
    stays = torch.where(before.isfinite() & after.isfinite(), stays, CODE["not finite"])
    code = torch.where(moved, CODE["exact optimum"], stays)
    work = found.evaluations
    return Ascent(found.point, element, before, after, element.abs(), moved.long(), work, float(work), code)


def _exact_point(found: Optimum, point: Tensor) -> Ascent:
    """The result for one point, in Python: a tensor operation takes longer than the whole search."""
    theta, before, after = found.element, found.before, found.after
    if theta:
        reason = "exact optimum"
    elif not (math.isfinite(before) and math.isfinite(after)):
        reason = "not finite"
    else:
        reason = "zero gradient" if before == 0 else "already the optimum of the orbit"
    values = torch.from_numpy(np.array([theta, before, after, abs(theta)])).to(point)
    counts = torch.from_numpy(np.array([int(theta != 0), CODE[reason]]))
    element, start, end, used = values.unbind()
    steps, code = counts.unbind()
    return Ascent(
        found.point, element, start, end, used, steps, found.evaluations, float(found.evaluations), code
    )


@dataclass(frozen=True)
class AscentSettings:
    """Settings of `ascend`, as `descend` takes them; called as ``settings(action, point, generator)``.

    Examples
    --------
    >>> AscentSettings(radius=0.3, method="general").steps
    10
    """

    objective: Objective = gradient_norm
    radius: float | Tensor | None = None
    steps: int = 10
    minimise: bool = False
    method: Method = "auto"
    max_gain: float | None = None

    def check(self, action: PointAction, point: Tensor) -> None:
        """Raise `SymmetryError` where these settings do not fit the action or the point."""
        _method(
            action.group, point, self.objective, self.radius, self.steps, self.method, self.max_gain, "skip"
        )

    def __call__(
        self, action: PointAction, point: Tensor, generator: torch.Generator | None = None
    ) -> Ascent:
        return ascend(
            action,
            point,
            self.objective,
            self.radius,
            self.steps,
            self.minimise,
            self.method,
            generator,
            self.max_gain,
        )
