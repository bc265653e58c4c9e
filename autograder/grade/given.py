"""What a lesson gives that its tests rely on, and words that no answer to it has a reason to use."""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from autograder.grade.model import Master

# Of which is remembered what parsing told: those of a lesson come again with each student.
MOST_SOURCES = 2048

# The machinery by name; `watch` and `seal` notice most of what can be done without naming it.
WORDS = ("ctypes", "_ctypes", "_pytest", "autograder.grade", "vnd.autograder", "addaudithook", "memmove")
NAMED = re.compile("|".join(rf"(?<!\w){re.escape(word)}" for word in WORDS))


@dataclass(frozen=True, slots=True)
class Rules:
    """What a lesson's notebooks may do that others' may not, and what they must not replace."""

    # Names that the lesson's own cells define, its answers don't, and its tests use.
    given: frozenset[str] = frozenset()
    # Names of built-ins that the lesson defines anew.
    hiding: frozenset[str] = frozenset()
    # The lesson's code.
    text: str = ""

    def allows(self, word: str) -> bool:
        """Whether the lesson itself uses a word: then its answers may."""
        return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", self.text) is not None

    def suspicious(self, source: str) -> list[str]:
        """Return the words in a notebook's own cell that name the machinery and that the lesson doesn't use."""
        return sorted({word for word in NAMED.findall(source) if not self.allows(word)})


def rules(master: Master) -> Rules:
    """Return the rules of a lesson."""
    used = {name for cell in master.graded for name in _used(cell.source.partition("\n")[2])}
    answers = {name for cell in master.cells.values() if cell.solution for name in bound(cell.source)}
    shown = {name for source in master.code for name in bound(source)}
    sources = (*master.code, *(cell.source for cell in master.cells.values() if cell.cell_type == "code"))
    return Rules(
        given=frozenset(used & shown - answers),
        hiding=frozenset((answers | shown) & vars(builtins).keys()),
        text="\n".join(sources),
    )


@lru_cache(MOST_SOURCES)
def bound(source: str) -> frozenset[str]:
    """Return the names that a cell binds at its top; none where it isn't Python."""
    return frozenset(name for node in _parsed(source) for name in _bound_by(node))


def _parsed(source: str) -> list[ast.stmt]:
    """Return the statements of a cell, without IPython's own lines."""
    lines = ["" if line.startswith(("%", "!")) else line for line in source.split("\n")]
    try:
        return ast.parse("\n".join(lines)).body
    except (SyntaxError, ValueError):
        return []


def _bound_by(node: ast.stmt) -> Iterator[str]:
    """Yield the names that a statement binds."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            yield node.name
        case ast.Import() | ast.ImportFrom():
            yield from ((alias.asname or alias.name.partition(".")[0]) for alias in node.names)
        case _:
            # The targets of `for` and `with` at the top are names too; those inside of functions don't come here.
            for inner in ast.walk(node):
                match inner:
                    case ast.Name(id=name, ctx=ast.Store()):
                        yield name
                    case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)):
                        yield name


@lru_cache(MOST_SOURCES)
def _used(source: str) -> frozenset[str]:
    """Return the names that a check uses."""
    nodes = (inner for node in _parsed(source) for inner in ast.walk(node))
    return frozenset(node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load))
