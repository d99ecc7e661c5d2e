"""Pictures and diagrams of layer graphs: what is in them, that nothing overlaps, and that names cannot break them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.text import Text
from torch import nn

from symdiscover.network.draw import draw, to_dot, to_mermaid
from symdiscover.network.examples import Block, Skips, Transformer, convolutional, mlp
from symdiscover.network.layout import Band, Box, Layout, layout
from symdiscover.network.pairs import find_pairs
from symdiscover.network.trace import LayerGraph, trace
from tests.symdiscover.network.shown import Returned

MODELS: dict[str, Callable[[], tuple[nn.Module, torch.Tensor]]] = {
    "mlp": lambda: (mlp(), torch.ones(1, 4)),
    "skips": lambda: (Skips(), torch.ones(2, 4)),
    "convolutional": lambda: (convolutional(), torch.ones(2, 3, 8, 8)),
    "block": lambda: (Block(), torch.ones(2, 5, 8)),
    "tied": lambda: (Transformer(1, tied=True), torch.arange(10).view(2, 5)),
    "returned": lambda: (Returned(), torch.ones(2, 4)),
}


def traced(name: str) -> tuple[nn.Module, LayerGraph]:
    torch.manual_seed(0)
    model, x = MODELS[name]()
    return model, trace(model, x)


def overlaps(figure: Figure) -> list[tuple[str, str]]:
    """Texts of a picture that lie over one another, or outside of it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    axes = figure.axes[0]
    legend = axes.get_legend()
    texts: list[Text] = [*axes.texts, *(legend.get_texts() if legend else [])]
    boxes = [(t.get_text(), t.get_window_extent(renderer).shrunk(0.98, 0.9)) for t in texts]
    page = figure.bbox
    outside = [
        (a, "page") for a, box in boxes if box.x0 < 0 or box.y0 < 0 or box.x1 > page.x1 or box.y1 > page.y1
    ]
    return outside + [
        (a, b) for k, (a, one) in enumerate(boxes) for b, other in boxes[:k] if one.overlaps(other)
    ]


