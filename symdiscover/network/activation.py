"""The expression of an elementwise function: of a torch activation, and of an operation of an exported program.

Each function is written down once, as what it computes; what it admits is found and proved from that
(`symdiscover.network.relations`). An activation of one's own joins by ``register(MyActivation, expression in Z)``.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sympy as sp
from sympy.logic.boolalg import Boolean
from torch import nn

from symdiscover.errors import SymmetryError
from symdiscover.network.formula import Z
from symdiscover.network.relations import Homogeneity as Homogeneity
from symdiscover.network.relations import homogeneity as homogeneity
from symdiscover.network.relations import rational

#: A slope that is learned, or drawn for each unit: what is proved holds for all its values.
SLOPE = sp.Symbol("a", real=True)
#: The constants of Klambauer et al. 2017, in double precision as torch has them.
_SELU_ALPHA, _SELU_SCALE = rational(sp.Float(1.6732632423543772)), rational(sp.Float(1.0507009873554805))
_ONE = sp.Integer(1)


class _Unknown(Exception):
    """An argument that is neither an expression nor a number, or an option that is another function."""


def _unary(function: Callable[[sp.Expr], sp.Expr]) -> Callable[[sp.Expr], sp.Expr]:
    """With a signature that says that it takes one argument; SymPy's functions do not."""
    return lambda z: function(z)


def _where(condition: sp.Basic, yes: sp.Expr, no: sp.Expr) -> sp.Expr:
    return sp.Piecewise((yes, condition), (no, True))


def _leaky_relu(z: sp.Expr, negative_slope: sp.Expr = _ONE / 100) -> sp.Expr:
    return _where(z >= 0, z, negative_slope * z)


def _rrelu(
    z: sp.Expr, lower: sp.Expr = _ONE / 8, upper: sp.Expr = _ONE / 3, training: bool = False
) -> sp.Expr:
    return _leaky_relu(z, SLOPE if training else (lower + upper) / 2)


def _clamp(z: sp.Expr, min: sp.Expr | None = None, max: sp.Expr | None = None) -> sp.Expr:
    z = z if min is None else sp.Max(z, min)
    return z if max is None else sp.Min(z, max)


def _hardtanh(z: sp.Expr, min_val: sp.Expr = -_ONE, max_val: sp.Expr = _ONE) -> sp.Expr:
    return _clamp(z, min_val, max_val)


def _hardsigmoid(z: sp.Expr) -> sp.Expr:
    return _clamp(z + 3, sp.Integer(0), sp.Integer(6)) / 6


def _threshold(z: sp.Expr, threshold: sp.Expr, value: sp.Expr) -> sp.Expr:
    return _where(z > threshold, z, value)


def _elu(z: sp.Expr, alpha: sp.Expr = _ONE, scale: sp.Expr = _ONE, input_scale: sp.Expr = _ONE) -> sp.Expr:
    return _where(z > 0, scale * z, scale * alpha * (sp.exp(input_scale * z) - 1))


def _celu(z: sp.Expr, alpha: sp.Expr = _ONE) -> sp.Expr:
    return _elu(z, alpha, input_scale=1 / alpha)


def _gelu(z: sp.Expr, approximate: str = "none") -> sp.Expr:
    if approximate == "tanh":
        return z * (1 + sp.tanh(sp.sqrt(2 / sp.pi) * (z + sp.Rational("0.044715") * z**3))) / 2
    if approximate != "none":
        raise _Unknown
    return z * (1 + sp.erf(z / sp.sqrt(2))) / 2


def _sigmoid(z: sp.Expr) -> sp.Expr:
    return 1 / (1 + sp.exp(-z))


def _softplus(z: sp.Expr, beta: sp.Expr = _ONE, threshold: sp.Expr = 20 * _ONE) -> sp.Expr:
    # torch returns z itself beyond the threshold: a step of 2e-9 down at z = 20, and no longer monotone.
    return _where(beta * z > threshold, z, sp.log(1 + sp.exp(beta * z)) / beta)


def _hardshrink(z: sp.Expr, lambd: sp.Expr = _ONE / 2) -> sp.Expr:
    return _where((z >= -lambd) & (z <= lambd), sp.Integer(0), z)


def _softshrink(z: sp.Expr, lambd: sp.Expr = _ONE / 2) -> sp.Expr:
    return sp.Piecewise((z - lambd, z > lambd), (z + lambd, z < -lambd), (0, True))


def _add(a: sp.Expr, b: sp.Expr, alpha: sp.Expr = _ONE) -> sp.Expr:
    return a + alpha * b


def _sub(a: sp.Expr, b: sp.Expr, alpha: sp.Expr = _ONE) -> sp.Expr:
    return a - alpha * b


def _rsub(a: sp.Expr, b: sp.Expr, alpha: sp.Expr = _ONE) -> sp.Expr:
    return b - alpha * a


def _div(a: sp.Expr, b: sp.Expr, rounding_mode: str | None = None) -> sp.Expr:
    if rounding_mode is not None:
        raise _Unknown
    return a / b


