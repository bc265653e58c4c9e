"""A lesson's source: one percent-format Python file, parsed into cells and exercises.

The words after `# %%` give a cell's role, the exercise it belongs to and its options:

    # %% [markdown] exercise bounded_map topic=asynchronous-programming level=core minutes=10
    # %% solution bounded_map
    # %% check bounded_map points=2
"""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from autograder.course import CourseError

MARKER = re.compile(r"# %%(?P<markdown> \[markdown\])?(?P<words>( .*)?)$")
NAME = re.compile(r"[a-z][a-z0-9_]*$")
SOLUTION_BEGIN = re.compile(r"^\s*#+ BEGIN SOLUTION\s*$", re.MULTILINE)
SOLUTION_END = re.compile(r"^\s*#+ END SOLUTION\s*$", re.MULTILINE)
LEVELS = ("core", "senior", "staff")


class Role(StrEnum):
    """What a cell is for."""

    TEXT = "text"
    CODE = "code"
    EXERCISE = "exercise"
    SOLUTION = "solution"
    STARTER = "starter"
    CHECK = "check"
    HIDDEN = "hidden"
    WRONG = "wrong"
    RIGHT = "right"
    HINT = "hint"
    AFTER = "after"
    WAIVE = "waive"
    INTERVIEW = "interview"


@dataclass(frozen=True, slots=True)
class Shape:
    """What the marker line of a role looks like."""

    markdown: bool
    named: bool = True
    options: tuple[str, ...] = ()


# TEXT and CODE are the two roles without a word of their own.
SHAPES: Mapping[Role, Shape] = {
    Role.EXERCISE: Shape(markdown=True, options=("topic", "level", "minutes")),
    Role.SOLUTION: Shape(markdown=False),
    Role.STARTER: Shape(markdown=False),
    Role.CHECK: Shape(markdown=False, options=("points",)),
    Role.HIDDEN: Shape(markdown=False, options=("points",)),
    Role.WRONG: Shape(markdown=False, options=("fails",)),
    Role.RIGHT: Shape(markdown=False),
    Role.HINT: Shape(markdown=True),
    Role.AFTER: Shape(markdown=True),
    Role.WAIVE: Shape(markdown=True),
    Role.INTERVIEW: Shape(markdown=True, named=False),
}
# An exercise has at most one cell of these roles.
SINGLE = (Role.EXERCISE, Role.SOLUTION, Role.STARTER, Role.CHECK, Role.HIDDEN, Role.AFTER, Role.WAIVE)


class SourceError(CourseError):
    """A defect of a lesson's source, with its place."""

    def __init__(self, path: Path, line: int, message: str) -> None:
        super().__init__(f"{path}:{line}: {message}")
        self.path = path
        self.line = line


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a source: its role, its exercise ("" where it has none) and the line of its marker."""

    role: Role
    name: str
    options: Mapping[str, str]
    source: str
    line: int

    @property
    def is_markdown(self) -> bool:
        """Whether the cell holds text and not code."""
        return self.role is Role.TEXT or (self.role in SHAPES and SHAPES[self.role].markdown)

    @property
    def points(self) -> int:
        """The points of a check or hidden cell, 0 of any other."""
        return int(self.options.get("points", 0))


@dataclass(frozen=True, slots=True)
class Exercise:
    """The cells of one exercise, by role."""

    name: str
    topic: str
    level: str
    minutes: int
    prompt: Cell
    solution: Cell
    check: Cell
    starter: Cell | None
    hidden: Cell | None
    wrongs: tuple[Cell, ...]
    rights: tuple[Cell, ...]
    hints: tuple[Cell, ...]
    after: Cell | None
    waived: Cell | None

    @property
    def tests(self) -> tuple[Cell, ...]:
        """The cells that mark the exercise: the visible check, then the hidden one where there is one."""
        return (self.check, self.hidden) if self.hidden else (self.check,)

    @property
    def points(self) -> int:
        """The points of all its tests."""
        return sum(cell.points for cell in self.tests)


@dataclass(frozen=True, slots=True)
class Lesson:
    """A parsed source. `path` is as it was given to `parse`, for messages."""

    path: Path
    cells: tuple[Cell, ...]
    exercises: Mapping[str, Exercise]

    @property
    def title(self) -> str:
        """The text of the first heading."""
        return next(line for line in self.cells[0].source.splitlines() if line.startswith("# ")).removeprefix("# ")


def parse_file(path: Path, root: Path | None = None) -> Lesson:
    """Parse the lesson at `path`; messages show the path from `root` on. Raises SourceError for any defect."""
    shown = path.relative_to(root) if root else path
    try:
        return parse(path.read_text(encoding="utf-8"), shown)
    except FileNotFoundError as error:
        raise CourseError(f"{shown}: guide.toml lists this lesson, but there is no such file") from error
    except UnicodeDecodeError as error:
        raise SourceError(shown, 1, "not UTF-8: save the file as UTF-8") from error


def parse(text: str, path: Path) -> Lesson:
    """Parse a lesson's text. Raises SourceError, naming `path` and a line, for any defect."""
    cells = tuple(_cells(text, path))
    if not cells or cells[0].role is not Role.TEXT or not re.search(r"^# \S", cells[0].source, re.MULTILINE):
        raise SourceError(path, 1, "a lesson begins with a '# %% [markdown]' cell that holds its title, '# # Title'")
    grouped: dict[str, list[Cell]] = {}
    for cell in cells:
        if cell.name:
            grouped.setdefault(cell.name, []).append(cell)
    for name, members in grouped.items():
        if not any(cell.role is Role.EXERCISE for cell in members):
            first = members[0]
            raise SourceError(path, first.line, f"{first.role} {name}: there is no exercise {name!r} in this lesson")
    exercises = {name: _exercise(name, members, path) for name, members in grouped.items()}
    return Lesson(path, cells, exercises)


