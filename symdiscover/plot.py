"""Pictures of a symmetry in two dimensions: level sets, orbits, domain. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from symdiscover.action import Action
from symdiscover.errors import SymmetryError
from symdiscover.generate import to_torch
from symdiscover.symmetry import Certificate

#: Colours that stay apart for colour-blind readers (Okabe and Ito, Color Universal Design).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")

Box = tuple[tuple[float, float], tuple[float, float]]


def draw_levels(axes: Axes, loss: Callable[[torch.Tensor], torch.Tensor], box: Box, levels: int = 18) -> Any:
    """Level sets of a loss of two variables over a box, spaced evenly in the logarithm above its minimum there."""
    x, y = (torch.linspace(low, high, 400, dtype=torch.float64) for low, high in box)
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)
    values = loss(grid).numpy()
    finite = values[np.isfinite(values)]
    if finite.size == 0 or finite.max() == finite.min():
        return None
    low, high = finite.min(), finite.max()
    smallest = max((high - low) * 1e-4, np.finfo(float).tiny)
    heights = low + np.geomspace(smallest, high - low, levels)
    colours = axes.contour(x, y, values, levels=heights, cmap="Greys_r", linewidths=0.7, alpha=0.8)
    axes.set_xlim(*box[0])
    axes.set_ylim(*box[1])
    return colours


def orbit_curve(action: Action, point: torch.Tensor, count: int = 721, reach: float = 2.0) -> torch.Tensor:
    """Points (count, n) on the orbit of one point under the first generator of the group's Lie algebra.

    Angles run once around; other groups from -reach to reach.
    """
    limit = np.pi if action.group.element == "angle" else reach
    steps = torch.linspace(-limit, limit, count, dtype=point.dtype)
    generators = max(action.group.dimension, 1)
    xi = torch.zeros(count, generators, dtype=point.dtype)
    xi[:, 0] = steps
    return action(action.exp(xi), point.expand(count, -1))


def plot_symmetry(certificate: Certificate, starts: Sequence[Sequence[float]] | None = None, box: Box | None = None) -> Figure:
    """Level sets of a loss of two variables and the orbits of three points.

    Parameters
    ----------
    certificate:
        A proved symmetry; symbolic constants are set to 1 for the picture.
    starts:
        Points whose orbits are drawn.
    box:
        ((x low, x high), (y low, y high)).

    Raises
    ------
    SymmetryError
        If the loss has not two variables, or the group moves nothing continuously.
    """
    loss = certificate.loss
    if loss.dimension != 2:
        raise SymmetryError(f"a picture needs two variables; this loss has {loss.dimension}")
    if not certificate.group.dimension:
        raise SymmetryError(f"{certificate.group.name} is discrete: there is no orbit curve to draw")
    action = to_torch(certificate, **{s.name: 1.0 for s in loss.constants})
    points = torch.tensor(starts or [[-1.0, -1.0], [0.5, 0.2], [2.0, -0.5]], dtype=torch.float64)
    curves = [orbit_curve(action, point) for point in points]
    if box is None:
        box = _box(curves, points)
    figure = Figure(figsize=(5.6, 4.6), layout="constrained")
    axes = figure.add_subplot()
    draw_levels(axes, action.loss, box)
    for point, curve, colour in zip(points, curves, COLOURS, strict=False):
        axes.plot(*curve.T.numpy(), color=colour, linewidth=1.8)
        axes.plot(*point.tolist(), "o", color=colour, markersize=5)
    names = [symbol.name for symbol in loss.variables]
    axes.set(xlabel=names[0], ylabel=names[1])
    title = loss.name or str(loss.expression)
    axes.set_title(f"{certificate.group.name} orbits of {title if len(title) < 50 else 'the loss'}", fontsize=10)
    where = f"domain: {certificate.domain}; {certificate.status}"
    axes.annotate(where, (0.01, 0.01), xycoords="axes fraction", fontsize=7, color="0.3")
    return figure


def _box(curves: Sequence[torch.Tensor], points: torch.Tensor) -> Box:
    """A box around the middle nine tenths of the orbits and all their starts."""
    everything = torch.cat(list(curves))
    everything = everything[everything.isfinite().all(dim=-1)]
    low = torch.minimum(everything.quantile(0.03, dim=0), points.min(dim=0).values)
    high = torch.maximum(everything.quantile(0.97, dim=0), points.max(dim=0).values)
    margin = 0.12 * (high - low).clamp_min(1e-3)
    lows, highs = (low - margin).tolist(), (high + margin).tolist()
    return (lows[0], highs[0]), (lows[1], highs[1])
