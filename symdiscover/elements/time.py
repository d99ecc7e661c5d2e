"""An element is the flow time of one generator, a tensor of shape (...)."""

from __future__ import annotations

import torch

# --- elements ---


def identity(like: torch.Tensor) -> torch.Tensor:
    """The time 0, with the dtype and device of `like`."""
    return torch.zeros((), dtype=like.dtype, device=like.device)


def exp(xi: torch.Tensor) -> torch.Tensor:
    """The time with Lie-algebra coordinate xi: (..., 1)."""
    return xi[..., 0]


def compose(g: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
    """First h, then g."""
    return g + h


def inverse(g: torch.Tensor) -> torch.Tensor:
    """The time that undoes g."""
    return -g


def random(
    batch: tuple[int, ...] = (),
    scale: float = 1.0,
    generator: torch.Generator | None = None,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str | None = None,
) -> torch.Tensor:
    """Times of shape `batch`, normal with standard deviation `scale`."""
    return scale * torch.randn(batch, generator=generator, dtype=dtype, device=device)
