from __future__ import annotations

import ast
import copy
import math
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import parametrizations

import teleport as tp
from symdiscover.errors import Diverged, NotAdmissible, SymmetryError
from symdiscover.network import activation
from symdiscover.network.scaling import Scaling

mse = nn.functional.mse_loss


def mlp(*widths: int, dtype: torch.dtype = torch.float64, seed: int = 0, between=()) -> nn.Sequential:
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for a, b in pairwise(widths):
        layers += [nn.Linear(a, b), nn.LeakyReLU(0.1), *(make() for make in between)]
    return nn.Sequential(*layers[: len(layers) - 1 - len(between)]).to(dtype)


def batch(n: int = 16, width: int = 4, out: int = 2, dtype: torch.dtype = torch.float64, seed: int = 1):
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(n, d, generator=generator, dtype=torch.float64).to(dtype) for d in (width, out))


def beside(model: nn.Module, **options) -> tp.Teleporter:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    return tp.Teleporter(model, mse, optimizer, **{"schedule": tp.every(1), **options})


def bits(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def same_bits(model: nn.Module, before: dict[str, torch.Tensor]) -> bool:
    """Whether everything the model holds is the same to the bit, NaN included."""
    return all(
        torch.equal(value.view(torch.uint8), before[name].view(torch.uint8))
        if value.ndim
        else value == before[name]
        for name, value in model.state_dict().items()
    )


def squared_norm(model: nn.Module, x, y) -> float:
    """‖∇L‖² by autograd."""
    gradients = torch.autograd.grad(mse(model(x), y), [p for p in model.parameters() if p.requires_grad])
    return float(sum(g.double().square().sum() for g in gradients))


# What a teleport does.


@settings(max_examples=25)
@given(
    st.lists(st.integers(1, 12), min_size=1, max_size=4),
    st.floats(0.05, 0.6),
    st.booleans(),
    st.integers(0, 999),
)
def test_the_predicted_gain_is_the_one_that_autograd_measures(hidden, radius, minimise, seed) -> None:
    model, (x, y) = mlp(4, *hidden, 2, seed=seed), batch(seed=seed)
    before, outputs = squared_norm(model, x, y), model(x).detach()
    move = beside(model, radius=radius, minimise=minimise).step(x, y)
    assert move.accepted and move.pairs == len(hidden)
    assert math.isclose(squared_norm(model, x, y) / before, move.gain, rel_tol=1e-10)
    assert move.gain < 1 if minimise else move.gain > 1
    assert move.radius <= radius * (1 + 1e-12)
    assert float((model(x).detach() - outputs).abs().max() / outputs.abs().max()) < 1e-12
    assert move.loss_change < 1e-12 and move.output_change < 1e-12


def test_a_wrong_transformation_of_the_gradients_is_seen_by_the_measured_gain(monkeypatch) -> None:
    from teleport import teleporter

    right = teleporter._carried
    monkeypatch.setattr(
        teleporter, "_carried", lambda squared, pair, log_s: right(squared, pair, 0.9 * log_s)
    )
    model, (x, y) = mlp(4, 8, 8, 2), batch()
    before = squared_norm(model, x, y)
    move = beside(model).step(x, y)
    assert not math.isclose(squared_norm(model, x, y) / before, move.gain, rel_tol=1e-3)


def largest_on_the_orbit(model, x, y, radius: float, minimise: bool, tries: int = 300) -> float:
    """The best ‖∇L‖² over random scalings within the radius, corners among them."""
    action, generator = (
        tp.Teleporter(model, mse, torch.optim.SGD(model.parameters(), 0.1)).action,
        torch.Generator(),
    )
    best = squared_norm(model, x, y)
    for trial in range(tries):
        draw = radius * (
            2 * torch.rand(action.size, generator=generator.manual_seed(trial), dtype=x.dtype) - 1
        )
        element = radius * draw.sign() if trial % 2 else draw
        moved = copy.deepcopy(model)
        with torch.no_grad():
            for name, value in action(element, dict(model.named_parameters())).items():
                moved.get_parameter(name).copy_(value)
        best = (min if minimise else max)(best, squared_norm(moved, x, y))
    return best


@pytest.mark.parametrize("minimise", [False, True])
def test_no_random_scaling_within_the_radius_is_better(minimise) -> None:
    model, (x, y) = mlp(4, 6, 2), batch()
    best = largest_on_the_orbit(model, x, y, 0.3, minimise)
    beside(model, radius=0.3, minimise=minimise).step(x, y)
    reached = squared_norm(model, x, y)
    assert reached <= best if minimise else reached >= best
    # The twin: with half the radius there is a better scaling.
    other = mlp(4, 6, 2)
    beside(other, radius=0.1, minimise=minimise).step(x, y)
    short = squared_norm(other, x, y)
    assert short > best if minimise else short < best


def test_minimising_within_a_large_radius_is_stationary() -> None:
    """At the minimum a_i s_i² = b_i s_i^-2 for every unit: column and row gradients are of one size."""
    model, (x, y) = mlp(4, 6, 2), batch()
    beside(model, radius=5.0, minimise=True).step(x, y)
    gw, gb, gv, _ = torch.autograd.grad(mse(model(x), y), list(model.parameters()))
    a, b = gv.square().sum(0), gw.square().sum(1) + gb.square()
    torch.testing.assert_close(a, b, rtol=1e-10, atol=0)
    assert not torch.allclose(a, gw.square().sum(1), rtol=1e-3)  # a forgotten bias gradient is seen


@pytest.mark.parametrize("minimise", [False, True])
def test_more_sweeps_are_never_worse(minimise) -> None:
    gains = []
    for sweeps in (1, 2, 3, 6):
        model, (x, y) = mlp(4, 9, 8, 7, 6, 2, seed=4), batch(seed=4)
        gains.append(beside(model, radius=0.8, minimise=minimise, sweeps=sweeps).step(x, y).gain)
    steps = [late / early for early, late in pairwise(gains)]
    assert all(step <= 1 + 1e-12 for step in steps) if minimise else all(step >= 1 - 1e-12 for step in steps)
    assert min(gains) < 1 if minimise else max(gains) > 1


def test_every_half_sweep_improves_on_the_one_before(monkeypatch) -> None:
    from teleport import teleporter

    totals: list[float] = []
    right = teleporter._carried

    def watched(squared, pair, log_s):
        moved = right(squared, pair, log_s)
        totals.append(float(sum(value.sum() for value in moved.values())))
        return moved

    monkeypatch.setattr(teleporter, "_carried", watched)
    model, (x, y) = mlp(4, 9, 8, 7, 2), batch()
    beside(model, radius=0.5, sweeps=3).step(x, y)
    objective = totals[1::2]  # after each pair was set to its optimum
    assert len(objective) == 9
    assert all(late >= early * (1 - 1e-12) for early, late in pairwise(objective))
    assert any(late < early for early, late in pairwise(totals))  # in between, a pair taken back falls


# What a teleport leaves alone.


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_both_precisions_keep_outputs_and_dtype(dtype) -> None:
    model, (x, y) = mlp(4, 8, 8, 2, dtype=dtype), batch(dtype=dtype)
    before, outputs = squared_norm(model, x, y), model(x).detach()
    move = beside(model).step(x, y)
    bound = 1e-12 if dtype == torch.float64 else 1e-5
    assert move.accepted and move.output_change < bound and move.loss_change < bound
    assert {p.dtype for p in model.parameters()} == {dtype}
    assert float((model(x).detach() - outputs).abs().max() / outputs.abs().max()) < bound
    assert math.isclose(squared_norm(model, x, y) / before, move.gain, rel_tol=bound * 100)


@pytest.mark.filterwarnings("ignore:Complex modules")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.complex64])
def test_other_precisions_are_refused_by_name(dtype) -> None:
    with pytest.raises(SymmetryError, match=str(dtype)):
        beside(mlp(4, 8, 2, dtype=dtype))


