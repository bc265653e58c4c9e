"""A check as it is run for points: with tests among it that must fail, under words that nobody knew before."""

from __future__ import annotations

import ast
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from autograder.grade.given import MOST_SOURCES, Rules
from autograder.grade.model import CellRun, Output
from autograder.grade.outputs import clean
from autograder.notebook.outcome import Outcome, TestResult
from autograder.notebook.report import MIME_TYPE, as_data, as_html, as_text, summary

RANDOM = secrets.SystemRandom()
# Names like those of a lesson's tests.
VERBS = ("keeps", "returns", "leaves", "takes", "counts", "gives", "finds", "drops", "moves", "closes", "accepts")
NOUNS = ("the_order", "every_item", "nothing_twice", "an_empty_input", "the_last_value", "the_first_error", "a_copy")
BODIES = (
    'raise {error}("{word}")',
    'assert len("{letters}") == {number}, "{word}"',
    'one, other = object(), object()\n    assert one == other, "{word}"',
)
# How many of them a check has: each costs a learner's grade a millisecond or two.
CANARIES = 2
ERRORS = ("ValueError", "KeyError", "RuntimeError", "OSError")
DEFINES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@dataclass(frozen=True, slots=True)
class Exam:
    """One run of a check: `canaries` are the tests that must fail, each with the word that it fails with."""

    exercise: str
    source: str
    canaries: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Outline:
    """What the tests of a check look like: names at the top, and the lines before which another test can stand."""

    names: frozenset[str]
    places: tuple[int, ...]
    asynchronous: bool


def set_exam(cell: str) -> Exam:
    """Return a new exam of a `%%check` cell; no two are alike."""
    first, _, body = cell.partition("\n")
    outline = _outline(body)
    taken = set(outline.names)
    lines = body.split("\n")
    canaries = {}
    written = []
    for number, template in enumerate(RANDOM.sample(BODIES, CANARIES)):
        name = _name(taken)
        taken.add(name)
        canaries[name] = word = secrets.token_hex(8)
        define = "async def" if outline.asynchronous and number == 0 else "def"
        written.append(f"{define} {name}() -> None:\n    {_fill(template, word)}\n")
    places = [*outline.places, len(lines)]
    # From the end, so that the places before stay what they are.
    for place, text in sorted(((RANDOM.choice(places), text) for text in written), reverse=True):
        lines[place:place] = text.split("\n")
    return Exam(first.split()[1], "\n".join(lines), canaries)


def mark(exam: Exam, said: Mapping[str, Any], rules: Rules) -> CellRun:
    """Return what a check's run came to, its own report among the outputs: what a child says isn't shown as one."""
    doubts = _doubts(exam, said, rules)
    outputs = [output for output in clean(said.get("outputs")) if MIME_TYPE not in output.get("data", {})]
    tests = _tests(said)
    error = said.get("error")
    if isinstance(error, list) and len(error) == 2 and not tests:
        if _words(said, "broken"):
            doubts.append(_false(exam, said, tests))
        return CellRun([*outputs, _error(str(error[0]), str(error[1]))], doubts=tuple(doubts))
    false = _false(exam, said, tests)
    if false:
        return CellRun([*outputs, _error("NotCounted", false)], doubts=(false, *doubts))
    results = [test for test in tests if test.name not in exam.canaries]
    if any(test.outcome is Outcome.SKIPPED for test in results) and "skip" not in exam.source:
        doubts.append(f"tests of {exam.exercise} were skipped that the lesson doesn't skip")
        results = [TestResult(test.name, Outcome.FAILED, "it was skipped") for test in results]
    report = {
        "text/plain": as_text(exam.exercise, results),
        "text/html": as_html(exam.exercise, results),
        MIME_TYPE: as_data(exam.exercise, results),
    }
    outputs.append({"output_type": "display_data", "data": report, "metadata": {}})
    if any(test.outcome not in (Outcome.PASSED, Outcome.SKIPPED) for test in results):
        outputs.append(_error("CheckFailed", summary(exam.exercise, results)))
    return CellRun(outputs, doubts=tuple(doubts))


@lru_cache(MOST_SOURCES)
def _outline(body: str) -> _Outline:
    """Return the outline of a check's tests."""
    statements = ast.parse(body).body
    definitions = [node for node in statements if isinstance(node, DEFINES)]
    return _Outline(
        frozenset(getattr(node, "name", "") for node in statements),
        tuple(_first_line(node) - 1 for node in definitions),
        any(isinstance(node, ast.AsyncFunctionDef) for node in definitions),
    )


def _name(taken: set[str]) -> str:
    """Return a name for a test that no other one has."""
    free = [f"test_{verb}_{noun}" for verb in VERBS for noun in NOUNS if f"test_{verb}_{noun}" not in taken]
    return RANDOM.choice(free)


def _fill(template: str, word: str) -> str:
    """Return the body of a test that fails with `word`."""
    letters = secrets.token_hex(RANDOM.randrange(1, 5))
    return template.format(
        error=RANDOM.choice(ERRORS), word=word, letters=letters, number=len(letters) + RANDOM.randrange(1, 5)
    )


def _first_line(node: ast.stmt) -> int:
    """Return the line at which a definition begins, its decorators included."""
    return min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", ()))])


def _false(exam: Exam, said: Mapping[str, Any], tests: Sequence[TestResult]) -> str:
    """Return why a check's results count for nothing, "" where they count."""
    if broken := _words(said, "broken"):
        return f"when {exam.exercise} was checked, this was no longer what checks are run with: {broken}"
    found = {test.name: test for test in tests}
    if len(found) < len(tests):
        return f"{exam.exercise} was reported with one test twice"
    for name, word in exam.canaries.items():
        if name not in found or found[name].outcome is not Outcome.FAILED or word not in found[name].message:
            return f"when {exam.exercise} was checked, a test that must fail didn't"
    return ""


def _doubts(exam: Exam, said: Mapping[str, Any], rules: Rules) -> list[str]:
    """Return what is odd about results that count all the same."""
    doubts = []
    if replaced := _words(said, "replaced"):
        doubts.append(f"tests of {exam.exercise} used names of the lesson that the notebook had replaced: {replaced}")
    lying = [name for name in _names(said, "lying") if not rules.allows(name.rpartition(".")[2])]
    if lying:
        doubts.append(f"an answer to {exam.exercise} brought its own comparison: {', '.join(lying)}")
    return doubts


def _words(said: Mapping[str, Any], key: str) -> str:
    """Return the names that a child tells under a key, for people."""
    return ", ".join(_names(said, key))


def _names(said: Mapping[str, Any], key: str) -> list[str]:
    """Return the names that a child tells under a key."""
    given = said.get(key)
    return [str(name) for name in given] if isinstance(given, list) else []


def _tests(said: Mapping[str, Any]) -> list[TestResult]:
    """Return the results that a child tells, as far as they have the form of one."""
    given = said.get("tests")
    return [
        TestResult(test["name"], Outcome(test["outcome"]), test["message"])
        for test in (given if isinstance(given, list) else ())
        if isinstance(test, dict)
        and all(isinstance(test.get(key), str) for key in ("name", "outcome", "message"))
        and test["outcome"] in set(Outcome)
    ]


def _error(name: str, text: str) -> Output:
    """Return the output that an error is."""
    return {"output_type": "error", "ename": name, "evalue": text, "traceback": [f"{name}: {text}"]}
