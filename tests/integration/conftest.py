"""A course of one small lesson, for tests that grade it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from nbgrader.api import Gradebook

from autograder.course import Course
from autograder.lesson.release import build

MANIFEST = """\
checklist = []
resources = []

[[section]]
id = "core"
number = 1
title = "Core"
folder = "01_core"

[[section.subsection]]
id = "core/basics"
title = "Basics"
topics = [{ id = "core/basics/sums", title = "Sums", terms = ["plus"] }]

[[section.lesson]]
file = "01_sums"
topics = ["core/basics/sums"]
"""
LESSON = '''\
# %% [markdown]
# # Sums

# %%
import asyncio

# %% [markdown] exercise double topic=sums level=core minutes=5
# ## Exercise: double
#
# Double it.

# %% solution double
def double(number: int) -> int:
    """Return twice the number."""
    # BEGIN SOLUTION
    return 2 * number
    # END SOLUTION


# %% check double points=1
def test_doubles_two() -> None:
    assert double(2) == 4


# %% hidden double points=2
def test_doubles_a_negative_number() -> None:
    assert double(-3) == -6


# %% [markdown] exercise later topic=sums level=core minutes=5
# ## Exercise: later
#
# Add one, later.

# %% solution later
async def later(number: int) -> int:
    """Return the number after this one."""
    # BEGIN SOLUTION
    await asyncio.sleep(0)
    return number + 1
    # END SOLUTION


# %% check later points=1
async def test_adds_one() -> None:
    assert await later(1) == 2


# %% hidden later points=3
async def test_adds_one_to_minus_one() -> None:
    assert await later(-1) == 0


# %% [markdown] exercise mend topic=sums level=core minutes=5
# ## Exercise: mend
#
# Mend it.

# %% solution mend
def mend() -> int:
    return 3


# %% starter mend
def mend() -> int:
    return 2


# %% check mend points=1
def test_is_mended() -> None:
    assert mend() == 3, "three is what was asked for"
'''


@pytest.fixture(scope="session")
def small_course(course: Course, tmp_path_factory: pytest.TempPathFactory) -> Course:
    """A course of one lesson, `01_core/01_sums`, with its trees and an empty gradebook; tests don't write into it."""
    small = Course(tmp_path_factory.mktemp("course"))
    (small.lessons / "01_core").mkdir(parents=True)
    small.manifest.write_text(MANIFEST)
    (small.lessons / "01_core/01_sums.py").write_text(LESSON)
    build(small)
    shutil.copy(course.root / "nbgrader_config.py", small.root)
    small.grading.mkdir()
    Gradebook(f"sqlite:///{small.grading}/gradebook.db").close()  # asking for its version takes nbgrader seconds
    return small


@pytest.fixture
def classroom(small_course: Course, tmp_path: Path) -> Course:
    """A copy of the small course that a test may grade in."""
    return Course(shutil.copytree(small_course.root, tmp_path / "classroom"))
