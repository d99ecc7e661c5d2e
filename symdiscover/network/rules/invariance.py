"""What later operations do not see of a value, and what earlier ones guarantee about it."""

from __future__ import annotations

from typing import Any

import torch

from symdiscover.network.rules.movement import JOINING, MOVING, SAME, VIEWS
from symdiscover.network.rules.table import Pass
from symdiscover.network.trace import Call, Ref
from symdiscover.network.value import Value, axes, core

#: Below this, what a mask fills in has weight zero after a softmax, whatever is added to the other scores.
MASKED = -1e4


def free_of_ones(run: Pass, name: str, axis: int) -> bool:
    """Whether c 1 along an axis of a value, c another number at each other place, changes no output of the model."""
    users = run.users[name]
    return bool(users) and all(_swallows(run, user, name, axis) for user in users)


def _swallows(run: Pass, user: Call, name: str, axis: int) -> bool:
    rank = len(shape_of(run, name))
    back = axis - rank
    dims = len(user.shape or ())
    if user.op in ("softmax", "_softmax", "log_softmax", "_log_softmax"):
        return int(user.args[1]) % rank == axis
    if user.op in ("layer_norm", "native_layer_norm"):
        return user.args[0] == Ref(name) and len(user.args[1]) == 1 and back == -1
    if user.op in SAME:
        return free_of_ones(run, user.name, axis)
    if user.op in ("add", "sub"):
        return free_of_ones(run, user.name, dims + back)
    if user.op in ("mul", "div"):
        others = [a for a in user.args[:2] if a != Ref(name)]
        if len(others) != 1 or (user.op == "div" and user.args[0] != Ref(name)):
            return False
        return _constant_along(run, others[0], back) and free_of_ones(run, user.name, dims + back)
    if user.op == "masked_fill":
        low = isinstance(user.args[2], int | float) and user.args[2] <= MASKED
        return low and user.args[0] == Ref(name) and free_of_ones(run, user.name, dims + back)
    if user.op in JOINING and user.op != "stack":
        dim = int(run.argument(user, 1, "dim", 0)) % rank
        return dim != axis and free_of_ones(run, user.name, axis)
    if user.op in MOVING and user.shape is not None:
        moved = moved_axis(run, user, axis)
        return moved is not None and free_of_ones(run, user.name, moved)
    return False


def shape_of(run: Pass, name: str) -> tuple[int, ...]:
    """The shape of a node's value, also of one that the pass has not reached."""
    if name in run.calls:
        return run.calls[name].shape or ()
    value = run.values[name]
    return value.shape if isinstance(value, Value) else ()


def _constant_along(run: Pass, argument: Any, back: int) -> bool:
    if not isinstance(argument, Ref):
        return isinstance(argument, int | float)
    shape = shape_of(run, argument.name)
    if -back > len(shape) or shape[back] == 1:
        return True
    value = run.values.get(argument.name)
    if not isinstance(value, Value) or any(back + len(shape) in axes(f) for f in value.factors):
        return False
    return value.uniform(len(shape) + back)


def moved_axis(run: Pass, call: Call, axis: int) -> int | None:
    """The axis of the result along which an operation that moves entries puts a whole axis of its argument, in order."""
    if not isinstance(call.args[0], Ref) or any(isinstance(a, Ref) for a in call.args[1:]):
        return None
    shape = shape_of(run, call.args[0].name)
    index = torch.arange(shape[axis]).view([-1 if k == axis else 1 for k in range(len(shape))]).expand(shape)
    try:
        result = (
            index.reshape(call.shape or ())
            if call.op in VIEWS
            else call.target(index, *call.args[1:], **call.kwargs)
        )
    except (RuntimeError, TypeError):
        return None
    found = axes(result)
    if shape[axis] == 1 or len(found) != 1 or result.shape[found[0]] != shape[axis]:
        return None
    in_order = torch.equal(core(result).reshape(-1), torch.arange(shape[axis]))
    return found[0] if in_order else None


def sums_to_one(run: Pass, name: str, axis: int) -> bool:
    """Whether the entries of a value along an axis add up to one: it is a softmax."""
    call = run.calls.get(name)
    if call is None or call.shape is None:
        return False
    if call.op in ("softmax", "_softmax"):
        return int(call.args[1]) % len(call.shape) == axis
    if not isinstance(call.args[0] if call.args else None, Ref):
        return False
    if call.op in SAME:
        return sums_to_one(run, call.args[0].name, axis)
    if call.op in MOVING:
        shape = shape_of(run, call.args[0].name)
        return any(
            moved_axis(run, call, k) == axis and sums_to_one(run, call.args[0].name, k)
            for k in range(len(shape))
        )
    return False
