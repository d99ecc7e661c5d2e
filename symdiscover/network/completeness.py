"""How much of the true symmetry was found: claimed generators against the null space of the functional Jacobian.

Directions v of the parameters with sum_j v_j df(x; w)/dw_j = 0 for every input x are the continuous symmetries that
exist at w, to first order. Their number is the dimension of the null space of the Jacobians at many inputs, stacked; the rank of
the claimed generators is what was found.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.func import jacrev
from torch.utils import _pytree as pytree

from symdiscover.errors import SymmetryError
from symdiscover.network.check import Twin
from symdiscover.network.pairs import Pair, find_pairs
from symdiscover.network.trace import LayerGraph

#: A gap between singular values that is smaller than this says nothing about the rank.
GAP = 1e3
#: Singular values below this, relative to the largest, may be zeros.
ZERO = 1e-9
#: Parameters above which the Jacobian is not written out.
LARGEST = 6000


@dataclass(frozen=True)
class Completeness:
    """What `completeness` measured, at a generic point.

    Attributes
    ----------
    parameters:
        Number of trainable numbers.
    null_space:
        Directions in which no output changes at any input, to first order: the smallest number over the seeds.
    claimed:
        Rank of the generators of all pairs.
    unread:
        Parameters that no output depends on for inputs like the example: rows of a table that were not looked up.
    both:
        Rank of the generators and the unread directions together.
    gap:
        Ratio of the smallest singular value that counts to the largest that does not; the smallest over the seeds.
    worst:
        Largest |J v| over the unit generators v: a claim that is none would show here.
    """

    parameters: int
    null_space: int
    claimed: int
    unread: int
    both: int
    gap: float
    worst: float

    @property
    def missed(self) -> int:
        """Directions that are neither claimed nor unread."""
        return self.null_space - self.both

    @property
    def conclusive(self) -> bool:
        """Whether the singular values leave no doubt about the rank."""
        return self.gap >= GAP

    def __str__(self) -> str:
        if not self.conclusive:
            return (
                f"no conclusion: the singular values have no clear gap (ratio {self.gap:.0f}); "
                f"about {self.null_space} null directions, {self.claimed} of them claimed"
            )
        rest = f", {self.unread} are parameters that the inputs do not use" if self.unread else ""
        missed = f"; {self.missed} are not explained" if self.missed else "; none is missed"
        return (
            f"{self.null_space} of {self.parameters} directions leave every output unchanged: {self.claimed} are claimed"
            f"{rest}{missed}"
        )


def completeness(graph: LayerGraph, seeds: int = 4, pairs: list[Pair] | None = None) -> Completeness:
    """Compare the claimed generators with all directions that leave the outputs unchanged.

    Weights are the model's, moved a little to be generic; inputs are drawn like the example: normal numbers of its shape at
    several scales, and whole numbers in its range.

    Parameters
    ----------
    graph:
        From `trace`, of a model of up to some thousand parameters: use a small copy of a large one.
    seeds:
        Draws of weights and inputs; the smallest null space counts, since dead units only enlarge it.

    Raises
    ------
    SymmetryError
        If the model cannot be run, or is too large.

    Notes
    -----
    Limits: ranks at a point are compared, not dimensions of groups (an element that fixes the point is not seen); units that are
    dead or always on, and bottlenecks, enlarge the null space; without a clear gap nothing is concluded.

    Examples
    --------
    >>> from torch import nn
    >>> from symdiscover.network import trace
    >>> model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 4), nn.Linear(4, 2)).double()
    >>> print(completeness(trace(model, torch.ones(1, 3).double())))
    20 of 46 directions leave every output unchanged: 20 are claimed; none is missed
    """
    pairs = find_pairs(graph) if pairs is None else pairs
    results = []
    for seed in range(seeds):
        twin = Twin(graph, seed=seed, jitter=0.3)
        if not twin.runs:
            raise SymmetryError(
                "completeness runs the model, and this one cannot be run: it is on the meta device"
            )
        results.append(_measured(graph, twin, pairs, seed))
    best = min(results, key=lambda r: (r.null_space, -r.gap))
    return best


def _measured(graph: LayerGraph, twin: Twin, pairs: list[Pair], seed: int) -> Completeness:
    trainable = {leaf.key for leaf in graph.leaves if leaf.trainable}
    weights = {k: v for k, v in twin.weights.items() if k in trainable and v.is_floating_point()}
    total = sum(v.numel() for v in weights.values())
    if total > LARGEST:
        raise SymmetryError(
            f"the Jacobian of {total} parameters is not written out; use a copy with at most {LARGEST} parameters"
        )
    rows: list[torch.Tensor] = []
    generator = torch.Generator().manual_seed(seed)
    count, stalled, rank = 0, 0, -1
    while stalled < 2 and count < 400:
        args, kwargs = _drawn(twin.inputs, generator, scale=(0.5, 1.0, 3.0)[count % 3])
        rows.append(_jacobian(twin, weights, args, kwargs))
        count += 1
        if sum(len(r) for r in rows) >= (1.2 + 0.4 * stalled) * total:
            stacked = torch.cat(rows)
            rows = [torch.linalg.qr(stacked, mode="r").R] if len(stacked) > total else [stacked]
            new = int((torch.linalg.svdvals(rows[0]) > ZERO * float(rows[0].norm())).sum())
            stalled = stalled + 1 if new == rank else 0
            rank = new
    jacobian = torch.cat(rows)
    values = torch.linalg.svdvals(jacobian)
    values = torch.cat([values, values.new_zeros(max(total - len(values), 0))])
    rank, gap = _rank(values)
    generators = torch.cat(
        [_directions(pair, twin.weights, weights) for pair in pairs]
        + [torch.zeros(0, total, dtype=torch.float64)]
    )
    norms = generators.norm(dim=1)
    generators = generators[norms > 0] / norms[norms > 0][:, None]
    unread = torch.eye(total, dtype=torch.float64)[jacobian.abs().amax(0) == 0]
    worst = float((jacobian @ generators.mT).norm(dim=0).max() / values[0]) if len(generators) else 0.0
    return Completeness(
        total,
        total - rank,
        _matrix_rank(generators),
        len(unread),
        _matrix_rank(torch.cat([generators, unread])),
        gap,
        worst,
    )


def _rank(values: torch.Tensor) -> tuple[int, float]:
    """The rank from sorted singular values: at the largest gap below `ZERO`; and that gap."""
    top = float(values[0]) or 1.0
    small = int((values > ZERO * top).sum())
    if small == len(values):
        return small, float(values[-1]) / (torch.finfo(values.dtype).eps * top)
    floor = max(float(values[small]), torch.finfo(values.dtype).eps * top)
    return small, float(values[small - 1]) / floor if small else 1.0


def _matrix_rank(rows: torch.Tensor) -> int:
    return int((torch.linalg.svdvals(rows) > 1e-8).sum()) if len(rows) else 0


def _directions(
    pair: Pair, all_weights: Mapping[str, torch.Tensor], weights: Mapping[str, torch.Tensor]
) -> torch.Tensor:
    """(dimension, parameters): the derivative of the pair's action at the identity."""

    def moved(xi: torch.Tensor) -> torch.Tensor:
        result = pair.act(pair.element(xi), all_weights)
        return torch.cat([result[key].reshape(-1) for key in weights])

    if not pair.dimension:
        return torch.zeros(0, sum(v.numel() for v in weights.values()), dtype=torch.float64)
    zero = torch.zeros(pair.dimension, dtype=torch.float64)
    result: torch.Tensor = torch.func.jacfwd(moved)(zero).mT
    return result


