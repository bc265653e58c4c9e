"""The learner's copy: whatever the course does to a lesson, what the learner typed is there afterwards."""

import itertools
import json
import random
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from nbgrader.utils import compute_checksum

from autograder.course import Course, CourseError
from autograder.workspace import State, Updated, reset, take, update
from autograder.workspace.merge import HEADING, Merge, merge

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


def graded(cell: NotebookNode, grade_id: str, *, solution: bool = False, points: int = 0) -> NotebookNode:
    """Return a cell with the metadata that nbgrader's release step gives it."""
    cell.metadata.nbgrader = {
        "cell_type": cell.cell_type,
        "grade": points > 0,
        "grade_id": grade_id,
        "locked": not solution,
        "schema_version": 3,
        "solution": solution,
        "task": False,
    }
    if points:
        cell.metadata.nbgrader["points"] = points
    cell.metadata.nbgrader["checksum"] = compute_checksum(cell)
    cell.metadata["deletable"] = False
    return cell


def text(source: str, cell_id: str) -> NotebookNode:
    cell: NotebookNode = new_markdown_cell(source, id=cell_id)
    return cell


def exercise(
    name: str, stub: str | None = None, prompt: str = "Write it.", test: str = "assert True"
) -> list[NotebookNode]:
    """Return the cells of one exercise as the learner is given them."""
    stub = stub or f"def {name}():\n    raise NotImplementedError"
    return [
        text(f"### {name}\n\n{prompt}", f"exercise-{name}"),
        graded(new_code_cell(stub, id=f"solution-{name}"), name, solution=True),
        graded(new_code_cell(f"%%check {name}\n{test}", id=f"check-{name}"), f"{name}-check", points=2),
    ]


def notebook(*cells: NotebookNode | list[NotebookNode]) -> NotebookNode:
    """Return a released lesson of these cells, behind the setup cell."""
    setup = graded(new_code_cell("%load_ext autograder", id="setup"), "setup")
    flat = itertools.chain.from_iterable(cell if isinstance(cell, list) else [cell] for cell in cells)
    made: NotebookNode = new_notebook(cells=[setup, *flat])
    made.nbformat_minor = 5
    nbformat.validate(made)
    return made


def first_version() -> NotebookNode:
    return notebook(text("# Loops", "text-1"), exercise("alpha"), text("More.", "text-2"), exercise("beta"))


def copy_of(made: NotebookNode) -> NotebookNode:
    same: NotebookNode = nbformat.from_dict(json.loads(json.dumps(made)))
    return same


def cell_of(made: NotebookNode, cell_id: str) -> NotebookNode:
    (found,) = [cell for cell in made.cells if cell.id == cell_id]
    return found


def ids_of(made: NotebookNode) -> list[str]:
    return [cell.id for cell in made.cells]


def insert_after(made: NotebookNode, cell_id: str, *cells: NotebookNode) -> None:
    place = ids_of(made).index(cell_id) + 1
    made.cells[place:place] = cells


def sources(made: NotebookNode) -> str:
    return "\n\n".join(cell.source for cell in made.cells)


def merged(mine: NotebookNode, theirs: NotebookNode, base: NotebookNode | None = None) -> Merge:
    """Merge with `first_version` as what the learner was given, and see that the result is a notebook."""
    result = merge(base or first_version(), mine, theirs)
    nbformat.validate(result.notebook)
    return result


