"""The parser: what it reads, what it refuses and where, its limits, and that nothing else ever happens."""

from __future__ import annotations

import math
import random
import re
import string
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import sympy as sp
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from symdiscover.enclosure import Enclosure
from symdiscover.errors import ExpressionError, OutsideDomain
from symdiscover.expression import Parsed, parse
from symdiscover.interval import exactly
from symdiscover.number import rational_of, simplest_between
from tests.symdiscover.real_expressions import MP, Meaning, Point, Undefined, meanings, real_power

x, y, z = sp.symbols("x y z", real=True)
x1, x2, x3, x4 = sp.symbols("x1:5", real=True)
a = sp.Symbol("a", positive=True)
R = sp.Rational


def read(text: str) -> sp.Expr:
    return parse(text, positive=["a"]).expression


def refused(text: Any, **declared: Any) -> ExpressionError:
    with pytest.raises(ExpressionError) as caught:
        parse(text, **declared)
    return caught.value


# Numbers


@pytest.mark.parametrize(
    ("literal", "value"),
    [
        ("0.1", "1/10"),
        ("0.3333333333333333", "1/3"),
        ("0.6666666666666666", "2/3"),
        ("0.14285714285714285", "1/7"),
        ("2.25", "9/4"),
        ("1e-20", "1/100000000000000000000"),
        ("1e22", "10000000000000000000000"),
        ("3.14159", "314159/100000"),
        ("3.141592653589793", "3141592653589793/1000000000000000"),
        ("0.1000000000000000055511151231257827", "1/10"),
        ("12345678901234567890", "12345678901234567890"),
        ("9007199254740993", "9007199254740993"),
        ("9007199254740993.0", "9007199254740993"),
        (".5", "1/2"),
        ("5.", "5"),
        ("1_000.5", "2001/2"),
        ("1E3", "1000"),
        ("0e999999999999", "0"),
        ("0.000", "0"),
        ("5e-324", "5e-324"),
        ("1.7976931348623157e308", "1.7976931348623157e308"),
    ],
)
def test_a_literal_is_the_shortest_rational(literal: str, value: str) -> None:
    assert rational_of(literal) == Fraction(value)
    assert read(literal) == R(Fraction(value).numerator, Fraction(value).denominator)


@given(st.floats(min_value=5e-324, allow_infinity=False))
def test_a_literal_rounds_to_its_double_and_no_other(value: float) -> None:
    rational = rational_of(repr(value))
    assert float(rational) == value != math.nextafter(value, math.inf)
    digits = len(str(rational.numerator)) + len(str(rational.denominator))
    decimal = Fraction(repr(value))
    assert rational == decimal or digits < len(str(decimal.numerator)) + len(str(decimal.denominator))


@given(st.fractions(min_value=Fraction(1, 999), max_value=999, max_denominator=999))
def test_the_simplest_fraction_is_found_again(fraction: Fraction) -> None:
    # Two fractions with denominators up to 999 differ by more than 1e-6, so this interval holds one of them.
    width = Fraction(1, 10**7)
    found = simplest_between(fraction - width, fraction + width)
    assert found == fraction
    assert simplest_between(fraction + width / 2, fraction + width) != fraction


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1e1000000000", "not finite in double precision"),
        ("1e309", "not finite in double precision"),
        ("1e-1000000000", "rounds to 0"),
        ("1e-400", "rounds to 0"),
        ("1" * 41, "limit is 40 digits"),
        ("0." + "1" * 40, "limit is 40 digits"),
        ("1e" + "0" * 40, "limit is 40 digits"),
    ],
)
def test_literals_beyond_the_limits(text: str, reason: str) -> None:
    error = refused(f"x + {text}")
    assert reason in str(error) and error.column == 5


def test_literals_at_the_limits() -> None:
    assert read("1" * 40) == int("1" * 40)
    assert read("1e308") == 10**308
    assert read("1e-300") == R(1, 10**300)


