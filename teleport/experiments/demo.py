"""``teleport demo``: from formulas to proofs to code to teleported descents, and one page that shows it all."""

from __future__ import annotations

import io
import json
import math
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import sympy as sp
import torch
from matplotlib.figure import Figure
from tqdm import tqdm

import symdiscover
from symdiscover import catalogue
from symdiscover.derive import Derivation, derive
from symdiscover.errors import SymmetryError
from symdiscover.generate import to_torch
from symdiscover.loss import Loss
from teleport.experiments import digits as network
from teleport.experiments import functions
from teleport.experiments.data import Classification, digits
from teleport.experiments.digits import DigitsResult, DigitsSettings
from teleport.experiments.functions import BOOTH, QUADRATIC, ROSENBROCK, FunctionResult, FunctionSettings
from teleport.experiments.page import Findings, digits_rows, page
from teleport.experiments.picture import picture

#: Of the pictures.
DPI = 150


@dataclass(frozen=True)
class DemoSettings:
    """What is run; the losses are fixed."""

    rosenbrock: FunctionSettings = ROSENBROCK
    booth: FunctionSettings = BOOTH
    quadratic: FunctionSettings = QUADRATIC
    digits: DigitsSettings = field(default_factory=DigitsSettings)

    @property
    def functions(self) -> tuple[FunctionSettings, ...]:
        """Of the three test functions, in the order of `losses`."""
        return self.rosenbrock, self.booth, self.quadratic


def losses() -> tuple[Loss, ...]:
    """The three losses that the demo derives."""
    quadratic = Loss.parse("x**2 + x*y + 3*y**2 + 5*(z - 1)**2", name="a quadratic in three variables")
    return catalogue.load("rosenbrock").loss, catalogue.load("booth").loss, quadratic


def demo(
    folder: Path, seed: int = 0, settings: DemoSettings | None = None, say: Callable[[str], None] = print
) -> Path:
    """Run everything, write modules, pictures, ``metrics.json`` and ``report.html`` into a folder.

    The files are put into the folder together at the end, the report last: an interruption leaves none of
    them.

    Parameters
    ----------
    folder:
        Made if it is missing; files of these names in it are replaced, others left.
    seed:
        Of everything random: the published teleports' angles, and the first of the network's seeds.
    settings:
        What is run.
    say:
        Where the results go.

    Returns
    -------
    Path
        Of the report.

    Raises
    ------
    SymmetryError
        If scikit-learn is missing, the folder is a file, or a group could not be proved in time.
    OSError
        If the folder cannot be written.
    """
    begun = time.perf_counter()
    settings = settings or DemoSettings()
    data = digits()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # these problems are tiny: a second thread only gets in the way
    methods = sum(len(function.methods) for function in settings.functions)
    runs = len(settings.digits.rates) * len(settings.digits.seeds) * len(network.NAMES)
    try:
        with (
            _staged(folder) as stage,
            tqdm(total=3 + methods + runs + 1, file=sys.stderr, desc="demo", unit="part", leave=False) as bar,
        ):

            def show(text: str) -> None:
                bar.clear()
                say(text)
                bar.refresh()

            derivations = tuple(_derived(loss, show, bar.update) for loss in losses())
            findings = explore(derivations, data, settings, seed, show, bar.update)
            _write(stage, findings, begun)
            bar.update()
    finally:
        torch.set_num_threads(threads)
    report = folder.absolute() / "report.html"
    say(f"{time.perf_counter() - begun:.0f} seconds. The report to read is\n{report}")
    return report


def explore(
    derivations: Sequence[Derivation],
    data: Classification,
    settings: DemoSettings,
    seed: int = 0,
    show: Callable[[str], None] = lambda text: None,
    tick: Callable[[], object] = lambda: None,
) -> Findings:
    """Descend with what was derived, and train the network; nothing is drawn or written yet."""
    results = []
    for derivation, function in zip(derivations, settings.functions, strict=True):
        results.append(functions.run(derivation.certificates[0], function, seed, tick))
        show(_descents_text(results[-1]))
    seeds = tuple(seed + index for index in settings.digits.seeds)
    trained = network.compare(data, replace(settings.digits, seeds=seeds), tick)
    show(_digits_text(trained))
    modules = tuple(f"{function.name}_action.py".lower() for function in settings.functions)
    return Findings(seed, tuple(derivations), tuple(results), trained, modules, {})


def _write(folder: Path, findings: Findings, begun: float) -> None:
    for result, module in zip(findings.functions, findings.modules, strict=True):
        to_torch(result.certificate).save(folder / module)
    pictures = {name: _png(figure) for name, figure in _figures(findings.functions, findings.digits)}
    for name, png in pictures.items():
        (folder / f"{name}.png").write_bytes(png)
    numbers = json.dumps(metrics(findings), indent=1, allow_nan=False)
    (folder / "metrics.json").write_text(f"{numbers}\n", encoding="utf-8")
    html = page(replace(findings, pictures=pictures), time.perf_counter() - begun).html()
    (folder / "report.html").write_text(html, encoding="utf-8")


