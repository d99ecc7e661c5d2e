"""Tracing leaves a model as it was, and a saved program gives the same pairs."""

from __future__ import annotations

import gc
import io
import resource
import warnings
from typing import Any

import pytest
import torch
from torch import nn

from symdiscover.errors import NotAdmissible, SymmetryError
from symdiscover.network import find_pairs, trace
from symdiscover.network.trace import load_program, refs
from tests.symdiscover.network import styles_dense, styles_other
from tests.symdiscover.network.models import STYLES, Net, claims

assert styles_dense and styles_other


def state(model: nn.Module) -> dict[str, Any]:
    """All that must stay as it is, to the bit; hooks and identities of tensors too."""
    tensors = {**dict(model.named_parameters(remove_duplicate=False)), **dict(model.named_buffers())}
    plain = {k: v for k, v in tensors.items() if not isinstance(v, nn.parameter.UninitializedTensorMixin)}
    return {
        "modes": [(name, module.training) for name, module in model.named_modules()],
        "identity": {k: (id(v), v.dtype, str(v.device), v.requires_grad) for k, v in tensors.items()},
        "bits": {k: v.detach().clone() for k, v in plain.items() if not v.is_meta},
        "gradients": {k: None if v.grad is None else v.grad.clone() for k, v in plain.items()},
        "random": torch.get_rng_state(),
        "default": torch.get_default_dtype(),
        "attributes": {name: sorted(module.__dict__) for name, module in model.named_modules()},
        "hooks": [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()],
    }


def equal(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        if a.shape != b.shape or a.dtype != b.dtype:
            return False
        return a.is_meta or bytes(a.reshape(-1).view(torch.uint8)) == bytes(b.reshape(-1).view(torch.uint8))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[k], b[k]) for k in a)
    return bool(type(a) is type(b) and a == b)


def graded(name: str) -> tuple[nn.Module, tuple[Any, ...], dict[str, Any]]:
    """A style with gradients, and every second module in the other mode."""
    model, inputs, keywords = STYLES[name].make()
    for k, module in enumerate(model.modules()):
        if not isinstance(module, nn.MultiheadAttention | nn.TransformerEncoderLayer):
            module.training = bool(k % 2)
    for value in model.parameters():
        if value.requires_grad and value.is_floating_point() and not nn.parameter.is_lazy(value):
            value.grad = torch.ones_like(value)
    return model, inputs, keywords


STATES = [
    "sequential", "dropout_in_training_mode", "batch_norm", "batch_norm_without_statistics", "spectral_norm", "weight_norm",
    "old_weight_norm", "orthogonal", "half", "meta", "lazy", "compiled", "lstm", "multihead_attention", "frozen_layer",
    "recurrence_by_hand",
]  # fmt: skip


@pytest.mark.parametrize("name", STATES)
def test_the_model_and_the_random_state_stay_as_they_were(name: str) -> None:
    model, inputs, keywords = graded(name)
    before = state(model)
    copies = [x.clone() for x in inputs]
    find_pairs(trace(model, *inputs, **keywords))
    assert equal(before, state(model))
    assert all(x.is_meta or torch.equal(x, kept) for x, kept in zip(inputs, copies, strict=True))


