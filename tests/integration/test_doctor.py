"""Grading where submissions can't be isolated, and where they can."""

from __future__ import annotations

import sys

import pytest

from autograder import cli
from autograder.course import Course
from autograder.grade import doctor
from autograder.grade.sandbox import Protection

ISOLATED = Protection(True)
BARE = Protection(False, "for a test", landlock=1)


@pytest.mark.parametrize("here", [ISOLATED, BARE])
def test_a_sandbox_that_is_required_and_missing_is_status_2(
    here: Protection,
    classroom: Course,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(classroom.root)
    monkeypatch.setattr(doctor, "protection", lambda: here)
    monkeypatch.setattr(sys, "argv", ["course", "grade", "--require-sandbox"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == (0 if here.namespaces else 2)
    printed = capsys.readouterr()
    assert ("reach the network" in printed.err) is not here.namespaces
    assert ("sums" in printed.out.lower()) is here.namespaces


def test_without_a_sandbox_grading_goes_on_and_says_so(
    classroom: Course, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(classroom.root)
    monkeypatch.setattr(doctor, "protection", lambda: BARE)
    monkeypatch.setattr(sys, "argv", ["course", "grade"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 0
    assert "not isolated" in capsys.readouterr().err
