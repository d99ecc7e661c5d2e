"""SymPy expressions built node by node, each of them finite, real and of bounded size.

SymPy evaluates while it builds, over the complex numbers and without a bound on the work. Here every
operation looks at the enclosures of its operands first: what is not finite and real is refused, what would be
large is refused before it is computed, and what their signs decide is not asked of SymPy.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from typing import Any

import sympy as sp
from sympy.core.relational import Relational
from sympy.functions.elementary.piecewise import ExprCondPair
from sympy.logic.boolalg import Boolean, BooleanAtom

from symdiscover.enclosure import Enclosure
from symdiscover.errors import ExpressionError, OutsideDomain
from symdiscover.interval import CONSTANTS, RULES, Interval, exactly

MAX_EXPONENT = 64
MAX_COMPUTED_DIGITS = 400
MAX_ARGUMENTS = 16
MAX_ROOTS = 100
MAX_ROOT_DIGITS = 64
_BITS_PER_DIGIT = math.log2(10)
_MAX_BITS = int(MAX_COMPUTED_DIGITS * _BITS_PER_DIGIT)
# Numbers that are gone when the node is complete, such as the common denominator of a sum, may be longer.
_MAX_WORK_BITS = 2**16
_SMALL_BITS = 20
_PIECEWISE = (sp.Abs, sp.sign, sp.floor, sp.ceiling, sp.Max, sp.Min, sp.Piecewise)
_KNOWN = (
    *RULES,
    sp.Pow, sp.Symbol, sp.Rational, sp.Piecewise, ExprCondPair, Relational, sp.And, sp.Or, BooleanAtom,
    *map(type, CONSTANTS),
)  # fmt: skip


class Construction:
    """The operations of real arithmetic on SymPy expressions; one instance remembers what it has built.

    Raises
    ------
    OutsideDomain
        By every operation, where the result is nowhere finite and real.
    ExpressionError
        By every operation, where a limit is exceeded: exponents 64, 400 digits in a computed number, 16
        arguments of a maximum, 100 roots of numbers.

    Examples
    --------
    >>> real, x = Construction(), sp.Symbol("x", real=True)
    >>> real.power(x, sp.Rational(1, 3)), real.power(sp.Integer(-8), sp.Rational(1, 3))
    (Abs(x)**(1/3)*sign(x), -2)
    >>> real.power(sp.Integer(9), sp.Integer(10) ** 8)
    Traceback (most recent call last):
    symdiscover.errors.ExpressionError: an exponent is above the limit of 64 in absolute value
    """

    def __init__(self) -> None:
        self.enclose = Enclosure()
        self._admitted: set[sp.Basic] = set()
        self._roots = 0

    def admit(self, expr: sp.Basic) -> Any:
        """The expression itself, if all of it is finite, real and within the limits."""
        if expr in self._admitted:
            return expr
        if not isinstance(expr, _KNOWN):
            raise OutsideDomain(f"{expr} appears")
        for arg in expr.args:
            self.admit(arg)
        if isinstance(expr, sp.Rational) and _bits(expr) > _MAX_BITS:
            raise ExpressionError(f"a computed number has more than {MAX_COMPUTED_DIGITS} digits")
        if isinstance(expr, sp.Pow) and expr.exp.is_Rational and abs(expr.exp) > MAX_EXPONENT:
            raise ExpressionError(f"an exponent is above the limit of {MAX_EXPONENT} in absolute value")
        if isinstance(expr, sp.Expr) and not isinstance(expr, ExprCondPair):
            self.enclose(expr)
            divides = isinstance(expr, sp.Pow) and self.enclose(expr.exp).low < 0
            if (divides or isinstance(expr, sp.log)) and self._vanishes(expr.args[0]):
                raise OutsideDomain("division by 0" if divides else "the argument of log is 0")
        self._admitted.add(expr)
        return expr

    def sum(self, terms: Sequence[sp.Expr]) -> sp.Expr:
        self._bound_work(terms)
        return self._call(sp.Add, *terms)

    def product(self, factors: Sequence[sp.Expr]) -> sp.Expr:
        self._bound_work(factors)
        return self._call(sp.Mul, *factors)

    def power(self, base: sp.Expr, exponent: sp.Expr) -> sp.Expr:
        """b**e, for e = p/q with q odd the real root: sign(b) |b|**e for p odd, |b|**e for p even."""
        sign, size = self.enclose(base), self.enclose(exponent)
        if size.fixed and max(abs(size.low), abs(size.high)) > MAX_EXPONENT:
            raise ExpressionError(f"an exponent is above the limit of {MAX_EXPONENT} in absolute value")
        if exponent.is_Rational and not exponent.is_Integer and exponent.q % 2 and sign.low < 0:
            root = self.power(self.magnitude(base), exponent)
            return root if exponent.p % 2 == 0 else self.product([self.signum(base), root])
        if not exponent.is_Integer:
            _require_base(sign, size)
        if exponent.is_Rational:
            self._bound_power(base, exponent)
        return self._call(sp.Pow, base, exponent)

    def reciprocal(self, expr: sp.Expr) -> sp.Expr:
        return self.power(expr, sp.S.NegativeOne)

    def magnitude(self, expr: sp.Expr) -> sp.Expr:
        """|u|: u or -u where the enclosure decides."""
        values = self.enclose(expr)
        if values.low >= 0 or values.high <= 0:
            return expr if values.low >= 0 else self.product([sp.S.NegativeOne, expr])
        if values.fixed:
            raise OutsideDomain("the sign of a number that cannot be told from 0")
        return self._call(sp.Abs, expr)

    def signum(self, expr: sp.Expr) -> sp.Expr:
        """The sign of u: 1 or -1 where the enclosure decides."""
        values = self.enclose(expr)
        if values.is_zero or values.low > 0 or values.high < 0:
            return sp.Integer(int(values.low > 0) - int(values.high < 0))
        if values.fixed:
            raise OutsideDomain("the sign of a number that cannot be told from 0")
        return self._call(sp.sign, expr)

    def logarithm(self, expr: sp.Expr, base: sp.Expr | None = None) -> sp.Expr:
        """log u, or log u / log b."""
        result = self._call(sp.log, expr)
        if base is None:
            return result
        divisor = self._call(sp.log, base)
        quotient = self.product([result, self.reciprocal(divisor)])
        # For two rationals SymPy finds the exact power, log(8, 2) = 3.
        return self._call(sp.log, expr, base) if expr.is_Rational and base.is_Rational else quotient

    def extremum(self, kind: Any, args: Sequence[sp.Expr]) -> sp.Expr:
        """Max or Min of the arguments, without those that another one always bounds."""
        flat: list[sp.Expr] = []
        for arg in args:
            flat.extend(arg.args if isinstance(arg, kind) else (arg,))
        if len(flat) > MAX_ARGUMENTS:
            raise ExpressionError(f"{kind.__name__} of {len(flat)} arguments: the limit is {MAX_ARGUMENTS}")
        kept: list[sp.Expr] = []
        for arg in flat:
            orders = [self._order(arg, other) * (1 if kind is sp.Max else -1) for other in kept]
            if -1 not in orders:
                kept = [other for other, order in zip(kept, orders, strict=True) if order == 0] + [arg]
        # SymPy compares all pairs symbolically, which takes minutes for arguments of a line each.
        return kept[0] if len(kept) == 1 else self._call(kind, *kept, evaluate=False)

    def step(self, kind: Any, expr: sp.Expr) -> sp.Expr:
        """floor or ceiling."""
        values = self.enclose(expr)
        if values.fixed:
            return sp.Integer(int(RULES[kind](values)[0])) if not expr.is_Rational else kind(expr)
        return self._call(kind, expr)

    def angle(self, y: sp.Expr, x: sp.Expr) -> sp.Expr:
        """atan2(y, x)."""
        return self._call(sp.atan2, y, x)

    def function(self, kind: Any, expr: sp.Expr) -> sp.Expr:
        """A function of one argument of which SymPy's evaluation is harmless."""
        return self._call(kind, expr)

    def relation(self, kind: Any, left: sp.Expr, right: sp.Expr) -> Boolean:
        """A comparison, decided where the enclosure of the difference decides it."""
        difference = self.sum([left, self.product([sp.S.NegativeOne, right])])
        values = self.enclose(difference)
        holds = _DECIDED[kind](values)
        if holds is not None:
            return sp.true if holds else sp.false
        if values.fixed:
            raise OutsideDomain("a comparison of two numbers that cannot be told apart")
        return self.admit(kind(left, right, evaluate=False))

    def junction(self, kind: Any, conditions: Sequence[Boolean]) -> Boolean:
        """And or Or."""
        return self._call(kind, *conditions)

    def negation(self, condition: Boolean) -> Boolean:
        """The complement, by the negated comparison and de Morgan's laws."""
        if isinstance(condition, sp.And | sp.Or):
            dual = sp.Or if isinstance(condition, sp.And) else sp.And
            return self.junction(dual, [self.negation(arg) for arg in condition.args])
        return condition.negated

    def piecewise(self, branches: Sequence[tuple[sp.Expr, Boolean]]) -> sp.Expr:
        """The expression of the first condition that holds; the last condition must be True."""
        kept = [branch for branch in branches if branch[1] != sp.false]
        ends = [i for i, (_, condition) in enumerate(kept) if condition == sp.true]
        if not ends:
            raise OutsideDomain("the last condition of Piecewise must be True, or it has no value elsewhere")
        kept = kept[: ends[0] + 1]
        # SymPy's own evaluation solves the conditions for their variables.
        return kept[0][0] if len(kept) == 1 else self._call(sp.Piecewise, *kept, evaluate=False)

    def _call(self, kind: Any, *args: Any, **options: Any) -> Any:
        try:
            result = kind(*args, **options)
            if not options and not self._is_known(result):
                # tan(x + pi/2) becomes -cot(x), atan2(0, 1/x) a Heaviside function: keep what was written.
                result = kind(*args, evaluate=False)
        except (
            ArithmeticError,
            AttributeError,
            LookupError,
            NotImplementedError,
            TypeError,
            ValueError,
        ) as error:
            if isinstance(error, ExpressionError | OutsideDomain):
                raise
            raise ExpressionError(f"SymPy cannot evaluate {kind.__name__} of these arguments") from error
        return self.admit(result)

    def _is_known(self, expr: sp.Basic) -> bool:
        if expr in self._admitted:
            return True
        return isinstance(expr, _KNOWN) and all(self._is_known(arg) for arg in expr.args)

    def _order(self, left: sp.Expr, right: sp.Expr) -> int:
        """1 where left >= right always, -1 where left < right or they are equal, 0 where it depends."""
        values = self.enclose(self.sum([left, self.product([sp.S.NegativeOne, right])]))
        if values.low >= 0 and not values.is_zero:
            return 1
        if values.high <= 0:
            return -1
        if values.fixed:
            raise OutsideDomain("a comparison of two numbers that cannot be told apart")
        return 0

    def _vanishes(self, expr: sp.Expr) -> bool:
        """Whether 60 digits cannot tell the expression from 0 at any of five points of different size.

        This finds sin(x)**2 + cos(x)**2 - 1, which SymPy does not reduce. Expressions of pieces are left
        alone: they may well vanish at all the points and be something else further out.
        """
        if expr.is_Symbol or 0 not in self.enclose(expr) or self.enclose(expr).fixed or expr.has(*_PIECEWISE):
            return False
        symbols = sorted(expr.free_symbols, key=str)
        verdicts = []
        for scale in (0, 4, 8, 16, 32):
            draw = random.Random(scale)
            box = {symbol: exactly(draw.uniform(0.5, 2.5) / 2**scale) for symbol in symbols}
            try:
                verdicts.append(0 in Enclosure(box)(expr))
            except OutsideDomain:
                continue
        return bool(verdicts) and all(verdicts)

    def _bound_work(self, operands: Sequence[sp.Expr]) -> None:
        if sum(_bits(number) for operand in operands for number in _coefficients(operand)) > _MAX_WORK_BITS:
            raise ExpressionError(
                f"the numbers in one sum or product have over {_MAX_WORK_BITS} bits together"
            )

    def _bound_power(self, base: sp.Expr, exponent: sp.Rational) -> None:
        bits = max(map(_bits, _coefficients(base)), default=0)
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


def _require_base(base: Interval, exponent: Interval) -> None:
    if (base.high <= 0 and not base.is_zero) or (base.fixed and base.low < 0):
        raise OutsideDomain("the base of a fractional power is never positive, or cannot be told from 0")
    if base.is_zero and exponent.low <= 0:
        raise OutsideDomain("a power of 0 whose exponent may be negative")


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


def _sign_test(
    true: Callable[[Interval], bool], false: Callable[[Interval], bool]
) -> Callable[[Interval], bool | None]:
    return lambda difference: True if true(difference) else False if false(difference) else None


_DECIDED: dict[Any, Callable[[Interval], bool | None]] = {
    sp.Gt: _sign_test(lambda d: d.low > 0, lambda d: d.high <= 0),
    sp.Ge: _sign_test(lambda d: d.low >= 0, lambda d: d.high < 0),
    sp.Lt: _sign_test(lambda d: d.high < 0, lambda d: d.low >= 0),
    sp.Le: _sign_test(lambda d: d.high <= 0, lambda d: d.low > 0),
    sp.Eq: _sign_test(lambda d: d.is_zero, lambda d: 0 not in d),
    sp.Ne: _sign_test(lambda d: 0 not in d, lambda d: d.is_zero),
}
