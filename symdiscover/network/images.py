"""Where a shift goes: from the bias that adds it, through weights, to the biases that take it up."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from symdiscover.network.moves import Image, ShiftMove, Weights
from symdiscover.network.rules import Pass
from symdiscover.network.solution import Family, Generator, Solution
from symdiscover.network.trace import evaluated
from symdiscover.network.value import core


def shift_move(
    run: Pass,
    solution: Solution,
    family: Family,
    generator: Generator | None,
    jump: tuple[int, float] | None = None,
    name: str = "shift",
) -> ShiftMove | None:
    """The move of one generator of a family, or of a jump (column, length) that comes with a sign or a whole turn.

    None where no parameter moves.
    """
    n, m = family.columns.shape
    if generator is not None:
        vector = [float(v) for v in generator.vector]
    else:
        assert jump is not None
        column, length = jump
        vector = [float(v) * length for v in family.responses.get(column, (0,) * m)]
    seeds = [
        (int(-family.columns[i, k]), i, vector[k])
        for k in range(m)
        if family.columns[0, k] < 0 and vector[k]
        for i in range(n)
    ]
    reached = {shift for shift, _, _ in seeds}
    responses = _responses(solution)
    images = []
    for pending in run.spaces.pendings:
        if reached.isdisjoint(pending.sources.tolist()):
            continue
        taken = [(at, int(p), c) for p in pending.shifts for at, c in responses.get(int(p), ())]
        reached |= {at for at, _, _ in taken} | set(pending.shifts.tolist())
        images.append((pending, taken))
    number = {shift: k for k, shift in enumerate(sorted(reached))}
    lookup = np.full(run.spaces.shift_count + 1, len(number))
    for shift, k in number.items():
        lookup[shift] = k
    leaves = []
    for key, value in run.weights.items():
        if value.shift is not None:
            entries = lookup[core(value.shift).numpy().ravel()]
            if (entries < len(number)).any():
                leaves.append((key, np.broadcast_to(entries, value.shape[-1:]).copy()))
    if not leaves:
        return None
    chain = []
    for pending, taken in images:
        weights, sources, form = run.images[pending.node]
        at = [(lookup[a], lookup[p], c) for a, p, c in taken]
        chain.append(
            Image(
                evaluation_of(run, weights), form, lookup[sources], _live(lookup[pending.shifts], len(number)), _columns(at)
            )
        )  # fmt: skip
    start = _columns([(number[s], i, c) for s, i, c in seeds])
    if name == "sign":
        # A sign of -1 adds the jump: t = (1 - sign) / 2, so the coefficients are halved and the move is affine in the sign.
        return SignShift(len(number), start, tuple(chain), tuple(leaves), name)
    return ShiftMove(len(number), start, tuple(chain), tuple(leaves), name)


class SignShift(ShiftMove):
    """A shift by the jump of every member whose sign is -1."""

    def act(self, element: object, weights: Weights) -> dict[str, torch.Tensor]:
        """The moved parameters."""
        sign = element["sign"]  # type: ignore[index]
        return super().act({"sign": (1 - sign) / 2}, weights)


def _live(targets: np.ndarray, none: int) -> np.ndarray:
    return np.where(targets < none, targets, -1)


def _columns(rows: list[tuple[int, int, float]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    a, b, c = zip(*rows, strict=True) if rows else ((), (), ())
    return np.array(a, dtype=int), np.array(b, dtype=int), np.array(c, dtype=float)


def _responses(solution: Solution) -> dict[int, list[tuple[int, float]]]:
    """For each shift that is given from outside its thread: which shifts answer, and how much."""
    known: dict[int, list[tuple[int, float]]] = {}
    for family in solution.families:
        for column, vector in family.responses.items():
            answers = [
                (k, float(v)) for k, v in enumerate(vector) if v and k != column and family.columns[0, k] < 0
            ]
            for row in family.columns:
                known[int(-row[column])] = [(int(-row[k]), v) for k, v in answers]
    return known


def evaluation_of(run: Pass, node: str) -> Callable[[Weights], torch.Tensor]:
    """What computes a node from the parameters alone."""
    leaves = {leaf.name: leaf for leaf in run.graph.leaves}
    if node in leaves:
        key = leaves[node].key
        return lambda weights: weights[key]
    calls = run.calls

    def value(name: str, weights: Weights) -> torch.Tensor:
        if name in leaves:
            leaf = leaves[name]
            return weights[leaf.key] if leaf.kind == "parameter" else run.graph.tensor(leaf.key)
        call = calls[name]
        from symdiscover.network.trace import refs

        environment = {ref: value(ref, weights) for ref in refs(call)}
        result: torch.Tensor = call.target(
            *evaluated(call.args, environment), **evaluated(call.kwargs, environment)
        )
        return result

    return lambda weights: value(node, weights)
