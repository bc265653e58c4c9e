"""How a notebook's process ended, in words."""

from __future__ import annotations

import signal

import pytest

from autograder.grade.ending import TOOK_TOO_MUCH, byte_of, exit_status, in_words


def test_a_status_keeps_apart_what_exits_and_what_is_killed() -> None:
    assert [exit_status(3 << 8), exit_status(int(signal.SIGSEGV))] == [3, 128 + signal.SIGSEGV]
    assert [byte_of(3), byte_of(-signal.SIGKILL)] == [3, 128 + signal.SIGKILL]


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (0, "status 0"),
        (7, "status 7"),
        (TOOK_TOO_MUCH, "more memory"),
        (128 + signal.SIGSEGV, "SIGSEGV"),
        (128 + signal.SIGKILL, "SIGKILL"),
        (128 + signal.SIGUSR1, "SIGUSR1"),
        (255, "ended the process"),
    ],
)
def test_the_words_say_what_happened(status: int, word: str) -> None:
    assert word in in_words(status)
