"""Killable work: its limits, what crosses the pipe, where a call may come from, and what is left behind.

Functions that the worker runs are from the standard library or defined here, at module level. Where a time
decides, it does so by a wide margin.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib
import itertools
import json
import math
import mmap
import operator
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
import types
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sympy as sp

from symdiscover import budget
from symdiscover.budget import Deadline, call, close
from symdiscover.errors import BudgetExceeded, NotInvariant
from symdiscover.loss import Loss

ROOT = Path(__file__).resolve().parents[2]
MIB = 2**20
LONG = 60.0  # a limit that no test reaches

posix = pytest.mark.skipif(os.name != "posix", reason="signals and forks of POSIX")
x, y = sp.symbols("x y", real=True)
a = sp.Symbol("a", positive=True)

linux = pytest.mark.skipif(sys.platform != "linux", reason="limits that only Linux holds")


@pytest.fixture(scope="module", autouse=True)
def _no_worker_left() -> Iterator[None]:
    yield
    close()


def worker_pid() -> int:
    return call(os.getpid, seconds=LONG)


def wait_until(condition: Any) -> bool:
    deadline = Deadline(LONG / 2)
    while not deadline.expired:
        if condition():
            return True
        time.sleep(0.02)
    return False


def running(pid: int) -> bool:
    """Whether the process exists and is no zombie, which an orphan stays where nothing reaps it."""
    if (stat := Path(f"/proc/{pid}/stat")).exists():
        with contextlib.suppress(OSError):
            return stat.read_text().rpartition(")")[2].split()[0] != "Z"
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


# Functions for the worker.


def pid_and(*_: Any) -> int:
    return os.getpid()


def identity(value: Any) -> Any:
    return value


def with_pid(value: Any) -> tuple[int, Any]:
    return os.getpid(), value


def loaded(*names: str) -> list[str]:
    return [name for name in names if name in sys.modules]


def interval(seconds: float) -> tuple[float, float]:
    begin = time.monotonic()
    time.sleep(seconds)
    return begin, time.monotonic()


def allocate(size: int) -> int:
    return len(bytearray(size))


def pile_up(pieces: int) -> int:
    return len([bytes(MIB) for _ in range(pieces)])


_leaked: list[mmap.mmap] = []


def leak(size: int) -> int:
    _leaked.append(mmap.mmap(-1, size))
    return os.getpid()


def nested(function: Any, *args: Any) -> tuple[int, Any]:
    return os.getpid(), call(function, *args, seconds=LONG)


def draws() -> tuple[float, float]:
    return random.random(), sp.core.random.random()


def fork_a_sleeper() -> int:
    if (pid := os.fork()) == 0:
        time.sleep(LONG)
        os._exit(0)
    return pid


class TwoPart(KeyError):
    """An exception that pickle cannot restore: it is built from two arguments and keeps one."""

    def __init__(self, left: str, right: str) -> None:
        super().__init__(left + right)

    def __str__(self) -> str:
        return str(self.args[0])


def fail(kind: str) -> None:
    if kind == "field":
        raise NotInvariant("does not vanish", residual=x**2, counterexample={x: 1})
    if kind == "two":
        raise TwoPart("left", "right")

    class Local(ArithmeticError):
        pass

    raise Local("from inside a function")


# Deadlines.


def test_a_deadline_counts_down_and_expires() -> None:
    deadline = Deadline(LONG)
    first = deadline.left()
    time.sleep(0.01)
    assert 0 < deadline.left() < first <= LONG
    assert not deadline.expired
    short = Deadline(0.01)
    time.sleep(0.02)
    assert short.expired and short.left() == 0.0
    assert Deadline(math.inf).left() == math.inf
    with pytest.raises(dataclasses.FrozenInstanceError):
        deadline.seconds = 2.0  # type: ignore[misc]


def test_a_deadline_means_the_same_in_the_worker() -> None:
    left = operator.methodcaller("left")
    deadline = Deadline(LONG)
    before = deadline.left()
    there = call(left, deadline, seconds=LONG)
    assert deadline.left() <= there <= before
    assert call(left, Deadline(0), seconds=LONG) == 0.0


# One worker, kept.


def test_the_work_is_done_in_one_other_process_until_it_is_closed() -> None:
    """It outlives the thread that made the first call."""
    first = worker_pid()
    assert first != os.getpid()
    assert worker_pid() == first
    close()
    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(worker_pid).result()
    time.sleep(0.2)
    assert worker_pid() == second
    assert second not in (first, os.getpid())


def test_the_worker_loads_neither_torch_nor_matplotlib() -> None:
    import torch  # so that the check has something to see here

    assert torch.__name__ in loaded("torch")
    assert call(loaded, "torch", "matplotlib", "sympy", seconds=LONG) == ["sympy"]


@pytest.mark.parametrize("size", [0, 1, 100_000, 20 * MIB])
def test_frames_larger_than_a_pipe(size: int) -> None:
    value = os.urandom(size)
    assert call(identity, value, seconds=LONG) == value


# What cannot be sent runs here.


def named(module: str, name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that pickle finds under this name here."""

    def function() -> int:
        return os.getpid()

    function.__module__, function.__name__, function.__qualname__ = module, name, name
    monkeypatch.setattr(sys.modules[module], name, function, raising=False)
    return function


