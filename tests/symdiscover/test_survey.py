"""The survey: whatever an entry holds is a row; it goes on where it ended; nothing is left running."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from symdiscover import survey_pool
from symdiscover._surveyor import examine, read_problem
from symdiscover.cli import main
from symdiscover.errors import ExpressionError
from symdiscover.survey import (
    Row,
    UnreadableCollection,
    catalogue_collection,
    read_collection,
    recorded,
    survey,
)
from symdiscover.survey_report import best, markdown, quantile, summary, table, verdict

ROOT = Path(__file__).resolve().parents[2]
Capture = pytest.CaptureFixture[str]
SQUARE = {"variables": ["x", "y"], "expression": "x**2 + 4*y**2", "bounds": [[-1, 1], [-2, 2]]}

#: Stands in for `_surveyor`: answers at once, and hangs, dies, chatters or finds something false where it is told to.
STANDIN = """
import json, os, sys, time
from symdiscover.budget import GREETING, read_frame, write_frame
requests, answers = os.fdopen(0, "rb", buffering=0), os.fdopen(1, "wb", buffering=0)
answers.write(GREETING)
while (frame := read_frame(requests)) is not None:
    data = json.loads(frame)["data"]
    if data == "hang":
        time.sleep(600)
    if data == "die":
        os.kill(os.getpid(), 9)
    if data == "exit":
        sys.exit(3)
    claim = dict(group="SO(2)", kind="closed-form", status="proved", route="peel", domain="everywhere", continuous=True,
                 transitive=True, verdict="holds", reason="", images=[12, 12], error=1e-16, residual=1e-60, counterexample=None)
    if data == "false":
        claim |= dict(verdict="false", counterexample=dict(point="[1.0]", element="2.0", residual="0.5", arithmetic="float64"))
    row = dict(outcome="derived", variables=2, differentiable=True, seconds=0.5, tried=[["peel", "SO(2) proved", 0.4]])
    write_frame(answers, json.dumps(row | dict(claims=[claim])).encode())
