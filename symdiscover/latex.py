"""Derivations and certificates as LaTeX, Markdown and MathML: for papers, notebooks and reports."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sympy as sp

if TYPE_CHECKING:
    from symdiscover.derive import Derivation
    from symdiscover.symmetry import Certificate, Symmetry

#: Longer images are left out of displays.
DISPLAY_OPERATIONS = 200


def symmetry_latex(symmetry: Symmetry) -> str:
    """The action as displayed LaTeX: the chart, and the image of each variable where it is short enough."""
    chart = symmetry.chart
    rows = [
        f"{sp.latex(u)} &= {sp.latex(expression)}"
        for u, expression in zip(chart.coordinates, chart.forward, strict=True)
    ]
    if symmetry.map is not None and sum(image.count_ops() for image in symmetry.map) <= DISPLAY_OPERATIONS:
        rows += [
            f"{sp.latex(x)} &\\mapsto {sp.latex(image)}"
            for x, image in zip(symmetry.loss.variables, symmetry.map, strict=True)
        ]
    body = " \\\\ ".join(rows)
    return f"$\\displaystyle {group_latex(symmetry)}:\\quad \\begin{{aligned}} {body} \\end{{aligned}}$"


def group_latex(symmetry: Symmetry) -> str:
    """The group's name in LaTeX."""
    name = symmetry.group.name
    head, bracket, tail = name.partition("(")
    if bracket:
        return f"\\mathrm{{{head}}}({tail}"
    return "\\mathbb{R}" + name[1:] if name.startswith("R") else f"\\text{{{name}}}"


def derivation_markdown(derivation: Derivation) -> str:
    """What was found and what was tried, as Markdown with LaTeX."""
    parts = [derivation.loss._repr_latex_(), ""]
    if not derivation.certificates:
        parts += ["**No symmetry in the families tried.**", ""]
    for certificate in derivation.certificates:
        parts += [certificate_markdown(certificate), ""]
    parts += ["| route | outcome | seconds |", "|---|---|---|"]
    parts += [f"| {a.route} | {a.outcome} | {a.seconds:.2f} |" for a in derivation.tried]
    return "\n".join(parts)


def certificate_markdown(certificate: Certificate) -> str:
    """The claim, its status and every identity that was checked."""
    symmetry = certificate.symmetry
    rows = [f"| {i.name} | {i.statement} | {i.status} | {i.method} |" for i in certificate.identities]
    return "\n".join(
        [
            f"**{symmetry.group.name}**: {certificate.status}, {symmetry.kind}, by *{symmetry.route}*; "
            f"domain: {symmetry.domain}; orbit dimension {certificate.orbit_dimension} of "
            f"{symmetry.loss.dimension - 1}{' (transitive)' if certificate.transitive else ''}",
            "",
            symmetry_latex(symmetry),
            "",
            "| identity | statement | status | how |",
            "|---|---|---|---|",
            *[row.replace("\n", " ") for row in rows],
        ]
    )


def mathml(expression: sp.Basic) -> str:
    """An expression as presentation MathML, which browsers draw without any script."""
    return f'<math display="inline">{sp.mathml(expression, printer="presentation")}</math>'
