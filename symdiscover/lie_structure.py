"""A Lie algebra over an exact field as sparse structure constants, and what linear algebra tells about it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from symdiscover.exact_linear import Field, Span, Vector, combine, kernel, signature, subtract


@dataclass(frozen=True, eq=False)
class Structure:
    """[e_i, e_j] = sum_k c_ijk e_k over a field; only i < j is stored.

    Parameters
    ----------
    field:
        The field of the structure constants.
    dimension:
        The number n of basis elements.
    brackets:
        (i, j) with i < j -> the vector [e_i, e_j]; a pair that commutes is left out.
    """

    field: Field
    dimension: int
    brackets: Mapping[tuple[int, int], Vector]

    @cached_property
    def basis(self) -> list[Vector]:
        """The unit vectors."""
        return [{i: self.field.domain.one} for i in range(self.dimension)]

    @cached_property
    def adjoint(self) -> list[dict[int, Vector]]:
        """For each i, the map j -> [e_i, e_j], pairs that commute left out."""
        rows: list[dict[int, Vector]] = [{} for _ in range(self.dimension)]
        for (i, j), vector in self.brackets.items():
            rows[i][j] = vector
            rows[j][i] = {k: -c for k, c in vector.items()}
        return rows

    def bracket(self, u: Vector, v: Vector) -> Vector:
        """[u, v]."""
        total: Vector = {}
        for i, a in u.items():
            row = self.adjoint[i]
            for j, b in v.items():
                if j in row:
                    subtract(total, -a * b, row[j])
        return total

    def bracket_span(self, left: Sequence[Vector], right: Sequence[Vector]) -> Span:
        """[A, B] for subspaces A and B, the smaller of which is an ideal, so that it bounds the dimension."""
        span = Span(self.field)
        bound = min(len(left), len(right))
        for u, v in itertools.product(left, right):
            if len(span) == bound:
                break
            span.add(self.bracket(u, v))
        return span

    @cached_property
    def derived(self) -> list[Vector]:
        """A basis of [g, g]."""
        span = Span(self.field)
        for vector in self.brackets.values():
            if len(span) == self.dimension:
                break
            span.add(vector)
        return list(span.rows.values())

    def series(self, lower: bool) -> tuple[int, ...]:
        """Dimensions of the derived series, h -> [h, h], or of the lower central series, h -> [g, h]."""
        dimensions = [self.dimension]
        current = self.derived
        while len(current) < dimensions[-1]:
            dimensions.append(len(current))
            current = list(self.bracket_span(self.basis if lower else current, current).rows.values())
        return tuple(dimensions)

    @cached_property
    def centre(self) -> list[Vector]:
        """A basis of {x : [x, g] = 0}."""
        equations: dict[tuple[int, int], Vector] = {}
        for i, row in enumerate(self.adjoint):
            for j, vector in row.items():
                for k, c in vector.items():
                    equations.setdefault((j, k), {})[i] = c
        return kernel(self.field, equations.values(), self.dimension)

    @cached_property
    def killing(self) -> list[list[Any]]:
        """K_ij = tr(ad_i ad_j) = sum_kl c_ikl c_jlk."""
        zero = self.field.domain.zero
        form = [[zero] * self.dimension for _ in range(self.dimension)]
        for i, j in itertools.combinations_with_replacement(range(self.dimension), 2):
            total = zero
            for k, vector in self.adjoint[i].items():
                for l, c in vector.items():
                    if l in self.adjoint[j] and k in self.adjoint[j][l]:
                        total = total + c * self.adjoint[j][l][k]
            form[i][j] = form[j][i] = total
        return form

    @cached_property
    def killing_signature(self) -> tuple[int, int, int] | None:
        """(positive, negative, zero) of the Killing form; None where a sign is not decided."""
        return signature(self.field, self.killing)

    @cached_property
    def radical(self) -> list[Vector]:
        """A basis of the largest solvable ideal, {x : K(x, [g, g]) = 0} (Cartan)."""
        equations = []
        for vector in self.derived:
            row: Vector = {}
            for i, c in vector.items():
                subtract(row, -c, {j: value for j, value in enumerate(self.killing[i]) if value})
            equations.append(row)
        return kernel(self.field, equations, self.dimension)

    def ideal(self, vectors: Sequence[Vector]) -> Structure:
        """The subalgebra with the given independent vectors, whose span is closed, as basis."""
        span = labelled(self.field, vectors)
        brackets = {}
        for (i, u), (j, v) in itertools.combinations(enumerate(vectors), 2):
            if (bracket := self.bracket(u, v)) and (coordinates := span.coordinates(bracket)):
                brackets[i, j] = coordinates
        return Structure(self.field, len(vectors), brackets)

    def split_abelian(self) -> tuple[Structure, int]:
        """(h, k) with g = h + R^k, a direct sum of ideals, and k as large as can be.

        R^k completes the part of the centre in [g, g]; any complement of R^k that contains [g, g] is an
        ideal.
        """
        span = Span(self.field, self.derived)
        k = sum(span.add(vector) for vector in self.centre)
        if not k:
            return self, 0
        rest = [vector for vector in self.basis if span.add(vector)]
        return self.ideal([*self.derived, *rest]), k

    def centroid(self) -> list[list[Vector]]:
        """A basis of {T : T[x, y] = [x, T y]}, each T as the list of its columns T e_i.

        Once T u is known for some u, T [e_i, b] = [e_i, T b] gives T on the ideal they generate; where [e_i,
        b] is a combination of vectors already reached, the two values of T give equations for the unknowns T
        u.
        """
        n, one = self.dimension, self.field.domain.one
        words, equations = Span(self.field), Span(self.field)
        vectors: list[Vector] = []
        images: list[list[Vector]] = []  # T b for each word b, as n linear forms in the unknowns
        fresh = Span(self.field, self.derived)
        unknowns = done = 0
        for u in [*filter(fresh.add, self.basis), *self.basis]:
            if u in words:
                continue
            words.add({**u, -1 - len(vectors): one})
            vectors.append(u)
            images.append([{unknowns + i: one} for i in range(n)])
            unknowns += n
            while done < len(vectors) and (len(words) < n or unknowns - len(equations) > 1):
                for i, e in enumerate(self.basis):
                    word = self.bracket(e, vectors[done])
                    coordinates = words.coordinates(word)
                    image = self._apply(i, images[done])
                    if coordinates is None:
                        words.add({**word, -1 - len(vectors): one})
                        vectors.append(word)
                        images.append(image)
                        continue
                    for index, c in coordinates.items():
                        for form, other in zip(image, images[index], strict=True):
                            subtract(form, c, other)
                    for form in image:
                        equations.add(form)
                done += 1
        solutions = kernel(self.field, equations.rows.values(), unknowns)
        columns = [[self._evaluate(image, solution) for image in images] for solution in solutions]
        return [[combine(words.coordinates(e) or {}, values) for e in self.basis] for values in columns]

    def _apply(self, i: int, image: list[Vector]) -> list[Vector]:
        """[e_i, y] for y given by n linear forms."""
        total: list[Vector] = [{} for _ in range(self.dimension)]
        for j, vector in self.adjoint[i].items():
            for k, c in vector.items():
                subtract(total[k], -c, image[j])
        return total

    def _evaluate(self, image: list[Vector], solution: Vector) -> Vector:
        zero = self.field.domain.zero
        value = (sum((c * solution[i] for i, c in form.items() if i in solution), zero) for form in image)
        return {k: c for k, c in enumerate(value) if c}


def labelled(field: Field, vectors: Sequence[Vector]) -> Span:
    """The span of independent vectors, ready to give coordinates in them."""
    one = field.domain.one
    return Span(field, [{**vector, -1 - i: one} for i, vector in enumerate(vectors)])
