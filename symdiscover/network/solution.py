"""The solved equations of a network: which units carry one matrix, which carry scales, signs, shifts, and what is permuted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from symdiscover.network.spaces import Array, Relation, Spaces, chunks, components, mixed, null_space

Vector = tuple[Fraction, ...]


@dataclass(frozen=True)
class Block:
    """Units on which one matrix acts: GL(n), or O(n) where they meet themselves or a norm.

    With `ones` the matrix keeps the vector of ones: their mean is taken.
    """

    roots: Array
    orthogonal: bool
    ones: bool = False


@dataclass(frozen=True)
class Generator:
    """One real number for each member: its multiples are log-scales and shifts of the member's columns."""

    vector: Vector


@dataclass(frozen=True)
class Flip:
    """One sign for each member: the columns that turn, and the shifts that go with it (column, length).

    With `turns` the member's coordinate is a whole number m: the sign is (-1)^m and the shifts are m times their length.
    """

    turned: tuple[bool, ...]
    jumps: tuple[tuple[int, float], ...]
    turns: bool = False

    @property
    def columns(self) -> frozenset[int]:
        """Those that turn."""
        return frozenset(k for k, turned in enumerate(self.turned) if turned)


@dataclass(frozen=True)
class Family:
    """Threads of units of the same kind, such as the units of one hidden layer.

    Attributes
    ----------
    columns:
        (n, m): for each of n members the m unknowns of its thread, +r for the scale of root r and -s for shift s.
    generators, flips, periods:
        What each member may do by itself; a period is (column, length).
    responses:
        For a shift that went through weights, or comes with a sign: column -> what the others add for each unit of it.
    permutable:
        Whether members may change places.
    """

    columns: Array
    generators: tuple[Generator, ...]
    flips: tuple[Flip, ...]
    periods: tuple[tuple[int, float], ...]
    responses: dict[int, Vector]
    permutable: bool


@dataclass(frozen=True)
class Bundles:
    """Heads: (k, m) roots, each row a head; rows change places as wholes."""

    roots: Array


@dataclass(frozen=True)
class Solution:
    """What `solve` found.

    Attributes
    ----------
    root, sign:
        For each unit (index 0 is none) its root and +1 or -1: r(unit) = r(root)^sign.
    """

    root: Array
    sign: Array
    blocks: tuple[Block, ...]
    families: tuple[Family, ...]
    bundles: tuple[Bundles, ...]

    def signed(self, labels: Array) -> Array:
        """Labels in terms of roots."""
        return np.sign(labels) * self.sign[np.abs(labels)] * self.root[np.abs(labels)]


def solve(spaces: Spaces) -> Solution:
    """Solve the equations of a network, stopping shifts that nothing can absorb until none is left."""
    root, sign, dual = _roots(spaces)
    work = _Solver(spaces, root, sign, dual)
    stopped: set[int] = set()
    while True:
        families, blocked = work.families(stopped)
        if not blocked - stopped:
            break
        stopped |= blocked
    return Solution(root, sign, work.blocks(), tuple(families), work.bundles())


def _roots(spaces: Spaces) -> tuple[Array, Array, Array]:
    """Root and sign of each unit, and which roots are their own dual: components of the double cover of the units."""
    nodes = 2 * (spaces.units + 1)

    def node(labels: Array) -> Array:
        return 2 * np.abs(labels) + (labels < 0)

    edges = [(node(a), node(b)) for a, b in spaces.same] + [(node(-a), node(-b)) for a, b in spaces.same]
    component = components(nodes, edges)
    plus, minus = component[0::2], component[1::2]
    root = np.minimum(plus, minus) // 2
    return root, np.where(plus % 2 == 0, 1, -1), plus == minus


