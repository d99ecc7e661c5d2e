"""One file a route. A route is a module with

``order``
    an integer: routes are tried from the smallest to the largest;
``find(loss, found)``
    the symmetries it can claim for a loss, given those found before it. It raises `NoSymmetry` with the reason where
    it has none. It proves nothing: `derive` hands each claim to `verify`;
``lifts`` (True where it is not given)
    whether its claims about a loss without its translations are carried over to the loss with them.

Adding a route is adding a file here. What several routes share stands in files that begin with an underscore.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass

from symdiscover.errors import SymmetryError
from symdiscover.loss import Loss
from symdiscover.symmetry import Symmetry

Find = Callable[[Loss, tuple[Symmetry, ...]], list[Symmetry]]


class NoSymmetry(SymmetryError):
    """This route has nothing to claim about this loss; the message says why."""


@dataclass(frozen=True)
class Route:
    """A named search for one family of symmetries."""

    name: str
    order: int
    find: Find
    lifts: bool = True


def routes() -> tuple[Route, ...]:
    """Every route in this package, in the order in which they are tried.

    Examples
    --------
    >>> [route.name for route in routes()][:3]
    ['translations', 'quadratic', 'peel']
    """
    modules = [
        importlib.import_module(f"{__name__}.{entry.name}")
        for entry in pkgutil.iter_modules(__path__)
        if not entry.name.startswith("_")
    ]
    found = [
        Route(module.__name__.rsplit(".", 1)[-1], module.order, module.find, getattr(module, "lifts", True))
        for module in modules
    ]
    return tuple(sorted(found, key=lambda route: (route.order, route.name)))
