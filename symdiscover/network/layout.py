"""A layer graph as it is drawn: operations in layers by longest path, without those that only move entries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import networkx as nx

from symdiscover.network.pairs import find_pairs
from symdiscover.network.rules.movement import MOVING, SAME
from symdiscover.network.trace import LayerGraph

#: What is left out: it moves entries, or makes constants that are no part of the model.
HIDDEN = {*MOVING, *SAME, "getitem"}
SHORT = {
    "scaled_dot_product_attention": "attention",
    "native_layer_norm": "layer_norm",
    "_softmax": "softmax",
}


@dataclass(frozen=True)
class Box:
    """An operation or an input: its text, the names of the parameters that it takes, its layer from the top."""

    name: str
    text: str
    kind: str
    parameters: tuple[str, ...]
    layer: int


@dataclass(frozen=True)
class Parameter:
    """A parameter, with its shape as text."""

    name: str
    text: str
    trainable: bool


@dataclass(frozen=True)
class Band:
    """A hidden space, or several alike: its group, and the parameter axes that write (+1) and read it (-1)."""

    group: str
    count: int
    ends: tuple[tuple[str, int, int], ...]

    @property
    def text(self) -> str:
        """The group, with the number of times that it acts."""
        return self.group if self.count == 1 else f"{self.count} x {self.group}"


@dataclass
class Layout:
    """What is drawn of a layer graph."""

    boxes: dict[str, Box] = field(default_factory=dict)
    edges: list[tuple[str, str]] = field(default_factory=list)
    parameters: dict[str, Parameter] = field(default_factory=dict)
    bands: list[Band] = field(default_factory=list)

    def layers(self) -> list[list[Box]]:
        """The boxes of each layer."""
        rows: dict[int, list[Box]] = defaultdict(list)
        for box in self.boxes.values():
            rows[box.layer].append(box)
        return [rows[k] for k in sorted(rows)]


def layout(graph: LayerGraph) -> Layout:
    """The operations of a graph, its parameters and its hidden spaces; pairs are found first if none were.

    Examples
    --------
    >>> from torch import nn, ones
    >>> from symdiscover.network import trace
    >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> drawn = layout(trace(model, ones(1, 4)))
    >>> [(box.text, box.layer) for box in drawn.boxes.values()]
    [('input', 0), ('0 linear', 1), ('relu', 2), ('2 linear', 3), ('output', 4)]
    """
    if not any(data["kind"] == "space" for _, data in graph.nodes(data=True)):
        find_pairs(graph)
    data = dict(graph.nodes(data=True))
    flow = _visible(graph, data)
    depth = _depth(flow, data)
    drawn = Layout()
    keys: dict[str, str] = {}
    first = {n: keys.setdefault(node["key"], n) for n, node in data.items() if node["kind"] == "param"}
    for name in flow:
        if data[name]["kind"] == "param":
            continue
        taken = tuple(dict.fromkeys(first[p] for p in flow.predecessors(name) if p in first))
        drawn.boxes[name] = Box(name, _title(name, data[name], taken), data[name]["kind"], taken, depth[name])
    drawn.edges = [(a, b) for a, b in flow.edges if a in drawn.boxes and b in drawn.boxes]
    for name, node in data.items():
        if first.get(name) == name:  # a tied one has one node for each name
            shape = " x ".join(map(str, node["shape"] or ())) or "1"
            drawn.parameters[name] = Parameter(name, f"{node['key']}  {shape}", node["trainable"])
    drawn.bands = list(_bands(graph, data, first))
    return drawn


def _visible(graph: LayerGraph, data: Mapping[str, Mapping[str, Any]]) -> nx.DiGraph:
    """The flow of data through what is shown: from inputs and parameters to outputs."""
    flow = nx.DiGraph()
    flow.add_nodes_from(n for n in graph if data[n]["kind"] in ("op", "input", "param"))
    flow.add_edges_from((a, b) for a, b, e in graph.edges(data=True) if e["kind"] == "data" and a in flow)
    starts = [n for n in flow if data[n]["kind"] in ("input", "param")]
    reached = set(starts).union(*(nx.descendants(flow, n) for n in starts)) if starts else set()
    for name in list(flow):
        if name not in reached and data[name]["kind"] == "op":
            flow.remove_node(name)  # it makes a constant
        elif data[name]["kind"] == "op" and data[name]["op"] in HIDDEN:
            flow.add_edges_from((a, b) for a in flow.predecessors(name) for b in flow.successors(name))
            flow.remove_node(name)
    flow.remove_nodes_from([n for n in list(flow) if data[n]["kind"] == "input" and not flow.degree(n)])
    return flow


def _depth(flow: nx.DiGraph, data: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """The longest path to each node over what is no parameter: a parameter stands beside what takes it."""
    depth: dict[str, int] = {}
    for name in nx.topological_sort(flow):
        before = [depth[p] for p in flow.predecessors(name) if data[p]["kind"] != "param"]
        depth[name] = 1 + max(before, default=-1)
    starts = [n for n in flow if data[n]["kind"] == "input"]
    fed = set(starts).union(*(nx.descendants(flow, n) for n in starts)) if starts else set(flow)
    for name in reversed(list(nx.topological_sort(flow))):  # what no input reaches stands just before its use
        if name not in fed and (after := [depth[n] for n in flow.successors(name)]):
            depth[name] = min(after) - 1
    used = sorted({d for n, d in depth.items() if data[n]["kind"] != "param"})
    return {n: used.index(d) for n, d in depth.items() if data[n]["kind"] != "param"}


def _title(name: str, node: Mapping[str, Any], taken: Sequence[str]) -> str:
    if node["kind"] != "op":
        return name
    op = "batch_norm" if "batch_norm" in node["op"] else SHORT.get(node["op"], node["op"])
    return f"{node['module']} {op}" if node["module"] and taken else op


def _bands(
    graph: LayerGraph, data: Mapping[str, Mapping[str, Any]], first: Mapping[str, str]
) -> Iterable[Band]:
    groups: dict[tuple[str, tuple[tuple[str, int, int], ...]], int] = defaultdict(int)
    for name, node in data.items():
        if node["kind"] == "space":
            found = sorted(
                (first[a], e["axis"], e["variance"]) for a, _, e in graph.in_edges(name, data=True)
            )
            groups[node["group"], tuple(found)] += 1
    for (group, ends), count in groups.items():
        yield Band(group, count, ends)


__all__ = ["Band", "Box", "Layout", "Parameter", "layout"]
