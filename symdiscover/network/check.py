"""Every claim is checked with a random element of its whole group, in float64, on an evaluation copy, before it is shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.func import functional_call
from torch.utils import _pytree as pytree

from symdiscover.errors import SymmetryError
from symdiscover.network.trace import LayerGraph, evaluated, evaluation

if TYPE_CHECKING:
    from symdiscover.network.pairs import Pair

#: A claim whose outputs change by more than this, relative to their size, is an error of this package.
TOLERANCE = 1e-10


def checked(graph: LayerGraph, pairs: Sequence[Pair], seed: int = 0) -> list[Pair]:
    """The pairs with their errors.

    Raises
    ------
    SymmetryError
        If an output changes: with the pair.
    """
    twin = Twin(graph)
    if not twin.runs:
        return list(pairs)
    generator = torch.Generator().manual_seed(seed)
    measured = []
    for pair in pairs:
        error = twin.change(pair.act(pair.random(generator=generator), twin.weights))
        if not error <= TOLERANCE:
            raise SymmetryError(
                f"a claim does not hold: {pair.group} on {', '.join(pair.parameters)} changes an output by {error:.1e}; "
                "please report this model"
            )
        measured.append(replace(pair, error=error))
    return measured


class Twin:
    """A float64 copy of the model in evaluation mode, with weights at a generic point, on the example inputs.

    A model whose forward pass casts to a shorter dtype is run as it was traced, in float64 throughout.

    Attributes
    ----------
    weights:
        name -> tensor, float64; the zeros and ones of an initialisation are moved apart, so that nothing vanishes by chance.
    runs:
        Whether it can be run: not on the meta device.
    """

    def __init__(self, graph: LayerGraph, seed: int = 0, jitter: float = 0.1) -> None:
        self.graph = graph
        original = graph.parameters()
        self.runs = not any(p.is_meta for p in original.values()) and bool(original)
        self.weights: dict[str, torch.Tensor] = {}
        if not self.runs:
            return
        generator = torch.Generator().manual_seed(seed)
        for key, value in original.items():
            wide = value.detach().to("cpu", torch.float64) if value.is_floating_point() else value.detach()
            noise = torch.randn(wide.shape, generator=generator, dtype=torch.float64)
            size = float(wide.abs().mean()) or 1.0
            self.weights[key] = wide + jitter * size * noise
        self.inputs = pytree.tree_map(_wide, graph.example)
        self.model = None if _casts(graph) else graph.model
        self.buffers = {} if self.model is None else {k: _wide(b) for k, b in self.model.named_buffers()}
        self.reference = self.outputs(self.weights)
        self.scale = max((float(t.abs().max()) for t in self.reference if t.numel()), default=0.0) or 1.0

    def outputs(self, weights: Mapping[str, torch.Tensor]) -> list[torch.Tensor]:
        """All floating-point outputs."""
        with torch.no_grad():
            return self.run(weights, *self.inputs)

    def run(self, weights: Mapping[str, torch.Tensor], args: Any, kwargs: Any) -> list[torch.Tensor]:
        """All floating-point outputs for these inputs; differentiable in the weights."""
        with _double():
            if self.model is None:
                result = interpret(self.graph, weights, args, kwargs)
            else:
                with evaluation(self.model):
                    state = {k: b.clone() for k, b in self.buffers.items()}
                    state |= in_every_place(self.model, weights)
                    result = functional_call(self.model, state, args, kwargs, tie_weights=False)
        leaves = pytree.tree_leaves(result)
        return [t for t in leaves if isinstance(t, torch.Tensor) and t.is_floating_point()]

    def change(self, weights: Mapping[str, torch.Tensor]) -> float:
        """The largest change of an output, relative to the largest output."""
        moved = self.outputs(weights)
        worst = 0.0
        for a, b in zip(moved, self.reference, strict=True):
            same = torch.isclose(a, b, rtol=0, atol=0, equal_nan=True)
            if not bool(same.all()):
                difference = float((a - b)[~same].abs().max())
                worst = max(worst, difference if difference == difference else float("inf"))
        return worst / self.scale


def in_every_place(model: nn.Module, weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights under a name for each place that holds them: tied ones under all of theirs, those of a shared module under one.

    `functional_call` with ``tie_weights`` gives a module that is used twice its weights twice, and leaves the second in it.
    """
    names = {
        id(value): name for name, value in reversed(list(model.named_parameters(remove_duplicate=False)))
    }
    state = {}
    for path, module in model.named_modules():
        for name, value in module.named_parameters(prefix=path, recurse=False):
            if names[id(value)] in weights:
                state[name] = weights[names[id(value)]]
    return state


@contextmanager
def _double() -> Iterator[None]:
    """float64 for tensors that a forward pass makes itself."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _wide(value: Any) -> Any:
    if isinstance(value, torch.Tensor) and value.is_floating_point():
        return value.detach().to("cpu", torch.float64)
    return value.detach().cpu() if isinstance(value, torch.Tensor) else value


def _casts(graph: LayerGraph) -> bool:
    """Whether the forward pass itself goes to a shorter dtype: the traced calls are then run instead, all in float64."""
    return any(
        isinstance(value, torch.dtype)
        and value.is_floating_point
        and call.op in ("to", "_to_copy", "type_as")
        for call in graph.calls
        for value in (*call.args, *call.kwargs.values())
    )


def interpret(
    graph: LayerGraph, weights: Mapping[str, torch.Tensor], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    """Run the traced calls themselves: for a saved program, which has no model."""
    environment: dict[str, Any] = {}
    inputs = iter(pytree.tree_leaves((args, kwargs)))
    for leaf in graph.leaves:
        if leaf.kind == "input":
            environment[leaf.name] = next(inputs)
        else:
            environment[leaf.name] = (
                weights[leaf.key] if leaf.key in weights else _wide(graph.tensor(leaf.key))
            )
    for call in graph.calls:
        if call.op == "output":
            return evaluated(call.args[0], environment)
        arguments = {k: _float64(v) for k, v in call.kwargs.items()}
        environment[call.name] = call.target(
            *evaluated(tuple(map(_float64, call.args)), environment), **evaluated(arguments, environment)
        )
    return None


def _float64(value: Any) -> Any:
    return torch.float64 if isinstance(value, torch.dtype) and value.is_floating_point else value


__all__ = ["TOLERANCE", "Twin", "checked", "interpret"]