"""


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """Processes that answer at once; those that were started."""
    started = []

    def spawn() -> subprocess.Popen[bytes]:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(
            [sys.executable, "-c", STANDIN],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            bufsize=0,
        )
        started.append(process)
        return process

    monkeypatch.setattr(survey_pool, "_spawn", spawn)
    return started


# entries


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"expression": "x**2 +"}, ""),
        ({"expression": "__import__('os').system('true')"}, ""),
        ({"expression": "frobnicate(x, y)"}, "frobnicate"),
        ({"expression": "x + q"}, "unknown name 'q'"),
        ({"expression": "x**9**9**9"}, ""),
        ({"expression": "x + " * 1000 + "y"}, "2000 characters"),
        ({"expression": 7}, "text"),
        ({"expression": None}, "text"),
        ({"variables": []}, ""),
        ({"variables": "x,y"}, "lists of names"),
        ({"variables": ["x", "x"]}, "twice"),
        ({"variables": [f"x{i}" for i in range(2000)]}, "1200"),
        ({"variables": ["x", 1]}, "lists of names"),
        ({"positive": ["x"]}, "declared both"),
        ({"bounds": [[-1, 1]]}, "2 pairs"),
        ({"bounds": None}, "2 pairs"),
        ({"bounds": [[-1, 1], [2, 2]]}, "below the highest"),
        ({"bounds": [[-1, 1], [0, float("inf")]]}, "finite"),
        ({"bounds": [[-1, 1], [0, float("nan")]]}, "finite"),
        ({"bounds": [[-1, 1], [0, 10**400]]}, "ordinary size"),
        ({"bounds": [[-1, 1], [0, "open('f')"]]}, ""),
        ({"bounds": [[-1, 1], [False, True]]}, "numbers"),
        ({"positive": ["a"], "values": {"a": -1}}, "positive"),
        ({"values": {"a": 1}}, "values"),
        ({"differentiable": "yes"}, "true or false"),
        ({"colour": "red"}, "unknown key 'colour'"),
    ],
)  # fmt: skip
def test_an_entry_that_cannot_be_read_is_a_row(change: dict[str, Any], said: str) -> None:
    began = time.perf_counter()
    outcome = examine({**SQUARE, **change}, 5)["outcome"]
    assert outcome.startswith("not parsed: ") and said in outcome
    assert len(outcome.splitlines()) == 1
    assert time.perf_counter() - began < 60


@pytest.mark.parametrize("data", [None, 3, "x**2", [], ["x"], {}, True])
def test_what_is_no_entry_is_a_row(data: Any) -> None:
    assert examine(data, 5)["outcome"].startswith("not parsed: ")


def test_an_entry_is_read() -> None:
    problem = read_problem(
        {**SQUARE, "positive": ["a", "b"], "values": {"b": "3/2"}, "bounds": [[0, "pi"], (-1, 1.5)]}
    )
    assert problem.box == ((0.0, pytest.approx(3.141592653589793)), (-1.0, 1.5))
    assert problem.values["b"] == 1.5 and problem.values["a"] > 0
    assert problem.differentiable
    assert not read_problem({**SQUARE, "expression": "abs(x) + y**2"}).differentiable
    with pytest.raises(ExpressionError):
        read_problem({**SQUARE, "expression": "x**"})


def test_the_catalogue_is_a_collection() -> None:
    collection = catalogue_collection()
    problems = {name: read_problem(entry) for name, entry in json.loads(json.dumps(collection)).items()}
    assert [s.name for s in problems["rosenbrock"].loss.constants] == ["a", "b"]
    assert problems["rosenbrock"].values == {"a": 1.0, "b": 100.0}


def test_a_derivation_that_raises_is_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("out of\nluck")

    monkeypatch.setattr("symdiscover._surveyor.derive", fail)
    row = examine(SQUARE, 5)
    assert row["outcome"] == "crash: RuntimeError: out of luck"
    assert row["variables"] == 2
    monkeypatch.undo()
    assert examine(SQUARE, 5)["outcome"] == "derived"


def test_a_row_of_a_derivation() -> None:
    row = Row.read({**examine(SQUARE, 20), "name": "square", "key": ""})
    shown = best(row)
    assert shown is not None
    assert (shown.group, shown.kind, shown.status, shown.continuous) == (
        "SO(2)",
        "closed-form",
        "proved",
        True,
    )
    assert verdict(row) == "holds"
    assert shown.error is not None and shown.error < 1e-14
    assert {route for route, _, _ in row.tried} >= {"quadratic", "discrete"}


# collections


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[1, 2]",
        b"{}",
        b'{"f": {}, "f": {}}',
        b"\xff\xfe",
        b"null",
        b"[" * 100_000,
        b'{"f": ' + b"9" * 10_000 + b"}",
    ],
)
def test_a_malformed_file_is_one_sentence(content: bytes, tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "functions.json"
    path.write_bytes(content)
    assert main(["survey", "--functions", str(path), "--out", str(tmp_path / "out")]) == 2
    caught = capsys.readouterr()
    assert caught.out == "" and len(caught.err.splitlines()) == 1
    assert not (tmp_path / "out").exists()
    with pytest.raises(UnreadableCollection):
        read_collection(path)
    path.write_text(json.dumps({"f": SQUARE}), encoding="utf-8")
    assert read_collection(path) == {"f": SQUARE}


@pytest.mark.parametrize(
    "arguments",
    [
        ["--functions", "missing.json"],
        ["--functions", "."],
        ["--functions", "a\0b"],
        ["--only", "boooth"],
        ["--only", ","],
        ["--jobs", "0"],
        ["--jobs", "two"],
        ["--budget", "-1"],
        ["--out", __file__],
    ],
)
def test_a_wrong_option_is_one_sentence(arguments: list[str], tmp_path: Path, capsys: Capture) -> None:
    assert main(["survey", "--out", str(tmp_path / "out"), *arguments]) == 2
    caught = capsys.readouterr()
    assert caught.out == "" and len(caught.err.splitlines()) == 1
    assert "should not have happened" not in caught.err
    assert not (tmp_path / "out").exists()


def test_depth_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "deep.json"
    path.write_text(
        '{"deep": ' + "[" * 500 + "]" * 500 + ', "square": ' + json.dumps(SQUARE) + "}", encoding="utf-8"
    )
    collection = read_collection(path)
    assert collection["square"] == SQUARE
    assert examine(collection["deep"], 5)["outcome"].startswith("not parsed")


# the survey, with processes that answer at once


def test_hangs_and_deaths_are_rows(
    stand_in: list[subprocess.Popen[bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("symdiscover.survey.GRACE", 1.0)
    collection = {"good": "", "slow": "hang", "fatal": "die", "gone": "exit", "after": ""}
    rows = {row.name: row for row in survey(collection, tmp_path, budget=0.1, jobs=2)}
    assert list(rows) == list(collection)
    assert rows["good"].outcome == rows["after"].outcome == "derived"
    assert rows["slow"].outcome.startswith("hang: not finished in 1.2 s")
    assert rows["gone"].outcome == "crash: the process ended with exit status 3"
    if sys.platform != "win32":
        assert rows["fatal"].outcome == "crash: the process died of SIGKILL"
    assert all(process.poll() is not None for process in stand_in)
    text = summary(list(rows.values()))
    assert "crashes: 2" in text and "hangs: 1" in text and "fatal: crash" in text


def test_it_goes_on_where_it_ended(stand_in: list[subprocess.Popen[bytes]], tmp_path: Path) -> None:
    collection = dict.fromkeys("abc", "")

    def surveyed(collection: dict[str, Any], budget: float = 1) -> list[str]:
        done: list[str] = []
        rows = survey(collection, tmp_path, budget, progress=lambda row: done.append(row.name))
        assert [row.name for row in rows] == list(collection)
        return done

    assert surveyed(collection) == ["a", "b", "c"]
    assert surveyed(collection) == []
    assert surveyed({**collection, "b": "changed"}) == ["b"]
    assert surveyed({**collection, "b": "changed"}, budget=2) == ["a", "b", "c"]
    record = tmp_path / "survey.jsonl"
    record.write_bytes(record.read_bytes()[:-30])  # torn in its last line
    assert surveyed({**collection, "b": "changed"}, budget=2) == ["c"]
    assert surveyed({**collection, "b": "changed"}, budget=2) == []
    with record.open("ab") as stream:
        stream.write(
            b'\xff\nnull\n[]\n{"name": "a"}\n{"name": "a", "key": "", "outcome": "derived", "claims": [3]}\n'
        )
    assert surveyed({**collection, "b": "changed"}, budget=2) == []


def test_another_version_is_surveyed_anew(
    stand_in: list[subprocess.Popen[bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    survey({"a": ""}, tmp_path)
    monkeypatch.setattr("symdiscover.survey.version", lambda: "another")
    done: list[str] = []
    survey({"a": ""}, tmp_path, progress=lambda row: done.append(row.name))
    assert done == ["a"]
    assert len(recorded(tmp_path / "survey.jsonl")) == 2


def test_a_false_claim_is_listed_and_makes_the_exit_status_1(
    stand_in: list[subprocess.Popen[bytes]], tmp_path: Path, capsys: Capture
) -> None:
    path = tmp_path / "functions.json"
    command = ["survey", "--functions", str(path), "--out", str(tmp_path / "out"), "--jobs", "2"]
    path.write_text(json.dumps({"right": "", "wr\x1bong|": "false"}), encoding="utf-8")
    assert main(command) == 1
    said = capsys.readouterr().out
    assert (
        "FALSE wr?ong|: SO(2) (closed-form, proved, by peel): point [1.0], element 2.0, residual 0.5" in said
    )
    assert "false claims: 1 of 2" in said
    assert "closed form or on a branch: 1 of 2 (50.0 %)" in said
    assert main([*command, "--only", "right"]) == 0
    said = capsys.readouterr().out
    assert "FALSE" not in said and "false claims: 0 of 1" in said


def test_names_of_any_kind_are_written(stand_in: list[subprocess.Popen[bytes]], tmp_path: Path) -> None:
    names = ["a|b", "\ud800", "line\nbreak", "<b>", "", "ünï"]
    rows = survey(dict.fromkeys(names, ""), tmp_path)
    assert [row.name for row in rows] == names
    shown = [
        line
        for line in (tmp_path / "survey.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("|")
    ]
    assert len(shown) == 2 + len(names)
    assert all(line.replace("\\|", "").count("|") == shown[0].count("|") for line in shown)
    with (tmp_path / "survey.csv").open(encoding="utf-8", newline="") as stream:
        listed = list(csv.reader(stream))
    assert len(listed) == 1 + len(names) and {len(line) for line in listed} == {9}
    assert listed[1][:6] == ["a|b", "2", "closed-form", "SO(2)", "proved", "peel"]


def test_one_thread_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    caught: dict[str, Any] = {}
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setattr(subprocess, "Popen", lambda command, **options: caught.update(options))
    survey_pool._spawn()
    assert caught["env"]["OMP_NUM_THREADS"] == "1"


# the report


def row(name: str, seconds: float = 1.0, outcome: str = "derived", **claims: Any) -> Row:
    claim = {
        "group": "G", "kind": "closed-form", "status": "proved", "route": "peel", "domain": "everywhere", "continuous": True,
        "transitive": True, "verdict": "holds", "reason": "", "images": [1, 1], "error": 1e-16, "residual": 0.0,
        "counterexample": None,
    }  # fmt: skip
    listed = [{**claim, **change} for change in claims.pop("claims", [])]
    data = {
        "name": name,
        "key": "",
        "outcome": outcome,
        "variables": 2,
        "differentiable": True,
        "seconds": seconds,
    }
    return Row.read({**data, **claims, "claims": listed})


def test_the_summary_counts() -> None:
    rows = [
        row("closed", 1, claims=[{}]),
        row("branch", 2, claims=[{"kind": "branch", "error": 1e-10}]),
        row("implicit", 3, claims=[{"kind": "implicit"}]),
        row("numerical", 4, claims=[{"kind": "numerical", "error": 1e-13}]),
        row("discrete", 5, claims=[{"kind": "discrete", "continuous": False}]),
        row("unseen", 6, claims=[{"verdict": "not re-checked", "reason": "why not", "error": None}]),
        row("false", 7, claims=[{"verdict": "false"}]),
        row("none", 8),
        row("corner", 9, claims=[{}], differentiable=False),
        row("line", 10, variables=1, claims=[{"continuous": False}]),
        row("unread", 0, outcome="not parsed: no", variables=0),
        row("crashed", 0.5, outcome="crash: oh"),
    ]
    said = dict(line.split(": ", 1) for line in summary(rows, missing=3).splitlines())
    assert said["functions"] == "12, of which 1 not parsed; 3 more not done yet"
    assert said["continuous action in closed form or on a branch"] == "4 of 11 (36.4 %)"
    assert said["with implicit ones"] == "5 of 11 (45.5 %)"
    assert said["exact action, discrete ones included"] == "7 of 11 (63.6 %)"
    accurate = (
        "continuous action with an error of at most 1e-12, differentiable losses of two variables or more"
    )
    assert said[accurate] == "3 of 9 (33.3 %)"
    assert said["false claims"] == "1 of 9; 1 not re-checked"
    assert said["seconds"] == "median 5.00, p95 10.00, max 10.00"
    assert (said["crashes"], said["hangs"]) == ("1", "0")
    assert said["not re-checked unseen"].endswith("why not")
    assert summary([]).startswith("functions: 0")


def test_the_best_claim_is_shown() -> None:
    found = row(
        "several",
        claims=[
            {"group": "refuted", "verdict": "false"},
            {"group": "flips", "kind": "discrete", "continuous": False},
            {"group": "flow", "kind": "numerical"},
            {"group": "small", "transitive": False},
            {"group": "large"},
        ],
    )
    shown = best(found)
    assert shown is not None and shown.group == "large"
    assert verdict(found) == "false (1 of 5)"
    assert "| several | 2 | closed-form | large |" in markdown([found])
    assert "none in the families tried" in table([row("bare")])
    assert best(row("bare")) is None


def test_quantile() -> None:
    assert quantile(list(range(1, 101)), 0.95) == 95
    assert quantile([3.0], 0.95) == 3.0


# the command, with its own processes


def marked() -> tuple[str, dict[str, str]]:
    mark = uuid.uuid4().hex
    return mark, {**os.environ, "PYTHONPATH": str(ROOT), "SURVEY_TEST": mark}


def alive(mark: str) -> list[int]:
    """The processes that carry the mark in their environment."""

    def carries(path: Path) -> bool:
        try:
            return (
                f"SURVEY_TEST={mark}".encode() in path.read_bytes()
                and (path.parent / "cmdline").read_bytes() != b""
            )
        except OSError:
            return False

    return [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/environ") if carries(path)]


def eventually(holds: Callable[[], bool], seconds: float = 90.0) -> bool:
    until = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


@pytest.fixture
def long_survey(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], str, Path]]:
    """A survey of the catalogue that has one row already."""
    mark, environment = marked()
    command = [
        sys.executable,
        "-m",
        "symdiscover",
        "survey",
        "--out",
        str(tmp_path),
        "--jobs",
        "1",
        "--budget",
        "10",
    ]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    record = tmp_path / "survey.jsonl"
    try:
        assert eventually(lambda: record.exists() and b"\n" in record.read_bytes())
        yield process, mark, tmp_path
    finally:
        process.kill()
        process.communicate()


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_ctrl_c_keeps_what_is_done_and_leaves_no_process(
    long_survey: tuple[subprocess.Popen[bytes], str, Path],
) -> None:
    process, mark, folder = long_survey
    assert len(alive(mark)) >= 3  # the survey, its process, and the worker of that
    process.send_signal(signal.SIGINT)
    said, complained = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said == b"" and complained.decode().splitlines()[-1].endswith("interrupted")
    assert eventually(lambda: not alive(mark))
    rows = recorded(folder / "survey.jsonl")
    assert rows and rows[0].outcome == "derived"
    assert "more not done yet" in (folder / "survey.md").read_text(encoding="utf-8")
    assert rows[0].name in (folder / "survey.csv").read_text(encoding="utf-8")


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_a_killed_survey_leaves_no_process(long_survey: tuple[subprocess.Popen[bytes], str, Path]) -> None:
    process, mark, _ = long_survey
    process.kill()
    process.communicate()
    assert eventually(lambda: not alive(mark))


def test_the_command(tmp_path: Path) -> None:
    functions = {
        "ellipse": SQUARE,
        "rosenbrock": {
            "variables": ["x", "y"], "expression": "b*(x**2 - y)**2 + (x - a)**2", "bounds": [[-2, 2], [-2, 2]],
            "positive": ["a", "b"],
        },
        "broken": {**SQUARE, "expression": "x**"},
    }  # fmt: skip
    path = tmp_path / "functions.json"
    path.write_text(json.dumps(functions), encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "symdiscover",
        "survey",
        "--functions",
        str(path),
        "--out",
        str(tmp_path / "out"),
    ]
    done = subprocess.run(
        [*command, "--jobs", "2"], env=marked()[1], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert "closed form or on a branch: 2 of 2 (100.0 %)" in done.stdout
    assert "false claims: 0 of" in done.stdout and "; 0 not re-checked" in done.stdout
    assert "broken: not parsed: " in done.stdout
    assert "survey:" in done.stderr and "survey.md" in done.stderr
    names = [
        line.split(",")[0]
        for line in (tmp_path / "out" / "survey.csv").read_text(encoding="utf-8").splitlines()
    ]
    assert names == ["name", "ellipse", "rosenbrock", "broken"]
