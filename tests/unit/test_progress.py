"""The progress file: what is recorded, where, and what survives."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from autograder.course import Course, CourseError
from autograder.notebook import progress
from autograder.progress_report import read_progress

MANIFEST = """
checklist = []
resources = []

[[section]]
id = "core"
number = 1
title = "Core"
folder = "01_core"

[[section.subsection]]
id = "core/python"
title = "Python"
topics = [{ id = "core/python/loops", title = "Loops", terms = [] }]

[[section.lesson]]
file = "01_loops"
topics = ["core/python/loops"]
"""
LESSON = """
# %% [markdown]
# # Loops

# %% [markdown] exercise total topic=loops level=core minutes=5
# ### Exercise: Add them up
#
# Add the numbers.

# %% solution total
def total(numbers: list[int]) -> int:
    # BEGIN SOLUTION
    return sum(numbers)
    # END SOLUTION


# %% check total points=2
def test_adds() -> None:
    assert total([1, 2]) == 3


# %% hidden total points=3
def test_nothing_is_zero() -> None:
    assert total([]) == 0


# %% [markdown] exercise longest topic=loops level=core minutes=5
# Find the longest.

# %% solution longest
def longest(words: list[str]) -> str:
    # BEGIN SOLUTION
    return max(words, key=len)
    # END SOLUTION


# %% check longest points=1
def test_finds_it() -> None:
    assert longest(["a", "bb"]) == "bb"
"""


@pytest.fixture
def course(tmp_path: Path) -> Course:
    """A checkout with one lesson, and the learner's folder for it."""
    course = Course(tmp_path.resolve())
    for folder in (course.lessons / "01_core", course.work / "01_core"):
        folder.mkdir(parents=True)
    course.manifest.write_text(MANIFEST)
    (course.lessons / "01_core" / "01_loops.py").write_text(LESSON)
    return course


@pytest.fixture
def kept(course: Course, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The progress file of a learner whose kernel runs in the lesson's folder."""
    monkeypatch.chdir(course.work / "01_core")
    return course.root / "progress.json"


def test_a_whole_pass_is_recorded_with_its_time(kept: Path) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    progress.record("total", 3, 3)
    entry = progress.read(kept)["total"]
    assert before <= datetime.fromisoformat(entry.first_passed) <= datetime.now(UTC)
    assert entry.tests == 3


def test_the_first_pass_stays(kept: Path) -> None:
    kept.write_text(json.dumps({"total": {"first_passed": "2026-01-01T00:00:00+00:00", "tests": 1}}))
    progress.record("total", 3, 3)
    progress.record("longest", 1, 1)
    assert progress.read(kept)["total"] == progress.Passed("2026-01-01T00:00:00+00:00", 1)
    assert set(progress.read(kept)) == {"total", "longest"}


@pytest.mark.parametrize(("passed", "total"), [(0, 3), (2, 3), (0, 0)])
def test_anything_less_is_not_recorded(kept: Path, passed: int, total: int) -> None:
    progress.record("total", passed, total)
    assert progress.read(kept) == {}


@pytest.mark.parametrize("folder", ["solutions/01_core", "grading/autograded/ada/01_core", "."])
def test_checks_run_elsewhere_are_not_the_learners(
    course: Course, kept: Path, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (course.root / folder).mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(course.root / folder)
    progress.record("total", 3, 3)
    assert not kept.exists()


def test_nothing_is_recorded_outside_a_checkout(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path_factory.mktemp("elsewhere") / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    progress.record("total", 3, 3)
    assert list(folder.parent.rglob("*")) == [folder]


def test_the_committed_notebooks_count_where_they_are_worked_in(
    course: Course, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (course.notebooks / "01_core").mkdir(parents=True)
    monkeypatch.chdir(course.notebooks / "01_core")
    progress.record("total", 3, 3)
    assert set(progress.read(kept)) == {"total"}


@pytest.mark.parametrize(
    "content", ['{"total": {"first_pa', "[1]", '{"total": 3}', '{"total": {"tests": 1}}', "\0\xff"]
)
def test_a_damaged_file_is_set_aside_whole(kept: Path, content: str) -> None:
    kept.write_text(content, encoding="latin-1")
    progress.record("total", 3, 3)
    assert set(progress.read(kept)) == {"total"}
    aside = list(kept.parent.glob("progress.json.damaged*"))
    assert [path.read_text(encoding="latin-1") for path in aside] == [content]


def test_a_file_that_cannot_be_written_does_not_break_a_check(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError("read-only")

    monkeypatch.setattr(Path, "write_text", refuse)
    progress.record("total", 3, 3)
    assert not kept.exists()
    monkeypatch.setattr(Path, "open", refuse)
    progress.record("total", 3, 3)
    assert not kept.exists()


def test_a_lock_that_is_never_given_back_does_not_hang_a_check(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PATIENCE", 0.02)
    with progress._locked(kept):
        progress.record("total", 3, 3)
    assert not kept.exists()
    progress.record("total", 3, 3)
    assert set(progress.read(kept)) == {"total"}


def test_kernels_that_write_at_once_lose_nothing(kept: Path) -> None:
    program = "import sys; from autograder.notebook import progress\n"
    program += "for number in range(20): progress.record(f'{sys.argv[1]}{number}', 1, 1)"

    def run(name: str) -> None:
        subprocess.run([sys.executable, "-c", program, name], cwd=Path.cwd(), check=True)

    with ThreadPoolExecutor() as pool:
        list(pool.map(run, ["a", "b", "c"]))
    assert set(progress.read(kept)) == {f"{name}{number}" for name in "abc" for number in range(20)}
    assert not list(kept.parent.glob("*.tmp"))


def test_recording_imports_the_standard_library_alone() -> None:
    program = "import autograder.notebook.progress, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True)
    baseline = subprocess.run(
        [sys.executable, "-I", "-c", "import sys; print(*sys.modules)"], capture_output=True, text=True
    )
    added = {name.partition(".")[0] for name in done.stdout.split()} - {
        name.partition(".")[0] for name in baseline.stdout.split()
    }
    assert added - {"autograder"} <= sys.stdlib_module_names


def test_progress_is_shown_by_lesson_and_exercise(course: Course, kept: Path) -> None:
    progress.record("total", 1, 1)
    progress.record("an_exercise_that_has_gone", 1, 1)
    (lesson,) = read_progress(course)
    assert (lesson.id, lesson.section, lesson.title, lesson.passed) == ("01_core/01_loops", "Core", "Loops", 1)
    shown = [(exercise.title, exercise.points, exercise.passed is not None) for exercise in lesson.exercises]
    assert shown == [("Add them up", 5, True), ("longest", 1, False)]


def test_a_learner_who_has_not_begun_has_passed_nothing(course: Course) -> None:
    assert [lesson.passed for lesson in read_progress(course)] == [0]


def test_a_damaged_file_is_named_when_progress_is_asked_for(course: Course, kept: Path) -> None:
    kept.write_text("{")
    with pytest.raises(CourseError, match=r"progress\.json is damaged"):
        read_progress(course)
    assert kept.read_text() == "{"
