"""The honest part of the process that runs a notebook: it runs the checks, and signs whatever is told outside.

Checks don't go through the shell, where a notebook's code may have put transformers, hooks, magics and displays of its
own. What tells of the results is under a key that came before the first cell; it stands in closures alone.
"""

from __future__ import annotations

import ast
import builtins
import json
import os
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from multiprocessing.connection import Connection
from typing import Any

from _pytest.assertion.rewrite import rewrite_asserts

from autograder.grade.compare import compared
from autograder.grade.crowd import threads
from autograder.grade.model import Limits
from autograder.grade.outputs import cut
from autograder.grade.watch import watch
from autograder.kernel import Session
from autograder.notebook.runner import run_tests

MAC = 32
LENGTH = struct.Struct("!i")
BUILTINS = frozenset(name for name in vars(builtins) if not name.startswith("__"))

globals()["__builtins__"] = vars(builtins).copy()


def run_orders(
    connection: Connection,
    session: Session,
    key: bytes,
    limits: Limits,
    changed: Callable[[], list[str]],
    *,
    alone: bool,
) -> None:
    """Run the cells and checks that come over `connection` one by one, until it ends or a cell has called exit().

    `changed` names what has been replaced since `seal`. `alone` says that /proc shows nobody else's processes: what a
    cell leaves of them is told if it is more than half of what the limits allow, since those that follow couldn't start
    their own.

    An order is {"number", "source", "given": names that tests rely on and the cell makes} or {"number", "check": source
    of the tests, "needed": names of built-ins that answers define}.
    """
    made = guard(connection.fileno(), session, key, changed)
    process = os.getpid()
    while not session.ended:
        try:
            order = json.loads(connection.recv_bytes())
        except EOFError:
            return
        if "check" in order:
            said = made.check(order)
        else:
            result = session.run(order["source"])
            made.keep(order["given"])
            said = {"outputs": cut(result.outputs, limits.cell_output)[0], "execution_count": result.execution_count}
        if os.getpid() != process:
            return  # the cell has forked, and only one of the two can go on
        crowded = alone and threads() > limits.processes // 2
        made.answer({**said, "exited": session.ended, "crowded": crowded, "number": order["number"]})


@dataclass(frozen=True, slots=True)
class Guard:
    """What `serve` does with a guard, each a closure."""

    answer: Callable[[Mapping[str, Any]], None]
    keep: Callable[[list[str]], None]
    check: Callable[[Mapping[str, Any]], dict[str, Any]]


def guard(connection: int, session: Session, key: bytes, changed: Callable[[], list[str]]) -> Guard:
    """Return the guard of a process whose cells haven't begun; it tells of them over the descriptor `connection`.

    `changed` names what has been replaced since `seal`.
    """
    # Whatever is used below was taken before the notebook's code ran.
    write, pack, digest, encode = os.write, LENGTH.pack, blake2b, json.JSONEncoder().encode
    lock = threading.Lock()
    kept: dict[str, tuple[object, dict[str, object]]] = {}
    lying: list[str] = []
    shell = session.shell
    # What had been replaced at the last look, None where a cell has run since.
    seen: list[str] | None = None

    def send(said: Mapping[str, Any]) -> None:
        content = encode(said).encode()
        signed = digest(content, digest_size=MAC, key=key).digest() + content
        data = pack(len(signed)) + signed
        held = lock.acquire(timeout=1)  # a fork may have it held for ever
        try:
            while data:
                data = data[write(connection, data) :]
        finally:
            if held:
                lock.release()

    def tell(reason: str) -> None:
        if reason not in told:
            told.add(reason)
            send({"doubt": reason})

    def keep(names: list[str]) -> None:
        nonlocal seen
        seen = None
        for name in names:
            value = shell.user_ns.get(name)
            kept[name] = value, _body(value)

    def given() -> list[str]:
        """Return the lesson's own names that no longer are what the lesson made them."""
        now = shell.user_ns
        return [n for n, (value, body) in kept.items() if now.get(n) is not value or _differs(_body(value), body)]

    def check(order: Mapping[str, Any]) -> dict[str, Any]:
        """Run a check's tests; return their results, what was shown, and what had been tampered with."""
        nonlocal seen
        before = changed() if seen is None else seen
        replaced = given()
        lying.clear()
        said: dict[str, Any] = {"tests": [], "error": []}

        def run() -> None:
            try:
                said["tests"] = results(order["check"], order["needed"])
            except BaseException as error:  # KeyboardInterrupt and SystemExit end a check, not the process
                said["error"] = [type(error).__name__, str(error)]

        said["outputs"] = session.call(run)
        seen = changed()
        said["broken"] = sorted({*before, *seen})[:5]
        said["replaced"] = replaced[:5]
        said["lying"] = sorted(set(lying))[:5]
        return said

    def results(source: str, needed: list[str]) -> list[dict[str, str]]:
        tree = ast.parse(source)
        names = [name for name in map(_test_name, tree.body) if name]
        filename = shell.compile.cache(source)
        rewrite_asserts(tree, source.encode())
        learner = shell.user_ns
        # A name of the notebook that hides a built-in one would be used by the tests too.
        namespace = {name: value for name, value in dict(learner).items() if name not in BUILTINS or name in needed}
        namespace["__builtins__"] = builtins
        compared(tree, namespace, lying.append)
        exec(compile(tree, filename, "exec", dont_inherit=True), namespace)
        found = run_tests(namespace, names, learner=learner)
        return [
            {"name": t.name, "sentence": t.sentence, "outcome": str(t.outcome), "message": t.message} for t in found
        ]

    told: set[str] = set()
    watch(tell)
    return Guard(send, keep, check)


def _body(value: object) -> dict[str, object]:
    """Return what a class holds, nothing for anything else."""
    return dict(vars(value)) if isinstance(value, type) else {}


def _differs(now: Mapping[str, object], before: Mapping[str, object]) -> bool:
    """Whether functions of a class aren't those that it was made with."""
    return any(callable(value) and now.get(name) is not value for name, value in before.items())


def _test_name(node: ast.stmt) -> str:
    """Return the name of the tests that a statement defines, "" for none."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test"):
        return node.name
    return node.name if isinstance(node, ast.ClassDef) and node.name.startswith("Test") else ""
