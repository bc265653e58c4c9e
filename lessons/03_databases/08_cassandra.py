# %% [markdown]
# # Apache Cassandra: tables for queries, replicas without a leader
#
# *"We write two hundred thousand rows a second in two regions. Would you take Cassandra, and how would the tables
# look?"* A junior answer praises the scaling and draws the entities. A senior answer asks for the list of queries
# first, makes a table for each, and says how large a partition gets; then names the consistency level of every read and
# write, what a client sees when a node is down, and why a deleted row may come back next week.
#
# **Assumed**: nothing but Python. **Left out**: installing and tuning a cluster, the driver's policies, vector search.
#
# **The ring here is a simulation.** Cassandra is a Java server that is worth running only as several machines, so this
# lesson has its mechanisms as small Python objects: tables that count what is read, a ring of tokens, replicas that are
# down or late, tombstones with ages. The rules (which replicas, which answer wins, when a tombstone goes) are those of
# Cassandra 5.0. What it doesn't show: time and load, real disks, the network's other surprises (messages out of order,
# half a partition), gossip that is wrong about who is alive, two coordinators at work at the same moment, and CQL's
# parser. CQL stands in the text where you would write it.
#
# **Two sittings**: the exercises take an hour and three quarters. A good place to stop is before *Consistency levels*;
# when you come back, run all cells above it first.

# %%
import bisect
import dataclasses
import hashlib
import html
import itertools
import math
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import pytest

from autograder.notebook.figures import Span, Timeline, explore

# %% [markdown]
# ## A distributed database without a leader
#
# Cassandra is a **distributed database**: each row lives on a few nodes of many, and no node is special. The hash of
# the *partition key* (the **token**) says which nodes hold a row; any node that a client talks to is the
# **coordinator** of that request and passes it on to them. From PostgreSQL with a standby it differs in almost
# everything that an interview asks about:
#
# | question | PostgreSQL with a standby | Cassandra |
# | --- | --- | --- |
# | who takes a write? | the primary | every replica of the key; no failover, for there is nothing to fail over |
# | who decides how many copies are certain? | the server; a transaction may waive it | the client, for each statement |
# | two writes to a row at once | one waits for the other's lock | both succeed; the later stamp wins, cell by cell |
# | what does INSERT do with a row that exists? | error | overwrites: `INSERT` and `UPDATE` are both *upserts* |
# | a query without the right key | slow | refused, unless you write `ALLOW FILTERING` |
# | joins, foreign keys, transactions over rows | yes | no; `IF` (Paxos) within one partition |
# | twice the data | a larger machine, or sharding by hand | twice the nodes |
#
# **On one node**, a write is appended to the commit log and put into a sorted table in memory (the *memtable*); full
# memtables are written to disk as *SSTables*, which never change again. So a plain write reads nothing, and costs about
# the same whether the row exists or not (counters, `IF` and setting a list's element by its index do read). A read has
# to merge the memtable with every SSTable that may have the partition; *compaction* merges SSTables in the background
# so that there are few. Writes are cheap, reads are where the design shows, and deletes are the odd part: they are
# writes too.
#
# **Take it** for much data with a few known queries by key, writes that must never stop, several regions: events,
# messages, readings, carts, feeds. **Don't** for ad hoc queries, reports, constraints between rows, a queue, or a
# hundred gigabytes that one PostgreSQL serves with its eyes closed.
#
# ## Query first: one table for one question
#
# A primary key has two parts, and each decides one thing:
#
# ```text
# CREATE TABLE events_by_depot (
#     depot text, day date, at timestamp, event_id uuid, parcel text, status text,
#     PRIMARY KEY ((depot, day), at, event_id)
# ) WITH CLUSTERING ORDER BY (at DESC, event_id ASC);
# ```
#
# * The **partition key** `(depot, day)` says *where*: all rows with the same values lie together on the same replicas.
#   A query must give all of it, with `=`, or nobody knows whom to ask.
# * The **clustering columns** `at, event_id` say *in which order*: rows of a partition are kept sorted, so that a slice
#   of neighbours is one read. `=` may follow on them from the left without a gap, then one range; `ORDER BY` is that
#   order or its exact reverse.
# * **Both together identify the row.** A second row with the same primary key *is* the first one, overwritten, without
#   an error. Sorted by `at` alone, two scans in the same millisecond are one.
#
# So the design goes backwards: list the queries, and let each have a table that answers it by **one partition, one
# slice**. The same event is stored three times if three questions are asked; disk is cheap and writes are cheap. What
# you pay: three writes to keep in step (a logged batch makes all of them happen in the end, and isn't isolated), and a
# fourth query next year means a new table, filled from an old one.
#
# A partition lives on one set of replicas and can't be split, so its size is the other half of the design. As a rule of
# thumb it stays below 100 MB and 100,000 rows. `depot` alone grows for ever; a **bucket** in the key (`day`, `month`)
# ends that, and a query over a week then reads seven partitions. Too small is a fault too: a query over many buckets
# asks many nodes.
#
# The simulated table counts what a query costs, and refuses what CQL would refuse:


# %%
Row = dict[str, Any]
Way = Literal["ASC", "DESC"]


class By(NamedTuple):
    """A column to sort by."""

    column: str
    way: Way = "ASC"


@dataclass(frozen=True)
class Table:
    """The primary key of a table: PRIMARY KEY ((partition), clustering)."""

    partition: tuple[str, ...]
    clustering: tuple[By, ...] = ()


@dataclass(frozen=True)
class Query:
    """WHERE every column of `equal` = ?, and `between` in a range; ORDER BY `order`.

    `rows_a_day` is how many rows come in each day that have the same values in `equal`.
    """

    equal: tuple[str, ...]
    order: tuple[By, ...] = ()
    between: str | None = None
    rows_a_day: float = 1


class RefusedError(Exception):
    """The table can't answer the query from one slice."""


class Answer(NamedTuple):
    """What came back, and what was read for it."""

    rows: list[Row]
    partitions: int
    scanned: int


def flipped(order: Iterable[By]) -> tuple[By, ...]:
    """Return the reverse of an order."""
    return tuple(By(column, "ASC" if way == "DESC" else "DESC") for column, way in order)


def refusal(table: Table, query: Query) -> str | None:
    """Return why CQL refuses the query on this table, or None where it is one slice of one partition."""
    missing = [column for column in table.partition if column not in query.equal]
    if missing:
        return f"no value for {', '.join(missing)} of the partition key: every node would have to look"
    rest = set(query.equal) - set(table.partition)
    if {by.column for by in table.clustering[: len(rest)]} != rest:
        return f"= on {', '.join(sorted(rest))}, which are not the first clustering columns"
    free = table.clustering[len(rest) :]
    if query.between is not None and [query.between] != [by.column for by in free[:1]]:
        return f"a range of {query.between}, which is not the next clustering column"
    count = len(query.order)
    if query.order not in (free[:count], flipped(free[:count])):
        return "ORDER BY is neither the clustering order nor its reverse"
    return None


class Stored:
    """A table with rows, in memory; it counts what a query reads."""

    def __init__(self, table: Table, rows: Iterable[Row] = ()) -> None:
        self.table = table
        self.partitions: dict[tuple[Any, ...], dict[tuple[Any, ...], Row]] = {}
        for row in rows:
            self.insert(row)

    def insert(self, row: Row) -> None:
        """Write a row; one with the same primary key is overwritten."""
        partition = tuple(row[column] for column in self.table.partition)
        place = tuple(row[by.column] for by in self.table.clustering)
        self.partitions.setdefault(partition, {})[place] = row

    def _in_order(self, partition: tuple[Any, ...], query: Query) -> list[Row]:
        """Return a partition's rows as they are kept, or backwards where the query wants that."""
        rows = list(self.partitions.get(partition, {}).values())
        for column, way in reversed(self.table.clustering):
            rows.sort(key=lambda row: row[column], reverse=way == "DESC")
        backwards = bool(query.order) and query.order[0] not in self.table.clustering
        return rows[::-1] if backwards else rows

    def read(
        self,
        query: Query,
        values: Mapping[str, Any],
        span: tuple[Any, Any] | None = None,
        limit: int | None = None,
        allow_filtering: bool = False,
    ) -> Answer:
        """Run a query with values for its `equal`, and low and high (both included) for its `between`."""
        why = refusal(self.table, query)
        if why is not None and not allow_filtering:
            raise RefusedError(why)

        def matches(row: Row) -> bool:
            inside = span is None or query.between is None or span[0] <= row[query.between] <= span[1]
            return inside and all(row[column] == values[column] for column in query.equal)

        keys = list(self.partitions)
        if set(self.table.partition) <= set(query.equal):
            keys = [tuple(values[column] for column in self.table.partition)]
        found: list[Row] = []
        scanned = 0
        for key in keys:
            rows = self._in_order(key, query)
            if why is None:  # one slice: found by binary search, read until the limit
                rows = [row for row in rows if matches(row)][:limit]
            scanned += len(rows)
            found += [row for row in rows if matches(row)]
        return Answer(found[:limit], len(keys), scanned)


def parcel_events(count: int = 4_000, seed: int = 7) -> list[Row]:
    """Return scans of parcels over 60 days, `at` in minutes; some share a minute."""
    dice = random.Random(seed)
    rows: list[Row] = []
    for number in range(count):
        at = dice.randrange(60 * 1_440)
        day = at // 1_440
        row: Row = {"event_id": number, "at": at, "day": day, "month": day // 30}
        row |= {"depot": dice.choice("ABCDE"), "parcel": f"p{dice.randrange(500)}"}
        rows.append(row | {"status": dice.choice(("in", "out", "out", "lost"))})
    return rows


events = parcel_events()
of_depot = Query(("depot",), order=(By("at", "DESC"),))
of_depot_and_day = dataclasses.replace(of_depot, equal=("depot", "day"))
wanted: Row = {"depot": "B", "day": 41}
designs = {
    "PRIMARY KEY (event_id), as in a relational schema": Table(("event_id",)),
    "PRIMARY KEY (depot, at, event_id)": Table(("depot",), (By("at", "DESC"), By("event_id"))),
    "PRIMARY KEY ((depot, day), at, event_id)": Table(("depot", "day"), (By("at", "DESC"), By("event_id"))),
    "PRIMARY KEY ((depot, day), at)": Table(("depot", "day"), (By("at", "DESC"),)),
}
print(f"{'scans of depot B on day 41':52}{'found':>6}{'partitions':>12}{'rows read':>11}{'largest':>9}")
for name, table in designs.items():
    stored = Stored(table, events)
    answer = stored.read(of_depot_and_day, wanted, allow_filtering=True)
    largest = max(map(len, stored.partitions.values()))
    print(f"{name:52}{len(answer.rows):>6}{answer.partitions:>12}{answer.scanned:>11}{largest:>9}")
kept = sum(map(len, Stored(designs["PRIMARY KEY ((depot, day), at)"], events).partitions.values()))
print(f"\nthe last design keeps {kept} of {len(events)} rows; the first, asked without ALLOW FILTERING:")
try:
    Stored(Table(("event_id",)), events).read(of_depot_and_day, wanted)
except RefusedError as error:
    print("   refused:", error)

# %% [markdown]
# Four thousand partitions are read for fifteen rows by the relational key. The second finds its partition, reads all of
# the depot's history (there, `day` is a column like any other), and grows for ever. The last one loses rows, and
# nothing tells. `ALLOW FILTERING` makes the first two run; in production it means that the cost depends on the data and
# not on the answer. An index (SAI, storage-attached, is the one to take in 5.0) is good *within* a partition, or for a
# rare query; without the partition key it asks nodes all around the ring.

# %% [markdown] exercise query_tables topic=apache-cassandra level=core minutes=25
# ## Exercise: From questions to tables
#
# The parcel service knows its queries and wants the tables. Nobody will sort or filter in the application, and no row
# may be lost.
#
# `tables_for(queries, key, days, limit=100_000)` returns the tables (a list of `Table`) in the order in which they
# become necessary. `key` has the columns that identify a row; rows are kept for `days` days. For each query, in order:
#
# 1. **Bucket.** `rows_a_day` rows come into the query's partition each day. If those of all `days` are at most `limit`,
#    there is no bucket. Otherwise the bucket is `"month"` if the rows of 31 days are at most `limit`, otherwise `"day"`
#    if those of one day are, otherwise a `ValueError` with a message. Rows have columns of these names, which no query
#    names.
# 2. **Reuse.** If a table that is in the list already answers the query from one slice, there is no new one. The query
#    is asked with its bucket: it then gives a value for that column as well, after its other `equal`. `refusal` above
#    tells (None: it answers).
# 3. **Partition key**: the query's `equal`, in the query's order, and the bucket behind them.
# 4. **Clustering columns**: the query's `order`. Where that is empty, `between`, ascending, if there is one. (Where
#    both are given, `between` is the first of `order`.) Then, ascending, those columns of `key`, in their order, that
#    the primary key doesn't have yet.
#
# ```python
# >>> newest = Query(("parcel",), order=(By("at", "DESC"),), rows_a_day=2)
# >>> tables_for([newest], key=["event_id"], days=365) == [Table(("parcel",), (By("at", "DESC"), By("event_id")))]
# True
# >>> oldest = Query(("parcel",), order=(By("at"),), rows_a_day=2)
# >>> len(tables_for([newest, oldest], key=["event_id"], days=365))
# 1
# >>> busy = Query(("depot",), between="at", rows_a_day=40_000)
# >>> tables_for([busy], key=["event_id"], days=365)[0].partition
# ('depot', 'day')
# >>> tables_for([Query(("carrier",), rows_a_day=100_001)], key=["event_id"], days=365)
# Traceback (most recent call last):
#     ...
# ValueError: 100001 rows a day are too many for a partition
# ```


# %%
IN_PARCEL = Query(("parcel",), order=(By("at", "DESC"),), rows_a_day=2)
IN_DEPOT = Query(("depot",), order=(By("at", "DESC"),), between="at", rows_a_day=40_000)
OF_STATUS = Query(("depot", "status"), order=(By("at", "DESC"),), rows_a_day=3_000)


# %% solution query_tables
def tables_for(queries: Sequence[Query], key: Sequence[str], days: int, limit: int = 100_000) -> list[Table]:
    """Return the tables that answer each query from one slice of one partition."""
    # BEGIN SOLUTION
    buckets: list[tuple[tuple[str, ...], int]] = [((), days), (("month",), 31), (("day",), 1)]
    tables: list[Table] = []
    for query in queries:
        fitting = [column for column, span in buckets if query.rows_a_day * span <= limit]
        if not fitting:
            raise ValueError(f"{query.rows_a_day} rows a day are too many for a partition")
        asked = dataclasses.replace(query, equal=query.equal + fitting[0])
        if any(refusal(table, asked) is None for table in tables):
            continue
        sort = list(query.order)
        if not sort and query.between is not None:
            sort = [By(query.between)]
        taken = {*asked.equal, *(by.column for by in sort)}
        sort += [By(column) for column in key if column not in taken]
        tables.append(Table(asked.equal, tuple(sort)))
    return tables
    # END SOLUTION


# %% check query_tables points=2
def test_each_question_is_one_slice_of_one_partition() -> None:
    rows = parcel_events()
    values = {"parcel": "p7", "depot": "C", "status": "lost", "day": 12, "month": 1}
    for query, bucket in ((IN_PARCEL, ()), (IN_DEPOT, ("day",)), (OF_STATUS, ("month",))):
        made = tables_for([query], ["event_id"], days=365)
        asked = dataclasses.replace(query, equal=query.equal + bucket)
        answer = Stored(made[0], rows).read(asked, values)
        expected = [row for row in rows if all(row[column] == values[column] for column in asked.equal)]
        assert len(answer.rows) == len(expected), f"{made[0]} loses rows"
        assert (answer.partitions, answer.scanned) == (1, len(expected)), f"{made[0]} reads more than it returns"
        assert [row["at"] for row in answer.rows] == sorted((row["at"] for row in expected), reverse=True), (
            "newest first"
        )


def test_two_rows_of_the_same_instant_are_two_rows() -> None:
    stored = Stored(tables_for([IN_PARCEL], ["event_id"], days=365)[0])
    for number in (2, 1):
        stored.insert({"event_id": number, "parcel": "p7", "at": 5})
    answer = stored.read(IN_PARCEL, {"parcel": "p7"})
    assert [row["event_id"] for row in answer.rows] == [1, 2], (
        "the same primary key means overwritten, without an error"
    )


def test_a_large_partition_is_bucketed() -> None:
    partitions = [table.partition for table in tables_for([IN_DEPOT, OF_STATUS], ["event_id"], days=365)]
    assert partitions == [("depot", "day"), ("depot", "status", "month")], "40,000 and 3,000 rows a day, for a year"


# %% hidden query_tables points=4
@pytest.mark.parametrize(
    ("rows_a_day", "bucket"),
    [(10, ()), (10.1, ("month",)), (30, ("month",)), (30.1, ("day",)), (930, ("day",))],
)
def test_the_bucket_is_the_largest_that_fits(rows_a_day: float, bucket: tuple[str, ...]) -> None:
    made = tables_for([Query(("depot",), rows_a_day=rows_a_day)], ["event_id"], days=93, limit=930)
    assert made[0].partition == ("depot", *bucket), "as many rows as the limit fit, more don't"


def test_a_day_that_does_not_fit_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"."):
        tables_for([Query(("depot",), rows_a_day=1_001)], ["event_id"], days=1, limit=1_000)
    assert tables_for([Query(("depot",), rows_a_day=1_000)], ["event_id"], days=1, limit=1_000), "the limit itself fits"


