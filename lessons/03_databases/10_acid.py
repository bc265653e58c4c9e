# %% [markdown]
# # ACID properties
#
# *"Two requests read a balance of 100 and each takes 60. What does your code do?"* A junior answer is "I use a
# transaction". A senior answer names the **anomaly** (lost update, write skew, phantom), says at which **isolation
# level** this database allows it, picks the cheapest thing that prevents it (one statement, a lock, a constraint, a
# higher level), and knows what is then owed: waiting, deadlocks, or errors that have to be **retried**. Then come the
# follow-ups that nobody reads up on: what `COMMIT` says in a transaction that has failed, and what you know when the
# connection breaks during it.
#
# **Assumed**: [SQL](01_sql.ipynb), [context managers](../01_core_python/04_context_managers.ipynb) (savepoints),
# threads from [concurrency](../01_core_python/02_concurrency.ipynb). **Left out**: indexes and plans, connection pools,
# several databases that have to agree (CAP, sagas): they have lessons of their own.
#
# Everything runs on a real PostgreSQL 18 with two or three real connections. One thing isn't as in production: the
# server here has `fsync` off, so it shows nothing about crashes.

# %%
import contextlib
import functools
import html
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, LiteralString, TypeVar

import psycopg
import pytest
from psycopg import IsolationLevel, errors
from psycopg.pq import TransactionStatus

from autograder import services
from autograder.notebook.figures import Span, Timeline, explore

T = TypeVar("T")
Connection = psycopg.Connection[Any]

# %% [markdown]
# ## Four letters, four mechanisms
#
# | | promises | PostgreSQL does it by | and fails when |
# | --- | --- | --- | --- |
# | **Atomicity** | all writes, or none | row versions that count once "committed" is noted | half is elsewhere |
# | **Consistency** | declared rules hold | constraints, by statement or at COMMIT | the rule isn't declared |
# | **Isolation** | like alone, *up to a level* | snapshots (MVCC), row locks, SSI | the level allows it |
# | **Durability** | committed is kept | a log (WAL), flushed before COMMIT returns | it wasn't flushed, or sent |
#
# Each has its price: dead row versions until VACUUM removes them; a check for each write; waiting, deadlocks and
# retries; a flush of the disk for each commit.
#
# The C is the odd one: the database guards the rules that it has been *told*. All others are the application's, and
# they hold only as far as the I does.
#
# Durability has levels too. `synchronous_commit = off` returns before the flush: a crash loses the last fraction of a
# second of commits, but the data stays consistent; it can be set for one transaction (clicks, not orders). With `fsync
# = off` a crash may leave a broken database. And with asynchronous replication a failover loses what the replica hadn't
# received, *after* the client was told "committed": that is what `synchronous_standby_names` is for, at the price of a
# network round trip for each commit.
#
# ### Transaction management
#
# **Transaction management** is deciding where a transaction begins and ends, and what happens if it doesn't end well.
# In psycopg (as the DB-API asks for) the first statement on an idle connection silently begins a transaction, and it
# stays open until `commit()` or `rollback()`: a `SELECT` in a request handler that forgets it leaves a connection
# *idle in transaction*. It keeps its locks (an `ALTER TABLE` waits for a mere reader). If it has written, or runs at
# REPEATABLE READ or above, it also keeps VACUUM from removing what has died since. The forms that say what they mean:
#
# * `with connection.transaction():` begins, commits at the end, rolls back on an exception. Inside another one it makes
#   a **savepoint**. Which of the two it is depends on whether one is open: in a helper that means to set a savepoint it
#   *commits* if the caller hasn't begun. With `autocommit=True` connections nothing begins by accident.
# * `with psycopg.connect(...) as connection:` commits *and closes*.
#
# An error doesn't end a transaction: it puts it into the **failed state**, in which every statement is refused (25P02)
# until `ROLLBACK`, or `ROLLBACK TO` a savepoint. This run shows the failed state, and the last line is the one to
# remember:


# %%
def bank(connection: Connection) -> None:
    """Two accounts with 100 each, which can't be overdrawn."""
    connection.execute("CREATE TABLE accounts (id int PRIMARY KEY, cents int NOT NULL CHECK (cents >= 0))")
    connection.execute("INSERT INTO accounts VALUES (1, 100), (2, 100)")


def first(connection: Connection, statement: LiteralString, *values: object) -> Any:
    """Return the first row that a statement gives, or None."""
    return connection.execute(statement, values).fetchone()


def status(connection: Connection) -> TransactionStatus:
    """Return the state of a connection's transaction: IDLE (there is none), INTRANS, INERROR (it has failed)."""
    return connection.info.transaction_status


with services.postgres(template=bank) as database, database.connect(autocommit=True) as connection:

    def tell(statement: LiteralString) -> None:
        """Run a statement and print what the server says."""
        try:
            answer: object = connection.execute(statement).statusmessage
        except psycopg.Error as error:
            answer = f"{error.sqlstate} {error.diag.message_primary}"
        print(f"{statement:<58}{status(connection).name:<9}{answer}")

    tell("BEGIN")
    tell("UPDATE accounts SET cents = cents + 130 WHERE id = 2")
    tell("UPDATE accounts SET cents = cents - 130 WHERE id = 1")
    tell("SELECT cents FROM accounts")
    tell("COMMIT")
    print("balances:", connection.execute("SELECT * FROM accounts ORDER BY id").fetchall())

    with connection.transaction():
        connection.execute("UPDATE accounts SET cents = cents - 10 WHERE id = 1")
        with contextlib.suppress(errors.CheckViolation), connection.transaction():  # a savepoint
            connection.execute("UPDATE accounts SET cents = cents - 500 WHERE id = 2")
        connection.execute("UPDATE accounts SET cents = cents + 10 WHERE id = 2")
    print("with a savepoint:", connection.execute("SELECT * FROM accounts ORDER BY id").fetchall())

# %% [markdown]
# **`COMMIT` of a failed transaction is a rollback, and no error**: the server answers `ROLLBACK`, and `commit()` in
# psycopg returns `None` as ever. Whoever swallows a database error inside a transaction and goes on reports success for
# work that is gone. The only places to catch a database error are *outside* the transaction, or around a savepoint.
#
# What does atomicity rest on? An `UPDATE` doesn't overwrite: it writes a **new version** of the row. `xmin` is the
# transaction that made a version, `xmax` one that has deleted, replaced or locked it. Which version you see depends on
# your **snapshot**: the list of transactions that count as committed. Two connections, one row:

# %%
with services.postgres(template=bank) as database, database.connect() as writer, database.connect() as reader:
    look: LiteralString = "SELECT ctid::text, xmin::text, xmax::text, cents FROM accounts WHERE id = 1"
    print(f"{'':<26}{'place':<8}{'xmin':<6}{'xmax':<6}cents")

    def show(who: str, connection: Connection) -> None:
        """Print the version of row 1 that a connection sees."""
        place, made, ended, cents = first(connection, look)
        print(f"{who:<26}{place:<8}{made:<6}{ended:<6}{cents}")

    show("reader, before", reader)
    writer.execute("UPDATE accounts SET cents = 70 WHERE id = 1")
    show("writer, its own version", writer)
    show("reader, not committed yet", reader)
    writer.commit()
    show("reader, after the commit", reader)

# %% [markdown]
# Nobody waited: **readers don't block writers, and writers don't block readers**. Commit and rollback are one entry
# each, "transaction N counts" or "doesn't", and neither touches the rows. (Transaction numbers differ from run to run.)
# The price is dead versions. A transaction that is open for an hour, with a snapshot or something written, keeps all
# that have died since from being cleaned up, in every table.
#
# ## Isolation, seen from two connections
#
# A race that shows up once a week has to be shown *every time* if you want to talk about it. So each session below has
# a thread of its own, and a step is over when its statement has ended **or waits for a lock**, which the server itself
# tells (`pg_blocking_pids`). No sleeps, no luck. `Call` is a function on its way, `Stage` a database with several
# connections; the tests use the same two.

# %%
WAITS_FOR_SOMEBODY_WHO_WORKS: LiteralString = """
    WITH RECURSIVE blockers (pid) AS (
        SELECT unnest(pg_blocking_pids(%s))
        UNION
        SELECT unnest(pg_blocking_pids(pid)) FROM blockers
    )
    SELECT EXISTS (SELECT FROM blockers WHERE cardinality(pg_blocking_pids(pid)) = 0)
"""


class Call(Generic[T]):
    """A function that runs in a thread of its own, and may have to wait for a lock in the database."""

    def __init__(self, observer: Connection, connection: Connection, function: Callable[[], T]) -> None:
        self._observer = observer
        self._pid = connection.info.backend_pid
        self._function = function
        self._future: Future[T] = Future()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self._future.set_result(self._function())
        except BaseException as error:
            self._future.set_exception(error)

    def waits(self) -> bool:
        """Return True once it waits for somebody's lock, False once it has ended. (In a ring of waits: it will end.)"""
        deadline = time.monotonic() + 10
        while not wait([self._future], timeout=0.002).done:
            if first(self._observer, WAITS_FOR_SOMEBODY_WHO_WORKS, self._pid)[0]:
                return True
            assert time.monotonic() < deadline, "it has neither ended nor waits for a lock"
        return False

    def result(self) -> T:
        """Return or raise what the function has returned or raised."""
        assert not self.waits(), "it still waits for a lock that somebody holds"
        return self._future.result()


class Stage(contextlib.AbstractContextManager["Stage"]):
    """A new database, connections to it, and calls on them that run beside each other."""

    def __init__(self, fill: Callable[[Connection], object]) -> None:
        self._database = services.postgres(template=fill)
        self.observer = self._database.connect(autocommit=True)
        self._calls: list[Call[Any]] = []

    def connect(self, **options: Any) -> Connection:
        """Return a new connection; the first statement on it begins a transaction."""
        return self._database.connect(**options)

    def call(self, connection: Connection, function: Callable[..., T], *arguments: object) -> Call[T]:
        """Call `function(connection, *arguments)` in a thread; return when it has ended or waits for a lock."""
        call = Call(self.observer, connection, functools.partial(function, connection, *arguments))
        self._calls.append(call)
        call.waits()
        return call

    def ask(self, statement: LiteralString, *values: object) -> list[tuple[Any, ...]]:
        """Return the rows of a query, from a connection of its own: what is committed."""
        return self.observer.execute(statement, values).fetchall()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.observer.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        for call in self._calls:
            call.thread.join(5)
        self._database.close()


# %% [markdown]
# `play` takes a script (session, statement) through two connections, and draws what happened. In the timeline the long
# bar is an open transaction, and a statement that waits reaches to the step that lets it go.

# %%
LEVELS = ("READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE")


@dataclass(frozen=True)
class Step:
    """A statement of a session: at which step it began and ended, what came of it, its SQLSTATE if it failed."""

    session: str
    statement: str
    begun: int
    ended: int
    result: str
    code: str


@dataclass(frozen=True, repr=False)
class Play:
    """What two transactions did: a table and a timeline."""

    title: str
    steps: Sequence[Step]

    @property
    def codes(self) -> list[str]:
        """The SQLSTATEs of the statements that failed, in order."""
        return [step.code for step in self.steps if step.code]

    def timeline(self) -> Timeline:
        """Return the bars: the open transactions, and on them the statements."""
        spans: list[Span] = []
        for name in sorted({step.session for step in self.steps}):
            begun = None
            for step in (step for step in self.steps if step.session == name):
                if step.statement == "BEGIN":
                    begun = step.begun - 1
                if step.statement in ("COMMIT", "ROLLBACK") and begun is not None:
                    spans.append(Span(name, begun, step.ended, "in a transaction"))
        for step in self.steps:
            if step.ended > step.begun:
                spans.append(Span(step.session, step.begun - 1, step.ended - 1, "waits"))
            kind = "fails" if step.code or (step.statement, step.result) == ("COMMIT", "ROLLBACK") else "statement"
            spans.append(Span(step.session, step.ended - 0.8, step.ended - 0.2, kind))
        return Timeline(sorted(spans, key=lambda span: span.label), self.title, "steps")

    def cells(self) -> Iterator[tuple[int, str, str, str]]:
        """Yield number, session, statement and result of each step."""
        for step in self.steps:
            result = step.result if step.result != step.statement else ""
            waits = f"waits until step {step.ended}; " if step.ended > step.begun else ""
            yield step.begun, step.session, step.statement, waits + result

    def __repr__(self) -> str:
        lines = [
            f"{number:>2} {'' if session == 'A' else '      '}{session}  {statement}"
            + (f"  →  {result}" if result else "")
            for number, session, statement, result in self.cells()
        ]
        return "\n".join([*lines, "", repr(self.timeline())])

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{number}</td><td><b>{session}</b></td><td style='text-align: left; padding-left: "
            f"{0 if session == 'A' else 3}em'><code>{html.escape(statement)}</code></td>"
            f"<td style='text-align: left'>{html.escape(result)}</td></tr>"
            for number, session, statement, result in self.cells()
        )
        return f"<table>{rows}</table>{self.timeline()._repr_html_()}"


