"""One lesson run from its first cell to its last, with every answer tried at the place where it belongs.

The lesson's cells run in one session. Where an exercise's solution comes, forks of the session try the other answers
in its place: right and wrong ones, the stub, mutants. Each sees what stood before it, and nothing of the solution.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import resource
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import psutil

from autograder.kernel import CellResult, Ending, Outcome, Session, fork_each
from autograder.lesson.mutate import Mutant, mutants
from autograder.lesson.source import SOLUTION_BEGIN, SOLUTION_END, Cell, Exercise, Lesson, Role, tests_in
from autograder.lesson.trial.examples import examples_in, run_example
from autograder.lesson.trial.failure import Failure, Point
from autograder.lesson.trial.waivers import waivers_in
from autograder.notebook.outcome import Outcome as How
from autograder.notebook.report import MIME_TYPE
from autograder.notebook.runner import run_tests
from autograder.notebook.services import named_in, prepare_forks

T = TypeVar("T")

CELL_LIMIT = 60  # seconds that a cell may take
ANSWER_LIMIT = 120.0  # seconds for one answer with its checks
LESSON_SECONDS = 20  # LESSONS.md: a solved lesson runs in less
MUTANT_FLOOR = 2.0  # seconds that every mutant gets, however fast the answer is
MUTANT_FACTOR = 5  # and how many times the answer's own time
MEMORY = 4 << 30  # bytes of data; a mutant may well never stop to append
PASSING = (How.PASSED, How.SKIPPED)
RUN_ROLES = (Role.CODE, Role.SOLUTION, Role.CHECK, Role.HIDDEN)


@dataclass(frozen=True, slots=True)
class Survivor:
    """A mutant that every test passes, by its line in the lesson's file."""

    exercise: str
    line: int
    kind: str
    before: str
    after: str

    def __str__(self) -> str:
        """Return it as one line, the way that a waiver is written."""
        return f"line {self.line} ({self.exercise}, {self.kind}): `{self.before}` → `{self.after}`"


@dataclass(slots=True)
class Tally:
    """How a lesson's mutants fared; `survivors` are those that aren't waived.

    `unmeasured` counts the exercises whose mutants couldn't be tried: with any, the rest says nothing.
    """

    mutants: int = 0
    killed: int = 0
    waived: int = 0
    unmeasured: int = 0
    survivors: list[Survivor] = field(default_factory=list)

    @property
    def score(self) -> float:
        """The killed among those that can be, in percent; 100 where there are none."""
        possible = self.mutants - self.waived
        return round(100 * self.killed / possible, 1) if possible else 100.0


@dataclass(slots=True)
class Trial:
    """A lesson under trial: what was found so far."""

    lesson_id: str
    lesson: Lesson
    mutate: bool
    cores: int
    session: Session
    forks: Path
    failures: list[Failure] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)

    def fail(self, cell: Cell, point: Point, problem: str, remedy: str, *, line: int | None = None) -> None:
        """Note a failure at a cell, or at a line of the file."""
        self.failures.append(Failure(self.lesson_id, cell.name, point, line or cell.line, problem, remedy))


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of one answer: its own error, each test's outcome, each test cell's error by role."""

    error: str
    outcomes: dict[str, str]
    cells: dict[str, str]

    @property
    def failed(self) -> list[str]:
        """The tests that failed, by the names that pytest gives them."""
        return [test for test, outcome in self.outcomes.items() if outcome not in PASSING]

    @property
    def first_error(self) -> str:
        """The first error of its cells; "" where all of them passed."""
        return next(filter(None, [self.error, *self.cells.values()]), "")


def run_trial(lesson_id: str, lesson: Lesson, *, mutate: bool, cores: int) -> tuple[list[Failure], Tally]:
    """Run a lesson twice in one session and try all answers to its exercises; leaves the process unusable for more."""
    atexit._clear()
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    with tempfile.TemporaryDirectory(prefix="lesson-") as folder:
        here, temporary, forks = (Path(folder, name) for name in ("here", "tmp", "forks"))
        for path in (here, temporary, forks):
            path.mkdir()
        _move(here, temporary)
        trial = Trial(lesson_id, lesson, mutate, cores, Session(), forks)
        _load(trial.session)
        prepare_forks(named_in("\n".join(cell.source for cell in lesson.cells if cell.role in RUN_ROLES)))
        first = _pass(trial, first=True)
        if first is not None:
            again = _pass(trial, first=False)
            # A machine may be busy with something else for a while; a lesson that is too slow is so both times.
            _judge_time(trial, first if again is None else min(first, again))
        trial.session.close()
        _find_left_behind(trial, here, temporary)
        os.chdir("/")
    return trial.failures, trial.tally


def _move(here: Path, temporary: Path) -> None:
    """Make these this process's working directory and its place for temporary files."""
    os.chdir(here)
    os.environ["TMPDIR"] = tempfile.tempdir = str(temporary)


