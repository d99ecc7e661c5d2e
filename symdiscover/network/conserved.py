"""What gradient flow keeps: for each pair with a suitable generator a function of the weights that can be logged in training.

Let a one-parameter group of a pair move the weights along M w + a. The outputs stay, so <grad L, M w + a> = 0, and under
dw/dt = -grad L

    d/dt (1/2 <w, M w> + <a, w>) = <dw/dt, M w + a> = 0    for symmetric M

(Zhao et al. 2023, section 4): W W^T + b b^T - V^T V of a linear pair, |row|^2 + b^2 - k |column|^2 of a unit of degree k. Skew
generators (rotations) and shifts that go through weights give a differential form that is not exact, and no such function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from symdiscover.network.moves import NormalMove, ShiftMove
from symdiscover.network.pairs import Pair

Conserved = Callable[[Mapping[str, torch.Tensor]], torch.Tensor]


def conserved(pair: Pair) -> Conserved | None:
    """The quantities of a pair that gradient flow conserves: weights -> (n, n) for matrices, (dimension,) for all others.

    None where there is none: for a discrete group, rotations, a shift that goes through weights, directions that depend on a
    gain, and actions on a batch. A gradient step of size lr changes them by O(lr^2); a teleport along the pair changes them
    at once.

    Parameters
    ----------
    pair:
        From `find_pairs`.

    Notes
    -----
    Zhao et al. 2023, Prop. 4.2 and 4.3, with biases. Derived from the generator of the pair's own action.

    Examples
    --------
    >>> from torch import nn
    >>> from symdiscover.network import find_pairs, trace
    >>> model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)).double()
    >>> (pair,) = find_pairs(trace(model, torch.ones(1, 2).double()))
    >>> quantity, w = conserved(pair), dict(model.named_parameters())
    >>> rows, column = torch.cat([w["0.weight"], w["0.bias"][:, None]], 1), w["2.weight"]
    >>> torch.allclose(quantity(w), (rows.square().sum(1) - column.square().sum(0)) / 2)
    True
    """
    if not _symmetric(pair):
        return None

    def quantity(weights: Mapping[str, torch.Tensor]) -> torch.Tensor:
        own = {key: weights[key] for key in pair.parameters}
        reads = {**weights, **{key: torch.zeros_like(value) for key, value in own.items()}}
        like = next(iter(own.values()))

        def along(xi: torch.Tensor) -> torch.Tensor:
            element = pair.element(xi)
            moved, origin = pair.act(element, weights), pair.act(element, reads)
            return (
                torch.stack([(value * (moved[key] + origin[key])).sum() for key, value in own.items()]).sum()
                / 2
            )

        zero = torch.zeros(pair.dimension, dtype=like.dtype, device=like.device)
        result: torch.Tensor = torch.func.grad(along)(zero)
        matrix = len(pair.parts) == 1 and pair.parts[0].name == "matrix"
        return result.reshape(pair.size, pair.size) if matrix else result

    return quantity


def _symmetric(pair: Pair) -> bool:
    """Whether the generators are M w + a with constant M and a, and M is symmetric for some of them."""
    turns = any(part.orthogonal or part.name == "angle" for part in pair.parts)
    if pair.grade != "global" or not pair.dimension or turns:
        return False
    through = any(isinstance(move, ShiftMove) and move.images for move in pair.moves)
    return not through and not any(
        isinstance(move, NormalMove) and (move.gain or move.offset) for move in pair.moves
    )
