"""Charts, written-out maps and what they must not do: text stays text, names stay apart."""

from __future__ import annotations

import pickle
from dataclasses import replace

import pytest
import sympy as sp

import symdiscover as sd
from symdiscover import SO, Chart, Group, Loss, O, Symmetry, SymmetryError, Translation
from symdiscover.identity import decide_zero
from symdiscover.routes import peel, quadratic, translations
from symdiscover.symmetry import MAP_OPERATIONS, coordinate_symbols, shortest, unused

x, y, z = sp.symbols("x y z", real=True)
u1, u2 = sp.symbols("u1 u2", real=True)

CLAIMS = {
    "Rosenbrock": lambda: peel.find(Loss.parse("b*(x**2 - y)**2 + (x - a)**2", positive="a, b"))[0],
    "Booth": lambda: quadratic.find(Loss.parse("(x + 2*y - 7)**2 + (2*x + y - 5)**2"))[0],
    "O(3)": lambda: quadratic.find(Loss.parse("x**2 + 2*y**2 + 3*z**2 + x*y"))[0],
    "O(1, 1)": lambda: quadratic.find(Loss.parse("x*y"))[0],
    "O(5)": lambda: quadratic.find(Loss.parse("x1**2 + 2*x2**2 + x3**2 + x4**2 + 5*x5**2"))[0],
    "translation": lambda: translations.find(Loss.parse("(x - y)**4 + z"))[0],
    "shears": lambda: quadratic.find(Loss.parse("x**2 + 3*y**2 + z"))[0],
}


@pytest.mark.parametrize("name", CLAIMS)
def test_the_written_map_is_the_action(name: str) -> None:
    """map = psi(M phi(x)) with M the closed form; the identity at zero; L stays equal."""
    symmetry = CLAIMS[name]()
    matrix = symmetry.closed_matrix()
    for image, direct in zip(symmetry.map, symmetry.image(matrix), strict=True):
        assert decide_zero(image - direct, thorough=False).status == "proved"
    zero = dict.fromkeys(symmetry.parameters, sp.Integer(0))
    for image, variable in zip(symmetry.map, symmetry.loss.variables, strict=True):
        assert decide_zero(image.xreplace(zero) - variable).status == "proved"


@pytest.mark.parametrize("name", CLAIMS)
def test_the_written_map_twin(name: str) -> None:
    """Another image is not the action."""
    symmetry = CLAIMS[name]()
    direct = symmetry.image(symmetry.closed_matrix())
    moving = next(i for i, v in enumerate(symmetry.loss.variables) if direct[i] != v)
    assert (
        decide_zero(symmetry.map[moving] * sp.Rational(101, 100) - direct[moving], thorough=False).status
        == "refuted"
    )


@pytest.mark.parametrize("name", CLAIMS)
def test_maps_survive_pickling(name: str) -> None:
    """A claim that has been to another process is the same claim: its proof takes the short way there."""
    symmetry = CLAIMS[name]()
    copy = pickle.loads(pickle.dumps(symmetry))
    assert copy == symmetry
    assert copy != replace(symmetry, note="another")
    certificate = sd.verify(symmetry)
    assert next(i for i in certificate.identities if i.name == "map").statement != "L(a(g, x)) = L(x)"


def test_maps_have_no_needless_roots() -> None:
    """Cayley parameters of the metric: rational coefficients where the loss has some."""
    symmetry = CLAIMS["O(3)"]()
    assert not any(
        image.has(sp.sqrt) or image.atoms(sp.Pow) & {sp.sqrt(2), sp.sqrt(3)} for image in symmetry.map
    )
    assert any(
        form.has(sp.sqrt(2)) or form.has(sp.sqrt(3)) or form.atoms(sp.Pow) for form in symmetry.chart.forward
    )


def test_large_maps_are_not_written_out() -> None:
    variables = sp.symbols("x1:13", real=True)
    mixed = sum((sum(variables[i:]) ** 2 for i in range(12)), sp.Integer(0))
    symmetry = quadratic.find(Loss(mixed + variables[0] * variables[5], variables))[0]
    assert symmetry.map is None or sum(image.count_ops() for image in symmetry.map) <= MAP_OPERATIONS


def test_chart_solve_goes_in_order() -> None:
    """Later variables may use earlier ones; the result is in the order of the variables."""
    chart = Chart((x, y), (u1, u2), (y, x + y**2), ((y, u1), (x, u2 - y**2)))
    assert chart.solve((u1, u2)) == (u2 - u1**2, u1)
    assert chart.solve((sp.Integer(2), sp.Integer(7))) == (3, 2)
    wrong = replace(chart, inverse=((y, u1), (x, u2 + y**2)))
    assert wrong.solve((sp.Integer(2), sp.Integer(7))) != (3, 2)


@pytest.mark.parametrize(
    ("coordinates", "forward", "inverse"),
    [
        ((u1,), (x,), ((x, u1), (y, u1))),
        ((u1, u1), (x, y), ((x, u1), (y, u1))),
        ((u1, u2), (x,), ((x, u1), (y, u2))),
        ((u1, u2), (x, y), ((x, u1),)),
        ((u1, u2), (x, y), ((x, u1), (x, u2))),
        ((u1, u2), (x, y), ((x, u1), (y, u2), (x, u2))),
        ((u1, u2), (x, y), ((x, u1), (z, u2))),
    ],
)
def test_charts_that_cannot_be(coordinates: tuple, forward: tuple, inverse: tuple) -> None:
    with pytest.raises(SymmetryError, match="a chart needs"):
        Chart((x, y), coordinates, forward, inverse)
    assert Chart((x, y), (u1, u2), (x, y), ((x, u1), (y, u2))).domain == "everywhere"


