"""Why a person has to look at a submission that was run, besides what matching found."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from autograder.grade.given import Rules, bound
from autograder.grade.match import Plan
from autograder.grade.model import CellRun, Job, Master, Score
from autograder.notebook.report import MIME_TYPE

# Modules that checks import, besides the library's.
IMPORTED = frozenset({"pytest", "_pytest", "conftest", "pluggy", "anyio", "IPython", "ipykernel", "autograder"})


def doubts(job: Job, planned: Plan, runs: Sequence[CellRun], scores: Sequence[Score], lesson: Rules) -> tuple[str, ...]:
    """Return the reasons, each once; none for a notebook that does what the lesson asks for."""
    found = [
        *_shadowing(job),
        *_own_code(job.master, planned, runs, lesson),
        *(doubt for run in runs for doubt in run.doubts),
        *_missing(job.master, planned, scores, lesson),
    ]
    return tuple(dict.fromkeys(found))


def _shadowing(job: Job) -> Iterator[str]:
    """Yield the files of a submission that hide a module of the library or of the machinery."""
    for name in job.submission.files:
        path = PurePosixPath(name)
        module = path.parts[0].removesuffix(".py")
        if path.suffix == ".py" and name not in job.master.files and (module in IMPORTED | sys.stdlib_module_names):
            yield f"a file of its own takes the place of a module: {name}"


def _own_code(master: Master, planned: Plan, runs: Sequence[CellRun], lesson: Rules) -> Iterator[str]:
    """Yield what is odd about the cells that the submission brought."""
    code = [cell for cell in planned.cells if cell.cell_type == "code"]
    for cell, run in zip(code, runs, strict=True):
        if (cell.master and cell.master.locked) or cell.source in master.code:
            continue
        if words := lesson.suspicious(cell.source):
            yield f"code of the notebook names what marks it: {', '.join(words)}"
        own_report = any(MIME_TYPE in output.get("data", {}) for output in run.outputs)
        if own_report and not cell.source.lstrip().startswith("%%check"):
            yield "a cell shows a report as checks do, and is none"


def _missing(master: Master, planned: Plan, scores: Sequence[Score], lesson: Rules) -> Iterator[str]:
    """Yield what isn't there and may have cost points: an answer, or a cell of the lesson that tests rely on."""
    there = {cell.source for cell in planned.cells}
    gone = {name for source in master.code if source not in there for name in bound(source) & lesson.given}
    gone -= {name for source in master.code if source in there for name in bound(source)}
    if gone:
        yield f"the lesson's cells that define {', '.join(sorted(gone))}, which tests use, were changed or left out"
    places = {cell.master.grade_id: place for place, cell in enumerate(planned.cells) if cell.master}
    answered = {cell.master.grade_id for cell in planned.cells if cell.master}
    lost = {score.exercise or score.grade_id for score in scores if not score.points}
    for cell in master.cells.values():
        if cell.solution and cell.grade_id not in answered and cell.grade_id in lost:
            yield f"the cell for the answer {cell.grade_id} is not there: its points are open"
    answer = ""
    for cell in master.cells.values():
        if cell.solution:
            answer = cell.grade_id
        elif cell.grade and (cell.exercise or cell.grade_id) in lost and places[cell.grade_id] < places.get(answer, 0):
            yield f"the test {cell.grade_id} stands before the answer: its points are open"
