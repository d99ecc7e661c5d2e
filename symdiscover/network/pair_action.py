"""The actions of pairs as identities between matrix expressions, each proved by SymPy.

An identity has two sides: what later layers see of some parameters, and the same after the parameters moved. Where the
sizes are symbols SymPy cancels the matrices themselves; where an elementwise function stands between, the sides are
compared entry by entry for two or three units, the function being unknown but for the relation that it satisfies. Each
unit adds a term of its own, so the number of units does not matter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import sympy as sp
from sympy.matrices.expressions.applyfunc import ElementwiseApplyFunction
from sympy.matrices.expressions.matexpr import MatrixElement
from sympy.printing.str import StrPrinter

from symdiscover.errors import NotInvariant
from symdiscover.network.finder import Proof

#: What a proof may use: rewrites of the sides, after the parameters were moved.
Rewrite = Callable[[sp.Basic], sp.Basic]


@dataclass(frozen=True)
class PairAction:
    """One action: ``before`` does not change when every parameter in ``moves`` becomes its expression.

    Attributes
    ----------
    name:
        Of the pattern.
    before:
        What later layers see: matrix expressions in the parameters.
    moves:
        Parameter -> its image, in the parameters and the group element.
    given:
        What is used of the functions and values between, in words; empty where it is nothing.
    rewrites:
        The same as rewrites.
    seen:
        A name for `before` where that is long.
    cases:
        The elements of a finite group, one after another; a single empty one where the element is symbolic.

    Examples
    --------
    >>> W, V, g, x = (sp.MatrixSymbol(name, 2, 2) for name in "WVgx")
    >>> pair = PairAction("linear pair", (V * W * x,), {W: g * W, V: V * g.I})
    >>> print(pair)
    W -> g*W, V -> V*g**(-1) leaves V*W*x
    >>> pair.prove().how
    'entry by entry'
    """

    name: str
    before: tuple[sp.Basic, ...]
    moves: Mapping[sp.Basic, sp.Basic]
    given: str = ""
    rewrites: tuple[Rewrite, ...] = field(default=(), repr=False)
    cases: tuple[Mapping[sp.Basic, sp.Basic], ...] = field(default=({},), repr=False)
    seen: str = ""

    @property
    def after(self) -> tuple[sp.Basic, ...]:
        """The same with moved parameters."""
        return tuple(side.xreplace(dict(self.moves)) for side in self.before)

    @property
    def statement(self) -> str:
        """The identity in one line."""
        write = _OneLine().doprint
        moved = ", ".join(f"{write(key)} -> {write(image)}" for key, image in self.moves.items())
        seen = self.seen or ", ".join(map(write, self.before))
        return f"{moved} leaves {seen}" + (f", given {self.given}" if self.given else "")

    def __str__(self) -> str:
        return self.statement

    def prove(self) -> Proof:
        """Prove that nothing changes.

        Raises
        ------
        NotInvariant
            If SymPy does not reduce the difference to zero: with what is left.
        """
        explicit = False
        for case in self.cases:
            for left, right in zip(self.before, self.after, strict=True):
                left, right = (side.xreplace(dict(case)) for side in (left, right))
                for rest in _differences(left, right, self.rewrites):
                    if not _vanishes(rest):
                        raise NotInvariant(f"{self.name}: {self.statement} does not hold", residual=rest)
                explicit |= not _symbolic(left)
        how = "entry by entry" if explicit else "matrices of any size"
        if len(self.cases) > 1:
            how += f", for each of {len(self.cases)} elements"
        return Proof(self.statement, how)


class _OneLine(StrPrinter):  # type: ignore[misc]
    """Small matrices as diag(...) or rows, and sigma(W x) for sigma applied to each entry."""

    def _print_MatrixBase(self, matrix: sp.MatrixBase) -> str:
        if matrix.shape[0] > 1 and matrix.is_diagonal():
            return f"diag({self.stringify(matrix.diagonal(), ', ')})"
        rows = [self.stringify(matrix.row(i), ", ") for i in range(matrix.rows)]
        return f"[{'; '.join(rows)}]"

    def _print_ElementwiseApplyFunction(self, applied: ElementwiseApplyFunction) -> str:
        return f"{applied.function.expr.func.__name__}({self._print(applied.expr)})"


def _symbolic(side: sp.Basic) -> bool:
    return any(not size.is_Integer for symbol in side.atoms(sp.MatrixSymbol) for size in symbol.shape)


def _differences(left: sp.Basic, right: sp.Basic, rewrites: Iterable[Rewrite]) -> Iterable[sp.Basic]:
    if _symbolic(left):
        sides = [side.doit().expand().doit() for side in (left, right)]
        for rewrite in rewrites:
            sides = [rewrite(side).doit().expand().doit() for side in sides]
        return [(sides[1] - sides[0]).doit()]
    entries = []
    for side in (left, right):
        whole = _explicit(side)
        for rewrite in rewrites:
            whole = whole.applyfunc(rewrite)
        entries.append(list(whole))
    return [b - a for a, b in zip(*entries, strict=True)]


def _explicit(side: sp.Basic) -> sp.ImmutableMatrix:
    """All entries, in those of the matrices that are symbols."""
    whole = side.as_explicit() if isinstance(side, sp.MatrixExpr) else side
    whole = whole if isinstance(whole, sp.MatrixBase) else sp.ImmutableMatrix([[whole]])
    return whole.applyfunc(lambda entry: entry.replace(MatrixElement, lambda m, i, j: m.as_explicit()[i, j]))


def _vanishes(rest: sp.Basic) -> bool:
    if isinstance(rest, sp.MatrixExpr):
        return bool(rest.is_ZeroMatrix)
    plain = rest.replace(_is_root, lambda root: sp.factor(root.base) ** root.exp)
    return bool(rest == 0 or sp.expand(sp.fraction(sp.together(sp.expand(plain)))[0]) == 0)


def _is_root(side: sp.Basic) -> bool:
    return bool(side.is_Pow and side.exp.is_Rational and not side.exp.is_Integer)


# --- rewrites: what a proof may use of the functions and values between ---


def inside(function: Any, rule: Callable[[sp.Expr], sp.Expr]) -> Rewrite:
    """Each value of a function by a rule for its argument."""
    return lambda side: side.replace(function, lambda z: rule(sp.expand(z)))


def scaled(function: Any, scales: Iterable[sp.Expr], degree: sp.Expr) -> Rewrite:
    """f(c z) -> c^k f(z)."""

    def rule(z: sp.Expr) -> sp.Expr:
        for c in scales:
            if z.has(c) and not (rest := sp.expand(z / c)).has(c):
                return c**degree * function(rest)
        return function(z)

    return inside(function, rule)


def turned(function: Any, sign: int, kappa: sp.Expr = sp.S.Zero) -> Rewrite:
    """f(-z) -> kappa + sign f(z)."""
    return inside(
        function,
        lambda z: kappa + sign * function(-z) if z.could_extract_minus_sign() else function(z),
    )


def shifted(function: Any, shifts: Iterable[sp.Expr], factor: Callable[[sp.Expr], sp.Expr]) -> Rewrite:
    """f(z + t) -> factor(t) f(z)."""

    def rule(z: sp.Expr) -> sp.Expr:
        for t in shifts:
            if z.has(t):
                return factor(t) * function(sp.expand(z - t))
        return function(z)

    return inside(function, rule)


def product(left: sp.Basic, right: sp.Basic, value: sp.Basic) -> Rewrite:
    """left right -> value, inside matrix products."""

    def rewritten(side: sp.Basic) -> sp.Basic:
        if side.args and not isinstance(side, sp.MatrixSymbol | sp.Lambda):
            side = side.func(*map(rewritten, side.args))
        if isinstance(side, sp.MatMul):
            for k in range(len(side.args) - 1):
                if side.args[k : k + 2] == (left, right):
                    return sp.MatMul(*side.args[:k], value, *side.args[k + 2 :]).doit()
        return side

    return rewritten


def undone(inverse: Any, function: Any) -> Rewrite:
    """function(inverse(y)) -> y."""

    def is_identity(side: sp.Basic) -> bool:
        return isinstance(side, ElementwiseApplyFunction) and side.function == sp.S.IdentityFunction

    def rewritten(side: sp.Basic) -> sp.Basic:
        undone = side.replace(function, lambda y: y.args[0] if y.func == inverse else function(y))
        return undone.replace(is_identity, lambda e: e.expr)

    return rewritten
