"""The laws every action must obey, each with wrong maps beside it that the same check must reject at every point.

A check takes a `Subject`, one proved symmetry of one loss, and returns a verdict for each point (or case) it looked at.
`LAWS` lists them: `holds` is the check on the action itself, `fails` the same check on wrong maps by name. A wrong map that
happens to be right for a subject (I + T where T^2 = 0) is not offered there: the wrong map returns None.

The catalogue of subjects is `DEFAULT`, `EXTRA` and, for the sweep, every function of `symdiscover.catalogue`.
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Any

import mpmath
import numpy as np
import sympy as sp
import torch

import symdiscover as sd
from symdiscover import Certificate, Chart, Group, Loss, Symmetry, catalogue
from symdiscover.action import Action
from symdiscover.floats import evaluate_floats
from symdiscover.identity import decide_zero
from symdiscover.invariance import exact_residual, rounding_bound, tracked_image
from symdiscover.rounding import Tracked, evaluate_digits
from symdiscover.source import action_source

#: Functions of the catalogue, with the size of families, that together have every kind of element, chart and route.
DEFAULT = (
    "booth", "cube", "degenerate-quadratic", "ellipse", "ellipsoid", "linear-chain", "logistic-regression",
    "rank-one-factorisation", "rosenbrock", "rosenbrock-chain", "rosenbrock-uncoupled:2", "saddle-product", "trid:2",
    "easom", "himmelblau", "rastrigin", "schwefel-2-20:2",
)  # fmt: skip
#: More expressions: text, and the positive constants with their values.
EXTRA: dict[str, tuple[str, dict[str, float]]] = {
    "O(2,1)": ("x*y - z**2", {}),
    "parabolic": ("x**2 + 3*y**2 - 2*z", {}),
    "parabolic with a constant": ("sqrt(k)*(y - x)**2 + x", {"k": 2.5}),
    "scaling": ("x**2*y", {}),
    "GL(2) on a factorisation": ("(u*p + v*q - 1)**2 + (u*r + v*s - 2)**2", {}),
    "translation": ("(x - 2*y)**2 + (y + 3*z)**4 + (x - 2*y)*(y + 3*z)", {}),
    "one square": ("(x - 1)**2", {}),
    "partial peel": ("(y - x**3)**2 + 2*(z - sin(x))**2 + cos(x)", {}),
    "F(M)": ("log(1 + c*x**2 + y**2) - cos(c*x**2 + y**2 + 1)", {"c": 0.3}),
    "floor(M)": ("floor(x**2 + y**2) + (x**2 + y**2)/2", {}),
    "ReLU": ("(u*Max(0, w + b) - 1)**2 + (u*Max(0, b - w) - 2)**2", {}),
    "boost by a constant": ("c*x**2 - y**2", {"c": 3.0}),
}
#: Here the routes below are tried alone, so that the default run stays short; the sweep adds those whose charts hold no
#: roots and need no lemma (of the others the laws look at a few, and `symdiscover survey` at all).
CONTINUOUS = ("translations", "quadratic", "peel", "affine")
SWEPT = (*CONTINUOUS, "fibre", "discrete")
ALL_ROUTES = (
    "booth",
    "cube",
    "ellipse",
    "rosenbrock",
    "one square",
    "F(M)",
    "easom",
    "himmelblau",
    "rastrigin",
    "schwefel-2-20:2",
)
BUDGET = 240.0  # seconds for a derivation, far more than any takes: no finding may hang on the clock
SIZES = (1.0, 1e2, 1e4)
POINTS = 3  # for each size
DIGITS, EXACT = 60, 1e-40
FACTOR = 50.0  # bounds of first and second order are met many times over by what is right, and missed by what is wrong


@dataclass(frozen=True, eq=False)
class Subject:
    """One certificate with numbers for its constants, and points to look at.

    Its points and matrices are kept: every law and every wrong map asks for the same few. Nobody writes into them.
    """

    name: str
    certificate: Certificate
    values: Mapping[str, float] = field(default_factory=dict)

    @property
    def symmetry(self) -> Symmetry:
        return self.certificate.symmetry

    @property
    def group(self) -> Group:
        return self.certificate.group

    @cached_property
    def action(self) -> Action:
        return sd.to_torch(self.certificate, **self.values)

    @cached_property
    def generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(0)

    @property
    def dimension(self) -> int:
        return self.symmetry.loss.dimension

    @cache  # noqa: B019 (subjects are kept for the whole run)
    def points(self, size: float = 1.0, count: int = POINTS) -> torch.Tensor:
        """Random points (count, n) of a size, at which the loss is finite and, in float64, not flat."""
        draw = torch.Generator().manual_seed(int(size) + 7)
        points = size * torch.randn(20 * count, self.dimension, generator=draw, dtype=torch.float64)
        if self.symmetry.chart.conditions:
            points = self._inside(points)
        points.requires_grad_()
        loss = self.action.loss(points)
        (slope,) = torch.autograd.grad(loss.sum(), points)
        return points.detach()[torch.isfinite(loss) & (loss.abs() > 1e-290) & (slope.norm(dim=-1) > 0)][
            :count
        ]

    def _inside(self, points: torch.Tensor) -> torch.Tensor:
        """The points for which the chart's conditions hold; around the centre of a lemma, drawn together until they do."""
        chart = self.symmetry.chart
        if chart.lemma is not None:
            centre, spread = (
                torch.tensor(part, dtype=torch.float64) for part in chart.lemma.cell(self.symmetry.loss)
            )
            shrinks = torch.logspace(0, -3, len(points), dtype=torch.float64)[:, None]
            points = centre + (shrinks * points / points.abs().amax(dim=0)) @ spread.T
        values = {s: self.values[s.name] for s in self.symmetry.loss.constants}
        values |= {x: points[:, k].numpy() for k, x in enumerate(chart.variables)}
        holds = np.logical_and.reduce([evaluate_floats(c, values) for c in chart.conditions])
        return points[torch.from_numpy(holds)]

    @cache  # noqa: B019
    def coordinates(self, count: int) -> torch.Tensor:
        """Lie-algebra coordinates (count, dimension) between 0.2 and 0.6 in size: not small, and exp(xi) far from overflow."""
        draw = torch.Generator().manual_seed(3)
        signs = torch.randint(0, 2, (count, self.group.dimension), generator=draw) * 2 - 1
        return signs * (
            0.2 + 0.4 * torch.rand(count, self.group.dimension, generator=draw, dtype=torch.float64)
        )

    @cache  # noqa: B019
    def elements(self, count: int) -> torch.Tensor:
        """Elements that are not the identity; where there is no Lie algebra, the discrete ones."""
        if self.group.dimension or not count:
            return self.action.exp(self.coordinates(count))
        return torch.stack([_float(self.group.discrete[k % len(self.group.discrete)]) for k in range(count)])

    @cached_property
    def chart_maps(self) -> Symmetry:
        """The claim, never made, that all affine maps of the chart coordinates are symmetries."""
        n = self.dimension
        every = Group("chart maps", n, (), (sp.ImmutableMatrix(sp.eye(n + 1)),), affine=True)
        return replace(self.symmetry, group=every, parameters=(), map=None)

    @cached_property
    def chart_action(self) -> Action:
        """psi(M phi(x)) for any (n + 1, n + 1) matrix M, as code."""
        return Action(self.chart_maps.group, action_source(self.chart_maps), None, self.values)

    def embedded(self, matrix: mpmath.matrix) -> mpmath.matrix:
        """A matrix of the group as one of all chart coordinates and 1."""
        n, m = self.dimension, self.group.size
        whole = mpmath.eye(n + 1)
        for i in range(m):
            for j in range(m):
                whole[i, j] = matrix[i, j]
            if self.group.affine:
                whole[i, n] = matrix[i, m]
        return whole

    def algebra_element(self, xi: Sequence[float], basis: Sequence[sp.Matrix] | None = None) -> mpmath.matrix:
        """sum_k xi_k B_k with the constants put in."""
        total = mpmath.zeros(self.group.matrix_size)
        for t, generator in zip(xi, basis or self.group.basis, strict=True):
            total += mpmath.mpf(t) * self.numbers(generator)
        return total

    def numbers(self, matrix: sp.Matrix) -> mpmath.matrix:
        constants = {s: mpmath.mpf(str(self.values[s.name])) for s in self.symmetry.loss.constants}
        return mpmath.matrix([[evaluate_digits(e, constants) for e in row] for row in matrix.tolist()])

    def group_matrix(self, number: int) -> mpmath.matrix:
        """The matrix of the last of `number` + 1 elements, in the working precision."""
        return self._group_matrix(number, mpmath.mp.prec)

    @cache  # noqa: B019
    def _group_matrix(self, number: int, _precision: int) -> mpmath.matrix:
        if not self.group.dimension:
            return self.numbers(self.group.discrete[number % len(self.group.discrete)])
        return mpmath.expm(self.algebra_element(self.coordinates(number + 1)[number].tolist()))


