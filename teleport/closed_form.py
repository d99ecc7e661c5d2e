"""Exact optima over an orbit, used by `ascend` wherever one is known for the objective and the kind of group.

Circles: ‖∇L‖² on an SO(2) orbit is a trigonometric polynomial of the angle (Booth: degree 2, Rosenbrock: 4),
whose global maximum `maximise_circle` finds. Positive scalings: the optimum of a box is known for each unit
by itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from symdiscover.errors import SymmetryError
from teleport.objective import Objective, gradient_norm
from teleport.point_action import PointAction, PointGroup
from teleport.trigonometric import maximise_circle, sample_circle

__all__ = [
    "ClosedForm",
    "Optimum",
    "closed_form",
    "maximise_circle",
    "scaling_optimum",
    "teleport_circle",
]


class Optimum(NamedTuple):
    """The best point of an orbit.

    ``element`` moves the given point to ``point``; ``before`` and ``after`` are the objective at both.
    Element and values are floats for one point on the CPU, tensors (...,) otherwise. ``evaluations`` counts
    points of the orbit at which the objective was evaluated; a spectrum counts as one.
    """

    point: Tensor
    element: Any
    before: Any
    after: Any
    evaluations: int


ClosedForm = Callable[..., Optimum]


def teleport_circle(
    action: PointAction, point: Tensor, radius: float | Tensor | None = None, minimise: bool = False
) -> Optimum:
    """The largest ‖∇L(a(θ, x))‖² over |θ| <= radius, for an action whose elements are angles.

    One point on the CPU is moved in plain floating-point arithmetic, without a tensor operation, where the
    action has `spectrum` and `image`; a batch in a few tensor operations, in float64 where the device has it.
    Without a spectrum ‖∇L‖² is sampled on the orbit and interpolated. Points that cannot be improved, or are
    not finite, come back as they were, with θ = 0.

    Parameters
    ----------
    action:
        An action of SO(2).
    point:
        (n,) or (..., n).
    radius:
        Bound on |θ|; None is the whole orbit.
    minimise:
        Find the smallest gradient instead.

    Raises
    ------
    SymmetryError
        If the elements of the group are not angles, or the radius is not positive.

    Notes
    -----
    Algorithm 1 of Zhao et al. 2022, arXiv:2205.10637, with its arg max taken globally.
    """
    if action.group.element != "angle":
        raise SymmetryError(
            f"teleport_circle moves along circles and {action.group.name} has elements of kind "
            f"{action.group.element!r}: use ascend"
        )
    spectrum: Callable[..., Any] | None = getattr(action, "spectrum", None)
    if spectrum is None:
        return _sampled(action, point, radius, minimise)
    if point.ndim > 1 or point.device.type != "cpu" or isinstance(radius, Tensor):
        return _batch(action, spectrum, point, radius, minimise)
    coordinates = point.tolist()
    try:
        coefficients = spectrum(*coordinates)
        theta, after = maximise_circle(coefficients, radius, minimise)
        if isinstance(theta, Tensor):  # the loss has constants that are tensors
            return _batch(action, spectrum, point, radius, minimise)
        before = coefficients[0] + sum(coefficients[1::2])
        if theta == 0.0:
            return Optimum(point.clone(), 0.0, before, after, 1)
        moved = _image(action, point, coordinates, theta)
    except ArithmeticError:  # Python raises where tensors overflow to infinity
        moved = None
    if moved is None:
        return Optimum(point.clone(), 0.0, math.nan, math.nan, 1)
    return Optimum(moved, theta, before, after, 1)


def _image(action: PointAction, point: Tensor, coordinates: Sequence[float], theta: float) -> Tensor | None:
    """The moved point, or None where it is not finite."""
    image: Callable[..., Any] | None = getattr(action, "image", None)
    if image is None:
        with torch.no_grad():
            moved = action(point.new_tensor(theta), point)
        return moved if bool(moved.isfinite().all()) else None
    values = image(math.cos(theta), math.sin(theta), *coordinates)
    largest = torch.finfo(point.dtype).max
    if not all(abs(value) <= largest for value in values):  # false for a NaN too
        return None
    # A tensor takes longer to make from a list than from an array.
    return torch.from_numpy(np.array(values, dtype=np.float64)).to(point.dtype)


@torch.no_grad()
def _batch(
    action: PointAction,
    spectrum: Callable[..., Any],
    point: Tensor,
    radius: float | Tensor | None,
    minimise: bool,
) -> Optimum:
    precise = point if point.device.type == "mps" else point.double()
    coordinates = precise.unbind(-1)
    parts = [c if isinstance(c, Tensor) else precise.new_tensor(float(c)) for c in spectrum(*coordinates)]
    coefficients = torch.stack(torch.broadcast_tensors(*parts, precise[..., 0])[:-1], dim=-1)
    theta, after = maximise_circle(coefficients, radius, minimise)
    image: Callable[..., Any] | None = getattr(action, "image", None)
    if image is None:
        moved = action(theta, precise)
    else:
        moved = torch.stack(torch.broadcast_tensors(*image(theta.cos(), theta.sin(), *coordinates)), dim=-1)
    before = coefficients[..., 0] + coefficients[..., 1::2].sum(-1)
    return _checked(point, moved.to(point), theta, before, after, 1)


def _sampled(action: PointAction, point: Tensor, radius: float | Tensor | None, minimise: bool) -> Optimum:
    def norm(theta: Tensor) -> Tensor:
        return gradient_norm(action.loss, action(theta, point))

    with torch.no_grad():
        theta, after, before, evaluations = sample_circle(norm, point[..., 0], radius, minimise)
        return _checked(point, action(theta, point), theta, before, after, evaluations)


def _checked(
    point: Tensor, moved: Tensor, theta: Tensor, before: Tensor, after: Tensor, evaluations: int
) -> Optimum:
    """Rows whose image is not finite stay where they are."""
    finite = moved.isfinite().all(-1)
    theta, after = torch.where(finite, theta, 0.0), torch.where(finite, after, torch.nan)
    return Optimum(torch.where((theta != 0)[..., None], moved, point), theta, before, after, evaluations)


def scaling_optimum(
    a: Tensor, b: Tensor, radius: float | Tensor, minimise: bool = False
) -> tuple[Tensor, Tensor]:
    """The scales s_i in [e^-R, e^R] that maximise, or minimise, Σ_i a_i s_i² + b_i s_i^-2.

    This is ‖∇L‖² over the orbit of positive scalings of hidden units. The maximum is at s_i = e^R where a_i >
    b_i, else at e^-R; the minimum at s_i = (b_i/a_i)^{1/4}, or the end of the box next to it. Units with a_i
    = b_i = 0 stay.

    Parameters
    ----------
    a:
        (..., d) or (d,), squared norms of the columns of the next layer's gradient, one for each unit.
    b:
        Likewise, squared norms of the rows of this layer's gradient, bias included.
    radius:
        R, the bound on |log s_i|; a tensor broadcasts with `a`.
    minimise:
        Find the minimum.

    Returns
    -------
    (s, value)
        s as `a`, and the sum over the last axis.

    Raises
    ------
    SymmetryError
        If the radius is not positive and finite (there is no largest value without a bound), or a or b has a
        negative entry.

    Notes
    -----
    Zhao et al. 2022, Prop. 4.2 for diagonal g, with a trust region: a bound on log s.

    Examples -------- >>> s, value = scaling_optimum(torch.tensor([4.0, 1.0]), torch.tensor([1.0, 1.0]),
    radius=1.0, minimise=True) >>> s, value (tensor([0.7071, 1.0000]), tensor(6.))
    """
    bound = torch.as_tensor(radius, dtype=a.dtype, device=a.device)
    if not bool(((bound > 0) & bound.isfinite()).all()):
        raise SymmetryError(
            f"scalings need a positive finite radius on |log s|, not {radius!r}: there is no largest value"
        )
    if bool((a < 0).any() or (b < 0).any()):
        raise SymmetryError("a and b are squared norms and cannot be negative")
    if minimise:
        # Logarithms, so that neither ratio overflows; log 0 = -inf is cut off by the box.
        log_s = ((b.log() - a.log()) / 4).clamp(-bound, bound)
    else:
        log_s = torch.where(a > b, bound, -bound)
    log_s = torch.where((a == 0) & (b == 0), 0.0, log_s)
    s = log_s.exp()
    return s, (a * s.square() + b / s.square()).sum(-1)


_REGISTRY: dict[tuple[Objective, str], ClosedForm] = {(gradient_norm, "angle"): teleport_circle}


def closed_form(objective: Objective, group: PointGroup) -> ClosedForm | None:
    """The exact optimum known for an objective on orbits of a kind of group; None means the general ascent.

    Returns
    -------
    ClosedForm or None
        Called as ``form(action, point, radius=None, minimise=False)``, it gives an `Optimum`. To add one, add
        a row to the table above.
    """
    return _REGISTRY.get((objective, group.element))