def test_the_limit_is_a_hundred_thousand_rows() -> None:
    fits, over = Query(("depot",), rows_a_day=50_000), Query(("parcel",), rows_a_day=50_000.5)
    made = tables_for([fits, over], ["event_id"], days=2)
    assert [table.partition for table in made] == [("depot",), ("parcel", "day")], "where no limit is given"


def test_the_same_order_backwards_needs_no_table() -> None:
    backwards = dataclasses.replace(IN_DEPOT, order=flipped(IN_DEPOT.order))
    made = tables_for([IN_DEPOT, backwards], ["event_id"], days=365)
    assert len(made) == 1, "a slice can be read from either end"
    rows = parcel_events()
    asked = dataclasses.replace(backwards, equal=("depot", "day"))
    answer = Stored(made[0], rows).read(asked, {"depot": "A", "day": 3})
    assert [row["at"] for row in answer.rows] == sorted(row["at"] for row in answer.rows), "oldest first"


def test_equality_on_the_first_clustering_columns_needs_no_table() -> None:
    by_status = Query(("depot",), order=(By("status"), By("at", "DESC")))
    lost = Query(("depot", "status"), order=(By("at", "DESC"),))
    assert len(tables_for([by_status, lost], ["event_id"], days=10)) == 1, "the second is a slice of the first"
    assert len(tables_for([lost, by_status], ["event_id"], days=10)) == 2, "and not the other way round"


def test_another_order_or_another_bucket_needs_its_own_table() -> None:
    mixed = Query(("parcel",), order=(By("at", "DESC"), By("depot", "DESC")), rows_a_day=2)
    quiet = dataclasses.replace(IN_DEPOT, rows_a_day=1)
    made = tables_for([IN_PARCEL, mixed, IN_DEPOT, quiet], ["event_id"], days=365)
    assert [table.partition for table in made] == [("parcel",), ("parcel",), ("depot", "day"), ("depot",)], (
        "event_id ascending behind `at` can't give depots in order; a table by day needs the day"
    )


def test_reuse_counts_with_the_bucket() -> None:
    again = dataclasses.replace(IN_DEPOT, order=())
    made = tables_for([IN_DEPOT, again, IN_PARCEL], ["event_id"], days=365)
    assert [table.partition for table in made] == [("depot", "day"), ("parcel",)], "the second gives the day as well"


def test_a_range_without_an_order_sorts_ascending() -> None:
    query = Query(("depot",), between="at")
    assert tables_for([query], ["event_id"], days=10) == [Table(("depot",), (By("at"), By("event_id")))], (
        "a range is a slice only of a sorted column"
    )


def test_columns_of_the_key_come_last_and_once() -> None:
    query = Query(("depot", "parcel"), order=(By("at", "DESC"), By("b")))
    made = tables_for([query], ["parcel", "z", "at", "a", "b"], days=10)
    assert made == [Table(("depot", "parcel"), (By("at", "DESC"), By("b"), By("z"), By("a")))], "in the key's order"
    assert tables_for([Query(("event_id",))], ["event_id"], days=10) == [Table(("event_id",), ())], "nothing to sort"


def test_without_questions_there_are_no_tables() -> None:
    assert tables_for([], ["event_id"], days=10) == [], "a table that nobody reads is only written"


# %% wrong query_tables fails=test_two_rows_of_the_same_instant_are_two_rows
# "Sorted by time, that is the key": rows of one instant overwrite each other, and nothing tells.
def tables_for(queries: Sequence[Query], key: Sequence[str], days: int, limit: int = 100_000) -> list[Table]:
    """Return the tables that answer each query from one slice of one partition."""
    buckets: list[tuple[tuple[str, ...], int]] = [((), days), (("month",), 31), (("day",), 1)]
    tables: list[Table] = []
    for query in queries:
        fitting = [column for column, span in buckets if query.rows_a_day * span <= limit]
        if not fitting:
            raise ValueError(f"{query.rows_a_day} rows a day are too many for a partition")
        asked = dataclasses.replace(query, equal=query.equal + fitting[0])
        if any(refusal(table, asked) is None for table in tables):
            continue
        sort = list(query.order)
        if not sort and query.between is not None:
            sort = [By(query.between)]
        tables.append(Table(asked.equal, tuple(sort)))
    return tables


# %% wrong query_tables fails=test_a_large_partition_is_bucketed
# "Partitions grow, the cluster scales": no bucket, and one depot becomes one huge partition.
def tables_for(queries: Sequence[Query], key: Sequence[str], days: int, limit: int = 100_000) -> list[Table]:
    """Return the tables that answer each query from one slice of one partition."""
    buckets: list[tuple[tuple[str, ...], int]] = [((), 0)]
    tables: list[Table] = []
    for query in queries:
        fitting = [column for column, span in buckets if query.rows_a_day * span <= limit]
        if not fitting:
            raise ValueError(f"{query.rows_a_day} rows a day are too many for a partition")
        asked = dataclasses.replace(query, equal=query.equal + fitting[0])
        if any(refusal(table, asked) is None for table in tables):
            continue
        sort = list(query.order)
        if not sort and query.between is not None:
            sort = [By(query.between)]
        taken = {*asked.equal, *(by.column for by in sort)}
        sort += [By(column) for column in key if column not in taken]
        tables.append(Table(asked.equal, tuple(sort)))
    return tables


# %% wrong query_tables fails=test_the_same_order_backwards_needs_no_table
# "One table for each query, to the letter": the reverse order gets a copy of all data.
def tables_for(queries: Sequence[Query], key: Sequence[str], days: int, limit: int = 100_000) -> list[Table]:
    """Return the tables that answer each query from one slice of one partition."""
    buckets: list[tuple[tuple[str, ...], int]] = [((), days), (("month",), 31), (("day",), 1)]
    tables: list[Table] = []
    for query in queries:
        fitting = [column for column, span in buckets if query.rows_a_day * span <= limit]
        if not fitting:
            raise ValueError(f"{query.rows_a_day} rows a day are too many for a partition")
        asked = dataclasses.replace(query, equal=query.equal + fitting[0])
        if any(
            table.partition == asked.equal and table.clustering[: len(query.order)] == query.order for table in tables
        ):
            continue
        sort = list(query.order)
        if not sort and query.between is not None:
            sort = [By(query.between)]
        taken = {*asked.equal, *(by.column for by in sort)}
        sort += [By(column) for column in key if column not in taken]
        tables.append(Table(asked.equal, tuple(sort)))
    return tables


# %% right query_tables
def tables_for(queries: Sequence[Query], key: Sequence[str], days: int, limit: int = 100_000) -> list[Table]:
    """Return the tables that answer each query from one slice of one partition."""
    tables: list[Table] = []
    for query in queries:
        equal = query.equal
        if query.rows_a_day * days > limit:
            if query.rows_a_day * 31 <= limit:
                equal += ("month",)
            elif query.rows_a_day <= limit:
                equal += ("day",)
            else:
                raise ValueError(f"{query.rows_a_day} rows a day are too many for a partition")
        for table in tables:
            if refusal(table, Query(equal, query.order, query.between)) is None:
                break
        else:
            ways: dict[str, Way] = dict.fromkeys(key, "ASC")
            first: dict[str, Way] = {query.between: "ASC"} if query.between else {}
            if query.order:
                first = dict(query.order)
            ways = first | {column: way for column, way in ways.items() if column not in first}
            tables.append(Table(equal, tuple(By(column, way) for column, way in ways.items() if column not in equal)))
    return tables


# %% [markdown] hint query_tables
# Two questions for each query: how large does its partition get, and does a table answer it that is there already? Only
# if none does, compose a key. The bucket belongs to the query from then on: `dataclasses.replace(query, equal=…)`.

# %% [markdown] hint query_tables
# Buckets from large to small: `for column, span in (((), days), (("month",), 31), (("day",), 1))`, and take the first
# whose `rows_a_day * span` is at most the limit. If none is, raise.

# %% [markdown] hint query_tables
# `if any(refusal(table, asked) is None for table in tables): continue`. Then `sort = list(query.order)`; if it is empty
# and there is a `between`, `[By(query.between)]`. `taken` = the columns of `asked.equal` and of `sort`; append
# `By(column)` for each column of `key` that isn't in it; `Table(asked.equal, tuple(sort))`.

# %% [markdown] after query_tables
# **Why.** The order of the steps is the method: equality makes the partition, size makes the bucket, order makes the
# clustering, identity makes the tail. Each has its own bug when it is left out: a query that is refused, a partition of
# ten gigabytes, sorting in the application, rows that vanish.
#
# **What else.** A *materialized view* keeps a second table in step by itself; it is marked experimental and has lost
# updates, so teams write both tables. An *index* (SAI) spares a table for a rare query. A bucket by **hash**
# (`event_id % 16`) spreads a partition that is hot *now*, which a bucket by time doesn't: all of today's writes still
# go to one set of replicas. The price is sixteen reads for one question.
#
# The greedy reuse looks only backwards: asked in the other order, two tables are made where one would do. With twenty
# queries, sort them so that the long orders come first.
#
# **The interviewer goes on**: *How do you keep three tables in step? (A logged batch, or a stream of events that writes
# each table and may be repeated, since upserts are idempotent.) The bucket turns out too large after a year? (Old
# buckets stay; write new ones under a new table or a finer bucket, and read both until the old ones have expired.)*

# %% [markdown]
# ## The token ring
#
# The partitioner hashes the partition key to a **token**, a whole number from −2⁶³ to 2⁶³−1 (Murmur3 in Cassandra; this
# lesson takes the first bytes of MD5, which `hashlib` has). Think of the numbers as a ring. Each node picks some tokens
# of its own, its **virtual nodes**, and a token *t* owns the hashes after the previous token up to *t* itself: the
# range `(previous, t]`. Above the highest token the ring goes on at the lowest.
#
# With one token a node, shares are as uneven as the picks, and a new node takes load from one neighbour only. With many
# they even out. 16 is the default since 4.0 (`num_tokens`), and those 16 are *chosen* for evenness rather than drawn;
# it was 256 drawn ones before. More isn't free: each node then shares ranges with every other, so repair has more
# ranges to compare, and any two nodes down at once have some range in common.


# %%
RING = 2**64


def token_of(key: str) -> int:
    """Return a key's place on the ring."""
    return int.from_bytes(hashlib.md5(key.encode(), usedforsecurity=False).digest()[:8], "big", signed=True)


class VNode(NamedTuple):
    """A token that a node has picked."""

    token: int
    node: str
    rack: str


def drawn_ring(nodes: int, vnodes: int, racks: int = 3) -> list[VNode]:
    """Return the tokens of nodes n0, n1, … which stand in racks r0, r1, … by turns."""
    return [
        VNode(token_of(f"n{node}/{number}"), f"n{node}", f"r{node % racks}")
        for node in range(nodes)
        for number in range(vnodes)
    ]


