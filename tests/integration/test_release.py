"""Releasing: two trees that are the same each time, and nothing written where a source has a defect."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest

from autograder import cli
from autograder.course import Course
from autograder.lesson.release import build, stale
from autograder.lesson.source import SourceError
from tests.integration.conftest import MANIFEST

LESSON = '''\
# %% [markdown]
# # Sums

# %%
ONE = 1

# %%
ONE = 1

# %% [markdown] exercise add topic=sums level=core minutes=5
# ## Exercise: add
#
# Add.

# %% solution add
def add(a: int, b: int) -> int:
    """Return a + b."""
    # BEGIN SOLUTION
    return a + b
    # END SOLUTION


# %% check add points=1
def test_adds() -> None:
    assert add(1, 2) == 3


# %% hidden add points=2
def test_adds_zero() -> None:
    assert add(1, 0) == 1


# %% wrong add fails=test_adds
def add(a: int, b: int) -> int:
    return a - b


# %% right add
def add(a: int, b: int) -> int:
    return sum((a, b))


# %% [markdown] hint add
# Look at `+`.

# %% [markdown] after add
# Because.

# %% [markdown] exercise mend topic=sums level=core minutes=5
# ## Exercise: mend
#
# Mend.

# %% solution mend
def mend() -> int:
    return 3


# %% starter mend
def mend() -> int:
    return 2


# %% check mend points=1
def test_mended() -> None:
    assert mend() == 3


# %% [markdown] interview
# ### What is `+`?
#
# A sign.
'''


@pytest.fixture
def course(tmp_path: Path) -> Course:
    course = Course(tmp_path)
    (course.lessons / "01_core").mkdir(parents=True)
    course.manifest.write_text(MANIFEST)
    _source(course).write_text(LESSON)
    return course


@pytest.fixture
def refused(course: Course, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """Run `course build`, which has to end with status 2; return what it said."""

    def run() -> str:
        monkeypatch.chdir(course.root)
        monkeypatch.setattr("sys.argv", ["course", "build"])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == 2
        return capsys.readouterr().err

    return run


def _source(course: Course) -> Path:
    return course.lessons / "01_core/01_sums.py"


def _cells(course: Course, tree: str) -> dict[str, str]:
    notebook = nbformat.read(course.root / tree / "01_core/01_sums.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") for cell in notebook.cells)
    return {cell.id: cell.source for cell in notebook.cells}


def test_the_learner_gets_stubs_and_starters_but_no_answer(course: Course) -> None:
    build(course)
    cells = _cells(course, "notebooks")
    assert next(iter(cells.items())) == ("setup", "%load_ext autograder")
    assert '"""Return a + b."""' in cells["solution-add"]
    assert "raise NotImplementedError" in cells["solution-add"]
    assert cells["solution-mend"] == "def mend() -> int:\n    return 2"
    assert cells["check-add"].startswith("%%check add\n")
    assert "test_adds_zero" not in "".join(cells.values())
    assert "1 more test" in cells["hidden-add"]
    assert "1 + 2 points" in cells["exercise-add"]
    assert cells["hint-add-1"].startswith("<details>")
    assert not any(cell.startswith(("after", "right")) for cell in cells)


def test_an_unsolved_exercise_does_not_stop_run_all(course: Course) -> None:
    build(course)
    notebook = nbformat.read(course.notebooks / "01_core/01_sums.ipynb", as_version=4)
    tagged = {cell.id for cell in notebook.cells if "raises-exception" in cell.metadata.get("tags", ())}
    assert tagged == {"solution-add", "check-add", "hidden-add", "solution-mend", "check-mend"}


def test_the_instructor_gets_answers_and_hidden_tests(course: Course) -> None:
    build(course)
    cells = _cells(course, "solutions")
    assert "return a + b" in cells["solution-add"]
    assert "### BEGIN HIDDEN TESTS\ndef test_adds_zero" in cells["hidden-add"]
    assert cells["after-add"] == "Because."
    assert "return sum((a, b))" in cells["right-add-1"]
    assert not any("a - b" in source for source in cells.values())


def test_ids_come_from_names_and_content_not_from_position(course: Course) -> None:
    build(course)
    before = set(_cells(course, "solutions"))
    _source(course).write_text(
        LESSON.replace("# %% [markdown] exercise add", "# %% [markdown]\n# New.\n\n# %% [markdown] exercise add")
    )
    build(course)
    assert len(set(_cells(course, "solutions")) - before) == 1
    assert before < set(_cells(course, "solutions"))


def test_building_twice_writes_nothing(course: Course) -> None:
    assert {path.parts[0] for path in build(course)} == {"solutions", "notebooks"}
    assert build(course) == []
    assert stale(course) == []


def test_a_notebook_that_was_edited_by_hand_is_stale(course: Course) -> None:
    build(course)
    path = course.notebooks / "01_core/01_sums.ipynb"
    path.write_text(path.read_text().replace("Add.", "Add!"))
    extra = course.solutions / "01_core/02_gone.ipynb"
    extra.write_text("{}")
    assert stale(course) == [Path("notebooks/01_core/01_sums.ipynb"), Path("solutions/01_core/02_gone.ipynb")]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("# %% check add", "# %% chek add", "'chek'"),
        ("# %% check add", "# %% check sub", "'sub'"),
        ("exercise mend topic=sums", "exercise mend topic=products", "'products'"),
    ],
)
def test_a_defect_is_one_line_exit_status_2_and_nothing_is_written(
    course: Course, refused: Callable[[], str], old: str, new: str, words: str
) -> None:
    _source(course).write_text(LESSON.replace(old, new, 1))
    said = refused()
    assert words in said
    assert "lessons/01_core/01_sums.py:" in said
    assert len(said.strip().splitlines()) == 1
    assert not course.solutions.exists()
    assert not course.notebooks.exists()


def test_an_exercises_name_is_used_once_in_the_course(course: Course) -> None:
    course.manifest.write_text(MANIFEST + '\n[[section.lesson]]\nfile = "02_again"\ntopics = ["core/basics/sums"]\n')
    (course.lessons / "01_core/02_again.py").write_text(LESSON)
    with pytest.raises(SourceError, match=r"'add'.*01_core/01_sums"):
        build(course)


def test_a_listed_lesson_without_a_file_is_named(course: Course, refused: Callable[[], str]) -> None:
    _source(course).unlink()
    assert "lessons/01_core/01_sums.py" in refused()
