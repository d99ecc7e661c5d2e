"""Fibre actions: freeze y, and L = F((z - z*(y))^T H(y) (z - z*(y)) + c(y)) is a quadratic in the block z.

The action is (z* + R^{-1} g R (z - z*), y) with R^T R = H / h for one of the pivots h(y); the group law is exact because y
stays. h may have any sign, or change it: only the ratios of the pivots must be of one sign. Of a single variable z it is
the reflection z -> 2 z* - z.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import networkx as nx
import sympy as sp

from symdiscover.continuity import partial_nodes
from symdiscover.enclosure import Enclosure
from symdiscover.errors import OutsideDomain
from symdiscover.identity import expanded_terms
from symdiscover.loss import Loss
from symdiscover.routes import NoSymmetry
from symdiscover.routes._centres import never_zero
from symdiscover.routes._known import SPHERES, is_known, moves_whole_spheres
from symdiscover.routes._outer import Composition, compositions
from symdiscover.routes._squares import group_of_signature
from symdiscover.symmetry import Chart, Symmetry, coordinate_symbols

order = 50

#: An inner expression of more expanded terms is not looked at, nor a z* of more operations.
TERMS, OPERATIONS = 600, 400
#: Fractions with more functions and roots in them are not cancelled.
PARTS = 4
#: Ratios of pivots with more operations are not factored.
FACTORED = 120
#: Blocks of several variables that are looked at, and claims that are made.
BLOCKS, CLAIMS = 12, 6
#: Where the entries of a centre are fractions of more operations nothing is claimed: the proof takes long.
CENTRE = 80


@dataclass(frozen=True)
class Pivot:
    """One completed square: coefficient * (variable + shift)^2."""

    variable: sp.Symbol
    coefficient: sp.Expr
    shift: sp.Expr


def find(loss: Loss, found: tuple[Symmetry, ...] = ()) -> list[Symmetry]:
    """O(p, q) on the blocks in which the loss is quadratic, and reflections of single variables.

    Reflections that are affine with numbers as coefficients are left to the route discrete.

    Examples
    --------
    >>> branin = Loss.parse("(y - 51*x**2/400 + 5*x - 6)**2 + 10*cos(x)")
    >>> reflection = find(branin)[0]
    >>> reflection.group.name, reflection.map
    ('Z2', (x, 51*x**2/200 - 10*x - y + 12))
    >>> find(Loss.parse("x*((y - x**2)**2 + 4*(z - sin(x))**2)"))[0].group.name
    'SO(2)'
    """
    if moves_whole_spheres(found):
        raise NoSymmetry(SPHERES)
    claims: list[Symmetry] = []
    turned: set[sp.Symbol] = set()  # variables in the blocks that are claimed: those do not overlap
    reason = "quadratic in no variable"
    for composition in compositions(loss, lambda inner: _admissible(inner, loss)):
        inner = sp.expand(composition.inner)
        for block in _blocks(inner, loss):
            if turned & set(block):
                continue
            reason = "pivots of undecided sign, or a centre with roots of what may be negative"
            if (claim := _largest(loss, composition, inner, block)) is None:
                continue
            reason = "nothing that is not found already, or left to the route discrete"
            if not _is_affine_reflection(claim, loss) and not is_known(
                [*found, *claims], _sample_image(claim)
            ):
                claims.append(claim)
                turned |= (
                    set(loss.variables) - set(claim.chart.forward[claim.group.size :])
                    if claim.group.dimension
                    else set()
                )
            if len(claims) == CLAIMS:
                return claims
    if claims:
        return claims
    raise NoSymmetry(reason)


def _admissible(inner: sp.Expr, loss: Loss) -> bool:
    return expanded_terms(inner) <= TERMS and any(inner.is_polynomial(x) for x in loss.variables)


def _blocks(inner: sp.Expr, loss: Loss) -> Iterator[tuple[sp.Symbol, ...]]:
    """Blocks of total degree two, from large to small; the last are single variables with their square."""
    degrees = {x: sp.degree(inner, x) for x in loss.variables if inner.is_polynomial(x)}
    squared = [x for x, degree in degrees.items() if degree == 2]
    together = nx.Graph()
    together.add_nodes_from(squared)
    together.add_edges_from(
        pair for pair in itertools.combinations(squared, 2) if sp.Poly(inner, *pair).total_degree() == 2
    )
    cliques = [
        tuple(sorted(c, key=loss.variables.index))
        for c in itertools.islice(nx.find_cliques(together), 4 * BLOCKS)
    ]
    # Each two of three variables may go together and yet all three stand in a product.
    grown = [c for c in sorted(cliques, key=str) if sp.Poly(inner, *c).total_degree() == 2]
    large = sorted((block for block in grown if len(block) > 1), key=lambda block: -len(block))
    yield from large[:BLOCKS]
    yield from ((x,) for x in squared)


def _largest(
    loss: Loss, composition: Composition, inner: sp.Expr, block: tuple[sp.Symbol, ...]
) -> Symmetry | None:
    """The claim for a block; where its pivots do not fit together, for as many of its variables as fit the first."""

    def attempt(chosen: tuple[sp.Symbol, ...]) -> Symmetry | None:
        done = _complete(inner, chosen)
        return None if done is None else _claim(loss, composition, *done)

    claim = attempt(block)
    if claim is not None or len(block) == 1:
        return claim
    kept = block[:1]
    for x in block[1:]:
        if (larger := attempt((*kept, x))) is not None:
            kept, claim = (*kept, x), larger
    return claim


def _complete(inner: sp.Expr, block: tuple[sp.Symbol, ...]) -> tuple[list[Pivot], sp.Expr] | None:
    """Lagrange's reduction with coefficients that depend on y: the pivots, and c(y)."""
    pivots, rest = [], inner
    for variable in block:
        polynomial = sp.Poly(rest, variable)
        if polynomial.degree() != 2:
            return None
        a, b, c = polynomial.all_coeffs()
        shift = _ratio(b, 2 * a)
        if shift is None:
            return None
        pivots.append(Pivot(variable, a, shift))
        rest = c - _cancelled(a * shift**2)
        if expanded_terms(rest) > TERMS:
            return None
        rest = sp.expand(rest)
    return pivots, rest


