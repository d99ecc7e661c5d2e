"""Groups as data: their matrices, closed forms, inverses, components, and what a contradictory group gets."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

import hypothesis.strategies as st
import mpmath
import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings

from symdiscover import GL, SO, Group, O, PositiveScaling, SignedPermutation, SymmetryError, Translation
from symdiscover.group import Reflection, cayley, exponential, skew_matrix
from symdiscover.normal_form import is_zero

t = sp.Symbol("t", real=True)
w = sp.Symbol("w", positive=True)

GROUPS: dict[str, Group] = {
    g.name: g
    for g in (
        SO(2), SO(3), SO(4), SO(5), O(2), O(3), O(5), O(1, 1), O(2, 1), O(1, 3), O(2, 2), O(0, 3), GL(1), GL(2), GL(3),
        Translation(1), Translation(3), PositiveScaling(1), PositiveScaling(3), SignedPermutation(3), Reflection(),
    )
}  # fmt: skip
# dimension, components, compact
KNOWN = {
    "SO(2)": (1, 1, True), "SO(3)": (3, 1, True), "SO(4)": (6, 1, True), "O(2)": (1, 2, True), "O(3)": (3, 2, True),
    "O(1, 1)": (1, 4, False), "O(2, 1)": (3, 4, False), "O(1, 3)": (6, 4, False), "O(2, 2)": (6, 4, False),
    "GL(1)": (1, 2, False), "GL(3)": (9, 2, False), "R": (1, 1, False), "R^3": (3, 1, False),
    "PositiveScaling(3)": (3, 1, False), "SignedPermutation(3)": (0, 48, True), "Z2": (0, 2, True),
}  # fmt: skip
WITH_FORM = [name for name, g in GROUPS.items() if g.form is not None]


def numbers(matrix: sp.Matrix | mpmath.matrix) -> np.ndarray:
    return np.array([[float(e) for e in row] for row in matrix.tolist()])


@pytest.mark.parametrize("name", KNOWN)
def test_known_groups(name: str) -> None:
    group = GROUPS[name]
    assert (group.dimension, group.components, group.compact) == KNOWN[name]


def test_known_groups_twin() -> None:
    """Leaving a discrete generator out loses components."""
    assert replace(O(2, 1), discrete=O(2, 1).discrete[:1]).components == 2
    assert replace(O(3), discrete=()).components == 1
    assert replace(SignedPermutation(3), discrete=SignedPermutation(3).discrete[1:]).components == 6


@pytest.mark.parametrize("name", WITH_FORM)
def test_the_algebra_and_the_discrete_generators_preserve_the_form(name: str) -> None:
    group = GROUPS[name]
    assert all((b.T * group.form + group.form * b).is_zero_matrix for b in group.basis)
    assert all((d.T * group.form * d - group.form).is_zero_matrix for d in group.discrete)
    wrong = [b + sp.eye(group.size) for b in group.basis]
    assert all(not (b.T * group.form + group.form * b).is_zero_matrix for b in wrong)


@pytest.mark.parametrize("name", [n for n, g in GROUPS.items() if g.dimension])
def test_exp_against_the_power_series(name: str) -> None:
    group = GROUPS[name]
    xi = np.linspace(0.3, -0.8, group.dimension)
    algebra = sum(x * numbers(b) for x, b in zip(xi, group.basis, strict=True))
    series, term = np.eye(group.matrix_size), np.eye(group.matrix_size)
    for k in range(1, 40):
        term = term @ algebra / k
        series += term
    assert np.allclose(numbers(group.exp(xi.tolist())), series, atol=1e-12)
    assert not np.allclose(
        numbers(group.exp(xi.tolist())), np.eye(group.matrix_size) + algebra, atol=1e-4
    ) or (np.allclose(algebra @ algebra, 0))


@pytest.mark.parametrize("name", GROUPS)
def test_inverse_compose_random(name: str) -> None:
    group = GROUPS[name]
    rng = np.random.default_rng(3)
    g, h = group.random(rng), group.random(rng)
    assert np.allclose(group.compose(group.inverse(g), g), group.identity(), atol=1e-9)
    product = group.compose(g, h)
    assert np.allclose(group.inverse(product), group.compose(group.inverse(h), group.inverse(g)), atol=1e-7)
    if group.form is not None:
        f = numbers(group.form)
        assert np.allclose(product.T @ f @ product, f, atol=1e-7)
        assert not np.allclose((1.01 * product).T @ f @ (1.01 * product), f, atol=1e-7)
    same = group.random(np.random.default_rng(3))
    assert np.array_equal(same, g)


def test_random_reaches_every_component() -> None:
    rng = np.random.default_rng(0)
    signs = {tuple(np.sign([g[0, 0], g[1, 1]])) for g in (O(1, 1).random(rng) for _ in range(60))}
    assert len(signs) == 4
    connected = replace(O(1, 1), discrete=())
    assert {tuple(np.sign([g[0, 0], g[1, 1]])) for g in (connected.random(rng) for _ in range(60))} == {
        (1, 1)
    }


# --- closed forms --------------------------------------------------------------------------------------------------------

GENERATORS: dict[str, list[list[sp.Expr]]] = {
    "rotation": [[0, -1], [1, 0]],
    "ellipse": [[0, -4], [1, 0]],
    "boost": [[0, 4], [1, 0]],
    "shear": [[0, 3], [0, 0]],
    "scaling": [[2, 0], [0, -3]],
    "nilpotent of order 3": [[0, 1, 2], [0, 0, 3], [0, 0, 0]],
    "nilpotent of order 5": [
        [0, 1, 0, 0, 2],
        [0, 0, 1, 0, 0],
        [0, 0, 0, 1, 0],
        [0, 0, 0, 0, 1],
        [0, 0, 0, 0, 0],
    ],
    "turn in space": [[0, -1, 2], [1, 0, -3], [-2, 3, 0]],
    "turn about a point": [[0, -1, 2], [1, 0, 1], [0, 0, 0]],
    "with a constant": [[0, -w], [1, 0]],
    "two equal turns": [[0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 0, -1], [0, 0, 1, 0]],
    "zero": [[0, 0], [0, 0]],
}
NO_CLOSED_FORM = {
    "spiral": [[1, -1], [1, 1]],
    "two speeds": [[0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 0, -2], [0, 0, 2, 0]],
    "Jordan block": [[1, 1], [0, 1]],
}


@pytest.mark.parametrize("name", GENERATORS)
def test_exponential(name: str) -> None:
    """d/dt exp(t B) = B exp(t B) and exp(0) = 1 determine it."""
    b = sp.ImmutableMatrix(GENERATORS[name])
    e = exponential(b, t)
    assert all(is_zero(entry) for entry in sp.diff(e, t) - b * e)
    assert e.xreplace({t: sp.Integer(0)}) == sp.eye(b.rows)


@pytest.mark.parametrize("name", [n for n, rows in GENERATORS.items() if n not in ("shear", "zero")])
def test_exponential_twin(name: str) -> None:
    """I + t B satisfies neither."""
    b = sp.ImmutableMatrix(GENERATORS[name])
    truncated = sp.eye(b.rows) + t * b
    assert not all(is_zero(entry) for entry in sp.diff(truncated, t) - b * truncated)


@pytest.mark.parametrize("name", NO_CLOSED_FORM)
def test_no_closed_form_is_said(name: str) -> None:
    b = sp.ImmutableMatrix(NO_CLOSED_FORM[name])
    assert exponential(b, t) is None
    assert Group("R", b.rows, (b,)).matrix() is None


@pytest.mark.parametrize("name", [n for n, g in GROUPS.items() if g.parameters])
def test_closed_form_is_in_the_group(name: str) -> None:
    group = GROUPS[name]
    matrix = group.matrix()
    assert matrix.xreplace(dict.fromkeys(group.parameters, sp.Integer(0))) == sp.eye(group.matrix_size)
    at = {p: sp.Rational(k + 1, 7) for k, p in enumerate(group.parameters)}
    g = numbers(sp.N(matrix.xreplace(at), 30))
    if group.form is not None:
        f = numbers(group.form)
        assert np.allclose(g.T @ f @ g, f, atol=1e-12)
        assert not np.allclose((g + 0.1).T @ f @ (g + 0.1), f, atol=1e-3)
    else:
        assert abs(np.linalg.det(g)) > 1e-9


@pytest.mark.parametrize("name", [n for n, g in GROUPS.items() if g.dimension and g.parameters])
def test_closed_form_has_the_generators_as_derivatives(name: str) -> None:
    """The tangent space at the identity is spanned by generators (Cayley parameters turn by -2 F^{-1})."""
    group = GROUPS[name]
    matrix, zero = group.matrix(), dict.fromkeys(group.parameters, sp.Integer(0))
    slopes = [numbers(sp.diff(matrix, p).xreplace(zero)) for p in group.parameters]
    basis = np.array([numbers(b).ravel() for b in group.basis])
    for slope in slopes:
        solution = np.linalg.lstsq(basis.T, slope.ravel(), rcond=None)[0]
        assert np.allclose(basis.T @ solution, slope.ravel(), atol=1e-12)
        outside = slope.ravel() + np.eye(group.matrix_size).ravel() * 0.1
        rest = np.linalg.lstsq(basis.T, outside, rcond=None)[0]
        assert not np.allclose(basis.T @ rest, outside, atol=1e-6) or name.startswith(("GL", "Positive"))


@settings(max_examples=25)
@given(
    st.integers(2, 5), st.booleans(), st.lists(st.integers(-3, 3), min_size=10, max_size=10),
    st.lists(st.sampled_from([-3, -1, 1, 2, 5]), min_size=5, max_size=5),
)  # fmt: skip
def test_cayley_preserves_any_diagonal_form(
    size: int, whole: bool, entries: list[int], diagonal: list[int]
) -> None:
    """M^T F M = F for every skew S and diagonal F; (F + S) M = F - S is what determines it."""
    form = sp.ImmutableMatrix(sp.diag(*diagonal[:size]))
    parameters = [sp.Rational(e, 4) for e in entries[: size * (size - 1) // 2 if whole else size - 1]]
    skew = skew_matrix(size, parameters)
    assert (skew + skew.T).is_zero_matrix
    if (form + skew).det() == 0:
        return
    matrix = cayley(form, parameters)
    assert (matrix.T * form * matrix - form).is_zero_matrix
    assert ((form + skew) * matrix - (form - skew)).is_zero_matrix
    other = matrix + sp.Rational(1, 100) * sp.eye(size)
    assert not (other.T * form * other - form).is_zero_matrix


def test_cayley_sizes() -> None:
    """Beyond size 4 the parameters are those of the turns through the first axis."""
    assert len(SO(4).parameters) == 6 and len(SO(5).parameters) == 4 and len(O(2, 1).parameters) == 3


# --- contradictions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Group("G", 3, SO(2).basis), "3 x 3"),
        (lambda: Group("G", 2, (), (sp.ImmutableMatrix([[-1]]),)), "2 x 2"),
        (lambda: Group("G", 1, SO(2).basis, affine=True), "row of zeros"),
        (lambda: Group("G", 1, (), (sp.ImmutableMatrix([[1, 0], [0, 2]]),), affine=True), "0, 1"),
        (lambda: Group("G", 3, SO(3).basis, element="time"), "3 generators"),
        (lambda: Group("G", 3, SO(3).basis, element="angle"), "3 generators"),
    ],
)
def test_contradictory_groups(make: Callable[[], Group], message: str) -> None:
    with pytest.raises(SymmetryError, match=message):
        make()


def test_contradictory_groups_twin() -> None:
    assert Group("G", 2, SO(2).basis, element="time").dimension == 1
    assert Group("G", 1, Translation(1).basis, affine=True).dimension == 1


def test_the_signed_permutations_of_three_coordinates() -> None:
    """Their generators reach all 48 of them, and no other matrix."""
    group = SignedPermutation(3)
    reached = {sp.ImmutableMatrix(sp.eye(3))}
    while True:
        more = {sp.ImmutableMatrix(d * g) for d in group.discrete for g in reached} | reached
        if more == reached:
            break
        reached = more
    expected = set()
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            expected.add(sp.ImmutableMatrix(3, 3, lambda i, j, o=order, s=signs: s[i] if o[i] == j else 0))
    assert reached == expected
