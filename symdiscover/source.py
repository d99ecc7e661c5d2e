"""Loss | Symmetry -> the text of one readable module that needs torch alone.

The text depends on the claim alone, so that the code in a saved file can be compared with what its claim generates.
Nothing is run here, and torch is not needed.
"""

from __future__ import annotations

import contextlib
import textwrap
from collections.abc import Collection, Iterable, Mapping, Sequence
from importlib import resources
from typing import Any

import sympy as sp

from symdiscover.errors import ExpressionError, SymmetryError
from symdiscover.flow_source import flow_act, flow_functions, flow_numbers
from symdiscover.implicit_source import guarded, implicit_inverse
from symdiscover.literal import WIDTH, from_literal, literal_text, plain_name, to_literal
from symdiscover.loss import Loss
from symdiscover.orbit import spectrum
from symdiscover.symmetry import Symmetry
from symdiscover.torch_printer import Generated, generate_function, helper_sources, safe_names

#: Names in the generated module that a constant of the loss, which is a keyword of its functions, must not hide.
_NAMES = [
    "act",
    "as_like",
    "at_least_single",
    "chart",
    "compose",
    "coordinates",
    "dense",
    "element",
    "exp",
    "g",
    "identity",
    "image",
    "inverse",
    "inverse_chart",
    "loss",
    "moved",
    "point",
    "random",
    "spectrum",
    "stack",
    "t",
    "theta",
    "torch",
    "u",
    "value",
    "x",
]
#: Longer expressions are shortened in the docstring of the module.
SHOWN = 300


def loss_source(loss: Loss) -> str:
    """The module text of a loss alone.

    Examples
    --------
    >>> print(loss_source(Loss.parse("x**2 + 4*y**2")).split('"\""')[1])
    L(x, y) = x**2 + 4*y**2. Needs torch alone.
    """
    writer = _Writer(loss)
    value = writer.function(
        "value", loss.variables, [loss.expression], "The loss at coordinates, a tuple of one."
    )
    head = f"L({_listed(loss.variables)}) = {_shortened(loss.expression)}. Needs torch alone."
    return _module(
        f'"""{_in_docstring(head)}"""',
        [writer.constants_text()],
        [writer.loss_function(), value.source, writer.coordinates_function(), *_helpers([value])],
    )


def action_source(symmetry: Symmetry) -> str:
    """The module text of an action: `act`, `loss`, the operations of the group, and the claim as data.

    Raises
    ------
    SymmetryError
        If the group has no closed form that could be written, or generators that depend on symbolic constants.
    ExpressionError
        If an expression holds a function that torch does not have.
    """
    literal = to_literal(symmetry)
    with contextlib.suppress(
        ExpressionError
    ):  # functions beyond the notation become code, but cannot be read back
        symmetry = from_literal(literal)
    return source_of(literal, symmetry)


def source_of(literal: Mapping[str, Any], symmetry: Symmetry) -> str:
    """The module text of the claim that the literal states; `symmetry` is the claim read back from it."""
    loss, group = symmetry.loss, symmetry.group
    writer = _Writer(loss)
    value = writer.function(
        "value", loss.variables, [loss.expression], "The loss at coordinates, a tuple of one."
    )
    body, moving = flow_act(symmetry, writer) if symmetry.flow is not None else _act(symmetry, writer)
    inverse = implicit_inverse(symmetry.chart, writer) if symmetry.chart.is_implicit else None
    functions = [*moving, *(inverse.functions if inverse else ()), value]
    arithmetic = ", ".join(f'"{f.name}"' for f in functions if f.arithmetic)
    return _module(
        _docstring(symmetry, writer),
        [
            writer.constants_text(),
            f"# Functions that work on plain floats as well as on tensors.\nARITHMETIC = [{arithmetic}]",
            _element_constants(symmetry),
            flow_numbers(symmetry),
        ],
        [
            writer.head("act", "element, point", f"Move points (..., {loss.dimension}) by {_ELEMENTS[group.element]}; "
                        "batch shapes broadcast.") + textwrap.indent(body, "    "),
            writer.loss_function(),
            inverse.source if inverse else "",
            *[f.source for f in functions],
            flow_functions(symmetry, writer) if symmetry.flow is not None else "",
            _element_functions("word" if symmetry.flow is not None and group.element == "vector" else group.element),
            writer.coordinates_function(),
            _STACK if "stack(" in body else "",
            *_helpers(functions, {"as_like", "root"} if inverse else ()),
        ],
        f"# The claim, from which all of the above is generated.\nSYMMETRY = {literal_text(literal)}",
    )  # fmt: skip


