"""Loss | Certificate -> torch: one readable module of generated source."""

from __future__ import annotations

import pprint
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from typing import Any, overload

import sympy as sp
import torch

from symdiscover.action import Action, load
from symdiscover.errors import NotInvariant, SymmetryError
from symdiscover.loss import Loss
from symdiscover.orbit import spectrum
from symdiscover.saved import to_literal
from symdiscover.symmetry import Certificate, Symmetry
from symdiscover.torch_printer import Generated, generate_function, helper_sources

#: Which file of `symdiscover.elements` holds the operations of each kind of element.
ELEMENT_FILE = {"angle": "scalar", "time": "scalar", "vector": "vector", "matrix": "matrix"}


@dataclass(frozen=True)
class TorchLoss:
    """A loss as a torch callable: points (..., n) -> values (...).

    Differentiable, batched, any device and dtype. `source` is the generated module; `constants` the values of its
    symbolic constants.
    """

    source: str
    constants: tuple[tuple[str, Any], ...] = ()

    def __call__(self, point: torch.Tensor) -> torch.Tensor:
        return self._module.loss(point, **dict(self.constants))

    @cached_property
    def _module(self) -> Any:
        return load(self.source)

    def __getstate__(self) -> dict[str, Any]:
        return {"source": self.source, "constants": self.constants}


@overload
def to_torch(claim: Loss, **constants: Any) -> TorchLoss: ...
@overload
def to_torch(claim: Certificate, **constants: Any) -> Action: ...
def to_torch(claim: Loss | Certificate, **constants: Any) -> TorchLoss | Action:
    """Generate torch code: a callable for a loss, an `Action` for a certificate.

    Every status but ``refuted`` is accepted; the action carries it.

    Parameters
    ----------
    claim:
        A `Loss` or a `Certificate`.
    constants:
        Values for the symbolic constants, floats or tensors that broadcast against the batch.

    Raises
    ------
    SymmetryError
        If a constant of a loss has no value.
    NotInvariant
        If the certificate is refuted.
    ExpressionError
        If the expression holds a function that torch does not have.

    Examples
    --------
    >>> loss = to_torch(Loss.parse("a*x**2 + y", positive="a"), a=3.0)
    >>> loss(torch.tensor([[1.0, 2.0], [0.0, 1.0]]))
    tensor([5., 1.])
    """
    if isinstance(claim, Loss):
        names = [symbol.name for symbol in claim.constants]
        if set(names) != set(constants):
            raise SymmetryError(f"this loss has the constants {', '.join(names) or 'none'}: give each a value")
        return TorchLoss(loss_source(claim), tuple((name, constants[name]) for name in names))
    if claim.status == "refuted":
        raise NotInvariant("a refuted claim cannot become code")
    action = Action(claim.group, action_source(claim.symmetry), claim)
    return action.at(**constants) if constants else action


def loss_source(loss: Loss) -> str:
    """The module text of a loss alone."""
    value = generate_function(
        "value", loss.variables, [loss.expression], "The loss, one tensor a variable.", loss.constants
    )
    names = ", ".join(symbol.name for symbol in loss.variables)
    head = f'"""L({names}) = {_one_line(loss.expression)}. Needs torch alone."""'
    return _join(head, _IMPORTS, helper_sources(value.helpers), _helpers(loss), value.source, _loss_function(loss))


def action_source(symmetry: Symmetry) -> str:
    """The module text of an action: its claim as a literal, the loss, the group's operations, and `act`.

    The text depends on the claim alone, so that a saved file can be compared with what its claim generates.
    """
    loss, group = symmetry.loss, symmetry.group
    value = generate_function(
        "value", loss.variables, [loss.expression], "The loss, one tensor a variable.", loss.constants
    )
    functions = [value, *_moving_functions(symmetry)]
    arithmetic = tuple(f.name for f in functions if f.arithmetic)
    helpers = frozenset[str]().union(*(f.helpers for f in functions))
    return _join(
        _docstring(symmetry),
        _IMPORTS,
        f"SYMMETRY = {pprint.pformat(to_literal(symmetry), width=100, sort_dicts=False)}",
        f"#: Functions below that work on plain floats as well as on tensors.\nARITHMETIC = {arithmetic!r}",
        _element_constants(symmetry),
        helper_sources(helpers),
        _helpers(loss),
        *[f.source for f in functions],
        _loss_function(loss),
        _act_function(symmetry),
        resources.files("symdiscover.elements")
        .joinpath(f"{ELEMENT_FILE[group.element]}.py")
        .read_text(encoding="utf-8")
        .split("# --- elements ---")[1],
    )


_IMPORTS = "from __future__ import annotations\n\nimport torch"


def _join(*parts: str) -> str:
    return "\n\n\n".join(part.strip("\n") for part in parts if part.strip()) + "\n"


def _one_line(expression: sp.Expr) -> str:
    text = str(expression)
    return text if len(text) <= 200 else text[:197] + "..."


def _docstring(symmetry: Symmetry) -> str:
    loss, group = symmetry.loss, symmetry.group
    element = {
        "angle": "an angle, shape (...)",
        "time": "a flow time, shape (...)",
        "vector": f"a vector, shape (..., {group.dimension or len(symmetry.parameters)})",
        "matrix": f"a matrix, shape (..., {group.matrix_size}, {group.matrix_size})",
    }[group.element]
    names = ", ".join(symbol.name for symbol in loss.variables)
    return (
        f'"""{group.name} acting on points ({names}) so that the loss stays equal.\n\n'
        f"L({names}) = {_one_line(loss.expression)}\n\n"
        f"act(element, point): point has shape (..., {len(loss.variables)}), element is {element}.\n"
        f"Kind: {symmetry.kind}, found by the route {symmetry.route}; domain: {symmetry.domain}.\n"
        "Generated from the claim in SYMMETRY, which ``symdiscover verify`` proves again from this file.\n"
        'Needs torch alone.\n"""'
    )