#: The elementwise operations of ATen, with their arguments as ATen names them.
OPERATIONS: dict[str, Callable[..., sp.Basic]] = {
    "clone": lambda z: z,
    "relu": lambda z: _leaky_relu(z, sp.Integer(0)),
    "relu6": lambda z: _clamp(z, sp.Integer(0), sp.Integer(6)),
    "leaky_relu": _leaky_relu,
    "prelu": lambda z, weight: _leaky_relu(z, weight),
    "rrelu": _rrelu,
    "threshold": _threshold,
    "clamp": _clamp,
    "clamp_min": lambda z, min: _clamp(z, min=min),
    "clamp_max": lambda z, max: _clamp(z, max=max),
    "hardtanh": _hardtanh,
    "hardsigmoid": _hardsigmoid,
    "hardswish": lambda z: z * _hardsigmoid(z),
    "elu": _elu,
    "celu": _celu,
    "selu": lambda z: _elu(z, _SELU_ALPHA, _SELU_SCALE),
    "gelu": _gelu,
    "silu": lambda z: z * _sigmoid(z),
    "mish": lambda z: z * sp.tanh(sp.log(1 + sp.exp(z))),
    "sigmoid": _sigmoid,
    "log_sigmoid": lambda z: -sp.log(1 + sp.exp(-z)),
    "softplus": _softplus,
    "hardshrink": _hardshrink,
    "softshrink": _softshrink,
    "tanh": _unary(sp.tanh),
    "atanh": _unary(sp.atanh),
    "sinh": _unary(sp.sinh),
    "asinh": _unary(sp.asinh),
    "cosh": _unary(sp.cosh),
    "sin": _unary(sp.sin),
    "cos": _unary(sp.cos),
    "tan": _unary(sp.tan),
    "atan": _unary(sp.atan),
    "erf": _unary(sp.erf),
    "erfc": lambda z: 1 - sp.erf(z),
    "exp": _unary(sp.exp),
    "exp2": lambda z: sp.Integer(2) ** z,
    "expm1": lambda z: sp.exp(z) - 1,
    "log": _unary(sp.log),
    "log2": lambda z: sp.log(z) / sp.log(2),
    "log10": lambda z: sp.log(z) / sp.log(10),
    "log1p": lambda z: sp.log(1 + z),
    "abs": _unary(sp.Abs),
    "neg": lambda z: -z,
    "sign": _unary(sp.sign),
    "square": lambda z: z**2,
    "sqrt": _unary(sp.sqrt),
    "rsqrt": lambda z: 1 / sp.sqrt(z),
    "reciprocal": lambda z: 1 / z,
    "pow": lambda base, exponent: base**exponent,
    "maximum": lambda a, b: sp.Max(a, b),
    "minimum": lambda a, b: sp.Min(a, b),
    "add": _add,
    "sub": _sub,
    "rsub": _rsub,
    "mul": lambda a, b: a * b,
    "div": _div,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "where": _where,
}


def _operation(name: str, *settings: str) -> Callable[[Any], sp.Basic]:
    """A module that computes one operation, with attributes of its own as further arguments."""
    return lambda module: OPERATIONS[name](Z, *(_argument(getattr(module, setting)) for setting in settings))


#: torch module -> its expression in `Z`.
EXPRESSIONS: dict[type[nn.Module], Callable[[Any], sp.Basic]] = {
    nn.Identity: lambda module: Z,
    nn.Dropout: lambda module: (
        SLOPE * Z
    ),  # a mask that does not depend on the value commutes with every scaling
    nn.ReLU: _operation("relu"),
    nn.LeakyReLU: _operation("leaky_relu", "negative_slope"),
    nn.PReLU: lambda module: _leaky_relu(Z, SLOPE),
    nn.RReLU: lambda module: _leaky_relu(Z, SLOPE),
    nn.Threshold: _operation("threshold", "threshold", "value"),
    nn.ReLU6: _operation("relu6"),
    nn.Hardtanh: _operation("hardtanh", "min_val", "max_val"),
    nn.Hardsigmoid: _operation("hardsigmoid"),
    nn.Hardswish: _operation("hardswish"),
    nn.Hardshrink: _operation("hardshrink", "lambd"),
    nn.Softshrink: _operation("softshrink", "lambd"),
    nn.Tanhshrink: lambda module: Z - sp.tanh(Z),
    nn.ELU: _operation("elu", "alpha"),
    nn.CELU: _operation("celu", "alpha"),
    nn.SELU: _operation("selu"),
    nn.GELU: _operation("gelu", "approximate"),
    nn.SiLU: _operation("silu"),
    nn.Mish: _operation("mish"),
    nn.Sigmoid: _operation("sigmoid"),
    nn.LogSigmoid: _operation("log_sigmoid"),
    nn.Tanh: _operation("tanh"),
    nn.Softplus: _operation("softplus", "beta", "threshold"),
    nn.Softsign: lambda module: Z / (1 + sp.Abs(Z)),
}