# What is read


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x + 2*y - 7", x + 2 * y - 7),
        ("x - (y - z) - 1", x - y + z - 1),
        ("-x**2", -(x**2)),
        ("2**3**2", sp.Integer(512)),
        ("x/y/z", x / y / z),
        ("x/(2*(y + z))", sp.Mul(x, R(1, 2), 1 / (y + z))),
        ("+x - -y", x + y),
        ("  x\n + (y\t* z) ", x + y * z),
        ("1_000*x", 1000 * x),
        ("exp(x)*log(y) + ln(z)", sp.exp(x) * sp.log(y) + sp.log(z)),
        (
            "log(x, 2) + log10(y) + log2(z)",
            sp.log(x) / sp.log(2) + sp.log(y) / sp.log(10) + sp.log(z) / sp.log(2),
        ),
        ("log(8, 2) + log10(0.01) + log2(1/4)", sp.Integer(-1)),
        ("sin(x)*cos(y)*tan(z)", sp.sin(x) * sp.cos(y) * sp.tan(z)),
        ("asin(x) + acos(y) + atan(z)", sp.asin(x) + sp.acos(y) + sp.atan(z)),
        ("sinh(x) + cosh(y) + tanh(z)", sp.sinh(x) + sp.cosh(y) + sp.tanh(z)),
        ("asinh(x) + acosh(y) + atanh(z)", sp.asinh(x) + sp.acosh(y) + sp.atanh(z)),
        ("atan2(y, x)", sp.atan2(y, x)),
        ("tan(x + pi/2)", -sp.cot(x)),
        ("cot(x)", sp.cot(x)),
        ("sqrt(x) + sqrt(8)", sp.sqrt(x) + 2 * sp.sqrt(2)),
        ("abs(-2*x) + Abs(y)", 2 * sp.Abs(x) + sp.Abs(y)),
        ("sign(x) + sign(a) + sign(-3)", sp.sign(x)),
        ("floor(x) + ceil(y) + ceiling(z)", sp.floor(x) + sp.ceiling(y) + sp.ceiling(z)),
        ("floor(pi) + ceil(-2.5) + floor(sqrt(2)*5)", sp.Integer(3 - 2 + 7)),
        ("max(x, y, 2) + min(x, 1, 3)", sp.Max(x, y, 2) + sp.Min(x, 1)),
        ("Max(0, x**2) + Max(x, x + 1)", x**2 + x + 1),
        ("max(max(x, y), z)", sp.Max(x, y, z)),
        ("max(sqrt(2), 1.414)", sp.sqrt(2)),
        ("E**x + exp(1) + pi", sp.exp(x) + sp.E + sp.pi),
        ("2**x*x**y", 2**x * x**y),
        ("x**0 + 0**2 + 1**x", sp.Integer(2)),
        ("sqrt(a**2) + sqrt(x**2)", a + sp.Abs(x)),
        ("e**x", sp.Symbol("e", real=True) ** x),
        ("((x))", x),
        ("x - x", sp.S.Zero),
    ],
)
def test_what_is_read(text: str, expected: sp.Expr) -> None:
    assert read(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Sum(i*x[i]**2, (i, 1, 3))", x1**2 + 2 * x2**2 + 3 * x3**2),
        ("Product(x[i] - i, (i, 1, 2))", (x1 - 1) * (x2 - 2)),
        ("Sum(x[i + 1] - x[i], (i, 1, 3))", x4 - x1),
        ("Sum(Sum(x[j], (j, 1, i)), (i, 1, 3))", 3 * x1 + 2 * x2 + x3),
        ("Sum((-1)**i*x[i], (i, 1, 2)) + Sum(i, (i, 2, 4))", x2 - x1 + 9),
        ("Sum(x, (i, 1, 0)) + Product(x, (i, 1, 0))", sp.S.One),
        ("x[1]*x[2] + x1", x1 * x2 + x1),
        ("Sum(x, (i, -1, 1))", 3 * x),
        ("Sum(x, (i, 1000, 1003))", 4 * x),
    ],
)
def test_sums_and_products_are_written_out(text: str, expected: sp.Expr) -> None:
    assert read(text) == expected


def test_rosenbrock_by_a_sum() -> None:
    parsed = parse("Sum(100*(x[i+1]-x[i]**2)**2 + (1-x[i])**2, (i,1,3))")
    pairs = [(x1, x2), (x2, x3), (x3, x4)]
    assert sp.expand(parsed.expression - sum(100 * (v - u**2) ** 2 + (1 - u) ** 2 for u, v in pairs)) == 0
    assert parsed.variables == (x1, x2, x3, x4)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("x > 0", x > 0),
        ("x <= y", x <= y),
        ("0 < x", sp.Lt(0, x, evaluate=False)),
        ("x == 1", sp.Eq(x, 1)),
        ("Eq(x, 1)", sp.Eq(x, 1)),
        ("x != 1", sp.Ne(x, 1)),
        ("Ne(x, 1)", sp.Ne(x, 1)),
        ("0 < x < 1", sp.And(sp.Lt(0, x, evaluate=False), x < 1)),
        ("x > 0 and y > 0", sp.And(x > 0, y > 0)),
        ("(x > 0) & (y > 0)", sp.And(x > 0, y > 0)),
        ("x > 0 or y > 0 or z > 0", sp.Or(x > 0, y > 0, z > 0)),
        ("(x > 0) | (y > 0)", sp.Or(x > 0, y > 0)),
        ("not (x > 0 and y > 0)", sp.Or(x <= 0, y <= 0)),
        ("~((x > 0) | Eq(y, 0))", sp.And(x <= 0, sp.Ne(y, 0))),
        ("x > 0 and True", x > 0),
    ],
)
def test_conditions(condition: str, expected: Any) -> None:
    parsed = read(f"Piecewise((x, {condition}), (y, True))")
    assert parsed == sp.Piecewise((x, expected), (y, True), evaluate=False)


@pytest.mark.parametrize(
    ("branches", "expected"),
    [
        ("(x, True)", x),
        ("(x, False), (y, True), (z, x > 0)", y),
        ("(x, x**2 >= 0), (y, True)", x),
        ("(x, x**2 < 0), (y, True)", y),
        ("(x, x == x), (y, True)", x),
        ("(x, not x != x), (y, True)", x),
        ("(x, sqrt(2) > 1.41), (y, True)", x),
        ("(x, 1 > 2 or 2 > 1), (y, True)", x),
        ("(x, not True), (y, True)", y),
    ],
)
def test_branches_that_are_decided(branches: str, expected: sp.Expr) -> None:
    assert read(f"Piecewise({branches})") == expected


