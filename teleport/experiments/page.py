"""The page that `teleport demo` leaves: what was derived, the proofs, the pictures, the tables, and what they show."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sympy as sp

import symdiscover
from symdiscover.derive import Derivation
from symdiscover.symmetry import Certificate
from teleport.experiments import digits as network
from teleport.experiments.digits import DigitsResult
from teleport.experiments.functions import Change, FunctionResult, Method, final
from teleport.experiments.report import Report, scientific

#: Images with more operations are not written out.
DISPLAY_OPERATIONS = 80


@dataclass(frozen=True)
class Findings:
    """All that one run of the demo found.

    Attributes
    ----------
    derivations, functions:
        In the same order: what was derived, and the descents with it.
    modules:
        Names of the files with the generated code, in the same order.
    pictures:
        Name -> PNG.
    """

    seed: int
    derivations: tuple[Derivation, ...]
    functions: tuple[FunctionResult, ...]
    digits: DigitsResult
    modules: tuple[str, ...]
    pictures: Mapping[str, bytes]


def page(findings: Findings, seconds: float) -> Report:
    """The whole report; `seconds` is what everything before it took."""
    report = Report(
        "From a formula to a teleport",
        "A symmetry of a loss is a group of maps that leave its value unchanged. Here such groups are derived from formulas, "
        "proved, turned into torch code, and used to move an optimizer to where the gradient is larger: a teleport. "
        "Every number on this page was computed by the run that wrote it.",
    )
    report.cards(_cards(findings))
    report.figure(
        findings.pictures["teleport"],
        "A teleport on the Rosenbrock function (a = 1, b = 100), over its level sets. Gradient descent reaches the flat "
        "valley (blue). The teleport (orange arrow) follows the orbit of the derived group (dashed), on which the loss is "
        "the same, to the largest gradient; from there descent goes on (green).",
        "Level sets of the Rosenbrock function with a descent and a teleport along an orbit",
        700,
    )
    report.chapter("What was derived")
    report.text(
        "Each group below was found from the expression alone. The derivation is a claim; it counts only once every identity "
        "in its table has been proved in exact arithmetic. A control, a map that is not a symmetry, must fail the same check."
    )
    for derivation, module, result in zip(
        findings.derivations, findings.modules, findings.functions, strict=True
    ):
        _derived(report, derivation, module, result, findings)
    _descents(report, findings)
    _network(report, findings)
    _conclusions(report, findings)
    _provenance(report, findings, seconds)
    return report


def _cards(findings: Findings) -> list[tuple[str, str]]:
    certificates = [derivation.certificates[0] for derivation in findings.derivations]
    proved = [certificate for certificate in certificates if certificate.status == "proved"]
    identities = sum(len(certificate.identities) for certificate in certificates)
    changes = [change for result in findings.functions for change in _all_changes(result)]
    moves = [move for _, move in findings.digits.moves() if move.accepted]
    first = findings.functions[0]
    plain, exact = (final(first.paths[method]) for method in ("plain", "exact"))
    return [
        (f"{len(proved)} of {len(certificates)}", f"groups derived and proved, by {identities} identities"),
        (
            f"≤ {scientific(max(change.rounding for change in changes))} units",
            f"of rounding: the largest change of a loss at any of {len(changes)} teleports on test functions",
        ),
        (
            f"≤ {scientific(max(move.loss_change for move in moves), 1)}",
            f"relative change of the loss at any of {len(moves)} teleports of a network",
        ),
        (
            f"{scientific(plain, 3)} → {scientific(exact)}",
            f"{first.settings.name}: loss after {first.settings.steps:,} steps, without and with exact teleports",
        ),
    ]


def _all_changes(result: FunctionResult) -> list[Change]:
    return [change for changes in result.changes.values() for change in changes]


def _mathml(expression: sp.Basic) -> str:
    return str(sp.mathml(expression, printer="presentation"))


def _derived(
    report: Report, derivation: Derivation, module: str, result: FunctionResult, findings: Findings
) -> None:
    certificate = derivation.certificates[0]
    symmetry, loss = certificate.symmetry, certificate.loss
    name = result.settings.name
    report.heading(f"{name[0].upper()}{name[1:]}: {symmetry.group.name}")
    constants = " and ".join(symbol.name for symbol in loss.constants)
    report.text(
        f"Found by the route “{symmetry.route}”{f', for every positive {constants} at once' if constants else ''}: in the "
        f"coordinates u below the loss depends on their squares alone, so {symmetry.group.name} acts on u and leaves L "
        f"unchanged. Domain: {symmetry.domain}. Its orbits have dimension {certificate.orbit_dimension}, as have the level "
        f"sets{'' if certificate.transitive else f' not: those have {certificate.level_dimension}'}."
    )
    report.formulas(_formulas(certificate))
    report.table(
        f"The proof for {name}, with SymPy {certificate.sympy_version}: x are the variables, φ the change to the coordinates "
        "u, ψ the way back, Q the loss in u, B the generators of the group.",
        ("identity", "statement", "status", "shown by"),
        [(i.name, _greek(i.statement), i.status, _greek(i.method)) for i in certificate.identities],
    )
    key = f"{name.lower()}_orbits"
    if key in findings.pictures:
        drawn = ", ".join(f"{constant} = {value:g}" for constant, value in result.settings.drawn)
        report.figure(
            findings.pictures[key],
            f"Three orbits of the group of the {name} function{f' (drawn for {drawn})' if drawn else ''}. Left, over the level "
            "sets, they follow them; right, in the coordinates of the proof, they are circles. Dots mark the same eighths of "
            "a turn on both sides, the large one where it begins; the star is the minimum.",
            f"Orbits of {symmetry.group.name} on the {name} function",
            830,
        )
    report.code(f"The generated torch code, `{module}`: it imports torch alone", result.action.source)


def _formulas(certificate: Certificate) -> list[tuple[str, str, str]]:
    symmetry, loss, chart = certificate.symmetry, certificate.loss, certificate.symmetry.chart
    arguments = "<mo>,</mo>".join(_mathml(symbol) for symbol in loss.variables)
    head = f"<mrow><mi>L</mi><mo>(</mo>{arguments}<mo>)</mo></mrow>"
    rows = [(head, "=", _mathml(loss.expression))]
    rows += [
        (_mathml(u), "=", _mathml(expression))
        for u, expression in zip(chart.coordinates, chart.forward, strict=True)
    ]
    rows.append(("<mi>L</mi>", "=", _mathml(symmetry.reduced_loss)))
    if symmetry.group.element == "angle":
        images = symmetry.moved(symmetry.group.matrix(symmetry.parameters))
        rows += [(_mathml(u), "↦", _mathml(v)) for u, v in zip(chart.coordinates, images, strict=True)]
    else:
        one = "<msup><mi>g</mi><mo>⊤</mo></msup><mi>g</mi><mo>=</mo><mn>1</mn>"
        rows.append(
            ("<mi>u</mi>", "↦", f"<mrow><mi>g</mi><mi>u</mi><mo>,</mo><mspace width='.6em'/>{one}</mrow>")
        )
    rows += [(_mathml(x), "=", _mathml(expression)) for x, expression in reversed(chart.inverse)]
    if symmetry.map is not None and sum(image.count_ops() for image in symmetry.map) <= DISPLAY_OPERATIONS:
        rows += [
            (_mathml(x), "↦", _mathml(image)) for x, image in zip(loss.variables, symmetry.map, strict=True)
        ]
    return rows


def _greek(text: str) -> str:
    for word, letter in (("psi(", "ψ("), ("phi(", "φ("), ("phi ", "φ "), ("psi ", "ψ ")):
        text = text.replace(word, letter)
    return text


def _descents(report: Report, findings: Findings) -> None:
    report.chapter("Descents with teleports")
    report.text(
        "A teleport moves the point along its orbit to where the gradient is larger; then gradient descent goes on. The "
        "published version (Zhao et al. 2022) starts from a random angle and makes ten steps of gradient ascent. The exact "
        "version takes the largest gradient on the whole orbit, from the Fourier coefficients of its square. The guarded "
        "version moves only if one trial step from there ends no higher than one from where it stands."
    )
    for result in findings.functions:
        _descent(report, result, findings)
    report.heading("Each method at its own best rate")
    report.text(
        "The rates above are those of the paper for Rosenbrock and Booth. A fair comparison lets every method choose its own."
    )
    report.figure(
        findings.pictures["rates"],
        "The loss at the end against the rate; a cross at the top is a run that diverged, the dashed line the rate used above. "
        "Losses below 10⁻³² are drawn there. On the quadratic, “exact” means an ascent over the orbit.",
        "Final losses against learning rates",
        830,
    )
    report.table(
        "Each method at its own best rate of the grid.",
        ("function", "rates tried", "method", "best rate", "loss there"),
        [
            (
                result.settings.name if index == 0 else "",
                ", ".join(f"{rate:g}" for rate in result.settings.rates) if index == 0 else "",
                result.label(method),
                f"{result.best(method)[0]:g}",
                scientific(result.best(method)[1]),
            )
            for result in findings.functions
            for index, method in enumerate(result.settings.methods)
        ],
    )
    for result in findings.functions:
        report.note(function_verdict(result))


def _descent(report: Report, result: FunctionResult, findings: Findings) -> None:
    settings, name = result.settings, result.settings.name
    report.heading(f"{name[0].upper()}{name[1:]}, rate {settings.rate:g}")
    start = ", ".join(f"{value:g}" for value in settings.start)
    when = sorted({record.step for path in result.paths.values() for record in path.teleports})
    report.text(
        f"From ({start}), {settings.steps:,} steps at rate {settings.rate:g}; teleports after {_steps(when)}."
        + (
            f" The published teleports run with {settings.seeds} random starts of the angle."
            if settings.published
            else ""
        )
    )
    key = name.lower()
    if f"{key}_paths" in findings.pictures:
        report.figure(
            findings.pictures[f"{key}_paths"],
            "One descent of each method from the same start; arrows are teleports along the orbit. "
            "Of the published ones the first seed is shown.",
            f"Paths of three descents on the {name} function",
            860,
        )
    bands = "" if settings.published is None else (
        f" Published: median and 10th to 90th percentile of {settings.seeds} seeds."
    )  # fmt: skip
    report.figure(
        findings.pictures[f"{key}_convergence"],
        f"At a teleport (dots) the loss stays and the gradient jumps.{bands} A line ends where the loss is exactly 0.",
        f"Loss and gradient norm against step on the {name} function",
        830,
    )
    report.table(
        f"{name[0].upper()}{name[1:]}: what {settings.steps:,} steps reach, what they cost (searches, checks and guard "
        "included), and what the teleports did to the loss: its largest change in units of what rounding the point allows.",
        (
            "method",
            "final loss",
            "gradients",
            "gradient descent after as many",
            "teleports",
            "largest loss change",
        ),
        [_method_row(result, method) for method in settings.methods],
    )
    shown: Method = "exact"
    rows = [
        (
            f"{c.step:,}",
            scientific(c.loss, 3),
            scientific(c.difference, 1),
            f"{c.rounding:.2f}",
            scientific(c.gain, 3),
        )
        for c in result.changes[shown]
    ]
    if rows:
        report.table(
            f"Every teleport of the run “{result.label(shown)}”.",
            ("after step", "loss", "its change", "in rounding units", "squared gradient norm grew by"),
            rows,
        )


def _method_row(result: FunctionResult, method: Method) -> tuple[str, ...]:
    path, changes = result.paths[method], result.changes[method]
    label = result.label(method)
    lost = int(path.diverged.sum())
    if path.losses.ndim > 1:
        label += f", median of {path.losses.shape[1]}" + (f" ({lost} diverged)" if lost else "")
    gradients = result.gradients(method)
    return (
        label,
        scientific(final(path), 3),
        f"{gradients:,}",
        "–" if method == "plain" else scientific(result.plain_after(gradients), 3),
        "–" if method == "plain" else f"{len(changes):,}",
        f"{max(change.rounding for change in changes):.2f}" if changes else "–",
    )


def _steps(steps: Sequence[int]) -> str:
    """Step numbers in words: a few are listed, a regular series is abbreviated."""
    if not steps:
        return "no step"
    if len(steps) == 1:
        return f"step {steps[0]:,}"
    if len(steps) > 3:
        return f"steps {steps[0]:,}, {steps[1]:,}, …, {steps[-1]:,}"
    return f"steps {', '.join(f'{step:,}' for step in steps[:-1])} and {steps[-1]:,}"


def function_verdict(result: FunctionResult) -> str:
    """What the numbers of one test function say, in words computed from them."""
    settings, name = result.settings, result.settings.name
    plain, exact = final(result.paths["plain"]), final(result.paths["exact"])
    charged = result.plain_after(result.gradients("exact"))
    (plain_rate, plain_best), (exact_rate, exact_best) = result.best("plain"), result.best("exact")
    same = "lower" if exact < charged else "not lower"
    best = "lower" if exact_best < plain_best else "not lower"
    text = (
        f"{name[0].upper()}{name[1:]}: at rate {settings.rate:g} the {result.label('exact')} ends {same} than gradient descent "
        f"given as many gradients: {scientific(exact)} against {scientific(charged)} ({scientific(plain)} after as many "
        f"steps). Each at its own best rate it is {best}: {scientific(exact_best)} at {exact_rate:g} against "
        f"{scientific(plain_best)} at {plain_rate:g}."
    )
    if "published" in settings.methods:
        published = final(result.paths["published"])
        paid = result.plain_after(result.gradients("published"))
        text += (
            f" The published teleports end {'lower' if published < paid else 'not lower'} than gradient descent given as many "
            f"gradients: {scientific(published)} against {scientific(paid)}."
        )
    return text


def _network(report: Report, findings: Findings) -> None:
    result, settings = findings.digits, findings.digits.settings
    report.chapter("A network: the same outputs, another gradient")
    report.text(
        f"A LeakyReLU network ({'-'.join(map(str, settings.widths))}, slope {settings.slope:g}) learns the {result.data}. "
        "Scaling the weights into a hidden unit by s and those out of it by 1/s changes no output, for any input, but it "
        f"changes the gradient. Before the steps {', '.join(str(step + 1) for step in settings.teleport_at)} a teleport picks, "
        f"for every hidden unit, the scale within e^±{settings.radius:g} that makes the gradient largest: in closed form, from "
        "one gradient. The control moves to a random corner of the same box of scales instead."
    )
    report.figure(
        findings.pictures["digits"],
        f"Loss on all training digits against gradients of mini-batches of {settings.batch}, those of the teleports "
        f"included: median and range of {len(settings.seeds)} seeds. Right: where {settings.gradients} gradients end, for each "
        "rate. A line that leaves at the top diverged.",
        "Training losses of three methods at several rates",
        860,
    )
    report.table(
        f"Median training loss after {settings.gradients} gradients; held-out accuracy at the method's own best rate.",
        ("method", *[f"rate {rate:g}" for rate in settings.rates], "own best", "accuracy there"),
        digits_rows(result),
    )
    report.note(network.verdict(result))
    moves = [(run, move) for run, move in result.moves() if move.accepted]
    first = settings.seeds[0]
    report.table(
        "Every exact teleport with the first seed: how the squared gradient norm of its batch grew, and the relative changes "
        "of the loss and of the outputs. Those of the other seeds are in `metrics.json`.",
        ("rate", "before step", "gradient grew by", "loss change", "output change"),
        [
            (
                f"{r.rate:g}",
                m.step + 1,
                f"{m.gain:.2f}",
                scientific(m.loss_change),
                scientific(m.output_change),
            )
            for r, m in moves
            if r.seed == first
        ],
    )
    if moves:
        one = statistics.median(move.seconds for _, move in moves)
        step = statistics.median(run.step_seconds for run in result.runs)
        report.text(
            f"Over all {len(moves)} teleports the loss of the batch changed by at most "
            f"{scientific(max(move.loss_change for _, move in moves))} and an output by at most "
            f"{scientific(max(move.output_change for _, move in moves))}, relatively. On this machine a teleport took "
            f"{1e3 * one:.1f} ms, as long as {one / step:.0f} training steps: this network is so small that what surrounds "
            f"the arithmetic dominates. Charged above are {moves[0][1].gradient_equivalents:.0f} gradients, what it computes."
        )


def digits_rows(result: DigitsResult) -> list[list[str]]:
    """The table of medians: one row a method."""
    rows = []
    for method, name in network.NAMES.items():
        best = result.best_rate(method)
        accuracy = statistics.median(run.accuracy for run in result.of(method, best))
        entries = [_median(result, method, rate) for rate in result.settings.rates]
        rows.append(
            [name, *entries, f"{_median(result, method, best)} (rate {best:g})", f"{100 * accuracy:.1f} %"]
        )
    return rows


def _median(result: DigitsResult, method: network.Method, rate: float) -> str:
    value = result.final(method, rate)
    return "diverged" if result.diverged(method, rate) == len(result.settings.seeds) else scientific(value, 3)


def _conclusions(report: Report, findings: Findings) -> None:
    changes = [change for result in findings.functions for change in _all_changes(result)]
    worst = max(change.rounding for change in changes)
    report.chapter("What this shows, and what it does not")
    report.text(
        f"The teleports are exact: over {len(changes)} of them on test functions no loss changed by more than "
        f"{scientific(worst)} of what rounding a point by half a unit in its last place may cause, and none was applied that "
        "had not been proved."
    )
    report.text(
        "Teleporting acts largely like a larger learning rate. The rates of the paper are small for these problems; where the "
        "notes above say “not lower”, a tuned rate does as well without it. On functions of two variables a second-order "
        "method needs neither. Not compared here: optimizers that keep a state, such as AdaGrad, for which forgetting that "
        "state is a control of its own."
    )
    report.text(
        "“No symmetry” is never claimed, only “none in the families tried”: here those were "
        f"{', '.join(attempt.route for attempt in findings.derivations[0].tried)}."
    )


def _provenance(report: Report, findings: Findings, seconds: float) -> None:
    report.chapter("How it was made")
    report.text(
        f"`teleport demo --seed {findings.seed}`, in {seconds:.0f} s, with one thread. In the same folder are the pictures, "
        f"the generated modules {', '.join(f'`{module}`' for module in findings.modules)}, and `metrics.json` with every "
        "setting, version, seed, final loss and loss change. `symdiscover verify` proves a module again from its text, without "
        "running it."
    )
    report.footer(
        "B. Zhao, N. Dehmamy, R. Walters, R. Yu: Symmetry Teleportation for Accelerated Optimization, NeurIPS 2022, "
        f"arXiv:2205.10637. The sources of the test functions: `symdiscover catalogue`. symdiscover {symdiscover.__version__}."
    )
