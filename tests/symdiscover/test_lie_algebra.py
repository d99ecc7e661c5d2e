"""Structure constants, invariants and names of Lie algebras against definitions and other constructions."""

from __future__ import annotations

import itertools
import pickle
import time
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import sympy as sp
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sympy.polys.matrices import DomainMatrix

from symdiscover.errors import SymmetryError
from symdiscover.exact_linear import Field, Span, Undecided, kernel, signature
from symdiscover.group import GL, SO, O
from symdiscover.lie_algebra import LieAlgebra, affine_matrix, bracket, orbit_dimension
from symdiscover.lie_name import _cartan, _semisimple, real_forms, split_casimir_roots

x, y, z = sp.symbols("x y z", real=True)
a, b, c = sp.symbols("a b c", positive=True)

quick = settings(derandomize=True, deadline=None, database=None, max_examples=25)


# Constructions of algebras, by their definitions


def unit(n: int, i: int, j: int) -> sp.Matrix:
    matrix = sp.zeros(n, n)
    matrix[i, j] = 1
    return matrix


def sl(n: int) -> list[sp.Matrix]:
    off = [unit(n, i, j) for i in range(n) for j in range(n) if i != j]
    return off + [unit(n, i, i) - unit(n, i + 1, i + 1) for i in range(n - 1)]


def translations(n: int) -> list[sp.Matrix]:
    return [affine_matrix(sp.zeros(n, n), [int(i == j) for j in range(n)]) for i in range(n)]


def with_translations(linear: Sequence[sp.Matrix]) -> list[sp.Matrix]:
    n = linear[0].rows
    return [affine_matrix(matrix, [0] * n) for matrix in linear] + translations(n)


def heisenberg(m: int) -> list[sp.Matrix]:
    n = m + 2
    return (
        [unit(n, 0, i) for i in range(1, m + 1)]
        + [unit(n, i, n - 1) for i in range(1, m + 1)]
        + [unit(n, 0, n - 1)]
    )


def real(matrix: sp.Matrix) -> sp.Matrix:
    """A + i B as the real matrix ((A, -B), (B, A))."""
    re, im = matrix.applyfunc(sp.re), matrix.applyfunc(sp.im)
    return sp.Matrix(sp.BlockMatrix([[re, -im], [im, re]]))


def su(p: int, q: int) -> list[sp.Matrix]:
    n, h = p + q, [1] * p + [-1] * q
    found = [sp.I * (unit(n, j, j) - unit(n, j + 1, j + 1)) for j in range(n - 1)]
    for j, k in itertools.combinations(range(n), 2):
        found.append(unit(n, j, k) - h[j] * h[k] * unit(n, k, j))
        found.append(sp.I * (unit(n, j, k) + h[j] * h[k] * unit(n, k, j)))
    return [real(matrix) for matrix in found]


def sp_split(n: int) -> list[sp.Matrix]:
    found = [unit(2 * n, i, j) - unit(2 * n, n + j, n + i) for i in range(n) for j in range(n)]
    for i, j in itertools.combinations_with_replacement(range(n), 2):
        s = unit(n, i, j) + unit(n, j, i)
        for row, column in ((0, n), (n, 0)):
            matrix = sp.zeros(2 * n, 2 * n)
            matrix[row : row + n, column : column + n] = s
            found.append(matrix)
    return found


def sp_compact(n: int) -> list[sp.Matrix]:
    """((A, -conj B), (B, conj A)) with A skew-hermitian and B complex symmetric."""
    blocks = []
    for j, k in itertools.combinations_with_replacement(range(n), 2):
        symmetric = unit(n, j, k) + unit(n, k, j)
        blocks += [(sp.I * symmetric, sp.zeros(n)), (sp.zeros(n), symmetric), (sp.zeros(n), sp.I * symmetric)]
        if j != k:
            blocks.append((unit(n, j, k) - unit(n, k, j), sp.zeros(n)))
    return [real(sp.Matrix(sp.BlockMatrix([[A, -B.conjugate()], [B, A.conjugate()]]))) for A, B in blocks]


def derivations_of_octonions(split: bool) -> list[sp.Matrix]:
    """D with D(uv) = D(u) v + u D(v), by Cayley-Dickson doubling; (uv)_k = sum m_ijk u_i v_j."""

    def conjugate(u: list) -> list:
        return [u[0], *(-e for e in u[1:])]

    def product(u: list, v: list, signs: tuple[int, ...]) -> list:
        if len(u) == 1:
            return [u[0] * v[0]]
        half = len(u) // 2
        (p, q), (r, s) = (u[:half], u[half:]), (v[:half], v[half:])
        inner = signs[:-1]
        first = [
            f + signs[-1] * g
            for f, g in zip(product(p, r, inner), product(conjugate(s), q, inner), strict=True)
        ]
        second = [f + g for f, g in zip(product(s, p, inner), product(q, conjugate(r), inner), strict=True)]
        return first + second

    units = [[int(i == j) for j in range(8)] for i in range(8)]
    m = [[product(u, v, (-1, -1, 1 if split else -1)) for v in units] for u in units]
    equations = []
    for i, j, k in itertools.product(range(8), repeat=3):
        row: Counter[int] = Counter()
        for l in range(8):  # D_kl m_ijl - D_li m_ljk - D_lj m_ilk = 0
            row[8 * k + l] += m[i][j][l]
            row[8 * l + i] -= m[l][j][k]
            row[8 * l + j] -= m[i][l][k]
        equations.append({index: sp.QQ(value) for index, value in row.items() if value})
    solutions = kernel(Field.of([]), equations, 64)
    return [sp.Matrix(8, 8, lambda i, j, s=s: sp.Rational(str(s.get(8 * i + j, 0)))) for s in solutions]


def direct_sum(*parts: Sequence[sp.Matrix]) -> list[sp.Matrix]:
    found = []
    for index, part in enumerate(parts):
        for matrix in part:
            blocks = [sp.zeros(*other[0].shape) for other in parts]
            blocks[index] = matrix
            found.append(sp.diag(*blocks))
    return found


def line(A: sp.Matrix) -> list[sp.Matrix]:
    """R acting on R^n by A."""
    return [affine_matrix(A, [0] * A.rows), *translations(A.rows)]