# Names


def test_names_are_found_in_natural_order() -> None:
    parsed = parse("x10 + x2*y + b1*a + B + x1", positive=["a"])
    assert [symbol.name for symbol in parsed.variables] == ["B", "b1", "x1", "x2", "x10", "y"]
    assert all(symbol.is_real and symbol.is_positive is None for symbol in parsed.variables)
    assert parsed.constants == (a,) and parsed.constants[0].is_positive
    assert [symbol.name for symbol in parse("x01*x0*x1*x*xa").variables] == ["x", "x0", "x01", "x1", "xa"]


def test_declared_names_keep_their_order_even_if_unused() -> None:
    parsed = parse("y - y", variables=["z", "y", "x"], positive=["b", "a"])
    assert parsed == Parsed(sp.S.Zero, (z, y, x), (sp.Symbol("b", positive=True), a))
    assert parse("x - x + y").variables == (x, y)
    assert parse("7", variables=()).variables == ()


def test_names_may_be_one_string() -> None:
    assert parse("x*y*a", variables="y, x", positive="a").variables == (y, x)


def test_an_unknown_name_lists_the_known_ones() -> None:
    error = refused("x + zeta", variables=["x", "y"], positive=["a"])
    assert str(error) == "unknown name 'zeta'; known names: x, y, a, pi, E (column 5)"
    assert parse("x + y", variables=["x", "y"], positive=["a"])


@pytest.mark.parametrize(
    ("declared", "reason"),
    [
        ({"variables": ["x", "x"]}, "declared twice"),
        ({"variables": ["x"], "positive": ["x"]}, "both a variable and a positive constant"),
        ({"variables": ["sin"]}, "fixed meaning"),
        ({"variables": ["pi"]}, "fixed meaning"),
        ({"positive": ["E"]}, "fixed meaning"),
        ({"variables": ["Sum"]}, "fixed meaning"),
        ({"variables": ["nan"]}, "fixed meaning"),
        ({"variables": ["lambda"]}, "word of Python"),
        ({"variables": ["and"]}, "word of Python"),
        ({"variables": ["True"]}, "word of Python"),
        ({"variables": ["_x"]}, "no name"),
        ({"variables": ["1x"]}, "no name"),
        ({"variables": ["x y"]}, "no name"),
        ({"variables": ["x.y"]}, "no name"),
        ({"variables": [""]}, "no name"),
        ({"variables": ["\uff58"]}, "no name"),
        ({"variables": ["x\n"]}, "no name"),
        ({"variables": ["v" * 41]}, "limit is 40"),
        ({"variables": [1]}, "a string, not int"),
        ({"variables": 1}, "sequence of names, not int"),
        ({"positive": None}, "sequence of names, not NoneType"),
    ],
)
def test_declarations_that_are_refused(declared: dict[str, Any], reason: str) -> None:
    assert reason in str(refused("x", **declared))
    assert parse("x", variables=["x"], positive=["v" * 40])


# What is refused, and where


