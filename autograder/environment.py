"""What the course needs of the environment that it runs in."""

from __future__ import annotations

import os
import sys
import sysconfig


def add_tools_to_path() -> None:
    """Let subprocesses find the commands installed beside this Python, also where its environment isn't activated."""
    scripts = sysconfig.get_path("scripts")
    path = os.environ.get("PATH", "")
    if scripts not in path.split(os.pathsep):
        os.environ["PATH"] = os.pathsep.join([scripts, path])


def skip_iri_checks() -> None:
    """Keep jsonschema from loading its optional check of IRIs: it takes a second or more, and notebooks have none.

    To be called before nbformat or nbgrader is imported.
    """
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
