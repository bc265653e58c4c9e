"""The `%%check NAME` magic: runs the tests of its cell against what the learner has defined."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, cast

from _pytest.assertion.rewrite import rewrite_asserts
from IPython.core.error import UsageError
from IPython.display import display

from autograder.notebook import progress
from autograder.notebook.outcome import Outcome, TestResult
from autograder.notebook.report import MIME_TYPE, as_data, as_html, as_text, summary
from autograder.notebook.runner import run_tests

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


class CheckFailed(Exception):  # noqa: N818 - what a learner reads at the end of a check
    """A check in which not every test passed."""

    def _render_traceback_(self) -> list[str]:
        """Return what the notebook shows instead of a traceback: one line."""
        return [f"{type(self).__name__}: {self}"]


def register(shell: InteractiveShell) -> None:
    """Add `%%check` to a shell."""

    def check(line: str, cell: str) -> None:
        """Run the pytest functions of this cell against your answer: %%check EXERCISE."""
        exercise = line.strip()
        if not exercise.isidentifier():
            raise UsageError(f"%%check takes the name of one exercise, not {exercise!r}")
        _check(shell, exercise, cell)

    shell.magics_manager.register_function(check, "cell", "check")


def _check(shell: InteractiveShell, exercise: str, cell: str) -> None:
    """Run one check cell, show its report, and record it. Raises CheckFailed unless every test passes."""
    results = _results(shell, cell)
    report = {
        "text/plain": as_text(exercise, results),
        "text/html": as_html(exercise, results),
        MIME_TYPE: as_data(exercise, results),
    }
    display(report, raw=True)
    passed = sum(result.outcome in (Outcome.PASSED, Outcome.SKIPPED) for result in results)
    if results:
        progress.record(exercise, passed, len(results))
    if passed < len(results):
        raise CheckFailed(summary(exercise, results))


def _results(shell: InteractiveShell, cell: str) -> list[TestResult]:
    """Run the cell's body in a copy of the user's namespace, then its tests."""
    tree = ast.parse(cell)
    names = _test_names(tree)
    if not names:
        return []
    # Known to linecache under this name, so that a failing assertion can be shown with its source.
    filename = shell.compile.cache(cell)
    rewrite_asserts(tree, cell.encode())
    namespace = dict(shell.user_ns)
    exec(compile(tree, filename, "exec", dont_inherit=True), namespace)
    return run_tests(namespace, names, learner=cast("dict[str, object]", shell.user_ns))


def _test_names(tree: ast.Module) -> list[str]:
    """Return the names of the test functions and classes at the top of a cell."""
    functions = ast.FunctionDef | ast.AsyncFunctionDef
    return [
        node.name
        for node in tree.body
        if (isinstance(node, functions) and node.name.startswith("test"))
        or (isinstance(node, ast.ClassDef) and node.name.startswith("Test"))
    ]