@pytest.mark.parametrize(
    ("text", "reason", "column"),
    [
        ("", "empty", None),
        (" \n\t ", "empty", None),
        (7, "a string, not int", None),
        (None, "a string, not NoneType", None),
        (b"x", "a string, not bytes", None),
        ("x+", "not an expression", 3),
        (" x +* y", "not an expression", 5),
        ("x y", "not an expression", None),
        ("012", "not an expression", None),
        ("1__0", "not an expression", None),
        ("1.2.3", "not an expression", None),
        ("(((", "never closed", 3),
        ("(x]", "closes nothing", 3),
        ("x)", "closes nothing", 2),
        ("x^2", "use ** for powers", 2),
        ("x\0", r"'\x00'", 2),
        ("\uff58 + 1", "only ASCII", 1),
        ("x + \u00e9", "only ASCII", 5),
        ("x \u2212 y", "only ASCII", 3),
        ("\ud800", "only ASCII", 1),
        ("x # y", "comments", 3),
        ("x.real", "attributes", 2),
        ("x.__class__", "attributes", 2),
        ("'x'", "strings", 1),
        ('f"{x}"', "strings", 2),
        ("b'x'", "strings", 2),
        ("x; y", "';'", 2),
        ("x := 1", "':'", 3),
        ("x[1:2]", "':'", 4),
        ("{x}", "'{'", 1),
        ("x @ y", "'@'", 3),
        ("x % 2", "remainders", 3),
        ("x\\\ny", "'\\\\'", 2),
        ("x = 1", "write ==", 3),
        ("max(x, key=1)", "write ==", 11),
        ("lambda: 1", "'lambda' is a word of Python", 1),
        ("x if y else z", "'if' is a word of Python", 3),
        ("[i for i in x]", "'for' is a word of Python", 4),
        ("await x", "'await' is a word of Python", 1),
        ("None", "'None' is a word of Python", 1),
        ("x is y", "'is' is a word of Python", 3),
        ("_x", "no name", 1),
        ("x + __import__('os')", "no name", 5),
        ("v" * 41, "limit is 40", 1),
        ("2x", "write * between", 2),
        ("1j", "write * between", 2),
        ("0x10", "write * between", 2),
        ("1if x else y", "write * between", 2),
        ("x // y", "not part of the notation", 1),
        ("x << 2", "not part of the notation", 1),
        ("x & y", "joins conditions inside Piecewise", 1),
        ("~x", "joins conditions inside Piecewise", 1),
        ("x > 0", "belongs inside Piecewise", 1),
        ("not x", "belongs inside Piecewise", 1),
        ("x and y", "belongs inside Piecewise", 1),
        ("x + True", "belongs inside Piecewise", 5),
        ("x, y", "a list of expressions", 1),
        ("()", "a list of expressions", 1),
        ("[x]", "a list of expressions", 1),
        ("x(2)", "unknown function 'x'", 1),
        ("x*x(2)", "write x*(...)", 3),
        ("pi(x)", "write pi*(...)", 1),
        ("sin(x)(y)", "not a name", 1),
        ("sin + 1", "write sin(...)", 1),
        ("Piecewise", "write Piecewise(...)", 1),
        ("factorial(10**9)", "unknown function 'factorial'; known functions: sqrt,", 1),
        ("print(x)", "unknown function 'print'", 1),
        ("sin()", "takes 1 argument(s), not 0", 1),
        ("sin(x, y)", "takes 1 argument(s), not 2", 1),
        ("log(x, y, z)", "takes 1 to 2 argument(s), not 3", 1),
        ("max()", "takes 1 or more argument(s), not 0", 1),
        ("max(*x)", "plain arguments", 1),
        ("max(**x)", "plain arguments", 1),
        ("x[y]", "an index must be an integer", 3),
        ("x[1.5]", "an index must be an integer", 3),
        ("x[-1]", "no variable", 1),
        ("x1[2]", "no variable", 1),
        ("sin[1]", "no variable", 1),
        ("x[1][2]", "not part of the notation", 1),
        ("x[1, 2]", "a list of expressions", 3),
        ("(x + y)[1]", "not part of the notation", None),
        ("x[" + "1" * 40 + "]", "limit is 40", 1),
        ("Sum(x)", "write Sum(", 1),
        ("Sum(x, i, 1, 2)", "write Sum(", 1),
        ("Sum(x, (1, 1, 2))", "write Sum(", 1),
        ("Product(x, (i, 1, 2, 3))", "write Product(", 1),
        ("Sum(x, (i, 1, 2.5))", "must be an integer", 15),
        ("Sum(x, (i, 1, y))", "must be an integer", 15),
        ("Sum(x, (i, 3, 1))", "runs backwards", 1),
        ("Sum(i, (sin, 1, 3))", "in use already", 1),
        ("x + Sum(x, (x, 1, 3))", "in use already", 5),
        ("Sum(Sum(i, (i, 1, 2)), (i, 1, 2))", "in use already", 5),
        ("Sum(i, (i, 1, 3)) + i", "is the index", 21),
        ("Sum(i[1], (i, 1, 3))", "no variable", 5),
        ("Piecewise(x)", "write Piecewise(", 11),
        ("Piecewise((x, x > 0, y))", "write Piecewise(", 11),
        ("Piecewise((x, y), (z, True))", "no condition", 15),
        ("Piecewise((x, 1), (z, True))", "no condition", 15),
        ("Piecewise((x, x > 0 & y > 0), (z, True))", "put each comparison in parentheses", 19),
        ("Piecewise((x, sin(x)), (z, True))", "no condition", 15),
        (
            "Piecewise((x, Piecewise((x, x > 0), (1, True)) > 0), (z, True))",
            "a Piecewise inside a condition",
            15,
        ),
    ],
)
def test_what_is_refused_and_where(text: Any, reason: str, column: int | None) -> None:
    error = refused(text)
    assert reason in str(error)
    assert column is None or error.column == column
    assert error.column is None or f"(column {error.column})" in str(error)


# Real roots


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x**(1/3)", sp.sign(x) * sp.Abs(x) ** R(1, 3)),
        ("cbrt(x)", sp.sign(x) * sp.Abs(x) ** R(1, 3)),
        ("x**0.3333333333333333", sp.sign(x) * sp.Abs(x) ** R(1, 3)),
        ("x**(-1/3)", sp.sign(x) * sp.Abs(x) ** R(-1, 3)),
        ("x**(2/3)", sp.Abs(x) ** R(2, 3)),
        ("x**1.2", sp.Abs(x) ** R(6, 5)),
        ("(x - 1)**(1/3)", sp.sign(x - 1) * sp.Abs(x - 1) ** R(1, 3)),
        ("(x**2 + 1)**(1/3)", (x**2 + 1) ** R(1, 3)),
        ("a**(1/3)", a ** R(1, 3)),
        ("exp(x)**(1/3)", sp.exp(x / 3)),
        ("x**1.5", x ** R(3, 2)),
        ("(x**3)**0.5", x ** R(3, 2)),
        ("(x**2)**0.25", sp.sqrt(sp.Abs(x))),
        ("(-4*x)**0.5", 2 * sp.sqrt(-x)),
        ("(-8)**(1/3)", sp.Integer(-2)),
        ("(-8)**(2/3)", sp.Integer(4)),
        ("cbrt(-2)", -sp.cbrt(2)),
        ("(-1)**(1/3)", sp.Integer(-1)),
        # SymPy merges these two into a complex cube root of x.
        ("x**(1/6)*x**(1/6)", sp.sign(x) * sp.Abs(x) ** R(1, 3)),
        ("exp(log(x)/3)", sp.sign(x) * sp.Abs(x) ** R(1, 3)),
    ],
)
def test_roots_are_real(text: str, expected: sp.Expr) -> None:
    assert read(text) == expected


