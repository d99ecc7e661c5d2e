"""Bounded work: run a function in a process that can be killed when its time or memory is used up.

Ordinary SymPy calls (`simplify`, `solve`, `Matrix.exp`, ...) hang on ordinary test functions, at times inside
one long integer operation that no timer of the same process can interrupt. `call` therefore hands the work to
one persistent worker process, ``python -m symdiscover._worker``, and kills it at the limit; a later call
starts another.

The two talk in frames, an 8-byte length and that many bytes, over the worker's standard input and output. One
call is two questions: *can you import this function?*, bounded by `START_SECONDS` (imports are no work), and
*what does it return for these arguments?*, bounded by the caller's seconds.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import math
import os
import pickle
import queue
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, TypeVar

from symdiscover.errors import BudgetExceeded

T = TypeVar("T")

#: Limit on starting the worker, and on importing a function there.
START_SECONDS = 60.0

#: What the worker writes before its first frame; text printed earlier, by a `sitecustomize` say, is skipped.
GREETING = b"\x00symdiscover worker 1\x00"

#: A lock waited for on Windows does not see Ctrl-C, so every wait is cut into slices this long.
_SLICE_SECONDS = 0.25

_LENGTH = struct.Struct(">Q")


@dataclass(frozen=True)
class Deadline:
    """A point in time, `seconds` after its creation, that several pieces of work share as one total budget.

    It keeps its meaning when it is sent to another process of the same machine.

    Examples
    --------
    >>> deadline = Deadline(60)
    >>> 59 < deadline.left() <= 60, deadline.expired
    (True, False)
    >>> Deadline(0).expired
    True
    """

    seconds: float
    started: float = field(default_factory=time.monotonic, init=False, repr=False)

    def left(self) -> float:
        """Seconds left, never negative: ready to be passed on as ``call(..., seconds=deadline.left())``."""
        return max(0.0, self.started + self.seconds - time.monotonic())

    @property
    def expired(self) -> bool:
        """Whether no time is left."""
        return self.left() == 0.0


def call(function: Callable[..., T], *args: Any, seconds: float, memory: int | None = 4 * 2**30) -> T:
    """Return ``function(*args)``, computed in a worker process within `seconds` of wall-clock time.

    The worker is started by the first call and kept. `seconds` counts the work alone: starting the worker and
    importing the module of `function` there have a limit of their own, `START_SECONDS`. Calls from several
    threads take turns, and their waiting does not count. What the function prints goes to standard error. So
    that results do not vary from run to run, the worker has ``PYTHONHASHSEED=0`` and every call starts from
    the same state of Python's and SymPy's random generators.

    Two kinds of call run in the present process instead:

    * Inside the worker, a nested call. It shares the time and memory of the outer call; limits of its own are
      not enforced. Pieces of work that need a limit each are called from outside, one after the other.
    * A `function` that the worker cannot import (one from ``__main__`` or a notebook, a lambda, a closure) or
      whose arguments cannot be sent there. It runs **without limits**: put work that may hang into a module.

    Parameters
    ----------
    function:
        An importable function of a module, or a `functools.partial` of one.
    seconds:
        The time limit; ``math.inf`` for none. Zero or less: a shared budget is used up, and nothing is begun.
    memory:
        Bytes by which the work may grow the address space of the worker, None for no limit. Held on Linux;
        macOS and Windows have no such limit, there the time alone is bounded.

    Raises
    ------
    BudgetExceeded
        If the time or the memory is used up, or the worker dies; the message says which.
    Exception
        Whatever `function` raises, of the same class (the nearest base class where that one cannot be
        pickled), with the same message and the worker's traceback as a note.

    Examples
    --------
    >>> call(math.factorial, 10, seconds=30)
    3628800
    >>> call(time.sleep, 30, seconds=0.1)
    Traceback (most recent call last):
        ...
    symdiscover.errors.BudgetExceeded: sleep not finished in 0.1 s: ...
    """
    name = _name(function)
    if math.isnan(seconds):
        raise ValueError("seconds is not a number")
    if memory is not None and memory <= 0:
        raise ValueError(f"memory must be positive or None, not {memory}")
    if seconds <= 0 or (_outer is not None and _outer.expired):
        raise BudgetExceeded(f"{name} not begun: the time is used up; begin with more seconds")
    if _outer is not None or getattr(function, "__module__", None) == "__main__":
        return function(*args)
    try:
        question = pickle.dumps((_search_path(), pickle.dumps(function)))
        work = pickle.dumps((pickle.dumps(args), seconds, memory))
    except Exception:  # whatever a `__reduce__` raises: it cannot be sent
        return function(*args)
    kind, payload = _ask(name, question, work, seconds)
    if kind == "absent":
        return function(*args)
    if kind == "error":
        raise pickle.loads(payload)
    if kind == "memory":
        allowed = "" if memory is None else f" ({memory / 2**20:.0f} MiB allowed)"
        raise BudgetExceeded(f"{name} ran out of memory{allowed}: raise memory= or simplify the expression")
    result: T = pickle.loads(payload)
    return result


def close() -> None:
    """End the worker, after the call in progress if there is one; the next call starts a fresh one.

    Never necessary at exit. Of use after the source of a function was edited: the worker, like every
    Python process, keeps the modules it has imported.
    """
    with _lock:
        _end_worker()


class _Ended(Exception):
    """The worker closed its output."""


class _Worker:
    """One worker process, and the thread that starts it and reads its frames.

    One thread does both because Linux ends a process that asked to die with its parent (see `_worker`) when
    the *thread* that started it ends, and the caller's thread may be a short one. The pipes are unbuffered:
    they have no locks that could be left held in a forked child.
    """

    def __init__(self) -> None:
        self._frames: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._process: subprocess.Popen[bytes] | None = None
        self._failure: Exception | None = None
        self._spawned = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="symdiscover worker", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        try:
            process = self._process = _spawn()
        except Exception as error:
            self._failure = error
            self._frames.put(None)
            return
        finally:
            self._spawned.set()
        assert process.stdout is not None
        with process.stdout as pipe:
            frame = b"" if _skip_to_greeting(pipe) else None  # an empty frame stands for the greeting
            while frame is not None:
                self._frames.put(frame)
                frame = read_frame(pipe)
            self._frames.put(None)
        process.wait()

    def next(self, deadline: Deadline) -> bytes:
        """The next frame. Raises TimeoutError at the deadline, `_Ended` where there will be none."""
        while True:
            try:
                frame = self._frames.get(timeout=min(deadline.left(), _SLICE_SECONDS))
            except queue.Empty:
                if deadline.expired:
                    raise TimeoutError from None
                continue
            if frame is None:
                self._frames.put(None)  # for whoever asks again
                raise _Ended
            return frame

    def send(self, frame: bytes) -> None:
        """Write a frame. Raises `_Ended` if the worker no longer reads."""
        self._spawned.wait()
        if self._process is None:
            raise _Ended
        assert self._process.stdin is not None
        try:
            write_frame(self._process.stdin, frame)
        except OSError:
            raise _Ended from None

    def load(self, question: bytes) -> bool:
        """Whether the worker can import the function in question."""
        self.send(question)
        kind, _ = pickle.loads(self.next(Deadline(START_SECONDS)))
        return bool(kind == "ready")

    def end(self) -> None:
        """Kill the process with everything it has started, and reap it."""
        self._spawned.wait()
        if (process := self._process) is None:
            return
        with contextlib.suppress(OSError):
            # It leads a session of its own, and until it is reaped that number is nobody else's.
            if process.returncode is None and sys.platform != "win32":
                os.killpg(process.pid, signal.SIGKILL)
            process.kill()
        assert process.stdin is not None
        process.stdin.close()
        self._thread.join(timeout=10)

    def epitaph(self) -> str:
        """How the worker ended, in words."""
        if self._process is None:
            return f"the worker could not be started ({self._failure!r})"
        try:
            status = self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            return "the worker closed its output"
        try:
            cause = f" ({signal.Signals(-status).name})" if status < 0 else ""
        except ValueError:
            cause = ""
        if status in (-6, -9):  # SIGABRT: an allocation failed inside GMP, say; SIGKILL: the system chose it
            cause += ", as happens when memory runs out"
        return f"the worker ended with exit status {status}{cause}"

    def abandon(self) -> None:
        """In a forked child: close its copies of the pipes, and leave the process to the parent."""
        if self._process is not None:
            self._process.returncode = 0  # not ours to wait for
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    pipe.close()


_lock = threading.Lock()  # held during a call
_current: _Worker | None = None
_outer: Deadline | None = None  # set in the worker, to the deadline of what it is doing


def _ask(name: str, question: bytes, work: bytes, seconds: float) -> tuple[str, bytes]:
    """The worker's answer: ("value" | "error", pickled), ("memory", b"") or ("absent", b"")."""
    with _lock:
        try:
            worker = _loaded(name, question)
            if worker is None:
                return "absent", b""
            deadline = Deadline(seconds)
            try:
                worker.send(work)
                kind, payload, worn = pickle.loads(worker.next(deadline))
            except TimeoutError:
                raise BudgetExceeded(
                    f"{name} not finished in {seconds:g} s: raise seconds= or simplify the expression"
                ) from None
            except _Ended:
                raise BudgetExceeded(f"{worker.epitaph()} while it ran {name}") from None
        except BaseException:  # KeyboardInterrupt too: the work must not go on
            _end_worker()
            raise
        if worn:
            _end_worker()
        return kind, payload


