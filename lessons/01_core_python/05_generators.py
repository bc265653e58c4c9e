# %% [markdown]
# # Generators and iterators
#
# *"The export works on my machine and is killed on the real file. Make it run in 200 MB."* A junior answer puts
# `yield` in place of `return`. A senior answer knows which step of a pipeline **holds** what, when each line of a
# suspended function runs and in whose call, who closes the file when the consumer stops half-way, and what happens
# when the same iterator is read twice. This lesson is about those four things: the protocol, the suspended frame,
# ownership and memory.
#
# **Assumed**: functions, exceptions, `with`; for the last section `async`/`await` and tasks (the lesson on
# asynchronous programming). **Left out**: how an event loop drives coroutines (there), `contextlib.contextmanager`
# (the lesson on context managers), numpy and data frames. Everything is Python 3.11 or newer; what 3.12, 3.13 and
# later changed is named where it matters.

# %%
import asyncio
import contextlib
import gc
import inspect
import io
import itertools
import tempfile
import timeit
import tracemalloc
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, NamedTuple, TextIO, TypeVar

import pytest

from autograder.notebook.figures import Span, Timeline, explore

T = TypeVar("T")
D = TypeVar("D")
R = TypeVar("R")

# %% [markdown]
# ## The iterator protocol
#
# Two roles, and most bugs come from mixing them up:
#
# * an **iterable** has `__iter__`, which returns an iterator. A list, a `dict`, a `range`, a query that can be run
#   again: each call returns a **new** iterator, so each loop starts from the beginning;
# * an **iterator** has `__next__`, which returns the next item or raises `StopIteration`, and an `__iter__` that
#   returns **itself**, so that it can stand in a `for` loop too. It is a position in a stream, and there is one of it:
#   whoever takes an item has taken it from everybody else.
#
# `for item in items` is `it = iter(items)`, then `next(it)` until `StopIteration`. Once an iterator has raised
# `StopIteration` it has to go on raising it; one that doesn't is broken by definition, says the documentation. There
# is no `has_next`, no length and no way back. (`iter` also accepts objects with only a `__getitem__` that takes 0, 1,
# 2 …, and `iter(function, sentinel)` calls a function until it returns the sentinel.)
#
# One question tells the roles apart: is `iter(x) is x`? Where it is, the second pass finds nothing, and **nothing
# tells you**: no error, just an empty report.


# %%
class Countdown:
    """An iterable: its `__iter__` is a generator function, so each loop gets an iterator of its own."""

    def __iter__(self) -> Iterator[int]:
        yield from (3, 2, 1)


def squares() -> Iterator[int]:
    yield from (1, 4, 9)


candidates: dict[str, Iterable[object]] = {
    "list": [1, 2, 3],
    "range": range(3),
    "dict.items()": {"a": 1, "b": 2, "c": 3}.items(),
    "class with __iter__": Countdown(),
    "generator": squares(),
    "map": map(abs, [1, 2, 3]),
    "open file": io.StringIO("1\n2\n3\n"),
}
print(f"{'':20} iter(x) is x   first pass   second pass")
for kind, thing in candidates.items():
    print(f"{kind:20} {iter(thing) is thing!s:12} {len(list(thing)):>12} {len(list(thing)):>13}")

# %% [markdown]
# So a function that needs **two** passes should say so in its signature (`Sequence`, `Collection`) or refuse an
# iterator (`if iter(items) is items: raise TypeError`); a function that needs one takes `Iterable` and makes one pass.
# `mypy` doesn't see the difference: every iterator is an `Iterable`.
#
# The other rule is about **how far** a step reads. On a list nobody notices one item too many. On a socket, a queue or
# a paid API the extra `next` blocks, loses a message or costs money. That's the first exercise.

# %% [markdown] exercise lookahead topic=generators-and-iterators level=senior minutes=12
# ## Exercise: Not one line too far
#
# A clearing house sends statements over a connection that stays open: header lines, records, a trailer, and then it is
# silent until you acknowledge. Each `next` on your iterator of lines blocks until the peer has sent one, so code that
# reads one line "to see whether there is more" hangs with the acknowledgement unsent. Write the wrapper that the
# parser is built on.
#
# `Lookahead(items)` takes any iterable, calls `iter(items)` once, and is itself an **iterator** over its items.
#
# * Nothing is taken from the source before it is asked for, and never more than one item that hasn't been handed out.
# * `peek(default)` returns the next item and leaves it there; where there is none it returns `default`. It takes at
#   most one item from the source, however often it is called. Any object may be an item, `None` too.
# * `take(count)` returns a list of the next `count` items, or of all that are left where there are fewer. It takes
#   exactly those from the source, and none for `take(0)`. A negative `count` is a `ValueError`.
# * `take_while(test)` returns a lazy iterator over the next items as long as `test(item)` is true. Items that others
#   take meanwhile aren't in it. It ends before the first item that fails, and **that item is still there**, as is
#   everything after it. Each item is tested once, when its turn comes. An item counts as consumed as soon as the
#   iterator hands it out: whoever stops there finds the item after it.
# * When the source has raised `StopIteration` it isn't asked again. Any other exception of the source is passed on,
#   and the next call asks the source again. (The items that a failing `take` had already got are lost, and a run of
#   `take_while` that an exception came out of may be over; a new one goes on.)
#
# ```python
# >>> lines = Lookahead(["H1", "H2", "R1", "T"])
# >>> list(lines.take_while(lambda line: line.startswith("H")))
# ['H1', 'H2']
# >>> lines.peek("none"), lines.take(1), next(lines)
# ('R1', ['R1'], 'T')
# >>> lines.peek("none"), lines.take(5)
# ('none', [])
# >>> next(lines)
# Traceback (most recent call last):
# StopIteration
# ```


# %% solution lookahead
class Lookahead(Generic[T]):
    """An iterator that can be asked what comes next without taking it."""

    def __init__(self, items: Iterable[T]) -> None:
        # BEGIN SOLUTION
        self._source = iter(items)
        self._ahead: list[T] = []
        self._ended = False
        # END SOLUTION

    def __iter__(self) -> Iterator[T]:
        # BEGIN SOLUTION
        return self
        # END SOLUTION

    def __next__(self) -> T:
        # BEGIN SOLUTION
        if not self._fill():
            raise StopIteration
        return self._ahead.pop()
        # END SOLUTION

    def peek(self, default: D) -> T | D:
        """Return the next item and leave it there; `default` at the end."""
        # BEGIN SOLUTION
        return self._ahead[0] if self._fill() else default
        # END SOLUTION

    def take(self, count: int) -> list[T]:
        """Return the next `count` items, or those that are left."""
        # BEGIN SOLUTION
        return list(itertools.islice(self, count))
        # END SOLUTION

    def take_while(self, test: Callable[[T], bool]) -> Iterator[T]:
        """Yield the next items as long as they pass the test; the first that fails stays."""
        # BEGIN SOLUTION
        while self._fill() and test(self._ahead[0]):
            yield self._ahead.pop()

    def _fill(self) -> bool:
        """Whether there is a next item, which then stands in `_ahead`."""
        if not self._ahead and not self._ended:
            for item in self._source:
                self._ahead.append(item)
                break
            else:
                self._ended = True
        return bool(self._ahead)
        # END SOLUTION


# %% check lookahead points=2
def test_hands_out_the_items_in_order() -> None:
    lines = Lookahead("abc")
    assert iter(lines) is lines, "an iterator's __iter__ returns itself: a second one would have a position of its own"
    assert list(lines) == ["a", "b", "c"], "without looking ahead it is an ordinary iterator"


def test_peek_shows_what_next_hands_out() -> None:
    lines = Lookahead("ab")
    assert (lines.peek("-"), lines.peek("-"), next(lines)) == ("a", "a", "a"), "peek leaves the item where it is"
    assert (next(lines), lines.peek("-")) == ("b", "-"), "at the end peek gives the default"


def test_the_item_that_ends_a_run_is_still_there() -> None:
    lines = Lookahead([1, 2, 30, 3])
    run = list(lines.take_while(lambda number: number < 10))
    assert run == [1, 2]
    assert list(lines) == [30, 3], "the item that failed the test belongs to whoever reads on"


# %% hidden lookahead points=4
class Feed:
    """An iterator that counts how often it is asked, and may fail at some of the calls."""

    def __init__(self, items: Iterable[object], fails_at: int = 0) -> None:
        self.items = iter(items)
        self.asked = 0
        self.fails_at = fails_at

    def __iter__(self) -> "Feed":
        return self

    def __next__(self) -> object:
        self.asked += 1
        if self.asked == self.fails_at:
            raise TimeoutError("the peer is silent")
        return next(self.items)


def test_nothing_is_read_before_it_is_asked_for() -> None:
    feed = Feed("abc")
    lines = Lookahead(feed)
    run = lines.take_while(lambda line: True)
    assert feed.asked == 0, "making a Lookahead, or a run that nobody has asked yet, must not block on the connection"
    assert (next(run), feed.asked) == ("a", 1), "one item handed out is one item read"
    assert (next(lines), feed.asked) == ("b", 2)


def test_peek_reads_one_item_however_often() -> None:
    feed = Feed("abc")
    lines = Lookahead(feed)
    for _ in range(5):
        lines.peek("-")
    assert feed.asked == 1, "the item that was looked at is kept, not read again"
    assert (next(lines), feed.asked) == ("a", 1), "and next hands out the one that is kept"


@pytest.mark.parametrize(("peeks", "count"), [(0, 2), (1, 2), (0, 0), (1, 0), (1, 1)])
def test_take_reads_exactly_what_it_returns(peeks: int, count: int) -> None:
    feed = Feed("abcd")
    lines = Lookahead(feed)
    for _ in range(peeks):
        lines.peek("-")
    assert lines.take(count) == list("abcd"[:count]), "an item that peek showed is the first that take returns"
    assert feed.asked == max(peeks, count), "one line more, and the program waits for a peer who waits for it"


def test_a_run_reads_no_further_than_its_end() -> None:
    feed = Feed([1, 2, 30, 3])
    list(Lookahead(feed).take_while(lambda number: number != 30))
    assert feed.asked == 3, "the item that fails has to be read, the one after it not"


def test_each_item_is_tested_once() -> None:
    tested: list[int] = []

    def small(number: int) -> bool:
        tested.append(number)
        return number < 10

    lines = Lookahead([1, 2, 30])
    list(lines.take_while(small))
    assert tested == [1, 2, 30], "a test may be expensive (a checksum, a look-up): once for each item"


def test_runs_follow_each_other() -> None:
    lines = Lookahead("aabbbc")
    runs = []
    while (first := lines.peek("")) != "":
        runs.append("".join(lines.take_while(lambda line, first=first: line == first)))  # type: ignore[misc]
    assert runs == ["aa", "bbb", "c"], "this is how a parser uses it: look, then take the run"


def test_a_run_may_be_empty() -> None:
    lines = Lookahead([30])
    assert list(lines.take_while(lambda number: number < 10)) == []
    assert lines.take(2) == [30], "a run of no items has taken none"


def test_a_reader_who_stops_in_a_run_finds_the_item_after() -> None:
    lines = Lookahead([1, 2, 3])
    for _ in lines.take_while(lambda number: True):
        break
    assert next(lines) == 2, "the item that was handed out is consumed, though the run wasn't asked for another"


def test_a_run_goes_on_where_the_stream_stands() -> None:
    lines = Lookahead([1, 2, 3, 4])
    run = lines.take_while(lambda number: number < 4)
    assert (next(run), next(lines), list(run)) == (1, 2, [3]), "the run has no items of its own: it reads the stream"


@pytest.mark.parametrize("item", [None, 0, "", False, StopIteration])
def test_any_object_is_an_item(item: object) -> None:
    lines = Lookahead([item, "last"])
    assert lines.peek("-") is item, f"{item!r} is an item like any other, not a sign of the end"
    assert lines.take(2) == [item, "last"]


def test_the_end_is_asked_for_once() -> None:
    feed = Feed("a")
    lines = Lookahead(feed)
    assert lines.take(3) == ["a"], "at the end take returns what is left"
    assert (lines.take(1), lines.peek("-"), list(lines)) == ([], "-", []), "the end stays the end"
    assert feed.asked == 2, "after StopIteration the source isn't asked again: a live connection would block"


def test_an_error_of_the_source_passes_and_can_be_tried_again() -> None:
    lines = Lookahead(Feed("ab", fails_at=1))
    with pytest.raises(TimeoutError):
        lines.peek("-")
    assert (lines.peek("-"), lines.take(2)) == ("a", ["a", "b"]), "a timeout isn't the end of the stream"


def test_an_error_of_the_source_in_a_run_isnt_the_end() -> None:
    lines = Lookahead(Feed("abc", fails_at=2))
    run = lines.take_while(lambda line: True)
    assert next(run) == "a"
    with pytest.raises(TimeoutError):
        next(run)
    assert list(lines.take_while(lambda line: True)) == ["b", "c"], "the stream goes on after a timeout in a run"


def test_a_negative_count_is_refused() -> None:
    lines = Lookahead("ab")
    with pytest.raises(ValueError, match=r"."):
        lines.take(-1)
    assert list(lines) == ["a", "b"], "what was refused has taken nothing"


