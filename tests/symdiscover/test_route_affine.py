"""Affine fields: the whole algebra of linear and affine symmetries, by exact linear algebra."""

from __future__ import annotations

from dataclasses import replace

import hypothesis.strategies as st
import pytest
import sympy as sp
from hypothesis import given, settings

import symdiscover as sd
from symdiscover import Loss, catalogue
from symdiscover.routes import NoSymmetry, affine, quadratic
from symdiscover.routes._relations import linear_relations
from symdiscover.routes.affine import affine_fields

x, y, z = sp.symbols("x y z", real=True)

# text, constants, group, dimension, kind of element
KNOWN: dict[str, tuple[str, str, str, int, str]] = {
    "x^2 y": ("x**2*y", "", "PositiveScaling(1)", 1, "time"),
    "weights": ("x**2*y + z**4*y**2", "", "PositiveScaling(1)", 1, "time"),
    "chain": ("(u*v*w - 1)**2", "", "PositiveScaling(2)", 2, "vector"),
    "turn": ("(x**2 + y**2)**2 + sin(x**2 + y**2)", "", "SO(2)", 1, "angle"),
    "turn about a point": ("((x - 1)**2 + 4*(y + 2)**2)**3", "", "SO(2)", 1, "angle"),
    "turn with constants": ("(x**2 + c*y**2)**2 + z", "c", "SO(2)", 1, "angle"),
    "two planes": ("(x**2 + y**2)*(z**2 + w**2)", "", "R^3", 3, "vector"),
    "boost": ("(x*y)**2 + x*y", "", "PositiveScaling(1)", 1, "time"),
    "parabola": ("(y - x**2)**4", "", "R", 1, "time"),
    "factorisation": ("(u1*v1 + u2*v2 - y)**4", "y", "O(2, 2)", 6, "matrix"),
    "determinant": ("(x*w - y*z - 1)**4", "", "", 6, "matrix"),
    "sphere by fields": ("(x**2 + y**2 + z**2)**2", "", "SO(3)", 3, "matrix"),
    "ratio": ("x/y + sin(x/y)", "", "PositiveScaling(1)", 1, "time"),
    "ReLU": ("(u*Max(0, w + b) - 1)**2", "", "", 5, "matrix"),
}


@pytest.mark.parametrize("name", KNOWN)
def test_known(name: str) -> None:
    text, positive, group, dimension, element = KNOWN[name]
    (claim,) = affine.find(Loss.parse(text, positive=positive))
    assert claim.group.dimension == dimension
    if group and name not in ("factorisation",):
        assert claim.group.name == group
        assert claim.group.element == element
    certificate = sd.verify(claim)
    assert certificate.status == "proved" and certificate.group_law


@pytest.mark.parametrize("name", KNOWN)
def test_known_twin(name: str) -> None:
    """One entry of one generator off by 10^-30 is refuted (or no longer an algebra, or no longer an angle)."""
    text, positive, _, _, _ = KNOWN[name]
    (claim,) = affine.find(Loss.parse(text, positive=positive))
    first = sp.Matrix(claim.group.basis[0])
    i, j = next((i, j) for i in range(first.rows) for j in range(first.cols) if first[i, j] != 0)
    first[i, j] *= 1 + sp.Rational(1, 10**30)
    wrong = replace(claim.group, basis=(sp.ImmutableMatrix(first), *claim.group.basis[1:]), form=None)
    if dimension_of_span(claim.group.basis) == dimension_of_span((*claim.group.basis, wrong.basis[0])):
        return  # a multiple, or a combination, of what is there
    with pytest.raises(sd.SymmetryError):
        sd.verify(sd.Symmetry(claim.loss, wrong, claim.chart))


def dimension_of_span(matrices: tuple[sp.Matrix, ...]) -> int:
    return sp.Matrix([list(m) for m in matrices]).rank()


def test_every_known_claim_has_a_twin_that_fails() -> None:
    failing = 0
    for text, positive, *_ in KNOWN.values():
        (claim,) = affine.find(Loss.parse(text, positive=positive))
        first = sp.Matrix(claim.group.basis[0])
        i, j = next((i, j) for i in range(first.rows) for j in range(first.cols) if first[i, j] != 0)
        first[i, j] *= 2
        failing += dimension_of_span((*claim.group.basis, first)) > claim.group.dimension
    assert failing >= 8


@pytest.mark.parametrize(
    "text",
    [
        "x**4 + y**4",
        "sin(x) + cos(y)",
        "(x**2 + y - 11)**2 + (x + y**2 - 7)**2",
        "exp(x) + y**2 + x**4",
        "floor(x) + y**2",
    ],
)
def test_none(text: str) -> None:
    with pytest.raises(NoSymmetry, match="no affine field"):
        affine.find(Loss.parse(text))


def test_what_is_known_is_not_found_again() -> None:
    loss = Loss.parse("x**2 + 4*y**2 + 9*z**2")
    known = tuple(quadratic.find(loss))
    with pytest.raises(NoSymmetry, match="all found already"):
        affine.find(loss, known)
    assert affine.find(loss)[0].group.dimension == 3
    shifted = tuple(quadratic.find(Loss.parse("x**2 + 4*y**2 + z")))
    with pytest.raises(NoSymmetry):
        affine.find(Loss.parse("x**2 + 4*y**2 + z"), shifted)