def _loaded(name: str, question: bytes) -> _Worker | None:
    """A worker that has imported the function; None where that fails."""
    global _current
    try:
        if _current is not None:
            try:
                return _current if _current.load(question) else None
            except _Ended:  # while it was idle, killed by somebody: replace it, once
                _end_worker()
        _current = _Worker()
        _current.next(Deadline(START_SECONDS))
        return _current if _current.load(question) else None
    except TimeoutError:
        raise BudgetExceeded(f"the worker was not ready for {name} in {START_SECONDS:g} s") from None
    except _Ended:
        ended = "the worker ended" if _current is None else _current.epitaph()
        raise BudgetExceeded(f"{ended} before it was ready for {name}") from None


def _search_path() -> list[str]:
    """`sys.path` for another process: existing relative entries made absolute, marks of import hooks kept."""
    entries = []
    for entry in sys.path:
        if isinstance(entry, str):
            with contextlib.suppress(OSError):  # the current directory may be gone
                relative = not entry or (not os.path.isabs(entry) and os.path.exists(entry))  # noqa: PTH110, PTH117
                entries.append(os.path.abspath(entry) if relative else entry)  # noqa: PTH100
    return entries


def _spawn() -> subprocess.Popen[bytes]:
    if not sys.executable or getattr(sys, "frozen", False):  # a frozen program would start itself
        raise OSError("sys.executable does not name a Python interpreter")
    root = str(Path(__file__).absolute().parent.parent)  # last: for a parent whose path no longer has it
    path = os.pathsep.join(dict.fromkeys([*_search_path(), root]))
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": "0"}
    environment.pop("PYTHONINSPECT", None)
    own_group: dict[str, Any]
    if sys.platform == "win32":
        own_group = {"creationflags": subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP}
    else:
        own_group = {"start_new_session": True}  # Ctrl-C in the terminal is for the parent alone
    return subprocess.Popen(
        # -P: the current directory comes first on the path only if it does in the parent.
        [sys.executable, "-P", "-m", "symdiscover._worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        bufsize=0,
        **own_group,
    )


def _skip_to_greeting(pipe: IO[bytes]) -> bool:
    seen = b""
    while not seen.endswith(GREETING):
        byte = pipe.read(1)
        if not byte:
            return False
        seen = seen[1 - len(GREETING) :] + byte
    return True


def _end_worker() -> None:
    global _current
    worker, _current = _current, None  # first: an interrupted end must not leave it for the next call
    if worker is not None:
        worker.end()


def _after_fork_in_child() -> None:
    global _lock, _current
    _lock = threading.Lock()  # another thread of the parent may have held it
    if _current is not None:
        _current.abandon()
        _current = None


atexit.register(_end_worker)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def read_frame(pipe: IO[bytes]) -> bytes | None:
    """Read one frame from an unbuffered pipe; None at its end."""
    header = _read(pipe, _LENGTH.size)
    return None if header is None else _read(pipe, _LENGTH.unpack(header)[0])


def write_frame(pipe: IO[bytes], frame: bytes) -> None:
    """Write one frame to an unbuffered pipe."""
    rest = memoryview(_LENGTH.pack(len(frame)) + frame)
    while rest:
        rest = rest[pipe.write(rest) :]


def _read(pipe: IO[bytes], size: int) -> bytes | None:
    chunks = bytearray()
    while len(chunks) < size:
        chunk = pipe.read(min(size - len(chunks), 2**20))
        if not chunk:
            return None
        chunks += chunk
    return bytes(chunks)


def set_outer(deadline: Deadline) -> None:
    """In the worker: nested calls run inline, and none is begun after this deadline."""
    global _outer
    _outer = deadline


def _name(function: Callable[..., Any]) -> str:
    if isinstance(function, functools.partial):
        return _name(function.func)
    return str(getattr(function, "__name__", function))