def test_takes_one_iterator_from_an_iterable() -> None:
    made: list[int] = []

    class Statement:
        def __iter__(self) -> Iterator[str]:
            made.append(1)
            return iter("ab")

    lines = Lookahead(Statement())
    assert (lines.peek("-"), next(lines), next(lines)) == ("a", "a", "b")
    assert len(made) == 1, "each iter() of an iterable begins again (another query, another connection)"


# %% wrong lookahead fails=test_the_item_that_ends_a_run_is_still_there
# "itertools.takewhile does that": it has to read the item that fails, and has nowhere to put it back.
class Lookahead(Generic[T]):
    """An iterator that can be asked what comes next without taking it."""

    def __init__(self, items: Iterable[T]) -> None:
        self._items = iter(items)

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        return next(self._items)

    def peek(self, default: D) -> T | D:
        """Return the next item and leave it there; `default` at the end."""
        for item in self._items:
            self._items = itertools.chain([item], self._items)
            return item
        return default

    def take(self, count: int) -> list[T]:
        """Return the next `count` items, or those that are left."""
        return list(itertools.islice(self, count))

    def take_while(self, test: Callable[[T], bool]) -> Iterator[T]:
        """Yield the next items as long as they pass the test; the first that fails stays."""
        return itertools.takewhile(test, self)


# %% wrong lookahead fails=test_nothing_is_read_before_it_is_asked_for
# "Always keep one item ready": it reads ahead of every request, so the program hangs after the last useful line.
class Lookahead(Generic[T]):
    """An iterator that can be asked what comes next without taking it."""

    def __init__(self, items: Iterable[T]) -> None:
        self._source = iter(items)
        self._ahead = list(itertools.islice(self._source, 1))

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        if not self._ahead:
            raise StopIteration
        item = self._ahead[0]
        self._ahead = list(itertools.islice(self._source, 1))
        return item

    def peek(self, default: D) -> T | D:
        """Return the next item and leave it there; `default` at the end."""
        return self._ahead[0] if self._ahead else default

    def take(self, count: int) -> list[T]:
        """Return the next `count` items, or those that are left."""
        return list(itertools.islice(self, count))

    def take_while(self, test: Callable[[T], bool]) -> Iterator[T]:
        """Yield the next items as long as they pass the test; the first that fails stays."""
        while self._ahead and test(self._ahead[0]):
            yield next(self)


# %% wrong lookahead fails=test_any_object_is_an_item
# "None means there is nothing": an item that is None is looked at and never handed out.
class Lookahead(Generic[T]):
    """An iterator that can be asked what comes next without taking it."""

    def __init__(self, items: Iterable[T]) -> None:
        self._source = iter(items)
        self._ahead: T | None = None

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        item, self._ahead = self._ahead, None
        return next(self._source) if item is None else item

    def peek(self, default: D) -> T | D:
        """Return the next item and leave it there; `default` at the end."""
        if self._ahead is None:
            self._ahead = next(self._source, None)
        return default if self._ahead is None else self._ahead

    def take(self, count: int) -> list[T]:
        """Return the next `count` items, or those that are left."""
        return list(itertools.islice(self, count))

    def take_while(self, test: Callable[[T], bool]) -> Iterator[T]:
        """Yield the next items as long as they pass the test; the first that fails stays."""
        for item in self:
            if not test(item):
                self._ahead = item
                return
            yield item


# %% wrong lookahead fails=test_a_reader_who_stops_in_a_run_finds_the_item_after
# "Hand it out, then move on": a generator that is left at its yield never comes to the line after it.
class Lookahead(Generic[T]):
    """An iterator that can be asked what comes next without taking it."""

    def __init__(self, items: Iterable[T]) -> None:
        self._source = iter(items)
        self._ahead: list[T] = []

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        return self._ahead.pop() if self._ahead else next(self._source)

    def peek(self, default: D) -> T | D:
        """Return the next item and leave it there; `default` at the end."""
        if not self._ahead:
            self._ahead.extend(itertools.islice(self._source, 1))
        return self._ahead[0] if self._ahead else default

    def take(self, count: int) -> list[T]:
        """Return the next `count` items, or those that are left."""
        return list(itertools.islice(self, count))

    def take_while(self, test: Callable[[T], bool]) -> Iterator[T]:
        """Yield the next items as long as they pass the test; the first that fails stays."""
        self.peek(None)
        while self._ahead and test(self._ahead[0]):
            yield self._ahead[0]
            self._ahead.pop()
            self.peek(None)


# %% right lookahead
class Lookahead(Generic[T]):
    """An iterator that can be asked what comes next without taking it."""

    _END: Any = object()

    def __init__(self, items: Iterable[T]) -> None:
        self._source: Iterator[T] | None = iter(items)
        self._ahead: Any = self._END

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        item, self._ahead = self._ahead, self._END
        if item is not self._END:
            return item
        if self._source is None:
            raise StopIteration
        try:
            return next(self._source)
        except StopIteration:
            self._source = None
            raise

    def peek(self, default: D) -> T | D:
        """Return the next item and leave it there; `default` at the end."""
        self._ahead = next(self, self._END)
        return default if self._ahead is self._END else self._ahead

    def take(self, count: int) -> list[T]:
        """Return the next `count` items, or those that are left."""
        if count < 0:
            raise ValueError(f"can't take {count} items")
        return [item for _, item in zip(range(count), self, strict=False)]

    def take_while(self, test: Callable[[T], bool]) -> Iterator[T]:
        """Yield the next items as long as they pass the test; the first that fails stays."""
        for item in self:
            if not test(item):
                self._ahead = item
                break
            yield item


# %% [markdown] hint lookahead
# You need a place for at most one item that has been read and not handed out. How do you tell "the place is empty"
# from "the item is `None`"? And where do you remember that the source has ended?

# %% [markdown] hint lookahead
# Write one private method: *if the place is empty and the source hasn't ended, read one item into it; say whether it
# holds one now*. All the other methods begin with it. A list of no or one item is a place that can hold anything.

# %% [markdown] hint lookahead
# `take` is `list(itertools.islice(self, count))`: `islice` reads no further than it must and refuses negative numbers.
# `take_while` is a generator: `while self._fill() and test(self._ahead[0]): yield self._ahead.pop()`. The `pop`
# happens before the suspension, so a reader who stops has consumed the item.

# %% [markdown] after lookahead
# **Why it looks like that.** One method reads, everybody else goes through it, so "at most one ahead" and "the end is
# asked for once" are true in one place. A list as the place for one item needs no sentinel; a private `_END =
# object()` is the other usual form. `for … break … else` on an iterator is "one `next`, without the `StopIteration`".
#
# **Costs.** Each item passes through two Python calls more than in the bare source. For a hot loop over millions of
# items, read in batches below it. `peek` by `itertools.chain([item], self._items)` (the first wrong answer) gives the
# right items and nests one `chain` deeper at each call, so that every later `next` walks through all of them.
#
# **What `zip` does here.** `zip(range(count), self)` takes exactly `count` items; `zip(self, range(count))` takes one
# more and throws it away, since it asks its first argument before it finds that the second has ended. The same line
# with the arguments swapped is a bug.
#
# **The interviewer goes on**: *`take(3)` gets two items and then a `TimeoutError`: where are the two? (Lost. Either
# keep a buffer of more than one, or promise all-or-nothing.) How would you look two items ahead? more-itertools has
# `peekable`: would you use it?*

# %% [markdown]
# ## A generator is a frame that can be put aside
#
# Calling a function with a `yield` in it runs none of its body. It returns a **generator**: an iterator that owns the
# function's frame (local variables, the place in the code, the stack of open `try` and `with` blocks). `next` runs the
# frame to its next `yield`, in the **caller's** thread and on the caller's stack, then puts it aside. So:
#
# * nothing runs until somebody asks, *argument checks included*;
# * an exception comes out of the `next` that ran into it, far from the call that made the generator;
# * `return value` ends it; the value travels in `StopIteration.value`, which a `for` loop throws away;
# * after an exception has left it, or after its end, it is finished for good.


# %%
def offsets(lines: Iterable[str]) -> Iterator[str]:
    end = 0
    for line in lines:
        end += len(line)
        yield f"{line} ends at {end}"


def look(generator: Any) -> str:
    frame = generator.gi_frame
    where = f"line {frame.f_lineno - frame.f_code.co_firstlineno} of the body" if frame else "no frame any more"
    kept = {name: value for name, value in frame.f_locals.items() if name != "lines"} if frame else {}
    return f"{inspect.getgeneratorstate(generator):14} {where:22} {kept}"


steps = offsets(["alpha", "beta"])
print(f"{'(called)':17}", look(steps))
print(f"{next(steps)!r:17}", look(steps))
print(f"{next(steps)!r:17}", look(steps))
print(f"{next(steps, 'the end')!r:17}", look(steps))

# %% [markdown]
# What does it cost? Below, a generator object is measured with `tracemalloc`, and the same sum is made from a list, a
# generator and a hand-written iterator class.


# %%
class Doubled:
    """The iterator that a generator function saves you from writing."""

    def __init__(self, count: int) -> None:
        self.number, self.count = -1, count

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        self.number += 1
        if self.number == self.count:
            raise StopIteration
        return 2 * self.number


def doubled(count: int) -> Iterator[int]:
    for number in range(count):
        yield 2 * number


def peak_bytes(work: Callable[[], object]) -> int:
    """Return how many bytes `work` needed at its highest point, beyond what was there before."""
    gc.collect()
    tracing = tracemalloc.is_tracing()
    if not tracing:
        tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        work()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        if not tracing:
            tracemalloc.stop()


def best_seconds(work: Callable[[], object]) -> float:
    """Return the shortest of five runs: the others were disturbed."""
    return min(timeit.repeat(work, number=1, repeat=5))


COUNT = 20_000
print(f"one suspended generator: {peak_bytes(lambda: [doubled(1) for _ in range(1000)]) / 1000:.0f} bytes")
ways: dict[str, Callable[[], int]] = {
    "list comprehension": lambda: sum([2 * number for number in range(COUNT)]),
    "generator": lambda: sum(doubled(COUNT)),
    "iterator class": lambda: sum(Doubled(COUNT)),
}
print(f"\n{'sum of 20,000 numbers':24} {'ns an item':>10} {'peak bytes':>12}")
for way, run in ways.items():
    print(f"{way:24} {best_seconds(run) / COUNT * 1e9:10.0f} {peak_bytes(run):12,}")

# %% [markdown]
# A generator costs about 200 bytes and some tens of nanoseconds an item: an interpreter frame is resumed, no new one
# is made. (Since 3.11 the frame lies inside the generator object; since 3.12 a `for` loop over a generator is
# specialised to jump into it.) The class usually costs two to four times that, since each `__next__` is a Python call.
# The list is often the *fastest* of the three, and needs memory for all of it. That is the trade: **generators buy
# memory and early results, not speed**. For a few thousand items that are read twice, make a list.
#
# ## Memory-efficient data processing: pipelines
#
# Generators compose. Each stage takes an iterable and yields; the last one pulls; an item travels through all the
# stages before the next one is read. Memory is what the stages **hold**, not what passes through them. The figure runs
# a real pipeline (read, parse, write) and notes who works when. The slider `batch` says how many items a stage
# collects before it hands them on: 1 is a plain generator, all of them is a list at every stage.


# %%
def draw_pipeline(lines: int, batch: int) -> Timeline:
    """Run read → parse → write, each handing on `batch` items at a time, and draw who works when."""
    spans: list[Span] = []
    held = most = 0

    def work(stage: str) -> None:
        spans.append(Span(stage, len(spans), len(spans) + 1, stage))

    def stage(name: str, items: Iterable[int]) -> Iterator[int]:
        for item in items:
            work(name)
            yield item

    def collected(items: Iterator[int]) -> Iterator[int]:
        nonlocal held, most
        while group := list(itertools.islice(items, batch)):
            held += len(group)
            most = max(most, held)
            yield from group
            held -= len(group)

    for _ in collected(stage("parse", collected(stage("read", range(lines))))):
        work("write")
    first = next(span.end for span in spans if span.label == "write")
    title = f"{lines} lines, {batch} at a time: first line written after {first:g} steps, at most {most} items held"
    return Timeline(spans, title, unit="steps")


explore(draw_pipeline, lines=(4, 24, 12), batch=(1, 24, 1))

# %% [markdown]
# And everything in lists:

# %%
draw_pipeline(12, 12)

# %% [markdown]
# The work is the same; what differs is when the first result is there and how much is held. In real bytes, on a
# synthetic log of 100 bytes a line in a temporary folder:


# %%
def write_log(path: Path, lines: int) -> None:
    with path.open("w", encoding="utf-8") as log:
        log.writelines(f"{number % 1440:04} GET /items/{number:>75} {number % 7:>9}\n" for number in range(lines))


def slow_in_lists(path: Path) -> int:
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = [line.rsplit(maxsplit=1) for line in lines]
    return len([row for row in rows if row[-1] == "6"])


def slow_in_stages(path: Path) -> int:
    with path.open(encoding="utf-8") as log:
        rows = (line.rsplit(maxsplit=1) for line in log)
        return sum(1 for row in rows if row[-1] == "6")


peaks: dict[int, int] = {}
print(f"{'lines':>8} {'file':>10} {'lists':>12} {'generators':>12}")
with tempfile.TemporaryDirectory() as folder:
    for size in (500, 5_000, 50_000):
        log_path = Path(folder, f"{size}.log")
        write_log(log_path, size)
        assert slow_in_lists(log_path) == slow_in_stages(log_path)
        in_lists = peak_bytes(lambda path=log_path: slow_in_lists(path))  # type: ignore[misc]
        peaks[size] = peak_bytes(lambda path=log_path: slow_in_stages(path))  # type: ignore[misc]
        print(f"{size:8,} {log_path.stat().st_size:10,} {in_lists:12,} {peaks[size]:12,}")
