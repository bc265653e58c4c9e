"""What the course needs of the environment that it runs in."""

from __future__ import annotations

import importlib
import os
import sys
import sysconfig
from types import ModuleType

PAGES = ("assignment_list", "course_list", "formgrader", "validate_assignment")


def add_tools_to_path() -> None:
    """Let subprocesses find the commands installed beside this Python, also where its environment isn't activated."""
    scripts = sysconfig.get_path("scripts")
    path = os.environ.get("PATH", "")
    if scripts not in path.split(os.pathsep):
        os.environ["PATH"] = os.pathsep.join([scripts, path])


def import_nbgrader() -> None:
    """Import nbgrader without what takes most of the time and memory of that, and grading doesn't use.

    Its package imports its pages for Jupyter's server. Whoever asks for one of them afterwards gets it.
    """
    # An optional check of IRIs in jsonschema, which takes a second or more; notebooks have none.
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
    if "nbgrader" in sys.modules:
        return
    pages = {f"nbgrader.server_extensions.{page}": ModuleType(page) for page in PAGES}
    for page in pages.values():
        vars(page)["load_jupyter_server_extension"] = None
    sys.modules |= pages
    try:
        importlib.import_module("nbgrader")
    finally:
        for name in pages:
            del sys.modules[name]
