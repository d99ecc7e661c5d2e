"""What a survey says: the shares, the seconds and the false claims; as text, CSV and Markdown."""

from __future__ import annotations

import csv
import io
import math
import os
import statistics
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from symdiscover.survey import Claim, Row

#: From the best to the least, for a continuous group; a discrete one comes after them all.
KINDS = ("closed-form", "branch", "implicit", "numerical", "discrete")
#: The largest error in float64, relative to the condition of the loss, of what counts as a numerical action.
ERROR = 1e-12
HEADER = ("name", "variables", "kind", "group", "status", "route", "seconds", "symmetries", "re-check")


def best(row: Row) -> Claim | None:
    """The claim that is shown: continuous before discrete, the best kind, transitive before not; a false one last."""
    order = [
        (c.verdict == "false", not c.continuous, KINDS.index(c.kind), not c.transitive) for c in row.claims
    ]
    return row.claims[order.index(min(order))] if order else None


def verdict(row: Row) -> str:
    """The re-check of all claims of a row in words.

    Examples
    --------
    >>> verdict(Row("f", "", "derived"))
    ''
    """
    counts = {word: sum(c.verdict == word for c in row.claims) for word in ("false", "not re-checked")}
    found = [f"{word} ({count} of {len(row.claims)})" for word, count in counts.items() if count]
    return "; ".join(found) or ("holds" if row.claims else "")


def false_claims(rows: Sequence[Row]) -> list[tuple[Row, Claim]]:
    """Every claim that the re-check found false."""
    return [(row, claim) for row in rows for claim in row.claims if claim.verdict == "false"]


def summary(rows: Sequence[Row], missing: int = 0) -> str:
    """The survey in some ten lines, and one more for each thing that went wrong.

    Shares are of all functions that could be read; those of which the derivation crashed or hung count as not found.
    """
    read = [row for row in rows if not row.outcome.startswith("not parsed")]
    smooth = [row for row in read if row.differentiable and row.variables > 1]

    def share(of: Sequence[Row], holds: Callable[[Claim], bool]) -> str:
        count = sum(any(c.verdict != "false" and holds(c) for c in row.claims) for row in of)
        return f"{count} of {len(of)} ({100 * count / len(of):.1f} %)" if of else "0 of 0"

    def of_kind(*kinds: str) -> str:
        return share(read, lambda c: c.continuous and c.kind in kinds)

    def outcomes(word: str) -> int:
        return sum(row.outcome.startswith(word) for row in rows)

    seconds = sorted(row.seconds for row in read)
    taken = (
        f"median {statistics.median(seconds):.2f}, p95 {quantile(seconds, 0.95):.2f}, max {seconds[-1]:.2f}"
        if seconds
        else "none"
    )
    claims = [claim for row in rows for claim in row.claims]
    unseen = sum(claim.verdict == "not re-checked" for claim in claims)
    lines = [
        ("functions", f"{len(rows)}, of which {outcomes('not parsed')} not parsed"
                      + (f"; {missing} more not done yet" if missing else "")),
        ("continuous action in closed form or on a branch", of_kind("closed-form", "branch")),
        ("with implicit ones", of_kind("closed-form", "branch", "implicit")),
        ("exact action, discrete ones included", share(read, lambda c: c.kind != "numerical")),
        (f"continuous action with an error of at most {ERROR:g}, differentiable losses of two variables or more",
         share(smooth, lambda c: c.continuous and c.error is not None and c.error <= ERROR)),
        ("false claims", f"{len(false_claims(rows))} of {len(claims)}; {unseen} not re-checked"),
        ("seconds", taken),
        ("crashes", str(outcomes("crash"))),
        ("hangs", str(outcomes("hang"))),
    ]  # fmt: skip
    return "\n".join([*(f"{name}: {value}" for name, value in lines), *map(printable, _troubles(rows))])


def _troubles(rows: Sequence[Row]) -> list[str]:
    lines = []
    for row, claim in false_claims(rows):
        at = claim.counterexample or {}
        said = ", ".join(f"{name} {value}" for name, value in at.items())
        lines.append(
            f"FALSE {row.name}: {claim.group} ({claim.kind}, {claim.status}, by {claim.route}): {said}"
        )
    for row in rows:
        for claim in row.claims:
            if claim.verdict == "not re-checked":
                lines.append(
                    f"not re-checked {row.name}: {claim.group} ({claim.kind}, by {claim.route}): {claim.reason}"
                )
    return [*lines, *(f"{row.name}: {row.outcome}" for row in rows if row.outcome != "derived")]


def printable(text: str) -> str:
    """The text without what could steer a terminal: names come from files.

    Examples
    --------
    >>> printable("f\\x1b[2J")
    'f?[2J'
    """
    return "".join(c if c.isprintable() else "?" for c in text)


def quantile(ordered: Sequence[float], part: float) -> float:
    """The smallest value that at least this part of all values do not exceed."""
    return ordered[max(math.ceil(part * len(ordered)) - 1, 0)]


def cells(row: Row) -> tuple[str, ...]:
    """One line of the tables, in the order of `HEADER`."""
    shown = best(row)
    kind, group = ("", row.outcome) if row.outcome != "derived" else ("", "none in the families tried")
    if shown is not None:
        kind, group = shown.kind, shown.group
    return (
        row.name,
        str(row.variables or ""),
        kind,
        group,
        "" if shown is None else shown.status,
        "" if shown is None else shown.route,
        f"{row.seconds:.2f}",
        str(len(row.claims)),
        verdict(row),
    )


def markdown(rows: Sequence[Row], missing: int = 0) -> str:
    """The summary and a table of all rows."""
    lines = ["# Survey", "", *(f"- {_plain(line)}" for line in summary(rows, missing).splitlines()), ""]
    lines += [_line(HEADER), _line(["---"] * len(HEADER))]
    return "\n".join([*lines, *(_line(map(_plain, cells(row))) for row in rows)]) + "\n"


def _line(entries: Sequence[str] | map[str]) -> str:
    return f"| {' | '.join(entries)} |"


def _plain(text: str) -> str:
    """Text that is no Markdown and no HTML."""
    return "".join(f"\\{c}" if c in "\\`*_[]<>|#" else c for c in printable(text))


def table(rows: Sequence[Row]) -> str:
    """All rows as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([HEADER, *map(cells, rows)])
    return text.getvalue()


def write_report(rows: Sequence[Row], folder: Path, missing: int = 0) -> None:
    """Write ``survey.csv`` and ``survey.md``, each replaced whole or not at all."""
    for name, text in (("survey.csv", table(rows)), ("survey.md", markdown(rows, missing))):
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=f".{name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace", newline="\n") as stream:
                stream.write(text)
            Path(temporary).chmod(0o644)
            Path(temporary).replace(folder / name)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
