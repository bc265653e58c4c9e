# %% [markdown]
# # Memory management
#
# *"The service's memory grows by 200 MB a day and it is restarted every night. What do you do?"* A junior answer calls
# `gc.collect()`, or says that Python has a garbage collector and so can't leak. A senior answer starts from the one
# sentence that matters, **an object lives as long as something refers to it**, measures what grows, finds who refers
# to it, and knows the usual suspects: a cache without a bound, a cached method, a kept exception, a callback that was
# never removed. It also tells a leak from memory that is free inside the process and isn't handed back.
#
# **Assumed**: classes, closures, context managers and exceptions. No earlier lesson. **Left out**: speed (its own
# lesson) and extension modules. The mechanisms are CPython's, 3.11 and newer; where versions differ, the text says so.

# %%
import functools
import gc
import html
import itertools
import sys
import time
import tracemalloc
import weakref
from array import array
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MethodType
from typing import Any

import psutil
import pytest

from autograder.notebook.figures import explore
from autograder.notebook.suite import failing

# %% [markdown]
# ## Reference counts do nearly all the work
#
# Every object carries a count of the references to it: names, attributes, slots of containers, cells of closures,
# frames that run. Binding adds one, `del` or rebinding takes one away, and when the count gets to zero the object is
# freed **at once**, in the thread that dropped it. That frees what it referred to in turn. `del name` deletes a
# *name*; the object goes only if that was the last reference.
#
# `weakref.finalize(obj, f)` calls `f` when `obj` has died, which makes the moment visible. The call
# `sys.getrefcount(obj)` counts its own argument too.


# %%
class Buffer:
    """Stands for something large."""


def watch(thing: object, name: str) -> None:
    weakref.finalize(thing, print, f"  {name} freed").atexit = False


first = Buffer()
watch(first, "buffer")
second = first
queue = [first]
print("two names and a list:", sys.getrefcount(first) - 1)
del first
print("one name deleted:    ", sys.getrefcount(second) - 1)
queue.clear()
print("list cleared:        ", sys.getrefcount(second) - 1)
print("last name rebound")
second = Buffer()
print("the next line runs after it was freed")

# %% [markdown]
# **What it buys**: files and sockets close promptly, memory is used again while it is still in the processor's cache.
# **What it costs**: a write to the object at each new reference. So a forked worker that only *reads* the parent's
# data still copies its pages, and threads would have to lock each count, which is one reason for the GIL.
#
# **What has changed.** Since 3.12 some objects are *immortal* (PEP 683: `None`, small integers, interned names of the
# interpreter): their count never changes. Since 3.14 the interpreter leaves out counts that it can prove unneeded, so
# `sys.getrefcount` may be lower than you expect. Free-threaded builds (PEP 703, from 3.13 on) keep two counts, a cheap
# one for the thread that made the object and a shared one, and put some counting off. The exact number is a fact of
# the build: test *that* an object died, never its count.
#
# Promptness is CPython's promise, not the language's. PyPy frees when its collector gets there, so close what has to
# be closed with `with`.
#
# ## Garbage collection: only for cycles
#
# Counting has one hole: objects that refer to each other keep each other's count above zero, though nobody else can
# reach them. Parent and child, a node and its list of neighbours, an exception and the frame that holds it are such
# **cycles**. The **garbage collector** (`gc`) looks for them, and for nothing else: with `gc.disable()` everything
# without a cycle is freed as before.


# %%
@contextmanager
def collector_off() -> Iterator[None]:
    """Leave everything to the reference counts: an object in a cycle stays."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class Node:
    def __init__(self) -> None:
        self.other: Node | None = None


with collector_off():
    left, right = Node(), Node()
    left.other, right.other = right, left
    ghost = weakref.ref(left)
    del left, right
    print("nobody holds them; still there:", ghost() is not None)
    gc.collect()
    print("after gc.collect():            ", ghost() is not None)

# %% [markdown]
# How can it know? It doesn't start from the variables ("roots"), as other collectors do. It takes all objects that can
# refer to others (containers: instances, lists, dicts, functions, frames, but no `str` or `int`), copies their counts,
# and **subtracts every reference that comes from inside the set**. What is left above zero is held from outside. That
# and everything reachable from it lives; the rest is garbage. Step through it, and let the program hold `d` in place
# of nothing:


# %%
PLACES = {"app": (90, 50), "a": (250, 50), "b": (410, 50), "c": (250, 170), "d": (410, 170), "e": (570, 170)}
LINKS = {"app": ["a"], "a": ["b"], "b": ["a"], "c": ["d"], "d": ["c", "e"], "e": []}
STEPS = (
    "0. the reference counts",
    "1. minus references from inside: who is held from outside?",
    "2. reachable from there: alive",
    "3. the rest is garbage: freed",
)


class Heap:
    """The collector's view of a few objects at one of its steps."""

    def __init__(self, step: int, held: Mapping[str, int]) -> None:
        inside = {name: sum(targets.count(name) for targets in LINKS.values()) for name in LINKS}
        outside = {name: held.get(name, 0) for name in LINKS}
        alive = {name for name in LINKS if outside[name]}
        waiting = list(alive)
        while waiting:
            new = set(LINKS[waiting.pop()]) - alive
            alive |= new
            waiting += new
        self.title = STEPS[step]
        self.shown = {
            name: (outside[name] + (inside[name] if step == 0 else 0), self._state(step, outside[name], name in alive))
            for name in LINKS
        }

    @staticmethod
    def _state(step: int, outside: int, alive: bool) -> str:
        if step == 0:
            return "counted"
        if step == 1:
            return "held" if outside else "unclear"
        return "alive" if alive else "garbage" if step == 2 else "freed"

    def __repr__(self) -> str:
        rows = (
            f"  {name:3} -> {', '.join(LINKS[name]) or '-':5} {count} {state}"
            for name, (count, state) in self.shown.items()
        )
        return "\n".join([self.title, *rows])

    def _repr_html_(self) -> str:
        fills = {"held": "#009e73", "alive": "#009e73", "garbage": "#d55e00", "unclear": "#e69f00"}
        parts = [
            f'<svg role="img" aria-label="{html.escape(self.title)}" viewBox="0 0 660 240" width="660" '
            'style="max-width: 100%; height: auto" fill="currentColor" font-family="sans-serif" font-size="13" '
            'xmlns="http://www.w3.org/2000/svg"><defs><marker id="tip" markerWidth="9" markerHeight="9" refX="8" '
            'refY="4" orient="auto"><path d="M0,0 L8,4 L0,8 z"/></marker></defs>'
            f'<text x="0" y="14" font-weight="bold">{html.escape(self.title)}</text>'
        ]
        for source, targets in LINKS.items():
            for target in targets if self.shown[source][1] != "freed" else ():
                (x1, y1), (x2, y2) = PLACES[source], PLACES[target]
                side = 1 if x2 > x1 else -1
                parts.append(
                    f'<line x1="{x1 + 46 * side}" y1="{y1 + 12 - 7 * side}" x2="{x2 - 48 * side}" '
                    f'y2="{y2 + 12 - 7 * side}" stroke="currentColor" marker-end="url(#tip)"/>'
                )
        for name, (x, y) in PLACES.items():
            count, state = self.shown[name]
            dash = ' stroke-dasharray="4" opacity="0.4"' if state == "freed" else ""
            parts.append(
                f'<rect x="{x - 44}" y="{y - 18}" width="88" height="58" rx="8" stroke="currentColor" '
                f'fill="{fills.get(state, "none")}" fill-opacity="0.35"{dash}/>'
                f'<text x="{x}" y="{y + 6}" text-anchor="middle">{name}: {count}</text>'
                f'<text x="{x}" y="{y + 26}" text-anchor="middle" font-size="11">{state}</text>'
            )
        return "".join((*parts, "</svg>"))


def draw_heap(step: int, program_holds_d: int) -> Heap:
    return Heap(step, {"app": 1, "d": program_holds_d})


explore(draw_heap, step=(0, 3, 2), program_holds_d=(0, 1, 0))

# %% [markdown]
# **Generations.** Most objects die young, so looking at all of them each time would be waste. New containers are in
# generation 0. When allocations minus deallocations of containers pass the first threshold, generation 0 is examined,
# and what survives moves to generation 1; after some ten rounds 1 is examined too, and after some ten of those the
# oldest, 2 (there only if enough objects are new to it: a quarter of those that have survived a full pass). So a full
# pass, whose cost grows with **everything that is alive**, is rare. It stops the program. Measured here:

# %%
gc.collect()
lines = [f"thresholds {gc.get_threshold()}"]
for count in (0, 50_000, 200_000):
    alive = [[number] for number in range(count)]
    start = time.perf_counter()
    gc.collect()
    pause = time.perf_counter() - start
    lines.append(f"{count:7,} more lists alive: a full collection takes {pause * 1e3:5.1f} ms")
print("\n".join(lines))
del alive

# %% [markdown]
# Which collector do you have?
#
# | version | collector |
# | --- | --- |
# | 3.11 | three generations, thresholds 700, 10, 10; may run inside any allocation of a container |
# | 3.12 | the same, but runs only between bytecode instructions |
# | 3.13 | the same, first threshold 2000; an incremental collector was in its pre-releases and was taken out again |
# | 3.14.0–3.14.4 | incremental: a young and an old generation, and each run takes a slice of the old one |
# | 3.14.5, 3.15 | back to the three generations of 3.13, after reports of grown memory in production |
# | free-threaded | from 3.13 on: no generations, all threads are paused for a pass |
#
# So code that counts on `gc.collect(1)`, `get_count()` or on *when* a cycle goes is bound to a version. `gc.collect()`
# with no argument is a full pass in all of them.
#
# **In production**: `gc.freeze()` in the parent before `fork` moves everything that lives into a set that is never
# looked at again, which keeps the workers from touching (so copying) those pages. Raising the first threshold while
# a big structure is built saves passes that can't find anything. `gc.disable()` for good is a bet that nobody, in no
# library, makes cycles. `gc.callbacks` gives each pass's start and stop: put *that* on a dashboard before you tune.
#
# ## Weak references: to know without keeping
#
# `weakref.ref(obj)` doesn't count. Called, it returns the object, or `None` once that has died. Built on it:
#
# * `WeakValueDictionary`: an index of what somebody else keeps. The entry goes when the value dies.
# * `WeakKeyDictionary`, `WeakSet`: facts about objects that aren't ours. Keys are compared with `==`, so two equal
#   objects share an entry.
# * `WeakMethod`: `obj.method` is a new bound method at each access, so a plain `ref` to it is dead at once.
# * `finalize(obj, f, *args)`: calls `f(*args)` once: when `obj` dies, when it is called by hand, or at exit. Unlike
#   `__del__` it can't bring the object back and can be called off. If `f` or `args` refer to `obj`, it never dies.
#
# `int`, `str`, `tuple`, `list` and `dict` themselves can't be referred to weakly; nor can instances of a class with
# `__slots__` that leave out `__weakref__` (`@dataclass(slots=True, weakref_slot=True)` has it).

# %%
catalogue: weakref.WeakValueDictionary[str, Buffer] = weakref.WeakValueDictionary()
catalogue["logo"] = kept = Buffer()
catalogue["banner"] = Buffer()  # nobody else keeps this one
print("entries:", list(catalogue))
del kept
print("entries:", list(catalogue))

fleeting = weakref.ref(Heap(0, {}).__repr__)
print("a weak reference to a bound method:", fleeting())
try:
    weakref.ref([])  # type: ignore[call-overload, unused-ignore]
except TypeError as error:
    print(error)

# %% [markdown]
# A `WeakValueDictionary` is **not a cache** by itself: what nobody uses is gone before it is asked for again. It
# answers "does this exist already?". A cache has to keep something, and needs a bound.
#
# ## How Python programs leak
#
# A leak is an object that is reachable and no longer wanted. The collector can't help: it is *reachable*. The usual
# holders:


# %%
class Tenant:
    """An object of the application, with a cached method."""

    @functools.lru_cache(maxsize=None)  # noqa: B019, UP033
    def limit(self) -> int:
        return 100


def by_cached_method() -> weakref.ref[Any]:
    tenant = Tenant()
    tenant.limit()  # the cache belongs to the class and has `self` in its keys
    return weakref.ref(tenant)


kept_errors: list[Exception] = []


def by_kept_exception() -> weakref.ref[Any]:
    payload = Buffer()
    try:
        raise ValueError("bad row")
    except ValueError as error:
        kept_errors.append(error)  # error.__traceback__ -> frame -> its locals
    return weakref.ref(payload)


callbacks: list[Callable[[], object]] = []


def by_closure() -> weakref.ref[Any]:
    payload = Buffer()
    callbacks.append(lambda: payload)  # a cell keeps `payload`; other locals are not kept
    return weakref.ref(payload)


