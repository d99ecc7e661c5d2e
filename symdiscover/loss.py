"""A loss: one real expression in ordered variables, with named positive constants."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import sympy as sp

from symdiscover.errors import ExpressionError
from symdiscover.expression import parse
from symdiscover.lexical import check_name
from symdiscover.notation import RESERVED


@dataclass(frozen=True)
class Loss:
    """A real loss L(x_1, ..., x_n), possibly with symbolic positive constants.

    Parameters
    ----------
    expression:
        The SymPy expression. Every free symbol is a variable or a constant.
    variables:
        The real symbols the loss is a function of, in order; a *point* is a vector of their values.
    constants:
        Positive symbols that stay symbolic: what is proved holds for all their positive values.
    name:
        A label for tables and figures; it carries no meaning.

    Raises
    ------
    ExpressionError
        If a symbol is undeclared, its name is none that `symdiscover.expression` reads, a variable is anything else
        than real, or a constant than positive.

    Examples
    --------
    >>> loss = Loss.parse("b*(x**2 - y)**2 + (x - a)**2", positive=["a", "b"], name="Rosenbrock")
    >>> loss.variables, loss.constants
    ((x, y), (a, b))
    >>> loss.at(a=1, b=100).gradient
    (400*x*(x**2 - y) + 2*x - 2, -200*x**2 + 200*y)
    """

    expression: sp.Expr
    variables: tuple[sp.Symbol, ...]
    constants: tuple[sp.Symbol, ...] = ()
    name: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "expression", sp.sympify(self.expression, strict=True))
        object.__setattr__(self, "variables", tuple(self.variables))
        object.__setattr__(self, "constants", tuple(self.constants))
        if not self.variables:
            raise ExpressionError("a loss needs at least one variable: name them with variables=")
        declared = [*self.variables, *self.constants]
        if len({symbol.name for symbol in declared}) != len(declared):
            raise ExpressionError("a name is declared twice among variables and constants")
        if unknown := self.expression.free_symbols - set(declared):
            names = ", ".join(sorted(symbol.name for symbol in unknown))
            raise ExpressionError(f"undeclared symbols {names}: add them to variables or constants")
        # What a hand-made loss may be called, and assume, is what its text may: it is saved and proved again as text.
        for symbol in declared:
            check_name(symbol.name)
            if symbol.name in RESERVED:
                raise ExpressionError(f"{symbol.name!r} cannot name a symbol: it has a fixed meaning")
        for symbol in self.variables:
            if symbol != sp.Symbol(symbol.name, real=True):
                raise ExpressionError(f"variable {symbol.name} must be Symbol({symbol.name!r}, real=True)")
        for symbol in self.constants:
            if symbol != sp.Symbol(symbol.name, positive=True):
                raise ExpressionError(
                    f"constant {symbol.name} must be Symbol({symbol.name!r}, positive=True)"
                )

    @classmethod
    def parse(
        cls,
        text: str,
        variables: Iterable[str] | str | None = None,
        positive: Iterable[str] | str = (),
        name: str = "",
    ) -> Loss:
        """Read a loss from text without executing it (see `symdiscover.expression`).

        `variables` may be names or one comma-separated string; without it every name that is neither a
        function nor in `positive` is a variable, in natural order.

        Raises
        ------
        ExpressionError
            If the text is not a finite real expression within the limits of the parser.

        Examples
        --------
        >>> Loss.parse("(x + 2*y - 7)**2 + (2*x + y - 5)**2").dimension
        2
        """
        parsed = parse(text, variables=_names(variables), positive=_names(positive) or ())
        return cls(parsed.expression, parsed.variables, parsed.constants, name)

    @property
    def dimension(self) -> int:
        """The number n of variables."""
        return len(self.variables)

    @cached_property
    def gradient(self) -> tuple[sp.Expr, ...]:
        """The n partial derivatives, unsimplified."""
        return tuple(sp.diff(self.expression, symbol) for symbol in self.variables)

    @cached_property
    def hessian(self) -> sp.ImmutableMatrix:
        """The n x n matrix of second derivatives."""
        return sp.ImmutableMatrix(sp.hessian(self.expression, self.variables))

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the canonical expression with its declarations: what a certificate is about."""
        # Not srepr: it shows the assumptions a symbol was made with, which may be others for equal symbols.
        names = [[symbol.name for symbol in symbols] for symbols in (self.variables, self.constants)]
        content = repr((sp.sstr(self.expression, full_prec=True), *names))
        return hashlib.sha256(content.encode()).hexdigest()

    def at(self, values: Mapping[str, Any] | None = None, **constants: Any) -> Loss:
        """Give constants their values; the others stay symbolic.

        Numbers must be positive; floats become the rational that their decimal literal names.

        Raises
        ------
        ExpressionError
            If a name is no constant of this loss or a value is not a positive finite number.
        """
        substitution: dict[sp.Symbol, sp.Expr] = {}
        known = {symbol.name: symbol for symbol in self.constants}
        for name, value in {**(values or {}), **constants}.items():
            if name not in known:
                listed = ", ".join(known) or "none"
                raise ExpressionError(f"{name!r} is no constant of this loss; its constants: {listed}")
            number = parse(str(value), variables=()).expression
            if not number.is_positive:
                raise ExpressionError(f"the constant {name} must be positive, not {value}")
            substitution[known[name]] = number
        rest = tuple(symbol for symbol in self.constants if symbol not in substitution)
        return Loss(self.expression.xreplace(substitution), self.variables, rest, self.name)

    def __str__(self) -> str:
        return str(self.expression)

    def _repr_latex_(self) -> str:
        arguments = ", ".join(sp.latex(symbol) for symbol in self.variables)
        return f"$\\displaystyle L({arguments}) = {sp.latex(self.expression)}$"


def _names(names: Iterable[str] | str | None) -> list[str] | None:
    if names is None:
        return None
    if isinstance(names, str):
        return [name.strip() for name in names.split(",") if name.strip()]
    return list(names)
