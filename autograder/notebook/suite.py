"""Marks tests that a learner writes: run them against a faulty implementation and see which notice."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from autograder.course import CourseError
from autograder.notebook.runner import run_tests

MISSING = object()


def failing(suite: type, **replaced: object) -> list[str]:
    """Run the test class `suite` with global names replaced; return the names of the tests that failed.

    `failing(TestRetry, retry=faulty)` runs it as if `faulty` had been defined as `retry`. Raises CourseError where
    the class has no tests, and NotImplementedError where one isn't written yet.
    """
    functions = [
        function for name, function in inspect.getmembers(suite, inspect.isfunction) if name.startswith("test")
    ]
    if not functions:
        raise CourseError(f"{suite.__name__} has no tests: write methods whose names begin with test_")
    namespace = inspect.unwrap(functions[0]).__globals__
    with _replaced(namespace, replaced):
        results = run_tests({**namespace, suite.__name__: suite}, [suite.__name__])
    unsolved = [result.name for result in results if result.outcome == "unsolved"]
    if unsolved:
        raise NotImplementedError(f"{suite.__name__}: {unsolved[0]} is not written yet")
    return [result.name for result in results if result.outcome == "failed"]


@contextmanager
def _replaced(namespace: dict[str, object], values: Mapping[str, object]) -> Iterator[None]:
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
