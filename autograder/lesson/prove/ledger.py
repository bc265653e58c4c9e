"""`lessons/proofs.toml`: how each lesson's mutants fared, and what that was measured on."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import autograder
from autograder.course import Course, CourseError
from autograder.lesson.trial.run import Tally

HEADER = """\
# How the tests of each lesson fare against mutants of its answers. Written by `course prove`: don't edit.
# score: percent of the mutants that are killed, those waived in the source left out.
# measured: the state of the lesson and of the code that took part.
"""
PACKAGE = Path(autograder.__file__).parent
# What a measurement depends on besides the lesson and the modules that it imports.
MACHINERY = ("kernel/*.py", "lesson/mutate/*.py", "lesson/source.py", "lesson/trial/run.py", "notebook/runner.py")


@dataclass(frozen=True, slots=True)
class Proof:
    """One lesson's entry."""

    mutants: int
    killed: int
    waived: int
    score: float
    measured: str


def read_ledger(course: Course) -> dict[str, Proof]:
    """Return the entries by lesson id; none where there is no file. Raises CourseError for a file that isn't one."""
    path = _path(course)
    if not path.is_file():
        return {}
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        return {lesson: Proof(**entry) for lesson, entry in data.items()}
    except (tomllib.TOMLDecodeError, TypeError) as error:
        shown = path.relative_to(course.root)
        raise CourseError(f"{shown} can't be read ({error}): remove it and run `course prove`") from error


def write_ledger(course: Course, proofs: Mapping[str, Proof]) -> None:
    """Write the entries, sorted by lesson."""
    tables = [
        f'\n["{lesson}"]\n' + "".join(f"{key} = {_toml(value)}\n" for key, value in asdict(proof).items())
        for lesson, proof in sorted(proofs.items())
    ]
    _path(course).write_text(HEADER + "".join(tables), encoding="utf-8")


def proof_of(course: Course, lesson_id: str, tally: Tally) -> Proof:
    """Return the entry of a lesson that has just been measured."""
    return Proof(tally.mutants, tally.killed, tally.waived, tally.score, measured_on(course, lesson_id))


def measured_on(course: Course, lesson_id: str) -> str:
    """Return a hash of what the measurement of a lesson depends on; nothing of the machine is in it."""
    source = course.lessons / f"{lesson_id}.py"
    modules = [path for pattern in MACHINERY for path in sorted(PACKAGE.glob(pattern))]
    digest = hashlib.sha256()
    for path in [source, *modules, *_imported(source)]:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _imported(source: Path) -> Iterator[Path]:
    """Yield the files of the modules of this package that a lesson imports, in the order of their names."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    for name in sorted(names):
        if name.partition(".")[0] == PACKAGE.name and (path := _file(name)):
            yield path


def _file(name: str) -> Path | None:
    """Return the file of a module; None where the name is something inside one."""
    try:
        found = importlib.util.find_spec(name)
    except ModuleNotFoundError:
        return None
    return Path(found.origin) if found and found.origin else None


def _toml(value: object) -> str:
    """Return a number or a plain string as TOML."""
    return f'"{value}"' if isinstance(value, str) else str(value)


def _path(course: Course) -> Path:
    """Return where the ledger is."""
    return course.lessons / "proofs.toml"
