"""Puts a submission's answers among the master's tests: the notebook that is run."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from autograder.grade.model import Master, MasterCell
from autograder.grade.read import Submitted, SubmittedCell

PYTHON = ("python", "python3", "ipython")
# Of the notebook format.
VERSIONS = (3, 4)


@dataclass(frozen=True, slots=True)
class PlannedCell:
    """One cell of the notebook to run; `master` is None for a cell of the learner's own."""

    cell_type: str
    source: str
    master: MasterCell | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """The notebook to run, and what was odd about the submission."""

    cells: tuple[PlannedCell, ...]
    remarks: tuple[str, ...]
    doubts: tuple[str, ...]


def plan(master: Master, submitted: Submitted) -> Plan:
    """Return the notebook to run: the learner's cells in their order, tests and other locked cells from the master.

    Of a cell that is there several times the last one counts; a locked cell that isn't there is run at its place all
    the same.
    """
    found = [_match(cell, master) for cell in submitted.cells]
    number = Counter(cell.grade_id for cell in found if cell)
    cells: list[PlannedCell] = []
    seen: Counter[str] = Counter()
    for cell, known in zip(submitted.cells, found, strict=True):
        if known is None:
            cells.append(PlannedCell(cell.cell_type, cell.source))
            continue
        seen[known.grade_id] += 1
        last = seen[known.grade_id] == number[known.grade_id]
        if known.locked and last:
            cells.append(PlannedCell(known.cell_type, known.source, known))
        elif not known.locked:
            cells.append(PlannedCell(known.cell_type, cell.source, known if last else None))
    mended = [*_cut_merged(cells), *_join_split(cells)]
    _restore(cells, master, number)
    return Plan(tuple(cells), (*_remarks(master, number), *mended), tuple(_doubts(master, submitted, number)))


def _match(cell: SubmittedCell, master: Master) -> MasterCell | None:
    """Return the master's cell that this one was: by grade id, else by cell id, which some editors keep alone."""
    if cell.grade_id in master.cells:
        return master.cells[cell.grade_id]
    return next((known for known in master.cells.values() if cell.cell_id and known.cell_id == cell.cell_id), None)


def _cut_merged(cells: list[PlannedCell]) -> Iterator[str]:
    """Cut off the tests that were merged into other cells: they are run from the master. Yield what was mended."""
    for index, cell in enumerate(cells):
        before, found, _ = cell.source.partition("\n%%check ")
        if found and not (cell.master and cell.master.locked) and not before.startswith("%%"):
            cells[index] = replace(cell, source=before)
            yield "a test was merged into another cell: it was cut off there"


def _join_split(cells: list[PlannedCell]) -> Iterator[str]:
    """Put answers together that were split where neither part is Python alone. Yield what was mended."""
    for index in range(len(cells) - 2, -1, -1):
        first, second = cells[index], cells[index + 1]
        if not (first.master and first.master.solution and second.master is None and second.cell_type == "code"):
            continue
        whole = f"{first.source}\n{second.source}"
        if not _is_python(first.source) and _is_python(whole):
            cells[index : index + 2] = [replace(first, source=whole)]
            yield f"the cell for the answer {first.master.grade_id} was split: it was put together"


def _is_python(source: str) -> bool:
    """Whether a cell is Python as it stands."""
    try:
        ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _restore(cells: list[PlannedCell], master: Master, number: Counter[str]) -> None:
    """Put the locked cells that are missing into `cells`."""
    answered = ""
    for grade_id, known in master.cells.items():
        if known.locked and not number[grade_id]:
            cells.insert(_place(cells, known, answered), PlannedCell(known.cell_type, known.source, known))
        if known.grade or known.solution:
            answered = grade_id


def _place(cells: Sequence[PlannedCell], known: MasterCell, before: str) -> int:
    """Return where a missing cell belongs: behind the cell that the master has before it.

    Where that is missing too, its answer may be anywhere: a test then goes to the end, other cells to the top.
    """
    for index, cell in enumerate(cells):
        if cell.master and cell.master.grade_id == before:
            return index + 1
    return len(cells) if known.grade else 0


def _remarks(master: Master, number: Counter[str]) -> list[str]:
    """Return what was mended."""
    remarks = []
    for grade_id, known in master.cells.items():
        if number[grade_id] > 1:
            remarks.append(f"the cell {grade_id} is there {number[grade_id]} times: it counts once")
        elif not number[grade_id] and known.locked:
            remarks.append(f"the cell {grade_id} was deleted: it was run from the master all the same")
        elif not number[grade_id]:
            remarks.append(f"the cell for the answer {grade_id} was deleted")
    return remarks


def _doubts(master: Master, submitted: Submitted, number: Counter[str]) -> list[str]:
    """Return why a person has to look at the notebook."""
    doubts = []
    if not submitted.cells:
        doubts.append("the notebook has no cells")
    elif not any(number[grade_id] for grade_id in master.cells):
        doubts.append(f"none of its cells belongs to {master.lesson}: is it another notebook?")
    if submitted.version not in VERSIONS:
        doubts.append(f"it says that its format is {submitted.version}, and was read as format 4")
    if submitted.language and submitted.language not in PYTHON:
        doubts.append(f"it was saved by a kernel for {submitted.language}, and run as Python")
    return doubts
