"""An element is an angle in radians or the flow time of one generator, a tensor of shape (...)."""

from __future__ import annotations

import torch

PERIOD: float | None = None

# --- elements ---


def identity(like: torch.Tensor) -> torch.Tensor:
    """The identity, with the dtype and device of `like`."""
    return torch.zeros((), dtype=like.dtype, device=like.device)


def exp(xi: torch.Tensor) -> torch.Tensor:
    """The element with Lie-algebra coordinates xi: (..., 1)."""
    return xi[..., 0]


def compose(g: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
    """First h, then g."""
    return g + h


def inverse(g: torch.Tensor) -> torch.Tensor:
    """The element that undoes g."""
    return -g


def random(
    batch: tuple[int, ...] = (),
    scale: float = 1.0,
    generator: torch.Generator | None = None,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str | None = None,
) -> torch.Tensor:
    """Elements of shape `batch`: angles uniform on [0, PERIOD * scale), times normal with deviation `scale`."""
    if PERIOD is not None:
        return PERIOD * scale * torch.rand(batch, generator=generator, dtype=dtype, device=device)
    return scale * torch.randn(batch, generator=generator, dtype=dtype, device=device)
