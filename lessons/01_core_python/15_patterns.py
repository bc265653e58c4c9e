# %% [markdown]
# # Design patterns
#
# *"Which design patterns have you used, and which would you not use again?"* A junior answer lists names and draws
# class diagrams. A senior answer begins with a force: something varies, and the code that uses it should not change
# with it. Then it says what Python already has for that force, often a function, a protocol or a dictionary, and what
# the pattern costs if the variation never comes. The follow-up is a diff with a singleton in it.
#
# **Assumed**: [decorators](03_decorators.ipynb) (closures, registration), [type hints](06_type_hints.ipynb)
# (protocols). **Left out**: the SOLID principles and how code is laid out in packages, which have lessons of their
# own. Answers are run, and where the shape of the code matters it is read by mypy or `ast`: the marks don't
# depend on taste.

# %%
import ast
import atexit
import contextlib
import copy
import dataclasses
import functools
import html
import inspect
import io
import linecache
import logging
import pathlib
import pickle
import re
import shutil
import sqlite3
import tempfile
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import MethodType
from typing import Any, ClassVar, NamedTuple, Protocol, Self, TypeVar

import pytest
from mypy import api

from autograder.notebook.figures import explore

# %% [markdown]
# ## What is left of the 23
#
# A pattern is a named answer to a force that keeps coming back, with its consequences. The book of 1994 (Gamma, Helm,
# Johnson and Vlissides, "the Gang of Four") collected 23 of them from C++ and Smalltalk, in three families.
# **Creational** patterns are about who makes an object and how; **structural** patterns about how objects are put
# together; **behavioral patterns** about who does what, and who knows of whom. Where functions and classes are
# values, much of the machinery is gone: Peter Norvig counted in 1996 that 16 of the 23 are simpler or invisible in
# Lisp or Dylan, for some uses at least. The *names* stay useful, for a word in a review replaces a drawing. The class
# diagrams do not.
#
# | creational | in Python | the case against it |
# | --- | --- | --- |
# | factory method, abstract factory | a callable as an argument; a `classmethod` | one product only: a detour |
# | builder | keyword arguments, a frozen dataclass, `replace` | half-built objects that everybody can meet |
# | prototype | `copy.copy`, `dataclasses.replace` | nested mutable parts are shared |
# | singleton | a module; one object, made in `main` and passed on | a global variable in disguise |
#
# | structural | in Python | the case against it |
# | --- | --- | --- |
# | adapter | a class behind a `Protocol`, or a function | if errors and units aren't translated it only renames |
# | decorator, proxy | a wrapper with the same protocol; `__getattr__` | each layer hides the identity |
# | composite | a recursive dataclass; a class that holds its protocol | leaves get methods of groups |
# | facade | a module with four functions | it grows until it is the subsystem |
# | bridge, flyweight | a constructor's parameter; `sys.intern`, a cache | sharing that nobody has measured |
#
# | behavioral | in Python | the case against it |
# | --- | --- | --- |
# | strategy, template method | a function as an argument: `sorted(key=…)` | two variants for good: an `if` is shorter |
# | command | a closure, a `partial`; a dataclass if it is stored | closures can't be printed, stored or compared |
# | observer, mediator | a list of callbacks, an event bus | nobody sees what runs when; order, errors, lifetime |
# | state | an enum and a table of transitions | two states: it is a flag |
# | chain of responsibility | a loop over callables, middleware | a request that nobody answers |
# | visitor, interpreter | `functools.singledispatch`, `match` | each new class is a hole in each operation |
# | iterator, memento | a generator; a frozen snapshot | an iterator is used up; snapshots take memory |
#
# The standard library uses them without saying so:

# %%
with tempfile.TemporaryFile() as raw:
    wrapped = io.TextIOWrapper(raw, encoding="utf-8")
    layers = [type(layer).__name__ for layer in (wrapped, wrapped.buffer, wrapped.buffer.raw)]
undone: list[str] = []
with contextlib.ExitStack() as stack:
    for name in ("a", "b"):
        stack.callback(undone.append, name)
seen_in_the_library = {
    "factory: pathlib.Path() makes a": type(pathlib.Path()).__name__,
    "factory: bool.from_bytes, inherited, makes a": type(bool.from_bytes(b"\x01")).__name__,
    "flyweight: getLogger twice, one object": logging.getLogger("shop") is logging.getLogger("shop"),
    "decorator: a text file is made of": " > ".join(layers),
    "strategy: sorted by an argument": sorted(["b", "C", "a"], key=str.lower),
    "command: an ExitStack undoes in the order": undone,
}
for what, value in seen_in_the_library.items():
    print(f"{what:50} {value}")

# %% [markdown]
# ### When does a pattern pay?
#
# When the second variant is there, or the third is known. Until then the straight code is cheaper to read and to
# change, and refactoring *towards* a pattern is a quarter of an hour with tests. A class is right for a strategy that
# has state and *more than one method* (a tax table that is loaded, then asked in two ways). With one method and no
# state it is a function that is written in a roundabout way.
#
# A helper for the exercises: `cell_of` returns the source of the cell in which a function or class was defined, so that
# the checks can read your answer as well as run it.


# %%
def cell_of(answer: Any) -> str:
    """Return the source of the cell in which a function, or a class with a method, was defined."""
    members = list(vars(answer).values()) if isinstance(answer, type) else [answer]
    for member in members:
        code = getattr(inspect.unwrap(member), "__code__", None) if callable(member) else None
        if code is not None and getattr(member, "__module__", None) == answer.__module__:
            lines = linecache.getlines(code.co_filename)
            if lines:
                return "".join(lines)
    raise LookupError(f"no cell is known for {answer}")


# %% [markdown]
# ## Creational patterns: who makes it, and how
#
# **Factory.** A class is callable, so a parameter `make: Callable[[str], Client]` takes a class, a function, a
# `partial` or a fake: *abstract factory* is a parameter. *Factory method* is a `classmethod` as a second constructor
# with a name: `dict.fromkeys`, `datetime.fromtimestamp`, `Path.cwd`. Two rules: it calls `cls(…)` and not the class's
# own name, so that subclasses get their own kind; and it is annotated `-> Self`. `__init__` only assigns and checks;
# what parses, reads or connects goes into a classmethod or a function, so that a test can make the object without it.
#
# **Builder.** In Java it replaces constructors with nine parameters. Python has keyword arguments with defaults, and
# for "all of that, with one change" there is `dataclasses.replace`, which goes through `__init__` and hence through the
# checks. A builder remains right where the *steps* mean something: an SQL statement (SQLAlchemy's `select()`, each call
# a new object), a document that is written front to back. The two defects of hand-made builders: `build()` hands out
# the builder's own list, so that the next product changes the last; and what was set for one product is still set for
# the next.


# %%
@dataclass(frozen=True, kw_only=True)
class Retry:
    """How often something is tried, and how long is waited in between."""

    attempts: int = 3
    delays: tuple[float, ...] = (0.1, 0.5)

    def __post_init__(self) -> None:
        if len(self.delays) != self.attempts - 1:
            raise ValueError(f"{self.attempts} attempts have {self.attempts - 1} delays in between")

    @classmethod
    def exponential(cls, attempts: int, first: float) -> Self:
        return cls(attempts=attempts, delays=tuple(first * 2**number for number in range(attempts - 1)))


print(Retry.exponential(4, 0.5))
try:
    dataclasses.replace(Retry(), attempts=5)
except ValueError as error:
    print("replace is checked:", error)
cart: dict[str, list[str]] = {"lines": ["tea"]}
copy.copy(cart)["lines"].append("cup")
print("prototype, by a shallow copy:", cart["lines"], "is in both")


# %% [markdown]
# ### Singleton, measured
#
# A singleton promises two things at once: there is *one* of it, and everybody can *reach* it from everywhere. The
# first is often wanted (one pool of connections for a process), the second is what hurts: it is a global variable with
# a longer name. Functions no longer say what they need, tests can't give them something else, and the order in which
# tests run begins to matter. What the three common forms really do:


# %%
class Resource:
    """Counts its initialisations; takes a moment, as something that connects does."""

    inits: ClassVar[int] = 0

    def __init__(self, name: str = "first") -> None:
        Resource.inits += 1
        time.sleep(0.005)
        self.name = name


class ByNew(Resource):
    """One instance by way of __new__."""

    _one: ClassVar[Any] = None

    def __new__(cls, name: str = "first") -> Any:
        if cls._one is None:
            cls._one = super().__new__(cls)
        return cls._one


class OnlyOne(type):
    """A metaclass that calls each of its classes once."""

    made: ClassVar[dict[type, Any]] = {}

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        if cls not in OnlyOne.made:
            OnlyOne.made[cls] = super().__call__(*args, **kwargs)
        return OnlyOne.made[cls]


class ByMetaclass(Resource, metaclass=OnlyOne):
    """One instance by way of a metaclass."""


@functools.cache
def by_cache(name: str = "first") -> Resource:
    """One instance for each way in which the arguments are written."""
    return Resource(name)


def forget() -> None:
    """Forget all of the instances: what each test would have to do."""
    ByNew._one, Resource.inits = None, 0
    OnlyOne.made.clear()
    by_cache.cache_clear()


print(
    f"{'':13}{'calls':>6}{'inits':>6}  {'second call asked for, got':28}{'a subclass gets':>16}{'two threads make':>18}"
)
forms: dict[str, Callable[..., Any]] = {"__new__": ByNew, "metaclass": ByMetaclass, "cache": by_cache}
for label, get in forms.items():
    forget()
    first, _again = get(), get()
    inits = Resource.inits
    other = get("second")
    got = f"'second', {'the same' if other is first else 'another'} with {other.name!r}"
    own = "–"
    if isinstance(get, type):
        own = type(type("Sub", (get,), {})()).__name__
    forget()
    with ThreadPoolExecutor(2) as threads:
        objects = len({id(future.result()) for future in [threads.submit(get), threads.submit(get)]})
    print(f"{label:13}{2:>6}{inits:>6}  {got:28}{own:>16}{f'{objects}, {Resource.inits} inits':>18}")
forget()

# %% [markdown]
# * `__new__` returns the one instance, and then Python calls `__init__` on it, *each time*: state is reset, the pool is
#   made again, and whoever came first finds the arguments of whoever came last. Subclasses inherit the attribute with
#   the instance, and get an object of their base.
# * The metaclass initialises once, and ignores the arguments of every later call without a word. Two threads that come
#   at the same time make two.
# * `functools.cache` makes one for each *spelling* of the arguments (`f()`, `f("first")` and `f(name="first")` are
#   three), and its documentation says that the function may run more than once if a second call comes before the first
#   has ended. Without parameters, and called once before the threads start, it is good enough.
#
# What to do instead: make the object in `main()` (or the framework's start: FastAPI's lifespan, Django's `AppConfig`),
# and **pass it on**. One object doesn't need a class that knows it is the only one. A module is a singleton already,
# with a lock on its import: fine for constants and pure functions, bad for connections, since importing then connects,
# and a process that forks afterwards (gunicorn with `preload_app`, multiprocessing) shares a socket with its children.
#
# This is a pull request with the title "Singletons: no more passing things around". What is known: the service runs
# with eight threads in each of four processes, which are forked after the import; `connect` opens a socket; tests are
# to run without a database and with a clock that stands still; everything that is shown here is used from request
# threads; `order.headers` is a dict.

# %%
SINGLETON_DIFF = """
 import os
+import threading
 from decimal import Decimal
 from shop.wire import Mailer, connect

+CENT = Decimal("0.01")
+HEADERS = {"Accept": "application/json"}
+DATABASE = connect(os.environ["DATABASE_URL"])
+
+class Singleton(type):
+    made = {}
+    def __call__(cls, *args, **kwargs):
+        if cls not in Singleton.made:
+            Singleton.made[cls] = super().__call__(*args, **kwargs)
+        return Singleton.made[cls]
+
+class Limits(metaclass=Singleton):
+    def __init__(self, per_minute=60):
+        self.per_minute = per_minute
+
+class Clock:
+    one = None
+    lock = threading.Lock()
+    def __new__(cls):
+        with Clock.lock:
+            if cls.one is None:
+                cls.one = super().__new__(cls)
+        return cls.one
+    def __init__(self):
+        self.skew = measure_skew()
+    def now(self):
+        return read_clock() + self.skew
+
+class FrozenClock(Clock):
+    def now(self):
+        return EPOCH
+
+mailer = None
+mailer_lock = threading.Lock()
+def get_mailer():
+    global mailer
+    with mailer_lock:
+        if mailer is None:
+            mailer = Mailer()
+        return mailer
+
+tracer = None
+def get_tracer():
+    global tracer
+    if tracer is None:
+        tracer = connect(os.environ["TRACER_URL"])
+    return tracer
+
-def cancel(order, database, clock):
-    database.mark(order, "cancelled", clock.now())
+def cancel(order):
+    DATABASE.mark(order, "cancelled", Clock().now())

-def import_orders(orders, limits):
+def import_orders(orders):
+    limits = Limits(per_minute=6000)
     for order in orders:
         limits.wait()
-        send(order, {"Accept": "application/json", **order.headers})
+        HEADERS.update(order.headers)
+        send(order, HEADERS)

-def rounded(amount):
-    return amount.quantize(Decimal("0.01"))
+def rounded(amount):
+    return amount.quantize(CENT)
"""


