"""An element is a matrix, a tensor of shape (..., m, m)."""

from __future__ import annotations

import torch

# Rows and columns m; of each generator B_k, and of each discrete generator, the entries (row, column, value) that are
# not zero; the diagonal of a form F with g^T F g = F, or None.
SIZE = 1
GENERATORS: list[list[tuple[int, int, float]]] = []
DISCRETE: list[list[tuple[int, int, float]]] = []
FORM: list[float] | None = None

# --- elements ---


def dense(matrices: list[list[tuple[int, int, float]]], like: torch.Tensor) -> torch.Tensor:
    """Matrices given by their entries as one tensor (k, m, m), with the dtype and device of `like`."""
    rows = [[[0.0] * SIZE for _ in range(SIZE)] for _ in matrices]
    for matrix, entries in zip(rows, matrices, strict=True):
        for row, column, value in entries:
            matrix[row][column] = value
    return torch.tensor(rows, dtype=like.dtype, device=like.device).reshape(len(matrices), SIZE, SIZE)


def identity(like: torch.Tensor) -> torch.Tensor:
    """The identity matrix (m, m), with the dtype and device of `like`."""
    return torch.eye(SIZE, dtype=like.dtype, device=like.device)


def exp(xi: torch.Tensor) -> torch.Tensor:
    """exp(sum_k xi_k B_k) for xi: (..., k), a tensor of shape (..., m, m)."""
    algebra = torch.einsum("...k,kij->...ij", xi, dense(GENERATORS, xi))
    return torch.matrix_exp(algebra.to(at_least_single(xi))).to(xi.dtype)


def compose(g: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
    """First h, then g."""
    return g @ h


def inverse(g: torch.Tensor) -> torch.Tensor:
    """The matrix that undoes g: F^{-1} g^T F where a diagonal form F is preserved, else by elimination."""
    if FORM is None:
        return torch.linalg.inv(g.to(at_least_single(g))).to(g.dtype)
    form = torch.tensor(FORM, dtype=g.dtype, device=g.device)
    return g.mT * form / form[:, None]


def at_least_single(like: torch.Tensor) -> torch.dtype:
    """Its dtype, or float32 for half precision, in which torch has no exponential and no inverse of matrices."""
    return torch.promote_types(like.dtype, torch.float32)


def random(
    batch: tuple[int, ...] = (),
    scale: float = 1.0,
    generator: torch.Generator | None = None,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str | None = None,
) -> torch.Tensor:
    """exp of a normal Lie-algebra element, times a word in the discrete generators, each taken or left m times."""
    xi = torch.randn(*batch, len(GENERATORS), generator=generator, dtype=dtype, device=device)
    g = exp(scale * xi)
    for matrix in dense(DISCRETE * SIZE, xi):
        chosen = torch.rand(batch, generator=generator, dtype=dtype, device=device) < 0.5
        g = torch.where(chosen[..., None, None], matrix @ g, g)
    return g