def by_bound_method() -> weakref.ref[Any]:
    view = Heap(0, {})
    callbacks.append(view._repr_html_)  # a bound method keeps its instance
    return weakref.ref(view)


holders = [by_cached_method(), by_kept_exception(), by_closure(), by_bound_method()]
gc.collect()
print("alive after gc.collect():", [held() is not None for held in holders])
Tenant.limit.cache_clear()
kept_errors.clear()
callbacks.clear()
print("after the holder let go: ", [held() is not None for held in holders])

# %% [markdown]
# For the exception note the difference: a *frame* keeps **all** its locals, and those of every frame of the traceback,
# and `__cause__` and `__context__` have tracebacks of their own. That is why Python deletes the name at the end of an
# `except` block: `error` → traceback → frame → `error` would be a cycle. Keep a message, or a
# `traceback.TracebackException` (text only).
#
# With an object in hand, `gc.get_referrers(obj)` lists who refers to it (frames and your own variables among them):
# slow, for a debugger only. `objgraph` draws the chain from there.


# %%
class Export:
    """A file to be made for a tenant: rows by the hundred thousand."""

    def __init__(self, name: str, tenant: str, rows: list[str]) -> None:
        self.name = name
        self.tenant = tenant
        self.rows = rows
        self.on_done: Callable[[int], None] | None = None


# %% [markdown] exercise exporter_leak topic=memory-management level=core minutes=12
# ## Exercise: The exporter that is restarted every night
#
# A worker process makes exports, one after the other, with the `Exporter` below. It gives the right files and grows
# until it is killed; `gc.collect()` in a timer has not helped. There is more than one leak. Mend the class and keep
# its interface (what is behind it is yours to change):
#
# * `Exporter(render, load_heading)`; `run(export)` returns `heading(tenant) + render(export)`. While `render` runs,
#   `export.on_done(size)` stores `size` under the export's name in the dictionary `sizes`, and `active` (a dictionary)
#   has the export under its name; when `run` has ended, in any way, it hasn't.
# * If `load_heading` or `render` raises an `Exception`, `run` returns `None`; the failure is in `errors` as
#   `f"{name}: {error!r}"`. `errors` is a list of the latest 100 failures, oldest first. Nothing more is kept of
#   failures. Other `BaseException`s come out of `run`, and aren't in `errors`.
# * `heading(tenant)` calls `load_heading(tenant)` once for each tenant and exporter (again if it has raised). Tenants
#   are few: no bound.
# * When `run` has ended, in any way, **the exporter doesn't keep the export alive, nor the export the exporter**. An
#   export, or an exporter, that nobody else refers to is freed at once, by its reference count: the tests turn
#   the collector off, and `gc.collect()` is no part of a good answer.
#
# ```python
# >>> exporter = Exporter(lambda export: "\n".join(export.rows), lambda tenant: f"# {tenant}\n")
# >>> exporter.run(Export("may", "acme", ["a;1", "b;2"]))
# '# acme\na;1\nb;2'
# >>> exporter.run(Export("june", "acme", [None])) is None
# True
# >>> exporter.errors
# ["june: TypeError('sequence item 0: expected str instance, NoneType found')"]
# ```


# %% starter exporter_leak
class Exporter:
    """Renders exports and keeps book of them."""

    def __init__(self, render: Callable[[Export], str], load_heading: Callable[[str], str]) -> None:
        self.render = render
        self.load_heading = load_heading
        self.active: dict[str, Export] = {}
        self.sizes: dict[str, int] = {}
        self.failures: list[tuple[Export, Exception]] = []

    @functools.cache  # noqa: B019
    def heading(self, tenant: str) -> str:
        """Return a tenant's heading."""
        return self.load_heading(tenant)

    @property
    def errors(self) -> list[str]:
        """The latest 100 failures, oldest first."""
        return [f"{export.name}: {error!r}" for export, error in self.failures[-100:]]

    def run(self, export: Export) -> str | None:
        """Return the text of an export, None where it can't be made."""

        def done(size: int) -> None:
            self.sizes[export.name] = size

        export.on_done = done
        self.active[export.name] = export
        try:
            text = self.heading(export.tenant) + self.render(export)
        except Exception as error:
            self.failures.append((export, error))
            return None
        del self.active[export.name]
        return text


# %% solution exporter_leak
class Exporter:
    """Renders exports and keeps book of them."""

    # BEGIN SOLUTION
    def __init__(self, render: Callable[[Export], str], load_heading: Callable[[str], str]) -> None:
        self.render = render
        self.heading = functools.cache(load_heading)
        self.active: dict[str, Export] = {}
        self.sizes: dict[str, int] = {}
        self.failures: deque[str] = deque(maxlen=100)

    @property
    def errors(self) -> list[str]:
        """The latest 100 failures, oldest first."""
        return list(self.failures)

    def run(self, export: Export) -> str | None:
        """Return the text of an export, None where it can't be made."""

        def done(size: int) -> None:
            self.sizes[export.name] = size

        export.on_done = done
        self.active[export.name] = export
        try:
            return self.heading(export.tenant) + self.render(export)
        except Exception as error:
            self.failures.append(f"{export.name}: {error!r}")
        finally:
            export.on_done = None
            del self.active[export.name]
        return None

    # END SOLUTION


# %% check exporter_leak points=2
def test_an_export_is_freed_when_the_caller_lets_go() -> None:
    exporter = Exporter(lambda export: "text", str.upper)
    with collector_off():
        export = Export("may", "acme", ["row"])
        assert exporter.run(export) == "ACMEtext"
        ghost = weakref.ref(export)
        del export
        assert ghost() is None, "each export that stays takes its rows with it"


def test_a_failed_export_is_freed_too() -> None:
    def fail(export: Export) -> str:
        raise ValueError("bad row")

    exporter = Exporter(fail, str)
    with collector_off():
        export = Export("may", "acme", ["row"])
        assert exporter.run(export) is None
        ghost = weakref.ref(export)
        del export
        assert ghost() is None, "an exception that is kept keeps the frames of its traceback, and all their locals"
    assert exporter.errors == ["may: ValueError('bad row')"], "the status page still has to say what went wrong"


def test_an_exporter_is_freed_when_nobody_uses_it() -> None:
    with collector_off():
        exporter = Exporter(lambda export: "text", str)
        exporter.run(Export("may", "acme", []))
        exporter.heading("other")
        ghost = weakref.ref(exporter)
        del exporter
        assert ghost() is None, "a cache that holds `self` keeps every exporter that was ever made"


# %% hidden exporter_leak points=4
def test_a_kept_export_does_not_keep_its_exporter() -> None:
    with collector_off():
        exporter = Exporter(lambda export: "text", str)
        export = Export("may", "acme", [])
        exporter.run(export)
        ghost = weakref.ref(exporter)
        del exporter
        assert ghost() is None, "a callback that is left on the export refers to the exporter"
    assert export.name == "may"


def test_sizes_are_recorded_while_rendering() -> None:
    def render(export: Export) -> str:
        assert export.on_done is not None, "renderers call on_done when they have written"
        export.on_done(len(export.rows))
        return ""

    exporter = Exporter(render, str)
    exporter.run(Export("may", "acme", ["a", "b"]))
    exporter.run(Export("june", "acme", ["a"]))
    assert exporter.sizes == {"may": 2, "june": 1}, "each size stands under its export's name"


def test_active_has_the_export_only_while_it_renders() -> None:
    seen: list[dict[str, Export]] = []

    def render(export: Export) -> str:
        seen.append(dict(exporter.active))
        if export.name == "bad":
            raise ValueError("bad row")
        return ""

    exporter = Exporter(render, str)
    for name in ("good", "bad"):
        export = Export(name, "acme", [])
        exporter.run(export)
        assert seen.pop() == {name: export}, "the status page shows what is being rendered"
        assert exporter.active == {}, f"the {name} one is done"


def test_an_interruption_comes_out_and_leaves_nothing() -> None:
    def stop(export: Export) -> str:
        raise KeyboardInterrupt

    exporter = Exporter(stop, str)
    with collector_off():
        export = Export("may", "acme", [])
        ghost = weakref.ref(export)
        try:
            exporter.run(export)
        except KeyboardInterrupt:
            stopped = True
        else:
            stopped = False
        del export
        assert stopped, "to swallow it would make the worker deaf to Ctrl-C"
        assert (exporter.active, exporter.errors) == ({}, []), "an interruption isn't a failure of the export"
        assert ghost() is None, "cleaning up belongs into a finally"


def test_an_error_with_a_cause_keeps_nothing() -> None:
    def fail(export: Export) -> str:
        try:
            raise KeyError("column")
        except KeyError as cause:
            raise ValueError("bad row") from cause

    exporter = Exporter(fail, str)
    with collector_off():
        export = Export("may", "acme", [])
        exporter.run(export)
        ghost = weakref.ref(export)
        del export
        assert ghost() is None, "__cause__ and __context__ have tracebacks of their own"


def test_an_error_that_names_its_export_keeps_nothing() -> None:
    def fail(export: Export) -> str:
        raise LookupError(export)

    exporter = Exporter(fail, str)
    with collector_off():
        export = Export("may", "acme", [])
        exporter.run(export)
        ghost = weakref.ref(export)
        del export
        assert ghost() is None, "an exception's arguments may be anything: keep the text, not the exception"


def test_a_heading_that_fails_is_a_failure() -> None:
    def load(tenant: str) -> str:
        raise LookupError(tenant)

    exporter = Exporter(lambda export: "text", load)
    assert exporter.run(Export("may", "acme", [])) is None, "no heading, no file"
    assert exporter.errors == ["may: LookupError('acme')"], "the status page has to say so"


def test_each_exporter_loads_a_heading_once() -> None:
    loaded: list[str] = []

    def load(tenant: str) -> str:
        loaded.append(tenant)
        return tenant

    for _ in range(2):
        exporter = Exporter(lambda export: "", load)
        for tenant in ("acme", "bolt", "acme"):
            assert exporter.heading(tenant) == tenant, "each tenant has its own heading"
    assert loaded == ["acme", "bolt"] * 2, "the cache has to stay a cache, one for each exporter"


def test_errors_are_the_latest_hundred() -> None:
    def fail(export: Export) -> str:
        raise ValueError(export.name)

    exporter = Exporter(fail, str)
    for number in range(103):
        exporter.run(Export(str(number), "acme", []))
    expected = [f"{number}: ValueError('{number}')" for number in range(3, 103)]
    assert exporter.errors == expected, "100 of them, the oldest first"


def test_older_failures_take_no_memory() -> None:
    def fail(export: Export) -> str:
        raise ValueError("x" * 1000)

    exporter = Exporter(fail, str)

    def run(times: int) -> None:
        for _ in range(times):
            exporter.run(Export("may", "acme", []))

    run(200)
    tracing = tracemalloc.is_tracing()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        run(1000)
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        if not tracing:
            tracemalloc.stop()
    assert grown < 400_000, f"1,000 failures of 1 KB made it grow by {grown:,} bytes: a list without a bound is a leak"


# %% wrong exporter_leak fails=test_an_exporter_is_freed_when_nobody_uses_it
# "The cache moves into the instance": it caches a bound method, which is a cycle with `self`.
class Exporter:
    """Renders exports and keeps book of them."""

    def __init__(self, render: Callable[[Export], str], load_heading: Callable[[str], str]) -> None:
        self.render = render
        self.load_heading = load_heading
        self.heading = functools.cache(self.load)
        self.active: dict[str, Export] = {}
        self.sizes: dict[str, int] = {}
        self.failures: deque[str] = deque(maxlen=100)

    def load(self, tenant: str) -> str:
        return self.load_heading(tenant)

    @property
    def errors(self) -> list[str]:
        """The latest 100 failures, oldest first."""
        return list(self.failures)

    def run(self, export: Export) -> str | None:
        """Return the text of an export, None where it can't be made."""
        export.on_done = functools.partial(self.sizes.__setitem__, export.name)
        self.active[export.name] = export
        try:
            return self.heading(export.tenant) + self.render(export)
        except Exception as error:
            self.failures.append(f"{export.name}: {error!r}")
            return None
        finally:
            del self.active[export.name]


