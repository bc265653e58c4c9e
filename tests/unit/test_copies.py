"""The learner's copy: whatever the course does to a lesson, what the learner typed is there afterwards."""

from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_notebook, new_output

from autograder.course import Course, CourseError
from autograder.workspace import State, Updated, reset, take, update
from autograder.workspace.merge import Merge, merge
from tests.unit.released import cell_of, exercise, first_version, ids_of, notebook, text

LESSON = "01_core/01_loops"
MANIFEST = """
checklist = []
resources = []

[[section]]
id = "core"
number = 1
title = "Core"
folder = "01_core"
subsection = []

[[section.lesson]]
file = "01_loops"
topics = []

[[section.lesson]]
file = "02_types"
topics = []
"""


@pytest.fixture
def course(tmp_path: Path) -> Course:
    """A checkout with two released lessons and a start page."""
    course = Course(tmp_path)
    course.lessons.mkdir()
    course.manifest.write_text(MANIFEST)
    release(course, first_version())
    release(course, notebook(exercise("gamma")), "01_core/02_types")
    release(course, new_notebook(cells=[text("# Start", "start")], nbformat_minor=5), "index")
    return course


def release(course: Course, made: NotebookNode, lesson: str = LESSON) -> None:
    path = course.notebooks / f"{lesson}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(made, path)


def own(course: Course, lesson: str = LESSON) -> Path:
    return course.work / f"{lesson}.ipynb"


def load(path: Path) -> NotebookNode:
    made: NotebookNode = nbformat.read(path, as_version=4)
    return made


def solve(course: Course, name: str, answer: str) -> bytes:
    """Write an answer into the learner's copy; return the file's content."""
    made = load(own(course))
    cell_of(made, f"solution-{name}").source = answer
    nbformat.write(made, own(course))
    return own(course).read_bytes()


def kept_files(course: Course) -> list[Path]:
    return sorted(course.work.rglob("*.kept-*"))


def second_version() -> NotebookNode:
    return notebook(exercise("delta"), exercise("beta", stub="def beta(new): ..."))


class TestTake:
    """The copy that a learner gets."""

    def test_every_lesson_and_the_start_page_are_copied(self, course: Course) -> None:
        assert take(course).taken == (LESSON, "01_core/02_types")
        for lesson in (LESSON, "01_core/02_types", "index"):
            assert own(course, lesson).read_bytes() == (course.notebooks / f"{lesson}.ipynb").read_bytes()
        notebooks = {path.relative_to(course.work).as_posix() for path in course.work.rglob("*.ipynb")}
        assert notebooks == {"index.ipynb", "01_core/01_loops.ipynb", "01_core/02_types.ipynb"}

    def test_what_the_learner_has_is_not_touched(self, course: Course) -> None:
        take(course)
        old = solve(course, "beta", "beta = 1")
        release(course, second_version())
        report = take(course)
        assert (report.taken, report.changed) == ((), (LESSON,))
        assert own(course).read_bytes() == old
        assert "course update" in report.lines[0]

    def test_only_what_is_missing_is_copied_again(self, course: Course) -> None:
        take(course)
        own(course).unlink()
        assert take(course).taken == (LESSON,)
        assert take(course).lines == ()

    @pytest.mark.parametrize("damage", ["", '{"cells": [', "[]"])
    def test_a_record_that_is_lost_or_damaged_is_said(self, course: Course, damage: str) -> None:
        take(course)
        old = solve(course, "beta", "beta = 1")
        (course.work / ".taken" / f"{LESSON}.json").write_text(damage)
        (course.work / ".taken" / "01_core/02_types.json").unlink()
        report = take(course)
        assert report.unknown == (LESSON,)
        assert own(course).read_bytes() == old
        # The untouched copy tells its version itself, and is remembered again.
        release(course, notebook(exercise("gamma"), exercise("new")), "01_core/02_types")
        assert take(course).changed == ("01_core/02_types",)

    def test_line_ends_that_git_changes_are_no_change(self, course: Course) -> None:
        take(course)
        path = course.notebooks / f"{LESSON}.ipynb"
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
        assert take(course).changed == ()

    def test_the_start_page_is_always_the_newest(self, course: Course) -> None:
        take(course)
        release(course, new_notebook(cells=[text("# New", "start")], nbformat_minor=5), "index")
        assert take(course).kept_start_page is None
        assert load(own(course, "index")).cells[0].source == "# New"
        assert kept_files(course) == []

    def test_what_was_written_on_the_start_page_is_kept(self, course: Course) -> None:
        take(course)
        nbformat.write(new_notebook(cells=[text("my plan", "start")], nbformat_minor=5), own(course, "index"))
        report = take(course)
        assert report.kept_start_page is not None
        assert load(course.root / report.kept_start_page).cells[0].source == "my plan"
        assert load(own(course, "index")).cells[0].source == "# Start"

    def test_a_checkout_without_lessons_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(CourseError, match="make build"):
            take(Course(tmp_path))
        assert not (tmp_path / "work").exists()


