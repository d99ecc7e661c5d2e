"""The vector fields of a symmetry and their algebra, against the commutator of fields and the loss itself."""

from __future__ import annotations

from functools import cache

import pytest
import sympy as sp

import symdiscover as sd
from symdiscover.errors import SymmetryError
from symdiscover.group import GL, SO, Group, SignedPermutation
from symdiscover.lie_algebra import LieAlgebra, bracket, orbit_dimension
from symdiscover.symmetry_algebra import (
    algebra_text,
    derivation_algebra_text,
    symmetry_algebra,
    vector_fields,
)
from tests.laws import CONTINUOUS

LOSSES = (
    "b*(x**2 - y)**2 + (x - a)**2",
    "x**2 + 4*y**2 + 9*z**2",
    "x**2 + y**2 - z**2 + (x**2 + y**2 - z**2)**2",
    "(x - y)**2*z",
    "(x*y - 1)**2",
    "x**2 + 3*y**2 - 2*z",
    "exp(x**2 + y**2)*(z - x)**2",
)
CURVED = "x*exp(y) + y**2"  # only graphs solve it


@cache
def certificates(text: str) -> list[sd.Certificate]:
    """Of the routes whose fields are short, so that their commutators are quick to expand."""
    positive = ["a", "b"] if "a" in text.replace("exp", "") else []
    routes = ("graph",) if text == CURVED else CONTINUOUS
    derivation = sd.derive(sd.Loss.parse(text, positive=positive), only=routes)
    return [certificate for certificate in derivation.certificates if certificate.group.basis]


def vanishes(expression: sp.Expr, seed: int = 7) -> bool:
    """Whether an expression is zero at a rational point, in 40 digits relative to nothing smaller than 1."""
    draw = {
        s: sp.Rational(seed + 3 * i, 11 + i) for i, s in enumerate(sorted(expression.free_symbols, key=str))
    }
    return abs(sp.N(expression.xreplace(draw), 40)) < sp.Float(10) ** -30


def combined(algebra: LieAlgebra, fields, i: int, j: int) -> list[sp.Expr]:
    return [
        sum((c * field[m] for c, field in zip(algebra.structure[i][j], fields, strict=True)), sp.Integer(0))
        for m in range(len(fields[0]))
    ]


def follows_the_table(algebra: LieAlgebra, fields, variables) -> bool:
    """[X_i, X_j] = sum_k c_ijk X_k for the fields themselves."""
    return all(
        vanishes(left - right)
        for i in range(len(fields))
        for j in range(i)
        for left, right in zip(
            bracket(fields[i], fields[j], variables), combined(algebra, fields, i, j), strict=True
        )
    )


@pytest.mark.parametrize("text", [*LOSSES, CURVED])
def test_the_fields_leave_the_loss_unchanged_and_commute_as_the_table_says(text: str) -> None:
    found = certificates(text)
    assert found
    for certificate in found:
        symmetry, variables = certificate.symmetry, certificate.loss.variables
        fields = vector_fields(symmetry)
        for field in fields:
            slopes = zip(field, certificate.loss.gradient, strict=True)
            assert vanishes(sum((v * slope for v, slope in slopes), sp.Integer(0)))
        assert not all(  # a field that is wrong in one component does not
            vanishes(
                sum((v * slope for v, slope in zip(field, certificate.loss.gradient, strict=True)), slope)
            )
            for field in fields
            for slope in certificate.loss.gradient
        )
        algebra = symmetry_algebra(symmetry)
        assert algebra.names == tuple(f"X{i + 1}" for i in range(len(fields)))
        assert follows_the_table(algebra, fields, variables)
        assert orbit_dimension(fields, variables) == certificate.orbit_dimension


def test_the_table_of_the_matrices_is_not_that_of_the_fields() -> None:
    (certificate,) = certificates("x**2 + 4*y**2 + 9*z**2")
    fields, variables = vector_fields(certificate.symmetry), certificate.loss.variables
    matrices = LieAlgebra.from_matrices(certificate.group.basis)
    assert not follows_the_table(matrices, fields, variables)
    assert matrices.name == symmetry_algebra(certificate.symmetry).name == "so(3)"


def test_all_that_is_asked_for_is_shown() -> None:
    (certificate,) = certificates("x**2 + y**2 + z**2")
    shown = algebra_text(certificate)
    for part in (
        "(proved, by quadratic), orbit dimension 2 of 2 at a generic point (transitive)",
        "X1 = -y*d/dx + x*d/dy",
        "so(3), dimension 3, semisimple",
        "derived series 3; lower central series 3; centre 0",
        "Killing form: 0 positive, 3 negative, 0 zero",
        symmetry_algebra(certificate.symmetry).text_table(),
    ):
        assert part in shown
    other = algebra_text(certificates("(x - y)**4 + (x - y)**2")[0])
    assert "X1 = d/dx + d/dy" in other and "so(3)" not in other and "(transitive)" in other


def test_long_fields_are_shown_in_chart_coordinates(monkeypatch) -> None:
    import symdiscover.symmetry_algebra as module

    certificate = certificates("b*(x**2 - y)**2 + (x - a)**2")[0]
    assert "d/dx" in algebra_text(certificate) and "d/du1" not in algebra_text(certificate)
    monkeypatch.setattr(module, "SHOWN", 20)
    shown = algebra_text(certificate)
    assert "X1 = -u2*d/du1 + u1*d/du2" in shown and "u1 = " in shown and "d/dx" not in shown


def test_what_has_no_algebra_says_so() -> None:
    loss = sd.Loss.parse("x**2*y**2")
    chart = sd.Chart.identity(loss.variables)
    with pytest.raises(SymmetryError, match="without generators"):
        symmetry_algebra(sd.Symmetry(loss, SignedPermutation(2), chart))
    open_basis = Group("open", 2, (GL(2).basis[1], GL(2).basis[2]))
    with pytest.raises(SymmetryError, match="not closed"):
        symmetry_algebra(sd.Symmetry(loss, open_basis, chart))
    assert symmetry_algebra(sd.Symmetry(loss, SO(2), chart)).name == "R"
    discrete = sd.derive(sd.Loss.parse("x**3 - 3*x*y**2 + x**2*y"))
    assert "no continuous symmetry in the families tried" in derivation_algebra_text(discrete)
