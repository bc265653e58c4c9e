# %% [markdown]
# # Database sharding
#
# *"The primary is at 80 % of its disk and of its CPU. Shard it."* A junior answer is `hash(key) % n`. A senior answer
# first asks whether it has to be (an index, an archive, a replica and a larger machine are all cheaper); then
# which queries have to stay on one shard, for that decides the key; and then what happens on the day when a shard is
# added, for that decides everything else. The follow-ups: how many rows move, who routes meanwhile, what a query
# without the key costs, and what you do about the one customer that is larger than a shard.
#
# **Assumed**: `bisect` and heaps. **Left out**: replication and consensus within a shard, and transactions across
# shards beyond a paragraph. Shards are Python objects here, in one process, which count what they are asked: that
# shows routing, movement and cost in rows. It doesn't show networks, clocks, or a shard that dies half way.

# %%
import bisect
import hashlib
import heapq
import html
import itertools
import math
import os
import random
import statistics
import subprocess
import sys
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import pytest

from autograder.notebook.figures import explore

# %% [markdown]
# ## Horizontal partitioning strategies
#
# **Vertical** partitioning cuts a table by columns (the large or rarely read ones go elsewhere). **Horizontal**
# partitioning cuts it by rows: each partition has all columns and some of the rows. If the partitions are on
# different servers, they are called **shards**. PostgreSQL's `PARTITION BY RANGE`, `LIST` or `HASH` is the same cut
# within one server: it makes old data cheap to drop and indexes smaller, and adds no machine.
#
# The **shard key** (partition key, distribution column) is what a row's shard is computed from. The strategies are
# four ways to compute it:
#
# | strategy | shard of a key | good at | fails by |
# | --- | --- | --- | --- |
# | **range** | a sorted table of bounds | scans in order, splitting what is hot | a key that grows with time |
# | **hash** | a stable hash, then slots or a ring | even load, points | scans in order touch every shard |
# | **list** | a value of the row (country) | locality, laws on where data lives | values of unequal size |
# | **directory** | looked up, key by key | moving one large customer | every request reads it: cache it |
#
# CockroachDB, Spanner, TiDB and HBase have ranges; Redis Cluster, Cassandra, DynamoDB and Citus hash; MongoDB has
# both; in Vitess the function is pluggable, a lookup in a table among them.
#
# They combine: hash the tenant, then keep each tenant's rows in order of time (Cassandra's partition key and
# clustering columns, DynamoDB's hash and sort key). Judge a shard key by four questions: Has it **many values**? Are
# they about **equally large and busy**? Do the **frequent queries name it**? Does it **never change** (a row whose
# key changes has to move)? Here they are asked of one table, 20,000 orders with running numbers, of 400 tenants with
# very unequal size:

# %%
SHARDS = 8
chance = random.Random(12)
tenants = [f"t{number:03}" for number in range(400)]
sizes = [1 / (rank + 2) for rank in range(400)]
sold = list(enumerate(chance.choices(tenants, weights=sizes, k=20_000)))  # number of the order, tenant


def stable(text: str) -> int:
    """Return a hash of a text that is the same in every process and on every machine."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())


directory: dict[str, int] = {}
load = [0] * SHARDS
for tenant, rows_of_tenant in Counter(tenant for _, tenant in sold).most_common():
    directory[tenant] = load.index(min(load))  # the largest first, each onto the emptiest shard
    load[directory[tenant]] += rows_of_tenant

strategies: dict[str, Callable[[int, str], int]] = {
    "range of number": lambda number, tenant: number * SHARDS // 20_000,
    "hash of number": lambda number, tenant: stable(str(number)) % SHARDS,
    "hash of tenant": lambda number, tenant: stable(tenant) % SHARDS,
    "directory of tenants": lambda number, tenant: directory[tenant],
}
print(f"{'':22}{'rows of the':>14}{'of the last 1,000':>20}{'shards read for':>17}{'for the last':>14}")
print(f"{'':22}{'fullest shard':>14}{'writes it takes':>20}{'one tenant':>17}{'1,000 orders':>14}")
for name, shard_of in strategies.items():
    rows = Counter(shard_of(*order) for order in sold)
    latest = Counter(shard_of(*order) for order in sold[-1_000:])
    touched = {shard_of(number, tenant) for number, tenant in sold if tenant == "t007"}
    print(
        f"{name:22}{max(rows.values()) / 20_000:14.1%}{max(latest.values()) / 1_000:20.1%}"
        f"{len(touched):17}{len(latest):14}"
    )

# %% [markdown]
# An even load would be 12.5 %. The range has the hot end: every insert goes to one shard, however many there are. The
# hash of the number scatters each tenant over all shards. The hash of the tenant is uneven because tenants are. The
# directory, filled by size, is even, today; it has to be stored, looked up and kept up to date, and none of the
# four keeps both a tenant and a stretch of time together. Business software mostly takes the tenant, since nearly
# every query names it and a transaction of one tenant stays on one shard: by hash, with a directory for the giants.
#
# **A hot key stays hot**: no hash function cuts one key in two. If one tenant or one post gets a tenth of the load,
# either give it a shard of its own (directory), or **salt** it: write to `key#0` … `key#9` by chance and read all
# ten. Writes are spread by ten, each read costs ten. Do it for the keys that need it, not for all.
#
# ## Hash and modulo
#
# `hash(key) % n` has two defects, and both are asked. The first: `hash()` of a text is **salted for each process**
# since Python 3.3 (against attacks that make dicts slow), so that two workers route the same key differently:

# %%
for seed in ("1", "2", "3"):
    done = subprocess.run(
        [sys.executable, "-c", "print([hash(key) % 8 for key in ('acme', 'globex', 'initech')])"],
        env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=True,
    )
    print(f"a process with hash seed {seed}:", done.stdout.strip())

# %% [markdown]
# A router needs a hash that is defined byte by byte: CRC-32, MurmurHash3, xxHash, BLAKE2, of an encoding that is
# fixed too. It doesn't need to be cryptographic unless users choose keys to hit one shard. Numbers aren't salted, but
# `hash(n)` is `n`, modulo a prime of about 2⁶¹: keys that are all even leave half of eight shards empty.
#
# The second defect shows on the day when a shard is added. A key stays where it is only if `h % n == h % (n + 1)`,
# which holds for one in `n + 1`. All others move, though the new shard needs only one in `n + 1`:

# %%
keys = [f"order {number}" for number in range(20_000)]
print(f"{'shards':>10}{'modulo':>10}{'must move':>12}")
for before, after in ((2, 3), (4, 5), (8, 9), (16, 17), (8, 16)):
    moved = sum(stable(key) % before != stable(key) % after for key in keys)
    print(f"{before:>4} to {after:2}{moved / len(keys):10.1%}{1 - before / after:12.1%}")

# %% [markdown]
# Doubling moves the half that has to move: that is why systems with modulo double. All others put a layer between:
#
# * **Fixed slots** (virtual shards, logical shards): the key is hashed into one of, say, 1,024 or 16,384 slots, *for
#   ever*, and a small table says which shard has which slot. Adding a shard moves whole slots and edits the table.
#   Redis Cluster has 16,384 slots (CRC16 modulo), Citus calls them shards (32 for a table, if you don't say
#   otherwise), many teams make a schema for each slot. The number is fixed for good: it is the largest number of
#   shards.
# * **A ring** (below) computes the table from the names of the shards: nothing to store, nothing to agree on.
# * **Rendezvous hashing**: hash the key with *each* shard's name; the highest wins. One line and an ideal movement,
#   but n hashes for each lookup. **Jump hashing** needs no memory at all, and can only add and remove the last shard.

# %% [markdown] exercise slot_router topic=database-sharding level=core minutes=15
# ## Exercise: The router that forgot
#
# After each deployment the workers find "no such order" for orders that exist. When the fifth shard was added, the
# copy job moved four fifths of the data. And a report for one tenant asks every shard. Mend `SlotRouter(shards,
# slots)`:
#
# * A key is `"tenant:order"`. Its **tenant** is what stands before the first colon; a key without a colon is a tenant
#   by itself. `slot(key)` is `zlib.crc32` of the tenant in UTF-8, modulo the number of slots. It never changes.
# * `table` is a list with the name of a shard for each slot. `shard(key)` is the entry of the key's slot.
# * At the start each shard has as many slots as any other, or one more or less. Two routers with equal arguments, and
#   the same calls of `add` after, have equal tables.
# * `add(shard)` gives the new shard `slots // n` slots, with `n` the number of shards including it. They are taken so
#   that afterwards the numbers of slots of all shards again differ by at most one. No other slot changes its shard.
#   It returns the slots that have moved, ascending.
# * `ValueError`, and nothing has changed, if the same name comes twice (in `shards`, or in `add`), if `shards` is
#   empty, or if there would be more shards than slots. The caller's `shards` stays as it is.
#
# ```python
# >>> router = SlotRouter(["a", "b"], slots=6)
# >>> router.slot("acme:17"), router.slot("acme:18"), router.slot("globex")
# (2, 2, 4)
# >>> len(router.add("c")), sorted(router.table)
# (2, ['a', 'a', 'b', 'b', 'c', 'c'])
# >>> router.add("a")
# Traceback (most recent call last):
# ValueError: there is a shard a already
# ```
#
# The wording of the errors is yours.


# %% solution slot_router
class SlotRouter:
    """Routes keys to shards by way of a fixed number of slots."""

    def __init__(self, shards: Sequence[str], slots: int = 1024) -> None:
        # BEGIN SOLUTION
        if not 0 < len(shards) <= slots:
            raise ValueError(f"{len(shards)} shards for {slots} slots")
        if len(set(shards)) < len(shards):
            raise ValueError(f"a name comes twice: {shards}")
        self.table = [shards[slot % len(shards)] for slot in range(slots)]
        # END SOLUTION

    def slot(self, key: str) -> int:
        """Return the slot of a key's tenant."""
        # BEGIN SOLUTION
        tenant, _, _ = key.partition(":")
        return zlib.crc32(tenant.encode()) % len(self.table)
        # END SOLUTION

    def shard(self, key: str) -> str:
        """Return the shard that has the key's slot."""
        # BEGIN SOLUTION
        return self.table[self.slot(key)]
        # END SOLUTION

    def add(self, shard: str) -> list[int]:
        """Give a new shard its share of the slots; return them in order."""
        # BEGIN SOLUTION
        owned = Counter(self.table)
        if shard in owned:
            raise ValueError(f"there is a shard {shard} already")
        share = len(self.table) // (len(owned) + 1)
        if not share:
            raise ValueError(f"there is no slot left for {shard}")
        moved = []
        for _ in range(share):
            giver = max(owned, key=owned.__getitem__)
            owned[giver] -= 1
            moved.append(self.table.index(giver))
            self.table[moved[-1]] = shard
        return sorted(moved)
        # END SOLUTION


# %% starter slot_router
class SlotRouter:
    """Routes keys to shards by way of a fixed number of slots."""

    def __init__(self, shards: list[str], slots: int = 1024) -> None:
        self.shards = shards
        self.slots = slots

    @property
    def table(self) -> list[str]:
        """The shard of each slot."""
        return [self.shards[slot % len(self.shards)] for slot in range(self.slots)]

    def slot(self, key: str) -> int:
        """Return the slot of a key's tenant."""
        return hash(key) % self.slots

    def shard(self, key: str) -> str:
        """Return the shard that has the key's slot."""
        return self.shards[hash(key) % len(self.shards)]

    def add(self, shard: str) -> list[int]:
        """Give a new shard its share of the slots; return them in order."""
        before = self.table
        self.shards.append(shard)
        return [slot for slot, name in enumerate(self.table) if name != before[slot]]


