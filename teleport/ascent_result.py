"""What a search of an orbit found, and why it ended."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from symdiscover.errors import SymmetryError

#: Why the ascent of a row ended. The first MOVES of them are moves, the others leave the point as it was.
REASONS = (
    "exact optimum",
    "converged",
    "radius reached",
    "gain reached",
    "steps used",
    "published ascent",
    "already the optimum of the orbit",
    "zero gradient",
    "not finite",
    "no continuous direction",
    "already stationary on the level set",
    "no larger gradient within the tolerance",
)
MOVES = 6
CODE = {reason: code for code, reason in enumerate(REASONS)}


@dataclass(frozen=True)
class Ascent:
    """What a search of the orbit found. Tensors have the batch axes (...,) of the point.

    Parameters
    ----------
    point:
        (..., n), the point moved to: a(element, given point).
    element:
        The group element; the identity where the point did not move.
    before, after:
        The objective at the given point and at `point`.
    radius:
        The length used: Σ of the step lengths, |θ| for an exact angle; an upper bound on ‖log g‖ where steps
        commute.
    steps:
        Accepted steps.
    evaluations:
        How often the objective was evaluated, per point; a spectrum in closed form counts as one.
    gradient_equivalents:
        The work in gradients of the loss: an evaluation of the objective counts one, with its derivative
        three.
    code:
        Index into `REASONS`.
    """

    point: Tensor
    element: Tensor
    before: Tensor
    after: Tensor
    radius: Tensor
    steps: Tensor
    evaluations: int
    gradient_equivalents: float
    code: Tensor

    @property
    def gain(self) -> Tensor:
        """after / before, e.g. the growth of ‖∇L‖²; 1 where the point did not move."""
        return torch.where(self.moved, self.after / self.before, 1.0)

    @property
    def moved(self) -> Tensor:
        """Whether the point was moved, (...,)."""
        return self.code < MOVES

    @property
    def reason(self) -> str | tuple[str, ...]:
        """Why the search ended, in words; for a batch one for each row, flattened."""
        reasons = tuple(REASONS[code] for code in self.code.flatten().tolist())
        return reasons if self.code.ndim else reasons[0]


@dataclass(frozen=True)
class LevelSetAscent(Ascent):
    """What an ascent within a level set found: an `Ascent` in ‖∇L‖² whose element is the displacement.

    `element` is (..., n), zero where the point did not move, and `radius` its length.

    Parameters
    ----------
    loss_before, loss_after:
        (...,), the loss at the given point and at `point`.
    hessian_products:
        Hessian-vector products, per point; each counts two gradients, the gradient that it starts from one.
    """

    loss_before: Tensor
    loss_after: Tensor
    hessian_products: int

    @property
    def loss_change(self) -> Tensor:
        """L after - L before, (...,): negative where the loss fell, else at most the tolerance."""
        return self.loss_after - self.loss_before


def check_steps(steps: int) -> None:
    """Raise `SymmetryError` unless a number of ascent steps is a whole number of at least 1."""
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise SymmetryError(f"an ascent needs a whole number of steps of at least 1, not {steps!r}")