def test_what_the_worker_cannot_import_runs_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "made_in_memory", types.ModuleType("made_in_memory"))

    def closure() -> int:
        return os.getpid()

    in_memory = named("made_in_memory", "function", monkeypatch)
    in_main = named("__main__", "function", monkeypatch)
    for function in (lambda: os.getpid(), closure, in_memory, in_main):
        assert call(function, seconds=LONG) == os.getpid()
    assert call(os.getpid, seconds=LONG) != os.getpid()


def test_a_name_of_the_workers_own_main_module_is_not_mistaken(monkeypatch: pytest.MonkeyPatch) -> None:
    function = functools.partial(
        named("__main__", "main", monkeypatch)
    )  # symdiscover._worker has a `main` too
    assert pickle.loads(pickle.dumps(function))() == os.getpid()
    assert call(function, seconds=LONG) == os.getpid()


def test_arguments_that_cannot_be_sent_keep_the_work_here(monkeypatch: pytest.MonkeyPatch) -> None:
    of_a_script = type("Thing", (), {"__module__": "__main__"})
    monkeypatch.setattr(sys.modules["__main__"], "Thing", of_a_script, raising=False)
    for argument in (threading.Lock(), lambda: 0, of_a_script()):
        assert call(pid_and, argument, seconds=LONG) == os.getpid()
    assert call(pid_and, 1, seconds=LONG) == worker_pid() != os.getpid()


# Time.


def test_work_past_its_time_is_killed_and_the_next_call_starts_afresh() -> None:
    pid = worker_pid()
    begin = time.monotonic()
    with pytest.raises(BudgetExceeded, match=r"sleep not finished in 0\.3 s"):
        call(time.sleep, LONG, seconds=0.3)
    assert 0.3 <= time.monotonic() - begin < LONG / 2
    assert worker_pid() != pid


def test_work_within_its_time_is_left_alone() -> None:
    pid = worker_pid()
    begin, end = call(interval, 0.5, seconds=5)
    assert end - begin >= 0.5
    assert worker_pid() == pid


def test_an_operation_that_no_signal_interrupts_is_killed() -> None:
    begin = time.monotonic()
    with pytest.raises(BudgetExceeded, match="pow not finished"):
        call(operator.pow, 3, 3**18, seconds=0.3)  # minutes inside one instruction
    assert time.monotonic() - begin < LONG / 2
    assert call(operator.pow, 3, 18, seconds=LONG) == 3**18


