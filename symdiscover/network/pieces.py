"""A function of one real variable, piece by piece: where its pieces meet, its formula on each, its value between.

Kinks are the zeros of what decides a case: arguments of Abs, Max, Min, sign and Heaviside, conditions of Piecewise,
and arguments at which a logarithm, a root or a quotient ends. Between two of them the function is one analytic
formula, so an identity of formulas proves an identity of functions there.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import sympy as sp
from sympy.core.relational import Relational

from symdiscover.network.formula import ANALYTIC, Undecided, Z, is_zero, sampled_sign, zero_between, zeros

_CASES = (sp.Abs, sp.sign, sp.Heaviside, sp.Max, sp.Min)


@dataclass(frozen=True)
class Pieces:
    """`branches[i]` holds between `kinks[i - 1]` and `kinks[i]`, `values[i]` at `kinks[i]`; None: not real there."""

    kinks: tuple[sp.Expr, ...]
    branches: tuple[sp.Expr | None, ...]
    values: tuple[sp.Expr | None, ...]
    low: sp.Expr = -sp.oo
    high: sp.Expr = sp.oo

    def intervals(self) -> Iterator[tuple[sp.Expr, sp.Expr, sp.Expr | None]]:
        """Each open interval and its formula, from left to right."""
        ends = (self.low, *self.kinks, self.high)
        for (low, high), branch in zip(itertools.pairwise(ends), self.branches, strict=True):
            yield low, high, branch

    @property
    def domain(self) -> sp.Set:
        """Where the function is real and finite."""
        parts = [sp.Interval.open(low, high) for low, high, branch in self.intervals() if branch is not None]
        points = [k for k, value in zip(self.kinks, self.values, strict=True) if value is not None]
        return sp.Union(*parts, sp.FiniteSet(*points))


def split(expression: sp.Expr, low: sp.Expr = -sp.oo, high: sp.Expr = sp.oo) -> Pieces:
    """The pieces of an expression in `Z` on an open interval; kinks across which one formula holds are left out.

    Raises
    ------
    Undecided
        If a kink cannot be found exactly, there are infinitely many, or a function is not known to be analytic.

    Examples
    --------
    >>> split(sp.Max(Z, 0) + sp.Abs(Z - 1)).branches
    (1 - z, 1, 2*z - 1)
    >>> split(sp.log(Z)).domain
    Interval.open(0, oo)
    """
    parts: list[tuple[sp.Expr, sp.Expr | None]] = []
    for _, end, branch in _parts(expression, low, high, frozenset()):
        parts.append((end, branch))
    kinks: list[sp.Expr] = []
    branches, values = [parts[0][1]], []
    for (kink, _), (_, right) in itertools.pairwise(parts):
        value, left = _value(expression, kink), branches[-1]
        if not _continues(left, value, right, kink):
            kinks.append(kink)
            values.append(value)
            branches.append(right)
    return Pieces(tuple(kinks), tuple(branches), tuple(values), low, high)


def vanishes(
    expression: sp.Expr, low: sp.Expr = -sp.oo, high: sp.Expr = sp.oo, partial: bool = False
) -> str | None:
    """How an expression in `Z` is proved to be zero on an open interval, piece by piece; None: it is not proved.

    With `partial`, points at which it is not real are passed over.

    Examples
    --------
    >>> vanishes(sp.Max(Z, 0) - sp.Max(-Z, 0) - Z)
    'structure for all z'
    >>> vanishes(sp.Max(Z, 0) + sp.Max(Z - 1, 0) - sp.Max(2*Z - 1, 0)) is None
    True
    """
    if expression == 0:
        return _said("structure", low, high)
    try:
        pieces = split(expression, low, high)
    except Undecided:
        return None
    said = []
    for start, end, branch in pieces.intervals():
        if branch is None and partial:
            continue
        method = None if branch is None else zero_between(branch, start, end)
        if method is None:
            return None
        said.append(_said(method, start, end))
    for kink, value in zip(pieces.kinks, pieces.values, strict=True):
        if value is None and partial:
            continue
        if value is None or not is_zero(value):
            return None
        said.append(f"value at z = {kink}")
    return "; ".join(said) or None


def _said(method: str, low: sp.Expr, high: sp.Expr) -> str:
    if low == -sp.oo:
        return f"{method} for all z" if high == sp.oo else f"{method} on z < {high}"
    return f"{method} on z > {low}" if high == sp.oo else f"{method} on {low} < z < {high}"


def _value(expression: sp.Expr, point: sp.Expr) -> sp.Expr | None:
    value = expression.subs(Z, point)
    if value.has(sp.nan, sp.zoo, sp.oo, -sp.oo) or value.is_real is False:
        return None
    if not value.is_real:
        raise Undecided
    return value


def _continues(left: sp.Expr | None, value: sp.Expr | None, right: sp.Expr | None, kink: sp.Expr) -> bool:
    """Whether one formula holds on both sides of a kink and at it."""
    if left is None or value is None or right is None:
        return left is None and value is None and right is None
    return is_zero(left - right) and is_zero(left.subs(Z, kink) - value)


def _parts(
    expression: sp.Expr, low: sp.Expr, high: sp.Expr, settled: frozenset[sp.Basic]
) -> Iterator[tuple[sp.Expr, sp.Expr, sp.Expr | None]]:
    """The pieces one case after another; `settled` are the nodes that are real on this interval as they stand."""
    node = _open_case(expression, settled)
    if node is None:
        yield low, high, None if expression.has(sp.nan, sp.zoo, sp.oo, -sp.oo) else expression
        return
    if isinstance(node, sp.Max | sp.Min):
        seam = node.args[0] - node.args[1]
    elif isinstance(node, Relational):
        seam = node.lhs - node.rhs
    else:
        argument = node.args[0]
        seam = (1 - argument) * (1 + argument) if isinstance(node, sp.atanh) else argument
    scale, seam = sp.factor_terms(seam).as_independent(Z, as_Add=False)
    for start, end in itertools.pairwise((low, *zeros(seam, low, high), high)):
        chosen = _chosen(node, scale, seam, sampled_sign(seam, start, end))
        if chosen is None:
            yield start, end, None
        elif chosen == node:
            yield from _parts(expression, start, end, settled | {node})
        else:
            yield from _parts(expression.xreplace({node: chosen}), start, end, settled)


def _open_case(expression: sp.Basic, settled: frozenset[sp.Basic]) -> sp.Basic | None:
    """The next node whose case is not decided. Conditions come first: a branch not taken need not be real."""
    pieces = next((e for e in sp.preorder_traversal(expression) if isinstance(e, sp.Piecewise)), None)
    if pieces is not None:
        relations = [r for _, condition in pieces.args for r in condition.atoms(Relational) if r.has(Z)]
        if not relations:
            raise Undecided  # a condition on constants
        relation = min(relations, key=sp.default_sort_key)
        return _open_case(relation.lhs, settled) or _open_case(relation.rhs, settled) or relation
    for node in sp.postorder_traversal(expression):
        if not node.args or not node.has(Z) or node in settled or node.is_Add or node.is_Mul:
            continue
        if isinstance(node, (*_CASES, sp.log, sp.atanh)):
            return node
        if node.is_Pow and not (node.exp.is_Integer and node.exp > 0):
            if node.base.has(Z):
                return node
            if not node.base.is_positive:
                raise Undecided
        elif not node.is_Pow and not isinstance(node, ANALYTIC):
            raise Undecided
    return None


def _chosen(node: sp.Basic, scale: sp.Expr, seam: sp.Expr, sign: int) -> sp.Basic | None:
    """What a node is where scale * seam decides its case and the seam has this sign; None: not real."""
    size, total = sp.Abs(scale) * sign * seam, sp.sign(scale) * sign
    if isinstance(node, sp.Abs | sp.sign):
        return size if isinstance(node, sp.Abs) else total
    if isinstance(node, sp.Max | sp.Min):
        first, second, *rest = node.args
        if total.is_number:
            kept = first if (total > 0) == isinstance(node, sp.Max) else second
        else:
            kept = (first + second + (size if isinstance(node, sp.Max) else -size)) / 2
        return node.func(kept, *rest) if rest else kept
    if not total.is_number:
        raise Undecided
    if isinstance(node, sp.Heaviside):
        return sp.Integer(int(total > 0))
    if isinstance(node, Relational):
        if isinstance(node, sp.Eq | sp.Ne):
            return sp.false if isinstance(node, sp.Eq) else sp.true
        return sp.true if (total > 0) == isinstance(node, sp.Gt | sp.Ge) else sp.false
    if node.is_Pow and node.exp.is_Integer:
        return node
    return node if total > 0 else None
