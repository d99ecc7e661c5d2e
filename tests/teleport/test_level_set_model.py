from __future__ import annotations

import copy
import warnings

import pytest
import torch
from torch import nn

from symdiscover.errors import Diverged, SymmetryError
from teleport import level_set_model
from teleport.level_set import LevelSetSettings, level_set_ascent
from teleport.level_set_model import level_set_teleport
from tests.teleport.actions import DOUBLE

FEW = LevelSetSettings(steps=6)


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.layer(x.reshape(len(x), 2, 8)).mean(1))


def mlp(activation=nn.Softplus):
    return nn.Sequential(nn.Linear(16, 12), activation(), nn.Linear(12, 3))


MODELS = {
    "softplus": mlp,
    "relu": lambda: mlp(nn.ReLU),
    "batch norm and dropout": lambda: nn.Sequential(
        nn.Linear(16, 12), nn.BatchNorm1d(12), nn.Dropout(0.3), nn.Tanh(), nn.Linear(12, 3)
    ),
    "convolution": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 4, 4)), nn.Conv2d(1, 4, 3), nn.GELU(), nn.Flatten(), nn.Linear(16, 3)
    ),
    "attention": Attention,
}


def made(name="softplus", dtype=DOUBLE, seed=0):
    torch.manual_seed(seed)
    return MODELS[name]().to(dtype)


def batch(dtype=DOUBLE, n=40):
    random = torch.Generator().manual_seed(1)
    x = torch.randn(n, 16, generator=random, dtype=DOUBLE).to(dtype)
    return x, torch.randint(0, 3, (n,), generator=random)


def state(model):
    """Everything that a teleport must leave alone if it fails, as bits."""
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(one, other):
    return all(torch.equal(value, other[name]) for name, value in one.items())


def gradient(model, x, y):
    """Loss and squared gradient norm in the mode of the model, from one random state, on a copy."""
    twin = copy.deepcopy(model)
    with torch.random.fork_rng():
        loss = nn.functional.cross_entropy(twin(x), y)
    wanted = [value for value in twin.parameters() if value.requires_grad]
    parts = torch.autograd.grad(loss, wanted)
    return float(loss.detach()), float(sum(part.square().sum() for part in parts))


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE], ids=["float32", "float64"])
@pytest.mark.parametrize("name", MODELS)
def test_any_model_is_moved_in_place_and_nothing_else_is_touched(name, dtype) -> None:
    model, (x, y) = made(name, dtype), batch(dtype)
    held = list(model.parameters())
    nn.functional.cross_entropy(made(name, dtype)(x), y)
    for value in held:
        value.grad = torch.ones_like(value)
    buffers = {key: value.clone() for key, value in model.named_buffers()}
    random, loss = torch.get_rng_state(), gradient(model, x, y)
    weights = [value.detach().clone() for value in held]
    found = level_set_teleport(model, nn.functional.cross_entropy, x, y, FEW)
    assert torch.equal(torch.get_rng_state(), random)
    assert all(one is other for one, other in zip(held, model.parameters(), strict=True))
    assert all(value.is_leaf and value.requires_grad and bool((value.grad == 1).all()) for value in held)
    assert all(torch.equal(value, buffers[key]) for key, value in model.named_buffers())
    assert all(module.training for module in model.modules())
    assert bool(found.moved) and not all(map(torch.equal, weights, held))
    after = gradient(model, x, y)
    tolerance = 1e-4 if dtype == torch.float32 else 1e-9
    assert after[0] <= loss[0] + 1e-6 + torch.finfo(dtype).eps * loss[0]
    assert after[1] == pytest.approx(float(found.after), rel=tolerance)
    assert loss[1] == pytest.approx(float(found.before), rel=tolerance)
    assert float(found.gain) > 1.2 and float(found.loss_change) <= 1e-6
    torch.testing.assert_close(found.point, nn.utils.parameters_to_vector(held).detach(), rtol=0, atol=0)


