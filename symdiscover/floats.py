"""SymPy expressions at many points at once in float64, in NumPy: quick looks, never proofs."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, reduce
from typing import Any

import mpmath
import numpy as np
import sympy as sp
from numpy.typing import NDArray
from sympy.core.relational import Relational
from sympy.logic.boolalg import And, BooleanAtom, Not, Or

from symdiscover.errors import OutsideDomain

Array = NDArray[np.float64]

_FUNCTIONS: dict[Any, Callable[..., Any]] = {
    sp.Abs: np.abs, sp.sign: np.sign, sp.exp: np.exp, sp.log: np.log, sp.sin: np.sin, sp.cos: np.cos, sp.tan: np.tan,
    sp.asin: np.arcsin, sp.acos: np.arccos, sp.atan: np.arctan, sp.atan2: np.arctan2, sp.sinh: np.sinh,
    sp.cosh: np.cosh, sp.tanh: np.tanh, sp.asinh: np.arcsinh, sp.acosh: np.arccosh, sp.atanh: np.arctanh,
    sp.floor: np.floor, sp.ceiling: np.ceil, sp.cot: lambda x: 1 / np.tan(x), sp.coth: lambda x: 1 / np.tanh(x),
    sp.sec: lambda x: 1 / np.cos(x), sp.csc: lambda x: 1 / np.sin(x), sp.sech: lambda x: 1 / np.cosh(x),
    sp.csch: lambda x: 1 / np.sinh(x), sp.Max: lambda *a: reduce(np.maximum, a), sp.Min: lambda *a: reduce(np.minimum, a),
    sp.Heaviside: lambda x, at_zero=0.5: np.heaviside(x, at_zero),
    sp.erf: np.vectorize(mpmath.fp.erf, otypes=[float]), sp.erfc: np.vectorize(mpmath.fp.erfc, otypes=[float]),
    sp.gamma: np.vectorize(mpmath.fp.gamma, otypes=[float]), sp.loggamma: np.vectorize(mpmath.fp.loggamma, otypes=[float]),
    sp.polygamma: np.vectorize(lambda m, x: float(mpmath.psi(int(m), x)), otypes=[float]),
}  # fmt: skip
_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip


def compiled(expressions: Sequence[sp.Expr], symbols: Sequence[sp.Symbol]) -> Callable[[Array], Array]:
    """A function from values of the symbols (..., n) to those of the expressions (..., k); shared parts count once.

    What is not real and finite is NaN or infinite there, without a warning.

    Raises
    ------
    OutsideDomain
        If an expression holds a function that has no float64 counterpart, such as the derivative of a jump.

    Examples
    --------
    >>> x, y = sp.symbols("x y", real=True)
    >>> compiled([x * sp.sin(y), sp.sqrt(x)], [x, y])(np.array([[1.0, 0.0], [4.0, np.pi / 2]]))
    array([[0., 1.],
           [4., 2.]])
    """
    program = _Program(symbols)
    slots = [program.slot(sp.sympify(expression, strict=True)) for expression in expressions]

    def evaluate(points: Array) -> Array:
        memory = [*(points[..., i] for i in range(len(symbols))), *program.memory]
        result = np.empty((*points.shape[:-1], len(slots)))
        with np.errstate(all="ignore"):
            for place, function, places in program.steps:
                memory[place] = function(*[memory[i] for i in places])
            for column, slot in enumerate(slots):
                result[..., column] = memory[slot]
        return result

    return evaluate


def evaluate_floats(expression: sp.Basic, values: Mapping[sp.Symbol, Any]) -> Any:
    """One expression at arrays of numbers that broadcast together; of a condition 1.0 where it holds.

    Examples
    --------
    >>> x, y = sp.symbols("x y", real=True)
    >>> evaluate_floats(sp.sqrt(x) + y, {x: np.array([4.0, 9.0]), y: 1.0})
    array([3., 4.])
    """
    listed = [np.asarray(value, dtype=np.float64) for value in values.values()]
    points = np.stack(np.broadcast_arrays(*listed), axis=-1) if listed else np.empty((0,))
    return _compiled(expression, tuple(values))(points)[..., 0]


@lru_cache(maxsize=256)
def _compiled(expression: sp.Basic, symbols: tuple[sp.Symbol, ...]) -> Callable[[Array], Array]:
    return compiled([expression], symbols)


class _Program:
    """Steps (place, function, places of its arguments), each after those it needs; the symbols have the first places."""

    def __init__(self, symbols: Sequence[sp.Symbol]) -> None:
        self.steps: list[tuple[int, Callable[..., Any], tuple[int, ...]]] = []
        self.memory: list[Any] = []  # numbers; None where a step writes
        self._places: dict[sp.Basic, int] = {symbol: i for i, symbol in enumerate(symbols)}
        self._first = len(symbols)

    def slot(self, node: sp.Basic) -> int:
        """The place of the node's value."""
        if node not in self._places:
            self._places[node] = self._new(node)
        return self._places[node]

    def _new(self, node: sp.Basic) -> int:
        if isinstance(node, BooleanAtom):
            return self._number(bool(node))
        if isinstance(node, sp.Expr) and not node.free_symbols:
            return self._number(_float(node))
        if isinstance(node, sp.Piecewise):
            places = [self.slot(part) for pair in node.args for part in pair]
            return self._step(_first_that_holds, *places)
        if node.is_Pow:
            return self._power(*node.args)
        if node.is_Add or node.is_Mul:
            function = operator.add if node.is_Add else operator.mul
            total, *rest = [self.slot(argument) for argument in node.args]
            for place in rest:
                total = self._step(function, total, place)
            return total
        return self._step(_operation(node), *[self.slot(argument) for argument in node.args])

    def _number(self, value: float) -> int:
        self.memory.append(value)
        return self._first + len(self.memory) - 1

    def _step(self, function: Callable[..., Any], *places: int) -> int:
        place = self._number(np.nan)
        self.steps.append((place, function, places))
        return place

    def _power(self, base: sp.Expr, exponent: sp.Expr) -> int:
        at = self.slot(base)
        if exponent == 2:
            return self._step(np.square, at)
        if exponent.is_Integer:
            power = self._step(operator.pow, at, self._number(abs(int(exponent))))
            return power if exponent > 0 else self._step(operator.truediv, self._number(1.0), power)
        if exponent.is_Rational and int(exponent.q) % 2:  # the real root, as in the generated code
            size = self._step(np.power, self._step(np.abs, at), self._number(float(exponent)))
            return self._step(operator.mul, size, self._step(np.sign, at)) if exponent.p % 2 else size
        return self._step(np.power, at, self.slot(exponent))


def _first_that_holds(*pairs: Any) -> Any:
    """The value of the first (value, condition) whose condition holds, NaN where none does."""
    result: Any = np.nan
    for value, condition in reversed(list(zip(pairs[::2], pairs[1::2], strict=True))):
        result = np.where(condition, value, result)
    return result


def _operation(node: sp.Basic) -> Callable[..., Any]:
    if isinstance(node, Relational):
        return _COMPARE[node.rel_op]
    if isinstance(node, And):
        return lambda *truths: reduce(np.logical_and, truths)
    if isinstance(node, Or):
        return lambda *truths: reduce(np.logical_or, truths)
    if isinstance(node, Not):
        return np.logical_not
    if node.func in _FUNCTIONS:
        return _FUNCTIONS[node.func]
    raise OutsideDomain(f"{node.func.__name__} has no values in float64")


def _float(node: sp.Expr) -> float:
    try:
        return float(node)
    except (TypeError, OverflowError) as error:
        raise OutsideDomain(f"{node} is not a real finite number") from error
