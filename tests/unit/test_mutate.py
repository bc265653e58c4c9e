"""Mutants: which changes are made of which code, and which code is left alone."""

from __future__ import annotations

import ast
import textwrap

import pytest

from autograder.lesson.mutate import Kind, Mutant, mutants


def answer(body: str, signature: str = "async def f(x, items, limit=3)") -> str:
    """Return a solution cell whose answer is `body`."""
    inside = textwrap.indent(f"# BEGIN SOLUTION\n{textwrap.dedent(body).strip()}\n# END SOLUTION", "    ")
    return f'{signature}:\n    """Do it."""\n{inside}\n'


def changes(body: str, kind: Kind | None = None) -> list[tuple[str, str]]:
    """Return the lines before and after of the mutants of an answer."""
    return [(each.before, each.after) for each in mutants(answer(body)) if kind in (None, each.kind)]


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        (Kind.COMPARISON, "x = x < 1", "x = x <= 1"),
        (Kind.COMPARISON, "x = x >= 1", "x = x > 1"),
        (Kind.COMPARISON, "x = x == 1", "x = x != 1"),
        (Kind.COMPARISON, "x = x is None", "x = x is not None"),
        (Kind.COMPARISON, "x = 1 not in items", "x = 1 in items"),
        (Kind.COMPARISON, "x = 0 < x < 9", "x = 0 < x <= 9"),
        (Kind.ARITHMETIC, "x = x + 1", "x = x - 1"),
        (Kind.ARITHMETIC, "x *= 2", "x /= 2"),
        (Kind.ARITHMETIC, "x = -x", "x = x"),
        (Kind.BOOLEAN, "x = x and items", "x = x or items"),
        (Kind.BOOLEAN, "x = not x", "x = x"),
        (Kind.BOOLEAN, "x = [i for i in items if i]", "x = [i for i in items if not i]"),
        (Kind.CONSTANT, "x = 3", "x = 4"),
        (Kind.CONSTANT, "x = True", "x = False"),
        (Kind.CONSTANT, "x = 'GET'", "x = 'GETXX'"),
        (Kind.CONSTANT, "x = ''", "x = 'XX'"),
        (Kind.CONSTANT, "def g(y=1):", "def g(y=2):"),
        (Kind.RETURN, "return x", "return None"),
        (Kind.STATEMENT, "items.append(x)", "pass"),
        (Kind.STATEMENT, "x = items", "pass"),
        (Kind.EXCEPTION, "raise ValueError(x)", "pass"),
        (Kind.EXCEPTION, "raise ValueError(x)", "raise RuntimeError(x)"),
        (Kind.EXCEPTION, "except OSError as e:", "except BaseException as e:"),
        (Kind.EXCEPTION, "except OSError as e:", "except OSError as e: raise"),
        (Kind.EXCEPTION, "except (OSError, ValueError):", "except (ValueError,):"),
        (Kind.AWAIT, "await x()", "x()"),
        (Kind.LOOP, "break", "continue"),
        (Kind.LOOP, "continue", "break"),
        (Kind.LOOP, "for i in range(limit):", "for i in range(limit - 1):"),
        (Kind.LOOP, "for i in range(1, limit):", "for i in range(1, limit + 1):"),
        (Kind.CONTEXT, "async with x:", "if True:"),
        (Kind.CALL, "x = min(items)", "x = max(items)"),
        (Kind.CALL, "x = any(items)", "x = all(items)"),
        (Kind.CALL, "x = items.popleft()", "x = items.pop()"),
        (Kind.CALL, "x = zip(items, items, strict=True)", "x = zip(items, items)"),
    ],
)
def test_a_change_of_each_kind(kind: Kind, before: str, after: str) -> None:
    body = f"{before}\n    items.append(1)" if before.endswith(":") else before
    if before.startswith("except"):
        body = f"try:\n    x()\n{body}"
    if before in ("break", "continue"):
        body = f"for i in items:\n    {before}"
    assert (before, after) in changes(body, kind)


@pytest.mark.parametrize(
    "body",
    [
        '"""A note."""',
        "total: int",
        "Alias: TypeAlias = int",
        'T = TypeVar("T")',
        '__all__ = ["f"]',
        "import os",
        "from os import path",
        "global x",
        "pass",
        "if TYPE_CHECKING:\n    x = 1",
        "@overload\ndef g(y: int) -> int: ...",
        "def test_it():\n    assert f(1) == 2",
        "return",
    ],
)
def test_what_running_can_not_show_is_left_alone(body: str) -> None:
    assert changes(body) == []


def test_the_wording_of_errors_is_left_alone() -> None:
    made = changes('raise ValueError(f"not {x}")\nitems.put(KeyError("absent"))')

    assert not [after for _, after in made if "XX" in after]


def test_annotations_are_left_alone() -> None:
    made = changes('total: "int" = x\ndef g(y: Literal["a"]) -> Literal["b"]:\n    return y')

    assert {after for _, after in made} == {"pass", "return None"}


def test_only_the_answer_is_changed() -> None:
    cell = "LIMIT = 3\n" + answer("return x") + "\n\nOTHER = 4\n"

    assert [(each.line, each.after) for each in mutants(cell)] == [(5, "return None")]


def test_the_whole_cell_is_changed_where_it_has_no_markers() -> None:
    assert [each.before for each in mutants("x = 1\n\n\ndef f():\n    return x\n")] == ["x = 1", "x = 1", "return x"]


def test_top_level_await_is_allowed() -> None:
    assert ("x = await f()", "x = f()") in [(each.before, each.after) for each in mutants("x = await f()\n")]


def made_of_all_kinds() -> list[Mutant]:
    return mutants(
        answer(
            """
            if x < 1 or not items:
                raise ValueError("no")
            async with x:
                for i in range(10):
                    x += await x(i, key="a") * 2
            return x
            """
        )
    )


def test_every_mutant_is_python_and_differs_from_the_answer_and_from_the_others() -> None:
    sources = [ast.unparse(ast.parse(each.source)) for each in made_of_all_kinds()]

    assert len(set(sources)) == len(sources) > 15
    assert ast.unparse(ast.parse(answer("return x"))) not in sources


def test_mutants_come_in_the_order_of_the_lines_and_the_same_each_time() -> None:
    made = made_of_all_kinds()

    assert [each.line for each in made] == sorted(each.line for each in made)
    assert made == made_of_all_kinds()


def test_the_line_is_that_of_the_cell() -> None:
    cell = answer("x = 1\n\n# why\nreturn x")

    for mutant in mutants(cell):
        assert cell.splitlines()[mutant.line - 1].strip() == mutant.before


def test_a_compound_statement_is_told_by_its_first_line() -> None:
    assert ("while x < 3:", "while x <= 3:") in changes("while x < 3:\n    x += 1\n    items.pop()")