def said(connection: Connection, statement: str) -> tuple[str, str]:
    """Return what a statement gives, as text, and the SQLSTATE if it fails."""
    try:
        cursor = connection.execute(statement.encode())
    except psycopg.Error as error:
        return f"{error.sqlstate} {error.diag.message_primary}", error.sqlstate or ""
    if cursor.description is None:
        return cursor.statusmessage or "", ""
    return " ".join("/".join(map(str, row)) for row in cursor) or "no row", ""


def play(script: str, level: str = LEVELS[0], title: str = "", setting: str = "-c jit=off") -> Play:
    """Run a script of the sessions A and B on the bank's two accounts, BEGIN at a level."""
    lines = [line.split(maxsplit=1) for line in script.strip().splitlines()]
    steps: dict[int, Step] = {}
    waiting: dict[str, tuple[int, Call[tuple[str, str]]]] = {}
    with Stage(bank) as stage:
        # In a ring, whoever looks first is the victim: here always the later one of the alphabet.
        patience = {name: "1ms" if name > "A" else "10s" for name, _ in lines}
        sessions = {
            name: stage.connect(autocommit=True, options=f"-c deadlock_timeout={patience[name]} {setting}")
            for name in patience
        }
        for number, (name, statement) in enumerate(lines, start=1):
            sent = f"BEGIN ISOLATION LEVEL {level}" if statement == "BEGIN" else statement
            waiting[name] = number, stage.call(sessions[name], said, sent)
            for session, (begun, call) in list(waiting.items()):
                if not call.waits():
                    result, code = call.result()
                    steps[begun] = Step(session, lines[begun - 1][1], begun, number, result, code)
                    del waiting[session]
    return Play(title or level, [steps[number] for number in sorted(steps)])


LOST_UPDATE = """
A  BEGIN
A  SELECT cents FROM accounts WHERE id = 1
B  BEGIN
B  SELECT cents FROM accounts WHERE id = 1
A  UPDATE accounts SET cents = 100 - 30 WHERE id = 1
B  UPDATE accounts SET cents = 100 - 50 WHERE id = 1
A  COMMIT
B  COMMIT
A  SELECT cents FROM accounts WHERE id = 1
"""
play(LOST_UPDATE, title="Lost update, READ COMMITTED")

# %% [markdown]
# A **lost update**: both have read 100, and each writes what *it* has worked out. B even waited for A's row lock, and
# then overwrote A's 30 all the same: the lock protects the statement, and the number was from before. The balance is
# 50, and two payments of 80 in all were made. Four ways to prevent it, the cheapest first:
#
# 1. **Let the database calculate**: `SET cents = cents - 30`, with the condition in the `WHERE`. One statement, no
#    window. B waits for A, then reads the *new* version and checks its `WHERE` again on that.
# 2. **Lock what you read** (pessimistic): `SELECT … FOR UPDATE`. Right where the decision needs code between reading
#    and writing. Others wait for as long as your transaction lasts.
# 3. **Compare and set** (optimistic): a column `version`, `UPDATE … WHERE id = 1 AND version = 7`, and 0 rows means
#    "somebody was faster". Right where a person thinks in between: no transaction may stay open for that long.
# 4. **A higher level**: from REPEATABLE READ on, the second writer gets error 40001 and has to start again.

# %%
WITH_LOCK = """
A  BEGIN
A  SELECT cents FROM accounts WHERE id = 1 FOR UPDATE
B  BEGIN
B  SELECT cents FROM accounts WHERE id = 1 FOR UPDATE
A  UPDATE accounts SET cents = 100 - 30 WHERE id = 1
A  COMMIT
B  UPDATE accounts SET cents = 70 - 50 WHERE id = 1
B  COMMIT
A  SELECT cents FROM accounts WHERE id = 1
"""
play(WITH_LOCK, title="FOR UPDATE, READ COMMITTED: B waits before it reads")


# %% [markdown]
# The slider runs the first script at each level, on the server (0 is READ COMMITTED, 1 REPEATABLE READ, 2
# SERIALIZABLE; the static page shows 1):


# %%
def lost_update_at(level: float) -> Play:
    """Run the first script at a level."""
    return play(LOST_UPDATE, LEVELS[int(level)])


explore(lost_update_at, level=(0, 2, 1))

# %% [markdown] exercise redeem topic=acid-properties level=core minutes=10
# ## Exercise: The gift card that was spent twice
#
# A shop's gift cards: `cards (id text PRIMARY KEY, cents int NOT NULL CHECK (cents >= 0))`, and a journal `redemptions
# (card text, cents int)`. Support has found a card of 100 from which 60 was taken twice, with 40 left on it. They have
# also found a card that was charged for an order that doesn't exist: the order's transaction had failed *after* the
# card was charged. Mend the function.
#
# `redeem(connection, card, cents)` takes `cents` from a card, adds the row `(card, cents)` to `redemptions`, and
# returns what is left on the card.
#
# * It runs in **the caller's transaction**, at READ COMMITTED. It neither commits nor rolls it back: that is the
#   caller's, who may have written something else in it before and after.
# * Redemptions of one card that run at the same time act as if one came after the other: the later waits until the
#   earlier one's transaction has ended, and then goes by what that has left. Redemptions of different cards don't wait
#   for each other.
# * A card that isn't there raises `UnknownCard`. One that holds less than `cents` raises `InsufficientFunds`, with what
#   it holds as the only argument. In both cases nothing is written, and the caller's transaction **stays usable** (a
#   lock on the card may stay until it ends).
# * Anything below 1 cent raises `ValueError`, before any statement is sent.
#
# ```python
# >>> with Stage(gift_cards) as stage, stage.connect() as connection:
# ...     print(redeem(connection, "GIFT", 60))
# ...     redeem(connection, "GIFT", 60)
# Traceback (most recent call last):
# InsufficientFunds: 40
# >>> with Stage(gift_cards) as stage, stage.connect() as connection:
# ...     print(redeem(connection, "GIFT", 60), redeem(connection, "GIFT", 40))
# 40 0
# ```


# %%
class UnknownCard(LookupError):  # noqa: N818 - the name that its callers catch
    """There is no such card."""


class InsufficientFunds(Exception):  # noqa: N818 - the name that its callers catch
    """A card holds less than is to be taken from it."""


def gift_cards(connection: Connection) -> None:
    """Two cards with 100 each."""
    connection.execute("CREATE TABLE cards (id text PRIMARY KEY, cents int NOT NULL CHECK (cents >= 0))")
    connection.execute("CREATE TABLE redemptions (card text NOT NULL REFERENCES cards, cents int NOT NULL)")
    connection.execute("INSERT INTO cards VALUES ('GIFT', 100), ('OTHER', 100)")


with Stage(gift_cards) as stage:
    print(stage.ask("SELECT * FROM cards ORDER BY id"))


# %% starter redeem
def redeem(connection: Connection, card: str, cents: int) -> int:
    """Take an amount from a card; return what is left on it."""
    row = first(connection, "SELECT cents FROM cards WHERE id = %s", card)
    if row is None:
        raise UnknownCard(card)
    left: int = row[0] - cents
    if left < 0:
        raise InsufficientFunds(row[0])
    connection.execute("UPDATE cards SET cents = %s WHERE id = %s", [left, card])
    connection.commit()
    connection.execute("INSERT INTO redemptions (card, cents) VALUES (%s, %s)", [card, cents])
    return left


# %% solution redeem
def redeem(connection: Connection, card: str, cents: int) -> int:
    """Take an amount from a card; return what is left on it."""
    # BEGIN SOLUTION
    if cents < 1:
        raise ValueError("at least 1 cent")
    taken = first(
        connection,
        "UPDATE cards SET cents = cents - %s WHERE id = %s AND cents >= %s RETURNING cents",
        *(cents, card, cents),
    )
    if taken is None:
        there = first(connection, "SELECT cents FROM cards WHERE id = %s", card)
        raise UnknownCard(card) if there is None else InsufficientFunds(there[0])
    connection.execute("INSERT INTO redemptions (card, cents) VALUES (%s, %s)", [card, cents])
    left: int = taken[0]
    return left
    # END SOLUTION


# %% check redeem points=2
def test_the_later_of_two_redemptions_goes_by_what_the_earlier_has_left() -> None:
    with Stage(gift_cards) as stage:
        one, other = stage.connect(), stage.connect()
        assert redeem(one, "GIFT", 30) == 70
        later = stage.call(other, redeem, "GIFT", 50)
        assert later.waits(), "the first redemption isn't committed: nobody knows yet what is on the card"
        one.commit()
        assert later.result() == 20, "100 - 30 - 50: a balance that was read before waiting is out of date"
        other.commit()
        assert stage.ask("SELECT cents FROM cards WHERE id = 'GIFT'") == [(20,)], "what was returned is what is stored"


def test_the_caller_decides_on_the_commit() -> None:
    with Stage(gift_cards) as stage:
        connection = stage.connect()
        redeem(connection, "GIFT", 60)
        assert stage.ask("SELECT cents FROM cards WHERE id = 'GIFT'") == [(100,)], "seen before the caller's commit"
        connection.rollback()
        assert stage.ask("SELECT count(*) FROM redemptions") == [(0,)], "the order failed: nothing was redeemed"
        assert stage.ask("SELECT cents FROM cards WHERE id = 'GIFT'") == [(100,)], "charged for an order that isn't"


# %% hidden redeem points=3
def test_the_later_of_two_redemptions_is_refused_if_the_earlier_leaves_too_little() -> None:
    with Stage(gift_cards) as stage:
        one, other = stage.connect(), stage.connect()
        redeem(one, "GIFT", 60)
        later = stage.call(other, redeem, "GIFT", 60)
        one.commit()
        with pytest.raises(InsufficientFunds) as error:
            later.result()
        assert error.value.args == (40,), "what the card holds now, and not what it held before the wait"
        other.commit()
        assert stage.ask("SELECT cents FROM cards WHERE id = 'GIFT'") == [(40,)], "the card was spent twice"


def test_a_redemption_that_is_rolled_back_leaves_the_money_to_the_next() -> None:
    with Stage(gift_cards) as stage:
        one, other = stage.connect(), stage.connect()
        redeem(one, "GIFT", 60)
        later = stage.call(other, redeem, "GIFT", 80)
        one.rollback()
        assert later.result() == 20, "the first has never happened"


def test_the_last_cent_can_be_spent_and_no_more() -> None:
    with Stage(gift_cards) as stage, stage.connect() as connection:
        assert redeem(connection, "GIFT", 100) == 0
        with pytest.raises(InsufficientFunds) as error:
            redeem(connection, "GIFT", 1)
        assert error.value.args == (0,)


def test_each_redemption_is_in_the_journal_of_its_card() -> None:
    with Stage(gift_cards) as stage:
        with stage.connect() as connection:
            redeem(connection, "GIFT", 60)
            redeem(connection, "OTHER", 1)
        assert stage.ask("SELECT * FROM redemptions ORDER BY cents") == [("OTHER", 1), ("GIFT", 60)]
        assert stage.ask("SELECT * FROM cards ORDER BY id") == [("GIFT", 40), ("OTHER", 99)], "and nobody else's card"


@pytest.mark.parametrize(("card", "error"), [("GIFT", InsufficientFunds), ("NONE", UnknownCard)])
def test_the_transaction_is_usable_after_a_refusal(card: str, error: type[Exception]) -> None:
    with Stage(gift_cards) as stage:
        connection = stage.connect()
        redeem(connection, "OTHER", 5)
        with pytest.raises(error):
            redeem(connection, card, 101)
        redeem(connection, "OTHER", 5)
        connection.commit()
        redeemed = stage.ask("SELECT card, sum(cents) FROM redemptions GROUP BY card")
        assert redeemed == [("OTHER", 10)], "what the caller did before and after a refusal has to be there"