def _float(matrix: sp.Matrix | mpmath.matrix) -> torch.Tensor:
    return torch.tensor([[float(e) for e in row] for row in matrix.tolist()], dtype=torch.float64)


@cache
def subjects(name: str, everything: bool = False) -> tuple[Subject, ...]:
    """Every certificate of a function of the catalogue ("trid:4" for a size) or of an extra expression."""
    if name in EXTRA:
        text, values = EXTRA[name]
        loss = Loss.parse(text, positive=list(values))
    else:
        plain, _, size = name.partition(":")
        function = catalogue.load(plain, int(size)) if size else catalogue.load(plain)
        loss = function.loss
        values = {
            key: float(Loss.parse(value, variables=["x"]).expression)
            for key, value in function.constants.items()
        }
    only = SWEPT if everything else None if name in ALL_ROUTES else CONTINUOUS
    # Flows along the level set compose and invert to the error of an integration: test_flow.py holds what they obey.
    certificates = [
        c for c in sd.derive(loss, budget=BUDGET, only=only).certificates if c.symmetry.flow is None
    ]
    return tuple(Subject(f"{name}: {c.group.name}", c, values) for c in certificates)


def sweep() -> Iterator[str]:
    """Every function of the catalogue, families at their smallest size; those of the default subset are looked at there."""
    from symdiscover.catalogue_families import FAMILIES

    sizes = {family.name: family.smallest for family in FAMILIES if family.smallest != family.default}
    for name in catalogue.names():
        if name not in ALL_ROUTES:
            yield f"{name}:{sizes[name]}" if name in sizes else name


