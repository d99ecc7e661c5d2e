from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

import symdiscover as sd
import teleport as tp
from symdiscover.errors import Diverged, SymmetryError
from teleport import level_set
from teleport.ascent_result import REASONS
from teleport.cli import main
from teleport.level_set import Displacement, LevelSetSettings, level_set_ascent
from teleport.objective import gradient_norm
from teleport.point_teleport import LOSS_CHANGED, evaluate, teleport_point
from tests.teleport.actions import DOUBLE, booth, point, points, rosenbrock

START = point(7.5, -4)


def loss_of(name):
    return sd.to_torch(sd.catalogue.load(name).loss)


def cosine(loss, x):
    """cos(H∇L, ∇L) by a derivation of its own: finite differences of the gradient in float64."""
    g = evaluate(loss, x).gradient
    step = 1e-6 * g / g.norm()
    product = evaluate(loss, x + step).gradient - evaluate(loss, x - step).gradient
    return float(torch.cosine_similarity(product, g, dim=-1))


def logistic(d=12, n=120, l2=0.01):
    """The l2-regularised logistic regression of a synthetic data set, and a start."""
    random = torch.Generator().manual_seed(0)
    data = torch.randn(n, d, generator=random, dtype=DOUBLE) * torch.linspace(0.2, 2.0, d, dtype=DOUBLE)
    noise = torch.randn(n, generator=random, dtype=DOUBLE)
    labels = (data @ torch.randn(d, generator=random, dtype=DOUBLE) + noise).sign()
    start = torch.randn(d, generator=random, dtype=DOUBLE)

    def loss(w):
        return torch.nn.functional.softplus(-labels * (w @ data.T)).mean(-1) + l2 / 2 * w.square().sum(-1)

    return loss, start


class TestBooth:
    """From (7.5, -4), where the largest ‖∇L‖² on the level set is 36 L: MATH.md, sections 2 and 6."""

    def test_the_maximum_is_reached_with_fewer_products_than_published(self) -> None:
        found = level_set_ascent(booth().loss, START)
        assert float(found.after / found.loss_before) > 35.99
        assert found.reason == "converged" and found.hessian_products <= 46
        assert abs(float(found.point[1] - found.point[0]) - 2) < 1e-2  # on the line x2 = x1 + 2
        few = level_set_ascent(booth().loss, START, LevelSetSettings(steps=5))
        assert float(few.after / few.loss_before) < 10 and few.reason == "steps used"

    def test_the_loss_rises_by_no_more_than_the_tolerance(self) -> None:
        for tolerance in (1e-6, 1e-9):
            found = level_set_ascent(booth().loss, START, LevelSetSettings(tolerance=tolerance))
            assert float(found.loss_change) <= tolerance
            assert float(booth().loss(found.point) - booth().loss(START)) == float(found.loss_change)

    def test_the_published_weight_of_the_constraint_is_slower(self, monkeypatch) -> None:
        """0.1 is twenty times the multiplier of the constraint here: 50 steps do not get to 35.99 L."""
        at_the_end = 18 / (36 * 92.25)
        monkeypatch.setattr(level_set, "WEIGHT", 0.1 / at_the_end)
        found = level_set_ascent(booth().loss, START)
        assert float(found.after / found.loss_before) < 35.99


def test_on_a_logistic_regression_the_gradient_becomes_an_eigenvector() -> None:
    loss, start = logistic()
    found = level_set_ascent(loss, start)
    before, after = cosine(loss, start), cosine(loss, found.point)
    assert before < 0.95 and after > 0.9995
    assert float(found.gain) > 1.2 and float(found.loss_change) <= 1e-6


def test_a_wrong_hessian_product_does_not_get_there(monkeypatch) -> None:
    """H∇L replaced by ∇L looks stationary everywhere."""
    loss, start = logistic()
    monkeypatch.setattr(level_set._Look, "hessian_product", lambda look: look.gradient)
    found = level_set_ascent(loss, start)
    assert cosine(loss, found.point) < 0.95 and found.reason == "already stationary on the level set"


def test_without_the_projection_the_loss_rises_and_nothing_is_moved(monkeypatch) -> None:
    monkeypatch.setattr(level_set._Climb, "_back", lambda climb, slope, delta: torch.zeros_like(slope))
    monkeypatch.setattr(level_set, "RETURNS", 0)
    monkeypatch.setattr(level_set, "WEIGHT", 0.0)
    found = level_set_ascent(booth().loss, START)
    assert not bool(found.moved) and found.reason == "no larger gradient within the tolerance"
    assert torch.equal(found.point, START) and not found.element.any() and float(found.gain) == 1


