"""Takes what a child says a cell has shown, as far as it has nbformat's form: a submission's code may have said it.

And cuts it where it is too long.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from autograder.grade.model import Output
from autograder.notebook.report import MIME_TYPE

CUT = "… cut here: this is more than a cell, or a notebook, may show\n"
# What an output is cut to that scores depend on, and that therefore is never left out.
ESSENTIAL = 20_000
# What an output takes in a notebook's file besides its text.
AROUND = 100


def clean(given: object) -> list[Output]:
    """Return the outputs among `given` that a notebook may hold; the others are left out."""
    found = (_output(output) for output in given if isinstance(output, dict)) if isinstance(given, list) else ()
    return [output for output in found if output]


def cut(outputs: Sequence[Output], room: int) -> tuple[list[Output], int]:
    """Return the outputs with at most about `room` characters, saying where they are cut, and how many that are.

    Of what comes after the cut the first error, result and check's report are kept, for these decide on points.
    """
    kept: list[Output] = []
    used = 0
    essential = {"error", "execute_result", MIME_TYPE}
    full = False
    for output in outputs:
        kinds = {output["output_type"], *output.get("data", {})} & essential
        essential -= kinds
        size = AROUND + _size(output)
        if not full and used + size <= room:
            kept.append(output)
            used += size
            continue
        if not full:
            kept += _beginning(output, room - used - AROUND) if not _is_cut(kept) else ()
            used = room
            full = True
        if kinds:
            kept.append(_shortened(output))
    return kept, used


def _is_cut(kept: Sequence[Output]) -> bool:
    """Whether the last output says already that it was cut there."""
    return bool(kept) and kept[-1].get("text", "").endswith(CUT)


def _beginning(output: Output, room: int) -> list[Output]:
    """Return the beginning of an output where it is text, and a line that says that it was cut."""
    text = output["text"][: max(room - len(CUT) - 1, 0)] if output["output_type"] == "stream" else ""
    name = output.get("name", "stderr")
    return [{"output_type": "stream", "name": name, "text": f"{text}\n{CUT}" if text else CUT}]


def _size(output: Output) -> int:
    """Return how many characters an output has."""
    match output["output_type"]:
        case "stream":
            return len(output["text"])
        case "error":
            return len(output["ename"]) + len(output["evalue"]) + sum(map(len, output["traceback"]))
    return sum(len(value) if isinstance(value, str) else len(json.dumps(value)) for value in output["data"].values())


def _shortened(output: Output) -> Output:
    """Return an output with little more than what scores depend on."""
    if output["output_type"] == "error":
        short = {name: output[name][:ESSENTIAL] for name in ("ename", "evalue")}
        return {**output, **short, "traceback": [f"{short['ename']}: {short['evalue']}"]}
    data = {kind: value for kind, value in output["data"].items() if kind in ("text/plain", MIME_TYPE)}
    return {**output, "data": data if _size({**output, "data": data}) <= ESSENTIAL else {"text/plain": CUT}}


def _output(output: Mapping[str, Any]) -> Output | None:
    """Return an output with what nbformat asks of its type and no more, None where it lacks something."""
    match output:
        case {"output_type": "stream", "name": "stdout" | "stderr" as name, "text": str(text)}:
            return {"output_type": "stream", "name": name, "text": text}
        case {"output_type": "error", "ename": str(ename), "evalue": str(evalue), "traceback": list(lines)}:
            return {
                "output_type": "error",
                "ename": ename,
                "evalue": evalue,
                "traceback": [line for line in lines if isinstance(line, str)],
            }
        case {"output_type": "display_data", "data": dict(data)}:
            return {"output_type": "display_data", "data": _bundle(data), "metadata": {}}
        case {"output_type": "execute_result", "data": dict(data)}:
            # A notebook wants a count here; which one doesn't matter to anybody.
            return {"output_type": "execute_result", "data": _bundle(data), "metadata": {}, "execution_count": None}
    return None


def _bundle(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the representations that nbformat allows: text, or anything where the type is JSON."""
    return {kind: value for kind, value in data.items() if isinstance(value, str) or kind.endswith("json")}
