"""Claims as literals: nested dicts, lists, strings and numbers, from which they are read back without running anything.

Expressions are text in the notation of `symdiscover.expression`; a matrix is the list of its entries that are not zero,
[row, column, text], counted from 0.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, get_args

import sympy as sp

from symdiscover.errors import SymmetryError
from symdiscover.expression import parse
from symdiscover.group import ElementKind, Group
from symdiscover.identity import decide_zero
from symdiscover.lemma import lemma_literal, read_lemma
from symdiscover.loss import Loss
from symdiscover.notation import RESERVED
from symdiscover.root import Root
from symdiscover.symmetry import Chart, Kind, Symmetry

#: Written into every literal; a reader refuses a newer one.
SCHEMA = 1
#: Texts that the library wrote, of long sums and maps, may be this many times longer than those that people type.
SCALE = 10
#: Columns of the text of a literal.
WIDTH = 110

_TEXT, _TEXTS = "a string", "a list of strings"
_FIELDS: dict[str, str] = {
    "schema": "an integer",
    "sympy": _TEXT,
    "name": _TEXT,
    "expression": _TEXT,
    "variables": _TEXTS,
    "positive": _TEXTS,
    "group": "a dictionary",
    "coordinates": _TEXTS,
    "chart": _TEXTS,
    "inverse": "a list",
    "conditions": _TEXTS,
    "lemma": "a dictionary or None",
    "reduced": "a string or None",
    "kind": _TEXT,
    "route": _TEXT,
    "note": _TEXT,
    "parameters": _TEXTS,
    "map": "a list of strings or None",
}
_GROUP_FIELDS: dict[str, str] = {
    "name": _TEXT,
    "size": "an integer",
    "basis": "a list",
    "discrete": "a list",
    "compact": "a truth value",
    "affine": "a truth value",
    "element": _TEXT,
    "form": "a list or None",
}


def to_literal(symmetry: Symmetry) -> dict[str, Any]:
    """The claim as plain data: everything needed to prove it again.

    Coordinates and parameters whose names the notation does not know are renamed.

    Examples
    --------
    >>> from symdiscover.routes.quadratic import find
    >>> literal = to_literal(find(Loss.parse("x**2 + 4*y**2"))[0])
    >>> literal["chart"], literal["group"]["basis"]
    (['x', '2*y'], [[[0, 1, '-1'], [1, 0, '1']]])
    >>> from_literal(literal).map
    (x*cos(theta) - 2*y*sin(theta), x*sin(theta)/2 + y*cos(theta))
    """
    symmetry = _plainly_named(symmetry)
    loss, group, chart = symmetry.loss, symmetry.group, symmetry.chart
    return {
        "schema": SCHEMA,
        "sympy": sp.__version__,
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
        "inverse": [[symbol.name, *_step_texts(step)] for symbol, step in chart.inverse],
        "conditions": [str(condition) for condition in chart.conditions],
        "lemma": None if chart.lemma is None else lemma_literal(chart.lemma),
        "reduced": None if symmetry.reduced is None else str(symmetry.reduced),
        "kind": symmetry.kind,
        "route": symmetry.route,
        "note": symmetry.note,
        "parameters": [s.name for s in symmetry.parameters],
        "map": None if symmetry.map is None else [str(image) for image in symmetry.map],
        **({} if symmetry.flow is None else {"flow": [str(velocity) for velocity in symmetry.flow]}),
    }


def from_literal(data: Any) -> Symmetry:
    """The claim that `to_literal` wrote, read by the safe parser.

    Raises
    ------
    SymmetryError
        If the data has another shape or a newer schema, or is no claim.
    ExpressionError
        If a text is no expression.
    """
    return read_literal(data)[0]


def read_literal(data: Any) -> tuple[Symmetry, bool]:
    """The claim, and whether its map is the one that its group and chart give."""
    if not isinstance(data, Mapping) or type(data.get("schema")) is not int:
        raise SymmetryError("no saved action: SYMMETRY is missing or has another shape")
    if data["schema"] > SCHEMA:
        raise SymmetryError(f"saved by a newer version (schema {data['schema']}, this reads {SCHEMA})")
    _check(data, _FIELDS | ({"flow": _TEXTS} if "flow" in data else {}), "SYMMETRY")
    _check(data["group"], _GROUP_FIELDS, "the group of SYMMETRY")
    try:
        return _Claim(data).read()
    except SymmetryError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise SymmetryError(f"no saved action: {type(error).__name__}, {error}") from error


def literal_text(value: Any, indent: int = 0) -> str:
    """Plain data as readable Python text, broken where it is long.

    Examples
    --------
    >>> print(literal_text({"name": "Booth", "variables": ["x", "y"]}))
    {
        "name": "Booth",
        "variables": ["x", "y"],
    }
    """
    pad, inner = " " * indent, " " * (indent + 4)
    if isinstance(value, Mapping):
        lines = [
            f"{inner}{_quoted(key)}: {literal_text(entry, indent + 4)},\n" for key, entry in value.items()
        ]
        return "{\n" + "".join(lines) + pad + "}"
    flat = _flat(value)
    if len(flat) + indent <= WIDTH - 20:
        return flat
    if isinstance(value, str):
        pieces = _pieces(value, WIDTH - indent - 6)
        return "(\n" + "".join(f"{inner}{_quoted(piece)}\n" for piece in pieces) + pad + ")"
    if isinstance(value, list):
        return "[\n" + "".join(f"{inner}{literal_text(entry, indent + 4)},\n" for entry in value) + pad + "]"
    return flat


def plain_name(name: str, taken: Collection[str]) -> str:
    """A name of the notation, its own if it is one and not taken, else with other letters and underscores.

    Examples
    --------
    >>> [plain_name(name, {"x"}) for name in ("y", "x", "lambda", "u'", "7")]
    ['y', 'x_', 'lambda_', 'u_', 'v7']
    """
    plain = re.sub(r"[^A-Za-z0-9_]", "_", name)[:30]
    plain = plain if plain[:1].isalpha() else f"v{plain}"
    while plain in taken or plain in RESERVED or keyword.iskeyword(plain):
        plain += "_"
    return plain


def _plainly_named(symmetry: Symmetry) -> Symmetry:
    chart = symmetry.chart
    taken = {s.name for s in (*symmetry.loss.variables, *symmetry.loss.constants)}
    renamed: dict[sp.Symbol, sp.Symbol] = {}
    scratch = [symbol for symbol, _ in chart.inverse if symbol not in chart.variables]
    for symbol in dict.fromkeys((*chart.coordinates, *symmetry.parameters, *scratch)):
        name = plain_name(symbol.name, taken)
        taken.add(name)
        renamed[symbol] = sp.Symbol(name, real=True)
    if all(old == new for old, new in renamed.items()):
        return symmetry
    coordinates = tuple(renamed[s] for s in chart.coordinates)
    if (lemma := chart.lemma) is not None:
        chart = lemma.chart(symmetry.loss, coordinates, [renamed[s] for s in scratch])
        return replace(symmetry, chart=chart, reduced=lemma.reduced(symmetry.loss, coordinates))
    return replace(
        symmetry,
        chart=replace(
            chart,
            coordinates=coordinates,
            inverse=tuple((x, expression.xreplace(renamed)) for x, expression in chart.inverse),
        ),
        reduced=None if symmetry.reduced is None else symmetry.reduced.xreplace(renamed),
        parameters=tuple(renamed[s] for s in symmetry.parameters),
        map=None if symmetry.map is None else tuple(image.xreplace(renamed) for image in symmetry.map),
        flow=None if symmetry.flow is None else tuple(e.xreplace(renamed) for e in symmetry.flow),
    )


def _entries(matrix: sp.Matrix) -> list[list[Any]]:
    return [
        [row, column, str(matrix[row, column])]
        for row in range(matrix.rows)
        for column in range(matrix.cols)
        if matrix[row, column] != 0
    ]


def _step_texts(step: sp.Expr | Root) -> list[str]:
    """A step of the inverse: its expression; of a root t, function, value, and the ends between which t lies."""
    return [str(part) for part in (step.parts if isinstance(step, Root) else (step,))]


class _Claim:
    """A claim on its way from data whose fields have the right types."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.data = data
        self.loss = Loss(*self._loss(), data["name"])

    def read(self) -> tuple[Symmetry, bool]:
        data, loss = self.data, self.loss
        if data["kind"] not in get_args(Kind):
            raise SymmetryError(f"no saved action: there is no kind {data['kind'][:40]!r}")
        names = data["coordinates"]
        symbols = {s.name: s for s in loss.variables}
        coordinates = tuple(sp.Symbol(name, real=True) for name in names)
        if data["lemma"] is not None:
            chart = self._chart_of_lemma(data["lemma"], coordinates)
        else:
            chart = Chart(
                loss.variables,
                coordinates,
                tuple(self._read(text) for text in data["chart"]),
                tuple((symbols[name], self._read(text, names)) for name, text in map(_pair, data["inverse"])),
                tuple(self._condition(text) for text in data["conditions"]),
            )
        group = self._group(data["group"])
        reduced = None if data["reduced"] is None else self._read(data["reduced"], names)
        parameters = tuple(sp.Symbol(name, real=True) for name in data["parameters"])
        bare = Symmetry(loss, group, chart, data["kind"], data["route"], reduced, (), (), data["note"])
        if "flow" in data:
            flow = tuple(self._read(text, names) for text in data["flow"])
            return replace(bare, map=None, flow=flow), True
        if not (group.basis or group.discrete):
            return replace(bare, parameters=parameters, map=self._map()), True
        own = replace(bare, parameters=parameters, map=None)
        written = None if own.map is None else [str(image) for image in own.map]
        if data["map"] in (written, None):
            return own, True
        claimed = replace(own, parameters=parameters, map=self._map())
        return claimed, _same(claimed, own)

    def _chart_of_lemma(self, raw: Mapping[str, Any], coordinates: tuple[sp.Symbol, ...]) -> Chart:
        """The chart that a lemma gives; what the file says of it must be the same."""
        names = [entry[0] for entry in self.data["inverse"]]
        known = {s.name for s in self.loss.variables}
        scratch = [sp.Symbol(name, real=True) for name in names if name not in known]
        lemma = read_lemma(raw, lambda text: self._read(text))
        chart = lemma.chart(self.loss, coordinates, scratch)
        written = {
            "chart": [str(expression) for expression in chart.forward],
            "inverse": [[symbol.name, *_step_texts(step)] for symbol, step in chart.inverse],
            "conditions": [str(condition) for condition in chart.conditions],
        }
        for key, expected in written.items():
            if self.data[key] != expected:
                raise SymmetryError(f"no saved action: {key!r} is not what the lemma {lemma.name} gives")
        return chart

    def _map(self) -> tuple[sp.Expr, ...]:
        if self.data["map"] is None:
            raise SymmetryError("no saved action: neither matrices nor a map")
        return tuple(self._read(text, self.data["parameters"]) for text in self.data["map"])

    def _loss(self) -> tuple[sp.Expr, tuple[sp.Symbol, ...], tuple[sp.Symbol, ...]]:
        data = self.data
        parsed = parse(data["expression"], data["variables"], data["positive"], SCALE)
        return parsed.expression, parsed.variables, parsed.constants

    def _read(self, text: str, names: Sequence[str] = ()) -> sp.Expr:
        variables = [*self.data["variables"], *names]
        return parse(text, variables, self.data["positive"], SCALE).expression

    def _condition(self, text: str) -> sp.Basic:
        """A condition is read where the notation has one, in the first piece of a Piecewise."""
        pieces = self._read(f"Piecewise((1, {text}), (0, True))")
        if isinstance(pieces, sp.Piecewise) and [value for value, _ in pieces.args] == [1, 0]:
            return pieces.args[0].cond
        raise SymmetryError(f"no saved action: {text[:40]!r} is no condition")

    def _group(self, raw: Mapping[str, Any]) -> Group:
        if raw["element"] not in get_args(ElementKind):
            raise SymmetryError(f"no saved action: there is no kind of element {raw['element'][:40]!r}")
        if not 0 < raw["size"] <= len(self.data["coordinates"]):
            raise SymmetryError(
                f"no saved action: a group on {raw['size']} of {len(self.data['coordinates'])} coordinates"
            )
        size = raw["size"] + raw["affine"]
        basis, discrete = (
            tuple(self._matrix(entries, size) for entries in raw[key]) for key in ("basis", "discrete")
        )
        form = None if raw["form"] is None else self._matrix(raw["form"], raw["size"])
        return Group(
            raw["name"], raw["size"], basis, discrete, raw["compact"], raw["affine"], raw["element"], form
        )

    def _matrix(self, entries: Sequence[Any], size: int) -> sp.ImmutableMatrix:
        matrix = sp.zeros(size, size)
        for row, column, text in entries:
            if not (type(row) is type(column) is int and 0 <= row < size and 0 <= column < size):
                raise SymmetryError(
                    f"no saved action: an entry at ({row!r}, {column!r}) of a matrix of {size} rows"
                )
            matrix[row, column] = self._number(text)
        return sp.ImmutableMatrix(matrix)

    def _number(self, text: Any) -> sp.Expr:
        # Nearly all entries of a large basis are small integers.
        return (
            sp.Integer(text)
            if text in ("-1", "1")
            else parse(text, (), self.data["positive"], SCALE).expression
        )