def noisy() -> nn.Sequential:
    model = mlp(4, 8, 8, 2, between=(lambda: nn.Dropout(0.4),))
    return model.append(nn.BatchNorm1d(2).double())


@pytest.mark.parametrize("training", [True, False])
def test_modes_buffers_gradients_and_the_random_stream_stay(training) -> None:
    model, (x, y) = noisy().train(training), batch()
    model[1].train(not training)  # a mode that a whole-model switch would lose
    mse(model(x), y).backward()
    modes = [module.training for module in model.modules()]
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    gradients = {name: p.grad.clone() for name, p in model.named_parameters()}
    holders = {name: p.grad for name, p in model.named_parameters()}
    teleporter = beside(model, example_input=x)
    torch.manual_seed(5)
    stream = torch.get_rng_state()
    move = teleporter.step(x, y)
    assert move.accepted and move.loss_change < 1e-12  # the mask is the one that training will draw
    assert torch.equal(torch.get_rng_state(), stream)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(buffer, buffers[name]) for name, buffer in model.named_buffers())
    assert all(
        p.grad is holders[name] and torch.equal(p.grad, gradients[name])
        for name, p in model.named_parameters()
    )
    # The twin: a plain forward pass changes the stream and, in training, the running statistics.
    model(x)
    assert torch.equal(torch.get_rng_state(), stream) is not training
    assert torch.equal(model[-1].running_mean, buffers[f"{len(model) - 1}.running_mean"]) is not training


