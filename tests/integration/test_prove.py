"""The prover, on small lessons of which each is wrong in one point."""

from __future__ import annotations

import random
import shutil
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pytest

from autograder.course import Course, CourseError
from autograder.lesson import prove
from autograder.lesson.prove import Failure, Point
from autograder.lesson.prove.ledger import measured_on, write_ledger
from autograder.lesson.release import build

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("prove")]

FOLDER = "01_core"
MANIFEST = """\
checklist = []
resources = []

[[section]]
id = "core"
number = 1
title = "Core"
folder = "01_core"

[[section.subsection]]
id = "core/basics"
title = "Basics"
topics = [
  { id = "core/basics/sums", title = "Sums", terms = ["plus", "running totals"] },
  { id = "core/basics/products", title = "Products", terms = [] },
]
"""
ENTRY = """
[[section.lesson]]
file = "{file}"
topics = [{topics}]
requires = [{requires}]
"""
# A sound lesson. Each other one is this with some text replaced.
SOUND = '''\
# %% [markdown]
# # Totals
#
# What plus does, and how running totals are made.

# %%
import asyncio
from collections.abc import Iterable

await asyncio.sleep(0)

# %% [markdown] exercise NAME topic=sums level=core minutes=5
# ## Exercise: totals
#
# Write `NAME(numbers)`.
#
# ```python
# >>> NAME([1, 2])
# [1, 3]
# >>> await asyncio.sleep(0, "awaited")
# 'awaited'
# >>> NAME([-1])
# Traceback (most recent call last):
# ValueError: -1 is negative
# ```


# %% solution NAME
def NAME(numbers: Iterable[int]) -> list[int]:
    """Return the running totals."""
    # BEGIN SOLUTION
    totals = []
    total = 0
    for number in numbers:
        if number < 0:
            raise ValueError(f"{number} is negative")
        total += number
        totals.append(total)
    return totals
    # END SOLUTION


# %% check NAME points=1
def test_adds_up() -> None:
    assert NAME([1, 2, 0]) == [1, 3, 3]


# %% hidden NAME points=2
import pytest


def test_refuses_negative_numbers() -> None:
    with pytest.raises(ValueError, match="-1"):
        NAME([-1])


# %% wrong NAME fails=test_adds_up
def NAME(numbers: Iterable[int]) -> list[int]:
    return [number for number in numbers if number >= 0]


# %% wrong NAME fails=test_refuses_negative_numbers
def NAME(numbers: Iterable[int]) -> list[int]:
    total = 0
    return [total := total + number for number in numbers]


# %% right NAME
def NAME(numbers: Iterable[int]) -> list[int]:
    totals = [0]
    for number in numbers:
        if number < 0:
            raise ValueError(f"{number} is negative")
        totals += [totals[-1] + number]
    return totals[1:]


# %% [markdown] hint NAME
# Keep a number between the rounds.

# %% [markdown] hint NAME
# Begin with 0.

# %% [markdown] after NAME
# `itertools.accumulate` does the sums.
'''
STARTER = """
# %% starter NAME
def NAME(numbers: Iterable[int]) -> list[int]:
    return list(numbers)


# %% check"""
IMPORT = "import asyncio\n"
REFUSE = '        if number < 0:\n            raise ValueError(f"{number} is negative")\n'
TEST = "    assert NAME([1, 2, 0]) == [1, 3, 3]\n"
FIRST_WRONG = "    return [number for number in numbers if number >= 0]\n"
SECOND_WRONG = "    total = 0\n    return [total := total + number for number in numbers]\n"
HIDDEN = "# %% hidden NAME points=2\nimport pytest\n"
MORE_HIDDEN = HIDDEN + "\n\ndef test_totals() -> None:\n    assert NAME([1, 2, 0]) == [1, 3, 3]\n"
LAST = "# `itertools.accumulate` does the sums.\n"
WAIVE = LAST + "\n# %% [markdown] waive NAME\n"


