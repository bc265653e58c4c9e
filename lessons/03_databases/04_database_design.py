# %% [markdown]
# # Database design
#
# *"Here is a spreadsheet that the company runs on. Make it a database."* A junior answer draws tables that look tidy. A
# senior answer asks which facts determine which, derives keys and tables from that, lets the database itself refuse
# what can't be true, adds the indexes that the known queries need and no others, and then answers the question that
# decides: *how do you change all this next year, with rows in it and users on it?*
#
# **Assumed**: [SQL](01_sql.ipynb) and [context managers](../01_core_python/04_context_managers.ipynb). **Left out**:
# reading large plans, isolation levels, sharding and migration tools, which have lessons of their own. Everything runs
# on a real PostgreSQL 18.
#
# **Two sittings**: the exercises take a good hour and a half. A good place to stop is before *Indexing: the queries
# decide*; when you come back, run all cells above it first.

# %%
import concurrent.futures
import contextlib
import functools
import html
import itertools
import random
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from autograder import services
from autograder.notebook.figures import Span, Timeline, explore

Connection = psycopg.Connection[Any]

# %% [markdown]
# ## Normalization: one fact in one place
#
# A coworking house keeps its bookings in one sheet, a line for each guest:

# %%
COLUMNS = ("booking", "guest", "day", "room", "floor", "member", "email", "plan", "fee")
EXPORT = [
    ("B1", "Ada", "Mon", "Oak", "1", "M1", "kim@a.example", "basic", "90"),
    ("B1", "Bob", "Mon", "Oak", "1", "M1", "kim@a.example", "basic", "90"),
    ("B2", "Ada", "Mon", "Elm", "2", "M2", "lee@b.example", "team", "240"),
    ("B2", "Cyd", "Mon", "Elm", "2", "M2", "lee@b.example", "team", "240"),
    ("B3", "Dan", "Tue", "Oak", "1", "M2", "lee@b.example", "team", "240"),
    ("B4", "Ada", "Tue", "Elm", "2", "M3", "max@c.example", "basic", "90"),
    ("B5", "Eve", "Wed", "Fir", "2", "M1", "kim@a.example", "basic", "90"),
]

# %% [markdown]
# Three **anomalies** follow from it. *Update*: the price of a plan stands in many lines, and one of them will be
# missed. *Insertion*: a room that nobody has booked yet can't be entered. *Deletion*: with booking B5 goes the only
# mention of the room Fir. The cause is always the same: the table says something about two things, and repeats the
# one each time it mentions the other.
#
# The tool is the **functional dependency**. X → Y means: any two rows that agree in the columns X agree in the
# columns Y. Data can refute a dependency, never prove one; what holds is a rule of the business. So let the machine
# propose and ask the people who know. This counts, for every X of one or two columns, whether some value of X comes
# with two values of Y:


# %%
def dirty(connection: Connection) -> None:
    """Fill the sheet."""
    connection.execute(f"CREATE TABLE export ({', '.join(f'{column} text NOT NULL' for column in COLUMNS)})")
    with connection.cursor().copy("COPY export FROM STDIN") as copy:
        for row in EXPORT:
            copy.write_row(row)


def proposed(connection: Connection, size: int) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the dependencies with `size` columns on their left that the rows don't refute."""
    for left in itertools.combinations(COLUMNS, size):
        for right in sorted(set(COLUMNS) - set(left)):
            of = ", ".join(left)
            counted = connection.execute(
                f"SELECT count(*) FROM (SELECT FROM export GROUP BY {of} HAVING count(DISTINCT {right}) > 1) AS refuted"
            ).fetchone()
            if counted == (0,):
                yield left, right


with services.postgres(template=dirty) as database, database.connect() as connection:
    single = list(proposed(connection, 1))
    pairs = [
        (left, right)
        for left, right in proposed(connection, 2)
        if not any(set(few) < set(left) and right == other for few, other in single)
    ]
for left in dict.fromkeys(left for left, _ in single):
    print(f"{left[0]:8} -> {', '.join(right for other, right in single if other == left)}")
for_day_and_room = ", ".join(right for left, right in pairs if left == ("day", "room"))
print(f"and {len(pairs)} with two columns, for instance day room -> {for_day_and_room}")

# %% [markdown]
# Nobody would sign *fee → plan* (two plans may cost the same one day) or *day, room → booking* (seven rows, and no two
# bookings of a room on one day so far). Asked, the house confirms five rules:

# %%
Dependency = tuple[frozenset[str], frozenset[str]]


def rules(text: str) -> list[Dependency]:
    """Read dependencies: `"room -> floor; member -> email plan"`."""
    sides = [rule.split("->") for rule in text.split(";")]
    return [(frozenset(left.split()), frozenset(right.split())) for left, right in sides]


RULES = rules("booking -> day room member; room -> floor; member -> email plan; email -> member; plan -> fee")

# %% [markdown]
# From rules follow others: *booking → member* and *member → plan* give *booking → plan*. The **closure** of a set of
# columns, X⁺, is all that it determines, directly or in steps. X is a **superkey** if X⁺ is the whole table, and a
# **candidate key** if besides no part of X is one. A column is **prime** if some candidate key has it. The normal
# forms are then questions that a program answers:
#
# | form | asks of the table | broken in the sheet by |
# | --- | --- | --- |
# | 1NF | one value in a cell: no lists, no `guest1`, `guest2` | (a line for each guest mends it) |
# | 2NF | nothing non-prime depends on a *part* of a candidate key | booking → day, as the key is (booking, guest) |
# | 3NF | for each X → a: X is a superkey, **or** a is prime | room → floor, plan → fee |
# | BCNF | for each X → a: X is a superkey | the same |
#
# (Dependencies within X, as in *a, b → a*, are trivial and don't count.) **Boyce-Codd normal form** is the plain
# statement of the aim: whatever determines something is a key, so that every fact stands once.
#
# The figure marks the cells that say nothing new: the value was known from an earlier row, by a rule. The slider
# splits the sheet along one rule after another.


# %%
@dataclass(frozen=True, repr=False)
class Sheets:
    """Tables whose redundant cells are marked."""

    title: str
    tables: Sequence[Sequence[str]]

    def cells(self, columns: Sequence[str]) -> list[list[tuple[str, bool]]]:
        """Return the rows of a part of the sheet: each value, and whether a rule tells it from the rows before."""
        of = [COLUMNS.index(column) for column in columns]
        known: set[tuple[Any, ...]] = set()
        drawn = []
        for row in dict.fromkeys(tuple(row[i] for i in of) for row in EXPORT):
            named = dict(zip(columns, row, strict=True))
            facts = {
                column: [
                    (column, *sorted((name, named[name]) for name in left))
                    for left, right in RULES
                    if column in right - left and left <= named.keys()
                ]
                for column in columns
            }
            drawn.append([(named[column], any(fact in known for fact in facts[column])) for column in columns])
            known.update(itertools.chain.from_iterable(facts.values()))
        return drawn

    @property
    def redundant(self) -> int:
        """How many cells are redundant."""
        return sum(told for columns in self.tables for row in self.cells(columns) for _, told in row)

    def __repr__(self) -> str:
        lines = [f"{self.title}: {self.redundant} redundant cells (in brackets)"]
        for columns in self.tables:
            lines += ["", " ".join(f"{column:15}" for column in columns).rstrip()]
            for row in self.cells(columns):
                lines.append(" ".join(f"{f'[{value}]' if told else value:15}" for value, told in row).rstrip())
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        parts = [f"<p><b>{html.escape(self.title)}</b>: {self.redundant} redundant cells (orange)</p>"]
        for columns in self.tables:
            rows = "".join(
                "<tr>"
                + "".join(
                    f'<td style="{"background: #e69f00; color: black" if told else ""}">{html.escape(value)}</td>'
                    for value, told in row
                )
                + "</tr>"
                for row in self.cells(columns)
            )
            head = "".join(f"<th>{html.escape(column)}</th>" for column in columns)
            parts.append(f'<table style="display: inline-table; margin: 4px"><tr>{head}</tr>{rows}</table>')
        return "".join(parts)


def split(step: float) -> Sheets:
    """Return the sheet after so many splits."""
    cuts = [("plan", "fee"), ("room", "floor"), ("member", "email", "plan"), ("booking", "day", "room", "member")]
    tables: list[Sequence[str]] = [COLUMNS]
    for left, *right in cuts[: int(step)]:
        tables = [[column for column in tables[0] if column not in right], *tables[1:], [left, *right]]
    return Sheets(["As it was", "plan → fee", "room → floor", "member → email, plan", "booking → …"][int(step)], tables)


explore(split, step=(0, 4))
print("redundant cells after each split:", [split(step).redundant for step in range(5)])

# %%
split(4)

# %% [markdown]
# Every split took the columns that a rule's left side determines into a table of their own and left the left side
# behind, as a foreign key. Such a split is **lossless**: the join brings back the rows, all of them and no others,
# because what both parts share is a key of one of them. A split along anything else may invent rows when joined:
# that is *losing* information, although no row is missing.

# %% [markdown] exercise candidate_keys topic=database-design level=core minutes=15
# ## Exercise: Which columns are the key?
#
# A customer sends a sheet of ten columns and the rules that hold in it. Before anything is split you need the keys.
#
# * `closure(attributes, dependencies)` returns as a frozenset all that the attributes determine: the attributes
#   themselves and whatever follows from them by the dependencies (pairs of frozensets, as `rules` reads them), in any
#   number of steps. A dependency with an **empty** left side says that its right side is constant: it always applies.
# * `candidate_keys(relation, dependencies)` returns **all** candidate keys of a table with the columns `relation`, as
#   frozensets: the smaller first, those of equal size in the order of their sorted names. Dependencies name no other
#   columns. There are at most ten columns, so trying sets is allowed.
#
# ```python
# >>> sorted(closure({"room"}, RULES)), sorted(closure({"email"}, RULES))
# (['floor', 'room'], ['email', 'fee', 'member', 'plan'])
# >>> [sorted(key) for key in candidate_keys(COLUMNS, RULES)]
# [['booking', 'guest']]
# >>> [sorted(key) for key in candidate_keys("abc", rules("a b -> c; c -> a"))]
# [['a', 'b'], ['b', 'c']]
# >>> candidate_keys({"currency"}, [(frozenset(), frozenset({"currency"}))])
# [frozenset()]
# ```


# %% solution candidate_keys
def closure(attributes: Collection[str], dependencies: Collection[Dependency]) -> frozenset[str]:
    """Return all that the attributes determine."""
    # BEGIN SOLUTION
    reached = frozenset(attributes)
    while True:
        larger = reached.union(*(right for left, right in dependencies if left <= reached))
        if larger == reached:
            return reached
        reached = larger
    # END SOLUTION


def candidate_keys(relation: Collection[str], dependencies: Collection[Dependency]) -> list[frozenset[str]]:
    """Return the candidate keys, the smaller first."""
    # BEGIN SOLUTION
    keys: list[frozenset[str]] = []
    for size in range(len(relation) + 1):
        for names in itertools.combinations(sorted(relation), size):
            has_key = any(key.issubset(names) for key in keys)
            if not has_key and closure(names, dependencies).issuperset(relation):
                keys.append(frozenset(names))
    return keys
    # END SOLUTION


# %% check candidate_keys points=2
def test_the_closure_takes_any_number_of_steps() -> None:
    chain = rules("c -> d; b -> c; a -> b")
    assert closure({"a"}, chain) == set("abcd"), "the rules stand in the wrong order: one pass over them isn't enough"
    assert closure({"c"}, chain) == set("cd"), "and nothing follows backwards"


def test_the_sheet_has_one_key_of_two_columns() -> None:
    assert candidate_keys(COLUMNS, RULES) == [frozenset({"booking", "guest"})], "a line for each guest of a booking"


def test_finds_all_keys() -> None:
    found = candidate_keys("abc", rules("a b -> c; c -> a"))
    assert found == [frozenset("ab"), frozenset("bc")], "c may stand for a; a key needn't be a rule's left side"


# %% hidden candidate_keys points=3
def test_a_rule_applies_only_with_its_whole_left_side() -> None:
    assert closure({"a"}, rules("a b -> c")) == {"a"}, "b is missing"
    assert closure("ab", rules("a b -> c")) == set("abc"), "here it isn't"


def test_the_closure_of_nothing_is_what_is_constant() -> None:
    constant = [(frozenset[str](), frozenset({"currency"})), *rules("currency -> symbol; a -> b")]
    assert closure((), constant) == {"currency", "symbol"}, "an empty left side always applies"
    assert closure((), rules("a -> b")) == frozenset(), "nothing follows from nothing else"


def test_without_rules_all_columns_together_are_the_key() -> None:
    assert candidate_keys(["b", "a"], []) == [frozenset("ab")], "rows are different as wholes"


def test_no_key_contains_another() -> None:
    assert candidate_keys("abc", rules("a -> b; b -> c")) == [frozenset("a")], "{a, b} is a superkey, not a candidate"


def test_keys_of_different_size_are_all_found() -> None:
    found = candidate_keys("abcd", rules("a -> b c d; b c -> a"))
    assert found == [frozenset("a"), frozenset("bc")], "minimal means that no part will do, not that it is the shortest"


def test_keys_of_equal_size_are_in_order_of_their_names() -> None:
    found = candidate_keys(["z", "k", "b"], rules("z -> k; k -> b; b -> z"))
    assert found == [frozenset("b"), frozenset("k"), frozenset("z")], "by names, whatever the order of the columns"


def test_a_table_of_constants_has_the_empty_key() -> None:
    assert candidate_keys("ab", [(frozenset(), frozenset("ab"))]) == [frozenset()], "it can have one row only"


