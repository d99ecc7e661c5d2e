"""Derivations and certificates as LaTeX, Markdown and MathML: for papers, notebooks and reports."""

from __future__ import annotations

import re
from html.entities import html5
from typing import TYPE_CHECKING

import sympy as sp

if TYPE_CHECKING:
    from symdiscover.derive import Derivation
    from symdiscover.root import Root
from symdiscover.symmetry import Certificate, Symmetry

#: Longer images are left out of displays.
DISPLAY_OPERATIONS = 200

_SPECIAL = str.maketrans({character: f"\\{character}" for character in "#$%&_{}"} | {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
})  # fmt: skip


def symmetry_latex(symmetry: Symmetry) -> str:
    """The action as displayed LaTeX: the chart, and the image of each variable where it is short enough.

    Examples
    --------
    >>> from symdiscover import SO, Chart, Loss, Symmetry
    >>> loss = Loss.parse("x**2 + y**2")
    >>> print(symmetry_latex(Symmetry(loss, SO(2), Chart.identity(loss.variables))))
    $\\displaystyle \\mathrm{SO}(2):\\quad \\begin{aligned} x &\\mapsto x \\cos{\\left(\\theta \\right)} ...
    """
    chart, loss = symmetry.chart, symmetry.loss
    rows = [
        f"{sp.latex(u)} &= {sp.latex(expression)}"
        for u, expression in zip(chart.coordinates, chart.forward, strict=True)
        if chart.forward != loss.variables
    ]
    rows += [_step_latex(symbol, step) for symbol, step in chart.inverse if chart.is_implicit]
    if symmetry.map is not None and sum(image.count_ops() for image in symmetry.map) <= DISPLAY_OPERATIONS:
        rows += [
            f"{sp.latex(x)} &\\mapsto {sp.latex(image)}"
            for x, image in zip(loss.variables, symmetry.map, strict=True)
        ]
    if not rows:
        return f"$\\displaystyle {group_latex(symmetry)}$"
    body = " \\\\ ".join(rows)
    return f"$\\displaystyle {group_latex(symmetry)}:\\quad \\begin{{aligned}} {body} \\end{{aligned}}$"


def _step_latex(symbol: sp.Symbol, step: sp.Expr | Root) -> str:
    """A step of the way back: an expression, or the equation whose root it is."""
    if not isinstance(step, Root):
        return f"{sp.latex(symbol)} &= {sp.latex(step)}"
    low, high = sp.latex(step.low), sp.latex(step.high)
    equation = f"{sp.latex(step.function)} = {sp.latex(step.target)}"
    return f"{sp.latex(symbol)} &\\in ({low}, {high}):\\ {equation}"


def group_latex(symmetry: Symmetry) -> str:
    """The group's name in LaTeX: SO(2) upright, R^k blackboard bold, anything else as text.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from symdiscover import SO, Chart, Loss, Symmetry, Translation
    >>> loss = Loss.parse("x**2 + y**2")
    >>> group_latex(Symmetry(loss, SO(2), Chart.identity(loss.variables)))
    '\\\\mathrm{SO}(2)'
    """
    name = symmetry.group.name
    if match := re.fullmatch(r"R(?:\^(\d+))?", name):
        return r"\mathbb{R}" + (f"^{{{match[1]}}}" if match[1] else "")
    if match := re.fullmatch(r"([A-Za-z]+)(\(\d+(?:, \d+)*\))", name):
        return f"\\mathrm{{{match[1]}}}{match[2]}"
    return f"\\text{{{name.translate(_SPECIAL)}}}"


def derivation_markdown(derivation: Derivation) -> str:
    """What was found and what was tried, as Markdown with LaTeX.

    Examples
    --------
    >>> import symdiscover as sd
    >>> text = derivation_markdown(sd.derive(sd.Loss.parse("x**2 + 4*y**2")))
    >>> "**SO(2)**: proved" in text, "| quadratic | SO(2) proved |" in text
    (True, True)
    """
    parts = [derivation.loss._repr_latex_(), ""]
    if not derivation.certificates:
        parts += ["**No symmetry in the families tried.**", ""]
    for certificate in derivation.certificates:
        parts += [certificate_markdown(certificate), ""]
    parts += ["| route | outcome | seconds |", "|---|---|---|"]
    parts += [f"| {_plain(a.route)} | {_plain(a.outcome)} | {a.seconds:.2f} |" for a in derivation.tried]
    return "\n".join(parts)


def certificate_markdown(certificate: Certificate) -> str:
    """The claim, its status and every identity that was checked."""
    symmetry = certificate.symmetry
    rows = [
        "| " + " | ".join(_plain(entry) for entry in (i.name, i.statement, i.status, i.method)) + " |"
        for i in certificate.identities
    ]
    return "\n".join(
        [
            f"**{_plain(symmetry.group.name)}**: {certificate.status}, {symmetry.kind}, by *{_plain(symmetry.route)}*; "
            f"domain: {_plain(symmetry.domain)}; orbit dimension {certificate.orbit_dimension} of "
            f"{symmetry.loss.dimension - 1}{' (transitive)' if certificate.transitive else ''}",
            "",
            symmetry_latex(symmetry),
            "",
            "| identity | statement | status | how |",
            "|---|---|---|---|",
            *rows,
        ]
    )


def mathml(expression: sp.Basic) -> str:
    """An expression as presentation MathML, which browsers draw without any script; well-formed XML and HTML.

    Examples
    --------
    >>> mathml(sp.Symbol("x")**2)
    '<math display="inline"><msup><mi>x</mi><mn>2</mn></msup></math>'
    """
    text = re.sub(r"&(\w+);", _character, sp.mathml(expression, printer="presentation"))
    return f'<math display="inline">{text}</math>'


def _character(entity: re.Match[str]) -> str:
    """Entities that XML does not know, as characters."""
    known = entity[1] in ("amp", "lt", "gt", "quot", "apos")
    return entity[0] if known else html5.get(f"{entity[1]};", entity[0])


def _plain(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    return re.sub(r"([\\`*_<>|$])", r"\\\1", " ".join(text.split()))
