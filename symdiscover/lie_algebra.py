"""Lie algebras of matrices and of polynomial vector fields: structure constants, invariants, name, tables.

The arithmetic is exact, over Q, real radicals and symbolic positive constants.
"""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import InitVar, dataclass
from functools import cached_property
from typing import Any

import mpmath
import sympy as sp

from symdiscover import lie_name
from symdiscover.errors import SymmetryError
from symdiscover.exact_linear import Field, Span, Vector, subtract
from symdiscover.lie_structure import Structure, labelled

#: Random points at which `orbit_dimension` takes the rank.
POINTS = 6

#: Brackets that the summary of an algebra lists.
LISTED = 12

#: Digits of the numerical rank, and the pivot, in rows scaled to one, below which a row counts as zero.
DIGITS, TOLERANCE = 50, mpmath.mpf(10) ** -30


@dataclass(frozen=True)
class LieAlgebra:
    """A real Lie algebra: [e_i, e_j] = sum_k c_ijk e_k.

    Parameters
    ----------
    names:
        The names of the basis elements e_1, ..., e_n; their number is the dimension.
    brackets:
        The nonzero structure constants as (i, j, k, c_ijk) with i < j.
    assumptions:
        Expressions in symbolic constants: where none vanishes, the basis is independent.
    checked:
        Whether the Jacobi identity is known to hold, as it does for commutators; otherwise it is verified.

    With symbolic constants, dimensions are those at generic values. The `name` and the `killing_signature`
    hold at all positive values at which no assumption vanishes, or are not given.

    Raises
    ------
    SymmetryError
        If the structure constants break the Jacobi identity, or lie in no field that is supported.

    Examples
    --------
    >>> from symdiscover.group import SO
    >>> so3 = LieAlgebra.from_matrices(SO(3).basis)
    >>> so3.name, so3.aliases, so3.killing_signature, so3.derived_series
    ('so(3)', ('su(2)', 'sp(1)'), (0, 3, 0), (3,))
    >>> print(so3)
    so(3), dimension 3, semisimple; also su(2), sp(1)
    derived series 3; lower central series 3; centre 0; radical 0
    Killing form: 0 positive, 3 negative, 0 zero
    [e1, e2] = e3; [e1, e3] = -e2; [e2, e3] = e1
    """

    names: tuple[str, ...]
    brackets: tuple[tuple[int, int, int, sp.Expr], ...]
    assumptions: tuple[sp.Expr, ...] = ()
    checked: InitVar[bool] = False

    def __post_init__(self, checked: bool) -> None:
        n = len(self.names)
        if not n:
            raise SymmetryError("a Lie algebra needs at least one basis element")
        if any(not (0 <= i < j < n and 0 <= k < n) for i, j, k, _ in self.brackets):
            raise SymmetryError(f"brackets must be (i, j, k, c) with 0 <= i < j < {n} and 0 <= k < {n}")
        if len({entry[:3] for entry in self.brackets}) != len(self.brackets):
            raise SymmetryError("a structure constant is given twice")
        if len(set(self.names)) != n:
            raise SymmetryError(f"two basis elements have one name: {', '.join(self.names)}")
        if not checked and (triple := self._jacobi_violation()):
            raise SymmetryError(f"the Jacobi identity fails on {', '.join(self.names[i] for i in triple)}")

    def __getstate__(self) -> dict[str, Any]:
        # Cached values hold SymPy domains, which do not all pickle.
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}

    @classmethod
    def from_structure(
        cls, structure: Sequence[Sequence[Sequence[sp.Expr]]], names: Sequence[str] = ()
    ) -> LieAlgebra:
        """The algebra with structure constants c_ijk, (n, n, n).

        Raises
        ------
        SymmetryError
            If c is not antisymmetric in i, j or breaks the Jacobi identity.

        Examples
        --------
        >>> LieAlgebra.from_structure([[[0, 0], [0, 1]], [[0, -1], [0, 0]]]).name
        'aff(1)'
        """
        n = len(structure)
        entries = [[[sp.sympify(c, strict=True) for c in row] for row in plane] for plane in structure]
        if any(len(plane) != n or any(len(row) != n for row in plane) for plane in entries):
            raise SymmetryError(f"structure constants of {n} elements must be {n} x {n} x {n}")
        field = Field.of(c for plane in entries for row in plane for c in row)
        values = [[[field.element(c) for c in row] for row in plane] for plane in entries]
        for i, j, k in itertools.product(range(n), repeat=3):
            if values[i][j][k] + values[j][i][k]:
                raise SymmetryError(
                    f"structure constants are not antisymmetric: c[{i}][{j}][{k}] != -c[{j}][{i}][{k}]"
                )
        brackets = {
            (i, j): {k: c for k, c in enumerate(values[i][j]) if c}
            for i, j in itertools.combinations(range(n), 2)
        }
        return cls._of(
            Structure(field, n, {pair: v for pair, v in brackets.items() if v}), names, checked=False
        )

    @classmethod
    def from_matrices(cls, basis: Sequence[sp.MatrixBase], names: Sequence[str] = ()) -> LieAlgebra:
        """The algebra spanned by square matrices under [A, B] = A B - B A.

        Raises
        ------
        SymmetryError
            If the matrices are linearly dependent, or a bracket, which the message gives, leaves their span.

        Examples
        --------
        >>> LieAlgebra.from_matrices([sp.Matrix([[1, 0], [0, 0]]), sp.Matrix([[0, 1], [0, 0]])]).name
        'aff(1)'
        """
        matrices = [sp.ImmutableMatrix(matrix) for matrix in basis]
        size = matrices[0].rows if matrices else 0
        if any(matrix.shape != (size, size) for matrix in matrices):
            raise SymmetryError("the basis must consist of square matrices of one size")
        entries = [matrix.todok() for matrix in matrices]
        field = Field.of(e for dok in entries for e in dok.values())
        rows: list[dict[int, Vector]] = []
        for dok in entries:
            row: dict[int, Vector] = {}
            for (i, j), e in dok.items():
                if value := field.element(e):
                    row.setdefault(i, {})[j] = value
            rows.append(row)

        def commutator(a: int, b: int) -> Vector:
            total: Vector = {}
            for left, right, minus in ((rows[a], rows[b], True), (rows[b], rows[a], False)):
                for i, row in left.items():
                    for k, c in row.items():
                        if k in right:
                            subtract(
                                total, -c if minus else c, {i * size + j: x for j, x in right[k].items()}
                            )
            return total

        def show(vector: Vector) -> str:
            entry = {divmod(k, size): field.expression(c) for k, c in vector.items()}
            return str(sp.Matrix(size, size, lambda i, j: entry.get((i, j), 0)).tolist())

        vectors = [{i * size + j: c for i, row in matrix.items() for j, c in row.items()} for matrix in rows]
        return cls._closed(field, vectors, commutator, show, names)

    @classmethod
    def from_fields(
        cls, fields: Sequence[Sequence[sp.Expr]], variables: Sequence[sp.Symbol], names: Sequence[str] = ()
    ) -> LieAlgebra:
        """The algebra spanned by vector fields under [X, Y]_i = sum_j X_j dY_i/dx_j - Y_j dX_i/dx_j.

        `fields`: for each field its n components, polynomials in the n variables. The fields B x of matrices
        have the bracket [B x, C x] = -[B, C] x; the two algebras are isomorphic.

        Raises
        ------
        SymmetryError
            If a component is not a polynomial, the fields are linearly dependent, or a bracket leaves their
            span.

        Examples
        --------
        >>> x = sp.Symbol("x", real=True)
        >>> LieAlgebra.from_fields([[sp.Integer(1)], [x], [x**2]], [x]).name
        'sl(2,R)'
        """
        n = len(variables)
        terms: list[list[dict[tuple[int, ...], sp.Expr]]] = []
        for components in fields:
            if len(components) != n:
                raise SymmetryError(f"a field in {n} variables needs {n} components, not {len(components)}")
            try:
                terms.append([dict(sp.Poly(e, *variables).terms()) for e in components])
            except sp.PolynomialError as error:
                raise SymmetryError(
                    f"the field {tuple(components)} is not polynomial in {tuple(variables)}"
                ) from error
        field = Field.of(e for components in terms for poly in components for e in poly.values())
        ring = sp.polys.rings.PolyRing(tuple(variables), field.domain, sp.polys.orderings.lex)
        polynomials = [
            [ring.from_dict({m: field.element(e) for m, e in p.items()}) for p in c] for c in terms
        ]
        index: dict[tuple[int, tuple[int, ...]], int] = {}

        def vector(components: Sequence[Any]) -> Vector:
            pairs = ((i, m, c) for i, p in enumerate(components) for m, c in p.terms() if c)
            return {index.setdefault((i, m), len(index)): c for i, m, c in pairs}

        def commutator(a: int, b: int) -> Vector:
            x, y = polynomials[a], polynomials[b]
            slopes = [[(p.diff(j), q.diff(j)) for j in range(n)] for p, q in zip(x, y, strict=True)]
            return vector(
                [sum((x[j] * dq - y[j] * dp for j, (dp, dq) in enumerate(row)), ring.zero) for row in slopes]
            )

        def show(coefficients: Vector) -> str:
            places = {k: place for place, k in index.items()}
            shown = [sp.Integer(0)] * n
            for k, c in coefficients.items():
                i, powers = places[k]
                shown[i] += field.expression(c) * sp.Mul(
                    *(x**p for x, p in zip(variables, powers, strict=True))
                )
            return str(tuple(shown))

        return cls._closed(field, [vector(components) for components in polynomials], commutator, show, names)

    @classmethod
    def _closed(
        cls,
        field: Field,
        vectors: Sequence[Vector],
        commutator: Callable[[int, int], Vector],
        show: Callable[[Vector], str],
        names: Sequence[str],
    ) -> LieAlgebra:
        """The structure constants of a basis, once it is independent and closed."""
        labels = _labels(names, len(vectors))
        span, one = Span(field), field.domain.one
        for i, vector in enumerate(vectors):
            if (combination := span.coordinates(vector)) is not None:
                raise SymmetryError(
                    f"the basis is dependent: {labels[i]} = {_combination(field, combination, labels)}; "
                    "leave it out"
                )
            span.add({**vector, -1 - i: one})
        brackets = {}
        for i, j in itertools.combinations(range(len(vectors)), 2):
            value = commutator(i, j)
            coordinates = span.coordinates(value)
            if coordinates is None:
                left = {k: c for k, c in span.reduce(value).items() if k >= 0}
                if any(not c.free_symbols for c in field.generators) and not any(
                    map(field.nonzero, left.values())
                ):
                    raise SymmetryError(
                        f"cannot decide whether [{labels[i]}, {labels[j]}] = {show(value)} is in the span"
                    )
                raise SymmetryError(
                    f"the basis is not closed: [{labels[i]}, {labels[j]}] = {show(value)} is not in its span"
                )
            if coordinates:
                brackets[i, j] = coordinates
        assumed = tuple(sp.numer(field.expression(x)) for x in span.assumed)
        return cls._of(Structure(field, len(vectors), brackets), labels, assumed)

    @classmethod
    def _of(
        cls,
        core: Structure,
        names: Sequence[str],
        assumptions: tuple[sp.Expr, ...] = (),
        checked: bool = True,
    ) -> LieAlgebra:
        entries = tuple(
            (i, j, k, core.field.expression(c))
            for (i, j), vector in sorted(core.brackets.items())
            for k, c in sorted(vector.items())
        )
        return cls(_labels(names, core.dimension), entries, assumptions, checked)

    def change_basis(self, matrix: sp.MatrixBase) -> LieAlgebra:
        """The same algebra in the basis e'_i = sum_j P_ij e_j, P (n, n) invertible.

        Raises
        ------
        SymmetryError
            If P is not invertible.
        """
        n = self.dimension
        if matrix.shape != (n, n):
            raise SymmetryError(f"a change of basis of {n} elements needs a {n} x {n} matrix")
        field = Field.of([*(c for *_, c in self.brackets), *matrix])
        core = self._over(field)
        rows = [{j: x for j in range(n) if (x := field.element(matrix[i, j]))} for i in range(n)]
        span = labelled(field, rows)
        if len(span) < n:
            raise SymmetryError("the change of basis is not invertible")
        assumed = tuple(sp.numer(field.expression(x)) for x in span.assumed)
        return self._of(core.ideal(rows), (), self.assumptions + assumed)

    def _over(self, field: Field) -> Structure:
        brackets: dict[tuple[int, int], Vector] = {}
        for i, j, k, c in self.brackets:
            if value := field.element(c):
                brackets.setdefault((i, j), {})[k] = value
        return Structure(field, self.dimension, brackets)

    @cached_property
    def _core(self) -> Structure:
        return self._over(Field.of(c for *_, c in self.brackets))

    def _jacobi_violation(self) -> tuple[int, ...] | None:
        """Three basis elements with [a, [b, c]] + [b, [c, a]] + [c, [a, b]] != 0; None if there are none."""
        core = self._core
        sums: dict[tuple[int, ...], Vector] = {}
        for (b, c), inner in core.brackets.items():
            for l, x in inner.items():
                for a, outer in core.adjoint[l].items():
                    if a in (b, c):
                        continue
                    # [[b, c], a] enters with the sign of the cyclic order of (b, c, a).
                    triple = tuple(sorted((a, b, c)))
                    subtract(sums.setdefault(triple, {}), x if b < a < c else -x, outer)
        return next((triple for triple, total in sums.items() if total), None)

    @property
    def dimension(self) -> int:
        """The number of basis elements."""
        return len(self.names)

    @cached_property
    def structure(self) -> tuple[tuple[tuple[sp.Expr, ...], ...], ...]:
        """The structure constants c_ijk, (n, n, n)."""
        n, zero = self.dimension, sp.Integer(0)
        constants = [[[zero] * n for _ in range(n)] for _ in range(n)]
        for i, j, k, c in self.brackets:
            constants[i][j][k], constants[j][i][k] = c, -c
        return tuple(tuple(tuple(row) for row in plane) for plane in constants)

    @cached_property
    def derived_series(self) -> tuple[int, ...]:
        """Dimensions of g, [g, g], [[g, g], [g, g]], ... down to where they stay."""
        return self._core.series(lower=False)

    @cached_property
    def lower_central_series(self) -> tuple[int, ...]:
        """Dimensions of g, [g, g], [g, [g, g]], ... down to where they stay."""
        return self._core.series(lower=True)

    @cached_property
    def centre(self) -> tuple[tuple[sp.Expr, ...], ...]:
        """A basis of {x : [x, g] = 0} in coordinates; its length is the dimension of the centre."""
        return self._coordinates(self._core.centre)

    @cached_property
    def radical(self) -> tuple[tuple[sp.Expr, ...], ...]:
        """A basis of the largest solvable ideal in coordinates; its length is its dimension."""
        return self._coordinates(self._core.radical)

    def _coordinates(self, vectors: Sequence[Vector]) -> tuple[tuple[sp.Expr, ...], ...]:
        expression, zero = self._core.field.expression, sp.Integer(0)
        return tuple(
            tuple(expression(v[i]) if i in v else zero for i in range(self.dimension)) for v in vectors
        )  # fmt: skip

    @cached_property
    def killing_form(self) -> sp.ImmutableMatrix:
        """K(x, y) = tr(ad_x ad_y), (n, n)."""
        expression = self._core.field.expression
        return sp.ImmutableMatrix([[expression(x) for x in row] for row in self._core.killing])

    @cached_property
    def killing_signature(self) -> tuple[int, int, int] | None:
        """(positive, negative, zero) of the Killing form, exact; None where constants leave a sign open."""
        return self._core.killing_signature

    @property
    def is_abelian(self) -> bool:
        """Whether all brackets vanish."""
        return not self.brackets

    @property
    def is_nilpotent(self) -> bool:
        """Whether the lower central series ends at zero."""
        return self.lower_central_series[-1] == 0

    @property
    def is_solvable(self) -> bool:
        """Whether the derived series ends at zero."""
        return self.derived_series[-1] == 0

    @property
    def is_semisimple(self) -> bool:
        """Whether the radical is zero."""
        return not self._core.radical

    @property
    def name(self) -> str:
        """The standard name, such as so(3), gl(2,R), se(2), h_3, aff(1)+R; "" where it is not certified.

        How each name is certified is said in `symdiscover.lie_name`. Isomorphic algebras have one name:
        so(2,1) is called sl(2,R), so(3)+so(3) so(4), sl(2,R)+sl(2,R) so(2,2), and sl(2,C) so(3,1); see
        `aliases`.
        """
        return self._all_names[0] if self._all_names else ""

    @property
    def aliases(self) -> tuple[str, ...]:
        """Other names of the same algebra."""
        return self._all_names[1:]

    @cached_property
    def _all_names(self) -> tuple[str, ...]:
        return lie_name.names(self._core)

    @property
    def structure_type(self) -> str:
        """The strongest of abelian, nilpotent, solvable, semisimple that holds, or "neither solvable nor semisimple"."""
        if self.is_abelian:
            return "abelian"
        if self.is_solvable:
            return "nilpotent" if self.is_nilpotent else "solvable"
        return "semisimple" if self.is_semisimple else "neither solvable nor semisimple"

    def __str__(self) -> str:
        also = f"; also {', '.join(self.aliases)}" if self.aliases else ""
        signature = self.killing_signature
        signs = "signs not decided"
        if signature is not None:
            signs = "{} positive, {} negative, {} zero".format(*signature)
        derived, lower = (
            " > ".join(map(str, series)) for series in (self.derived_series, self.lower_central_series)
        )
        lines = [
            f"{self.name or 'not identified'}, dimension {self.dimension}, {self.structure_type}{also}",
            f"derived series {derived}; lower central series {lower}; "
            f"centre {len(self.centre)}; radical {len(self.radical)}",
            f"Killing form: {signs}",
        ]
        rows, n = self._rows(), self.names
        pairs = [(i, j) for i, j in itertools.combinations(range(self.dimension), 2) if rows[i][j] != 0]
        shown = [f"[{n[i]}, {n[j]}] = {rows[i][j]}" for i, j in pairs[:LISTED]]
        more = [f"and {len(pairs) - LISTED} more"] if len(pairs) > LISTED else []
        lines.append("; ".join([*shown, *more]) or "all brackets vanish")
        if self.assumptions:
            lines.append("where " + ", ".join(f"{e} != 0" for e in self.assumptions))
        return "\n".join(lines)

    def text_table(self) -> str:
        """The commutator table as aligned plain text, the row first: the entry is [row, column].

        Examples
        --------
        >>> print(LieAlgebra(("e1", "e2"), ((0, 1, 1, sp.Integer(2)),)).text_table())
        [·, ·] |    e1   e2
        -------+-----------
            e1 |     0 2*e2
            e2 | -2*e2    0
        """
        names, corner = list(self.names), "[·, ·]"
        cells = [names, *([str(e) for e in row] for row in self._rows())]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        first = max(map(len, (corner, *names)))
        lines = [
            f"{head:>{first}} | " + " ".join(f"{e:>{w}}" for e, w in zip(row, widths, strict=True))
            for head, row in zip((corner, *names), cells, strict=True)
        ]
        rule = "-" * (first + 1) + "+" + "-" * (sum(widths) + len(widths))
        return "\n".join([lines[0], rule, *lines[1:]])

    def table(self) -> str:
        """The commutator table as Markdown, the row first: the entry is [row, column].

        Examples
        --------
        >>> print(LieAlgebra(("e1", "e2"), ((0, 1, 1, sp.Integer(2)),)).table())
        | [·, ·] | e1 | e2 |
        |---|---|---|
        | e1 | `0` | `2*e2` |
        | e2 | `-2*e2` | `0` |
        """
        names = [name.replace("|", "\\|") for name in self.names]
        lines = [f"| [·, ·] | {' | '.join(names)} |", "|---" * (self.dimension + 1) + "|"]
        for name, row in zip(names, self._rows(), strict=True):
            lines.append(f"| {name} | " + " | ".join(f"`{e}`".replace("|", "\\|") for e in row) + " |")
        return "\n".join(lines)

    def latex_table(self) -> str:
        r"""The commutator table as a LaTeX array.

        Examples
        --------
        >>> print(LieAlgebra(("e1", "e2"), ((0, 1, 1, sp.Integer(2)),)).latex_table())
        \begin{array}{c|cc}
        [\cdot, \cdot] & e_{1} & e_{2} \\ \hline
        e_{1} & 0 & 2 e_{2} \\
        e_{2} & - 2 e_{2} & 0
        \end{array}
        """
        names = [sp.latex(sp.Symbol(name)) for name in self.names]
        head = " & ".join([r"[\cdot, \cdot]", *names]) + r" \\ \hline"
        body = [" & ".join([n, *map(sp.latex, row)]) for n, row in zip(names, self._rows(), strict=True)]
        columns = "c" * self.dimension
        return "\n".join([rf"\begin{{array}}{{c|{columns}}}", head, " \\\\\n".join(body), r"\end{array}"])

    def _rows(self) -> list[list[sp.Expr]]:
        """The entries of the table as sums of symbols."""
        symbols = [sp.Symbol(name) for name in self.names]
        total: dict[tuple[int, int], sp.Expr] = {}
        for i, j, k, c in self.brackets:
            total[i, j] = total.get((i, j), sp.Integer(0)) + c * symbols[k]
            total[j, i] = total.get((j, i), sp.Integer(0)) - c * symbols[k]
        n = range(self.dimension)
        return [[total.get((i, j), sp.Integer(0)) for j in n] for i in n]


