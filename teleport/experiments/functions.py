"""Test functions: gradient descent without teleports, with the published ones, and with the orbit's exact maximum."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from symdiscover.action import Action
from symdiscover.errors import SymmetryError
from symdiscover.generate import to_torch
from symdiscover.loss import Loss
from symdiscover.plot import COLOURS, Box
from symdiscover.symmetry import Certificate
from teleport.ascent import AscentSettings
from teleport.descend import descend
from teleport.experiments.landscape import INK, draw_descent, draw_landscape, mark, orbit
from teleport.paper import PaperSettings
from teleport.plot import plot_convergence
from teleport.point_teleport import ROUNDING_UNITS, Search, allowance, evaluate
from teleport.schedule import Schedule, at, every
from teleport.trajectory import TeleportRecord, Trajectory

Method = Literal["plain", "published", "exact", "guarded"]

NAMES: dict[Method, str] = {
    "plain": "gradient descent",
    "published": "published teleports",
    "exact": "exact maximum",
    "guarded": "exact maximum, guarded",
}
STYLES: dict[Method, dict[str, Any]] = {
    "plain": {"color": COLOURS[0], "marker": "o"},
    "published": {"color": COLOURS[1], "marker": "s"},
    "exact": {"color": COLOURS[2], "marker": "^"},
    "guarded": {"color": COLOURS[3], "marker": "v", "linestyle": "--"},
}
#: Losses below this are drawn here.
FLOOR = 1e-32
#: Of the general ascent, used where no exact maximum is known.
ASCENT_STEPS = 30


@dataclass(frozen=True)
class FunctionSettings:
    """What is run on one test function. Every method shares start, rate and number of steps.

    Attributes
    ----------
    rates:
        The grid on which every method also gets its own best rate.
    schedule:
        Before which steps the teleporting methods teleport.
    published:
        Of the published ascent; None where it is not defined, because the group is not SO(2).
    constants:
        Values of the loss's symbolic constants.
    box:
        The part of the plane that is shown.
    orbits, drawn:
        Points whose orbits are shown, and the constants that these are drawn for.
    """

    name: str
    start: tuple[float, ...]
    minimum: tuple[float, ...]
    rate: float
    steps: int
    schedule: Schedule
    rates: tuple[float, ...]
    published: PaperSettings | None
    seeds: int = 20
    constants: tuple[tuple[str, float], ...] = ()
    box: Box | None = None
    orbits: tuple[tuple[float, float], ...] = ()
    drawn: tuple[tuple[str, float], ...] = ()

    @property
    def methods(self) -> tuple[Method, ...]:
        """Those that are defined for this function."""
        return tuple(method for method in NAMES if method != "published" or self.published is not None)


#: Zhao et al. 2022, section 6.1 and its code.
ROSENBROCK = FunctionSettings(
    name="Rosenbrock",
    start=(-1.0, -1.0),
    minimum=(1.0, 1.0),
    rate=1e-3,
    steps=1000,
    schedule=every(100),
    rates=(5e-4, 1e-3, 1.4e-3, 2e-3, 3e-3),
    published=PaperSettings(steps=10, lr=0.1),
    constants=(("a", 1.0), ("b", 100.0)),
    box=((-1.3, 2.1), (-1.3, 3.3)),
    orbits=((1.0, 1.5), (1.0, 2.0), (1.0, 2.5)),
    drawn=(("a", 1.0), ("b", 1.0)),
)
BOOTH = FunctionSettings(
    name="Booth",
    start=(5.0, -5.0),
    minimum=(1.0, 3.0),
    rate=0.08,
    steps=10,
    schedule=at(4),
    rates=(0.02, 0.04, 0.06, 0.08, 0.1, 0.11),
    published=PaperSettings(steps=10, lr=1e-3),
    box=((-1.6, 7.6), (-5.8, 4.8)),
    orbits=((1.0, 4.0), (1.0, 5.5), (1.0, 7.0)),
)
QUADRATIC = FunctionSettings(
    name="quadratic",
    start=(3.0, -1.0, 1.2),
    minimum=(0.0, 0.0, 1.0),
    rate=0.05,
    steps=25,
    schedule=at(4),
    rates=(0.01, 0.02, 0.05, 0.1, 0.15, 0.19),
    published=None,
)


@dataclass(frozen=True)
class Change:
    """What one teleport of one run did to the loss, which it should not change.

    Attributes
    ----------
    loss, difference:
        Before it, and |L after - L before|.
    relative:
        difference / loss.
    rounding:
        The difference in units of eps (|L| + Σ|x_i ∂_i L|), what the rounding of the point alone may cause.
    gain:
        Squared gradient norm after over before.
    """

    step: int
    run: int
    loss: float
    difference: float
    relative: float
    rounding: float
    gain: float


@dataclass(frozen=True)
class FunctionResult:
    """Descents on one test function, and the action that they teleported by.

    Attributes
    ----------
    paths:
        One for each method; of "published" a batch of seeds.
    longer:
        Gradient descent, continued until it took as many gradients as the most expensive method.
    grid:
        Losses at the end for each rate of the settings, infinite where a run diverged.
    """

    settings: FunctionSettings
    certificate: Certificate
    action: Action
    paths: Mapping[Method, Trajectory]
    longer: Trajectory
    grid: Mapping[Method, tuple[float, ...]]

    def label(self, method: Method) -> str:
        """The method in words; only on circles is the maximum of an orbit known exactly."""
        return (
            NAMES[method]
            if self.action.group.element == "angle"
            else NAMES[method].replace("exact maximum", "ascent")
        )

    def gradients(self, method: Method) -> int:
        """Gradients that one run took, those of its teleports included: search, check and guard."""
        return _gradients(self.paths[method])

    def plain_after(self, gradients: int) -> float:
        """The loss of gradient descent after as many gradients."""
        return float(self.longer.losses[gradients])

    def best(self, method: Method) -> tuple[float, float]:
        """The rate of the grid with the smallest loss at the end, and that loss."""
        return min(zip(self.settings.rates, self.grid[method], strict=True), key=lambda pair: pair[1])

    @cached_property
    def changes(self) -> dict[Method, tuple[Change, ...]]:
        """Every teleport that was made, in order."""
        return {
            method: tuple(change for record in path.teleports for change in _changes(record, self.action))
            for method, path in self.paths.items()
        }


def final(path: Trajectory) -> float:
    """The loss at the end, the median over the runs of a batch; a run that diverged counts as infinite."""
    return float(path.final_loss.where(~path.diverged, torch.inf).median())


def _gradients(path: Trajectory) -> int:
    return path.gradients + round(sum(record.gradient_equivalents for record in path.teleports))


def _changes(record: TeleportRecord, action: Action) -> list[Change]:
    here, there = evaluate(action.loss, record.before), evaluate(action.loss, record.after)
    unit = allowance(here, there, None) / ROUNDING_UNITS
    difference = (record.loss_after - record.loss_before).abs()
    relative = torch.where(difference == 0, 0.0, difference / record.loss_before.abs())
    columns = (record.accepted, record.loss_before, difference, relative, difference / unit, record.gain)
    rows = zip(*(column.reshape(-1).tolist() for column in columns), strict=True)
    return [Change(record.step, run, *numbers) for run, (moved, *numbers) in enumerate(rows) if moved]


def run(
    certificate: Certificate,
    settings: FunctionSettings,
    seed: int = 0,
    tick: Callable[[], object] = lambda: None,
) -> FunctionResult:
    """Every method at the given rate, and at each rate of the grid; `tick` is called after each method."""
    action = to_torch(certificate, **dict(settings.constants))
    paths: dict[Method, Trajectory] = {}
    grid: dict[Method, tuple[float, ...]] = {}
    for method in settings.methods:
        paths[method] = _descend(action, settings, method, seed)
        grid[method] = _grid(action, settings, method, seed)
        tick()
    most = max(_gradients(path) for path in paths.values())
    start = torch.tensor(settings.start, dtype=torch.float64)
    longer = descend(action.loss, start, settings.rate, most)
    return FunctionResult(settings, certificate, action, paths, longer, grid)


def _descend(action: Action, settings: FunctionSettings, method: Method, seed: int) -> Trajectory:
    """One method at the rate of the settings; "published" with all its seeds."""
    start = torch.tensor(settings.start, dtype=torch.float64)
    if method == "published":
        start = start.expand(settings.seeds, -1).clone()
    options = _options(action, settings, method, seed)
    return descend(action.loss, start, settings.rate, settings.steps, **options)


def _grid(action: Action, settings: FunctionSettings, method: Method, seed: int) -> tuple[float, ...]:
    """The loss at the end for each rate of the grid; "published" the median over its seeds.

    All rates run as one batch: rate r on L takes the steps that rate 1 takes on r L, and r L has the
    symmetries of L.
    """
    copies = settings.seeds if method == "published" else 1
    rates = torch.tensor(settings.rates, dtype=torch.float64).repeat_interleave(copies)
    start = torch.tensor(settings.start, dtype=torch.float64).expand(len(rates), -1).clone()
    options = _options(action, settings, method, seed)
    path = descend(lambda point: rates * action.loss(point), start, 1.0, settings.steps, **options)
    ends = (path.final_loss / rates).where(~path.diverged, torch.inf)
    return tuple(ends.reshape(-1, copies).median(dim=1).values.tolist())


def _options(action: Action, settings: FunctionSettings, method: Method, seed: int) -> dict[str, Any]:
    """What a method adds to gradient descent."""
    if method == "plain":
        return {}
    search: Search = AscentSettings(steps=ASCENT_STEPS)
    if method == "published":
        if settings.published is None:
            raise SymmetryError(f"the published ascent is one over an angle; {action.group.name} has none")
        search = settings.published
    guard = method == "guarded"
    return {"action": action, "schedule": settings.schedule, "teleport": search, "guard": guard, "seed": seed}


def orbits_figure(result: FunctionResult) -> Figure:
    """Three orbits over the level sets, and in the coordinates found, where they are circles.

    Dots mark the same eighths of a turn on both sides. For losses of two variables with an SO(2).
    """
    settings = result.settings
    values = dict(settings.drawn or settings.constants)
    action = to_torch(result.certificate, **values)
    chart = _chart(result.certificate, values)
    figure = Figure(figsize=(8.6, 3.9), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.35, 1))
    curves = [orbit(action, torch.tensor(point)) for point in settings.orbits]
    low, high = np.min(curves, axis=(0, 1)), np.max(curves, axis=(0, 1))
    margin = 0.14 * (high - low)
    (x1, y1), (x2, y2) = (low - margin).tolist(), (high + margin).tolist()
    draw_landscape(left, action.loss, ((x1, x2), (y1, y2)))
    for curve, colour in zip(curves, COLOURS, strict=False):
        for axes, points in ((left, curve), (right, chart(curve))):
            axes.plot(*points.T, color=colour, linewidth=1.6)
            eighths = points[:: len(points) // 8][:8]
            axes.plot(*eighths.T, "o", color=colour, markersize=3.2)
            axes.plot(*eighths[0], "o", color=colour, markersize=7, markeredgecolor="white")
    mark(left, None, settings.minimum)
    mark(right, None, chart(np.array([settings.minimum]))[0])
    left.set(xlabel="$x_1$", ylabel="$x_2$", title="the variables $x$")
    right.set(xlabel="$u_1$", ylabel="$u_2$", title="the coordinates $u$", aspect="equal")
    right.grid(alpha=0.25, linewidth=0.5)
    for axes in (left, right):
        axes.title.set_fontsize(10)
        axes.tick_params(labelsize=8)
    return figure


def _chart(
    certificate: Certificate, values: Mapping[str, float]
) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """Points (..., n) -> the coordinates u of a proved symmetry there."""
    loss = certificate.loss
    parts = []
    for expression in certificate.symmetry.chart.forward:
        constants = tuple(symbol for symbol in loss.constants if expression.has(symbol))
        part = Loss(expression, loss.variables, constants)
        parts.append(to_torch(part, **{symbol.name: values[symbol.name] for symbol in constants}))
    return lambda points: torch.stack([part(torch.as_tensor(points)) for part in parts], dim=-1).numpy()


def paths_figure(result: FunctionResult) -> Figure:
    """One descent of each method over the level sets of a loss of two variables, side by side."""
    settings = result.settings
    if settings.box is None:
        raise SymmetryError(f"no box is set for pictures of {settings.name}")
    shown = [method for method in settings.methods if method != "guarded"]
    figure = Figure(figsize=(9.4, 3.4), layout="constrained")
    panels = figure.subplots(1, len(shown), sharex=True, sharey=True)
    for axes, method in zip(panels, shown, strict=True):
        path, colour = result.paths[method], STYLES[method]["color"]
        draw_landscape(axes, result.action.loss, settings.box)
        draw_descent(axes, path.row(0) if path.losses.ndim > 1 else path, colour, result.action)
        mark(axes, settings.start, settings.minimum)
        axes.set_title(result.label(method), fontsize=10)
        axes.set_xlabel("$x_1$")
    panels[0].set_ylabel("$x_2$")
    return figure


def convergence_figure(result: FunctionResult) -> Figure:
    """Loss and squared gradient norm against step; the guarded method is left to the tables."""
    methods = [m for m in result.settings.methods if m != "guarded"]
    paths, labels = [result.paths[m] for m in methods], [result.label(m) for m in methods]
    return plot_convergence(paths, labels, colours=[STYLES[m]["color"] for m in methods])


def rates_figure(results: Sequence[FunctionResult]) -> Figure:
    """The loss at the end for each rate, a panel for each function; a cross at the top is a run that diverged."""
    figure = Figure(figsize=(3.1 * len(results) + 0.4, 3.4), layout="constrained")
    panels = figure.subplots(1, len(results), squeeze=False)[0]
    for axes, result in zip(panels, results, strict=True):
        rates = result.settings.rates
        for method, style in STYLES.items():
            losses = [_drawable(loss) for loss in result.grid.get(method, ())]
            places = range(len(losses))
            axes.plot(places, losses, label=NAMES[method], markersize=4, linewidth=1.3, **style)
            lost = [place for place, loss in zip(places, losses, strict=True) if math.isnan(loss)]
            top = [0.97] * len(lost)
            axes.plot(
                lost, top, "x", color=style["color"], transform=axes.get_xaxis_transform(), markersize=5
            )
        published = rates.index(result.settings.rate)
        axes.axvline(published, color=INK, linewidth=0.7, linestyle=(0, (2, 2)), zorder=0)
        axes.set(yscale="log", xlabel="rate", xlim=(-0.3, len(rates) - 0.7))
        axes.set_xticks(range(len(rates)), [f"{rate:g}" for rate in rates])
        axes.tick_params(labelsize=8)
        axes.set_title(result.settings.name, fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25, linewidth=0.5)
    panels[0].set_ylabel("loss at the end")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4, frameon=False, fontsize=8.5)
    return figure


def _drawable(loss: float) -> float:
    """A loss on a logarithmic axis: 0 stands at the lowest number shown, what diverged nowhere."""
    return max(loss, FLOOR) if math.isfinite(loss) else math.nan
