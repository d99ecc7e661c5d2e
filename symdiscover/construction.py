"""SymPy expressions built node by node, each of them finite, real and of bounded size.

SymPy evaluates while it builds, over the complex numbers and without a bound on the work. Here every
operation looks at the enclosures of its operands first: what is not finite and real is refused, what would be
large is refused before it is computed, and what their signs decide is not asked of SymPy.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import sympy as sp
from sympy.logic.boolalg import Boolean

from symdiscover.admission import MAX_EXPONENT, Admission
from symdiscover.enclosure import decide
from symdiscover.errors import ExpressionError, OutsideDomain
from symdiscover.interval import RULES, Interval

MAX_ARGUMENTS = 32
_EVALUATED_SIZE = 100


class Construction(Admission):
    """The operations of real arithmetic on SymPy expressions; one instance remembers what it has built.

    Raises
    ------
    OutsideDomain
        By every operation, where the result is nowhere finite and real.
    ExpressionError
        By every operation, where a limit is exceeded: exponents 64, 400 digits in a computed number, 32
        arguments of a maximum, 100 roots of numbers, 5,000 nodes times `scale`.

    Examples
    --------
    >>> real, x = Construction(), sp.Symbol("x", real=True)
    >>> real.power(x, sp.Rational(1, 3)), real.power(sp.Integer(-8), sp.Rational(1, 3))
    (Abs(x)**(1/3)*sign(x), -2)
    >>> real.power(sp.Integer(9), sp.Integer(10) ** 8)
    Traceback (most recent call last):
    symdiscover.errors.ExpressionError: an exponent is above the limit of 64 in absolute value
    """

    def sum(self, terms: Sequence[sp.Expr]) -> sp.Expr:
        self.bound_work(terms)
        return self._call(sp.Add, *terms)

    def product(self, factors: Sequence[sp.Expr]) -> sp.Expr:
        self.bound_work(factors)
        if sp.S.Zero in factors:
            return sp.S.Zero
        flat = [factor for operand in factors for factor in sp.Mul.make_args(operand)]
        pieces = Counter(factor for factor in flat if isinstance(factor, sp.Piecewise))
        if any(count > 1 for count in pieces.values()):
            powers = [self.power(piece, sp.Integer(count)) for piece, count in pieces.items()]
            factors = [*powers, *(factor for factor in flat if factor not in pieces)]
        return self._call(sp.Mul, *factors)

    def power(self, base: sp.Expr, exponent: sp.Expr) -> sp.Expr:
        """b**e, for e = p/q with q odd the real root: sign(b) |b|**e for p odd, |b|**e for p even."""
        sign, size = self.enclose(base), self.enclose(exponent)
        if size.fixed and max(abs(size.low), abs(size.high)) > MAX_EXPONENT:
            raise ExpressionError(f"an exponent is above the limit of {MAX_EXPONENT} in absolute value")
        if exponent in (0, 1):
            return base if exponent == 1 else sp.S.One
        if isinstance(base, sp.Piecewise):
            # SymPy would do this too, but with complex roots and by solving the conditions.
            return self.piecewise(
                [(self.power(value, exponent), condition) for value, condition in base.args]
            )
        if exponent.is_Rational and not exponent.is_Integer and exponent.q % 2 and sign.low < 0:
            # The base is written twice, and again in every root around this one.
            if 2 * self.size(base) > self.most_nodes:
                raise ExpressionError(f"more than {self.most_nodes} nodes with its real roots written out")
            root = self.power(self.magnitude(base), exponent)
            return root if exponent.p % 2 == 0 else self.product([self.signum(base), root])
        if not exponent.is_Integer:
            _require_base(sign, size)
            if isinstance(base, sp.Pow):
                return self._power_of_power(base, exponent)
        if exponent.is_Rational:
            self.bound_power(base, exponent)
            if isinstance(base, sp.Pow):
                return self.power(base.base, self.product([base.exp, exponent]))
            if isinstance(base, sp.Mul):
                return self._power_of_product(base, exponent)
            if isinstance(base, sp.Add):
                # There is nothing to evaluate, but SymPy asks first whether a term is infinite.
                return self._call(sp.Pow, base, exponent, evaluate=False)
            return self._call(sp.Pow, base, exponent)
        if base in (sp.S.Zero, sp.S.One):
            return base
        if base is sp.E:
            return self._call(sp.exp, exponent)
        return self._call(sp.Pow, base, exponent, evaluate=False)

    def _power_of_power(self, inner: sp.Pow, exponent: sp.Expr) -> sp.Expr:
        """(b**k)**e over the reals: |b|**(k e) for even k, else b**(k e), which is real for the same b.

        SymPy would look for the complex argument of b, in time that doubles with every level of nesting.
        """
        even = inner.exp.is_Integer and inner.exp % 2 == 0
        base = self.magnitude(inner.base) if even else inner.base
        return self.power(base, self.product([inner.exp, exponent]))

    def _power_of_product(self, base: sp.Mul, exponent: sp.Rational) -> sp.Expr:
        """(u v)**e = u**e v**e, for a root as far as u >= 0; what is left of the product stays together."""
        if exponent.is_Integer:
            return self.product([self.power(factor, exponent) for factor in base.args])
        outside, inside = [], []
        for factor in base.args:
            if factor.is_Rational and factor < -1:
                outside.append(-factor)
                inside.append(sp.S.NegativeOne)
            else:
                (outside if self.enclose(factor).low >= 0 else inside).append(factor)
        if not outside:
            return self._call(sp.Pow, base, exponent, evaluate=False)
        powers = [self.power(factor, exponent) for factor in outside]
        return self.product([*powers, self.power(self.product(inside), exponent)])

    def reciprocal(self, expr: sp.Expr) -> sp.Expr:
        return self.power(expr, sp.S.NegativeOne)

    def magnitude(self, expr: sp.Expr) -> sp.Expr:
        """|u|: u or -u where the enclosure decides."""
        values = self.enclose(expr)
        if values.low >= 0 or values.high <= 0:
            return expr if values.low >= 0 else self.product([sp.S.NegativeOne, expr])
        if values.fixed:
            raise OutsideDomain("the sign of a number that cannot be told from 0")
        if isinstance(expr, sp.Mul):
            # Out of the product come the factors with a sign and the powers, as they come out when alone.
            apart = [f for f in expr.args if self.enclose(f).low >= 0 or f.is_Rational or f.is_Pow]
            if apart:
                rest = self.product([f for f in expr.args if f not in apart])
                return self.product([*map(self.magnitude, apart), self.magnitude(rest)])
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
        if left.has(sp.Piecewise) or right.has(sp.Piecewise):
            raise ExpressionError("a Piecewise inside a condition")
        difference = self.sum([left, self.product([sp.S.NegativeOne, right])])
        values = self.enclose(difference)
        holds = decide(kind, values)
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
        if not options and issubclass(kind, sp.Function) and sum(map(self.size, args)) > _EVALUATED_SIZE:
            # SymPy's search for a simpler form of f(u) takes more than a second for some large u.
            options = {"evaluate": False}
        try:
            result = kind(*args, **options)
            if not options and not self.is_known(result):
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
        return self.admit(self._with_real_roots(result))

    def _with_real_roots(self, expr: Any) -> Any:
        """The product of real roots where SymPy has merged powers, as in exp(log(x)/3)."""
        if isinstance(expr, sp.Mul) and any(isinstance(factor, sp.Mul) for factor in expr.args):
            # SymPy leaves (-x*y)**3, the product of two merged powers, as a product within a product.
            expr = sp.Mul(*expr.args)
        factors = sp.Mul.make_args(expr)
        roots = [factor for factor in factors if self._is_complex_root(factor)]
        if not roots:
            return expr
        return self.product([self.power(f.base, f.exp) if f in roots else f for f in factors])

    def _is_complex_root(self, expr: sp.Basic) -> bool:
        if not (isinstance(expr, sp.Pow) and expr.exp.is_Rational and expr.exp.q % 2 and expr.exp.q > 1):
            return False
        return bool(self.enclose(expr.base).low < 0)

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


def _require_base(base: Interval, exponent: Interval) -> None:
    if (base.high <= 0 and not base.is_zero) or (base.fixed and base.low < 0):
        raise OutsideDomain("the base of a fractional power is never positive, or cannot be told from 0")
    if base.is_zero and exponent.low <= 0:
        raise OutsideDomain("a power of 0 whose exponent may be negative")
