"""nn.Module -> LayerGraph: the operations of one forward pass, by name. The only file that knows the tracer.

The model is exported in evaluation mode from a copy that shares its parameters; modes, buffers, gradients and random
state of the model are left as they are.
"""

from __future__ import annotations

import copy
import io
import operator
import os
import warnings
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Any

import networkx as nx
import torch
from torch import nn
from torch.nn.parameter import is_lazy

from symdiscover.errors import NotAdmissible, SymmetryError

#: What may be traced.
Model = nn.Module | torch.export.ExportedProgram


@dataclass(frozen=True)
class Call:
    """One operation of the traced forward pass.

    Attributes
    ----------
    name:
        Its name in the graph.
    op:
        The operation: an aten name without namespace and overload (``linear``, ``relu``), or ``getitem``, ``output``.
    target:
        What runs it.
    args, kwargs:
        As it was called; other nodes stand as `Ref`.
    shape:
        Shape of its value; None where it has several or none.
    module:
        Path of the module in whose forward it ran, ``""`` for the model itself.
    module_type:
        The qualified name of that module's class, and of those that hold it, outermost first.
    dtype:
        Of its value.
    """

    name: str
    op: str
    target: Any
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    shape: tuple[int, ...] | None
    module: str
    module_types: tuple[str, ...] = ()
    dtype: torch.dtype | None = None


@dataclass(frozen=True)
class Ref:
    """The value of another node, as an argument of a `Call`."""

    name: str


@dataclass(frozen=True)
class Leaf:
    """A value that enters the pass: a parameter, a buffer, a constant or an input.

    Attributes
    ----------
    name:
        Its name in the graph.
    kind:
        ``parameter``, ``buffer``, ``constant`` or ``input``.
    key:
        The name of the parameter or buffer in the model.
    shape:
        Its shape; None for an input that is no tensor.
    trainable:
        Whether it is a parameter that requires a gradient.
    tied:
        Other names of the same parameter, and names of parameters whose memory it shares in part.
    """

    name: str
    kind: str
    key: str
    shape: tuple[int, ...] | None
    trainable: bool = False
    tied: tuple[str, ...] = ()
    overlaps: tuple[str, ...] = ()


class LayerGraph(nx.MultiDiGraph):  # type: ignore[misc]
    """The traced pass as a networkx graph: nodes ``param``, ``input``, ``op`` and, once pairs were found, ``space``.

    Every node has the attribute ``kind``; edges are the flow of data, and ``param -axis-> space`` with ``axis`` and
    ``variance`` (+1 for the rows that write the space, -1 for the columns that read it).

    Examples
    --------
    >>> graph = trace(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)), torch.ones(1, 4))
    >>> [data["op"] for _, data in graph.nodes(data=True) if data["kind"] == "op"]
    ['linear', 'relu', 'linear', 'output']
    """

    calls: list[Call]
    leaves: list[Leaf]
    example: tuple[tuple[Any, ...], dict[str, Any]]
    path_only: bool
    _model: weakref.ref[nn.Module] | None
    _program: torch.export.ExportedProgram | None
    _held: nn.Module | None

    def __init__(self, incoming: Any = None, **attributes: Any) -> None:
        super().__init__(incoming, **attributes)
        self.calls, self.leaves = [], []
        self.example, self.path_only = ((), {}), False
        self._model, self._program, self._held = None, None, None

    @property
    def model(self) -> nn.Module | None:
        """The model that was traced; None where it no longer exists, or a saved program was traced."""
        return None if self._model is None else self._model()

    def parameters(self) -> dict[str, torch.Tensor]:
        """The parameters by name, tied ones once: tensors of the model itself.

        Raises
        ------
        SymmetryError
            If the model no longer exists.
        """
        return {leaf.key: self.tensor(leaf.key) for leaf in self.leaves if leaf.kind == "parameter"}

    def tensor(self, key: str) -> torch.Tensor:
        """The parameter or buffer of that name.

        Raises
        ------
        SymmetryError
            If the model no longer exists.
        """
        if self._program is not None:
            held = self._program.state_dict.get(key)
            return self._program.constants[key] if held is None else held
        if (model := self.model) is None:
            raise SymmetryError("the model of this graph no longer exists; trace it again")
        for name, value in (*model.named_parameters(remove_duplicate=False), *model.named_buffers()):
            if name == key:
                return value
        raise SymmetryError(f"the model has no parameter or buffer {key!r} any more; trace it again")