def test_claims_that_cannot_be() -> None:
    loss = Loss.parse("x**2 + y**2")
    with pytest.raises(SymmetryError, match="same variables"):
        Symmetry(loss, SO(2), Chart.identity((y, x)))
    with pytest.raises(SymmetryError, match="more coordinates"):
        Symmetry(loss, SO(3), Chart.identity((x, y)))
    assert Symmetry(loss, SO(2), Chart.identity((x, y))).map is not None


def test_names_stay_apart() -> None:
    """Coordinates and parameters take names that the loss does not use."""
    u, theta = sp.Symbol("u", real=True), sp.Symbol("theta", positive=True)
    assert [s.name for s in coordinate_symbols((x, u))] == ["v1", "v2"]
    assert [s.name for s in coordinate_symbols((x, y), [u, sp.Symbol("v7")])] == ["w1", "w2"]
    letters = [sp.Symbol(letter + "1", real=True) for letter in "uvwzqpyrkm"]
    assert not {s.name for s in coordinate_symbols(letters)} & {s.name for s in letters}
    loss = Loss((x - theta) ** 2 + y**2, (x, y), (theta,))
    assert [s.name for s in unused(SO(2).parameters, loss)] == ["theta_"]
    assert sd.verify(quadratic.find(loss)[0]).status == "proved"
    by_hand = sd.claim(Loss.parse("u1*u2"), [sp.exp(u) * u1, sp.exp(-u) * u2], [u])
    assert sd.verify(by_hand).group_law


def test_fields_and_moves() -> None:
    loss = Loss.parse("x**2 + y**2 + z")
    symmetry = Symmetry(loss, SO(2), Chart.identity(loss.variables))
    a, b, c = symmetry.chart.coordinates
    assert symmetry.field(SO(2).basis[0]) == (-b, a, 0)
    assert symmetry.moved(sp.Matrix([[0, -1], [1, 0]])) == (-b, a, c)
    shifted = Symmetry(loss, Translation(1), Chart.identity(loss.variables))
    assert shifted.field(Translation(1).basis[0]) == (1, 0, 0)
    assert shifted.moved(sp.Matrix([[1, 5], [0, 1]])) == (a + 5, b, c)


def test_a_group_of_two_elements_is_written_as_the_other_one() -> None:
    loss = Loss.parse("(x - 1)**2")
    symmetry = quadratic.find(loss)[0]
    assert symmetry.parameters == () and symmetry.map == (2 - loss.variables[0],)
    assert sd.verify(symmetry).status == "proved"
    with pytest.raises(sd.NotInvariant):
        sd.verify(replace(symmetry, map=(3 - loss.variables[0],)))


def test_a_map_that_is_not_that_of_the_group_is_checked_by_itself() -> None:
    """A written-out map of one's own is proved or refuted from the loss, not taken from the group."""
    symmetry = CLAIMS["Booth"]()
    other = replace(
        symmetry,
        map=tuple(
            2 * image - image.xreplace({symmetry.parameters[0]: sp.Integer(0)}) for image in symmetry.map
        ),
    )
    with pytest.raises(sd.NotInvariant, match="a\\(g, x\\)"):
        sd.verify(other)
    twice = {symmetry.parameters[0]: 2 * symmetry.parameters[0]}
    certificate = sd.verify(replace(symmetry, map=tuple(image.xreplace(twice) for image in symmetry.map)))
    assert certificate.status == "proved"


def test_shortest() -> None:
    expressions = [x * (y + 1) - x * y, (x + 1) ** 3, 2 * (x + y), sp.sin(x) * y + sp.sin(x) * z]
    for e in expressions:
        short = shortest(e)
        assert sp.expand(short - e) == 0 and short.count_ops() <= sp.expand(e).count_ops()
        assert pickle.loads(pickle.dumps(short)) == short


def test_as_dict_and_latex() -> None:
    certificate = sd.verify(CLAIMS["Booth"]())
    entry = certificate.as_dict()
    assert set(entry) == {
        "group", "kind", "status", "route", "domain", "transitive", "group_law", "dimension", "killing", "parameters", "map",
    }  # fmt: skip
    assert (entry["group"], entry["status"], entry["dimension"], entry["transitive"]) == (
        "SO(2)",
        "proved",
        1,
        True,
    )
    assert "SO" in certificate._repr_latex_()
    t = sp.Symbol("t", real=True)
    by_hand = sd.verify(sd.claim(Loss.parse("x*y"), [x * sp.exp(t), y * sp.exp(-t)], [t]))
    assert by_hand.as_dict()["dimension"] == 1
    unwritten = Group("spiral", 2, (sp.ImmutableMatrix([[1, -1], [1, 1]]),))
    constant = Symmetry(Loss.parse("0*x + 0*y + 3", variables="x, y"), unwritten, Chart.identity((x, y)))
    assert sd.verify(constant).as_dict()["map"] is None


def test_level_sets() -> None:
    assert sd.verify(Symmetry(Loss.parse("x**2 + y**2"), O(2), Chart.identity((x, y)))).level_dimension == 1
    flat = Loss.parse("4", variables="x, y")
    assert sd.verify(Symmetry(flat, Translation(2), Chart.identity((x, y)))).level_dimension == 2
