"""Claims and their proofs: Chart, Symmetry (the claim), Certificate (the proof)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, Literal, Protocol

import sympy as sp

from symdiscover.errors import SymmetryError
from symdiscover.group import Group, cayley
from symdiscover.loss import Loss
from symdiscover.root import Root

Kind = Literal["closed-form", "branch", "implicit", "numerical", "discrete"]
Status = Literal["proved", "identity-tested", "numerical", "refuted", "unchecked"]

#: From the strongest to the weakest; a certificate is as strong as its weakest identity.
STRENGTH: tuple[Status, ...] = ("proved", "identity-tested", "numerical", "unchecked", "refuted")

#: Closed forms with more operations than this are not written out in `Symmetry.map`.
MAP_OPERATIONS = 5_000


@dataclass(frozen=True)
class Fact:
    """One thing that a lemma needs, and whether it is proved."""

    name: str
    statement: str
    proved: bool
    method: str


class Lemma(Protocol):
    """Why a chart whose inverse holds roots is one: data from which the chart is built, and a proof."""

    @property
    def name(self) -> str:
        """What the lemma is called."""

    def chart(self, loss: Loss, coordinates: Sequence[sp.Symbol], scratch: Sequence[sp.Symbol]) -> Chart:
        """The chart that it speaks of."""

    def reduced(self, loss: Loss, coordinates: Sequence[sp.Symbol]) -> sp.Expr:
        """The loss in the chart's coordinates."""

    def prove(self, loss: Loss, seconds: float = ...) -> list[Fact]:
        """What has to hold, each with whether it is proved."""

    def admits(self, group: Group) -> bool:
        """Whether the lemma is about such a group."""

    @property
    def height(self) -> sp.Expr:
        """|u|^2 stays below it; infinite where nothing bounds it."""

    def cell(self, loss: Loss) -> tuple[list[float], list[list[float]]]:
        """A point c and a matrix M: the region lies among x = c + M z, |z|_max <= 1, as far as it is bounded."""


@dataclass(frozen=True)
class Chart:
    """An invertible change of coordinates u = phi(x) in which the group acts by matrices.

    Parameters
    ----------
    variables:
        x_1, ..., x_n, as in the loss.
    coordinates:
        u_1, ..., u_n. A group of size m moves the first m of them and leaves the others.
    forward:
        phi: one expression in the variables for each coordinate.
    inverse:
        psi: pairs (x_i, expression) in solving order; an expression may use the coordinates and what was
        solved before it. So a triangular chart stays small however deep it is. A step may solve for a symbol that is
        no variable, and may be a `Root` in place of an expression.
    conditions:
        Relations in the variables that describe where phi is defined and invertible; none means everywhere.
    lemma:
        What proves that the roots are unique and phi and psi inverse to each other; needed where there are roots.
    """

    variables: tuple[sp.Symbol, ...]
    coordinates: tuple[sp.Symbol, ...]
    forward: tuple[sp.Expr, ...]
    inverse: tuple[tuple[sp.Symbol, sp.Expr | Root], ...]
    conditions: tuple[sp.Basic, ...] = ()
    lemma: Lemma | None = None

    def __post_init__(self) -> None:
        solved = [variable for variable, _ in self.inverse]
        if len({*self.coordinates}) != len(self.variables) or len(self.coordinates) != len(self.forward):
            raise SymmetryError("a chart needs as many new coordinates as there are variables")
        if len({*solved}) != len(solved) or not {*solved} >= {*self.variables}:
            raise SymmetryError("a chart needs an inverse with each variable solved once")
        if self.lemma is None and (self.is_implicit or len(solved) > len(self.variables)):
            raise SymmetryError("a chart whose inverse holds roots needs the lemma that makes them unique")

    @classmethod
    def identity(cls, variables: Sequence[sp.Symbol], avoid: Iterable[sp.Symbol] = ()) -> Chart:
        """The chart u = x; no coordinate has the name of a symbol in `avoid`."""
        coordinates = coordinate_symbols(variables, avoid)
        inverse = tuple(zip(variables, coordinates, strict=True))
        return cls(tuple(variables), coordinates, tuple(variables), inverse)

    @property
    def is_implicit(self) -> bool:
        """Whether a step of the inverse is a root."""
        return any(isinstance(step, Root) for _, step in self.inverse)

    @property
    def domain(self) -> str:
        """Where the chart is defined, in words."""
        return " and ".join(str(condition) for condition in self.conditions) or "everywhere"

    def solve(self, images: Sequence[sp.Expr]) -> tuple[sp.Expr, ...]:
        """psi at the given values of the coordinates: one expression for each variable, in their order.

        Raises
        ------
        SymmetryError
            If a step is a root.
        """
        values = dict(zip(self.coordinates, images, strict=True))
        for variable, step in self.inverse:
            if isinstance(step, Root):
                raise SymmetryError("the inverse of this chart holds roots: it has no closed form")
            values[variable] = step.xreplace(values)
        return tuple(values[variable] for variable in self.variables)