def expression_of(module: nn.Module) -> sp.Expr | None:
    """The activation's expression in `Z`; None for a module that is not in the table.

    Other symbols are constants that are not known: a learned slope, the mask of a dropout. Subclasses are not
    looked up: theirs may be another function.

    Raises
    ------
    SymmetryError
        If what is registered for the module is no expression in `Z`.

    Examples
    --------
    >>> expression_of(nn.LeakyReLU(0.1))
    Piecewise((z, z >= 0), (z/10, True))
    """
    build = EXPRESSIONS.get(type(module))
    return None if build is None else _checked(type(module).__name__, build(module))


def expression_of_op(
    name: str, arguments: Sequence[object], keywords: Mapping[str, object] | None = None
) -> sp.Expr | None:
    """The value of an ATen operation whose arguments are expressions in `Z` and numbers; None where it is not known.

    A chain of operations of one value composes into one expression. A comparison gives a condition, which
    `where` takes.

    Parameters
    ----------
    name:
        Without namespace and overload; that of an in-place operation ends in an underscore.
    arguments, keywords:
        As ATen takes them: expressions, conditions, numbers, and words such as ``approximate="tanh"``.

    Notes
    -----
    SymPy cancels what it may, exp(log(z)) to z: the expression is that of the chain where the chain is finite.

    Examples
    --------
    >>> gate = expression_of_op("sigmoid", [expression_of_op("mul", [Z, 1.702])])
    >>> expression_of_op("mul", [Z, gate])
    z/(1 + exp(-851*z/500))
    >>> expression_of_op("clamp", [Z], {"min": 0.0, "max": 6.0})
    Min(6, Max(0, z))
    >>> expression_of_op("div", [Z, 2], {"rounding_mode": "floor"}) is None
    True
    """
    build = OPERATIONS.get(name) or OPERATIONS.get(name.removesuffix("_"))
    if build is None:
        return None
    try:
        bound = inspect.signature(build).bind(*arguments, **(keywords or {}))
    except TypeError:  # an argument that is not known here: another overload
        return None
    try:
        result = build(*map(_argument, bound.args), **{k: _argument(v) for k, v in bound.kwargs.items()})
    except (_Unknown, TypeError, ValueError):  # SymPy refuses to compare what is nowhere real
        return None
    if not isinstance(result, sp.Expr | Boolean):
        raise SymmetryError(f"operation {name} gives a {type(result).__name__}: register a SymPy expression")
    return result


def register(key: type[nn.Module] | str, expression: sp.Expr | Callable[..., sp.Basic]) -> None:
    """Add an activation of one's own, or replace one: a module class, or an operation of an exported program.

    Parameters
    ----------
    key:
        The class of the module, or the name of the operation without namespace and overload.
    expression:
        In `Z`; or a function of the module, or of the arguments of the operation, that returns one. Symbols other
        than `Z` are real constants, for whose every value a relation must hold to be proved.

    Raises
    ------
    SymmetryError
        If it is no such expression. What a function returns is looked at when it is asked for.

    Examples
    --------
    >>> class Square(nn.Module):
    ...     def forward(self, x):
    ...         return x * x
    >>> register(Square, Z**2)
    >>> homogeneity(expression_of(Square())).degree
    2
    >>> register(Square, sp.Symbol("x")**2)
    Traceback (most recent call last):
    symdiscover.errors.SymmetryError: the expression of Square is x**2, which is not in z: write it in symdiscover.network.Z
    """
    if isinstance(key, str):
        owner = key
    elif isinstance(key, type) and issubclass(key, nn.Module):
        owner = key.__name__
    else:
        raise SymmetryError(
            f"an activation is registered for a module class or an operation's name, not {key!r}"
        )
    if isinstance(expression, sp.Basic) or not callable(expression):
        fixed = _checked(owner, expression)
        if isinstance(key, str):
            OPERATIONS[key] = lambda z: fixed.xreplace({Z: z})
        else:
            EXPRESSIONS[key] = lambda module: fixed
    elif isinstance(key, str):
        OPERATIONS[key] = expression
    else:
        EXPRESSIONS[key] = expression


def _checked(owner: str, expression: object) -> sp.Expr:
    """The expression with exact numbers, if it is one in `Z` alone but for constants."""
    if not isinstance(expression, sp.Expr):
        kind = type(expression).__name__
        raise SymmetryError(
            f"the expression of {owner} is a {kind}: give a SymPy expression in symdiscover.network.Z"
        )
    others = expression.free_symbols - {Z}
    if others and (not expression.has(Z) or any(symbol.name == Z.name for symbol in others)):
        raise SymmetryError(
            f"the expression of {owner} is {expression}, which is not in z: write it in symdiscover.network.Z"
        )
    if strange := sorted(str(symbol) for symbol in others if not symbol.is_real):
        raise SymmetryError(
            f"the expression of {owner} has the constant {strange[0]}, for whose every value a proof must hold: "
            "declare it real"
        )
    return rational(expression)


def _argument(value: object) -> Any:
    """A number as the shortest rational that rounds to it; expressions, conditions, words and None as they are."""
    if value is None or isinstance(value, str | bool | Boolean):
        return value
    if isinstance(value, sp.Expr):
        return rational(value)
    if isinstance(value, int):
        return sp.Integer(value)
    if isinstance(value, float) and not math.isnan(value):
        return rational(sp.Float(value))
    raise _Unknown
