"""What a descent leaves: its points, losses and gradient norms, and a record of every teleport."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from torch import Tensor

from symdiscover.errors import SymmetryError


@dataclass(frozen=True)
class TeleportRecord:
    """One teleport, whether it moved anything or not. Tensors have the batch axes (...,) of the starts.

    Parameters
    ----------
    step:
        It took place before this step.
    before, after:
        (..., n), the point given and the point left; equal where the teleport was not accepted.
    loss_before, loss_after:
        The loss that is minimised, at both.
    relative_change:
        |L(candidate) - L(before)| / |L(before)| for what the search found last, accepted or not.
    gradient_before, gradient_after:
        ‖∇L‖² at both.
    element:
        The group element applied, the identity where not accepted.
    radius:
        The length ‖log g‖ used, 0 where not accepted.
    accepted:
        Whether the row was moved.
    reason:
        Why the search ended, or why its result was refused; for a batch one for each row, flattened.
    rejected:
        Candidates refused by a check or by the guard before this outcome, over all rows.
    evaluations:
        Points of the orbit at which the objective was evaluated, per row; a spectrum in closed form counts as
        one.
    gradient_equivalents:
        The work of search, check and guard in gradients of the loss.
    seconds:
        Wall time of all of that.
    """

    step: int
    before: Tensor
    after: Tensor
    loss_before: Tensor
    loss_after: Tensor
    relative_change: Tensor
    gradient_before: Tensor
    gradient_after: Tensor
    element: Tensor
    radius: Tensor
    accepted: Tensor
    reason: str | tuple[str, ...]
    rejected: int
    evaluations: int
    gradient_equivalents: float
    seconds: float

    @property
    def gain(self) -> Tensor:
        """‖∇L‖² after / before; 1 where nothing moved."""
        gain = self.gradient_after / self.gradient_before
        return gain.where(self.accepted, gain.new_ones(()))

    def row(self, index: int) -> TeleportRecord:
        """The record of one row of a batch."""
        named = {item.name: getattr(self, item.name) for item in fields(self)}
        cut: dict[str, Any] = {
            name: value[index] for name, value in named.items() if isinstance(value, Tensor | tuple)
        }
        return replace(self, **cut)


@dataclass(frozen=True)
class Trajectory:
    """A descent from one start or from a batch of them; T steps.

    Parameters
    ----------
    points:
        (T + 1, ..., n); points[t] is reached after t steps, and is where a teleport before step t sets out.
    losses, gradient_norms:
        (T + 1, ...), L and ‖∇L‖² at `points`.
    teleports:
        One record for each time the schedule fired.
    settings:
        What was run, in numbers and words that JSON can hold.
    gradients:
        Gradients of the loss that the optimizer's steps took; those of teleports are in their records.
    seconds:
        Wall time, teleports included.
    """

    points: Tensor
    losses: Tensor
    gradient_norms: Tensor
    teleports: tuple[TeleportRecord, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    gradients: int = 0
    seconds: float = 0.0

    @property
    def final_loss(self) -> Tensor:
        """The loss after the last step, (...,)."""
        return self.losses[-1]

    @property
    def diverged(self) -> Tensor:
        """Which rows met a loss that is not finite, (...,)."""
        return ~self.losses.isfinite().all(0)

    def row(self, index: int) -> Trajectory:
        """The descent of one row of a batch of starts (T + 1, B, n)."""
        if self.losses.ndim != 2:
            raise SymmetryError(f"this trajectory has batch shape {tuple(self.losses.shape[1:])}, not (B,)")
        points, losses, norms = (table[:, index] for table in (self.points, self.losses, self.gradient_norms))
        records = tuple(record.row(index) for record in self.teleports)
        return replace(self, points=points, losses=losses, gradient_norms=norms, teleports=records)

    def to_json(self) -> str:
        """The whole trajectory as one JSON object; numbers that are not finite become null."""
        names = ("points", "losses", "gradient_norms", "final_loss", "diverged", "gradients", "seconds")
        table = {name: getattr(self, name) for name in names}
        records = [
            {name: getattr(record, name) for name in (*(item.name for item in fields(record)), "gain")}
            for record in self.teleports
        ]
        return json.dumps(_plain({"settings": self.settings, **table, "teleports": records}), allow_nan=False)


def _plain(value: Any) -> Any:
    """Numbers, strings, lists and mappings, without NaN and infinity."""
    if isinstance(value, Tensor):
        return _plain(value.tolist())
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)