def _jacobian(twin: Twin, weights: Mapping[str, torch.Tensor], args: Any, kwargs: Any) -> torch.Tensor:
    rest = {k: v for k, v in twin.weights.items() if k not in weights}

    def outputs(own: Mapping[str, torch.Tensor]) -> torch.Tensor:
        return torch.cat([t.reshape(-1) for t in twin.run({**rest, **own}, args, kwargs)])

    try:
        found = jacrev(outputs)(dict(weights))
    except RuntimeError:  # an operation without a batching rule
        found = _row_by_row(outputs, weights)
    return torch.cat([found[key].reshape(found[key].shape[0], -1) for key in weights], dim=1).detach()


def _row_by_row(
    outputs: Callable[[Mapping[str, torch.Tensor]], torch.Tensor], weights: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    own = {k: v.detach().requires_grad_() for k, v in weights.items()}
    values = outputs(own)
    rows = [
        torch.autograd.grad(v, list(own.values()), retain_graph=True, materialize_grads=True) for v in values
    ]
    return {key: torch.stack([row[k] for row in rows]) for k, key in enumerate(own)}


def _drawn(inputs: Any, generator: torch.Generator, scale: float) -> Any:
    def drawn(value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        if value.is_floating_point():
            return scale * torch.randn(value.shape, dtype=value.dtype, generator=generator)
        if value.dtype == torch.bool or not value.numel():
            return value
        low, high = int(value.min()), int(value.max())
        return torch.randint(low, high + 1, value.shape, dtype=value.dtype, generator=generator)

    return pytree.tree_map(drawn, inputs)