def test_too_many_unknowns_are_said() -> None:
    variables = sp.symbols("x1:22", real=True)
    with pytest.raises(NoSymmetry, match="unknowns"):
        affine.find(Loss(sp.Add(*[v**4 for v in variables]), variables))


def test_matrix_factorisation() -> None:
    """|U V - Y|^2 for 2 x 2 matrices and symbolic Y: GL(2), for every Y."""
    (claim,) = affine.find(catalogue.load("matrix-factorisation").loss)
    assert (claim.group.name, claim.group.dimension) == ("GL(2)", 4)
    certificate = sd.verify(claim)
    assert certificate.status == "proved" and certificate.killing == (2, 1, 1)


@settings(max_examples=20)
@given(
    st.lists(st.integers(-4, 4).filter(bool), min_size=3, max_size=3),
    st.lists(st.integers(-4, 4).filter(bool), min_size=3, max_size=3),
)
def test_weights_of_two_monomials(first: list[int], second: list[int]) -> None:
    """Scalings of x^a + x^b are the null space of two rows of exponents: Laurent polynomials too."""
    symbols = (x, y, z)
    monomials = [sp.Mul(*[s**n for s, n in zip(symbols, row, strict=True)]) for row in (first, second)]
    loss = Loss(monomials[0] + 2 * monomials[1], symbols)
    expected = 3 - sp.Matrix([first, second]).rank()
    fields = [
        sp.Matrix(3, 4, [*row[:3], row[9], *row[3:6], row[10], *row[6:9], row[11]])
        for row in affine_fields(loss)
    ]
    diagonal = [f for f in fields if f[:, :3].is_diagonal() and f[:, 3].is_zero_matrix]
    assert len(diagonal) >= expected
    for field in fields:
        moved = field * sp.Matrix([x, y, z, 1])
        change = sum(
            (sp.diff(loss.expression, s) * v for s, v in zip(symbols, moved, strict=True)), sp.Integer(0)
        )
        assert sp.expand(change) == 0


# --- linear relations ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("functions", "constants", "count"),
    [
        ([x, y, x - 2 * y], (), 1),
        ([x**2, x * y, y**2], (), 0),
        ([sp.sin(x) ** 2, sp.cos(x) ** 2, sp.Integer(1)], (), 1),
        ([sp.exp(x + y), sp.exp(x) * sp.exp(y), sp.exp(x)], (), 1),
        ([sp.cos(x + y), sp.cos(x) * sp.cos(y), sp.sin(x) * sp.sin(y)], (), 1),
        ([1 / x, 1 / (x + 1), 1 / (x * (x + 1))], (), 1),
        ([sp.Max(x, y), sp.Min(x, y), x, y], (), 1),
        ([sp.Abs(x), x * sp.sign(x), x], (), 1),
        ([sp.sqrt(2) * x, x, y], (), 1),
        ([sp.tanh(1) * x, sp.tanh(2) * x, y], (), 1),
        ([sp.Piecewise((x, x > 0), (y, True)), x, y], (), 0),
        ([sp.Integer(0), x], (), 1),
        ([sp.Integer(0), sp.Integer(0)], (), 2),
        ([x, x], (), 1),
    ],
)
def test_relations(functions: list[sp.Expr], constants: tuple, count: int) -> None:
    vectors = linear_relations(functions, Loss(x + y, (x, y), constants))
    assert len(vectors) == count
    for vector in vectors:
        combination = sum((v * f for v, f in zip(vector, functions, strict=True)), sp.Integer(0))
        assert sd.identity.decide_zero(combination, seconds=2).status == "proved"  # type: ignore[attr-defined]
        assert next(v for v in vector if v != 0) == 1 or len(vector) > 2


def test_relations_hold_for_all_constants() -> None:
    """a x and x are related by a, and not by the number that a has at a sample; x and (a - 1) x only off a = 1."""
    a, b = sp.symbols("a b", positive=True)
    (vector,) = linear_relations([a * x, x], Loss(a * x, (x,), (a,)))
    assert sp.cancel(vector[0] * a + vector[1]) == 0
    (vector,) = linear_relations([sp.sqrt(a) * x, x, y], Loss(a * x + y, (x, y), (a,)))
    assert sp.expand(vector[0] * sp.sqrt(a) + vector[1]) == 0 and vector[2] == 0
    assert linear_relations([a * x + y, b * x + y], Loss(a * x + b * y, (x, y), (a, b))) == []
    (vector,) = linear_relations([a * x + b * y, x, y], Loss(a * x + b * y, (x, y), (a, b)))
    assert sp.expand(vector[0] * (a * x + b * y) + vector[1] * x + vector[2] * y) == 0


@settings(max_examples=30)
@given(st.lists(st.lists(st.integers(-3, 3), min_size=4, max_size=4), min_size=1, max_size=5))
def test_relations_are_the_left_null_space(rows: list[list[int]]) -> None:
    monomials = [x**3, x * y, y**2, sp.exp(x)]
    functions = [sum((c * m for c, m in zip(row, monomials, strict=True)), sp.Integer(0)) for row in rows]
    vectors = linear_relations(functions, Loss(x + y, (x, y)))
    assert len(vectors) == len(rows) - sp.Matrix(rows).rank()
    assert all((sp.Matrix([vector]) * sp.Matrix(rows)).is_zero_matrix for vector in vectors)
    assert sp.Matrix(vectors).rank() == len(vectors) if vectors else True