@pytest.mark.parametrize("name", MODELS)
def test_a_picture_shows_every_parameter_and_group_apart(name: str, tmp_path: Path) -> None:
    model, graph = traced(name)
    pairs = find_pairs(graph)
    figure = draw(graph, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert overlaps(figure) == []
    shown = [text.get_text() for text in figure.axes[0].texts]
    for key, parameter in model.named_parameters():
        assert f"{key}  {' x '.join(map(str, parameter.shape))}" in shown
    legend = figure.axes[0].get_legend()
    groups = [t.get_text().split("  ", 1)[1].split(" x ")[-1] for t in legend.get_texts()] if legend else []
    assert {pair.group.split(" x ")[-1] for pair in pairs} == set(groups)
    width, height = figure.get_size_inches()
    assert width < 10 and height < 12


def test_texts_over_one_another_are_noticed() -> None:
    model, graph = traced("mlp")
    figure = draw(graph)
    assert overlaps(figure) == []
    first, second = figure.axes[0].texts[:2]
    second.set_position(first.get_position())
    assert overlaps(figure)
    second.set_position((-5, 0))
    assert [b for _, b in overlaps(figure)] == ["page"]
    del model


def test_drawing_finds_the_pairs_that_were_not_found_and_keeps_those_that_were() -> None:
    model, graph = traced("mlp")
    drawn = layout(graph)
    assert [band.group for band in drawn.bands] == ["PositiveScaling(8) x| Permutation(8)"]
    assert drawn.bands[0].ends == (("p_0_bias", 0, 1), ("p_0_weight", 0, 1), ("p_2_weight", 1, -1))
    graph.nodes["space 0"]["group"] = "mine"
    assert [band.group for band in layout(graph).bands] == ["mine"]
    del model


# what is drawn


def out_of_order(drawn: Layout) -> list[tuple[str, str]]:
    return [(a, b) for a, b in drawn.edges if drawn.boxes[a].layer >= drawn.boxes[b].layer]


@pytest.mark.parametrize("name", MODELS)
def test_operations_stand_in_layers_and_movements_are_left_out(name: str) -> None:
    model, graph = traced(name)
    drawn = layout(graph)
    assert out_of_order(drawn) == []
    layers = drawn.layers()
    assert [box.layer for row in layers for box in row] == [k for k, row in enumerate(layers) for _ in row]
    texts = [box.text for box in drawn.boxes.values()]
    assert not {"view", "transpose", "split", "getitem", "reshape", "flatten"} & set(texts)
    assert texts[-1] == "output" and len(texts) < 16
    taken = {p for box in drawn.boxes.values() for p in box.parameters}
    assert taken == set(drawn.parameters)
    a, b = drawn.edges[0]
    drawn.boxes[b] = Box(b, "", "op", (), drawn.boxes[a].layer)
    assert out_of_order(drawn)
    del model


def test_heads_are_one_band_and_tied_weights_one_parameter() -> None:
    model, graph = traced("tied")
    drawn = layout(graph)
    assert sorted(band.text for band in drawn.bands if "GL" in band.text) == ["2 x GL(4)", "2 x GL(4)"]
    assert [p.text for p in drawn.parameters.values()].count("wte.weight  11 x 8") == 1
    assert sum("p_wte_weight" in box.parameters for box in drawn.boxes.values()) == 2
    untied = Transformer(1)
    apart = layout(trace(untied, torch.arange(10).view(2, 5)))
    assert len(apart.parameters) == len(drawn.parameters) + 1
    assert Band("R^2", 1, ()).text == "R^2"
    del model


# text


def fault(diagram: str, language: str) -> str:
    """The first line of a diagram that is not of the few forms that are written."""
    node, word = r"\w+", r'"[^"]*"' if language == "mermaid" else r'"(?:[^"\\]|\\.)*"'
    forms = {
        "mermaid": rf"flowchart TD|  {node}(\[{word}\]|\[/{word}/\]|\(\[{word}\]\)| --> {node}| --- {node}| -\. axis \d+ \.-> {node})",
        "dot": rf"digraph layers {{|}}|  node \[.*\];|  {node}( -> {node})?( \[(label={word}|arrowhead=none|style=dashed|shape=\w+|, )+\])?;",
    }
    return next((line for line in diagram.splitlines() if not re.fullmatch(forms[language], line)), "")


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("language", "write"), [("mermaid", to_mermaid), ("dot", to_dot)])
def test_diagrams_are_well_formed_and_complete(
    name: str, language: str, write: Callable[[LayerGraph], str]
) -> None:
    model, graph = traced(name)
    diagram, drawn = write(graph), layout(graph)
    assert fault(diagram, language) == ""
    nodes = set(re.findall(r"\b[ns]\d+\b(?=[ \[(;]|$)", diagram))
    assert len(nodes) == len(drawn.boxes) + len(drawn.parameters) + len(drawn.bands)
    assert diagram.count("axis ") == sum(len(band.ends) for band in drawn.bands)
    assert fault(diagram + '\n  n1["a" b"]', language)
    del model


@pytest.mark.parametrize(
    "name", ['a"]; b [label="', "a-->b", "a|b", "end", "<script>", "a\\", "$x$", "a\nb", "ß", "a#34;"]
)
def test_no_name_of_a_layer_breaks_a_diagram(name: str) -> None:
    model, fresh = traced("mlp")
    find_pairs(fresh)
    fresh.nodes["p_2_bias"]["key"] = name
    mermaid, dot = to_mermaid(fresh), to_dot(fresh)
    assert fault(mermaid, "mermaid") == "" and fault(dot, "dot") == ""
    assert "<script>" not in mermaid
    figure = draw(fresh)
    assert "\\$" in str([t.get_text() for t in figure.axes[0].texts]) or "$" not in name
    del model
