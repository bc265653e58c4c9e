"""A lesson as the instructor's notebook: nbgrader's format, made from the source cell by cell."""

from __future__ import annotations

import hashlib
import html
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from autograder.lesson.source import Cell, Exercise, Lesson, Role, tests_in

SETUP = "%load_ext autograder"
NBGRADER_SCHEMA = 3
AFTER_TAG = "after"
STARTER_KEY = "starter"
KERNELSPEC = {"display_name": "Python 3", "language": "python", "name": "python3"}


def solution_notebook(lesson: Lesson, lesson_id: str) -> NotebookNode:
    """Return the instructor's notebook of a lesson; nbgrader's release step makes the learner's from it.

    Raises nbformat.ValidationError should the result not be a notebook of format 4.5.
    """
    made = [MAKERS[cell.role](cell, lesson) for cell in lesson.cells if cell.role in MAKERS]
    cells = [_setup(), *made]
    for cell, cell_id in zip(cells, _unique([cell["id"] for cell in cells]), strict=True):
        cell["id"] = cell_id
    notebook = new_notebook(
        cells=cells,
        metadata={
            "autograder": {"lesson": lesson_id},
            "kernelspec": KERNELSPEC,
            "language_info": {"name": "python"},
        },
    )
    notebook["nbformat_minor"] = 5
    nbformat.validate(notebook)
    return notebook


def byline(exercise: Exercise) -> str:
    """Return the line below an exercise's heading: its level, time and points."""
    if exercise.hidden:
        points = f"{exercise.check.points} + {exercise.hidden.points} points (check + hidden tests)"
    else:
        points = "1 point" if exercise.points == 1 else f"{exercise.points} points"
    return f"*{exercise.level} · {exercise.minutes} minutes · {points}*"


def _setup() -> NotebookNode:
    """Return the locked first cell."""
    return _graded(new_code_cell(SETUP, id="setup"), "setup", locked=True)


def _text(cell: Cell, lesson: Lesson) -> NotebookNode:
    return new_markdown_cell(cell.source, id=f"text-{_digest(cell)}")


def _code(cell: Cell, lesson: Lesson) -> NotebookNode:
    return new_code_cell(cell.source, id=f"code-{_digest(cell)}")


def _exercise(cell: Cell, lesson: Lesson) -> NotebookNode:
    heading, _, rest = cell.source.partition("\n")
    text = f"{heading}\n\n{byline(lesson.exercises[cell.name])}\n{rest}"
    return new_markdown_cell(text, id=f"exercise-{cell.name}")


def _solution(cell: Cell, lesson: Lesson) -> NotebookNode:
    made = _graded(new_code_cell(cell.source, id=f"solution-{cell.name}"), cell.name, solution=True)
    starter = lesson.exercises[cell.name].starter
    if starter:
        made["metadata"]["autograder"] = {STARTER_KEY: starter.source}
    return made


def _check(cell: Cell, lesson: Lesson) -> NotebookNode:
    made = new_code_cell(f"%%check {cell.name}\n{cell.source}", id=f"check-{cell.name}")
    return _graded(made, f"{cell.name}-check", points=cell.points, locked=True)


def _hidden(cell: Cell, lesson: Lesson) -> NotebookNode:
    number = len(tests_in(cell))
    note = f"# {number} more {'test runs' if number == 1 else 'tests run'} here when this is graded."
    hidden = f"### BEGIN HIDDEN TESTS\n{cell.source}\n### END HIDDEN TESTS"
    made = new_code_cell(f"%%check {cell.name}\n{note}\n{hidden}", id=f"hidden-{cell.name}")
    return _graded(made, f"{cell.name}-hidden", points=cell.points, locked=True)


def _hint(cell: Cell, lesson: Lesson) -> NotebookNode:
    number = lesson.exercises[cell.name].hints.index(cell) + 1
    return new_markdown_cell(_folded(f"Hint {number}", cell.source), id=f"hint-{cell.name}-{number}")


def _after(cell: Cell, lesson: Lesson) -> NotebookNode:
    return new_markdown_cell(cell.source, id=f"after-{cell.name}", metadata={"tags": [AFTER_TAG]})


def _right(cell: Cell, lesson: Lesson) -> NotebookNode:
    number = lesson.exercises[cell.name].rights.index(cell) + 1
    text = _folded("Another right answer", f"```python\n{cell.source}\n```")
    return new_markdown_cell(text, id=f"right-{cell.name}-{number}", metadata={"tags": [AFTER_TAG]})


def _interview(cell: Cell, lesson: Lesson) -> NotebookNode:
    question, _, answer = cell.source.partition("\n")
    return new_markdown_cell(_folded(question.lstrip("# "), answer.strip()), id=f"interview-{_digest(cell)}")


# Roles without a maker (starter, wrong, waive) are for the prover alone.
MAKERS: Mapping[Role, Callable[[Cell, Lesson], NotebookNode]] = {
    Role.TEXT: _text,
    Role.CODE: _code,
    Role.EXERCISE: _exercise,
    Role.SOLUTION: _solution,
    Role.CHECK: _check,
    Role.HIDDEN: _hidden,
    Role.HINT: _hint,
    Role.RIGHT: _right,
    Role.AFTER: _after,
    Role.INTERVIEW: _interview,
}


def _graded(
    cell: NotebookNode, grade_id: str, *, points: int = 0, solution: bool = False, locked: bool = False
) -> NotebookNode:
    """Return `cell` with nbgrader's metadata; it is graded when it has points."""
    metadata = {
        "cell_type": cell["cell_type"],
        "grade": points > 0,
        "grade_id": grade_id,
        "locked": locked,
        "schema_version": NBGRADER_SCHEMA,
        "solution": solution,
        "task": False,
    }
    if points:
        metadata["points"] = points
    cell["metadata"]["nbgrader"] = metadata
    return cell


def _folded(summary: str, text: str) -> str:
    """Return markdown that shows `summary` and unfolds `text`."""
    # Markdown isn't read inside <summary>.
    shown = re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(summary, quote=False))
    shown = re.sub(r"\*([^*`]+)\*", r"<em>\1</em>", shown)
    return f"<details>\n<summary>{shown}</summary>\n\n{text}\n\n</details>"


def _digest(cell: Cell) -> str:
    """Return eight hexadecimal digits that stand for the cell's text."""
    return hashlib.sha256(cell.source.encode()).hexdigest()[:8]


def _unique(ids: Iterable[str]) -> Iterator[str]:
    """Yield the ids, a repeated one with a number behind it."""
    seen: Counter[str] = Counter()
    for cell_id in ids:
        seen[cell_id] += 1
        yield cell_id if seen[cell_id] == 1 else f"{cell_id}-{seen[cell_id]}"
