"""What is claimed is all there is: ranks of generators against null spaces of Jacobians."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from symdiscover.errors import SymmetryError
from symdiscover.network import completeness, find_pairs, trace
from tests.symdiscover.network.models import Net, rows


def smooth(
    act: type[nn.Module], bias: bool, norm: bool = False, widths: tuple[int, ...] = (6, 5, 4, 3)
) -> nn.Module:
    layers: list[nn.Module] = []
    for m, n in pairwise(widths):
        layers += [nn.Linear(m, n, bias=bias), *([nn.LayerNorm(n)] if norm else []), act()]
    return nn.Sequential(*layers[: -2 if norm else -1])


@pytest.mark.parametrize("act", [nn.Tanh, nn.Softplus, nn.GELU])
@pytest.mark.parametrize("bias", [True, False])
def test_a_smooth_network_has_no_continuous_symmetry_and_none_is_claimed(act, bias) -> None:
    torch.manual_seed(0)
    model = smooth(act, bias)
    found = completeness(trace(model, rows(6)), seeds=2)
    assert found.conclusive and (found.null_space, found.claimed, found.missed) == (0, 0, 0)


def linear(bias: bool) -> tuple[nn.Module, int]:
    """GL of both hidden spaces, and their shifts."""
    layers = nn.Linear(6, 3, bias), nn.Linear(3, 3, bias), nn.Linear(3, 4, bias)
    return nn.Sequential(*layers), 9 + 9 + 6 * bias


def normed() -> tuple[nn.Module, int]:
    """Each norm: 7 and 6 directions of ones before it, and with a smooth activation nothing after it."""
    return smooth(nn.Tanh, bias=True, norm=True), 7 + 6


def gated() -> tuple[nn.Module, int]:
    """One scale for each unit."""
    net = Net(
        lambda s, x: s.o(s.u(x) * torch.sigmoid(s.g(x))),
        u=nn.Linear(4, 5),
        g=nn.Linear(4, 5),
        o=nn.Linear(5, 3),
    )
    return net, 5


def softmaxed() -> tuple[nn.Module, int]:
    """The four numbers that make up each logit are shifted together, and one more for the bias."""
    return nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 3), nn.Softmax(-1)), 4 + 1


@pytest.mark.parametrize(
    "build", [lambda: linear(True), lambda: linear(False), normed, gated, softmaxed],
    ids=["linear with biases", "linear", "norms", "gate", "softmax"],
)  # fmt: skip
def test_the_claimed_generators_span_the_null_space(build) -> None:
    torch.manual_seed(0)
    model, dimension = build()
    width = next(model.parameters()).shape[1]
    graph = trace(model, rows(width))
    found = completeness(graph, seeds=2)
    assert found.conclusive and found.worst < 1e-12
    assert (found.null_space, found.claimed, found.unread, found.missed) == (dimension, dimension, 0, 0)
    assert "none is missed" in str(found)
    pairs = [pair for pair in find_pairs(graph) if pair.dimension]
    for k, pair in enumerate(pairs):  # a pair that is left out is missed
        rest = completeness(graph, seeds=1, pairs=pairs[:k] + pairs[k + 1 :])
        assert rest.missed == pair.dimension and "not explained" in str(rest)


def test_a_generator_that_is_none_shows() -> None:
    torch.manual_seed(0)
    model, _ = gated()
    graph = trace(model, rows(4))
    (pair,) = find_pairs(graph)
    wrong = replace(pair, moves=tuple(move for move in pair.moves if move.key != "u.bias"))
    assert completeness(graph, seeds=1, pairs=[wrong]).worst > 1e-4
    assert completeness(graph, seeds=1, pairs=[pair]).worst < 1e-12


def test_rows_that_were_not_looked_up_are_told_apart() -> None:
    torch.manual_seed(0)

    def forward(s, x):
        return s.o(torch.tanh(s.a(x) + s.p[: x.shape[1]]))

    net = Net(forward, a=nn.Linear(3, 4), p=nn.Parameter(torch.randn(5, 4)), o=nn.Linear(4, 3))
    found = completeness(
        trace(net, torch.randn(4, 2, 3)), seeds=2
    )  # a shift of a.bias and p, and three rows of p
    assert (found.null_space, found.claimed, found.unread, found.missed) == (4 + 12, 4, 12, 0)
    assert "12 are parameters that the inputs do not use" in str(found)


def test_a_model_that_cannot_be_run_or_is_too_large_is_refused() -> None:
    with torch.device("meta"):
        model, x = nn.Linear(2, 2), torch.ones(1, 2)
    with pytest.raises(SymmetryError, match="cannot be run"):
        completeness(trace(model, x))
    large = nn.Sequential(nn.Linear(80, 80), nn.Tanh(), nn.Linear(80, 2))
    with pytest.raises(SymmetryError, match="at most"):
        completeness(trace(large, rows(80)))


class Block(nn.Module):
    """A block of GPT-2."""

    def __init__(self, width: int, heads: int, fused: bool) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attend, self.project = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.heads, self.fused = heads, fused

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (
            t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in self.attend(self.ln_1(x)).chunk(3, -1)
        )
        if self.fused:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            mask = torch.tril(torch.ones(x.shape[1], x.shape[1])) == 0
            scores = (q @ k.mT / math.sqrt(k.shape[-1])).masked_fill(mask, float("-inf"))
            y = scores.softmax(-1) @ v
        x = x + self.project(y.transpose(1, 2).flatten(2))
        return x + self.down(F.gelu(self.up(self.ln_2(x))))


class GPT(nn.Module):
    """Token and position tables, one block, logits from the same table."""

    def __init__(self, vocabulary: int, context: int, width: int, heads: int = 2, fused: bool = True) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(context, width)
        self.block, self.norm = Block(width, heads, fused), nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.tokens(ids) + self.positions(torch.arange(ids.shape[1]))
        return self.head(self.norm(self.block(x)))


IDS = torch.tensor([[0, 3, 10, 5, 2], [7, 1, 4, 9, 6]])


@pytest.mark.parametrize("fused", [True, False])
def test_every_direction_of_a_small_transformer_is_explained(fused: bool) -> None:
    torch.manual_seed(0)
    model = GPT(11, 6, 4, fused=fused).eval()
    found = completeness(trace(model, IDS), seeds=1)
    assert found.conclusive and found.unread == 4 and found.missed == 0 and found.worst < 1e-12


@pytest.mark.slow
def test_every_direction_of_the_block_of_gpt2_is_explained() -> None:
    """239 null directions: 24 unused position numbers, and 215 symmetries; 3 of the 218 claimed move those rows alone."""
    torch.manual_seed(0)
    model = GPT(11, 8, 8).eval()
    found = completeness(trace(model, IDS), seeds=1)
    assert (found.null_space, found.claimed, found.unread, found.missed) == (239, 218, 24, 0)
    assert found.both == found.null_space and found.conclusive and found.worst < 1e-12
