"""Where the parts of the course are: one checkout, found from the working directory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

MANIFEST = Path("lessons/guide.toml")


class CourseError(Exception):
    """Something that the user has to mend; its text says what and how."""


@dataclass(frozen=True, slots=True)
class Course:
    """The folders of one checkout of the course."""

    root: Path

    @property
    def lessons(self) -> Path:
        """The hand-written sources."""
        return self.root / "lessons"

    @property
    def manifest(self) -> Path:
        """The ordered list of sections, topics and lessons."""
        return self.root / MANIFEST

    @property
    def solutions(self) -> Path:
        """The instructor's notebooks, generated."""
        return self.root / "solutions"

    @property
    def notebooks(self) -> Path:
        """The learner's notebooks, generated."""
        return self.root / "notebooks"

    @property
    def work(self) -> Path:
        """The learner's own copy, never written over."""
        return self.root / "work"

    @property
    def grading(self) -> Path:
        """What grading makes: gradebook, submissions, feedback."""
        return self.root / "grading"

    @property
    def book(self) -> Path:
        """The published book's configuration and hand-written pages."""
        return self.root / "book"


def find_course(start: Path | None = None) -> Course:
    """Return the course whose checkout holds `start` (the working directory by default).

    Raises CourseError where no folder from `start` up to the root of the file system is a checkout.
    """
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / MANIFEST).is_file():
            return Course(folder)
    raise CourseError(f"{here} is not inside a checkout of the course ({MANIFEST} was not found): cd into it first")