def test_evaluation_outputs_stay_with_dropout_and_batch_norm() -> None:
    model, (x, y) = noisy().train(), batch()
    expected = copy.deepcopy(model).eval()(x)
    assert beside(model).step(x, y).accepted
    torch.testing.assert_close(copy.deepcopy(model).eval()(x), expected, rtol=1e-12, atol=1e-13)
    assert not torch.allclose(model(x), expected)  # in training the outputs are others


def test_the_optimizer_goes_on_with_the_same_tensors_and_state() -> None:
    model, (x, y) = mlp(4, 8, 2), batch()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    teleporter = tp.Teleporter(model, mse, optimizer, x, schedule=tp.at(3))
    tensors = list(model.parameters())
    for step in range(6):
        state = copy.deepcopy(optimizer.state_dict())
        move = teleporter.step(x, y)
        assert (move is not None) == (step == 3)
        after = optimizer.state_dict()["state"]
        assert all(
            torch.equal(after[k][key], value)
            for k, entry in state["state"].items()
            for key, value in entry.items()
        )
        before = bits(model)
        optimizer.zero_grad()
        mse(model(x), y).backward()
        optimizer.step()
        assert not same_bits(model, before)
    assert all(a is b for a, b in zip(tensors, model.parameters(), strict=True))


def test_no_grad_around_a_step_does_not_matter() -> None:
    model, (x, y) = mlp(4, 8, 2), batch()
    with torch.no_grad():
        assert beside(model).step(x, y).accepted


# What goes wrong.


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("where", ["batch", "target", "weight", "bias"])
def test_what_is_not_finite_is_not_moved(value, where) -> None:
    model, (x, y) = mlp(4, 8, 2), batch()
    match where:
        case "batch":
            x[3, 1] = value
        case "target":
            y[0, 0] = value
        case "weight":
            model[0].weight.data[2, 1] = value
        case "bias":
            model[2].bias.data[0] = value
    before = bits(model)
    move = beside(model).step(x, y)
    assert not move.accepted and "not finite" in move.reason and move.gain == 1
    assert same_bits(model, before)
    with pytest.raises(Diverged, match="not finite"):
        beside(model, on_failure="raise").step(x, y)


def test_a_zero_gradient_or_nothing_better_is_no_failure() -> None:
    model, (x, _) = mlp(4, 8, 2), batch()
    before = bits(model)
    move = beside(model, on_failure="raise").step(x, model(x).detach())
    assert not move.accepted and "zero" in move.reason and same_bits(model, before)
    _, y = batch()
    teleporter = beside(model, minimise=True, radius=5.0, sweeps=20, on_failure="raise")
    assert teleporter.step(x, y).accepted
    before = bits(model)
    move = teleporter.step(x, y)  # it is at the minimum already, to rounding
    assert move.accepted is False or abs(move.gain - 1) < 1e-9


class Boom(Exception):
    pass


