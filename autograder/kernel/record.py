"""What a cell shows, gathered in nbformat's form as a notebook's front end would."""

from __future__ import annotations

import io
import os
import sys
import tempfile
from collections.abc import Mapping
from typing import Any

from jupyter_client.session import Session as WireSession

# One output in nbformat's form. It is a plain dict, since nbformat takes a second to import; `nbformat.from_dict`
# makes a node of it.
Output = dict[str, Any]


class Recorder:
    """The outputs of the running cell, and the displays of all cells that can still be updated."""

    def __init__(self) -> None:
        self.outputs: list[Output] = []
        self.captures: list[Capture] = []
        # How many characters of text a cell's outputs hold at most; more is lost.
        self.limit: int | None = None
        self._written = 0
        self._displays: dict[str, list[Output]] = {}
        self._clear_before_next = False

    def start_cell(self) -> None:
        """Begin a new list of outputs; what was shown before stays with its own cell."""
        self.outputs = []
        self._written = 0
        self._clear_before_next = False

    def take(self, message: str, content: Mapping[str, Any]) -> None:
        """Take one message of the kind that a kernel broadcasts; kinds that show nothing are passed over."""
        self.drain()
        match message:
            case "clear_output":
                self._clear(wait=content["wait"])
            case "stream":
                self._write(content["name"], content["text"])
            case "update_display_data":
                self._update(content)
            case "display_data" | "execute_result" | "error":
                self._append(message, content)

    def drain(self) -> None:
        """Take what has been written past Python; before each message, so that the order is kept."""
        for capture in self.captures:
            if text := capture.read(sys.maxsize if self.limit is None else 4 * self.limit):
                self._write(capture.name, text)

    def _append(self, message: str, content: Mapping[str, Any]) -> None:
        """Append one output, and remember it under its display id where it has one."""
        if self._clear_before_next:
            self._clear(wait=False)
        output = {"output_type": message, **{key: value for key, value in content.items() if key != "transient"}}
        self.outputs.append(output)
        display = (content.get("transient") or {}).get("display_id")
        if display:
            self._update(content)
            self._displays.setdefault(display, []).append(output)

    def _write(self, name: str, text: str) -> None:
        """Append text to the last output where that is the same stream, else begin a stream output."""
        if self.limit is not None:
            text = text[: self.limit - self._written]
            self._written += len(text)
            if not text:
                return
        if self._clear_before_next or not self.outputs or self.outputs[-1].get("name") != name:
            self._append("stream", {"name": name, "text": text})
        else:
            self.outputs[-1]["text"] += text

    def _update(self, content: Mapping[str, Any]) -> None:
        """Put new data into every output that was displayed under this id, whichever its cell."""
        for output in self._displays.get(content["transient"]["display_id"], ()):
            output["data"] = content["data"]
            output["metadata"] = content["metadata"]

    def _clear(self, *, wait: bool) -> None:
        """Empty the running cell's outputs, now or when the next one comes."""
        self._clear_before_next = wait
        if not wait:
            self.outputs.clear()


class Wire(WireSession):
    """The session that ipykernel's shell sends through; what would be broadcast goes to a recorder."""

    recorder: Recorder

    def send(
        self,
        stream: object,
        msg_or_type: dict[str, Any] | str,
        content: dict[str, Any] | None = None,
        *_: Any,
        **__: Any,
    ) -> None:
        """Record a message, given whole or as its type and content."""
        if isinstance(msg_or_type, dict):
            self.recorder.take(msg_or_type["header"]["msg_type"], msg_or_type["content"])
        else:
            self.recorder.take(msg_or_type, content or {})


class Stream(io.TextIOBase):
    """`sys.stdout` or `sys.stderr` of a session."""

    encoding = "UTF-8"
    errors = "strict"

    def __init__(self, name: str, descriptor: int, recorder: Recorder) -> None:
        self.name = name
        self._descriptor = descriptor
        self._recorder = recorder

    def write(self, text: str) -> int:
        """Record text. Raises TypeError for anything that isn't a str, as every text stream does."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text)}")
        if text:
            self._recorder.take("stream", {"name": self.name, "text": text})
        return len(text)

    def writable(self) -> bool:
        """Return True."""
        return True

    def fileno(self) -> int:
        """Return the descriptor that a subprocess writes to; a session records that too."""
        return self._descriptor


class Capture:
    """What is written to one of the process's own descriptors, past Python: by a subprocess or an extension."""

    def __init__(self, name: str, descriptor: int) -> None:
        self.name = name
        self.descriptor = descriptor
        self._saved = os.dup(descriptor)
        self._open()

    def _open(self) -> None:
        """Point the descriptor to a new file without a name, which takes any amount without a reader."""
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the session
        self._read = 0
        os.dup2(self._file.fileno(), self.descriptor)

    def renew(self) -> None:
        """Stop sharing the file with the process that this one was forked from."""
        self._file.close()
        self._open()

    def read(self, most: int) -> str:
        """Return what has been written since the last time, `most` bytes of it at most."""
        size = os.fstat(self._file.fileno()).st_size - self._read
        data = os.pread(self._file.fileno(), min(size, most), self._read) if size > 0 else b""
        self._read += max(size, 0)
        return data.decode(errors="replace")

    def close(self) -> None:
        """Give the descriptor back."""
        os.dup2(self._saved, self.descriptor)
        os.close(self._saved)
        self._file.close()
