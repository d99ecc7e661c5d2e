"""The test functions for any number of variables, one row each; those of fixed size are in `catalogue_data`.

To add a family, add a row: see `Family` for the meaning of the fields.
"""

from __future__ import annotations

from symdiscover.catalogue_data import LIBRARY, SURVEY, TELEPORTATION, survey
from symdiscover.catalogue_row import Family

SCHWEFEL = "Schwefel (1981), Numerical Optimization of Computer Models"
BBOB = "Hansen, Finck, Ros & Auger (2009), INRIA Research Report 6829"
YANG = "Yang (2010), Test problems in optimization, arXiv:1008.0549"


def series(template: str, n: int, first: int = 1, joint: str = " + ") -> str:
    """The template for i = first, ..., n, with {i}, the next index {j} and the square {s} of i, joined.

    >>> series("{i}*x{i}**2", 3)
    '1*x1**2 + 2*x2**2 + 3*x3**2'
    """
    return joint.join(template.format(i=i, j=i + 1, s=i * i) for i in range(first, n + 1))


def _radius(n: int) -> str:
    return "sqrt(" + series("x{i}**2", n) + ")"


def _levy(n: int) -> str:
    middle = "(x{i} - 1)**2/16*(1 + 10*sin(pi*(3 + x{i})/4 + 1)**2)"
    last = f"(x{n} - 1)**2/16*(1 + sin(pi*(3 + x{n})/2)**2)"
    return " + ".join(filter(None, ["sin(pi*(3 + x1)/4)**2", series(middle, n - 1), last]))


def _zakharov(n: int) -> str:
    line = "(" + series("{i}*x{i}", n) + ")"
    return series("x{i}**2", n) + f" + {line}**2/4 + {line}**4/16"


def _sargan(n: int) -> str:
    rows = []
    for i in range(1, n + 1):
        others = " + ".join(f"x{j}" for j in range(1, n + 1) if j != i)
        rows.append(f"{n}*(x{i}**2 + 0.4*x{i}*({others}))")
    return " + ".join(rows)


def _uncoupled_rosenbrock(n: int) -> str:
    return " + ".join(f"100*(x{i}**2 - x{i + 1})**2 + (x{i} - 1)**2" for i in range(1, n, 2))


def _different_powers(n: int) -> str:
    powers = (f"abs(x{i})**({2 * (n - 1) + 4 * (i - 1)}/{n - 1})" for i in range(1, n + 1))
    return "sqrt(" + " + ".join(powers) + ")"


def _matrix_names(letters: str, n: int) -> tuple[str, ...]:
    return tuple(f"{letter}{i}{j}" for letter in letters for i in range(1, n + 1) for j in range(1, n + 1))


def _matrix_factorisation(n: int) -> str:
    size = range(1, n + 1)
    return " + ".join(
        "(" + " + ".join(f"u{i}{k}*v{k}{j}" for k in size) + f" - y{i}{j})**2" for i in size for j in size
    )


def _identity_then_target(i: int, n: int) -> str:
    """Entry i of (U, V) = (I, Y), row by row."""
    matrix, position = divmod(i - 1, n * n)
    row, column = divmod(position, n)
    return f"y{row + 1}{column + 1}" if matrix else str(int(row == column))


