"""``teleport demo``: from formulas to proofs to code to teleported descents, and one page that shows it all."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from tqdm import tqdm

import symdiscover
from symdiscover import catalogue
from symdiscover.action import Action
from symdiscover.derive import Derivation, derive
from symdiscover.generate import to_torch
from symdiscover.latex import mathml
from symdiscover.loss import Loss
from symdiscover.plot import plot_symmetry
from symdiscover.symmetry import Certificate
from teleport.descend import descend
from teleport.experiments.data import digits
from teleport.experiments.digits import NAMES, DigitsResult, DigitsSettings, compare
from teleport.experiments.digits import figure as digits_figure
from teleport.experiments.report import Report
from teleport.paper import PaperSettings
from teleport.plot import plot_convergence, plot_trajectory
from teleport.schedule import at, every
from teleport.trajectory import Trajectory

#: Seeds of the published teleport, whose angle starts at random.
PUBLISHED_SEEDS = 20


@dataclass(frozen=True)
class Descents:
    """One test function: its action, and descents that share start, rate and length."""

    name: str
    action: Action
    rate: float
    minimum: tuple[float, float]
    plain: Trajectory
    published: Trajectory
    exact: Trajectory

    def rows(self) -> list[list[str]]:
        """The table of final losses and of what a teleport did to the loss."""
        return [
            ["gradient descent", f"{float(self.plain.final_loss):.3g}", "none", "none"],
            [
                f"published teleports, median of {PUBLISHED_SEEDS} seeds",
                f"{float(self.published.final_loss.median()):.3g}",
                str(len(self.published.teleports)),
                f"{_largest_change(self.published):.1e}",
            ],
            [
                "exact maximum of the orbit",
                f"{float(self.exact.final_loss):.3g}",
                str(len(self.exact.teleports)),
                f"{_largest_change(self.exact):.1e}",
            ],
        ]


def _largest_change(path: Trajectory) -> float:
    return max(
        float(record.relative_change[record.accepted].max())
        for record in path.teleports
        if bool(record.accepted.any())
    )


def losses() -> list[Loss]:
    """The three losses that the demo derives."""
    return [
        catalogue.load("rosenbrock").loss,
        catalogue.load("booth").loss,
        Loss.parse("x**2 + x*y + 3*y**2 + 5*z**2 - z", name="a quadratic in three variables"),
    ]


def rosenbrock(action: Action, seed: int) -> Descents:
    """Zhao et al. 2022, Fig. 2: start (-1, -1), rate 1e-3, 1,000 steps, a teleport every 100."""
    action = action.at(a=1.0, b=100.0)
    start = torch.tensor([-1.0, -1.0], dtype=torch.float64)
    return _descents(
        "Rosenbrock", action, start, 1e-3, 1000, every(100), PaperSettings(steps=10, lr=0.1), (1.0, 1.0), seed
    )


def booth(action: Action, seed: int) -> Descents:
    """Zhao et al. 2022, Fig. 2: start (5, -5), rate 0.08, 10 steps, one teleport before the fifth."""
    start = torch.tensor([5.0, -5.0], dtype=torch.float64)
    return _descents(
        "Booth", action, start, 0.08, 10, at(4), PaperSettings(steps=10, lr=1e-3), (1.0, 3.0), seed
    )


def _descents(
    name: str, action: Action, start: torch.Tensor, rate: float, steps: int, schedule: Any, paper: PaperSettings,
    minimum: tuple[float, float], seed: int,
) -> Descents:  # fmt: skip
    plain = descend(action.loss, start, rate, steps)
    many = start.expand(PUBLISHED_SEEDS, -1).clone()
    published = descend(
        action.loss, many, rate, steps, action=action, schedule=schedule, teleport=paper, seed=seed
    )
    exact = descend(action.loss, start, rate, steps, action=action, schedule=schedule, teleport="exact")
    return Descents(name, action, rate, minimum, plain, published, exact)


def demo(
    folder: Path, seed: int = 0, settings: DigitsSettings | None = None, say: Callable[[str], None] = print
) -> Path:
    """Run everything, write modules, figures and ``report.html`` into a folder, and return the report's path.

    Parameters
    ----------
    folder:
        Made if it is missing; files of these names in it are replaced, others left.
    seed:
        Of the published teleports' angles.
    settings:
        Of the digits comparison.
    say:
        Where the results go, a line at a time.

    Raises
    ------
    SymmetryError
        If scikit-learn is missing.
    OSError
        If the folder cannot be written.
    """
    data = digits()
    folder.mkdir(parents=True, exist_ok=True)
    settings = settings or DigitsSettings()
    runs = len(settings.rates) * len(settings.seeds) * len(NAMES)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # these problems are tiny: a second thread only gets in the way
    try:
        with tqdm(total=3 + 2 + runs + 1, file=sys.stderr, desc="demo", unit="part") as bar:
            derivations = []
            for loss in losses():
                derivations.append(derive(loss))
                bar.update()
            actions = [to_torch(derivation.certificates[0]) for derivation in derivations]
            names = ("rosenbrock_action.py", "booth_action.py", "quadratic_action.py")
            for action, name in zip(actions, names, strict=True):
                action.save(folder / name)
            paths = [rosenbrock(actions[0], seed)]
            bar.update()
            paths.append(booth(actions[1], seed))
            bar.update()
            result = compare(data, settings, bar.update)
            figures = _figures(derivations, paths, result)
            for name, figure in figures.items():
                figure.savefig(folder / f"{name}.png", dpi=160)
            report = folder / "report.html"
            report.write_text(
                _page(derivations, actions, paths, result, figures, names).html(), encoding="utf-8"
            )
            bar.update()
    finally:
        torch.set_num_threads(threads)
    _print(derivations, paths, result, say)
    say(f"\nreport: {report.absolute()}")
    return report


def _figures(
    derivations: Sequence[Derivation], paths: Sequence[Descents], result: DigitsResult
) -> dict[str, Figure]:
    figures = {}
    for derivation, descents in zip(derivations, paths, strict=False):
        certificate = derivation.certificates[0]
        key = descents.name.lower()
        starts = (
            [[-1.0, -1.0], [0.5, 0.6], [1.5, 1.6]]
            if key == "rosenbrock"
            else [[5.0, -5.0], [3.0, 1.0], [0.0, 3.0]]
        )
        values = {"a": 1, "b": 100} if derivation.loss.constants else {}
        figures[f"{key}_orbits"] = plot_symmetry(_at(certificate, values), starts)
        labels = ("gradient descent", "published teleport", "exact maximum")
        rows = (descents.plain, descents.published.row(0), descents.exact)
        figures[f"{key}_paths"] = plot_trajectory(
            rows,
            action=descents.action,
            labels=labels,
            minimum=descents.minimum,
            title=f"{descents.name}: three descents",
        )
        figures[f"{key}_convergence"] = plot_convergence(
            (descents.plain, descents.published, descents.exact),
            labels,
            title=f"{descents.name}, rate {descents.rate:g}",
        )
    figures["digits"] = digits_figure(result)
    return figures


def _at(certificate: Certificate, values: dict[str, int]) -> Certificate:
    """The certificate for given constants: derived and proved again for them."""
    return derive(certificate.loss.at(values)).certificates[0] if values else certificate


def _print(
    derivations: Sequence[Derivation],
    paths: Sequence[Descents],
    result: DigitsResult,
    say: Callable[[str], None],
) -> None:
    for derivation in derivations:
        say(str(derivation.certificates[0]))
        say("")
    for descents in paths:
        say(
            f"{descents.name}, rate {descents.rate:g}: final loss; teleports; largest relative change of the loss at one"
        )
        for row in descents.rows():
            say(f"  {row[0]:42} {row[1]:>10} {row[2]:>6} {row[3]:>10}")
        say("")
    say(
        f"{result.data}, LeakyReLU network {'-'.join(map(str, result.settings.widths))}: median training loss at the end"
    )
    for row in _digits_rows(result):
        say("  " + f"{row[0]:28}" + "".join(f"{entry:>16}" for entry in row[1:]))
    say(
        "  loss change at each exact teleport (rate, seed, step, gain in the squared gradient norm, relative change of the loss):"
    )
    for run, move in result.moves():
        say(f"    {run.rate:<6g} {run.seed:<3} {move.step:<4} {move.gain:6.3f}   {move.loss_change:.1e}")


def _digits_rows(result: DigitsResult) -> list[list[str]]:
    rows = []
    for method, name in NAMES.items():
        entries = [f"{float(result.final(method, rate).median()):.3f}" for rate in result.settings.rates]
        best = result.best_rate(method)
        rows.append([name, *entries, f"{float(result.final(method, best).median()):.3f} ({best:g})"])
    return rows


def _verdict(result: DigitsResult) -> str:
    """What the table says, in words computed from it."""
    wins = [
        rate for rate in result.settings.rates
        if float(result.final("teleport", rate).median()) < float(result.final("plain", rate).median())
    ]  # fmt: skip
    plain = float(result.final("plain", result.best_rate("plain")).median())
    moved = float(result.final("teleport", result.best_rate("teleport")).median())
    listed = ", ".join(f"{rate:g}" for rate in wins) or "none"
    best = "lower" if moved < plain else "not lower"
    return (
        f"At the same rate teleporting ends lower at these rates: {listed}. With each method at its own best rate it is {best}: "
        f"{moved:.3f} against {plain:.3f} for plain SGD. Teleporting acts largely like a larger learning rate: it helps "
        "where the rate is too small, and a tuned rate takes most of that away."
    )


def _page(
    derivations: Sequence[Derivation], actions: Sequence[Action], paths: Sequence[Descents], result: DigitsResult,
    figures: dict[str, Figure], modules: Sequence[str],
) -> Report:  # fmt: skip
    page = Report(
        "From a formula to a teleport",
        f"Symmetries derived, proved, turned into code and used by symdiscover {symdiscover.__version__}. "
        "Every number on this page was computed by the run that wrote it.",
    )
    page.heading("What was derived")
    page.text(
        "A symmetry of a loss is a group of maps that leave its value unchanged. Each below was found from the expression "
        "alone; a claim counts only once every identity in its table holds."
    )
    for derivation, module in zip(derivations, modules, strict=True):
        _derived(page, derivation, module)
    page.heading("Two descents with teleports")
    page.text(
        "A teleport moves a point along its orbit, where the loss is the same, to where the gradient is larger; then gradient "
        "descent goes on. The published version starts from a random angle and makes ten steps of gradient ascent; "
        "the exact version takes the largest gradient of the whole orbit, from the Fourier coefficients of its square."
    )
    for descents in paths:
        key = descents.name.lower()
        page.heading(descents.name, 3)
        page.figure(
            figures[f"{key}_orbits"],
            f"Level sets of the {descents.name} function (grey) and three orbits of its group.",
        )
        page.figure(
            figures[f"{key}_paths"],
            f"Descents from one start. Dashed: the part of the orbit that a teleport moves along. Rate {descents.rate:g}.",
        )
        page.figure(
            figures[f"{key}_convergence"],
            "At a teleport (dots) the loss stays and the gradient jumps. Published: median and 10th to 90th percentile of "
            f"{PUBLISHED_SEEDS} seeds.",
        )
        head = ("method", "final loss", "teleports", "largest relative loss change at a teleport")
        page.table(
            f"{descents.name}: where {len(descents.plain.losses) - 1} steps end", head, descents.rows()
        )
    _digits_section(page, result, figures["digits"])
    page.heading("What this shows, and what it does not")
    page.text(
        "Exact means exact: no teleport on this page changed a loss or an output by more than rounding. The descents use the "
        "settings of the paper, whose rates are small; a tuned rate, or a second-order method, is as fast on functions of two "
        "variables. “No symmetry” is never claimed here, only “none in the families tried”."
    )
    page.heading("Sources")
    page.text(
        "B. Zhao, N. Dehmamy, R. Walters, R. Yu: Symmetry Teleportation for Accelerated Optimization, NeurIPS 2022, "
        "arXiv:2205.10637. The test functions' sources are listed by: symdiscover catalogue."
    )
    return page


def _derived(page: Report, derivation: Derivation, module: str) -> None:
    certificate = derivation.certificates[0]
    symmetry = certificate.symmetry
    page.heading(symmetry.loss.name or str(symmetry.loss.expression), 3)
    rows = [f"<i>L</i> = {mathml(symmetry.loss.expression)}"]
    rows += [
        f"{mathml(u)} = {mathml(expression)}"
        for u, expression in zip(symmetry.chart.coordinates, symmetry.chart.forward, strict=True)
    ]
    if symmetry.map is not None and sum(image.count_ops() for image in symmetry.map) < 120:
        rows += [
            f"{mathml(x)} ↦ {mathml(image)}"
            for x, image in zip(symmetry.loss.variables, symmetry.map, strict=True)
        ]
    page.formulas(rows)
    page.text(
        f"{symmetry.group.name} acts on the coordinates u ({symmetry.kind}, found by the route “{symmetry.route}”). Domain: "
        f"{symmetry.domain}. Orbits of dimension {certificate.orbit_dimension} in level sets of dimension "
        f"{symmetry.loss.dimension - 1}{': every level set is one orbit, locally' if certificate.transitive else ''}. "
        f"Torch code: {module}."
    )
    head = ("identity", "statement", "status", "how")
    page.table(
        f"The proof, checked with SymPy {certificate.sympy_version}",
        head,
        [(i.name, i.statement, i.status, i.method) for i in certificate.identities],
    )


def _digits_section(page: Report, result: DigitsResult, figure: Figure) -> None:
    settings = result.settings
    page.heading("A network: the same outputs, another gradient")
    page.text(
        f"A LeakyReLU network ({'-'.join(map(str, settings.widths))}) on {result.data}. Scaling the weights into a hidden unit by s "
        "and those out of it by 1/s changes no output, for any input; it changes the gradient. A teleport picks the scales "
        f"within e^±{settings.radius:g} that make the gradient largest, in closed form from one gradient, before the steps "
        f"{', '.join(map(str, settings.teleport_at))}. The control moves to a random point of the same orbit instead."
    )
    page.figure(
        figure,
        f"Training loss over all training digits: median and range of {len(settings.seeds)} seeds, {settings.epochs} epochs.",
    )
    head = ("method", *[f"rate {rate:g}" for rate in settings.rates], "own best rate")
    page.table("Median training loss at the end", head, _digits_rows(result))
    page.note(_verdict(result))
    page.table(
        "Every exact teleport: gain in the squared gradient norm, and how far the loss and the outputs moved",
        ("rate", "seed", "before step", "gain", "loss change", "output change"),
        [
            (f"{r.rate:g}", r.seed, m.step, f"{m.gain:.2f}", f"{m.loss_change:.1e}", f"{m.output_change:.1e}")
            for r, m in result.moves()
            if r.seed == settings.seeds[0]
        ],
    )
    largest = max((m.loss_change for _, m in result.moves()), default=0.0)
    page.text(
        f"The table shows the first seed; over all {len(result.moves())} teleports the largest relative change of the loss was "
        f"{largest:.1e}."
    )
