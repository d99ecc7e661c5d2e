"""What is known of a value in the traced pass: which unit transforms each of its entries.

Operations that only move data (view, transpose, chunk, cat ...) are run on the labels themselves, so there is no rule
to write for them, and none to get wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

Labels = torch.Tensor


@dataclass(frozen=True)
class Fold:
    """A value gain * n + offset whose units are those of n: matrices act on n, and readers take the gain along.

    Attributes
    ----------
    gain, offset:
        Names of parameters; no offset is None.
    """

    gain: str
    offset: str | None = None


@dataclass(frozen=True)
class Value:
    """Labels of a tensor's entries.

    Attributes
    ----------
    shape:
        Of the tensor.
    factors:
        int64 tensors of that shape; an entry is transformed by the product of the units that its labels name. A weight has
        one for each axis, a hidden value one.
    shift:
        int64 tensor of that shape, or None: the number of the shift that is added to each entry; 0 is none.
    vary:
        int8 tensor of that shape; along axes of stride 0 the fixed data in the value is constant.
    weights_only:
        Whether it is computed from parameters alone.
    leaf:
        The name of the parameter that it is, entry by entry; "" for every other value.
    folded:
        See `Fold`; only in a pass that folds gains.
    zero:
        Whether every entry is 0: every element leaves it as it is.
    """

    shape: tuple[int, ...]
    factors: tuple[Labels, ...] = ()
    shift: Labels | None = None
    vary: Labels = field(default_factory=lambda: torch.zeros((), dtype=torch.int8))
    weights_only: bool = False
    leaf: str = ""
    folded: Fold | None = None
    zero: bool = False

    @property
    def plain(self) -> bool:
        """Whether nothing acts on it."""
        return not self.factors and self.shift is None

    def moved(self, operation: Callable[[torch.Tensor], Any]) -> Any:
        """The value after an operation that only moves entries; a list where it returns several tensors."""
        factors = [operation(f) for f in self.factors]
        shift = None if self.shift is None else operation(self.shift)
        vary = operation(self.vary)
        if isinstance(vary, torch.Tensor):
            return self._at(factors, shift, vary)
        return [
            self._at([f[i] for f in factors], None if shift is None else shift[i], v)
            for i, v in enumerate(vary)
        ]

    def _at(self, factors: list[Labels], shift: Labels | None, vary: Labels) -> Value:
        kept = tuple(tidy(f) for f in factors if bool(f.any()))
        shift = None if shift is None or not bool(shift.any()) else tidy(shift)
        return replace(self, shape=tuple(vary.shape), factors=kept, shift=shift, vary=vary, leaf="")

    def uniform(self, axis: int) -> bool:
        """Whether fixed data in it is constant along an axis."""
        return self.shape[axis] == 1 or self.vary.stride()[axis] == 0


def plain(shape: Iterable[int] | None, weights_only: bool = False) -> Value:
    """A value on which nothing acts, and which varies along all of its axes."""
    shape = tuple(shape or ())
    return Value(shape, vary=torch.zeros(shape, dtype=torch.int8), weights_only=weights_only)


def constant(shape: Iterable[int] = ()) -> Value:
    """A value on which nothing acts, the same everywhere."""
    shape = tuple(shape)
    return Value(shape, vary=torch.zeros((), dtype=torch.int8).expand(shape))


def tidy(labels: Labels) -> Labels:
    """The same labels, with stride 0 along the axes on which they are constant."""
    return core(labels).expand(labels.shape)


def core(labels: Labels) -> Labels:
    """The labels with the axes on which they are constant narrowed to one entry."""
    for axis in range(labels.ndim):
        if labels.shape[axis] > 1:
            first = labels.narrow(axis, 0, 1)
            if labels.stride()[axis] == 0 or bool((labels == first).all()):
                labels = first
    return labels


def axes(labels: Labels) -> tuple[int, ...]:
    """The axes along which labels differ."""
    return tuple(axis for axis, size in enumerate(core(labels).shape) if size > 1)


def array(labels: Labels) -> np.ndarray:
    """The labels that differ, as a numpy array with one entry on each constant axis."""
    return np.asarray(core(labels).cpu().numpy())


def aligned(labels: Labels, shape: tuple[int, ...]) -> Labels:
    """Labels broadcast to a shape."""
    return labels.expand(shape)
