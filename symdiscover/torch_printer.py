"""SymPy expressions as readable Python text that needs torch alone.

`generate_function` writes one function of tensors, `helper_sources` the few functions it may call. Nothing
is executed here and torch is not imported: the caller runs the text.

What the text computes:

- **Numbers.** Subtrees without variables become literals: integers and short fractions as they are,
  everything else the nearest double. Literals are Python scalars, so that float32 stays float32 and float64
  stays float64.
- **Real roots.** For p/q in lowest terms with q odd, x**(p/q) at x < 0 is the real root,
  sign(x)^p |x|^(p/q); with q even it is NaN.
- **Singular points.** x**p with p > 0 not an integer (the square root among them) at 0, and atan2 at the
  origin, have the derivatives 0, of every order. A tie of Max or Min gives each variable half; against a
  number the variable gets it all. Abs has derivative 0 at 0; sign, floor, ceiling and Heaviside everywhere.
  At a boundary between the pieces of a Piecewise the derivatives are those of the piece taken.
- **Pieces not taken.** Every function that may be singular or overflow, squares apart, sees a harmless
  argument there ("double where"), so that no NaN reaches a gradient. Outside all pieces the value is NaN.
- **Matrices.** A matrix symbol is a tensor of shape (..., m, n) and products are matrix products. An explicit
  SymPy matrix is stacked from its entries, so that gradients flow into them. SymPy's exp(W) is the matrix
  exponential.

>>> x, y = sp.symbols("x y", real=True)
>>> print(generate_function("f", [x, y], [sp.sqrt(2)*x + sp.log(y)], "An example.").source, end="")
def f(x, y):
    \"""An example.\"""
    return (1.4142135623730951*x + torch.log(y),)
"""

from __future__ import annotations

import keyword
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias

import sympy as sp
from sympy.core.function import AppliedUndef
from sympy.core.relational import Relational
from sympy.logic.boolalg import Boolean
from sympy.matrices.expressions.matexpr import MatrixElement
from sympy.printing.codeprinter import CodePrinter
from sympy.printing.precedence import PRECEDENCE

from symdiscover.errors import ExpressionError

Argument: TypeAlias = sp.Symbol | sp.MatrixSymbol
Output: TypeAlias = sp.Expr | sp.MatrixBase | sp.MatrixExpr

# SymPy function of one argument -> torch function of the same meaning on real numbers.
FUNCTIONS: dict[type, str] = {
    sp.Abs: "torch.abs",
    sp.acos: "torch.acos",
    sp.acosh: "torch.acosh",
    sp.asin: "torch.asin",
    sp.asinh: "torch.asinh",
    sp.atan: "torch.atan",
    sp.atanh: "torch.atanh",
    sp.ceiling: "torch.ceil",
    sp.cos: "torch.cos",
    sp.cosh: "torch.cosh",
    sp.erf: "torch.erf",
    sp.erfc: "torch.erfc",
    sp.erfinv: "torch.erfinv",
    sp.exp: "torch.exp",
    sp.floor: "torch.floor",
    sp.gamma: "gamma_function",
    sp.log: "torch.log",
    sp.loggamma: "log_gamma",
    sp.sign: "sign_of",
    sp.sin: "torch.sin",
    sp.sinh: "torch.sinh",
    sp.tan: "torch.tan",
    sp.tanh: "torch.tanh",
}
# SymPy function f -> torch function g with f(x) = 1/g(x).
RECIPROCALS: dict[type, str] = {
    sp.cot: "torch.tan",
    sp.coth: "torch.tanh",
    sp.csc: "torch.sin",
    sp.csch: "torch.sinh",
    sp.sec: "torch.cos",
    sp.sech: "torch.cosh",
}
# Arguments at which a function and its derivatives are harmless, for pieces that are not taken. Functions
# that are not listed are finite, with their derivatives, at every double (the poles of tan lie between them).
HARMLESS: dict[type, tuple[int, ...]] = {
    sp.acos: (0,),
    sp.acosh: (2,),
    sp.asin: (0,),
    sp.atan2: (1, 1),
    sp.atanh: (0,),
    sp.cosh: (0,),
    sp.cot: (1,),
    sp.coth: (1,),
    sp.csc: (1,),
    sp.csch: (1,),
    sp.erfinv: (0,),
    sp.exp: (0,),
    sp.gamma: (1,),
    sp.log: (1,),
    sp.loggamma: (1,),
    sp.Mod: (1, 1),
    sp.polygamma: (0, 1),
    sp.Pow: (1, 1),
    sp.sech: (0,),
    sp.sinh: (0,),
}

