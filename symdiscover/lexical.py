"""The characters and words of the expression notation, checked before any grammar sees them."""

from __future__ import annotations

import keyword
import re

from symdiscover.errors import ExpressionError

MAX_LENGTH = 2000
MAX_DEPTH = 40
MAX_NAME = 40
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
NUMBER = re.compile(r"(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)(?:[eE][+-]?[0-9][0-9_]*)?")
_TOKEN = re.compile(
    rf"(?P<space>[ \t\r\n]+)|(?P<number>{NUMBER.pattern})|(?P<word>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<open>[(\[])|(?P<close>[)\]])|(?P<operator>\*\*|[<>=!]=|[-+*/,<>&|~])"
)
_WORDS = frozenset({"and", "or", "not", "True", "False"})
_ADVICE = {
    "^": "use ** for powers",
    "=": "write == to compare",
    ".": "attributes are not part of the notation",
    "'": "strings are not part of the notation",
    '"': "strings are not part of the notation",
    "#": "comments are not part of the notation",
    "%": "remainders are not part of the notation",
}


def scan(text: object, scale: int = 1) -> str:
    """The text, with each white space made a blank so that columns stay; the rest must be known and balanced.

    Raises
    ------
    ExpressionError
        If it is no string, is empty, longer than 2,000 characters times `scale` or nested deeper than 40, or
        contains a character, word or number that is not part of the notation.

    Examples
    --------
    >>> scan("x1 +\\ny")
    'x1 + y'
    >>> scan("x^2")
    Traceback (most recent call last):
    symdiscover.errors.ExpressionError: the character '^' is not allowed: use ** for powers (column 2)
    """
    if not isinstance(text, str):
        raise ExpressionError(f"an expression is a string, not {type(text).__name__}")
    if len(text) > MAX_LENGTH * scale:
        raise ExpressionError(f"{len(text)} characters: the limit is {MAX_LENGTH * scale} characters")
    if not text.strip():
        raise ExpressionError("the expression is empty")
    brackets: list[int] = []
    position, after_number = 0, False
    while position < len(text):
        token = _TOKEN.match(text, position)
        if token is None:
            raise _refusal(text[position], position + 1)
        _check(token, brackets, after_number)
        position, after_number = token.end(), token.lastgroup == "number"
    if brackets:
        raise ExpressionError(f"{text[brackets[-1]]!r} is never closed", brackets[-1] + 1)
    return re.sub(r"\s", " ", text)


def _check(token: re.Match[str], brackets: list[int], after_number: bool) -> None:
    value, column = token.group(), token.start() + 1
    match token.lastgroup:
        case "word" if after_number:
            raise ExpressionError(f"a number runs into {value!r}: write * between them", column)
        case "word":
            if value not in _WORDS:
                check_name(value, column)
        case "open":
            brackets.append(token.start())
            if len(brackets) > MAX_DEPTH:
                raise ExpressionError(f"nested deeper than the limit of {MAX_DEPTH}", column)
        case "close":
            wanted = {")": "(", "]": "["}[value]
            if not brackets or token.string[brackets.pop()] != wanted:
                raise ExpressionError(f"{value!r} closes nothing", column)


def check_name(name: str, column: int | None = None) -> None:
    """Refuse what is no name: ASCII letters, digits and underscores, a letter first, at most 40, no keyword.

    Raises
    ------
    ExpressionError
        If it is not such a name.
    """
    if len(name) > MAX_NAME:
        raise ExpressionError(f"a name of {len(name)} characters: the limit is {MAX_NAME}", column)
    if not _NAME.fullmatch(name):
        raise ExpressionError(
            f"{name!a} is no name: a letter comes first, then ASCII letters, digits and underscores",
            column,
        )
    if keyword.iskeyword(name):
        raise ExpressionError(f"{name!r} is a word of Python and cannot be a name", column)


def _refusal(character: str, column: int) -> ExpressionError:
    shown = repr(character) if character.isascii() else ascii(character)
    advice = _ADVICE.get(character)
    if not character.isascii():
        advice = "only ASCII is, also where another letter looks the same"
    message = f"the character {shown} is not allowed"
    return ExpressionError(f"{message}: {advice}" if advice else message, column)