def tensor(algebra: LieAlgebra, modulus: sp.Poly) -> LieAlgebra:
    """g (x) Q[t] / (f): the extension of scalars seen over Q."""
    n, d, t = algebra.dimension, modulus.degree(), modulus.gen
    powers = [sp.Poly(sp.rem(t**k, modulus.as_expr(), t), t) for k in range(2 * d - 1)]
    size = n * d
    structure = [[[sp.Integer(0)] * size for _ in range(size)] for _ in range(size)]
    for i, j, k in itertools.product(range(n), repeat=3):
        for p, q, r in itertools.product(range(d), repeat=3):
            structure[i * d + p][j * d + q][k * d + r] += algebra.structure[i][j][k] * powers[
                p + q
            ].coeff_monomial(t**r)
    return LieAlgebra.from_structure(structure)


def metric(*diagonal: sp.Expr) -> list[sp.Matrix]:
    """The matrices X with X^T F + F X = 0, F diagonal."""
    n = len(diagonal)
    pairs = itertools.combinations(range(n), 2)
    return [unit(n, j, i) / diagonal[j] - unit(n, i, j) / diagonal[i] for i, j in pairs]


M = sp.Matrix
PLANE = with_translations([M([[0, -1], [1, 0]])])
AFF1 = with_translations([sp.eye(1)])

#: Name, construction, Killing signature, derived series, dimensions of centre and radical.
KNOWN: list[tuple[str, Callable[[], list[sp.Matrix]], tuple[int, int, int], tuple[int, ...], int, int]] = [
    ("R", lambda: list(SO(2).basis), (0, 0, 1), (1, 0), 1, 1),
    ("R^3", lambda: translations(3), (0, 0, 3), (3, 0), 3, 3),
    ("aff(1)", lambda: AFF1, (1, 0, 1), (2, 1, 0), 0, 2),
    ("h_3", lambda: heisenberg(1), (0, 0, 3), (3, 1, 0), 1, 3),
    ("aff(1)+R", lambda: direct_sum(AFF1, [sp.eye(1)]), (1, 0, 2), (3, 1, 0), 1, 3),
    ("se(2)", lambda: PLANE, (0, 1, 2), (3, 2, 0), 0, 3),
    ("e(1,1)", lambda: with_translations(O(1, 1).basis), (1, 0, 2), (3, 2, 0), 0, 3),
    ("Bianchi V", lambda: line(sp.eye(2)), (1, 0, 2), (3, 2, 0), 0, 3),
    ("Bianchi IV", lambda: line(M([[1, 1], [0, 1]])), (1, 0, 2), (3, 2, 0), 0, 3),
    ("Bianchi VI(-9)", lambda: line(sp.diag(1, 2)), (1, 0, 2), (3, 2, 0), 0, 3),
    ("Bianchi VI(-1/9)", lambda: line(sp.diag(2, -1)), (1, 0, 2), (3, 2, 0), 0, 3),
    ("Bianchi VII(1/4)", lambda: line(M([[1, -2], [2, 1]])), (0, 1, 2), (3, 2, 0), 0, 3),
    ("so(3)", lambda: list(SO(3).basis), (0, 3, 0), (3,), 0, 0),
    ("sl(2,R)", lambda: sl(2), (2, 1, 0), (3,), 0, 0),
    ("gl(2,R)", lambda: list(GL(2).basis), (2, 1, 1), (4, 3), 1, 1),
    ("so(3)+R", lambda: direct_sum(SO(3).basis, [sp.eye(1)]), (0, 3, 1), (4, 3), 1, 1),
    ("h_3+R", lambda: direct_sum(heisenberg(1), [sp.eye(1)]), (0, 0, 4), (4, 1, 0), 2, 4),
    ("se(2)+R", lambda: direct_sum(PLANE, [sp.eye(1)]), (0, 1, 3), (4, 2, 0), 1, 4),
    ("aff(1)+aff(1)", lambda: direct_sum(AFF1, AFF1), (2, 0, 2), (4, 2, 0), 0, 4),
    ("sim(2)", lambda: with_translations([sp.eye(2), *SO(2).basis]), (1, 1, 2), (4, 2, 0), 0, 4),
    ("h_5", lambda: heisenberg(2), (0, 0, 5), (5, 1, 0), 1, 5),
    ("so(3)+aff(1)", lambda: direct_sum(SO(3).basis, AFF1), (1, 3, 1), (5, 4, 3), 0, 2),
    ("saff(2)", lambda: with_translations(sl(2)), (2, 1, 2), (5,), 0, 2),
    ("aff(2)", lambda: with_translations(GL(2).basis), (3, 1, 2), (6, 5), 0, 3),
    ("so(4)", lambda: list(SO(4).basis), (0, 6, 0), (6,), 0, 0),
    ("so(2,2)", lambda: list(O(2, 2).basis), (4, 2, 0), (6,), 0, 0),
    ("so(3,1)", lambda: list(O(3, 1).basis), (3, 3, 0), (6,), 0, 0),
    ("sl(2,R)+so(3)", lambda: direct_sum(sl(2), SO(3).basis), (2, 4, 0), (6,), 0, 0),
    ("se(3)", lambda: with_translations(SO(3).basis), (0, 3, 3), (6,), 0, 3),
    ("e(2,1)", lambda: with_translations(O(2, 1).basis), (2, 1, 3), (6,), 0, 3),
    ("h_3+h_3", lambda: direct_sum(heisenberg(1), heisenberg(1)), (0, 0, 6), (6, 2, 0), 2, 6),
    ("sim(3)", lambda: with_translations([sp.eye(3), *SO(3).basis]), (1, 3, 3), (7, 6), 0, 4),
    ("sim(2,1)", lambda: with_translations([sp.eye(3), *O(2, 1).basis]), (3, 1, 3), (7, 6), 0, 4),
    ("se(2)+sl(2,R)+R", lambda: direct_sum(PLANE, GL(2).basis), (2, 2, 3), (7, 5, 3), 1, 4),
    ("su(3)", lambda: su(3, 0), (0, 8, 0), (8,), 0, 0),
    ("su(2,1)", lambda: su(2, 1), (4, 4, 0), (8,), 0, 0),
    ("sl(3,R)", lambda: sl(3), (5, 3, 0), (8,), 0, 0),
    ("gl(3,R)", lambda: list(GL(3).basis), (5, 3, 1), (9, 8), 1, 1),
    ("so(3)+so(3)+so(3)", lambda: direct_sum(*[SO(3).basis] * 3), (0, 9, 0), (9,), 0, 0),
    ("so(5)", lambda: list(SO(5).basis), (0, 10, 0), (10,), 0, 0),
    ("so(4,1)", lambda: list(O(4, 1).basis), (4, 6, 0), (10,), 0, 0),
    ("so(3,2)", lambda: sp_split(2), (6, 4, 0), (10,), 0, 0),
    ("se(4)", lambda: with_translations(SO(4).basis), (0, 6, 4), (10,), 0, 4),
    ("e(3,1)", lambda: with_translations(O(3, 1).basis), (3, 3, 4), (10,), 0, 4),
    ("e(2,2)", lambda: with_translations(O(2, 2).basis), (4, 2, 4), (10,), 0, 4),
    ("saff(3)", lambda: with_translations(sl(3)), (5, 3, 3), (11,), 0, 3),
    ("aff(3)", lambda: with_translations(GL(3).basis), (6, 3, 3), (12, 11), 0, 4),
    ("g_2", lambda: derivations_of_octonions(split=False), (0, 14, 0), (14,), 0, 0),
    ("g_2(2)", lambda: derivations_of_octonions(split=True), (8, 6, 0), (14,), 0, 0),
    ("so(6)", lambda: list(SO(6).basis), (0, 15, 0), (15,), 0, 0),
    ("so(5,1)", lambda: list(O(5, 1).basis), (5, 10, 0), (15,), 0, 0),
    ("so(4,2)", lambda: su(2, 2), (8, 7, 0), (15,), 0, 0),
    ("su(3,1)", lambda: su(3, 1), (6, 9, 0), (15,), 0, 0),
    ("sl(4,R)", lambda: list(O(3, 3).basis), (9, 6, 0), (15,), 0, 0),
    ("sl(3,C)", lambda: [real(f * m) for m in sl(3) for f in (1, sp.I)], (8, 8, 0), (16,), 0, 0),
    ("so(7)", lambda: list(SO(7).basis), (0, 21, 0), (21,), 0, 0),
    ("sp(3)", lambda: sp_compact(3), (0, 21, 0), (21,), 0, 0),
    ("so(4,3)", lambda: list(O(4, 3).basis), (12, 9, 0), (21,), 0, 0),
    ("sp(6,R)", lambda: sp_split(3), (12, 9, 0), (21,), 0, 0),
]  # fmt: skip
SMALL = [row for row in KNOWN if sum(row[2]) <= 6]  # the Killing form has an eigenvalue for each dimension