HELPERS: dict[str, str] = {
    "as_like": '''
def as_like(value, like):
    """`value`, a number or a tensor, as a tensor of the dtype and device of `like`; gradients flow."""
    if isinstance(value, torch.Tensor):
        return value.to(like)
    return like.new_full((), value)
''',
    "even_power": '''
def even_power(x, p):
    """|x|**p with p > 0: x**p for p = even/odd; at x = 0 every derivative is taken as 0."""
    return safe_power(torch.abs(x), p)
''',
    "gamma_function": '''
def gamma_function(x):
    """Gamma(x) = +-exp(log|Gamma(x)|); the sign alternates between the negative integers."""
    negative = (x < 0) & (torch.remainder(torch.floor(x), 2) == 1)
    return torch.where(negative, -1, 1) * torch.exp(torch.lgamma(x))
''',
    "general_power": '''
def general_power(x, y):
    """x**y; at x = 0 derivatives in y are taken as 0, and all of them where y > 0 is no integer."""
    zero = x == 0
    singular = zero & (y > 0) & (y != torch.floor(y))
    at_zero = torch.pow(torch.where(zero & ~singular, x, 1), y.detach())
    elsewhere = torch.pow(torch.where(zero, 1, x), y)
    return torch.where(singular, 0, torch.where(zero, at_zero, elsewhere))
''',
    "log_gamma": '''
def log_gamma(x):
    """log Gamma(x) for x > 0; NaN for x < 0, where it is not real."""
    negative = x < 0
    return torch.where(negative, torch.nan, torch.lgamma(torch.where(negative, 1, x)))
''',
    "matrix_trace": '''
def matrix_trace(w):
    """Trace of w (..., n, n), shape (...)."""
    return torch.diagonal(w, dim1=-2, dim2=-1).sum(-1)
''',
    "modulo": '''
def modulo(x, y):
    """x - y*floor(x/y) for a number x and a tensor y."""
    return torch.remainder(as_like(x, y), y)
''',
    "odd_power": '''
def odd_power(x, p):
    """sign(x) |x|**p with p > 0: the real x**p for p = odd/odd; at x = 0 every derivative is taken as 0."""
    return torch.where(x < 0, -1, 1) * safe_power(torch.abs(x), p)
''',
    "polar_angle": '''
def polar_angle(y, x):
    """Angle of the point (x, y) in (-pi, pi]; at the origin 0, and every derivative is taken as 0."""
    y, x = (as_like(y, x), x) if isinstance(x, torch.Tensor) else (y, as_like(x, y))
    origin = (x == 0) & (y == 0)
    return torch.atan2(torch.where(origin, 0, y), torch.where(origin, 1, x))
''',
    "root": '''
def root(gap, low, high, halvings):
    """The t in (low, high) at which an increasing function is 0; gap(t) is the function and its derivative there."""
    # Halvings find t; two of Newton's steps carry derivatives up to the third order. Where the function is NaN, so is t.
    bottom, top = low.detach(), high.detach()
    with torch.no_grad():
        for _ in range(halvings):  # an infinite end is first found by doublings
            middle = torch.where(torch.isinf(top), 2 * bottom + 1, bottom + (top - bottom) / 2)
            below = gap(middle)[0] < 0
            bottom, top = torch.where(below, middle, bottom), torch.where(below, top, middle)
    t = top
    for _ in range(2):
        value, slope = gap(t)
        steep = slope > 0
        step = value / torch.where(steep, slope, 1)
        small = steep & (step.detach().abs() <= 1e-3 * t.detach().abs())
        t = torch.where(value.isnan(), value, t - torch.where(small, step, 0))
    return t
''',
    "safe_power": '''
def safe_power(x, p):
    """x**p with p > 0 no integer, NaN for x < 0; at x = 0 every derivative is taken as 0."""
    zero = x == 0
    return torch.where(zero, 0, torch.pow(torch.where(zero, 1, x), p))
''',
    "safe_sqrt": '''
def safe_sqrt(x):
    """Square root, NaN for x < 0; at x = 0 every derivative is taken as 0."""
    zero = x == 0
    return torch.where(zero, 0, torch.sqrt(torch.where(zero, 1, x)))
''',
    "sign_of": '''
def sign_of(x):
    """Sign of x, 0 at 0; NaN stays NaN."""
    return torch.where(x == x, torch.sign(x), x)
''',
    "stack_matrix": '''
def stack_matrix(rows, like):
    """Stack m rows of n entries, tensors (...) or numbers, to (..., m, n); gradients flow into them."""
    entries = [e if isinstance(e, torch.Tensor) else torch.full_like(like, e) for row in rows for e in row]
    return torch.stack(torch.broadcast_tensors(*entries), -1).unflatten(-1, (len(rows), len(rows[0])))
''',
    "unit_step": '''
def unit_step(x, at_zero):
    """0 for x < 0, `at_zero` at 0 and 1 for x > 0; NaN stays NaN."""
    return torch.where(x == 0, at_zero, 0.5 * (sign_of(x) + 1))
''',
}

_CALLS = re.compile(rf"\b({'|'.join(HELPERS)})\(")
_READABLE = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}")
# Listed, not read off the module builtins: notebooks and versions add to that, and the text must not change.
_BUILTINS = """
    abs aiter all anext any ascii bin bool breakpoint bytearray bytes callable chr classmethod compile
    complex copyright credits delattr dict dir divmod enumerate eval exec exit filter float format
    frozenset getattr globals hasattr hash help hex id input int isinstance issubclass iter len license
    list locals map max memoryview min next object oct open ord pow print property quit range repr
    reversed round set setattr slice sorted staticmethod str sum super tuple type vars zip
    BaseExceptionGroup Ellipsis ExceptionGroup GeneratorExit KeyboardInterrupt NotImplemented
    StopAsyncIteration StopIteration SystemExit
"""
_EXCEPTION = re.compile(r"([A-Z]\w*)?(Error|Exception|Warning)")
_RESERVED = frozenset(_BUILTINS.split()) | frozenset(keyword.kwlist) | frozenset(HELPERS) | {"torch"}
_DIGITS = 30  # of a folded constant, before it is rounded to a double
_ROUNDING = sp.Float(10) ** -25
_EXACT = 2**53  # integers below it are doubles too
_WIDTH = 92  # of a generated line, before the indentation of the body


