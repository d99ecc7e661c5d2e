"""Claims by lemma, true and false ones, made from their data."""

from __future__ import annotations

from typing import Any

import sympy as sp

import symdiscover as sd
from symdiscover.basins import Basins
from symdiscover.group import Group
from symdiscover.star import Star

x, y = sp.symbols("x y", real=True)


def star(
    text: str | sp.Expr, centre: tuple[Any, ...] = (0, 0), near: Any = 0, far: Any = 1, floor: Any = 0, ceiling: Any = 0.99,
    frame: list[list[Any]] | None = None,
) -> tuple[sd.Loss, Star]:  # fmt: skip
    """A loss of x and y, or of x alone, and a star for it."""
    n = len(centre)
    loss = (
        sd.Loss.parse(text, variables=["x", "y"][:n]) if isinstance(text, str) else sd.Loss(text, (x, y)[:n])
    )
    matrix = sp.ImmutableMatrix(sp.eye(n) if frame is None else frame)
    numbers = [sp.nsimplify(v) for v in (near, far, floor, ceiling)]
    return loss, Star(tuple(sp.sympify(c) for c in centre), matrix, *numbers)


def basins(
    parts: tuple[sp.Expr, ...], ends: Any = sp.oo, barrier: Any = sp.oo, outer: sp.Expr = x, centres: tuple[Any, ...] = (0, 0),
    inverses: tuple[tuple[sp.Expr, ...], ...] = ((), ()), frame: list[list[Any]] | None = None, loss: str | None = None,
    lows: Any = None, constants: str = "",
) -> tuple[sd.Loss, Basins]:  # fmt: skip
    """A loss of x and y, by default the one that the parts give, and basins for it; `ends` are distances from the centres."""
    matrix = sp.ImmutableMatrix(sp.eye(2) if frame is None else frame)
    turned = matrix * sp.Matrix([x, y])
    total = sum(f.xreplace({v: e}) for f, v, e in zip(parts, (x, y), turned, strict=True))
    symbols = [sp.Symbol(name, positive=True) for name in constants.split()]
    made = (
        sd.Loss(outer.xreplace({x: total}), (x, y), tuple(symbols))
        if loss is None
        else sd.Loss.parse(loss, variables=["x", "y"], positive=constants.split())
    )
    c = tuple(sp.sympify(centre) for centre in centres)
    high = tuple(centre + sp.sympify(ends) for centre in c)
    low = tuple(centre - sp.sympify(ends if lows is None else lows) for centre in c)
    return made, Basins(matrix, parts, outer, c, low, high, sp.sympify(barrier), inverses)


def claimed(loss: sd.Loss, lemma: Star | Basins, group: Group | None = None) -> sd.Symmetry:
    """The claim that a group keeps the loss through the chart of a lemma."""
    n = loss.dimension
    reflection = Group("Z2", 1, (), (sp.ImmutableMatrix([[-1]]),), compact=True, element="matrix")
    group = group or {1: reflection, 2: sd.SO(2)}.get(n) or sd.O(n)
    u = sp.symbols(f"u1:{n + 1}", real=True)
    names = (
        ["m", "t"]
        if isinstance(lemma, Star)
        else [f"{k}{i}" for i in range(1, n + 1) for k in ("side", "r", "y")]
    )
    chart = lemma.chart(loss, u, [sp.Symbol(name, real=True) for name in names])
    return sd.Symmetry(loss, group, chart, "implicit", "by hand", lemma.reduced(loss, u))


def unproved(loss: sd.Loss, lemma: Star | Basins, seconds: float = 0.4) -> list[str]:
    """The names of the facts that are not proved."""
    return [fact.name for fact in lemma.prove(loss, seconds) if not fact.proved]
