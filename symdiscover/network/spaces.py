"""Which entries of the weights share one group element: the unknowns of a network's symmetry, and what ties them.

Every index of every axis of every parameter is a *unit*: the rows of W are the units of the hidden space that W
writes, its columns are minus those of the space that it reads. A unit is transformed by an unknown r: a scale e^a
and a sign, in whole spaces by a matrix g; minus a unit is transformed by 1/r, or g^{-T}. An additive parameter has
unknown *shifts* t besides. The rules of the operations (`rules`) state equations between these unknowns; this
module solves them.

Labels are non-zero integers: +u is unit u, -u its dual, 0 an entry on which nothing acts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

Array = np.ndarray


@dataclass(frozen=True)
class Reason:
    """Why units may move less than they could: the node, a sentence and what would help."""

    node: str
    text: str
    remedy: str = ""


@dataclass(frozen=True)
class Relation:
    """One linear equation for each row: sum_k coefficients[k] a(labels[k]) + sum_j shift_coefficients[j] t(shifts[j]) = 0."""

    coefficients: tuple[Fraction, ...]
    labels: tuple[Array, ...]
    shift_coefficients: tuple[Fraction, ...] = ()
    shifts: tuple[Array, ...] = ()


@dataclass(frozen=True)
class Jump:
    """t(shifts) = length where the sign of the label is -1, else 0: affine-odd activations, and half turns of periodic ones."""

    labels: Array
    shifts: Array
    length: float
    turn: bool = False


@dataclass(frozen=True)
class Period:
    """t(shifts) may be any multiple of `length`."""

    shifts: Array
    length: float


@dataclass(frozen=True)
class Pending:
    """A shift that went through weights: shifts[i] = (W t)_i, computed when the action is applied."""

    node: str
    shifts: Array
    sources: Array


@dataclass
class Spaces:
    """Units, shifts and the equations that the operations of a network state about them."""

    units: int = 0
    shift_count: int = 0
    same: list[tuple[Array, Array]] = field(default_factory=list)
    relations: list[Relation] = field(default_factory=list)
    parities: list[tuple[Array, ...]] = field(default_factory=list)
    jumps: list[Jump] = field(default_factory=list)
    periods: list[Period] = field(default_factory=list)
    pendings: list[Pending] = field(default_factory=list)
    nonlinear: list[tuple[Array, Reason]] = field(default_factory=list)
    orthogonal: list[tuple[Array, Reason]] = field(default_factory=list)
    immovable: list[tuple[Array, Reason]] = field(default_factory=list)
    fastened: list[Array] = field(default_factory=list)
    beside: list[tuple[Array, Array, int]] = field(default_factory=list)
    unscaled: list[tuple[Array, Reason]] = field(default_factory=list)
    still: list[tuple[Array, Reason]] = field(default_factory=list)
    owners: list[tuple[Array, Array]] = field(default_factory=list)
    touches: list[tuple[Array, Array, int]] = field(default_factory=list)
    additive: list[Array] = field(default_factory=list)
    events: list[tuple[Array, Array]] = field(default_factory=list)
    read: list[Array] = field(default_factory=list)
    written: list[Array] = field(default_factory=list)
    ones: list[Array] = field(default_factory=list)
    alone: list[Array] = field(default_factory=list)
    places: set[int] = field(default_factory=set)
    place_count: int = 0
    _salt: int = 0

    def new_units(self, count: int) -> Array:
        """Labels of new units, (count,)."""
        labels = np.arange(self.units + 1, self.units + count + 1)
        self.units += count
        self.touch(labels)
        return labels

    def new_shifts(self, count: int) -> Array:
        """Numbers of new shifts, (count,), from 1."""
        numbers = np.arange(self.shift_count + 1, self.shift_count + count + 1)
        self.shift_count += count
        return numbers

    def equal(self, a: Array, b: Array, reason: Reason) -> None:
        """r(a) = r(b); where one of them is 0 the other is fixed."""
        a, b = (np.asarray(x).ravel() for x in np.broadcast_arrays(a, b))
        pairs = np.unique(np.stack([a, b]), axis=1)
        a, b = pairs
        both = (a != 0) & (b != 0)
        self.same.append((a[both], b[both]))
        self.fix(np.concatenate([a[~both], b[~both]]), reason)

    def fix(self, labels: Array, reason: Reason) -> None:
        """Nothing acts on these: no scale, no sign, no permutation."""
        labels = some(labels)
        if labels.size:
            self.unscaled.append((labels, reason))
            self.nonlinear.append((labels, reason))
            self.immovable.append((labels, reason))
            self.fastened.append(labels)
            self.sign_free(labels)

    def scale_free(self, labels: Array, reason: Reason) -> None:
        """a = 0, and no matrix acts: signs and permutations may."""
        labels = some(labels)
        if labels.size:
            self.unscaled.append((labels, reason))
            self.nonlinear.append((labels, reason))

    def sign_free(self, labels: Array) -> None:
        """The sign is 1."""
        labels = some(labels)
        if labels.size:
            self.parities.append((labels,))

    def not_linear(self, labels: Array, reason: Reason) -> None:
        """Scales, signs and permutations act at most."""
        labels = some(labels)
        if labels.size:
            self.nonlinear.append((labels, reason))

    def not_permuted(self, labels: Array, reason: Reason, places: Array | None = None) -> None:
        """Different fixed data meet them, so they keep their places.

        Where `places` say which data meet which unit, whole heads may still change places if the same data meet both.
        """
        every = np.abs(np.asarray(labels))
        labels = some(labels)
        if not labels.size:
            return
        self.immovable.append((labels, reason))
        self.nonlinear.append((labels, reason))
        if places is None:
            self.fastened.append(labels)
        else:
            self._salt += 1
            every, places = (a.ravel() for a in np.broadcast_arrays(every, places))
            pairs = np.unique(np.stack([every, places])[:, every != 0], axis=1)
            self.beside.append((pairs[0], pairs[1], self._salt))

    def no_shift(self, shifts: Array | None, reason: Reason) -> None:
        """t = 0."""
        if shifts is not None and (shifts := some(shifts)).size:
            self.still.append((shifts, reason))

    def touch(self, labels: Array, places: Array | None = None) -> None:
        """An operation treats these units alike, those with different `places` apart."""
        self._salt += 1
        labels = np.abs(np.asarray(labels))
        codes = np.zeros_like(labels) if places is None else np.broadcast_to(places, labels.shape)
        pairs = np.unique(np.stack([labels.ravel(), codes.ravel()]), axis=1)
        pairs = pairs[:, pairs[0] != 0]
        self.touches.append((pairs[0], pairs[1], self._salt))

    def new_places(self, count: int) -> int:
        """The number of the first of new places of a batch axis."""
        self.place_count += count
        return self.place_count - count

    def event(self, places: Array, labels: Array) -> None:
        """Units at one place of a batch axis belong together: heads that are permuted as a whole."""
        places, labels = (np.asarray(x).ravel() for x in np.broadcast_arrays(places, np.abs(labels)))
        keep = labels != 0
        self.events.append((places[keep], labels[keep]))


def some(labels: Array) -> Array:
    """Those that are not 0, each once, without sign."""
    labels = np.unique(np.abs(np.asarray(labels)))
    return labels[labels != 0]


def mixed(values: Array, salt: int) -> Array:
    """A hash of integers, (n,) -> (n,), uint64 (splitmix64)."""
    with np.errstate(over="ignore"):
        x = values.astype(np.uint64) + np.uint64(salt) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))


def components(size: int, edges: Sequence[tuple[Array, Array]]) -> Array:
    """The smallest member of the connected component of each of `size` nodes.

    Examples
    --------
    >>> components(5, [(np.array([3, 1]), np.array([1, 4]))])
    array([0, 1, 2, 1, 1])
    """
    root = np.arange(size)
    a = np.concatenate([e[0] for e in edges]) if edges else np.zeros(0, int)
    b = np.concatenate([e[1] for e in edges]) if edges else np.zeros(0, int)
    while True:
        low = np.minimum(root[a], root[b])
        new = root.copy()
        np.minimum.at(new, root[a], low)
        np.minimum.at(new, root[b], low)
        while not np.array_equal(new, jumped := new[new]):
            new = jumped
        if np.array_equal(new, root):
            return root
        root = new


def null_space(rows: Sequence[Mapping[int, Fraction]], width: int) -> dict[int, dict[int, Fraction]]:
    """A basis of {x : rows x = 0} over Q: for each free column the vector with 1 there and 0 at the other free ones.

    Rows and vectors are sparse: column -> entry. Pivots are the first columns that can be.

    Examples
    --------
    >>> null_space([{0: Fraction(1), 1: Fraction(-2)}], 2)
    {1: {1: Fraction(1, 1), 0: Fraction(2, 1)}}
    """
    reduced: dict[int, dict[int, Fraction]] = {}
    holding: dict[int, set[int]] = defaultdict(set)  # column -> pivots of the rows in which it stands
    for row in rows:
        current = {k: x for k, x in row.items() if x}
        for pivot in [k for k in current if k in reduced]:
            _subtract(current, reduced[pivot], current[pivot])
        if not current:
            continue
        new = min(current)
        lead = current[new]
        current = {k: x / lead for k, x in current.items()}
        for pivot in holding.pop(new, set()):
            known = reduced[pivot]
            for k in _subtract(known, current, known[new]):
                (holding[k].add if k in known else holding[k].discard)(pivot)
        reduced[new] = current
        for k in current:
            if k != new:
                holding[k].add(new)
    basis = {free: {free: Fraction(1)} for free in range(width) if free not in reduced}
    for pivot, row in reduced.items():
        for k, x in row.items():
            if k != pivot:
                basis[k][pivot] = -x
    return basis


def _subtract(row: dict[int, Fraction], other: Mapping[int, Fraction], factor: Fraction) -> list[int]:
    """row -= factor * other, in place; the columns that were touched."""
    for k, x in other.items():
        value = row.get(k, Fraction(0)) - factor * x
        if value:
            row[k] = value
        else:
            row.pop(k, None)
    return list(other)


def chunks(order: Array, keys: Array) -> Iterator[Array]:
    """`order` cut where the sorted `keys` change."""
    if order.size:
        yield from np.split(order, np.flatnonzero(keys[1:] != keys[:-1]) + 1)