# %% check slot_router points=2
def test_a_tenant_has_the_same_slot_in_every_process() -> None:
    router = SlotRouter(["a", "b", "c"], slots=1024)
    slots = [router.slot(f"{tenant}:7") for tenant in ("acme", "globex", "initech")]
    expected = [zlib.crc32(tenant) % 1024 for tenant in (b"acme", b"globex", b"initech")]
    assert slots == expected, "the slot is defined by the bytes of the tenant and by nothing of this process"


def test_a_tenants_orders_are_on_one_shard() -> None:
    router = SlotRouter(["a", "b", "c", "d"])
    found = {router.shard(f"acme:{number}") for number in range(50)}
    assert len(found) == 1, f"50 orders of one tenant are on {len(found)} shards: each report asks them all"


def test_a_new_shard_takes_its_share_and_no_more() -> None:
    router = SlotRouter(["a", "b", "c", "d"], slots=1000)
    moved = router.add("e")
    assert len(moved) == 200, f"{len(moved)} of 1000 slots move; the fifth shard needs a fifth"


# %% hidden slot_router points=3
def test_every_shard_starts_with_its_share() -> None:
    router = SlotRouter(["a", "b", "c"], slots=100)
    assert sorted(Counter(router.table).values()) == [33, 33, 34], "100 slots for three shards"


def test_a_router_has_1024_slots_by_default() -> None:
    assert len(SlotRouter(["a"]).table) == 1024, "slots=1024 is the default"


def test_the_shard_is_the_tables_entry() -> None:
    router = SlotRouter(["a", "b", "c"], slots=60)
    router.add("d")
    names = [f"tenant {number}" for number in range(200)]
    assert [router.shard(name) for name in names] == [router.table[router.slot(name)] for name in names], (
        "shard(key) reads the table"
    )


def test_the_tenant_ends_at_the_first_colon() -> None:
    router = SlotRouter(["a"], slots=1 << 20)
    expected = zlib.crc32(b"acme") % (1 << 20)
    assert [router.slot(key) for key in ("acme", "acme:", "acme:1:2")] == [expected] * 3, "before the first colon"


def test_tenants_are_hashed_in_utf8() -> None:
    slot = SlotRouter(["a"], slots=1 << 20).slot("Käserei:1")
    assert slot == zlib.crc32("Käserei".encode()) % (1 << 20), "the encoding is part of the definition"


def test_add_returns_what_has_moved_and_nothing_else_moves() -> None:
    router = SlotRouter(["a", "b", "c"], slots=90)
    before = list(router.table)
    moved = router.add("d")
    changed = [slot for slot in range(90) if router.table[slot] != before[slot]]
    assert moved == changed, "the copy job works from this list, in order"
    assert {router.table[slot] for slot in changed} == {"d"}, "between the old shards nothing moves"


@pytest.mark.parametrize("slots", [12, 97])
def test_the_shards_stay_even_however_many_are_added(slots: int) -> None:
    router = SlotRouter(["s0", "s1"], slots)
    for number in range(2, 12):
        share = slots // (number + 1)
        assert len(router.add(f"s{number}")) == share, f"shard {number + 1} of {slots} slots"
        owned = Counter(router.table)
        assert len(owned) == number + 1, "every shard has slots"
        assert max(owned.values()) - min(owned.values()) <= 1, f"uneven after {number + 1} shards: {owned}"


def test_two_routers_agree() -> None:
    routers = [SlotRouter(["a", "b", "c"], slots=50), SlotRouter(["a", "b", "c"], slots=50)]
    assert routers[0].add("d") == routers[1].add("d"), "each worker computes the same move"
    assert routers[0].table == routers[1].table, "each worker has the same table"


def test_refuses_a_name_that_is_there() -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        SlotRouter(["a", "b", "a"])
    router = SlotRouter(["a", "b"], slots=8)
    before = list(router.table)
    with pytest.raises(ValueError):  # noqa: PT011
        router.add("b")
    assert router.table == before, "a refused shard changes nothing"


def test_refuses_more_shards_than_slots() -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        SlotRouter(["a", "b", "c"], slots=2)
    router = SlotRouter(["a", "b"], slots=2)
    with pytest.raises(ValueError):  # noqa: PT011
        router.add("c")
    assert sorted(router.table) == ["a", "b"], "a refused shard changes nothing"


def test_refuses_no_shards() -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        SlotRouter([])


def test_the_callers_list_stays_as_it_is() -> None:
    shards = ["a", "b"]
    SlotRouter(shards, slots=8).add("c")
    assert shards == ["a", "b"], "the configuration isn't the router's to change"


# %% wrong slot_router fails=test_a_new_shard_takes_its_share_and_no_more
# "A stable hash mends it": the same in every process, and with modulo n nearly every slot still moves.
class SlotRouter:
    """Routes keys to shards by way of a fixed number of slots."""

    def __init__(self, shards: Sequence[str], slots: int = 1024) -> None:
        if not 0 < len(shards) <= slots or len(set(shards)) < len(shards):
            raise ValueError("shards")
        self.shards = list(shards)
        self.table = [shards[slot % len(shards)] for slot in range(slots)]

    def slot(self, key: str) -> int:
        return zlib.crc32(key.partition(":")[0].encode()) % len(self.table)

    def shard(self, key: str) -> str:
        return self.table[self.slot(key)]

    def add(self, shard: str) -> list[int]:
        if shard in self.shards or len(self.shards) == len(self.table):
            raise ValueError(shard)
        before = self.table
        self.shards.append(shard)
        self.table = [self.shards[slot % len(self.shards)] for slot in range(len(before))]
        return [slot for slot, name in enumerate(self.table) if name != before[slot]]


# %% wrong slot_router fails=test_a_tenants_orders_are_on_one_shard
# "The more the hash sees, the better it spreads": it spreads what has to stay together.
class SlotRouter:
    """Routes keys to shards by way of a fixed number of slots."""

    def __init__(self, shards: Sequence[str], slots: int = 1024) -> None:
        if not 0 < len(shards) <= slots or len(set(shards)) < len(shards):
            raise ValueError("shards")
        self.table = [shards[slot % len(shards)] for slot in range(slots)]

    def slot(self, key: str) -> int:
        return zlib.crc32(key.encode()) % len(self.table)

    def shard(self, key: str) -> str:
        return self.table[self.slot(key)]

    def add(self, shard: str) -> list[int]:
        owned = Counter(self.table)
        share = len(self.table) // (len(owned) + 1)
        if shard in owned or not share:
            raise ValueError(shard)
        moved = []
        for _ in range(share):
            giver = max(owned, key=owned.__getitem__)
            owned[giver] -= 1
            moved.append(self.table.index(giver))
            self.table[moved[-1]] = shard
        return sorted(moved)