def _ratio(numerator: sp.Expr, denominator: sp.Expr) -> sp.Expr | None:
    if numerator.count_ops() + denominator.count_ops() > OPERATIONS:
        return None
    return _cancelled(numerator / denominator)


def _varying_parts(e: sp.Expr, loss: Loss) -> set[sp.Expr]:
    parts = {part for part in e.atoms(sp.Function, sp.Pow) if not (part.is_Pow and part.exp.is_Integer)}
    return {part for part in parts if part.free_symbols & set(loss.variables)}


def _cancelled(e: sp.Expr) -> sp.Expr:
    """Without common factors, where it is made of few parts: between many numbers exp(-k/10) that takes minutes."""
    parts = {part for part in e.atoms(sp.Function, sp.Pow) if not (part.is_Pow and part.exp.is_Integer)}
    return sp.cancel(e) if len(parts) <= PARTS and e.count_ops() <= OPERATIONS else e


def _claim(loss: Loss, composition: Composition, pivots: list[Pivot], rest: sp.Expr) -> Symmetry | None:
    h = pivots[0].coefficient
    if len(pivots) > 1 and not any(pivot.coefficient.free_symbols & set(loss.variables) for pivot in pivots):
        return None  # completed by the route peel
    size = sum(pivot.shift.count_ops() for pivot in pivots) / len(pivots)
    if len(_varying_parts(h, loss)) > PARTS or (h.free_symbols & set(loss.variables) and size > CENTRE):
        return None
    ratios = [sp.Integer(1)]
    for pivot in pivots[1:]:
        ratio = _ratio(pivot.coefficient, h)
        if ratio is None:
            return None
        # A perfect square shows its sign, and its root, when factored.
        ratios.append(
            sp.factor(ratio) if ratio.count_ops() <= FACTORED and ratio.is_rational_function() else ratio
        )
    signs = [_sign(ratio) for ratio in ratios]
    if None in signs:
        return None
    ordered = sorted(zip(pivots, ratios, signs, strict=True), key=lambda entry: entry[2] == -1)
    u = coordinate_symbols(loss.variables, loss.constants)
    others = [x for x in loss.variables if x not in {pivot.variable for pivot in pivots}]
    stay = dict(zip(others, u[len(pivots) :], strict=True))
    forward, values, terms = [], {}, []
    for coordinate, (pivot, ratio, sign) in zip(u, ordered, strict=False):
        root = sp.sqrt(sign * ratio)
        forward.append(sp.Mul(root, pivot.variable + pivot.shift))
        values[pivot.variable] = coordinate / root
        terms.append(sign * coordinate**2)
    # z_j + shift_j(z_{j+1}, ..., y): solved from the last of the block to the first, the staying variables before.
    inverse = [*stay.items()]
    inverse += [(p.variable, (values[p.variable] - p.shift).xreplace(stay)) for p in reversed(pivots)]
    if any(partial_nodes(expression) for _, expression in inverse):
        return None
    chart = Chart(loss.variables, u, (*forward, *others), tuple(inverse), tuple(_conditions(inverse, stay)))
    reduced = composition.at(h.xreplace(stay) * sp.Add(*terms) + rest.xreplace(stay))
    group = group_of_signature(signs.count(1), signs.count(-1))
    return Symmetry(loss, group, chart, "closed-form" if group.dimension else "discrete", "fibre", reduced)


