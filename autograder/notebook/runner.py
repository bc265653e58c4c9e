"""Runs test functions that live in a namespace, not in a file, with pytest."""

from __future__ import annotations

import contextlib
import contextvars
import ctypes
import io
import linecache
import tempfile
import threading
from collections.abc import Callable, Collection, Generator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from traceback import walk_tb
from types import ModuleType
from typing import TypeVar

import anyio.pytest_plugin
import pytest

from autograder.notebook.outcome import Outcome, TestResult
from autograder.notebook.services import fixtures

T = TypeVar("T")

SETTINGS = Path(__file__).with_name("pytest.ini")
# pytest wants a file to collect from; `_Collector` puts the namespace in its place.
PLACEHOLDER = Path(__file__)
# What no check needs. Without these a run takes half the time; collecting garbage to find what was left
# unraised (the last two) takes most of that.
UNUSED = (
    *("cacheprovider", "debugging", "doctest", "faulthandler", "junitxml", "legacypath", "pastebin", "setuponly"),
    *("setupplan", "stepwise", "threadexception", "unraisableexception"),
)
OPTIONS = (
    f"--config-file={SETTINGS}",
    "--noconftest",
    "--disable-plugin-autoload",
    "--capture=sys",
    "--color=no",  # whatever the kernel's environment says: reports are text and HTML
    "--tb=no",  # nobody reads pytest's traceback, and to write one it parses the whole cell for each failure
    *(f"-pno:{plugin}" for plugin in UNUSED),
)

# Where these are set, pytest takes further options and plugins, or writes out the whole difference of two lists, which
# can take minutes: what a check says, and how soon, is the same everywhere.
IGNORED_VARIABLES = ("CI", "BUILD_NUMBER", "PYTEST_ADDOPTS", "PYTEST_PLUGINS")


def run_tests(
    namespace: Mapping[str, object],
    names: Collection[str],
    *,
    learner: Mapping[str, object] | None = None,
    stop_at_first_failure: bool = False,
) -> list[TestResult]:
    """Run the test functions and classes of `namespace` that `names` lists; return their results in order.

    Where a test ends in an exception, its message shows the last line that was reached among the
    functions whose globals are `learner`. Async tests are supported, and fixtures: the services, and those of the
    namespace. What `learner`
    holds too is no fixture, mark or hook of the tests: a `pytestmark` of theirs must not skip ours.
    Raises KeyboardInterrupt when interrupted, RuntimeError where pytest itself fails.
    """
    module = ModuleType("notebook")
    vars(module).update(
        namespace
        if learner is None
        else {name: value for name, value in namespace.items() if name not in learner or learner[name] is not value}
    )
    # In the module, since there it comes before the fixture of anyio's plugin.
    vars(module).setdefault("anyio_backend", anyio_backend)
    collector = _Collector(module, frozenset(names))
    recorder = _Recorder(namespace, learner)
    plugins = [anyio.pytest_plugin, fixtures, collector, recorder]
    # Checks run beside the kernel's event loop, so async tests need a thread of their own.
    with (
        tempfile.TemporaryDirectory(prefix="check-") as folder,
        contextlib.redirect_stdout(io.StringIO()),
        pytest.MonkeyPatch.context() as environment,
    ):
        for variable in IGNORED_VARIABLES:
            environment.delenv(variable, raising=False)
        arguments = [*OPTIONS, f"--basetemp={folder}/tmp", str(PLACEHOLDER)]
        if stop_at_first_failure:
            arguments.append("--exitfirst")
        status = _in_thread(lambda: pytest.main(arguments, plugins=plugins))
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED):
        raise RuntimeError(f"pytest could not run these tests: {recorder.problem or status}")
    return recorder.results


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio."""
    return "asyncio"


@dataclass
class _Collector:
    """A pytest plugin that collects tests from a module object."""

    module: ModuleType
    names: Collection[str]

    def pytest_pycollect_makemodule(self, module_path: Path, parent: pytest.Collector) -> pytest.Module:
        module: pytest.Module = pytest.Module.from_parent(parent, path=module_path)
        module.obj = self.module
        return module

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        # The namespace holds the learner's names too; a helper called test_… of theirs is no test of ours.
        items[:] = [item for item in items if _top_name(item) in self.names]
        for item in items:
            setattr(item, "repr_failure", _unwritten)  # noqa: B010 - pytest has no option for it


def _unwritten(excinfo: pytest.ExceptionInfo[BaseException]) -> str:
    """Write no traceback of a failure: `--tb=no` shows none, and pytest takes half of a failing test's time for it."""
    return ""


