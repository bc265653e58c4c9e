"""The progress bar of grading: how many, how fast, how long yet, and how many need a person so far."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from autograder.grade.model import Result


class _Rate(TextColumn):
    """The notebooks graded in a second."""

    def __init__(self) -> None:
        super().__init__("")

    def render(self, task: Task) -> Text:
        """Return the rate, once there is one."""
        return Text(f"{task.speed:.1f} a second" if task.speed else "")


def with_progress(console: Console, results: Iterable[Result], total: int) -> Iterator[Result]:
    """Pass results on under a progress bar."""
    columns = (
        TextColumn("grading"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[doubtful]} need a person"),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("grading", total=total, doubtful=0)
        doubtful = 0
        for result in results:
            doubtful += result.needs_person
            progress.update(task, advance=1, doubtful=doubtful)
            yield result