# %% wrong exporter_leak fails=test_an_error_with_a_cause_keeps_nothing
# "Without its traceback an exception is harmless": its cause has a traceback too.
class Exporter:
    """Renders exports and keeps book of them."""

    def __init__(self, render: Callable[[Export], str], load_heading: Callable[[str], str]) -> None:
        self.render = render
        self.heading = functools.cache(load_heading)
        self.active: dict[str, Export] = {}
        self.sizes: dict[str, int] = {}
        self.failures: deque[tuple[str, Exception]] = deque(maxlen=100)

    @property
    def errors(self) -> list[str]:
        """The latest 100 failures, oldest first."""
        return [f"{name}: {error!r}" for name, error in self.failures]

    def run(self, export: Export) -> str | None:
        """Return the text of an export, None where it can't be made."""
        export.on_done = functools.partial(self.sizes.__setitem__, export.name)
        self.active[export.name] = export
        try:
            return self.heading(export.tenant) + self.render(export)
        except Exception as error:
            self.failures.append((export.name, error.with_traceback(None)))
            return None
        finally:
            del self.active[export.name]


# %% wrong exporter_leak fails=test_an_export_is_freed_when_the_caller_lets_go
# "Collect after each run": the export is still in the caller's hands then, and its cycle with `done` stays.
class Exporter:
    """Renders exports and keeps book of them."""

    def __init__(self, render: Callable[[Export], str], load_heading: Callable[[str], str]) -> None:
        self.render = render
        self.heading = functools.cache(load_heading)
        self.active: dict[str, Export] = {}
        self.sizes: dict[str, int] = {}
        self.failures: deque[str] = deque(maxlen=100)

    @property
    def errors(self) -> list[str]:
        """The latest 100 failures, oldest first."""
        return list(self.failures)

    def run(self, export: Export) -> str | None:
        """Return the text of an export, None where it can't be made."""

        def done(size: int) -> None:
            self.sizes[export.name] = size

        export.on_done = done
        self.active[export.name] = export
        try:
            return self.heading(export.tenant) + self.render(export)
        except Exception as error:
            self.failures.append(f"{export.name}: {error!r}")
            return None
        finally:
            del self.active[export.name]
            gc.collect()


# %% right exporter_leak
class Exporter:
    """Renders exports and keeps book of them."""

    def __init__(self, render: Callable[[Export], str], load_heading: Callable[[str], str]) -> None:
        self.render = render
        self.load_heading = load_heading
        self.headings: dict[str, str] = {}
        self.active: weakref.WeakValueDictionary[str, Export] = weakref.WeakValueDictionary()
        self.sizes: dict[str, int] = {}
        self.errors: list[str] = []

    def heading(self, tenant: str) -> str:
        """Return a tenant's heading."""
        if tenant not in self.headings:
            self.headings[tenant] = self.load_heading(tenant)
        return self.headings[tenant]

    def run(self, export: Export) -> str | None:
        """Return the text of an export, None where it can't be made."""
        export.on_done = functools.partial(self.sizes.__setitem__, export.name)
        self.active[export.name] = export
        try:
            return self.heading(export.tenant) + self.render(export)
        except Exception as error:
            self.errors = [*self.errors[-99:], f"{export.name}: {error!r}"]
            return None
        finally:
            self.active = weakref.WeakValueDictionary()


# %% [markdown] hint exporter_leak
# Write down every reference to an export, and every one to the exporter, at the end of `run`: once when it went well,
# once when it failed. Who holds `done`, and what does `done` hold?

# %% [markdown] hint exporter_leak
# There are five: the cache of a method, `failures` (which also has no bound), `active` after an error, the cycle export
# → `on_done` → cell → export, and export → `on_done` → `self`. One of them needs a place that is passed on every way
# out.

# %% [markdown] hint exporter_leak
# Keep texts in a `deque(maxlen=100)`; cache the function that was handed in, which knows nothing of `self`; set
# `export.on_done = None` and delete from `active` in a `finally`.

# %% [markdown] after exporter_leak
# **Why.** Each leak is a reference that outlives its purpose, and each cure ends it where the purpose ends: in a
# `finally`, by keeping text in place of an object, by a bound. Only the cycle through `on_done` would have been found
# by the collector, some time later, with a hundred thousand rows waiting for it.
#
# **Alternatives.** `functools.partial(self.sizes.__setitem__, export.name)` refers to neither `self` nor `export`, so
# that callback may stay where it is. A `WeakMethod` in `on_done` also breaks the cycle, at the price of a callback that
# silently does nothing once its owner has gone. `traceback.TracebackException.from_exception` keeps a printable
# traceback without frames (leave `capture_locals` off).
#
# **The interviewer goes on**: *How would you have found these without reading the code? (The next exercise but one.)
# Sentry keeps the locals of frames: as objects or as text? What does an asyncio task that nobody awaits keep, when it
# has failed? (Its exception, hence its frames, until the task itself goes.)*

# %% [markdown] exercise event_hub topic=memory-management level=senior minutes=15
# ## Exercise: Subscribers who leave without a word
#
# In a dashboard, each open view subscribes a method of itself to an event hub. Views are closed by the hundred, nobody
# unsubscribes, and every event is still delivered to all views of the day. Build the hub that doesn't keep its
# subscribers alive. One thread uses it.
#
# * `hub.subscribe(callback)`. A **bound method** (`types.MethodType`) is held weakly: when its instance dies, the
#   subscription ends. The same method of the same instance is subscribed once, however often it is asked for;
#   instances are told apart by identity: equal ones are two subscribers, and they need not be hashable. If the
#   instance can't be referred to weakly, `subscribe` raises `TypeError` and changes nothing.
# * **Any other callable** (function, lambda, `partial`; it is hashable) is held strongly until it is unsubscribed.
#   Equal ones are subscribed once.
# * `hub.unsubscribe(callback)` ends a subscription; where there is none, it does nothing.
# * `hub.publish(event)` calls the subscribers, in the order of subscription, with the event, and returns how many it
#   has called. Who subscribes meanwhile gets the next event. Who dies or is unsubscribed before its turn isn't called.
#   (Open: one that is unsubscribed *and* subscribed again before its turn.) An exception comes out at once.
# * `len(hub)` is the number of subscriptions; dead ones don't count, and take no memory. The hub itself is freed by its
#   reference count, whoever is subscribed.
#
# ```python
# >>> class View:
# ...     def show(self, event):
# ...         print("view:", event)
# >>> hub, view = Hub(), View()
# >>> hub.subscribe(view.show)
# >>> hub.subscribe(print)
# >>> hub.publish("saved")
# view: saved
# saved
# 2
# >>> del view
# >>> hub.publish("closed"), len(hub)
# closed
# (1, 1)
# ```


# %% solution event_hub
class Hub:
    """Tells subscribers of events, without keeping the instances behind bound methods alive."""

    def __init__(self) -> None:
        # BEGIN SOLUTION
        self._subscribers: dict[Hashable, Callable[[], Callable[[Any], object] | None]] = {}
        # END SOLUTION

    def __len__(self) -> int:
        """Return the number of subscriptions."""
        # BEGIN SOLUTION
        return len(self._subscribers)
        # END SOLUTION

    def subscribe(self, callback: Callable[[Any], object]) -> None:
        """Call `callback` with each event from now on; bound methods as long as their instance lives."""
        # BEGIN SOLUTION
        key = self._key(callback)
        if isinstance(callback, MethodType):
            subscribers = weakref.ref(self)

            def forget(_: object) -> None:
                hub = subscribers()
                if hub is not None:
                    del hub._subscribers[key]

            self._subscribers.setdefault(key, weakref.WeakMethod(callback, forget))
        else:
            self._subscribers[key] = lambda: callback
        # END SOLUTION

    def unsubscribe(self, callback: Callable[[Any], object]) -> None:
        """End a subscription."""
        # BEGIN SOLUTION
        self._subscribers.pop(self._key(callback), None)
        # END SOLUTION

    def publish(self, event: object) -> int:
        """Call the subscribers with an event; return how many were called."""
        # BEGIN SOLUTION
        called = 0
        for key in list(self._subscribers):
            callback = self._subscribers.get(key, lambda: None)()
            if callback is not None:
                callback(event)
                called += 1
        return called

    @staticmethod
    def _key(callback: Callable[[Any], object]) -> Hashable:
        """Return what two callbacks have in common that are one subscription."""
        if isinstance(callback, MethodType):
            return id(callback.__self__), callback.__func__
        return callback
        # END SOLUTION


# %% check event_hub points=2
class Screen:
    """A subscriber that notes what it was told, under its name."""

    def __init__(self, name: str, log: list[str]) -> None:
        self.name = name
        self.log = log

    def show(self, event: object) -> None:
        self.log.append(f"{self.name}: {event}")

    def hide(self, event: object) -> None:
        self.log.append(f"{self.name} hides: {event}")


def test_methods_are_called_in_the_order_of_subscription() -> None:
    log: list[str] = []
    hub, screens = Hub(), [Screen("b", log), Screen("a", log)]
    for screen in screens:
        hub.subscribe(screen.show)
    assert hub.publish("saved") == 2, "publish returns how many were called"
    assert log == ["b: saved", "a: saved"], "a weak reference to the bound method itself would be dead by now"


def test_a_closed_subscriber_is_freed_and_not_called() -> None:
    log: list[str] = []
    with collector_off():
        hub, gone, stays = Hub(), Screen("gone", log), Screen("stays", log)
        hub.subscribe(gone.show)
        hub.subscribe(stays.show)
        hub.publish("first")
        ghost = weakref.ref(gone)
        del gone
        assert ghost() is None, "the hub must not keep its subscribers alive, and needs no collector for that"
        assert len(hub) == 1, "the subscription ends with its instance"
    assert (hub.publish("second"), log[2:]) == (1, ["stays: second"]), "only the living one hears of it"


def test_functions_are_kept() -> None:
    log: list[object] = []
    hub = Hub()
    hub.subscribe(lambda event: log.append(("lambda", event)))
    hub.subscribe(functools.partial(lambda name, event: log.append((name, event)), "partial"))
    gc.collect()
    assert hub.publish("saved") == 2, "nobody else holds a lambda: held weakly it would be gone at once"
    assert log == [("lambda", "saved"), ("partial", "saved")], "both are called, in order"


# %% hidden event_hub points=4
class Screen:
    """A subscriber that notes what it was told, under its name."""

    def __init__(self, name: str, log: list[str]) -> None:
        self.name = name
        self.log = log

    def show(self, event: object) -> None:
        self.log.append(f"{self.name}: {event}")

    def hide(self, event: object) -> None:
        self.log.append(f"{self.name} hides: {event}")


def test_equal_instances_are_two_subscribers() -> None:
    log: list[int] = []

    @dataclass(frozen=True)
    class Panel:
        title: str

        def show(self, event: object) -> None:
            log.append(id(self))

    hub, first, second = Hub(), Panel("sales"), Panel("sales")
    hub.subscribe(first.show)
    hub.subscribe(second.show)
    assert hub.publish("saved") == 2, "WeakMethod compares instances with ==, and the second panel stays blank"
    assert log == [id(first), id(second)], "each of the two is told"
    hub.unsubscribe(first.show)
    assert (hub.publish("saved"), log[2:]) == (1, [id(second)]), "the one that unsubscribed goes, not its twin"


def test_instances_need_no_hash() -> None:
    @dataclass
    class Panel:
        shown: int = 0

        def show(self, event: object) -> None:
            self.shown += 1

    hub, panel = Hub(), Panel()
    hub.subscribe(panel.show)
    hub.publish("saved")
    assert panel.shown == 1, "a plain dataclass has no hash, and is a subscriber like any other"


def test_the_same_method_is_subscribed_once() -> None:
    log: list[str] = []
    hub, screen = Hub(), Screen("a", log)
    for _ in range(3):
        hub.subscribe(screen.show)
    hub.subscribe(screen.hide)
    assert (len(hub), hub.publish("saved")) == (2, 2), "`screen.show` is a new object each time, and one subscriber"
    assert log == ["a: saved", "a hides: saved"], "another method of the same instance is another subscriber"


def test_the_same_function_is_subscribed_once() -> None:
    log: list[object] = []
    hub = Hub()
    hub.subscribe(log.append)
    hub.subscribe(log.append)
    assert (hub.publish("saved"), log) == (1, ["saved"]), "`log.append` is a new, equal object each time"


def test_who_unsubscribes_is_not_called() -> None:
    log: list[str] = []
    hub, screen = Hub(), Screen("a", log)
    hub.subscribe(screen.show)
    hub.subscribe(print)
    hub.unsubscribe(screen.show)
    hub.unsubscribe(print)
    assert (len(hub), hub.publish("saved"), log) == (0, 0, []), "methods and functions can both be unsubscribed"


def test_to_unsubscribe_a_stranger_does_nothing() -> None:
    hub, screen = Hub(), Screen("a", [])
    hub.subscribe(print)
    hub.unsubscribe(screen.show)
    hub.unsubscribe(repr)
    assert len(hub) == 1, "whoever cleans up twice gets no error, and nobody else loses their subscription"


