"""The parts of a generated module that a flow along the level set needs: the numbers, the integration, `act`."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from typing import TYPE_CHECKING

import sympy as sp

from symdiscover import flow as _flow
from symdiscover.errors import OutsideDomain, SymmetryError
from symdiscover.symmetry import Symmetry
from symdiscover.torch_printer import Generated

if TYPE_CHECKING:
    from symdiscover.source import _Writer

_NUMBERS = {
    "STAGES": "The Runge-Kutta method of order eight of Cooper and Verner (1972): the rows of its table, and its weights.",
    "WEIGHTS": "",
    "CORRECTIONS": "Newton corrections after each step, back onto the level set.",
    "ACCURACY": "The rounding unit to this power is the share of its length by which a step may leave the level set.",
    "STEPS": "Steps that are tried, and the share for one that is very short: at a kink none is better.",
    "LEAP": "",
    "LEVEL": "Roundings of the loss within which a moved point must be on its level set.",
    "FAR": "A curve that goes further from its start than this many times its size counts as open.",
}


def flow_numbers(symmetry: Symmetry) -> str:
    """The constants of the integration, with what each is."""
    if symmetry.flow is None:
        return ""
    lines = []
    for name, doc in _NUMBERS.items():
        if name == "FAR" and symmetry.group.element != "angle":
            continue
        value = getattr(_flow, name)
        text = repr(value) if name != "STAGES" else "(\n" + "".join(f"    {row!r},\n" for row in value) + ")"
        lines += [f"# {doc}"] * bool(doc) + [f"{name} = {text}"]
    return "\n".join(lines)


def flow_functions(symmetry: Symmetry, writer: _Writer) -> str:
    """`slope`, the field where there is one, and the integration that fits the elements."""
    size = symmetry.group.size
    moved = symmetry.chart.coordinates[:size]
    slopes = _flow.slopes_of(symmetry.reduced_loss, moved)
    doc = "The loss (...) and its gradient (..., {0}) at u: (..., {0})."
    parts = [_of_points(writer, "slope", "slopes", moved, slopes, doc)]
    if symmetry.flow:
        doc = "The field (..., {0}) at u: (..., {0})."
        parts.append(_of_points(writer, "field", "velocity", moved, symmetry.flow, doc))
    text = resources.files("symdiscover.elements").joinpath("flow.py").read_text(encoding="utf-8")
    titles = text.split("\n# --- ")[1:]
    sections = dict(title.split(" ---\n", 1) for title in titles)
    wanted = ["elements"]
    if symmetry.flow:
        wanted.append("field")
    elif symmetry.group.element == "vector":
        wanted.append("vector")
    else:
        wanted += ["plane", symmetry.group.element]
    code = "".join(sections[name] for name in wanted)
    code = code.replace("slope: Slope", "slope").replace("velocity: Velocity", "velocity")
    return "\n\n\n".join([*parts, code.replace("field: Velocity", "field").strip("\n")])


def flow_act(symmetry: Symmetry, writer: _Writer) -> tuple[str, list[Generated]]:
    """The body of `act`, and the generated functions that it needs."""
    group, chart = symmetry.group, symmetry.chart
    moved, n = chart.coordinates[: group.size], len(chart.variables)
    plain = chart.forward == symmetry.loss.variables and chart.solve(chart.coordinates) == chart.coordinates
    names = writer.declare(chart.coordinates, avoid=["t", "theta"])
    try:
        slopes = _flow.slopes_of(symmetry.reduced_loss, moved)
    except OutsideDomain as error:
        raise SymmetryError(f"there is no flow along the level set: {error}") from error
    doc = "The loss and its partial derivatives."
    functions = [writer.function("slopes", names[: group.size], slopes, doc)]
    if symmetry.flow:
        functions.append(
            writer.function("velocity", names[: group.size], symmetry.flow, "The coordinates of the field.")
        )
    lines = ["x = coordinates(point)"]
    if not plain:
        functions += [
            writer.function("chart", symmetry.loss.variables, chart.forward, "u = phi(x)."),
            writer.function("inverse_chart", names, chart.solve(chart.coordinates), "x = psi(u)."),
        ]
    name = "theta" if group.element == "angle" else "t"
    lines.append(f"{name} = torch.as_tensor(element, dtype=point.dtype, device=point.device)")
    if group.element == "vector":
        lines += [
            "if t.ndim == 0 or t.shape[-1] != DIMENSION:",
            '    raise ValueError(f"elements have shape (..., {DIMENSION}), not {tuple(t.shape)}")',
        ]
    lines.append(f"u = stack({'x' if plain else writer.call('chart', '*x')})")
    slope, field = "slope", "field"
    if writer.keywords:
        lines.append(f"along_level = lambda v: {writer.call('slope', 'v')}")
        slope, field = "along_level", f"lambda v: {writer.call('field', 'v')}"
    head = "u" if group.size == n else f"u[..., :{group.size}]"
    if writer.keywords:  # constants may have a batch of their own
        lines.append(f"u = u.expand(*{slope}({head})[0].shape, -1)")
    kind = "along" if symmetry.flow else {"angle": "turning", "time": "arc", "vector": "word"}[group.element]
    arguments = [slope, *([field] if symmetry.flow else []), head, name]
    if plain:
        lines += [f"moved, _ = {kind}({', '.join(arguments)})", "return moved"]
        return "\n".join(lines) + "\n", functions
    lines.append(f"moved, reached = {kind}({', '.join(arguments)})")
    if group.size < n:
        lines.append(
            f"moved = torch.cat([moved, u[..., {group.size}:].expand(*moved.shape[:-1], -1)], dim=-1)"
        )
    image = writer.call("inverse_chart", "*moved.unbind(-1)")
    lines.append(f"return torch.where(reached[..., None], stack({image}){writer.cast}, point)")
    return "\n".join(lines) + "\n", functions


def _of_points(
    writer: _Writer, name: str, function: str, moved: Sequence[sp.Symbol], values: Sequence[sp.Expr], doc: str
) -> str:
    """A function of points u: (..., m) from one of their coordinates."""
    head = writer.head(name, "u", doc.format(len(moved)))
    call = writer.call(function, "*u.unbind(-1)")
    if not writer.keywords and all(value.free_symbols & set(moved) for value in values):
        if name == "slope":
            return head + f"    value, *gradient = {call}\n    return value, torch.stack(gradient, dim=-1)\n"
        return head + f"    return torch.stack({call}, dim=-1)\n"
    result = (
        "values[0], torch.stack(values[1:], dim=-1)" if name == "slope" else "torch.stack(values, dim=-1)"
    )
    return head + (
        f"    values = [torch.as_tensor(value, dtype=u.dtype, device=u.device) for value in {call}]\n"
        f"    values = torch.broadcast_tensors(u[..., 0], *values)[1:]\n"
        f"    return {result}\n"
    )
