"""Pairs and refusals as plain data and as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from symdiscover.network.pairs import Pair
from symdiscover.network.refusals import Refusal


def as_dict(pairs: Sequence[Pair], refused: Sequence[Refusal], seconds: float) -> dict[str, Any]:
    """What was found, as data that JSON can hold.

    Examples
    --------
    >>> as_dict([], [Refusal("0.weight:1", "it reads the input of the model", "")], 0.2)["continuous_dimension"]
    0
    """
    return {
        "spaces": [
            {
                "size": pair.size, "group": pair.group, "dimension": pair.dimension, "grade": pair.grade,
                "writers": list(pair.writers), "readers": list(pair.readers), "error": pair.error,
            }
            for pair in pairs
        ],
        "refused": [{"where": r.where, "reason": r.reason, "remedy": r.remedy} for r in refused],
        "continuous_dimension": sum(pair.dimension for pair in pairs),
        "seconds": seconds,
    }  # fmt: skip


def table(pairs: Sequence[Pair], refused: Sequence[Refusal]) -> str:
    """One line for each pair, then one for each refusal.

    Examples
    --------
    >>> print(table([], [Refusal("0.weight:1", "it reads the input of the model", "")]))
    no pair
    <BLANKLINE>
    in no pair
      0.weight:1: it reads the input of the model
    """
    lines = ["no pair"]
    if pairs:
        rows = [("size", "group", "dimension", "grade", "error", "writers", "readers")]
        rows += [
            (
                str(p.size), p.group, str(p.dimension), p.grade, "not run" if p.error is None else f"{p.error:.0e}",
                " ".join(p.writers) or "-", " ".join(p.readers) or "-",
            )
            for p in pairs
        ]  # fmt: skip
        widths = [max(len(row[k]) for row in rows) for k in range(6)]
        lines = [
            "  ".join([*(c.ljust(w) for c, w in zip(row, widths, strict=False)), row[6]]) for row in rows
        ]
        lines += ["", f"{sum(p.dimension for p in pairs)} continuous dimensions"]
    if refused:
        lines += ["", "in no pair"]
        lines += [f"  {r.where}: {r.reason}{f' ({r.remedy})' if r.remedy else ''}" for r in refused]
    return "\n".join(lines)


__all__ = ["as_dict", "table"]
