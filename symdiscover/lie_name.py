"""The standard name of a Lie algebra given by structure constants, where its invariants determine it.

The algebra is cut into ideals of which it is the direct sum (Rand, Winternitz and Zassenhaus 1988): R^k is
the part of the centre outside [g, g]; the rest splits by the factors of the characteristic polynomial of an
element of the centroid {T : T[x, y] = [x, T y]}. Each summand is then identified:

- h_{2m+1}: [g, g] is a line and the centre, so that the bracket is a symplectic form on g / centre.
- aff(m), saff(m), se(m), e(p,q), sim(p,q): V = [g, radical] is abelian, of dimension m, and g / V acts on it
  faithfully, that is, as a set of m x m matrices. It is gl(m) or sl(m) by its dimension, or so(p,q), with or
  without the multiples of 1, by its dimension and the one symmetric form that it preserves. The extension by
  V splits: the quotient is semisimple (Whitehead), or a line, or contains 1, so that H^2(g / V, V) = 0.
- Bianchi IV, V, VI(h), VII(h): dimension 3 and [g, g] a plane. One element acts on the plane by A, which
  matters up to similarity and scale; h = -(tr A)^2 / ((tr A)^2 - 4 det A), and for h infinite A is scalar (V)
  or not (IV).
- Semisimple: the Killing form is nondegenerate (Cartan). The centroid is then R^r x C^s, and the signature of
  tr(T T') on it is (r + s, s). For r + s = 1 the algebra is simple, and its dimension and the signature of
  the Killing form leave one entry of Cartan's list (Helgason 1978, ch. X, table V). Only B_n and C_n, n > 2,
  share both; the eigenvalues of the split Casimir operator tell them apart (Vogel 1999; Isaev and Krivonos
  2021).
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from typing import Any

import sympy as sp
from sympy.polys.matrices import DomainMatrix

from symdiscover.exact_linear import Field, Span, Undecided, Vector, combine, kernel, signature, subtract
from symdiscover.lie_structure import Structure, labelled

#: Simple algebras up to this dimension are named; E6, of dimension 78, is not in the table.
LARGEST = 66


@dataclass(frozen=True)
class Summand:
    """An ideal that is identified: its dimension and its names, the preferred one first."""

    dimension: int
    names: tuple[str, ...]


def names(structure: Structure) -> tuple[str, ...]:
    """The names of the algebra, the preferred one first; () where it is not identified.

    With symbolic constants a name is given only if it holds at all their positive values.
    """
    strict = replace(structure, field=structure.field.as_strict())
    try:
        rest, k = strict.split_abelian()
        found = summands(rest)
    except Undecided:
        return ()
    return () if found is None else _joined(found, k)


def summands(g: Structure) -> list[Summand] | None:
    """The identified summands of an algebra without abelian summand; None if one is not identified."""
    if not g.dimension:
        return []
    if direct := _heisenberg(g) or _affine(g) or _bianchi(g):
        return direct
    if g.dimension > LARGEST:
        return None
    centroid = g.centroid()
    if pieces := _split(g, centroid):
        found = [summands(g.ideal(piece)) for piece in pieces]
        return None if None in found else [s for part in found if part for s in part]
    killing = g.killing_signature
    if killing is None or killing[2]:
        return None
    return _semisimple(g, centroid, killing[0])


def _joined(found: list[Summand], k: int) -> tuple[str, ...]:
    """The names of the sum with R^k; so(3)+so(3) is so(4), sl(2,R)+sl(2,R) so(2,2), sl(n,R)+R gl(n,R)."""
    found = list(found)
    for half, whole in (("so(3)", "so(4)"), ("sl(2,R)", "so(2,2)")):
        twins = [s for s in found if s.names[0] == half]
        if len(twins) == 2:
            found = [s for s in found if s not in twins] + [Summand(6, (whole, f"{half}+{half}"))]
    found.sort(key=lambda s: (-s.dimension, s.names[0]))
    line = [f"R^{k}" if k > 1 else "R"] * bool(k)
    name = "+".join([s.names[0] for s in found] + line)
    if not found:
        return (name, "so(2)", "so(1,1)", "gl(1,R)") if k == 1 else (name,)
    if len(found) == 1 and not k:
        return found[0].names
    if len(found) == 1 and k == 1:
        linear = [
            other.replace("sl", "gl") for other in found[0].names if other.startswith("sl(") and "R" in other
        ]
        unitary = [other.replace("su", "u") for other in found[0].names if other.startswith("su(")]
        return (*linear, name, *unitary)
    special = {"aff(1)+aff(1)": "sim(1,1)", "sl(2,R)+so(3)": "so*(4)"}
    return (name, special[name]) if name in special else (name,)


def _heisenberg(g: Structure) -> list[Summand] | None:
    if len(g.derived) != 1 or not g.centre:
        return None
    return [Summand(g.dimension, (f"h_{g.dimension}",) + ("Bianchi II",) * (g.dimension == 3))]


def _bianchi(g: Structure) -> list[Summand] | None:
    """Dimension 3 with [g, g] an abelian plane on which the rest acts by a matrix of nonzero trace."""
    if g.dimension != 3 or len(g.derived) != 2 or g.bracket(*g.derived):
        return None
    plane = labelled(g.field, g.derived)
    outside = next(e for e in g.basis if e not in plane)
    zero = g.field.domain.zero
    columns = [plane.coordinates(g.bracket(outside, v)) or {} for v in g.derived]
    (a, b), (c, d) = ([column.get(i, zero) for column in columns] for i in range(2))
    trace, determinant = a + d, a * d - b * c
    if not trace:
        return None
    discriminant = trace * trace - g.field.domain.convert(4) * determinant
    if not g.field.nonzero(trace) or (sign := g.field.sign(discriminant)) is None:
        raise Undecided
    if sign == 0:
        off = Span(g.field, [{i: x for i, x in enumerate((a - d, b, c)) if x}])
        return [Summand(3, ("Bianchi IV" if len(off) else "Bianchi V",))]
    h = g.field.expression(-trace * trace / discriminant)
    return None if h.free_symbols else [Summand(3, (f"Bianchi {'VI' if sign > 0 else 'VII'}({h})",))]


def _affine(g: Structure) -> list[Summand] | None:
    """A linear algebra h acting on V = R^m, with h one of gl, sl, so(p,q), so(p,q) + R."""
    vectors = list(g.bracket_span(g.basis, g.radical).rows.values())
    m = len(vectors)
    if not m or any(g.bracket(u, v) for u, v in itertools.combinations(vectors, 2)):
        return None
    span = labelled(g.field, vectors)
    linear = Span(g.field)
    for e in g.basis:
        columns = [span.coordinates(g.bracket(e, v)) or {} for v in vectors]
        linear.add({i * m + j: c for j, column in enumerate(columns) for i, c in column.items()})
    size = len(linear)
    if m + size != g.dimension:
        return None
    if size == m * m:
        return [Summand(g.dimension, (f"aff({m})",))]
    matrices = [dict(row) for row in linear.rows.values()]
    identity = {i * (m + 1): g.field.domain.one for i in range(m)}
    scaled = identity in linear
    if size == m * m - 1 and not any(_trace(g.field, a, m) for a in matrices):
        return [Summand(g.dimension, (f"saff({m})",))]
    if size != m * (m - 1) // 2 + scaled:
        return None
    if scaled:
        for a in matrices:
            subtract(a, _trace(g.field, a, m) / g.field.domain.convert(m), identity)
    form = _invariant_form(g.field, matrices, m)
    if form is None or form[2]:
        return None
    p, q = sorted(form[:2], reverse=True)
    if scaled:
        if (p, q) == (1, 1):
            return [Summand(2, ("aff(1)",))] * 2
        return [
            Summand(g.dimension, (f"sim({p},{q})" if q else f"sim({p})", *["aff(1,C)"] * ((p, q) == (2, 0))))
        ]
    other = {(2, 0): "Bianchi VII_0", (1, 1): "Bianchi VI_0", (3, 1): "Poincaré"}.get((p, q))
    pq = f"({p},{q})" if q else f"({p})"
    return [Summand(g.dimension, (f"e{pq}" if q else f"se{pq}", f"iso{pq}", *((other,) if other else ())))]


def _trace(field: Field, matrix: Vector, m: int) -> Any:
    return sum((matrix[i * (m + 1)] for i in range(m) if i * (m + 1) in matrix), field.domain.zero)


def _invariant_form(field: Field, matrices: list[Vector], m: int) -> tuple[int, int, int] | None:
    """The signature of F = F^T with A^T F + F A = 0 for all A; None unless F is one up to scale."""
    index = {pair: k for k, pair in enumerate(itertools.combinations_with_replacement(range(m), 2))}
    equations = []
    for a in matrices:
        for i, j in index:
            row: Vector = {}
            for left, right in ((i, j), (j, i)):
                for k in range(m):
                    if k * m + left in a:
                        subtract(
                            row, -a[k * m + left], {index[min(k, right), max(k, right)]: field.domain.one}
                        )
            equations.append(row)
    forms = kernel(field, equations, len(index))
    if len(forms) != 1:
        return None
    zero = field.domain.zero
    entries = [[forms[0].get(index[min(i, j), max(i, j)], zero) for j in range(m)] for i in range(m)]
    return signature(field, entries)


def _factors(g: Structure, centroid: list[list[Vector]]) -> Iterator[tuple[list[Vector], list[Any]]]:
    """Elements T of the centroid, with the factors of their characteristic polynomials and their powers."""
    rng = random.Random(0)
    mixed = []
    for _ in range(2):
        weights = {i: g.field.domain.convert(rng.randint(-99, 99)) for i in range(len(centroid))}
        mixed.append([combine(weights, [t[i] for t in centroid]) for i in range(g.dimension)])
    n, domain = g.dimension, g.field.domain
    for columns in (*centroid, *mixed):
        entries = {i: {j: c for j, column in enumerate(columns) if (c := column.get(i))} for i in range(n)}
        matrix = DomainMatrix({i: row for i, row in entries.items() if row}, (n, n), domain)
        yield columns, matrix.charpoly_factor_list()


def _split(g: Structure, centroid: list[list[Vector]]) -> list[list[Vector]]:
    """Complementary ideals ker f(T)^m, one for each factor f^m; none where no T has two factors."""
    if len(centroid) == 1:
        return []
    for columns, factors in _factors(g, centroid):
        if len(factors) > 1:
            pieces = [_kernel_of(g, columns, factor, power) for factor, power in factors]
            if len(Span(g.field, itertools.chain(*pieces))) == g.dimension == sum(map(len, pieces)):
                return pieces
    return []


def _kernel_of(g: Structure, columns: list[Vector], factor: Sequence[Any], power: int) -> list[Vector]:
    """{x : f(T)^power x = 0}."""
    current = g.basis
    for _ in range(power):
        advanced = []
        for x in current:
            value: Vector = {}
            for coefficient in factor:
                value = combine(value, columns)
                subtract(value, -coefficient, x)
            advanced.append(value)
        current = advanced
        equations = [{j: x[i] for j, x in enumerate(current) if i in x} for i in range(g.dimension)]
        found = kernel(g.field, equations, g.dimension)
        if len(found) == power * (len(factor) - 1):
            break
    return found


def _semisimple(g: Structure, centroid: list[list[Vector]], noncompact: int) -> list[Summand] | None:
    """The summands over R where the centroid is a field over K: r real, s complex ones, all of one type."""
    r, s = 1, 0
    if len(centroid) > 1:
        degrees = (len(factors[0][0]) - 1 for _, factors in _factors(g, centroid) if len(factors) == 1)
        if len(centroid) not in degrees:
            return None
        form = [[_trace_of_product(g.field, a, b) for b in centroid] for a in centroid]
        found = signature(g.field, form)
        if found is None or found[2]:
            return None
        r, s = found[0] - found[1], found[1]
    size = g.dimension // len(centroid)
    types = real_forms(size)
    choices = [
        (kind, chosen)
        for kind, forms in types.items()
        for chosen in itertools.combinations_with_replacement(sorted(forms), r)
        if sum(chosen) + s * size == noncompact
    ]
    if len(choices) == 2 and (r, s) == (1, 0):
        kinds = _orthogonal_or_symplectic(g, [kind for kind, _ in choices])
        choices = [choice for choice in choices if choice[0] in kinds]
    if len(choices) != 1:
        return None
    kind, chosen = choices[0]
    return [Summand(size, types[kind][p]) for p in chosen] + [Summand(2 * size, complex_form(kind))] * s


def _trace_of_product(field: Field, a: list[Vector], b: list[Vector]) -> Any:
    terms = (c * a[j][i] for i, column in enumerate(b) for j, c in column.items() if i in a[j])
    return sum(terms, field.domain.zero)


def _families(n: int) -> Iterator[tuple[int, str, int, str]]:
    """(dimension, complex type, dimension of the noncompact part, name) of the real forms over n-vectors."""
    pairs = [(n - q, q) for q in range(n // 2 + 1)]
    orthogonal = {3: "A1", 5: "C2", 6: "A3"}.get(n, f"{'B' if n % 2 else 'D'}{n // 2}")
    if n >= 2:
        yield n * n - 1, f"A{n - 1}", n * (n + 1) // 2 - 1, f"sl({n},R)"
    if n == 3 or n >= 5:
        for p, q in pairs:
            yield n * (n - 1) // 2, orthogonal, p * q, f"so({p},{q})" if q else f"so({n})"
    if n >= 2:
        for p, q in pairs:
            yield n * n - 1, f"A{n - 1}", 2 * p * q, f"su({p},{q})" if q else f"su({n})"
    symplectic = "A1" if n == 1 else f"C{n}"
    yield n * (2 * n + 1), symplectic, n * (n + 1), f"sp({2 * n},R)"
    for p, q in pairs:
        yield n * (2 * n + 1), symplectic, 4 * p * q, f"sp({p},{q})" if q else f"sp({n})"
    if n >= 2:
        yield 4 * n * n - 1, f"A{2 * n - 1}", 2 * n * n - n - 1, f"sl({n},H)"
    if n >= 3:
        even = "A3" if n == 3 else f"D{n}"
        yield n * (2 * n - 1), even, n * (n - 1), f"so*({2 * n})"


_EXCEPTIONAL = (
    (14, "G2", 0, "g_2"),
    (14, "G2", 8, "g_2(2)"),
    (52, "F4", 0, "f_4"),
    (52, "F4", 16, "f_4(-20)"),
    (52, "F4", 28, "f_4(4)"),
)


@lru_cache(maxsize=1)
def _cartan() -> dict[int, dict[str, dict[int, tuple[str, ...]]]]:
    order = ("sl(n,R)", "so", "su", "sp", "sl(n,H)", "so*")
    rows = [row for n in range(1, 13) for row in _families(n) if row[0] <= LARGEST]

    def family(name: str) -> int:
        head = name.partition("(")[0]
        return order.index(f"sl(n,{name[-2]})" if head == "sl" else head)

    table: dict[int, dict[str, dict[int, tuple[str, ...]]]] = {}
    for dimension, kind, noncompact, name in (*sorted(rows, key=lambda row: family(row[3])), *_EXCEPTIONAL):
        forms = table.setdefault(dimension, {}).setdefault(kind, {})
        forms[noncompact] = (*forms.get(noncompact, ()), name)
    return table


def real_forms(dimension: int) -> dict[str, dict[int, tuple[str, ...]]]:
    """Complex type -> number of positive squares of the Killing form -> names, for the simple algebras.

    Within a type that number determines the real form (Helgason 1978, ch. X, table V). A1 = B1 = C1, B2 = C2
    and A3 = D3 are one type each.

    Examples
    --------
    >>> real_forms(3)
    {'A1': {2: ('sl(2,R)', 'so(2,1)', 'su(1,1)', 'sp(2,R)'), 0: ('so(3)', 'su(2)', 'sp(1)')}}
    """
    return _cartan().get(dimension, {})


def complex_form(kind: str) -> tuple[str, ...]:
    """The names of a complex simple algebra seen as a real one."""
    if kind == "A1":
        return "so(3,1)", "sl(2,C)"
    letter, n = kind[0], int(kind[1:])
    if letter in "GF":
        return (f"{letter.lower()}_{n}(C)",)
    names = {"A": f"sl({n + 1},C)", "B": f"so({2 * n + 1},C)", "C": f"sp({2 * n},C)", "D": f"so({2 * n},C)"}
    return (names[letter],)


def split_casimir_roots(n: int) -> tuple[Fraction, ...]:
    """The eigenvalues of C = sum_i ad e_i (x) ad e^i on Sym^2 g for so(n), and for sp(m) at n = -2m.

    They are -1, 1/(n-2), -2/(n-2), -(n-4)/(2(n-2)): for so(n) on the Killing form, Weyl tensors, 4-forms and
    traceless symmetric matrices.

    Examples
    --------
    >>> sorted(split_casimir_roots(5)) == sorted(split_casimir_roots(-4))
    True
    >>> sorted(split_casimir_roots(7)) == sorted(split_casimir_roots(-6))
    False
    """
    t = n - 2
    return Fraction(-1), Fraction(1, t), Fraction(-2, t), Fraction(4 - n, 2 * t)


def _orthogonal_or_symplectic(g: Structure, kinds: Sequence[str]) -> list[str]:
    """Those of B_n and C_n whose polynomial, prod_r (C - r) over the eigenvalues r, annihilates e_1 (x) e_1.

    x (x) x has a part in the Cartan square of g for every x != 0, and C is 1/(2n-1) there for B_n, 1/(n+1)
    for C_n. For n > 2 neither is an eigenvalue of the other type, so that exactly one of the two polynomials
    annihilates.
    """
    form = labelled(g.field, [{j: c for j, c in enumerate(row) if c} for row in g.killing])
    dual = [form.coordinates(e) or {} for e in g.basis]
    powers: list[dict[int, Vector]] = [{0: g.basis[0]}]
    for _ in range(4):
        powers.append(_split_casimir(g, dual, powers[-1]))
    remaining = []
    for kind in kinds:
        n = 2 * int(kind[1:]) + 1 if kind[0] == "B" else -2 * int(kind[1:])
        x = sp.Dummy()
        polynomial = sp.Poly(
            sp.prod(x - sp.Rational(r.numerator, r.denominator) for r in split_casimir_roots(n)), x
        )
        weights = [g.field.element(c) for c in reversed(polynomial.all_coeffs())]
        rows = range(g.dimension)
        value = [combine(dict(enumerate(weights)), [power.get(i, {}) for power in powers]) for i in rows]
        if not any(value):
            remaining.append(kind)
    return remaining


def _split_casimir(g: Structure, dual: list[Vector], tensor: dict[int, Vector]) -> dict[int, Vector]:
    """sum_i (ad e_i (x) ad e^i) w for w = sum_a e_a (x) w_a, given as a -> w_a."""
    total: dict[int, Vector] = {}
    for i, other in enumerate(dual):
        for a, vector in tensor.items():
            if a in g.adjoint[i] and (moved := g.bracket(other, vector)):
                for k, c in g.adjoint[i][a].items():
                    subtract(total.setdefault(k, {}), -c, moved)
    return total