Verdicts = list[bool]
Check = Callable[[Subject], Verdicts]
Twin = Callable[[Subject], "Verdicts | None"]


@dataclass(frozen=True)
class Law:
    """What must hold, and the same check on wrong maps, which must fail wherever it is not None."""

    holds: Check
    fails: Mapping[str, Twin]


# --- wrong maps: Lie-algebra coordinates (or the number of an element) -> matrix of the chart coordinates ----------------


def _truncated(subject: Subject, number: int) -> mpmath.matrix | None:
    """I + T for exp(T)."""
    if not subject.group.dimension:
        return None
    t = subject.algebra_element(subject.coordinates(number + 1)[number].tolist())
    return subject.embedded(mpmath.eye(t.rows) + t)


def _turned_sign(subject: Subject, number: int) -> mpmath.matrix | None:
    """The exponential of generators in which the first entry has the other sign."""
    wrong = []
    for b in subject.group.basis:
        place = next((i, j) for i in range(b.rows) for j in range(b.cols) if b[i, j] != 0)
        wrong.append(
            sp.Matrix(b.rows, b.cols, lambda i, j, b=b, p=place: -b[i, j] if (i, j) == p else b[i, j])
        )
    if not wrong:
        return None
    xi = subject.coordinates(number + 1)[number].tolist()
    return subject.embedded(mpmath.expm(subject.algebra_element(xi, wrong)))


def _transposed(subject: Subject, number: int) -> mpmath.matrix:
    """The matrix of chart coordinates scaled by 1, 2, 3, ..., transposed: right only for maps that are symmetric there."""
    n = subject.dimension
    g = subject.embedded(subject.group_matrix(number))
    scale = mpmath.diag([*range(1, n + 1), 1])
    inner = scale**-1 * g * scale
    wrong = mpmath.eye(n + 1)
    for i in range(n):
        for j in range(n):
            wrong[i, j] = inner[j, i]
    return scale * wrong * scale**-1


def _forgotten_shift(subject: Subject, number: int) -> mpmath.matrix:
    """The group acting about another point: phi and psi without the same constant terms."""
    n = subject.dimension
    shift = mpmath.eye(n + 1)
    for i in range(n):
        shift[i, n] = mpmath.mpf(i + 1) / 2
    g = subject.embedded(subject.group_matrix(number))
    return shift**-1 * g * shift


def _one_sided_shift(subject: Subject, number: int) -> mpmath.matrix:
    """A constant term in phi that psi forgets."""
    n = subject.dimension
    shift = mpmath.eye(n + 1)
    for i in range(n):
        shift[i, n] = mpmath.mpf(i + 1) / 2
    return subject.embedded(subject.group_matrix(number)) * shift


def _stretched(subject: Subject, number: int) -> mpmath.matrix:
    """The chart coordinates come out too long, by 3, 6, 9 ... per cent."""
    stretch = mpmath.diag([*(1 + mpmath.mpf(3 * k) / 100 for k in range(1, subject.dimension + 1)), 1])
    return stretch * subject.embedded(subject.group_matrix(number))


WRONG: dict[str, Callable[[Subject, int], mpmath.matrix | None]] = {
    "I + T for exp(T)": _truncated,
    "a sign turned": _turned_sign,
    "transposed": _transposed,
    "forgotten shift": _forgotten_shift,
    "one-sided shift": _one_sided_shift,
    "stretched": _stretched,
}