def test_what_is_handed_in_stays_as_it_was() -> None:
    attributes, dependencies = {"a"}, rules("a -> b")
    closure(attributes, dependencies)
    assert (attributes, dependencies) == ({"a"}, rules("a -> b")), "the caller goes on with them"


# %% wrong candidate_keys fails=test_the_closure_takes_any_number_of_steps
# "Apply each rule once": right only if the rules happen to stand in the order in which they are needed.
def closure(attributes: Collection[str], dependencies: Collection[Dependency]) -> frozenset[str]:
    """Return all that the attributes determine."""
    reached = frozenset(attributes)
    for left, right in dependencies:
        if left <= reached:
            reached |= right
    return reached


def candidate_keys(relation: Collection[str], dependencies: Collection[Dependency]) -> list[frozenset[str]]:
    """Return the candidate keys, the smaller first."""
    keys: list[frozenset[str]] = []
    for size in range(len(relation) + 1):
        for names in itertools.combinations(sorted(relation), size):
            if not any(key.issubset(names) for key in keys) and closure(names, dependencies).issuperset(relation):
                keys.append(frozenset(names))
    return keys


# %% wrong candidate_keys fails=test_keys_of_different_size_are_all_found
# "The candidate keys are the shortest ones": a key of two columns is minimal beside one of one column.
def closure(attributes: Collection[str], dependencies: Collection[Dependency]) -> frozenset[str]:
    """Return all that the attributes determine."""
    reached = frozenset(attributes)
    while not all(right <= reached for left, right in dependencies if left <= reached):
        reached = reached.union(*(right for left, right in dependencies if left <= reached))
    return reached


def candidate_keys(relation: Collection[str], dependencies: Collection[Dependency]) -> list[frozenset[str]]:
    """Return the candidate keys, the smaller first."""
    for size in range(len(relation) + 1):
        sets = map(frozenset, itertools.combinations(sorted(relation), size))
        keys = [names for names in sets if closure(names, dependencies).issuperset(relation)]
        if keys:
            return keys
    return []


# %% wrong candidate_keys fails=test_finds_all_keys
# "A key is a left side that determines everything": keys are often put together from several sides.
def closure(attributes: Collection[str], dependencies: Collection[Dependency]) -> frozenset[str]:
    """Return all that the attributes determine."""
    reached = frozenset(attributes)
    while not all(right <= reached for left, right in dependencies if left <= reached):
        reached = reached.union(*(right for left, right in dependencies if left <= reached))
    return reached


def candidate_keys(relation: Collection[str], dependencies: Collection[Dependency]) -> list[frozenset[str]]:
    """Return the candidate keys, the smaller first."""
    lefts = {left for left, _ in dependencies if closure(left, dependencies).issuperset(relation)}
    return sorted(lefts, key=lambda left: (len(left), sorted(left))) or [frozenset(relation)]


# %% right candidate_keys
def closure(attributes: Collection[str], dependencies: Collection[Dependency]) -> frozenset[str]:
    """Return all that the attributes determine."""
    reached = set(attributes)
    grown = True
    while grown:
        grown = False
        for left, right in dependencies:
            if left <= reached and not right <= reached:
                reached |= right
                grown = True
    return frozenset(reached)


def candidate_keys(relation: Collection[str], dependencies: Collection[Dependency]) -> list[frozenset[str]]:
    """Return the candidate keys, the smaller first: Lucchesi and Osborn's way, from each key to its neighbours."""

    def minimal(names: frozenset[str]) -> frozenset[str]:
        for name in sorted(names):
            if closure(names - {name}, dependencies).issuperset(relation):
                names -= {name}
        return names

    keys = [minimal(frozenset(relation))]
    for key in keys:  # grows on the way
        for left, right in dependencies:
            candidate = left | (key - right)
            if not any(known <= candidate for known in keys):
                keys.append(minimal(candidate))
    return sorted(keys, key=lambda names: (len(names), sorted(names)))


# %% [markdown] waive candidate_keys
# - `for size in range(len(relation) + 1):` → `for size in range(len(relation) + 2):`: no set of columns is larger
# - `for size in range(len(relation) + 1):` → `for size in range(len(relation) + 1 + 1):`: no set of columns is larger

# %% [markdown] hint candidate_keys
# Closure: add the right side of every rule whose left side you have, again and again, until nothing is added.

# %% [markdown] hint candidate_keys
# Keys: go through the sets of columns by size, from the empty one to all. A set that contains a key already found is
# no candidate; of the others, one whose closure is everything is a key.

# %% [markdown] hint candidate_keys
# `itertools.combinations(sorted(relation), size)` for `size in range(len(relation) + 1)` gives the order for free. Keep
# a set if `not any(key.issubset(names) for key in keys)` and `closure(names, dependencies).issuperset(relation)`.

# %% [markdown] after candidate_keys
# **Why.** Everything in normalization is a question to the closure: a key, an implied rule (*does X → y follow? Is y
# in X⁺?*), a broken normal form. It costs a pass for each step at most; with counters for each rule it is linear.
#
# Trying all sets costs 2ⁿ closures. Columns on no right side are in *every* key, which often settles it; Lucchesi and
# Osborn's algorithm (the other right answer) costs a polynomial for each key that exists. There can be exponentially
# many keys, so no algorithm is always quick.
#
# **The interviewer goes on**: *Natural or surrogate key? (A surrogate as the primary key, since e-mail addresses
# change and keys are copied into every reference; and the natural one stays as a `UNIQUE` constraint, or duplicates
# come in.) `bigint` or UUID? (Random UUIDs scatter the insertions over the whole index; version 7, `uuidv7()` in
# PostgreSQL 18, begins with the time.)*

# %% [markdown]
# ## From keys to BCNF
#
# The algorithm fits in one sentence: while some X in a table determines more than itself but not the whole table,
# replace the table by X⁺ (within it) and by X together with the rest. Two traps are in it. The rules of a *part* are
# all that **follow** for its columns, not only those that were written down: from *a → b* and *b → c*, the part (a, c)
# inherits *a → c*. And what both parts share must be X, whole.
#
# BCNF has a price that 3NF hasn't: it may scatter a rule over two tables. Tickets have one agent for each area, and an
# agent works in one area: *ticket, area → agent* and *agent → area*. The candidate keys are (ticket, area) and
# (ticket, agent), everything is prime, so it is in 3NF; but an agent's area stands in every line. BCNF makes (agent,
# area) and (ticket, agent), and now no key says any more that a ticket has one agent in an area: you would need a
# trigger. Choose knowingly: BCNF where the repeated fact is what changes, 3NF where the scattered rule matters more.
# (4NF splits independent lists, as a person's languages and a person's phones. What is meant by "normalised" at work
# is nearly always 3NF or BCNF, and the tables are the same.)

# %% [markdown] exercise bcnf_split topic=database-design level=senior minutes=15
# ## Exercise: Split until every determinant is a key
#
# `to_bcnf(relation, dependencies)` returns a list of frozensets of columns, in any order: tables that hold what
# `relation` held.
#
# * Each is in BCNF under **all** dependencies that follow for its columns: any set of its columns which determines
#   another one of them determines all of them.
# * Together they are **lossless**: joining them gives back the rows, and no others. All columns are there, and no
#   table is contained in another.
# * A relation that is in BCNF comes back whole, as the only table.
#
# Several results may be right; each is accepted. Left sides aren't empty here, there are at most nine columns, and
# dependencies name no others. You may use your `closure`.
#
# ```python
# >>> sorted(map(sorted, to_bcnf({"ticket", "area", "agent"}, rules("ticket area -> agent; agent -> area"))))
# [['agent', 'area'], ['agent', 'ticket']]
# >>> to_bcnf({"member", "email"}, rules("member -> email; email -> member")) == [{"member", "email"}]
# True
# ```


# %% solution bcnf_split
def to_bcnf(relation: AbstractSet[str], dependencies: Collection[Dependency]) -> list[frozenset[str]]:
    """Return the columns of tables in BCNF, without loss."""
    # BEGIN SOLUTION
    for size in range(1, len(relation)):
        for names in itertools.combinations(sorted(relation), size):
            left = frozenset(names)
            reached = closure(left, dependencies) & relation
            if left < reached < relation:
                rest = left | (relation - reached)
                return to_bcnf(reached, dependencies) + to_bcnf(rest, dependencies)
    return [frozenset(relation)]
    # END SOLUTION


# %% check bcnf_split points=2
def test_an_agents_area_gets_a_table_of_its_own() -> None:
    found = to_bcnf({"ticket", "area", "agent"}, rules("ticket area -> agent; agent -> area"))
    assert {frozenset(t) for t in found} == {frozenset({"agent", "area"}), frozenset({"agent", "ticket"})}, (
        "agent determines the area and is no key; that area is prime excuses it in 3NF only"
    )


def test_what_is_in_bcnf_stays_whole() -> None:
    two_keys = rules("member -> email name; email -> member")
    assert to_bcnf({"member", "email", "name"}, two_keys) == [{"member", "email", "name"}], "both sides are keys"
    assert to_bcnf({"a", "b", "c"}, []) == [{"a", "b", "c"}], "no rules, nothing to split"


# %% hidden bcnf_split points=4
def determined(names: AbstractSet[str], dependencies: Collection[Dependency]) -> frozenset[str]:
    reached = frozenset(names)
    for _ in range(len(dependencies)):
        reached = reached.union(*(right for left, right in dependencies if left <= reached))
    return reached


def subsets(names: AbstractSet[str]) -> Iterator[frozenset[str]]:
    for size in range(1, len(names) + 1):
        yield from map(frozenset, itertools.combinations(sorted(names), size))


def offences(table: AbstractSet[str], dependencies: Collection[Dependency]) -> list[tuple[list[str], list[str]]]:
    reach = {left: determined(left, dependencies) & table for left in subsets(table)}
    return [(sorted(left), sorted(right - left)) for left, right in reach.items() if left < right < table]


def lossless(tables: Collection[AbstractSet[str]], dependencies: Collection[Dependency]) -> bool:
    """Chase: a row that the join gives, pieced together from a row for each table, must be one of these rows."""
    columns = sorted(frozenset[str]().union(*tables))
    rows = [{c: "it" if c in table else f"{number}" for c in columns} for number, table in enumerate(tables)]
    changed = True
    while changed:
        changed = False
        for left, right in dependencies:
            for one, other in itertools.permutations(rows, 2):
                if all(one[c] == other[c] for c in left):
                    for c in right:
                        if one[c] != other[c]:
                            old, new = sorted((one[c], other[c]), key=lambda value: value != "it")[::-1]
                            for row in rows:
                                row[c] = new if row[c] == old else row[c]
                            changed = True
    return any(set(row.values()) == {"it"} for row in rows)


def assert_good(relation: AbstractSet[str], dependencies: Collection[Dependency]) -> list[frozenset[str]]:
    tables = to_bcnf(relation, dependencies)
    called = f"to_bcnf({sorted(relation)}, {[(sorted(a), sorted(b)) for a, b in dependencies]}) = {tables}"
    assert frozenset().union(*tables) == relation, f"{called}: columns are lost or invented"
    assert {tuple(table): offences(table, dependencies) for table in tables if offences(table, dependencies)} == {}, (
        f"{called}: these aren't in BCNF"
    )
    assert lossless(tables, dependencies), f"{called}: the join of these invents rows"
    contained = [(a, b) for a, b in itertools.permutations(tables, 2) if a <= b]
    assert contained == [], f"{called}: a table within another one"
    return tables


def test_the_sheet_is_split_well() -> None:
    assert_good(frozenset(COLUMNS), RULES)


def test_implied_dependencies_count() -> None:
    assert_good(frozenset("abcd"), rules("a -> b; b -> c"))
    assert_good(frozenset("abcde"), rules("a b -> c; c -> d; d e -> b"))


def test_the_left_side_stays_behind() -> None:
    assert_good({"room", "floor", "booking"}, rules("room -> floor"))


def test_left_sides_of_several_columns_are_seen() -> None:
    tables = assert_good(frozenset("abcd"), rules("a b -> c"))
    assert set(tables) == {frozenset("abc"), frozenset("abd")}, "a and b together determine c"


def test_two_columns_are_always_in_bcnf() -> None:
    assert to_bcnf({"plan", "fee"}, rules("plan -> fee")) == [{"plan", "fee"}], "what determines anything is the key"


def test_any_relation_is_split_well() -> None:
    rng = random.Random(7)
    for _ in range(25):
        columns = frozenset("abcdef"[: rng.randint(2, 6)])
        dependencies = [
            (frozenset(rng.sample(sorted(columns), rng.randint(1, 2))), frozenset(rng.sample(sorted(columns), 1)))
            for _ in range(rng.randint(1, 4))
        ]
        assert_good(columns, dependencies)


# %% wrong bcnf_split fails=test_implied_dependencies_count
# "A part has the rules that stand within it": b is gone from it, and a -> c, which followed through b, still holds.
def to_bcnf(relation: AbstractSet[str], dependencies: Collection[Dependency]) -> list[frozenset[str]]:
    """Return the columns of tables in BCNF, without loss."""
    own = [(left, right) for left, right in dependencies if left | right <= relation]
    for left, right in sorted(own, key=lambda rule: sorted(rule[0] | rule[1])):
        if not right <= left and not closure(left, own) >= relation:
            return to_bcnf(left | right, own) + to_bcnf(relation - (right - left), own)
    return [frozenset(relation)]


