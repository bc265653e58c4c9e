"""The page that tells a person what passed, what failed and why. Nothing of a submission is shown but as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from jinja2 import Environment, PackageLoader, StrictUndefined

from autograder.grade.model import Master, Result, Score
from autograder.notebook.report import SIGNS

# As nbgrader's ClearHiddenTests has them.
BEGIN_HIDDEN, END_HIDDEN = "### BEGIN HIDDEN TESTS", "### END HIDDEN TESTS"
PAGES = Environment(
    loader=PackageLoader("autograder.grade"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass(frozen=True, slots=True)
class ExerciseScore:
    """The scores of one exercise together."""

    name: str
    heading: str
    scores: tuple[Score, ...]
    # The headings of what explains it.
    reading: tuple[str, ...] = ()

    @property
    def points(self) -> float:
        """The points earned so far."""
        return sum(score.points or 0 for score in self.scores)

    @property
    def max_points(self) -> float:
        """The points that there are."""
        return sum(score.max_points for score in self.scores)

    @property
    def why(self) -> str:
        """Why points are missing, in one line."""
        return next((score.why for score in self.scores if score.why), "")

    @property
    def waits(self) -> bool:
        """Whether a person has to give points."""
        return any(score.points is None for score in self.scores)


def by_exercise(master: Master, result: Result) -> list[ExerciseScore]:
    """Return a result's scores by exercise, in the lesson's order."""
    grouped: dict[str, list[Score]] = {}
    hidden = _hidden(master)
    for score in result.scores:
        if score.grade_id in hidden:
            score = replace(score, why=score.why.partition(": assert ")[0])  # the sentence, without the test's code
        grouped.setdefault(score.exercise or score.grade_id, []).append(score)
    return [
        ExerciseScore(name, master.headings.get(name, name), tuple(scores), master.reading.get(name, ()))
        for name, scores in grouped.items()
    ]


def page(master: Master, result: Result, penalty: float = 0, *, reveal: bool = False) -> bytes:
    """Return the page of one result as HTML; the code of hidden tests is on it with `reveal` alone."""
    answers = dict(_answers(result))
    text = PAGES.get_template("lesson.html").render(
        master=master,
        result=result,
        penalty=penalty,
        exercises=by_exercise(master, result),
        answers=answers,
        hidden=_hidden(master),
        reveal=reveal,
        concealed=_concealed,
        signs=_signs(),
        number=number,
    )
    return text.encode()


def number(points: float) -> str:
    """Return points as people write them: 2, 1.5."""
    return f"{points:g}"


def _answers(result: Result) -> Iterator[tuple[str, str]]:
    """Yield the learner's answers by grade id."""
    for cell in result.notebook["cells"] if result.notebook else ():
        given = cell["metadata"].get("nbgrader", {})
        if given.get("solution"):
            yield given["grade_id"], cell["source"]


def _hidden(master: Master) -> Mapping[str, str]:
    """Return the code of the tests that learners don't see in their notebook, by grade id."""
    parts = ((cell.grade_id, cell.source.partition(BEGIN_HIDDEN)[2]) for cell in master.graded)
    return {grade_id: part.partition(END_HIDDEN)[0].strip() for grade_id, part in parts if part}


def _concealed(message: str) -> str:
    """Return a hidden test's message without the test's code: pytest shows it from the line of the assertion on."""
    lines = message.splitlines()
    begin = next((number for number, line in enumerate(lines) if line.startswith("assert ")), len(lines))
    return "\n".join(lines[:begin] + [line for line in lines[begin:] if line.startswith("in ")])


def _signs() -> Mapping[str, str]:
    """Return the sign of each outcome."""
    return {str(outcome): sign for outcome, sign in SIGNS.items()}