def _sign(ratio: sp.Expr) -> int | None:
    """1 or -1 where the ratio is never negative, or never positive; it may vanish on a null set."""
    if ratio == 1:
        return 1
    if ratio.is_nonnegative or ratio.is_nonpositive:
        return 1 if ratio.is_nonnegative else -1
    try:
        enclosed = Enclosure()(ratio)
    except OutsideDomain:
        return None
    return 1 if enclosed.low >= 0 else -1 if enclosed.high <= 0 else None


def _conditions(inverse: list[tuple[sp.Symbol, sp.Expr]], stay: dict[sp.Symbol, sp.Symbol]) -> list[sp.Basic]:
    """d(y) != 0 for every denominator of phi and psi that is not known to be without zeros."""
    back = {u: x for x, u in stay.items()}
    conditions: dict[sp.Basic, None] = {}
    for _, expression in inverse:
        for power in expression.atoms(sp.Pow):
            base = power.base.args[0] if isinstance(power.base, sp.Abs) else power.base
            if not power.exp.is_negative or never_zero(base):
                continue
            conditions[sp.Ne(base.as_content_primitive()[1].xreplace(back), 0)] = None
    return list(conditions)


def _is_affine_reflection(claim: Symmetry, loss: Loss) -> bool:
    """Whether the route discrete finds it: there the linear part becomes a matrix of the group, and those hold numbers."""
    (form,) = claim.chart.forward[:1]
    return (
        claim.group.size == 1
        and _is_affine(form, loss)
        and not any(sp.diff(form, x).free_symbols for x in loss.variables)
    )


def _is_affine(e: sp.Expr, loss: Loss) -> bool:
    return bool(e.is_polynomial(*loss.variables) and sp.Poly(e, *loss.variables).total_degree() <= 1)


def _sample_image(claim: Symmetry) -> tuple[sp.Expr, ...]:
    """The image under one element that generates, or is typical: a reflection, or a rotation by one unit."""
    group = claim.group
    if not group.basis:
        return claim.image(group.discrete[0])
    parameters = [sp.Rational(k + 2, 2 * k + 3) for k, _ in enumerate(group.parameters)]
    matrix = group.matrix(parameters)
    assert matrix is not None  # orthogonal groups have a closed form
    return claim.image(matrix)