def tests_in(cell: Cell) -> tuple[str, ...]:
    """Return the names of the test functions of a check or hidden cell, in order."""
    return tuple(
        node.name
        for node in ast.parse(cell.source).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    )


def _cells(text: str, path: Path) -> Iterator[Cell]:
    """Split a source at its markers. What stands before the first one is a comment for contributors."""
    lines = text.splitlines()
    marks = [(number, match) for number, line in enumerate(lines) if (match := MARKER.match(line))]
    ends = [number for number, _ in marks[1:]] + [len(lines)]
    for (number, match), end in zip(marks, ends, strict=True):
        body = lines[number + 1 : end]
        yield _cell(match, body, path, number + 1)


def _cell(match: re.Match[str], body: list[str], path: Path, line: int) -> Cell:
    """Return the cell of one marker and the lines below it."""
    markdown = match["markdown"] is not None
    words = match["words"].split()
    role, name = (Role.TEXT if markdown else Role.CODE), ""
    options: dict[str, str] = {}
    if words:
        role, name, options = _marker(words, path, line)
        if SHAPES[role].markdown != markdown:
            form = f"# %% [markdown] {role}" if SHAPES[role].markdown else f"# %% {role}"
            raise SourceError(path, line, f"a cell with the role {role} begins with '{form}'")
    source = "\n".join(_uncommented(body, path, line) if markdown else body).strip("\n")
    if not source.strip():
        raise SourceError(path, line, f"this {role} cell is empty")
    if not markdown:
        _compile(source, path, line)
    return Cell(role, name, options, source, line)


def _marker(words: Sequence[str], path: Path, line: int) -> tuple[Role, str, dict[str, str]]:
    """Return the role, name and options that the words of a marker give."""
    word, *rest = words
    known = [str(role) for role in SHAPES]
    if word not in known:
        close = difflib.get_close_matches(word, known, n=1)
        advice = f"did you mean {close[0]!r}?" if close else f"the roles are: {', '.join(known)}"
        raise SourceError(path, line, f"unknown role {word!r}: {advice}")
    role = Role(word)
    shape = SHAPES[role]
    name = ""
    if shape.named:
        name, *rest = rest or [""]
        if not NAME.match(name):
            raise SourceError(path, line, f"{role} needs the name of its exercise, in lower case: '{role} NAME'")
    options = dict(_option(text, role, path, line) for text in rest)
    for option in shape.options:
        if option not in options:
            raise SourceError(path, line, f"{role} {name} needs {option}=…")
    _validate(role, options, path, line)
    return role, name, options


def _option(text: str, role: Role, path: Path, line: int) -> tuple[str, str]:
    """Return the name and value of `name=value`."""
    option, equals, value = text.partition("=")
    if not equals or not value or option not in SHAPES[role].options:
        allowed = ", ".join(f"{name}=…" for name in SHAPES[role].options) or "no options"
        raise SourceError(path, line, f"{role} takes {allowed}, not {text!r}")
    return option, value


