"""Tells, while it happens, that code of a submission reaches for what isn't its own: frames, memory, other files.

Python's audit events can't be switched off from Python, and come before the thing that they announce.
"""

from __future__ import annotations

import builtins
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import FrameType, FunctionType

FRAMES = frozenset({"tb_frame", "gi_frame", "cr_frame", "ag_frame"})
RUNNING = {"gi_frame": "gi_running", "cr_frame": "cr_running", "ag_frame": "ag_running"}
REWRITTEN = frozenset({"__code__", "__defaults__", "__kwdefaults__"})
# Functions of the library that hand out frames.
GIVE_FRAMES = frozenset(
    {"currentframe", "stack", "trace", "getouterframes", "getinnerframes", "walk_stack", "walk_tb", "_task_get_stack"}
)
PROFILERS = ("cProfile.py", "profile.py")
MEMORY = frozenset({"gc.get_objects", "gc.get_referrers", "gc.get_referents"})
TRACING = frozenset({"sys.settrace", "sys.setprofile", "sys._current_frames"})
CODE = frozenset({"code.__new__", "marshal.loads"})
WATCHED = (
    frozenset({"sys._getframe", "object.__getattr__", "object.__setattr__", "open", "compile"})
    | MEMORY
    | TRACING
    | CODE
)
MACHINERY = ("autograder", "pytest", "_pytest", "anyio", "pluggy", "IPython", "ipykernel", "json")
# Where a course keeps what isn't the learners'.
PRIVATE = frozenset({"solutions", "gradebook.db"})

globals()["__builtins__"] = vars(builtins).copy()


def watch(tell: Callable[[str], None]) -> None:
    """Call `tell` with a few words each time that a notebook's code does one of these things, from now on."""
    # Taken here, and kept nowhere else.
    getframe, ident, trusted = sys._getframe, threading.get_ident, trusted_files()
    busy: set[int] = set()

    def judge(event: str, args: tuple[object, ...], frame: FrameType) -> str:
        student = not frame.f_code.co_filename.startswith(trusted)
        if event == "object.__setattr__":
            return f"rewriting {args[1]}" if args[1] in REWRITTEN and _machinery(args[0]) else ""
        if event == "object.__getattr__":
            name = str(args[1])
            if name not in FRAMES or not getattr(args[0], RUNNING.get(name, ""), True):
                return ""
            return name if student or given(frame) else ""
        if event == "sys._getframe":
            return event if student or given(frame) else ""
        if event in MEMORY:
            return event if student or any(not name.startswith(trusted) for name in files(frame)) else ""
        if event in TRACING:
            return "" if frame.f_code.co_filename.endswith(PROFILERS) or not around(frame) else event
        if event in CODE:
            return event if student else ""
        if event == "compile":
            return "compile under another file's name" if student and str(args[1]).startswith(trusted) else ""
        return f"open {args[0]!r}" if isinstance(args[0], str | bytes | Path) and _private(args[0]) else ""

    def given(frame: FrameType) -> bool:
        """Whether the library hands a frame to the notebook's code."""
        if frame.f_code.co_name not in GIVE_FRAMES:
            return False
        caller = frame.f_back
        while caller and frame.f_code.co_filename.endswith("inspect.py"):
            if caller.f_code.co_filename != frame.f_code.co_filename:
                break
            caller = caller.f_back
        return caller is not None and not caller.f_code.co_filename.startswith(trusted)

    def files(frame: FrameType | None) -> Iterator[str]:
        for _ in range(4):
            if frame is None:
                return
            yield frame.f_code.co_filename
            frame = frame.f_back

    def around(frame: FrameType) -> bool:
        """Whether the notebook's code is near, or this is a new thread, which has nothing around it."""
        seen = list(files(frame))
        return len(seen) < 4 or any(not name.startswith(trusted) for name in seen)

    def hook(event: str, args: tuple[object, ...]) -> None:
        # There are thousands of reads in every check, nearly all of other attributes.
        read = args[1] if event == "object.__getattr__" else None
        if event not in WATCHED or (type(read) is str and read not in FRAMES):
            return
        thread = ident()
        if thread in busy:
            return
        busy.add(thread)
        try:
            said = judge(event, args, getframe(1))
            if said:
                tell(said)
        except Exception:  # what is watched must go on as if nobody looked
            pass
        finally:
            busy.discard(thread)

    sys.addaudithook(hook)


@cache
def trusted_files() -> tuple[str, ...]:
    """Return how the files' names begin whose code isn't a notebook's."""
    paths = sysconfig.get_paths()
    libraries = {str(Path(paths[name]).resolve()) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    libraries |= {paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    return (*sorted(libraries), str(Path(__file__).parents[1]), "<frozen ", "<attrs generated", "<__array_function__")


def _machinery(value: object) -> bool:
    """Whether a function belongs to what checks are run with."""
    return isinstance(value, FunctionType) and str(value.__globals__.get("__name__", "")).partition(".")[0] in MACHINERY


def _private(given: str | bytes | Path) -> bool:
    """Whether a file is none of a notebook's business."""
    path = Path(given.decode(errors="replace") if isinstance(given, bytes) else given)
    if str(path).startswith("/proc/"):
        return path.name in ("mem", "environ")
    return not PRIVATE.isdisjoint(path.parts)
