"""What the commands of both packages share: results on stdout, progress and errors, one sentence each, on stderr.

Exit status: 0 done; 1 what was asked for does not hold or could not be done; 2 the command or its input is wrong; 130 Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from symdiscover.loss import Loss

#: Seconds after which a command begins to say what it is doing.
PATIENCE = 1.0


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one sentence."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {_sentence(message)}\n")


def run(parser: Parser, arguments: Sequence[str] | None = None) -> int:
    """Parse the arguments, run `options.command(options)`, and return the exit status.

    Examples
    --------
    >>> parser = Parser(prog="double")
    >>> _ = parser.add_argument("number", type=int)
    >>> parser.set_defaults(command=lambda options: print(2 * options.number) or 0)
    >>> run(parser, ["-4"]), run(parser, ["four"])
    -8
    (0, 2)
    """
    program = parser.prog
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # what the terminal cannot show is escaped
            stream.reconfigure(errors="backslashreplace")
    try:
        status = _run(parser, sys.argv[1:] if arguments is None else arguments)
        if sys.stdout is not None:
            sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        complain(program, "interrupted")
        return 130
    except BrokenPipeError:  # the reader of stdout has left; it has what it wanted
        _settle(sys.stdout)
        return 0
    except OSError as error:
        _settle(sys.stdout)
        where = f": {error.filename}" if error.filename else ""
        complain(program, f"{error.strerror or error}{where}")
        return 1


def _run(parser: Parser, arguments: Sequence[str]) -> int:
    from symdiscover.catalogue import UnknownFunction
    from symdiscover.errors import ExpressionError, SymmetryError

    try:
        options = parser.parse_args([_positional(argument) for argument in arguments])
        return int(options.command(options))
    except SystemExit as done:  # of the parser: --help, --version, or an error it has reported
        return done.code if isinstance(done.code, int) else 0
    except (ExpressionError, UnknownFunction) as error:
        complain(parser.prog, str(error))
        return 2
    except SymmetryError as error:
        complain(parser.prog, str(error))
        return 1
    except (OSError, KeyboardInterrupt):
        raise
    except Exception as error:  # a traceback is of no use to whoever typed a command
        complain(parser.prog, f"this should not have happened: {type(error).__name__}: {error}")
        return 1


def _positional(argument: str) -> str:
    """An expression such as -x**2 would be taken for an option: the blank tells the parser otherwise."""
    is_option = not argument.startswith("-") or argument.startswith("--") or argument in ("-", "-h")
    return argument if is_option else f" {argument}"


def _sentence(text: str) -> str:
    return " ".join(text.split())


def complain(program: str, text: str) -> None:
    """One line on stderr, if there is one."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError, ValueError):  # nobody reads it
            print(f"{program}: {_sentence(text)}", file=sys.stderr, flush=True)


def _settle(stream: IO[str] | None) -> None:
    """Let what cannot be written go nowhere, or the interpreter would fail again as it ends."""
    if stream is None:
        return
    try:
        stream.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        with contextlib.suppress(OSError, ValueError):  # no file at all
            os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


class Progress:
    """Says on stderr what is being done, once that has taken a second; `progress(what)` names the next thing.

    Examples
    --------
    >>> with Progress("symdiscover") as progress:
    ...     progress("counting to three")
    """

    def __init__(self, program: str) -> None:
        self.program = program
        self._started = time.monotonic()
        self._timer: threading.Timer | None = None

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def __call__(self, what: str) -> None:
        self._end()
        self._timer = threading.Timer(PATIENCE, self._say, [what])
        self._timer.daemon = True
        self._timer.start()

    def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _say(self, what: str) -> None:
        complain(self.program, f"{what} ({time.monotonic() - self._started:.0f} s)")


def seconds(text: str) -> float:
    """The type of an option that is a positive number of seconds."""
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text.strip()!r} is no number of seconds") from None
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError("a budget is a positive number of seconds, below a million")
    return value


def output(text: str) -> Path:
    """The type of an option that names a file to be written: its folder exists, and it is none itself."""
    if "\0" in text or not text.strip():
        raise argparse.ArgumentTypeError("a file needs a name")
    path = Path(text)
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is a folder")
    if not path.absolute().parent.is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {path.parent}")
    return path


def read_loss(
    text: str,
    variables: str | None = None,
    positive: str | None = None,
    note: Callable[[str], None] | None = None,
) -> Loss:
    """A loss from a name of the catalogue or from an expression.

    `note` is called with remarks: a constant that does not appear, a name that is nearly one of the catalogue.

    Raises
    ------
    ExpressionError
        If it is neither, or variables are named for a function of the catalogue, which has its own.
    """
    import difflib

    from symdiscover import catalogue
    from symdiscover.errors import ExpressionError
    from symdiscover.loss import Loss

    name = text.strip()
    if name in catalogue.names():
        if variables is not None or positive is not None:
            raise ExpressionError(
                f"{name} is a function of the catalogue, whose variables and constants are given"
            )
        return catalogue.load(name).loss
    loss = Loss.parse(text, variables, positive or "")
    used = loss.expression.free_symbols
    if note is not None:
        if name.isidentifier() and (near := difflib.get_close_matches(name.lower(), catalogue.names(), n=1)):
            note(f"read as the function {name} of one variable; the catalogue has {near[0]}")
        for constant in loss.constants:
            if constant not in used:
                note(f"the constant {constant} does not appear")
    return loss
