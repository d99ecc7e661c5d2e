"""One self-contained HTML page: text, formulas as MathML, tables, pictures inside. No script, nothing fetched."""

from __future__ import annotations

import base64
import html
import math
import re
from collections.abc import Sequence

import sympy as sp
from sympy.printing.mathml import MathMLPresentationPrinter

STYLE = """
:root {
  color-scheme: light;
  --ink: #1d2733; --soft: #56616f; --line: #dde2e8; --tint: #f6f8fa; --accent: #0072b2; --good: #00674b;
  --serif: Charter, 'Bitstream Charter', 'Source Serif 4', Georgia, 'Noto Serif', 'DejaVu Serif', serif;
  --sans: 'Source Sans 3', 'Segoe UI', 'Helvetica Neue', 'Noto Sans', 'DejaVu Sans', Arial, sans-serif;
  --mono: 'Source Code Pro', ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace;
}
* { box-sizing: border-box; }
body {
  font: 16.5px/1.6 var(--serif); color: var(--ink); background: #fff;
  margin: 0 auto; max-width: 54rem; padding: 3rem 1.5rem 5rem;
}
h1, h2, h3, table, figcaption, nav, .cards, .lead, summary, footer { font-family: var(--sans); }
h1 { font-size: 2.2rem; line-height: 1.15; letter-spacing: -.01em; margin: 0 0 .5rem; }
h2 {
  font-size: 1.45rem; line-height: 1.25; margin: 3.4rem 0 .7rem; padding-top: .8rem;
  border-top: 3px solid var(--accent);
}
h3 { font-size: 1.12rem; margin: 2.3rem 0 .4rem; }
p { margin: .7rem 0; }
.lead { font-size: 1.1rem; line-height: 1.5; color: var(--soft); margin: 0 0 1.4rem; }

nav {
  display: flex; flex-wrap: wrap; gap: .1rem 1.5rem; font-size: .9rem; padding: .55rem 0;
  border-top: 1px solid var(--line); border-bottom: 1px solid var(--line);
}
nav a { color: var(--accent); text-decoration: none; }
nav a:hover { text-decoration: underline; }

.cards {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(11.5rem, 1fr)); gap: .8rem; margin: 1.5rem 0;
}
.card { border: 1px solid var(--line); border-top: 3px solid var(--accent); border-radius: 3px; padding: .7rem; }
.card b { display: block; font-size: 1.25rem; line-height: 1.3; white-space: nowrap; }
.card span { display: block; margin-top: .15rem; font-size: .84rem; line-height: 1.35; color: var(--soft); }

figure { margin: 1.7rem 0; }
figure img { display: block; margin: 0 auto; max-width: 100%; height: auto; }
figcaption {
  font-size: .86rem; line-height: 1.45; color: var(--soft); max-width: 46rem; margin: .5rem auto 0;
}
.label { font-weight: 600; color: var(--ink); }

.scroll { overflow-x: auto; margin: 1.3rem 0; }
.data { border-collapse: collapse; font-size: .86rem; line-height: 1.4; min-width: 60%; max-width: 100%; }
caption { text-align: left; padding-bottom: .45rem; color: var(--soft); }
.data th {
  border-top: 1.5px solid var(--ink); border-bottom: 1px solid var(--ink); padding: .35rem 1.3rem .35rem 0;
  text-align: left; vertical-align: bottom; font-weight: 600; max-width: 10rem;
}
.data td { padding: .28rem 1.3rem .28rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
.data tbody tr:last-child td { border-bottom: 1.5px solid var(--ink); }
.data .number { text-align: right; font-variant-numeric: tabular-nums; }
.data td.number { white-space: nowrap; }
.data th:last-child, .data td:last-child { padding-right: 0; }
.data td.proved { color: var(--good); font-weight: 600; white-space: nowrap; }

.formulas { background: var(--tint); border-radius: 3px; padding: .5rem 1.1rem; overflow-x: auto; }
.formulas table { border-collapse: collapse; }
.formulas th {
  font-weight: 400; font-size: .8rem; color: var(--soft); text-align: left; white-space: nowrap;
  padding-right: 1.6rem;
}
.formulas td { padding: .22rem .3rem; white-space: nowrap; }
.formulas td:nth-child(2) { text-align: right; }
.formulas tr.first > * { padding-top: .55rem; }
math { font-size: 1.12rem; }

.note { border-left: 4px solid var(--accent); background: var(--tint); padding: .7rem 1.1rem; }
details { margin: 1rem 0; }
summary { cursor: pointer; color: var(--accent); font-size: .92rem; }
code { font-family: var(--mono); font-size: .86em; }
pre {
  background: var(--tint); border-radius: 3px; padding: .8rem 1.1rem; overflow: auto; max-height: 30rem;
  line-height: 1.4;
}
pre code { font-size: .8rem; }
footer {
  margin-top: 3.5rem; padding-top: .8rem; border-top: 1px solid var(--line); font-size: .84rem;
  color: var(--soft);
}

@media print {
  body { font-size: 11pt; max-width: none; padding: 0; }
  pre { max-height: none; }
  figure, .card, tr { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
}
"""

