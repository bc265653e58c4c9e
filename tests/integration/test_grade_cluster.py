"""Grading on a Dask cluster: the same results, also where a worker is lost."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import nbformat
import pytest

from autograder.course import Course, CourseError
from autograder.grade.cluster import Cluster, _grade_here
from autograder.grade.collect import collect_class
from autograder.grade.command import EngineName, Options, grade_class
from autograder.grade.master import load_masters
from autograder.grade.model import Job, Limits, Result
from autograder.grade.pool import grade_all

pytestmark = pytest.mark.slow

LESSON = "01_core/01_sums"
STUDENTS = 6


def hand_in(course: Course, folder: Path) -> list[Job]:
    """Hand in a class of which half solves an exercise, slowly; return its jobs."""
    for number in range(STUDENTS):
        made = nbformat.read(course.notebooks / f"{LESSON}.ipynb", as_version=4)
        solution = next(cell for cell in made.cells if cell.id == "solution-mend")
        solution.source = f"import time\ntime.sleep(0.5)\ndef mend():\n    return {3 if number % 2 else 4}"
        path = folder / f"s{number}" / f"{LESSON}.ipynb"
        path.parent.mkdir(parents=True)
        nbformat.write(made, path)
    return list(collect_class(folder, load_masters(course, [LESSON])).jobs())


def points(results: Iterator[Result]) -> dict[str, float]:
    """Return the points by student."""
    return {result.student: result.points for result in results}


def test_jobs_of_a_lost_worker_are_run_elsewhere(classroom: Course, tmp_path: Path) -> None:
    jobs = hand_in(classroom, tmp_path / "in")
    with closing(Cluster(Limits(), 2)) as cluster:
        assert cluster.workers
        lost = next(worker.pid for worker in cluster.workers.workers.values())
        results = cluster.grade(jobs)
        found = [next(results)]  # every worker is at it by now
        os.kill(lost, signal.SIGKILL)
        found += results
    assert points(iter(found)) == points(grade_all(jobs, Limits()))
    assert sum(points(iter(found)).values()) == STUDENTS / 2
    assert not any(result.failed for result in found)


def test_the_tables_are_the_same_on_both_engines(classroom: Course, tmp_path: Path) -> None:
    hand_in(classroom, tmp_path / "in")
    other = Course(shutil.copytree(classroom.root, tmp_path / "other"))
    assert grade_class(classroom, tmp_path / "in") == 0
    assert grade_class(other, tmp_path / "in", options=Options(jobs=2, engine=EngineName.DASK)) == 0
    tables = [(course.grading / "grades.csv").read_bytes() for course in (classroom, other)]
    assert tables[0] == tables[1]


def test_a_scheduler_that_does_not_answer_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autograder.grade.cluster.CONNECT_SECONDS", 0.2)
    with pytest.raises(CourseError, match="scheduler"):
        Cluster(Limits(), scheduler="tcp://127.0.0.1:9")


def test_a_worker_that_cannot_isolate_submissions_runs_none(
    classroom: Course, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise CourseError("not isolated")

    (job, *_) = hand_in(classroom, tmp_path / "in")
    monkeypatch.setattr("autograder.grade.cluster.require_sandbox", refuse)
    with pytest.raises(CourseError, match="not isolated"):
        _grade_here(job, Limits(), (), isolated=True)
