"""Talks with a child: one order at a time, and answers that count only where they are signed."""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Mapping
from hashlib import blake2b
from hmac import compare_digest
from typing import Any

from autograder.grade.children import Child, ChildDiedError, ChildTimeoutError, answer, give, receive
from autograder.grade.given import Rules

KEY = 32
MAC = 32
# More of them say nothing more.
MOST_DOUBTS = 10
# How a lesson's code names what isn't told by the name that it has there.
NEEDED_FOR = {"__new__": ("CodeType", "__code__", "f_code", "compile"), "loads": ("marshal",)}


class Talk:
    """A talk with one child. What has to be looked at comes into `doubts`."""

    def __init__(self, child: Child, rules: Rules) -> None:
        self.child = child
        self.rules = rules
        self._key = secrets.token_bytes(KEY)
        self._number = 0
        self.doubts: list[str] = []

    def begin(self, order: Mapping[str, object], seconds: float) -> Mapping[str, Any]:
        """Wait until the child is ready, then give it the key with `order`; return what it said to be ready.

        Raises ChildTimeoutError, ChildDiedError.
        """
        ready = answer(self.child, seconds)
        if "refused" not in ready:
            give(self.child, {**order, "key": self._key.hex()})
        return ready

    def ask(self, order: Mapping[str, object]) -> None:
        """Give the next order. Raises ChildDiedError."""
        self._number += 1
        give(self.child, {**order, "number": self._number})

    def answer(self, seconds: float) -> Mapping[str, Any]:
        """Return the answer to the last order. Raises ChildTimeoutError, ChildDiedError."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            said = self._read(receive(self.child, left))
            if said is None:
                self._doubt("something else than the grader spoke in the place of the notebook's process")
            elif "doubt" in said:
                self._reached(str(said["doubt"]))
            elif said.get("number") == self._number:
                return said
        raise ChildTimeoutError

    def _read(self, message: bytes) -> Mapping[str, Any] | None:
        """Return what a message says, None where the child hasn't signed it."""
        signature, content = message[:MAC], message[MAC:]
        if not compare_digest(signature, blake2b(content, digest_size=MAC, key=self._key).digest()):
            return None
        try:
            said = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise ChildDiedError from error
        return said if isinstance(said, dict) else None

    def _reached(self, what: str) -> None:
        """Note what code of the notebook reached for, unless the lesson itself does."""
        word = re.split(r"[. ]", what)[-1]
        if not any(self.rules.allows(name) for name in NEEDED_FOR.get(word, (word,))):
            self._doubt(f"code of the notebook did what no answer needs: {what}")

    def _doubt(self, reason: str) -> None:
        """Note why a person has to look at this."""
        if reason not in self.doubts and len(self.doubts) < MOST_DOUBTS:
            self.doubts.append(reason)