def test_a_method_of_an_object_without_weak_references_is_refused() -> None:
    class Slim:
        __slots__ = ()

        def show(self, event: object) -> None: ...

    hub, slim = Hub(), Slim()
    with pytest.raises(TypeError):
        hub.subscribe(slim.show)
    assert (len(hub), hub.publish("saved")) == (0, 0), "a refused subscription leaves nothing behind"


def test_who_dies_before_its_turn_is_not_called() -> None:
    log: list[str] = []
    screens = {"second": Screen("second", log)}
    hub = Hub()
    hub.subscribe(lambda event: screens.clear())
    hub.subscribe(screens["second"].show)
    assert (hub.publish("close all"), log) == (1, []), "the first subscriber closed the second"
    assert len(hub) == 1, "its subscription has ended"


def test_who_is_unsubscribed_before_its_turn_is_not_called() -> None:
    log: list[str] = []
    hub, screen = Hub(), Screen("second", log)
    hub.subscribe(lambda event: hub.unsubscribe(screen.show))
    hub.subscribe(screen.show)
    assert (hub.publish("saved"), log) == (1, []), "after unsubscribe returns, no call may come"


def test_who_subscribes_meanwhile_gets_the_next_event() -> None:
    log: list[str] = []
    hub, screen = Hub(), Screen("late", log)
    hub.subscribe(lambda event: hub.subscribe(screen.show))
    assert (hub.publish("first"), hub.publish("second")) == (1, 2), "the list may not grow under the loop"
    assert log == ["late: second"], "the first event was before its time"


def test_an_exception_comes_out_at_once() -> None:
    log: list[object] = []

    def fail(event: object) -> None:
        raise ValueError(event)

    hub = Hub()
    hub.subscribe(fail)
    hub.subscribe(log.append)
    with pytest.raises(ValueError, match="saved"):
        hub.publish("saved")
    assert log == [], "the publisher decides what an error means"


def test_the_hub_is_freed_by_its_count() -> None:
    log: list[str] = []
    with collector_off():
        hub, screen = Hub(), Screen("a", log)
        hub.subscribe(screen.show)
        hub.subscribe(print)
        hub.publish("saved")
        ghost = weakref.ref(hub)
        del hub
        assert ghost() is None, "a callback of a weak reference that holds the hub makes a cycle with it"
    del screen


def test_dead_subscriptions_take_no_memory() -> None:
    hub = Hub()
    tracing = tracemalloc.is_tracing()
    tracemalloc.start()
    try:
        for _ in range(200):
            hub.subscribe(Screen("gone", []).show)
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(2_000):
            hub.subscribe(Screen("gone", []).show)
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        if not tracing:
            tracemalloc.stop()
    assert len(hub) == 0, "none of them is alive"
    assert grown < 100_000, f"2,000 views came and went, and {grown:,} bytes stayed: what died has to be forgotten"


# %% wrong event_hub fails=test_methods_are_called_in_the_order_of_subscription
# "A WeakSet of callbacks": each `view.show` is a new object that dies before `subscribe` returns.
class Hub:
    """Tells subscribers of events, without keeping the instances behind bound methods alive."""

    def __init__(self) -> None:
        self._subscribers: weakref.WeakSet[Callable[[Any], object]] = weakref.WeakSet()

    def __len__(self) -> int:
        return len(self._subscribers)

    def subscribe(self, callback: Callable[[Any], object]) -> None:
        """Call `callback` with each event from now on; bound methods as long as their instance lives."""
        self._subscribers.add(callback)

    def unsubscribe(self, callback: Callable[[Any], object]) -> None:
        """End a subscription."""
        self._subscribers.discard(callback)

    def publish(self, event: object) -> int:
        """Call the subscribers with an event; return how many were called."""
        callbacks = list(self._subscribers)
        for callback in callbacks:
            callback(event)
        return len(callbacks)


# %% wrong event_hub fails=test_equal_instances_are_two_subscribers
# "WeakMethods make good keys": they compare and hash by the instance's own `==` and hash.
class Hub:
    """Tells subscribers of events, without keeping the instances behind bound methods alive."""

    def __init__(self) -> None:
        self._subscribers: dict[Any, None] = {}

    def __len__(self) -> int:
        return len(self._subscribers)

    def _reference(self, callback: Callable[[Any], object]) -> Any:
        if isinstance(callback, MethodType):
            hub = weakref.ref(self)
            return weakref.WeakMethod(callback, lambda ref: hub()._subscribers.pop(ref))  # type: ignore[union-attr]
        return callback

    def subscribe(self, callback: Callable[[Any], object]) -> None:
        """Call `callback` with each event from now on; bound methods as long as their instance lives."""
        self._subscribers[self._reference(callback)] = None

    def unsubscribe(self, callback: Callable[[Any], object]) -> None:
        """End a subscription."""
        self._subscribers.pop(self._reference(callback), None)

    def publish(self, event: object) -> int:
        """Call the subscribers with an event; return how many were called."""
        called = 0
        for reference in list(self._subscribers):
            callback = reference() if isinstance(reference, weakref.WeakMethod) else reference
            if callback is not None and reference in self._subscribers:
                callback(event)
                called += 1
        return called


# %% wrong event_hub fails=test_the_hub_is_freed_by_its_count
# "The instance isn't kept, so all is well": the weak reference's own callback holds the hub in a cycle.
class Hub:
    """Tells subscribers of events, without keeping the instances behind bound methods alive."""

    def __init__(self) -> None:
        self._subscribers: dict[Hashable, Any] = {}

    def __len__(self) -> int:
        return len(self._subscribers)

    def _key(self, callback: Any) -> Hashable:
        return (id(callback.__self__), callback.__func__) if isinstance(callback, MethodType) else callback

    def subscribe(self, callback: Callable[[Any], object]) -> None:
        """Call `callback` with each event from now on; bound methods as long as their instance lives."""
        key = self._key(callback)
        if isinstance(callback, MethodType):
            self._subscribers.setdefault(key, weakref.WeakMethod(callback, lambda _: self._subscribers.pop(key)))
        else:
            self._subscribers.setdefault(key, lambda: callback)

    def unsubscribe(self, callback: Callable[[Any], object]) -> None:
        """End a subscription."""
        self._subscribers.pop(self._key(callback), None)

    def publish(self, event: object) -> int:
        """Call the subscribers with an event; return how many were called."""
        called = 0
        for key in list(self._subscribers):
            if key in self._subscribers:
                self._subscribers[key]()(event)
                called += 1
        return called


# %% right event_hub
class Hub:
    """Tells subscribers of events, without keeping the instances behind bound methods alive."""

    def __init__(self) -> None:
        self._references: list[Callable[[], Any]] = []

    def _living(self) -> list[Callable[[], Any]]:
        self._references = [reference for reference in self._references if reference() is not None]
        return self._references

    def __len__(self) -> int:
        return len(self._living())

    @staticmethod
    def _same(one: Any, other: Any) -> bool:
        if isinstance(one, MethodType) and isinstance(other, MethodType):
            return one.__self__ is other.__self__ and one.__func__ is other.__func__
        return bool(one == other)

    def subscribe(self, callback: Callable[[Any], object]) -> None:
        """Call `callback` with each event from now on; bound methods as long as their instance lives."""
        if not any(self._same(reference(), callback) for reference in self._living()):
            method = isinstance(callback, MethodType)
            self._references.append(weakref.WeakMethod(callback) if method else lambda: callback)

    def unsubscribe(self, callback: Callable[[Any], object]) -> None:
        """End a subscription."""
        self._references = [each for each in self._living() if not self._same(each(), callback)]

    def publish(self, event: object) -> int:
        """Call the subscribers with an event; return how many were called."""
        called = 0
        for reference in list(self._living()):
            callback = reference() if reference in self._references else None
            if callback is not None:
                callback(event)
                called += 1
        return called


# %% [markdown] hint event_hub
# What does a bound method consist of, and which part of it lives as long as the view? Then: by what can you recognise
# the same method of the same instance, if neither `==` nor a hash of the instance may be asked?

# %% [markdown] hint event_hub
# A dictionary keeps the order. Key: `(id(callback.__self__), callback.__func__)`; value: a `weakref.WeakMethod`. An
# `id` may be given again to a new object after the old one has died, so the entry has to go with the instance: a
# `WeakMethod` takes a second argument, a callback for that moment.

# %% [markdown] hint event_hub
# That callback must not hold the hub: let it have `weakref.ref(self)` and the key. For other callables the value can be
# `lambda: callback`, so that both kinds are called alike. `publish` walks over `list(self._subscribers)` and looks each
# key up again when its turn comes.

# %% [markdown] after event_hub
# **Why.** Three references had to be thought of: hub → view (weak), `WeakMethod` → its callback → hub (weak too, or the
# hub is in a cycle), and the loop's own list, which holds keys and not methods, so that a view closed by an earlier
# subscriber is really gone.
#
# **Alternatives.** Sweeping out dead references in `subscribe` and `publish` needs no callbacks, and costs a pass each
# time. `WeakKeyDictionary[instance, methods]` needs a hash and mixes up equal instances. **Explicit `unsubscribe`**, by
# a context manager or a token that the subscriber closes, is the honest design where lifetimes are clear; weak
# references are for where they aren't. Their price: a lambda can't be treated alike, and a subscriber in a cycle
# still hears events until the collector comes.
#
# **The interviewer goes on**: *Several threads publish: what needs a lock? (A weak reference's callback runs in
# whatever thread drops the last reference, perhaps while it holds your lock: so an `RLock`, or no lock there.) What
# does Django's `Signal.connect(weak=True)` do with a lambda? (It is dropped at once.)*

# %% [markdown]
# ## Memory profiling: what grew, and which line made it
#
# **Memory profiling** answers three questions, with three tools:
#
# | question | tool | cost |
# | --- | --- | --- |
# | does the process grow? | resident set size: `psutil`, `ps`, the container's metrics | none |
# | which line allocated what is still alive? | `tracemalloc` | measured below |
# | what did native code allocate, who holds the peak? | [memray](https://bloomberg.github.io/memray/) | a recording |
#
# `tracemalloc` (standard library) hooks Python's allocators. From `start()` on it notes for each block that is alive
# its size and where it was allocated (`start(25)`: the 25 innermost frames). `take_snapshot()` copies that, and
# `new.compare_to(old, "lineno")` groups by line and sorts by the difference. It sees nothing from before `start()`,
# and nothing that C libraries get for themselves from `malloc`.


# %%
def load_rows(count: int) -> list[dict[str, int]]:
    return [{"row": row} for row in range(count)]


def index_rows(rows: list[dict[str, int]]) -> dict[int, dict[str, int]]:
    return {row["row"]: row for row in rows}


tracemalloc.start()
old = tracemalloc.take_snapshot()
rows = load_rows(10_000)
index = index_rows(rows)
new = tracemalloc.take_snapshot()
tracemalloc.stop()
for growth in new.compare_to(old, "lineno")[:2]:
    where = growth.traceback[0]
    print(f"line {where.lineno} of the cell: {growth.size_diff:+9,} bytes in {growth.count_diff:+6,} blocks")


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


plain = min(seconds(lambda: load_rows(10_000)) for _ in range(3))
tracemalloc.start()
traced_time = min(seconds(lambda: load_rows(10_000)) for _ in range(3))
tracemalloc.stop()
print(f"allocating under tracemalloc takes {traced_time / plain:.1f} times as long")
del rows, index, old, new

# %% [markdown]
# (That factor is for code that does nothing but allocate, and grows with the depth of the stack. Turn tracing on for
# minutes, on one replica.)
#
# The index costs only its table: its values are the rows, and those stand with the line that *made* them. tracemalloc
# says where memory comes from, not who holds it. For the holder read on from that line, or use `gc.get_referrers`.
#
# A single comparison accuses everything that was filled once: caches, interned strings, a pool's first connection. The
# pattern of a **leak** is growth in *every* round of the same work, after a warm-up. That is a program.