assert peaks[50_000] < peaks[500] + 20_000, "a hundred times the file, the same memory"

# %% [markdown]
# The right column doesn't depend on the file: one line, one list of fields, the reader's buffer, a few frames.
#
# **What breaks it.** One step that has to see everything: `sorted`, `list`, `set`, `max` of a *materialised* list,
# `"".join`, `json.load`, `f(*items)`, `reversed`, `groupby` whose group is made a list, `tee` whose two readers are
# far apart, `executor.map` (which submits *all* its input before it gives the first result; 3.14 adds `buffersize`). A
# pipeline needs as much memory as its greediest stage. Where a step needs everything, go outside the process
# (`sort(1)`, SQL's `ORDER BY`), sort runs on disk and `heapq.merge` them lazily, or keep an aggregate (count, sum,
# `heapq.nlargest(k, …)`) in place of the items.
#
# **When not.** Data that fits and is used twice; results that are indexed; a hot loop over numbers (numpy moves them
# at a nanosecond each); an API whose callers expect errors at the call.

# %% [markdown] exercise memory_budget topic=generators-and-iterators level=core minutes=5
# ## Exercise: Will it fit?
#
# A nightly job has a container of 512 MiB (1 MiB is 2^20 bytes). Its input is a file of five million lines. Each line
# is 120 ASCII characters and a newline and holds one price. Before anybody writes code you say what each design needs.
#
# Take it that a `str` of n ASCII characters needs 49 + n bytes (CPython 3.11; from 3.12 it is 41 + n), a `float` 24,
# and a reference in a list, tuple or in `tee`'s buffer 8. Leave out headers of containers, over-allocation, the sort's
# scratch space (up to 4 bytes an item) and the file's buffer. No object is shared or cached. Return bytes at the
# highest point, under these keys (0.1 % off is accepted):
#
# * `"all_lines"`: `lines = list(file)`
# * `"most_lines"`: not bytes: how many lines of such a list fit into the 512 MiB
# * `"sorted_prices"`: `sorted(float(line) for line in file)`
# * `"in_batches"`: `for batch in batched(file, 1000): store(batch)`, where `batched` makes a new tuple for each batch
#   and `store` keeps nothing. Mind what the name `batch` refers to **while the next tuple is made**
# * `"tee"`: `a, b = itertools.tee(float(line) for line in file)`, then `mean = sum(a) / 5_000_000`, then a loop over
#   `b`
#
# ```python
# >>> sorted(memory_budget())
# ['all_lines', 'in_batches', 'most_lines', 'sorted_prices', 'tee']
# >>> memory_budget()["in_batches"] < 2**20 < memory_budget()["all_lines"]
# True
# ```


# %% solution memory_budget
def memory_budget() -> dict[str, float]:
    """Return the five estimates by name."""
    # BEGIN SOLUTION
    lines = 5 * 10**6
    line = 8 + 49 + 121
    price = 8 + 24
    return {
        "all_lines": lines * line,
        "most_lines": 512 * 2**20 / line,
        "sorted_prices": lines * price,
        "in_batches": 2 * 10**3 * line,
        "tee": lines * price,
    }
    # END SOLUTION


# %% check memory_budget points=1
def test_a_list_of_all_lines() -> None:
    expected = pytest.approx(890e6, rel=1e-3)
    assert memory_budget()["all_lines"] == expected, "5,000,000 × (8 + 49 + 121): half as much again as the file"


def test_how_many_lines_fit() -> None:
    expected = pytest.approx(3_016_105, rel=1e-3)
    assert memory_budget()["most_lines"] == expected, "512 × 2^20 bytes at 178 a line: the job dies at 60 % of the file"


# %% hidden memory_budget points=1
def test_sorting_holds_every_price_and_no_line() -> None:
    expected = pytest.approx(160e6, rel=1e-3)
    assert memory_budget()["sorted_prices"] == expected, "every float and a reference to it; each line is gone by then"


def test_two_batches_are_alive_at_once() -> None:
    expected = pytest.approx(356_000, rel=1e-3)
    assert memory_budget()["in_batches"] == expected, "the loop's name holds the old batch while the new one is made"


def test_tee_holds_what_lies_between_its_readers() -> None:
    expected = pytest.approx(160e6, rel=1e-3)
    assert memory_budget()["tee"] == expected, "the first reader is at the end and the second at the start: everything"


# %% wrong memory_budget fails=test_tee_holds_what_lies_between_its_readers
# "tee is lazy, so it holds nothing": it holds all that one reader has seen and the other hasn't.
def memory_budget() -> dict[str, float]:
    """Return the five estimates by name."""
    return {"all_lines": 890e6, "most_lines": 3_016_105, "sorted_prices": 160e6, "in_batches": 356e3, "tee": 24}


# %% wrong memory_budget fails=test_two_batches_are_alive_at_once
# "One batch at a time": the name in the for loop still refers to the last one while the next is made.
def memory_budget() -> dict[str, float]:
    """Return the five estimates by name."""
    return {"all_lines": 890e6, "most_lines": 3_016_105, "sorted_prices": 160e6, "in_batches": 178e3, "tee": 160e6}


# %% wrong memory_budget fails=test_a_list_of_all_lines
# "As big as the file": the size on disk leaves out the objects and the references to them.
def memory_budget() -> dict[str, float]:
    """Return the five estimates by name."""
    return {"all_lines": 605e6, "most_lines": 4_437_000, "sorted_prices": 40e6, "in_batches": 242e3, "tee": 40e6}


# %% [markdown] hint memory_budget
# For each design ask: at the worst moment, which objects can still be reached, and through what? A line is its
# characters, the newline, the header of the `str` and a reference to it.

# %% [markdown] hint memory_budget
# One line in a list is 8 + 49 + 121 bytes, one price 8 + 24. `sorted` first makes a list of all it gets. `tee` keeps
# what one of its readers has had and the other hasn't. In `for batch in …` the name is bound anew only when the next
# batch is there.

# %% [markdown] after memory_budget
# 890 MB, 3,016,105 lines, 160 MB, 356 kB, 160 MB. Measured by `tracemalloc` at a fiftieth of the size on CPython 3.11:
# 178.0 bytes a line in the list, 32.0 a float in `sorted` (36.0 at the peak where the prices aren't in order already:
# merging takes room for up to half of the references), 33.0 in `tee` (its buffer is a chain of blocks of 57
# references, with headers), 357 kB for the batches. On 3.12 and 3.13 the C version of `batched` came to 341 kB, with
# the smaller `str`.
#
# **The two that surprise.** `tee` whose readers run one after the other is a list with extra steps; the documentation
# advises `list` there. For two aggregates make one pass and compute both. And a loop over batches holds **two** of
# them: with batches of 100 MB in a container of 150 MB that is the difference between running and not. `del batch` at
# the end of the loop's body brings 3.13's `itertools.batched` down to 171 kB. A `batched` in Python has a name for the
# batch in its own frame, and needs a `del` after its `yield` too.
#
# **The interviewer goes on**: *The container is killed although Python's numbers say 200 MB: what else counts? (RSS:
# the allocator's fragments, C libraries' buffers, page cache in some accounting.) How would you sort the whole lines
# within the 512 MiB?*

# %% [markdown]
# ## itertools: know what each one holds
#
# The module is the standard stock of stages, in C. What an interviewer asks is not the names but two columns:
#
# | stage | holds | reads |
# | --- | --- | --- |
# | `chain`, `islice`, `starmap`, `filterfalse`, `compress` | nothing | one for one |
# | `accumulate`, `pairwise` | one item | one for one |
# | `takewhile`, `dropwhile` | nothing | one beyond the run, which `takewhile` loses |
# | `zip` | nothing | the first argument one too far, when a later one is shorter |
# | `groupby` | nothing: a group is a view of the stream | one beyond the group |
# | `batched(items, n)` (3.12; `strict=` in 3.13) | n items | n |
# | `tee` | what lies between the fastest and the slowest reader | with the fastest |
# | `cycle` | all items | one for one |
# | `product`, `permutations`, `combinations` | all their input | **all of it at the call** |
#
# `zip(..., strict=True)` raises instead of dropping what is left. `groupby` groups *neighbours*: sort first, or it
# gives the same key twice. Before 3.12 you write `batched` yourself, and should be able to in an interview:


# %%
def batched(items: Iterable[T], size: int) -> Iterator[tuple[T, ...]]:
    """Yield tuples of `size` items, the last perhaps shorter."""
    if size < 1:
        raise ValueError("size must be at least one")
    iterator = iter(items)
    while batch := tuple(itertools.islice(iterator, size)):
        yield batch


print("batched  :", list(batched("abcdefg", 3)))

stream = iter(range(10))
print("zip      :", list(zip(stream, "ab", strict=False)), "and the stream goes on at", next(stream))

stream = iter(range(10))
print("takewhile:", list(itertools.takewhile(lambda n: n < 3, stream)), "and the stream goes on at", next(stream))

groups = [(key, group) for key, group in itertools.groupby("aab")]
print("groupby  :", [(key, list(group)) for key, group in groups], "after the stream has moved on")

try:
    print("batched  :", (lazy := batched("abc", 0)), "(no error yet)")
    next(lazy)
except ValueError as error:
    print("next     : ValueError:", error)

# %% [markdown]
# Two items are lost (2 by `zip`, 3 by `takewhile`), two groups are empty, and the check of `size` runs only at the
# first `next`, perhaps in another module. Where that matters, check in an ordinary function and return an inner
# generator.
#
# ## Where laziness bites
#
# A lazy expression is a promise to compute *later, once, with what is there then*. Each of these words is a bug:
#
# * **later**: the file, connection or transaction is closed before the first item is asked for. And an error surfaces
#   in the consumer, outside the `try` that stands round the producer;
# * **once**: the second pass is empty. `in`, `any` and `all` consume up to where they stop, too;
# * **with what is there then**: a generator expression evaluates its *first* iterable at once and everything else
#   late, so a name that changes meanwhile changes the result;
# * **compute**: nobody asks, nothing happens. `map(save, rows)` as a statement saves nothing.


