"""Shifts that what follows does not see, and directions in which what is read does not vary: LayerNorm and softmax."""

from __future__ import annotations

from typing import TYPE_CHECKING

from symdiscover.network.moves import Move, NormalMove, OnesMove
from symdiscover.network.pair_proofs import Route
from symdiscover.network.rules import Pass
from symdiscover.network.rules.invariance import free_of_ones, moved_axis, shape_of
from symdiscover.network.rules.movement import MOVING, SAME
from symdiscover.network.trace import Call, Leaf, Ref

if TYPE_CHECKING:
    from symdiscover.network.pairs import Pair


def normal_pairs(run: Pass) -> list[Pair]:
    """Producers + 1 u^T before LayerNorm or softmax, readers + u n^T after them."""
    pairs = []
    for call in run.graph.calls:
        if call.shape is None:
            continue
        if (moves := _ones_moves(run, call)) and free_of_ones(run, call.name, len(call.shape) - 1):
            note = "a norm or softmax after it does not see what is the same in all units"
            pairs.append(_pair(moves, note, _takers(run, call.name)))
        if (move := _normal_move(run, call)) is not None:
            pairs.append(_normal_pair(run, move))
    return pairs


def own_leaf(run: Pass, argument: object) -> Leaf | None:
    """A trainable parameter that is used once, tied to nothing."""
    if not isinstance(argument, Ref):
        return None
    leaf = run.leaves.get(argument.name)
    if leaf is None or not leaf.trainable or leaf.tied or leaf.overlaps or leaf.shape is None:
        return None
    return leaf if run.uses[leaf.key] == 1 else None


def _ones_moves(run: Pass, call: Call) -> list[OnesMove]:
    """Parameters whose value, or product with a hidden value, is added up in the result along its last axis."""
    held: list[tuple[Leaf, int]] = []
    if call.op == "linear":
        held = [(leaf, 0) for a in call.args[1:3] if (leaf := own_leaf(run, a)) is not None]
    elif call.op in ("matmul", "mm", "embedding"):
        argument = call.args[0] if call.op == "embedding" else call.args[1]
        leaf = own_leaf(run, argument)
        held = [(leaf, len(leaf.shape or ()) - 1)] if leaf is not None else []
    elif call.op == "addmm":
        held = [
            (leaf, len(leaf.shape or ()) - 1)
            for a in (call.args[0], call.args[2])
            if (leaf := own_leaf(run, a)) is not None
        ]
    elif call.op in ("add", "expand", "slice"):
        for a in call.args[:2]:
            leaf = own_leaf(run, a)
            if leaf is not None and leaf.shape and call.shape and leaf.shape[-1] == call.shape[-1] > 1:
                if (
                    call.op == "slice"
                    and int(run.argument(call, 1, "dim", 0)) % len(leaf.shape) == len(leaf.shape) - 1
                ):
                    continue
                held.append((leaf, len(leaf.shape) - 1))
    moves: list[OnesMove] = []
    start = 0
    for leaf, axis in held:
        shape = leaf.shape or ()
        size = 1
        for k, s in enumerate(shape):
            size *= 1 if k == axis else s
        moves.append(OnesMove(leaf.key, axis, start, size))
        start += size
    return moves


def _takers(run: Pass, name: str) -> tuple[str, ...]:
    """The norms and softmaxes that take away what is the same in all units of a value."""
    found: dict[str, None] = {}
    seen, waiting = {name}, [name]
    while waiting:
        for user in run.users[waiting.pop()]:
            if "norm" in user.op or "softmax" in user.op:
                found[user.op] = None
            elif user.name not in seen:
                seen.add(user.name)
                waiting.append(user.name)
    return tuple(found)


def _normal_move(run: Pass, call: Call) -> NormalMove | None:
    """A linear operation that reads the result of LayerNorm or softmax."""
    if call.op not in ("linear", "matmul", "mm", "addmm"):
        return None
    position = 1 if call.op == "addmm" else 0
    source = call.args[position]
    weight = own_leaf(run, call.args[position + 1])
    if weight is None or len(weight.shape or ()) != 2 or not isinstance(source, Ref):
        return None
    rank = len(shape_of(run, source.name))
    norm = _norm_before(run, source.name, rank - 1)
    if norm is None:
        return None
    bias_argument = (
        call.args[2]
        if call.op == "linear" and len(call.args) > 2
        else call.args[0]
        if call.op == "addmm"
        else None
    )
    if call.op in ("linear", "addmm") and bias_argument is None:
        users = run.users[call.name]
        bias_argument = _added(users[0], call.name) if len(users) == 1 else None
    bias = own_leaf(run, bias_argument)
    if bias is not None and (len(bias.shape or ()) != 1):
        bias = None
    gain, offset, level = norm
    if (offset is not None or level) and bias is None:
        return None
    axis = 1 if call.op == "linear" else 0
    return NormalMove(
        weight.key, axis, gain, offset, level, bias.key if bias is not None and (offset or level) else None
    )


def _added(user: Call, name: str) -> object:
    others = [a for a in user.args[:2] if a != Ref(name)]
    return others[0] if user.op == "add" and len(others) == 1 else None


def _norm_before(run: Pass, name: str, axis: int) -> tuple[str | None, str | None, float] | None:
    """(gamma, beta, level) with sum_j (y_j - beta_j) / gamma_j = level along an axis of a value."""
    call = run.calls.get(name)
    if call is None:
        return None
    if call.op in ("softmax", "_softmax") and call.shape is not None:
        return (None, None, 1.0) if int(call.args[1]) % len(call.shape) == axis else None
    if call.op == "layer_norm" and len(call.args[1]) == 1:
        names = []
        for k in (2, 3):
            argument = call.args[k] if len(call.args) > k else None
            leaf = run.leaves.get(argument.name) if isinstance(argument, Ref) else None
            key = None if leaf is None else leaf.key
            if argument is not None and key is None:
                return None
            names.append(key)
        return names[0], names[1], 0.0
    if not call.args or not isinstance(call.args[0], Ref):
        return None
    if call.op in SAME:
        return _norm_before(run, call.args[0].name, axis)
    if call.op in MOVING:
        rank = len(shape_of(run, call.args[0].name))
        for k in range(rank):
            if moved_axis(run, call, k) == axis:
                return _norm_before(run, call.args[0].name, k)
    return None


def _pair(moves: list[OnesMove], note: str, takers: tuple[str, ...]) -> Pair:
    from symdiscover.network.pairs import Pair, Part

    size = sum(move.size for move in moves)
    return Pair(
        size, f"R^{size}", size, "global", tuple(f"{m.key}:{m.axis}" for m in moves), (),
        moves=tuple(moves), parts=(Part("shift", size),), note=note, route=Route(takers),
    )  # fmt: skip


def _normal_pair(run: Pass, move: NormalMove) -> Pair:
    from symdiscover.network.pairs import Pair, Part

    shape = run.weights[move.key].shape
    size = shape[1 - move.axis]
    held: tuple[Move, ...] = (move,)
    return Pair(
        size, f"R^{size}", size, "global", (),
        (f"{move.key}:{move.axis}", *([f"{move.bias}:0"] if move.bias else [])),
        moves=held, parts=(Part("shift", size),), note="what it reads lies on a plane, after a norm or softmax",
    )  # fmt: skip
