"""``teleport``: demo and run. Results on stdout, progress on stderr, errors as one sentence.

Exit status: 0 done; 1 what was asked for could not be done; 2 the command or its input is wrong; 130 Ctrl-C.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from symdiscover.console import Parser, read_loss, run

if TYPE_CHECKING:
    from torch import Tensor

    from symdiscover.action import Action
    from symdiscover.loss import Loss
    from teleport.descend import OptimizerFactory
    from teleport.trajectory import Trajectory

OPTIMIZERS = ("gd", "momentum", "adagrad", "rmsprop", "adam")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status."""
    return run(_parser(), arguments)


def _parser() -> Parser:
    from symdiscover import __version__

    parser = Parser(prog="teleport", description="Teleport an optimizer along the symmetries of its loss.")
    parser.add_argument("--version", action="version", version=f"teleport {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=Parser)

    demo = commands.add_parser("demo", help="derive, prove, teleport, and leave a report to read")
    demo.add_argument(
        "--out", default="teleport-demo", metavar="DIR", help="where the report goes (teleport-demo)"
    )
    demo.add_argument("--seed", type=int, default=0, help="of the published teleports' angles (0)")
    demo.set_defaults(command=_demo)

    run = commands.add_parser("run", help="descend on a test function with teleports")
    run.add_argument("function", metavar="NAME|EXPR", help="a name of the catalogue, or an expression")
    run.add_argument("--start", required=True, metavar="x,y", help="the start, one number a variable")
    run.add_argument("--lr", type=_positive, default=1e-3, metavar="RATE", help="the learning rate (0.001)")
    run.add_argument("--steps", type=_count, default=1000, metavar="N", help="optimizer steps (1000)")
    run.add_argument(
        "--teleport-every",
        type=_count,
        metavar="K",
        help="teleport before steps K-1, 2K-1, ...; never by default",
    )
    run.add_argument(
        "--mode",
        choices=("exact", "paper"),
        default="exact",
        help="the orbit's optimum, or the published ascent",
    )
    run.add_argument("--radius", type=_positive, metavar="R", help="bound on the length of a teleport")
    run.add_argument(
        "--guard", action="store_true", help="accept a teleport only if one trial step from it is no worse"
    )
    run.add_argument("--optimizer", choices=OPTIMIZERS, default="gd")
    run.add_argument("--variables", metavar="x,y", help="the variables in order; all free names by default")
    run.add_argument("--constants", default="", metavar="a=1,b=100", help="values of positive constants")
    run.add_argument("--seed", type=int, default=0, help="of the published teleport's angle (0)")
    run.add_argument("--json", action="store_true", help="print the whole trajectory as one JSON object")
    run.add_argument("--plot", metavar="FILE.png", help="draw loss and gradient norm against step")
    run.set_defaults(command=_run)
    return parser


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number") from None
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive finite number")
    return value


def _count(text: str) -> int:
    if not text.isdigit() or not 0 < int(text) <= 10_000_000:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 to 10,000,000")
    return int(text)


def _demo(options: argparse.Namespace) -> int:
    from teleport.experiments.demo import demo

    demo(Path(options.out), options.seed)
    return 0


def _run(options: argparse.Namespace) -> int:
    from symdiscover.errors import Diverged, SymmetryError
    from teleport.ascent import AscentSettings
    from teleport.descend import descend
    from teleport.paper import PaperSettings
    from teleport.schedule import every, never

    loss = _loss(options.function, options.variables, options.constants)
    start = _start(options.start, loss)
    action = None
    if options.teleport_every is not None:
        from symdiscover.derive import derive
        from symdiscover.generate import to_torch

        derivation = derive(loss)
        moving = [c for c in derivation.certificates if c.group.dimension]
        if not moving:
            tried = "; ".join(f"{attempt.route}: {attempt.outcome}" for attempt in derivation.tried)
            raise SymmetryError(
                f"no continuous symmetry in the families tried ({tried}), so nothing to teleport along"
            )
        action = to_torch(moving[0])
        loss_fn = action.loss
    else:
        from symdiscover.generate import to_torch

        loss_fn = to_torch(loss)
    path = descend(
        loss_fn,
        start,
        options.lr if options.optimizer in ("gd", "adagrad") else None,
        options.steps,
        optimizer=_optimizer(options.optimizer, options.lr),
        action=action,
        schedule=never if action is None else every(options.teleport_every),
        teleport=PaperSettings()
        if options.mode == "paper"
        else AscentSettings(radius=_radius(options.radius, action)),
        guard=options.guard,
        seed=options.seed,
        progress=True,
    )
    if options.plot:
        from teleport.plot import plot_convergence

        plot_convergence(path, (options.optimizer,)).savefig(options.plot, dpi=150)
    if options.json:
        print(path.to_json())
    else:
        _summary(path, action)
    if bool(path.diverged):
        raise Diverged("the loss became infinite or not a number: a smaller --lr, or --guard, may help")
    return 0


def _loss(text: str, variables: str | None, assignments: str) -> Loss:
    """The loss with all its constants given: those of --constants, else the catalogue's defaults."""
    from symdiscover import catalogue
    from symdiscover.errors import ExpressionError

    given = {}
    for part in filter(str.strip, assignments.split(",")):
        name, equals, value = part.partition("=")
        if not (equals and name.strip() and value.strip()):
            raise ExpressionError(f"--constants takes name=value, name=value ..., not {part!r}")
        given[name.strip()] = value.strip()
    known = text.strip() in catalogue.names()
    loss = read_loss(text, variables, None if known else ",".join(given))
    defaults = catalogue.load(text.strip()).constants if known else {}
    return loss.at({**defaults, **given})


def _start(text: str, loss: Loss) -> Tensor:
    import torch

    from symdiscover.errors import ExpressionError

    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        raise ExpressionError(f"--start takes numbers with commas between them, not {text!r}") from None
    if len(values) != loss.dimension or not all(math.isfinite(value) for value in values):
        names = ",".join(symbol.name for symbol in loss.variables)
        raise ExpressionError(
            f"--start needs {loss.dimension} finite numbers, for {names}; it has {len(values)}"
        )
    return torch.tensor(values, dtype=torch.float64)


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


def _radius(given: float | None, action: Action | None) -> float | None:
    """None, the whole orbit, on compact groups; 0.3 on others, where there is no largest gradient."""
    if given is not None or action is None or action.group.compact:
        return given
    return 0.3


def _summary(path: Trajectory, action: Action | None) -> None:
    if action is not None:
        print(f"{action.group.name} ({action.status}) moves the point along its level set")
    print(f"{'step':>8} {'loss before':>14} {'relative change':>16} {'gradient gain':>14}  outcome")
    for record in path.teleports:
        outcome = "moved" if bool(record.accepted) else f"not moved: {record.reason}"
        print(
            f"{record.step:>8} {float(record.loss_before):>14.6g} {float(record.relative_change):>16.1e} "
            f"{float(record.gain):>14.4g}  {outcome}"
        )
    print(
        f"start: loss {float(path.losses[0]):.6g}, squared gradient norm {float(path.gradient_norms[0]):.6g}"
    )
    print(
        f"end:   loss {float(path.final_loss):.6g}, squared gradient norm {float(path.gradient_norms[-1]):.6g}"
    )
    print(f"at {path.points[-1].tolist()} after {len(path.losses) - 1} steps, {path.gradients} gradients")