# %%
def closed_too_soon(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8") as log:
        return (line.strip() for line in log)


with tempfile.TemporaryDirectory() as folder:
    (small := Path(folder, "small.log")).write_text("one\ntwo\n", encoding="utf-8")
    promise = closed_too_soon(small)
    try:
        next(promise)
    except ValueError as error:
        print("later              :", error)

ids = (number for number in (3, 1, 2))
print("once               :", 1 in ids, 3 in ids, list(ids))

filters: Iterable[int] = range(20)
for divisor in (2, 3):
    filters = (number for number in filters if number % divisor)
print("what is there then :", list(filters), "- the 2 was never applied: both see divisor = 3")

saved: list[int] = []
map(saved.append, [1, 2, 3])
print("compute            :", saved)

# %% [markdown]
# ### StopIteration inside a generator (PEP 479)
#
# `StopIteration` means "the end" to whoever called `next`. A bare `next(rows)` **inside** a generator could therefore
# end the *outer* stream silently when `rows` is empty: half a report, no error. Since Python 3.7 the interpreter turns
# a `StopIteration` that would leave a generator's frame into `RuntimeError: generator raised StopIteration`. The cure
# is to say what should happen: `next(rows, default)`, a `for` loop, or `try: … except StopIteration: return`. In a
# function that isn't a generator (a `__next__`, a function passed to `map`) nothing protects you: the loop just ends.


# %%
def with_header(rows: Iterator[str]) -> Iterator[str]:
    header = next(rows)
    for row in rows:
        yield f"{header}={row}"


def first_price(order: list[int]) -> int:
    return next(iter(order))


print("a generator  :", list(with_header(iter(["price", "3", "4"]))))
try:
    list(with_header(iter([])))
except RuntimeError as error:
    print("on no rows   : RuntimeError:", error)
print("map, silently:", list(map(first_price, [[3, 1], [], [5]])), "of three orders")

# %% [markdown]
# For the next exercise: a parser, and logs in memory that note what is opened, read and closed.


# %%
class Request(NamedTuple):
    """One line of an access log; `minute` counts from midnight."""

    minute: int
    path: str
    status: int
    ms: int


class Minute(NamedTuple):
    """What happened in one minute; `slowest` in milliseconds."""

    minute: int
    total: int
    errors: int
    slowest: int


def parse_request(line: str) -> Request | None:
    """Return the request of a line like `10:15:07 GET /cart 200 31`, None where it isn't one."""
    match line.split():
        case [clock, _, path, status, ms] if status.isdigit() and ms.isdigit():
            return Request(60 * int(clock[:2]) + int(clock[3:5]), path, int(status), int(ms))
    return None


class Logs:
    """Logs in memory by name; `open` is an `open_log`, and `seen` tells what was done."""

    def __init__(self, **texts: str) -> None:
        self.texts = texts
        self.seen: list[str] = []

    def open(self, name: str) -> TextIO:
        """Open a log for reading."""
        logs = self

        class Log(io.StringIO):
            def __next__(self) -> str:  # type: ignore[override]
                line = super().__next__()
                logs.seen.append(f"read {name}")
                return line

            def close(self) -> None:
                if not self.closed:
                    logs.seen.append(f"close {name}")
                super().close()

        self.seen.append(f"open {name}")
        return Log(self.texts[name])


# %% [markdown] exercise access_report topic=generators-and-iterators level=core minutes=8
# ## Exercise: Fix the report
#
# A colleague made the access report lazy, "so that it can take the 40 GB of Black Friday". It was tried by looking at
# its type. Now it crashes on the first file, and a day without traffic crashes it in another place. Fix the three
# functions; keep the signatures.
#
# * `read_requests(names, open_log)` yields the requests of the logs, log by log, line by line; no line is read before
#   a request is asked for. Lines that aren't requests (`parse_request` gives `None`) are left out. `open_log(name)`
#   returns an open text file. It is called when the first line of that log is needed, and the file is closed when its
#   lines are used up, **before** the next one is opened, and also when the generator is closed half-way.
# * `per_minute(requests)` takes any iterable of requests, also one that can be read only once, and yields a `Minute`
#   for each run of neighbours of the same minute (the same minute may come again later, and is a run of its own): how
#   many requests, how many of them with a status of 500 or more, and the largest `ms`. A minute is yielded as soon as
#   the first request of the next one has been read, and no request beyond that is read before it's asked for another.
# * `silences(minutes)` yields `(before, after)`, the minutes' numbers, for neighbours where the later one comes more
#   than one minute after the earlier, as soon as it has read `after`. Of no or one minute it yields nothing.
#
# None of them holds more than a few requests at a time, however long the logs and however busy the minutes.
#
# ```python
# >>> logs = Logs(a="10:15:07 GET /cart 200 31\n10:15:09 GET /pay 503 9\n", b="10:19:00 GET / 200 4\n# rotated\n")
# >>> report = list(per_minute(read_requests(["a", "b"], logs.open)))
# >>> report[0]
# Minute(minute=615, total=2, errors=1, slowest=31)
# >>> list(silences(report))
# [(615, 619)]
# >>> list(silences(per_minute(read_requests([], logs.open))))
# []
# ```


# %% starter access_report
def read_requests(names: Iterable[str], open_log: Callable[[str], TextIO]) -> Generator[Request, None, None]:
    """Yield the requests of the logs, one log after the other."""
    for name in names:
        with open_log(name) as log:
            requests = (parse_request(line) for line in log)
        yield from (request for request in requests if request is not None)


def per_minute(requests: Iterable[Request]) -> Iterator[Minute]:
    """Yield what happened in each minute."""
    minutes = list(itertools.groupby(requests, key=lambda request: request.minute))
    for minute, group in minutes:
        count = sum(1 for _ in group)
        errors = sum(request.status >= 500 for request in group)
        slowest = max((request.ms for request in group), default=0)
        yield Minute(minute, count, errors, slowest)


def silences(minutes: Iterable[Minute]) -> Iterator[tuple[int, int]]:
    """Yield the minutes before and after each gap."""
    rows = iter(minutes)
    before = next(rows)
    for after in rows:
        if after.minute - before.minute > 1:
            yield before.minute, after.minute
        before = after


# %% solution access_report
def read_requests(names: Iterable[str], open_log: Callable[[str], TextIO]) -> Generator[Request, None, None]:
    """Yield the requests of the logs, one log after the other."""
    for name in names:
        with open_log(name) as log:
            for line in log:
                request = parse_request(line)
                if request is not None:
                    yield request


def per_minute(requests: Iterable[Request]) -> Iterator[Minute]:
    """Yield what happened in each minute."""
    for minute, group in itertools.groupby(requests, key=lambda request: request.minute):
        count = errors = slowest = 0
        for request in group:
            count += 1
            errors += request.status >= 500
            slowest = max(slowest, request.ms)
        yield Minute(minute, count, errors, slowest)


def silences(minutes: Iterable[Minute]) -> Iterator[tuple[int, int]]:
    """Yield the minutes before and after each gap."""
    for before, after in itertools.pairwise(minutes):
        if after.minute - before.minute > 1:
            yield before.minute, after.minute


# %% check access_report points=2
def test_reads_the_requests_of_all_logs() -> None:
    logs = Logs(a="10:15:07 GET /cart 200 31\n", b="no request\n10:19:00 GET / 404 4\n")
    requests = list(read_requests(["a", "b"], logs.open))
    assert requests == [Request(615, "/cart", 200, 31), Request(619, "/", 404, 4)], "the log has to be open while read"


def test_counts_each_minute() -> None:
    requests = [
        Request(615, "/", 200, 7),
        Request(615, "/", 503, 31),
        Request(615, "/", 200, 9),
        Request(616, "/", 200, 4),
    ]
    expected = [Minute(615, 3, 1, 31), Minute(616, 1, 0, 4)]
    assert list(per_minute(requests)) == expected, "a group can be read once, and only before the stream moves on"


def test_a_day_without_traffic_has_no_silences() -> None:
    assert list(silences(iter([]))) == [], "the first next() on an empty stream must not leave a generator (PEP 479)"


# %% hidden access_report points=4
def test_one_log_is_open_at_a_time() -> None:
    logs = Logs(a="10:15:07 GET / 200 31\n", b="10:19:00 GET / 200 4\n")
    list(read_requests(["a", "b"], logs.open))
    expected = ["open a", "read a", "close a", "open b", "read b", "close b"]
    assert logs.seen == expected, "a year of logs opened at once is over the limit of open files (often 1,024)"


def test_a_log_is_opened_and_read_when_it_is_asked_for() -> None:
    logs = Logs(a="10:15:07 GET / 200 31\n10:15:08 GET / 200 3\n", b="10:19:00 GET / 200 4\n")
    requests = read_requests(iter(["a", "b"]), logs.open)
    assert logs.seen == [], "nothing is opened before the first request is asked for"
    next(requests)
    assert logs.seen == ["open a", "read a"], "the first request needs the first line"


def test_closing_the_generator_closes_the_log() -> None:
    logs = Logs(a="10:15:07 GET / 200 31\n10:15:08 GET / 200 3\n")
    requests = read_requests(["a"], logs.open)
    next(requests)
    requests.close()
    assert logs.seen == ["open a", "read a", "close a"], "whoever stops half-way leaves no file open"


def test_a_log_of_no_requests_is_closed_too() -> None:
    logs = Logs(a="", b="# rotated\n")
    assert list(read_requests(["a", "b"], logs.open)) == []
    assert logs.seen == ["open a", "close a", "open b", "read b", "close b"]


def test_a_stream_that_can_be_read_once_is_enough() -> None:
    requests = (Request(615, "/", status, ms) for status, ms in ((500, 5), (499, 6), (599, 2)))
    assert list(per_minute(requests)) == [Minute(615, 3, 2, 6)], "count, errors and maximum need one pass, not three"


def test_a_minute_that_comes_again_is_a_run_of_its_own() -> None:
    requests = [Request(615, "/", 200, 1), Request(616, "/", 200, 2), Request(615, "/", 200, 3)]
    counted = [(row.minute, row.slowest) for row in per_minute(requests)]
    assert counted == [(615, 1), (616, 2), (615, 3)], "runs of neighbours: nothing is collected for the whole day"


def test_a_minute_is_there_when_the_next_begins() -> None:
    read: list[int] = []

    def live() -> Iterator[Request]:
        for minute in (615, 615, 616, 616, 617):
            read.append(minute)
            yield Request(minute, "/", 200, 1)

    report = per_minute(live())
    assert read == [], "nothing is read before a minute is asked for"
    assert next(report).total == 2
    assert read == [615, 615, 616], "on a live log the dashboard waits for one request, not for the end of the day"


def test_no_requests_give_no_minutes() -> None:
    assert list(per_minute(iter([]))) == []


def test_a_request_of_no_time_at_midnight_counts() -> None:
    assert list(per_minute([Request(0, "/", 200, 0)])) == [Minute(0, 1, 0, 0)], "a request of 0 ms at midnight counts"


def test_a_silence_is_more_than_one_minute() -> None:
    minutes = [Minute(minute, 1, 0, 1) for minute in (3, 4, 6, 9, 9)]
    found = list(silences(iter(minutes)))
    assert found == [(4, 6), (6, 9)], "neighbouring minutes are no silence; each minute is compared with the one before"


def test_one_minute_has_no_silence() -> None:
    assert list(silences([Minute(3, 1, 0, 1)])) == []


def test_a_silence_is_told_when_it_is_over() -> None:
    read: list[int] = []

    def live() -> Iterator[Minute]:
        for minute in (3, 6, 9):
            read.append(minute)
            yield Minute(minute, 1, 0, 1)

    assert next(iter(silences(live()))) == (3, 6)
    assert read == [3, 6], "the alert comes with the first request after the silence, not at the end of the day"


def test_memory_does_not_grow_with_the_log(tmp_path: Path) -> None:
    log = tmp_path / "busy.log"
    lines = 10_000
    with log.open("w", encoding="utf-8") as file:
        file.writelines(f"10:15:{number % 60:02} GET /items/{number:080} 200 {number}\n" for number in range(lines))
    report: list[Minute] = []

    def open_text(name: str) -> TextIO:
        return Path(name).open(encoding="utf-8")

    def run() -> None:
        report.extend(per_minute(read_requests([str(log)], open_text)))

    peak = peak_bytes(run)
    assert report == [Minute(615, lines, 0, lines - 1)]
    assert peak < 200_000, f"{peak:,} bytes for a file of {log.stat().st_size:,}, all of one minute: something holds it"


# %% wrong access_report fails=test_memory_does_not_grow_with_the_log
# "A list can be read twice": every bug is gone, and so is the reason for the generators.
def read_requests(names: Iterable[str], open_log: Callable[[str], TextIO]) -> Generator[Request, None, None]:
    """Yield the requests of the logs, one log after the other."""
    for name in names:
        with open_log(name) as log:
            requests = [parse_request(line) for line in log]
        yield from (request for request in requests if request is not None)


def per_minute(requests: Iterable[Request]) -> Iterator[Minute]:
    """Yield what happened in each minute."""
    for minute, group in itertools.groupby(requests, key=lambda request: request.minute):
        rows = list(group)
        errors = sum(request.status >= 500 for request in rows)
        yield Minute(minute, len(rows), errors, max(request.ms for request in rows))


def silences(minutes: Iterable[Minute]) -> Iterator[tuple[int, int]]:
    """Yield the minutes before and after each gap."""
    rows = list(minutes)
    for before, after in itertools.pairwise(rows):
        if after.minute - before.minute > 1:
            yield before.minute, after.minute


# %% wrong access_report fails=test_one_log_is_open_at_a_time
# "Keep the files open, then": an ExitStack round everything holds each log until the last one is read.
def read_requests(names: Iterable[str], open_log: Callable[[str], TextIO]) -> Generator[Request, None, None]:
    """Yield the requests of the logs, one log after the other."""
    with contextlib.ExitStack() as stack:
        logs = [stack.enter_context(open_log(name)) for name in names]
        for line in itertools.chain.from_iterable(logs):
            if (request := parse_request(line)) is not None:
                yield request


def per_minute(requests: Iterable[Request]) -> Iterator[Minute]:
    """Yield what happened in each minute."""
    for minute, group in itertools.groupby(requests, key=lambda request: request.minute):
        count = errors = slowest = 0
        for request in group:
            count += 1
            errors += request.status >= 500
            slowest = max(slowest, request.ms)
        yield Minute(minute, count, errors, slowest)


def silences(minutes: Iterable[Minute]) -> Iterator[tuple[int, int]]:
    """Yield the minutes before and after each gap."""
    for before, after in itertools.pairwise(minutes):
        if after.minute - before.minute > 1:
            yield before.minute, after.minute


# %% wrong access_report fails=test_counts_each_minute
# "tee gives me three readers": the list of groups is still made first, and by then the stream has moved past them.
def read_requests(names: Iterable[str], open_log: Callable[[str], TextIO]) -> Generator[Request, None, None]:
    """Yield the requests of the logs, one log after the other."""
    for name in names:
        with open_log(name) as log:
            yield from (request for line in log if (request := parse_request(line)) is not None)


def per_minute(requests: Iterable[Request]) -> Iterator[Minute]:
    """Yield what happened in each minute."""
    minutes = list(itertools.groupby(requests, key=lambda request: request.minute))
    for minute, group in minutes:
        counted, failed, timed = itertools.tee(group, 3)
        errors = sum(request.status >= 500 for request in failed)
        slowest = max((request.ms for request in timed), default=0)
        yield Minute(minute, sum(1 for _ in counted), errors, slowest)


def silences(minutes: Iterable[Minute]) -> Iterator[tuple[int, int]]:
    """Yield the minutes before and after each gap."""
    rows = iter(minutes)
    before = next(rows, None)
    for after in rows:
        if before is not None and after.minute - before.minute > 1:
            yield before.minute, after.minute
        before = after


# %% right access_report
def read_requests(names: Iterable[str], open_log: Callable[[str], TextIO]) -> Generator[Request, None, None]:
    """Yield the requests of the logs, one log after the other."""
    for name in names:
        with open_log(name) as log:
            yield from (request for request in map(parse_request, log) if request)


def per_minute(requests: Iterable[Request]) -> Iterator[Minute]:
    """Yield what happened in each minute."""
    row: Minute | None = None
    for request in requests:
        if row is not None and row.minute != request.minute:
            yield row
            row = None
        if row is None:
            row = Minute(request.minute, 0, 0, 0)
        row = Minute(row.minute, row.total + 1, row.errors + (request.status >= 500), max(row.slowest, request.ms))
    if row is not None:
        yield row


def silences(minutes: Iterable[Minute]) -> Iterator[tuple[int, int]]:
    """Yield the minutes before and after each gap."""
    rows = iter(minutes)
    try:
        before = next(rows)
    except StopIteration:
        return
    for after in rows:
        if after.minute - before.minute > 1:
            yield before.minute, after.minute
        before = after


# %% [markdown] hint access_report
# Each function has its own fault: one uses a file after its `with` has ended, one reads the same group three times
# (after the stream has moved past it), one lets a `StopIteration` out of a generator.

# %% [markdown] hint access_report
# The `yield` has to stand **inside** the `with`: then the file stays open while the generator is suspended, and
# `close()` leaves through the `with`. A group of `groupby` has to be used up in the loop's body, in one pass with
# three variables.

# %% [markdown] hint access_report
# `for minute, group in itertools.groupby(requests, key=…):` then `for request in group:` with `count += 1`, `errors +=
# request.status >= 500`, `slowest = max(slowest, request.ms)`, then the `yield`. And `itertools.pairwise(minutes)`
# gives nothing for no or one item.

# %% [markdown] after access_report
# **Why it looks like that.** The generator owns the file: the `with` stands round the `yield`, so the file's life is
# the generator's life, in all three endings (used up, closed, failed). Aggregates replace the group. `pairwise` says
# "each with the one before", and an empty stream is no special case in it.
#
# **Costs.** Memory: a line, a request, a `Minute`; 24 kB, most of it the file's buffer, where the wrong answer with
# lists needed 2.9 MB for a file of 1.1 MB (measured). The price is responsibility: a consumer who stops half-way **and
# keeps the generator** keeps the file open. CPython closes a generator when its last reference goes; PyPy whenever its
# collector runs. Say it with `contextlib.closing(read_requests(…))`.
#
# **Where the error goes.** A missing log now raises in the consumer's `for`, perhaps after half of the output has been
# written. If half a report is worse than none: check that all names exist first, or write to a temporary file and
# rename it.
#
# **The interviewer goes on**: *The logs come from eight servers and have to be merged by time: what do you use, and
# what does it hold? (`heapq.merge`: one item for each log, and all eight files open.) One line in a million has a bad
# clock and `int()` raises: who should handle it?*

# %% [markdown]
# ## send, throw, close: the other direction
#
# `yield` is an expression. Its value is what the caller passes in, and there are three ways in:
#
# | call | what happens at the `yield` | the call returns or raises |
# | --- | --- | --- |
# | `next(g)`, `g.send(None)` | it gives `None` | the next value yielded, or `StopIteration` |
# | `g.send(value)` | it gives `value` | the same |
# | `g.throw(error)` | it **raises** `error` | the same; `error` itself where it isn't caught |
# | `g.close()` | it raises `GeneratorExit` | nothing; `RuntimeError` if the generator yields again |
#
# A generator that hasn't started stands before its first `yield`, where nothing can be received: `send(value)` is a
# `TypeError` until one `next` has **primed** it. `close()` on one that hasn't started runs nothing of it, its
# `finally` neither. `GeneratorExit` derives from `BaseException`, so that `except Exception` doesn't swallow it.
# (Passing `throw` type, value and traceback separately is deprecated since 3.12. Since 3.13 `close()` returns what the
# generator returned.)


# %%
def ledger() -> Generator[str, str, str]:
    entries: list[str] = []
    try:
        while True:
            try:
                entries.append((yield f"{len(entries)} entries"))
            except LookupError as error:
                entries.append(f"<{error.args[0]}>")
    finally:
        print("   finally:", entries)


def attempt(label: str, call: Callable[[], object]) -> None:
    try:
        print(f"{label:30} → {call()!r}")
    except BaseException as error:
        print(f"{label:30} raises {error!r}")


book = ledger()
attempt("send('a') before next", lambda: book.send("a"))
attempt("next", lambda: next(book))
attempt("send('a')", lambda: book.send("a"))
attempt("throw(LookupError('page 2'))", lambda: book.throw(LookupError("page 2")))
attempt("throw(OSError('disk'))", lambda: book.throw(OSError("disk")))
attempt("next, after an error left it", lambda: next(book))
attempt("close", lambda: book.close())

# %% [markdown]
# Where is that used? `contextlib.contextmanager` is `next` for `__enter__`, and `next` or `throw` for `__exit__`. A
# pytest fixture with `yield` is a generator that is asked twice. And `await` is `send` and `throw` from an event loop.
# In code of your own, `send` pays where one function holds the **state of a protocol** (a parser fed by chunks, a
# running aggregate) and its loop would otherwise be cut up into callbacks. For plain accumulation a class with two
# methods is easier to read.


# %%
class Cut(Exception):  # noqa: N818 - a signal, as StopIteration is
    """Thrown into a meter: end the open window now."""


@dataclass(frozen=True, slots=True)
class Window:
    """What a meter has counted: durations in seconds."""

    count: int = 0
    total: float = 0.0
    worst: float = 0.0

    def plus(self, value: float) -> "Window":
        """Return the window with one more duration."""
        if value < 0:
            raise ValueError(f"a duration can't be negative: {value}")
        return Window(self.count + 1, self.total + value, max(self.worst, value))


# %% [markdown] exercise window_meter topic=generators-and-iterators level=senior minutes=12
# ## Exercise: The metering agent
#
# An agent in every pod collects request durations and hands summaries (`Window`, above) to an exporter. On a
# deployment the pod is told to stop; the numbers of the last minute, the interesting one, have been missing for a
# year. Write the aggregator as a generator whose clean-up can't be skipped.
#
# `meter(flush, limit)` returns a generator that is **already primed**: `send` works at once. `limit` below 1 is a
# `ValueError` at the call of `meter`. At any time one window is open, at first an empty `Window()`.
#
# * `m.send(value)` adds `value` to the open window (`Window.plus`) and returns the window with it. When it then holds
#   `limit` values, it's passed to `flush(window)` before `send` returns, and a new, empty window is open.
# * `next(m)`, or `m.send(None)`, adds nothing and returns the open window.
# * `m.throw(Cut())` passes the open window to `flush` if it isn't empty, opens a new one, and returns that. The meter
#   goes on.
# * `m.close()` passes the open window to `flush` if it isn't empty. So does any other exception that ends the meter: a
#   value that `plus` refuses, an exception thrown in, an error of `flush`. The exception comes out of the call that
#   ran into it; if this last `flush` raises too, its exception comes out, with the other as its `__context__`.
# * Each window is passed to `flush` at most once, also where `flush` raises. Empty ones never are.
#
# ```python
# >>> m = meter(print, limit=2)
# >>> m.send(0.25)
# Window(count=1, total=0.25, worst=0.25)
# >>> m.send(0.5)
# Window(count=2, total=0.75, worst=0.5)
# Window(count=2, total=0.75, worst=0.5)
# >>> m.send(1.0), m.throw(Cut())
# Window(count=1, total=1.0, worst=1.0)
# (Window(count=1, total=1.0, worst=1.0), Window(count=0, total=0.0, worst=0.0))
# >>> meter(print, limit=0)
# Traceback (most recent call last):
# ValueError: a window holds at least one value, not 0
# ```
#
# (The first line of each pair was printed by `flush`. The wording of errors is yours.)


# %% solution window_meter
def meter(flush: Callable[[Window], object], limit: int) -> Generator[Window, float | None, None]:
    """Return a primed generator that sums up the durations sent to it, in windows of `limit`."""
    # BEGIN SOLUTION
    if limit < 1:
        raise ValueError(f"a window holds at least one value, not {limit}")

    def steps() -> Generator[Window, float | None, None]:
        window = shown = Window()
        try:
            while True:
                try:
                    value = yield shown
                except Cut:
                    ends, shown = True, Window()
                else:
                    if value is not None:
                        window = window.plus(value)
                    ends, shown = window.count == limit, window
                if ends and window.count:
                    done, window = window, Window()
                    flush(done)
        finally:
            if window.count:
                flush(window)

    running = steps()
    next(running)
    return running
    # END SOLUTION


# %% check window_meter points=2
def test_sends_add_up() -> None:
    m = meter(lambda window: None, limit=10)
    assert m.send(0.5) == Window(1, 0.5, 0.5), "meter() hands out a primed generator: the first send counts"
    assert m.send(0.25) == Window(2, 0.75, 0.5)


def test_a_full_window_is_flushed() -> None:
    flushed: list[Window] = []
    m = meter(flushed.append, limit=2)
    m.send(1.0)
    assert flushed == [], "a window that isn't full stays open"
    assert m.send(3.0) == Window(2, 4.0, 3.0)
    assert flushed == [Window(2, 4.0, 3.0)], "the full window is exported before send returns"
    assert m.send(2.0) == Window(1, 2.0, 2.0), "then a new one begins"


def test_closing_flushes_what_is_open() -> None:
    flushed: list[Window] = []
    m = meter(flushed.append, limit=10)
    m.send(1.0)
    m.close()
    assert flushed == [Window(1, 1.0, 1.0)], "the last window before the shutdown is the one that people look for"


# %% hidden window_meter points=4
def test_a_cut_flushes_and_the_meter_goes_on() -> None:
    flushed: list[Window] = []
    m = meter(flushed.append, limit=10)
    m.send(1.0)
    assert m.throw(Cut()) == Window(), "throw returns what is yielded next: the new window"
    assert flushed == [Window(1, 1.0, 1.0)]
    assert m.send(2.0) == Window(1, 2.0, 2.0), "nothing of the old window is left in the new one"


def test_a_cut_of_an_empty_window_flushes_nothing() -> None:
    flushed: list[Window] = []
    m = meter(flushed.append, limit=2)
    m.throw(Cut())
    m.send(1.0)
    m.send(1.0)
    assert m.throw(Cut()) == Window(), "the window was full and has been flushed: the open one is empty"
    m.throw(Cut())
    assert flushed == [Window(2, 2.0, 1.0)], (
        "an exporter that gets empty windows draws zeros where nothing was measured"
    )


def test_next_shows_the_open_window() -> None:
    flushed: list[Window] = []
    m = meter(flushed.append, limit=2)
    assert next(m) == Window()
    m.send(1.0)
    assert next(m) == m.send(None) == Window(1, 1.0, 1.0), "asking adds nothing"
    m.send(1.0)
    assert next(m) == Window(), "after a full window the new one is open"
    assert len(flushed) == 1, "and looking at it flushes nothing"


def test_zero_is_a_value() -> None:
    m = meter(lambda window: None, limit=10)
    assert m.send(0.0) == Window(1, 0.0, 0.0), "a duration of zero (a cache hit) is counted; only None is not"


def test_closing_twice_flushes_once() -> None:
    flushed: list[Window] = []
    m = meter(flushed.append, limit=10)
    m.send(1.0)
    m.close()
    m.close()
    assert len(flushed) == 1
    with pytest.raises(StopIteration):
        m.send(1.0)


def test_closing_after_a_full_window_flushes_nothing_more() -> None:
    flushed: list[Window] = []
    m = meter(flushed.append, limit=1)
    m.send(1.0)
    m.close()
    assert flushed == [Window(1, 1.0, 1.0)], "what was exported when it was full isn't exported again at the end"


def test_closing_an_unused_meter_flushes_nothing() -> None:
    flushed: list[Window] = []
    meter(flushed.append, limit=1).close()
    assert flushed == []


@pytest.mark.parametrize("limit", [0, -1])
def test_a_bad_limit_is_refused_at_the_call(limit: int) -> None:
    with pytest.raises(ValueError, match=r"."):
        meter(lambda window: None, limit)


def test_a_refused_value_ends_the_meter_and_loses_nothing() -> None:
    flushed: list[Window] = []
    m = meter(flushed.append, limit=10)
    m.send(1.0)
    with pytest.raises(ValueError, match=r"negative"):
        m.send(-1.0)
    assert flushed == [Window(1, 1.0, 1.0)], "what was counted before the bad value is exported"
    with pytest.raises(StopIteration):
        next(m)


def test_another_exception_passes_and_loses_nothing() -> None:
    flushed: list[Window] = []
    m = meter(flushed.append, limit=10)
    m.send(1.0)
    with pytest.raises(KeyboardInterrupt):
        m.throw(KeyboardInterrupt())
    assert flushed == [Window(1, 1.0, 1.0)], "only Cut is the meter's business; everything else ends it"


def test_a_window_whose_flush_failed_is_not_flushed_again() -> None:
    tried: list[Window] = []

    def flush(window: Window) -> None:
        tried.append(window)
        raise ConnectionError("no exporter")

    m = meter(flush, limit=2)
    m.send(1.0)
    with pytest.raises(ConnectionError):
        m.send(2.0)
    assert tried == [Window(2, 3.0, 2.0)], "it may have arrived before the error: a second time counts it twice"


def test_an_error_of_flush_comes_out_of_close() -> None:
    def flush(window: Window) -> None:
        raise ConnectionError("no exporter")

    m = meter(flush, limit=2)
    m.send(1.0)
    with pytest.raises(ConnectionError):
        m.close()


def test_an_error_of_the_last_flush_comes_out_with_the_cause() -> None:
    def flush(window: Window) -> None:
        raise ConnectionError("no exporter")

    m = meter(flush, limit=10)
    m.send(1.0)
    with pytest.raises(ConnectionError) as caught:
        m.send(-1.0)
    assert isinstance(caught.value.__context__, ValueError), "what ended the meter has to stay in the chain"


def test_meters_share_nothing() -> None:
    first, second = meter(lambda window: None, limit=5), meter(lambda window: None, limit=5)
    first.send(1.0)
    assert next(second) == Window(), "each call has a frame, and so a state, of its own"


# %% wrong window_meter fails=test_a_bad_limit_is_refused_at_the_call
# "Check the arguments first": in a generator function that line runs at the first next.
def meter(flush: Callable[[Window], object], limit: int) -> Generator[Window, float | None, None]:
    """Return a primed generator that sums up the durations sent to it, in windows of `limit`."""
    if limit < 1:
        raise ValueError(f"a window holds at least one value, not {limit}")
    window = shown = Window()
    try:
        while True:
            try:
                value = yield shown
            except Cut:
                ends, shown = True, Window()
            else:
                if value is not None:
                    window = window.plus(value)
                ends, shown = window.count == limit, window
            if ends and window.count:
                done, window = window, Window()
                flush(done)
    finally:
        if window.count:
            flush(window)


# %% wrong window_meter fails=test_closing_flushes_what_is_open
# "The loop ends when the input does": the line after the loop is never reached, since close raises at the yield.
def meter(flush: Callable[[Window], object], limit: int) -> Generator[Window, float | None, None]:
    """Return a primed generator that sums up the durations sent to it, in windows of `limit`."""
    if limit < 1:
        raise ValueError(f"a window holds at least one value, not {limit}")

    def steps() -> Generator[Window, float | None, None]:
        window = shown = Window()
        open_ = True
        while open_:
            try:
                value = yield shown
                if value is not None:
                    window = window.plus(value)
                shown = window
                if window.count < limit:
                    continue
            except Cut:
                shown = Window()
            except Exception:
                open_ = False
            if window.count:
                flush(window)
                window = Window()
        if window.count:
            flush(window)

    running = steps()
    next(running)
    return running


# %% wrong window_meter fails=test_zero_is_a_value
# "if value": a duration of 0.0 is false, and isn't counted.
def meter(flush: Callable[[Window], object], limit: int) -> Generator[Window, float | None, None]:
    """Return a primed generator that sums up the durations sent to it, in windows of `limit`."""
    if limit < 1:
        raise ValueError(f"a window holds at least one value, not {limit}")

    def steps() -> Generator[Window, float | None, None]:
        window = Window()
        try:
            value = yield window
            while True:
                try:
                    if value:
                        window = window.plus(value)
                    full = window
                    if window.count >= limit:
                        window = Window()
                        flush(full)
                    value = yield full
                except Cut:
                    if window.count:
                        flush(window)
                    window = Window()
                    value = None
        finally:
            if window.count:
                flush(window)

    running = steps()
    next(running)
    return running


# %% wrong window_meter fails=test_a_window_whose_flush_failed_is_not_flushed_again
# "Flush, then begin a new one": when flush fails the full window is still open, and finally sends it again.
def meter(flush: Callable[[Window], object], limit: int) -> Generator[Window, float | None, None]:
    """Return a primed generator that sums up the durations sent to it, in windows of `limit`."""
    if limit < 1:
        raise ValueError(f"a window holds at least one value, not {limit}")

    def steps() -> Generator[Window, float | None, None]:
        window = shown = Window()
        try:
            while True:
                try:
                    value = yield shown
                except Cut:
                    ends, shown = True, Window()
                else:
                    if value is not None:
                        window = window.plus(value)
                    ends, shown = window.count == limit, window
                if ends and window.count:
                    flush(window)
                    window = Window()
        finally:
            if window.count:
                flush(window)

    running = steps()
    next(running)
    return running


# %% [markdown] hint window_meter
# Two functions: an ordinary one that checks `limit`, makes the generator and primes it, and the generator inside it.
# What `close` and all the errors have in common is that they leave the loop by an exception at or after the `yield`.

# %% [markdown] hint window_meter
# `try: while True: … finally:` flushes in every ending; don't catch `GeneratorExit`. Inside the loop, a second `try`
# round `value = yield shown` alone, with `except Cut`. You need two variables: the open window, and the one to show.

# %% [markdown] hint window_meter
# After the `yield`: on `Cut`, `ends, shown = True, Window()`; else add the value and `ends, shown = window.count ==
# limit, window`. Then `if ends and window.count:` put the empty window in its place **before** you call `flush(done)`,
# so that `finally` finds an empty one if `flush` raises.

# %% [markdown] after window_meter
# **Why it looks like that.** One `finally` is the only place that has to be right for `close`, for errors and for the
# garbage collector. The state changes before the call that may fail: at most once. The other order is at least once.
# You can't have exactly once from one process; say which of the two the exporter can live with (counters: at most
# once; money: at least once, with an id that removes the duplicates).
#
# **What is narrow on purpose.** The inner `try` holds only the `yield`. Were `flush` inside it, a `Cut` raised by a
# nested meter would be taken for one of ours.
#
# **Alternatives.** A class with `add`, `cut`, `close` and `__exit__` says the same in more lines; it can be pickled,
# inspected and subclassed, which a frame can't. The generator wins where the state is a *place in the code* rather
# than a few variables.
#
# **The interviewer goes on**: *Who calls `close` when the pod stops? (Nobody, unless SIGTERM is turned into an orderly
# exit; and at interpreter shutdown `finally` blocks of generators may not run: `contextlib.closing`.) What if two
# threads send at once? (`ValueError: generator already executing`; a lock round `send`.)*

# %% [markdown]
# ## yield from: delegation, with a return value
#
# `for x in inner: yield x` passes items up and nothing else. `yield from inner` connects the caller with `inner`:
# items go up; `send`, `throw` and `close` go down; and its **value is what `inner` returned**. That makes recursion
# over trees natural: yield the parts, return the sum. `await` is the same operation on awaitables.
#
# Its price is depth: an item from level *d* passes through *d* frames at every `next`, so a list-like tree of depth
# *n* costs O(n²) in all.


# %%
def nested(depth: int, items: int) -> Iterator[int]:
    if depth:
        yield from nested(depth - 1, items)
    else:
        yield from range(items)


print("depth   µs an item")
for depth in (1, 10, 100, 400):
    seconds = best_seconds(lambda depth=depth: sum(nested(depth, 1000)))  # type: ignore[misc]
    print(f"{depth:5} {seconds / 1000 * 1e6:12.2f}")

# %% [markdown]
# 3.12 and 3.13 came to about a third of 3.11's time here on the author's machine, and to the same straight line.
# Balanced trees (folders, JSON, syntax trees) are some ten levels deep, and it doesn't matter. Beyond that, or near
# the recursion limit (1,000 by default), keep a stack of your own.

# %% [markdown] exercise bucket_usage topic=generators-and-iterators level=core minutes=5
# ## Exercise: What fills the bucket?
#
# An object store bills each listing of a folder, and a bucket has a million of them. Operators want the size of each
# folder, the first ones within seconds, and they stop the run when they have found the culprit.
#
# `usage(list_folder, folder)` is a generator. `list_folder(folder)` returns `(names, sizes)`: the names of its
# sub-folders and the sizes of the files in it, in bytes. The sub-folder `name` of `folder` is `f"{folder}/{name}"`.
#
# * It yields `(folder, total)` for `folder` and every folder below it: the total is of all files in it **and below
#   it**. A folder comes after all those below it; sub-folders come in the alphabetical order of their names.
# * It **returns** the total of `folder` (the value of `yield from usage(…)`).
# * `list_folder` is called once for each folder, and only when the walk gets there: not before the first item is asked
#   for, and a folder's sub-folder not before everything that precedes it has been yielded.
# * A folder whose listing raises `PermissionError` is left out: it isn't yielded and counts 0. Any other error is
#   passed on.
#
# ```python
# >>> bucket = {"b": (["new", "img"], [5]), "b/img": ([], [10, 20]), "b/new": ([], [])}
# >>> list(usage(bucket.__getitem__, "b"))
# [('b/img', 30), ('b/new', 0), ('b', 35)]
# >>> list(usage(bucket.__getitem__, "c"))
# Traceback (most recent call last):
# KeyError: 'c'
# ```

# %%
Listing = tuple[list[str], list[int]]


# %% solution bucket_usage
def usage(list_folder: Callable[[str], Listing], folder: str) -> Generator[tuple[str, int], None, int]:
    """Yield each folder with the size of all that is in it, the innermost first; return the total."""
    # BEGIN SOLUTION
    try:
        names, sizes = list_folder(folder)
    except PermissionError:
        return 0
    total = sum(sizes)
    for name in sorted(names):
        total += yield from usage(list_folder, f"{folder}/{name}")
    yield folder, total
    return total
    # END SOLUTION


# %% check bucket_usage points=2
def test_a_folder_counts_what_is_below_it() -> None:
    bucket: dict[str, Listing] = {"b": (["x"], [1]), "b/x": (["y"], [10]), "b/x/y": ([], [100])}
    found = list(usage(bucket.__getitem__, "b"))
    assert found == [("b/x/y", 100), ("b/x", 110), ("b", 111)], "a folder's total holds those of the folders below it"


def test_the_total_is_returned() -> None:
    bucket: dict[str, Listing] = {"b": (["x"], [1]), "b/x": ([], [10])}
    totals: list[int] = []

    def delegate() -> Iterator[tuple[str, int]]:
        totals.append((yield from usage(bucket.__getitem__, "b")))

    list(delegate())
    assert totals == [11], "a generator's return value is the value of `yield from`"


# %% hidden bucket_usage points=3
class Store:
    """A store that notes which folders are listed."""

    def __init__(self, **folders: Listing) -> None:
        self.folders = {name.replace("_", "/"): listing for name, listing in folders.items()}
        self.listed: list[str] = []

    def list_folder(self, folder: str) -> Listing:
        self.listed.append(folder)
        if folder.endswith("secret"):
            raise PermissionError(folder)
        return self.folders[folder]


def test_each_folder_is_listed_once() -> None:
    store = Store(b=(["x", "y"], [1]), b_x=(["z"], [2]), b_x_z=([], [3]), b_y=([], [4]))
    assert list(usage(store.list_folder, "b"))[-1] == ("b", 10)
    assert sorted(store.listed) == ["b", "b/x", "b/x/z", "b/y"], "every listing is billed"


def test_a_folder_is_listed_when_the_walk_gets_there() -> None:
    store = Store(b=(["x", "y"], []), b_x=([], [2]), b_y=([], [4]))
    walk = usage(store.list_folder, "b")
    assert store.listed == [], "nothing is listed before the first item is asked for"
    assert next(walk) == ("b/x", 2)
    assert store.listed == ["b", "b/x"], "the operator sees the first folder before the second has been listed"
    walk.close()
    assert store.listed == ["b", "b/x"], "and after stopping the run pays for no more"


def test_sub_folders_come_in_alphabetical_order() -> None:
    store = Store(b=(["y", "z", "x"], []), b_x=([], []), b_y=([], []), b_z=([], []))
    assert [folder for folder, _ in usage(store.list_folder, "b")] == ["b/x", "b/y", "b/z", "b"]


def test_a_second_walk_lists_again() -> None:
    store = Store(b=(["y", "x"], []), b_x=([], []), b_y=([], []))
    list(usage(store.list_folder, "b"))
    list(usage(store.list_folder, "b"))
    assert store.listed == ["b", "b/x", "b/y"] * 2, "a second walk lists again: a generator keeps nothing"


def test_a_folder_without_permission_is_left_out() -> None:
    store = Store(b=(["secret", "x"], [1]), b_x=([], [2]))
    assert list(usage(store.list_folder, "b")) == [("b/x", 2), ("b", 3)], "one closed folder doesn't end the walk"


def test_a_walk_that_begins_without_permission_is_empty() -> None:
    walk = usage(Store().list_folder, "secret")
    with pytest.raises(StopIteration) as stop:
        next(walk)
    assert stop.value.value == 0, "nothing is yielded, and the total is 0"


def test_any_other_error_is_passed_on() -> None:
    def list_folder(folder: str) -> Listing:
        if folder == "b":
            return ["x"], []
        raise TimeoutError(folder)

    with pytest.raises(TimeoutError):
        list(usage(list_folder, "b"))


# %% wrong bucket_usage fails=test_a_folder_counts_what_is_below_it
# "A for loop is the same as yield from": it passes the items on and throws the returned total away.
def usage(list_folder: Callable[[str], Listing], folder: str) -> Generator[tuple[str, int], None, int]:
    """Yield each folder with the size of all that is in it, the innermost first; return the total."""
    try:
        names, sizes = list_folder(folder)
    except PermissionError:
        return 0
    for name in sorted(names):
        for item in usage(list_folder, f"{folder}/{name}"):  # noqa: UP028
            yield item
    yield folder, sum(sizes)
    return sum(sizes)


# %% wrong bucket_usage fails=test_each_folder_is_listed_once
# "Ask each folder for its total": the same sub-trees are walked once for each level above them.
def usage(list_folder: Callable[[str], Listing], folder: str) -> Generator[tuple[str, int], None, int]:
    """Yield each folder with the size of all that is in it, the innermost first; return the total."""

    def total_of(place: str) -> int:
        try:
            names, sizes = list_folder(place)
        except PermissionError:
            return 0
        return sum(sizes) + sum(total_of(f"{place}/{name}") for name in names)

    try:
        names, _ = list_folder(folder)
    except PermissionError:
        return 0
    for name in sorted(names):
        yield from usage(list_folder, f"{folder}/{name}")
    total = total_of(folder)
    yield folder, total
    return total


# %% wrong bucket_usage fails=test_a_folder_is_listed_when_the_walk_gets_there
# "Collect, then yield": a list of all results makes the first one as late as the last.
def usage(list_folder: Callable[[str], Listing], folder: str) -> Generator[tuple[str, int], None, int]:
    """Yield each folder with the size of all that is in it, the innermost first; return the total."""
    found: list[tuple[str, int]] = []

    def walk(place: str) -> int:
        try:
            names, sizes = list_folder(place)
        except PermissionError:
            return 0
        total = sum(sizes) + sum(walk(f"{place}/{name}") for name in sorted(names))
        found.append((place, total))
        return total

    total = walk(folder)
    yield from found
    return total


# %% right bucket_usage
def usage(list_folder: Callable[[str], Listing], folder: str) -> Generator[tuple[str, int], None, int]:
    """Yield each folder with the size of all that is in it, the innermost first; return the total."""
    total = 0
    stack: list[tuple[str, Iterator[str], list[int]]] = []
    arriving: str | None = folder
    while arriving is not None or stack:
        if arriving is not None:
            with contextlib.suppress(PermissionError):
                names, sizes = list_folder(arriving)
                stack.append((arriving, iter(sorted(names)), [sum(sizes)]))
            arriving = None
            continue
        place, rest, subtotal = stack[-1]
        name = next(rest, None)
        if name is not None:
            arriving = f"{place}/{name}"
            continue
        stack.pop()
        total = subtotal[0]
        if stack:
            stack[-1][2][0] += total
        yield place, total
    return total


# %% [markdown] hint bucket_usage
# A folder's total is its own files and what its sub-folders *return*. Which expression passes a sub-walk's items on
# and gives you what it returned?

# %% [markdown] hint bucket_usage
# `total += yield from usage(list_folder, f"{folder}/{name}")` in a loop over `sorted(names)`; then the `yield` for the
# folder itself, then `return total`. Only the listing stands in the `try`; in a generator `return 0` is allowed
# everywhere.

# %% [markdown] after bucket_usage
# **Why it looks like that.** Two results, two channels: items by `yield`, the sum by `return`. The `try` holds one
# line. Were the recursion inside it too, a `PermissionError` that the *consumer* throws into the walk would vanish.
#
# **Costs.** One listing a folder; memory is one frame and one sorted list of names **for each level**, not for each
# folder. An item from depth d takes O(d) steps to come out. The right answer with a stack of its own takes O(1) and
# any depth, in twice the lines.
#
# **In the library.** `os.walk(top, topdown=False)` yields in this order. Top-down it can be pruned by changing
# `dirnames` in place, bottom-up not. Both drop errors of a listing without a word unless you give `onerror`.
# `Path.walk` is from 3.12.
#
# **The interviewer goes on**: *The listings take 50 ms each: how do you run twenty at once and keep the order? How
# would a consumer say "don't go into this one"? (`send` through `yield from`, or a predicate as an argument: the
# second is easier to use in a `for` loop.)*

# %% [markdown]
# ## Async generators, and who closes them
#
# An `async def` with a `yield` is an **async generator**: `async for` awaits its `__anext__`, and between items it may
# await itself. It has `asend`, `athrow` and `aclose`, which are awaited; no `yield from` and no return value.
#
# What is different is the clean-up. Its `finally` may have to **await** (close the cursor, roll back), and `await`
# needs a running loop. The garbage collector has none, so it can't finish the job on the spot. Three layers stand in
# for it:
#
# 1. **you**: `async with contextlib.aclosing(rows)` awaits `aclose()` where the block ends. The only one that is on
#    time and whose errors you see;
# 2. **the loop's hook** (`sys.set_asyncgen_hooks`): when an unfinished async generator is collected, asyncio schedules
#    `aclose()` as a task of its own, some turns later, in another context;
# 3. **`loop.shutdown_asyncgens()`**, which `asyncio.run` awaits at the end for all that are still alive. Whoever
#    drives a loop by hand has to call it.
#
# `async for … break` closes **nothing** by itself; neither does an exception in the body, whose traceback keeps the
# frame, and so the generator, alive. Below, the same `break` in the three layers, each on a loop of its own:


# %%
async def cursor_rows(log: list[str]) -> AsyncGenerator[int, None]:
    try:
        for number in itertools.count():
            await asyncio.sleep(0)
            yield number
    finally:
        await asyncio.sleep(0)
        log.append("CLOSED")


def apart(main: Coroutine[Any, Any, R]) -> R:
    """Run `main` on an event loop of its own, in a thread: the notebook's thread has a running loop."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, main).result()


async def by_aclosing(log: list[str]) -> None:
    async with contextlib.aclosing(cursor_rows(log)) as rows:
        async for _ in rows:
            break
    log.append("after the loop")


async def by_the_hook(log: list[str]) -> None:
    async for _ in cursor_rows(log):
        break
    log.append("after the loop")
    await asyncio.sleep(0.01)
    log.append("10 ms later")


async def by_shutdown(log: list[str], kept: list[object]) -> None:
    rows = cursor_rows(log)
    kept.append(rows)  # as a traceback, a cache or an attribute would
    async for _ in rows:
        break
    log.append("after the loop")
    await asyncio.sleep(0.01)
    log.append("end of main")


kept: list[object] = []
layers: dict[str, Callable[[list[str]], Coroutine[Any, Any, None]]] = {
    "aclosing": by_aclosing,
    "the hook": by_the_hook,
    "shutdown": lambda log: by_shutdown(log, kept),
}
for name, main in layers.items():
    notes: list[str] = []
    apart(main(notes))
    print(f"{name}: {' → '.join(notes)}")
kept.clear()

# %% [markdown]
# In the second and third line the connection was still taken when the code after the loop ran. In a service under load
# that is how a pool of ten runs dry with no query running.
#
# Three more rules:
#
# * **Don't `yield` inside `asyncio.TaskGroup` or `asyncio.timeout`** in an async generator. Their cancellation belongs
#   to the task that entered them; while the generator is suspended that task is doing something else, and gets
#   cancelled there (PEP 789, a draft, collects the bugs). Start tasks by hand and end them in `finally`, or let the
#   caller own the group.
# * **One consumer**: a second `anext` while the first is running raises `RuntimeError: anext(): asynchronous generator
#   is already running`. For many consumers use a queue.
# * **In a `finally`, await only what ends soon.** A cancelled task that waits there for a dead server hangs the
#   shutdown.


# %%
class PagedCursor(Generic[T]):
    """A cursor on a made-up server; it notes what is asked of it. The fetch `hangs_at` never gets an answer."""

    def __init__(self, *pages: list[T] | Exception, hangs_at: int = 0) -> None:
        self.pages = iter(pages)
        self.hangs_at = hangs_at
        self.fetches = 0
        self.log: list[str] = []

    async def open(self) -> "PagedCursor[T]":
        self.log.append("open")
        return self

    async def fetch(self) -> list[T]:
        """Return the next page; an empty one at the end."""
        self.fetches += 1
        number = self.fetches
        self.log.append(f"fetch {number}")
        try:
            await (asyncio.Event().wait() if number == self.hangs_at else asyncio.sleep(0))
        except asyncio.CancelledError:
            await asyncio.sleep(0)  # telling the server takes a moment
            self.log.append(f"cancelled {number}")
            raise
        page = next(self.pages, [])
        if isinstance(page, Exception):
            raise page
        return page

    async def close(self) -> None:
        """Free the cursor on the server."""
        await asyncio.sleep(0)
        self.log.append("close")


# %% [markdown] exercise cursor_stream topic=generators-and-iterators level=staff minutes=15
# ## Exercise: One page ahead, nothing left behind
#
# An export reads a million rows through a server-side cursor, a page at a time, and waits for the network between the
# pages. You fetch the next page while the consumer works on this one. The last attempt at that leaked cursors whenever
# a client hung up, until the database refused new ones.
#
# `stream_rows(open_cursor)` is an async generator. `await open_cursor()` gives a cursor (as `PagedCursor` above, with
# a `fetch` and a `close`). It is opened when the first row is asked for.
#
# * It yields the rows of the pages in order. The first empty page is the end; `fetch` isn't called after it.
# * When a page has arrived, the fetch of the next one is started as a task before the page's first row is yielded. It
#   is never more than one page ahead: at most one fetch runs or has a page waiting, beyond the page whose rows are
#   being yielded.
# * An exception of `fetch` is raised after all the rows of the pages before it. If nobody asks that far it is dropped,
#   and asyncio has nothing to report about it ("exception was never retrieved").
# * However the generator ends (used up, `aclose`, an error, cancellation): a fetch that is still running is cancelled,
#   and **has ended** before `close` is awaited; `close` is called exactly once; no task is left. An exception of
#   `open_cursor` is passed on, and nothing is closed.
#
# ```python
# >>> cursor = PagedCursor(["a", "b"], ["c"])
# >>> [row async for row in stream_rows(cursor.open)]
# ['a', 'b', 'c']
# >>> cursor = PagedCursor(["a", "b"], ["c"])
# >>> async with contextlib.aclosing(stream_rows(cursor.open)) as rows:
# ...     print(await anext(rows))
# a
# >>> cursor.log[0], cursor.log[-1]
# ('open', 'close')
# >>> [row async for row in stream_rows(PagedCursor(ConnectionError("gone")).open)]
# Traceback (most recent call last):
# ConnectionError: gone
# ```


# %% solution cursor_stream
async def stream_rows(open_cursor: Callable[[], Awaitable[PagedCursor[T]]]) -> AsyncGenerator[T, None]:
    """Yield the rows of a cursor; the next page is fetched while the consumer works."""
    # BEGIN SOLUTION
    cursor = await open_cursor()
    fetching = asyncio.create_task(cursor.fetch())
    try:
        while page := await fetching:
            fetching = asyncio.create_task(cursor.fetch())
            for row in page:
                yield row
    finally:
        fetching.cancel()
        await asyncio.gather(fetching, return_exceptions=True)
        await cursor.close()
    # END SOLUTION


# %% check cursor_stream points=2
async def test_the_rows_of_all_pages_come_in_order() -> None:
    cursor = PagedCursor([1, 2], [3], [4, 5])
    assert [row async for row in stream_rows(cursor.open)] == [1, 2, 3, 4, 5]
    assert cursor.log[-1] == "close", "used up is one of the endings"


async def test_the_next_page_is_fetched_while_the_consumer_works() -> None:
    cursor = PagedCursor([1, 2], [3])
    async with contextlib.aclosing(stream_rows(cursor.open)) as rows:
        await anext(rows)
        for _ in range(5):
            await asyncio.sleep(0)
        assert "fetch 2" in cursor.log, "while the consumer works on page 1, page 2 is under way"


async def test_breaking_off_closes_the_cursor() -> None:
    cursor = PagedCursor([1, 2], [3])
    async with contextlib.aclosing(stream_rows(cursor.open)) as rows:
        async for _ in rows:
            break
    assert cursor.log.count("close") == 1, "a client that hangs up after one row leaves no cursor open"


# %% hidden cursor_stream points=4
async def settle() -> None:
    """Let everything else go as far as it can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_nothing_is_opened_before_the_first_row_is_asked_for() -> None:
    cursor = PagedCursor([1])
    rows = stream_rows(cursor.open)
    await settle()
    assert cursor.log == [], "an async generator that nobody reads costs the server nothing"
    await rows.aclose()
    assert cursor.log == [], "and closing it has nothing to close"


async def test_it_is_never_more_than_one_page_ahead() -> None:
    cursor = PagedCursor([1, 2], [3], [4], [5])
    async with contextlib.aclosing(stream_rows(cursor.open)) as rows:
        await anext(rows)
        await settle()
        assert cursor.fetches == 2, (
            "a slow consumer has one page in hand and one waiting, not the whole table in memory"
        )
        assert [await anext(rows), await anext(rows)] == [2, 3]
        await settle()
        assert cursor.fetches == 3, "with each new page one more"


async def test_nothing_is_fetched_after_the_empty_page() -> None:
    cursor = PagedCursor([1], [2])
    assert [row async for row in stream_rows(cursor.open)] == [1, 2]
    await settle()
    assert (cursor.fetches, cursor.log.count("close")) == (3, 1), "two pages and the empty one; closed once"


async def test_an_empty_result_is_closed_too() -> None:
    cursor: PagedCursor[int] = PagedCursor()
    assert [row async for row in stream_rows(cursor.open)] == []
    assert cursor.log == ["open", "fetch 1", "close"]


async def test_any_row_is_a_row() -> None:
    cursor: PagedCursor[object] = PagedCursor([None, 0], ["", False])
    assert [row async for row in stream_rows(cursor.open)] == [None, 0, "", False], "only an empty page is the end"


async def test_a_running_fetch_has_ended_before_the_cursor_is_closed() -> None:
    cursor = PagedCursor([1, 2], hangs_at=2)
    tasks = len(asyncio.all_tasks())
    async with contextlib.aclosing(stream_rows(cursor.open)) as rows:
        await anext(rows)
        await settle()
    assert cursor.log[-2:] == ["cancelled 2", "close"], "closing a cursor with a fetch in it breaks the connection"
    assert len(asyncio.all_tasks()) == tasks, "no task is left"


async def test_an_error_of_the_consumer_closes_the_cursor() -> None:
    cursor = PagedCursor([1, 2], hangs_at=2)

    async def export() -> None:
        async with contextlib.aclosing(stream_rows(cursor.open)) as rows:
            async for row in rows:
                await settle()
                1 / (row - 1)

    with pytest.raises(ZeroDivisionError):
        await export()
    assert cursor.log[-2:] == ["cancelled 2", "close"]


async def test_an_exception_thrown_in_closes_the_cursor() -> None:
    cursor = PagedCursor([1, 2], [3])
    rows = stream_rows(cursor.open)
    await anext(rows)
    with pytest.raises(LookupError):
        await rows.athrow(LookupError("stop"))
    assert cursor.log.count("close") == 1


@pytest.mark.parametrize("hangs_at", [1, 2])
async def test_cancelling_the_consumer_closes_the_cursor(hangs_at: int) -> None:
    cursor = PagedCursor([1, 2], [3], hangs_at=hangs_at)

    async def export() -> None:
        async with contextlib.aclosing(stream_rows(cursor.open)) as rows:
            async for _ in rows:
                pass

    task = asyncio.create_task(export())
    await settle()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled(), "cancellation comes out as what it is"
    assert cursor.log[-2:] == [f"cancelled {hangs_at}", "close"], "a deployment cancels the export between two pages"


async def test_an_error_comes_after_the_rows_before_it() -> None:
    cursor = PagedCursor([1, 2], ConnectionError("gone"), [3])
    seen: list[int] = []

    async def export() -> None:
        async with asyncio.timeout(2):  # an answer that swallows the error may wait for ever
            async for row in stream_rows(cursor.open):
                await settle()
                seen.append(row)

    with pytest.raises(ConnectionError):
        await export()
    assert seen == [1, 2], "page 1 is good, although the fetch of page 2 failed while it was worked on"
    assert cursor.log[-1] == "close"
    assert cursor.log.count("close") == 1


async def test_an_error_that_nobody_asks_for_is_dropped() -> None:
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context))
    cursor = PagedCursor([1, 2], ConnectionError("gone"))
    async with contextlib.aclosing(stream_rows(cursor.open)) as rows:
        await anext(rows)
        await settle()
    del rows
    gc.collect()
    await settle()
    assert cursor.log[-1] == "close"
    assert reported == [], "an alert for a page that nobody wanted"


