"""The exact solvers beneath the layer graph, against SymPy and by enumeration."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import numpy as np
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from symdiscover.network.solution import _sign_space
from symdiscover.network.spaces import components, null_space

ENTRIES = st.lists(st.lists(st.integers(-2, 2), min_size=5, max_size=5), max_size=6)


@settings(max_examples=60)
@given(ENTRIES)
def test_null_spaces_are_those_of_sympy(rows) -> None:
    sparse = [{k: Fraction(x) for k, x in enumerate(row) if x} for row in rows]
    basis = null_space(sparse, 5)
    assert len(basis) == 5 - (sp.Matrix(rows).rank() if rows else 0)
    for free, vector in basis.items():
        assert vector[free] == 1 and not (vector.keys() & basis.keys()) - {free}
        for row in rows:
            assert sum(x * vector.get(k, 0) for k, x in enumerate(row)) == 0


@settings(max_examples=60)
@given(st.lists(st.lists(st.integers(1, 5), max_size=4), max_size=6))
def test_sign_spaces_hold_every_solution(rows) -> None:
    roots = [3, 1, 5, 2, 4]
    basis = _sign_space(rows, roots)
    spanned = set()
    for chosen in product((0, 1), repeat=len(basis)):
        turned: set[int] = set()
        for use, vector in zip(chosen, basis, strict=True):
            turned ^= vector if use else set()
        spanned.add(frozenset(turned))
    solutions = {
        frozenset(r for r, on in zip(roots, signs, strict=True) if on)
        for signs in product((0, 1), repeat=5)
        if all(sum(dict(zip(roots, signs, strict=True))[r] for r in row) % 2 == 0 for row in rows)
    }
    assert spanned == solutions and len(spanned) == 2 ** len(basis)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=12))
def test_components_are_those_of_a_graph(edges) -> None:
    import networkx as nx

    graph = nx.Graph(edges)
    graph.add_nodes_from(range(10))
    wanted = {k: min(part) for part in nx.connected_components(graph) for k in part}
    a, b = (np.array(ends, dtype=int) for ends in (zip(*edges, strict=True) if edges else ((), ())))
    assert components(10, [(a, b)]).tolist() == [wanted[k] for k in range(10)]