@dataclass(frozen=True)
class Generated:
    """One generated Python function.

    Attributes
    ----------
    name: of the function.
    source: `def name(x, y):` with its docstring and its return of a tuple, one value per output.
    helpers: names of the helper functions it calls; `helper_sources` gives their text.
    arithmetic: True where it uses only + - * /, integer powers and powers of positive symbols, and so works
        on Python floats and NumPy arrays too.
    """

    name: str
    source: str
    helpers: frozenset[str]
    arithmetic: bool


def safe_names(symbols: Iterable[Argument]) -> dict[Argument, str]:
    """A Python identifier for each symbol, all different: its own name if that is plain, else v0, v1, ...

    Plain is an ASCII identifier of at most 40 characters that starts with a letter and is no keyword, builtin
    or helper.

    >>> safe_names(sp.symbols("x lambda y'"))
    {x: 'x', lambda: 'v0', y': 'v1'}
    """
    listed = list(dict.fromkeys(symbols))
    names: dict[Argument, str] = {}
    for symbol in listed:
        if _is_plain(symbol.name) and symbol.name not in names.values():
            names[symbol] = symbol.name
    fresh = _numbered("v", names.values())
    return {symbol: names[symbol] if symbol in names else next(fresh) for symbol in listed}


def helper_sources(helpers: Iterable[str]) -> str:
    """Text of the helper functions named, and of those they call, in alphabetical order.

    Raises
    ------
    ExpressionError: if there is no helper of that name.
    """
    needed: set[str] = set()
    waiting = list(helpers)
    while waiting:
        name = waiting.pop()
        if name not in HELPERS:
            raise ExpressionError(f"{name!r} is no helper; there are {', '.join(HELPERS)}")
        if name not in needed:
            needed.add(name)
            waiting += _CALLS.findall(HELPERS[name])
    return "\n\n".join(HELPERS[name].lstrip("\n") for name in sorted(needed))


def generate_function(
    name: str,
    arguments: Sequence[Argument],
    outputs: Output | Sequence[Output],
    docstring: str = "",
    constants: Sequence[sp.Symbol] = (),
) -> Generated:
    """Write `def name(*arguments, *, constants)` that returns the tuple of the outputs.

    Parameters
    ----------
    name: a Python identifier.
    arguments: symbols, passed as tensors (...) of one floating dtype that broadcast together, and matrix
        symbols, passed as tensors (..., m, n).
    outputs: scalars (...) and matrices (..., m, n). A scalar without symbols comes back as a plain number.
    docstring: any text; it is escaped.
    constants: symbols that become keyword-only parameters, passed as numbers or tensors. (A function without
        arguments that is not `arithmetic` needs tensors.)

    Parameter names are those of `safe_names([*arguments, *constants])`.

    Raises
    ------
    ExpressionError: for a function that has no counterpart, a symbol that is not declared, a constant that is
        not real or too large for a double.

    >>> x, a = sp.symbols("x a")
    >>> print(generate_function("g", [x], [(x - a)**2, x**sp.Rational(1, 3)], constants=[a]).source, end="")
    def g(x, *, a):
        \"""Values of 2 expressions.\"""
        a = as_like(a, x)
        return ((-a + x)**2, odd_power(x, 1/3))
    """
    if not _is_plain(name):
        raise ExpressionError(f"{name!r} cannot be a function's name: use letters, digits, underscores")
    listed = [outputs] if isinstance(outputs, sp.Basic | sp.MatrixBase) else list(outputs)
    declared = [*arguments, *constants]
    names = _declared_names(declared, listed)
    fresh = {symbol: _renamed(symbol, text) for symbol, text in names.items()}
    changed = {symbol: renamed for symbol, renamed in fresh.items() if symbol != renamed}
    lower = _Lowering()
    lowered = [lower(_immutable(output).xreplace(changed)) for output in listed]
    reference = _reference([fresh[symbol] for symbol in arguments or constants])
    body = _statements(lowered, names.values(), reference, _sizes([fresh[symbol] for symbol in arguments]))

    takes_matrix = any(isinstance(symbol, sp.MatrixSymbol) for symbol in declared)
    arithmetic = not takes_matrix and not any("torch." in line or _CALLS.search(line) for line in body)
    if arguments and not arithmetic:
        used = set().union(*(output.free_symbols for output in listed))
        body[:0] = [f"{names[c]} = as_like({names[c]}, {reference})" for c in constants if c in used]
    parameters = [names[symbol] for symbol in arguments]
    if constants:
        parameters += ["*", *(names[symbol] for symbol in constants)]
    text = docstring.strip() or f"Values of {len(listed)} expression{'s' * (len(listed) != 1)}."
    lines = [f"def {name}({', '.join(parameters)}):", *_indented(_quoted(text)), *_indented(body)]
    helpers = frozenset(call for line in body for call in _CALLS.findall(line))
    return Generated(name, "\n".join(lines) + "\n", helpers, arithmetic)


