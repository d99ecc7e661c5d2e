"""The table of rules, and the pass over the calls of a graph that applies them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from symdiscover.network.relations import Relations
from symdiscover.network.spaces import Array, Reason, Relation, Spaces
from symdiscover.network.trace import Call, LayerGraph, Leaf, Ref, refs
from symdiscover.network.value import Fold, Value, array, axes, constant, core, plain

Rule = Callable[["Pass", Call, Any], Any]

#: aten operation -> its rule.
RULES: dict[str, Rule] = {}


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Enter a rule for operations under these names."""

    def enter(function: Rule) -> Rule:
        for name in names:
            RULES[name] = function
        return function

    return enter


@dataclass(frozen=True)
class Rotation:
    """x cos + r(x) sin: the node of x, the calls in between, and pairs of entries of the last axis that r turns."""

    source: str
    inside: frozenset[str]
    pairs: tuple[tuple[int, int], ...]

    def labels(self, value: Value) -> list[tuple[Array, Array]]:
        """Labels of the first and the second unit of each plane; none where its units have no places of their own."""
        last = len(value.shape) - 1
        if len(value.factors) != 1 or core(value.factors[0]).shape[last] != value.shape[last]:
            return []
        labels = core(value.factors[0]).movedim(last, -1).reshape(-1, value.shape[last]).numpy()
        first, second = np.array(self.pairs).T
        rows = np.unique(labels, axis=0)
        return [(rows[:, first].ravel(), rows[:, second].ravel())]


