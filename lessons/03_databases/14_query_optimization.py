# %% [markdown]
# # Query Optimization
#
# *"This endpoint got slow. What do you do?"* A junior answer adds an index. A senior answer measures first: which
# statement costs the most in all, what its plan reads, and how much of what it reads it throws away. Then it changes
# one thing (the query, an index, the data's layout), measures again in the same unit, and says what the change costs
# elsewhere. The follow-up is a plan on paper: *where does it hurt, and why did the planner choose that?*
#
# **Assumed**: [SQL](01_sql.ipynb) with joins, grouping and subqueries. **Left out**: transactions and locks, the
# design of tables, caching, partitioning and sharding, which have lessons of their own. Everything runs on a real
# PostgreSQL 18.

# %%
import contextlib
import datetime as dt
import functools
import html
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import psycopg
import pytest

from autograder import services
from autograder.notebook.figures import explore

# %% [markdown]
# ## A slow workload
#
# A marketplace: 40 sellers, 200,000 orders in two years, 2,000 tickets of support. The rows are made with a fixed
# seed and loaded by `COPY`, which is one statement, one parse and a stream, where 200,000 `INSERT`s are as many round
# trips. The index is made afterwards: sorting once is cheaper than 200,000 insertions into a tree.

# %%
Connection = psycopg.Connection[Any]

TABLES = """
CREATE TABLE sellers (id int PRIMARY KEY, name text NOT NULL);
CREATE TABLE orders (
    id int PRIMARY KEY,
    seller_id int NOT NULL,
    customer_id int NOT NULL,
    status text NOT NULL,
    cents int NOT NULL,
    placed_at timestamptz NOT NULL,
    address text NOT NULL
);
CREATE TABLE tickets (id int PRIMARY KEY, seller_id int NOT NULL, is_open boolean NOT NULL, topic text NOT NULL);
"""
FEED_INDEX = "CREATE INDEX orders_placed ON orders (placed_at, id)"
ORDERS = 200_000
DAYS = [f"{dt.date(2024, 1, 1) + dt.timedelta(days)}" for days in range(731)]
MINUTES = [f"{hour:02}:{minute:02}+00" for hour in range(24) for minute in range(60)]
copied: list[float] = []


def load(connection: Connection, table: str, rows: Iterable[str]) -> None:
    """Load lines of tab-separated fields into a table."""
    with connection.cursor().copy(f"COPY {table} FROM STDIN") as copy:
        copy.write("".join(rows))


def numbers(rng: random.Random, below: int) -> list[int]:
    """Return a number for each order."""
    return [number % below for number in memoryview(rng.randbytes(4 * ORDERS)).cast("I")]


def market(connection: Connection) -> None:
    """Fill the marketplace; sellers 39 and 40 have no orders, and 40 has no tickets either."""
    rng = random.Random(18)
    connection.execute(TABLES)
    statuses = ["paid"] * 80 + ["shipped"] * 15 + ["cancelled"] * 4 + ["held"]
    columns = zip(
        range(1, ORDERS + 1),
        numbers(rng, 38),
        numbers(rng, 20_000),
        numbers(rng, 100),
        numbers(rng, 99_500),
        sorted(numbers(rng, len(DAYS) * 1440)),
        strict=True,
    )
    started = dt.datetime.now(dt.UTC)
    load(connection, "sellers", (f"{number}\tSeller {number}\n" for number in range(1, 41)))
    load(
        connection,
        "orders",
        (
            f"{order}\t{seller + 1}\t{customer}\t{statuses[status]}\t{cents + 500}\t"
            f"{DAYS[minute // 1440]} {MINUTES[minute % 1440]}\t{seller} Long Street, {10_000 + customer} Town\n"
            for order, seller, customer, status, cents, minute in columns
        ),
    )
    load(
        connection,
        "tickets",
        (f"{number}\t{rng.randint(1, 39)}\t{rng.random() < 0.2}\tparcel\n" for number in range(1, 2_001)),
    )
    copied.append((dt.datetime.now(dt.UTC) - started).total_seconds())
    connection.execute(FEED_INDEX)


with services.postgres(template=market) as database, database.connect() as connection:
    sizes = connection.execute(
        """
        SELECT relname, reltuples::int, pg_relation_size(oid) / 8192
        FROM pg_class WHERE relname ~ '^(orders|sellers|tickets)' ORDER BY 3 DESC
        """
    ).fetchall()
print(f"loaded by COPY in under five seconds: {copied[0] < 5}\n")
print(f"{'table or index':16}{'rows':>9}{'pages':>7}")
for relation, count, pages in sizes:
    print(f"{relation:16}{count:>9,}{pages:>7,}")

# %% [markdown]
# PostgreSQL reads and caches **pages** of 8 KiB, never single rows. A page that a query asks for is a **buffer** once
# it is in memory: a *hit* if it was there, a *read* if it had to be fetched. Hits plus reads is the unit of this
# lesson. It doesn't depend on the machine, on what ran before or on who else is at work, and with a cold cache it is
# what a query waits for. Milliseconds on a warm laptop hide a factor of a hundred. (What buffers don't show: sorting
# and hashing in memory, and temporary files. `Temp Written Blocks` and time remain the second look.)
#
# `measure` runs a query on the marketplace, or on a fresh copy of it after statements of your own. It returns the rows,
# the plan and the indexes that are new. Results are remembered, so that the same question costs nothing twice.


# %%
@dataclass(frozen=True)
class Measured:
    """What a query returned and how it was run; `indexes` are those made for it, with their bytes."""

    rows: tuple[tuple[Any, ...], ...]
    plan: dict[str, Any]
    indexes: dict[str, int]

    @property
    def buffers(self) -> int:
        """How many pages it asked for."""
        return blocks(self.plan)


def blocks(node: Mapping[str, Any]) -> int:
    """Return the pages that a node of a plan and those below it asked for, in all loops together."""
    return int(node["Shared Hit Blocks"] + node["Shared Read Blocks"])


