"""Mutants that no test can tell from the answer, as a lesson's source lists them with the reason."""

from __future__ import annotations

import re
from dataclasses import dataclass

from autograder.lesson.source import Cell

LINE = re.compile(r"- `(?P<before>[^`]+)` → `(?P<after>[^`]*)`: (?P<reason>\S.*)$")


@dataclass(frozen=True, slots=True)
class Waiver:
    """One line of a `waive` cell; `line` is its number in the lesson's file."""

    line: int
    before: str
    after: str


def waivers_in(cell: Cell | None) -> tuple[list[Waiver], list[int]]:
    """Return the waivers of a cell, and the numbers of the lines that are none."""
    waivers: list[Waiver] = []
    unread: list[int] = []
    for number, text in enumerate(cell.source.splitlines() if cell else (), start=1 + (cell.line if cell else 0)):
        if found := LINE.match(text):
            waivers.append(Waiver(number, found["before"], found["after"]))
        # A reason may go on in the next lines.
        elif text.strip() and not (waivers and text.startswith("  ")):
            unread.append(number)
    return waivers, unread
