"""What a found pair rests on: the actions of the table that it uses, and the proved relations of the functions between."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from symdiscover.network.finder import Proof
from symdiscover.network.moves import MatrixMove, NormalMove, OnesMove, ScaleMove, ShiftMove
from symdiscover.network.relations import Relations
from symdiscover.network.rules import Pass
from symdiscover.network.rules.table import flat
from symdiscover.network.value import Value, array

if TYPE_CHECKING:
    from symdiscover.network.pairs import Pair

#: Operations after which a gain stands.
NORMS = {
    "layer_norm", "native_layer_norm", "rms_norm", "_fused_rms_norm", "group_norm", "native_group_norm", "batch_norm",
    "instance_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_no_training",
}  # fmt: skip
#: Operations that take the larger of several values.
MAXIMA = {"maximum", "minimum", "amax", "amin", "max", "min"}
_PRODUCTS = {"mul", "mul_", "div", "div_", "glu"}
_HIDDEN_PRODUCTS = {"matmul", "mm", "bmm", "mv", "dot", "baddbmm", "einsum", "scaled_dot_product_attention"}


@dataclass(frozen=True)
class Route:
    """What a hidden space passes on its way.

    Attributes
    ----------
    steps:
        The operations that meet it; ``scores`` where two hidden values are multiplied along it, ``mixed`` where a hidden
        value is multiplied that is summed over something else, ``heads`` where whole heads change places.
    activations:
        The relations of the functions that are applied to it.
    """

    steps: tuple[str, ...] = ()
    activations: tuple[Relations, ...] = ()


NO_ROUTE = Route()


def routes(run: Pass, of_unit: np.ndarray, of_shift: np.ndarray) -> dict[int, Route]:
    """The route of each space, where units and shifts say by number in which space they lie (-1 for none)."""
    steps: dict[int, dict[str, None]] = defaultdict(dict)
    activations: dict[int, dict[Relations, None]] = defaultdict(dict)

    def spaces(values: Any) -> set[int]:
        found: set[int] = set()
        for value in flat(values):
            held = [of_unit[abs(array(labels))] for labels in value.factors]
            held += [] if value.shift is None else [of_shift[array(value.shift)]]
            for numbers in held:
                found.update(np.unique(numbers).tolist())
        return found - {-1}

    for call in run.graph.calls:
        known = run.activations.get(call.name)
        if known is None and run.composed.get(call.name) is not None:
            continue  # a part of a function that its users apply, or a multiple
        operands = [run.value(argument) for argument in (*call.args, *call.kwargs.values())]
        hidden = [isinstance(v, Value) and not v.weights_only for v in operands]
        product = call.op in _HIDDEN_PRODUCTS and sum(hidden) > 1
        after = spaces(run.values[call.name]) if product else set()
        for space in set().union(*map(spaces, operands)):
            steps[space][call.op] = None
            if product:
                steps[space]["mixed" if space in after else "scores"] = None
            if known is not None:
                activations[space][known] = None
    return {space: Route(tuple(steps[space]), tuple(activations[space])) for space in steps}


def proofs_of(pair: Pair) -> tuple[Proof, ...]:
    """The identities on which a found pair rests, each proved by SymPy: those of its pattern, and of the functions between.

    Raises
    ------
    NotInvariant
        If one of them does not hold.

    Examples
    --------
    >>> from torch import nn, ones
    >>> from symdiscover.network import find_pairs, trace
    >>> model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
    >>> for proof in proofs_of(find_pairs(trace(model, ones(1, 4)))[0]):
    ...     print(proof.statement)
    W -> diag(s_1, s_2)*W, b -> diag(s_1, s_2)*b, V -> V*diag(s_1, s_2) leaves V*sigma(W*x + b) + c,
    given sigma(-z) = -sigma(z), s = +-1
    W -> P*W, b -> P*b, V -> V*P.T leaves V*sigma(W*z + b), given any elementwise sigma
    sigma(-z) = -sigma(z), for sigma(z) = tanh(z)
    """
    from symdiscover.network.pair_table import proof_of

    names = dict.fromkeys(_names(pair))
    return (*(proof_of(name) for name in names), *_relations(pair, names))


#: Name of an action -> how the relation begins that it needs.
_NEEDS = {
    "homogeneous activation": "sigma(c z)",
    "weight norm": "sigma(c z)",
    "odd activation": "sigma(-z) = -",
    "even activation": "sigma(-z) = sigma",
    "affine-odd activation": "sigma(-z) = ",
    "exponential activation": "sigma(z + t) = e",
    "periodic activation": "sigma(z + ",
    "half periods": "sigma(z + ",
    "bijective activation, on the batch": "sigma is strictly",
}


def _relations(pair: Pair, names: Collection[str]) -> list[Proof]:
    found: dict[Proof, None] = {}
    for known in pair.route.activations:
        for proof in known.proofs:
            if any(proof.statement.startswith(_NEEDS[name]) for name in names if name in _NEEDS):
                found[Proof(f"{proof.statement}, for sigma(z) = {known.expression}", proof.how)] = None
    return list(found)


def _names(pair: Pair) -> Iterator[str]:
    """The rows of the table that a pair uses."""
    steps = set(pair.route.steps)
    if pair.grade == "on-batch":
        yield "bijective activation, on the batch"
        return
    for part in pair.parts:
        if part.name == "angle":
            yield "queries and keys, rotary"
        elif any(isinstance(m, MatrixMove) and m.gain is not None for m in pair.moves):
            yield "gain taken along by its readers" if part.orthogonal else "linear pair"
        elif part.name == "matrix":
            yield from _matrix(pair, steps, part.orthogonal)
        elif part.name == "log_scale":
            yield from _scale(pair, steps)
        elif part.name == "sign":
            yield from _sign(pair, steps)
        elif part.name == "permutation":
            yield "permutation of heads" if "heads" in steps else "permutation of units"
        elif part.name == "turns":
            half = any(known.half_period is not None for known in pair.route.activations)
            yield "half periods" if half else "periodic activation"
        else:
            yield from _shift(pair, steps)


def _matrix(pair: Pair, steps: set[str], orthogonal: bool) -> Iterator[str]:
    if orthogonal:
        tied = not set(pair.writers).isdisjoint(pair.readers)
        if tied:
            yield "tied weights"
        if not tied or steps & NORMS:
            yield "norm of a rotated value"
        return
    if "scores" in steps:
        yield "queries and keys"
    elif "mixed" in steps:
        yield "values and outputs"
    elif any(step.startswith("conv") for step in steps):
        yield "convolution"
    else:
        yield "linear pair"


def _scale(pair: Pair, steps: set[str]) -> Iterator[str]:
    if any("weight_norm" in step for step in steps):
        yield "weight norm"
    elif any(known.degree is not None for known in pair.route.activations):
        yield "homogeneous activation"
    if any(("max" in step and "softmax" not in step) or step in MAXIMA for step in steps):
        yield "maximum"
    if steps & NORMS:
        yield "norm gain"
    if steps & _PRODUCTS:
        yield "gate"
    yield "linear pair"


def _sign(pair: Pair, steps: set[str]) -> Iterator[str]:
    parities = {known.parity for known in pair.route.activations}
    for parity, name in (("odd", "odd"), ("even", "even"), ("affine", "affine-odd")):
        if parity in parities:
            yield f"{name} activation"
    if steps & NORMS:
        yield "norm gain"
    if steps & _PRODUCTS:
        yield "gate"
    if not parities & {"odd", "even", "affine"}:
        yield "linear pair"


def _shift(pair: Pair, steps: set[str]) -> Iterator[str]:
    for move in pair.moves:
        if isinstance(move, OnesMove):
            if steps & NORMS:
                yield "ones before a norm"
            if steps - NORMS:
                yield "ones before a softmax"
        elif isinstance(move, NormalMove):
            yield "plane after a softmax" if move.level else "plane after a norm"
        elif isinstance(move, ScaleMove):
            yield "exponential activation"
        elif isinstance(move, ShiftMove) and not any(isinstance(m, ScaleMove) for m in pair.moves):
            if "mixed" in steps:
                yield "values and outputs"
            elif "scores" in steps:
                yield "bias of the keys"
            elif move.images:
                yield "shift into the next bias"
            else:
                yield "bias before BatchNorm" if steps & NORMS else "two biases of one sum"