# Finite and real


@pytest.mark.parametrize(
    ("text", "neighbour"),
    [
        ("1/0", "1/2"),
        ("0/0", "0/1"),
        ("0**-1", "0**1"),
        ("0**x", "0**(x**2 + 1)"),
        ("1/(x - x)", "1/(x - y)"),
        ("x/(0*y)", "x/(1*y)"),
        ("log(0)", "log(1)"),
        ("log(-1)", "log(0.5)"),
        ("log(-x**2)", "log(x**2)"),
        ("log(-a)", "log(a)"),
        ("log(2, 1)", "log(2, 3)"),
        ("log(1, 1)", "log(1, 2)"),
        ("log(x, -1)", "log(x, 2)"),
        ("sqrt(-1)", "sqrt(1)"),
        ("sqrt(-1 - x**2)", "sqrt(1 - x**2)"),
        ("sqrt(-x**2)", "sqrt(x**2)"),
        ("(-2)**0.5", "(-2)**3"),
        ("(-2)**x", "2**x"),
        ("(-1 - x**2)**y", "(1 + x**2)**y"),
        ("tan(pi/2)", "tan(pi/3)"),
        ("cot(0)", "cot(1)"),
        ("asin(2)", "asin(1)"),
        ("acos(x**2 + 2)", "acos(x**2 - 2)"),
        ("acosh(0)", "acosh(1)"),
        ("atanh(1)", "atanh(0.9)"),
        ("atan2(0, 0)", "atan2(0, 1)"),
        ("exp(1000)", "exp(700)"),
        ("exp(-1000)", "exp(-700)"),
        ("exp(exp(exp(exp(9))))", "exp(exp(exp(exp(x))))"),
        ("exp(exp(exp(9)) + x**2)", "exp(exp(9) - exp(exp(x)))"),
        ("1e308*10", "1e307*10"),
        ("1e-170*1e-170", "1e-100*1e-100"),
        ("cosh(1e10)", "tanh(1e10)"),
        ("I*x", "x"),
        ("oo", "1"),
        ("x + nan", "x + nana"),
        ("inf", "infimum"),
        ("1/(sin(x)**2 + cos(x)**2 - 1)", "1/(sin(x)**2 + cos(x)**2 - 2)"),
        ("1/((x + 1)**2 - x**2 - 2*x - 1)", "1/((x + 1)**2 - x**2 - 2*x - 2)"),
        ("log(cosh(x)**2 - sinh(x)**2 - 1)", "log(cosh(x)**2 - sinh(x)**2)"),
        ("1/(sin(1)**2 + cos(1)**2 - 1)", "1/(sin(1)**2 + cos(1)**2 - 2)"),
        ("1/(sqrt(5 + 2*sqrt(6)) - sqrt(2) - sqrt(3))", "1/(sqrt(5 + 2*sqrt(6)) + sqrt(2) - sqrt(3))"),
        ("floor(sin(1)**2 + cos(1)**2)", "floor(sin(1)**2 + cos(1))"),
        ("max(sin(1)**2 + cos(1)**2, 1)", "max(sin(1)**2, 1)"),
        ("abs(sin(1)**2 + cos(1)**2 - 1)", "abs(sin(1)**2 + cos(1) - 1)"),
        ("1/sin(1e300)", "1/sin(1e10)"),
        ("Piecewise((1/0, x > 0), (1, True))", "Piecewise((1/2, x > 0), (1, True))"),
        ("Piecewise((1, log(-1) > x), (1, True))", "Piecewise((1, log(2) > x), (2, True))"),
        ("Piecewise((x, x > 0))", "Piecewise((x, x > 0), (1, True))"),
        ("Piecewise((x, x > 0), (1, x <= 0))", "Piecewise((x, x > 0), (1, x <= 0), (2, True))"),
        ("Piecewise((1, sin(1)**2 + cos(1)**2 > 1), (2, True))", "Piecewise((1, sin(1)**2 > 1), (2, True))"),
        ("1/Piecewise((x, x > 0), (0, True))", "1/Piecewise((x, x > 0), (1, True))"),
        ("x*0*(1/0)", "x*0*(1/2)"),
    ],
)
def test_every_part_is_finite_and_real(text: str, neighbour: str) -> None:
    error = refused(text, variables=None, positive=["a"])
    assert "not finite and real" in str(error) and error.column is not None
    read(neighbour)


