"""The search for the relations of one function: a candidate from its values, numbers to refute it, then a proof."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Any

import mpmath
import sympy as sp

from symdiscover.identity import value_at
from symdiscover.network.formula import GIVEN_UP, Undecided, Z, is_zero, zero_between
from symdiscover.network.inverse import bijection_of
from symdiscover.network.pieces import Pieces, vanishes

#: Distances at which candidates are refuted, far beyond any shift and any kink of a usual activation.
_DISTANCES = tuple(sp.Rational(text) for text in ("1/97", "5/13", "1", "2", "3", "71/10", "19", "41", "60"))
#: Digits of these values, and of their agreement.
_DIGITS, _AGREE = 80, 60
#: Degrees have denominators up to this; a period is looked for among this many fractions of one that is seen.
_DENOMINATOR, _FRACTIONS = 64, 12


@dataclass(frozen=True)
class Proof:
    """A statement about sigma, and how SymPy proves it."""

    statement: str
    how: str

    def __str__(self) -> str:
        return f"{self.statement}: proved ({self.how})"


@dataclass
class Finder:
    """The search for the relations of one function; `found` has those that are proved, by their names."""

    sigma: sp.Expr
    pieces: Pieces | None
    found: dict[str, Any] = field(default_factory=dict)
    proofs: list[Proof] = field(default_factory=list)

    def search(self) -> None:
        """Look for each relation."""
        finders = (
            self.find_degree,
            self.find_parity,
            self.find_translation,
            self.find_period,
            self.find_inverse,
        )
        with mpmath.workdps(_DIGITS):
            if self.attempt(self.find_constant):
                return
            for find in finders:
                self.attempt(find)

    def attempt(self, find: Callable[[], None]) -> bool:
        """Whether it finds something; where SymPy gives up, it does not."""
        known = len(self.proofs)
        try:
            find()
        except (Undecided, *GIVEN_UP):
            pass
        return len(self.proofs) > known

    def keep(self, statement: str, how: str | None, **relation: Any) -> bool:
        """Note a relation if it is proved."""
        if how is None:
            return False
        self.found |= relation
        domain = "" if self.everywhere else f", where {self.where}"
        self.proofs.append(Proof(statement + domain, how))
        return True

    @property
    def where(self) -> str:
        """The domain in words."""
        if self.pieces is None:
            return "sigma is defined"
        return str(self.pieces.domain.as_relational(Z)).replace("Ne(z, 0)", "z != 0")

    @cached_property
    def everywhere(self) -> bool:
        """Whether sigma is real and finite for every real z."""
        return self.pieces is not None and None not in (*self.pieces.branches, *self.pieces.values)

    @cached_property
    def formula(self) -> sp.Expr | None:
        """The one analytic formula that sigma is on the whole real line, if it is."""
        return self.pieces.branches[0] if self.pieces is not None and not self.pieces.kinks else None

    @cached_property
    def points(self) -> list[sp.Rational]:
        """Where numbers are looked at: symmetric, far out, and on both sides of every kink."""
        kinks = [] if self.pieces is None else [sp.Rational(sp.N(k, 30)) for k in self.pieces.kinks if k != 0]
        near = [abs(kink) + step for kink in kinks for step in (-sp.Rational(1, 50), sp.Rational(1, 50))]
        sizes = sorted({abs(size) for size in (*_DISTANCES, *near)})
        return [*(-size for size in reversed(sizes)), *sizes]

    @cached_property
    def samples(self) -> dict[sp.Rational, Any]:
        """sigma at those points, where it is real and finite."""
        values = {point: self.at(point) for point in self.points}
        return {point: value for point, value in values.items() if value is not None}

    def at(self, point: sp.Expr) -> Any:
        """sigma at a point to 80 digits, the constants set to some numbers; None where it is not real and finite."""
        constants = {
            symbol: sp.Rational(17 + i, 13)
            for i, symbol in enumerate(sorted(self.sigma.free_symbols - {Z}, key=str))
        }
        near = point if point.is_Rational else sp.Rational(sp.N(point, _DIGITS + 20))
        return value_at(self.sigma, {**constants, Z: near}, _DIGITS)

    def find_constant(self) -> None:
        if self.formula is None or not is_zero(sp.diff(self.formula, Z)):
            return
        self.keep(
            "sigma(z) does not depend on z", "derivative 0", constant=True, slope=sp.Integer(0), parity="even"
        )

    def find_degree(self) -> None:
        """On a half-line sigma(z) = sigma(+-1) |z|^k, with one k for both; this is homogeneity, and sigma(0) = 0."""
        pieces = self.pieces
        if pieces is None or not set(pieces.kinks) <= {0}:
            return
        left, right = pieces.branches[0], pieces.branches[-1]
        sides = [(side, branch) for side, branch in ((-1, left), (1, right)) if branch is not None]
        degrees = {k for side, branch in sides if branch != 0 for k in [self._degree(side)]}
        if len(degrees) != 1 or not (k := degrees.pop()):
            return
        said = []
        for side, branch in sides:
            ends = (sp.S.Zero, sp.oo) if side == 1 else (-sp.oo, sp.S.Zero)
            method = zero_between(branch - branch.subs(Z, side) * (side * Z) ** k, *ends)
            if method is None:
                return
            said.append(f"{method} on z {'>' if side == 1 else '<'} 0")
        at_zero = pieces.values[0] if pieces.kinks else self.sigma.subs(Z, 0)
        if at_zero is not None:
            if not is_zero(at_zero):
                return
            said.append("value at z = 0")
        power = "c" if k == 1 else f"c^{k}" if k.q == 1 and k > 0 else f"c^({k})"
        self.keep(f"sigma(c z) = {power} sigma(z) for c > 0", "; ".join(said), degree=k)

    def _degree(self, side: int) -> sp.Rational | None:
        """The degree that values on a half-line suggest."""
        base = self.samples.get(sp.Integer(side))
        if not base:
            return None
        sizes = [s for s in _DISTANCES if s > 1]
        ratios = [self.samples.get(side * s, mpmath.mpf(0)) / base for s in sizes]
        if any(ratio <= 0 for ratio in ratios):
            return None
        logs = [mpmath.log(mpmath.mpf(int(s.p)) / int(s.q)) for s in sizes]
        exponents = [mpmath.log(ratio) / log for ratio, log in zip(ratios, logs, strict=True)]
        guess = Fraction(float(exponents[0])).limit_denominator(_DENOMINATOR)
        k = mpmath.mpf(guess.numerator) / guess.denominator
        if any(abs(exponent - k) > mpmath.mpf(10) ** -_AGREE for exponent in exponents):
            return None
        return sp.Rational(guess.numerator, guess.denominator)

    def find_parity(self) -> None:
        if not self.samples or any(-z not in self.samples for z in self.samples):
            return
        mirrored = [(value, self.samples[-z]) for z, value in self.samples.items()]
        if self.pieces is not None and self.pieces.domain != _mirror(self.pieces.domain):
            return
        flipped = self.sigma.xreplace({Z: -Z})
        if all(_agree(a, b) for a, b in mirrored):
            self.keep("sigma(-z) = sigma(z)", self.vanishes(flipped - self.sigma), parity="even")
            return
        if all(_agree(a, -b) for a, b in mirrored):
            self.keep("sigma(-z) = -sigma(z)", self.vanishes(flipped + self.sigma), parity="odd")
            return
        first = sum(mirrored[0])
        if any(not _agree(a + b, first, abs(a) + abs(b)) for a, b in mirrored):
            return
        point = sp.Integer(0) if self.at(sp.Integer(0)) is not None else sp.Integer(1)
        kappa = sp.expand(self.sigma.subs(Z, point) + self.sigma.subs(Z, -point))
        self.keep(
            f"sigma(-z) = {kappa} - sigma(z)",
            self.vanishes(flipped + self.sigma - kappa),
            parity="affine",
            kappa=kappa,
        )

    def find_translation(self) -> None:
        """sigma(z) = sigma(0) + m z, or sigma(z) = sigma(0) e^(k z): no other shift for all t is affine in sigma."""
        sigma = self.formula
        if sigma is None or not self.everywhere or len(self.samples) < len(self.points):
            return
        start, ends = self.at(sp.Integer(0)), [self.at(sp.Integer(z)) for z in (1, 2, 19)]
        if start is None or None in ends:
            return
        one, two, far = ends
        whole = sp.S.NegativeInfinity, sp.S.Infinity
        if _agree(two - one, one - start, abs(one) + abs(start)) and _agree(
            far - start, 19 * (one - start), abs(far)
        ):
            m = sp.expand(sigma.subs(Z, 1) - sigma.subs(Z, 0))
            how = zero_between(sigma - sigma.subs(Z, 0) - m * Z, *whole)
            self.keep(f"sigma(z + t) = sigma(z) + ({m}) t for all t", how, slope=m)
        if start and _agree(two * start, one * one) and _agree(far * start**18, one**19):
            k = sp.expand((sp.diff(sigma, Z) / sigma).subs(Z, 0))
            how = zero_between(sigma - sigma.subs(Z, 0) * sp.exp(k * Z), *whole)
            self.keep(f"sigma(z + t) = e^(({k}) t) sigma(z) for all t", how, growth=k)

    def find_period(self) -> None:
        seen = self._common_period()
        if seen is None or not (self.pieces is None or self.everywhere):
            return
        for n in range(_FRACTIONS, 0, -1):
            period = seen / n
            if self._shifted(period, 1) and self.keep(
                f"sigma(z + {period}) = sigma(z)",
                self.vanishes(self._moved(period) - self.sigma),
                period=period,
            ):
                break
        else:
            return
        half = period / 2
        if self._shifted(half, -1):
            self.keep(
                f"sigma(z + {half}) = -sigma(z)",
                self.vanishes(self._moved(half) + self.sigma),
                half_period=half,
            )

    def _common_period(self) -> sp.Expr | None:
        """The least common multiple of the periods of the sines, cosines and tangents of multiples of z."""
        speeds = set()
        for wave in self.sigma.atoms(sp.sin, sp.cos, sp.tan, sp.cot):
            speed = sp.diff(wave.args[0], Z)
            if speed != 0 and not speed.has(Z):
                speeds.add(abs(speed))
        if not speeds or not all(speed.is_positive for speed in speeds):
            return None
        first = min(speeds, key=sp.default_sort_key)
        ratios = [sp.cancel(speed / first) for speed in speeds]
        if not all(ratio.is_Rational for ratio in ratios):
            return None
        return 2 * sp.pi / first * sp.ilcm(*[r.q for r in ratios], 1) / sp.igcd(*[r.p for r in ratios], 0)

    def _moved(self, step: sp.Expr) -> sp.Expr:
        moved = self.sigma.xreplace({Z: Z + step})
        return moved.replace(lambda e: isinstance(e, sp.Function), lambda e: e.func(*map(sp.expand, e.args)))

    def _shifted(self, step: sp.Expr, sign: int) -> bool:
        """Whether numbers allow sigma(z + step) = sign sigma(z)."""
        if not step.is_number:
            return True
        ahead = {z: self.at(z + step) for z in self.samples}
        return all(value is not None and _agree(value, sign * self.samples[z]) for z, value in ahead.items())

    def find_inverse(self) -> None:
        values = [self.samples[z] for z in sorted(self.samples)]
        steps = [b - a for a, b in itertools.pairwise(values)]
        if self.pieces is None or not (all(s >= 0 for s in steps) or all(s <= 0 for s in steps)):
            return
        found = bijection_of(self.pieces)
        if found is None:
            return
        low, high = found.range
        self.keep(
            f"sigma is strictly {'increasing' if found.rising else 'decreasing'} and continuous, between {low} and {high}",
            "derivative of one sign on each piece, values at its ends",
            range=found.range,
        )
        if found.inverse is not None:
            self.keep(f"{found.inverse} at sigma(z) is z", found.how, inverse=found.inverse)

    def vanishes(self, difference: sp.Expr) -> str | None:
        """A proof that an expression is zero wherever it is real; of a sigma not split, by structure alone."""
        if difference == 0:
            return "structure"
        return None if self.pieces is None else vanishes(difference, partial=not self.everywhere)


def _agree(a: Any, b: Any, size: Any = 0) -> bool:
    return bool(abs(a - b) <= mpmath.mpf(10) ** -_AGREE * max(abs(a), abs(b), size))


def _mirror(domain: sp.Set) -> sp.Set:
    parts = domain.args if isinstance(domain, sp.Union) else (domain,)
    return sp.Union(
        *(
            sp.FiniteSet(*(-point for point in part))
            if isinstance(part, sp.FiniteSet)
            else sp.Interval(-part.end, -part.start, part.right_open, part.left_open)
            for part in parts
        )
    )