def fold_constant(expr: sp.Expr) -> sp.Number:
    """The rational number itself, or the real value of an expression without symbols, to 30 digits.

    A value that cannot be told from zero in 200 digits is zero. One that is built on such a zero, as its
    inverse, changes between 100 and 200 digits and is refused.

    Raises
    ------
    ExpressionError: if it is not a real number, or its digits cannot be found.

    >>> fold_constant(sp.Rational(2, 3)), sp.N(fold_constant(sp.sqrt(2)*sp.pi), 5)
    (2/3, 4.4429)
    """
    if isinstance(expr, sp.Number):
        return expr
    if unknown := expr.atoms(AppliedUndef):
        raise _unsupported(min(unknown, key=str))
    try:
        coarse, fine = (expr.evalf(_DIGITS, maxn=digits).as_real_imag() for digits in (100, 200))
        real, imaginary = fine
        # Real numbers written with complex roots keep an imaginary part of the size of the rounding.
        is_real = abs(imaginary) <= _ROUNDING * abs(real)
        unresolved = abs(coarse[0] - real) > _ROUNDING * abs(real)
        is_zero = unresolved and max(abs(coarse[0]), abs(real), abs(imaginary)) < sp.Float(10) ** -50
    except (ArithmeticError, AttributeError, NotImplementedError, TypeError, ValueError) as error:
        raise ExpressionError(f"the constant {_short(expr)} has no numerical value") from error
    if is_zero:
        return sp.S.Zero
    if is_real not in (True, sp.true) or not isinstance(real, sp.Number):
        raise ExpressionError(f"the constant {_short(expr)} is not real")
    if unresolved:
        raise ExpressionError(f"the digits of the constant {_short(expr)} cancel: simplify it")
    return real


class Where(sp.Expr):  # type: ignore[misc]
    """Where(condition, value, otherwise): inert, so that no rule of SymPy rewrites it."""

    is_commutative = True


class Otherwise(Boolean):  # type: ignore[misc]
    """The negation of a condition. Unlike SymPy's Not it holds too where NaN makes every comparison false."""


class Taken(Boolean):  # type: ignore[misc]
    """The conjunction of conditions: here one piece is the one taken. Inert."""


class MatrixExponential(sp.MatrixExpr):  # type: ignore[misc]
    """exp(W) of a square matrix expression, as a matrix.

    SymPy's own exp(W) is no matrix expression: it can be neither multiplied with one nor transposed.

    >>> w, v = sp.MatrixSymbol("w", 3, 3), sp.MatrixSymbol("v", 3, 1)
    >>> (MatrixExponential(w)*v).shape
    (3, 1)
    """

    @property
    def shape(self) -> tuple[sp.Expr, sp.Expr]:
        return self.args[0].shape


class Stacked(sp.MatrixExpr):  # type: ignore[misc]
    """Stacked(m, n, *entries): an explicit m by n matrix, row by row, as an inert expression."""

    @property
    def shape(self) -> tuple[sp.Expr, sp.Expr]:
        return self.args[0], self.args[1]


class _Lowering:
    """Rewrite an expression for the printer: constants folded, pieces guarded, matrices marked."""

    def __init__(self) -> None:
        self._known: dict[tuple[sp.Basic, tuple[Boolean, ...]], sp.Basic] = {}

    def __call__(self, expr: sp.Basic, taken: tuple[Boolean, ...] = ()) -> Any:
        """Lower `expr`, used only where all the conditions in `taken` hold."""
        key = (expr, taken)
        if key not in self._known:
            self._known[key] = self._lower(expr, taken)
        return self._known[key]

    def _lower(self, expr: sp.Basic, taken: tuple[Boolean, ...]) -> sp.Basic:
        if isinstance(expr, Boolean) and not isinstance(expr, sp.Symbol):
            return self._condition(expr)
        if isinstance(expr, sp.MatrixBase):
            return Stacked(*expr.shape, *(self(entry, taken) for entry in expr.flat()))
        if isinstance(expr, sp.Symbol | sp.MatrixSymbol | sp.Identity | sp.ZeroMatrix | sp.OneMatrix):
            return expr
        if isinstance(expr, MatrixElement):
            return expr.func(self(expr.args[0], taken), *expr.args[1:])
        if _is_constant(expr):
            return fold_constant(expr)
        if isinstance(expr, sp.Piecewise):
            return self._piecewise(expr, taken)
        if TorchPrinter.method_for(expr) is None:
            raise _unsupported(expr)
        if isinstance(expr, sp.Add | sp.Mul):
            return self._sum_or_product(expr, taken)
        args = [self(arg, taken) for arg in expr.args]
        takes_matrices = isinstance(expr, sp.MatrixExpr | sp.Trace | sp.Determinant)
        if not takes_matrices and any(arg.is_Matrix for arg in args):
            return self._function_of_matrix(expr, args)
        if isinstance(expr, sp.Pow) and isinstance(args[1], sp.Float):
            args[1] = sp.Rational(args[1])
        if taken:
            args = self._guarded(expr, args, taken)
        return expr.func(*args)

    def _condition(self, expr: Boolean) -> Boolean:
        """Comparisons carry no gradient: nothing in them needs a guard."""
        if expr in (sp.true, sp.false):
            return expr
        if not isinstance(expr, Relational | sp.And | sp.Or | sp.Not | sp.Xor):
            raise _unsupported(expr)
        if not expr.free_symbols:
            raise ExpressionError(f"cannot decide the condition {_short(expr)} between constants")
        part = self if isinstance(expr, Relational) else self._condition  # a bare symbol is no condition
        return expr.func(*(part(arg) for arg in expr.args))

    def _sum_or_product(self, expr: sp.Add | sp.Mul, taken: tuple[Boolean, ...]) -> sp.Basic:
        """Fold the constants of one sum or product to one number."""
        constants = [arg for arg in expr.args if _is_constant(arg)]
        others = [self(arg, taken) for arg in expr.args if not _is_constant(arg)]
        if any(not isinstance(constant, sp.Number) for constant in constants):
            constants = [fold_constant(expr.func(*constants))]
        func = expr.func
        if any(other.is_Matrix for other in others):
            func = sp.MatMul if isinstance(expr, sp.Mul) else sp.MatAdd
        return func(*constants, *others)

    def _function_of_matrix(self, expr: sp.Basic, args: list[Any]) -> sp.Basic:
        if isinstance(expr, sp.exp):
            return MatrixExponential(args[0])
        if isinstance(expr, sp.Pow):
            return sp.MatPow(*args)
        raise ExpressionError(f"{_short(expr)}: of the functions of a matrix only exp and powers are known")

    def _guarded(self, expr: sp.Basic, args: list[Any], taken: tuple[Boolean, ...]) -> list[Any]:
        condition = taken[0] if len(taken) == 1 else Taken(*taken)
        harmless: tuple[int, ...] = HARMLESS.get(type(expr), ())
        if isinstance(expr, sp.Pow):
            base, exponent = args
            is_root = isinstance(exponent, sp.Number) and 0 < exponent < 1
            if exponent == 2 or (is_root and base.is_nonnegative):
                return args
            if isinstance(base, sp.Number):
                harmless = (1, 0)
        guards = [sp.Integer(value) for value in harmless] or args
        return [
            arg if isinstance(arg, sp.Number) or arg == guard else Where(condition, arg, guard)
            for arg, guard in zip(args, guards, strict=True)
        ]

    def _piecewise(self, expr: sp.Piecewise, taken: tuple[Boolean, ...]) -> sp.Basic:
        """where(c1, e1, where(c2, e2, ...)), NaN outside; each piece is guarded where it is not taken."""
        pieces: list[tuple[Any, Boolean]] = []
        here = taken
        for value, condition in expr.args:
            holds = self._condition(condition)
            if holds == sp.false:
                continue
            last = holds == sp.true
            pieces.append((self(value, here if last else (*here, holds)), holds))
            if last:
                break
            here = (*here, Otherwise(holds))
        result: Any = sp.nan
        for value, holds in reversed(pieces):
            if value.is_Matrix:
                raise ExpressionError("a Piecewise of matrices: write a matrix of Piecewise entries")
            result = value if holds == sp.true else Where(holds, value, result)
        return result


