"""Notices that code of a submission has replaced what checks are run with."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from itertools import chain
from operator import is_, itemgetter
from types import CellType, FunctionType, ModuleType

# With everything below them.
SEALED = ("builtins", "json", "ast", "inspect", "contextlib", "threading", "pluggy", "pytest", "_pytest", "autograder")
SEALED_TOO = ("anyio.pytest_plugin", "anyio._backends._asyncio")
# What classes get while they are used.
GROWN = frozenset({"__abstractmethods__", "_abc_impl", "__annotations__", "__match_args__", "__parameters__"})

# The functions below look names up here: what a notebook puts into `builtins` doesn't reach them.
globals()["__builtins__"] = vars(builtins).copy()


def seal() -> Callable[[], list[str]]:
    """Note what the machinery is now; return a function that names what has been replaced since.

    Nothing but that function's own closure holds what was noted: no module, no object that a list of all classes
    leads to. It can still be found by code that looks through all of memory, which `watch` tells of.
    """
    modules = {name: module for name, module in list(sys.modules.items()) if _sealed(name) and module is not None}
    tables = [(name, vars(module), _callables(vars(module))) for name, module in modules.items()]
    classes = {id(kind): kind for _, _, table in tables for kind in table.values() if _own_class(kind)}
    bodies = [(kind, dict(vars(kind))) for kind in classes.values() if isinstance(kind, type)]
    cells = [(function.__qualname__, *pair) for function in _functions(tables, bodies) for pair in _cells(function)]
    public = frozenset(name for name in vars(builtins) if name[0] != "_")
    # What a module's names mean is asked for at once, those first whose meaning is compared.
    names = [frozenset(now) for _, now, _ in tables]
    meanings = [itemgetter(*noted, *(known - noted.keys())) for (_, _, noted), known in zip(tables, names, strict=True)]
    loaded = sys.modules
    # Of all classes together, since one by one takes several times as long.
    keys = [vars(kind).keys() for kind, _ in bodies]
    values = [vars(kind).values() for kind, _ in bodies]
    lengths, noted_keys, noted_values = list(map(len, keys)), list(chain(*keys)), list(chain(*values))
    own = [(table, dict(table)) for table in (globals(), globals()["__builtins__"])]
    kind_of, text = type, str

    # It looks at some ten thousand names around every check.
    def changed() -> list[str]:
        # First what it uses itself, of which it must use nothing for that.
        for now, noted in own:
            for name in now:
                # A name of another class could claim to be whichever it is compared with.
                if kind_of(name) is not text or name not in noted or now[name] is not noted[name]:
                    return [f"{__name__}.{name}"]
        found = [name for name, module in modules.items() if loaded.get(name) is not module]
        for (module, now, noted), known, meaning in zip(tables, names, meanings, strict=True):
            if not (len(now) == len(known) and _means(now, meaning, noted)):
                wrong = [*_replaced(now, noted), *_hiding(now, public - known)]
                found += [f"{module}.{name}" for name in wrong]
        if not (list(map(len, keys)) == lengths and _same(keys, noted_keys) and _same(values, noted_values)):
            for kind, body in bodies:
                inside = vars(kind)
                wrong = [*_replaced(inside, body), *(inside.keys() - body.keys() - GROWN)]
                found += [f"{kind.__qualname__}.{name}" for name in wrong]
        return found + [name for name, cell, content in cells if _content(cell) is not content]

    return changed


def _same(now: Iterable[Iterable[object]], noted: Sequence[object]) -> bool:
    """Whether these hold the very same objects as were noted."""
    return all(map(is_, chain.from_iterable(now), noted))


def _means(
    now: Mapping[str, object], meaning: Callable[[Mapping[str, object]], Iterable[object]], noted: Mapping[str, object]
) -> bool:
    """Whether all names that `meaning` asks for are there, and the noted ones, which come first, mean what they did."""
    try:
        return all(map(is_, meaning(now), noted.values()))
    except KeyError:
        return False


def _replaced(now: Mapping[str, object], noted: Mapping[str, object]) -> list[str]:
    """Return the noted names that now mean something else. Nothing is asked whether it is equal: it could lie."""
    if all(map(is_, map(now.get, noted), noted.values())):
        return []
    return [name for name, value in noted.items() if now.get(name) is not value]


def _hiding(now: Mapping[str, object], free: Set[str]) -> list[str]:
    """Return the names that hide one of the built-in names that were `free`; one of another class could claim to."""
    return [name if type(name) is str else "?" for name in now if type(name) is not str or name in free]


def _sealed(name: str) -> bool:
    """Whether a module of this name is part of the machinery."""
    return name.partition(".")[0] in SEALED or name in SEALED_TOO


def _callables(table: Mapping[str, object]) -> dict[str, object]:
    """Return what can be called of a module's names: other values may change as it works."""
    return {name: value for name, value in table.items() if callable(value) or isinstance(value, ModuleType)}


def _own_class(value: object) -> bool:
    """Whether this is a class of the machinery whose body can be changed."""
    return isinstance(value, type) and _sealed(str(value.__module__)) and value.__module__ != "builtins"


def _functions(
    tables: list[tuple[str, dict[str, object], dict[str, object]]], bodies: list[tuple[type, dict[str, object]]]
) -> Iterator[FunctionType]:
    """Yield the functions of modules and classes."""
    for table in (*(noted for _, _, noted in tables), *(body for _, body in bodies)):
        for value in table.values():
            function = getattr(value, "__func__", value)
            if isinstance(function, FunctionType):
                yield function


def _cells(function: FunctionType) -> Iterator[tuple[CellType, object]]:
    """Yield what a function has closed over."""
    for cell in function.__closure__ or ():
        yield cell, _content(cell)


def _content(cell: CellType) -> object:
    """Return what a cell of a closure holds, None where it is empty."""
    try:
        return cell.cell_contents
    except ValueError:
        return None
