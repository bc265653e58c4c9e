"""Says what this machine can do to keep submissions apart, and refuses to grade where that is too little."""

from __future__ import annotations

from autograder.course import CourseError
from autograder.grade.model import Limits
from autograder.grade.sandbox import Protection, protection

HOW = (
    "grade on Linux 5.12 or newer, as a user who may create namespaces (`unshare --user --map-root-user true` says so)"
)


def report() -> list[str]:
    """Return what this machine can do, a line each."""
    here = protection()
    limits = Limits()
    landlock = f"version {here.landlock}" if here.landlock else "not in this kernel"
    lines = [
        f"own processes, files, network   {'yes' if here.namespaces else f'no: {here.refused}'}",
        f"Landlock                        {landlock}",
        f"seccomp                         {'yes' if here.seccomp else 'no'}",
        f"limits of a cell                {limits.cell:g} s, {limits.cell_output:,} characters",
        f"limits of a notebook            {limits.notebook:g} s, {limits.notebook_output:,} characters, "
        f"files {_size(limits.disk)} (each {_size(limits.file_size)})",
    ]
    if here.limits:
        lines.append(f"memory and processes            {_size(limits.memory)}, {limits.processes}")
    return [*lines, *(warnings(here) or ["submissions are isolated"])]


def warnings(here: Protection | None = None) -> list[str]:
    """Return a line for what a submission could do on this machine, none where it is isolated."""
    missing = (here or protection()).missing
    if not missing:
        return []
    return [
        f"submissions are not isolated here: their code can {'; '.join(missing)}. To change that, {HOW}."
        " Mark nobody's work but your own until then."
    ]


def require_sandbox() -> None:
    """Raise CourseError where submissions can't be isolated."""
    if missing := warnings():
        raise CourseError(missing[0])


def _size(number: int) -> str:
    """Return a number of bytes for people."""
    return f"{number >> 20:,} MiB"