class TestMerge:
    """Notebooks in, notebook out."""

    def test_an_answer_goes_to_its_exercise_whatever_else_has_changed(self) -> None:
        mine = first_version()
        cell_of(mine, "solution-beta").source = "def beta(): return 'mine'"
        theirs = notebook(
            text("# Better loops", "text-9"),
            exercise("gamma"),
            exercise("beta", stub="def beta(x):\n    raise NotImplementedError", prompt="Do it.", test="assert 1"),
            exercise("alpha"),
        )
        result = merged(mine, theirs)
        assert ids_of(result.notebook) == ids_of(theirs)
        assert cell_of(result.notebook, "solution-beta").source == "def beta(): return 'mine'"
        assert cell_of(result.notebook, "check-beta").source.endswith("assert 1")
        assert (result.answers, result.restubbed, result.added) == (("beta",), ("beta",), ("gamma",))

    def test_an_untouched_stub_is_replaced_by_the_new_one(self) -> None:
        theirs = notebook(exercise("alpha", stub="def alpha(new):\n    raise NotImplementedError"))
        result = merged(first_version(), theirs)
        assert result.notebook == theirs
        assert result.answers == result.gone == result.dropped == ()

    def test_without_a_record_the_checksum_tells_an_untouched_stub(self) -> None:
        mine = first_version()
        cell_of(mine, "solution-beta").source = "beta = 1"
        theirs = notebook(exercise("alpha", stub="def alpha(new): ..."), exercise("beta", stub="def beta(new): ..."))
        result = merge(None, mine, theirs)
        assert cell_of(result.notebook, "solution-alpha").source == "def alpha(new): ..."
        assert cell_of(result.notebook, "solution-beta").source == "beta = 1"
        assert result.answers == ("beta",)

    def test_an_answer_without_its_exercise_comes_at_the_end_under_a_heading(self) -> None:
        mine = first_version()
        cell_of(mine, "solution-alpha").source = "alpha = 'mine'"
        insert_after(mine, "check-alpha", new_code_cell("print(alpha)", id="try"))
        result = merged(mine, notebook(exercise("renamed"), exercise("beta")))
        *_, heading, answer, tried = result.notebook.cells
        assert (heading.source, answer.source, tried.source) == (HEADING, "alpha = 'mine'", "print(alpha)")
        assert "nbgrader" not in answer.metadata
        assert answer.metadata.get("deletable", True)
        assert (result.gone, result.added, result.own) == (("alpha",), ("renamed",), 1)

    def test_own_cells_stay_behind_the_cell_that_they_followed(self) -> None:
        mine = first_version()
        mine.cells.insert(0, new_markdown_cell("My notes", id="top"))
        insert_after(mine, "solution-beta", new_code_cell("beta()", id="one"), new_code_cell("", id="empty"))
        insert_after(mine, "one", new_markdown_cell("`beta` is odd", id="two", metadata={"tags": ["mine"]}))
        theirs = notebook(exercise("beta"), exercise("gamma"), exercise("alpha"))
        result = merged(mine, theirs)
        assert ids_of(result.notebook) == [
            *("top", "setup", "exercise-beta", "solution-beta", "one", "two", "check-beta"),
            *ids_of(notebook(exercise("gamma"), exercise("alpha")))[1:],
        ]
        assert cell_of(result.notebook, "two").metadata == {"tags": ["mine"]}
        assert result.own == 3

    def test_an_own_cell_behind_text_that_has_gone_stays_in_its_neighbourhood(self) -> None:
        mine = first_version()
        insert_after(mine, "text-2", new_code_cell("1 + 1", id="mine"))
        result = merged(mine, notebook(text("# Loops", "text-1"), exercise("alpha"), exercise("beta")))
        order = ids_of(result.notebook)
        assert order.index("check-alpha") + 1 == order.index("mine") == order.index("exercise-beta") - 1

    def test_what_took_the_place_of_a_deleted_stub_still_comes_behind_it(self) -> None:
        mine = first_version()
        insert_after(mine, "solution-beta", new_code_cell("def beta(): return 1", id="instead"))
        mine.cells.remove(cell_of(mine, "solution-beta"))
        order = ids_of(merged(mine, first_version()).notebook)
        assert order.index("solution-beta") + 1 == order.index("instead") == order.index("check-beta") - 1

    def test_text_that_the_learner_edited_stays_where_the_course_left_it_alone(self) -> None:
        mine = first_version()
        cell_of(mine, "text-2").source = "More.\n\n    code_in_text()"
        theirs = notebook(text("# Loops", "text-1"), text("More.", "text-2"), exercise("gamma"))
        result = merged(mine, theirs)
        assert ids_of(result.notebook) == ids_of(theirs)
        assert "code_in_text()" in cell_of(result.notebook, "text-2").source
        assert result.edited == 1

    def test_text_that_both_changed_is_there_twice(self) -> None:
        mine = first_version()
        cell_of(mine, "exercise-beta").source += "\n\nNote to self"
        result = merged(mine, notebook(exercise("beta", prompt="Now do that.")))
        _, new, own, *_ = result.notebook.cells
        assert new.source.endswith("Now do that.")
        assert own.source.endswith("Note to self")

    def test_pasted_pictures_come_along(self) -> None:
        picture = {"a.png": {"image/png": "aGVsbG8="}}
        mine = first_version()
        cell_of(mine, "text-2").update(source="![](attachment:a.png)", attachments=picture)
        insert_after(mine, "text-2", new_markdown_cell("![](attachment:a.png) too", id="own", attachments=picture))
        result = merged(mine, first_version()).notebook
        assert cell_of(result, "text-2").attachments == cell_of(result, "own").attachments == picture

    def test_a_split_answer_becomes_one(self) -> None:
        mine = first_version()
        first = cell_of(mine, "solution-beta")
        first.source = "def beta():"
        second = copy_of(first)
        second.update(id="split", source="    return 'mine'")
        insert_after(mine, "solution-beta", second)
        result = merged(mine, first_version())
        namespace: dict[str, object] = {}
        exec(cell_of(result.notebook, "solution-beta").source + "\nanswer = beta()", namespace)
        assert namespace["answer"] == "mine"
        assert ids_of(result.notebook) == ids_of(first_version())
        assert result.joined == ("beta",)

    def test_of_a_duplicated_answer_the_last_one_counts_as_it_did(self) -> None:
        mine = first_version()
        for number in range(3):
            second = copy_of(cell_of(mine, "solution-beta"))
            second.update(id=f"copy-{number}", source=f"beta = {number}")
            insert_after(mine, f"copy-{number - 1}" if number else "solution-beta", second)
        result = merged(mine, first_version())
        namespace: dict[str, object] = {}
        exec(cell_of(result.notebook, "solution-beta").source, namespace)
        assert namespace["beta"] == 2
        assert "NotImplementedError" not in cell_of(result.notebook, "solution-beta").source

    def test_parts_with_a_cell_magic_are_not_joined(self) -> None:
        mine = first_version()
        second = copy_of(cell_of(mine, "solution-beta"))
        cell_of(mine, "solution-beta").source = "beta = 1"
        second.update(id="split", source="%%time\nbeta")
        insert_after(mine, "solution-beta", second)
        result = merged(mine, first_version()).notebook
        assert cell_of(result, "solution-beta").source == "beta = 1"
        assert cell_of(result, "split").source == "%%time\nbeta"
        assert "nbgrader" not in cell_of(result, "split").metadata

    def test_an_answer_turned_into_text_stays_text_behind_the_stub(self) -> None:
        mine = first_version()
        old = cell_of(mine, "solution-beta")
        turned = new_markdown_cell("beta = 1", id=old.id, metadata=old.metadata)
        mine.cells[mine.cells.index(old)] = turned
        result = merged(mine, first_version()).notebook
        place = ids_of(result).index("solution-beta")
        assert [(cell.cell_type, cell.source) for cell in result.cells[place : place + 2]] == [
            ("code", cell_of(first_version(), "solution-beta").source),
            ("markdown", "beta = 1"),
        ]

    def test_changes_to_locked_cells_are_named_and_left_out(self) -> None:
        mine = first_version()
        cell_of(mine, "check-beta").source += "\n# mine"
        theirs = notebook(exercise("beta", test="assert 2"))
        result = merged(mine, theirs)
        assert result.notebook == theirs
        assert result.dropped == ("beta-check",)

    @pytest.mark.parametrize("lost", [{"ids"}, {"metadata"}])
    def test_an_answer_is_known_by_name_or_by_id(self, lost: set[str]) -> None:
        mine = without(first_version(), lost)
        mine.cells[-2].source = "beta = 'mine'"
        result = merged(mine, first_version())
        assert cell_of(result.notebook, "solution-beta").source == "beta = 'mine'"
        assert ids_of(result.notebook) == ids_of(first_version())

    def test_an_answer_with_neither_comes_behind_its_stub(self) -> None:
        mine = without(first_version(), {"ids", "metadata"})
        mine.cells[-2].source = "beta = 'mine'"
        result = merged(mine, first_version())
        *_, stub, answer, check = result.notebook.cells
        assert (stub.id, answer.source, check.id) == ("solution-beta", "beta = 'mine'", "check-beta")
        assert result.own == 1

    def test_two_cells_with_the_same_id_both_come_along(self) -> None:
        mine = first_version()
        insert_after(mine, "text-2", copy_of(cell_of(mine, "text-2")))
        for number, cell in enumerate(cell for cell in mine.cells if cell.id == "text-2"):
            cell.source = f"note {number}"
        assert {"note 0", "note 1"} <= {cell.source for cell in merged(mine, first_version()).notebook.cells}

    def test_nothing_is_run_yet_in_the_new_notebook(self) -> None:
        mine = first_version()
        insert_after(mine, "check-beta", new_code_cell("1", id="own"))
        for cell in mine.cells:
            if cell.cell_type == "code":
                cell.update(outputs=[new_output("stream", text="✔ passed")], execution_count=1)
        cells = merged(mine, first_version()).notebook.cells
        assert all(cell.outputs == [] and cell.execution_count is None for cell in cells if cell.cell_type == "code")

    def test_the_end_keeps_its_place_in_the_next_update(self) -> None:
        mine = first_version()
        cell_of(mine, "solution-alpha").source = "alpha = 1"
        second = notebook(exercise("beta"))
        once = merged(mine, second).notebook
        once.cells.append(new_markdown_cell("written later", id="later"))
        twice = merged(once, notebook(exercise("gamma")), base=second).notebook
        assert [cell.source for cell in twice.cells[-3:]] == [HEADING, "alpha = 1", "written later"]


