"""Figures of descents: the path over level sets with its teleports, and convergence. Needs matplotlib.

Every function returns a `Figure` of its own and touches no global state, so that no display is needed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from torch import Tensor

from symdiscover.errors import SymmetryError
from symdiscover.plot import COLOURS, Box, draw_levels
from teleport.point_action import PointAction
from teleport.trajectory import TeleportRecord, Trajectory

#: Colour of the orbits along which teleports move, and how many points one is drawn with.
ORBIT_COLOUR, ORBIT_POINTS = "0.25", 361
LINE_WIDTH = 1.3
#: Beyond this a value is left out: what diverged would leave room for nothing else, and overflows the axis.
LARGEST = 1e100


def plot_trajectory(
    trajectories: Trajectory | Sequence[Trajectory],
    loss: Callable[[Tensor], Tensor] | None = None,
    action: PointAction | None = None,
    labels: Sequence[str] = (),
    minimum: Sequence[float] | None = None,
    box: Box | None = None,
    title: str = "",
) -> Figure:
    """Level sets of a loss of two variables and paths of descents; teleports are arrows along their orbits.

    Parameters
    ----------
    trajectories:
        One or several, each from a single start.
    loss:
        Draws the level sets; that of the action where one is given.
    action:
        Draws, dashed, the part of the orbit that each teleport moves along. Without it teleports are straight
        arrows.
    labels:
        Names for the legend, one for each trajectory.
    minimum:
        Where to put a star.
    box:
        ((x low, x high), (y low, y high)); otherwise the box of all points, with a margin.

    Raises
    ------
    SymmetryError
        If a trajectory has not two coordinates, or several rows, or the labels do not match.
    """
    paths = _several(trajectories, labels)
    for path in paths:
        if path.points.ndim != 2 or path.points.shape[-1] != 2:
            raise SymmetryError(
                f"a path over level sets has points (T + 1, 2), not {tuple(path.points.shape)}: "
                "take one row of a batch with trajectory.row(i), or use plot_convergence"
            )
    figure = Figure(figsize=(5.6, 4.6), layout="constrained")
    axes = figure.add_subplot()
    box = box or _box(paths, minimum)
    loss = loss or (None if action is None else action.loss)
    if loss is not None:
        with torch.no_grad():
            levels = draw_levels(axes, loss, box, levels=14)
        if levels is not None:
            levels.set(alpha=0.45)
    for i, path in enumerate(paths):
        points = path.points.double().cpu().numpy()
        colour = COLOURS[i % len(COLOURS)]
        _draw_path(axes, points, path.teleports, colour, labels[i] if labels else None)
        for record in path.teleports:
            if bool(record.accepted):
                _draw_teleport(axes, record, action, colour)
    for start in {tuple(path.points[0].tolist()) for path in paths}:
        axes.plot(*start, "o", color="black", markerfacecolor="white", markersize=6, zorder=5, label="start")
    if minimum is not None:
        axes.plot(*minimum, "*", color="black", markersize=10, zorder=5, label="minimum", linestyle="none")
    axes.set(xlim=box[0], ylim=box[1], xlabel="$x_1$", ylabel="$x_2$", title=title)
    _legend(axes)
    return figure


def plot_convergence(
    trajectories: Trajectory | Sequence[Trajectory],
    labels: Sequence[str] = (),
    title: str = "",
    colours: Sequence[str] = COLOURS,
) -> Figure:
    """Loss and ‖∇L‖² against step, on logarithmic axes; dots mark the steps before which a teleport moved.

    At a teleport the loss stays and ‖∇L‖² jumps. Of a batch of starts the median is drawn, in a band from the
    10th to the 90th percentile; values that are not finite count as largest.

    Parameters
    ----------
    labels:
        Names for the legend, one for each trajectory.
    colours:
        Of the lines, in turn.

    Raises
    ------
    SymmetryError
        If there is no trajectory, or the labels do not match.
    """
    paths = _several(trajectories, labels)
    figure = Figure(figsize=(8.4, 3.4), layout="constrained")
    panels = figure.subplots(1, 2)
    for i, path in enumerate(paths):
        colour = colours[i % len(colours)]
        label = labels[i] if labels else None
        _draw_curve(panels[0], path, path.losses, "loss_after", colour, label)
        _draw_curve(panels[1], path, path.gradient_norms, "gradient_after", colour, label)
    for axes, name in zip(panels, ("loss", r"$\|\nabla L\|^2$"), strict=True):
        axes.set(xlabel="step", ylabel=name, yscale="log")
        last = max(len(path.losses) - 1 for path in paths)
        axes.set_xlim(-0.02 * last - 0.01, 1.02 * last + 0.01)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25, linewidth=0.5)
    if labels and any(bool(record.accepted.any()) for path in paths for record in path.teleports):
        panels[0].plot([], [], "o", color="0.3", markersize=3.5, label="teleport")
    _legend(panels[0])
    if title:
        figure.suptitle(title, fontsize=11)
    return figure


def _several(trajectories: Trajectory | Sequence[Trajectory], labels: Sequence[str]) -> list[Trajectory]:
    paths = [trajectories] if isinstance(trajectories, Trajectory) else list(trajectories)
    if not paths:
        raise SymmetryError("there is no trajectory to draw")
    if labels and len(labels) != len(paths):
        raise SymmetryError(f"{len(paths)} trajectories need as many labels, not {len(labels)}")
    return paths


def _legend(axes: Axes) -> None:
    handles, names = axes.get_legend_handles_labels()
    unique = dict(zip(names, handles, strict=True))
    if unique:
        axes.legend(
            unique.values(), unique.keys(), frameon=True, framealpha=0.9, fontsize=8, handlelength=1.6
        )


def _box(paths: Sequence[Trajectory], minimum: Sequence[float] | None) -> Box:
    """A box around every finite point, and around the minimum."""
    places = [path.points.double().cpu() for path in paths]
    places += [record.after.double().cpu()[None] for path in paths for record in path.teleports]
    if minimum is not None:
        places.append(torch.tensor([minimum], dtype=torch.float64))
    points = torch.cat(places)
    points = points[(points.abs() < LARGEST).all(-1)]
    if not len(points):
        raise SymmetryError("no point of the trajectories is finite")
    low, high = points.amin(0), points.amax(0)
    margin = 0.1 * (high - low).amax().clamp_min(1e-3).maximum(high - low)
    (left, bottom), (right, top) = (low - margin).tolist(), (high + margin).tolist()
    return (left, right), (bottom, top)


def _draw_path(
    axes: Axes,
    points: NDArray[np.float64],
    teleports: Sequence[TeleportRecord],
    colour: str,
    label: str | None,
) -> None:
    """The steps of the optimizer; the line is broken where a teleport moved."""
    xs, ys = list(points[:, 0]), list(points[:, 1])
    for record in sorted(teleports, key=lambda record: record.step, reverse=True):
        if bool(record.accepted):
            x, y = record.after.double().tolist()
            xs[record.step + 1 : record.step + 1] = [math.nan, x]
            ys[record.step + 1 : record.step + 1] = [math.nan, y]
    dots = "." if len(points) <= 60 else None
    axes.plot(xs, ys, color=colour, linewidth=LINE_WIDTH, marker=dots, markersize=4, label=label, zorder=3)


def _draw_teleport(axes: Axes, record: TeleportRecord, action: PointAction | None, colour: str) -> None:
    curve = _orbit_arc(record, action)
    if curve is not None:
        axes.plot(*curve.T, linestyle=(0, (4, 2)), color=ORBIT_COLOUR, linewidth=1.0, zorder=2, label="orbit")
    tail = record.before.double().cpu().numpy() if curve is None else curve[-max(len(curve) // 40, 2)]
    head = record.after.double().cpu().numpy()
    arrow = {"arrowstyle": "-|>", "color": ORBIT_COLOUR, "linewidth": 1.0, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", xy=tuple(head), xytext=tuple(tail), arrowprops=arrow, zorder=4, annotation_clip=True)
    axes.plot(
        *head, "o", color=colour, markeredgecolor="black", markeredgewidth=0.6, markersize=4.5, zorder=4
    )


def _orbit_arc(record: TeleportRecord, action: PointAction | None) -> NDArray[np.float64] | None:
    """The points a(exp(s log g), x), 0 <= s <= 1, where log g can be read off the element: (M, 2)."""
    if action is None or action.group.element == "matrix":
        return None
    element = record.element.double().cpu()
    if action.group.element == "angle":  # the short way round
        element = torch.remainder(element + math.pi, 2 * math.pi) - math.pi
    share = torch.linspace(0, 1, ORBIT_POINTS, dtype=torch.float64).reshape((-1,) + (1,) * element.ndim)
    with torch.no_grad():
        curve = action(share * element, record.before.double().cpu())
    return curve.numpy()


def _draw_curve(
    axes: Axes, path: Trajectory, values: Tensor, landing: str, colour: str, label: str | None
) -> None:
    """One quantity against step, with what it is after each teleport put in at the same step."""
    rows = values.double().cpu().reshape(len(values), -1)
    steps, heights = [float(t) for t in range(len(rows))], list(rows)
    marks: list[float] = []
    for record in sorted(path.teleports, key=lambda record: record.step, reverse=True):
        if bool(record.accepted.any()):
            after = getattr(record, landing).double().cpu().reshape(-1)
            steps.insert(record.step + 1, float(record.step))
            heights.insert(record.step + 1, after)
            marks.append(record.step)
    table = torch.stack(heights).nan_to_num(nan=torch.inf, posinf=torch.inf)
    middle = _finite_quantile(table, 0.5)
    axes.plot(steps, middle, color=colour, linewidth=LINE_WIDTH, label=label)
    if rows.shape[1] > 1:
        low, high = _finite_quantile(table, 0.1), _finite_quantile(table, 0.9)
        axes.fill_between(steps, low, high, color=colour, alpha=0.18, linewidth=0)
    places = [i for i in range(1, len(steps)) if steps[i] == steps[i - 1]]
    axes.plot(
        [steps[i] for i in places],
        [middle[i] for i in places],
        "o",
        color=colour,
        markersize=3.5,
        markeredgecolor="white",
        markeredgewidth=0.5,
    )


def _finite_quantile(table: Tensor, q: float) -> NDArray[np.float64]:
    """The q-th quantile of each row, not interpolated; NaN where a logarithmic axis cannot show it."""
    quantile = table.quantile(q, dim=1, interpolation="nearest")
    return torch.where((quantile > 0) & (quantile < LARGEST), quantile, torch.nan).numpy()
