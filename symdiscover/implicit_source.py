"""The inverse of a chart with roots as functions of a generated module."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import sympy as sp

from symdiscover.root import Root
from symdiscover.symmetry import Chart
from symdiscover.torch_printer import Generated


class Writer(Protocol):
    """What is needed of the one who writes the module."""

    def function(
        self, name: str, arguments: Sequence[sp.Symbol], values: Sequence[sp.Expr], doc: str
    ) -> Generated:
        """One function of declared symbols."""

    def call(self, name: str, arguments: str) -> str:
        """A call that passes the constants on."""

    @property
    def names(self) -> dict[sp.Symbol, str]:
        """The names of declared symbols in the code."""

    def head(self, name: str, arguments: str, doc: str) -> str:
        """The first lines of a function."""


#: Halvings that find a root to the last bits: of a finite interval, and where doublings come first.
HALVINGS = (64, 120)


@dataclass(frozen=True)
class ImplicitInverse:
    """`inverse_chart` as text, and the generated functions that it calls."""

    source: str
    functions: tuple[Generated, ...]


def guarded(chart: Chart) -> list[sp.Expr]:
    """phi on the chart's domain, and outside of it nothing, which the code makes NaN."""
    return [sp.Piecewise((u, sp.And(*chart.conditions))) for u in chart.forward]


def implicit_inverse(chart: Chart, writer: Writer) -> ImplicitInverse:
    """psi step by step: runs of expressions become one function each, a root one function of t and its derivative."""
    known = list(chart.coordinates)
    lines: list[str] = []
    functions: list[Generated] = []
    pending: list[tuple[sp.Symbol, sp.Expr]] = []
    add = functions.append

    def listed(symbols: Sequence[sp.Symbol]) -> str:
        return ", ".join(writer.names[s] for s in symbols)

    def flush() -> None:
        if not pending:
            return
        symbols = [symbol for symbol, _ in pending]
        name = f"solve_{'_'.join(writer.names[s] for s in symbols)}"[:40]
        add(writer.function(name, known, _in_turn(pending), f"{listed(symbols)} of the inverse chart."))
        lines.append(f"{listed(symbols)}, = {writer.call(name, listed(known))}")
        known.extend(symbols)
        pending.clear()

    for symbol, step in chart.inverse:
        if not isinstance(step, Root):
            pending.append((symbol, step))
            continue
        flush()
        t, name = writer.names[step.unknown], f"gap_{writer.names[symbol]}"
        doc = f"What is 0 at the {t} sought, and its derivative by {t}."
        add(writer.function(name, [step.unknown, *known], [step.function - step.target, step.slope], doc))
        add(writer.function(f"ends_{t}", known, [step.low, step.high], f"Between which numbers {t} lies."))
        lines.append(
            f"low, high = (as_like(end, {listed(known[:1])}) for end in {writer.call(f'ends_{t}', listed(known))})"
        )
        gap = f"lambda {t}: {writer.call(name, listed([step.unknown, *known]))}"
        lines.append(f"{writer.names[symbol]} = root({gap}, low, high, {HALVINGS[step.high == sp.oo]})")
        known.append(symbol)
    flush()
    body = "\n    ".join([*lines, f"return {listed(chart.variables)},"])
    head = writer.head("inverse_chart", listed(chart.coordinates), "x = psi(u).")
    return ImplicitInverse(f"{head}    {body}\n", tuple(functions))


def _in_turn(steps: Sequence[tuple[sp.Symbol, sp.Expr]]) -> list[sp.Expr]:
    """The values of steps that may use the ones before them."""
    done: dict[sp.Basic, sp.Basic] = {}
    for symbol, value in steps:
        done[symbol] = value.xreplace(done)
    return list(done.values())
