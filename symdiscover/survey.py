"""Derive over a whole collection of losses, in parallel and resumably, and look at every claim again.

A collection is an object name -> entry; an entry has ``variables`` (names), ``expression`` (text), ``bounds`` (a pair for
each variable) and, where it has them, ``positive`` (names of symbolic constants), ``values`` (of these, for the re-check
alone) and ``differentiable``. What is done is kept in ``survey.jsonl``, one line a function: the same survey into the
same folder goes on where it was ended.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from symdiscover.errors import SymmetryError
from symdiscover.survey_pool import Pool

#: The largest file of a collection that is read, in bytes.
LARGEST = 20_000_000
#: What a function may take in all, derivation and re-check: `STRETCH` budgets and `GRACE` seconds. Then it hangs.
STRETCH, GRACE = 2.0, 30.0

Collection = Mapping[str, Any]


class UnreadableCollection(SymmetryError):
    """The file does not hold a JSON object name -> entry."""


@dataclass(frozen=True)
class Claim:
    """One claim of a row, with what the re-check found: the fields of `symdiscover.recheck.Recheck`."""

    group: str
    kind: str
    status: str
    route: str
    domain: str
    continuous: bool
    transitive: bool
    verdict: str
    reason: str
    images: tuple[int, int]
    error: float | None
    residual: float | None
    counterexample: dict[str, str] | None


@dataclass(frozen=True)
class Row:
    """What became of one entry.

    `outcome` is ``derived``, or ``not parsed``, ``crash`` or ``hang`` with a colon and the reason; `key` names the entry,
    the settings and the version it was made with; `tried` lists route, outcome and seconds.
    """

    name: str
    key: str
    outcome: str
    variables: int = 0
    differentiable: bool = False
    seconds: float = 0.0
    claims: tuple[Claim, ...] = ()
    tried: tuple[tuple[str, str, float], ...] = ()

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> Row:
        """The row from JSON data; TypeError where that is not one."""
        if not all(isinstance(data.get(name), str) for name in ("name", "key", "outcome")):
            raise TypeError("a row has a name, a key and an outcome")
        claims = tuple(Claim(**claim) for claim in data.get("claims", ()))
        tried = tuple((str(route), str(said), float(taken)) for route, said, taken in data.get("tried", ()))
        return cls(**{**data, "claims": claims, "tried": tried})


def catalogue_collection() -> dict[str, Any]:
    """The catalogue as a collection, families at their default size."""
    from symdiscover import catalogue

    return {
        f.name: {
            "variables": list(f.variables),
            "expression": f.text,
            "bounds": [list(pair) for pair in f.bounds],
            "positive": list(f.constants),
            "values": dict(f.constants),
            "differentiable": f.differentiable,
        }
        for f in catalogue.all_functions()
    }


def read_collection(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The collection in a JSON file; its entries are looked at when their turn comes.

    Raises
    ------
    UnreadableCollection
        If the file is too large, is not JSON, holds no object, or gives a name twice.
    OSError
        If it cannot be read.
    """
    with Path(path).open("rb") as stream:
        content = stream.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise UnreadableCollection(f"{path} is larger than {LARGEST} bytes: split the collection")

    def named_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        entries = dict(pairs)
        if len(entries) != len(pairs):
            raise ValueError("a name is given twice")
        return entries

    try:
        collection = json.loads(content.decode("utf-8-sig"), object_pairs_hook=named_once)
    except (ValueError, RecursionError) as error:
        raise UnreadableCollection(f"{path} is no JSON file of losses: {error}") from None
    if not isinstance(collection, dict) or not collection:
        raise UnreadableCollection(f"{path} must hold an object with an entry for each name")
    return {name: entry if _shallow(entry) else "nested too deeply" for name, entry in collection.items()}


def _shallow(entry: Any, depth: int = 8) -> bool:
    """Whether an entry ends within so many levels: what is deeper could be read and not be written again."""
    level = [entry]
    for _ in range(depth):
        level = [
            child
            for node in level
            if isinstance(node, dict | list)
            for child in (node.values() if isinstance(node, dict) else node)
        ]
    return not level


def survey(
    collection: Collection,
    folder: str | os.PathLike[str],
    budget: float = 30.0,
    jobs: int = 1,
    begun: Callable[[int], None] | None = None,
    progress: Callable[[Row], None] | None = None,
) -> list[Row]:
    """Derive and re-check every entry of a collection, each in a process that is ended when it hangs.

    Parameters
    ----------
    collection:
        Name -> entry, as `read_collection` or `catalogue_collection` give it.
    folder:
        Where ``survey.jsonl``, ``survey.csv`` and ``survey.md`` are written; made if it is missing.
    budget:
        Seconds for each derivation.
    jobs:
        How many processes.
    begun, progress:
        Called with the number of rows that were there already, and with each new row.

    Returns
    -------
    list of Row
        In the order of the collection.

    Raises
    ------
    OSError
        If the folder cannot be written.
    KeyboardInterrupt
        After Ctrl-C; what is done is written, and no process is left.
    """
    from symdiscover.survey_report import write_report

    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    record = target / "survey.jsonl"
    keys = {name: _key(entry, budget) for name, entry in collection.items()}
    rows = {row.name: row for row in recorded(record) if keys.get(row.name) == row.key}
    todo = [name for name in collection if name not in rows]
    if begun is not None:
        begun(len(rows))
    pool = Pool(jobs, budget, limit=STRETCH * budget + GRACE)
    try:
        with _appending(record) as append, contextlib.closing(pool):
            for name, answer in pool.answers([(name, collection[name]) for name in todo]):
                row = rows[name] = Row.read({**answer, "name": name, "key": keys[name]})
                append(row)
                if progress is not None:
                    progress(row)
    finally:
        done = [rows[name] for name in collection if name in rows]
        write_report(done, target, missing=len(collection) - len(done))
    return done


def recorded(path: Path) -> list[Row]:
    """The rows of a JSON-lines file; a line that is torn or foreign is passed over."""
    rows = []
    if path.exists():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            with contextlib.suppress(ValueError, TypeError, AttributeError, RecursionError):
                rows.append(Row.read(json.loads(line)))
    return rows


@contextlib.contextmanager
def _appending(path: Path) -> Iterator[Callable[[Row], None]]:
    """Append rows, one line each; after a torn line on a line of their own."""
    torn = path.exists() and path.read_bytes()[-1:] not in (b"", b"\n")
    with path.open("a", encoding="utf-8", newline="\n") as stream:
        if torn:
            stream.write("\n")

        def append(row: Row) -> None:
            stream.write(json.dumps(asdict(row)) + "\n")
            stream.flush()

        yield append


def _key(entry: Any, budget: float) -> str:
    """What a row depends on: the entry, the settings, and the code."""
    content = json.dumps([entry, budget, STRETCH, GRACE, version()], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def version() -> str:
    """The versions of package, SymPy and torch, with a digest of the package: after an edit everything is surveyed anew."""
    from symdiscover import __version__

    files = sorted(Path(__file__).parent.rglob("*.py"))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]
    others = [importlib.metadata.version(name) for name in ("sympy", "torch")]
    return " ".join([__version__, digest, *others])
