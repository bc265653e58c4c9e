"""Runs a notebook's cells so that a fault of one costs that one only."""

from __future__ import annotations

import base64
import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autograder.grade.children import ChildDiedError, ChildTimeoutError, Launcher, started
from autograder.grade.exam import mark, set_exam
from autograder.grade.given import Rules
from autograder.grade.model import CellRun, Limits
from autograder.grade.outputs import clean, cut
from autograder.grade.talk import Talk

EXITED = "it ended the kernel with exit()"
CROWDED = "it left more than half of all processes and threads that a notebook may have"
NO_RULES = Rules()


@dataclass(frozen=True, slots=True)
class Step:
    """One code cell to run; `test` says that nothing after it can depend on it."""

    source: str
    test: bool = False
    # Names that it makes and tests rely on: the lesson's own, which a notebook has no reason to replace.
    given: tuple[str, ...] = ()


def run_cells(
    steps: Sequence[Step],
    launcher: Launcher,
    limits: Limits,
    files: Mapping[str, bytes] | None = None,
    rules: Rules = NO_RULES,
) -> list[CellRun]:
    """Run the cells in order in one process, in a folder of its own with `files`; return what became of each.

    A cell is told to the process only when those before it have been run: none can see the tests that follow. Names
    that hide built-in ones don't reach the tests unless the lesson has them too.

    A cell that takes longer than its limit is interrupted. Where that doesn't help, or the process ends, another one
    takes its place: the cells before are run again there without the culprit, and their first results stand.
    """
    deadline = time.monotonic() + limits.notebook
    order = {name: base64.b64encode(content).decode() for name, content in (files or {}).items()}
    runs: dict[int, CellRun] = {}
    culprits: set[int] = set()
    while len(runs) < len(steps):
        begin = len(runs)
        replayed = [
            index for index in range(begin) if not (steps[index].test or runs[index].fault or index in culprits)
        ]
        todo = [*replayed, *range(begin, len(steps))]
        with started(launcher) as child:
            culprit = _run_in(Talk(child, rules), order, {i: steps[i] for i in todo}, runs, limits, deadline)
        if culprit is not None:
            culprits.add(culprit)
        if time.monotonic() >= deadline:
            fault = f"it was not run, or not to its end: the notebook took more than {limits.notebook:g} seconds"
            runs = {index: CellRun([], fault=fault) for index in range(len(steps))} | runs
    return _within(limits, [runs[index] for index in range(len(steps))])


def _run_in(
    talk: Talk,
    files: Mapping[str, str],
    todo: Mapping[int, Step],
    runs: dict[int, CellRun],
    limits: Limits,
    deadline: float,
) -> int | None:
    """Have a child run the cells `todo`, adding to `runs`; return the cell that it could not go on after, if any."""
    try:
        ready = talk.begin({"files": files}, limits.start)
        if "refused" in ready:
            raise RuntimeError(f"a notebook's process could not be kept apart: {ready['refused']}")
    except (ChildDiedError, ChildTimeoutError) as error:
        raise RuntimeError("no process could be started to run a notebook in") from error
    for index, step in todo.items():
        left = deadline - time.monotonic()
        if left <= 0:
            return None
        run, usable = _next(talk, step, dataclasses.replace(limits, cell=min(limits.cell, left)))
        if index not in runs:
            runs[index] = dataclasses.replace(run, doubts=(*run.doubts, *talk.doubts))
            talk.doubts.clear()
        if not usable:
            return index
    return None


def _next(talk: Talk, step: Step, limits: Limits) -> tuple[CellRun, bool]:
    """Have a child run one cell; return what became of it, and whether the child can go on."""
    exam = set_exam(step.source) if step.test else None
    fault = ""
    try:
        talk.ask({"check": exam.source, "needed": list(talk.rules.hiding)} if exam else _cell(step))
        try:
            said = talk.answer(limits.cell)
        except ChildTimeoutError:
            fault = f"it took more than {limits.cell:.3g} seconds"
            if not talk.child.interrupt():
                return CellRun([], fault=fault), False
            said = talk.answer(limits.grace)
    except ChildTimeoutError:
        return CellRun([], fault=f"{fault}, and could not be interrupted"), False
    except ChildDiedError:
        return CellRun([], fault=fault or talk.child.why()), False
    exited, crowded = bool(said.get("exited")), bool(said.get("crowded"))
    usable = not (exited or crowded)
    if not usable:
        fault = fault or (EXITED if exited else CROWDED)
    if exam:
        return dataclasses.replace(mark(exam, said, talk.rules), fault=fault), usable
    return CellRun(clean(said.get("outputs")), _count(said), fault), usable


def _cell(step: Step) -> Mapping[str, object]:
    """Return the order for a cell that isn't a check."""
    return {"source": step.source, "given": list(step.given)}


def _count(said: Mapping[str, Any]) -> int | None:
    """Return the execution count that a child tells."""
    count = said.get("execution_count")
    return count if isinstance(count, int) else None


def _within(limits: Limits, runs: Sequence[CellRun]) -> list[CellRun]:
    """Return the runs with outputs that are cut where a cell, or the notebook, has shown too much."""
    room = limits.notebook_output
    within = []
    for run in runs:
        outputs, used = cut(run.outputs, min(limits.cell_output, room))
        room -= used
        within.append(dataclasses.replace(run, outputs=outputs))
    return within
