"""What the engine asks of an action on points: `symdiscover.Action` has it, and so may a hand-written class.

The laws: a(g, a(h, x)) = a(gh, x) and L(a(g, x)) = L(x).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from torch import Tensor


class PointGroup(Protocol):
    """The group as data.

    ``element`` is "angle", "time", "vector" or "matrix". A ``basis`` of Lie-algebra matrices is used where
    there is one.
    """

    @property
    def name(self) -> str: ...
    @property
    def dimension(self) -> int: ...
    @property
    def compact(self) -> bool: ...
    @property
    def element(self) -> str: ...


class PointAction(Protocol):
    """An action of a group on points x: (..., n), differentiable, batched over the leading axes.

    Two optional members make teleports along circles fast, for element "angle" (angle θ), with arithmetic on
    floats or tensors alone: ``spectrum(x1, ..., xn)`` gives [a0, a1, b1, a2, b2, ...] with ‖∇L(a(θ, x))‖² =
    a0 + Σ_k a_k cos kθ + b_k sin kθ, and ``image(cos θ, sin θ, x1, ..., xn)`` the moved point. Either may be
    None or missing.

    An action whose elements have no products, such as a flow along a level set, says so with ``composes = False``; one
    whose elements have another number of coordinates than its group has dimensions gives it as ``parameters``.
    """

    @property
    def group(self) -> PointGroup: ...
    @property
    def loss(self) -> Callable[[Tensor], Tensor]:
        """x: (..., n) -> (...,)."""

    def __call__(self, element: Tensor, point: Tensor, /) -> Tensor:
        """a(g, x); the leading axes of element and point broadcast."""

    def exp(self, xi: Tensor, /) -> Tensor:
        """xi: (..., dimension) in the basis of the Lie algebra -> element."""

    def compose(self, g: Tensor, h: Tensor, /) -> Tensor:
        """gh, the element of "first h, then g"."""


def parameters(action: PointAction) -> int:
    """How many coordinates ``action.exp`` takes."""
    count: int = getattr(action, "parameters", action.group.dimension)
    return count