def without(made: NotebookNode, lost: set[str]) -> NotebookNode:
    """Return a notebook as a tool leaves it that drops cell ids or metadata."""
    same = copy_of(made)
    for cell in same.cells:
        if "ids" in lost:
            del cell["id"]
        if "metadata" in lost:
            cell.metadata = {}
    return same


def random_version(chance: random.Random) -> NotebookNode:
    """Return a lesson of a few exercises and texts in some order, each in one of two wordings."""
    parts: list[NotebookNode | list[NotebookNode]] = []
    for name in chance.sample("abcdef", chance.randint(1, 6)):
        wording = chance.choice(["", "_new"])
        stub = f"def {name}(x{wording}):\n    raise NotImplementedError"
        parts.append(exercise(name, stub, prompt=f"Do{chance.choice(['', ' all'])}.", test=f"assert {name}{wording}"))
    for number in chance.sample(range(6), chance.randint(0, 6)):
        parts.insert(chance.randint(0, len(parts)), text(f"Text {number}", f"text-{number}"))
    return notebook(*parts)


def work_on(made: NotebookNode, chance: random.Random) -> tuple[dict[str, str], list[str]]:
    """Type into a notebook as learners do; return the answers by exercise and everything that was typed."""
    answers: dict[str, str] = {}
    typed: list[str] = []

    def word() -> str:
        typed.append(f"typed_{len(typed)}_")
        return typed[-1]

    for cell in list(made.cells):
        place = made.cells.index(cell)
        solution = cell.metadata.get("nbgrader", {}).get("solution")
        act = chance.randrange(8)
        if solution and act < 4:
            cell.source = f"def answer():\n    return '{word()}'"
            answers[cell.metadata.nbgrader.grade_id] = typed[-1]
            if act == 0:
                again = copy_of(cell)
                again.update(id=f"again-{place}", source=f"extra = '{word()}'")
                made.cells.insert(place + 1, again)
        elif act == 4:
            made.cells.insert(place + 1, new_code_cell(word(), id=f"own-code-{place}"))
        elif act == 5:
            made.cells.insert(place, new_markdown_cell(word(), id=f"own-text-{place}"))
        elif act == 6 and not cell.metadata.get("nbgrader"):
            cell.source += f"\n\n{word()}"
        elif act == 7 and not cell.metadata.get("nbgrader"):
            made.cells.remove(cell)
    return answers, typed


