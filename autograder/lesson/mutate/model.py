"""What a mutant is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a mutant changes."""

    COMPARISON = "comparison"
    ARITHMETIC = "arithmetic"
    BOOLEAN = "boolean"
    CONSTANT = "constant"
    RETURN = "return"
    STATEMENT = "statement"
    EXCEPTION = "exception"
    AWAIT = "await"
    LOOP = "loop"
    CONTEXT = "context"
    CALL = "call"
    # Of SQL alone.
    JOIN = "join"
    PREDICATE = "predicate"
    GROUPING = "grouping"
    ORDER = "order"
    LIMIT = "limit"
    LOCK = "lock"


@dataclass(frozen=True, slots=True)
class Mutant:
    """A cell with one change: the source, the line (from 1) in the cell, and that line before and after."""

    kind: Kind
    line: int
    before: str
    after: str
    source: str
