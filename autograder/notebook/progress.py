"""The learner's progress: which exercises have passed their check, in one file at the checkout's root."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from autograder.course import CourseError, find_course

FILE = "progress.json"
# Checks run here are the learner's own; those of a grader run elsewhere.
LEARNERS_FOLDERS = ("work", "notebooks")
PATIENCE = 2.0  # seconds to wait for another kernel that is writing


class DamagedProgressError(Exception):
    """The progress file holds something else than progress."""


@dataclass(frozen=True, slots=True)
class Passed:
    """When an exercise first passed its check (ISO 8601, UTC) and how many tests that check had then."""

    first_passed: str
    tests: int


def record(exercise: str, passed: int, total: int) -> None:
    """Note that `passed` of an exercise's `total` visible tests have passed; only a whole pass is kept.

    Does nothing unless the working directory is the learner's: under `work/` or `notebooks/` of a checkout.
    A file that can't be read or written doesn't stop a check: it raises nothing.
    """
    if total == 0 or passed < total:
        return
    with contextlib.suppress(OSError):
        path = _progress_file(Path.cwd())
        if path is None:
            return
        # Read only under the lock: another kernel may be writing, or setting a damaged file aside.
        with _locked(path):
            entries = _known(path)
            if exercise not in entries:
                entries[exercise] = Passed(datetime.now(UTC).isoformat(timespec="seconds"), total)
                _write(path, entries)


def read(path: Path) -> dict[str, Passed]:
    """Return what the progress file at `path` holds, by exercise: nothing where there is no file.

    Raises DamagedProgressError for a file that holds something else, OSError for one that can't be opened.
    """
    try:
        data = json.loads(path.read_bytes())
        return {name: Passed(str(entry["first_passed"]), int(entry["tests"])) for name, entry in data.items()}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise DamagedProgressError(str(error)) from error


def _progress_file(here: Path) -> Path | None:
    """Return the progress file of the checkout that a learner works in at `here`, None where they don't."""
    try:
        course = find_course(here)
    except CourseError:
        return None
    inside = here.resolve().relative_to(course.root).parts
    return course.root / FILE if inside and inside[0] in LEARNERS_FOLDERS else None


def _known(path: Path) -> dict[str, Passed]:
    """Return what the file holds. One that is damaged is renamed, never overwritten, and counts as empty."""
    try:
        return read(path)
    except DamagedProgressError:
        path.rename(path.with_name(f"{FILE}.damaged-{time.time_ns()}"))
        return {}


def _write(path: Path, entries: Mapping[str, Passed]) -> None:
    """Put the whole file in place in one step."""
    temporary = path.with_name(f"{FILE}.{os.getpid()}.tmp")
    text = json.dumps({name: asdict(entry) for name, entry in entries.items()}, indent=1)
    try:
        temporary.write_text(text + "\n", encoding="utf-8")
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock beside `path`, which the system releases should this process die.

    Raises OSError where another process holds it for longer than `PATIENCE`.
    """
    with path.with_name(f"{FILE}.lock").open("ab") as handle:
        until = time.monotonic() + PATIENCE
        while not _lock(handle.fileno()):
            if time.monotonic() > until:
                raise TimeoutError(f"{path} is locked by another process")
            time.sleep(0.01)
        yield


if sys.platform == "win32":
    import msvcrt

    def _lock(handle: int) -> bool:
        """Take the lock on an open file until it is closed; return whether it was free."""
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:

    def _lock(handle: int) -> bool:
        """Take the lock on an open file until it is closed; return whether it was free."""
        import fcntl  # not there in a browser's Python, which has no checkout either

        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