@dataclass(frozen=True, repr=False)
class RingPicture:
    """A ring with the range of each token in its node's colour; as bars of shares where there is no browser."""

    vnodes: Sequence[VNode]

    @property
    def arcs(self) -> list[tuple[float, float, str]]:
        """From where to where (parts of the ring) which node owns."""
        tokens = sorted(self.vnodes)
        places = [(vnode.token + RING // 2) / RING for vnode in tokens]
        arcs = [(low, high, vnode.node) for low, high, vnode in zip(places, places[1:], tokens[1:], strict=False)]
        return [*arcs, (places[-1] - 1, places[0], tokens[0].node)]

    @property
    def shares(self) -> dict[str, float]:
        shares: dict[str, float] = {}
        for low, high, node in self.arcs:
            shares[node] = shares.get(node, 0.0) + high - low
        return dict(sorted(shares.items()))

    @property
    def title(self) -> str:
        low, high = min(self.shares.values()), max(self.shares.values())
        each = len(self.vnodes) // len(self.shares)
        return f"{len(self.shares)} nodes, {each} tokens each: the largest share is {high / low:.1f} times the smallest"

    def __repr__(self) -> str:
        bars = (f"{node:>4} {share:6.1%} {'#' * round(share * 100)}" for node, share in self.shares.items())
        return "\n".join((self.title, *bars))

    def _repr_html_(self) -> str:
        names = list(self.shares)
        hues = {node: f"hsl({360 * names.index(node) // len(names)} 70% 50%)" for node in names}
        parts = []
        for low, high, node in self.arcs:
            (x1, y1), (x2, y2) = (
                (130 + 95 * math.sin(2 * math.pi * place), 130 - 95 * math.cos(2 * math.pi * place))
                for place in (low, high)
            )
            parts.append(
                f'<path d="M {x1:.1f} {y1:.1f} A 95 95 0 {int(high - low > 0.5)} 1 {x2:.1f} {y2:.1f}" fill="none" '
                f'stroke="{hues[node]}" stroke-width="26"><title>{node}: {high - low:.1%}</title></path>'
            )
        for row, (node, share) in enumerate(self.shares.items()):
            parts.append(
                f'<text x="270" y="{48 + 21 * row}">{node}</text><rect x="296" y="{37 + 21 * row}" height="14" '
                f'width="{700 * share:.0f}" fill="{hues[node]}"/>'
                f'<text x="{302 + 700 * share:.0f}" y="{48 + 21 * row}">{share:.1%}</text>'
            )
        return (
            f'<svg role="img" aria-label="{html.escape(self.title)}" viewBox="0 0 680 260" width="680" '
            'style="max-width: 100%; height: auto" fill="currentColor" font-family="sans-serif" font-size="12" '
            f'xmlns="http://www.w3.org/2000/svg"><text x="0" y="14" font-weight="bold">{html.escape(self.title)}</text>'
            f"{''.join(parts)}</svg>"
        )


def draw_ring(nodes: int, tokens: int) -> RingPicture:
    return RingPicture(drawn_ring(nodes, tokens))


explore(draw_ring, nodes=(2, 9, 6), tokens=(1, 64, 4))

# %% [markdown]
# ### Replicas
#
# A keyspace says how many copies of a row there are, the *replication factor*, for each data centre:
#
# ```text
# CREATE KEYSPACE parcels WITH replication = {'class': 'NetworkTopologyStrategy', 'berlin': 3, 'dublin': 3};
# ```
#
# The replicas of a key are found by walking the ring clockwise from its token and taking nodes: another *node* each
# time, since the next token may belong to one that is taken already, and another *rack* as long as there are racks
# left. A rack stands for whatever fails together: in a cloud, an availability zone. With three racks and factor 3, each
# rack has a whole copy, and one may burn. The walk is done for each data centre separately; the exercise has one.
#
# Every node knows all tokens (by *gossip*), so every node can do this; drivers do it too, and send a request straight
# to a replica ("token aware").

# %% [markdown] exercise rack_ring topic=apache-cassandra level=senior minutes=25
# ## Exercise: Who has the row?
#
# A support tool has to say which nodes hold a customer's data, and how evenly a planned cluster would be filled.
#
# `TokenRing(vnodes)` takes `VNode`s of one data centre in any order, at least one. Two of the same token are a
# `ValueError`. A node's rack is the same in all of its `VNode`s.
#
# * `replicas(token, factor)` returns names of nodes in the order of the walk. It starts at the first virtual node whose
#   token is at or above `token` (above the highest: at the lowest) and goes up the ring, once around. A node that is
#   taken already is passed over. A node whose rack has no replica yet is taken. A node whose rack has one already is a
#   *repeat*, and is taken only while there are repeats left: there are `factor` minus the number of racks in the ring,
#   none if that is negative. The walk ends with `factor` nodes; where there are fewer nodes, all of them are returned.
#   A factor below 1 is a `ValueError`. (Errors have a message.)
# * `load(factor)` returns a dict: for each node, how many of the ring's 2⁶⁴ tokens (the whole numbers from −2⁶³ to
#   2⁶³−1) have it among their replicas, exactly.
#
# `replicas` finds its start by binary search: with thousands of virtual nodes it compares `token` with a few dozen of
# them at most.
#
# ```python
# >>> ring = TokenRing([VNode(0, "a", "r1"), VNode(10, "b", "r1"), VNode(20, "c", "r2"), VNode(30, "a", "r1")])
# >>> ring.replicas(5, 2), ring.replicas(10, 1), ring.replicas(31, 2)
# (['b', 'c'], ['b'], ['a', 'c'])
# >>> ring.replicas(5, 3)
# ['b', 'c', 'a']
# >>> ring.load(1)["b"], ring.load(1)["c"], sum(ring.load(1).values()) == 2**64
# (10, 10, True)
# ```
#
# The third answer passes over b: it stands in a's rack, and with factor 2 and two racks no repeat is allowed.


# %%
SMALL = [VNode(40, "d", "r3"), VNode(0, "a", "r1"), VNode(30, "c", "r2"), VNode(10, "b", "r1"), VNode(20, "a", "r1")]


# %% solution rack_ring
class TokenRing:
    """The tokens of a data centre, and the replicas that follow from them."""

    def __init__(self, vnodes: Iterable[VNode]) -> None:
        """Take the virtual nodes, in any order."""
        # BEGIN SOLUTION
        self._vnodes = sorted(vnodes)
        self._tokens = [vnode.token for vnode in self._vnodes]
        if len(set(self._tokens)) < len(self._tokens):
            raise ValueError("two virtual nodes have the same token")
        # END SOLUTION

    def replicas(self, token: int, factor: int) -> list[str]:
        """Return the nodes that hold a token."""
        # BEGIN SOLUTION
        if factor < 1:
            raise ValueError(f"a replication factor of {factor}")
        repeats = factor - len({vnode.rack for vnode in self._vnodes})
        start = bisect.bisect_left(self._tokens, token)
        found: list[str] = []
        racks: set[str] = set()
        for vnode in self._vnodes[start:] + self._vnodes[:start]:
            if vnode.node in found:
                continue
            if vnode.rack in racks:
                if repeats <= 0:
                    continue
                repeats -= 1
            found.append(vnode.node)
            racks.add(vnode.rack)
            if len(found) == factor:
                break
        return found
        # END SOLUTION

    def load(self, factor: int) -> dict[str, int]:
        """Return for each node of how many tokens it is a replica."""
        # BEGIN SOLUTION
        loads = {vnode.node: 0 for vnode in self._vnodes}
        previous = self._tokens[-1]
        for token in self._tokens:
            for node in self.replicas(token, factor):
                loads[node] += (token - previous) % RING or RING
            previous = token
        return loads
        # END SOLUTION


# %% check rack_ring points=2
def test_the_owner_of_a_token_is_the_next_at_or_above() -> None:
    ring = TokenRing(SMALL)
    assert [ring.replicas(token, 1) for token in (1, 10, 11, 30, 39)] == [["b"], ["b"], ["a"], ["c"], ["d"]], (
        "the virtual node at 10 owns (0, 10], 10 included"
    )


def test_replicas_stand_in_different_racks() -> None:
    ring = TokenRing(SMALL)
    assert ring.replicas(1, 2) == ["b", "c"], "a comes first on the ring, and stands in b's rack"
    assert ring.replicas(21, 3) == ["c", "d", "a"], "the walk goes on around the ring"


def test_the_load_of_all_nodes_is_the_ring_times_the_factor() -> None:
    for factor in (1, 2, 3):
        assert sum(TokenRing(SMALL).load(factor).values()) == factor * RING, "each token has as many replicas"


# %% hidden rack_ring points=5
def test_above_the_highest_token_the_ring_begins_again() -> None:
    ring = TokenRing(SMALL)
    assert ring.replicas(41, 1) == ring.replicas(-(2**63), 1) == ring.replicas(0, 1) == ["a"], "it is a ring"
    assert ring.replicas(2**63 - 1, 3) == ["a", "c", "d"], "the whole walk, from the lowest token"


def test_a_node_is_taken_once_however_many_tokens_it_has() -> None:
    ring = TokenRing([VNode(token, "ab"[token > 3], "r1") for token in range(6)])
    assert ring.replicas(1, 2) == ["a", "b"], "two copies on one machine are one copy"


def test_a_rack_repeats_only_where_racks_are_too_few() -> None:
    ring = TokenRing([VNode(0, "a", "r1"), VNode(1, "b", "r1"), VNode(2, "c", "r1"), VNode(3, "d", "r2")])
    assert ring.replicas(0, 2) == ["a", "d"], "two racks, two replicas: none repeats"
    assert ring.replicas(0, 3) == ["a", "b", "d"], "one repeat, the first that comes, and r2 isn't left out"
    assert ring.replicas(0, 4) == ["a", "b", "c", "d"], "two repeats"


def test_a_negative_number_of_repeats_is_none() -> None:
    places = [(0, "a", "r1"), (1, "b", "r1"), (2, "c", "r2"), (3, "d", "r3"), (4, "e", "r4")]
    assert TokenRing([VNode(*place) for place in places]).replicas(0, 2) == ["a", "c"], "four racks, two replicas"


def test_fewer_nodes_than_the_factor_are_all_returned() -> None:
    assert TokenRing(SMALL).replicas(1, 9) == ["b", "a", "c", "d"], "there are four nodes, each once"
    assert TokenRing([VNode(5, "a", "r1")]).replicas(7, 3) == ["a"], "a ring of one"


@pytest.mark.parametrize("factor", [0, -1])
def test_a_factor_below_one_is_an_error(factor: int) -> None:
    with pytest.raises(ValueError, match=r"."):
        TokenRing(SMALL).replicas(1, factor)


def test_two_nodes_with_one_token_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"."):
        TokenRing([VNode(1, "a", "r1"), VNode(2, "b", "r2"), VNode(1, "c", "r3")])


def test_the_load_is_exact() -> None:
    ring = TokenRing(SMALL)
    assert ring.load(1) == {"a": RING - 40 + 10, "b": 10, "c": 10, "d": 10}, "the range that wraps is a's"
    assert ring.load(2) == {"a": RING - 20, "b": 10, "c": RING - 10, "d": 20}, "and the next rack's copy"
    assert TokenRing([VNode(5, "a", "r1")]).load(1) == {"a": RING}, "one token owns everything, not nothing"


def test_every_node_is_listed_and_the_ring_is_left_as_it_was() -> None:
    vnodes = drawn_ring(7, 8)
    before = list(vnodes)
    ring = TokenRing(iter(vnodes))
    loads = ring.load(3)
    assert (set(loads), sum(loads.values())) == ({f"n{node}" for node in range(7)}, 3 * RING), (
        "seven nodes, three copies"
    )
    assert vnodes == before, "the caller's list isn't sorted in place"
    assert [ring.load(3), ring.replicas(9, 3)] == [loads, ring.replicas(9, 3)], "asking changes nothing"


def test_three_racks_have_a_whole_copy_each() -> None:
    vnodes = drawn_ring(9, 16)
    racks = {vnode.node: vnode.rack for vnode in vnodes}
    loads = TokenRing(vnodes).load(3)
    for rack in ("r0", "r1", "r2"):
        assert sum(load for node, load in loads.items() if racks[node] == rack) == RING, "so that one rack may burn"


def test_the_start_is_found_by_binary_search() -> None:
    compared = 0

    class Counted(int):
        def _count(self, other: object) -> None:
            nonlocal compared
            compared += 1

        def __lt__(self, other: int) -> bool:
            self._count(other)
            return int(self) < other

        def __le__(self, other: int) -> bool:
            self._count(other)
            return int(self) <= other

        def __gt__(self, other: int) -> bool:
            self._count(other)
            return int(self) > other

        def __ge__(self, other: int) -> bool:
            self._count(other)
            return int(self) >= other

    ring = TokenRing(drawn_ring(9, 256))
    compared = 0
    assert ring.replicas(Counted(token_of("parcel 7")), 3) == ring.replicas(token_of("parcel 7"), 3), "the same token"
    assert compared <= 40, f"{compared} comparisons among 2,304 tokens: this runs for every request"


# %% wrong rack_ring fails=test_replicas_stand_in_different_racks
# "The next nodes on the ring": that is SimpleStrategy; one rack may then hold every copy.
class TokenRing:
    """The tokens of a data centre, and the replicas that follow from them."""

    def __init__(self, vnodes: Iterable[VNode]) -> None:
        """Take the virtual nodes, in any order."""
        self._vnodes = sorted(vnodes)
        self._tokens = [vnode.token for vnode in self._vnodes]
        if len(set(self._tokens)) < len(self._tokens):
            raise ValueError("two virtual nodes have the same token")

    def replicas(self, token: int, factor: int) -> list[str]:
        """Return the nodes that hold a token."""
        if factor < 1:
            raise ValueError(f"a replication factor of {factor}")
        start = bisect.bisect_left(self._tokens, token)
        found: list[str] = []
        for vnode in self._vnodes[start:] + self._vnodes[:start]:
            if vnode.node in found:
                continue
            found.append(vnode.node)
            if len(found) == factor:
                break
        return found

    def load(self, factor: int) -> dict[str, int]:
        """Return for each node of how many tokens it is a replica."""
        loads = {vnode.node: 0 for vnode in self._vnodes}
        previous = self._tokens[-1]
        for token in self._tokens:
            for node in self.replicas(token, factor):
                loads[node] += (token - previous) % RING or RING
            previous = token
        return loads


# %% wrong rack_ring fails=test_the_owner_of_a_token_is_the_next_at_or_above
# "The owner is the token above": a key that hashes to a token itself goes to the wrong node.
class TokenRing:
    """The tokens of a data centre, and the replicas that follow from them."""

    def __init__(self, vnodes: Iterable[VNode]) -> None:
        """Take the virtual nodes, in any order."""
        self._vnodes = sorted(vnodes)
        self._tokens = [vnode.token for vnode in self._vnodes]
        if len(set(self._tokens)) < len(self._tokens):
            raise ValueError("two virtual nodes have the same token")

    def replicas(self, token: int, factor: int) -> list[str]:
        """Return the nodes that hold a token."""
        if factor < 1:
            raise ValueError(f"a replication factor of {factor}")
        repeats = factor - len({vnode.rack for vnode in self._vnodes})
        start = bisect.bisect_right(self._tokens, token)
        found: list[str] = []
        racks: set[str] = set()
        for vnode in self._vnodes[start:] + self._vnodes[:start]:
            if vnode.node in found:
                continue
            if vnode.rack in racks:
                if repeats <= 0:
                    continue
                repeats -= 1
            found.append(vnode.node)
            racks.add(vnode.rack)
            if len(found) == factor:
                break
        return found

    def load(self, factor: int) -> dict[str, int]:
        """Return for each node of how many tokens it is a replica."""
        loads = {vnode.node: 0 for vnode in self._vnodes}
        previous = self._tokens[-1]
        for token in self._tokens:
            for node in self.replicas(token, factor):
                loads[node] += (token - previous) % RING or RING
            previous = token
        return loads


# %% wrong rack_ring fails=test_a_node_is_taken_once_however_many_tokens_it_has
# "Virtual nodes are nodes": a machine with neighbouring tokens holds two of the copies.
class TokenRing:
    """The tokens of a data centre, and the replicas that follow from them."""

    def __init__(self, vnodes: Iterable[VNode]) -> None:
        """Take the virtual nodes, in any order."""
        self._vnodes = sorted(vnodes)
        self._tokens = [vnode.token for vnode in self._vnodes]
        if len(set(self._tokens)) < len(self._tokens):
            raise ValueError("two virtual nodes have the same token")

    def replicas(self, token: int, factor: int) -> list[str]:
        """Return the nodes that hold a token."""
        if factor < 1:
            raise ValueError(f"a replication factor of {factor}")
        repeats = factor - len({vnode.rack for vnode in self._vnodes})
        start = bisect.bisect_left(self._tokens, token)
        found: list[str] = []
        racks: set[str] = set()
        for vnode in self._vnodes[start:] + self._vnodes[:start]:
            if vnode.rack in racks:
                if repeats <= 0:
                    continue
                repeats -= 1
            found.append(vnode.node)
            racks.add(vnode.rack)
            if len(found) == factor:
                break
        return found

    def load(self, factor: int) -> dict[str, int]:
        """Return for each node of how many tokens it is a replica."""
        loads = {vnode.node: 0 for vnode in self._vnodes}
        previous = self._tokens[-1]
        for token in self._tokens:
            for node in self.replicas(token, factor):
                loads[node] += (token - previous) % RING or RING
            previous = token
        return loads


# %% right rack_ring
class TokenRing:
    """The tokens of a data centre, and the replicas that follow from them."""

    def __init__(self, vnodes: Iterable[VNode]) -> None:
        """Take the virtual nodes, in any order."""
        self.by_token: dict[int, VNode] = {}
        for vnode in vnodes:
            if vnode.token in self.by_token:
                raise ValueError(f"two nodes have the token {vnode.token}")
            self.by_token[vnode.token] = vnode
        self.tokens = sorted(self.by_token)
        self.racks = {vnode.node: vnode.rack for vnode in self.by_token.values()}

    def replicas(self, token: int, factor: int) -> list[str]:
        """Return the nodes that hold a token."""
        if factor <= 0:
            raise ValueError("at least one replica")
        start = bisect.bisect_left(self.tokens, token)
        walk = itertools.chain(range(start, len(self.tokens)), range(start))
        order = list(dict.fromkeys(self.by_token[self.tokens[place]].node for place in walk))
        first = {self.racks[node]: node for node in reversed(order)}
        others = [node for node in order if first[self.racks[node]] != node]
        taken = {*first.values(), *others[: max(0, factor - len(first))]}
        return [node for node in order if node in taken][:factor]

    def load(self, factor: int) -> dict[str, int]:
        """Return for each node of how many tokens it is a replica."""
        loads: Counter[str] = Counter(dict.fromkeys(self.racks, 0))
        low = self.tokens[-1] - RING
        for token in self.tokens:
            for node in self.replicas(token, factor):
                loads[node] += token - low
            low = token
        return dict(loads)


# %% [markdown] hint rack_ring
# Sort once, when the ring is made, and keep the tokens as a list of their own: then the start is a matter for `bisect`.
# The walk is one loop over at most all virtual nodes, with an index that wraps (`% len`).

# %% [markdown] hint rack_ring
# `bisect.bisect_left(tokens, token)` is the first at or above; `bisect_right` would give the key with exactly that
# token to the next node. In the loop: taken already? Rack new? If not, a repeat left? For `load`: all tokens of one
# range have the same replicas, those of the range's upper end.

# %% [markdown] hint rack_ring
# `repeats = factor - number of racks`; in the walk `if vnode.rack in racks: if repeats <= 0: continue; repeats -= 1`.
# A range's size is `(token - previous) % RING`, where the first's `previous` is the last token. With a single token
# that is 0 and means all: `… or RING`.

# %% [markdown] after rack_ring
# **Why.** The ring is a sorted list and a binary search; there is no table of keys to look up, keep or lose. The walk
# counts nodes and racks, not tokens. The number of repeats is allowed from the start (and not saved up for the end), so
# each rack gets one replica for certain, and the walk needs to go around only once.
#
# **What it costs.** Racks of unequal size are filled unequally: with three racks and factor 3 each *rack* has one
# copy, so a rack of one node has all of it on that node. Keep racks equal, or name one rack for all. Changing a
# node's rack or the `snitch` afterwards moves replicas without moving data: reads then find nothing until repair.
#
# **The interviewer goes on**: *What moves when a node joins? (For each of its tokens, a part of one range and of those
# for which it becomes a replica by rack; about 1/n of the data, from many nodes. It streams before it serves.) Why is
# the partition and not the row hashed? (So that a slice is on one node.) How do you raise the factor? (ALTER, then full
# repair. Until then the new replica is empty, so raise it by one at a time and read at QUORUM meanwhile: from one copy
# to three at once, a quorum may be the two empty ones.)*

# %% [markdown]
# ## Consistency levels
#
# Whatever the level, the coordinator sends a write to **all** replicas that are up. The **consistency levels** say how
# many must have *acknowledged* before the client hears "done", and for a read how many must have *answered*:
#
# | level | replicas, of N | use |
# | --- | --- | --- |
# | `ANY` (writes) | 1, and a hint counts | almost never: nobody may be able to read it |
# | `ONE`, `TWO`, `THREE` | 1, 2, 3 | what may be stale or lost: metrics, caches |
# | `QUORUM` | N // 2 + 1, counted over all data centres | rare: it waits for the other region |
# | `LOCAL_QUORUM` | a majority of those in the coordinator's data centre | the usual choice |
# | `EACH_QUORUM` | a majority in each data centre | what each region must have; fails when one is cut off |
# | `ALL` | N | one node down, and it fails |
# | `SERIAL`, `LOCAL_SERIAL` | a Paxos round | `INSERT … IF NOT EXISTS`, and reads of such rows |
#
# With W acknowledgements and R answers out of N replicas, **R + W > N** means that the two groups share a replica, so
# the read sees the write. It is arithmetic about sets, and no lock: it needs every acknowledgement to be true, the
# newest answer to be recognised by its *timestamp*, and says nothing about a write that has *failed*.
#
# ### What happens to the copies that missed it
#
# * **Hinted handoff**: for a replica that is down or doesn't answer, the coordinator keeps a hint, and delivers it when
#   the node is back; for nodes down longer than three hours (`max_hint_window`) no further hints are kept. A hint isn't
#   a copy: it can't be read, and dies with the coordinator's disk.
# * **Read repair**: if the answers of a read differ, the newest is written back to those asked that lack it, before the
#   client gets it (`read_repair = 'BLOCKING'`, the default of a table). With a quorum, that makes reads *monotonic*:
#   what one quorum read has seen, the next sees too. `ONE` asks one and finds no difference, so it repairs nothing.
# * **Anti-entropy repair** (`nodetool repair`): the replicas compare hash trees of their ranges and stream what
#   differs. The only one of the three that reaches rows which nobody reads.
#
# ### Which answer is the newest
#
# Each cell carries a timestamp in microseconds, of the client's clock by default. The highest wins; on a tie a deletion
# wins over a value, and a larger value over a smaller one, so that all replicas choose alike whatever came first. That
# is *last write wins*, with two consequences: of two concurrent updates one is silently lost (read, add one, write back
# loses counts: use `counter` or `IF`), and **a clock that is ahead by a minute wins for a minute**.


# %%
@dataclass(frozen=True)
class Cell:
    """What a replica keeps for a key. The value None is a deletion: a tombstone."""

    value: str | None
    stamp: int  # microseconds by the writer's clock; decides which cell wins
    deleted_at: int = 0  # of a tombstone: when it was made, in seconds by the server's clock


def rank(cell: Cell) -> tuple[int, bool, str, int]:
    """Return a key for `max`: the cell that wins ranks highest."""
    return (cell.stamp, cell.value is None, cell.value or "", cell.deleted_at)


class Replica:
    """A node with a copy. `up` is what gossip says; one that is `late` does the work, and answers too late."""

    def __init__(self, name: str, up: bool = True, late: bool = False) -> None:
        self.name, self.up, self.late = name, up, late
        self.cells: dict[str, Cell] = {}
        self.calls: list[str] = []

    def _answers(self) -> None:
        if self.late or not self.up:
            raise TimeoutError(self.name)

    def write(self, key: str, cell: Cell) -> None:
        """Keep the cell, unless a newer one is here; return to acknowledge, or raise TimeoutError."""
        self.calls.append("write")
        if self.up:
            self.cells[key] = max(self.cells.get(key, cell), cell, key=rank)
        self._answers()

    def read(self, key: str) -> Cell | None:
        """Return the cell, None if there is none, or raise TimeoutError."""
        self.calls.append("read")
        self._answers()
        return self.cells.get(key)


copy = Replica("n1")
right, ahead = 1_000_000, 1_000_000 + 60_000_000
copy.write("p7", Cell("packed", right))
copy.write("p7", Cell(None, ahead, deleted_at=61))
copy.write("p7", Cell("sent", right + 5_000_000))
print("deleted by a machine whose clock is a minute ahead; five seconds later 'sent' was written and acknowledged.")
print("what the replica has:", copy.read("p7"))

# %% [markdown]
# All pairs of levels with three replicas: the write reaches exactly the W that acknowledge it, any W of them; the read
# asks any R. How many of the combinations return the old value? The sliders choose W, R and how many replicas are down
# *the whole time*; the picture below the table shows the worst case of the chosen pair.


# %%
def stale_cases(write: int, read: int, down: int = 0, copies: int = 3) -> tuple[int, int]:
    """Return how many of all choices of replicas read the old value, and how many choices there are."""
    names = [f"n{number}" for number in range(1, copies + 1)][: copies - down]
    stale = cases = 0
    for wrote, asked in itertools.product(itertools.combinations(names, write), itertools.combinations(names, read)):
        replicas = {name: Replica(name) for name in names}
        for name, replica in replicas.items():
            replica.write("k", Cell("old", 1))
            if name in wrote:
                replica.write("k", Cell("new", 2))
        answers = [cell for name in asked if (cell := replicas[name].read("k")) is not None]
        cases += 1
        stale += max(answers, key=rank).value == "old"
    return stale, cases


@dataclass(frozen=True, repr=False)
class Levels:
    """Stale reads for each W and R of three replicas, some of which are down."""

    write: int
    read: int
    down: int

    @property
    def title(self) -> str:
        total = self.write + self.read
        sign = ">" if total > 3 else "≤"
        result = self.cell(self.write, self.read)
        return f"W = {self.write}, R = {self.read}, {self.down} of 3 down: R + W = {total} {sign} 3, {result}"

    def cell(self, write: int, read: int) -> str:
        up = 3 - self.down
        if write > up or read > up:
            return "write fails" if write > up else "read fails"
        stale, cases = stale_cases(write, read, self.down)
        return f"{stale} of {cases} stale"

    def __repr__(self) -> str:
        lines = [self.title, f"{'':8}" + "".join(f"{f'R = {read}':>16}" for read in (1, 2, 3))]
        for write in (1, 2, 3):
            lines.append(f"{f'W = {write}':8}" + "".join(f"{self.cell(write, read):>16}" for read in (1, 2, 3)))
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        parts = []
        for write, read in itertools.product((1, 2, 3), (1, 2, 3)):
            left, top, text = 70 + 130 * (read - 1), 50 + 34 * (write - 1), self.cell(write, read)
            bad = "#d55e00" if "fails" in text else "#009e73" if text.startswith("0 ") else "#e69f00"
            width = 3 if (write, read) == (self.write, self.read) else 0
            parts.append(
                f'<rect x="{left}" y="{top}" width="124" height="28" rx="3" fill="{bad}" fill-opacity="0.35" '
                f'stroke="currentColor" stroke-width="{width}"/><text x="{left + 62}" y="{top + 19}" '
                f'text-anchor="middle">{text}</text>'
            )
        for number in (1, 2, 3):
            parts.append(f'<text x="{130 * number}" y="42" text-anchor="middle">R = {number}</text>')
            parts.append(f'<text x="10" y="{35 + 34 * number}">W = {number}</text>')
        up = 3 - self.down
        for number in range(3):
            has, asked = number < min(self.write, up), up - self.read <= number < up
            words = "down" if number >= up else " and ".join(["new" if has else "old"] + ["read"] * asked)
            fill = "#999999" if number >= up else "#0072b2" if has else "none"
            parts.append(
                f'<circle cx="{130 + 130 * number}" cy="188" r="17" fill="{fill}" stroke="currentColor" '
                f'stroke-width="{5 if asked else 1}"/><text x="{130 + 130 * number}" y="224" text-anchor="middle">'
                f"n{number + 1}: {words}</text>"
            )
        return (
            f'<svg role="img" aria-label="{html.escape(self.title)}" viewBox="0 0 520 236" width="520" '
            'style="max-width: 100%; height: auto" fill="currentColor" font-family="sans-serif" font-size="12" '
            f'xmlns="http://www.w3.org/2000/svg"><text x="0" y="14" font-weight="bold">{html.escape(self.title)}</text>'
            f"{''.join(parts)}</svg>"
        )


def draw_levels(write: int, read: int, down: int) -> Levels:
    return Levels(write, read, down)


explore(draw_levels, write=(1, 3, 1), read=(1, 3, 2), down=(0, 2, 0))

# %% [markdown]
# While all are up, the zeros are exactly the pairs with R + W > 3. With one node down, `QUORUM` on both sides is the
# only pair above 3 that still works; `ALL` on one side buys nothing but fragility. (W = 1, R = 2 then shows a zero too,
# since both that are left are read. It holds for as long as the same node stays away, which nobody promises.)
#
# Now with failures that come and go. A key has three replicas on the ring of six; each message is lost with a
# probability of 10 %, and writes go to all three, as they really do:


# %%
def trial(write: int, read: int, lost: float = 0.1, rounds: int = 4_000, seed: int = 11) -> Counter[str]:
    """Count what becomes of writes that are each followed by a read. There are no hints and no repair."""
    dice = random.Random(seed)
    seen: Counter[str] = Counter()
    for _ in range(rounds):
        replicas = [Replica(name) for name in ("n1", "n4", "n5")]
        for replica in replicas:
            replica.write("k", Cell("old", 1))
        reached = [replica for replica in replicas if dice.random() >= lost]
        for replica in reached:
            replica.write("k", Cell("new", 2))
        answering = [replica for replica in replicas if dice.random() >= lost]
        asked = dice.sample(answering, min(read, len(answering)))
        newest = max((cell for replica in asked if (cell := replica.read("k"))), key=rank, default=None)
        if len(reached) < write:
            seen["write fails"] += 1
            if len(asked) == read and newest is not None and newest.value == "new":
                seen["and is read all the same"] += 1
        elif len(asked) < read:
            seen["read fails"] += 1
        else:
            seen["stale" if newest is not None and newest.value == "old" else "new"] += 1
    return seen


outcomes = ("new", "stale", "read fails", "write fails", "and is read all the same")
print(f"{'write, read':18}{'R + W':>6}" + "".join(f"{outcome:>{max(12, len(outcome) + 2)}}" for outcome in outcomes))
needs = {"ONE": 1, "QUORUM": 2, "ALL": 3}
for pair in ("ONE ONE", "ONE QUORUM", "QUORUM ONE", "QUORUM QUORUM", "ALL ONE", "ONE ALL"):
    w, r = (needs[word] for word in pair.split())
    result = trial(w, r)
    cells = "".join(f"{result[outcome] / 4_000:>{max(12, len(outcome) + 2)}.1%}" for outcome in outcomes)
    print(f"{pair.replace(' ', ', '):18}{w + r:>6}{cells}")

# %% [markdown]
# No pair above 3 reads stale; what differs is what fails. `ALL, ONE` refuses a quarter of the writes, `QUORUM, QUORUM`
# a few of either. The last column is the trap in the interview: **a write that "failed" may be there.** A timeout means
# that too few acknowledged, not that nothing happened; nothing is rolled back. The client repeats it (with the same
# timestamp, so that it stays *the same* write), and only idempotent statements are safe to repeat: `SET status = 'out'`
# is, `counter + 1` and appending to a list are not.
#
# Two errors, then. `UnavailableException`: by gossip, fewer replicas are alive than the level needs; nothing was sent.
# `WriteTimeoutException`: it was sent, and too few acknowledged in time.

# %% [markdown] exercise mend_coordinator topic=apache-cassandra level=senior minutes=30
# ## Exercise: The coordinator that says "done"
#
# A team has built a small replicated store after Cassandra's model. The incident log: confirmed writes are gone after
# a restart; after a failed write the value is there on one node; reads at QUORUM return an old value, depending on who
# answers last; a deleted parcel was "repaired" and is back. Mend it.
#
# `required(level, copies)` is how many replicas of `copies` a level needs: `"ONE"`, `"TWO"`, `"QUORUM"` (a majority of
# all copies, up or not), `"ALL"`. Another level is a `ValueError` with a message.
#
# `Coordinator(replicas)` works with `Replica`s (above), the nearest first. It calls only replicas that are up. The
# errors have `need` (what the level requires) and `got`.
#
# * `write(key, cell, level)`. If fewer are up than required: `UnavailableError(need, got=those up)`, and nothing is
#   written or noted. Otherwise the cell goes to every replica that is up. For each that is down, or whose call raises
#   `TimeoutError`, a `Hint(replica, key, cell)` is put into the list `hints`, in the replicas' order. If fewer than
#   required have acknowledged: `WriteTimeoutError(need, got=acknowledgements)`; hints and what has been written stay.
# * `read(key, level)`. `UnavailableError` as above. Otherwise it asks as many as required and no more, in order; for
#   one that raises `TimeoutError` it asks the next one that is up. Too few answers: `ReadTimeoutError(need,
#   got=answers)`. The cell that ranks highest (`rank`) wins; it is then written, as it is, to those who have answered
#   with another cell or with None, and to nobody else. Returned is its value, None for a tombstone or if nobody has a
#   cell (nothing is written then). (That a repair raises `TimeoutError` doesn't occur here.)
# * `replay()` sends the hints, in order, to the replicas that are up. A hint stays where the replica is down or raises
#   `TimeoutError`; the others are gone. It returns how many have been delivered.
#
# Any other error of a replica comes out.
#
# ```python
# >>> n1, n2, n3 = Replica("n1"), Replica("n2"), Replica("n3", up=False)
# >>> store = Coordinator([n1, n2, n3])
# >>> store.write("p7", Cell("out", stamp=5), "QUORUM")
# >>> store.read("p7", "ONE"), len(store.hints)
# ('out', 1)
# >>> store.write("p7", Cell("in", stamp=6), "ALL")
# Traceback (most recent call last):
#     ...
# UnavailableError: 2 of 3
# >>> n3.up = True
# >>> store.replay(), n3.cells["p7"].value, store.hints
# (1, 'out', [])
# ```


# %%
class NotEnoughError(Exception):
    """Too few replicas for the consistency level."""

    def __init__(self, need: int, got: int) -> None:
        super().__init__(f"{got} of {need}")
        self.need, self.got = need, got


class UnavailableError(NotEnoughError):
    """Too few are up; nothing has been sent."""


class WriteTimeoutError(NotEnoughError):
    """Too few have acknowledged; the others may have it or not."""


class ReadTimeoutError(NotEnoughError):
    """Too few have answered."""


class Hint(NamedTuple):
    """A write that a replica has missed, or may have missed."""

    replica: Replica
    key: str
    cell: Cell


# %% starter mend_coordinator
def required(level: str, copies: int) -> int:
    """Return how many replicas a level needs."""
    needs = {"ONE": 1, "TWO": 2, "QUORUM": copies // 2, "ALL": copies}
    if level not in needs:
        raise ValueError(f"unknown consistency level {level!r}")
    return needs[level]


class Coordinator:
    """Passes reads and writes on to the replicas of a key."""

    def __init__(self, replicas: Iterable[Replica]) -> None:
        """Take the replicas, the nearest first."""
        self.replicas = list(replicas)
        self.hints: list[Hint] = []

    def write(self, key: str, cell: Cell, level: str) -> None:
        """Write to all that are up; return when enough have acknowledged."""
        need = required(level, len(self.replicas))
        acknowledged = 0
        for replica in self.replicas:
            if replica.up:
                try:
                    replica.write(key, cell)
                except TimeoutError:
                    self.hints.append(Hint(replica, key, cell))
            else:
                self.hints.append(Hint(replica, key, cell))
            acknowledged += 1  # written, or noted
        if acknowledged < need:
            raise WriteTimeoutError(need, acknowledged)

    def read(self, key: str, level: str) -> str | None:
        """Return the newest value of as many replicas as the level needs, and repair those."""
        need = required(level, len(self.replicas))
        newest: Cell | None = None
        answered: list[Replica] = []
        for replica in self.replicas:
            if not replica.up or len(answered) == need:
                continue
            try:
                cell = replica.read(key)
            except TimeoutError:
                continue
            answered.append(replica)
            if cell is not None and cell.value is not None:
                newest = cell
        if len(answered) < need:
            raise ReadTimeoutError(need, len(answered))
        if newest is None:
            return None
        for replica in answered:
            replica.cells[key] = newest
        return newest.value

    def replay(self) -> int:
        """Deliver the hints of replicas that are up; return how many."""
        delivered = 0
        for hint in self.hints:
            if hint.replica.up:
                hint.replica.write(hint.key, hint.cell)
                delivered += 1
        self.hints.clear()
        return delivered


# %% solution mend_coordinator
# BEGIN SOLUTION
def required(level: str, copies: int) -> int:
    """Return how many replicas a level needs."""
    needs = {"ONE": 1, "TWO": 2, "QUORUM": copies // 2 + 1, "ALL": copies}
    if level not in needs:
        raise ValueError(f"unknown consistency level {level!r}")
    return needs[level]


class Coordinator:
    """Passes reads and writes on to the replicas of a key."""

    def __init__(self, replicas: Iterable[Replica]) -> None:
        """Take the replicas, the nearest first."""
        self.replicas = list(replicas)
        self.hints: list[Hint] = []

    def _need(self, level: str) -> int:
        """Return how many the level needs, or raise UnavailableError."""
        need = required(level, len(self.replicas))
        alive = sum(replica.up for replica in self.replicas)
        if alive < need:
            raise UnavailableError(need, alive)
        return need

    def write(self, key: str, cell: Cell, level: str) -> None:
        """Write to all that are up; return when enough have acknowledged."""
        need = self._need(level)
        acknowledged = 0
        for replica in self.replicas:
            if self._sent(replica, key, cell):
                acknowledged += 1
            else:
                self.hints.append(Hint(replica, key, cell))
        if acknowledged < need:
            raise WriteTimeoutError(need, acknowledged)

    def _sent(self, replica: Replica, key: str, cell: Cell) -> bool:
        """Return whether a replica is up and has acknowledged."""
        try:
            if replica.up:
                replica.write(key, cell)
        except TimeoutError:
            return False
        return replica.up

    def read(self, key: str, level: str) -> str | None:
        """Return the newest value of as many replicas as the level needs, and repair those."""
        need = self._need(level)
        answers: list[tuple[Replica, Cell | None]] = []
        for replica in self.replicas:
            if replica.up and len(answers) < need:
                try:
                    answers.append((replica, replica.read(key)))
                except TimeoutError:
                    continue
        if len(answers) < need:
            raise ReadTimeoutError(need, len(answers))
        newest = max((cell for _, cell in answers if cell is not None), key=rank, default=None)
        if newest is None:
            return None
        for replica, cell in answers:
            if cell != newest:
                replica.write(key, newest)
        return newest.value

    def replay(self) -> int:
        """Deliver the hints of replicas that are up; return how many."""
        before = len(self.hints)
        self.hints = [hint for hint in self.hints if not self._sent(*hint)]
        return before - len(self.hints)


# END SOLUTION


# %% check mend_coordinator points=2
def test_a_hint_is_no_acknowledgement() -> None:
    here, late, down = Replica("n1"), Replica("n2", late=True), Replica("n3", up=False)
    with pytest.raises(WriteTimeoutError) as caught:
        Coordinator([here, late, down]).write("p7", Cell("out", 5), "QUORUM")
    assert (caught.value.need, caught.value.got) == (2, 1), "one copy is certain; notes about the others are no copies"


def test_the_highest_stamp_wins_whoever_answers_last() -> None:
    new, old, older = Replica("n1"), Replica("n2"), Replica("n3")
    for replica, stamp in ((new, 9), (old, 5), (older, 3)):
        replica.write("p7", Cell(f"at {stamp}", stamp))
    assert Coordinator([new, old, older]).read("p7", "ALL") == "at 9", "arrival says nothing about age"


def test_a_write_that_cannot_succeed_reaches_nobody() -> None:
    replicas = [Replica("n1"), Replica("n2", up=False), Replica("n3", up=False)]
    store = Coordinator(replicas)
    with pytest.raises(UnavailableError) as caught:
        store.write("p7", Cell("out", 5), "QUORUM")
    assert (caught.value.need, caught.value.got) == (2, 1), "a majority of three is two"
    assert ([replica.calls for replica in replicas], store.hints) == ([[], [], []], []), (
        "refused before anything is sent"
    )


# %% hidden mend_coordinator points=6
@pytest.mark.parametrize(
    ("level", "expected"),
    [("ONE", [1, 1, 1, 1, 1]), ("TWO", [2, 2, 2, 2, 2]), ("QUORUM", [1, 2, 2, 3, 3]), ("ALL", [1, 2, 3, 4, 5])],
)
def test_what_a_level_requires(level: str, expected: list[int]) -> None:
    assert [required(level, copies) for copies in (1, 2, 3, 4, 5)] == expected, "of 1 to 5 copies"


def test_an_unknown_level_is_an_error() -> None:
    replica = Replica("n1")
    with pytest.raises(ValueError, match=r"."):
        required("MOST", 3)
    with pytest.raises(ValueError, match=r"."):
        Coordinator([replica]).write("p7", Cell("out", 5), "quorum")
    with pytest.raises(ValueError, match=r"."):
        Coordinator([replica]).read("p7", "")
    assert replica.calls == [], "and nobody has been called"


def test_a_quorum_of_those_that_are_up_is_no_quorum() -> None:
    one_of_three = [Replica("n1"), Replica("n2", up=False), Replica("n3", up=False)]
    with pytest.raises(UnavailableError) as caught:
        Coordinator(one_of_three).read("p7", "QUORUM")
    assert (caught.value.need, caught.value.got) == (2, 1), "else two halves of a cut cluster each have a majority"
    assert one_of_three[0].calls == [], "nobody is asked"


def test_a_write_at_one_goes_to_all_that_are_up() -> None:
    replicas = [Replica("n1"), Replica("n2"), Replica("n3")]
    store = Coordinator(replicas)
    store.write("p7", Cell("out", 5), "ONE")
    assert [replica.cells for replica in replicas] == [{"p7": Cell("out", 5)}] * 3, "the level is what is waited for"
    assert store.hints == [], "all have acknowledged"


def test_who_missed_a_write_gets_a_hint() -> None:
    down, late, here = Replica("n1", up=False), Replica("n2", late=True), Replica("n3")
    store = Coordinator([down, late, here])
    store.write("p7", Cell("out", 5), "ONE")
    assert store.hints == [Hint(down, "p7", Cell("out", 5)), Hint(late, "p7", Cell("out", 5))], "down, or in doubt"
    assert (down.calls, here.cells) == ([], {"p7": Cell("out", 5)}), "one that is down isn't called"


def test_a_failed_write_stays_where_it_arrived_and_is_noted() -> None:
    here, late = Replica("n1"), Replica("n2", late=True)
    store = Coordinator([here, late])
    with pytest.raises(WriteTimeoutError):
        store.write("p7", Cell("out", 5), "ALL")
    assert here.cells == late.cells == {"p7": Cell("out", 5)}, "nothing is rolled back"
    assert store.hints == [Hint(late, "p7", Cell("out", 5))], "and the hint is kept"


def test_hints_are_delivered_as_they_were_written() -> None:
    here, first, second = Replica("n1"), Replica("n2", up=False), Replica("n3", up=False)
    store = Coordinator([here, first, second])
    store.write("p7", Cell("out", 5), "ONE")
    store.write("p8", Cell(None, 6, deleted_at=1), "ONE")
    first.up = True
    first.write("p7", Cell("in", 9))
    assert store.replay() == 2, "two hints were for n2"
    assert first.cells == {"p7": Cell("in", 9), "p8": Cell(None, 6, deleted_at=1)}, "a late hint loses to a newer write"
    assert [hint.replica for hint in store.hints] == [second, second], "those for n3 wait on"
    assert (second.calls, store.replay()) == ([], 0), "and one that is down isn't called"


def test_a_hint_that_times_out_is_kept() -> None:
    down = Replica("n2", up=False)
    store = Coordinator([Replica("n1"), down])
    store.write("p7", Cell("out", 5), "ONE")
    store.write("p8", Cell("out", 6), "ONE")
    down.up = down.late = True
    assert (store.replay(), [hint.key for hint in store.hints]) == (0, ["p7", "p8"]), "in doubt, so again, in order"
    down.late = False
    assert (store.replay(), store.hints) == (2, []), "delivered once"


def test_a_read_asks_no_more_than_it_needs() -> None:
    replicas = [Replica("n1", up=False), Replica("n2"), Replica("n3"), Replica("n4"), Replica("n5")]
    store = Coordinator(replicas)
    store.read("p7", "QUORUM")
    store.read("p7", "ONE")
    assert [len(replica.calls) for replica in replicas] == [0, 2, 1, 1, 0], "the nearest that are up"


def test_for_one_that_is_late_the_next_is_asked() -> None:
    late, second, third = Replica("n1", late=True), Replica("n2"), Replica("n3")
    second.cells["p7"] = third.cells["p7"] = Cell("out", 5)
    assert Coordinator([late, second, third]).read("p7", "QUORUM") == "out", "two have answered"
    assert [replica.calls for replica in (late, second, third)] == [["read"], ["read"], ["read"]], "each once"


def test_too_few_answers_are_a_timeout() -> None:
    replicas = [Replica("n1", late=True), Replica("n2"), Replica("n3", late=True)]
    replicas[1].cells["p7"] = Cell("out", 5)
    with pytest.raises(ReadTimeoutError) as caught:
        Coordinator(replicas).read("p7", "QUORUM")
    assert (caught.value.need, caught.value.got) == (2, 1), "one answer may be the old one"


def test_a_repair_writes_the_same_cell_to_those_asked() -> None:
    new, old, without, other = (Replica(f"n{number}") for number in (1, 2, 3, 4))
    new.cells["p7"], old.cells["p7"] = Cell("in", 9), Cell("out", 5)
    assert Coordinator([old, new, without, other]).read("p7", "QUORUM") == "in", "the newest of three"
    assert [replica.cells for replica in (old, new, without)] == [{"p7": Cell("in", 9)}] * 3, "with its own stamp"
    assert (new.calls, other.calls) == (["read"], []), "who has it needs nothing, who wasn't asked isn't known"


def test_a_deletion_is_repaired_too() -> None:
    deleted, old = Replica("n1"), Replica("n2")
    deleted.cells["p7"], old.cells["p7"] = Cell(None, 9, deleted_at=3), Cell("out", 5)
    assert Coordinator([old, deleted]).read("p7", "ALL") is None, "the newest says that it is gone"
    assert old.cells["p7"] == Cell(None, 9, deleted_at=3), "a tombstone is written where the value still is"


def test_on_a_tie_all_replicas_choose_alike() -> None:
    for first, second, winner in (("a", "b", "b"), ("b", "a", "b"), ("a", None, None), (None, "a", None)):
        replicas = [Replica("n1"), Replica("n2")]
        for replica, value in zip(replicas, (first, second), strict=True):
            replica.cells["p7"] = Cell(value, 5)
        assert Coordinator(replicas).read("p7", "ALL") == winner, f"{first} and {second}: deletion, then larger value"
        assert replicas[0].cells == replicas[1].cells, "after the repair"


def test_reading_what_nobody_has_writes_nothing() -> None:
    replicas = [Replica("n1"), Replica("n2"), Replica("n3")]
    assert Coordinator(replicas).read("p7", "ALL") is None, "never written"
    assert [replica.calls for replica in replicas] == [["read"]] * 3, "no repair"


def test_other_errors_of_a_replica_come_out() -> None:
    class Broken(Replica):
        def _answers(self) -> None:
            raise KeyError(self.name)

    store = Coordinator([Broken("n1"), Replica("n2")])
    with pytest.raises(KeyError):
        store.write("p7", Cell("out", 5), "ONE")
    with pytest.raises(KeyError):
        store.read("p7", "ONE")


def test_a_quorum_read_sees_every_quorum_write_whichever_nodes_fail() -> None:
    for missed, away in itertools.product(range(3), range(3)):
        replicas = [Replica("n1"), Replica("n2"), Replica("n3")]
        store = Coordinator(replicas)
        store.write("p7", Cell("old", 1), "ALL")
        replicas[missed].up = False
        store.write("p7", Cell("new", 2), "QUORUM")
        replicas[missed].up = True
        replicas[away].up = False
        assert store.read("p7", "QUORUM") == "new", f"n{missed + 1} missed the write, n{away + 1} the read: 2 + 2 > 3"


# %% wrong mend_coordinator fails=test_the_highest_stamp_wins_whoever_answers_last
# "A quorum is a vote": what most replicas say is what most have missed, and it undoes confirmed writes.
def required(level: str, copies: int) -> int:
    """Return how many replicas a level needs."""
    needs = {"ONE": 1, "TWO": 2, "QUORUM": copies // 2 + 1, "ALL": copies}
    if level not in needs:
        raise ValueError(f"unknown consistency level {level!r}")
    return needs[level]


class Coordinator:
    """Passes reads and writes on to the replicas of a key."""

    def __init__(self, replicas: Iterable[Replica]) -> None:
        """Take the replicas, the nearest first."""
        self.replicas = list(replicas)
        self.hints: list[Hint] = []

    def _need(self, level: str) -> int:
        """Return how many the level needs, or raise UnavailableError."""
        need = required(level, len(self.replicas))
        alive = sum(replica.up for replica in self.replicas)
        if alive < need:
            raise UnavailableError(need, alive)
        return need

    def write(self, key: str, cell: Cell, level: str) -> None:
        """Write to all that are up; return when enough have acknowledged."""
        need = self._need(level)
        acknowledged = 0
        for replica in self.replicas:
            if self._sent(replica, key, cell):
                acknowledged += 1
            else:
                self.hints.append(Hint(replica, key, cell))
        if acknowledged < need:
            raise WriteTimeoutError(need, acknowledged)

    def _sent(self, replica: Replica, key: str, cell: Cell) -> bool:
        """Return whether a replica is up and has acknowledged."""
        try:
            if replica.up:
                replica.write(key, cell)
        except TimeoutError:
            return False
        return replica.up

    def read(self, key: str, level: str) -> str | None:
        """Return the newest value of as many replicas as the level needs, and repair those."""
        need = self._need(level)
        answers: list[tuple[Replica, Cell | None]] = []
        for replica in self.replicas:
            if replica.up and len(answers) < need:
                try:
                    answers.append((replica, replica.read(key)))
                except TimeoutError:
                    continue
        if len(answers) < need:
            raise ReadTimeoutError(need, len(answers))
        votes = Counter(cell for _, cell in answers if cell is not None)
        newest = min(votes, key=lambda cell: (-votes[cell], cell.stamp), default=None)
        if newest is None:
            return None
        for replica, cell in answers:
            if cell != newest:
                replica.write(key, newest)
        return newest.value

    def replay(self) -> int:
        """Deliver the hints of replicas that are up; return how many."""
        before = len(self.hints)
        self.hints = [hint for hint in self.hints if not self._sent(*hint)]
        return before - len(self.hints)


# %% wrong mend_coordinator fails=test_a_quorum_of_those_that_are_up_is_no_quorum
# "A majority of those that are up": with two nodes down one is a majority, on either side of a cut.
def required(level: str, copies: int) -> int:
    """Return how many replicas a level needs."""
    needs = {"ONE": 1, "TWO": 2, "QUORUM": copies // 2 + 1, "ALL": copies}
    if level not in needs:
        raise ValueError(f"unknown consistency level {level!r}")
    return needs[level]


class Coordinator:
    """Passes reads and writes on to the replicas of a key."""

    def __init__(self, replicas: Iterable[Replica]) -> None:
        """Take the replicas, the nearest first."""
        self.replicas = list(replicas)
        self.hints: list[Hint] = []

    def _need(self, level: str) -> int:
        """Return how many the level needs, or raise UnavailableError."""
        alive = sum(replica.up for replica in self.replicas)
        need = required(level, len(self.replicas) if level == "ALL" else alive)
        if alive < need:
            raise UnavailableError(need, alive)
        return need

    def write(self, key: str, cell: Cell, level: str) -> None:
        """Write to all that are up; return when enough have acknowledged."""
        need = self._need(level)
        acknowledged = 0
        for replica in self.replicas:
            if self._sent(replica, key, cell):
                acknowledged += 1
            else:
                self.hints.append(Hint(replica, key, cell))
        if acknowledged < need:
            raise WriteTimeoutError(need, acknowledged)

    def _sent(self, replica: Replica, key: str, cell: Cell) -> bool:
        """Return whether a replica is up and has acknowledged."""
        try:
            if replica.up:
                replica.write(key, cell)
        except TimeoutError:
            return False
        return replica.up

    def read(self, key: str, level: str) -> str | None:
        """Return the newest value of as many replicas as the level needs, and repair those."""
        need = self._need(level)
        answers: list[tuple[Replica, Cell | None]] = []
        for replica in self.replicas:
            if replica.up and len(answers) < need:
                try:
                    answers.append((replica, replica.read(key)))
                except TimeoutError:
                    continue
        if len(answers) < need:
            raise ReadTimeoutError(need, len(answers))
        newest = max((cell for _, cell in answers if cell is not None), key=rank, default=None)
        if newest is None:
            return None
        for replica, cell in answers:
            if cell != newest:
                replica.write(key, newest)
        return newest.value

    def replay(self) -> int:
        """Deliver the hints of replicas that are up; return how many."""
        before = len(self.hints)
        self.hints = [hint for hint in self.hints if not self._sent(*hint)]
        return before - len(self.hints)


# %% wrong mend_coordinator fails=test_a_repair_writes_the_same_cell_to_those_asked
# "A repair is a write, so it gets the time of now": it beats whatever was written in between.
def required(level: str, copies: int) -> int:
    """Return how many replicas a level needs."""
    needs = {"ONE": 1, "TWO": 2, "QUORUM": copies // 2 + 1, "ALL": copies}
    if level not in needs:
        raise ValueError(f"unknown consistency level {level!r}")
    return needs[level]


class Coordinator:
    """Passes reads and writes on to the replicas of a key."""

    def __init__(self, replicas: Iterable[Replica]) -> None:
        """Take the replicas, the nearest first."""
        self.replicas = list(replicas)
        self.hints: list[Hint] = []

    def _need(self, level: str) -> int:
        """Return how many the level needs, or raise UnavailableError."""
        need = required(level, len(self.replicas))
        alive = sum(replica.up for replica in self.replicas)
        if alive < need:
            raise UnavailableError(need, alive)
        return need

    def write(self, key: str, cell: Cell, level: str) -> None:
        """Write to all that are up; return when enough have acknowledged."""
        need = self._need(level)
        acknowledged = 0
        for replica in self.replicas:
            if self._sent(replica, key, cell):
                acknowledged += 1
            else:
                self.hints.append(Hint(replica, key, cell))
        if acknowledged < need:
            raise WriteTimeoutError(need, acknowledged)

    def _sent(self, replica: Replica, key: str, cell: Cell) -> bool:
        """Return whether a replica is up and has acknowledged."""
        try:
            if replica.up:
                replica.write(key, cell)
        except TimeoutError:
            return False
        return replica.up

    def read(self, key: str, level: str) -> str | None:
        """Return the newest value of as many replicas as the level needs, and repair those."""
        need = self._need(level)
        answers: list[tuple[Replica, Cell | None]] = []
        for replica in self.replicas:
            if replica.up and len(answers) < need:
                try:
                    answers.append((replica, replica.read(key)))
                except TimeoutError:
                    continue
        if len(answers) < need:
            raise ReadTimeoutError(need, len(answers))
        newest = max((cell for _, cell in answers if cell is not None), key=rank, default=None)
        if newest is None:
            return None
        for replica, cell in answers:
            if cell != newest:
                replica.write(key, dataclasses.replace(newest, stamp=newest.stamp + 1))
        return newest.value

    def replay(self) -> int:
        """Deliver the hints of replicas that are up; return how many."""
        before = len(self.hints)
        self.hints = [hint for hint in self.hints if not self._sent(*hint)]
        return before - len(self.hints)


# %% right mend_coordinator
def required(level: str, copies: int) -> int:
    """Return how many replicas a level needs."""
    match level:
        case "ONE":
            return 1
        case "TWO":
            return 2
        case "QUORUM":
            return math.floor(copies / 2) + 1
        case "ALL":
            return copies
    raise ValueError(f"unknown level {level!r}")


class Coordinator:
    """Passes reads and writes on to the replicas of a key."""

    def __init__(self, replicas: Iterable[Replica]) -> None:
        """Take the replicas, the nearest first."""
        self.replicas = tuple(replicas)
        self.hints: list[Hint] = []

    def write(self, key: str, cell: Cell, level: str) -> None:
        """Write to all that are up; return when enough have acknowledged."""
        need, alive = required(level, len(self.replicas)), [replica for replica in self.replicas if replica.up]
        if len(alive) < need:
            raise UnavailableError(need, len(alive))
        acknowledged: list[Replica] = []
        for replica in alive:
            try:
                replica.write(key, cell)
            except TimeoutError:
                continue
            acknowledged.append(replica)
        self.hints += [Hint(replica, key, cell) for replica in self.replicas if replica not in acknowledged]
        if len(acknowledged) < need:
            raise WriteTimeoutError(need, len(acknowledged))

    def read(self, key: str, level: str) -> str | None:
        """Return the newest value of as many replicas as the level needs, and repair those."""
        need, alive = required(level, len(self.replicas)), [replica for replica in self.replicas if replica.up]
        if len(alive) < need:
            raise UnavailableError(need, len(alive))
        answers: dict[Replica, Cell | None] = {}
        while alive and len(answers) < need:
            replica = alive.pop(0)
            try:
                answers[replica] = replica.read(key)
            except TimeoutError:
                continue
        if len(answers) < need:
            raise ReadTimeoutError(need, len(answers))
        cells = sorted((cell for cell in answers.values() if cell), key=rank)
        if not cells:
            return None
        for replica, cell in answers.items():
            if cell is None or cell != cells[-1]:
                replica.write(key, cells[-1])
        return cells[-1].value

    def replay(self) -> int:
        """Deliver the hints of replicas that are up; return how many."""
        delivered = 0
        for hint in list(self.hints):
            if hint.replica.up:
                try:
                    hint.replica.write(hint.key, hint.cell)
                except TimeoutError:
                    continue
                self.hints.remove(hint)
                delivered += 1
        return delivered


# %% [markdown] hint mend_coordinator
# Go through the contract sentence by sentence; each method breaks one or more. Which of the starter's lines can say
# "done" without a second copy? Which comparison looks at a cell's `stamp`?

# %% [markdown] hint mend_coordinator
# Count only calls of `replica.write` that have returned: a `try … except TimeoutError … else`. Check who is up before
# the first call, in one place for both. In `read`, collect pairs of replica and answer until there are enough; decide
# afterwards.

# %% [markdown] hint mend_coordinator
# `newest = max((cell for _, cell in answers if cell is not None), key=rank, default=None)`; if it isn't None, then
# `for replica, cell in answers: if cell != newest: replica.write(key, newest)`. In `replay`, build a new list of hints
# that stay.

# %% [markdown] waive mend_coordinator
# - `return False` → `return None`: the method is private, and only asked whether it is true

# %% [markdown] after mend_coordinator
# **Why.** The bugs break the same sentence, "R + W > N means that the read sees the write". An acknowledgement
# that is only a hint makes W smaller than it says. A majority of three that is one makes both too small. Choosing by
# arrival throws the overlap away after paying for it. Repairing with a "cleaned" value turns a deletion into data, and
# with a *new* timestamp it would beat writes that happened in between.
#
# **What real coordinators do besides.** They send all requests at once; ask one replica for data and the others for a
# *digest*, and for the data only if the digests differ; ask one more when an answer takes longer than the 99th
# percentile (`speculative_retry`); write hints to disk, and throw them away after their time. Read repair works on rows
# and cells and waits for its acknowledgements.
#
# **The interviewer goes on**: *A WriteTimeoutError at QUORUM: what does the client do? (Repeat with the same
# timestamp if the statement is idempotent; otherwise read and decide.) Is QUORUM/QUORUM linearizable? (No. A failed
# write may be seen or not until somebody repairs it, concurrent writes are decided by clocks, and compare-and-set is
# impossible; that is what `IF` and SERIAL are for.) Two regions of three copies each: QUORUM or LOCAL_QUORUM? (LOCAL:
# no waiting for the other region; a user who moves between regions may read old data, and that is the price.)*

# %% [markdown]
# ## Tombstones: a delete is a write
#
# Suppose that `DELETE` removed the cell on the replicas that are up. The one that was down still has the value; it
# comes back, and to read repair it looks as if the *others* had missed a write. So a deletion has to be a fact that can
# win: a **tombstone**, with a timestamp, which hides everything older. A TTL that runs out becomes one; so does writing
# `null`, and an `INSERT` of a whole collection first writes a tombstone over the old one.
#
# Tombstones can't stay for ever. Compaction drops one when **both** hold:
#
# 1. it is older than `gc_grace_seconds` (864,000 by default: ten days), the time in which every replica must have heard
#    of it, **because a repair has run**;
# 2. no SSTable outside this compaction has something older for that key, which would be uncovered on the same node.
#
# If the first is a lie, because a node was away for eleven days or because nobody runs repair, the deleted value is
# the only one left that anybody has, and repair, doing its work, spreads it: a **zombie**. In the figure n1 and n2
# delete on day 2, while n3 is down; n3 returns, and is repaired, on a day that you choose.


# %%
def draw_zombie(gc_grace_days: int, repair_day: int) -> Timeline:
    purge, end = 2 + gc_grace_days, 30
    back = repair_day > purge
    spans = []
    for name in ("n1", "n2"):
        spans += [Span(name, 0, 2, "value"), Span(name, 2, purge, "tombstone")]
        if back:
            spans.append(Span(name, repair_day, end, "value"))
    spans += [Span("n3", 0, 1, "value"), Span("n3", 1, repair_day, "down, with the value")]
    if back:
        spans.append(Span("n3", repair_day, end, "value"))
    elif repair_day < purge:
        spans.append(Span("n3", repair_day, purge, "tombstone"))
    fate = "the value is back everywhere" if back else "it stays deleted"
    return Timeline(spans, f"gc_grace {gc_grace_days} days, repair on day {repair_day}: {fate}", "days")


explore(draw_zombie, gc_grace_days=(1, 20, 10), repair_day=(3, 25, 14))

# %% [markdown]
# So: repair every range within `gc_grace`, all the time; a node that was away longer is **not started again** but wiped
# and replaced. Hints spare the repair only for outages shorter than their window, and only if the coordinator that has
# them survives. A table can say `only_purge_repaired_tombstones` (an option of its compaction), and then the
# first condition no longer rests on the calendar.
#
# **Tombstones cost reads.** A slice must read them to know what they hide. A queue as a table, `SELECT … LIMIT 1` for
# the first job and `DELETE` when it is done, reads the tombstones of all jobs that were done within `gc_grace`, each
# time:


# %%
queue = {number: Cell("job", number) for number in range(3_000)}
costs: dict[int, int] = {}
for done in range(2_001):
    if done in (0, 10, 100, 1_000, 2_000):
        costs[done] = sum(1 for _ in itertools.takewhile(lambda cell: cell.value is None, queue.values()))
    queue[done] = Cell(None, 10_000 + done, deleted_at=done)
for done, dead in costs.items():
    note = "   logs a warning (tombstone_warn_threshold: 1,000)" if dead > 1_000 else ""
    print(f"{done:>5} jobs done: the next one is found after {dead:>5} tombstones{note}")

# %% [markdown]
# Above 100,000 the query is aborted (`tombstone_failure_threshold`). What helps is never to read where one has deleted:
# partitions by time that are read once and expire whole (TTL, with the time window compaction strategy, which then
# drops files), or one deletion of a partition or a range instead of a thousand of rows, since a *range tombstone* is
# one marker.

# %% [markdown] exercise zombie_guard topic=apache-cassandra level=senior minutes=25
# ## Exercise: Deleted means deleted
#
# After an upgrade, parcels that had been deleted came back. The store's compaction is written anew, together with
# repair and the rule for nodes that return. `Cell` and `rank` are those from above; a *run* is an SSTable, a mapping
# from keys to cells.
#
# * `compact(runs, now, grace, others=())` returns the run that replaces `runs`, a dict with its keys in ascending
#   order. For each key it has the cell that ranks highest. A tombstone (value None) is left out if it was made more
#   than `grace` seconds before `now` (`deleted_at`; exactly `grace` is not more) **and** each run of `others`
#   (SSTables of the node which aren't compacted now) that has the key has a cell of a *higher* `stamp`. The arguments
#   aren't changed.
# * `repair(replicas)` gets one dict of cells for each replica, and changes them: afterwards each has, for each key that
#   any of them has, the cell that ranks highest. It returns how many cells were sent, one for each replica and key
#   where another cell or none was.
# * `comeback(down, repairing, window=3, grace=240)` says what to do with a node that was down for `down` hours:
#   `"hints"` if that is at most `window`; otherwise `"repair"` if a repair, which takes `repairing` hours from its
#   return, is over less than `grace` hours after the node went down; otherwise `"replace"`.
#
# ```python
# >>> old, gone = {"p7": Cell("out", 1)}, {"p7": Cell(None, 5, deleted_at=100)}
# >>> compact([old, gone], now=150, grace=50)
# {'p7': Cell(value=None, stamp=5, deleted_at=100)}
# >>> compact([old, gone], now=151, grace=50)
# {}
# >>> len(compact([gone], now=151, grace=50, others=[old]))
# 1
# >>> replicas = [{"p7": Cell("out", 1)}, {}, {"p7": Cell(None, 5, deleted_at=100)}]
# >>> repair(replicas), replicas[0] == replicas[1] == replicas[2] == gone
# (2, True)
# >>> comeback(2, repairing=20), comeback(200, repairing=20), comeback(230, repairing=20)
# ('hints', 'repair', 'replace')
# ```


# %%
Run = Mapping[str, Cell]
DAY = 86_400
VALUE, GONE = Cell("out", 1), Cell(None, 5, deleted_at=2 * DAY)


# %% solution zombie_guard
def compact(runs: Iterable[Run], now: int, grace: int, others: Sequence[Run] = ()) -> dict[str, Cell]:
    """Return the run that replaces some runs of a node."""
    # BEGIN SOLUTION
    merged: dict[str, Cell] = {}
    for run in runs:
        for key, cell in run.items():
            merged[key] = max(merged.get(key, cell), cell, key=rank)

    compacted: dict[str, Cell] = {}
    for key, cell in sorted(merged.items()):
        expired = cell.value is None and now - cell.deleted_at > grace
        hidden = any(run[key].stamp <= cell.stamp for run in others if key in run)
        if hidden or not expired:
            compacted[key] = cell
    return compacted
    # END SOLUTION


def repair(replicas: Sequence[dict[str, Cell]]) -> int:
    """Give every replica the newest cell of each key; return how many cells were sent."""
    # BEGIN SOLUTION
    sent = 0
    for key in {key for replica in replicas for key in replica}:
        newest = max((replica[key] for replica in replicas if key in replica), key=rank)
        for replica in replicas:
            if replica.get(key) != newest:
                replica[key] = newest
                sent += 1
    return sent
    # END SOLUTION


def comeback(down: float, repairing: float, window: float = 3, grace: float = 240) -> str:
    """Return what to do with a node that was down for some hours."""
    # BEGIN SOLUTION
    if down <= window:
        return "hints"
    return "repair" if down + repairing < grace else "replace"
    # END SOLUTION


# %% check zombie_guard points=2
def test_the_newest_cell_of_each_key_is_kept() -> None:
    runs = [{"p7": Cell("out", 9), "p8": Cell("out", 1)}, {"p7": Cell("in", 3), "p9": Cell("in", 2)}]
    expected = {"p7": Cell("out", 9), "p8": Cell("out", 1), "p9": Cell("in", 2)}
    assert compact(runs, now=0, grace=0) == expected, "by stamp, not by the order of the runs"


def test_repair_within_the_grace_keeps_it_deleted() -> None:
    replicas = [{"p7": VALUE, "new": GONE}, {"p7": GONE}, {"p7": GONE}]
    repair(replicas)
    compacted = [compact([replica], now=13 * DAY, grace=10 * DAY) for replica in replicas]
    assert compacted == [{}, {}, {}], "the tombstone has reached the replica that had missed it, then all drop it"


def test_a_node_that_was_away_too_long_is_replaced() -> None:
    assert [comeback(3, 10), comeback(100, 10), comeback(240, 10)] == ["hints", "repair", "replace"], "3 and 240 hours"


# %% hidden zombie_guard points=5
def test_a_young_tombstone_stays() -> None:
    assert compact([{"p7": VALUE}, {"p7": GONE}], now=12 * DAY, grace=10 * DAY) == {"p7": GONE}, "ten days are not more"
    assert compact([{"p7": VALUE}, {"p7": GONE}], now=12 * DAY + 1, grace=10 * DAY) == {}, "a second more: both go"


def test_the_age_goes_by_the_deletion_not_by_the_stamp() -> None:
    skewed = Cell(None, 10**15, deleted_at=100)
    assert compact([{"p7": skewed}], now=200, grace=50) == {}, "stamps are a client's microseconds"
    early = Cell(None, -5, deleted_at=190)
    assert compact([{"p7": early}], now=200, grace=50) == {"p7": early}, "made ten seconds ago"


def test_a_value_is_never_too_old() -> None:
    assert compact([{"p7": Cell("out", 1)}], now=10**9, grace=0) == {"p7": Cell("out", 1)}, "only tombstones go"
    assert compact([{"p7": Cell("", 1)}], now=10**9, grace=0) == {"p7": Cell("", 1)}, "the empty text is a value"


@pytest.mark.parametrize("stamp", [1, 4, 5])
def test_what_it_still_hides_elsewhere_keeps_it(stamp: int) -> None:
    made = compact([{"p7": GONE}], now=99 * DAY, grace=10 * DAY, others=[{"p8": VALUE}, {"p7": Cell("out", stamp)}])
    assert made == {"p7": GONE}, f"without it the cell of stamp {stamp} in the other run would be read again"


def test_newer_cells_elsewhere_do_not_keep_it() -> None:
    made = compact([{"p7": GONE}], now=99 * DAY, grace=10 * DAY, others=[{"p7": Cell("in", 6)}, {"p8": VALUE}])
    assert made == {}, "it hides nothing there"


def test_one_older_run_among_newer_ones_keeps_it() -> None:
    newer, older = {"p7": Cell("in", 6)}, {"p7": VALUE}
    for others in ([newer, older], [older, newer]):
        assert compact([{"p7": GONE}], now=99 * DAY, grace=10 * DAY, others=others) == {"p7": GONE}, "each run counts"


def test_values_stay_whatever_other_runs_have() -> None:
    made = compact([{"p7": VALUE}], now=99 * DAY, grace=0, others=[{"p7": Cell("in", 6)}])
    assert made == {"p7": VALUE}, "the read merges them"


def test_on_a_tie_the_deletion_wins() -> None:
    for runs in ([{"p7": Cell("out", 5)}, {"p7": GONE}], [{"p7": GONE}, {"p7": Cell("out", 5)}]):
        assert compact(runs, now=2 * DAY, grace=10 * DAY) == {"p7": GONE}, "whichever run comes first"


def test_keys_are_in_order_and_the_runs_as_before() -> None:
    runs = [{"b": VALUE, "c": GONE}, {"c": VALUE, "a": VALUE}]
    assert list(compact(runs, now=0, grace=0)) == ["a", "b", "c"], "an SSTable is sorted"
    assert runs == [{"b": VALUE, "c": GONE}, {"c": VALUE, "a": VALUE}], "and immutable"
    assert compact([], now=0, grace=0) == {}, "nothing to merge"


def test_each_key_is_judged_by_itself() -> None:
    made = compact([{"p7": GONE, "a": GONE}], now=99 * DAY, grace=0, others=[{"p7": VALUE}])
    assert made == {"p7": GONE}, "the key that nobody else has is gone"


def test_repair_sends_what_is_missing_and_nothing_else() -> None:
    replicas = [{"p7": VALUE, "p8": VALUE}, {"p8": VALUE}, {"p7": GONE, "p9": VALUE}]
    assert repair(replicas) == 5, "p7 to two, p8 to one, p9 to two"
    assert replicas == [{"p7": GONE, "p8": VALUE, "p9": VALUE}] * 3, "all are alike"
    assert repair(replicas) == 0, "and there is nothing to do"


def test_repair_chooses_by_rank() -> None:
    replicas = [{"p7": Cell("out", 5)}, {"p7": GONE}, {"p7": Cell("in", 4)}]
    assert (repair(replicas), replicas) == (2, [{"p7": GONE}] * 3), "the same stamp: the deletion"
    assert (repair([]), repair([{}, {}])) == (0, 0), "nothing to compare"


def test_after_the_grace_repair_raises_the_dead() -> None:
    replicas = [{"p7": VALUE}, {"p7": VALUE}, {"p7": VALUE}]
    for place in (0, 1):
        replicas[place] = compact([replicas[place], {"p7": GONE}], now=13 * DAY, grace=10 * DAY)
    assert replicas == [{}, {}, {"p7": VALUE}], "the tombstones went while the third node was away"
    assert (repair(replicas), replicas) == (2, [{"p7": VALUE}] * 3), "repair works as it should, on what is left"


@pytest.mark.parametrize(
    ("down", "repairing", "expected"),
    [
        (0, 1, "hints"),
        (3, 300, "hints"),
        (3.5, 1, "repair"),
        (219, 20, "repair"),
        (220, 20, "replace"),
        (4, 236, "replace"),
    ],
)
def test_the_repair_must_be_over_within_the_grace(down: float, repairing: float, expected: str) -> None:
    assert comeback(down, repairing) == expected, f"{down} hours down, {repairing} for the repair"


def test_window_and_grace_can_be_set() -> None:
    assert comeback(5, 1, window=6, grace=24) == "hints", "a longer window"
    assert [comeback(22, 1, grace=24), comeback(23, 1, grace=24)] == ["repair", "replace"], "a shorter grace"


# %% wrong zombie_guard fails=test_what_it_still_hides_elsewhere_keeps_it
# "After the grace it may go": older data in an SSTable that isn't compacted now is uncovered.
def compact(runs: Iterable[Run], now: int, grace: int, others: Sequence[Run] = ()) -> dict[str, Cell]:
    """Return the run that replaces some runs of a node."""
    merged: dict[str, Cell] = {}
    for run in runs:
        for key, cell in run.items():
            merged[key] = max(merged.get(key, cell), cell, key=rank)

    compacted: dict[str, Cell] = {}
    for key, cell in sorted(merged.items()):
        expired = cell.value is None and now - cell.deleted_at > grace
        if not expired:
            compacted[key] = cell
    return compacted


def repair(replicas: Sequence[dict[str, Cell]]) -> int:
    """Give every replica the newest cell of each key; return how many cells were sent."""
    sent = 0
    for key in {key for replica in replicas for key in replica}:
        newest = max((replica[key] for replica in replicas if key in replica), key=rank)
        for replica in replicas:
            if replica.get(key) != newest:
                replica[key] = newest
                sent += 1
    return sent


def comeback(down: float, repairing: float, window: float = 3, grace: float = 240) -> str:
    """Return what to do with a node that was down for some hours."""
    if down <= window:
        return "hints"
    return "repair" if down + repairing < grace else "replace"


# %% wrong zombie_guard fails=test_a_young_tombstone_stays
# "Compaction is what removes deleted data": at once, and replicas that missed the delete bring it back.
def compact(runs: Iterable[Run], now: int, grace: int, others: Sequence[Run] = ()) -> dict[str, Cell]:
    """Return the run that replaces some runs of a node."""
    merged: dict[str, Cell] = {}
    for run in runs:
        for key, cell in run.items():
            merged[key] = max(merged.get(key, cell), cell, key=rank)

    compacted: dict[str, Cell] = {}
    for key, cell in sorted(merged.items()):
        expired = cell.value is None
        hidden = any(run[key].stamp <= cell.stamp for run in others if key in run)
        if hidden or not expired:
            compacted[key] = cell
    return compacted


def repair(replicas: Sequence[dict[str, Cell]]) -> int:
    """Give every replica the newest cell of each key; return how many cells were sent."""
    sent = 0
    for key in {key for replica in replicas for key in replica}:
        newest = max((replica[key] for replica in replicas if key in replica), key=rank)
        for replica in replicas:
            if replica.get(key) != newest:
                replica[key] = newest
                sent += 1
    return sent


def comeback(down: float, repairing: float, window: float = 3, grace: float = 240) -> str:
    """Return what to do with a node that was down for some hours."""
    if down <= window:
        return "hints"
    return "repair" if down + repairing < grace else "replace"


# %% wrong zombie_guard fails=test_the_age_goes_by_the_deletion_not_by_the_stamp
# "A tombstone has one time": the stamp is the client's, in microseconds, and may be anything.
def compact(runs: Iterable[Run], now: int, grace: int, others: Sequence[Run] = ()) -> dict[str, Cell]:
    """Return the run that replaces some runs of a node."""
    merged: dict[str, Cell] = {}
    for run in runs:
        for key, cell in run.items():
            merged[key] = max(merged.get(key, cell), cell, key=rank)

    compacted: dict[str, Cell] = {}
    for key, cell in sorted(merged.items()):
        expired = cell.value is None and now - cell.stamp // 1_000_000 > grace
        hidden = any(run[key].stamp <= cell.stamp for run in others if key in run)
        if hidden or not expired:
            compacted[key] = cell
    return compacted


def repair(replicas: Sequence[dict[str, Cell]]) -> int:
    """Give every replica the newest cell of each key; return how many cells were sent."""
    sent = 0
    for key in {key for replica in replicas for key in replica}:
        newest = max((replica[key] for replica in replicas if key in replica), key=rank)
        for replica in replicas:
            if replica.get(key) != newest:
                replica[key] = newest
                sent += 1
    return sent


def comeback(down: float, repairing: float, window: float = 3, grace: float = 240) -> str:
    """Return what to do with a node that was down for some hours."""
    if down <= window:
        return "hints"
    return "repair" if down + repairing < grace else "replace"


# %% right zombie_guard
def compact(runs: Iterable[Run], now: int, grace: int, others: Sequence[Run] = ()) -> dict[str, Cell]:
    """Return the run that replaces some runs of a node."""
    cells: dict[str, list[Cell]] = {}
    for run in runs:
        for key, cell in run.items():
            cells.setdefault(key, []).append(cell)
    compacted: dict[str, Cell] = {}
    for key in sorted(cells):
        newest = sorted(cells[key], key=rank)[-1]
        expired = newest.value is None and newest.deleted_at < now - grace
        if expired and min((run[key].stamp for run in others if key in run), default=math.inf) > newest.stamp:
            continue
        compacted[key] = newest
    return compacted


def repair(replicas: Sequence[dict[str, Cell]]) -> int:
    """Give every replica the newest cell of each key; return how many cells were sent."""
    newest: dict[str, Cell] = {}
    for replica in replicas:
        for key, cell in replica.items():
            newest[key] = max(newest.get(key, cell), cell, key=rank)
    sent = sum(replica.get(key) != cell for replica in replicas for key, cell in newest.items())
    for replica in replicas:
        replica.update(newest)
    return sent


def comeback(down: float, repairing: float, window: float = 3, grace: float = 240) -> str:
    """Return what to do with a node that was down for some hours."""
    if down > window and down + repairing >= grace:
        return "replace"
    return "hints" if down <= window else "repair"


# %% [markdown] hint zombie_guard
# Do it in two passes: merge first, decide about tombstones afterwards. A tombstone that loses to a newer value needs no
# thought; one that wins has done its work in these runs, and the question is what it still hides in others.

# %% [markdown] hint zombie_guard
# `merged[key] = max(merged.get(key, cell), cell, key=rank)` merges. The cells of `others` are
# `[run[key] for run in others if key in run]`, and `all(…)` of none is true.

# %% [markdown] hint zombie_guard
# Drop if `cell.value is None and now - cell.deleted_at > grace and all(cell.stamp < run[key].stamp for run in others if
# key in run)`. In `repair`, for each key of `set().union(*replicas)`: the highest, then every replica whose
# `get(key)` is another. `comeback`: `down + repairing < grace`.

# %% [markdown] after zombie_guard
# **Why.** A tombstone is a promise to all who still have the value, on this node (other SSTables) and on others
# (replicas). The second condition checks the first group by looking; of the second group the node knows nothing, and
# the grace stands in for knowledge. That is why repair is no remedy for a bad day but part of the contract of
# `DELETE`. The real check of other SSTables goes by their Bloom filters and smallest timestamps, so it keeps some
# tombstones longer than needed; a real repair leaves tombstones that are past their grace out of its comparison.
#
# **What else.** A smaller `gc_grace` is safe where rows end by TTL alone and are never overwritten: every replica that
# has the cell also has its end. But a hint lives no longer than its table's `gc_grace`, so zero means no hints. A
# larger one where repair takes long: it costs disk and slower reads. `nodetool garbagecollect` drops what is shadowed;
# `only_purge_repaired_tombstones` keeps a tombstone until it is repaired.
#
# **The interviewer goes on**: *Reads of one partition time out, and it has twelve live rows? (Tombstones: tracing shows
# how many were read. Find who deletes there; null columns in the driver's bound statements are the classic, leave them
# unset.) Does ALL for deletes help? (Then no replica misses one; and nothing can be deleted while a node is down.) How
# do you prove that personal data is gone? (Deleted at quorum, repaired, grace over, compacted, and the snapshots too.)*

# %% [markdown]
# ## The interview
#
# Say your answer aloud before you unfold one.

# %% [markdown] interview
# ### How do you model data in Cassandra?
#
# From the queries. I write them all down with their rates, and give each a table in which it is one slice of one
# partition: equality columns as the partition key, the sort and range columns as clustering columns, the identity
# behind them so that no row overwrites another. Then I calculate the largest partition after a year, and put a bucket
# into the key if it passes 100 MB or 100,000 rows. Data is stored once for each question; I say how the copies are kept
# in step. If the queries aren't known or change every month, I say that it is the wrong database.

# %% [markdown] interview
# ### Explain the consistency levels. Which do you use?
#
# All replicas get every write; the level says how many must answer before the client goes on. With R + W > N a read
# meets the last confirmed write. My default is LOCAL_QUORUM for both with three copies in each data centre: one node
# may be down, and no request waits for another region. ONE for data that may be stale or lost. Never ALL in a request.
# Where the new value depends on the old one, no level helps: that needs `IF`, which is Paxos and several times slower.

# %% [markdown] interview
# ### A write returned a timeout. Was it written?
#
# Unknown. Some replicas may have it, hints or read repair may spread it, and a later read may or may not see it.
# Nothing is rolled back. If it is idempotent the driver repeats it with the same timestamp; if it isn't (counters, list
# appends), I don't repeat but read, or design it away by giving each event its own key and counting on reading.

# %% [markdown] interview
# ### Deleted rows have come back. What happened, and what do you do?
#
# A replica missed the delete, nobody repaired within gc_grace, the others compacted the tombstones away, and then the
# old value was all there was. Other ways to the same: restoring a snapshot, a node that was down for weeks and simply
# started, a clock that was ahead when the value was written. I delete again, at quorum, look up when each range was
# last repaired, put repair on a schedule shorter than the grace, and alert on it. Nodes down beyond the grace are
# replaced.

# %% [markdown] interview
# ### One node is at 90 % CPU, the others at 20 %. Why?
#
# A hot or a huge partition: a key with few values, a bucket by time that takes all of today's writes, one customer who
# is half of the business. More nodes don't help, since a partition is on its replicas only. I look at the largest
# partitions and the most frequent keys (`nodetool profileload`, `tablestats`), and add something to the key that
# spreads it. If the keys are fine: uneven racks or tokens, a client without token awareness that takes it as the
# coordinator of everything, or compaction that lags behind.

# %% [markdown]
# ## Pitfalls seen in reviews
#
# * A primary key that isn't unique: rows are overwritten, and no error ever comes.
# * `ALLOW FILTERING`, or a secondary index without the partition key, in a request.
# * A partition key with few values, or one that grows for ever; a bucket so fine that each query reads hundreds.
# * `IN` with a hundred partition keys: one coordinator does it all. Send a hundred queries side by side.
# * A logged batch over many partitions "for speed": it is for keeping in step, and slower.
# * Read, change in the application, write back; a counter that is repeated after a timeout.
# * QUORUM where LOCAL_QUORUM was meant; ONE for writes and ONE for reads, and a ticket about "eventual consistency".
# * Timestamps from clients without NTP; `USING TIMESTAMP` with milliseconds where microseconds are meant.
# * A queue as a table; nulls written for columns that merely weren't given.
# * No repair, or `gc_grace_seconds = 0` "to save disk"; a node started again after three weeks.
# * Factor 3 in two racks: the one that fails may have two of a row's copies, and QUORUM fails with it. Factor 2, whose
#   quorum is two: no node may fail.
#
# ## Where to read on
#
# * Cassandra's documentation: [Data modeling](https://cassandra.apache.org/doc/latest/cassandra/developing/data-modeling/index.html),
#   [Dynamo](https://cassandra.apache.org/doc/latest/cassandra/architecture/dynamo.html) (ring, replication, levels),
#   [Storage engine](https://cassandra.apache.org/doc/latest/cassandra/architecture/storage-engine.html),
#   [Tombstones](https://cassandra.apache.org/doc/latest/cassandra/managing/operating/compaction/tombstones.html),
#   [Read repair](https://cassandra.apache.org/doc/latest/cassandra/managing/operating/read_repair.html)
# * DeCandia et al., [Dynamo: Amazon's highly available key-value
#   store](https://www.allthingsdistributed.com/files/amazon-dynamo-sosp2007.pdf) (2007)
# * Lakshman and Malik, [Cassandra: a decentralized structured storage
#   system](https://www.cs.cornell.edu/projects/ladis2009/papers/lakshman-ladis2009.pdf) (2009)
# * [The last pickle: hinted handoff and GC grace
#   demystified](https://thelastpickle.com/blog/2018/03/21/hinted-handoff-gc-grace-demystified.html)
# * Carpenter and Hewitt, *Cassandra: The Definitive Guide*, 3rd edition
