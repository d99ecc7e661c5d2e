"""The separable route: sums and products of functions of one variable, turned in their basins."""

from __future__ import annotations

from dataclasses import replace

import pytest
import sympy as sp

import symdiscover as sd
from symdiscover import catalogue
from symdiscover.basins import Basins
from symdiscover.routes import NoSymmetry, quadratic, separable

x, y = sp.symbols("x y", real=True)
# text, positive, group, kind
KNOWN = {
    "powers": ("x**4 + 3*abs(y - 1)", "", "SO(2)", "closed-form"),
    "three": ("abs(x) + y**2 + z**4", "", "O(3)", "closed-form"),
    "constants": ("a*x**4 + abs(y)", "a", "SO(2)", "closed-form"),
    "cosines": ("x**2 - 10*cos(2*pi*x) + y**2 - 10*cos(2*pi*y)", "", "SO(2)", "implicit"),
    "outer": ("exp(-x**4 - abs(y))", "", "SO(2)", "closed-form"),
    "turned": ("(x + y)**4 + (x - y)**2", "", "SO(2)", "closed-form"),
}
CATALOGUE = {
    "rastrigin": "implicit",
    "easom": "implicit",
    "schwefel-2-20": "closed-form",
    "powell-sum": "closed-form",
}


@pytest.mark.parametrize("name", KNOWN)
def test_known(name: str) -> None:
    text, positive, group, kind = KNOWN[name]
    claim = separable.find(sd.Loss.parse(text, positive=positive))[0]
    assert (claim.group.name, claim.kind, claim.route) == (group, kind, "separable")
    certificate = sd.verify(claim)
    assert certificate.status == "proved" and certificate.group_law and certificate.transitive


@pytest.mark.parametrize("name", CATALOGUE)
def test_functions_of_the_catalogue(name: str) -> None:
    loss = catalogue.load(name).loss
    claim = separable.find(loss)[0]
    assert claim.kind == CATALOGUE[name] and isinstance(claim.chart.lemma, Basins)
    assert all(fact.proved for fact in claim.chart.lemma.prove(loss))
    first = loss.variables[0]
    other = sd.Loss(
        loss.expression + sp.Rational(1, 10**12) * first * loss.variables[1], loss.variables, loss.constants
    )
    assert not all(fact.proved for fact in claim.chart.lemma.prove(other))


@pytest.mark.parametrize("name", ["powers", "cosines", "turned"])
def test_known_twin(name: str) -> None:
    """A region that is too large, or a part that is another one, is not proved."""
    loss = sd.Loss.parse(KNOWN[name][0])
    lemma = separable.find(loss)[0].chart.lemma
    assert isinstance(lemma, Basins)
    other = replace(lemma, parts=(lemma.parts[0] + sp.sin(20 * x) / 5, *lemma.parts[1:]), inverses=((), ()))
    total = sum(
        f.xreplace({v: e})
        for f, v, e in zip(other.parts, (x, y), lemma.frame * sp.Matrix([x, y]), strict=True)
    )
    assert not all(fact.proved for fact in other.prove(sd.Loss(lemma.outer.xreplace({x: total}), (x, y))))
    if lemma.barrier != sp.oo:
        assert not all(fact.proved for fact in replace(lemma, barrier=lemma.barrier * 2).prove(loss))
    assert all(fact.proved for fact in lemma.prove(loss))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x**2", "one variable"),
        ("x**2*y + y**3 + sin(x*y)", "no sum and no product"),
        ("x + y", "no basin"),
        ("floor(x) + y**2", "no basin"),
        ("x**2 + sign(x) + y**2", "no basin|separable"),
        ("atan(x) + y**2", "no basin"),
    ],
)
def test_honest_refusals(text: str, reason: str) -> None:
    with pytest.raises(NoSymmetry, match=reason):
        separable.find(sd.Loss.parse(text))
    assert separable.find(sd.Loss.parse("x**4 + y**2"))


def test_nothing_is_added_to_a_transitive_group() -> None:
    loss = sd.Loss.parse("x**2 + 4*y**2")
    with pytest.raises(NoSymmetry, match="anywhere on its level set"):
        separable.find(loss, tuple(quadratic.find(loss)))
    assert separable.find(loss)