def _top_name(item: pytest.Item) -> str:
    """Return the name of the module-level function or class that an item comes from."""
    return item.nodeid.split("::")[1].partition("[")[0]


@dataclass
class _Recorder:
    """A pytest plugin that keeps one result for each test, and what went wrong in words."""

    tests: Mapping[str, object]
    learner: Mapping[str, object] | None
    results: list[TestResult] = field(default_factory=list)
    problem: str = ""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        result = self._result(item, call, report)
        if result is not None:
            self._keep(result)
        return report

    def pytest_internalerror(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        self.problem = f"{excinfo.typename}: {excinfo.value}"

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.problem = str(report.longrepr)

    def _result(self, item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport) -> TestResult | None:
        """Return what this phase (setup, call, teardown) says of the test, None where it says nothing."""
        name = item.nodeid.partition("::")[2]
        if call.excinfo is None:
            return TestResult(name, Outcome.PASSED) if call.when == "call" else None
        error = call.excinfo.value
        # A mark is the test's own decision to skip; a skip in mid-test may be the answer's.
        if report.skipped and call.when == "setup":
            return TestResult(name, Outcome.SKIPPED, str(error))
        if _unsolved(error):
            return TestResult(name, Outcome.UNSOLVED, "not solved yet")
        return TestResult(name, Outcome.FAILED, self._explain(call.excinfo))

    def _keep(self, result: TestResult) -> None:
        """Add a result; of two for the same test (a failing teardown), the worse one stays."""
        if self.results and self.results[-1].name == result.name:
            self.results.pop()
        self.results.append(result)

    def _explain(self, excinfo: pytest.ExceptionInfo[BaseException]) -> str:
        """Return what went wrong, for somebody who reads it below the test's sentence."""
        error = excinfo.value
        lines = _describe(error)
        if isinstance(error, NameError) and error.name and self.learner is not None and error.name not in self.learner:
            lines.append(f"Is there a cell above that defines {error.name}, and has it been run?")
        known = [place for place in walk_tb(error.__traceback__) if self._knows(place[0].f_globals)]
        # Where the last line known is the test's own, the answer has done nothing since.
        if known and known[-1][0].f_globals is self.learner:
            code, line = known[-1][0].f_code, known[-1][1]
            lines.append(f"in {code.co_name}, line {line}: {linecache.getline(code.co_filename, line).strip()}")
        return "\n".join(lines)

    def _knows(self, names: Mapping[str, object]) -> bool:
        """Whether code with these globals is the answer's or a test's."""
        return names is self.learner or names is self.tests


def _describe(error: BaseException) -> list[str]:
    """Return an exception's text in lines, an assertion's as pytest explains it."""
    if isinstance(error, BaseExceptionGroup):
        return [
            f"{type(error).__name__}: {error.message}",
            *(f"  {line}" for e in error.exceptions for line in _describe(e)),
        ]
    text = str(error)
    if not isinstance(error, AssertionError | pytest.fail.Exception):
        text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return [line for line in text.splitlines() if line.strip() and "Use -v to get" not in line]


def _unsolved(error: BaseException) -> bool:
    """Whether an exception only says that the answer isn't there yet."""
    if isinstance(error, BaseExceptionGroup):
        return all(_unsolved(inner) for inner in error.exceptions)
    return isinstance(error, NotImplementedError)


def _in_thread(work: Callable[[], T]) -> T:
    """Return what `work` returns in a thread of its own; a KeyboardInterrupt here is raised there too."""
    context = contextvars.copy_context()
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(context.run(work))
        except BaseException as error:
            future.set_exception(error)

    thread = threading.Thread(target=run, name="check", daemon=True)
    thread.start()
    try:
        return future.result()
    except KeyboardInterrupt:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(thread.ident or 0), ctypes.py_object(KeyboardInterrupt)
        )
        # Code that swallows it, or waits in C, is left behind as a daemon.
        thread.join(timeout=2)
        raise