def explain(connection: Connection, query: str, parameters: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Run a query; return the top node of its plan."""
    found = connection.execute(f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) {query}", parameters).fetchall()
    plan: dict[str, Any] = found[0][0][0]["Plan"]
    return plan


# For queries alone: this copy is only read, and goes with the kernel.
UNTOUCHED = services.postgres(template=market)


@functools.cache
def measure(query: str, /, *before: str, **parameters: Any) -> Measured:
    """Run a query on the marketplace, or on a copy after other statements; `parameters` are those it names."""
    with contextlib.ExitStack() as opened:
        copy = opened.enter_context(services.postgres(template=market)) if before else UNTOUCHED
        connection = opened.enter_context(psycopg.connect(copy.url, autocommit=True))
        # One process a query, so that plans are simple; and none runs for ever.
        connection.execute("SET max_parallel_workers_per_gather = 0")
        connection.execute("SET statement_timeout = '20s'")
        for statement in before:
            connection.execute(statement)
        connection.execute("SET default_transaction_read_only = on")
        rows = connection.execute(query, parameters or None).fetchall()
        plan = explain(connection, query, parameters or None)
        made = connection.execute(
            """
            SELECT relname, pg_relation_size(oid) FROM pg_class
            WHERE relkind = 'i' AND relnamespace = 'public'::regnamespace
              AND relname NOT IN ('orders_placed', 'orders_pkey', 'sellers_pkey', 'tickets_pkey')
            """
        ).fetchall()
    return Measured(tuple(rows), plan, dict(made))


# %% [markdown]
# These are the queries that hurt. Each will have to read at most **a twentieth** of what it reads now.

# %%
LARGEST_PAID = "SELECT id, cents FROM orders WHERE seller_id = 7 AND status = 'paid' ORDER BY cents DESC LIMIT 20"
HELD_ABOVE = "SELECT id, cents FROM orders WHERE seller_id = 7 AND status = 'held' AND cents >= 1000"
PAID_ABOVE = "SELECT count(*) FROM orders WHERE seller_id = 12 AND status = 'paid' AND cents >= 2000"
DAY_TOTALS = """
SELECT count(*), coalesce(sum(cents), 0) FROM orders
WHERE (placed_at AT TIME ZONE 'Europe/Berlin')::date = %(day)s
"""
FEED_BY_OFFSET = "SELECT id, placed_at, cents FROM orders ORDER BY placed_at DESC, id DESC LIMIT 50 OFFSET %(skip)s"
SELLERS = """
SELECT s.id, s.name,
       (SELECT coalesce(sum(o.cents) FILTER (WHERE o.status <> 'cancelled'), 0)
        FROM orders o WHERE o.seller_id = s.id) AS turnover,
       (SELECT max(o.placed_at) FROM orders o WHERE o.seller_id = s.id) AS last_order,
       (SELECT count(*) FROM tickets t WHERE t.seller_id = s.id AND t.is_open) AS open_tickets
FROM sellers s
ORDER BY s.id
"""
HELD_BY_SELLER = (
    "SELECT seller_id, count(*), sum(cents) FROM orders WHERE status = 'held' GROUP BY seller_id ORDER BY seller_id"
)


@dataclass(frozen=True, repr=False)
class Bars:
    """Labels with a number each, as bars; as text where there is no browser."""

    title: str
    rows: Sequence[tuple[str, float]]

    def __repr__(self) -> str:
        width = max(len(label) for label, _ in self.rows)
        unit = 40 / max(1, *(number for _, number in self.rows))
        lines = [f"{label:{width}} {number:>9,.0f} {'#' * round(number * unit)}" for label, number in self.rows]
        return "\n".join([self.title, *lines])

    def _repr_html_(self) -> str:
        margin = 20 + 7 * max(len(label) for label, _ in self.rows)
        unit = 320 / max(1, *(number for _, number in self.rows))
        height = 22 * (len(self.rows) + 1) + 6
        parts = [f'<text x="0" y="14" font-weight="bold">{html.escape(self.title)}</text>']
        for line, (label, number) in enumerate(self.rows, start=1):
            text = html.escape(label).replace(" ", "\N{NO-BREAK SPACE}")
            parts.append(
                f'<text x="0" y="{22 * line + 15}">{text}</text>'
                f'<rect x="{margin}" y="{22 * line + 2}" width="{max(1, number * unit):.1f}" height="17" '
                f'fill="#0072b2"/><text x="{margin + number * unit + 8:.1f}" y="{22 * line + 15}">{number:,.0f}</text>'
            )
        return (
            f'<svg role="img" aria-label="{html.escape(self.title)}" viewBox="0 0 {margin + 420} {height}" '
            f'width="{margin + 420}" style="max-width: 100%; height: auto" fill="currentColor" font-size="12" '
            f'font-family="monospace" xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>'
        )


DAY = dt.date(2025, 6, 3)
Bars(
    "Pages that the workload asks for",
    [
        ("dashboard: largest paid orders", measure(LARGEST_PAID).buffers),
        ("dashboard: held orders above 10 €", measure(HELD_ABOVE).buffers),
        ("dashboard: paid orders above 20 €", measure(PAID_ABOVE).buffers),
        ("totals of a day", measure(DAY_TOTALS, day=DAY).buffers),
        ("feed, page 3,001", measure(FEED_BY_OFFSET, skip=150_000).buffers),
        ("report on all sellers", measure(SELLERS).buffers),
        ("held orders by seller", measure(HELD_BY_SELLER).buffers),
    ],
)

# %% [markdown]
# ## Query analysis: what a plan says
#
# **Query analysis** begins before the plan, with the question which query. `pg_stat_statements` adds up calls, time,
# rows and buffers by normalised statement: a query of 3 ms that runs 2,000 times a second is worth more than a report
# of a minute at night, so sort by *total* time. `auto_explain` logs the plans of those that were slow in production,
# with the parameters that made them so; `log_min_duration_statement` logs the statement alone. (The first two are
# libraries that a server has to be started with; this lesson's isn't.)
#
# Then `EXPLAIN`. Alone it shows the plan with the planner's *estimates*: cost in arbitrary units, rows, width.
# `ANALYZE` **runs** the statement (an `UPDATE` too: do it in a transaction and roll back) and adds the truth;
# `BUFFERS` adds pages, and since version 18 comes with `ANALYZE` by default. `FORMAT JSON` is for programs. A plan is
# a tree, and rows flow from the leaves up:
#
# | node | reads | good when |
# | --- | --- | --- |
# | Seq Scan | every page of the table | much of the table is wanted, or it is small |
# | Index Scan | entries in order, and the table's page for *each* | few rows, or the order is wanted (`LIMIT`) |
# | Bitmap Index + Heap Scan | entries first, then each table page *once*, in its order | some per cent, scattered |
# | Index Only Scan | the index alone, if the page is marked all-visible | it covers every column of the query |
# | Nested Loop | the inner side once for each outer row | few outer rows, an index inside |
# | Hash Join | each side once, a hash table in memory | large sides, equality |
# | Merge Join | each side once, both sorted | the order is there already |
#
# Read in this order: (1) the node with the most buffers or time **of its own**; (2) `Rows Removed by Filter`: work
# that was thrown away; (3) `loops`: rows and time are *averages of one loop*, buffers are sums; (4) estimated against
# actual rows: off by ten or more, and the planner chose a plan for another problem; (5) the difference between `Index
# Cond` (where the index is entered and left) and `Filter` (what is tested after the row was fetched).
#
# The report on the sellers, each node with the pages that it *and all below it* asked for:


# %%
def name_of(node: Mapping[str, Any]) -> str:
    """Return the node's type and what it reads."""
    return " ".join(filter(None, [node["Node Type"], node.get("Index Name"), node.get("Relation Name")]))


def nodes(plan: Mapping[str, Any], depth: int = 0) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield the nodes of a plan from top to bottom, each with its depth."""
    yield depth, plan
    for child in plan.get("Plans", []):
        yield from nodes(child, depth + 1)


def tree(title: str, plan: Mapping[str, Any]) -> Bars:
    """Return a plan as a tree with the pages of each node and those below it."""
    return Bars(
        title,
        [(f"{'   ' * depth}{name_of(node)} × {node['Actual Loops']}", blocks(node)) for depth, node in nodes(plan)],
    )


tree("The report on the sellers (× loops)", measure(SELLERS).plan)

# %% [markdown]
# The whole `orders` table is read forty times, once for each seller. The second subquery looks for `max(placed_at)`
# by walking the feed's index from the newest order back to the first one *of this seller*: quick for 38 sellers, and
# for the two that never sold anything, a walk over the whole index. A plan which is fine for most values and terrible
# for some is the reason why an average says little.
#
# Before any plan there are **statistics**: `ANALYZE` (autovacuum runs it) samples each column: share of NULLs, number
# of different values, the most frequent ones, a histogram, and the *correlation* of the values with the order of the
# table. Conditions on several columns are multiplied as if they were independent; `CREATE STATISTICS` tells
# PostgreSQL about those that aren't (town and postcode). For an expression without statistics it guesses: `f(x) = …`
# is half a per cent of the rows, which you will meet below.

# %%
PLAN: dict[str, Any] = {
    "Node Type": "Nested Loop",
    **{"Plan Rows": 5, "Actual Rows": 120.0, "Actual Loops": 1, "Shared Hit Blocks": 340, "Shared Read Blocks": 60},
    "Plans": [
        {
            "Node Type": "Seq Scan",
            "Relation Name": "sellers",
            **{
                "Plan Rows": 40,
                "Actual Rows": 40.0,
                "Actual Loops": 1,
                "Shared Hit Blocks": 1,
                "Shared Read Blocks": 0,
            },
        },
        {
            "Node Type": "Index Scan",
            "Index Name": "orders_seller",
            "Relation Name": "orders",
            **{
                "Plan Rows": 1,
                "Actual Rows": 3.0,
                "Actual Loops": 40,
                "Shared Hit Blocks": 339,
                "Shared Read Blocks": 60,
            },
        },
    ],
}


class Step(NamedTuple):
    """A node of a plan by itself."""

    name: str
    buffers: int
    rows: int
    off: float


# %% [markdown] exercise costly_steps topic=query-optimization level=core minutes=12
# ## Exercise: Where does it hurt?
#
# A plan from production has sixty nodes. In JSON each node's numbers are hard to compare: buffers contain those of
# the nodes below, rows are an average of one loop. You write the tool that sorts it out.
#
# `costly_steps(plan)` takes the top node of a plan and returns a `Step` for every node, **most buffers first**; nodes
# with equally many stand as in the plan from top to bottom (a node before those below it, siblings in order).
#
# * `name`: the `Node Type`, then ` using ` and the `Index Name`, then ` on ` and the `Relation Name`, each only where
#   the node has it.
# * `buffers`: the node's **own** pages: its hit and read blocks less those of its direct children (`Plans`, absent in
#   a leaf). A subquery's result may be asked for in another place than the one where the plan shows it, so that the
#   difference is negative: then it is 0. The function `blocks` above may be used.
# * `rows`: what it returned in all loops together, `Actual Rows` times `Actual Loops`, rounded.
# * `off`: by what factor the estimate is off: `Actual Rows` and `Plan Rows` (both are of one loop), each taken as at
#   least 1, the larger divided by the smaller. A node with 0 loops never ran: 1.
#
# ```python
# >>> costly_steps(PLAN)[0]
# Step(name='Index Scan using orders_seller on orders', buffers=399, rows=120, off=3.0)
# >>> [step.buffers for step in costly_steps(PLAN)]
# [399, 1, 0]
# >>> costly_steps(PLAN)[2]
# Step(name='Nested Loop', buffers=0, rows=120, off=24.0)
# ```


# %% solution costly_steps
def costly_steps(plan: Mapping[str, Any]) -> list[Step]:
    """Return what each node did itself, the most costly first."""
    # BEGIN SOLUTION
    steps = []
    for _, node in nodes(plan):
        name = node["Node Type"]
        name += f" using {node['Index Name']}" if "Index Name" in node else ""
        name += f" on {node['Relation Name']}" if "Relation Name" in node else ""
        own = blocks(node) - sum(map(blocks, node.get("Plans", ())))
        actual, planned = max(1, node["Actual Rows"]), max(1, node["Plan Rows"])
        off = max(actual / planned, planned / actual) if node["Actual Loops"] else 1.0
        steps.append(Step(name, max(own, 0), round(node["Actual Rows"] * node["Actual Loops"]), off))
    steps.sort(key=lambda step: step.buffers, reverse=True)
    return steps
    # END SOLUTION


# %%
def plan_node(
    kind: str,
    hit: int,
    read: int = 0,
    *below: dict[str, Any],
    rows: float = 1,
    loops: int = 1,
    planned: int = 1,
    more: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return a node of a plan."""
    node = {"Node Type": kind, "Actual Rows": rows, "Actual Loops": loops, "Plan Rows": planned, **(more or {})}
    return node | {"Shared Hit Blocks": hit, "Shared Read Blocks": read} | ({"Plans": [*below]} if below else {})


# %% check costly_steps points=2
def test_a_node_counts_only_its_own_pages() -> None:
    plan = plan_node("Hash Join", 70, 30, plan_node("Seq Scan", 50, 8), plan_node("Hash", 12, 22))
    assert {step.name: step.buffers for step in costly_steps(plan)} == {"Seq Scan": 58, "Hash": 34, "Hash Join": 8}, (
        "100 pages in all, of which 58 and 34 were asked for below"
    )


def test_the_most_costly_step_comes_first() -> None:
    plan = plan_node(
        "Limit",
        60,
        0,
        plan_node("Sort", 60, 0, plan_node("Bitmap Heap Scan", 55, 0, plan_node("Bitmap Index Scan", 4))),
    )
    assert [step.buffers for step in costly_steps(plan)] == [51, 5, 4, 0], "sorted by their own pages"


def test_a_node_is_named_by_what_it_reads() -> None:
    more = {"Index Name": "a", "Relation Name": "b"}
    assert costly_steps(plan_node("Index Scan", 1, more=more))[0].name == "Index Scan using a on b"
    assert costly_steps(plan_node("Seq Scan", 1, more={"Relation Name": "b"}))[0].name == "Seq Scan on b"
    assert (
        costly_steps(plan_node("Bitmap Index Scan", 1, more={"Index Name": "a"}))[0].name == "Bitmap Index Scan using a"
    )


# %% hidden costly_steps points=3
def test_rows_are_those_of_all_loops() -> None:
    (step,) = costly_steps(plan_node("Index Scan", 9, rows=0.95, loops=40))
    assert step.rows == 38, "0.95 rows a loop on average, forty loops"


def test_the_estimate_is_off_in_both_directions() -> None:
    assert costly_steps(plan_node("Seq Scan", 9, rows=500, planned=4))[0].off == pytest.approx(125), "125 times too few"
    assert costly_steps(plan_node("Seq Scan", 9, rows=4, planned=500))[0].off == pytest.approx(125), (
        "125 times too many"
    )


def test_no_rows_count_as_one_in_the_estimate() -> None:
    assert costly_steps(plan_node("Seq Scan", 9, rows=0, planned=30))[0].off == pytest.approx(30), "no rows"
    assert costly_steps(plan_node("ModifyTable", 9, rows=7, planned=0))[0].off == pytest.approx(7), "Plan Rows may be 0"
    assert costly_steps(plan_node("ModifyTable", 9, rows=0, planned=0))[0].off == pytest.approx(1), "none of none"


def test_a_node_that_never_ran_is_not_off() -> None:
    (step,) = costly_steps(plan_node("Seq Scan", 0, rows=0, loops=0, planned=9_000))
    assert step == Step("Seq Scan", 0, 0, 1.0), "nobody knows how many rows it would have found"


def test_a_subquery_asked_for_elsewhere_leaves_nothing_negative() -> None:
    subquery = plan_node("Seq Scan", 2_294, 0, more={"Subplan Name": "CTE recent"})
    plan = plan_node("Aggregate", 2_294, 0, subquery, plan_node("CTE Scan", 2_294))
    assert [step.buffers for step in costly_steps(plan)] == [2_294, 2_294, 0], "2,294 - 2 · 2,294 is no number of pages"


def test_equally_costly_steps_stand_as_in_the_plan() -> None:
    inner = plan_node("Materialize", 5, 0, plan_node("C", 5))
    names = [step.name for step in costly_steps(plan_node("A", 15, 0, plan_node("B", 5), inner))]
    assert names == ["A", "B", "C", "Materialize"], "A, B and C asked for five pages each"


def test_the_parts_of_a_real_plan_add_up() -> None:
    steps = costly_steps(measure(LARGEST_PAID).plan)
    assert sum(step.buffers for step in steps) == measure(LARGEST_PAID).buffers, "every page belongs to one node"
    assert steps[0].name == "Seq Scan on orders", "the pages are the table's, not the sort's"


# %% wrong costly_steps fails=test_a_node_counts_only_its_own_pages
# "The node with the largest number is the culprit": that is always the root, whose number contains all others.
def costly_steps(plan: Mapping[str, Any]) -> list[Step]:
    """Return what each node did itself, the most costly first."""
    steps = []
    for _, node in nodes(plan):
        name = node["Node Type"]
        name += f" using {node['Index Name']}" if "Index Name" in node else ""
        name += f" on {node['Relation Name']}" if "Relation Name" in node else ""
        actual, planned = max(1, node["Actual Rows"]), max(1, node["Plan Rows"])
        off = max(actual / planned, planned / actual) if node["Actual Loops"] else 1.0
        steps.append(Step(name, blocks(node), round(node["Actual Rows"] * node["Actual Loops"]), off))
    return sorted(steps, key=lambda step: -step.buffers)


# %% wrong costly_steps fails=test_rows_are_those_of_all_loops
# "Actual Rows is what the node returned": it is the average of one loop.
def costly_steps(plan: Mapping[str, Any]) -> list[Step]:
    """Return what each node did itself, the most costly first."""
    steps = []
    for _, node in nodes(plan):
        name = node["Node Type"]
        name += f" using {node['Index Name']}" if "Index Name" in node else ""
        name += f" on {node['Relation Name']}" if "Relation Name" in node else ""
        own = max(0, blocks(node) - sum(map(blocks, node.get("Plans", []))))
        actual, planned = max(1, node["Actual Rows"]), max(1, node["Plan Rows"])
        off = max(actual / planned, planned / actual) if node["Actual Loops"] else 1.0
        steps.append(Step(name, own, round(node["Actual Rows"]), off))
    return sorted(steps, key=lambda step: -step.buffers)


# %% wrong costly_steps fails=test_a_node_counts_only_its_own_pages
# "Buffers are of one loop, as rows are": they are sums already.
def costly_steps(plan: Mapping[str, Any]) -> list[Step]:
    """Return what each node did itself, the most costly first."""
    steps = []
    for _, node in nodes(plan):
        name = node["Node Type"]
        name += f" using {node['Index Name']}" if "Index Name" in node else ""
        name += f" on {node['Relation Name']}" if "Relation Name" in node else ""
        own = node["Shared Read Blocks"] * node["Actual Loops"]
        actual, planned = max(1, node["Actual Rows"]), max(1, node["Plan Rows"])
        off = max(actual / planned, planned / actual) if node["Actual Loops"] else 1.0
        steps.append(Step(name, own, round(node["Actual Rows"] * node["Actual Loops"]), off))
    return sorted(steps, key=lambda step: -step.buffers)


# %% right costly_steps
def costly_steps(plan: Mapping[str, Any]) -> list[Step]:
    """Return what each node did itself, the most costly first."""
    children = plan.get("Plans", [])
    name = plan["Node Type"]
    if "Index Name" in plan:
        name += f" using {plan['Index Name']}"
    if "Relation Name" in plan:
        name += f" on {plan['Relation Name']}"
    own = max(0, blocks(plan) - sum(blocks(child) for child in children))
    smaller, larger = sorted(max(1.0, plan[rows]) for rows in ("Actual Rows", "Plan Rows"))
    off = larger / smaller if plan["Actual Loops"] else 1.0
    steps = [Step(name, own, round(plan["Actual Rows"] * plan["Actual Loops"]), off)]
    for child in children:
        steps += costly_steps(child)
    return sorted(steps, key=lambda step: -step.buffers)


# %% [markdown] hint costly_steps
# Walk over the tree once (`nodes` does it) and make a `Step` of each node before you think about the order. Which of
# the numbers are sums over loops and children, which are averages?

# %% [markdown] hint costly_steps
# Own pages: `blocks(node)` less the sum of `blocks(child)` over `node.get("Plans", [])`, at least 0. `off` needs both
# directions: the larger by the smaller. Python's sort is stable, also with `reverse=True`.

# %% [markdown] hint costly_steps
# `actual, planned = max(1, node["Actual Rows"]), max(1, node["Plan Rows"])`; `off = max(actual / planned, planned /
# actual) if node["Actual Loops"] else 1.0`; `rows = round(node["Actual Rows"] * node["Actual Loops"])`. In the end
# `sorted(steps, key=lambda step: step.buffers, reverse=True)`.

# %% [markdown] after costly_steps
# This is what the coloured columns of explain.depesz.com and explain.dalibo.com show, and you needn't send them your
# plan. Time works the same way, except that `Actual Total Time` is of one loop and has to be multiplied first. Two
# places where subtraction lies: a CTE or an *InitPlan* (a subquery that is run once) is shown below one node and runs
# inside another, so its pages are in both; and below a `Gather` the numbers are of all workers together.
#
# The estimate matters where it changes the plan. Five rows expected and 120 found is harmless here; below a nested
# loop whose inner side is a Seq Scan, 24 times too few means 24 times too many passes over a table.
#
# **The interviewer goes on**: *The estimate is off by a thousand; what now? (`ANALYZE` first: when did it last run?
# Then a larger `default_statistics_target` for a skewed column, `CREATE STATISTICS` for columns that depend on each
# other, a rewrite so that the condition is on a plain column.) Why was it quick yesterday? (More rows, other
# parameters, stale statistics, a generic plan, a cold cache, bloat.)*

# %% [markdown]
# ## Indexing strategies
#
# A **B-tree** is a sorted list of entries (the columns' values and the row's address) in pages, with a few levels of
# signposts above: three to four pages from the root to any entry, in a table of millions. Everything it can do
# follows from *sorted*: equality, ranges, prefixes of texts (in the C collation), the smallest and largest, `ORDER
# BY` without a sort, joins by merging. **Indexing strategies** are answers to one question: what should the list be
# sorted by, so that what a query wants stands *together*?
#
# An index over two columns is sorted by the first, and by the second only among equals. So the order of columns
# decides whether the wanted entries are one stretch. Sellers 1 to 4, a few orders each; wanted are those of seller 2
# with 30 cents or more:


# %%
@dataclass(frozen=True, repr=False)
class Walk:
    """Entries of indexes in order: which of them a search walks over, and which it was looking for."""

    title: str
    rows: Mapping[str, Sequence[tuple[str, bool, bool]]]

    def __repr__(self) -> str:
        lines = [f"{self.title} (# wanted, o walked over, · left alone)"]
        for label, entries in self.rows.items():
            signs = "".join("#" if wanted else "o" if walked else "·" for _, walked, wanted in entries)
            lines.append(f"{label:18} {signs}   walked {sum(walked for _, walked, _ in entries)}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        parts = [f'<text x="0" y="14" font-weight="bold">{html.escape(self.title)}</text>']
        for line, (label, entries) in enumerate(self.rows.items()):
            top = 28 + 52 * line
            walked_over = sum(walked for _, walked, _ in entries)
            parts.append(f'<text x="0" y="{top + 10}">{html.escape(label)}: walks over {walked_over}</text>')
            for place, (text, walked, wanted) in enumerate(entries):
                fill = "#009e73" if wanted else "#e69f00" if walked else "none"
                parts.append(
                    f'<rect x="{34 * place + 1}" y="{top + 16}" width="32" height="20" fill="{fill}" '
                    f'fill-opacity="0.75" stroke="currentColor"/><text x="{34 * place + 17}" y="{top + 30}" '
                    f'text-anchor="middle" font-size="11">{html.escape(text)}</text>'
                )
        return (
            f'<svg role="img" aria-label="{html.escape(self.title)}" viewBox="0 0 700 140" width="700" '
            'style="max-width: 100%; height: auto" fill="currentColor" font-size="12" font-family="sans-serif" '
            f'xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>'
        )


def walk_of(entries: Iterable[tuple[int, int]], by_seller: bool) -> list[tuple[str, bool, bool]]:
    """Return the entries (seller, cents) in the order of an index, with what a search for seller 2, 30 and up does."""
    in_order = sorted(entries, key=lambda entry: entry if by_seller else entry[::-1])
    found = []
    for seller, cents in in_order:
        wanted = seller == 2 and cents >= 30
        found.append(
            (f"{seller}·{cents}" if by_seller else f"{cents}·{seller}", wanted if by_seller else cents >= 30, wanted)
        )
    return found


few = [(seller, cents) for seller in (1, 2, 3, 4) for cents in random.Random(42 + seller).sample(range(10, 90), 5)]
Walk(
    "Wanted: seller = 2 AND cents >= 30",
    {"(seller, cents)": walk_of(few, by_seller=True), "(cents, seller)": walk_of(few, by_seller=False)},
)

# %% [markdown]
# Hence the rule: **columns compared for equality first, then the one that is sorted by or compared for a range**.
# Behind the first range the order is of no more use for finding; further columns can still spare a visit to the
# table. "The most selective column first" is a myth: among columns compared for equality the order doesn't matter for
# *this* query (one stretch either way), so choose it such that other queries can use a prefix. An index on (a, b)
# serves `a = …` without `b`; it replaces an index on (a).
#
# And without `a`? Since version 18 a B-tree can **skip**: it searches about once for each different value of the
# leading column. With four values that is cheap. With 20,000 it isn't, and the whole index is read from end to end
# (sequential scans are switched off here, to see it):

# %%
MISSING_LEADER = "SELECT count(*) FROM orders WHERE cents >= 99000"
with services.postgres(template=market) as database, database.connect() as connection:
    connection.execute("SET enable_seqscan = off")
    for columns in ("(status, cents)", "(customer_id, cents)"):
        with connection.transaction(force_rollback=True):
            connection.execute(f"CREATE INDEX skipping ON orders {columns}")
            plan = explain(connection, MISSING_LEADER)
        leaf = [node for _, node in nodes(plan)][-1]
        print(f"{columns:22}{blocks(plan):>5} pages in {leaf['Index Searches']} searches: {leaf['Node Type']}")

# %% [markdown]
# Whether an index helps depends on how the wanted rows lie in the table. `placed_at` grows with the table
# (*correlation* 1): a stretch of the index is a stretch of pages. `cents` is random: each entry leads to another
# page, and at a few per cent every page has been touched, and from some share on the planner rightly reads the table
# instead. **An index isn't used because it is there**; "low selectivity" is a statement about pages.

# %%
rows: list[tuple[str, float]] = []
with services.postgres(template=market) as database, database.connect() as connection:
    connection.execute("SET max_parallel_workers_per_gather = 0")
    connection.execute("CREATE INDEX orders_cents ON orders (cents)")
    for column, first, last in (("placed_at", 0, len(DAYS)), ("cents", 500, 100_000)):
        for share in (0.2, 1.0, 5.0, 50.0):
            value = first + round((last - first) * share / 100)
            limit = f"'{DAYS[value]}'" if column == "placed_at" else value
            plan = explain(connection, f"SELECT sum(customer_id) FROM orders WHERE {column} < {limit}")
            scan = next(node["Node Type"] for _, node in nodes(plan) if "Relation Name" in node)
            rows.append((f"{share:>4} % by {column:9} {scan}", blocks(plan)))
Bars("Pages asked for, by share of the rows and by how they lie in the table", rows)

# %% [markdown]
# More strategies, each bought with writes:
#
# | index | for | price |
# | --- | --- | --- |
# | composite (a, b) | equality on a, then order or range on b | entries are longer |
# | partial `… WHERE status = 'open'` | a small part, often asked for | queries have to imply the condition |
# | covering `… INCLUDE (c)` | index-only scans | longer still; needs VACUUM; no heap-only updates of c |
# | on an expression `(lower(email))` | a function that queries apply | must be immutable; queries must write it so |
# | unique | a rule, and it is looked up anyway | – |
# | GIN | arrays, `jsonb`, full text, trigrams (`LIKE '%x%'`) | slow writes |
# | GiST | ranges, geometry, nearest neighbours, exclusion | – |
# | BRIN | huge tables in the order of the column | coarse: a range of pages per entry |
# | hash | equality of long values | nothing else |
#
# And what an index costs: each `INSERT` writes into all of them, each `UPDATE` too (unless it changes no indexed
# column and the page has room: a *heap-only tuple*), VACUUM cleans all of them, the cache holds them. A thousand
# orders, with more and more indexes on the table:

# %%
MORE_INDEXES = (
    "CREATE INDEX i1 ON orders (seller_id)",
    "CREATE INDEX i2 ON orders (customer_id)",
    "CREATE INDEX i3 ON orders (cents)",
    "CREATE INDEX i4 ON orders (status, seller_id, cents)",
)
THOUSAND_ORDERS = """
INSERT INTO orders
SELECT 300000 + n, n % 38 + 1, n * 17 % 20000, 'paid', n * 631 % 99500 + 500, '2026-01-01', 'somewhere'
FROM generate_series(1, 1000) AS n
"""
with services.postgres(template=market) as database, database.connect() as connection:
    written = []
    for count, statement in enumerate(("SELECT", *MORE_INDEXES), start=2):
        connection.execute(statement)
        with connection.transaction(force_rollback=True):
            written.append((f"{count} indexes", float(blocks(explain(connection, THOUSAND_ORDERS)))))
Bars("Pages asked for by 1,000 INSERTs", written)

# %% [markdown] exercise dashboard_index topic=query-optimization level=core minutes=12
# ## Exercise: One index for the dashboard
#
# The seller's dashboard sends three queries, `LARGEST_PAID`, `HELD_ABOVE` and `PAID_ABOVE` (printed below), for any
# seller and status. Each reads the whole table. Writes are busy, so the database's owner grants you **one** index.
#
# `dashboard_index()` returns one `CREATE INDEX` statement for the table `orders`. On the marketplace, with this
# index:
#
# * each of the three queries asks for at most a **twentieth** of the pages that it asks for now, and so does each for
#   another seller; `LARGEST_PAID` and `PAID_ABOVE` also with another status (`shipped`, `cancelled`, `held`);
# * the twenty largest orders are found without a sort;
# * it is the only new index, not unique, and no larger than **8 MiB**.
#
# ```python
# >>> print(LARGEST_PAID)
# SELECT id, cents FROM orders WHERE seller_id = 7 AND status = 'paid' ORDER BY cents DESC LIMIT 20
# >>> print(HELD_ABOVE)
# SELECT id, cents FROM orders WHERE seller_id = 7 AND status = 'held' AND cents >= 1000
# >>> print(PAID_ABOVE)
# SELECT count(*) FROM orders WHERE seller_id = 12 AND status = 'paid' AND cents >= 2000
# >>> measure(PAID_ABOVE).buffers > 2_290
# True
# >>> measure(PAID_ABOVE, dashboard_index()).buffers < 115
# True
# ```


# %% solution dashboard_index
def dashboard_index() -> str:
    """Return the statement that makes the dashboard's index."""
    # BEGIN SOLUTION
    return "CREATE INDEX orders_dashboard ON orders (seller_id, status, cents)"
    # END SOLUTION


# %%
def assert_a_twentieth(query: str, *statements: str) -> None:
    """Fail unless a query asks for a twentieth of its pages after the statements, and returns the same."""
    now, then = measure(query), measure(query, *statements)
    assert then.buffers * 20 <= now.buffers, f"{then.buffers:,} of {now.buffers:,} pages:\n{tree(query, then.plan)}"
    assert sorted(then.rows) == sorted(now.rows), "the same rows as before"


# %% check dashboard_index points=2
def test_the_largest_paid_orders_cost_a_twentieth() -> None:
    assert_a_twentieth(LARGEST_PAID, dashboard_index())


def test_the_held_orders_above_a_limit_cost_a_twentieth() -> None:
    assert_a_twentieth(HELD_ABOVE, dashboard_index())


# %% hidden dashboard_index points=3
def test_the_paid_orders_above_a_limit_cost_a_twentieth() -> None:
    assert_a_twentieth(PAID_ABOVE, dashboard_index())


def test_the_largest_orders_are_not_sorted() -> None:
    kinds = [node["Node Type"] for _, node in nodes(measure(LARGEST_PAID, dashboard_index()).plan)]
    assert "Sort" not in kinds, f"{kinds}: the index has the order already"
    assert "Incremental Sort" not in kinds, f"{kinds}: the index has the order already"


def test_it_is_one_index_of_at_most_eight_mebibytes() -> None:
    made = measure(LARGEST_PAID, dashboard_index()).indexes
    assert len(made) == 1, f"{made}: one index was granted"
    assert max(made.values()) <= 8 << 20, f"{made}: it holds columns that no query needs"


def test_other_sellers_gain_as_well() -> None:
    assert_a_twentieth(LARGEST_PAID.replace("= 7", "= 31"), dashboard_index())
    assert_a_twentieth(HELD_ABOVE.replace("= 7", "= 31"), dashboard_index())


def test_other_statuses_gain_as_well() -> None:
    assert_a_twentieth(LARGEST_PAID.replace("paid", "shipped"), dashboard_index())
    assert_a_twentieth(PAID_ABOVE.replace("paid", "cancelled"), dashboard_index())


# %% wrong dashboard_index fails=test_the_held_orders_above_a_limit_cost_a_twentieth
# "The most selective column first": cents has the most values, but it is compared for a range.
def dashboard_index() -> str:
    """Return the statement that makes the dashboard's index."""
    return "CREATE INDEX orders_dashboard ON orders (cents, seller_id, status)"


# %% wrong dashboard_index fails=test_the_paid_orders_above_a_limit_cost_a_twentieth
# "All three columns are in it": behind the range, the seller no longer says where to stop.
def dashboard_index() -> str:
    """Return the statement that makes the dashboard's index."""
    return "CREATE INDEX orders_dashboard ON orders (status, cents, seller_id)"


# %% wrong dashboard_index fails=test_the_largest_paid_orders_cost_a_twentieth
# "Index the WHERE clause": the order isn't in it, so all 4,000 orders are fetched and sorted for twenty.
def dashboard_index() -> str:
    """Return the statement that makes the dashboard's index."""
    return "CREATE INDEX orders_dashboard ON orders (seller_id, status)"


# %% wrong dashboard_index fails=test_the_held_orders_above_a_limit_cost_a_twentieth
# "A column of four values isn't worth indexing": the status decides which of 5,000 rows have to be fetched.
def dashboard_index() -> str:
    """Return the statement that makes the dashboard's index."""
    return "CREATE INDEX orders_dashboard ON orders (seller_id, cents)"


# %% wrong dashboard_index fails=test_it_is_one_index_of_at_most_eight_mebibytes
# "Cover everything, to be safe": the address alone makes it larger than all other columns together.
def dashboard_index() -> str:
    """Return the statement that makes the dashboard's index."""
    return "CREATE INDEX orders_dashboard ON orders (seller_id, status, cents) INCLUDE (id, customer_id, address)"


# %% right dashboard_index
def dashboard_index() -> str:
    """Return the statement that makes the dashboard's index."""
    return "CREATE INDEX ON orders (status, seller_id, cents DESC)"


# %% [markdown] hint dashboard_index
# Write down for each query which columns are compared for equality, and which for a range or sorted by. The lists of
# the three queries are alike.

# %% [markdown] hint dashboard_index
# Equality first, in any order, then the range. Backwards an index reads as well as forwards, so that `DESC` isn't
# needed for one column.

# %% [markdown] hint dashboard_index
# Three columns: `seller_id` and `status`, then `cents`. `CREATE INDEX orders_dashboard ON orders (…, …, …)`.

# %% [markdown] after dashboard_index
# With (seller_id, status, cents) each query is one stretch of the index: the search goes to its beginning and stops
# at its end (or after twenty). What is left are visits to the table: 20 for the largest orders, one for each held
# order, and none for the count, which the index answers alone. (status, seller_id, cents) is as good here;
# (seller_id, …) also serves queries by seller alone, and that decides.
#
# (seller_id, cents, status) stays within the limit too, and shows what a column *behind* the range is good for: it
# walks over all of the seller's entries instead of a few, but tests the status in the index, without visiting the
# table. A single index on each column is the worst: three bitmaps have to be built and intersected, and the order is
# lost. `DESC` in an index matters only where directions are mixed (`ORDER BY a, b DESC`).
#
# **The interviewer goes on**: *How do you add it in production? (`CREATE INDEX CONCURRENTLY`: writes go on; it takes
# two passes, can't run in a transaction, and leaves an invalid index behind if it fails. Watch
# `pg_stat_progress_create_index`.) How do you find indexes that nobody uses? (`idx_scan` in `pg_stat_user_indexes`,
# on the replicas too; a prefix of another index is redundant.)*

# %% [markdown]
# ## Conditions that an index can't see
#
# An index is sorted by what it was made of. A condition on `f(column)` asks for something by which it isn't sorted,
# and the planner doesn't solve equations. Such conditions are called **not sargable** (a *search argument* is what
# one can look up):
#
# | can't be looked up | can |
# | --- | --- |
# | `placed_at::date = '2025-06-03'` | `placed_at >= '2025-06-03' AND placed_at < '2025-06-04'` |
# | `extract(year FROM placed_at) = 2025` | a range of a year |
# | `cents * 1.19 > 1000` | `cents > 1000 / 1.19` |
# | `coalesce(deleted_at, 'infinity') > now()` | `deleted_at IS NULL OR deleted_at > now()` |
# | `lower(email) = 'a@b.c'` | an index on `lower(email)` |
# | `name LIKE '%son'` | a trigram index (GIN) |
# | `id = 42.0` (a Decimal from Python: the column is cast) | `id = 42` |
# | `a = 1 OR b = 2` | two bitmaps, if each has an index; else `UNION` |
#
# It costs twice: the index isn't used, and there are no statistics for the expression, so the planner guesses.

# %%
with services.postgres(template=market) as database, database.connect() as connection:
    connection.execute("SET max_parallel_workers_per_gather = 0")
    for condition in (
        "placed_at::date = '2025-06-03'",
        "placed_at >= '2025-06-03' AND placed_at < '2025-06-04'",
        "id::numeric = 42.0",
        "id = 42",
        "cents / 100 = 999",
    ):
        plan = explain(connection, f"SELECT sum(cents) FROM orders WHERE {condition}")
        leaf = [node for _, node in nodes(plan)][-1]
        print(
            f"{condition:55}{blocks(plan):>6,} pages, {leaf['Node Type']:10} "
            f"expected {leaf['Plan Rows']:>5,} rows, found {leaf['Actual Rows']:,.0f}"
        )

# %% [markdown]
# Three of the guesses are exactly 1,000: half a per cent of 200,000, whatever is asked for. An index on the
# expression would cure both, and `placed_at::date` can't have one: the result depends on the session's time zone, so
# it isn't immutable. `(placed_at AT TIME ZONE 'Europe/Berlin')::date` could.


# %%
def small(
    database: services.Database,
    *,
    sellers: Sequence[int] = (),
    orders: Sequence[tuple[int, int, str, int, dt.datetime]] = (),
    tickets: Sequence[tuple[int, bool]] = (),
) -> Connection:
    """Fill an empty database with a few rows.

    An order is (id, seller, status, cents, when), a ticket is (seller, open).
    """
    connection = database.connect(autocommit=True)
    connection.execute(TABLES)
    connection.execute(FEED_INDEX)
    with connection.cursor() as cursor:
        cursor.executemany("INSERT INTO sellers VALUES (%s, 'seller')", [(seller,) for seller in sellers])
        cursor.executemany("INSERT INTO orders VALUES (%s, %s, 1, %s, %s, %s, 'here')", orders)
        cursor.executemany(
            "INSERT INTO tickets VALUES (%s, %s, %s, 'parcel')",
            [(number, *ticket) for number, ticket in enumerate(tickets)],
        )
    return connection


# %% [markdown] exercise berlin_day topic=query-optimization level=senior minutes=12
# ## Exercise: The totals of a day
#
# Accounting asks for the orders of one day, as the calendar in Berlin has it: how many, and their sum. `DAY_TOTALS`
# is right, and reads the whole table for each day. There is an index on `(placed_at, id)`, and there will be no
# other.
#
# Rewrite the query: `berlin_day()` returns one SELECT statement with the parameter `%(day)s`, a `datetime.date`. It
# returns one row with the same two numbers as `DAY_TOTALS` for **any** day since 1950, also those on which the clocks
# change and those without orders (0 and 0); on the marketplace it asks for at most a **twentieth** of the pages. The
# session's time zone is UTC.
#
# ```python
# >>> measure(DAY_TOTALS, day=dt.date(2025, 6, 3)).rows
# ((262, 12985952),)
# >>> measure(berlin_day(), day=dt.date(2025, 6, 3)).rows
# ((262, 12985952),)
# >>> measure(berlin_day(), day=dt.date(1999, 1, 1)).rows
# ((0, 0),)
# ```


# %% solution berlin_day
def berlin_day() -> str:
    """Return the query for the number and sum of the orders of one day in Berlin."""
    # BEGIN SOLUTION
    return """
    SELECT count(*), coalesce(sum(cents), 0) FROM orders
    WHERE placed_at >= %(day)s::timestamp AT TIME ZONE 'Europe/Berlin'
      AND placed_at < (%(day)s::date + 1)::timestamp AT TIME ZONE 'Europe/Berlin'
    """
    # END SOLUTION


# %% starter berlin_day
def berlin_day() -> str:
    """Return the query for the number and sum of the orders of one day in Berlin."""
    return """
    SELECT count(*), coalesce(sum(cents), 0) FROM orders
    WHERE (placed_at AT TIME ZONE 'Europe/Berlin')::date = %(day)s
    """


# %%
def assert_the_same_for(day: dt.date) -> None:
    """Fail unless the query returns for a day what the slow one does."""
    expected, got = measure(DAY_TOTALS, day=day).rows, measure(berlin_day(), day=day).rows
    assert got == expected, f"{day}: {got}, not {expected}"


# %% check berlin_day points=2
def test_a_day_costs_a_twentieth() -> None:
    now, then = measure(DAY_TOTALS, day=DAY), measure(berlin_day(), day=DAY)
    assert then.buffers * 20 <= now.buffers, f"{then.buffers:,} of {now.buffers:,} pages: {tree('plan', then.plan)}"


def test_the_totals_are_those_of_the_slow_query() -> None:
    assert_the_same_for(DAY)
    assert_the_same_for(dt.date(2025, 1, 15))


# %% hidden berlin_day points=4
BERLIN = ZoneInfo("Europe/Berlin")


def around(day: dt.date) -> list[tuple[int, int, str, int, dt.datetime]]:
    """Return orders of 1, 10, … cents: one just before a day in Berlin, two in it at either end, one just after."""
    begin = dt.datetime.combine(day, dt.time(), BERLIN)
    end = dt.datetime.combine(day + dt.timedelta(days=1), dt.time(), BERLIN)
    instant = dt.timedelta(microseconds=1)
    moments = [begin.astimezone(dt.UTC) - instant, begin, end.astimezone(dt.UTC) - instant, end]
    return [(number, 1, "paid", 10**number, moment) for number, moment in enumerate(moments)]


def totals_of(database: services.Database, day: dt.date) -> Any:
    """Return what the query finds for a day among the orders around it."""
    return small(database, orders=around(day)).execute(berlin_day(), {"day": day}).fetchone()


def test_a_day_begins_and_ends_at_midnight_in_berlin(postgres: services.Database) -> None:
    assert totals_of(postgres, DAY) == (2, 110), "the first instant belongs to the day, the next midnight doesn't"


def test_a_day_of_23_hours_is_whole(postgres: services.Database) -> None:
    assert totals_of(postgres, dt.date(2025, 3, 30)) == (2, 110), "the clocks go forward at two o'clock"
    assert_the_same_for(dt.date(2025, 3, 30))


def test_a_day_of_25_hours_is_whole(postgres: services.Database) -> None:
    assert totals_of(postgres, dt.date(2025, 10, 26)) == (2, 110), "the clocks go back at three o'clock"
    assert_the_same_for(dt.date(2025, 10, 26))


def test_a_day_without_orders_has_zeros(postgres: services.Database) -> None:
    found = small(postgres).execute(berlin_day(), {"day": DAY}).fetchone()
    assert found == (0, 0), "the sum of nothing is NULL; accounting wants 0"


def test_a_winter_day_costs_a_twentieth_too() -> None:
    day = dt.date(2024, 12, 31)
    now, then = measure(DAY_TOTALS, day=day), measure(berlin_day(), day=day)
    assert then.buffers * 20 <= now.buffers, f"{then.buffers:,} of {now.buffers:,} pages: {tree('plan', then.plan)}"


# %% wrong berlin_day fails=test_a_day_begins_and_ends_at_midnight_in_berlin
# "BETWEEN is a range": it takes both ends, and the next midnight is counted on two days.
def berlin_day() -> str:
    """Return the query for the number and sum of the orders of one day in Berlin."""
    return """
    SELECT count(*), coalesce(sum(cents), 0) FROM orders
    WHERE placed_at BETWEEN %(day)s::timestamp AT TIME ZONE 'Europe/Berlin'
      AND (%(day)s::date + 1)::timestamp AT TIME ZONE 'Europe/Berlin'
    """


# %% wrong berlin_day fails=test_a_day_of_23_hours_is_whole
# "A day has 24 hours": not on the two on which the clocks change.
def berlin_day() -> str:
    """Return the query for the number and sum of the orders of one day in Berlin."""
    return """
    SELECT count(*), coalesce(sum(cents), 0) FROM orders
    WHERE placed_at >= %(day)s::timestamp AT TIME ZONE 'Europe/Berlin'
      AND placed_at < (%(day)s::timestamp AT TIME ZONE 'Europe/Berlin') + interval '24 hours'
    """


# %% wrong berlin_day fails=test_the_totals_are_those_of_the_slow_query
# "AT TIME ZONE takes a date": it becomes a timestamptz in the session's zone, and is turned the wrong way round.
def berlin_day() -> str:
    """Return the query for the number and sum of the orders of one day in Berlin."""
    return """
    SELECT count(*), coalesce(sum(cents), 0) FROM orders
    WHERE placed_at >= %(day)s::date AT TIME ZONE 'Europe/Berlin'
      AND placed_at < (%(day)s::date + 1) AT TIME ZONE 'Europe/Berlin'
    """


# %% wrong berlin_day fails=test_a_day_costs_a_twentieth
# "date_trunc is quicker than a cast": it is still a function of the column.
def berlin_day() -> str:
    """Return the query for the number and sum of the orders of one day in Berlin."""
    return """
    SELECT count(*), coalesce(sum(cents), 0) FROM orders
    WHERE date_trunc('day', placed_at AT TIME ZONE 'Europe/Berlin') = %(day)s::timestamp
    """


# %% right berlin_day
def berlin_day() -> str:
    """Return the query for the number and sum of the orders of one day in Berlin."""
    return """
    WITH day AS (
        SELECT %(day)s::timestamp AT TIME ZONE 'Europe/Berlin' AS begins,
               (%(day)s::timestamp + interval '1 day') AT TIME ZONE 'Europe/Berlin' AS ends
    )
    SELECT count(o.id), coalesce(sum(o.cents), 0)
    FROM day LEFT JOIN orders o ON o.placed_at >= day.begins AND o.placed_at < day.ends
    """


# %% right berlin_day
def berlin_day() -> str:
    """Return the query for the number and sum of the orders of one day in Berlin."""
    return """
    SELECT count(*), coalesce(sum(cents), 0) FROM orders
    WHERE placed_at >= %(day)s::date - 1 AND placed_at < %(day)s::date + 2
      AND (placed_at AT TIME ZONE 'Europe/Berlin')::date = %(day)s
    """


# %% [markdown] hint berlin_day
# The column has to stand alone on its side. What are the two instants between which a day in Berlin lies, and which
# of them belongs to it?

# %% [markdown] hint berlin_day
# `X AT TIME ZONE 'Europe/Berlin'` of a timestamp *without* time zone is the instant at which clocks in Berlin show X.
# The day after `d` is `d + 1` for a date; turn both into a `timestamp` before, not after.

# %% [markdown] hint berlin_day
# `placed_at >= %(day)s::timestamp AT TIME ZONE 'Europe/Berlin'` and `placed_at < (%(day)s::date + 1)::timestamp AT
# TIME ZONE 'Europe/Berlin'`.

# %% [markdown] after berlin_day
# A half-open range: it fits the index, has statistics (the histogram of `placed_at`), and neighbouring days neither
# overlap nor leave a gap. The function is applied to the *parameter*, once, before the search begins.
#
# `AT TIME ZONE` is two functions: from local time to an instant and back. A date isn't listed for either and is cast
# to `timestamptz` first, at midnight of the session's zone; so the "obvious" version shifts the day by hours in the
# wrong direction, and only a test at the boundary notices. Computing both instants in Python with `zoneinfo` is as
# good, and easier to test.
#
# One assumption is left: that midnight comes once. In Berlin it does (but for 1 October 1916). In Havana the clocks go
# back from one o'clock to midnight each autumn; PostgreSQL takes the second midnight, and the first hour goes to the
# day before. Where that can happen, let a generous range be looked up and the old condition decide in it: `placed_at >=
# %(day)s::date - 1 AND placed_at < %(day)s::date + 2 AND (placed_at AT TIME ZONE 'Europe/Berlin')::date = %(day)s`.
#
# The alternative is an index on `((placed_at AT TIME ZONE 'Europe/Berlin')::date)`: the old query becomes quick
# without being touched (good where an ORM or a vendor writes it), for one more index that every write pays, and for
# one zone.
#
# **The interviewer goes on**: *Why was it quick in staging? (Ten thousand rows: any plan is.) Who checks that such
# conditions don't come back? (A test that counts buffers or looks for a Seq Scan in the plan, on data of a realistic
# size, as here; `auto_explain` in production.)*

# %% [markdown]
# ## Pages of a list
#
# `LIMIT 50 OFFSET 150000` doesn't jump: the index is sorted by values, not numbered. The server produces 150,050
# rows, fetches each from the table, and throws 150,000 away. The first pages are quick, and so the tests are; a
# crawler, an export or an impatient user finds the last ones. Move the slider:


# %%
def by_offset(page: int) -> Bars:
    """Return what a page of the feed costs."""
    outcome = measure(FEED_BY_OFFSET, skip=50 * (page - 1))
    walked = [node for _, node in nodes(outcome.plan)][-1]["Actual Rows"]
    return Bars(
        f"Page {page:,} of the feed by OFFSET",
        [("rows walked over", walked), ("rows returned", len(outcome.rows)), ("pages asked for", outcome.buffers)],
    )


explore(by_offset, page=(1, 4_000, 3_001))

# %% [markdown]
# It is wrong besides. Between two requests a new order arrives at the top, everything moves down by one, and the last
# row of page 1 comes again as the first of page 2; a deletion makes one vanish.
#
# The alternative remembers *where* it was instead of *how far*: **keyset pagination**, also called cursor or seek.
# The client sends back the sort key of the last row that it has seen, and the next page is what comes after. The key
# has to be unique, or rows that share it are lost at a boundary: hence a tie-breaker, here the id.

# %% [markdown] exercise keyset_feed topic=query-optimization level=senior minutes=15
# ## Exercise: The feed, page by page
#
# The feed of all orders, newest first, is read by a partner to its end, 50 at a time. Many orders share a
# `placed_at`.
#
# `feed_page(after, size)` returns a statement and its parameters (a dict), as `connection.execute` takes them. The
# statement selects `id, placed_at, cents` of at most `size` orders, sorted by `placed_at` with the newest first and,
# among orders placed at the same time, the larger id first.
#
# * `after` is None for the first page, else `(placed_at, id)` of the last order of the page before: the page begins
#   with the next order.
# * Orders that arrive or are deleted while someone reads (also the one that `after` names) make no other order appear
#   twice or go missing.
# * On the marketplace, with its index on `(placed_at, id)`, a page of 50 asks for at most **30 pages** of the
#   database, however deep it lies.
#
# ```python
# >>> with services.postgres(template=market) as database, database.connect() as connection:
# ...     first = connection.execute(*feed_page(None, 2)).fetchall()
# ...     last_id, last_placed_at, _ = first[-1]
# ...     second = connection.execute(*feed_page((last_placed_at, last_id), 2)).fetchall()
# >>> [order_id for order_id, _, _ in first], [order_id for order_id, _, _ in second]
# ([200000, 199999], [199998, 199997])
# >>> sorted(feed_page(None, 2)[1].values())
# [2]
# ```


# %% solution keyset_feed
def feed_page(after: tuple[dt.datetime, int] | None, size: int) -> tuple[str, dict[str, Any]]:
    """Return the statement for a page of the feed, and its parameters."""
    # BEGIN SOLUTION
    if after is None:
        first = "SELECT id, placed_at, cents FROM orders ORDER BY placed_at DESC, id DESC LIMIT %(size)s"
        return first, {"size": size}
    placed_at, order_id = after
    following = """
    SELECT id, placed_at, cents FROM orders
    WHERE (placed_at, id) < (%(placed_at)s, %(id)s)
    ORDER BY placed_at DESC, id DESC LIMIT %(size)s
    """
    return following, {"placed_at": placed_at, "id": order_id, "size": size}
    # END SOLUTION


# %%
Order = tuple[int, dt.datetime, int]


def read_feed(
    connection: Connection, size: int, between: Callable[[Connection], object] = lambda _: None
) -> list[Order]:
    """Return the whole feed, page by page; call `between` after the first page."""
    found: list[Order] = []
    after = None
    for number in range(50):
        page = connection.execute(*feed_page(after, size)).fetchall()
        assert len(page) <= size, f"{len(page)} orders on a page of {size}"
        if not page:
            return found
        found += page
        after = (page[-1][1], page[-1][0])
        if number == 0:
            between(connection)
    raise AssertionError("the feed has no end: a page repeats")


def feed_of(minutes: Sequence[int]) -> list[tuple[int, int, str, int, dt.datetime]]:
    """Return orders placed at these minutes; their ids count from 1."""
    begin = dt.datetime(2025, 6, 3, 12, tzinfo=dt.UTC)
    return [
        (number, 1, "paid", 100 * number, begin + dt.timedelta(minutes=minute))
        for number, minute in enumerate(minutes, start=1)
    ]


def deep(skip: int) -> tuple[dt.datetime, int]:
    """Return the place of the last of the feed's first `skip` orders."""
    ((order_id, placed_at, _), *_) = measure(FEED_BY_OFFSET, skip=skip - 1).rows
    return placed_at, order_id


# %% check keyset_feed points=2
def test_the_pages_make_the_whole_feed(postgres: services.Database) -> None:
    connection = small(postgres, orders=feed_of([1, 2, 3, 4, 5, 6, 7]))
    assert [order[0] for order in read_feed(connection, 3)] == [7, 6, 5, 4, 3, 2, 1], "newest first, each once"


def test_a_deep_page_costs_at_most_thirty_pages() -> None:
    statement, parameters = feed_page(deep(150_000), 50)
    outcome = measure(statement, **parameters)
    assert outcome.rows == measure(FEED_BY_OFFSET, skip=150_000).rows, "the same fifty orders as by OFFSET"
    assert outcome.buffers <= 30, f"{outcome.buffers:,} pages: {tree('plan', outcome.plan)}"


# %% hidden keyset_feed points=4
def test_the_first_page_costs_at_most_thirty_pages() -> None:
    statement, parameters = feed_page(None, 50)
    outcome = measure(statement, **parameters)
    assert outcome.rows == measure(FEED_BY_OFFSET, skip=0).rows, "the newest fifty"
    assert outcome.buffers <= 30, f"{outcome.buffers:,} pages: {tree('plan', outcome.plan)}"


def test_the_last_page_costs_at_most_thirty_pages() -> None:
    statement, parameters = feed_page(deep(199_980), 50)
    outcome = measure(statement, **parameters)
    assert [order[0] for order in outcome.rows] == [*range(20, 0, -1)], "the first twenty orders end the feed"
    assert outcome.buffers <= 30, f"{outcome.buffers:,} pages: {tree('plan', outcome.plan)}"


def test_orders_placed_at_the_same_time_are_not_lost(postgres: services.Database) -> None:
    connection = small(postgres, orders=feed_of([5, 5, 5, 5, 5, 4, 4, 6]))
    for size in (1, 2, 3):
        found = [order[0] for order in read_feed(connection, size)]
        assert found == [8, 5, 4, 3, 2, 1, 7, 6], f"pages of {size}: five orders share a minute, the larger id first"


def test_the_order_does_not_hang_on_the_index(postgres: services.Database) -> None:
    connection = small(postgres, orders=feed_of([5, 5, 5, 5, 5, 4, 4, 6]))
    connection.execute("DROP INDEX orders_placed")
    for size in (3, 9):
        found = [order[0] for order in read_feed(connection, size)]
        assert found == [8, 5, 4, 3, 2, 1, 7, 6], f"pages of {size}: what isn't in ORDER BY comes in any order"


def test_an_older_order_may_have_a_larger_id(postgres: services.Database) -> None:
    connection = small(postgres, orders=feed_of([9, 8, 7, 6, 5]))
    assert [order[0] for order in read_feed(connection, 2)] == [1, 2, 3, 4, 5], "the time decides, not the id"


def test_an_order_that_arrives_meanwhile_repeats_nothing(postgres: services.Database) -> None:
    connection = small(postgres, orders=feed_of([1, 2, 3, 4, 5]))
    arrives = "INSERT INTO orders SELECT 99, 1, 1, 'paid', 1, max(placed_at) + interval '1 hour', 'here' FROM orders"
    found = [order[0] for order in read_feed(connection, 2, lambda reader: reader.execute(arrives))]
    assert found == [5, 4, 3, 2, 1], "with OFFSET order 4 comes twice"


def test_deleting_the_last_order_seen_loses_nothing(postgres: services.Database) -> None:
    connection = small(postgres, orders=feed_of([1, 2, 3, 3, 4]))
    found = [
        order[0] for order in read_feed(connection, 2, lambda reader: reader.execute("DELETE FROM orders WHERE id = 4"))
    ]
    assert found == [5, 4, 3, 2, 1], "the place in the order remains, though the row is gone"


def test_a_page_has_the_columns_and_the_size_asked_for(postgres: services.Database) -> None:
    orders = feed_of([1, 2, 3])
    page = small(postgres, orders=orders).execute(*feed_page((orders[2][4], 3), 1)).fetchall()
    assert page == [(2, orders[1][4], 200)], "id, placed_at, cents of one order"


# %% wrong keyset_feed fails=test_orders_placed_at_the_same_time_are_not_lost
# "The time is the cursor": orders that share it with the last one are skipped.
def feed_page(after: tuple[dt.datetime, int] | None, size: int) -> tuple[str, dict[str, Any]]:
    """Return the statement for a page of the feed, and its parameters."""
    where = "WHERE placed_at < %(placed_at)s" if after else ""
    statement = f"SELECT id, placed_at, cents FROM orders {where} ORDER BY placed_at DESC, id DESC LIMIT %(size)s"
    return statement, {"size": size} | ({"placed_at": after[0]} if after else {})


# %% wrong keyset_feed fails=test_a_deep_page_costs_at_most_thirty_pages
# "Spelled out it is the same": it is, and an OR at the top is a filter, so the index is walked from its end.
def feed_page(after: tuple[dt.datetime, int] | None, size: int) -> tuple[str, dict[str, Any]]:
    """Return the statement for a page of the feed, and its parameters."""
    where = "WHERE placed_at < %(placed_at)s OR (placed_at = %(placed_at)s AND id < %(id)s)" if after else ""
    statement = f"SELECT id, placed_at, cents FROM orders {where} ORDER BY placed_at DESC, id DESC LIMIT %(size)s"
    return statement, {"size": size} | ({"placed_at": after[0], "id": after[1]} if after else {})


# %% wrong keyset_feed fails=test_an_older_order_may_have_a_larger_id
# "Ids grow with time": until an order is imported, or two transactions commit in the other order.
def feed_page(after: tuple[dt.datetime, int] | None, size: int) -> tuple[str, dict[str, Any]]:
    """Return the statement for a page of the feed, and its parameters."""
    where = "WHERE id < %(id)s" if after else ""
    statement = f"SELECT id, placed_at, cents FROM orders {where} ORDER BY placed_at DESC, id DESC LIMIT %(size)s"
    return statement, {"size": size} | ({"id": after[1]} if after else {})


# %% wrong keyset_feed fails=test_a_deep_page_costs_at_most_thirty_pages
# "Count how many came before": that is OFFSET with an honest number, and costs twice.
def feed_page(after: tuple[dt.datetime, int] | None, size: int) -> tuple[str, dict[str, Any]]:
    """Return the statement for a page of the feed, and its parameters."""
    skip = "OFFSET (SELECT count(*) FROM orders WHERE (placed_at, id) >= (%(placed_at)s, %(id)s))" if after else ""
    statement = f"SELECT id, placed_at, cents FROM orders ORDER BY placed_at DESC, id DESC LIMIT %(size)s {skip}"
    return statement, {"size": size} | ({"placed_at": after[0], "id": after[1]} if after else {})


# %% right keyset_feed
def feed_page(after: tuple[dt.datetime, int] | None, size: int) -> tuple[str, dict[str, Any]]:
    """Return the statement for a page of the feed, and its parameters."""
    where = "WHERE placed_at <= %(placed_at)s AND (placed_at < %(placed_at)s OR id < %(id)s)" if after else ""
    statement = f"SELECT id, placed_at, cents FROM orders {where} ORDER BY placed_at DESC, id DESC LIMIT %(size)s"
    return statement, {"size": size} | ({"placed_at": after[0], "id": after[1]} if after else {})


# %% [markdown] hint keyset_feed
# What stands after `(placed_at, id)` in an order that falls? Everything that is smaller: by time, and by id where the
# times are equal.

# %% [markdown] hint keyset_feed
# PostgreSQL compares rows as Python compares tuples: `(a, b) < (x, y)`. An index on `(a, b)` finds the place of `(x,
# y)` in one search, and both columns fall in the `ORDER BY`, so the index is read backwards from there.

# %% [markdown] hint keyset_feed
# `WHERE (placed_at, id) < (%(placed_at)s, %(id)s) ORDER BY placed_at DESC, id DESC LIMIT %(size)s`; the first page is
# the same without the `WHERE`.

# %% [markdown] after keyset_feed
# The row comparison is *one* condition on the index: one search, fifty entries, a handful of pages at any depth.
# Spelled out with an `OR` it means the same, and PostgreSQL doesn't see the range in it; `placed_at <= x AND (…)`
# puts a range back by hand, and is what you write where directions are mixed (`placed_at DESC, id ASC`), for which a
# row comparison has no form.
#
# What it costs: no "page 17 of 4,000", only next and (with the signs turned) previous; the key goes to the client, so
# encode it and check it when it comes back (a cursor that is a base64 of the key, perhaps signed); the sort key
# mustn't change while someone reads. A total of pages needs a `count(*)`, which reads everything: show an estimate,
# or "more".
#
# One statement for the first page and the others, `WHERE %(after)s IS NULL OR …`, is quick as long as the planner sees
# the value. A statement that is *prepared* (psycopg does so once it has been executed five times) may get a **generic
# plan**, which has to be right for both.
#
# **The interviewer goes on**: *And with filters? (They come first in the index: `(seller_id, placed_at, id)`.) An
# export of everything? (A server-side cursor or `COPY`: one snapshot, one pass.) Why not make `OFFSET` quick with a
# covering index? (It walks fewer pages, and still over all rows.)*

# %% [markdown]
# ## Thinking in sets
#
# The report on the sellers asks three questions for each seller. A **correlated subquery** mentions the row outside, so
# it is run once for each of them: forty sellers, forty passes over the orders. It is N+1 inside one statement, and
# there is no index on `seller_id` that would make each pass short. The planner turns some of these into joins
# (`EXISTS`, `IN`) but none that aggregates.
#
# The cure is to turn the question round: read `orders` once, add up *by seller*, and join the sums. What goes wrong
# on the way is known:
#
# * an inner join loses sellers without orders; a left join turns their sums into NULL
# * two joins of many rows each **multiply**: a seller with 5,000 orders and 10 tickets becomes 50,000 rows, and the
#   turnover ten times too large. `DISTINCT` repairs counts of ids, and no sum. Aggregate first, then join
# * a condition on the right side of a left join belongs into `ON` (or into the subquery): in `WHERE` it removes the
#   rows with NULL, and the join is an inner one
# * `NOT IN (SELECT …)` isn't `NOT EXISTS`: with one NULL in the list it is never true

# %%
FANNED_OUT = """
SELECT s.id, sum(o.cents), count(*) FROM sellers s
JOIN orders o ON o.seller_id = s.id JOIN tickets t ON t.seller_id = s.id
WHERE s.id = 7 AND o.status <> 'cancelled' AND t.is_open GROUP BY s.id
"""
for label, query in (
    ("joined, then added", FANNED_OUT),
    (
        "added by itself",
        "SELECT seller_id, sum(cents), count(*) FROM orders WHERE seller_id = 7 AND status <> 'cancelled' GROUP BY 1",
    ),
):
    ((_, turnover, joined_rows),) = measure(query).rows
    print(f"{label:20}{turnover / 100:>16,.2f} € from {joined_rows:>8,} rows")
print("NOT IN with a NULL:", measure("SELECT count(*) FROM sellers WHERE id NOT IN (VALUES (1), (NULL))").rows)

# %% [markdown] exercise seller_report topic=query-optimization level=senior minutes=15
# ## Exercise: The report on the sellers
#
# `SELLERS` makes the report: it is right, and asks for about 100,000 pages. No index may be added.
#
# Rewrite it: `seller_report()` returns one SELECT statement (it may begin with WITH) that returns what `SELLERS`
# does, whatever is in the tables: `id`, `name`, the turnover in cents of all orders that aren't cancelled (0 without
# any), the time of the last order of any status (NULL without any), the number of open tickets (0 without any), for
# **every** seller, by rising id. On the marketplace it asks for at most a **twentieth** of the pages, also when there
# are more sellers.
#
# ```python
# >>> measure(SELLERS).buffers > 90_000
# True
# >>> measure(seller_report()).buffers < 4_500
# True
# >>> measure(seller_report()).rows == measure(SELLERS).rows
# True
# >>> measure(seller_report()).rows[-1]
# (40, 'Seller 40', 0, None, 0)
# ```


# %% solution seller_report
def seller_report() -> str:
    """Return the query for the report on the sellers."""
    # BEGIN SOLUTION
    return """
    WITH sold AS (
        SELECT seller_id, sum(cents) FILTER (WHERE status <> 'cancelled') AS turnover, max(placed_at) AS last_order
        FROM orders
        GROUP BY seller_id
    ), asked AS (
        SELECT seller_id, count(*) AS open_tickets FROM tickets WHERE is_open GROUP BY seller_id
    )
    SELECT s.id, s.name, coalesce(sold.turnover, 0), sold.last_order, coalesce(asked.open_tickets, 0)
    FROM sellers s
    LEFT JOIN sold ON sold.seller_id = s.id
    LEFT JOIN asked ON asked.seller_id = s.id
    ORDER BY s.id
    """
    # END SOLUTION


# %% starter seller_report
def seller_report() -> str:
    """Return the query for the report on the sellers."""
    return """
    SELECT s.id, s.name,
           (SELECT coalesce(sum(o.cents) FILTER (WHERE o.status <> 'cancelled'), 0)
            FROM orders o WHERE o.seller_id = s.id),
           (SELECT max(o.placed_at) FROM orders o WHERE o.seller_id = s.id),
           (SELECT count(*) FROM tickets t WHERE t.seller_id = s.id AND t.is_open)
    FROM sellers s
    ORDER BY s.id
    """


# %% check seller_report points=2
def test_the_report_costs_a_twentieth() -> None:
    now, then = measure(SELLERS), measure(seller_report())
    assert then.buffers * 20 <= now.buffers, f"{then.buffers:,} of {now.buffers:,} pages: {tree('plan', then.plan)}"


def test_the_report_is_the_same() -> None:
    assert measure(seller_report()).rows == measure(SELLERS).rows, "the same rows in the same order"


# %% hidden seller_report points=4
NOON = dt.datetime(2025, 6, 3, 12, tzinfo=dt.UTC)


def report_on(database: services.Database, **tables: Any) -> list[tuple[Any, ...]]:
    """Return the report of a small database, without the names."""
    found = small(database, **tables).execute(seller_report()).fetchall()
    return [(seller, *rest) for seller, _, *rest in found]


def test_every_seller_is_in_it_by_rising_id(postgres: services.Database) -> None:
    assert [row[0] for row in report_on(postgres, sellers=[3, 1, 2])] == [1, 2, 3], "all three, by rising id"


def test_a_seller_without_anything_has_zeros_and_no_last_order(postgres: services.Database) -> None:
    assert report_on(postgres, sellers=[1]) == [(1, 0, None, 0)], "neither lost nor NULL; no tickets are 0, not 1"


def test_orders_and_tickets_do_not_multiply(postgres: services.Database) -> None:
    orders = [(1, 1, "paid", 500, NOON), (2, 1, "paid", 500, NOON)]
    found = report_on(postgres, sellers=[1, 2], orders=orders, tickets=[(1, True), (1, True), (1, True), (2, True)])
    assert found == [(1, 1000, NOON, 3), (2, 0, None, 1)], "two orders of 5 € and three tickets: 10 € and 3"


def test_a_cancelled_order_counts_only_as_the_last(postgres: services.Database) -> None:
    later = NOON + dt.timedelta(hours=1)
    orders = [(1, 1, "held", 500, NOON), (2, 1, "cancelled", 900, later), (3, 2, "cancelled", 900, NOON)]
    found = report_on(postgres, sellers=[1, 2], orders=orders)
    assert found == [(1, 500, later, 0), (2, 0, NOON, 0)], "of any status for the time, not cancelled for the sum"


def test_closed_tickets_do_not_count(postgres: services.Database) -> None:
    found = report_on(postgres, sellers=[1, 2], tickets=[(1, True), (1, False), (2, False)])
    assert [row[3] for row in found] == [1, 0], "a seller with closed tickets only stays in the report, with 0"


def test_more_sellers_cost_no_more() -> None:
    more = "INSERT INTO sellers SELECT n, 'new' FROM generate_series(41, 80) AS n"
    outcome = measure(seller_report(), more)
    assert len(outcome.rows) == 80, "every seller is in it"
    assert outcome.buffers * 20 <= measure(SELLERS).buffers, f"{outcome.buffers:,} pages: {tree('plan', outcome.plan)}"


# %% wrong seller_report fails=test_orders_and_tickets_do_not_multiply
# "Join all and group once": each order is there once for each ticket of its seller.
def seller_report() -> str:
    """Return the query for the report on the sellers."""
    return """
    SELECT s.id, s.name, coalesce(sum(o.cents) FILTER (WHERE o.status <> 'cancelled'), 0), max(o.placed_at),
           count(t.id)
    FROM sellers s
    LEFT JOIN orders o ON o.seller_id = s.id
    LEFT JOIN tickets t ON t.seller_id = s.id AND t.is_open
    GROUP BY s.id
    ORDER BY s.id
    """


# %% wrong seller_report fails=test_a_seller_without_anything_has_zeros_and_no_last_order
# "A join is a join": an inner one loses those who have nothing to join with.
def seller_report() -> str:
    """Return the query for the report on the sellers."""
    return """
    SELECT s.id, s.name, sold.turnover, sold.last_order, asked.open_tickets
    FROM sellers s
    JOIN (SELECT seller_id, coalesce(sum(cents) FILTER (WHERE status <> 'cancelled'), 0) AS turnover,
                 max(placed_at) AS last_order FROM orders GROUP BY seller_id) sold ON sold.seller_id = s.id
    JOIN (SELECT seller_id, count(*) AS open_tickets FROM tickets WHERE is_open GROUP BY seller_id) asked
      ON asked.seller_id = s.id
    ORDER BY s.id
    """


# %% wrong seller_report fails=test_a_cancelled_order_counts_only_as_the_last
# "Filter once, at the top": the last order then is the last that wasn't cancelled.
def seller_report() -> str:
    """Return the query for the report on the sellers."""
    return """
    SELECT s.id, s.name, coalesce(sold.turnover, 0), sold.last_order, coalesce(asked.open_tickets, 0)
    FROM sellers s
    LEFT JOIN (SELECT seller_id, sum(cents) AS turnover, max(placed_at) AS last_order
               FROM orders WHERE status <> 'cancelled' GROUP BY seller_id) sold ON sold.seller_id = s.id
    LEFT JOIN (SELECT seller_id, count(*) AS open_tickets FROM tickets WHERE is_open GROUP BY seller_id) asked
      ON asked.seller_id = s.id
    ORDER BY s.id
    """


# %% wrong seller_report fails=test_the_report_costs_a_twentieth
# "LATERAL makes it a join": one subquery instead of three, and still once for each seller.
def seller_report() -> str:
    """Return the query for the report on the sellers."""
    return """
    SELECT s.id, s.name, sold.turnover, sold.last_order, asked.open_tickets
    FROM sellers s
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(cents) FILTER (WHERE status <> 'cancelled'), 0) AS turnover, max(placed_at) AS last_order
        FROM orders o WHERE o.seller_id = s.id) sold
    CROSS JOIN LATERAL (
        SELECT count(*) AS open_tickets FROM tickets t WHERE t.seller_id = s.id AND t.is_open) asked
    ORDER BY s.id
    """


# %% right seller_report
def seller_report() -> str:
    """Return the query for the report on the sellers."""
    return """
    SELECT s.id, s.name, coalesce(sum(part.cents), 0), max(part.placed_at), coalesce(sum(part.tickets), 0)::bigint
    FROM sellers s
    LEFT JOIN (
        SELECT seller_id, sum(CASE WHEN status = 'cancelled' THEN 0 ELSE cents END) AS cents,
               max(placed_at) AS placed_at, 0 AS tickets
        FROM orders GROUP BY seller_id
        UNION ALL
        SELECT seller_id, 0, NULL, count(*) FROM tickets WHERE is_open GROUP BY seller_id
    ) part ON part.seller_id = s.id
    GROUP BY s.id, s.name
    ORDER BY s.id
    """


# %% [markdown] hint seller_report
# Write two small queries first, each with one row per seller: one over `orders`, one over `tickets`. What do they say
# about a seller who has neither?

# %% [markdown] hint seller_report
# `sum(…) FILTER (WHERE status <> 'cancelled')` adds up a part of the group, while `max(placed_at)` sees all of it.
# Join both to `sellers` with `LEFT JOIN`, and give 0 for NULL where the report wants it.

# %% [markdown] hint seller_report
# `WITH sold AS (SELECT seller_id, sum(cents) FILTER (WHERE status <> 'cancelled') AS turnover, max(placed_at) AS
# last_order FROM orders GROUP BY seller_id), asked AS (SELECT seller_id, count(*) AS open_tickets FROM tickets WHERE
# is_open GROUP BY seller_id) SELECT … FROM sellers s LEFT JOIN sold … LEFT JOIN asked … ORDER BY s.id`.

# %% [markdown] after seller_report
# One pass over each table, a hash table of forty groups, two joins of forty rows: over forty times fewer pages, and
# the cost no longer depends on the number of sellers. The CTEs are a matter of reading: since version 12 one that is
# used once is inlined; `MATERIALIZED` forces the old behaviour, and is a fence that conditions don't pass.
#
# When is the correlated form the better one? When few outer rows are wanted and an index makes each inner search
# cheap: for *one* seller's page, `LATERAL (… ORDER BY placed_at DESC LIMIT 3)` with an index on (seller_id,
# placed_at) reads six pages where the aggregate reads all. "The top three of each group" is that pattern, or
# `row_number()` where all groups are wanted. Both directions are tools: count the outer rows.
#
# A report that is asked for every minute shouldn't read 200,000 rows at all: a materialised view, or sums that are
# kept by whoever writes orders, at the price of contention on the row of a busy seller.
#
# **The interviewer goes on**: *Your ORM made this; how do you see it there? (One statement with subqueries: in the
# plan. One statement per seller: in the number of queries, `assertNumQueries` or an event hook.) The hash doesn't fit
# into `work_mem`? (It spills into temporary files: `Batches` above 1, `temp written` in the buffers.)*

# %% [markdown]
# ## Only what is asked for: partial and covering
#
# One order in a hundred is held for review, and the fraud team's screen adds them up by seller every few seconds. An
# index on `status` finds the 2,000 entries in three pages. Then it gets the rows: scattered over the whole table, so
# that more than half of its pages have to be read for one number each. The plan is "good", an index is used, and
# nothing is gained:

# %%
tree("Held orders by seller, with an index on status", measure(HELD_BY_SELLER, "CREATE INDEX ON orders (status)").plan)

# %% [markdown]
# Two remedies, which combine. An index that **covers** the query holds every column that it mentions, and answers
# alone: an *Index Only Scan*. `INCLUDE` adds columns as cargo, which are no part of the order. The catch: an index
# doesn't know which of its entries you may see. The table's **visibility map** has a bit for each page on which
# everything is visible to everyone; where it isn't set, the row is fetched after all (`Heap Fetches` in the plan).
# VACUUM sets it, every write to the page clears it: on a busy table an index-only scan is as good as its last VACUUM.
#
# A **partial** index has a `WHERE` and holds only rows that meet it. It is small, stays in the cache, and writes of
# other rows don't touch it. A column that is mentioned only in a condition which the index's own `WHERE` implies
# needn't be in it to cover the query. It is used by queries whose condition *implies* its own, as far as the planner
# can prove it from the text: `status = 'held'` does, `status = $1` with a generic plan doesn't.

# %%
with services.postgres(template=market) as database, database.connect(autocommit=True) as connection:
    connection.execute("SET max_parallel_workers_per_gather = 0")
    connection.execute("CREATE INDEX large_shipped ON orders (seller_id) WHERE status = 'shipped' AND cents > 99000")
    for mode in ("force_custom_plan", "force_generic_plan"):
        connection.execute(f"SET plan_cache_mode = {mode}")
        connection.execute("PREPARE large (text) AS SELECT count(*) FROM orders WHERE status = $1 AND cents > 99000")
        plan = explain(connection, "EXECUTE large ('shipped')")
        print(f"{mode:20}{blocks(plan):>7,} pages: {[node['Node Type'] for _, node in nodes(plan)][-1]}")
        connection.execute("DEALLOCATE large")

# %% [markdown] exercise held_index topic=query-optimization level=senior minutes=10
# ## Exercise: The held orders
#
# The query `HELD_BY_SELLER` runs every few seconds. `held_index()` returns one `CREATE INDEX` statement for `orders`.
# On the marketplace, with this index:
#
# * `HELD_BY_SELLER` asks for at most a **twentieth** of the pages that it asks for now, and visits no row of the
#   table (an Index Only Scan without Heap Fetches: the marketplace has been vacuumed);
# * it is the only new index, and takes at most **128 KiB**;
# * orders that aren't held make no entries in it.
#
# ```python
# >>> print(HELD_BY_SELLER)
# SELECT seller_id, count(*), sum(cents) FROM orders WHERE status = 'held' GROUP BY seller_id ORDER BY seller_id
# >>> measure(HELD_BY_SELLER, "CREATE INDEX ON orders (status)").buffers > 1_000
# True
# >>> measure(HELD_BY_SELLER, held_index()).buffers < 115
# True
# ```


# %% solution held_index
def held_index() -> str:
    """Return the statement that makes the index for the held orders."""
    # BEGIN SOLUTION
    return "CREATE INDEX orders_held ON orders (seller_id) INCLUDE (cents) WHERE status = 'held'"
    # END SOLUTION


# %% check held_index points=2
def test_the_held_orders_cost_a_twentieth() -> None:
    now, then = measure(HELD_BY_SELLER), measure(HELD_BY_SELLER, held_index())
    assert then.buffers * 20 <= now.buffers, f"{then.buffers:,} of {now.buffers:,} pages: {tree('plan', then.plan)}"
    assert then.rows == now.rows, "the same rows as before"


def test_the_table_is_not_visited() -> None:
    plan = measure(HELD_BY_SELLER, held_index()).plan
    scans = [(node["Node Type"], node.get("Heap Fetches")) for _, node in nodes(plan) if "Relation Name" in node]
    assert scans == [("Index Only Scan", 0)], f"{scans}: what the index neither holds nor fixes by its WHERE is fetched"


# %% hidden held_index points=3
def test_it_is_one_index_of_at_most_128_kibibytes() -> None:
    made = measure(HELD_BY_SELLER, held_index()).indexes
    assert len(made) == 1, f"{made}: one statement makes one index"
    assert max(made.values()) <= 128 << 10, f"{made}: one order in a hundred is held"


def test_orders_that_are_not_held_make_no_entries() -> None:
    many = (
        "INSERT INTO orders SELECT 300000 + n, 1, 1, '{}', n, '2026-01-01', 'here' FROM generate_series(1, 3000) AS n"
    )
    before = measure(HELD_BY_SELLER, held_index()).indexes
    for status in ("paid", "cancelled"):
        after = measure(HELD_BY_SELLER, held_index(), many.format(status)).indexes
        assert after == before, f"{status} orders made it grow from {before} to {after}"


# %% wrong held_index fails=test_the_held_orders_cost_a_twentieth
# "Index the column in WHERE": 2,000 entries in three pages, and then 1,300 pages of the table.
def held_index() -> str:
    """Return the statement that makes the index for the held orders."""
    return "CREATE INDEX orders_held ON orders (status)"


# %% wrong held_index fails=test_the_table_is_not_visited
# "Partial is enough": it is small, and the sum still needs a column that only the table has.
def held_index() -> str:
    """Return the statement that makes the index for the held orders."""
    return "CREATE INDEX orders_held ON orders (seller_id) WHERE status = 'held'"


# %% wrong held_index fails=test_it_is_one_index_of_at_most_128_kibibytes
# "Covering is enough": quick as well, and a hundred times larger, for orders that nobody asks it for.
def held_index() -> str:
    """Return the statement that makes the index for the held orders."""
    return "CREATE INDEX orders_held ON orders (status, seller_id, cents)"


# %% wrong held_index fails=test_orders_that_are_not_held_make_no_entries
# "Everything but the frequent one": right for today's plan, and the cancelled orders are written into it.
def held_index() -> str:
    """Return the statement that makes the index for the held orders."""
    return (
        "CREATE INDEX orders_held ON orders (status, seller_id) INCLUDE (cents) WHERE status IN ('held', 'cancelled')"
    )


# %% right held_index
def held_index() -> str:
    """Return the statement that makes the index for the held orders."""
    return "CREATE INDEX ON orders (seller_id, cents) WHERE status = 'held'"


# %% right held_index
def held_index() -> str:
    """Return the statement that makes the index for the held orders."""
    return "CREATE INDEX ON orders (status, seller_id) INCLUDE (cents) WHERE status = 'held'"


# %% [markdown] hint held_index
# List every column that the query mentions. Which of them has the same value in each row that you want?

# %% [markdown] hint held_index
# The status goes into the index's own `WHERE`. The groups are wanted in the order of the seller, the cents are only
# added up.

# %% [markdown] hint held_index
# `CREATE INDEX orders_held ON orders (…) INCLUDE (…) WHERE status = 'held'`: the first bracket is what is sorted by,
# the second is cargo.

# %% [markdown] after held_index
# Eight pages instead of 2,299, and an index of 64 KiB instead of 6 MB. Because it is sorted by seller, the groups
# come one after another and nothing is sorted or hashed. An order that is placed and paid never touches it; one that
# is held makes an entry, and one that is released leaves a dead one until VACUUM.
#
# (seller_id, cents) without `INCLUDE` does the same here: `INCLUDE` says that the column is no part of the order,
# keeps it out of the upper levels, and is needed where a unique index is to cover more than its key. The key (status,
# …) in an index whose `WHERE` fixes the status is eight bytes of nothing in each entry, unless entries are shared
# (*deduplication*, which indexes with `INCLUDE` don't have).
#
# Partial unique indexes are rules that a `UNIQUE` can't say: one *open* cart for each customer, a name that is unique
# among rows which aren't deleted.
#
# **The interviewer goes on**: *The query takes its status as a parameter; does the index still work? (With a custom
# plan yes; with a generic one no, as above. Write the constant into the statement.) How do you see that VACUUM lags
# behind? (`Heap Fetches` in the plan, `n_dead_tup` and `last_autovacuum` in `pg_stat_user_tables`.)*

# %% [markdown]
# ## The order of work
#
# 1. **Find** the statement by its total (`pg_stat_statements`), and the parameters that hurt (`auto_explain`).
# 2. **Measure** it where the data has its real size and skew: `EXPLAIN (ANALYZE, BUFFERS)`. Note the number.
# 3. **Ask for less**: fewer rows (`LIMIT`, keyset), fewer columns, not at all (a cache, a sum that is kept).
# 4. **Let it be looked up**: sargable conditions, sets instead of loops.
# 5. **Index** for what is left: equality, then order or range; partial if it is a part; covering if it pays.
# 6. **Repair the estimates**: `ANALYZE`, extended statistics; only then planner settings, and hints never.
# 7. **Measure again**, the writes too, and keep the number in a test.
#
# ## The interview
#
# Say your answer aloud before you unfold one.

# %% [markdown] interview
# ### An endpoint got slow overnight. What do you do?
#
# First what changed: deployments, volume, parameters, statistics. Then which statement, by total time over the last
# hours against the days before (`pg_stat_statements`). I take its slow parameters from the log, run `EXPLAIN
# (ANALYZE, BUFFERS)` on a copy or in a transaction, and look for the node with the most buffers of its own, rows
# removed by a filter, loops, and estimates that are off. If the plan itself flipped, I compare the estimates: stale
# statistics after a bulk load, a value that is newer than the histogram, a generic plan. One change at a time,
# measured in buffers, and the writes measured too.

# %% [markdown] interview
# ### How do you choose the order of columns in an index?
#
# By what the queries do with each: equality first, then the column that is sorted by or ranged over; what is only
# returned goes into `INCLUDE`, if an index-only scan is worth it. Among the equality columns the one that other
# queries use alone comes first, so that a prefix serves them. Selectivity doesn't decide: for one query all orders of
# equality columns give the same stretch. Skip scan in PostgreSQL 18 softens the rule for leading columns with few
# values, and doesn't repeal it.

# %% [markdown] interview
# ### The index exists. Why isn't it used?
#
# Because it can't be (a function or cast on the column, a leading wildcard, another collation, a partial index whose
# condition isn't implied, an invalid index after a failed `CONCURRENTLY`), or because it shouldn't be: so many rows
# qualify, so scattered, that reading the table is cheaper; the table is small; or the planner thinks so, from stale
# statistics or from a `random_page_cost` of spinning disks. I try `SET enable_seqscan = off` in my session, only to
# see whether it *could* and what it would cost.

# %% [markdown] interview
# ### What is wrong with OFFSET?
#
# It produces and discards what it skips, so page n costs n times page one, and rows shift between requests. Keyset
# pagination asks for what comes after the last key, by a row comparison on a unique sort order with an index: every
# page costs the same. The price is no jump to page 17. For a hundred rows in an admin screen OFFSET is fine.

# %% [markdown] interview
# ### What does an index cost?
#
# Every insert writes an entry, every update of an indexed column too, and it stops heap-only updates of that column.
# VACUUM reads it, the cache holds it instead of data, backups and replicas carry it, and planning considers it. So I
# look at `idx_scan`, drop what nobody uses and what is a prefix of another one, and prefer one index that serves
# three queries to three that serve one each.

# %% [markdown] interview
# ### Why measure buffers and not milliseconds?
#
# Milliseconds depend on the cache, the machine and the neighbours; the same plan takes 5 ms warm and 800 ms cold.
# Buffers are the same each time, are proportional to what a cold cache would cost, and can be asserted in a test.
# They don't show CPU, sorting, waiting for locks or the network, so time is still the last word in production.

# %% [markdown]
# ## Pitfalls seen in reviews
#
# * An index for each column of the WHERE clause; an index for each slow query.
# * `EXPLAIN` without `ANALYZE` quoted as proof; a plan from a laptop with a thousand rows.
# * `EXPLAIN ANALYZE DELETE …` outside a transaction.
# * `SELECT *`, which no index covers, and which carries large values along.
# * `ORDER BY … LIMIT 1` without an index on the order; with one, and a filter that is rarely true.
# * `count(*)` over everything for "page 1 of 4,000"; `count(*) > 0` where `EXISTS` stops at the first.
# * `OR` over two tables' columns; `NOT IN` with a nullable subquery; `DISTINCT` against a fan-out.
# * `lower(email) = lower(%s)` without the index on the expression; a Decimal compared with an integer column.
# * `CREATE INDEX` without `CONCURRENTLY` in a migration at noon.
# * No `ANALYZE` after a bulk load; a VACUUM that long transactions keep from cleaning.
# * `work_mem` raised for the whole server: it is per sort and hash, in each connection.
#
# ## Where to read on
#
# * PostgreSQL 18 documentation: [Using EXPLAIN](https://www.postgresql.org/docs/18/using-explain.html),
#   [Indexes](https://www.postgresql.org/docs/18/indexes.html) (above all *Multicolumn*, *Partial* and *Index-Only
#   Scans*), [Statistics Used by the Planner](https://www.postgresql.org/docs/18/planner-stats.html),
#   [pg_stat_statements](https://www.postgresql.org/docs/18/pgstatstatements.html),
#   [auto_explain](https://www.postgresql.org/docs/18/auto-explain.html), [Populating a
#   Database](https://www.postgresql.org/docs/18/populate.html)
# * Markus Winand, [Use The Index, Luke](https://use-the-index-luke.com/), with a chapter on [paging without
#   OFFSET](https://use-the-index-luke.com/no-offset)
# * [explain.depesz.com](https://explain.depesz.com/) and [explain.dalibo.com](https://explain.dalibo.com/), which
#   draw plans
# * Hironobu Suzuki, [The Internals of PostgreSQL](https://www.interdb.jp/pg/), chapters 3 (query processing) and 7
#   (heap-only tuples and index-only scans)
