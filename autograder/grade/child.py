"""The process that runs one notebook's cells and tells of each as soon as it has ended."""

from __future__ import annotations

import base64
import json
import os
import tempfile
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path, PurePosixPath
from typing import Any

from autograder.grade.environment import environment
from autograder.grade.model import Limits
from autograder.grade.outputs import cut
from autograder.kernel import Session

# What is told in the place of a cell.
READY = {"ready": True}
WARM_UP = """\
%%check warm_up
def test_warm_up() -> None:
    assert 1 == 1
"""


def warm_session() -> Session:
    """Return a session in which everything that cells and checks use has been imported once.

    It is as new as to names: processes forked from here, or this one, run a notebook in it.
    """
    import autograder

    session = Session()
    autograder.load_ipython_extension(session.shell)
    session.run(WARM_UP)
    session.shell.reset(new_session=True)
    session.names.setdefault("__spec__", None)  # every module has one, and processes that are spawned ask for it
    return session


def serve(connection: Connection, session: Session, folder: str, limits: Limits) -> None:
    """Run the cells that come over `connection` in one order, in `folder`, and send what each showed.

    The order is {"files": {path: base64}, "cells": [source, …]}; the answers are READY, then {"outputs",
    "execution_count", "exited"} for each cell. After a cell that called exit() nothing more is run.
    """
    home, temporary = Path(folder, "notebook"), Path(folder, "tmp")
    for place in (home, temporary):
        place.mkdir()
    os.environ |= {"HOME": str(home), "TMPDIR": str(temporary)}
    tempfile.tempdir = str(temporary)
    os.chdir(home)
    _send(connection, READY)
    order = json.loads(connection.recv_bytes())
    _lay_out(home, order["files"])
    process = os.getpid()
    session.limit_output(limits.cell_output + 1)  # one more, so that it is known to be too much
    for source in order["cells"]:
        result = session.run(source)
        if os.getpid() != process:
            return  # the cell has forked, and only one of the two can go on
        _send(
            connection,
            {
                "outputs": cut(result.outputs, limits.cell_output)[0],
                "execution_count": result.execution_count,
                "exited": session.ended,
            },
        )
        if session.ended:
            return


def serve_alone(connection: Connection, folder: str, limits: Limits) -> None:
    """Do the same in a process of its own, where there is nothing to fork from."""
    kept = environment()
    os.environ.clear()
    os.environ.update(kept)
    if os.name == "posix":
        from autograder.grade.sandbox import set_limits

        set_limits(limits)
    serve(connection, warm_session(), folder, limits)


def _lay_out(folder: Path, files: Mapping[str, str]) -> None:
    """Put the files there that a notebook finds beside it."""
    for name, content in files.items():
        target = folder.joinpath(*PurePosixPath(name).parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(base64.b64decode(content))


def _send(connection: Connection, answer: Mapping[str, Any]) -> None:
    """Send one answer as JSON: the other side must never have to trust more than text."""
    connection.send_bytes(json.dumps(answer).encode())
