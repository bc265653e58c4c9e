"""Keeps results, so that unchanged work isn't run again: a run that was broken off goes on where it stood."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import platform
import site
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from autograder.grade.files import write
from autograder.grade.model import Job, Limits, Master, Result, Score, Submission, TestLine
from autograder.grade.read import UnreadableError, read_notebook
from autograder.grade.sandbox import protection

PACKAGE = Path(__file__).parents[1]


class Cache:
    """The results of earlier runs: one file for each submission, which holds the last result and what it came from."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self._folder = folder
        self._limits = limits
        self._tests: dict[str, str] = {}

    def find(self, key: str, submission: Submission) -> Result | None:
        """Return the result that is kept of this submission, where it came from a job with the same key."""
        try:
            kept = json.loads(self._path(submission.student, submission.lesson).read_bytes())
            if kept["key"] != key:
                return None
            result = _result(kept["result"])
        except (OSError, ValueError, KeyError, TypeError):  # none, or one that another version wrote
            return None
        return dataclasses.replace(result, timestamp=submission.timestamp)

    def keep(self, key: str, result: Result) -> None:
        """Keep the result of the job with this key."""
        if result.failed:  # a defect of the grader, which may be mended
            return
        said = dataclasses.asdict(result) | {"timestamp": None}
        content = json.dumps({"key": key, "result": said}).encode()
        write(self._path(result.student, result.lesson), content)

    def key(self, job: Job) -> str:
        """Return what a job's result depends on: ordered code, files, tests, limits, isolation, environment."""
        submission, lesson = job.submission, job.master.lesson
        if lesson not in self._tests:
            self._tests[lesson] = _tests(job.master)
        parts = [environment(), repr(self._limits), repr(protection()), self._tests[lesson], _code(submission.content)]
        parts += [_files(submission.files), repr(submission.doubts), submission.lesson]
        return _hash("\0".join(parts))

    def _path(self, student: str, lesson: str) -> Path:
        """Return where the result of a submission is kept."""
        return self._folder / student / f"{lesson}.json"


@cache
def environment() -> str:
    """Return what stands for this interpreter, its packages and the grader itself."""
    # The names of these folders are the packages with their versions. Not sys.path: packages add to it as they load.
    installed = [*site.getsitepackages(), site.getusersitepackages()]
    packages = sorted(path.name for folder in installed for path in Path(folder).glob("*.dist-info"))
    grader = [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(PACKAGE.rglob("*.py"))]
    return _hash("\0".join([sys.version, platform.platform(), *packages, *grader]))


def _tests(master: Master) -> str:
    """Return what stands for a lesson's tests, points and files."""
    cells = [dataclasses.astuple(cell) for cell in master.cells.values()]
    return _hash(f"{cells!r} {master.metadata!r} {_files(master.files)}")


def _code(content: bytes | None) -> str:
    """Return what stands for the code that was handed in, without outputs and whatever else isn't run."""
    if content is None:
        return "nothing"
    try:
        return _hash(repr(read_notebook(content)))
    except UnreadableError:
        return hashlib.sha256(content).hexdigest()


def _files(files: Mapping[str, bytes]) -> str:
    """Return what stands for the files beside a notebook."""
    return _hash(repr([(name, hashlib.sha256(files[name]).hexdigest()) for name in sorted(files)]))


def _hash(text: str) -> str:
    """Return what stands for a text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _result(said: Mapping[str, Any]) -> Result:
    """Return the result that was kept."""
    scores = tuple(
        Score(**score | {"tests": tuple(TestLine(**test) for test in score["tests"])}) for score in said["scores"]
    )
    rest = {"scores": scores, "remarks": tuple(said["remarks"]), "doubts": tuple(said["doubts"])}
    return Result(**{**said, **rest})
