"""Which SymPy expressions are admitted: those that are finite, real and within the limits."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from typing import Any

import sympy as sp
from sympy.core.relational import Relational
from sympy.functions.elementary.piecewise import ExprCondPair
from sympy.logic.boolalg import BooleanAtom

from symdiscover.enclosure import Enclosure
from symdiscover.errors import ExpressionError, OutsideDomain
from symdiscover.interval import CONSTANTS, RULES, Interval, exactly

MAX_EXPONENT = 64
MAX_COMPUTED_DIGITS = 400
MAX_SIZE = 5000
MAX_CONSTANT_DEPTH = 12
MAX_ROOTS = 100
MAX_ROOT_DIGITS = 64
_BITS_PER_DIGIT = math.log2(10)
_MAX_BITS = int(MAX_COMPUTED_DIGITS * _BITS_PER_DIGIT)
# Numbers that are gone when the node is complete, such as the common denominator of a sum, may be longer.
_MAX_WORK_BITS = 2**16
_SMALL_BITS = 20
_PIECEWISE = (sp.Abs, sp.sign, sp.floor, sp.ceiling, sp.Max, sp.Min, sp.atan2, sp.Piecewise)
_KNOWN = (
    *RULES,
    sp.Pow, sp.Symbol, sp.Rational, sp.Piecewise, ExprCondPair, Relational, sp.And, sp.Or, BooleanAtom,
    *map(type, CONSTANTS),
)  # fmt: skip


class Admission:
    """Admits expressions bottom-up, remembering what it has admitted and the enclosures found on the way.

    Examples
    --------
    >>> x = sp.Symbol("x", real=True)
    >>> Admission().admit(1 / (1 + x))
    1/(x + 1)
    >>> Admission().admit(1 / (sp.sin(x) ** 2 + sp.cos(x) ** 2 - 1))
    Traceback (most recent call last):
    symdiscover.errors.OutsideDomain: division by 0
    """

    def __init__(self, scale: int = 1) -> None:
        self.most_nodes = MAX_SIZE * scale
        self.enclose = Enclosure()
        self._points = [
            Enclosure(_point(sign * 2.0**power)) for power in (14, 6, 0, -6, -20) for sign in (1, -1)
        ]
        self._sizes: dict[sp.Basic, int] = {}
        self._depths: dict[sp.Basic, int] = {}
        self._roots = 0

    def admit(self, expr: sp.Basic) -> Any:
        """The expression itself, if all of it is finite, real and within the limits."""
        if expr in self._sizes:
            return expr
        if not isinstance(expr, _KNOWN):
            raise OutsideDomain(f"{expr} appears")
        size = 1 + sum(self.size(arg) for arg in expr.args)
        if size > self.most_nodes:
            raise ExpressionError(f"more than {self.most_nodes} nodes as SymPy writes it")
        if isinstance(expr, sp.Rational) and _bits(expr) > _MAX_BITS:
            raise ExpressionError(f"a computed number has more than {MAX_COMPUTED_DIGITS} digits")
        if isinstance(expr, sp.Pow) and expr.exp.is_Rational and abs(expr.exp) > MAX_EXPONENT:
            raise ExpressionError(f"an exponent is above the limit of {MAX_EXPONENT} in absolute value")
        if isinstance(expr, sp.Expr):
            self._bound_depth(expr)
            divides = isinstance(expr, sp.Pow) and self.enclose(expr.exp).low < 0
            if (divides or isinstance(expr, sp.log)) and self._vanishes(expr.args[0]):
                raise OutsideDomain("division by 0" if divides else "the argument of log is 0")
        self._sizes[expr] = size
        return expr

    def size(self, expr: sp.Basic) -> int:
        """The number of nodes of the tree."""
        return self._sizes[self.admit(expr)]

    def is_known(self, expr: sp.Basic) -> bool:
        """Whether every part of it is a number, symbol or function that may appear at all."""
        if expr in self._sizes:
            return True
        return isinstance(expr, _KNOWN) and all(self.is_known(arg) for arg in expr.args)

    def _vanishes(self, expr: sp.Expr) -> bool:
        """Whether 60 digits cannot tell the expression from 0 at any of ten points of different size.

        This finds sin(x)**2 + cos(x)**2 - 1, which SymPy does not reduce. Expressions of pieces are left
        alone: they may well vanish at all the points and be something else further out.
        """
        if expr.is_Symbol or 0 not in self.enclose(expr) or self.enclose(expr).fixed or expr.has(*_PIECEWISE):
            return False
        verdicts = []
        for enclose_at_point in self._points:
            try:
                verdicts.append(0 in enclose_at_point(expr))
            except OutsideDomain:
                continue
        return bool(verdicts) and all(verdicts)

    def _bound_depth(self, expr: sp.Expr) -> None:
        """SymPy compares constants numerically, and for nested irrational ones again at every level."""
        if not self.enclose(expr).fixed:
            return
        self._depths[expr] = 1 + max((self._depths[arg] for arg in expr.args), default=0)
        if self._depths[expr] > MAX_CONSTANT_DEPTH:
            raise ExpressionError(f"a number nested deeper than the limit of {MAX_CONSTANT_DEPTH}")

    def bound_work(self, operands: Sequence[sp.Expr]) -> None:
        """Refuse a sum or product whose evaluation needs numbers that are too long, before it is made."""
        if sum(_bits(number) for operand in operands for number in _coefficients(operand)) > _MAX_WORK_BITS:
            raise ExpressionError(
                f"the numbers in one sum or product have over {_MAX_WORK_BITS} bits together"
            )

    def bound_power(self, base: sp.Expr, exponent: sp.Rational) -> None:
        """Refuse a power whose evaluation needs numbers that are too long, before it is made."""
        # A sum is not expanded, so that its numbers stay as they are.
        bits = 0 if base.is_Add else max(map(_bits, _coefficients(base)), default=0)
        if bits > 1 and exponent.is_Integer and bits * abs(int(exponent)) > _MAX_BITS:
            raise ExpressionError(f"a computed number has more than {MAX_COMPUTED_DIGITS} digits")
        if bits > _SMALL_BITS and not exponent.is_Integer:
            # SymPy looks for prime factors, a few milliseconds for each number.
            self._roots += 1
            if self._roots > MAX_ROOTS:
                raise ExpressionError(f"more than {MAX_ROOTS} roots of numbers above a million")
            if bits > MAX_ROOT_DIGITS * _BITS_PER_DIGIT:
                raise ExpressionError(f"the root of a number of more than {MAX_ROOT_DIGITS} digits")
        if bits > 1 and bits * int(exponent.q) > _MAX_WORK_BITS:
            raise ExpressionError(f"the exponent {exponent} of a number has too large a denominator")


def _point(scale: float) -> Callable[[sp.Symbol], Interval]:
    """A fixed point: every coordinate, drawn by its name, lies between 1/2 and 5/2 times the scale."""

    def coordinate(symbol: sp.Symbol) -> Interval:
        value = random.Random(f"{scale} {symbol}").uniform(0.5, 2.5) * scale
        return exactly(abs(value) if symbol.is_nonnegative else value)

    return coordinate


def _bits(number: sp.Rational) -> int:
    return max(int(number.p).bit_length(), int(number.q).bit_length())


def _coefficients(expr: sp.Expr) -> list[sp.Rational]:
    """The rationals that a sum, product or power would compute with."""
    found = []
    for term in sp.Add.make_args(expr):
        for factor in sp.Mul.make_args(term):
            base = factor.base if isinstance(factor, sp.Pow) else factor
            if base.is_Rational:
                found.append(base)
    return found
