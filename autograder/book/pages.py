"""A lesson as a page to read: the instructor's notebook without what only a learner or a grader needs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from copy import deepcopy

from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell

SETUP = "setup"
EXERCISE = "exercise-"
SOLUTION = "solution-"
CHECK = "check-"
HIDDEN = "hidden-"
HINT = "hint-"
SOLUTION_MARK = re.compile(r"\s*#+ (BEGIN|END) SOLUTION\s*$")


def page(solved: NotebookNode, released: NotebookNode) -> NotebookNode:
    """Return the page of a lesson, made from its notebook in `solutions/` and the one in `notebooks/`."""
    made = deepcopy(solved)
    leave_out_hidden_tests(made)
    keep_setup_out_of_sight(made)
    put_hints_before_answers(made)
    show_what_is_given(made, released)
    fold_code(made)
    drop_metadata(made)
    return made


def leave_out_hidden_tests(made: NotebookNode) -> None:
    """Drop the cells whose tests run only when graded."""
    made.cells = [cell for cell in made.cells if not cell.id.startswith(HIDDEN)]


def keep_setup_out_of_sight(made: NotebookNode) -> None:
    """Let the first cell run but not show: a page begins with its title."""
    for cell in made.cells:
        if cell.id == SETUP:
            _tag(cell, "remove-cell")


def put_hints_before_answers(made: NotebookNode) -> None:
    """Move each exercise's hints above its answer: a reader wants them in that order."""
    hints: dict[str, list[NotebookNode]] = {}
    for cell in made.cells:
        if cell.id.startswith(HINT):
            name = cell.id.removeprefix(HINT).rpartition("-")[0]
            hints.setdefault(name, []).append(cell)
    cells = []
    for cell in made.cells:
        if cell.id.startswith(SOLUTION):
            cells += hints.get(_exercise(cell), [])
        if not cell.id.startswith(HINT):
            cells.append(cell)
    made.cells = cells


def show_what_is_given(made: NotebookNode, released: NotebookNode) -> None:
    """Show below each prompt the code that the learner starts from; it doesn't run."""
    start = {cell.id: cell.source for cell in released.cells}
    cells = []
    for cell in made.cells:
        cells.append(cell)
        if cell.id.startswith(EXERCISE):
            name = _exercise(cell)
            source = f"```python\n{start[SOLUTION + name]}\n```"
            cells.append(new_markdown_cell(source, id=f"given-{name}"))
    made.cells = cells


def fold_code(made: NotebookNode) -> None:
    """Show answers and tests folded, in text cells of their own; what the tests report stays in sight."""
    cells = []
    for cell in made.cells:
        if cell.id.startswith(SOLUTION):
            lines = [line for line in cell.source.splitlines() if not SOLUTION_MARK.match(line)]
            cells.append(_folded(f"answer-{_exercise(cell)}", "Answer", lines))
            _tag(cell, "remove-input")
        elif cell.id.startswith(CHECK):
            cells.append(_folded(f"tests-{_exercise(cell)}", "Tests", cell.source.splitlines()[1:]))
            _tag(cell, "remove-input")
        cells.append(cell)
    made.cells = cells


def drop_metadata(made: NotebookNode) -> None:
    """Drop what nbgrader and the release step note; have code coloured as IPython's, which has magics."""
    for part in (made, *made.cells):
        for key in ("nbgrader", "autograder"):
            part.metadata.pop(key, None)
    made.metadata["language_info"] = {"name": "python", "pygments_lexer": "ipython3"}


def _folded(cell_id: str, summary: str, code: Sequence[str]) -> NotebookNode:
    """Return a text cell that unfolds Python code."""
    text = "\n".join(("<details>", f"<summary>{summary}</summary>", "", "```python", *code, "```", "", "</details>"))
    return new_markdown_cell(text, id=cell_id)


def _exercise(cell: NotebookNode) -> str:
    """Return the name of the exercise that a cell belongs to."""
    return str(cell.id).partition("-")[2]


def _tag(cell: NotebookNode, tag: str) -> None:
    """Add a tag to a cell."""
    cell.metadata.setdefault("tags", []).append(tag)