@dataclass(frozen=True)
class Case:
    """A lesson: what is replaced in the sound one, the point that it then fails in, and words of the failure."""

    name: str
    changes: tuple[tuple[str, str], ...] = ()
    point: Point | None = None
    says: str = ""
    also: tuple[Point, ...] = ()
    manifest: Mapping[str, str] = field(default_factory=dict)

    @property
    def source(self) -> str:
        """The lesson's text."""
        text = SOUND
        for old, new in self.changes:
            assert old in text
            text = text.replace(old, new, 1)
        return text.replace("NAME", self.name)


RUN = (
    Case("sound"),
    Case(
        "endless_mutants",
        (
            ("    for number in numbers:\n", "    values = list(numbers)\n    while values:\n"),
            (REFUSE, "        number = values[0]\n        del values[0]\n" + REFUSE),
        ),
    ),
    Case(
        "solution_fails",
        (("== [1, 3, 3]", "== [1, 3, 4]"),),
        Point.SOLUTIONS_PASS,
        "check cell ends in CheckFailed",
        (Point.MUTANTS_KILLED,),
    ),
    Case("right_fails", (("totals = [0]", "totals = [1]"),), Point.SOLUTIONS_PASS, "right answer fails test_adds_up"),
    Case(
        "right_dies",
        (("    totals = [0]\n", "    import os\n\n    os._exit(0)\n    totals = [0]\n"),),
        Point.SOLUTIONS_PASS,
        "this right with its tests died",
    ),
    Case("example_wrong", (("# [1, 3]\n", "# [1, 4]\n"),), Point.SOLUTIONS_PASS, "comes to [1, 3], not [1, 4]"),
    Case("example_error", (("# ValueError: -1", "# KeyError: -1"),), Point.SOLUTIONS_PASS, "raises ValueError: -1 is"),
    Case("example_unread", (("# >>> NAME([1, 2])", "# >>>NAME([1, 2])"),), Point.SOLUTIONS_PASS, "can't be read"),
    Case(
        "stub_passes",
        ((TEST, "    assert callable(NAME)\n"), (HIDDEN, MORE_HIDDEN), ("fails=test_adds_up", "fails=test_totals")),
        Point.STUB_FAILS,
        "passes the check cell and earns 1",
    ),
    Case("starter_fails", (("\n# %% check", STARTER),)),
    Case(
        "starter_passes",
        (
            ("\n# %% check", STARTER),
            (TEST, "    assert NAME([1]) == [1]\n"),
            (HIDDEN, MORE_HIDDEN),
            (FIRST_WRONG, "    return []\n"),
        ),
        Point.STUB_FAILS,
        "passes the check cell and earns 1",
    ),
    Case(
        "wrong_passes",
        ((FIRST_WRONG, SECOND_WRONG),),
        Point.WRONGS_FAIL,
        "passes test_adds_up; it fails test_refuses_negative_numbers",
    ),
    Case(
        "wrong_crashes",
        (("\n# %% right", "print(NAME([])[0])\n\n\n# %% right"),),
        Point.WRONGS_FAIL,
        "this wrong answer ends in IndexError",
    ),
    Case(
        "survivors",
        ((TEST, "    assert NAME([1]) == [1]\n"), (FIRST_WRONG, "    return []\n")),
        Point.MUTANTS_KILLED,
        "no test notices `if number < 0:` → `if number < 1:`",
    ),
    Case(
        "waived",
        (
            ("    return totals\n", "    total = 0\n    return totals\n"),
            (
                LAST,
                WAIVE
                + "# - `total = 0` → `pass`: nobody reads it.\n# - `total = 0` → `total = 1`: nobody\n#   reads it.\n",
            ),
        ),
    ),
    Case(
        "waiver_stale",
        ((LAST, WAIVE + "# - `total = 0` → `pass`: nobody reads it.\n"),),
        Point.MUTANTS_KILLED,
        "no mutant `total = 0` → `pass` survives",
    ),
    Case("waiver_unread", ((LAST, WAIVE + "# All the others.\n"),), Point.MUTANTS_KILLED, "this line is no waiver"),
    Case(
        "once_only",
        ((IMPORT, IMPORT + "\nassert 'NAME' not in globals()\n"),),
        Point.BOUNDS,
        "run a second time in the same kernel",
    ),
    Case(
        "leaves_file",
        ((IMPORT, IMPORT + "from pathlib import Path\n\nPath('left.txt').touch()\n"),),
        Point.BOUNDS,
        "the file left.txt stays behind",
    ),
    Case(
        "leaves_process",
        ((IMPORT, IMPORT + "import subprocess\n\nsleeper = subprocess.Popen(['sleep', '60'])\n"),),
        Point.BOUNDS,
        "(sleep 60) stays behind",
    ),
    Case("kernel_dies", ((IMPORT, IMPORT + "import os\n\nos._exit(0)\n"),), Point.SOLUTIONS_PASS, "the run died"),
)
READ = (
    Case("sound"),
    Case("no_hints", (("# %% [markdown] hint NAME\n# Begin with 0.\n\n", ""),), Point.FURNITURE, "it has 1 hints"),
    Case(
        "no_example",
        (("# >>> NAME([1", "# NAME([1"), ("# >>> await", "# await"), ("# >>> ", "# ")),
        Point.FURNITURE,
        "no worked example",
    ),
    Case(
        "one_wrong",
        ((SOUND[SOUND.index("# %% wrong NAME fails=test_refuses") : SOUND.index("# %% right")], ""),),
        Point.FURNITURE,
        "1 wrong answers",
    ),
    Case("no_after", (("\n# %% [markdown] after NAME\n" + LAST, ""),), Point.FURNITURE, "nothing is said after"),
    Case(
        "used_before_taught",
        (
            (IMPORT, IMPORT + "\n\ndef later() -> str:\n    return title\n\n\n"),
            (LAST, LAST + '\n# %%\ntitle = "late"\n'),
        ),
        Point.ORDER,
        "uses title, which no earlier cell gives",
    ),
    Case(
        "only_in_the_solution",
        (
            ("# %% solution NAME\n", "# %% solution NAME\n# BEGIN SOLUTION\nSTART = 0\n# END SOLUTION\n\n\n"),
            (TEST, "    assert NAME([]) == [START][1:]\n" + TEST),
        ),
        Point.ORDER,
        "or name it in the prompt",
    ),
    Case(
        "asked_for_in_the_prompt",
        (
            ("# Write `NAME(numbers)`.", "# Write `START`, the first total, and `NAME(numbers)`."),
            ("# %% solution NAME\n", "# %% solution NAME\n# BEGIN SOLUTION\nSTART = 0\n# END SOLUTION\n\n\n"),
            (TEST, "    assert NAME([]) == [START][1:]\n" + TEST),
        ),
    ),
    Case(
        "term_unnamed", (("how running totals are made", "more"),), Point.TOPICS_TAUGHT, "never names “running totals”"
    ),
    Case(
        "topic_unpractised",
        (),
        Point.TOPICS_TAUGHT,
        "the topic products has no exercise",
        manifest={"topics": '"core/basics/sums", "core/basics/products"'},
    ),
    Case("requires_later", (), Point.ORDER, "which comes later", manifest={"requires": '"untyped"'}),
    Case("requires_nothing", (), Point.ORDER, "which is no lesson", manifest={"requires": '"nowhere"'}),
    Case("requires_earlier", manifest={"requires": '"sound"'}),
    Case("untyped", (("    totals = []\n", "    totals: list[str] = []\n"),), Point.CURRENT, "mypy: error: "),
    Case("unlinted", ((IMPORT, "import asyncio\nimport os\n"),), Point.CURRENT, "ruff: F401"),
    Case("unformatted", (("    totals = []\n", "    totals = [ ]\n"),), Point.CURRENT, "ruff: unformatted"),
    Case("outdated", (), Point.CURRENT, "solutions/01_core/outdated.ipynb isn't what the sources make"),
)