QUADRATIC = (
    Family(
        name="sphere",
        title="Sphere",
        text=lambda n: series("x{i}**2", n),
        bounds=("-5.12", "5.12"),
        minimum="0",
        minimisers=("0",),
        group="O({n})",
        source="De Jong (1975), PhD thesis, University of Michigan, F1",
    ),
    Family(
        name="ellipsoid",
        title="Ellipsoid",
        text=lambda n: "x1**2" + "".join(f" + lam{i}*x{i}**2" for i in range(2, n + 1)),
        constants=lambda n: {f"lam{i}": str(10 ** (i - 1)) for i in range(2, n + 1)},
        bounds=("-10", "10"),
        minimum="0",
        minimisers=("0",),
        smallest=2,
        largest=32,
        group="O({n})",
        source=TELEPORTATION,
        note="The ellipse of the source in n dimensions.",
    ),
    Family(
        name="sum-of-squares",
        title="Sum of squares",
        text=lambda n: series("{i}*x{i}**2", n),
        bounds=("-10", "10"),
        minimum="0",
        minimisers=("0",),
        group="O({n})",
        source=f"{LIBRARY}; {SURVEY}",
    ),
    Family(
        name="trid",
        title="Trid",
        text=lambda n: series("(x{i} - 1)**2", n) + " - " + series("x{i}*x{j}", n - 1, joint=" - "),
        bounds=(lambda i, n: str(-n * n), lambda i, n: str(n * n)),
        minimum=lambda n: str(-n * (n + 4) * (n - 1) // 6),
        minimisers=(lambda i, n: str(i * (n + 1 - i)),),
        default=4,
        smallest=2,
        group="O({n})",
        source=f"{LIBRARY}; {SURVEY}",
    ),
    Family(
        name="rotated-hyper-ellipsoid",
        title="Rotated hyper-ellipsoid",
        text=lambda n: " + ".join("(" + series("x{i}**2", i) + ")" for i in range(1, n + 1)),
        bounds=("-65.536", "65.536"),
        minimum="0",
        minimisers=("0",),
        largest=16,
        group="O({n})",
        source=LIBRARY,
        note="In spite of its name the axes are those of the coordinates.",
    ),
    Family(
        name="schwefel-1-2",
        title="Schwefel 1.2",
        text=lambda n: " + ".join("(" + series("x{i}", i) + ")**2" for i in range(1, n + 1)),
        bounds=("-100", "100"),
        minimum="0",
        minimisers=("0",),
        largest=20,
        group="O({n})",
        source=f"{SCHWEFEL}, problem 1.2; {survey(119)}",
    ),
    Family(
        name="sargan",
        title="Sargan",
        text=_sargan,
        bounds=("-100", "100"),
        minimum="0",
        minimisers=("0",),
        smallest=2,
        largest=16,
        group="O({n})",
        source=f"Dixon & Szegö (1978), Towards Global Optimisation 2; {survey(111)}",
    ),
    Family(
        name="bent-cigar",
        title="Bent cigar",
        text=lambda n: "x1**2 + 1000000*(" + series("x{i}**2", n, first=2) + ")",
        bounds=("-5", "5"),
        minimum="0",
        minimisers=("0",),
        smallest=2,
        group="O({n})",
        source=f"{BBOB}, f12",
        note="Without the shift, rotation and distortion of the source.",
    ),
    Family(
        name="discus",
        title="Discus",
        text=lambda n: "1000000*x1**2 + " + series("x{i}**2", n, first=2),
        bounds=("-5", "5"),
        minimum="0",
        minimisers=("0",),
        smallest=2,
        group="O({n})",
        source=f"{BBOB}, f11",
        note="Without the shift, rotation and distortion of the source.",
    ),
)

POWERS = (
    Family(
        name="rosenbrock-uncoupled",
        title="Uncoupled Rosenbrock",
        text=_uncoupled_rosenbrock,
        bounds=("-2.048", "2.048"),
        minimum="0",
        minimisers=("1",),
        default=4,
        smallest=2,
        step=2,
        largest=24,
        group="O({n})",
        source=TELEPORTATION,
        note="n/2 copies of the Rosenbrock function, a = 1 and b = 100.",
    ),
    Family(
        name="rosenbrock-chain",
        title="Rosenbrock chain",
        text=lambda n: series("100*(x{j} - x{i}**2)**2 + (x{i} - 1)**2", n - 1),
        bounds=("-5", "10"),
        minimum="0",
        minimisers=("1",),
        smallest=2,
        largest=24,
        group=lambda n: "O(2)" if n == 2 else "Z2",
        source=f"{LIBRARY}; {survey(105)}",
        note="Z2 reflects the last variable, in which the loss is quadratic, at the others fixed.",
    ),
    Family(
        name="dixon-price",
        title="Dixon-Price",
        text=lambda n: "(x1 - 1)**2 + " + series("{j}*(2*x{j}**2 - x{i})**2", n - 1),
        bounds=("-10", "10"),
        minimum="0",
        minimisers=(lambda i, n: f"2**(-{2**i - 2}/{2**i})",),
        default=2,
        smallest=2,
        largest=24,
        group="Z2",
        source=f"Dixon & Price (1989), J. Optim. Theory Appl. 60, 261; {survey(48)}",
        note="The sign of the last variable.",
    ),
    Family(
        name="chung-reynolds",
        title="Chung-Reynolds",
        text=lambda n: "(" + series("x{i}**2", n) + ")**2",
        bounds=("-100", "100"),
        minimum="0",
        minimisers=("0",),
        group="O({n})",
        source=f"Chung & Reynolds (1998), Int. J. Artif. Intell. Tools 7, 239; {survey(34)}",
    ),
    Family(
        name="schumer-steiglitz",
        title="Schumer-Steiglitz",
        text=lambda n: series("x{i}**4", n),
        bounds=("-100", "100"),
        minimum="0",
        minimisers=("0",),
        group="O({n})",
        source=f"Schumer & Steiglitz (1968), IEEE Trans. Autom. Control 13, 270; {survey(117)}",
        note="In the coordinates sgn(x) x^2.",
    ),
    Family(
        name="quartic",
        title="Quartic",
        text=lambda n: series("{i}*x{i}**4", n),
        bounds=("-1.28", "1.28"),
        minimum="0",
        minimisers=("0",),
        group="O({n})",
        source=f"De Jong (1975), PhD thesis, University of Michigan, F4; {survey(100)}",
        note="Without the noise of the source. In the coordinates sgn(x) x^2, scaled.",
    ),
    Family(
        name="schwefel-2-23",
        title="Schwefel 2.23",
        text=lambda n: series("x{i}**10", n),
        bounds=("-10", "10"),
        minimum="0",
        minimisers=("0",),
        group="O({n})",
        source=f"{SCHWEFEL}, problem 2.23; {survey(125)}",
        note="In the coordinates x^5.",
    ),
    Family(
        name="powell-sum",
        title="Powell sum",
        text=lambda n: series("abs(x{i})**{j}", n),
        bounds=("-1", "1"),
        minimum="0",
        minimisers=("0",),
        group="O({n})",
        source=survey(93),
        note="In the coordinates sgn(x_i)|x_i|^((i + 1)/2).",
    ),
    Family(
        name="different-powers",
        title="Different powers",
        text=_different_powers,
        bounds=("-5", "5"),
        minimum="0",
        minimisers=("0",),
        smallest=2,
        group="O({n})",
        differentiable=False,
        source=f"{BBOB}, f14",
        note="Without the shift and rotation of the source; exponents rise from 2 to 6.",
    ),
    Family(
        name="schwefel-2-20",
        title="Schwefel 2.20",
        text=lambda n: series("abs(x{i})", n),
        bounds=("-100", "100"),
        minimum="0",
        minimisers=("0",),
        group="O({n})",
        differentiable=False,
        source=f"{SCHWEFEL}, problem 2.20; {survey(122)}",
        note="In the coordinates sgn(x) sqrt|x|. The survey prints a minus sign in front.",
    ),
    Family(
        name="schwefel-2-21",
        title="Schwefel 2.21",
        text=lambda n: "max(" + series("abs(x{i})", n, joint=", ") + ")",
        bounds=("-100", "100"),
        minimum="0",
        minimisers=("0",),
        smallest=2,
        largest=16,
        group="SignedPermutation({n})",
        differentiable=False,
        source=f"{SCHWEFEL}, problem 2.21; {survey(123)}",
    ),
    Family(
        name="schwefel-2-22",
        title="Schwefel 2.22",
        text=lambda n: series("abs(x{i})", n) + " + " + series("abs(x{i})", n, joint="*"),
        bounds=("-100", "100"),
        minimum="0",
        minimisers=("0",),
        group="SignedPermutation({n})",
        differentiable=False,
        source=f"{SCHWEFEL}, problem 2.22; {survey(124)}",
    ),
    Family(
        name="zakharov",
        title="Zakharov",
        text=_zakharov,
        bounds=("-5", "10"),
        minimum="0",
        minimisers=("0",),
        group="O({n})",
        source=f"{LIBRARY}; {survey(173)}",
        note=(
            "O(n - 1) acts linearly around the direction (1, ..., n); along it the loss is an even quartic"
            " that rises with the distance, and its root completes the coordinates of O(n)."
        ),
    ),
    Family(
        name="qing",
        title="Qing",
        text=lambda n: series("(x{i}**2 - {i})**2", n),
        bounds=("-500", "500"),
        minimum="0",
        minimisers=(lambda i, n: f"sqrt({i})", lambda i, n: f"-sqrt({i})"),
        default=2,
        group=lambda n: " x ".join(["Z2"] * n),
        source=f"Qing (2006), IEEE Trans. Antennas Propag. 54, 2797; {survey(98)}",
        note="The sign of each variable.",
    ),
    Family(
        name="quintic",
        title="Quintic",
        text=lambda n: series("abs(x{i}**5 - 3*x{i}**4 + 4*x{i}**3 + 2*x{i}**2 - 10*x{i} - 4)", n),
        bounds=("-10", "10"),
        minimum="0",
        minimisers=("-1", "2"),
        default=2,
        largest=24,
        group="Permutation({n})",
        differentiable=False,
        source=survey(101),
    ),
    Family(
        name="styblinski-tang",
        title="Styblinski-Tang",
        text=lambda n: "(" + series("x{i}**4 - 16*x{i}**2 + 5*x{i}", n) + ")/2",
        bounds=("-5", "5"),
        minimum=lambda n: f"-{n}*39.16616570377142",
        minimisers=("-2.903534027771177",),
        minimum_tolerance=1e-14,
        default=2,
        group="Permutation({n})",
        source="Styblinski & Tang (1990), Neural Netw. 3, 467",
    ),
    Family(
        name="mexican-hat",
        title="Mexican hat",
        text=lambda n: "(" + series("x{i}**2", n) + " - 1)**2",
        bounds=("-2", "2"),
        minimum="0",
        minimisers=(lambda i, n: str(int(i == 1)), lambda i, n: str(-int(i == n))),
        group="O({n})",
        source="Goldstone (1961), Nuovo Cimento 19, 154",
        note="The minimisers form the unit sphere.",
    ),
)

TRANSCENDENTAL = (
    Family(
        name="ackley",
        title="Ackley",
        text=lambda n: (
            "-20*exp(-0.2*sqrt((" + series("x{i}**2", n) + f")/{n}))"
            " - exp((" + series("cos(2*pi*x{i})", n) + f")/{n}) + 20 + E"
        ),
        bounds=("-32.768", "32.768"),
        minimum="0",
        minimisers=("0",),
        default=2,
        group="SignedPermutation({n})",
        differentiable=False,
        source="Ackley (1987), A Connectionist Machine for Genetic Hillclimbing",
    ),
    Family(
        name="rastrigin",
        title="Rastrigin",
        text=lambda n: f"{10 * n} + " + series("x{i}**2 - 10*cos(2*pi*x{i})", n),
        bounds=("-5.12", "5.12"),
        minimum="0",
        minimisers=("0",),
        default=2,
        group="SignedPermutation({n})",
        source="Mühlenbein, Schomisch & Born (1991), Parallel Comput. 17, 619",
    ),
    Family(
        name="griewank",
        title="Griewank",
        text=lambda n: (
            "1 + (" + series("x{i}**2", n) + ")/4000 - " + series("cos(x{i}/sqrt({i}))", n, joint="*")
        ),
        bounds=("-600", "600"),
        minimum="0",
        minimisers=("0",),
        default=2,
        group=lambda n: " x ".join(["Z2"] * n),
        source="Griewank (1981), J. Optim. Theory Appl. 34, 11",
        note="The sign of each variable.",
    ),
    Family(
        name="levy",
        title="Levy",
        text=_levy,
        bounds=("-10", "10"),
        minimum="0",
        minimisers=("1",),
        default=2,
        largest=24,
        group="Z2",
        source=f"Levy & Montalvo (1985), SIAM J. Sci. Stat. Comput. 6, 15; {LIBRARY}",
        note="The reflection of the last variable in 1.",
    ),
    Family(
        name="schwefel-2-26",
        title="Schwefel 2.26",
        text=lambda n: "-(" + series("x{i}*sin(sqrt(abs(x{i})))", n) + ")",
        bounds=("-500", "500"),
        minimum=lambda n: f"-{n}*418.9828872724337",
        minimisers=("420.968746359982",),
        minimum_tolerance=1e-14,
        default=2,
        group="Permutation({n})",
        source=f"{SCHWEFEL}, problem 2.26; {SURVEY}",
        note="The minimum is that of the box.",
    ),
    Family(
        name="exponential",
        title="Exponential",
        text=lambda n: "-exp(-(" + series("x{i}**2", n) + ")/2)",
        bounds=("-1", "1"),
        minimum="-1",
        minimisers=("0",),
        group="O({n})",
        source=survey(54),
    ),
    Family(
        name="salomon",
        title="Salomon",
        text=lambda n: f"1 - cos(2*pi*{_radius(n)}) + 0.1*{_radius(n)}",
        bounds=("-100", "100"),
        minimum="0",
        minimisers=("0",),
        group="O({n})",
        differentiable=False,
        source=f"Salomon (1996), BioSystems 39, 263; {survey(110)}",
    ),
    Family(
        name="csendes",
        title="Csendes",
        text=lambda n: series("Piecewise((x{i}**6*(2 + sin(1/x{i})), abs(x{i}) > 0), (0, True))", n),
        bounds=("-1", "1"),
        minimum="0",
        minimisers=("0",),
        default=2,
        largest=24,
        group="Permutation({n})",
        source=f"Csendes & Ratz (1997), SIAM J. Numer. Anal. 34, 922; {survey(40)}",
        note="Continued by 0 where a variable vanishes.",
    ),
    Family(
        name="alpine-1",
        title="Alpine 1",
        text=lambda n: series("abs(x{i}*sin(x{i}) + 0.1*x{i})", n),
        bounds=("-10", "10"),
        minimum="0",
        minimisers=("0", "-asin(1/10)"),
        default=2,
        group="Permutation({n})",
        differentiable=False,
        source=f"Clerc (1999), Proc. Congress on Evolutionary Computation, 1951; {survey(6)}",
    ),
    Family(
        name="alpine-2",
        title="Alpine 2",
        text=lambda n: "-" + series("sqrt(x{i})*sin(x{i})", n, joint="*"),
        bounds=("0", "10"),
        minimum=lambda n: f"-2.808131180007005**{n}",
        minimisers=("7.917052684666207",),
        minimum_tolerance=1e-13,
        default=2,
        group="Permutation({n})",
        source=f"Clerc (1999), Proc. Congress on Evolutionary Computation, 1951; {survey(7)}",
        note="With a minus sign in front, since the sources give the maximum.",
    ),
    Family(
        name="cosine-mixture",
        title="Cosine mixture",
        text=lambda n: series("x{i}**2 - 0.1*cos(5*pi*x{i})", n),
        bounds=("-1", "1"),
        minimum=lambda n: f"-{n}/10",
        minimisers=("0",),
        default=2,
        group="SignedPermutation({n})",
        source=f"Breiman & Cutler (1993), Math. Program. 58, 179; {survey(38)}",
        note="With the sign for minimisation.",
    ),
    Family(
        name="stretched-v",
        title="Stretched V sine wave",
        text=lambda n: series(
            "(x{i}**2 + x{j}**2)**(1/4)*(sin(50*(x{i}**2 + x{j}**2)**(1/10))**2 + 0.1)", n - 1
        ),
        bounds=("-10", "10"),
        minimum="0",
        minimisers=("0",),
        default=2,
        smallest=2,
        largest=24,
        group=lambda n: "O(2)" if n == 2 else " x ".join(["Z2"] * n),
        differentiable=False,
        source=f"Schaffer, Caruana, Eshelman & Das (1989), Proc. Int. Conf. Genetic Algorithms, 51; {SURVEY}",
    ),
    Family(
        name="yang-2",
        title="Xin-She Yang 2",
        text=lambda n: "(" + series("abs(x{i})", n) + ")*exp(-(" + series("sin(x{i}**2)", n) + "))",
        bounds=("-2*pi", "2*pi"),
        minimum="0",
        minimisers=("0",),
        default=2,
        group="SignedPermutation({n})",
        differentiable=False,
        source=f"{YANG}; {survey(170)}",
    ),
    Family(
        name="yang-3",
        title="Xin-She Yang 3",
        text=lambda n: (
            "exp(-("
            + series("(x{i}/15)**10", n)
            + ")) - 2*exp(-("
            + series("x{i}**2", n)
            + "))*"
            + series("cos(x{i})**2", n, joint="*")
        ),
        bounds=("-20", "20"),
        minimum="-1",
        minimisers=("0",),
        default=2,
        group="SignedPermutation({n})",
        source=f"{YANG}; {survey(171)}",
    ),
    Family(
        name="yang-4",
        title="Xin-She Yang 4",
        text=lambda n: (
            "(" + series("sin(x{i})**2", n) + " - exp(-(" + series("x{i}**2", n) + ")))*"
            "exp(-(" + series("sin(sqrt(abs(x{i})))**2", n) + "))"
        ),
        bounds=("-10", "10"),
        minimum="-1",
        minimisers=("0",),
        default=2,
        group="SignedPermutation({n})",
        differentiable=False,
        source=f"{YANG}; {survey(172)}",
    ),
)

MODEL = (
    Family(
        name="linear-chain",
        title="Chain of linear units",
        text=lambda n: "(" + series("x{i}", n, joint="*") + " - 1)**2",
        bounds=("-3", "3"),
        minimum="0",
        minimisers=("1",),
        smallest=2,
        group=lambda n: f"PositiveScaling({n - 1})",
        source="Saxe, McClelland & Ganguli (2014), Exact solutions to nonlinear dynamics of learning, ICLR",
        note="A linear network of width one fitted to one sample; scalings whose product is one.",
    ),
    Family(
        name="matrix-factorisation",
        title="Matrix factorisation",
        text=_matrix_factorisation,
        variables=lambda n: _matrix_names("uv", n),
        constants=lambda n: {name: "2" if name[1] == name[2] else "1" for name in _matrix_names("y", n)},
        bounds=("-3", "3"),
        minimum="0",
        minimisers=(_identity_then_target,),
        default=2,
        largest=5,
        group="GL({n})",
        source="Koren, Bell & Volinsky (2009), Computer 42(8), 30",
        note="||Y - U V||^2 for square matrices, the entries of Y positive constants.",
    ),
    Family(
        name="softmax-cross-entropy",
        title="Softmax cross-entropy of the logits",
        text=lambda n: f"{n}*log(" + series("exp(x{i})", n) + ") - (" + series("x{i}", n) + ")",
        bounds=("-10", "10"),
        minimum=lambda n: f"{n}*log({n})",
        minimisers=("0", "1"),
        smallest=2,
        group="Translation(1)",
        source="Bridle (1990), in Fogelman Soulié & Hérault, Neurocomputing, NATO ASI F68, 227",
        note="One sample of each class at the same input; the classes may also be permuted.",
    ),
    Family(
        name="rayleigh-quotient",
        title="Rayleigh quotient",
        text=lambda n: "(" + series("{i}*x{i}**2", n) + ")/(" + series("x{i}**2", n) + ")",
        bounds=("-5", "5"),
        minimum="1",
        minimisers=(lambda i, n: str(int(i == 1)), lambda i, n: str(-2 * int(i == 1))),
        smallest=2,
        group="PositiveScaling(1)",
        differentiable=False,
        source="Horn & Johnson (1985), Matrix Analysis, sec. 4.2",
        note="Of diag(1, ..., n). Not defined at the origin.",
    ),
)

FAMILIES: tuple[Family, ...] = (*QUADRATIC, *POWERS, *TRANSCENDENTAL, *MODEL)