def _element_constants(symmetry: Symmetry) -> str:
    group = symmetry.group
    if group.element == "angle":
        return "PERIOD: float | None = 2 * torch.pi"
    if group.element == "time":
        return "PERIOD: float | None = None"
    if group.element == "vector":
        return f"DIMENSION = {group.dimension or len(symmetry.parameters)}"
    form = None if group.form is None else [float(group.form[i, i]) for i in range(group.size)]
    return (
        f"BASIS: list[list[list[float]]] = {_numbers(group.basis)}\n"
        f"DISCRETE: list[list[list[float]]] = {_numbers(group.discrete)}\n"
        f"FORM: list[float] | None = {form}"
    )


def _numbers(matrices: Sequence[sp.Matrix]) -> str:
    for matrix in matrices:
        if matrix.free_symbols:
            raise SymmetryError("the generators depend on symbolic constants: give these values first (loss.at)")
    return repr([[[float(entry) for entry in row] for row in matrix.tolist()] for matrix in matrices])


def _helpers(loss: Loss) -> str:
    n = len(loss.variables)
    return f'''
def coordinates(point):
    """The {n} coordinates of a point (..., {n})."""
    if point.ndim == 0 or point.shape[-1] != {n}:
        raise ValueError(f"a point has shape (..., {n}), not {{tuple(point.shape)}}")
    return point.unbind(-1)


def stack(values, like):
    """Coordinates, tensors or numbers, as one point tensor."""
    tensors = [torch.as_tensor(v, dtype=like.dtype, device=like.device) for v in values]
    return torch.stack(torch.broadcast_tensors(*tensors), dim=-1)
'''


def _keywords(loss: Loss) -> tuple[str, str]:
    """The constants as keyword parameters of a signature, and as arguments of a call."""
    names = [symbol.name for symbol in loss.constants]
    if not names:
        return "", ""
    return f", *, {', '.join(names)}", ", " + ", ".join(f"{name}={name}" for name in names)


def _loss_function(loss: Loss) -> str:
    signature, call = _keywords(loss)
    return f'''
def loss(point{signature}):
    """The loss at points (..., {len(loss.variables)}): a tensor (...)."""
    (result,) = value(*coordinates(point){call})
    return torch.as_tensor(result, dtype=point.dtype, device=point.device).expand(point.shape[:-1])
'''


def _moving_functions(symmetry: Symmetry) -> list[Generated]:
    """What `act` calls: `image` where the element enters a closed form, else `chart` and `inverse_chart`."""
    loss, chart, group = symmetry.loss, symmetry.chart, symmetry.group
    if group.element == "angle":
        c, s = sp.Symbol("cosine", real=True), sp.Symbol("sine", real=True)
        images = symmetry.image(sp.ImmutableMatrix([[c, -s], [s, c]]))
        doc = "The moved point from cos(theta), sin(theta) and the coordinates."
        functions = [generate_function("image", [c, s, *loss.variables], images, doc, loss.constants)]
        coefficients = spectrum(symmetry)
        if coefficients is not None:
            forward = dict(zip(chart.coordinates, chart.forward, strict=True))
            values = [coefficient.xreplace(forward) for coefficient in coefficients]
            doc = "a_0, a_1, b_1, ...: |grad L|^2 on the orbit is a_0 + sum a_k cos(k theta) + b_k sin(k theta)."
            functions.append(generate_function("spectrum", loss.variables, values, doc, loss.constants))
        return functions
    if group.element in ("time", "vector") and symmetry.map is not None:
        doc = "The moved point from the group coordinates and the point's."
        arguments = [*symmetry.parameters, *loss.variables]
        return [generate_function("image", arguments, symmetry.map, doc, loss.constants)]
    inverse = chart.solve(chart.coordinates)
    return [
        generate_function("chart", loss.variables, chart.forward, "u = phi(x).", loss.constants),
        generate_function("inverse_chart", chart.coordinates, inverse, "x = psi(u).", loss.constants),
    ]


def _act_function(symmetry: Symmetry) -> str:
    loss, group = symmetry.loss, symmetry.group
    signature, call = _keywords(loss)
    head = (
        f"def act(element, point{signature}):\n"
        f'    """Move points (..., {len(loss.variables)}) by a group element; batch shapes broadcast."""\n'
        "    g = torch.as_tensor(element, dtype=point.dtype, device=point.device)\n"
        "    x = coordinates(point)\n"
    )
    if group.element == "angle":
        return head + f"    return stack(image(torch.cos(g), torch.sin(g), *x{call}), point)\n"
    if group.element in ("time", "vector") and symmetry.map is not None:
        parts = "g" if group.element == "time" else "*g.unbind(-1)"
        return head + f"    return stack(image({parts}, *x{call}), point)\n"
    if group.element in ("time", "vector"):
        raise SymmetryError(f"{group.name} has no closed form to generate code from")
    m = group.size
    column = "torch.cat([u[..., :%d], torch.ones_like(u[..., :1])], dim=-1)" % m if group.affine else f"u[..., :{m}]"
    return head + (
        f"    u = stack(chart(*x{call}), point)\n"
        f"    moved = (g @ ({column}).unsqueeze(-1)).squeeze(-1)[..., :{m}]\n"
        f"    rest = u[..., {m}:].expand(*moved.shape[:-1], -1)\n"
        f"    return stack(inverse_chart(*torch.cat([moved, rest], dim=-1).unbind(-1){call}), point)\n"
    )
