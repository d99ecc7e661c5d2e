"""The matrix action through a bijective activation, exact on one batch (Zhao et al. 2022, Prop. 4.3, made a group action).

With samples as columns, z_m = W_m h_{m-1}, h_m = sigma(z_m), a row of ones under h where the layer has a bias, and H^+ a left
inverse of H = [h_{m-1}; 1]:

    W_m' = (W_m + (sigma^{-1}(g_m h_m) - z_m) H^+) (g_{m-1} + 1)^{-1},    h_m' = g_m h_m,    H'^+ = H^+ (g_{m-1} + 1)^{-1},

where g + 1 is g with an entry 1 for the bias, and g = 1 at both ends of the stack. What W_m does outside the span of the batch
stays. The left inverses are computed once and carried: only then do elements of several layers compose.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

import sympy as sp
import torch

from symdiscover.action import load
from symdiscover.errors import NotAdmissible, OutsideDomain, RankDeficient, SymmetryError
from symdiscover.network.finder import Proof
from symdiscover.network.formula import Z
from symdiscover.network.normals import own_leaf
from symdiscover.network.pair_proofs import Route, proofs_of
from symdiscover.network.pairs import Grade, Pair, Part
from symdiscover.network.relations import Relations, relations
from symdiscover.network.rules import Pass
from symdiscover.network.rules.elementwise import composed
from symdiscover.network.rules.movement import SAME
from symdiscover.network.trace import Call, LayerGraph, Ref
from symdiscover.symmetry import Status
from symdiscover.torch_printer import generate_function, helper_sources

Weights = Mapping[str, torch.Tensor]
#: A diagonal entry of a factor below this multiple of the largest counts as zero, in units of the rounding error.
_RANK = 100.0


@dataclass(frozen=True)
class Layer:
    """One linear layer of a stack and the activation after it; None where there is none."""

    weight: str
    bias: str | None
    activation: Relations | None


@dataclass(frozen=True)
class Carried:
    """What the action acts on: the weights, and for each layer its hidden values and left inverse on the batch.

    Attributes
    ----------
    weights:
        name -> tensor.
    before, hidden:
        z_m and h_m of every hidden layer, (width, samples).
    left:
        H^+ of the layers that write a pair, (samples, width + 1 with a bias), by their weights.
    """

    weights: Mapping[str, torch.Tensor]
    before: tuple[torch.Tensor, ...] = field(repr=False)
    hidden: tuple[torch.Tensor, ...] = field(repr=False)
    left: Mapping[str, torch.Tensor] = field(repr=False)


@dataclass(frozen=True, eq=False)
class OnBatchAction:
    """GL of every hidden layer of a stack, on one batch: ``action(element, action.carried(weights))``.

    An element is a tuple of invertible matrices, one for each pair, or a vector of their Lie-algebra coordinates.

    Attributes
    ----------
    layers:
        From the input to the output.
    pairs:
        Those that move, in that order.
    batch:
        (samples, inputs).

    Notes
    -----
    Laws, on the carried values and to rounding: identity, composition, inverse; the outputs on the batch are equal. Of one pair
    the action on weights alone is a group action; of several it is not, as their left inverses are not unique. Grade: on-batch.

    Examples
    --------
    >>> from torch import nn
    >>> from symdiscover.network import trace
    >>> torch.manual_seed(0); x = torch.randn(3, 4).double()
    <torch._C.Generator object at ...>
    >>> model = nn.Sequential(nn.Linear(4, 5), nn.LeakyReLU(0.1), nn.Linear(5, 2)).double()
    >>> action = on_batch_action(trace(model, x))
    >>> moved = action(action.random(), dict(model.named_parameters()))
    >>> torch.allclose(torch.func.functional_call(model, moved, (x,)), model(x))
    True
    """

    layers: tuple[Layer, ...]
    pairs: tuple[Pair, ...]
    batch: torch.Tensor = field(repr=False)

    @property
    def dimension(self) -> int:
        """Of the Lie algebra."""
        return sum(pair.dimension for pair in self.pairs)

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters that move."""
        return tuple(dict.fromkeys(key for pair in self.pairs for key in pair.parameters))

    @property
    def grade(self) -> Grade:
        """For which inputs the outputs stay: those of the batch."""
        return "on-batch"

    @property
    def proofs(self) -> tuple[Proof, ...]:
        """The identities on which the pairs rest."""
        return tuple(dict.fromkeys(proof for pair in self.pairs for proof in proofs_of(pair)))

    @property
    def status(self) -> Status:
        """``proved``: the identity and the inverses of all activations are."""
        return "proved"

    def carried(self, weights: Weights) -> Carried:
        """Hidden values and left inverses at some weights: one factorisation for each layer that writes a pair.

        Raises
        ------
        RankDeficient
            If the batch has more samples than a layer reads values, or they depend on each other.
        """
        writers = {pair.writers[0].rpartition(":")[0] for pair in self.pairs}
        h = self.batch.to(weights[self.layers[0].weight]).mT
        before, hidden, left = [], [], {}
        for layer in self.layers[:-1]:
            wide = _extended(h, layer)
            if layer.weight in writers:
                left[layer.weight] = _left_inverse(wide, layer.weight)
            before.append(_matrix(weights, layer) @ wide)
            h = _applied(layer, before[-1])
            hidden.append(h)
        return Carried(dict(weights), tuple(before), tuple(hidden), left)

    def act(self, element: object, state: Carried) -> Carried:
        """Move weights, hidden values and left inverses: pure and differentiable.

        Raises
        ------
        OutsideDomain
            If g h leaves the range of a bounded activation.
        SymmetryError
            If the element is of another kind or size.
        """
        matrices = iter(self.elements(element, state.hidden[0]))
        weights, left = dict(state.weights), dict(state.left)
        before, hidden = list(state.before), list(state.hidden)
        previous: torch.Tensor | None = None
        for m, layer in enumerate(self.layers):
            matrix, own = _matrix(state.weights, layer), state.left.get(layer.weight)
            g = None if own is None else next(matrices)
            if own is not None and g is not None:
                hidden[m] = g @ state.hidden[m]
                before[m] = _undone(layer, hidden[m])
                matrix = matrix + (before[m] - state.before[m]) @ own
            if previous is not None:
                wide = previous if layer.bias is None else _with_one(previous)
                rows = matrix if own is None else torch.cat([matrix, own])
                matrix, moved = torch.linalg.solve(wide, rows, left=False).tensor_split([len(matrix)])
                if own is not None:
                    left[layer.weight] = moved
            if g is not None or previous is not None:
                weights |= _parts(matrix, layer)
            previous = g
        return Carried(weights, tuple(before), tuple(hidden), left)

    def __call__(self, element: object, weights: Weights) -> dict[str, torch.Tensor]:
        """Move weights, with left inverses computed from them.

        Raises
        ------
        RankDeficient, OutsideDomain, SymmetryError
            See `carried` and `act`.
        """
        return dict(self.act(element, self.carried(weights)).weights)

    def elements(self, element: object, like: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The matrices of an element, with the dtype and device of `like`.

        Raises
        ------
        SymmetryError
            If it is of another kind or size.
        """
        sizes = [pair.size for pair in self.pairs]
        if isinstance(element, torch.Tensor) and element.shape == (self.dimension,):
            element = tuple(
                torch.matrix_exp(x.reshape(n, n))
                for x, n in zip(element.split([n * n for n in sizes]), sizes, strict=True)
            )
        matrices = tuple(element) if isinstance(element, Sequence) else ()
        if [tuple(g.shape) for g in matrices if isinstance(g, torch.Tensor)] != [(n, n) for n in sizes]:
            wanted = ", ".join(f"({n}, {n})" for n in sizes)
            raise SymmetryError(
                f"an element is a vector of {self.dimension} coordinates or a tuple of matrices {wanted}"
            )
        return tuple(g.to(like) for g in matrices)

    def identity(self) -> tuple[torch.Tensor, ...]:
        """The element that moves nothing."""
        return tuple(torch.eye(pair.size, dtype=torch.float64) for pair in self.pairs)

    def random(
        self, scale: float = 0.1, generator: torch.Generator | None = None
    ) -> tuple[torch.Tensor, ...]:
        """exp of normal numbers times `scale`."""
        xi = scale * torch.randn(self.dimension, dtype=torch.float64, generator=generator)
        return self.elements(xi, xi)

    def compose(self, g: Sequence[torch.Tensor], h: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """The element "first h, then g"."""
        return tuple(a @ b for a, b in zip(g, h, strict=True))

    def inverse(self, g: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """The element that undoes g."""
        return tuple(torch.linalg.inv(a) for a in g)


def _matrix(weights: Weights, layer: Layer) -> torch.Tensor:
    weight = weights[layer.weight]
    return weight if layer.bias is None else torch.cat([weight, weights[layer.bias][:, None]], 1)


def _parts(matrix: torch.Tensor, layer: Layer) -> dict[str, torch.Tensor]:
    if layer.bias is None:
        return {layer.weight: matrix}
    return {layer.weight: matrix[:, :-1], layer.bias: matrix[:, -1]}


def _extended(h: torch.Tensor, layer: Layer) -> torch.Tensor:
    return h if layer.bias is None else torch.cat([h, torch.ones_like(h[:1])])


def _with_one(g: torch.Tensor) -> torch.Tensor:
    return torch.block_diag(g, torch.ones(1, 1, dtype=g.dtype, device=g.device))


def _left_inverse(h: torch.Tensor, name: str) -> torch.Tensor:
    """H^+ with H^+ H = 1, (samples, width): by LU where H is square, by QR where it is tall; never an SVD."""
    width, samples = h.shape
    if samples > width:
        raise RankDeficient(
            f"{name} reads {width} numbers of {samples} samples: the on-batch action needs at most {width} samples"
        )
    if samples == width:
        factor, pivots, _ = torch.linalg.lu_factor_ex(h)
        diagonal = factor.diagonal().abs()
    else:
        q, factor = torch.linalg.qr(h)
        diagonal = factor.diagonal().abs()
    if not bool(diagonal.min() > _RANK * torch.finfo(h.dtype).eps * diagonal.max()):
        raise RankDeficient(
            f"what {name} reads on the batch is linearly dependent: leave samples out, or use others"
        )
    if samples == width:
        one = torch.eye(width, dtype=h.dtype, device=h.device)
        return torch.linalg.lu_solve(factor, pivots, one)
    return torch.linalg.solve_triangular(factor, q.mT, upper=True)


@cache
def _function(expression: sp.Expr) -> Callable[[torch.Tensor], torch.Tensor]:
    """A function of `Z` in torch, generated from its expression."""
    written = generate_function("value", [Z], [expression])
    helpers = helper_sources(written.helpers)
    return load(f"import math\n\nimport torch\n\n\n{helpers}\n\n{written.source}").value


def _applied(layer: Layer, z: torch.Tensor) -> torch.Tensor:
    if layer.activation is None:
        return z
    (value,) = _function(layer.activation.expression)(z)
    return value


def _undone(layer: Layer, h: torch.Tensor) -> torch.Tensor:
    """sigma^{-1}(h).

    Raises
    ------
    OutsideDomain
        If h is not in the range.
    """
    known = layer.activation
    if known is None:
        return h
    assert known.range is not None
    low, high = (float(end) for end in known.range)
    bounded = low > -torch.inf or high < torch.inf
    if bounded and not bool(((h > low) & (h < high)).all()):
        raise OutsideDomain(
            f"g h leaves the range ({known.range[0]}, {known.range[1]}) of what follows {layer.weight}: take g closer to 1"
        )
    (value,) = _function(known.inverse)(h)
    return value


# --- the stack of a traced model ---


def on_batch_pairs(graph: LayerGraph) -> list[Pair]:
    """The pairs of a plain stack: linear layers with bijective activations between, from one input to one output.

    Raises
    ------
    NotAdmissible
        If the model is no such stack: with the place, the reason and what would help.

    Examples
    --------
    >>> from torch import nn
    >>> from symdiscover.network import trace
    >>> model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2))
    >>> [(pair.group, pair.grade, pair.writers, pair.readers) for pair in on_batch_pairs(trace(model, torch.ones(1, 4)))]
    [('GL(5)', 'on-batch', ('0.weight:0', '0.bias:0'), ('2.weight:1',))]
    """
    shapes = {leaf.key: leaf.shape or () for leaf in graph.leaves}
    return _pairs(_stack(graph), shapes)


def on_batch_action(
    graph: LayerGraph, batch: torch.Tensor | None = None, pairs: Sequence[Pair] | None = None
) -> OnBatchAction:
    """The action on a batch, (..., inputs), that of the example unless one is given; of all pairs unless some are given.

    Raises
    ------
    NotAdmissible
        If the model is no plain stack of linear layers with bijective activations.
    """
    layers, every = _stack(graph), on_batch_pairs(graph)
    chosen = every if pairs is None else [pair for pair in every if pair in pairs]
    given = graph.example[0][0] if batch is None else batch
    return OnBatchAction(layers, tuple(chosen), given.detach().reshape(-1, given.shape[-1]))


def _pairs(layers: Sequence[Layer], shapes: Mapping[str, tuple[int, ...]]) -> list[Pair]:
    pairs = []
    for writer, reader in itertools.pairwise(layers):
        n = shapes[writer.weight][0]
        writes = (f"{writer.weight}:0", *([f"{writer.bias}:0"] if writer.bias else []))
        activations = () if writer.activation is None else (writer.activation,)
        pairs.append(
            Pair(
                n, f"GL({n})", n * n, "on-batch", writes, (f"{reader.weight}:1",), parts=(Part("matrix", n),),
                note="the activation is a bijection, and the batch has full column rank",
                route=Route(("linear",), activations),
            )
        )  # fmt: skip
    return pairs


def _stack(graph: LayerGraph) -> tuple[Layer, ...]:
    run = Pass(graph).run()
    source = next((leaf.name for leaf in graph.leaves if leaf.kind == "input"), "")
    layers: list[Layer] = []
    for call in graph.calls:
        if call.op == "output":
            break
        if call.op in SAME and call.args[0] == Ref(source):
            source = call.name
        elif call.op == "linear" and call.args[0] == Ref(source):
            layers.append(_layer(run, call))
            source = call.name
        elif (found := composed(run, call)) is not None and found[0] == source and layers:
            outer = [composed(run, user) for user in run.users[call.name]]
            if any(function is not None and function[0] == source for function in outer):
                continue  # a part of a larger function
            layers[-1] = replace(layers[-1], activation=relations(found[1]))
            source = call.name
        else:
            raise _refusal(call, f"the operation {call.op} stands in no plain stack of linear layers")
    for layer in layers[:-1]:
        if layer.activation is not None and (
            layer.activation.inverse is None or layer.activation.range is None
        ):
            place = next(call for call in graph.calls if call.op == "linear")
            raise _refusal(
                place, f"{layer.activation.expression} is not proved to be a bijection with a known inverse"
            )
    if len(layers) < 2:
        raise _refusal(graph.calls[-1], "there are no two linear layers that follow each other")
    return tuple(layers)


def _layer(run: Pass, call: Call) -> Layer:
    leaves = [own_leaf(run, argument) for argument in call.args[1:3]]
    if None in leaves:
        raise _refusal(call, "its weight or bias is tied, frozen, or computed from other parameters")
    keys = [leaf.key for leaf in leaves if leaf is not None]
    return Layer(keys[0], keys[1] if len(keys) > 1 else None, None)


def _refusal(call: Call, reason: str) -> NotAdmissible:
    where, remedy = call.module or call.name, "linear layers with LeakyReLU, tanh or sigmoid between them"
    return NotAdmissible(
        f"{where}: {reason}; what would help: {remedy}", node=where, reason=reason, remedy=remedy
    )
