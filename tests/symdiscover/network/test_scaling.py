from __future__ import annotations

from itertools import pairwise

import pytest
import sympy as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call
from torch.nn.utils import parametrizations, prune

from symdiscover.errors import NotAdmissible, SymmetryError
from symdiscover.network import activation
from symdiscover.network.scaling import Scaling, scaling_of


def mlp(*widths: int, act=lambda: nn.LeakyReLU(0.1), bias: bool = True, seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for a, b in pairwise(widths):
        layers += [nn.Linear(a, b, bias=bias), act()]
    return nn.Sequential(*layers[:-1]).double().eval()


def named(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach() for name, value in model.named_parameters()}


def output_change(model: nn.Module, parameters, x: torch.Tensor) -> float:
    """The largest change of an output, over the sum of the sizes of the terms that make up the largest one."""
    sizes = {name: value.abs() for name, value in named(model).items()}
    with torch.no_grad():
        change = (functional_call(model, dict(parameters), (x,)) - model(x)).abs().max()
        return float(change / functional_call(model, sizes, (x.abs(),)).abs().max())


def elements(size: int, scale: float, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(size, dtype=torch.float64, generator=generator)


INPUTS = torch.randn(17, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


@settings(max_examples=40)
@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=4),
    st.booleans(),
    st.sampled_from([nn.ReLU, nn.PReLU, nn.RReLU, nn.Identity, lambda: nn.LeakyReLU(0.1)]),
    st.floats(0.01, 2.0),
    st.integers(0, 10**6),
)
def test_outputs_are_equal_for_every_input_to_rounding(hidden, bias, act, scale, seed) -> None:
    model = mlp(5, *hidden, 3, act=act, bias=bias, seed=seed)
    action = scaling_of(model)
    moved = action(elements(action.size, scale, seed), named(model))
    assert output_change(model, moved, INPUTS) <= 1e-14
    assert not torch.equal(moved["0.weight"], model[0].weight)


def test_a_forgotten_bias_and_a_wrong_power_are_detected_by_the_same_check() -> None:
    model = mlp(5, 8, 8, 3)
    action = scaling_of(model)
    element = elements(action.size, 0.3, 0)
    moved = action(element, named(model))
    assert output_change(model, moved, INPUTS) < 1e-14
    assert output_change(model, {**moved, "0.bias": model[0].bias}, INPUTS) > 1e-3
    twice = Scaling(tuple(pair.__class__(**{**vars(pair), "degree": 1.01}) for pair in action.pairs))
    assert output_change(model, twice(element, named(model)), INPUTS) > 1e-4


def test_the_laws_of_a_group_action() -> None:
    model = mlp(5, 6, 7, 3)
    action, w = scaling_of(model), named(model)
    g, h = elements(action.size, 0.5, 1), elements(action.size, 0.5, 2)

    def largest(a, b) -> float:
        return max(float((a[name] - b[name]).abs().max()) for name in w)

    assert largest(action(torch.zeros(13), w), w) == 0
    assert largest(action(g + h, w), action(g, action(h, w))) < 1e-14
    assert largest(action(-g, action(g, w)), w) < 1e-15 * 10
    assert largest(action(g - h, w), action(g, action(h, w))) > 1e-2  # the other order of signs is told apart


def test_parameters_that_no_pair_touches_stay_the_same_tensors() -> None:
    model = mlp(5, 6, 3)
    w = named(model)
    moved = scaling_of(model)(elements(6, 0.5, 1), w)
    assert moved["2.bias"] is w["2.bias"]
    assert moved["2.weight"] is not w["2.weight"]
    assert w["0.weight"].equal(model[0].weight)  # pure


def test_derivatives_with_respect_to_element_and_parameters() -> None:
    model = mlp(3, 4, 2)
    action, w = scaling_of(model), named(model)
    weights = [value.requires_grad_() for value in w.values()]

    def moved(element, *values):
        return tuple(action(element, dict(zip(w, values, strict=True))).values())

    assert torch.autograd.gradcheck(moved, (elements(4, 0.5, 1).requires_grad_(), *weights))


def test_degree_two_moves_the_next_layer_by_the_square(monkeypatch) -> None:
    class Square(nn.Module):
        def forward(self, x):
            return x.square()

    model = mlp(5, 6, 3, act=Square)
    with pytest.raises(NotAdmissible, match="Square"):
        scaling_of(model)
    monkeypatch.setitem(activation.EXPRESSIONS, Square, lambda module: activation.Z**2)
    action = scaling_of(model)
    assert action.pairs[0].degree == 2
    assert output_change(model, action(elements(6, 0.5, 0), named(model)), INPUTS) < 1e-14


def test_degrees_of_activations_in_a_row_multiply(monkeypatch) -> None:
    class Cube(nn.Module):
        def forward(self, x):
            return x**3

    monkeypatch.setitem(activation.EXPRESSIONS, Cube, lambda module: activation.Z**3)
    model = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), Cube(), nn.Dropout(), Cube(), nn.Linear(4, 2)).double()
    model.eval()
    action = scaling_of(model)
    assert action.pairs[0].degree == 9
    assert len(action.pairs[0].proofs) == 4
    assert output_change(model, action(elements(4, 0.1, 0), named(model)), INPUTS) < 1e-13


