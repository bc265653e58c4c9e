"""How a notebook's process ended: as one byte, which its keeper passes on, and in words for people."""

from __future__ import annotations

import os
import signal

# The status for a process that took too much: no signal's, and none that programs use.
TOOK_TOO_MUCH = 120
# Ended by signal N is 128 + N, as shells have it.
SIGNALLED = 128
# By name: Windows lacks most of them.
SIGNALS = {
    "SIGABRT": "it made the interpreter give up (SIGABRT)",
    "SIGKILL": "it killed the process that runs the notebook, or memory ran out (SIGKILL)",
    "SIGSEGV": "it crashed the interpreter (SIGSEGV)",
    "SIGSYS": "it made a system call that notebooks may not make (SIGSYS)",
    "SIGXCPU": "it took more processor time than a notebook may (SIGXCPU)",
}
UNKNOWN = "it ended the process that runs the notebook"


def exit_status(wait_status: int) -> int:
    """Return how a process ended, as `os.waitpid` tells it, in one byte."""
    return byte_of(os.waitstatus_to_exitcode(wait_status))


def byte_of(exit_code: int) -> int:
    """Return an exit code, which is negative for a signal, as one byte."""
    return exit_code & 0xFF if exit_code >= 0 else SIGNALLED - exit_code


def in_words(status: int) -> str:
    """Return what the status says of a notebook's process, which nobody but the notebook has ended."""
    if status == TOOK_TOO_MUCH:
        return "it took more memory, or more processes, than a notebook may"
    if status < SIGNALLED:
        return f"{UNKNOWN}, with status {status}"
    try:
        name = signal.Signals(status - SIGNALLED).name
    except ValueError:
        return UNKNOWN
    return SIGNALS.get(name, f"{UNKNOWN}, by {name}")
