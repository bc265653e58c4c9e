"""What makes a forged result fail: exams with tests that must fail, and the rules of a lesson."""

from __future__ import annotations

import ast
from typing import Any

import pytest

from autograder.grade.exam import Exam, mark, set_exam
from autograder.grade.given import Rules, bound, rules
from autograder.grade.model import CellRun, Master, MasterCell
from autograder.grade.recognise import recognise
from autograder.notebook.report import MIME_TYPE

CELL = "%%check add\nimport pytest\n\n@pytest.mark.parametrize('n', [1])\ndef test_adds(n):\n    assert add(n) == 2\n"


def said(exam: Exam, outcome: str = "passed", **changes: Any) -> dict[str, Any]:
    """Return what an honest process says of an exam."""
    tests = [{"name": name, "outcome": "failed", "message": f"no: {word}"} for name, word in exam.canaries.items()]
    tests.append({"name": "test_adds[1]", "outcome": outcome, "message": ""})
    return {"tests": tests, "outputs": [], "error": [], "broken": [], "replaced": [], "lying": []} | changes


def reported(run: CellRun) -> list[str]:
    """Return the tests of the report among a run's outputs."""
    return [
        test["name"]
        for output in run.outputs
        if MIME_TYPE in output.get("data", {})
        for test in output["data"][MIME_TYPE]["tests"]
    ]


def test_an_exam_has_the_lessons_tests_and_others_that_differ_each_time() -> None:
    one, other = set_exam(CELL), set_exam(CELL)
    assert {*one.canaries, "test_adds"} <= bound(one.source)
    assert ast.parse(one.source)
    assert set(one.canaries.values()).isdisjoint(other.canaries.values())


def test_people_see_the_lessons_tests_alone() -> None:
    exam = set_exam(CELL)
    assert reported(mark(exam, said(exam), Rules())) == ["test_adds[1]"]
    assert mark(exam, said(exam), Rules()).doubts == ()


@pytest.mark.parametrize("forge", ["all pass", "no word", "left out", "twice"])
def test_nothing_counts_where_a_test_that_must_fail_does_not(forge: str) -> None:
    exam = set_exam(CELL)
    told = said(exam)
    first = told["tests"][0]
    match forge:
        case "all pass":
            told["tests"] = [test | {"outcome": "passed"} for test in told["tests"]]
        case "no word":
            first["message"] = "AssertionError"
        case "left out":
            told["tests"].remove(first)
        case "twice":
            told["tests"].append(told["tests"][-1])
    run = mark(exam, told, Rules())
    assert reported(run) == []
    assert run.doubts


def test_nothing_counts_where_the_machinery_was_replaced() -> None:
    exam = set_exam(CELL)
    run = mark(exam, said(exam, broken=["pytest.main"]), Rules())
    assert reported(run) == []
    assert "pytest.main" in run.doubts[0]


def test_a_report_among_the_outputs_is_not_shown() -> None:
    exam = set_exam(CELL)
    forged = {"output_type": "display_data", "data": {MIME_TYPE: {"tests": []}}, "metadata": {}}
    assert len([o for o in mark(exam, said(exam, outputs=[forged]), Rules()).outputs if "data" in o]) == 1


def test_an_own_comparison_is_allowed_where_the_lesson_has_one() -> None:
    exam = set_exam(CELL)
    told = said(exam, lying=["Point.__eq__"])
    assert mark(exam, told, Rules()).doubts
    assert mark(exam, told, Rules(text="def __eq__(self, other): ...")).doubts == ()


def test_a_skip_counts_where_the_lesson_skips() -> None:
    exam = set_exam(CELL)
    assert mark(exam, said(exam, "skipped"), Rules()).doubts
    skipping = set_exam(CELL.replace("import pytest\n", "import pytest  # skip\n"))
    assert mark(skipping, said(skipping, "skipped"), Rules()).doubts == ()


def known(grade_id: str, source: str, *, solution: bool = False) -> MasterCell:
    """Return a cell of a master."""
    return MasterCell(
        f"id-{grade_id}", grade_id, "code", source, {}, not solution, solution, not solution, float(not solution)
    )


CELLS = (known("add", "def add(n): ...\ndef sum(n): ...", solution=True), known("add-check", CELL + "    helper(sum)"))
MASTER = Master("01_core/01_sums", "Sums", {c.grade_id: c for c in CELLS}, {}, {}, {}, code=("def helper(x): ...",))


def test_given_names_are_those_that_tests_use_and_answers_do_not_make() -> None:
    assert rules(MASTER).given == {"helper"}
    assert rules(MASTER).hiding == {"sum"}


def test_words_of_the_machinery_are_suspicious_unless_the_lesson_has_them() -> None:
    assert Rules().suspicious("import ctypes") == ["ctypes"]
    assert Rules().suspicious("import pytest, gc") == []
    assert Rules(text="import ctypes").suspicious("import ctypes") == []


@pytest.mark.parametrize(
    ("content", "lesson"),
    [
        (b'{"cells": [], "metadata": {"autograder": {"lesson": "01_core/01_sums"}}}', "01_core/01_sums"),
        (b'{"cells": [{"metadata": {"nbgrader": {"grade_id": "add"}}}]}', "01_core/01_sums"),
        (b'{"cells": [{"metadata": {"nbgrader": {"grade_id": "other"}}}]}', ""),
        (b"Dear teacher", ""),
    ],
)
def test_a_renamed_notebook_is_known_by_what_is_in_it(content: bytes, lesson: str) -> None:
    assert recognise(content, [MASTER]) == lesson


@pytest.mark.parametrize(
    ("cell", "names"),
    [
        ("import os.path\nfrom re import match as found", {"os", "found"}),
        ("for one in (1, 2):\n    two = one", {"one", "two"}),
        ("try:\n    pass\nexcept OSError as error:\n    pass", {"error"}),
        ("match 1:\n    case int() as number:\n        pass", {"number"}),
        ("def outer():\n    inner = 1", {"outer"}),
        ("%load_ext x\nthis is no Python", set()),
    ],
)
def test_names_that_a_cell_binds_are_found(cell: str, names: set[str]) -> None:
    assert bound(cell) == names
