"""The processes of a survey: started, asked, ended when they hang, replaced when they die."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from symdiscover.budget import START_SECONDS, _search_path, _skip_to_greeting, read_frame, write_frame

#: A lock waited for on Windows does not see Ctrl-C, so every wait is cut into slices this long.
_SLICE = 0.25


class Pool:
    """So many threads with a process each, which is ended and replaced when it dies or takes longer than `limit` seconds.

    `close` must be called; it ends every process with what it has started, amid its work.
    """

    def __init__(self, jobs: int, budget: float, limit: float) -> None:
        self.jobs, self.budget, self.limit = jobs, budget, limit
        self._waiting: queue.SimpleQueue[tuple[str, Any] | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[tuple[str, dict[str, Any]]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._closed = False
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._threads: list[threading.Thread] = []

    def answers(self, work: Sequence[tuple[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
        """Name and row of each piece of work, as they are done."""
        jobs = min(self.jobs, len(work))
        for item in (*work, *[None] * jobs):
            self._waiting.put(item)
        self._threads = [threading.Thread(target=self._serve, daemon=True) for _ in range(jobs)]
        for thread in self._threads:
            thread.start()
        left = len(work)
        while left:
            with contextlib.suppress(queue.Empty):
                yield self._done.get(timeout=_SLICE)
                left -= 1

    def close(self) -> None:
        """End every process."""
        with self._lock:
            self._closed = True
            for process in self._processes:
                process.kill()
        for thread in self._threads:
            thread.join(timeout=10)

    def _serve(self) -> None:
        # The process asks to die with the thread that started it (see `_worker`): so each thread has its own.
        process: subprocess.Popen[bytes] | None = None
        while (item := self._waiting.get()) is not None:
            name, entry = item
            try:
                process = process or self._start()
                answer = self._ask(process, entry)
            except _Lost as lost:
                if self._closed:
                    break
                self._end(process)
                answer, process = lost.answer, None
            self._done.put((name, answer))
        self._end(process)

    def _start(self) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._closed:
                raise _Lost("the survey was ended")
            try:
                process = _spawn()
            except OSError as error:
                raise _Lost(f"crash: the process could not be started ({error})") from None
            self._processes.add(process)
        assert process.stdout is not None
        with _ended_after(process, START_SECONDS) as late:
            ready = _skip_to_greeting(process.stdout)
        if not ready:
            self._end(process)
            why = "was not ready in time" if late.is_set() else _epitaph(process)
            raise _Lost(f"crash: the process {why}")
        return process

    def _ask(self, process: subprocess.Popen[bytes], entry: Any) -> dict[str, Any]:
        assert process.stdin is not None and process.stdout is not None
        frame = None
        with _ended_after(process, self.limit) as late, contextlib.suppress(OSError):
            write_frame(process.stdin, json.dumps({"data": entry, "budget": self.budget}).encode())
            frame = read_frame(process.stdout)
        if frame is not None:
            return dict(json.loads(frame))
        if late.is_set():
            raise _Lost(f"hang: not finished in {self.limit:g} s", self.limit)
        raise _Lost(f"crash: the process {_epitaph(process)}")

    def _end(self, process: subprocess.Popen[bytes] | None) -> None:
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        with self._lock:
            self._processes.discard(process)


class _Lost(Exception):
    """The process gave no answer; `answer` is what stands in the row instead."""

    def __init__(self, outcome: str, seconds: float = 0.0) -> None:
        super().__init__(outcome)
        self.answer = {"outcome": outcome, "seconds": seconds}


@contextlib.contextmanager
def _ended_after(process: subprocess.Popen[bytes], seconds: float) -> Iterator[threading.Event]:
    """Kill the process after so many seconds; the event says that it came to that."""
    late = threading.Event()

    def kill() -> None:
        late.set()
        process.kill()

    timer = threading.Timer(seconds, kill)
    timer.daemon = True
    timer.start()
    try:
        yield late
    finally:
        timer.cancel()


def _spawn() -> subprocess.Popen[bytes]:
    # What the worker of `budget` gets: the parent's path, fixed hashes; and one thread for each library.
    root = str(Path(__file__).absolute().parent.parent)
    path = os.pathsep.join(dict.fromkeys([*_search_path(), root]))
    one = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    environment = {**os.environ, **one, "PYTHONPATH": path, "PYTHONHASHSEED": "0"}
    environment.pop("PYTHONINSPECT", None)
    own_group: dict[str, Any] = {"start_new_session": True}  # Ctrl-C in the terminal is for the parent alone
    if sys.platform == "win32":
        own_group = {"creationflags": subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP}
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "symdiscover._surveyor"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        bufsize=0,
        **own_group,
    )


def _epitaph(process: subprocess.Popen[bytes]) -> str:
    """How a process ended, in words."""
    try:
        status = process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        return "closed its output"
    with contextlib.suppress(ValueError):
        if status < 0:
            return f"died of {signal.Signals(-status).name}"
    return f"ended with exit status {status}"
