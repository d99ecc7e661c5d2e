"""One process of a survey, ``python -m symdiscover._surveyor``: an entry of the collection in, its row out.

It talks in the frames of `symdiscover.budget`, each a JSON text.
"""

from __future__ import annotations

import json
import queue
import signal
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeGuard

from symdiscover import budget as bounded
from symdiscover._worker import _die_with_parent, _listen, _take_pipes
from symdiscover.derive import derive
from symdiscover.errors import ExpressionError
from symdiscover.expression import parse
from symdiscover.loss import Loss
from symdiscover.symmetry import Certificate

#: Variables and constants that one entry may have: more than an expression can hold.
NAMES = 1_200
KEYS = {"variables", "expression", "bounds", "positive", "values", "differentiable"}


@dataclass(frozen=True)
class Problem:
    """One loss of a collection: what is derived, and where it is re-checked."""

    loss: Loss
    box: tuple[tuple[float, float], ...]
    values: dict[str, float]
    differentiable: bool


def read_problem(data: Any) -> Problem:
    """An entry of a collection as a loss; text is read by `Loss.parse` alone.

    Raises
    ------
    ExpressionError
        If it is anything else than such an entry.

    Examples
    --------
    >>> read_problem({"variables": ["x"], "expression": "a*x**2", "bounds": [[-1, "pi"]], "positive": ["a"]}).box
    ((-1.0, 3.141592653589793),)
    """
    if not isinstance(data, Mapping):
        raise ExpressionError("an entry is an object with variables, expression and bounds")
    if unknown := sorted(set(data) - KEYS):
        raise ExpressionError(f"unknown key {unknown[0]!r}; there are {', '.join(sorted(KEYS))}")
    text, variables, positive = data.get("expression"), data.get("variables"), data.get("positive", [])
    if not isinstance(text, str):
        raise ExpressionError("the expression must be a text")
    if not _are(variables, str) or not _are(positive, str):
        raise ExpressionError("variables and positive constants must be lists of names")
    if len(variables) + len(positive) > NAMES:
        raise ExpressionError(f"more than {NAMES} variables and constants")
    loss = Loss.parse(text, variables, positive)
    # Constants without a value of their own get one each that is not special.
    values = {name: 0.7 + 0.61 * k for k, name in enumerate(positive)}
    given = data.get("values", {})
    if not isinstance(given, Mapping) or set(given) - set(positive):
        raise ExpressionError("values must be an object with a number for positive constants")
    values |= {name: _number(value) for name, value in given.items()}
    if not all(value > 0 for value in values.values()):
        raise ExpressionError("the values of positive constants must be positive")
    differentiable = data.get("differentiable", not _has_corners(loss))
    if not isinstance(differentiable, bool):
        raise ExpressionError("differentiable must be true or false")
    return Problem(loss, _box(data.get("bounds"), loss), values, differentiable)


def _are(value: Any, kind: type | tuple[type, ...]) -> TypeGuard[Sequence[Any]]:
    return isinstance(value, list | tuple) and all(isinstance(entry, kind) for entry in value)


def _box(bounds: Any, loss: Loss) -> tuple[tuple[float, float], ...]:
    if not _are(bounds, (list, tuple)) or [len(pair) for pair in bounds] != [2] * loss.dimension:
        raise ExpressionError(
            f"bounds must be a list of {loss.dimension} pairs [lowest, highest], one for each variable"
        )
    box = tuple((_number(low), _number(high)) for low, high in bounds)
    if not all(low < high for low, high in box):
        raise ExpressionError("the lowest of two bounds must be below the highest")
    return box


def _number(value: Any) -> float:
    """A finite number, given as one or as a text such as "pi/2"."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ExpressionError("bounds and values must be numbers")
    try:
        number = float(parse(value, variables=()).expression) if isinstance(value, str) else float(value)
    except (OverflowError, TypeError):
        raise ExpressionError("bounds and values must be numbers of ordinary size") from None
    if not abs(number) <= 1e150:
        raise ExpressionError("bounds and values must be finite, and below 1e150")
    return number


def _has_corners(loss: Loss) -> bool:
    import sympy as sp

    kinds = (sp.Abs, sp.sign, sp.floor, sp.ceiling, sp.Heaviside, sp.Max, sp.Min, sp.Piecewise)
    return bool(loss.expression.has(*kinds))


def examine(data: Any, budget: float) -> dict[str, Any]:
    """Derive and re-check one entry: the fields of its row, whatever happens on the way."""
    row: dict[str, Any] = {"outcome": "derived"}
    try:
        problem = read_problem(data)
        row |= {"variables": problem.loss.dimension, "differentiable": problem.differentiable}
        derivation = derive(problem.loss, budget)
        row |= {
            "seconds": derivation.seconds,
            "tried": [(attempt.route, attempt.outcome, attempt.seconds) for attempt in derivation.tried],
            "claims": _claims(problem, derivation.certificates, bounded.Deadline(budget)),
        }
    except ExpressionError as error:
        stage = "crash" if "variables" in row else "not parsed"
        row["outcome"] = f"{stage}: {_sentence(error)}"
    except Exception as error:  # a row says so, and the survey goes on
        row["outcome"] = f"crash: {type(error).__name__}: {_sentence(error)}"
    return row


def _claims(
    problem: Problem, certificates: Sequence[Certificate], deadline: bounded.Deadline
) -> list[dict[str, Any]]:
    from symdiscover.recheck import recheck

    claims = []
    for left, certificate in zip(range(len(certificates), 0, -1), certificates, strict=True):
        checked = recheck(
            problem.loss,
            certificate,
            problem.box,
            problem.values,
            seconds=max(deadline.left() / left, 1.0),  # the later claims have their turn
        )
        symmetry = certificate.symmetry
        claims.append(
            {
                "group": symmetry.group.name,
                "kind": symmetry.kind,
                "status": certificate.status,
                "route": symmetry.route,
                "domain": symmetry.domain,
                "continuous": certificate.orbit_dimension > 0,
                "transitive": certificate.transitive,
                **asdict(checked),
            }
        )
    return claims


def _sentence(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def main() -> None:
    """Answer until the parent closes the pipe, or ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle: it kills this process
    requests, answers = _take_pipes()
    _die_with_parent()
    import torch

    torch.set_num_threads(1)
    inbox: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(requests, inbox), daemon=True).start()
    # All imports, here and in the worker of `budget`, are made before the clock of the first entry runs.
    examine({"variables": ["x"], "expression": "x**2", "bounds": [[0, 1]]}, bounded.START_SECONDS)
    answers.write(bounded.GREETING)
    while True:
        bounded.write_frame(answers, json.dumps(examine(**json.loads(inbox.get()))).encode())


if __name__ == "__main__":
    main()
