"""claim -> Certificate: a few small identities, each decided on its own, and a control that must fail."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import sympy as sp

from symdiscover import symmetry as _symmetry
from symdiscover.budget import Deadline, call
from symdiscover.continuity import is_rigid, partial_nodes, rigid_parts
from symdiscover.errors import BudgetExceeded, NotInvariant, SymmetryError
from symdiscover.flow_claim import flow_identities, tangency
from symdiscover.group import ElementKind, Group, exponential, skew_matrix
from symdiscover.identity import Verdict, decide_zero, sample_points, simplifies_to_zero, value_at, weakest
from symdiscover.images import agreeing_images, images_of, refutation
from symdiscover.lie_algebra import LieAlgebra, orbit_dimension
from symdiscover.loss import Loss
from symdiscover.root import Root
from symdiscover.symmetry import Certificate, Chart, Identity, Lemma, Status, Symmetry
from symdiscover.well_formed import check_well_formed

#: The part of the budget that the proof may take; past it the rest is for a numerical test.
PROOF_SHARE = 0.7
#: Points at which domains are sampled.
DOMAIN_POINTS = 16


def verify(symmetry: Symmetry, budget: float = 30.0) -> Certificate:
    """Prove a claim, or refute it: L(psi(g phi(x))) = L(x) for every g of the group and x in the domain.

    Checked are: phi and psi are inverse to each other (psi on all of R^n) and real where L is, and g keeps the
    chart's conditions; L = Q(phi(x)); every generator B of the Lie algebra annihilates Q, sum_i dQ/du_i (B u)_i = 0, or
    its parts, or exp(t B) leaves it equal, where Q may jump; every discrete generator leaves Q equal, which together
    proves the claim for the whole group; the generators are independent and close under commutators; the written-out
    map is the identity at zero parameters and belongs to the group; and a deliberately wrong map fails.

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
    SymmetryError
        If the claim is not well formed: symbols that its parts may not depend on, a group that contradicts itself.

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
    check_well_formed(symmetry)
    deadline = Deadline(budget)
    try:
        findings = call(_examine, symmetry, seconds=budget * PROOF_SHARE)
    except BudgetExceeded as unfinished:
        return _tested_in_numbers(
            symmetry, f"the proof did not end: {unfinished}", budget * (1 - PROOF_SHARE)
        )
    for place, expressions in findings.undecided.items():
        left = deadline.left() / max(len(expressions), 1)
        if all(simplifies_to_zero(expression, min(left, deadline.left())) for expression in expressions):
            proved = replace(findings.identities[place], status="proved", method="simplify")
            findings.identities[place] = proved
    return _certificate(symmetry, findings)


