"""The action of all pairs of a network on its parameters, name -> tensor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from symdiscover.errors import NotAdmissible, SymmetryError
from symdiscover.network.finder import Proof
from symdiscover.network.moves import Element, NormalMove, ShiftMove, Weights
from symdiscover.network.on_batch import OnBatchAction, on_batch_action
from symdiscover.network.pairs import Grade, Pair, find_pairs
from symdiscover.network.trace import LayerGraph, trace
from symdiscover.symmetry import STRENGTH, Status

#: An element of the whole group: (number of a pair, element of its group); the first acts first.
Word = tuple[tuple[int, Element], ...]
#: Two pairs commute where both orders agree to this, relative to the weights.
_AGREE = 1e-9


def compose(g: Element, h: Element) -> dict[str, torch.Tensor]:
    """The element "first h, then g" of one pair.

    Matrices multiply, shifts and log-scales add, signs multiply. A permutation acts before scales and signs, so those of h go
    through that of g: D_g P_g D_h P_h = D_g (P_g D_h P_g^{-1}) P_g P_h.

    Examples
    --------
    >>> g = {"log_scale": torch.tensor([1.0, 2.0]), "permutation": torch.tensor([1, 0])}
    >>> compose(g, g)
    {'log_scale': tensor([3., 3.]), 'permutation': tensor([0, 1])}
    """
    order = g.get("permutation")
    result = {}
    for name, first in h.items():
        then = g[name]
        if name == "matrix":
            result[name] = then @ first
        elif order is None:
            result[name] = then * first if name == "sign" else then + first
        else:
            moved = first[order.to(first.device)]
            result[name] = {"permutation": moved, "sign": then * moved}.get(name, then + moved)
    return result


def inverse(g: Element) -> dict[str, torch.Tensor]:
    """The element of one pair that undoes g."""
    order = g.get("permutation")
    back = None if order is None else torch.argsort(order)
    result = {}
    for name, value in g.items():
        if name == "matrix":
            result[name] = torch.linalg.inv(value)
        elif name == "permutation":
            result[name] = torch.argsort(value)
        else:
            undone = value if name == "sign" else -value
            result[name] = undone if back is None else undone[back.to(value.device)]
    return result


@dataclass(frozen=True, eq=False)
class NetworkAction:
    """The groups of all pairs acting on the parameters of a network: ``action(element, weights)``, same outputs for every input.

    It is pure and differentiable in both arguments, and keeps the dtype and device of the weights; `torch.func.vmap` batches it.

    An element is a vector of Lie-algebra coordinates (dimension,), taken through `exp`; or a tuple with one element for each
    pair, in order; or a word, a tuple of (number of a pair, element), as `random`, `compose` and `inverse` return it. The first
    acts first. Pairs need not commute (heads change places, and carry matrices of their own): where they do not, a product is
    a longer word.

    Attributes
    ----------
    pairs:
        From `find_pairs`.
    shapes:
        Of the parameters, by name.

    Notes
    -----
    Laws, to rounding: ``action((), w) = w``; ``action(compose(g, h), w) = action(g, action(h, w))``;
    ``action(inverse(g), action(g, w)) = w``; the outputs of the model are equal. Grade: global.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 3), nn.Linear(3, 1)).double()
    >>> action = network_action(trace(model, torch.ones(1, 2).double()))
    >>> action.dimension, action.status
    (12, 'proved')
    >>> moved = action(action.random(), dict(model.named_parameters()))
    >>> x = torch.randn(5, 2).double()
    >>> torch.allclose(torch.func.functional_call(model, moved, (x,)), model(x))
    True
    """

    pairs: tuple[Pair, ...]
    shapes: Mapping[str, tuple[int, ...]]
    _commute: dict[tuple[int, int], bool] = field(default_factory=dict, repr=False)

    def __call__(self, element: object, weights: Weights) -> dict[str, torch.Tensor]:
        """Move parameters. Names that no pair touches stay the same tensors.

        Raises
        ------
        SymmetryError
            If the element is of another kind or size, or a parameter is missing.
        """
        if missing := [key for pair in self.pairs for key in pair.parameters if key not in weights]:
            raise SymmetryError(f"these are not the parameters of the model: {missing[0]} is missing")
        moved = dict(weights)
        for k, g in self.word(element):
            moved = self.pairs[k].act(g, moved)
        return moved

    def word(self, element: object) -> Word:
        """An element of any of the three kinds as a word.

        Raises
        ------
        SymmetryError
            If it is none.
        """
        if isinstance(element, torch.Tensor):
            return self.exp(element)
        if isinstance(element, tuple | list):
            if all(isinstance(g, Mapping) for g in element) and len(element) == len(self.pairs):
                return tuple(enumerate(element))
            if all(isinstance(g, tuple) and len(g) == 2 and 0 <= g[0] < len(self.pairs) for g in element):
                return tuple(element)
        raise SymmetryError(
            f"an element is a vector of {self.dimension} coordinates, a tuple of {len(self.pairs)} elements of pairs, or a word"
        )

    @property
    def dimension(self) -> int:
        """Of the Lie algebra: the number of coordinates that `exp` takes."""
        return sum(pair.dimension for pair in self.pairs)

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters that move."""
        return tuple(dict.fromkeys(key for pair in self.pairs for key in pair.parameters))

    @property
    def proofs(self) -> tuple[Proof, ...]:
        """The identities on which the pairs rest."""
        return tuple(dict.fromkeys(proof for pair in self.pairs for proof in pair.proofs))

    @property
    def status(self) -> Status:
        """That of the weakest pair."""
        return max((pair.status for pair in self.pairs), key=STRENGTH.index)

    @property
    def grade(self) -> Grade:
        """For which inputs the outputs stay: all."""
        return "global"

    def identity(self) -> Word:
        """The element that moves nothing."""
        return ()

    def exp(self, xi: torch.Tensor) -> Word:
        """The element with Lie-algebra coordinates (dimension,), pair after pair.

        Raises
        ------
        SymmetryError
            If there are more or fewer coordinates.
        """
        if xi.shape != (self.dimension,):
            raise SymmetryError(f"the Lie algebra has {self.dimension} coordinates, not {tuple(xi.shape)}")
        own = xi.split([pair.dimension for pair in self.pairs])
        return tuple((k, pair.element(own[k])) for k, pair in enumerate(self.pairs))

    def random(self, scale: float = 0.3, generator: torch.Generator | None = None) -> Word:
        """An element of the whole group: continuous parts to `scale`, all components, signs and permutations."""
        return tuple((k, pair.random(scale, generator)) for k, pair in enumerate(self.pairs))

    def compose(self, g: object, h: object) -> Word:
        """The element "first h, then g": elements of one pair are multiplied where all that stands between commutes with it."""
        result = list(self.word(h))
        for k, element in self.word(g):
            for place in range(len(result) - 1, -1, -1):
                other, before = result[place]
                if other == k:
                    result[place] = (k, compose(element, before))
                    break
                if not self.commute(k, other):
                    result.append((k, element))
                    break
            else:
                result.append((k, element))
        return tuple(result)

    def inverse(self, g: object) -> Word:
        """The element that undoes g."""
        return tuple((k, inverse(element)) for k, element in reversed(self.word(g)))

    def commute(self, i: int, j: int) -> bool:
        """Whether two pairs commute: tried with random elements on random weights, in float64, once."""
        key = (min(i, j), max(i, j))
        if key not in self._commute:
            self._commute[key] = i == j or self._tried(*key)
        return self._commute[key]

    def _tried(self, i: int, j: int) -> bool:
        first, second = self.pairs[i], self.pairs[j]
        reads = any(isinstance(m, ShiftMove | NormalMove) for m in (*first.moves, *second.moves))
        if not reads and set(first.parameters).isdisjoint(second.parameters):
            return True
        generator = torch.Generator().manual_seed(0)
        weights = {
            key: torch.randn(shape, generator=generator, dtype=torch.float64)
            for key, shape in self.shapes.items()
        }
        g, h = first.random(generator=generator), second.random(generator=generator)
        one, other = second.act(h, first.act(g, weights)), first.act(g, second.act(h, weights))
        keys = {*first.parameters, *second.parameters}
        return all(torch.allclose(one[key], other[key], rtol=_AGREE, atol=_AGREE) for key in keys)

    def __repr__(self) -> str:
        return f"NetworkAction({' x '.join(pair.group for pair in self.pairs)}, {self.status})"