class TorchPrinter(CodePrinter):  # type: ignore[misc]
    """Text of a lowered expression: one method per SymPy class, or one row of FUNCTIONS or RECIPROCALS.

    Only classes that are named here are printed; SymPy's own fallbacks, which would write something for
    anything, are not reached.

    Parameters
    ----------
    names: of the parameters and temporaries; any other symbol is an error.
    reference: text of a tensor that has the dtype and device of the inputs.
    sizes: text of the symbolic dimensions of the matrix arguments.
    """

    def __init__(self, names: Iterable[str], reference: str | None, sizes: Mapping[sp.Expr, str]) -> None:
        super().__init__()
        self._names = frozenset(names)
        self._reference = reference
        self._sizes = sizes

    @property
    def reference(self) -> str:
        if self._reference is None:
            raise ExpressionError("a function without arguments cannot return a matrix or a Piecewise")
        return self._reference

    @classmethod
    def method_for(cls, expr: sp.Basic) -> str | None:
        """Name of the method that prints `expr`; None if there is none.

        An undefined function may bear any name, that of a SymPy class included, so it is refused first.
        """
        if isinstance(expr, AppliedUndef):
            return None
        if type(expr) in FUNCTIONS or type(expr) in RECIPROCALS:
            return "_print_function"
        for kind in type(expr).__mro__:
            if f"_print_{kind.__name__}" in vars(TorchPrinter):
                return f"_print_{kind.__name__}"
        return None

    def text(self, expr: sp.Basic) -> str:
        """Print `expr`, without the parentheses a condition has inside a larger expression."""
        return self._outermost(self._print(expr))

    def _print(self, expr: sp.Basic, **_: Any) -> str:
        method = self.method_for(expr)
        if method is None:
            raise _unsupported(expr)
        return str(getattr(self, method)(expr))

    def parenthesize(self, item: sp.Basic, level: float, strict: bool = False) -> str:
        """A rational that is written as a decimal needs no parentheses."""
        if isinstance(item, sp.Rational) and item.is_nonnegative and "/" not in (text := self._print(item)):
            return text
        return str(super().parenthesize(item, level, strict))

    @staticmethod
    def _outermost(text: str) -> str:
        """Strip one pair of parentheses that enclose all of `text`."""
        if not text.startswith("("):
            return text
        depth = 0
        for position, character in enumerate(text):
            depth += {"(": 1, ")": -1}.get(character, 0)
            if depth == 0:
                return text[1:-1] if position == len(text) - 1 else text
        return text

    # Numbers and symbols

    def _print_Symbol(self, expr: sp.Symbol) -> str:
        if expr.name not in self._names:
            raise ExpressionError(f"the symbol {expr.name!r} is not declared")
        return str(expr.name)

    def _print_Rational(self, expr: sp.Rational) -> str:
        exact = Fraction(int(expr.p), int(expr.q))
        if exact.denominator == 1 and abs(exact) < _EXACT:
            return str(exact.numerator)
        decimal = _double(expr, exact)
        fraction = f"{exact.numerator}/{exact.denominator}"
        if len(decimal) > 8 and len(fraction) <= 16 and Fraction(decimal) != exact:
            return fraction
        return decimal

    def _print_Float(self, expr: sp.Float) -> str:
        return _double(expr, Fraction(*map(int, sp.Rational(expr).as_numer_denom())))

    def _print_Infinity(self, expr: sp.Expr) -> str:
        return "torch.inf"

    def _print_NegativeInfinity(self, expr: sp.Expr) -> str:
        return "-torch.inf"

    def _print_NaN(self, expr: sp.Expr) -> str:
        return "torch.nan"

    # Arithmetic; sums and products are SymPy's

    _print_Add = CodePrinter._print_Add
    _print_Mul = CodePrinter._print_Mul

    def _print_Pow(self, expr: sp.Pow) -> str:
        base, exponent = expr.args
        if isinstance(base, sp.Number):
            return f"torch.pow({self._print(base)}, {self._print(exponent)})"
        if not isinstance(exponent, sp.Number):
            return f"general_power({self._print(base)}, {self._print(exponent)})"
        if exponent.is_negative:
            inverse = sp.Pow(base, -exponent, evaluate=False) if exponent != -1 else base
            return f"1/{self.parenthesize(inverse, PRECEDENCE['Mul'])}"
        if isinstance(exponent, sp.Integer):
            return f"{self.parenthesize(base, PRECEDENCE['Pow'])}**{self._print(exponent)}"
        if isinstance(base, sp.Symbol) and base.is_positive:  # a constant: no branch, and no singular point
            return f"{self._print(base)}**{self.parenthesize(exponent, PRECEDENCE['Pow'])}"
        return self._root(self._print(base), sp.Rational(exponent))

    def _root(self, base: str, exponent: sp.Rational) -> str:
        """base**exponent for a positive exponent p/q that is no integer."""
        if exponent == sp.S.Half:
            return f"safe_sqrt({base})"
        if exponent.q % 2 == 0:
            return f"safe_power({base}, {self._print(exponent)})"
        return f"{'even' if exponent.p % 2 == 0 else 'odd'}_power({base}, {self._print(exponent)})"

    # Functions

    def _print_function(self, expr: sp.Expr) -> str:
        argument = self.text(expr.args[0])
        if type(expr) in RECIPROCALS:
            return f"(1/{RECIPROCALS[type(expr)]}({argument}))"
        return f"{FUNCTIONS[type(expr)]}({argument})"

    def _print_atan2(self, expr: sp.Expr) -> str:
        return f"polar_angle({self._print(expr.args[0])}, {self._print(expr.args[1])})"

    def _print_Heaviside(self, expr: sp.Expr) -> str:
        return f"unit_step({self._print(expr.args[0])}, {self._print(expr.args[1])})"

    def _print_Mod(self, expr: sp.Expr) -> str:
        function = "modulo" if isinstance(expr.args[0], sp.Number) else "torch.remainder"
        return f"{function}({self._print(expr.args[0])}, {self._print(expr.args[1])})"

    def _print_polygamma(self, expr: sp.Expr) -> str:
        order, argument = expr.args
        if not isinstance(order, sp.Integer):
            raise _unsupported(expr)
        if order == 1:  # torch.polygamma(1, x) has ten digits only
            return f"torch.special.zeta(2, {self.text(argument)})"
        return f"torch.polygamma({self._print(order)}, {self.text(argument)})"

    def _print_Max(self, expr: sp.Expr) -> str:
        return self._extremum(expr, "torch.maximum", "min")

    def _print_Min(self, expr: sp.Expr) -> str:
        return self._extremum(expr, "torch.minimum", "max")

    def _extremum(self, expr: sp.Expr, function: str, bound: str) -> str:
        """torch.maximum takes tensors only; against a number it is a clamp."""
        numbers = [arg for arg in expr.args if isinstance(arg, sp.Number)]
        first, *others = (self.text(arg) for arg in expr.args if not isinstance(arg, sp.Number))
        for other in others:
            first = f"{function}({first}, {other})"
        for number in numbers:
            first = f"torch.clamp({first}, {bound}={self._print(number)})"
        return first

    # Conditions, always in parentheses: & binds more tightly than <

    def _print_Where(self, expr: Where) -> str:
        condition, value, otherwise = expr.args
        first = self.text(value)
        if isinstance(value, sp.Number) and isinstance(otherwise, sp.Number):
            first = f"torch.full_like({self.reference}, {first})"  # two numbers alone would lose the dtype
        return f"torch.where({self.text(condition)}, {first}, {self.text(otherwise)})"

    def _print_Relational(self, expr: Relational) -> str:
        return f"({self._print(expr.lhs)} {expr.rel_op} {self._print(expr.rhs)})"

    def _print_And(self, expr: Boolean) -> str:
        return f"({' & '.join(map(self._print, expr.args))})"

    def _print_Or(self, expr: Boolean) -> str:
        return f"({' | '.join(map(self._print, expr.args))})"

    def _print_Xor(self, expr: Boolean) -> str:
        return f"({' ^ '.join(map(self._print, expr.args))})"

    def _print_Not(self, expr: Boolean) -> str:
        return f"~{self._print(expr.args[0])}"

    _print_Otherwise = _print_Not
    _print_Taken = _print_And

    # Matrices: the last two axes

    def _print_MatrixSymbol(self, expr: sp.MatrixSymbol) -> str:
        return self._print_Symbol(expr)

    def _print_MatrixElement(self, expr: MatrixElement) -> str:
        parent, *indices = expr.args
        if not all(isinstance(index, sp.Integer) for index in indices):
            raise ExpressionError(f"the index of {_short(expr)} is no integer")
        return f"{self._operand(parent)}[..., {indices[0]}, {indices[1]}]"

    def _print_Stacked(self, expr: Stacked) -> str:
        rows, columns, *entries = expr.args
        if not entries:
            raise ExpressionError("a matrix without entries")
        texts = [self.text(entry) for entry in entries]
        lines = [", ".join(texts[i : i + int(columns)]) for i in range(0, int(rows * columns), int(columns))]
        return f"stack_matrix([[{'], ['.join(lines)}]], {self.reference})"

    def _print_MatAdd(self, expr: sp.MatAdd) -> str:
        terms = (self._print(arg) if isinstance(arg, sp.MatMul) else self._operand(arg) for arg in expr.args)
        return " + ".join(terms).replace(" + -", " - ")

    def _print_MatMul(self, expr: sp.MatMul) -> str:
        matrices = [self._operand(arg) for arg in expr.args if arg.is_Matrix]
        product = " @ ".join(matrices)
        factor = sp.Mul(*(arg for arg in expr.args if not arg.is_Matrix))
        if factor == 1:
            return product
        if len(matrices) > 1:
            product = f"({product})"
        return f"-{product}" if factor == -1 else f"{self._scalar(factor)}*{product}"

    def _print_HadamardProduct(self, expr: sp.MatrixExpr) -> str:
        return "*".join(self._operand(arg) for arg in expr.args)

    def _print_HadamardPower(self, expr: sp.MatrixExpr) -> str:
        base, exponent = expr.args
        if not isinstance(exponent, sp.Rational) or not exponent.is_positive:
            raise _unsupported(expr)
        if isinstance(exponent, sp.Integer):
            return f"{self._operand(base)}**{self._print(exponent)}"
        return self._root(self.text(base), exponent)

    def _print_MatPow(self, expr: sp.MatPow) -> str:
        base, exponent = expr.args
        if not isinstance(exponent, sp.Integer):
            raise _unsupported(expr)
        return f"torch.linalg.matrix_power({self.text(base)}, {self._print(exponent)})"

    def _print_Inverse(self, expr: sp.MatrixExpr) -> str:
        return f"torch.linalg.inv({self.text(expr.args[0])})"

    def _print_Transpose(self, expr: sp.MatrixExpr) -> str:
        return f"{self._operand(expr.args[0])}.mT"

    def _print_MatrixExponential(self, expr: MatrixExponential) -> str:
        return f"torch.matrix_exp({self.text(expr.args[0])})"

    def _print_Trace(self, expr: sp.Expr) -> str:
        return f"matrix_trace({self.text(expr.args[0])})"

    def _print_Determinant(self, expr: sp.Expr) -> str:
        return f"torch.linalg.det({self.text(expr.args[0])})"

    def _print_Identity(self, expr: sp.MatrixExpr) -> str:
        return f"torch.eye({self._size(expr.shape[0])}, {self._options()})"

    def _print_ZeroMatrix(self, expr: sp.MatrixExpr) -> str:
        return f"torch.zeros({self._size(expr.shape[0])}, {self._size(expr.shape[1])}, {self._options()})"

    def _print_OneMatrix(self, expr: sp.MatrixExpr) -> str:
        return f"torch.ones({self._size(expr.shape[0])}, {self._size(expr.shape[1])}, {self._options()})"

    def _size(self, size: sp.Expr) -> str:
        if isinstance(size, sp.Integer):
            return str(size)
        if size not in self._sizes:
            raise ExpressionError(f"no matrix argument has the dimension {_short(size)}")
        return self._sizes[size]

    def _options(self) -> str:
        return f"dtype={self.reference}.dtype, device={self.reference}.device"

    def _operand(self, expr: sp.Basic) -> str:
        """A matrix as an operand of @, * or .mT."""
        text = self._print(expr)
        open_ended = isinstance(expr, sp.MatAdd | sp.MatMul | sp.HadamardProduct | sp.HadamardPower)
        return f"({text})" if open_ended else text

    def _scalar(self, expr: sp.Expr) -> str:
        """A scalar (...) as a factor of matrices (..., m, n)."""
        if isinstance(expr, sp.Number):
            sign = "-" if expr.is_negative else ""
            return sign + self.parenthesize(abs(expr), PRECEDENCE["Mul"])
        text = self._print(expr)
        return f"{text}[..., None, None]" if isinstance(expr, sp.Symbol) else f"({text})[..., None, None]"