@contextmanager
def _staged(folder: Path) -> Iterator[Path]:
    """A folder beside the results, whose files move into `folder` once all are written, ``report.html`` last."""
    if folder.exists() and not folder.is_dir():
        raise SymmetryError(f"{folder} is a file, not a folder: name another with --out")
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(prefix=".teleport-demo-", dir=folder))
    except OSError as error:
        raise OSError(error.errno, f"cannot write there ({error.strerror})", str(folder)) from error
    try:
        yield stage
        for file in sorted(stage.iterdir(), key=lambda file: (file.name == "report.html", file.name)):
            file.replace(folder / file.name)
        missing = []
    finally:
        shutil.rmtree(stage, ignore_errors=True)
        for place in missing:
            with suppress(OSError):  # somebody else put something there
                place.rmdir()


def _derived(loss: Loss, show: Callable[[str], None], tick: Callable[[], object]) -> Derivation:
    derivation = derive(loss)
    tick()
    if not derivation.certificates:
        tried = "; ".join(f"{attempt.route}: {attempt.outcome}" for attempt in derivation.tried)
        raise SymmetryError(f"no group of {loss.name or loss} was proved ({tried})")
    show(f"{derivation.certificates[0]}\n")
    return derivation


def _figures(results: Sequence[FunctionResult], trained: DigitsResult) -> Iterator[tuple[str, Figure]]:
    yield "teleport", picture(to_torch(results[0].certificate))
    for result in results:
        name = result.settings.name.lower()
        if result.settings.box is not None:
            yield f"{name}_orbits", functions.orbits_figure(result)
            yield f"{name}_paths", functions.paths_figure(result)
        yield f"{name}_convergence", functions.convergence_figure(result)
    yield "rates", functions.rates_figure(results)
    yield "digits", network.figure(trained)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, pil_kwargs={"compress_level": 4})
    return buffer.getvalue()


def _descents_text(result: FunctionResult) -> str:
    """The table of one test function, and what each exact teleport did to the loss."""
    settings = result.settings
    lines = [f"{settings.name}, rate {settings.rate:g}, {settings.steps} steps"]
    lines.append(f"  {'':28}{'final loss':>12}{'gradients':>11}{'teleports':>11}{'largest loss change':>30}")
    for method in settings.methods:
        changes = result.changes[method]
        largest = "-"
        if changes:
            largest = (
                f"{max(c.difference for c in changes):.1e} ({max(c.rounding for c in changes):.2f} roundings)"
            )
        end = functions.final(result.paths[method])
        lines.append(
            f"  {result.label(method):28}{end:>12.4g}{result.gradients(method):>11}{len(changes):>11}{largest:>30}"
        )
    lines.append(f"  every teleport of the {result.label('exact')}:")
    lines += [
        f"    after step {c.step}: loss {c.loss:.6g} changed by {c.difference:.1e}, "
        f"squared gradient norm grew {c.gain:.4g}-fold"
        for c in result.changes["exact"]
    ]
    return "\n".join(lines) + "\n"


def _digits_text(result: DigitsResult) -> str:
    """The table of the network, and the loss change at each teleport, a line for each run."""
    settings = result.settings
    lines = [
        f"{result.data}, LeakyReLU network {'-'.join(map(str, settings.widths))}: "
        f"median training loss after {settings.gradients} gradients"
    ]
    head = ["", *[f"rate {rate:g}" for rate in settings.rates], "own best", "accuracy"]
    for row in (head, *digits_rows(result)):
        lines.append(
            "  "
            + f"{row[0]:26}"
            + "".join(f"{entry:>11}" for entry in row[1:-2])
            + f"{row[-2]:>20}{row[-1]:>10}"
        )
    steps = ", ".join(str(step + 1) for step in settings.teleport_at)
    lines.append(f"  relative change of the loss at each teleport, before steps {steps}:")
    for run in result.runs:
        if run.moves:
            moved = "  ".join(
                f"{move.loss_change:.1e}" if move.accepted else move.reason for move in run.moves
            )
            lines.append(f"    rate {run.rate:<5g} seed {run.seed:<3} {moved}")
    return "\n".join(lines) + f"\n  {network.verdict(result)}\n"


def metrics(findings: Findings) -> dict[str, Any]:
    """Settings, versions, seeds, final losses and every loss change, as JSON holds them: without any time.

    What is not finite is null.
    """
    versions = {
        "symdiscover": symdiscover.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "sympy": sp.__version__,
        "numpy": np.__version__,
    }
    table = {
        "seed": findings.seed,
        "versions": versions,
        "certificates": [derivation.certificates[0].as_dict() for derivation in findings.derivations],
        "functions": [
            {
                "settings": result.settings,
                "final_losses": {method: path.final_loss.tolist() for method, path in result.paths.items()},
                "gradients": {method: result.gradients(method) for method in result.paths},
                "final_losses_by_rate": result.grid,
                "teleports": result.changes,
            }
            for result in findings.functions
        ],
        "digits": {
            "settings": findings.digits.settings,
            "runs": [_timeless(run) for run in findings.digits.runs],
        },
    }
    return _plain(table)


def _timeless(run: network.Run) -> dict[str, Any]:
    """A run without the times, which differ from run to run."""
    moves = [{key: value for key, value in asdict(move).items() if key != "seconds"} for move in run.moves]
    return {**{key: value for key, value in asdict(run).items() if key != "step_seconds"}, "moves": moves}


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: _plain(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if callable(value):
        return getattr(value, "__name__", repr(value))
    return None if isinstance(value, float) and not math.isfinite(value) else value
