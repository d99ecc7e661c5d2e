"""The route fibre: quadratics in a block of variables whose coefficients depend on the others."""

from __future__ import annotations

from dataclasses import replace

import pytest
import sympy as sp
import torch

from symdiscover.catalogue import load
from symdiscover.errors import NotInvariant
from symdiscover.generate import to_torch
from symdiscover.invariance import assert_invariant
from symdiscover.loss import Loss
from symdiscover.routes import NoSymmetry
from symdiscover.routes.fibre import find
from symdiscover.routes.peel import find as peel
from symdiscover.routes.quadratic import find as quadratic
from symdiscover.symmetry import Chart, Symmetry
from symdiscover.verify import verify

BLOCK = "x*((y - x**2)**2 + 4*(z - sin(x))**2)"

CASES = [
    # loss, group, kind, where it is claimed
    ("(y - x**2 + x)**2 + 10*cos(x)", "Z2", "discrete", "everywhere"),
    ("exp((y*x + sin(x))**2/(1 + x**2))", "Z2", "discrete", "Ne(x, 0)"),
    ("(1 + x**2)*y**2 + x**3*y", "Z2", "discrete", "everywhere"),
    (BLOCK, "SO(2)", "closed-form", "everywhere"),
    ("x*((y - x**2)**2 - exp(x)*z**2)", "O(1, 1)", "closed-form", "everywhere"),
    ("y**2*(x**2 + y**2*z**2 + w**2) + z + w*y", "O(3)", "closed-form", "Ne(y, 0)"),
]


@pytest.mark.parametrize(("text", "group", "kind", "domain"), CASES)
def test_finds_and_proves(text: str, group: str, kind: str, domain: str) -> None:
    claim = find(Loss.parse(text))[0]
    assert (claim.group.name, claim.kind, claim.domain) == (group, kind, domain)
    certificate = verify(claim)
    assert certificate.status == "proved" and certificate.group_law


@pytest.mark.parametrize("name", ["branin", "freudenstein-roth", "beale", "dixon-price"])
def test_catalogue_functions_with_a_reflection(name: str) -> None:
    claims = find(load(name).loss)
    assert [claim.group.name for claim in claims] == ["Z2"]
    assert verify(claims[0]).status == "proved"


def test_both_factors_of_a_matrix_can_turn_the_residual() -> None:
    claims = find(load("matrix-factorisation").loss)
    assert claims[0].group.name == "O(4)"
    v11, v12, v21, v22 = claims[0].chart.variables[4:]
    assert sp.Ne(v11 * v22 - v12 * v21, 0) in claims[0].chart.conditions
    assert verify(claims[0]).status == "proved"


@pytest.mark.parametrize("text", [BLOCK, "(y - x**2 + x)**2 + 10*cos(x)"])
def test_generated_code_leaves_the_loss_equal(text: str) -> None:
    action = to_torch(verify(find(Loss.parse(text))[0]))
    points = torch.randn(6, action.dimension, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    elements = action.random((6,), generator=torch.Generator().manual_seed(1))
    assert assert_invariant(action, points, elements) <= 8
    if action.group.discrete:
        elements = -torch.ones(1, 1, dtype=torch.float64)
    assert not torch.allclose(action(elements, points), points)


def test_a_wrong_centre_is_refuted() -> None:
    claim = find(Loss.parse(BLOCK))[0]
    x, y, z = claim.loss.variables
    u1, u2, u3 = claim.chart.coordinates
    wrong = Chart((x, y, z), (u1, u2, u3), (y - x**2 + 1, 2 * z - 2 * sp.sin(x), x),
                  ((x, u3), (y, u1 + u3**2 - 1), (z, u2 / 2 + sp.sin(u3))))  # fmt: skip
    verify(replace(claim, parameters=(), map=None, reduced=None))
    with pytest.raises(NotInvariant):
        verify(Symmetry(claim.loss, claim.group, wrong))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("x**3 + y**3 + x*y", "quadratic in no variable"),
        ("(x*y - 1)**4 + y**6 + x**6", "quadratic in no variable"),
        # The centre has a root that is real for x > 0 only.
        ("sqrt(x)*y**2 + y + x", "roots"),
        # Affine reflections belong to the route discrete.
        ("x**2*y**2 + x**4", "left to the route discrete"),
        ("(1 + x**2)*(y - z)**2 + z**4", "left to the route discrete"),
    ],
)
def test_claims_nothing_else(text: str, why: str) -> None:
    with pytest.raises(NoSymmetry, match=why):
        find(Loss.parse(text))


def test_pivots_of_undecided_ratio_give_single_reflections_only() -> None:
    claims = find(Loss.parse("y**2 + x*z**2 + y*sin(x) + z*exp(x)"))
    assert {claim.group.name for claim in claims} == {"Z2"}
    assert all(verify(claim).status == "proved" for claim in claims)


def test_a_constant_that_may_vanish_is_a_condition() -> None:
    (claim,) = find(Loss.parse("(a - 1)*x**2 + x*sin(y)", positive=["a"]))
    assert claim.domain == "Ne(a - 1, 0)"
    (claim,) = find(Loss.parse("(a + 1)*x**2 + x*sin(y)", positive=["a"]))
    assert claim.domain == "everywhere"


@pytest.mark.parametrize(("name", "route"), [("rosenbrock", peel), ("booth", quadratic)])
def test_what_is_found_already_is_not_repeated(name: str, route) -> None:  # type: ignore[no-untyped-def]
    loss = load(name).loss
    with pytest.raises(NoSymmetry):
        find(loss, tuple(route(loss)))


def test_a_partial_group_does_not_hide_another_reflection() -> None:
    # The ratio of the pivots of w and y is a sine, of either sign: y is no part of the block.
    loss = Loss.parse("(w**2 + v**2)*(1 + x**2) + sin(x)*y**2 + y*exp(x)")
    first = find(loss)
    assert [claim.group.name for claim in first] == ["SO(2)", "Z2"]
    again = find(loss, tuple(c for c in first if c.group.dimension))
    assert [c.group.name for c in again] == ["Z2"]
