"""Gives points: a check's by its report, any other graded cell's as nbgrader does."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from functools import lru_cache

from autograder.grade.given import MOST_SOURCES
from autograder.grade.model import CellRun, MasterCell, Output, Score, TestLine
from autograder.notebook.report import MIME_TYPE

PASSING = ("passed", "skipped")
ANSI = re.compile(r"\x1b\[[0-9;]*m")
LINE = 200


def score(cell: MasterCell, run: CellRun | None) -> Score:
    """Return the points of one graded cell; `run` is None where it wasn't run."""
    if cell.solution or cell.cell_type != "code":
        return Score(cell.grade_id, cell.exercise, None, cell.points, "a person has to mark this")
    if run is None:
        return Score(cell.grade_id, cell.exercise, 0, cell.points, "it could not be run")
    if cell.exercise:
        return _score_check(cell, run)
    return _score_plain(cell, run)


def _score_check(cell: MasterCell, run: CellRun) -> Score:
    """Return the points of a `%%check` cell: all when its report says of every test that it passed, else none."""
    tests = _tests(cell, run)
    missing = expected_tests(cell.source) - {_function(test) for test in tests}
    failed = [test for test in tests.values() if test.outcome not in PASSING]
    why = run.fault or (_first(failed) if failed else _error(run.outputs))
    if not why and missing:
        why = "the check did not report every test"
    points = 0 if why else cell.points
    return Score(cell.grade_id, cell.exercise, points, cell.points, why, tuple(tests.values()))


def _score_plain(cell: MasterCell, run: CellRun) -> Score:
    """Return the points of a cell of assertions: none for an error, a part where its value is a number."""
    why = run.fault or _error(run.outputs)
    points = 0 if why else _partial(run.outputs, cell.points)
    return Score(cell.grade_id, "", points, cell.points, why or ("" if points == cell.points else "solved in part"))


@lru_cache(MOST_SOURCES)
def expected_tests(cell: str) -> frozenset[str]:
    """Return the names of the test functions and classes of a check cell."""
    body = ast.parse(cell.partition("\n")[2]).body
    functions = ast.FunctionDef | ast.AsyncFunctionDef
    return frozenset(
        node.name
        for node in body
        if (isinstance(node, functions) and node.name.startswith("test"))
        or (isinstance(node, ast.ClassDef) and node.name.startswith("Test"))
    )


def _tests(cell: MasterCell, run: CellRun) -> dict[str, TestLine]:
    """Return what the check's report says of each test, by name; nothing where there isn't just one report."""
    reports = [output["data"][MIME_TYPE] for output in run.outputs if MIME_TYPE in output.get("data", {})]
    if len(reports) != 1 or not isinstance(reports[0], dict) or not isinstance(reports[0].get("tests"), list):
        return {}
    return {
        test["name"]: TestLine(test["sentence"], test["outcome"], ANSI.sub("", test["message"]))
        for test in reports[0]["tests"]
        if _is_test(test)
    }


def _is_test(test: object) -> bool:
    """Whether a report's entry has the form of one."""
    return isinstance(test, dict) and all(
        isinstance(test.get(key), str) for key in ("name", "sentence", "outcome", "message")
    )


def _function(name: str) -> str:
    """Return the function or class that a test's name begins with: `test_add` of `test_add[1]`."""
    return re.split(r"::|\[", name, maxsplit=1)[0]


def _first(failed: Sequence[TestLine]) -> str:
    """Return in one line which test failed first and how."""
    if all(test.outcome == "unsolved" for test in failed):
        return "not solved yet"
    first = next(test for test in failed if test.outcome != "unsolved")
    return _one_line(f"{first.sentence}: {first.message}" if first.message else first.sentence)


def _error(outputs: Sequence[Output]) -> str:
    """Return in one line the error that a cell ended in, "" where it didn't."""
    for output in outputs:
        if output["output_type"] == "error":
            return _one_line(ANSI.sub("", f"{output['ename']}: {output['evalue']}"))
    return _usage(outputs)


def _usage(outputs: Sequence[Output]) -> str:
    """Return what IPython says, on stderr alone, of a magic that is unknown or wrongly used."""
    for output in outputs:
        if output["output_type"] == "stream" and output["name"] == "stderr" and output["text"].startswith("UsageError"):
            return _one_line(output["text"])
    return ""


def _partial(outputs: Sequence[Output], points: float) -> float:
    """Return the value that a cell shows where it is a number from 0 to `points`, else all points."""
    values = [output["data"].get("text/plain") for output in outputs if output["output_type"] == "execute_result"]
    try:
        value = float(values[0])
    except (IndexError, TypeError, ValueError):
        return points
    return value if 0 <= value <= points else points


def _one_line(text: str) -> str:
    """Return the first line of a text, cut where it is long."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return line if len(line) <= LINE else f"{line[: LINE - 1]}…"
