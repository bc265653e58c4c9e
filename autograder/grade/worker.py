"""A worker: grades one job. It holds no database and may run anywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from autograder.grade.children import Launcher
from autograder.grade.doubt import doubts
from autograder.grade.given import bound, rules
from autograder.grade.match import Plan, PlannedCell, plan
from autograder.grade.model import CellRun, Job, Limits, Master, Notebook, Output, Result, Score
from autograder.grade.read import UnreadableError, read_notebook
from autograder.grade.run import Step, run_cells
from autograder.grade.score import score


def grade(job: Job, launcher: Launcher, limits: Limits) -> Result:
    """Run a submission with the master's tests and return its scores, and why."""
    try:
        return _grade(job, launcher, limits)
    except Exception as error:  # a defect of the grader: the others are marked all the same
        return not_graded(job, error)


def not_graded(job: Job, error: BaseException) -> Result:
    """Return the result of a job on which the grader itself failed."""
    nothing = _nothing(job, "not graded", f"the grader failed on it: {type(error).__name__}: {error}")
    return replace(nothing, failed=True)


def _grade(job: Job, launcher: Launcher, limits: Limits) -> Result:
    """Do so, where nothing unforeseen happens."""
    submission, master = job.submission, job.master
    if submission.content is None:
        return _nothing(job, "not handed in")
    try:
        planned = plan(master, read_notebook(submission.content))
    except UnreadableError as error:
        return _nothing(job, f"not a notebook: {error}", f"its file could not be read as a notebook: {error}")
    code = [cell for cell in planned.cells if cell.cell_type == "code"]
    lesson = rules(master)
    steps = [
        Step(
            cell.source,
            test=bool(cell.master and cell.master.exercise),
            given=tuple(lesson.given & bound(cell.source)) if cell.source in master.code else (),
        )
        for cell in code
    ]
    runs = run_cells(steps, launcher, limits, {**submission.files, **master.files}, lesson)
    by_grade_id = {cell.master.grade_id: run for cell, run in zip(code, runs, strict=True) if cell.master}
    scores = tuple(score(cell, by_grade_id.get(cell.grade_id)) for cell in master.graded)
    return Result(
        student=submission.student,
        lesson=submission.lesson,
        timestamp=submission.timestamp,
        scores=scores,
        notebook=_executed(planned, runs, master),
        remarks=(*planned.remarks, *_faults(code, runs)),
        doubts=(*submission.doubts, *planned.doubts, *doubts(job, planned, runs, scores, lesson)),
    )


def _nothing(job: Job, why: str, *doubts: str) -> Result:
    """Return the result of a submission of which nothing can be run."""
    return Result(
        student=job.submission.student,
        lesson=job.submission.lesson,
        timestamp=job.submission.timestamp,
        scores=tuple(Score(cell.grade_id, cell.exercise, 0, cell.points, why) for cell in job.master.graded),
        notebook=None,
        doubts=(*job.submission.doubts, *doubts),
    )


def _faults(code: Sequence[PlannedCell], runs: Sequence[CellRun]) -> list[str]:
    """Return a sentence for each cell that went wrong as a whole."""
    return [
        f"{_named(cell, number)}: {run.fault}"
        for number, (cell, run) in enumerate(zip(code, runs, strict=True), start=1)
        if run.fault
    ]


def _named(cell: PlannedCell, number: int) -> str:
    """Return how people find a cell."""
    return f"the cell {cell.master.grade_id}" if cell.master else f"code cell {number}"


def _executed(planned: Plan, runs: Sequence[CellRun], master: Master) -> Notebook:
    """Return the notebook with what its cells showed, and the master's metadata alone."""
    rest = iter(runs)
    cells = [
        _cell(cell, index, next(rest) if cell.cell_type == "code" else None) for index, cell in enumerate(planned.cells)
    ]
    return {"cells": cells, "metadata": dict(master.metadata), "nbformat": 4, "nbformat_minor": 5}


def _cell(cell: PlannedCell, index: int, run: CellRun | None) -> dict[str, Any]:
    """Return one cell of the executed notebook."""
    metadata: Mapping[str, object] = {"nbgrader": dict(cell.master.metadata)} if cell.master else {}
    made: dict[str, Any] = {
        "cell_type": cell.cell_type,
        "id": cell.master.cell_id if cell.master else f"own-{index}",
        "metadata": metadata,
        "source": cell.source,
    }
    if run:
        made |= {"outputs": [*run.outputs, *_told(run)], "execution_count": run.execution_count}
    return made


def _told(run: CellRun) -> list[Output]:
    """Return a fault as an output, for whoever reads the notebook."""
    if not run.fault:
        return []
    return [{"output_type": "error", "ename": "Fault", "evalue": run.fault, "traceback": [f"Fault: {run.fault}"]}]