def _is_plain(name: str) -> bool:
    return bool(_READABLE.fullmatch(name)) and name not in _RESERVED and not _EXCEPTION.fullmatch(name)


def _is_constant(expr: sp.Basic) -> bool:
    return isinstance(expr, sp.Expr) and not expr.is_Matrix and not expr.free_symbols


def _numbered(letter: str, taken: Iterable[str]) -> Iterator[str]:
    """letter0, letter1, ... without those that are taken."""
    used = frozenset(taken)
    index = 0
    while True:
        if (name := f"{letter}{index}") not in used:
            yield name
        index += 1


def _short(expr: sp.Basic) -> str:
    text = str(expr)
    return text if len(text) <= 60 else text[:57] + "..."


def _unsupported(expr: sp.Basic) -> ExpressionError:
    name = expr.func.__name__ if isinstance(expr, AppliedUndef) else type(expr).__name__
    return ExpressionError(f"{name} has no counterpart in torch: {_short(expr)}")


def _double(expr: sp.Number, exact: Fraction) -> str:
    """The nearest double, as text that reads back to the same bits."""
    try:
        value = exact.numerator / exact.denominator
    except OverflowError:
        value = math.inf
    if math.isinf(value) or (value == 0 and exact != 0):
        raise ExpressionError(f"the constant {_short(expr)} is out of the range of a double")
    return repr(value)


