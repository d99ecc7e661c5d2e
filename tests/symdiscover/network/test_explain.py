"""Explanations and refusals: every parameter axis is in a pair or has a reason, and the reason is the right one."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from symdiscover.network.examples import Skips, Transformer, convolutional, mlp
from symdiscover.network.explain import explain
from symdiscover.network.pairs import Pair, analyse, find_pairs
from symdiscover.network.paragraphs import Explanation, Paragraph, Sentence, summed
from symdiscover.network.refusals import CONSEQUENCES, Refusal, Why, refusals
from symdiscover.network.trace import LayerGraph, trace
from tests.symdiscover.network import styles_other  # noqa: F401  (its styles enter the table)
from tests.symdiscover.network.models import STYLES
from tests.symdiscover.network.shown import Joined, Recurrent, Returned

#: Each with an input that it accepts.
MODELS: dict[str, Callable[[], tuple[nn.Module, torch.Tensor]]] = {
    "mlp": lambda: (mlp(), torch.ones(1, 4)),
    "tanh": lambda: (mlp(nn.Tanh()), torch.ones(1, 4)),
    "prelu": lambda: (mlp(nn.PReLU()), torch.ones(1, 4)),
    "skips": lambda: (Skips(), torch.ones(2, 4)),
    "convolutional": lambda: (convolutional(), torch.ones(2, 3, 8, 8)),
    "transformer": lambda: (Transformer(), torch.arange(10).view(2, 5)),
    "tied": lambda: (Transformer(1, tied=True), torch.arange(10).view(2, 5)),
    "returned": lambda: (Returned(), torch.ones(2, 4)),
    "recurrent": lambda: (Recurrent(), torch.ones(2, 3, 4)),
    "joined": lambda: (Joined(), torch.ones(2, 4)),
}


@functools.cache
def traced(name: str) -> tuple[nn.Module, LayerGraph]:
    torch.manual_seed(0)
    model, x = MODELS[name]()
    return model, trace(model, x)


@functools.cache
def explained(name: str) -> str:
    return explain(traced(name)[1])


def by_axis(found: list[Refusal]) -> dict[str, Refusal]:
    return {where: refusal for refusal in found for where in refusal.where.split(", ")}


def unaccounted(graph: LayerGraph, pairs: list[Pair], found: list[Refusal]) -> set[str]:
    """Parameter axes that are in no pair and in no refusal, or in both."""
    ends = {end for pair in pairs for end in (*pair.writers, *pair.readers)}
    refused = {where for where in by_axis(found) if not where.endswith(")")}
    every = {axis.name for axis in Why(analyse(graph), pairs).axes}
    return (every - ends - refused) | (ends & refused)


@pytest.mark.parametrize("name", MODELS)
def test_every_axis_is_in_a_pair_or_refused_with_a_cause(name: str) -> None:
    graph = traced(name)[1]
    pairs = find_pairs(graph)
    found = refusals(graph, pairs)
    assert not unaccounted(graph, pairs, found)
    assert not [r for r in found if r.reason in CONSEQUENCES or not r.reason]
    if found:
        assert unaccounted(graph, pairs, found[1:])


@pytest.mark.parametrize(
    ("name", "axis", "reason"),
    [
        ("mlp", "0.weight:1", "it reads the input of the model"),
        ("mlp", "2.bias:0", "it is an output of the model"),
        ("prelu", "1.weight:0", "PReLU lets positive scales pass, its slopes are not scaled"),
        ("convolutional", "0.weight:0", "BatchNorm has running statistics"),
        ("transformer", "wte.weight:0", "rows are chosen by indices that are data"),
        ("tied", "wte.weight:0", "it is tied to head.weight, and it is an output of the model"),
        ("returned", "a.weight:0", "these hidden values are returned by the model as well"),
        ("returned", "o.weight:1", "these hidden values are returned by the model as well"),
        ("returned", "o.weight:0", "it is an output of the model"),
        ("recurrent", "lstm.weight_hh_l0:0", "the operation lstm has no rule"),
        ("recurrent", "o.weight:1", "it reads what lstm returns (the operation lstm has no rule)"),
        ("joined", "c.weight:1 (4 of 7)", "it reads the input of the model"),
    ],
)
def test_the_reason_that_says_most_is_given(name: str, axis: str, reason: str) -> None:
    assert by_axis(refusals(traced(name)[1]))[axis].reason.startswith(reason)


def test_a_hidden_value_that_is_not_returned_is_not_refused() -> None:
    model = Returned(hidden=False)
    assert "a.weight:0" not in by_axis(refusals(trace(model, torch.ones(2, 4))))


def test_frozen_parameters_are_named_where_they_hold_others() -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
    model[0].requires_grad_(False)
    found = by_axis(refusals(trace(model, torch.ones(1, 4))))
    assert found["0.weight:0"] == found["0.bias:0"]
    assert found["0.weight:0"].reason == "it is frozen (requires_grad is False)"
    assert found["2.weight:1"].reason == "0.weight is frozen (requires_grad is False)"
    assert found["2.weight:1"].remedy == "requires_grad_(True)"
    model[0].requires_grad_(True)
    assert "2.weight:1" not in by_axis(refusals(trace(model, torch.ones(1, 4))))


def test_parameters_without_a_use_or_without_axes() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.unused = nn.Linear(4, 4), nn.Linear(3, 3)
            self.gain = nn.Parameter(torch.tensor(2.0))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = self.gain * self.a(x)
            return result

    model = Odd()
    found = by_axis(refusals(trace(model, torch.ones(1, 4))))
    assert found["unused.weight:0"].reason == "it is not used in the forward pass"
    assert "one number" in found["gain"].reason
    assert "unused (Linear): Nothing acts on it: it is not used" in explain(trace(model, torch.ones(1, 4)))
    assert "a (Linear): Nothing acts on it" not in explain(trace(model, torch.ones(1, 4)))
    assert "gain (parameter): Nothing acts on its" in explain(trace(model, torch.ones(1, 4)))


# sentences

SAID: list[tuple[str, str]] = [
    ("mlp", "The 8 hidden units between 0 and 2 may be scaled by positive numbers and permuted: ReLU is positively homogeneous of degree 1."),
    ("tanh", "may change sign and be permuted: tanh is odd."),
    ("convolutional", "The running statistics of BatchNorm are buffers: they are not moved."),
    ("transformer", "In each of the 2 heads, the 4 hidden units inside h.i.qkv (queries against keys) may be multiplied by any invertible matrix, GL(4)"),
    ("transformer", "The 2 heads between h.i.qkv and h.i.proj may change places as wholes."),
    ("transformer", "h.i.fc for i = 0 to 2 (Linear): The 16 hidden units between h.i.fc and h.i.back may be permuted. GELU is neither"),
    ("tied", "Its rows write the output of the model; it is tied to head.weight."),
    ("recurrent", "lstm (LSTM): Nothing acts on it: the operation lstm has no rule."),
    ("joined", "4 of its 7 columns read the input of the model."),
]  # fmt: skip


@pytest.mark.parametrize(("name", "sentence"), SAID)
def test_a_sentence_is_said_where_it_holds(name: str, sentence: str) -> None:
    assert sentence in explained(name)
    assert sentence not in explained("skips")


@pytest.mark.parametrize("name", MODELS)
def test_every_layer_has_a_paragraph(name: str) -> None:
    model, text = traced(name)[0], explained(name)
    heads = [paragraph.partition(": ")[0] for paragraph in text.split("\n\n")]
    layers = {key.rpartition(".")[0] for key, _ in model.named_parameters()}
    covered = {
        head.partition(" ")[0].replace(".i.", f".{i}.")
        for head in heads
        for i in range(3)
        if i == 0 or "for i = 0 to 2" in head
    }
    assert layers <= covered
    assert len(heads) < len(layers) + 2
    assert "weight decay" in text or "no pair" in text
    assert not re.search(r"\.\.|:\s*:|  ", text)


def test_what_was_measured_is_said() -> None:
    graph = traced("mlp")[1]
    (pair,) = find_pairs(graph)
    assert "outputs change by 3e-11." in explain(graph, [replace(pair, error=3e-11)])
    assert "outputs keep every bit." in explain(graph, [replace(pair, error=0.0)])
    unchecked = explain(graph, [replace(pair, error=None)])
    assert "not run." in unchecked and "None was checked" in unchecked
    assert "None was checked" not in explain(graph)


def test_a_model_on_the_meta_device_is_explained() -> None:
    with torch.device("meta"):
        model = mlp()
        x = torch.ones(1, 4)
    assert "None was checked by running the model" in explain(trace(model, x))


def test_a_saved_program_is_explained(tmp_path: Any) -> None:
    from symdiscover.network.trace import load_program

    path = tmp_path / "model.pt2"
    torch.export.save(torch.export.export(mlp(), (torch.ones(2, 4),)), path)
    assert "0 (Linear): The 8 hidden units between 0 and 2 may be scaled" in explain(
        trace(load_program(path))
    )


def test_an_explanation_is_markdown_in_a_notebook() -> None:
    text = Explanation("a_1 (Linear): x < y.\n\nIn all: nothing.")
    assert text._repr_markdown_() == "**a\\_1 (Linear)**: x \\< y.\n\n**In all**: nothing."
    assert str(text) == "a_1 (Linear): x < y.\n\nIn all: nothing."


# repeated blocks


def block(index: int, text: str = "between h.{} and h.{}", error: float = 1e-16) -> list[Paragraph]:
    said = (Sentence(text.format(index, index + 1), True, error), Sentence("It ends."))
    return [Paragraph(f"h.{index}.a", "Linear", said), Paragraph(f"h.{index}.b", "Linear", (Sentence("x"),))]


def test_equal_blocks_are_said_once() -> None:
    first, *_ = result = summed([*block(0), *block(1, error=3e-16), *block(2)])
    assert [p.name for p in result] == ["h.i.a for i = 0 to 2", "h.i.b for i = 0 to 2"]
    assert str(first) == (
        "h.i.a for i = 0 to 2 (Linear): between h.i and h.(i+1) For all inputs; outputs change by 3e-16. It ends."
    )


def test_blocks_that_differ_are_said_apart() -> None:
    different = [*block(0), *block(1, "between h.{} and k.{}"), *block(2)]
    assert summed(different) == different
    gap = [*block(0), *block(2)]
    assert summed(gap) == gap
    numbers = [Paragraph(str(k), "Linear", (Sentence("y"),)) for k in range(3)]
    assert summed(numbers) == numbers


def test_planes_of_rotary_embeddings_turn() -> None:
    graphs = {
        name: trace(*_model(name)) for name in ("rotary_attention", "rotary_attention_without_rotated_keys")
    }
    texts = {name: explain(graph) for name, graph in graphs.items()}
    said = "may be turned in their planes (SO(2)^4): rotary position embeddings commute with turning these planes"
    assert said in texts["rotary_attention"]
    assert "turned in" not in texts["rotary_attention_without_rotated_keys"]


def _model(name: str) -> tuple[object, ...]:
    model, inputs, _ = STYLES[name].make()
    KEPT.append(model)
    return model, *inputs


#: A graph holds its model weakly.
KEPT: list[object] = []
