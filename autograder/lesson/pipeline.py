"""The steps that make the learner's notebook from the instructor's, for nbgrader's converter."""

from __future__ import annotations

from typing import Any

from nbformat import NotebookNode
from nbgrader.preprocessors import (
    CheckCellMetadata,
    ClearHiddenTests,
    ClearMarkScheme,
    ClearOutput,
    ClearSolutions,
    ComputeChecksums,
    IncludeHeaderFooter,
    LockCells,
    NbGraderPreprocessor,
    SaveCells,
)
from nbgrader.utils import is_grade, is_solution

from autograder.lesson.notebooks import AFTER_TAG, STARTER_KEY


class UseStarter(NbGraderPreprocessor):  # type: ignore[misc]
    """Puts the code that a "fix it" exercise starts from in the place of the stub."""

    def preprocess_cell(self, cell: NotebookNode, resources: Any, cell_index: int) -> tuple[NotebookNode, Any]:
        """Return the cell with its starter as source, where it has one."""
        starter = cell.metadata.get("autograder", {}).pop(STARTER_KEY, None)
        if starter is not None:
            cell.source = starter
            del cell.metadata["autograder"]
        return cell, resources


class DropAfter(NbGraderPreprocessor):  # type: ignore[misc]
    """Leaves out what is to be read after an exercise is solved."""

    def preprocess(self, nb: NotebookNode, resources: Any) -> tuple[NotebookNode, Any]:
        """Return the notebook without the cells tagged `after`."""
        nb.cells = [cell for cell in nb.cells if AFTER_TAG not in cell.metadata.get("tags", ())]
        return nb, resources


class LetUnsolvedFail(NbGraderPreprocessor):  # type: ignore[misc]
    """Lets "Run All" go on behind a stub or a check that fails: an unsolved exercise stops nobody."""

    def preprocess_cell(self, cell: NotebookNode, resources: Any, cell_index: int) -> tuple[NotebookNode, Any]:
        """Return the cell, tagged as one that may raise if it is an answer's or has points."""
        if is_solution(cell) or is_grade(cell):
            cell.metadata["tags"] = [*cell.metadata.get("tags", ()), "raises-exception"]
        return cell, resources


RELEASE = [
    IncludeHeaderFooter,
    LockCells,
    ClearSolutions,
    UseStarter,  # after ClearSolutions, which would take the starter for an answer
    ClearOutput,
    DropAfter,
    LetUnsolvedFail,
    CheckCellMetadata,
    ComputeChecksums,
    SaveCells,  # before ClearHiddenTests: the gradebook keeps the tests that graders run
    ClearHiddenTests,
    ClearMarkScheme,
    ComputeChecksums,
    CheckCellMetadata,
]