# %% wrong bcnf_split fails=test_the_left_side_stays_behind
# "Each column in one place": without the left side in both tables nothing can be joined.
def to_bcnf(relation: AbstractSet[str], dependencies: Collection[Dependency]) -> list[frozenset[str]]:
    """Return the columns of tables in BCNF, without loss."""
    for size in range(1, len(relation)):
        for names in itertools.combinations(sorted(relation), size):
            left = frozenset(names)
            reached = closure(left, dependencies) & relation
            if left < reached < relation:
                return to_bcnf(reached, dependencies) + to_bcnf(relation - reached, dependencies)
    return [frozenset(relation)]


# %% wrong bcnf_split fails=test_an_agents_area_gets_a_table_of_its_own
# "A prime column may depend on anything": that is 3NF, and an agent's area stands in every line.
def to_bcnf(relation: AbstractSet[str], dependencies: Collection[Dependency]) -> list[frozenset[str]]:
    """Return the columns of tables in BCNF, without loss."""
    prime: frozenset[str] = frozenset().union(*candidate_keys(relation, dependencies))
    for size in range(1, len(relation)):
        for names in itertools.combinations(sorted(relation), size):
            left = frozenset(names)
            reached = closure(left, dependencies) & relation
            if reached - left - prime and reached < relation:
                return to_bcnf(reached, dependencies) + to_bcnf(left | (relation - reached), dependencies)
    return [frozenset(relation)]


# %% right bcnf_split
def to_bcnf(relation: AbstractSet[str], dependencies: Collection[Dependency]) -> list[frozenset[str]]:
    """Return the columns of tables in BCNF, without loss."""
    done: list[frozenset[str]] = []
    pending = [frozenset(relation)]
    while pending:
        table = pending.pop()
        sets = [frozenset(n) for size in range(1, len(table)) for n in itertools.combinations(sorted(table), size)]
        reach = {names: closure(names, dependencies) & table for names in sets}
        offenders = [names for names in sets if names < reach[names] < table]
        if offenders:
            left = min(offenders, key=len)
            pending += [reach[left], left | (table - reach[left])]
        else:
            done.append(table)
    return done


# %% [markdown] waive bcnf_split
# - `for size in range(1, len(relation)):` → `for size in range(1, len(relation) + 1):`: all columns reach no others
# - `for size in range(1, len(relation)):` → `for size in range(1, len(relation) - 1):`: all but one reach none, or all

# %% [markdown] hint bcnf_split
# Look for a set of columns of the table whose closure, cut down to the table, is larger than the set and smaller than
# the table. That is the only question.

# %% [markdown] hint bcnf_split
# Try the sets by size from one column up. With the first offender X: two tables, X⁺ ∩ table, and X ∪ (table − X⁺).
# Each is split further in the same way.

# %% [markdown] hint bcnf_split
# `reached = closure(left, dependencies) & relation`, and `if left < reached < relation:` return `to_bcnf(reached, …) +
# to_bcnf(left | (relation - reached), …)`. After the loop: `[frozenset(relation)]`.

# %% [markdown] after bcnf_split
# **Why.** `left < reached < relation` is the definition of an offence. Lossless, because the two parts share exactly
# X, and X is a key of the first. It ends, because each part has fewer columns. Asking the closure over the *original*
# rules and cutting it down afterwards is what finds the implied ones.
#
# **What it costs.** 2ⁿ closures for a table of n columns; deciding whether a part is in BCNF is hard in general.
# 3NF synthesis (a table for each rule of a minimal cover, and one for a key) is polynomial and keeps every rule.
#
# **The interviewer goes on**: *When do you denormalise? (After measuring a read that joins can't serve; then with one
# owner of the copy: a generated column, a trigger, a materialised view, and a job that compares.) Is the price in an
# order line redundant with the product's price? (No: it is the price of that day, another fact. Normal forms are
# about rules, and order → price of that time isn't product → price.)*

# %% [markdown]
# ## Constraints: let the database refuse what can't be true
#
# A check in the application holds for that version of it, for one request at a time, and until somebody opens a
# console. Two requests that each look first and then insert both see nothing. A **constraint** holds for every writer
# and under concurrency, for old rows as well, and the planner may rely on it.
#
# | constraint | says | know |
# | --- | --- | --- |
# | `NOT NULL` | there is a value | what you want on nearly every column |
# | `CHECK` | a condition on one row | **passes when it is NULL**: `seats > 0` lets a missing number by |
# | `UNIQUE` | no two rows agree | NULLs differ from each other, unless `NULLS NOT DISTINCT` |
# | unique index | the same, on expressions and on a part of the rows | `(lower(email)) WHERE left_on IS NULL` |
# | `FOREIGN KEY` | the row exists there | `RESTRICT`, `CASCADE`, `SET NULL`; **makes no index** on the referring side |
# | `EXCLUDE` | no two rows for which all operators hold | overlapping times; a GiST index does the work |
# | trigger | anything | races, unless it locks; the last resort |
#
# A condition across rows or tables isn't a `CHECK`: a function that looks elsewhere is allowed by the parser, isn't
# asked again when the other row changes, and may fail when a dump is restored.
#
# An exclusion that compares a number for equality and a range for overlap needs GiST to know numbers: the extension
# `btree_gist` teaches it (`room_id WITH =`), and with it PostgreSQL 18 also writes the rule as a key: `UNIQUE (room_id,
# during WITHOUT OVERLAPS)`, for all rows, as a key takes no `WHERE`. The server of this lesson comes without
# extensions, so a room is written as a range of one number, which GiST knows: `int8range(room_id, room_id, '[]') WITH
# =` (of `bigint`, since the end is stored as the next number, and the largest `int` has none). The mechanism is the
# same.


# %%
def coworking(connection: Connection) -> None:
    """Make the tables as they were found: hardly a constraint."""
    connection.execute(
        """
        CREATE TABLE members (id int PRIMARY KEY, email text, joined_on date, left_on date);
        CREATE TABLE rooms (id int PRIMARY KEY, name text, seats int);
        CREATE TABLE bookings (id int PRIMARY KEY, room_id int, member_id int, during tstzrange, cancelled boolean);
        CREATE TABLE guests (booking_id int, email text);
        """
    )


CHECKS = {"seats > 0": "seats > 0", "at most 8 hours": "upper(during) - lower(during) <= '8 hours'"}
TRIED = ["5, '[2026-03-02 09:00, 2026-03-02 10:00)'", "NULL, 'empty'", "0, '[2026-03-02 09:00,)'"]
print(f"{'seats, during':42}" + "".join(f"{title:>22}" for title in CHECKS))
with services.postgres(template=coworking) as database, database.connect() as connection:
    for values in TRIED:
        verdicts = []
        for check in CHECKS.values():
            told = connection.execute(
                f"SELECT {check} FROM (SELECT {values.replace(', ', '::int, ', 1)}::tstzrange) AS row (seats, during)"
            ).fetchone()
            assert told is not None
            verdicts.append({True: "passes", False: "is refused", None: "passes (it is NULL)"}[told[0]])
        print(f"{values:42}" + "".join(f"{verdict:>22}" for verdict in verdicts))

# %% [markdown]
# Three of the passes are wrong: no number, an empty time, a time without end. Ask of every `CHECK` what it says about
# NULL, and write `(…) IS TRUE` where "unknown" isn't good enough.

# %% [markdown] exercise booking_rules topic=database-design level=senior minutes=20
# ## Exercise: Bad rows stay outside
#
# The application checks everything, and still the house has double bookings, rooms with -1 seats and a booking that
# has lasted since March. The tables are those of `coworking` above, empty. `booking_rules()` returns a list of
# statements that are run in order, after which the database refuses, by constraints and indexes (no triggers), with an
# integrity error:
#
# * a NULL in **any column** but `members.left_on`. An `INSERT` that doesn't name `cancelled` makes it false;
# * a room whose name another one has; fewer than 1 or more than 200 seats;
# * two members with one e-mail address, whatever the case of its letters, who **both haven't left** (`left_on` is
#   NULL); a member who leaves before joining (on the same day is allowed);
# * a booking of a room or by a member who doesn't exist; deleting a room or a member with bookings;
# * a booking that lasts less than 15 minutes or more than 8 hours (both are allowed), is empty, or has no end or no
#   beginning;
# * two bookings of a room that overlap, **unless** one of them is cancelled. Ranges are written as `[start, end)`, so
#   that one may begin when another ends;
# * a guest (the same text) who is twice in one booking, or in a booking that doesn't exist. The guests go when their
#   booking is deleted.
#
# Everything else goes in. And each of the two columns with which a booking refers has an index that begins with it and
# holds all rows, so that deleting a member doesn't read all bookings.
#
# ```python
# >>> verdict(booking_rules(), "INSERT INTO rooms VALUES (3, 'Fir', 8)")
# 'INSERT 0 1'
# >>> verdict(booking_rules(), "INSERT INTO rooms VALUES (3, 'Fir', 0)")
# 'CheckViolation'
# >>> verdict(booking_rules(), "INSERT INTO rooms VALUES (3, 'Fir', NULL)")
# 'NotNullViolation'
# >>> verdict(booking_rules(), "INSERT INTO bookings VALUES (1, 9, 1, '[2026-03-02 09:00, 2026-03-02 10:00)')")
# 'ForeignKeyViolation'
# ```


# %%
@contextlib.contextmanager
def guarded(statements: Sequence[str]) -> Iterator[Connection]:
    """Lend a connection to the tables after some statements, with two members and two rooms."""
    with services.postgres(template=coworking) as database, database.connect(autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())
        connection.execute("INSERT INTO members VALUES (1, 'kim@a.example', '2026-01-01'), (2, 'Lee@b.example', now())")
        connection.execute("INSERT INTO rooms VALUES (1, 'Oak', 1), (2, 'Elm', 200)")
        yield connection


def refused(connection: Connection, statement: str) -> bool:
    """Return whether the database refuses a statement as one that breaks its rules."""
    try:
        connection.execute(statement.encode())
    except psycopg.IntegrityError:
        return True
    return False


def book(number: int, start: str, end: str, room: int = 1, cancelled: str = "false") -> str:
    """Return the statement that books a room on a day in March."""
    during = f"[2026-03-02 {start}+00, 2026-03-02 {end}+00)"
    return f"INSERT INTO bookings VALUES ({number}, {room}, 1, '{during}', {cancelled})"


def verdict(added: Sequence[str], statement: str) -> str:
    """Return how the database with some rules answers a statement: what it did, or the name of the error."""
    with guarded(added) as connection:
        try:
            return f"{connection.execute(statement.encode()).statusmessage}"
        except psycopg.Error as error:
            return type(error).__name__


# %% solution booking_rules
def booking_rules() -> list[str]:
    """Return the statements that add the rules to the tables."""
    # BEGIN SOLUTION
    return [
        """
        ALTER TABLE rooms
            ALTER name SET NOT NULL,
            ALTER seats SET NOT NULL,
            ADD UNIQUE (name),
            ADD CHECK (seats BETWEEN 1 AND 200)
        """,
        """
        ALTER TABLE members
            ALTER email SET NOT NULL,
            ALTER joined_on SET NOT NULL,
            ADD CHECK (left_on >= joined_on)
        """,
        "CREATE UNIQUE INDEX ON members (lower(email)) WHERE left_on IS NULL",
        """
        ALTER TABLE bookings
            ALTER room_id SET NOT NULL,
            ALTER member_id SET NOT NULL,
            ALTER during SET NOT NULL,
            ALTER cancelled SET NOT NULL,
            ALTER cancelled SET DEFAULT false,
            ADD FOREIGN KEY (room_id) REFERENCES rooms,
            ADD FOREIGN KEY (member_id) REFERENCES members,
            ADD CHECK ((upper(during) - lower(during) BETWEEN '15 minutes' AND '8 hours') IS TRUE),
            ADD EXCLUDE USING gist (int8range(room_id, room_id, '[]') WITH =, during WITH &&) WHERE (NOT cancelled)
        """,
        "CREATE INDEX ON bookings (room_id)",
        "CREATE INDEX ON bookings (member_id)",
        """
        ALTER TABLE guests
            ADD PRIMARY KEY (booking_id, email),
            ADD FOREIGN KEY (booking_id) REFERENCES bookings ON DELETE CASCADE
        """,
    ]
    # END SOLUTION


# %% check booking_rules points=2
def test_a_room_isnt_booked_twice_at_a_time() -> None:
    with guarded(booking_rules()) as connection:
        assert not refused(connection, book(1, "09:00", "11:00")), "the first"
        assert refused(connection, book(2, "10:00", "12:00")), "the room is taken from 9 to 11"
        assert not refused(connection, book(3, "11:00", "12:00")), "one may begin when the other ends"
        assert not refused(connection, book(4, "10:00", "12:00", room=2)), "another room is free"
        connection.execute(f"INSERT INTO rooms VALUES ({2**31 - 1}, 'Ash', 5)".encode())
        assert not refused(connection, book(5, "09:00", "11:00", room=2**31 - 1)), "the largest int is a number too"


def test_rooms_have_a_name_of_their_own_and_seats() -> None:
    with guarded(booking_rules()) as connection:
        bad = ["'Fir', 0", "'Fir', 201", "'Fir', NULL", "NULL, 5", "'Oak', 5"]
        let_in = [row for row in bad if not refused(connection, f"INSERT INTO rooms VALUES (9, {row})")]
        assert let_in == [], f"rooms got in that have no name, a taken one, or other than 1 to 200 seats: {let_in}"
        assert not refused(connection, "INSERT INTO rooms VALUES (9, 'Fir', 5)"), "nothing is wrong with this one"