_ELEMENTS = {
    "angle": "angles (...)",
    "time": "flow times (...)",
    "vector": "vectors (..., k)",
    "matrix": "matrices (..., m, m)",
}

_STACK = '''
def stack(values):
    """Coordinates as one tensor of points."""
    return torch.stack(torch.broadcast_tensors(*values), dim=-1)
'''


class _Writer:
    """The names of a loss's symbols in the code, and the functions that depend on the loss alone."""

    def __init__(self, loss: Loss) -> None:
        self.loss = loss
        self.names: dict[sp.Symbol, str] = {}
        self.declare(loss.variables)
        self.declare(loss.constants, _NAMES)

    def declare(self, symbols: Iterable[sp.Symbol], avoid: Collection[str] = ()) -> list[sp.Symbol]:
        """Give each symbol a name of its own in the code, with underscores where its name is taken."""
        listed = list(symbols)
        for symbol in listed:
            taken = {*self.names.values(), *avoid}
            name = plain_name(symbol.name, taken)
            while name in taken or list(safe_names([sp.Symbol(name)]).values()) != [name]:
                name += "_"
            self.names[symbol] = name
        return listed

    def function(
        self, name: str, arguments: Sequence[sp.Symbol], values: Sequence[sp.Expr], doc: str
    ) -> Generated:
        """One function of the declared symbols, the constants as keywords."""
        renamed = {
            s: sp.Symbol(text, positive=True) if s in self.loss.constants else sp.Symbol(text, real=True)
            for s, text in self.names.items()
        }
        return generate_function(
            name,
            [renamed[s] for s in arguments],
            [sp.sympify(value).xreplace(renamed) for value in values],
            doc,
            [renamed[s] for s in self.loss.constants],
        )

    @property
    def keywords(self) -> list[str]:
        """The names of the constants."""
        return [self.names[s] for s in self.loss.constants]

    def constants_text(self) -> str:
        if not self.keywords:
            return ""
        listed = ", ".join(f'"{name}"' for name in self.keywords)
        return (
            f"# Keywords for {_listed(self.loss.constants)}: positive numbers, or tensors that broadcast against the batch.\n"
            f"CONSTANTS = [{listed}]"
        )

    def head(self, name: str, arguments: str, doc: str) -> str:
        """The first lines of a function that takes the constants as keywords."""
        constants = f", *, {', '.join(self.keywords)}" if self.keywords else ""
        return f'def {name}({arguments}{constants}):\n    """{doc}"""\n'

    def call(self, name: str, arguments: str) -> str:
        """A call that passes the constants on."""
        return f"{name}({', '.join([arguments, *[f'{keyword}={keyword}' for keyword in self.keywords]])})"

    @property
    def cast(self) -> str:
        """A constant of a larger dtype must not change that of the result."""
        return ".to(point)" if self.keywords else ""

    def loss_function(self) -> str:
        result = f"{self.call('value', '*coordinates(point)')}[0]"
        if self.loss.expression.free_symbols & set(self.loss.variables):
            return self.head(
                "loss", "point", f"The loss at points (..., {self.loss.dimension}): a tensor (...)."
            ) + (f"    return {result}{self.cast}\n")
        return self.head(
            "loss", "point", f"The loss at points (..., {self.loss.dimension}), constant: a tensor (...)."
        ) + (
            f"    return torch.as_tensor({result}, dtype=point.dtype, device=point.device).expand(point.shape[:-1])\n"
        )

    def coordinates_function(self) -> str:
        n = self.loss.dimension
        return f'''
def coordinates(point):
    """The {n} coordinates of points (..., {n})."""
    if not torch.is_tensor(point) or not point.is_floating_point() or point.ndim == 0 or point.shape[-1] != {n}:
        shown = f"{{point.dtype}} of shape {{tuple(point.shape)}}" if torch.is_tensor(point) else type(point).__name__
        raise ValueError(f"points are a floating-point tensor of shape (..., {n}), not {{shown}}")
    return point.unbind(-1)
'''


