"""How a check's results look: as text, as HTML for light and dark themes, and as data."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from autograder.notebook.outcome import Outcome, TestResult

MIME_TYPE = "application/vnd.autograder.check+json"
SIGNS = {Outcome.PASSED: "✔", Outcome.FAILED: "✘", Outcome.UNSOLVED: "○", Outcome.SKIPPED: "–"}
# Mid-tones: at least 3:1 against white and against a dark theme's background. Text inherits its colour.
COLOURS = {
    Outcome.PASSED: "#2a9d55",
    Outcome.FAILED: "#e5484d",
    Outcome.UNSOLVED: "#8d8d8d",
    Outcome.SKIPPED: "#8d8d8d",
}
MESSAGE_LINES = 14
NO_TESTS = "More tests run here when the exercise is graded."


def summary(exercise: str, results: Sequence[TestResult]) -> str:
    """Return one line: how many tests passed, and what to look at first."""
    passed = sum(result.outcome is Outcome.PASSED for result in results)
    line = f"{exercise}: {passed} of {len(results)} tests pass"
    failed = [result for result in results if result.outcome is Outcome.FAILED]
    if failed:
        return f"{line}; first failure: {failed[0].sentence}"
    if any(result.outcome is Outcome.UNSOLVED for result in results):
        return f"{line}; not solved yet"
    return line


def as_text(exercise: str, results: Sequence[TestResult]) -> str:
    """Return the report for a terminal: a line for each test, what went wrong indented below it."""
    if not results:
        return f"{exercise}: {NO_TESTS}"
    lines = [summary(exercise, results)]
    for result in results:
        lines.append(f"  {SIGNS[result.outcome]} {result.sentence}{_reason(result)}")
        lines += [f"      {line}" for line in _message(result)]
    return "\n".join(lines)


def as_html(exercise: str, results: Sequence[TestResult]) -> str:
    """Return the report for a notebook. Whatever a test or an answer said is escaped."""
    if not results:
        return f"<div>{escape(exercise)}: {NO_TESTS}</div>"
    rows = "".join(_row(result) for result in results)
    return f'<div style="line-height:1.5"><strong>{escape(summary(exercise, results))}</strong>{rows}</div>'


def as_data(exercise: str, results: Sequence[TestResult]) -> dict[str, Any]:
    """Return the report for programs."""
    tests = [
        {"name": result.name, "sentence": result.sentence, "outcome": str(result.outcome), "message": result.message}
        for result in results
    ]
    return {"exercise": exercise, "tests": tests}


def _row(result: TestResult) -> str:
    """Return one test as HTML."""
    sign = f'<span style="color:{COLOURS[result.outcome]};font-weight:bold">{SIGNS[result.outcome]}</span>'
    message = "\n".join(_message(result))
    details = f'<pre style="margin:0 0 0.4em 1.6em;white-space:pre-wrap">{escape(message)}</pre>' if message else ""
    return f"<div>{sign} {escape(result.sentence)}{escape(_reason(result))}</div>{details}"


def _reason(result: TestResult) -> str:
    """Return what stands behind the sentence of a test that neither passed nor failed."""
    return f" – {result.message}" if result.outcome in (Outcome.UNSOLVED, Outcome.SKIPPED) else ""


def _message(result: TestResult) -> list[str]:
    """Return what went wrong in a failed test, at most MESSAGE_LINES lines."""
    if result.outcome is not Outcome.FAILED:
        return []
    lines = result.message.splitlines()
    if len(lines) <= MESSAGE_LINES:
        return lines
    return [*lines[: MESSAGE_LINES - 1], f"… {len(lines) - MESSAGE_LINES + 1} more lines"]
