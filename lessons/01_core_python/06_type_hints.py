# %% [markdown]
# # Type hints
#
# *"Your team runs `mypy --strict` and it is green. What do you still not know?"* A junior answer says that types are
# checked now. A senior answer names the holes (`Any`, `cast`, a lying type guard, data from outside), writes signatures
# that callers can *use* (the right variance, results that keep their type, decorators that don't eat signatures), and
# knows which of it exists at run time: almost nothing.
#
# **Static typing with `typing` module** annotations is a second program that runs over your source before Python does,
# and this lesson treats it like that. Every answer is run, *and* read by mypy in strict mode, together with the code of
# imagined callers, right ones and wrong ones. A signature that lets a wrong caller through fails a test.
#
# **Assumed**: the lesson on decorators (closures, `functools.wraps`), classes and inheritance. **Left out**: validation
# of data at run time by a library (Pydantic has its lesson), stub files and plugins. Python 3.11 or newer: the syntax
# of 3.12 (`def first[T](…)`, PEP 695) is shown beside the one used here, and you may use it if your Python has it.
#
# The vocabulary comes first: imports, type variables, and the events of a shop that the examples talk about.

# %%
import contextlib
import functools
import itertools
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence  # noqa: F401 - as below
from dataclasses import dataclass
from enum import Enum
from typing import (  # noqa: F401 - some are used in code that only mypy reads
    Annotated,
    Any,
    Concatenate,
    Literal,
    NotRequired,
    ParamSpec,
    Protocol,
    Self,
    TypedDict,
    TypeGuard,
    TypeVar,
    TypeVarTuple,
    assert_never,
    assert_type,
    cast,
    get_type_hints,
    overload,
    runtime_checkable,
)

from typing_extensions import ReadOnly, TypeIs  # noqa: F401 - as above


@dataclass(frozen=True)
class Event:
    """Something that happened, `at` seconds after the start."""

    at: int

    def age(self, now: int) -> int:
        return now - self.at


@dataclass(frozen=True)
class OrderEvent(Event):
    order: str


@dataclass(frozen=True)
class OrderPaid(OrderEvent):
    cents: int


class Transaction(Protocol):
    """What can be committed or rolled back."""

    def commit(self) -> None: ...

    def rollback(self) -> None: ...


T = TypeVar("T")
R = TypeVar("R")
D = TypeVar("D")
K = TypeVar("K", bound=Hashable)
E = TypeVar("E", bound=Event)
T_co = TypeVar("T_co", covariant=True)
E_contra = TypeVar("E_contra", bound=Event, contravariant=True)
Tx = TypeVar("Tx", bound=Transaction)
P = ParamSpec("P")
Ts = TypeVarTuple("Ts")

# %% [markdown]
# ## How answers are marked here
#
# `type_check` gives mypy one file: the cell above, then *the whole cell that holds your answer* (Python knows where a
# function was compiled, and IPython keeps each cell's source for tracebacks), then pieces of code that use it. It
# returns the errors of each piece. So your imports and helpers belong into the cell with the answer; type variables of
# your own need new names. `Any`, `cast` and comments that silence a checker count as errors: they are how a strict
# check gets green without checking.

# %%
import ast
import atexit
import html
import inspect
import linecache
import re
import shutil
import tempfile
import textwrap
import time
import timeit
from pathlib import Path

import pytest
from mypy import api

OPTIONS = ("--strict", "--config-file=", "--no-site-packages", "--no-pretty", "--no-error-summary", "--no-color-output")


def cell_of(answer: object) -> str:
    """Return the source of the cell that a function or class was defined in."""
    classes = answer.__mro__ if isinstance(answer, type) else ()
    for member in [answer, *(member for each in classes for member in vars(each).values())]:
        code = getattr(inspect.unwrap(member) if callable(member) else member, "__code__", None)
        if code and member.__module__ == answer.__module__ and (lines := linecache.getlines(code.co_filename)):
            return "".join(lines)
    raise LookupError(f"no cell is known for {answer}")


