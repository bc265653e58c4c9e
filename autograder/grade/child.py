"""The process that runs one notebook's cells and tells of each as soon as it has ended."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any

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
    return session


def serve(connection: Connection, session: Session) -> None:
    """Run the cells that come over `connection` in one order, and send what each showed.

    The order is {"folder": path, "temporary": path, "cells": [source, …]}; the answers are READY, then
    {"outputs", "execution_count", "exited"} for each cell. After a cell that called exit() nothing more is run.
    """
    _send(connection, READY)
    order = json.loads(connection.recv_bytes())
    os.chdir(order["folder"])
    # What a killed process leaves behind goes with the folder.
    os.environ["TMPDIR"] = tempfile.tempdir = order["temporary"]
    for source in order["cells"]:
        result = session.run(source)
        _send(
            connection,
            {"outputs": result.outputs, "execution_count": result.execution_count, "exited": session.ended},
        )
        if session.ended:
            return


def serve_alone(connection: Connection) -> None:
    """Do the same in a process of its own, where there is nothing to fork from."""
    serve(connection, warm_session())


def _send(connection: Connection, answer: Mapping[str, Any]) -> None:
    """Send one answer as JSON: the other side must never have to trust more than text."""
    connection.send_bytes(json.dumps(answer).encode())
