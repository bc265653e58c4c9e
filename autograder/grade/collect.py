"""Finds what was handed in: a learner's own notebooks, or a class in nbgrader's student/assignment/notebook layout."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from autograder.course import Course, CourseError
from autograder.environment import import_nbgrader
from autograder.grade.model import Job, Master, Submission
from autograder.grade.read import MAX_BYTES
from autograder.grade.recognise import recognise

TIMESTAMP = "timestamp.txt"
# All the files beside a notebook together.
MAX_FILES = 50_000_000


@dataclass(frozen=True, slots=True)
class Stray:
    """Something in a class's folder that belongs to no lesson, by path, and why."""

    student: str
    path: str
    why: str


@dataclass(slots=True)
class Collected:
    """The submissions of a class, which are read when they are asked for, and what a person has to look at instead."""

    folder: Path
    students: Sequence[str]
    masters: Mapping[str, Master]
    # Whole when every job has been asked for.
    strays: list[Stray] = field(default_factory=list)
    # The number of jobs, by the folders that are there.
    total: int = 0

    def __post_init__(self) -> None:
        sections = self._sections()
        self.total = sum(len(sections[path.name]) for path in self._folders() if path.name in sections)

    def jobs(self) -> Iterator[Job]:
        """Yield the jobs, student by student."""
        sections = self._sections()
        for student in self.students:
            yield from _collect_student(self.folder / student, sections, self.strays)

    def handed_in(self) -> set[str]:
        """Return the sections that somebody has handed in something of."""
        return {path.name for path in self._folders()} & self._sections().keys()

    def _folders(self) -> Iterator[Path]:
        """Yield the folders below those of the students."""
        for student in self.students:
            for entry in os.scandir(self.folder / student):
                if _is_real_folder(entry):
                    yield Path(entry.path)

    def _sections(self) -> dict[str, list[Master]]:
        """Return the masters by section."""
        sections: dict[str, list[Master]] = {}
        for master in self.masters.values():
            sections.setdefault(master.section, []).append(master)
        return sections


def collect_own(course: Course, masters: Mapping[str, Master]) -> list[Job]:
    """Return a job for each of the learner's own notebooks: in `work/` where that exists, else in `notebooks/`.

    Raises CourseError where there is none.
    """
    folder = course.work if course.work.is_dir() else course.notebooks
    jobs = []
    for lesson, master in masters.items():
        path = folder / f"{lesson}.ipynb"
        if path.is_file():
            # Links are the learner's own here.
            content = path.read_bytes()
            jobs.append(Job(Submission("", lesson, content, _beside(path.parent)[0]), master))
    if not jobs:
        wanted = ", ".join(f"{lesson}.ipynb" for lesson in masters)
        raise CourseError(f"{folder.relative_to(course.root)}/ has none of {wanted}: run `make lab` to get them")
    return jobs


def collect_class(folder: Path, masters: Mapping[str, Master]) -> Collected:
    """Return the submissions of a class: a job for each lesson of each section that a student handed in something of.

    Raises CourseError where `folder` isn't a folder, or has no student's folder.
    """
    if not folder.is_dir():
        raise CourseError(f"{folder} is not a folder: name the one that holds a folder for each student")
    students = sorted(entry.name for entry in os.scandir(folder) if _is_real_folder(entry))
    if not students:
        raise CourseError(f"{folder} has no folder in it: the layout is STUDENT/SECTION/LESSON.ipynb")
    return Collected(folder, students, masters)


def _collect_student(folder: Path, sections: Mapping[str, Sequence[Master]], strays: list[Stray]) -> Iterator[Job]:
    """Yield the jobs of what one student has handed in, and add the rest to `strays`."""
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.name.startswith("."):
            continue
        if _is_real_folder(entry) and entry.name in sections:
            yield from _collect_section(folder.name, folder / entry.name, sections[entry.name], strays)
        elif entry.is_dir() or entry.name.endswith(".ipynb"):
            why = f"it is none of the sections {', '.join(sections)}"
            strays.append(Stray(folder.name, entry.name, why))


def _collect_section(student: str, folder: Path, masters: Sequence[Master], strays: list[Stray]) -> Iterator[Job]:
    """Yield the lessons of one section."""
    files, doubts = _beside(folder)
    timestamp, odd = _timestamp(files.pop(TIMESTAMP, b"").decode(errors="replace").strip())
    doubts += odd
    known = {f"{master.notebook}.ipynb" for master in masters}
    found = {master.lesson: _content(folder / f"{master.notebook}.ipynb") for master in masters}
    for path in sorted(folder.glob("*.ipynb")):
        if path.name in known:
            continue
        content, problems = _content(path)
        lesson = recognise(content, masters) if content is not None else ""
        if lesson and found[lesson] == (None, ()):
            found[lesson] = content, (f"it was handed in as {path.name}", *problems)
        else:
            why = f"it is none of the lessons {', '.join(sorted(known))}"
            strays.append(Stray(student, f"{folder.name}/{path.name}", why))
    for master in masters:
        content, problems = found[master.lesson]
        submission = Submission(student, master.lesson, content, files, timestamp, (*doubts, *problems))
        yield Job(submission, master)


def _timestamp(text: str) -> tuple[datetime | None, list[str]]:
    """Return the time (UTC) that a text says, as nbgrader reads it, and why a person has to look at it."""
    if not text:
        return None, []
    import_nbgrader()
    from nbgrader.utils import parse_utc  # who hands in no times needn't wait for nbgrader

    try:
        return parse_utc(text), []
    except (ValueError, OverflowError):
        return None, [f"{TIMESTAMP} holds no time: {text[:40]!r}"]


def _content(path: Path) -> tuple[bytes | None, tuple[str, ...]]:
    """Return a notebook's content, and why a person has to look at it; nothing for one that isn't there."""
    try:
        return _read(path, MAX_BYTES + 1), ()  # one more, so that reading it as a notebook says that it is too large
    except FileNotFoundError:
        return None, ()
    except OSError as error:
        return None, (f"{path.name} could not be read: {error.strerror or error}",)


def _read(path: Path, most: int) -> bytes:
    """Return at most `most` bytes of a regular file; raises OSError for anything else, links among it."""
    # Without O_NONBLOCK, opening a named pipe waits for ever.
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    if path.is_symlink():
        raise OSError("it is a link")
    with open(os.open(path, flags), "rb") as file:  # noqa: PTH123 - opened by descriptor
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError("it is not a file")
        return file.read(most)


def _beside(folder: Path) -> tuple[dict[str, bytes], list[str]]:
    """Return the files beside a section's notebooks by path, and what was left out."""
    files: dict[str, bytes] = {}
    left_out = []
    room = MAX_FILES
    for path in _regular(folder):
        try:
            content = _read(path, room + 1)
        except OSError:
            continue
        if len(content) > room:
            left_out.append(f"the files beside its notebooks have more than {MAX_FILES:,} bytes: not all are there")
            break
        room -= len(content)
        files[path.relative_to(folder).as_posix()] = content
    return files, left_out


def _regular(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder that aren't notebooks, without following a link."""
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(parent, name)
            if not name.startswith(".") and path.suffix != ".ipynb" and not path.is_symlink():
                yield path


def _is_real_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder itself, no link to one, and not hidden."""
    return entry.is_dir(follow_symlinks=False) and not entry.name.startswith(".")
