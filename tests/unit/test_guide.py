"""The manifest is read whole, and its defects are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from autograder.course import Course, CourseError, find_course
from autograder.lesson.guide import load_guide, short_name

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

[[section]]
id = "more"
number = 2
title = "More"
folder = "02_more"
subsection = []

[[section.lesson]]
file = "01_again"
topics = ["core/basics/sums"]
requires = ["sums"]
"""


@pytest.fixture
def course(tmp_path: Path) -> Course:
    (tmp_path / "lessons").mkdir()
    (tmp_path / "lessons/guide.toml").write_text(MANIFEST)
    return Course(tmp_path)


def test_the_real_manifest_has_every_topic_of_the_guide() -> None:
    guide = load_guide(find_course(Path(__file__)))
    assert len(guide.sections) == 16
    assert sum(len(section.subsections) for section in guide.sections) == 62
    assert len({topic.id for section in guide.sections for topic in section.topics}) == 255
    assert len({section.folder for section in guide.sections}) == 16


def test_lessons_are_in_order_with_their_topics(course: Course) -> None:
    guide = load_guide(course)
    assert [entry.id for entry in guide.lessons] == ["01_core/01_sums", "02_more/01_again"]
    assert guide.lessons[1].topics[0].terms == ("plus",)
    assert guide.lessons[1].requires == ("sums",)


@pytest.mark.parametrize(
    "name", ["1", "01_core", "core", "sums", "01_sums", "01_core/01_sums", "01_core/01_sums.ipynb"]
)
def test_a_lesson_goes_by_several_names(course: Course, name: str) -> None:
    assert [entry.file for entry in load_guide(course).select(name)] == ["01_sums"]


def test_no_name_means_every_lesson(course: Course) -> None:
    assert len(load_guide(course).select(None)) == 2


def test_an_unknown_name_is_answered_with_those_that_exist(course: Course) -> None:
    with pytest.raises(CourseError, match="sums, again"):
        load_guide(course).select("sum")


def test_a_name_with_two_meanings_is_answered_with_both(course: Course) -> None:
    course.manifest.write_text(MANIFEST.replace("01_again", "01_core"))
    with pytest.raises(CourseError, match="01_core or 02_more/01_core"):
        load_guide(course).select("core")


def test_a_section_without_lessons_says_so() -> None:
    with pytest.raises(CourseError, match="16_industry has no lessons"):
        load_guide(find_course(Path(__file__))).select("16")


def test_a_topic_that_the_guide_lacks_is_named_with_its_line(course: Course) -> None:
    text = MANIFEST.replace(
        'file = "01_again"\ntopics = ["core/basics/sums"]', 'file = "01_again"\ntopics = ["core/x"]'
    )
    course.manifest.write_text(text)
    with pytest.raises(CourseError, match=r"^lessons/guide\.toml:28: .*'core/x'"):
        load_guide(course)


@pytest.mark.parametrize(("old", "new"), [('folder = "01_core"\n', ""), ("checklist = []", "checklist = [")])
def test_a_broken_manifest_is_one_line(course: Course, old: str, new: str) -> None:
    course.manifest.write_text(MANIFEST.replace(old, new, 1))
    with pytest.raises(CourseError, match=r"^lessons/guide\.toml: "):
        load_guide(course)


def test_a_course_is_found_from_below_and_nowhere_else(course: Course, tmp_path: Path) -> None:
    below = tmp_path / "work" / "deep"
    below.mkdir(parents=True)
    assert find_course(below).root == tmp_path.resolve()
    with pytest.raises(CourseError, match="checkout"):
        find_course(tmp_path.parent)


def test_a_number_is_no_part_of_a_short_name() -> None:
    assert (short_name("01_async"), short_name("async"), short_name("01_core_python")) == (
        "async",
        "async",
        "core_python",
    )
