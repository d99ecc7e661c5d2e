"""An element is a vector of additive coordinates, a tensor of shape (..., k)."""

from __future__ import annotations

import torch

DIMENSION = 1

# --- elements ---


def identity(like: torch.Tensor) -> torch.Tensor:
    """The zero vector (k,), with the dtype and device of `like`."""
    return torch.zeros(DIMENSION, dtype=like.dtype, device=like.device)


def exp(xi: torch.Tensor) -> torch.Tensor:
    """The element with Lie-algebra coordinates xi: (..., k)."""
    return xi


def compose(g: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
    """First h, then g."""
    return g + h


def inverse(g: torch.Tensor) -> torch.Tensor:
    """The vector that undoes g."""
    return -g


def random(
    batch: tuple[int, ...] = (),
    scale: float = 1.0,
    generator: torch.Generator | None = None,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str | None = None,
) -> torch.Tensor:
    """Vectors of shape (*batch, k), normal with standard deviation `scale`."""
    return scale * torch.randn(*batch, DIMENSION, generator=generator, dtype=dtype, device=device)