#: Algebras without a name of their own: naming one of them would be wrong.
NAMELESS = {
    "Engel": lambda: [unit(4, 0, 1) + unit(4, 1, 2) + unit(4, 2, 3), *(unit(4, i, 3) for i in range(3))],
    "dilations of R^3": lambda: line(sp.eye(3)),
    "spiral se(3)": lambda: line(sp.diag(1, M([[1, -1], [1, 1]]))),
    "triangular 3x3": lambda: [unit(3, i, j) for i in range(3) for j in range(i, 3)],
    "parabolic": lambda: with_translations([unit(2, 0, 0), unit(2, 0, 1), unit(2, 1, 1)]),
    "so(3) on R^3 + R^3": lambda: [
        *(affine_matrix(sp.diag(m, m), [0] * 6) for m in SO(3).basis),
        *translations(6),
    ],
    "symmetries of x^2 + y^2 in space": lambda: [
        *(
            affine_matrix(m, [0] * 3)
            for m in (unit(3, 1, 0) - unit(3, 0, 1), unit(3, 2, 0), unit(3, 2, 1), unit(3, 2, 2))
        ),
        translations(3)[2],
    ],
    "oscillator": lambda: [
        M([[0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 0]]),
        M([[0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]]),
        M([[0, 0, 1, 0], [0, 0, 0, -1], [0, 0, 0, 0], [0, 0, 0, 0]]),
        unit(4, 0, 3),
    ],
}


# Names and invariants


@pytest.mark.parametrize("row", KNOWN, ids=[row[0] for row in KNOWN])
def test_known_algebras_have_their_name_and_invariants(row) -> None:
    name, build, killing, derived, centre, radical = row
    algebra = LieAlgebra.from_matrices(build())
    assert algebra.name == name
    assert algebra.killing_signature == killing
    assert algebra.derived_series == derived
    assert len(algebra.centre) == centre
    assert len(algebra.radical) == radical
    assert algebra.is_semisimple == (radical == 0)
    assert algebra.is_solvable == (derived[-1] == 0) == (radical == algebra.dimension)


def test_no_two_algebras_of_the_catalogue_share_a_name() -> None:
    """Twin: what is not isomorphic must not be called the same, by aliases either."""
    algebras = [LieAlgebra.from_matrices(build()) for _, build, *_ in SMALL]
    counts = Counter(itertools.chain.from_iterable({g.name, *g.aliases} for g in algebras))
    assert not [name for name, count in counts.items() if count > 1]


@pytest.mark.parametrize("build", NAMELESS.values(), ids=NAMELESS)
def test_what_has_no_standard_name_gets_none(build) -> None:
    assert LieAlgebra.from_matrices(build()).name == ""


def test_small_algebras_are_told_apart() -> None:
    so3, sl2 = LieAlgebra.from_matrices(SO(3).basis), LieAlgebra.from_matrices(O(2, 1).basis)
    assert (so3.name, sl2.name) == ("so(3)", "sl(2,R)")
    assert "so(2,1)" in sl2.aliases and "sl(2,R)" not in so3.aliases
    nilpotent = [
        LieAlgebra.from_matrices(basis)
        for basis in (heisenberg(1), translations(3), direct_sum(AFF1, [sp.eye(1)]))
    ]
    assert [g.is_nilpotent for g in nilpotent] == [True, True, False]
    assert [g.is_abelian for g in nilpotent] == [False, True, False]
    assert [g.lower_central_series for g in nilpotent] == [(3, 1, 0), (3, 0), (3, 1)]


