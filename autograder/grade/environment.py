"""The environment variables of the processes that run notebooks."""

from __future__ import annotations

import os

# What a notebook gets of the environment; the others may be secret. The last three are Windows' own needs.
KEPT = ("PATH", "TZ", "LANG", "LC_ALL", "LC_CTYPE", "SYSTEMROOT", "PATHEXT", "COMSPEC")
# One thread for each notebook's linear algebra: the cores are shared, and the warm process has to stay without any.
FIXED = {"NBGRADER_EXECUTION": "autograde", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def environment() -> dict[str, str]:
    """Return what a notebook gets of this process's environment."""
    return {name: os.environ[name] for name in KEPT if name in os.environ} | FIXED