def keeps_length(group: Group) -> bool:
    """Whether a group is made of orthogonal matrices, given by generators of any sort."""
    turns = all((b + b.T).is_zero_matrix for b in group.basis) and not group.affine
    turns = turns and all((d.T * d - sp.eye(d.rows)).is_zero_matrix for d in group.discrete)
    return bool(turns and (group.basis or group.discrete))


def coordinate_symbols(
    variables: Iterable[sp.Symbol], avoid: Iterable[sp.Symbol] = ()
) -> tuple[sp.Symbol, ...]:
    """One real symbol u1, u2, ... for each variable, with a letter that no name begins with."""
    variables = tuple(variables)
    taken = {symbol.name[0] for symbol in (*variables, *avoid)}
    letter = next((letter for letter in "uvwzqpyrkm" if letter not in taken), "u_")
    return sp.symbols(f"{letter}1:{len(variables) + 1}", real=True)


@dataclass(frozen=True)
class Symmetry:
    """The claim that a group, acting by matrices on chart coordinates, leaves a loss unchanged.

    L(psi(g phi(x))) = L(x) for every g of the group and every x in the domain. Nothing is proved by making one:
    `verify` does that.

    Parameters
    ----------
    loss, group, chart:
        What is left unchanged, by what, and in which coordinates.
    kind:
        ``closed-form`` (everywhere, or off a null set), ``branch`` (where the chart's conditions hold), ``implicit``,
        ``numerical`` or ``discrete``.
    route:
        The name of the route that found it; ``by hand`` for a user's own claim.
    reduced:
        The loss in chart coordinates, Q with L = Q(phi(x)). None means L(psi(u)).
    map:
        The image of each variable as expressions in the variables and `parameters`, all zero being the identity.
        Filled in from group and chart where a closed form of reasonable size exists. For a group of two elements
        there are no parameters and the map is the other element.
    note:
        A remark for the reader.
    flow:
        For a claim of kind ``numerical`` without matrices and without a map: the field along which the first
        coordinates of the chart flow, an expression in these for each. () stands for the fields Q_j d_i - Q_i d_j.
    """

    loss: Loss
    group: Group
    chart: Chart
    kind: Kind = "closed-form"
    route: str = "by hand"
    reduced: sp.Expr | None = None
    parameters: tuple[sp.Symbol, ...] = ()
    map: tuple[sp.Expr, ...] | None = None
    note: str = ""
    flow: tuple[sp.Expr, ...] | None = None

    def __post_init__(self) -> None:
        if self.chart.variables != self.loss.variables:
            raise SymmetryError("chart and loss must have the same variables in the same order")
        if self.group.size > len(self.chart.coordinates):
            raise SymmetryError(f"{self.group.name} moves more coordinates than the chart has")
        if self.map is None and self.flow is None:
            parameters, images = self._closed_form()
            object.__setattr__(self, "parameters", parameters)
            object.__setattr__(self, "map", images)

    @property
    def domain(self) -> str:
        """Where the claim is made, in words."""
        return self.chart.domain

    @property
    def dimension(self) -> int:
        """How many coordinates the elements near the identity have; 0 for a finite group."""
        if self.flow is not None:
            return self.group.size * (self.group.size - 1) // 2 if self.group.element == "vector" else 1
        return self.group.dimension or (0 if self.group.discrete else len(self.parameters))

    @cached_property
    def reduced_loss(self) -> sp.Expr:
        """The loss in chart coordinates."""
        if self.reduced is not None:
            return self.reduced
        images = self.chart.solve(self.chart.coordinates)
        return self.loss.expression.xreplace(dict(zip(self.loss.variables, images, strict=True)))

    def moved(self, matrix: sp.Matrix, coordinates: Sequence[sp.Expr] | None = None) -> tuple[sp.Expr, ...]:
        """The coordinates after a matrix of the group acted on them."""
        u = tuple(self.chart.coordinates if coordinates is None else coordinates)
        head = sp.Matrix([*u[: self.group.size], 1] if self.group.affine else u[: self.group.size])
        image = list(matrix * head)[: self.group.size]
        return (*image, *u[self.group.size :])

    def field(self, generator: sp.Matrix) -> tuple[sp.Expr, ...]:
        """The vector field of a Lie-algebra element in chart coordinates, zero on those that stay."""
        u = self.chart.coordinates
        head = sp.Matrix([*u[: self.group.size], 1] if self.group.affine else u[: self.group.size])
        velocity = list(generator * head)[: self.group.size]
        return (*velocity, *[sp.Integer(0)] * (len(u) - self.group.size))

    def image(self, matrix: sp.Matrix) -> tuple[sp.Expr, ...]:
        """psi(g phi(x)) as expressions in the variables, unsimplified."""
        return self.chart.solve(self.moved(matrix, self.chart.forward))

    def closed_matrix(self) -> sp.ImmutableMatrix | None:
        """The group's closed form in this claim's parameters.

        Where the group preserves a form F and the coordinates are u_i = w_i v_i with constants w_i, the Cayley
        parameters are those of the form W F W in v: the written-out map then needs no square roots.
        """
        if not self.parameters:
            return None
        if self.group.form is None or self.group.dimension == 1:
            return self.group.matrix(self.parameters)
        weights = sp.diag(*self._weights())
        return sp.ImmutableMatrix(weights * self.cayley_matrix() * weights.inv())

    def cayley_form(self) -> sp.ImmutableMatrix:
        """D = W F W: the form that the group preserves in the coordinates v."""
        if self.group.form is None:
            raise ValueError(f"{self.group.name} is not given by a form")
        weights = sp.diag(*self._weights())
        return sp.ImmutableMatrix(weights * self.group.form * weights)

    def cayley_matrix(self) -> sp.ImmutableMatrix:
        """M = (D + S)^{-1} (D - S) in the coordinates v."""
        return cayley(self.cayley_form(), self.parameters)

    def _weights(self) -> list[sp.Expr]:
        """The constant factor of each moved coordinate."""
        moved = self.chart.forward[: self.group.size]
        return [sp.sympify(u).as_independent(*self.chart.variables, as_Add=False)[0] for u in moved]

    def _closed_form(self) -> tuple[tuple[sp.Symbol, ...], tuple[sp.Expr, ...] | None]:
        if self.chart.is_implicit:
            return (), None
        object.__setattr__(self, "parameters", self.parameters or unused(self.group.parameters, self.loss))
        only = self.group.discrete[0] if not self.group.basis and len(self.group.discrete) == 1 else None
        matrix = self.closed_matrix() if only is None else only
        if matrix is None:
            return (), None
        images = self.image(matrix)
        if sum(image.count_ops() for image in images) > MAP_OPERATIONS:
            return (), None
        tidy = (
            shortest if self.chart.lemma is None else rebuilt
        )  # what a lemma is about may grow when it is expanded
        return self.parameters, tuple(tidy(image) for image in images)

    def _repr_latex_(self) -> str:
        from symdiscover.latex import symmetry_latex

        return symmetry_latex(self)