def network_action(graph: LayerGraph, pairs: Iterable[Pair] | None = None) -> NetworkAction:
    """The action of pairs of a traced model, of all that are found unless some are given.

    Raises
    ------
    NotAdmissible
        If there is no pair.
    """
    pairs = tuple(find_pairs(graph) if pairs is None else pairs)
    if not pairs:
        reason, remedy = (
            "no hidden space of this model has a symmetry",
            "a hidden layer whose values are not returned",
        )
        raise NotAdmissible(
            f"model: {reason}; what would help: {remedy}", node="model", reason=reason, remedy=remedy
        )
    shapes = {leaf.key: leaf.shape or () for leaf in graph.leaves if leaf.kind == "parameter"}
    return NetworkAction(pairs, shapes)


def action_for(
    model: nn.Module, *args: Any, grade: Grade = "global", **kwargs: Any
) -> NetworkAction | OnBatchAction:
    """The action of all pairs of a model, from example inputs: `trace`, `find_pairs`, then their product.

    Parameters
    ----------
    model, args, kwargs:
        As for `trace`.
    grade:
        ``global``: outputs stay for every input. ``on-batch``: matrices through bijective activations, exact on the example.

    Raises
    ------
    NotAdmissible
        If the pass cannot be traced, or no pair is found.
    SymmetryError
        If there is no action of that grade.
    """
    if grade not in ("global", "on-batch"):
        raise SymmetryError(f"an action is global or on-batch, not {grade!r}")
    graph = trace(model, *args, **kwargs)
    return network_action(graph) if grade == "global" else on_batch_action(graph)
