"""Pairs: which parameters share a symmetry, and which group acts, found from the solved equations of a traced model."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Literal

import numpy as np
import torch

from symdiscover.network.finder import Proof
from symdiscover.network.images import shift_move
from symdiscover.network.moves import (
    Element,
    MatrixMove,
    Move,
    PermutationMove,
    ScaleMove,
    SignMove,
    TurnMove,
    Weights,
)
from symdiscover.network.normals import normal_pairs
from symdiscover.network.pair_proofs import NO_ROUTE, Route, proofs_of, routes
from symdiscover.network.rules import Pass
from symdiscover.network.rules.rotary import rotations
from symdiscover.network.solution import Block, Bundles, Family, Flip, Generator, Solution, solve
from symdiscover.network.trace import LayerGraph
from symdiscover.network.value import Fold, axes, core
from symdiscover.symmetry import Status

Grade = Literal["global", "on-batch", "approximate"]


@dataclass(frozen=True)
class Part:
    """One of the groups that make up a pair's group, by the name of its coordinate in an element."""

    name: Literal["matrix", "log_scale", "sign", "turns", "angle", "permutation", "shift"]
    size: int
    orthogonal: bool = False
    ones: bool = False

    @property
    def dimension(self) -> int:
        """Of its continuous part."""
        n = self.size
        if self.name == "matrix":
            n -= self.ones
            return n * (n - 1) // 2 if self.orthogonal else n * n
        return n if self.name in ("log_scale", "shift", "angle") else 0


