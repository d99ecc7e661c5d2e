"""The ray route: known regions, groups and refusals."""

from __future__ import annotations

from dataclasses import replace

import pytest
import sympy as sp

import symdiscover as sd
from symdiscover.routes import NoSymmetry, quadratic, ray
from symdiscover.star import Star

# text, group, kind, centre
KNOWN = {
    "himmelblau": ("(x**2 + y - 11)**2 + (x + y**2 - 7)**2", "SO(2)", "implicit", (3, 2)),
    "convex": ("x**4 + y**2 + x**2*y**2 + exp(x**2)", "SO(2)", "implicit", (0, 0)),
    "three variables": ("x**4 + x**2 + y**2 + z**2 + x**2*y*z/4", "O(3)", "implicit", (0, 0, 0)),
    "one variable": ("x**4 + x**3 + x**2", "Z2", "discrete", (0,)),
    "shifted": ("cosh(x - 1) + (y + 2)**4 + (y + 2)**2", "SO(2)", "implicit", (1, -2)),
}


@pytest.mark.parametrize("name", KNOWN)
def test_known(name: str) -> None:
    text, group, kind, centre = KNOWN[name]
    claim = ray.find(sd.Loss.parse(text))[0]
    assert (claim.group.name, claim.kind, claim.route) == (group, kind, "ray")
    assert isinstance(claim.chart.lemma, Star) and claim.chart.lemma.centre == centre
    certificate = sd.verify(claim)
    assert certificate.status == "proved" and certificate.group_law and certificate.transitive


@pytest.mark.parametrize("name", ["himmelblau", "convex", "one variable"])
def test_known_twin(name: str) -> None:
    """The same region for a loss that has a ditch is not proved."""
    loss = sd.Loss.parse(KNOWN[name][0])
    star = ray.find(loss)[0].chart.lemma
    assert isinstance(star, Star)
    x = loss.variables[0]
    ditch = sp.exp(-((1000 * (x - star.centre[0] - star.far / 3)) ** 2)) / 10
    assert not star.holds(sd.Loss(loss.expression - ditch, loss.variables), 1.0)
    assert not replace(star, ceiling=star.ceiling * 4 + 10).holds(loss, 3.0)
    assert star.holds(loss, 10.0)


@pytest.mark.parametrize(
    ("text", "positive", "reason"),
    [
        ("a*x**2 + y**4", "a", "symbolic constants"),
        ("x**2 + y**4 + z**2 + w**4", "", "more than 3 variables"),
        ("floor(x**2 + y**2)", "", "no region|no intervals"),
        ("x**2 - y**2", "", "no region"),
        ("x + y**3", "", "no region"),
        ("sign(x)*y**2 + x**2", "", "no region"),
    ],
)
def test_honest_refusals(text: str, positive: str, reason: str) -> None:
    with pytest.raises(NoSymmetry, match=reason):
        ray.find(sd.Loss.parse(text, positive=positive))
    assert ray.find(sd.Loss.parse("x**2 + y**4 + y**2"))


def test_nothing_is_added_to_a_transitive_group() -> None:
    loss = sd.Loss.parse("x**2 + 4*y**2")
    with pytest.raises(NoSymmetry, match="anywhere on its level set"):
        ray.find(loss, tuple(quadratic.find(loss)))
    assert ray.find(loss)


def test_claims_of_the_same_star_are_equal() -> None:
    loss = sd.Loss.parse("x**2 + y**2 + u1**2")
    claim = ray.find(loss)[0]
    assert not {s.name for s in claim.chart.coordinates} & {"x", "y", "u1"}
    lemma = claim.chart.lemma
    assert isinstance(lemma, Star)
    assert ray.claim(loss, lemma) == claim != ray.claim(loss, replace(lemma, far=lemma.far / 2))