@cache
def _is_wrong(subject: Subject, wrong: Callable[[Subject, int], mpmath.matrix | None], number: int) -> bool:
    """Whether the map changes the loss at a point that no test uses; some wrong maps are right for some elements."""
    with mpmath.workdps(DIGITS):
        matrix = wrong(subject, number)
        if matrix is None:
            return False
        point = [mpmath.mpf(k + 2) / (3 + 2 * k) for k in range(subject.dimension)]
        lemma = subject.symmetry.chart.lemma
        if lemma is not None:
            point = [mpmath.mpf(x) for x in subject.points(count=POINTS + 1)[-1].tolist()]
        try:
            return exact_residual(subject.chart_maps, matrix, point, subject.values, DIGITS) > 1e-9
        except sd.OutsideDomain:
            return lemma is not None  # a map that leaves the region of its chart


# --- invariance ------------------------------------------------------------------------------------------------------------


def _residual(subject: Subject, matrix: mpmath.matrix, point: Sequence[float], digits: int = DIGITS) -> float:
    """`exact_residual` of any affine map of the chart coordinates; infinite where it leaves the domain of the loss."""
    try:
        return exact_residual(subject.chart_maps, matrix, point, subject.values, digits)
    except sd.OutsideDomain:
        return math.inf


@cache
def _bound(subject: Subject, count: int, number: int, size: float) -> float:
    """`rounding_bound` of one of `count` elements at the point of its number; infinite where a part of the loss overflows at
    the image, as exp(800) does."""
    element, point = subject.elements(count)[number].tolist(), subject.points(size)[number].tolist()
    try:
        return rounding_bound(subject.symmetry, element, point, subject.values)
    except sd.OutsideDomain:
        return math.inf


def _exact(
    subject: Subject, matrix: Callable[[Subject, int], mpmath.matrix | None], wrong: bool = False
) -> Verdicts:
    """|L(a(g, x)) - L(x)| <= 1e-40 |L(x)| in 60 digits, at points of size 1 to 1e4.

    Where the condition number of the evaluation is beyond 1e16, as many digits more are taken as it has.
    """
    verdicts = []
    for size in SIZES:
        points = subject.points(size)
        for number, point in enumerate(points):
            if wrong and not _is_wrong(subject, matrix, number):
                continue
            bound = _bound(subject, len(points), number, size)
            lost = math.log10(bound / abs(float(subject.action.loss(point)))) if bound < math.inf else 0.0
            digits = DIGITS + max(0, math.ceil(lost))
            with mpmath.workdps(digits):
                element = matrix(subject, number)
            verdicts.append(_residual(subject, element, point.tolist(), digits) <= EXACT)
    return verdicts


def _right_matrix(subject: Subject, number: int) -> mpmath.matrix:
    return subject.embedded(subject.group_matrix(number))


def _exact_twin(name: str) -> Twin:
    return lambda subject: _exact(subject, WRONG[name], wrong=True) or None


def _float_changes(
    subject: Subject, images: Callable[[torch.Tensor], torch.Tensor], size: float
) -> list[tuple[float, float]]:
    """(change of the loss, bound of its rounding) at each point."""
    points = subject.points(size)
    if not len(points):
        return []
    before, after = subject.action.loss(points), subject.action.loss(images(points))
    changes = [
        (abs(new - old), _bound(subject, len(points), number, size))
        for number, (old, new) in enumerate(zip(before.tolist(), after.tolist(), strict=True))
    ]
    return [(change, bound) for change, bound in changes if bound < math.inf]


def _float64(subject: Subject) -> Verdicts:
    """|L(a(g, x)) - L(x)| within the rounding of this evaluation in float64, at points of size 1 to 1e4."""

    def images(points: torch.Tensor) -> torch.Tensor:
        return subject.action(subject.elements(len(points)), points)

    return [change <= 2 * bound for size in SIZES for change, bound in _float_changes(subject, images, size)]


def _float64_twin(name: str) -> Twin:
    """The same check, at every point at which the wrong map changes the loss by more than its rounding."""

    def check(subject: Subject) -> Verdicts | None:
        verdicts = []
        for size in SIZES:
            points = subject.points(size)
            matrices = [WRONG[name](subject, k) for k in range(len(points))]
            if not len(points) or any(matrix is None for matrix in matrices):
                continue
            stacked = torch.stack([_float(matrix) for matrix in matrices])
            changes = _float_changes(subject, lambda x, m=stacked: subject.chart_action(m, x), size)
            for k, (change, bound) in enumerate(changes):
                exact = _residual(subject, matrices[k], points[k].tolist())
                if exact * abs(float(subject.action.loss(points[k]))) > 4 * bound:
                    verdicts.append(change <= 2 * bound)
        return verdicts or None

    return check