def trace(model: Model, *args: Any, **kwargs: Any) -> LayerGraph:
    """Trace one forward pass of a model, in evaluation mode, into a `LayerGraph`.

    A compiled model is unwrapped, lazy layers run once on a copy. The model is kept by weak reference, the example inputs
    as they are.

    Parameters
    ----------
    model:
        An `nn.Module`, or an exported program (`torch.export.load`).
    args, kwargs:
        Example inputs, as the model is called with them. Only their shapes and kinds matter. A saved program brings its own.

    Raises
    ------
    NotAdmissible
        If the pass cannot be traced: with the place, the reason and what would help.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> trace(model, torch.ones(1, 4)).leaves[0].key
    '0.weight'
    """
    if isinstance(model, torch.export.ExportedProgram):
        if not args and not kwargs and model.example_inputs is not None:
            args, kwargs = model.example_inputs
        return _read(model, None, args, kwargs)
    if not isinstance(model, nn.Module):
        raise SymmetryError(f"an nn.Module or an exported program is traced, not {type(model).__name__}")
    model = unwrapped(model)
    held = None
    if is_lazy_model(model):
        model = held = materialised(model, args, kwargs)
    graph = _read(_exported(model, args, kwargs), model, args, kwargs)
    graph._held = held
    return graph


def unwrapped(model: nn.Module) -> nn.Module:
    """The model inside `torch.compile`, `DataParallel` and `DistributedDataParallel`."""
    while True:
        inner = getattr(model, "_orig_mod", None)
        if inner is None and isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
            inner = model.module
        if not isinstance(inner, nn.Module):
            return model
        model = inner


@contextmanager
def evaluation(model: nn.Module) -> Iterator[None]:
    """Evaluation mode for the time of the block, without a trace in the model: modes, buffers and random state."""
    modes = [(module, module.training) for module in model.modules()]
    state = torch.get_rng_state()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
    try:
        for module, _ in modes:
            object.__setattr__(module, "training", False)
        yield
    finally:
        for module, mode in modes:
            object.__setattr__(module, "training", mode)
        torch.set_rng_state(state)
        if cuda is not None:
            torch.cuda.set_rng_state_all(cuda)


def is_lazy_model(model: nn.Module) -> bool:
    """Whether some layers have no shapes yet."""
    return any(is_lazy(tensor) for tensor in (*model.parameters(), *model.buffers()))