def test_a_false_row_is_contradicted_by_the_outputs(monkeypatch) -> None:
    """The proof is about the expression: what the module computes has to be looked at as well."""
    monkeypatch.setitem(activation.EXPRESSIONS, nn.Tanh, lambda module: activation.Z)
    model = mlp(5, 6, 3, act=nn.Tanh)
    assert output_change(model, scaling_of(model)(elements(6, 0.5, 0), named(model)), INPUTS) > 1e-3


def test_a_layer_of_another_kind_ends_a_pair() -> None:
    model = nn.Sequential(
        nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)
    ).double()
    action = scaling_of(model)
    assert [(pair.writer, pair.reader) for pair in action.pairs] == [("0", "2"), ("4", "6")]
    assert output_change(model, action(elements(8, 0.5, 0), named(model)), INPUTS) < 1e-14


def test_a_sequential_inside_counts_as_its_layers() -> None:
    inside = nn.Sequential(nn.ReLU(), nn.Linear(4, 4, bias=False))
    model = nn.Sequential(nn.Linear(5, 4), inside, nn.Sequential(nn.ReLU(), nn.Linear(4, 2))).double()
    action = scaling_of(model)
    assert [(pair.writer, pair.reader) for pair in action.pairs] == [("0", "1.1"), ("1.1", "2.1")]
    assert output_change(model, action(elements(8, 0.5, 0), named(model)), INPUTS) < 1e-14


def test_one_activation_module_used_twice_counts_twice() -> None:
    """`named_children` would skip the second: two layers would seem to have nothing between them."""
    tanh = nn.Tanh()
    with pytest.raises(NotAdmissible, match="Tanh"):
        scaling_of(nn.Sequential(nn.Linear(5, 4), tanh, nn.Linear(4, 4), tanh, nn.Linear(4, 2)))
    relu = nn.ReLU()
    model = nn.Sequential(nn.Linear(5, 4), relu, nn.Linear(4, 4), relu, nn.Linear(4, 2)).double()
    action = scaling_of(model)
    assert [len(pair.proofs) for pair in action.pairs] == [1, 1]
    assert output_change(model, action(elements(8, 0.5, 0), named(model)), INPUTS) < 1e-14


class Residual(nn.Sequential):
    def forward(self, x):
        return x + super().forward(x)


class OwnLinear(nn.Linear):
    def forward(self, x):
        return super().forward(x) + 1


def tied() -> nn.Sequential:
    model = mlp(4, 4, 4, 4)
    model[4].weight = model[0].weight
    return model


def transposed_view() -> nn.Sequential:
    model = mlp(4, 4, 4)
    model[2].weight = nn.Parameter(model[0].weight.detach().T)
    return model


def repeated_layer() -> nn.Sequential:
    layer = nn.Linear(4, 4)
    return nn.Sequential(layer, nn.ReLU(), layer)


def frozen() -> nn.Sequential:
    model = mlp(4, 4, 4)
    model[0].bias.requires_grad_(False)
    return model


def parametrised() -> nn.Sequential:
    model = mlp(4, 4, 4)
    parametrizations.weight_norm(model[0])
    return model