def _same(claimed: Symmetry, own: Symmetry) -> bool:
    """Whether two maps are not known to differ: routes write some of theirs in another form."""
    if claimed.map is None or own.map is None:
        return claimed.map == own.map
    pairs = zip(claimed.map, own.map, strict=True)
    conditions = own.chart.conditions
    return all(
        decide_zero(a - b, conditions=conditions, thorough=False).status != "refuted" for a, b in pairs
    )


def _check(data: Mapping[str, Any], fields: Mapping[str, str], where: str) -> None:
    """Exactly these fields, each of its type: what is not read could say anything."""
    if odd := set(fields) ^ set(data):
        raise SymmetryError(
            f"no saved action: {where} lacks or should not have {', '.join(sorted(map(repr, odd)))}"
        )
    for key, wanted in fields.items():
        if not _MATCHES[wanted](data[key]):
            raise SymmetryError(f"no saved action: {key!r} in {where} is not {wanted}")


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(entry, str) for entry in value)


_MATCHES: dict[str, Callable[[Any], bool]] = {
    _TEXT: lambda value: isinstance(value, str),
    _TEXTS: _is_texts,
    "an integer": lambda value: type(value) is int,
    "a truth value": lambda value: isinstance(value, bool),
    "a list": lambda value: isinstance(value, list),
    "a list or None": lambda value: value is None or isinstance(value, list),
    "a list of strings or None": lambda value: value is None or _is_texts(value),
    "a string or None": lambda value: value is None or isinstance(value, str),
    "a dictionary": lambda value: isinstance(value, dict),
    "a dictionary or None": lambda value: value is None or isinstance(value, dict),
}


def _pair(entry: Any) -> tuple[str, str]:
    name, text = entry
    return name, text


def _flat(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_flat, value))}]"
    return _quoted(value) if isinstance(value, str) else repr(value)


def _quoted(text: str) -> str:
    """A string literal in double quotes."""
    return repr(text) if "'" in text or '"' in text else f'"{repr(text)[1:-1]}"'


def _pieces(text: str, width: int) -> list[str]:
    """The text cut after blanks into pieces of about that length."""
    pieces = [""]
    for word in re.findall(r"\S*\s*", text):
        if pieces[-1] and len(pieces[-1]) + len(word) > width:
            pieces.append("")
        pieces[-1] += word
    return pieces