def _act(symmetry: Symmetry, writer: _Writer) -> tuple[str, list[Generated]]:
    """The body of `act`, and the generated functions that it calls."""
    group = symmetry.group
    convert = (
        "x = coordinates(point)\n{0} = torch.as_tensor(element, dtype=point.dtype, device=point.device)\n"
    )
    if symmetry.chart.is_implicit:
        writer.declare([symbol for symbol, _ in symmetry.chart.inverse if symbol not in writer.names], _NAMES)
        writer.declare(symmetry.chart.coordinates, avoid=_NAMES)
    if group.element == "angle" and symmetry.chart.is_implicit:
        chart = writer.function("chart", symmetry.loss.variables, guarded(symmetry.chart), "u = phi(x).")
        call = f"turned(torch.cos(theta), torch.sin(theta), *{writer.call('chart', '*x')})"
        back = writer.call("inverse_chart", f"*{call}")
        functions = [chart, _turned(symmetry, writer)]
        return convert.format("theta") + f"return stack({back}){writer.cast}\n", functions
    if group.element == "angle":
        call = writer.call("image", "torch.cos(theta), torch.sin(theta), *x")
        return convert.format("theta") + f"return stack({call}){writer.cast}\n", _turning_functions(
            symmetry, writer
        )
    if group.element in ("time", "vector"):
        parameters, images = _additive_image(symmetry)
        image = writer.function(
            "image",
            [*writer.declare(parameters, avoid=_NAMES), *symmetry.loss.variables],
            images,
            "The moved point from the coordinates of the element and those of the point.",
        )
        check = ""
        if group.element == "vector":
            check = (
                "if t.ndim == 0 or t.shape[-1] != DIMENSION:\n"
                '    raise ValueError(f"elements have shape (..., {DIMENSION}), not {tuple(t.shape)}")\n'
            )
        call = writer.call("image", "*t.unbind(-1), *x" if group.element == "vector" else "t, *x")
        return convert.format("t") + check + f"return stack({call}){writer.cast}\n", [image]
    return _matrix_act(symmetry, writer, convert.format("g"))


def _turning_matrix(symmetry: Symmetry, cosine: sp.Symbol, sine: sp.Symbol) -> sp.Matrix:
    """The element of an angle, from its cosine and sine."""
    theta = sp.Dummy("theta", real=True)
    matrix = symmetry.group.matrix((theta,)) if symmetry.group.dimension == 1 else None
    turned = None if matrix is None else matrix.xreplace({sp.cos(theta): cosine, sp.sin(theta): sine})
    if turned is None or theta in turned.free_symbols:
        raise SymmetryError(
            f"the elements of {symmetry.group.name} are no angles: write the group with matrices"
        )
    return turned


def _turned(symmetry: Symmetry, writer: _Writer) -> Generated:
    """The coordinates after a turn, for charts whose inverse is no formula."""
    arguments = writer.declare([sp.Dummy("cosine", real=True), sp.Dummy("sine", real=True)])
    moved = symmetry.moved(_turning_matrix(symmetry, *arguments))
    return writer.function("turned", [*arguments, *symmetry.chart.coordinates], moved, "g u.")


def _turning_functions(symmetry: Symmetry, writer: _Writer) -> list[Generated]:
    """`image` from cos(theta) and sin(theta), and `spectrum` where there is one."""
    loss, chart = symmetry.loss, symmetry.chart
    arguments = writer.declare([sp.Dummy("cosine", real=True), sp.Dummy("sine", real=True)])
    turned = _turning_matrix(symmetry, *arguments)
    doc = "The moved point from cos(theta), sin(theta) and the coordinates."
    functions = [writer.function("image", [*arguments, *loss.variables], symmetry.image(turned), doc)]
    if (coefficients := spectrum(symmetry)) is not None:
        forward = dict(zip(chart.coordinates, chart.forward, strict=True))
        values = [coefficient.xreplace(forward) for coefficient in coefficients]
        doc = (
            "a_0, a_1, b_1, ...: |grad L|^2 on the orbit is a_0 + sum_k a_k cos(k theta) + b_k sin(k theta)."
        )
        functions.append(writer.function("spectrum", loss.variables, values, doc))
    return functions