def test_it_is_the_search_on_points() -> None:
    """w -> L of a linear model is a function of points: both forms give the same bits."""
    model, (x, y) = nn.Linear(16, 3, bias=False).double(), batch()
    start = nn.utils.parameters_to_vector(model.parameters()).detach().clone()
    found = level_set_teleport(model, nn.functional.cross_entropy, x, y, FEW)
    direct = level_set_ascent(
        lambda w: nn.functional.cross_entropy(nn.functional.linear(x, w.reshape(3, 16)), y), start, FEW
    )
    assert torch.equal(found.point, direct.point) and torch.equal(found.gain, direct.gain)
    assert found.gradient_equivalents == direct.gradient_equivalents + 1  # the loss is looked at once more
    other = level_set_ascent(lambda w: nn.functional.cross_entropy(x @ w.reshape(16, 3), y), start, FEW)
    assert not torch.equal(found.point, other.point)


def test_frozen_parameters_keep_their_bits_and_their_share() -> None:
    model, (x, y) = made(), batch()
    model[0].weight.requires_grad_(False)
    frozen = model[0].weight.clone()
    found = level_set_teleport(model, nn.functional.cross_entropy, x, y, FEW)
    assert torch.equal(model[0].weight, frozen) and bool(found.moved)
    assert found.point.numel() == sum(value.numel() for value in model.parameters()) - frozen.numel()
    free = made()
    assert float(level_set_teleport(free, nn.functional.cross_entropy, x, y, FEW).before) > float(
        found.before
    )
    for value in model.parameters():
        value.requires_grad_(False)
    with pytest.raises(SymmetryError, match="nothing may be moved"):
        level_set_teleport(model, nn.functional.cross_entropy, x, y)


def test_tied_parameters_stay_tied() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(16, 16)
            self.b = nn.Linear(16, 16)
            self.b.weight = self.a.weight

        def forward(self, x):
            return self.b(self.a(x).tanh())

    torch.manual_seed(0)
    model, (x, y) = Tied().double(), batch()
    found = level_set_teleport(model, nn.functional.cross_entropy, x, y, FEW)
    assert model.a.weight is model.b.weight and bool(found.moved)
    assert found.point.numel() == 16 * 16 + 32
    loss = float(nn.functional.cross_entropy(model(x), y).detach())
    assert loss == pytest.approx(float(found.loss_after), rel=1e-12)


class Interrupt:
    """A loss that raises at its n-th call."""

    def __init__(self, call, error):
        self.call, self.error, self.calls = call, error, 0

    def __call__(self, output, target):
        self.calls += 1
        if self.calls == self.call:
            raise self.error
        return nn.functional.cross_entropy(output, target)


@pytest.mark.parametrize("error", [RuntimeError("no"), KeyboardInterrupt(), MemoryError()], ids=repr)
def test_whatever_interrupts_it_the_model_keeps_every_bit(error) -> None:
    counter = Interrupt(0, None)
    x, y = batch()
    level_set_teleport(made(), counter, x, y, FEW)
    for call in range(1, counter.calls + 1):  # the last one is the look after the commit
        model = made("softplus")
        before = state(model)
        with pytest.raises(type(error)):
            level_set_teleport(model, Interrupt(call, error), x, y, FEW)
        assert same(before, state(model))
    model = made()
    before = state(model)
    level_set_teleport(model, Interrupt(counter.calls + 1, error), x, y, FEW)
    assert not same(before, state(model))


def test_an_interruption_between_two_parameters_is_undone(monkeypatch) -> None:
    model, (x, y) = made(), batch()
    before = state(model)
    named = level_set_model._named

    def half(flat, moving):
        """The first two parameters, then an interruption."""
        pieces = named(flat, moving)
        if flat.requires_grad or len(moving) < 4:
            return pieces
        return Broken(pieces)

    class Broken(dict):
        def items(self):
            for count, item in enumerate(super().items()):
                if count == 2:
                    assert not same(before, state(model))
                    raise KeyboardInterrupt
                yield item

    monkeypatch.setattr(level_set_model, "_named", half)
    with pytest.raises(KeyboardInterrupt):
        level_set_teleport(model, nn.functional.cross_entropy, x, y, FEW)
    assert same(before, state(model))