def test_a_used_up_budget_begins_nothing() -> None:
    pid = worker_pid()
    for seconds in (0.0, -1.0, Deadline(0).left()):
        with pytest.raises(BudgetExceeded, match="not begun"):
            call(os._exit, 3, seconds=seconds)
    assert worker_pid() == pid
    assert call(operator.add, 1, 2, seconds=math.inf) == 3


def test_limits_that_are_none() -> None:
    with pytest.raises(ValueError, match="not a number"):
        call(os.getpid, seconds=math.nan)
    with pytest.raises(ValueError, match="memory"):
        call(os.getpid, seconds=LONG, memory=0)


def test_the_start_and_imports_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worker_pid()  # the path of the module is news to a running worker
    source = "import os, time\ntime.sleep(0.8)\ndef pid(): return os.getpid()\n"
    (tmp_path / "slow_to_import.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("slow_to_import")
    assert call(module.pid, seconds=0.6) == worker_pid()
    with pytest.raises(BudgetExceeded):
        call(time.sleep, 5, seconds=0.6)


def test_relative_entries_of_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They mean the parent's current directory, not that of the worker."""
    worker_pid()
    (tmp_path / "below").mkdir()
    for path in ("module_here.py", "below/module_below.py"):
        (tmp_path / path).write_text("import os\ndef pid(): return os.getpid()\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", "below", *sys.path])
    functions = [importlib.import_module(name).pid for name in ("module_here", "module_below")]
    assert [call(function, seconds=LONG) for function in functions] == [worker_pid()] * 2
    monkeypatch.chdir(tmp_path.parent)
    close()  # the next worker finds them neither here nor there
    assert [call(function, seconds=LONG) for function in functions] == [os.getpid()] * 2


def test_the_start_has_a_limit_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    close()
    with monkeypatch.context() as patch:
        patch.setattr(budget, "START_SECONDS", 0.001)
        with pytest.raises(BudgetExceeded, match="not ready"):
            call(os.getpid, seconds=LONG)


def test_a_worker_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    close()
    with monkeypatch.context() as patch:
        for executable in ("", str(tmp_path / "none")):
            patch.setattr(sys, "executable", executable)
            with pytest.raises(BudgetExceeded, match="could not be started"):
                call(os.getpid, seconds=LONG)
        if false := shutil.which("false"):
            patch.setattr(sys, "executable", false)
            with pytest.raises(BudgetExceeded, match="exit status 1 before it was ready for getpid"):
                call(os.getpid, seconds=LONG)
    assert worker_pid()


# Memory.


@linux
@pytest.mark.parametrize("work", [functools.partial(allocate, 1024 * MIB), functools.partial(pile_up, 1024)])
def test_work_past_its_memory_is_stopped(work: Any) -> None:
    with pytest.raises(BudgetExceeded, match=r"ran out of memory \(256 MiB allowed\)"):
        call(work, seconds=LONG, memory=256 * MIB)
    small = {allocate: MIB, pile_up: 1}[work.func]
    assert call(work.func, small, seconds=LONG, memory=256 * MIB) == small


@linux
def test_the_memory_limit_is_of_one_call() -> None:
    assert call(allocate, MIB, seconds=LONG, memory=64 * MIB) == MIB
    pid = worker_pid()
    for memory in (1024 * MIB, None):
        assert call(allocate, 512 * MIB, seconds=LONG, memory=memory) == 512 * MIB
    assert worker_pid() == pid


@linux
def test_a_worker_that_has_grown_for_good_is_replaced() -> None:
    assert call(leak, 16 * MIB, seconds=LONG) == worker_pid()
    assert call(leak, 1200 * MIB, seconds=LONG) != worker_pid()


# Death.


@posix
@pytest.mark.parametrize(
    "death, status",
    [
        (functools.partial(os._exit, 3), r"exit status 3 while"),
        (os.abort, r"exit status -6 \(SIGABRT\), as happens when memory runs out while it ran abort"),
    ],
)
def test_the_death_of_the_worker_is_told_with_its_exit_status(death: Any, status: str) -> None:
    with pytest.raises(BudgetExceeded, match=status):
        call(death, seconds=LONG)
    assert worker_pid() != os.getpid()


