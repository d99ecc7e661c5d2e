"""Models and example inputs named on a command line: ``package.module:factory`` or a saved program, and ``32x784:float32``."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from symdiscover.errors import ExpressionError, SymmetryError
from symdiscover.network.trace import Model, load_program

#: Entries of one example input.
MOST = 2**28
#: Names of element types.
DTYPES = (
    "float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool", "complex64",
)  # fmt: skip


def load_model(target: str) -> Model:
    """The model that a factory returns, or that is an attribute of a module, or a saved `torch.export` program.

    Modules are found in the current directory first. Importing one runs it. Its random numbers are the same each time, and
    leave the caller's as they are.

    Raises
    ------
    ExpressionError
        If the target is written in another way.
    SymmetryError
        If there is no such module or name, its code fails, or it is no model.

    Examples
    --------
    >>> load_model("torch.nn:Identity")
    Identity()
    """
    if target.endswith(".pt2"):
        return load_program(target)
    module_name, _, path = target.partition(":")
    if not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*", target):
        raise ExpressionError(
            f"{target!r} is neither MODULE:FACTORY, such as models:make_mlp, nor a file that ends in .pt2"
        )
    with _current_directory(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        found: Any = _run(f"importing {module_name}", lambda: importlib.import_module(module_name))
        for name in path.split("."):
            if not hasattr(found, name):
                near = difflib.get_close_matches(name, dir(found), n=1)
                hint = f"; did you mean {near[0]}?" if near else ""
                raise SymmetryError(f"{module_name} has no {name!r}{hint}")
            found = getattr(found, name)
        if callable(found) and not isinstance(found, nn.Module):
            found = _run(f"{path}()", found)
    if not isinstance(found, nn.Module | torch.export.ExportedProgram):
        raise SymmetryError(f"{target} is no nn.Module and returns none, but a {type(found).__name__}")
    return found


@contextlib.contextmanager
def _current_directory() -> Iterator[None]:
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(here)


def _run(what: str, code: Any) -> Any:
    """The result of somebody's code."""
    try:
        return code()
    except (Exception, SystemExit) as error:
        raise SymmetryError(f"{what} failed: {type(error).__name__}: {error}") from error


def example_input(text: str, dtype: str = "float32", seed: int = 0) -> tuple[str, torch.Tensor]:
    """(name, tensor) from ``[NAME=]SHAPE[:DTYPE[:HIGH]]``; the name is empty where the input is positional.

    Normal numbers of a floating type, else whole numbers from 0 to HIGH - 1; HIGH is 2 by default.

    Raises
    ------
    ExpressionError
        If the text says something else.

    Examples
    --------
    >>> name, ids = example_input("ids=2x5:int64:11")
    >>> name, tuple(ids.shape), ids.dtype, int(ids.max()) < 11
    ('ids', (2, 5), torch.int64, True)
    """
    match = re.fullmatch(r"(?:([^\W\d]\w*)=)?(\d+(?:x\d+)*)(?::(\w+)(?::(\d+))?)?", text.strip(), re.ASCII)
    if match is None:
        raise ExpressionError(
            f"{text!r} is no [NAME=]SHAPE[:DTYPE[:HIGH]], such as 32x784, 2x5:int64:11 or mask=2x5:bool"
        )
    name, shape, own, high = match.groups()
    kind = own or dtype
    if kind not in DTYPES:
        near = difflib.get_close_matches(kind, DTYPES, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ExpressionError(f"{kind!r} is no element type{hint}; known: {', '.join(DTYPES)}")
    sizes, entries = [], 1
    for part in shape.split("x"):
        sizes.append(int(part[:12]))
        entries *= max(sizes[-1], 1)
    if entries > MOST:
        raise ExpressionError(f"{text!r} has more than {MOST} entries; the shape of a small batch is enough")
    made: torch.dtype = getattr(torch, kind)
    generator = torch.Generator().manual_seed(seed)
    if made.is_floating_point or made.is_complex:
        if high is not None:
            raise ExpressionError(f"{text!r}: only whole numbers have an upper end")
        return name or "", torch.randn(sizes, generator=generator).to(made)
    most = 2 if made == torch.bool else torch.iinfo(made).max
    limit = int(high[:20]) if high is not None else 2
    if not 1 <= limit <= most:
        raise ExpressionError(f"{text!r}: the upper end of {kind} is between 1 and {most}")
    return name or "", torch.randint(limit, sizes, generator=generator).to(made)


__all__ = ["DTYPES", "example_input", "load_model"]
