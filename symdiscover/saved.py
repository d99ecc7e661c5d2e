"""Saved actions: the proof of a generated file from the claim it states, without ever running the file."""

from __future__ import annotations

import ast
import os
from pathlib import Path
from typing import Any

from symdiscover.budget import Deadline, call
from symdiscover.errors import SymmetryError
from symdiscover.literal import read_literal
from symdiscover.source import source_of
from symdiscover.symmetry import Certificate, Symmetry
from symdiscover.verify import verify

#: Larger files are not read.
MAX_BYTES = 4 * 2**20


def verify_file(path: str | os.PathLike[str], budget: float = 30.0) -> Certificate:
    """Prove a saved action again from the expression and the map that its file states; the file is never run.

    Besides the proof, the code in the file must be, character for character, what the proved claim generates.

    Raises
    ------
    SymmetryError
        If the file holds no saved action, its code is not what its claim generates, or its map is not the action
        that it claims.
    NotInvariant
        If the claim is false.
    BudgetExceeded
        If the claim could not be read in time.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import symdiscover as sd, tempfile
    >>> action = sd.to_torch(sd.derive(sd.Loss.parse("x**2 + 4*y**2")).certificates[0])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     verify_file(action.save(f"{folder}/ellipse_action.py")).status
    'proved'
    """
    deadline = Deadline(budget)
    text = _read(path)
    try:
        # In a process that can be ended: the file may be from anybody, and made to exhaust its reader.
        symmetry, generated, own_map = call(read_claim, text, seconds=budget)
        certificate = verify(symmetry, max(deadline.left(), 1.0))
    except SymmetryError:
        raise
    except Exception as error:  # what no route claims, such as a generator of zeros, may fail anywhere
        raise SymmetryError(
            f"the claim in {path} cannot be checked: {type(error).__name__}: {error}"
        ) from error
    if not own_map:
        raise SymmetryError(
            f"the map in {path} leaves the loss equal, but is not the one that its group and chart give"
        )
    if generated != text:
        raise SymmetryError(
            f"the claim in {path} is {certificate.status}, but the code is not what it generates: the file was "
            f"changed, or written with another version"
        )
    return certificate


def read_claim(text: str) -> tuple[Symmetry, str, bool]:
    """The claim in a generated module, the module it generates, and whether its map is that of its group and chart.

    Raises
    ------
    SymmetryError
        If the text holds no claim.
    """
    try:
        literal = _literal(ast.parse(text))
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError) as error:
        reason = str(error) or type(error).__name__
        raise SymmetryError(
            f"no saved action: the file does not hold a readable SYMMETRY ({reason})"
        ) from None
    symmetry, own_map = read_literal(literal)
    return symmetry, source_of(literal, symmetry), own_map


def _read(path: str | os.PathLike[str]) -> str:
    if "\0" in os.fspath(path):
        raise SymmetryError("no saved action: the name of a file holds no NUL")
    with Path(path).open("rb") as stream:
        content = stream.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise SymmetryError(f"no saved action: {path} has more than {MAX_BYTES // 2**20} MiB")
    try:
        return content.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError:
        raise SymmetryError(f"no saved action: {path} is no text in UTF-8") from None


def _literal(tree: ast.Module) -> Any:
    found = [
        statement.value
        for statement in tree.body
        if isinstance(statement, ast.Assign)
        and any(isinstance(target, ast.Name) and target.id == "SYMMETRY" for target in statement.targets)
    ]
    if len(found) != 1:
        raise ValueError(f"{len(found) or 'no'} assignments to it")
    return ast.literal_eval(found[0])
