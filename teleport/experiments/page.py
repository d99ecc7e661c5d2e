"""The page that `teleport demo` leaves: what was derived, the proofs, the pictures, the tables, and what they show."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import symdiscover
from symdiscover.derive import Derivation
from symdiscover.symmetry import Certificate
from teleport.experiments import digits as network
from teleport.experiments.digits import DigitsResult
from teleport.experiments.functions import Change, FunctionResult, Method, final
from teleport.experiments.report import Report, mathml, scientific

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
        "Each group below was found from the expression alone. That is a claim; it counts only once every identity in its "
        "table has been proved, and once a control, a map that is no symmetry, has failed the same check. Each identity is "
        "small: “structure” means that both sides are one expression as soon as the definitions are put in, “expand” "
        "that their difference multiplies out to zero."
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
            f"≤ {scientific(_largest(change.rounding for change in changes))} units",
            f"of rounding: the largest change of a loss at any of {len(changes)} teleports on test functions",
        ),
        (
            f"≤ {scientific(_largest(move.loss_change for move in moves), 1)}",
            f"relative change of the loss at any of {len(moves)} teleports of a network",
        ),
        (
            f"{scientific(plain, 3)} → {scientific(exact)}",
            f"{first.settings.name}: loss after {first.settings.steps:,} steps, without and with exact teleports",
        ),
    ]


def _largest(values: Iterable[float]) -> float:
    return max(values, default=0.0)


def _all_changes(result: FunctionResult) -> list[Change]:
    return [change for changes in result.changes.values() for change in changes]


def _title(result: FunctionResult) -> str:
    name = result.settings.name
    return name[0].upper() + name[1:]


def _derived(
    report: Report, derivation: Derivation, module: str, result: FunctionResult, findings: Findings
) -> None:
    certificate = derivation.certificates[0]
    symmetry, loss, name = certificate.symmetry, certificate.loss, result.settings.name
    report.heading(f"{_title(result)}: {symmetry.group.name}")
    constants = " and ".join(symbol.name for symbol in loss.constants)
    sizes = f"dimension {certificate.orbit_dimension}, the level sets {certificate.level_dimension}"
    report.text(
        f"Found by the route “{symmetry.route}”{f', for every positive {constants} at once' if constants else ''}: in the "
        f"coordinates u below the loss is a form that {symmetry.group.name} leaves unchanged. Domain: {symmetry.domain}. The "
        f"orbits have {sizes}{': on each level set any point reaches all those near it' if certificate.transitive else ''}."
    )
    report.formulas(_formulas(certificate))
    report.table(
        f"The proof for the {name} function, with SymPy {certificate.sympy_version}: x stands for the variables, φ for the "
        "change to the coordinates u, ψ for the way back, Q for the loss in u, B for the generators of the group, a(g, x) for "
        "the moved point.",
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


def _formulas(certificate: Certificate) -> list[tuple[str, str, str, str]]:
    """What it is, left side, relation, right side: the loss, the coordinates, the group in them, and the way back."""
    symmetry, loss, chart = certificate.symmetry, certificate.loss, certificate.symmetry.chart
    arguments = "<mo>,</mo>".join(mathml(symbol) for symbol in loss.variables)
    head = f"<mrow><mi>L</mi><mo>(</mo>{arguments}<mo>)</mo></mrow>"
    rows = [("the loss", head, "=", mathml(loss.expression))]
    pairs = zip(chart.coordinates, chart.forward, strict=True)
    rows += [("coordinates", mathml(u), "=", mathml(expression)) for u, expression in pairs]
    rows.append(("the loss in them", "<mi>L</mi>", "=", mathml(symmetry.reduced_loss)))
    if symmetry.group.element == "angle":
        images = zip(
            chart.coordinates, symmetry.moved(symmetry.group.matrix(symmetry.parameters)), strict=True
        )
        rows += [("the group", mathml(u), "↦", mathml(image)) for u, image in images]
    else:
        one = "<msup><mi>g</mi><mo>⊤</mo></msup><mi>g</mi><mo>=</mo><mn>1</mn>"
        gap = "<mo>,</mo><mspace width='.8em'/>"
        rows.append(("the group", "<mi>u</mi>", "↦", f"<mrow><mi>g</mi><mi>u</mi>{gap}{one}</mrow>"))
    rows += [("the way back", mathml(x), "=", mathml(expression)) for x, expression in chart.inverse]
    if symmetry.map is not None and sum(image.count_ops() for image in symmetry.map) <= DISPLAY_OPERATIONS:
        written = zip(loss.variables, symmetry.map, strict=True)
        rows += [("written out", mathml(x), "↦", mathml(image)) for x, image in written]
    return rows


def _greek(text: str) -> str:
    """The statements of a proof with the letters and indices that they stand for."""
    written = {
        "psi": "ψ",
        "phi": "φ",
        "M^T": "Mᵀ",
        "g^T": "gᵀ",
        "B_i": "Bᵢ",
        "B_j": "Bⱼ",
        "u1": "u₁",
        "^2": "²",
    }
    for word, sign in written.items():
        text = text.replace(word, sign)
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
        "The rates above are those of the paper for Rosenbrock and Booth. A fair comparison lets every method have its own "
        "best rate from a grid. (The published teleports draw their angles anew for it.)"
    )
    report.figure(
        findings.pictures["rates"],
        "The loss at the end against the rate; a cross at the top is a run that diverged, the dashed line the rate used above. "
        "Losses below 10⁻³² are drawn there. On the quadratic the ascent stands for the exact maximum.",
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
    report.heading(f"{_title(result)}, rate {settings.rate:g}")
    start = ", ".join(f"{value:g}" for value in settings.start).replace("-", "−")
    when = sorted({record.step for path in result.paths.values() for record in path.teleports})
    text = (
        f"From ({start}), {settings.steps:,} steps at rate {settings.rate:g}; teleports after {_steps(when)}."
    )
    if settings.published is not None:
        text += f" The published teleports run with {settings.seeds} random angles to start from."
    else:
        text += (
            f" On orbits of {result.action.group.name} the best point is found by an ascent over the group."
        )
    report.text(text)
    key = name.lower()
    if f"{key}_paths" in findings.pictures:
        report.figure(
            findings.pictures[f"{key}_paths"],
            "One descent of each method from the same start; arrows are teleports along the orbit. "
            "Of the published ones the first seed is shown.",
            f"Paths of three descents on the {name} function",
            860,
        )
    caption = "At a teleport (dots) the loss stays and the gradient jumps."
    if settings.published is not None:
        caption += f" Published: median and 10th to 90th percentile of {settings.seeds} seeds."
        if math.isclose(final(result.paths["published"]), final(result.paths["exact"]), rel_tol=1e-6):
            caption += " The two teleported lines lie on each other."
    if any(bool((path.losses == 0).any()) for path in result.paths.values()):
        caption += " A line ends where the loss is 0, which has no logarithm."
    report.figure(
        findings.pictures[f"{key}_convergence"],
        caption,
        f"Loss and gradient norm against step on the {name} function",
        830,
    )
    report.table(
        f"{_title(result)}: what {settings.steps:,} steps reach, and what they cost, searches, checks and guard included. The "
        "change of the loss at a teleport is in units of what rounding the point alone may cause.",
        (
            "method",
            "final loss",
            "gradients",
            "gradient descent after as many",
            "teleports",
            "largest change",
        ),
        [_method_row(result, method) for method in settings.methods],
    )
    rows = [
        (
            f"{c.step:,}",
            scientific(c.loss, 3),
            scientific(c.difference, 1),
            f"{c.rounding:.2f}",
            f"{c.gain:,.3g}",
        )
        for c in result.changes["exact"]
    ]
    if rows:
        head = ("after step", "loss", "its change", "in rounding units", "squared gradient norm grew by")
        report.table(f"{_title(result)}: every teleport of the run “{result.label('exact')}”.", head, rows)


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
        f"{_largest(change.rounding for change in changes):.2f}" if changes else "–",
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
    settings = result.settings
    plain, exact = final(result.paths["plain"]), final(result.paths["exact"])
    charged = result.plain_after(result.gradients("exact"))
    (plain_rate, plain_best), (exact_rate, exact_best) = result.best("plain"), result.best("exact")
    same = "lower" if exact < charged else "not lower"
    best = "lower" if exact_best < plain_best else "not lower"
    text = (
        f"{_title(result)}: at rate {settings.rate:g} the {result.label('exact')} ends {same} than gradient descent "
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
    low, high = math.exp(-settings.radius), math.exp(settings.radius)
    before = ", ".join(str(step + 1) for step in settings.teleport_at)
    report.chapter("A network: the same outputs, another gradient")
    report.text(
        f"A LeakyReLU network ({'-'.join(map(str, settings.widths))}, slope {settings.slope:g}) learns the "
        f"{result.data.replace(' x ', ' × ')}. Scaling the weights into a hidden unit by s and those out of it by 1/s changes "
        f"no output, for any input, but it changes the gradient. Before the steps {before} a teleport picks for every hidden "
        f"unit the scale between {low:.2f} and {high:.2f} that makes the gradient largest: in closed form, from one gradient. "
        "The control moves to a random corner of the same box of scales instead."
    )
    report.figure(
        findings.pictures["digits"],
        f"Loss on all training digits against gradients of mini-batches of {settings.batch}, those of the teleports included: "
        f"median and range of {len(settings.seeds)} seeds. Right: where {settings.gradients} gradients end, for each rate. "
        "A band that leaves at the top holds a seed that ended far above the start, or diverged.",
        "Training losses of three methods at several rates",
        860,
    )
    report.table(
        f"Training loss after {settings.gradients} gradients, the median over {len(settings.seeds)} seeds, with how many "
        "diverged; and the accuracy on held-out digits at the method's own best rate.",
        ("method", *[f"rate {rate:g}" for rate in settings.rates], "own best", "accuracy there"),
        digits_rows(result),
    )
    report.note(network.verdict(result))
    report.table(
        f"The teleports at each rate, over all {len(settings.seeds)} seeds: by how much the squared gradient norm of the batch "
        "grew (medians), and the largest relative changes of the loss and of an output. Each one is in `metrics.json`.",
        ("rate", f"gradient grew, before steps {before}", "loss change", "output change"),
        [_teleport_row(result, rate) for rate in settings.rates],
    )
    moves = [move for _, move in result.moves() if move.accepted]
    if moves:
        one = statistics.median(move.seconds for move in moves)
        step = statistics.median(run.step_seconds for run in result.runs)
        report.text(
            f"On this machine a teleport took {1e3 * one:.1f} ms, as long as {one / step:.0f} training steps: the network is so "
            "small that what surrounds the arithmetic dominates. Charged above is what it computes, "
            f"{moves[0].gradient_equivalents:.0f} gradients."
        )


def _teleport_row(result: DigitsResult, rate: float) -> tuple[str, str, str, str]:
    runs = result.of("teleport", rate)
    moves = [move for run in runs for move in run.moves if move.accepted]
    gains = [
        statistics.median(move.gain for run in runs for move in run.moves if move.step == step)
        for step in result.settings.teleport_at
        if any(move.step == step for run in runs for move in run.moves)
    ]
    return (
        f"{rate:g}",
        ", ".join(f"{gain:.2f}" for gain in gains),
        scientific(_largest(move.loss_change for move in moves)),
        scientific(_largest(move.output_change for move in moves)),
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
    lost, seeds = result.diverged(method, rate), len(result.settings.seeds)
    if lost == seeds:
        return "diverged"
    return scientific(result.final(method, rate), 3) + (f" ({lost}/{seeds})" if lost else "")


def _conclusions(report: Report, findings: Findings) -> None:
    changes = [change for result in findings.functions for change in _all_changes(result)]
    certificates = [derivation.certificates[0] for derivation in findings.derivations]
    report.chapter("What this shows, and what it does not")
    proved = all(certificate.status == "proved" for certificate in certificates)
    report.text(
        f"The teleports are exact. Over {len(changes)} of them on test functions no loss changed by more than "
        f"{scientific(_largest(change.rounding for change in changes))} times what rounding the point may cause"
        f"{', and every group behind them is proved' if proved else ''}."
    )
    better = [
        result.settings.name
        for result in findings.functions
        if result.best("exact")[1] < result.best("plain")[1]
    ]
    other = [result.settings.name for result in findings.functions if result.settings.name not in better]
    report.text(
        f"With each method at its own best rate, teleporting to the largest gradient ends lower than gradient descent on "
        f"{_listed(better)}, and does not on {_listed(other)}. Teleporting acts largely like a larger learning rate, so the "
        "paper's settings, whose rates are small, flatter it; on a network see the note above. Functions of two or three "
        "variables are easy for second-order methods, which are not compared here; nor are optimizers that keep a state, such "
        "as AdaGrad, where forgetting that state is a control of its own."
    )
    report.text(
        "“No symmetry” is never claimed, only “none in the families tried”: here those were "
        f"{', '.join(attempt.route for attempt in findings.derivations[0].tried)}."
    )


def _listed(names: Sequence[str]) -> str:
    """Names in words, "none of them" where there are none."""
    *most, last = names or ["none of them"]
    return f"{', '.join(most)} and {last}" if most else last


def _provenance(report: Report, findings: Findings, seconds: float) -> None:
    report.chapter("How it was made")
    report.text(
        f"`teleport demo --seed {findings.seed}`, in {seconds:.0f} seconds with one thread. In the same folder are the pictures, "
        f"the generated modules {', '.join(f'`{module}`' for module in findings.modules)}, and `metrics.json` with every "
        "setting, version, seed, final loss and loss change. `symdiscover verify` proves a module again from its text, without "
        "running it."
    )
    report.footer(
        "B. Zhao, N. Dehmamy, R. Walters, R. Yu: Symmetry Teleportation for Accelerated Optimization, NeurIPS 2022, "
        f"arXiv:2205.10637. The sources of the test functions: `symdiscover catalogue`. symdiscover {symdiscover.__version__}."
    )