def lines_of(kind: str, review: Mapping[int, str]) -> set[int]:
    """Return the lines to which a review gives a kind."""
    return {line for line, each in review.items() if each == kind}


DIFF_LINES = SINGLETON_DIFF.strip("\n").splitlines()
for number, line in enumerate(DIFF_LINES, start=1):
    print(f"{number:>3} {line}")

# %% [markdown] exercise review_singleton topic=design-patterns level=senior minutes=10
# ## Exercise: No more passing things around
#
# `review_singleton()` returns a dict from the number of a line **in the diff** (an added one, `+`) to the kind of its
# defect. There are nine defects, each of one of these seven kinds:
#
# * `"import"`: the line does at import what belongs to the start of each process
# * `"race"`: the line, a condition, lets two threads make two objects
# * `"again"`: the statement runs again for an object that is in use already (it is no `def` line)
# * `"subclass"`: the `class` line of a class whose call may return an object of another class
# * `"hidden"`: the `def` line of a function that no longer says what it needs
# * `"ignored"`: the line, a call, passes an argument that may have no effect
# * `"shared"`: the line changes an object that others use, so that data of one order reaches another
#
# What is left as it was, or is right, isn't named. Each line has one kind.
#
# ```python
# >>> len(review_singleton())
# 9
# >>> sorted(set(review_singleton().values()))
# ['again', 'hidden', 'ignored', 'import', 'race', 'shared', 'subclass']
# >>> review_singleton()[6]
# Traceback (most recent call last):
# KeyError: 6
# ```


# %% solution review_singleton
def review_singleton() -> dict[int, str]:
    """Return the kind of defect by line of the diff."""
    # BEGIN SOLUTION
    return {
        8: "import",
        13: "race",
        30: "again",
        34: "subclass",
        50: "race",
        56: "hidden",
        60: "hidden",
        61: "ignored",
        65: "shared",
    }
    # END SOLUTION


# %% check review_singleton points=1
def test_names_nine_added_lines_with_kinds_of_the_list() -> None:
    found = review_singleton()
    assert len(found) == 9, f"nine lines are to be named, and {len(found)} are"
    kinds = {"import", "race", "again", "subclass", "hidden", "ignored", "shared"}
    assert set(found.values()) <= kinds, "a kind that isn't listed"
    outside = [line for line in found if not 1 <= line <= len(DIFF_LINES) or DIFF_LINES[line - 1][:1] != "+"]
    assert not outside, "no added line of the diff"


def test_finds_what_connects_when_it_is_imported() -> None:
    assert lines_of("import", review_singleton()) == {8}, (
        "four processes would share one socket, and no test can import the module without a database"
    )


# %% hidden review_singleton points=3
def test_finds_the_races_and_only_those() -> None:
    assert lines_of("race", review_singleton()) == {13, 50}, (
        "two threads may both find nothing there; where a lock is held around the condition they can't"
    )


def test_finds_what_is_initialised_again() -> None:
    assert lines_of("again", review_singleton()) == {30}, (
        "each Clock() measures the skew anew, in every thread's object"
    )


def test_finds_the_class_that_gives_objects_of_another() -> None:
    assert lines_of("subclass", review_singleton()) == {34}, "it finds its base's instance in `cls.one`"


def test_finds_the_functions_that_hide_what_they_need() -> None:
    assert lines_of("hidden", review_singleton()) == {56, 60}, "how is a test to hand in a clock that stands still?"


def test_finds_the_argument_without_effect() -> None:
    assert lines_of("ignored", review_singleton()) == {61}, "whoever called Limits() first has decided"


def test_finds_the_headers_that_reach_the_next_order() -> None:
    assert lines_of("shared", review_singleton()) == {65}, "one customer's authorisation is sent with the next order"


# %% wrong review_singleton fails=test_finds_the_races_and_only_those
# "Globals race": the mailer's condition is under a lock; and the metaclass isn't safe because it is clever.
def review_singleton() -> dict[int, str]:
    """Return the kind of defect by line of the diff."""
    return {
        8: "import",
        30: "again",
        34: "subclass",
        43: "race",
        50: "race",
        56: "hidden",
        60: "hidden",
        61: "ignored",
        65: "shared",
    }


# %% wrong review_singleton fails=test_finds_the_functions_that_hide_what_they_need
# "Fewer parameters are a simpler interface": the dependency is still there, only the signature is silent about it.
def review_singleton() -> dict[int, str]:
    """Return the kind of defect by line of the diff."""
    return {
        7: "shared",
        8: "import",
        11: "shared",
        13: "race",
        30: "again",
        34: "subclass",
        50: "race",
        61: "ignored",
        65: "shared",
    }


# %% [markdown] hint review_singleton
# For each of the four singletons in the diff (metaclass, `__new__`, two functions with `global`) ask: two threads at
# once? a second call? a subclass? Then read the functions as somebody who has to test them.

# %% [markdown] hint review_singleton
# Two races, two functions that hide, one of each other kind. Not a defect: constants that nobody changes, the mailer,
# `Singleton.made` (by class), `rounded`.

# %% [markdown] hint review_singleton
# The conditions without a lock are in the metaclass and in `get_tracer`. What runs after `Clock.__new__`? Where does
# `FrozenClock` find `one`? Who passes `per_minute`, and who might have come first? Which line writes into a constant?

# %% [markdown] after review_singleton
# * **8, import**: connect in the start of each process; the name may stay, as a parameter.
# * **13 and 50, race**: check and act without a lock. `Limits` twice means twice the rate. One lock, or make both
#   before the threads start.
# * **30, again**: `__new__` hands out the one object, then `__init__` runs on it. Each call of `Clock()` measures the
#   skew, and changes it under the other threads.
# * **34, subclass**: `cls.one` is found in the base. After `Clock()` every `FrozenClock()` is a plain `Clock`; before
#   it, `FrozenClock` keeps its own, since the assignment goes to `cls`. Which one a test gets depends on the tests
#   before it.
# * **56 and 60, hidden**: the signature is the only place where needs are declared, for the reader, for a test and for
#   the type checker. Give them back.
# * **61, ignored**: if `Limits()` was called before, 60 a minute it is; if not, everybody has 6000.
# * **65, shared**: `update` on a module's constant. This one is a data leak, and the reason to stop the release.
#
# Right: `CENT`; `HEADERS` as long as nobody changes it (a `MappingProxyType` would have raised on line 65); the
# mailer's lock around the condition; `made` keyed by class. `rounded` is the harmless part, and the pull request could
# have been that.
#
# **The interviewer goes on**: *How do you get rid of a singleton that 200 places call? (Keep the function, give each
# function that uses it a parameter with that call as its default, move the calls upwards one layer at a time, delete it
# when only `main` is left.) Is a logger a singleton, and why does nobody mind? (One for each name, in a registry with a
# lock. It has no result that the caller depends on.)*

# %% [markdown]
# ## Structural patterns: how objects are put together
#
# **Adapter**: your code says what it needs, in its own words, as a `Protocol`; a class for each vendor translates. The
# arrow matters: the protocol belongs to the *caller's* package, and says what the shop needs and not what the vendor
# can. What has to be translated is more than names: units (euros, cents), time zones, identifiers, **errors** (an
# adapter whose vendor's exceptions come through is none: each caller imports the vendor to catch them), and lifetime
# (who opens, who closes). The exception of the vendor stays as `__cause__`.
#
# **Decorator, proxy, composite** have one idea in common: an object that satisfies the protocol *and holds another one
# that does*. A cache, a retry, a log, a rate limit, "the first of these that works": each is a class of ten lines, and
# whoever calls doesn't know how many layers there are. The order of the layers is a decision (retry inside of the cache
# or outside?), made in one place.


# %%
class Rates(Protocol):
    """What the shop needs of a source of exchange rates."""

    def rate(self, currency: str) -> float: ...


class Central:
    """The source itself."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def rate(self, currency: str) -> float:
        self.asked.append(currency)
        if len(self.asked) == 1:
            raise ConnectionError("the first call fails")
        return {"USD": 1.08}[currency]


@dataclass
class Cached:
    """A proxy: asks once for each currency."""

    source: Rates
    known: dict[str, float] = field(default_factory=dict)

    def rate(self, currency: str) -> float:
        if currency not in self.known:
            self.known[currency] = self.source.rate(currency)
        return self.known[currency]


@dataclass
class Retried:
    """A decorator: tries again."""

    source: Rates
    attempts: int = 3

    def rate(self, currency: str) -> float:
        for _ in range(self.attempts - 1):
            try:
                return self.source.rate(currency)
            except ConnectionError:
                pass
        return self.source.rate(currency)


central = Central()
rates: Rates = Cached(Retried(central))  # mypy compares shapes: no class names the protocol
print("rates:", [rates.rate("USD") for _ in range(3)], "  calls of the source:", len(central.asked))

# %% [markdown]
# A proxy by `__getattr__` looks shorter, and this is the case against it: special methods (`len`, `with`, `[]`, `==`)
# are looked up on the class and aren't forwarded, methods of the inner object that call each other never come back
# through the wrapper, and a type checker sees nothing. Written out over a small protocol, a wrapper has none of this;
# so keep protocols small.
#
# **Facade** is the other way round: not one class behind another interface but one simple door to many. Its failure is
# growth. **Bridge** and **flyweight** hardly deserve a class in Python: a constructor parameter, and a cache.
#
# For the next exercise this cell is given: what the shop needs, and the software development kit of a vendor. Read it
# as you would read its documentation; you can't change it.


# %%
class Declined(Exception):  # noqa: N818 - an answer, and the word of the trade
    """The customer's bank says no; another try won't help."""


class Unavailable(Exception):  # noqa: N818 - the same
    """The gateway can't be used now, and nothing has been booked."""


@dataclass(frozen=True)
class Receipt:
    """What the shop keeps of a payment."""

    reference: str
    cents: int


class Gateway(Protocol):
    """Where orders are paid: raises Declined or Unavailable."""

    def charge(self, order: str, cents: int) -> Receipt: ...


class AcmeError(Exception):
    """Acme's answer was an HTTP status of 400 or more."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status


class AcmeClient:
    """Acme's kit: amounts are texts in euros with two decimals and a point, such as "12.05", in and out."""

    def __init__(self, status: int = 201, confirms: str | None = None) -> None:
        self.status, self.confirms = status, confirms
        self.log: list[tuple[str, ...]] = []

    def open_session(self) -> str:
        """Return the name of a new session; an account has few, and each has to be ended."""
        self.log.append(("open",))
        if self.status == 503:
            raise ConnectionError("no session")
        return "s1"

    def pay(self, session: str, *, amount: str, idempotency_key: str) -> dict[str, str]:
        """Book an amount; if this raises, nothing is booked.

        The answer has the "id" and the "amount" that was booked, which may be smaller.
        """
        self.log.append(("pay", session, amount, idempotency_key))
        if self.status >= 400:
            raise AcmeError(self.status)
        return {"id": f"acme-{idempotency_key}", "amount": self.confirms or amount}

    def end_session(self, session: str) -> None:
        """End a session that was opened; this doesn't fail."""
        self.log.append(("end", session))


# %% [markdown]
# mypy is asked as in the lesson on type hints: it gets that cell, the whole cell with your answer, and a few lines that
# use it.

# %%
OPTIONS = ("--strict", "--config-file=", "--no-site-packages", "--no-pretty", "--no-error-summary", "--no-color-output")
HEAD = """\
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol
import contextlib, functools
"""


