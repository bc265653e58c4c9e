"""A lesson's source is parsed whole, or refused in one line with its place."""

from __future__ import annotations

from pathlib import Path

import jupytext
import pytest

from autograder.lesson import source as lesson_source
from autograder.lesson.source import Role, SourceError, parse

PATH = Path("lessons/01_core_python/01_toy.py")
SOURCE = '''\
# A comment for contributors.

# %% [markdown]
# # Toy
#
# Some text,
#
#     with code.

# %%
ONE = 1

# %% [markdown] exercise add topic=arithmetic level=core minutes=5
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
async def test_adds_negative_numbers() -> None:
    assert add(-1, -2) == -3


def helper() -> None: ...


# %% wrong add fails=test_adds
# Subtracts.
def add(a: int, b: int) -> int:
    return a - b


# %% right add
def add(a: int, b: int) -> int:
    return sum((a, b))


# %% [markdown] hint add
# One.

# %% [markdown] hint add
# Two.

# %% [markdown] after add
# Why.

# %% [markdown] waive add
# - `a` → `b`: same.

# %% [markdown] interview
# ### What is a sum?
#
# A number.
'''


def test_a_sound_source_gives_its_cells_and_exercises() -> None:
    lesson = parse(SOURCE, PATH)
    assert lesson.title == "Toy"
    assert [cell.role for cell in lesson.cells[:3]] == [Role.TEXT, Role.CODE, Role.EXERCISE]
    assert lesson.cells[0].source == "# Toy\n\nSome text,\n\n    with code."
    exercise = lesson.exercises["add"]
    assert (exercise.topic, exercise.level, exercise.minutes, exercise.points) == ("arithmetic", "core", 5, 3)
    assert [cell.role for cell in exercise.tests] == [Role.CHECK, Role.HIDDEN]
    assert [len(cells) for cells in (exercise.hints, exercise.wrongs, exercise.rights)] == [2, 1, 1]
    assert exercise.after is not None
    assert exercise.waived is not None


def test_cells_know_the_line_of_their_marker() -> None:
    lines = SOURCE.splitlines()
    assert all(lines[cell.line - 1].startswith("# %%") for cell in parse(SOURCE, PATH).cells)


def test_only_test_functions_count_as_tests() -> None:
    hidden = parse(SOURCE, PATH).exercises["add"].hidden
    assert hidden is not None
    assert lesson_source.tests_in(hidden) == ("test_adds_negative_numbers",)


def test_jupytext_reads_the_same_cells() -> None:
    """A contributor may open a source as a notebook: both readers have to agree on where cells begin."""
    theirs = [cell for cell in jupytext.reads(SOURCE, fmt="py:percent").cells if cell.cell_type != "raw"]
    ours = parse(SOURCE, PATH).cells
    # Jupytext makes a cell of the comment before the first marker.
    assert [cell.cell_type == "markdown" for cell in theirs[1:]] == [cell.is_markdown for cell in ours]
    assert [cell.source for cell in theirs[1:]] == [cell.source for cell in ours]


@pytest.mark.parametrize(
    ("old", "new", "at", "words"),
    [
        ("# %% solution add", "# %% soluton add", "# %% soluton", "solution"),
        ("# %% check add points=1", "# %% check ad points=1", "# %% check ad", "'ad'"),
        ("# %% check add points=1", "# %% check add", "# %% check", "points"),
        ("# %% check add points=1", "# %% check add points=0", "# %% check", "points"),
        ("# %% check add points=1", "# %% check add points=1 weight=2", "# %% check", "weight=2"),
        ("# %% check add points=1", "# %% check Add points=1", "# %% check", "lower case"),
        ("# %% hidden add points=2", "# %% check add points=2", "# %% check add points=2", "second check"),
        ("# %% right add", "# %% solution add", "# %% solution add (2)", "second solution"),
        ("# %% wrong add fails=test_adds", "# %% wrong add fails=test_add", "# %% wrong", "test_adds"),
        ("level=core", "level=hard", "# %% [markdown] exercise", "core"),
        ("# %% [markdown] hint add", "# %% hint add", "# %% hint", "[markdown]"),
        ("# %% solution add", "# %% [markdown] solution add", "# %% [markdown] solution", "# %% solution"),
        ("# Some text,", "Some text,", "Some text,", "'# '"),
        ("    return a + b", "    return a +", "    return a +", "not Python"),
        ("    # BEGIN SOLUTION\n", "", "# %% solution", "BEGIN SOLUTION"),
        ("async def test_adds_negative_numbers", "async def test_adds", "# %% hidden", "two tests"),
        ("def test_adds() -> None:", "def adds() -> None:", "# %% check", "no test functions"),
        ("# # Toy", "# Toy", "# A comment", "title"),
        ("# Why.\n", "", "# %% [markdown] after", "empty"),
    ],
)
def test_a_defect_is_named_with_its_file_and_line(old: str, new: str, at: str, words: str) -> None:
    broken = SOURCE.replace(old, new, 1)
    assert broken != SOURCE
    with pytest.raises(SourceError) as caught:
        parse(broken, PATH)
    message = str(caught.value)
    assert message.startswith(f"{PATH}:{_line_of(at, broken)}: ")
    assert words in message
    assert "\n" not in message


def _line_of(start: str, text: str) -> int:
    """Return the 1-based number of the line that begins with `start`; "… (2)" is the second such line."""
    start, second, _ = start.partition(" (2)")
    numbers = [number for number, line in enumerate(text.splitlines(), start=1) if line.startswith(start)]
    return numbers[1 if second else 0]


def test_an_exercise_needs_its_check() -> None:
    source = SOURCE.replace("# %% check add points=1\ndef test_adds() -> None:\n    assert add(1, 2) == 3\n", "")
    with pytest.raises(SourceError, match=r":13: exercise 'add' has no check"):
        parse(source, PATH)
