"""``teleport``: demo and run. Results on stdout, progress on stderr, errors as one sentence.

Exit status: 0 done; 1 what was asked for could not be done; 2 the command or its input is wrong; 130 Ctrl-C.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from symdiscover.console import Parser, Progress, complain, output, read_loss, run, seconds

if TYPE_CHECKING:
    from torch import Tensor

    from symdiscover.action import Action
    from symdiscover.loss import Loss
    from teleport.descend import OptimizerFactory
    from teleport.point_teleport import Search
    from teleport.schedule import Schedule
    from teleport.trajectory import TeleportRecord, Trajectory

PROGRAM = "teleport"
OPTIMIZERS = ("gd", "momentum", "adagrad", "rmsprop", "adam")
#: Bound on the length of a teleport where orbits have no largest gradient and none is given.
RADIUS = 0.3
#: Teleports that are listed; `--json` holds all.
LISTED = 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status.

    Examples
    --------
    >>> main(["run", "x**2 + 4*y**2", "--start=3,-1", "--lr=0.1", "--steps=40"])
    start: loss 13, squared gradient norm 100
    end:   loss 1.59016e-07, squared gradient norm 6.36065e-07, 40 steps, 40 gradients
    at x = 0.000398768, y = -1.09951e-28
    0
    """
    return run(_parser(), arguments)


def _parser() -> Parser:
    from symdiscover import __version__

    parser = Parser(prog=PROGRAM, description="Teleport an optimizer along the symmetries of its loss.")
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=Parser)

    demo = commands.add_parser("demo", help="derive, prove, teleport, and leave a report to read")
    demo.add_argument(
        "--out", default="teleport-demo", type=_folder, metavar="DIR", help="for the report (teleport-demo)"
    )
    demo.add_argument("--seed", type=_seed, default=0, help="of everything random (0)")
    demo.set_defaults(command=_demo)

    descent = commands.add_parser("run", help="descend on a function, with teleports")
    add = descent.add_argument
    add("function", metavar="NAME|EXPR", help="a name of the catalogue, or an expression")
    add("--start", required=True, metavar="x,y", help="the start, one number a variable")
    add("--lr", type=_positive, default=1e-3, metavar="RATE", help="the learning rate (0.001)")
    add("--steps", type=_count, default=1000, metavar="N", help="optimizer steps (1000)")
    add("--optimizer", choices=OPTIMIZERS, default="gd", help="gd by default")
    add("--variables", metavar="x,y", help="the variables in order; all free names by default")
    add("--constants", default="", metavar="a=1,b=100", help="values of positive constants")
    when = descent.add_argument_group("teleports, none by default")
    add = when.add_argument
    add("--teleport-every", type=_count, metavar="K", help="after K-1, 2K-1, 3K-1 ... steps")
    add("--teleport-at", type=_steps, metavar="T,T", help="after so many steps")
    add(
        "--mode",
        choices=("exact", "paper", "level-set"),
        help="the best point of the orbit (default), the published ascent, or an ascent within the level set, "
        "which needs no symmetry and may lower the loss",
    )
    add(
        "--ascent-lr",
        type=_positive,
        metavar="RATE",
        help="of the published ascent over the angle, or the first step size in the level set (0.1)",
    )
    add(
        "--ascent-steps",
        type=_count,
        metavar="N",
        help="of the ascent, where there is one (10; in the level set 50)",
    )
    add(
        "--radius",
        type=_positive,
        metavar="R",
        help=f"bound on their length; {RADIUS:g} on groups that are not compact",
    )
    add("--guard", action="store_true", help="accept one only if a trial step from it is no worse")
    add("--seed", type=_seed, help="of the published ascent's first angle (0)")
    add("--budget", type=seconds, metavar="SECONDS", help="for the derivation (30)")
    results = descent.add_argument_group("results")
    add = results.add_argument
    add("--json", action="store_true", help="print the whole trajectory as one JSON object")
    add("--plot", type=output, metavar="FILE.png", help="draw loss and gradient norm against step")
    add(
        "--plot-path",
        type=output,
        metavar="FILE.png",
        help="draw the path over the level sets (two variables)",
    )
    descent.set_defaults(command=_run)
    return parser


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text.strip()!r} is no number") from None
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"{text.strip()!r} is not a positive finite number")
    return value


def _whole(text: str, low: int, high: int) -> int:
    digits = text.strip()
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 20 and low <= int(digits) <= high):
        raise argparse.ArgumentTypeError(f"{digits!r} is no whole number from {low} to {high:,}")
    return int(digits)


def _count(text: str) -> int:
    return _whole(text, 1, 10_000_000)


def _seed(text: str) -> int:
    return _whole(text, 0, 2**31 - 1)


def _steps(text: str) -> tuple[int, ...]:
    return tuple(_whole(part, 0, 10_000_000) for part in text.split(","))


def _folder(text: str) -> Path:
    if "\0" in text or not text.strip():
        raise argparse.ArgumentTypeError("a folder needs a name")
    return Path(text)