@pytest.mark.parametrize(
    "text",
    [
        # Zero for all x > -1, and elsewhere -2 x - 2.
        "1/(sqrt(x**2 + 2*x + 1) - x - 1)",
        # Zero to 60 digits where x > 1.
        "1/(1 - tanh(100*x))",
        "1/max(x - 1e6, 0)",
        "1/atan2(0, x)",
        "1/(x - 1e-30)",
        "log(x**40)",
    ],
)
def test_what_is_zero_at_some_points_only_may_divide(text: str) -> None:
    assert read(text).is_number is False


# Limits: each is met and then exceeded


@pytest.mark.parametrize(
    ("within", "beyond", "limit"),
    [
        ("x" + " " * 1999, "x" + " " * 2000, "limit is 2000 characters"),
        ("+".join(["x"] * 600), "+".join(["x"] * 601), "1200 nodes"),
        ("Sum(x[i], (i, 1, 500))", "Sum(x[i], (i, 1, 1201))", "1200 nodes"),
        ("Sum(Sum(x, (i, 1, 30)), (j, 1, 30))", "Sum(Sum(x, (i, 1, 99)), (j, 1, 99))", "1200 nodes"),
        ("Product(x - i, (i, 1, 100))", "Product(x - i, (i, 1, 10**30))", "1200 nodes"),
        ("(" * 40 + "x" + ")" * 40, "(" * 41 + "x" + ")" * 41, "limit of 40"),
        ("sin(" * 39 + "x" + ")" * 39, "sin(" * 40 + "x" + ")" * 40, "limit of 40"),
        ("-" * 39 + "x", "-" * 40 + "x", "limit of 40"),
        ("x**" * 39 + "x", "x**" * 40 + "x", "limit of 40"),
        ("x**64", "x**65", "limit of 64"),
        ("x**-64", "x**-65", "limit of 64"),
        ("x**(64 - 1/2)", "x**(64 + 1/2)", "limit of 64"),
        ("2**64", "2**65", "limit of 64"),
        ("(x**8)**8", "(x**8)**9", "limit of 64"),
        ("x**32*x**32", "x**32*x**33", "limit of 64"),
        ("exp(64*log(x))", "exp(65*log(x))", "limit of 64"),
        ("x**(10*pi)", "x**(100*pi)", "limit of 64"),
        ("9**9", "9**9**9", "limit of 64"),
        ("(1/7**8)**32", "(1/7**9)**64", "400 digits"),
        ("(123456*x)**60", "(123456789*x)**64", "400 digits"),
        ("(123456789*x + 1)**64", "(123456789*x*y)**64", "400 digits"),
        ("Sum(1/(1000003 + i), (i, 1, 50))", "Sum(1/(1000003 + i), (i, 1, 99))", "400 digits"),
        (
            "max(" + ",".join(f"x{i}" for i in range(32)) + ")",
            "max(" + ",".join(f"x{i}" for i in range(33)) + ")",
            "32",
        ),
        ("cbrt(x + " * 5 + "y" + ")" * 5, "cbrt(x + " * 15 + "y" + ")" * 15, "5000 nodes"),
        (
            "sqrt(3 + " * 5 + "2" + ")" * 5,
            "sqrt(3 + " * 12 + "2" + ")" * 12,
            "nested deeper than the limit of 12",
        ),
        ("Sum(sqrt(10**9 + i), (i, 1, 90))", "Sum(sqrt(10**9 + i), (i, 1, 110))", "100 roots"),
        ("2**0.123", "2**(1/100003)", "denominator"),
        ("sqrt(7**64)", "sqrt(7**64*11**64)", "64 digits"),
        ("v" * 40, "v" * 41, "limit is 40"),
    ],
)
def test_limits(within: str, beyond: str, limit: str) -> None:
    assert parse(within)
    assert limit in str(refused(beyond))


def test_the_limit_on_numbers_holds_before_they_are_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise AssertionError("a large power was computed")

    refused("(12345678901234567890**60)**60")
    monkeypatch.setattr(sp.Integer, "_eval_power", fail)
    assert "digits" in str(refused("12345678901234567890**60"))
    with pytest.raises(AssertionError, match="was computed"):
        parse("12345678901234567890**6")


def test_longer_texts_may_be_allowed() -> None:
    text = " + ".join(f"(x{i} - {i})**2" for i in range(1, 190))
    assert "limit" in str(refused(text))
    assert len(parse(text, scale=4).variables) == 189
    assert "limit" in str(refused(text * 4, scale=4))


@pytest.mark.parametrize(
    "text",
    [
        "9**9**9",
        "9**9**9**9**9",
        "1e1000000000",
        "1e-1000000000",
        "factorial(10**9)",
        "(" * 10000 + "x" + ")" * 10000,
        "(" * 1000,
        "[" * 1000,
        "-" * 1999 + "x",
        "not " * 400 + "x",
        "x" + "**x" * 600,
        "x" + "[x" * 600,
        "x" + "/(x" * 500,
        "(9**60)**(9**60)",
        "((((2**60)**60)**60)**60)**60",
        "10**40**40**40",
        "(1/3)**" * 30 + "3",
        "2**(1/1000003)",
        "(12345678901234567891)**(63999999/1000003)",
        "exp(exp(exp(exp(9))))",
        "sinh(sinh(sinh(sinh(sinh(9)))))",
        "Sum(1, (i, 1, 10**39))",
        "Sum(Sum(Sum(Sum(1, (i, 1, 999)), (j, 1, 999)), (k, 1, 999)), (l, 1, 999))",
        "Product(9**60, (i, 1, 1000))",
        "Sum((1/(1000003 + i))**64, (i, 1, 300))",
        "Max(" + ",".join(f"x{i}*y{i}" for i in range(200)) + ")",
        "cbrt(x*" * 30 + "y" + ")" * 30,
        "asin(sin(1e300)) + acos(cos(1e300)) + 1/0",
    ],
)
def test_hostile_texts_are_refused(text: str) -> None:
    refused(text)


