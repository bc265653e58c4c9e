"""What a service hands out, and what is known of it on this machine."""

from __future__ import annotations

import atexit
import os
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Self


class Handle:
    """A part of a service that nobody else uses, at `url`, until `close` or the end of a `with`."""

    def __init__(self, url: str) -> None:
        """Stand for what is at `url`, in the form that the service's clients know."""
        self.url = url
        # What was opened here, and is closed first.
        self._opened = ExitStack()

    def close(self) -> None:
        """Close what was opened here, and remove what was kept."""
        self._opened.close()

    def close_at_exit(self) -> Self:
        """See to it that this is closed when the process ends that it was made in; return it."""
        owner = os.getpid()

        def close() -> None:
            if os.getpid() == owner:
                self.close()

        atexit.register(close)
        self._opened.callback(atexit.unregister, close)
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"


class Kind(StrEnum):
    """How a service is there."""

    REAL = "real"
    STAND_IN = "stand-in"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Finding:
    """How a service is there on this machine: what it is, or what to do to have it, in a clause."""

    kind: Kind
    what: str
