"""Graph: level sets that are graphs over a box, because the loss is solved for one variable by a formula.

Where an inner function M of L = F(M) is a z^2 + b z + c or b z + c, with a, b, c functions of the other variables y, each
level set is the graph of z over y. With y_i moved by shifts of log((y_i - low_i) / (high_i - y_i)), which keep the box, and z
by the formula, translations act on the levels that are above c - b^2 / 4a on the whole box.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import sympy as sp

from symdiscover.box import bounds_on, is_continuous_on, is_positive
from symdiscover.errors import OutsideDomain, SymmetryError
from symdiscover.group import Group
from symdiscover.identity import decide_zero
from symdiscover.loss import Loss
from symdiscover.symmetry import Chart, Fact

#: Parts of each side of the box in which its functions are bounded, by the number of its sides.
PARTS = {1: 256, 2: 32, 3: 10}
#: Fractions of more operations are not cancelled.
LONG = 150
#: Seconds for each thing that has to be positive on the box.
SECONDS = 1.0


@dataclass(frozen=True)
class Graph:
    """The claim that the level sets above a level, and on one side, are graphs over a box.

    Parameters
    ----------
    inner:
        M, a polynomial of degree 1 or 2 in the solved variable, with a leading coefficient that is positive on the box.
    outer:
        F, written in the first variable of the loss.
    solved:
        The number of the solved variable z, from 0.
    side:
        1 where z is above -b / 2a, -1 below; 1 for degree 1.
    lows, highs:
        The box of the other variables, in their order.
    level:
        M(x) > level; for degree 2 no value of c - b^2 / 4a on the box is above it. Minus infinity for degree 1.
    """

    inner: sp.Expr
    outer: sp.Expr
    solved: sp.Integer
    side: sp.Integer
    lows: tuple[sp.Expr, ...]
    highs: tuple[sp.Expr, ...]
    level: sp.Expr

    name = "graph"

    def __post_init__(self) -> None:
        if len(self.lows) != len(self.highs) or any(
            not low < high for low, high in zip(self.lows, self.highs, strict=True)
        ):
            raise SymmetryError(
                "the box of a graph needs a lower end below the upper one for each variable but one"
            )
        numbers = (*self.lows, *self.highs, self.level)  # a level that moved with y would bound nothing
        if any(e.free_symbols or not e.is_extended_real for e in numbers):
            raise SymmetryError("the box and the level of a graph are numbers")
        if self.side not in (1, -1) or not 0 <= self.solved <= len(self.lows):
            raise SymmetryError("a graph lies on the side 1 or -1 and is solved for one of the variables")

    def chart(self, loss: Loss, coordinates: Sequence[sp.Symbol], scratch: Sequence[sp.Symbol] = ()) -> Chart:
        """The chart: u_i = log((y_i - low_i) / (high_i - y_i)) and, last, u_n = M."""
        z, others = self._split(loss)
        u = tuple(coordinates)
        ends = list(zip(others, u, self.lows, self.highs, strict=False))
        forward = [sp.log((y - low) / (high - y)) for y, _, low, high in ends]
        inverse = [(y, low + (high - low) / (1 + sp.exp(-v))) for y, v, low, high in ends]
        a, b, c = self.coefficients(loss)
        if a == 0:
            inverse.append((z, (u[-1] - c) / b))
            conditions: list[sp.Basic] = []
        else:
            inverse.append((z, -b / (2 * a) + self.side * sp.sqrt((u[-1] - c + b**2 / (4 * a)) / a)))
            conditions = [self.side * (2 * a * z + b) > 0, self.inner > self.level]
        box = [condition for y, _, low, high in ends for condition in (y > low, y < high)]
        return Chart(loss.variables, u, (*forward, self.inner), tuple(inverse), (*box, *conditions), self)

    def reduced(self, loss: Loss, coordinates: Sequence[sp.Symbol]) -> sp.Expr:
        """The loss in the chart's coordinates."""
        return self.outer.xreplace({loss.variables[0]: coordinates[-1]})

    @property
    def height(self) -> sp.Expr:
        """Nothing bounds the coordinates."""
        return sp.oo

    def cell(self, loss: Loss) -> tuple[list[float], list[list[float]]]:
        """The middle of the box with a point of the branch over it, and how far the region reaches from there."""
        z, others = self._split(loss)
        middle = {y: (low + high) / 2 for y, low, high in zip(others, self.lows, self.highs, strict=True)}
        a, b, _ = (float(e.xreplace(middle)) for e in self.coefficients(loss))
        fold, rise = 0.0, 10.0
        if a:
            above = 2 * abs(float(self.level)) + 1 - float(self.ridge(loss).xreplace(middle))
            fold, rise = -b / (2 * a), math.sqrt(above / a)
        widths = dict(
            zip(
                others,
                (float(h - low) / 2 for low, h in zip(self.lows, self.highs, strict=True)),
                strict=True,
            )
        )
        centre = {**{y: float(m) for y, m in middle.items()}, z: fold + int(self.side) * rise}
        spread = {**widths, z: 0.9 * rise}
        rows = [[spread[x] if x == w else 0.0 for w in loss.variables] for x in loss.variables]
        return [centre[x] for x in loss.variables], rows

    def admits(self, group: Group) -> bool:
        """Whether the group shifts all coordinates but the last."""
        shift = all(b[:, :-1].is_zero_matrix for b in group.basis)
        return bool(
            group.basis and shift and group.affine and not group.discrete and group.size == len(self.lows)
        )

    def holds(self, loss: Loss) -> bool:
        """Whether everything that has to hold is proved."""
        return all(fact.proved for fact in self.prove(loss))

    def prove(self, loss: Loss, seconds: float = 10.0) -> list[Fact]:
        """What has to hold, each with whether it is proved."""
        _, others = self._split(loss)
        a, b, c = self.coefficients(loss)
        z = loss.variables[int(self.solved)]
        parts = decide_zero(a * z**2 + b * z + c - self.inner)
        whole = decide_zero(self.reduced(loss, [*loss.variables[1:], self.inner]) - loss.expression)
        same = whole.status == parts.status == "proved"
        box = {
            y: (float(low) - 1e-12 * abs(float(low)), float(high) + 1e-12 * abs(float(high)))
            for y, low, high in zip(others, self.lows, self.highs, strict=True)
        }
        # Finite bounds are not enough: cos(log(y)) has them where y is negative.
        real = all(is_continuous_on(e, box, PARTS.get(len(box), 4)) for e in (a, b, c))
        first = b if a == 0 else a
        leading = real and (self.bounds(first, box)[0] > 0 or is_positive(first, box, SECONDS))
        ridge = self.ridge(loss) if a != 0 else -sp.oo
        above = (
            a == 0 or self.level > self.bounds(ridge, box)[1] or is_positive(self.level - ridge, box, SECONDS)
        )
        return [
            Fact(
                "reduction",
                "L = F(M), M a polynomial in the solved variable",
                same,
                "algebra",
            ),
            Fact(
                "chart",
                "a, b, c are continuous and the leading one positive on the box, so psi(phi(x)) = x on one side",
                leading,
                "intervals",
            ),
            Fact(
                "inverse chart",
                "the level is above c - b^2 / 4a on the whole box, so phi(psi(u)) = u",
                above,
                "intervals",
            ),
            Fact("domain", "g keeps the box, M and the side", True, "structure"),
        ]

    def bounds(self, e: sp.Expr, box: Mapping[sp.Symbol, tuple[float, float]]) -> tuple[float, float]:
        """Bounds of an expression on a box; infinite where it has a pole or a hole there, or is not enclosed."""
        try:
            return bounds_on(e, box, PARTS.get(len(box), 4))
        except OutsideDomain:
            return -math.inf, math.inf

    def ridge(self, loss: Loss) -> sp.Expr:
        """c - b^2 / 4a, the lowest value of M over a point of the box."""
        a, b, c = self.coefficients(loss)
        square = b**2 / (4 * a)
        if square.is_rational_function() and square.count_ops() < LONG:
            return sp.expand(c - sp.cancel(square))
        return c - square

    def _split(self, loss: Loss) -> tuple[sp.Symbol, list[sp.Symbol]]:
        z = loss.variables[int(self.solved)]
        return z, [x for x in loss.variables if x != z]

    def coefficients(self, loss: Loss) -> tuple[sp.Expr, sp.Expr, sp.Expr]:
        """a, b, c of M = a z^2 + b z + c."""
        return coefficients(self.inner, loss.variables[int(self.solved)])


@lru_cache(maxsize=64)
def coefficients(inner: sp.Expr, z: sp.Symbol) -> tuple[sp.Expr, sp.Expr, sp.Expr]:
    """a, b, c of a z^2 + b z + c.

    Raises
    ------
    SymmetryError
        If it is of another degree in z, or no polynomial.

    Examples
    --------
    >>> x, y = sp.symbols("x y", real=True)
    >>> coefficients(x + y**2 * (x - 1), x)
    (0, y**2 + 1, -y**2)
    """
    listed = sp.Poly(inner, z).all_coeffs() if inner.is_polynomial(z) else []
    if len(listed) not in (2, 3):
        raise SymmetryError(f"a graph is solved for a variable in which M has degree 1 or 2, and {z} is none")
    a, b, c = [sp.Integer(0)] * (3 - len(listed)) + listed
    return a, b, c