class _Solver:
    """The equations with units replaced by their roots."""

    def __init__(self, spaces: Spaces, root: Array, sign: Array, dual: Array) -> None:
        self.spaces, self.root, self.sign = spaces, root, sign
        self.nonlinear = self._flag(labels for labels, _ in spaces.nonlinear)
        for relation in spaces.relations:
            for labels in relation.labels:
                self.nonlinear[root[np.abs(labels)]] = True
        self.orthogonal = self._flag(labels for labels, _ in spaces.orthogonal)
        self.orthogonal[root[dual]] = True
        self.ones = self._flag(spaces.ones)
        self.immovable = self._flag(labels for labels, _ in spaces.immovable)
        self.fastened = self._flag(spaces.fastened)
        self.colour, self.coarse = self._colours()
        self.offset = spaces.units + 1
        self.size = self.offset + spaces.shift_count + 1
        self.thread = components(self.size, self._links())
        self.leaf_shifts = {int(s) for shifts in spaces.additive for s in shifts}

    def _flag(self, arrays: Iterable[Array]) -> Array:
        flag = np.zeros(len(self.root), bool)
        for labels in arrays:
            flag[self.root[np.abs(labels)]] = True
        return flag

    def _colours(self) -> tuple[Array, Array]:
        """Hashes of what touches each root: with the places of batch axes; and without them, but with the fixed data it meets."""
        fine, coarse = (np.zeros(len(self.root), np.uint64) for _ in range(2))
        for labels, places, salt in self.spaces.touches:
            roots = self.root[labels]
            np.add.at(fine, roots, mixed(places, salt))
            np.add.at(coarse, roots, mixed(np.zeros_like(places), salt))
        for labels, places, salt in self.spaces.beside:
            np.add.at(coarse, self.root[labels], mixed(places, salt))
        return mixed(fine, 1), mixed(coarse, 1)

    def _codes(self, relation: Relation) -> list[tuple[Fraction, Array, Array]]:
        """(coefficient, variable, sign) of each term: a variable is a root, or offset + shift."""
        scales = [
            (c, self.root[np.abs(labels)], np.sign(labels) * self.sign[np.abs(labels)])
            for c, labels in zip(relation.coefficients, relation.labels, strict=True)
        ]
        shifts = [
            (c, self.offset + s, np.ones_like(s))
            for c, s in zip(relation.shift_coefficients, relation.shifts, strict=True)
        ]
        return scales + shifts

    def _links(self) -> list[tuple[Array, Array]]:
        links = []
        for relation in self.spaces.relations:
            variables = [v for _, v, _ in self._codes(relation)]
            links += [(variables[0], v) for v in variables[1:]]
        for parity in self.spaces.parities:
            roots = [self.root[np.abs(labels)] for labels in parity]
            links += [(roots[0], r) for r in roots[1:]]
        links += [(self.root[np.abs(j.labels)], self.offset + j.shifts) for j in self.spaces.jumps]
        return links

    # --- linear blocks and heads ---

    def blocks(self) -> tuple[Block, ...]:
        """Roots that only linear operations meet, cut by what touches them."""
        free = self._free_roots()
        order = free[np.lexsort((free, self.colour[free]))]
        return tuple(
            Block(block, bool(self.orthogonal[block].any()), bool(self.ones[block].any()))
            for block in chunks(order, self.colour[order])
        )

    def _free_roots(self) -> Array:
        roots = np.unique(self.root[1:])
        roots = roots[~self.nonlinear[roots]]
        counts = np.bincount(self.thread[: self.offset][np.unique(self.root[1:])], minlength=self.size)
        return roots[counts[self.thread[roots]] == 1]

    def bundles(self) -> tuple[Bundles, ...]:
        """Sets of roots that the places of batch axes hold together, where several are alike."""
        if not self.spaces.events:
            return ()
        edges = [(np.arange(self.size), self.thread)]
        edges += [(b.roots[:-1], b.roots[1:]) for b in self.blocks()]
        edges += [(self.size + places, self.root[labels]) for places, labels in self.spaces.events]
        component = components(self.size + self.spaces.place_count, edges)
        touched = np.unique(np.concatenate([self.root[labels] for _, labels in self.spaces.events]))
        held = set(component[touched].tolist())
        members: dict[int, list[int]] = defaultdict(list)
        for r in np.unique(self.root[1:]).tolist():
            if int(component[r]) in held:
                members[int(component[r])].append(r)
        alike: dict[tuple[int, ...], list[list[int]]] = defaultdict(list)
        for roots in members.values():
            if not self.fastened[roots].any():
                roots.sort(key=lambda r: (int(self.coarse[r]), r))
                alike[tuple(int(self.coarse[r]) for r in roots)].append(roots)
        return tuple(Bundles(np.array(sorted(group))) for group in alike.values() if len(group) > 1)

    # --- families of threads ---

    def families(self, stopped: set[int]) -> tuple[list[Family], set[int]]:
        """Families, and the shifts that must stop because a shift downstream of them cannot be absorbed."""
        alike = self._alike(stopped)
        rows = self._rows({int(self.thread[columns[0, 0]]) for columns in alike}, stopped)
        families, forced = [], set()
        for columns in alike:
            family, pivots = self._family(columns, rows[int(self.thread[columns[0, 0]])])
            families.append(family)
            forced |= {int(shift) for column in pivots for shift in -family.columns[:, column]}
        sources: set[int] = set()
        for pending in self.spaces.pendings:
            if not forced.isdisjoint(pending.shifts.tolist()):
                sources |= set(pending.sources.tolist())
        return families, sources

    def _alike(self, stopped: set[int]) -> list[Array]:
        """(n, m) variables of the threads that are alike, each member's in one order."""
        roots = np.setdiff1d(np.unique(self.root[1:]), self._free_roots())
        variables = np.concatenate([roots, np.arange(self.offset + 1, self.size)])
        colour, total = self._variable_colours(), np.zeros(self.size, np.uint64)
        np.add.at(total, self.thread[variables], mixed(colour[variables], 7))

        def mark(at: Array, salt: int) -> None:
            np.add.at(total, self.thread[at], mixed(colour[at], salt))

        for relation in self.spaces.relations:
            terms = self._codes(relation)
            code = np.zeros(len(terms[0][1]), np.uint64)
            for c, variable, sign in terms:
                code += mixed(mixed(colour[variable], hash(c) % 2**31), 11) + mixed(sign + 1, 13)
            np.add.at(total, self.thread[terms[0][1]], mixed(code, 17))
        for salt, flags in enumerate((self.spaces.unscaled, self.spaces.immovable), start=19):
            for labels, _ in flags:
                mark(np.unique(self.root[labels]), salt)
        for shifts in (*(s for s, _ in self.spaces.still), np.array(sorted(stopped), dtype=int)):
            mark(self.offset + shifts, 23)
        for parity in self.spaces.parities:
            code = np.zeros(len(parity[0]), np.uint64)
            for labels in parity:
                code += mixed(colour[self.root[np.abs(labels)]], 29)
            np.add.at(total, self.thread[self.root[np.abs(parity[0])]], mixed(code, 31))
        thread = self.thread[variables]
        order = np.lexsort((variables, colour[variables], thread, total[thread]))
        alike: dict[tuple[int, int], list[Array]] = defaultdict(list)
        for members in chunks(variables[order], thread[order]):
            alike[int(total[self.thread[members[0]]]), len(members)].append(members)
        return [np.stack(sorted(group, key=lambda m: int(np.min(m)))) for group in alike.values()]

    def _variable_colours(self) -> Array:
        """What a root or a shift is: the shifts of one array are alike where the units that they move are."""
        colour = np.zeros(self.size, np.uint64)
        colour[: self.offset] = self.colour
        for k, (labels, shifts) in enumerate(self.spaces.owners):
            owner = np.where(labels == 0, np.uint64(0), self.colour[self.root[np.abs(labels)]])
            colour[self.offset + shifts] += mixed(owner, 5) + mixed(np.full(len(shifts), k), 3)
        return colour

    def _rows(self, threads: set[int], stopped: set[int]) -> dict[int, _Rows]:
        """The equations of the given threads."""
        chosen = np.zeros(self.size, bool)
        chosen[list(threads)] = True
        rows: dict[int, _Rows] = defaultdict(_Rows)

        def among(variables: Array) -> Iterable[tuple[int, int]]:
            owner = self.thread[variables]
            return ((int(i), int(owner[i])) for i in np.flatnonzero(chosen[owner]))

        for relation in self.spaces.relations:
            terms = self._codes(relation)
            for i, thread in among(terms[0][1]):
                row: dict[int, Fraction] = defaultdict(Fraction)
                for c, variable, sign in terms:
                    row[int(variable[i])] += c * int(sign[i])
                rows[thread].linear.append(row)
        zero = [self.root[labels] for labels, _ in self.spaces.unscaled]
        zero += [self.offset + shifts for shifts, _ in self.spaces.still]
        zero += [self.offset + np.array(sorted(stopped), dtype=int)]
        for variables in zero:
            for i, thread in among(variables):
                rows[thread].linear.append({int(variables[i]): Fraction(1)})
        for parity in self.spaces.parities:
            roots = [self.root[np.abs(labels)] for labels in parity]
            for i, thread in among(roots[0]):
                rows[thread].parities.append([int(r[i]) for r in roots])
        for jump in self.spaces.jumps:
            roots, shifts = self.root[np.abs(jump.labels)], self.offset + jump.shifts
            for i, thread in among(roots):
                rows[thread].jumps.append((int(roots[i]), int(shifts[i]), jump.length, jump.turn))
        for period in self.spaces.periods:
            for i, thread in among(self.offset + period.shifts):
                rows[thread].periods.append((int(self.offset + period.shifts[i]), period.length))
        for pending in self.spaces.pendings:
            for i, thread in among(self.offset + pending.shifts):
                rows[thread].pending.append(int(self.offset + pending.shifts[i]))
        return rows

    def _family(self, columns: Array, rows: _Rows) -> tuple[Family, list[int]]:
        """Solve one thread for all that are like it. Also the columns of shifts through weights that must be 0."""
        first = columns[0].tolist()
        given = dict.fromkeys([*rows.pending, *(s for _, s, *_ in rows.jumps), *(s for s, _ in rows.periods)])
        leaf = self.leaf_shifts
        order = sorted(
            first,
            key=lambda v: (v in given, v > self.offset and v - self.offset not in leaf, v > self.offset, -v),
        )
        place = {v: k for k, v in enumerate(first)}
        order = [v for v in order if v not in given] + [v for v in given if v in place]
        column = {v: k for k, v in enumerate(order)}
        matrix = [{column[v]: x for v, x in row.items()} for row in rows.linear]
        vectors = {
            order[free]: {order[k]: x for k, x in vector.items()}
            for free, vector in null_space(matrix, len(order)).items()
        }
        forced = {v for v in given if v not in vectors}
        forced |= {v for v in given if v in vectors and forced & set(vectors[v])}

        def spread(values: dict[int, Fraction]) -> Vector:
            return tuple(values.get(v, Fraction(0)) for v in first)

        signs = [*rows.parities, *([r] for r, s, *_ in rows.jumps if s in forced)]
        jumping = {r for r, *_ in rows.jumps}
        roots = sorted((v for v in first if v < self.offset), key=lambda v: (v in jumping, -v))
        flips = []
        for turned in _sign_space(signs, roots):
            moved = [(place[s], length, turn) for r, s, length, turn in rows.jumps if r in turned]
            turns = any(turn for *_, turn in moved)
            flips.append(
                Flip(tuple(v in turned for v in first), tuple((s, length) for s, length, _ in moved), turns)
            )
        family = Family(
            np.where(columns < self.offset, columns, self.offset - columns),
            tuple(Generator(spread(values)) for v, values in vectors.items() if v not in given),
            tuple(flips),
            tuple((place[s], length) for s, length in rows.periods if s not in forced),
            {place[v]: spread(vectors[v]) for v in given if v not in forced},
            permutable=len(columns) > 1 and bool(roots) and not self.immovable[roots].any(),
        )
        return family, [place[v] for v in rows.pending if v in forced]


