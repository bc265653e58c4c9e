"""The names that a cell uses and those that it makes, read from its source."""

from __future__ import annotations

import builtins
import symtable
from collections.abc import Iterator

# What IPython puts into every notebook's namespace.
ALWAYS_THERE = frozenset(dir(builtins)) | {
    "display",
    "get_ipython",
    "In",
    "Out",
    "exit",
    "quit",
    "_",
    "__name__",
    "__file__",
}


def names_made(source: str) -> frozenset[str]:
    """Return the names that running a cell binds in the notebook's namespace."""
    return frozenset(
        symbol.get_name()
        for table in _tables(symtable.symtable(source, "<cell>", "exec"))
        for symbol in table.get_symbols()
        if _binds(symbol) and (table.get_type() == "module" or symbol.is_declared_global())
    )


def names_used(source: str) -> frozenset[str]:
    """Return the names that a cell takes from the notebook's namespace: neither its own nor Python's nor IPython's."""
    top, *inner = _tables(symtable.symtable(source, "<cell>", "exec"))
    used = {symbol.get_name() for symbol in top.get_symbols() if symbol.is_referenced()}
    for table in inner:
        used |= {symbol.get_name() for symbol in table.get_symbols() if symbol.is_referenced() and _is_outer(symbol)}
    return frozenset(used) - names_made(source) - ALWAYS_THERE


def _tables(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    """Yield a table and those of the scopes inside it."""
    yield table
    for child in table.get_children():
        yield from _tables(child)


def _is_outer(symbol: symtable.Symbol) -> bool:
    """Whether an inner scope takes the name from the notebook."""
    # Python 3.11 says of what a function called `top` binds that it is both.
    return symbol.is_global() and not symbol.is_local()


def _binds(symbol: symtable.Symbol) -> bool:
    """Whether the scope gives the name a value."""
    return symbol.is_assigned() or symbol.is_imported()
