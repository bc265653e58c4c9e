"""Results as tables: in the terminal, and as grades.csv."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from autograder.grade.collect import Stray
from autograder.grade.feedback import by_exercise, number
from autograder.grade.model import Master, Result, Saved

COLUMNS = (
    "student",
    "section",
    "lesson",
    "points",
    "max_points",
    "late_penalty",
    "score",
    "needs_person",
    "remarks",
)


def print_own(console: Console, masters: Mapping[str, Master], results: Iterable[Result]) -> None:
    """Print a learner's results: each exercise, its points, and what failed in one line."""
    # Names and points are whole; of what failed there is one line, and the page has the rest.
    failed = Column("what failed", no_wrap=True, overflow="ellipsis", ratio=1)
    table = Table(Column("exercise", no_wrap=True), Column("points", no_wrap=True), failed, box=None, expand=True)
    noted = []
    for result in results:
        master = masters[result.lesson]
        table.add_row(Text(master.title, "bold"), _points(result.points, result.max_points), "")
        for exercise in by_exercise(master, result):
            table.add_row(
                Text(f"  {exercise.heading}"), _points(exercise.points, exercise.max_points), Text(exercise.why)
            )
        for said in (*result.doubts, *result.remarks):
            noted.append(Text(f"{master.title}: {said}", "yellow"))
    console.print(table)
    for note in noted:
        console.print(note)


def print_class(console: Console, results: Sequence[Result], strays: Sequence[Stray]) -> None:
    """Print a class's results in sum, and whatever a person has to look at."""
    students = len({result.student for result in results})
    console.print(f"{len(results)} notebooks of {students} students graded")
    table = Table("student", "notebook", "needs a person because", box=None)
    for result in results:
        for doubt in reasons(result):
            table.add_row(Text(result.student), result.lesson, Text(doubt))
    for stray in strays:
        table.add_row(Text(stray.student), Text(stray.path), Text(stray.why))
    if table.row_count:
        console.print(table)


def grades_csv(results: Iterable[Result], saved: Mapping[tuple[str, str], Saved], strays: Iterable[Stray]) -> bytes:
    """Return grades.csv: a row for each student and lesson, and one for whatever could not be matched."""
    text = io.StringIO()
    rows = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    rows.writeheader()
    for result in sorted(results, key=lambda result: (result.student, result.lesson)):
        section, _, lesson = result.lesson.partition("/")
        stands = saved[result.student, result.lesson]
        rows.writerow(
            {
                "student": _plain(result.student),
                "section": section,
                "lesson": lesson,
                "points": number(stands.points),
                "max_points": number(result.max_points),
                "late_penalty": number(stands.penalty),
                "score": number(stands.points - stands.penalty),
                "needs_person": _plain("; ".join(reasons(result))),
                "remarks": _plain("; ".join(result.remarks)),
            }
        )
    for stray in strays:
        named = {"student": stray.student, "lesson": stray.path, "needs_person": stray.why}
        rows.writerow({column: _plain(text) for column, text in named.items()})
    return text.getvalue().encode()


def reasons(result: Result) -> list[str]:
    """Return why a person has to look at a result."""
    waiting = [score.grade_id for score in result.scores if score.points is None]
    return [*result.doubts, *([f"to be marked by a person: {', '.join(waiting)}"] if waiting else [])]


def _plain(text: str) -> str:
    """Return a text that spreadsheets don't take for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else text


def _points(points: float, max_points: float) -> Text:
    """Return points out of points, coloured when all are there."""
    return Text(f"{number(points)} / {number(max_points)}", "green" if points == max_points else "")