_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


class Report:
    """A page that grows from top to bottom. Whatever is given as text is escaped; figures and tables are numbered.

    Examples
    --------
    >>> report = Report("Title", "What it is about.")
    >>> report.text("a < b")
    >>> "a &lt; b" in report.html()
    True
    """

    def __init__(self, title: str, lead: str) -> None:
        self._title, self._lead = title, lead
        self._parts: list[str] = []
        self._chapters: list[str] = []
        self._figures = self._tables = 0

    def chapter(self, text: str) -> None:
        """A heading that the list at the top leads to."""
        self._chapters.append(text)
        self._parts.append(f'<h2 id="chapter-{len(self._chapters)}">{html.escape(text)}</h2>')

    def heading(self, text: str) -> None:
        """A heading below that."""
        self._parts.append(f"<h3>{html.escape(text)}</h3>")

    def text(self, text: str) -> None:
        """A paragraph; what stands between backticks is set as code."""
        self._parts.append(f"<p>{_inline(text)}</p>")

    def note(self, text: str) -> None:
        """A paragraph set apart."""
        self._parts.append(f'<p class="note">{_inline(text)}</p>')

    def cards(self, entries: Sequence[tuple[str, str]]) -> None:
        """Short results side by side: what stands out, and what it is."""
        cards = "".join(
            f'<div class="card"><b>{html.escape(value)}</b><span>{_inline(text)}</span></div>'
            for value, text in entries
        )
        self._parts.append(f'<div class="cards">{cards}</div>')

    def formulas(self, rows: Sequence[tuple[str, str, str, str]]) -> None:
        """Equations below each other: what they are, left side, relation, right side, the sides as MathML.

        What equations are is said once for those that follow each other.
        """
        body, before = [], ""
        for kind, left, relation, right in rows:
            new, before = kind != before, kind
            first = ' class="first"' if new else ""
            sides = "".join(
                f"<td><math>{part}</math></td>" for part in (left, f"<mo>{html.escape(relation)}</mo>", right)
            )
            body.append(f"<tr{first}><th>{html.escape(kind) if new else ''}</th>{sides}</tr>")
        self._parts.append(f'<div class="formulas"><table>{"".join(body)}</table></div>')

    def table(self, caption: str, head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """A table; a column of numbers is set to the right."""
        self._tables += 1
        texts = [[str(entry) for entry in row] for row in rows]
        numeric = [bool(texts) and all(_number(row[j]) for row in texts) for j in range(len(head))]

        def cell(tag: str, entry: str, j: int) -> str:
            kind = "number" if numeric[j] else "proved" if tag == "td" and entry == "proved" else ""
            mark = "✓ " if kind == "proved" else ""
            return (
                f"<{tag}{f' class={chr(34)}{kind}{chr(34)}' if kind else ''}>{mark}{_inline(entry)}</{tag}>"
            )

        header = "".join(cell("th", entry, j) for j, entry in enumerate(head))
        body = "".join(
            "<tr>" + "".join(cell("td", e, j) for j, e in enumerate(row)) + "</tr>" for row in texts
        )
        label = f'<span class="label">Table {self._tables}.</span> '
        self._parts.append(
            f'<div class="scroll"><table class="data"><caption>{label}{_inline(caption)}</caption>'
            f"<thead><tr>{header}</tr></thead><tbody>{body}</tbody></table></div>"
        )

    def figure(self, png: bytes, caption: str, alt: str, width: int) -> None:
        """A picture, inside the page, `width` pixels wide where there is room."""
        self._figures += 1
        data = base64.b64encode(png).decode()
        label = f'<span class="label">Figure {self._figures}.</span> '
        self._parts.append(
            f'<figure><img alt="{html.escape(alt)}" width="{width}" src="data:image/png;base64,{data}">'
            f"<figcaption>{label}{_inline(caption)}</figcaption></figure>"
        )

    def code(self, summary: str, text: str) -> None:
        """Program text that opens on a click."""
        self._parts.append(
            f"<details><summary>{_inline(summary)}</summary><pre><code>{html.escape(text)}</code></pre></details>"
        )

    def footer(self, text: str) -> None:
        """What stands at the end."""
        self._parts.append(f"<footer>{_inline(text)}</footer>")

    def html(self) -> str:
        """The whole page."""
        title, lead, body = html.escape(self._title), _inline(self._lead), "\n".join(self._parts)
        links = "".join(
            f'<a href="#chapter-{number}">{html.escape(chapter)}</a>'
            for number, chapter in enumerate(self._chapters, start=1)
        )
        contents = f"<nav>{links}</nav>\n" if links else ""
        return (
            f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>\n'
            f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head>\n'
            f'<body><h1>{title}</h1>\n<p class="lead">{lead}</p>\n{contents}{body}\n</body></html>\n'
        )


class _Printer(MathMLPresentationPrinter):  # type: ignore[misc]
    """SymPy's presentation MathML, a sum beginning with a term that has no minus sign."""

    def _as_ordered_terms(self, expr: sp.Expr, order: str | None = None) -> list[sp.Expr]:
        terms = super()._as_ordered_terms(expr, order)
        return sorted(terms, key=lambda term: bool(term.could_extract_minus_sign()))


def mathml(expression: sp.Basic) -> str:
    """An expression as presentation MathML, with minus signs, and powers above the index of their symbol.

    Examples
    --------
    >>> mathml(sp.Symbol("x1") ** 2)
    '<msubsup><mi>x</mi><mi>1</mi><mn>2</mn></msubsup>'
    """
    text = _Printer().doprint(expression).replace("<mo>-</mo>", "<mo>−</mo>")
    base = r"<msup><msub>(<mi>[^<]*</mi>)(<m[in]>[^<]*</m[in]>)</msub>"
    return re.sub(base + r"(<m[in]>[^<]*</m[in]>)</msup>", r"<msubsup>\1\2\3</msubsup>", text)


def scientific(value: float, digits: int = 2) -> str:
    """A number with so many significant digits, as it is printed: plain, or times a power of ten.

    Examples
    --------
    >>> scientific(2.686e-9), scientific(0.11134, 3), scientific(1.0), scientific(0.0), scientific(1e6, 3)
    ('2.7 × 10⁻⁹', '0.111', '1.0', '0', '1.00 × 10⁶')
    >>> scientific(float("inf"))
    'diverged'
    """
    if not math.isfinite(value):
        return "diverged"
    if value == 0:
        return "0"
    mantissa, _, power = f"{value:.{digits - 1}e}".partition("e")
    exponent = int(power)
    if -4 < exponent < 4:
        return f"{value:.{max(digits - 1 - exponent, 0)}f}"
    return f"{mantissa} × 10{str(exponent).translate(_RAISED)}"


def _inline(text: str) -> str:
    parts = html.escape(text, quote=False).split("`")
    return "".join(f"<code>{part}</code>" if index % 2 else part for index, part in enumerate(parts))


def _number(entry: str) -> bool:
    """Whether an entry belongs into a column of numbers; a dash, or "diverged", may stand in one."""
    return entry in ("–", "diverged") or entry.lstrip("-−<≤ ")[:1].isdigit()
