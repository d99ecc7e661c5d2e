"""Pictures of a symmetry in two dimensions: level sets, orbits, domain. Needs matplotlib.

Every function returns a `Figure` of its own or draws on given axes, and touches no global state, so that no display is
needed.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import sympy as sp
import torch
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.mathtext import MathTextParser

from symdiscover.action import Action
from symdiscover.errors import SymmetryError
from symdiscover.generate import to_torch
from symdiscover.loss import Loss
from symdiscover.root import solve_digits
from symdiscover.symmetry import Certificate

#: Colours that stay apart for colour-blind readers (Okabe and Ito, Color Universal Design).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
#: Level sets, from the lowest to the highest.
GREYS = LinearSegmentedColormap.from_list("levels", ["0.45", "0.82"])
#: Characters of a title that have room in an inch.
CHARACTERS = 13
#: Chart coordinates from which orbits are drawn: three directions, three distances.
STARTS = ((0.56, 0.21), (-1.13, -0.41), (-0.35, 1.97))
#: How far orbits that do not close are followed, and how much of them the box shows.
REACH, SHOWN = 4.0, 2.4

Box = tuple[tuple[float, float], tuple[float, float]]


def draw_levels(axes: Axes, loss: Callable[[torch.Tensor], torch.Tensor], box: Box, levels: int = 18) -> Any:
    """Level sets of a loss of two variables over a box; returns the contours, None where there is nothing to draw.

    They are spaced evenly in the logarithm of the height above a minimum inside the box. Where there is none, as around
    a saddle, equal areas lie between them.
    """
    x, y = (torch.linspace(low, high, 400, dtype=torch.float64) for low, high in box)
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)
    values = loss(grid).detach().numpy()
    values = np.where(np.isfinite(values), values, np.nan)
    axes.set_xlim(*box[0])
    axes.set_ylim(*box[1])
    finite = values[np.isfinite(values)]
    if finite.size == 0 or finite.max() == finite.min():
        return None
    heights = _heights(values, levels)
    return axes.contour(x, y, values, levels=heights, cmap=GREYS, linewidths=0.6)


def _heights(
    values: np.ndarray[Any, np.dtype[np.float64]], levels: int
) -> np.ndarray[Any, np.dtype[np.float64]]:
    low, high = np.nanmin(values), np.nanmax(values)
    inside = values[1:-1, 1:-1]
    if np.isfinite(inside).any() and np.nanmin(inside) == low:
        return low + np.geomspace(max((high - low) * 1e-4, np.finfo(float).tiny), high - low, levels)
    return np.unique(np.nanquantile(values, np.linspace(0, 1, levels + 2)[1:-1]))


def draw_domain(
    axes: Axes, certificate: Certificate, box: Box, constants: Mapping[str, float] | None = None
) -> None:
    """Hatch the part of a box where a symmetry of two variables is not claimed."""
    conditions = certificate.symmetry.chart.conditions
    if not conditions:
        return
    loss = certificate.loss
    inside = Loss(sp.Piecewise((1, sp.And(*conditions)), (0, True)), loss.variables, loss.constants)
    x, y = (torch.linspace(low, high, 400, dtype=torch.float64) for low, high in box)
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)
    values = to_torch(inside, **_every_constant(loss, constants))(grid).numpy()
    if values.min() < 0.5:
        shade = axes.contourf(x, y, values, levels=[-0.5, 0.5], colors=["0.93"], hatches=["////"])
        shade.set_edgecolor("0.7")
        shade.set_linewidth(0)


def orbit_curve(action: Action, point: torch.Tensor, count: int = 721, reach: float = REACH) -> torch.Tensor:
    """Points (count, n) on the orbit of one point under the first generator of the group's Lie algebra.

    Angles run once around; other groups from -reach to reach.
    """
    limit = np.pi if action.group.element == "angle" else reach
    steps = torch.linspace(-limit, limit, count, dtype=point.dtype)
    xi = torch.zeros(count, max(action.parameters, 1), dtype=point.dtype)
    xi[:, 0] = steps
    return action(action.exp(xi), point.expand(count, -1))


def plot_symmetry(
    certificate: Certificate,
    starts: Sequence[Sequence[float]] | None = None,
    box: Box | None = None,
    constants: Mapping[str, float] | None = None,
) -> Figure:
    """Level sets of a loss of two variables, the orbits of three points, and where the symmetry is not claimed.

    Parameters
    ----------
    certificate:
        A proved symmetry.
    starts:
        Points whose orbits are drawn; by default three that fill the picture.
    box:
        ((x low, x high), (y low, y high)); by default the orbits fit.
    constants:
        Values for symbolic constants; 1 by default.

    Raises
    ------
    SymmetryError
        If the loss has not two variables, or the group moves nothing continuously.

    Examples
    --------
    >>> import symdiscover as sd
    >>> derivation = sd.derive(sd.Loss.parse("x**2 + 4*y**2", name="Ellipse"))
    >>> plot_symmetry(derivation.certificates[0]).axes[0].get_title(loc="left")
    'SO(2) orbits of Ellipse'
    """
    loss, group = certificate.loss, certificate.group
    if loss.dimension != 2:
        raise SymmetryError(f"a picture needs two variables; this loss has {loss.dimension}")
    if not certificate.symmetry.dimension:
        raise SymmetryError(f"{group.name} is discrete: there is no orbit curve to draw")
    values = _every_constant(loss, constants)
    action = to_torch(certificate, **values)
    chosen = _points(certificate, _starts(certificate), values) if starts is None else starts
    points = torch.tensor(chosen, dtype=torch.float64).reshape(-1, 2)
    curves = [orbit_curve(action, point) for point in points]
    if box is None:
        box = _box(certificate, curves, points, values)
    figure, axes = _framed(box)
    draw_levels(axes, action.loss, box)
    draw_domain(axes, certificate, box, values)
    for point, curve, colour in zip(points, curves, COLOURS, strict=False):
        _draw_orbit(axes, curve, colour, box)
        axes.plot(
            *point.tolist(),
            "o",
            color=colour,
            markeredgecolor="white",
            markeredgewidth=0.8,
            markersize=6,
            zorder=4,
        )
    axes.set(xlabel=_mathematics(loss.variables[0]), ylabel=_mathematics(loss.variables[1]))
    room = int(CHARACTERS * figure.get_figwidth())
    axes.set_title(f"{group.name} orbits of {_title(loss, room - 22)}", loc="left", fontsize=10)
    claim = f"{certificate.symmetry.kind}, {certificate.status}; domain: {certificate.domain}"
    lines = textwrap.wrap(claim.replace("$", r"\$"), int(1.5 * room), max_lines=3, placeholder=" ...")
    figure.supxlabel("\n".join(lines), fontsize=7, color="0.35")
    return figure


def _starts(certificate: Certificate) -> list[tuple[float, float]]:
    """Chart coordinates of three points, inside the region of a lemma where the chart has one."""
    lemma = certificate.symmetry.chart.lemma
    if lemma is None or lemma.height == sp.oo:
        return list(STARTS)
    longest = max(math.hypot(*start) for start in STARTS)
    scale = math.sqrt(0.7 * float(lemma.height)) / longest
    return [(scale * a, scale * b) for a, b in STARTS]


def _every_constant(loss: Loss, constants: Mapping[str, float] | None) -> dict[str, float]:
    return {s.name: float((constants or {}).get(s.name, 1.0)) for s in loss.constants}


def _framed(box: Box) -> tuple[Figure, Axes]:
    """A figure whose axes have the shape of the box, where that is not too long."""
    width, height = (high - low for low, high in box)
    equal = 0.28 < height / width < 1.6
    side = 3.6 if height > 0.6 * width else 4.6
    size = (side * min(1.0, width / height), side * min(1.0, height / width)) if equal else (side, side)
    figure = Figure(figsize=(size[0] + 0.8, size[1] + 0.8), layout="constrained")
    axes = figure.add_subplot()
    axes.set_aspect("equal" if equal else "auto", adjustable="box")
    axes.tick_params(direction="in", top=True, right=True, labelsize=8, width=0.6)
    axes.spines[:].set_linewidth(0.6)
    return figure, axes


def _draw_orbit(axes: Axes, curve: torch.Tensor, colour: str, box: Box) -> None:
    """One orbit, with an arrow in the direction of growing angle or time where there is room."""
    points = curve.numpy()
    axes.plot(*points.T, color=colour, linewidth=1.4, zorder=3)
    low, high = np.array(box).T
    inside = np.flatnonzero(((points > low) & (points < high)).all(axis=1))
    if inside.size > 40:
        middle = inside[(3 * inside.size) // 4]
        tail, head = points[middle], points[min(middle + 1, len(points) - 1)]
        arrow = {
            "arrowstyle": "-|>",
            "color": colour,
            "linewidth": 0,
            "mutation_scale": 11,
            "shrinkA": 0,
            "shrinkB": 0,
        }
        axes.annotate("", tuple(head), tuple(tail), arrowprops=arrow, zorder=4)


def _points(
    certificate: Certificate, coordinates: Sequence[Sequence[float]], constants: Mapping[str, float]
) -> list[list[float]]:
    """The points of the plane with these chart coordinates."""
    chart = certificate.symmetry.chart
    points = []
    for u in coordinates:
        values: dict[sp.Symbol, Any] = {s: constants[s.name] for s in certificate.loss.constants}
        values |= dict(zip(chart.coordinates, u, strict=True))
        for variable, expression in chart.inverse:
            values[variable] = solve_digits(expression, values)
        points.append([float(sp.re(values[variable])) for variable in chart.variables])
    return points


def _box(
    certificate: Certificate,
    curves: Sequence[torch.Tensor],
    points: torch.Tensor,
    constants: Mapping[str, float],
) -> Box:
    """A box around closed orbits; around orbits that do not close, what a square of chart coordinates covers."""
    if certificate.group.element == "angle":
        everything = torch.cat([*curves, points])
    else:
        ends = np.linspace(-SHOWN, SHOWN, 9)
        corners = _points(certificate, [(a, b) for a in ends for b in ends], constants)
        everything = torch.cat([torch.tensor(corners, dtype=torch.float64), points])
    everything = everything[everything.isfinite().all(dim=-1)]
    low, high = everything.amin(dim=0), everything.amax(dim=0)
    margin = (0.18 if certificate.group.element == "angle" else 0.0) * (high - low) + 1e-3 * (high == low)
    lows, highs = (low - margin).tolist(), (high + margin).tolist()
    return (lows[0], highs[0]), (lows[1], highs[1])


def _title(loss: Loss, room: int) -> str:
    """The name or the expression, where it has room."""
    text = loss.name.replace("$", r"\$") or _mathematics(loss.expression)
    return text if len(loss.name or str(loss.expression)) <= room else "the loss"


def _mathematics(expression: sp.Basic) -> str:
    """The expression as matplotlib sets mathematics, or as plain text where it cannot."""
    text = f"${sp.latex(expression)}$"
    try:
        MathTextParser("path").parse(text)
    except ValueError:
        return str(expression).replace("$", r"\$")
    return text