# %% [markdown] exercise leak_detector topic=memory-management level=senior minutes=15
# ## Exercise: The leak test for the build server
#
# Each release, some handler leaks again. You want a test that calls a piece of work over and over, and names the lines
# that keep growing. Write it with `tracemalloc`.
#
# `growing_lines(step, warmup=2, rounds=4, least=1024)` returns a list of `(filename, lineno, grown)`:
#
# * It calls `step()` `warmup` times, then `rounds` times, and nothing else; results are dropped. It compares the memory
#   after the warm-up, and after each round, by the line that allocated it (`"lineno"`).
# * A line is returned if it grew by `least` bytes or more in **every** round. `grown` is how much it grew over all
#   rounds, in bytes. The line that grew most comes first; equal ones by filename, then line.
# * Garbage in cycles isn't a leak: it is collected before each comparison, whether or not `gc` is enabled, and `gc`
#   stays as it was. What `tracemalloc` allocates for itself (`tracemalloc.__file__`) isn't returned.
# * `rounds` below 2 is a `ValueError`, before anything is called: one round can't tell a leak from a cache.
# * If tracemalloc wasn't tracing, it isn't afterwards, also when `step` raises (the exception comes out). If it was, it
#   goes on.
#
# `least` is at least 1,024. What your own function keeps between rounds isn't a finding either: snapshots that are only
# compared after the last round stay out of the way.
#
# ```python
# >>> kept = []
# >>> def step():
# ...     scratch = bytearray(50_000)
# ...     kept.append(bytearray(10_000))
# >>> [(line, grown // 10_000) for _, line, grown in growing_lines(step)]
# [(3, 4)]
# >>> growing_lines(lambda: bytearray(50_000))
# []
# >>> growing_lines(step, rounds=1)
# Traceback (most recent call last):
# ValueError: one round can't tell a leak from a cache
# ```


# %% solution leak_detector
def growing_lines(
    step: Callable[[], object], warmup: int = 2, rounds: int = 4, least: int = 1024
) -> list[tuple[str, int, int]]:
    """Return (filename, line, bytes grown) of the lines that grow in every round of `step`."""
    # BEGIN SOLUTION
    if rounds < 2:
        raise ValueError("one round can't tell a leak from a cache")
    snapshots = []
    was_tracing = tracemalloc.is_tracing()
    if not was_tracing:
        tracemalloc.start()
    try:
        for _ in range(warmup):
            step()
        for number in range(rounds + 1):
            if number:
                step()
            gc.collect()
            snapshots.append(tracemalloc.take_snapshot())
    finally:
        if not was_tracing:
            tracemalloc.stop()

    not_ours = [tracemalloc.Filter(False, tracemalloc.__file__)]
    filtered = [snapshot.filter_traces(not_ours) for snapshot in snapshots]
    grown = [
        {
            (difference.traceback[0].filename, difference.traceback[0].lineno): difference.size_diff
            for difference in after.compare_to(before, "lineno")
            if difference.size_diff >= least
        }
        for before, after in itertools.pairwise(filtered)
    ]
    always = set.intersection(*map(set, grown))
    totals = [(*line, sum(each[line] for each in grown)) for line in always]
    return sorted(totals, key=lambda total: (-total[2], total))
    # END SOLUTION


# %% check leak_detector points=2
@pytest.fixture(autouse=True)
def only_new_objects() -> Iterator[None]:
    """Leave what lives already out of the collector's passes, so that each is quick."""
    gc.freeze()
    yield
    gc.unfreeze()


def line_of(function: Callable[..., object], offset: int) -> tuple[str, int]:
    """Return the filename, and the number of the line `offset` below the def."""
    return function.__code__.co_filename, function.__code__.co_firstlineno + offset


def test_the_line_that_leaks_is_named() -> None:
    kept: list[bytearray] = []

    def step() -> None:
        bytearray(50_000)
        kept.append(bytearray(10_000))

    found = growing_lines(step)
    assert [line[:2] for line in found] == [line_of(step, 2)], "only what is still alive after the round has grown"
    assert 40_000 <= found[0][2] < 45_000, "four rounds of 10,000 bytes, and a little for the list"


def test_work_that_keeps_nothing_is_clean() -> None:
    assert growing_lines(lambda: [bytearray(1000) for _ in range(100)]) == [], "a false alarm is switched off in a week"


def test_a_cache_that_fills_up_is_no_leak() -> None:
    cache: dict[int, bytearray] = {}
    keys = itertools.cycle(range(4))

    def step() -> None:
        key = next(keys)
        if key not in cache:
            cache[key] = bytearray(10_000)

    found = growing_lines(step, warmup=2, rounds=4)
    assert found == [], "it grew in two of four rounds: a leak grows in every one"


# %% hidden leak_detector points=4
@pytest.fixture(autouse=True)
def only_new_objects() -> Iterator[None]:
    """Leave what lives already out of the collector's passes, so that each is quick."""
    gc.freeze()
    yield
    gc.unfreeze()


def line_of(function: Callable[..., object], offset: int) -> tuple[str, int]:
    """Return the filename, and the number of the line `offset` below the def."""
    return function.__code__.co_filename, function.__code__.co_firstlineno + offset


def test_the_step_is_called_for_warm_up_and_rounds() -> None:
    calls: list[None] = []
    for warmup, rounds in ((0, 2), (3, 2), (1, 5)):
        calls.clear()
        growing_lines(lambda: calls.append(None), warmup=warmup, rounds=rounds)
        assert len(calls) == warmup + rounds, "each call is work that somebody waits for"


def test_growth_in_the_warm_up_does_not_count() -> None:
    kept: list[bytearray] = []

    def step() -> None:
        kept.append(bytearray(100_000 if len(kept) < 3 else 10_000))

    (found,) = growing_lines(step, warmup=3, rounds=2)
    assert 20_000 <= found[2] < 25_000, "pools and caches fill in the first rounds"


def test_the_first_round_counts() -> None:
    kept: list[bytearray] = []

    def step() -> None:
        kept.append(bytearray(10_000 if len(kept) > 2 else 0))

    assert growing_lines(step, warmup=2, rounds=3) == [], "nothing grew in the first of the three rounds"


def test_one_big_step_is_no_leak() -> None:
    kept: list[bytearray] = []
    calls = itertools.count()

    def step() -> None:
        if next(calls) == 3:
            kept.append(bytearray(1_000_000))

    assert growing_lines(step) == [], "last minus first would accuse everything that was ever made once"


def test_what_goes_up_and_down_is_no_leak() -> None:
    kept: list[bytearray] = []

    def step() -> None:
        if len(kept) == 3:
            kept.clear()
        kept.append(bytearray(10_000))

    assert growing_lines(step, rounds=4) == [], "a buffer that is flushed now and then comes down again"


def test_garbage_in_cycles_is_no_leak() -> None:
    def step() -> None:
        node: list[object] = [bytearray(10_000)]
        node.append(node)

    with collector_off():
        assert growing_lines(step) == [], "the collector will free it: collect before you compare"
        assert not gc.isenabled(), "whoever turned the collector off had a reason"


def test_the_collector_stays_on() -> None:
    enabled = gc.isenabled()
    gc.enable()
    try:
        growing_lines(lambda: None)
        assert gc.isenabled(), "a test tool that turns the collector off changes the tests that follow"
    finally:
        if not enabled:
            gc.disable()


def test_the_line_that_grows_most_comes_first() -> None:
    kept: list[bytearray] = []

    def step() -> None:
        kept.append(bytearray(5_000))
        kept.append(bytearray(20_000))
        kept.append(bytearray(10_000))

    found = [line[:2] for line in growing_lines(step)]
    assert found == [line_of(step, offset) for offset in (2, 3, 1)], "one mends the biggest first"


def test_equal_growth_is_in_the_order_of_lines() -> None:
    kept: list[list[object]] = [[None] * 20 for _ in range(8)]
    calls = itertools.count()

    def step() -> None:
        number = next(calls)
        kept[0][number] = bytes(5_000)
        kept[1][number] = bytes(5_000)
        kept[2][number] = bytes(5_000)
        kept[3][number] = bytes(5_000)
        kept[4][number] = bytes(5_000)
        kept[5][number] = bytes(5_000)

    found = [line[1] for line in growing_lines(step)]
    assert found == [line_of(step, offset)[1] for offset in range(2, 8)], "a report that can be compared needs an order"


def test_a_line_that_grows_by_exactly_the_least_is_found() -> None:
    kept: list[object] = [None] * 50
    calls = itertools.count()

    def step() -> None:
        number = next(calls)
        kept[number] = bytes(5_000)

    each = sys.getsizeof(bytes(5_000))
    assert len(growing_lines(step, least=each)) == 1, "`least` bytes in every round are enough"
    assert growing_lines(step, least=each + 1) == [], "a byte less in a round isn't"


def test_one_kilobyte_is_the_default() -> None:
    kept: list[object] = [None] * 50
    calls = itertools.count()
    size = 1024 - sys.getsizeof(b"")

    def step(less: int) -> None:
        number = next(calls)
        kept[number] = bytes(size - less)

    assert len(growing_lines(lambda: step(0))) == 1, "1,024 bytes in a round are reported"
    assert growing_lines(lambda: step(1)) == [], "1,023 are taken for noise"


def test_the_default_is_two_and_four_calls() -> None:
    calls: list[None] = []
    growing_lines(lambda: calls.append(None))
    assert len(calls) == 6, "two calls to warm up and four rounds"


def test_tracing_stops_where_it_was_off() -> None:
    tracemalloc.stop()
    growing_lines(lambda: None)
    assert not tracemalloc.is_tracing(), "left on, it makes everything after it slower and larger"


def test_tracing_stops_when_the_step_fails() -> None:
    def fail() -> None:
        raise ZeroDivisionError("step failed")

    tracemalloc.stop()
    for warmup in (0, 1):
        with pytest.raises(ZeroDivisionError, match="step failed"):
            growing_lines(fail, warmup=warmup)
        assert not tracemalloc.is_tracing(), "an error in the step is no reason to go on tracing"


def test_tracing_goes_on_where_it_was_on() -> None:
    tracemalloc.start()
    try:
        marker = bytearray(1000)
        growing_lines(lambda: None)
        assert tracemalloc.is_tracing(), "somebody else is measuring"
        assert tracemalloc.get_object_traceback(marker) is not None, "and to start anew would lose what they have"
    finally:
        tracemalloc.stop()


def test_fewer_than_two_rounds_are_refused() -> None:
    calls: list[None] = []
    for rounds in (1, 0):
        with pytest.raises(ValueError, match=r".*"):
            growing_lines(lambda: calls.append(None), rounds=rounds)
    assert calls == [], "refused before anything is called"
    assert not tracemalloc.is_tracing(), "and before anything is started"


# %% wrong leak_detector fails=test_one_big_step_is_no_leak
# "Compare the end with the start": what was made once looks like what is made each time.
def growing_lines(
    step: Callable[[], object], warmup: int = 2, rounds: int = 4, least: int = 1024
) -> list[tuple[str, int, int]]:
    """Return (filename, line, bytes grown) of the lines that grow in every round of `step`."""
    if rounds < 2:
        raise ValueError("one round can't tell a leak from a cache")
    was_tracing = tracemalloc.is_tracing()
    if not was_tracing:
        tracemalloc.start()
    try:
        for _ in range(warmup):
            step()
        gc.collect()
        before = tracemalloc.take_snapshot()
        for _ in range(rounds):
            step()
        gc.collect()
        after = tracemalloc.take_snapshot()
    finally:
        if not was_tracing:
            tracemalloc.stop()
    return [
        (difference.traceback[0].filename, difference.traceback[0].lineno, difference.size_diff)
        for difference in after.compare_to(before, "lineno")
        if difference.size_diff >= least * rounds and difference.traceback[0].filename != tracemalloc.__file__
    ]


# %% wrong leak_detector fails=test_garbage_in_cycles_is_no_leak
# "What is alive is leaked": garbage that waits for the collector is alive until it comes.
def growing_lines(
    step: Callable[[], object], warmup: int = 2, rounds: int = 4, least: int = 1024
) -> list[tuple[str, int, int]]:
    """Return (filename, line, bytes grown) of the lines that grow in every round of `step`."""
    if rounds < 2:
        raise ValueError("one round can't tell a leak from a cache")
    was_tracing = tracemalloc.is_tracing()
    if not was_tracing:
        tracemalloc.start()
    try:
        for _ in range(warmup):
            step()
        snapshots = [tracemalloc.take_snapshot()]
        for _ in range(rounds):
            step()
            snapshots.append(tracemalloc.take_snapshot())
    finally:
        if not was_tracing:
            tracemalloc.stop()
    totals: dict[tuple[str, int], list[int]] = {}
    for before, after in itertools.pairwise(snapshots):
        for difference in after.compare_to(before, "lineno"):
            where = difference.traceback[0]
            if difference.size_diff >= least and where.filename != tracemalloc.__file__:
                totals.setdefault((where.filename, where.lineno), []).append(difference.size_diff)
    found = [(*line, sum(sizes)) for line, sizes in totals.items() if len(sizes) == rounds]
    return sorted(found, key=lambda each: (-each[2], each))