def test_a_loss_that_is_higher_after_the_commit_is_undone() -> None:
    class Higher(Interrupt):
        def __call__(self, output, target):
            self.calls += 1
            return nn.functional.cross_entropy(output, target) + (1e-3 if self.calls >= self.call else 0)

    counter, (x, y) = Interrupt(0, None), batch()
    level_set_teleport(made(), counter, x, y, FEW)
    model = made()
    before = state(model)
    found = level_set_teleport(model, Higher(counter.calls, None), x, y, FEW)
    assert same(before, state(model)) and not bool(found.moved)
    assert found.reason == "no larger gradient within the tolerance" and float(found.loss_change) == 0
    assert torch.equal(found.point, nn.utils.parameters_to_vector(model.parameters()))
    assert bool(level_set_teleport(model, Higher(counter.calls + 1, None), x, y, FEW).moved)


def test_parameters_of_two_kinds_move_together() -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(16, 8), nn.Linear(8, 3).double()

        def forward(self, x):
            return self.b(self.a(x).tanh().double())

    torch.manual_seed(0)
    model, (x, y) = Mixed(), batch(torch.float32)
    found = level_set_teleport(model, nn.functional.cross_entropy, x, y, FEW)
    assert [value.dtype for value in model.parameters()] == [torch.float32] * 2 + [DOUBLE] * 2
    loss = float(nn.functional.cross_entropy(model(x), y).detach())
    assert loss == float(found.loss_after) and float(found.loss_change) <= 1e-6


def test_what_is_not_finite_or_flat_does_not_move() -> None:
    x, y = batch()
    bad = x.clone()
    bad[0, 0] = torch.nan
    model = made()
    before = state(model)
    found = level_set_teleport(model, nn.functional.cross_entropy, bad, y)
    assert found.reason == "not finite" and same(before, state(model))
    with pytest.raises(Diverged):
        level_set_teleport(model, nn.functional.cross_entropy, bad, y, on_failure="raise")
    zero = level_set_teleport(model, lambda output, target: (0 * output).sum(), x, y, on_failure="raise")
    assert zero.reason == "zero gradient" and same(before, state(model))
    assert bool(level_set_teleport(model, nn.functional.cross_entropy, x, y, FEW).moved)


def test_what_does_not_fit_is_refused_by_name() -> None:
    x, y = batch()
    with pytest.raises(SymmetryError, match=r"float32 or float64, not torch\.bfloat16"):
        level_set_teleport(made(dtype=torch.bfloat16), nn.functional.cross_entropy, x.bfloat16(), y)
    with pytest.raises(SymmetryError, match="scalar tensor"):
        level_set_teleport(made(), lambda o, t: nn.functional.cross_entropy(o, t, reduction="none"), x, y)
    with pytest.raises(SymmetryError, match="scalar tensor, not float"):
        level_set_teleport(made(), lambda o, t: 1.0, x, y)
    with pytest.raises(SymmetryError, match="on_failure"):
        level_set_teleport(made(), nn.functional.cross_entropy, x, y, on_failure="ignore")


def test_bounds_hold_for_networks_too() -> None:
    x, y = batch()
    model = made("relu")
    start = nn.utils.parameters_to_vector(model.parameters()).detach().clone()
    near = level_set_teleport(model, nn.functional.cross_entropy, x, y, LevelSetSettings(radius=0.3))
    distance = float((nn.utils.parameters_to_vector(model.parameters()) - start).detach().norm())
    assert near.reason == "radius reached" and 0.25 < distance <= 0.3
    capped = level_set_teleport(
        made("relu"), nn.functional.cross_entropy, x, y, LevelSetSettings(max_gain=3.0)
    )
    assert capped.reason == "gain reached" and 2.8 < float(capped.gain) <= 3
    assert float(level_set_teleport(made("relu"), nn.functional.cross_entropy, x, y).gain) > 3


def test_dropout_draws_one_mask_for_the_whole_search() -> None:
    """With a new mask at each point the loss would be noise, and no point would keep the constraint surely."""
    seen = []

    class Watched(nn.Dropout):
        def forward(self, x):
            y = super().forward(x)
            seen.append((y == 0).clone())
            return y

    torch.manual_seed(0)
    model, (x, y) = nn.Sequential(nn.Linear(16, 12), Watched(0.5), nn.Linear(12, 3)).double(), batch()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        level_set_teleport(model, nn.functional.cross_entropy, x, y, FEW)
    assert len(seen) > 6 and all(torch.equal(seen[0], mask) for mask in seen)
    model(x)
    model(x)
    assert not torch.equal(seen[-1], seen[-2])
