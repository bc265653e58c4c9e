"""The corpus: every submission gets what is written beside it, and nobody else feels it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from autograder.course import Course, find_course
from autograder.grade.collect import collect_class
from autograder.grade.master import load_masters
from autograder.grade.model import Job, Limits, Result, Submission
from autograder.grade.pool import grade_all
from autograder.lesson.guide import load_guide
from tests.integration.corpus import CASES, Book, Case
from tests.integration.corpus.book import FULL, LESSON
from tests.integration.corpus.faults import MARK

pytestmark = pytest.mark.xdist_group("corpus")
HONEST = ("a-first", "z-last")
# Together: a batch is graded with two honest students in it.
BATCH = 30
LIMITS = Limits(cell=4, grace=2)


@dataclass(frozen=True)
class Graded:
    """The corpus, graded: the cases' results, those of the honest of each batch, and what was left when it ended."""

    results: Mapping[str, Result]
    honest: list[Result]
    left: Mapping[str, object]


@pytest.fixture(scope="module")
def graded(small_course: Course, tmp_path_factory: pytest.TempPathFactory) -> Graded:
    """Grade all cases in batches."""
    root = tmp_path_factory.mktemp("corpus")
    masters = load_masters(small_course, [LESSON])
    results: dict[str, Result] = {}
    honest: list[Result] = []
    temporary = root / "tmp"
    temporary.mkdir()
    before = _mounts(), _listening()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(temporary))
        patch.setattr(tempfile, "tempdir", str(temporary))
        for number in range(0, len(CASES), BATCH):
            folder = root / f"batch-{number}"
            for student in HONEST:
                Book(small_course, folder / student / "01_core").solve().write()
            for case in CASES[number : number + BATCH]:
                case.build(Book(small_course, folder / case.name / "01_core"))
            for result in grade_all(collect_class(folder, masters).jobs(), LIMITS):
                if result.student in HONEST:
                    honest.append(result)
                else:
                    results[result.student] = result
    left = {
        "files": [path.name for path in temporary.iterdir()],
        "processes": [p.pid for p in psutil.process_iter(["cmdline"]) if MARK in (p.info["cmdline"] or ())],
        "children": [p.name() for p in psutil.Process().children(recursive=True) if "autograder.grade" in _line(p)],
        "mounts": set(_mounts()) - set(before[0]),
        "ports": _listening() - before[1],
    }
    return Graded(results, honest, left)


@pytest.mark.parametrize("lesson", [entry.id for entry in load_guide(find_course(Path(__file__).parent)).lessons])
def test_a_real_lesson_solved_is_full_and_unflagged(course: Course, lesson: str) -> None:
    (master,) = load_masters(course, [lesson]).values()
    notebook = json.loads((course.notebooks / f"{lesson}.ipynb").read_bytes())
    for cell in notebook["cells"]:
        known = master.cells.get(cell["metadata"].get("nbgrader", {}).get("grade_id", ""))
        if known and known.solution:
            cell["source"] = known.source
    job = Job(Submission("", lesson, json.dumps(notebook).encode()), master)
    (result,) = grade_all([job], Limits(cell=120))
    assert (result.points, result.doubts) == (result.max_points, ())


def _line(process: psutil.Process) -> str:
    """Return a process's command line, "" where it is gone."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _mounts() -> list[str]:
    """Return what is mounted, as far as the system tells."""
    mounts = Path("/proc/self/mountinfo")
    return mounts.read_text().splitlines() if mounts.exists() else []


def _listening() -> set[int]:
    """Return the ports at which this process and its children listen."""
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    return {c.laddr.port for p in processes if p.is_running() for c in p.net_connections() if c.status == "LISTEN"}


def test_the_corpus_is_large_and_each_case_has_a_name_of_its_own() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 80
    assert all(case.build.__doc__ for case in CASES)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_it_gets_what_it_deserves(graded: Graded, case: Case) -> None:
    result = graded.results[case.name]
    assert result.points == case.points, result
    assert (case.flag in " ".join(result.doubts)) if case.flag else not result.doubts, result.doubts
    assert case.said in " ".join(result.remarks), result.remarks


def test_nothing_unearned_is_unflagged(graded: Graded) -> None:
    tampering = [case for case in CASES if case.build.__module__.endswith("tampering")]
    assert all(graded.results[case.name].points < FULL or case.flag for case in tampering)


def test_honest_students_beside_them_feel_nothing(graded: Graded) -> None:
    assert len(graded.honest) == 2 * -(-len(CASES) // BATCH)
    assert all((result.points, result.doubts, result.remarks) == (FULL, (), ()) for result in graded.honest)


@pytest.mark.parametrize("what", ["files", "processes", "children", "mounts", "ports"])
def test_nothing_is_left(graded: Graded, what: str) -> None:
    assert not graded.left[what]
