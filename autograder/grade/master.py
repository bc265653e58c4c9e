"""The masters: what submissions are graded by, read from the instructor's notebooks in `solutions/`."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from autograder.course import Course, CourseError
from autograder.grade.model import Master, MasterCell

# What some modules import only when they are used: each notebook's process would do it anew.
LATER = {
    "autograder.notebook.figures": "ipywidgets",
    "boto3": "moto.moto_server.werkzeug_app",
    "mypy": "mypy.main",
}


def load_masters(course: Course, lessons: Iterable[str]) -> dict[str, Master]:
    """Read the masters of the lessons with these ids.

    Raises CourseError where `solutions/` lacks one.
    """
    return {lesson: _load(course, lesson) for lesson in lessons}


def modules(masters: Iterable[Master]) -> list[str]:
    """Return the modules that these lessons import, and those that come with them, each once."""
    imported = list(dict.fromkeys(name for master in masters for name in master.imports))
    return [*imported, *(later for name, later in LATER.items() if name in imported)]


def _load(course: Course, lesson: str) -> Master:
    """Read one lesson's master."""
    path = course.solutions / f"{lesson}.ipynb"
    if not path.is_file():
        raise CourseError(f"{path.relative_to(course.root)} is missing: run `course build` first")
    notebook = _read(path)
    cells = [cell | {"source": "".join(cell["source"])} for cell in notebook["cells"]]
    headings = [cell["source"].splitlines()[0].lstrip("# ") for cell in cells if cell["cell_type"] == "markdown"]
    return Master(
        lesson=lesson,
        title=headings[0] if headings else lesson,
        cells={cell.grade_id: cell for cell in map(_cell, cells) if cell.grade_id},
        headings={
            cell["id"].removeprefix("exercise-"): _heading(cell) for cell in cells if cell["id"].startswith("exercise-")
        },
        metadata={name: notebook["metadata"][name] for name in ("kernelspec", "language_info", "autograder")},
        files=_beside(path),
        reading=_reading(cells),
        imports=tuple(dict.fromkeys(name for cell in cells for name in _imports(cell))),
        code=tuple(
            cell["source"] for cell in cells if cell["cell_type"] == "code" and "nbgrader" not in cell["metadata"]
        ),
    )


def _read(path: Path) -> Any:
    """Return the notebook that `course build` wrote, as plain data; reading it by nbformat would take seconds."""
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise CourseError(f"{path.name} is no notebook: run `course build` to write it anew") from error


def _imports(cell: Mapping[str, Any]) -> Iterator[str]:
    """Yield the modules that a cell imports; magics and cells that aren't Python say nothing of it."""
    lines = cell["source"].splitlines() if cell["cell_type"] == "code" else []
    try:
        tree = ast.parse("\n".join(line for line in lines if not line.startswith(("%", "!"))))
    except SyntaxError:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def _cell(cell: Mapping[str, Any]) -> MasterCell:
    """Return a cell of the notebook with what nbgrader says of it."""
    given = cell["metadata"].get("nbgrader", {})
    return MasterCell(
        cell_id=cell["id"],
        grade_id=given.get("grade_id", ""),
        cell_type=cell["cell_type"],
        source=cell["source"],
        metadata=given,
        grade=given.get("grade", False),
        solution=given.get("solution", False),
        # As nbgrader sees it: tests can't be edited, answers can.
        locked=not given.get("solution", False) and (given.get("grade", False) or given.get("locked", False)),
        points=float(given.get("points", 0)),
    )


def _heading(cell: Mapping[str, Any]) -> str:
    """Return an exercise's title without the word that says that it is one."""
    return str(cell["source"].splitlines()[0].lstrip("# ").removeprefix("Exercise:").strip())


def _reading(cells: Iterable[Mapping[str, Any]]) -> dict[str, tuple[str, ...]]:
    """Return the headings of the explanations that stand before each exercise and behind the one before it.

    Where there are none, the exercise goes with the one before it.
    """
    reading: dict[str, tuple[str, ...]] = {}
    before: tuple[str, ...] = ()
    found: list[str] = []
    for cell in cells:
        if cell["id"].startswith("exercise-"):
            before = tuple(found) or before
            reading[cell["id"].removeprefix("exercise-")] = before
            found = []
        elif cell["id"].startswith("text-"):
            found += re.findall(r"^##+ (.+)$", cell["source"], re.MULTILINE)
    return reading


def _beside(path: Path) -> dict[str, bytes]:
    """Return the files that a section's notebooks use, by path relative to their folder."""
    return {
        str(file.relative_to(path.parent)): file.read_bytes()
        for file in sorted(path.parent.rglob("*"))
        if file.is_file() and file.suffix != ".ipynb" and ".ipynb_checkpoints" not in file.parts
    }
