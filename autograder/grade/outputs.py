"""Takes what a child says a cell has shown, as far as it has nbformat's form: a submission's code may have said it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autograder.grade.model import Output


def clean(given: object) -> list[Output]:
    """Return the outputs among `given` that a notebook may hold; the others are left out."""
    found = (_output(output) for output in given if isinstance(output, dict)) if isinstance(given, list) else ()
    return [output for output in found if output]


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
