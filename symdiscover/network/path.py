"""A fallback for models that cannot be exported: the operations of one real forward pass, as they run.

What is found holds for the path that this pass took: another input may take another branch. It is used where it is
asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from symdiscover.errors import NotAdmissible
from symdiscover.network.trace import (
    Call,
    LayerGraph,
    Leaf,
    Ref,
    evaluation,
    finished,
    is_lazy_model,
    materialised,
    refusal,
    shared_memory,
    unwrapped,
)


def trace_path(model: nn.Module, *args: Any, **kwargs: Any) -> LayerGraph:
    """Log one forward pass in evaluation mode into a `LayerGraph`, valid for this execution path only.

    Parameters
    ----------
    model, args, kwargs:
        A model and the inputs it is called with: their values choose the path.

    Raises
    ------
    NotAdmissible
        If the pass fails, or writes into a tensor that others are views of.

    Examples
    --------
    >>> class Branch(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.first, self.second = nn.Linear(4, 8), nn.Linear(8, 2)
    ...
    ...     def forward(self, x):
    ...         h = self.first(x)
    ...         return self.second(h.relu() if h.sum() > 0 else h.tanh())
    >>> graph = trace_path(Branch(), torch.ones(1, 4))
    >>> graph.path_only
    True
    """
    model = unwrapped(model)
    held = None
    if is_lazy_model(model):
        model = held = materialised(model, args, kwargs)
    log = _Log(model, args, kwargs)
    buffers = {name: value.clone() for name, value in model.named_buffers()}
    try:
        with evaluation(model), torch.no_grad(), sdpa_kernel(SDPBackend.MATH), log:
            result = model(*args, **kwargs)
    except NotAdmissible:
        raise
    except Exception as error:
        raise refusal(
            "model", f"its forward pass failed ({str(error).splitlines()[0][:200]})", "inputs that it accepts"
        ) from error
    finally:
        for name, value in model.named_buffers():
            if not torch.equal(value, buffers[name]):
                value.copy_(buffers[name])
    log.calls.append(Call("output", "output", None, (log.named(_outputs(result)),), {}, None, ""))
    graph = finished(model, log.leaves, log.calls, args, kwargs, path_only=True)
    graph._held = held
    return graph


def _outputs(result: Any) -> list[Any]:
    """Everything that is returned, out of tuples, lists, dictionaries and what else is known as a container."""
    leaves = pytree.tree_leaves(result)
    for leaf in leaves:
        if not isinstance(leaf, torch.Tensor | int | float | complex | bool | str | bytes | None):
            kind = type(leaf).__name__
            raise refusal(
                "model",
                f"it returns a {kind}, into which the tracer cannot see",
                "tensors, tuples and dictionaries",
            )
    return list(leaves)


class _Log(TorchDispatchMode):
    """Calls and leaves, in order. Tensors are known by identity and kept, so that no identity comes twice."""

    def __init__(self, model: nn.Module, args: Any, kwargs: Mapping[str, Any]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[Call] = []
        self.leaves: list[Leaf] = []
        self.names: dict[int, str] = {}
        self.kept: list[torch.Tensor] = []
        named = dict(model.named_parameters(remove_duplicate=False))
        overlaps = shared_memory(named)
        for key, value in named.items():
            if id(value) not in self.names:
                tied = tuple(k for k, v in named.items() if k != key and v is value)
                leaf = Leaf(
                    f"p_{len(self.leaves)}", "parameter", key, tuple(value.shape), value.requires_grad, tied,
                    overlaps.get(key, ()),
                )  # fmt: skip
                self._enter(value, leaf)
        for key, buffer in model.named_buffers():
            self._enter(buffer, Leaf(f"b_{len(self.leaves)}", "buffer", key, tuple(buffer.shape)))
        for value in pytree.tree_leaves((args, dict(kwargs))):
            shape = tuple(value.shape) if isinstance(value, torch.Tensor) else None
            leaf = Leaf(f"x_{len(self.leaves)}", "input", "", shape)
            if isinstance(value, torch.Tensor):
                self._enter(value, leaf)
            else:
                self.leaves.append(leaf)

    def _enter(self, value: torch.Tensor, leaf: Leaf) -> None:
        self.leaves.append(leaf)
        self.names[id(value)] = leaf.name
        self.kept.append(value)

    def named(self, value: Any) -> Any:
        """Arguments with a `Ref` in the place of every tensor."""

        def name(part: Any) -> Any:
            if not isinstance(part, torch.Tensor):
                return part
            if id(part) not in self.names:  # made outside: a constant
                self._enter(part, Leaf(f"c_{len(self.leaves)}", "constant", "", tuple(part.shape)))
            return Ref(self.names[id(part)])

        return pytree.tree_map(name, value)

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        op = function._schema.name.partition("::")[2]
        written = [
            a for a, spec in zip(args, function._schema.arguments, strict=False)
            if spec.alias_info is not None and spec.alias_info.is_write and isinstance(a, torch.Tensor)
        ]  # fmt: skip
        for tensor in written:
            storage = tensor.untyped_storage().data_ptr()
            views = [t for t in self.kept if t is not tensor and t.untyped_storage().data_ptr() == storage]
            if views or self.names.get(id(tensor), "p_").startswith(("p_", "b_", "x_")):
                raise refusal(
                    op, "it writes into a tensor that others share", "an operation that returns a new tensor"
                )
        called, keywords = self.named(args), self.named(kwargs)
        result = function(*args, **kwargs)
        outputs = [r for r in pytree.tree_leaves(result) if isinstance(r, torch.Tensor)]
        if not outputs:
            return result
        name = f"{op}_{len(self.calls)}"
        single = isinstance(result, torch.Tensor)
        shape = tuple(result.shape) if single else None
        self.calls.append(Call(name, op, function, called, keywords, shape, "", (), outputs[0].dtype))
        if single:
            self._know(result, name)
        else:
            for k, part in enumerate(result):
                if isinstance(part, torch.Tensor):
                    taken = Call(
                        f"{name}_{k}",
                        "getitem",
                        _item,
                        (Ref(name), k),
                        {},
                        tuple(part.shape),
                        "",
                        (),
                        part.dtype,
                    )
                    self.calls.append(taken)
                    self._know(part, taken.name)
        return result

    def _know(self, tensor: torch.Tensor, name: str) -> None:
        self.names[id(tensor)] = name
        self.kept.append(tensor)


def _item(values: Any, index: int) -> Any:
    return values[index]
