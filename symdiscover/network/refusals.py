"""Why a parameter axis is in no pair: the reason that says most among those that the rules gave, and what would help."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from symdiscover.network.moves import MatrixMove, PermutationMove, ScaleMove, SignMove
from symdiscover.network.pairs import Analysis, Pair, analyse
from symdiscover.network.rules import RULES
from symdiscover.network.spaces import Array, Reason, components
from symdiscover.network.trace import Call, LayerGraph, refs
from symdiscover.network.value import Value, axes, core

#: Texts of reasons that follow from another one: they say that values are fixed, not what fixed them.
CONSEQUENCES = (
    "it reads values on which nothing acts",
    "a product entry by entry",
    "a sum of values that are not transformed alike",
    "values that are not transformed alike are multiplied",
)
INPUT = Reason("input", "it reads the input of the model")
OUTPUT = "output"


@dataclass(frozen=True)
class Refusal:
    """A parameter axis, or several, on which nothing acts.

    Attributes
    ----------
    where:
        Parameter axes as ``name:axis``, with commas between them; ``(4 of 7)`` where only some entries are meant.
    reason, remedy:
        Why, and what would help; the remedy is empty where nothing would.
    """

    where: str
    reason: str
    remedy: str


@dataclass(frozen=True)
class Axis:
    """One axis of a parameter: the roots that transform its entries."""

    key: str
    axis: int
    roots: Array

    @property
    def name(self) -> str:
        """``parameter:axis``."""
        return f"{self.key}:{self.axis}"


def refusals(graph: LayerGraph, pairs: Sequence[Pair] | None = None) -> list[Refusal]:
    """Every parameter axis that is in no pair, with the reason. What reads the input or writes the output is one line each.

    Examples
    --------
    >>> from torch import nn, ones
    >>> from symdiscover.network import trace
    >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> for refusal in refusals(trace(model, ones(1, 4))):
    ...     print(refusal.where, "-", refusal.reason)
    0.weight:1 - it reads the input of the model
    2.weight:0, 2.bias:0 - it is an output of the model
    """
    found = analyse(graph)
    why = Why(found, found.pairs if pairs is None else pairs)
    by_reason: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for where, key, reason in why.refused():
        owner = "" if reason.node in (INPUT.node, OUTPUT) else key.rpartition(".")[0]
        by_reason[owner, reason.text, reason.remedy].append(where)
    return [Refusal(", ".join(where), text, remedy) for (_, text, remedy), where in by_reason.items()]


class Why:
    """The reasons of a solved pass, by the roots that they hold.

    Attributes
    ----------
    axes:
        Every axis of every parameter on which something could act.
    """

    def __init__(self, found: Analysis, pairs: Sequence[Pair]) -> None:
        self.run, self.solution = found.run, found.solution
        self.axes = list(self._axes())
        self.thread = self._threads()
        self.held: dict[Reason, dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
        for kind in ("immovable", "unscaled", "nonlinear", "orthogonal"):
            for labels, reason in getattr(self.run.spaces, kind):
                self.held[reason][kind] |= set(self._roots(labels).tolist())
        immovable = set().union(*(kinds.get("immovable", set()) for kinds in self.held.values()))
        self.fixed = np.array([0, *sorted(immovable)])
        self.moved = set().union(*(self.roots_of(pair) for pair in pairs)) if pairs else set()
        self.ends = {end for pair in pairs for end in (*pair.writers, *pair.readers)}

    def _roots(self, labels: Array) -> Array:
        roots = np.abs(self.solution.root[np.abs(labels)])
        return np.unique(roots[np.asarray(labels) != 0])

    def _axes(self) -> Iterable[Axis]:
        for key, value in self.run.weights.items():
            for k, labels in enumerate(value.factors):
                single = (
                    k if len(value.shape) <= 2 else next((a for a, s in enumerate(value.shape) if s == 1), 0)
                )
                along = axes(labels) or (single,)
                yield Axis(key, along[-1], self._roots(core(labels).numpy()))

    def _threads(self) -> Array:
        """Roots that equations tie to one another: the units before and after an activation."""
        root, spaces = self.solution.root, self.run.spaces
        ties = [r.labels for r in spaces.relations if r.labels] + list(spaces.parities)
        edges = [(root[np.abs(t[0])], root[np.abs(other)]) for t in ties for other in t[1:]]
        return components(len(root), edges)

    def roots_of(self, pair: Pair) -> set[int]:
        """The roots that a pair moves, shifts apart."""
        found: set[int] = set()
        for move in pair.moves:
            if not isinstance(move, MatrixMove | PermutationMove | ScaleMove | SignMove):
                continue
            for labels in self.run.weights[move.key].factors:
                small = core(labels).numpy()
                if isinstance(move, ScaleMove | SignMove):
                    mask = move.power != 0 if isinstance(move, ScaleMove) else move.counts
                    if small.shape == mask.shape:
                        found |= set(self._roots(small[mask]).tolist())
                elif (axes(labels) or move.axes) == move.axes and small.size > move.places.max():
                    found |= set(self._roots(small.ravel()[move.places]).tolist())
        return found

    def refused(self) -> Iterable[tuple[str, str, Reason]]:
        """(where, parameter, reason) for each axis, or part of an axis, that no pair moves."""
        named = {axis.key for axis in self.axes}
        for axis in self.axes:
            still = np.array([r for r in axis.roots.tolist() if r not in self.moved], dtype=int)
            if axis.name not in self.ends:
                yield axis.name, axis.key, self.cause(axis.key, axis.roots)
            elif 0 < len(still) < len(axis.roots):
                part = f"{axis.name} ({len(still)} of {len(axis.roots)})"
                yield part, axis.key, self.cause(axis.key, still)
        for key in self.run.weights:
            if key not in named and not any(end.rpartition(":")[0] == key for end in self.ends):
                yield key, key, self.lone(key)

    def lone(self, key: str) -> Reason:
        """The reason of a parameter without axes."""
        leaf = next(leaf for leaf in self.run.graph.leaves if leaf.key == key)
        if not leaf.trainable:
            return Reason(key, "it is frozen (requires_grad is False)", "requires_grad_(True)")
        return Reason(key, "it is one number, without an axis on which a group could act")

    def cause(self, key: str, roots: Array) -> Reason:
        """The reason that says most about units that do not move: a cause before its consequences."""
        threads = set(self.thread[roots].tolist())
        own, ranked = set(roots.tolist()), []
        for order, (reason, kinds) in enumerate(self.held.items()):
            direct = any(own & held for held in kinds.values())
            held = set().union(*kinds.values())
            if not direct and not threads & set(self.thread[list(held)].tolist()):
                continue
            fixes = "immovable" in kinds or (len(roots) == 1 and "unscaled" in kinds)
            ranked.append(((not fixes, self._rank(reason), reason.node != key, not direct, order), reason))
        if not ranked:
            return self._without_reason(key)
        reason = min(ranked, key=lambda entry: entry[0])[1]
        if reason.text in CONSEQUENCES:
            reason = self._upstream(reason)
        return self._worded(key, roots, reason)

    def _rank(self, reason: Reason) -> int:
        call = self.run.calls.get(reason.node)
        if reason.node in self.run.weights:
            return 0
        if (call is not None and call.op not in RULES) or "has no rule" in reason.text:
            return 1
        if reason.node == OUTPUT:
            return 2
        return 4 if reason.text in CONSEQUENCES else 3

    def _worded(self, key: str, roots: Array, reason: Reason) -> Reason:
        """The reason as it reads at this parameter."""
        node, text, remedy = reason.node, reason.text, reason.remedy
        owner, leaf = key.rpartition(".")[0], next(f for f in self.run.graph.leaves if f.key == key)
        if node == OUTPUT:
            read, written = self._ends(roots)
            if read and written:
                text, remedy = (
                    "these hidden values are returned by the model as well",
                    "a model that does not return them",
                )
                return Reason(written[0], text, remedy)
            if leaf.tied:
                text = f"it is tied to {', '.join(leaf.tied)}, and {text}"
        elif text.startswith("it ") and node not in (key, owner, INPUT.node) and self._is_named(node):
            text = node + text[2:]
        return Reason(node, text, remedy)

    def _is_named(self, node: str) -> bool:
        """Whether it is the name of a parameter or of a module."""
        return node in self.run.weights or any(call.module == node for call in self.run.graph.calls)

    def _ends(self, roots: Array) -> tuple[list[str], list[str]]:
        """The parameter axes that read the units of these threads, and those that write them."""
        threads = set(self.thread[roots].tolist())
        near = [a for a in self.axes if threads & set(self.thread[a.roots].tolist())]
        read, written = (
            set(np.concatenate([self._roots(labels) for labels in marked]).tolist()) if marked else set()
            for marked in (self.run.spaces.read, self.run.spaces.written)
        )
        reading = [a.name for a in near if set(a.roots.tolist()) & read - written]
        return reading, [a.name for a in near if a.name not in reading]

    def _without_reason(self, key: str) -> Reason:
        leaf = next(leaf for leaf in self.run.graph.leaves if leaf.key == key)
        if leaf.tied:
            names = ", ".join(leaf.tied)
            return Reason(
                key, f"it is tied to {names}: no element fits all of its uses", "parameters of their own"
            )
        return Reason(key, "no element moves it together with parameters that take the inverse")

    def _upstream(self, reason: Reason) -> Reason:
        """What fixed the values that are read: the nearest operation before that did, the input, or a constant."""
        causes = {r.node: r for r, kinds in self.held.items() if "immovable" in kinds and self._rank(r) < 4}
        leaves = {leaf.name: leaf for leaf in self.run.graph.leaves}
        starts = [call for call in self.run.graph.calls if _where(call) == reason.node]
        queue = [ref for call in starts for ref in refs(call) if not self._of_weights(ref)]
        if not queue:
            return reason
        kinds = set()
        for name in queue:  # grows as it is read
            if name in leaves:
                kinds.add(leaves[name].kind)
                continue
            call = self.run.calls[name]
            cause = causes.get(call.name) or causes.get(_where(call))
            if cause is not None and _where(call) != reason.node and not self._acted_on(name):
                return Reason(
                    reason.node, f"it reads what {_where(call)} returns ({cause.text})", cause.remedy
                )
            if not self._acted_on(name):
                queue += [ref for ref in refs(call) if ref not in queue]
                kinds |= set() if refs(call) else {"constant"}
        if "input" in kinds:
            return INPUT
        return Reason(reason.node, "it reads a constant") if kinds & {"constant", "buffer"} else reason

    def _of_weights(self, name: str) -> bool:
        value = self.run.values[name]
        return isinstance(value, Value) and value.weights_only and bool(value.factors)

    def _acted_on(self, name: str) -> bool:
        """Whether every entry of a value may move."""
        value = self.run.values[name]
        if not isinstance(value, Value) or not value.factors:
            return False
        roots = [self.solution.root[np.abs(core(f).numpy())] for f in value.factors]
        return not any(bool(np.isin(r, self.fixed).any()) for r in roots)


def _where(call: Call) -> str:
    return call.module or call.name


__all__ = ["Axis", "Refusal", "Why", "refusals"]
