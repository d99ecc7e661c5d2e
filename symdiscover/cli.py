"""``symdiscover``: derive, verify, catalogue. Results on stdout, progress on stderr, errors as one sentence.

Exit status: 0 done; 1 what was asked for does not hold or could not be done; 2 the command or its input is wrong; 130 Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from symdiscover.loss import Loss


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one sentence."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status.

    Examples
    --------
    >>> main(["derive", "x**2 +"])
    2
    """
    options = _parser().parse_args(arguments)
    return guarded(options.command, options, "symdiscover")


def guarded(command: Callable[[argparse.Namespace], int], options: argparse.Namespace, program: str) -> int:
    """Run a command; what goes wrong becomes one sentence on stderr and an exit status."""
    from symdiscover.errors import ExpressionError, NotInvariant, SymmetryError

    try:
        status = command(options)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        print(f"{program}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except NotInvariant as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 1
    except ExpressionError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 2
    except SymmetryError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{program}: {error.strerror or error}: {error.filename or ''}".rstrip(": "), file=sys.stderr)
        return 1


def read_loss(text: str, variables: str | None = None, positive: str | None = None) -> Loss:
    """A loss from a catalogue name or from an expression."""
    from symdiscover import catalogue
    from symdiscover.loss import Loss

    if text.strip() in catalogue.names():
        return catalogue.load(text.strip()).loss
    return Loss.parse(text, variables, positive or "")


def _parser() -> Parser:
    from symdiscover import __version__

    parser = Parser(prog="symdiscover", description="Derive and prove the group actions that leave a loss unchanged.")
    parser.add_argument("--version", action="version", version=f"symdiscover {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=Parser)

    derive = commands.add_parser("derive", help="find and prove the symmetries of an expression")
    derive.add_argument("expression", help="an expression, or a name of the catalogue")
    derive.add_argument("--variables", metavar="x,y", help="the variables in order; all free names by default")
    derive.add_argument("--positive", metavar="a,b", help="names that are positive constants and stay symbolic")
    derive.add_argument("--budget", type=_seconds, default=30.0, metavar="SECONDS", help="for everything (30)")
    derive.add_argument("--json", action="store_true", help="print one JSON object")
    derive.add_argument("--latex", action="store_true", help="print the actions in LaTeX")
    derive.add_argument("--save", metavar="FILE.py", help="write the first action as a module that needs torch alone")
    derive.add_argument("--plot", metavar="FILE.png", help="draw level sets, three orbits and the domain (two variables)")
    derive.set_defaults(command=_derive)

    verify = commands.add_parser("verify", help="prove a saved action again, without running the file")
    verify.add_argument("file", help="a file written by derive --save")
    verify.add_argument("--budget", type=_seconds, default=30.0, metavar="SECONDS", help="for the proof (30)")
    verify.set_defaults(command=_verify)

    listing = commands.add_parser("catalogue", help="list the named test functions with their sources")
    listing.add_argument("name", nargs="?", help="show one function")
    listing.add_argument("--json", action="store_true", help="print one JSON object")
    listing.set_defaults(command=_catalogue)
    return parser


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds") from None
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError("a budget is a positive number of seconds")
    return value


def _derive(options: argparse.Namespace) -> int:
    from symdiscover.derive import derive
    from symdiscover.errors import SymmetryError

    loss = read_loss(options.expression, options.variables, options.positive)
    for target in (options.save, options.plot):
        if target is not None and not Path(target).absolute().parent.is_dir():
            raise NotADirectoryError(20, "no such folder", str(Path(target).parent))
    if options.plot and loss.dimension != 2:
        raise SymmetryError(f"--plot draws losses of two variables; this one has {loss.dimension}")
    derivation = derive(loss, options.budget, progress=_progress())
    if options.json:
        print(json.dumps(derivation.as_dict()))
    elif options.latex:
        from symdiscover.latex import symmetry_latex

        for symmetry in derivation:
            print(symmetry_latex(symmetry))
    else:
        print(derivation)
    if options.save or options.plot:
        if not derivation.certificates:
            raise SymmetryError("no symmetry in the families tried: nothing to save or plot")
        if options.save:
            from symdiscover.generate import to_torch

            print(f"wrote {to_torch(derivation.certificates[0]).save(options.save)}", file=sys.stderr)
        if options.plot:
            from symdiscover.plot import plot_symmetry

            plot_symmetry(derivation.certificates[0]).savefig(options.plot, dpi=150)
            print(f"wrote {options.plot}", file=sys.stderr)
    return 0


def _progress() -> Callable[[str], None] | None:
    """Names each route on stderr, where somebody is watching."""
    if not sys.stderr.isatty():
        return None
    return lambda route: print(f"trying {route} ...", file=sys.stderr)


def _verify(options: argparse.Namespace) -> int:
    from symdiscover.saved import verify_file

    print(verify_file(options.file, options.budget))
    return 0


def _catalogue(options: argparse.Namespace) -> int:
    from symdiscover import catalogue

    if options.name is None and not options.json:
        print(catalogue.table())
        return 0
    chosen = catalogue.names() if options.name is None else [options.name]
    functions = [catalogue.load(name) for name in chosen]
    if options.json:
        print(json.dumps({f.name: catalogue_entry(f) for f in functions}))
        return 0
    for key, value in catalogue_entry(functions[0]).items():
        print(f"{key}: {value}")
    return 0


def catalogue_entry(function: object) -> dict[str, object]:
    """One catalogue function as plain data."""
    from dataclasses import fields

    return {
        field.name: getattr(function, field.name)
        for field in fields(function)  # type: ignore[arg-type]
        if not callable(getattr(function, field.name))
    }
