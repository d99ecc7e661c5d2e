"""Where an expression is real and how it hangs together: what a vanishing derivative proves.

sign(x) and atan(x) + atan(1/x) have derivative 0 and are not constant. A function that is continuous, or analytic and
single-valued off a null set, is constant along a flow if its derivative along it vanishes; others are looked at in
parts that are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import sympy as sp
from sympy.core.relational import Relational

from symdiscover.enclosure import Enclosure
from symdiscover.errors import OutsideDomain
from symdiscover.normal_form import canonical

_ENTIRE = (sp.exp, sp.sin, sp.cos, sp.sinh, sp.cosh)
_SINGLE_VALUED = (*_ENTIRE, sp.tan, sp.tanh, sp.cot)
_CONTINUOUS = (*_ENTIRE, sp.tanh, sp.atan, sp.asinh, sp.erf, sp.Abs, sp.Max, sp.Min)
_TOTAL = (*_CONTINUOUS, sp.tan, sp.cot, sp.sign, sp.Heaviside, sp.DiracDelta, sp.floor, sp.ceiling, sp.atan2)


def is_rigid(expression: sp.Expr, symbols: Collection[sp.Symbol]) -> bool:
    """Whether a vanishing derivative along a flow in `symbols` proves that the expression is constant on its orbits.

    Examples
    --------
    >>> x = sp.Symbol("x", real=True)
    >>> is_rigid(sp.Abs(x) + sp.sqrt(x**2 + 1), [x]), is_rigid(sp.exp(1/x), [x])
    (True, True)
    >>> is_rigid(sp.Abs(x)/x, [x]), is_rigid(sp.atan(x) + sp.atan(1/x), [x]), is_rigid(sp.sign(x), [x])
    (False, False, False)
    """
    return _is_analytic(expression, frozenset(symbols)) or is_continuous(expression)


def rigid_parts(expression: sp.Expr, symbols: Collection[sp.Symbol]) -> list[sp.Expr]:
    """Rigid expressions of which the given one is a function; that itself if it is one.

    Examples
    --------
    >>> x, y = sp.symbols("x y", real=True)
    >>> rigid_parts(sp.floor(x**2 + y**2) + sp.sign(x - y) + x - 1, [x, y])
    [x - 1, x**2 + y**2, x - y]
    """
    found: dict[sp.Expr, None] = {}

    def visit(e: sp.Basic) -> None:
        if not e.free_symbols & set(symbols):
            return
        if isinstance(e, sp.Expr) and is_rigid(e, symbols):
            found[e] = None
            return
        rest = list(e.args)
        if e.is_Add or e.is_Mul:
            smooth = [a for a in rest if is_continuous(a)]
            rest = [a for a in rest if a not in smooth]
            visit(e.func(*smooth))
        for argument in rest:
            visit(argument)

    visit(expression)
    return list(found)


def partial_nodes(expression: sp.Basic, conditions: Collection[sp.Basic] = ()) -> set[sp.Basic]:
    """The parts that may fail to be real on more than a null set: roots of what may be negative, for instance.

    A condition u > v or u >= v says that u - v is not negative.

    Examples
    --------
    >>> x = sp.Symbol("x", real=True)
    >>> partial_nodes(sp.sqrt(x) + sp.sqrt(x**2 + 1) + 1/x + sp.log(x**2))
    {sqrt(x)}
    >>> partial_nodes(sp.log(x - 1), [x > 1])
    set()
    """
    known = {canonical(c.gts - c.lts) for c in conditions if isinstance(c, sp.Gt | sp.Ge | sp.Lt | sp.Le)}
    return {node for node in _partial(expression) if canonical(node.args[0]) not in known}


def _partial(e: sp.Basic) -> Iterator[sp.Basic]:
    if not e.args or not e.free_symbols:
        return
    for argument in e.args:
        yield from _partial(argument)
    if isinstance(e, (sp.Piecewise, Relational)) or not isinstance(e, sp.Expr):
        return
    if e.is_Add or e.is_Mul or isinstance(e, _TOTAL) or (e.is_Pow and e.exp.is_Integer):
        return
    if (e.is_Pow or isinstance(e, sp.log)) and _lowest(e.args[0]) >= 0:
        return
    yield e


def _lowest(e: sp.Expr) -> float:
    """A bound that the expression is never below, -1 where none is known; 1 where it is positive."""
    if e.is_positive:
        return 1
    try:
        low = Enclosure()(e).low
    except OutsideDomain:
        return 0 if e.is_nonnegative else -1
    return 1 if low > 0 else 0 if low == 0 or e.is_nonnegative else -1


def _is_analytic(e: sp.Expr, symbols: frozenset[sp.Symbol]) -> bool:
    if not e.free_symbols & symbols or e.is_Symbol:
        return True
    if e.is_Pow and not e.exp.is_Integer:
        return not e.base.free_symbols & symbols and bool(e.base.is_positive) and _is_analytic(e.exp, symbols)
    known = e.is_Add or e.is_Mul or e.is_Pow or isinstance(e, _SINGLE_VALUED)
    return known and all(_is_analytic(argument, symbols) for argument in e.args)


def is_continuous(e: sp.Expr) -> bool:
    """Whether the expression is shown to be a continuous function on all of R^n.

    Examples
    --------
    >>> x = sp.Symbol("x", real=True)
    >>> is_continuous(sp.log(1 + x**2) + sp.Abs(x)), is_continuous(sp.tan(x)), is_continuous(1 / x)
    (True, False, False)
    """
    if not e.free_symbols or e.is_Symbol:
        return True
    if e.is_Pow or isinstance(e, sp.log):
        base, exponent = e.args[0], e.exp if e.is_Pow else sp.Integer(-1)
        if not (exponent.is_Integer and exponent >= 0):
            lowest = 0 if exponent.is_Rational and exponent > 0 else 1
            apart = _lowest(base) >= lowest or (exponent.is_Integer and e.is_Pow and _lowest(-base) >= 1)
            return apart and is_continuous(base) and is_continuous(exponent)
        return is_continuous(base)
    known = e.is_Add or e.is_Mul or isinstance(e, _CONTINUOUS)
    return known and all(is_continuous(argument) for argument in e.args)
