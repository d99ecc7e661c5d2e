"""Pictures: what is drawn where, for every kind of group, without a display and without global state."""

from __future__ import annotations

import io
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import sympy as sp
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import symdiscover as sd
from symdiscover.plot import COLOURS, draw_domain, draw_levels, orbit_curve, plot_symmetry
from tests.symdiscover.claims import VALUES, certificate

ROOT = Path(__file__).resolve().parents[2]
DRAWN = ("booth", "rosenbrock", "saddle", "translation", "logarithmic")


def pixels(figure: Figure) -> np.ndarray:
    figure.set_dpi(60)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="rgba", dpi=60)
    return np.frombuffer(buffer.getvalue(), dtype=np.uint8)


def orbits(axes: Axes) -> list[np.ndarray]:
    """The orbits among the lines, in the order in which they were drawn."""
    return [line.get_xydata() for line in axes.lines if line.get_linestyle() == "-"]


@pytest.mark.parametrize("name", DRAWN)
def test_three_orbits_of_one_loss_each(name: str) -> None:
    proof = certificate(name)
    figure = plot_symmetry(proof, constants=VALUES)
    (axes,) = figure.axes
    action = sd.to_torch(proof, **{s.name: VALUES[s.name] for s in proof.loss.constants})
    curves = orbits(axes)
    assert [line.get_color() for line in axes.lines if line.get_linestyle() == "-"] == list(COLOURS[:3])
    heights = []
    for curve in curves:
        values = action.loss(torch.tensor(curve))
        assert torch.allclose(values, values[0].expand_as(values), rtol=1e-8, atol=1e-8)
        heights.append(float(values[0]))
        assert not torch.allclose(action.loss(torch.tensor(curve) + 0.1), values, rtol=1e-8, atol=1e-8)
    assert len({round(height, 6) for height in heights}) == 3
    low, high = np.array([axes.get_xlim(), axes.get_ylim()]).T
    for curve, start in zip(
        curves, [line.get_xydata()[0] for line in axes.lines if line.get_marker() == "o"], strict=True
    ):
        assert ((low <= start) & (start <= high)).all()
        assert np.abs(curve - start).sum(axis=1).min() < 1e-2 * np.abs(high - low).max()
        inside = ((low <= curve) & (curve <= high)).all(axis=1)
        assert inside.mean() > (0.999 if proof.group.element == "angle" else 0.05)
    assert figure.axes[0].collections
    assert pixels(figure).std() > 10


def test_labels_say_what_is_shown() -> None:
    figure = plot_symmetry(certificate("logarithmic"))
    axes = figure.axes[0]
    assert axes.get_title(loc="left").startswith("SO(2) orbits of $")
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("$x$", "$y$")
    assert figure.get_supxlabel() == "branch, proved; domain: x > 0"
    named = replace(
        certificate("booth").symmetry, loss=sd.Loss.parse("(x + 2*y - 7)**2 + (2*x + y - 5)**2", name="A $ B")
    )
    figure = plot_symmetry(sd.verify(named))
    assert figure.axes[0].get_title(loc="left") == r"SO(2) orbits of A \$ B"
    pixels(figure)


def test_names_that_look_like_tex_are_drawn() -> None:
    for text in (
        "alpha_1**2 + beta**2",
        "x_y_z**2 + sum**2",
        "mathrm**2 + frac**2",
        "hat**2 + x_hat**2",
        "Lambda**2 + lamda**2",
    ):
        figure = plot_symmetry(sd.verify(sd.routes.quadratic.find(sd.Loss.parse(text))[0]))
        assert pixels(figure).std() > 10


def test_a_loss_of_pieces_is_drawn_under_a_plain_title() -> None:
    loss = sd.Loss.parse("Piecewise((x**2 + y**2, x**2 + y**2 < 1), (1, True))")
    proof = sd.verify(sd.Symmetry(loss, sd.SO(2), sd.Chart.identity(loss.variables)))
    assert pixels(plot_symmetry(proof)).std() > 10


