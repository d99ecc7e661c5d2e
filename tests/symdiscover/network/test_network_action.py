"""The product of all pairs is a group that acts: laws on many networks, and wrong products beside them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.func import functional_call, jacfwd, vmap
from torch.nn import functional as F

from symdiscover.errors import NotAdmissible, SymmetryError
from symdiscover.network import trace
from symdiscover.network.network_action import NetworkAction, action_for, compose, network_action

TOLERANCE = 1e-12


class Made(nn.Module):
    def __init__(self, forward: Callable[..., torch.Tensor], **parts: Any) -> None:
        super().__init__()
        for key, part in parts.items():
            setattr(self, key, part)
        self._forward = forward

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return self._forward(self, *inputs)


def relu() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 5), nn.LeakyReLU(0.1), nn.Linear(5, 2))


def sigmoid() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.Sigmoid(), nn.Linear(4, 2))


def linear() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 4), nn.Linear(4, 2))


def gated() -> nn.Module:
    return Made(
        lambda m, x: m.o(m.u(x) * F.silu(m.a(x))), u=nn.Linear(3, 4), a=nn.Linear(3, 4), o=nn.Linear(4, 2)
    )


def siren() -> nn.Module:
    return Made(lambda m, x: m.o(torch.sin(3 * m.a(x))), a=nn.Linear(3, 4), o=nn.Linear(4, 2))


def exponential() -> nn.Module:
    return Made(lambda m, x: m.o(torch.exp(m.a(x))), a=nn.Linear(3, 4), o=nn.Linear(4, 2))


def normed() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2))


def tied() -> nn.Module:
    return Made(lambda m, x: F.linear(F.linear(x, m.w), m.w.mT), w=nn.Parameter(torch.randn(4, 3)))


def transformer() -> nn.Module:
    block = nn.TransformerEncoderLayer(4, 2, 6, dropout=0.0, batch_first=True, norm_first=True)
    return Made(lambda m, x: m.o(m.b(m.i(x[:, None]))), b=block, i=nn.Linear(3, 4), o=nn.Linear(4, 2))


MODELS = [relu, sigmoid, linear, gated, siren, exponential, normed, tied, transformer]
X = torch.randn(6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


def built(make: Callable[[], nn.Module]) -> tuple[nn.Module, NetworkAction, dict[str, torch.Tensor]]:
    torch.manual_seed(0)
    model = make().double()
    action = network_action(trace(model, X))
    weights = {key: torch.randn_like(value) for key, value in model.named_parameters()}
    return model, action, weights


def elements(action: NetworkAction, count: int) -> list[Any]:
    generator = torch.Generator().manual_seed(1)
    return [action.random(generator=generator) for _ in range(count)]


def apart(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    return max(float((a[key] - b[key]).abs().max() / (1 + b[key].abs().max())) for key in a)


@pytest.mark.parametrize("make", MODELS)
def test_group_laws_and_invariance(make: Callable[[], nn.Module]) -> None:
    model, action, w = built(make)
    g, h, k = elements(action, 3)
    moved = action(h, w)
    assert apart(action(action.identity(), w), w) == 0
    assert apart(action(action.compose(g, h), w), action(g, moved)) < TOLERANCE
    assert apart(action(action.compose(k, action.compose(g, h)), w), action(k, action(g, moved))) < TOLERANCE
    assert apart(action(action.inverse(h), moved), w) < TOLERANCE
    assert apart(moved, w) > 1e-3
    assert torch.allclose(functional_call(model, moved, (X,)), functional_call(model, w, (X,)), rtol=1e-10)


@pytest.mark.parametrize("make", [relu, linear, siren, transformer])
def test_the_other_order_is_another_element(make: Callable[[], nn.Module]) -> None:
    _, action, w = built(make)
    g, h = elements(action, 2)
    assert apart(action(action.compose(h, g), w), action(g, action(h, w))) > 1e-3


def test_scales_that_do_not_follow_the_permutation_do_not_compose() -> None:
    """A monomial group is no direct product: adding log-scales place by place is wrong."""
    _, action, w = built(relu)
    g, h = (dict(word[0][1]) for word in elements(action, 2))
    product = compose(g, h)
    naive = {**product, "log_scale": g["log_scale"] + h["log_scale"]}
    right = action(((0, g),), action(((0, h),), w))
    assert apart(action(((0, product),), w), right) < TOLERANCE
    assert apart(action(((0, naive),), w), right) > 1e-3


def test_pairs_that_commute_are_multiplied_and_others_stand_beside_each_other() -> None:
    _, action, _ = built(relu)
    g, h = elements(action, 2)
    assert len(action.compose(g, h)) == len(action.pairs)
    _, action, w = built(linear)
    g, h = elements(action, 2)
    assert len(action.compose(g, h)) > len(action.pairs)
    merged = tuple((k, compose(a, b)) for (k, a), (_, b) in zip(g, h, strict=True))
    assert apart(action(merged, w), action(g, action(h, w))) > 1e-3


@pytest.mark.parametrize("make", MODELS)
def test_vmap_and_derivatives(make: Callable[[], nn.Module]) -> None:
    model, action, w = built(make)
    if not action.dimension:
        return
    xi = 0.3 * torch.randn(3, action.dimension, dtype=torch.float64)
    batched = vmap(lambda x: {key: action(x, w)[key] for key in action.parameters})(xi)
    for i in range(3):
        alone = action(xi[i], w)
        assert apart({k: v[i] for k, v in batched.items()}, {k: alone[k] for k in batched}) < TOLERANCE

    def outputs(x: torch.Tensor) -> torch.Tensor:
        return functional_call(model, action(x, w), (X,))

    def weights(x: torch.Tensor) -> torch.Tensor:
        return torch.cat([action(x, w)[key].reshape(-1) for key in action.parameters])

    zero = torch.zeros(action.dimension, dtype=torch.float64)
    assert torch.autograd.functional.jacobian(outputs, zero).abs().max() < 1e-10
    assert jacfwd(weights)(zero).abs().amax(0).min() > 0


def test_an_element_is_a_vector_a_tuple_or_a_word() -> None:
    _, action, w = built(relu)
    xi = torch.full((action.dimension,), 0.2, dtype=torch.float64)
    parts = tuple(pair.element(x) for pair, x in zip(action.pairs, xi.split([4, 5]), strict=True))
    assert apart(action(xi, w), action(parts, w)) == 0
    assert apart(action(action.exp(xi), w), action(parts, w)) == 0
    for bad in (xi[:-1], parts[:-1], "g", ((7, parts[0]),)):
        with pytest.raises(SymmetryError):
            action(bad, w)
    with pytest.raises(SymmetryError, match="is missing"):
        action(xi, {})


def test_an_action_is_pure_and_keeps_what_it_does_not_touch() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    action = network_action(trace(model, X.float()))
    weights = dict(model.named_parameters())
    before = {key: value.clone() for key, value in weights.items()}
    moved = action(action.random(), weights)
    assert moved["2.bias"] is weights["2.bias"]
    assert all(torch.equal(weights[key], before[key]) for key in weights)
    assert all(value.dtype == torch.float32 for value in moved.values())
    assert action.status == "proved"
    assert action.parameters == ("0.weight", "0.bias", "2.weight")


def test_a_model_without_pairs_is_refused() -> None:
    with pytest.raises(NotAdmissible, match="no hidden space"):
        action_for(nn.Linear(3, 2), X.float())
