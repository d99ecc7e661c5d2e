"""The route polynomial: tangent fields of degree two and three that are new, and none of those every loss has."""

from __future__ import annotations

from dataclasses import replace

import pytest
import sympy as sp
import torch

import symdiscover as sd
from symdiscover import Loss, NotInvariant, catalogue
from symdiscover.generate import to_torch
from symdiscover.routes import NoSymmetry
from symdiscover.routes.polynomial import find
from symdiscover.verify import verify

U1, U2, U3 = sp.symbols("u1:4", real=True)


@pytest.mark.parametrize(
    ("text", "positive", "field"),
    [
        ("exp(x**3 + y**2)", "", (U2, -3 * U1**2 / 2)),
        ("(x**3 + y**2)**2", "", (U2, -3 * U1**2 / 2)),
        ("(a*x**3 + y**2)**2", "a", (2 * U2, -3 * sp.Symbol("a", positive=True) * U1**2)),
        ("x*y**2*(x + y)**3", "", (U1**2 + 5 * U1 * U2 / 2, -2 * U1 * U2 - U2**2 / 2)),
        ("x*y*(x + y)*z", "", (U1**2, -(U2**2), 2 * U2 * U3 - 2 * U1 * U3)),
    ],
)
def test_primitive_fields(text: str, positive: str, field: tuple[sp.Expr, ...]) -> None:
    """Up to a factor; of a product of powers of lines it has degree two (Darboux)."""
    [claim] = find(Loss.parse(text, positive=positive))
    assert claim.flow == field and claim.kind == "numerical"
    certificate = verify(claim)
    found = {identity.name: identity.status for identity in certificate.identities}
    assert found["tangency"] == "proved" and found["map"] == "numerical" and certificate.status == "numerical"
    wrong = replace(claim, flow=(claim.flow[0] + U1**2, *claim.flow[1:]))
    with pytest.raises(NotInvariant, match="tangency"):
        verify(wrong)


@pytest.mark.parametrize(
    "text",
    [
        "x**3 + y**2",
        "x**2*y",
        "x**4 + y**4 + x*y",
        "x**3 + y**3 + z**3 + x*y*z",
        "(x**2 + y**2)*z + z**3",
        "x*y*z**2",
    ],
)
def test_what_every_loss_has_is_no_finding(text: str) -> None:
    """A grad L and polynomial multiples of affine fields annihilate these, and nothing else of degree three."""
    with pytest.raises(NoSymmetry, match="combinations"):
        find(Loss.parse(text))


@pytest.mark.parametrize("name", ["himmelblau", "six-hump-camel", "beale", "three-hump-camel"])
def test_nothing_is_invented_on_the_catalogue(name: str) -> None:
    with pytest.raises(NoSymmetry, match="combinations"):
        find(catalogue.load(name).loss)


@pytest.mark.parametrize(
    ("text", "reason"),
    [("x**4", "points"), ("exp(x) + y*sin(y)", "no function of a polynomial"), ("x*y + z*w**3", "unknowns"),
     ("x**13 + y", "degree above")],
)  # fmt: skip
def test_says_why_not(text: str, reason: str) -> None:
    with pytest.raises(NoSymmetry, match=reason):
        find(Loss.parse(text))


def test_is_left_out_where_a_group_is_found() -> None:
    loss = Loss.parse("exp(x**2 + y**2)")
    rotations = sd.derive(loss, only=["quadratic"])
    with pytest.raises(NoSymmetry, match="anywhere on its level set"):
        find(loss, tuple(rotations))
    derivation = sd.derive(Loss.parse("exp(x**3 + y**2)"), only=["polynomial", "affine"])
    assert [s.route for s in derivation] == ["polynomial"]


def test_flow_keeps_the_loss_and_runs_away_nowhere() -> None:
    a = to_torch(verify(find(Loss.parse("x*y**2*(x + y)**3"))[0]))
    x = torch.rand(8, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 0.5
    near, far = torch.tensor(0.1, dtype=torch.float64), torch.tensor(1e3, dtype=torch.float64)
    moved = a(near, x)
    assert ((a.loss(moved) - a.loss(x)) / a.loss(x)).abs().max() < 1e-12 and (moved != x).any(-1).all()
    assert torch.allclose(a(near, moved), a(2 * near, x), rtol=1e-8)
    assert not torch.allclose(a(near, moved), a(1.01 * 2 * near, x), rtol=1e-4)
    away = a(far, x)  # it reaches infinity before
    assert torch.isfinite(away).all() and (away == x).all(-1).any()
