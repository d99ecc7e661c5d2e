"""Enclosures: an interval that is certain to contain every value of a real SymPy expression.

The variables range over the real line and positive constants over (0, oo), or a box says otherwise. The
bounds are rounded outward from 60 digits, so that a sign read off an enclosure is a proof. Nothing is
expanded or simplified and every subexpression is done once, hence the cost is that of one evaluation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import sympy as sp
from sympy.core.relational import Relational
from sympy.logic.boolalg import Boolean

from symdiscover.errors import OutsideDomain
from symdiscover.interval import CONSTANTS, HALF_LINE, REAL_LINE, RULES, Interval, checked, power, rational


def everywhere(symbol: sp.Symbol) -> Interval:
    """The reals, or the nonnegative ones for a symbol that is known to be so."""
    return HALF_LINE if symbol.is_nonnegative else REAL_LINE


class Enclosure:
    """Encloses the values of expressions over one box, remembering every subexpression it has seen.

    Parameters
    ----------
    box:
        Symbol to `Interval`; by default a symbol ranges over all the reals that its assumptions allow.

    Raises
    ------
    OutsideDomain
        On a call, if the expression is nowhere finite and real on the box, or overflows double precision
        everywhere, or is a single number for which 60 digits cannot exclude that.

    Examples
    --------
    >>> x = sp.Symbol("x", real=True)
    >>> enclose = Enclosure()
    >>> enclose(x**2).low, enclose(sp.sin(x)).high
    (mpf('0.0'), mpf('1.0'))
    >>> enclose(sp.log(-1 - x**2))
    Traceback (most recent call last):
    symdiscover.errors.OutsideDomain: the argument of log is never positive
    """

    def __init__(self, box: Callable[[sp.Symbol], Interval] = everywhere) -> None:
        self._box = box
        self._known: dict[sp.Basic, Interval] = {}

    def __call__(self, expr: sp.Expr) -> Interval:
        known = self._known.get(expr)
        if known is None:
            known = self._known[expr] = self._enclose(expr)
        return known

    def _enclose(self, expr: sp.Expr) -> Interval:
        if expr.is_Symbol:
            return self._box(expr)
        if expr.is_Rational:
            return rational(expr)
        if expr in CONSTANTS:
            return CONSTANTS[expr]
        if isinstance(expr, sp.Piecewise):
            return self._piecewise(expr)
        args = [self(arg) for arg in expr.args]
        fixed = bool(args) and all(arg.fixed for arg in args)
        if isinstance(expr, sp.Pow):
            integer = int(expr.exp) if expr.exp.is_Integer else None
            return checked(power(args[0], args[1], integer), fixed)
        rule = RULES.get(expr.func)
        if rule is None:
            raise OutsideDomain(f"{expr.func} is no function known here" if args else f"{expr} appears")
        return checked(rule(*args), fixed)

    def _piecewise(self, expr: sp.Piecewise) -> Interval:
        """The hull of the branches that may be taken."""
        taken = []
        for branch, condition in expr.args:
            holds = self.holds(condition)
            if holds is not False:
                taken.append(self(branch))
            if holds:
                break
        if len(taken) == 1 and holds:
            return taken[0]
        return Interval(min(branch.low for branch in taken), max(branch.high for branch in taken))

    def holds(self, condition: Boolean) -> bool | None:
        """True if the condition certainly holds on the whole box, False if nowhere, None if neither is sure."""
        if isinstance(condition, Relational):
            return decide(condition.func, self(condition.lhs - condition.rhs))
        if isinstance(condition, sp.And | sp.Or):
            neutral = isinstance(condition, sp.And)
            parts = {self.holds(part) for part in condition.args}
            return not neutral if (not neutral) in parts else None if None in parts else neutral
        return bool(condition)


def decide(kind: Any, difference: Interval) -> bool | None:
    """Whether `left kind right` holds, given an enclosure of left - right; None where it does not say.

    Examples
    --------
    >>> decide(sp.Gt, Interval(1, 2)), decide(sp.Gt, Interval(-1, 2)), decide(sp.Gt, Interval(-1, 0))
    (True, None, False)
    """
    certainly, never = _DECISIONS[kind]
    return True if certainly(difference) else False if never(difference) else None


_Test: TypeAlias = Callable[[Interval], bool]
_DECISIONS: dict[Any, tuple[_Test, _Test]] = {
    sp.Gt: (lambda d: d.low > 0, lambda d: d.high <= 0),
    sp.Ge: (lambda d: d.low >= 0, lambda d: d.high < 0),
    sp.Lt: (lambda d: d.high < 0, lambda d: d.low >= 0),
    sp.Le: (lambda d: d.high <= 0, lambda d: d.low > 0),
    sp.Eq: (lambda d: d.is_zero, lambda d: 0 not in d),
    sp.Ne: (lambda d: 0 not in d, lambda d: d.is_zero),
}