@functools.cache
def warm_cache() -> pathlib.Path:
    """Return a folder with what mypy knows of the standard library; it goes when the kernel does."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="mypy-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    api.run([*OPTIONS, f"--cache-dir={folder}", "-c", HEAD])
    return folder


def type_errors(answer: object, *uses: str) -> list[str]:
    """Return mypy's errors in the cell of an answer and in lines that use it; silencers are errors too."""
    cell = cell_of(answer)
    source = "\n".join([HEAD, cell_of(AcmeClient), cell, *uses])
    words = {node.id for node in ast.walk(ast.parse(cell)) if isinstance(node, ast.Name)} & {"Any", "cast"}
    silencers = [*sorted(words), *re.findall(r"#\s*(?:type|mypy):.*", cell)]
    with tempfile.TemporaryDirectory(prefix="mypy-") as folder:
        shutil.copytree(warm_cache(), folder, dirs_exist_ok=True)  # a copy, since checks may run in several processes
        said, problem, status = api.run([*OPTIONS, f"--cache-dir={folder}", "-c", source])
    if status > 1:
        raise RuntimeError(f"mypy can't read this:\n{said}{problem}")
    errors = re.findall(r"^<string>:\d+: error: (.+)$", said, re.MULTILINE)
    return [*errors, *(f"{each} switches the checker off" for each in silencers)]


# %% [markdown] exercise payment_gateways topic=design-patterns level=senior minutes=18
# ## Exercise: A vendor behind a protocol
#
# The checkout calls Acme directly: `except AcmeError` stands in eleven modules, sessions stay open, and when Acme is
# down nobody can pay, though there is an account with a second vendor. Put Acme behind `Gateway` (given above), and
# write what falls back to another gateway.
#
# `AcmeGateway(client)` takes an `AcmeClient`. Its `charge(order, cents)`
#
# * opens a session, pays once in it with `order` as the idempotency key, and ends it. Each session that was opened is
#   ended once, whatever happens;
# * returns a receipt with Acme's id and the cents **that Acme has confirmed**;
# * turns an `AcmeError` of status 402 into `Declined`; one of 429, or of 500 and more, and each `ConnectionError` into
#   `Unavailable`. An `AcmeError` with any other status says that our program is wrong: it comes out as it is. The text
#   of what is translated contains the order (the rest of it is yours), and Acme's exception is its `__cause__`.
#
# `FirstOf(first, *others)` takes gateways and is one: it asks them in their order until one doesn't raise
# `Unavailable`, and returns its receipt. `Declined` and every other exception come out at once. If all are unavailable,
# the last one's `Unavailable` comes out, untouched.
#
# For mypy both are `Gateway`s; `FirstOf` takes at least one gateway and nothing but gateways. The cell is clean in
# strict mode with nothing silenced (`Any`, `cast`, `# type: ignore`). Besides what the given cell defines, import what
# you use. Amounts are 1 cent or more; that has been checked before.
#
# ```python
# >>> client = AcmeClient()
# >>> AcmeGateway(client).charge("A-7", 1205)
# Receipt(reference='acme-A-7', cents=1205)
# >>> client.log
# [('open',), ('pay', 's1', '12.05', 'A-7'), ('end', 's1')]
# >>> down, refuses = AcmeGateway(AcmeClient(status=503)), AcmeGateway(AcmeClient(status=402))
# >>> FirstOf(down, AcmeGateway(client)).charge("A-8", 99)
# Receipt(reference='acme-A-8', cents=99)
# >>> FirstOf(refuses, AcmeGateway(client)).charge("A-9", 99)
# Traceback (most recent call last):
# Declined: A-9: HTTP 402
# ```


# %% solution payment_gateways
class AcmeGateway:
    """Pays with Acme."""

    def __init__(self, client: AcmeClient) -> None:
        self._client = client

    def charge(self, order: str, cents: int) -> Receipt:
        """Book the cents in a session of its own, and return what was booked."""
        # BEGIN SOLUTION
        amount = f"{cents // 100}.{cents % 100:02}"
        try:
            session = self._client.open_session()
            try:
                paid = self._client.pay(session, amount=amount, idempotency_key=order)
            finally:
                self._client.end_session(session)
        except ConnectionError as error:
            raise Unavailable(f"{order}: {error}") from error
        except AcmeError as error:
            if error.status == 402:
                raise Declined(f"{order}: {error}") from error
            if error.status == 429 or error.status >= 500:
                raise Unavailable(f"{order}: {error}") from error
            raise
        return Receipt(paid["id"], int(paid["amount"].replace(".", "")))
        # END SOLUTION


class FirstOf:
    """Pays with the first gateway that is available."""

    def __init__(self, first: Gateway, *others: Gateway) -> None:
        self._first = first
        self._others = others

    def charge(self, order: str, cents: int) -> Receipt:
        """Book the cents with one of them."""
        # BEGIN SOLUTION
        gateway = self._first
        for alternative in self._others:
            try:
                return gateway.charge(order, cents)
            except Unavailable:
                gateway = alternative
        return gateway.charge(order, cents)
        # END SOLUTION


# %% check payment_gateways points=2
def test_acme_is_asked_in_euros_and_answers_in_cents() -> None:
    client = AcmeClient()
    assert AcmeGateway(client).charge("A-7", 1205) == Receipt("acme-A-7", 1205)
    assert client.log == [("open",), ("pay", "s1", "12.05", "A-7"), ("end", "s1")], (
        "euros as a text; a session of its own"
    )


def test_the_next_gateway_is_asked_if_one_is_unavailable() -> None:
    gateway = FirstOf(AcmeGateway(AcmeClient(status=500)), AcmeGateway(AcmeClient()))
    assert gateway.charge("A-7", 5) == Receipt("acme-A-7", 5)


# %% hidden payment_gateways points=4
class Scripted:
    """A gateway that raises what it is told, or pays."""

    def __init__(self, problem: Exception | None = None) -> None:
        self.problem = problem
        self.calls: list[tuple[str, int]] = []

    def charge(self, order: str, cents: int) -> Receipt:
        self.calls.append((order, cents))
        if self.problem is not None:
            raise self.problem
        return Receipt("paid", cents)


@pytest.mark.parametrize(
    ("cents", "text"), [(1, "0.01"), (99, "0.99"), (1000, "10.00"), (1999, "19.99"), (2**60, "11529215046068469.76")]
)
def test_no_amount_is_rounded(cents: int, text: str) -> None:
    client = AcmeClient()
    assert AcmeGateway(client).charge("A-7", cents).cents == cents, "19.99 * 100 is 1998.99…: no float for money"
    assert client.log[1] == ("pay", "s1", text, "A-7")


def test_the_receipt_has_what_was_confirmed() -> None:
    assert AcmeGateway(AcmeClient(confirms="19.99")).charge("A-7", 2500).cents == 1999, "a part was booked, says Acme"


@pytest.mark.parametrize(
    ("status", "kind"), [(402, Declined), (429, Unavailable), (500, Unavailable), (501, Unavailable)]
)
def test_what_acme_says_becomes_what_the_shop_knows(status: int, kind: type[Exception]) -> None:
    client = AcmeClient(status=status)
    with pytest.raises(kind, match="A-7") as caught:
        AcmeGateway(client).charge("A-7", 5)
    assert isinstance(caught.value.__cause__, AcmeError), "whoever debugs it needs the vendor's own words"
    assert [call[0] for call in client.log] == ["open", "pay", "end"], "paid for once, and the session has ended"


@pytest.mark.parametrize("status", [400, 401, 403, 428, 430, 499])
def test_a_mistake_of_ours_is_not_translated(status: int) -> None:
    client = AcmeClient(status=status)
    with pytest.raises(AcmeError):
        AcmeGateway(client).charge("A-7", 5)
    assert client.log[-1] == ("end", "s1")


def test_a_session_that_was_not_opened_is_not_ended() -> None:
    client = AcmeClient(status=503)
    with pytest.raises(Unavailable, match="A-7") as caught:
        AcmeGateway(client).charge("A-7", 5)
    assert isinstance(caught.value.__cause__, ConnectionError)
    assert client.log == [("open",)], "there is no name of a session to end"


