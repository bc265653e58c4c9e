"""Marks tests that a learner writes: run them against a faulty implementation and see which notice."""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from autograder.course import CourseError
from autograder.notebook.outcome import Outcome
from autograder.notebook.runner import run_tests

# Seconds that an async test may take: with a fault in what it tests, it may wait for what never comes.
DEADLINE = 2.0
MISSING = object()


def failing(suite: type, **replaced: object) -> list[str]:
    """Run the test class `suite` with global names replaced; return the names of the tests that failed.

    `failing(TestRetry, retry=faulty)` runs it as if `faulty` had been defined as `retry`. An async test that takes
    more than two seconds has failed. Raises CourseError where the class has no tests or the caller is an async test,
    and NotImplementedError where one isn't written yet.
    """
    if _in_async_test():
        raise CourseError(
            "failing(...) can't be called from an async test: write the test that calls it as a plain def"
        )
    tests = {
        name: function for name, function in inspect.getmembers(suite, inspect.isfunction) if name.startswith("test")
    }
    if not tests:
        raise CourseError(f"{suite.__name__} has no tests: write methods whose names begin with test_")
    bounded = {name: _bounded(function) for name, function in tests.items() if inspect.iscoroutinefunction(function)}
    # Test methods of a class that is made here run with the globals of the learner's own functions.
    names = next(iter(tests.values())).__globals__
    with _replaced(names, replaced):
        results = run_tests({**names, suite.__name__: type(suite.__name__, (suite,), bounded)}, [suite.__name__])
    unwritten = [result.sentence for result in results if result.outcome is Outcome.UNSOLVED]
    if unwritten:
        raise NotImplementedError(f"{suite.__name__}: the test {unwritten[0]!r} is not written yet")
    prefix = f"{suite.__name__}::"
    return [result.name.removeprefix(prefix) for result in results if result.outcome is Outcome.FAILED]


def _in_async_test() -> bool:
    """Whether the caller is an async test; anyio has one runner for a process, and it is taken then."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return "PYTEST_CURRENT_TEST" in os.environ


def _bounded(test: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """Return an async test that fails when it takes too long."""

    @functools.wraps(test)
    async def bounded(*args: Any, **kwargs: Any) -> None:
        async with asyncio.timeout(DEADLINE):
            await test(*args, **kwargs)

    return bounded


@contextmanager
def _replaced(namespace: dict[str, Any], values: Mapping[str, object]) -> Iterator[None]:
    """Set names of a namespace for the duration, then put back what was there."""
    before = {name: namespace.get(name, MISSING) for name in values}
    namespace.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is MISSING:
                del namespace[name]
            else:
                namespace[name] = value
