"""The ascent over an angle as published, for reproduction."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from symdiscover.errors import SymmetryError
from teleport.ascent_result import CODE, MOVES, Ascent, check_steps
from teleport.objective import gradient_norm
from teleport.point_action import PointAction, PointGroup


def paper_ascent(
    action: PointAction,
    point: Tensor,
    steps: int = 10,
    lr: float = 0.1,
    theta0: float | Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Ascent:
    """The ascent as published: `steps` times θ <- θ + lr d‖∇L(a(θ, x))‖²/dθ from a random θ, come what may.

    The objective may fall: nothing bounds the steps, and a large derivative makes θ a random draw. `ascend`
    is the safe and exact way; this one reproduces.

    Parameters
    ----------
    action:
        An action of SO(2).
    point:
        (..., n); every row has its own θ.
    theta0:
        Where to start; None draws θ from U[0, π).
    generator:
        For the draw; without one the same angles are drawn at every call.

    Raises
    ------
    SymmetryError
        If the group is not SO(2), or the number of steps not at least 1.

    Notes
    -----
    Zhao et al. 2022, section 6.1, and the authors' code: Rosenbrock lr 0.1, Booth lr 0.001, ten steps both.
    """
    _paper_check(action.group, steps)
    point = point.detach()
    batch = point.shape[:-1]
    if theta0 is None:
        source = torch.Generator().manual_seed(0) if generator is None else generator
        draw = torch.rand(batch, generator=source, dtype=point.dtype, device=source.device)
        theta = math.pi * draw.to(point.device)
    else:
        theta = torch.as_tensor(theta0, dtype=point.dtype, device=point.device).detach().expand(batch).clone()

    with torch.no_grad():
        before = gradient_norm(action.loss, point)
    with torch.enable_grad():
        for _ in range(steps):
            theta.requires_grad_()
            norm = gradient_norm(action.loss, action(theta, point))
            (derivative,) = torch.autograd.grad(norm.sum(), theta)
            theta = theta.detach() + lr * derivative
    with torch.no_grad():
        moved = action(theta, point)
        after = gradient_norm(action.loss, moved)
        finite = theta.isfinite() & after.isfinite() & moved.isfinite().all(-1)
        code = torch.where(finite, CODE["published ascent"], CODE["not finite"])
        code = torch.where(before == 0, CODE["zero gradient"], code)
        kept = code < MOVES
        theta = torch.where(kept, theta, 0.0)
        return Ascent(
            torch.where(kept[..., None], moved, point),
            theta,
            before,
            torch.where(kept, after, before),
            # The angle that counts is the one modulo 2π.
            torch.remainder(theta + math.pi, 2 * math.pi).sub(math.pi).abs(),
            torch.where(kept, steps, 0),
            steps + 2,
            3.0 * steps + 2,
            code,
        )


def _paper_check(group: PointGroup, steps: int) -> None:
    if group.element != "angle":
        raise SymmetryError(f"the published ascent is one over an angle; {group.name} has none: use ascend")
    check_steps(steps)


@dataclass(frozen=True)
class PaperSettings:
    """Settings of `paper_ascent`, as `descend` takes them; called as ``settings(action, point, generator)``.

    Examples
    --------
    >>> PaperSettings(lr=0.001)
    PaperSettings(steps=10, lr=0.001)
    """

    steps: int = 10
    lr: float = 0.1

    def check(self, action: PointAction, point: Tensor) -> None:
        """Raise `SymmetryError` where these settings do not fit the action or the point."""
        _paper_check(action.group, self.steps)

    def __call__(
        self, action: PointAction, point: Tensor, generator: torch.Generator | None = None
    ) -> Ascent:
        return paper_ascent(action, point, self.steps, self.lr, generator=generator)