def test_an_unknown_card_is_named() -> None:
    with Stage(gift_cards) as stage, pytest.raises(UnknownCard):
        redeem(stage.connect(), "NONE", 1)


@pytest.mark.parametrize("cents", [0, -50])
def test_less_than_a_cent_is_refused_before_any_statement(cents: int) -> None:
    with Stage(gift_cards) as stage:
        connection = stage.connect()
        with pytest.raises(ValueError, match=r"."):
            redeem(connection, "GIFT", cents)
        assert status(connection) == TransactionStatus.IDLE, (
            "a statement was sent: a negative amount would load the card"
        )


def test_one_cent_is_enough() -> None:
    with Stage(gift_cards) as stage, stage.connect() as connection:
        assert redeem(connection, "GIFT", 1) == 99


def test_other_cards_do_not_wait() -> None:
    with Stage(gift_cards) as stage:
        one, other = stage.connect(), stage.connect()
        redeem(one, "GIFT", 30)
        call = stage.call(other, redeem, "OTHER", 30)
        assert not call.waits(), "one slow order would stop all others"
        assert call.result() == 70


# %% wrong redeem fails=test_the_later_of_two_redemptions_goes_by_what_the_earlier_has_left
# "A transaction is enough": at READ COMMITTED two of them read the same balance.
def redeem(connection: Connection, card: str, cents: int) -> int:
    """Take an amount from a card; return what is left on it."""
    if cents < 1:
        raise ValueError("at least 1 cent")
    row = first(connection, "SELECT cents FROM cards WHERE id = %s", card)
    if row is None:
        raise UnknownCard(card)
    if row[0] < cents:
        raise InsufficientFunds(row[0])
    connection.execute("UPDATE cards SET cents = %s WHERE id = %s", [row[0] - cents, card])
    connection.execute("INSERT INTO redemptions (card, cents) VALUES (%s, %s)", [card, cents])
    return int(row[0] - cents)


# %% wrong redeem fails=test_the_transaction_is_usable_after_a_refusal
# "The CHECK will tell": it does, and the failed statement takes the caller's transaction with it.
def redeem(connection: Connection, card: str, cents: int) -> int:
    """Take an amount from a card; return what is left on it."""
    if cents < 1:
        raise ValueError("at least 1 cent")
    row = first(connection, "SELECT cents FROM cards WHERE id = %s FOR UPDATE", card)
    if row is None:
        raise UnknownCard(card)
    try:
        connection.execute("UPDATE cards SET cents = cents - %s WHERE id = %s", [cents, card])
    except errors.CheckViolation:
        raise InsufficientFunds(row[0]) from None
    connection.execute("INSERT INTO redemptions (card, cents) VALUES (%s, %s)", [card, cents])
    return int(row[0] - cents)


# %% wrong redeem fails=test_the_caller_decides_on_the_commit
# "Commit early, so that nobody waits": then the card is charged whether or not there is an order.
def redeem(connection: Connection, card: str, cents: int) -> int:
    """Take an amount from a card; return what is left on it."""
    if cents < 1:
        raise ValueError("at least 1 cent")
    row = first(connection, "SELECT cents FROM cards WHERE id = %s FOR UPDATE", card)
    if row is None:
        raise UnknownCard(card)
    if row[0] < cents:
        raise InsufficientFunds(row[0])
    connection.execute("UPDATE cards SET cents = cents - %s WHERE id = %s", [cents, card])
    connection.execute("INSERT INTO redemptions (card, cents) VALUES (%s, %s)", [card, cents])
    connection.commit()
    return int(row[0] - cents)


# %% wrong redeem fails=test_other_cards_do_not_wait
# "Lock the table, then nothing can go wrong": nothing, and nothing at the same time either.
def redeem(connection: Connection, card: str, cents: int) -> int:
    """Take an amount from a card; return what is left on it."""
    if cents < 1:
        raise ValueError("at least 1 cent")
    connection.execute("LOCK TABLE cards IN SHARE ROW EXCLUSIVE MODE")
    row = first(connection, "SELECT cents FROM cards WHERE id = %s", card)
    if row is None:
        raise UnknownCard(card)
    if row[0] < cents:
        raise InsufficientFunds(row[0])
    connection.execute("UPDATE cards SET cents = cents - %s WHERE id = %s", [cents, card])
    connection.execute("INSERT INTO redemptions (card, cents) VALUES (%s, %s)", [card, cents])
    return int(row[0] - cents)


# %% right redeem
def redeem(connection: Connection, card: str, cents: int) -> int:
    """Take an amount from a card; return what is left on it."""
    if cents < 1:
        raise ValueError("at least 1 cent")
    row = first(connection, "SELECT cents FROM cards WHERE id = %s FOR UPDATE", card)
    if row is None:
        raise UnknownCard(card)
    if row[0] < cents:
        raise InsufficientFunds(row[0])
    connection.execute("UPDATE cards SET cents = cents - %s WHERE id = %s", [cents, card])
    connection.execute("INSERT INTO redemptions (card, cents) VALUES (%s, %s)", [card, cents])
    return int(row[0] - cents)


# %% right redeem
def redeem(connection: Connection, card: str, cents: int) -> int:
    """Take an amount from a card; return what is left on it."""
    if cents < 1:
        raise ValueError("at least 1 cent")
    if first(connection, "SELECT FROM cards WHERE id = %s", card) is None:
        raise UnknownCard(card)
    try:
        with connection.transaction():  # a savepoint: the query above has begun a transaction
            taken = first(connection, "UPDATE cards SET cents = cents - %s WHERE id = %s RETURNING cents", cents, card)
    except errors.CheckViolation:
        raise InsufficientFunds(first(connection, "SELECT cents FROM cards WHERE id = %s", card)[0]) from None
    connection.execute("INSERT INTO redemptions (card, cents) VALUES (%s, %s)", [card, cents])
    return int(taken[0])


# %% [markdown] hint redeem
# Two defects. For the first ask which statement reads the balance, and whether anything keeps others from changing it
# afterwards. For the second ask who may end a transaction: whoever began it.

# %% [markdown] hint redeem
# A row that an `UPDATE` (or a `SELECT … FOR UPDATE`) has to wait for is read *again* after the wait, and the `WHERE` is
# checked on the new version. So the decision belongs into a statement that takes the lock. `RETURNING` tells what is
# left without a second query.

# %% [markdown] hint redeem
# `UPDATE cards SET cents = cents - %s WHERE id = %s AND cents >= %s RETURNING cents`. No row means: not there, or too
# little on it; a `SELECT` tells which. Then the `INSERT`, and no `commit`.

# %% [markdown] after redeem
# **Why it looks like that.** The condition and the change are one statement, so there is no moment between reading and
# writing. It is also the shortest time for which the row is locked: from the `UPDATE` to the caller's `COMMIT`. The
# query behind a refusal is for the message only, and may see a balance that has changed since; who needs the two to
# agree locks first (`FOR UPDATE`), at the price of one more round trip for every redemption that goes well.
#
# **Alternatives.** `FOR UPDATE` where the decision needs Python. The `CHECK` with a savepoint works and costs two more
# statements each time; keep the constraint in any case: it is the net below all code paths, those of next year
# included. REPEATABLE READ turns the wait into an error for the later one, who has to begin again: more work, on a card
# that two people want at the same time.
#
# **Hot rows.** All who redeem one card queue up for as long as a transaction lasts. With a voucher that the whole
# country uses, that is the limit of your throughput: then insert rows of usage only and sum them up, or split the
# amount over several rows.
#
# **The interviewer goes on**: *The client doesn't get the answer and sends again: what now? (A key of the request,
# unique in `redemptions`, in the same transaction.) The order takes two cards: in which order do you lock them?*

# %% [markdown]
# ## Levels, snapshots and phantoms
#
# What a level means in PostgreSQL is *when the snapshot is taken*, and what happens on a row that has changed since:
#
# | | its snapshot is | a row to be changed has been changed since |
# | --- | --- | --- |
# | READ COMMITTED (default) | new for **each statement** | wait, take the new version if the `WHERE` fits it |
# | REPEATABLE READ | of the **first statement** (not of `BEGIN`) | wait, then 40001 if the other has committed |
# | SERIALIZABLE | the same | the same; and 40001 where no order explains what was read |
#
# (READ UNCOMMITTED can be asked for, and is READ COMMITTED. There are no dirty reads in PostgreSQL.)
#
# | anomaly | what happens | READ COMMITTED | REPEATABLE READ | SERIALIZABLE |
# | --- | --- | --- | --- | --- |
# | dirty read | sees what isn't committed | no | no | no |
# | non-repeatable read | the same row, read twice, differs | **yes** | no | no |
# | phantom | the same condition, read twice, gives other rows | **yes** | no (the standard would allow it) | no |
# | lost update | overwrites what it has not seen | **yes** | no, 40001 | no, 40001 |
# | write skew | each writes what the other's decision rests on | **yes** | **yes** | no, 40001 |
#
# The names are the standard's, the contents each vendor's. MySQL's REPEATABLE READ (its default) lets lost updates
# through, because plain reads come from the snapshot and writes go to the newest version; Oracle's SERIALIZABLE is a
# snapshot, and allows write skew. So "REPEATABLE READ" without a product is half a sentence.
#
# A **phantom**: a report reads twice, and between the two somebody adds a row. First as it happens by default, then
# prevented:

# %%
PHANTOM = """
A  BEGIN
A  SELECT count(*), sum(cents) FROM accounts WHERE cents >= 50
B  BEGIN
B  INSERT INTO accounts VALUES (3, 500)
B  COMMIT
A  SELECT count(*), sum(cents) FROM accounts WHERE cents >= 50
A  COMMIT
"""
play(PHANTOM, "READ COMMITTED", "Phantom, READ COMMITTED")

# %%
play(PHANTOM, "REPEATABLE READ", "No phantom: one snapshot, REPEATABLE READ")

# %% [markdown]
# For reports, exports and backups (`pg_dump` does it) that is the level to take: REPEATABLE READ, READ ONLY. It writes
# nothing, so nothing of it conflicts, and it waits for no writer (for an `ALTER TABLE` it does).
#
# READ COMMITTED has a corner that surprises: **one statement can see rows of different times**. It finds its rows by
# its snapshot; those that it has to wait for are looked at again in their newest version; and those that the snapshot
# didn't match aren't looked at again, even if they would match now.

# %% [markdown] exercise isolation_outcomes topic=acid-properties level=senior minutes=12
# ## Exercise: Seven schedules, three levels
#
# In an interview there is no server at hand. Predict what the seven scripts of `SCHEDULES` do at READ COMMITTED,
# REPEATABLE READ and SERIALIZABLE. Each starts from the two accounts of `bank`, 1 and 2 with 100 each, and its steps
# come in the order in which they are written; a statement that has to wait ends when it can. The level applies to both
# sessions (a statement outside of `BEGIN` and `COMMIT` is a transaction of its own, at READ COMMITTED).
#
# `isolation_outcomes()` returns a dict from the name of each schedule to a tuple of **three outcomes, in the order of
# the levels**. An outcome is
#
# * the string `"40001"` if a statement of the script fails with that SQLSTATE,
# * else the `int` that the last statement of the script gives.
#
# No other error occurs. The tests run the schedules on the server and compare. `outcome(script, level)` below does that
# too: predict first.
#
# ```python
# >>> sorted(isolation_outcomes()) == sorted(SCHEDULES)
# True
# >>> outcome(LOST_UPDATE, "READ COMMITTED"), outcome(LOST_UPDATE, "REPEATABLE READ")
# (50, '40001')
# >>> isolation_outcomes()["dirty"]
# Traceback (most recent call last):
# KeyError: 'dirty'
# ```