def materialised(model: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> nn.Module:
    """A copy whose lazy layers have their shapes, from one run on the example."""
    twin = copy.deepcopy(model)
    try:
        with evaluation(twin), torch.no_grad():
            twin(*args, **kwargs)
    except Exception as error:
        raise refusal(
            "model",
            f"its lazy layers could not be given shapes ({_reason(error)})",
            "an example input that it accepts",
        ) from error
    return twin


def _exported(
    model: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> torch.export.ExportedProgram:
    buffers = {name: value.clone() for name, value in model.named_buffers() if not value.is_meta}
    try:
        with evaluation(model), _quiet(), torch.no_grad():
            program = torch.export.export(model, tuple(args), dict(kwargs), strict=False)
            return program.run_decompositions({})
    except Exception as error:  # a tracer raises whatever it likes
        raise refusal(
            "model",
            f"its forward pass could not be traced ({_reason(error)})",
            "a forward pass without branches on the values of tensors, called with inputs as in training",
        ) from error
    finally:
        for name, value in model.named_buffers():
            if name in buffers and not torch.equal(value, buffers[name]):
                value.copy_(buffers[name])


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the warnings and logs of the tracer."""
    import logging

    logger = logging.getLogger("torch")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _reason(error: Exception) -> str:
    """The first line of the tracer's own reason."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    return text if len(text) <= 200 else text[:197] + "..."


def refusal(node: str, reason: str, remedy: str) -> NotAdmissible:
    """The error that says where, why and what would help."""
    return NotAdmissible(
        f"{node}: {reason}; what would help: {remedy}", node=node, reason=reason, remedy=remedy
    )


def _read(
    program: torch.export.ExportedProgram,
    model: nn.Module | None,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
) -> LayerGraph:
    calls = []
    for node in program.graph.nodes:
        if node.op in ("call_function", "output"):
            calls.append(_call(node))
        elif node.op != "placeholder":
            raise refusal(
                node.name, f"a {node.op} in the traced program is not understood", "plain operations"
            )
    graph = finished(model, _leaves(program, model), calls, args, kwargs)
    graph._program = program if model is None else None
    return graph


def finished(
    model: nn.Module | None,
    leaves: Sequence[Leaf],
    calls: Sequence[Call],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    path_only: bool = False,
) -> LayerGraph:
    """The graph of leaves and calls."""
    graph = LayerGraph()
    graph.example, graph.path_only = (tuple(args), dict(kwargs)), path_only
    graph._model = None if model is None else weakref.ref(model)
    graph.leaves, graph.calls = list(leaves), list(calls)
    for leaf in leaves:
        kind = "param" if leaf.kind == "parameter" else leaf.kind
        graph.add_node(
            leaf.name, kind=kind, key=leaf.key, shape=leaf.shape, trainable=leaf.trainable, label=leaf.key
        )
    for call in calls:
        graph.add_node(call.name, kind="op", op=call.op, module=call.module, shape=call.shape, label=call.op)
        for ref in refs(call):
            graph.add_edge(ref, call.name, kind="data")
    return graph


def _leaves(program: torch.export.ExportedProgram, model: nn.Module | None) -> list[Leaf]:
    leaves = []
    kinds = {"PARAMETER": "parameter", "BUFFER": "buffer", "USER_INPUT": "input"}
    values = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
    named = (
        dict(model.named_parameters(remove_duplicate=False))
        if model is not None
        else {k: v for k, v in program.state_dict.items() if isinstance(v, nn.Parameter)}
    )
    shared = shared_memory(named)
    canonical: dict[int, str] = {}
    for spec in program.graph_signature.input_specs:
        name, key = getattr(spec.arg, "name", ""), spec.target or ""
        kind = kinds.get(spec.kind.name, "constant")
        if not name:
            continue
        value = values.get(name)
        shape = tuple(int(s) for s in value.shape) if isinstance(value, torch.Tensor) else None
        tied: tuple[str, ...] = ()
        if kind == "parameter" and key in named:
            key = canonical.setdefault(id(named[key]), key)
            tied = tuple(other for other in named if other != key and named[other] is named[key])
        leaf = Leaf(
            name, kind, key or name, shape,
            trainable=kind == "parameter" and key in named and named[key].requires_grad,
            tied=tied, overlaps=shared.get(key, ()),
        )  # fmt: skip
        leaves.append(leaf)
    return leaves


def shared_memory(named: Mapping[str, torch.Tensor]) -> dict[str, tuple[str, ...]]:
    """Parameters that are different tensors over the same memory."""
    spans: dict[object, list[tuple[str, int, int, int]]] = {}
    for name, value in named.items():
        if value.is_meta or not value.numel():
            continue
        step = value.element_size()
        low = int(value.storage_offset()) * step
        reach = sum((int(n) - 1) * int(s) for n, s in zip(value.shape, value.stride(), strict=True))
        key = (value.device, value.untyped_storage().data_ptr())
        spans.setdefault(key, []).append((name, low, low + (reach + 1) * step, id(value)))
    return {
        name: others
        for group in spans.values()
        for name, low, high, own in group
        if (others := tuple(n for n, a, b, i in group if i != own and a < high and low < b))
    }


def _call(node: torch.fx.Node) -> Call:
    target = node.target
    if node.op == "output":
        name = "output"
    elif target is operator.getitem:
        name = "getitem"
    elif isinstance(target, torch._ops.OpOverload):
        namespace, _, name = target._schema.name.partition("::")
        name = name if namespace == "aten" else f"{namespace}::{name}"
    else:
        name = getattr(target, "__name__", str(target))
    value = node.meta.get("val")
    shape = tuple(int(s) for s in value.shape) if isinstance(value, torch.Tensor) else None
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    paths = [entry[0] for entry in stack if isinstance(entry, tuple)]
    types = [
        entry[1] if isinstance(entry[1], str) else entry[1].__qualname__
        for entry in stack
        if isinstance(entry, tuple)
    ]
    return Call(
        node.name, name, target, _replaced(node.args), _replaced(node.kwargs), shape,
        paths[-1] if paths else "", tuple(types), value.dtype if isinstance(value, torch.Tensor) else None,
    )  # fmt: skip


def _replaced(value: Any) -> Any:
    if isinstance(value, torch.fx.Node):
        return Ref(value.name)
    if isinstance(value, tuple | list):
        return (
            type(value)(_replaced(v) for v in value)
            if type(value) in (tuple, list)
            else tuple(map(_replaced, value))
        )
    if isinstance(value, Mapping):
        return {key: _replaced(v) for key, v in value.items()}
    return value


def refs(value: Any) -> list[str]:
    """Names of the nodes that a call, or a part of its arguments, names."""
    if isinstance(value, Call):
        return refs((value.args, value.kwargs))
    if isinstance(value, Ref):
        return [value.name]
    if isinstance(value, tuple | list):
        return [name for v in value for name in refs(v)]
    if isinstance(value, Mapping):
        return [name for v in value.values() for name in refs(v)]
    return []


def evaluated(value: Any, environment: Mapping[str, Any]) -> Any:
    """Arguments with the values of an environment, node name -> value, in the place of every `Ref`."""
    if isinstance(value, Ref):
        return environment[value.name]
    if isinstance(value, tuple):
        return tuple(evaluated(v, environment) for v in value)
    if isinstance(value, list):
        return [evaluated(v, environment) for v in value]
    if isinstance(value, Mapping):
        return {key: evaluated(v, environment) for key, v in value.items()}
    return value


def load_program(path: str | os.PathLike[str]) -> torch.export.ExportedProgram:
    """A program saved by `torch.export.save`.

    Raises
    ------
    SymmetryError
        If the file is none.
    """
    try:
        with _quiet():
            return torch.export.load(path)
    except Exception as error:
        raise SymmetryError(
            f"{os.fspath(path)} is no saved torch.export program: {_reason(error)}"
        ) from error