def _additive_image(symmetry: Symmetry) -> tuple[Sequence[sp.Symbol], Sequence[sp.Expr]]:
    """The parameters and the image of each variable, from the matrices where there are any."""
    group = symmetry.group
    if not group.basis:
        if symmetry.map is None:
            raise SymmetryError(f"{group.name} is neither given by matrices nor by a map")
        return symmetry.parameters, symmetry.map
    parameters = [sp.Dummy(symbol.name, real=True) for symbol in group.parameters]
    matrix = group.matrix(parameters) if len(parameters) == group.dimension else None
    if matrix is None:
        raise SymmetryError(
            f"{group.name} has no closed form to generate code from: write its elements as matrices"
        )
    return parameters, symmetry.image(matrix)


def _matrix_act(symmetry: Symmetry, writer: _Writer, start: str) -> tuple[str, list[Generated]]:
    """u = phi(x), its first m coordinates times the matrix, x' = psi(u')."""
    loss, group, chart = symmetry.loss, symmetry.group, symmetry.chart
    m, n = group.size, loss.dimension
    lines = [
        start.strip(),
        "if g.shape[-2:] != (SIZE, SIZE):",
        '    raise ValueError(f"elements have shape (..., {SIZE}, {SIZE}), not {tuple(g.shape)}")',
    ]
    inverse = () if chart.is_implicit else chart.solve(chart.coordinates)
    is_identity = chart.forward == loss.variables and inverse == chart.coordinates
    functions = []
    if chart.is_implicit:
        functions = [writer.function("chart", loss.variables, guarded(chart), "u = phi(x).")]
    elif not is_identity:
        functions = [
            writer.function("chart", loss.variables, chart.forward, "u = phi(x)."),
            writer.function(
                "inverse_chart", writer.declare(chart.coordinates, avoid=_NAMES), inverse, "x = psi(u)."
            ),
        ]
    lines.append(f"u = stack({'x' if is_identity else writer.call('chart', '*x')})")
    head = "u" if m == n else f"u[..., :{m}]"
    if group.affine:
        head = f"torch.cat([{head}, torch.ones_like(u[..., :1])], dim=-1)"
    one = f"[..., :{m}]" if group.affine else ""
    lines.append(f"moved = (g @ {head}.unsqueeze(-1)).squeeze(-1){one}")
    if m < n:
        lines.append(f"moved = torch.cat([moved, u[..., {m}:].expand(*moved.shape[:-1], -1)], dim=-1)")
    if is_identity:
        lines.append("return moved")
    else:
        lines.append(f"return stack({writer.call('inverse_chart', '*moved.unbind(-1)')}){writer.cast}")
    return "\n".join(lines) + "\n", functions


def _element_constants(symmetry: Symmetry) -> str:
    """The names that the file of `symdiscover.elements` leaves open."""
    group = symmetry.group
    if group.element == "vector":
        return f"DIMENSION = {symmetry.dimension}"
    if group.element != "matrix":
        return ""
    form = "None"
    if group.form is not None and group.form.is_diagonal():
        form = _flat_list(group.form.diagonal())
    return (
        f"SIZE = {group.matrix_size}\n"
        "# The entries (row, column, value) of each generator of the Lie algebra, and of each discrete generator.\n"
        f"GENERATORS = {_sparse(group.basis)}\n"
        f"DISCRETE = {_sparse(group.discrete)}\n"
        "# The diagonal of a form F with g^T F g = F, or None.\n"
        f"FORM = {form}"
    )


def _flat_list(values: Iterable[sp.Expr]) -> str:
    return repr([_float(value) for value in values])