# %% wrong slot_router fails=test_the_shards_stay_even_however_many_are_added
# "A share is a share": it takes the last slots, all from the same shard, which is left with next to nothing.
class SlotRouter:
    """Routes keys to shards by way of a fixed number of slots."""

    def __init__(self, shards: Sequence[str], slots: int = 1024) -> None:
        if not 0 < len(shards) <= slots or len(set(shards)) < len(shards):
            raise ValueError("shards")
        self.table = [shards[slot * len(shards) // slots] for slot in range(slots)]

    def slot(self, key: str) -> int:
        return zlib.crc32(key.partition(":")[0].encode()) % len(self.table)

    def shard(self, key: str) -> str:
        return self.table[self.slot(key)]

    def add(self, shard: str) -> list[int]:
        shards = set(self.table)
        share = len(self.table) // (len(shards) + 1)
        if shard in shards or not share:
            raise ValueError(shard)
        moved = list(range(len(self.table) - share, len(self.table)))
        for slot in moved:
            self.table[slot] = shard
        return moved


# %% right slot_router
class SlotRouter:
    """Routes keys to shards by way of a fixed number of slots."""

    def __init__(self, shards: Sequence[str], slots: int = 1024) -> None:
        if not shards or len(shards) > slots or len(dict.fromkeys(shards)) != len(shards):
            raise ValueError("no shards, a name twice, or more shards than slots")
        self.slots: dict[str, list[int]] = {name: [] for name in shards}
        self.table = [shards[slot * len(shards) // slots] for slot in range(slots)]
        for slot, name in enumerate(self.table):
            self.slots[name].append(slot)

    def slot(self, key: str) -> int:
        return zlib.crc32(key.split(":", 1)[0].encode("utf-8")) % len(self.table)

    def shard(self, key: str) -> str:
        return self.table[self.slot(key)]

    def add(self, shard: str) -> list[int]:
        if shard in self.slots or len(self.slots) >= len(self.table):
            raise ValueError(f"{shard} is there, or no slot is left")
        heap = [(-len(owned), name) for name, owned in self.slots.items()]
        heapq.heapify(heap)
        taken = []
        for _ in range(len(self.table) // (len(self.slots) + 1)):
            negative, name = heap[0]
            taken.append(self.slots[name].pop())
            heapq.heapreplace(heap, (negative + 1, name))
        self.slots[shard] = sorted(taken)
        for slot in taken:
            self.table[slot] = shard
        return sorted(taken)


# %% [markdown] hint slot_router
# Which of the three complaints belongs to `hash`, which to `% len(shards)`, and which to what is hashed? The slot of
# a key must not depend on the number of shards; what does, is the table.

# %% [markdown] hint slot_router
# Make `table` a list that is built once and then edited. `add` counts how many slots each shard has (`Counter`), and
# takes one slot after another from the shard that has most at that moment.

# %% [markdown] hint slot_router
# `share = len(table) // (len(owned) + 1)`; that many times: `giver = max(owned, key=owned.__getitem__)`, lower its
# count, `slot = table.index(giver)`, `table[slot] = shard`, note the slot. Check for errors before the first change.

# %% [markdown] waive slot_router
# - `owned[giver] -= 1` → `owned[giver] -= 2`: the numbers differ by one at most, so the shards still give in turn

# %% [markdown] after slot_router
# **Why.** The hash decides once for all; the table is what people edit. It is small (1,024 names), it can be printed,
# kept in version control or in etcd, and a large tenant's slot can be moved by itself. The price: the table is state
# that all routers have to agree on. So it carries a version, a shard refuses keys of slots that it doesn't have
# (Redis: `MOVED`), and the client then fetches the table anew.
#
# **How many slots?** Enough that the unit of movement is small (1 TB in 1,024 slots is 1 GB each) and for the largest
# number of shards ever wanted; with 10 to 100 a shard the loads even out. Too many cost overhead where a slot
# is a real thing, such as a schema or a file. A number with many divisors (480, 1,024) splits evenly more often.
#
# **The tenant as the key** makes the transaction, the join and the foreign key within a tenant local. It also limits
# a tenant to one shard. The way out for giants is decided in advance: an entry in a directory, or `tenant:bucket`.
#
# **The interviewer goes on**: *How do you shard by tenant when a user logs in by mail address? (A second, global
# index from address to tenant: a lookup table, itself sharded by address.) How are ids unique across shards? (UUIDv7,
# or bits of time, shard and sequence; not an auto-increment for each shard.) What about joins with the price list? (A
# reference table: small, copied to all shards.)*

# %% [markdown]
# ## Consistent hashing
#
# Hash the *shards* onto the same circle as the keys: positions from 0 to 2⁶⁴ − 1, and after the last comes the first.
# A key belongs to the **first shard clockwise** from its position. A shard that joins takes over one arc, from one
# neighbour; nobody else notices. One that leaves gives its arc to the next. No table: whoever knows the names knows
# the ring.
#
# With one point for each shard it works badly, for two reasons. Random points don't cut a circle evenly: of n arcs
# the longest is 1 + 1/2 + … + 1/n times the average, in the mean, which is 2.7 for eight. And when a shard dies,
# *one* neighbour gets its whole load, and may die as well. **Virtual nodes** mend both: each shard stands on the ring
# many times, at the hashes of `"name#0"`, `"name#1"` …, so its share is a sum of many small arcs, with a relative
# spread of about 1/√v for v virtual nodes, and whoever leaves hands a little to everybody. A machine of double size
# gets twice as many.
#
# `position` is the hash for the ring; what it returns counts how often positions are compared:


# %%
RING = 1 << 64


class Position(int):
    """A place on the ring; counts comparisons by order (`<`, `<=`, `>`, `>=`)."""

    comparisons = 0

    def __lt__(self, other: int) -> bool:
        Position.comparisons += 1
        return int.__lt__(self, other)

    def __le__(self, other: int) -> bool:
        Position.comparisons += 1
        return int.__le__(self, other)

    def __gt__(self, other: int) -> bool:
        Position.comparisons += 1
        return int.__gt__(self, other)

    def __ge__(self, other: int) -> bool:
        Position.comparisons += 1
        return int.__ge__(self, other)


def position(text: str) -> Position:
    """Return the place of a text on the ring, the same in every process."""
    return Position(int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()))


def comparisons(function: Callable[[], object]) -> int:
    """Return how many comparisons of positions a call makes."""
    Position.comparisons = 0
    function()
    return Position.comparisons


class Arc(NamedTuple):
    """A stretch of the ring, as parts of the whole, and the shard at its end."""

    start: float
    end: float
    shard: str


def arcs(shards: Iterable[str], vnodes: int) -> list[Arc]:
    """Return the ring's arcs in order: each belongs to the virtual node at its end."""
    points = sorted((int(position(f"{shard}#{number}")), shard) for shard in shards for number in range(vnodes))
    ends = [point / RING for point, _ in points]
    found = [
        Arc(start, end, shard)
        for start, (end, (_, shard)) in zip([0.0, *ends], zip(ends, points, strict=True), strict=False)
    ]
    return [*found, Arc(ends[-1], 1.0, points[0][1])]


def shares(shards: Sequence[str], vnodes: int) -> dict[str, float]:
    """Return which part of the ring each shard has."""
    total = dict.fromkeys(shards, 0.0)
    for arc in arcs(shards, vnodes):
        total[arc.shard] += arc.end - arc.start
    return total


@dataclass(frozen=True, repr=False)
class RingFigure:
    """A ring of shards, and each shard's share beside it; the shares alone where there is no browser."""

    shards: Sequence[str]
    vnodes: int

    @property
    def title(self) -> str:
        worst = max(shares(self.shards, self.vnodes).values()) * len(self.shards)
        return (
            f"{len(self.shards)} shards, {self.vnodes} virtual nodes each: the fullest has {worst:.2f} times its share"
        )

    def __repr__(self) -> str:
        lines = [self.title]
        for shard, share in shares(self.shards, self.vnodes).items():
            lines.append(f"{shard:>4} |{'#' * round(share * 100):60}| {share:.1%}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        fills = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#f0e442", "#999999")
        fill = dict(zip(self.shards, fills, strict=False))
        parts = []
        for arc in arcs(self.shards, self.vnodes):
            # From the top, clockwise; a hair's breadth more at the end, so that no light shows between arcs.
            (x, y), (to_x, to_y) = (
                (130 + 90 * math.sin(2 * math.pi * turn), 140 - 90 * math.cos(2 * math.pi * turn))
                for turn in (arc.start, arc.end)
            )
            large = int(arc.end - arc.start > 0.5)
            parts.append(
                f'<path d="M {x:.2f} {y:.2f} A 90 90 0 {large} 1 {to_x:.2f} {to_y:.2f}" fill="none" '
                f'stroke="{fill[arc.shard]}" stroke-width="26"><title>{arc.shard}</title></path>'
            )
        scale = 280 / max(shares(self.shards, self.vnodes).values())
        even = 330 + scale / len(self.shards)
        for row, (shard, share) in enumerate(shares(self.shards, self.vnodes).items()):
            top = 40 + 24 * row
            parts.append(
                f'<text x="322" y="{top + 14}" text-anchor="end">{html.escape(shard)}</text>'
                f'<rect x="330" y="{top}" width="{scale * share:.1f}" height="18" fill="{fill[shard]}"/>'
                f'<text x="{336 + scale * share:.1f}" y="{top + 14}">{share:.1%}</text>'
            )
        bottom = 44 + 24 * len(self.shards)
        parts.append(
            f'<line x1="{even:.1f}" x2="{even:.1f}" y1="34" y2="{bottom}" stroke="currentColor" '
            f'stroke-dasharray="4 3"/><text x="{even:.1f}" y="{bottom + 14}" text-anchor="middle">even</text>'
        )
        return (
            f'<svg role="img" aria-label="{html.escape(self.title)}" viewBox="0 0 680 270" width="680" '
            'style="max-width: 100%; height: auto" fill="currentColor" font-family="sans-serif" font-size="12" '
            f'xmlns="http://www.w3.org/2000/svg"><text x="0" y="14" font-weight="bold">{html.escape(self.title)}'
            f"</text>{''.join(parts)}</svg>"
        )


def draw_ring(shards: int, virtual_nodes: int) -> RingFigure:
    """Return the figure for shards with the names db0, db1 …"""
    return RingFigure([f"db{number}" for number in range(shards)], virtual_nodes)


explore(draw_ring, shards=(2, 8, 5), virtual_nodes=(1, 200, 4))

# %% [markdown]
# Move the second slider. The same as numbers, over rings of 8 shards with different names:

# %%
print(f"{'virtual nodes':>14}{'fullest, mean of 10 rings':>28}{'spread of shares':>18}{'1/sqrt(v)':>11}")
for vnodes in (1, 4, 16, 64, 256):
    rings = [
        [8 * share for share in shares([f"r{ring}db{n}" for n in range(8)], vnodes).values()] for ring in range(10)
    ]
    fullest = statistics.mean(map(max, rings))
    spread = statistics.mean(map(statistics.pstdev, rings))
    print(f"{vnodes:14}{fullest:24.2f} times{spread:18.2f}{1 / math.sqrt(vnodes):11.2f}")

# %% [markdown]
# With a hundred virtual nodes the spread is about 10 %. They cost memory (a million points for 10,000 shards), a
# lookup of log₂(n · v) comparisons, and in a *database* something else: each virtual node is a range that has to be
# repaired, streamed and replicated with other neighbours, and the more neighbours, the more likely any two failures
# hit the same range. Cassandra came down from 256 to 16 for that reason, and chooses their places deliberately rather
# than at random.
#
# **Replicas** go to the next shards clockwise, *skipping virtual nodes of shards that already have the key* (and, in
# production, of the same rack or zone). The list is called the preference list in Dynamo's paper.

# %% [markdown]
# That rule, as slowly as it can be said, is what the tests compare with, on these keys:


# %%
def clockwise(key: str, shards: Iterable[str], vnodes: int) -> list[str]:
    """Return the different shards in order of their distance clockwise from a key, looking at every virtual node."""
    distance = {
        (position(f"{shard}#{number}") - position(key)) % RING: shard for shard in shards for number in range(vnodes)
    }
    return list(dict.fromkeys(distance[each] for each in sorted(distance)))


SESSIONS = [f"session {number}" for number in range(400)]


print([clockwise(key, ["a", "b", "c"], vnodes=4) for key in SESSIONS[:3]])

# %% [markdown] exercise hash_ring topic=database-sharding level=senior minutes=20
# ## Exercise: The ring
#
# Write `HashRing(vnodes=128)`, on which sessions are spread over cache servers and copied to others.
#
# * `add(shard, weight=1)` puts `vnodes * weight` virtual nodes of the shard onto the ring, at
#   `position(f"{shard}#{i}")` for i = 0, 1, 2 …. A shard that is there: `ValueError`. `weight` is 1 or more.
# * `remove(shard)` takes all of them off. A shard that isn't there: `LookupError`.
# * `owner(key)` is the shard of the first virtual node clockwise: the one with the smallest position that is **at
#   least** `position(key)`; if there is none, that with the smallest of all. An empty ring: `LookupError`.
# * `replicas(key, copies)` is a list of `copies` *different* shards, in the order in which one meets them clockwise,
#   so that the owner is the first. More copies than shards: `LookupError`. `copies` is 1 or more.
# * An error changes nothing. The answers depend on which shards are on the ring, not on the order in which they came.
# * `owner` makes at most log₂(p) + 2 comparisons of positions, with p the number of virtual nodes on the ring.
#
# ```python
# >>> ring = HashRing(vnodes=4)
# >>> for shard in ("a", "b", "c"):
# ...     ring.add(shard)
# >>> ring.owner("b#2")
# 'b'
# >>> sorted(ring.replicas("session 1", 3))
# ['a', 'b', 'c']
# >>> ring.remove("d")
# Traceback (most recent call last):
# LookupError: there is no shard d
# ```
#
# The wording of the errors is yours. No two virtual nodes in the tests have the same position.


# %% solution hash_ring
class HashRing:
    """Consistent hashing with virtual nodes."""

    def __init__(self, vnodes: int = 128) -> None:
        # BEGIN SOLUTION
        self._vnodes = vnodes
        self._shard: dict[Position, str] = {}
        self._points: list[Position] = []
        # END SOLUTION

    def add(self, shard: str, weight: int = 1) -> None:
        """Put a shard's virtual nodes onto the ring."""
        # BEGIN SOLUTION
        if shard in self._shard.values():
            raise ValueError(f"there is a shard {shard} already")
        for number in range(self._vnodes * weight):
            self._shard[position(f"{shard}#{number}")] = shard
        self._points = sorted(self._shard)
        # END SOLUTION

    def remove(self, shard: str) -> None:
        """Take a shard's virtual nodes off the ring."""
        # BEGIN SOLUTION
        if shard not in self._shard.values():
            raise LookupError(f"there is no shard {shard}")
        self._shard = {point: name for point, name in self._shard.items() if name != shard}
        self._points = sorted(self._shard)
        # END SOLUTION

    def owner(self, key: str) -> str:
        """Return the shard of the first virtual node clockwise from the key."""
        # BEGIN SOLUTION
        return self.replicas(key, 1)[0]
        # END SOLUTION

    def replicas(self, key: str, copies: int) -> list[str]:
        """Return the first `copies` different shards clockwise from the key."""
        # BEGIN SOLUTION
        first = bisect.bisect_left(self._points, position(key))
        found: list[str] = []
        for step in range(len(self._points)):
            shard = self._shard[self._points[(first + step) % len(self._points)]]
            if shard not in found:
                found.append(shard)
            if len(found) == copies:
                return found
        raise LookupError(f"{copies} copies, but there are {len(found)} shards")
        # END SOLUTION


# %% check hash_ring points=2
def ring_of(*shards: str, vnodes: int = 32) -> HashRing:
    """Return a ring with these shards."""
    ring = HashRing(vnodes)
    for shard in shards:
        ring.add(shard)
    return ring


def test_the_owner_is_the_first_virtual_node_clockwise() -> None:
    ring = ring_of("a", "b", "c", vnodes=5)
    expected = [clockwise(key, "abc", 5)[0] for key in SESSIONS]
    assert [ring.owner(key) for key in SESSIONS] == expected, "compared with the distances to all fifteen"


def test_a_shard_that_joins_takes_keys_and_no_others_move() -> None:
    ring = ring_of("a", "b", "c", "d")
    before = {key: ring.owner(key) for key in SESSIONS}
    ring.add("e")
    moved = [key for key in SESSIONS if ring.owner(key) != before[key]]
    assert {ring.owner(key) for key in moved} == {"e"}, "a key that moves, moves to the shard that came"
    assert 40 <= len(moved) <= 130, f"{len(moved)} of 400 keys moved; a fifth are 80"


def test_replicas_are_different_shards_in_order() -> None:
    ring = ring_of("a", "b", "c", "d", vnodes=6)
    expected = [clockwise(key, "abcd", 6)[:3] for key in SESSIONS]
    assert [ring.replicas(key, 3) for key in SESSIONS] == expected, "a copy on the same shard is no copy"


# %% hidden hash_ring points=4
def ring_of(*shards: str, vnodes: int = 32) -> HashRing:
    """Return a ring with these shards."""
    ring = HashRing(vnodes)
    for shard in shards:
        ring.add(shard)
    return ring


def test_after_the_last_virtual_node_comes_the_first() -> None:
    ring = ring_of("a", "b", vnodes=1)
    last = max(position("a#0"), position("b#0"))
    first = "a" if position("a#0") < position("b#0") else "b"
    behind = [key for key in SESSIONS if position(key) > last]
    assert behind, "some keys lie behind both"
    assert {ring.owner(key) for key in behind} == {first}, "the ring is closed"


def test_a_key_at_a_virtual_nodes_place_belongs_to_it() -> None:
    ring = ring_of("a", "b", "c", vnodes=16)
    keys = [f"{shard}#{number}" for shard in "abc" for number in range(16)]
    assert [ring.owner(key) for key in keys] == [key[0] for key in keys], "at least the key's position, so equal too"


def test_the_order_of_joining_does_not_matter() -> None:
    one, other = ring_of("a", "b", "c"), ring_of("c", "a", "b")
    assert [one.replicas(key, 2) for key in SESSIONS] == [other.replicas(key, 2) for key in SESSIONS], (
        "two clients that learn of the shards in another order must agree"
    )


def test_a_shard_that_leaves_gives_its_keys_to_their_next_replica() -> None:
    ring = ring_of("a", "b", "c", "d")
    before = {key: ring.replicas(key, 2) for key in SESSIONS}
    ring.remove("b")
    for key, (owner, second) in before.items():
        assert ring.owner(key) == (second if owner == "b" else owner), "whoever has the copy takes over"


def test_a_shard_may_come_back() -> None:
    ring = ring_of("a", "b", "c")
    before = [ring.owner(key) for key in SESSIONS]
    ring.remove("a")
    ring.add("a")
    assert [ring.owner(key) for key in SESSIONS] == before, "the ring is a function of the names on it"


def test_weight_multiplies_the_virtual_nodes() -> None:
    ring = HashRing(vnodes=4)
    ring.add("a")
    ring.add("b", weight=3)
    keys = [f"b#{number}" for number in range(12)]
    assert [ring.owner(key) for key in keys] == ["b"] * 12, "12 virtual nodes, number 0 to 11"
    distance = {(position(f"b#{n}") - position("b#12")) % RING: "b" for n in range(12)}
    distance |= {(position(f"a#{n}") - position("b#12")) % RING: "a" for n in range(4)}
    assert ring.owner("b#12") == distance[min(distance)], "there is no number 12"


def test_a_ring_has_128_virtual_nodes_for_each_shard_by_default() -> None:
    ring = HashRing()
    ring.add("a")
    ring.add("b")
    keys = [*(f"{shard}#{number}" for shard in "ab" for number in range(140)), *SESSIONS]
    assert [ring.owner(key) for key in keys] == [clockwise(key, "ab", 128)[0] for key in keys], "vnodes=128, weight=1"


def test_every_number_of_copies_up_to_all_shards() -> None:
    ring = ring_of("a", "b", "c", vnodes=3)
    for copies in (1, 2, 3):
        assert ring.replicas("k", copies) == clockwise("k", "abc", 3)[:copies], f"{copies} copies"


def test_a_copy_on_each_of_many_small_shards() -> None:
    ring = ring_of(*"abcde", vnodes=1)
    assert ring.replicas("k", 5) == clockwise("k", "abcde", 1), "once around the ring, the last virtual node included"


def test_a_shard_alone_has_all_keys() -> None:
    assert {ring_of("a").owner(key) for key in SESSIONS} == {"a"}, "there is nobody else"


def test_more_copies_than_shards_are_refused() -> None:
    ring = ring_of("a", "b")
    with pytest.raises(LookupError):
        ring.replicas("k", 3)
    assert len(ring.replicas("k", 2)) == 2, "and the ring still answers"


def test_an_empty_ring_has_no_owner() -> None:
    ring = HashRing()
    with pytest.raises(LookupError):
        ring.owner("k")
    ring.add("a")
    ring.remove("a")
    with pytest.raises(LookupError):
        ring.owner("k")


def test_a_shard_joins_once() -> None:
    ring = ring_of("a", "b")
    before = [ring.owner(key) for key in SESSIONS]
    with pytest.raises(ValueError):  # noqa: PT011
        ring.add("a", weight=5)
    assert [ring.owner(key) for key in SESSIONS] == before, "a refused shard changes nothing"


def test_a_stranger_can_not_leave() -> None:
    ring = ring_of("a", "b")
    with pytest.raises(LookupError):
        ring.remove("c")
    assert ring.replicas("k", 2) == clockwise("k", "ab", 32)[:2], "and nothing has changed"


def test_a_lookup_costs_the_logarithm_of_the_virtual_nodes() -> None:
    ring = ring_of(*"abcdefgh", vnodes=64)
    allowed = math.log2(8 * 64) + 2
    worst = max(comparisons(lambda key=key: ring.owner(key)) for key in SESSIONS[:50])  # type: ignore[misc]
    assert worst <= allowed, f"{worst} comparisons for 512 virtual nodes; {allowed:.0f} are allowed"


# %% wrong hash_ring fails=test_after_the_last_virtual_node_comes_the_first
# "Behind the last comes nobody, so the last keeps it": that is a line, and not a ring.
class HashRing:
    """Consistent hashing with virtual nodes."""

    def __init__(self, vnodes: int = 128) -> None:
        self.vnodes = vnodes
        self.points: list[tuple[Position, str]] = []

    def add(self, shard: str, weight: int = 1) -> None:
        if shard in {name for _, name in self.points}:
            raise ValueError(shard)
        self.points += [(position(f"{shard}#{number}"), shard) for number in range(self.vnodes * weight)]
        self.points.sort()

    def remove(self, shard: str) -> None:
        if shard not in {name for _, name in self.points}:
            raise LookupError(shard)
        self.points = [each for each in self.points if each[1] != shard]

    def owner(self, key: str) -> str:
        return self.replicas(key, 1)[0]

    def replicas(self, key: str, copies: int) -> list[str]:
        first = bisect.bisect_left(self.points, (position(key), ""))
        first = min(first, len(self.points) - 1)
        names = dict.fromkeys(name for _, name in self.points[first:] + self.points[:first])
        if len(names) < copies:
            raise LookupError(key)
        return list(names)[:copies]


# %% wrong hash_ring fails=test_replicas_are_different_shards_in_order
# "The next three points are the three copies": virtual nodes of the same shard are often neighbours.
class HashRing:
    """Consistent hashing with virtual nodes."""

    def __init__(self, vnodes: int = 128) -> None:
        self.vnodes = vnodes
        self.points: list[tuple[Position, str]] = []

    def add(self, shard: str, weight: int = 1) -> None:
        if shard in {name for _, name in self.points}:
            raise ValueError(shard)
        self.points += [(position(f"{shard}#{number}"), shard) for number in range(self.vnodes * weight)]
        self.points.sort()

    def remove(self, shard: str) -> None:
        if shard not in {name for _, name in self.points}:
            raise LookupError(shard)
        self.points = [each for each in self.points if each[1] != shard]

    def owner(self, key: str) -> str:
        return self.replicas(key, 1)[0]

    def replicas(self, key: str, copies: int) -> list[str]:
        if len({name for _, name in self.points}) < copies:
            raise LookupError(key)
        first = bisect.bisect_left(self.points, (position(key), ""))
        return [self.points[(first + step) % len(self.points)][1] for step in range(copies)]


# %% wrong hash_ring fails=test_a_lookup_costs_the_logarithm_of_the_virtual_nodes
# "The smallest distance wins": right, and it looks at every virtual node for every request.
class HashRing:
    """Consistent hashing with virtual nodes."""

    def __init__(self, vnodes: int = 128) -> None:
        self.vnodes = vnodes
        self.shards: dict[str, int] = {}

    def add(self, shard: str, weight: int = 1) -> None:
        if shard in self.shards:
            raise ValueError(shard)
        self.shards[shard] = weight

    def remove(self, shard: str) -> None:
        if shard not in self.shards:
            raise LookupError(shard)
        del self.shards[shard]

    def owner(self, key: str) -> str:
        return self.replicas(key, 1)[0]

    def replicas(self, key: str, copies: int) -> list[str]:
        if len(self.shards) < copies:
            raise LookupError(key)
        points = [
            (Position((position(f"{shard}#{number}") - position(key)) % RING), shard)
            for shard, weight in self.shards.items()
            for number in range(self.vnodes * weight)
        ]
        return list(dict.fromkeys(shard for _, shard in sorted(points)))[:copies]


# %% right hash_ring
class HashRing:
    """Consistent hashing with virtual nodes."""

    def __init__(self, vnodes: int = 128) -> None:
        self.vnodes = vnodes
        self.shards: set[str] = set()
        self.points: list[tuple[Position, str]] = []

    def add(self, shard: str, weight: int = 1) -> None:
        if shard in self.shards:
            raise ValueError(f"{shard} is on the ring")
        self.shards.add(shard)
        for number in range(self.vnodes * weight):
            bisect.insort(self.points, (position(f"{shard}#{number}"), shard))

    def remove(self, shard: str) -> None:
        if shard not in self.shards:
            raise LookupError(f"{shard} isn't on the ring")
        self.shards.remove(shard)
        self.points = [each for each in self.points if each[1] != shard]

    def owner(self, key: str) -> str:
        if not self.points:
            raise LookupError("nobody is on the ring")
        first = bisect.bisect_left(self.points, position(key), key=lambda each: each[0])
        return self.points[first if first < len(self.points) else 0][1]

    def replicas(self, key: str, copies: int) -> list[str]:
        if copies > len(self.shards):
            raise LookupError("more copies than shards")
        first = bisect.bisect_left(self.points, position(key), key=lambda each: each[0])
        names: Iterator[str] = (name for _, name in itertools.chain(self.points[first:], self.points[:first]))
        return list(itertools.islice(dict.fromkeys(names), copies))


# %% [markdown] hint hash_ring
# Which data structure finds the smallest of many sorted numbers that is at least x, with log₂ n comparisons? What
# does it answer if all are smaller, and how does that become a ring?

# %% [markdown] hint hash_ring
# Keep a sorted list of positions and a dict from position to shard. `bisect_left` gives the index of the first that
# is at least the key's; the rest is walking on from there, modulo the length, and collecting shards that are new.

# %% [markdown] hint hash_ring
# `first = bisect_left(points, position(key))`; `for step in range(len(points))`: the shard at
# `points[(first + step) % len(points)]` goes into `found` unless it is there; return when `len(found) == copies`;
# after the loop raise `LookupError`. `owner` is `replicas(key, 1)[0]`.

# %% [markdown] after hash_ring
# **Why.** A position depends on one name only, so no other shard's points move when one comes or goes: that is the
# whole of "consistent". `bisect_left` and not `bisect_right`, because of "at least"; the modulo closes the ring. And
# the shard that takes over when the owner is gone is the one with the second copy: the ring makes failover and
# placement the same rule.
#
# **What it costs.** A join sorts p points: rare, so it doesn't matter. A lookup is ten comparisons for 1,000 points.
# The spread is the weak side: with 128 virtual nodes and eight shards the fullest has some 10 to 20 % more than its
# share. *Bounded loads* mend it: a shard that has more than 1.25 times the average passes the key on clockwise.
#
# **Ring, slots or rendezvous?** A ring where clients come and go and nobody keeps a table (caches, Dynamo,
# Cassandra). Slots where data is valuable and movements are planned, one by one. Rendezvous up to some tens of
# shards: no virtual nodes, an even spread, replicas are the runners-up.
#
# **The interviewer goes on**: *A cache server joins: what do users see? (Misses for 1/n of the keys, at once: warm
# it, or ask the old owner first.) Two clients disagree about who is on the ring? (Both write, to different shards:
# the view has to be agreed on, by gossip with versions or by a coordinator; for a cache let it expire.) Does a ring
# help against a hot key? (No.)*

# %% [markdown]
# ## Resharding, counted
#
# If the strategy is good, what moves is what the new shard gets. What that means for 8 shards with 500 GB each, if no
# shard may send or take in more than 20 MB/s, so that users notice nothing:

# %%
sample = [f"order {number}" for number in range(5_000)]


def part_moved(before: Callable[[str], object], after: Callable[[str], object]) -> float:
    """Return which part of the sample changes its shard."""
    return sum(before(key) != after(key) for key in sample) / len(sample)


def rendezvous(shards: int) -> Callable[[str], object]:
    """Return the lookup of the shard whose hash together with the key is highest."""
    return lambda key: max(range(shards), key=lambda shard: stable(f"{shard} {key}"))


names = [f"db{number}" for number in range(9)]
moves = {  # the part that moves, and how many shards send and take in
    "modulo, 8 to 9": (part_moved(lambda key: stable(key) % 8, lambda key: stable(key) % 9), 8, 9),
    "rendezvous, 8 to 9": (part_moved(rendezvous(8), rendezvous(9)), 8, 1),
    "ring of 128, 8 to 9": (shares(names, 128)["db8"], 8, 1),
    "1,024 slots, 8 to 9": ((1024 // 9) / 1024, 8, 1),
    "modulo, 8 to 16": (part_moved(lambda key: stable(key) % 8, lambda key: stable(key) % 16), 8, 8),
    "split one range": (0.5 / 8, 1, 1),
}
print(f"{'':22}{'moved':>8}{'copied':>12}{'from':>6}{'to':>4}{'hours':>7}")
for name, (part, sources, targets) in moves.items():
    hours = part * 4_000_000 / (20 * min(sources, targets)) / 3_600
    print(f"{name:22}{part:8.1%}{part * 4_000:9,.0f} GB{sources:6}{targets:4}{hours:7.1f}")

# %% [markdown]
# The hours hardly differ: one new shard is limited by what it can take in, and with modulo all shards copy at once.
# What differs is what is disturbed: modulo reads, writes and deletes eight times as much, on every shard, with no
# cache warm afterwards; and it can't be done in steps, since all keys change their rule at the same moment.
#
# Hours, in which people write. So a move is a protocol, for each slot, range or tenant, and each of its steps can be
# taken back up to the last:
#
# 1. **Copy** a snapshot of the slot in the background, throttled, and note the position in the log.
# 2. **Catch up**: apply the changes since (logical replication, change data capture). Or **write twice**, to the old
#    and the new place; then an error of the second write has to be noted and mended, or the copies drift apart.
# 3. **Verify**: counts and checksums by chunk; read from both and compare (*shadow reads*).
# 4. **Switch**: block writes for the slot for a moment, apply the rest, publish the table's next version. A router
#    with the old version is refused and fetches the new one; that is what makes the switch safe, not its speed.
# 5. **Clean up** after days, not minutes: the old copy is the way back.
#
# How many shards, then? Size by each resource, take the largest, leave headroom, and think of the day when one is
# gone: 4 TB and growth to 8 TB in two years, at most 1 TB a shard (what can be restored in the time that is allowed),
# gives 8; 30,000 writes a second at peak, with 5,000 that a primary can take and of which 60 % are planned for, gives
# 10. So 10 servers, and slots enough to go to 40. If the result is below two, don't shard: the second server costs more
# than all that follow, in code.
#
# ## Ranges
#
# Range partitioning keeps keys in order: a table of bounds, half-open ranges, and `bisect` finds the range of a key.
# A scan from `low` to `high` asks only the shards in between. A range that becomes large or hot is **split**, and one
# half is given to another shard; only that half moves. Two that have become cold are merged. CockroachDB, TiDB, HBase
# and MongoDB do this by themselves, by size and by load.
#
# **Where** to split is the question. In the middle of the bounds is wrong if keys aren't spread evenly; at the median
# of the rows is wrong if rows aren't equally busy; at the median of the *load* is right. And a range whose load is a
# single key can't be mended by splitting. For a key that grows with time no split helps for long: the hot half is the
# last one again. Put something in front of it (a hash of the tenant, a bucket of 0 to 15), and pay with 16 scans.

# %%
hot_keys = Counter(int(chance.paretovariate(1.2) * 40) for _ in range(5_000))
within = {key: count for key, count in hot_keys.items() if key < 1_000}
total = sum(within.values())
by_load = itertools.accumulate(within[key] for key in sorted(within))
middle = next(key for key, load in zip(sorted(within), by_load, strict=True) if load > total / 2)
for label, at in (
    ("middle of the bounds", 500),
    ("median of the keys", sorted(within)[len(within) // 2]),
    ("median of the load", middle),
):
    right = sum(count for key, count in within.items() if key >= at)
    print(f"{label:22} at {at:3}: {1 - right / total:6.1%} of the load stays, {right / total:6.1%} goes")

# %% [markdown] exercise range_map topic=database-sharding level=senior minutes=20
# ## Exercise: Split what is hot
#
# Customers have numbers (whole, from 0 on; there is no largest). Write `RangeMap(shard)`: who has which customers. In
# the beginning one shard has all.
#
# * `route(key)` is the shard of a customer. A range includes its start and not its end, which is the start of the
#   next. It makes at most log₂(r) + 2 comparisons of keys, with r the number of ranges.
# * `split(at, shard)` cuts the range in which `at` lies: from `at` to the range's end belongs to `shard` now. If a
#   range starts at `at` already (0 included): `ValueError`, and nothing has changed. A shard may have several ranges.
# * `scan(low, high)` says whom to ask for the keys from `low` (included) to `high` (not included): a list of
#   `Piece(start, end, shard)`, ascending, without gaps, together exactly the keys asked for. Neighbours on the same
#   shard are **one** piece, so that nobody is asked twice in a row. `[]` if `low >= high`.
# * `split_hot(hits, shard)` gets the number of accesses by key (each 1 or more). The **hottest** range is the one
#   with the most accesses, the lowest of those with equally many; neighbours on the same shard are two ranges. It is
#   split, as by `split`, at one of the keys in `hits`, so that the busier half has as few accesses as possible; of
#   several such keys, at the lowest. That key is returned. If the hottest range has only one key with accesses, or
#   `hits` is empty: None, and nothing has changed.
#
# ```python
# >>> customers = RangeMap("a")
# >>> customers.split(100, "b")
# >>> customers.route(99), customers.route(100)
# ('a', 'b')
# >>> customers.scan(50, 120)
# [Piece(start=50, end=100, shard='a'), Piece(start=100, end=120, shard='b')]
# >>> customers.split_hot({5: 1, 150: 3, 160: 1, 170: 2}, "c")
# 160
# >>> customers.split(160, "d")
# Traceback (most recent call last):
# ValueError: a range starts at 160 already
# ```


# %%
class Piece(NamedTuple):
    """Keys from `start` on, up to and not including `end`, on one shard."""

    start: int
    end: int
    shard: str


# %% solution range_map
class RangeMap:
    """Which shard has which range of keys."""

    def __init__(self, shard: str) -> None:
        # BEGIN SOLUTION
        self._starts = [0]
        self._shards = [shard]
        # END SOLUTION

    def route(self, key: int) -> str:
        """Return the shard of a key."""
        # BEGIN SOLUTION
        return self._shards[bisect.bisect_right(self._starts, key) - 1]
        # END SOLUTION

    def split(self, at: int, shard: str) -> None:
        """Cut the range around `at`; what begins there belongs to `shard`."""
        # BEGIN SOLUTION
        if at in self._starts:
            raise ValueError(f"a range starts at {at} already")
        index = bisect.bisect_right(self._starts, at)
        self._starts.insert(index, at)
        self._shards.insert(index, shard)
        # END SOLUTION

    def scan(self, low: int, high: int) -> list[Piece]:
        """Return whom to ask for the keys from `low` up to and not including `high`."""
        # BEGIN SOLUTION
        pieces: list[Piece] = []
        bounds = [*self._starts, high]
        for index, shard in enumerate(self._shards):
            piece = Piece(max(bounds[index], low), min(bounds[index + 1], high), shard)
            if piece.start < piece.end:
                if pieces and pieces[-1].shard == shard:
                    piece = Piece(pieces.pop().start, piece.end, shard)
                pieces.append(piece)
        return pieces
        # END SOLUTION

    def split_hot(self, hits: Mapping[int, int], shard: str) -> int | None:
        """Split the hottest range where its load is halved; return where, or None if that can't be done."""
        # BEGIN SOLUTION
        ranges: defaultdict[int, list[int]] = defaultdict(list)
        for key in sorted(hits):
            ranges[bisect.bisect_right(self._starts, key)].append(key)
        keys = max(ranges.values(), key=lambda keys: sum(hits[key] for key in keys), default=[])
        loads = list(itertools.accumulate(hits[key] for key in keys))
        busier = {key: max(loads[index], loads[-1] - loads[index]) for index, key in enumerate(keys[1:])}
        at = min(busier, key=busier.__getitem__, default=None)
        if at is not None:
            self.split(at, shard)
        return at
        # END SOLUTION


# %% check range_map points=2
def split_at(*bounds: int) -> RangeMap:
    """Return a map with a range for each letter: a from 0, b from the first bound, and so on."""
    ranges = RangeMap("a")
    for bound, shard in zip(bounds, "bcdefghijklmnopqrstuvwxyz", strict=False):
        ranges.split(bound, shard)
    return ranges


def test_a_bound_belongs_to_the_range_that_starts_there() -> None:
    ranges = split_at(100, 200)
    keys = (0, 99, 100, 199, 200, 10**9)
    assert [ranges.route(key) for key in keys] == ["a", "a", "b", "b", "c", "c"], "half-open: start in, end out"


def test_a_scan_asks_only_the_shards_between() -> None:
    pieces = split_at(100, 200, 300).scan(150, 250)
    assert pieces == [Piece(150, 200, "b"), Piece(200, 250, "c")], "cut to the keys asked for; a and d aren't asked"


def test_the_hottest_range_is_split_by_its_load() -> None:
    ranges = split_at(100)
    at = ranges.split_hot({10: 5, 110: 40, 120: 30, 500: 5, 900: 5}, "z")
    assert at == 120, "40 stay and 40 go"
    assert [ranges.route(key) for key in (10, 119, 120, 900)] == ["a", "b", "z", "z"], "from 120 on"


# %% hidden range_map points=4
def split_at(*bounds: int) -> RangeMap:
    """Return a map with a range for each letter: a from 0, b from the first bound, and so on."""
    ranges = RangeMap("a")
    for bound, shard in zip(bounds, "bcdefghijklmnopqrstuvwxyz", strict=False):
        ranges.split(bound, shard)
    return ranges


def test_one_shard_has_all_at_first() -> None:
    ranges = RangeMap("only")
    assert [ranges.route(0), ranges.route(10**12)] == ["only", "only"], "there is one range"
    assert ranges.scan(5, 9) == [Piece(5, 9, "only")], "one piece"


def test_splits_in_any_order_give_the_same_map() -> None:
    ranges = RangeMap("a")
    for at, shard in ((300, "d"), (100, "b"), (200, "c")):
        ranges.split(at, shard)
    assert [ranges.route(key) for key in (50, 150, 250, 350)] == ["a", "b", "c", "d"], "a split cuts the range it is in"


def test_a_range_starts_once() -> None:
    ranges = split_at(100)
    for at in (0, 100):
        with pytest.raises(ValueError):  # noqa: PT011
            ranges.split(at, "z")
    assert ranges.scan(0, 200) == [Piece(0, 100, "a"), Piece(100, 200, "b")], "a refused split changes nothing"


def test_a_range_of_one_key_may_be_cut_out() -> None:
    ranges = RangeMap("a")
    ranges.split(7, "giant")
    ranges.split(8, "a")
    assert [ranges.route(key) for key in (6, 7, 8)] == ["a", "giant", "a"], "one customer with a shard of its own"


def test_a_scan_ends_before_a_bound_that_it_reaches() -> None:
    ranges = split_at(100, 200)
    assert ranges.scan(100, 200) == [Piece(100, 200, "b")], "neither a nor c has a key of these"
    assert ranges.scan(99, 201) == [Piece(99, 100, "a"), Piece(100, 200, "b"), Piece(200, 201, "c")], "one key each"


def test_a_scan_of_nothing_asks_nobody() -> None:
    ranges = split_at(100)
    assert [ranges.scan(*bounds) for bounds in ((50, 50), (120, 80), (100, 100))] == [[], [], []], "low >= high"


def test_neighbours_on_one_shard_are_asked_once() -> None:
    ranges = RangeMap("a")
    for at, shard in ((100, "a"), (200, "a"), (300, "b"), (400, "a"), (500, "a")):
        ranges.split(at, shard)
    expected = [Piece(50, 300, "a"), Piece(300, 400, "b"), Piece(400, 600, "a")]
    assert ranges.scan(50, 600) == expected, "three requests, not six; and a twice, since b lies between"


def test_a_scan_agrees_with_routing_each_key() -> None:
    ranges = split_at(3, 5, 6, 11, 17)
    ranges.split(13, "a")
    ranges.split(4, "b")
    for low in range(20):
        for high in range(low, 22):
            spread = [(key, piece.shard) for piece in ranges.scan(low, high) for key in range(piece.start, piece.end)]
            assert spread == [(key, ranges.route(key)) for key in range(low, high)], f"keys {low} to {high}"


def test_the_hottest_range_is_that_with_the_most_accesses() -> None:
    ranges = split_at(100, 200)
    at = ranges.split_hot({1: 3, 2: 3, 3: 3, 150: 6, 160: 5, 250: 10}, "z")
    assert at == 160, "11 accesses to b, though a has more keys and c the busiest key"


def test_of_equally_hot_ranges_the_lowest_is_split() -> None:
    assert split_at(100).split_hot({150: 2, 160: 2, 10: 1, 20: 3}, "z") == 20, "4 accesses each"


def test_of_equally_good_keys_the_lowest_is_taken() -> None:
    ranges = RangeMap("a")
    assert ranges.split_hot({10: 3, 20: 2, 30: 3}, "z") == 20, "5 for the busier half, at 20 as at 30"


def test_a_heavy_key_at_either_end_is_cut_off() -> None:
    assert RangeMap("a").split_hot({10: 90, 20: 1, 30: 1}, "z") == 20, "90 and 2 are better than 91 and 1"
    assert RangeMap("a").split_hot({10: 1, 20: 1, 30: 90}, "z") == 30, "2 and 90 are better than 1 and 91"


def test_hits_may_come_in_any_order() -> None:
    assert RangeMap("a").split_hot({40: 1, 10: 1, 30: 1, 20: 1}, "z") == 30, "two keys for each half"


def test_one_hot_key_can_not_be_split() -> None:
    ranges = split_at(100)
    assert ranges.split_hot({10: 1, 20: 1, 150: 99}, "z") is None, "key 150 is the load of its range"
    assert ranges.split_hot({}, "z") is None, "no load, nothing to do"
    assert ranges.scan(0, 300) == [Piece(0, 100, "a"), Piece(100, 300, "b")], "and nothing has changed"


def test_the_load_may_be_split_again_and_again() -> None:
    ranges = RangeMap("a")
    hits = dict.fromkeys(range(1, 9), 1)
    assert [ranges.split_hot(hits, shard) for shard in "bcd"] == [5, 3, 7], "halves, then quarters"


def test_routing_costs_the_logarithm_of_the_ranges() -> None:
    ranges = RangeMap("a")
    for number in range(1, 512):
        ranges.split(Position(number * 10), f"s{number}")
    worst = max(comparisons(lambda key=key: ranges.route(Position(key))) for key in range(0, 5_200, 65))  # type: ignore[misc]
    assert worst <= math.log2(512) + 2, f"{worst} comparisons for 512 ranges"


# %% wrong range_map fails=test_a_bound_belongs_to_the_range_that_starts_there
# "bisect is bisect": bisect_left puts a key that equals a bound into the range before.
class RangeMap:
    """Which shard has which range of keys."""

    def __init__(self, shard: str) -> None:
        self.starts = [0]
        self.shards = [shard]

    def route(self, key: int) -> str:
        return self.shards[max(bisect.bisect_left(self.starts, key) - 1, 0)]

    def split(self, at: int, shard: str) -> None:
        index = bisect.bisect_left(self.starts, at)
        if self.starts[index : index + 1] == [at]:
            raise ValueError(at)
        self.starts.insert(index, at)
        self.shards.insert(index, shard)

    def scan(self, low: int, high: int) -> list[Piece]:
        pieces: list[Piece] = []
        for start, end, shard in zip(self.starts, [*self.starts[1:], high], self.shards, strict=True):
            piece = Piece(max(start, low), min(end, high), shard)
            if piece.start < piece.end:
                if pieces and pieces[-1].shard == shard:
                    piece = Piece(pieces.pop().start, piece.end, shard)
                pieces.append(piece)
        return pieces

    def split_hot(self, hits: Mapping[int, int], shard: str) -> int | None:
        return None


# %% wrong range_map fails=test_a_scan_asks_only_the_shards_between
# "A scan asks everybody": then the order of the keys has bought nothing.
class RangeMap:
    """Which shard has which range of keys."""

    def __init__(self, shard: str) -> None:
        self.starts = [0]
        self.shards = [shard]

    def route(self, key: int) -> str:
        return self.shards[bisect.bisect_right(self.starts, key) - 1]

    def split(self, at: int, shard: str) -> None:
        if at in self.starts:
            raise ValueError(at)
        index = bisect.bisect_right(self.starts, at)
        self.starts.insert(index, at)
        self.shards.insert(index, shard)

    def scan(self, low: int, high: int) -> list[Piece]:
        return [Piece(low, high, shard) for shard in dict.fromkeys(self.shards)] if low < high else []

    def split_hot(self, hits: Mapping[int, int], shard: str) -> int | None:
        return None


# %% wrong range_map fails=test_the_hottest_range_is_split_by_its_load
# "Half the keys are half the load": they aren't, where some keys are busier than others.
class RangeMap:
    """Which shard has which range of keys."""

    def __init__(self, shard: str) -> None:
        self.starts = [0]
        self.shards = [shard]

    def route(self, key: int) -> str:
        return self.shards[bisect.bisect_right(self.starts, key) - 1]

    def split(self, at: int, shard: str) -> None:
        if at in self.starts:
            raise ValueError(at)
        index = bisect.bisect_right(self.starts, at)
        self.starts.insert(index, at)
        self.shards.insert(index, shard)

    def scan(self, low: int, high: int) -> list[Piece]:
        pieces: list[Piece] = []
        for start, end, shard in zip(self.starts, [*self.starts[1:], high], self.shards, strict=True):
            piece = Piece(max(start, low), min(end, high), shard)
            if piece.start < piece.end:
                if pieces and pieces[-1].shard == shard:
                    piece = Piece(pieces.pop().start, piece.end, shard)
                pieces.append(piece)
        return pieces

    def split_hot(self, hits: Mapping[int, int], shard: str) -> int | None:
        ranges: defaultdict[int, list[int]] = defaultdict(list)
        for key in sorted(hits):
            ranges[bisect.bisect_right(self.starts, key)].append(key)
        keys = max(ranges.values(), key=lambda keys: sum(hits[key] for key in keys), default=[])
        if len(keys) < 2:
            return None
        at = keys[len(keys) // 2]
        self.split(at, shard)
        return at


# %% right range_map
class RangeMap:
    """Which shard has which range of keys."""

    def __init__(self, shard: str) -> None:
        self.ranges: list[tuple[int, str]] = [(0, shard)]

    def index(self, key: int) -> int:
        return bisect.bisect_right(self.ranges, key, key=lambda each: each[0]) - 1

    def route(self, key: int) -> str:
        return self.ranges[self.index(key)][1]

    def split(self, at: int, shard: str) -> None:
        index = self.index(at)
        if self.ranges[index][0] == at:
            raise ValueError(f"a range starts at {at}")
        self.ranges.insert(index + 1, (at, shard))

    def scan(self, low: int, high: int) -> list[Piece]:
        pieces: list[Piece] = []
        while low < high:
            index = self.index(low)
            shard = self.ranges[index][1]
            while index < len(self.ranges) and self.ranges[index][1] == shard:
                index += 1
            end = min(high, self.ranges[index][0]) if index < len(self.ranges) else high
            pieces.append(Piece(low, end, shard))
            low = end
        return pieces

    def split_hot(self, hits: Mapping[int, int], shard: str) -> int | None:
        loads: Counter[int] = Counter()
        for key, count in hits.items():
            loads[self.index(key)] += count
        if not loads:
            return None
        hottest = min(loads, key=lambda index: (-loads[index], index))
        keys = sorted(key for key in hits if self.index(key) == hottest)
        best: tuple[int, int] | None = None
        left = 0
        for before, at in itertools.pairwise(keys):
            left += hits[before]
            busier = max(left, loads[hottest] - left)
            if best is None or busier < best[0]:
                best = (busier, at)
        if best is None:
            return None
        self.split(best[1], shard)
        return best[1]


# %% [markdown] hint range_map
# Two parallel lists, the starts in order and the shards. Which of `bisect_left` and `bisect_right` puts a key that
# equals a start into the range that begins there?

# %% [markdown] hint range_map
# A scan: for each range the overlap `max(start, low)` to `min(end, high)`, dropped if it is empty, joined to the
# piece before if that has the same shard. For `split_hot` sort the keys with accesses, group them by range, take the
# heaviest group; then running sums give the load to the left of each key.

# %% [markdown] hint range_map
# In the heaviest group: `loads = list(accumulate(hits[key] for key in keys))`. Splitting at `keys[i]` leaves `loads[i
# - 1]` and moves `loads[-1] - loads[i - 1]`, so pair `keys[1:]` with `loads` and take the key whose larger half is
# smallest. `min` and `max` both keep the first of equals, so go through ranges and keys in order.

# %% [markdown] after range_map
# **Why.** Half-open ranges that share their bounds can't overlap and leave no gap: one number for each bound says
# all, and `bisect_right − 1` is "the last range that starts at or before the key". The first key of the hot range is
# never a candidate: it would move everything and leave an empty half.
#
# **What it costs.** `route` is log₂ r; `scan` here looks at all ranges, and could begin at `bisect` of `low`. A split
# moves half a range and *edits one entry*; compare modulo's 89 % above. The map is data that all have to agree on: a
# version in it, a shard that refuses what isn't its own, clients that cache and refetch.
#
# **In production** loads are measured over a window, and a split waits until the range has been hot for some time:
# otherwise each spike cuts the map into crumbs, and each crumb costs (heartbeats, replicas, scans in more pieces).
# Merging has its threshold well below that of splitting, so that nothing is split and merged in turn.
#
# **The interviewer goes on**: *The key is a time stamp: what happens? (All inserts go to the last range; splits come
# too late for ever. Prefix with a bucket.) A new table is filled by ten workers, and one shard is busy: why? (A new
# table is one range: pre-split it.) `split_hot` gave None: now what? (The key is the problem: cache it, salt it, or
# give the customer a shard alone.)*

# %% [markdown]
# ## Queries without the shard key
#
# They go to every shard (**scatter**) and the answers are put together (**gather**). What goes wrong, in order of how
# often interviewers ask:
#
# * **The slowest answers last.** If one request in a hundred is slow, then of those that ask n shards `1 − 0.99ⁿ`
#   are.
# * **Load doesn't shrink with more shards**: each such query costs work on all of them. Twice the shards, twice the
#   work.
# * **Pagination**: `OFFSET 1000 LIMIT 10` can't be sent to the shards as it is. Each has to give its first 1,010,
#   since they might all be on one. With a **cursor** (keyset: "before this row") each gives at most a page.
# * **Aggregates**: sums and counts add up, averages don't (send sum and count), distinct counts don't (send sets or
#   sketches), medians don't. The top k of the top k is right only if each key's rows are on one shard:

# %%
print(f"{'shards':>7}{'slow, if 1 % are':>18}{'rows for OFFSET 1000 LIMIT 10':>31}{'with a cursor':>15}")
for count in (1, 4, 16, 64):
    print(f"{count:7}{1 - 0.99**count:18.0%}{count * 1_010:31,}{count * 10:15,}")

sales = [
    Counter({"acme": 90, "globex": 60, "initech": 50}),
    Counter({"hooli": 80, "umbrella": 70, "initech": 55}),
]
local: Counter[str] = sum((Counter(dict(shard.most_common(2))) for shard in sales), Counter())
print("\ntop 2 of each shard's top 2:", local.most_common(2))
print("top 2 in truth             :", sum(sales, Counter[str]()).most_common(2))

# %% [markdown]
# `initech` is third everywhere and first in all. Either shard by what is ranked, or let each shard send all its sums,
# or accept an estimate and say so.
#
# **Writes across shards** are worse. A transaction over two needs two-phase commit (`PREPARE TRANSACTION`): locks are
# held for two round trips, and if the coordinator dies in between, until somebody decides by hand. The alternatives:
# a key that keeps the transaction on one shard; or a saga, steps with a compensation each and no isolation between. A
# unique constraint and a foreign key hold only within a shard, unless they include the key.
#
# The shards of the last exercise have an index on `(created, number)`, which answers one kind of query, and count:


# %%
class Order(NamedTuple):
    """An order: second of creation, number (unique over all shards), tenant."""

    created: int
    number: int
    tenant: str


@dataclass
class OrderShard:
    """A shard's orders, and how often and for how many rows it was asked."""

    orders: Sequence[Order]
    calls: int = 0
    rows: int = 0
    limits: list[int] = field(default_factory=list)

    def newest(self, limit: int, before: tuple[int, int] | None = None) -> list[Order]:
        """SELECT … WHERE (created, number) < before ORDER BY created DESC, number DESC LIMIT limit."""
        matching = (row for row in sorted(self.orders, reverse=True) if before is None or row[:2] < before)
        found = list(itertools.islice(matching, limit))
        self.calls += 1
        self.rows += len(found)
        self.limits.append(limit)
        return found


def all_newest(shards: Sequence[OrderShard]) -> list[Order]:
    """Return all orders of all shards, the newest first, without asking the shards."""
    return sorted((order for shard in shards for order in shard.orders), reverse=True)


def order_shards(count: int, orders: int, seed: int) -> list[OrderShard]:
    """Return shards with random orders, many of them in the same second."""
    chance = random.Random(seed)
    shards: list[list[Order]] = [[] for _ in range(count)]
    for number in range(orders):
        shards[chance.randrange(count)].append(Order(chance.randrange(orders // 3 + 1), number, "acme"))
    return [OrderShard(rows) for rows in shards]


for shard in (OrderShard([Order(7, 1, "acme"), Order(7, 2, "acme"), Order(3, 3, "globex")]),):
    print(shard.newest(2), shard.newest(2, before=(7, 2)), shard.calls, shard.rows, sep="\n")

# %% [markdown] exercise newest_page topic=database-sharding level=senior minutes=20
# ## Exercise: A page out of all shards
#
# The back office lists the newest orders of all tenants, page by page. Sixteen shards with 100 rows to each page:
# today each sends 100, and 1,500 of 1,600 rows are thrown away. Write `newest_page(shards, size, before=None)`:
#
# * It returns the `size` newest orders of all shards, as one list: descending by `(created, number)`. Fewer, if there
#   are no more. With `before=(created, number)` only orders **below** that pair count: the caller passes the pair of
#   the last row it has seen.
# * Shards are asked by `newest(limit, before)` and in no other way, with the limit `size // n + 1` each time, for n
#   shards.
# * A shard is asked again (for what comes after its last row) only if **all** rows that it has sent are on the page,
#   the page isn't full, and its last answer had as many rows as the limit; a shorter one was its last. So the shards
#   together send at most `size + n * limit` rows.
# * `size` below 1 is a `ValueError`, and nobody is asked. Without shards the page is empty.
#
# ```python
# >>> one = OrderShard([Order(9, 1, "acme"), Order(5, 4, "acme")])
# >>> two = OrderShard([Order(9, 2, "globex"), Order(4, 3, "globex")])
# >>> [order.number for order in newest_page([one, two], 3)]
# [2, 1, 4]
# >>> [order.number for order in newest_page([one, two], 3, before=(9, 2))]
# [1, 4, 3]
# >>> newest_page([one, two], 0)
# Traceback (most recent call last):
# ValueError: a page has at least one row, not 0
# ```


# %% solution newest_page
def newest_page(shards: Sequence[OrderShard], size: int, before: tuple[int, int] | None = None) -> list[Order]:
    """Return the newest orders of all shards, at most `size`, below `before`."""
    # BEGIN SOLUTION
    if size < 1:
        raise ValueError(f"a page has at least one row, not {size}")

    def descending(shard: OrderShard) -> Iterator[Order]:
        limit = size // len(shards) + 1
        rows = shard.newest(limit, before)
        yield from rows
        while len(rows) == limit:
            rows = shard.newest(limit, rows[-1][:2])
            yield from rows

    merged = heapq.merge(*map(descending, shards), reverse=True)
    return list(itertools.islice(merged, size))
    # END SOLUTION


# %% check newest_page points=2
def test_a_page_has_the_newest_of_all_shards() -> None:
    shards = order_shards(4, 300, seed=1)
    page = newest_page(shards, 50)
    assert page == all_newest(shards)[:50], "in order of (created, number), the newest first"


def test_all_rows_may_be_on_one_shard() -> None:
    recent = [Order(1_000 + number, number, "acme") for number in range(60)]
    shards = [OrderShard(recent), *(OrderShard([Order(5, 100 + number, "old")]) for number in range(3))]
    assert newest_page(shards, 40) == all_newest(shards)[:40], "a quarter from each of four shards isn't the newest"


def test_shards_send_little_more_than_the_page() -> None:
    shards = order_shards(16, 3_000, seed=2)
    newest_page(shards, 100)
    sent = sum(shard.rows for shard in shards)
    assert 100 <= sent <= 100 + 16 * 7, f"{sent} rows were sent for a page of 100"


# %% hidden newest_page points=4
def test_pages_follow_one_another_without_gaps_or_repetition() -> None:
    shards = order_shards(3, 100, seed=3)
    seen: list[Order] = []
    while page := newest_page(shards, 7, seen[-1][:2] if seen else None):
        seen += page
    assert seen == all_newest(shards), "15 pages are the whole list, orders of the same second included"


def test_orders_of_one_second_are_not_lost() -> None:
    shards = [OrderShard([Order(7, number, "acme") for number in range(60)]), OrderShard([Order(1, 99, "acme")])]
    page = newest_page(shards, 50)
    assert [order.number for order in page] == list(range(59, 9, -1)), "the number decides where the second is the same"


def test_before_is_not_on_the_page() -> None:
    shards = order_shards(3, 60, seed=4)
    everything = all_newest(shards)
    page = newest_page(shards, 5, everything[9][:2])
    assert page == everything[10:15], "strictly below the last row of the page before"


def test_a_page_may_be_short_or_empty() -> None:
    shards = order_shards(3, 20, seed=5)
    assert newest_page(shards, 50) == all_newest(shards), "there are only 20"
    assert newest_page(shards, 50, (-1, 0)) == [], "and none below the last"
    assert newest_page([], 10) == [], "no shards, no rows"


def test_empty_shards_do_no_harm() -> None:
    shards = [OrderShard([]), OrderShard([Order(1, 1, "acme")]), OrderShard([])]
    assert newest_page(shards, 3) == [Order(1, 1, "acme")], "one row"


@pytest.mark.parametrize(("size", "limit"), [(1, 1), (4, 2), (7, 2), (8, 3), (100, 26)])
def test_every_request_has_the_limit_agreed_on(size: int, limit: int) -> None:
    shards = order_shards(4, 300, seed=6)
    newest_page(shards, size)
    assert {each for shard in shards for each in shard.limits} == {limit}, "size // n + 1, for four shards"


def test_a_full_page_asks_nobody_again() -> None:
    shards = [OrderShard([Order(9, 9, "a"), Order(8, 8, "a"), Order(7, 7, "a")]), OrderShard([Order(1, 1, "b")])]
    newest_page(shards, 2)
    assert [shard.calls for shard in shards] == [1, 1], "the first two rows of the first shard are the page"


def test_a_shard_is_asked_again_when_its_rows_are_used_up() -> None:
    shards = [OrderShard([Order(9 - n, n, "a") for n in range(9)]), OrderShard([Order(0, 100, "b")])]
    page = newest_page(shards, 5)
    assert [order.number for order in page] == [0, 1, 2, 3, 4], "all from the first shard"
    assert [shard.calls for shard in shards] == [2, 1], "three rows, three more; once from the other"


def test_a_short_answer_was_the_last() -> None:
    shards = [OrderShard([Order(9, 1, "a")]), OrderShard([Order(n, 10 + n, "b") for n in range(8)])]
    newest_page(shards, 5)
    assert shards[0].calls == 1, "it sent one row where three were asked for: it has no more"


def test_a_full_answer_may_have_been_the_last() -> None:
    shards = [OrderShard([Order(9, 1, "a"), Order(8, 2, "a")]), OrderShard([Order(n, 10 + n, "b") for n in range(8)])]
    assert newest_page(shards, 3) == all_newest(shards)[:3], "the first shard is asked again and has nothing"
    assert shards[0].calls == 2, "only the next answer can tell"


@pytest.mark.parametrize("size", [0, -3])
def test_a_page_without_rows_is_refused(size: int) -> None:
    shards = order_shards(2, 10, seed=7)
    with pytest.raises(ValueError):  # noqa: PT011
        newest_page(shards, size)
    assert [shard.calls for shard in shards] == [0, 0], "nobody was asked"


def test_shards_may_be_as_uneven_as_they_like() -> None:
    chance = random.Random(8)
    for _ in range(60):
        shards: list[OrderShard] = []
        numbers = iter(range(1_000))
        for _ in range(chance.randrange(1, 5)):
            rows = chance.randrange(8)
            shards.append(OrderShard([Order(chance.randrange(4), next(numbers), "t") for _ in range(rows)]))
        size = chance.randrange(1, 12)
        assert newest_page(shards, size) == all_newest(shards)[:size], f"{size} rows from {shards}"


# %% wrong newest_page fails=test_all_rows_may_be_on_one_shard
# "A fair share from each": the newest rows don't know that they should be spread evenly.
def newest_page(shards: Sequence[OrderShard], size: int, before: tuple[int, int] | None = None) -> list[Order]:
    """Return the newest orders of all shards, at most `size`, below `before`."""
    if size < 1:
        raise ValueError(size)
    rows = [row for shard in shards for row in shard.newest(size // len(shards) + 1, before)]
    return sorted(rows, reverse=True)[:size]


# %% wrong newest_page fails=test_shards_send_little_more_than_the_page
# "A page from each is certainly enough": certainly, and n times as much as is needed.
def newest_page(shards: Sequence[OrderShard], size: int, before: tuple[int, int] | None = None) -> list[Order]:
    """Return the newest orders of all shards, at most `size`, below `before`."""
    if size < 1:
        raise ValueError(size)
    rows = [row for shard in shards for row in shard.newest(size, before)]
    return sorted(rows, reverse=True)[:size]


# %% wrong newest_page fails=test_orders_of_one_second_are_not_lost
# "The cursor is the time": what has the same second as the last row is left out.
def newest_page(shards: Sequence[OrderShard], size: int, before: tuple[int, int] | None = None) -> list[Order]:
    """Return the newest orders of all shards, at most `size`, below `before`."""
    if size < 1:
        raise ValueError(size)

    def descending(shard: OrderShard) -> Iterator[Order]:
        limit = size // len(shards) + 1
        rows = shard.newest(limit, before)
        yield from rows
        while len(rows) == limit:
            rows = shard.newest(limit, (rows[-1].created, 0))
            yield from rows

    return list(itertools.islice(heapq.merge(*map(descending, shards), reverse=True), size))


# %% wrong newest_page fails=test_a_full_page_asks_nobody_again
# "Read ahead, then there is always something to merge": each shard is asked once too often.
def newest_page(shards: Sequence[OrderShard], size: int, before: tuple[int, int] | None = None) -> list[Order]:
    """Return the newest orders of all shards, at most `size`, below `before`."""
    if size < 1:
        raise ValueError(size)
    if not shards:
        return []
    limit = size // len(shards) + 1
    answers = [shard.newest(limit, before) for shard in shards]
    rows = [row for answer in answers for row in answer]
    for shard, answer in zip(shards, answers, strict=True):
        while len(answer) == limit and len(rows) < len(shards) * size:
            answer = shard.newest(limit, answer[-1][:2])
            rows += answer
    return sorted(rows, reverse=True)[:size]


# %% right newest_page
def newest_page(shards: Sequence[OrderShard], size: int, before: tuple[int, int] | None = None) -> list[Order]:
    """Return the newest orders of all shards, at most `size`, below `before`."""
    if size <= 0:
        raise ValueError("size")
    if not shards:
        return []
    limit = size // len(shards) + 1
    waiting: list[list[Order]] = [[] for _ in shards]
    cursors = [before for _ in shards]
    open_shards = set(range(len(shards)))
    page: list[Order] = []
    while len(page) < size:
        for index in sorted(open_shards):
            if not waiting[index]:
                waiting[index] = shards[index].newest(limit, cursors[index])[::-1]
                if len(waiting[index]) < limit:
                    open_shards.remove(index)
                if waiting[index]:
                    cursors[index] = waiting[index][0][:2]
        full = [rows for rows in waiting if rows]
        if not full:
            break
        page.append(max(full, key=lambda rows: rows[-1]).pop())
    return page


# %% [markdown] hint newest_page
# Each shard is a sorted stream that is fetched in portions. What in the standard library merges sorted streams, and
# takes from each only as much as is asked of the result?

# %% [markdown] hint newest_page
# A generator for each shard: fetch a portion, yield its rows, and fetch the next only when somebody asks for one
# more. `heapq.merge` of the generators, with `reverse=True` as they descend; `islice` takes the page and stops
# asking.

# %% [markdown] hint newest_page
# `rows = shard.newest(limit, before)`, `yield from rows`, then `while len(rows) == limit:` the same with
# `rows[-1][:2]` in place of `before`. Outside: `list(islice(heapq.merge(*map(stream, shards), reverse=True), size))`.
# Check the size before, in the function itself and not in the generator.

# %% [markdown] after newest_page
# **Why.** A row of a shard can't be on the page unless all rows before it on that shard are: so each shard is a
# stream, and the merge is done once the page is full. `heapq.merge` fetches the next of a stream only after its last
# row has been taken *and another is wanted*: laziness all the way is what keeps the count down. Compared by
# `(created, number)` in full: with the second alone, rows of one second vanish between two portions, as they do
# between two pages.
#
# **What it costs.** Rows: about 100 for the page and 7 for each of 16 shards in reserve, 212 at most instead of
# 1,600. Round trips: the first for all shards at once, and then one by one where a shard runs dry. In production the
# first requests go out in parallel (`asyncio.TaskGroup`), and the portion is chosen so that a second is rare: with an
# even spread a shard has `size / n` rows of the page, give or take `√(size / n)`; two or three of those on top are
# enough. Where rows are small and round trips dear, `size` from each shard in one round is the right answer after
# all.
#
# **A shard is down**: fail the page, or show it without that shard and *say so*. But never hand out a cursor over a
# partial page as if it were whole: the rows of the missing shard are skipped for ever.
#
# **The interviewer goes on**: *Page 500? (With the cursor as cheap as page 1; "jump to page 500" isn't offered.) A
# total count? (A count from each shard, cached, or "more than 1,000".) All of it is too slow? (A second copy, sharded
# or indexed for this query: a search index fed by change data capture.)*

# %% [markdown]
# ## The interview
#
# Say your answer aloud before you unfold one.

# %% [markdown] interview
# ### When do you shard, and what do you try first?
#
# When one primary can't take the *writes*, or the data can't be restored or vacuumed in the time that we have.
# Before: find the queries that cause the load, indexes, pooling; archive or partition by time within the server;
# replicas and caches for reads; a larger machine; move one large table to a server of its own. Sharding costs joins,
# transactions, unique constraints and simple operations for good, so I want a number that says when the larger
# machine ends.

# %% [markdown] interview
# ### How do you choose the shard key?
#
# From the queries: what do nearly all of them name, and what has to be in one transaction? Then four properties: many
# values, evenly large and busy, in the frequent queries, never changing. In software for companies that is the
# tenant; for a social network the user, and the feed is a scatter or a copy. Then I look for the giant and the hot
# key in real data, and decide in advance how they are treated. A time stamp or a running number alone is never the
# key of a range.

# %% [markdown] interview
# ### Explain consistent hashing. Why virtual nodes?
#
# Keys and shards are hashed onto a circle; a key belongs to the next shard clockwise. If one joins or leaves, only
# the arc before it changes hands: 1/n of the keys, where modulo moves n/(n+1). With one point for each shard the arcs
# are uneven, and a failure puts a shard's load onto one neighbour. Many points for each even out both: the spread
# falls as 1/√v. They also allow weights. It doesn't help against a hot key, and all clients must agree on who is on
# the ring.

# %% [markdown] interview
# ### How do you add a shard without downtime?
#
# Move units (slots, ranges, tenants), one at a time: snapshot, catch up from the log, verify by checksums and shadow
# reads, then block the unit's writes briefly, apply the rest, publish a new version of the map. Shards refuse units
# that they don't have, so a router with an old map gets an error and refetches, and nothing is written to the wrong
# place. The old copy stays for some days. Throttled, watched, and with a way back at each step.

# %% [markdown] interview
# ### A query doesn't contain the shard key. What now?
#
# If it is rare: scatter and gather, with timeouts, and know that the slowest shard decides. If it is frequent: a
# global secondary index (a table sharded by *that* column, which gives the shard key; updated asynchronously or in a
# distributed transaction), or a second copy of the data by the other key, or a search or analytics store. If it is
# the main query, the key is wrong.

# %% [markdown]
# ## Pitfalls seen in reviews
#
# * `hash(key) % n` with Python's `hash`; a hash over a `repr`, or over bytes in whatever encoding.
# * A number of slots or partitions that can't be changed, equal to the number of servers.
# * A running number or a time stamp as a range key; a status or a country as a hash key (few values).
# * `OFFSET` sent to every shard; an average of averages; a top k of top ks.
# * Auto-increment for each shard: the same id twice. A unique index for each shard, taken for a global one.
# * Two writes to two shards, one after the other, "in a transaction".
# * Migrations that run on all shards at once; or on all but one, which nobody notices.
# * Resharding at 95 % of the disk: the copy needs room and load of its own. Begin at 60 %.
# * Tests with one shard: each cross-shard bug passes them.
#
# ## Where to read on
#
# * Karger et al., *Consistent Hashing and Random Trees* (1997); DeCandia et al., [Dynamo: Amazon's Highly Available
#   Key-value Store](https://www.allthingsdistributed.com/files/amazon-dynamo-sosp2007.pdf), section 6.2 on strategies
#   of partitioning; Lamping and Veach, [A Fast, Minimal Memory, Consistent Hash
#   Algorithm](https://arxiv.org/abs/1406.2294)
# * PostgreSQL: [Table Partitioning](https://www.postgresql.org/docs/current/ddl-partitioning.html);
#   [Redis Cluster specification](https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/), key
#   distribution and live resharding
# * [Vitess: VReplication and resharding](https://vitess.io/docs/), [Citus: choosing the distribution
#   column](https://docs.citusdata.com/), [MongoDB: choose a shard
#   key](https://www.mongodb.com/docs/manual/core/sharding-choose-a-shard-key/)
# * [Herding elephants: lessons learned from sharding Postgres at
#   Notion](https://www.notion.com/blog/sharding-postgres-at-notion): 480 logical shards, and how they moved
# * Kleppmann, *Designing Data-Intensive Applications*, the chapter on partitioning
