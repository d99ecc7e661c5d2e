"""What a vanishing derivative proves, and where expressions are real."""

from __future__ import annotations

import pytest
import sympy as sp

from symdiscover.continuity import is_rigid, partial_nodes, rigid_parts

x, y = sp.symbols("x y", real=True)
a = sp.Symbol("a", positive=True)

RIGID = [
    x**2 + y,
    1 / (x - y),
    sp.exp(1 / x),
    sp.sin(x) / x + sp.tan(y),
    sp.Abs(x) + sp.Max(x, y, 0) - sp.Min(x, 1),
    sp.sqrt(x**2 + y**2),
    sp.sqrt(sp.Abs(x)),
    sp.log(1 + sp.exp(x)),
    sp.atan(x) + sp.tanh(x),
    1 / (1 + sp.Abs(x)),
    a**x / sp.sqrt(a),
    (x**2 + 1) ** sp.Rational(-3, 2),
]
NOT_RIGID = [
    sp.sign(x),
    sp.floor(x),
    sp.ceiling(x + y),
    sp.Abs(x) / x,
    sp.sqrt(x**2) / x,
    sp.atan(1 / x),
    sp.atan2(y, x),
    sp.log(x),
    sp.sqrt(x),
    sp.Piecewise((1, x > 0), (0, True)),
    sp.Heaviside(x),
    sp.atan(sp.tan(x)),
    sp.asin(sp.sin(x)) / sp.Abs(x),
]


@pytest.mark.parametrize("expression", RIGID, ids=str)
def test_rigid(expression: sp.Expr) -> None:
    assert is_rigid(expression, [x, y])
    assert rigid_parts(expression, [x, y]) == [expression]


@pytest.mark.parametrize("expression", NOT_RIGID, ids=str)
def test_not_rigid(expression: sp.Expr) -> None:
    """Each may be constant on two sides of a jump with different values."""
    assert not is_rigid(expression, [x, y])


@pytest.mark.parametrize("expression", NOT_RIGID, ids=str)
def test_parts_determine_the_whole(expression: sp.Expr) -> None:
    """Where two points agree in all parts, they agree in the expression."""
    whole = expression + sp.floor(y**2 + x)
    parts = rigid_parts(whole, [x, y])
    assert parts and all(is_rigid(part, [x, y]) for part in parts)
    symbols = {part: sp.Dummy() for part in sorted(parts, key=lambda p: -p.count_ops())}
    assert not whole.xreplace(symbols).free_symbols & {x, y}
    fewer = {part: symbol for part, symbol in symbols.items() if part != parts[0]}
    assert len(symbols) == 1 or whole.xreplace(fewer).free_symbols & {x, y}


def test_other_symbols_are_parameters() -> None:
    assert is_rigid(sp.floor(y) + x**2, [x]) and not is_rigid(sp.floor(y) + x**2, [x, y])
    assert rigid_parts(sp.floor(y) * sp.sign(x**2 + x), [x]) == [x**2 + x]


@pytest.mark.parametrize(
    ("expression", "conditions", "partial"),
    [
        (sp.sqrt(x), (), True),
        (sp.sqrt(x**2 + 1) + sp.sqrt(a) + sp.log(x**2), (), False),
        (sp.log(x - 1), (), True),
        (sp.log(x - 1), (x > 1,), False),
        (sp.log(x - 1), (x > 1,), False),
        (sp.log(x - 1), (x < 1,), True),
        (sp.log(x - 1), (x > 0,), True),
        (sp.asin(x), (), True),
        (sp.acosh(x), (), True),
        (1 / x + sp.tan(x) + sp.sign(x), (), False),
        (sp.Abs(x) ** sp.Rational(1, 3) * sp.sign(x), (), False),
        (sp.root(x, 3), (), True),
        (sp.exp(x) ** sp.Rational(1, 2), (), False),
        (sp.Piecewise((sp.sqrt(x), x > 0), (0, True)), (), True),
    ],
)
def test_partial_nodes(expression: sp.Expr, conditions: tuple[sp.Basic, ...], partial: bool) -> None:
    assert bool(partial_nodes(expression, conditions)) is partial