@pytest.fixture(scope="module")
def make_course(course: Course, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Sequence[Case]], Course]:
    """A function that makes a course of lessons, with the settings of this one and its notebooks built."""

    def make(cases: Sequence[Case]) -> Course:
        made = Course(tmp_path_factory.mktemp("course"))
        (made.lessons / FOLDER).mkdir(parents=True)
        shutil.copy(course.root / "pyproject.toml", made.root)
        manifest = MANIFEST
        for case in cases:
            (made.lessons / FOLDER / f"{case.name}.py").write_text(case.source, encoding="utf-8")
            topics, requires = case.manifest.get("topics", '"core/basics/sums"'), case.manifest.get("requires", "")
            manifest += ENTRY.format(file=case.name, topics=topics, requires=requires)
        made.manifest.write_text(manifest, encoding="utf-8")
        build(made)
        return made

    return make


def of(case: Case, failures: Sequence[Failure]) -> list[Failure]:
    """Return the failures of one lesson."""
    return [failure for failure in failures if failure.lesson == f"{FOLDER}/{case.name}"]


def assert_fails_in_its_point(case: Case, failures: Sequence[Failure]) -> None:
    """Check that a lesson fails in what is wrong with it, and in nothing else."""
    told = [str(failure) for failure in failures]
    assert {failure.point for failure in failures} == {case.point, *case.also} - {None}, told
    assert any(case.says in line for line in told) or not case.point
    assert all("\n    next: " in line for line in told)