# %% hidden booking_rules points=4
def test_a_cancelled_booking_is_in_nobodys_way() -> None:
    with guarded(booking_rules()) as connection:
        assert not refused(connection, book(1, "09:00", "11:00", cancelled="true")), "cancelled"
        assert not refused(connection, book(2, "09:00", "11:00")), "so the room is free"
        assert not refused(connection, book(3, "09:00", "11:00", cancelled="true")), "and this one takes nothing"
        assert refused(connection, "UPDATE bookings SET cancelled = false WHERE id = 1"), "now it is taken"


def test_a_booking_lasts_from_fifteen_minutes_to_eight_hours() -> None:
    with guarded(booking_rules()) as connection:
        assert refused(connection, book(1, "09:00", "09:14")), "14 minutes"
        assert refused(connection, book(2, "09:00", "17:01")), "a minute too long"
        assert not refused(connection, book(3, "09:00", "09:15")), "15 minutes"
        assert not refused(connection, book(4, "10:00", "18:00")), "8 hours"


@pytest.mark.parametrize("during", ["'[2026-03-02 09:00,)'", "'(,2026-03-02 09:00)'", "'(,)'", "'empty'", "NULL"])
def test_a_booking_has_a_beginning_and_an_end(during: str) -> None:
    with guarded(booking_rules()) as connection:
        assert refused(connection, f"INSERT INTO bookings VALUES (1, 1, 1, {during})"), (
            f"{during}: its length is NULL, and a CHECK that is NULL passes"
        )


def test_a_booking_says_who_and_where_and_whether_it_is_cancelled() -> None:
    time_ = "'[2026-03-02 09:00+00, 2026-03-02 10:00+00)'"
    with guarded(booking_rules()) as connection:
        bad = [f"NULL, 1, {time_}, false", f"1, NULL, {time_}, false", f"1, 1, {time_}, NULL"]
        bad += [f"7, 1, {time_}, false", f"1, 7, {time_}, false"]
        let_in = [row for row in bad if not refused(connection, f"INSERT INTO bookings VALUES (1, {row})")]
        assert let_in == [], "room and member exist, and each column has a value"
        connection.execute(f"INSERT INTO bookings VALUES (1, 1, 1, {time_})".encode())
        assert connection.execute("SELECT cancelled FROM bookings").fetchone() == (False,), "what isn't said is false"


def test_what_is_booked_stays() -> None:
    with guarded(booking_rules()) as connection:
        connection.execute(book(1, "09:00", "10:00").encode())
        assert refused(connection, "DELETE FROM rooms WHERE id = 1"), "a booking without its room says nothing"
        assert refused(connection, "DELETE FROM members WHERE id = 1"), "nor does one without its member"
        assert not refused(connection, "DELETE FROM rooms WHERE id = 2"), "nobody has booked it"


def test_an_address_belongs_to_one_present_member() -> None:
    with guarded(booking_rules()) as connection:
        assert refused(connection, "INSERT INTO members VALUES (3, 'LEE@B.example', '2026-01-01')"), "case is no matter"
        assert not refused(connection, "INSERT INTO members VALUES (3, 'lee@b.example', '2025-01-01', '2025-06-01')")
        assert not refused(connection, "INSERT INTO members VALUES (4, 'lee@b.example', '2025-01-01', '2025-07-01')"), (
            "people leave more than once"
        )
        assert refused(connection, "UPDATE members SET left_on = NULL WHERE id = 3"), "back, with a taken address"


def test_members_join_before_they_leave() -> None:
    with guarded(booking_rules()) as connection:
        assert refused(connection, "UPDATE members SET left_on = '2025-12-31' WHERE id = 1"), "the day before joining"
        assert not refused(connection, "UPDATE members SET left_on = '2026-01-01' WHERE id = 1"), "the same day"
        assert refused(connection, "INSERT INTO members VALUES (5, NULL, '2026-01-01')"), "no address"
        assert refused(connection, "INSERT INTO members VALUES (5, 'ann@c.example', NULL)"), "no day"


def test_a_guest_comes_once_to_a_booking_and_goes_with_it() -> None:
    with guarded(booking_rules()) as connection:
        connection.execute(book(1, "09:00", "10:00").encode())
        connection.execute(book(2, "10:00", "11:00").encode())
        assert not refused(connection, "INSERT INTO guests VALUES (1, 'a@x.example'), (1, 'b@x.example')")
        assert not refused(connection, "INSERT INTO guests VALUES (2, 'a@x.example')"), "to another booking too"
        bad = ["1, 'a@x.example'", "7, 'a@x.example'", "1, NULL", "NULL, 'a@x.example'"]
        let_in = [row for row in bad if not refused(connection, f"INSERT INTO guests VALUES ({row})")]
        assert let_in == [], "twice, to no booking, and without a value"
        connection.execute("DELETE FROM bookings WHERE id = 1")
        left = connection.execute("SELECT booking_id FROM guests").fetchall()
        assert left == [(2,)], "the guests of the deleted booking are gone, the others aren't"


def test_both_references_of_a_booking_are_indexed() -> None:
    with guarded(booking_rules()) as connection:
        first = connection.execute(
            """
            SELECT a.attname FROM pg_index i JOIN pg_attribute a ON (a.attrelid, a.attnum) = (i.indrelid, i.indkey[0])
            WHERE i.indrelid = 'bookings'::regclass AND i.indpred IS NULL AND i.indisvalid
            """
        ).fetchall()
        assert {("room_id",), ("member_id",)} <= set(first), "a foreign key makes no index, and deleting looks for them"


def test_no_trigger_does_the_work() -> None:
    with guarded(booking_rules()) as connection:
        made = connection.execute("SELECT tgname FROM pg_trigger WHERE NOT tgisinternal").fetchall()
        assert made == [], "two transactions don't see each other's rows: only constraints and indexes do"


# %% wrong booking_rules fails=test_a_booking_has_a_beginning_and_an_end
# "A CHECK refuses what isn't true": it refuses what is false, and the length of an endless time is NULL.
def booking_rules() -> list[str]:
    """Return the statements that add the rules to the tables."""
    return [
        "ALTER TABLE rooms ALTER name SET NOT NULL, ALTER seats SET NOT NULL, ADD UNIQUE (name)",
        "ALTER TABLE rooms ADD CHECK (seats BETWEEN 1 AND 200)",
        "ALTER TABLE members ALTER email SET NOT NULL, ALTER joined_on SET NOT NULL, ADD CHECK (left_on >= joined_on)",
        "CREATE UNIQUE INDEX ON members (lower(email)) WHERE left_on IS NULL",
        """
        ALTER TABLE bookings
            ALTER room_id SET NOT NULL,
            ALTER member_id SET NOT NULL,
            ALTER during SET NOT NULL,
            ALTER cancelled SET NOT NULL,
            ALTER cancelled SET DEFAULT false,
            ADD FOREIGN KEY (room_id) REFERENCES rooms,
            ADD FOREIGN KEY (member_id) REFERENCES members,
            ADD CHECK (upper(during) - lower(during) >= '15 minutes'),
            ADD CHECK (upper(during) - lower(during) <= '8 hours'),
            ADD EXCLUDE USING gist (int8range(room_id, room_id, '[]') WITH =, during WITH &&) WHERE (NOT cancelled)
        """,
        "CREATE INDEX ON bookings (room_id)",
        "CREATE INDEX ON bookings (member_id)",
        "ALTER TABLE guests ADD PRIMARY KEY (booking_id, email)",
        "ALTER TABLE guests ADD FOREIGN KEY (booking_id) REFERENCES bookings ON DELETE CASCADE",
    ]


# %% wrong booking_rules fails=test_a_room_isnt_booked_twice_at_a_time
# "UNIQUE keeps two bookings apart": only those that begin and end at the same moments.
def booking_rules() -> list[str]:
    """Return the statements that add the rules to the tables."""
    return [
        "ALTER TABLE rooms ALTER name SET NOT NULL, ALTER seats SET NOT NULL, ADD UNIQUE (name)",
        "ALTER TABLE rooms ADD CHECK (seats BETWEEN 1 AND 200)",
        "ALTER TABLE members ALTER email SET NOT NULL, ALTER joined_on SET NOT NULL, ADD CHECK (left_on >= joined_on)",
        "CREATE UNIQUE INDEX ON members (lower(email)) WHERE left_on IS NULL",
        """
        ALTER TABLE bookings
            ALTER room_id SET NOT NULL,
            ALTER member_id SET NOT NULL,
            ALTER during SET NOT NULL,
            ALTER cancelled SET NOT NULL,
            ALTER cancelled SET DEFAULT false,
            ADD FOREIGN KEY (room_id) REFERENCES rooms,
            ADD FOREIGN KEY (member_id) REFERENCES members,
            ADD CHECK ((upper(during) - lower(during) BETWEEN '15 minutes' AND '8 hours') IS TRUE)
        """,
        "CREATE UNIQUE INDEX ON bookings (room_id, during) WHERE NOT cancelled",
        "CREATE INDEX ON bookings (room_id)",
        "CREATE INDEX ON bookings (member_id)",
        "ALTER TABLE guests ADD PRIMARY KEY (booking_id, email)",
        "ALTER TABLE guests ADD FOREIGN KEY (booking_id) REFERENCES bookings ON DELETE CASCADE",
    ]


# %% wrong booking_rules fails=test_both_references_of_a_booking_are_indexed
# "A foreign key comes with an index": the side that is referred to has one; the other hasn't.
def booking_rules() -> list[str]:
    """Return the statements that add the rules to the tables."""
    return [
        "ALTER TABLE rooms ALTER name SET NOT NULL, ALTER seats SET NOT NULL, ADD UNIQUE (name)",
        "ALTER TABLE rooms ADD CHECK (seats BETWEEN 1 AND 200)",
        "ALTER TABLE members ALTER email SET NOT NULL, ALTER joined_on SET NOT NULL, ADD CHECK (left_on >= joined_on)",
        "CREATE UNIQUE INDEX ON members (lower(email)) WHERE left_on IS NULL",
        """
        ALTER TABLE bookings
            ALTER room_id SET NOT NULL,
            ALTER member_id SET NOT NULL,
            ALTER during SET NOT NULL,
            ALTER cancelled SET NOT NULL,
            ALTER cancelled SET DEFAULT false,
            ADD FOREIGN KEY (room_id) REFERENCES rooms,
            ADD FOREIGN KEY (member_id) REFERENCES members,
            ADD CHECK ((upper(during) - lower(during) BETWEEN '15 minutes' AND '8 hours') IS TRUE),
            ADD EXCLUDE USING gist (int8range(room_id, room_id, '[]') WITH =, during WITH &&) WHERE (NOT cancelled)
        """,
        "ALTER TABLE guests ADD PRIMARY KEY (booking_id, email)",
        "ALTER TABLE guests ADD FOREIGN KEY (booking_id) REFERENCES bookings ON DELETE CASCADE",
    ]


# %% right booking_rules
def booking_rules() -> list[str]:
    """Return the statements that add the rules to the tables."""
    needed = {
        "rooms": ["name", "seats"],
        "members": ["email", "joined_on"],
        "bookings": ["room_id", "member_id", "during", "cancelled"],
        "guests": ["booking_id", "email"],
    }
    return [
        *(f"ALTER TABLE {table} ALTER {column} SET NOT NULL" for table in needed for column in needed[table]),
        "CREATE UNIQUE INDEX rooms_name ON rooms (name)",
        "ALTER TABLE rooms ADD CONSTRAINT seats_are_real CHECK (seats >= 1 AND seats <= 200)",
        "ALTER TABLE members ADD CONSTRAINT joins_first CHECK (left_on IS NULL OR joined_on <= left_on)",
        "CREATE UNIQUE INDEX one_present_member ON members (upper(email)) WHERE left_on IS NULL",
        "ALTER TABLE bookings ALTER cancelled SET DEFAULT false",
        "ALTER TABLE bookings ADD FOREIGN KEY (room_id) REFERENCES rooms (id) ON DELETE RESTRICT",
        "ALTER TABLE bookings ADD FOREIGN KEY (member_id) REFERENCES members (id) ON DELETE RESTRICT",
        "ALTER TABLE bookings ADD CHECK (coalesce(upper(during) >= lower(during) + interval '15 minutes', false))",
        "ALTER TABLE bookings ADD CHECK (coalesce(upper(during) <= lower(during) + interval '8 hours', false))",
        """
        ALTER TABLE bookings ADD CONSTRAINT no_double_booking EXCLUDE USING gist
            (int8range(room_id, room_id + 1::bigint) WITH =, (CASE WHEN NOT cancelled THEN during END) WITH &&)
        """,
        "CREATE INDEX ON bookings (room_id, member_id)",
        "CREATE INDEX ON bookings (member_id)",
        "CREATE UNIQUE INDEX ON guests (booking_id, email)",
        "ALTER TABLE guests ADD FOREIGN KEY (booking_id) REFERENCES bookings (id) ON DELETE CASCADE",
    ]


# %% [markdown] hint booking_rules
# Go through the list rule by rule; each has one row in the table above. For each `CHECK` ask what it is for NULL: once
# that is wanted (a member who hasn't left), once it is the bug.

# %% [markdown] hint booking_rules
# The address needs a unique index on an expression with a `WHERE`. The overlap needs `EXCLUDE USING gist (… WITH =,
# during WITH &&) WHERE (NOT cancelled)`. A primary key implies `NOT NULL`.

# %% [markdown] hint booking_rules
# `ADD CHECK ((upper(during) - lower(during) BETWEEN '15 minutes' AND '8 hours') IS TRUE)`, `int8range(room_id,
# room_id, '[]') WITH =`, and for the guests `REFERENCES bookings ON DELETE CASCADE`.