class Reckless(LevelSetSettings):
    """Ascends along H∇L, without projection, and says that all is well."""

    def __call__(self, action, point, generator=None):
        g = evaluate(action.loss, point)
        moved = point + 0.01 * level_set._Look.at(action.loss, point).hessian_product()
        there = evaluate(action.loss, moved)
        found = super().__call__(action, point, generator)
        return replace(found, point=moved, before=g.gradient_norm, after=there.gradient_norm)


def test_the_acceptance_check_lets_a_loss_fall_and_not_rise() -> None:
    loss, generator = booth().loss, torch.Generator().manual_seed(0)
    here, action = evaluate(loss, START), Displacement(loss, 2)
    record, there = teleport_point(0, action, Reckless(), loss, here, generator)
    assert record.reason == LOSS_CHANGED and not bool(record.accepted) and torch.equal(there.point, START)
    assert float(record.relative_change) > 1e-3  # of the candidate, which was refused

    def fall(action, point, generator=None):
        least = point.new_tensor([1, 3])
        return replace(LevelSetSettings()(action, point), point=least + 0.9 * (point - least))

    class Falling(LevelSetSettings):
        __call__ = staticmethod(fall)

    record, there = teleport_point(0, action, Falling(), loss, here, generator)
    assert bool(record.accepted) and float(record.loss_after) < float(record.loss_before) - 1
    record, _ = teleport_point(0, action, Falling(equality=True), loss, here, generator)
    assert record.reason == LOSS_CHANGED
    record, _ = teleport_point(0, action, fall, loss, here, generator)  # a search along a symmetry
    assert record.reason == LOSS_CHANGED


def test_descend_needs_no_action() -> None:
    loss = loss_of("goldstein-price")
    plain = tp.descend(loss, point(0, 0), 1e-5, 30)
    path = tp.descend(loss, point(0, 0), 1e-5, 30, schedule=tp.at(0), teleport=LevelSetSettings(radius=0.2))
    (record,) = path.teleports
    assert bool(record.accepted) and record.reason == "radius reached"
    assert float(record.loss_after - record.loss_before) <= 1e-6
    torch.testing.assert_close(record.before + record.element, record.after)
    assert float(record.radius) == pytest.approx(float(record.element.norm())) and float(record.radius) <= 0.2
    assert float(path.losses[1]) < float(plain.losses[1])
    settings = json.loads(path.to_json())["settings"]["teleport"]
    assert settings["search"] == "LevelSetSettings" and settings["radius"] == 0.2


def test_what_does_not_fit_together_is_said() -> None:
    run = {"schedule": tp.at(0), "teleport": LevelSetSettings()}
    with pytest.raises(SymmetryError, match="take no action"):
        tp.descend(booth().loss, START, 0.1, 1, action=booth(), **run)
    with pytest.raises(SymmetryError, match="take no tolerance"):
        tp.descend(booth().loss, START, 0.1, 1, tolerance=1e-3, **run)
    with pytest.raises(SymmetryError, match="needs an action"):
        tp.descend(booth().loss, START, 0.1, 1, schedule=tp.at(0))
    for wrong in (
        {"steps": 0},
        {"rho": 0.0},
        {"rho": float("inf")},
        {"tolerance": -1.0},
        {"stationarity": float("nan")},
        {"max_gain": 1.0},
        {"radius": 0.0},
        {"radius": torch.tensor([1.0, -1.0])},
    ):
        with pytest.raises(SymmetryError):
            LevelSetSettings(**wrong)
    with pytest.raises(SymmetryError, match="float32 or float64"):
        level_set_ascent(booth().loss, START.half())
    LevelSetSettings(radius=torch.tensor([1.0, 2.0]))


def test_the_guard_halves_the_distance() -> None:
    loss, start = rosenbrock().loss, point(-1, -1)
    run = {"schedule": tp.at(0), "teleport": LevelSetSettings()}
    free = tp.descend(loss, start, 1e-3, 1, **run)
    guarded = tp.descend(loss, start, 1e-3, 1, guard=True, **run)
    plain = tp.descend(loss, start, 1e-3, 1)
    assert float(free.losses[1]) > float(plain.losses[1])
    assert float(guarded.losses[1]) <= float(plain.losses[1])
    (record,) = guarded.teleports
    assert record.rejected > 0 and float(record.radius) < float(free.teleports[0].radius)


