"""Pictures of a layer graph: operations from top to bottom, parameters beside them, hidden spaces as coloured bands."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from symdiscover.network.layout import Band, Layout, layout
from symdiscover.network.trace import LayerGraph

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Inches: of a character, of a line of text, between boxes, between bands.
CHARACTER, LINE, GAP, LANE = 0.056, 0.19, 0.14, 0.25
#: A text that is longer is cut in the picture.
LONGEST = 44


def draw(graph: LayerGraph, path: str | os.PathLike[str] | None = None) -> Figure:
    """Draw a layer graph; filled circles are the axes that write a hidden space, hollow ones those that read it.

    Operations that only move entries (view, transpose, chunk ...) are left out. Pairs are found first if none were.

    Parameters
    ----------
    graph:
        From `trace`.
    path:
        Where the picture is written, as ``.png``, ``.pdf`` or ``.svg``, if it is.

    Examples
    --------
    >>> from torch import nn, ones
    >>> from symdiscover.network import trace
    >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> figure = draw(trace(model, ones(1, 4)))
    >>> [text.get_text() for text in figure.axes[0].get_legend().get_texts()][0]
    '1  PositiveScaling(8) x| Permutation(8)'
    """
    figure = _Picture(layout(graph)).figure()
    if path is not None:
        figure.savefig(path, dpi=160)
    return figure


@dataclass(frozen=True)
class _Place:
    """Centre and half width of a box, in inches; y grows downwards."""

    x: float
    y: float
    half: float


class _Picture:
    def __init__(self, drawn: Layout) -> None:
        self.drawn = drawn
        self.shown = [b for b in drawn.bands if b.ends]
        self.again: list[tuple[str, str, float]] = []  # tied parameters, where they are used again
        self.boxes, self.rows, self.height = self._rows()
        skips = [self._aside(a, b) for a, b in drawn.edges if self._span(a, b) > 1]
        self.left = min([*skips, *(p.x - p.half for p in self.boxes.values())], default=0.0) - 0.05
        right = max((p.x + p.half for p in self.boxes.values()), default=0.0)
        self.column = right + 0.45
        longest = max((len(_cut(p.text)) for p in drawn.parameters.values()), default=0)
        self.lanes_at = self.column + longest * CHARACTER + 0.5
        self.lanes = _lanes(self.shown, self.rows)
        self.right = self.lanes_at + LANE * (max(self.lanes, default=-1) + 1)

    def _rows(self) -> tuple[dict[str, _Place], dict[str, float], float]:
        """Places of the boxes, the y of each parameter, and the height of all."""
        boxes: dict[str, _Place] = {}
        rows: dict[str, float] = {}
        y = 0.0
        for layer in self.drawn.layers():
            taken = [(box.name, p) for box in layer for p in box.parameters]
            height = LINE * max(len(taken), 1) + GAP
            for k, (box, name) in enumerate(taken):
                at = y + height / 2 + LINE * (k - (len(taken) - 1) / 2)
                if rows.setdefault(name, at) != at:
                    self.again.append((box, name, at))
            order = sorted(layer, key=lambda box: self._middle(box.name, boxes))
            widths = [len(_cut(box.text)) * CHARACTER + 0.2 for box in order]
            x = -(sum(widths) + 0.2 * (len(order) - 1)) / 2
            for own, width in zip(order, widths, strict=True):
                boxes[own.name] = _Place(x + width / 2, y + height / 2, width / 2)
                x += width + 0.2
            y += height + 0.1
        for name in self.drawn.parameters:  # of no use to the model
            if name not in rows:
                rows[name] = y + LINE / 2
                y += LINE
        return boxes, rows, y

    def _middle(self, name: str, boxes: Mapping[str, _Place]) -> float:
        xs = [boxes[a].x for a, b in self.drawn.edges if b == name and a in boxes]
        return sum(xs) / len(xs) if xs else 0.0

    def _aside(self, a: str, b: str) -> float:
        """How far left an edge must go to pass what stands between its ends."""
        top, bottom = self.boxes[a].y, self.boxes[b].y
        return min(p.x - p.half for p in self.boxes.values() if top <= p.y <= bottom) - 0.06 * self._span(
            a, b
        )

    def _span(self, a: str, b: str) -> int:
        return self.drawn.boxes[b].layer - self.drawn.boxes[a].layer

    def figure(self) -> Figure:
        """The whole picture."""
        from matplotlib.figure import Figure

        from symdiscover.plot import COLOURS

        legend = max((len(b.text) for b in self.shown), default=0) * CHARACTER + 0.65 if self.shown else 0.0
        width = self.right - self.left + 0.3 + legend
        height = max(self.height, 0.24 * len(self.shown) + 0.3) + 0.35
        figure = Figure(figsize=(width, height))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_xlim(self.left - 0.1, self.left - 0.1 + width)
        axes.set_ylim(height - 0.2, -0.2 - 0.0)
        axes.axis("off")
        self._flow(axes)
        self._parameters(axes)
        colours = [COLOURS[k % len(COLOURS)] for k in range(len(self.shown))]
        self._bands(axes, colours)
        if self.shown:
            self._legend(axes, colours, (self.right + 0.15 - self.left + 0.1) / width)
        return figure

    def _flow(self, axes: Axes) -> None:
        for a, b in self.drawn.edges:
            self._arrow(axes, a, b)
        for name, place in self.boxes.items():
            box = self.drawn.boxes[name]
            face = "0.93" if box.kind == "op" and box.text != "output" else "white"
            style = {"boxstyle": "round,pad=0.3", "facecolor": face, "edgecolor": "0.35", "linewidth": 0.6}
            axes.text(
                place.x,
                place.y,
                _plain(_cut(box.text)),
                ha="center",
                va="center",
                fontsize=7,
                bbox=style,
                zorder=3,
            )

    def _arrow(self, axes: Axes, a: str, b: str) -> None:
        from matplotlib.patches import FancyArrowPatch
        from matplotlib.path import Path

        start, end, span = self.boxes[a], self.boxes[b], self._span(a, b)
        if span == 1:
            path = Path([(start.x, start.y + 0.09), (end.x, end.y - 0.1)])
        else:
            left, right = start.x - start.half, end.x - end.half - 0.02
            out = (8 * self._aside(a, b) - left - right) / 6  # the curve reaches three quarters of the way
            corners = [(left, start.y), (out, start.y), (out, end.y), (right, end.y)]
            path = Path(corners, [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4])
        axes.add_patch(
            FancyArrowPatch(
                path=path,
                arrowstyle="-|>",
                mutation_scale=6,
                color="0.45",
                linewidth=0.7,
                shrinkA=0,
                shrinkB=0,
                zorder=1,
            )
        )

    def _parameters(self, axes: Axes) -> None:
        again = {(box, name): y for box, name, y in self.again}
        for box in self.drawn.boxes.values():
            place = self.boxes[box.name]
            for name in box.parameters:
                y = again.get((box.name, name), self.rows[name])
                ends = [place.x + place.half, self.column - 0.06]
                axes.plot(ends, [place.y, y], color="0.75", linewidth=0.5, zorder=0)
        for (_, name), y in again.items():
            text = _plain(_cut(f"= {self.drawn.parameters[name].text}"))
            axes.text(self.column, y, text, va="center", fontsize=6.5, family="monospace", color="0.5")
        last: dict[str, int] = {}
        for lane, band in zip(self.lanes, self.shown, strict=True):
            for name, _, _ in band.ends:
                last[name] = max(last.get(name, 0), lane)
        for name, parameter in self.drawn.parameters.items():
            y, text = self.rows[name], _cut(parameter.text)
            axes.text(
                self.column, y, _plain(text), ha="left", va="center", fontsize=6.5, family="monospace",
                color="black" if parameter.trainable else "0.55", zorder=3,
            )  # fmt: skip
            if name in last:
                ends = [self.column + len(text) * CHARACTER + 0.05, self.lanes_at + LANE * last[name]]
                axes.plot(ends, [y, y], color="0.8", linewidth=0.5, linestyle=":", zorder=0)

    def _bands(self, axes: Axes, colours: Sequence[str]) -> None:
        for k, (lane, band, colour) in enumerate(zip(self.lanes, self.shown, colours, strict=True)):
            x = self.lanes_at + LANE * lane
            ys = [self.rows[name] for name, _, _ in band.ends]
            axes.plot(
                [x, x],
                [min(ys), max(ys)],
                color=colour,
                linewidth=5,
                alpha=0.35,
                solid_capstyle="round",
                zorder=1,
            )
            axes.text(
                x, min(ys) - 0.09, str(k + 1), ha="center", va="bottom", fontsize=6, color=colour, zorder=4
            )
            for (name, axis), signs in _both(band).items():
                y = self.rows[name]
                twin = [a for n, a in _both(band) if n == name]
                at = x + 0.09 * (twin.index(axis) - (len(twin) - 1) / 2)
                face, fill = ("white" if signs == {-1} else colour), ("left" if len(signs) > 1 else "full")
                axes.plot(
                    at,
                    y,
                    "o",
                    markersize=5.5,
                    color=colour,
                    markerfacecolor=face,
                    fillstyle=fill,
                    markerfacecoloralt="white",
                    markeredgewidth=0.9,
                    zorder=3,
                )

    def _legend(self, axes: Axes, colours: Sequence[str], at: float) -> None:
        from matplotlib.lines import Line2D

        handles = [
            Line2D([], [], color=colour, linewidth=5, alpha=0.5, label=_plain(f"{k + 1}  {band.text}"))
            for k, (band, colour) in enumerate(zip(self.shown, colours, strict=True))
        ]
        axes.legend(
            handles=handles, loc="upper left", bbox_to_anchor=(at, 1.0), fontsize=7, frameon=False, handlelength=1.2,
            title="filled: writes, hollow: reads", title_fontsize=6.5, alignment="left",
        )  # fmt: skip


def _both(band: Band) -> dict[tuple[str, int], set[int]]:
    """The variances of each parameter axis."""
    found: dict[tuple[str, int], set[int]] = {}
    for name, axis, variance in band.ends:
        found.setdefault((name, axis), set()).add(variance)
    return found


def _lanes(bands: Sequence[Band], rows: Mapping[str, float]) -> list[int]:
    """A lane for each band, so that bands in one lane do not overlap."""
    ends: list[float] = []
    lanes = {}
    spans = [(min(ys), max(ys)) for ys in ([rows[name] for name, _, _ in band.ends] for band in bands)]
    for k in sorted(range(len(bands)), key=lambda k: spans[k]):
        top, bottom = spans[k]
        lane = next((i for i, end in enumerate(ends) if end + 1.6 * LINE < top), len(ends))
        ends[lane : lane + 1] = [bottom]
        lanes[k] = lane
    return [lanes[k] for k in range(len(bands))]


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def _plain(text: str) -> str:
    """Text that matplotlib does not read as mathematics."""
    return text.replace("$", r"\$")


def to_mermaid(graph: LayerGraph) -> str:
    """The layer graph as a Mermaid flowchart; dashed lines join hidden spaces to the parameter axes.

    Examples
    --------
    >>> from torch import nn, ones
    >>> from symdiscover.network import trace
    >>> model = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 2))
    >>> print(to_mermaid(trace(model, ones(1, 4))).splitlines()[0])
    flowchart TD
    """
    drawn = layout(graph)
    numbers = _numbers(drawn)
    lines = ["flowchart TD"]
    lines += [f'  {numbers[b.name]}["{_mermaid(b.text)}"]' for b in drawn.boxes.values()]
    lines += [f'  {numbers[p.name]}[/"{_mermaid(p.text)}"/]' for p in drawn.parameters.values()]
    lines += [f'  s{k}(["{_mermaid(band.text)}"])' for k, band in enumerate(drawn.bands)]
    lines += [f"  {numbers[a]} --> {numbers[b]}" for a, b in drawn.edges]
    lines += [f"  {numbers[p]} --- {numbers[b.name]}" for b in drawn.boxes.values() for p in b.parameters]
    for k, band in enumerate(drawn.bands):
        for name, axis, variance in band.ends:
            ends = (numbers[name], f"s{k}") if variance > 0 else (f"s{k}", numbers[name])
            lines.append(f"  {ends[0]} -. axis {axis} .-> {ends[1]}")
    return "\n".join(lines)


def to_dot(graph: LayerGraph) -> str:
    """The layer graph in the language of Graphviz.

    Examples
    --------
    >>> from torch import nn, ones
    >>> from symdiscover.network import trace
    >>> model = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 2))
    >>> print(to_dot(trace(model, ones(1, 4))).splitlines()[0])
    digraph layers {
    """
    drawn = layout(graph)
    numbers = _numbers(drawn)
    lines = ["digraph layers {", '  node [shape=box, fontname="sans-serif"];']
    lines += [f"  {numbers[b.name]} [label={_quoted(b.text)}];" for b in drawn.boxes.values()]
    lines += [
        f"  {numbers[p.name]} [label={_quoted(p.text)}, shape=note];" for p in drawn.parameters.values()
    ]
    lines += [f"  s{k} [label={_quoted(band.text)}, shape=ellipse];" for k, band in enumerate(drawn.bands)]
    lines += [f"  {numbers[a]} -> {numbers[b]};" for a, b in drawn.edges]
    lines += [
        f"  {numbers[p]} -> {numbers[b.name]} [arrowhead=none];"
        for b in drawn.boxes.values()
        for p in b.parameters
    ]
    for k, band in enumerate(drawn.bands):
        for name, axis, variance in band.ends:
            ends = (numbers[name], f"s{k}") if variance > 0 else (f"s{k}", numbers[name])
            lines.append(f'  {ends[0]} -> {ends[1]} [style=dashed, label="axis {axis}"];')
    return "\n".join([*lines, "}"])


def _numbers(drawn: Layout) -> dict[str, str]:
    """Names that both languages take, since those of a model may be anything."""
    return {name: f"n{k}" for k, name in enumerate([*drawn.boxes, *drawn.parameters])}


def _mermaid(text: str) -> str:
    """Text inside quotation marks: characters that mean something there are written by their number."""
    return "".join(c if c.isalnum() or c in " .,_-()+^" else f"#{ord(c)};" for c in text)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


__all__ = ["draw", "to_dot", "to_mermaid"]
