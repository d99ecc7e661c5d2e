"""Do the parts of a claim fit together? What `verify` asks before it proves anything."""

from __future__ import annotations

from collections.abc import Sequence

import sympy as sp

from symdiscover.errors import SymmetryError
from symdiscover.flow_claim import check_flow
from symdiscover.group import Group
from symdiscover.normal_form import is_zero
from symdiscover.root import Root
from symdiscover.symmetry import Chart, Symmetry, rebuilt


def check_well_formed(symmetry: Symmetry) -> None:
    """Every expression uses only the symbols it may use: an identity in foreign symbols would prove nothing.

    Raises
    ------
    SymmetryError
        With the first contradiction in the claim's data.
    """
    loss, chart, group = symmetry.loss, symmetry.chart, symmetry.group
    constants, variables, coordinates = set(loss.constants), set(loss.variables), set(chart.coordinates)
    solved = [variable for variable, _ in chart.inverse]
    allowed: list[tuple[str, Sequence[sp.Basic | Root], set[sp.Symbol]]] = [
        ("phi", chart.forward, variables | constants),
        *[
            (f"psi for {variable}", [step], coordinates | constants | set(solved[:place]))
            for place, (variable, step) in enumerate(chart.inverse)
        ],
        ("the list of generators", [*group.basis, *group.discrete], constants),
        ("the form", [] if group.form is None else [group.form], constants),
        ("the map", symmetry.map or (), variables | constants | set(symmetry.parameters)),
        ("the list of conditions", chart.conditions, variables | constants),
        ("the flow", symmetry.flow or (), set(chart.coordinates[: group.size]) | constants),
    ]
    _uses_only(allowed)
    _uses_only([("the reduced loss", [symmetry.reduced_loss], coordinates | constants)])
    if symmetry.flow is not None:
        check_flow(symmetry)
    elif not (group.basis or group.discrete or symmetry.map):
        raise SymmetryError(
            f"{symmetry.group.name} has neither generators nor a map: there is nothing to prove"
        )
    if symmetry.map is not None and len(symmetry.map) != loss.dimension:
        raise SymmetryError(
            f"a map of {loss.dimension} variables has as many images, not {len(symmetry.map)}"
        )
    _well_named(symmetry)
    _consistent(group)
    _as_the_lemma_says(symmetry)


def _uses_only(allowed: Sequence[tuple[str, Sequence[sp.Basic | Root], set[sp.Symbol]]]) -> None:
    for where, expressions, symbols in allowed:
        used = [e if isinstance(e, Root) else sp.sympify(e, strict=True) for e in expressions]
        foreign = set().union(*(e.free_symbols for e in used)) - symbols
        if foreign:
            raise SymmetryError(
                f"{where} uses {', '.join(sorted(map(str, foreign)))}, which it may not depend on"
            )


def _as_the_lemma_says(symmetry: Symmetry) -> None:
    """A chart with a lemma is the chart of that lemma: a proof about another one would prove nothing."""
    chart = symmetry.chart
    if chart.lemma is None:
        return
    scratch = [symbol for symbol, _ in chart.inverse if symbol not in chart.variables]
    expected = chart.lemma.chart(symmetry.loss, chart.coordinates, scratch)
    if _rebuilt(chart) != _rebuilt(expected):
        raise SymmetryError(f"the chart is not the one that its lemma, {chart.lemma.name}, speaks of")
    if not chart.lemma.admits(symmetry.group):
        raise SymmetryError(f"the lemma {chart.lemma.name} is not about groups like {symmetry.group.name}")
    if symmetry.reduced != chart.lemma.reduced(symmetry.loss, chart.coordinates):
        raise SymmetryError(f"the reduced loss is not the one that the lemma {chart.lemma.name} speaks of")


def _rebuilt(chart: Chart) -> list[sp.Basic]:
    """All expressions of a chart as SymPy evaluates them: what comes from another process was evaluated once more."""
    steps = [part for _, step in chart.inverse for part in (step.parts if isinstance(step, Root) else [step])]
    return [rebuilt(rebuilt(e)) for e in (*chart.forward, *steps, *chart.conditions)]


def _well_named(symmetry: Symmetry) -> None:
    """No two symbols share a name, and none carries an assumption that would hide a part of the domain."""
    loss = symmetry.loss
    steps = [symbol for symbol, _ in symmetry.chart.inverse if symbol not in loss.variables]
    free = (*loss.variables, *symmetry.chart.coordinates, *symmetry.parameters, *steps)
    names = [s.name for s in (*free, *loss.constants)]
    for name in names:
        if names.count(name) > 1:
            raise SymmetryError(f"{name} names two of: variables, constants, coordinates, parameters")
    wrong = [s for s in free if s != sp.Symbol(s.name, real=True)]
    wrong += [s for s in loss.constants if s != sp.Symbol(s.name, positive=True)]
    if wrong:
        raise SymmetryError(
            f"{wrong[0]} must be Symbol({wrong[0].name!r}, real=True), or positive=True for a constant, and nothing "
            "more: other assumptions would restrict the claim without a word"
        )


def _consistent(group: Group) -> None:
    """The data of a group belong together: code and closed forms rely on it."""
    for matrix in group.discrete:
        if is_zero(matrix.det()):
            raise SymmetryError(f"a discrete generator of {group.name} is not invertible")
    if group.element == "angle" and group.basis:
        (turn,) = group.basis
        if not all(is_zero(entry) for entry in turn**3 + turn):
            raise SymmetryError(
                f"the generator of {group.name} does not turn with period 2 pi: its elements are no angles"
            )
    if group.form is None:
        return
    f = [group.form[i, i] for i in range(group.form.rows)]
    if (
        group.form.shape != (group.matrix_size,) * 2
        or not group.form.is_diagonal()
        or any(is_zero(e) for e in f)
    ):
        raise SymmetryError(
            f"the form of {group.name} must be diagonal and invertible, and as large as its matrices"
        )
    kept = all(is_zero(f[i] * e + f[j] * b[j, i]) for b in group.basis for (i, j), e in b.todok().items())
    if not kept or any(not is_zero(e) for d in group.discrete for e in d.T * group.form * d - group.form):
        raise SymmetryError(f"{group.name} does not preserve its form")
    if group.dimension > 1 and group.dimension != len(f) * (len(f) - 1) // 2:
        raise SymmetryError(
            f"{group.name} preserves its form but is not all of its group: leave the form out"
        )
