"""A learner's tests are run against implementations that stand in for a global name."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from autograder.course import CourseError
from autograder.notebook import suite
from autograder.notebook.outcome import Outcome
from autograder.notebook.runner import run_tests

NOTEBOOK = """
import asyncio
import pytest

def double(number):
    return number * 2

@pytest.fixture
def three():
    return 3

class TestDouble:
    def test_a_number(self):
        assert double(2) == 4

    async def test_in_a_coroutine(self):
        await asyncio.sleep(0)
        assert double(0) == 0

    def test_with_a_fixture(self, three):
        assert double(three) == 6

    @pytest.mark.parametrize("text", ["a", "::b"])
    def test_a_text(self, text):
        assert double(text) == text + text

class TestWaits:
    async def test_waits_for_what_never_comes(self):
        await asyncio.Event().wait()

class TestUnwritten:
    async def test_unwritten(self):
        raise NotImplementedError

class TestNothing:
    def helper(self): ...

class TestInherits(TestDouble):
    def test_more(self):
        assert double(1) == 2
"""


@pytest.fixture
def names() -> dict[str, Any]:
    """The namespace of a notebook."""
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(NOTEBOOK, "<notebook>", "exec"), names)
    return names


def test_nothing_fails_on_what_the_notebook_defines(names: dict[str, Any]) -> None:
    assert suite.failing(names["TestDouble"]) == []


def test_names_the_tests_that_fail_on_what_stands_in(names: dict[str, Any]) -> None:
    failed = suite.failing(names["TestDouble"], double=lambda number: number + number if number else 1)
    assert failed == ["test_in_a_coroutine"]
    failed = suite.failing(names["TestDouble"], double=lambda thing: thing**2 if isinstance(thing, int) else "")
    assert failed == ["test_with_a_fixture", "test_a_text[a]", "test_a_text[::b]"]


def test_inherited_tests_count(names: dict[str, Any]) -> None:
    assert "test_more" in suite.failing(names["TestInherits"], double=lambda thing: None)
    assert "test_a_number" in suite.failing(names["TestInherits"], double=lambda thing: None)


def test_puts_back_what_was_there(names: dict[str, Any]) -> None:
    before = dict(names)
    suite.failing(names["TestDouble"], double=abs, unknown=1)
    assert names == before
    with pytest.raises(NotImplementedError):
        suite.failing(names["TestUnwritten"], double=abs, unknown=1)
    assert names == before


def test_a_test_that_waits_for_ever_has_failed(names: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suite, "DEADLINE", 0.01)
    assert suite.failing(names["TestWaits"]) == ["test_waits_for_what_never_comes"]


def test_a_test_that_is_not_written_is_not_a_test_that_fails(names: dict[str, Any]) -> None:
    with pytest.raises(NotImplementedError, match="TestUnwritten"):
        suite.failing(names["TestUnwritten"])


def test_a_class_without_tests_is_refused(names: dict[str, Any]) -> None:
    with pytest.raises(CourseError, match="TestNothing has no tests"):
        suite.failing(names["TestNothing"])


def test_works_from_inside_a_running_check(names: dict[str, Any]) -> None:
    check = """
def test_notices():
    assert failing(TestDouble, double=abs)
def test_accepts():
    assert failing(TestDouble) == []
"""
    inside = {**names, "failing": suite.failing}
    exec(compile(check, "<check>", "exec"), inside)
    results = run_tests(inside, ["test_notices", "test_accepts"])
    assert [result.outcome for result in results] == [Outcome.PASSED] * 2


def test_works_beside_the_loop_of_a_kernel(names: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    async def cell() -> list[str]:
        monkeypatch.delenv("PYTEST_CURRENT_TEST")
        return suite.failing(names["TestDouble"], double=lambda number: number + number if number else 1)

    assert asyncio.run(cell()) == ["test_in_a_coroutine"]


async def _inside_an_async_test(names: dict[str, Any]) -> None:
    suite.failing(names["TestDouble"])


def test_refuses_to_be_called_from_an_async_test(names: dict[str, Any]) -> None:
    with pytest.raises(CourseError, match="plain def"):
        asyncio.run(_inside_an_async_test(names))