# %% [markdown] after booking_rules
# **Why.** The rule lives where the data lives, holds for the console too, and is safe without a lock of your own: of
# two bookings at the same moment the second waits for the first and is then refused. (An exclusion inserts first and
# looks afterwards, so that two may wait for each other: one of them then ends as a deadlock, and is tried again.) The
# application catches the error by the *name* of the constraint (`error.diag.constraint_name`), so give names to those
# that users meet.
#
# "No more guests than seats" goes across tables. Ways: a trigger that locks the booking; or the number of seats copied
# into the booking with a composite foreign key `(room_id, seats) REFERENCES rooms (id, seats) ON UPDATE CASCADE`, and
# then a plain `CHECK`.
#
# **What it costs.** Each constraint is work for each write: a lookup for a foreign key (with a lock on the row that is
# referred to), an index entry for the others. GiST's are dear: for 20,000 bookings of 64 rooms, inserted at once, the
# exclusion took twenty times as long as a unique B-tree on the same columns.
#
# **The interviewer goes on**: *How do you add one to a live table that breaks it already? (`NOT VALID`: new rows obey,
# old ones are cleaned up, then `VALIDATE`. A unique one: find the duplicates, then `CREATE UNIQUE INDEX CONCURRENTLY`,
# then `ADD CONSTRAINT … USING INDEX`.) Soft deletion? (Every unique rule becomes a partial one, as here, and every
# foreign key points at rows that "aren't there".)*

# %% [markdown]
# ## Indexing: the queries decide
#
# An index is a sorted copy of some columns of some rows, and each word of this is a decision. **Indexing** is a choice
# for a workload: every index takes memory from the table, and slows down every `INSERT` and many an `UPDATE`. An update
# makes a new version of the row. If no indexed column changes (nor one in an index's `WHERE`) and the page has room,
# the indexes needn't know of it (it is *HOT*, heap-only); else it needs an entry in **every** index that it belongs to.
#
# * **Order of a composite index**: columns compared for equality first, then *one* that is sorted by or compared for a
#   range. Entries that satisfy the query then lie side by side.
# * **Covering**: if the index holds all columns of the query, the table isn't visited (*Index Only Scan*, for pages
#   that `VACUUM` has marked all-visible). `INCLUDE` adds columns that are carried but not sorted by.
# * **Partial**: `WHERE` in the index leaves out rows that nobody looks for. The query must imply the condition, in
#   words that the planner can prove: the literal `status = 'open'`, not a parameter of a generic plan.
#
# A support desk with 60,000 tickets, of which 3 % are open:


# %%
def desk(connection: Connection) -> None:
    """Fill the support desk."""
    # Else the log is written a moment after the commit, and VACUUM, which comes next, can't mark the pages yet.
    connection.execute("SET synchronous_commit = on")
    connection.execute(
        """
        CREATE TABLE tickets (
            id int PRIMARY KEY, customer_id int NOT NULL, agent_id int NOT NULL, status text NOT NULL,
            opened_at timestamptz NOT NULL, due_at timestamptz NOT NULL, minutes int NOT NULL, body text NOT NULL
        );
        INSERT INTO tickets
        SELECT i, hashint4(i) & 511, hashint4(i + 7) & 31,
               CASE WHEN (hashint4(i + 9) & 31) = 0 THEN 'open' ELSE 'closed' END,
               timestamptz '2025-01-01' + i * interval '9 minutes',
               timestamptz '2025-01-01' + i * interval '9 minutes' + (hashint4(i + 3) & 7) * interval '12 hours',
               hashint4(i + 5) & 127, repeat('please help ', 8)
        FROM generate_series(1, 60000) AS i
        """
    )


@dataclass(frozen=True)
class Planned:
    """How a query was run: its nodes from top to bottom, its rows, and the bytes of the indexes that were made."""

    nodes: tuple[Mapping[str, Any], ...]
    rows: tuple[tuple[Any, ...], ...]
    bytes: tuple[int, ...]

    @property
    def kinds(self) -> list[str]:
        """The types of its nodes."""
        return [node["Node Type"] for node in self.nodes]

    @property
    def pages(self) -> int:
        """How many pages it asked for."""
        return int(self.nodes[0]["Shared Hit Blocks"] + self.nodes[0]["Shared Read Blocks"])