@pytest.mark.parametrize(
    ("name", "alias"),
    [
        ("so(4)", "so(3)+so(3)"),
        ("so(2,2)", "sl(2,R)+sl(2,R)"),
        ("so(3,1)", "sl(2,C)"),
        ("so(5)", "sp(2)"),
        ("so(3,2)", "sp(4,R)"),
        ("sl(4,R)", "so(3,3)"),
        ("so(4,2)", "su(2,2)"),
        ("so(5,1)", "sl(2,H)"),
        ("su(3,1)", "so*(6)"),
        ("so(3)+R", "u(2)"),
        ("e(3,1)", "Poincaré"),
    ],
)
def test_isomorphic_algebras_have_one_name(name, alias) -> None:
    build = next(row[1] for row in KNOWN if row[0] == name)
    assert alias in LieAlgebra.from_matrices(build()).aliases
    other = next(row[1] for row in KNOWN if row[0] not in (name, alias))
    assert alias not in LieAlgebra.from_matrices(other()).aliases


t = sp.Symbol("t")


@pytest.mark.parametrize(
    ("base", "modulus", "name"),
    [
        (SO(3).basis, t**2 - 1, "so(4)"),
        (SO(3).basis, t**2 - 2, "so(4)"),
        (SO(3).basis, t**2 + 1, "so(3,1)"),
        (SO(3).basis, t**2, "se(3)"),
        (SO(3).basis, t**3 - 3 * t + 1, "so(3)+so(3)+so(3)"),
        (SO(3).basis, t**3 - 2, "so(3,1)+so(3)"),
        (sl(2), t**2 - 2, "so(2,2)"),
        (sl(2), t**2 + 1, "so(3,1)"),
        (sl(2), t**2, "e(2,1)"),
        (AFF1, t**2 - 2, "aff(1)+aff(1)"),
        (AFF1, t**2 + 1, "sim(2)"),
        (AFF1, t**2, ""),
        (sl(3), t**2 - 2, "sl(3,R)+sl(3,R)"),
        (sl(3), t**2 + 1, "sl(3,C)"),
    ],
)
def test_summands_over_the_reals_that_the_rationals_do_not_show(base, modulus, name) -> None:
    """g (x) Q[t]/(f) is, over R, g once for each real root of f and its complexification for each pair."""
    assert tensor(LieAlgebra.from_matrices(base), sp.Poly(modulus, t)).name == name


def test_an_algebra_whose_centroid_is_no_field_is_not_taken_for_one() -> None:
    """What follows for summands conjugate to each other does not follow for any others."""
    for modulus, expected in ((t**2 - 2, ["so(3)", "so(3)"]), (t**2 - 1, None)):
        core = tensor(LieAlgebra.from_matrices(SO(3).basis), sp.Poly(modulus, t))._core
        found = _semisimple(core, core.centroid(), 0)
        assert (found and [summand.names[0] for summand in found]) == expected


def in_other_basis(algebra: LieAlgebra, entries: Sequence[int]) -> LieAlgebra:
    n = algebra.dimension
    draw = itertools.cycle(entries)
    lower = sp.Matrix(n, n, lambda i, j: next(draw) if i > j else int(i == j))
    upper = sp.Matrix(n, n, lambda i, j: next(draw) if i < j else int(i == j))
    return algebra.change_basis(lower * upper)


@quick
@given(st.sampled_from(SMALL), st.lists(st.integers(-3, 3), min_size=7, max_size=31))
def test_invariants_and_name_do_not_depend_on_the_basis(row, entries) -> None:
    algebra = LieAlgebra.from_matrices(row[1]())
    other = in_other_basis(algebra, entries)
    for invariant in ("name", "aliases", "killing_signature", "derived_series", "lower_central_series"):
        assert getattr(other, invariant) == getattr(algebra, invariant)
    assert len(other.centre) == len(algebra.centre)


@pytest.mark.parametrize("name", ["gl(3,R)", "so(5)", "se(4)", "aff(3)"])
def test_large_algebras_keep_their_name_in_a_dense_basis(name) -> None:
    algebra = LieAlgebra.from_matrices(next(row[1] for row in KNOWN if row[0] == name)())
    assert in_other_basis(algebra, [1, -2, 0, 3, -1, 1, 2]).name == name


@pytest.mark.parametrize("name", ["so(4)", "sl(2,R)", "se(2)", "h_3+R"])
def test_an_irrational_basis_keeps_the_name(name) -> None:
    algebra = LieAlgebra.from_matrices(next(row[1] for row in KNOWN if row[0] == name)())
    assert in_other_basis(algebra, [sp.sqrt(2), 1, 0, -sp.sqrt(2) / 2, 1]).name == name


@pytest.mark.parametrize("build", NAMELESS.values(), ids=NAMELESS)
def test_no_basis_makes_a_nameless_algebra_look_like_another(build) -> None:
    algebra = LieAlgebra.from_matrices(build())
    assert in_other_basis(algebra, [2, -1, 1, 0, -3, 1, 1]).name == ""


def bianchi(A: sp.Matrix) -> str:
    """The name of R acting on R^2 by A, from the eigenvalues of A."""
    roots = [
        root
        for root, multiplicity in sp.roots(A.charpoly(t).as_expr(), t).items()
        for _ in range(multiplicity)
    ]
    p, q = roots
    if sp.expand(p + q) == 0:
        return "e(1,1)" if p.is_real else "se(2)"
    if p == q:
        return "Bianchi V" if A.is_diagonal() else "Bianchi IV"
    h = sp.nsimplify(sp.expand(-((p + q) ** 2)) / sp.expand((p - q) ** 2))
    return f"Bianchi {'VI' if p.is_real else 'VII'}({h})"


@quick
@given(st.lists(st.integers(-3, 3), min_size=4, max_size=4), st.sampled_from([1, -2, sp.Rational(1, 3)]))
def test_solvable_algebras_of_dimension_three_follow_the_eigenvalues(entries, scale) -> None:
    A = sp.Matrix(2, 2, entries)
    assume(A.det() != 0)
    assert LieAlgebra.from_matrices(line(scale * A)).name == bianchi(A)


def test_a_plane_with_a_singular_action_is_not_given_a_bianchi_number() -> None:
    assert LieAlgebra.from_matrices(line(sp.diag(1, 0))).name == "aff(1)+R"
    assert LieAlgebra.from_matrices(line(unit(2, 0, 1))).name == "h_3"