@pytest.fixture(scope="module")
def run_course(make_course: Callable[[Sequence[Case]], Course]) -> Course:
    """The course of the lessons that are run."""
    return make_course(RUN)


@pytest.fixture(scope="module")
def run_failures(run_course: Course) -> list[Failure]:
    """What running all of them shows, the ledger that isn't there apart."""
    return [failure for failure in prove.run(run_course) if "proofs.toml" not in failure.problem]


@pytest.mark.parametrize("case", RUN, ids=lambda case: case.name)
def test_running_finds(case: Case, run_failures: list[Failure]) -> None:
    assert_fails_in_its_point(case, of(case, run_failures))


@pytest.fixture(scope="module")
def read_course(make_course: Callable[[Sequence[Case]], Course]) -> Course:
    """The course of the lessons that are only read."""
    made = make_course(READ)
    (made.solutions / FOLDER / "outdated.ipynb").write_text("{}")
    (made.notebooks / FOLDER / "of_no_lesson.ipynb").write_text("{}")
    (made.lessons / FOLDER / "unlisted.py").write_text("")
    return made


@pytest.fixture(scope="module")
def read_failures(read_course: Course) -> list[Failure]:
    """What reading all of them shows."""
    return prove.read(read_course)


@pytest.mark.parametrize("case", READ, ids=lambda case: case.name)
def test_reading_finds(case: Case, read_failures: list[Failure]) -> None:
    assert_fails_in_its_point(case, of(case, read_failures))


def test_reading_finds_what_belongs_to_no_lesson(read_failures: list[Failure]) -> None:
    lessons = {f"{FOLDER}/{case.name}" for case in READ}
    others = {(failure.lesson, failure.problem) for failure in read_failures if failure.lesson not in lessons}

    assert others == {
        (f"{FOLDER}/unlisted", "guide.toml doesn't list this lesson"),
        ("", f"notebooks/{FOLDER}/of_no_lesson.ipynb isn't what the sources make"),
    }


def test_failures_name_the_line(run_course: Course, run_failures: list[Failure]) -> None:
    for failure in run_failures:
        lines = (run_course.lessons / f"{failure.lesson}.py").read_text(encoding="utf-8").splitlines()
        line = lines[failure.line - 1]
        if "no test notices `if number < 0:`" in failure.problem:
            assert line.strip() == "if number < 0:"
        elif failure.point is Point.MUTANTS_KILLED and failure.problem.startswith("no test"):
            assert line.startswith("    ")
        elif "worked example NAME" in failure.problem:
            assert line.startswith("# >>> ")
        else:
            assert line.startswith("# ")


@pytest.fixture
def one(make_course: Callable[[Sequence[Case]], Course]) -> Course:
    """A course of one sound lesson, not proved yet."""
    return make_course(RUN[:1])