def _demo(options: argparse.Namespace) -> int:
    from teleport.experiments.demo import demo

    demo(options.out, options.seed)
    return 0


def _run(options: argparse.Namespace) -> int:
    from symdiscover.errors import Diverged
    from symdiscover.generate import to_torch
    from teleport.descend import descend
    from teleport.schedule import never

    schedule = _schedule(options)
    loss, start = _problem(options)
    _check_pictures(options, loss)
    needs_action = schedule is not None and options.mode != "level-set"
    action = _action(loss, options) if needs_action else None
    path = descend(
        to_torch(loss) if action is None else action.loss,
        start,
        options.lr if options.optimizer in ("gd", "adagrad") else None,
        options.steps,
        optimizer=_optimizer(options.optimizer, options.lr),
        action=action,
        schedule=schedule or never,
        teleport=_search(options, action),
        guard=options.guard,
        seed=options.seed or 0,
        progress=True,
    )
    print(path.to_json() if options.json else _summary(path, action, loss))
    _draw(options, path, action, loss)
    if bool(path.diverged):
        raise Diverged(
            f"the loss left the finite numbers: a lower --lr{'' if options.guard else ', or --guard,'} may help"
        )
    return 0


def _schedule(options: argparse.Namespace) -> Schedule | None:
    """When to teleport; None for never, where no other option may speak of teleports."""
    from symdiscover.errors import ExpressionError
    from teleport.schedule import at, either, every

    chosen = [every(options.teleport_every)] if options.teleport_every is not None else []
    chosen += [at(*options.teleport_at)] if options.teleport_at is not None else []
    names = ("mode", "ascent_lr", "ascent_steps", "radius", "guard", "seed", "budget")
    given = [f"--{name.replace('_', '-')}" for name in names if getattr(options, name) not in (None, False)]
    if not chosen:
        if given:
            raise ExpressionError(
                f"{given[0]} is about teleports: say when, by --teleport-every or --teleport-at"
            )
        return None
    unused = {
        "exact": ("--ascent-lr", "--seed"),
        "paper": ("--radius",),
        "level-set": ("--seed", "--budget"),
    }[options.mode or "exact"]
    for name in unused:
        if name in given:
            raise ExpressionError(f"{name} means nothing with --mode {options.mode or 'exact'}")
    return either(*chosen)


def _problem(options: argparse.Namespace) -> tuple[Loss, Tensor]:
    """The loss with all its constants given, those of --constants before the catalogue's defaults, and the start."""
    import torch

    from symdiscover import catalogue
    from symdiscover.errors import ExpressionError, SymmetryError

    given = {}
    for part in filter(str.strip, options.constants.split(",")):
        constant, equals, value = part.partition("=")
        if not (equals and constant.strip() and value.strip()):
            raise ExpressionError(f"--constants takes name=value, name=value ..., not {part.strip()!r}")
        given[constant.strip()] = value.strip()
    try:
        values = [float(part) for part in options.start.split(",")]
    except ValueError:
        text = options.start.strip()
        raise ExpressionError(f"--start takes numbers with commas between them, not {text!r}") from None

    name, defaults = options.function.strip(), {}
    known = name in catalogue.names()
    positive = None if known else ",".join(given)
    loss = read_loss(options.function, options.variables, positive, lambda note: complain(PROGRAM, note))
    if known:
        function = catalogue.load(name)
        if len(values) != function.dimension:
            try:
                function = catalogue.load(name, len(values))
            except SymmetryError:  # no family, or none of this size
                function = catalogue.load(name)
        loss, defaults = function.loss, function.constants
    if len(values) != loss.dimension or not all(map(math.isfinite, values)):
        names = ", ".join(symbol.name for symbol in loss.variables)
        raise ExpressionError(
            f"--start needs {loss.dimension} finite numbers, for {names}, not {options.start.strip()!r}"
        )
    return loss.at({**defaults, **given}), torch.tensor(values, dtype=torch.float64)


def _check_pictures(options: argparse.Namespace, loss: Loss) -> None:
    """What could not be written is said before the work, not after it."""
    from symdiscover.errors import ExpressionError

    if options.plot_path is not None and loss.dimension != 2:
        raise ExpressionError(f"--plot-path draws losses of two variables; this one has {loss.dimension}")
    for path in filter(None, (options.plot, options.plot_path)):
        from matplotlib.figure import Figure

        kinds = sorted(Figure().canvas.get_supported_filetypes())
        if path.suffix[1:].lower() not in kinds:
            raise ExpressionError(
                f"a picture named {path.name} is of no known kind: end its name in one of {', '.join(kinds)}"
            )
        existed = path.exists()
        with path.open("ab"):  # as an attempt; nothing is written
            pass
        if not existed:
            path.unlink()