# %%
SCHEDULES: Mapping[str, str] = {
    "relative": """
A  BEGIN
A  UPDATE accounts SET cents = cents - 30 WHERE id = 1
B  BEGIN
B  UPDATE accounts SET cents = cents - 50 WHERE id = 1
A  COMMIT
B  COMMIT
B  SELECT cents FROM accounts WHERE id = 1
""",
    "early_begin": """
B  BEGIN
A  BEGIN
A  UPDATE accounts SET cents = cents - 30 WHERE id = 1
A  COMMIT
B  UPDATE accounts SET cents = cents - 50 WHERE id = 1
B  COMMIT
B  SELECT cents FROM accounts WHERE id = 1
""",
    "rolled_back": """
A  BEGIN
A  UPDATE accounts SET cents = cents - 30 WHERE id = 1
B  BEGIN
B  UPDATE accounts SET cents = cents - 50 WHERE id = 1
A  ROLLBACK
B  COMMIT
B  SELECT cents FROM accounts WHERE id = 1
""",
    "lock_after_read": """
B  BEGIN
B  SELECT cents FROM accounts WHERE id = 1
A  UPDATE accounts SET cents = cents - 30 WHERE id = 1
B  SELECT cents FROM accounts WHERE id = 1 FOR UPDATE
""",
    "two_reads": """
B  BEGIN
B  SELECT cents FROM accounts WHERE id = 2
A  UPDATE accounts SET cents = cents - 30 WHERE id = 1
B  SELECT cents FROM accounts WHERE id = 1
""",
    "moving_target": """
A  BEGIN
A  UPDATE accounts SET cents = cents + 100 WHERE id = 1
A  UPDATE accounts SET cents = cents + 1 WHERE id = 2
B  BEGIN
B  DELETE FROM accounts WHERE cents = 200 OR id = 2
A  COMMIT
B  COMMIT
B  SELECT count(*) FROM accounts
""",
    "both_look_first": """
A  BEGIN
A  SELECT count(*) FROM accounts WHERE cents = 7
B  BEGIN
B  SELECT count(*) FROM accounts WHERE cents = 7
A  INSERT INTO accounts VALUES (3, 7)
B  INSERT INTO accounts VALUES (4, 7)
A  COMMIT
B  COMMIT
B  SELECT count(*) FROM accounts WHERE cents = 7
""",
}


def outcome(script: str, level: str) -> int | str:
    """Return the SQLSTATE of the first statement that fails, else the number that the last one gives."""
    played = play(script, level)
    return played.codes[0] if played.codes else int(played.steps[-1].result)


def measured(name: str) -> tuple[int | str, ...]:
    """Return what the server does with a schedule at the three levels."""
    return tuple(outcome(SCHEDULES[name], level) for level in LEVELS)


# %% solution isolation_outcomes
def isolation_outcomes() -> dict[str, tuple[int | str, int | str, int | str]]:
    """Return the outcomes at READ COMMITTED, REPEATABLE READ and SERIALIZABLE, by schedule."""
    # BEGIN SOLUTION
    return {
        "relative": (20, "40001", "40001"),
        "early_begin": (20, 20, 20),
        "rolled_back": (50, 50, 50),
        "lock_after_read": (70, "40001", "40001"),
        "two_reads": (70, 100, 100),
        "moving_target": (1, "40001", "40001"),
        "both_look_first": (2, 2, "40001"),
    }
    # END SOLUTION


# %% check isolation_outcomes points=1
def test_predicts_three_outcomes_for_each_schedule() -> None:
    assert {name: len(each) for name, each in isolation_outcomes().items()} == dict.fromkeys(SCHEDULES, 3)


def test_a_relative_change_that_has_to_wait() -> None:
    assert isolation_outcomes()["relative"] == measured("relative"), "B's snapshot is taken before A commits"


# %% hidden isolation_outcomes points=3
def test_where_a_snapshot_begins() -> None:
    assert isolation_outcomes()["early_begin"] == measured("early_begin"), "BEGIN itself takes no snapshot"


def test_what_a_rollback_leaves_to_those_who_wait() -> None:
    assert isolation_outcomes()["rolled_back"] == measured("rolled_back"), "what is rolled back conflicts with nobody"


def test_a_lock_that_is_taken_after_the_read() -> None:
    assert isolation_outcomes()["lock_after_read"] == measured("lock_after_read"), "a lock of an old version is no use"


def test_what_one_snapshot_sees() -> None:
    assert isolation_outcomes()["two_reads"] == measured("two_reads"), "the snapshot is of the database, not of a row"


def test_a_row_that_begins_to_match_while_another_is_waited_for() -> None:
    assert isolation_outcomes()["moving_target"] == measured("moving_target"), "which rows are looked at again?"


def test_two_that_insert_what_both_have_not_found() -> None:
    assert isolation_outcomes()["both_look_first"] == measured("both_look_first"), "they write different rows"


# %% wrong isolation_outcomes fails=test_where_a_snapshot_begins
# "The snapshot is taken at BEGIN": it is taken by the first statement that needs one.
def isolation_outcomes() -> dict[str, tuple[int | str, int | str, int | str]]:
    """Return the outcomes at READ COMMITTED, REPEATABLE READ and SERIALIZABLE, by schedule."""
    return {
        "relative": (20, "40001", "40001"),
        "early_begin": (20, "40001", "40001"),
        "rolled_back": (50, 50, 50),
        "lock_after_read": (70, "40001", "40001"),
        "two_reads": (70, 100, 100),
        "moving_target": (1, "40001", "40001"),
        "both_look_first": (2, 2, "40001"),
    }


# %% wrong isolation_outcomes fails=test_two_that_insert_what_both_have_not_found
# "REPEATABLE READ has no phantoms, so counting first is safe": no one sees any, and both insert.
def isolation_outcomes() -> dict[str, tuple[int | str, int | str, int | str]]:
    """Return the outcomes at READ COMMITTED, REPEATABLE READ and SERIALIZABLE, by schedule."""
    return {
        "relative": (20, "40001", "40001"),
        "early_begin": (20, 20, 20),
        "rolled_back": (50, 50, 50),
        "lock_after_read": (70, "40001", "40001"),
        "two_reads": (70, 100, 100),
        "moving_target": (1, "40001", "40001"),
        "both_look_first": (2, "40001", "40001"),
    }


# %% wrong isolation_outcomes fails=test_a_row_that_begins_to_match_while_another_is_waited_for
# "After the wait the statement starts again": only the rows that it waited for are looked at again.
def isolation_outcomes() -> dict[str, tuple[int | str, int | str, int | str]]:
    """Return the outcomes at READ COMMITTED, REPEATABLE READ and SERIALIZABLE, by schedule."""
    return {
        "relative": (20, "40001", "40001"),
        "early_begin": (20, 20, 20),
        "rolled_back": (50, 50, 50),
        "lock_after_read": (70, "40001", "40001"),
        "two_reads": (70, 100, 100),
        "moving_target": (0, "40001", "40001"),
        "both_look_first": (2, 2, "40001"),
    }


# %% [markdown] hint isolation_outcomes
# For each statement of B ask: when was its snapshot taken, and has a row that it wants to change or lock a newer
# version than that snapshot shows? Reading an old version is never an error.

# %% [markdown] hint isolation_outcomes
# At READ COMMITTED nothing ever fails here, so the first column is seven numbers. 40001 needs a *committed* newer
# version (from REPEATABLE READ on), or reads and writes that no order explains (SERIALIZABLE only).

# %% [markdown] hint isolation_outcomes
# `early_begin`: three times the same. `rolled_back` too. `two_reads`: B's snapshot is from its first read, of whatever
# row. `moving_target`: account 1 had 100 in B's snapshot, so B never waits for it, and doesn't delete it; account 2 it
# does. `both_look_first`: two rows at two of the levels.

# %% [markdown] after isolation_outcomes
# * **relative**: at READ COMMITTED B calculates on A's 70. Above that A's version is newer than B's snapshot.
# * **early_begin**: `BEGIN` takes no snapshot; B's first is after A's commit. (`pg_dump`'s workers share one by
#   `pg_export_snapshot()`, because "begun at the same time" isn't the same snapshot.)
# * **rolled_back**: a version that was rolled back isn't newer than anything.
# * **lock_after_read**: READ COMMITTED locks and *returns the newest version*, other than the plain read one step
#   before. Above that it is refused: a lock of a version that is out of date would protect nothing.
# * **two_reads**: a snapshot is of the whole database. No error at SERIALIZABLE either: "B before A" explains it.
# * **moving_target**: by its snapshot B wants row 2 (`id = 2`) only. It waits for it, checks again (still `id = 2`),
#   deletes it. Row 1 has 200 by then, and was never looked at. One row is left, which a `DELETE … WHERE cents = 200`
#   run a moment later would have removed.
# * **both_look_first**: write skew by way of rows that don't exist yet. There is nothing that could be locked.
#
# **The interviewer goes on**: *Would a unique index help in the last one? (Yes, where the rule is "at most one": a
# partial one on `cents = 7`. For "at most three" it doesn't.) Which of these come out otherwise in MySQL?*


# %% [markdown]
# ## Write skew
#
# **Write skew** is the one that survives REPEATABLE READ: two transactions read the same rows, each decides rightly by
# what it sees, and they write **different** rows. No row has two writers, so nothing waits and nothing is refused, and
# a rule over several rows is broken. Here the rule is that the two accounts *together* may not fall below 100:

# %%
WRITE_SKEW = """
A  BEGIN
B  BEGIN
A  SELECT sum(cents) FROM accounts
B  SELECT sum(cents) FROM accounts
A  UPDATE accounts SET cents = cents - 100 WHERE id = 1
B  UPDATE accounts SET cents = cents - 100 WHERE id = 2
A  COMMIT
B  COMMIT
A  SELECT sum(cents) FROM accounts
"""
play(WRITE_SKEW, "REPEATABLE READ", "Write skew, REPEATABLE READ")

# %%
play(WRITE_SKEW, "SERIALIZABLE", "Write skew refused, SERIALIZABLE")

# %% [markdown]
# Nobody waits at SERIALIZABLE either. PostgreSQL's way to it is **serializable snapshot isolation** (SSI): it remembers
# what was read (as `SIReadLock`s, which block nobody), and notes "R has read what W has overwritten" as an edge from R
# to W. Two such edges in a row are what every cycle has to contain; where they occur, one transaction is ended with
# 40001, at a statement or at `COMMIT`. It doesn't prove a cycle, so there are **false alarms**. And what is remembered
# depends on the plan: an index scan notes rows and index pages, a sequential scan the **whole table**. Two transactions
# that have nothing to do with each other, in a table so small that the planner reads it whole:

# %%
STRANGERS = """
A  BEGIN
B  BEGIN
A  SELECT cents FROM accounts WHERE id = 1
B  SELECT cents FROM accounts WHERE id = 2
A  UPDATE accounts SET cents = cents - 10 WHERE id = 1
B  UPDATE accounts SET cents = cents - 10 WHERE id = 2
A  COMMIT
B  COMMIT
"""
for scan, setting in (("sequential scan", "-c enable_indexscan=off"), ("index scan", "-c enable_seqscan=off")):
    played = play(STRANGERS, "SERIALIZABLE", setting=setting + " -c enable_bitmapscan=off")
    print(f"{scan:<16}{[step.result for step in played.steps[-2:]]}, errors {played.codes}")

# %% [markdown]
# So SERIALIZABLE is a contract with two sides: **every** transaction that touches the data runs at that level (others
# aren't seen), and **every** one can be run again from its beginning. In return, whoever writes a transaction needs to
# think of it alone. Tests with small tables show more conflicts than production does.
#
# Where you don't want retries, make the conflict visible at a lower level:
#
# * **lock what the decision was based on**: `SELECT … FOR UPDATE` of both accounts. It works for rows that are *there*.
# * **lock something that stands for the rule**: the parent row, a row of totals, `pg_advisory_xact_lock`. It works for
#   rows that aren't there yet.
# * **declare the rule**: `UNIQUE` (partial too), `EXCLUDE` for ranges that may not overlap. It can't be forgotten.
#
# Locks of rows come in four strengths. A foreign key's check takes the weakest on the parent:
#
# | | taken by | keeps out |
# | --- | --- | --- |
# | `FOR KEY SHARE` | an `INSERT` that refers to the row | deleting it, changing its key |
# | `FOR SHARE` | you | every change, but not its own kind |
# | `FOR NO KEY UPDATE` | an `UPDATE` that leaves the key alone | all but `FOR KEY SHARE` |
# | `FOR UPDATE` | `DELETE`, an `UPDATE` of the key | all four |
#
# And one trap: the lock has to come **a statement before** the count. At READ COMMITTED a statement's snapshot is taken
# when it begins, thus *before* it waits for the lock.