@posix
def test_a_worker_killed_while_idle_is_replaced() -> None:
    pid = worker_pid()
    os.kill(pid, signal.SIGKILL)
    assert worker_pid() not in (pid, os.getpid())


@posix
def test_what_the_work_started_is_killed_with_it() -> None:
    """A forked process also holds the pipe of the frames, which would otherwise stay open."""
    pid = call(fork_a_sleeper, seconds=LONG)
    assert running(pid)
    close()
    assert wait_until(lambda: not running(pid))
    assert "symdiscover worker" not in [thread.name for thread in threading.enumerate()]


# Exceptions.


def test_an_exception_arrives_with_class_message_fields_and_traceback() -> None:
    pid = worker_pid()
    with pytest.raises(ZeroDivisionError, match=r"^division by zero"):
        call(operator.truediv, 1, 0, seconds=LONG)
    with pytest.raises(NotInvariant, match="does not vanish") as caught:
        call(fail, "field", seconds=LONG)
    assert caught.value.residual == x**2 and caught.value.counterexample == {x: 1}
    assert "in fail" in caught.value.__notes__[0]
    assert worker_pid() == pid


@pytest.mark.parametrize(
    "kind, base, message",
    [("two", LookupError, "leftright"), ("local", ArithmeticError, "from inside a function")],
)
def test_an_exception_that_cannot_be_pickled_arrives_as_its_base(
    kind: str, base: type[Exception], message: str
) -> None:
    with pytest.raises(base) as caught:
        call(fail, kind, seconds=LONG)
    assert type(caught.value) is base and str(caught.value) == message


def test_leaving_the_interpreter_leaves_the_callers() -> None:
    pid = worker_pid()
    with pytest.raises(SystemExit) as caught:
        call(sys.exit, 4, seconds=LONG)
    assert caught.value.code == 4
    assert worker_pid() == pid


def test_a_result_that_cannot_be_sent_is_an_error() -> None:
    with pytest.raises(pickle.PicklingError, match="the result cannot be sent back"):
        call(threading.Lock, seconds=LONG)
    assert call(int, seconds=LONG) == 0


# What crosses the pipe.


@pytest.mark.parametrize(
    "value",
    [
        x,
        a,
        sp.Dummy("t", real=True),
        sp.Rational(1, 3) + sp.sqrt(2) * sp.pi,
        sp.Float("0.1", 50),
        a * (x**2 - y) ** 2 + sp.exp(-sp.Abs(x)),
        sp.Piecewise((x, x > 0), (y, True)),
        sp.ImmutableMatrix([[x, 1], [a, y**2]]),
        sp.Lambda((x,), x + 1),
        sp.Poly(x**2 + a * x, x),
        sp.Interval(0, a),
        Loss(a * (x**2 - y) ** 2 + x**2, (x, y), (a,), "test"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_sympy_survives_the_round_trip(value: Any) -> None:
    pid, back = call(with_pid, value, seconds=LONG)
    assert pid != os.getpid()
    assert back == value and hash(back) == hash(value) and type(back) is type(value)
    assert back in {value}


def test_assumptions_survive_the_round_trip() -> None:
    assert call(sp.sqrt, x**2, seconds=LONG) == sp.Abs(x)
    assert call(sp.sqrt, a**2, seconds=LONG) == a
    plain = sp.Symbol("x")  # without them the answer is another, and so is the symbol
    assert call(sp.sqrt, plain**2, seconds=LONG) not in (sp.Abs(x), sp.Abs(plain))
    assert call(identity, plain, seconds=LONG) != x


def test_every_call_starts_from_the_same_random_state() -> None:
    first = call(draws, seconds=LONG)
    assert call(draws, seconds=LONG) == first
    assert draws() != draws()


# Nested calls.


def test_a_nested_call_stays_in_the_worker() -> None:
    pid = worker_pid()
    assert call(nested, os.getpid, seconds=LONG) == (pid, pid)
    assert call(nested, nested, os.getpid, seconds=LONG) == (pid, (pid, pid))


def test_a_nested_call_ends_with_the_outer_one() -> None:
    begin = time.monotonic()
    with pytest.raises(BudgetExceeded, match="nested not finished"):
        call(nested, time.sleep, LONG, seconds=0.3)
    assert time.monotonic() - begin < LONG / 2
    assert call(nested, time.sleep, 0.1, seconds=LONG)[1] is None


def test_no_nested_call_begins_after_the_outer_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "_outer", Deadline(LONG))
    assert call(os.getpid, seconds=1) == os.getpid()
    monkeypatch.setattr(budget, "_outer", Deadline(0))
    with pytest.raises(BudgetExceeded, match="not begun"):
        call(os.getpid, seconds=1)


# Threads.


def test_threads_take_turns_and_waiting_does_not_count() -> None:
    worker_pid()
    with ThreadPoolExecutor(4) as pool:
        spans = sorted(pool.map(lambda _: call(interval, 0.3, seconds=1.1), range(4)))  # 1.2 s in all
    assert all(end <= begin for (_, end), (begin, _) in itertools.pairwise(spans))
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda i: call(operator.mul, i, i, seconds=LONG), range(100)))
    assert answers == [i * i for i in range(100)]


