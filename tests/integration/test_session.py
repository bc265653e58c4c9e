"""A session shows what a real kernel shows, and can be forked."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

IN_SESSION = """
import json, sys
from autograder.kernel import Session

cells = json.load(sys.stdin)
session = Session()
results = [session.run(cell) for cell in cells]
session.close()
json.dump([{"outputs": each.outputs, "error": each.error} for each in results], sys.stdout)
"""
CELLS = [
    "1 + 1",
    "print('out')\nprint('more')",
    "import sys\nprint('err', file=sys.stderr)\nsys.stderr.write('more')",
    "import asyncio\n\ntask = asyncio.create_task(asyncio.sleep(0.01, 'done'))",
    "await task",
    "asyncio.get_running_loop().is_running()",
    "async def fails():\n    raise KeyError('lost')\n\nawait fails()",
    "def half(number):\n    return number / 0\n\nhalf(1)",
    "def broken(:",
    "class Short(Exception):\n    def _render_traceback_(self):\n        return ['short']\n\nraise Short('x')",
    "raise SystemExit(3)",
    "raise ExceptionGroup('several', [ValueError('one')])",
    "from IPython.display import HTML, clear_output, display\nhandle = display('first', display_id='shown')",
    "display('second', display_id='shown', update=True)\nHTML('<b>bold</b>')",
    "print('gone')\nclear_output()\nprint('stays')",
    "print('gone later')\nclear_output(wait=True)\nprint('comes instead')",
    "%%capture caught\nprint('quiet')",
    "caught.stdout",
    "!echo from the shell",
    "class Unprintable:\n    def __repr__(self):\n        raise ValueError('no repr')\n\nUnprintable()",
    "%nonsense",
    "from pathlib import Path\nPath",
    "{'a': list(range(30)), 'b': list(range(30))}",
    "__name__, type(get_ipython()).__mro__[1].__name__ in ('InteractiveShell', 'ZMQInteractiveShell')",
    "%load_ext autograder",
    "%%check sums\ndef test_adds():\n    assert 1 + 1 == 3",
    "%%check sums\nasync def test_waits():\n    await asyncio.sleep(0)",
    "import ipywidgets\n\nipywidgets.IntSlider(3)",
    "'the end';",
]


def in_session(cells: list[str]) -> list[dict[str, Any]]:
    """Return what a session in a process of its own shows for each cell."""
    done = subprocess.run(
        [sys.executable, "-c", IN_SESSION], input=json.dumps(cells), capture_output=True, text=True, check=True
    )
    results: list[dict[str, Any]] = json.loads(done.stdout)
    return results


def in_kernel(cells: list[str]) -> list[Any]:
    """Return the outputs of a real kernel for each cell."""
    notebook = new_notebook(cells=[new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, kernel_name="python3", allow_errors=True, coalesce_streams=True).execute()
    return [cell.outputs for cell in notebook.cells]


def plain(outputs: Any) -> Any:
    """Return outputs without what differs from run to run: process ids, file names and model ids."""
    text = json.dumps(outputs, sort_keys=True)
    text = re.sub(r"ipykernel_\d+", "ipykernel", text)
    text = re.sub(r'"model_id": "\w+"', '"model_id": ""', text)
    return json.loads(text)


@pytest.fixture(scope="module")
def both() -> list[tuple[str, Any, Any]]:
    """Each cell with what a session and a kernel show for it."""
    session = [result["outputs"] for result in in_session(CELLS)]
    return list(zip(CELLS, session, in_kernel(CELLS), strict=True))


@pytest.mark.parametrize("index", range(len(CELLS)), ids=[cell.splitlines()[0][:30] for cell in CELLS])
def test_shows_what_a_kernel_shows(both: list[tuple[str, Any, Any]], index: int) -> None:
    _, session, kernel = both[index]

    assert plain(session) == plain(kernel)


def test_outputs_are_those_of_a_notebook(both: list[tuple[str, Any, Any]]) -> None:
    notebook = new_notebook(cells=[new_code_cell(cell, outputs=outputs) for cell, outputs, _ in both])
    notebook["nbformat_minor"] = 5

    nbformat.validate(nbformat.from_dict(notebook))


def test_names_the_error_of_a_cell_whatever_its_outputs() -> None:
    cells = ["1", "1 / 0", "raise ExceptionGroup('several', [ValueError('one')])", "%nonsense", "def broken(:"]

    errors = [result["error"].partition(":")[0] for result in in_session(cells)]

    assert errors == ["", "ZeroDivisionError", "ExceptionGroup", "UsageError", "SyntaxError"]


def test_input_is_refused() -> None:
    errors = [result["error"] for result in in_session(["input('?')", "import getpass; getpass.getpass()"])]

    assert [error.partition(":")[0] for error in errors] == ["StdinNotImplementedError"] * 2


def test_records_what_processes_write_where_it_belongs() -> None:
    cell = "import subprocess\nprint('before')\n_ = subprocess.run(['echo', 'from a process'])\nprint('after')"

    (result,) = in_session([cell])

    assert [output["text"] for output in result["outputs"]] == ["before\nfrom a process\nafter\n"]


def run_script(script: str) -> str:
    """Return what a Python script prints."""
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout


def test_gives_back_what_it_took() -> None:
    script = """