# --- the group laws --------------------------------------------------------------------------------------------------------


def _margins(subject: Subject, element: torch.Tensor, point: Sequence[float | Tracked]) -> list[Tracked]:
    return tracked_image(subject.symmetry, element.tolist(), point, subject.values)


def _close(actual: torch.Tensor, expected: torch.Tensor, margins: Sequence[Sequence[Tracked]]) -> Verdicts:
    """Whether each row agrees to a multiple of the rounding of its evaluation."""
    allowed = torch.tensor(
        [[FACTOR * t.margin + 1e-300 for t in row] for row in margins], dtype=torch.float64
    )
    return [bool(ok) for ok in ((actual - expected).abs() <= allowed).all(dim=-1)]


def _moderate(subject: Subject) -> tuple[float, ...]:
    """Sizes at which coordinates keep digits: where phi is nonlinear, a chart coordinate of size 1e4 loses all of them."""
    chart = subject.symmetry.chart
    jacobian = sp.Matrix(chart.forward).jacobian(chart.variables)
    return SIZES[:1] if jacobian.free_symbols & set(chart.variables) else SIZES[:2]


def _identity(subject: Subject, nudge: float = 0.0) -> Verdicts:
    """a(e, x) = x."""
    verdicts = []
    for size in _moderate(subject):
        points = subject.points(size)
        if not len(points):
            continue
        element = subject.action.identity(points)
        if nudge:
            element = (
                subject.action.exp(nudge * subject.coordinates(1)[0])
                if subject.group.dimension
                else subject.elements(1)[0]
            )
        margins = [_margins(subject, element, point) for point in points.tolist()]
        verdicts += _close(subject.action(element, points), points, margins)
    return verdicts


def _inverse(subject: Subject, forget: bool = False) -> Verdicts:
    """a(g^-1, a(g, x)) = x."""
    verdicts = []
    for size in _moderate(subject):
        points = subject.points(size)
        if not len(points):
            continue
        elements = subject.elements(len(points))
        back = elements if forget else subject.action.inverse(elements)
        margins = [
            _margins(subject, h, _margins(subject, g, point))
            for g, h, point in zip(elements, back, points.tolist(), strict=True)
        ]
        verdicts += _close(subject.action(back, subject.action(elements, points)), points, margins)
    return verdicts


def _composition(subject: Subject, nudge: float = 0.0) -> Verdicts:
    """a(g h, x) = a(g, a(h, x))."""
    verdicts = []
    for size in _moderate(subject):
        points = subject.points(size)
        if not len(points):
            continue
        elements = subject.elements(2 * len(points))
        g, h = elements[: len(points)], elements[len(points) :]
        product = subject.action.compose(g, h)
        if nudge:
            extra = (
                subject.action.exp(nudge * subject.coordinates(1)[0])
                if subject.group.dimension
                else elements[0]
            )
            product = subject.action.compose(product, extra)
        margins = [
            _margins(subject, a, _margins(subject, b, point))
            for a, b, point in zip(g, h, points.tolist(), strict=True)
        ]
        verdicts += _close(
            subject.action(product, points), subject.action(g, subject.action(h, points)), margins
        )
    return verdicts


def _field(subject: Subject, stretch: float = 1.0) -> Verdicts:
    """d/de a(exp(e xi), x) at e = 0 is the field of sum_k xi_k B_k, pulled back from the chart: (D phi(x))^-1 B u."""
    if not subject.group.dimension:
        return [stretch == 1.0]
    symmetry, chart = subject.symmetry, subject.symmetry.chart
    points, xi = subject.points(), subject.coordinates(POINTS)
    jacobian = sp.Matrix(chart.forward).jacobian(chart.variables)
    verdicts = []
    for x, direction in zip(points, xi, strict=True):
        zero = torch.zeros((), dtype=torch.float64)
        moving = lambda e, x=x, d=direction: subject.action(subject.action.exp(e * d), x)  # noqa: E731
        _, velocity = torch.func.jvp(moving, (zero,), (torch.ones_like(zero),))
        with mpmath.workdps(30):
            values = {s: mpmath.mpf(str(subject.values[s.name])) for s in symmetry.loss.constants}
            values |= {s: mpmath.mpf(v) for s, v in zip(symmetry.loss.variables, x.tolist(), strict=True)}
            values |= {
                u: evaluate_digits(e, values) for u, e in zip(chart.coordinates, chart.forward, strict=True)
            }
            flow = [
                sum(mpmath.mpf(t) * evaluate_digits(sp.sympify(symmetry.field(b)[j]), values)
                    for t, b in zip(direction.tolist(), subject.group.basis, strict=True))
                for j in range(subject.dimension)
            ]  # fmt: skip
            turned = mpmath.matrix([[evaluate_digits(e, values) for e in row] for row in jacobian.tolist()])
            expected = [float(stretch * v) for v in mpmath.lu_solve(turned, mpmath.matrix(flow))]
        error = (velocity - torch.tensor(expected, dtype=torch.float64)).norm()
        verdicts.append(bool(error <= 1e-9 * (velocity.norm() + 1e-12)))
    return verdicts


