"""The one writer: puts results into nbgrader's gradebook and its folder of executed notebooks."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
from nbgrader.api import BaseCell, Gradebook, SubmittedNotebook
from nbgrader.utils import compute_checksum, is_solution
from sqlalchemy import text
from sqlalchemy.orm import scoped_session, sessionmaker
from traitlets.config import Config
from traitlets.config.loader import PyFileConfigLoader

from autograder.course import Course
from autograder.grade.files import write
from autograder.grade.filled import Filled
from autograder.grade.model import Places, Result, Saved

if TYPE_CHECKING:
    from nbgrader.plugins import BasePlugin

SETTINGS = "nbgrader_config.py"
# What nbgrader looks rows up by without an index: each submission would cost more than the one before.
INDEXED = (("grade", "notebook_id"), ("comment", "notebook_id"), ("submitted_notebook", "assignment_id"))


class Store:
    """The gradebook of a class, open for writing."""

    def __init__(self, course: Course, sections: Collection[str]) -> None:
        """Open the gradebook, filled with the tests and points of these sections' masters.

        Raises CourseError where nbgrader refuses: where tests were added or removed after submissions were graded.
        """
        self._course = course
        self._places = Places(course.grading)
        course.grading.mkdir(exist_ok=True)
        filled = Filled(course)
        if lacking := filled.lacking(sections):
            _fill(course, lacking, self._places.gradebook)
            filled.note(lacking)
        self._gradebook = Gradebook(f"sqlite:///{self._places.gradebook}")
        with self._gradebook.engine.begin() as connection:
            for table, column in INDEXED:
                connection.execute(text(f"CREATE INDEX IF NOT EXISTS ix_{table}_{column} ON {table} ({column})"))

    def close(self) -> None:
        """Close the gradebook."""
        self._gradebook.close()

    def save(self, result: Result) -> Saved:
        """Write one result, in one transaction; return what then stands in the gradebook.

        What a person has given (points, comments, an extension) stays as it is.
        """
        section, _, notebook = result.lesson.partition("/")
        if result.notebook:
            path = self._places.autograded / result.student / f"{result.lesson}.ipynb"
            write(path, nbformat.writes(nbformat.from_dict(result.notebook)).encode())
        with _transaction(self._gradebook) as gradebook:
            gradebook.update_or_create_student(result.student)
            timestamp = {"timestamp": result.timestamp} if result.timestamp else {}
            gradebook.update_or_create_submission(section, result.student, **timestamp)
            submitted = gradebook.find_submission_notebook(notebook, section, result.student)
            names = _names(gradebook, submitted)
            _save_scores(submitted, result, names)
            _save_comments(submitted, result, names)
            gradebook.db.flush()
            gradebook.db.refresh(submitted)
            penalty = self._save_penalty(submitted, result.student)
            return Saved(float(submitted.score), penalty)

    @cached_property
    def _late_plugin(self) -> BasePlugin:
        """nbgrader's plugin that says what being late costs, as the course's settings name it."""
        # They and the settings take nbconvert along: who has no late submissions needn't wait for it.
        from nbgrader.preprocessors import AssignLatePenalties

        penalties = AssignLatePenalties(config=_settings(self._course), log=logging.getLogger("autograder.grade"))
        penalties.init_plugin()
        return penalties.plugin_inst

    def _save_penalty(self, submitted: SubmittedNotebook, student: str) -> float:
        """Write and return what nbgrader's plugin takes off for being late."""
        late = submitted.assignment.total_seconds_late
        penalty = None
        if late > 0:
            penalty = self._late_plugin.late_submission_penalty(student, submitted.score, late)
        if penalty is not None:
            penalty = min(max(penalty, 0), submitted.score)
        submitted.late_submission_penalty = penalty
        return float(penalty or 0)


def _names(gradebook: Gradebook, submitted: SubmittedNotebook) -> dict[str, str]:
    """Return the grade ids of a notebook's cells by their ids, in one query: each grade would ask for its own."""
    found = gradebook.db.query(BaseCell.id, BaseCell.name).filter(BaseCell.notebook_id == submitted.notebook_id)
    return {cell.id: cell.name for cell in found}


def _save_scores(submitted: SubmittedNotebook, result: Result, names: Mapping[str, str]) -> None:
    """Write the points, as nbgrader's SaveAutoGrades does."""
    grades = {names[grade.cell_id]: grade for grade in submitted.grades}
    for score in result.scores:
        grade = grades[score.grade_id]
        grade.auto_score = score.points
        grade.needs_manual_grade = score.points is None or grade.manual_score is not None


def _save_comments(submitted: SubmittedNotebook, result: Result, names: Mapping[str, str]) -> None:
    """Write which answers are as they were given out, as nbgrader's SaveAutoGrades does."""
    answers = {}
    for cell in map(nbformat.from_dict, result.notebook["cells"] if result.notebook else ()):
        if is_solution(cell):
            answers[cell.metadata.nbgrader.grade_id] = compute_checksum(cell)
    stubs = {cell.name: cell.checksum for cell in submitted.notebook.source_cells}
    for comment in submitted.comments:
        name = names[comment.cell_id]
        blank = name not in answers or answers[name] == stubs[name]
        comment.auto_comment = "No response." if blank else None


@contextmanager
def _transaction(gradebook: Gradebook) -> Iterator[Gradebook]:
    """Make everything that is done to the gradebook in this block one transaction, whatever it commits itself."""
    outside = gradebook.db
    with gradebook.engine.begin() as connection:
        session = sessionmaker(bind=connection, autoflush=False, join_transaction_mode="rollback_only")
        gradebook.db = scoped_session(session)
        try:
            yield gradebook
            gradebook.db.flush()
        finally:
            gradebook.db.remove()
            gradebook.db = outside


def _fill(course: Course, sections: Collection[str], database: Path) -> None:
    """Write the masters into the gradebook by nbgrader's own release step."""
    from autograder.lesson.release import generate_assignments  # it takes nbgrader's converters along

    with tempfile.TemporaryDirectory(prefix="masters-") as folder:
        root = Path(os.path.realpath(folder))
        for section in sections:
            shutil.copytree(course.solutions / section, root / "solutions" / section)
        generate_assignments(root, sections, database)


def _settings(course: Course) -> Config:
    """Return the course's settings for nbgrader."""
    return PyFileConfigLoader(SETTINGS, path=str(course.root)).load_config()
