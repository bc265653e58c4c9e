"""Work done in forks of this process: each has a limit in time, and nothing that it starts outlives it."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import random
import selectors
import signal
import struct
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Generic, NoReturn, TypeVar

from autograder.course import CourseError

# What JSON can carry: a child may run anybody's code, so its answer must not be able to run any here.
T = TypeVar("T")

# From <linux/prctl.h>.
PR_SET_PDEATHSIG = 1
LENGTH = struct.Struct("!Q")
# How often a child is looked for that died while a process of its own keeps the pipe open, in seconds.
GLANCE = 0.05


class Ending(StrEnum):
    """How a child ended."""

    RETURNED = "returned"
    RAISED = "raised"
    TIMED_OUT = "timed out"
    DIED = "died"


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """What a child's call came to: its value where it returned, the traceback's text where it raised."""

    ending: Ending
    value: T | None = None
    error: str = ""


def require_fork() -> None:
    """Raise CourseError where processes can't be forked."""
    if not hasattr(os, "fork"):
        raise CourseError(
            f"this needs a system with fork, which {sys.platform} isn't: run it on Linux or macOS, or in WSL on Windows"
        )


def fork_each(calls: Iterable[Callable[[], T]], limit: float, at_once: int = 1) -> Iterator[Outcome[T]]:
    """Run each call in a fork of this process, `at_once` together; yield the outcomes in the order of the calls.

    A child that has not finished after `limit` seconds is ended. Its value comes back as JSON. At the end of each,
    its whole process group is killed. The event loop of the caller must not be running.
    """
    waiting = enumerate(calls)
    running: list[_Child[T]] = []
    finished: dict[int, Outcome[T]] = {}
    following = 0
    try:
        while True:
            while len(running) < at_once and (task := next(waiting, None)):
                running.append(_start(*task, limit))
            while following in finished:
                yield finished.pop(following)
                following += 1
            if not running:
                return
            for child in _ready(running):
                running.remove(child)
                finished[child.number] = _finish(child)
    finally:
        for child in running:
            _kill(child.pid)
            os.close(child.pipe)


@dataclass
class _Child(Generic[T]):
    """A running child."""

    number: int
    pid: int
    pipe: int
    deadline: float
    received: bytearray = field(default_factory=bytearray)
    closed: bool = False
    reaped: bool = False

    @property
    def complete(self) -> bool:
        """Whether the whole of its answer has come."""
        return (
            len(self.received) >= LENGTH.size
            and len(self.received) >= LENGTH.size + LENGTH.unpack_from(self.received)[0]
        )

    @property
    def over(self) -> bool:
        """Whether nothing more will come from it, or nothing more is waited for."""
        return self.complete or self.closed or self.reaped or time.monotonic() >= self.deadline


def _start(number: int, call: Callable[[], T], limit: float) -> _Child[T]:
    """Fork a child that runs `call`."""
    reading, writing = os.pipe()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _run(call, writing, parent)
    os.close(writing)
    os.set_blocking(reading, False)
    return _Child(number, pid, reading, time.monotonic() + limit)


def _run(call: Callable[[], T], pipe: int, parent: int) -> NoReturn:
    """In the child: run `call`, send what it comes to, and end without the parent's clean-up."""
    try:
        os.setsid()
        _die_with(parent)
        settle()
        try:
            answer = json.dumps({"value": call()})
        except BaseException:
            answer = json.dumps({"error": traceback.format_exc()})
        content = answer.encode()
        data = LENGTH.pack(len(content)) + content
        while data:
            data = data[os.write(pipe, data) :]
    finally:
        os._exit(0)


def _die_with(parent: int) -> None:
    """In the child: see to it that this process is killed when its parent ends, which alone knows its limit."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def settle() -> None:
    """In a forked child: leave behind what belongs to the parent (signal handlers, event loop, random state)."""
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    asyncio._set_running_loop(None)
    asyncio.set_event_loop(asyncio.new_event_loop())
    random.seed()
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()


def _ready(running: list[_Child[T]]) -> list[_Child[T]]:
    """Wait until children are over; return them."""
    with selectors.DefaultSelector() as selector:
        for child in running:
            selector.register(child.pipe, selectors.EVENT_READ, child)
        while True:
            for key, _ in selector.select(GLANCE):
                _receive(key.data)
            for child in running:
                if os.waitpid(child.pid, os.WNOHANG)[0]:
                    child.reaped = True
                    _receive(child)
            if over := [child for child in running if child.over]:
                return over


def _receive(child: _Child[T]) -> None:
    """Take what has come from a child."""
    with contextlib.suppress(BlockingIOError):
        while data := os.read(child.pipe, 1 << 20):
            child.received += data
        child.closed = True


def _finish(child: _Child[T]) -> Outcome[T]:
    """End a child with everything that it started, and return what it came to."""
    _kill(child.pid, reaped=child.reaped)
    os.close(child.pipe)
    if child.complete:
        return _outcome(json.loads(child.received[LENGTH.size :]))
    return Outcome(Ending.DIED if child.closed or child.reaped else Ending.TIMED_OUT)


def _outcome(answer: dict[str, Any]) -> Outcome[T]:
    """Return what a child's answer says."""
    if "error" in answer:
        return Outcome(Ending.RAISED, error=str(answer["error"]))
    return Outcome(Ending.RETURNED, answer["value"])


def _kill(pid: int, *, reaped: bool = False) -> None:
    """Kill a child's process group, and wait for the child."""
    # The group may not exist yet where the child has just been forked.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    if not reaped:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