def test_rows_are_independent() -> None:
    """A batch gives what its rows give alone: far and near ones, a minimum, and one that is not finite."""
    rows = torch.cat(
        [points(3, 5.0), points(2, 1e-4) + point(1, 3), torch.stack([point(1, 3), point(torch.nan, 0)])]
    )
    together = level_set_ascent(booth().loss, rows)
    for i, row in enumerate(rows):
        alone = level_set_ascent(booth().loss, row)
        assert alone.reason == together.reason[i] and int(alone.steps) == int(together.steps[i])
        torch.testing.assert_close(alone.point, together.point[i], rtol=1e-6, atol=1e-9, equal_nan=True)
    assert together.reason[-2:] == ("zero gradient", "not finite") and not together.moved[-2:].any()
    torch.testing.assert_close(together.point[-2:], rows[-2:], rtol=0, atol=0, equal_nan=True)
    ratio = together.after[:5] / together.loss_before[:5]
    assert bool((ratio > 35.9).all() and (ratio < 36 + 1e-4).all())


def test_the_tolerance_is_smaller_where_the_loss_is() -> None:
    """An absolute one would let a loss of 1e-9 rise a thousandfold."""
    start = point(1 + 1e-5, 3 - 2e-5)
    found = level_set_ascent(booth().loss, start)
    assert float(found.gain) > 1.5
    assert float(found.loss_change) <= 1e-6 * float(found.loss_before) < 1e-14
    settings = LevelSetSettings()
    small, large = torch.tensor(1e-9, dtype=DOUBLE), torch.tensor(404.0, dtype=DOUBLE)
    assert not bool(settings.keeps(small, small + 1e-12)) and bool(settings.keeps(small, small * (1 + 1e-7)))
    assert bool(settings.keeps(large, large + 9e-7)) and not bool(settings.keeps(large, large + 2e-6))
    assert not bool(settings.keeps(large, large * torch.nan))
    assert bool(settings.keeps(large, small)) and not bool(
        LevelSetSettings(equality=True).keeps(large, small)
    )


def test_with_equality_the_loss_neither_rises_nor_falls() -> None:
    loss, start = loss_of("goldstein-price"), point(0, 0)
    below = level_set_ascent(loss, start)
    on = level_set_ascent(loss, start, LevelSetSettings(equality=True))
    assert float(below.loss_change) < -1e-5
    assert abs(float(on.loss_change)) <= 1e-6 and float(on.gain) > 2


def test_a_radius_and_a_cap_on_the_gain_are_kept_and_reached() -> None:
    rows = points(6, 5.0)
    bounds = torch.tensor([0.1, 0.2, 0.4, 0.8, 1.6, 0.01], dtype=DOUBLE)
    found = level_set_ascent(booth().loss, rows, LevelSetSettings(radius=bounds))
    distance = (found.point - rows).norm(dim=-1)
    torch.testing.assert_close(found.radius, distance)
    assert bool((distance <= bounds).all())
    reached = torch.tensor([reason == "radius reached" for reason in found.reason])
    assert int(reached.sum()) >= 4 and bool((distance[reached] > 0.9 * bounds[reached]).all())
    capped = level_set_ascent(booth().loss, START, LevelSetSettings(max_gain=2.0))
    assert capped.reason == "gain reached" and 1.9 < float(capped.gain) <= 2
    assert float(level_set_ascent(booth().loss, START).gain) > 8


def test_a_loss_that_is_not_coercive_ends_at_the_bounds() -> None:
    """x² e^y has level sets on which the gradient grows without end."""

    def loss(w):
        return w[..., 0].square() * w[..., 1].exp()

    start = point(1, 3)
    found = level_set_ascent(loss, start)
    assert found.hessian_products <= 50 and bool(found.point.isfinite().all())
    near = level_set_ascent(loss, start, LevelSetSettings(radius=0.05))
    assert near.reason == "radius reached" and 1 < float(near.gain) < float(found.gain)