async def test_an_error_of_opening_is_passed_on() -> None:
    async def refuse() -> PagedCursor[int]:
        raise ConnectionError("too many cursors")

    with pytest.raises(ConnectionError, match="too many cursors"):
        await anext(stream_rows(refuse))


# %% wrong cursor_stream fails=test_breaking_off_closes_the_cursor
# "Close it after the loop": that line is reached only when somebody reads to the end.
async def stream_rows(open_cursor: Callable[[], Awaitable[PagedCursor[T]]]) -> AsyncGenerator[T, None]:
    """Yield the rows of a cursor; the next page is fetched while the consumer works."""
    cursor = await open_cursor()
    fetching = asyncio.create_task(cursor.fetch())
    while page := await fetching:
        fetching = asyncio.create_task(cursor.fetch())
        for row in page:
            yield row
    await cursor.close()


# %% wrong cursor_stream fails=test_a_running_fetch_has_ended_before_the_cursor_is_closed
# "cancel() stops the task": it only asks; the fetch is still in the cursor when close is called.
async def stream_rows(open_cursor: Callable[[], Awaitable[PagedCursor[T]]]) -> AsyncGenerator[T, None]:
    """Yield the rows of a cursor; the next page is fetched while the consumer works."""
    cursor = await open_cursor()
    fetching = asyncio.create_task(cursor.fetch())
    try:
        while page := await fetching:
            fetching = asyncio.create_task(cursor.fetch())
            for row in page:
                yield row
    finally:
        fetching.cancel()
        await cursor.close()


