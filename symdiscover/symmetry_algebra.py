"""The Lie algebra of a symmetry as vector fields X1, ..., Xk on the variables of its loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sympy as sp

from symdiscover.errors import SymmetryError
from symdiscover.lie_algebra import LieAlgebra
from symdiscover.symmetry import Certificate, Symmetry, shortest

if TYPE_CHECKING:
    from symdiscover.derive import Derivation

#: Fields that are longer in the variables than this are shown in chart coordinates.
SHOWN = 200


def vector_fields(symmetry: Symmetry) -> tuple[tuple[sp.Expr, ...], ...]:
    """The fields X = d/dt psi(exp(t B) phi(x)) at t = 0, one for each generator B: n components in the variables.

    Examples
    --------
    >>> from symdiscover import SO, Chart, Loss
    >>> loss = Loss.parse("x**2 + y**2")
    >>> vector_fields(Symmetry(loss, SO(2), Chart.identity(loss.variables)))
    ((-y, x),)
    """
    chart = symmetry.chart
    if chart.is_implicit:
        return _pulled_back(symmetry)
    images = chart.solve(chart.coordinates)
    here = dict(zip(chart.coordinates, chart.forward, strict=True))
    found = []
    for generator in symmetry.group.basis:
        velocity = symmetry.field(generator)
        components = [
            sum((image.diff(u) * v for u, v in zip(chart.coordinates, velocity, strict=True)), sp.Integer(0))
            for image in map(sp.sympify, images)
        ]
        found.append(tuple(shortest(component.xreplace(here)) for component in components))
    return tuple(found)


def _pulled_back(symmetry: Symmetry) -> tuple[tuple[sp.Expr, ...], ...]:
    """The same from phi alone: D phi(x) X = B phi(x)."""
    chart = symmetry.chart
    jacobian = sp.Matrix(chart.forward).jacobian(chart.variables)
    inverse = jacobian.adjugate() / jacobian.det()
    here = dict(zip(chart.coordinates, chart.forward, strict=True))
    velocities = [[e.xreplace(here) for e in symmetry.field(generator)] for generator in symmetry.group.basis]
    return tuple(tuple(inverse * sp.Matrix(velocity)) for velocity in velocities)


def symmetry_algebra(symmetry: Symmetry) -> LieAlgebra:
    """The algebra of the fields X1, ..., Xk under the commutator of fields, [X_B, X_C] = -X_[B, C].

    Raises
    ------
    SymmetryError
        If the symmetry is discrete, or its generators span no Lie algebra.

    Examples
    --------
    >>> from symdiscover import SO, Chart, Loss
    >>> loss = Loss.parse("x**2 + y**2 + z**2")
    >>> print(symmetry_algebra(Symmetry(loss, SO(3), Chart.identity(loss.variables))).text_table())
    [·, ·] |  X1  X2  X3
    -------+------------
        X1 |   0 -X3  X2
        X2 |  X3   0 -X1
        X3 | -X2  X1   0
    """
    basis = symmetry.group.basis
    if not basis:
        raise SymmetryError(f"{symmetry.group.name} is given without generators: it has no Lie algebra here")
    # Minus the generators have minus the structure constants, as the fields have.
    return LieAlgebra.from_matrices([-matrix for matrix in basis], [f"X{i + 1}" for i in range(len(basis))])


def algebra_text(certificate: Certificate) -> str:
    """The fields of a symmetry, what is known of their algebra, their commutator table and the orbit dimension."""
    symmetry = certificate.symmetry
    transitive = " (transitive)" if certificate.transitive else ""
    lines = [
        f"{symmetry.group.name} ({certificate.status}, by {symmetry.route}), orbit dimension "
        f"{certificate.orbit_dimension} of {certificate.level_dimension} at a generic point{transitive}",
        *_fields(symmetry),
    ]
    try:
        algebra = symmetry_algebra(symmetry)
    except SymmetryError as refusal:
        return "\n".join([*lines, f"no algebra: {refusal}"])
    return "\n".join([*lines, "", str(algebra), "", algebra.text_table()])


def derivation_algebra_text(derivation: Derivation) -> str:
    """`algebra_text` of every continuous symmetry that was found."""
    head = f"L({', '.join(s.name for s in derivation.loss.variables)}) = {derivation.loss}"
    parts = [algebra_text(certificate) for certificate in derivation.certificates if certificate.group.basis]
    return "\n\n".join([head, *(parts or ["no continuous symmetry in the families tried"])])


def _fields(symmetry: Symmetry) -> list[str]:
    """One line for each field, and what the coordinates are where they are those of the chart."""
    chart = symmetry.chart
    shown = [] if chart.lemma else [_operator(field, chart.variables) for field in vector_fields(symmetry)]
    if chart.lemma or max(map(len, shown), default=0) > SHOWN:
        shown = [_operator(symmetry.field(matrix), chart.coordinates) for matrix in symmetry.group.basis]
        shown = [*shown, *(f"{u} = {e}" for u, e in zip(chart.coordinates, chart.forward, strict=True))]
    numbered = len(symmetry.group.basis)
    return [f"  X{i + 1} = {line}" if i < numbered else f"  {line}" for i, line in enumerate(shown)]


def _operator(field: tuple[sp.Expr, ...], variables: tuple[sp.Symbol, ...]) -> str:
    """X = sum_i X_i d/dx_i as text."""
    terms = []
    for component, variable in zip(field, variables, strict=True):
        if component != 0:
            factor = "" if component == 1 else f"({component})*" if component.is_Add else f"{component}*"
            terms.append(f"{factor}d/d{variable}")
    return " + ".join(terms).replace("-1*d/", "-d/").replace("+ -", "- ") or "0"
