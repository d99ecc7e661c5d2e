"""What every command does with errors, closed pipes, Ctrl-C, and waiting."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import symdiscover as sd
from symdiscover import console
from symdiscover.catalogue import UnknownFunction
from symdiscover.console import Parser, Progress, output, read_loss, run, seconds

ROOT = Path(__file__).resolve().parents[2]


def program(command: Callable[[Any], int | None]) -> Parser:
    parser = Parser(prog="program")
    parser.add_argument("words", nargs="*")
    parser.add_argument("--times", type=int, default=1)
    parser.set_defaults(command=lambda options: command(options) or 0)
    return parser


def raising(error: BaseException) -> Callable[[Any], int]:
    def command(_: Any) -> int:
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (sd.ExpressionError("no expression", 3), 2, "no expression (column 3)"),
        (UnknownFunction("no such function"), 2, "no such function"),
        (sd.NotInvariant("does not hold"), 1, "does not hold"),
        (sd.BudgetExceeded("no time"), 1, "no time"),
        (sd.SymmetryError("two\nlines"), 1, "two lines"),
        (FileNotFoundError(2, "No such file or directory", "a.py"), 1, "No such file or directory: a.py"),
        (OSError("odd"), 1, "odd"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (BrokenPipeError(), 0, None),
        (
            ZeroDivisionError("division by zero"),
            1,
            "this should not have happened: ZeroDivisionError: division by zero",
        ),
        (MemoryError(), 1, "this should not have happened: MemoryError:"),
        (RecursionError("deep"), 1, "this should not have happened: RecursionError: deep"),
    ],
    ids=repr,
)
def test_every_error_is_a_sentence_and_a_status(
    error: BaseException, status: int, said: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(program(raising(error)), []) == status
    caught = capsys.readouterr()
    assert caught.out == ""
    assert caught.err == ("" if said is None else f"program: {said}\n")


def test_a_command_that_succeeds_returns_its_status(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(program(lambda options: print(options.words)), ["a", "b"]) == 0
    assert run(program(lambda options: 7), []) == 7
    assert capsys.readouterr() == ("['a', 'b']\n", "")


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--times", "x"], 2, "argument --times: invalid int value: 'x'"),
        (["--time"], 2, "expected one argument"),
        (["--no"], 2, "--no"),
    ],
)
def test_a_wrong_command_line_is_a_sentence(
    arguments: list[str], status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(program(lambda options: 0), arguments) == status
    caught = capsys.readouterr()
    assert said in caught.err and len(caught.err.splitlines()) == 1 and not caught.out
    assert run(program(lambda options: 0), ["--help"]) == 0
    assert capsys.readouterr().out.startswith("usage: program")


@pytest.mark.parametrize("text", ["-x**2", "-(x+y)", "-1", "-x", "-hx", "-", "-.5*x", "x", "-x - y"])
def test_a_leading_minus_is_no_option(text: str) -> None:
    seen: list[str] = []
    assert run(program(lambda options: seen.extend(options.words)), [text, "--times", "3"]) == 0
    assert [word.strip() for word in seen] == [text]
    assert run(program(lambda options: 0), ["-h"]) == 0


# Types of options


@pytest.mark.parametrize("text", ["0", "-1", " -1", "nan", "inf", "1e9", "x", "", "1s"])
def test_a_budget_is_a_positive_number(text: str) -> None:
    with pytest.raises(console.argparse.ArgumentTypeError):
        seconds(text)
    assert seconds("0.5") == 0.5


def test_an_output_has_a_folder_and_is_none(tmp_path: Path) -> None:
    for text in (str(tmp_path), str(tmp_path / "none" / "a.py"), "", " ", "a\0b", "."):
        with pytest.raises(console.argparse.ArgumentTypeError):
            output(text)
    assert output(str(tmp_path / "a.py")) == tmp_path / "a.py"


# Losses


def test_a_loss_is_a_name_or_an_expression() -> None:
    notes: list[str] = []
    assert read_loss(" booth ", note=notes.append).name == "Booth"
    assert read_loss("x*y", "y, x", note=notes.append).dimension == 2
    assert not notes
    assert read_loss("rosenbrok", note=notes.append).dimension == 1
    assert read_loss("a*x", positive="a, c", note=notes.append).dimension == 1
    assert notes == [
        "read as the function rosenbrok of one variable; the catalogue has rosenbrock",
        "the constant c does not appear",
    ]
    with pytest.raises(sd.ExpressionError, match="booth is a function of the catalogue"):
        read_loss("booth", variables="x, y")


# Waiting


def test_progress_speaks_after_a_second_and_not_before(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "PATIENCE", 0.15)
    with Progress("program") as progress:
        progress("something quick")
        progress("something slow")
        time.sleep(0.6)
        progress("something quick again")
    time.sleep(0.3)
    assert capsys.readouterr() == ("", "program: something slow (0 s)\n")


def test_progress_ends_with_its_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "PATIENCE", 0.1)

    def command(_: Any) -> int:
        with Progress("program") as progress:
            progress("failing")
            raise sd.SymmetryError("failed")

    assert run(program(command), []) == 1
    time.sleep(0.3)
    assert capsys.readouterr().err == "program: failed\n"


def test_patience_is_one_second() -> None:
    assert console.PATIENCE == 1.0


# Streams, in processes of their own

START = "import sys\nfrom symdiscover.console import Parser, run\nparser = Parser(prog='program')\n"


def python(code: str, **options: Any) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **options.pop("env", {})}
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(
        [sys.executable, "-c", START + code], env=environment, text=True, **{**pipes, **options}
    )


MANY = "parser.set_defaults(command=lambda options: [print('line') for _ in range(100_000)] and 0)\n"
ONE = "parser.set_defaults(command=lambda options: print('line') or 0)\n"
EXIT = "sys.exit(run(parser, []))\n"


@pytest.mark.skipif(os.name == "nt", reason="pipes of another kind")
def test_a_reader_may_leave() -> None:
    process = python(MANY + EXIT)
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.readline() == "line\n"
    process.stdout.close()
    assert (process.stderr.read(), process.wait(60)) == ("", 0)
    plain = python("for _ in range(100_000): print('line')\n")
    assert plain.stdout is not None and plain.stderr is not None
    plain.stdout.close()
    assert "BrokenPipeError" in plain.stderr.read()
    plain.wait(60)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_is_a_sentence() -> None:
    with Path("/dev/full").open("w") as full:
        process = python(ONE + EXIT, stdout=full)
        assert process.communicate(timeout=60)[1] == "program: No space left on device\n"
    assert process.returncode == 1


@pytest.mark.skipif(os.name == "nt", reason="descriptors of another kind")
def test_closed_streams_are_no_error() -> None:
    for closed in (1, 2):
        process = python(ONE + EXIT, preexec_fn=lambda closed=closed: os.close(closed))
        out, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (0, "")
        assert out == ("" if closed == 1 else "line\n")
    failing = python("parser.add_argument('word')\n" + EXIT, preexec_fn=lambda: os.close(2))
    assert failing.communicate(timeout=60)[0] == ""
    assert failing.returncode == 2


@pytest.mark.skipif(os.name == "nt", reason="signals of another kind")
def test_control_c_is_a_word_and_130() -> None:
    wait = "import time\nparser.set_defaults(command=lambda options: print('ready', flush=True) or time.sleep(60))\n"
    process = python(wait + EXIT)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60) == ("", "program: interrupted\n")
    assert process.returncode == 130


@pytest.mark.parametrize(
    ("encoding", "shown"), [("ascii", "Mor\\xe9 \\ud800\n"), ("utf-8", "Mor\u00e9 \\ud800\n")]
)
def test_what_a_terminal_cannot_show_is_escaped(encoding: str, shown: str) -> None:
    code = "parser.set_defaults(command=lambda options: print('Mor\\u00e9 \\ud800') or 0)\n"
    process = python(code + EXIT, env={"PYTHONIOENCODING": encoding})
    assert process.communicate(timeout=60) == (shown, "")
    assert process.returncode == 0


def test_streams_of_another_program_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A notebook, or a test, has streams without a file behind them."""
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert run(program(raising(OSError(2, "gone", "a.py"))), []) == 1
    assert run(program(lambda options: print("still here")), []) == 0
    assert sys.stdout.getvalue() == "still here\n"  # type: ignore[attr-defined]
