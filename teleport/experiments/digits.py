"""A small LeakyReLU network on the 8 x 8 digits: plain training against exact positive-scaling teleports, with controls."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor, nn

from symdiscover.plot import COLOURS
from teleport.experiments.data import Classification
from teleport.schedule import at, never
from teleport.teleporter import Move, Teleporter

Method = Literal["plain", "teleport", "random"]


@dataclass(frozen=True)
class DigitsSettings:
    """What is run. Rates are those of plain SGD; every method is run at each."""

    widths: tuple[int, ...] = (64, 32, 32, 10)
    slope: float = 0.1
    batch: int = 96
    epochs: int = 5
    rates: tuple[float, ...] = (0.02, 0.1, 0.5)
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    teleport_at: tuple[int, ...] = (0, 10, 20, 30)
    radius: float = 0.4


@dataclass(frozen=True)
class Run:
    """One training: loss on the whole training set after each epoch (the start first), test accuracy at the end."""

    method: Method
    rate: float
    seed: int
    losses: tuple[float, ...]
    accuracy: float
    moves: tuple[Move, ...] = ()


@dataclass(frozen=True)
class DigitsResult:
    """All runs, and what they were run with."""

    settings: DigitsSettings
    data: str
    runs: tuple[Run, ...] = field(default_factory=tuple)

    def final(self, method: Method, rate: float) -> Tensor:
        """Training losses at the end, one for each seed."""
        return torch.tensor([run.losses[-1] for run in self.runs if (run.method, run.rate) == (method, rate)])

    def best_rate(self, method: Method) -> float:
        """The rate with the smallest median training loss at the end."""
        return min(self.settings.rates, key=lambda rate: float(self.final(method, rate).median()))

    def moves(self) -> list[tuple[Run, Move]]:
        """Every exact teleport of every run."""
        return [(run, move) for run in self.runs if run.method == "teleport" for move in run.moves]


def network(settings: DigitsSettings, seed: int) -> nn.Sequential:
    """The network at its usual random start, float64."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers: list[nn.Module] = []
        for index, (a, b) in enumerate(zip(settings.widths[:-1], settings.widths[1:], strict=True)):
            layers += [nn.LeakyReLU(settings.slope)] * bool(index) + [nn.Linear(a, b)]
        return nn.Sequential(*layers).double()


def run(data: Classification, settings: DigitsSettings, method: Method, rate: float, seed: int) -> Run:
    """Train once. All methods see the same start and the same batches for a seed.

    ``random`` is the control: at the same steps it moves to a random point of the same orbit, scales as large as those of
    the teleport, so that what the choice of the point does is told from what moving does.
    """
    model = network(settings, seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    loss_fn = nn.functional.cross_entropy
    schedule = never if method == "plain" else at(*settings.teleport_at)
    teleporter = Teleporter(model, loss_fn, optimizer, data.train_x[:1], schedule, settings.radius)
    generator = torch.Generator().manual_seed(seed)
    losses, step = [_loss(model, data)], 0
    for _ in range(settings.epochs):
        order = torch.randperm(len(data.train_x), generator=generator)
        for rows in order.split(settings.batch):
            x, y = data.train_x[rows], data.train_y[rows]
            if method == "teleport":
                teleporter.step(x, y)
            elif method == "random" and schedule(step):
                _random_move(teleporter, generator)
            optimizer.zero_grad()
            loss_fn(model(x), y).backward()
            optimizer.step()
            step += 1
        losses.append(_loss(model, data))
    with torch.no_grad():
        accuracy = float((model(data.test_x).argmax(dim=-1) == data.test_y).double().mean())
    return Run(method, rate, seed, tuple(losses), accuracy, tuple(teleporter.history))


def _random_move(teleporter: Teleporter, generator: torch.Generator) -> None:
    """Scale every hidden unit by e^R or e^-R at random."""
    size = teleporter.action.group.dimension
    signs = torch.randint(0, 2, (size,), generator=generator).double() * 2 - 1
    named = dict(teleporter.model.named_parameters())
    with torch.no_grad():
        for name, value in teleporter.action(teleporter.radius * signs, named).items():
            named[name].copy_(value.clone())


def _loss(model: nn.Module, data: Classification) -> float:
    with torch.no_grad():
        return float(nn.functional.cross_entropy(model(data.train_x), data.train_y))


def compare(
    data: Classification, settings: DigitsSettings | None = None, tick: Callable[[], object] = lambda: None
) -> DigitsResult:
    """Every method at every rate with every seed; `tick` is called after each run."""
    settings = settings or DigitsSettings()
    runs = []
    methods: Sequence[Method] = ("plain", "teleport", "random")
    for rate in settings.rates:
        for seed in settings.seeds:
            for method in methods:
                runs.append(run(data, copy.copy(settings), method, rate, seed))
                tick()
    return DigitsResult(settings, data.name, tuple(runs))


NAMES: dict[Method, str] = {
    "plain": "plain SGD",
    "teleport": "with exact teleports",
    "random": "random point of the orbit",
}


def figure(result: DigitsResult) -> Figure:
    """Training loss against epoch, a panel for each rate; lines are medians over seeds, bands their range."""
    rates = result.settings.rates
    drawing = Figure(figsize=(2.9 * len(rates) + 0.6, 3.2), layout="constrained")
    panels = drawing.subplots(1, len(rates), sharey=True, squeeze=False)[0]
    for axes, rate in zip(panels, rates, strict=True):
        for (method, name), colour in zip(NAMES.items(), COLOURS, strict=False):
            table = torch.tensor([r.losses for r in result.runs if (r.method, r.rate) == (method, rate)])
            epochs = torch.arange(table.shape[1])
            axes.plot(epochs, table.median(dim=0).values, color=colour, label=name, linewidth=1.7)
            axes.fill_between(
                epochs, table.amin(dim=0), table.amax(dim=0), color=colour, alpha=0.15, linewidth=0
            )
        axes.set(title=f"rate {rate:g}", xlabel="epoch", yscale="log")
        axes.title.set_fontsize(10)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25, linewidth=0.5)
    panels[0].set_ylabel("training loss (all digits)")
    panels[0].legend(frameon=False, fontsize=8)
    return drawing
