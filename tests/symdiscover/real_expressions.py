"""Random real expressions, each a text with an independent evaluation of what it means."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import mpmath
from hypothesis import strategies as st

MP = mpmath.MPContext()
MP.prec = 300
# What 300 bits leave of sin(pi): where so little decides, as in a division, the oracle does not.
SMALL = MP.mpf(10) ** -60
NAMES = ("x", "y", "a")
Point = Mapping[str, Any]


class Undefined(ArithmeticError):
    """The expression has no real value at the point."""


@dataclass(frozen=True)
class Meaning:
    """A text and the real function it denotes; `value(point)` raises `Undefined` outside its domain."""

    text: str
    value: Callable[[Point], Any]

    def __repr__(self) -> str:
        return self.text


def real_power(base: Any, exponent: Fraction) -> Any:
    """The real power: u**(p/q) is a real root for odd q and needs u >= 0 for even q."""
    if abs(base) < SMALL and (base != 0 or exponent <= 0):
        raise Undefined("0 to a power that is not positive, or a root of next to nothing")
    if base < 0 and exponent.denominator % 2 == 0:
        raise Undefined("an even root of a negative number")
    size = abs(base) ** (MP.mpf(exponent.numerator) / exponent.denominator)
    return -size if base < 0 and exponent.numerator % 2 else size


def _guarded(function: Callable[..., Any], domain: Callable[..., bool]) -> Callable[..., Any]:
    def value(*args: Any) -> Any:
        if not domain(*args):
            raise Undefined
        return function(*args)

    return value


def _everywhere(*_: Any) -> bool:
    return True


UNARY: dict[str, Callable[[Any], Any]] = {
    "sqrt": _guarded(MP.sqrt, lambda u: u >= 0),
    "cbrt": lambda u: real_power(u, Fraction(1, 3)) if u else u,
    "exp": _guarded(MP.exp, lambda u: abs(u) < 500),
    "log": _guarded(MP.log, lambda u: u > 0),
    "ln": _guarded(MP.log, lambda u: u > 0),
    "log2": _guarded(lambda u: MP.log(u) / MP.log(2), lambda u: u > 0),
    "log10": _guarded(lambda u: MP.log(u) / MP.log(10), lambda u: u > 0),
    "sin": MP.sin,
    "cos": MP.cos,
    "tan": MP.tan,
    "cot": _guarded(MP.cot, lambda u: abs(u) > SMALL),
    "asin": _guarded(MP.asin, lambda u: abs(u) <= 1),
    "acos": _guarded(MP.acos, lambda u: abs(u) <= 1),
    "atan": MP.atan,
    "sinh": _guarded(MP.sinh, lambda u: abs(u) < 500),
    "cosh": _guarded(MP.cosh, lambda u: abs(u) < 500),
    "tanh": MP.tanh,
    "asinh": MP.asinh,
    "acosh": _guarded(MP.acosh, lambda u: u >= 1),
    "atanh": _guarded(MP.atanh, lambda u: abs(u) < 1),
    "abs": abs,
    "Abs": abs,
    "sign": _guarded(MP.sign, lambda u: abs(u) > SMALL),
    "floor": _guarded(MP.floor, lambda u: abs(u - MP.nint(u)) > SMALL),
    "ceil": _guarded(MP.ceil, lambda u: abs(u - MP.nint(u)) > SMALL),
}
BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "({0} + {1})": lambda u, v: u + v,
    "({0} - {1})": lambda u, v: u - v,
    "({0})*({1})": lambda u, v: u * v,
    "({0})/({1})": _guarded(lambda u, v: u / v, lambda u, v: abs(v) > SMALL),
    "max({0}, {1})": max,
    "min({0}, {1})": min,
    "atan2({0}, {1})": _guarded(MP.atan2, lambda u, v: abs(u) > SMALL),
    "({0})**({1})": _guarded(lambda u, v: u**v, lambda u, v: u > 0 and abs(v * MP.log(u)) < 500),
    "-{0}*({1})": lambda u, v: -u * v,
    "({0})/(2*({1}))": _guarded(lambda u, v: u / (2 * v), lambda u, v: abs(v) > SMALL),
}
COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "{0} < {1}": lambda u, v: u < v,
    "{0} >= {1}": lambda u, v: u >= v,
    "not {0} > {1}": lambda u, v: not u > v,
    "({0} > {1}) & ({1} < 1)": lambda u, v: u > v and v < 1,
    "{0} < {1} or {0} > 2": lambda u, v: u < v or u > 2,
    "Ne({0}, {1})": lambda u, v: u != v,
}
EXPONENTS = {
    text: Fraction(value)
    for text, value in {
        "2": 2, "3": 3, "-1": -1, "(-2)": -2, "(1/2)": "1/2", "0.5": "1/2", "(1/3)": "1/3", "(2/3)": "2/3",
        "(-1/3)": "-1/3", "1.5": "3/2", "(3/5)": "3/5", "(1/4)": "1/4", "(1/6)": "1/6", "1.2": "6/5",
    }.items()
}  # fmt: skip


def _leaves() -> st.SearchStrategy[Meaning]:
    numbers = {"2": "2", "3": "3", "0.1": "1/10", "7/3": "7/3", "1.5e-2": "3/200", "0": "0", "(-1)": "-1"}
    symbols = [Meaning(name, lambda point, name=name: point[name]) for name in NAMES]
    constants = [Meaning("pi", lambda _: +MP.pi), Meaning("E", lambda _: +MP.e)]
    for text, value in numbers.items():
        fraction = Fraction(value)
        constants.append(Meaning(text, lambda _, f=fraction: MP.mpf(f.numerator) / f.denominator))
    return st.sampled_from(symbols) | st.sampled_from(symbols) | st.sampled_from(constants)


def _grown(inner: st.SearchStrategy[Meaning]) -> st.SearchStrategy[Meaning]:
    def unary(name: str, u: Meaning) -> Meaning:
        return Meaning(f"{name}({u.text})", lambda point: UNARY[name](u.value(point)))

    def powered(exponent: str, u: Meaning) -> Meaning:
        return Meaning(f"({u.text})**{exponent}", lambda p: real_power(u.value(p), EXPONENTS[exponent]))

    def binary(form: str, u: Meaning, v: Meaning) -> Meaning:
        return Meaning(form.format(u.text, v.text), lambda p: BINARY[form](u.value(p), v.value(p)))

    def piecewise(form: str, u: Meaning, v: Meaning, then: Meaning, other: Meaning) -> Meaning:
        condition = form.format(f"({u.text})", f"({v.text})")

        def value(point: Point) -> Any:
            # Both, as the parser wants every part of an expression to be real somewhere.
            branches = then.value(point), other.value(point)
            left, right = u.value(point), v.value(point)
            if min(abs(left - right), abs(left - 2), abs(right - 1)) < SMALL:
                raise Undefined("a condition at its edge")
            return branches[0 if COMPARISONS[form](left, right) else 1]

        return Meaning(f"Piecewise(({then.text}, {condition}), ({other.text}, True))", value)

    return st.one_of(
        st.builds(unary, st.sampled_from(sorted(UNARY)), inner),
        st.builds(powered, st.sampled_from(sorted(EXPONENTS)), inner),
        st.builds(binary, st.sampled_from(sorted(BINARY)), inner, inner),
        st.builds(binary, st.sampled_from(sorted(BINARY)), inner, inner),
        st.builds(piecewise, st.sampled_from(sorted(COMPARISONS)), inner, inner, inner, inner),
    )


def meanings(max_leaves: int = 8) -> st.SearchStrategy[Meaning]:
    """Texts over x, y and a positive a, with what they mean."""
    return st.recursive(_leaves(), _grown, max_leaves=max_leaves)