# %% [markdown] exercise lend topic=acid-properties level=senior minutes=15
# ## Exercise: Three books at most
#
# A library lends items. `members (id int PRIMARY KEY, max_loans int)`; `loans (id, member REFERENCES members, item int,
# returned_at timestamptz)`, where a loan is *open* while `returned_at` is NULL; and a unique index on `item` of the
# open loans, `open_loans`, so that an item is with one person at a time. `visits (member REFERENCES members)` gets a
# row whenever somebody comes through the door. The code counted, compared and inserted, and some members have had four
# books out of three ever since there are two desks.
#
# `lend(connection, member, item)` adds an open loan, and returns how many open loans the member has now. It runs in the
# caller's transaction at **READ COMMITTED**, which it neither commits nor rolls back.
#
# * It looks in this order: a member who isn't there raises `LookupError`; one who has `max_loans` open loans (or more)
#   raises `LimitReached`; an item that is on loan raises `OnLoan`. In all three cases the caller's transaction **stays
#   usable**, and `lend` has written nothing (its locks may stay until the transaction ends).
# * Calls for **one member** act as if one came after the other: the later waits until the earlier one's transaction has
#   ended, and counts then. So does a call for an **item** that somebody else is just about to borrow: it waits, and
#   raises `OnLoan` if that was committed.
# * Calls for different members and items don't wait for each other, and the row in `visits` doesn't wait for
#   anybody who borrows.
#
# ```python
# >>> with Stage(library) as stage, stage.connect() as connection:
# ...     print(lend(connection, 1, 70), lend(connection, 1, 71))
# ...     lend(connection, 1, 72)
# Traceback (most recent call last):
# LimitReached: 1
# >>> with Stage(library) as stage, stage.connect() as connection:
# ...     print(lend(connection, 1, 70))
# ...     lend(connection, 2, 70)
# Traceback (most recent call last):
# OnLoan: 70
# ```


# %%
class LimitReached(Exception):  # noqa: N818 - the name that its callers catch
    """A member has as many open loans as allowed."""


class OnLoan(Exception):  # noqa: N818 - the name that its callers catch
    """Somebody has the item."""


def library(connection: Connection) -> None:
    """Two members with a limit of 2, and nothing on loan."""
    connection.execute("CREATE TABLE members (id int PRIMARY KEY, max_loans int NOT NULL)")
    connection.execute(
        "CREATE TABLE loans (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, member int NOT NULL REFERENCES members, "
        "item int NOT NULL, returned_at timestamptz)"
    )
    connection.execute("CREATE UNIQUE INDEX open_loans ON loans (item) WHERE returned_at IS NULL")
    connection.execute("CREATE TABLE visits (member int NOT NULL REFERENCES members)")
    connection.execute("INSERT INTO members VALUES (1, 2), (2, 2)")


OPEN: LiteralString = "SELECT member, item FROM loans WHERE returned_at IS NULL ORDER BY member, item"

with Stage(library) as stage:
    print(stage.ask("SELECT * FROM members ORDER BY id"))


# %% solution lend
def lend(connection: Connection, member: int, item: int) -> int:
    """Lend an item to a member; return how many open loans the member has now."""
    # BEGIN SOLUTION
    allowed = first(connection, "SELECT max_loans FROM members WHERE id = %s FOR NO KEY UPDATE", member)
    if allowed is None:
        raise LookupError(member)
    counted = first(connection, "SELECT count(*) FROM loans WHERE member = %s AND returned_at IS NULL", member)
    if counted[0] >= allowed[0]:
        raise LimitReached(member)
    lent = connection.execute(
        "INSERT INTO loans (member, item) VALUES (%s, %s) ON CONFLICT (item) WHERE returned_at IS NULL DO NOTHING",
        [member, item],
    )
    if lent.rowcount == 0:
        raise OnLoan(item)
    return int(counted[0]) + 1
    # END SOLUTION


# %% check lend points=2
def test_lends_up_to_the_limit() -> None:
    with Stage(library) as stage:
        connection = stage.connect()
        assert [lend(connection, 1, 70), lend(connection, 1, 71)] == [1, 2], "the new one counts"
        with pytest.raises(LimitReached):
            lend(connection, 1, 72)
        connection.commit()
        assert stage.ask(OPEN) == [(1, 70), (1, 71)]


def test_two_desks_cannot_pass_the_limit_together() -> None:
    with Stage(library) as stage:
        one, other = stage.connect(), stage.connect()
        lend(one, 1, 70)
        one.commit()
        lend(one, 1, 71)
        later = stage.call(other, lend, 1, 72)
        assert later.waits(), "nobody knows yet how many the member has"
        one.commit()
        with pytest.raises(LimitReached):
            later.result()
        other.commit()
        assert stage.ask(OPEN) == [(1, 70), (1, 71)], "three books of two"


# %% hidden lend points=4
def test_the_later_desk_lends_if_the_earlier_rolls_back() -> None:
    with Stage(library) as stage:
        one, other = stage.connect(), stage.connect()
        lend(one, 1, 70)
        lend(one, 1, 71)
        later = stage.call(other, lend, 1, 72)
        assert later.waits(), "the first may still commit"
        one.rollback()
        assert later.result() == 1, "what was rolled back doesn't count"


def test_the_later_desk_counts_what_the_earlier_has_lent() -> None:
    with Stage(library) as stage:
        one, other = stage.connect(), stage.connect()
        lend(one, 1, 70)
        later = stage.call(other, lend, 1, 71)
        one.commit()
        assert later.result() == 2, "the count has to be of a moment after the wait"


def test_returned_loans_do_not_count_and_their_items_can_be_lent() -> None:
    with Stage(library) as stage, stage.connect() as connection:
        lend(connection, 1, 70)
        lend(connection, 1, 71)
        connection.execute("UPDATE loans SET returned_at = now() WHERE item = 70")
        assert lend(connection, 1, 70) == 2, "returned, and borrowed again"


def test_loans_of_others_do_not_count() -> None:
    with Stage(library) as stage, stage.connect() as connection:
        lend(connection, 2, 80)
        lend(connection, 2, 81)
        assert lend(connection, 1, 70) == 1


def test_a_lower_limit_than_there_are_loans_is_a_limit() -> None:
    with Stage(library) as stage, stage.connect() as connection:
        lend(connection, 1, 70)
        connection.execute("UPDATE members SET max_loans = 0 WHERE id = 1")
        with pytest.raises(LimitReached):
            lend(connection, 1, 71)


@pytest.mark.parametrize(
    ("member", "item", "error"), [(9, 72, LookupError), (1, 72, LimitReached), (2, 70, OnLoan), (1, 70, LimitReached)]
)
def test_a_refusal_leaves_the_transaction_usable(member: int, item: int, error: type[Exception]) -> None:
    with Stage(library) as stage:
        connection = stage.connect()
        lend(connection, 1, 70)
        lend(connection, 1, 71)
        with pytest.raises(error):
            lend(connection, member, item)
        lend(connection, 2, 80)
        connection.commit()
        assert stage.ask(OPEN) == [(1, 70), (1, 71), (2, 80)], "all that the caller did, and nothing of the refused one"


def test_an_item_goes_to_one_of_two_members_who_want_it() -> None:
    with Stage(library) as stage:
        one, other = stage.connect(), stage.connect()
        lend(one, 1, 70)
        later = stage.call(other, lend, 2, 70)
        assert later.waits(), "the first may still roll back"
        one.commit()
        with pytest.raises(OnLoan):
            later.result()
        assert lend(other, 2, 80) == 1, "the refused one doesn't count, and the transaction goes on"


def test_an_item_goes_to_the_second_if_the_first_rolls_back() -> None:
    with Stage(library) as stage:
        one, other = stage.connect(), stage.connect()
        lend(one, 1, 70)
        later = stage.call(other, lend, 2, 70)
        one.rollback()
        assert later.result() == 1


def test_members_do_not_wait_for_each_other() -> None:
    with Stage(library) as stage:
        one, other = stage.connect(), stage.connect()
        lend(one, 1, 70)
        call = stage.call(other, lend, 2, 80)
        assert not call.waits(), "one member's slow desk would stop the whole library"
        assert call.result() == 1


def test_the_door_does_not_wait() -> None:
    def enter(connection: Connection) -> None:
        connection.execute("INSERT INTO visits VALUES (1)")

    with Stage(library) as stage:
        one, other = stage.connect(), stage.connect()
        lend(one, 1, 70)
        assert not stage.call(other, enter).waits(), "the check of a foreign key waits for FOR UPDATE on the parent"


def test_the_caller_decides_on_the_commit_of_a_loan() -> None:
    with Stage(library) as stage:
        connection = stage.connect()
        lend(connection, 1, 70)
        assert stage.ask(OPEN) == [], "it was committed"
        connection.rollback()
        assert stage.ask(OPEN) == []


# %% wrong lend fails=test_two_desks_cannot_pass_the_limit_together
# "Count, then insert, in a transaction": both desks count before either has inserted.
def lend(connection: Connection, member: int, item: int) -> int:
    """Lend an item to a member; return how many open loans the member has now."""
    allowed = first(connection, "SELECT max_loans FROM members WHERE id = %s", member)
    if allowed is None:
        raise LookupError(member)
    counted = first(connection, "SELECT count(*) FROM loans WHERE member = %s AND returned_at IS NULL", member)
    if counted[0] >= allowed[0]:
        raise LimitReached(member)
    lent = connection.execute(
        "INSERT INTO loans (member, item) VALUES (%s, %s) ON CONFLICT (item) WHERE returned_at IS NULL DO NOTHING",
        [member, item],
    )
    if lent.rowcount == 0:
        raise OnLoan(item)
    return int(counted[0]) + 1


# %% wrong lend fails=test_two_desks_cannot_pass_the_limit_together
# "Lock the rows that I count": the row that is one too many isn't there yet, and can't be locked.
def lend(connection: Connection, member: int, item: int) -> int:
    """Lend an item to a member; return how many open loans the member has now."""
    allowed = first(connection, "SELECT max_loans FROM members WHERE id = %s", member)
    if allowed is None:
        raise LookupError(member)
    counted = connection.execute(
        "SELECT id FROM loans WHERE member = %s AND returned_at IS NULL FOR UPDATE", [member]
    ).rowcount
    if counted >= allowed[0]:
        raise LimitReached(member)
    lent = connection.execute(
        "INSERT INTO loans (member, item) VALUES (%s, %s) ON CONFLICT (item) WHERE returned_at IS NULL DO NOTHING",
        [member, item],
    )
    if lent.rowcount == 0:
        raise OnLoan(item)
    return counted + 1


# %% wrong lend fails=test_the_later_desk_counts_what_the_earlier_has_lent
# "Lock and count in one statement, it saves a round trip": its snapshot is from before the wait.
def lend(connection: Connection, member: int, item: int) -> int:
    """Lend an item to a member; return how many open loans the member has now."""
    row = first(
        connection,
        "WITH one AS (SELECT id, max_loans FROM members WHERE id = %s FOR NO KEY UPDATE) SELECT max_loans, "
        "(SELECT count(*) FROM loans WHERE member = one.id AND returned_at IS NULL) FROM one",
        member,
    )
    if row is None:
        raise LookupError(member)
    if row[1] >= row[0]:
        raise LimitReached(member)
    lent = connection.execute(
        "INSERT INTO loans (member, item) VALUES (%s, %s) ON CONFLICT (item) WHERE returned_at IS NULL DO NOTHING",
        [member, item],
    )
    if lent.rowcount == 0:
        raise OnLoan(item)
    return int(row[1]) + 1


# %% wrong lend fails=test_a_refusal_leaves_the_transaction_usable
# "Catch the UniqueViolation": without a savepoint the transaction has failed, whatever Python caught.
def lend(connection: Connection, member: int, item: int) -> int:
    """Lend an item to a member; return how many open loans the member has now."""
    allowed = first(connection, "SELECT max_loans FROM members WHERE id = %s FOR NO KEY UPDATE", member)
    if allowed is None:
        raise LookupError(member)
    counted = first(connection, "SELECT count(*) FROM loans WHERE member = %s AND returned_at IS NULL", member)
    if counted[0] >= allowed[0]:
        raise LimitReached(member)
    try:
        connection.execute("INSERT INTO loans (member, item) VALUES (%s, %s)", [member, item])
    except errors.UniqueViolation:
        raise OnLoan(item) from None
    return int(counted[0]) + 1


