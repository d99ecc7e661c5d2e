"""Stripping outer functions: L = F(M) has every symmetry of M."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import sympy as sp

from symdiscover.loss import Loss


@dataclass(frozen=True)
class Composition:
    """L = F(M): the inner expression M, and F as an expression in `slot`."""

    inner: sp.Expr
    outer: sp.Expr
    slot: sp.Symbol

    def at(self, value: sp.Expr) -> sp.Expr:
        """F(value)."""
        return self.outer.xreplace({self.slot: value})


def compositions(
    loss: Loss, admissible: Callable[[sp.Expr], bool] = lambda inner: True
) -> Iterator[Composition]:
    """Every way to write L = F(M) that its expression shows, M = L first, then from large M to small.

    M is a part of the expression that is `admissible`, F what is left when every multiple c M + d of it is taken out.

    Examples
    --------
    >>> loss = Loss.parse("exp(-(x**2 + y**2)/2) - cos(2*x**2 + 2*y**2 + 1)")
    >>> [c.inner for c in compositions(loss)][1:]
    [x**2 + y**2]
    """
    slot = sp.Dummy("m", real=True)
    if admissible(loss.expression):
        yield Composition(loss.expression, slot, slot)
    used = loss.expression.free_symbols & set(loss.variables)
    seen: list[sp.Expr] = []
    parts = sorted(
        loss.expression.atoms(sp.Function, sp.Add, sp.Mul, sp.Pow), key=lambda e: (-e.count_ops(), str(e))
    )
    for part in parts:
        if part == loss.expression or not used <= part.free_symbols:
            continue
        inner = _normalised(part, loss)
        if inner in seen or not admissible(inner):
            continue
        seen.append(inner)
        outer = _take_out(loss.expression, inner, slot, loss)
        if not outer.free_symbols & used:
            yield Composition(inner, outer, slot)


def _normalised(part: sp.Expr, loss: Loss) -> sp.Expr:
    """The part without its constant factor and its constant term: M up to the F that this changes."""
    part = part.as_independent(*loss.variables, as_Add=False)[1] if part.is_Mul else part
    if not part.is_Add:
        return part
    dependent = part.as_independent(*loss.variables, as_Add=True)[1]
    _, primitive = dependent.as_content_primitive() if dependent.is_Add else (1, dependent)
    return -primitive if primitive.could_extract_minus_sign() else primitive


def _take_out(expression: sp.Expr, inner: sp.Expr, slot: sp.Symbol, loss: Loss) -> sp.Expr:
    """The expression with every part c * inner + d (c, d constant) replaced by c * slot + d."""
    if expression == inner:
        return slot
    if not expression.free_symbols & set(loss.variables):
        return expression
    if expression.is_Add and inner.is_Add:
        dependent = expression.as_independent(*loss.variables, as_Add=True)
        first = sp.Add.make_args(inner)[0]
        for term in sp.Add.make_args(dependent[1]):
            ratio = sp.cancel(term / first) if term.free_symbols == first.free_symbols else None
            constant = ratio is not None and not ratio.free_symbols & set(loss.variables)
            if constant and sp.expand(dependent[1] - ratio * inner) == 0:
                return ratio * slot + dependent[0]
    if not expression.args:
        return expression
    return expression.func(*[_take_out(argument, inner, slot, loss) for argument in expression.args])