def points_shown(course: Course, old: str, new: str) -> list[str]:
    """Change the learner's notebook; return what is wrong with its points then."""
    path = course.notebooks / FOLDER / "sound.ipynb"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return [failure.problem for failure in prove.read(course) if failure.point is Point.ORDER]


def test_points_shown_are_points_graded(one: Course) -> None:
    assert points_shown(one, "1 + 2 points", "2 + 2 points") == ["the notebook shows 2 + 2 points and grades 1 + 2"]
    assert points_shown(one, "2 + 2 points", "points") == ["the notebook shows no points and grades 1 + 2"]


def test_what_is_proved_stays_proved_until_something_changes(one: Course) -> None:
    (before,) = prove.run(one)
    (measured,) = prove.prove(one)
    ledger = tomllib.loads((one.lessons / "proofs.toml").read_text(encoding="utf-8"))
    after = prove.check(one)
    source = one.lessons / FOLDER / "sound.py"
    source.write_text(source.read_text(encoding="utf-8").replace("total = 0", "total = 0 * 1", 1), encoding="utf-8")
    changed = prove.run(one)

    assert "run `course prove sound`" in str(before)
    assert measured.failures == []
    assert measured.proof is not None
    assert ledger[f"{FOLDER}/sound"]["killed"] == measured.proof.killed == measured.proof.mutants > 10
    assert ledger[f"{FOLDER}/sound"]["score"] == 100.0
    assert after == []
    assert "proofs.toml" in str(changed[-1])


def test_the_ledger_keeps_no_lesson_that_is_gone(make_course: Callable[[Sequence[Case]], Course]) -> None:
    course = make_course(RUN[:1])
    ledger = course.lessons / "proofs.toml"
    ledger.write_text('["gone/lesson"]\nmutants = 1\nkilled = 1\nwaived = 0\nscore = 100.0\nmeasured = "x"\n')

    (failure,) = prove.read(course)
    prove.prove(course)

    assert failure.lesson == "gone/lesson"
    assert list(tomllib.loads(ledger.read_text(encoding="utf-8"))) == [f"{FOLDER}/sound"]


def test_a_lesson_whose_mutants_can_not_be_tried_gets_no_score(make_course: Callable[[Sequence[Case]], Course]) -> None:
    course = make_course([case for case in RUN if case.name == "solution_fails"])

    (measured,) = prove.prove(course)

    assert measured.proof is None
    assert measured.failures
    assert tomllib.loads((course.lessons / "proofs.toml").read_text(encoding="utf-8")) == {}


def test_a_damaged_ledger_is_told(one: Course) -> None:
    (one.lessons / "proofs.toml").write_text("not = [toml")

    with pytest.raises(CourseError, match="remove it and run `course prove`"):
        prove.run(one)


def test_a_name_that_means_nothing_is_told(one: Course) -> None:
    with pytest.raises(CourseError, match="nowhere"):
        prove.check(one, ["nowhere"])


def test_ci_measures_lessons_that_have_not_changed(one: Course, monkeypatch: pytest.MonkeyPatch) -> None:
    (measured,) = prove.prove(one)
    assert measured.proof is not None
    weak = (
        (one.lessons / FOLDER / "sound.py")
        .read_text(encoding="utf-8")
        .replace(TEST.replace("NAME", "sound"), "    assert sound([1])\n")
    )
    (one.lessons / FOLDER / "sound.py").write_text(weak, encoding="utf-8")
    write_ledger(one, {f"{FOLDER}/sound": replace(measured.proof, measured=measured_on(one, f"{FOLDER}/sound"))})
    monkeypatch.delenv("CI", raising=False)
    trusted = {failure.point for failure in prove.run(one)}
    monkeypatch.setenv("CI", "true")
    monkeypatch.setattr(random, "random", lambda: 0.0)  # the lesson is drawn
    drawn = {failure.point for failure in prove.run(one)}
    monkeypatch.setattr(random, "random", lambda: 0.99)
    passed_over = {failure.point for failure in prove.run(one)}

    assert Point.MUTANTS_KILLED in drawn
    assert Point.MUTANTS_KILLED not in trusted | passed_over