# %% wrong leak_detector fails=test_tracing_goes_on_where_it_was_on
# "Start, measure, stop": whoever was tracing already loses all that they have.
def growing_lines(
    step: Callable[[], object], warmup: int = 2, rounds: int = 4, least: int = 1024
) -> list[tuple[str, int, int]]:
    """Return (filename, line, bytes grown) of the lines that grow in every round of `step`."""
    if rounds < 2:
        raise ValueError("one round can't tell a leak from a cache")
    tracemalloc.start()
    try:
        for _ in range(warmup):
            step()
        snapshots = []
        for number in range(rounds + 1):
            if number:
                step()
            gc.collect()
            snapshots.append(tracemalloc.take_snapshot())
    finally:
        tracemalloc.stop()
    totals: dict[tuple[str, int], list[int]] = {}
    for before, after in itertools.pairwise(snapshots):
        for difference in after.compare_to(before, "lineno"):
            where = difference.traceback[0]
            if difference.size_diff >= least and where.filename != tracemalloc.__file__:
                totals.setdefault((where.filename, where.lineno), []).append(difference.size_diff)
    found = [(*line, sum(sizes)) for line, sizes in totals.items() if len(sizes) == rounds]
    return sorted(found, key=lambda each: (-each[2], each))


# %% [markdown] hint leak_detector
# How many snapshots do you need for `rounds` rounds, and when is the first? A line leaks if it is in *every*
# comparison of two neighbours.

# %% [markdown] hint leak_detector
# Take all snapshots first and compare after tracing has stopped, so that your own tables aren't measured. Each
# difference has `size_diff` and `traceback[0]` with `filename` and `lineno`. `itertools.pairwise` gives the neighbours.

# %% [markdown] hint leak_detector
# One dictionary for each pair of neighbours: `{(filename, lineno): size_diff}` of those with `size_diff >= least`. The
# lines are the intersection of their keys, `grown` the sum. `Filter(False, tracemalloc.__file__)` with
# `snapshot.filter_traces([...])` takes out tracemalloc's own. `stop()` belongs into a `finally`, behind an `if`.

# %% [markdown] after leak_detector
# **Why.** *In every round* is what separates a leak from a cache, from a list that doubles now and then, and from
# noise. It also has a blind spot: what leaks in one request of ten looks like a cache. So repeat the work inside of
# `step` until each round leaks for certain.
#
# **Cost.** Snapshots are copies: memory for every block that is alive, `rounds + 1` times. In a large service reduce
# each one at once to the sizes by line. In production: start tracing on a signal, take two snapshots some minutes
# apart, write the comparison to the log, stop.
#
# **Alternatives.** Counting objects by type between rounds (`collections.Counter(type(o) for o in gc.get_objects())`)
# says *what* grows rather than *where* it was made, costs nothing until it is asked, and doesn't see `str` or `bytes`.
# `pytest-memray` marks tests with a bound.
#
# **The interviewer goes on**: *The line that it names is in a JSON parser: what now? (`start(25)`, group by
# `"traceback"`.) RSS grows, and tracemalloc sees nothing? (Native memory, threads' stacks, or fragmentation: below.)*

# %% [markdown]
# ## What an object really costs
#
# `sys.getsizeof(obj)` is the block of that one object (and the collector's header). It doesn't follow references: not
# to the elements of a list, nor to an instance's `__dict__`, nor to attributes. "Add it up recursively" counts shared
# objects twice. What is asked in practice is *what would be freed if this went*, and that can be measured: allocate
# many under tracemalloc, and divide.


# %%
def traced(make: Callable[[], object]) -> int:
    """Return the bytes that what `make` returns takes, with all that was made for it."""
    gc.collect()  # also empties the free lists, where some types keep the blocks of dead objects for the next ones
    tracing = tracemalloc.is_tracing()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        made = make()
        gc.collect()
        size = tracemalloc.get_traced_memory()[0] - before
        del made
        return size
    finally:
        if not tracing:
            tracemalloc.stop()


print(f"{'':34}{'getsizeof':>10}{'measured':>10}")
COUNT = 10_000
samples: dict[str, Callable[[], object]] = {
    "list of 10,000 floats": lambda: [number / 8 for number in range(COUNT)],
    "list of one float, 10,000 times": lambda: [0.5] * COUNT,
    "dict of 10,000 floats": lambda: {number: number / 8 for number in range(COUNT)},
    "array('d') of 10,000 floats": lambda: array("d", [0.5]) * COUNT,
    "str of 10,000 ASCII characters": lambda: "x" * COUNT,
    "the same with one emoji": lambda: "x" * (COUNT - 1) + chr(0x1F600),
}
for label, sample in samples.items():
    print(f"{label:34}{sys.getsizeof(sample()):10,}{traced(sample):10,}")

grows: list[None] = []
sizes = []
for _ in range(40):
    grows.append(None)
    sizes.append(sys.getsizeof(grows))
print("a list that grows by append has room to spare:", sorted(set(sizes)))

# %% [markdown]
# Lists and dicts allocate ahead, so that `append` is cheap on average; a `dict` or `set` doesn't shrink when entries
# are deleted (at a later insertion, if at all), so a mapping that held a million keys for a minute stays large. A `str`
# takes 1, 2 or 4 bytes for *each* character, as its widest one needs.
#
# ### `__slots__`
#
# An ordinary instance has room for any attribute: a `__dict__`. CPython saves most of its cost: the instances of a
# class share the table of names and have only an array of values (3.13 puts that inside the instance), and a real
# `dict` is made when somebody asks for `obj.__dict__` or `vars(obj)`. `__slots__` fixes the names in the class: each
# is a descriptor for a place in the instance.

# %%
NAMES = ("x", "y", "z")


class PlainPoint:
    def __init__(self) -> None:
        self.x = self.y = self.z = 0


class SlottedPoint:
    __slots__ = NAMES

    def __init__(self) -> None:
        self.x = self.y = self.z = 0


class HalfSlotted(PlainPoint):
    __slots__ = ("w",)


def looked_into() -> PlainPoint:
    point = PlainPoint()
    vars(point)
    return point


makers: dict[str, Callable[[], object]] = {
    "PlainPoint": PlainPoint,
    "PlainPoint, after vars(point)": looked_into,
    "SlottedPoint": SlottedPoint,
    "slots below a base without them": HalfSlotted,
}
for label, maker in makers.items():
    size = traced(lambda make=maker: [make() for _ in range(COUNT)]) / COUNT  # type: ignore[misc]
    print(f"{label:32}{size:6.1f} bytes each, with 8 for its place in the list")
try:
    SlottedPoint().colour = "red"  # type: ignore[attr-defined]
except AttributeError as error:
    print(error)

# %% [markdown]
# Use slots for small objects by the hundred thousand, or to have a typo fail. **They cost**: no new attributes (nor
# `functools.cached_property`, which needs a `__dict__`), no weak references without `__weakref__`, no class attribute
# of the same name (so defaults need a dataclass), no multiple inheritance from two bases with slots that aren't empty.
# And they save nothing if one base class has none: such an instance can even get larger (on 3.13.0 the fourth row shows
# 408 bytes, since values are kept inside the instance only where there are no slots beside them). `vars(obj)` on
# millions of plain objects, by a logger or a serialiser, costs more than slots would have saved.

# %%
SYMBOLS = tuple(f"SYM{number}" for number in range(50))


def dict_tick(symbol: str, price: float, size: int) -> dict[str, Any]:
    """Return a trade."""
    return {"symbol": symbol, "price": price, "size": size}


class PlainTick:
    """A trade."""

    def __init__(self, symbol: str, price: float, size: int) -> None:
        self.symbol = symbol
        self.price = price
        self.size = size


@dataclass(slots=True)
class SlottedTick:
    """A trade."""

    symbol: str
    price: float
    size: int


def ticks(count: int) -> Iterator[tuple[str, float, int]]:
    """Yield symbol, price and size of trades: symbols are shared, prices and sizes are objects of their own."""
    for number in range(count):
        yield SYMBOLS[number % 50], number / 8, number + 1000


# %% [markdown] exercise tick_footprint topic=memory-management level=core minutes=8
# ## Exercise: Will a million ticks fit?
#
# A feed handler shall keep the last 1,000,000 trades in a pod with 256 MB, of which the interpreter and the libraries
# take 90. In the review somebody says: "use slots, then it fits". How much would each form take, in megabytes (10⁶
# bytes, as `tracemalloc` counts them), in the Python that runs this notebook? The trades are those of
# `ticks(1_000_000)` above: one of 50 shared symbols, a `float` and an `int` of its own. The values and the containers
# count. Return, by name:
#
# * `"dicts"`: a list of what `dict_tick` returns
# * `"plain"`: a list of `PlainTick`
# * `"slots"`: a list of `SlottedTick`
# * `"tuples"`: a list of `(symbol, price, size)`
# * `"columns"`: three columns: a list of the symbols, an `array("d")` of prices, an `array("q")` of sizes
#
# 12 % off is accepted. You may reckon it, or measure a sample with `traced`. (The tests measure 2,000 ticks.)
#
# ```python
# >>> answer = tick_footprint()
# >>> sorted(answer)
# ['columns', 'dicts', 'plain', 'slots', 'tuples']
# >>> answer["columns"] < answer["slots"] < answer["dicts"]
# True
# ```


# %% solution tick_footprint
def tick_footprint() -> dict[str, float]:
    """Return the megabytes for a million ticks in each form."""
    # BEGIN SOLUTION
    count = 2_000

    def columns() -> tuple[list[str], "array[float]", "array[int]"]:
        symbols, prices, sizes = [], array("d"), array("q")
        for symbol, price, size in ticks(count):
            symbols.append(symbol)
            prices.append(price)
            sizes.append(size)
        return symbols, prices, sizes

    forms: dict[str, Callable[[], object]] = {
        "dicts": lambda: [dict_tick(*tick) for tick in ticks(count)],
        "plain": lambda: [PlainTick(*tick) for tick in ticks(count)],
        "slots": lambda: [SlottedTick(*tick) for tick in ticks(count)],
        "tuples": lambda: list(ticks(count)),
        "columns": columns,
    }
    return {name: traced(make) / count for name, make in forms.items()}
    # END SOLUTION


# %% check tick_footprint points=1
@pytest.fixture(autouse=True)
def only_new_objects() -> Iterator[None]:
    """Leave what lives already out of the collector's passes, so that each is quick."""
    gc.freeze()
    yield
    gc.unfreeze()


def million(make: Callable[[Iterator[tuple[str, float, int]]], object]) -> Any:
    """Return the megabytes for a million ticks, measured on 2,000, as `approx`."""
    make(ticks(100))
    return pytest.approx(traced(lambda: make(ticks(2_000))) / 2_000, rel=0.12)


def test_a_list_of_slotted_ticks() -> None:
    expected = million(lambda rows: [SlottedTick(*row) for row in rows])
    assert tick_footprint()["slots"] == expected, "object with three slots, float, int, and a place in the list"


def test_a_list_of_plain_ticks() -> None:
    expected = million(lambda rows: [PlainTick(*row) for row in rows])
    assert tick_footprint()["plain"] == expected, "getsizeof doesn't see the attributes' array, nor the values"


# %% hidden tick_footprint points=2
@pytest.fixture(autouse=True)
def only_new_objects() -> Iterator[None]:
    """Leave what lives already out of the collector's passes, so that each is quick."""
    gc.freeze()
    yield
    gc.unfreeze()


def million(make: Callable[[Iterator[tuple[str, float, int]]], object]) -> Any:
    """Return the megabytes for a million ticks, measured on 2,000, as `approx`."""
    make(ticks(100))
    return pytest.approx(traced(lambda: make(ticks(2_000))) / 2_000, rel=0.12)


def test_a_list_of_dicts() -> None:
    expected = million(lambda rows: [dict_tick(*row) for row in rows])
    assert tick_footprint()["dicts"] == expected, "each dict has a table of its own, with references to the names"


def test_a_list_of_tuples() -> None:
    expected = million(list)
    assert tick_footprint()["tuples"] == expected, "a tuple has a length, and no names: about as much as slots"


def test_three_columns() -> None:
    def columns(rows: Iterator[tuple[str, float, int]]) -> object:
        symbols, prices, sizes = zip(*rows, strict=True)
        return list(symbols), array("d", prices), array("q", sizes)

    expected = million(columns)
    assert tick_footprint()["columns"] == expected, "8 bytes for a price, a size and a reference: no objects at all"


# %% wrong tick_footprint fails=test_a_list_of_plain_ticks
# "getsizeof tells the size": it tells that of the instance without its attributes, and leaves the values out.
def tick_footprint() -> dict[str, float]:
    """Return the megabytes for a million ticks in each form."""
    tick = next(ticks(1))
    return {
        "dicts": sys.getsizeof({"symbol": 1, "price": 2, "size": 3}),
        "plain": sys.getsizeof(PlainTick(*tick)),
        "slots": sys.getsizeof(SlottedTick(*tick)),
        "tuples": sys.getsizeof(tick),
        "columns": 24,
    }