@pytest.mark.parametrize(
    "text",
    [
        "x" + "**x" * 39,
        "(1 + x)" + "**(1 + x)" * 37,
        "sqrt(x/(y + " * 6 + "x" + ")**3 + 1)" * 6,
        "1/(x + " * 19 + "y" + ")" * 19,
        "exp(log(y + " * 9 + "x" + ")/3)" * 9,
        "abs(x - " * 19 + "y" + ")" * 19,
        "max(x, y - " * 19 + "y" + ")" * 19,
        "Piecewise((x, y > 0), (1 + " * 9 + "x" + ", True))" * 9,
        "+".join(f"{k}*x**{k % 60}*y**{k % 7}" for k in range(1, 90)),
        "Max(" + ",".join(f"x**{i} - {i}*y" for i in range(1, 30)) + ")",
        "Piecewise((1, " + " and ".join(f"x*y > {i}*z" for i in range(1, 100)) + "), (0, True))",
        "Product(cos(x[i]/sqrt(i)), (i, 1, 100))",
    ],
)
def test_long_texts_are_read(text: str) -> None:
    expression = parse(text).expression
    assert (
        parse(str(expression), variables=[s.name for s in expression.free_symbols]).expression == expression
    )


# Nothing is executed

AUDITED = """
import sys
from symdiscover.errors import ExpressionError
from symdiscover.expression import parse

parse("sin(x)**2 + Sum(x[i], (i, 1, 2)) + Piecewise((sqrt(x), x > 0), (max(x, 1)**(1/3), True)) + 0.1")
seen = []
watched = ("exec", "import", "open", "os.", "subprocess.", "socket.", "ctypes.", "code.")
sys.addaudithook(lambda event, args: seen.append(event) if event.startswith(watched) else None)
for text in {texts!r}:
    try:
        parse(text)
    except ExpressionError:
        pass
    else:
        raise SystemExit(f"accepted {{text}}")
parse("cos(x)**2 + Sum(x[i], (i, 1, 3)) + Piecewise((sqrt(x), x > 0), (min(x, 1)**(1/3), True)) + 0.2")
print("events", sorted(set(seen)))
eval("1")
print("control", sorted(set(seen)))
"""
ATTACKS = [
    "__import__('os').system('touch {path}')",
    "eval(\"open('{path}', 'w')\")",
    "exec('x')",
    "open('{path}', 'w')",
    "().__class__.__bases__[0].__subclasses__()",
    "(lambda: open('{path}', 'w'))()",
    "f'{{open(chr(47))}}'",
    "[open(p) for p in ('{path}',)]",
    "getattr(x, 'y')",
    "sin.__globals__",
    "x if open('{path}', 'w') else y",
    "breakpoint()",
    "globals()",
    "S('x')",
    "sympify(x)",
    "Symbol(x)",
    "Function(x)(y)",
    "Sum(open(x), (i, 1, 2))",
]


def test_nothing_is_executed(tmp_path: Path) -> None:
    target = tmp_path / "made_by_the_text"
    texts = [attack.format(path=target) for attack in ATTACKS]
    script = AUDITED.format(texts=texts)
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines() == ["events []", "control ['exec']"]
    assert not target.exists()


def test_sympy_never_sees_a_string(monkeypatch: pytest.MonkeyPatch) -> None:
    from sympy.parsing import sympy_parser

    def fail(text: str, *_: Any, **__: Any) -> None:
        raise AssertionError(f"SymPy parses {text!r}")

    # sympify hands every string that it is given to this function.
    monkeypatch.setattr(sympy_parser, "parse_expr", fail)
    with pytest.raises(AssertionError, match="SymPy parses"):
        sp.sympify("x + 1")
    for text in ("x + 1", "sin(x)**0.5", "max(x, y)", "Piecewise((x, Ne(x, 1)), (E, True))", "x[1]*cbrt(a)"):
        read(text)
    refused("sympify(x)")


# Meaning and printing, for random expressions

POINTS: list[Point] = [
    {name: MP.mpf(value) for name, value in point.items()}
    for point in (
        {"x": 0.7, "y": -1.3, "a": 2.1},
        {"x": -2.2, "y": 0.4, "a": 0.3},
        {"x": 5.1, "y": 3.3, "a": 1.7},
        {"x": -0.15, "y": -0.6, "a": 11.0},
    )
]