def _declared_names(declared: Sequence[Argument], outputs: Sequence[Output]) -> dict[Argument, str]:
    for symbol in declared:
        if not isinstance(symbol, sp.Symbol | sp.MatrixSymbol):
            raise ExpressionError(f"{_short(symbol)} is neither a symbol nor a matrix symbol")
        if isinstance(symbol, sp.Symbol) and not symbol.is_commutative:
            raise ExpressionError(f"the symbol {symbol.name!r} does not commute: use a matrix symbol")
    if len(set(declared)) != len(declared):
        raise ExpressionError("a symbol is declared twice")
    dimensions = {size for s in declared if isinstance(s, sp.MatrixSymbol) for size in s.shape}
    unknown = set().union(*(output.free_symbols for output in outputs)) - set(declared) - dimensions
    if unknown:
        raise ExpressionError(f"undeclared symbols: {', '.join(sorted(symbol.name for symbol in unknown))}")
    return safe_names(declared)


def _renamed(symbol: Argument, name: str) -> Argument:
    if isinstance(symbol, sp.MatrixSymbol):
        return sp.MatrixSymbol(name, *symbol.shape)
    return sp.Symbol(name, **symbol.assumptions0)


def _immutable(output: Output) -> sp.Basic:
    return output.as_immutable() if isinstance(output, sp.MatrixBase) else sp.sympify(output, strict=True)


