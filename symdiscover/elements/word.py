"""An element is a vector of coordinates, a tensor of shape (..., k), of flows that do not commute."""

from __future__ import annotations

from typing import NoReturn

import torch

DIMENSION = 1

# --- elements ---


def identity(like: torch.Tensor) -> torch.Tensor:
    """The zero vector (k,), with the dtype and device of `like`."""
    return torch.zeros(DIMENSION, dtype=like.dtype, device=like.device)


def exp(xi: torch.Tensor) -> torch.Tensor:
    """The element with coordinates xi: (..., k)."""
    return xi


def compose(g: torch.Tensor, h: torch.Tensor) -> NoReturn:
    """There is no product: one flow after another is a word, not the flow of a sum."""
    raise ValueError(
        "flows along a level set do not compose to one: move the point by one element after another"
    )


def inverse(g: torch.Tensor) -> torch.Tensor:
    """The element that undoes g, up to the error of the integration."""
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
