"""The book's parts: what a page keeps of a lesson, the order of the pages, the addresses."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from autograder.book.build import contents
from autograder.book.pages import page
from autograder.book.serve import book_server
from autograder.course import Course, CourseError
from autograder.lesson.guide import Entry, Guide, Section

ANSWER = "def add(a: int, b: int) -> int:\n    ### BEGIN SOLUTION\n    return a + b\n    ### END SOLUTION"
STUB = "def add(a: int, b: int) -> int:\n    raise NotImplementedError()"


def graded(source: str, cell_id: str, **metadata: object) -> NotebookNode:
    """Return a code cell as the instructor's notebook has it."""
    return new_code_cell(source, id=cell_id, metadata={"nbgrader": {"grade_id": cell_id}, **metadata})


@pytest.fixture
def made() -> NotebookNode:
    """Return the page of a lesson with one exercise."""
    cells = [
        graded("%load_ext autograder", "setup"),
        new_markdown_cell("# Sums", id="text-1"),
        new_markdown_cell("## Exercise: add", id="exercise-add"),
        graded(ANSWER, "solution-add", autograder={"starter": STUB}),
        graded("%%check add\ndef test_adds() -> None:\n    assert add(1, 2) == 3", "check-add"),
        graded("%%check add\ndef test_secret() -> None:\n    assert add(0, 0) == 0", "hidden-add"),
        new_markdown_cell("<details>first</details>", id="hint-add-1"),
        new_markdown_cell("<details>second</details>", id="hint-add-2"),
        new_markdown_cell("Because.", id="after-add"),
    ]
    solved = new_notebook(cells=cells, metadata={"autograder": {"lesson": "01_core/01_sums"}})
    released = new_notebook(cells=[new_code_cell(STUB, id="solution-add")])
    return page(solved, released)


def shown(made: NotebookNode) -> str:
    """Return what a reader of the page sees before anything is run."""
    hidden = {"remove-cell", "remove-input"}
    return "\n".join(cell.source for cell in made.cells if not hidden & set(cell.metadata.get("tags", ())))


def test_a_page_reads_from_the_prompt_over_the_hints_to_the_answer(made: NotebookNode) -> None:
    order = ("# Sums", "## Exercise: add", "raise NotImplementedError", "first", "second", "a + b", "1, 2", "Because.")
    places = [shown(made).index(text) for text in order]
    assert places == sorted(places)


def test_hidden_tests_are_not_on_the_page(made: NotebookNode) -> None:
    assert "test_secret" not in str(made)


def test_the_first_thing_on_the_page_is_its_title_although_the_checks_are_loaded(made: NotebookNode) -> None:
    assert shown(made).startswith("# Sums")
    assert made.cells[0].source == "%load_ext autograder"


def test_the_answer_and_the_tests_run_and_are_shown_folded_only(made: NotebookNode) -> None:
    code = [cell.source for cell in made.cells if cell.cell_type == "code"]
    assert code[1:] == [ANSWER, "%%check add\ndef test_adds() -> None:\n    assert add(1, 2) == 3"]
    for text in ("return a + b", "def test_adds"):
        (cell,) = [cell for cell in made.cells if cell.cell_type == "markdown" and text in cell.source]
        assert cell.source.startswith("<details>")
        assert cell.source.endswith("</details>")
    assert "SOLUTION" not in shown(made)
    assert "%%check" not in shown(made)


def test_a_page_has_no_metadata_of_graders(made: NotebookNode) -> None:
    assert not {"nbgrader", "autograder"} & {key for part in (made, *made.cells) for key in part.metadata}


def test_making_a_page_leaves_the_notebook_as_it_was() -> None:
    solved = new_notebook(cells=[graded("%load_ext autograder", "setup")])
    page(solved, new_notebook())
    assert "nbgrader" in solved.cells[0].metadata


def test_the_contents_have_a_part_for_each_section_with_lessons() -> None:
    lessons = (Entry("02_web", "01_first", (), ()), Entry("02_web", "02_second", (), ()))
    sections = (Section("core", 1, "Core", "01_core", (), ()), Section("web", 2, "Web", "02_web", (), lessons))
    assert contents(Guide(sections, (), ())) == {
        "format": "jb-book",
        "root": "index",
        "parts": [{"caption": "2. Web", "chapters": [{"file": "02_web/01_first"}, {"file": "02_web/02_second"}]}],
    }


def test_a_book_that_is_not_built_is_not_served(tmp_path: Path) -> None:
    with pytest.raises(CourseError, match="make book"):
        book_server(Course(tmp_path), 0)


@pytest.mark.parametrize("name", ["README.md", "book/index.md", "book/_config.yml"])
def test_every_page_names_the_same_repository(course: Course, name: str) -> None:
    text = (course.root / name).read_text(encoding="utf-8")
    addresses = re.findall(r"(?:https://github\.com|mybinder\.org/v2/gh)/([\w-]+/[\w-]+)", text)
    (configured,) = re.findall(r"github\.com/([\w-]+/[\w-]+)", (course.book / "_config.yml").read_text("utf-8"))
    assert addresses
    assert set(addresses) == {configured}