def test_an_error_in_one_thread_leaves_the_others_their_results() -> None:
    def work(i: int) -> object:
        try:
            return call(time.sleep, LONG, seconds=0.2) if i == 1 else call(operator.neg, i, seconds=LONG)
        except BudgetExceeded:
            return "exceeded"

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(work, range(3))) == [0, "exceeded", -2]


# Scripts.


def environment(**variables: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "PYTHON"))}
    return {**clean, "PYTHONPATH": str(ROOT), **variables}


def run(
    command: list[str], script: str = "", cwd: Path | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command],
        input=textwrap.dedent(script),
        capture_output=True,
        text=True,
        cwd=cwd,
        env=environment(**variables),
        timeout=LONG,
        check=False,
    )


NO_GUARD = """
import os, time
from symdiscover.budget import call
from symdiscover.errors import BudgetExceeded
print("begun")
def here():
    return os.getpid()
assert call(here, seconds=30) == os.getpid()
assert call(os.getpid, seconds=30) != os.getpid()
call(print, "to standard error", seconds=30)
call(os.write, 1, b"past Python\\n", seconds=30)
try:
    call(input, seconds=30)
except EOFError:
    print("no input")
try:
    call(time.sleep, 60, seconds=0.2)
except BudgetExceeded as error:
    print(str(error)[:28])
"""