@pytest.mark.parametrize("error", [Boom, KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("point", range(5))
def test_an_exception_at_any_write_restores_every_bit(monkeypatch, error, point) -> None:
    model, (x, y) = mlp(4, 8, 8, 2), batch()
    teleporter, before = beside(model), bits(model)
    copy_, written = torch.Tensor.copy_, []

    def failing(self, *rest, **options):
        written.append(self)
        if len(written) == point + 1:
            copy_(self, torch.full_like(self, 7.0))  # half done
            raise error
        return copy_(self, *rest, **options)

    monkeypatch.setattr(torch.Tensor, "copy_", failing)
    with pytest.raises(error):
        teleporter.step(x, y)
    monkeypatch.undo()
    assert len(written) == point + 1 + 5  # what was written, and five put back
    assert same_bits(model, before)
    assert teleporter.step(x, y).accepted  # the twin: without the fault everything is written
    assert not same_bits(model, before)


def test_an_interruption_while_putting_back_waits(monkeypatch) -> None:
    model, (x, y) = mlp(4, 8, 8, 2), batch()
    teleporter, before = beside(model), bits(model)
    copy_, calls = torch.Tensor.copy_, []

    def failing(self, *rest, **options):
        calls.append(0)
        if len(calls) in (3, 5, 6):
            raise KeyboardInterrupt
        return copy_(self, *rest, **options)

    monkeypatch.setattr(torch.Tensor, "copy_", failing)
    with pytest.raises(KeyboardInterrupt):
        teleporter.step(x, y)
    monkeypatch.undo()
    assert same_bits(model, before)


def test_an_exception_in_the_loss_after_the_move_restores_every_bit() -> None:
    model, (x, y) = mlp(4, 8, 2), batch()
    calls = []

    def loss_fn(output, target):
        calls.append(0)
        if len(calls) == 2:
            raise Boom
        return mse(output, target)

    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    teleporter, before = tp.Teleporter(model, loss_fn, optimizer, schedule=tp.every(1)), bits(model)
    with pytest.raises(Boom):
        teleporter.step(x, y)
    assert same_bits(model, before) and teleporter.history == []


def test_a_move_that_changes_the_outputs_is_undone(monkeypatch) -> None:
    right = Scaling.__call__

    def forgets_a_bias(self, element, parameters):
        return {**right(self, element, parameters), "0.bias": parameters["0.bias"]}

    monkeypatch.setattr(Scaling, "__call__", forgets_a_bias)
    model, (x, y) = mlp(4, 8, 2), batch()
    before = bits(model)
    move = beside(model).step(x, y)
    assert not move.accepted and "outputs would move" in move.reason and move.output_change > 1e-4
    assert same_bits(model, before)
    with pytest.raises(SymmetryError, match="outputs would move"):
        beside(model, on_failure="raise").step(x, y)


def test_an_activation_registered_wrongly_is_found_out_at_the_first_move(monkeypatch) -> None:
    monkeypatch.setitem(activation.EXPRESSIONS, nn.Tanh, lambda module: activation.Z)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2)).double()
    (x, y), before = batch(), bits(model)
    assert not beside(model).step(x, y).accepted
    assert same_bits(model, before)


@pytest.mark.parametrize("radius", [200.0, 1e4])
def test_an_absurd_radius_is_rolled_back_and_training_goes_on(radius) -> None:
    model, (x, y) = mlp(4, 8, 2, dtype=torch.float32), batch(dtype=torch.float32)
    before = bits(model)
    teleporter = beside(model, radius=radius)
    move = teleporter.step(x, y)
    assert not move.accepted and same_bits(model, before)
    teleporter.optimizer.zero_grad()
    mse(model(x), y).backward()
    teleporter.optimizer.step()
    assert all(bool(p.isfinite().all()) for p in model.parameters())


def tied() -> nn.Sequential:
    model = mlp(4, 4, 4, 4)
    model[4].weight = model[0].weight
    return model


def frozen() -> nn.Sequential:
    model = mlp(4, 4, 4)
    model[0].weight.requires_grad_(False)
    return model


def parametrised() -> nn.Sequential:
    model = mlp(4, 4, 4)
    parametrizations.orthogonal(model[2])
    return model


@pytest.mark.parametrize(
    ("make", "words"), [(tied, "tied"), (frozen, "frozen"), (parametrised, "parametrised")]
)
def test_weights_that_may_not_move_are_refused_by_name(make, words) -> None:
    with pytest.raises(NotAdmissible, match=words) as caught:
        beside(make())
    assert caught.value.node and caught.value.remedy


def test_frozen_layers_beside_a_pair_keep_their_bits_and_do_not_count() -> None:
    model, (x, y) = mlp(4, 8, 8, 8, 2), batch()
    model[0].requires_grad_(False)
    before = bits(model)
    norm = squared_norm(model, x, y)
    move = beside(model).step(x, y)
    assert move.accepted and move.pairs == 2
    assert torch.equal(model[0].weight, before["0.weight"]) and torch.equal(model[0].bias, before["0.bias"])
    assert math.isclose(squared_norm(model, x, y) / norm, move.gain, rel_tol=1e-10)
    assert not torch.equal(model[2].weight, before["2.weight"])


def test_what_is_frozen_later_is_no_longer_moved() -> None:
    model, (x, y) = mlp(4, 8, 8, 2), batch()
    teleporter = beside(model)
    assert teleporter.step(x, y).pairs == 2
    model[0].requires_grad_(False)
    before = bits(model)
    assert teleporter.step(x, y).pairs == 1
    assert torch.equal(model[0].weight, before["0.weight"])
    model.requires_grad_(False)
    before = bits(model)
    move = teleporter.step(x, y)
    assert not move.accepted and "frozen" in move.reason and same_bits(model, before)


