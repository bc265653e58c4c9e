"""Submissions that mean no harm: whatever they do beside it, right answers have their points and no flag."""

from __future__ import annotations

from tests.integration.corpus.book import ANSWERS, FULL, Book, case


@case(FULL)
def solved(book: Book) -> None:
    """Every answer is right."""
    book.solve().write()


@case(0)
def unsolved(book: Book) -> None:
    """It was handed in as it was given out: an honest zero."""
    book.write()


@case(5)
def one_wrong(book: Book) -> None:
    """One answer of three is wrong."""
    book.solve(double="def double(number):\n    return number + 1").write()


@case(6)
def half_right(book: Book) -> None:
    """One answer passes the visible tests alone."""
    book.solve(double="def double(number):\n    return abs(2 * number)").write()


@case(FULL)
def stderr(book: Book) -> None:
    """A right answer writes to stderr."""
    book.solve(
        double="import sys\ndef double(number):\n    print('hm', file=sys.stderr)\n    return 2 * number"
    ).write()


@case(FULL)
def warnings(book: Book) -> None:
    """A right answer warns."""
    book.solve(double="import warnings\ndef double(number):\n    warnings.warn('old')\n    return 2 * number").write()


@case(FULL)
def logging(book: Book) -> None:
    """A right answer logs, which looks at the caller's frame in the library."""
    source = "import logging\ndef double(number):\n    logging.warning('%s', number)\n    return 2 * number"
    book.solve(double=source).write()


@case(FULL)
def library_that_looks_at_frames(book: Book) -> None:
    """A named tuple, an enumeration and a printed traceback: the library looks at frames for each."""
    book.solve().add(
        "import collections, enum, traceback\nP = collections.namedtuple('P', 'x')\nC = enum.Enum('C', 'a b')\n"
        "try:\n    1 / 0\nexcept ZeroDivisionError:\n    traceback.print_exc()"
    ).write()


@case(FULL)
def own_tests(book: Book) -> None:
    """Tests of one's own, among them a fixture, a mark and a helper with a name like a test's."""
    book.solve().add(
        "import pytest\npytestmark = pytest.mark.slow\n@pytest.fixture\ndef number():\n    return 2\n"
        "def test_mine(number):\n    assert double(number) == 4"
    ).write()


@case(FULL)
def hides_a_builtin(book: Book) -> None:
    """Names of built-ins are used for something else."""
    book.solve().add("list = [1, 2]\nlen = 3\nAssertionError = None", place=-1).write()


@case(FULL)
def threads_and_processes(book: Book) -> None:
    """Threads and a process are used and ended."""
    book.solve().add(
        "import subprocess, sys, threading\nt = threading.Thread(target=print, args=('x',))\nt.start(); t.join()\n"
        "print(subprocess.run([sys.executable, '-c', 'print(1)'], capture_output=True).stdout)"
    ).write()


@case(FULL)
def dataclass_answers(book: Book) -> None:
    """Answers use dataclasses, whose comparison is made by the library."""
    source = "import dataclasses\n@dataclasses.dataclass\nclass N:\n    n: int\ndef double(number):\n"
    book.solve(double=source + "    return N(2 * number).n if N(1) == N(1) else 0").write()


@case(FULL)
def patches_within_a_block(book: Book) -> None:
    """A test of one's own patches a built-in and puts it back."""
    book.solve().add(
        "from unittest import mock\nwith mock.patch('builtins.print') as p:\n    print(1)\nassert p.called"
    ).write()


@case(FULL)
def magics(book: Book) -> None:
    """Magics, shell commands and displays are used."""
    book.solve().add("%timeit -n1 -r1 pass\n!echo hi\nfrom IPython.display import HTML\nHTML('<b>x</b>')").write()


@case(FULL)
def many_numbers(book: Book) -> None:
    """Much is printed, but not too much."""
    book.solve().add("for n in range(3000):\n    print(n)").write()


@case(FULL)
def other_answer(book: Book) -> None:
    """Another right answer, in two cells, with a helper in one of its own."""
    book.solve(double="def double(number):\n    return _add(number, number)")
    book.add("def _add(a, b):\n    return a + b").write()


@case(FULL)
def check_twice(book: Book) -> None:
    """A check is copied to the end, to see it there too."""
    check = book.cell("check-double")["source"]
    book.solve().add("".join(check), place=len(book.cells)).write()


@case(FULL)
def an_own_cell_fails(book: Book) -> None:
    """A cell of one's own ends in an error."""
    book.solve().add("1 / 0").write()


@case(FULL)
def saved_with_outputs(book: Book) -> None:
    """Outputs were saved, which don't count."""
    book.solve()
    for cell in book.cells:
        if cell["cell_type"] == "code":
            cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "x" * 10_000}]
    book.write()


@case(5)
def syntax_error(book: Book) -> None:
    """An answer isn't Python: an honest loss."""
    book.solve(double=ANSWERS["double"].replace(":", "")).write()
