"""The route level_set: what it claims for which loss, and where it claims nothing."""

from __future__ import annotations

import pytest
import torch

import symdiscover as sd
import teleport as tp
from symdiscover import Loss, catalogue
from symdiscover.generate import to_torch
from symdiscover.routes import Find, NoSymmetry, routes
from symdiscover.routes.graph import find as graph
from symdiscover.routes.level_set import find
from symdiscover.routes.quadratic import find as quadratic
from symdiscover.routes.ray import find as ray
from symdiscover.verify import verify


def test_is_the_last_route() -> None:
    assert routes()[-1].name == "level_set"


@pytest.mark.parametrize(
    ("text", "group", "element"),
    [
        ("x**4 + y**4 + x*y", "SO(2)", "angle"),
        ("Max(Abs(x), 2*Abs(y))", "SO(2)", "angle"),
        ("log(1 + x**2 + y**4)", "SO(2)", "angle"),
        ("x*y + sin(x)", "level-set flow", "time"),
        ("exp(x) - y**3", "level-set flow", "time"),
        ("Piecewise((x**2 + y, x > 0), (y, True))", "level-set flow", "time"),
        ("Abs(x)*y + sqrt(1 + y**2)", "level-set flow", "time"),
        ("x**4 + y**4 + sin(x*z)", "level-set flow", "vector"),
    ],
)
def test_claims_by_the_shape_of_level_curves(text: str, group: str, element: str) -> None:
    [claim] = find(Loss.parse(text))
    assert (claim.group.name, claim.group.element, claim.kind, claim.flow) == (
        group,
        element,
        "numerical",
        (),
    )
    assert verify(claim).status == "numerical"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x**4 + x", "points"),
        ("sign(x) + sign(y)", "constant in pieces"),
        ("Max(0, sign(x*y))", "constant in pieces"),
        ("floor(x) + ceiling(y)", "not differentiable"),
        ("floor(x) + y", "not differentiable"),
        ("floor(x**2 + y**2)", "not differentiable"),
    ],
)
def test_claims_nothing_where_nothing_can_be_followed(text: str, reason: str) -> None:
    with pytest.raises(NoSymmetry, match=reason):
        find(Loss.parse(text))


def test_claims_nothing_for_a_constant_loss() -> None:
    with pytest.raises(NoSymmetry, match="constant"):
        find(Loss.parse("7", variables="x, y"))


def test_is_a_fallback() -> None:
    """A group that moves each point anywhere on its level set is enough; one that does not is not."""
    loss = Loss.parse("x**2 + 4*y**2")
    with pytest.raises(NoSymmetry, match="anywhere on its level set"):
        find(loss, tuple(quadratic(loss)))
    assert find(loss)[0].group.element == "angle"
    partial = sd.derive(Loss.parse("(x**2 + y**2)*z + z**3"))
    assert [s.route for s in partial if s.group.dimension] and partial[-1].route == "level_set"
    assert not partial.certificates[0].transitive and partial.certificates[-1].transitive


@pytest.mark.parametrize(
    ("text", "route", "stands_back"),
    [
        ("x**2 + 4*y**2", quadratic, True),
        ("x**4 + y**2 + x**2*y**2 + exp(x**2)", ray, False),
        ("(y - x**2)**2*(1 + x**4) + cos(x)", graph, False),
    ],
)
def test_is_offered_beside_what_acts_in_one_region(text: str, route: Find, stands_back: bool) -> None:
    """A group that moves each point of one basin anywhere on its level set has nothing for the other points."""
    loss = Loss.parse(text)
    found = tuple(route(loss, ()))
    assert found[0].group.dimension == 1 and bool(found[0].chart.conditions) != stands_back
    if stands_back:
        with pytest.raises(NoSymmetry, match="anywhere on its level set"):
            find(loss, found)
    else:
        assert find(loss, found)[0].kind == "numerical"


def test_stands_behind_what_is_proved() -> None:
    derivation = sd.derive(catalogue.load("himmelblau").loss, only=("translations", "discrete", "level_set"))
    assert [c.status for c in derivation.certificates][-1] == "numerical"
    assert derivation[-1].group.name == "SO(2)"
    entry = derivation.certificates[-1].as_dict()
    assert (entry["kind"], entry["dimension"], entry["group_law"], entry["map"]) == (
        "numerical",
        1,
        False,
        None,
    )


def test_translations_stay_divided_out() -> None:
    """The flow of the reduced loss, lifted: it moves the coordinates that the loss depends on."""
    derivation = sd.derive(
        Loss.parse("(x - y)**2 + (x - y)*z**3 + exp(z)"), only=("translations", "level_set")
    )
    assert [s.group.name for s in derivation] == ["R", "level-set flow"]
    a = to_torch(derivation.certificates[-1])
    x = torch.rand(5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    moved = a(torch.tensor(0.7, dtype=torch.float64), x)
    assert ((a.loss(moved) - a.loss(x)) / a.loss(x)).abs().max() < 1e-12
    pivot = (moved == x).all(0)
    assert pivot.sum() == 1 and not pivot[2]
    still = torch.tensor([1.0, 1.0, -40.0], dtype=torch.float64)
    still[2] = torch.nan
    assert torch.equal(a(torch.tensor(0.7), still).nan_to_num(), still.nan_to_num())


@pytest.mark.parametrize("text", ["x**4 + y**4 + x*y", "x*y + sin(x)", "x**4 + y**4 + sin(x*z)"])
def test_teleports_along_it(text: str) -> None:
    a = to_torch(verify(find(Loss.parse(text))[0]))
    x = torch.rand(2, a.dimension, generator=torch.Generator().manual_seed(1), dtype=torch.float64) + 0.5
    up = tp.ascend(a, x, radius=0.5, method="general", steps=3)
    assert (up.after > 1.05 * up.before).all() and (up.radius <= 0.5 + 1e-9).all()
    assert torch.allclose(a.loss(up.point), a.loss(x), rtol=1e-12)
    assert torch.allclose(a(up.element, x), up.point, atol=1e-12)
    down = tp.ascend(a, x, radius=0.5, method="general", steps=3, minimise=True)
    assert (down.after < up.before).all()


@pytest.mark.slow
def test_sampled_search_of_a_closed_curve() -> None:
    """The largest gradient on the whole curve, against a fine grid of angles."""
    a = to_torch(verify(find(Loss.parse("x**4 + y**4 + x*y"))[0]))
    x = torch.tensor([0.9, 0.4], dtype=torch.float64)
    found = tp.ascend(a, x)
    turns = torch.linspace(0, 2 * torch.pi, 400, dtype=torch.float64)
    with torch.no_grad():
        orbit = a(turns, x)
    grid = tp.gradient_norm(a.loss, orbit)
    assert found.after >= grid.max() * (1 - 1e-9) and found.after <= grid.max() * 1.01
    assert not torch.isclose(found.after, grid.min(), rtol=0.1)


@pytest.mark.slow
def test_descent_with_teleports() -> None:
    a = to_torch(verify(find(catalogue.load("himmelblau").loss)[0]))
    x = torch.tensor([0.5, 0.5], dtype=torch.float64)
    settings = tp.AscentSettings(radius=0.3, method="general", steps=2)
    run = tp.descend(a.loss, x, 1e-3, 20, action=a, schedule=tp.at(5), teleport=settings)
    plain = tp.descend(a.loss, x, 1e-3, 20)
    [record] = run.teleports
    assert bool(record.accepted) and run.losses[-1] < plain.losses[-1]
