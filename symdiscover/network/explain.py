"""What may be done to each layer of a model, and why not more, in sentences."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from symdiscover.network.moves import ScaleMove
from symdiscover.network.pairs import Pair, analyse, find_pairs
from symdiscover.network.paragraphs import Explanation, Paragraph, Sentence, summed
from symdiscover.network.refusals import INPUT, OUTPUT, Refusal, Why, refusals
from symdiscover.network.spaces import Reason
from symdiscover.network.trace import LayerGraph

#: Names that a sentence lists before it counts the others.
LISTED = 3
L2 = (
    "An l2 penalty (weight decay) changes under scalings, GL(n) and shifts, and not under permutations, nor under O(n) "
    "where no gain is taken along: make it part of the loss, or expect it to change."
)
PRODUCTS = "between them are only products and linear operations"
PARTS = ("matrix", "angle", "log_scale", "sign", "permutation", "turns", "shift")
CHECKED = "Each was checked with a random element of its whole group, in float64 and evaluation mode, on the example inputs."
UNCHECKED = "None was checked by running the model: its parameters have no values (meta device)."
BUFFERS = "The running statistics of BatchNorm are buffers: they are not moved."


@dataclass(frozen=True)
class Kind:
    """Pairs that are alike: the same group on the same parameter axes, such as one for each head."""

    pair: Pair
    count: int

    @property
    def parts(self) -> set[str]:
        """The coordinates of an element."""
        return {part.name for part in self.pair.parts}


@dataclass(frozen=True)
class Layer:
    """A module with parameters, or a parameter used by itself."""

    name: str
    kind: str
    keys: tuple[str, ...]


def explain(graph: LayerGraph, pairs: Sequence[Pair] | None = None) -> Explanation:
    """A paragraph for each layer: what may be done to it, or why nothing may, and the nearest remedy.

    Parameters
    ----------
    graph:
        From `trace`.
    pairs:
        From `find_pairs`, if they are known already.

    Examples
    --------
    >>> from torch import nn, ones
    >>> from symdiscover.network import trace
    >>> model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
    >>> print(explain(trace(model, ones(1, 4))))  # doctest: +ELLIPSIS
    0 (Linear): The 8 hidden units between 0 and 2 may change sign and be permuted: tanh is odd. For all inputs; ...
    """
    pairs = find_pairs(graph) if pairs is None else pairs
    return _Writer(graph, pairs).text()


class _Writer:
    def __init__(self, graph: LayerGraph, pairs: Sequence[Pair]) -> None:
        self.graph, self.pairs = graph, pairs
        self.why = Why(analyse(graph), pairs)
        self.layers = _layers(graph)
        self.home = {key: layer.name for layer in self.layers for key in layer.keys}
        self.kinds = _alike(pairs)
        self.attention = {c.op for c in graph.calls} & {"scaled_dot_product_attention", "softmax", "_softmax"}

    def text(self) -> Explanation:
        """The whole text."""
        paragraphs = summed(self.paragraphs())
        return Explanation("\n\n".join([*map(str, paragraphs), self.summary()]))

    def summary(self) -> str:
        """How it was checked, and what the pairs do not keep."""
        dimension = sum(pair.dimension for pair in self.pairs)
        if not self.pairs:
            return "In all: no pair."
        found = f"{len(self.pairs)} pair{'s' * (len(self.pairs) > 1)}"
        lines = [
            f"In all: {found} with {dimension} continuous dimensions, solved from the equations of the layers.",
            CHECKED if all(pair.error is not None for pair in self.pairs) else UNCHECKED,
            L2,
        ]
        if any("batch_norm" in call.op for call in self.graph.calls):
            lines.append(BUFFERS)
        if self.graph.path_only:
            lines.append("Valid for the execution path of the example inputs only.")
        return " ".join(lines)

    def paragraphs(self) -> list[Paragraph]:
        """One for each layer."""
        told: dict[int, str] = {}
        refused: dict[str, list[tuple[str, Reason]]] = defaultdict(list)
        for where, key, reason in self.why.refused():
            refused[self.home[key]].append((where, reason))
        paragraphs = []
        for layer in self.layers:
            sentences: list[Sentence] = []
            later: dict[str, list[str]] = defaultdict(list)
            for k, kind in enumerate(self.kinds):
                ends = [
                    e for e in (*kind.pair.writers, *kind.pair.readers) if e.rpartition(":")[0] in layer.keys
                ]
                if ends and k not in told:
                    told[k] = layer.name
                    sentences.append(self.claim(kind))
                elif ends:
                    later[told[k]] += [e for e in ends if e not in later[told[k]]]
            homes: dict[str, list[str]] = defaultdict(list)
            for home, shared in later.items():
                homes[f"its {self.sides(layer, shared)}"].append(home)
            sentences += [
                Sentence(f"{_start(_does(its, 'move'))} with {_short(own)}.") for its, own in homes.items()
            ]
            sentences += self.refusals(layer, refused[layer.name])
            paragraphs.append(Paragraph(layer.name, layer.kind, tuple(sentences)))
        return paragraphs

    def refusals(self, layer: Layer, refused: Sequence[tuple[str, Reason]]) -> list[Sentence]:
        """One sentence for each reason."""
        by_reason: dict[Reason, list[str]] = defaultdict(list)
        for where, reason in refused:
            node = reason.node if reason.node in (INPUT.node, OUTPUT) else ""
            by_reason[replace(reason, node=node)].append(where)
        said = []
        for reason, ends in by_reason.items():
            what = self.part(layer, ends)
            if reason == INPUT:
                said.append(_start(f"{_does(what, 'read')} the input of the model."))
            elif reason.node == OUTPUT:
                tied = reason.text.partition(", and ")[0] if reason.text.startswith("it is tied") else ""
                said.append(_start(f"{_does(what, 'write')} the output of the model{tied and f'; {tied}'}."))
            else:
                helps = f" What would help: {reason.remedy}." if reason.remedy else ""
                said.append(f"Nothing acts on {what}: {reason.text}.{helps}")
        return [Sentence(text) for text in said]

    def part(self, layer: Layer, where: Sequence[str]) -> str:
        """Refused axes, or parts of axes, in words: its rows and bias; 4 of its 7 columns."""
        whole = [w for w in where if not w.endswith(")")]
        own = [a.name for a in self.why.axes if a.key in layer.keys]
        if len(own) > 2 and set(whole) >= set(own):
            return "it"
        named = [f"its {self.sides(layer, whole)}"] if whole else []
        for w in (w for w in where if w.endswith(")")):
            name, _, share = w.partition(" (")
            some, _, most = share[:-1].partition(" of ")
            named.append(f"{some} of its {most} {self.sides(layer, [name])}")
        return _listed(named)

    def sides(self, layer: Layer, ends: Iterable[str]) -> str:
        """Parameter axes in words: rows and bias."""
        names = []
        for end in ends:
            key, _, axis = end.rpartition(":") if ":" in end else (end, "", "0")
            names.append(self._side(layer, key, int(axis)))
        return _listed(list(dict.fromkeys(names)))

    def _side(self, layer: Layer, key: str, axis: int) -> str:
        shape = self.why.run.weights[key].shape
        local = key.rpartition(".")[2]
        if len(shape) < 2:
            gain = local == "weight" and "Norm" in layer.kind
            return (
                "gain"
                if gain
                else "slopes"
                if "PReLU" in layer.kind
                else local
                if layer.name != key
                else "entries"
            )
        if len(shape) == 2:
            side = ("rows", "columns")[axis]
        else:
            flipped = "Transpose" in layer.kind
            side = ("output channels", "input channels")[axis ^ flipped] if axis < 2 else f"axis {axis}"
        return side if local == "weight" or layer.name == key else f"{side} of {local}"

    # --- what a pair allows ---

    def claim(self, kind: Kind) -> Sentence:
        """A pair as a sentence."""
        pair = kind.pair
        text = self._shift(kind) if kind.parts == {"shift"} else self._units(kind)
        return Sentence(text, True, pair.error)

    def _units(self, kind: Kind) -> str:
        pair, parts = kind.pair, kind.parts
        heads = pair.note.startswith("heads")
        noun = "heads" if heads else "hidden units" if pair.size > 1 else "hidden unit"
        count = f"{pair.size} " if pair.size > 1 else ""
        what = f"the {count}{noun} {self._between(pair)}"
        if kind.count > 1:
            what = f"in each of the {kind.count} {self._repeated(pair)}, {what}"
        does = "change places as wholes" if heads else _verbs(parts, pair)
        because = "." if heads else self._because(kind)
        return f"{_start(what)} may {does}{because}"

    def _repeated(self, pair: Pair) -> str:
        shapes = {len(self.why.run.weights[key].shape) for key in pair.parameters}
        return "groups" if max(shapes) > 2 else "heads" if self.attention else "sets"

    def _between(self, pair: Pair) -> str:
        write, read = self._names(pair.writers), self._names(pair.readers)
        if write and write == read:
            inner = (
                " (queries against keys)" if self.attention and set(pair.writers) == set(pair.readers) else ""
            )
            return f"inside {_listed(write)}{inner}"
        rest = [name for name in read if name not in write] or read
        if len(write) == len(rest) == 1:
            return f"between {write[0]} and {rest[0]}"
        said = [
            f"{_short(names)} {verb}{'s' * (len(names) == 1)}"
            for names, verb in ((write, "write"), (rest, "read"))
            if names
        ]
        return f"that {' and '.join(said)}"

    def _names(self, ends: Iterable[str]) -> list[str]:
        names = list(dict.fromkeys(self.home[end.rpartition(":")[0]] for end in ends))
        alike: dict[str, list[str]] = defaultdict(list)
        for name in names:
            alike[re.sub(r"(?<=\.)\d+(?=\.)", "*", name)].append(name)
        return [pattern if len(group) > 1 else group[0] for pattern, group in alike.items()]

    def _because(self, kind: Kind) -> str:
        """The reason that the operations between give, else the note of the pair."""
        reasons = list(dict.fromkeys(self._reasons(kind)))[:2]
        if not reasons:
            return f": {PRODUCTS if kind.pair.note.startswith('what is between lets') else kind.pair.note}."
        text = "; ".join(reason.text for reason in reasons)
        helps = "" if kind.parts & {"angle", "log_scale", "matrix", "sign", "turns"} else reasons[0].remedy
        return (f". {_start(text)}." if ":" in text else f": {text}.") + (helps and f" {_start(helps)}.")

    def _reasons(self, kind: Kind) -> Iterable[Reason]:
        """What the activations and norms between say."""
        pair, scales = kind.pair, "log_scale" in kind.parts
        wanted = "orthogonal" if "matrix" in kind.parts else "nonlinear"
        moves = tuple(m for m in pair.moves if not scales or isinstance(m, ScaleMove))
        roots = self.why.roots_of(replace(pair, moves=moves))
        for reason, kinds in self.why.held.items():
            fixes = "immovable" in kinds or (scales and roots & kinds.get("unscaled", set()))
            if reason.node and roots & kinds.get(wanted, set()) and not fixes:
                yield replace(reason, node="every")

    def _shift(self, kind: Kind) -> str:
        pair = kind.pair
        write, read = _short(self._names(pair.writers)), _short(self._names(pair.readers))
        times = f"in each of the {kind.count} {self._repeated(pair)}, " if kind.count > 1 else ""
        if not write:
            return _start(
                f"multiples of one vector may be added to each row of {read} ({pair.group}): {pair.note}."
            )
        if pair.note.startswith("a norm"):
            return _start(
                f"{times}the same number may be added to all units that {write} writes ({pair.group}): {pair.note}."
            )
        if pair.note.startswith("a shift that the activation"):
            return _start(
                f"{times}{write} may be shifted, and {read} scaled for it ({pair.group}): {pair.note}."
            )
        several = len(self._names(pair.writers)) > 1
        takes = (
            f", and the bias of {read} takes it up"
            if read
            else ": softmax does not see it"
            if self.attention
            else ""
        )
        if several and not read:
            return _start(f"{times}the biases of {write} may be shifted against each other ({pair.group}).")
        return _start(f"{times}the bias{'es' * several} of {write} may be shifted ({pair.group}){takes}.")


def _verbs(parts: set[str], pair: Pair) -> str:
    """What may be done to units, after the word may."""
    if "matrix" in parts:
        orthogonal = any(part.orthogonal for part in pair.parts)
        return f"be multiplied by any {'orthogonal' if orthogonal else 'invertible'} matrix, {pair.group}"
    if "angle" in parts:
        return f"be turned in their planes ({pair.group})"
    if "turns" in parts:
        return f"be moved by periods ({pair.group})"
    done = []
    if "log_scale" in parts:
        done.append(f"be scaled by {'non-zero' if 'sign' in parts else 'positive'} numbers")
    elif "sign" in parts:
        done.append("change sign")
    if "permutation" in parts:
        done.append("permuted" if "log_scale" in parts else "be permuted")
    return " and ".join(done)


def _start(text: str) -> str:
    return text[:1].upper() + text[1:]


def _does(what: str, verb: str) -> str:
    """A subject with its verb: its rows move, its bias moves."""
    noun = re.sub(r" of (?!its\b).*", "", what)
    single = " and " not in what and (noun.endswith("bias") or not noun.endswith("s"))
    return f"{what} {verb}{'s' * single}"


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _short(names: Sequence[str]) -> str:
    if len(names) <= LISTED + 1:
        return _listed(names)
    return f"{', '.join(names[:LISTED])} and {len(names) - LISTED} others"


def _alike(pairs: Sequence[Pair]) -> list[Kind]:
    """Pairs with the same group on the same axes, counted; the largest error stands for all."""
    groups: dict[object, list[Pair]] = defaultdict(list)
    for pair in pairs:
        ends = frozenset([frozenset(pair.writers), frozenset(pair.readers)])
        groups[pair.group, ends, pair.note].append(pair)
    kinds = []
    for group in groups.values():
        errors = [p.error for p in group if p.error is not None]
        kinds.append(Kind(replace(group[0], error=max(errors) if errors else None), len(group)))
    return sorted(kinds, key=_order)


def _order(kind: Kind) -> tuple[object, ...]:
    """The same in every block: matrices, scales, signs, permutations, shifts."""
    pair = kind.pair
    first = min(PARTS.index(part.name) for part in pair.parts)
    return first, set(pair.writers) != set(pair.readers), pair.note, not pair.readers, pair.size


def _layers(graph: LayerGraph) -> list[Layer]:
    """Modules with parameters of their own, in order; parameters of a module that holds others stand by themselves."""
    owners: dict[str, list[str]] = defaultdict(list)
    kinds = {
        c.module: c.module_types[-1].rpartition(".")[2] for c in graph.calls if c.module and c.module_types
    }
    for key in dict.fromkeys(leaf.key for leaf in graph.leaves if leaf.kind == "parameter"):
        owner = (
            key.partition(".parametrizations.")[0] if ".parametrizations." in key else key.rpartition(".")[0]
        )
        owners[owner if owner and _is_layer(graph, owner, kinds) else key].append(key)
    return [Layer(name, _type(graph, name, kinds), tuple(keys)) for name, keys in owners.items()]


def _is_layer(graph: LayerGraph, owner: str, kinds: dict[str, str]) -> bool:
    if graph.model is None:
        return owner in kinds
    module = graph.model.get_submodule(owner)
    return type(module).__module__.startswith("torch.") and not type(module).__name__.endswith(
        ("List", "Dict")
    )


def _type(graph: LayerGraph, name: str, kinds: dict[str, str]) -> str:
    if graph.model is None:
        return kinds.get(name, "")
    try:
        return type(graph.model.get_submodule(name)).__name__.removeprefix("Parametrized")
    except AttributeError:
        return "parameter"


__all__ = ["Explanation", "Refusal", "explain", "refusals"]