# %% wrong tick_footprint fails=test_a_list_of_slotted_ticks
# "Three fields of 8 bytes": in an object a field is a reference, and the value another object.
def tick_footprint() -> dict[str, float]:
    """Return the megabytes for a million ticks in each form."""
    return {"dicts": 240, "plain": 104, "slots": 40, "tuples": 64, "columns": 24}


# %% right tick_footprint
def tick_footprint() -> dict[str, float]:
    """Return the megabytes for a million ticks in each form."""
    # float and int as blocks; 16 bytes for the collector's header, 8 for the place in the list.
    values = 24 + 32
    return {
        "dicts": 8 + sys.getsizeof({"symbol": 1, "price": 2, "size": 3}) + values,
        "plain": 8 + 92 + values,
        "slots": 8 + 16 + 16 + 3 * 8 + values,
        "tuples": 8 + 16 + 24 + 3 * 8 + values,
        "columns": 3 * 8,
    }


# %% [markdown] hint tick_footprint
# Which of these are made once for each tick: the symbol, the price, the size, the record, the record's table of
# attributes, the place in the list?

# %% [markdown] hint tick_footprint
# Bytes for one tick are megabytes for a million. So `traced(lambda: [SlottedTick(*tick) for tick in ticks(10_000)]) /
# 10_000` is one of the answers.

# %% [markdown] waive tick_footprint
# - `count = 2000` → `count = 2001`: the size of the sample is free, and one more tick doesn't change the average

# %% [markdown] after tick_footprint
# On the 3.11 that this was written with: 248, 161, 120, 128 and 24 MB (run the cell for yours). Slots take off a
# quarter, and it fits: 120 of 166 MB. "Use slots" still is the smaller half of the answer, because the two **values**
# cost 56 bytes of the 120. Only columns get rid of these: a fifth of slots. (`numpy` or `pyarrow` are the same idea
# with arithmetic; the symbols could be one byte each.)
#
# tracemalloc counts what was asked for. The allocator rounds blocks up to multiples of 16 bytes, so the resident set is
# somewhat larger. And the *peak* is what kills a pod: columns made by `zip(*rows)` hold all objects for a moment, those
# that are appended to row by row don't. Slots speed the collector's passes up little, for the objects
# are as many; arrays aren't looked into at all.
#
# **The interviewer goes on**: *The symbol comes out of a JSON parser, so it is a new string each time: what does that
# cost, and what does `sys.intern` do? What is it if a thousand ticks a second are to be dropped at the other end?
# (`deque(maxlen=…)`, a ring of arrays.) `namedtuple`, `dataclass(slots=True)`, `attrs`, Pydantic: which is how large?*

# %% [markdown]
# ## Why the process doesn't shrink
#
# Blocks up to 512 bytes come from CPython's own allocator: it takes **arenas** (1 MiB; 256 KiB up to 3.9) from the
# system, divides them into **pools** (16 KiB) of blocks of one size. An arena goes back when *all* its pools are
# empty. So one living object in each arena keeps all of them: **fragmentation**. Larger blocks go to the C library's
# `malloc`, which has the same problem of its own. (Free-threaded builds use mimalloc in place of arenas.) Below, 1 % of
# 200,000 small objects survive, either next to each other or scattered:


# %%
def resident() -> float:
    """Return the resident set of this process in MB."""
    return float(psutil.Process().memory_info().rss) / 1e6


def survivors(scattered: bool) -> tuple[float, float, float]:
    """Return by how many MB the process is larger: with all objects, with the 1 % that survive, and without."""
    gc.collect()
    start = resident()
    everything = [bytes(100 + number % 2) for number in range(200_000)]
    full = resident() - start
    kept = everything[::100] if scattered else everything[-2000:]
    del everything
    partly = resident() - start
    del kept
    return full, partly, resident() - start


survivors(scattered=False)
print(f"{'1 % survive':16}{'all':>8}{'1 %':>8}{'none':>8}   (MB of resident set)")
for label, scattered in (("side by side", False), ("scattered", True)):
    print(f"{label:16}" + "".join(f"{size:8.1f}" for size in survivors(scattered)))

# %% [markdown]
# So "RSS rose to 2 GB in the nightly import and stays" isn't a leak if the *next* import fits into the same 2 GB: that
# memory is free for Python, though not for others. A leak goes on rising at the same load. To tell them apart compare
# RSS with what is alive (`tracemalloc.get_traced_memory()`; `sys._debugmallocstats()` prints how full the arenas are).
# What helps: not making the peak (iterate in place of loading), doing the peak's work in a child process that ends,
# `MALLOC_ARENA_MAX` or jemalloc for the C side, and workers that are replaced after some thousand requests, which is
# honest engineering if it is known *why*.
#
# ## Resources with an owner
#
# `finalize` is how a library frees something outside Python (a temporary file, a handle, shared memory) when the object
# that stands for it goes, without `__del__`. Here is a registry made of it. It is the reference for the exercise.


# %%
@dataclass(frozen=True)
class Job:
    """An owner of resources; two jobs of one name are equal."""

    name: str


class Leases:
    """Releases resources when their owner dies, or before."""

    def __init__(self) -> None:
        self._leases: list[weakref.finalize[..., Any]] = []

    def __len__(self) -> int:
        return sum(lease.alive for lease in self._leases)

    def open(self, owner: object, release: Callable[[], object]) -> None:
        """Have `release` called when `owner` dies."""
        self._leases = [lease for lease in self._leases if lease.alive]
        self._leases.append(weakref.finalize(owner, release))

    def close(self, owner: object) -> None:
        """Release what `owner` has open."""
        for lease in reversed(self._leases):
            details = lease.peek()
            if details is not None and details[0] is owner:
                lease()

    def close_all(self) -> None:
        """Release what anybody has open."""
        for lease in reversed(self._leases):
            lease()


leases, job = Leases(), Job("nightly")
leases.open(job, lambda: print("  temporary folder removed"))
leases.open(job, lambda: print("  lock file removed"))
print("the job ends")
del job
print("open:", len(leases))

# %% [markdown] exercise lease_tests topic=memory-management level=senior minutes=15
# ## Exercise: Tests for what happens at the end of a life
#
# Ports of `Leases` go into five services, and bugs in it show up as "too many open files" three days later. Write the
# tests: a pytest class `TestLeases`. It is run against the `Leases` above, against another correct one, and against
# faulty ones, each in place of the global name `Leases` (so make `Leases()` *inside* your tests). All tests pass on the
# correct ones; at least one fails on each faulty one. The contract:
#
# 1. `open(owner, release)` calls nothing. `len(leases)` is the number of leases opened and not yet released.
# 2. When the last reference to an owner goes, all its releases are called **at once**, without help from the
#    collector. (`with collector_off():`, as above, turns that off. In a test, `del owner` drops your reference.)
# 3. `close(owner)` calls all releases that this owner has open, the latest first, and nobody else's. For an owner
#    without any it does nothing.
# 4. Owners are told apart by identity, even if they are equal, like two of `Job("nightly")` above.
# 5. `close_all()` calls all open releases, of all owners, the latest first.
# 6. Each release is called exactly once, whatever comes afterwards: another `close`, `close_all`, the owner's death.
#
# Owners can be referred to weakly and are hashable. Open are: the order of releases when an owner dies, releases that
# raise, what happens at the interpreter's exit, threads; and all attributes. `failing(TestLeases, Leases=Yours)` gives
# you the names of the tests that fail on `Yours`.
#
# ```python
# >>> failing(TestLeases)
# []
# >>> class Forgets(Leases):
# ...     def open(self, owner, release):
# ...         pass
# >>> len(failing(TestLeases, Leases=Forgets)) > 0
# True
# ```


# %% starter lease_tests
class TestLeases:
    """What every registry of leases has to do."""

    def test_the_owners_death_releases(self) -> None:
        raise NotImplementedError


# %% solution lease_tests
class TestLeases:
    """What every registry of leases has to do."""

    # BEGIN SOLUTION
    def test_death_releases_at_once(self) -> None:
        log: list[str] = []
        leases, owner, other = Leases(), Buffer(), Buffer()
        leases.open(owner, lambda: log.append("file"))
        leases.open(owner, lambda: log.append("lock"))
        leases.open(other, lambda: log.append("other"))
        assert (log, len(leases)) == ([], 3)
        with collector_off():
            del owner
            assert (sorted(log), len(leases)) == (["file", "lock"], 1)
        leases.close_all()
        leases.close(other)
        del other
        assert (sorted(log), len(leases)) == (["file", "lock", "other"], 0)

    def test_close_releases_the_owners_own_latest_first(self) -> None:
        log: list[str] = []
        leases, owner, other = Leases(), Buffer(), Buffer()
        leases.open(owner, lambda: log.append("first"))
        leases.open(other, lambda: log.append("other"))
        leases.open(owner, lambda: log.append("second"))
        leases.close(owner)
        assert (log, len(leases)) == (["second", "first"], 1)
        leases.close(owner)
        leases.close_all()
        del owner
        assert log == ["second", "first", "other"]

    def test_equal_owners_are_two(self) -> None:
        log: list[str] = []
        leases, owner, twin = Leases(), Job("a"), Job("a")
        leases.open(owner, lambda: log.append("owner"))
        leases.open(twin, lambda: log.append("twin"))
        leases.close(twin)
        assert (log, len(leases)) == (["twin"], 1)

    def test_close_all_releases_the_latest_first(self) -> None:
        log: list[int] = []
        leases, owners = Leases(), [Buffer(), Buffer()]
        for number in range(4):
            leases.open(owners[number % 2], functools.partial(log.append, number))
        leases.close_all()
        leases.close_all()
        assert (log, len(leases)) == ([3, 2, 1, 0], 0)

    def test_to_close_a_stranger_does_nothing(self) -> None:
        Leases().close(Buffer())

    # END SOLUTION


# %% check lease_tests points=2
def test_your_suite_passes_on_the_leases_above() -> None:
    assert failing(TestLeases) == [], "a test that fails on correct code sends its readers after a ghost"


def test_notices_owners_that_are_kept_alive() -> None:
    class KeepsOwners(Leases):
        def __init__(self) -> None:
            super().__init__()
            self.owners: list[object] = []

        def open(self, owner: object, release: Callable[[], object]) -> None:
            self.owners.append(owner)
            super().open(owner, release)

    noticed = failing(TestLeases, Leases=KeepsOwners)
    assert noticed, "owners live until the process ends, so nothing is released, and no test fails"


def test_notices_that_close_does_nothing() -> None:
    class NeverCloses(Leases):
        def close(self, owner: object) -> None:
            pass

    assert failing(TestLeases, Leases=NeverCloses), "close leaves everything open, and no test fails"


# %% hidden lease_tests points=4
class ByNumber:
    """Keeps releases in a list, and weak references with callbacks by the owner's number."""

    twice = False

    def __init__(self) -> None:
        self.references: dict[int, weakref.ref[object]] = {}
        self.releases: list[tuple[int, Callable[[], object]]] = []

    def __len__(self) -> int:
        return len(self.releases)

    def open(self, owner: object, release: Callable[[], object]) -> None:
        number = id(owner)
        if number not in self.references:
            self.references[number] = weakref.ref(owner, lambda _: self.release(number))
        self.releases.append((number, release))

    def release(self, number: int) -> None:
        self.references.pop(number, None)
        mine = [release for owner, release in self.releases if owner == number]
        self.releases = [each for each in self.releases if each[0] != number]
        for release in reversed(mine):
            release()

    def close(self, owner: object) -> None:
        self.release(id(owner))

    def close_all(self) -> None:
        self.references.clear()
        while self.releases:
            self.releases.pop()[1]()


def test_your_suite_passes_on_other_correct_leases() -> None:
    failed = failing(TestLeases, Leases=ByNumber)
    assert failed == [], "these tests hang on the inside of one implementation instead of on the contract"


def test_notices_that_death_releases_nothing() -> None:
    class Forgets(ByNumber):
        def open(self, owner: object, release: Callable[[], object]) -> None:
            self.releases.append((id(owner), release))

    assert failing(TestLeases, Leases=Forgets), "only those who call close get their files back, and no test fails"


def test_notices_that_only_the_collector_releases() -> None:
    class Cyclic(Leases):
        def open(self, owner: Any, release: Callable[[], object]) -> None:
            super().open(owner, release)
            cycle = [owner]
            cycle.append(cycle)

    noticed = failing(TestLeases, Leases=Cyclic)
    assert noticed, "a cycle holds the owner: files stay open until the collector happens to run; no test fails"