# Structure constants


def closure(matrices: Sequence[sp.Matrix], limit: int = 9) -> list[sp.Matrix]:
    """A basis of the algebra that the matrices generate, by SymPy's own rank."""
    basis: list[sp.Matrix] = []
    queue = list(matrices)
    while queue and len(basis) < limit:
        new = queue.pop(0)
        if sp.Matrix([list(m) for m in [*basis, new]]).rank() > len(basis):
            queue += [new * m - m * new for m in basis]
            basis.append(new)
    return basis


triangular = st.lists(st.integers(-2, 2), min_size=6, max_size=6).map(
    lambda e: sp.Matrix([[e[0], e[1], e[2]], [0, e[3], e[4]], [0, 0, e[5]]])
)
dense = st.lists(st.integers(-2, 2), min_size=4, max_size=4).map(lambda e: sp.Matrix(2, 2, e))


@quick
@given(st.one_of(st.lists(triangular, min_size=2, max_size=3), st.lists(dense, min_size=2, max_size=3)))
def test_random_algebras_satisfy_the_definitions(generators) -> None:
    basis = closure(generators)
    assume(basis)
    algebra = LieAlgebra.from_matrices(basis)
    n, C = algebra.dimension, algebra.structure
    for i, j in itertools.product(range(n), repeat=2):
        combination = sum((C[i][j][k] * basis[k] for k in range(n)), sp.zeros(*basis[0].shape))
        assert combination == basis[i] * basis[j] - basis[j] * basis[i]
        assert all(C[i][j][k] == -C[j][i][k] for k in range(n))
    # ad is a representation exactly when the Jacobi identity holds.
    ad = [sp.Matrix(n, n, lambda k, j, i=i: C[i][j][k]) for i in range(n)]
    for i, j in itertools.product(range(n), repeat=2):
        assert ad[i] * ad[j] - ad[j] * ad[i] == sum((C[i][j][k] * ad[k] for k in range(n)), sp.zeros(n, n))
    killing = sp.Matrix(n, n, lambda i, j: (ad[i] * ad[j]).trace())
    assert algebra.killing_form == killing
    for m in ad:  # K([u, v], w) + K(v, [u, w]) = 0
        assert (m.T * killing + killing * m).is_zero_matrix
    stacked = sp.Matrix.vstack(*ad) if n else sp.Matrix()
    assert len(algebra.centre) == n - stacked.rank()
    assert all((stacked * sp.Matrix(v)).is_zero_matrix for v in algebra.centre)
    assert LieAlgebra.from_structure(C) == algebra


@quick
@given(st.lists(triangular, min_size=2, max_size=3))
def test_the_centroid_is_the_solution_of_its_definition(generators) -> None:
    basis = closure(generators, limit=6)
    assume(basis)
    algebra = LieAlgebra.from_matrices(basis)
    n, C = algebra.dimension, algebra.structure
    equations = []  # component k of T [e_i, e_j] - [e_i, T e_j], linear in the entries T_rs
    for i, j, k in itertools.product(range(n), repeat=3):
        row = [sp.Integer(0)] * (n * n)
        for l in range(n):
            row[n * k + l] += C[i][j][l]
            row[n * l + j] -= C[i][l][k]
        equations.append(row)
    system = sp.Matrix(equations)
    found = algebra._core.centroid()
    assert len(found) == n * n - DomainMatrix.from_Matrix(system).to_field().rank()
    for columns in found:
        entries = [sp.Rational(str(columns[s].get(r, 0))) for r in range(n) for s in range(n)]
        assert (system * sp.Matrix(entries)).is_zero_matrix


def test_broken_structure_constants_are_refused() -> None:
    good = [
        [[0, 0, 0], [0, 0, 1], [0, -1, 0]],
        [[0, 0, -1], [0, 0, 0], [1, 0, 0]],
        [[0, 1, 0], [-1, 0, 0], [0, 0, 0]],
    ]
    assert LieAlgebra.from_structure(good).name == "so(3)"
    lopsided = [[list(row) for row in plane] for plane in good]
    lopsided[0][1][2] = 2
    with pytest.raises(SymmetryError, match="antisymmetric"):
        LieAlgebra.from_structure(lopsided)
    with pytest.raises(SymmetryError, match="Jacobi identity fails on e1, e2, e3"):
        LieAlgebra(("e1", "e2", "e3"), ((0, 1, 1, sp.Integer(1)), (1, 2, 2, sp.Integer(1))))
    with pytest.raises(SymmetryError, match="given twice"):
        LieAlgebra(("e1", "e2"), ((0, 1, 1, sp.Integer(1)), (0, 1, 1, sp.Integer(2))))
    with pytest.raises(SymmetryError, match="i < j"):
        LieAlgebra(("e1", "e2"), ((1, 0, 1, sp.Integer(1)),))
    with pytest.raises(SymmetryError, match="2 x 2 x 2"):
        LieAlgebra.from_structure([[[0, 0]], [[0, 0]]])


def test_a_basis_that_is_not_closed_is_refused_with_the_bracket_that_leaves() -> None:
    raising, lowering = unit(2, 0, 1), unit(2, 1, 0)
    with pytest.raises(SymmetryError, match=r"not closed: \[up, down\] = \[\[1, 0\], \[0, -1\]\]"):
        LieAlgebra.from_matrices([raising, lowering], names=("up", "down"))
    assert LieAlgebra.from_matrices([raising, lowering, sp.diag(1, -1)]).name == "sl(2,R)"
    with pytest.raises(SymmetryError, match=r"\[e1, e2\] = \(2\*x\*y, 0\)"):
        LieAlgebra.from_fields([(1, 0), (x**2 * y, 0)], (x, y))