def below(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield a node of a plan, and all below it."""
    yield node
    for child in node.get("Plans", ()):
        yield from below(child)


@functools.cache
def planned(query: str, *statements: str) -> Planned:
    """Run a query on a copy of the support desk after some statements."""
    with services.postgres(template=desk) as database, database.connect(autocommit=True) as connection:
        connection.execute("SET max_parallel_workers_per_gather = 0")
        for statement in statements:
            connection.execute(statement.encode())
        rows = tuple(connection.execute(query.encode()).fetchall())
        told = connection.execute(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {query}".encode()).fetchall()
        sizes = connection.execute(
            """
            SELECT pg_relation_size(indexrelid) FROM pg_index
            WHERE indrelid = 'tickets'::regclass AND NOT indisprimary
            """
        ).fetchall()
    return Planned(tuple(below(told[0][0][0]["Plan"])), rows, tuple(size for (size,) in sizes))


ASKED = {
    "customer and time": "SELECT count(body) FROM tickets WHERE customer_id = 7 AND opened_at < '2025-01-20'",
    "customer": "SELECT count(body) FROM tickets WHERE customer_id = 7",
    "time alone": "SELECT count(body) FROM tickets WHERE opened_at < '2025-01-02'",
}
INDEXES = {
    "no index": (),
    "(customer_id, opened_at)": ("CREATE INDEX ON tickets (customer_id, opened_at)",),
    "(opened_at, customer_id)": ("CREATE INDEX ON tickets (opened_at, customer_id)",),
    "(agent_id, opened_at)": ("CREATE INDEX ON tickets (agent_id, opened_at)",),
}
print(f"{'pages':26}" + "".join(f"{title:>20}" for title in ASKED))
for title, statements in INDEXES.items():
    print(f"{title:26}" + "".join(f"{planned(query, *statements).pages:>20,}" for query in ASKED.values()))

# %% [markdown]
# The same two columns, and the order decides. The last column shows something new: "an index serves only conditions on
# its leading columns" has been too strict since PostgreSQL 18, whose **skip scan** hops from value to value of a
# leading column for which there is no condition. It pays where these are few, as with 32 agents; for 512 customers it
# comes to the whole index.
#
# ### Query optimization begins in the schema
#
# **Query optimization** is the planner's choice between equivalent plans, by estimated cost. What it may choose depends
# on what it *knows*, and constraints are knowledge. A `LEFT JOIN` to a unique column adds no row and loses none, so
# that it is left out if nothing of it is selected; with the same data and no constraint it is carried out:

# %%
with services.postgres(template=coworking) as database, database.connect() as connection:
    connection.execute("CREATE TABLE floors (room_id int)")
    for joined, column in {"rooms": "id", "floors": "room_id"}.items():
        query = f"SELECT b.id FROM bookings b LEFT JOIN {joined} j ON j.{column} = b.room_id"
        told = connection.execute(f"EXPLAIN (FORMAT JSON) {query}".encode()).fetchall()
        kinds = [node["Node Type"] for node in below(told[0][0][0]["Plan"])]
        print(f"{joined}.{column:8} {'is unique' if joined == 'rooms' else 'has no constraint':18}", " < ".join(kinds))

# %% [markdown]
# Likewise types: a number stored as text sorts 10 before 9, and a day stored as text is cast in each query: `day::date
# >= …`. Of the result the planner knows nothing (it guesses a third of the rows), and the cast can't be indexed either,
# since it depends on a setting, `DateStyle`. Denormalisation comes last: a copy makes one read cheap, and all writes
# dear.

# %% [markdown] exercise ticket_indexes topic=database-design level=senior minutes=15
# ## Exercise: Three queries, two mebibytes and a half
#
# The support desk has a table `tickets` (`desk`, above) with nothing but its primary key, and three queries that run
# all day, for any agent, customer and time: `INBOX`, `OVERDUE` and `HISTORY`, below.
#
# `ticket_indexes()` returns a list of statements that make **at most three** indexes, together no larger than **2.5
# MiB**, with which
#
# * none of the queries reads the table by a sequential scan, or sorts (no node `Sort` or `Incremental Sort`);
# * none reads a row and throws it away: no node has `Rows Removed by Filter` or `Rows Removed by Index Recheck` but 0;
# * the entries for a query lie side by side: `INBOX` and `OVERDUE` ask for at most 30 pages (`Planned.pages`),
#   `HISTORY` for 12, even over ten months;
# * `HISTORY` is answered by an *Index Only Scan* without visits to the table (`Heap Fetches` is 0);
# * inserting a ticket that is closed adds an entry to only one of your indexes: the other ones are for open tickets.
#
# ```python
# >>> print(INBOX)
# SELECT id, opened_at FROM tickets WHERE agent_id = 7 AND status = 'open' ORDER BY opened_at LIMIT 20
# >>> print(OVERDUE)
# SELECT id, due_at FROM tickets WHERE status = 'open' AND due_at < '2025-03-01' ORDER BY due_at LIMIT 20
# >>> planned(INBOX).kinds
# ['Limit', 'Sort', 'Seq Scan']
# >>> planned(INBOX, *ticket_indexes()).pages * 20 < planned(INBOX).pages
# True
# ```

# %%
INBOX = "SELECT id, opened_at FROM tickets WHERE agent_id = 7 AND status = 'open' ORDER BY opened_at LIMIT 20"
OVERDUE = "SELECT id, due_at FROM tickets WHERE status = 'open' AND due_at < '2025-03-01' ORDER BY due_at LIMIT 20"
HISTORY = (
    "SELECT opened_at, minutes FROM tickets "
    "WHERE customer_id = 7 AND opened_at >= '2025-02-01' AND opened_at < '2025-05-01' ORDER BY opened_at"
)


# %% solution ticket_indexes
def ticket_indexes() -> list[str]:
    """Return the statements that make the indexes for the support desk."""
    # BEGIN SOLUTION
    return [
        "CREATE INDEX ON tickets (agent_id, opened_at) WHERE status = 'open'",
        "CREATE INDEX ON tickets (due_at) WHERE status = 'open'",
        "CREATE INDEX ON tickets (customer_id, opened_at) INCLUDE (minutes)",
    ]
    # END SOLUTION


# %%
def with_indexes(query: str) -> Planned:
    """Run a query with the indexes; fail unless it returns what it returned without."""
    now = planned(query, *ticket_indexes())
    assert now.rows == planned(query).rows, "an index changes no result"
    return now


def thrown_away(plan: Planned) -> dict[str, int]:
    """Return how many rows each node read in vain."""
    names = ("Rows Removed by Filter", "Rows Removed by Index Recheck")
    return {node["Node Type"]: node[name] for node in plan.nodes for name in names if node.get(name)}


# %% check ticket_indexes points=2
def test_the_inbox_is_read_in_order() -> None:
    plan = with_indexes(INBOX)
    assert not {"Seq Scan", "Sort", "Incremental Sort"} & set(plan.kinds), f"{plan.kinds}: twenty entries side by side"
    assert thrown_away(plan) == {}, "rows that were read and thrown away"


def test_the_history_does_not_visit_the_table() -> None:
    plan = with_indexes(HISTORY)
    assert plan.kinds == ["Index Only Scan"], "all its columns are in the index, in its order"
    assert plan.nodes[0]["Heap Fetches"] == 0, "and its pages are marked all-visible"


# %% hidden ticket_indexes points=4
def test_the_overdue_tickets_are_read_in_order() -> None:
    plan = with_indexes(OVERDUE)
    assert not {"Seq Scan", "Sort", "Incremental Sort"} & set(plan.kinds), f"{plan.kinds}: due first, read first"
    assert thrown_away(plan) == {}, "rows that were read and thrown away"
    assert plan.pages <= 30, f"{plan.pages} pages: twenty visits to the table, and the way down the index"


def test_a_long_history_throws_nothing_away() -> None:
    plan = with_indexes(HISTORY.replace("= 7", "= 300").replace("2025-05", "2025-12"))
    assert (plan.kinds, thrown_away(plan)) == (["Index Only Scan"], {}), "for any customer and time"
    assert plan.pages <= 12, f"{plan.pages} pages: the entries of a customer don't lie side by side"


def test_at_most_three_indexes_of_two_mebibytes_and_a_half() -> None:
    made = with_indexes(INBOX).bytes
    assert len(made) <= 3, "three were granted"
    assert sum(made) <= 2.5 * 2**20, f"{sum(made):,} bytes: closed tickets, or columns that no query needs"


def test_a_closed_ticket_makes_one_entry() -> None:
    with services.postgres(template=desk) as database, database.connect(autocommit=True) as connection:
        connection.execute(
            """
            TRUNCATE tickets;
            INSERT INTO tickets
            SELECT i, i % 5, i % 5, 'closed', now(), now(), 1, '' FROM generate_series(1, 1000) AS i
            """
        )
        for statement in ticket_indexes():
            connection.execute(statement.encode())
        entries = connection.execute(
            """
            SELECT reltuples::int FROM pg_index JOIN pg_class c ON c.oid = indexrelid
            WHERE indrelid = 'tickets'::regclass AND NOT indisprimary ORDER BY 1
            """
        ).fetchall()
    filled = [count for (count,) in entries if count > 0]
    assert len(filled) == 1, f"{filled} entries of closed tickets: only a history asks for them"


@pytest.mark.parametrize("agent", [0, 19, 31])
def test_other_inboxes_are_as_quick(agent: int) -> None:
    plan = with_indexes(INBOX.replace("= 7", f"= {agent}"))
    assert plan.pages <= 30, f"{plan.pages} pages: twenty visits to the table, and the way down the index"


# %% wrong ticket_indexes fails=test_at_most_three_indexes_of_two_mebibytes_and_a_half
# "Put the status in front": it works, and 58,000 closed tickets that nobody asks for are sorted in three indexes.
def ticket_indexes() -> list[str]:
    """Return the statements that make the indexes for the support desk."""
    return [
        "CREATE INDEX ON tickets (status, agent_id, opened_at)",
        "CREATE INDEX ON tickets (status, due_at)",
        "CREATE INDEX ON tickets (customer_id, opened_at) INCLUDE (minutes)",
    ]


# %% wrong ticket_indexes fails=test_the_inbox_is_read_in_order
# "The order first, for the sort": then the tickets of one agent are scattered among those of 32.
def ticket_indexes() -> list[str]:
    """Return the statements that make the indexes for the support desk."""
    return [
        "CREATE INDEX ON tickets (due_at, agent_id) WHERE status = 'open'",
        "CREATE INDEX ON tickets (customer_id, opened_at) INCLUDE (minutes)",
    ]


# %% wrong ticket_indexes fails=test_the_history_does_not_visit_the_table
# "The columns of the WHERE are indexed": the minutes aren't among them, so every ticket is fetched for one number.
def ticket_indexes() -> list[str]:
    """Return the statements that make the indexes for the support desk."""
    return [
        "CREATE INDEX ON tickets (agent_id, opened_at) WHERE status = 'open'",
        "CREATE INDEX ON tickets (due_at) WHERE status = 'open'",
        "CREATE INDEX ON tickets (customer_id, opened_at)",
    ]


# %% right ticket_indexes
def ticket_indexes() -> list[str]:
    """Return the statements that make the indexes for the support desk."""
    return [
        "CREATE INDEX tickets_inbox ON tickets (agent_id, opened_at) INCLUDE (id) WHERE status = 'open'",
        "CREATE INDEX tickets_due ON tickets (due_at, id) WHERE status = 'open'",
        "CREATE INDEX tickets_history ON tickets (customer_id, opened_at, minutes)",
    ]


# %% [markdown] hint ticket_indexes
# For each query: what is compared for equality, what is the order or range, what else is selected? And which rows
# can't ever be asked for?

# %% [markdown] hint ticket_indexes
# Two queries see open tickets only: partial indexes, whose condition needn't be a column of theirs. The third is for
# all tickets, and one selected column has to come along.

# %% [markdown] hint ticket_indexes
# `(agent_id, opened_at) WHERE status = 'open'`, `(due_at) WHERE …`, and `(customer_id, opened_at) INCLUDE (…)`.

# %% [markdown] after ticket_indexes
# **Why.** Equality, then order: each query is one stretch of one index and stops after twenty entries, or at the end of
# the range. The two partial indexes hold 2,000 entries instead of 60,000 and stay in memory; a ticket that is closed
# falls out of both.
#
# `INCLUDE (minutes)` or a third key column? Alike here. `INCLUDE` keeps a unique index unique on its keys, takes types
# without an order, and leaves the column out of the upper levels. Its price: an update of `minutes` can no longer be a
# cheap (HOT) one.
#
# **The interviewer goes on**: *Why isn't the partial index used by `status = $1`? (A generic plan must be right for any
# value.) How do you find the indexes to drop? (`idx_scan` in `pg_stat_user_indexes`, on the replicas too; and those
# whose columns begin another one.)*

# %% [markdown]
# ## Changing the schema of live data
#
# While a migration runs, rows are written, and **two versions of the application** run side by side, since a
# deployment is never one moment. So a change that breaks the old version is cut into changes that don't:
#
# 1. **Expand**: add the new column beside the old one, empty, and let a trigger (or the application) keep it up to
#    date from now on. Every version works.
# 2. **Backfill**: fill the old rows, in batches. Deploy the version that writes and reads the new column.
# 3. **Contract**: when nobody uses the old column any more, prove that nothing is missing, and drop it.
#
# Two things go wrong. The first is **locks**. Nearly every `ALTER TABLE` takes ACCESS EXCLUSIVE, which stops even
# reading. Most need it for a millisecond, for they only change the catalogue (`ADD COLUMN` with a constant default,
# `DROP COLUMN`, `ADD CONSTRAINT … NOT VALID`); some read or rewrite the table meanwhile (`ALTER … TYPE`, a stored
# generated column, `SET NOT NULL` without a proof). And even the millisecond has to be waited for, in a **queue**:
# behind one long report waits the `ALTER`, and behind the `ALTER` everybody else, although a report hurts nobody.


# %%
def payments(connection: Connection) -> None:
    """Fill the payments as they are today: amounts in euros, with two decimals, as binary fractions."""
    connection.execute(
        """
        CREATE TABLE payments (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, euros double precision, note text NOT NULL DEFAULT ''
        );
        INSERT INTO payments (euros) SELECT i * 29 / 100.0::float8 FROM generate_series(1, 1000) AS i
        """
    )


@contextlib.contextmanager
def sessions(number: int) -> Iterator[list[Connection]]:
    """Lend several connections to a fresh copy of the payments."""
    with services.postgres(template=payments) as database:
        yield [database.connect(autocommit=True, options="-c statement_timeout=1000") for _ in range(number)]


with sessions(4) as (report, migration, customer, watcher):
    report.execute("BEGIN; SELECT sum(euros) FROM payments")
    migration.execute("SET lock_timeout = '5s'")
    migration.pgconn.send_query(b"ALTER TABLE payments ADD cents bigint")  # doesn't wait for the answer
    customer.execute("SET lock_timeout = '20ms'")
    waiting = False
    while not waiting:
        waiting = watcher.execute("SELECT FROM pg_locks WHERE NOT granted").rowcount > 0
        time.sleep(0.005)
    try:
        customer.execute("SELECT count(*) FROM payments")
    except psycopg.errors.LockNotAvailable as error:
        print("a customer who only reads:", error.diag.message_primary, "\n")
    names = {report.info.backend_pid: "report", migration.info.backend_pid: "migration"}
    for pid, mode, granted, blockers in watcher.execute(
        """
        SELECT pid, mode, granted, pg_blocking_pids(pid) FROM pg_locks
        WHERE relation = 'payments'::regclass ORDER BY granted DESC
        """
    ):
        print(f"{names[pid]:10}{mode:22}{'has it' if granted else 'waits for':10}", *(names[b] for b in blockers))
    report.execute("COMMIT")

# %% [markdown]
# The remedy is impatience. With a `lock_timeout` the `ALTER` gives up, the queue behind it goes on, and it tries again
# later. A model (a report of 12 s from the start, the `ALTER` at 2 s and again 3 s after each failure, a customer every
# two seconds): move the slider.


# %%
def queue(patience: float) -> Timeline:
    """Return who waits for whom, if the migration waits so many seconds for its lock."""
    spans = [Span("report", 0, 12, "reads")]
    stops: list[tuple[float, float]] = []
    start = 2.0
    while start + patience < 12:
        stops.append((start, start + patience))
        start += patience + 3
    spans += [Span("ALTER", a, b, "waits") for a, b in stops]
    if start < 12:
        stops.append((start, 12))
        spans.append(Span("ALTER", start, 12, "waits"))
    done = max(start, 12.0)
    spans.append(Span("ALTER", done, done + 0.2, "has the lock"))
    for second in range(1, 13, 2):
        free = next((b for a, b in stops if a < second < b), second)
        if free > second:
            spans.append(Span(f"customer at {second} s", second, free, "waits"))
        spans.append(Span(f"customer at {second} s", free, free + 0.4, "reads"))
    return Timeline(spans, f"lock_timeout of {patience:g} s", "s")


explore(queue, patience=(1, 12, 12))

# %%
queue(1)

# %% [markdown]
# `alter` runs statements in one short transaction, and gives up in time. `SET LOCAL` (here as the function
# `set_config`, which takes parameters) ends with the transaction, so that nobody inherits the impatience.

# %%
PATIENCE = "40ms"  # for the lesson; in production a second or two


def alter(connection: Connection, *statements: str) -> None:
    """Run statements in one transaction that waits for each lock no longer than PATIENCE."""
    with connection.transaction():
        connection.execute("SELECT set_config('lock_timeout', %s, true)", [PATIENCE])
        for statement in statements:
            connection.execute(statement.encode())


with sessions(2) as (report, migration):
    report.execute("BEGIN; SELECT sum(euros) FROM payments")
    try:
        alter(migration, "ALTER TABLE payments ADD cents bigint")
    except psycopg.errors.LockNotAvailable:
        print("gave up; the session's own lock_timeout is", *migration.execute("SHOW lock_timeout").fetchone() or ())

# %% [markdown]
# How can `NOT NULL` come in without reading the table under that lock? In three transactions. `ADD CONSTRAINT … CHECK
# (cents IS NOT NULL) NOT VALID` is instant and binds new rows. `VALIDATE CONSTRAINT` reads the table under SHARE UPDATE
# EXCLUSIVE, with which everybody reads and writes. Then `SET NOT NULL` finds the proof and reads nothing. (PostgreSQL
# 18 has it in two: `ADD CONSTRAINT … NOT NULL cents NOT VALID`, `VALIDATE`.) In *one* transaction it is no use, since
# a lock is kept until the commit.
#
# The second thing that goes wrong is **lost rows**: written by the old version after the backfill has passed; skipped
# by `OFFSET`, because filled rows drop out of the set while the offset grows; overwritten with an older value; or cut
# off where they should be rounded. A backfill therefore works by statements that read and write at once, commits each
# batch (short locks, no long transaction that would hold up `VACUUM`), walks along the primary key, can be stopped and
# started again, and pauses for the replicas.

# %% [markdown] exercise cents_migration topic=database-design level=senior minutes=30
# ## Exercise: A migration that locks and loses
#
# Payments are stored as `euros double precision`, and are to become `cents bigint NOT NULL`. Yesterday's attempt stood
# still behind a report and stopped the shop; then amounts were missing or a cent too low. Mend it. The table is that of
# `payments` above; connections are in autocommit mode. Three versions of the shop run in turn, and overlap: the first
# writes `euros` alone, the second both in one statement, the third `cents` alone (it runs before `contract` already).
# Amounts have at most two decimals, and become cents by **rounding**.
#
# * `expand(connection)` adds the column `cents bigint`, without values. From then on, whenever an `INSERT` or an
#   `UPDATE` sets `euros` to anything but NULL, the row's cents follow. Other statements (an `UPDATE` of `cents` alone)
#   leave cents as they say.
# * `backfill(connection, size, pause)` fills the cents of all rows that have euros and no cents, in order of `id`, and
#   no others, at most `size` rows a batch. Each batch, the last one too, is committed, then `pause()` is called. The
#   next one begins behind it: whatever becomes of the rows up to there, this call looks at them no more. It returns how
#   many rows it has filled. If `pause` raises, the error comes out; what is committed stays, and another call fills the
#   rest.
# * `contract(connection)` raises `ValueError` with the number of rows that have no cents, if there are any, before
#   changing anything. Otherwise it makes `cents` NOT NULL, and removes `euros` and all that the migration has made
#   besides (functions, triggers, constraints other than NOT NULL).
# * What changes the schema in `expand` and `contract` waits for a lock no longer than PATIENCE: then
#   `psycopg.errors.LockNotAvailable` comes out, and the same function **can be called again**, though some of its
#   transactions may have been committed. The session's own `lock_timeout` is as before. No statement of theirs reads or
#   rewrites the table while its transaction has the lock ACCESS EXCLUSIVE. `alter` above may be used.
#
# ```python
# >>> migrated(expand, lambda connection: backfill(connection, 300, no_pause), contract)
# (1000, [(1, 29), (2, 58)])
# >>> migrated(expand, lambda connection: 0, contract)
# Traceback (most recent call last):
# ValueError: 1000 payments have no cents
# ```


# %%
def no_pause() -> None:
    """Go on at once."""


def migrated(
    widen: Callable[[Connection], None], fill: Callable[[Connection], int], narrow: Callable[[Connection], None]
) -> tuple[int, list[tuple[Any, ...]]]:
    """Run three steps on a fresh copy; return what the second one has filled, and the first payments."""
    with sessions(1) as (connection,):
        widen(connection)
        filled = fill(connection)
        narrow(connection)
        return filled, connection.execute("SELECT id, cents FROM payments ORDER BY id LIMIT 2").fetchall()


# %% starter cents_migration
def expand(connection: Connection) -> None:
    """Add the column for the cents."""
    connection.execute("ALTER TABLE payments ADD cents bigint")


def backfill(connection: Connection, size: int, pause: Callable[[], None]) -> int:
    """Fill the cents in batches; return how many rows were filled."""
    filled = 0
    with connection.transaction():
        while True:
            rows = connection.execute(
                "SELECT id, euros FROM payments WHERE cents IS NULL ORDER BY id LIMIT %s OFFSET %s", [size, filled]
            ).fetchall()
            if not rows:
                return filled
            for number, euros in rows:
                connection.execute("UPDATE payments SET cents = %s WHERE id = %s", [int(euros * 100), number])
            filled += len(rows)
            pause()


def contract(connection: Connection) -> None:
    """Make the cents obligatory and drop the euros."""
    with connection.transaction():
        connection.execute("UPDATE payments SET cents = 0 WHERE cents IS NULL")
        connection.execute("ALTER TABLE payments ALTER cents SET NOT NULL")
        connection.execute("ALTER TABLE payments DROP euros")


# %% solution cents_migration
def expand(connection: Connection) -> None:
    """Add the column for the cents, and a trigger that keeps it up to date."""
    # BEGIN SOLUTION
    alter(
        connection,
        "ALTER TABLE payments ADD cents bigint",
        """
        CREATE FUNCTION cents_follow_euros() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            NEW.cents := round(NEW.euros * 100);
            RETURN NEW;
        END $$
        """,
        """
        CREATE TRIGGER cents_follow_euros BEFORE INSERT OR UPDATE OF euros ON payments
        FOR EACH ROW WHEN (NEW.euros IS NOT NULL) EXECUTE FUNCTION cents_follow_euros()
        """,
    )
    # END SOLUTION


def backfill(connection: Connection, size: int, pause: Callable[[], None]) -> int:
    """Fill the cents in batches; return how many rows were filled."""
    # BEGIN SOLUTION
    statement = """
        WITH batch AS (
            SELECT id FROM payments
            WHERE cents IS NULL AND euros IS NOT NULL AND id > %s
            ORDER BY id LIMIT %s FOR UPDATE
        )
        UPDATE payments SET cents = round(euros * 100) FROM batch
        WHERE payments.id = batch.id
        RETURNING payments.id
        """
    filled, last = 0, 0
    while rows := connection.execute(statement, [last, size]).fetchall():
        filled += len(rows)
        last = max(number for (number,) in rows)
        pause()
    return filled
    # END SOLUTION


def contract(connection: Connection) -> None:
    """Make the cents obligatory and drop the euros."""
    # BEGIN SOLUTION
    missing = connection.execute("SELECT FROM payments WHERE cents IS NULL").rowcount
    if missing:
        raise ValueError(f"{missing} payments have no cents")
    alter(
        connection,
        "ALTER TABLE payments DROP CONSTRAINT IF EXISTS cents_known",
        "ALTER TABLE payments ADD CONSTRAINT cents_known CHECK (cents IS NOT NULL) NOT VALID",
    )
    alter(connection, "ALTER TABLE payments VALIDATE CONSTRAINT cents_known")
    alter(
        connection,
        "ALTER TABLE payments ALTER cents SET NOT NULL",
        "ALTER TABLE payments DROP CONSTRAINT cents_known",
        "DROP TRIGGER cents_follow_euros ON payments",
        "DROP FUNCTION cents_follow_euros",
        "ALTER TABLE payments DROP euros",
    )
    # END SOLUTION


# %%
# What each statement that changes a schema reads of the payments, and the locks that its transaction then has.
WATCH = """
CREATE TABLE watched (moment text, seen bigint, modes text[], statement text);
CREATE FUNCTION watch() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO watched SELECT tg_event, pg_stat_get_xact_tuples_returned('payments'::regclass),
        ARRAY(SELECT mode FROM pg_locks WHERE pid = pg_backend_pid() AND relation = 'payments'::regclass),
        current_query();
END $$;
CREATE EVENT TRIGGER watch_before ON ddl_command_start EXECUTE FUNCTION watch();
CREATE EVENT TRIGGER watch_after ON ddl_command_end EXECUTE FUNCTION watch();
"""


@contextlib.contextmanager
def watched(connection: Connection) -> Iterator[list[str]]:
    """Lend a list that has afterwards the statements which read the table under ACCESS EXCLUSIVE."""
    found: list[str] = []
    files = connection.execute("SELECT pg_relation_filenode('payments')").fetchone()
    connection.execute(WATCH.encode())
    yield found
    connection.execute("DROP EVENT TRIGGER watch_before; DROP EVENT TRIGGER watch_after; DROP FUNCTION watch")
    log = connection.execute("SELECT moment, seen, modes, statement FROM watched").fetchall()
    for (_, before, _, _), (moment, after, modes, statement) in itertools.pairwise(log):
        if moment == "ddl_command_end" and after > before and "AccessExclusiveLock" in modes:
            found.append(statement)
    if connection.execute("SELECT pg_relation_filenode('payments')").fetchone() != files:
        found.append("the table was rewritten")


def expected() -> list[tuple[int, int]]:
    """Return the numbers of the payments with their cents."""
    return [(number, 29 * number) for number in range(1, 1001)]


def amounts(connection: Connection) -> list[tuple[int, int | None]]:
    """Return the payments with their cents."""
    return connection.execute("SELECT id, cents FROM payments ORDER BY id").fetchall()


def assert_gives_up(step: Callable[[Connection], None], connection: Connection) -> None:
    """Check that a step ends in LockNotAvailable while somebody else keeps a lock."""
    connection.execute("SET statement_timeout = '400ms'")
    try:
        step(connection)
    except psycopg.errors.LockNotAvailable:
        connection.execute("SET statement_timeout = '1s'")
    except psycopg.errors.QueryCanceled:
        pytest.fail("a statement waited for its lock longer than PATIENCE, and everybody else behind it")
    else:
        pytest.fail("it came to its end, although somebody else kept a lock that it needs")


# %% check cents_migration points=2
def test_every_amount_arrives_to_the_cent() -> None:
    with sessions(1) as (connection,):
        expand(connection)
        assert backfill(connection, 300, no_pause) == 1000, "three batches of 300 and one of 100"
        contract(connection)
        assert amounts(connection) == expected(), "none is missing, and none is a cent too low"


def test_expand_gives_up_behind_a_report() -> None:
    with sessions(2) as (report, connection):
        report.execute("BEGIN; SELECT count(*) FROM payments")
        connection.execute("SET lock_timeout = '1h'")
        assert_gives_up(expand, connection)
        assert connection.execute("SHOW lock_timeout").fetchone() == ("1h",), "the session's own is as before"
        report.execute("COMMIT")
        expand(connection)


# %% hidden cents_migration points=4
def left_over(connection: Connection) -> list[tuple[str]]:
    return connection.execute(
        """
        SELECT tgname FROM pg_trigger WHERE tgrelid = 'payments'::regclass
        UNION ALL SELECT conname FROM pg_constraint
        WHERE conrelid = 'payments'::regclass AND contype NOT IN ('p', 'n')
        UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace
        """
    ).fetchall()


def sold(shop: Connection, statement: str) -> None:
    try:
        shop.execute(statement.encode())
    except psycopg.errors.LockNotAvailable:
        pytest.fail("a batch isn't committed when pause() is called: the shop waits for rows of it")


def test_expand_reads_nothing_under_its_lock() -> None:
    with sessions(1) as (connection,):
        with watched(connection) as read:
            expand(connection)
        assert read == [], "the shop stands still meanwhile"
        assert {cents for _, cents in amounts(connection)} == {None}, "a column without values"


def test_what_the_old_shop_writes_has_cents() -> None:
    with sessions(1) as (connection,):
        expand(connection)
        connection.execute("INSERT INTO payments (euros) VALUES (19.99)")
        connection.execute("UPDATE payments SET euros = 0.57 WHERE id = 5")
        found = dict(amounts(connection))
        assert (found[1001], found[5]) == (1999, 57), "it knows of no cents, and goes on until it is replaced"
        connection.execute("UPDATE payments SET euros = 4.35 WHERE id = 5")
        assert dict(amounts(connection))[5] == 435, "each time"


def test_the_new_shop_writes_cents_alone() -> None:
    with sessions(1) as (connection,):
        expand(connection)
        connection.execute("INSERT INTO payments (cents) VALUES (777)")
        connection.execute("INSERT INTO payments (euros, cents) VALUES (0.29, 29)")
        connection.execute("UPDATE payments SET cents = 11 WHERE id = 3")
        connection.execute("UPDATE payments SET euros = NULL, cents = 12 WHERE id = 4")
        found = dict(amounts(connection))
        assert [found[number] for number in (1001, 1002, 3, 4)] == [777, 29, 11, 12], "what it says is what counts"
        assert backfill(connection, 1000, no_pause) == 998, "four have cents, 998 of 1,002 need them"
        found = dict(amounts(connection))
        assert [found[number] for number in (1001, 1002, 3, 4)] == [777, 29, 11, 12], "also after the backfill"


def test_each_batch_is_committed_before_the_pause() -> None:
    with sessions(2) as (connection, shop):
        shop.execute("SET lock_timeout = '40ms'")
        expand(connection)
        seen: list[int] = []

        def look() -> None:
            seen.append(shop.execute("SELECT FROM payments WHERE cents IS NOT NULL").rowcount)
            sold(shop, "UPDATE payments SET note = 'seen' WHERE id <= 500")

        backfill(connection, 400, look)
        assert seen == [400, 800, 1000], "others see each batch, and none is larger than it may be"


def test_goes_in_order_of_the_number() -> None:
    with sessions(1) as (connection,):
        connection.execute("UPDATE payments SET note = 'moved' WHERE id % 3 = 0")
        expand(connection)
        connection.execute("CREATE INDEX ON payments (note)")
        done: list[int] = []

        def look() -> None:
            done.append(max(number for number, cents in amounts(connection) if cents is not None))

        backfill(connection, 450, look)
        assert done == [450, 900, 1000], "the smallest numbers first"


def test_what_is_written_between_the_batches_is_kept() -> None:
    with sessions(2) as (connection, shop):
        expand(connection)
        shop.execute("SET lock_timeout = '40ms'")
        pauses = itertools.count(1)

        def sell() -> None:
            assert next(pauses) <= 4, "new rows have cents already, so there are four batches"
            sold(shop, "INSERT INTO payments (euros) VALUES (0.57)")
            sold(shop, "UPDATE payments SET euros = 1.15 WHERE id IN (2, 999)")

        backfill(connection, 250, sell)
        contract(connection)
        found = dict(amounts(connection))
        assert (found[2], found[999]) == (115, 115), "one before and one behind the batch"
        assert [cents for number, cents in found.items() if number > 1000] == [57] * 4, "and the new ones"


def test_cents_that_come_while_a_batch_waits_are_kept() -> None:
    with sessions(3) as (connection, shop, watcher), concurrent.futures.ThreadPoolExecutor(1) as pool:
        expand(connection)
        shop.execute("BEGIN; UPDATE payments SET cents = 11 WHERE id = 3")
        filling = pool.submit(backfill, connection, 1000, no_pause)
        while not filling.done() and not watcher.execute("SELECT FROM pg_locks WHERE NOT granted").rowcount:
            time.sleep(0.002)
        shop.execute("COMMIT")
        assert filling.result() == 999, "when the batch gets at the row, it has cents"
        assert dict(amounts(connection))[3] == 11, "the new shop's word, not that of the old euros"


def test_a_batch_begins_behind_the_last_one() -> None:
    with sessions(1) as (connection,):
        expand(connection)
        emptied = iter([2, 250, 251, 1000])

        def spoil() -> None:
            number = next(emptied, None)
            assert number, "a fifth batch: this call went back to rows that it had behind it"
            connection.execute("UPDATE payments SET cents = NULL WHERE id = %s OR id = %s", [number, 250])

        assert backfill(connection, 250, spoil) == 1000, "else each batch walks over all that is done already"
        assert [number for number, cents in amounts(connection) if cents is None] == [2, 250, 251, 1000]
        assert backfill(connection, 250, no_pause) == 4, "another call begins at the beginning"


def test_a_stopped_backfill_goes_on() -> None:
    with sessions(1) as (connection,):
        expand(connection)
        calls = iter([None, KeyboardInterrupt()])

        def stop() -> None:
            if error := next(calls):
                raise error

        with pytest.raises(KeyboardInterrupt):
            backfill(connection, 200, stop)
        assert backfill(connection, 1000, no_pause) == 600, "400 were committed before the second pause"
        assert amounts(connection) == expected(), "and all are right"


def test_a_row_with_neither_is_not_filled() -> None:
    with sessions(1) as (connection,):
        connection.execute("DELETE FROM payments WHERE id > 10; UPDATE payments SET euros = NULL WHERE id IN (1, 2, 6)")
        expand(connection)
        pauses = itertools.count(1)

        def wait() -> None:
            assert next(pauses) <= 5, "a sixth batch of two, in a table of ten rows"

        assert backfill(connection, 2, wait) == 7, "ten rows, of which three have no euros"
        with pytest.raises(ValueError, match="3 "):
            contract(connection)


def test_nothing_to_fill_is_no_batch() -> None:
    with sessions(1) as (connection,):
        connection.execute("DELETE FROM payments")
        expand(connection)
        pauses: list[int] = []
        assert backfill(connection, 10, lambda: pauses.append(1)) == 0, "no rows"
        assert pauses == [], "no batch, no pause"


def test_contract_refuses_while_cents_are_missing() -> None:
    with sessions(1) as (connection,):
        expand(connection)
        backfill(connection, 1000, no_pause)
        connection.execute("UPDATE payments SET cents = NULL WHERE id = 8")
        with pytest.raises(ValueError, match="1 "):
            contract(connection)
        connection.execute("UPDATE payments SET note = 'still writable' WHERE id = 8")
        connection.execute("INSERT INTO payments (euros) VALUES (0.29)")
        assert dict(amounts(connection))[1001] == 29, "nothing was changed: the trigger is still there"
        assert backfill(connection, 10, no_pause) == 1, "so it can be mended, as the euros are still there"


def test_contract_reads_nothing_under_an_exclusive_lock() -> None:
    with sessions(1) as (connection,):
        expand(connection)
        backfill(connection, 1000, no_pause)
        with watched(connection) as read:
            contract(connection)
        assert read == [], "validate in a transaction of its own, then SET NOT NULL has its proof"


def test_contract_gives_up_behind_a_report() -> None:
    with sessions(2) as (report, connection):
        expand(connection)
        backfill(connection, 1000, no_pause)
        report.execute("BEGIN; SELECT count(*) FROM payments")
        assert_gives_up(contract, connection)
        assert connection.execute("SHOW lock_timeout").fetchone() == ("0",), "the session's own is as before"
        connection.execute("SELECT euros FROM payments LIMIT 1")


def test_contract_goes_on_where_it_gave_up() -> None:
    with sessions(2) as (connection, other):
        expand(connection)
        backfill(connection, 1000, no_pause)
        other.execute("BEGIN")
        made = "SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
        for (function,) in other.execute(made).fetchall():
            other.execute(f"COMMENT ON FUNCTION {function} IS 'locked until the end of this transaction'".encode())
        assert_gives_up(contract, connection)
        other.execute("ROLLBACK")
        contract(connection)
        assert left_over(connection) == [], "the second call finds what the first has committed, and finishes"
        assert amounts(connection) == expected(), "with all amounts"


def test_nothing_of_the_scaffold_is_left() -> None:
    with sessions(1) as (connection,):
        expand(connection)
        backfill(connection, 1000, no_pause)
        contract(connection)
        columns = connection.execute(
            "SELECT column_name, is_nullable FROM information_schema.columns WHERE table_name = 'payments' ORDER BY 1"
        ).fetchall()
        assert columns == [("cents", "NO"), ("id", "NO"), ("note", "NO")], "euros are gone, cents obligatory"
        assert left_over(connection) == [], "what the next one would wonder about"
        connection.execute("INSERT INTO payments (cents) VALUES (5)")


# %% wrong cents_migration fails=test_what_the_old_shop_writes_has_cents
# "After the backfill all rows have cents": the old version goes on writing rows that have none.
def expand(connection: Connection) -> None:
    """Add the column for the cents."""
    alter(connection, "ALTER TABLE payments ADD cents bigint")


def backfill(connection: Connection, size: int, pause: Callable[[], None]) -> int:
    """Fill the cents in batches; return how many rows were filled."""
    statement = """
        UPDATE payments SET cents = round(euros * 100)
        WHERE id IN (SELECT id FROM payments WHERE cents IS NULL ORDER BY id LIMIT %s)
        """
    filled = 0
    while count := connection.execute(statement, [size]).rowcount:
        filled += count
        pause()
    return filled


def contract(connection: Connection) -> None:
    """Make the cents obligatory and drop the euros."""
    missing = connection.execute("SELECT FROM payments WHERE cents IS NULL").rowcount
    if missing:
        raise ValueError(f"{missing} payments have no cents")
    alter(connection, "ALTER TABLE payments ADD CONSTRAINT known NOT NULL cents NOT VALID")
    alter(connection, "ALTER TABLE payments VALIDATE CONSTRAINT known")
    alter(connection, "ALTER TABLE payments DROP euros")


# %% wrong cents_migration fails=test_contract_reads_nothing_under_an_exclusive_lock
# "In one transaction, to be safe": then the exclusive lock of the first statement is still there for the last.
def expand(connection: Connection) -> None:
    """Add the column for the cents, and a trigger that keeps it up to date."""
    alter(
        connection,
        "ALTER TABLE payments ADD cents bigint",
        """
        CREATE FUNCTION follow() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN IF NEW.euros IS NOT NULL THEN NEW.cents := round(NEW.euros * 100); END IF; RETURN NEW; END'
        """,
        """
        CREATE TRIGGER follow BEFORE INSERT OR UPDATE OF euros ON payments
        FOR EACH ROW EXECUTE FUNCTION follow()
        """,
    )


def backfill(connection: Connection, size: int, pause: Callable[[], None]) -> int:
    """Fill the cents in batches; return how many rows were filled."""
    statement = """
        UPDATE payments SET cents = round(euros * 100)
        WHERE id IN (SELECT id FROM payments WHERE cents IS NULL ORDER BY id LIMIT %s)
        """
    filled = 0
    while count := connection.execute(statement, [size]).rowcount:
        filled += count
        pause()
    return filled


def contract(connection: Connection) -> None:
    """Make the cents obligatory and drop the euros."""
    missing = connection.execute("SELECT FROM payments WHERE cents IS NULL").rowcount
    if missing:
        raise ValueError(f"{missing} payments have no cents")
    alter(
        connection,
        "ALTER TABLE payments ADD CONSTRAINT known CHECK (cents IS NOT NULL) NOT VALID",
        "ALTER TABLE payments VALIDATE CONSTRAINT known",
        "ALTER TABLE payments ALTER cents SET NOT NULL",
        "ALTER TABLE payments DROP CONSTRAINT known",
        "DROP TRIGGER follow ON payments",
        "DROP FUNCTION follow",
        "ALTER TABLE payments DROP euros",
    )


# %% wrong cents_migration fails=test_expand_reads_nothing_under_its_lock
# "A default keeps it filled": an expression on other columns is a stored column, and the table is rewritten for it.
def expand(connection: Connection) -> None:
    """Add the column for the cents, computed by the database."""
    alter(connection, "ALTER TABLE payments ADD cents bigint GENERATED ALWAYS AS (round(euros * 100)) STORED")


def backfill(connection: Connection, size: int, pause: Callable[[], None]) -> int:
    """Fill the cents in batches; return how many rows were filled."""
    return 0


def contract(connection: Connection) -> None:
    """Make the cents obligatory and drop the euros."""
    missing = connection.execute("SELECT FROM payments WHERE cents IS NULL").rowcount
    if missing:
        raise ValueError(f"{missing} payments have no cents")
    alter(
        connection,
        "ALTER TABLE payments ALTER cents DROP EXPRESSION",
        "ALTER TABLE payments ALTER cents SET NOT NULL",
        "ALTER TABLE payments DROP euros",
    )


# %% right cents_migration
def expand(connection: Connection) -> None:
    """Add the column for the cents, and a trigger that keeps it up to date."""
    alter(
        connection,
        "ALTER TABLE payments ADD COLUMN cents bigint NULL",
        """
        CREATE FUNCTION follow() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN IF NEW.euros IS NOT NULL THEN NEW.cents := round(NEW.euros * 100); END IF; RETURN NEW; END'
        """,
        """
        CREATE TRIGGER follow BEFORE INSERT OR UPDATE OF euros ON payments
        FOR EACH ROW EXECUTE FUNCTION follow()
        """,
    )


def backfill(connection: Connection, size: int, pause: Callable[[], None]) -> int:
    """Fill the cents in batches; return how many rows were filled."""
    filled, last = 0, -1
    while True:
        with connection.transaction():
            rows = connection.execute(
                """
                SELECT id FROM payments WHERE id > %s AND cents IS NULL AND euros IS NOT NULL
                ORDER BY id LIMIT %s FOR UPDATE
                """,
                [last, size],
            ).fetchall()
            numbers = [number for (number,) in rows]
            connection.execute(
                "UPDATE payments SET cents = round((euros * 100)::numeric) WHERE id = ANY(%s)", [numbers]
            )
        if not numbers:
            return filled
        filled, last = filled + len(numbers), numbers[-1]
        pause()


def contract(connection: Connection) -> None:
    """Make the cents obligatory and drop the euros."""
    counted = connection.execute("SELECT count(*) FROM payments WHERE cents IS NULL").fetchone()
    if counted != (0,):
        raise ValueError(f"{counted[0] if counted else 0} payments have no cents")
    alter(
        connection,
        "ALTER TABLE payments DROP CONSTRAINT IF EXISTS payments_cents_known",
        "ALTER TABLE payments ADD CONSTRAINT payments_cents_known NOT NULL cents NOT VALID",
    )
    alter(connection, "ALTER TABLE payments VALIDATE CONSTRAINT payments_cents_known")
    alter(connection, "DROP FUNCTION follow CASCADE", "ALTER TABLE payments DROP COLUMN euros")


# %% [markdown] hint cents_migration
# Go through the three functions and ask of each statement: who waits for it, for how long, and what is written between
# it and the next one?

# %% [markdown] hint cents_migration
# `expand`: `alter`, and a trigger `BEFORE INSERT OR UPDATE OF euros … WHEN (NEW.euros IS NOT NULL)`. `backfill`: one
# `UPDATE` for each batch, without `OFFSET`, and no transaction around the loop. `contract`: `NOT VALID`, `VALIDATE`
# and the rest, each by an `alter` of its own, the first of which removes what an earlier call has left.

# %% [markdown] hint cents_migration
# `WITH batch AS (SELECT id FROM payments WHERE cents IS NULL AND euros IS NOT NULL AND id > %s ORDER BY id LIMIT %s FOR
# UPDATE) UPDATE payments SET cents = round(euros * 100) FROM batch WHERE … RETURNING payments.id`, until it returns no
# rows. Drop the trigger before the column that it names, and the `CHECK` in a statement after `SET NOT NULL`, which
# needs it.

# %% [markdown] after cents_migration
# **Why.** `int(0.29 * 100)` is 28: the binary fraction is a little below, and `int` cuts. With `OFFSET` every second
# batch was skipped, for the filled rows had left the set; then `contract` wrote 0 over what was missing: a statement
# that makes an error go away. The transaction around the loop held the locks of all rows until the end.
#
# Without `id > %s` every batch first walks over the entries of all rows that are done already: work that grows with
# the square of the number of batches. `FOR UPDATE` is no ornament: without it the batch chooses a row, waits until
# somebody who is writing its cents has committed, and overwrites them. And `ALTER cents SET NOT NULL, DROP CONSTRAINT
# …` in one statement reads the table: drops go first, and the proof is gone. For a table of 10⁹ rows take thousands a
# batch, keep `last` in a table, and watch the lag of the replicas.
#
# What gives up has to be callable again, hence the `DROP CONSTRAINT IF EXISTS`. It also helps where a row without cents
# comes in between the count and the constraint: then `VALIDATE` fails, nothing is lost, and the next call counts it. In
# production `euros` is dropped days later than the rest, for it is the step without a way back.
#
# **The interviewer goes on**: *How do you rename a column? (As this: a new one, both, then drop. Or a view under the
# old name.) How do you change the type of a primary key from `int` to `bigint`? (The same, and the unique index is
# built with `CONCURRENTLY` and attached with `USING INDEX`.) How do you undo it? (Up to `contract`: drop the trigger
# and the column. After it: restore; so have the old column copied.)*

# %% [markdown]
# ## The interview
#
# Say your answer aloud before you unfold one.

# %% [markdown] interview
# ### What is the difference between 3NF and BCNF, and does it matter?
#
# BCNF: whatever determines something is a superkey. 3NF excuses it if what is determined is part of some candidate key.
# They differ only with several overlapping composite keys. BCNF never repeats a fact; 3NF never scatters a rule over
# two tables. For most schemas they are the same, and I aim at BCNF and step back to 3NF if a rule would need a trigger.

# %% [markdown] interview
# ### When would you denormalise?
#
# When a read that is measured to be too slow can't be mended by an index, and the copy can be older than the
# original or has exactly one writer. Then in the mildest form: a covering index, a materialised view, a counter kept by
# a trigger, at last a copied column. With a query that finds deviations, and somebody who runs it. What looks like
# a copy may be a fact of its own: the price at the time of the order.

# %% [markdown] interview
# ### In which order do the columns of an index go?
#
# Compared for equality first, in an order that lets other queries use the prefix; then one that is sorted by or
# compared for a range; whatever is behind it filters within the index. Selectivity alone decides nothing. Then I ask
# which rows are never looked for (partial) and which column would save the visit to the table (`INCLUDE`), and what it
# costs the writers.

# %% [markdown] interview
# ### Where do you validate: in the application or in the database?
#
# Both, for different reasons. The application gives a good message and knows the user's context. The database is the
# only place that sees all writers, all versions and two requests at once: whatever has to be true always belongs
# there. Unique, foreign key, exclusion can't be done right anywhere else without a lock.

# %% [markdown] interview
# ### How do you add a NOT NULL column to a table with a billion rows?
#
# With a constant default it is instant: the value is kept in the catalogue. With a value for each row: add it
# nullable, a trigger for new rows, fill in committed batches along the key, `CHECK … NOT VALID`, `VALIDATE`, then `SET
# NOT NULL`, which takes the check for a proof. Each DDL statement with a short `lock_timeout` and retries. And every
# step works with the version of the application before and after it.

# %% [markdown]
# ## Pitfalls seen in reviews
#
# * A surrogate key and no unique constraint on the natural one: every retry makes a duplicate.
# * `CHECK` conditions that are NULL; nullable columns because "we may not know it at first".
# * Money as a binary fraction; times without zone; numbers and dates as text; a list in a text column.
# * "Look, then insert" in the application for what a unique index should say.
# * A foreign key without an index on the referring side, found when the first customer is deleted.
# * An index for each column; three that begin alike; one with the range column first.
# * `ALTER TABLE` without `lock_timeout`; an index without `CONCURRENTLY`; a migration and a deployment that need each
#   other in the same second.
# * A backfill in one transaction, or by `OFFSET`.
# * Entity-attribute-value tables, and `jsonb` for columns that every query filters by.
#
# ## Where to read on
#
# * PostgreSQL: [Constraints](https://www.postgresql.org/docs/18/ddl-constraints.html), [Multicolumn
#   Indexes](https://www.postgresql.org/docs/18/indexes-multicolumn.html), [Index-Only Scans and Covering
#   Indexes](https://www.postgresql.org/docs/18/indexes-index-only-scans.html), [Partial
#   Indexes](https://www.postgresql.org/docs/18/indexes-partial.html), [ALTER
#   TABLE](https://www.postgresql.org/docs/18/sql-altertable.html) (its notes), [Explicit
#   Locking](https://www.postgresql.org/docs/18/explicit-locking.html)
# * W. Kent, [A Simple Guide to Five Normal Forms in Relational Database
#   Theory](https://www.bkent.net/Doc/simple5.htm), 1983
# * M. Winand, [Use The Index, Luke](https://use-the-index-luke.com/)
# * M. Fowler, [Parallel Change](https://martinfowler.com/bliki/ParallelChange.html), by D. Sato: expand, migrate,
#   contract