def only(reports: tuple[Updated, ...]) -> Updated:
    (report,) = reports
    return report


class TestUpdate:
    """A new version of a lesson under the learner's work."""

    def test_the_answers_arrive_and_the_old_file_is_kept(self, course: Course) -> None:
        take(course)
        old = solve(course, "beta", "beta = 1")
        release(course, second_version())
        report = only(update(course, "loops"))
        assert report.kept is not None
        assert (course.root / report.kept).read_bytes() == old
        assert cell_of(load(own(course)), "solution-beta").source == "beta = 1"
        assert "solution-delta" in ids_of(load(own(course)))
        assert any("Reload" in line for line in report.lines)
        assert any(str(report.kept) in line for line in report.lines)
        assert take(course).changed == ()

    def test_kept_files_are_never_overwritten_nor_taken_for_lessons(self, course: Course) -> None:
        take(course)
        contents = set()
        for number in range(4):
            contents.add(solve(course, "beta", f"beta = {number}"))
            release(course, notebook(exercise("beta"), text(f"Version {number}", "text")))
            update(course, "loops")
        assert {path.read_bytes() for path in kept_files(course)} == contents
        assert all("." in path.stem and path.parent == own(course).parent for path in kept_files(course))
        assert take(course).lines == ()

    def test_without_a_name_all_that_has_changed_is_updated(self, course: Course) -> None:
        take(course)
        solve(course, "beta", "beta = 1")
        assert update(course) == ()
        release(course, second_version())
        own(course, "01_core/02_types").unlink()
        assert [report.lesson for report in update(course)] == [LESSON]
        assert not own(course, "01_core/02_types").exists()

    def test_an_untouched_copy_is_replaced_and_nothing_is_kept(self, course: Course) -> None:
        take(course)
        release(course, second_version())
        assert only(update(course)).kept is None
        assert load(own(course)) == second_version()
        assert kept_files(course) == []

    def test_a_lesson_that_is_current_is_left_alone(self, course: Course) -> None:
        take(course)
        old = solve(course, "beta", "beta = 1")
        assert only(update(course, "loops")).before is State.CURRENT
        assert own(course).read_bytes() == old
        assert kept_files(course) == []

    def test_a_lesson_that_is_not_there_is_taken(self, course: Course) -> None:
        assert only(update(course, "loops")).before is State.ABSENT
        assert load(own(course)) == first_version()

    def test_without_a_record_the_answers_arrive_as_well(self, course: Course) -> None:
        take(course)
        old = solve(course, "beta", "beta = 1")
        (course.work / ".taken" / f"{LESSON}.json").unlink()
        release(course, second_version())
        assert only(update(course)).before is State.UNKNOWN
        assert cell_of(load(own(course)), "solution-beta").source == "beta = 1"
        assert [path.read_bytes() for path in kept_files(course)] == [old]
        assert take(course).lines == ()

    @pytest.mark.parametrize(
        "damaged",
        [
            b"",
            b"{}",
            b'{"cells": [{"cell_type": "code", "sour',
            b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [{"cell_type": "code"}]}',
            b'{"nbformat": 4, "cells": [{"cell_type": "code", "metadata": {}, "source": [], "outputs": [1]}]}',
            b'{"nbformat": 3, "worksheets": []}',
            b"<<<<<<< HEAD\n{}",
            b"\xff\xfe\0",
        ],
    )
    def test_a_damaged_file_is_refused_in_one_line_and_left_as_it_is(self, course: Course, damaged: bytes) -> None:
        take(course)
        own(course).write_bytes(damaged)
        for lesson in (LESSON, "01_core/02_types"):
            release(course, notebook(exercise("new")), lesson)
        refused, done = update(course)
        assert own(course).read_bytes() == damaged
        assert kept_files(course) == []
        assert refused.refused is not None
        assert "work/01_core/01_loops.ipynb" in refused.refused
        assert "course reset" in refused.refused
        assert "\n" not in refused.refused
        # The other lesson is updated all the same.
        assert (done.refused, ids_of(load(own(course, "01_core/02_types")))[1]) == (None, "exercise-new")

    def test_a_file_saved_in_the_meantime_is_left_as_it_is(
        self, course: Course, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        take(course)
        solve(course, "beta", "beta = 1")
        release(course, second_version())

        def save_as_well(*arguments: NotebookNode) -> Merge:
            solve(course, "beta", "beta = 'saved later'")
            return merge(*arguments)

        monkeypatch.setattr("autograder.workspace.copies.merge", save_as_well)
        assert only(update(course)).refused
        assert cell_of(load(own(course)), "solution-beta").source == "beta = 'saved later'"

    def test_a_write_that_fails_leaves_the_file_as_it_is(self, course: Course, monkeypatch: pytest.MonkeyPatch) -> None:
        take(course)
        old = solve(course, "beta", "beta = 1")
        release(course, second_version())

        def refuse(*arguments: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "replace", refuse)
        assert "could not be written" in (only(update(course)).refused or "")
        assert own(course).read_bytes() == old
        assert not list(course.work.rglob("*.tmp"))

    def test_a_mark_in_front_of_the_text_is_no_damage(self, course: Course) -> None:
        take(course)
        own(course).write_bytes(b"\xef\xbb\xbf" + solve(course, "beta", "beta = 'ö'"))
        release(course, second_version())
        assert only(update(course)).refused is None
        assert cell_of(load(own(course)), "solution-beta").source == "beta = 'ö'"

    def test_an_unknown_name_is_refused(self, course: Course) -> None:
        with pytest.raises(CourseError, match="loops"):
            update(course, "lops")


class TestReset:
    """The stub given back."""

    def test_an_exercise_gets_its_stub_and_the_rest_stays(self, course: Course) -> None:
        take(course)
        solve(course, "alpha", "alpha = 1")
        old = solve(course, "beta", "beta = 1")
        report = reset(course, "beta")
        assert report.kept is not None
        assert (course.root / report.kept).read_bytes() == old
        assert cell_of(load(own(course)), "solution-beta") == cell_of(first_version(), "solution-beta")
        assert cell_of(load(own(course)), "solution-alpha").source == "alpha = 1"

    def test_it_is_the_stub_of_the_version_that_the_learner_has(self, course: Course) -> None:
        take(course)
        solve(course, "beta", "beta = 1")
        release(course, second_version())
        reset(course, "beta")
        assert cell_of(load(own(course)), "solution-beta") == cell_of(first_version(), "solution-beta")

    @pytest.mark.parametrize("copies", [0, 3])
    def test_an_answer_that_was_deleted_or_duplicated_is_one_stub_again(self, course: Course, copies: int) -> None:
        take(course)
        made = load(own(course))
        old = cell_of(made, "solution-beta")
        made.cells[made.cells.index(old) : made.cells.index(old) + 1] = [
            nbformat.from_dict(old | {"id": f"copy-{number}", "source": f"beta = {number}"}) for number in range(copies)
        ]
        nbformat.write(made, own(course))
        reset(course, "beta")
        assert load(own(course)) == first_version()

    def test_the_marks_of_its_check_go_and_others_stay(self, course: Course) -> None:
        take(course)
        made = load(own(course))
        for name in ("alpha", "beta"):
            cell_of(made, f"check-{name}").outputs = [new_output("stream", text="✔ passed")]
        cell_of(made, "solution-beta").source = "beta = 1"
        nbformat.write(made, own(course))
        reset(course, "beta")
        assert cell_of(load(own(course)), "check-beta").outputs == []
        assert cell_of(load(own(course)), "check-alpha").outputs != []

    def test_a_lesson_comes_afresh_in_its_newest_version(self, course: Course) -> None:
        take(course)
        old = solve(course, "beta", "beta = 1")
        release(course, second_version())
        report = reset(course, "01_loops")
        assert load(own(course)) == second_version()
        assert report.kept is not None
        assert (course.root / report.kept).read_bytes() == old
        assert take(course).lines == ()

    def test_a_damaged_lesson_comes_afresh_and_is_kept(self, course: Course) -> None:
        take(course)
        own(course).write_bytes(b'{"cells": [')
        reset(course, "loops")
        assert load(own(course)) == first_version()
        assert [path.read_bytes() for path in kept_files(course)] == [b'{"cells": [']

    @pytest.mark.parametrize("name", ["beta", "loops"])
    def test_what_is_untouched_is_left_alone(self, course: Course, name: str) -> None:
        take(course)
        assert reset(course, name).kept is None
        assert kept_files(course) == []

    @pytest.mark.parametrize(
        ("name", "said"),
        [("bta", "no exercise"), ("core", "is a section"), ("types", "not there"), ("delta", "update")],
    )
    def test_a_name_that_cannot_be_reset_is_refused(self, course: Course, name: str, said: str) -> None:
        take(course)
        own(course, "01_core/02_types").unlink()
        release(course, second_version())
        with pytest.raises(CourseError, match=said):
            reset(course, name)
        assert kept_files(course) == []

    def test_an_exercise_of_a_damaged_lesson_is_refused(self, course: Course) -> None:
        take(course)
        own(course).write_bytes(b"{")
        with pytest.raises(CourseError, match="damaged"):
            reset(course, "beta")
        assert own(course).read_bytes() == b"{"