def test_a_dependent_basis_is_refused() -> None:
    with pytest.raises(SymmetryError, match=r"dependent: e3 = 2\*e1 - e2"):
        LieAlgebra.from_matrices([sp.diag(1, 0), sp.diag(0, 1), sp.diag(2, -1)])
    with pytest.raises(SymmetryError, match="dependent"):
        LieAlgebra.from_fields([(x, y), (-x, -y)], (x, y))
    assert LieAlgebra.from_fields([(x, y), (x, -y)], (x, y)).name == "R^2"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: LieAlgebra.from_matrices([]), "at least one"),
        (lambda: LieAlgebra.from_matrices([sp.Matrix([[0, 1]])]), "square"),
        (lambda: LieAlgebra.from_matrices([sp.eye(2), sp.eye(3)]), "square matrices of one size"),
        (lambda: LieAlgebra.from_matrices([sp.diag(1.5, 1)]), "float"),
        (lambda: LieAlgebra.from_matrices([sp.diag(sp.I, 1)]), "no real rational function"),
        (lambda: LieAlgebra.from_matrices([sp.diag(sp.sqrt(a + 1), 1)]), "no real rational function"),
        (lambda: LieAlgebra.from_matrices([sp.eye(2)], names=("u", "v")), "1 basis elements need 1 names"),
        (lambda: LieAlgebra.from_matrices([sp.eye(1), sp.zeros(1, 1)]), "dependent"),
        (lambda: LieAlgebra.from_matrices([unit(2, 0, 0), unit(2, 1, 1)], names=("u", "u")), "one name"),
        (lambda: LieAlgebra.from_fields([(sp.sin(x),)], (x,)), "not polynomial"),
        (lambda: LieAlgebra.from_fields([(1 / x,)], (x,)), "not polynomial"),
        (lambda: LieAlgebra.from_fields([(x, y)], (x,)), "1 components, not 2"),
        (lambda: LieAlgebra.from_matrices(SO(3).basis).change_basis(sp.ones(3, 3)), "not invertible"),
        (lambda: LieAlgebra.from_matrices(SO(3).basis).change_basis(sp.eye(2)), "3 x 3"),
        (lambda: bracket((x,), (x, y), (x,)), "components"),
        (lambda: orbit_dimension([(x, y)], (x,)), "components"),
        (lambda: orbit_dimension([(sp.log(-1 - x**2),)], (x,)), "real and finite at none"),
    ],
)
def test_what_cannot_be_used_is_refused(call, message) -> None:
    with pytest.raises(SymmetryError, match=message):
        call()


# Vector fields


@quick
@given(st.lists(dense, min_size=2, max_size=3))
def test_linear_fields_have_minus_the_bracket_of_their_matrices(generators) -> None:
    basis = closure(generators)
    assume(basis)
    matrices = LieAlgebra.from_matrices(basis)
    fields = LieAlgebra.from_fields([tuple(m * sp.Matrix([x, y])) for m in basis], (x, y))
    assert fields.brackets == tuple((i, j, k, -value) for i, j, k, value in matrices.brackets)
    assert fields.name == matrices.name


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ([(1, 0), (0, 1), (-y, x)], "se(2)"),
        ([(1, 0), (0, 1), (-y, x), (x, y)], "sim(2)"),
        ([(1, 0), (0, 1), (0, x)], "h_3"),
        ([(1, 0), (x, 0), (x**2, 0)], "sl(2,R)"),
        ([(1, 0), (0, 1), (-y, x), (x, y), (x**2 - y**2, 2 * x * y), (2 * x * y, y**2 - x**2)], "so(3,1)"),
        ([(1, 0), (x, 0), (x**2, 0), (0, 1), (0, y), (0, y**2)], "so(2,2)"),
        ([(1, 0), (0, 1), (x, 0), (y, 0), (0, x), (0, y), (x**2, x * y), (x * y, y**2)], "sl(3,R)"),
        ([(1, 0), (0, 1), (0, x), (0, x**2)], ""),
    ],
)
def test_fields_of_the_plane(fields, name) -> None:
    """Lie's list: motions, similarities, projective and conformal maps of the line and of the plane."""
    assert LieAlgebra.from_fields(fields, (x, y)).name == name


plane_fields = st.tuples(*[st.lists(st.integers(-2, 2), min_size=4, max_size=4)] * 2).map(
    lambda pair: tuple(p + q * x + r * y**2 + s * x * y for p, q, r, s in pair)
)


@settings(quick, max_examples=10)
@given(plane_fields, plane_fields, plane_fields)
def test_the_bracket_of_fields_is_that_of_derivations(X, Y, Z) -> None:
    def apply(field, f):
        return sp.expand(sum(e * sp.diff(f, v) for e, v in zip(field, (x, y), strict=True)))

    f = x**3 * y - y**2 + sp.sin(x)
    XY = bracket(X, Y, (x, y))
    assert sp.expand(apply(XY, f) - apply(X, apply(Y, f)) + apply(Y, apply(X, f))) == 0
    assert bracket(Y, X, (x, y)) == tuple(sp.expand(-e) for e in XY)
    cyclic = [bracket(u, bracket(v, w, (x, y)), (x, y)) for u, v, w in ((X, Y, Z), (Y, Z, X), (Z, X, Y))]
    assert all(sp.expand(sum(components)) == 0 for components in zip(*cyclic, strict=True))


def test_the_bracket_is_not_the_product_of_components() -> None:
    assert bracket((1, 0), (x, 0), (x, y)) == (1, 0)
    assert bracket((x, 0), (1, 0), (x, y)) == (-1, 0)


# Fields of numbers and constants


@pytest.mark.parametrize(
    ("diagonal", "name"),
    [
        ((1, a, b), "so(3)"),
        ((1, a, -b), "sl(2,R)"),
        ((a + b, a * b, 1 / (a + 1)), "so(3)"),
        ((1, a, b, c), "so(4)"),
        ((1, a, b, -c), "so(3,1)"),
        ((1, a, -b, -c), "so(2,2)"),
        ((sp.sqrt(a), b, sp.sqrt(2)), "so(3)"),
        ((sp.sqrt(2), sp.sqrt(3), 1, -1), "so(3,1)"),
        ((sp.pi, sp.E, 1), "so(3)"),
        ((sp.sqrt(2) - 1, sp.sqrt(2) - 2, 1), "sl(2,R)"),
        ((a - b, 1, 1), ""),
        ((a**2 - a + 1, 1, a - 1), ""),
    ],
)
def test_a_form_with_constants_gives_a_name_only_if_it_holds_for_all_their_values(diagonal, name) -> None:
    algebra = LieAlgebra.from_matrices(metric(*map(sp.sympify, diagonal)))
    assert algebra.name == name
    assert (algebra.killing_signature is None) == (name == "")


