"""Number literals as exact rationals, without ever computing a number that is large."""

from __future__ import annotations

import math
from fractions import Fraction

from symdiscover.errors import ExpressionError

MAX_DIGITS = 40


def rational_of(literal: str, most: int = MAX_DIGITS) -> Fraction:
    """The rational a literal means: integers exactly, others the shortest that rounds to the same double.

    Two candidates are compared, the decimal as it is written and the simplest fraction in the interval of
    numbers that round to the double; the one with fewer significant digits wins, the decimal on a tie.

    Raises
    ------
    ExpressionError
        If the literal has more than `most` digits, or is beyond the range of double precision.

    Examples
    --------
    >>> [str(rational_of(text)) for text in ("0.1", "0.3333333333333333", "2.25", "1e-20", "12")]
    ['1/10', '1/3', '9/4', '1/100000000000000000000', '12']
    """
    literal = literal.replace("_", "").lower()
    digits = sum(character.isdigit() for character in literal)
    if digits > most:
        raise ExpressionError(f"a number of {digits} digits: the limit is {most} digits in one literal")
    if literal.isdigit():
        return Fraction(int(literal))
    significand = literal.partition("e")[0].replace(".", "").strip("0")
    if not significand:
        # Not Fraction(literal): 0e999999999 would build the power of ten first.
        return Fraction(0)
    # The double comes first because it bounds the exponent before anything exact is computed.
    value = float(literal)
    if math.isinf(value):
        raise ExpressionError(f"{literal} is not finite in double precision (limit 1.8e308)")
    if value == 0:
        raise ExpressionError(
            f"{literal} is not 0 but rounds to 0 in double precision, whose limit is 5e-324"
        )
    decimal = Fraction(literal)
    simplest = simplest_between(*_rounding_interval(value))
    # An end of the interval may round to the neighbour; only what gives this double is a candidate.
    if float(simplest) == value and _digits(simplest) < len(significand):
        return simplest
    return decimal


def simplest_between(low: Fraction, high: Fraction) -> Fraction:
    """The fraction of smallest denominator, then numerator, in [low, high], 0 < low <= high (Stern-Brocot).

    Examples
    --------
    >>> simplest_between(Fraction(314, 100), Fraction(315, 100))
    Fraction(22, 7)
    """
    quotients = []
    while (whole := math.ceil(low)) > high:
        quotients.append(whole - 1)
        low, high = 1 / (high - whole + 1), 1 / (low - whole + 1)
    result = Fraction(whole)
    for quotient in reversed(quotients):
        result = quotient + 1 / result
    return result


def _rounding_interval(value: float) -> tuple[Fraction, Fraction]:
    """The two midpoints between a positive double and its neighbours."""
    exact, below = Fraction(value), Fraction(math.nextafter(value, 0.0))
    above = math.nextafter(value, math.inf)
    # The largest double rounds up as if 2**1024 were the next one.
    upper = Fraction(2**1024) if math.isinf(above) else Fraction(above)
    return (below + exact) / 2, (exact + upper) / 2


def _digits(fraction: Fraction) -> int:
    """How many digits it takes to write the fraction p/q, or the integer p."""
    numerator, denominator = str(fraction.numerator), str(fraction.denominator)
    return len(numerator) + (len(denominator) if denominator != "1" else 0)
