"""The lemmas of charts with roots as literals: one row a lemma."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

import sympy as sp

from symdiscover.basins import Basins
from symdiscover.errors import SymmetryError
from symdiscover.graph import Graph
from symdiscover.star import Star
from symdiscover.symmetry import Lemma

#: Name in saved files -> class. Its fields are expressions and tuples of them, and a matrix called frame.
LEMMAS: dict[str, type] = {"star": Star, "basins": Basins, "graph": Graph}


def lemma_literal(lemma: Lemma) -> dict[str, Any]:
    """The data of a lemma as texts, lists of texts and lists of rows.

    Examples
    --------
    >>> one = sp.Integer(1)
    >>> lemma_literal(Star((one, 2 * one), sp.ImmutableMatrix(sp.eye(2)), 0 * one, one, 0 * one, 4 * one))["frame"]
    [['1', '0'], ['0', '1']]
    """
    return {
        "name": lemma.name,
        **{field.name: _texts(getattr(lemma, field.name)) for field in fields(lemma)},  # type: ignore[arg-type]
    }


def read_lemma(data: Mapping[str, Any], read: Callable[[str], sp.Expr]) -> Lemma:
    """The lemma that `lemma_literal` wrote; `read` turns text into an expression.

    Raises
    ------
    SymmetryError
        If there is no lemma of that name, or its data have another shape.
    """
    kind = LEMMAS.get(data.get("name", "")) if isinstance(data.get("name"), str) else None
    if kind is None or set(data) != {"name", *(field.name for field in fields(kind))}:
        raise SymmetryError("no saved action: an unknown lemma, or one whose data have another shape")
    values = {field.name: _value(data[field.name], read) for field in fields(kind)}
    if "frame" in values:
        values["frame"] = sp.ImmutableMatrix([list(row) for row in values["frame"]])
    lemma: Lemma = kind(**values)
    return lemma


def _texts(value: Any) -> Any:
    if isinstance(value, sp.MatrixBase):
        return [[str(entry) for entry in row] for row in value.tolist()]
    return [_texts(entry) for entry in value] if isinstance(value, tuple) else str(value)


def _value(data: Any, read: Callable[[str], sp.Expr]) -> Any:
    if isinstance(data, str):
        return {"oo": sp.oo, "-oo": -sp.oo}.get(data) or read(data)
    if not isinstance(data, list):
        raise SymmetryError("no saved action: a lemma holds texts, lists of texts and lists of rows")
    return tuple(_value(entry, read) for entry in data)
