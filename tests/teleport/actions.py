"""The actions that the tests of the engine run on: derived and proved ones, and a few written by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

import symdiscover as sd

DOUBLE = torch.float64


@cache
def derived(text: str, group: str | None = None) -> sd.Action:
    """The proved action of a loss: of the group named, else the first found."""
    certificates = sd.derive(sd.Loss.parse(text)).certificates
    return sd.to_torch(next(c for c in certificates if group is None or c.group.name == group))


def rosenbrock() -> sd.Action:
    return derived("100*(x**2 - y)**2 + (x - 1)**2", "SO(2)")


def booth() -> sd.Action:
    return derived("(x + 2*y - 7)**2 + (2*x + y - 5)**2", "SO(2)")


def ellipsoid() -> sd.Action:
    """x² + 4y² + 25z², with a group of rotations in three dimensions."""
    return derived("x**2 + 4*y**2 + 25*z**2")


def point(*coordinates: float, dtype: torch.dtype = DOUBLE) -> Tensor:
    return torch.tensor(coordinates, dtype=dtype)


def points(count: int, scale: float = 2.0, seed: int = 0, n: int = 2) -> Tensor:
    return scale * torch.randn(count, n, dtype=DOUBLE, generator=torch.Generator().manual_seed(seed))


@dataclass(frozen=True)
class HandWritten:
    """An action in plain torch, as a user may write one."""

    group: Any
    act: Callable[[Tensor, Tensor], Tensor]
    loss: Callable[[Tensor], Tensor]
    spectrum: Any = None
    image: Any = None

    def __call__(self, element: Tensor, point: Tensor) -> Tensor:
        return self.act(element, point)

    def exp(self, xi: Tensor) -> Tensor:
        return xi[..., 0] if self.group.element == "angle" else xi

    def compose(self, g: Tensor, h: Tensor) -> Tensor:
        return g + h


def rotation(theta: Tensor, point: Tensor) -> Tensor:
    x, y = torch.broadcast_tensors(*point.unbind(-1), theta)[:2]
    return torch.stack([x * theta.cos() - y * theta.sin(), x * theta.sin() + y * theta.cos()], dim=-1)


CIRCLE = SimpleNamespace(name="SO(2)", dimension=1, compact=True, element="angle", basis=(((0, -1), (1, 0)),))
LINE = SimpleNamespace(
    name="scaling", dimension=1, compact=False, element="vector", basis=(((1, 0), (0, -1)),)
)


def bowl(**members: Any) -> HandWritten:
    """Rotations of |x|², along whose orbits nothing changes."""
    return HandWritten(CIRCLE, rotation, lambda x: x.square().sum(-1), **members)


def product() -> HandWritten:
    """(xy - 1)², unchanged by (x e^t, y e^-t): orbits without a largest gradient."""

    def act(t: Tensor, point: Tensor) -> Tensor:
        return point * torch.cat([t, -t], dim=-1).exp()

    return HandWritten(LINE, act, lambda x: (x.prod(-1) - 1).square())


def stretched() -> HandWritten:
    """asinh(x)² + y²: rotations of (asinh x, y). ‖∇L‖² on an orbit is no trigonometric polynomial."""

    def act(theta: Tensor, point: Tensor) -> Tensor:
        x, y = point.unbind(-1)
        u, v = rotation(theta, torch.stack([x.asinh(), y], dim=-1)).unbind(-1)
        return torch.stack([u.sinh(), v], dim=-1)

    return HandWritten(CIRCLE, act, lambda x: x[..., 0].asinh().square() + x[..., 1].square())


def dense_maximum(action: Any, point: Tensor, count: int = 20_000, reach: float = torch.pi) -> Tensor:
    """The largest ‖∇L‖² on a dense grid of the orbit, the ends included, for each row of points (..., 2)."""
    angles = torch.linspace(-reach, reach, count + 1, dtype=point.dtype)
    rows = angles.reshape((-1,) + (1,) * (point.ndim - 1))
    moved = action(rows, point).requires_grad_()
    (gradient,) = torch.autograd.grad(action.loss(moved).sum(), moved)
    return gradient.square().sum(-1).amax(0)


@cache
def derived_with_constants() -> sd.Action:
    """Rosenbrock with symbolic constants a and b."""
    loss = sd.Loss.parse("b*(x**2 - y)**2 + (x - a)**2", positive=["a", "b"])
    return sd.to_torch(sd.derive(loss).certificates[0])
