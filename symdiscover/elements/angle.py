"""An element is an angle in radians, a tensor of shape (...); it has the period 2 pi."""

from __future__ import annotations

import torch

# --- elements ---


def identity(like: torch.Tensor) -> torch.Tensor:
    """The angle 0, with the dtype and device of `like`."""
    return torch.zeros((), dtype=like.dtype, device=like.device)


def exp(xi: torch.Tensor) -> torch.Tensor:
    """The angle with Lie-algebra coordinate xi: (..., 1)."""
    return xi[..., 0]


def compose(g: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
    """First h, then g."""
    return g + h


def inverse(g: torch.Tensor) -> torch.Tensor:
    """The angle that undoes g."""
    return -g


def random(
    batch: tuple[int, ...] = (),
    scale: float = 1.0,
    generator: torch.Generator | None = None,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str | None = None,
) -> torch.Tensor:
    """Angles of shape `batch`, uniform on [0, 2 pi scale)."""
    return 2 * torch.pi * scale * torch.rand(batch, generator=generator, dtype=dtype, device=device)