def test_only_what_the_optimizer_trains_is_moved_and_counted() -> None:
    model, (x, y) = mlp(4, 8, 8, 2), batch()
    optimizer = torch.optim.SGD([*model[2].parameters(), *model[4].parameters()], lr=0.1)
    before = bits(model)
    move = tp.Teleporter(model, mse, optimizer, schedule=tp.every(1)).step(x, y)
    assert move.pairs == 1 and torch.equal(model[0].weight, before["0.weight"])
    with pytest.raises(SymmetryError, match="trains no parameter"):
        tp.Teleporter(model, mse, torch.optim.SGD(mlp(4, 8, 2).parameters(), lr=0.1))
    with pytest.raises(NotAdmissible, match="does not train both"):
        tp.Teleporter(model, mse, torch.optim.SGD(model[0].parameters(), lr=0.1))


def test_weight_decay_is_warned_about() -> None:
    model = mlp(4, 8, 2)
    with pytest.warns(UserWarning, match="weight decay"):
        tp.Teleporter(model, mse, torch.optim.AdamW(model.parameters(), weight_decay=0.1))


@pytest.mark.filterwarnings("error")
def test_without_weight_decay_there_is_no_warning() -> None:
    model, (x, y) = mlp(4, 8, 2), batch()
    assert beside(model).step(x, y).accepted


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"radius": 0.0}, "radius"),
        ({"radius": math.nan}, "radius"),
        ({"radius": math.inf}, "radius"),
        ({"sweeps": 0}, "sweeps"),
        ({"sweeps": True}, "sweeps"),
        ({"tolerance": -1.0}, "tolerance"),
        ({"tolerance": math.nan}, "tolerance"),
        ({"on_failure": "ignore"}, "on_failure"),
    ],
)
def test_arguments_out_of_range_are_refused(options, words) -> None:
    with pytest.raises(SymmetryError, match=words):
        beside(mlp(4, 8, 2), **options)


def test_a_loss_that_is_no_scalar_is_refused() -> None:
    model, (x, y) = mlp(4, 8, 2), batch()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    rows = tp.Teleporter(
        model, lambda output, target: (output - target).square().sum(-1), optimizer, schedule=tp.every(1)
    )
    with pytest.raises(SymmetryError, match=r"scalar tensor, not a tensor of shape \(16,\)"):
        rows.step(x, y)
    before = bits(model)
    constant = tp.Teleporter(model, lambda output, target: torch.zeros(()), optimizer, schedule=tp.every(1))
    assert constant.step(x, y).reason == "the gradient is zero" and same_bits(model, before)


def test_degree_two_is_refused_by_name(monkeypatch) -> None:
    class Square(nn.Module):
        def forward(self, x):
            return x.square()

    monkeypatch.setitem(activation.EXPRESSIONS, Square, lambda module: activation.Z**2)
    with pytest.raises(NotAdmissible, match="degree 2"):
        beside(nn.Sequential(nn.Linear(4, 8), Square(), nn.Linear(8, 2)).double())


def test_models_with_integer_inputs_work() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(7, 4), nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)).double()
    x, y = torch.randint(7, (16,)), batch()[1]
    before = squared_norm(model, x, y)
    move = beside(model, example_input=x).step(x, y)
    assert move.accepted
    assert math.isclose(squared_norm(model, x, y) / before, move.gain, rel_tol=1e-10)


# Clock, history, checkpoints.


def test_the_clock_counts_steps_batches_and_epochs() -> None:
    seen = []
    model, (x, y) = mlp(4, 8, 2), batch()
    teleporter = beside(model, schedule=lambda clock: bool(seen.append(clock)))
    for _ in range(2):
        for _ in range(3):
            assert teleporter.step(x, y) is None
        teleporter.epoch()
    assert [(c.step, c.epoch, c.batch) for c in seen] == [
        (0, 0, 0),
        (1, 0, 1),
        (2, 0, 2),
        (3, 1, 0),
        (4, 1, 1),
        (5, 1, 2),
    ]


