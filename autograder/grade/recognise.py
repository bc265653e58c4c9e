"""Tells which lesson a notebook is that was handed in under another name."""

from __future__ import annotations

from collections.abc import Sequence

from autograder.grade.model import Master
from autograder.grade.read import UnreadableError, read_notebook


def recognise(content: bytes, masters: Sequence[Master]) -> str:
    """Return the lesson that a notebook says to be, or most of whose answers it has; "" where that isn't clear."""
    try:
        submitted = read_notebook(content)
    except UnreadableError:
        return ""
    if any(master.lesson == submitted.lesson for master in masters):
        return submitted.lesson
    ids = {cell.grade_id for cell in submitted.cells}
    fits = {
        master.lesson: sum(cell.grade_id in ids for cell in master.cells.values() if cell.solution)
        for master in masters
    }
    best = max(fits.values(), default=0)
    lessons = [lesson for lesson, number in fits.items() if number == best]
    return lessons[0] if best and len(lessons) == 1 else ""