# %% wrong lend fails=test_the_door_does_not_wait
# "FOR UPDATE is the lock": it is stronger than needed, and every foreign key's check waits for it.
def lend(connection: Connection, member: int, item: int) -> int:
    """Lend an item to a member; return how many open loans the member has now."""
    allowed = first(connection, "SELECT max_loans FROM members WHERE id = %s FOR UPDATE", member)
    if allowed is None:
        raise LookupError(member)
    counted = first(connection, "SELECT count(*) FROM loans WHERE member = %s AND returned_at IS NULL", member)
    if counted[0] >= allowed[0]:
        raise LimitReached(member)
    lent = connection.execute(
        "INSERT INTO loans (member, item) VALUES (%s, %s) ON CONFLICT (item) WHERE returned_at IS NULL DO NOTHING",
        [member, item],
    )
    if lent.rowcount == 0:
        raise OnLoan(item)
    return int(counted[0]) + 1


# %% right lend
def lend(connection: Connection, member: int, item: int) -> int:
    """Lend an item to a member; return how many open loans the member has now."""
    connection.execute("SELECT pg_advisory_xact_lock(hashtext('loans'), %s)", [member])
    allowed = first(connection, "SELECT max_loans FROM members WHERE id = %s", member)
    if allowed is None:
        raise LookupError(member)
    counted = first(connection, "SELECT count(*) FROM loans WHERE member = %s AND returned_at IS NULL", member)
    if counted[0] >= allowed[0]:
        raise LimitReached(member)
    try:
        with connection.transaction():
            connection.execute("INSERT INTO loans (member, item) VALUES (%s, %s)", [member, item])
    except errors.UniqueViolation:
        raise OnLoan(item) from None
    return int(counted[0]) + 1


# %% [markdown] hint lend
# The loan that is one too many doesn't exist while the others count: there is no row of `loans` to lock. Which row is
# there, belongs to this member alone, and has to be read anyway?

# %% [markdown] hint lend
# Three statements: lock the member, count, insert. The count has to be a statement of its own, after the lock. Of the
# four strengths of lock choose the one that keeps out its own kind, and lets the check of a foreign key pass.

# %% [markdown] hint lend
# `SELECT max_loans FROM members WHERE id = %s FOR NO KEY UPDATE`; `SELECT count(*) …`; `INSERT … ON CONFLICT (item)
# WHERE returned_at IS NULL DO NOTHING`, which waits for a rival and then inserts nothing: `cursor.rowcount` tells.

# %% [markdown] after lend
# **Why it looks like that.** A rule over many rows of a member is guarded by a lock of *the* row that stands for the
# member: the conflict has been materialized. The lock comes first, and READ COMMITTED gives the count that follows a
# snapshot of after the wait. At REPEATABLE READ the same three statements would be **wrong**: the one snapshot is taken
# by the statement that waits, and a row that was only locked, not changed, raises no 40001.
#
# `ON CONFLICT DO NOTHING` is the third kind of answer to "does it exist?": no look beforehand, no failed statement. The
# unique index does the waiting.
#
# **Costs.** Three round trips, and the member's desks queue. The rule holds only if *every* code path that adds loans
# takes the lock. Those who don't trust that keep a column `open_loans` with a CHECK in `members`, changed in the same
# transaction (by a trigger, at best): the rule is declared then, and the row lock comes with the `UPDATE`.
#
# **Alternatives.** An advisory lock needs no row, and nobody but you knows what it stands for; two numbers may clash by
# accident. SERIALIZABLE needs no lock at all and turns the wait into retries, if all transactions use it. In tables
# that are read by sequential scan, that includes transactions of *other* members.
#
# **The interviewer goes on**: *Two members swap books, each in one transaction, what can happen? How do you find the
# code path that doesn't take the lock? Why isn't `FOR SHARE` enough? (Both get it, and both count the same.)*


# %% [markdown]
# ## Deadlocks, and retrying
#
# Every lock that is held while another is waited for can close a ring. PostgreSQL finds it: a session that has waited
# for `deadlock_timeout` (1 s) looks for a cycle in the graph of waits, and if it finds one, its **own** statement fails
# with 40P01. The rival goes on. (In `play`, B looks after 1 ms, and A doesn't look, so that the victim is always B.)

# %%
DEADLOCK = """
A  BEGIN
B  BEGIN
A  UPDATE accounts SET cents = cents - 10 WHERE id = 1
B  UPDATE accounts SET cents = cents - 20 WHERE id = 2
A  UPDATE accounts SET cents = cents + 10 WHERE id = 2
B  UPDATE accounts SET cents = cents + 20 WHERE id = 1
A  COMMIT
B  ROLLBACK
"""
play(DEADLOCK, title="Deadlock: A pays B's account, B pays A's")

# %% [markdown]
# Step 6 closes the ring and fails; A's step 5 goes on with it. How do you *find* the cause?
#
# * **The server's log** has both statements (`Process 17 waits for ShareLock on transaction 812; blocked by process
#   21`). Only the statements that waited, not the earlier ones that took the locks: the transaction's other half is in
#   your code. The client gets the processes as the error's `diag.message_detail`.
# * **While somebody waits** (which is most of the time no deadlock but a long transaction): `pg_blocking_pids`, with
#   `pg_stat_activity` to name the culprit, who usually is "idle in transaction". `log_lock_waits = on` writes it down.
#
# This is the query to know by heart, run at a moment when one session waits:


# %%
def pay(connection: Connection, account: int) -> None:
    """Take one cent from an account."""
    connection.execute("UPDATE accounts SET cents = cents - 1 WHERE id = %s", [account])


with Stage(bank) as stage:
    culprit, waiting_one = stage.connect(application_name="report"), stage.connect(application_name="checkout")
    pay(culprit, 1)
    call = stage.call(waiting_one, pay, 1)
    for row in stage.ask("""
        SELECT waiting.application_name, waiting.wait_event_type, waiting.wait_event, waiting.query,
               blocking.application_name, blocking.state, blocking.query
        FROM pg_stat_activity AS waiting
        CROSS JOIN LATERAL unnest(pg_blocking_pids(waiting.pid)) AS blocker
        JOIN pg_stat_activity AS blocking ON blocking.pid = blocker
    """):
        print(f"{row[0]} waits for {row[1]} {row[2]} in: {row[3]}\nbecause of {row[4]}, {row[5]}, last: {row[6]}")
    culprit.rollback()
    call.result()

# %% [markdown]
# Prevention is the same as for threads: **one order for all** (`ORDER BY id … FOR UPDATE` before the changes; the
# smaller account first), short transactions, the hottest row last. What remains is retried.
#
# ### What a retry owes
#
# 40001 and 40P01 say: *nothing of it has happened, try again*. The rest of the class isn't so: a 23505 (unique) comes
# again the next time, and a connection that broke **during COMMIT** leaves open whether it happened. That needs a key
# of the request that is unique in the database, or `pg_current_xact_id()` noted before and asked for by
# `pg_xact_status()` after.
#
# * The **whole** transaction is repeated, from the first read: the values that were read are what was wrong. A retry of
#   the last statement, or inside a savepoint, uses the old snapshot.
# * The work may run several times, so nothing in it leaves the database: no mail, no charge. Write the intention down
#   in the same transaction, and let a worker send it after the commit (a **transactional outbox**).
# * **Bounded**, with a growing pause that has chance in it, taken when nothing is held any more.
# * COMMIT can fail too. At SERIALIZABLE it does, and so do constraints that are `DEFERRABLE INITIALLY DEFERRED`.
#
# How many attempts does it take? Each client below adds 1 to the same account, 10 times, at REPEATABLE READ with read
# and write apart, so that clients that overlap conflict:


# %%
def backoff(failed: int) -> None:
    """Pause for a random time that doubles with each attempt that has failed."""
    time.sleep(random.uniform(0, 0.001 * 2 ** min(failed, 5)))


def add_one_until_it_works(connection: Connection) -> int:
    """Add a cent to account 1 by reading and writing; return how many attempts it took."""
    for attempt in range(1, 100):
        try:
            with connection.transaction():
                (cents,) = first(connection, "SELECT cents FROM accounts WHERE id = 1")
                connection.execute("UPDATE accounts SET cents = %s WHERE id = 1", [cents + 1])
            return attempt
        except errors.SerializationFailure:
            backoff(attempt)
    raise AssertionError("a hundred attempts")


