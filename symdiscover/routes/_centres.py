"""Where a function may be symmetric: centres of reflections and periods, read off its expression. Guesses, all of them."""

from __future__ import annotations

import functools
import itertools
import math
from collections import Counter
from collections.abc import Iterator, Sequence

import networkx as nx
import sympy as sp

from symdiscover.enclosure import Enclosure
from symdiscover.errors import OutsideDomain
from symdiscover.identity import expanded_terms
from symdiscover.loss import Loss

_PERIODIC = (sp.sin, sp.cos, sp.tan, sp.cot)
#: Limits: subexpressions looked at, terms that are expanded, degree, guesses returned, nodes of the graph.
NODES, TERMS, DEGREE, GUESSES, GRAPH = 400, 100, 16, 24, 600

#: Sums with more irrational numbers such as exp(-1/10) are passed over: polynomials over them are slow.
NUMBERS = 4


def centres(expression: sp.Expr, x: sp.Symbol, variables: Sequence[sp.Symbol]) -> list[sp.Expr]:
    """Guesses c for reflections x -> 2 c - x, zero first: c is affine in the other variables.

    A polynomial part a x^d + b x^(d - 1) + ... has the centre -b / (d a); a sine or cosine of a x + b also those a quarter
    period apart.

    Examples
    --------
    >>> x, y = sp.symbols("x y", real=True)
    >>> centres(x**4 + 4*x**3 + (x - y)**2*sp.cos(3*y), x, [x, y])
    [0, -1, y]
    """
    guesses: dict[sp.Expr, None] = {sp.Integer(0): None}
    for node in itertools.islice(_nodes(expression), NODES):
        factors = [a for a in node.args if x in a.free_symbols] if node.is_Mul else []
        if not node.is_Add and not (len(factors) > 1 and any(a.is_Add for a in factors)):
            continue  # of a power, a function or a monomial, the centre is that of its argument, or 0
        if x not in node.free_symbols or _irrational_numbers(node) > NUMBERS:
            continue
        vertex = _vertex(node, x, variables)
        if vertex is None:
            continue
        guesses[vertex] = None
    for call in sorted(expression.atoms(*_PERIODIC), key=str):
        slope, vertex = sp.diff(call.args[0], x), _vertex(call.args[0], x, variables)
        if vertex is not None and never_zero(slope) and not slope.free_symbols & set(variables):
            for k in (1, 2, 3, -1):
                guesses[sp.expand(vertex + k * sp.pi / (2 * slope))] = None
    return sorted(guesses, key=lambda c: (bool(c.free_symbols & set(variables)), c != 0))[:GUESSES]


def _irrational_numbers(node: sp.Expr) -> int:
    return sum(not part.free_symbols for part in node.atoms(sp.Function, sp.Pow))


def _vertex(node: sp.Expr, x: sp.Symbol, variables: Sequence[sp.Symbol]) -> sp.Expr | None:
    """The centre of the part of a sum that is a polynomial in x; None where it is not affine in the others."""
    if expanded_terms(node) > TERMS:
        return None
    terms = [t for t in sp.Add.make_args(node) if x in t.free_symbols and t.is_polynomial(x)]
    if not terms:
        return None
    polynomial = sp.Poly(sp.Add(*terms), x)
    degree = polynomial.degree()
    if not 1 <= degree <= DEGREE:
        return None
    if degree == 1:  # the constant term belongs to the zero of a linear part
        terms += [t for t in sp.Add.make_args(node) if x not in t.free_symbols]
        polynomial = sp.Poly(sp.Add(*terms), x)
    following, leading = polynomial.coeff_monomial(x ** (degree - 1)), polynomial.coeff_monomial(x**degree)
    others = [y for y in variables if y != x and y in following.free_symbols | leading.free_symbols]
    # Constants are not cancelled: between numbers such as exp(-1/10) that may take minutes.
    centre = (sp.cancel if leading.free_symbols & set(others) else sp.expand)(-following / (degree * leading))
    if not _is_defined(centre):
        return None
    if not others:
        return centre
    if not centre.is_polynomial(*others) or sp.Poly(centre, *others).total_degree() > 1:
        return None
    return None if any(sp.diff(centre, y).free_symbols for y in others) else sp.expand(centre)


def _nodes(expression: sp.Expr) -> Iterator[sp.Expr]:
    seen: set[sp.Basic] = set()
    for node in sp.preorder_traversal(expression):
        if node not in seen:
            seen.add(node)
            yield node


def never_zero(e: sp.Expr) -> bool:
    """Whether it is shown that the expression has no zero, whatever its variables and constants."""
    if e.is_nonzero:
        return True
    try:
        enclosed = Enclosure()(e)
    except OutsideDomain:
        return False
    return bool(enclosed.low > 0 or enclosed.high < 0)


def _is_defined(e: sp.Expr) -> bool:
    """Whether a fraction of constants has a value for all of theirs."""
    return not e.free_symbols or never_zero(sp.denom(sp.together(e)))


