"""The process that runs one notebook's cells and tells of each as soon as it has ended."""

from __future__ import annotations

import base64
import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import cache, partial
from multiprocessing.connection import Connection
from pathlib import Path, PurePosixPath
from typing import Any

from autograder.grade.environment import environment
from autograder.grade.guard import run_orders
from autograder.grade.model import Limits
from autograder.grade.seal import seal
from autograder.kernel import Session

# What is told in the place of a cell.
READY = {"ready": True}
# A check, and an error: what shows tracebacks takes long to import.
WARM_UP = (
    """\
%%check warm_up
def test_warm_up() -> None:
    assert 1 == 1
""",
    "1 / 0",
)


def warm_session() -> Session:
    """Return a session in which everything that cells and checks use has been imported once.

    It is as new as to names: processes forked from here, or this one, run a notebook in it.
    """
    import autograder

    session = Session()
    _remember_colours()
    autograder.load_ipython_extension(session.shell)
    for cell in WARM_UP:
        session.run(cell)
    session.shell.reset(new_session=True)
    session.names.setdefault("__spec__", None)  # every module has one, and processes that are spawned ask for it
    return session


def _remember_colours() -> None:
    """Have what is the same in all tracebacks worked out once: a style, and the terminal's nearest to each colour."""
    import stack_data
    from pygments.formatters.terminal256 import Terminal256Formatter  # type: ignore[import-untyped]

    closest = cache(partial(Terminal256Formatter._closest_color, Terminal256Formatter()))
    Terminal256Formatter._closest_color = lambda _, *colour: closest(*colour)
    stack_data.style_with_executing_node = cache(stack_data.style_with_executing_node)  # type: ignore[attr-defined]


def serve(
    connection: Connection,
    session: Session,
    folder: str,
    limits: Limits,
    changed: Callable[[], list[str]],
    *,
    alone: bool = False,
) -> None:
    """Run the cells that come over `connection` in `folder`, and send what each showed.

    `changed` is what `seal` returned when the session was new, in this process or in one that it was forked from.
    It says READY, and gets {"files": {path: base64}, "key": hex}; `run_orders` does the rest.
    """
    home, temporary = Path(folder, "notebook"), Path(folder, "tmp")
    for place in (home, temporary):
        place.mkdir()
    os.environ |= {"HOME": str(home), "TMPDIR": str(temporary)}
    tempfile.tempdir = str(temporary)
    os.chdir(home)
    sys.path.insert(0, "")  # as in a kernel: files beside the notebook can be imported
    _send(connection, READY)
    order = json.loads(connection.recv_bytes())
    _lay_out(home, order["files"])
    session.limit_output(limits.cell_output + 1)  # one more, so that it is known to be too much
    run_orders(connection, session, bytes.fromhex(order.pop("key")), limits, changed, alone=alone)


def serve_alone(connection: Connection, folder: str, limits: Limits) -> None:
    """Do the same in a process of its own, where there is nothing to fork from."""
    kept = environment()
    os.environ.clear()
    os.environ.update(kept)
    if os.name == "posix":
        from autograder.grade.sandbox import set_limits

        set_limits(limits)
    serve(connection, warm_session(), folder, limits, seal())


def _lay_out(folder: Path, files: Mapping[str, str]) -> None:
    """Put the files there that a notebook finds beside it."""
    for name, content in files.items():
        target = folder.joinpath(*PurePosixPath(name).parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(base64.b64decode(content))


def _send(connection: Connection, answer: Mapping[str, Any]) -> None:
    """Send one answer as JSON: the other side must never have to trust more than text."""
    connection.send_bytes(json.dumps(answer).encode())