def attempts_of(clients: int, rounds: int = 10) -> tuple[int, int]:
    """Return how many attempts some clients took together, and what they have added."""
    with services.postgres(template=bank) as database:
        connections = [database.connect(autocommit=True) for _ in range(clients)]
        counts = [0] * clients

        def client(number: int) -> None:
            for _ in range(rounds):
                counts[number] += add_one_until_it_works(connections[number])

        for connection in connections:
            connection.isolation_level = IsolationLevel.REPEATABLE_READ
        threads = [threading.Thread(target=client, args=[number]) for number in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        (added,) = first(connections[0], "SELECT cents - 100 FROM accounts WHERE id = 1")
        return sum(counts), added


for clients in (1, 2, 4, 8):
    attempts, added = attempts_of(clients)
    print(f"{clients} clients: {added:>3} added, {attempts:>4} attempts, {attempts / added:.1f} for each success")

# %% [markdown]
# Nothing is lost, and the attempts for each success grow with the number of clients: optimism is cheap where conflicts
# are rare, and dear on a hot row, where a lock makes a queue of it. (Counts differ from run to run.)

# %% [markdown] exercise run_transaction topic=acid-properties level=senior minutes=20
# ## Exercise: A transaction runner
#
# A payment team has a `for attempt in range(3)` in forty places. Some retry only the last statement, some retry
# duplicates, two report success for work that was rolled back. Write the one function that they will all call.
#
# `run_transaction(connection, work, *, level=IsolationLevel.SERIALIZABLE, attempts=5, pause=backoff)` calls
# `work(connection)` in a transaction at `level`, commits it, and returns what `work` returned.
#
# * If the transaction fails with SQLSTATE **40001 or 40P01**, in `work` or in the COMMIT, it is rolled back, and `work`
#   called again in a new transaction: at most `attempts` calls in all. After the last the error comes out.
# * **Between** two calls `pause(failed)` is called once, with the number of calls so far (1, 2, …), while no
#   transaction is open.
# * Every other exception, from `work` or from the COMMIT, interrupts (`KeyboardInterrupt`) included, comes out as it is
#   after a rollback, without another call. So does the loss of the connection.
# * `work` that **returns** although its transaction is in the failed state (it has swallowed a database error) raises
#   `WorkLost`, after a rollback, without another call.
# * `work` may use savepoints (`with connection.transaction():`), and neither commits, nor rolls back, nor raises
#   `psycopg.Rollback`.
# * Before anything is executed or `work` called: fewer than 1 attempts raise `ValueError`; a connection that is in a
#   transaction raises `RuntimeError`, and that transaction stays as it is. (None that is closed is handed in.)
# * Afterwards, however it ended, a connection that still lives is idle, and its `isolation_level` is what it was.
#   Connections with and without `autocommit` are served.
#
# ```python
# >>> with services.postgres(template=bank) as database, database.connect() as connection:
# ...     print(run_transaction(connection, lambda c: c.execute("SHOW transaction_isolation").fetchone()))
# ('serializable',)
# >>> with services.postgres(template=bank) as database, database.connect() as connection:
# ...     run_transaction(connection, lambda c: c.execute("SELECT 1"), attempts=0)
# Traceback (most recent call last):
# ValueError: at least one attempt
# ```


# %%
class WorkLost(Exception):  # noqa: N818 - the name that its callers catch
    """The work seemed to succeed in a transaction that had failed."""


def raise_in_server(connection: Connection, sqlstate: str) -> None:
    """Let the server fail with a SQLSTATE."""
    connection.execute(f"DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{sqlstate}'; END $$".encode())


def put(connection: Connection, account: int, cents: int) -> None:
    """Set a balance."""
    connection.execute("UPDATE accounts SET cents = %s WHERE id = %s", [cents, account])


BALANCES: LiteralString = "SELECT id, cents FROM accounts ORDER BY id"


# %% solution run_transaction
def run_transaction(
    connection: Connection,
    work: Callable[[Connection], T],
    *,
    level: IsolationLevel = IsolationLevel.SERIALIZABLE,
    attempts: int = 5,
    pause: Callable[[int], object] = backoff,
) -> T:
    """Run `work(connection)` in a transaction and commit; again if it conflicts with others."""
    # BEGIN SOLUTION
    if attempts < 1:
        raise ValueError("at least one attempt")
    if status(connection) != TransactionStatus.IDLE:
        raise RuntimeError("only what begins here can be begun again")
    before = connection.isolation_level
    connection.isolation_level = level
    failed = 0
    try:
        while True:
            try:
                with connection.transaction():
                    result = work(connection)
                    if status(connection) == TransactionStatus.INERROR:
                        raise WorkLost
                return result
            except (errors.SerializationFailure, errors.DeadlockDetected):
                failed += 1
                if failed == attempts:
                    raise
            pause(failed)
    finally:
        if not connection.closed:
            connection.isolation_level = before
    # END SOLUTION


# %% check run_transaction points=2
def test_commits_and_returns_what_the_work_returned() -> None:
    def work(connection: Connection) -> str:
        put(connection, 1, 70)
        return "done"

    with Stage(bank) as stage:
        assert run_transaction(stage.connect(), work) == "done"
        assert stage.ask(BALANCES) == [(1, 70), (2, 100)], "it wasn't committed"


def test_a_serialization_failure_is_retried_from_the_first_read() -> None:
    reads: list[int] = []

    with Stage(bank) as stage:
        rival = stage.connect(autocommit=True)

        def work(connection: Connection) -> None:
            (cents,) = first(connection, "SELECT cents FROM accounts WHERE id = 1")
            reads.append(cents)
            if len(reads) == 1:
                put(rival, 1, 90)
            put(connection, 1, cents - 30)

        run_transaction(stage.connect(), work, level=IsolationLevel.REPEATABLE_READ, pause=lambda failed: None)
        assert reads == [100, 90], "the second call reads again, in a new snapshot"
        assert stage.ask(BALANCES) == [(1, 60), (2, 100)], "both changes count"


def test_other_errors_come_out_at_once() -> None:
    calls: list[int] = []

    def work(connection: Connection) -> None:
        calls.append(1)
        put(connection, 2, 70)
        put(connection, 1, -1)

    with Stage(bank) as stage:
        connection = stage.connect()
        with pytest.raises(errors.CheckViolation):
            run_transaction(connection, work, pause=lambda failed: None)
        assert len(calls) == 1, "a balance below 0 stays below 0 however often one tries"
        assert status(connection) == TransactionStatus.IDLE, "not rolled back"
        assert stage.ask(BALANCES) == [(1, 100), (2, 100)]


# %% hidden run_transaction points=4
def test_a_deadlock_is_retried() -> None:
    calls: list[str] = []
    rivals: list[Call[None]] = []

    with Stage(bank) as stage:
        patient = stage.connect(options="-c deadlock_timeout=10s")

        def rival(connection: Connection) -> None:
            put(connection, 1, 5)
            connection.commit()

        def work(connection: Connection) -> None:
            calls.append("call")
            pay(connection, 1)
            if len(calls) == 1:
                put(patient, 2, 5)
                rivals.append(stage.call(patient, rival))
            pay(connection, 2)

        connection = stage.connect(options="-c deadlock_timeout=1ms")
        run_transaction(connection, work, level=IsolationLevel.READ_COMMITTED, pause=lambda failed: rivals[0].result())
        assert len(calls) == 2, "the first call was the victim of a deadlock"
        assert stage.ask(BALANCES) == [(1, 4), (2, 4)], (
            "the rival first, then the second call, and nothing of the first"
        )


def test_a_conflict_that_shows_at_the_commit_is_retried() -> None:
    sums: list[int] = []

    with Stage(bank) as stage:
        rival = stage.connect()
        rival.isolation_level = IsolationLevel.SERIALIZABLE

        def work(connection: Connection) -> None:
            (total,) = first(connection, "SELECT sum(cents) FROM accounts")
            sums.append(total)
            if total >= 200:
                put(connection, 1, 0)
            if len(sums) == 1:
                assert first(rival, "SELECT sum(cents) FROM accounts") == (200,)
                put(rival, 2, 0)
                rival.commit()

        run_transaction(stage.connect(), work, pause=lambda failed: None)
        assert sums == [200, 100], "write skew shows when the second commits: COMMIT can fail like any statement"
        assert stage.ask(BALANCES) == [(1, 100), (2, 0)]


@pytest.mark.parametrize(("attempts", "pauses"), [(1, []), (3, [1, 2])])
@pytest.mark.parametrize("sqlstate", ["40001", "40P01"])
def test_gives_up_after_the_last_attempt(attempts: int, pauses: list[int], sqlstate: str) -> None:
    calls: list[int] = []
    paused: list[int] = []

    def work(connection: Connection) -> None:
        calls.append(1)
        raise_in_server(connection, sqlstate)

    with Stage(bank) as stage:
        with pytest.raises(psycopg.OperationalError) as error:
            run_transaction(stage.connect(), work, attempts=attempts, pause=paused.append)
        assert error.value.sqlstate == sqlstate, "the caller has to hear why"
        assert len(calls) == attempts, "calls in all, the first included"
        assert paused == pauses, "a pause stands between two calls: none before the first, none after the last"


def test_five_attempts_unless_told_otherwise() -> None:
    paused: list[int] = []
    with Stage(bank) as stage, pytest.raises(errors.SerializationFailure):
        run_transaction(stage.connect(), lambda connection: raise_in_server(connection, "40001"), pause=paused.append)
    assert paused == [1, 2, 3, 4], "numbered, so that the pauses can grow"


def test_nothing_is_held_during_the_pause() -> None:
    seen: list[TransactionStatus] = []

    with Stage(bank) as stage:
        connection = stage.connect()

        def work(connection: Connection) -> None:
            pay(connection, 1)
            raise_in_server(connection, "40001")

        with pytest.raises(errors.SerializationFailure):
            run_transaction(connection, work, attempts=2, pause=lambda failed: seen.append(status(connection)))
        assert seen == [TransactionStatus.IDLE], "whoever pauses with locks makes the others wait for the pause"


@pytest.mark.parametrize("level", [IsolationLevel.READ_COMMITTED, IsolationLevel.REPEATABLE_READ])
def test_runs_at_the_level_asked_for(level: IsolationLevel) -> None:
    def work(connection: Connection) -> Any:
        return first(connection, "SHOW transaction_isolation")[0]

    with Stage(bank) as stage:
        assert run_transaction(stage.connect(), work, level=level) == level.name.lower().replace("_", " ")
        assert run_transaction(stage.connect(), work) == "serializable", "what nobody thinks about is the safe level"


def test_a_deferred_constraint_comes_out_of_the_commit() -> None:
    calls: list[int] = []

    def work(connection: Connection) -> None:
        calls.append(1)
        connection.execute("CREATE TABLE seats (number int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
        connection.execute("INSERT INTO seats VALUES (1), (1)")

    with Stage(bank) as stage:
        connection = stage.connect()
        with pytest.raises(errors.UniqueViolation):
            run_transaction(connection, work, pause=lambda failed: None)
        assert len(calls) == 1
        assert status(connection) == TransactionStatus.IDLE


def test_an_interrupt_rolls_back_and_comes_out() -> None:
    def work(connection: Connection) -> None:
        put(connection, 1, 70)
        raise KeyboardInterrupt

    with Stage(bank) as stage:
        connection = stage.connect()
        with pytest.raises(KeyboardInterrupt):
            run_transaction(connection, work, pause=lambda failed: None)
        assert status(connection) == TransactionStatus.IDLE, "left open with its locks"
        assert stage.ask(BALANCES) == [(1, 100), (2, 100)]


@pytest.mark.parametrize("sqlstate", ["23505", "40001"])
def test_a_swallowed_error_is_not_reported_as_success(sqlstate: str) -> None:
    calls: list[int] = []

    def work(connection: Connection) -> str:
        calls.append(1)
        put(connection, 1, 70)
        with contextlib.suppress(psycopg.Error):
            raise_in_server(connection, sqlstate)
        return "done"

    with Stage(bank) as stage:
        connection = stage.connect()
        with pytest.raises(WorkLost):
            run_transaction(connection, work, pause=lambda failed: None)
        assert len(calls) == 1, "nobody knows what the work made of the error"
        assert status(connection) == TransactionStatus.IDLE
        assert stage.ask(BALANCES) == [(1, 100), (2, 100)]


def test_a_savepoint_that_fails_loses_only_itself() -> None:
    def work(connection: Connection) -> str:
        put(connection, 1, 70)
        with contextlib.suppress(errors.CheckViolation), connection.transaction():
            put(connection, 1, 60)
            put(connection, 2, -1)
        return "done"

    with Stage(bank) as stage:
        assert run_transaction(stage.connect(), work) == "done"
        assert stage.ask(BALANCES) == [(1, 70), (2, 100)]


def test_a_conflict_in_a_savepoint_begins_again_from_the_start() -> None:
    calls: list[int] = []

    def work(connection: Connection) -> None:
        pay(connection, 1)
        with connection.transaction():
            calls.append(1)
            if len(calls) == 1:
                raise_in_server(connection, "40001")

    with Stage(bank) as stage:
        run_transaction(stage.connect(), work, pause=lambda failed: None)
        assert stage.ask(BALANCES) == [(1, 99), (2, 100)], "one payment: that of the call that was committed"


def test_an_open_transaction_is_refused_and_left_alone() -> None:
    calls: list[int] = []
    with Stage(bank) as stage:
        connection = stage.connect()
        put(connection, 1, 70)
        with pytest.raises(RuntimeError):
            run_transaction(connection, lambda connection: calls.append(1))
        assert calls == [], "what was done before can't be repeated"
        connection.commit()
        assert stage.ask(BALANCES) == [(1, 70), (2, 100)], "it is the caller's"


@pytest.mark.parametrize("attempts", [0, -1])
def test_no_attempts_are_refused(attempts: int) -> None:
    calls: list[int] = []
    with Stage(bank) as stage, pytest.raises(ValueError, match=r"."):
        run_transaction(stage.connect(), lambda connection: calls.append(1), attempts=attempts)
    assert calls == []


@pytest.mark.parametrize("sqlstate", ["", "23505", "40001"])
@pytest.mark.parametrize("before", [None, IsolationLevel.READ_COMMITTED])
def test_the_connection_keeps_its_own_level(sqlstate: str, before: IsolationLevel | None) -> None:
    def work(connection: Connection) -> None:
        if sqlstate:
            raise_in_server(connection, sqlstate)

    with Stage(bank) as stage:
        connection = stage.connect()
        connection.isolation_level = before
        with contextlib.suppress(psycopg.Error):
            run_transaction(connection, work, attempts=2, pause=lambda failed: None)
        assert connection.isolation_level == before, "it goes back to the pool, and the next one gets your level"


def test_a_lost_connection_is_not_retried_and_named() -> None:
    calls: list[int] = []

    def work(connection: Connection) -> None:
        calls.append(1)
        connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    with Stage(bank) as stage:
        with pytest.raises(errors.AdminShutdown):
            run_transaction(stage.connect(), work, pause=lambda failed: None)
        assert len(calls) == 1, "on a dead connection nothing can be retried"


def test_a_connection_with_autocommit_is_served_too() -> None:
    def work(connection: Connection) -> None:
        put(connection, 1, 70)
        raise_in_server(connection, "23505")

    with Stage(bank) as stage:
        connection = stage.connect(autocommit=True)
        with pytest.raises(errors.UniqueViolation):
            run_transaction(connection, work, pause=lambda failed: None)
        assert stage.ask(BALANCES) == [(1, 100), (2, 100)], "each statement was a transaction of its own"


# %% wrong run_transaction fails=test_a_swallowed_error_is_not_reported_as_success
# "If COMMIT doesn't raise, it is committed": in a failed transaction it rolls back and says nothing.
def run_transaction(
    connection: Connection,
    work: Callable[[Connection], T],
    *,
    level: IsolationLevel = IsolationLevel.SERIALIZABLE,
    attempts: int = 5,
    pause: Callable[[int], object] = backoff,
) -> T:
    """Run `work(connection)` in a transaction and commit; again if it conflicts with others."""
    if attempts < 1:
        raise ValueError("at least one attempt")
    if status(connection) != TransactionStatus.IDLE:
        raise RuntimeError("only what begins here can be begun again")
    before = connection.isolation_level
    connection.isolation_level = level
    try:
        for failed in range(1, attempts + 1):
            try:
                with connection.transaction():
                    return work(connection)
            except (errors.SerializationFailure, errors.DeadlockDetected):
                if failed == attempts:
                    raise
            pause(failed)
        raise AssertionError
    finally:
        if not connection.closed:
            connection.isolation_level = before


# %% wrong run_transaction fails=test_a_conflict_that_shows_at_the_commit_is_retried
# "Conflicts come from statements": the COMMIT stands outside of the handler.
def run_transaction(
    connection: Connection,
    work: Callable[[Connection], T],
    *,
    level: IsolationLevel = IsolationLevel.SERIALIZABLE,
    attempts: int = 5,
    pause: Callable[[int], object] = backoff,
) -> T:
    """Run `work(connection)` in a transaction and commit; again if it conflicts with others."""
    if attempts < 1:
        raise ValueError("at least one attempt")
    if status(connection) != TransactionStatus.IDLE:
        raise RuntimeError("only what begins here can be begun again")
    before = connection.isolation_level
    connection.isolation_level = level
    try:
        for failed in range(1, attempts + 1):
            try:
                connection.execute("SELECT 1")
                result = work(connection)
            except (errors.SerializationFailure, errors.DeadlockDetected):
                connection.rollback()
                if failed == attempts:
                    raise
                pause(failed)
            else:
                if status(connection) == TransactionStatus.INERROR:
                    raise WorkLost
                connection.commit()
                return result
        raise AssertionError
    finally:
        if not connection.closed:
            connection.rollback()
            connection.isolation_level = before


# %% wrong run_transaction fails=test_other_errors_come_out_at_once
# "Retry on database errors": a violated constraint is violated again, and the reader waits for five pauses.
def run_transaction(
    connection: Connection,
    work: Callable[[Connection], T],
    *,
    level: IsolationLevel = IsolationLevel.SERIALIZABLE,
    attempts: int = 5,
    pause: Callable[[int], object] = backoff,
) -> T:
    """Run `work(connection)` in a transaction and commit; again if it conflicts with others."""
    if attempts < 1:
        raise ValueError("at least one attempt")
    if status(connection) != TransactionStatus.IDLE:
        raise RuntimeError("only what begins here can be begun again")
    before = connection.isolation_level
    connection.isolation_level = level
    try:
        for failed in range(1, attempts + 1):
            try:
                with connection.transaction():
                    result = work(connection)
                    if status(connection) == TransactionStatus.INERROR:
                        raise WorkLost
                return result
            except psycopg.Error:
                if failed == attempts:
                    raise
            pause(failed)
        raise AssertionError
    finally:
        if not connection.closed:
            connection.isolation_level = before


# %% wrong run_transaction fails=test_a_serialization_failure_is_retried_from_the_first_read
# "A savepoint for each attempt": the snapshot is the transaction's, so each attempt fails like the first.
def run_transaction(
    connection: Connection,
    work: Callable[[Connection], T],
    *,
    level: IsolationLevel = IsolationLevel.SERIALIZABLE,
    attempts: int = 5,
    pause: Callable[[int], object] = backoff,
) -> T:
    """Run `work(connection)` in a transaction and commit; again if it conflicts with others."""
    if attempts < 1:
        raise ValueError("at least one attempt")
    if status(connection) != TransactionStatus.IDLE:
        raise RuntimeError("only what begins here can be begun again")
    before = connection.isolation_level
    connection.isolation_level = level
    try:
        with connection.transaction():
            for failed in range(1, attempts + 1):
                try:
                    with connection.transaction():
                        result = work(connection)
                        if status(connection) == TransactionStatus.INERROR:
                            raise WorkLost
                    return result
                except (errors.SerializationFailure, errors.DeadlockDetected):
                    if failed == attempts:
                        raise
                pause(failed)
        raise AssertionError
    finally:
        if not connection.closed:
            connection.isolation_level = before


# %% right run_transaction
def run_transaction(
    connection: Connection,
    work: Callable[[Connection], T],
    *,
    level: IsolationLevel = IsolationLevel.SERIALIZABLE,
    attempts: int = 5,
    pause: Callable[[int], object] = backoff,
) -> T:
    """Run `work(connection)` in a transaction and commit; again if it conflicts with others."""
    if attempts < 1:
        raise ValueError("at least one attempt")
    if status(connection) != TransactionStatus.IDLE:
        raise RuntimeError("only what begins here can be begun again")
    begin = f"BEGIN ISOLATION LEVEL {level.name.replace('_', ' ')}".encode()
    autocommit = connection.autocommit
    connection.autocommit = True
    try:
        for failed in range(1, attempts + 1):
            try:
                connection.execute(begin)
                result = work(connection)
                if connection.execute("COMMIT").statusmessage != "COMMIT":
                    raise WorkLost
                return result
            except BaseException as error:
                if status(connection) in (TransactionStatus.INTRANS, TransactionStatus.INERROR):
                    connection.execute("ROLLBACK")
                if getattr(error, "sqlstate", None) not in ("40001", "40P01") or failed == attempts:
                    raise
            pause(failed)
        raise AssertionError
    finally:
        if not connection.closed:
            connection.autocommit = autocommit


# %% [markdown] hint run_transaction
# Nest it from outside in: refuse; set the level and give it back (`finally`); loop; handle the two errors; the
# transaction; the work. What stands inside the transaction, what inside the handler, what between two rounds?

# %% [markdown] hint run_transaction
# `with connection.transaction():` begins, commits and rolls back, on interrupts too, and it raises what the COMMIT
# raises: if the whole `with` stands in the `try`, COMMIT is covered. `status(connection)` is
# `IDLE`, `INTRANS` or `INERROR`. The pause comes after the handler, when the `with` has been left.

# %% [markdown] hint run_transaction
# Inside the `with`: `result = work(connection)`, then `if … == TransactionStatus.INERROR: raise WorkLost`. After it:
# `return result`. `except (errors.SerializationFailure, errors.DeadlockDetected):` count, `raise` if that was the last.
# In the `finally` a dead connection can't be set any more: ask `connection.closed`.

# %% [markdown] after run_transaction
# **Why it looks like that.** The transaction begins and ends *inside* the loop, so every attempt has a snapshot of its
# own; the handler is around the COMMIT; the pause comes when nothing is held. `WorkLost` is the check that is missing
# in nearly every home-made runner: psycopg's `commit()` doesn't compare the server's answer with what it asked for.
#
# **The signature.** A function that takes the work has to be, because a `with` block can't be run twice. What `work`
# does to Python objects isn't rolled back: a list that it appends to has the entries of all attempts. Return values,
# and set attributes afterwards.
#
# **Alternatives.** Django and SQLAlchemy leave retrying to you: a decorator around the function that opens
# `transaction.atomic()` or the `Session`, never inside it, and with a *new* session, since the old one's objects hold
# what was read. Databases that are always serializable (CockroachDB) ship this function with their client.
#
# **Costs.** A retry is the whole work again, on a server that is busy already; hence the bound and the chance in the
# pause. Count the retries: more than a few percent mean a hot row or a missing index, and a lock or another schema is
# the cure. The default of SERIALIZABLE only helps if all others use it as well.
#
# **The interviewer goes on**: *The connection breaks in the COMMIT: what do you return? What if `work` sends a mail?
# Why not retry 55P03 (`lock_not_available`) or 57014 (timeout) as well? How do you test it without two real
# connections? (You don't.)*

# %% [markdown]
# ## The interview
#
# Say your answer aloud before you unfold one.

# %% [markdown] interview
# ### What does ACID give you, and what doesn't it?
#
# All or nothing within one database, the rules that are declared to it, isolation up to the level that I chose, and
# commits that survive a crash as far as the log was flushed, and a failover as far as it was replicated. It doesn't
# cover anything outside (mails, queues, other services), rules that only the application knows, or what a client knows
# when the connection broke in the COMMIT. And by default the I is READ COMMITTED, which allows lost updates and write
# skew.

# %% [markdown] interview
# ### Which isolation level do you choose?
#
# READ COMMITTED as it is, with single-statement changes, constraints, and explicit locks where a decision is made in
# code: that is most of a web application. REPEATABLE READ, READ ONLY for reports and exports that need one picture.
# SERIALIZABLE where the rules span many rows and are hard to see (bookings, quotas, ledgers), for all transactions on
# those tables, with a runner that retries. Before that I ask which product: the same name means other things elsewhere.

# %% [markdown] interview
# ### Optimistic or pessimistic locking?
#
# How likely is a conflict, and what does a lost attempt cost? Rare conflicts, or a person who thinks in between: a
# version column, compare and set, and an answer 409 or a retry. Frequent conflicts on few rows, or expensive work:
# `FOR UPDATE`, in one order, in short transactions. For queues `FOR UPDATE SKIP LOCKED`, so that workers don't queue
# for the same job. Never a database lock while a user looks at a form.

# %% [markdown] interview
# ### The connection breaks during COMMIT. What do you do?
#
# I don't know whether it happened, and I say so: neither "failed" nor a blind retry is right. If the request carries a
# key that is unique in the database and written in the same transaction, I run it again: either it hits the key and
# returns the stored result, or it is the first. Without such a key I could note `pg_current_xact_id()` before and ask
# `pg_xact_status()`. The same holds for a timeout of the client.

# %% [markdown] interview
# ### You have to write to the database and send a message. How?
#
# Not both, one after the other: whichever comes first, a crash between them leaves half. Two-phase commit
# (`PREPARE TRANSACTION`) exists, and a coordinator that dies leaves prepared transactions which hold their locks. So:
# an outbox. The message is a row in the same transaction; a worker reads it (`SKIP LOCKED`), or the log is read
# (Debezium), and sends it at least once; receivers drop duplicates by its id.

# %% [markdown] interview
# ### A service reports deadlocks every day. How do you go about it?
#
# They are retried first, since each is harmless if it is rolled back and run again. Then the log: which two statements,
# which tables. Usual causes: two code paths with two orders (sort by key before locking), a batch `UPDATE` or an
# `INSERT … ON CONFLICT` of many rows in no order, a foreign key without an index that makes a delete of the parent lock
# long, a `FOR SHARE` that two later want to turn into an `UPDATE`. And I look for long transactions, since the chance
# grows with the time for which locks are held.

# %% [markdown]
# ## Pitfalls seen in reviews
#
# * Read, decide in Python, write: at READ COMMITTED, without a lock. `get_or_create` and "check that it doesn't exist"
#   are the same thing; only a unique index decides.
# * `except IntegrityError: pass` inside a transaction, without a savepoint; then `commit()`, which says nothing.
# * A retry around a statement instead of the transaction; a retry without bound or pause; a retry of every error.
# * HTTP calls, mails and `sleep` inside a transaction. Connections that are idle in transaction: set
#   `idle_in_transaction_session_timeout`, and `lock_timeout` for migrations.
# * `commit()` in a helper, which ends its caller's transaction.
# * One path at SERIALIZABLE and the rest at READ COMMITTED: the rest isn't watched.
# * A savepoint for each row of an import: beyond 64 in one transaction others get slow as well.
# * `FOR UPDATE` on a parent row, where every insert of a child then waits.
# * Sequences taken for gapless: `nextval` isn't rolled back.
# * A setting of the session (`SET`, the isolation level) left on a connection that goes back to the pool: use `SET
#   LOCAL`.
#
# ## Where to read on
#
# * PostgreSQL: [Transaction Isolation](https://www.postgresql.org/docs/current/transaction-iso.html), [Explicit
#   Locking](https://www.postgresql.org/docs/current/explicit-locking.html), [Serialization Failure
#   Handling](https://www.postgresql.org/docs/current/mvcc-serialization-failure-handling.html), [Asynchronous
#   Commit](https://www.postgresql.org/docs/current/wal-async-commit.html)
# * psycopg: [Transactions management](https://www.psycopg.org/psycopg3/docs/basic/transactions.html)
# * Berenson and others, [A Critique of ANSI SQL Isolation
#   Levels](https://www.microsoft.com/en-us/research/publication/a-critique-of-ansi-sql-isolation-levels/) (1995): where
#   the names come from
# * Ports and Grittner, [Serializable Snapshot Isolation in PostgreSQL](https://arxiv.org/abs/1208.4179) (2012)
# * Kleppmann, *Designing Data-Intensive Applications*, the chapter on transactions; his
#   [Hermitage](https://github.com/ept/hermitage) runs such schedules on many databases
