"""Claims of every kind of element, chart and map, as the tests of generated code use them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import sympy as sp

import symdiscover as sd
from symdiscover.group import Group
from symdiscover.routes import affine, peel, quadratic, translations
from symdiscover.source import action_source

VALUES = {"a": 1.5, "b": 3.0}


def _found(
    route: Callable[..., list[sd.Symmetry]], text: str, positive: str = "", index: int = 0
) -> sd.Symmetry:
    return route(sd.Loss.parse(text, positive=positive))[index]


def _logarithmic() -> sd.Symmetry:
    """Rotations of (log x, y), claimed for x > 0 alone."""
    loss = sd.Loss.parse("log(x)**2 + y**2")
    (x, y), (u, v) = loss.variables, sp.symbols("u1 u2", real=True)
    chart = sd.Chart(loss.variables, (u, v), (sp.log(x), y), ((x, sp.exp(u)), (y, v)), (x > 0,))
    return sd.Symmetry(loss, sd.SO(2), chart, kind="branch")


def _oblique() -> sd.Symmetry:
    """Turns about (1, -1), as affine maps of three coordinates of which the last stays."""
    loss = sd.Loss.parse("(x - 1)**2 + 4*(y + 1)**2 + z**4")
    turn = sp.ImmutableMatrix(
        [[0, -2, 0, -2], [sp.Rational(1, 2), 0, 0, -sp.Rational(1, 2)], [0] * 4, [0] * 4]
    )
    group = Group("SO(2)", 3, (turn,), compact=True, affine=True, element="angle")
    return sd.Symmetry(loss, group, sd.Chart.identity(loss.variables))


def _by_hand() -> sd.Symmetry:
    loss = sd.Loss.parse("a*x*y", positive="a")
    (x, y), t = loss.variables, sp.Symbol("t", real=True)
    return sd.claim(loss, [x * sp.exp(t), y * sp.exp(-t)], [t])


def _without_composition() -> sd.Symmetry:
    """x -> x exp(t^3): every one of the maps leaves the loss equal, but t and s do not add."""
    loss = sd.Loss.parse("x*y")
    (x, y), t = loss.variables, sp.Symbol("t", real=True)
    return sd.claim(loss, [x * sp.exp(t**3), y * sp.exp(-(t**3))], [t])


CLAIMS: dict[str, Callable[[], sd.Symmetry]] = {
    "booth": lambda: _found(quadratic.find, "(x + 2*y - 7)**2 + (2*x + y - 5)**2"),
    "rosenbrock": lambda: _found(peel.find, "b*(x**2 - y)**2 + (x - a)**2", "a, b"),
    "ellipse": lambda: _found(quadratic.find, "(x - a)**2 + b*y**2", "a, b"),
    "chain": lambda: _found(peel.find, "(y - x**2)**2 + 3*(z - y**2)**2 + x**4"),
    "ellipsoid": lambda: _found(quadratic.find, "x**2 + 2*y**2 + 3*z**2 + x*z"),
    "saddle": lambda: _found(quadratic.find, "x*y"),
    "one square": lambda: _found(quadratic.find, "(x - 1)**2"),
    "translation": lambda: _found(translations.find, "(x + 2*y)**4"),
    "translations": lambda: _found(translations.find, "sin(x + y - z)"),
    "linear": lambda: _found(translations.find, "(x + y - z)**2", index=1),
    "scalings": lambda: _found(affine.find, "x**2*y + z**4*y**2"),
    "two scalings": lambda: _found(affine.find, "x*y*z"),
    "shears": lambda: _found(affine.find, "(x*w - y*z)**2"),
    "logarithmic": _logarithmic,
    "oblique": _oblique,
    "by hand": _by_hand,
    "without composition": _without_composition,
}


@cache
def claim(name: str) -> sd.Symmetry:
    return CLAIMS[name]()


@cache
def certificate(name: str) -> sd.Certificate:
    return sd.verify(claim(name))


@cache
def source(name: str) -> str:
    return action_source(claim(name))


@cache
def action(name: str) -> sd.Action:
    """The code of a proved claim, at the constants of `VALUES`."""
    return sd.to_torch(certificate(name), **{s.name: VALUES[s.name] for s in claim(name).loss.constants})


def bare_action(symmetry: sd.Symmetry) -> sd.Action:
    """The code of a claim, proved or not."""
    return sd.Action(symmetry.group, action_source(symmetry))


def renamed(symmetry: sd.Symmetry, names: dict[str, str]) -> sd.Symmetry:
    """The same claim about a loss whose variables and constants are named otherwise."""
    loss = symmetry.loss
    new = {
        s: sp.Symbol(names.get(s.name, s.name), **s.assumptions0) for s in (*loss.variables, *loss.constants)
    }
    chart = symmetry.chart
    return replace(
        symmetry,
        loss=sd.Loss(
            loss.expression.xreplace(new),
            tuple(new[s] for s in loss.variables),
            tuple(new[s] for s in loss.constants),
        ),
        chart=sd.Chart(
            tuple(new[s] for s in chart.variables),
            chart.coordinates,
            tuple(e.xreplace(new) for e in chart.forward),
            tuple((new[x], e.xreplace(new)) for x, e in chart.inverse),
            tuple(c.xreplace(new) for c in chart.conditions),
        ),
        reduced=None if symmetry.reduced is None else symmetry.reduced.xreplace(new),
        parameters=(),
        map=None,
    )
