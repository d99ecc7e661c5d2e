"""Matrix groups as data: a Lie-algebra basis and discrete generators.

A group acts on the first `size` chart coordinates u by its matrices, or on (u, 1) when it is `affine`.
Nothing here is an algorithm of its own: routes choose a group, `verify` proves that it leaves a loss unchanged,
and `symdiscover.elements` holds the one torch implementation of its elements.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import mpmath
import numpy as np
import sympy as sp

from symdiscover.errors import SymmetryError

#: How an element is stored: one angle, one flow time, additive coordinates, or the matrix itself.
ElementKind = Literal["angle", "time", "vector", "matrix"]

#: The largest n for which a group of n x n matrices is written out in Cayley parameters, all of it.
CAYLEY_SIZE = 4
#: The largest dimension of a group without a form that is written out as a product of exponentials.
PRODUCT_SIZE = 12


@dataclass(frozen=True)
class Group:
    """A matrix group given by its Lie algebra and its discrete generators.

    Parameters
    ----------
    name:
        The usual name, such as ``SO(2)`` or ``O(2, 1)``.
    size:
        The number m of coordinates it acts on.
    basis:
        Lie-algebra basis, each matrix (m, m), or (m + 1, m + 1) with a zero last row when `affine`.
    discrete:
        Matrices that, with the exponentials, generate the whole group (reflections, component flags).
    compact:
        Whether the group is compact. On a non-compact one an ascent needs a bound.
    affine:
        Whether the matrices act on (u, 1).
    element:
        How an element is stored. ``vector`` and ``time`` need a commuting basis.
    form:
        The symmetric matrix F with g^T F g = F, where the group is the one that preserves it.

    Examples
    --------
    >>> SO(2).basis[0]
    Matrix([
    [0, -1],
    [1,  0]])
    >>> O(3).dimension, O(2, 1).compact, Translation(3).element
    (3, False, 'vector')
    """

    name: str
    size: int
    basis: tuple[sp.ImmutableMatrix, ...]
    discrete: tuple[sp.ImmutableMatrix, ...] = ()
    compact: bool = False
    affine: bool = False
    element: ElementKind = "matrix"
    form: sp.ImmutableMatrix | None = field(default=None)

    def __post_init__(self) -> None:
        for matrix in (*self.basis, *self.discrete):
            if matrix.shape != (self.matrix_size, self.matrix_size):
                raise SymmetryError(f"{self.name} needs {self.matrix_size} x {self.matrix_size} matrices")
        if self.element in ("angle", "time") and len(self.basis) > 1:
            raise SymmetryError(
                f"{self.name} has {len(self.basis)} generators: its elements are no {self.element}s"
            )
        if self.affine:
            fixed = [0] * self.size
            if any(list(b[-1, :]) != [*fixed, 0] for b in self.basis):
                raise SymmetryError(f"a generator of the affine {self.name} must end in a row of zeros")
            if any(list(d[-1, :]) != [*fixed, 1] for d in self.discrete):
                raise SymmetryError(
                    f"a discrete generator of the affine {self.name} must end in the row 0, ..., 0, 1"
                )

    @property
    def dimension(self) -> int:
        """Dimension of the Lie algebra."""
        return len(self.basis)

    @property
    def matrix_size(self) -> int:
        """Rows of a matrix of the group: m, or m + 1 when affine."""
        return self.size + 1 if self.affine else self.size

    @property
    def parameters(self) -> tuple[sp.Symbol, ...]:
        """Free real parameters of `matrix`; all zero is the identity. Empty when there is no closed form."""
        if self.element == "angle":
            return (sp.Symbol("theta", real=True),)
        if self.element == "time":
            return (sp.Symbol("t", real=True),)
        if self.element == "vector":
            return sp.symbols(f"t1:{self.dimension + 1}", real=True)
        if self.dimension == 1:
            return (sp.Symbol("eta", real=True),)
        if self.form is not None and self.dimension:
            if self.size <= CAYLEY_SIZE:
                pairs = itertools.combinations(range(1, self.size + 1), 2)
                return tuple(sp.Symbol(f"s{i}{j}", real=True) for i, j in pairs)
            return sp.symbols(f"s2:{self.size + 1}", real=True)
        if self.dimension <= PRODUCT_SIZE:
            return sp.symbols(f"t1:{self.dimension + 1}", real=True)
        return ()

    def matrix(self, parameters: Sequence[sp.Expr] | None = None) -> sp.ImmutableMatrix | None:
        """A closed form of the matrices near the identity, or None where none is known.

        Angles give the rotation; groups of a form F the Cayley transform (F + S)^{-1} (F - S), S skew, whole up to
        size 4 and for S of rank two beyond (the rotations in planes through the first axis); the others the
        product exp(t_1 B_1) exp(t_2 B_2) ... where each factor has a closed form.
        """
        symbols = self.parameters if parameters is None else tuple(parameters)
        if not symbols:
            return None
        if self.form is not None and self.dimension > 1:
            return cayley(self.form, symbols)
        product = sp.eye(self.matrix_size)
        for t, generator in zip(symbols, self.basis, strict=True):
            factor = exponential(generator, t)
            if factor is None:
                return None
            product = product * factor
        return sp.ImmutableMatrix(product)

    def exp(self, xi: Sequence[float | mpmath.mpf]) -> mpmath.matrix:
        """exp(sum_k xi_k B_k) as an mpmath matrix at the working precision of mpmath.

        Examples
        --------
        >>> mpmath.nstr(SO(2).exp([mpmath.pi / 2])[1, 0], 6)
        '1.0'
        """
        total = mpmath.zeros(self.matrix_size)
        for coordinate, generator in zip(xi, self.basis, strict=True):
            entries = [[mpmath.mpf(str(sp.N(entry, mpmath.mp.dps + 5))) for entry in row]
                       for row in generator.tolist()]  # fmt: skip
            total += coordinate * mpmath.matrix(entries)
        return mpmath.expm(total)

    def identity(self) -> np.ndarray:
        """The identity matrix, (m, m) or (m + 1, m + 1), float64."""
        return np.eye(self.matrix_size)

    def compose(self, g: np.ndarray, h: np.ndarray) -> np.ndarray:
        """The matrix of "first h, then g"."""
        return g @ h

    def inverse(self, g: np.ndarray) -> np.ndarray:
        """The inverse matrix: F^{-1} g^T F where a form is preserved, else by elimination."""
        if self.form is not None:
            form = np.array(self.form.tolist(), dtype=float)
            return np.linalg.solve(form, g.T @ form)
        return np.linalg.inv(g)

    def random(self, rng: np.random.Generator, scale: float = 1.0) -> np.ndarray:
        """A random matrix of the group: a normal Lie-algebra element times a random discrete word.

        For SO(n) and O(n) this is a spread of elements, not the uniform (Haar) law.
        """
        g = np.array(self.exp(rng.normal(scale=scale, size=self.dimension).tolist()).tolist(), dtype=float)
        for generator in self.discrete:
            if rng.random() < 0.5:
                g = np.array(generator.tolist(), dtype=float) @ g
        return g

    @property
    def components(self) -> int | None:
        """How many connected components the discrete generators reach; None when more than 64 or infinite."""
        seen = {sp.ImmutableMatrix(sp.eye(self.matrix_size))}
        frontier = list(seen)
        while frontier:
            new = {sp.ImmutableMatrix(d * g) for d in self.discrete for g in frontier} - seen
            seen |= new
            frontier = list(new)
            if len(seen) > 64:
                return None
        return len({self._component(g) for g in seen}) if self.dimension else len(seen)

    def _component(self, g: sp.ImmutableMatrix) -> tuple[sp.Expr, ...]:
        if self.form is None:
            return (sp.sign(g.det()),)
        positive = [i for i in range(self.size) if self.form[i, i] > 0]
        negative = [i for i in range(self.size) if self.form[i, i] < 0]
        return tuple(sp.sign(g.extract(block, block).det()) for block in (positive, negative) if block)


def exponential(generator: sp.ImmutableMatrix, t: sp.Symbol) -> sp.Matrix | None:
    """exp(t B) in closed form where B is nilpotent, or B^3 = k B, or diagonal; None otherwise.

    These are the generators of translations, shears, scalings, rotations and boosts. SymPy's own matrix exponential
    is not used: it does not end on ordinary matrices.

    Examples
    --------
    >>> exponential(sp.ImmutableMatrix([[0, 4], [1, 0]]), sp.Symbol("t", real=True))
    Matrix([
    [  cosh(2*t), 2*sinh(2*t)],
    [sinh(2*t)/2,   cosh(2*t)]])
    """
    size = generator.rows
    if generator.is_diagonal():
        return sp.diag(*[sp.exp(t * generator[i, i]) for i in range(size)])
    square = generator * generator
    cube = square * generator
    i, j = next((i, j) for i in range(size) for j in range(size) if generator[i, j] != 0)
    ratio = sp.cancel(cube[i, j] / generator[i, j])
    if (cube - ratio * generator).applyfunc(sp.cancel).is_zero_matrix:
        if ratio == 0:
            return sp.eye(size) + t * generator + t**2 / 2 * square
        if ratio.is_negative:
            root = sp.sqrt(-ratio)
            return (
                sp.eye(size) + sp.sin(root * t) / root * generator + (1 - sp.cos(root * t)) / root**2 * square
            )
        if ratio.is_positive:
            root = sp.sqrt(ratio)
            return (
                sp.eye(size)
                + sp.sinh(root * t) / root * generator
                + (sp.cosh(root * t) - 1) / root**2 * square
            )
        return None
    result, power = sp.eye(size), sp.eye(size)
    for order in range(1, size + 1):
        power = (power * generator).applyfunc(sp.cancel)
        if power.is_zero_matrix:
            return result
        result = result + power * t**order / sp.factorial(order)
    return None


def cayley(form: sp.ImmutableMatrix, parameters: Sequence[sp.Expr]) -> sp.ImmutableMatrix:
    """The Cayley transform M = (F + S)^{-1} (F - S) of a skew S, so that M^T F M = F.

    With n(n-1)/2 parameters S holds one above each place of its upper triangle; with n - 1 of them S = a e_1^T -
    e_1 a^T, a = (0, s_2, ..., s_n), and K = F^{-1} S satisfies K^3 = -kappa K, so that M = 1 - 2 (K - K^2) / (1 + kappa).
    `form` is diagonal.

    Examples
    --------
    >>> s = sp.Symbol("s", real=True)
    >>> M = cayley(sp.ImmutableMatrix([[2, 0], [0, 3]]), [s])
    >>> (M.T * sp.diag(2, 3) * M).applyfunc(sp.cancel)
    Matrix([
    [2, 0],
    [0, 3]])
    """
    size = form.rows
    skew = skew_matrix(size, parameters)
    if len(parameters) == size * (size - 1) // 2:
        # M = 2 (F + S)^{-1} F - 1; the determinant stays in one piece, so that all entries share it.
        determinant = sp.expand((form + skew).det(method="berkowitz"))
        numerator = (2 * (form + skew).adjugate() * form - determinant * sp.eye(size)).applyfunc(sp.expand)
        return sp.ImmutableMatrix(numerator / determinant)
    k = form.inv() * skew
    kappa = sum(s**2 / form[i, i] for i, s in enumerate(parameters, start=1)) / form[0, 0]
    return sp.ImmutableMatrix(sp.eye(size) - 2 * (k - k * k) / (1 + kappa))


def skew_matrix(size: int, parameters: Sequence[sp.Expr]) -> sp.ImmutableMatrix:
    """S with n(n-1)/2 parameters above its diagonal, or with n - 1 of them S = a e_1^T - e_1 a^T, a = (0, s_2, ...)."""
    skew = sp.zeros(size, size)
    if len(parameters) == size * (size - 1) // 2:
        for s, (i, j) in zip(parameters, itertools.combinations(range(size), 2), strict=True):
            skew[i, j], skew[j, i] = s, -s
    else:
        for i, s in enumerate(parameters, start=1):
            skew[i, 0], skew[0, i] = s, -s
    return sp.ImmutableMatrix(skew)


def _unit(size: int, i: int, j: int) -> sp.ImmutableMatrix:
    return sp.ImmutableMatrix(size, size, lambda a, b: int((a, b) == (i, j)))


def SO(n: int) -> Group:
    """Rotations of R^n. SO(2) elements are angles, others matrices."""
    if n == 2:
        turn = sp.ImmutableMatrix([[0, -1], [1, 0]])
        return Group("SO(2)", 2, (turn,), compact=True, element="angle", form=sp.ImmutableMatrix(sp.eye(2)))
    basis = tuple(_unit(n, j, i) - _unit(n, i, j) for i, j in itertools.combinations(range(n), 2))
    return Group(f"SO({n})", n, basis, compact=True, form=sp.ImmutableMatrix(sp.eye(n)))


def O(p: int, q: int = 0) -> Group:  # noqa: E743
    """The linear maps that preserve u_1^2 + ... + u_p^2 - u_{p+1}^2 - ... - u_{p+q}^2.

    Examples
    --------
    >>> O(2, 1).components, O(3).components, O(1).dimension
    (4, 2, 0)
    """
    n = p + q
    signs = [1] * p + [-1] * q
    form = sp.ImmutableMatrix(sp.diag(*signs))
    basis = tuple(
        signs[j] * _unit(n, j, i) - signs[i] * _unit(n, i, j) for i, j in itertools.combinations(range(n), 2)
    )
    flips = [0] * bool(p) + [p] * bool(q)
    discrete = tuple(sp.ImmutableMatrix(sp.eye(n) - 2 * _unit(n, i, i)) for i in flips)
    name = f"O({p}, {q})" if p and q else f"O({n})"
    return Group(name, n, basis, discrete, compact=not (p and q), form=form)


def Reflection() -> Group:
    """The two elements u -> u and u -> -u of one coordinate."""
    return Group("Z2", 1, (), (sp.ImmutableMatrix([[-1]]),), compact=True, form=sp.ImmutableMatrix([[1]]))


def GL(n: int) -> Group:
    """All invertible linear maps of R^n."""
    basis = tuple(_unit(n, i, j) for i in range(n) for j in range(n))
    return Group(f"GL({n})", n, basis, (sp.ImmutableMatrix(sp.eye(n) - 2 * _unit(n, 0, 0)),))


def Translation(n: int) -> Group:
    """Shifts u -> u + t of R^n; the element is the vector t."""
    basis = tuple(_unit(n + 1, i, n) for i in range(n))
    return Group(f"R^{n}" if n > 1 else "R", n, basis, affine=True, element="vector")


def PositiveScaling(n: int) -> Group:
    """Diagonal maps u_i -> exp(t_i) u_i; the element is the vector of logarithms t."""
    basis = tuple(_unit(n, i, i) for i in range(n))
    return Group(f"PositiveScaling({n})", n, basis, element="vector")


def SignedPermutation(n: int) -> Group:
    """Permutations of the coordinates with signs (the hyperoctahedral group)."""
    swaps = []
    for i in range(n - 1):
        swap = sp.eye(n)
        swap.row_swap(i, i + 1)
        swaps.append(sp.ImmutableMatrix(swap))
    flip = sp.ImmutableMatrix(sp.eye(n) - 2 * _unit(n, 0, 0))
    return Group(f"SignedPermutation({n})", n, (), (flip, *swaps), compact=True)
