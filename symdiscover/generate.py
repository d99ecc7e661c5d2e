"""Loss | Certificate -> torch: callables that run generated source."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, overload

import torch

from symdiscover.action import Action, load, positive_values
from symdiscover.errors import NotInvariant, SymmetryError
from symdiscover.loss import Loss
from symdiscover.source import action_source, loss_source
from symdiscover.symmetry import Certificate


@dataclass(frozen=True, eq=False)
class TorchLoss:
    """A loss as a torch callable: points (..., n) -> values (...).

    Differentiable, batched, any device and floating dtype. Two are equal where they are the same object.

    Attributes
    ----------
    source:
        The generated module as text; it needs torch alone.
    constants:
        Values of the symbolic constants, as floats or tensors that broadcast against the batch.
    """

    source: str
    constants: Mapping[str, Any] = field(default_factory=dict)
    _module: types.ModuleType = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_module", load(self.source))

    def __call__(self, point: torch.Tensor) -> torch.Tensor:
        """The loss at points (..., n): a tensor (...).

        Raises
        ------
        ValueError
            If `point` is no floating-point tensor of shape (..., n).
        """
        return self._module.loss(point, **self.constants)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_module"}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__dict__.update(state, _module=load(state["source"]))


@overload
def to_torch(claim: Loss, /, **constants: Any) -> TorchLoss: ...
@overload
def to_torch(claim: Certificate, /, **constants: Any) -> Action: ...
def to_torch(claim: Loss | Certificate, /, **constants: Any) -> TorchLoss | Action:
    """Generate torch code: a callable for a loss, an `Action` for a certificate.

    Every status but ``refuted`` is accepted; the action carries it.

    Parameters
    ----------
    claim:
        A `Loss` or a `Certificate`.
    constants:
        Values for the symbolic constants, positive floats or tensors that broadcast against the batch. A loss
        needs them all, an action may be given them later (`Action.at`).

    Raises
    ------
    SymmetryError
        If a constant of a loss has no value, or a value is not positive, or `claim` is neither of the two.
    NotInvariant
        If the certificate is refuted.
    ExpressionError
        If the expression holds a function that torch does not have.

    Examples
    --------
    >>> loss = to_torch(Loss.parse("a*x**2 + y", positive="a"), a=3.0)
    >>> loss(torch.tensor([[1.0, 2.0], [0.0, 1.0]]))
    tensor([5., 1.])
    """
    if isinstance(claim, Loss):
        names = [symbol.name for symbol in claim.constants]
        if set(names) != set(constants):
            raise SymmetryError(
                f"this loss has the constants {', '.join(names) or 'none'}: give each a value"
            )
        source = loss_source(claim)
        keywords = getattr(load(source), "CONSTANTS", [])
        values = positive_values(constants)
        return TorchLoss(source, {key: values[name] for key, name in zip(keywords, names, strict=True)})
    if not isinstance(claim, Certificate):
        raise SymmetryError(
            f"to_torch takes a Loss or a Certificate, not a {type(claim).__name__}: verify a claim first"
        )
    if claim.status == "refuted":
        raise NotInvariant("a refuted claim cannot become code")
    action = Action(claim.group, action_source(claim.symmetry), claim)
    return action.at(**constants) if constants else action