@functools.cache
def warm_cache() -> Path:
    """Return a folder with what mypy knows of the standard library; it goes when the kernel does."""
    folder = Path(tempfile.mkdtemp(prefix="mypy-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    api.run([*OPTIONS, f"--cache-dir={folder}", "-c", f"import abc, json, copy, pathlib\n{cell_of(Event)}"])
    return folder


def run_mypy(source: str) -> list[tuple[int, str]]:
    """Return what `mypy --strict` says of a module: the line, then 'error: …' or 'note: …'."""
    with tempfile.TemporaryDirectory(prefix="mypy-") as folder:
        # A copy, since checks may run in several processes.
        shutil.copytree(warm_cache(), folder, dirs_exist_ok=True)
        said, problem, status = api.run([*OPTIONS, f"--cache-dir={folder}", "-c", source])
    if status > 1:
        raise RuntimeError(f"mypy can't read this:\n{said}{problem}")
    return [(int(line), message) for line, message in re.findall(r"^<string>:(\d+): (.+)$", said, re.MULTILINE)]


def silencers(source: str) -> list[str]:
    """Return what switches the checker off in a piece of source."""
    nodes = list(ast.walk(ast.parse(source)))
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    names |= {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    names |= {alias.name for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names}
    return [*sorted(names & {"Any", "cast", "no_type_check"}), *re.findall(r"#\s*(?:type|mypy):.*", source)]


def type_check(answer: object, **uses: str) -> dict[str, list[str]]:
    """Return mypy's errors by piece: in the cell of the answer ("answer"), and in each use."""
    cell = cell_of(answer)
    pieces = {"vocabulary": cell_of(Event), "answer": cell}
    for name, code in uses.items():
        pieces[name] = f"def use_{name}() -> None:\n{textwrap.indent(textwrap.dedent(code).strip(), '    ')}"
    owners = [(name, line) for name, text in pieces.items() for line, _ in enumerate(text.splitlines(), start=1)]
    errors: dict[str, list[str]] = {name: [] for name in pieces}
    errors["answer"] += [f"{silencer} switches the checker off" for silencer in silencers(cell)]
    for line, message in run_mypy("\n".join(text.rstrip("\n") for text in pieces.values())):
        name, place = owners[line - 1]
        if message.startswith("error: "):
            errors[name].append(f"line {place}: {message.removeprefix('error: ')}")
    return errors


def show(code: str) -> None:
    """Print code with what mypy says of each line below it."""
    vocabulary = cell_of(Event).rstrip("\n")
    offset = len(vocabulary.splitlines())
    said = run_mypy(f"{vocabulary}\n{textwrap.dedent(code).strip()}")
    for number, line in enumerate(textwrap.dedent(code).strip().splitlines(), start=1):
        print(line)
        for place, message in said:
            if place == number + offset:
                print(f"    ^ {message}")


# %% [markdown]
# ## What a checker does, and what `Any` does to it
#
# Annotations are stored and then ignored: Python checks none of them when a function is called. A checker reads the
# source, gives every expression a type, and asks at each call, assignment and `return` one question: *is the type I
# have **assignable** to the type that is asked for?* It follows `isinstance`, `is None`, `==` on literals and `return`
# (**narrowing**), and it never runs your code.
#
# Typing is **gradual**: a function without annotations isn't checked, and what comes out of it is `Any`. `Any` isn't
# the top of the hierarchy, `object` is. `Any` is assignable to everything *and* everything to it, so an `Any` doesn't
# stay where it is: whatever is computed from it is `Any` again. Watch it spread:

# %%
start = time.perf_counter()
warm_cache()
print(f"mypy from nothing: {time.perf_counter() - start:.1f} s (the standard library's types are kept)\n")
start = time.perf_counter()
show(
    """
    import json
    limits = json.loads('{"eu": "100"}')
    reveal_type(limits["eu"])
    total = limits["eu"] * 3 + limits["us"].no_such_method()
    def double(value: object) -> object:
        return value * 2
    checked: dict[str, int] = json.loads('{"eu": "100"}')
    reveal_type(checked["eu"])
    """
)
print(f"\nwith its cache   : {time.perf_counter() - start:.2f} s")

# %% [markdown]
# Line by line: `limits` is `Any`, so line 4 is green; run, it makes the text `"100100100"` and then a `KeyError`.
# `object` in the same place is an error, and so a question to answer. The last two lines are the dangerous ones: the
# annotation *looks* like a check. It is an unproved claim, the value is the string `"100"`, and everything after it is
# checked against a falsehood.
#
# Where `Any` comes from in practice: `json.loads`, `getattr`, untyped libraries (`ignore_missing_imports` makes the
# whole module `Any`). `--strict` forbids *writing* incomplete types (a bare `dict` or `Callable`); it doesn't forbid
# `Any` from outside. At the edges of the program, therefore: take data as `object`, check it at run time, and hand a
# real type inward.
#
# ## Generics and variance: who may stand in for whom
#
# An `OrderPaid` may stand wherever an `Event` is asked for. May a `list[OrderPaid]` stand for a `list[Event]`? If it
# could, the function that asked could append an `Event`, and the list's owner would find one among the payments. So the
# answer depends on what can be *done* with the container:
#
# * only taken out (`Sequence`, `Iterable`, `tuple`, a callable's **result**): **covariant**, the subtype may stand in;
# * only put in (a callable's **parameter**, a sink, a handler): **contravariant**, the *super*type may stand in. Who
#   can handle any event can handle a payment;
# * both (`list`, `dict`, `set`, any mutable attribute): **invariant**, neither may.
#
# The table isn't recited; mypy is asked here, an assignment for each cell.

# %%
SHAPES = {
    "list[·]": "list[{}]",
    "Sequence[·]": "Sequence[{}]",
    "tuple[·, ...]": "tuple[{}, ...]",
    "dict[str, ·]": "dict[str, {}]",
    "Mapping[str, ·]": "Mapping[str, {}]",
    "Mapping[·, str]": "Mapping[{}, str]",
    "Callable[[], ·]": "Callable[[], {}]",
    "Callable[[·], None]": "Callable[[{}], None]",
    "Callable[[list[·]], None]": "Callable[[list[{}]], None]",
    "type[·]": "type[{}]",
}


class VarianceTable:
    """What mypy says of each generic type: does one parameter's subtype carry over?"""

    def __init__(self, shapes: Mapping[str, str]) -> None:
        lines = cell_of(Event).rstrip("\n").splitlines()
        places = {}
        for name, shape in shapes.items():
            for have, asked in (("OrderPaid", "Event"), ("Event", "OrderPaid")):
                number = len(lines)
                lines += [f"have{number}: {shape.format(have)}", f"asked{number}: {shape.format(asked)} = have{number}"]
                places[len(lines)] = (name, asked)
        refused = {places[line] for line, message in run_mypy("\n".join(lines)) if line in places}
        self.rows = [(name, (name, "Event") not in refused, (name, "OrderPaid") not in refused) for name in shapes]

    @staticmethod
    def verdict(sub: bool, sup: bool) -> str:
        return {(True, False): "covariant", (False, True): "contravariant"}.get((sub, sup), "invariant")

    def __repr__(self) -> str:
        lines = [f"{'type':26} {'OrderPaid for Event':20} {'Event for OrderPaid':20} variance"]
        for name, sub, sup in self.rows:
            lines.append(f"{name:26} {'yes' if sub else '-':20} {'yes' if sup else '-':20} {self.verdict(sub, sup)}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        heads = "".join(
            f"<th>{head}</th>" for head in ("type", "OrderPaid for Event", "Event for OrderPaid", "variance")
        )
        colours = {"covariant": "#0072b2", "contravariant": "#d55e00", "invariant": "#666"}
        body = ""
        for name, sub, sup in self.rows:
            verdict = self.verdict(sub, sup)
            marks = "".join(f"<td style='text-align:center'>{'✔' if may else '–'}</td>" for may in (sub, sup))
            badge = f"<td style='border-left: 6px solid {colours[verdict]}; padding-left: 8px'>{verdict}</td>"
            body += f"<tr><td><code>{html.escape(name)}</code></td>{marks}{badge}</tr>"
        return f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"


VarianceTable(SHAPES)

# %% [markdown]
# Two rows surprise. `Mapping` is invariant in its *key*: keys come out of iteration and go into `get`. And a callable
# that takes a `list` is invariant, since the list inside is: variances multiply.
#
# The rule for signatures follows: **ask for the least, return the most precise**. A parameter that is only read is an
# `Iterable` or a `Sequence` (read twice, or indexed), never a `list`. A result is the concrete type. And where the
# result's type depends on an argument's, a **type variable** says so:
#
# ```python
# E = TypeVar("E", bound=Event)               # Python 3.11; E has to be Event or below it
# def newest(events: Iterable[E]) -> E: ...
# def newest[E: Event](events: Iterable[E]) -> E: ...        # the same in Python 3.12 (PEP 695)
# ```
#
# A type variable that is used once in a signature links nothing: replace it by its bound. `TypeVar("T", str, bytes)`
# has no bound but *constraints*: it stands for exactly one of the two, also where the argument is of a subclass.

# %% [markdown] exercise latest_by topic=type-hints level=core minutes=8
# ## Exercise: The helper that nobody can call
#
# The dashboard shows the newest event of each order. The helper below is green under `mypy --strict`, and hated: who
# has a `list[OrderPaid]` or a generator is refused, the result has forgotten that it holds payments, a misspelt key
# isn't noticed, and after a replay (events out of order) it showed an old state. Mend signature and body.
#
# `latest_by(events, key)` returns a dict: for each key, the event with the greatest `at`.
#
# * Of two events with equal `at`, the one that comes later in `events` wins. The dict's keys are in the order in which
#   they first appear.
# * `events` is any iterable and read once. `key` is called once for each event.
# * For mypy: `events` holds `Event`s or some subclass of it, `key` takes such an event (a function that takes a base
#   class will do) and returns something hashable, and the result is a `dict` from *that* key type to *that* event type.
#   Everything else is an error: a key function that is narrower than the events, an unhashable key, events that
#   aren't `Event`s.
# * `mypy --strict` finds no error in the cell, and nothing is silenced (`Any`, `cast`, `# type: ignore`).
#
# ```python
# >>> paid = [OrderPaid(1, "a", 500), OrderPaid(9, "b", 70), OrderPaid(4, "a", 650)]
# >>> latest_by(paid, lambda event: event.order)
# {'a': OrderPaid(at=4, order='a', cents=650), 'b': OrderPaid(at=9, order='b', cents=70)}
# >>> latest_by((event for event in [Event(5), Event(3)]), type)
# {<class '__main__.Event'>: Event(at=5)}
# >>> type_check(latest_by, unhashable="latest_by([Event(1)], lambda event: [event.at])")["unhashable"] != []
# True
# ```


# %% solution latest_by
def latest_by(events: Iterable[E], key: Callable[[E], K]) -> dict[K, E]:
    """Return, for each key, the newest event."""
    # BEGIN SOLUTION
    latest: dict[K, E] = {}
    for event in events:
        place = key(event)
        known = latest.get(place)
        if known is None or event.at >= known.at:
            latest[place] = event
    return latest
    # END SOLUTION


# %% starter latest_by
def latest_by(events: list[Event], key: Callable[[Event], Any]) -> dict[Any, Event]:
    """Return, for each key, the newest event."""
    latest = {}
    for event in events:
        latest[key(event)] = event
    return latest


# %% check latest_by points=2
def test_events_out_of_order() -> None:
    events = [Event(3), Event(7), Event(5)]
    result = latest_by(events, lambda event: event.at % 2)
    assert result == {1: Event(7)}, "after a replay the newest event isn't the last one in the list"


def test_a_list_of_a_subclass_is_accepted_and_the_result_keeps_its_type() -> None:
    use = """
    paid: list[OrderPaid] = []
    assert_type(latest_by(paid, lambda event: event.order), dict[str, OrderPaid])
    """
    assert type_check(latest_by, use=use)["use"] == [], "a helper that forgets the type forces a cast on each caller"


# %% hidden latest_by points=4
@pytest.fixture(scope="module")
def latest_by_types() -> dict[str, list[str]]:
    given = """
    paid: list[OrderPaid] = []
    events: list[Event] = []
    def day(event: Event) -> int: return event.at // 86_400
    def cents(event: OrderPaid) -> int: return event.cents
    """
    uses = {
        "iterables": "latest_by(iter(paid), cents); latest_by(tuple(paid), day)\n"
        "latest_by((event for event in events), day)",
        "wider_key": "assert_type(latest_by(paid, day), dict[int, OrderPaid])",
        "narrower_key": "latest_by(events, cents)",
        "unhashable_key": "latest_by(paid, lambda event: [event.order])",
        "no_events": "latest_by(['a', 'b'], len)",
        "misspelt": "latest_by(paid, day)['monday']",
    }
    return type_check(latest_by, **{name: f"{textwrap.dedent(given)}\n{use}" for name, use in uses.items()})


def test_of_equal_times_the_later_in_the_input_wins() -> None:
    events = [OrderPaid(3, "a", 1), OrderPaid(3, "a", 2), OrderPaid(2, "a", 3)]
    assert latest_by(events, lambda event: event.order)["a"].cents == 2, (
        "corrections have the time of what they correct"
    )


def test_keys_are_in_the_order_of_first_appearance() -> None:
    events = [OrderEvent(5, "b"), OrderEvent(1, "a"), OrderEvent(9, "b"), OrderEvent(2, "c")]
    assert list(latest_by(events, lambda event: event.order)) == ["b", "a", "c"], "the dashboard's rows mustn't jump"


def test_a_generator_is_read_once_and_the_key_called_once_an_event() -> None:
    calls: list[int] = []

    def key(event: Event) -> str:
        calls.append(event.at)
        return "all"

    assert latest_by((Event(at) for at in (2, 1, 3)), key) == {"all": Event(3)}, "a generator is empty the second time"
    assert calls == [2, 1, 3], "a key may be a query: one call for each event"


def test_no_events_make_an_empty_dict() -> None:
    nothing: list[Event] = []
    assert latest_by(nothing, lambda event: event.at) == {}, "a new shop has a dashboard too"


def test_strict_mypy_accepts_the_cell_without_being_silenced(latest_by_types: dict[str, list[str]]) -> None:
    assert latest_by_types["answer"] == [], "a silenced checker checks nothing"


@pytest.mark.parametrize("use", ["iterables", "wider_key"])
def test_right_callers_are_accepted(latest_by_types: dict[str, list[str]], use: str) -> None:
    assert latest_by_types[use] == [], "a signature that refuses right callers teaches them to write `type: ignore`"


@pytest.mark.parametrize("use", ["narrower_key", "unhashable_key", "no_events", "misspelt"])
def test_wrong_callers_are_refused(latest_by_types: dict[str, list[str]], use: str) -> None:
    assert latest_by_types[use], f"mypy lets a wrong caller through: {use}"


# %% wrong latest_by fails=test_a_list_of_a_subclass_is_accepted_and_the_result_keeps_its_type
# "Sequence for list, and that's it": accepted, but the result is an Event again, and every caller casts.
def latest_by(events: Iterable[Event], key: Callable[[Event], K]) -> dict[K, Event]:
    """Return, for each key, the newest event."""
    latest: dict[K, Event] = {}
    for event in events:
        place = key(event)
        if place not in latest or event.at >= latest[place].at:
            latest[place] = event
    return latest


# %% wrong latest_by fails=test_right_callers_are_accepted
# "A type variable makes it generic": it does, but a list is still asked for where an iterable would do.
def latest_by(events: list[E], key: Callable[[E], K]) -> dict[K, E]:
    """Return, for each key, the newest event."""
    latest: dict[K, E] = {}
    for event in events:
        place = key(event)
        if place not in latest or event.at >= latest[place].at:
            latest[place] = event
    return latest


# %% wrong latest_by fails=test_wrong_callers_are_refused
# "T fits everything": without a bound the key may be a list, which the checker would have refused.
def latest_by(events: Iterable[E], key: Callable[[E], T]) -> dict[T, E]:
    """Return, for each key, the newest event."""
    latest: dict[T, E] = {}
    for event in events:
        place = key(event)
        if place not in latest or event.at >= latest[place].at:
            latest[place] = event
    return latest


# %% wrong latest_by fails=test_keys_are_in_the_order_of_first_appearance
# "Sort by time, then the last one wins": right values, but the keys are in the order of time.
def latest_by(events: Iterable[E], key: Callable[[E], K]) -> dict[K, E]:
    """Return, for each key, the newest event."""
    return {key(event): event for event in sorted(events, key=lambda event: event.at)}


# %% right latest_by
def latest_by(events: Iterable[E], key: Callable[[E], K]) -> dict[K, E]:
    """Return, for each key, the newest event."""
    groups: dict[K, list[E]] = {}
    for event in events:
        groups.setdefault(key(event), []).append(event)
    return {place: max(reversed(group), key=lambda event: event.at) for place, group in groups.items()}


# %% [markdown] hint latest_by
# Which types does the caller choose? There are two, and each appears in a parameter and in the result.

# %% [markdown] hint latest_by
# `E` and `K` of the vocabulary have the bounds that you need. What is the least that the body asks of `events`? And in
# the body: an event replaces the one that is known unless it is older.

# %% [markdown] hint latest_by
# `def latest_by(events: Iterable[E], key: Callable[[E], K]) -> dict[K, E]:`. Assigning to a key that a dict has already
# keeps the key's place.

# %% [markdown] after latest_by
# **Why it works for a wider key.** From `paid` mypy learns that `E` is at least `OrderPaid`; from `day`, which takes
# `Event`, that it is at most `Event` (parameters are contravariant). `OrderPaid` solves both. For `events` with `cents`
# there is no solution, and that is the error.
#
# **The bound on `K`** costs one line and moves `TypeError: unhashable type` from production to the editor. It isn't
# complete: a `tuple[list[int]]` is `Hashable` for mypy and not for Python.
#
# **Alternatives.** `Sequence[Event]` is enough where the result doesn't depend on the element. `Protocol` with an `at`
# property instead of the bound `Event` makes the helper independent of the class hierarchy; a protocol's *mutable*
# attribute `at: int` would refuse frozen dataclasses.
#
# **The interviewer goes on**: *Why is `Sequence` covariant and `list` not? What happens at run time in Java's arrays,
# which are covariant? (An `ArrayStoreException`.) When is invariance of `dict` a nuisance, and what do you ask for
# instead? (`Mapping`.)*

# %% [markdown]
# ## ParamSpec, Concatenate and TypeVarTuple: signatures as variables
#
# `Callable[..., R]` says "some arguments": behind a decorator typed like that, nobody's arguments are checked any more.
# A **`ParamSpec`** stands for a whole parameter list, with names, defaults and keyword-only marks. It is used in two
# places: in `Callable[P, R]`, and as the pair `*args: P.args, **kwargs: P.kwargs`, which belong together.
# **`Concatenate[X, P]`** is that list with a positional parameter in front, for decorators that supply an argument or
# ask for one more.
#
# A **`TypeVarTuple`** stands for any number of types in a row: `*args: *Ts` beside `Callable[[*Ts], R]` is the type of
# `loop.call_soon(function, *args)` or `Thread(target, args)`. It sees positional arguments only, and keeps them apart
# from the call: `P` says "I pass on a call", `Ts` says "I carry a tuple". It is also what array libraries type shapes
# with.

# %%
show(
    """
    def anything(function: Callable[..., R]) -> Callable[..., R]:
        return function
    def counted(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            return function(*args, **kwargs)
        return wrapper
    @anything
    def blind(order: str, cents: int = 0) -> bool:
        return cents > 0
    @counted
    def seen(order: str, cents: int = 0) -> bool:
        return cents > 0
    blind(7, sents="x")
    seen(7)
    seen("a", sents=1)
    def later(function: Callable[[*Ts], R], *args: *Ts) -> tuple[Callable[[*Ts], R], tuple[*Ts]]:
        return function, args
    reveal_type(later(divmod, 7, 2)[1])
    later(seen, "a", "b")
    """
)

# %% [markdown] exercise in_transaction topic=type-hints level=senior minutes=10
# ## Exercise: A decorator that supplies an argument
#
# All services begin with the same six lines: begin a transaction, commit, roll back on errors. You are to write the
# decorator. The last attempt had `Callable[..., Any]` in it, and a week after it was rolled out somebody passed cents
# as a string: nobody had been told.
#
# `@in_transaction(begin)` decorates a function whose first parameter is a transaction. The decorated function takes the
# same arguments *without* that first one:
#
# * each call calls `begin()` once, and the function with the new transaction in front of the caller's arguments;
# * if the function returns, the transaction is committed and the result returned. If it raises anything
#   (`KeyboardInterrupt` too), the transaction is rolled back and the same exception raised. Exactly one of the two
#   methods is called, once. An error of `commit` itself just comes out. What happens if `rollback` fails is open;
# * decorating begins nothing; name and docstring are the original's.
#
# For mypy: the arguments and the result of the decorated function are known exactly as those of the original, with
# their names. An error is: a wrong or missing argument, passing a transaction, decorating a function whose first
# parameter isn't what `begin` returns (or a base class of it), and a `begin` whose result has no `commit()` and
# `rollback()`. The cell is clean in strict mode with nothing silenced. Coroutine functions aren't asked for.
#
# ```python
# >>> class Ledger:
# ...     def commit(self): print("commit")
# ...     def rollback(self): print("rollback")
# >>> @in_transaction(Ledger)
# ... def book(ledger, cents, *, note=""):
# ...     return 100 // cents
# >>> book(20, note="rent")
# commit
# 5
# >>> book(0)
# Traceback (most recent call last):
# ZeroDivisionError: integer division or modulo by zero
# ```
#
# The last call prints `rollback` before it raises.


# %% solution in_transaction
def in_transaction(begin: Callable[[], Tx]) -> Callable[[Callable[Concatenate[Tx, P], R]], Callable[P, R]]:
    """Return a decorator that runs a function in a transaction of its own."""

    # BEGIN SOLUTION
    def decorate(function: Callable[Concatenate[Tx, P], R]) -> Callable[P, R]:
        @functools.wraps(function)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            transaction = begin()
            try:
                result = function(transaction, *args, **kwargs)
            except BaseException:
                transaction.rollback()
                raise
            transaction.commit()
            return result

        return wrapper

    return decorate
    # END SOLUTION


# %% starter in_transaction
def in_transaction(begin: Callable[[], Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that runs a function in a transaction of its own."""
    raise NotImplementedError


# %% check in_transaction points=2
class Recorded:
    """A transaction that notes what is done with it."""

    def __init__(self, log: list[str]) -> None:
        self.log = log
        log.append("begin")

    def commit(self) -> None:
        self.log.append("commit")

    def rollback(self) -> None:
        self.log.append("rollback")


def test_it_commits_after_a_call_that_returns() -> None:
    log: list[str] = []

    @in_transaction(lambda: Recorded(log))
    def book(transaction: Recorded, order: str, *, cents: int = 0) -> tuple[str, int]:
        transaction.log.append("work")
        return order, cents

    assert book("a", cents=5) == ("a", 5), "the caller's arguments and the result are passed on"
    assert log == ["begin", "work", "commit"], "committed once, after the work"


def test_arguments_are_checked() -> None:
    given = """
    class Ledger:
        def commit(self) -> None: ...
        def rollback(self) -> None: ...
    @in_transaction(Ledger)
    def book(ledger: Ledger, order: str, *, cents: int = 0) -> bool: return cents > 0
    """
    errors = type_check(
        in_transaction,
        right=f"{textwrap.dedent(given)}\nassert_type(book('a', cents=5), bool)",
        wrong=f"{textwrap.dedent(given)}\nbook('a', cents='5')",
    )
    assert errors["right"] == [], "the decorated function can be called like the original, and keeps its result type"
    assert errors["wrong"], "cents as a string: the decorator has eaten the signature"


# %% hidden in_transaction points=5
class Kept:
    """A transaction that notes what is done with it."""

    def __init__(self, log: list[str], commit_error: Exception | None = None) -> None:
        self.log = log
        self.commit_error = commit_error

    def commit(self) -> None:
        self.log.append("commit")
        if self.commit_error:
            raise self.commit_error

    def rollback(self) -> None:
        self.log.append("rollback")


@pytest.fixture(scope="module")
def transaction_types() -> dict[str, list[str]]:
    given = """
    class Base:
        def commit(self) -> None: ...
    class Ledger(Base):
        def rollback(self) -> None: ...
    class Other(Ledger): ...
    @in_transaction(Ledger)
    def book(ledger: Ledger, order: str, cents: int, *, note: str = '') -> bool: return cents > 0
    """
    uses = {
        "keywords": "assert_type(book(order='a', cents=5), bool); book('a', 5, note='x')",
        "base_parameter": "@in_transaction(Other)\ndef move(ledger: Ledger) -> int: return 1\nassert_type(move(), int)",
        "missing_argument": "book('a')",
        "unknown_keyword": "book('a', 5, nota='x')",
        "passes_a_transaction": "book(Ledger(), 'a', 5)",
        "uses_the_result_wrongly": "book('a', 5).upper()",
        "another_first_parameter": "@in_transaction(Ledger)\ndef move(number: int) -> None: ...",
        "narrower_first_parameter": "@in_transaction(Ledger)\ndef move(other: Other) -> None: ...",
        "no_first_parameter": "@in_transaction(Ledger)\ndef move() -> None: ...",
        "no_rollback": "@in_transaction(Base)\ndef move(base: Base) -> None: ...",
    }
    return type_check(in_transaction, **{name: f"{textwrap.dedent(given)}\n{use}" for name, use in uses.items()})


@pytest.mark.parametrize("error", [LookupError("no such order"), KeyboardInterrupt(), SystemExit(1)])
def test_it_rolls_back_whatever_is_raised(error: BaseException) -> None:
    log: list[str] = []

    @in_transaction(lambda: Kept(log))
    def book(transaction: Kept) -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        book()
    assert caught.value is error, "the caller's except clause has to see the original exception"
    assert log == ["rollback"], "Ctrl-C in the middle must not leave half a booking, or a lock, behind"


def test_each_call_has_a_transaction_of_its_own_and_decorating_none() -> None:
    begun: list[Kept] = []

    def begin() -> Kept:
        begun.append(Kept([]))
        return begun[-1]

    @in_transaction(begin)
    def book(transaction: Kept) -> Kept:
        return transaction

    assert begun == [], "a transaction that is begun at import is open until the process ends"
    assert [book(), book()] == begun, "the function works on the transaction that is committed afterwards"
    assert [each.log for each in begun] == [["commit"], ["commit"]], "one transaction a call"


def test_an_error_of_commit_comes_out_and_nothing_is_rolled_back() -> None:
    log: list[str] = []
    error = OSError("connection lost")

    @in_transaction(lambda: Kept(log, error))
    def book(transaction: Kept) -> None: ...

    with pytest.raises(OSError, match="connection lost"):
        book()
    assert log == ["commit"], "after a commit of unknown outcome, a rollback would only hide the error"


def test_name_and_docstring_are_the_originals() -> None:
    @in_transaction(lambda: Kept([]))
    def book(transaction: Kept) -> None:
        """Book it."""

    assert (book.__name__, book.__doc__) == ("book", "Book it."), "traces and help() go by them"


def test_strict_mypy_accepts_the_cell(transaction_types: dict[str, list[str]]) -> None:
    assert transaction_types["answer"] == [], "a silenced checker checks nothing"


@pytest.mark.parametrize("use", ["keywords", "base_parameter"])
def test_right_uses_are_accepted(transaction_types: dict[str, list[str]], use: str) -> None:
    assert transaction_types[use] == [], "the decorated function is typed as the original is, less one parameter"


@pytest.mark.parametrize(
    "use",
    [
        "missing_argument",
        "unknown_keyword",
        "passes_a_transaction",
        "uses_the_result_wrongly",
        "another_first_parameter",
        "narrower_first_parameter",
        "no_first_parameter",
        "no_rollback",
    ],
)
def test_wrong_uses_are_refused(transaction_types: dict[str, list[str]], use: str) -> None:
    assert transaction_types[use], f"mypy lets a wrong use through: {use}"


# %% wrong in_transaction fails=test_arguments_are_checked
# "Typed, since there is a Callable": the dots switch checking off for every decorated function.
def in_transaction(begin: Callable[[], Tx]) -> Callable[[Callable[Concatenate[Tx, ...], R]], Callable[..., R]]:
    """Return a decorator that runs a function in a transaction of its own."""

    def decorate(function: Callable[Concatenate[Tx, ...], R]) -> Callable[..., R]:
        @functools.wraps(function)
        def wrapper(*args: object, **kwargs: object) -> R:
            transaction = begin()
            try:
                result = function(transaction, *args, **kwargs)
            except BaseException:
                transaction.rollback()
                raise
            transaction.commit()
            return result

        return wrapper

    return decorate


# %% wrong in_transaction fails=test_it_rolls_back_whatever_is_raised
# "except Exception is the polite form": KeyboardInterrupt and SystemExit leave the transaction open.
def in_transaction(begin: Callable[[], Tx]) -> Callable[[Callable[Concatenate[Tx, P], R]], Callable[P, R]]:
    """Return a decorator that runs a function in a transaction of its own."""

    def decorate(function: Callable[Concatenate[Tx, P], R]) -> Callable[P, R]:
        @functools.wraps(function)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            transaction = begin()
            try:
                result = function(transaction, *args, **kwargs)
            except Exception:
                transaction.rollback()
                raise
            transaction.commit()
            return result

        return wrapper

    return decorate


# %% wrong in_transaction fails=test_each_call_has_a_transaction_of_its_own_and_decorating_none
# "Begin once, it's expensive": all calls of the process share one transaction, begun at import.
def in_transaction(begin: Callable[[], Tx]) -> Callable[[Callable[Concatenate[Tx, P], R]], Callable[P, R]]:
    """Return a decorator that runs a function in a transaction of its own."""
    transaction = begin()

    def decorate(function: Callable[Concatenate[Tx, P], R]) -> Callable[P, R]:
        @functools.wraps(function)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                result = function(transaction, *args, **kwargs)
            except BaseException:
                transaction.rollback()
                raise
            transaction.commit()
            return result

        return wrapper

    return decorate


# %% wrong in_transaction fails=test_an_error_of_commit_comes_out_and_nothing_is_rolled_back
# "Put it all in the try": a commit that fails is followed by a rollback, whose own error then hides the first.
def in_transaction(begin: Callable[[], Tx]) -> Callable[[Callable[Concatenate[Tx, P], R]], Callable[P, R]]:
    """Return a decorator that runs a function in a transaction of its own."""

    def decorate(function: Callable[Concatenate[Tx, P], R]) -> Callable[P, R]:
        @functools.wraps(function)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            transaction = begin()
            try:
                result = function(transaction, *args, **kwargs)
                transaction.commit()
            except BaseException:
                transaction.rollback()
                raise
            return result

        return wrapper

    return decorate


# %% right in_transaction
@contextlib.contextmanager
def transaction_of(begin: Callable[[], Tx]) -> Iterator[Tx]:
    """Begin a transaction, and commit it or roll it back."""
    transaction = begin()
    try:
        yield transaction
    except BaseException:
        transaction.rollback()
        raise
    else:
        transaction.commit()


def in_transaction(begin: Callable[[], Tx]) -> Callable[[Callable[Concatenate[Tx, P], R]], Callable[P, R]]:
    """Return a decorator that runs a function in a transaction of its own."""

    def decorate(function: Callable[Concatenate[Tx, P], R]) -> Callable[P, R]:
        @functools.wraps(function)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            with transaction_of(begin) as transaction:
                return function(transaction, *args, **kwargs)

        return wrapper

    return decorate


# %% [markdown] hint in_transaction
# Three functions deep, and each has a type of its own. Begin with the innermost: what does the wrapper take and return,
# and what does the function take?

# %% [markdown] hint in_transaction
# The function is a `Callable[Concatenate[Tx, P], R]`, the wrapper a `Callable[P, R]`. `Tx` is bound to `Transaction`,
# which is why its methods may be called and why a `begin` without them is refused.

# %% [markdown] hint in_transaction
# `def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:`, with `transaction = begin()`, then `try` around the call
# *only*, `except BaseException:` roll back and `raise`, and the commit after it.

# %% [markdown] after in_transaction
# **Why `Tx` and not `Transaction`.** With `Callable[[], Transaction]` the decorated function could ask for no more than
# commit and rollback: parameters are contravariant, so a function that needs a `Ledger` can't be called with any
# transaction. The type variable links what `begin` makes with what the function gets.
#
# **A lie that remains.** `functools.wraps` sets `__wrapped__`, so `inspect.signature(book)` still shows the
# transaction, and a framework that goes by it asks for one. Where that matters, set `__signature__` to the signature
# without the first parameter. The checker doesn't see this, as it doesn't see any run-time attribute.
#
# **Methods.** Below a method the first parameter would be `self`: the type to write then is
# `Concatenate[S, Tx, P]`. That the transaction can be any but the first parameter can't be said at all: `Concatenate`
# only adds in front. For `async def` the result `R` is a coroutine, and the wrapper would commit before it has run; a
# second overload with `Awaitable[R]` is the usual answer.
#
# **The interviewer goes on**: *What does `Callable[P, Awaitable[R]]` accept? Why can't a `ParamSpec` add a keyword
# parameter? How do you type a decorator that works with and without parentheses? (Two overloads.)*

# %% [markdown]
# ## Protocol: an interface that nobody has to inherit
#
# An abstract base class is **nominal**: it has to be named by who implements it. A **`Protocol`** is **structural**:
# whatever has the methods, with assignable types, fits; the class needn't know of it. So the *consumer* declares what
# it needs, and dependencies point the right way. Use it for what you accept, most of all from code that isn't yours;
# use an ABC where you share an implementation or want incomplete subclasses refused at run time.
#
# A generic protocol states its variance, and mypy verifies it: a parameter that is only returned must be declared
# covariant, one that is only taken contravariant (with PEP 695 it is inferred). Three details:
#
# * `__call__` in a protocol is a callable with keyword parameters, overloads or a name, which `Callable` can't say. A
#   `/` makes the parameters positional-only, so that implementations may choose their names;
# * a **mutable** attribute in a protocol is invariant. Say `@property` where you only read;
# * a callback typed `Callable[[E], object]` accepts everything, an `async def` too, whose coroutine is then never
#   awaited. `-> None` refuses it.
#
# **`Self`** (3.11) is the type of the object that a method is called on: fluent methods, `__enter__` and alternative
# constructors return it, and a subclass gets its own type back, where the class's name would give the base.
#
# `@runtime_checkable` lets `isinstance` look at a protocol, and promises less than it seems: it compares **names**, not
# signatures. It isn't cheap either (Python 3.12 made it [at least twice as
# fast](https://docs.python.org/3/whatsnew/3.12.html#typing) for protocols with few members). In the code below,
# `Source` has the wrong variance on purpose.


# %%
@runtime_checkable
class Closable(Protocol):
    def close(self) -> None: ...


class Valve:
    def close(self, how: str, hours: int) -> str:
        return f"closed {how} for {hours} h"


class Tap:
    def turn(self) -> None: ...


def nanoseconds(probe: Callable[[], object], calls: int = 2_000) -> float:
    """Return nanoseconds a call, the best of five rounds."""
    return min(timeit.repeat(probe, number=calls, repeat=5)) / calls * 1e9


valve: object = Valve()
print("isinstance(valve, Closable):", isinstance(valve, Closable), "(wrong signature, right name)")
print(f"  against a class   : {nanoseconds(lambda: isinstance(valve, Tap)):5.0f} ns")
print(f"  against a protocol: {nanoseconds(lambda: isinstance(valve, Closable)):5.0f} ns\n")
show(
    """
    class Source(Protocol[E_contra]):
        def read(self) -> E_contra: ...
    class Sink(Protocol[E_contra]):
        def write(self, event: E_contra, /) -> None: ...
    class Audit:
        def write(self, e: Event, /) -> None: ...
    into: Sink[OrderPaid] = Audit()
    class Query:
        def where(self, text: str) -> Self: return self
    class OrderQuery(Query): ...
    reveal_type(OrderQuery().where("paid"))
    """
)

# %% [markdown] exercise typed_bus topic=type-hints level=senior minutes=12
# ## Exercise: A typed event bus
#
# Modules of the shop talk by events. In the old bus handlers were `Callable[..., Any]`: a handler of payments was
# subscribed to all events and failed in production, and an `async def` handler was "called" for months without ever
# running. Write the bus so that mypy finds both.
#
# `Handler` is a generic protocol: a `Handler[X]` is anything that can be called with one positional argument, an event
# of type `X`, and returns `None`. What handles all `Event`s is a `Handler[OrderPaid]` too; not the other way round. How
# the parameter is named is the handler's business.
#
# `EventBus()` has two methods:
#
# * `subscribe(kind, handler)`: from now on `handler` gets the events that are instances of the class `kind` (`Event` or
#   below), subclasses included. It returns a function without parameters that ends *this* subscription. Calling that
#   again does nothing. A handler may be subscribed several times, and is called once for each;
# * `publish(event)` calls the handlers in the order of their subscription, and returns how many were called. Those
#   count that are subscribed when `publish` begins: what a handler subscribes or ends has its effect on the next event.
#   An exception of a handler comes out at once.
#
# For mypy: `subscribe` refuses a handler that is narrower than `kind`, a coroutine function, and a `kind` that is no
# event class. `publish` refuses what isn't an event. The cell is clean in strict mode with nothing silenced.
#
# ```python
# >>> bus = EventBus()
# >>> stop = bus.subscribe(OrderEvent, lambda event: print("order", event.order))
# >>> bus.publish(OrderPaid(1, "a", 500)), bus.publish(Event(2))
# order a
# (1, 0)
# >>> stop(); stop()
# >>> bus.publish(OrderPaid(1, "a", 500))
# 0
# >>> type_check(EventBus, use="EventBus().publish('paid')")["use"]
# ['line 2: Argument 1 to "publish" of "EventBus" has incompatible type "str"; expected "Event"  [arg-type]']
# ```


# %% solution typed_bus
class Handler(Protocol[E_contra]):
    """What can be called with an event."""

    def __call__(self, event: E_contra, /) -> None: ...


class EventBus:
    """Delivers events to the handlers of their class."""

    # BEGIN SOLUTION
    def __init__(self) -> None:
        self._routes: list[Callable[[Event], bool]] = []

    # END SOLUTION

    def subscribe(self, kind: type[E], handler: Handler[E]) -> Callable[[], None]:
        """Deliver events of a class to a handler; return what ends it."""

        # BEGIN SOLUTION
        def deliver(event: Event) -> bool:
            if not isinstance(event, kind):
                return False
            handler(event)
            return True

        def end() -> None:
            if deliver in self._routes:
                self._routes.remove(deliver)

        self._routes.append(deliver)
        return end
        # END SOLUTION

    def publish(self, event: Event) -> int:
        """Deliver an event; return how many handlers were called."""
        # BEGIN SOLUTION
        return sum([deliver(event) for deliver in tuple(self._routes)])
        # END SOLUTION


# %% starter typed_bus
class Handler(Protocol):
    """What can be called with an event."""

    def __call__(self, event: Any, /) -> Any: ...


class EventBus:
    """Delivers events to the handlers of their class."""

    def subscribe(self, kind: type[Any], handler: Callable[..., Any]) -> Callable[[], None]:
        """Deliver events of a class to a handler; return what ends it."""
        raise NotImplementedError

    def publish(self, event: Any) -> int:
        """Deliver an event; return how many handlers were called."""
        raise NotImplementedError


# %% check typed_bus points=2
def test_a_handler_gets_its_class_and_the_subclasses() -> None:
    bus = EventBus()
    seen: list[Event] = []
    bus.subscribe(OrderEvent, seen.append)
    events = [Event(1), OrderEvent(2, "a"), OrderPaid(3, "a", 5)]
    assert [bus.publish(event) for event in events] == [0, 1, 1], "publish returns how many handlers were called"
    assert seen == events[1:], "a payment is an order's event"


def test_a_handler_of_payments_is_refused_for_all_events() -> None:
    given = "def book(event: OrderPaid) -> None: print(event.cents)\n"
    errors = type_check(
        EventBus,
        right=given + "EventBus().subscribe(OrderPaid, book)",
        wrong=given + "EventBus().subscribe(Event, book)",
    )
    assert errors["right"] == [], "the handler's type is the event's type"
    assert errors["wrong"], "it would fail with AttributeError at the first event that isn't a payment"


# %% hidden typed_bus points=5
@pytest.fixture(scope="module")
def bus_types() -> dict[str, list[str]]:
    given = """
    bus = EventBus()
    def log(e: Event) -> None: ...
    def book(paid: OrderPaid) -> None: ...
    class Mailer:
        def __call__(self, event: OrderEvent) -> None: ...
        def send(self, event: Event, urgent: bool = False) -> None: ...
    """
    uses = {
        "wider_handlers": "bus.subscribe(OrderPaid, log); bus.subscribe(OrderPaid, Mailer())\n"
        "bus.subscribe(Event, Mailer().send)\nassert_type(bus.subscribe(OrderPaid, book), Callable[[], None])",
        "lambdas": "bus.subscribe(OrderPaid, lambda event: print(event.cents + 1))",
        "assignable": "handler: Handler[Event] = log\nwider: Handler[OrderPaid] = handler\n"
        "assert_type(bus.publish(Event(1)), int)",
        "not_assignable": "handler: Handler[OrderPaid] = book\nother: Handler[Event] = handler",
        "callable_object": "bus.subscribe(Event, Mailer())",
        "async_handler": "async def send(event: Event) -> None: ...\nbus.subscribe(Event, send)",
        "more_arguments": "def send(event: Event, urgent: bool) -> None: ...\nbus.subscribe(Event, send)",
        "no_event_class": "bus.subscribe(str, print)",
        "publish_a_string": "bus.publish('paid')",
        "publish_a_class": "bus.publish(OrderPaid)",
    }
    return type_check(EventBus, **{name: f"{textwrap.dedent(given)}\n{use}" for name, use in uses.items()})


def test_handlers_are_called_in_the_order_of_subscription() -> None:
    bus = EventBus()
    seen: list[str] = []
    bus.subscribe(OrderPaid, lambda event: seen.append("book"))
    bus.subscribe(Event, lambda event: seen.append("log"))
    bus.subscribe(OrderEvent, lambda event: seen.append("mail"))
    assert bus.publish(OrderPaid(1, "a", 5)) == 3, "all three handle payments"
    assert seen == ["book", "log", "mail"], "booked before it is mailed: across classes too"


def test_each_subscription_is_ended_by_its_own_function() -> None:
    bus = EventBus()
    seen: list[str] = []

    def log(event: Event) -> None:
        seen.append("log")

    first = bus.subscribe(Event, log)
    bus.subscribe(Event, lambda event: seen.append("mail"))
    second = bus.subscribe(Event, log)
    second()
    bus.publish(Event(1))
    assert seen == ["log", "mail"], "the second subscription has ended, and not the first"
    second()
    assert bus.publish(Event(2)) == 2, "ending twice ends nobody else's subscription"
    first()
    assert bus.publish(Event(3)) == 1, "the first one ends too"


def test_what_a_handler_ends_still_gets_this_event() -> None:
    bus = EventBus()
    seen: list[str] = []
    ends: list[Callable[[], None]] = []

    def once(event: Event) -> None:
        seen.append("once")
        for end in ends:
            end()

    ends.append(bus.subscribe(Event, once))
    ends.append(bus.subscribe(Event, lambda event: seen.append("second")))
    assert bus.publish(Event(1)) == 2, "a handler that ends itself must not make the bus skip its neighbour"
    assert seen == ["once", "second"]
    assert bus.publish(Event(2)) == 0, "from the next event on they have ended"


def test_what_a_handler_subscribes_gets_the_next_event() -> None:
    bus = EventBus()
    seen: list[int] = []

    def recruit(event: Event) -> None:
        if len(seen) < 20:
            bus.subscribe(Event, lambda later: seen.append(later.at))
            seen.append(-1)

    bus.subscribe(Event, recruit)
    assert bus.publish(Event(1)) == 1, "a bus that calls the newcomer too can run for ever"
    bus.publish(Event(2))
    assert 2 in seen, "from the next event on it is subscribed"


def test_an_exception_of_a_handler_comes_out() -> None:
    bus = EventBus()
    seen: list[Event] = []

    def fail(event: Event) -> None:
        raise LookupError("no such order")

    bus.subscribe(Event, fail)
    bus.subscribe(Event, seen.append)
    with pytest.raises(LookupError, match="no such order"):
        bus.publish(Event(1))
    assert seen == [], "it comes out at once"


def test_two_buses_share_nothing() -> None:
    first, second = EventBus(), EventBus()
    first.subscribe(Event, lambda event: None)
    assert (first.publish(Event(1)), second.publish(Event(1))) == (1, 0), "a list on the class is shared by all"


def test_strict_mypy_accepts_the_bus(bus_types: dict[str, list[str]]) -> None:
    assert bus_types["answer"] == [], "a silenced checker checks nothing"


@pytest.mark.parametrize("use", ["wider_handlers", "lambdas", "assignable"])
def test_right_handlers_are_accepted(bus_types: dict[str, list[str]], use: str) -> None:
    assert bus_types[use] == [], "who handles every event handles payments: handlers are contravariant"


def test_an_async_handler_is_refused(bus_types: dict[str, list[str]]) -> None:
    assert bus_types["async_handler"], "its coroutine would be made and thrown away, at every event"


@pytest.mark.parametrize(
    "use",
    [
        "not_assignable",
        "callable_object",
        "more_arguments",
        "no_event_class",
        "publish_a_string",
        "publish_a_class",
    ],
)
def test_wrong_handlers_and_events_are_refused(bus_types: dict[str, list[str]], use: str) -> None:
    assert bus_types[use], f"mypy lets a wrong use through: {use}"


# %% wrong typed_bus fails=test_a_handler_gets_its_class_and_the_subclasses
# "A dict from class to handlers": only the exact class is found, so a payment isn't an order's event.
class Handler(Protocol[E_contra]):
    """What can be called with an event."""

    def __call__(self, event: E_contra, /) -> None: ...


class EventBus:
    """Delivers events to the handlers of their class."""

    def __init__(self) -> None:
        self._routes: list[Callable[[Event], bool]] = []

    def subscribe(self, kind: type[E], handler: Handler[E]) -> Callable[[], None]:
        """Deliver events of a class to a handler; return what ends it."""

        def deliver(event: Event) -> bool:
            if type(event) is not kind:
                return False
            handler(event)
            return True

        self._routes.append(deliver)
        return lambda: self._routes.remove(deliver) if deliver in self._routes else None

    def publish(self, event: Event) -> int:
        """Deliver an event; return how many handlers were called."""
        return sum([deliver(event) for deliver in tuple(self._routes)])


# %% wrong typed_bus fails=test_an_async_handler_is_refused
# "The result isn't used, so object will do": then a coroutine is a result like any other.
class Handler(Protocol[E_contra]):
    """What can be called with an event."""

    def __call__(self, event: E_contra, /) -> object: ...


class EventBus:
    """Delivers events to the handlers of their class."""

    def __init__(self) -> None:
        self._routes: list[Callable[[Event], bool]] = []

    def subscribe(self, kind: type[E], handler: Handler[E]) -> Callable[[], None]:
        """Deliver events of a class to a handler; return what ends it."""

        def deliver(event: Event) -> bool:
            if not isinstance(event, kind):
                return False
            handler(event)
            return True

        def end() -> None:
            if deliver in self._routes:
                self._routes.remove(deliver)

        self._routes.append(deliver)
        return end

    def publish(self, event: Event) -> int:
        """Deliver an event; return how many handlers were called."""
        return sum([deliver(event) for deliver in tuple(self._routes)])


# %% wrong typed_bus fails=test_what_a_handler_ends_still_gets_this_event
# "Iterate over the list": a handler that ends itself moves the next one out of the loop's reach.
class Handler(Protocol[E_contra]):
    """What can be called with an event."""

    def __call__(self, event: E_contra, /) -> None: ...


class EventBus:
    """Delivers events to the handlers of their class."""

    def __init__(self) -> None:
        self._routes: list[Callable[[Event], bool]] = []

    def subscribe(self, kind: type[E], handler: Handler[E]) -> Callable[[], None]:
        """Deliver events of a class to a handler; return what ends it."""

        def deliver(event: Event) -> bool:
            if not isinstance(event, kind):
                return False
            handler(event)
            return True

        def end() -> None:
            if deliver in self._routes:
                self._routes.remove(deliver)

        self._routes.append(deliver)
        return end

    def publish(self, event: Event) -> int:
        """Deliver an event; return how many handlers were called."""
        return sum(deliver(event) for deliver in self._routes)


# %% wrong typed_bus fails=test_each_subscription_is_ended_by_its_own_function
# "Find it by the handler": of two subscriptions of one handler, the wrong one ends.
class Handler(Protocol[E_contra]):
    """What can be called with an event."""

    def __call__(self, event: E_contra, /) -> None: ...


class EventBus:
    """Delivers events to the handlers of their class."""

    def __init__(self) -> None:
        self._routes: list[tuple[object, Callable[[Event], bool]]] = []

    def subscribe(self, kind: type[E], handler: Handler[E]) -> Callable[[], None]:
        """Deliver events of a class to a handler; return what ends it."""

        def deliver(event: Event) -> bool:
            if not isinstance(event, kind):
                return False
            handler(event)
            return True

        def end() -> None:
            for route in self._routes:
                if route[0] == handler:
                    self._routes.remove(route)
                    return

        self._routes.append((handler, deliver))
        return end

    def publish(self, event: Event) -> int:
        """Deliver an event; return how many handlers were called."""
        return sum([deliver(event) for _, deliver in tuple(self._routes)])


# %% right typed_bus
class Handler(Protocol[E_contra]):
    """What can be called with an event."""

    def __call__(self, event: E_contra, /) -> None: ...


class EventBus:
    """Delivers events to the handlers of their class."""

    def __init__(self) -> None:
        self._routes: dict[int, Callable[[Event], bool]] = {}
        self._numbers = itertools.count()

    def subscribe(self, kind: type[E], handler: Callable[[E], None]) -> Callable[[], None]:
        """Deliver events of a class to a handler; return what ends it."""
        number = next(self._numbers)

        def deliver(event: Event) -> bool:
            wanted = isinstance(event, kind)
            if isinstance(event, kind):
                handler(event)
            return wanted

        def end() -> None:
            self._routes.pop(number, None)

        self._routes[number] = deliver
        return end

    def publish(self, event: Event) -> int:
        """Deliver an event; return how many handlers were called."""
        return [deliver(event) for deliver in list(self._routes.values())].count(True)


# %% [markdown] hint typed_bus
# Two type variables are needed: one for the protocol, whose variance follows from "taken, never returned", and one for
# `subscribe`, which links `type[…]` with `Handler[…]`.

# %% [markdown] hint typed_bus
# The bus holds handlers of many types, so no `dict[type[E], Handler[E]]` can be typed. But a closure can forget the
# type: wrap each handler in a function that takes any `Event`, asks `isinstance(event, kind)`, and so hands the handler
# what it may have.

# %% [markdown] hint typed_bus
# `class Handler(Protocol[E_contra])` with `def __call__(self, event: E_contra, /) -> None: ...`. The list is a
# `list[Callable[[Event], bool]]`; `publish` iterates over a copy of it, and the returned function removes its own
# closure if it is still there.

# %% [markdown] after typed_bus
# **Why a closure.** "A dict in which the value's type depends on the key's" can't be said in Python's type system. The
# usual way out is `cast`. Here the `isinstance` that is needed anyway *proves* the type: inside the closure `kind` and
# `handler` still have the same `E`, and outside only `Callable[[Event], bool]` is left. That is type erasure without a
# lie, and it costs a call and an `isinstance` for each handler and event. With thousands of handlers, index by class
# along `type(event).__mro__`.
#
# **Why `-> None` in the protocol.** `None` as a callback's result means "I don't expect one". Strictly a handler that
# returns `int` is refused as well; that is the price for finding coroutines.
#
# **Why `/`.** Without it every handler would have to name its parameter `event`.
#
# **`Handler[E]` or `Callable[[E], None]`?** They accept the same functions. But mypy 2.4 takes the parameter of a
# *lambda* from the second and not from a generic protocol: in `subscribe(Event, lambda event: event.nonsense)` it is
# `Any`, and nothing is found. `reveal_type` inside the lambda shows it. So `Callable` in the signature of `subscribe`
# is the better choice, and the protocol is for names, keywords and overloads.
#
# **The interviewer goes on**: *How would an async bus be typed? (`Callable[[E], Awaitable[None]]`, and both kinds by
# overload.) One handler fails: should the others run? (Then collect into an `ExceptionGroup`.) Who keeps whom alive?
# (The bus keeps every handler, and so every bound method's object.)*

# %% [markdown]
# ## overload: when the result's type depends on how it is called
#
# `def get(name, default=None)` returns a `str`, or an `int | None`, or whatever: with one signature the result is a
# union, and each caller has to take it apart again. **`@overload`** lists the signatures that exist; below them stands
# the one implementation, whose own signature callers don't see. Rules that matter:
#
# * the checker takes the first overload that fits, so the narrower come first;
# * the implementation must accept all of them, and is checked once, against its own wide types. **That each overload's
#   promise is kept, nobody checks**: that is what tests are for;
# * where a type variable, a union or a default of a type parameter says the same, it is better. Overloads multiply:
#   four optional flags would be sixteen.
#
# `Literal` types make overloads by *value* (`open(path, "rb")` is a binary file). And since `None` is often a
# legitimate value, "not given" wants a sentinel of its own. An `Enum` with one member is one that checkers narrow by
# `is`, which they don't do for `object()`.

# %%
show(
    """
    class Absent(Enum):
        ABSENT = "absent"
    plain = object()
    def with_enum(value: int | Absent = Absent.ABSENT) -> int:
        return 0 if value is Absent.ABSENT else value
    def with_object(value: int | object = plain) -> int:
        return 0 if value is plain else value
    @overload
    def dump(value: int, *, binary: Literal[True]) -> bytes: ...
    @overload
    def dump(value: int, *, binary: Literal[False] = False) -> str: ...
    def dump(value: int, *, binary: bool = False) -> str | bytes:
        return b"" if binary else ""
    reveal_type(dump(1, binary=True))
    def by_flag(flag: bool) -> None:
        dump(1, binary=flag)
    """
)

# %% [markdown]
# The last line is the classic mistake: a caller with a `bool`, neither `True` nor `False` by type, needs a third
# overload.

# %% [markdown] exercise read_setting topic=type-hints level=core minutes=10
# ## Exercise: One function, four signatures
#
# Settings come from the environment, as strings. The team's helper returns `Any`, so `timeout + 1` was fine for the
# checker, and a `TypeError` on the one server where the variable was set. Write it with overloads.
#
# `read_setting(settings, name, *, parse=…, default=…)` looks up `name` in a mapping of strings; `parse` and `default`
# may each be left out:
#
# * a text that is there is returned, or if there is a `parse`, `parse(text)`. The empty text is there like any other;
# * a name that isn't there gives `default`, unparsed, where one is given. **Any** object is a default, `None` too.
#   Without a default it is `KeyError(name)`;
# * where `parse` raises a `ValueError`, a `ValueError` is raised that contains the setting's name in its text and has
#   the original as its `__cause__`. Other exceptions come out as they are.
#
# | call | type of the result |
# | --- | --- |
# | `read_setting(settings, "A")` | `str` |
# | `read_setting(settings, "A", parse=int)` | `int` |
# | `read_setting(settings, "A", default=None)` | `str \| None` |
# | `read_setting(settings, "A", parse=int, default=None)` | `int \| None` |
#
# And so for every parser and default. `parse` and `default` can only be given by keyword. The cell is clean in strict
# mode with nothing silenced.
#
# ```python
# >>> read_setting({"PORT": "8080"}, "PORT", parse=int)
# 8080
# >>> read_setting({}, "PORT", parse=int, default=None) is None
# True
# >>> read_setting({}, "HOST")
# Traceback (most recent call last):
# KeyError: 'HOST'
# >>> type_check(read_setting, use="assert_type(read_setting({}, 'PORT', parse=int), int)")["use"]
# []
# ```


# %% starter read_setting
def read_setting(
    settings: Mapping[str, str], name: str, *, parse: Callable[[str], Any] = str, default: Any = None
) -> Any:
    """Return a setting, parsed if there is a parser, or the default if there is one."""
    raise NotImplementedError


# %% solution read_setting
# BEGIN SOLUTION
class Missing(Enum):
    """Says that nothing was given."""

    MISSING = "missing"


@overload
def read_setting(settings: Mapping[str, str], name: str) -> str: ...
@overload
def read_setting(settings: Mapping[str, str], name: str, *, default: D) -> str | D: ...
@overload
def read_setting(settings: Mapping[str, str], name: str, *, parse: Callable[[str], T]) -> T: ...
@overload
def read_setting(settings: Mapping[str, str], name: str, *, parse: Callable[[str], T], default: D) -> T | D: ...
def read_setting(
    settings: Mapping[str, str],
    name: str,
    *,
    parse: Callable[[str], T] | None = None,
    default: D | Missing = Missing.MISSING,
) -> str | T | D:
    """Return a setting, parsed if there is a parser, or the default if there is one."""
    if name not in settings:
        if default is Missing.MISSING:
            raise KeyError(name)
        return default
    if parse is None:
        return settings[name]
    try:
        return parse(settings[name])
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


# END SOLUTION


# %% check read_setting points=2
def test_a_setting_is_parsed() -> None:
    assert read_setting({"PORT": "8080"}, "PORT", parse=int) == 8080, "the parser's result is the result"
    assert read_setting({"PORT": "8080"}, "PORT") == "8080", "without a parser it is the text"


def test_the_four_calls_have_the_types_of_the_table() -> None:
    use = """
    settings: dict[str, str] = {}
    assert_type(read_setting(settings, "A"), str)
    assert_type(read_setting(settings, "A", parse=int), int)
    assert_type(read_setting(settings, "A", default=None), str | None)
    assert_type(read_setting(settings, "A", parse=int, default=None), int | None)
    """
    assert type_check(read_setting, use=use)["use"] == [], "a caller shouldn't have to take a union apart"


# %% hidden read_setting points=4
@pytest.fixture(scope="module")
def setting_types() -> dict[str, list[str]]:
    uses = {
        "own_types": "def paid(text: str) -> OrderPaid: return OrderPaid(1, text, 2)\n"
        "assert_type(read_setting({}, 'A', parse=paid), OrderPaid)\n"
        "assert_type(read_setting({}, 'A', parse=paid, default=Event(1)), OrderPaid | Event)",
        "same_type": "assert_type(read_setting({}, 'A', parse=int, default=5), int)\n"
        "assert_type(read_setting({}, 'A', default='x'), str)",
        "lambda_parser": "assert_type(read_setting({}, 'A', parse=lambda text: text.split(',')), list[str])",
        "text_as_number": "read_setting({}, 'A') + 1",
        "none_as_number": "read_setting({}, 'A', parse=int, default=None) + 1",
        "default_of_another_type": "limit: int = read_setting({}, 'A', parse=int, default='5')",
        "parser_of_numbers": "def half(number: int) -> int: return number // 2\nread_setting({}, 'A', parse=half)",
        "no_parser": "read_setting({}, 'A', parse=5)",
        "positional": "read_setting({}, 'A', int)",
        "settings_of_numbers": "read_setting({'A': 5}, 'A')",
    }
    return type_check(read_setting, **uses)


@pytest.mark.parametrize("default", [None, 0, "", False, "fallback"])
def test_any_object_is_a_default_and_is_not_parsed(default: object) -> None:
    assert read_setting({}, "PORT", parse=int, default=default) is default, "None is a default like any other"
    assert read_setting({"port": "1"}, "PORT", default=default) is default, "also without a parser"


def test_a_default_is_not_used_where_the_setting_is_there() -> None:
    assert read_setting({"PORT": "1"}, "PORT", parse=int, default=None) == 1, "what is set comes first"
    assert read_setting({"PORT": "1"}, "PORT", default="2") == "1", "what is set comes first"


def test_the_empty_text_is_a_setting() -> None:
    assert read_setting({"PREFIX": ""}, "PREFIX", default="x") == "", "PREFIX= in a shell sets it: that is a decision"
    assert read_setting({"TAGS": ""}, "TAGS", parse=len, default=7) == 0, "a parser gets the empty text"


def test_a_missing_setting_without_a_default_is_a_key_error() -> None:
    with pytest.raises(KeyError) as caught:
        read_setting({"HOST": "x"}, "PORT")
    assert caught.value.args == ("PORT",), "the error has to say which one"
    with pytest.raises(KeyError):
        read_setting({}, "PORT", parse=int)


def test_a_parsers_value_error_names_the_setting() -> None:
    with pytest.raises(ValueError, match="PORT") as caught:
        read_setting({"PORT": "80a"}, "PORT", parse=int, default=80)
    assert isinstance(caught.value.__cause__, ValueError), "the parser's own words are the cause"
    assert "80a" in str(caught.value.__cause__), "the parser's own words are the cause"


def test_other_errors_of_a_parser_come_out_as_they_are() -> None:
    error = LookupError("no such codec")

    def parse(text: str) -> int:
        raise error

    with pytest.raises(LookupError) as caught:
        read_setting({"CODEC": "x"}, "CODEC", parse=parse, default=1)
    assert caught.value is error, "only what says 'this text is wrong' is about the setting"


def test_strict_mypy_accepts_the_overloads(setting_types: dict[str, list[str]]) -> None:
    assert setting_types["answer"] == [], "a silenced checker checks nothing"


@pytest.mark.parametrize("use", ["own_types", "same_type", "lambda_parser"])
def test_the_result_has_the_parsers_and_the_defaults_type(setting_types: dict[str, list[str]], use: str) -> None:
    assert setting_types[use] == [], "the table holds for every parser and default"


@pytest.mark.parametrize(
    "use",
    [
        "text_as_number",
        "none_as_number",
        "default_of_another_type",
        "parser_of_numbers",
        "no_parser",
        "positional",
        "settings_of_numbers",
    ],
)
def test_wrong_calls_are_refused(setting_types: dict[str, list[str]], use: str) -> None:
    assert setting_types[use], f"mypy lets a wrong call through: {use}"


# %% wrong read_setting fails=test_any_object_is_a_default_and_is_not_parsed
# "None means not given": who asks for None as the default gets a KeyError.
class Unused(Enum):
    """Keeps two sets of overloads apart."""


@overload
def read_setting(settings: Mapping[str, str], name: str) -> str: ...
@overload
def read_setting(settings: Mapping[str, str], name: str, *, default: D) -> str | D: ...
@overload
def read_setting(settings: Mapping[str, str], name: str, *, parse: Callable[[str], T]) -> T: ...
@overload
def read_setting(settings: Mapping[str, str], name: str, *, parse: Callable[[str], T], default: D) -> T | D: ...
def read_setting(
    settings: Mapping[str, str], name: str, *, parse: Callable[[str], T] | None = None, default: D | None = None
) -> str | T | D:
    """Return a setting, parsed if there is a parser, or the default if there is one."""
    if name not in settings:
        if default is None:
            raise KeyError(name)
        return default
    if parse is None:
        return settings[name]
    try:
        return parse(settings[name])
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


# %% wrong read_setting fails=test_the_four_calls_have_the_types_of_the_table
# "A union says it all": one signature, and every caller has to take the union apart.
class Missing(Enum):
    """Says that nothing was given."""

    MISSING = "missing"


def read_setting(
    settings: Mapping[str, str],
    name: str,
    *,
    parse: Callable[[str], T] | None = None,
    default: D | Missing = Missing.MISSING,
) -> str | T | D:
    """Return a setting, parsed if there is a parser, or the default if there is one."""
    if name not in settings:
        if default is Missing.MISSING:
            raise KeyError(name)
        return default
    if parse is None:
        return settings[name]
    try:
        return parse(settings[name])
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


# %% wrong read_setting fails=test_the_empty_text_is_a_setting
# "if text:": the empty text, which somebody has set on purpose, is taken for a missing one.
class Missing(Enum):
    """Says that nothing was given."""

    MISSING = "missing"


@overload
def read_setting(settings: Mapping[str, str], name: str) -> str: ...
@overload
def read_setting(settings: Mapping[str, str], name: str, *, default: D) -> str | D: ...
@overload
def read_setting(settings: Mapping[str, str], name: str, *, parse: Callable[[str], T]) -> T: ...
@overload
def read_setting(settings: Mapping[str, str], name: str, *, parse: Callable[[str], T], default: D) -> T | D: ...
def read_setting(
    settings: Mapping[str, str],
    name: str,
    *,
    parse: Callable[[str], T] | None = None,
    default: D | Missing = Missing.MISSING,
) -> str | T | D:
    """Return a setting, parsed if there is a parser, or the default if there is one."""
    text = settings.get(name)
    if not text:
        if default is Missing.MISSING:
            raise KeyError(name)
        return default
    if parse is None:
        return text
    try:
        return parse(text)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


# %% [markdown] waive read_setting
# - `MISSING = 'missing'` → `MISSING = 'missingXX'`: the member is compared by identity, its value is never looked at

# %% [markdown] hint read_setting
# The table has four rows, and so the function has four overloads. In which of them is `parse` there, and which of them
# have a `default` that isn't optional?

# %% [markdown] hint read_setting
# In an overload a parameter that is given stands *without* a default value: `*, default: D`. The implementation has to
# tell "not given" from every object, so its default is a sentinel that mypy can narrow: the member of an `Enum`.

# %% [markdown] hint read_setting
# `def read_setting(settings, name, *, parse: Callable[[str], T] | None = None, default: D | Missing = Missing.MISSING)
# -> str | T | D`. First the missing name (`default is Missing.MISSING` → `KeyError`), then no parser, then `try:
# parse(…)` with `raise ValueError(f"{name}: …") from error`.

# %% [markdown] after read_setting
# **Fewer overloads?** With `parse` defaulting to `str`, two would do, if a type variable could have a default: PEP 696
# (3.13, or `typing_extensions.TypeVar(default=…)`) allows that for classes; for functions checkers solve it unevenly.
# Another cut is two functions, `read_setting` and `find_setting`: the API is simpler than its types. When the fifth
# overload comes, that is the answer.
#
# **The implementation isn't checked against the overloads' promises.** Swap the results of two overloads and mypy stays
# green as long as the wide signature covers both. Each overload needs a run-time test.
#
# **`D | Missing`** has a hole too: who passes `Missing.MISSING` gets the `KeyError`. A private name closes it as far as
# Python closes anything.
#
# **The interviewer goes on**: *Why does `dict.get` have overloads? What breaks if the first overload is the widest?
# (The later ones can't match, and mypy says so.) How are `Literal` and `bool` overloads related?*

# %% [markdown]
# ## Data from outside: TypedDict, NotRequired, TypeIs
#
# A **`TypedDict`** describes a plain `dict` with known keys: at run time it *is* a dict, nothing is checked and nothing
# copied. `NotRequired[X]` is a key that may be missing, which is something else than a key whose value may be `None`.
# `ReadOnly[X]` (PEP 705, 3.13) forbids assignment, and so makes the key covariant. A `kind: Literal["payment"]` makes a
# **tagged union**: comparing the tag narrows.
#
# Where data comes in as `object`, a function has to look. Two return types tell the checker what a `True` means:
#
# | | `True` means | `False` means | is it checked? |
# | --- | --- | --- | --- |
# | `TypeGuard[X]` (PEP 647) | it is an `X` | nothing | no |
# | `TypeIs[X]` (PEP 742, 3.13) | it is an `X` *and* what it was known to be | it is **not** an `X` | no |
#
# `TypeIs` behaves like `isinstance`, so it is the usual choice, under a condition: the function returns `True` for
# *every* `X`. A predicate with an extra condition ("an int above 100") must be a `TypeGuard`, or the `else` branch is
# told a falsehood. Neither is checked against its body: like `cast`, they are where you promise something, so keep them
# few, small and tested.
#
# **`assert_never(x)`** is the other end: it type-checks only where no type is left for `x`. After the last branch over
# a union it turns "somebody added a third kind" into an error at each place that has to learn of it.

# %%
show(
    """
    def guard(value: int | str) -> TypeGuard[int]:
        return isinstance(value, int) and value > 100
    def exactly(value: int | str) -> TypeIs[int]:
        return isinstance(value, int)
    def use(value: int | str) -> None:
        if guard(value):
            reveal_type(value)
        else:
            reveal_type(value)
        if exactly(value):
            reveal_type(value)
        else:
            reveal_type(value)
    class Row(TypedDict):
        id: ReadOnly[str]
        note: NotRequired[str | None]
    row: Row = {"id": "a"}
    row["id"] = "b"
    row["nota"] = "x"
    reveal_type(row.get("note"))
    def tag(kind: Literal["paid", "sent", "lost"]) -> int:
        if kind == "paid":
            return 1
        if kind == "sent":
            return 2
        assert_never(kind)
    """
)

# %% [markdown] exercise webhook_types topic=type-hints level=senior minutes=10
# ## Exercise: Believe nothing that comes over the wire
#
# A payment provider posts JSON. The handler took it as `dict[str, Any]`; one provider update later `cents` was a
# string, and the day's balance `"500250"`. Type the payloads, and let nothing past the door that isn't of the type.
#
# Two `TypedDict`s: `Payment` has `kind` (always `"payment"`), `id` (text), `cents` (whole number) and perhaps `note`
# (text). `Refund` has `kind` (always `"refund"`), `id` and `cents`, and no more. And three functions:
#
# * `is_payment(value)` and `is_refund(value)` take any object and say whether it is a dict of that type: required keys
#   there, all values of the right type (`isinstance`; so a `bool` passes for an `int`, as it does for mypy), `note`
#   text if it is there at all. Keys that the type doesn't have are allowed. They never raise. For mypy they narrow
#   **both** ways: a `Payment | Refund` that isn't a payment is a `Refund`;
# * `net_cents(payloads)` takes an iterable of any objects and returns the payments' cents minus the refunds'. If one of
#   them is neither, it raises `ValueError`.
#
# For mypy, a `Payment` literal without `cents`, with another `kind` or an unknown key is an error, one without `note`
# isn't. The cell is clean in strict mode with nothing silenced.
#
# ```python
# >>> is_payment({"kind": "payment", "id": "p1", "cents": 500, "retries": 2})
# True
# >>> is_payment({"kind": "payment", "id": "p1", "cents": "500"}), is_refund(["refund"])
# (False, False)
# >>> net_cents([{"kind": "payment", "id": "p1", "cents": 500}, {"kind": "refund", "id": "r1", "cents": 120}])
# 380
# >>> net_cents([{"kind": "chargeback", "id": "c1", "cents": 500}])
# Traceback (most recent call last):
# ValueError: neither a payment nor a refund: {'kind': 'chargeback', 'id': 'c1', 'cents': 500}
# ```
#
# The error's wording is yours.


# %% solution webhook_types
# BEGIN SOLUTION
class Payment(TypedDict):
    """Money that came in."""

    kind: Literal["payment"]
    id: str
    cents: int
    note: NotRequired[str]


class Refund(TypedDict):
    """Money that went out."""

    kind: Literal["refund"]
    id: str
    cents: int


def has_amount(value: dict[object, object], kind: str) -> bool:
    """Whether a dict has what payments and refunds have in common."""
    return value.get("kind") == kind and isinstance(value.get("id"), str) and isinstance(value.get("cents"), int)


def is_payment(value: object) -> TypeIs[Payment]:
    """Whether an object is a payment."""
    return (
        isinstance(value, dict)
        and has_amount(value, "payment")
        and ("note" not in value or isinstance(value["note"], str))
    )


def is_refund(value: object) -> TypeIs[Refund]:
    """Whether an object is a refund."""
    return isinstance(value, dict) and has_amount(value, "refund")


def net_cents(payloads: Iterable[object]) -> int:
    """Return what came in less what went out."""
    net = 0
    for payload in payloads:
        if is_payment(payload):
            net += payload["cents"]
        elif is_refund(payload):
            net -= payload["cents"]
        else:
            raise ValueError(f"neither a payment nor a refund: {payload}")
    return net


# END SOLUTION


# %% starter webhook_types
class Payment(TypedDict):
    """Money that came in."""

    kind: str
    id: Any
    cents: Any


class Refund(TypedDict):
    """Money that went out."""

    kind: str
    id: Any
    cents: Any


def is_payment(value: Any) -> bool:
    """Whether an object is a payment."""
    raise NotImplementedError


def is_refund(value: Any) -> bool:
    """Whether an object is a refund."""
    raise NotImplementedError


def net_cents(payloads: Any) -> int:
    """Return what came in less what went out."""
    raise NotImplementedError


# %% check webhook_types points=2
def test_a_payment_needs_cents_that_are_a_number() -> None:
    assert is_payment({"kind": "payment", "id": "p1", "cents": 500}) is True, "note isn't required"
    assert is_payment({"kind": "payment", "id": "p1", "cents": "500"}) is False, "the update that cost a day's balance"
    assert is_payment({"kind": "payment", "id": "p1"}) is False, "a required key is missing"


def test_a_payload_that_is_no_payment_is_a_refund() -> None:
    use = """
    def book(payload: Payment | Refund) -> None:
        if is_payment(payload):
            assert_type(payload, Payment)
        else:
            assert_type(payload, Refund)
    """
    assert type_check(is_payment, use=use)["use"] == [], "narrowing has to work in the else branch too"


# %% hidden webhook_types points=5
@pytest.fixture(scope="module")
def webhook_errors() -> dict[str, list[str]]:
    uses = {
        "from_object": "def book(value: object) -> None:\n    if is_payment(value):\n"
        "        assert_type(value['cents'], int)\n        assert_type(value.get('note'), str | None)\n"
        "    if is_refund(value):\n        assert_type(value['id'], str)",
        "refund_narrows": "def book(value: Payment | Refund) -> None:\n    if is_refund(value):\n"
        "        assert_type(value, Refund)\n    else:\n        assert_type(value, Payment)",
        "exhaustive": "def book(value: Payment | Refund) -> int:\n    if is_payment(value):\n"
        "        return value['cents']\n    if is_refund(value):\n        return -value['cents']\n"
        "    assert_never(value)",
        "literals": "a: Payment = {'kind': 'payment', 'id': 'a', 'cents': 1}\n"
        "b: Payment = {'kind': 'payment', 'id': 'a', 'cents': 1, 'note': 'x'}\n"
        "c: Refund = {'kind': 'refund', 'id': 'a', 'cents': 1}\nassert_type(net_cents([a, b, c]), int)",
        "any_objects": "net_cents(iter([1, 'a', None]))",
        "missing_cents": "a: Payment = {'kind': 'payment', 'id': 'a'}",
        "other_kind": "a: Payment = {'kind': 'refund', 'id': 'a', 'cents': 1}",
        "unknown_key": "a: Payment = {'kind': 'payment', 'id': 'a', 'cents': 1, 'nota': 'x'}",
        "note_of_a_refund": "a: Refund = {'kind': 'refund', 'id': 'a', 'cents': 1, 'note': 'x'}",
        "note_none": "a: Payment = {'kind': 'payment', 'id': 'a', 'cents': 1, 'note': None}",
        "cents_text": "a: Refund = {'kind': 'refund', 'id': 'a', 'cents': '1'}",
        "unchecked": "def book(value: object) -> None:\n    value['cents']",
        "no_iterable": "net_cents(5)",
    }
    return type_check(is_payment, **uses)


GOOD: dict[str, object] = {"id": "x1", "cents": 5}
EMPTY: dict[str, object] = {}
NEITHER: list[object] = [None, 5, "payment", ["kind", "id", "cents"], [("kind", "payment")], EMPTY, object()]


@pytest.mark.parametrize("change", [{"id": 7}, {"id": None}, {"cents": 5.0}, {"cents": None}, {"kind": "sale"}])
def test_a_value_of_the_wrong_type_is_refused(change: dict[str, object]) -> None:
    assert is_payment({"kind": "payment", **GOOD, **change}) is False, f"a payment with {change}"
    assert is_refund({"kind": "refund", **GOOD, **change}) is False, f"a refund with {change}"


@pytest.mark.parametrize("key", ["kind", "id", "cents"])
def test_a_missing_key_is_refused(key: str) -> None:
    payment: dict[str, object] = {"kind": "payment", **GOOD}
    refund: dict[str, object] = {"kind": "refund", **GOOD}
    del payment[key], refund[key]
    assert (is_payment(payment), is_refund(refund)) == (False, False), f"without {key}"


def test_a_note_is_text_or_not_there() -> None:
    assert is_payment({"kind": "payment", **GOOD, "note": "rent"}) is True, "a note is allowed"
    assert is_payment({"kind": "payment", **GOOD, "note": None}) is False, "NotRequired isn't Optional"
    assert is_payment({"kind": "payment", **GOOD, "note": 7}) is False, "a note is text"
    assert is_refund({"kind": "refund", **GOOD, "note": 7}) is True, "to a refund a note is one of the unknown keys"


def test_unknown_keys_are_allowed() -> None:
    assert is_payment({"kind": "payment", **GOOD, "retries": 2}) is True, "providers add keys without asking"
    assert is_refund({"kind": "refund", **GOOD, "retries": 2}) is True, "providers add keys without asking"


@pytest.mark.parametrize("value", NEITHER)
def test_any_object_is_answered_without_an_exception(value: object) -> None:
    assert (is_payment(value), is_refund(value)) == (False, False), "JSON may be a number, a list or null"


def test_payments_are_no_refunds() -> None:
    assert is_refund({"kind": "payment", **GOOD}) is False, "the kind decides"
    assert is_payment({"kind": "refund", **GOOD}) is False, "the kind decides"


def test_net_cents_adds_payments_and_subtracts_refunds() -> None:
    payloads = ({"kind": kind, "id": "x", "cents": cents} for kind, cents in [("refund", 30), ("payment", 100)])
    assert net_cents(payloads) == 70, "100 came in and 30 went out"
    assert net_cents([]) == 0, "nothing came in"


def test_net_cents_refuses_what_is_neither() -> None:
    with pytest.raises(ValueError, match=r"."):
        net_cents([{"kind": "payment", **GOOD}, None])


def test_strict_mypy_accepts_the_payloads(webhook_errors: dict[str, list[str]]) -> None:
    assert webhook_errors["answer"] == [], "a silenced checker checks nothing"


@pytest.mark.parametrize("use", ["from_object", "refund_narrows", "exhaustive", "literals", "any_objects"])
def test_right_uses_type_check(webhook_errors: dict[str, list[str]], use: str) -> None:
    assert webhook_errors[use] == [], f"a right use is refused: {use}"


@pytest.mark.parametrize(
    "use",
    [
        "missing_cents",
        "other_kind",
        "unknown_key",
        "note_of_a_refund",
        "note_none",
        "cents_text",
        "unchecked",
        "no_iterable",
    ],
)
def test_wrong_uses_do_not_type_check(webhook_errors: dict[str, list[str]], use: str) -> None:
    assert webhook_errors[use], f"mypy lets a wrong use through: {use}"


# %% wrong webhook_types fails=test_a_payload_that_is_no_payment_is_a_refund
# "TypeGuard is the one for such functions": it says nothing about the else branch.
class Payment(TypedDict):
    """Money that came in."""

    kind: Literal["payment"]
    id: str
    cents: int
    note: NotRequired[str]


class Refund(TypedDict):
    """Money that went out."""

    kind: Literal["refund"]
    id: str
    cents: int


def has_amount(value: dict[object, object], kind: str) -> bool:
    """Whether a dict has what payments and refunds have in common."""
    return value.get("kind") == kind and isinstance(value.get("id"), str) and isinstance(value.get("cents"), int)


def is_payment(value: object) -> TypeGuard[Payment]:
    """Whether an object is a payment."""
    return isinstance(value, dict) and has_amount(value, "payment") and isinstance(value.get("note", ""), str)


def is_refund(value: object) -> TypeGuard[Refund]:
    """Whether an object is a refund."""
    return isinstance(value, dict) and has_amount(value, "refund")


def net_cents(payloads: Iterable[object]) -> int:
    """Return what came in less what went out."""
    net = 0
    for payload in payloads:
        if is_payment(payload):
            net += payload["cents"]
        elif is_refund(payload):
            net -= payload["cents"]
        else:
            raise ValueError(f"neither a payment nor a refund: {payload}")
    return net


# %% wrong webhook_types fails=test_a_value_of_the_wrong_type_is_refused
# "The tag tells the type": the tag is one of the claims that the sender makes.
class Payment(TypedDict):
    """Money that came in."""

    kind: Literal["payment"]
    id: str
    cents: int
    note: NotRequired[str]


class Refund(TypedDict):
    """Money that went out."""

    kind: Literal["refund"]
    id: str
    cents: int


def is_payment(value: object) -> TypeIs[Payment]:
    """Whether an object is a payment."""
    return isinstance(value, dict) and value.get("kind") == "payment" and {"id", "cents"} <= value.keys()


def is_refund(value: object) -> TypeIs[Refund]:
    """Whether an object is a refund."""
    return isinstance(value, dict) and value.get("kind") == "refund" and {"id", "cents"} <= value.keys()


def net_cents(payloads: Iterable[object]) -> int:
    """Return what came in less what went out."""
    net = 0
    for payload in payloads:
        if is_payment(payload):
            net += payload["cents"]
        elif is_refund(payload):
            net -= payload["cents"]
        else:
            raise ValueError(f"neither a payment nor a refund: {payload}")
    return net


# %% wrong webhook_types fails=test_wrong_uses_do_not_type_check
# "Optional and NotRequired are the same": then None is a note for the checker, and the door refuses it.
class Payment(TypedDict):
    """Money that came in."""

    kind: Literal["payment"]
    id: str
    cents: int
    note: NotRequired[str | None]


class Refund(TypedDict):
    """Money that went out."""

    kind: Literal["refund"]
    id: str
    cents: int


def has_amount(value: dict[object, object], kind: str) -> bool:
    """Whether a dict has what payments and refunds have in common."""
    return value.get("kind") == kind and isinstance(value.get("id"), str) and isinstance(value.get("cents"), int)


def is_payment(value: object) -> TypeIs[Payment]:
    """Whether an object is a payment."""
    return isinstance(value, dict) and has_amount(value, "payment") and isinstance(value.get("note", ""), str)


def is_refund(value: object) -> TypeIs[Refund]:
    """Whether an object is a refund."""
    return isinstance(value, dict) and has_amount(value, "refund")


def net_cents(payloads: Iterable[object]) -> int:
    """Return what came in less what went out."""
    net = 0
    for payload in payloads:
        if is_payment(payload):
            net += payload["cents"]
        elif is_refund(payload):
            net -= payload["cents"]
        else:
            raise ValueError(f"neither a payment nor a refund: {payload}")
    return net


# %% right webhook_types
class Payment(TypedDict):
    """Money that came in."""

    kind: Literal["payment"]
    id: str
    cents: int
    note: NotRequired[str]


class Refund(TypedDict):
    """Money that went out."""

    kind: Literal["refund"]
    id: str
    cents: int


def is_payment(value: object) -> TypeIs[Payment]:
    """Whether an object is a payment."""
    match value:
        case {"kind": "payment", "id": str(), "cents": int(), "note": note}:
            return isinstance(value, dict) and isinstance(note, str)
        case {"kind": "payment", "id": str(), "cents": int()}:
            return isinstance(value, dict)
    return False


def is_refund(value: object) -> TypeIs[Refund]:
    """Whether an object is a refund."""
    match value:
        case {"kind": "refund", "id": str(), "cents": int()}:
            return isinstance(value, dict)
    return False


def net_cents(payloads: Iterable[object]) -> int:
    """Return what came in less what went out."""

    def effect(payload: object) -> int:
        if is_payment(payload):
            return payload["cents"]
        if is_refund(payload):
            return -payload["cents"]
        raise ValueError(payload)

    return sum(map(effect, payloads))


# %% [markdown] hint webhook_types
# The types are the contract written down. Which of the two kinds of type guard says something about the `else` branch?

# %% [markdown] hint webhook_types
# `kind: Literal["payment"]`, `note: NotRequired[str]`, and both functions take `object` and return `TypeIs[…]`. Begin
# each with `isinstance(value, dict)`; after it `value.get("cents")` can be looked at.

# %% [markdown] hint webhook_types
# `isinstance(value, dict) and value.get("kind") == "payment" and isinstance(value.get("id"), str) and
# isinstance(value.get("cents"), int) and ("note" not in value or isinstance(value["note"], str))`. In `net_cents` a
# payload that both functions deny raises `ValueError`.

# %% [markdown] after webhook_types
# **Why a `bool` must pass.** `True` is an `int` to every checker, so `{"cents": True, …}` *is* a `Payment` by type. A
# `TypeIs` that says no to it would tell the `else` branch that no `Payment` is left, which is false. If bools have to
# be refused, the function is a `TypeGuard`, or the refusal is a separate step after narrowing.
#
# **What this costs by hand.** Five lines a type, and they drift from the `TypedDict`: a new key in the type isn't
# noticed by the function. Beyond a handful of types let a library make the check from the type
# (`pydantic.TypeAdapter(Payment).validate_python(value, strict=True)`, `msgspec.convert`): then there is one source of
# truth. Two details of Pydantic: without `strict` it turns the text `"500"` into 500, and below Python 3.12 it wants
# `typing_extensions.TypedDict`. The principle is the same: *parse, don't validate*, so that inside the door nothing is
# `object` any more.
#
# **`TypedDict`, dataclass or model?** A `TypedDict` for data that stays JSON and is passed on; a dataclass for objects
# of your own with behaviour; a Pydantic model at the edge, where values are converted and errors are reported.
#
# **The interviewer goes on**: *Where would you put `assert_never`? Is a `Payment` a `dict[str, object]`? (No, since
# that could be written to; it is a `Mapping[str, object]`.) What does `total=False` do? What do closed TypedDicts (PEP
# 728) change?*

# %% [markdown]
# ## What is left at run time: Annotated, and the price of a rollout
#
# Types are hints, but the *objects* are there, and frameworks read them. **`Annotated[int, Gt(0)]`** is an `int` to
# every checker, and carries metadata for whoever asks: FastAPI's `Depends`, Pydantic's constraints, typer's options. It
# is how one annotation serves two readers.


# %%
@dataclass(frozen=True)
class AtLeast:
    """Metadata: the smallest value allowed."""

    low: int


def reserve(sku: str, count: Annotated[int, AtLeast(1)] = 1) -> str:
    return f"{count} x {sku}"


def violations(function: Callable[..., object], **values: int | str) -> list[str]:
    """Return which values break the AtLeast of a function's annotations."""
    hints = get_type_hints(function, include_extras=True)
    return [
        f"{name}={values[name]!r} is below {mark.low}"
        for name, hint in hints.items()
        for mark in getattr(hint, "__metadata__", ())
        if isinstance(mark, AtLeast) and name in values and int(values[name]) < mark.low
    ]


print(
    "plain hints:",
    get_type_hints(reserve)["count"],
    "| with extras:",
    get_type_hints(reserve, include_extras=True)["count"],
)
print("python runs:", reserve("tea", -3), "| a framework finds:", violations(reserve, sku="tea", count=-3))

# %% [markdown]
# **When are annotations evaluated?** Up to 3.13 when the `def` runs, unless `from __future__ import annotations` makes
# them strings, which `get_type_hints` then evaluates in the module's namespace (and fails for names that are imported
# under `if TYPE_CHECKING:` only). In 3.14 (PEP 649 and 749) they are evaluated when somebody asks, so forward
# references work without quotes.
#
# **What is gone**: type parameters. `isinstance(x, list[int])` is a `TypeError`; `cast(T, x)` returns `x`; what
# `NewType` makes is a callable that returns its argument.
#
# **Rolling it out** on 300 000 untyped lines: run mypy in CI at once with a lax default; strict per package, from the
# leaves (shared utilities, models) towards the entry points, since a typed module that calls untyped ones gets `Any`
# back; forbid new debt (`disallow_untyped_defs` for new packages, `warn_unused_ignores`, every `type: ignore` with its
# code); measure `Any` (`mypy --any-exprs-report`), not the number of annotations. Two checkers differ in details: mypy
# and pyright infer and narrow differently, so a library tests with both.
#
# The last exercise is a review. mypy's verdict on the diff comes first.

# %%
DIFF = """\
class Repository(Protocol[T_co]):
    def get(self, key: str) -> T_co | None: ...
    def newest(self, count: int) -> Sequence[T_co]: ...

class Invoice:
    def __init__(self, cents: int, paid: bool = False) -> None:
        self.cents, self.paid = cents, paid

    def plus(self, cents: int) -> "Invoice":
        copied = copy.copy(self)
        copied.cents += cents
        return copied

def total(invoices: list[Invoice], extra: Sequence[int] = ()) -> int:
    return sum(invoice.cents for invoice in invoices) + sum(extra)

def load_limits(path: Path) -> dict[str, int]:
    limits: dict[str, int] = json.loads(path.read_text())
    return {name.lower(): limit for name, limit in limits.items()}

def retried(function: Callable[..., R]) -> Callable[..., R]:
    @functools.wraps(function)
    def wrapper(*args: object, **kwargs: object) -> R:
        with contextlib.suppress(OSError):
            return function(*args, **kwargs)
        return function(*args, **kwargs)
    return wrapper

def is_large(amount: int | str) -> TypeIs[int]:
    return isinstance(amount, int) and amount > 10_000

def first_paid(invoices: Iterable[Invoice]) -> Invoice:
    found = next((invoice for invoice in invoices if invoice.paid), None)
    return cast(Invoice, found)

def send_all(invoices: Iterable[Invoice], send: Callable[[Invoice], object]) -> None:
    for invoice in invoices:
        send(invoice)
"""
KINDS = {
    "any-leak": "data that nobody has checked gets a precise type",
    "async-swallowed": "a coroutine function is accepted where nobody awaits its result",
    "false-cast": "a claim that the value at hand doesn't always meet",
    "invariant-parameter": "right callers are refused, since a type is asked for that can be written to",
    "lost-signature": "callers' arguments aren't checked any more",
    "subclass-lost": "a subclass's method returns the base class",
    "unsound-narrowing": "a False is taken for more than it means",
    "wrong-variance": "a type variable is declared with a variance that its uses contradict",
}
IMPORTS = "import contextlib, copy, json\nfrom pathlib import Path\n"
print("mypy --strict:", run_mypy(f"{cell_of(Event)}\n{IMPORTS}{DIFF}") or "Success: no issues found", "\n")
for number, line in enumerate(DIFF.splitlines(), start=1):
    print(f"{number:2} + {line}")

# %% [markdown] exercise typed_review topic=type-hints level=senior minutes=8
# ## Exercise: Green, and wrong in seven places
#
# The diff above is up for review: CI is green, `mypy --strict` finds nothing, the author is proud. Seven lines weaken
# the types or lie to the checker. Find them.
#
# `TYPE_DEFECTS` is a dict from the number of a line to the kind of its defect, a key of `KINDS` (whose values say what
# is meant). One of the eight kinds doesn't occur, and each of the others once. The line is the one on which the wrong
# type is *written*: in a signature, in a variable's annotation, in a `cast`. Where the same wrong is written twice (as
# a function's result and in its body, say), either line is taken, not both.
#
# ```python
# >>> sorted(KINDS)[:3]
# ['any-leak', 'async-swallowed', 'false-cast']
# >>> len(TYPE_DEFECTS), set(TYPE_DEFECTS.values()) <= set(KINDS)
# (7, True)
# ```


# %% starter typed_review
TYPE_DEFECTS: dict[int, str] = {}


# %% solution typed_review
# BEGIN SOLUTION
TYPE_DEFECTS: dict[int, str] = {
    9: "subclass-lost",
    14: "invariant-parameter",
    18: "any-leak",
    21: "lost-signature",
    29: "unsound-narrowing",
    34: "false-cast",
    36: "async-swallowed",
}
# END SOLUTION


# %% check typed_review points=1
def test_seven_lines_are_named_with_kinds_that_exist() -> None:
    assert len(TYPE_DEFECTS) == 7, f"seven lines are to be named, and {len(TYPE_DEFECTS)} are"
    assert set(TYPE_DEFECTS.values()) <= set(KINDS), "the kinds are the keys of KINDS"
    assert set(TYPE_DEFECTS) <= set(range(1, len(DIFF.splitlines()) + 1)), "the lines are those of the diff"


# %% hidden typed_review points=4
def lines_of(kind: str) -> set[int]:
    return {line for line, named in TYPE_DEFECTS.items() if named == kind}


def test_the_method_that_forgets_the_subclass() -> None:
    assert lines_of("subclass-lost") == {9}, "copy.copy keeps the class at run time; only Self says so to the checker"


def test_the_parameter_that_refuses_right_callers() -> None:
    assert lines_of("invariant-parameter") == {14}, "total only reads: list[CreditNote] and tuples have to be accepted"


def test_the_data_that_nobody_has_checked() -> None:
    assert lines_of("any-leak") in ({17}, {18}), "an annotation on json.loads is a claim, not a check"


def test_the_decorator_that_eats_the_signature() -> None:
    assert lines_of("lost-signature") in ({21}, {23}), "Callable[..., R] checks nobody's arguments"


def test_the_predicate_that_says_too_much() -> None:
    assert lines_of("unsound-narrowing") == {29}, "False would mean 'no int', and means 'perhaps a small one'"


def test_the_cast_that_is_false() -> None:
    assert lines_of("false-cast") in ({32}, {34}), "found may be None, and the cast hides it from every caller"


def test_the_callback_that_may_be_async() -> None:
    assert lines_of("async-swallowed") == {36}, "a coroutine is an object too"


def test_no_line_is_blamed_for_a_variance_that_is_right() -> None:
    assert lines_of("wrong-variance") == set(), "Repository only returns T_co, and Sequence is covariant"


# %% wrong typed_review fails=test_no_line_is_blamed_for_a_variance_that_is_right
# "A protocol with a parameter must be invariant": T_co is only returned, so covariant is right.
TYPE_DEFECTS: dict[int, str] = {
    1: "wrong-variance",
    9: "subclass-lost",
    14: "invariant-parameter",
    18: "any-leak",
    21: "lost-signature",
    29: "unsound-narrowing",
    34: "false-cast",
}


# %% wrong typed_review fails=test_the_data_that_nobody_has_checked
# "The return type is the leak": by line 19 the falsehood has been told; nothing new is claimed there.
TYPE_DEFECTS: dict[int, str] = {
    9: "subclass-lost",
    14: "invariant-parameter",
    19: "any-leak",
    21: "lost-signature",
    29: "unsound-narrowing",
    34: "false-cast",
    36: "async-swallowed",
}


# %% wrong typed_review fails=test_the_predicate_that_says_too_much
# "A promise is a cast": TypeIs on line 29 is true where it says True, and false only in the else branch.
TYPE_DEFECTS: dict[int, str] = {
    9: "subclass-lost",
    14: "invariant-parameter",
    18: "any-leak",
    21: "lost-signature",
    29: "false-cast",
    34: "unsound-narrowing",
    36: "async-swallowed",
}


# %% right typed_review
TYPE_DEFECTS = {
    9: "subclass-lost",
    14: "invariant-parameter",
    18: "any-leak",
    23: "lost-signature",
    29: "unsound-narrowing",
    32: "false-cast",
    36: "async-swallowed",
}


# %% [markdown] hint typed_review
# Go through the diff by signature and ask of each: which right caller is refused, which wrong one gets through? Then
# look at the bodies for what is claimed without being proved.

# %% [markdown] hint typed_review
# Claims without proof: a variable's annotation on something that is `Any`, a `cast`, a `TypeIs`. Wrong callers:
# `Callable[..., R]`, and `object` as a callback's result. Refused callers: a `list` that is only read.

# %% [markdown] hint typed_review
# Six functions and a method, and each has one: lines 9 to 12, 14 to 15, 17 to 19, 21 to 27, 29 to 30, 32 to 34, 36 to
# 38. The protocol at the top is right.

# %% [markdown] after typed_review
# | line | mend it with |
# | --- | --- |
# | 9 | `-> Self` |
# | 14 | `Iterable[Invoice]` |
# | 18 | take `object`, check keys and values (or let a library), then return the dict |
# | 21 | `Callable[P, R]` and `P.args`, `P.kwargs` in the wrapper |
# | 29 | `TypeGuard[int]`, or drop the condition on the amount |
# | 34 | return `Invoice \| None`, or raise `LookupError` where there is none |
# | 36 | `Callable[[Invoice], None]` |
#
# mypy's `disallow_any_expr` finds line 18 (and hundreds of others with it), a run-time checker such as typeguard in the
# tests finds 18 and 34. Line 29 nobody finds but a reader.
#
# **The interviewer goes on**: *Which of the seven would you block the merge for? (18, 29 and 34: they make the checker
# say false things. The others make it say less.) How do you say so to a proud author?*

# %% [markdown]
# ## The interview
#
# Say your answer aloud before you unfold one.

# %% [markdown] interview
# ### What is the difference between `Any` and `object`?
#
# `object` is the top type: everything is assignable to it, and it is assignable to nothing narrower until I have
# narrowed it. `Any` switches checking off in both directions, and spreads: what is computed from it is `Any`. For "some
# value, I don't care which" I write `object`; `Any` is for the boundary with untyped code, where I turn it into a real
# type at once.

# %% [markdown] interview
# ### Explain variance without the words co- and contravariant.
#
# A box that I only take things out of may be replaced by a box of something more special: who wants events is content
# with payments. A slot that I only put things into may be replaced by one that takes more: who has payments to deliver
# is content with a slot for events. A box for both can't be replaced by either, and `list` is one. So parameters that
# are only read get `Iterable`, `Sequence` or `Mapping`.

# %% [markdown] interview
# ### `Protocol` or abstract base class?
#
# A protocol, where I state what I *need*: the consumer owns it, third-party classes fit without inheriting, and tests
# can pass a small fake. An ABC, where I offer an implementation to be completed, or want run-time errors for incomplete
# subclasses and a registered hierarchy for `isinstance`. `runtime_checkable` compares the names of methods only, so I
# don't validate with it.

# %% [markdown] interview
# ### How do you type a decorator, and what does each part do?
#
# `ParamSpec` for the parameters, a `TypeVar` for the result: `Callable[P, R]` in and out, `*args: P.args, **kwargs:
# P.kwargs` in the wrapper. `Concatenate` where the decorator adds or supplies leading arguments. If the result changes,
# it is in the type (`Callable[P, Awaitable[R]]`). `functools.wraps` is for run time, and copies no types. For classes
# as decorators, `Generic[P, R]` with `__call__` and `__get__`.

# %% [markdown] interview
# ### `TypeGuard`, `TypeIs`, `cast`, `assert isinstance`: when which?
#
# `isinstance` where it is enough: it is checked at run time and by the checker. `TypeIs` for a reusable predicate that
# is true for exactly the values of the type; `TypeGuard` where it is stricter than the type, or the type isn't a
# narrower one (`list[object]` to `list[str]`). `cast` is a claim without evidence: I write the reason beside it, and
# prefer an `assert`, which at least fails where the claim is false. All but `isinstance` are trusted by the checker.

# %% [markdown] interview
# ### How do you bring types into a large untyped code base?
#
# Checker in CI from the first day, lax by default and strict for a growing list of packages, beginning with the modules
# that everybody imports. Types first where they pay: public signatures, data that crosses module borders, `None`. I
# count `Any` expressions rather than annotations, let every `ignore` carry an error code, and don't rewrite working
# code to please the checker without a test. Generated annotations (from run-time traces) are a draft, not a result.

# %% [markdown]
# ## Pitfalls seen in reviews
#
# * `def f(x: int = None)`: implicit `Optional` is off by default since mypy 0.990; say `int | None`.
# * `-> list[Any] | None` where "nothing found" could be an empty list: every caller now has two cases.
# * `ignore_missing_imports = true` for everything: a misspelt import becomes `Any`. Set it per module.
# * A `TypeVar` that appears once in a signature, or only in the result (`def load(path: str) -> T`): a disguised
#   `cast`.
# * `Union` results for convenience (`str | list[str] | None`): use overloads, or two functions.
# * `isinstance(x, SomeProtocol)` in a hot loop: many times the cost of a class check, as measured above.
# * `@overload` with an untested promise; a `TypeIs` with an extra condition.
# * `if TYPE_CHECKING:` imports that a framework needs at run time (FastAPI, Pydantic, dataclasses with `InitVar`).
# * Dataclass fields typed `list` and mutated by somebody else: `tuple[X, ...]` or `Sequence[X]` says what is meant.
#
# ## Where to read on
#
# * [The Python typing specification](https://typing.python.org/en/latest/spec/), the document that checkers follow, and
#   its [guides and best practices](https://typing.python.org/en/latest/)
# * [mypy's documentation](https://mypy.readthedocs.io/en/stable/): *Generics*, *Protocols and structural subtyping*,
#   *Using mypy with an existing codebase*; [pyright: mypy
#   comparison](https://github.com/microsoft/pyright/blob/main/docs/mypy-comparison.md)
# * [PEP 484](https://peps.python.org/pep-0484/) (type hints), [PEP 544](https://peps.python.org/pep-0544/) (protocols),
#   [PEP 612](https://peps.python.org/pep-0612/) (`ParamSpec`), [PEP 646](https://peps.python.org/pep-0646/)
#   (`TypeVarTuple`), [PEP 673](https://peps.python.org/pep-0673/) (`Self`), [PEP
#   695](https://peps.python.org/pep-0695/) (type parameter syntax), [PEP 742](https://peps.python.org/pep-0742/)
#   (`TypeIs`), [PEP 593](https://peps.python.org/pep-0593/) (`Annotated`), [PEP
#   649](https://peps.python.org/pep-0649/) (annotations on demand)
# * Alexis King, [Parse, don't
#   validate](https://lexi-lambda.github.io/blog/2019/11/05/parse-don-t-validate/)
