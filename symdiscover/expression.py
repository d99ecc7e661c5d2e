"""Text to SymPy, safely: nothing is executed, SymPy never sees a string, and the work is bounded.

The text is checked character by character, parsed by Python's own grammar, and built node by node against the
tables below. The notation is Python's: `**` for powers, `Piecewise((x, x > 0), (0, True))` for cases,
`Sum(e, (i, 1, 4))` and `Product` with integer bounds, `x[i]` inside them for the name x1, x2, ... A root with
an odd denominator means the real root. To allow a new function, add a row to `notation.FUNCTIONS`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import sympy as sp

from symdiscover.errors import ExpressionError
from symdiscover.lexical import check_name
from symdiscover.notation import RESERVED
from symdiscover.reader import Reader


@dataclass(frozen=True)
class Parsed:
    """A real expression with its symbols: `variables` are real, `constants` positive, both in order.

    Every free symbol of the expression is listed; a variable or constant that cancels stays listed.
    """

    expression: sp.Expr
    variables: tuple[sp.Symbol, ...]
    constants: tuple[sp.Symbol, ...]


def parse(
    text: str,
    variables: Iterable[str] | None = None,
    positive: Iterable[str] = (),
    scale: int = 1,
) -> Parsed:
    """Read a real expression from text without executing it.

    Numbers are exact: a decimal is the shortest rational that rounds to the same double. `variables` are the
    names of the real variables in order; without it every name that is neither a function nor pi, E or in
    `positive` is one, in natural order (x1, x2, x10). `positive` names the constants that stay symbolic.

    Limits: 2,000 characters, 1,200 nodes with sums written out, depth 40, exponents 64 in absolute value, 40
    digits in one number and 400 in a computed one. `scale` multiplies the limits on characters, nodes and
    digits, for texts that are longer than people type, such as the expressions in a saved action.

    Raises
    ------
    ExpressionError
        And nothing else, whatever the text: if it is not an expression of the supported kind, exceeds a
        limit, uses an unknown name, or if a part of it is not finite and real (1/0, log(0), sqrt(-1 - x**2)).

    Examples
    --------
    >>> parse("b*(x2 - x1**2)**2 + (0.1 - x1)**2", positive=["b"])
    Parsed(expression=b*(-x1**2 + x2)**2 + (1/10 - x1)**2, variables=(x1, x2), constants=(b,))
    >>> parse("Sum(i*x[i]**2, (i, 1, 3))").expression
    x1**2 + 2*x2**2 + 3*x3**2
    >>> parse("x**(1/3)").expression
    Abs(x)**(1/3)*sign(x)
    >>> parse("x + z", variables=["x", "y"])
    Traceback (most recent call last):
    symdiscover.errors.ExpressionError: unknown name 'z'; known names: x, y, pi, E (column 5)
    """
    constants = [sp.Symbol(name, positive=True) for name in _declared(positive, "constant")]
    declared = None
    if variables is not None:
        declared = [sp.Symbol(name, real=True) for name in _declared(variables, "variable")]
    try:
        reader = Reader(text, declared, constants, scale)
        expression = reader.read()
    except RecursionError:
        raise ExpressionError("nested too deeply for the depth at which it is called") from None
    found = sorted((s for s in reader.symbols.values() if s not in constants), key=_natural)
    return Parsed(expression, tuple(found if declared is None else declared), tuple(constants))


def _natural(symbol: sp.Symbol) -> tuple[list[tuple[str, int]], str]:
    """The order in which x2 comes before x10."""
    parts = re.findall(r"([^0-9]*)([0-9]*)", symbol.name)
    return [(letters, int(digits or -1)) for letters, digits in parts], symbol.name


def _declared(names: Iterable[str], role: str) -> list[str]:
    try:
        listed = (
            [part.strip() for part in names.split(",") if part.strip()]
            if isinstance(names, str)
            else list(names)
        )
    except TypeError:
        raise ExpressionError(
            f"the {role}s must be a sequence of names, not {type(names).__name__}"
        ) from None
    for name in listed:
        if not isinstance(name, str):
            raise ExpressionError(f"a {role} is given by its name, a string, not {type(name).__name__}")
        check_name(name)
        if name in RESERVED:
            raise ExpressionError(f"{name!r} cannot name a {role}: it has a fixed meaning")
        if listed.count(name) > 1:
            raise ExpressionError(f"the {role} {name!r} is declared twice")
    return listed