def _labels(names: Sequence[str], n: int) -> tuple[str, ...]:
    labels = tuple(names) or tuple(f"e{i}" for i in range(1, n + 1))
    if len(labels) != n:
        raise SymmetryError(f"{n} basis elements need {n} names, not {len(labels)}")
    return labels


def _combination(field: Field, coefficients: Vector, labels: Sequence[str]) -> sp.Expr:
    return sp.Add(*(field.expression(c) * sp.Symbol(labels[i]) for i, c in coefficients.items()))


def affine_matrix(B: sp.MatrixBase, c: Sequence[sp.Expr]) -> sp.ImmutableMatrix:
    """The matrix ((B, c), (0, 0)), (n + 1, n + 1), of the affine map x -> B x + c with B (n, n) and c (n,).

    Examples
    --------
    >>> affine_matrix(sp.Matrix([[2]]), [3])
    Matrix([
    [2, 3],
    [0, 0]])
    """
    n = B.rows
    matrix = sp.zeros(n + 1, n + 1)
    matrix[:n, :n] = B
    matrix[:n, n] = sp.Matrix(n, 1, list(c))
    return sp.ImmutableMatrix(matrix)


def bracket(
    X: Sequence[sp.Expr], Y: Sequence[sp.Expr], variables: Sequence[sp.Symbol]
) -> tuple[sp.Expr, ...]:
    """The Lie bracket [X, Y]_i = sum_j X_j dY_i/dx_j - Y_j dX_i/dx_j of two vector fields, expanded.

    Examples
    --------
    >>> x, y = sp.symbols("x y", real=True)
    >>> bracket((1, 0), (-y, x), (x, y))
    (0, 1)
    """
    if not len(X) == len(Y) == len(variables):
        raise SymmetryError(f"fields in {len(variables)} variables need as many components")
    X, Y = [sp.sympify(e, strict=True) for e in X], [sp.sympify(e, strict=True) for e in Y]
    pairs = list(zip(X, Y, variables, strict=True))
    return tuple(
        sp.expand(sum((a * q.diff(x) - b * p.diff(x) for a, b, x in pairs), sp.Integer(0)))
        for p, q in zip(X, Y, strict=True)
    )