def _reference(declared: Sequence[Argument]) -> str | None:
    """Text of a scalar tensor among the parameters."""
    for symbol in declared:
        if isinstance(symbol, sp.Symbol):
            return str(symbol.name)
    return f"{declared[0].name}[..., 0, 0]" if declared else None


def _sizes(arguments: Sequence[Argument]) -> dict[sp.Expr, str]:
    """Text of each symbolic dimension: the shape of the first matrix argument that has it."""
    sizes: dict[sp.Expr, str] = {}
    for symbol in arguments:
        if isinstance(symbol, sp.MatrixSymbol):
            for axis, size in zip((-2, -1), symbol.shape, strict=True):
                sizes.setdefault(size, f"{symbol.name}.shape[{axis}]")
    return sizes


def _statements(
    outputs: Sequence[sp.Basic], names: Iterable[str], reference: str | None, sizes: Mapping[sp.Expr, str]
) -> list[str]:
    """The assignments of common subexpressions to t0, t1, ..., and the return of the outputs."""
    used = list(names)
    replacements, reduced = sp.cse(outputs, symbols=map(sp.Symbol, _numbered("t", used)))
    printer = TorchPrinter([*used, *(symbol.name for symbol, _ in replacements)], reference, sizes)
    lines: list[str] = []
    for symbol, value in replacements:
        lines += _wrapped(f"{symbol.name} = ", printer.text(value))
    return lines + _wrapped(
        "return ", f"({', '.join(map(printer.text, reduced))}{',' * (len(reduced) == 1)})"
    )


def _wrapped(head: str, text: str, tail: str = "") -> list[str]:
    """`head text tail`, broken at the outermost terms or arguments, and within those, where it is long.

    >>> print(*_wrapped("z = ", "f(" + "a*b, " * 20 + "c)")[:2], sep="\\n")
    z = f(
        a*b,
    """
    if len(head) + len(text) + len(tail) <= _WIDTH:
        return [head + text + tail]
    if len(terms := _split(text, (" + ", " - "), keep=True)) > 1:
        return [f"{head}(", *_indented(line for term in terms for line in _wrapped("", term)), f"){tail}"]
    call = re.match(r"[\w.]*[(\[]", text)
    closes_at_the_end = _split(text, (")", "]")) == [text[:-1], ""]
    if call is None or not closes_at_the_end:
        return [head + text + tail]
    inside = text[call.end() : -1]
    arguments = [argument for argument in _split(inside, (", ", ",")) if argument]
    if call[0] == "(" and arguments == [inside]:  # a comma would make a tuple of it
        return [f"{head}(", *_indented(_wrapped("", inside)), f"){tail}"]
    lines = (line for argument in arguments for line in _wrapped("", argument, ","))
    return [head + call[0], *_indented(lines), text[-1] + tail]


def _split(text: str, separators: tuple[str, ...], keep: bool = False) -> list[str]:
    """Parts of `text` between separators outside all brackets; with `keep` a part keeps the sign before it.

    >>> _split("f(a, b), [c, d]", (", ",)), _split("a - f(b + c)", (" + ", " - "), keep=True)
    (['f(a, b)', '[c, d]'], ['a', '- f(b + c)'])
    """
    parts, start, depth = [], 0, 0
    for position, character in enumerate(text):
        depth += (character in "([{") - (character in ")]}")
        found = next((s for s in separators if text.startswith(s, position)), None) if depth == 0 else None
        if found and position >= start:
            parts.append(text[start:position])
            start = position + (1 if keep else len(found))
    return [*parts, text[start:]]


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"    {line}" if line else "" for line in lines]


def _quoted(text: str) -> list[str]:
    """Lines of a docstring: any text, escaped so that it stays inside its quotes."""
    escaped = "".join(map(_escape, text))
    if '"""' in escaped or escaped.endswith('"'):
        escaped = escaped.replace('"', r"\"")
    lines = escaped.split("\n")
    return [f'"""{lines[0]}"""'] if len(lines) == 1 else [f'"""{lines[0]}', *lines[1:], '"""']


def _escape(character: str) -> str:
    if character == "\n" or (character.isprintable() and character != "\\"):
        return character
    return character.encode("unicode_escape").decode("ascii")
