"""The command `course`: one function a verb, each as thin as it can be."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from autograder.course import Course, CourseError, find_course
from autograder.environment import add_tools_to_path

# Verbs import what they need themselves: `course --help` must not wait for nbgrader.

app = typer.Typer(
    help="Work, mark, prove and publish the course.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
Lessons = Annotated[list[str] | None, typer.Argument(help="Sections or lessons; all of them when left out.")]
Lesson = Annotated[str | None, typer.Argument(help="A section or a lesson; all of them when left out.")]


def main() -> None:
    """Run the command. Exit status 2 with one line for what the user has to mend."""
    add_tools_to_path()
    try:
        app()
    except CourseError as error:
        Console(stderr=True).print(f"course: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(2)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def lab(context: typer.Context) -> None:
    """Open JupyterLab on your copy of the lessons (further arguments go to JupyterLab)."""
    from autograder.workspace import take

    course = find_course()
    _say(take(course).lines)
    sys.exit(subprocess.run(lab_command(course, context.args), cwd=course.root, check=False).returncode)


def lab_command(course: Course, arguments: list[str]) -> list[str]:
    """Return the command that opens JupyterLab on the learner's copy, at the start page."""
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={course.work}"]
    command += ["--LabApp.default_url=/lab/tree/index.ipynb"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")  # in a container, where there is nobody else
    return command + arguments


@app.command()
def progress() -> None:
    """Show which exercises have passed their check."""
    from autograder.progress_report import read_progress

    table = Table("exercise", "points", "passed", box=None)
    for lesson in read_progress(find_course()):
        done = sum(exercise.passed is not None for exercise in lesson.exercises)
        table.add_row(f"[bold]{lesson.section}: {lesson.title}", "", f"{done}/{len(lesson.exercises)}")
        for exercise in lesson.exercises:
            table.add_row(f"  {exercise.title}", str(exercise.points), "✔" if exercise.passed else "")
    Console().print(table)


@app.command()
def update(lesson: Lesson = None) -> None:
    """Bring lessons that have changed to their newest version, with your answers in them."""
    from autograder.workspace import update

    updates = update(find_course(), lesson)
    _say([line for updated in updates for line in updated.lines] or ["your lessons are the newest already"])
    sys.exit(2 if any(updated.refused for updated in updates) else 0)


@app.command()
def reset(name: Annotated[str, typer.Argument(help="A lesson or an exercise.")]) -> None:
    """Give a lesson or an exercise back as it was; what you had is kept."""
    from autograder.workspace import reset

    _say(reset(find_course(), name).lines)


@app.command()
def build() -> None:
    """Write solutions/ and notebooks/ from lessons/."""
    from autograder.lesson.release import build

    written = build(find_course())
    _say([f"wrote {path}" for path in written] or ["solutions/ and notebooks/ are current"])


@app.command()
def check(lessons: Lessons = None) -> None:
    """Prove lessons; measure mutants only where something has changed."""
    from autograder.lesson.prove import check

    failures = check(find_course(), lessons or (), progress=_proved)
    _say([str(failure) for failure in failures] or ["everything holds"])
    sys.exit(1 if failures else 0)


@app.command()
def prove(lessons: Lessons = None) -> None:
    """Prove lessons from nothing and write the scores into lessons/proofs.toml."""
    from autograder.lesson.prove import prove

    lessons_measured = prove(find_course(), lessons or (), progress=_proved)
    for measured in lessons_measured:
        if measured.proof:
            proof = measured.proof
            _say([f"{measured.lesson}: {proof.killed} of {proof.mutants} mutants killed, {proof.waived} waived"])
        _say([f"  survivor: {survivor}" for survivor in measured.survivors])
        _say([str(failure) for failure in measured.failures])
    sys.exit(1 if any(measured.failures for measured in lessons_measured) else 0)


@app.command()
def grade(
    lesson: Lesson = None,
    submissions: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Mark a class: DIR/STUDENT/SECTION/LESSON.ipynb, or a ZIP of Moodle or Canvas."
        ),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="How many notebooks are run at once; one for each core by default.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Run again what hasn't changed since the last time.")] = False,
    reveal: Annotated[bool, typer.Option("--reveal", help="Show the code of hidden tests on the pages.")] = False,
    engine: Annotated[
        Literal["local", "dask"], typer.Option(help="Run notebooks on this machine, or on a Dask cluster.")
    ] = "local",
    scheduler: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="The cluster's scheduler; without one, a cluster here.")
    ] = None,
    require_sandbox: Annotated[
        bool, typer.Option("--require-sandbox", help="Grade nothing where submissions can't be isolated.")
    ] = False,
) -> None:
    """Mark your notebooks, or a class, with the hidden tests. Exit status 1 where a person has to look."""
    from autograder.grade import doctor, sandbox

    if sandbox.LINUX:
        sandbox.begin_trying()  # while the rest is imported
    from autograder.grade.command import EngineName, Options, grade_class, grade_own

    if require_sandbox:
        doctor.require_sandbox()
    for line in doctor.warnings():
        typer.echo(f"course: {line}", err=True)
    course, options = find_course(), Options(jobs, fresh, reveal, EngineName(engine), scheduler, require_sandbox)
    if submissions:
        sys.exit(grade_class(course, submissions, lesson, options=options))
    sys.exit(grade_own(course, lesson, options=options))


@app.command("doctor")
def examine() -> None:
    """Show what this machine can do to keep submissions apart."""
    from autograder.grade.doctor import report

    _say(report())


@app.command("services")
def list_services() -> None:
    """Show which of the lessons' servers this machine has, and what stands in for the others."""
    from rich.markup import escape

    from autograder.notebook.services import findings

    table = Table("service", "here", "what", box=None)
    for name, finding in findings().items():
        table.add_row(name, finding.kind, escape(finding.what))
    Console().print(table)


@app.command()
def book() -> None:
    """Build the book in book/_build/html."""
    from autograder.book import build_book

    _say([f"built {build_book(find_course())}"])


@app.command()
def serve_book(port: Annotated[int, typer.Option(help="The port on this machine; 0 takes a free one.")] = 8000) -> None:
    """Show the built book at an address on this machine, until Ctrl+C."""
    from autograder.book import serve_book

    serve_book(find_course(), port)


@app.command()
def bench() -> None:
    """Measure how long checking, building, grading and proving take, stock nbgrader beside it."""
    from autograder.bench import measure

    for figure in measure(find_course()):
        beside = (
            f"  stock nbgrader {figure.stock:.1f} s: {figure.stock / figure.seconds:.1f} times" if figure.stock else ""
        )
        _say([f"{figure.what:<40} {figure.seconds:8.3f} s{beside}"])


@app.command()
def bench_grade(
    students: Annotated[int, typer.Option(min=1, help="How many students each of the two classes has.")] = 20,
) -> None:
    """Measure grading a class against stock nbgrader, score by score."""
    from autograder.grade.benchmark import measure

    for line in measure(find_course(), students):
        typer.echo(line)


def _proved(lesson: str) -> None:
    """Say that a lesson has been run."""
    typer.echo(f"ran {lesson}", err=True)


def _say(lines: Iterable[str]) -> None:
    """Print plain lines, whatever signs are in them."""
    for line in lines:
        typer.echo(line)