# --- torch -----------------------------------------------------------------------------------------------------------------

Act = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def _moving(subject: Subject) -> Act:
    """(xi, x) -> a(exp(xi), x); where there is no Lie algebra the discrete elements stand still and xi is not used."""
    if subject.group.dimension:
        return lambda xi, x: subject.action(subject.action.exp(xi), x)
    return lambda xi, x: subject.action(subject.elements(1)[0], x) + 0 * xi.sum()


def _leaves(subject: Subject) -> tuple[torch.Tensor, torch.Tensor]:
    xi = subject.coordinates(1) if subject.group.dimension else torch.zeros(1, 1, dtype=torch.float64)
    return xi[0].clone().requires_grad_(), subject.points(count=1)[0].clone().requires_grad_()


def _gradcheck(subject: Subject, wrap: Callable[[Act], Act] = lambda act: act) -> Verdicts:
    """The derivatives by xi and x against differences."""
    return [torch.autograd.gradcheck(wrap(_moving(subject)), _leaves(subject), raise_exception=False)]


def _gradgradcheck(subject: Subject, wrap: Callable[[Act], Act] = lambda act: act) -> Verdicts:
    """The second derivatives by xi and x against differences of the first."""
    return [torch.autograd.gradgradcheck(wrap(_moving(subject)), _leaves(subject), raise_exception=False)]


def _detached(act: Act) -> Act:
    return lambda xi, x: act(xi, x.detach()) + 0 * x