def _action(loss: Loss, options: argparse.Namespace) -> Action:
    """The first symmetry found that moves points and becomes code; for the published ascent one over an angle."""
    from symdiscover.derive import derive
    from symdiscover.errors import SymmetryError
    from symdiscover.generate import to_torch

    with Progress(PROGRAM) as progress:
        derivation = derive(
            loss, options.budget or 30.0, progress=lambda route: progress(f"trying the route {route}")
        )
        progress("generating code")
        reasons = []
        moving = [certificate for certificate in derivation.certificates if certificate.symmetry.dimension]
        if options.mode == "paper":
            moving.sort(key=lambda certificate: certificate.group.element != "angle")
        for certificate in moving:
            try:
                return to_torch(certificate)
            except SymmetryError as error:
                reasons.append(f"{certificate.group.name}: {error}")
    if reasons:
        raise SymmetryError(f"none of the symmetries found can become code ({'; '.join(reasons)})")
    tried = "; ".join(f"{attempt.route}: {attempt.outcome}" for attempt in derivation.tried)
    raise SymmetryError(
        f"no continuous symmetry in the families tried, so nothing to teleport along ({tried})"
    )


def _search(options: argparse.Namespace, action: Action | None) -> Search:
    from teleport.ascent import AscentSettings
    from teleport.level_set import LevelSetSettings
    from teleport.paper import PaperSettings

    if options.mode == "level-set":
        rho, steps = options.ascent_lr or 0.1, options.ascent_steps or 50
        return LevelSetSettings(steps=steps, rho=rho, radius=options.radius)
    steps = options.ascent_steps or 10
    if options.mode == "paper":
        return PaperSettings(steps=steps, lr=options.ascent_lr or 0.1)
    compact = action is not None and action.group.compact
    return AscentSettings(radius=options.radius or (None if compact else RADIUS), steps=steps)


def _optimizer(name: str, lr: float) -> Literal["gd", "adagrad"] | OptimizerFactory:
    import torch

    match name:
        case "momentum":
            return lambda parameters: torch.optim.SGD(parameters, lr=lr, momentum=0.9)
        case "rmsprop":
            return lambda parameters: torch.optim.RMSprop(parameters, lr=lr)
        case "adam":
            return lambda parameters: torch.optim.Adam(parameters, lr=lr)
        case "adagrad":
            return "adagrad"
        case _:
            return "gd"


def _draw(options: argparse.Namespace, path: Trajectory, action: Action | None, loss: Loss) -> None:
    if options.plot is not None:
        from teleport.plot import plot_convergence

        plot_convergence(path, (options.optimizer,)).savefig(options.plot, dpi=150)
        complain(PROGRAM, f"wrote {options.plot}")
    if options.plot_path is not None:
        from symdiscover.generate import to_torch
        from teleport.plot import plot_trajectory

        shown = None if action is not None else to_torch(loss)
        plot_trajectory(path, shown, action, (options.optimizer,)).savefig(options.plot_path, dpi=150)
        complain(PROGRAM, f"wrote {options.plot_path}")


def _summary(path: Trajectory, action: Action | None, loss: Loss) -> str:
    lines = []
    if action is not None:
        lines.append(f"{action.group.name} ({action.status}) moves points along their level sets")
    elif path.settings["teleport"] is not None:
        lines.append(
            "within the level set (approximate): the loss may fall, and rise by at most the tolerance"
        )
    if path.settings["teleport"] is not None:
        lines += _table(path.teleports)
    work = round(sum(record.gradient_equivalents for record in path.teleports))
    cost = f"{path.gradients} gradients" + (f" and {work} for the teleports" if path.teleports else "")
    lines.append(f"start: {_state(path, 0)}")
    lines.append(f"end:   {_state(path, -1)}, {len(path.losses) - 1} steps, {cost}")
    place = zip(loss.variables, path.points[-1].tolist(), strict=True)
    lines.append("at " + ", ".join(f"{symbol.name} = {value:.6g}" for symbol, value in place))
    return "\n".join(lines)


def _state(path: Trajectory, step: int) -> str:
    return (
        f"loss {float(path.losses[step]):.6g}, squared gradient norm {float(path.gradient_norms[step]):.6g}"
    )


def _table(teleports: Sequence[TeleportRecord]) -> list[str]:
    """One line for each teleport, as far as `LISTED` go."""
    if not teleports:
        return ["no teleport fell within the steps"]
    lines = [f"{'after step':>10} {'loss':>12} {'its change':>12} {'gradient norm²':>15}  outcome"]
    for record in teleports[:LISTED]:
        change = float(record.loss_after) - float(record.loss_before)
        outcome = "moved" if bool(record.accepted) else f"not moved: {record.reason}"
        gain = f"x {float(record.gain):.4g}"
        lines.append(
            f"{record.step:>10} {float(record.loss_before):>12.6g} {change:>12.1e} {gain:>15}  {outcome}"
        )
    if len(teleports) > LISTED:
        lines.append(f"... and {len(teleports) - LISTED} more; --json has them all")
    return lines
