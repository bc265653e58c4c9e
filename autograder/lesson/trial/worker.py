"""The process that runs lessons: warmed up once, it forks a child for each.

It is a process of its own, so that it forks without the threads, handlers and open files of whoever asks:

    python -m autograder.lesson.trial.worker < job
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from autograder.course import Course
from autograder.kernel import Outcome, Session, fork_each, require_fork
from autograder.lesson.source import parse_file
from autograder.lesson.trial.failure import Failure, Point
from autograder.lesson.trial.run import Survivor, Tally, run_trial

LESSON_LIMIT = 1800.0  # seconds; everything inside has closer limits
WARM_UP = ("%load_ext autograder", "%%check warm_up\nasync def test_nothing(): pass", "1 / 0")


@dataclass(frozen=True, slots=True)
class Result:
    """What running a lesson showed; `tally` is empty unless its mutants were tried."""

    failures: list[Failure]
    tally: Tally


def run_lessons(course: Course, lesson_ids: Sequence[str], mutate: Sequence[str], cores: int) -> Iterator[Result]:
    """Run lessons on `cores` cores, with the mutants of those in `mutate`; yield their results in order.

    Raises CourseError where processes can't be forked.
    """
    require_fork()
    job = {"root": str(course.root), "lessons": list(lesson_ids), "mutate": list(mutate), "cores": cores}
    command = [sys.executable, "-m", "autograder.lesson.trial.worker"]
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(job))
        process.stdin.close()
        for line in process.stdout:
            yield _from_json(json.loads(line))
    if process.returncode != 0:
        raise RuntimeError(f"the prover's worker ended with status {process.returncode}")


def _from_json(data: dict[str, Any]) -> Result:
    """Return a result as `_to_json` wrote it."""
    failures = [Failure(**{**each, "point": Point(each["point"])}) for each in data["failures"]]
    survivors = [Survivor(**each) for each in data["tally"].pop("survivors")]
    return Result(failures, Tally(**data["tally"], survivors=survivors))


def _main() -> None:
    """Read a job from standard input; write a result for each of its lessons, one a line, to standard output."""
    job = json.load(sys.stdin)
    course = Course(Path(job["root"]))
    lessons: list[str] = job["lessons"]
    together = min(job["cores"], len(lessons))
    each = max(1, job["cores"] // together)
    _warm_up()
    calls = [partial(_prove, course, name, name in job["mutate"], each) for name in lessons]
    for name, outcome in zip(lessons, fork_each(calls, LESSON_LIMIT, together), strict=True):
        print(json.dumps(outcome.value or _lost(name, outcome)), flush=True)


def _warm_up() -> None:
    """Load what every lesson needs, so that the children have it."""
    session = Session()
    for source in WARM_UP:
        session.run(source)
    session.close()
    gc.collect()
    gc.freeze()


def _prove(course: Course, lesson_id: str, mutate: bool, cores: int) -> dict[str, Any]:
    """In a fork: run one lesson."""
    lesson = parse_file(course.lessons / f"{lesson_id}.py", course.root)
    failures, tally = run_trial(lesson_id, lesson, mutate=mutate, cores=cores)
    return {"failures": [asdict(failure) for failure in failures], "tally": asdict(tally)}


def _lost(lesson_id: str, outcome: Outcome[dict[str, Any]]) -> dict[str, Any]:
    """Return the result of a lesson whose child has none."""
    how = f"the run {outcome.ending}: {outcome.error}" if outcome.error else f"the run {outcome.ending}"
    remedy = f"run solutions/{lesson_id}.ipynb from its first cell"
    failure = Failure(lesson_id, "", Point.SOLUTIONS_PASS, 1, how, remedy)
    return {"failures": [asdict(failure)], "tally": asdict(Tally(unmeasured=1))}


if __name__ == "__main__":
    _main()
