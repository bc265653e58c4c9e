"""Cells run in this process by ipykernel's own shell, on one event loop that lives as long as the session."""

from __future__ import annotations

import asyncio
import builtins
import getpass
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn, TextIO

import ipykernel.ipkernel  # noqa: F401 - widgets then talk to ipykernel's comms, which are silent without a kernel
from ipykernel.compiler import XCachingCompiler
from ipykernel.zmqshell import ZMQInteractiveShell
from IPython.core.error import StdinNotImplementedError
from IPython.core.interactiveshell import ExecutionResult, InteractiveShell
from IPython.core.profiledir import ProfileDir
from traitlets.config import Config

from autograder.kernel.record import Capture, Output, Recorder, Stream, Wire

# Turns that tasks get after a cell, as in a kernel, which goes on to wait for its next message.
TURNS_BETWEEN_CELLS = 3


@dataclass(frozen=True, slots=True)
class CellResult:
    """What a cell showed, in nbformat's form, and the error that it ended in, as a kernel's reply names it.

    Not every error is among the outputs: IPython prints one that comes from an exception group.
    """

    outputs: list[Output]
    execution_count: int
    ename: str = ""
    evalue: str = ""

    @property
    def ok(self) -> bool:
        """Whether the cell ran to its end."""
        return not self.ename

    @property
    def error(self) -> str:
        """The error in one line: `ValueError: text`; "" for none."""
        return f"{self.ename}: {self.evalue}".removesuffix(": ").partition("\n")[0]


class _Kernel:
    """The little that ipykernel's shell and the widgets ask of their kernel."""

    eventloop = None

    def get_parent(self, channel: str | None = None) -> dict[str, Any]:
        """Return no message: nobody asked for this cell over a wire."""
        return {}


class _Shell(ZMQInteractiveShell):
    """The shell of a notebook's kernel, sending to a recorder."""

    def __init__(self, recorder: Recorder, **kwargs: Any) -> None:
        super().__init__(kernel=_Kernel(), compiler_class=XCachingCompiler, **kwargs)  # type: ignore[no-untyped-call]
        wire = Wire()
        wire.recorder = recorder
        self.displayhook.session = wire  # type: ignore[attr-defined]
        self.display_pub.session = wire  # type: ignore[attr-defined]

    def init_history(self) -> None:
        """Keep the input history in memory; the saved one belongs to the user and writes from a thread."""
        self.config.HistoryManager.enabled = False
        super().init_history()  # type: ignore[no-untyped-call]

    def _format_exception_for_storage(self, *_: object, **__: object) -> list[str]:
        """Keep no traceback for the magic `%notebook`: writing it would take as long as writing what is shown."""
        return []


