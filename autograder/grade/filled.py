"""Remembers what a gradebook was filled with: nbgrader's release of a section of many lessons takes seconds."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Collection
from contextlib import closing
from pathlib import Path

from autograder.course import Course
from autograder.grade.files import write
from autograder.grade.model import Places

# What a gradebook says of the cells of a section's notebooks; checksums are of their sources and points.
CELLS = (
    """
    SELECT notebook.name, cell.name, cell.checksum, cell.locked FROM source_cell AS cell
    JOIN notebook ON notebook.id = cell.notebook_id JOIN assignment ON assignment.id = notebook.assignment_id
    WHERE assignment.name = ? ORDER BY 1, 2
    """,
    """
    SELECT notebook.name, cell.name, cell.type, grade_cells.max_score FROM base_cell AS cell
    JOIN notebook ON notebook.id = cell.notebook_id JOIN assignment ON assignment.id = notebook.assignment_id
    LEFT JOIN grade_cells ON grade_cells.id = cell.id WHERE assignment.name = ? ORDER BY 1, 2
    """,
)


class Filled:
    """The sections that a course's gradebook has been filled with, in a file beside it."""

    def __init__(self, course: Course) -> None:
        """Read what is remembered of the course's gradebook."""
        self._solutions = course.solutions
        self._places = Places(course.grading)
        try:
            noted = json.loads(self._places.filled.read_bytes())
        except (OSError, ValueError):
            noted = {}
        self._noted: dict[str, str] = noted if isinstance(noted, dict) else {}

    def lacking(self, sections: Collection[str]) -> list[str]:
        """Return the sections that the gradebook doesn't hold as their solutions are now."""
        return [section for section in sections if self._noted.get(section, "") != self._state(section)]

    def note(self, sections: Collection[str]) -> None:
        """Remember that the gradebook has just been filled with these sections."""
        self._noted |= {section: self._state(section) for section in sections}
        write(self._places.filled, json.dumps(self._noted).encode())

    def _state(self, section: str) -> str:
        """Return what stands for a section's solutions and for what the gradebook has of them."""
        digest = hashlib.sha256()
        for path in sorted((self._solutions / section).rglob("*.ipynb")):
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        digest.update(repr(_cells(self._places.gradebook, section)).encode())
        return digest.hexdigest()


def _cells(gradebook: Path, section: str) -> list[tuple[object, ...]]:
    """Return what a gradebook has of a section's cells; nothing where there is no gradebook, or a new one."""
    if not gradebook.exists():
        return []
    with closing(sqlite3.connect(f"{gradebook.absolute().as_uri()}?mode=ro", uri=True)) as database:
        try:
            return [row for query in CELLS for row in database.execute(query, (section,))]
        except sqlite3.OperationalError:
            return []