class Breaking(nn.Module):
    """Draws, writes a buffer, and fails."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.norm = nn.BatchNorm1d(4, momentum=None)
        self.drop = nn.Dropout()
        self.register_buffer("count", torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.count += 1
        h = self.drop(self.norm(self.layer(x))) + torch.randn(4)
        return h if h.sum().item() > 0 else -h


def test_the_state_stays_when_tracing_fails() -> None:
    model = Breaking()
    before = state(model)
    with pytest.raises(NotAdmissible):
        trace(model, torch.ones(3, 4))
    assert equal(before, state(model))
    model(torch.ones(3, 4))  # the comparison sees what one forward pass does
    assert not equal(before, state(model))


@pytest.mark.parametrize("change", ["mode", "bit", "gradient", "random", "dtype"])
def test_the_comparison_sees_every_kind_of_change(change: str) -> None:
    model, *_ = graded("sequential")
    before = state(model)
    if change == "mode":
        model[1].eval() if model[1].training else model[1].train()
    elif change == "bit":
        with torch.no_grad():
            model[0].bias[0] += 1e-7
    elif change == "gradient":
        model[0].bias.grad = None
    elif change == "random":
        torch.rand(1)
    else:
        model.half()
    assert not equal(before, state(model))


def test_a_graph_does_not_keep_its_model_alive() -> None:
    model, inputs, _ = STYLES["sequential"].make()
    graph = trace(model, *inputs)
    assert graph.model is model and len(graph.parameters()) == 4
    del model
    gc.collect()
    assert graph.model is None
    with pytest.raises(SymmetryError, match="no longer exists"):
        graph.parameters()


def test_a_tied_parameter_is_one() -> None:
    model, inputs, _ = STYLES["embedding_tied_to_the_output"].make()
    model.other = model.e.weight
    graph = trace(model, *inputs)
    assert list(graph.parameters()) == [name for name, _ in model.named_parameters()] == ["other"]
    model.apart = nn.Parameter(model.e.weight.detach().clone())
    model.function = lambda s, i: s.e(i) @ s.apart.mT
    assert sorted(trace(model, *inputs).parameters()) == ["apart", "other"]


def test_views_of_one_memory_are_not_claimed() -> None:
    def build(shared: bool) -> nn.Module:
        memory = torch.randn(6, 6)
        parts = [memory[:, :4], memory[:3]] if shared else [memory[:, :4].clone(), memory[:3].clone()]
        a, b = map(nn.Parameter, parts)
        return Net(lambda s, x: torch.relu(x @ s.a.mT) @ s.b.mT, a=a, b=b)

    shared, apart = build(True), build(False)
    assert not find_pairs(trace(shared, torch.ones(2, 4)))
    assert len(find_pairs(trace(apart, torch.ones(2, 4)))) == 1


def test_every_call_names_what_came_before_it() -> None:
    model, inputs, _ = STYLES["transformer_encoder_layer"].make()
    graph = trace(model, *inputs)
    seen = {leaf.name for leaf in graph.leaves}
    for call in graph.calls:
        assert seen.issuperset(refs(call))
        seen.add(call.name)
    assert graph.calls[-1].op == "output" and any(call.module == "linear1" for call in graph.calls)


# --- saved programs ---

PROGRAMS = ["sequential", "raw_linear", "layer_called_twice", "tied_linear", "dictionary_of_inputs", "keywords",
            "batch_norm", "depthwise", "transformer_encoder_layer", "softmax_at_the_end"]  # fmt: skip


def saved(name: str) -> io.BytesIO:
    model, inputs, keywords = STYLES[name].make()
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(torch.export.export(model.eval(), inputs, keywords, strict=False), file)
    file.seek(0)
    return file


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_saved_program_gives_the_pairs_of_its_model(name: str, tmp_path) -> None:
    path = tmp_path / "model.pt2"
    path.write_bytes(saved(name).read())
    pairs = find_pairs(trace(load_program(path)))
    assert claims(pairs) == STYLES[name].claims
    assert all(pair.error is not None and pair.error <= 1e-10 for pair in pairs)


def test_a_file_that_is_no_program_is_refused(tmp_path) -> None:
    path = tmp_path / "model.pt2"
    path.write_bytes(b"not a program")
    with pytest.raises(SymmetryError, match=r"model\.pt2 is no saved"):
        load_program(path)
    with pytest.raises(SymmetryError):
        load_program(tmp_path / "missing.pt2")


# --- size ---


def test_a_wide_model_on_the_meta_device_costs_no_memory() -> None:
    width = 4096
    with torch.device("meta"):
        model = nn.Sequential(
            nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10)
        )
        x = torch.empty(2, width)
    trace(nn.Linear(2, 2), torch.ones(1, 2))  # what the tracer itself loads
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    pairs = find_pairs(trace(model, x))
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert [pair.size for pair in pairs] == [width, width]
    assert grown < 4 * width * width  # less than one layer in float32