def pruned() -> nn.Sequential:
    model = mlp(4, 4, 4)
    prune.l1_unstructured(model[0], "weight", amount=0.5)
    return model


@pytest.mark.parametrize(
    ("model", "node", "words"),
    [
        (nn.Linear(3, 3), "Linear", "no plain nn.Sequential"),
        (Residual(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4)), "Residual", "no plain nn.Sequential"),
        (nn.Sequential(nn.Linear(3, 3)), "model", "no hidden units"),
        (nn.Sequential(nn.ReLU()), "model", "no hidden units"),
        (mlp(4, 4, 4, act=nn.GELU), "1", "GELU is not positively homogeneous"),
        (mlp(4, 4, 4, act=nn.Hardtanh), "1", "Hardtanh is not positively homogeneous"),
        (mlp(4, 4, 4, act=lambda: nn.LayerNorm(4)), "1", "LayerNorm is no activation"),
        (mlp(4, 4, 4, act=lambda: nn.Flatten()), "1", "Flatten is no activation"),
        (mlp(4, 4, 4, act=lambda: Residual(nn.ReLU())), "1", "Residual is no activation"),
        (
            nn.Sequential(nn.Linear(4, 4), nn.ReLU(), OwnLinear(4, 4)),
            "2",
            "OwnLinear may compute something else",
        ),
        (nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.LazyLinear(4)), "2", "LazyLinear may compute"),
        (tied(), "0", "weight is tied"),
        (transposed_view(), "0", "weight is tied"),
        (repeated_layer(), "0", "runs more than once"),
        (frozen(), "0", "bias is frozen"),
        (parametrised(), "0", "parametrised"),
        (pruned(), "0", "computed from other parameters"),
    ],
)
def test_a_refusal_names_the_place_the_reason_and_a_remedy(model, node, words) -> None:
    with pytest.raises(NotAdmissible, match=words) as caught:
        scaling_of(model)
    assert caught.value.node == node
    assert caught.value.reason and caught.value.remedy
    assert caught.value.reason in str(caught.value) and caught.value.remedy in str(caught.value)


def test_pairs_beside_a_refused_one_are_still_found() -> None:
    model = tied()
    model.append(nn.ReLU()).append(nn.Linear(4, 2))
    model.double()
    assert [pair.writer for pair in scaling_of(mlp(4, 4, 4, 4, 2)).pairs] == ["0", "2", "4"]
    with pytest.raises(NotAdmissible):
        scaling_of(model)  # 0 and 4 are tied, and every pair holds one of them
    model[4].weight = nn.Parameter(model[4].weight.detach().clone())
    assert [pair.writer for pair in scaling_of(model).pairs] == ["0", "2", "4"]


def test_a_frozen_bias_of_the_reader_is_not_moved_and_does_not_matter() -> None:
    model = mlp(4, 4, 4)
    model[2].bias.requires_grad_(False)
    assert scaling_of(model).size == 4


def test_views_of_one_buffer_that_do_not_overlap_are_not_tied() -> None:
    model = mlp(4, 4, 4)
    flat = torch.randn(32, dtype=torch.float64)
    model[0].weight, model[2].weight = (nn.Parameter(part.view(4, 4)) for part in flat.split(16))
    assert scaling_of(model).size == 4


@pytest.mark.parametrize("shape", [(), (12,), (14,), (2, 13)])
def test_an_element_of_another_shape_is_refused(shape) -> None:
    model = mlp(5, 6, 7, 3)
    with pytest.raises(SymmetryError, match="13 hidden units"):
        scaling_of(model)(torch.zeros(shape), named(model))


def test_foreign_parameters_are_refused() -> None:
    with pytest.raises(SymmetryError, match=r"0\.weight is missing"):
        scaling_of(mlp(5, 6, 3))(torch.zeros(6), {"weight": torch.ones(1)})


def test_the_proof_of_each_pair_is_sympys() -> None:
    (pair,) = scaling_of(mlp(5, 6, 3)).pairs
    assert pair.proofs[0].expression == sp.Piecewise(
        (activation.Z, activation.Z >= 0), (activation.Z / 10, True)
    )
    assert pair.parameters == ("0.weight", "0.bias", "2.weight")