# %% wrong cursor_stream fails=test_the_next_page_is_fetched_while_the_consumer_works
# "await makes it concurrent": fetch after fetch, the network waits for the consumer and the consumer for the network.
async def stream_rows(open_cursor: Callable[[], Awaitable[PagedCursor[T]]]) -> AsyncGenerator[T, None]:
    """Yield the rows of a cursor; the next page is fetched while the consumer works."""
    cursor = await open_cursor()
    try:
        while page := await cursor.fetch():
            for row in page:
                yield row
    finally:
        await cursor.close()


# %% wrong cursor_stream fails=test_it_is_never_more_than_one_page_ahead
# "A task that fills a queue": without a bound it reads the whole table while the consumer is at its first row.
async def stream_rows(open_cursor: Callable[[], Awaitable[PagedCursor[T]]]) -> AsyncGenerator[T, None]:
    """Yield the rows of a cursor; the next page is fetched while the consumer works."""
    cursor = await open_cursor()
    pages: asyncio.Queue[list[T]] = asyncio.Queue()

    async def fill() -> None:
        try:
            while page := await cursor.fetch():
                pages.put_nowait(page)
        finally:
            pages.put_nowait([])

    filling = asyncio.create_task(fill())
    try:
        while page := await pages.get():
            for row in page:
                yield row
    finally:
        filling.cancel()
        await asyncio.gather(filling, return_exceptions=True)
        await cursor.close()