def orbit_dimension(
    fields: Sequence[Sequence[sp.Expr]], variables: Sequence[sp.Symbol], seed: int = 0
) -> int:
    """The generic rank of vector fields, max_x rank (X_1(x), ..., X_k(x)): the dimension of an orbit.

    It is taken at a few random rational points; constants are drawn too, positive where they are declared so.
    For rational fields each rank is exact, a lower bound that almost every point attains. Other fields are
    evaluated in 50 digits, where a pivot below 1e-30, in rows scaled to one, counts as zero.

    Raises
    ------
    SymmetryError
        If the fields are real and finite at none of the points.

    Examples
    --------
    >>> x, y = sp.symbols("x y", real=True)
    >>> orbit_dimension([(-y, x), (x, y)], (x, y)), orbit_dimension([(-y, x), (-2 * y, 2 * x)], (x, y))
    (2, 1)
    """
    n = len(variables)
    rows = [[sp.sympify(e, strict=True) for e in components] for components in fields]
    if any(len(row) != n for row in rows):
        raise SymmetryError(f"fields in {n} variables need {n} components")
    symbols = sorted(
        set(variables).union(*(e.free_symbols for row in rows for e in row)), key=sp.default_sort_key
    )
    rng = random.Random(seed)
    best = None
    for attempt in range(4 * POINTS):
        if best == min(len(rows), n) or (best is not None and attempt >= POINTS):
            break
        # Points with positive coordinates lie in the domain of logarithms and roots more often.
        draw = {
            s: sp.Rational(
                rng.randint(1, 2000) * (1 if s.is_positive or attempt % 2 else rng.choice((-1, 1))), 1009
            )
            for s in symbols
        }
        values = [[e.xreplace(draw) for e in row] for row in rows]
        if all(e.is_Rational for row in values for e in row):
            field = Field.of([])
            rank: int | None = len(
                Span(field, ({j: field.element(e) for j, e in enumerate(row) if e} for row in values))
            )
        else:
            rank = _numerical_rank(values)
        if rank is not None:
            best = max(best or 0, rank)
    if best is None:
        raise SymmetryError(f"the fields are real and finite at none of {4 * POINTS} random points")
    return best


def _numerical_rank(values: Sequence[Sequence[sp.Expr]]) -> int | None:
    """The rank by elimination with full pivoting in 50 digits; None where an entry is not real and finite."""
    with mpmath.workdps(DIGITS):
        rows = []
        for row in values:
            numbers = [sp.N(e, DIGITS) for e in row]
            if not all(x.is_Float or x.is_Rational for x in numbers):
                return None
            rows.append(
                [mpmath.mpf(str(x)) if x.is_Float else mpmath.mpf(int(x.p)) / int(x.q) for x in numbers]
            )
        # Rows are scaled to one: a field may be large where another is small.
        rows = [[x / size for x in row] for row in rows if (size := max(map(abs, row), default=0))]
        rank = 0
        while rows:
            size, i, j = max((abs(x), i, j) for i, row in enumerate(rows) for j, x in enumerate(row))
            if size < TOLERANCE:
                break
            pivot = rows.pop(i)
            rows = [[x - row[j] / pivot[j] * y for x, y in zip(row, pivot, strict=True)] for row in rows]
            rank += 1
        return rank
