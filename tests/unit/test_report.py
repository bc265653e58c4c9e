"""A check's report reads well as text, is safe as HTML and whole as data."""

from __future__ import annotations

from autograder.notebook.outcome import Outcome, TestResult
from autograder.notebook.report import MESSAGE_LINES, as_data, as_html, as_text, summary

RESULTS = [
    TestResult("test_keeps_the_order", Outcome.PASSED),
    TestResult("test_stops_at[limit=3]", Outcome.FAILED, "assert 1 == 2"),
    TestResult("test_gives_up", Outcome.UNSOLVED, "not solved yet"),
]


def test_the_text_has_a_line_for_each_test_and_its_message() -> None:
    lines = as_text("retry", RESULTS).splitlines()
    assert "1 of 3" in lines[0]
    assert [line.strip()[0] for line in lines[1:]] == ["✔", "✘", "a", "○"]
    assert "stops at [limit=3]" in lines[2]


def test_the_summary_names_the_first_failure() -> None:
    assert "stops at" in summary("retry", RESULTS)
    assert "not solved" in summary("retry", RESULTS[2:])


def test_html_from_an_answer_is_escaped() -> None:
    results = [TestResult("test_it", Outcome.FAILED, "<script>alert(1)</script>")]
    assert "<script>" not in as_html("retry", results)
    assert "&lt;script&gt;" in as_html("retry", results)


def test_a_long_message_is_cut_and_says_so() -> None:
    results = [TestResult("test_it", Outcome.FAILED, "\n".join(str(number) for number in range(100)))]
    lines = as_text("retry", results).splitlines()[2:]
    assert len(lines) == MESSAGE_LINES
    assert str(100 - MESSAGE_LINES + 1) in lines[-1]


def test_the_data_names_every_test_and_its_outcome() -> None:
    data = as_data("retry", RESULTS)
    assert data["exercise"] == "retry"
    assert [test["outcome"] for test in data["tests"]] == ["passed", "failed", "unsolved"]


def test_a_cell_without_tests_says_that_more_is_graded() -> None:
    assert "graded" in as_text("retry", [])
    assert "graded" in as_html("retry", [])
