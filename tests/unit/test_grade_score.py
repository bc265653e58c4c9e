"""Scoring: a check counts by its report, other cells as nbgrader counts them."""

from __future__ import annotations

from typing import Any

import pytest

from autograder.grade.model import CellRun, MasterCell, Score
from autograder.grade.outputs import clean
from autograder.grade.score import expected_tests, score
from autograder.notebook.report import MIME_TYPE

CHECK = """\
%%check add
import pytest

def test_adds():
    pass

@pytest.mark.parametrize("n", [1, 2])
async def test_each(n):
    pass
"""
ERROR = {"output_type": "error", "ename": "CheckFailed", "evalue": "add: …", "traceback": ["CheckFailed"]}


def graded(source: str, points: float = 3, *, solution: bool = False, cell_type: str = "code") -> MasterCell:
    """Return a graded cell of the master."""
    return MasterCell("c", "add-check", cell_type, source, {}, True, solution, not solution, points)


def entry(name: str, outcome: str = "passed", message: str = "") -> dict[str, str]:
    """Return one entry of a report."""
    return {"name": name, "sentence": name.removeprefix("test_"), "outcome": outcome, "message": message}


def report(*tests: Any) -> dict[str, Any]:
    """Return the output that a check's report is."""
    data = {"text/plain": "…", MIME_TYPE: {"exercise": "add", "tests": list(tests)}}
    return {"output_type": "display_data", "data": data, "metadata": {}}


def checked(*outputs: dict[str, Any], fault: str = "") -> Score:
    """Return the score of the check after it has shown these outputs."""
    return score(graded(CHECK), CellRun(clean(list(outputs)), fault=fault))


PASSED = (entry("test_adds"), entry("test_each[1]"), entry("test_each[2]", "skipped"))


def test_a_check_of_which_every_test_passed_has_all_points() -> None:
    assert checked(report(*PASSED)).points == 3
    assert checked(report(*PASSED)).why == ""


@pytest.mark.parametrize("outcome", ["failed", "unsolved", "something else"])
def test_one_test_that_did_not_pass_costs_all_points(outcome: str) -> None:
    assert checked(report(*PASSED[:2], entry("test_each[2]", outcome)), ERROR).points == 0


def test_the_reason_is_the_first_failure_in_one_line() -> None:
    tests = (entry("test_adds", "unsolved"), entry("test_each[1]", "failed", "1 is not 2\nassert 1 == 2"))
    assert checked(report(*tests), ERROR).why == "each[1]: 1 is not 2"


def test_what_is_not_solved_is_said_to_be() -> None:
    tests = [entry(test["name"], "unsolved") for test in PASSED]
    assert checked(report(*tests), ERROR).why == "not solved yet"


@pytest.mark.parametrize(
    "outputs",
    [
        (),
        (report(PASSED[0]),),
        (report(*PASSED[1:]),),
        (report(*PASSED), report(*PASSED)),
        (report(1, {"name": "test_adds"}, *PASSED[1:]),),
        ({"output_type": "display_data", "data": {MIME_TYPE: "all passed"}, "metadata": {}},),
        ({"output_type": "stream", "name": "stdout", "text": "all passed"},),
    ],
)
def test_without_one_report_of_every_test_there_are_no_points(outputs: tuple[dict[str, Any], ...]) -> None:
    made = checked(*outputs)
    assert made.points == 0
    assert made.why


def test_an_error_beside_a_report_that_all_passed_costs_the_points() -> None:
    assert checked(report(*PASSED), ERROR).points == 0


def test_a_fault_costs_the_points_and_is_the_reason() -> None:
    assert checked(report(*PASSED), fault="it took more than 30 seconds").why == "it took more than 30 seconds"


def test_stderr_costs_nothing() -> None:
    assert checked({"output_type": "stream", "name": "stderr", "text": "hm"}, report(*PASSED)).points == 3


def test_tests_are_expected_by_function_and_class() -> None:
    assert expected_tests("%%check x\nclass TestIt:\n    def test_a(self): ...\ndef helper(): ...") == {"TestIt"}


def result(text: str) -> dict[str, Any]:
    """Return the output that a cell's value is."""
    return {"output_type": "execute_result", "data": {"text/plain": text}, "metadata": {}}


@pytest.mark.parametrize(
    ("outputs", "points"),
    [
        ((), 3),
        ((ERROR,), 0),
        (({"output_type": "stream", "name": "stderr", "text": "hm"},), 3),
        (({"output_type": "stream", "name": "stderr", "text": "UsageError: Cell magic `%%x` not found."},), 0),
        ((result("1.5"),), 1.5),
        ((result("0"),), 0),
        ((result("100"),), 3),
        ((result("-1"),), 3),
        ((result("nan"),), 3),
        ((result("'text'"),), 3),
    ],
)
def test_a_cell_of_assertions_is_scored_as_nbgrader_does(outputs: tuple[dict[str, Any], ...], points: float) -> None:
    assert score(graded("assert True"), CellRun(clean(list(outputs)))).points == points


@pytest.mark.parametrize("cell", [graded("x", solution=True), graded("x", solution=True, cell_type="markdown")])
def test_what_a_person_has_to_mark_has_no_points_yet(cell: MasterCell) -> None:
    assert score(cell, CellRun([])).points is None


@pytest.mark.parametrize(
    "output",
    [
        7,
        {},
        {"output_type": "stream", "name": "x", "text": "y"},
        {"output_type": "stream", "name": "stdout", "text": ["y"]},
        {"output_type": "error", "ename": "E", "evalue": 1, "traceback": []},
        {"output_type": "display_data", "data": "x"},
        {"output_type": ["stream"]},
    ],
)
def test_what_is_no_output_is_left_out(output: Any) -> None:
    assert clean([output]) == []
    assert clean(output) == []


def test_an_output_keeps_only_what_nbformat_knows() -> None:
    given = {"output_type": "display_data", "data": {"text/plain": "x", "image/png": 3}, "metadata": 5, "extra": "y"}
    assert clean([given]) == [{"output_type": "display_data", "data": {"text/plain": "x"}, "metadata": {}}]
