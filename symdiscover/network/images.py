"""Where a shift goes: from the bias that adds it, through weights, to the biases that take it up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from heapq import heappop, heappush
from typing import TypeVar

import numpy as np
import torch

from symdiscover.network.moves import Image, ShiftMove, Weights
from symdiscover.network.rules import Pass
from symdiscover.network.solution import Family, Generator, Solution
from symdiscover.network.spaces import Pending
from symdiscover.network.trace import evaluated, refs
from symdiscover.network.value import core

Key = TypeVar("Key")


class Shifts:
    """Where each shift stands in the parameters, through which weights it goes, and what answers it: read once for all moves."""

    def __init__(self, run: Pass, solution: Solution) -> None:
        self.run = run
        self.entries = {
            key: np.broadcast_to(core(value.shift).numpy().ravel(), value.shape[-1:])
            for key, value in run.weights.items()
            if value.shift is not None
        }
        self.order = {key: k for k, key in enumerate(self.entries)}
        self.leaves = _holders((key, shifts) for key, shifts in self.entries.items())
        self.pendings = run.spaces.pendings
        self.through = _holders((k, pending.sources) for k, pending in enumerate(self.pendings))
        self.responses = _responses(solution)

    def move(
        self,
        family: Family,
        generator: Generator | None,
        jump: tuple[int, float] | None = None,
        name: str = "shift",
    ) -> ShiftMove | None:
        """The move of one generator of a family, or of a jump (column, length) that comes with a sign or a whole turn.

        None where no parameter moves.
        """
        seeds = _seeds(family, generator, jump)
        reached, images = self._reached({shift for shift, _, _ in seeds})
        number = {shift: k for k, shift in enumerate(sorted(reached))}
        keys = {key for shift in reached for key in self.leaves.get(shift, ())}
        leaves = []
        for key in sorted(keys, key=self.order.__getitem__):
            leaves.append((key, _numbered(number, self.entries[key])))
        if not leaves:
            return None
        chain = []
        for pending, taken in images:
            weights, sources, form = self.run.images[pending.node]
            targets = _numbered(number, pending.shifts)
            chain.append(
                Image(
                    evaluation_of(self.run, weights), form, _numbered(number, sources),
                    np.where(targets < len(number), targets, -1),
                    _columns([(number[at], number[p], c) for at, p, c in taken]),
                )
            )  # fmt: skip
        start = _columns([(number[s], i, c) for s, i, c in seeds])
        # A sign of -1 adds the jump: t = (1 - sign) / 2, so that the move is affine in the sign.
        kind = SignShift if name == "sign" else ShiftMove
        return kind(len(number), start, tuple(chain), tuple(leaves), name)

    def _reached(
        self, reached: set[int]
    ) -> tuple[set[int], list[tuple[Pending, list[tuple[int, int, float]]]]]:
        """All shifts that those at the start become, and the weights on their way, in the order of the pass."""
        reached = set(reached)
        waiting = sorted({k for shift in reached for k in self.through.get(shift, ())})
        seen, images = set(waiting), []
        while waiting:
            pending = self.pendings[heappop(waiting)]
            taken = [(at, int(p), c) for p in pending.shifts for at, c in self.responses.get(int(p), ())]
            new = {at for at, _, _ in taken} | set(pending.shifts.tolist())
            reached |= new
            for k in {k for shift in new for k in self.through.get(shift, ())} - seen:
                seen.add(k)
                heappush(waiting, k)
            images.append((pending, taken))
        return reached, images


def _seeds(
    family: Family, generator: Generator | None, jump: tuple[int, float] | None
) -> list[tuple[int, int, float]]:
    """(shift, member, coefficient): what an element adds before anything passes weights."""
    n, m = family.columns.shape
    if generator is not None:
        vector = [float(v) for v in generator.vector]
    else:
        assert jump is not None
        column, length = jump
        vector = [float(v) * length for v in family.responses.get(column, (0,) * m)]
    return [
        (int(-family.columns[i, k]), i, vector[k])
        for k in range(m)
        if family.columns[0, k] < 0 and vector[k]
        for i in range(n)
    ]


def _holders(held: Iterable[tuple[Key, np.ndarray]]) -> dict[int, list[Key]]:
    """Shift -> what holds it."""
    holders: dict[int, list[Key]] = defaultdict(list)
    for key, shifts in held:
        for shift in np.unique(shifts[shifts != 0]).tolist():
            holders[shift].append(key)
    return holders


def _numbered(number: Mapping[int, int], shifts: np.ndarray) -> np.ndarray:
    """The numbers of shifts in one move; its length for those that do not take part."""
    return np.array([number.get(shift, len(number)) for shift in shifts.tolist()], dtype=int)


class SignShift(ShiftMove):
    """A shift by the jump of every member whose sign is -1."""

    def act(self, element: object, weights: Weights) -> dict[str, torch.Tensor]:
        """The moved parameters."""
        sign = element["sign"]  # type: ignore[index]
        return super().act({"sign": (1 - sign) / 2}, weights)


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
    leaves = run.leaves
    if node in leaves:
        key = leaves[node].key
        return lambda weights: weights[key]
    calls = run.calls

    def value(name: str, weights: Weights) -> torch.Tensor:
        if name in leaves:
            leaf = leaves[name]
            return weights[leaf.key] if leaf.kind == "parameter" else run.graph.tensor(leaf.key)
        call = calls[name]
        environment = {ref: value(ref, weights) for ref in refs(call)}
        result: torch.Tensor = call.target(
            *evaluated(call.args, environment), **evaluated(call.kwargs, environment)
        )
        return result

    return lambda weights: value(node, weights)
