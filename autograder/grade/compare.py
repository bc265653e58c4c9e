"""Notices answers that say of themselves that they equal whatever a test compares them with."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable, Iterator, Mapping
from types import FunctionType

from autograder.grade.watch import trusted_files

# No name that a program can write.
NAME = "@compared"
METHODS = ("__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__", "__contains__")
# They compare as Python does, and are most of what tests compare, often in loops.
PLAIN = frozenset({bool, int, float, str, bytes, type(None)})
DEPTH = 3
MANY = 100
# Most of a tree, with nothing to compare below them.
LEAVES = frozenset({ast.Name, ast.Constant, ast.Load, ast.Store})

globals()["__builtins__"] = vars(builtins).copy()


class _Fresh:
    """Something that nothing honest equals."""


def compared(tree: ast.Module, tests: dict[str, object], tell: Callable[[str], None]) -> None:
    """Have every operand of a comparison in `tree`, which will be run in `tests`, looked at, those of `is` left out.

    `tell` gets the name of the class of each object that equals anything, or brings a comparison of its own. The tree
    is one whose asserts have been rewritten, so that a failing one is explained as it was written.
    """
    trusted = trusted_files()
    for node in list(_comparisons(tree)):
        if not any(isinstance(operator, ast.Is | ast.IsNot) for operator in node.ops):
            node.left = _wrapped(node.left)
            node.comparators = [_wrapped(operand) for operand in node.comparators]

    def look(value: object) -> object:
        if type(value) in PLAIN:
            return value
        for found in _liars(value, tests, trusted, DEPTH):
            tell(found)
        return value

    tests[NAME] = look


def _comparisons(tree: ast.Module) -> Iterator[ast.Compare]:
    """Yield the comparisons of a tree as `ast.walk` would, in a fifth of its time."""
    todo: list[ast.AST] = [tree]
    for node in todo:
        if isinstance(node, ast.Compare):
            yield node
        elif isinstance(node, ast.If) and _explains(node):
            continue
        # Not all attributes: what writes tracebacks notes a parent in nodes that all trees share.
        for name in node._fields:
            value = getattr(node, name, None)
            if isinstance(value, list):
                todo += [item for item in value if isinstance(item, ast.AST)]
            elif isinstance(value, ast.AST) and type(value) not in LEAVES:
                todo.append(value)


def _explains(node: ast.If) -> bool:
    """Whether pytest has written this to explain an assertion that fails: most of a tree, and it compares nothing."""
    failed = node.test.operand if isinstance(node.test, ast.UnaryOp) else None
    written = isinstance(failed, ast.Name) and failed.id.startswith("@py_assert")
    return written and isinstance(node.body[-1], ast.Raise)


def _wrapped(operand: ast.expr) -> ast.expr:
    """Return an operand that is looked at; what is written out as a constant is the test's own."""
    if isinstance(operand, ast.Constant):
        return operand
    look = ast.copy_location(ast.Name(NAME, ast.Load()), operand)
    return ast.copy_location(ast.Call(look, [operand], []), operand)


def _liars(value: object, tests: Mapping[str, object], trusted: tuple[str, ...], depth: int) -> list[str]:
    """Return what is to be told of a value and of what it holds."""
    kind = type(value)
    if kind in (list, tuple, set, frozenset, dict) and depth:
        inside = [*value, *value.values()] if isinstance(value, dict) else list(value)  # type: ignore[call-overload]
        return [said for item in inside[:MANY] for said in _liars(item, tests, trusted, depth - 1)]
    methods = {name: getattr(kind, name, None) for name in METHODS}
    written = {name: method for name, method in methods.items() if isinstance(method, FunctionType)}
    if not written or any(method.__globals__ is tests for method in written.values()):
        return []
    if _equals_anything(value):
        return [f"{kind.__name__} equals anything"]
    return [
        f"{kind.__name__}.{name}"
        for name, method in written.items()
        # dataclasses and total_ordering write theirs as text.
        if not method.__code__.co_filename.startswith((*trusted, "<string>"))
    ]


def _equals_anything(value: object) -> bool:
    """Whether a value says that it equals an object that was made just now."""
    try:
        return bool(value == _Fresh())
    except Exception:  # arrays, and whatever else compares in a way of its own
        return False