@dataclass
class Pass:
    """One pass over the calls of a graph: their values, and the equations that the rules state.

    Attributes
    ----------
    graph, spaces:
        What is read, and what is written.
    values:
        Node name -> `Value`, a list of them, or None.
    users:
        Node name -> the calls that take it.
    weights:
        Name of a parameter -> its value: a factor for each axis.
    images:
        Where a shift went through weights: call name -> (node of the weights, labels of the shift, how they are applied).
    composed:
        Call name -> the node and the expression of which an elementwise call is a function, None where it is not one.
    folding, folds:
        Whether gains stay in place and are taken along by those who read them: (weights, axis that reads, what is folded).
    rotations, planes:
        Rotary embeddings that are passed over, by the call that ends them, and labels of the planes that may be turned there.
    activations:
        Call name -> the proved relations of the function that it applies to a hidden value.
    leaves:
        Node name -> leaf.
    uses:
        Name of a parameter -> how many calls take it, under any of its names.
    """

    graph: LayerGraph
    spaces: Spaces = field(default_factory=Spaces)
    values: dict[str, Any] = field(default_factory=dict)
    users: dict[str, list[Call]] = field(default_factory=lambda: defaultdict(list))
    weights: dict[str, Value] = field(default_factory=dict)
    calls: dict[str, Call] = field(default_factory=dict)
    images: dict[str, tuple[str, Array, str]] = field(default_factory=dict)
    composed: dict[str, tuple[str, Any] | None] = field(default_factory=dict)
    folding: bool = False
    folds: list[tuple[str, int, Fold]] = field(default_factory=list)
    rotations: dict[str, Rotation] = field(default_factory=dict)
    planes: list[tuple[Array, Array]] = field(default_factory=list)
    activations: dict[str, Relations] = field(default_factory=dict)
    leaves: dict[str, Leaf] = field(default_factory=dict)
    uses: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def run(self) -> Pass:
        """Read every leaf and apply the rule of every call, in order."""
        for call in self.graph.calls:
            self.calls[call.name] = call
            for name in refs(call):
                self.users[name].append(call)
        for leaf in self.graph.leaves:
            self.leaves[leaf.name] = leaf
            self.uses[leaf.key] += len(self.users[leaf.name])
        for leaf in self.graph.leaves:
            self.values[leaf.name] = self._leaf(leaf)
        for call in self.graph.calls:
            self.values[call.name] = self._apply(call)
        return self

    def value(self, argument: Any) -> Any:
        """The value of an argument: a node's, a number's, or those of a list."""
        if isinstance(argument, Ref):
            return self.values[argument.name]
        if isinstance(argument, tuple | list):
            return [self.value(a) for a in argument]
        if isinstance(argument, Mapping):
            return [self.value(a) for a in argument.values()]
        return constant() if isinstance(argument, int | float) else None

    def argument(self, call: Call, position: int, name: str, default: Any = None) -> Any:
        """An argument by position or keyword, as it was written."""
        if name in call.kwargs:
            return call.kwargs[name]
        return call.args[position] if len(call.args) > position else default

    def _leaf(self, leaf: Leaf) -> Value:
        if leaf.kind != "parameter" or leaf.shape is None:
            return plain(leaf.shape, weights_only=leaf.kind != "input")
        if leaf.key in self.weights:
            return self.weights[leaf.key]
        value = self.weights[leaf.key] = self._weight(leaf, leaf.shape)
        if leaf.overlaps:
            self.freeze(
                value, Reason(leaf.key, f"it shares memory with {leaf.overlaps[0]}", "a parameter of its own")
            )
        elif not self.uses[leaf.key]:
            self.freeze(value, Reason(leaf.key, "it is not used in the forward pass"))
        elif not leaf.trainable:
            self.freeze(
                value, Reason(leaf.key, "it is frozen (requires_grad is False)", "requires_grad_(True)")
            )
        return value

    def _weight(self, leaf: Leaf, shape: tuple[int, ...]) -> Value:
        """A factor of new units for each axis; of a grouped convolution the inputs of each group apart."""
        groups, free = self._groups(leaf), len(shape) <= 2
        factors = []
        for axis, size in enumerate(shape):
            if groups is not None and axis > 1:
                continue
            if size == 1 and not free and not (groups is not None and axis < 2):
                continue
            if groups is not None and groups > 1 and axis == 1:
                units = torch.from_numpy(self.spaces.new_units(groups * size)).view(groups, 1, size)
                labels = units.expand(groups, shape[0] // groups, size).reshape(shape[0], size)
                factors.append(labels.view(shape[0], size, *[1] * (len(shape) - 2)).expand(shape))
            else:
                units = torch.from_numpy(self.spaces.new_units(size))
                factors.append(
                    units.view([size if a == axis else 1 for a in range(len(shape))]).expand(shape)
                )
        shift = None
        if shape and groups is None and len(shape) <= 3:
            numbers = self.spaces.new_shifts(shape[-1])
            self.spaces.additive.append(numbers)
            self.own(torch.from_numpy(numbers), factors[-1][(0,) * (len(shape) - 1)] if factors else None)
            shift = torch.from_numpy(numbers).expand(shape)
        vary = torch.empty(
            shape, dtype=torch.int8
        )  # its strides are read alone, so that no page of it is touched
        return Value(shape, tuple(factors), shift, vary, weights_only=True, leaf=leaf.key)

    def _groups(self, leaf: Leaf) -> int | None:
        """The groups of the convolution that takes a parameter as its kernel; None where none does."""
        for call in self.users[leaf.name]:
            if call.op.startswith("conv") and len(call.args) > 1 and call.args[1] == Ref(leaf.name):
                if call.op == "convolution":
                    return int(call.args[8])
                if "transpose" in call.op:
                    return 1
                return int(self.argument(call, 6, "groups", 1))
        return None

    def _apply(self, call: Call) -> Any:
        if call.name in self.rotations:
            rotation = self.rotations[call.name]
            value: Value = self.values[rotation.source]
            self.planes += rotation.labels(value)
            return value
        if any(call.name in rotation.inside for rotation in self.rotations.values()):
            return plain(call.shape)
        arguments = [self.value(a) for a in (*call.args, *call.kwargs.values())]
        known = RULES.get(call.op)
        if call.op != "output" and all(v.plain for v in flat(arguments)):
            return self.plain_result(call, flat(arguments))
        if known is None:
            reason = Reason(
                call.name,
                f"the operation {call.op} has no rule",
                "a rule for it, or operations that have one",
            )
            return self.unknown(call, reason)
        result = known(self, call, [self.value(a) for a in call.args])
        for value in flat(arguments):
            if value.folded is not None and not keeps_fold(call, value, result):
                self.freeze(value, Reason(call.name, "it does not take a gain along"))
        return result

    def plain_result(self, call: Call, operands: list[Value]) -> Any:
        """The result of an operation on values on which nothing acts."""
        if call.op in MOVES:
            return MOVES[call.op](self, call, [self.value(a) for a in call.args])
        weights_only = all(v.weights_only for v in operands)
        if call.shape is None:
            return [plain(v.shape, weights_only) if v is not None else None for v in self._outputs(call)]
        value = plain(call.shape, weights_only)
        vary = value.vary
        for axis in range(len(call.shape)):
            if (
                operands
                and all(_flat_along(v, axis - len(call.shape)) for v in operands)
                and call.op in POINTWISE
            ):
                vary = vary.narrow(axis, 0, 1).expand(call.shape)
        return Value(call.shape, vary=vary, weights_only=weights_only)

    def _outputs(self, call: Call) -> list[Any]:
        """A placeholder for each tensor of a call that returns several, by the `getitem` calls that take them."""
        taken = {int(u.args[1]): u for u in self.users[call.name] if u.op == "getitem"}
        return [taken.get(i) for i in range(max(taken, default=-1) + 1)]

    def unknown(self, call: Call, reason: Reason) -> Any:
        """Freeze everything that a call touches."""
        for value in flat([self.value(a) for a in (*call.args, *call.kwargs.values())]):
            self.freeze(value, reason)
        if call.shape is None:
            return [plain(u.shape) if u is not None else None for u in self._outputs(call)]
        return plain(call.shape)

    def freeze(self, value: Value, reason: Reason) -> None:
        """Nothing acts on a value, and nothing is added to it."""
        for labels in value.factors:
            self.spaces.fix(array(labels), reason)
        self.still(value, reason)

    def still(self, value: Value, reason: Reason) -> None:
        """Nothing is added to a value."""
        if value.shift is not None:
            self.spaces.no_shift(array(value.shift), reason)

    def own(self, shifts: torch.Tensor, labels: torch.Tensor | None) -> None:
        """The units of the entries to which shifts are added."""
        numbers = np.asarray(shifts.cpu().numpy()).ravel()
        owner = (
            np.zeros_like(numbers)
            if labels is None
            else np.asarray(labels.expand(shifts.shape).cpu().numpy()).ravel()
        )
        self.spaces.owners.append((owner, numbers))

    def scaled_shift(self, value: Value, factor: Any) -> torch.Tensor | None:
        """New shifts, `factor` times those of a value."""
        if value.shift is None or factor == 1:
            return value.shift
        from fractions import Fraction

        small = core(value.shift)
        old, inverse = np.unique(small.cpu().numpy(), return_inverse=True)
        live = old != 0
        new = np.zeros_like(old)
        new[live] = self.spaces.new_shifts(int(live.sum()))
        self.spaces.relations.append(
            Relation((), (), (Fraction(1), -Fraction(factor)), (new[live], old[live]))
        )
        self.spaces.owners.append((np.zeros(int(live.sum()), int), new[live]))
        return torch.from_numpy(new[inverse].reshape(small.shape)).expand(value.shape)


#: Operations that only move entries: filled by `movement`.
MOVES: dict[str, Rule] = {}
#: Operations on entries, whose result is constant where all operands are: filled by `elementwise`.
POINTWISE: set[str] = set()


def keeps_fold(call: Call, value: Value, result: Any) -> bool:
    """Whether an operation handles a value with a folded gain: sums over its last axis, or leaves it in place."""
    if call.op in FOLDING:
        return True
    if not isinstance(result, Value) or call.op not in MOVES or result.shape[-1:] != value.shape[-1:]:
        return False
    before, after = ([core(f).reshape(-1) for f in v.factors] for v in (value, result))
    in_order = len(before) == len(after) and all(map(torch.equal, before, after))
    return in_order and all(axes(f) == (len(result.shape) - 1,) for f in result.factors)


#: Operations that look after a folded gain themselves.
FOLDING: set[str] = set()


def flat(values: Any) -> list[Value]:
    """The values in nested lists."""
    if isinstance(values, Value):
        return [values]
    if isinstance(values, tuple | list):
        return [v for part in values for v in flat(part)]
    return []


def _flat_along(value: Value, axis: int) -> bool:
    return -axis > len(value.shape) or value.uniform(axis)


def distinct(*arrays: Array) -> tuple[Array, ...]:
    """The different rows of arrays of one shape after broadcasting."""
    stacked = np.stack([a.ravel() for a in np.broadcast_arrays(*arrays)])
    return tuple(np.unique(stacked, axis=1))


def reasoned(call: Call, text: str, remedy: str = "") -> Reason:
    """A reason at a call, named by its module where it has one."""
    where = call.module or call.name
    return Reason(where, text, remedy)
