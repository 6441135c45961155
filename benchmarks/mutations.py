"""The small changes of a source text that ``mutants`` makes, each of which a test should catch.

A mutation replaces the text of one node of the syntax tree, and the rest of the file stays as it is. Annotations,
decorators, text, f-strings and ``TYPE_CHECKING`` blocks are left alone.
"""

from __future__ import annotations

import ast
import random
from collections.abc import Iterable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass

_COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
}
_COUNTERPARTS = {"min": "max", "max": "min", "any": "all", "all": "any"}
# Calls for a type checker, and those that always fail with swapped arguments.
_TYPING = {"cast", "TypeVar", "ParamSpec", "NewType"}
_ORDERED = {"isinstance", "issubclass", "getattr", "setattr", "hasattr"}
_UNSEEN = "not TYPE_CHECKING"  # imports what is there anyway

_Node = ast.expr | ast.stmt
_Change = tuple[_Node, ast.AST]  # a node, and what replaces it


@dataclass(frozen=True, slots=True)
class Mutation:
    """A change of one place.

    Attributes:
        start: the first byte of the source that is replaced.
        end: the one after the last.
        text: what replaces them.
    """

    start: int
    end: int
    text: str

    def apply(self, source: str) -> str:
        """Return the changed source."""
        raw = source.encode()
        return (raw[: self.start] + self.text.encode() + raw[self.end :]).decode()


def places(source: str) -> list[list[Mutation]]:
    """Return the places of a source that can be changed, each with its mutations."""
    starts = [0]
    for line in source.encode().splitlines(keepends=True):
        starts.append(starts[-1] + len(line))

    def offset(line: int | None, column: int | None) -> int:
        if line is None or column is None:
            raise ValueError("the node has no position in the source")
        return starts[line - 1] + column

    found: list[list[Mutation]] = []
    for node in _reachable(ast.parse(source)):
        place: list[Mutation] = []
        for old, new in _changes(node):
            start, end = offset(old.lineno, old.col_offset), offset(old.end_lineno, old.end_col_offset)
            place.append(Mutation(start, end, ast.unparse(ast.fix_missing_locations(new))))
        if place:
            found.append(place)
    return found


def sample(sources: Mapping[str, str], count: int, seed: str) -> list[tuple[str, Mutation]]:
    """Return mutations of different places: the same ones for the same seed and sources.

    Args:
        sources: the text of each file.
        count: how many; all places give one each if there are not as many.
        seed: any text.
    """
    chosen = random.Random(seed)
    every = [(name, place) for name in sorted(sources) for place in places(sources[name])]
    chosen.shuffle(every)
    found: list[tuple[str, Mutation]] = []
    for name, place in every:
        mutation = chosen.choice(place)
        if len(found) == count:
            break
        if mutation.text != _UNSEEN and _is_valid(mutation.apply(sources[name]), sources[name]):
            found.append((name, mutation))
    return found


def _is_valid(changed: str, source: str) -> bool:
    try:
        compile(changed, "mutant", "exec")
    except SyntaxError:
        return False
    return ast.dump(ast.parse(changed)) != ast.dump(ast.parse(source))


# -- where ------------------------------------------------------------------------------------------------------------


def _reachable(node: ast.AST) -> Iterator[ast.AST]:
    for child in _children(node):
        yield child
        yield from _reachable(child)


def _children(node: ast.AST) -> Iterable[ast.AST]:
    """Return the nodes to visit below a node."""
    match node:
        case ast.JoinedStr():  # before Python 3.12 the nodes in it have wrong places
            return []
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return node.orelse
        case ast.Call(func=ast.Name(id=name)) if name in _TYPING:
            return []
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            defaults = [default for default in node.args.kw_defaults if default is not None]
            body: list[ast.AST] = [*node.body]
            if node.name == "__init__":  # a missing attribute is not a subtle fault
                body = [line.value if isinstance(line, ast.Assign) else line for line in node.body]
            return [*node.args.defaults, *defaults, *body]
        case ast.ClassDef():
            return node.body
        case ast.AnnAssign(value=value):
            return [] if value is None else [value]
        case _:
            return ast.iter_child_nodes(node)


# -- what -------------------------------------------------------------------------------------------------------------


def _changes(node: ast.AST) -> Iterator[_Change]:
    match node:
        case ast.Compare():
            for index, operator in enumerate(node.ops):
                for other in _COMPARISONS[type(operator)]:
                    yield node, _with(node, ops=[*node.ops[:index], other(), *node.ops[index + 1 :]])
        case ast.BoolOp(op=operator, values=values):
            yield node, _with(node, op=ast.Or() if isinstance(operator, ast.And) else ast.And())
            for index in range(len(values)):
                rest = [*values[:index], *values[index + 1 :]]
                yield node, rest[0] if len(rest) == 1 else _with(node, values=rest)
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            yield node, operand
        case ast.BinOp(op=operator) if type(operator) in _ARITHMETIC and not _is_sequence(node.left, node.right):
            yield node, _with(node, op=_ARITHMETIC[type(operator)]())
        case ast.Constant(value=bool() as value):
            yield node, ast.Constant(not value)
        case ast.Constant(value=int() | float() as value):
            yield node, ast.Constant(value + 1)
            yield node, ast.Constant(value - 1)
        case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test):
            if not isinstance(test, ast.Compare | ast.BoolOp | ast.UnaryOp | ast.Constant):
                yield test, ast.UnaryOp(ast.Not(), test)
        case ast.Call():
            yield from _changed_calls(node)
        case ast.stmt():
            yield from _changed_statements(node)
        case _:
            pass


def _changed_calls(node: ast.Call) -> Iterator[_Change]:
    name = node.func.id if isinstance(node.func, ast.Name) else ""
    if name in _COUNTERPARTS:
        yield node.func, ast.Name(_COUNTERPARTS[name])
    elif len(node.args) > 1 and name not in _ORDERED:
        first, second, *rest = node.args
        if not isinstance(first, ast.Starred) and not isinstance(second, ast.Starred):
            yield node, _with(node, args=[second, first, *rest])


def _changed_statements(node: ast.stmt) -> Iterator[_Change]:
    match node:
        case ast.Return(value=ast.expr() as value):
            yield value, ast.Constant(None)
        case ast.AugAssign(op=operator):
            yield node, ast.Pass()
            if type(operator) in _ARITHMETIC:
                yield node, _with(node, op=_ARITHMETIC[type(operator)]())
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            yield node, ast.Pass()
        case ast.Expr(value=ast.Call() | ast.Await()) | ast.Raise() | ast.Delete():
            yield node, ast.Pass()
        case ast.Continue():
            yield node, ast.Pass()
            yield node, ast.Break()
        case _:
            pass


def _with(node: ast.AST, **fields: object) -> ast.AST:
    changed = copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


def _is_sequence(*nodes: ast.expr) -> bool:
    return any(
        isinstance(node, ast.JoinedStr | ast.List | ast.Tuple | ast.Dict)
        or (isinstance(node, ast.Constant) and isinstance(node.value, str | bytes))
        for node in nodes
    )
