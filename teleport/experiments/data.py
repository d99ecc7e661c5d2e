"""Data sets for experiments."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from symdiscover.errors import SymmetryError


@dataclass(frozen=True)
class Classification:
    """A data set split in two: inputs (n, d) in the dtype asked for, labels (n,) of integers below `classes`."""

    name: str
    train_x: Tensor
    train_y: Tensor
    test_x: Tensor
    test_y: Tensor
    classes: int


def digits(dtype: torch.dtype = torch.float64, held_out: int = 360, seed: int = 0) -> Classification:
    """The 1,797 handwritten digits of 8 x 8 pixels that scikit-learn ships, pixels from 0 to 1, split at random.

    Raises
    ------
    SymmetryError
        If scikit-learn is not installed.

    Examples
    --------
    >>> data = digits()
    >>> data.train_x.shape, data.test_x.shape, data.classes
    (torch.Size([1437, 64]), torch.Size([360, 64]), 10)
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise SymmetryError("the digits need scikit-learn: pip install 'symdiscover[demo]'") from error
    bunch = load_digits()
    x = torch.tensor(bunch.data, dtype=dtype) / 16
    y = torch.tensor(bunch.target)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    test, train = order[:held_out], order[held_out:]
    return Classification("digits (8 x 8, scikit-learn)", x[train], y[train], x[test], y[test], 10)