def claim(
    loss: Loss, images: Sequence[sp.Expr], parameters: Sequence[sp.Symbol], group: str = "by hand"
) -> Symmetry:
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

    Raises
    ------
    SymmetryError
        If there is no parameter, or an image is no SymPy expression (text is never evaluated).

    Examples
    --------
    >>> from symdiscover import Loss
    >>> loss = Loss.parse("x*y")
    >>> x, y = loss.variables
    >>> t = sp.Symbol("t", real=True)
    >>> verify(claim(loss, [x*sp.exp(t), y*sp.exp(-t)], [t])).group_law
    True
    """
    if not parameters:
        raise SymmetryError("a map needs parameters; a single map is a Symmetry with a discrete group")
    if wrong := [image for image in images if not isinstance(image, sp.Expr | int)]:
        raise SymmetryError(f"an image must be a SymPy expression, not {type(wrong[0]).__name__}")
    kind: ElementKind = "time" if len(parameters) == 1 else "vector"
    unnamed = Group(group, len(loss.variables), (), element=kind)
    chart = Chart.identity(loss.variables, (*loss.constants, *parameters))
    return Symmetry(
        loss,
        unnamed,
        chart,
        parameters=tuple(parameters),
        map=tuple(sp.sympify(i, strict=True) for i in images),
    )


@dataclass
class _Findings:
    """What an examination found; `undecided` holds, by place among the identities, what is left to simplify."""

    identities: list[Identity]
    undecided: dict[int, list[sp.Expr]]
    killing: tuple[int, int, int] | None = None
    rank: int = 0
    note: str = ""


def _examine(symmetry: Symmetry) -> _Findings:
    """Decide every identity by steps that end."""
    found = _Findings([], {})
    if symmetry.flow is not None:
        return _examine_flow(symmetry, found)
    matrices = bool(symmetry.group.basis or symmetry.group.discrete)
    for name, statement, expressions in (
        _matrix_identities(symmetry) if matrices else _map_identities(symmetry)
    ):
        identity, open_ = _check(symmetry, name, statement, expressions)
        if open_:
            found.undecided[len(found.identities)] = open_
        found.identities.append(identity)
    if symmetry.chart.lemma is None:
        found.identities.append(_domain(symmetry))
    else:
        found.identities += _by_lemma(symmetry, symmetry.chart.lemma)
    found.identities.append(_control(symmetry))
    if matrices:
        algebra, closure = _algebra(symmetry)
        found.identities.append(closure)
        found.killing = algebra.killing_signature if algebra is not None else None
        fields = [symmetry.field(generator) for generator in symmetry.group.basis]
        coordinates = symmetry.chart.coordinates
    else:
        found.identities.append(_composition(symmetry))
        fields = [_velocity(symmetry, t) for t in symmetry.parameters]
        coordinates = symmetry.loss.variables
    try:
        found.rank = orbit_dimension(fields, coordinates) if fields else 0
    except (SymmetryError, ValueError) as error:
        found.note = f"the orbit dimension is not known: {error}"
    return found


def _examine_flow(symmetry: Symmetry, found: _Findings) -> _Findings:
    """The chart and the tangency of the field as identities; what the flow does as a measurement."""
    statement, residuals = tangency(symmetry)
    steps = [*_matrix_identities(symmetry), ("tangency", statement, residuals)]
    for name, text, expressions in steps:
        identity, open_ = _check(symmetry, name, text, expressions)
        if open_:
            found.undecided[len(found.identities)] = open_
        found.identities.append(identity)
    found.identities += [_domain(symmetry), _control(symmetry), *flow_identities(symmetry)]
    found.rank = 1 if symmetry.group.element != "vector" else symmetry.group.size - 1
    return found


def _velocity(symmetry: Symmetry, parameter: sp.Symbol) -> tuple[sp.Expr, ...]:
    """The derivative of the written-out map by a parameter at the identity, as far as there is one."""
    at_identity = {t: sp.Integer(0) for t in symmetry.parameters if t != parameter}
    slopes = [sp.diff(image.xreplace(at_identity), parameter) for image in symmetry.map or ()]
    if any(slope.has(sp.Derivative, sp.Subs) for slope in slopes):
        return tuple(sp.nan for _ in slopes)
    return tuple(slope.xreplace({parameter: sp.Integer(0)}) for slope in slopes)


def _certificate(symmetry: Symmetry, found: _Findings) -> Certificate:
    status = weakest([_strength(identity) for identity in found.identities if identity.name != "composition"])
    if symmetry.kind == "numerical":
        status = weakest([status, "numerical"])
    # With matrices the law is that of the matrices, as far as the chart is shown to be one; a map must show it.
    by_map = [identity for identity in found.identities if identity.name == "composition"]
    lawful = by_map or [
        identity for identity in found.identities if identity.name in ("chart", "inverse chart", "domain")
    ]
    group_law = bool(lawful) and all(identity.status == "proved" for identity in lawful)
    return Certificate(
        symmetry,
        status,
        tuple(found.identities),
        group_law,
        found.rank,
        found.killing,
        sp.__version__,
        symmetry.loss.digest,
        found.note,
        seal=_symmetry._SEAL,
    )


def _strength(identity: Identity) -> Status:
    return "unchecked" if identity.name == "control" and identity.status != "proved" else identity.status


_Step = tuple[str, str, list[sp.Expr]]


def _matrix_identities(symmetry: Symmetry) -> Iterator[_Step]:
    """What has to vanish for a group of matrices acting through a chart."""
    chart, group, loss, q = symmetry.chart, symmetry.group, symmetry.loss, symmetry.reduced_loss
    forward = dict(zip(chart.coordinates, chart.forward, strict=True))
    if chart.lemma is None:
        steps = [(x, step) for x, step in chart.inverse if not isinstance(step, Root)]
        yield "chart", "psi(phi(x)) = x", [step.xreplace(forward) - x for x, step in steps]
        yield "inverse chart", "phi(psi(u)) = u", _forward_after_inverse(symmetry)
        yield "reduction", "L(x) = Q(phi(x))", [q.xreplace(forward) - loss.expression]
    if group.basis:
        yield _generators(symmetry)
    if group.discrete:
        moved = [dict(zip(chart.coordinates, symmetry.moved(d), strict=True)) for d in group.discrete]
        statement = f"Q(D u) = Q(u) for {len(moved)} discrete generators D"
        yield "discrete generators", statement, [q.xreplace(images) - q for images in moved]
    if symmetry.map is not None:
        yield from _closed_form_identities(symmetry)


def _generators(symmetry: Symmetry) -> _Step:
    """Infinitesimally, where that proves the finite statement; else the one-parameter groups themselves."""
    group, q, moved = symmetry.group, symmetry.reduced_loss, symmetry.chart.coordinates[: symmetry.group.size]
    name, count = "generators", len(group.basis)
    if is_rigid(q, moved):
        return (
            name,
            f"dQ(u) B u = 0 for {count} generators B",
            [d for b in group.basis for d in [_along(symmetry, b, q)]],
        )
    parts = rigid_parts(q, moved)
    derivatives = [_along(symmetry, generator, part) for generator in group.basis for part in parts]
    if all(decide_zero(derivative, thorough=False).status == "proved" for derivative in derivatives):
        return (
            name,
            f"dM(u) B u = 0 for {count} generators B and {len(parts)} parts M of which Q is a function",
            derivatives,
        )
    t = sp.Dummy("t", real=True)
    finite = []
    for generator in group.basis:
        factor = exponential(generator, t)
        if factor is None:
            raise SymmetryError(
                "the loss may jump, and a generator has no exponential in closed form to test it with"
            )
        finite.append(
            q.xreplace(dict(zip(symmetry.chart.coordinates, symmetry.moved(factor), strict=True))) - q
        )
    return name, f"Q(exp(t B) u) = Q(u) for {count} generators B", finite


def _along(symmetry: Symmetry, generator: sp.Matrix, function: sp.Expr) -> sp.Expr:
    """The derivative of a function of u along the field of a generator."""
    field = zip(symmetry.chart.coordinates, symmetry.field(generator), strict=True)
    return sp.Add(*[sp.diff(function, u) * velocity for u, velocity in field if velocity != 0])


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
    matrix = symmetry.closed_matrix()
    own = matrix is not None and symmetry == _written_out(symmetry)
    if parameters:
        yield _at_identity(symmetry, images, matrix if own else None)
    if not own or matrix is None:
        moved = dict(zip(symmetry.loss.variables, images, strict=True))
        yield (
            "map",
            "L(a(g, x)) = L(x)",
            [symmetry.loss.expression.xreplace(moved) - symmetry.loss.expression],
        )
    elif group.form is not None and group.dimension > 1:
        form, inner = symmetry.cayley_form(), sp.Matrix(symmetry.cayley_matrix())
        skew = skew_matrix(form.rows, parameters)
        statement = "(D + S) M = D - S, S skew, hence M^T D M = D"
        yield "map", statement, [*((form + skew) * inner - (form - skew)), *(skew + skew.T)]
    else:
        yield (
            "map",
            "d/dt exp(t B) = B exp(t B)",
            [
                entry
                for t, generator in zip(parameters, group.basis, strict=True)
                for factor in [sp.Matrix(exponential(generator, t) or [])]
                for entry in sp.diff(factor, t) - generator * factor
            ],
        )


def _written_out(symmetry: Symmetry) -> Symmetry:
    """The same claim with the map that its group and chart give."""
    return Symmetry(
        symmetry.loss, symmetry.group, symmetry.chart, symmetry.kind, symmetry.route, symmetry.reduced,
        note=symmetry.note,
    )  # fmt: skip


def _at_identity(symmetry: Symmetry, images: Sequence[sp.Expr], matrix: sp.Matrix | None) -> _Step:
    """The map at zero parameters; with a lemma, for which psi(phi(x)) = x, the matrix there says enough."""
    at_identity = dict.fromkeys(symmetry.parameters, sp.Integer(0))
    if symmetry.chart.lemma is not None and matrix is not None:
        difference = matrix.xreplace(at_identity) - sp.eye(matrix.rows)
        return (
            "identity",
            "the matrix at zero parameters is 1, hence a(e, x) = psi(phi(x)) = x",
            list(difference),
        )
    variables = symmetry.loss.variables
    return (
        "identity",
        "a(e, x) = x",
        [image.xreplace(at_identity) - x for image, x in zip(images, variables, strict=True)],
    )


def _map_identities(symmetry: Symmetry) -> Iterator[_Step]:
    """What has to vanish for a map without matrices."""
    images = symmetry.map or ()
    at_identity = dict.fromkeys(symmetry.parameters, sp.Integer(0))
    moved = dict(zip(symmetry.loss.variables, images, strict=True))
    yield "map", "L(a(g, x)) = L(x)", [symmetry.loss.expression.xreplace(moved) - symmetry.loss.expression]
    yield (
        "identity",
        "a(0, x) = x",
        [
            image.xreplace(at_identity) - variable
            for image, variable in zip(images, symmetry.loss.variables, strict=True)
        ],
    )


def _check(
    symmetry: Symmetry, name: str, statement: str, expressions: list[sp.Expr]
) -> tuple[Identity, list[sp.Expr]]:
    """The identity as far as it is decided by steps that end, and the expressions that are left to simplify."""
    start = time.perf_counter()
    verdicts = []
    for expression in expressions:
        conditions = (
            symmetry.chart.conditions if expression.free_symbols & set(symmetry.loss.variables) else ()
        )
        verdict = decide_zero(expression, conditions=conditions, thorough=False)
        if verdict.status == "refuted":
            where = {sp.Symbol(name): value for name, value in verdict.counterexample.items()}
            raise refutation(symmetry, f"{name}, {statement}, fails", where, verdict.residual)
        verdicts.append(verdict)
    worst = max(
        verdicts, key=lambda v: _symmetry.STRENGTH.index(v.status), default=Verdict("proved", "structure")
    )
    methods = dict.fromkeys(verdict.method for verdict in verdicts if verdict.status == worst.status)
    identity = Identity(
        name,
        statement,
        worst.status,
        ", ".join(methods) or "structure",
        worst.residual,
        time.perf_counter() - start,
    )
    return identity, [
        e for e, verdict in zip(expressions, verdicts, strict=True) if verdict.status != "proved"
    ]


def _by_lemma(symmetry: Symmetry, lemma: Lemma) -> list[Identity]:
    """What the lemma of a chart with roots needs; where that is not proved, what images say in many digits."""
    facts = lemma.prove(symmetry.loss)
    otherwise: Status = "proved"
    if not all(fact.proved for fact in facts):
        otherwise = "numerical" if agreeing_images(symmetry) else "unchecked"
    identities = []
    for fact in facts:
        status: Status = "proved" if fact.proved else otherwise
        method = (
            fact.method if fact.proved else f"{fact.method} did not prove it; images at random points agree"
        )
        identities.append(Identity(fact.name, fact.statement, status, method))
    return identities


def _domain(symmetry: Symmetry) -> Identity:
    """phi and the map are real where the loss is, psi is real on all of R^n, and the group keeps the conditions."""
    start = time.perf_counter()
    loss, chart = symmetry.loss, symmetry.chart
    matrices = bool(symmetry.group.basis or symmetry.group.discrete)
    with_loss = [("phi", chart.forward)] if matrices else [("the map", symmetry.map or ())]
    status: Status = "proved"
    of_loss = partial_nodes(loss.expression, chart.conditions)
    for name, expressions in with_loss:
        if set().union(*(partial_nodes(e, chart.conditions) for e in expressions)) - of_loss:
            status = "numerical"
            _require_real(symmetry, name, expressions, loss.expression)
    if matrices and set().union(*(partial_nodes(expression) for _, expression in chart.inverse)):
        status = "numerical"
        _require_real(symmetry, "psi", chart.solve(chart.coordinates), sp.Integer(0))
    if chart.conditions and not _keeps_conditions(symmetry):
        status = "numerical"
    statement = "phi is real where L is, psi everywhere" if matrices else "the map is real where L is"
    if chart.conditions:
        statement += ", g keeps the conditions"
    method = "structure" if status == "proved" else f"{DOMAIN_POINTS} points"
    return Identity("domain", statement, status, method, seconds=time.perf_counter() - start)


def _require_real(symmetry: Symmetry, name: str, expressions: Sequence[sp.Expr], where: sp.Expr) -> None:
    conditions = symmetry.chart.conditions if where != 0 else ()
    # The sum is only sampled: it brings the symbols of all the expressions, and the seams of the loss.
    for point in sample_points(sp.Add(where, *expressions, evaluate=False), 5, DOMAIN_POINTS, conditions):
        if where != 0 and value_at(where, point, 40) is None:
            continue
        if any(value_at(expression, point, 40) is None for expression in expressions):
            raise refutation(symmetry, f"{name} is not real and finite", point)


def _keeps_conditions(symmetry: Symmetry) -> bool:
    """Whether it is shown that psi(g phi(x)) meets the conditions of the chart; NotInvariant where it does not."""
    chart, m = symmetry.chart, symmetry.group.size
    images = dict(zip(chart.variables, chart.solve(chart.coordinates), strict=True))
    in_chart = [condition.xreplace(images) for condition in chart.conditions]
    staying = set(chart.coordinates[m:]) | set(symmetry.loss.constants)
    open_ = [
        condition
        for condition, after in zip(chart.conditions, in_chart, strict=True)
        if after != sp.true and not after.free_symbols <= staying
    ]
    if not open_:
        return True
    rng = random.Random(7)
    for point in sample_points(
        sp.Add(*chart.forward, symmetry.loss.expression), 7, DOMAIN_POINTS, chart.conditions
    ):
        for moved in images_of(symmetry, point, rng, 30):
            at = {x: sp.Float(str(v), 30) for x, v in moved.items()}
            if any(condition.xreplace(at).xreplace(point) == sp.false for condition in open_):
                raise refutation(symmetry, "the group leaves the stated domain", point)
    return False


def _control(symmetry: Symmetry) -> Identity:
    """The same check on a map that is wrong: u -> 2 u + 1/3 in one coordinate that the loss depends on."""
    start = time.perf_counter()
    if not symmetry.loss.expression.free_symbols & set(symmetry.loss.variables):
        return Identity("control", "a constant loss has no wrong map", "proved", "structure")
    q, coordinates = symmetry.reduced_loss, symmetry.chart.coordinates
    for coordinate in coordinates:
        wrong = q.xreplace({coordinate: 2 * coordinate + sp.Rational(1, 3)})
        if wrong == q:
            continue
        verdict = decide_zero(wrong - q, thorough=False)
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
    if symmetry.group.element == "vector" and not algebra.is_abelian:
        raise SymmetryError(
            f"the generators of {symmetry.group.name} do not commute: its elements are no vectors"
        )
    return algebra, Identity(
        "closure", statement, "proved", "exact linear algebra", seconds=time.perf_counter() - start
    )


def _composition(symmetry: Symmetry) -> Identity:
    """a(s, a(t, x)) = a(s + t, x); a claim may hold without it, so a failure is no refutation."""
    start = time.perf_counter()
    variables, parameters, images = symmetry.loss.variables, symmetry.parameters, symmetry.map or ()
    second = [sp.Dummy(f"{t.name}2", real=True) for t in parameters]
    inner = dict(zip(variables, images, strict=True))
    outer = [image.xreplace(dict(zip(parameters, second, strict=True))).xreplace(inner) for image in images]
    total = {t: t + s for t, s in zip(parameters, second, strict=True)}
    verdicts = [
        decide_zero(a - b.xreplace(total), thorough=False) for a, b in zip(outer, images, strict=True)
    ]
    status = weakest([verdict.status for verdict in verdicts])
    statement = "a(s, a(t, x)) = a(s + t, x)" + (
        "" if status == "proved" else " does not hold or is not proved"
    )
    return Identity("composition", statement, status, verdicts[0].method, seconds=time.perf_counter() - start)


def _tested_in_numbers(symmetry: Symmetry, reason: str, seconds: float) -> Certificate:
    """A test at random points and elements, for claims whose proof did not end."""
    if symmetry.flow is not None:  # measured in the part that did not end
        return _certificate(
            symmetry, _Findings([Identity("map", "L(a(g, x)) = L(x)", "unchecked", reason)], {})
        )
    try:
        agreed = call(agreeing_images, symmetry, seconds=seconds)
    except BudgetExceeded as unfinished:
        agreed, reason = 0, f"{reason}; nor did the numerical test: {unfinished}"
    status: Status = "numerical" if agreed else "unchecked"
    test = Identity("map", "L(a(g, x)) = L(x)", status, f"{agreed} images in many digits")
    supported = "numerically supported" if agreed else "not supported"
    return _certificate(symmetry, _Findings([test], {}, note=f"{reason}; {supported}"))
