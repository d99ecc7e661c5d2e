"""Translations: constant directions, exactly, and the loss without them."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
import sympy as sp
from hypothesis import given, settings

import symdiscover as sd
from symdiscover import Loss, catalogue
from symdiscover.routes import NoSymmetry, quadratic, translations
from symdiscover.routes.translations import quotient

x, y, z = sp.symbols("x y z", real=True)

# text, variables, constants, groups
KNOWN: dict[str, tuple[str, str | None, str, list[str]]] = {
    "x + y - z squared": ("(x + y - z)**2", None, "", ["R^2", "GL(2)"]),
    "one direction": ("(x - y)**4", None, "", ["R"]),
    "linear": ("3*x + 2*y - z", None, "", ["R^2"]),
    "a variable that is not used": ("x**4", "x, y", "", ["R"]),
    "constant": ("5", "x, y", "", ["R^2"]),
    "constants in the direction": ("sin(a*x - b*y)", None, "a, b", ["R"]),
    "differences": ("(x - y)**2 + (y - z)**2*exp(x - z)", None, "", ["R"]),
    "kinks": ("Abs(x - y) + Max(x, y) - y", None, "", ["R"]),
    "steps": ("floor(x - y) + x - y", None, "", ["R"]),
    "a logarithm": ("log(1 + (x - y)**2)", None, "", ["R"]),
}


@pytest.mark.parametrize("name", KNOWN)
def test_known(name: str) -> None:
    text, variables, positive, groups = KNOWN[name]
    claims = translations.find(Loss.parse(text, variables=variables, positive=positive))
    assert [claim.group.name for claim in claims] == groups
    for claim in claims:
        certificate = sd.verify(claim)
        assert certificate.status == "proved" and certificate.group_law


@pytest.mark.parametrize("text", ["x**2 + y**2", "x", "sin(x) + y**4", "x*y", "exp(x) - y"])
def test_none(text: str) -> None:
    with pytest.raises(NoSymmetry):
        translations.find(Loss.parse(text))


def test_a_step_is_claimed_and_refuted() -> None:
    """The gradient of a step is 0 almost everywhere: `verify` sees the jump."""
    loss = Loss.parse("Piecewise((1, x > 0), (0, True)) + y**2")
    derivation = sd.derive(loss, only=["translations"])
    assert not len(derivation)
    (attempt,) = derivation.tried
    assert "refuted" in attempt.outcome
    with pytest.raises(sd.NotInvariant):
        sd.verify(translations.find(loss)[0])


@settings(max_examples=40)
@given(st.lists(st.lists(st.integers(-3, 3), min_size=3, max_size=3), min_size=1, max_size=3))
def test_directions_are_the_null_space(rows: list[list[int]]) -> None:
    """f(A x) is constant along exactly the null space of A."""
    matrix = sp.Matrix(rows)
    inner = matrix * sp.Matrix([x, y, z])
    loss = Loss(sp.Add(*[form**4 + form**3 for form in inner]), (x, y, z))
    null = 3 - matrix.rank()
    if not null:
        with pytest.raises(NoSymmetry):
            translations.find(loss)
        return
    claim = translations.find(loss)[0]
    assert claim.group.dimension == null
    divided = quotient(loss)
    assert len(divided.pivots) == null and len(divided.reduced.variables) == (3 - null or 3)
    moved = loss.expression.xreplace(dict(zip(loss.variables, claim.map, strict=True)))
    assert sp.expand(moved - loss.expression) == 0
    other = loss.expression.xreplace(dict(zip(loss.variables, (x + claim.parameters[0], y, z), strict=True)))
    assert (sp.expand(other - loss.expression) == 0) == (matrix[:, 0].is_zero_matrix)


def test_the_quotient_and_its_lift() -> None:
    """L(x) = reduced(y), and what the reduced loss has, the loss has."""
    loss = Loss.parse("(x + y)**2 + 3*(y + z)**2*1 + (x + y)*(y + z)")
    divided = quotient(loss)
    assert divided.pivots and divided.reduced.dimension == 2
    back = divided.reduced.expression.xreplace({v: v - s for v, s in divided.shifts.items()})
    assert sp.expand(back - loss.expression) == 0
    lifted = divided.lift(quadratic.find(divided.reduced)[0])
    certificate = sd.verify(lifted)
    assert certificate.status == "proved" and lifted.loss == loss
    assert not certificate.transitive and certificate.orbit_dimension == 1
    from dataclasses import replace

    wrong = replace(divided, shifts={v: -s for v, s in divided.shifts.items()})
    with pytest.raises(sd.NotInvariant):
        sd.verify(wrong.lift(quadratic.find(divided.reduced)[0]))


def test_no_direction_depends_on_a_value_of_the_constants() -> None:
    """(a - 1) x + y has the direction (1, 1 - a), which is one for every a; x (a - 1) alone has none."""
    (claim,) = translations.find(Loss.parse("sin((a - 1)*x + y)", positive="a"))
    assert sd.verify(claim).status == "proved"
    with pytest.raises(NoSymmetry):
        translations.find(Loss.parse("sin((a - 1)*x)", positive="a"))
    with pytest.raises(NoSymmetry):
        translations.find(Loss.parse("sin((a - 1)*x) + y**4", positive="a"))


@pytest.mark.parametrize(
    "name", ["softmax-cross-entropy", "logistic-regression", "distance-geometry", "degenerate-quadratic"]
)
def test_of_the_catalogue(name: str) -> None:
    claims = translations.find(catalogue.load(name).loss)
    assert claims and all(sd.verify(claim).status == "proved" for claim in claims)
