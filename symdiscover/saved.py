"""Saved actions: the claim as a literal inside the generated file, and its proof from there without running it."""

from __future__ import annotations

import ast
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import sympy as sp

from symdiscover.errors import SymmetryError
from symdiscover.expression import parse
from symdiscover.group import Group
from symdiscover.loss import Loss
from symdiscover.symmetry import Certificate, Chart, Symmetry
from symdiscover.verify import verify

#: Written into every file; a reader refuses a newer one.
SCHEMA = 1


def to_literal(symmetry: Symmetry) -> dict[str, Any]:
    """The claim as nested dicts, lists, strings and numbers: everything needed to prove it again."""
    loss, group, chart = symmetry.loss, symmetry.group, symmetry.chart
    return {
        "schema": SCHEMA,
        "name": loss.name,
        "expression": str(loss.expression),
        "variables": [s.name for s in loss.variables],
        "positive": [s.name for s in loss.constants],
        "group": {
            "name": group.name,
            "size": group.size,
            "basis": [_entries(matrix) for matrix in group.basis],
            "discrete": [_entries(matrix) for matrix in group.discrete],
            "compact": group.compact,
            "affine": group.affine,
            "element": group.element,
            "form": None if group.form is None else _entries(group.form),
        },
        "coordinates": [s.name for s in chart.coordinates],
        "chart": [str(expression) for expression in chart.forward],
        "inverse": [[variable.name, str(expression)] for variable, expression in chart.inverse],
        "conditions": [str(condition) for condition in chart.conditions],
        "reduced": None if symmetry.reduced is None else str(symmetry.reduced),
        "kind": symmetry.kind,
        "route": symmetry.route,
        "note": symmetry.note,
        "parameters": [s.name for s in symmetry.parameters],
        "map": None if symmetry.map is None else [str(image) for image in symmetry.map],
    }


def from_literal(data: Mapping[str, Any]) -> Symmetry:
    """The claim that `to_literal` wrote, read by the safe parser.

    Raises
    ------
    SymmetryError
        If the data has another shape or a newer schema.
    """
    if not isinstance(data, Mapping) or not isinstance(data.get("schema"), int):
        raise SymmetryError("no saved action: SYMMETRY is missing or has another shape")
    if data["schema"] > SCHEMA:
        raise SymmetryError(f"saved by a newer version (schema {data['schema']}, this reads {SCHEMA})")
    try:
        return _symmetry(data)
    except (KeyError, TypeError, AttributeError, IndexError, sp.ShapeError) as error:
        raise SymmetryError(f"no saved action: {type(error).__name__} at {error}") from error


def verify_file(path: str | os.PathLike[str], budget: float = 30.0) -> Certificate:
    """Prove a saved action again from the expression and the map that its file states; the file is never run.

    Besides the proof, the code in the file must be, character for character, what the proved claim generates.

    Raises
    ------
    SymmetryError
        If the file holds no saved action, or its code is not what its claim generates.
    NotInvariant
        If the claim is false.
    OSError
        If the file cannot be read.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        literal = _literal(ast.parse(text))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise SymmetryError(f"no saved action: {path} does not hold a readable SYMMETRY ({error})") from error
    symmetry = from_literal(literal)
    certificate = verify(symmetry, budget)
    from symdiscover.generate import action_source

    if action_source(symmetry) != text:
        raise SymmetryError(f"the claim in {path} is {certificate.status}, but the code is not what it generates")
    return certificate


def _literal(tree: ast.Module) -> Any:
    for statement in tree.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id="SYMMETRY")], value=value):
                return ast.literal_eval(value)
    raise ValueError("no assignment to SYMMETRY")


def _entries(matrix: sp.Matrix) -> list[list[str]]:
    return [[str(entry) for entry in row] for row in matrix.tolist()]


def _symmetry(data: Mapping[str, Any]) -> Symmetry:
    positive, variables, coordinates = data["positive"], data["variables"], data["coordinates"]
    loss = Loss.parse(data["expression"], variables, positive, data["name"])

    def read(text: str, names: Sequence[str]) -> sp.Expr:
        return parse(text, variables=[*variables, *names], positive=positive).expression

    def matrices(listed: list[list[list[str]]]) -> tuple[sp.ImmutableMatrix, ...]:
        return tuple(sp.ImmutableMatrix([[read(entry, ()) for entry in row] for row in rows]) for rows in listed)

    raw = data["group"]
    form = None if raw["form"] is None else matrices([raw["form"]])[0]
    group = Group(
        str(raw["name"]), int(raw["size"]), matrices(raw["basis"]), matrices(raw["discrete"]),
        bool(raw["compact"]), bool(raw["affine"]), raw["element"], form,
    )  # fmt: skip
    symbols = {name: sp.Symbol(name, real=True) for name in [*variables, *coordinates]}
    chart = Chart(
        loss.variables,
        tuple(symbols[name] for name in coordinates),
        tuple(read(text, ()) for text in data["chart"]),
        tuple((symbols[name], read(text, coordinates)) for name, text in data["inverse"]),
    )
    reduced = None if data["reduced"] is None else read(data["reduced"], coordinates)
    parameters = tuple(sp.Symbol(name, real=True) for name in data["parameters"])
    claimed = None if data["map"] is None else tuple(read(text, data["parameters"]) for text in data["map"])
    symmetry = Symmetry(
        loss, group, chart, data["kind"], data["route"], reduced, parameters=parameters,
        map=None if group.basis or group.discrete else claimed, note=data["note"],
    )  # fmt: skip
    if symmetry.map != claimed:
        symmetry = Symmetry(
            loss, group, chart, data["kind"], data["route"], reduced, parameters, claimed, data["note"]
        )
    return symmetry