def _fork_each(trial: Trial, calls: Sequence[Callable[[], T]], limit: float) -> list[Outcome[T]]:
    """Run each call in a fork of the session; what those that are killed leave behind isn't looked at."""

    def moved(call: Callable[[], T]) -> T:
        _move(trial.forks, trial.forks)
        return call()

    return list(fork_each([partial(moved, call) for call in calls], limit, trial.cores))


def stub_of(exercise: Exercise) -> str:
    """Return what the learner starts from: the starter, or the cell with `raise NotImplementedError` for the answer."""
    if exercise.starter:
        return exercise.starter.source
    kept: list[str] = []
    inside = False
    for line in exercise.solution.source.splitlines():
        if SOLUTION_BEGIN.match(line):
            inside = True
            kept.append(line[: len(line) - len(line.lstrip())] + "raise NotImplementedError")
        elif SOLUTION_END.match(line):
            inside = False
        elif not inside:
            kept.append(line)
    return "\n".join(kept)


def _load(session: Session) -> None:
    """Run a notebook's first cell."""
    if not session.run("%load_ext autograder").ok:
        raise RuntimeError("%load_ext autograder failed")


def _pass(trial: Trial, *, first: bool) -> float | None:
    """Run the lesson's cells in order, the first time with all that is to be tried.

    Return the seconds that the cells took, None where one of them failed.
    """
    point = Point.SOLUTIONS_PASS if first else Point.BOUNDS
    seconds = 0.0
    passed = True
    for cell in trial.lesson.cells:
        if cell.role not in RUN_ROLES:
            continue
        if first and cell.role is Role.SOLUTION:
            _try_answers(trial, trial.lesson.exercises[cell.name])
        started = time.monotonic()
        result = _run(trial.session, cell)
        seconds += time.monotonic() - started
        if not result.ok:
            passed = False
            again = "" if first else "run a second time in the same kernel, "
            trial.fail(
                cell,
                point,
                f"{again}the {cell.role} cell ends in {result.error}",
                f"run the cells of solutions/{trial.lesson_id}.ipynb up to this one",
            )
        if first and cell.role is Role.SOLUTION:
            _try_examples(trial, trial.lesson.exercises[cell.name])
    return seconds if passed else None


def _judge_time(trial: Trial, seconds: float) -> None:
    """A run of the solved lesson takes no longer than the bound."""
    if seconds > LESSON_SECONDS:
        problem = f"a run takes {seconds:.0f} s; the bound is {LESSON_SECONDS} s"
        remedy = "use smaller data or shorter waits in the slowest cells"
        trial.fail(trial.lesson.cells[0], Point.BOUNDS, problem, remedy)


def _try_answers(trial: Trial, exercise: Exercise) -> None:
    """Try every answer but the solution in the solution's place."""
    others = [*exercise.rights, *exercise.wrongs]
    sources = [*(cell.source for cell in others), stub_of(exercise)]
    calls = [partial(_attempt, trial, exercise, source) for source in sources]
    outcomes = _fork_each(trial, calls, ANSWER_LIMIT)
    for cell, outcome in zip(others, outcomes[:-1], strict=True):
        judge = _judge_right if cell.role is Role.RIGHT else _judge_wrong
        judge(trial, cell, outcome)
    _judge_stub(trial, exercise, outcomes[-1])
    if trial.mutate:
        _try_mutants(trial, exercise)


def _judge_right(trial: Trial, cell: Cell, outcome: Outcome[dict[str, Any]]) -> None:
    """A right answer passes every test."""
    attempt = _understood(trial, cell, Point.SOLUTIONS_PASS, outcome)
    if attempt is None:
        return
    if attempt.first_error:
        what = f"fails {', '.join(attempt.failed)}" if attempt.failed else f"ends in {attempt.first_error}"
        remedy = "correct this answer, or the test that asks for more than the prompt does"
        trial.fail(cell, Point.SOLUTIONS_PASS, f"this right answer {what}", remedy)


