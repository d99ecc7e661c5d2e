"""Graphs: what is solved for one variable by a formula is proved over a box, and what is not is not."""

from __future__ import annotations

from dataclasses import replace

import pytest
import sympy as sp
import torch

import symdiscover as sd
from symdiscover import Loss, SymmetryError, catalogue
from symdiscover.graph import Graph
from symdiscover.literal import from_literal, to_literal
from symdiscover.routes import NoSymmetry, graph

KNOWN = {
    "quadratic in y": "(y - x**2)**2*(1 + x**4) + cos(x)",
    "linear in x": "x*exp(y) + y**2",
    "a function of one": "log(3 + (y - sin(x))**2*(2 + cos(x)) + x**4)",
    "three variables": "(y - z*x)**2 + sin(x)*z**2",
}


def found(text: str) -> sd.Symmetry:
    (claim,) = graph.find(Loss.parse(text))
    return claim


@pytest.mark.parametrize("name", KNOWN)
def test_known(name: str) -> None:
    claim = found(KNOWN[name])
    certificate = sd.verify(claim)
    assert (certificate.status, certificate.group_law, certificate.transitive) == ("proved", True, True)
    assert claim.kind == "branch" and claim.group.name in ("R", "R^2")


@pytest.mark.parametrize("name", KNOWN)
def test_the_code_keeps_the_loss_and_composes(name: str) -> None:
    claim = found(KNOWN[name])
    action = sd.to_torch(sd.verify(claim))
    n = claim.loss.dimension
    centre, spread = claim.chart.lemma.cell(claim.loss)
    point = torch.tensor(centre, dtype=torch.float64)
    point = point + 0.1 * torch.tensor(spread, dtype=torch.float64) @ torch.ones(n, dtype=torch.float64)
    g, h = torch.full((n - 1,), 0.3, dtype=torch.float64), torch.full((n - 1,), -0.8, dtype=torch.float64)
    moved = action(g, action(h, point))
    assert torch.allclose(moved, action(g + h, point), rtol=1e-9)
    assert not torch.allclose(moved, action(g - h, point), rtol=1e-9)
    change = (action.loss(moved) - action.loss(point)).abs() / action.loss(point).abs()
    assert change < 1e-11 < (action.loss(moved + 1e-3) - action.loss(point)).abs()


@pytest.mark.parametrize(
    "changes",
    [
        {"level": sp.Integer(-5)},
        {"inner": sp.Integer(2)},
        {"lows": (sp.Integer(-40),)},
        {"outer": sp.Symbol("x", real=True) + 1},
    ],
    ids=[
        "a level below the ridge",
        "another inner function",
        "a box with a higher ridge",
        "another outer function",
    ],
)
def test_false_lemmas_are_not_proved(changes: dict[str, object]) -> None:
    claim = found("(y - x**2)**2*(1 + x**4) + cos(x) + x**2")
    lemma = claim.chart.lemma
    assert isinstance(lemma, Graph) and lemma.holds(claim.loss)
    if "inner" in changes:
        changes = {"inner": lemma.inner + 1}
    wrong = replace(lemma, **changes)
    assert not wrong.holds(claim.loss)


@pytest.mark.parametrize(
    "text",
    [
        "x + log(y)",
        "x*exp(y) + sqrt(y)",
        "x + 1/y",
        "x**2 + 2*x/y + 1/y**2 + y**2",
        "x**2*(2 + y) + log(y)",
        "x*(2 + cos(log(y)))",  # what is around a hole may have finite bounds
        "x + exp(-1/y**2)",
        "x*(2 + atan(log(y)))",
        "x + 1/(1 + log(y)**2)",
        "x + sign(y)",
        "x + Piecewise((cos(sqrt(y)), y < 1/2), (1, True))",
        "x**2*(2 + tanh(log(y))) + cos(sqrt(y))",
    ],
)
def test_holes_and_poles_in_the_box_are_no_proof(text: str) -> None:
    """The leading coefficient is positive there, and no ridge is too high; but psi is not real, not finite, or jumps."""
    loss = Loss.parse(text)
    solved, side = sp.Integer(0), sp.Integer(1)
    level = -sp.oo if sp.degree(loss.expression, loss.variables[0]) == 1 else sp.Integer(50)
    wrong = Graph(
        loss.expression, loss.variables[0], solved, side, (sp.Integer(-1),), (sp.Integer(2),), level
    )
    assert not wrong.holds(loss)
    assert replace(wrong, lows=(sp.Integer(1),)).holds(loss)
    try:
        (claim,) = graph.find(loss)
    except NoSymmetry:
        return
    assert claim.chart.lemma.lows[0] > 0


def test_a_level_that_moves_is_refused() -> None:
    """x^2 + y^2 > y^2 + 1/10 holds at y and need not at its image."""
    y = sp.Symbol("y", real=True)
    claim = found("y**4 + cos(y)*0 + x**2*(1 + y**2)")
    with pytest.raises(SymmetryError, match="are numbers"):
        replace(claim.chart.lemma, level=y**2 + sp.Rational(1, 10))


def test_another_group_is_refused() -> None:
    claim = found(KNOWN["quadratic in y"])
    with pytest.raises(SymmetryError, match="not about groups like"):
        sd.verify(replace(claim, group=sd.SO(2), parameters=(), map=None))


def test_it_reads_back() -> None:
    claim = found(KNOWN["linear in x"])
    literal = to_literal(claim)
    assert from_literal(literal).chart == claim.chart
    with pytest.raises(SymmetryError):
        from_literal({**literal, "lemma": {**literal["lemma"], "highs": ["7"]}})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x**4 + y**4", "no variable"),
        ("cos(x)", "between 2"),
        ("x**4*y**3 + x**3*y**4", "no variable"),
    ],
)
def test_honest_refusals(text: str, reason: str) -> None:
    with pytest.raises(NoSymmetry, match=reason):
        graph.find(Loss.parse(text))


def test_a_branch_beside_a_turn() -> None:
    """Branin's function: the basin is turned up to a root, the branch above it moved by a formula."""
    kinds = {c.symmetry.route: c.symmetry.kind for c in sd.derive(catalogue.load("branin").loss).certificates}
    assert kinds["ray"] == "implicit" and kinds["graph"] == "branch"
    assert "graph" not in {c.symmetry.route for c in sd.derive(catalogue.load("booth").loss).certificates}
