"""The prover's small parts: names, examples, waivers, the ledger."""

from __future__ import annotations

from pathlib import Path

import pytest

from autograder.course import Course, CourseError
from autograder.lesson.prove.ledger import Proof, measured_on, read_ledger, write_ledger
from autograder.lesson.prove.names import names_made, names_used
from autograder.lesson.source import Cell, Role, parse
from autograder.lesson.trial.examples import examples_in
from autograder.lesson.trial.failure import Failure, Point
from autograder.lesson.trial.run import Tally, stub_of
from autograder.lesson.trial.waivers import Waiver, waivers_in


@pytest.mark.parametrize(
    ("source", "made", "used"),
    [
        ("x = y", {"x"}, {"y"}),
        ("import a.b, c as d\nfrom e import f", {"a", "d", "f"}, set()),
        ("def f(p, q=r) -> T:\n    local = p\n    return later(local)", {"f"}, {"r", "T", "later"}),
        ("class C(B):\n    y: int = z\n\n    def m(self):\n        return self.y + w", {"C"}, {"B", "z", "w"}),
        ("def f():\n    global g\n    g = h", {"f", "g"}, {"h"}),
        ("await f([await g(k) for k in ks])", set(), {"f", "g", "ks"}),
        ("async with a as b:\n    pass", {"b"}, {"a"}),
        ("[last := i for i in items]", {"last"}, {"items"}),
        ("x += 1", {"x"}, set()),
        ("display(get_ipython(), len(_))", set(), set()),
    ],
)
def test_names(source: str, made: set[str], used: set[str]) -> None:
    assert names_made(source) == made
    assert names_used(source) == used


def test_what_a_function_called_top_binds_is_its_own() -> None:
    assert names_used("class Heap:\n    def top(self):\n        item = self.items[0]\n        return item, outer") == {
        "outer"
    }


PROMPT = """\
## Exercise: halves

```python
>>> half(4)
2.0
>>> for n in (1, 2):
...     print(half(n))
0.5
1.0
```

Not an example: `>>> half(8)`.

```python
>>> half("a")  # doctest: +ELLIPSIS
Traceback (most recent call last):
TypeError: ...
```
"""


def test_examples_are_read_from_the_fenced_blocks_with_their_lines() -> None:
    examples = examples_in(PROMPT)

    assert [example.line for example in examples] == [4, 6, 15]
    assert [example.want for example in examples[:2]] == ["2.0\n", "0.5\n1.0\n"]
    assert [example.error for example in examples] == [None, None, "TypeError: ..."]
    assert examples[2].options > 0


def test_a_badly_indented_example_is_an_error() -> None:
    with pytest.raises(ValueError, match="lacks blank"):
        examples_in("```python\n>>> f()\n  ... 2\n>>>f()\n```")


def test_waivers_are_the_lines_of_a_list() -> None:
    text = "- `x = 1` → `x = 2`: nobody\n  reads it.\n\n- `y()` → `pass`:\nno reason\n- `z` → `pass`: idle."

    waivers, unread = waivers_in(Cell(Role.WAIVE, "f", {}, text, 10))

    assert waivers == [Waiver(11, "x = 1", "x = 2"), Waiver(16, "z", "pass")]
    assert unread == [14, 15]
    assert waivers_in(None) == ([], [])


SOURCE = """\
# %% [markdown]
# # Title

# %% [markdown] exercise f topic=t level=core minutes=1
# Do it.


# %% solution f
class F:
    def f(self) -> int:
        \"\"\"Do it.\"\"\"
        # BEGIN SOLUTION
        one = 1

        return one
        # END SOLUTION


# %% check f points=1
def test_f() -> None: ...
"""


def test_a_stub_has_an_error_in_the_place_of_the_answer() -> None:
    exercise = parse(SOURCE, Path("lesson.py")).exercises["f"]

    assert stub_of(exercise).splitlines()[-2:] == ['        """Do it."""', "        raise NotImplementedError"]


def test_a_starter_is_what_the_learner_starts_from() -> None:
    exercise = parse(f"{SOURCE}\n\n# %% starter f\nF = None\n", Path("lesson.py")).exercises["f"]

    assert stub_of(exercise) == "F = None"


@pytest.mark.parametrize(("tally", "score"), [(Tally(), 100.0), (Tally(10, 8, 1), 88.9), (Tally(2, 0, 2), 100.0)])
def test_the_score_leaves_out_what_is_waived(tally: Tally, score: float) -> None:
    assert tally.score == score


def test_a_failure_says_where_what_and_what_next() -> None:
    failure = Failure("01/02_x", "f", Point.STUB_FAILS, 7, "it passes", "add a test")

    assert str(failure) == "lessons/01/02_x.py:7: stub_fails: f: it passes\n    next: add a test"


@pytest.fixture
def course(tmp_path: Path) -> Course:
    """A course with one source."""
    (tmp_path / "lessons").mkdir()
    (tmp_path / "lessons/one.py").write_text("from autograder import course\n")
    return Course(tmp_path)


def test_the_ledger_comes_back_as_it_was_written(course: Course) -> None:
    proofs = {"b/2": Proof(3, 2, 1, 100.0, "abc"), "a/1": Proof(3, 2, 0, 66.7, "def")}

    write_ledger(course, proofs)

    assert read_ledger(course) == proofs
    assert list(read_ledger(course)) == ["a/1", "b/2"]


def test_no_ledger_has_no_entries(course: Course) -> None:
    assert read_ledger(course) == {}


@pytest.mark.parametrize("text", ["not = [toml", '["a/1"]\nmutants = 1\n', "a = 1\n"])
def test_a_damaged_ledger_says_what_to_do(course: Course, text: str) -> None:
    (course.lessons / "proofs.toml").write_text(text)

    with pytest.raises(CourseError, match="remove it and run `course prove`"):
        read_ledger(course)


def test_a_measurement_is_of_one_state_of_the_lesson(course: Course) -> None:
    before = measured_on(course, "one")
    again = measured_on(course, "one")
    (course.lessons / "one.py").write_text("from autograder import course, environment\n")

    assert before == again != measured_on(course, "one")