def _judge_wrong(trial: Trial, cell: Cell, outcome: Outcome[dict[str, Any]]) -> None:
    """A wrong answer runs, and fails the test that it names."""
    attempt = _understood(trial, cell, Point.WRONGS_FAIL, outcome)
    if attempt is None:
        return
    wanted = cell.options["fails"]
    if attempt.error:
        trial.fail(cell, Point.WRONGS_FAIL, f"this wrong answer ends in {attempt.error}", "make it a program that runs")
    elif wanted not in {test.partition("[")[0] for test in attempt.outcomes}:
        remedy = f"run it by hand: {wanted} must end within {CELL_LIMIT} s, and its cell must run up to it"
        problem = f"with this wrong answer {wanted} comes to no result: {attempt.first_error}"
        trial.fail(cell, Point.WRONGS_FAIL, problem, remedy)
    elif wanted not in {test.partition("[")[0] for test in attempt.failed}:
        others = f"; it fails {', '.join(attempt.failed)}" if attempt.failed else " and every other test"
        remedy = f"sharpen {wanted}, or name the test in fails=… that finds this misconception"
        trial.fail(cell, Point.WRONGS_FAIL, f"this wrong answer passes {wanted}{others}", remedy)


def _judge_stub(trial: Trial, exercise: Exercise, outcome: Outcome[dict[str, Any]]) -> None:
    """What the learner starts from passes no cell that has points."""
    cell = exercise.starter or exercise.solution
    attempt = _understood(trial, cell, Point.STUB_FAILS, outcome)
    for test in exercise.tests if attempt else ():
        if attempt and not attempt.cells[test.role]:
            problem = f"what the learner starts from passes the {test.role} cell and earns {test.points}"
            trial.fail(test, Point.STUB_FAILS, problem, "add a test that needs the answer")


def _understood(trial: Trial, cell: Cell, point: Point, outcome: Outcome[dict[str, Any]]) -> Attempt | None:
    """Return what an answer's child reports; None, with a failure, where it reports nothing."""
    if outcome.ending is Ending.RETURNED and outcome.value is not None:
        return Attempt(**outcome.value)
    how = f"{outcome.ending}" + (f" ({outcome.error.splitlines()[-1]})" if outcome.error else "")
    remedy = f"it has {ANSWER_LIMIT:.0f} s, and may not end the kernel: tests of it need limits of their own"
    trial.fail(cell, point, f"this {cell.role} with its tests {how}", remedy)
    return None


def _attempt(trial: Trial, exercise: Exercise, source: str) -> dict[str, Any]:
    """In a fork: run an answer and what follows it up to its last test; return an Attempt's fields."""
    result = trial.session.run(source)
    outcomes: dict[str, str] = {}
    cells = {}
    for cell in _up_to_last_test(trial.lesson, exercise):
        tested = _run(trial.session, cell)
        if cell.name == exercise.name:
            outcomes |= _test_outcomes(tested)
            cells[str(cell.role)] = tested.error
    return {"error": result.error, "outcomes": outcomes, "cells": cells}


def _up_to_last_test(lesson: Lesson, exercise: Exercise) -> Iterator[Cell]:
    """Yield the cells that run between an exercise's solution and its last test, with that test."""
    cells = list(lesson.cells)
    last = max(cells.index(test) for test in exercise.tests)
    for cell in cells[cells.index(exercise.solution) + 1 : last + 1]:
        if cell.role in RUN_ROLES:
            yield cell


def _test_outcomes(result: CellResult) -> dict[str, str]:
    """Return the outcome of each test of a check, from the report that it displays."""
    for output in result.outputs:
        if report := output.get("data", {}).get(MIME_TYPE):
            return {test["name"]: test["outcome"] for test in report["tests"]}
    return {}


def _try_examples(trial: Trial, exercise: Exercise) -> None:
    """Run the prompt's worked examples, in order, against the solution."""
    try:
        examples = examples_in(exercise.prompt.source)
    except ValueError as error:
        remedy = "write them as in Python's own prompt: '>>> ' before a call, its result below"
        trial.fail(exercise.prompt, Point.SOLUTIONS_PASS, f"a worked example can't be read: {error}", remedy)
        return

    def run() -> list[str | None]:
        return [run_example(trial.session, example) for example in examples]

    for outcome in _fork_each(trial, [run], ANSWER_LIMIT):
        for example, problem in zip(examples, outcome.value or ["ends the kernel, or never ends"], strict=False):
            if problem:
                line = exercise.prompt.line + example.line
                text = f"the worked example {example.source.strip()} {problem}"
                trial.fail(
                    exercise.prompt, Point.SOLUTIONS_PASS, text, "correct the example or the solution", line=line
                )


