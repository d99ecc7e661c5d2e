"""From Python's syntax tree of a text to SymPy, node by node against the tables of the notation."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import sympy as sp
from sympy.logic.boolalg import Boolean

from symdiscover.construction import Construction
from symdiscover.errors import ExpressionError, OutsideDomain
from symdiscover.lexical import MAX_DEPTH, NUMBER, check_name, scan
from symdiscover.notation import CONSTANTS, FUNCTIONS, NAMED_RELATIONS, NOT_REAL, RELATIONS, RESERVED, SERIES
from symdiscover.number import MAX_DIGITS, rational_of

MAX_NODES = 1200
_SHOWN = 40


class Reader:
    """One text on its way to an expression: the names met so far and the nodes spent."""

    def __init__(
        self,
        text: object,
        variables: list[sp.Symbol] | None,
        constants: list[sp.Symbol],
        scale: int = 1,
    ) -> None:
        self.text = scan(text, scale)
        self.most_nodes, self.most_digits = MAX_NODES * scale, MAX_DIGITS * scale
        self.lead = len(self.text) - len(self.text.lstrip())
        self.real = Construction(scale)
        self.discovers = variables is None
        self.symbols = {symbol.name: symbol for symbol in (variables or [])}
        for symbol in constants:
            if symbol.name in self.symbols:
                raise ExpressionError(f"{symbol.name!r} is declared both a variable and a positive constant")
            self.symbols[symbol.name] = symbol
        self.indices: dict[str, int] = {}
        self.index_names: set[str] = set()
        self.nodes = 0

    def read(self) -> sp.Expr:
        """The expression of the whole text."""
        try:
            tree = ast.parse(self.text.strip(), mode="eval").body
        except SyntaxError as error:
            # The grammar counts the end of the text as the start of a second line.
            column = self.lead + error.offset if error.offset and error.lineno == 1 else len(self.text) + 1
            raise ExpressionError(f"not an expression: {error.msg}", column) from None
        except (ValueError, MemoryError, RecursionError):
            raise ExpressionError(
                f"not an expression, or nested deeper than the limit of {MAX_DEPTH}"
            ) from None
        return self.value(tree, 1)

    def value(self, node: ast.expr, depth: int) -> sp.Expr:
        """The node as an expression."""
        self.enter(node, depth)
        with self.located(node):
            return self.arithmetic(node, depth)

    @contextmanager
    def located(self, node: ast.expr) -> Iterator[None]:
        """Every error that leaves says where."""
        try:
            yield
        except OutsideDomain as error:
            raise self.error(node, f"{self.shown(node)} is not finite and real: {error}") from None
        except ExpressionError as error:
            if error.column is None:
                raise self.error(node, str(error)) from None
            raise

    def arithmetic(self, node: ast.expr, depth: int) -> sp.Expr:
        match node:
            case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
                return self.number(node)
            case ast.Name(id=name):
                return self.name(node, name)
            case ast.BinOp(op=ast.Add() | ast.Sub()):
                parts = self.chain(node, (ast.Add, ast.Sub), depth)
                return self.real.sum([self.term(operator, part, depth) for operator, part in parts])
            case ast.BinOp(op=ast.Mult() | ast.Div()) | ast.UnaryOp(op=ast.USub()):
                return self.real.product(self.factors(node, depth))
            case ast.BinOp(left=base, op=ast.Pow(), right=exponent):
                return self.real.power(self.value(base, depth + 1), self.value(exponent, depth + 1))
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return self.value(operand, depth + 1)
            case ast.Call(func=ast.Name(id=name)):
                return self.call(node, name, depth)
            case ast.Subscript(value=ast.Name(id=name), slice=index):
                return self.element(node, name, index, depth)
        self.refuse(node)

    def number(self, node: ast.expr) -> sp.Expr:
        literal = NUMBER.match(self.text, self.lead + node.col_offset)
        assert literal is not None
        fraction = rational_of(literal.group(), self.most_digits)
        return self.real.admit(sp.Rational(fraction.numerator, fraction.denominator))

    def name(self, node: ast.expr, name: str) -> sp.Expr:
        if name in self.indices:
            return sp.Integer(self.indices[name])
        if name in CONSTANTS:
            return CONSTANTS[name]
        if name in NOT_REAL:
            raise OutsideDomain(f"{name} is no real number")
        if name in RESERVED:
            raise self.error(node, f"{name} is a function: write {name}(...)")
        if name not in self.symbols:
            if not self.discovers:
                known = ", ".join([*self.symbols, *self.indices, *CONSTANTS])
                raise self.error(node, f"unknown name {name!r}; known names: {known}")
            if name in self.index_names:
                raise self.error(
                    node, f"{name!r} is the index of a sum or product and cannot be a variable too"
                )
            self.symbols[name] = sp.Symbol(name, real=True)
        return self.symbols[name]

    def chain(
        self, node: ast.expr, operators: tuple[type[ast.operator], ...], depth: int
    ) -> list[tuple[ast.operator | None, ast.expr]]:
        """The operands of a + b - c, each with the operator before it, read in a loop: long sums are not deep."""
        found: list[tuple[ast.operator | None, ast.expr]] = []
        while isinstance(node, ast.BinOp) and isinstance(node.op, operators):
            found.append((node.op, node.right))
            node = node.left
            self.enter(node, depth)
        return [(None, node), *reversed(found)]

    def term(self, operator: ast.operator | None, node: ast.expr, depth: int) -> sp.Expr:
        value = self.value(node, depth + 1)
        return self.real.product([sp.S.NegativeOne, value]) if isinstance(operator, ast.Sub) else value

    def factors(self, node: ast.expr, depth: int, inverse: bool = False) -> list[sp.Expr]:
        """The factors of a*b/c, with those of a product in a denominator one by one, as SymPy prints them."""
        (_, first), *rest = self.chain(node, (ast.Mult, ast.Div), depth)
        factors = []
        if isinstance(first, ast.UnaryOp) and isinstance(first.op, ast.USub):
            # -(x + y)*z is a product of three, in which SymPy does not distribute the sign.
            factors, first = [sp.S.NegativeOne], first.operand
        factors.append(self.factor(first, depth, inverse))
        for operator, part in rest:
            divides = isinstance(operator, ast.Div)
            if divides and isinstance(part, ast.BinOp) and isinstance(part.op, ast.Mult | ast.Div):
                self.enter(part, depth + 1)
                factors += self.factors(part, depth + 1, not inverse)
            else:
                factors.append(self.factor(part, depth, inverse != divides))
        return factors

    def factor(self, node: ast.expr, depth: int, inverse: bool) -> sp.Expr:
        value = self.value(node, depth + 1)
        return self.real.reciprocal(value) if inverse else value

    def call(self, node: ast.Call, name: str, depth: int) -> sp.Expr:
        if node.keywords or any(isinstance(arg, ast.Starred) for arg in node.args):
            raise self.error(node, f"{name} takes plain arguments only")
        if name == "Piecewise":
            return self.real.piecewise([self.branch(arg, depth + 1) for arg in node.args])
        if name in SERIES:
            return self.series(node, name, depth)
        if name not in FUNCTIONS:
            if name in self.symbols or name in CONSTANTS or name in self.indices:
                raise self.error(node, f"{name!r} is no function: write {name}*(...) for a product")
            known = ", ".join([*FUNCTIONS, "Piecewise", *SERIES])
            raise self.error(node, f"unknown function {name!r}; known functions: {known}")
        least, most, build = FUNCTIONS[name]
        if len(node.args) < least or (most is not None and len(node.args) > most):
            wanted = (
                f"{least} or more" if most is None else str(least) if least == most else f"{least} to {most}"
            )
            raise self.error(node, f"{name} takes {wanted} argument(s), not {len(node.args)}")
        return build(self.real, *[self.value(arg, depth + 1) for arg in node.args])

    def series(self, node: ast.Call, name: str, depth: int) -> sp.Expr:
        """A sum or product written out; the index is a number inside it and unknown outside."""
        match node.args:
            case [body, ast.Tuple(elts=[ast.Name(id=index), first, last])]:
                pass
            case _:
                raise self.error(node, f"write {name}(expression, (index, first, last))")
        if index in self.symbols or index in self.indices or index in RESERVED:
            raise self.error(node, f"the index {index!r} of {name} is a name in use already")
        low, high = (self.integer(bound, f"a bound of {name}", depth + 1) for bound in (first, last))
        if high < low - 1:
            raise self.error(node, f"{name} from {low} to {high} runs backwards")
        if high - low >= self.most_nodes:
            raise self.error(node, f"{name} has {high - low + 1} terms: the limit is {self.most_nodes} nodes")
        self.index_names.add(index)
        terms = []
        for self.indices[index] in range(low, high + 1):
            terms.append(self.value(body, depth + 1))
        self.indices.pop(index, None)
        return SERIES[name](self.real, terms)

    def integer(self, node: ast.expr, role: str, depth: int) -> int:
        value = self.value(node, depth)
        if not value.is_Integer:
            raise self.error(node, f"{role} must be an integer, not {str(value)[:_SHOWN]}")
        return int(value)

    def element(self, node: ast.expr, name: str, index: ast.expr, depth: int) -> sp.Expr:
        """x[3] is the name x3."""
        number = self.integer(index, "an index", depth + 1)
        if number < 0 or name[-1].isdigit() or name in RESERVED or name in self.indices:
            rule = "the name before the brackets must not end in a digit, and the index not be negative"
            raise self.error(node, f"{name}[{number}] is no variable: {rule}")
        full = f"{name}{number}"
        check_name(full, self.lead + node.col_offset + 1)
        return self.name(node, full)

    def branch(self, node: ast.expr, depth: int) -> tuple[sp.Expr, Boolean]:
        match node:
            case ast.Tuple(elts=[value, condition]):
                return self.value(value, depth), self.condition(condition, depth)
        raise self.error(node, "write Piecewise((value, condition), ..., (value, True))")

    def condition(self, node: ast.expr, depth: int) -> Boolean:
        """A comparison or a combination of them, as it stands in a Piecewise."""
        self.enter(node, depth)
        with self.located(node):
            return self.logic(node, depth)

    def logic(self, node: ast.expr, depth: int) -> Boolean:
        match node:
            case ast.Constant(value=bool() as value):
                return sp.true if value else sp.false
            case ast.Compare(left=left, ops=ops, comparators=rest):
                values = [self.value(side, depth + 1) for side in (left, *rest)]
                kinds = [RELATIONS.get(type(op)) or self.refuse(node) for op in ops]
                links = [
                    self.real.relation(kind, *pair)
                    for kind, *pair in zip(kinds, values, values[1:], strict=False)
                ]
                return self.real.junction(sp.And, links)
            case ast.Call(func=ast.Name(id=name), args=[left, right], keywords=[]) if name in NAMED_RELATIONS:
                sides = self.value(left, depth + 1), self.value(right, depth + 1)
                return self.real.relation(NAMED_RELATIONS[name], *sides)
            case ast.BoolOp(op=op, values=parts):
                kind = sp.And if isinstance(op, ast.And) else sp.Or
                return self.real.junction(kind, [self.condition(part, depth + 1) for part in parts])
            case ast.BinOp(op=ast.BitAnd() | ast.BitOr() as op):
                kind = sp.And if isinstance(op, ast.BitAnd) else sp.Or
                parts = [part for _, part in self.chain(node, (type(op),), depth)]
                return self.real.junction(kind, [self.condition(part, depth + 1) for part in parts])
            case ast.UnaryOp(op=ast.Not() | ast.Invert(), operand=operand):
                return self.real.negation(self.condition(operand, depth + 1))
        raise self.error(node, f"{self.shown(node)} is no condition: compare two expressions, or write True")

    def enter(self, node: ast.expr, depth: int) -> None:
        self.nodes += 1
        if self.nodes > self.most_nodes:
            raise self.error(node, f"more than {self.most_nodes} nodes, with sums and products written out")
        if depth > MAX_DEPTH:
            raise self.error(node, f"nested deeper than the limit of {MAX_DEPTH}")

    def refuse(self, node: ast.expr) -> NoReturn:
        match node:
            case ast.Compare() | ast.BoolOp() | ast.UnaryOp(op=ast.Not()) | ast.Constant(value=bool()):
                reason = "a condition, which belongs inside Piecewise"
            case ast.BinOp(op=ast.BitAnd() | ast.BitOr()) | ast.UnaryOp(op=ast.Invert()):
                reason = "joins conditions inside Piecewise; put each comparison in parentheses"
            case ast.Tuple() | ast.List():
                reason = "a list of expressions where one is expected"
            case ast.Call():
                reason = "a call of something that is not a name"
            case _:
                reason = "not part of the notation for expressions"
        raise self.error(node, f"{self.shown(node)}: {reason}")

    def error(self, node: ast.expr, message: str) -> ExpressionError:
        return ExpressionError(message, self.lead + node.col_offset + 1)

    def shown(self, node: ast.expr) -> str:
        """The piece of the text that the node comes from, shortened."""
        end = self.lead + (node.end_col_offset or 0)
        piece = " ".join(self.text[self.lead + node.col_offset : end].split())
        return piece if len(piece) <= _SHOWN else f"{piece[: _SHOWN - 3]}..."
