"""Small changes of Python code."""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from autograder.lesson.mutate.model import Kind, Mutant
from autograder.lesson.mutate.sql import edits, is_sql
from autograder.lesson.source import SOLUTION_BEGIN, SOLUTION_END


@dataclass(frozen=True, slots=True)
class Change:
    """Another node in the place of one.

    Where the change is in a string of several lines: how many lines below its first, and that line before and after.
    """

    kind: Kind
    node: ast.AST
    below: int = 0
    lines: tuple[str, str] | None = None


# An operator yields changes of one node.
Operator = Callable[[ast.AST], Iterator[Change]]

COMPARISONS: Mapping[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
ARITHMETIC: Mapping[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Div,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitAnd,
    ast.MatMult: ast.Mult,
}
NAMES = {"min": "max", "max": "min", "any": "all", "all": "any"}
METHODS = {"pop": "popleft", "popleft": "pop"}
# Assigning a call of these defines a type, and the module's public names are for linters.
TYPE_MAKERS = {"TypeVar", "ParamSpec", "TypeVarTuple", "NewType", "Protocol"}
ERROR_ENDINGS = ("Error", "Exception", "ExceptionGroup", "Warning")
FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef
DECLARATIONS = {"__all__", "__slots__", "__match_args__"}


def mutants(source: str) -> list[Mutant]:
    """Return the mutants of a solution cell: of what stands between its markers, or of all where it has none.

    They come in the order of the lines, without duplicates and without the cell itself. Left as they are: docstrings,
    annotations, statements that only a type checker or a linter reads, the wording of errors, and test functions.
    """
    tree = _parse(source)
    lines = _answer_lines(source)
    original = ast.unparse(tree)
    seen = {original}
    made = []
    for place in _places(tree):
        if place.line not in lines:
            continue
        for operator in OPERATORS:
            for change in operator(place.node):
                mutant = _apply(tree, place, change)
                if mutant is not None and mutant.source not in seen:
                    seen.add(mutant.source)
                    made.append(mutant)
    return sorted(made, key=lambda mutant: mutant.line)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a node stands: the field of its parent, the index in it (None where it isn't a list), its statement."""

    node: ast.AST
    parent: ast.AST
    field: str
    index: int | None
    statement: ast.stmt | ast.excepthandler

    @property
    def line(self) -> int:
        """The line that the node begins on, its statement's where it has none of its own."""
        return int(getattr(self.node, "lineno", self.statement.lineno))

    def put(self, node: ast.AST) -> None:
        """Put another node here."""
        if self.index is None:
            setattr(self.parent, self.field, node)
        else:
            getattr(self.parent, self.field)[self.index] = node


def _parse(source: str) -> ast.Module:
    """Return the tree of a cell; top-level await is allowed."""
    tree = compile(source, "<cell>", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    assert isinstance(tree, ast.Module)
    return tree


def _answer_lines(source: str) -> frozenset[int]:
    """Return the numbers of the lines that the learner writes."""
    inside = not SOLUTION_BEGIN.search(source)
    numbers = set()
    for number, line in enumerate(source.splitlines(), start=1):
        if SOLUTION_BEGIN.match(line):
            inside = True
        elif SOLUTION_END.match(line):
            inside = False
        elif inside:
            numbers.add(number)
    return frozenset(numbers)


def _places(tree: ast.Module) -> Iterator[_Place]:
    """Yield the places of the tree in order, without those that no test could judge."""
    for index, statement in enumerate(tree.body):
        yield from _walk(_Place(statement, tree, "body", index, statement))


def _walk(place: _Place) -> Iterator[_Place]:
    """Yield a place and those below it."""
    if _not_behaviour(place):
        return
    yield place
    for field, value in ast.iter_fields(place.node):
        if field in _skipped_fields(place.node):
            continue
        for index, child in enumerate(value) if isinstance(value, list) else ((None, value),):
            if isinstance(child, ast.AST):
                own = isinstance(child, ast.stmt | ast.excepthandler)
                yield from _walk(_Place(child, place.node, field, index, child if own else place.statement))  # type: ignore[arg-type]


def _not_behaviour(place: _Place) -> bool:
    """Whether a node says nothing that running it could show."""
    match place.node:
        case ast.Import() | ast.ImportFrom() | ast.Pass() | ast.Global() | ast.Nonlocal():
            return True
        case ast.AnnAssign(value=None) | ast.AnnAssign(annotation=ast.Name(id="TypeAlias")):
            return True
        case ast.Expr(value=ast.Constant()):
            return True
        case ast.Assign(targets=[ast.Name(id=name)]) if name in DECLARATIONS:
            return True
        case ast.Assign(value=ast.Call(func=ast.Name(id=maker))) if maker in TYPE_MAKERS:
            return True
        case ast.If(test=ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING")):
            return True
        case ast.FunctionDef() | ast.AsyncFunctionDef() as function:
            # Tests that are the answer are judged by what they notice, which is what their own check measures.
            return function.name.startswith("test_") or any(
                _name(decorator) == "overload" for decorator in function.decorator_list
            )
        case ast.Constant(value=str()) | ast.JoinedStr() if isinstance(place.parent, ast.Call):
            return _name(place.parent).endswith(ERROR_ENDINGS)
        case ast.Return() as last if last.value is None or _is_none(last.value):
            # At a function's end it says what happens anyway.
            return isinstance(place.parent, FUNCTIONS) and place.parent.body[-1] is last
        case ast.keyword(arg="slots"):
            return True
    return type(place.node).__name__ == "TypeAlias"


def _skipped_fields(node: ast.AST) -> tuple[str, ...]:
    """Return the fields of a node that hold annotations or wording."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            return ("returns", "type_params")
        case ast.ClassDef():
            return ("bases", "type_params")
        case ast.arg() | ast.AnnAssign():
            return ("annotation", "target")
        case ast.Call(func=function) if _name(function) == "cast":
            return ("func", "args")
        case ast.Raise() | ast.ExceptHandler():
            # What is raised and caught is changed as a whole; the words of an error are for people.
            return ("exc", "cause", "type")
        case ast.Assert():
            return ("msg",)
        case ast.FormattedValue():
            return ("format_spec",)
    return ()


def _name(node: ast.expr) -> str:
    """Return the last part of a name, also of one that is called; "" for anything else."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Call(func=function):
            return _name(function)
    return ""


def _apply(tree: ast.Module, place: _Place, change: Change) -> Mutant | None:
    """Return the mutant of one change; the tree is left as it was. None where the result isn't Python."""
    before = _line(place.statement)
    statement = place.statement if place.node is not place.statement else None
    place.put(change.node)
    try:
        source = ast.unparse(ast.fix_missing_locations(tree))
        after = _line(statement or change.node)
    finally:
        place.put(place.node)
    try:
        _parse(source)
    except SyntaxError:
        return None
    before, after = change.lines or (before, after)
    return Mutant(change.kind, place.line + change.below, before, after, source)


def _line(node: ast.AST) -> str:
    """Return a statement as one line: the header where it is a compound one."""
    if isinstance(node, ast.ExceptHandler):
        lines = ast.unparse(ast.Try(body=[ast.Pass()], handlers=[node], orelse=[], finalbody=[])).splitlines()[2:]
        # A handler that does no more than raise again is told by its body.
        return " ".join(line.strip() for line in lines) if _reraises(node) else lines[0].strip()
    lines = ast.unparse(node).splitlines()
    return next(line for line in lines if not line.startswith("@")).strip()


def _compare(node: ast.AST) -> Iterator[Change]:
    """`<` ↔ `<=`, `==` ↔ `!=`, `is` ↔ `is not`, `in` ↔ `not in`."""
    if isinstance(node, ast.Compare):
        for index, operator in enumerate(node.ops):
            operators = [*node.ops]
            operators[index] = COMPARISONS[type(operator)]()
            yield Change(Kind.COMPARISON, ast.Compare(node.left, operators, node.comparators))


def _calculate(node: ast.AST) -> Iterator[Change]:
    """`+` ↔ `-`, `*` ↔ `/` and so on, also in `+=`; a sign is dropped."""
    match node:
        case ast.BinOp(left, operator, right):
            yield Change(Kind.ARITHMETIC, ast.BinOp(left, ARITHMETIC[type(operator)](), right))
        case ast.AugAssign(target, operator, value):
            yield Change(Kind.ARITHMETIC, ast.AugAssign(target, ARITHMETIC[type(operator)](), value))
        case ast.UnaryOp(ast.USub() | ast.Invert(), operand):
            yield Change(Kind.ARITHMETIC, operand)


def _decide(node: ast.AST) -> Iterator[Change]:
    """`and` ↔ `or`, `not` dropped, a condition that isn't a comparison turned round."""
    match node:
        case ast.BoolOp(ast.And(), values):
            yield Change(Kind.BOOLEAN, ast.BoolOp(ast.Or(), values))
        case ast.BoolOp(ast.Or(), values):
            yield Change(Kind.BOOLEAN, ast.BoolOp(ast.And(), values))
        case ast.UnaryOp(ast.Not(), operand):
            yield Change(Kind.BOOLEAN, operand)
        case ast.If() | ast.While() | ast.IfExp() if _plain(node.test):
            yield Change(Kind.BOOLEAN, _with(node, test=_not(node.test)))
        case ast.comprehension():
            for index, test in enumerate(node.ifs):
                if _plain(test):
                    tests = [*node.ifs]
                    tests[index] = _not(test)
                    yield Change(Kind.BOOLEAN, _with(node, ifs=tests))


def _constant(node: ast.AST) -> Iterator[Change]:
    """A number is one more, `True` ↔ `False`, a string has something added (an empty one is no longer empty)."""
    match node:
        case ast.Constant(value=bool() as value):
            yield Change(Kind.CONSTANT, ast.Constant(not value))
        case ast.Constant(value=int() | float() | complex() as value):
            yield Change(Kind.CONSTANT, ast.Constant(value + 1))
        case ast.Constant(value=str() as value) if not is_sql(value):
            yield Change(Kind.CONSTANT, ast.Constant(f"{value}XX"))
        case ast.Constant(value=bytes() as value):
            yield Change(Kind.CONSTANT, ast.Constant(value + b"XX"))


def _return(node: ast.AST) -> Iterator[Change]:
    """What is returned or yielded is None."""
    match node:
        case ast.Return(value=ast.expr() as value) if not _is_none(value):
            yield Change(Kind.RETURN, ast.Return(ast.Constant(None)))
        case ast.Yield(value=ast.expr() as value) if not _is_none(value):
            yield Change(Kind.RETURN, ast.Yield(ast.Constant(None)))


def _delete(node: ast.AST) -> Iterator[Change]:
    """A simple statement isn't there."""
    if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign | ast.Delete | ast.Assert | ast.Expr) or (
        isinstance(node, ast.Return) and (node.value is None or _is_none(node.value))
    ):
        yield Change(Kind.STATEMENT, ast.Pass())


def _except(node: ast.AST) -> Iterator[Change]:
    """Another type is raised, or nothing; more is caught, or less, or nothing."""
    match node:
        case ast.Raise(exc=None):
            yield Change(Kind.EXCEPTION, ast.Pass())
        case ast.Raise(exc=ast.expr() as raised, cause=cause):
            yield Change(Kind.EXCEPTION, ast.Pass())
            other = "ValueError" if _name(raised) == "RuntimeError" else "RuntimeError"
            arguments = raised.args if isinstance(raised, ast.Call) else []
            yield Change(Kind.EXCEPTION, ast.Raise(ast.Call(ast.Name(other), arguments, []), cause))
        case ast.ExceptHandler(type=caught):
            if not _reraises(node):
                yield Change(Kind.EXCEPTION, _with(node, body=[ast.Raise(None, None)]))
            broad = caught is None or _name(caught) == "BaseException"
            wider = ast.Name("Exception" if broad else "BaseException")
            yield Change(Kind.EXCEPTION, _with(node, type=wider))
            if isinstance(caught, ast.Tuple) and len(caught.elts) > 1:
                for index in range(len(caught.elts)):
                    fewer = ast.Tuple(caught.elts[:index] + caught.elts[index + 1 :], ast.Load())
                    yield Change(Kind.EXCEPTION, _with(node, type=fewer))


def _await(node: ast.AST) -> Iterator[Change]:
    """Nothing is awaited: the coroutine stands there unused, or its object is taken for its result."""
    if isinstance(node, ast.Await):
        yield Change(Kind.AWAIT, node.value)


def _loop(node: ast.AST) -> Iterator[Change]:
    """`break` ↔ `continue`; a range ends one earlier or later."""
    match node:
        case ast.Break():
            yield Change(Kind.LOOP, ast.Continue())
        case ast.Continue():
            yield Change(Kind.LOOP, ast.Break())
        case ast.Call(func=ast.Name(id="range"), args=arguments) if arguments:
            end = 0 if len(arguments) == 1 else 1
            # One later is what the constant's own mutant is.
            operators: list[ast.operator] = (
                [ast.Sub()] if isinstance(arguments[end], ast.Constant) else [ast.Add(), ast.Sub()]
            )
            for operator in operators:
                moved: list[ast.expr] = [*arguments]
                moved[end] = ast.BinOp(arguments[end], operator, ast.Constant(1))
                yield Change(Kind.LOOP, ast.Call(node.func, moved, []))


def _context(node: ast.AST) -> Iterator[Change]:
    """A block runs without the context manager that guards it."""
    if isinstance(node, ast.With | ast.AsyncWith):
        for index, item in enumerate(node.items):
            if item.optional_vars is None:
                rest = node.items[:index] + node.items[index + 1 :]
                bare = _with(node, items=rest) if rest else ast.If(ast.Constant(True), node.body, [])
                yield Change(Kind.CONTEXT, bare)


def _call(node: ast.AST) -> Iterator[Change]:
    """`min` ↔ `max`, `any` ↔ `all`, one end of a queue for the other; an argument by keyword is left out."""
    match node:
        case ast.Call(func=ast.Name(id=name)) if name in NAMES:
            yield Change(Kind.CALL, _with(node, func=ast.Name(NAMES[name])))
        case ast.Call(func=ast.Attribute(value=value, attr=method), args=[]) if method in METHODS:
            yield Change(Kind.CALL, _with(node, func=ast.Attribute(value, METHODS[method], ast.Load())))
    if isinstance(node, ast.Call):
        for index, keyword in enumerate(node.keywords):
            if keyword.arg != "slots":
                yield Change(Kind.CALL, _with(node, keywords=node.keywords[:index] + node.keywords[index + 1 :]))


def _sql(node: ast.AST) -> Iterator[Change]:
    """A statement in a string is changed as its own language has it."""
    match node:
        case ast.Constant(value=str() as value) if is_sql(value):
            # Where the string is written as it reads, its lines are the cell's.
            written = node.end_lineno is not None and node.end_lineno - node.lineno == value.count("\n")
            for edit in edits(value):
                changed = edit.apply(value)
                first = value.rfind("\n", 0, edit.start) + 1
                last = value.find("\n", edit.end) % (len(value) + 1)
                before = value[first:last]
                after = changed[first : last + len(changed) - len(value)]
                below = value.count("\n", 0, edit.start) if written else 0
                yield Change(edit.kind, ast.Constant(changed), below, (_one_line(before), _one_line(after)))


def _one_line(text: str) -> str:
    """Return a text with single spaces and no ends of lines, as a waiver names it."""
    return " ".join(text.split())


OPERATORS: tuple[Operator, ...] = (
    _compare,
    _calculate,
    _decide,
    _constant,
    _return,
    _delete,
    _except,
    _await,
    _loop,
    _context,
    _call,
    _sql,
)


def _with(node: ast.AST, **fields: object) -> ast.AST:
    """Return a copy of a node with other fields."""
    other = copy.copy(node)
    for name, value in fields.items():
        setattr(other, name, value)
    return other


def _not(test: ast.expr) -> ast.expr:
    """Return the opposite of a condition."""
    return ast.UnaryOp(ast.Not(), test)


def _reraises(handler: ast.ExceptHandler) -> bool:
    """Whether an except clause does no more than raise again what it has caught."""
    return len(handler.body) == 1 and isinstance(handler.body[0], ast.Raise) and handler.body[0].exc is None


def _plain(test: ast.expr) -> bool:
    """Whether a condition has no operator of its own that another change turns round."""
    return not isinstance(test, ast.Compare | ast.BoolOp | ast.Constant) and not (
        isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)
    )


def _is_none(node: ast.expr) -> bool:
    """Whether an expression is the constant None."""
    return isinstance(node, ast.Constant) and node.value is None
