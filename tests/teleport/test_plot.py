from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from symdiscover.errors import SymmetryError
from teleport.ascent import AscentSettings
from teleport.descend import descend
from teleport.plot import plot_convergence, plot_trajectory
from teleport.schedule import at, every
from tests.teleport.actions import booth, ellipsoid, point, points, product, rosenbrock


def paths():
    plain = descend(booth().loss, point(5, -5), 0.08, 10)
    teleported = descend(booth().loss, point(5, -5), 0.08, 10, action=booth(), schedule=at(4))
    return plain, teleported


def curves(axes):
    return [line.get_xydata() for line in axes.get_lines()]


def test_a_path_is_drawn_with_its_orbit_its_start_and_the_minimum(tmp_path) -> None:
    plain, teleported = paths()
    figure = plot_trajectory([plain, teleported], action=booth(), labels=["GD", "teleport"], minimum=(1, 3))
    (axes,) = figure.axes
    drawn = curves(axes)
    assert any(np.allclose(line, plain.points.numpy()) for line in drawn if len(line) == 11)
    orbit = next(line for line in drawn if len(line) == 361)
    losses = booth().loss(torch.tensor(orbit))
    assert np.ptp(losses.numpy()) < 1e-9 * float(losses.max())
    np.testing.assert_allclose(orbit[0], teleported.points[4].numpy())
    np.testing.assert_allclose(orbit[-1], teleported.teleports[0].after.numpy())
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert texts == ["GD", "teleport", "orbit", "start", "minimum"]
    assert len(axes.collections) > 0  # level sets
    figure.savefig(tmp_path / "path.png")
    assert (tmp_path / "path.png").stat().st_size > 10_000


def test_the_line_is_broken_at_a_teleport_and_goes_on_where_it_landed() -> None:
    _, teleported = paths()
    (axes,) = plot_trajectory(teleported).axes
    line = next(line for line in curves(axes) if len(line) == 13)
    assert np.isnan(line[5]).all()
    np.testing.assert_allclose(line[6], teleported.teleports[0].after.numpy())
    np.testing.assert_allclose(line[7], teleported.points[5].numpy())


def test_every_point_is_inside_the_box_and_a_given_box_is_kept() -> None:
    _, teleported = paths()
    (axes,) = plot_trajectory(teleported, action=booth()).axes
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    x, y = teleported.points.T.numpy()
    assert left < x.min() and x.max() < right and bottom < y.min() and y.max() < top
    (axes,) = plot_trajectory(teleported, action=booth(), box=((0, 2), (1, 4))).axes
    assert axes.get_xlim() == (0, 2) and axes.get_ylim() == (1, 4)


def test_convergence_jumps_in_the_gradient_and_not_in_the_loss() -> None:
    _, teleported = paths()
    left, right = plot_convergence(teleported).axes
    loss, gradient = curves(left)[0], curves(right)[0]
    assert loss[:, 0].tolist() == gradient[:, 0].tolist() == [0, 1, 2, 3, 4, 4, 5, 6, 7, 8, 9, 10]
    np.testing.assert_allclose(loss[4, 1], loss[5, 1])
    np.testing.assert_allclose(gradient[5, 1] / gradient[4, 1], float(teleported.teleports[0].gain))
    assert left.get_yscale() == right.get_yscale() == "log"
    assert curves(left)[1].tolist() == [[4, float(teleported.losses[4])]]


def test_a_batch_is_drawn_as_median_and_band() -> None:
    path = descend(rosenbrock().loss, points(9, 0.5), 1e-3, 20, action=rosenbrock(), schedule=every(10))
    left, _ = plot_convergence([path], ["nine starts"]).axes
    middle = curves(left)[0]
    np.testing.assert_allclose(middle[0, 1], path.losses[0].median().item())
    assert len(left.collections) == 1
    texts = [text.get_text() for text in left.get_legend().get_texts()]
    assert texts == ["nine starts", "teleport"]


def test_diverged_paths_and_zeros_are_drawn_without_a_warning(recwarn, tmp_path) -> None:
    diverged = descend(rosenbrock().loss, point(100, 100), 1e-3, 20)
    solved = descend(booth().loss, point(1, 3), 0.08, 5, action=booth(), schedule=at(2))
    for i, figure in enumerate(
        (
            plot_convergence([diverged, solved]),
            plot_trajectory(solved, action=booth()),
            plot_trajectory(diverged),
        )
    ):
        figure.savefig(tmp_path / f"{i}.png")
    assert [str(w.message) for w in recwarn if "matplotlib" in str(w.filename)] == []


def test_other_groups_are_drawn() -> None:
    scaling = descend(
        product().loss,
        point(1, 3),
        0.01,
        4,
        action=product(),
        schedule=at(1),
        teleport=AscentSettings(radius=0.5),
    )
    (axes,) = plot_trajectory(scaling, action=product()).axes
    orbit = next(line for line in curves(axes) if len(line) == 361)
    np.testing.assert_allclose(np.ptp(orbit.prod(axis=1)), 0, atol=1e-12)


def test_what_cannot_be_drawn_is_refused_in_words() -> None:
    plain, teleported = paths()
    with pytest.raises(SymmetryError, match="labels"):
        plot_trajectory([plain, teleported], labels=["one"])
    with pytest.raises(SymmetryError, match="no trajectory"):
        plot_convergence([])
    batch = descend(booth().loss, points(3), 0.08, 2)
    with pytest.raises(SymmetryError, match=r"row\(i\)"):
        plot_trajectory(batch)
    plot_trajectory(batch.row(0))
    with pytest.raises(SymmetryError, match=r"two|2"):
        plot_trajectory(descend(ellipsoid().loss, points(1, n=3)[0], 0.01, 2))
    with pytest.raises(SymmetryError, match="finite"):
        plot_trajectory(descend(booth().loss, point(math.nan, 0), 0.01, 2))


def test_figures_are_made_without_pyplot() -> None:
    """No state, no window: a program that never imports pyplot still never has it; matplotlib it has only when it draws."""
    program = (
        "import sys, torch, teleport as tp\n"
        "assert 'matplotlib' not in sys.modules, 'importing teleport loads matplotlib'\n"
        "path = tp.descend(lambda x: (x**2).sum(-1), torch.tensor([1.0, 2.0]), 0.1, 3)\n"
        "tp.plot_trajectory(path); tp.plot_convergence(path)\n"
        "assert 'matplotlib' in sys.modules and 'matplotlib.pyplot' not in sys.modules\n"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert isinstance(plot_convergence(paths()[0]), Figure)
    assert matplotlib.get_backend().lower() == "agg"
