"""Discrete symmetries: sign flips, centred and oblique reflections, permutations of variables or of blocks, rotations of
the plane by rational angles, and periods.

Candidates come from the expression (centres, periods, automorphisms of its graph) and from the signed permutations; what
leaves the loss equal in many digits at points of all sizes is then proved. Only generators are reported.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import mpmath
import sympy as sp

from symdiscover.errors import SymmetryError
from symdiscover.group import Group
from symdiscover.identity import decide_zero, sample_points
from symdiscover.loss import Loss
from symdiscover.rounding import evaluate_digits
from symdiscover.routes import NoSymmetry
from symdiscover.routes._affine_maps import FiniteGroup, affine, fixed_point, image, lattice_basis, products
from symdiscover.routes._centres import automorphisms, centres, common_centres, linear_forms, periods
from symdiscover.routes._known import SPHERES, is_known, moves_whole_spheres
from symdiscover.symmetry import Chart, Symmetry, coordinate_symbols

order = 80

#: Digits in which candidates are tried, and the relative difference that is rounding.
DIGITS, SMALL = 70, mpmath.mpf(10) ** -45
#: Points at which they are tried, and how often in all.
POINTS, TRIALS = 24, 2_500
#: Random points among which so many are sought where the loss is real; the other points lie beside its seams.
SAMPLES, GENERIC = 48, 7
#: Functions with seams, where only a proof counts.
PIECES = (sp.Abs, sp.Max, sp.Min, sp.sign, sp.Heaviside, sp.floor, sp.ceiling, sp.Piecewise)
#: Up to so many variables every signed permutation is tried.
ALL_SIGNED = 4
#: Centres about which they are tried, for 1, 2, 3 and 4 variables.
CENTRES = (8, 20, 5, 2)
#: Products of generators with which a candidate is multiplied before it counts as new.
COSETS = 16


def find(loss: Loss, found: tuple[Symmetry, ...] = ()) -> list[Symmetry]:
    """One finite group and one lattice of periods, without what `found` has already.

    Examples
    --------
    >>> [symmetry.group.name for symmetry in find(Loss.parse("x**4 + y**4 + cos(x)*cos(y)"))]
    ['SignedPermutation(2)']
    >>> [symmetry.group.name for symmetry in find(Loss.parse("cos(x)*cos(2*y) + cos(2*y)"))]
    ['Z2 x Z2', 'Z^2']
    """
    if moves_whole_spheres(found):
        raise NoSymmetry(SPHERES)
    screen = Screen(loss)
    generators = _generators(loss, screen, found)
    vectors = _period_vectors(loss, screen, found)
    claims = []
    decided = [(m, _status(loss, image(m, loss.variables))) for m in generators]
    open_ = (
        [] if loss.expression.has(*PIECES) else ["identity-tested", "numerical"]
    )  # no evidence where pieces may hide
    for statuses in (["proved"], open_):  # one undecided generator must not weaken the claim of the others
        if chosen := [m for m, status in decided if status in statuses]:
            claims.append(_finite_claim(loss, chosen))
    if vectors:
        claims.append(_period_claim(loss, *vectors))
    if not claims:
        raise NoSymmetry("no reflection, permutation or period beyond what is found already")
    return claims


class Screen:
    """Tries affine maps on a loss: at points of sizes 1e-2 to 1e3 and beside its seams, in many digits.

    Differences are relative to the part of the loss that varies, so that neither a constant term nor tiny values hide
    any. What passes is a candidate, not more.
    """

    def __init__(self, loss: Loss) -> None:
        self.variables = loss.variables
        self._varying = loss.expression.as_independent(*loss.variables, as_Add=True)[1]
        self._trials = 0
        self._points: list[tuple[dict[sp.Symbol, mpmath.mpf], mpmath.mpf]] = []
        once, again = (enumerate(sample_points(self._varying, seed, SAMPLES)) for seed in (11, 12))
        for number, point in itertools.chain(once, again):
            if len(self._points) >= (GENERIC if number < SAMPLES else POINTS):
                continue
            with mpmath.workdps(DIGITS):
                values = {s: mpmath.mpf(int(v.p)) / int(v.q) for s, v in point.items()}
                values = dict.fromkeys((*loss.variables, *loss.constants), mpmath.mpf(1)) | values
            if (value := self._value(values)) is not None:
                self._points.append((values, value))
        if len({value for _, value in self._points}) < 3:
            raise NoSymmetry("too few points where the loss is real and not constant")

    def leaves(self, matrix: sp.Matrix) -> bool:
        """Whether x -> A x + b leaves the loss equal at every point."""
        self._trials += 1
        if self._trials > TRIALS:
            return False
        images = image(matrix, self.variables)
        for values, before in self._points:
            with mpmath.workdps(DIGITS):
                try:
                    moved = {
                        x: evaluate_digits(e, values) for x, e in zip(self.variables, images, strict=True)
                    }
                except (ArithmeticError, LookupError, SymmetryError, TypeError, ValueError):
                    return False
                after = self._value(values | moved)
                if after is None or abs(after - before) > SMALL * max(abs(after), abs(before)):
                    return False
        return True

    def profile(self, centre: Sequence[sp.Expr]) -> list[list[str]]:
        """What the loss does along each axis from the centre, one way and the other: equal for axes that may be swapped."""
        with mpmath.workdps(DIGITS):
            values = self._points[0][0]
            c = [evaluate_digits(e, values) for e in centre]
            at = values | dict(zip(self.variables, c, strict=True))
            profile = []
            for x, origin in zip(self.variables, c, strict=True):
                along = [
                    [self._value(at | {x: origin + s * mpmath.sqrt(t)}) for t in (3, mpmath.mpf(1) / 7)]
                    for s in (1, -1)
                ]
                # Rounding of what vanishes must not tell axes apart.
                profile.append(
                    [
                        str([None if v is None else mpmath.nstr(mpmath.chop(v, SMALL), 25) for v in w])
                        for w in along
                    ]
                )
            return profile

    def _value(self, values: dict[sp.Symbol, mpmath.mpf]) -> mpmath.mpf | None:
        with mpmath.workdps(DIGITS):
            try:
                value = evaluate_digits(self._varying, values)
            except (ArithmeticError, LookupError, SymmetryError, TypeError, ValueError):
                return None
            return value if isinstance(value, mpmath.mpf) and mpmath.isfinite(value) else None


def _status(loss: Loss, images: Sequence[sp.Expr]) -> str:
    moved = loss.expression.xreplace(dict(zip(loss.variables, images, strict=True)))
    return decide_zero(moved - loss.expression, thorough=False).status


def _generators(loss: Loss, screen: Screen, found: Sequence[Symmetry]) -> list[sp.ImmutableMatrix]:
    """Maps that together generate a finite group: none is a product of others, or of elements found before."""
    accepted: list[sp.ImmutableMatrix] = []
    known: list[sp.ImmutableMatrix] = []
    groups: list[FiniteGroup] = []
    for matrix in _candidates(loss, screen):
        if any(group.contains(matrix) for group in groups) or not screen.leaves(matrix):
            continue
        # A product with what is accepted may be known: reflections of a circle are all one, up to rotations.
        cosets = products(accepted, COSETS) if accepted else [sp.eye(matrix.rows)]
        new = not any(is_known(found, image(matrix * g, loss.variables)) for g in cosets)
        listed = accepted if new else known
        if fixed_point([*listed, matrix]) is None or FiniteGroup([*listed, matrix]).order is None:
            continue
        listed.append(matrix)
        together = [*accepted, *known]
        generated = [accepted, known] + [together] * (fixed_point(together) is not None)
        groups = [FiniteGroup(maps) for maps in generated if maps]
    return accepted


def _candidates(loss: Loss, screen: Screen) -> Iterator[sp.ImmutableMatrix]:
    """The more usual first: transpositions, reflections, signed permutations about their centre, oblique and shifted ones."""
    variables, n = loss.variables, len(loss.variables)
    origin = (sp.Integer(0),) * n
    for i, j in itertools.combinations(range(n), 2):
        yield affine(_signed(n, {i: (j, 1), j: (i, 1)}), origin)
    guesses = [centres(loss.expression, x, variables) for x in variables]
    for i in range(n):
        reflections = [(_reflection(i, centre, variables), centre) for centre in guesses[i]]
        if (kept := next(((m, c) for m, c in reflections if screen.leaves(m)), None)) is not None:
            yield kept[0]
            if not kept[1].free_symbols & set(variables):
                guesses[i] = [kept[1]]
        guesses[i] = [centre for centre in guesses[i] if not centre.free_symbols & set(variables)]
    about = _centre_vectors(loss, guesses)
    if n <= ALL_SIGNED:
        for centre in itertools.islice(about, CENTRES[n - 1]):
            yield from (affine(matrix, centre) for matrix in _signed_permutations(screen.profile(centre)))
        yield from _in_linear_forms(loss)
        if n == 2:
            yield from _shifted_swaps(loss)
    else:
        yield from _many_variables(loss, next(about))
    if n == 2:
        for centre in itertools.islice(_centre_vectors(loss, guesses), CENTRES[1]):
            if not screen.leaves(affine(_turn(2 * sp.pi * sp.sqrt(2)), centre)):  # else any angle will do
                yield from (affine(_turn(k), centre) for k in (3, 5, 8))


def _centre_vectors(loss: Loss, guesses: Sequence[Sequence[sp.Expr]]) -> Iterator[tuple[sp.Expr, ...]]:
    """The first guess of each variable; common centres; then the others together."""
    seen: dict[tuple[sp.Expr, ...], None] = {}
    products = itertools.islice(itertools.product(*guesses), 64)
    for centre in itertools.chain(itertools.islice(products, 1), common_centres(loss), products):
        if centre not in seen:
            seen[centre] = None
            yield centre


def _signed_permutations(profile: Sequence[Sequence[str]]) -> Iterator[sp.Matrix]:
    """The signed permutation matrices but the identity that keep the profiles of the axes, those that move least first."""
    n = len(profile)
    listed = [
        {i: (p, s) for i, (p, s) in enumerate(zip(images, signs, strict=True)) if (p, s) != (i, 1)}
        for images in itertools.permutations(range(n))
        for signs in itertools.product((1, -1), repeat=n)
        if all(profile[i] == profile[p][::s] for i, (p, s) in enumerate(zip(images, signs, strict=True)))
    ]
    for moves in sorted(filter(None, listed), key=lambda m: (len(m), sum(s < 0 for _, s in m.values()))):
        yield _signed(n, moves)


def _in_linear_forms(loss: Loss) -> Iterator[sp.ImmutableMatrix]:
    """Signed permutations of the linear forms that the expression is made of, where these are coordinates."""
    n, forms = len(loss.variables), linear_forms(loss)
    if n > 3 or len(forms) != n:
        return
    jacobian = sp.Matrix(forms).jacobian(loss.variables)
    if jacobian.free_symbols or jacobian.det() == 0:
        return
    offset = sp.Matrix(forms).xreplace(dict.fromkeys(loss.variables, sp.Integer(0)))
    inverse = jacobian.inv()
    for matrix in _signed_permutations([["", ""]] * n):
        yield affine(inverse * matrix * jacobian, tuple(-inverse * offset))


def _signed(n: int, moves: dict[int, tuple[int, int]]) -> sp.Matrix:
    """The matrix that takes x_i to s x_p for i: (p, s) in moves."""
    matrix = sp.eye(n)
    for i, (p, s) in moves.items():
        matrix[i, i] = 0
        matrix[i, p] = s
    return matrix


def _reflection(i: int, centre: sp.Expr, variables: Sequence[sp.Symbol]) -> sp.ImmutableMatrix:
    """x_i -> 2 c - x_i, c affine in the other variables."""
    n = len(variables)
    matrix = sp.eye(n + 1)
    matrix[i, i] = -1
    for j, x in enumerate(variables):
        if j != i:
            matrix[i, j] = 2 * sp.diff(centre, x)
    matrix[i, n] = 2 * centre.xreplace(dict.fromkeys(variables, sp.Integer(0)))
    return sp.ImmutableMatrix(matrix)


def _turn(k: sp.Expr | int) -> sp.Matrix:
    """The rotation of the plane by 2 pi / k."""
    c, s = sp.cos(2 * sp.pi / k), sp.sin(2 * sp.pi / k)
    return sp.Matrix([[c, -s], [s, c]])


def _shifted_swaps(loss: Loss) -> Iterator[sp.ImmutableMatrix]:
    """x_i -> x_j + s, x_j -> x_i - s, the reflections in x_i - x_j; and x_i -> s - x_j, x_j -> s - x_i."""
    variables, n = loss.variables, len(loss.variables)
    total, difference = sp.Dummy("u", real=True), sp.Dummy("v", real=True)
    for i, j in itertools.combinations(range(n), 2):
        rotated = {variables[i]: (total + difference) / 2, variables[j]: (total - difference) / 2}
        expression = loss.expression.xreplace(rotated)
        others = (*[x for k, x in enumerate(variables) if k not in (i, j)], total, difference)
        angles = [k * period / 4 for period in set(periods(loss).values()) for k in (1, 2, 3, -1)]
        for coordinate, sign in ((difference, 1), (total, -1)):
            for s in [*centres(expression, coordinate, others), *angles]:
                if s == 0 or s.free_symbols & set(others):
                    continue
                matrix = sp.eye(n + 1)
                matrix[i, i] = matrix[j, j] = 0
                matrix[i, j] = matrix[j, i] = sign
                matrix[i, n], matrix[j, n] = s, -sign * s
                yield sp.ImmutableMatrix(matrix)


def _many_variables(loss: Loss, centre: tuple[sp.Expr, ...]) -> Iterator[sp.ImmutableMatrix]:
    """Signed permutations of two coordinates, automorphisms of the expression graph, and the point reflection."""
    variables, n = loss.variables, len(loss.variables)
    for i, j in itertools.combinations(range(n), 2):
        for s, t in itertools.product((1, -1), repeat=2):
            yield affine(_signed(n, {i: (j, s), j: (i, t)}), centre)
        yield affine(_signed(n, {i: (i, -1), j: (j, -1)}), centre)
    yield affine(-sp.eye(n), centre)
    centred = loss.expression.xreplace({x: x + c for x, c in zip(variables, centre, strict=True)})
    for permutation in automorphisms(centred, variables):
        yield affine(_signed(n, {i: (p, 1) for i, p in enumerate(permutation) if p != i}), centre)


def _finite_claim(loss: Loss, maps: Sequence[sp.ImmutableMatrix]) -> Symmetry:
    """The group in coordinates u = x - c about its fixed point."""
    group = FiniteGroup(maps)
    centre = fixed_point(maps)
    assert centre is not None  # `_generators` accepts only maps that have one together
    chart = Chart.identity(loss.variables, loss.constants)
    if any(centre):
        u = chart.coordinates
        chart = Chart(
            loss.variables,
            u,
            tuple(x - c for x, c in zip(loss.variables, centre, strict=True)),
            tuple((x, v + c) for x, v, c in zip(loss.variables, u, centre, strict=True)),
        )
    named = Group(group.name, len(loss.variables), (), group.linear, compact=group.order is not None)
    return Symmetry(loss, named, chart, "discrete", "discrete")


def _period_vectors(
    loss: Loss, screen: Screen, found: Sequence[Symmetry]
) -> tuple[list[list[int]], list[sp.Expr]] | None:
    """A basis of the periods found, in units of half the period of the sines of each variable; and those units."""
    units = periods(loss)
    if not units:
        return None
    n = len(loss.variables)
    axes = [i for i, x in enumerate(loss.variables) if x in units]
    scale = [units.get(x, sp.Integer(1)) / 2 for x in loss.variables]
    candidates = [{i: k} for i in axes for k in (1, 2)]
    for i, j in itertools.combinations(axes, 2) if len(axes) <= 6 else ():
        candidates += [{i: k, j: s * k} for k in (1, 2) for s in (1, -1)]
    candidates.append(dict.fromkeys(axes, 2))
    passed: list[list[int]] = []
    for steps in candidates:
        vector = [steps.get(i, 0) for i in range(n)]
        matrix = _translation([k * unit for k, unit in zip(vector, scale, strict=True)])
        images = image(matrix, loss.variables)
        if screen.leaves(matrix) and not is_known(found, images) and _status(loss, images) == "proved":
            passed.append(vector)
    return (lattice_basis(passed), scale) if passed else None


def _translation(vector: Sequence[sp.Expr]) -> sp.ImmutableMatrix:
    n = len(vector)
    matrix = sp.eye(n + 1)
    matrix[:n, n] = sp.Matrix(list(vector))
    return sp.ImmutableMatrix(matrix)


def _period_claim(loss: Loss, basis: Sequence[Sequence[int]], scale: Sequence[sp.Expr]) -> Symmetry:
    """Z^k by translations; where a period depends on constants, in coordinates that count half periods."""
    n = len(loss.variables)
    chart = Chart.identity(loss.variables, loss.constants)
    if any(unit.free_symbols for unit in scale):
        u = coordinate_symbols(loss.variables, loss.constants)
        chart = Chart(
            loss.variables,
            u,
            tuple(x / unit for x, unit in zip(loss.variables, scale, strict=True)),
            tuple((x, v * unit) for x, v, unit in zip(loss.variables, u, scale, strict=True)),
        )
        scale = [sp.Integer(1)] * n
    shifts = [_translation([k * unit for k, unit in zip(vector, scale, strict=True)]) for vector in basis]
    name = f"Z^{len(shifts)}" if len(shifts) > 1 else "Z"
    return Symmetry(
        loss, Group(name, n, (), tuple(shifts), affine=True), chart, "discrete", "discrete", note="periods"
    )