def test_the_name_at_a_value_of_the_constant_may_differ_from_the_generic_one() -> None:
    def algebra(value: sp.Expr) -> LieAlgebra:
        return LieAlgebra(("e1", "e2"), ((0, 1, 1, value),) if value != 0 else ())

    assert algebra(a - 1).name == ""
    assert algebra(a + 1).name == "aff(1)"
    assert algebra(sp.Integer(0)).name == "R^2"
    assert LieAlgebra.from_matrices(line(sp.diag(1, a))).name == ""
    assert LieAlgebra.from_matrices(line(sp.diag(a, a))).name == "Bianchi V"
    assert LieAlgebra.from_matrices(line(sp.diag(1, a + 1))).name == ""
    assert LieAlgebra.from_matrices(line(sp.diag(a, 2 * a))).name == "Bianchi VI(-9)"


def test_the_basis_is_independent_where_the_assumptions_do_not_vanish() -> None:
    algebra = LieAlgebra.from_matrices([sp.diag(a, 1), sp.diag(1, a)])
    assert algebra.assumptions == (a**2 - 1,)
    assert LieAlgebra.from_matrices([sp.diag(a, 1), sp.diag(-1, a)]).assumptions == ()
    with pytest.raises(SymmetryError, match="dependent"):
        LieAlgebra.from_matrices([m.xreplace({a: sp.Integer(1)}) for m in (sp.diag(a, 1), sp.diag(1, a))])


def test_numbers_whose_relations_are_not_known_are_not_called_independent() -> None:
    with pytest.raises(SymmetryError, match="cannot decide"):
        LieAlgebra.from_matrices([sp.diag(sp.log(4), 1), sp.diag(2 * sp.log(2), 1)])
    assert LieAlgebra.from_matrices([sp.diag(sp.log(4), 1), sp.diag(sp.log(2), 1)]).name == "R^2"


def test_a_strict_field_refuses_to_assume() -> None:
    field = Field.of([a])
    vector = {0: field.element(a - 1)}
    assert len(Span(field, [vector])) == 1
    with pytest.raises(Undecided):
        Span(field.as_strict(), [vector])
    assert len(Span(field.as_strict(), [{**vector, 1: field.element(a + 1)}])) == 1


@pytest.mark.parametrize(
    ("expression", "sign"),
    [
        (a + b, 1),
        (-a / (b + 1), -1),
        (a - b, None),
        (sp.sqrt(2) - sp.Rational(3, 2), -1),
        (sp.sqrt(a) * b, 1),
        ((sp.pi - 3) * a, 1),
        ((sp.pi - 4) * a, -1),
        (x, None),
        (sp.Integer(0), 0),
        ((a - 1) ** 2 - a**2 + 2 * a, 1),
    ],
)
def test_signs(expression, sign) -> None:
    field = Field.of([expression])
    element = field.element(expression)
    assert field.sign(element) == sign
    assert sp.expand(field.expression(element) - expression) == 0


@quick
@given(
    st.lists(st.sampled_from([-2, -1, 0, 1, 3]), min_size=1, max_size=4),
    st.lists(st.integers(-2, 2), min_size=12, max_size=12),
)
def test_the_signature_survives_congruence(diagonal, entries) -> None:
    """Sylvester's law of inertia."""
    n = len(diagonal)
    draw = itertools.cycle(entries)
    lower = sp.Matrix(n, n, lambda i, j: next(draw) if i > j else int(i == j))
    upper = sp.Matrix(n, n, lambda i, j: next(draw) if i < j else int(i == j))
    P = lower * upper
    field = Field.of([])
    matrix = P.T * sp.diag(*diagonal) * P
    expected = (sum(d > 0 for d in diagonal), sum(d < 0 for d in diagonal), sum(d == 0 for d in diagonal))
    assert signature(field, [[field.element(e) for e in row] for row in matrix.tolist()]) == expected


# The tables behind the names


def test_each_real_form_is_listed_once() -> None:
    """Names that share a type and a signature are the isomorphisms of small dimension, and no others."""
    shared = {
        names
        for forms in _cartan().values()
        for kinds in forms.values()
        for names in kinds.values()
        if len(names) > 1
    }
    assert shared == {
        ("sl(2,R)", "so(2,1)", "su(1,1)", "sp(2,R)"),
        ("so(3)", "su(2)", "sp(1)"),
        ("so(5)", "sp(2)"),
        ("so(4,1)", "sp(1,1)"),
        ("so(3,2)", "sp(4,R)"),
        ("so(6)", "su(4)"),
        ("so(5,1)", "sl(2,H)"),
        ("so(4,2)", "su(2,2)"),
        ("sl(4,R)", "so(3,3)"),
        ("su(3,1)", "so*(6)"),
        ("so(6,2)", "so*(8)"),
    }
    two_types = {dimension for dimension, kinds in _cartan().items() if len(kinds) > 1}
    assert two_types == {21, 36, 55}
    assert real_forms(4) == {}


@pytest.mark.parametrize(
    ("basis", "n"), [(SO(5).basis, 5), (sp_split(2), -4), (SO(7).basis, 7), (sp_split(3), -6)]
)
def test_the_eigenvalues_of_the_split_casimir_operator(basis, n) -> None:
    algebra = LieAlgebra.from_matrices(basis)
    d = algebra.dimension
    ad = np.array([[[float(e) for e in row] for row in plane] for plane in algebra.structure]).transpose(
        0, 2, 1
    )
    inverse = np.linalg.inv(np.array(algebra.killing_form.tolist(), dtype=float))
    operator = np.einsum("ij,iab,jcd->acbd", inverse, ad, ad).reshape(d * d, d * d)
    swap = np.eye(d * d).reshape(d, d, d * d).transpose(1, 0, 2).reshape(d * d, d * d)
    symmetric = np.linalg.eigvals(operator + 100 * (swap - np.eye(d * d)))
    found = sorted({round(float(e.real), 6) for e in symmetric if e.real > -50})
    assert found == sorted(round(float(r), 6) for r in split_casimir_roots(n))
    if abs(n) > 5:
        other = split_casimir_roots(7 if n < 0 else -6)
        assert found != sorted(round(float(r), 6) for r in other)


