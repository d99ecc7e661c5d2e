"""An element is a matrix, a tensor of shape (..., m, m)."""

from __future__ import annotations

import torch

BASIS: list[list[list[float]]] = [[[0.0]]]
DISCRETE: list[list[list[float]]] = []
FORM: list[float] | None = None

# --- elements ---


def identity(like: torch.Tensor) -> torch.Tensor:
    """The identity matrix (m, m), with the dtype and device of `like`."""
    return torch.eye(len((BASIS or DISCRETE)[0]), dtype=like.dtype, device=like.device)


def exp(xi: torch.Tensor) -> torch.Tensor:
    """exp(sum_k xi_k B_k) for xi: (..., k), a tensor of shape (..., m, m)."""
    if not BASIS:
        return identity(xi).expand(*xi.shape[:-1], -1, -1)
    basis = torch.tensor(BASIS, dtype=xi.dtype, device=xi.device)
    return torch.matrix_exp(torch.einsum("...k,kij->...ij", xi, basis))


def compose(g: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
    """First h, then g."""
    return g @ h


def inverse(g: torch.Tensor) -> torch.Tensor:
    """The matrix that undoes g: F^{-1} g^T F where a diagonal form F is preserved, else by elimination."""
    if FORM is None:
        return torch.linalg.inv(g)
    form = torch.tensor(FORM, dtype=g.dtype, device=g.device)
    return g.mT * form / form[:, None]


def random(
    batch: tuple[int, ...] = (),
    scale: float = 1.0,
    generator: torch.Generator | None = None,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str | None = None,
) -> torch.Tensor:
    """exp of a normal Lie-algebra element, times each discrete generator with probability one half."""
    g = exp(scale * torch.randn(*batch, len(BASIS), generator=generator, dtype=dtype, device=device))
    for matrix in DISCRETE:
        reflection = torch.tensor(matrix, dtype=dtype, device=device)
        chosen = torch.rand(batch, generator=generator, dtype=dtype, device=device) < 0.5
        g = torch.where(chosen[..., None, None], reflection @ g, g)
    return g
