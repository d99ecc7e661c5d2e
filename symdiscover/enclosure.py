"""Enclosures: an interval that is certain to contain every value of a real SymPy expression.

The variables range over the real line and positive constants over (0, oo), or a box says otherwise. The
bounds are rounded outward from 60 digits, so that a sign read off an enclosure is a proof. Nothing is
expanded or simplified and every subexpression is done once, hence the cost is that of one evaluation.
"""

from __future__ import annotations

from collections.abc import Mapping

import sympy as sp
from sympy.core.relational import Relational

from symdiscover.errors import OutsideDomain
from symdiscover.interval import CONSTANTS, HALF_LINE, REAL_LINE, RULES, Interval, checked, power, rational


class Enclosure:
    """Encloses the values of expressions over one box, remembering every subexpression it has seen.

    Parameters
    ----------
    box:
        Symbol to `Interval`; a symbol that is missing ranges over all the reals its assumptions allow.

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

    def __init__(self, box: Mapping[sp.Symbol, Interval] | None = None) -> None:
        self._known: dict[sp.Basic, Interval] = dict(box or {})

    def __call__(self, expr: sp.Expr) -> Interval:
        known = self._known.get(expr)
        if known is None:
            known = self._known[expr] = self._enclose(expr)
        return known

    def _enclose(self, expr: sp.Expr) -> Interval:
        if expr.is_Symbol:
            return HALF_LINE if expr.is_nonnegative else REAL_LINE
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
        branches = [self(branch) for branch, _ in expr.args]
        for _, condition in expr.args:
            for relation in condition.atoms(Relational):
                self(relation.lhs)
                self(relation.rhs)
        return Interval(min(branch.low for branch in branches), max(branch.high for branch in branches))
