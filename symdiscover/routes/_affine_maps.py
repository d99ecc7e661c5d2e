"""Finite groups of affine maps: order, fixed point, and the name they usually have.

A map x -> A x + b of n variables is the (n + 1) x (n + 1) matrix of A and b.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property

import numpy as np
import sympy as sp
from sympy.combinatorics import Permutation, PermutationGroup

#: A group that is not made of signed permutations is taken as infinite beyond so many elements.
ELEMENTS = 400


def affine(matrix: sp.Matrix, centre: Sequence[sp.Expr]) -> sp.ImmutableMatrix:
    """x -> c + A (x - c)."""
    rows = [
        [*row, sp.expand(c - _combination(row, centre)) if any(centre) else 0]
        for row, c in zip(matrix.tolist(), centre, strict=True)
    ]
    return sp.ImmutableMatrix([*rows, [*[0] * matrix.rows, 1]])


def image(matrix: sp.Matrix, variables: Sequence[sp.Expr]) -> tuple[sp.Expr, ...]:
    """A x + b."""
    return tuple(_combination(row[:-1], variables) + row[-1] for row in matrix.tolist()[:-1])


def _combination(row: Sequence[sp.Expr], values: Sequence[sp.Expr]) -> sp.Expr:
    return sp.Add(*[a * value for a, value in zip(row, values, strict=True) if a != 0])


def fixed_point(maps: Sequence[sp.Matrix]) -> tuple[sp.Expr, ...] | None:
    """A point that all the maps leave where it is, with zeros where it is free; None where there is none.

    Examples
    --------
    >>> half_turn = affine(sp.diag(-1, 1), [3, 0])
    >>> fixed_point([half_turn]), fixed_point([half_turn, affine(sp.diag(-1, 1), [4, 0])])
    ((3, 0), None)
    """
    n = maps[0].rows - 1
    unknowns = sp.symbols(f"c1:{n + 1}", cls=sp.Dummy)
    equations = [row for m in maps for row in (m[:n, :n] - sp.eye(n)).row_join(m[:n, n]).tolist() if any(row)]
    if not equations:
        return (sp.Integer(0),) * n
    solutions = sp.linsolve(
        [sp.Add(*[a * c for a, c in zip(row, unknowns, strict=False)], row[n]) for row in equations], unknowns
    )
    if not solutions:
        return None
    (solution,) = solutions
    return tuple(sp.expand(entry.xreplace(dict.fromkeys(unknowns, sp.Integer(0)))) for entry in solution)


def products(maps: Sequence[sp.ImmutableMatrix], limit: int = 16) -> list[sp.ImmutableMatrix]:
    """The identity and products of the maps, the short ones first, up to `limit` of them."""
    listed = [sp.ImmutableMatrix(sp.eye(maps[0].rows))]
    for element in listed:  # the list grows while it is walked
        for matrix in maps:
            product = (matrix * element).applyfunc(sp.expand)
            if product not in listed and len(listed) < limit:
                listed.append(product)
    return listed


class FiniteGroup:
    """The group that affine maps with a common fixed point generate.

    Parameters
    ----------
    maps:
        Exact matrices. Symbolic constants may only stand in the translations.

    Examples
    --------
    >>> swap, flip = sp.Matrix([[0, 1], [1, 0]]), sp.diag(-1, 1)
    >>> group = FiniteGroup([affine(swap, [0, 0]), affine(flip, [0, 0])])
    >>> group.order, group.name
    (8, 'SignedPermutation(2)')
    """

    def __init__(self, maps: Sequence[sp.Matrix]) -> None:
        self.maps = tuple(maps)
        n = maps[0].rows - 1
        self.linear = tuple(sp.ImmutableMatrix(m[:n, :n]) for m in maps)
        self._arrays = [np.array(a.tolist(), dtype=float) for a in self.linear]

    @cached_property
    def signed(self) -> PermutationGroup | None:
        """As permutations of the 2 n points e_i, -e_i; None unless all linear parts permute them."""
        listed = [signed_images(a) for a in self.linear]
        if any(points is None for points in listed):
            return None
        return PermutationGroup([Permutation(points) for points in listed])

    @cached_property
    def elements(self) -> list[np.ndarray] | None:
        """The linear parts of all elements; None beyond `ELEMENTS`."""
        found = {_key(np.eye(len(self._arrays[0]))): np.eye(len(self._arrays[0]))}
        frontier = list(found.values())
        while frontier:
            new = [d @ g for d in self._arrays for g in frontier]
            frontier = []
            for g in new:
                if (key := _key(g)) not in found:
                    found[key] = g
                    frontier.append(g)
                    if len(found) > ELEMENTS:
                        return None
        return list(found.values())

    @property
    def order(self) -> int | None:
        """The number of elements; None where it is not known to be finite."""
        if self.signed is not None:
            return int(self.signed.order())
        return None if self.elements is None else len(self.elements)

    def contains(self, matrix: sp.Matrix) -> bool:
        """Whether a map with the same fixed point is one of the elements, as far as they are known."""
        n = matrix.rows - 1
        linear = matrix[:n, :n]
        points = signed_images(linear)
        if self.signed is not None:
            return points is not None and self.signed.contains(Permutation(points))
        key = _key(np.array(linear.tolist(), dtype=float))
        return self.elements is not None and any(_key(g) == key for g in self.elements)

    @property
    def name(self) -> str:
        """Names of the factors that act on variables of their own, joined by x."""
        names = sorted(
            (_component_name(FiniteGroup(part)) for part in self._components()), key=lambda s: (-len(s), s)
        )
        return " x ".join(names)

    def _components(self) -> list[list[sp.Matrix]]:
        """The generators, apart by the variables that they mix or move."""
        parts: list[tuple[set[int], list[sp.Matrix]]] = []
        for matrix, a in zip(self.maps, self.linear, strict=True):
            n = a.rows
            unit = sp.eye(n)
            support = {k for i in range(n) for j in range(n) if a[i, j] != unit[i, j] for k in (i, j)}
            maps = [matrix]
            apart = []
            for other, listed in parts:
                if other & support:
                    support, maps = support | other, listed + maps
                else:
                    apart.append((other, listed))
            parts = [*apart, (support, maps)]
        return [maps for _, maps in parts]


def signed_images(matrix: sp.Matrix) -> list[int] | None:
    """The image of each point: e_i is i, -e_i is n + i. None where the matrix is no signed permutation."""
    n = matrix.rows
    points = []
    for j in range(n):
        entries = [(i, matrix[i, j]) for i in range(n) if matrix[i, j] != 0]
        if len(entries) != 1 or entries[0][1] not in (1, -1):
            return None
        i, sign = entries[0]
        points.append(i if sign == 1 else n + i)
    if len({point % n for point in points}) < n:
        return None
    return [*points, *[(point + n) % (2 * n) for point in points]]


def _component_name(group: FiniteGroup) -> str:
    if group.order is None:
        return f"discrete group of {len(group.maps)} generators"
    if group.signed is not None and (name := _permuting_name(group, group.signed)):
        return name
    orders = element_orders(group)
    if orders is None:
        return f"finite group of order {group.order}"
    if set(orders) <= {1, 2}:
        return " x ".join(["Z2"] * (group.order.bit_length() - 1))
    if orders[group.order]:
        return f"Z{group.order}"
    half = group.order // 2
    # A group of order 2 k with an element of order k and an involution outside of each of its powers is dihedral.
    involutions = half + (1 if half % 2 == 0 else 0)
    if group.order % 2 == 0 and orders[half] and orders[2] == involutions:
        return f"D{half}"
    return f"finite group of order {group.order}"


def _permuting_name(group: FiniteGroup, points: PermutationGroup) -> str:
    """Permutation(k) or SignedPermutation(k), if the group acts faithfully, and in every such way, on k variables.

    Those k may stand for blocks of variables that move together.
    """
    n = group.linear[0].rows
    pure = not any(entry < 0 for a in group.linear for entry in a) and not any(
        e for m in group.maps for e in m[:n, n]
    )
    for orbit in points.orbits():
        variables = sorted({point % n for point in orbit})
        k = len(variables)
        if k < 2:
            continue
        places = [*variables, *[n + i for i in variables]]
        index = {point: place for place, point in enumerate(places)}
        restricted = PermutationGroup(
            [Permutation([index[p.array_form[q]] for q in places]) for p in points.generators]
        )
        if restricted.order() != points.order():
            continue
        if points.order() == math.factorial(k) and len(orbit) == k:
            return f"Permutation({k})" if pure or k > 2 else "Z2"
        if points.order() == 2**k * math.factorial(k):
            return f"SignedPermutation({k})"
    return ""


def element_orders(group: FiniteGroup) -> Counter[int] | None:
    """How many elements have which order; None where there are too many."""
    if group.elements is None:
        return None
    unit = _key(np.eye(group.linear[0].rows))
    orders: Counter[int] = Counter()
    for g in group.elements:
        power, order = g, 1
        while _key(power) != unit:
            power, order = power @ g, order + 1
        orders[order] += 1
    return orders


def _key(matrix: np.ndarray) -> tuple[int, ...]:
    return tuple(np.round(matrix * 1e6).astype(np.int64).ravel().tolist())


def lattice_basis(vectors: Iterable[Sequence[int]]) -> list[list[int]]:
    """A basis of the lattice that integer vectors span, in echelon form.

    Examples
    --------
    >>> lattice_basis([(2, 0), (0, 2), (1, 1)])
    [[1, 1], [0, 2]]
    """
    rows = [list(v) for v in vectors if any(v)]
    basis = []
    for column in range(len(rows[0]) if rows else 0):
        while len(active := [row for row in rows if row[column]]) > 1:
            pivot = min(active, key=lambda row: abs(row[column]))
            rows = [
                r
                if r is pivot
                else [a - r[column] // pivot[column] * b for a, b in zip(r, pivot, strict=True)]
                for r in rows
            ]
            rows = [row for row in rows if any(row)]
        if active:
            rows.remove(active[0])
            basis.append(active[0] if active[0][column] > 0 else [-a for a in active[0]])
    return basis