def common_centres(loss: Loss) -> Iterator[tuple[sp.Expr, ...]]:
    """Guesses for the centre of all variables at once.

    For a polynomial of degree d with leading part P and next part N, that is N + c . grad P = 0; else the common zero
    of linear forms.
    """
    variables = loss.variables
    systems = []
    if loss.expression.is_polynomial(*variables) and expanded_terms(loss.expression) <= TERMS:
        polynomial = sp.Poly(loss.expression, *variables)
        degree = polynomial.total_degree()
        parts = {d: [(m, a) for m, a in polynomial.terms() if sum(m) == d] for d in (degree, degree - 1)}
        leading, following = (
            sp.Add(*[a * sp.prod(x**k for x, k in zip(variables, m, strict=True)) for m, a in parts[d]])
            for d in (degree, degree - 1)
        )
        shift = sp.symbols(f"c1:{len(variables) + 1}", cls=sp.Dummy)
        condition = following + sp.Add(
            *[c * sp.diff(leading, x) for c, x in zip(shift, variables, strict=True)]
        )
        systems.append((sp.Poly(condition, *variables).coeffs(), shift))
    else:
        forms = linear_forms(loss)
        if len(forms) <= 6:
            systems += [(list(chosen), variables) for chosen in itertools.combinations(forms, len(variables))]
    for equations, unknowns in systems[:GUESSES]:
        solutions = sp.linsolve(equations, unknowns)
        for solution in solutions:
            centre = tuple(entry.xreplace(dict.fromkeys(unknowns, sp.Integer(0))) for entry in solution)
            if all(_is_defined(entry) for entry in centre):
                yield centre


def linear_forms(loss: Loss) -> list[sp.Expr]:
    """The affine functions of the variables that stand in the expression as bases of powers or arguments."""
    forms: dict[sp.Expr, None] = {}
    for node in itertools.islice(_nodes(loss.expression), NODES):
        if not (node.is_Pow or isinstance(node, sp.Function)):
            continue
        base = node.args[0]
        used = base.free_symbols & set(loss.variables)
        if (
            isinstance(base, sp.Expr)
            and used
            and base.is_polynomial(*used)
            and sp.Poly(base, *used).total_degree() == 1
        ):
            forms[base] = None
    return list(forms)


def periods(loss: Loss) -> dict[sp.Symbol, sp.Expr]:
    """For each variable the period of all its sines and cosines of linear arguments together."""
    result = {}
    for x in loss.variables:
        slopes = []
        for call in sorted(loss.expression.atoms(*_PERIODIC), key=str):
            slope = sp.diff(call.args[0], x)
            if never_zero(slope) and not slope.free_symbols & set(loss.variables):
                slopes.append(slope)
        ratios = [sp.cancel(slope / slopes[0]) for slope in slopes]
        if ratios and all(ratio.is_Rational for ratio in ratios):
            common = sp.Rational(
                functools.reduce(math.gcd, [int(abs(r.p)) for r in ratios]),
                functools.reduce(math.lcm, [int(r.q) for r in ratios]),
            )
            period = 2 * sp.pi / (slopes[0] * common)
            result[x] = -period if period.could_extract_minus_sign() else period
    return result


def automorphisms(expression: sp.Expr, variables: Sequence[sp.Symbol]) -> Iterator[list[int]]:
    """Permutations of the variables under which the graph of the expression stays the same: generators of all.

    For each variable k and each later j, one that takes k to j and fixes all variables before k.

    Examples
    --------
    >>> a, b, c, d = sp.symbols("a b c d", real=True)
    >>> list(automorphisms(a*sp.sin(b) + c*sp.sin(d), [a, b, c, d]))
    [[2, 3, 0, 1]]
    """
    if sum(1 for _ in itertools.islice(_nodes(expression), GRAPH)) == GRAPH:
        return
    for k, j in itertools.combinations(range(len(variables)), 2):
        fixed = {x: f"fixed {i}" for i, x in enumerate(variables[:k])}
        before = _graph(expression, variables, fixed | {variables[k]: "moved"})
        after = _graph(expression, variables, fixed | {variables[j]: "moved"})
        if not _refine(before, after):
            continue
        mapping = nx.vf2pp_isomorphism(before, after, node_label="label")
        if mapping is not None:
            yield [variables.index(mapping[x]) for x in variables]


def _refine(*graphs: nx.DiGraph) -> bool:
    """Tell nodes apart by their neighbours, theirs, and so on; whether the graphs still have the same labels.

    This colour refinement leaves the search for an isomorphism little to try.
    """
    count = 0
    while True:
        numbers: dict[tuple[str, tuple[str, ...], tuple[str, ...]], str] = {}
        for graph in graphs:
            keys = {
                node: (
                    label,
                    tuple(sorted(graph.nodes[m]["label"] for m in graph.predecessors(node))),
                    tuple(sorted(graph.nodes[m]["label"] for m in graph.successors(node))),
                )
                for node, label in graph.nodes(data="label")
            }
            labels = {node: numbers.setdefault(key, str(len(numbers))) for node, key in keys.items()}
            nx.set_node_attributes(graph, labels, "label")
        first, *others = [Counter(label for _, label in graph.nodes(data="label")) for graph in graphs]
        if any(other != first for other in others):
            return False
        if len(numbers) == count:
            return True
        count = len(numbers)


def _graph(expression: sp.Expr, variables: Sequence[sp.Symbol], labels: dict[sp.Symbol, str]) -> nx.DiGraph:
    """The expression as a graph; arguments whose order matters hang on nodes that number them."""
    graph = nx.DiGraph()
    for node in _nodes(expression):
        if node in variables:
            graph.add_node(node, label=labels.get(node, "variable"))
            continue
        graph.add_node(node, label=type(node).__name__ if node.args else str(node))
        unordered = node.is_Add or node.is_Mul or isinstance(node, sp.Max | sp.Min)
        for place, argument in enumerate(node.args):
            if unordered:
                graph.add_edge(node, argument)
            else:
                graph.add_node((node, place), label=f"argument {place}")
                graph.add_edge(node, (node, place))
                graph.add_edge((node, place), argument)
    for x in variables:
        graph.add_node(x, label=labels.get(x, "variable"))
    return graph
