"""Named test functions, each with its published source and its minimum."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from functools import cache

from symdiscover.catalogue_row import Family, TestFunction
from symdiscover.errors import SymmetryError

__all__ = ["Family", "TestFunction", "UnknownFunction", "all_functions", "load", "names", "table"]


class UnknownFunction(SymmetryError):
    """The catalogue has no function of this name."""


@cache
def _rows() -> dict[str, TestFunction | Family]:
    # The tables are read at the first use: importing the package costs nothing for them.
    from symdiscover.catalogue_data import FIXED
    from symdiscover.catalogue_families import FAMILIES

    rows: dict[str, TestFunction | Family] = {}
    listed: tuple[TestFunction | Family, ...] = (*FIXED, *FAMILIES)
    for row in listed:
        if row.name in rows:
            raise SymmetryError(f"two rows of the catalogue are named {row.name!r}")
        rows[row.name] = row
    return dict(sorted(rows.items()))


def names() -> list[str]:
    """The names of all functions, sorted.

    >>> names()[:3]
    ['ackley', 'adjiman', 'alpine-1']
    """
    return list(_rows())


def load(name: str, n: int | None = None) -> TestFunction:
    """The function of this name; of a family the member of size n, or of its default size.

    Raises
    ------
    UnknownFunction
        If there is no such name; the message lists the nearest ones.
    SymmetryError
        If the function does not exist for this n.

    Examples
    --------
    >>> load("sphere", n=2).loss.expression
    x1**2 + x2**2
    >>> load("booth").minimisers
    (('1', '3'),)
    """
    rows = _rows()
    if name not in rows:
        near = difflib.get_close_matches(str(name).lower().replace("_", "-").replace(" ", "-"), rows, n=3)
        hint = f"; did you mean {', '.join(near)}?" if near else "; symdiscover.catalogue.names() lists all"
        raise UnknownFunction(f"the catalogue has no function {name!r}{hint}")
    row = rows[name]
    if isinstance(row, Family):
        return row.at(n)
    if n is not None and n != row.dimension:
        raise SymmetryError(f"{name} has {row.dimension} variables and is no family: leave n out")
    return row


def all_functions() -> Iterator[TestFunction]:
    """Every function in the order of `names`, families at their default size."""
    return (load(name) for name in names())


def table() -> str:
    """The catalogue as a Markdown table; a family shows its default size followed by a plus sign.

    >>> print(table().splitlines()[0])
    | name | function | variables | minimum | known group | source |
    """
    lines = [
        "| name | function | variables | minimum | known group | source |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in _rows().items():
        function = load(name)
        size = f"{function.dimension}{'+' if isinstance(row, Family) else ''}"
        minimum = "none" if function.minimum is None else f"`{function.minimum}`"
        cells = (f"`{name}`", function.title, size, minimum, function.group or "not stated", function.source)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
