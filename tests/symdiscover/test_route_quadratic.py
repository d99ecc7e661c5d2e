"""Quadratics: the signature of NumPy's eigenvalues, the group it gives, and what null directions leave."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings

import symdiscover as sd
from symdiscover import Loss, Symmetry
from symdiscover.routes import NoSymmetry, peel, quadratic, translations
from symdiscover.routes.quadratic import complete, is_quadratic

VARIABLES = sp.symbols("x1:5", real=True)

# text, constants, group, transitive
KNOWN: dict[str, tuple[str, str, str, bool]] = {
    "sphere": ("x**2 + y**2", "", "SO(2)", True),
    "ellipse": ("x**2 + lam*y**2", "lam", "SO(2)", True),
    "ellipsoid": ("x**2 + 4*y**2 + 9*z**2", "", "O(3)", True),
    "Booth": ("(x + 2*y - 7)**2 + (2*x + y - 5)**2", "", "SO(2)", True),
    "Matyas": ("0.26*(x**2 + y**2) - 0.48*x*y", "", "SO(2)", True),
    "Trid": ("(x - 1)**2 + (y - 1)**2 + (z - 1)**2 - x*y - y*z", "", "O(3)", True),
    "sum of squares in six dimensions": ("+".join(f"{k}*x{k}**2" for k in range(1, 7)), "", "O(6)", True),
    "x y": ("x*y", "", "O(1, 1)", True),
    "x^2 - y^2": ("x**2 - y**2", "", "O(1, 1)", True),
    "constants of the saddle": ("c*x**2 - d*y**2", "c, d", "O(1, 1)", True),
    "Minkowski": ("-t**2 + x**2 + y**2 + z**2", "", "O(3, 1)", True),
    "three products": ("x*y + y*z + z*x", "", "O(1, 2)", True),
    "negative definite": ("-x**2 - 2*y**2 - 3*z**2", "", "O(3)", True),
    "negative definite plane": ("-x**2 - 2*y**2 + 1", "", "SO(2)", True),
    "one square": ("(x - 1)**2", "", "Z2", True),
    "F of a form": ("exp(-(x**2 + y**2)/2)*cos(x**2 + y**2)", "", "SO(2)", True),
    "F of a shifted form": ("log(1 + (x - 1)**2 + 3*(y + 2)**2)", "", "SO(2)", True),
    "parabolic": ("x**2 + 3*y**2 - 2*z", "", "R^2", True),
    "parabolic saddle": ("x*y + z", "", "R^2", True),
}


@pytest.mark.parametrize("name", KNOWN)
def test_known(name: str) -> None:
    text, positive, group, transitive = KNOWN[name]
    claims = quadratic.find(Loss.parse(text, positive=positive))
    assert claims[0].group.name == group
    certificate = sd.verify(claims[0])
    assert (certificate.status, certificate.transitive, certificate.group_law) == ("proved", transitive, True)


@pytest.mark.parametrize(
    "text",
    ["x**3 + y**2", "x**4 + y**4", "sin(x) + y**2", "x", "3*x - y", "x**2*y", "Abs(x) + y**2", "floor(x)*y"],
)
def test_not_a_form(text: str) -> None:
    with pytest.raises(NoSymmetry):
        quadratic.find(Loss.parse(text))


def test_wrong_signature_is_refuted() -> None:
    """The group of another signature in the same chart."""
    claim = quadratic.find(Loss.parse("x**2 + 2*y**2 - z**2"))[0]
    assert claim.group.name == "O(2, 1)"
    for wrong in (sd.O(3), sd.O(1, 2)):
        with pytest.raises(sd.NotInvariant):
            sd.verify(Symmetry(claim.loss, wrong, claim.chart, reduced=claim.reduced))


def test_a_sign_that_depends_on_the_constants_is_not_decided() -> None:
    """x^2 + (a - b) y^2 is O(2), O(1, 1) or degenerate by the values of a and b: nothing is claimed for all."""
    with pytest.raises(NoSymmetry, match="sign of a pivot"):
        quadratic.find(Loss.parse("x**2 + (a - b)*y**2", positive="a, b"))
    assert quadratic.find(Loss.parse("x**2 + (a + b)*y**2", positive="a, b"))[0].group.name == "SO(2)"
    assert (
        quadratic.find(Loss.parse("x**2 + (a - b)*y**2", positive="a, b").at(a=1, b=3))[0].group.name
        == "O(1, 1)"
    )


@st.composite
def forms(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, int]:
    """A symmetric integer matrix of any rank, a centre, and the dimension."""
    n = draw(st.integers(1, 4))
    rank = draw(st.integers(0, n))
    entries = draw(st.lists(st.integers(-3, 3), min_size=n * rank, max_size=n * rank))
    factor = np.array(entries, dtype=float).reshape(rank, n)
    signs = np.array(
        draw(st.lists(st.sampled_from([-2, -1, 1, 2, 3]), min_size=rank, max_size=rank)), dtype=float
    )
    centre = np.array(draw(st.lists(st.integers(-4, 4), min_size=n, max_size=n)), dtype=float)
    return factor.T @ np.diag(signs) @ factor if rank else np.zeros((n, n)), centre, n


@settings(max_examples=60)
@given(forms())
def test_the_signature_is_that_of_the_eigenvalues(form: tuple[np.ndarray, np.ndarray, int]) -> None:
    """Completed squares have as many positive and negative coefficients as the matrix has eigenvalues (Sylvester)."""
    matrix, centre, n = form
    x = sp.Matrix([v - int(c) for v, c in zip(VARIABLES[:n], centre, strict=True)])
    expression = sp.expand((x.T * sp.Matrix(matrix.astype(int).tolist()) * x)[0])
    loss = Loss(expression, VARIABLES[:n])
    eigenvalues = np.linalg.eigvalsh(matrix)
    expected = (int((eigenvalues > 1e-9).sum()), int((eigenvalues < -1e-9).sum()))
    if expected == (0, 0):
        assert not is_quadratic(expression, loss)
        return
    done = complete(expression, loss)
    assert done is not None
    positive = sum(bool(s.coefficient > 0) for s in done.squares)
    assert (positive, len(done.squares) - positive) == expected
    assert sp.expand(sum((s.coefficient * s.form**2 for s in done.squares), done.rest) - expression) == 0
    assert sp.expand(sum((s.coefficient * s.form**2 for s in done.squares), done.rest) - expression - 1) != 0


@settings(max_examples=12)
@given(forms())
def test_what_is_derived_is_proved_and_complete(form: tuple[np.ndarray, np.ndarray, int]) -> None:
    """O(p, q) on the range, R^k and GL(k) on the null space, and the orbit fills the level set."""
    matrix, centre, n = form
    x = sp.Matrix([v - int(c) for v, c in zip(VARIABLES[:n], centre, strict=True)])
    expression = sp.expand((x.T * sp.Matrix(matrix.astype(int).tolist()) * x)[0])
    derivation = sd.derive(
        Loss(expression, VARIABLES[:n]), only=["translations", "quadratic", "peel", "affine"]
    )
    eigenvalues = np.linalg.eigvalsh(matrix)
    p, q = int((eigenvalues > 1e-9).sum()), int((eigenvalues < -1e-9).sum())
    names = [symmetry.group.name for symmetry in derivation]
    assert all(certificate.status == "proved" for certificate in derivation.certificates)
    null = n - p - q
    if null:
        assert ("R" if null == 1 else f"R^{null}") in names
    if p + q == 2 and p != q:
        assert "SO(2)" in names
    elif p and q:
        assert f"O({p}, {q})" in names
    elif p + q > 2:
        assert f"O({p + q})" in names
    rotations = [c for c in derivation.certificates if c.symmetry.route == "quadratic"]
    assert all(c.orbit_dimension == max(p + q - 1, 0) for c in rotations)


def test_null_directions_are_divided_out() -> None:
    derivation = sd.derive(Loss.parse("(x + y)**2 + (z - w)**2", variables="x, y, z, w"))
    names = [symmetry.group.name for symmetry in derivation]
    assert {"R^2", "GL(2)", "SO(2)"} <= set(names)
    assert names.count("SO(2)") == 1  # found by one route, not again by the next


def test_parabolic_shears() -> None:
    """On x^2 + 3 y^2 - 2 z the shears move a whole level set, the rotations only circles in it."""
    loss = Loss.parse("x**2 + 3*y**2 - 2*z")
    shears, rotations = quadratic.find(loss)
    assert (shears.group.name, rotations.group.name) == ("R^2", "SO(2)")
    assert sd.verify(shears).transitive and not sd.verify(rotations).transitive
    wrong = tuple(
        sp.ImmutableMatrix(b.xreplace({sp.Integer(-2): sp.Integer(-1)})) for b in shears.group.basis
    )
    assert wrong != shears.group.basis
    from dataclasses import replace

    with pytest.raises(sd.NotInvariant):
        sd.verify(Symmetry(loss, replace(shears.group, basis=wrong), shears.chart, reduced=shears.reduced))


def test_quadratics_are_left_to_their_route() -> None:
    with pytest.raises(NoSymmetry, match="route quadratic"):
        peel.find(Loss.parse("x**2 + y**2"))
    with pytest.raises(NoSymmetry):
        translations.find(Loss.parse("x**2 + y**2"))