def _try_mutants(trial: Trial, exercise: Exercise) -> None:
    """Try the solution's mutants; note those that survive and aren't waived, and waivers of none."""
    made = mutants(exercise.solution.source)
    cells = [_compiled(cell) for cell in _up_to_last_test(trial.lesson, exercise)]
    # The answer itself first: it has to survive, and sets the measure of time.
    started = time.monotonic()
    (honest,) = _fork_each(trial, [partial(_survives, trial, exercise.solution.source, cells)], ANSWER_LIMIT)
    seconds = time.monotonic() - started
    if honest.value is not True:
        problem = f"the solution itself doesn't pass its tests, run as its mutants are: {honest.error or honest.ending}"
        trial.fail(exercise.solution, Point.MUTANTS_KILLED, problem, "see what its tests need beside the answer")
        trial.tally.unmeasured += 1
        return
    limit = max(MUTANT_FLOOR, MUTANT_FACTOR * seconds)
    calls = [partial(_survives, trial, mutant.source, cells) for mutant in made]
    outcomes = _fork_each(trial, calls, limit)
    survivors = [mutant for mutant, outcome in zip(made, outcomes, strict=True) if outcome.value is True]
    _tally(trial, exercise, made, survivors)


def _tally(trial: Trial, exercise: Exercise, made: Sequence[Mutant], survivors: Sequence[Mutant]) -> None:
    """Count an exercise's mutants, those waived apart."""
    waivers, unread = waivers_in(exercise.waived)
    matched = set()
    trial.tally.mutants += len(made)
    trial.tally.killed += len(made) - len(survivors)
    for mutant in survivors:
        waiver = next((each for each in waivers if (each.before, each.after) == (mutant.before, mutant.after)), None)
        if waiver:
            matched.add(waiver)
            trial.tally.waived += 1
        else:
            line = exercise.solution.line + mutant.line
            trial.tally.survivors.append(Survivor(exercise.name, line, mutant.kind, mutant.before, mutant.after))
    if exercise.waived is None:
        return
    for waiver in waivers:
        if waiver not in matched:
            problem = f"no mutant `{waiver.before}` → `{waiver.after}` survives"
            trial.fail(exercise.waived, Point.MUTANTS_KILLED, problem, "take this waiver out", line=waiver.line)
    for line in unread:
        remedy = "write each as '- `before` → `after`: reason'"
        trial.fail(exercise.waived, Point.MUTANTS_KILLED, "this line is no waiver", remedy, line=line)


@dataclass(frozen=True, slots=True)
class _Compiled:
    """A cell made ready for many runs: the code and the names of its tests, or the source of one that has none."""

    source: str
    code: Any
    tests: tuple[str, ...]


def _compiled(cell: Cell) -> _Compiled:
    """Return a cell ready for many runs."""
    if cell.role in (Role.CHECK, Role.HIDDEN):
        code = compile(cell.source, f"<{cell.role} {cell.name}>", "exec", dont_inherit=True)
        return _Compiled(cell.source, code, tests_in(cell))
    return _Compiled(cell.source, None, ())


def _survives(trial: Trial, source: str, cells: Sequence[_Compiled]) -> bool:
    """In a fork: whether an answer runs and passes every test. It stops at the first that fails."""
    if not trial.session.run(source).ok:
        return False
    for cell in cells:
        if not cell.tests:
            if not trial.session.run(cell.source).ok:
                return False
            continue
        namespace = dict(trial.session.names)
        exec(cell.code, namespace)
        results = run_tests(namespace, cell.tests, stop_at_first_failure=True)
        if not all(result.outcome in PASSING for result in results):
            return False
    return True


def _run(session: Session, cell: Cell) -> CellResult:
    """Run a cell as it stands in the notebook."""
    magic = f"%%check {cell.name}\n" if cell.role in (Role.CHECK, Role.HIDDEN) else ""
    with _limited(CELL_LIMIT):
        return session.run(magic + cell.source)


@contextlib.contextmanager
def _limited(seconds: int) -> Iterator[None]:
    """Raise TimeoutError in the running cell after so many seconds."""

    def stop(number: int, frame: object) -> NoReturn:
        raise TimeoutError(f"the cell runs for more than {seconds} s")

    before: Callable[..., Any] | int | None = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _find_left_behind(trial: Trial, *folders: Path) -> None:
    """Note the files and processes that are still there when the kernel has ended; its own ports end with it."""
    atexit._run_exitfuncs()
    first = trial.lesson.cells[0]
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            problem = f"the file {path.relative_to(folder)} stays behind in {folder.name}"
            trial.fail(first, Point.BOUNDS, problem, "write it into a tempfile.TemporaryDirectory that is closed")
    for process in psutil.Process().children(recursive=True):
        problem = f"the process {process.pid} ({' '.join(process.cmdline()) or process.name()}) stays behind"
        trial.fail(first, Point.BOUNDS, problem, "stop it in the cell that starts it, and wait for it")