def test_where_nothing_can_be_gained_nothing_moves() -> None:
    cases = {
        "zero gradient": (booth().loss, point(1, 3)),
        "not finite": (lambda w: w.log().sum(-1), point(-1, 2)),
        "already stationary on the level set": (lambda w: w.square().sum(-1), point(3, 4)),
    }
    for reason, (loss, start) in cases.items():
        found = level_set_ascent(loss, start)
        assert found.reason == reason and reason in REASONS and not bool(found.moved)
        assert torch.equal(found.point, start) and float(found.gain) == 1 and int(found.steps) == 0
    linear = level_set_ascent(lambda w: w.sum(-1), point(1, 2))
    assert linear.reason == "already stationary on the level set"
    constant = level_set_ascent(lambda w: torch.ones_like(w[..., 0]), point(1, 2))
    assert constant.reason == "zero gradient"
    assert bool(level_set_ascent(booth().loss, START).moved)


def test_a_second_derivative_that_is_not_finite_stops_before_the_first_step() -> None:
    found = level_set_ascent(lambda w: w[..., 0].abs().pow(1.5) + w[..., 1], point(0, 1))
    assert found.reason == "not finite" and not bool(found.moved)
    assert bool(level_set_ascent(lambda w: w[..., 0].abs().pow(1.5) + w[..., 1], point(1, 1)).moved)


def test_a_loss_that_is_not_finite_is_an_error_when_asked_for() -> None:
    run = {"schedule": tp.at(0), "teleport": LevelSetSettings()}
    start = point(torch.nan, 0)
    with pytest.raises(Diverged):
        tp.descend(booth().loss, start, 0.1, 1, on_failure="raise", **run)
    (record,) = tp.descend(booth().loss, start, 0.1, 1, **run).teleports
    assert record.reason == "not finite" and not bool(record.accepted)
    tp.descend(booth().loss, point(1, 3), 0.1, 1, on_failure="raise", **run)  # a minimum is no failure


def test_the_objective_is_the_gradient_norm_at_the_points() -> None:
    rows = points(8, 4.0)
    found = level_set_ascent(rosenbrock().loss, rows)
    torch.testing.assert_close(found.before, gradient_norm(rosenbrock().loss, rows))
    torch.testing.assert_close(found.after, gradient_norm(rosenbrock().loss, found.point))
    assert bool((found.after >= found.before).all()) and bool((found.gain > 1.01).any())
    torch.testing.assert_close(rosenbrock().loss(found.point), found.loss_after)


@pytest.mark.parametrize("start", [START, point(-1, -1)], ids=["short", "long"])
def test_the_work_is_counted(start, monkeypatch) -> None:
    """A gradient for each evaluation of the loss, one product a step; nothing is evaluated twice for one point."""
    calls, products = 0, 0
    product = level_set._Look.hessian_product

    def loss(w):
        nonlocal calls
        calls += 1
        return rosenbrock().loss(w)

    def counted(look):
        nonlocal products
        products += 1
        return product(look)

    monkeypatch.setattr(level_set._Look, "hessian_product", counted)
    found = level_set_ascent(loss, start, LevelSetSettings(steps=7))
    assert (found.evaluations, found.hessian_products) == (calls, products) and products == 7
    assert found.gradient_equivalents == calls + 2 * products
    assert calls >= 1 + int(found.steps)


def test_single_precision() -> None:
    found = level_set_ascent(booth().loss, START.float())
    assert found.point.dtype == torch.float32 and float(found.loss_change) <= 1e-6
    assert float(found.after / found.loss_before) > 35.99


def test_the_command_line_needs_no_symmetry(capsys) -> None:
    line = [
        "run",
        "himmelblau",
        "--start=0,0",
        "--lr=0.001",
        "--steps=5",
        "--teleport-at=0",
        "--mode=level-set",
    ]
    assert main([*line, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)["teleports"][0]
    assert record["accepted"] and record["gain"] > 2 and record["loss_after"] <= record["loss_before"] + 1e-6
    assert main([*line, "--radius=0.1", "--ascent-steps=3", "--ascent-lr=0.5"]) == 0
    shown = capsys.readouterr().out
    assert "within the level set (approximate)" in shown and "moved" in shown
    for unused in ("--seed=1", "--budget=3"):
        assert main([*line, unused]) == 2
        assert "means nothing with --mode level-set" in capsys.readouterr().err
    assert main([*line[:-2], "--mode=level-set"]) == 2  # without saying when