def _linearised(act: Act) -> Act:
    """Right in value and first derivative, wrong in the second."""

    def tangent(xi: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        fixed = (xi.detach(), x.detach())
        value, velocity = torch.func.jvp(act, fixed, (xi - fixed[0], x - fixed[1]))
        return value + velocity

    return tangent


def _is_affine(subject: Subject) -> bool:
    """Whether (xi, x) -> a(exp(xi), x) is affine, so that its linearisation is no wrong map."""
    xi, x = (leaf.detach() for leaf in _leaves(subject))
    act = _moving(subject)
    corners = [act(xi + a, x + b) for a in (0, 1) for b in (0, 1)]
    second = act(xi + 2, x) - 2 * corners[2] + corners[0]
    mixed = corners[3] - corners[2] - corners[1] + corners[0]
    bend = act(xi, x + 2) - 2 * corners[1] + corners[0]
    return bool(max(t.abs().max() for t in (second, mixed, bend)) < 1e-8)


def _dtype(subject: Subject, promote: bool = False) -> Verdicts:
    """float32 stays float32 and float64 float64, whatever the dtype of the element; the values agree."""
    points, elements = subject.points(), subject.elements(POINTS)
    exact = subject.action(elements, points)
    verdicts = []
    for dtype in (torch.float32, torch.float64):
        for of_element in (torch.float32, torch.float64):
            moved = subject.action(elements.to(of_element), points.to(dtype))
            if promote:
                moved = moved.to({torch.float32: torch.float64, torch.float64: torch.float32}[dtype])
            close = torch.allclose(moved.double(), exact, rtol=1e-2, atol=1e-2 * float(exact.abs().max()))
            loss = subject.action.loss(points.to(dtype))
            verdicts.append(moved.dtype == dtype and loss.dtype == dtype and close)
    return verdicts


def _broadcast(subject: Subject, roll: int = 0) -> Verdicts:
    """Element batch (3, 1) with point batch (2,): every pair as by itself."""
    points, elements = subject.points(count=2), subject.elements(3)
    moved = subject.action(elements[:, None], points)
    if moved.shape != (3, 2, subject.dimension):
        return [False]
    verdicts = []
    for i, g in enumerate(elements.roll(roll, 0)):
        for j, x in enumerate(points.roll(roll, 0)):
            verdicts += _close(
                moved[i, j][None], subject.action(g, x)[None], [_margins(subject, g, x.tolist())]
            )
    scalar = subject.action.loss(points[0])
    return [*verdicts, scalar.shape == ()] if not roll else verdicts


def _vmap(subject: Subject, roll: int = 0) -> Verdicts:
    """torch.func.vmap over elements and points is the batch."""
    points, elements = subject.points(), subject.elements(POINTS)
    margins = [_margins(subject, g, x) for g, x in zip(elements, points.tolist(), strict=True)]
    mapped = torch.func.vmap(subject.action)(elements, points.roll(roll, 0))
    return _close(mapped, subject.action(elements, points), margins)


def _pickle(subject: Subject, other: bool = False) -> Verdicts:
    """An action survives pickling bit for bit, its certificate too."""
    points, elements = subject.points(), subject.elements(POINTS)
    copy = pickle.loads(pickle.dumps(subject.action))
    if other:
        changed = _float(WRONG["stretched"](subject, 0))
        return [
            torch.equal(copy(g, x), subject.chart_action(changed, x))
            for g, x in zip(elements, points, strict=True)
        ]
    same = copy.certificate == subject.certificate and copy.source == subject.action.source
    return [
        same,
        *[torch.equal(copy(g, x), subject.action(g, x)) for g, x in zip(elements, points, strict=True)],
    ]


def _meta(subject: Subject, narrow: bool = False) -> Verdicts:
    """On the meta device: the right shape without a value; a point of the wrong length is refused there too."""
    points, elements = subject.points().to("meta"), subject.elements(POINTS).to("meta")
    try:
        moved = subject.action(elements, torch.cat([points, points], -1) if narrow else points)
    except ValueError:
        return [False]
    return [moved.device.type == "meta" and moved.shape == points.shape]


# --- symbolic --------------------------------------------------------------------------------------------------------------


def _proved(symmetry: Symmetry) -> Verdicts:
    """`verify` proves the claim."""
    try:
        return [sd.verify(symmetry).status == "proved"]
    except (sd.NotInvariant, sd.SymmetryError):
        return [False]


def _claim_with(
    subject: Subject, group: Group | None = None, chart: Chart | None = None, **rest: Any
) -> Symmetry:
    s = subject.symmetry
    return Symmetry(
        s.loss, group or s.group, chart or s.chart, s.kind, s.route, rest.get("reduced", s.reduced)
    )


def _claim_turned(subject: Subject) -> Verdicts | None:
    """A generator with one more entry on its diagonal."""
    if not subject.group.dimension or not _is_wrong(subject, _generator_grown, 0):
        return None
    first = sp.Matrix(subject.group.basis[0])
    first[0, 0] += 1
    element = "matrix" if subject.group.element == "angle" else subject.group.element
    wrong = replace(
        subject.group, basis=(sp.ImmutableMatrix(first), *subject.group.basis[1:]), form=None, element=element
    )
    return _proved(_claim_with(subject, wrong))


def _generator_grown(subject: Subject, number: int) -> mpmath.matrix:
    t = subject.numbers(subject.group.basis[0])
    t[0, 0] += 1
    return subject.embedded(mpmath.expm(t))


def _claim_shifted(subject: Subject) -> Verdicts:
    """phi with a constant that psi does not know."""
    chart = subject.symmetry.chart
    wrong = replace(chart, forward=(chart.forward[0] + sp.Rational(1, 3), *chart.forward[1:]))
    return _proved(_claim_with(subject, chart=wrong))


def _claim_reduced(subject: Subject) -> Verdicts:
    """A reduced loss that is not the loss."""
    q = subject.symmetry.reduced_loss
    return _proved(_claim_with(subject, reduced=q + sp.Rational(1, 10**30)))


def written_map(subject: Subject, truncate: bool = False, strict: bool = False) -> Verdicts | None:
    """The written-out map: identity at zero parameters, L(a(g, x)) = L(x), and where elements add, composition.

    The composite is proved for most (`strict`); the others, log(sum exp) for one, are evidence in hundreds of digits.
    """
    symmetry = subject.symmetry
    images, parameters, loss = symmetry.map, symmetry.parameters, symmetry.loss
    if images is None or sum(sp.count_ops(image) for image in images) > 400:
        return None if truncate else [True]
    zero = dict.fromkeys(parameters, sp.Integer(0))
    if truncate:
        first = [
            image.xreplace(zero) + sum(sp.diff(image, t).xreplace(zero) * t for t in parameters)
            for image in images
        ]
        if all(sp.expand(a - b) == 0 for a, b in zip(first, images, strict=True)):
            return None
        images = tuple(first)
    if symmetry.chart.lemma is not None:
        verdicts = _map_in_digits(subject, images)
        return verdicts if not truncate or not all(verdicts) else None
    moved = loss.expression.xreplace(dict(zip(loss.variables, images, strict=True)))
    conditions = symmetry.chart.conditions
    verdict = decide_zero(moved - loss.expression, conditions=conditions, thorough=False)
    if truncate:
        return None if verdict.status == "proved" else [verdict.status != "refuted"]
    at_zero = (
        [
            decide_zero(i.xreplace(zero) - x, conditions=conditions).status
            for i, x in zip(images, loss.variables, strict=True)
        ]
        if parameters
        else []
    )
    invariant = verdict.status == "proved" if strict else verdict.status in ("proved", "numerical")
    return [invariant, *[status == "proved" for status in at_zero], *_adds(subject)]


def _map_in_digits(subject: Subject, images: Sequence[sp.Expr]) -> Verdicts:
    """At points of the lemma's region, which blind samples may miss: L(a(g, x)) = L(x), and a(1, x) = x."""
    symmetry, loss, verdicts = subject.symmetry, subject.symmetry.loss, []
    draw = torch.Generator().manual_seed(4)
    for point in subject.points().tolist():
        with mpmath.workdps(DIGITS):
            at = {s: mpmath.mpf(str(subject.values[s.name])) for s in loss.constants}
            at |= dict(zip(loss.variables, map(mpmath.mpf, point), strict=True))
            t = {
                p: mpmath.mpf(0.6 * torch.rand((), generator=draw).item() + 0.1) for p in symmetry.parameters
            }
            still = at | dict.fromkeys(symmetry.parameters, mpmath.mpf(0))
            moved = at | {x: evaluate_digits(i, at | t) for x, i in zip(loss.variables, images, strict=True)}
            kept = [evaluate_digits(i, still) for i in images] if t else point
            before, after = (evaluate_digits(loss.expression, values) for values in (at, moved))
            same = all(abs(a - b) <= EXACT * (1 + abs(b)) for a, b in zip(kept, point, strict=True))
            verdicts.append(bool(same and abs(after - before) <= EXACT * max(abs(after), abs(before))))
    return verdicts


def _adds(subject: Subject) -> Verdicts:
    symmetry = subject.symmetry
    if subject.group.element == "matrix" or not symmetry.map:
        return []
    second = {t: sp.Dummy(t.name, real=True) for t in symmetry.parameters}
    total = {t: t + s for t, s in second.items()}
    inner = dict(zip(symmetry.loss.variables, symmetry.map, strict=True))
    twice = [image.xreplace(second).xreplace(inner) for image in symmetry.map]
    return [
        decide_zero(a - b.xreplace(total), thorough=False).status in ("proved", "numerical")  # not: refuted
        for a, b in zip(twice, symmetry.map, strict=True)
    ]


LAWS: dict[str, Law] = {
    "proof": Law(
        lambda s: [s.certificate.status == "proved", s.certificate.group_law, *_proved(s.symmetry)],
        {"generator": _claim_turned, "chart": _claim_shifted, "reduced loss": _claim_reduced},
    ),
    "map": Law(lambda s: written_map(s) or [], {"first order": lambda s: written_map(s, truncate=True)}),
    "exact": Law(lambda s: _exact(s, _right_matrix), {name: _exact_twin(name) for name in WRONG}),
    "float64": Law(_float64, {name: _float64_twin(name) for name in WRONG}),
    "identity": Law(_identity, {"not quite the identity": lambda s: _identity(s, nudge=1e-5)}),
    "inverse": Law(
        _inverse, {"forgets to invert": lambda s: _inverse(s, forget=True) if s.group.dimension else None}
    ),
    "composition": Law(_composition, {"one factor too many": lambda s: _composition(s, nudge=1e-5)}),
    "field": Law(_field, {"one per cent too fast": lambda s: _field(s, 1.01) if s.group.dimension else None}),
    "gradcheck": Law(_gradcheck, {"detached": lambda s: _gradcheck(s, _detached)}),
    "gradgradcheck": Law(
        _gradgradcheck, {"linearised": lambda s: None if _is_affine(s) else _gradgradcheck(s, _linearised)}
    ),
    "dtype": Law(_dtype, {"promoted": lambda s: _dtype(s, promote=True)}),
    "batch shapes": Law(_broadcast, {"rolled": lambda s: _broadcast(s, roll=1)}),
    "vmap": Law(_vmap, {"rolled": lambda s: _vmap(s, roll=1)}),
    "pickle": Law(_pickle, {"another map": lambda s: _pickle(s, other=True)}),
    "meta device": Law(_meta, {"too long a point": lambda s: _meta(s, narrow=True)}),
}