@lru_cache(maxsize=1024)  # a claim is tidied again wherever it is copied or read back
def shortest(expression: sp.Expr) -> sp.Expr:
    """The expression or its expanded form, whichever has fewer operations."""
    if expression.count_ops() > 200 or (
        expression.has(sp.exp) and expression.has(sp.log)
    ):  # those may grow without end
        return expression
    expanded = sp.expand(expression)
    turns = sorted(expanded.atoms(sp.sin, sp.cos, sp.sinh, sp.cosh), key=str)
    forms = [expression, expanded, sp.collect(expanded, turns), sp.factor_terms(expanded)]
    return min(map(rebuilt, forms), key=lambda form: form.count_ops())


def rebuilt(expression: sp.Basic) -> sp.Basic:
    """The expression as SymPy evaluates it, and so as it comes back from another process: 2*(x + y) is 2*x + 2*y."""
    return expression.func(*map(rebuilt, expression.args)) if expression.args else expression


def unused(parameters: Sequence[sp.Symbol], loss: Loss) -> tuple[sp.Symbol, ...]:
    """The parameters, renamed with a trailing underscore while the loss uses their names."""
    taken = {symbol.name for symbol in (*loss.variables, *loss.constants)}
    renamed = []
    for symbol in parameters:
        name = symbol.name
        while name in taken:
            name += "_"
        renamed.append(sp.Symbol(name, real=True))
    return tuple(renamed)


