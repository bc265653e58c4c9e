"""The worked examples of an exercise's prompt, run against its answer."""

from __future__ import annotations

import doctest
import re
from collections.abc import Sequence
from dataclasses import dataclass

from autograder.kernel import Output, Session

BLOCK = re.compile(r"^```(?:python|pycon)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Example:
    """One call and what it comes to; `line` counts from the first line of the prompt, from 1."""

    line: int
    source: str
    want: str
    error: str | None
    options: int


def examples_in(prompt: str) -> list[Example]:
    """Return the examples of a prompt: the lines after `>>>` in its fenced Python blocks.

    Raises ValueError for an example that is badly indented.
    """
    found = []
    for block in BLOCK.finditer(prompt):
        first = prompt[: block.start(1)].count("\n") + 1
        for example in doctest.DocTestParser().get_examples(block[1]):
            options = sum(flag for flag, is_on in example.options.items() if is_on)
            found.append(Example(first + example.lineno, example.source, example.want, _wanted_error(example), options))
    return found


def run_example(session: Session, example: Example) -> str | None:
    """Run one example; return what is wrong with it in words, None where it comes out as it says."""
    formatter = session.shell.display_formatter
    assert formatter is not None
    # As in Python's own prompt: repr, not IPython's layout of it.
    formatter.formatters["text/plain"].pprint = False
    result = session.run(example.source)
    got = _text(result.outputs)
    checker = doctest.OutputChecker()
    if example.error is not None:
        want = _short(example.error)
        if checker.check_output(f"{want}\n", f"{result.error}\n", example.options):
            return None
        return f"raises {result.error}, not {want}" if result.error else f"comes to {_shown(got)} and doesn't raise"
    if result.error:
        return f"raises {result.error}"
    if checker.check_output(example.want, got, example.options):
        return None
    return f"comes to {_shown(got)}, not {_shown(example.want)}"


def _shown(text: str) -> str:
    """Return a result as messages show it."""
    return text.strip() or "nothing"


def _wanted_error(example: doctest.Example) -> str | None:
    """Return the last line of the traceback that an example shows."""
    return example.exc_msg.strip() if example.exc_msg else None


def _short(error: str) -> str:
    """Return `ValueError: text` without the module that may stand before it."""
    kind, colon, text = error.partition(":")
    return f"{kind.rpartition('.')[2]}{colon}{text}"


def _text(outputs: Sequence[Output]) -> str:
    """Return what a cell printed and came to."""
    return "".join(
        output["text"] if output["output_type"] == "stream" else output["data"]["text/plain"] + "\n"
        for output in outputs
        if output.get("name") == "stdout" or output["output_type"] == "execute_result"
    )
