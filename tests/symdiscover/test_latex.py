"""LaTeX, Markdown and MathML of what was found."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pytest
import sympy as sp

import symdiscover as sd
from symdiscover.latex import certificate_markdown, derivation_markdown, group_latex, mathml, symmetry_latex
from tests.symdiscover.claims import CLAIMS, certificate, claim


def unbalanced(text: str) -> bool:
    """Whether braces, \\left and \\right, environments or dollars do not close."""
    bare = re.sub(r"\\[{}$\\]", "", text)
    depth = 0
    for character in bare:
        depth += {"{": 1, "}": -1}.get(character, 0)
        if depth < 0:
            return True
    pairs = [(r"\\left(?![a-z])", r"\\right(?![a-z])"), (r"\\begin\{", r"\\end\{")]
    return (
        depth != 0
        or bare.count("$") % 2 == 1
        or any(len(re.findall(a, bare)) != len(re.findall(b, bare)) for a, b in pairs)
    )


def columns(table: str) -> set[int]:
    """How many cells the rows of the Markdown tables in a text have."""
    return {len(re.findall(r"(?<!\\)\|", line)) - 1 for line in table.splitlines() if line.startswith("|")}


@pytest.mark.parametrize("name", CLAIMS)
def test_actions_are_displayed(name: str) -> None:
    text = symmetry_latex(claim(name))
    assert text.startswith("$\\displaystyle ") and text.endswith("$")
    assert not unbalanced(text)
    assert unbalanced(text[:-1])
    assert claim(name)._repr_latex_() == certificate(name)._repr_latex_() == text


def test_what_a_display_shows() -> None:
    text = symmetry_latex(claim("rosenbrock"))
    for part in (r"\mathrm{SO}(2)", r"u_{1} &= \sqrt{b}", r"x &\mapsto", r"\theta"):
        assert part in text
    assert "&=" not in symmetry_latex(claim("two scalings"))
    assert r"\mapsto" not in symmetry_latex(
        sd.routes.quadratic.find(sd.Loss.parse("Sum(i*x[i]**2, (i, 1, 7))"))[0]
    )
    whole = sd.Symmetry(
        loss := sd.Loss.parse("x**4 + y**4"), sd.SignedPermutation(2), sd.Chart.identity(loss.variables)
    )
    assert symmetry_latex(whole) == r"$\displaystyle \mathrm{SignedPermutation}(2)$"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("SO(2)", r"\mathrm{SO}(2)"),
        ("O(1, 1)", r"\mathrm{O}(1, 1)"),
        ("R", r"\mathbb{R}"),
        ("R^12", r"\mathbb{R}^{12}"),
        ("Rotations", r"\text{Rotations}"),
        ("Lie group of dimension 5", r"\text{Lie group of dimension 5}"),
        ("sl(2,R)+R", r"\text{sl(2,R)+R}"),
        ("Z2 x Z2", r"\text{Z2 x Z2}"),
        (
            r"100 % \input{x} $_^~&#{}",
            r"\text{100 \% \textbackslash{}input\{x\} \$\_\textasciicircum{}\textasciitilde{}\&\#\{\}}",
        ),
        (r"}\end{aligned}", r"\text{\}\textbackslash{}end\{aligned\}}"),
    ],
)
def test_names_of_groups(name: str, shown: str) -> None:
    symmetry = replace(claim("booth"), group=replace(claim("booth").group, name=name))
    assert group_latex(symmetry) == shown
    assert not unbalanced(shown)


@pytest.mark.parametrize("name", CLAIMS)
def test_certificates_are_tables(name: str) -> None:
    text = certificate_markdown(certificate(name))
    assert columns(text) == {4}
    assert len([line for line in text.splitlines() if line.startswith("|")]) == 2 + len(
        certificate(name).identities
    )
    assert certificate(name).status in text
    assert columns(text.replace("| identity |", "| identity | extra |")) == {4, 5}


def test_tables_stand_whatever_is_in_them() -> None:
    proof = certificate("booth")
    odd = replace(proof.identities[0], statement="a | b\n| c", method="`x` *y* <script>")
    text = certificate_markdown(_with(proof, identities=(odd,)))
    assert columns(text) == {4}
    assert r"a \| b \| c" in text
    assert "<script>" not in text.replace(r"\<script\>", "")


def _with(proof: sd.Certificate, **fields: object) -> sd.Certificate:
    import copy

    other = copy.copy(proof)
    for key, value in fields.items():
        object.__setattr__(other, key, value)
    return other


def test_domains_with_bars_stay_in_their_line() -> None:
    symmetry = claim("logarithmic")
    x = symmetry.loss.variables[0]
    either = replace(symmetry, chart=replace(symmetry.chart, conditions=(sp.Or(x > 1, x < -1),)))
    text = certificate_markdown(_with(certificate("logarithmic"), symmetry=either))
    assert r"(x \> 1) \| (x \< -1)" in text or r"(x \< -1) \| (x \> 1)" in text


def test_a_derivation_says_what_was_tried() -> None:
    derivation = sd.derive(sd.Loss.parse("x**2 + 4*y**2"))
    text = derivation_markdown(derivation)
    assert derivation._repr_markdown_() == text
    assert "**SO(2)**: proved" in text and "No symmetry" not in text
    names = [attempt.route.replace("_", "\\_") for attempt in derivation.tried]
    assert "level\\_set" in names and all(f"| {name} |" in text for name in names)
    empty = sd.derive(sd.Loss.parse("x**5*y + sin(x) + exp(x*y**2)"), only=["quadratic"])
    assert "**No symmetry in the families tried.**" in derivation_markdown(empty)
    assert columns(derivation_markdown(empty)) == {3}
    odd = replace(empty, tried=(sd.Attempt("peel", "failed: a | b\nc", 0.1),))
    assert r"| peel | failed: a \| b c | 0.10 |" in derivation_markdown(odd)


@pytest.mark.parametrize("name", CLAIMS)
def test_mathml_is_well_formed(name: str) -> None:
    for expression in (claim(name).loss.expression, *claim(name).chart.forward, *(claim(name).map or ())):
        tree = ElementTree.fromstring(mathml(expression))
        assert tree.tag == "math"
    with pytest.raises(ElementTree.ParseError):
        ElementTree.fromstring(mathml(sp.Symbol("x")).replace("</math>", ""))