@pytest.mark.parametrize("how", ["file", "standard input", "-c"])
def test_a_script_without_a_main_guard(how: str, tmp_path: Path) -> None:
    """Nothing runs twice, nothing the work prints mixes with the output, and nothing is left open."""
    options = ["-W", "error"]
    if how == "file":
        (tmp_path / "script.py").write_text(NO_GUARD)
        done = run([*options, str(tmp_path / "script.py")], "data of the parent")
    elif how == "-c":
        done = run([*options, "-c", NO_GUARD], "data of the parent", cwd=tmp_path)
    else:
        done = run([*options, "-"], NO_GUARD, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n") == ["begun", "no input", "sleep not finished in 0.2 s:", ""]
    assert done.stderr.split("\n") == ["to standard error", "past Python", ""]


def test_the_current_directory_shadows_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `random.py` beside the user, not on the path of the parent, is no module of the worker's either."""
    (tmp_path / "random.py").write_text("raise RuntimeError('the wrong module')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    close()
    assert worker_pid() != os.getpid()
    assert "the wrong module" in run(["-c", "import random"], cwd=tmp_path).stderr


def test_output_before_the_first_frame_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    printing = f"print('welcome to this computer', flush=True, file=open({str(tmp_path / 'log')!r}, 'a'))"
    (tmp_path / "sitecustomize.py").write_text(f"{printing}\nprint('welcome to this computer', flush=True)")
    monkeypatch.syspath_prepend(tmp_path)
    close()
    assert worker_pid() != os.getpid()
    assert (tmp_path / "log").read_text() == "welcome to this computer\n"


def test_hashes_do_not_vary_from_run_to_run() -> None:
    script = "from symdiscover.budget import call\nprint(hash('x'), call(hash, 'x', seconds=30))"
    seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    parent, worker = run(["-c", script], PYTHONHASHSEED=seed).stdout.split()
    assert int(parent) != hash("x")
    assert int(worker) == call(hash, "x", seconds=LONG)


@posix
def test_nothing_is_left_behind() -> None:
    """No file descriptor, no thread, no zombie, no ResourceWarning, after deaths of every kind."""
    script = """
        import json, os, signal, threading, time
        from symdiscover.budget import call, close
        from symdiscover.errors import BudgetExceeded

        def children():
            try:
                return os.waitpid(-1, os.WNOHANG) == (0, 0)
            except ChildProcessError:
                return False

        def state():
            return [len(os.listdir("/dev/fd")), threading.active_count(), children()]

        before = state()
        pid = call(os.getpid, seconds=30)
        alive = state()
        try:
            call(time.sleep, 60, seconds=0.2)
        except BudgetExceeded:
            pass
        gone = state()
        os.kill(call(os.getpid, seconds=30), signal.SIGKILL)
        time.sleep(0.3)
        zombie = children()
        call(os.getpid, seconds=30)
        close()
        print(json.dumps([before, alive, gone, zombie, state()]))
    """
    done = run(["-W", "error", "-"], script)
    assert done.stderr == ""
    before, alive, gone, zombie, after = json.loads(done.stdout)
    assert alive[0] > before[0] and alive[1:] == [2, True]  # these eyes see a worker that is there
    assert before == gone == after and before[1:] == [1, False]
    assert not zombie


@posix
def test_a_forked_child_has_a_worker_of_its_own() -> None:
    """Also while another thread of the parent is in a call, whose lock and pipes the child must not use."""
    script = """
        import os, threading, time
        from symdiscover.budget import call

        pid = call(os.getpid, seconds=30)
        thread = threading.Thread(target=call, args=(time.sleep, 1.0), kwargs={"seconds": 30})
        thread.start()
        time.sleep(0.3)
        read, write = os.pipe()
        if os.fork() == 0:
            os.write(write, str(call(os.getpid, seconds=30)).encode())
            raise SystemExit
        os.wait()
        child = int(os.read(read, 20))
        thread.join()
        print(child not in (pid, os.getpid()), call(os.getpid, seconds=30) == pid)
    """
    done = run(["-W", "error", "-W", "ignore::DeprecationWarning", "-"], script)
    assert (done.stdout, done.stderr) == ("True True\n", "")


@posix
def test_control_c_kills_the_work_and_interrupts_the_caller() -> None:
    script = """
        import os, signal, sys, time
        from symdiscover.budget import call

        signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever was inherited
        try:
            pid = call(os.getpid, seconds=30)
            print("begun", flush=True)
            call(time.sleep, 60, seconds=60)
        except KeyboardInterrupt:
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                print("interrupted, and the worker gone")
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        start_new_session=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "begun\n"
            time.sleep(0.3)
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does
            output, errors = process.communicate(timeout=LONG / 2)
        finally:
            process.kill()
    assert (output, errors) == ("interrupted, and the worker gone\n", "")


@posix
def test_the_worker_itself_ignores_control_c() -> None:
    close()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # an ignored one would be inherited
    pid = call(pid_and, seconds=LONG)
    signal.signal(signal.SIGINT, before)
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(call, interval, 0.6, seconds=LONG)
        time.sleep(0.3)
        os.kill(pid, signal.SIGINT)
        assert future.exception() is None
        future = pool.submit(call, interval, 20.0, seconds=LONG)
        time.sleep(0.3)
        os.kill(pid, signal.SIGTERM)  # another signal does end it
        with pytest.raises(BudgetExceeded, match="SIGTERM"):
            future.result()


@posix
@pytest.mark.parametrize("work", ["time.sleep, 60", pytest.param("pow, 3, 3**18", marks=linux)])
def test_the_worker_ends_with_a_parent_that_was_killed(work: str) -> None:
    """Also amid one long instruction, when no thread of the worker runs and only Linux can end it."""
    pid = orphan(f"""
        import os, time
        from symdiscover.budget import call
        print(call(os.getpid, seconds=30), flush=True)
        call({work}, seconds=60)
    """)
    assert wait_until(lambda: not running(pid))


@posix
def test_another_child_does_not_end_with_its_parent() -> None:
    pid = orphan("""
        import subprocess, sys, time
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], stdout=2)
        print(child.pid, flush=True)
        time.sleep(60)
    """)
    time.sleep(0.3)
    assert running(pid)
    os.kill(pid, signal.SIGKILL)


def orphan(script: str) -> int:
    """Run a script that prints the id of a child and works on; kill it, and return that id."""
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env=environment(),
    ) as process:
        assert process.stdout is not None
        try:
            pid = int(process.stdout.readline())
            assert running(pid)
            time.sleep(0.2)
        finally:
            process.kill()
    return pid


@pytest.mark.parametrize("busy", [False, True])
def test_the_worker_ends_at_the_end_of_its_input(busy: bool) -> None:
    """What a dead parent looks like where the system itself ends nothing: here the parent lives on."""
    command = [sys.executable, "-m", "symdiscover._worker"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment(), bufsize=0
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            assert process.stdout.read(len(budget.GREETING)) == budget.GREETING
            if busy:
                budget.write_frame(process.stdin, pickle.dumps((sys.path, pickle.dumps(time.sleep))))
                assert budget.read_frame(process.stdout) == pickle.dumps(("ready", b""))
                budget.write_frame(process.stdin, pickle.dumps((pickle.dumps((LONG,)), LONG, None)))
            time.sleep(0.2)
            assert process.poll() is None
            process.stdin.close()
            assert process.wait(timeout=LONG / 2) == 0
        finally:
            process.kill()


# Other places to be called from.


def test_from_the_workers_of_pytest_xdist(tmp_path: Path) -> None:
    pytest.importorskip("xdist")
    (tmp_path / "test_two.py").write_text(
        textwrap.dedent("""
            import os, pytest
            from symdiscover.budget import call

            @pytest.mark.parametrize("i", range(2))
            def test_call(i):
                assert "PYTEST_XDIST_WORKER" in os.environ
                assert call(os.getpid, seconds=30) != os.getpid()
        """)
    )
    done = run(["-m", "pytest", "-q", "-n", "1", "-p", "no:cacheprovider", "test_two.py"], cwd=tmp_path)
    assert done.returncode == 0 and "2 passed" in done.stdout, done.stdout + done.stderr


def test_from_jupyter(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ipykernel")
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    cell = """
        import os, time
        from symdiscover.budget import call
        from symdiscover.errors import BudgetExceeded

        def here():
            return os.getpid()

        assert call(here, seconds=30) == os.getpid()
        assert call(os.getpid, seconds=30) != os.getpid()
        call(print, "printed by the work", seconds=30)
        try:
            call(time.sleep, 60, seconds=0.2)
        except BudgetExceeded:
            print("exceeded")
    """
    false = "assert call(here, seconds=30) != os.getpid()"
    cells = [nbformat.v4.new_code_cell(textwrap.dedent(source)) for source in (cell, false)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    with pytest.raises(nbclient.exceptions.CellExecutionError, match="AssertionError"):
        nbclient.NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    assert [cell.execution_count for cell in cells] == [1, 2]
    assert "exceeded" in "".join(output.text for output in cells[0].outputs if output.name == "stdout")