# %% right cursor_stream
async def stream_rows(open_cursor: Callable[[], Awaitable[PagedCursor[T]]]) -> AsyncGenerator[T, None]:
    """Yield the rows of a cursor; the next page is fetched while the consumer works."""
    cursor = await open_cursor()
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(cursor.close)
        fetching: asyncio.Task[list[T]] | None = None

        async def stop() -> None:
            if fetching is not None:
                fetching.cancel()
                await asyncio.wait([fetching])
                if not fetching.cancelled():
                    fetching.exception()  # it has been looked at: asyncio reports nothing

        stack.push_async_callback(stop)
        page = await cursor.fetch()
        while page:
            fetching = asyncio.create_task(cursor.fetch())
            for row in page:
                yield row
            page = await fetching


# %% [markdown] hint cursor_stream
# Keep one variable: the task of the fetch that is under way. When its page arrives, start the next one *before* you
# yield rows. What has to happen in every ending stands in one `finally`.

# %% [markdown] hint cursor_stream
# `cancel()` asks; a task has ended only when it has been awaited. Which way of awaiting a task raises neither its
# `CancelledError` nor its exception here, and marks the exception as seen?

# %% [markdown] hint cursor_stream
# `while page := await fetching:` start the next task, then yield the rows. In `finally`: `fetching.cancel()`, `await
# asyncio.gather(fetching, return_exceptions=True)`, `await cursor.close()`.

