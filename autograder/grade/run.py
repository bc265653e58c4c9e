"""Runs a notebook's cells so that a fault of one costs that one only."""

from __future__ import annotations

import base64
import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autograder.grade.children import Child, ChildDiedError, ChildTimeoutError, Launcher, answer, give, started
from autograder.grade.model import CellRun, Limits
from autograder.grade.outputs import clean, cut

DIED = "it ended the process that runs the notebook (a crash, os._exit, or too much memory)"
EXITED = "it ended the kernel with exit()"


@dataclass(frozen=True, slots=True)
class Step:
    """One code cell to run; `test` says that nothing after it can depend on it."""

    source: str
    test: bool = False


def run_cells(
    steps: Sequence[Step], launcher: Launcher, limits: Limits, files: Mapping[str, bytes] | None = None
) -> list[CellRun]:
    """Run the cells in order in one process, in a folder of its own with `files`; return what became of each.

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
            cells = [steps[index].source for index in todo]
            culprit = _run_in(child, {"files": order, "cells": cells}, todo, runs, limits, deadline)
        if culprit is not None:
            culprits.add(culprit)
        if time.monotonic() >= deadline:
            fault = f"it was not run, or not to its end: the notebook took more than {limits.notebook:g} seconds"
            runs = {index: CellRun([], fault=fault) for index in range(len(steps))} | runs
    return _within(limits, [runs[index] for index in range(len(steps))])


def _run_in(
    child: Child,
    order: Mapping[str, object],
    todo: Sequence[int],
    runs: dict[int, CellRun],
    limits: Limits,
    deadline: float,
) -> int | None:
    """Have a child run the cells `todo`, adding to `runs`; return the cell that it could not go on after, if any."""
    try:
        ready = answer(child, limits.start)
        if "refused" in ready:
            raise RuntimeError(f"a notebook's process could not be kept apart: {ready['refused']}")
        give(child, order)
    except (ChildDiedError, ChildTimeoutError) as error:
        raise RuntimeError("no process could be started to run a notebook in") from error
    for index in todo:
        left = deadline - time.monotonic()
        if left <= 0:
            return None
        run, usable = _next(child, dataclasses.replace(limits, cell=min(limits.cell, left)))
        runs.setdefault(index, run)
        if not usable:
            return index
    return None


def _next(child: Child, limits: Limits) -> tuple[CellRun, bool]:
    """Return what became of the cell that a child is running, and whether the child can go on."""
    fault = ""
    try:
        try:
            said = answer(child, limits.cell)
        except ChildTimeoutError:
            fault = f"it took more than {limits.cell:.3g} seconds"
            if not child.interrupt():
                return CellRun([], fault=fault), False
            said = answer(child, limits.grace)
    except ChildTimeoutError:
        return CellRun([], fault=f"{fault}, and could not be interrupted"), False
    except ChildDiedError:
        return CellRun([], fault=fault or DIED), False
    if said.get("exited"):
        return CellRun(clean(said.get("outputs")), _count(said), fault or EXITED), False
    return CellRun(clean(said.get("outputs")), _count(said), fault), True


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
