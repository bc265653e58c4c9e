"""Feedback: what people read of a result, with nothing of a submission but as text."""

from __future__ import annotations

import csv
from dataclasses import replace
from datetime import datetime

import pytest
from nbformat.v4 import new_code_cell, new_notebook

from autograder.grade.collect import Stray
from autograder.grade.feedback import by_exercise, page
from autograder.grade.model import Master, MasterCell, Result, Saved, Score, TestLine
from autograder.grade.overview import class_page
from autograder.grade.table import grades_csv

EVIL = "<script>alert(1)</script>"
MASTER = Master("01_core/01_sums", "Sums", {}, {"add": "add two numbers"}, {}, {})


def made(student: str = "ann", points: float | None = 1, doubts: tuple[str, ...] = ()) -> Result:
    """Return a result with something evil in every place that a submission can fill."""
    answer = new_code_cell(EVIL, metadata={"nbgrader": {"grade_id": "add", "solution": True}})
    tests = (TestLine("adds", "passed", ""), TestLine(EVIL, "failed", EVIL), TestLine("x", EVIL, EVIL))
    scores = (
        Score("add-check", "add", points, 1, "", tests),
        Score("add-hidden", "add", 0, 2, EVIL),
    )
    return Result(student, "01_core/01_sums", datetime(2026, 1, 1), scores, new_notebook(cells=[answer]), (), doubts)


def test_whatever_a_submission_says_is_text() -> None:
    text = page(MASTER, made(student=EVIL, doubts=(EVIL,))).decode()
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert 'class="&lt;script' in text


def test_scores_are_gathered_by_exercise() -> None:
    (exercise,) = by_exercise(MASTER, made())
    assert (exercise.heading, exercise.points, exercise.max_points, exercise.why) == ("add two numbers", 1, 3, EVIL)


def test_what_to_read_is_named_where_points_are_missing() -> None:
    master = replace(MASTER, reading={"add": ("Numbers", "Sums & more")})
    assert "“Numbers”, “Sums &amp; more”" in page(master, made()).decode()
    solved = replace(made(), scores=(Score("add-check", "add", 1, 1),))
    assert "Numbers" not in page(master, solved).decode()


def rows(*results: Result, strays: tuple[Stray, ...] = ()) -> list[dict[str, str]]:
    """Return grades.csv of these results."""
    saved = {(result.student, result.lesson): Saved(result.points, 0.5) for result in results}
    return list(csv.DictReader(grades_csv(results, saved, strays).decode().splitlines()))


def test_grades_are_a_row_for_each_student_and_lesson() -> None:
    ann, bob = rows(made("bob", points=0, doubts=("odd, isn't it",)), made("ann"))
    assert (ann["student"], ann["section"], ann["lesson"]) == ("ann", "01_core", "01_sums")
    assert (ann["points"], ann["max_points"], ann["late_penalty"], ann["score"]) == ("1", "3", "0.5", "0.5")
    assert (bob["student"], bob["needs_person"]) == ("bob", "odd, isn't it")


def test_points_that_a_person_has_to_give_are_named() -> None:
    assert "add-check" in rows(made(points=None))[0]["needs_person"]


def test_what_belongs_to_no_lesson_is_in_the_table_too() -> None:
    (row,) = rows(strays=(Stray("eve", "x.ipynb", "it is none of the lessons"),))
    assert (row["student"], row["lesson"], row["score"]) == ("eve", "x.ipynb", "")


HIDDEN = """%%check add
### BEGIN HIDDEN TESTS
def test_carries():
    assert add(9, 9) == 18, "nine and nine"
### END HIDDEN TESTS"""


def with_hidden_test(*, reveal: bool) -> str:
    """Return the page of a lesson of which a hidden test fails."""
    cell = MasterCell("c", "add-hidden", "code", HIDDEN, {}, True, False, True, 1)
    master = Master("01_core/01_sums", "Sums", {"add-hidden": cell}, {}, {}, {})
    message = "nine and nine\nassert 8 == 18\n +  where 8 = add(9, 9)\nin add, line 2: return 8"
    score = Score("add-hidden", "add", 0, 1, "carries", (TestLine("carries", "failed", message),))
    return page(master, Result("", master.lesson, None, (score,), None), reveal=reveal).decode()


def test_of_a_hidden_test_its_sentence_and_reason_are_shown_and_not_its_code() -> None:
    text = with_hidden_test(reveal=False)
    assert "carries" in text
    assert "nine and nine" in text
    assert "in add, line 2" in text
    assert "assert" not in text
    assert "where 8" not in text


def test_the_reason_in_one_line_has_no_code_of_a_hidden_test() -> None:
    cell = MasterCell("c", "add-hidden", "code", HIDDEN, {}, True, False, True, 1)
    master = Master("01_core/01_sums", "Sums", {"add-hidden": cell}, {}, {}, {})
    score = Score("add-hidden", "add", 0, 1, "carries: assert 8 == 18")
    (exercise,) = by_exercise(master, Result("", master.lesson, None, (score,), None))
    assert exercise.why == "carries"


def test_the_code_of_hidden_tests_is_shown_on_demand() -> None:
    text = with_hidden_test(reveal=True)
    assert "def test_carries" in text
    assert "assert 8 == 18" in text


def test_the_class_page_says_who_passed_what_fails_and_what_is_odd() -> None:
    whole = Result("bob", MASTER.lesson, None, (Score("add-check", "add", 3, 3),), None)
    text = class_page({MASTER.lesson: MASTER}, [made("ann"), made("eve", doubts=("odd",)), whole], ()).decode()
    assert "1 of 3" in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt; (2 times)" in text
    assert "odd" in text
    assert "<script" not in text


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t"])
def test_what_spreadsheets_take_for_formulas_is_text(sign: str) -> None:
    (row, stray) = rows(made(f"{sign}cmd()", doubts=(f"{sign}x",)), strays=(Stray(f"{sign}a", f"{sign}b", "c"),))
    assert (row["student"], row["needs_person"]) == (f"'{sign}cmd()", f"'{sign}x")
    assert (stray["student"], stray["lesson"]) == (f"'{sign}a", f"'{sign}b")