def values(meaning: Meaning) -> list[tuple[Point, Any]]:
    """The points at which the meaning is defined, with its values there."""
    found = []
    for point in POINTS:
        try:
            found.append((point, meaning.value(point)))
        except (Undefined, ZeroDivisionError, OverflowError):
            continue
    return [(point, value) for point, value in found if abs(value) < 1e300]


def agrees(expression: sp.Expr, point: Point, expected: Any) -> bool:
    """Whether the expression has this value at the point, to forty digits, or has one that 60 do not decide."""
    try:
        found = Enclosure(lambda symbol: exactly(point[symbol.name]))(expression)
    except OutsideDomain as error:
        return "told" in str(error)
    slack = (1 + abs(expected)) * MP.mpf(10) ** -40
    return bool(found.low - slack <= expected <= found.high + slack)


@settings(derandomize=True, max_examples=300)
@given(meanings())
def test_an_expression_means_what_it_says(meaning: Meaning) -> None:
    try:
        expression = read(meaning.text)
    except ExpressionError as error:
        # Refused as nowhere real: then it is so at every point. A power of cases wants all of them real.
        claims = "not finite and real" in str(error) and "told" not in str(error)
        assert not (claims and "Piecewise" not in meaning.text and values(meaning))
        return
    for point, value in values(meaning):
        assert agrees(expression, point, value), (meaning.text, expression, point)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("x**(1/3)", lambda p: abs(p["x"]) ** (MP.mpf(1) / 3)),
        ("x**(2/3)", lambda p: -real_power(p["x"], Fraction(2, 3))),
        ("-x**2", lambda p: p["x"] ** 2),
        ("x - (y - a)", lambda p: p["x"] - p["y"] - p["a"]),
        ("x/(2*y)", lambda p: p["x"] / 2 * p["y"]),
        ("0.1*x", lambda p: 0.1 * p["x"]),
        ("atan2(y, x)", lambda p: MP.atan2(p["x"], p["y"])),
        ("Piecewise((x, x > 1), (y, True))", lambda p: p["x"] if p["x"] < 1 else p["y"]),
    ],
)
def test_a_wrong_meaning_is_noticed(text: str, wrong: Callable[[Point], Any]) -> None:
    expression = read(text)
    assert not all(agrees(expression, point, wrong(point)) for point in POINTS)


@settings(derandomize=True, max_examples=300)
@given(meanings())
def test_what_is_printed_is_read_again(meaning: Meaning) -> None:
    try:
        expression = read(meaning.text)
    except ExpressionError:
        assume(False)
    again = read(str(expression))
    assert again == expression
    assert again + x != expression


# Random damage


def damaged(text: str, draw: random.Random) -> str:
    """The text after one to six insertions, deletions, exchanges and repetitions."""
    alphabet = string.printable + "()()**+-/,[]<>&|~^.\0\u00e9\uff58\u2212\U0001d465"
    words = [
        "Sum(",
        "Piecewise((",
        ", True))",
        "lambda ",
        "1e999",
        "**9**9",
        "[i]",
        " and ",
        "not ",
        "x1",
        "__",
        "log(0)",
    ]
    characters = list(text)
    for _ in range(draw.randint(1, 6)):
        at = draw.randrange(len(characters) + 1)
        match draw.randrange(5):
            case 0:
                characters[at:at] = [draw.choice(alphabet)]
            case 1:
                del characters[at : at + draw.randint(1, 3)]
            case 2:
                characters[at : at + 1] = [draw.choice(alphabet)]
            case 3:
                characters[at:at] = list(draw.choice(words))
            case 4:
                characters[at:at] = characters[at : at + draw.randint(1, 12)] * draw.randint(1, 4)
    return "".join(characters)


SEEDS = [
    "x + 2*y - 7",
    "(x**2 + y - 11)**2 + (x + y**2 - 7)**2",
    "-20*exp(-0.2*sqrt((x**2 + y**2)/2)) - exp((cos(2*pi*x) + cos(2*pi*y))/2) + 20 + E",
    "Sum(100*(x[i+1] - x[i]**2)**2 + (1 - x[i])**2, (i, 1, 4))",
    "Piecewise((x**2, (x > 0) & (y < 1)), (abs(x)**0.5, Ne(x, 2)), (-x, True))",
    "max(abs(x + 2*y - 7), abs(2*x + y - 5)) + min(x, 1)",
    "Product(cos(x[i]/sqrt(i)), (i, 1, 3)) + floor(x) + sign(y)*ceil(z)",
    "atan2(y, x)**(1/3) + log(x, 2) + cbrt(y) + tanh(z)",
]


def test_random_damage_gives_an_expression_or_an_expression_error() -> None:
    draw = random.Random(2024)
    read_well = 0
    messages = set()
    for _ in range(4000):
        text = damaged(draw.choice(SEEDS), draw)
        try:
            parsed = parse(text)
        except ExpressionError as error:
            messages.add(re.sub(r"'[^']*'|\d+", "", str(error))[:30])
            continue
        read_well += 1
        assert parsed.expression.free_symbols <= set(parsed.variables)
        assert parsed.expression.is_finite is not False and not parsed.expression.has(
            sp.I, sp.nan, sp.zoo, sp.oo
        )
    # The damage is neither so light that all is read nor so heavy that all fails at the first character.
    assert read_well > 100 and len(messages) > 20
