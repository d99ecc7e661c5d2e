"""claim -> Certificate: a few small identities, each decided on its own, and a control that must fail."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence

import sympy as sp

from symdiscover import symmetry as _symmetry
from symdiscover.budget import Deadline, call
from symdiscover.errors import BudgetExceeded, NotInvariant, SymmetryError
from symdiscover.group import Group, exponential
from symdiscover.identity import ZERO, Verdict, decide_zero, sample_points, weakest
from symdiscover.lie_algebra import LieAlgebra, orbit_dimension
from symdiscover.symmetry import Certificate, Identity, Status, Symmetry


def verify(symmetry: Symmetry, budget: float = 30.0) -> Certificate:
    """Prove a claim, or refute it: L(psi(g phi(x))) = L(x) for every g of the group and x in the domain.

    Checked are: phi and psi are inverse to each other; L = Q(phi(x)); every generator B of the Lie algebra annihilates Q,
    sum_i dQ/du_i (B u)_i = 0, and every discrete generator leaves Q equal, which together proves the claim for the
    whole group; the generators are independent and close under commutators; the written-out map is the identity
    at zero parameters and belongs to the group; and a deliberately wrong map fails.

    Parameters
    ----------
    symmetry:
        The claim, from a route or by hand (`claim`). Nothing of how it was found is used.
    budget:
        Seconds for the whole proof, which runs in a process that can be ended. Past it the claim is tested in
        60 digits and the certificate says ``numerical``.

    Returns
    -------
    Certificate
        Its status is that of the weakest identity; a claim that is not exact (kind ``numerical``) is never raised
        above ``numerical``.

    Raises
    ------
    NotInvariant
        If the claim is false: with the residual and a counterexample.

    Examples
    --------
    >>> from symdiscover import Chart, Loss, SO, Symmetry
    >>> loss = Loss.parse("x**2 + y**2")
    >>> verify(Symmetry(loss, SO(2), Chart.identity(loss.variables))).status
    'proved'
    >>> loss = Loss.parse("x**2 + 2*y**2")
    >>> verify(Symmetry(loss, SO(2), Chart.identity(loss.variables)))
    Traceback (most recent call last):
    symdiscover.errors.NotInvariant: SO(2) does not leave x**2 + 2*y**2 unchanged: ...
    """
    try:
        return call(_verify, symmetry, budget * 0.9, seconds=budget)
    except BudgetExceeded as unfinished:
        return _sampled(symmetry, str(unfinished))


def claim(loss: _symmetry.Loss, images: Sequence[sp.Expr], parameters: Sequence[sp.Symbol], group: str = "by hand") -> Symmetry:
    """A claim written by hand: x -> images(parameters, x) leaves the loss unchanged for all real parameters.

    Parameters
    ----------
    loss:
        The loss in n variables.
    images:
        n expressions in the variables, the constants and the parameters: where each variable goes.
    parameters:
        Real symbols; all zero must give the identity.
    group:
        A label.

    Examples
    --------
    >>> from symdiscover import Loss
    >>> loss = Loss.parse("x*y")
    >>> x, y = loss.variables
    >>> t = sp.Symbol("t", real=True)
    >>> verify(claim(loss, [x*sp.exp(t), y*sp.exp(-t)], [t])).group_law
    True
    """
    kind = "time" if len(parameters) == 1 else "vector"
    unnamed = Group(group, len(loss.variables), (), element=kind)
    chart = _symmetry.Chart.identity(loss.variables)
    return Symmetry(loss, unnamed, chart, parameters=tuple(parameters), map=tuple(sp.sympify(i) for i in images))


def _verify(symmetry: Symmetry, seconds: float) -> Certificate:
    _well_formed(symmetry)
    deadline = Deadline(seconds)
    identities: list[Identity] = []
    matrices = bool(symmetry.group.basis or symmetry.group.discrete)
    steps = _matrix_identities(symmetry) if matrices else _map_identities(symmetry)
    for name, statement, expressions in steps:
        identities.append(_check(symmetry, name, statement, expressions, deadline))
    identities.append(_control(symmetry, deadline))
    if matrices:
        algebra, closure = _algebra(symmetry)
        identities.append(closure)
        group_law, killing = True, algebra.killing_signature if algebra is not None else None
        fields = [symmetry.field(generator) for generator in symmetry.group.basis]
        rank = orbit_dimension(fields, symmetry.chart.coordinates) if fields else 0
    else:
        law = _composition(symmetry, deadline)
        identities.append(law)
        group_law, killing = law.status == "proved", None
        at_identity = dict.fromkeys(symmetry.parameters, sp.Integer(0))
        fields = [[sp.diff(image, t).xreplace(at_identity) for image in symmetry.map or ()] for t in symmetry.parameters]
        rank = orbit_dimension(fields, symmetry.loss.variables)
    decisive = [identity.status for identity in identities if identity.name not in ("control", "composition")]
    if any(identity.name == "control" and identity.status != "proved" for identity in identities):
        decisive.append("unchecked")
    status = weakest([*decisive, "numerical"] if symmetry.kind == "numerical" else decisive)
    return _certificate(symmetry, status, identities, group_law, rank, killing)


def _certificate(
    symmetry: Symmetry,
    status: Status,
    identities: Sequence[Identity],
    group_law: bool,
    rank: int,
    killing: tuple[int, int, int] | None,
    note: str = "",
) -> Certificate:
    return Certificate(
        symmetry,
        status,
        tuple(identities),
        group_law,
        rank,
        killing,
        sp.__version__,
        symmetry.loss.digest,
        note,
        seal=_symmetry._SEAL,
    )


_Step = tuple[str, str, list[sp.Expr]]


def _matrix_identities(symmetry: Symmetry) -> Iterator[_Step]:
    """What has to vanish for a group of matrices acting through a chart."""
    chart, group, loss, q = symmetry.chart, symmetry.group, symmetry.loss, symmetry.reduced_loss
    forward = dict(zip(chart.coordinates, chart.forward, strict=True))
    yield "chart", "psi(phi(x)) = x", [e.xreplace(forward) - variable for variable, e in chart.inverse]
    yield "inverse chart", "phi(psi(u)) = u", _forward_after_inverse(symmetry)
    yield "reduction", "L(x) = Q(phi(x))", [q.xreplace(forward) - loss.expression]
    if group.basis:
        derivatives = [
            sp.Add(*[sp.diff(q, u) * v for u, v in zip(chart.coordinates, symmetry.field(generator), strict=True)])
            for generator in group.basis
        ]
        yield "generators", f"dQ(u) B u = 0 for {len(group.basis)} generators B", derivatives
    if group.discrete:
        moved = [dict(zip(chart.coordinates, symmetry.moved(d), strict=True)) for d in group.discrete]
        statement = f"Q(D u) = Q(u) for {len(moved)} discrete generators D"
        yield "discrete generators", statement, [q.xreplace(images) - q for images in moved]
    if symmetry.map is not None:
        yield from _closed_form_identities(symmetry)


def _forward_after_inverse(symmetry: Symmetry) -> list[sp.Expr]:
    """phi(psi(u)) - u, with what psi solved earlier kept as symbols.

    Eliminating from the last solved variable to the first keeps the expressions as small as the chart itself.
    """
    chart = symmetry.chart
    residuals = []
    for coordinate, expression in zip(chart.coordinates, chart.forward, strict=True):
        residual = expression - coordinate
        for variable, solution in reversed(chart.inverse):
            residual = residual.xreplace({variable: solution})
            if residual.is_Add or residual.is_Mul:
                residual = sp.expand(residual) if residual.count_ops() < 2_000 else residual
            if residual == 0:
                break
        residuals.append(residual)
    return residuals


def _closed_form_identities(symmetry: Symmetry) -> Iterator[_Step]:
    group, parameters, images = symmetry.group, symmetry.parameters, symmetry.map
    if images is None:
        return
    if parameters:
        at_identity = dict.fromkeys(parameters, sp.Integer(0))
        yield "identity", "a(e, x) = x", [
            image.xreplace(at_identity) - variable
            for image, variable in zip(images, symmetry.loss.variables, strict=True)
        ]
    matrix = symmetry.closed_matrix()
    if matrix is None or symmetry != Symmetry(
        symmetry.loss, group, symmetry.chart, symmetry.kind, symmetry.route, symmetry.reduced, note=symmetry.note
    ):
        moved = dict(zip(symmetry.loss.variables, images, strict=True))
        yield "map", "L(a(g, x)) = L(x)", [symmetry.loss.expression.xreplace(moved) - symmetry.loss.expression]
    elif group.form is not None and not (group.dimension == 1 and group.element == "matrix"):
        yield "map", "g^T F g = F", list(matrix.T * group.form * matrix - group.form)
    else:
        yield "map", "d/dt exp(t B) = B exp(t B)", [
            entry
            for t, generator in zip(parameters, group.basis, strict=True)
            for factor in [sp.Matrix(exponential(generator, t) or [])]
            for entry in sp.diff(factor, t) - generator * factor
        ]


def _map_identities(symmetry: Symmetry) -> Iterator[_Step]:
    """What has to vanish for a map without matrices."""
    images = symmetry.map or ()
    at_identity = dict.fromkeys(symmetry.parameters, sp.Integer(0))
    moved = dict(zip(symmetry.loss.variables, images, strict=True))
    yield "map", "L(a(g, x)) = L(x)", [symmetry.loss.expression.xreplace(moved) - symmetry.loss.expression]
    yield "identity", "a(0, x) = x", [
        image.xreplace(at_identity) - variable
        for image, variable in zip(images, symmetry.loss.variables, strict=True)
    ]


def _check(symmetry: Symmetry, name: str, statement: str, expressions: list[sp.Expr], deadline: Deadline) -> Identity:
    start = time.perf_counter()
    conditions = symmetry.chart.conditions
    verdicts = [
        decide_zero(expression, seconds=max(deadline.left() / 3, 0.1), conditions=conditions)
        for expression in expressions
    ]
    for verdict in verdicts:
        if verdict.status == "refuted":
            where = ", ".join(f"{key} = {value}" for key, value in verdict.counterexample.items())
            raise NotInvariant(
                f"{symmetry.group.name} does not leave {symmetry.loss} unchanged: {name}, {statement}, "
                f"has residual {verdict.residual} at {where}",
                residual=verdict.residual,
                counterexample=verdict.counterexample,
            )
    worst = max(verdicts, key=lambda v: _symmetry.STRENGTH.index(v.status), default=Verdict("proved", "structure"))
    methods = dict.fromkeys(verdict.method for verdict in verdicts if verdict.status == worst.status)
    return Identity(name, statement, worst.status, ", ".join(methods) or "structure", worst.residual, time.perf_counter() - start)


def _well_formed(symmetry: Symmetry) -> None:
    """Every expression uses only the symbols it may use: an identity in foreign symbols would prove nothing."""
    loss, chart, group = symmetry.loss, symmetry.chart, symmetry.group
    constants, variables, coordinates = set(loss.constants), set(loss.variables), set(chart.coordinates)
    allowed: list[tuple[str, Sequence[sp.Basic], set[sp.Symbol]]] = [
        ("phi", chart.forward, variables | constants),
        ("the reduced loss", [symmetry.reduced_loss], coordinates | constants),
        ("the generators", [*group.basis, *group.discrete], constants),
        ("the map", symmetry.map or (), variables | constants | set(symmetry.parameters)),
        ("the conditions", chart.conditions, variables | constants),
    ]
    solved: set[sp.Symbol] = set()
    for variable, expression in chart.inverse:
        allowed.append((f"psi for {variable}", [expression], coordinates | constants | solved))
        solved.add(variable)
    for where, expressions, symbols in allowed:
        foreign = set().union(*(sp.sympify(e).free_symbols for e in expressions)) - symbols
        if foreign:
            raise SymmetryError(f"{where} uses {', '.join(sorted(map(str, foreign)))}, which it may not depend on")
    distinct = len(coordinates) == len(chart.coordinates) == len(chart.forward) == len(loss.variables)
    if not distinct or coordinates & (variables | constants) or solved != variables or len(chart.inverse) != len(solved):
        raise SymmetryError("a chart needs as many new coordinates as there are variables, each variable solved once")
    if set(symmetry.parameters) & (variables | constants):
        raise SymmetryError("a parameter has the name of a variable or constant of the loss")


def _control(symmetry: Symmetry, deadline: Deadline) -> Identity:
    """The same check on a map that is wrong: u -> 2 u + 1/3 in one coordinate that the loss depends on."""
    start = time.perf_counter()
    if not symmetry.loss.expression.free_symbols & set(symmetry.loss.variables):
        return Identity("control", "a constant loss has no wrong map", "proved", "structure")
    q, coordinates = symmetry.reduced_loss, symmetry.chart.coordinates
    for coordinate in coordinates:
        wrong = q.xreplace({coordinate: 2 * coordinate + sp.Rational(1, 3)})
        if wrong == q:
            continue
        verdict = decide_zero(wrong - q, seconds=min(2.0, max(deadline.left(), 0.1)))
        if verdict.status == "refuted":
            return Identity(
                "control", f"Q(2 {coordinate} + 1/3) = Q({coordinate}) fails", "proved", "refuted as it must be",
                verdict.residual, time.perf_counter() - start,
            )  # fmt: skip
    return Identity("control", "no wrong map was refuted", "unchecked", "the loss is constant or not sampled")


def _algebra(symmetry: Symmetry) -> tuple[LieAlgebra | None, Identity]:
    start = time.perf_counter()
    statement = "generators independent, [B_i, B_j] in their span"
    if not symmetry.group.basis:
        return None, Identity("closure", "finite group", "proved", "structure")
    try:
        algebra = LieAlgebra.from_matrices(symmetry.group.basis)
    except SymmetryError as error:
        raise NotInvariant(f"the generators of {symmetry.group.name} span no Lie algebra: {error}") from error
    return algebra, Identity("closure", statement, "proved", "exact linear algebra", seconds=time.perf_counter() - start)


def _composition(symmetry: Symmetry, deadline: Deadline) -> Identity:
    """a(s, a(t, x)) = a(s + t, x); a claim may hold without it, so a failure is no refutation."""
    start = time.perf_counter()
    variables, parameters, images = symmetry.loss.variables, symmetry.parameters, symmetry.map or ()
    second = [sp.Dummy(f"{t.name}2", real=True) for t in parameters]
    inner = dict(zip(variables, images, strict=True))
    outer = [image.xreplace(dict(zip(parameters, second, strict=True))).xreplace(inner) for image in images]
    total = {t: t + s for t, s in zip(parameters, second, strict=True)}
    verdicts = [
        decide_zero(a - b.xreplace(total), seconds=max(deadline.left() / 3, 0.1))
        for a, b in zip(outer, images, strict=True)
    ]
    status = weakest([verdict.status for verdict in verdicts])
    statement = "a(s, a(t, x)) = a(s + t, x)" + ("" if status == "proved" else " does not hold or is not proved")
    return Identity("composition", statement, status, verdicts[0].method, seconds=time.perf_counter() - start)


def _sampled(symmetry: Symmetry, reason: str) -> Certificate:
    """A 60-digit test at random points and elements, for claims whose proof did not end."""
    rng = random.Random(0)
    agreed = 0
    for point in sample_points(symmetry.loss.expression, 0, 12):
        chart_point = {u: e.xreplace(point) for u, e in zip(symmetry.chart.coordinates, symmetry.chart.forward, strict=True)}
        for matrix in _random_matrices(symmetry, rng):
            values = [chart_point[u] for u in symmetry.chart.coordinates]
            images = symmetry.chart.solve([sp.N(v, 80) for v in symmetry.moved(matrix, values)])
            before = sp.N(symmetry.loss.expression.xreplace(point), 70)
            moved = dict(zip(symmetry.loss.variables, images, strict=True))
            constants = {s: v for s, v in point.items() if s not in moved}
            after = sp.N(symmetry.loss.expression.xreplace(moved).xreplace(constants), 70)
            if not (before.is_real and after.is_real):
                continue
            if abs(after - before) > ZERO * (1 + abs(before)):
                raise NotInvariant(
                    f"{symmetry.group.name} does not leave {symmetry.loss} unchanged at {point}",
                    residual=str(after - before),
                    counterexample={s.name: str(v) for s, v in point.items()},
                )
            agreed += 1
    status: Status = "numerical" if agreed else "unchecked"
    test = Identity("map", "L(a(g, x)) = L(x)", status, f"{agreed} points in 60 digits")
    return _certificate(symmetry, status, [test], False, 0, None, f"{reason}; numerically supported")


def _random_matrices(symmetry: Symmetry, rng: random.Random) -> Iterator[sp.Matrix]:
    yield from symmetry.group.discrete
    if (closed := symmetry.closed_matrix()) is not None:
        yield closed.xreplace({t: sp.Rational(rng.randint(-99, 99), 170) for t in symmetry.parameters})
