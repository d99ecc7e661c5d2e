"""Gradient flow keeps what is claimed, to the order of the step; wrong quantities drift, and teleports change them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad

from symdiscover.network import find_pairs, trace
from symdiscover.network.conserved import Conserved, conserved
from symdiscover.network.pairs import Pair
from tests.symdiscover.network import styles_other  # noqa: F401  (its styles enter the table)
from tests.symdiscover.network.models import STYLES

Weights = dict[str, torch.Tensor]

X = torch.randn(8, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
Y = torch.randn(8, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(6))


class Made(nn.Module):
    def __init__(self, forward: Callable[..., torch.Tensor], **parts: Any) -> None:
        super().__init__()
        for key, part in parts.items():
            setattr(self, key, part)
        self._forward = forward

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._forward(self, x)


def attention(m: Any, x: torch.Tensor) -> torch.Tensor:
    weights = torch.softmax(m.q(x) @ m.k(x).mT, -1)
    return m.o(weights @ m.v(x))


MODELS: dict[str, Callable[[], nn.Module]] = {
    "linear": lambda: nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 4), nn.Linear(4, 2)),
    "smooth, degree 2": lambda: Made(lambda m, x: m.o(m.a(x) ** 2), a=nn.Linear(3, 4), o=nn.Linear(4, 2)),
    "gate": lambda: Made(
        lambda m, x: m.o(m.u(x) * torch.sigmoid(m.a(x))),
        u=nn.Linear(3, 4),
        a=nn.Linear(3, 4),
        o=nn.Linear(4, 2),
    ),
    "exponential": lambda: Made(lambda m, x: m.o(torch.exp(m.a(x))), a=nn.Linear(3, 4), o=nn.Linear(4, 2)),
    "norm": lambda: nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2)),
    "softmax": lambda: nn.Sequential(nn.Linear(3, 4), nn.Softmax(-1), nn.Linear(4, 2)),
    "two biases": lambda: Made(
        lambda m, x: m.o(torch.tanh(m.a(x) + m.b(x))), a=nn.Linear(3, 4), b=nn.Linear(3, 4), o=nn.Linear(4, 2)
    ),
    "weight norm": lambda: nn.Sequential(
        nn.utils.parametrizations.weight_norm(nn.Linear(3, 4)), nn.Tanh(), nn.Linear(4, 2)
    ),
    "attention": lambda: Made(
        attention, q=nn.Linear(3, 4), k=nn.Linear(3, 4), v=nn.Linear(3, 4), o=nn.Linear(4, 2)
    ),
}


def built(name: str) -> tuple[nn.Module, list[Pair], Weights]:
    torch.manual_seed(0)
    model = MODELS[name]().double()
    pairs = find_pairs(trace(model, X))
    weights = {key: value.detach() + 0.3 * torch.randn_like(value) for key, value in model.named_parameters()}
    return model, pairs, weights


def descended(model: nn.Module, weights: Weights, steps: int, time: float = 0.2) -> Weights:
    """Gradient descent over a fixed time: Euler's method for gradient flow."""
    slope = grad(lambda w: ((functional_call(model, w, (X,)) - Y) ** 2).mean())
    for _ in range(steps):
        step = slope(weights)
        weights = {key: value - time / steps * step[key] for key, value in weights.items()}
    return weights


def drifts(
    model: nn.Module, weights: Weights, quantity: Conserved, steps: tuple[int, int] = (20, 40)
) -> list[float]:
    before = quantity(weights)
    return [float((quantity(descended(model, weights, n)) - before).abs().max()) for n in steps]


def wrong(quantity: Conserved, pair: Pair, weights: Weights) -> Conserved | None:
    """The same without the part of one parameter; None where only one takes part, whose length alone is kept."""
    whole = quantity(weights)
    parts = [
        key
        for key in pair.parameters
        if not torch.equal(quantity({**weights, key: torch.zeros_like(weights[key])}), whole)
    ]
    if len(parts) < 2:
        return None
    return lambda w: quantity({**w, parts[0]: torch.zeros_like(w[parts[0]])})


@pytest.mark.parametrize("name", MODELS)
def test_descent_drifts_by_the_size_of_its_step_and_a_wrong_quantity_at_once(name: str) -> None:
    model, pairs, weights = built(name)
    seen = 0
    for pair in pairs:
        if (quantity := conserved(pair)) is None:
            continue
        seen += 1
        coarse, fine = drifts(model, weights, quantity)
        if coarse < 1e-14:  # linear in the weights: kept by every step
            continue
        assert 0.85 < math.log2(coarse / fine) < 1.15
        if (other := wrong(quantity, pair, weights)) is not None:
            off, still_off = drifts(model, weights, other)
            assert still_off > 10 * fine
            assert abs(math.log2(off / still_off)) < 0.3
    assert seen


@pytest.mark.parametrize("name", MODELS)
def test_a_teleport_changes_it(name: str) -> None:
    _, pairs, weights = built(name)
    for pair in pairs:
        if (quantity := conserved(pair)) is not None:
            xi = 0.3 * torch.ones(pair.dimension, dtype=torch.float64)
            assert (quantity(pair.act(pair.element(xi), weights)) - quantity(weights)).abs().max() > 1e-3


def test_the_quantities_are_those_of_the_theory() -> None:
    _, pairs, w = built("linear")
    gl = next(pair for pair in pairs if pair.group == "GL(4)" and "0.bias" in pair.parameters)
    W, b, V = w["0.weight"], w["0.bias"], w["1.weight"]
    quantity = conserved(gl)
    assert quantity is not None
    torch.testing.assert_close(2 * quantity(w), W @ W.mT + b[:, None] * b - V.mT @ V)
    _, pairs, w = built("smooth, degree 2")
    quantity = conserved(pairs[0])
    assert quantity is not None
    rows = w["a.weight"].square().sum(1) + w["a.bias"] ** 2
    torch.testing.assert_close(2 * quantity(w), rows - 2 * w["o.weight"].square().sum(0))


def test_where_there_is_none() -> None:
    _, pairs, _ = built("linear")
    assert all(conserved(pair) is None for pair in pairs if pair.group.startswith("R^"))
    model = nn.Sequential(nn.Linear(3, 4), nn.RMSNorm(4, elementwise_affine=False), nn.Linear(4, 2)).double()
    (rotation,) = find_pairs(trace(model, X))
    assert rotation.group == "O(4)" and conserved(rotation) is None
    turned, inputs, _ = STYLES["rotary_attention"].make()
    pairs = find_pairs(trace(turned, *inputs))
    assert [conserved(p) is None for p in pairs if p.group.startswith("SO(2)")] == [True]
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    (signs,) = find_pairs(trace(model, X))
    assert conserved(signs) is None


def test_a_rotation_has_no_such_quantity() -> None:
    """The twin: its form <W, xi W> vanishes for skew xi, so nothing is left to keep."""
    W, xi = torch.randn(4, 3, dtype=torch.float64), torch.randn(4, 4, dtype=torch.float64)
    assert (W * ((xi - xi.mT) @ W)).sum().abs() < 1e-12
    assert (W * ((xi + xi.mT) @ W)).sum().abs() > 1e-3


def test_it_is_differentiable_and_keeps_the_dtype() -> None:
    _, pairs, weights = built("smooth, degree 2")
    quantity = conserved(pairs[0])
    assert quantity is not None
    slope = grad(lambda w: quantity(w).sum())(weights)
    torch.testing.assert_close(slope["a.weight"], weights["a.weight"])
    assert quantity({key: value.float() for key, value in weights.items()}).dtype == torch.float32
