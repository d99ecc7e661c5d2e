"""One self-contained HTML page: text, formulas as MathML, tables, pictures inside. No script, nothing fetched."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence

from matplotlib.figure import Figure

STYLE = """
:root { color-scheme: light; }
body { font: 17px/1.55 Georgia, 'Times New Roman', serif; color: #1c1c1c; background: #fff; margin: 0 auto; max-width: 52rem; padding: 2.5rem 1.5rem 5rem; }
h1 { font-size: 2.1rem; line-height: 1.2; margin: 0 0 .3rem; }
h2 { font-size: 1.45rem; margin: 3rem 0 .6rem; padding-top: .9rem; border-top: 2px solid #0072B2; }
h3 { font-size: 1.1rem; margin: 1.8rem 0 .4rem; }
p.lead { font-size: 1.15rem; color: #444; margin-top: 0; }
figure { margin: 1.4rem 0; text-align: center; }
figure img { max-width: 100%; height: auto; }
figcaption { font-size: .9rem; color: #555; text-align: left; max-width: 44rem; margin: .5rem auto 0; }
table { border-collapse: collapse; margin: 1rem 0; font-size: .92rem; width: 100%; }
caption { text-align: left; font-style: italic; padding-bottom: .35rem; color: #444; }
thead th { border-top: 1.5px solid #1c1c1c; border-bottom: 1px solid #1c1c1c; text-align: left; padding: .3rem .6rem .3rem 0; }
tbody td { padding: .25rem .6rem .25rem 0; border-bottom: 1px solid #e4e4e4; vertical-align: top; }
tbody tr:last-child td { border-bottom: 1.5px solid #1c1c1c; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.formula { margin: .8rem 0; overflow-x: auto; padding: .2rem 0; }
.proved { color: #00674b; font-weight: bold; }
.note { background: #f4f7fa; border-left: 4px solid #0072B2; padding: .7rem 1rem; margin: 1.2rem 0; }
code { font: .88em/1.4 ui-monospace, 'DejaVu Sans Mono', Menlo, monospace; }
pre { background: #f7f7f7; padding: .8rem 1rem; overflow-x: auto; font-size: .85rem; }
math { font-size: 1.05em; }
"""


class Report:
    """A page that grows from top to bottom.

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

    def heading(self, text: str, level: int = 2) -> None:
        """A heading of level 2 or 3."""
        self._parts.append(f"<h{level}>{html.escape(text)}</h{level}>")

    def text(self, text: str) -> None:
        """A paragraph of plain text."""
        self._parts.append(f"<p>{html.escape(text)}</p>")

    def note(self, text: str) -> None:
        """A paragraph set apart."""
        self._parts.append(f'<p class="note">{html.escape(text)}</p>')

    def code(self, text: str) -> None:
        """Program text."""
        self._parts.append(f"<pre><code>{html.escape(text)}</code></pre>")

    def formulas(self, rows: Sequence[str]) -> None:
        """Rows of MathML."""
        self._parts += [f'<div class="formula">{row}</div>' for row in rows]

    def table(self, caption: str, head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """A table; a column whose entries all begin like numbers is set to the right."""
        texts = [[str(entry) for entry in row] for row in rows]
        numeric = [all(_number(row[j]) for row in texts) and bool(texts) for j in range(len(head))]

        def cell(tag: str, entry: str, j: int) -> str:
            kind = "number" if numeric[j] else ("proved" if entry == "proved" else "")
            return f"<{tag}{f' class={chr(34)}{kind}{chr(34)}' if kind else ''}>{html.escape(entry)}</{tag}>"

        header = "".join(cell("th", entry, j) for j, entry in enumerate(head))
        body = "".join(
            "<tr>" + "".join(cell("td", e, j) for j, e in enumerate(row)) + "</tr>" for row in texts
        )
        self._parts.append(
            f"<table><caption>{html.escape(caption)}</caption><thead><tr>{header}</tr></thead><tbody>{body}</tbody></table>"
        )

    def figure(self, figure: Figure, caption: str) -> None:
        """A picture, inside the page."""
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=160)
        data = base64.b64encode(buffer.getvalue()).decode()
        text = html.escape(caption)
        self._parts.append(
            f'<figure><img alt="{text}" src="data:image/png;base64,{data}"><figcaption>{text}</figcaption></figure>'
        )

    def html(self) -> str:
        """The whole page."""
        title, lead, body = html.escape(self._title), html.escape(self._lead), "\n".join(self._parts)
        return (
            f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>\n'
            f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head>\n'
            f'<body><h1>{title}</h1>\n<p class="lead">{lead}</p>\n{body}\n</body></html>\n'
        )


def _number(entry: str) -> bool:
    return bool(entry) and (
        entry[0].isdigit() or entry[0] in "-+<>" and len(entry) > 1 and entry[1:].lstrip()[:1].isdigit()
    )
