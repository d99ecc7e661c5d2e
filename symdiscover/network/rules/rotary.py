"""Rotary position embeddings: x cos + r(x) sin, where r turns planes by a right angle, leaves rotations of those planes.

The product with positions commutes with every rotation of each plane (and with scales, which the rules for products find):
queries and keys may both be turned by one angle a plane.
"""

from __future__ import annotations

import torch

from symdiscover.network.rules.movement import JOINING, MOVING, SAME, VIEWS
from symdiscover.network.rules.table import Pass, Rotation
from symdiscover.network.trace import Call, Ref, refs
from symdiscover.network.value import Value, axes, core

#: Products of queries and keys.
SCORES = ("matmul", "bmm", "scaled_dot_product_attention", "einsum", "baddbmm")


def rotations(run: Pass) -> dict[str, Rotation]:
    """Every rotary embedding whose result goes into scores alone, where the other side is rotated too."""
    found = {call.name: r for call in run.graph.calls if (r := _turned(run, call)) is not None}
    return {name: r for name, r in found.items() if _only_scores(run, name, set(found))}


def _turned(run: Pass, call: Call) -> Rotation | None:
    """x cos + r(x) sin; None for any other call."""
    if call.op != "add" or len(call.args) != 2 or call.kwargs:
        return None
    parts = [_fixed_product(run, a) for a in call.args]
    if parts[0] is None or parts[1] is None:
        return None
    for source, other in ((parts[0], parts[1]), (parts[1], parts[0])):
        value = run.values[source]
        index = torch.arange(1, value.shape[-1] + 1).expand(value.shape)
        turned = _rearranged(run, other, source, index)
        if turned is None or turned.shape != value.shape or set(axes(turned)) != {len(value.shape) - 1}:
            continue
        order = core(turned).reshape(-1).numpy()
        pairs = [(p, int(abs(q)) - 1) for p, q in enumerate(order) if q < 0]
        right = all(order[q] == p + 1 for p, q in pairs) and 2 * len(pairs) == len(order)
        inside = _inside(run, source, call) if right else None
        if inside is not None and (other == source or other in inside):
            return Rotation(source, frozenset(inside), tuple(pairs))
    return None


def _fixed_product(run: Pass, argument: object) -> str | None:
    """The node of x in x * (fixed data)."""
    call = run.calls.get(argument.name) if isinstance(argument, Ref) else None
    if call is None or call.op != "mul" or not all(isinstance(a, Ref) for a in call.args):
        return None
    for x, fixed in (call.args, call.args[::-1]):
        a, b = run.values[x.name], run.values[fixed.name]
        if (
            isinstance(a, Value)
            and isinstance(b, Value)
            and len(a.factors) == 1
            and b.plain
            and not a.weights_only
        ):
            return str(x.name)
    return None


def _rearranged(run: Pass, name: str, source: str, index: torch.Tensor) -> torch.Tensor | None:
    """Which entry of the source stands where in a node, with a sign; None where it is more than a rearrangement."""
    if name == source:
        return index
    call = run.calls.get(name)
    if call is None:
        return None
    if call.op in JOINING:
        parts = [_rearranged(run, a.name, source, index) for a in call.args[0]]
        if any(p is None for p in parts):
            return None
        joined: torch.Tensor = call.target(parts, *call.args[1:], **call.kwargs)
        return joined
    if not call.args or not isinstance(call.args[0], Ref) or len(refs(call)) != 1:
        return None
    if call.op == "getitem":
        parted = run.calls.get(call.args[0].name)
        if (
            parted is None
            or parted.op not in MOVING
            or not isinstance(parted.args[0], Ref)
            or len(refs(parted)) != 1
        ):
            return None
        whole = _rearranged(run, parted.args[0].name, source, index)
        if whole is None:
            return None
        part: torch.Tensor = parted.target(whole, *parted.args[1:], **parted.kwargs)[call.args[1]]
        return part
    inner = _rearranged(run, call.args[0].name, source, index)
    if inner is None:
        return None
    if call.op in SAME:
        return inner
    if call.op == "neg":
        return -inner
    if call.op in VIEWS:
        return inner.reshape(call.shape or ())
    if call.op in MOVING and call.shape is not None:
        moved: torch.Tensor = call.target(inner, *call.args[1:], **call.kwargs)
        return moved
    return None


def _inside(run: Pass, source: str, call: Call) -> set[str] | None:
    """All calls between x and the sum; None where something else is computed from x."""
    pending, seen = [source], set()
    while pending:
        for user in run.users[pending.pop()]:
            if user.name == call.name or user.name in seen:
                continue
            if user.op not in (*SAME, *MOVING, *JOINING, "getitem", "neg", "mul"):
                return None
            seen.add(user.name)
            pending.append(user.name)
    return seen


def _only_scores(run: Pass, name: str, rotated: set[str]) -> bool:
    """Whether a rotated value goes into products with rotated values alone, over its last axis."""
    rank = len(run.values[name].shape)
    pending = [(name, rank - 1)]
    while pending:
        node, axis = pending.pop()
        for user in run.users[node]:
            if user.op in SCORES:
                if not _meets_rotated(run, user, node, axis, rotated):
                    return False
            elif user.op in JOINING and user.shape is not None:
                pending.append((user.name, axis))
            elif user.op in (*SAME, *MOVING) and user.shape is not None:
                moved = _axis_of(run, user, node, axis)
                if moved is None:
                    return False
                pending.append((user.name, moved))
            elif user.op in ("mul", "div") and any(isinstance(a, int | float) for a in user.args[:2]):
                pending.append((user.name, axis))
            else:
                return False
    return True


def _axis_of(run: Pass, call: Call, node: str, axis: int) -> int | None:
    shape = run.values[node].shape
    index = torch.arange(shape[axis]).view([-1 if k == axis else 1 for k in range(len(shape))]).expand(shape)
    if call.args[0] != Ref(node) or len(refs(call)) != 1:
        return None
    if call.op in SAME:
        return axis
    result = (
        index.reshape(call.shape or ())
        if call.op in VIEWS
        else call.target(index, *call.args[1:], **call.kwargs)
    )
    found = axes(result)
    return found[0] if len(found) == 1 and result.shape[found[0]] == shape[axis] else None


def _meets_rotated(run: Pass, call: Call, node: str, axis: int, rotated: set[str]) -> bool:
    """Whether a product is that of queries and keys, both rotated."""
    operands = [a.name for a in (call.args[1] if call.op == "einsum" else call.args) if isinstance(a, Ref)]
    if call.op == "scaled_dot_product_attention":
        if node not in operands[:2]:
            return False
        other = operands[1] if node == operands[0] else operands[0]
    else:
        if call.op in ("einsum", "baddbmm") or len(operands) != 2:
            return False
        other = operands[1] if node == operands[0] else operands[0]
        rank = len(run.values[node].shape)
        if axis != (rank - 1 if node == operands[0] else rank - 2):
            return False
    return _comes_from(run, other, rotated)


def _comes_from(run: Pass, name: str, rotated: set[str]) -> bool:
    if name in rotated:
        return True
    call = run.calls.get(name)
    if call is None:
        return False
    if call.op in JOINING:
        return any(_comes_from(run, a.name, rotated) for a in call.args[0])
    if call.op in (*SAME, *MOVING, "mul", "div") and call.args and isinstance(call.args[0], Ref):
        return _comes_from(run, call.args[0].name, rotated)
    return False
