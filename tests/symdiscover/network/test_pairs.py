"""Every style of model has exactly its pairs; each pair is a group that acts and leaves the outputs alone; wrong elements do not."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
import torch

from symdiscover.errors import NotAdmissible, SymmetryError
from symdiscover.network import LayerGraph, Pair, check, find_pairs, trace
from symdiscover.network.check import Twin
from symdiscover.network.moves import OnesMove, ShiftMove
from tests.symdiscover.network import styles_dense, styles_other
from tests.symdiscover.network.models import STYLES, claim, claims, compose

assert styles_dense and styles_other  # importing them fills the table
TRACED = sorted(name for name, style in STYLES.items() if style.refused is None)
REFUSED = sorted(name for name, style in STYLES.items() if style.refused is not None)
CLAIMING = [name for name in TRACED if STYLES[name].claims and name != "meta"]
TOLERANCE = 1e-10
FELT = 1e-6


@dataclass(frozen=True)
class Found:
    """A traced style: held here, for the graph holds its model weakly."""

    model: torch.nn.Module
    graph: LayerGraph
    pairs: list[Pair]
    twin: Twin


@functools.cache
def found(name: str) -> Found:
    model, inputs, keywords = STYLES[name].make()
    graph = trace(model, *inputs, **keywords)
    return Found(model, graph, find_pairs(graph), Twin(graph, seed=1))


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def largest(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    return max(float((a[k] - b[k]).abs().max() / (1 + b[k].abs().max())) for k in b if b[k].numel())


# --- which pairs ---


def has_exactly_its_pairs(name: str) -> None:
    assert claims(found(name).pairs) == STYLES[name].claims


def test_the_comparison_tells_pairs_apart() -> None:
    right = "Scales(6): 0.weight:0 0.bias:0 -> 2.weight:1"
    (wanted,) = STYLES["sequential"].claims
    assert claim(right) == wanted
    for wrong in (
        right.replace("Scales", "Signed"), right.replace("6", "5"), right.replace(" 0.bias:0", ""),
        right.replace("2.weight:1", "2.weight:0"), right.replace("->", "-> 0.bias:0"),
    ):  # fmt: skip
        assert claim(wrong) != wanted


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_traced_is_refused_with_the_reason(name: str) -> None:
    model, inputs, keywords = STYLES[name].make()
    with pytest.raises(NotAdmissible) as caught:
        trace(model, *inputs, **keywords)
    message = str(caught.value)
    assert STYLES[name].refused in message
    assert "what would help" in message and "\n" not in message and "Traceback" not in message


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(SymmetryError, match=r"nn\.Module"):
        trace(lambda x: x, torch.ones(1))


def test_a_pair_on_the_meta_device_is_claimed_and_not_checked() -> None:
    model, inputs, _ = STYLES["meta"].make()
    (pair,) = find_pairs(trace(model, *inputs))
    assert pair.error is None and all(p.is_meta for p in model.parameters())


def errors_are_measured(name: str) -> None:
    assert all(pair.error is not None and pair.error <= TOLERANCE for pair in found(name).pairs)


def test_a_false_claim_is_never_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    here = found("sequential")
    (pair,) = here.pairs
    with pytest.raises(SymmetryError, match="does not hold"):
        check.checked(here.graph, [replace(pair, moves=pair.moves[:-1])])
    assert check.checked(here.graph, [pair])


# --- outputs ---


def outputs_are_equal_under_elements_of_the_whole_group(name: str) -> None:
    here = found(name)
    for pair in here.pairs:
        for seed, scale in ((1, 0.3), (2, 1.0)):
            moved = pair.act(pair.random(scale, generator(seed)), here.twin.weights)
            assert here.twin.change(moved) <= TOLERANCE, (pair, scale)


def outputs_are_equal_when_all_pairs_act_one_after_the_other(name: str) -> None:
    here = found(name)
    weights = here.twin.weights
    for k, pair in enumerate(here.pairs):
        weights = pair.act(pair.random(generator=generator(k)), weights)
    assert here.twin.change(weights) <= TOLERANCE


def wrong(pair: Pair, free: frozenset[str]) -> Iterator[tuple[str, Pair]]:
    """The pair with one part of its action forgotten; what moves free entries, or is a symmetry by itself, may be."""
    for k, move in enumerate(pair.moves):
        rest, key = pair.moves[:k] + pair.moves[k + 1 :], getattr(move, "key", "")
        if rest and len(pair.parameters) > 1 and not isinstance(move, OnesMove) and key not in free:
            yield f"{type(move).__name__} of {key} forgotten", replace(pair, moves=rest)
        if isinstance(move, ShiftMove):
            for key, _ in move.leaves if len(move.leaves) > 1 else ():
                leaves = tuple(leaf for leaf in move.leaves if leaf[0] != key)
                moves = (*pair.moves[:k], replace(move, leaves=leaves), *pair.moves[k + 1 :])
                yield f"shift of {key} forgotten", replace(pair, moves=moves)


def a_forgotten_move_changes_the_outputs(name: str) -> None:
    here = found(name)
    for pair in here.pairs:
        elements = [pair.random(0.5, generator(seed)) for seed in range(3)]
        for text, half in wrong(pair, STYLES[name].free):
            assert max(here.twin.change(half.act(e, here.twin.weights)) for e in elements) > FELT, (
                text,
                pair,
            )


@pytest.mark.slow
@pytest.mark.parametrize("name", CLAIMING)
def test_a_bent_move_changes_the_outputs_unless_the_entries_are_free(name: str) -> None:
    """Each moved parameter in turn goes another way: what a pair moves matters, but for what no output sees."""
    here, free = found(name), STYLES[name].free
    for pair in here.pairs:
        elements = [pair.random(0.5, generator(seed)) for seed in range(3)]
        for key in pair.parameters:
            worst = 0.0
            for seed, element in enumerate(elements):
                old = here.twin.weights[key]
                moved = pair.act(element, here.twin.weights)
                noise = torch.randn(old.shape, generator=generator(seed), dtype=torch.float64)
                worst = max(worst, here.twin.change(moved | {key: old + (moved[key] - old) * noise}))
            if key not in free:
                assert worst > FELT, (key, pair)
            elif (
                pair.parameters == (key,) and not pair.readers
            ):  # the claim is that nothing sees these entries
                assert worst <= TOLERANCE, (key, pair)


# --- a group that acts ---


def the_identity_moves_nothing(name: str) -> None:
    here = found(name)
    for pair in here.pairs:
        moved = pair.act(pair.identity(), here.twin.weights)
        assert largest(moved, here.twin.weights) <= 1e-15
        elements = [pair.random(0.5, generator(seed)) for seed in range(6)]
        assert max(largest(pair.act(e, here.twin.weights), here.twin.weights) for e in elements) > FELT


def acting_twice_is_acting_with_the_product(name: str) -> None:
    here = found(name)
    for pair in here.pairs:
        g, h = (pair.random(0.5, generator(seed)) for seed in (5, 6))
        twice = pair.act(g, pair.act(h, here.twin.weights))
        assert largest(twice, pair.act(compose(g, h), here.twin.weights)) <= 1e-12, pair
    bent = {k: v + 0.1 for k, v in twice.items()}
    assert largest(bent, pair.act(compose(g, h), here.twin.weights)) > FELT


def test_the_order_of_the_product_matters() -> None:
    here = found("raw_linear")
    pair = next(p for p in here.pairs if p.group == "GL(6)")
    g, h = (pair.random(0.5, generator(seed)) for seed in (5, 6))
    twice = pair.act(g, pair.act(h, here.twin.weights))
    assert largest(twice, pair.act(compose(h, g), here.twin.weights)) > FELT


def acting_is_pure(name: str) -> None:
    here = found(name)
    before = {key: value.clone() for key, value in here.twin.weights.items()}
    for pair in here.pairs:
        element = pair.random(0.5, generator(7))
        kept = {key: value.clone() for key, value in element.items()}
        moved = pair.act(element, here.twin.weights)
        assert all(torch.equal(kept[key], element[key]) for key in kept)
        assert all(torch.equal(before[key], value) for key, value in here.twin.weights.items())
        for key, value in moved.items():
            assert value.dtype == before[key].dtype and value.shape == before[key].shape
            assert key in pair.parameters or value is here.twin.weights[key]


#: What holds for every pair; each is checked on every style that has pairs.
LAWS = (
    errors_are_measured,
    outputs_are_equal_under_elements_of_the_whole_group,
    outputs_are_equal_when_all_pairs_act_one_after_the_other,
    a_forgotten_move_changes_the_outputs,
    the_identity_moves_nothing,
    acting_twice_is_acting_with_the_product,
    acting_is_pure,
)


@pytest.mark.parametrize("name", TRACED)
def test_a_style_has_exactly_its_pairs_and_they_are_groups_that_leave_the_outputs_alone(name: str) -> None:
    """In one test, so that each style is traced once."""
    has_exactly_its_pairs(name)
    for law in LAWS if name in CLAIMING else ():
        law(name)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_acting_keeps_the_dtype_of_the_weights(dtype: torch.dtype) -> None:
    here = found("skip")
    weights = {key: value.to(dtype) for key, value in here.twin.weights.items()}
    for pair in here.pairs:
        if dtype == torch.float32 or not pair.group.startswith("GL"):
            assert all(v.dtype == dtype for v in pair.act(pair.random(), weights).values())


@pytest.mark.parametrize(
    "name",
    ["sequential", "raw_linear", "tied_linear", "exponential", "layer_norm_before_a_linear_layer", "fused_attention",
     "softmax_inside", "depthwise"],
)  # fmt: skip
def test_the_action_is_differentiable_in_the_element_and_in_the_weights(name: str) -> None:
    here = found(name)
    for pair in here.pairs:
        if not pair.dimension:
            continue
        keys = pair.parameters
        rest = {key: value for key, value in here.twin.weights.items() if key not in keys}

        def act(xi: torch.Tensor, *moved: torch.Tensor, pair=pair, keys=keys, rest=rest) -> torch.Tensor:
            result = pair.act(pair.element(xi), rest | dict(zip(keys, moved, strict=True)))
            return torch.cat([result[key].reshape(-1) for key in keys])

        xi = 0.3 * torch.randn(pair.dimension, dtype=torch.float64, generator=generator(8))
        inputs = [xi, *(here.twin.weights[key].clone() for key in keys)]
        for value in inputs:
            value.requires_grad_()
        assert torch.autograd.gradcheck(act, inputs, fast_mode=True)


# --- many pairs ---


def deep(layers: int = 40) -> torch.nn.Module:
    torch.manual_seed(0)
    parts = [part for _ in range(layers) for part in (torch.nn.Linear(4, 4), torch.nn.LeakyReLU(0.5))]
    for part in parts[::2]:  # as large after as before, or the last layers do not feel the first
        torch.nn.init.orthogonal_(part.weight, gain=1.3)
    return torch.nn.Sequential(*parts, torch.nn.Linear(4, 2))


def test_many_pairs_are_checked_in_a_bounded_number_of_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    model = deep()
    graph = trace(model, torch.ones(1, 4))
    runs = []
    monkeypatch.setattr(Twin, "outputs", lambda self, w, old=Twin.outputs: runs.append(1) or old(self, w))
    pairs = find_pairs(graph)
    assert len(pairs) == 40 and all(pair.error is not None and pair.error <= TOLERANCE for pair in pairs)
    assert len(runs) == 1 + check.RUNS


@pytest.mark.parametrize("place", [0, 17, 39])
def test_a_false_claim_among_many_is_named(place: int) -> None:
    model = deep()
    graph = trace(model, torch.ones(1, 4))
    pairs = find_pairs(graph)
    pairs[place] = replace(pairs[place], moves=pairs[place].moves[:-1])
    with pytest.raises(SymmetryError, match=rf"does not hold: .* on {2 * place}\.weight"):
        check.checked(graph, pairs)


class Residual(torch.nn.Module):
    """A stream of 64 units and 200 layers that read it through norms."""

    def __init__(self, layers: int = 200, width: int = 64) -> None:
        super().__init__()
        self.start, self.end = torch.nn.Linear(16, width), torch.nn.Linear(width, 10)
        self.norms = torch.nn.ModuleList(torch.nn.LayerNorm(width) for _ in range(layers))
        self.layers = torch.nn.ModuleList(torch.nn.Linear(width, width) for _ in range(layers))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.start(x)
        for norm, layer in zip(self.norms, self.layers, strict=True):
            x = x + torch.relu(layer(norm(x)))
        return self.end(x)


@pytest.mark.slow
def test_two_hundred_layers_with_skips_and_norms() -> None:
    """Each norm: its gain, its offset, and what its reader does not see of it; one permutation of the stream is joined."""
    model = Residual()
    pairs = find_pairs(trace(model, torch.ones(2, 16)))
    groups = [pair.group for pair in pairs]
    assert groups.count("R^64") == 400 and len(pairs) == 601
    assert sum("Permutation" in group for group in groups) == 1
    assert all(pair.error is not None and pair.error <= TOLERANCE for pair in pairs)