# %% [markdown] after cursor_stream
# **Why it looks like that.** `fetching` is always the one task that exists, so there is one thing to end. The order in
# `finally` is that of opening, reversed. `gather(..., return_exceptions=True)` waits for the end, takes the
# `CancelledError` for a result and reads the exception, so asyncio doesn't report it. The obvious `with
# suppress(CancelledError): await fetching` would raise the unwanted `ConnectionError` in place of `GeneratorExit`, and
# skip `close`.
#
# **Why no TaskGroup.** The generator would yield inside it: see the rule above. A task in a `finally` of one's own is
# the way as long as the generator is the owner. With several stages, let the *consumer* open a group and connect
# stages by queues.
#
# **What it doesn't promise.** Without `aclosing` at the call the clean-up comes when the hook or the shutdown gets to
# it. If the task is cancelled a *second* time while it waits in `finally`, `close` is skipped; a service that must not
# lose it puts the two awaits into a task of their own and shields it. And what it gains is bounded: fetching and
# working overlap, so the time for a page falls from *fetch + work* to the greater of the two, never below half.
#
# **The interviewer goes on**: *How would you keep three pages ahead? (A bounded queue and one producer task.) The
# consumer calls `break` without `aclosing` in forty places: how do you make it impossible to forget? (Give out an
# async context manager instead of a generator.)*

# %% [markdown]
# ## The interview
#
# Say your answer aloud before you unfold one.

# %% [markdown] interview
# ### What is the difference between an iterable and an iterator, and why does it matter?
#
# An iterable makes iterators; an iterator is one position in a stream and returns itself from `__iter__`. It matters
# when something is read twice: a list gives the same items again, a generator gives nothing and no error. So a
# function that needs two passes asks for a `Collection` or makes a list, and a class that should be looped over
# repeatedly has an `__iter__` that is a generator function instead of an iterator's `__next__`.

# %% [markdown] interview
# ### What happens when a generator function is called, at `next`, and at `yield`?
#
# The call makes a generator object with the function's frame inside, about 200 bytes, and runs nothing. `next` links
# that frame to the caller's and runs it up to a `yield`; the value goes up, the frame keeps its locals, its
# instruction pointer and its open `try` blocks, and is unlinked. No thread and no copy of a stack is involved: only
# this one frame can be suspended, which is why a helper that wants to yield for it has to be a generator too, joined
# by `yield from`.

# %% [markdown] interview
# ### When do you not use a generator?
#
# When the data is small and read more than once, or indexed, or its length is needed. When errors have to appear at
# the call. When a resource would stay open as long as somebody holds the iterator, for instance a transaction. In
# public APIs where callers will iterate twice. And it isn't faster: a list comprehension usually beats it, item for
# item. I use it for what doesn't fit, what is infinite or slow to arrive, and where the consumer may stop early.

# %% [markdown] interview
# ### What did PEP 479 change, and why?
#
# A `StopIteration` that leaves a generator's frame becomes a `RuntimeError`. Before, a stray `next()` on an empty
# iterator inside a generator looked like the generator's own end: the data was cut short with no sign of it. It is the
# default since 3.7. It protects generators only. In `__next__` or in a function that `map` calls, the same slip still
# ends the loop silently.

# %% [markdown] interview
# ### Can two threads share a generator?
#
# Not safely. With the GIL, a `next` while another thread is inside it raises `ValueError: generator already
# executing`. C iterators (over a list, `itertools.count`) happen to be atomic under the GIL, which the documentation
# doesn't promise, and its glossary says of the free-threaded build that iterator operations aren't guaranteed to be
# thread-safe: items may come twice or get lost. I give each thread an iterator of its own, put a lock round `next`, or
# let one thread read and fill a bounded `queue.Queue`.

# %% [markdown] interview
# ### Who runs a generator's `finally`?
#
# Whoever ends it: the `next` that uses it up, `close()`, or the garbage collector, which in CPython comes at once when
# the last reference goes, elsewhere some time, and at interpreter exit perhaps never. If it was never started, nobody:
# there is nothing to clean up. For async generators the collector can't await, so the loop's hook schedules `aclose()`
# and `shutdown_asyncgens` does the rest. I don't rely on any of that for connections: `closing` and `aclosing` at the
# place of use.

# %% [markdown]
# ## Pitfalls seen in reviews
#
# * `def load(path): with open(path) as f: return map(parse, f)`: closed before the first line is read. `yield from`
#   inside the `with`.
# * A function with a `return list` branch and a `yield` further down. One `yield` anywhere makes *all* of it a
#   generator function: the list is lost in `StopIteration.value`.
# * `if generator:` is always true, and `len()` fails. Ask by `next(generator, None)` and chain the item back, or take
#   a `Lookahead`.
# * `logging.debug("rows: %s", list(rows))` left in the code: the loop after it sees nothing.
# * `except:` or `except BaseException:` round a `yield`, with a loop: `GeneratorExit` is swallowed, the generator
#   yields again, and `close()` raises `RuntimeError: generator ignored GeneratorExit`.
# * `sum([…])`, `any([…])`, `max([…])` with the brackets: a list of everything, for a result that needs one item at a
#   time (`"".join` is the exception: it makes a list anyway).
# * A dict changed while a lazy view of it is read: `RuntimeError: dictionary changed size during iteration`, some way
#   down the pipeline.
# * A generator in a cache (`functools.cache` on a generator function): the second caller gets the first one's empty
#   rest.
#
# ## Where to read on
#
# * Python documentation: [Iterator types](https://docs.python.org/3/library/stdtypes.html#iterator-types), [Yield
#   expressions](https://docs.python.org/3/reference/expressions.html#yield-expressions) (generators and async
#   generators, method by method), [itertools](https://docs.python.org/3/library/itertools.html) with its recipes,
#   [Functional programming HOWTO](https://docs.python.org/3/howto/functional.html),
#   [tracemalloc](https://docs.python.org/3/library/tracemalloc.html)
# * [PEP 234](https://peps.python.org/pep-0234/) (iterators), [PEP 255](https://peps.python.org/pep-0255/)
#   (generators), [PEP 342](https://peps.python.org/pep-0342/) (send, throw, close), [PEP
#   380](https://peps.python.org/pep-0380/) (yield from), [PEP 479](https://peps.python.org/pep-0479/) (StopIteration),
#   [PEP 525](https://peps.python.org/pep-0525/) (async generators), [PEP 789](https://peps.python.org/pep-0789/)
#   (draft: limits on yield in async generators)
# * David Beazley, [Generator tricks for systems programmers](https://www.dabeaz.com/generators/): log pipelines in
#   this style, at length
# * [more-itertools](https://more-itertools.readthedocs.io/en/stable/): `peekable`, `chunked`, `windowed`, `spy`, with
#   readable source