def _sparse(matrices: Sequence[sp.Matrix]) -> str:
    rows = [
        repr([(i, j, _float(m[i, j])) for i in range(m.rows) for j in range(m.cols) if m[i, j] != 0])
        for m in matrices
    ]
    flat = f"[{', '.join(rows)}]"
    return flat if len(flat) < WIDTH - 20 else "[\n" + "".join(f"    {row},\n" for row in rows) + "]"


def _float(value: sp.Expr) -> float:
    if value.free_symbols:
        raise SymmetryError(
            "the matrices of the group depend on symbolic constants: give these values first (loss.at)"
        )
    return float(value)


def _element_functions(element: str) -> str:
    file = resources.files("symdiscover.elements").joinpath(f"{element}.py")
    return file.read_text(encoding="utf-8").split("# --- elements ---")[1]


def _helpers(functions: Iterable[Generated], more: Collection[str] = ()) -> list[str]:
    return [helper_sources(frozenset[str]().union(more, *(f.helpers for f in functions)))]


def _docstring(symmetry: Symmetry, writer: _Writer) -> str:
    """What acts on what, how it was found, and what the functions take."""
    loss, group, chart = symmetry.loss, symmetry.group, symmetry.chart
    names = _listed(loss.variables)
    title = f"{loss.name}: " if loss.name else ""
    structure = [
        f"{group.name}, {'compact' if group.compact else 'not compact'}, of dimension {symmetry.dimension}",
        f"{len(group.discrete)} discrete generator{'s' * (len(group.discrete) > 1)}" * bool(group.discrete),
    ]
    rows = [
        ("Loss", f"L({names}) = {_shortened(loss.expression)}"),
        *[("Chart", f"{u} = {_shortened(e)}") for u, e in zip(chart.coordinates, chart.forward, strict=True)],
        ("Group", " and ".join(filter(None, structure))),
        ("Element", _element_text(symmetry)),
        ("Claim", f"{symmetry.kind}, by the route {symmetry.route}; domain: {symmetry.domain}"),
        ("Note", symmetry.note),
    ]
    lines = [_in_docstring(f"{title}{group.name} acts on points ({names}) and leaves the loss equal."), ""]
    previous = ""
    for label, text in rows:
        if text:
            start = f"{label + ':' if label != previous else '':9}"
            clean = _in_docstring(text)
            lines += textwrap.wrap(
                clean,
                WIDTH,
                initial_indent=start,
                subsequent_indent=" " * 13,
                break_long_words=False,
                break_on_hyphens=False,
            )
            previous = label
    call = ", ".join(["element", "point", *[f"{keyword}=..." for keyword in writer.keywords]])
    lines += [
        "",
        f"act({call}) moves points of shape (..., {loss.dimension}): L(act(g, x)) = L(x). Generated by symdiscover",
        "from the claim SYMMETRY at the end, which `symdiscover verify FILE` proves again. Needs torch alone.",
    ]
    return '"""' + "\n".join(lines) + '\n"""'


def _element_text(symmetry: Symmetry) -> str:
    group = symmetry.group
    return {
        "angle": "an angle in radians, a tensor of shape (...)",
        "time": "a flow time, a tensor of shape (...)",
        "vector": f"additive coordinates, a tensor of shape (..., {symmetry.dimension})",
        "matrix": f"a matrix, a tensor of shape (..., {group.matrix_size}, {group.matrix_size})",
    }[group.element]


def _listed(symbols: Iterable[sp.Symbol]) -> str:
    return ", ".join(symbol.name for symbol in symbols)


def _shortened(expression: sp.Expr) -> str:
    text = str(expression)
    return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."


def _in_docstring(text: str) -> str:
    """One line that can neither end the docstring nor hide in it, whatever names it is made of."""
    line = " ".join(text.split()).replace("\\", "\\\\").replace('"', "'")
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in line
    )


def _module(docstring: str, constants: Sequence[str], functions: Sequence[str], claim: str = "") -> str:
    """Parts of a module: two blank lines around functions, one elsewhere."""
    imports = "from __future__ import annotations\n\nimport torch"
    top = "\n\n".join(part.strip("\n") for part in (docstring, imports, *constants) if part)
    parts = [part.strip("\n") for part in (top, *functions, claim) if part.strip()]
    return "\n\n\n".join(parts) + "\n"
