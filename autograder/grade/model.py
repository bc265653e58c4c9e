"""What the stages of grading hand to each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

# Notebooks and outputs in nbformat's form. They are plain data, since nbformat takes seconds to import.
Notebook = dict[str, Any]
Output = dict[str, Any]


@dataclass(frozen=True, slots=True)
class MasterCell:
    """A cell of the instructor's notebook that nbgrader knows, or one that the lesson shows."""

    cell_id: str
    grade_id: str
    cell_type: str
    source: str
    metadata: Mapping[str, object]
    grade: bool
    solution: bool
    locked: bool
    points: float

    @property
    def exercise(self) -> str:
        """The exercise whose tests this cell runs by `%%check`, "" where it is no such cell."""
        first = self.source.partition("\n")[0].split()
        return first[1] if self.grade and len(first) == 2 and first[0] == "%%check" else ""


@dataclass(frozen=True, slots=True)
class Master:
    """What a lesson's submissions are graded by: the instructor's notebook, its tests and points."""

    lesson: str
    title: str
    # The cells that nbgrader knows, in order, by grade id.
    cells: Mapping[str, MasterCell]
    # The heading of each exercise, by name.
    headings: Mapping[str, str]
    metadata: Mapping[str, object]
    # What lies beside the notebook, by path relative to its folder.
    files: Mapping[str, bytes]
    # The headings of what explains each exercise, by its name.
    reading: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    # The modules that its cells import.
    imports: tuple[str, ...] = ()
    # The sources of the code cells that the lesson shows, which nbgrader doesn't know.
    code: tuple[str, ...] = ()

    @property
    def graded(self) -> tuple[MasterCell, ...]:
        """The cells that have points, in order."""
        return tuple(cell for cell in self.cells.values() if cell.grade)

    @property
    def section(self) -> str:
        """The section's folder: nbgrader's assignment."""
        return self.lesson.partition("/")[0]

    @property
    def notebook(self) -> str:
        """The file's name without its ending: nbgrader's notebook."""
        return self.lesson.partition("/")[2]


@dataclass(frozen=True, slots=True)
class Submission:
    """One notebook as it was handed in; `content` is None where there was no such file, or none that may be read."""

    student: str
    lesson: str
    content: bytes | None
    # Other files of the submission, by path relative to the notebook's folder.
    files: Mapping[str, bytes] = field(default_factory=dict)
    # When it was handed in (UTC, as nbgrader keeps it), where that is known.
    timestamp: datetime | None = None
    # Why a person has to look at it, besides what grading finds.
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Job:
    """What a worker needs, and all that it gets."""

    submission: Submission
    master: Master


@dataclass(frozen=True, slots=True)
class CellRun:
    """What became of one cell: its outputs in nbformat's form and, where it went wrong as a whole, how in words."""

    outputs: list[Output]
    execution_count: int | None = None
    fault: str = ""
    # Why a person has to look at it.
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TestLine:
    """One test of a check as its report tells it: "passed", "failed", "unsolved" or "skipped", and why in words."""

    __test__ = False

    sentence: str
    outcome: str
    message: str


@dataclass(frozen=True, slots=True)
class Score:
    """The points of one graded cell; `points` is None where a person has to give them."""

    grade_id: str
    exercise: str
    points: float | None
    max_points: float
    # Why points are missing, in one line.
    why: str = ""
    tests: tuple[TestLine, ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """What grading one submission came to."""

    student: str
    lesson: str
    timestamp: datetime | None
    scores: tuple[Score, ...]
    # None where nothing could be run.
    notebook: Notebook | None
    # What was mended or is odd, and doesn't need anybody.
    remarks: tuple[str, ...] = ()
    # Why a person has to look at it.
    doubts: tuple[str, ...] = ()
    # Whether the grader itself failed on it.
    failed: bool = False

    @property
    def points(self) -> float:
        """The points earned so far."""
        return sum(score.points or 0 for score in self.scores)

    @property
    def max_points(self) -> float:
        """The points of the whole lesson."""
        return sum(score.max_points for score in self.scores)

    @property
    def needs_person(self) -> bool:
        """Whether somebody has to look at it, or to give points."""
        return bool(self.doubts) or any(score.points is None for score in self.scores)


@dataclass(frozen=True, slots=True)
class Saved:
    """What the gradebook holds of a notebook, points given by a person included, and what is off for being late."""

    points: float
    penalty: float


@dataclass(frozen=True, slots=True)
class Limits:
    """What a notebook may take: seconds, bytes and characters."""

    # One cell; nbgrader's own default.
    cell: float = 30
    # All cells together, those that are run again among them; also the processor time of each process.
    notebook: float = 600
    # How long an interrupted cell has to end before its process is killed.
    grace: float = 4
    # How long a new process has to get ready.
    start: float = 60
    # Each process, and all of them together.
    memory: int = 2 << 30
    # Processes and threads.
    processes: int = 256
    # One file, and all files of its own.
    file_size: int = 256 << 20
    disk: int = 512 << 20
    # What a cell, and a notebook, may show.
    cell_output: int = 500_000
    notebook_output: int = 4_000_000


@dataclass(frozen=True, slots=True)
class Places:
    """Where grading puts what it makes, as `nbgrader_config.py` tells nbgrader."""

    root: Path

    @property
    def gradebook(self) -> Path:
        """The database."""
        return self.root / "gradebook.db"

    @property
    def filled(self) -> Path:
        """What the database was filled with."""
        return self.root / "filled.json"

    @property
    def autograded(self) -> Path:
        """The executed notebooks, in nbgrader's layout."""
        return self.root / "autograded"

    @property
    def feedback(self) -> Path:
        """The pages for people."""
        return self.root / "feedback"

    @property
    def overview(self) -> Path:
        """The page of the class."""
        return self.root / "class.html"

    @property
    def results(self) -> Path:
        """What the last results were and came from, so that unchanged work isn't run again."""
        return self.root / "results"

    @property
    def grades(self) -> Path:
        """The table of all scores."""
        return self.root / "grades.csv"
