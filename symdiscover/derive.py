"""The routes in order, under one budget; every claim proved before it is shown."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sympy as sp

from symdiscover.budget import Deadline, call
from symdiscover.errors import BudgetExceeded, NotInvariant, SymmetryError
from symdiscover.loss import Loss
from symdiscover.routes import NoSymmetry, Route, routes
from symdiscover.routes.translations import Quotient, quotient
from symdiscover.symmetry import Certificate, Symmetry
from symdiscover.verify import verify


@dataclass(frozen=True)
class Attempt:
    """One route that was tried, how it ended, and its seconds (proofs included)."""

    route: str
    outcome: str
    seconds: float


@dataclass(frozen=True)
class Derivation(Sequence[Symmetry]):
    """What was found for a loss, with the proofs, and what was tried without success.

    It is a sequence of its symmetries, those that move a whole level set first and numerical flows last; `certificates`
    holds their proofs in the same order. Empty means: none in the families tried.
    """

    loss: Loss
    certificates: tuple[Certificate, ...]
    tried: tuple[Attempt, ...]
    seconds: float

    def __getitem__(self, index: Any) -> Any:
        return tuple(certificate.symmetry for certificate in self.certificates)[index]

    def __len__(self) -> int:
        return len(self.certificates)

    def __iter__(self) -> Iterator[Symmetry]:
        return (certificate.symmetry for certificate in self.certificates)

    def as_dict(self) -> dict[str, Any]:
        """The object that ``symdiscover derive --json`` prints."""
        return {
            "expression": str(self.loss.expression),
            "variables": [symbol.name for symbol in self.loss.variables],
            "seconds": round(self.seconds, 3),
            "symmetries": [certificate.as_dict() for certificate in self.certificates],
            "tried": [
                {"route": a.route, "outcome": a.outcome, "seconds": round(a.seconds, 3)} for a in self.tried
            ],
        }

    def __str__(self) -> str:
        lines = [f"L({', '.join(s.name for s in self.loss.variables)}) = {self.loss}"]
        lines += [str(certificate) for certificate in self.certificates]
        if not self.certificates:
            lines.append("no symmetry in the families tried")
        lines += [f"  tried {a.route}: {a.outcome} ({a.seconds:.2f} s)" for a in self.tried]
        return "\n".join(lines)

    def _repr_markdown_(self) -> str:
        from symdiscover.latex import derivation_markdown

        return derivation_markdown(self)


def derive(
    loss: Loss,
    budget: float = 30.0,
    only: Sequence[str] | None = None,
    progress: Callable[[str], None] | None = None,
) -> Derivation:
    """Derive the groups that leave a loss unchanged, and prove each.

    Translations are divided out first; then every route of `symdiscover.routes` claims what it can, each in a process
    that is ended when the budget is spent. A claim that `verify` refutes is reported under `tried` and not returned.

    Parameters
    ----------
    loss:
        The loss, with symbolic constants or without.
    budget:
        Seconds for everything.
    only:
        Names of the routes to try; all by default.
    progress:
        Called with the name of each route before it starts.

    Returns
    -------
    Derivation
        Possibly empty: "none in the families tried", with the list of what was tried.

    Raises
    ------
    SymmetryError
        If `only` names an unknown route.

    Examples
    --------
    >>> derivation = derive(Loss.parse("(x + 2*y - 7)**2 + (2*x + y - 5)**2", name="Booth"))
    >>> derivation[0].group.name, derivation.certificates[0].status, derivation.certificates[0].transitive
    ('SO(2)', 'proved', True)
    """
    start, deadline = time.perf_counter(), Deadline(budget)
    certificates: list[Certificate] = []
    tried: list[Attempt] = []
    divided: Quotient | None = None
    known: list[Symmetry] = []  # what is proved, as symmetries of the loss without its translations
    for route in _chosen(only):
        if progress is not None:
            progress(route.name)
        begun = time.perf_counter()
        outcome = f"not started: the budget of {budget:g} s was spent"
        if not deadline.expired:
            try:
                if route.name == "translations":
                    claims = call(route.find, loss, (), seconds=_share(deadline))
                else:
                    divided = divided or _divided(loss, deadline)
                    if not divided.shifts:
                        raise NoSymmetry("a constant loss: the translations move every point anywhere")
                    if divided.pivots and not route.lifts:
                        raise NoSymmetry(
                            "the loss has translations, and charts with roots are not carried over them"
                        )
                    found = call(route.find, divided.reduced, tuple(known), seconds=_share(deadline))
                    claims = [divided.lift(claim) for claim in found] if divided.pivots else found
                outcome = _prove(claims, certificates, deadline)
                if route.name != "translations":
                    proved = [certificate.symmetry for certificate in certificates]
                    known += [
                        f for f, claim in zip(found, claims, strict=True) if any(claim is p for p in proved)
                    ]
            except (NoSymmetry, BudgetExceeded) as reason:
                outcome = str(reason)
            except Exception as failure:  # a route that fails must cost nothing else, and is reported
                outcome = f"failed: {type(failure).__name__}: {failure}".splitlines()[0][:200]
        tried.append(Attempt(route.name, outcome, time.perf_counter() - begun))
    certificates.sort(
        key=lambda c: (c.symmetry.flow is not None, c.symmetry.dimension == 0, not c.transitive)
    )
    return Derivation(loss, tuple(certificates), tuple(tried), time.perf_counter() - start)


def _divided(loss: Loss, deadline: Deadline) -> Quotient:
    """The loss without its translations; as it is, where those are not found in time."""
    try:
        return call(quotient, loss, seconds=_share(deadline))
    except (NoSymmetry, BudgetExceeded):
        return Quotient(loss, loss, (), dict.fromkeys(loss.variables, sp.Integer(0)))


def _share(deadline: Deadline) -> float:
    """Seconds one route may take: half of what is left, so that the others have their turn."""
    return max(0.5 * deadline.left(), 0.05)


def _prove(claims: Sequence[Symmetry], certificates: list[Certificate], deadline: Deadline) -> str:
    outcomes = []
    for claim in claims:
        try:
            certificate = verify(claim, budget=max(deadline.left(), 0.5))
        except NotInvariant as refuted:
            outcomes.append(f"{claim.group.name} claimed and refuted ({refuted.residual})")
            continue
        except SymmetryError as refused:
            outcomes.append(f"{claim.group.name} claimed and not decided ({refused})")
            continue
        if certificate.status != "unchecked":  # a claim without any support is no finding
            certificates.append(certificate)
        outcomes.append(f"{claim.group.name} {certificate.status}")
    return "; ".join(outcomes) or "nothing claimed"


def _chosen(only: Sequence[str] | None) -> tuple[Route, ...]:
    available = routes()
    if only is None:
        return available
    known = {route.name for route in available}
    if unknown := set(only) - known:
        raise SymmetryError(
            f"unknown route {', '.join(sorted(unknown))}: there are {', '.join(sorted(known))}"
        )
    return tuple(route for route in available if route.name in only)
