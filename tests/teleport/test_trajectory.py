from __future__ import annotations

import json
import math
import pickle
from dataclasses import FrozenInstanceError

import pytest
import torch

from symdiscover.errors import SymmetryError
from teleport.descend import descend
from teleport.schedule import at, every
from teleport.trajectory import Trajectory
from tests.teleport.actions import booth, point, points, rosenbrock


def run(start, **settings):
    return descend(booth().loss, start, 0.05, 6, action=booth(), schedule=every(3), **settings)


def test_json_holds_the_numbers_and_reads_back() -> None:
    path = run(point(5, -5))
    table = json.loads(path.to_json())
    assert torch.equal(torch.tensor(table["points"], dtype=torch.float64), path.points)
    assert torch.equal(torch.tensor(table["losses"], dtype=torch.float64), path.losses)
    assert [record["step"] for record in table["teleports"]] == [2, 5]
    first = table["teleports"][0]
    assert first["gain"] == float(path.teleports[0].gain) and first["accepted"] is True
    assert first["reason"] == "exact optimum" and first["after"] == path.teleports[0].after.tolist()
    assert table["settings"]["schedule"] == "every(3)" and table["settings"]["lr"] == 0.05
    assert table["diverged"] is False and table["gradients"] == 6


def test_json_has_null_where_a_number_is_not_finite() -> None:
    path = descend(rosenbrock().loss, point(100, 100), 1.0, 20)
    assert bool(path.diverged)
    table = json.loads(path.to_json(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert table["final_loss"] is None and table["losses"][0] == float(path.losses[0])


def test_settings_with_a_search_are_plain() -> None:
    from teleport.ascent import AscentSettings

    path = run(points(2), teleport=AscentSettings(radius=torch.tensor([0.1, 0.2], dtype=torch.float64)))
    search = json.loads(path.to_json())["settings"]["teleport"]
    assert search["radius"] == [0.1, 0.2] and search["objective"] == "gradient_norm"


def test_diverged_marks_the_rows_that_left_the_finite_numbers() -> None:
    starts = torch.stack([point(0, 0), point(100, 100), point(math.nan, 0)])
    path = descend(rosenbrock().loss, starts, 1e-3, 20)
    assert path.diverged.tolist() == [False, True, True]
    assert path.final_loss.isfinite().tolist() == [True, False, False]


def test_a_row_of_a_batch_is_a_trajectory() -> None:
    path = run(points(3))
    row = path.row(1)
    assert torch.equal(row.points, path.points[:, 1]) and row.losses.shape == (7,)
    assert row.teleports[0].reason == path.teleports[0].reason[1]
    assert torch.equal(row.teleports[0].element, path.teleports[0].element[1])
    assert not torch.equal(row.points, path.row(0).points)
    with pytest.raises(SymmetryError, match="batch shape"):
        row.row(0)


def test_a_trajectory_is_frozen_and_pickles() -> None:
    path = run(point(5, -5))
    with pytest.raises(FrozenInstanceError):
        path.seconds = 0.0
    again = pickle.loads(pickle.dumps(path))
    assert isinstance(again, Trajectory) and again.to_json() == path.to_json()


def test_later_steps_do_not_change_what_was_recorded() -> None:
    """The parameter is changed in place; records hold copies."""
    path = descend(booth().loss, point(5, -5), 0.05, 6, action=booth(), schedule=at(2))
    record = path.teleports[0]
    assert torch.equal(record.before, path.points[2])
    assert not torch.equal(record.after, path.points[3])
    torch.testing.assert_close(booth().loss(record.after), record.loss_after, rtol=0, atol=0)


def test_a_loss_that_was_not_finite_once_has_diverged() -> None:
    losses = torch.tensor([[1.0, 1.0], [math.inf, 2.0], [1.0, 3.0]])
    path = Trajectory(torch.zeros(3, 2, 1), losses, torch.zeros(3, 2))
    assert path.diverged.tolist() == [True, False]