def test_starts_boxes_and_constants_are_taken() -> None:
    proof = certificate("rosenbrock")
    box = ((-2.0, 2.0), (-1.0, 3.0))
    figure = plot_symmetry(proof, starts=[(0.5, 0.5)], box=box, constants={"b": 2.0})
    axes = figure.axes[0]
    assert (axes.get_xlim(), axes.get_ylim()) == box
    (curve,) = orbits(axes)
    values = 2 * (curve[:, 0] ** 2 - curve[:, 1]) ** 2 + (curve[:, 0] - 1) ** 2
    assert np.allclose(values, values[0])
    other = plot_symmetry(proof, starts=[(0.5, 0.5)], box=box)
    assert not np.allclose(orbits(other.axes[0])[0], curve)


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(sd.SymmetryError, match="this loss has 3"):
        plot_symmetry(certificate("ellipsoid"))
    with pytest.raises(sd.SymmetryError, match="this loss has 1"):
        plot_symmetry(certificate("one square"))
    loss = sd.Loss.parse("x**4 + y**4")
    swap = sd.Symmetry(loss, sd.SignedPermutation(2), sd.Chart.identity(loss.variables), kind="discrete")
    with pytest.raises(sd.SymmetryError, match="discrete"):
        plot_symmetry(sd.verify(swap))


# Parts


def contours(loss, box=((-1.0, 1.0), (-1.0, 1.0))) -> list[float]:
    axes = Figure().add_subplot()
    drawn = draw_levels(axes, loss, box)
    assert (axes.get_xlim(), axes.get_ylim()) == box
    return [] if drawn is None else list(drawn.levels)


def test_levels_are_logarithmic_above_a_minimum_and_even_around_a_saddle() -> None:
    bowl = contours(lambda p: p.square().sum(-1))
    ratios = np.diff(np.log(np.array(bowl) - 2 * (1 / 399) ** 2))
    assert len(bowl) == 18 and np.allclose(ratios, ratios[0], rtol=0.05)
    saddle = contours(lambda p: p.prod(-1))
    assert len(saddle) == 18
    assert np.allclose(saddle, -np.array(saddle)[::-1], atol=1e-2)
    assert min(saddle) < 0 < max(saddle)
    assert not np.allclose(np.diff(saddle), saddle[1] - saddle[0], rtol=0.05)


def test_levels_of_odd_functions_are_no_error() -> None:
    assert contours(lambda p: torch.ones(p.shape[:-1])) == []
    assert contours(lambda p: torch.full(p.shape[:-1], torch.nan)) == []
    assert len(contours(lambda p: p[..., 0].log() ** 2 + p[..., 1] ** 2)) == 18
    assert len(contours(lambda p: 1 / p.square().sum(-1) ** 40)) > 1
    assert len(contours(lambda p: p[..., 0].sign())) >= 1
    assert contours(lambda p: p.square().sum(-1).requires_grad_())


def test_the_part_outside_the_domain_is_hatched() -> None:
    box = ((-1.0, 3.0), (-1.0, 1.0))
    axes = Figure().add_subplot()
    draw_domain(axes, certificate("logarithmic"), box)
    (shade,) = axes.collections
    path = np.concatenate([p.vertices for p in shade.get_paths() if len(p.vertices)])
    assert path[:, 0].min() == -1 and abs(path[:, 0].max()) < 0.02
    for name, where in (("booth", box), ("logarithmic", ((1.0, 3.0), (-1.0, 1.0)))):
        axes = Figure().add_subplot()
        draw_domain(axes, certificate(name), where)
        assert not axes.collections


def test_an_orbit_curve_is_closed_for_angles_alone() -> None:
    closed = orbit_curve(sd.to_torch(certificate("booth")), torch.tensor([0.0, 0.0], dtype=torch.float64))
    assert torch.allclose(closed[0], closed[-1])
    start = torch.tensor([1.0, 0.5], dtype=torch.float64)
    open_curve = orbit_curve(sd.to_torch(certificate("saddle")), start, count=101, reach=1.0)
    assert open_curve.shape == (101, 2)
    assert torch.allclose(open_curve[50], start)
    assert not torch.allclose(open_curve[0], open_curve[-1])


def test_global_state_is_left_alone() -> None:
    before = dict(matplotlib.rcParams)
    pixels(plot_symmetry(certificate("booth")))
    assert dict(matplotlib.rcParams) == before
    code = "import symdiscover.plot, sys; print('matplotlib.pyplot' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == "False"


def test_the_same_picture_twice() -> None:
    first, second = pixels(plot_symmetry(certificate("saddle"))), pixels(plot_symmetry(certificate("saddle")))
    assert np.array_equal(first, second)
    other = sd.verify(sd.routes.quadratic.find(sd.Loss.parse("2*x*y"))[0])
    different = pixels(plot_symmetry(other))
    assert different.size != first.size or not np.array_equal(first, different)


def test_symbols_stay_symbols() -> None:
    assert plot_symmetry(certificate("booth")).axes[0].get_xlabel() == f"${sp.latex(sp.Symbol('x'))}$"