# Orbits


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([(-y, x, 0), (0, -z, y), (z, 0, -x)], 2),
        ([(-y, x, 0), (0, -z, y), (z, 0, -x), (x, y, z)], 3),
        ([(x, y, z), (2 * x, 2 * y, 2 * z)], 1),
        ([(x * y, 0, 0), (y**2, 0, 0)], 1),
        ([(x * y, 0, 0), (0, y**2, 0)], 2),
        ([(a * x, b * y, 0), (b * x, a * y, 0)], 2),
        ([(sp.exp(x), sp.log(y), 0), (a * sp.exp(x), a * sp.log(y), 0)], 1),
        ([(sp.exp(x), sp.log(y), 0), (sp.exp(x), y, 0)], 2),
        ([(sp.sin(x) ** 2 + sp.cos(x) ** 2, 1, 0), (1, 1, 0)], 1),
        ([(sp.sqrt(x - 1), 0, 0)], 1),
        ([(sp.Integer(10) ** 40 * sp.exp(x), 0, 0), (0, sp.exp(-x) / 10**40, 0)], 2),
        # The first points drawn lie where some of these vanish: the largest rank counts.
        ([(sp.Max(x, 0), 0, 0), (0, sp.Max(y, 0), 0), (0, 0, 1)], 3),
        ([(0, 0, 0)], 0),
        ([], 0),
    ],
)
def test_orbit_dimensions(fields, expected) -> None:
    assert orbit_dimension(fields, (x, y, z)) == expected
    assert orbit_dimension(fields, (x, y, z), seed=7) == expected


# Text, pickling, time


def test_tables() -> None:
    algebra = LieAlgebra.from_matrices([a * m for m in AFF1], names=("S", "|T|"))
    assert algebra.table() == "\n".join(
        [
            "| [·, ·] | S | \\|T\\| |",
            "|---|---|---|",
            "| S | `0` | `a*\\|T\\|` |",
            "| \\|T\\| | `-a*\\|T\\|` | `0` |",
        ]
    )
    latex = LieAlgebra.from_matrices(SO(3).basis).latex_table()
    assert r"e_{1} & 0 & e_{3} & - e_{2} \\" in latex and latex.count("&") == 12
    assert LieAlgebra.from_matrices(O(2, 1).basis).latex_table() != latex


def test_the_text_table_is_aligned_and_antisymmetric() -> None:
    algebra = LieAlgebra.from_matrices(sl(2), names=("E", "F", "H"))
    assert algebra.text_table() == "\n".join(
        [
            "[·, ·] |   E    F    H",
            "-------+--------------",
            "     E |   0    H -2*E",
            "     F |  -H    0  2*F",
            "     H | 2*E -2*F    0",
        ]
    )
    wide = LieAlgebra.from_matrices([a * m for m in AFF1], names=("a long name", "T")).text_table()
    assert len({len(line) for line in wide.splitlines()}) == 1 and "a long name | " in wide
    plain = LieAlgebra.from_matrices(AFF1, names=("a long name", "T")).text_table()
    assert "T*a" in wide and "T*a" not in plain


SUMMARIES = {
    "so(3)": (SO(3).basis, "semisimple", "3", "3", 0, 0, (0, 3, 0)),
    "h_3": (heisenberg(1), "nilpotent", "3 > 1 > 0", "3 > 1 > 0", 1, 3, (0, 0, 3)),
    "aff(1)": (AFF1, "solvable", "2 > 1 > 0", "2 > 1", 0, 2, (1, 0, 1)),
    "R^2": (translations(2), "abelian", "2 > 0", "2 > 0", 2, 2, (0, 0, 2)),
    "gl(2,R)": (GL(2).basis, "neither solvable nor semisimple", "4 > 3", "4 > 3", 1, 1, (2, 1, 1)),
}


def summary_holds(algebra: LieAlgebra, name: str) -> bool:
    _, kind, derived, lower, centre, radical, (p, q, r) = SUMMARIES[name]
    head, series, killing, *_ = str(algebra).splitlines()
    return (
        head.startswith(f"{name}, dimension {algebra.dimension}, {kind}")
        and series
        == f"derived series {derived}; lower central series {lower}; centre {centre}; radical {radical}"
        and killing == f"Killing form: {p} positive, {q} negative, {r} zero"
    )


@pytest.mark.parametrize("name", SUMMARIES)
def test_the_summary_says_name_series_centre_and_signature(name) -> None:
    algebras = {key: LieAlgebra.from_matrices(row[0]) for key, row in SUMMARIES.items()}
    assert [key for key, algebra in algebras.items() if summary_holds(algebra, name)] == [name]


def test_the_summary_lists_brackets_and_assumptions() -> None:
    assert str(LieAlgebra.from_matrices(translations(2))).endswith("all brackets vanish")
    assert str(LieAlgebra.from_matrices(AFF1)).splitlines()[-1] == "[e1, e2] = e2"
    large = str(LieAlgebra.from_matrices(sl(3)))
    assert large.count("] = ") == 12 and large.endswith(" more")
    assumed = LieAlgebra.from_matrices([unit(2, 0, 1), (a - b) * unit(2, 0, 0)])
    assert str(assumed).splitlines()[-1] == "where a - b != 0"
    nameless = LieAlgebra.from_matrices([affine_matrix(sp.diag(1, 2, 5), [0, 0, 0]), *translations(3)])
    assert str(nameless).startswith("not identified, dimension 4, solvable\n")


def test_values_survive_pickling_and_compare_by_structure() -> None:
    for basis in (metric(1, a, sp.sqrt(2)), SO(3).basis):
        algebra = LieAlgebra.from_matrices(basis)
        assert algebra.name == "so(3)"
        copy = pickle.loads(pickle.dumps(algebra))
        assert copy == algebra and hash(copy) == hash(algebra) and copy.name == "so(3)"
    assert LieAlgebra.from_matrices(SO(3).basis) != LieAlgebra.from_matrices(O(2, 1).basis)


@pytest.mark.parametrize("name", ["so(5)", "gl(3,R)", "aff(3)", "so(7)"])
def test_naming_does_not_hang(name) -> None:
    """It takes some hundredths of a second; the bound leaves room for slow machines."""
    basis = next(row[1] for row in KNOWN if row[0] == name)()
    start = time.perf_counter()
    assert LieAlgebra.from_matrices(basis).name == name
    assert time.perf_counter() - start < 60