class Session:
    """A notebook's kernel in this process: `run` a cell's source, get what it showed.

    A process has one session at a time: it takes sys.stdout, sys.stderr, input() and the current event loop, and
    `close` gives them back. Between cells the loop stands still, so the process may be forked; the child goes on with
    the same names on a loop of its own, on which tasks of the parent don't run.
    """

    def __init__(self) -> None:
        self._recorder = Recorder()
        self._profile = tempfile.TemporaryDirectory(prefix="session-")
        os.environ.setdefault("MPLBACKEND", "module://matplotlib_inline.backend_inline")
        self._environ = dict(os.environ)
        self._displayhook = sys.displayhook
        self._main = sys.modules["__main__"]
        self._streams: tuple[TextIO, TextIO] = (sys.stdout, sys.stderr)
        self._input = (builtins.input, getpass.getpass)
        for stream in self._streams:
            stream.flush()
        self._recorder.captures = [Capture("stdout", 1), Capture("stderr", 2)]
        sys.stdout = Stream("stdout", 1, self._recorder)
        sys.stderr = Stream("stderr", 2, self._recorder)
        builtins.input, getpass.getpass = _refusing("raw_input"), _refusing("getpass")
        profile = ProfileDir.create_profile_dir(self._profile.name)
        self.shell: InteractiveShell = _Shell.instance(
            recorder=self._recorder, profile_dir=profile, ipython_dir=self._profile.name, config=Config()
        )
        self._loops = [_new_loop()]
        self._process = os.getpid()

    @property
    def names(self) -> dict[str, Any]:
        """The namespace of the cells."""
        names: dict[str, Any] = self.shell.user_ns
        return names

    @property
    def ended(self) -> bool:
        """Whether a cell has asked the kernel to exit."""
        return bool(self.shell.exit_now)

    def limit_output(self, characters: int) -> None:
        """Keep no more text than that of each cell from now on."""
        self._recorder.limit = characters

    def run(self, source: str) -> CellResult:
        """Run one cell to its end and return what it showed.

        Raises RuntimeError where an earlier cell has ended the session with exit().
        """
        if self.ended:
            raise RuntimeError("a cell has ended this session with exit()")
        if os.getpid() != self._process:
            self._settle_in_child()
        self._recorder.start_cell()
        outputs = self._recorder.outputs
        result = self._loops[-1].run_until_complete(self._execute(source))
        self._recorder.drain()
        ename, evalue = self._error_of(result, outputs)
        self._recorder.start_cell()
        self._loops[-1].run_until_complete(_turns())
        return CellResult(outputs, self.shell.execution_count - 1, ename, evalue)

    def call(self, work: Callable[[], object]) -> list[Output]:
        """Call `work` in the place of a cell, past the shell; return what it showed. It must not raise."""
        if os.getpid() != self._process:
            self._settle_in_child()
        self._recorder.start_cell()
        outputs = self._recorder.outputs
        self._loops[-1].run_until_complete(_called(work))
        self._recorder.drain()
        self._recorder.start_cell()
        return outputs

    def close(self) -> None:
        """End the session: give back what it took, and drop its tasks."""
        if os.getpid() == self._process:
            self._loops[-1].run_until_complete(_cancel_tasks())
            self._loops[-1].close()
            asyncio.set_event_loop(None)
        self.shell.restore_sys_module_state()
        type(self.shell).clear_instance()
        for capture in self._recorder.captures:
            capture.close()
        sys.stdout, sys.stderr = self._streams
        sys.displayhook = self._displayhook
        sys.modules["__main__"] = self._main
        builtins.input, getpass.getpass = self._input
        os.environ.clear()
        os.environ.update(self._environ)
        if os.getpid() == self._process:
            self._profile.cleanup()

    async def _execute(self, source: str) -> ExecutionResult:
        """Run a cell as `IPythonKernel.do_execute` does: plain cells at once, those that await as a task."""
        shell = self.shell
        failure = None
        try:
            transformed = shell.transform_cell(source)
        except Exception:
            transformed, failure = source, sys.exc_info()
        if not shell.should_run_async(source, transformed_cell=transformed, preprocessing_exc_tuple=failure):
            plain: ExecutionResult = shell.run_cell(source, store_history=True)
            return plain
        shell._last_traceback_during_displayhook = False  # type: ignore[attr-defined]
        result: ExecutionResult = await asyncio.ensure_future(
            shell.run_cell_async(
                source, store_history=True, transformed_cell=transformed, preprocessing_exc_tuple=failure
            )
        )
        shell.events.trigger("post_execute")
        shell.events.trigger("post_run_cell", result)
        return result

    def _error_of(self, result: ExecutionResult, outputs: list[Output]) -> tuple[str, str]:
        """Return the name and text of the error that a cell ended in; two empty strings for none."""
        error = result.error_before_exec or result.error_in_exec
        if error is not None:
            return type(error).__name__, str(error)
        # What fails in being displayed fails the cell too, as in a kernel.
        if getattr(self.shell, "_last_traceback_during_displayhook", False):
            shown = [output for output in outputs if output["output_type"] == "error"]
            return shown[-1]["ename"], shown[-1]["evalue"]
        return "", ""

    def _settle_in_child(self) -> None:
        """Take a loop and capture files of this process's own: those of the parent are shared with it."""
        self._process = os.getpid()
        # The parent's loop is kept, since its finaliser closes it: that would change the selector which both share.
        self._loops.append(_new_loop())
        for capture in self._recorder.captures:
            capture.renew()


def _new_loop() -> asyncio.AbstractEventLoop:
    """Return a new event loop, made the current one."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    return loop


async def _called(work: Callable[[], object]) -> None:
    """Call `work` while the loop is running, as it is while a kernel's cell runs."""
    work()


async def _turns() -> None:
    """Let tasks go on that wait for nothing but their turn."""
    for _ in range(TURNS_BETWEEN_CELLS):
        await asyncio.sleep(0)


async def _cancel_tasks() -> None:
    """Cancel every other task of the running loop and wait for it."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _refusing(function: str) -> Callable[..., str]:
    """Return a function that refuses to read a line, in the words of a kernel whose front end has nobody to ask."""

    def refuse(*_: object, **__: object) -> NoReturn:
        raise StdinNotImplementedError(f"{function} was called, but this frontend does not support input requests.")

    return refuse
