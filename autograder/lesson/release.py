"""Releases the lessons into their two trees: `lessons` → `solutions` → `notebooks`.

The first arrow is `autograder.lesson.notebooks`, the second nbgrader's own converter.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Collection
from logging.handlers import MemoryHandler
from pathlib import Path

import nbformat
from nbgrader.converters import GenerateAssignment
from nbgrader.converters.base import NbGraderException
from nbgrader.coursedir import CourseDirectory
from traitlets.config import Config

from autograder.course import Course, CourseError
from autograder.environment import add_tools_to_path
from autograder.lesson.guide import Guide, load_guide
from autograder.lesson.index import start_page
from autograder.lesson.notebooks import solution_notebook
from autograder.lesson.pipeline import RELEASE
from autograder.lesson.source import Lesson, SourceError, parse_file

INDEX = Path("index.ipynb")


def load_lessons(course: Course, guide: Guide) -> dict[str, Lesson]:
    """Parse every lesson that the manifest lists, by id, in its order.

    Raises SourceError for a defect of one lesson, or an exercise's name that two lessons use.
    """
    lessons: dict[str, Lesson] = {}
    owner: dict[str, str] = {}
    for entry in guide.lessons:
        lesson = parse_file(course.lessons / f"{entry.id}.py", course.root)
        for exercise in lesson.exercises.values():
            _check_topic(exercise.topic, [topic.slug for topic in entry.topics], lesson, exercise.prompt.line)
            if exercise.name in owner:
                message = f"the exercise {exercise.name!r} is already in {owner[exercise.name]}: choose another name"
                raise SourceError(lesson.path, exercise.prompt.line, message)
            owner[exercise.name] = entry.id
        lessons[entry.id] = lesson
    return lessons


def build(course: Course) -> list[Path]:
    """Write `solutions/` and `notebooks/`; return the files, relative to the root, whose content is new.

    Nothing is written unless every source is sound: raises SourceError or CourseError otherwise.
    """
    written = []
    for path, content in _trees(course).items():
        target = course.root / path
        if not target.is_file() or target.read_bytes() != content:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
            written.append(path)
    return written


def stale(course: Course) -> list[Path]:
    """Return the notebooks, relative to the root, that aren't what `build` writes, and those of no lesson."""
    expected = _trees(course)
    present = {
        path.relative_to(course.root)
        for tree in (course.solutions, course.notebooks)
        for path in tree.rglob("*.ipynb")
        if ".ipynb_checkpoints" not in path.parts
    }
    wrong = {
        path
        for path, content in expected.items()
        if path not in present or (course.root / path).read_bytes() != content
    }
    return sorted(wrong | (present - expected.keys()))


def generate_assignments(root: Path, sections: Collection[str], database: Path | None = None) -> None:
    """Run nbgrader's converter on `root`/solutions: it writes `root`/notebooks.

    `sections` are the folders to convert; none may be in `root`/notebooks yet. With a `database`, a gradebook,
    the assignments and the tests that graders run are written there too.
    Raises CourseError, with nbgrader's words, where it refuses a notebook.
    """
    add_tools_to_path()  # a new gradebook asks the command alembic for its version
    config = Config()
    config.CourseDirectory.root = str(root)
    config.CourseDirectory.source_directory = "solutions"
    config.CourseDirectory.release_directory = "notebooks"
    config.GenerateAssignment.preprocessors = RELEASE
    if database:
        config.CourseDirectory.db_url = f"sqlite:///{database}"
    else:
        config.GenerateAssignment.no_database = True
        config.SaveCells.enabled = False
    log = logging.getLogger("autograder.release")
    log.propagate = False
    said = MemoryHandler(capacity=1000)
    said.setLevel(logging.ERROR)
    log.addHandler(said)
    try:
        for section in sections:
            config.CourseDirectory.assignment_id = section
            GenerateAssignment(CourseDirectory(config=config, log=log), config=config, log=log).start()
    except NbGraderException as error:
        words = "\n".join(record.getMessage() for record in said.buffer)
        raise CourseError(f"nbgrader could not release {section}: {words}") from error
    finally:
        log.removeHandler(said)


def _trees(course: Course) -> dict[Path, bytes]:
    """Return what both trees have to hold, by path relative to the root."""
    guide = load_guide(course)
    lessons = load_lessons(course, guide)
    with tempfile.TemporaryDirectory(prefix="release-") as folder:
        # nbgrader compares paths as text: give it the real one.
        root = Path(os.path.realpath(folder))
        for lesson_id, lesson in lessons.items():
            target = root / "solutions" / f"{lesson_id}.ipynb"
            target.parent.mkdir(parents=True, exist_ok=True)
            nbformat.write(solution_notebook(lesson, lesson_id), target)
        generate_assignments(root, [section.folder for section in guide.sections if section.lessons])
        nbformat.write(start_page(guide, lessons), root / "notebooks" / INDEX)
        return {path.relative_to(root): path.read_bytes() for path in sorted(root.rglob("*.ipynb"))}


def _check_topic(topic: str, claimed: Collection[str], lesson: Lesson, line: int) -> None:
    """Raise SourceError where an exercise is about a topic that its lesson doesn't claim."""
    if topic not in claimed:
        message = f"guide.toml gives this lesson no topic {topic!r}; it has: {', '.join(claimed)}"
        raise SourceError(lesson.path, line, message)
