"""Derivatives of real expressions in forms that intervals bound well."""

from __future__ import annotations

from typing import Any

import sympy as sp

#: What may jump: derivatives of such an expression say nothing about its change across the jump.
JUMPS = (sp.sign, sp.Heaviside, sp.floor, sp.ceiling, sp.Piecewise)


def slope(e: sp.Expr, t: sp.Symbol) -> sp.Expr:
    """The derivative by a real symbol wherever there is one; at kinks any number between those of both sides.

    |a|' is sign(a) a', and that of a maximum the derivative of the largest: SymPy's own take such expressions for complex
    ones, or leave them as step functions.

    Examples
    --------
    >>> x, t = sp.symbols("x t", real=True)
    >>> slope(sp.Abs(sp.sqrt(t**2 + 1) - 3), t), slope(sp.Max(t**2, x), t)
    (t*sign(sqrt(t**2 + 1) - 3)/sqrt(t**2 + 1), Piecewise((0, x > t**2), (2*t, True)))
    """
    if not e.has(t):
        return sp.Integer(0)
    if not e.has(sp.Abs, sp.Max, sp.Min, *JUMPS):
        return sp.diff(e, t)
    if e.is_Add:
        return sp.Add(*[slope(term, t) for term in e.args])
    if e.is_Mul:
        factors = e.args
        return sp.Add(*[sp.Mul(*factors[:i], slope(f, t), *factors[i + 1 :]) for i, f in enumerate(factors)])
    if isinstance(e, sp.Abs):
        return sp.sign(e.args[0]) * slope(e.args[0], t)
    if isinstance(e, sp.Max | sp.Min):
        return _of_extremum(e, t)
    if isinstance(e, sp.Piecewise):
        return sp.Piecewise(*[(slope(value, t), condition) for value, condition in e.args])
    if isinstance(e, JUMPS):
        return sp.Integer(0)
    if e.is_Pow and not e.exp.has(t):
        return e.exp * e.base ** (e.exp - 1) * slope(e.base, t)
    if e.is_Pow:
        return e * slope(e.exp * sp.log(e.base), t)
    return sp.Add(*[e.fdiff(i) * slope(argument, t) for i, argument in enumerate(e.args, 1)])


def _of_extremum(e: Any, t: sp.Symbol) -> sp.Expr:
    largest = isinstance(e, sp.Max)
    listed = list(e.args)
    pieces = []
    while len(listed) > 1:
        first, rest = listed[0], e.func(*listed[1:])
        pieces.append((slope(first, t), first > rest if largest else first < rest))
        listed = listed[1:]
    return sp.Piecewise(*pieces, (slope(listed[0], t), True))
