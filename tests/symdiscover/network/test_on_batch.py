"""The on-batch action: exact on the batch, a group action when carried, and refused where it does not exist."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn
from torch.func import functional_call

from symdiscover.errors import NotAdmissible, OutsideDomain, RankDeficient, SymmetryError
from symdiscover.network import trace
from symdiscover.network.network_action import action_for
from symdiscover.network.on_batch import Carried, OnBatchAction, on_batch_action, on_batch_pairs

TOLERANCE = 1e-11


def stack(activation: nn.Module, bias: bool = True) -> nn.Module:
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for a, b in itertools.pairwise((6, 7, 8, 9, 3)):
        layers += [nn.Linear(a, b, bias=bias), activation]
    return nn.Sequential(*layers[:-1]).double()


def samples(n: int) -> torch.Tensor:
    return torch.randn(n, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def made(model: nn.Module, n: int, first_only: bool = False) -> tuple[OnBatchAction, dict[str, torch.Tensor]]:
    graph = trace(model, samples(n))
    pairs = on_batch_pairs(graph)
    return on_batch_action(graph, pairs=pairs[:1] if first_only else pairs), {
        key: value.detach().clone() for key, value in model.named_parameters()
    }


def apart(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    return max(float((a[key] - b[key]).abs().max()) for key in a)


def states_apart(a: Carried, b: Carried) -> float:
    pairs = [(a.weights[k], b.weights[k]) for k in a.weights] + [(a.left[k], b.left[k]) for k in a.left]
    pairs += list(zip(a.hidden, b.hidden, strict=True)) + list(zip(a.before, b.before, strict=True))
    return max(float((x - y).abs().max() / y.abs().max()) for x, y in pairs)


def generator(seed: int = 2) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("n", [3, 6])
@pytest.mark.parametrize(
    ("activation", "scale"),
    [(nn.LeakyReLU(0.1), 0.3), (nn.Tanh(), 0.01), (nn.Sigmoid(), 0.003), (nn.Identity(), 0.3)],
)
def test_outputs_on_the_batch_stay_and_elements_compose(
    activation: nn.Module, scale: float, n: int, bias: bool
) -> None:
    model = stack(activation, bias)
    action, w = made(model, n)
    g, h = (action.random(scale, generator(seed)) for seed in (2, 3))
    start = action.carried(w)
    moved = action.act(h, start)
    outputs = functional_call(model, dict(moved.weights), (samples(n),))
    assert (outputs - model(samples(n))).abs().max() < TOLERANCE
    elsewhere = torch.randn(5, 6, dtype=torch.float64, generator=generator(9))
    if not isinstance(activation, nn.Identity):
        off = functional_call(model, dict(moved.weights), (elsewhere,)) - model(elsewhere)
        assert off.abs().max() > 1e-5
    assert apart(dict(moved.weights), w) > 1e-4
    assert states_apart(action.act(action.identity(), start), start) < TOLERANCE
    assert states_apart(action.act(action.compose(g, h), start), action.act(g, moved)) < TOLERANCE
    assert states_apart(action.act(action.compose(h, g), start), action.act(g, moved)) > 1e-6
    assert states_apart(action.act(action.inverse(h), moved), start) < TOLERANCE


def test_left_inverses_that_are_computed_anew_do_not_compose() -> None:
    model = stack(nn.LeakyReLU(0.1))
    action, w = made(model, 4)
    g, h = (action.random(0.3, generator(seed)) for seed in (2, 3))
    assert apart(action(action.compose(g, h), w), action(g, action(h, w))) > 1e-3


def test_of_one_pair_the_action_on_weights_is_a_group_action() -> None:
    model = stack(nn.LeakyReLU(0.1))
    action, w = made(model, 4, first_only=True)
    assert len(action.pairs) == 1
    g, h = (action.random(0.3, generator(seed)) for seed in (2, 3))
    assert apart(action(action.compose(g, h), w), action(g, action(h, w))) < TOLERANCE
    moved = action(h, w)
    assert (functional_call(model, moved, (samples(4),)) - model(samples(4))).abs().max() < TOLERANCE
    assert torch.equal(moved["4.weight"], w["4.weight"])


def test_what_a_weight_does_outside_the_span_stays_and_the_printed_form_loses_it() -> None:
    """W <- sigma^{-1}(g sigma(W h)) h^+ is not the identity at g = 1 for fewer samples than inputs."""
    model = stack(nn.LeakyReLU(0.1), bias=False)
    action, w = made(model, 3, first_only=True)
    x = samples(3).mT
    outside = torch.linalg.qr(x, mode="complete").Q[:, 3:]
    moved = action(action.random(0.3, generator()), w)
    assert (moved["0.weight"] @ outside - w["0.weight"] @ outside).abs().max() < TOLERANCE
    assert (moved["0.weight"] - w["0.weight"]).abs().max() > 1e-3
    printed = w["0.weight"] @ x @ torch.linalg.pinv(x)
    assert (printed - w["0.weight"]).abs().max() > 1e-2
    assert apart(action(action.identity(), w), w) < TOLERANCE


def test_a_vector_is_taken_through_exp_and_gradients_flow() -> None:
    model = stack(nn.LeakyReLU(0.1))
    action, w = made(model, 4)
    xi = 0.1 * torch.randn(action.dimension, dtype=torch.float64, generator=generator())

    def moved(x: torch.Tensor) -> torch.Tensor:
        result = action(x, w)
        return torch.cat([result[key].reshape(-1) for key in action.parameters])

    assert torch.autograd.gradcheck(lambda x: moved(x).sum(), (xi.requires_grad_(),), atol=1e-5)
    assert torch.autograd.functional.jacobian(moved, xi).abs().amax(0).min() > 0


def test_the_identities_are_proved() -> None:
    action, _ = made(stack(nn.Tanh()), 4)
    statements = [proof.statement for proof in action.proofs]
    assert "H^+ H = 1" in statements[0]
    assert any(s.startswith("sigma is strictly increasing") for s in statements)
    assert action.status == "proved"
    assert {pair.grade for pair in action.pairs} == {"on-batch"}


@pytest.mark.parametrize(("n", "bias"), [(8, True), (7, False)])
def test_more_samples_than_numbers_are_refused(n: int, bias: bool) -> None:
    action, w = made(stack(nn.LeakyReLU(0.1), bias), n)
    with pytest.raises(RankDeficient, match=f"at most {n - 1} samples"):
        action.carried(w)


@pytest.mark.parametrize("n", [4, 7])
def test_samples_that_depend_on_each_other_are_refused(n: int) -> None:
    model, x = stack(nn.LeakyReLU(0.1)), samples(n)
    x[1] = x[0]
    action = on_batch_action(trace(model, x))
    with pytest.raises(RankDeficient, match="linearly dependent"):
        action.carried(dict(model.named_parameters()))


def test_leaving_the_range_of_a_bounded_activation_is_refused() -> None:
    action, w = made(stack(nn.Tanh()), 4)
    far = tuple(50 * g for g in action.identity())
    with pytest.raises(OutsideDomain, match="leaves the range"):
        action(far, w)


@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(nn.Linear(6, 7), nn.ReLU(), nn.Linear(7, 3)),
        nn.Sequential(nn.Linear(6, 7), nn.LayerNorm(7), nn.Linear(7, 3)),
        nn.Sequential(nn.Linear(6, 7)),
    ],
)
def test_other_networks_are_refused(model: nn.Module) -> None:
    with pytest.raises(NotAdmissible) as caught:
        action_for(model.double(), samples(4), grade="on-batch")
    assert caught.value.remedy


def test_wrong_elements_and_grades_are_refused() -> None:
    action, w = made(stack(nn.LeakyReLU(0.1)), 4)
    with pytest.raises(SymmetryError, match="tuple of matrices"):
        action(action.identity()[:1], w)
    with pytest.raises(SymmetryError, match="global or on-batch"):
        action_for(stack(nn.Tanh()), samples(3), grade="approximate")