@pytest.mark.parametrize("seed", range(60))
def test_whatever_changes_every_keystroke_is_in_the_new_notebook(seed: int) -> None:
    chance = random.Random(seed)
    base, second, third = (random_version(chance) for _ in range(3))
    mine = copy_of(base)
    answers, typed = work_on(mine, chance)
    for known, theirs in ((base, second), (second, third)):
        result = merged(mine, theirs, base=known)
        assert not result.dropped
        for name, answer in answers.items():
            if f"solution-{name}" in ids_of(theirs) and f"solution-{name}" in ids_of(known):
                assert answer in cell_of(result.notebook, f"solution-{name}").source
        for word in typed:
            assert word in sources(result.notebook)
        # The course's own cells are all there, in the new order.
        assert [cell for cell in ids_of(result.notebook) if cell in ids_of(theirs)] == ids_of(theirs)
        mine = result.notebook
    # Once all is in, merging again changes nothing.
    assert merged(mine, third, base=third).notebook == mine


@pytest.mark.parametrize("seed", range(60, 90))
def test_without_a_record_every_keystroke_is_in_the_new_notebook_too(seed: int) -> None:
    chance = random.Random(seed)
    mine, theirs = random_version(chance), random_version(chance)
    answers, typed = work_on(mine, chance)
    result = merge(None, mine, theirs)
    nbformat.validate(result.notebook)
    for name, answer in answers.items():
        if f"solution-{name}" in ids_of(theirs):
            assert answer in cell_of(result.notebook, f"solution-{name}").source
    assert [word for word in typed if word not in sources(result.notebook)] == []


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