def _validate(role: Role, options: Mapping[str, str], path: Path, line: int) -> None:
    """Raise SourceError for an option whose value can't be used."""
    for option in {"points", "minutes"} & options.keys():
        if not options[option].isdecimal() or int(options[option]) < 1:
            raise SourceError(path, line, f"{option} is a whole number from 1 on, not {options[option]!r}")
    if role is Role.EXERCISE and options["level"] not in LEVELS:
        raise SourceError(path, line, f"level is one of {', '.join(LEVELS)}, not {options['level']!r}")


def _uncommented(body: list[str], path: Path, line: int) -> Iterator[str]:
    """Yield the lines of a markdown cell without the comment sign that each begins with."""
    for number, text in enumerate(body, start=line + 1):
        if text.startswith("# "):
            yield text.removeprefix("# ")
        elif text.rstrip() in ("", "#"):
            yield ""
        else:
            raise SourceError(path, number, "each line of a markdown cell begins with '# '")


def _compile(source: str, path: Path, line: int) -> None:
    """Raise SourceError where the code of a cell isn't Python (top-level await is)."""
    try:
        compile(source, str(path), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT | ast.PyCF_ONLY_AST)
    except SyntaxError as error:
        raise SourceError(path, line + (error.lineno or 0), f"not Python: {error.msg}") from error


def _exercise(name: str, cells: Sequence[Cell], path: Path) -> Exercise:
    """Gather the cells of one exercise."""
    found: dict[Role, list[Cell]] = {}
    for cell in cells:
        found.setdefault(cell.role, []).append(cell)
    for role in SINGLE:
        if len(found.get(role, ())) > 1:
            second = found[role][1]
            raise SourceError(path, second.line, f"{name!r} has a second {role} cell: names are used once")
    prompt = found[Role.EXERCISE][0]
    for role in (Role.SOLUTION, Role.CHECK):
        if role not in found:
            raise SourceError(path, prompt.line, f"exercise {name!r} has no {role} cell")

    def one(role: Role) -> Cell | None:
        return found[role][0] if role in found else None

    def several(role: Role) -> tuple[Cell, ...]:
        return tuple(found.get(role, ()))

    exercise = Exercise(
        name=name,
        topic=prompt.options["topic"],
        level=prompt.options["level"],
        minutes=int(prompt.options["minutes"]),
        prompt=prompt,
        solution=found[Role.SOLUTION][0],
        check=found[Role.CHECK][0],
        starter=one(Role.STARTER),
        hidden=one(Role.HIDDEN),
        wrongs=several(Role.WRONG),
        rights=several(Role.RIGHT),
        hints=several(Role.HINT),
        after=one(Role.AFTER),
        waived=one(Role.WAIVE),
    )
    _check_markers(exercise, path)
    _check_tests(exercise, path)
    return exercise


def _check_markers(exercise: Exercise, path: Path) -> None:
    """Raise SourceError where the answer isn't marked off from what the learner is given."""
    cell = exercise.solution
    begins = len(SOLUTION_BEGIN.findall(cell.source))
    ends = len(SOLUTION_END.findall(cell.source))
    if begins != ends or (begins == 0 and exercise.starter is None):
        text = "the answer stands between '# BEGIN SOLUTION' and '# END SOLUTION'"
        raise SourceError(path, cell.line, f"solution {exercise.name}: {text}")


def _check_tests(exercise: Exercise, path: Path) -> None:
    """Raise SourceError where a test cell has no tests, or a wrong answer names one that isn't there."""
    tests: list[str] = []
    for cell in exercise.tests:
        names = tests_in(cell)
        if not names:
            raise SourceError(path, cell.line, f"{cell.role} {exercise.name} has no test functions")
        for name in names:
            if name in tests:
                raise SourceError(path, cell.line, f"{exercise.name} has two tests called {name}")
            tests.append(name)
    for wrong in exercise.wrongs:
        if wrong.options["fails"] not in tests:
            close = difflib.get_close_matches(wrong.options["fails"], tests, n=1)
            advice = f"; did you mean {close[0]}?" if close else ""
            text = f"wrong {exercise.name}: the exercise has no test {wrong.options['fails']}{advice}"
            raise SourceError(path, wrong.line, text)
