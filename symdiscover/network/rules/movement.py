"""Operations that only move entries: they are run on the labels."""

from __future__ import annotations

from typing import Any

import torch

from symdiscover.network.rules.table import MOVES, RULES, Pass, flat, reasoned, rule
from symdiscover.network.trace import Call, Ref, evaluated, refs
from symdiscover.network.value import Value, array, axes, plain

#: They keep every entry where it is.
SAME = (
    "clone", "contiguous", "alias", "detach", "detach_", "_to_copy", "to", "type_as", "lift_fresh_copy", "lift_fresh",
    "dropout", "alpha_dropout", "feature_dropout", "native_dropout", "_assert_tensor_metadata", "positive",
)  # fmt: skip
#: The first argument is moved, the others say how.
MOVING = (
    "view", "reshape", "_unsafe_view", "_reshape_alias", "view_as", "reshape_as", "permute", "transpose", "t",
    "numpy_T", "mT", "unsqueeze", "squeeze", "expand", "expand_as", "slice", "select", "split", "split_with_sizes",
    "tensor_split", "chunk", "unsafe_chunk", "unsafe_split", "unbind", "flatten", "unflatten", "movedim", "swapaxes", "swapdims",
    "narrow", "flip", "roll", "repeat", "tile", "repeat_interleave", "diagonal", "unfold", "pixel_shuffle",
    "pixel_unshuffle", "channel_shuffle", "broadcast_to", "ravel", "rot90", "take_along_dim", "atleast_1d", "atleast_2d",
)  # fmt: skip
#: Entries stay in their order.
VIEWS = ("view", "reshape", "_unsafe_view", "_reshape_alias", "view_as", "reshape_as", "flatten", "unflatten")
#: Several tensors are put together.
JOINING = ("cat", "concat", "stack", "hstack", "vstack", "dstack", "column_stack")


def _keep(run: Pass, call: Call, values: Any) -> Any:
    value = values[0]
    return [value, None] if call.op == "native_dropout" else value


def _move(run: Pass, call: Call, values: Any) -> Any:
    source = call.args[0]
    others = {
        ref: torch.zeros(run.values[ref].shape, dtype=torch.int8)
        for ref in refs((call.args[1:], call.kwargs))
        if isinstance(run.values[ref], Value)
    }

    def operation(labels: torch.Tensor) -> Any:
        if call.op in VIEWS and call.shape is not None:  # labels have strides of their own
            return labels.reshape(call.shape)
        arguments = evaluated(call.args[1:], others)
        return call.target(labels, *arguments, **evaluated(call.kwargs, others))

    if not isinstance(source, Ref):
        return run.unknown(call, reasoned(call, f"{call.op} of several values"))
    try:
        return values[0].moved(operation)
    except (RuntimeError, TypeError, KeyError, NotImplementedError):
        return run.unknown(call, reasoned(call, f"{call.op} moves entries in a way that was not followed"))


def _join(run: Pass, call: Call, values: Any) -> Any:
    operands = flat(values[0])
    width = max(len(v.factors) for v in operands)
    if any(len(v.factors) not in (0, width) for v in operands):
        return run.unknown(call, reasoned(call, "values of different kinds are put together"))

    def joined(parts: list[torch.Tensor]) -> torch.Tensor:
        result: torch.Tensor = call.target(parts, *call.args[1:], **call.kwargs)
        return result

    def zeros(value: Value) -> torch.Tensor:
        return torch.zeros(value.shape, dtype=torch.int64)

    vary = joined([v.vary for v in operands])
    joint = Value(tuple(vary.shape), vary=vary, weights_only=all(v.weights_only for v in operands))
    factors = [joined([v.factors[k] if v.factors else zeros(v) for v in operands]) for k in range(width)]
    shift = None
    if any(v.shift is not None for v in operands):
        shift = joined([zeros(v) if v.shift is None else v.shift for v in operands])
    return joint._at(factors, shift, vary)


for _name in SAME:
    RULES[_name] = MOVES[_name] = _keep
for _name in MOVING:
    RULES[_name] = MOVES[_name] = _move
for _name in JOINING:
    RULES[_name] = MOVES[_name] = _join


@rule("getitem")
def getitem(run: Pass, call: Call, values: Any) -> Any:
    """One of several results."""
    taken = run.value(call.args[0])
    return taken[call.args[1]] if isinstance(taken, list) else plain(call.shape)


MOVES["getitem"] = getitem


@rule("index_select", "index", "gather")
def index(run: Pass, call: Call, values: Any) -> Any:
    """Entries chosen by indices that are data: labels must not differ along the axes that are indexed."""
    value = values[0]
    if call.op == "index":
        chosen = [axis for axis, i in enumerate(call.args[1]) if i is not None]
    else:
        chosen = [int(call.args[1]) % len(value.shape)]
    return picked(run, call, value, chosen)


def picked(run: Pass, call: Call, value: Value, chosen: list[int]) -> Value:
    """The result of choosing entries along some axes, in the shape that the call returns."""
    kept = [axis for axis in range(len(value.shape)) if axis not in chosen]
    shape = call.shape or ()
    tail = [value.shape[a] for a in kept if a > max(chosen)]
    head = [value.shape[a] for a in kept if a < min(chosen)]
    between = [a for a in kept if min(chosen) < a < max(chosen)]
    reason = reasoned(call, "entries are chosen by indices that are data")
    if between or list(shape[: len(head)]) != head or list(shape[len(shape) - len(tail) :]) != tail:
        frozen: Value = run.unknown(call, reason)
        return frozen
    middle = len(shape) - len(head) - len(tail)

    def operation(labels: torch.Tensor) -> torch.Tensor:
        for axis in sorted(chosen, reverse=True):
            labels = labels.select(axis, 0)
        return labels.reshape(*head, *[1] * middle, *tail).expand(shape)

    kept_factors = []
    for labels in value.factors:
        if set(axes(labels)) & set(chosen) or (not kept and labels.any()):
            run.spaces.fix(array(labels), reason)
        else:
            kept_factors.append(operation(labels))
    shift = value.shift
    if shift is not None:
        if set(axes(shift)) & set(chosen):
            run.still(value, reason)
            shift = None
        else:
            shift = operation(shift)
    vary = plain(shape).vary
    return Value(shape, (), None, vary, value.weights_only)._at(kept_factors, shift, vary)