def test_notices_that_death_releases_only_one() -> None:
    class OnlyTheFirst(ByNumber):
        def release(self, number: int) -> None:
            self.references.pop(number, None)
            mine = [release for owner, release in self.releases if owner == number]
            self.releases = [each for each in self.releases if each[0] != number]
            for release in mine[:1]:
                release()

        def close(self, owner: object) -> None:
            super().release(id(owner))

    assert failing(TestLeases, Leases=OnlyTheFirst), "a job's lock file stays, and no test fails"


def test_notices_a_release_at_close_and_again_at_death() -> None:
    class Twice(Leases):
        def close(self, owner: object) -> None:
            for lease in reversed(self._leases):
                details = lease.peek()
                if details is not None and details[0] is owner:
                    details[1]()

    noticed = failing(TestLeases, Leases=Twice)
    assert noticed, "a handle that is closed twice may be somebody else's by then, and no test fails"


def test_notices_a_release_at_close_all_and_again_at_death() -> None:
    class Twice(Leases):
        closed = False

        def __len__(self) -> int:
            return 0 if self.closed else super().__len__()

        def close_all(self) -> None:
            for lease in () if self.closed else reversed(self._leases):
                details = lease.peek()
                if details is not None:
                    details[1]()
            self.closed = True

    noticed = failing(TestLeases, Leases=Twice)
    assert noticed, "close_all at shutdown, then every owner dies: each is released again, and no test fails"


def test_notices_that_close_takes_everybodys() -> None:
    class ClosesAll(Leases):
        def close(self, owner: object) -> None:
            self.close_all()

    assert failing(TestLeases, Leases=ClosesAll), "one job's end closes the files of all, and no test fails"


def test_notices_that_close_takes_only_the_latest() -> None:
    class ClosesOne(Leases):
        def close(self, owner: object) -> None:
            for lease in reversed(self._leases):
                details = lease.peek()
                if details is not None and details[0] is owner:
                    lease()
                    return

    assert failing(TestLeases, Leases=ClosesOne), "of two files one stays open, and no test fails"


def test_notices_that_equal_owners_are_mixed_up() -> None:
    class ByEquality(Leases):
        def close(self, owner: object) -> None:
            for lease in reversed(self._leases):
                details = lease.peek()
                if details is not None and details[0] == owner:
                    lease()

    assert failing(TestLeases, Leases=ByEquality), "closing one tenant's file closes its twin's, and no test fails"


def test_notices_that_close_goes_oldest_first() -> None:
    class OldestFirst(Leases):
        def close(self, owner: object) -> None:
            for lease in self._leases:
                details = lease.peek()
                if details is not None and details[0] is owner:
                    lease()

    assert failing(TestLeases, Leases=OldestFirst), "the folder goes before the file in it, and no test fails"


def test_notices_that_close_all_goes_oldest_first() -> None:
    class OldestFirst(Leases):
        def close_all(self) -> None:
            for lease in self._leases:
                lease()

    assert failing(TestLeases, Leases=OldestFirst), "at shutdown the order is upside down, and no test fails"


def test_notices_that_close_all_goes_owner_by_owner() -> None:
    class ByOwner(Leases):
        def close_all(self) -> None:
            for lease in reversed(self._leases):
                details = lease.peek()
                if details is not None:
                    self.close(details[0])

    assert failing(TestLeases, Leases=ByOwner), "latest first holds within an owner only, and no test fails"


def test_notices_that_released_leases_are_counted() -> None:
    class CountsAll(Leases):
        def __len__(self) -> int:
            return len(self._leases)

    assert failing(TestLeases, Leases=CountsAll), "the metric of open files only ever rises, and no test fails"


def test_notices_that_a_stranger_is_an_error() -> None:
    class Strict(Leases):
        def close(self, owner: object) -> None:
            held = [details[0] for lease in self._leases if (details := lease.peek()) is not None]
            if not any(each is owner for each in held):
                raise KeyError(owner)
            super().close(owner)

    assert failing(TestLeases, Leases=Strict), "cleaning up where nothing was opened fails, and no test says so"


def test_notices_a_release_that_is_called_at_once() -> None:
    class Eager(Leases):
        def open(self, owner: object, release: Callable[[], object]) -> None:
            super().open(owner, lambda: None)
            release()

    assert failing(TestLeases, Leases=Eager), "files are removed while they are written, and no test fails"


# %% wrong lease_tests fails=test_notices_that_only_the_collector_releases
# "Collect first, to be on the safe side": the test does the work that the registry should not need.
class TestLeases:
    """What every registry of leases has to do."""

    def test_death_releases(self) -> None:
        log: list[str] = []
        leases, owner = Leases(), Buffer()
        leases.open(owner, lambda: log.append("file"))
        leases.open(owner, lambda: log.append("lock"))
        del owner
        gc.collect()
        assert sorted(log) == ["file", "lock"]

    def test_close_releases(self) -> None:
        log: list[str] = []
        leases, owner, other = Leases(), Buffer(), Buffer()
        leases.open(owner, lambda: log.append("first"))
        leases.open(other, lambda: log.append("other"))
        leases.open(owner, lambda: log.append("second"))
        leases.close(owner)
        assert (log, len(leases)) == (["second", "first"], 1)


# %% wrong lease_tests fails=test_your_suite_passes_on_other_correct_leases
# "Look whether the finalizer is alive": the test reads the private list of one implementation.
class TestLeases:
    """What every registry of leases has to do."""

    def test_death_releases(self) -> None:
        leases, owner = Leases(), Buffer()
        leases.open(owner, lambda: None)
        del owner
        assert not leases._leases[0].alive

    def test_close_releases(self) -> None:
        leases, owner = Leases(), Buffer()
        leases.open(owner, lambda: None)
        leases.close(owner)
        assert not leases._leases[0].alive


# %% wrong lease_tests fails=test_notices_a_release_at_close_and_again_at_death
# "Each call does what it says": nothing is asked about what comes afterwards.
class TestLeases:
    """What every registry of leases has to do."""

    def test_death_releases(self) -> None:
        log: list[str] = []
        leases, owner = Leases(), Buffer()
        leases.open(owner, lambda: log.append("file"))
        with collector_off():
            del owner
            assert log == ["file"]

    def test_close_releases(self) -> None:
        log: list[str] = []
        leases, owner, other = Leases(), Buffer(), Buffer()
        leases.open(owner, lambda: log.append("first"))
        leases.open(other, lambda: log.append("other"))
        leases.open(owner, lambda: log.append("second"))
        leases.close(owner)
        assert log == ["second", "first"]


# %% [markdown] hint lease_tests
# One test for each numbered sentence, then combine: a death *after* `close`, a death *after* `close_all`, two leases of
# one owner, leases of two owners by turns.

# %% [markdown] hint lease_tests
# Releases that append to a list show who was called, how often, in which order. For 2, the assertion belongs inside of
# `with collector_off():`, behind `del owner`. For 4, two jobs of one name.

# %% [markdown] hint lease_tests
# For 5, open leases 0, 1, 2, 3 for two owners by turns; `close_all` has to log `[3, 2, 1, 0]`: "owner by owner" gives
# another order. Compare the whole log at the end of each test: a second call shows as one entry too many. And
# `Leases().close(Buffer())` must not raise.

# %% [markdown] after lease_tests
# **Why those.** A lifetime has few events (open, close, close all, death), and the bugs are in *pairs* of them: close,
# then death. The log that is compared as a whole catches too few, too many and the wrong order with one assertion. And
# the collector has to be off: `gc.collect()` in a test of lifetimes repairs the very bug that it should find.
#
# **In tests of your own**, mind what else holds the object: a fixture, a `pytest.raises(...)` variable (its traceback
# has the frames), a mock's `call_args`, the loop variable of the last round, `_` in a shell.
#
# **`finalize` or `with`?** `with` is the contract, `finalize` the net below it: it runs late or, if the process is
# killed, never. The standard library's `TemporaryDirectory` does both, and warns if the net was needed.
#
# **The interviewer goes on**: *`release` is a bound method of the owner: what happens? (The registry keeps the method,
# hence the owner: it never dies.) Why is `__del__` worse? (Errors in it are only printed, it sees a half-dismantled
# interpreter at exit, it can revive the object.)*

# %% [markdown]
# ## The interview
#
# Say your answer aloud before you unfold one.

# %% [markdown] interview
# ### How does Python manage memory?
#
# CPython counts references and frees an object when its count gets to zero, at once. A cyclic garbage collector on top
# finds containers that only refer to each other. It subtracts the references from inside the set it examines: what has
# none left from outside, and can't be reached from what has, is garbage. It works by generations since most objects die
# young. (3.14.0 to 3.14.4 had an incremental one; 3.14.5 went back.) Below that, small blocks come from pools in
# arenas, large ones from `malloc`.

# %% [markdown] interview
# ### A service grows by 200 MB a day. What do you do?
#
# First: does *live* memory grow, or only the resident set? I compare RSS with what is alive, at equal load. If it is
# live, I reproduce it with one repeated request, take tracemalloc snapshots after a warm-up and look for lines that
# grow in every round, or count objects by type. Then I look for the holder: unbounded dictionaries, cached methods,
# kept exceptions, callbacks, tasks, thread-locals. If live memory is flat, it is fragmentation or native memory:
# memray, another `malloc`, a child process for the peak. Then a test that repeats the request and fails on growth.

# %% [markdown] interview
# ### Can Python leak memory although it has a garbage collector?
#
# Yes: the collector frees what can't be reached, and a leak is reachable. A module-level dictionary, `lru_cache` on a
# method, a list of exceptions (each with its frames and their locals), an event source that keeps its subscribers. The
# cures are bounds, weak references, and ending a reference where its purpose ends.

# %% [markdown] interview
# ### When do you use `weakref`, and when not?
#
# For an index, a cache's second level or back-references, where the object's life is decided elsewhere: the value must
# not live *because* I know of it. `WeakMethod` for bound methods, `finalize` for cleaning up. Not as a cache by itself,
# since what nobody uses is gone at once, and not where lifetimes are clear: there I close explicitly. I remember that
# weak-keyed containers compare by `==`, and that lists, dicts, strings and slotted classes can't be referred to weakly.

# %% [markdown] interview
# ### What do `__slots__` save, and what do they cost?
#
# The instance's dictionary, or today the separate array of values: a quarter in the run above, where the values were
# nearly half of the rest. They cost dynamic attributes, `cached_property`, weak references (unless `__weakref__` is
# listed) and easy multiple inheritance. For millions of records I'd rather leave objects behind: arrays, numpy.

# %% [markdown] interview
# ### Would you turn the garbage collector off in production?
#
# I measure its pauses with `gc.callbacks` first. `gc.freeze()` after loading, before the workers fork, is nearly free
# and saves shared pages. Raising the first threshold trades memory for fewer passes. Off entirely only in processes
# that are replaced soon, or with a collection at times that I choose, because any library may make cycles: exceptions
# that are stored, closures that refer to themselves.

# %% [markdown]
# ## Pitfalls seen in reviews
#
# * `gc.collect()` in a request handler: a pass over everything that is alive, to hide a reference that nobody looked
#   for.
# * `@lru_cache` on a method, or without a bound on anything that comes from users.
# * `self.error = error` for later: keep the text, or `raise` it.
# * `weakref.ref(self.method)`: dead on arrival. `WeakMethod`.
# * `finalize(self, self.close)`: refers to `self`, so it runs at exit only. Make it a static function of what it needs.
# * `id(obj)` as a key without keeping the object: numbers are given again.
# * A loop variable or a fixture that keeps the last large object alive until the next round.
# * `sys.getsizeof(big_dict)` on a dashboard: the table only.
# * `copy = data[:10]` of a `memoryview` or numpy array: a view keeps the whole buffer.
# * `del big` and "now the memory is back": the name is gone; the object if it was the last reference; the pages
#   perhaps.
#
# ## Where to read on
#
# * Python documentation: [gc](https://docs.python.org/3/library/gc.html),
#   [weakref](https://docs.python.org/3/library/weakref.html),
#   [tracemalloc](https://docs.python.org/3/library/tracemalloc.html), [Memory
#   management](https://docs.python.org/3/c-api/memory.html) (arenas and pools)
# * CPython, [Garbage collector
#   design](https://github.com/python/cpython/blob/main/InternalDocs/garbage_collector.md): the algorithm above, step by
#   step
# * [Issue 148726](https://github.com/python/cpython/issues/148726): how and why the incremental collector of 3.14 was
#   taken back
# * [PEP 683](https://peps.python.org/pep-0683/) (immortal objects), [PEP 703](https://peps.python.org/pep-0703/)
#   (counting and collecting without the GIL), [PEP 442](https://peps.python.org/pep-0442/) (finalizers in cycles)
# * [memray](https://bloomberg.github.io/memray/) and [objgraph](https://objgraph.readthedocs.io/): native allocations
#   and peaks; who holds what
