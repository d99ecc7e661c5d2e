"""The worker of `symdiscover.budget`, ``python -m symdiscover._worker``; free of torch and matplotlib."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import pickle
import queue
import random
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import sympy.core.random  # all of SymPy: its import is no part of anybody's work

from symdiscover import budget

#: Bytes by which the address space may have grown for good before the worker is replaced.
WORN = 2**30


def main() -> None:
    """Answer questions until the parent closes the pipe, or ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle: it kills this process
    requests, answers = _take_pipes()
    _die_with_parent()
    inbox: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(requests, inbox), daemon=True).start()
    fresh = _address_space()
    answers.write(budget.GREETING)
    while True:
        function = _load(inbox.get())
        if function is None:
            budget.write_frame(answers, pickle.dumps(("absent", b"")))
            continue
        budget.write_frame(answers, pickle.dumps(("ready", b"")))
        kind, payload = _run(function, *pickle.loads(inbox.get()))
        # After a failed allocation caches may be half filled, so the worker is not used again.
        worn = kind == "memory" or _address_space() - fresh > WORN
        budget.write_frame(answers, pickle.dumps((kind, payload, worn)))


def _take_pipes() -> tuple[IO[bytes], IO[bytes]]:
    """Keep both pipes for the frames; the work reads an empty standard input and prints to standard error."""
    requests, answers = os.dup(0), os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    try:
        os.fstat(2)
    except OSError:  # the parent has no standard error
        os.dup2(nowhere, 2)
    os.dup2(nowhere, 0)
    os.dup2(2, 1)
    os.close(nowhere)
    sys.stdout = sys.stderr
    return os.fdopen(requests, "rb", buffering=0), os.fdopen(answers, "wb", buffering=0)


def _die_with_parent() -> None:
    """Have Linux kill this process when its parent ends, even amid an operation that lets no thread run."""
    if sys.platform == "linux":
        with contextlib.suppress(Exception):  # no ctypes or no prctl: `_listen` sees most of it
            import ctypes

            set_parent_death_signal = 1
            ctypes.CDLL(None).prctl(set_parent_death_signal, int(signal.SIGKILL), 0, 0, 0)


def _listen(requests: IO[bytes], inbox: queue.SimpleQueue[bytes]) -> None:
    """Pass frames on; at the end of the pipe the parent is gone, and so is the reason for whatever runs."""
    while (frame := budget.read_frame(requests)) is not None:
        inbox.put(frame)
    os._exit(0)


def _load(question: bytes) -> Callable[..., Any] | None:
    """Import the function; None where that fails."""
    budget.set_outer(budget.Deadline(budget.START_SECONDS))  # a module may make calls as it is imported
    path, function = pickle.loads(question)
    if path != sys.path:
        sys.path[:] = path
        importlib.invalidate_caches()
    try:
        return _Unpickler(io.BytesIO(function)).load()
    except BaseException:  # whatever a module raises as it is imported, SystemExit too
        return None


class _Unpickler(pickle.Unpickler):
    """`pickle.Unpickler` that knows: ``__main__`` here is not the ``__main__`` the parent means."""

    def find_class(self, module: str, name: str) -> Any:
        if module == "__main__":
            raise AttributeError(f"__main__.{name} lives in the parent")
        return super().find_class(module, name)


def _run(
    function: Callable[..., Any], packed: bytes, seconds: float, memory: int | None
) -> tuple[str, bytes]:
    """Do the work: ("value" | "error", pickled), ("memory", b""), or ("absent", b"") for alien arguments."""
    budget.set_outer(budget.Deadline(seconds))
    random.seed(0)
    sympy.core.random.seed(0)
    try:
        with _limited(memory):
            try:
                args = _Unpickler(io.BytesIO(packed)).load()
            except MemoryError:
                raise
            except Exception:
                return "absent", b""
            value = function(*args)
            try:
                return "value", pickle.dumps(value)
            except MemoryError:
                raise
            except Exception as error:
                raise pickle.PicklingError(f"the result cannot be sent back: {error}") from error
    except MemoryError:
        return "memory", b""
    except BaseException as error:  # SystemExit too: it must not end the worker
        return "error", _pack(error)


def _pack(error: BaseException) -> bytes:
    """Pickle an exception, or one of its nearest base class that survives pickling, with the same message."""
    note = "In the worker:\n" + "".join(traceback.format_exception(error, limit=-20))
    for kind in type(error).__mro__:
        with contextlib.suppress(Exception):
            copy = error if kind is type(error) else kind(str(error))
            copy.add_note(note)
            packed = pickle.dumps(copy)
            if str(_Unpickler(io.BytesIO(packed)).load()) == str(error):
                return packed
    return pickle.dumps(RuntimeError(note))


@contextlib.contextmanager
def _limited(memory: int | None) -> Iterator[None]:
    """Let the address space grow by `memory` bytes at most, where the system can hold it to that."""
    if sys.platform == "linux" and memory is not None:
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        set_already = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
        resource.setrlimit(resource.RLIMIT_AS, (min([_address_space() + memory, *set_already]), hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    else:
        yield


def _address_space() -> int:
    """Bytes mapped by this process; 0 where the system is not Linux, whose /proc says it."""
    if sys.platform == "linux":
        return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    else:
        return 0


if __name__ == "__main__":
    main()