@dataclass(frozen=True)
class Identity:
    """One equation that was checked: what it says, how it was decided, and what was left of it."""

    name: str
    statement: str
    status: Status
    method: str
    residual: str = "0"
    seconds: float = field(default=0.0, compare=False)


_SEAL = object()


@dataclass(frozen=True)
class Certificate:
    """The proof of a `Symmetry`: every identity checked, how, and what follows. Only `verify` makes one.

    Attributes
    ----------
    symmetry:
        The claim.
    status:
        ``proved``, ``identity-tested`` or ``numerical``: that of the weakest identity.
    identities:
        All that was checked, controls included.
    group_law:
        Whether a(g, a(h, x)) = a(g h, x) was established on the domain.
    orbit_dimension:
        Dimension of the orbit of a generic point.
    transitive:
        Whether that is the dimension of the level set.
    killing:
        Signature (p, q, zero) of the Killing form of the Lie algebra, None where its sign is not decided.
    sympy_version, digest:
        What it was proved with, and the hash of the expression it is about.
    """

    symmetry: Symmetry
    status: Status
    identities: tuple[Identity, ...]
    group_law: bool
    orbit_dimension: int
    killing: tuple[int, int, int] | None
    sympy_version: str
    digest: str
    note: str = ""
    seal: Any = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.seal is not _SEAL:
            raise TypeError("a Certificate is made by symdiscover.verify alone")
        object.__setattr__(self, "seal", None)

    @property
    def loss(self) -> Loss:
        """The loss the certificate is about."""
        return self.symmetry.loss

    @property
    def group(self) -> Group:
        """The group that acts."""
        return self.symmetry.group

    @property
    def domain(self) -> str:
        """Where the claim holds, in words."""
        return self.symmetry.domain

    @property
    def transitive(self) -> bool:
        """Whether the orbit of a generic point fills its level set locally: orbit dimension n - 1."""
        return self.orbit_dimension == self.level_dimension

    @property
    def level_dimension(self) -> int:
        """The dimension of a generic level set: n - 1, or n where the loss is constant."""
        return self.loss.dimension - bool(self.loss.expression.free_symbols & set(self.loss.variables))

    def as_dict(self) -> dict[str, Any]:
        """The entry of this symmetry in ``symdiscover derive --json``."""
        symmetry = self.symmetry
        return {
            "group": symmetry.group.name,
            "kind": symmetry.kind,
            "status": self.status,
            "route": symmetry.route,
            "domain": symmetry.domain,
            "transitive": self.transitive,
            "group_law": self.group_law,
            "dimension": symmetry.dimension,
            "killing": None if self.killing is None else list(self.killing),
            "parameters": [symbol.name for symbol in symmetry.parameters],
            "map": None if symmetry.map is None else [str(image) for image in symmetry.map],
        }

    def __str__(self) -> str:
        symmetry = self.symmetry
        lines = [
            f"{symmetry.group.name} leaves {symmetry.loss} unchanged: {self.status} ({symmetry.kind}, by {symmetry.route})",
            f"  domain: {symmetry.domain}; group law: {'holds' if self.group_law else 'not established'}; "
            f"orbit dimension {self.orbit_dimension} of {self.level_dimension}"
            f"{' (transitive)' if self.transitive else ''}",
        ]
        for identity in self.identities:
            lines.append(f"  {identity.status:16} {identity.name}: {identity.statement}  [{identity.method}]")
        if self.note:
            lines.append(f"  note: {self.note}")
        return "\n".join(lines)

    def _repr_latex_(self) -> str:
        return self.symmetry._repr_latex_()