def test_the_state_goes_through_a_file_and_back(tmp_path) -> None:
    model, (x, y) = mlp(4, 8, 2), batch()
    teleporter = beside(model, schedule=tp.every(3))
    for _ in range(7):
        teleporter.step(x, y)
    teleporter.epoch()
    torch.save(teleporter.state_dict(), tmp_path / "state.pt")
    again = beside(model, schedule=tp.every(3))
    again.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert again.history == teleporter.history and len(again.history) == 2
    assert again.step(x, y) is None and again.step(x, y) is not None  # steps 7 and 8
    assert again.state_dict()["clock"] == [9, 1, 2]


@pytest.mark.parametrize(
    "change",
    [
        None,
        [],
        {},
        {"schema": 1},
        {"schema": 2, "clock": [0, 0, 0], "history": []},
        {"schema": 1, "clock": [0, 0], "history": 5},
        {"schema": 1, "clock": [0, -1, 0], "history": []},
        {"schema": 1, "clock": [0.5, 0, 0], "history": []},
        {"schema": 1, "clock": "abc", "history": []},
        {"schema": 1, "clock": [0, 0, 0], "history": [{"step": 1}]},
        {"schema": 1, "clock": [0, 0, 0], "history": [3]},
        "wrong type in a move",
    ],
)
def test_a_foreign_state_is_refused_and_nothing_changes(change) -> None:
    model, (x, y) = mlp(4, 8, 2), batch()
    teleporter = beside(model)
    teleporter.step(x, y)
    before = teleporter.state_dict()
    if change == "wrong type in a move":
        change = copy.deepcopy(before)
        change["history"][0]["gain"] = "2"
    with pytest.raises(SymmetryError):
        teleporter.load_state_dict(change)
    assert teleporter.state_dict() == before
    teleporter.load_state_dict(copy.deepcopy(before))
    assert teleporter.state_dict() == before


def test_the_same_run_twice_gives_the_same_bits() -> None:
    def train() -> tuple[dict[str, torch.Tensor], list[float]]:
        model, (x, y) = mlp(4, 8, 8, 2, between=(lambda: nn.Dropout(0.2),)), batch()
        teleporter = beside(model, schedule=tp.every(4))
        for _ in range(12):
            teleporter.step(x, y)
            teleporter.optimizer.zero_grad()
            mse(model(x), y).backward()
            teleporter.optimizer.step()
        return bits(model), [move.gain for move in teleporter.history]

    (one, gains), (two, others) = train(), train()
    assert gains == others and len(gains) == 3
    assert all(torch.equal(one[name], two[name]) for name in one)


SNIPPET = """
import teleport as tp
teleporter = tp.Teleporter(model, loss_fn, optimizer, example_input=x, schedule=tp.every(100), radius=0.3)
for x, y in loader:
    teleporter.step(x, y)                # does nothing when not scheduled; never leaves the model half-moved
    optimizer.zero_grad(); loss_fn(model(x), y).backward(); optimizer.step()
"""


def readme_snippet() -> str:
    """The block of README.md that trains a model with a `Teleporter`."""
    text = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
    blocks = [block.partition("```")[0] for block in text.split("```python\n")[1:]]
    (snippet,) = [block for block in blocks if "tp.Teleporter(" in block]
    return snippet


def test_the_readme_holds_the_snippet_whatever_its_spacing() -> None:
    assert ast.dump(ast.parse(readme_snippet())) == ast.dump(ast.parse(SNIPPET))
    assert ast.dump(ast.parse(SNIPPET.replace("0.3", "0.4"))) != ast.dump(ast.parse(SNIPPET))


@pytest.mark.parametrize("snippet", [SNIPPET, readme_snippet()], ids=["design", "readme"])
def test_the_snippet_runs_verbatim(snippet) -> None:
    torch.manual_seed(0)
    rows = torch.utils.data.TensorDataset(*batch(2400, dtype=torch.float32))
    model = mlp(4, 16, 16, 2, dtype=torch.float32)
    place = {
        "model": model,
        "loss_fn": mse,
        "optimizer": torch.optim.Adam(model.parameters(), lr=1e-3),
        "loader": torch.utils.data.DataLoader(rows, batch_size=8),
        "x": rows[:8][0],
    }
    start = float(mse(model(rows[:][0]), rows[:][1]).detach())
    exec(snippet, place)
    teleporter = place["teleporter"]
    assert [move.step for move in teleporter.history] == [99, 199, 299]
    assert all(move.accepted and move.gain > 1 and move.loss_change < 1e-5 for move in teleporter.history)
    assert float(mse(model(rows[:][0]), rows[:][1]).detach()) < start
