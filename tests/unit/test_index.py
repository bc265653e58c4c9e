"""The start page: it lists the lessons that exist, and no other."""

import dataclasses
from pathlib import Path

import nbformat
import pytest

from autograder.lesson.guide import Entry, Guide, Section, Topic
from autograder.lesson.index import start_page
from autograder.lesson.source import Lesson, parse

LOOPS, TYPES, AWAIT = (Topic(f"core/python/{word.lower()}", word, ()) for word in ("Loops", "Types & `*args`", "Await"))


def entry(file: str, topic: Topic, *requires: str) -> Entry:
    return Entry("01_core", file, (topic,), requires)


GUIDE = Guide(
    sections=(
        Section(
            "core", 1, "Core", "01_core", (), (entry("01_loops", LOOPS), entry("02_types", TYPES, "01_core/01_loops"))
        ),
        Section("web", 2, "Web", "02_web", (), (Entry("02_web", "01_await", (AWAIT,), ()),)),
        Section("empty", 3, "Nothing here yet", "03_empty", (), ()),
    ),
    checklist=(),
    resources=(),
)


def lesson(title: str, *exercises: str) -> Lesson:
    text = f"# %% [markdown]\n# # {title}\n"
    for name in exercises:
        text += f"""
# %% [markdown] exercise {name} topic=loops level=core minutes=10
# ### {name}

# %% solution {name}
# BEGIN SOLUTION
{name} = 1
# END SOLUTION

# %% check {name} points=2
def test_{name}() -> None:
    assert {name} == 1
"""
    return parse(text, Path("lesson.py"))


LESSONS = {
    "01_core/01_loops": lesson("All the loops", "a", "b"),
    "01_core/02_types": lesson("Types"),
    "02_web/01_await": lesson("Await", "c"),
}


def text_of(lessons: dict[str, Lesson]) -> str:
    return "\n\n".join(cell.source for cell in start_page(GUIDE, lessons).cells)


def test_each_lesson_is_linked_with_its_size_and_topics() -> None:
    text = text_of(LESSONS)
    assert "[All the loops](01_core/01_loops.ipynb): 2 exercises, 4 points, 20 minutes" in text
    assert "Topics: Types \\& \\`\\*args\\`" in text
    assert text.index("1. Core") < text.index("01_loops.ipynb") < text.index("02_types.ipynb") < text.index("2. Web")


def test_what_a_lesson_builds_on_is_linked() -> None:
    assert text_of(LESSONS).count("(01_core/01_loops.ipynb)") == 2


@pytest.mark.parametrize("absent", LESSONS)
def test_nothing_is_listed_that_is_absent(absent: str) -> None:
    text = text_of({lesson_id: lesson for lesson_id, lesson in LESSONS.items() if lesson_id != absent})
    assert absent not in text
    assert "Nothing here yet" not in text
    assert ("2. Web" in text) == (absent != "02_web/01_await")


def test_it_is_the_same_each_time_and_its_cells_keep_their_ids() -> None:
    page = start_page(GUIDE, LESSONS)
    assert page == start_page(GUIDE, LESSONS)
    renamed = dataclasses.replace(
        GUIDE, sections=(dataclasses.replace(GUIDE.sections[0], title="Other"), *GUIDE.sections[1:])
    )
    assert [cell.id for cell in start_page(renamed, LESSONS).cells] == [cell.id for cell in page.cells]


def test_it_is_a_valid_notebook_of_text_alone() -> None:
    page = start_page(GUIDE, LESSONS)
    nbformat.validate(page)
    assert {cell.cell_type for cell in page.cells} == {"markdown"}


@pytest.mark.parametrize("word", ["grade", "progress", "update", "reset"])
def test_it_names_the_learners_commands(word: str) -> None:
    assert f"`course {word}" in text_of(LESSONS)
