"""What the course needs of the environment that it runs in."""

from __future__ import annotations

import os
import sysconfig


def add_tools_to_path() -> None:
    """Let subprocesses find the commands installed beside this Python, also where its environment isn't activated."""
    scripts = sysconfig.get_path("scripts")
    path = os.environ.get("PATH", "")
    if scripts not in path.split(os.pathsep):
        os.environ["PATH"] = os.pathsep.join([scripts, path])