@pytest.mark.parametrize(("problem", "kind"), [(ConnectionError("cut"), Unavailable), (KeyError("bug"), KeyError)])
def test_a_session_is_ended_after_any_error(
    problem: Exception, kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def pay(*args: object, **kwargs: object) -> dict[str, str]:
        raise problem

    client = AcmeClient()
    monkeypatch.setattr(client, "pay", pay)
    with pytest.raises(kind):
        AcmeGateway(client).charge("A-7", 5)
    assert client.log == [("open",), ("end", "s1")]


def test_a_refusal_is_final() -> None:
    second = Scripted()
    with pytest.raises(Declined):
        FirstOf(Scripted(Declined("A-7")), second).charge("A-7", 5)
    with pytest.raises(KeyError):
        FirstOf(Scripted(KeyError("bug")), second).charge("A-7", 5)
    assert second.calls == [], "who was refused by one isn't charged by another"


def test_each_is_asked_once_until_one_pays() -> None:
    gateways = [Scripted(Unavailable("1")), Scripted(Unavailable("2")), Scripted(), Scripted()]
    chain = FirstOf(gateways[0], FirstOf(*gateways[1:3]), gateways[3])
    assert chain.charge("A-7", 5) == Receipt("paid", 5)
    assert [each.calls for each in gateways] == [[("A-7", 5)], [("A-7", 5)], [("A-7", 5)], []]


def test_the_last_one_says_why_nobody_could() -> None:
    last = Unavailable("last")
    for gateway in (FirstOf(Scripted(Unavailable("first")), Scripted(last)), FirstOf(Scripted(last))):
        with pytest.raises(Unavailable) as caught:
            gateway.charge("A-7", 5)
        assert caught.value is last


def test_mypy_takes_both_for_gateways_and_nothing_else() -> None:
    right = "gateways: list[Gateway] = [AcmeGateway(AcmeClient()), FirstOf(FirstOf(AcmeGateway(AcmeClient())))]"
    wrong = ("AcmeGateway(FirstOf)", "FirstOf()", "FirstOf(AcmeClient())", "FirstOf(gateways[0], AcmeClient())")
    errors = type_errors(FirstOf, right, *wrong)
    assert len(errors) == len(wrong), f"one error for each of {wrong}, and no other; mypy says {errors}"


# %% wrong payment_gateways fails=test_no_amount_is_rounded
# "Euros are a float": formatting hides it on the way out, int() cuts a cent off on the way in.
class AcmeGateway:
    """Pays with Acme."""

    def __init__(self, client: AcmeClient) -> None:
        self._client = client

    def charge(self, order: str, cents: int) -> Receipt:
        """Book the cents in a session of its own, and return what was booked."""
        try:
            session = self._client.open_session()
            try:
                paid = self._client.pay(session, amount=f"{cents / 100:.2f}", idempotency_key=order)
            finally:
                self._client.end_session(session)
        except ConnectionError as error:
            raise Unavailable(f"{order}: {error}") from error
        except AcmeError as error:
            if error.status == 402:
                raise Declined(f"{order}: {error}") from error
            if error.status == 429 or error.status >= 500:
                raise Unavailable(f"{order}: {error}") from error
            raise
        return Receipt(paid["id"], int(float(paid["amount"]) * 100))


class FirstOf:
    """Pays with the first gateway that is available."""

    def __init__(self, first: Gateway, *others: Gateway) -> None:
        self._gateways = (first, *others)

    def charge(self, order: str, cents: int) -> Receipt:
        """Book the cents with one of them."""
        for gateway in self._gateways[:-1]:
            try:
                return gateway.charge(order, cents)
            except Unavailable:
                continue
        return self._gateways[-1].charge(order, cents)


# %% wrong payment_gateways fails=test_a_refusal_is_final
# "A fallback catches everything": the refused customer is charged by the next gateway, and bugs look like outages.
class AcmeGateway:
    """Pays with Acme."""

    def __init__(self, client: AcmeClient) -> None:
        self._client = client

    def charge(self, order: str, cents: int) -> Receipt:
        """Book the cents in a session of its own, and return what was booked."""
        try:
            session = self._client.open_session()
            try:
                amount = f"{cents // 100}.{cents % 100:02}"
                paid = self._client.pay(session, amount=amount, idempotency_key=order)
            finally:
                self._client.end_session(session)
        except ConnectionError as error:
            raise Unavailable(f"{order}: {error}") from error
        except AcmeError as error:
            if error.status == 402:
                raise Declined(f"{order}: {error}") from error
            if error.status == 429 or error.status >= 500:
                raise Unavailable(f"{order}: {error}") from error
            raise
        return Receipt(paid["id"], int(paid["amount"].replace(".", "")))


class FirstOf:
    """Pays with the first gateway that is available."""

    def __init__(self, first: Gateway, *others: Gateway) -> None:
        self._gateways = (first, *others)

    def charge(self, order: str, cents: int) -> Receipt:
        """Book the cents with one of them."""
        for gateway in self._gateways[:-1]:
            try:
                return gateway.charge(order, cents)
            except Exception:
                continue
        return self._gateways[-1].charge(order, cents)


# %% right payment_gateways
class AcmeGateway(Gateway):
    """Pays with Acme."""

    def __init__(self, client: AcmeClient) -> None:
        self.client = client

    def charge(self, order: str, cents: int) -> Receipt:
        """Book the cents in a session of its own, and return what was booked."""
        digits = f"{cents:03}"
        try:
            with contextlib.ExitStack() as stack:
                session = self.client.open_session()
                stack.callback(self.client.end_session, session)
                paid = self.client.pay(session, amount=f"{digits[:-2]}.{digits[-2:]}", idempotency_key=order)
        except (ConnectionError, AcmeError) as error:
            status = error.status if isinstance(error, AcmeError) else 500
            if status < 500 and status not in (402, 429):
                raise
            raise (Declined if status == 402 else Unavailable)(order) from error
        euros, rest = paid["amount"].split(".")
        return Receipt(paid["id"], int(euros) * 100 + int(rest))


class FirstOf(Gateway):
    """Pays with the first gateway that is available."""

    def __init__(self, first: Gateway, *others: Gateway) -> None:
        self.gateways = (first, *others)

    def charge(self, order: str, cents: int) -> Receipt:
        """Book the cents with one of them."""
        problem = Unavailable(order)
        for gateway in self.gateways:
            try:
                return gateway.charge(order, cents)
            except Unavailable as error:
                problem = error
        raise problem


# %% [markdown] hint payment_gateways
# Ask of Acme's kit: which values change their unit on the way in and out, which of its failures has which name in the
# shop, and what has to be ended, from when on?

# %% [markdown] hint payment_gateways
# Cents to euros with `//` and `%`, back without a float: the text always has two decimals. Two nested `try`s: the inner
# one, after `open_session`, has the `finally` that ends the session; the outer one translates, with `raise … from
# error`.

# %% [markdown] hint payment_gateways
# `FirstOf`: go through all gateways but the last with `try: return gateway.charge(order, cents)` and `except
# Unavailable: continue`; then `return` the last one's `charge` without a `try`, so that its exception comes out
# untouched.

# %% [markdown] after payment_gateways
# **Why.** The checkout now knows three names: `Gateway`, `Declined`, `Unavailable`. `FirstOf` is the composite (a
# gateway that is made of gateways) and the chain of responsibility at once; a log or a rate limit is one more class of
# ten lines. In tests, a class that raises what it is told or pays replaces every vendor, without a mock.
#
# **What `Unavailable` claims.** "Nothing has been booked" is the precondition of asking somebody else. A connection
# that breaks *after* the request has gone out doesn't fulfil it: then the honest name is a third one, `Unknown`, and
# the answer is to ask again with the same idempotency key, or to look it up, never to go on to the next gateway. Here
# the kit promises it; real ones seldom do.
#
# **Alternatives.** With `class AcmeGateway(Gateway)`, which inherits from the protocol, mypy compares the signatures at
# the class and not only where one is used as a gateway. An `ABC` also checks at run time, and can hold shared code; it
# obliges everybody to import it. A function `charge_with_acme(client, order, cents)` with `functools.partial` would do
# as well, as long as the protocol has one method.
#
# **The case against.** With one vendor and no second in sight, an adapter for "independence" is a wish. Worth it even
# then is the translation of errors and units, since it makes the tests simple.
#
# **The interviewer goes on**: *The new vendor can do partial refunds, and the others can't. Does `Gateway` get a
# `refund`? (No: a second protocol, `Refunding`, for those who can; the caller asks for what it needs.) Where do you
# count how often the fallback was used?*

# %% [markdown]
# ## Behavioral patterns: who does what, and who knows of whom
#
# ### Strategy, command and state
#
# A **strategy** is a parameter that is called. What remains to be designed is where the choice is made. If it comes
# from data (a configuration, a column, a request), there is a table from names to functions, and two questions: how
# does an entry get into the table, and **when is a wrong entry found out about**? `functools.partial` binds the
# parameters of a strategy; unlike a lambda it can be pickled (if its function can be imported), compared by its parts,
# and printed. `inspect.signature(function).bind(…)` says whether a call would fit, without making it.
#
# A **template method**, an algorithm in a base class with gaps for subclasses, is a strategy by inheritance: prefer the
# parameters, unless there are many gaps that belong together.
#
# A **command** makes a call a thing: it can wait, be logged, be sent, be undone. In Python it is any callable. The
# elegant form of undo: *doing returns how it is undone*.

# %%
Undo = Callable[[], None]


def rename(document: dict[str, str], title: str) -> Undo:
    """Change the title; return what changes it back."""
    before = document["title"]
    document["title"] = title
    return lambda: document.update(title=before)


class History:
    """Does commands, and takes them back in reverse order."""

    def __init__(self) -> None:
        self.done: list[tuple[Callable[[], Undo], Undo]] = []
        self.undone: list[Callable[[], Undo]] = []

    def do(self, command: Callable[[], Undo]) -> None:
        self.done.append((command, command()))  # not noted if it raises
        self.undone.clear()  # a new branch: what was undone can't be done again

    def undo(self) -> None:
        command, take_back = self.done.pop()
        take_back()
        self.undone.append(command)

    def redo(self) -> None:
        command = self.undone.pop()
        self.done.append((command, command()))


document = {"title": "draft"}
history = History()
for title in ("offer", "contract"):
    history.do(functools.partial(rename, document, title))
titles = [document["title"]]
for step in (history.undo, history.undo, history.redo):
    step()
    titles.append(document["title"])
print("undo, undo, redo:", " > ".join(titles))

# %% [markdown]
# The case against commands: an effect outside of the process (a mail, a payment) has no undo, only a compensation
# (another mail); a closure can't be stored, so what has to survive a restart is a dataclass with a name and data; and
# if the state is small, a **memento** (keep the frozen snapshots) is simpler than any inverse.
#
# For **state** a dict will do, from state and event to the next state, with an enum for the states: it can be printed,
# drawn and checked for holes, and methods in five classes can't.

# %% [markdown] exercise promotion_rules topic=design-patterns level=core minutes=12
# ## Exercise: Strategies without classes
#
# Promotions of a shop are configured by marketing, as JSON. The code below grew by the book, with a factory and a
# class for each rule. A misspelt parameter (`"precent"`) was found out about by the first customer, not when the
# configuration was loaded; and who adds a rule has to change the factory, which belongs to another team. Refactor it to
# functions. `Line` and `total` are given.
#
# * `PROMOTIONS` is a dict from names to functions. `@promotion` enters a function under its own name and returns the
#   same function. If another function has the name: `ValueError` with it in its text, and the entry stays.
# * Two rules are entered, functions of a basket and of keyword arguments, which return the cents off:
#   `percent_off(basket, *, percent, minimum=0)` of the total, rounded down, if the total is at least the minimum, else
#   0; `one_free(basket, *, sku, buy)`: with every `buy` that are paid, one more of that article is free (with `buy=2`
#   every third one; an article may stand in several lines, each line counts for itself). Numbers are whole, and the
#   minimum is in cents.
# * `load(entry)` takes a mapping such as `{"rule": "percent_off", "percent": 10}`, which it leaves as it is, and
#   returns a function of the basket. **When it is loaded**, an entry without a rule, with an unknown one, or with
#   parameters that are missing or that the rule doesn't have is a `ValueError`; the text contains the rule's name, if
#   there is one. It takes every rule that is entered in `PROMOTIONS` at that time. What it returns can be pickled.
#
# The cell has no `class` statement.
#
# ```python
# >>> basket = [Line("tea", 3, 450), Line("cup", 1, 1000)]
# >>> strategy = load({"rule": "one_free", "sku": "tea", "buy": 2})
# >>> strategy(basket), percent_off(basket, percent=10)
# (450, 235)
# >>> load({"rule": "percent_off", "precent": 10})
# Traceback (most recent call last):
# ValueError: percent_off: missing a required argument: 'percent'
# ```
#
# The texts of the errors are otherwise yours.


# %%
class Line(NamedTuple):
    """A line of a basket; the cents are those of one piece."""

    sku: str
    pieces: int
    cents: int


Basket = Sequence[Line]
F = TypeVar("F", bound=Callable[..., int])


def total(basket: Basket) -> int:
    """Return the cents of all lines."""
    return sum(line.pieces * line.cents for line in basket)


# For the checks: 41.85 euros in all.
BASKET = [Line("tea", 3, 455), Line("cup", 1, 1000), Line("tea", 4, 455)]


# %% starter promotion_rules
class DiscountStrategy:
    """Base of all strategies."""

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        self.parameters = parameters

    def discount(self, basket: Basket) -> int:
        raise NotImplementedError


class PercentStrategy(DiscountStrategy):
    """A share of the total."""

    def discount(self, basket: Basket) -> int:
        if total(basket) < self.parameters.get("minimum", 0):
            return 0
        return total(basket) * int(self.parameters["percent"]) // 100


class OneFreeStrategy(DiscountStrategy):
    """One more for nothing."""

    def discount(self, basket: Basket) -> int:
        sku, buy = self.parameters["sku"], self.parameters["buy"]
        return sum(line.pieces // (buy + 1) * line.cents for line in basket if line.sku == sku)


class StrategyFactory:
    """Makes strategies."""

    def create(self, entry: Mapping[str, Any]) -> DiscountStrategy:
        if entry["rule"] == "percent_off":
            return PercentStrategy(entry)
        elif entry["rule"] == "one_free":
            return OneFreeStrategy(entry)
        raise ValueError(entry["rule"])


def load(entry: Mapping[str, Any]) -> Callable[[Basket], int]:
    """Return the strategy that an entry of the configuration describes."""
    return StrategyFactory().create(entry).discount


# %% solution promotion_rules
# BEGIN SOLUTION
PROMOTIONS: dict[str, Callable[..., int]] = {}


def promotion(function: F) -> F:
    """Enter a function under its name."""
    if function.__name__ in PROMOTIONS:
        raise ValueError(f"{function.__name__} is taken")
    PROMOTIONS[function.__name__] = function
    return function


@promotion
def percent_off(basket: Basket, *, percent: int, minimum: int = 0) -> int:
    """Return a share of the total, from a minimum on."""
    return total(basket) * percent // 100 if total(basket) >= minimum else 0


@promotion
def one_free(basket: Basket, *, sku: str, buy: int) -> int:
    """Return the price of the pieces that are free."""
    return sum(line.pieces // (buy + 1) * line.cents for line in basket if line.sku == sku)


def load(entry: Mapping[str, Any]) -> Callable[[Basket], int]:
    """Return the strategy that an entry of the configuration describes."""
    parameters = dict(entry)
    rule = parameters.pop("rule", None)
    if rule not in PROMOTIONS:
        raise ValueError(f"{rule} is none of {sorted(PROMOTIONS)}")
    try:
        inspect.signature(PROMOTIONS[rule]).bind((), **parameters)
    except TypeError as error:
        raise ValueError(f"{rule}: {error}") from error
    return functools.partial(PROMOTIONS[rule], **parameters)


# END SOLUTION


# %% check promotion_rules points=2
def test_there_are_functions_and_no_classes() -> None:
    nodes = ast.walk(ast.parse(cell_of(load)))
    assert [node.name for node in nodes if isinstance(node, ast.ClassDef)] == [], "one method, no state: a function"


def test_a_misspelt_parameter_is_found_when_it_is_loaded() -> None:
    with pytest.raises(ValueError, match="percent_off"):
        load({"rule": "percent_off", "precent": 10})


def test_rules_give_the_cents_off() -> None:
    assert load({"rule": "percent_off", "percent": 10})(BASKET) == 418, "rounded down"
    assert load({"rule": "one_free", "sku": "tea", "buy": 2})(BASKET) == 910, "every third one, in each line"


# %% hidden promotion_rules points=3
@pytest.fixture
def entered() -> Iterator[dict[str, Callable[..., int]]]:
    """Give the registry, and take back what a test enters."""
    before = dict(PROMOTIONS)
    yield PROMOTIONS
    PROMOTIONS.clear()
    PROMOTIONS.update(before)


def test_a_new_rule_is_one_function(entered: dict[str, Callable[..., int]]) -> None:
    def gift(basket: Basket, *, cents: int) -> int:
        return cents

    assert promotion(gift) is gift, "the decorator gives back the same function"
    assert entered["gift"] is gift
    assert load({"rule": "gift", "cents": 7})(BASKET) == 7, "entered in one place, and known everywhere"


def test_a_name_that_is_taken_stays(entered: dict[str, Callable[..., int]]) -> None:
    def percent_off(basket: Basket) -> int:
        return 0

    before = entered["percent_off"]
    with pytest.raises(ValueError, match="percent_off"):
        promotion(percent_off)
    assert entered["percent_off"] is before, "two teams, one name: the second one has to hear of it"


def test_the_two_rules_are_entered_and_callable() -> None:
    assert {"percent_off", "one_free"} <= set(PROMOTIONS)
    assert PROMOTIONS["percent_off"] is percent_off
    assert (percent_off(BASKET, percent=100), percent_off([], percent=50)) == (4185, 0)


@pytest.mark.parametrize(("minimum", "cents"), [(4184, 418), (4185, 418), (4186, 0)])
def test_a_share_is_given_from_the_minimum_on(minimum: int, cents: int) -> None:
    assert percent_off(BASKET, percent=10, minimum=minimum) == cents
    assert load({"rule": "percent_off", "percent": 10, "minimum": minimum})(BASKET) == cents


@pytest.mark.parametrize(("buy", "cents"), [(1, 1365), (2, 910), (3, 455), (4, 0)])
def test_one_is_free_with_every_few_that_are_paid(buy: int, cents: int) -> None:
    assert one_free(BASKET, sku="tea", buy=buy) == cents, "3 and 4 pieces, each line for itself"
    assert one_free(BASKET, sku="pot", buy=buy) == 0


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        ({"percent": 10}, ""),
        ({}, ""),
        ({"rule": "half_price"}, "half_price"),
        ({"rule": "percent_off"}, "percent_off"),
        ({"rule": "percent_off", "percent": 10, "cents": 5}, "percent_off"),
        ({"rule": "one_free", "sku": "tea"}, "one_free"),
    ],
)
def test_an_entry_that_does_not_fit_is_refused_when_it_is_loaded(entry: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=name):
        load(entry)


def test_the_configuration_is_left_as_it_is() -> None:
    entry = {"rule": "percent_off", "percent": 10}
    first, second = load(entry), load(entry)
    assert (first(BASKET), second(BASKET), entry) == (418, 418, {"rule": "percent_off", "percent": 10})


def test_a_strategy_can_be_sent_to_another_process() -> None:
    strategy = pickle.loads(pickle.dumps(load({"rule": "percent_off", "percent": 10})))
    assert strategy(BASKET) == 418, "the nightly job prices baskets in a pool: a lambda or closure doesn't get there"


# %% wrong promotion_rules fails=test_a_misspelt_parameter_is_found_when_it_is_loaded
# "partial checks the arguments": it keeps them; the first customer's call is what fails.
PROMOTIONS: dict[str, Callable[..., int]] = {}


def promotion(function: F) -> F:
    """Enter a function under its name."""
    if function.__name__ in PROMOTIONS:
        raise ValueError(f"{function.__name__} is taken")
    PROMOTIONS[function.__name__] = function
    return function


@promotion
def percent_off(basket: Basket, *, percent: int, minimum: int = 0) -> int:
    """Return a share of the total, from a minimum on."""
    return total(basket) * percent // 100 if total(basket) >= minimum else 0


@promotion
def one_free(basket: Basket, *, sku: str, buy: int) -> int:
    """Return the price of the pieces that are free."""
    return sum(line.pieces // (buy + 1) * line.cents for line in basket if line.sku == sku)


def load(entry: Mapping[str, Any]) -> Callable[[Basket], int]:
    """Return the strategy that an entry of the configuration describes."""
    parameters = dict(entry)
    rule = parameters.pop("rule", None)
    if rule not in PROMOTIONS:
        raise ValueError(f"{rule} is none of {sorted(PROMOTIONS)}")
    return functools.partial(PROMOTIONS[rule], **parameters)


# %% wrong promotion_rules fails=test_a_new_rule_is_one_function
# "The table is written down at the end": the decorator is decoration, and each rule stands in two places.
def promotion(function: F) -> F:
    """Mark a function as a promotion."""
    return function


def percent_off(basket: Basket, *, percent: int, minimum: int = 0) -> int:
    """Return a share of the total, from a minimum on."""
    return total(basket) * percent // 100 if total(basket) >= minimum else 0


def one_free(basket: Basket, *, sku: str, buy: int) -> int:
    """Return the price of the pieces that are free."""
    return sum(line.pieces // (buy + 1) * line.cents for line in basket if line.sku == sku)


PROMOTIONS: dict[str, Callable[..., int]] = {
    "percent_off": percent_off,
    "one_free": one_free,
}


def load(entry: Mapping[str, Any]) -> Callable[[Basket], int]:
    """Return the strategy that an entry of the configuration describes."""
    parameters = dict(entry)
    rule = parameters.pop("rule", None)
    try:
        inspect.signature(PROMOTIONS[rule]).bind((), **parameters)
    except (KeyError, TypeError) as error:
        raise ValueError(f"{rule}: {error}") from error
    return functools.partial(PROMOTIONS[rule], **parameters)


# %% right promotion_rules
PROMOTIONS: dict[str, Callable[..., int]] = {}


def promotion(function: F) -> F:
    """Enter a function under its name."""
    entry = PROMOTIONS.setdefault(function.__name__, function)
    if entry is not function:
        raise ValueError(f"{function.__name__} is {entry}")
    return function


@promotion
def percent_off(basket: Basket, *, percent: int, minimum: int = 0) -> int:
    """Return a share of the total, from a minimum on."""
    return (total(basket) >= minimum) * percent * total(basket) // 100


@promotion
def one_free(basket: Basket, *, sku: str, buy: int) -> int:
    """Return the price of the pieces that are free."""
    return sum(cents * (pieces // (buy + 1)) for article, pieces, cents in basket if article == sku)


def load(entry: Mapping[str, Any]) -> Callable[[Basket], int]:
    """Return the strategy that an entry of the configuration describes."""
    try:
        strategy = functools.partial(PROMOTIONS[entry["rule"]], **{k: entry[k] for k in entry if k != "rule"})
        strategy([])
    except (KeyError, TypeError) as error:
        raise ValueError(f"{entry.get('rule')}: {error}") from error
    return strategy


# %% [markdown] waive promotion_rules
# - `def percent_off(basket: Basket, *, percent: int, minimum: int=0) -> int:` → `def percent_off(basket: Basket, *, percent: int, minimum: int=1) -> int:`: a share of no cents is 0 cents  # noqa: E501
# - `except TypeError as error:` → `except BaseException as error:`: `bind` raises nothing else

# %% [markdown] hint promotion_rules
# Each strategy class has one method and no state of its own: its parameters are the function's keyword arguments. The
# factory's chain of conditions is a dictionary that somebody wrote as a program.

# %% [markdown] hint promotion_rules
# `functools.partial` binds the parameters and can be pickled. Whether they fit is known before: from
# `inspect.signature(function).bind(…)`, which raises the `TypeError` that the call would raise.

# %% [markdown] hint promotion_rules
# In `load`: copy the entry, `pop("rule", None)`, refuse what isn't in `PROMOTIONS`; then `bind((), **parameters)` with
# `()` in the place of the basket, `TypeError` becomes `ValueError`; return `partial(PROMOTIONS[rule], **parameters)`.

# %% [markdown] after promotion_rules
# **Why.** A new rule is one function, and nothing else changes: that is what the book's class diagram was drawn for. A
# wrong configuration fails at the start of the service, where somebody is watching.
#
# **What bind doesn't see.** `percent="ten"` fits the signature. Values are the business of a schema: a Pydantic model
# for each rule, as a union told apart by `rule`, gives types, ranges and messages to marketing. If rules come from
# other packages, the registry is filled by importing them, so somebody has to: entry points (`importlib.metadata`) are
# the standard way.
#
# **The case against.** With three rules that change once a year, `match entry["rule"]` in one function is eleven lines,
# is read from top to bottom, and mypy checks every call. A registry buys openness with the loss of "go to definition".
# Take it when *others* add rules.
#
# **The interviewer goes on**: *Two promotions may now be combined, in any order, but never with a third one. Which
# pattern is that? (None: it is a rule about sets of rules, so data.) How do you test that marketing's current JSON
# loads? (With the JSON, in CI.)*

# %% [markdown]
# ### Observer: easy to write, hard to get right
#
# The subject keeps a list of callbacks and calls them when something has changed; it doesn't know who they are. Five
# questions decide whether that holds in production:
#
# 1. **Who lives how long?** The subject holds its observers. A view that is closed and doesn't unsubscribe is kept, and
#    called, for ever ("lapsed listener"). `weakref.WeakMethod(obj.method)` holds a bound method without its object; a
#    plain `weakref.ref` to one is dead at once, for the bound method is made anew by each dot.
# 2. **What if the list changes meanwhile?** The classic is the observer that wants to hear just once and unsubscribes
#    in its call: below. So go over a copy, *and* ask before each call whether it is still subscribed.
# 3. **What if one of them raises?** It must not decide whether the others hear of the change, and must not vanish
#    either: collect, then raise an `ExceptionGroup`, or log.
# 4. **What if one of them changes the subject?** Then a second round begins within the first: the later observers hear
#    of the second change *first*, then of the first one, and stay with the old value. Queue the change.
# 5. **Which thread, which order?** That of whoever changes the subject, in the order of subscription. Nobody should
#    depend on more; who does wants a function that calls two things.


# %%
def notified(names: str, leaver: str, copied: bool) -> str:
    """Return who is called in one round in which an observer unsubscribes itself."""
    observers, called = list(names), ""
    for name in list(observers) if copied else observers:
        called += name
        if name == leaver:
            observers.remove(name)
    return called


@dataclass(frozen=True, repr=False)
class NotifyRound:
    """Who hears of a change if one observer leaves in its own call: over the list itself, and over a copy."""

    leaver: int
    names: str = "ABCDE"

    @property
    def rows(self) -> dict[str, str]:
        who = self.names[self.leaver]
        return {
            label: notified(self.names, who, copied)
            for label, copied in (("for f in observers", False), ("for f in list(observers)", True))
        }

    def __repr__(self) -> str:
        lines = [f"{self.names[self.leaver]} unsubscribes itself when it is called"]
        for label, called in self.rows.items():
            marks = "  ".join(name if name in called else "-" for name in self.names)
            lines.append(f"{label:26} {marks}   {len(called)} of {len(self.names)} are called")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        parts = []
        for row, (label, called) in enumerate(self.rows.items()):
            top = 30 + row * 44
            parts.append(f'<text x="0" y="{top + 21}" font-family="monospace">{html.escape(label)}</text>')
            for place, name in enumerate(self.names):
                fill = "#d55e00" if name not in called else "#e69f00" if place == self.leaver else "#009e73"
                left = 210 + place * 56
                parts.append(
                    f'<rect x="{left}" y="{top}" width="46" height="32" rx="3" fill="{fill}" stroke="currentColor"/>'
                    f'<text x="{left + 23}" y="{top + 21}" text-anchor="middle">{name}</text>'
                )
            parts.append(f'<text x="500" y="{top + 21}">{len(called)} of {len(self.names)} called</text>')
        return (
            '<svg role="img" aria-label="observers called in one round" viewBox="0 0 620 112" width="620" '
            'style="max-width: 100%; height: auto" fill="currentColor" font-family="sans-serif" font-size="13" '
            'xmlns="http://www.w3.org/2000/svg"><text x="0" y="14" font-weight="bold">'
            f"{self.names[self.leaver]} unsubscribes itself when it is called</text>{''.join(parts)}</svg>"
        )


explore(NotifyRound, leaver=(0, 4, 1))

# %% [markdown]
# Green is called, yellow is called and leaves, red is skipped: the one *behind* the leaver moves to its place, the
# loop's index goes on, and it is skipped without an error. With the slider at the end nobody is skipped, and neither
# with one observer only: so the unit test is green.

# %% [markdown] exercise watched_price topic=design-patterns level=senior minutes=15
# ## Exercise: The price that the screen didn't know
#
# `Watched` holds a price, and tells screens, alarms and a journal of changes. Four tickets are open: a screen that
# was closed still is in memory; when a one-shot alarm goes off, the journal misses that change; when one screen
# fails, those behind it show the old price; and after an observer has corrected a price, some screens show the wrong
# one for good. Fix the class. One thread uses it.
#
# * `watched.value` is the current value. `watched.subscribe(observer)` returns a function without arguments that ends
#   **this** subscription; calling that again does nothing. The same observer may be subscribed several times, each for
#   itself. `len(watched)` is the number of subscriptions.
# * A bound method (`types.MethodType`) is held weakly: with its object the subscription ends at once and is counted no
#   more. Any other callable is held until its subscription is ended.
# * `watched.set(value)`: if it is equal to the current value, nothing happens. Else the value is current, and then each
#   observer is called with `(old, new)`, in the order of subscription. Whoever is subscribed during these calls hears
#   of the next change only. Whoever's subscription has ended before its turn isn't called.
# * `set` may be called **by an observer**: it returns at once, and takes effect when all have heard of the change at
#   hand (it is then that it is compared with the current value); several are dealt with in their order. The outer `set`
#   returns when all of them have been.
# * An `Exception` of an observer keeps nobody from hearing. When everything is done, the outer `set` raises one
#   `ExceptionGroup` of all of them, in their order. Any other `BaseException` comes out at once; changes that are still
#   waiting are dropped, and the object can be used as before.
#
# ```python
# >>> price = Watched(80)
# >>> end = price.subscribe(lambda old, new: price.set(100) if new > 100 else None)
# >>> _ = price.subscribe(lambda old, new: print(old, "->", new))
# >>> price.set(250)
# 80 -> 250
# 250 -> 100
# >>> end(); end()
# >>> len(price), price.value
# (1, 100)
# ```


# %% starter watched_price
class Watched:
    """A value that tells its observers when it changes."""

    def __init__(self, value: Any) -> None:
        self.value = value
        self._observers: list[Callable[[Any, Any], object]] = []

    def __len__(self) -> int:
        """Return the number of subscriptions."""
        return len(self._observers)

    def subscribe(self, observer: Callable[[Any, Any], object]) -> Callable[[], None]:
        """Call the observer with (old, new) for each change; return what ends it."""
        self._observers.append(observer)
        return lambda: self._observers.remove(observer)

    def set(self, value: Any) -> None:
        """Change the value, and tell the observers."""
        if value != self.value:
            old, self.value = self.value, value
            for observer in self._observers:
                observer(old, value)


# %% solution watched_price
class Watched:
    """A value that tells its observers when it changes."""

    def __init__(self, value: Any) -> None:
        self.value = value
        self._observers: dict[object, Callable[[], Callable[[Any, Any], object] | None]] = {}
        self._waiting: deque[Any] = deque()

    def __len__(self) -> int:
        """Return the number of subscriptions."""
        return len(self._observers)

    def subscribe(self, observer: Callable[[Any, Any], object]) -> Callable[[], None]:
        """Call the observer with (old, new) for each change; return what ends it."""
        observers, ticket = self._observers, object()

        def end(_: object = None) -> None:
            observers.pop(ticket, None)

        observers[ticket] = weakref.WeakMethod(observer, end) if isinstance(observer, MethodType) else lambda: observer
        return end

    def set(self, value: Any) -> None:
        """Change the value, and tell the observers."""
        self._waiting.append(value)
        if len(self._waiting) > 1:
            return
        errors: list[Exception] = []
        try:
            while self._waiting:
                self._change(self._waiting[0], errors)
                self._waiting.popleft()
        finally:
            self._waiting.clear()
        if errors:
            raise ExceptionGroup("observers failed", errors)

    def _change(self, value: Any, errors: list[Exception]) -> None:
        """Tell everybody of one change; collect what goes wrong."""
        if value == self.value:
            return
        old, self.value = self.value, value
        for ticket in list(self._observers):
            observer = self._observers.get(ticket, lambda: None)()
            if observer is not None:
                try:
                    observer(old, value)
                except Exception as error:
                    errors.append(error)


# %% check watched_price points=2
def test_a_one_shot_observer_costs_nobody_a_change() -> None:
    log: list[str] = []
    price = Watched(80)

    def alarm(old: int, new: int) -> None:
        log.append("alarm")
        end()

    end = price.subscribe(alarm)
    price.subscribe(lambda old, new: log.append(f"journal {old} {new}"))
    price.set(90)
    price.set(95)
    assert log == ["alarm", "journal 80 90", "journal 90 95"], "who leaves in its call moves the rest of a list up"


def test_everybody_hears_of_a_correction_last() -> None:
    log: list[tuple[int, int]] = []
    price = Watched(80)
    price.subscribe(lambda old, new: price.set(100) if new > 100 else None)
    price.subscribe(lambda old, new: log.append((old, new)))
    price.set(250)
    assert log == [(80, 250), (250, 100)], "whoever shows what it heard last has to show the current price"


# %% hidden watched_price points=4
class Screen:
    """Shows what it was told last."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def show(self, old: Any, new: Any) -> None:
        self.told.append(new)


def test_a_closed_screen_is_freed_and_its_subscription_ends() -> None:
    price, screen, other = Watched(80), Screen(), Screen()
    price.subscribe(screen.show)
    price.subscribe(other.show)
    price.set(81)
    assert (screen.told, other.told) == ([81], [81]), "a weak reference to the bound method itself would be dead by now"
    ghost = weakref.ref(screen)
    del screen
    assert ghost() is None, "the price must not keep a closed screen alive"
    assert len(price) == 1, "it ends with its object, not at the next change"
    price.set(82)
    assert other.told == [81, 82]


def test_functions_are_held() -> None:
    told: list[int] = []
    price = Watched(80)
    price.subscribe(lambda old, new: told.append(new))
    price.subscribe(functools.partial(lambda log, old, new: log.append(-new), told))
    price.set(81)
    assert told == [81, -81], "nobody else holds a lambda"


def test_each_subscription_is_its_own() -> None:
    told: list[int] = []

    def observer(old: int, new: int) -> None:
        told.append(new)

    price = Watched(80)
    first, second = price.subscribe(observer), price.subscribe(observer)
    price.set(81)
    assert told == [81, 81], "subscribed twice, called twice"
    first()
    first()
    price.set(82)
    assert (told[2:], len(price)) == ([82], 1), "the first subscription has ended, and only that"
    second()
    assert len(price) == 0


def test_the_order_is_that_of_subscription() -> None:
    log: list[str] = []
    price = Watched(80)
    ends = [price.subscribe(lambda old, new, name=name: log.append(name)) for name in "bac"]  # type: ignore[misc]
    price.set(81)
    ends[0]()
    price.subscribe(lambda old, new: log.append("b"))
    price.set(82)
    assert log == ["b", "a", "c", "a", "c", "b"]


def test_a_change_is_current_when_it_is_told_and_an_equal_value_is_none() -> None:
    seen: list[int] = []
    price = Watched(80)
    price.subscribe(lambda old, new: seen.append(price.value))
    for value in (80, 81, 81.0):
        price.set(value)
    assert seen == [81], "a screen that is drawn for nothing flickers"


def test_who_comes_meanwhile_hears_of_the_next_change() -> None:
    told: list[int] = []
    price = Watched(80)
    ends: list[Callable[[], None]] = []

    def welcome(old: int, new: int) -> None:
        if not ends:
            ends.append(price.subscribe(lambda old, new: told.append(new)))

    price.subscribe(welcome)
    price.set(81)
    price.set(82)
    assert told == [82]


def test_who_has_left_before_its_turn_is_not_called() -> None:
    told: list[str] = []
    price, screen = Watched(80), Screen()
    log = screen.told
    holders: list[Any] = [screen]
    price.subscribe(lambda old, new: holders.pop()())
    price.subscribe(lambda old, new: holders.clear())
    holders.append(price.subscribe(lambda old, new: told.append("left")))
    price.subscribe(screen.show)
    price.subscribe(lambda old, new: told.append("stays"))
    del screen
    price.set(81)
    assert told == ["stays"], "it unsubscribed: what it would touch may be gone"
    assert log == [], "it died before its turn"


def test_changes_by_observers_wait_for_their_turn() -> None:
    log: list[str] = []
    price = Watched(0)

    def pusher(old: int, new: int) -> None:
        if new == 1:
            price.set(2)
            log.append(f"set returned at {price.value}")
            price.set(2)
            price.set(3)

    price.subscribe(pusher)
    price.subscribe(lambda old, new: log.append(f"{old}-{new}"))
    price.set(1)
    assert log == ["set returned at 1", "0-1", "1-2", "2-3"], "one after another, and an equal one is none"


def test_a_change_back_is_compared_when_its_turn_comes() -> None:
    log: list[str] = []
    price = Watched(0)

    def pusher(old: int, new: int) -> None:
        if old == 0:
            price.set(2)
            price.set(1)

    price.subscribe(pusher)
    price.subscribe(lambda old, new: log.append(f"{old}-{new}"))
    price.set(1)
    assert log == ["0-1", "1-2", "2-1"], "1 was current when it was asked for, and no longer when its turn came"


def test_one_failure_keeps_nobody_from_hearing() -> None:
    told: list[int] = []
    price = Watched(0)

    def failing(old: int, new: int) -> None:
        price.set(2)
        raise ValueError(f"screen at {new}")

    def broken(old: int, new: int) -> None:
        raise KeyError(new)

    price.subscribe(failing)
    price.subscribe(broken)
    price.subscribe(lambda old, new: told.append(new))
    with pytest.raises(ExceptionGroup) as caught:
        price.set(1)
    assert told == [1, 2], "all changes are told to all"
    kinds = [f"{type(error).__name__} {error}" for error in caught.value.exceptions]
    assert kinds == ["ValueError screen at 1", "KeyError 1", "ValueError screen at 2", "KeyError 2"]


def test_an_interrupt_comes_out_at_once_and_leaves_nothing_behind() -> None:
    told: list[int] = []
    price = Watched(0)

    def interrupted(old: int, new: int) -> None:
        price.set(7)
        if new == 1:
            raise KeyboardInterrupt

    price.subscribe(interrupted)
    price.subscribe(lambda old, new: told.append(new))
    with pytest.raises(KeyboardInterrupt):
        price.set(1)
    assert (told, price.value) == ([], 1), "nobody is called after that, and the waiting change is dropped"
    price.set(5)
    assert told == [5, 7], "the next change is told as ever"


# %% wrong watched_price fails=test_who_has_left_before_its_turn_is_not_called
# "A copy of the list is enough": it also calls those who have left since.
class Watched:
    """A value that tells its observers when it changes."""

    def __init__(self, value: Any) -> None:
        self.value = value
        self._observers: dict[object, Callable[[], Callable[[Any, Any], object] | None]] = {}
        self._waiting: deque[Any] = deque()

    def __len__(self) -> int:
        """Return the number of subscriptions."""
        return len(self._observers)

    def subscribe(self, observer: Callable[[Any, Any], object]) -> Callable[[], None]:
        """Call the observer with (old, new) for each change; return what ends it."""
        observers, ticket = self._observers, object()

        def end(_: object = None) -> None:
            observers.pop(ticket, None)

        observers[ticket] = weakref.WeakMethod(observer, end) if isinstance(observer, MethodType) else lambda: observer
        return end

    def set(self, value: Any) -> None:
        """Change the value, and tell the observers."""
        self._waiting.append(value)
        if len(self._waiting) > 1:
            return
        errors: list[Exception] = []
        try:
            while self._waiting:
                value = self._waiting[0]
                if value != self.value:
                    old, self.value = self.value, value
                    for reference in list(self._observers.values()):
                        observer = reference()
                        try:
                            if observer is not None:
                                observer(old, value)
                        except Exception as error:
                            errors.append(error)
                self._waiting.popleft()
        finally:
            self._waiting.clear()
        if errors:
            raise ExceptionGroup("observers failed", errors)


# %% wrong watched_price fails=test_an_interrupt_comes_out_at_once_and_leaves_nothing_behind
# "A flag says that a round is going on": without `finally` it says so for ever after.
class Watched:
    """A value that tells its observers when it changes."""

    def __init__(self, value: Any) -> None:
        self.value = value
        self._observers: dict[object, Callable[[], Callable[[Any, Any], object] | None]] = {}
        self._waiting: list[Any] = []
        self._busy = False

    def __len__(self) -> int:
        """Return the number of subscriptions."""
        return len(self._observers)

    def subscribe(self, observer: Callable[[Any, Any], object]) -> Callable[[], None]:
        """Call the observer with (old, new) for each change; return what ends it."""
        observers, ticket = self._observers, object()

        def end(_: object = None) -> None:
            observers.pop(ticket, None)

        observers[ticket] = weakref.WeakMethod(observer, end) if isinstance(observer, MethodType) else lambda: observer
        return end

    def set(self, value: Any) -> None:
        """Change the value, and tell the observers."""
        self._waiting.append(value)
        if self._busy:
            return
        self._busy = True
        errors: list[Exception] = []
        while self._waiting:
            old, new = self.value, self._waiting.pop(0)
            self.value = new
            for ticket in list(self._observers) if old != new else []:
                observer = self._observers.get(ticket, lambda: None)()
                try:
                    if observer is not None:
                        observer(old, new)
                except Exception as error:
                    errors.append(error)
        self._busy = False
        if errors:
            raise ExceptionGroup("observers failed", errors)


# %% right watched_price
class Watched:
    """A value that tells its observers when it changes."""

    def __init__(self, value: Any) -> None:
        self.value = value
        self._tickets: list[list[Any]] = []
        self._waiting: list[Any] | None = None

    def __len__(self) -> int:
        """Return the number of subscriptions."""
        return len(self._tickets)

    def subscribe(self, observer: Callable[[Any, Any], object]) -> Callable[[], None]:
        """Call the observer with (old, new) for each change; return what ends it."""
        ticket: list[Any] = [None]

        def end(_: object = None) -> None:
            ticket[0] = None
            self._tickets = [each for each in self._tickets if each is not ticket]

        ticket[0] = weakref.WeakMethod(observer, end) if isinstance(observer, MethodType) else lambda: observer
        self._tickets = [*self._tickets, ticket]
        return end

    def set(self, value: Any) -> None:
        """Change the value, and tell the observers."""
        if self._waiting is not None:
            self._waiting.append(value)
            return
        self._waiting = [value]
        errors: list[Exception] = []
        try:
            for new in self._waiting:  # the list grows while the loop runs
                old = self.value
                if old == new:
                    continue
                self.value = new
                for ticket in self._tickets:
                    observer = ticket[0]() if ticket[0] else None
                    try:
                        _ = observer(old, new) if observer else None
                    except Exception as error:
                        errors.append(error)
        finally:
            self._waiting = None
        if errors:
            raise ExceptionGroup("observers failed", errors)


# %% [markdown] hint watched_price
# The five questions of the text are the five parts of the exercise. Begin with the subscriptions: what tells two of the
# same observer apart, so that each can be ended by itself, twice?

# %% [markdown] hint watched_price
# Keep a dict from a fresh `object()`, the ticket, to something that returns the observer or None when it is called:
# `weakref.WeakMethod(observer, end)`, or `lambda: observer`. Go over `list(dict)` and look each ticket up again. For
# changes within changes keep a queue: who finds it in use only appends.

# %% [markdown] hint watched_price
# `set` appends the value; if it isn't the only one in the queue, it returns. Else, in a `try` whose `finally` clears
# the queue: while there is one, take the first (without removing it, so that the queue shows that it is in use),
# compare, change, call everybody with `except Exception as error: errors.append(error)`, and only then remove it. At
# the end raise the group, if there are errors.

# %% [markdown] after watched_price
# **Why.** The ticket makes a subscription a thing of its own: ended once, in constant time, whoever else subscribed the
# same function. Dicts keep the order. The queue makes changes atomic for observers: all of them see the same sequence
# of changes, and each one's last is the current value.
#
# **What it costs.** A weak subscription ends when nobody else holds the object, and not when somebody means it: a
# screen in a reference cycle is called until the collector comes, and `subscribe(Screen().show)` never is. So explicit
# unsubscribing (or a context manager) is the rule, weak references are the net below. Django's signals hold weakly by
# default, and a local function that is connected there never fires.
#
# **Endless rounds.** Two observers that correct each other now don't exhaust the stack, which was an alarm of sorts;
# they loop. A bound on the changes of one `set` would be the next ticket.
#
# **The case against.** An observer turns a call that you can follow into one that you can't: nobody sees what `set`
# sets off. If there are two who want to know, and both are known, call them. If they are in other processes, use a
# broker; if the change and the message have to agree, an outbox.
#
# **The interviewer goes on**: *Make it safe for threads. (A lock around the bookkeeping, and never while observers are
# called: they call back.) And for asyncio? (Each observer its queue; a slow one must not delay the others, so the
# question is what happens when its queue is full.)*

# %% [markdown]
# ### Visitor: operations over a fixed set of classes
#
# Classes for the nodes of a filter, a document, a syntax tree; and operations: print, evaluate, translate. As methods,
# each class has all operations and each new operation touches every class. As functions with a chain of `isinstance`,
# each new *class* touches every function. This is the **expression problem**; visitor decides for "classes are
# fixed, operations come". In Java it takes a method `accept` in each class, since overloads are chosen by the declared
# type. Python chooses at run time:
#
# * `functools.singledispatch`: one function for each class, chosen by the type of the **first argument** along its MRO,
#   *open*: whoever defines a class can register it from outside. The base function is what runs for all others, and
#   should raise.
# * `match` with class patterns: one function, *closed*, read from top to bottom, can look inside the nodes, and with
#   `assert_never` mypy says which class is missing. Better if all classes are yours.
#
# The classes belong to another team, whose filters arrive from a search form. `matches` is one operation on them:


# %%
class Filter:
    """A condition on the columns of a row."""


@dataclass(frozen=True)
class Compare(Filter):
    """A column compared with a value: the operator is one of = <> < <= > >=."""

    column: str
    operator: str
    value: int | str


@dataclass(frozen=True)
class Within(Filter):
    """A column whose value is one of some."""

    column: str
    values: tuple[int | str, ...]


@dataclass(frozen=True)
class AllOf(Filter):
    """Fulfilled if all parts are; with none of them, too."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True)
class AnyOf(Filter):
    """Fulfilled if one part is; with none of them, it isn't."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True)
class Negated(Filter):
    """Fulfilled if its part isn't."""

    part: Filter


Row = Mapping[str, Any]
COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda one, other: one == other,
    "<>": lambda one, other: one != other,
    "<": lambda one, other: one < other,
    "<=": lambda one, other: one <= other,
    ">": lambda one, other: one > other,
    ">=": lambda one, other: one >= other,
}


@functools.singledispatch
def matches(condition: Filter, row: Row) -> bool:
    """Say whether a row fulfils a condition."""
    raise TypeError(f"matches doesn't know {type(condition).__name__}")


@matches.register
def _(condition: Compare, row: Row) -> bool:
    return COMPARISONS[condition.operator](row[condition.column], condition.value)


@matches.register
def _(condition: Within, row: Row) -> bool:
    return row[condition.column] in condition.values


@matches.register
def _(condition: AllOf, row: Row) -> bool:
    return all(matches(part, row) for part in condition.parts)


@matches.register
def _(condition: AnyOf, row: Row) -> bool:
    return any(matches(part, row) for part in condition.parts)


@matches.register
def _(condition: Negated, row: Row) -> bool:
    return not matches(condition.part, row)


cheap_tea = AllOf((Compare("sku", "=", "tea"), Negated(Compare("cents", ">", 500))))
print([matches(cheap_tea, {"sku": "tea", "cents": cents}) for cents in (450, 500, 550)])
print("chosen for a subclass of Compare:", matches.dispatch(type("Fuzzy", (Compare,), {})).__annotations__["condition"])
print("registered:", ", ".join(cls.__name__ for cls in matches.registry))

# %% [markdown] exercise filter_sql topic=design-patterns level=senior minutes=13
# ## Exercise: The same filter, in SQL
#
# Filters are evaluated in Python, after all rows have been read. Write the second operation: the condition of a `WHERE`
# clause, for SQLite. Other teams have node classes of their own, and will register them.
#
# `to_sql(condition)` is a `functools.singledispatch` function. It returns the text of a condition and the **list** of
# its values, in the order of the `?` in the text.
#
# * It selects the rows that `matches` selects, for all five classes, however they are nested, also with no part and no
#   value. (Columns hold no NULL, and are compared with values of their own type.) The text has no `IN ()`, which other
#   databases refuse.
# * No value of the condition stands in the text, and columns stand there as `quoted` (below) writes them. Whatever it
#   refuses, and an operator that isn't in `COMPARISONS`, is a `ValueError` with its `repr` in the text, wherever it
#   stands.
# * A class that nobody has registered is a `TypeError` with the name of the class in its text, also as a part. Classes
#   derived from a registered one are treated like it.
# * What others register with `@to_sql.register` works as a part of the five, and the five work as its parts.
#
# The cell asks for no type by itself: no `isinstance`, `issubclass`, `type(…)` in a comparison, and no `match`.
#
# ```python
# >>> to_sql(Compare("cents", "<=", 500))
# ('"cents" <= ?', [500])
# >>> text, values = to_sql(AllOf((Compare("sku", "=", "tea"), Within("cents", (450, 500)))))
# >>> text.count("?"), values
# (3, ['tea', 450, 500])
# >>> to_sql(Compare("cents; DROP TABLE goods", "=", 1))
# Traceback (most recent call last):
# ValueError: not a column: 'cents; DROP TABLE goods'
# ```
#
# Parentheses, spaces and the texts of the errors are otherwise yours.


# %%
def quoted(column: str) -> str:
    """Return a column as it stands in SQL."""
    if not column.isidentifier():
        raise ValueError(f"not a column: {column!r}")
    return f'"{column}"'


# For the checks.
GOODS: list[dict[str, Any]] = [
    {"sku": sku, "cents": cents, "stock": stock}
    for sku, cents, stock in [("tea", 450, 0), ("tea", 550, 7), ("cup", 1000, 7), ("pot", 2500, 1), ("lid", 450, 3)]
]


def selected(text: str, values: Sequence[Any]) -> list[dict[str, Any]]:
    """Return the goods that fulfil a condition, as SQLite sees it."""
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.row_factory = sqlite3.Row
        connection.execute("CREATE TABLE goods (sku TEXT, cents INTEGER, stock INTEGER)")
        connection.executemany("INSERT INTO goods VALUES (:sku, :cents, :stock)", GOODS)
        found = connection.execute(f"SELECT * FROM goods WHERE {text} ORDER BY rowid", values).fetchall()
    return [dict(row) for row in found]


# %% solution filter_sql
@functools.singledispatch
def to_sql(condition: Filter) -> tuple[str, list[Any]]:
    """Return the text of a condition and its values."""
    # BEGIN SOLUTION
    raise TypeError(f"no SQL is known for {type(condition).__name__}")


def joined(parts: Iterable[Filter], word: str, without: str) -> tuple[str, list[Any]]:
    """Return the parts with a word between them, or what stands for none."""
    translated = [to_sql(part) for part in parts]
    text = f" {word} ".join(f"({text})" for text, _ in translated)
    return text or without, [value for _, values in translated for value in values]


@to_sql.register
def _(condition: Compare) -> tuple[str, list[Any]]:
    if condition.operator not in COMPARISONS:
        raise ValueError(f"not an operator: {condition.operator!r}")
    return f"{quoted(condition.column)} {condition.operator} ?", [condition.value]


@to_sql.register
def _(condition: Within) -> tuple[str, list[Any]]:
    column, marks = quoted(condition.column), ", ".join("?" for _ in condition.values)
    return (f"{column} IN ({marks})" if marks else "1 = 0"), list(condition.values)


@to_sql.register
def _(condition: AllOf) -> tuple[str, list[Any]]:
    return joined(condition.parts, "AND", "1 = 1")


@to_sql.register
def _(condition: AnyOf) -> tuple[str, list[Any]]:
    return joined(condition.parts, "OR", "1 = 0")


@to_sql.register
def _(condition: Negated) -> tuple[str, list[Any]]:
    text, values = to_sql(condition.part)
    return f"NOT ({text})", values
    # END SOLUTION


# %% check filter_sql points=2
def test_a_comparison_is_a_text_and_a_value() -> None:
    assert to_sql(Compare("cents", "<=", 500)) == ('"cents" <= ?', [500])


def test_nested_filters_select_what_they_match() -> None:
    tea_or_full = AnyOf((Compare("sku", "=", "tea"), Within("stock", (7, 8))))
    condition = AllOf((tea_or_full, Negated(Compare("cents", ">", 600))))
    assert selected(*to_sql(condition)) == [row for row in GOODS if matches(condition, row)], "parentheses?"


# %% hidden filter_sql points=3
CHEAP, TEA, FULL = Compare("cents", "<", 500), Compare("sku", "=", "tea"), Compare("stock", ">=", 3)


@pytest.mark.parametrize(
    "condition",
    [
        *(Compare("cents", operator, 550) for operator in COMPARISONS),
        Within("sku", ("tea", "lid")),
        Within("sku", ()),
        Negated(Within("sku", ())),
        AllOf(()),
        AnyOf(()),
        AllOf((AnyOf(()), TEA)),
        AnyOf((AllOf(()), TEA)),
        AllOf((TEA, CHEAP)),
        AnyOf((TEA, CHEAP, FULL)),
        AllOf((AnyOf((TEA, FULL)), CHEAP)),
        AnyOf((AllOf((TEA, FULL)), CHEAP)),
        Negated(AllOf((TEA, CHEAP))),
        Negated(AnyOf((TEA, CHEAP))),
        Negated(Negated(TEA)),
        AllOf((Negated(TEA), Negated(Within("stock", (1, 7))))),
    ],
    ids=repr,
)
def test_the_database_selects_what_python_matches(condition: Filter) -> None:
    assert selected(*to_sql(condition)) == [row for row in GOODS if matches(condition, row)]
    assert not re.search(r"\bIN\s*\(\s*\)", to_sql(condition)[0], re.IGNORECASE), "PostgreSQL refuses `IN ()`"


def test_values_are_handed_over_apart_from_the_text() -> None:
    evil = "' OR 1 = 1 --"
    for condition in (Compare("sku", "=", evil), Within("sku", (evil, "x"))):
        text, values = to_sql(condition)
        assert (evil in text, values[0]) == (False, evil), "a value in the text is an injection"
        assert selected(text, values) == []


@pytest.mark.parametrize("column", ["cents; DROP TABLE goods", 'cents"', "", "1st", "a b"])
def test_a_column_is_an_identifier(column: str) -> None:
    for condition in (Compare(column, "=", 1), Within(column, (1, 2)), Within(column, ())):
        with pytest.raises(ValueError, match=re.escape(repr(column))):
            to_sql(AllOf((condition,)))


@pytest.mark.parametrize("operator", ["LIKE", "= 1 OR 1 =", "==", ""])
def test_an_operator_is_one_of_the_list(operator: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(operator))):
        to_sql(Compare("cents", operator, 1))


def test_an_unknown_class_is_named() -> None:
    class Nearby(Filter):
        pass

    for condition in (Nearby(), Negated(Nearby()), AllOf((TEA, Nearby())), AnyOf((Nearby(),))):
        with pytest.raises(TypeError, match="Nearby"):
            to_sql(condition)


def test_a_derived_class_is_treated_like_its_base() -> None:
    class Fuzzy(Compare):
        pass

    class Every(AllOf):
        pass

    assert to_sql(Fuzzy("cents", "=", 1)) == to_sql(Compare("cents", "=", 1))
    assert to_sql(Every((TEA, CHEAP))) == to_sql(AllOf((TEA, CHEAP))), "the class of a node isn't a key of a table"


def test_others_register_classes_of_their_own() -> None:
    @dataclass(frozen=True)
    class Unless(Filter):
        part: Filter
        unless: Filter

    @to_sql.register
    def _(condition: Unless) -> tuple[str, list[Any]]:
        (part, values), (unless, more) = to_sql(condition.part), to_sql(condition.unless)
        return f"({part}) AND NOT ({unless})", [*values, *more]

    found = selected(*to_sql(AllOf((AnyOf((Unless(TEA, CHEAP), Compare("sku", "=", "pot"))), FULL))))
    assert found == [GOODS[1]], "as a part of the five, and the five as its parts"


def test_types_are_told_apart_by_the_dispatcher() -> None:
    nodes = list(ast.walk(ast.parse(cell_of(to_sql))))
    asked = {node.id for node in nodes if isinstance(node, ast.Name)} & {"isinstance", "issubclass"}
    compared = [ast.unparse(node) for node in nodes if isinstance(node, ast.Compare) and "type(" in ast.unparse(node)]
    matched = [node.lineno for node in nodes if isinstance(node, ast.Match)]
    assert (asked, compared, matched) == (set(), [], []), "a chain of questions is closed to classes of others"


# %% wrong filter_sql fails=test_nested_filters_select_what_they_match
# "AND and OR are just joined": without parentheses AND binds first, and NOT takes only what stands next to it.
@functools.singledispatch
def to_sql(condition: Filter) -> tuple[str, list[Any]]:
    """Return the text of a condition and its values."""
    raise TypeError(f"no SQL is known for {type(condition).__name__}")


def joined(parts: Iterable[Filter], word: str, without: str) -> tuple[str, list[Any]]:
    """Return the parts with a word between them, or what stands for none."""
    translated = [to_sql(part) for part in parts]
    text = f" {word} ".join(text for text, _ in translated)
    return text or without, [value for _, values in translated for value in values]


@to_sql.register
def _(condition: Compare) -> tuple[str, list[Any]]:
    if condition.operator not in COMPARISONS:
        raise ValueError(f"not an operator: {condition.operator!r}")
    return f"{quoted(condition.column)} {condition.operator} ?", [condition.value]


@to_sql.register
def _(condition: Within) -> tuple[str, list[Any]]:
    return joined([Compare(condition.column, "=", value) for value in condition.values], "OR", "1 = 0")


@to_sql.register
def _(condition: AllOf) -> tuple[str, list[Any]]:
    return joined(condition.parts, "AND", "1 = 1")


@to_sql.register
def _(condition: AnyOf) -> tuple[str, list[Any]]:
    return joined(condition.parts, "OR", "1 = 0")


@to_sql.register
def _(condition: Negated) -> tuple[str, list[Any]]:
    text, values = to_sql(condition.part)
    return f"NOT {text}", values


# %% wrong filter_sql fails=test_others_register_classes_of_their_own
# "A visitor is a chain of isinstance": closed to the classes of others, however it is wrapped.
@functools.singledispatch
def to_sql(condition: Any) -> tuple[str, list[Any]]:
    """Return the text of a condition and its values."""
    if isinstance(condition, Compare):
        if condition.operator not in COMPARISONS or not condition.column.isidentifier():
            raise ValueError(f"not a comparison: {condition}")
        return f'"{condition.column}" {condition.operator} ?', [condition.value]
    if isinstance(condition, Within):
        return translate(AnyOf(tuple(Compare(condition.column, "=", value) for value in condition.values)))
    if isinstance(condition, AllOf | AnyOf):
        word, text = ("AND", "1 = 1") if isinstance(condition, AllOf) else ("OR", "1 = 0")
        pairs = [translate(part) for part in condition.parts]
        text = f" {word} ".join(f"({part})" for part, _ in pairs) or text
        return text, [value for _, values in pairs for value in values]
    if isinstance(condition, Negated):
        part, values = translate(condition.part)
        return f"NOT ({part})", values
    raise TypeError(type(condition).__name__)


translate = to_sql.dispatch(object)


# %% right filter_sql
@functools.singledispatch
def to_sql(condition: Filter) -> tuple[str, list[Any]]:
    """Return the text of a condition and its values."""
    raise TypeError(f"register {type(condition).__name__} first")


@to_sql.register
def _(condition: Compare) -> tuple[str, list[Any]]:
    if condition.operator in COMPARISONS:
        return f"{quoted(condition.column)} {condition.operator} ?", [condition.value]
    raise ValueError(repr(condition.operator))


@to_sql.register
def _(condition: Within) -> tuple[str, list[Any]]:
    quoted(condition.column)  # refuses it also where there is no value
    return to_sql(AnyOf(tuple(Compare(condition.column, "=", value) for value in condition.values)))


def group(start: str, word: str) -> Callable[[AllOf | AnyOf], tuple[str, list[Any]]]:
    """Return the translation of a group."""

    def translated(condition: AllOf | AnyOf) -> tuple[str, list[Any]]:
        text, values = start, []
        for part in condition.parts:
            more, more_values = to_sql(part)
            text += f" {word} ({more})"
            values += more_values
        return text, values

    return translated


to_sql.register(AllOf, group("TRUE", "AND"))
to_sql.register(AnyOf, group("FALSE", "OR"))


@to_sql.register
def _(condition: Negated) -> tuple[str, list[Any]]:
    text, values = to_sql(condition.part)
    return f"NOT ({text})", values


# %% [markdown] hint filter_sql
# The shape is that of `matches`: a base function that raises, and one registered function for each class, which calls
# `to_sql` for its parts. What has to be put around a part so that it stays together?

# %% [markdown] hint filter_sql
# Put each part into parentheses. Without parts: `1 = 1` for "all", `1 = 0` for "any". A `Within` has a `?` for
# each value; what does it say without one, and is its column looked at then?

# %% [markdown] hint filter_sql
# A helper `joined(parts, word, without)` calls `to_sql` for each part, joins `f"({text})"` with the word, takes
# `without` if there is none, and puts the lists of values one after another. `AllOf` and `AnyOf` are one line each
# then.

# %% [markdown] after filter_sql
# **Why.** The other team's classes weren't touched, a second operation stands beside the first, and a third team can
# add a node without asking anybody. The test that compares database and `matches` over all filters is the better half
# of the answer: two operations over one tree check each other.
#
# **The price of being open.** A class that nobody registered is found out about when it comes; in a `match` with
# `assert_never` mypy would have found it. A registration counts only if its module was imported. The dispatch goes by
# the first argument only, costs a cached look-up of its type, and for a method takes `singledispatchmethod`. It looks
# at classes: not at `list[int]`, nor at what a node contains.
#
# **NULL.** The exercise excludes it for a reason: in SQL `NOT (cents > 500)` is unknown for a NULL, hence not selected,
# while Python's `matches` would raise, or say True for `NOT (cents = 500)`. Two operations that promise the same have
# to say what happens there.
#
# **The interviewer goes on**: *Where would you put a method instead? (With three classes of mine and one operation that
# each of them has to have.) Why does `ast.NodeVisitor` go by names of methods? (`visit_Name` is a dispatch on
# `type(node).__name__`: older than singledispatch, it knows no MRO, and a misspelt name is silently never called.)*

# %% [markdown]
# ## The interview
#
# Say your answer aloud before you unfold one.

# %% [markdown] interview
# ### Which design patterns do you use in Python, and which not?
#
# I use the forces and seldom the diagrams. Daily: strategies as functions, adapters behind protocols, wrappers with the
# same interface, generators, context managers, registries by decorator. Sometimes: observer, with care for lifetime and
# errors; singledispatch; a table of transitions. Hardly ever: singleton classes, abstract factories, builders,
# template methods, since a module, a parameter, keyword arguments and a function do the same with less.

# %% [markdown] interview
# ### Why is a singleton considered harmful, when you have only one database anyway?
#
# Having one is fine, reaching it from everywhere is what hurts. Signatures stop telling the truth, tests share state,
# and the moment of creation is wherever the first caller happens to be: before a fork, in a thread, at import. I make
# one in `main` or in the framework's start and pass it on. And the usual implementations are wrong in detail:
# `__init__` runs again after `__new__`, subclasses find the base's instance, later arguments are ignored, two threads
# make two.

# %% [markdown] interview
# ### What is the difference between an adapter, a decorator, a proxy and a facade?
#
# By interface: an adapter changes it, a decorator and a proxy keep it, a facade invents a simpler one over several
# objects. By intent: a decorator adds behaviour that the caller may want (a retry), a proxy controls access on behalf
# of the object (lazy, remote, cached, guarded). In code a decorator and a proxy look the same, and a Python decorator
# with `@` is something else again: it wraps a function when it is defined.

# %% [markdown] interview
# ### When do you refactor an if/elif chain, and to what?
#
# When the same chain stands in a second place, or when people who don't own the function have to add branches. To a
# dict of functions if it goes by a value, to singledispatch or methods if it goes by type, to a table if it goes by
# state and event. Not for its length: a `match` of ten cases in one place is the most readable form there is.

# %% [markdown] interview
# ### An observer isn't called, or twice, or after its object is gone. How do you find out why?
#
# Not called: held weakly and nobody else holds it (a lambda, a bound method of a temporary), skipped since the list
# changed during the loop, or an earlier observer raised. Twice: the module that subscribes was imported under two
# names, or it subscribes in something that runs for each request. After its end: held strongly and never unsubscribed.
# I print the subscriptions with their owners, and look for who calls subscribe.

# %% [markdown]
# ## Pitfalls seen in reviews
#
# * A class with one method, made and called in the same line.
# * `SomethingFactory`, `AbstractSomething`, with one implementation, "for later".
# * A classmethod that calls its class by name in place of `cls`; a constructor that reads files or connects.
# * `build()` that hands out the builder's own list; a fluent interface that changes the object it returns.
# * A singleton by `__new__` *with* an `__init__`; `functools.cache` as a singleton, with parameters.
# * An adapter that lets the vendor's exceptions through.
# * A proxy by `__getattr__` over an object whose methods call each other, or that needs `len()`, `with` or `[]`.
#
# ## Where to read on
#
# * Gamma, Helm, Johnson, Vlissides: *Design Patterns* (1994), above all its first chapter: program to an interface,
#   prefer composition
# * Peter Norvig: [Design Patterns in Dynamic Languages](https://norvig.com/design-patterns/) (1996)
# * Brandon Rhodes: [Python Design Patterns](https://python-patterns.guide/)
# * Luciano Ramalho: *Fluent Python*, the chapter "Design Patterns with First-Class Functions"
# * Python documentation: [`functools.singledispatch`](https://docs.python.org/3/library/functools.html),
#   [`weakref.WeakMethod`](https://docs.python.org/3/library/weakref.html),
#   [`dataclasses.replace`](https://docs.python.org/3/library/dataclasses.html),
#   [Protocols](https://typing.python.org/en/latest/spec/protocol.html)
# * [PEP 443](https://peps.python.org/pep-0443/) on single dispatch; [PEP 544](https://peps.python.org/pep-0544/) on
#   protocols; [PEP 636](https://peps.python.org/pep-0636/), a tutorial of pattern matching
# * Martin Fowler: [Refactoring](https://refactoring.com/catalog/), "Replace Conditional with Polymorphism" and, as
#   important, "Inline Class"