@dataclass
class _Rows:
    """The equations of one thread, in variables."""

    linear: list[dict[int, Fraction]] = field(default_factory=list)
    parities: list[list[int]] = field(default_factory=list)
    jumps: list[tuple[int, int, float, bool]] = field(default_factory=list)
    periods: list[tuple[int, float]] = field(default_factory=list)
    pending: list[int] = field(default_factory=list)


def _sign_space(rows: Sequence[Sequence[int]], roots: Sequence[int]) -> list[set[int]]:
    """A basis of the signs that satisfy the rows: for each vector the roots that turn. Elimination over GF(2).

    The first roots are the pivots.
    """
    place = {r: k for k, r in enumerate(roots)}
    reduced: dict[int, set[int]] = {}
    holding: dict[int, set[int]] = defaultdict(set)  # root -> pivots of the rows in which it stands
    for row in rows:
        current: set[int] = set()
        for r in row:
            current ^= {r}
        for pivot in [r for r in current if r in reduced]:
            current ^= reduced[pivot]
        if not current:
            continue
        new = min(current, key=place.__getitem__)
        for pivot in holding.pop(new, set()):
            reduced[pivot] ^= current
            for r in current:
                (holding[r].add if r in reduced[pivot] else holding[r].discard)(pivot)
        reduced[new] = current
        for r in current - {new}:
            holding[r].add(new)
    return [{free, *holding.get(free, ())} for free in roots if free not in reduced]