@dataclass(frozen=True)
class Pair:
    """One hidden space: the parameter axes that write it and those that read it, and the group that acts on both.

    Attributes
    ----------
    size:
        Number of units, or of heads that change places.
    group:
        Its usual name, such as ``GL(8)`` or ``PositiveScaling(8) x| Permutation(8)``.
    dimension:
        Of its continuous part.
    grade:
        For which inputs the outputs are unchanged: ``global`` for all.
    writers, readers:
        Parameter axes as ``name:axis``; writers move with g, readers with its inverse.
    error:
        Largest relative change of an output under a random element, in float64; None where nothing could be run.
    moves, parts:
        How an element moves each parameter, and what an element is made of.
    note:
        Why, in a few words.
    route:
        What its space passes on its way.
    """

    size: int
    group: str
    dimension: int
    grade: Grade
    writers: tuple[str, ...]
    readers: tuple[str, ...]
    error: float | None = None
    moves: tuple[Move, ...] = field(default=(), repr=False)
    parts: tuple[Part, ...] = field(default=(), repr=False)
    note: str = ""
    route: Route = field(default=NO_ROUTE, repr=False)

    @property
    def proofs(self) -> tuple[Proof, ...]:
        """The identities on which it rests, each proved by SymPy."""
        return proofs_of(self)

    @property
    def status(self) -> Status:
        """``proved`` where its identities are and the model with moved weights was run; ``unchecked`` where it was not run."""
        if self.error is None:
            return "unchecked"
        return "proved" if self.proofs else "numerical"

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters that move."""
        return tuple(dict.fromkeys(name.rpartition(":")[0] for name in (*self.writers, *self.readers)))

    def act(self, element: Element, weights: Weights) -> dict[str, torch.Tensor]:
        """Move parameters, name -> tensor: pure and differentiable. Names that the pair does not touch stay the same tensors.

        Examples
        --------
        >>> from torch import nn
        >>> from symdiscover.network import find_pairs, trace
        >>> model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)).double()
        >>> (pair,) = find_pairs(trace(model, torch.ones(1, 2).double()))
        >>> moved = pair.act(pair.random(), dict(model.named_parameters()))
        >>> x = torch.randn(5, 2).double()
        >>> torch.allclose(torch.func.functional_call(model, moved, (x,)), model(x))
        True
        """
        moved = dict(weights)
        for move in self.moves:
            moved.update(move.act(element, moved))
        return moved

    def identity(self) -> dict[str, torch.Tensor]:
        """The element that moves nothing, in float64."""
        return self.element(torch.zeros(self.dimension, dtype=torch.float64))

    def element(self, xi: torch.Tensor) -> dict[str, torch.Tensor]:
        """exp(xi) for coordinates of the Lie algebra, (dimension,): matrices row by row, skew ones by their upper triangle."""
        element: dict[str, torch.Tensor] = {}
        start = 0
        for part in self.parts:
            own = xi[start : start + part.dimension]
            start += part.dimension
            element[part.name] = _exponential(part, own)
        return element

    def random(self, scale: float = 0.3, generator: torch.Generator | None = None) -> dict[str, torch.Tensor]:
        """An element of the whole group, in float64: its continuous part to `scale`, all components, signs and permutations."""
        element = self.element(scale * torch.randn(self.dimension, dtype=torch.float64, generator=generator))
        for part in self.parts:
            element[part.name] = _component(part, element[part.name], generator)
        return element


def _exponential(part: Part, xi: torch.Tensor) -> torch.Tensor:
    n = part.size
    if part.name == "permutation":
        return torch.arange(n, device=xi.device)
    if part.name == "sign":
        return torch.ones(n, dtype=xi.dtype, device=xi.device)
    if part.name == "turns":
        return torch.zeros(n, dtype=xi.dtype, device=xi.device)
    if part.name != "matrix":
        return xi
    if not part.orthogonal:
        return torch.matrix_exp(xi.reshape(n, n))
    m = n - part.ones
    rows, columns = torch.triu_indices(m, m, 1, device=xi.device)
    skew = torch.zeros(m, m, dtype=xi.dtype, device=xi.device).index_put((rows, columns), xi)
    rotation = torch.matrix_exp(skew - skew.mT)
    return _beside_ones(rotation) if part.ones else rotation


def _beside_ones(rotation: torch.Tensor) -> torch.Tensor:
    """A rotation of what is orthogonal to (1, ..., 1): H diag(1, Q) H, H the reflection that swaps it and e_1."""
    n = len(rotation) + 1
    v = torch.full((n,), -1 / math.sqrt(n), dtype=rotation.dtype, device=rotation.device)
    v = v + torch.nn.functional.one_hot(torch.tensor(0), n).to(v)
    mirror = torch.eye(n, dtype=v.dtype, device=v.device) - 2 * torch.outer(v, v) / (v @ v)
    return mirror @ torch.block_diag(torch.ones(1, 1).to(v), rotation) @ mirror


def _component(part: Part, value: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
    n = part.size
    if part.name == "permutation":
        return torch.randperm(n, generator=generator)
    if part.name == "sign":
        return (2 * torch.randint(2, (n,), generator=generator) - 1).to(value)
    if part.name == "turns":
        return torch.randint(-1, 2, (n,), generator=generator).to(value)
    if part.name == "matrix" and bool(torch.randint(2, (), generator=generator)):
        flip = torch.ones(n - part.ones, dtype=value.dtype)
        flip[:1] = -1
        mirror = torch.diag(flip)
        return (_beside_ones(mirror) if part.ones else mirror) @ value
    return value


def find_pairs(graph: LayerGraph, check: bool = True) -> list[Pair]:
    """Every pair of a traced model: solved from the constraints on its axes, then checked with a random element in float64.

    Parameters
    ----------
    graph:
        From `trace`. Nodes ``space`` and edges ``param -axis-> space`` are added to it.
    check:
        Run the model on the example inputs before and after a random element of each whole group. A pair on the meta device is
        not checked: its error is None.

    Raises
    ------
    SymmetryError
        If a claim does not hold. That is an error of this package, not of the model.

    Examples
    --------
    >>> from torch import nn
    >>> from symdiscover.network import trace
    >>> model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
    >>> [(pair.size, pair.group, pair.writers, pair.readers) for pair in find_pairs(trace(model, torch.ones(1, 4)))]
    [(8, 'SignedPermutation(8)', ('0.weight:0', '0.bias:0'), ('2.weight:1',))]
    """
    found = analyse(graph)
    pairs = found.pairs
    if graph.path_only:  # another input may take another branch
        pairs = [replace(pair, grade="on-batch") for pair in pairs]
    if check:
        from symdiscover.network.check import checked

        pairs = checked(graph, pairs)
    _add_spaces(graph, pairs)
    return pairs


@dataclass(frozen=True)
class Analysis:
    """A solved pass, and the pairs in it, not yet checked."""

    run: Pass
    solution: Solution
    pairs: list[Pair]


def analyse(graph: LayerGraph) -> Analysis:
    """Run the rules, solve the equations and read off the pairs."""
    run = Pass(graph).run()
    solution = solve(run.spaces)
    pairs = _Builder(run, solution).pairs()
    folded = Pass(graph, folding=True, rotations=rotations(run)).run()
    if folded.folds or folded.planes:
        pairs += _Builder(folded, solve(folded.spaces)).folded()
    return Analysis(run, solution, _in_order(run, pairs))


def _in_order(run: Pass, pairs: Sequence[Pair]) -> list[Pair]:
    """By the first parameter that moves, in the order in which parameters enter the pass."""
    order = {key: k for k, key in enumerate(run.weights)}
    return sorted(pairs, key=lambda p: min((order[key] for key in p.parameters), default=0))


def _add_spaces(graph: LayerGraph, pairs: Sequence[Pair]) -> None:
    graph.remove_nodes_from([n for n, data in graph.nodes(data=True) if data.get("kind") == "space"])
    names = {leaf.key: leaf.name for leaf in graph.leaves if leaf.kind == "parameter"}
    for k, pair in enumerate(pairs):
        node = f"space {k}"
        graph.add_node(node, kind="space", size=pair.size, group=pair.group, label=pair.group)
        for variance, ends in ((1, pair.writers), (-1, pair.readers)):
            for end in ends:
                key, _, axis = end.rpartition(":")
                graph.add_edge(names[key], node, kind="axis", axis=int(axis), variance=variance)


@dataclass(frozen=True)
class _Factor:
    """A factor of a weight in terms of roots: axes along which it differs, and signed roots there."""

    key: str
    axes: tuple[int, ...]
    roots: np.ndarray
    ends: tuple[bool, ...]

    @property
    def name(self) -> str:
        """The parameter axis."""
        return f"{self.key}:{self.axes[-1]}"


class _Builder:
    """Pairs from a solution: each family, block and bundle, with the places of its roots in the weights."""

    def __init__(self, run: Pass, solution: Solution) -> None:
        self.run, self.solution = run, solution
        self.factors = []
        size = len(solution.root)
        read, written = np.zeros(size, bool), np.zeros(size, bool)
        self.alone = np.zeros(size, bool)
        for units in run.spaces.alone:
            self.alone[solution.root[units]] = True
        for flag, marked in ((read, run.spaces.read), (written, run.spaces.written)):
            for units in marked:
                flag[units] = True
        for key, value in run.weights.items():
            for k, labels in enumerate(value.factors):
                small = core(labels)
                along = axes(labels) or (_single_axis(value.shape, k),)
                own = np.abs(small.numpy())
                reads, writes = bool(read[own].any()), bool(written[own].any())
                ends = (True, False) if reads and writes else (not reads,)
                self.factors.append(_Factor(key, along, solution.signed(small.numpy()), ends))
        self.home = np.full((3, size), -1)  # family, member, column of each root
        for f, family in enumerate(solution.families):
            n, m = family.columns.shape
            live = family.columns > 0
            member, column = (
                np.broadcast_to(np.arange(n)[:, None], (n, m)),
                np.broadcast_to(np.arange(m), (n, m)),
            )
            self.home[:, family.columns[live]] = np.stack(
                [np.full(live.sum(), f), member[live], column[live]]
            )
        self.by_family: dict[int, list[_Factor]] = defaultdict(list)
        self.by_root: dict[int, list[_Factor]] = defaultdict(list)
        for factor in self.factors:
            used = np.unique(np.abs(factor.roots))
            for f in np.unique(self.home[0, used[used > 0]]):
                if f >= 0:
                    self.by_family[int(f)].append(factor)
        self.block_of = np.full(size, -1)
        self.rank = np.full(size, -1)
        for b, block in enumerate(solution.blocks):
            self.block_of[block.roots], self.rank[block.roots] = b, np.arange(len(block.roots))
        self.by_block: dict[int, list[_Factor]] = defaultdict(list)
        for factor in self.factors:
            used = np.unique(np.abs(factor.roots))
            for b in np.unique(self.block_of[used[used > 0]]):
                if b >= 0:
                    self.by_block[int(b)].append(factor)

    def pairs(self) -> list[Pair]:
        """All pairs of a pass in which gains move."""
        found: list[Pair] = []
        routes = self.routes()
        for b, block in enumerate(self.solution.blocks):
            found += _routed(self.of_block(block, self.by_block[b]), routes.get(b))
        for f, family in enumerate(self.solution.families):
            route = routes.get(f + len(self.solution.blocks))
            found += _routed(self.of_family(family, self.by_family[f]), route)
        for bundles in self.solution.bundles:
            found += self.of_bundles(bundles)
        found += normal_pairs(self.run)
        return found

    def of_planes(self) -> list[Pair]:
        """Planes of queries and keys that turn together under rotary position embeddings."""
        planes = [p for k in self.run.planes for p in _plane_roots(self.solution, k)]
        pairs = []
        where: dict[tuple[int, ...], list[tuple[int, int]]] = defaultdict(list)
        for plane in dict.fromkeys(planes):
            if (self.block_of[list(plane)] >= 0).all():
                holding = tuple(
                    k for k, f in enumerate(self.factors) if np.isin(plane, np.abs(f.roots)).any()
                )
                where[holding].append(plane)
        for holding, group in where.items():
            n, first, second = len(group), *np.array(group).T
            moves: list[Move] = []
            for factor in (self.factors[k] for k in holding):
                places = [_places(_ranks(np.abs(factor.roots).ravel(), side), n) for side in (first, second)]
                if places[0] is None or places[1] is None or places[0].shape != places[1].shape:
                    break
                moves.append(TurnMove(factor.key, factor.axes, places[0], places[1]))
            else:
                names = [self.factors[k].name for k in holding]
                note = "rotary position embeddings commute with turning these planes"
                pairs.append(_pair(n, f"SO(2)^{n}", (Part("angle", n),), moves, names, [], note))
        return pairs

    def folded(self) -> list[Pair]:
        """Pairs of a pass that folds gains: matrices that act on what is normalised, with the gain taken along by the readers."""
        found = self.of_planes()
        turned = {root for k in self.run.planes for plane in _plane_roots(self.solution, k) for root in plane}
        folds = {(key, axis): fold for key, axis, fold in self.run.folds}
        for b, block in enumerate(self.solution.blocks):
            factors = self.by_block[b]
            own = [f for f in factors if (f.key, f.axes[0]) in folds]
            if own and len(block.roots) > 1 + block.ones and turned.isdisjoint(block.roots.tolist()):
                found += [self._with_gains(p, own, folds, block) for p in self.of_block(block, factors)]
        return found

    def _with_gains(
        self, pair: Pair, own: Sequence[_Factor], folds: dict[tuple[str, int], Fold], block: Block
    ) -> Pair:
        gains = {(f.key, f.axes): folds[f.key, f.axes[0]] for f in own}
        moves: list[Move] = []
        writers = list(pair.writers)
        for move in pair.moves:
            assert isinstance(move, MatrixMove)
            fold = gains.get((move.key, move.axes))
            if fold is None:
                moves.append(move)
                continue
            moves.append(replace(move, gain=fold.gain))
            offset = MatrixMove(
                fold.offset or "", (0,), move.places, False, move.orthogonal, fold.gain, power=-1
            )
            if fold.offset is not None and f"{offset.key}:0" not in writers:
                moves.append(offset)
                writers.append(f"{offset.key}:0")
        n = len(block.roots)
        note = "a norm sees lengths alone; the readers take its gain along"
        return replace(
            pair,
            moves=tuple(moves),
            writers=tuple(writers),
            note=note if block.orthogonal else pair.note,
            size=n,
        )

    def routes(self) -> dict[int, Route]:
        """What each block, and after them each family, passes on its way."""
        blocks = len(self.solution.blocks)
        of_root = np.where(self.home[0] >= 0, self.home[0] + blocks, self.block_of)
        of_root[0] = -1
        of_shift = np.full(self.run.spaces.shift_count + 1, -1)
        for f, family in enumerate(self.solution.families):
            of_shift[-family.columns[family.columns < 0]] = f + blocks
        return routes(self.run, of_root[self.solution.root], of_shift)

    def of_block(self, block: Block, factors: Sequence[_Factor]) -> list[Pair]:
        """W -> g W and V -> V g^{-1} with a whole matrix."""
        n = len(block.roots)
        moves: list[Move] = []
        writers: list[str] = []
        readers: list[str] = []
        plus = next(
            (
                s
                for f in factors
                if f.ends == (True,)
                for s in np.sign(f.roots[np.isin(np.abs(f.roots), block.roots)])
            ),
            1,
        )
        for factor in factors:
            roots = factor.roots.ravel()
            inside = np.isin(np.abs(roots), block.roots)
            for sign in (1, -1):
                here = inside & (np.sign(roots) == sign)
                if not here.any():
                    continue
                places = _places(np.where(here, self.rank[np.abs(roots)], -1), n)
                if places is None:
                    return []
                dual = sign != plus
                moves.append(MatrixMove(factor.key, factor.axes, places, dual, block.orthogonal))
                ends = (not dual,) if len(factor.ends) == 1 else factor.ends
                for writes in ends:
                    (writers if writes else readers).append(factor.name)
        if not writers or (len(moves) < 2 and not block.orthogonal):
            return []
        part = Part("matrix", n, block.orthogonal, block.ones)
        name = f"O({n - block.ones})" if block.orthogonal else f"GL({n})"
        return [_pair(n, name, (part,), moves, writers, readers, "only linear operations meet it")]

    def of_family(self, family: Family, factors: Sequence[_Factor]) -> list[Pair]:
        """Scales, signs, permutations and shifts of units of one kind."""
        views = [_View(factor, self.home, family) for factor in factors]
        scales = [
            g
            for g in family.generators
            if any(c for c, v in zip(family.columns[0], g.vector, strict=True) if c > 0 and v)
        ]
        shifts = [g for g in family.generators if g not in scales]
        scales = _sparse(
            scales,
            [sum(column in view.columns() for view in views) for column in range(family.columns.shape[1])],
        )
        permutations = self._permutation(family, views)
        pairs: list[Pair] = []
        flips = list(family.flips)
        whole = [f for f in flips if not f.turns]
        joint = permutations is not None and len(scales) + (0 if scales else len(whole)) <= 1
        for generator in scales:
            with_shift = any(v for c, v in zip(family.columns[0], generator.vector, strict=True) if c < 0)
            odd = [
                f for f in flips
                if not f.jumps and f.turned == tuple(bool(v) and v.denominator == 1 and v.numerator % 2 != 0
                                                     for c, v in zip(family.columns[0], generator.vector, strict=True))
            ]  # fmt: skip
            flips = [f for f in flips if f not in odd]
            joined = permutations if joint and not with_shift else None
            pairs += self._scaled(family, views, generator, odd[:1], joined, with_shift)
            if joined is not None:
                permutations = None
        for flip in flips:
            joined = permutations if joint and not scales and not flip.turns else None
            pairs += self._flipped(family, views, flip, joined)
            if joined is not None:
                permutations = None
        if permutations is not None:
            moves, writers, readers = permutations
            n = len(family.columns)
            pairs.append(
                _pair(
                    n,
                    f"Permutation({n})",
                    (Part("permutation", n),),
                    moves,
                    writers,
                    readers,
                    "units of one kind",
                )
            )
        for generator in shifts:
            pairs += self._shifted(family, generator)
        pairs += self._periodic(family)
        return pairs

    def _permutation(
        self, family: Family, views: Sequence[_View]
    ) -> tuple[list[Move], list[str], list[str]] | None:
        if not family.permutable or len(family.columns) < 2:
            return None
        moves: list[Move] = []
        ends: dict[bool, list[str]] = {True: [], False: []}
        for view in views:
            for column in view.columns():
                places = view.places(column)
                if places is None:
                    return None
                moves.append(PermutationMove(view.factor.key, view.factor.axes, places))
            for writes in view.factor.ends if view.mask.any() else ():
                ends[writes].append(view.name)
        return (moves, ends[True], ends[False]) if ends[True] and ends[False] else None

    def _scaled(
        self, family: Family, views: Sequence[_View], generator: Generator, odd: Sequence[Flip],
        permutations: tuple[list[Move], list[str], list[str]] | None, with_shift: bool,
    ) -> list[Pair]:  # fmt: skip
        n = len(family.columns)
        vector = np.array([float(v) for v in generator.vector])
        moves: list[Move] = list(permutations[0]) if permutations else []
        writers, readers = (
            ([], []) if permutations is None else (list(permutations[1]), list(permutations[2]))
        )
        name = "shift" if with_shift else "log_scale"
        powers = [np.where(view.mask, view.sign * vector[view.column], 0.0) for view in views]
        if not with_shift:  # what writes first is multiplied by s, not by 1/s
            first = next(
                (
                    p[p != 0].flat[0]
                    for v, p in zip(views, powers, strict=True)
                    if v.factor.ends == (True,) and p.any()
                ),
                1,
            )
            powers = [p / first for p in powers]
        for view, power in zip(views, powers, strict=True):
            if power.any():
                moves.append(ScaleMove(view.factor.key, view.member, power, name))
                for sign in np.unique(np.sign(power[power != 0])):
                    (writers if sign > 0 else readers).append(view.name)
                for flip in odd:
                    counts = view.mask & np.array(flip.turned)[view.column]
                    if counts.any():
                        moves.append(SignMove(view.factor.key, view.member, counts))
        parts = [Part("shift" if with_shift else "log_scale", n)]
        if with_shift:
            move = shift_move(self.run, self.solution, family, generator)
            if move is None:
                return []
            moves.append(move)
            writers = [f"{key}:{_last(self.run, key)}" for key, _ in move.leaves] + writers
            group, note = f"R^{n}", "a shift that the activation turns into a scale"
        else:
            alone = any(self.alone[c] for c, v in zip(family.columns[0], generator.vector, strict=True) if v)
            if not writers or not (readers or alone):
                return []
            parts += [Part("sign", n)] if odd else []
            parts += [Part("permutation", n)] if permutations else []
            group = _scaling_name(n, bool(odd), permutations is not None)
            note = "what is between lets scales pass" if readers else "only its direction is seen"
        return [_pair(n, group, tuple(parts), moves, writers, readers, note)]

    def _flipped(
        self, family: Family, views: Sequence[_View], flip: Flip,
        permutations: tuple[list[Move], list[str], list[str]] | None,
    ) -> list[Pair]:  # fmt: skip
        n, name = len(family.columns), "turns" if flip.turns else "sign"
        moves: list[Move] = list(permutations[0]) if permutations else []
        writers, readers = (
            ([], []) if permutations is None else (list(permutations[1]), list(permutations[2]))
        )
        for view in views:
            counts = view.mask & np.array(flip.turned)[view.column]
            if counts.any():
                moves.append(SignMove(view.factor.key, view.member, counts, name))
                for writes in view.factor.ends:
                    (writers if writes else readers).append(view.name)
        for column, length in flip.jumps:
            move = shift_move(self.run, self.solution, family, None, (column, length), name=name)
            if move is None:
                return []
            moves.append(move)
            takers = [f"{key}:{_last(self.run, key)}" for key, _ in move.leaves]
            (writers if flip.turns else readers).extend(takers)
        if not moves:
            return []
        if flip.turns:
            note = "half periods of the activation, with a sign"
            return [_pair(n, f"Z^{n}", (Part("turns", n),), moves, writers, readers, note)]
        parts = [Part("sign", n)] + ([Part("permutation", n)] if permutations else [])
        group = f"SignedPermutation({n})" if permutations else f"Signs({n})"
        return [_pair(n, group, tuple(parts), moves, writers, readers, "what is between is odd or even")]

    def _shifted(self, family: Family, generator: Generator) -> list[Pair]:
        move = shift_move(self.run, self.solution, family, generator)
        if move is None:
            return []
        n = len(family.columns)
        seeds = set(move.seeds[0].tolist())
        writers = [
            f"{key}:{_last(self.run, key)}" for key, entries in move.leaves if seeds & set(entries.tolist())
        ]
        readers = [
            f"{key}:{_last(self.run, key)}"
            for key, entries in move.leaves
            if not seeds & set(entries.tolist())
        ]
        return [
            _pair(
                n,
                f"R^{n}",
                (Part("shift", n),),
                [move],
                writers,
                readers,
                "a shift that a later bias takes up",
            )
        ]

    def _periodic(self, family: Family) -> list[Pair]:
        pairs = []
        n = len(family.columns)
        for column, length in family.periods:
            move = shift_move(self.run, self.solution, family, None, (column, length), name="turns")
            if move is not None:
                writers = [f"{key}:{_last(self.run, key)}" for key, _ in move.leaves]
                pairs.append(
                    _pair(
                        n,
                        f"Z^{n}",
                        (Part("turns", n),),
                        [move],
                        writers,
                        [],
                        "whole periods of the activation",
                    )
                )
        return pairs

    def of_bundles(self, bundles: Bundles) -> list[Pair]:
        """Heads that change places as wholes."""
        k, m = bundles.roots.shape
        which = np.full(len(self.solution.root), -1)
        slot = np.full(len(self.solution.root), -1)
        which[bundles.roots] = np.arange(k)[:, None]
        slot[bundles.roots] = np.arange(m)
        moves: list[Move] = []
        ends: dict[bool, list[str]] = {True: [], False: []}
        for factor in self.factors:
            flat = np.abs(factor.roots).ravel()
            inside = np.flatnonzero(which[flat] >= 0)
            if not inside.size:
                continue
            if len(factor.axes) != 1:
                return []
            order = inside[np.lexsort((inside, slot[flat[inside]], which[flat[inside]]))]
            if len(order) % k or (np.bincount(which[flat[order]], minlength=k) != len(order) // k).any():
                return []
            moves.append(PermutationMove(factor.key, factor.axes, order.reshape(k, -1)))
            for writes in factor.ends:
                ends[writes].append(factor.name)
        if not ends[True] or not ends[False]:
            return []
        return [
            _pair(
                k,
                f"Permutation({k})",
                (Part("permutation", k),),
                moves,
                ends[True],
                ends[False],
                "heads change places as wholes",
                Route(("heads",)),
            )
        ]


def _routed(pairs: list[Pair], route: Route | None) -> list[Pair]:
    return pairs if route is None else [replace(pair, route=route) for pair in pairs]


def _sparse(generators: Sequence[Generator], uses: Sequence[int]) -> list[Generator]:
    """The same space, with vectors that move few parameters: (s, 1/s) beside each other rather than all that follows."""

    def weight(vector: Sequence[Fraction]) -> int:
        return sum(n for v, n in zip(vector, uses, strict=True) if v)

    vectors = [g.vector for g in generators]
    improved = True
    while improved:
        improved = False
        for i, j in itertools.permutations(range(len(vectors)), 2):
            for sign in (1, -1):
                new = tuple(a + sign * b for a, b in zip(vectors[i], vectors[j], strict=True))
                if weight(new) < weight(vectors[i]):
                    vectors[i], improved = new, True
    return [Generator(v) for v in vectors]


class _View:
    """A factor as a family sees it: member, column and sign of each place."""

    def __init__(self, factor: _Factor, home: np.ndarray, family: Family) -> None:
        self.factor = factor
        roots = np.abs(factor.roots)
        members = np.isin(roots, family.columns[family.columns > 0])
        self.mask: np.ndarray = members & (roots > 0)
        self.member: np.ndarray = np.where(self.mask, home[1, roots], 0)
        self.column: np.ndarray = np.where(self.mask, home[2, roots], 0)
        self.sign: np.ndarray = np.sign(factor.roots)

    @property
    def name(self) -> str:
        return self.factor.name

    def columns(self) -> list[int]:
        return [int(c) for c in np.unique(self.column[self.mask])]

    def places(self, column: int) -> np.ndarray | None:
        member = np.where(self.mask & (self.column == column), self.member, -1).ravel()
        return _places(member, int(self.member.max()) + 1) if member.max() >= 0 else None


def _places(rank: np.ndarray, n: int) -> np.ndarray | None:
    """(n, copies) places of each member, in order; None where they have different numbers of them."""
    where = np.flatnonzero(rank >= 0)
    counts = np.bincount(rank[where], minlength=n)
    if not where.size or (counts != counts[0]).any():
        return None
    order = where[np.lexsort((where, rank[where]))]
    return order.reshape(n, -1)


def _ranks(roots: np.ndarray, members: np.ndarray) -> np.ndarray:
    """The number of each root among the members, -1 for the others."""
    order = np.argsort(members)
    at = np.minimum(np.searchsorted(members[order], roots), len(members) - 1)
    return np.where(members[order][at] == roots, order[at], -1)


def _plane_roots(solution: Solution, planes: tuple[np.ndarray, np.ndarray]) -> list[tuple[int, int]]:
    first, second = (np.abs(solution.signed(labels)).tolist() for labels in planes)
    return list(zip(first, second, strict=True))


def _single_axis(shape: tuple[int, ...], factor: int) -> int:
    """The axis of a factor along which there is only one unit."""
    return factor if len(shape) <= 2 else next((a for a, s in enumerate(shape) if s == 1), 0)


def _last(run: Pass, key: str) -> int:
    return max(len(run.weights[key].shape) - 1, 0)


def _scaling_name(n: int, signs: bool, permutations: bool) -> str:
    if signs:
        return f"Monomial({n})" if permutations else f"Scaling({n})"
    return f"PositiveScaling({n})" + (f" x| Permutation({n})" if permutations else "")


def _pair(
    n: int, group: str, parts: Sequence[Part], moves: Iterable[Move], writers: Iterable[str], readers: Iterable[str], note: str,
    route: Route = NO_ROUTE,
) -> Pair:  # fmt: skip
    dimension = sum(part.dimension for part in parts)
    return Pair(
        n, group, dimension, "global", tuple(dict.fromkeys(writers)), tuple(dict.fromkeys(readers)),
        moves=tuple(moves), parts=tuple(parts), note=note, route=route,
    )  # fmt: skip


__all__ = ["Analysis", "Grade", "Pair", "Part", "analyse", "find_pairs"]