import builtins, sys
from autograder.kernel import Session
before = (sys.stdout, sys.stderr, sys.displayhook, builtins.input, sys.modules["__main__"])
session = Session()
session.run("import subprocess; print('inside'); subprocess.run(['echo', 'inside'])")
session.close()
print(before == (sys.stdout, sys.stderr, sys.displayhook, builtins.input, sys.modules["__main__"]), flush=True)
second = Session()
result = second.run("print('again')")
second.close()
print(result.outputs[0]["text"])
"""
    assert run_script(script).split() == ["True", "again"]


def test_an_exit_ends_the_session() -> None:
    script = """
from autograder.kernel import Session
session = Session()
ended = [session.ended, session.run("exit()").ok, session.ended]
try:
    session.run("1")
except RuntimeError:
    ended.append("refused")
session.close()
print(ended)
"""
    assert run_script(script).strip() == "[False, True, True, 'refused']"


def test_forks_go_on_from_the_same_names_without_touching_each_other() -> None:
    script = """
from autograder.kernel import Session, fork_each
session = Session()
session.run("import asyncio\\nasync def later():\\n    await asyncio.sleep(0.01)\\n    return state")
session.run("state = 1\\ntask = asyncio.create_task(asyncio.sleep(0.01, 'parent'))")

def child(number):
    session.run(f"state += {number}")
    return [output for cell in ("await later()", "print('said')") for output in session.run(cell).outputs]

outcomes = list(fork_each([lambda: child(10), lambda: child(20)], 30, at_once=2))
own = [session.run("state"), session.run("await task")]
session.close()
for outcome in outcomes:
    print([output.get("text") or output["data"]["text/plain"] for output in outcome.value])
print([result.outputs[0]["data"]["text/plain"] for result in own])
"""
    lines = run_script(script).splitlines()

    assert lines == ["['11', 'said\\n']", "['21', 'said\\n']", "['1', \"'parent'\"]"]


FORKS = """
import json, os, signal, subprocess, sys, time
from autograder.kernel import fork_each

def raises():
    raise ValueError("no")

def hangs():
    subprocess.Popen(["sleep", "600"])
    print(json.dumps(os.getpid()), flush=True)
    time.sleep(600)

def dies():
    os._exit(3)

def leaves_a_process_that_holds_the_pipe():
    if os.fork() == 0:
        time.sleep(600)
    os._exit(3)

calls = [lambda: {"a": [1]}, raises, hangs, dies, leaves_a_process_that_holds_the_pipe, lambda: "x" * 1_000_000]
outcomes = list(fork_each(calls, 1.5, at_once=3))
print([str(outcome.ending) for outcome in outcomes])
print(outcomes[0].value, "ValueError: no" in outcomes[1].error, len(outcomes[-1].value))
"""


def test_every_child_ends_in_its_time_with_all_that_it_started() -> None:
    pid, endings, values = run_script(FORKS).splitlines()

    assert endings == "['returned', 'raised', 'timed out', 'died', 'died', 'returned']"
    assert values == "{'a': [1]} True 1000000"
    processes = subprocess.run(["ps", "-eo", "pgid=,stat="], capture_output=True, text=True, check=True).stdout
    # A zombie is dead: nothing but its parent's call is missing.
    assert pid not in [line.split()[0] for line in processes.splitlines() if "Z" not in line.split()[1]]


def test_children_draw_different_random_numbers() -> None:
    script = """
import random
from autograder.kernel import fork_each
random.seed(1)
print(len({outcome.value for outcome in fork_each([random.random] * 3, 30)}))
"""
    assert run_script(script).strip() == "3"
