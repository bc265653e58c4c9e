"""How a test ended: what `%%check` reports and graders read, without pytest."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """How a test ended."""

    PASSED = "passed"
    FAILED = "failed"
    UNSOLVED = "unsolved"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class TestResult:
    """One test's end: its name, its outcome and, unless it passed, why in words."""

    __test__ = False

    name: str
    outcome: Outcome
    message: str = ""

    @property
    def sentence(self) -> str:
        """The test's name as people read it: `keeps the order [limit=3]`."""
        function, bracket, parameters = self.name.rpartition("::")[2].partition("[")
        words = function.removeprefix("test_").replace("_", " ")
        return f"{words} [{parameters}" if bracket else words
