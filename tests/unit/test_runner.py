"""Tests of a namespace run under pytest, beside a running event loop, and say what went wrong."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest

from autograder.notebook.outcome import Outcome, TestResult
from autograder.notebook.runner import run_tests


def _run(source: str, *, learner: str = "", **options: bool) -> list[TestResult]:
    """Run every test of `source`, which sees the names of `learner`."""
    names: dict[str, Any] = {}
    exec(compile(learner, "<answer>", "exec"), names)
    tests = dict(names)
    exec(compile(source, "<check>", "exec"), tests)
    return run_tests(tests, [name for name in tests if name.startswith(("test_", "Test"))], learner=names, **options)


def _outcomes(source: str, **options: Any) -> dict[str, Outcome]:
    return {result.name: result.outcome for result in _run(source, **options)}


def test_each_outcome_is_told_from_the_others() -> None:
    source = """
import asyncio, pytest
def test_passes(): pass
def test_fails(): assert 1 == 2
def test_raises(): {}["missing"]
def test_unsolved(): raise NotImplementedError()
async def test_unsolved_in_a_task():
    async def answer(): raise NotImplementedError
    async with asyncio.TaskGroup() as group:
        group.create_task(answer())
@pytest.mark.skipif(True, reason="no server")
def test_skipped_by_its_mark(): pass
def test_skipped_by_the_answer(): pytest.skip("forged")
"""
    assert list(_outcomes(source).values()) == [
        Outcome.PASSED,
        Outcome.FAILED,
        Outcome.FAILED,
        Outcome.UNSOLVED,
        Outcome.UNSOLVED,
        Outcome.SKIPPED,
        Outcome.FAILED,
    ]


def test_fixtures_parameters_classes_and_async_tests_work() -> None:
    source = """
import asyncio, pytest
@pytest.fixture
async def served():
    await asyncio.sleep(0)
    yield 3
@pytest.mark.parametrize("n", [1, 2])
def test_each(n, tmp_path): assert n < 3 and tmp_path.is_dir()
async def test_async(served): assert served == 3
class TestGroup:
    def test_inside(self, capsys, monkeypatch): pass
"""
    assert set(_outcomes(source).values()) == {Outcome.PASSED}
    assert [result.sentence for result in _run(source)] == ["each [1]", "each [2]", "async", "inside"]


def test_only_the_named_tests_run() -> None:
    names = {"test_mine": lambda: None, "test_learners": lambda: None, "TestLike": object()}
    assert [result.name for result in run_tests(names, ["test_mine"])] == ["test_mine"]


def test_nothing_is_left_in_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    _run("def test_writes(tmp_path): (tmp_path / 'file').write_text('x')")
    assert list(tmp_path.iterdir()) == []


def test_settings_of_the_surrounding_project_are_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --unknown-option\n")
    (tmp_path / "conftest.py").write_text("raise RuntimeError")
    monkeypatch.chdir(tmp_path)
    assert _outcomes("def test_passes(): pass") == {"test_passes": Outcome.PASSED}


def test_a_message_shows_where_in_the_answer_it_went_wrong() -> None:
    (result,) = _run("def test_it(): answer()", learner="def answer():\n    return None.name\n")
    assert "AttributeError" in result.message
    assert "answer, line 2" in result.message


def test_a_failing_assertion_below_the_answer_is_not_blamed_on_its_line() -> None:
    check = "def test_it():\n    def callback(): assert 1 == 2\n    answer(callback)"
    (result,) = _run(check, learner="def answer(callback):\n    callback()\n")
    assert "answer, line" not in result.message


def test_a_missing_name_is_explained() -> None:
    (result,) = _run("def test_it(): answer()")
    assert "answer" in result.message.splitlines()[-1]
    assert len(result.message.splitlines()) == 2


def test_every_error_of_a_group_is_told() -> None:
    (result,) = _run("def test_it(): raise ExceptionGroup('two', [ValueError('a'), KeyError('b')])")
    assert "ValueError: a" in result.message
    assert "KeyError: 'b'" in result.message


def test_an_error_in_a_fixtures_cleanup_fails_the_test_once() -> None:
    source = """
import pytest
@pytest.fixture
def leaky():
    yield
    raise RuntimeError("left open")
def test_it(leaky): pass
"""
    assert _outcomes(source) == {"test_it": Outcome.FAILED}


def test_it_can_stop_at_the_first_failure() -> None:
    assert len(_run("def test_a(): assert 0\ndef test_b(): pass", stop_at_first_failure=True)) == 1


@pytest.mark.anyio
async def test_it_runs_beside_a_running_loop() -> None:
    assert asyncio.get_running_loop().is_running()
    assert _outcomes("import asyncio\ndef test_it(): asyncio.run(asyncio.sleep(0))") == {"test_it": Outcome.PASSED}


def test_it_runs_inside_a_test_that_it_runs() -> None:
    def test_outer() -> None:
        (inner,) = run_tests({"test_inner": lambda: None}, ["test_inner"])
        assert inner.outcome is Outcome.PASSED

    (result,) = run_tests({"test_outer": test_outer}, ["test_outer"])
    assert result.outcome is Outcome.PASSED, result.message


@pytest.mark.skipif(sys.platform == "win32", reason="signals reach a process otherwise on Windows")
def test_an_interrupt_ends_an_endless_test() -> None:
    started = threading.Event()

    def test_endless() -> None:
        started.set()
        while True:
            pass

    main = threading.main_thread().ident
    assert isinstance(test_endless, FunctionType)
    assert main is not None

    def interrupt() -> None:
        started.wait()
        signal.pthread_kill(main, signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        run_tests({"test_endless": test_endless}, ["test_endless"])
    for thread in threading.enumerate():
        if thread.name == "check":
            thread.join(timeout=30)
            assert not thread.is_alive()


def test_the_environment_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    source = "def test_fails(): assert [[n, -n] for n in range(60)] == [[n, n] for n in range(60)]"
    before = _run(source)
    monkeypatch.setenv("CI", "true")
    monkeypatch.setenv("PYTEST_ADDOPTS", "-vv --collect-only")
    assert _run(source) == before
    assert before[0].outcome is Outcome.FAILED
