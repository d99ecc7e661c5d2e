"""What the pictures of the experiments share: a landscape of level sets, orbits, and the path of a descent."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from numpy.typing import NDArray
from torch import Tensor

from symdiscover.plot import Box
from teleport.point_action import PointAction
from teleport.trajectory import TeleportRecord, Trajectory

#: Grey enough for level sets to be read, light enough for any colour of a path to stand out.
GREYS = LinearSegmentedColormap.from_list("landscape", ("#ffffff", "#dcdfe4", "#bfc4cc"))
INK = "#1d2733"
#: Points of a curve along an orbit.
CURVE = 721
#: How many level sets are drawn, evenly in the logarithm of the loss.
LEVELS = 13


def draw_landscape(axes: Axes, loss: Callable[[Tensor], Tensor], box: Box) -> None:
    """Fill a box ((x low, x high), (y low, y high)) by the logarithm of a loss of two variables, minimum 0."""
    x, y = (torch.linspace(*side, 220, dtype=torch.float64) for side in box)
    with torch.no_grad():
        values = loss(torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)).numpy()
    heights = np.geomspace(max(values.min(), values.max() * 1e-5), values.max(), LEVELS)
    depth = np.log10(np.maximum(values, heights[0]))
    axes.contourf(x, y, depth, levels=np.log10(heights), cmap=GREYS, extend="both")
    axes.contour(x, y, depth, levels=np.log10(heights[1:-1]), colors="#8f98a5", linewidths=0.45)
    axes.set(xlim=box[0], ylim=box[1])
    axes.tick_params(labelsize=8, length=2.5)


def orbit(
    action: PointAction, point: Tensor, low: float = -math.pi, high: float = math.pi
) -> NDArray[np.float64]:
    """The points a(theta, x) for angles from low to high, (CURVE, n)."""
    angles = torch.linspace(low, high, CURVE, dtype=torch.float64)
    with torch.no_grad():
        return action(angles, point.double().expand(CURVE, -1)).numpy()


def arc(action: PointAction, record: TeleportRecord) -> NDArray[np.float64]:
    """The part of an orbit that a teleport by an angle moves along, the short way round, from tail to head."""
    angle = math.remainder(float(record.element), 2 * math.pi)
    return orbit(action, record.before, 0.0, angle)


def draw_arrow(axes: Axes, curve: NDArray[np.float64], colour: str, width: float = 1.6) -> None:
    """A curve with an arrow head at its end; the head is as long whatever the curve's length."""
    axes.plot(*curve.T, color=colour, linewidth=width, zorder=4, solid_capstyle="round")
    inside = axes.transData.transform(curve)
    back = np.flatnonzero(np.hypot(*(inside - inside[-1]).T) > 5 * width)
    tail = curve[back[-1]] if len(back) else curve[0]
    style = {"arrowstyle": "-|>", "color": colour, "linewidth": width, "shrinkA": 0, "shrinkB": 0}
    style["mutation_scale"] = 5 + 4 * width
    axes.annotate("", xy=tuple(curve[-1]), xytext=tuple(tail), arrowprops=style, zorder=5)


def draw_descent(
    axes: Axes, path: Trajectory, colour: str, action: PointAction | None = None, width: float = 1.4
) -> None:
    """The steps of one descent, a dot each where they are few; teleports are arrows along their orbits."""
    points = path.points.double().numpy()
    moved = [record for record in path.teleports if bool(record.accepted)]
    starts = [0, *(record.step for record in moved)]
    ends = [*(record.step for record in moved), len(points) - 1]
    for index, (first, last) in enumerate(zip(starts, ends, strict=True)):
        piece = points[first : last + 1].copy()
        if index:  # it sets out from where the teleport landed
            piece[0] = moved[index - 1].after.double().numpy()
        axes.plot(
            *piece.T,
            color=colour,
            linewidth=width,
            marker="o" if len(points) <= 40 else None,
            markersize=2.6,
            zorder=3,
            solid_joinstyle="round",
        )
    for record in moved:
        if action is not None and math.dist(record.before.tolist(), record.after.tolist()) > 1e-3:
            draw_arrow(axes, arc(action, record), INK, 1.0)


def mark(axes: Axes, start: Sequence[float] | None, minimum: Sequence[float] | None) -> None:
    """An open circle at the start, a star at the minimum."""
    if start is not None:
        axes.plot(*start, "o", color=INK, markerfacecolor="white", markersize=6, zorder=6, label="start")
    if minimum is not None:
        axes.plot(*minimum, "*", color=INK, markersize=9, zorder=6, linestyle="none", label="minimum")
