# %% [markdown]
# # Advanced data structures: heaps, trees, graphs, tries
#
# *"Which structure would you use, and what does each operation cost?"* Nobody asks you to write a red-black tree. They
# describe a queue whose priorities change, a cache that must forget, a search box that shows counts, and listen whether
# you go from the **operations** to the structure. A junior answer names a structure and its Big O. A senior answer says
# which operation decides, which invariant buys its cost, what the structure is bad at, what Python already has, and
# where it breaks: entries that go stale, sorted input, a cycle, a negative weight.
#
# **Assumed**: the lesson on [complexity](09_complexity.ipynb) (counting, amortised cost, hash tables). **Left out**:
# dynamic programming, greedy proofs and the routine of an interview, which have lessons of their own; concurrency of
# any of these structures; B-trees as a database uses them, beyond one section.

# %%
import bisect
import gc
import graphlib
import heapq
import html
import itertools
import math
import random
import sys
import weakref
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from autograder.notebook.figures import explore

# %% [markdown]
# ## From operations to a structure
#
# A data structure is a bargain: an **invariant** is paid for at each write, and makes some reads cheap. Write down the
# operations first, then read the table from left to right:
#
# | you need | structure | cost | in Python |
# | --- | --- | --- | --- |
# | look up, insert, delete by key | hash table | 1 on average | `dict`, `set` |
# | both ends | ring or linked blocks | 1 | `collections.deque` |
# | the least, again and again | heap | log n; look: 1 | `heapq` |
# | the least, while priorities change | indexed heap | log n | yours, below |
# | the order of use | hash table + linked list | 1 | `OrderedDict`, `functools.lru_cache` |
# | neighbours of a key, ranges, in order | balanced tree, B-tree | log n | `bisect` on a list; a database's index |
# | all that begin with … | trie | length of the prefix | nested dicts |
# | order of dependencies | graph, topological order | nodes + edges | `graphlib` |
# | cheapest route | graph, heap | (n + e)·log n | `heapq`, below |
# | are these two connected by now? | union-find | nearly 1, amortised | yours, below |
#
# Costs are counted here, not timed: this value counts how often it is compared with `<`, with `==`, and hashed.


# %%
class Item:
    """A value that counts how often it is compared and hashed."""

    def __init__(self, value: Any, tally: Counter[str]) -> None:
        self.value = value
        self.tally = tally

    def __lt__(self, other: "Item") -> bool:
        self.tally["<"] += 1
        return bool(self.value < other.value)

    def __eq__(self, other: object) -> bool:
        self.tally["=="] += 1
        return isinstance(other, Item) and bool(self.value == other.value)

    def __hash__(self) -> int:
        self.tally["hash"] += 1
        return hash(self.value)

    def __repr__(self) -> str:
        return f"Item({self.value!r})"


def items_of(values: Iterable[Any], tally: Counter[str]) -> list[Item]:
    """Return new items that share a tally."""
    return [Item(value, tally) for value in values]


def serve_by_scan(jobs: list[Item]) -> None:
    """Take the least job n times, looking at all of them each time."""
    while jobs:
        jobs.remove(min(jobs))


def serve_by_heap(jobs: list[Item]) -> None:
    """Push all jobs onto a heap, then take the least n times."""
    waiting: list[Item] = []
    for job in jobs:
        heapq.heappush(waiting, job)
    while waiting:
        heapq.heappop(waiting)


def serve_sorted(jobs: list[Item]) -> None:
    """Keep the jobs in order at each insertion; the least is then at one end."""
    waiting: list[Item] = []
    for job in jobs:
        bisect.insort(waiting, job)


SERVICES = {"min() of a list": serve_by_scan, "heapq": serve_by_heap, "bisect.insort": serve_sorted}
print(f"{'put n jobs, take the least n times':36}" + "".join(f"{n:>12,}" for n in (250, 500, 1_000)))
for label, serve in SERVICES.items():
    row = []
    for n in (250, 500, 1_000):
        tally: Counter[str] = Counter()
        serve(items_of(random.Random(n).sample(range(n), n), tally))
        row.append(tally["<"])
    print(f"{label:36}" + "".join(f"{count:12,}" for count in row))

# %% [markdown]
# When n doubles, the first row grows fourfold, the other two a little more than twofold. `insort` compares *least* of
# all, and is nevertheless quadratic in another count: each insertion **moves** half of the list in memory. A count says
# what was counted. (The moves are a `memmove`, so for lists up to some ten thousand items a sorted list often wins.)
#
# ## Heaps
#
# A binary **heap** is a list in which no item is less than its *parent*: the children of place i are at 2i + 1 and 2i +
# 2, its parent at (i − 1) // 2. The least is at place 0. Nothing is said about left and right, so a heap isn't sorted,
# and looking for anything else than the least means looking at everything.
#
# * **push**: append, then **sift up**: swap with the parent while it is greater. At most ⌊log₂ n⌋ swaps.
# * **pop**: take place 0, put the *last* item there, then **sift down**: swap with the lesser child while that is less.
#   Two comparisons a level.
# * **heapify**: sift down from the middle to the front. Half of the items are leaves and don't move, a quarter move one
#   level at most, and so on: O(n) in all, not n log n.
#
# Move the slider through four pushes and three pops, and watch which items move.


# %%
@dataclass(frozen=True, repr=False)
class Forest:
    """Trees drawn from above; as indented text where there is no browser. A tree is (label, fill, subtrees)."""

    title: str
    trees: Sequence[tuple[str, str, Sequence[Any]]]

    def __repr__(self) -> str:
        def lines(tree: tuple[str, str, Sequence[Any]], depth: int) -> Iterator[str]:
            yield "    " * depth + tree[0]
            for below in tree[2]:
                yield from lines(below, depth + 1)

        return "\n".join([self.title, *(line for tree in self.trees for line in lines(tree, 1))])

    def _repr_html_(self) -> str:
        edges: list[str] = []
        nodes: list[str] = []
        right, deepest = 4.0, 0

        def place(tree: tuple[str, str, Sequence[Any]], depth: int) -> float:
            nonlocal right, deepest
            label, fill, below = tree
            deepest = max(deepest, depth)
            width, y = 16 + 7 * len(label), 44 + 48 * depth
            xs = [place(each, depth + 1) for each in below] or [right + width / 2]
            x = (xs[0] + xs[-1]) / 2
            right = max(right, x + width / 2 + 8)
            edges.extend(f'<path d="M{x:.0f} {y}L{each:.0f} {y + 48}" stroke="currentColor"/>' for each in xs if below)
            nodes.append(
                f'<rect x="{x - width / 2:.0f}" y="{y - 12}" width="{width}" height="24" rx="10" fill="{fill}" '
                f'stroke="currentColor"/><text x="{x:.0f}" y="{y + 4}" text-anchor="middle" fill="#ffffff">'
                f"{html.escape(label)}</text>"
            )
            return x

        for tree in self.trees:
            place(tree, 0)
        width = max(680, round(right))
        return (
            f'<svg role="img" aria-label="{html.escape(self.title)}" viewBox="0 0 {width} {70 + 48 * deepest}" '
            f'width="{width}" style="max-width: 100%; height: auto" fill="currentColor" font-family="sans-serif" '
            'font-size="12" xmlns="http://www.w3.org/2000/svg">'
            f'<text x="0" y="14" font-weight="bold">{html.escape(self.title)}</text>{"".join(edges + nodes)}</svg>'
        )


BLUE, ORANGE, GREEN = "#0072b2", "#b35c00", "#00795a"
MOVES: list[int | None] = [5, 1, 7, 0, None, None, None]  # push a number, or pop


def heap_after(step: int) -> Forest:
    """Draw the heap after so many moves; what has changed its place is orange."""
    heap = [2, 4, 3, 9, 6, 8]
    before, move = list(heap), "at the start"
    for number in MOVES[:step]:
        before = list(heap)
        if number is None:
            move = f"after pop() = {heapq.heappop(heap)}"
        else:
            heapq.heappush(heap, number)
            move = f"after push({number})"

    def tree(place: int) -> tuple[str, str, list[Any]]:
        moved = place >= len(before) or before[place] != heap[place]
        below = [tree(child) for child in (2 * place + 1, 2 * place + 2) if child < len(heap)]
        return (str(heap[place]), ORANGE if moved else BLUE, below)

    return Forest(f"{move}: {heap}", [tree(0)])


explore(heap_after, step=(0, len(MOVES), 4))


# %%
for n in (1_000, 2_000, 4_000):
    pushed, made, heap = Counter[str](), Counter[str](), list[Item]()
    for job in items_of(range(n, 0, -1), pushed):  # the worst order for pushing
        heapq.heappush(heap, job)
    heapq.heapify(items_of(range(n, 0, -1), made))
    print(f"{n:5,} jobs: {pushed['<']:7,} comparisons by n pushes, {made['<']:6,} by heapify")

# %% [markdown]
# `heapify` stays below 2n in any order. n pushes cost n log n in this one, the worst, and some 2.3n in a random one.
# `nsmallest(k, …)` keeps a heap of k and, if the order is random, compares most other items once. For *all* items in
# order `sorted` compares less than a heap: use a heap when items come and go.
#
# What people trip over with **`heapq`**: it is a min-heap on a plain list (functions for a max-heap, such as
# `heappush_max`, are there from 3.14 on; before, negate the priority). Equal priorities let a tuple's *next* element
# decide: `(priority, job)` compares jobs, a `TypeError` if they have no order; put a running number between. It isn't
# stable by itself; that number makes it so. And **nothing notices if you change an item in the list**: the invariant is
# gone, and pops come in the wrong order without an error.
#
# So how does a priority change? Two ways:
#
# * **Lazy deletion**: push a second entry, and skip an entry when popped if it isn't the job's current one. Short,
#   right, and what most people write. The heap holds every change ever made: memory grows with the *changes*, and a
#   million updates to ten jobs make a heap of a million entries (unless it is rebuilt from time to time).
# * **Indexed heap**: a dict from job to its place, kept in step with every move. Then **decrease-key** is: write the
#   new priority at that place, and sift up. Increase: sift down. Delete: put the last item in its place, and sift it
#   *either* way, since it comes from another branch.

# %% [markdown] exercise dispatch_queue topic=advanced-data-structures level=senior minutes=15
# ## Exercise: A queue whose priorities change
#
# Support tickets wait for an agent. A ticket's priority changes many times an hour: it is escalated, snoozed, closed by
# the customer. The queue in production pushes a new entry for each change; it holds ten million entries for nine
# thousand tickets. Write `DispatchQueue()`:
#
# * `put(job, priority)`: from now on the job waits with this priority, whether it is new or was waiting already with a
#   lower or higher one.
# * `pop()`: removes the job with the least priority and returns `(job, priority)`; among equal priorities any of them.
#   `IndexError` if none is waiting.
# * `cancel(job)`: the job no longer waits. `KeyError` if it didn't, and nothing changes.
# * `len(queue)` is the number of waiting jobs.
# * Priorities have no operator but `<`. Jobs are hashable and have no order.
# * Let n be the number of waiting jobs before or after a call, whichever is more, and at least 1. A call compares
#   priorities at most **3·b times**, where b = `n.bit_length()`, and calls the jobs' `__hash__` and `__eq__` together
#   at most **8·b** times. (Where this is counted, different jobs have different hashes.)
# * The queue keeps no reference to a priority that was replaced, nor to a job that left.
#
# ```python
# >>> queue = DispatchQueue()
# >>> for ticket, priority in [("refund", 30), ("outage", 10), ("typo", 50)]:
# ...     queue.put(ticket, priority)
# >>> queue.put("typo", 5)
# >>> queue.pop(), len(queue)
# (('typo', 5), 2)
# >>> queue.cancel("typo")
# Traceback (most recent call last):
# KeyError: 'typo'
# ```


# %% solution dispatch_queue
class DispatchQueue:
    """Waiting jobs, the one with the least priority first; priorities may change."""

    def __init__(self) -> None:
        # BEGIN SOLUTION
        self._heap: list[tuple[Any, Hashable]] = []
        self._places: dict[Hashable, int] = {}
        # END SOLUTION

    def __len__(self) -> int:
        # BEGIN SOLUTION
        return len(self._heap)
        # END SOLUTION

    def put(self, job: Hashable, priority: Any) -> None:
        """Let a job wait with this priority, new or not."""
        # BEGIN SOLUTION
        if job not in self._places:
            self._places[job] = len(self._heap)
            self._heap.append((priority, job))
        self._settle(self._places[job], priority, job)
        # END SOLUTION

    def pop(self) -> tuple[Hashable, Any]:
        """Remove and return the job with the least priority, and its priority."""
        # BEGIN SOLUTION
        priority, job = self._heap[0]
        self.cancel(job)
        return job, priority
        # END SOLUTION

    def cancel(self, job: Hashable) -> None:
        """Let a job no longer wait."""
        # BEGIN SOLUTION
        place = self._places.pop(job)
        last = self._heap.pop()
        if place < len(self._heap):
            self._settle(place, *last)
        # END SOLUTION

    # BEGIN SOLUTION
    def _settle(self, place: int, priority: Any, job: Hashable) -> None:
        """Write an entry over the one at a place, and move it to where it belongs."""
        while place and priority < self._heap[(place - 1) // 2][0]:
            self._write(place, *self._heap[(place - 1) // 2])
            place = (place - 1) // 2
        while (child := 2 * place + 1) < len(self._heap):
            if child + 1 < len(self._heap) and self._heap[child + 1][0] < self._heap[child][0]:
                child += 1
            if not self._heap[child][0] < priority:
                break
            self._write(place, *self._heap[child])
            place = child
        self._write(place, priority, job)

    def _write(self, place: int, priority: Any, job: Hashable) -> None:
        self._heap[place] = (priority, job)
        self._places[job] = place

    # END SOLUTION


# %% check dispatch_queue points=2
def test_jobs_come_in_the_order_of_their_priorities() -> None:
    queue = DispatchQueue()
    for number in random.Random(1).sample(range(100), 100):
        queue.put(f"job {number}", number)
    assert [queue.pop() for _ in range(100)] == [(f"job {number}", number) for number in range(100)]


def test_a_waiting_job_gets_a_new_priority() -> None:
    queue = DispatchQueue()
    for job, priority in [("a", 3), ("b", 5), ("c", 7), ("c", 1), ("a", 9)]:
        queue.put(job, priority)
    assert len(queue) == 3, "a job waits once, however often its priority changes"
    assert [queue.pop() for _ in range(3)] == [("c", 1), ("b", 5), ("a", 9)], "priorities go down, and go up"


# %% hidden dispatch_queue points=4
def test_cancelling_puts_the_last_entry_on_its_way_up() -> None:
    queue = DispatchQueue()
    for priority in (0, 50, 10, 60, 70, 20, 30, 80, 90, 100, 110, 25):
        queue.put(priority, priority)
    queue.cancel(60)
    queue.cancel(80)
    assert [queue.pop()[0] for _ in range(10)] == [0, 10, 20, 25, 30, 50, 70, 90, 100, 110], (
        "the entry that fills the hole comes from another branch: it may have to rise"
    )


def test_what_does_not_wait_can_be_neither_cancelled_nor_popped() -> None:
    queue = DispatchQueue()
    queue.put("a", 1)
    with pytest.raises(KeyError):
        queue.cancel("b")
    assert len(queue) == 1
    assert queue.pop() == ("a", 1)
    with pytest.raises(KeyError):
        queue.cancel("a")
    with pytest.raises(IndexError):
        queue.pop()


def test_priorities_have_no_operator_but_less_than() -> None:
    queue, tally = DispatchQueue(), Counter[str]()
    for priority in items_of((1, 1, 0, 1), tally):
        queue.put(object(), priority)
    assert [queue.pop()[1].value for _ in range(4)] == [0, 1, 1, 1], "equal priorities, and jobs without an order"
    assert tally["=="] == 0, "comparing tuples or lists asks for == first"


@pytest.mark.parametrize("seed", range(6))
def test_any_mixture_of_calls_keeps_the_order(seed: int) -> None:
    chance, queue = random.Random(seed), DispatchQueue()
    waiting: dict[Any, int] = {}
    for _ in range(400):
        job, priority = chance.randrange(30), chance.randrange(20)
        action = chance.choice(("put", "put", "put", "cancel", "pop"))
        if action == "put":
            queue.put(job, priority)
            waiting[job] = priority
        elif action == "cancel" and job in waiting:
            queue.cancel(job)
            del waiting[job]
        elif action == "pop" and waiting:
            popped, least = queue.pop()
            assert least == min(waiting.values()), "the least priority of those that wait"
            assert waiting.pop(popped) == least, "the job that has this priority now"
        assert len(queue) == len(waiting)


def test_a_call_costs_the_logarithm() -> None:
    tally: Counter[str] = Counter()
    chance, queue = random.Random(3), DispatchQueue()
    jobs = items_of(range(700), tally)

    def judge(call: Callable[[], object], size: int) -> None:
        tally.clear()
        call()
        bits = size.bit_length()
        assert tally["<"] <= 3 * bits, f"{tally['<']} comparisons with {size} jobs; {3 * bits} are allowed"
        assert tally["hash"] + tally["=="] <= 8 * bits, f"{tally} with {size} jobs: is the job looked for in a list?"

    for number, job in enumerate(jobs, start=1):
        judge(lambda job=job, number=number: queue.put(job, Item(-number, tally)), number)  # type: ignore[misc]
    for job in chance.choices(jobs, k=300):
        value = chance.choice((-2_000, 2_000))
        judge(lambda job=job, value=value: queue.put(job, Item(value, tally)), 700)  # type: ignore[misc]
    for number in range(200):
        judge(lambda number=number: queue.cancel(jobs[number]), 700 - number)  # type: ignore[misc]
    for size in range(500, 0, -1):
        judge(queue.pop, size)


def test_what_is_gone_is_not_kept() -> None:
    queue = DispatchQueue()
    first, job, last = items_of((5, "job", "last"), Counter())
    gone = [weakref.ref(each) for each in (first, job, last)]
    for waiting, priority in [
        (job, first),
        ("other", Item(9, Counter())),
        (job, Item(1, Counter())),
        (last, Item(99, Counter())),
    ]:
        queue.put(waiting, priority)
    del first, priority, waiting
    gc.collect()
    assert gone[0]() is None, "the replaced priority is still in the queue: memory grows with the changes"
    queue.pop()
    queue.cancel(last)
    del job, last
    gc.collect()
    assert [ref() for ref in gone] == [None] * 3, "a popped and a cancelled job are kept"
    assert len(queue) == 1


# %% wrong dispatch_queue fails=test_what_is_gone_is_not_kept
# "Push again and skip what is stale": right results, and a heap that holds every change ever made.
class DispatchQueue:
    def __init__(self) -> None:
        self._heap: list[tuple[Any, int, Hashable]] = []
        self._current: dict[Hashable, int] = {}
        self._numbers = itertools.count()

    def __len__(self) -> int:
        return len(self._current)

    def put(self, job: Hashable, priority: Any) -> None:
        self._current[job] = number = next(self._numbers)
        heapq.heappush(self._heap, (priority, number, job))

    def pop(self) -> tuple[Hashable, Any]:
        while True:
            priority, number, job = heapq.heappop(self._heap)
            if self._current.get(job) == number:
                del self._current[job]
                return job, priority

    def cancel(self, job: Hashable) -> None:
        del self._current[job]


# %% wrong dispatch_queue fails=test_a_waiting_job_gets_a_new_priority
# "The entry is in the heap, so change it there": nothing notices, and the order is broken without an error.
class DispatchQueue:
    def __init__(self) -> None:
        self._heap: list[list[Any]] = []
        self._entries: dict[Hashable, list[Any]] = {}

    def __len__(self) -> int:
        return len(self._heap)

    def put(self, job: Hashable, priority: Any) -> None:
        if job in self._entries:
            self._entries[job][0] = priority
        else:
            self._entries[job] = [priority, job]
            heapq.heappush(self._heap, self._entries[job])

    def pop(self) -> tuple[Hashable, Any]:
        priority, job = heapq.heappop(self._heap)
        del self._entries[job]
        return job, priority

    def cancel(self, job: Hashable) -> None:
        self._heap.remove(self._entries.pop(job))
        heapq.heapify(self._heap)


# %% right dispatch_queue
class DispatchQueue:
    """Waiting jobs in a sorted list, found again by bisection."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Any, Hashable]] = []
        self._entries: dict[Hashable, tuple[Any, Hashable]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, job: Hashable, priority: Any) -> None:
        if job in self._entries:
            self.cancel(job)
        self._entries[job] = (priority, job)
        bisect.insort(self._waiting, self._entries[job], key=lambda entry: entry[0])

    def pop(self) -> tuple[Hashable, Any]:
        priority, job = self._waiting.pop(0)
        del self._entries[job]
        return job, priority

    def cancel(self, job: Hashable) -> None:
        entry = self._entries.pop(job)
        place = bisect.bisect_left(self._waiting, entry[0], key=lambda each: each[0])
        while self._waiting[place] is not entry:  # others of the same priority
            place += 1
        del self._waiting[place]


# %% [markdown] hint dispatch_queue
# A heap finds the least and nothing else. Which second structure answers "at which place is this job?", and at which
# moments has it to be corrected?

# %% [markdown] hint dispatch_queue
# Write entries into the heap in one method only, which also writes the dict. Then `put`, and the hole that `cancel`
# leaves, are the same task: an entry at some place that may have to go up *or* down. `pop` is `cancel` of the job at
# place 0.

# %% [markdown] hint dispatch_queue
# `settle(place, priority, job)`: while there is a parent and `priority < parent's`, write the parent at `place` and go
# to its place; then, while there is a child, choose the lesser, stop if it isn't less than `priority`, write it at
# `place` and go down; finally write the entry. `cancel`: `place = places.pop(job)`, `last = heap.pop()`, and `if place
# < len(heap): settle(place, *last)`.

# %% [markdown] after dispatch_queue
# **Why.** Two structures kept in step, one for each kind of access: the list has the order, the dict the places. There
# is one method that writes both, so they can't disagree. Moving a "hole" instead of swapping halves the writes. At most
# one of the two loops does anything: an entry that has risen has none below it that is less.
#
# **Alternatives.** Storing the place *in* the entry takes one hash for each call instead of one for each level, at the
# price of mutable entries. Lazy deletion with a rebuild as soon as more than half of the entries are stale costs O(log
# n) amortised and needs only `heapq`; it is the better choice if single slow calls don't matter. A sorted list with
# `bisect`, the other right answer, is shorter still: it moves n/2 references for each change, which is hard to notice
# up to ten thousand jobs, and walks through those of equal priority. Fibonacci heaps have decrease-key in O(1)
# amortised, and constants that nobody wants.
#
# **The interviewer goes on**: *Equal priorities first come, first served? (A running number in the entry, compared
# second; does a changed priority keep its number?) A fair queue in which nobody starves? (The priority falls with
# waiting time: store the deadline, which doesn't change, instead of the age, which does.) Two processes? (Then it is a
# table: `ORDER BY priority LIMIT 1 FOR UPDATE SKIP LOCKED`.)*

# %% [markdown]
# ## Order of use: the LRU cache
#
# A cache with a bound has to choose a victim. **LRU** evicts the entry whose last *use*, by a read or by a write, is
# longest ago. The operations are: find a key (hash table), move an entry to the end, remove the first one. An array
# does the last two in n steps. A **doubly linked list** does them in one, *if* you hold the node, and the hash table
# holds it: dict from key to node. `OrderedDict` is just that, in C, with `move_to_end(key)` and `popitem(last=False)`.
# A plain `dict` keeps order too, but each entry removed from its front leaves a hole, and whoever looks for the first
# entry walks over the holes: emptying a dict from the front is quadratic.
#
# Whether LRU is any *good* depends on the trace. Hit rates of LRU, and of FIFO, which ignores reads, on three traces
# over 60 keys:


# %%
def hit_rate(trace: Sequence[int], capacity: int, *, reads_count: bool) -> float:
    """Return the share of reads that are hits, of LRU or, where reads don't count, of FIFO."""
    kept: OrderedDict[int, None] = OrderedDict()
    hits = 0
    for key in trace:
        if key in kept:
            hits += 1
            if reads_count:
                kept.move_to_end(key)
        else:
            kept[key] = None
            if len(kept) > capacity:
                kept.popitem(last=False)
    return hits / len(trace)


favourites = random.Random(8).choices(range(60), [1 / (rank + 1) for rank in range(60)], k=2_400)
TRACES = {
    "favourites": favourites,
    "with scans": [key for start in range(0, 2_400, 120) for key in [*favourites[start : start + 120], *range(60)]],
    "a loop": [*range(60)] * 40,
}
print(f"{'capacity':24}" + "".join(f"{capacity:>6}" for capacity in (10, 20, 40, 59, 60)))
for (label, trace), (policy, lru) in itertools.product(TRACES.items(), {"LRU": True, "FIFO": False}.items()):
    rates = [hit_rate(trace, capacity, reads_count=lru) for capacity in (10, 20, 40, 59, 60)]
    print(f"{label:16}{policy:8}" + "".join(f"{rate:6.0%}" for rate in rates))

# %% [markdown]
# On a loop that is one key longer than the capacity, LRU hits *never*: it always evicts exactly what comes next. So a
# nightly scan empties an LRU cache of all that was worth keeping. Databases guard against it (PostgreSQL reads large
# tables through a small ring of buffers, InnoDB inserts in the middle of the list); Redis offers LFU, and approximates
# LRU by sampling, to save the links.

# %% [markdown] exercise quote_lru topic=advanced-data-structures level=core minutes=10
# ## Exercise: The quote cache that forgets the wrong things
#
# An insurer caches quotes; computing one takes a second. Since the cache was made larger it is slow, its hit rate is
# below what was calculated, "no offer" (None) is computed each time, and twice a day it dies of a `KeyError`. Mend it.
#
# `QuoteCache(capacity, on_evict)`:
#
# * `get(key, default=None)` returns the value and counts as a use of the key; `default` if the key isn't there. A value
#   may be anything, also None, 0 or an empty list, and is found like any other.
# * `put(key, value)` stores a value, new or in place of an older one, and counts as a use.
# * If a `put` leaves more than `capacity` keys, the one whose last use is longest ago is removed, and **then**
#   `on_evict(key, value)` is called with it, once. If it raises, the error comes out of `put`; the cache has the new
#   entry then, and no longer the evicted one. Replacing a value evicts nothing, and doesn't call it.
# * `len(cache)` is the number of keys; `key in cache` is no use.
# * `capacity` below 1 is a `ValueError`.
# * Each call calls the keys' `__hash__` and `__eq__` together at most **ten** times, whatever the capacity (no two
#   different keys have the same hash).
#
# ```python
# >>> cache = QuoteCache(2, on_evict=lambda key, value: print("evicted", key, value))
# >>> cache.put("car", 410)
# >>> cache.put("bike", None)
# >>> cache.get("car"), cache.get("bike", "unknown"), cache.get("boat", "unknown")
# (410, None, 'unknown')
# >>> cache.put("boat", 95)
# evicted car 410
# >>> "bike" in cache, len(cache)
# (True, 2)
# ```


# %% starter quote_lru
class QuoteCache:
    """A bounded cache that evicts what was used longest ago."""

    def __init__(self, capacity: int, on_evict: Callable[[Any, Any], object]) -> None:
        if capacity < 1:
            raise ValueError("a cache keeps at least one entry")
        self._capacity = capacity
        self._on_evict = on_evict
        self._values: dict[Any, Any] = {}
        self._order: list[Any] = []  # the keys, the one used longest ago first

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._values

    def get(self, key: Hashable, default: Any = None) -> Any:
        """Return the value of a key, or the default."""
        value: Any = self._values.get(key)
        if not value:
            return default
        self._order.remove(key)
        self._order.append(key)
        return value

    def put(self, key: Hashable, value: Any) -> None:
        """Store a value; evict another entry if there are too many."""
        if len(self._values) >= self._capacity:
            oldest = self._order[0]
            self._on_evict(oldest, self._values[oldest])
            del self._values[oldest]
            self._order.pop(0)
        self._values[key] = value
        self._order.append(key)


# %% solution quote_lru
class QuoteCache:
    """A bounded cache that evicts what was used longest ago."""

    def __init__(self, capacity: int, on_evict: Callable[[Any, Any], object]) -> None:
        # BEGIN SOLUTION
        if capacity < 1:
            raise ValueError("a cache keeps at least one entry")
        self._capacity = capacity
        self._on_evict = on_evict
        self._entries: OrderedDict[Any, Any] = OrderedDict()  # the one used longest ago first
        # END SOLUTION

    def __len__(self) -> int:
        # BEGIN SOLUTION
        return len(self._entries)
        # END SOLUTION

    def __contains__(self, key: Hashable) -> bool:
        # BEGIN SOLUTION
        return key in self._entries
        # END SOLUTION

    def get(self, key: Hashable, default: Any = None) -> Any:
        """Return the value of a key, or the default."""
        # BEGIN SOLUTION
        if key not in self._entries:
            return default
        self._entries.move_to_end(key)
        return self._entries[key]
        # END SOLUTION

    def put(self, key: Hashable, value: Any) -> None:
        """Store a value; evict another entry if there are too many."""
        # BEGIN SOLUTION
        self._entries[key] = value
        self._entries.move_to_end(key)
        if len(self._entries) > self._capacity:
            self._on_evict(*self._entries.popitem(last=False))
        # END SOLUTION


# %% check quote_lru points=2
def test_none_and_other_false_values_are_found() -> None:
    cache = QuoteCache(9, on_evict=print)
    answers: list[Any] = [None, 0, [], ""]
    for key, value in enumerate(answers):
        cache.put(key, value)
    assert [cache.get(key, "absent") for key in range(4)] == answers, (
        "'no offer' is an answer too, and takes a second to compute again"
    )


def test_replacing_a_value_evicts_nothing() -> None:
    evicted: list[Any] = []
    cache = QuoteCache(2, on_evict=lambda key, value: evicted.append((key, value)))
    for key, value in [("a", 1), ("b", 2), ("b", 3), ("a", 4)]:
        cache.put(key, value)
    assert evicted == [], "there were never more than two keys"
    assert (cache.get("a"), cache.get("b"), len(cache)) == (4, 3, 2)


# %% hidden quote_lru points=3
def recording(capacity: int) -> tuple[QuoteCache, list[Any]]:
    """Return a cache, and the list of what it evicts."""
    evicted: list[Any] = []
    return QuoteCache(capacity, on_evict=lambda key, value: evicted.append((key, value))), evicted


def test_the_one_read_longest_ago_goes() -> None:
    cache, evicted = recording(3)
    for key in "abc":
        cache.put(key, key.upper())
    cache.get("a")
    cache.get("b")
    for key in "def":
        cache.put(key, key.upper())
    assert evicted == [("c", "C"), ("a", "A"), ("b", "B")], "a read is a use"


def test_a_replaced_value_counts_as_used() -> None:
    cache, evicted = recording(2)
    for key, value in [("a", 1), ("b", 2), ("a", 3), ("c", 4)]:
        cache.put(key, value)
    assert evicted == [("b", 2)], "'a' was written after 'b'"
    cache.put("d", 5)
    cache.put("e", 6)
    assert evicted == [("b", 2), ("a", 3), ("c", 4)], "each key is in the order once"


def test_asking_whether_a_key_is_there_is_no_use() -> None:
    cache, evicted = recording(2)
    cache.put("a", 1)
    cache.put("b", 2)
    assert ("a" in cache, "z" in cache) == (True, False)
    cache.put("c", 3)
    assert evicted == [("a", 1)], "monitoring that asks for keys would keep them alive"


def test_a_miss_gives_the_default_and_stores_nothing() -> None:
    cache, evicted = recording(1)
    cache.put("a", 1)
    assert (cache.get("b"), cache.get("b", 7), len(cache)) == (None, 7, 1)
    assert (cache.get("a"), evicted) == (1, [])


def test_a_capacity_of_one_is_the_least() -> None:
    cache, evicted = recording(1)
    cache.put("a", 1)
    cache.put("b", 2)
    assert (evicted, len(cache), "b" in cache) == ([("a", 1)], 1, True)
    for capacity in (0, -1):
        with pytest.raises(ValueError):  # noqa: PT011
            recording(capacity)


def test_an_error_in_the_callback_leaves_the_cache_right() -> None:
    def fails(key: str, value: int) -> None:
        raise RuntimeError(key, key in cache, len(cache))

    cache = QuoteCache(1, on_evict=fails)
    cache.put("a", 1)
    with pytest.raises(RuntimeError) as caught:
        cache.put("b", 2)
    assert caught.value.args == ("a", False, 1), "the victim is gone, and the entry made, when the callback is called"
    assert (len(cache), "a" in cache, cache.get("b")) == (1, False, 2)


def test_a_call_costs_the_same_whatever_the_capacity() -> None:
    tally: Counter[str] = Counter()
    cache, _ = recording(500)
    keys, equal = items_of(range(600), tally), items_of(range(600), tally)
    calls: list[Callable[[Item], object]] = [lambda key: cache.put(key, 1), cache.get, lambda key: cache.put(key, 2)]
    for call, used in zip(calls, [keys, equal[::-1], equal], strict=True):
        for key in used:
            tally.clear()
            call(key)
            made = tally["hash"] + tally["=="]
            assert made <= 10, f"{made} calls of the keys' methods: something looks through a list"
    assert len(cache) == 500


# %% wrong quote_lru fails=test_the_one_read_longest_ago_goes
# "A dict keeps its order, so its first key is the oldest": by insertion. That is FIFO.
class QuoteCache(dict[Any, Any]):
    def __init__(self, capacity: int, on_evict: Callable[[Any, Any], object]) -> None:
        if capacity < 1:
            raise ValueError("a cache keeps at least one entry")
        self._capacity, self._on_evict = capacity, on_evict

    def put(self, key: Hashable, value: Any) -> None:
        self[key] = value
        if len(self) > self._capacity:
            oldest = next(iter(self))
            self._on_evict(oldest, self.pop(oldest))


# %% wrong quote_lru fails=test_an_error_in_the_callback_leaves_the_cache_right
# "Make room first, then store": when the callback raises, the new value is lost, or the old one still there.
class QuoteCache:
    def __init__(self, capacity: int, on_evict: Callable[[Any, Any], object]) -> None:
        if capacity < 1:
            raise ValueError("a cache keeps at least one entry")
        self._capacity, self._on_evict = capacity, on_evict
        self._entries: OrderedDict[Any, Any] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._entries

    def get(self, key: Hashable, default: Any = None) -> Any:
        if key not in self._entries:
            return default
        self._entries.move_to_end(key)
        return self._entries[key]

    def put(self, key: Hashable, value: Any) -> None:
        if key not in self._entries and len(self._entries) == self._capacity:
            self._on_evict(*self._entries.popitem(last=False))
        self._entries[key] = value
        self._entries.move_to_end(key)


# %% right quote_lru
class QuoteCache(dict[Any, Any]):
    """A bounded cache: a dict in order of use, since each use removes the key and inserts it again."""

    def __init__(self, capacity: int, on_evict: Callable[[Any, Any], object]) -> None:
        if capacity < 1:
            raise ValueError("a cache keeps at least one entry")
        self._capacity, self._on_evict = capacity, on_evict

    def get(self, key: Hashable, default: Any = None) -> Any:
        if key in self:
            self[key] = self.pop(key)
        return super().get(key, default)

    def put(self, key: Hashable, value: Any) -> None:
        self.pop(key, None)
        self[key] = value
        if len(self) > self._capacity:
            oldest = next(iter(self))
            self._on_evict(oldest, self.pop(oldest))


# %% [markdown] hint quote_lru
# There are four defects. One is in a truth value, one in a cost, one in what happens when the key is there already, and
# one in the order of the lines around the callback.

# %% [markdown] hint quote_lru
# `list.remove` is the cost. With `OrderedDict` in place of dict and list there is one structure, which can't disagree
# with itself. In `put`: first store, then see whether there are too many.

# %% [markdown] hint quote_lru
# `get`: `if key not in self._entries: return default`, `move_to_end(key)`, return. `put`: assign, `move_to_end(key)`
# (assigning to a key that is there leaves it where it was), and `if len(…) > capacity:
# self._on_evict(*self._entries.popitem(last=False))`.

# %% [markdown] after quote_lru
# **The four defects.** `if not value` takes None, 0 and [] for a miss: ask `key in`, or use a sentinel. `remove` and
# `pop(0)` are linear, so making the cache larger made every *hit* dearer. `put` of a known key evicts somebody else and
# appends the key a second time; when the first of the two comes to the front, an entry that is in use is evicted, and
# when the second comes, `KeyError`. And the callback ran in the middle: when it raises, the new value is lost and the
# victim stays; if it raises each time for that victim, nothing new is ever stored again.
#
# **Why this order.** First bring the object into its final state, then call foreign code. It may raise, and it may call
# the cache again.
#
# **Alternatives.** `functools.lru_cache` where the cache belongs to a function (no callback, no way to drop one key). A
# plain dict, the other right answer: remove and insert again; its front may cost what is said above. The linked list by
# hand is what is asked at a whiteboard: make it a ring around an anchor, which is never empty, so that no line asks for
# None. `cachetools.LRUCache` weighs entries, `TTLCache` lets them expire.
#
# **The interviewer goes on**: *Thread-safe? (One lock around both steps; a read moves the entry, so reads write. That
# is why busy caches sample, or use CLOCK: one bit for each entry.) Evict by bytes? (While the sum is too large; an
# entry larger than the cache is not stored.) What does a hit rate of 90 % instead of 95 % do to the database? (Twice
# the load.)*

# %% [markdown]
# ## Tries
#
# A **trie** (prefix tree) stores sequences: words, digits, segments of a path. A node stands for a prefix, its children
# for the next element. Finding something costs the *length of the key*, however many keys there are, and all keys with
# the same prefix are in one subtree. If each node also knows how many keys end below it, "how many begin with …?" is a
# walk and a read.


# %%
class TrieNode:
    """A prefix: how many keys end here, how many here or below, and the next elements."""

    __slots__ = ("children", "ends", "total")

    def __init__(self) -> None:
        self.ends = 0
        self.total = 0
        self.children: dict[Any, TrieNode] = {}


def trie_of(words: Iterable[Sequence[Hashable]]) -> TrieNode:
    """Return a trie of these words."""
    root = TrieNode()
    for word in words:
        node = root
        node.total += 1
        for part in word:
            node = node.children.setdefault(part, TrieNode())
            node.total += 1
        node.ends += 1
    return root


def drawn(node: TrieNode, label: str) -> tuple[str, str, list[Any]]:
    """Return a node as a tree to be drawn; where a key ends it is green."""
    below = [drawn(child, str(part)) for part, child in sorted(node.children.items())]
    return (f"{label} {node.total}", GREEN if node.ends else BLUE, below)


Forest(
    "prefix counts of: car, card, care, cat, dog, do (green: a key ends here)",
    [drawn(trie_of(["car", "card", "care", "cat", "dog", "do"]), "·")],
)

# %% [markdown]
# What is the alternative? A **sorted list** and `bisect`: all keys with a prefix stand together. Reading costs log n
# comparisons, memory is a reference a key; inserting moves half of the list. And the trie?

# %%
letters = random.Random(2)
WORDS = sorted({"".join(letters.choices("abcdefgh", k=letters.randint(3, 9))) for _ in range(20_000)})
nodes = [trie_of(WORDS)]
for node in nodes:
    nodes.extend(node.children.values())
size = sum(sys.getsizeof(node) + sys.getsizeof(node.children) for node in nodes)
print(f"{len(WORDS):,} words: {len(nodes):,} nodes, {size / 1e6:.1f} MB; a list {sys.getsizeof(WORDS) / 1e6:.2f} MB")

# %% [markdown]
# A dict for each node is dear. Real tries merge chains of single children into one edge (**radix tree**, Patricia: the
# kernel's routing tables, Redis streams, many web frameworks' routers) or pack nodes into arrays. In Python a trie pays
# when keys come and go, when counts or "the best below" are kept at the nodes, or when you walk along a text and look
# for **every key that is a prefix of it**. For a fixed set of words the sorted list is hard to beat.

# %% [markdown] exercise mount_table topic=advanced-data-structures level=senior minutes=12
# ## Exercise: Which service gets the request?
#
# A gateway mounts services at paths: tuples of segments such as `("shop", "eu", "orders")`. A request goes to the
# **longest** mounted path that it begins with. Replicas of a service are mounted at the same path, once each. Pods come
# and go all day. Write `MountTable()`:
#
# * `add(path)`: one more mount at this path. The empty path `()` is allowed: it takes what nobody else does.
# * `remove(path)`: one mount less at this path. `KeyError` if there is none at exactly this path, and nothing changes.
# * `count(prefix)`: how many mounts (replicas included) there are at this path and at paths that begin with it.
# * `route(request)`: the longest mounted path that is the request's path or the beginning of it, as a tuple; None if
#   there is none.
# * Paths are tuples of hashable segments. For a path of k segments each call calls the segments' `__hash__` and
#   `__eq__` together at most **6·k + 6** times, however many mounts there are. (Where this is counted, different
#   segments have different hashes.)
# * The table keeps no reference to a segment that occurs in none of the mounted paths any more.
#
# ```python
# >>> table = MountTable()
# >>> for path in [("shop",), ("shop", "eu"), ("shop", "eu"), ("shop", "us", "orders")]:
# ...     table.add(path)
# >>> table.count(("shop",)), table.count(("shop", "eu")), table.count(("bank",))
# (4, 2, 0)
# >>> table.route(("shop", "us", "cart")), table.route(("bank",))
# (('shop',), None)
# >>> table.remove(("shop", "us"))
# Traceback (most recent call last):
# KeyError: ('shop', 'us')
# ```
#
# What the `KeyError` says is yours. `TrieNode` may be used.


# %% solution mount_table
class MountTable:
    """Mounted paths: how many lie below a prefix, and which is the longest that a request begins with."""

    def __init__(self) -> None:
        # BEGIN SOLUTION
        self._root = TrieNode()
        # END SOLUTION

    def add(self, path: tuple[Hashable, ...]) -> None:
        """Mount once more at a path."""
        # BEGIN SOLUTION
        node = self._root
        node.total += 1
        for part in path:
            node = node.children.setdefault(part, TrieNode())
            node.total += 1
        node.ends += 1
        # END SOLUTION

    def remove(self, path: tuple[Hashable, ...]) -> None:
        """Take one mount at a path away."""
        # BEGIN SOLUTION
        nodes = self._walk(path)
        if len(nodes) <= len(path) or not nodes[-1].ends:
            raise KeyError(path)
        nodes[-1].ends -= 1
        for node in nodes:
            node.total -= 1
        for length, part in enumerate(path):
            if not nodes[length + 1].total:
                del nodes[length].children[part]
        # END SOLUTION

    def count(self, prefix: tuple[Hashable, ...]) -> int:
        """Return how many mounts are at a path or below."""
        # BEGIN SOLUTION
        nodes = self._walk(prefix)
        return nodes[-1].total if len(nodes) > len(prefix) else 0
        # END SOLUTION

    def route(self, request: tuple[Hashable, ...]) -> tuple[Hashable, ...] | None:
        """Return the longest mounted path with which a request begins."""
        # BEGIN SOLUTION
        lengths = [length for length, node in enumerate(self._walk(request)) if node.ends]
        return request[: lengths[-1]] if lengths else None
        # END SOLUTION

    # BEGIN SOLUTION
    def _walk(self, path: tuple[Hashable, ...]) -> list[TrieNode]:
        """Return the nodes along a path, the root first, as far as there are any."""
        nodes = [self._root]
        for part in path:
            if part not in nodes[-1].children:
                return nodes
            nodes.append(nodes[-1].children[part])
        return nodes

    # END SOLUTION


# %% check mount_table points=2
def test_counts_mounts_at_and_below_a_prefix() -> None:
    table = MountTable()
    for path in [("a",), ("a", "b"), ("a", "b"), ("a", "c", "d"), ("x",)]:
        table.add(path)
    assert [table.count(path) for path in [("a",), ("a", "b"), ("a", "c"), ("b",)]] == [4, 2, 1, 0]
    assert table.count(()) == 5, "every path begins with the empty one"


def test_the_longest_mounted_path_gets_the_request() -> None:
    table = MountTable()
    table.add(("a",))
    table.add(("a", "b", "c"))
    assert table.route(("a", "b", "c", "d")) == ("a", "b", "c")
    assert table.route(("a", "b", "x")) == ("a",), "('a', 'b') is on the way to a mount, and is none"
    assert table.route(("b",)) is None


# %% hidden mount_table points=3
def test_removing_takes_one_replica() -> None:
    table = MountTable()
    for path in [("a", "b"), ("a", "b"), ("a",)]:
        table.add(path)
    table.remove(("a", "b"))
    assert (table.count(("a", "b")), table.count(("a",)), table.count(())) == (1, 2, 2)
    assert table.route(("a", "b")) == ("a", "b"), "one replica is left"
    table.remove(("a", "b"))
    assert (table.count(("a", "b")), table.route(("a", "b"))) == (0, ("a",)), "the request goes to the next shorter"


def test_removing_a_mount_keeps_those_below() -> None:
    table = MountTable()
    table.add(("a",))
    table.add(("a", "b"))
    table.remove(("a",))
    assert (table.route(("a",)), table.route(("a", "b", "c"))) == (None, ("a", "b"))
    assert table.count(()) == table.count(("a",)) == 1


@pytest.mark.parametrize("path", [(), ("a",), ("a", "b", "c"), ("x",), ("a", "x")])
def test_removing_what_is_not_mounted_changes_nothing(path: tuple[str, ...]) -> None:
    table = MountTable()
    table.add(("a", "b"))
    with pytest.raises(KeyError):
        table.remove(path)
    assert [table.count(("a", "b")[:length]) for length in range(3)] == [1, 1, 1], "a failed call has changed a count"
    assert table.route(("a", "b")) == ("a", "b")


def test_the_empty_path_takes_what_nobody_else_does() -> None:
    table = MountTable()
    assert (table.route(()), table.count(())) == (None, 0)
    table.add(())
    table.add(("a",))
    assert table.route(()) == table.route(("b", "c")) == (), "a match of length 0 is a match"
    assert (table.route(("a",)), table.count(())) == (("a",), 2)
    table.remove(())
    assert (table.route(("b",)), table.route(("a",))) == (None, ("a",))


def test_a_removed_path_can_be_mounted_again() -> None:
    table = MountTable()
    for _ in range(3):
        table.add((None, 0))
        assert (table.count((None,)), table.route((None, 0, ""))) == (1, (None, 0))
        table.remove((None, 0))
        assert (table.count(()), table.route((None, 0))) == (0, None)


def test_a_call_costs_the_length_of_its_path() -> None:
    tally: Counter[str] = Counter()
    table = MountTable()
    for number in range(300):
        table.add((number % 7, number % 50, *range(number % 40)))
    deep = tuple(items_of(range(100, 160), tally))
    same = tuple(items_of(range(100, 160), tally))
    calls: dict[str, Callable[[], object]] = {
        "add": lambda: table.add(deep),
        "add again": lambda: table.add(same),
        "count": lambda: table.count(same),
        "route": lambda: table.route(same),
        "remove": lambda: table.remove(same),
        "remove the last": lambda: table.remove(same),
    }
    for name, call in calls.items():
        tally.clear()
        call()
        made = tally["hash"] + tally["=="]
        assert made <= 6 * 60 + 6, f"{name}: {made} calls for 60 segments; does it hash every prefix as a whole?"


def test_segments_that_are_gone_are_not_kept() -> None:
    table = MountTable()
    kept, gone, below = (Item(name, Counter()) for name in ("kept", "gone", "below"))
    refs = [weakref.ref(gone), weakref.ref(below)]
    table.add((kept,))
    for path in [(kept, gone, below), (kept, gone)]:
        table.add(path)
        table.add(path)
        table.remove(path)
        table.remove(path)
    del path, gone, below
    gc.collect()
    assert [ref() for ref in refs] == [None, None], "nodes of removed paths stay: the table grows with every deployment"
    assert table.count((kept,)) == 1


# %% wrong mount_table fails=test_a_call_costs_the_length_of_its_path
# "A dict of all prefixes is a trie": each of the k prefixes is hashed as a whole, k²/2 segments in all.
class MountTable(Counter[Any]):
    def add(self, path: tuple[Hashable, ...], change: int = 1) -> None:
        self[path, "mounts"] += change
        self.subtract({(path[:length], "total"): -change for length in range(len(path) + 1)})

    def remove(self, path: tuple[Hashable, ...]) -> None:
        if not self[path, "mounts"]:
            raise KeyError(path)
        self.add(path, -1)

    def count(self, prefix: tuple[Hashable, ...]) -> int:
        return self[prefix, "total"]

    def route(self, request: tuple[Hashable, ...]) -> tuple[Hashable, ...] | None:
        candidates = (request[:length] for length in range(len(request), -1, -1))
        return next((path for path in candidates if self[path, "mounts"]), None)


# %% wrong mount_table fails=test_removing_what_is_not_mounted_changes_nothing
# "Count down on the way": when the way ends, half of it has been counted down.
class MountTable:
    def __init__(self) -> None:
        self._root = TrieNode()

    def add(self, path: tuple[Hashable, ...]) -> None:
        node = self._root
        node.total += 1
        for part in path:
            node = node.children.setdefault(part, TrieNode())
            node.total += 1
        node.ends += 1

    def remove(self, path: tuple[Hashable, ...]) -> None:
        nodes = [self._root]
        for part in path:
            nodes[-1].total -= 1
            nodes.append(nodes[-1].children[part])
            if nodes[-1].total == 1:
                del nodes[-2].children[part]
        nodes[-1].total -= 1
        nodes[-1].ends -= 1

    def count(self, prefix: tuple[Hashable, ...]) -> int:
        node: TrieNode | None = self._root
        for part in prefix:
            node = node.children.get(part) if node else None
        return node.total if node else 0

    def route(self, request: tuple[Hashable, ...]) -> tuple[Hashable, ...] | None:
        node, found = self._root, [0] if self._root.ends else []
        for length, part in enumerate(request, start=1):
            if part not in node.children:
                break
            node = node.children[part]
            found += [length] if node.ends else []
        return request[: found[-1]] if found else None


# %% right mount_table
class MountTable:
    """Mounted paths; a node is a list of ends, total and children."""

    def __init__(self) -> None:
        self._root: list[Any] = [0, 0, {}]  # ends, total, children

    def _last(self, path: tuple[Hashable, ...]) -> list[Any]:
        node = self._root
        for part in path:
            node = node[2].get(part) or [0, 0, {}]
        return node

    def add(self, path: tuple[Hashable, ...], change: int = 1) -> None:
        node = self._root
        node[1] += change
        for part in path:
            above, node = node, node[2].setdefault(part, [0, 0, {}])
            node[1] += change
            if not node[1]:
                del above[2][part]
        node[0] += change

    def remove(self, path: tuple[Hashable, ...]) -> None:
        if not self._last(path)[0]:
            raise KeyError(path)
        self.add(path, -1)

    def count(self, prefix: tuple[Hashable, ...]) -> int:
        found: int = self._last(prefix)[1]
        return found

    def route(self, request: tuple[Hashable, ...]) -> tuple[Hashable, ...] | None:
        node, longest = self._root, 0 if self._root[0] else None
        for length, part in enumerate(request, start=1):
            node = node[2].get(part) or [0, 0, {}]
            longest = length if node[0] else longest
        return None if longest is None else request[:longest]


# %% [markdown] hint mount_table
# Three different numbers are easily confused: how many children a node has, how many mounts end *at* it, and how many
# end at it or below. Which call reads which?

# %% [markdown] hint mount_table
# `remove` needs two walks: one that changes nothing and finds out whether there is such a mount; one that counts down
# and cuts off the first child whose total has become 0 (everything below it is this path, and no other).

# %% [markdown] hint mount_table
# `route`: begin with `longest = None`; at each node, the root too, `if node.ends: longest = length`; go on while there
# is a child. At the end `None if longest is None else request[:longest]`: the length may be 0.

# %% [markdown] after mount_table
# **Why.** Each node keeps an aggregate over its subtree, and `add` and `remove` correct it along *one* path. That is
# the pattern behind prefix counts, and behind "the three best completions" as well (there `remove` is harder: what is
# the fourth?). Check first, then change: the failed call leaves no trace. The cut at the first total of 0 frees the
# chain below; the loop could stop there, and does no harm by going on.
#
# **Alternatives.** A dict from tuple to number routes in k lookups, each of which hashes up to k segments: fine for
# paths of four segments, and many routers do just that. It can't count below a prefix without a counter for each
# prefix. A sorted list counts with two bisections and inserts in n. The other right answer has one walk that counts up
# or down.
#
# **The interviewer goes on**: *Wildcards, `/users/{id}/orders`? (A second kind of child; the literal one first, and
# back up if it leads nowhere.) IP routing? (Bits in place of segments; longest prefix match is the same walk.) A
# hundred million words? (Compress chains, pack into arrays, or a finite state transducer, as Lucene does.)*

# %% [markdown]
# ## Search trees
#
# A hash table knows nothing about *neighbours*: the last price before noon, all orders of a week, the next free slot.
# In a binary **search tree** everything left of a node is less, everything right of it greater; each step of a search
# discards one side. The cost is the **height**: log₂ n if the tree is balanced, n if keys arrive in order, which is how
# timestamps and ids do arrive:


# %%
def depths(order: Iterable[int]) -> list[int]:
    """Return the depth of each key in a plain search tree that gets them in this order."""
    keys: list[int] = []
    depth: dict[int, int] = {}
    for key in order:
        place = bisect.bisect(keys, key)
        neighbours = keys[max(place - 1, 0) : place + 1]  # a new key hangs below the deeper of its neighbours
        depth[key] = 1 + max((depth[each] for each in neighbours), default=0)
        keys.insert(place, key)
    return list(depth.values())


for n in (250, 500, 1_000):
    rising, mixed = depths(range(n)), depths(random.Random(n).sample(range(n), n))
    print(f"{n:5,} keys in order: deepest {max(rising):5,}, {sum(rising) - n:7,} comparisons to build; ", end="")
    print(f"in random order: {max(mixed)}, {sum(mixed) - n:6,}")

# %% [markdown]
# A random order is nearly as good as balancing (some 1.39·log₂ n comparisons a search), and nobody guarantees it.
# **Balanced** trees restore a bound on the height after each change, by **rotations**: a node and its child change
# places, the subtree between them changes its parent, the order of the keys stays. What differs is the invariant:
#
# | tree | invariant | height at most | used in |
# | --- | --- | --- | --- |
# | AVL | heights of siblings differ by at most 1 | 1.44·log₂ n | memory, many reads |
# | red-black | no red child of a red node, equal black depth | 2·log₂ n | Java's `TreeMap`, C++'s `std::map` |
# | treap, skip list | random priorities or levels | O(log n), expected | Redis's sorted sets (skip list) |
# | B-tree, m keys a page | at least half full, all leaves at one depth | log n / log(m/2) | databases, file systems |
#
# **In Python** there is no tree in the library. Up to some ten thousand keys a sorted list with `bisect` is faster than
# any tree in Python; above that `sortedcontainers.SortedList`, a list of lists of some thousand items. A hand-written
# red-black tree is the answer of somebody who has read the book and not the question.
#
# ### B-trees: count the pages
#
# A database reads *pages* of 8 or 16 KB. What costs is to fetch one; the few hundred keys in it are nearly free. So a
# node of a **B-tree** is a page full of sorted keys, with a child between each two and at both ends. A page that
# overflows splits in the middle and hands the middle key up to its parent, which may overflow in turn. If the root
# splits, the tree becomes one level higher, *at the top*: so all leaves stay at one depth without any rotation. Here
# are sixty keys in pages of different size:


# %%
def packed(keys: Sequence[int], most: int, levels: int) -> tuple[str, str, list[Any]]:
    """Return keys as a tree of pages with so many levels, to be drawn."""
    if levels == 1:
        return (" ".join(map(str, keys)), GREEN, [])
    children = max(2, math.ceil((len(keys) + 1) / (most + 1) ** (levels - 1)))
    cuts = [round(number * (len(keys) + 1) / children) - 1 for number in range(children + 1)]
    below = [packed(keys[low + 1 : high], most, levels - 1) for low, high in itertools.pairwise(cuts)]
    return (" ".join(str(keys[cut]) for cut in cuts[1:-1]), BLUE, below)


def in_pages(most: int) -> Forest:
    """Draw sixty keys in pages of at most so many keys."""
    levels = math.ceil(math.log(61, most + 1) - 1e-9)
    return Forest(
        f"60 keys, at most {most} in a page: a search reads {levels} pages", [packed(range(60), most, levels)]
    )


explore(in_pages, most=(2, 15, 3))

# %% [markdown]
# With 255 keys a page, four reads find any of 10⁸ keys, even if all pages are half full (128⁴ is more), and the upper
# levels are nearly always in memory. *Random* keys (UUID version 4) touch another page with each insertion: what hurts
# is the cache, not the height. A **B+ tree**, which is what databases have, keeps all rows in the leaves and links
# these, so that a range is one descent and then a walk.

# %% [markdown] exercise index_pages topic=advanced-data-structures level=staff minutes=18
# ## Exercise: An index on pages
#
# An embedded store needs an index over whole numbers on a `Disk` (below), whose pages hold at most `disk.most` keys.
# Write the insertion into a B-tree. A page is `(keys, children)`: ascending keys, and no children (a leaf) or one child
# more than keys, each the number of a page; `children[i]` has the keys between `keys[i - 1]` and `keys[i]`. The root is
# **always page 0**, which is an empty leaf at the beginning.
#
# `insert(disk, key)` adds a key and returns True; if it is there already it writes nothing and returns False.
#
# * After each call all leaves are at the same depth, each page but the root has at least `disk.most // 2` keys, and no
#   key is on two pages. `disk.most` is at least 2.
# * At each level at most one page is read. No page is written twice, and only pages whose keys or children change.
# * Nothing is kept between calls but what is on the disk.
#
# ```python
# >>> disk = Disk(most=2)
# >>> [insert(disk, key) for key in (30, 10, 20, 40, 10)]
# [True, True, True, True, False]
# >>> [disk.read(number)[0] for number in (0, *disk.read(0)[1])]
# [[20], [10], [30, 40]]
# >>> disk.write(disk.new(), [1, 2, 3], [])
# Traceback (most recent call last):
# ValueError: 3 keys and 0 children are no page
# ```


# %%
class Disk:
    """Pages by number; what is read is a copy, and only `write` changes a page."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._pages: list[tuple[list[int], list[int]]] = [([], [])]
        self.reads: list[int] = []
        self.writes: list[int] = []

    def new(self) -> int:
        """Return the number of a new page."""
        self._pages.append(([], []))
        return len(self._pages) - 1

    def read(self, number: int) -> tuple[list[int], list[int]]:
        """Return a page's keys and children."""
        self.reads.append(number)
        keys, children = self._pages[number]
        return list(keys), list(children)

    def write(self, number: int, keys: Sequence[int], children: Sequence[int]) -> None:
        """Store a page."""
        if len(keys) > self.most or (children and len(children) != len(keys) + 1):
            raise ValueError(f"{len(keys)} keys and {len(children)} children are no page")
        self.writes.append(number)
        self._pages[number] = (list(keys), list(children))


def audited(disk: Disk) -> tuple[list[int], list[list[int]]]:
    """Return all keys in order, and the numbers of the pages at each level; fail if it is no B-tree."""
    levels: list[list[int]] = []

    def visit(number: int, depth: int, low: float, high: float) -> list[int]:
        keys, children = disk._pages[number]
        levels.extend([[]] * (depth == len(levels)))
        levels[depth] = [*levels[depth], number]
        assert keys == sorted(set(keys)), f"page {number} has {keys}: ascending, each key once"
        assert all(low < key < high for key in keys), f"page {number} has {keys}, its parent allows {low} to {high}"
        assert not number or len(keys) >= disk.most // 2, f"page {number} has {len(keys)} of {disk.most} keys"
        assert not children or len(children) == len(keys) + 1
        if not children:
            leaves.add(depth)
        bounds = [low, *keys, high]
        found = [visit(child, depth + 1, *bounds[place : place + 2]) for place, child in enumerate(children)]
        return sorted(keys + list(itertools.chain(*found)))

    leaves: set[int] = set()
    everything = visit(0, 0, -math.inf, math.inf)
    assert len(leaves) == 1, f"there are leaves at the depths {sorted(leaves)}"
    return everything, levels


# %% solution index_pages
def insert(disk: Disk, key: int) -> bool:
    """Add a key; return whether it is new."""
    # BEGIN SOLUTION
    way = []
    number = 0
    while True:
        keys, children = disk.read(number)
        place = bisect.bisect_left(keys, key)
        if keys[place : place + 1] == [key]:
            return False
        way.append((number, keys, children, place))
        if not children:
            break
        number = children[place]
    new: list[int] = []
    for number, keys, children, place in reversed(way):
        keys.insert(place, key)
        children[place + 1 : place + 1] = new
        if len(keys) <= disk.most:
            disk.write(number, keys, children)
            break
        middle = len(keys) // 2
        key = keys[middle]
        new = [disk.new()]
        disk.write(new[0], keys[middle + 1 :], children[middle + 1 :])
        left = number or disk.new()
        disk.write(left, keys[:middle], children[: middle + 1])
        if not number:
            disk.write(0, [key], [left, *new])
    return True
    # END SOLUTION


# %% check index_pages points=2
def test_the_pages_are_a_b_tree_after_each_insert() -> None:
    disk = Disk(most=3)
    for number, key in enumerate(random.Random(2).sample(range(60), 60), start=1):
        assert insert(disk, key) is True, "the key is new"
        keys, _ = audited(disk)
        assert len(keys) == number, f"{number} keys were inserted, and the pages hold {len(keys)}"


def test_a_key_that_is_there_changes_nothing() -> None:
    disk = Disk(most=2)
    for key in range(20):
        insert(disk, key)
    disk.writes.clear()
    assert [insert(disk, key) for key in range(20)] == [False] * 20, "in leaves and in inner pages"
    assert disk.writes == []


# %% hidden index_pages points=4
@pytest.mark.parametrize("most", [2, 3, 4, 7, 16])
def test_any_order_and_any_size_of_page(most: int) -> None:
    shuffled = random.Random(most).sample(range(150), 150)
    for order in (list(range(150)), list(range(150))[::-1], shuffled):
        disk = Disk(most)
        for key in order:
            insert(disk, key)
            audited(disk)
        assert audited(disk)[0] == list(range(150)), "all keys are there, each once"


def test_one_page_a_level_is_read() -> None:
    disk = Disk(most=3)
    for key in random.Random(3).sample(range(200), 200):
        _, levels = audited(disk)
        disk.reads.clear()
        insert(disk, key)
        read = Counter(depth for number in disk.reads for depth, level in enumerate(levels) if number in level)
        assert max(read.values()) == 1, f"pages {disk.reads} were read; the levels are {levels}"


def test_what_changes_is_written_once_and_nothing_else() -> None:
    disk = Disk(most=3)
    for key in random.Random(3).sample(range(200), 200):
        before = list(disk._pages)
        disk.writes.clear()
        insert(disk, key)
        changed = [number for number, page in enumerate(disk._pages) if page not in before[number : number + 1]]
        assert sorted(disk.writes) == changed, f"pages {changed} have changed, and {disk.writes} were written"


def test_everything_is_on_the_disk() -> None:
    first, second = Disk(most=2), Disk(most=2)
    for key in range(9):
        insert(first, key)
    assert insert(second, 3) is True, "another disk is another index"
    assert (audited(first)[0], audited(second)[0]) == (list(range(9)), [3])


# %% wrong index_pages fails=test_the_pages_are_a_b_tree_after_each_insert
# "A full leaf gets children": a tree that grows at the bottom is as deep as the order of its keys wants.
def insert(disk: Disk, key: int) -> bool:
    number = 0
    while True:
        keys, children = disk.read(number)
        if key in keys:
            return False
        place = bisect.bisect_left(keys, key)
        if not children:
            break
        number = children[place]
    keys.insert(place, key)
    if len(keys) > disk.most:
        middle = len(keys) // 2
        children = [disk.new(), disk.new()]
        disk.write(children[0], keys[:middle], [])
        disk.write(children[1], keys[middle + 1 :], [])
        keys = [keys[middle]]
    disk.write(number, keys, children)
    return True


# %% wrong index_pages fails=test_any_order_and_any_size_of_page
# "The leaf keeps what goes up": that is a B+ tree, in which inner pages only show the way.
def insert(disk: Disk, key: int) -> bool:
    split = added(disk, 0, key)
    if split and split[1:]:
        disk.write(0, [split[0]], split[1:])
    return split is not None


def added(disk: Disk, number: int, key: int) -> list[int] | None:
    keys, children = disk.read(number)
    if key in keys:
        return None
    place = bisect.bisect_right(keys, key)
    if children:
        split = added(disk, children[place], key)
        if not split:
            return split
        key, *children[place : place + 1] = split
    keys.insert(place, key)
    if len(keys) <= disk.most:
        disk.write(number, keys, children)
        return []
    middle = len(keys) // 2
    pages = [number or disk.new(), disk.new()]
    disk.write(pages[0], keys[:middle], children[: middle + 1])
    disk.write(pages[1], keys[middle + bool(children) :], children[middle + 1 :])
    return [keys[middle], *pages]


# %% right index_pages
def insert(disk: Disk, key: int) -> bool:
    split = added(disk, 0, key)
    if split and split[1:]:
        disk.write(0, [split[0]], split[1:])
    return split is not None


def added(disk: Disk, number: int, key: int) -> list[int] | None:
    """Insert below a page; return None for a key that was there, and of a split the key and the pages beside it."""
    keys, children = disk.read(number)
    place = bisect.bisect_left(keys, key)
    if keys[place : place + 1] == [key]:
        return None
    if children:
        split = added(disk, children[place], key)
        if not split:
            return split
        key, *children[place : place + 1] = split
    keys.insert(place, key)
    if len(keys) <= disk.most:
        disk.write(number, keys, children)
        return []
    middle = len(keys) // 2
    pages = [number or disk.new(), disk.new()]
    disk.write(pages[0], keys[:middle], children[: middle + 1])
    disk.write(pages[1], keys[middle + 1 :], children[middle + 1 :])
    return [keys[middle], *pages]


# %% [markdown] hint index_pages
# On the way down remember each page with the place at which you left it. A split gives two things to the level above: a
# key, and the number of the page to the right of it. Where do they go there?

# %% [markdown] hint index_pages
# Go up the remembered way: insert the key at its place and the new page behind it; if it fits, write and stop. If not,
# the middle key goes up; it stays in neither half. Page 0 is the exception: *both* halves move to new pages, and 0
# becomes a page with one key and two children.

# %% [markdown] hint index_pages
# `keys.insert(place, key)`, and above the leaves `children.insert(place + 1, right)`; too many: `middle = len(keys) //
# 2`, the new page `right = disk.new()` gets `keys[middle + 1:]` and `children[middle + 1:]`, the old one
# `keys[:middle]` and `children[:middle + 1]` (both are right for leaves too), and `key = keys[middle]` goes up. For
# page 0, `left = disk.new()` in place of 0, and then `disk.write(0, [key], [left, right])`.

# %% [markdown] after index_pages
# **Why.** All leaves stay at one depth because the tree never grows at the bottom: a page splits *sideways*, and only
# the root adds a level. Half full follows from splitting most + 1 keys in the middle. One page a level is read, and
# most inserts write one page: with m keys a page at most some 2/m of them split.
#
# **Alternatives.** The other right answer goes down by recursion and up by its results; the depth is the number of
# levels, so Python's limit is no topic. Splitting full pages on the way *down* needs no way back (and lets a concurrent
# insert release its locks early), but splits pages that might have stayed. Ascending keys leave every page half full:
# databases see that it is the last page that splits, and leave it nearly full.
#
# **The interviewer goes on**: *A range? (Bisect both ends in each page, and go into the children between them.)
# Deleting? (Borrow from a sibling or merge; most databases only free pages that are empty.) The power fails between two
# writes? (A write-ahead log: which of the three pages of a root split may be written first?) Why is the order of
# columns in an index not free? (Keys are tuples: a prefix is a range, a suffix isn't.)*

# %% [markdown]
# ## Graphs
#
# **Graphs** are nodes and edges, directed or not, with weights or not. In Python a dict from node to its neighbours
# (*adjacency list*, memory n + e) is nearly always right; a matrix (n²) only for dense graphs and for algebra. Often
# there is no structure at all: a **function** that returns the neighbours, by a query or by trying the moves, and the
# graph is explored as far as it is needed.
#
# | question | algorithm | cost |
# | --- | --- | --- |
# | what can be reached? fewest edges? | breadth first: a queue | n + e |
# | in which order, is there a cycle? | topological order; depth first with three colours | n + e |
# | cheapest way, no weight negative | Dijkstra: a heap | (n + e)·log n |
# | … with an estimate that never exceeds what is left | A*: the heap's order is cost + estimate | less in practice |
# | … some weight negative | Bellman-Ford; finds negative cycles | n·e |
# | cheapest net that connects all | Kruskal: sort the edges, union-find | e·log e |
#
# Mark a node when it is *put into* the queue, not when it comes out, or a node with many ways to it is in the queue as
# often. And recursion is as deep as the longest path: a chain of a thousand modules ends in a `RecursionError`, so
# write loops.
#
# ### Order of dependencies
#
# A **topological order** puts each node after everything that it needs. There is one exactly if there is no cycle.
# Kahn's algorithm counts for each node the needs that are still open. What has none is ready; taking it closes a need
# of each of its dependents. What is never ready lies on a cycle, **or behind one**. This is the difference between a
# useful error and a useless one:

# %%
IMPORTS = {
    "app": ["api", "admin"],
    "api": ["orders"],
    "admin": ["orders", "reports"],
    "orders": ["prices"],
    "prices": ["tax"],
    "tax": ["orders"],
    "reports": [],
}
taken: list[str] = []
while ready := [module for module in IMPORTS if module not in taken and set(IMPORTS[module]) <= set(taken)]:
    taken += ready
print("taken:", taken, "  never ready:", [module for module in IMPORTS if module not in taken])
try:
    graphlib.TopologicalSorter(IMPORTS).prepare()
except graphlib.CycleError as error:
    print("graphlib:", error.args)

# %% [markdown]
# Six of seven modules are never ready, and three of them form the cycle. To find it: stand on any node that was never
# ready, and go to one of its needs that was never ready either; there always is one. Sooner or later a node comes a
# second time, and from its first visit on the way is a cycle. `graphlib` (from 3.9) names a cycle too, in the direction
# "is needed by", and its `get_ready()`/`done()` hand out what can run in parallel.

# %% [markdown] exercise migration_order topic=advanced-data-structures level=core minutes=12
# ## Exercise: Migrations in order, or the cycle by name
#
# A deployment runs database migrations, each of which names those that it needs. Two machines have to come to the same
# order. When there is a cycle, the present script says "cyclic dependency" and lists four hundred names, of which three
# matter.
#
# `migration_order(needs)` gets a dict from a migration's name (a string) to the names that it needs, as an iterable
# that can be read **once**, and returns the list of all names, each once, each after all that it needs.
#
# * A name that occurs only as a need is a migration as well, and needs nothing.
# * At each point, of those that could come next, the **least** name (by `<`) comes next.
# * A name may be there twice among the needs of one migration; it counts as once.
# * If there is no such order, `CycleError` (below) is raised; its `names` is one cycle: each name needs the next one
#   *directly*, the last is equal to the first, and otherwise none occurs twice. Which cycle, and where it begins, is
#   free. A migration that needs itself is the cycle `[name, name]`.
# * With n names and e needs in all, the names' `__hash__` is called at most **16·(n + e)** times. A chain of 20,000
#   names works within the usual recursion limit, and so does a cycle of that length.
#
# ```python
# >>> migration_order({"orders": ["users", "items"], "audit": ["users"]})
# ['items', 'users', 'audit', 'orders']
# >>> migration_order({})
# []
# >>> try:
# ...     migration_order({"a": ["b"], "b": ["b", "c"]})
# ... except CycleError as error:
# ...     print(error.names)
# ['b', 'b']
# ```


# %%
class CycleError(ValueError):
    """There is no order: each of these names needs the next, and the last one is the first."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(" needs ".join(names))
        self.names = list(names)


# %% solution migration_order
def migration_order(needs: Mapping[str, Iterable[str]]) -> list[str]:
    """Return all names, each after what it needs, the least first."""
    # BEGIN SOLUTION
    graph = {name: set(before) for name, before in needs.items()}
    dependents: dict[str, list[str]] = {name: [] for name in graph}
    for name, before in graph.items():
        for each in before:
            dependents.setdefault(each, []).append(name)
    open_needs = {name: len(graph.get(name, ())) for name in dependents}
    ready = [name for name, number in open_needs.items() if not number]
    heapq.heapify(ready)
    order = []
    while ready:
        order.append(heapq.heappop(ready))
        for name in dependents[order[-1]]:
            open_needs[name] -= 1
            if not open_needs[name]:
                heapq.heappush(ready, name)
    stuck = {name for name, number in open_needs.items() if number}
    if not stuck:
        return order
    name = next(iter(stuck))
    way: list[str] = []
    places: dict[str, int] = {}
    while name not in places:
        places[name] = len(way)
        way.append(name)
        name = next(each for each in graph[name] if each in stuck)
    raise CycleError([*way[places[name] :], name])
    # END SOLUTION


# %% check migration_order points=2
def test_each_comes_after_what_it_needs() -> None:
    needs = {"d": ["b", "c"], "b": ["a"], "c": ["a"], "e": ["d", "x"]}
    order = migration_order(needs)
    assert sorted(order) == list("abcdex"), "all names, each once, 'x' too, which is only needed"
    for name, before in needs.items():
        assert all(order.index(each) < order.index(name) for each in before), f"{name} came before what it needs"


def test_a_cycle_is_named() -> None:
    with pytest.raises(CycleError) as caught:
        migration_order({"a": ["b"], "b": ["c"], "c": ["a"]})
    names = caught.value.names
    assert len(names) == 4
    assert " ".join(names) in "a b c a b c a", "each needs the next, and the last is the first"


# %% hidden migration_order points=3
class Name(str):
    """A name that counts how often it is hashed."""

    __slots__ = ()
    hashed = 0

    def __hash__(self) -> int:
        Name.hashed += 1
        return super().__hash__()

    __eq__ = str.__eq__


def test_the_least_of_those_that_could_be_next_comes_next() -> None:
    assert migration_order({"b": [], "c": [], "a": ["c"], "d": []}) == ["b", "c", "a", "d"], (
        "'a' could come only after 'c', and then it is less than 'd'"
    )
    assert migration_order({"z": ["y"], "m": [], "k": ["z"]}) == ["m", "y", "z", "k"]
    shuffled = random.Random(5).sample(range(100, 200), 100)
    assert migration_order({str(number): () for number in shuffled}) == [str(number) for number in range(100, 200)]


def test_needs_are_read_once_and_count_once() -> None:
    assert migration_order({"a": iter(["b", "b"]), "c": iter(["a", "b", "a"])}) == ["b", "a", "c"]


def test_what_only_waits_for_a_cycle_is_not_in_it() -> None:
    needs = {
        "app": ["api", "free"],
        "api": ["orders"],
        "orders": ["free", "prices"],
        "prices": ["tax"],
        "tax": ["free", "orders"],
        "later": ["app"],
    }
    with pytest.raises(CycleError) as caught:
        migration_order(needs)
    names = caught.value.names
    assert sorted(names[1:]) == ["orders", "prices", "tax"], "the other names needn't be changed to break the cycle"
    assert names[0] == names[-1]
    assert all(after in needs[name] for name, after in itertools.pairwise(names)), "each needs the next one"


def test_what_needs_itself_is_a_cycle() -> None:
    with pytest.raises(CycleError) as caught:
        migration_order({"a": ["a"], "b": ["a"], "c": []})
    assert caught.value.names == ["a", "a"]


@pytest.mark.parametrize("seed", range(30))
def test_some_cycle_is_found_wherever_there_is_one(seed: int) -> None:
    chance = random.Random(seed)
    names = [str(number) for number in range(8)]
    needs = {name: [each for each in names if chance.random() < 0.3] for name in names}
    reachable = {name: set(before) for name, before in needs.items()}
    for middle, name in itertools.product(names, names):
        if middle in reachable[name]:
            reachable[name] |= reachable[middle]
    if any(name in reachable[name] for name in names):
        with pytest.raises(CycleError) as caught:
            migration_order(needs)
        cycle = caught.value.names
        assert cycle[0] == cycle[-1]
        assert len(set(cycle)) == len(cycle) - 1 >= 1, "apart from the ends none occurs twice"
        assert all(after in needs[name] for name, after in itertools.pairwise(cycle))
    else:
        order = migration_order(needs)
        assert all(order.index(each) < order.index(name) for name in names for each in needs[name])


def test_the_cost_grows_with_names_and_needs() -> None:
    names = [Name(f"{number:04}") for number in range(1_000)]
    chain: dict[str, Iterable[str]] = {name: [before] for before, name in itertools.pairwise(names)}
    Name.hashed = 0
    assert migration_order(chain) == names
    assert Name.hashed <= 16 * 2_000, (
        f"{Name.hashed:,} hashes for 1,000 names: is each round a look at all that are left?"
    )


def test_a_long_chain_needs_no_recursion() -> None:
    needs = {f"{number:06}": [f"{number + 1:06}"] for number in range(20_000)}
    assert migration_order(needs) == [f"{number:06}" for number in range(20_000, -1, -1)]
    with pytest.raises(CycleError) as caught:
        migration_order({**needs, "020000": ["000000"]})
    assert len(caught.value.names) == 20_002


# %% wrong migration_order fails=test_what_only_waits_for_a_cycle_is_not_in_it
# "What is left over is the cycle": what waits for it is left over as well.
def migration_order(needs: Mapping[str, Iterable[str]]) -> list[str]:
    graph = {name: set(before) for name, before in needs.items()}
    for each in set().union(*graph.values()):
        graph.setdefault(each, set())
    dependents: dict[str, list[str]] = {name: [] for name in graph}
    for name, before in graph.items():
        for each in before:
            dependents[each].append(name)
    ready = sorted(name for name in graph if not graph[name])
    order = []
    while ready:
        order.append(heapq.heappop(ready))
        for name in dependents[order[-1]]:
            graph[name].remove(order[-1])
            if not graph[name]:
                heapq.heappush(ready, name)
    left = [name for name in graph if graph[name]]
    if left:
        raise CycleError([*left, left[0]])
    return order


# %% wrong migration_order fails=test_the_least_of_those_that_could_be_next_comes_next
# "Depth first over the sorted names": an order, but not the one that was agreed.
def migration_order(needs: Mapping[str, Iterable[str]]) -> list[str]:
    graph = {name: sorted(before) for name, before in needs.items()}
    order: dict[str, None] = {}
    for start in sorted(graph):
        way: dict[str, Iterator[str]] = {start: iter(graph[start])}
        while way:
            name = next(reversed(way))
            following = next(way[name], None)
            if following is None:
                order[name] = None
                del way[name]
            elif following in way:
                names = list(way)
                raise CycleError([*names[names.index(following) :], following])
            elif following not in order:
                way[following] = iter(graph.get(following, ()))
    return list(order)


# %% right migration_order
def migration_order(needs: Mapping[str, Iterable[str]]) -> list[str]:
    sorter = graphlib.TopologicalSorter({name: list(before) for name, before in needs.items()})
    try:
        sorter.prepare()
    except graphlib.CycleError as error:
        raise CycleError(error.args[1][::-1]) from None
    ready = list(sorter.get_ready())
    heapq.heapify(ready)
    order = []
    while ready:
        order.append(heapq.heappop(ready))
        sorter.done(order[-1])
        for name in sorter.get_ready():
            heapq.heappush(ready, name)
    return order


# %% [markdown] hint migration_order
# Two tables: for each name, how many needs are open; for each name, who is waiting for it. Which container hands out
# the least of those that are ready?

# %% [markdown] hint migration_order
# What has open needs at the end is on a cycle or behind one. From such a name go to *any* need that is stuck as well,
# and note at which step each name was visited. Where you come to a name for the second time, the cycle has closed.

# %% [markdown] hint migration_order
# `places = {}`, `way = []`; `while name not in places:` note the place, append, `name = next(each for each in
# graph[name] if each in stuck)`. Then `[*way[places[name]:], name]`. Everything before that place only led there.

# %% [markdown] after migration_order
# **Why.** Each edge is looked at once when it closes, so n + e, plus n·log n comparisons for the heap that makes the
# order the same on each machine. The walk among the stuck names can't get stuck: whoever is stuck has an open need, and
# an open need is stuck. After at most n steps a name repeats.
#
# **Alternatives.** Depth first with three colours (new, on the way, done) finds an order and a cycle in one pass: an
# edge to a node that is *on the way* closes a cycle. Written recursively it is shorter, and ends at a depth of a
# thousand. It can't give the least name first. `graphlib`, the other right answer, is what to use at work; its cycle
# runs in the direction "is needed by", hence the reversal.
#
# **The interviewer goes on**: *Run them in parallel? (Hand out all that are ready; each end closes needs.) All cycles?
# (There may be exponentially many: report strongly connected components, Tarjan's algorithm, n + e.) Which need to
# remove so that the fewest change? (Minimum feedback arc set: NP-hard. Show the cycle and let people decide.)*

# %% [markdown]
# ### The cheapest way
#
# **Dijkstra's** algorithm keeps the best known cost of each node it has seen, and *settles* the one with the least:
# since no edge is negative, no detour by a dearer node can make it cheaper. Settling a node offers its neighbours a new
# cost. `heapq` has no decrease-key, so the usual program pushes a second entry and ignores the stale one when it comes.
# The graph here is a *function* `legs`, which is called once for each stop that is settled before the goal:


# %%
def cheapest_route(
    legs: Callable[[Any], Iterable[tuple[Any, int]]], start: Hashable, goal: Hashable
) -> tuple[int, list[Any]] | None:
    """Return the least cost and a route that has it, or None where there is no way."""
    best: dict[Any, int] = {start: 0}
    came_from: dict[Any, Any] = {}
    numbers = itertools.count()  # decides between equal costs, since stops have no order
    queue: list[tuple[int, int, Any]] = [(0, next(numbers), start)]
    while queue:
        cost, _, stop = heapq.heappop(queue)
        if stop == goal:
            route = [stop]
            while route[-1] != start:
                route.append(came_from[route[-1]])
            return cost, route[::-1]
        if cost > best[stop]:
            continue  # stale: this stop has been reached more cheaply
        for following, price in legs(stop):
            if price < 0:
                raise ValueError(f"negative cost from {stop!r} to {following!r}")
            total = cost + price
            if following not in best or total < best[following]:
                best[following] = total
                came_from[following] = stop
                heapq.heappush(queue, (total, next(numbers), following))
    return None


ROADS = {
    "depot": [("bridge", 4), ("harbour", 9)],
    "bridge": [("market", 3), ("harbour", 2)],
    "harbour": [("market", 2), ("airport", 7)],
    "market": [("airport", 4)],
    "airport": [("island", 50)],
    "island": [],
}
print(cheapest_route(lambda stop: print("asked for", stop) or ROADS[stop], "depot", "airport"))

# %% [markdown]
# "harbour" was seen first at 9, and settled at 6. The airport's own legs were never asked for: when it is *popped* its
# cost is final. With n nodes and e edges the cost is (n + e)·log n; with `min` over the open nodes in place of the heap
# it would be n². A **negative** weight takes the argument away: a settled node could become cheaper. Adding a constant
# to all weights doesn't help, since it favours ways with few edges.
#
# Such a program is short and looks right at once. Its defects sit in single lines:

# %%
ROUTE_CODE = """
def route(legs, start, goal):
    if start == goal:
        return 0, []
    best = {start: 0}
    before = {}
    done = set()
    queue = [(0, 0, start)]
    while queue:
        cost, _, stop = heapq.heappop(queue)
        neighbours = legs(stop)
        if stop in done:
            continue
        done.add(stop)
        for following, price in neighbours:
            if price <= 0:
                raise ValueError("negative cost")
            total = cost + price
            if following == goal: return total, [*way(before, stop), goal]
            if following in best and best[following] <= total:
                continue
            best[following] = total
            before.setdefault(following, stop)
            heapq.heappush(queue, (total, len(queue), following))
            heapq.heapify(queue)
    return None
"""


def route_lines(kind: str, review: Mapping[int, str]) -> set[int]:
    """Return the lines that a review gives a kind."""
    return {line for line, each in review.items() if each == kind}


for number, line in enumerate(ROUTE_CODE.strip().splitlines(), start=1):
    print(f"{number:>2} {line}")

# %% [markdown] exercise review_route topic=advanced-data-structures level=senior minutes=8
# ## Exercise: Review the routing service
#
# This function is up for review. The contract: `route(legs, start, goal)` returns `(cost, stops)` with the least cost
# and the stops from start to goal, both included; None if there is no way. `legs(stop)` asks a partner's API, each call
# costs money, and returns a list of `(next stop, cost)`. Costs are whole numbers, 0 is allowed, a negative one that is
# read has to be a `ValueError`. Stops are hashable objects **without an order**. Right are `way(before, stop)`, which
# follows `before` back from a stop and returns the stops from the start to it, both included, and the imports.
#
# Seven lines have to be changed, moved or removed. `review_route()` returns a dict from the number of the line to the
# kind of its defect, one of these five strings (each occurs at least once). Each line is judged as if the others had
# been mended.
#
# * `"cost"`: the returned cost can be too high
# * `"stops"`: the cost is right, and the returned stops aren't a route of that cost from start to goal
# * `"calls"`: the result is right, and the API is called more often than needed
# * `"crash"`: it raises an error for an input that the contract allows
# * `"slow"`: the result is right, and each leg costs work that grows with the number of stops in the queue
#
# ```python
# >>> len(review_route())
# 7
# >>> sorted(set(review_route().values()))
# ['calls', 'cost', 'crash', 'slow', 'stops']
# >>> review_route()[1]
# Traceback (most recent call last):
# KeyError: 1
# ```


# %% solution review_route
def review_route() -> dict[int, str]:
    """Return the kind of defect by line."""
    # BEGIN SOLUTION
    return {3: "stops", 10: "calls", 15: "crash", 18: "cost", 22: "stops", 23: "crash", 24: "slow"}
    # END SOLUTION


# %% check review_route points=1
def test_names_lines_and_kinds_of_the_list() -> None:
    found = review_route()
    assert set(found) <= set(range(1, 26)), "a number that is no line of the function"
    assert set(found.values()) <= {"cost", "stops", "calls", "crash", "slow"}, "a kind that isn't listed"


def test_finds_where_the_goal_is_taken_too_early() -> None:
    assert route_lines("cost", review_route()) == {18}, (
        "seen isn't settled: a stop in the queue may lead there more cheaply"
    )


# %% hidden review_route points=3
def test_finds_the_stops_that_are_no_route_of_that_cost() -> None:
    assert route_lines("stops", review_route()) == {3, 22}, "start is a stop; cost and stop before belong together"


def test_finds_the_calls_that_nobody_needs() -> None:
    assert route_lines("calls", review_route()) == {10}, "the API is asked again for each stale entry"


def test_finds_the_errors_on_allowed_input() -> None:
    assert route_lines("crash", review_route()) == {15, 23}, "a free leg; two entries that are alike"


def test_finds_the_work_that_grows() -> None:
    assert route_lines("slow", review_route()) == {24}, "heappush has kept the invariant"


# %% wrong review_route fails=test_finds_the_errors_on_allowed_input
# "A length is as good as a running number": it falls again with each pop, and two entries share it.
def review_route() -> dict[int, str]:
    """Return the kind of defect by line."""
    return {3: "stops", 10: "calls", 15: "crash", 18: "cost", 20: "cost", 22: "stops", 24: "slow"}


# %% wrong review_route fails=test_finds_the_stops_that_are_no_route_of_that_cost
# "setdefault, so that the first predecessor stays": the first one belongs to a cost that was improved since.
def review_route() -> dict[int, str]:
    """Return the kind of defect by line."""
    return {3: "stops", 10: "calls", 15: "crash", 18: "cost", 21: "stops", 23: "crash", 24: "slow"}


# %% [markdown] hint review_route
# Go through it with five questions, not once from top to bottom: what if start is the goal, a leg costs 0, two stops
# cost the same, a stop is reached a second time and more cheaply, an entry is stale when it is popped?

# %% [markdown] hint review_route
# Compare with `cheapest_route`, line by line: where is the goal checked, when is `legs` called, what is written
# together, and what decides between equal costs?

# %% [markdown] hint review_route
# `len(queue)` can be equal for two entries: push, pop, push. `setdefault` keeps what was there. `heappush` needs no
# help. And among the seven: the result for `start == goal`, the sign in `<=`, the line that calls, the early return.

# %% [markdown] after review_route
# * **3, stops**: `[start]`; code that reads `stops[0]` fails on it.
# * **10, calls**: it belongs below line 12 and below the check for the goal; neither a stale entry nor the goal is
#   worth a call.
# * **15, crash**: `< 0`. A free leg is allowed, and Dijkstra has no trouble with it.
# * **18, cost**: the goal is final when it is *popped*, so the check belongs below line 12.
# * **22, stops**: `before[following] = stop`. Cost and predecessor are one fact and are written together.
# * **23, crash**: a tie-breaker has to be unique: `next(numbers)`. With few equal costs this one passes every test.
# * **24, slow**: O(n) for each leg, for nothing.
#
# Right are lines 19 to 21 (an equal cost is no improvement) and `done`: the first entry of a stop that is popped is its
# cheapest.
#
# **The interviewer goes on**: *Fewer calls still? (A\* with the distance as the crow flies, which never exceeds the
# cost; or from both ends.) At most three changes? (The state becomes (stop, changes).) Rates of exchange? (−log of the
# rate may be negative: Bellman-Ford, and a negative cycle is arbitrage.)*


# %% [markdown]
# ## Union-find
#
# "Are these two connected *by now*?", while connections keep coming. Breadth first search answers it once, in n + e; a
# label for each item answers at once, and each merge has to relabel a whole group. **Union-find** (disjoint sets) keeps
# a forest in which each item points to a parent and each *root* stands for its group. Two are connected if they have
# the same root; merging is one pointer. Two ideas keep the trees flat:
#
# * **union by size** (or rank): hang the *smaller* tree under the root of the larger. An item gets one deeper only when
#   its group at least doubles, so the depth is at most log₂ n;
# * **path compression**: who has found the root points all on the way to it directly.
#
# Together m operations cost m·α(n), with an inverse of Ackermann's function that is at most 4 for any n that fits into
# the universe. Amortised: a single operation may still take log n steps. The worst order without these ideas is "new to
# old", each new item being connected with the first:


# %%
def pointers_followed(connections: Iterable[tuple[int, int]], *, by_size: bool, compress: bool) -> int:
    """Return how many pointers are followed while these connections are made."""
    parents: dict[int, int] = {}
    sizes: Counter[int] = Counter()
    followed = 0

    def root_from(item: int) -> int:
        nonlocal followed
        way = []
        while (above := parents.setdefault(item, item)) != item:
            way.append(item)
            item = above
            followed += 1
        if compress:
            parents.update(dict.fromkeys(way, item))
        return item

    for one, other in connections:
        small, large = root_from(one), root_from(other)
        if by_size and sizes[small] > sizes[large]:
            small, large = large, small
        if small != large:
            parents[small] = large
            sizes[large] += sizes[small] + 1
    return followed


print(f"{'by size':>8} {'compress':>9}" + "".join(f"{n:>11,}" for n in (100, 200, 400)) + "   pointers followed")
for by_size, compress in itertools.product((False, True), repeat=2):
    row = []
    for n in (100, 200, 400):
        new_to_old = [(0, number) for number in range(1, n)]
        row.append(pointers_followed(new_to_old, by_size=by_size, compress=compress))
    print(f"{by_size!s:>8} {compress!s:>9}" + "".join(f"{followed:11,}" for followed in row))

# %% [markdown]
# For this order each idea is enough alone. For others it isn't: equal groups merged pair by pair become log₂ n deep in
# spite of the sizes, and without them a single call may follow n pointers before it compresses.
#
# What it can't: **take a connection back**, list a group (keep a circular list beside the pointers), or say *how* two
# are connected. Deletions need other structures, or the trick of reading the history backwards. Where it is used:
# Kruskal's minimum spanning tree, connected regions in images, unification in type checkers, and entity resolution:

# %% [markdown] exercise account_merge topic=advanced-data-structures level=senior minutes=12
# ## Exercise: Which accounts are one customer?
#
# A stream of evidence says "these two accounts are the same customer": same card, same phone. Services ask for the
# oldest account of a customer, the one with the **smallest number**, and for how many accounts there are. All state
# lives in a key-value store over the network (`Store`, below), so reads and writes are what costs.
#
# * `merge(store, one, other)`: from now on the two accounts (whole numbers) and all that are known to be the same
#   belong together. Returns True if they didn't before. An account may be merged with itself: False.
# * `group(store, account)` returns `(size, oldest)`: how many accounts are in its group, and the smallest number among
#   them. An account that nobody has merged is a group of its own, and asking for it writes nothing.
# * **Everything is in the store**: nothing else is kept between calls. What you store under an account is yours; there
#   is one value for each.
# * Let n be the number of accounts that occurred in a `merge` so far, the present one included. A call reads and writes
#   together at most **4·b + 8** times, where b = `n.bit_length()`. k calls in a row of `group` for *one* account, with
#   no merge between them, read and write together at most **2·k + 8·b** times.
#
# ```python
# >>> store = Store()
# >>> merge(store, 70, 20), merge(store, 90, 50), merge(store, 50, 70), merge(store, 20, 90)
# (True, True, True, False)
# >>> group(store, 90), group(store, 1)
# ((4, 20), (1, 1))
# ```


# %%
class Store:
    """A key-value store that counts reads and writes."""

    def __init__(self) -> None:
        self._values: dict[int, Any] = {}
        self.reads = self.writes = 0

    def read(self, account: int) -> Any:
        """Return what is stored under an account, None if there is nothing."""
        self.reads += 1
        return self._values.get(account)

    def write(self, account: int, value: Any) -> None:
        """Store a value under an account."""
        self.writes += 1
        self._values[account] = value


# %% solution account_merge
def merge(store: Store, one: int, other: int) -> bool:
    """Put the groups of two accounts together; return whether they were two."""
    # BEGIN SOLUTION
    small, large = sorted([root_of(store, one), root_of(store, other)])
    (small_size, small_oldest, small_root), (large_size, large_oldest, large_root) = small, large
    if small_root == large_root:
        return False
    store.write(small_root, large_root)
    store.write(large_root, (small_size + large_size, min(small_oldest, large_oldest)))
    return True
    # END SOLUTION


def group(store: Store, account: int) -> tuple[int, int]:
    """Return the size of an account's group, and the smallest number in it."""
    # BEGIN SOLUTION
    size, oldest, _ = root_of(store, account)
    return size, oldest
    # END SOLUTION


# BEGIN SOLUTION
def root_of(store: Store, account: int) -> tuple[int, int, int]:
    """Return a group's size, oldest account and root; let all on the way to the root point to it."""
    way: list[int] = []
    while isinstance(value := store.read(account), int):  # a parent; a root has the size and the oldest
        way.append(account)
        account = value
    for each in way[:-1]:
        store.write(each, account)
    size, oldest = value or (1, account)
    return size, oldest, account


# END SOLUTION


# %% check account_merge points=2
def test_evidence_joins_groups() -> None:
    store = Store()
    assert [merge(store, *pair) for pair in [(5, 8), (9, 2), (8, 9)]] == [True, True, True], "each joins two groups"
    assert merge(store, 5, 2) is False, "they are the same by way of 8 and 9"
    assert [group(store, account) for account in (2, 5, 8, 9)] == [(4, 2)] * 4


def test_an_account_that_nobody_merged_is_a_group_of_its_own() -> None:
    store = Store()
    merge(store, 1, 2)
    before = store.writes
    assert group(store, 7) == (1, 7)
    assert store.writes == before, "a question writes nothing about an account that nobody has merged"


# %% hidden account_merge points=4
def calls_of(store: Store, action: Callable[[], object]) -> int:
    """Return how often an action reads and writes."""
    before = store.reads + store.writes
    action()
    return store.reads + store.writes - before


def tournament(store: Store, rounds: int) -> None:
    """Merge 2 ** rounds accounts pair by pair, then group by group: the trees get as deep as they can."""
    for level in range(rounds):
        for start in range(0, 1 << rounds, 2 << level):
            merge(store, start, start + (1 << level))


def test_merging_an_account_with_itself_changes_nothing() -> None:
    store = Store()
    assert merge(store, 4, 4) is False
    assert group(store, 4) == (1, 4)
    assert [merge(store, 4, 5), merge(store, 5, 5), merge(store, 5, 4)] == [True, False, False]
    assert group(store, 5) == (2, 4), "the group counts its accounts, not the evidence"


def test_everything_is_in_the_store() -> None:
    first, second = Store(), Store()
    merge(first, 1, 2)
    assert group(second, 2) == (1, 2), "another store knows nothing of it"
    assert merge(second, 2, 3) is True
    assert (group(first, 2), group(second, 2)) == ((2, 1), (2, 2))


@pytest.mark.parametrize("seed", range(12))
def test_any_evidence_against_labels(seed: int) -> None:
    chance, store = random.Random(seed), Store()
    groups = {account: {account} for account in range(-3, 20)}
    for _ in range(25):
        one, other, asked = chance.choices(range(-3, 20), k=3)
        assert merge(store, one, other) is (groups[one] is not groups[other])
        joined = groups[one] | groups[other]
        groups.update(dict.fromkeys(joined, joined))
        assert group(store, asked) == (len(groups[asked]), min(groups[asked]))


@pytest.mark.parametrize("way", ["new to old", "old to new", "neighbours up", "neighbours down"])
def test_no_call_costs_more_than_the_logarithm(way: str) -> None:
    pairs = {
        "new to old": [(number, 0) for number in range(1, 500)],
        "old to new": [(0, number) for number in range(1, 500)],
        "neighbours up": [(number - 1, number) for number in range(1, 500)],
        "neighbours down": [(number, number - 1) for number in range(500, 1, -1)],
    }[way]
    store = Store()
    for n, pair in enumerate(pairs, start=2):
        made = calls_of(store, lambda pair=pair: merge(store, *pair))  # type: ignore[misc]
        limit = 4 * n.bit_length() + 8
        assert made <= limit, f"a merge with {n} accounts took {made} calls; {limit} are allowed"
    for account in range(500):
        made = calls_of(store, lambda account=account: group(store, account))  # type: ignore[misc]
        assert made <= 44, f"{made} calls for a group among 500 accounts; 44 are allowed"


@pytest.mark.parametrize("account", [0, 1, 85, 127, 170, 254, 255])
def test_asking_again_costs_next_to_nothing(account: int) -> None:
    store = Store()
    tournament(store, 8)
    first = calls_of(store, lambda: group(store, account))
    assert first <= 44, f"{first} calls in the deepest tree of 256 accounts"
    made = first + calls_of(store, lambda: [group(store, account) for _ in range(199)])
    assert made <= 2 * 200 + 8 * 9, f"{made} calls for 200 questions about one account; 472 are allowed"


# %% wrong account_merge fails=test_no_call_costs_more_than_the_logarithm
# "Compression alone keeps it flat": on average, but somebody pays for a chain of n.
def merge(store: Store, one: int, other: int) -> bool:
    (size, oldest, small), (more, older, large) = root_of(store, one), root_of(store, other)
    if small != large:
        store.write(small, large)
        store.write(large, (size + more, min(oldest, older)))
    return small != large


def group(store: Store, account: int) -> tuple[int, int]:
    return root_of(store, account)[:2]


def root_of(store: Store, account: int) -> tuple[int, int, int]:
    way: list[int] = []
    while isinstance(value := store.read(account), int):
        way.append(account)
        account = value
    for each in way[:-1]:
        store.write(each, account)
    return (*(value or (1, account)), account)


# %% wrong account_merge fails=test_asking_again_costs_next_to_nothing
# "Union by size is enough": the depth is log n, and each question walks it again.
def merge(store: Store, one: int, other: int) -> bool:
    (size, oldest, small), (more, older, large) = sorted([root_of(store, one), root_of(store, other)])
    if small != large:
        store.write(small, large)
        store.write(large, (size + more, min(oldest, older)))
    return small != large


def group(store: Store, account: int) -> tuple[int, int]:
    return root_of(store, account)[:2]


def root_of(store: Store, account: int) -> tuple[int, int, int]:
    while isinstance(value := store.read(account), int):
        account = value
    return (*(value or (1, account)), account)


# %% right account_merge
def merge(store: Store, one: int, other: int) -> bool:
    (size, oldest, small), (more, older, large) = sorted([root_of(store, one), root_of(store, other)])
    if small != large:
        store.write(small, (size, oldest, large))
        store.write(large, (size + more, min(oldest, older), large))
    return small != large


def group(store: Store, account: int) -> tuple[int, int]:
    return root_of(store, account)[:2]


def root_of(store: Store, account: int) -> tuple[int, int, int]:
    """Return a root's size, oldest and name; each second account on the way skips its parent (path halving)."""
    value: tuple[int, int, int] = store.read(account) or (1, account, account)
    while (parent := value[2]) != account:
        above: tuple[int, int, int] = store.read(parent)
        if above[2] == parent:
            return above
        store.write(account, (*value[:2], above[2]))
        account = above[2]
        value = store.read(account)
    return value


# %% [markdown] hint account_merge
# The root is chosen by size, and the oldest account is something *about* the group. Where can a group's facts be
# stored, so that a merge has to correct them in one place?

# %% [markdown] hint account_merge
# A value is either an account (the parent) or, at a root, the facts `(size, oldest)`; nothing stored means a group of
# one. One function follows parents up to the root, then writes the root into all on the way whose parent is another.

# %% [markdown] hint account_merge
# `while isinstance(value := store.read(account), int): way.append(account); account = value`. The last one on the way
# points to the root already, so `for each in way[:-1]: store.write(each, account)`. `merge`: two roots; equal → False;
# the smaller gets the larger as its value, the larger `(sum of sizes, min of oldest)`.

# %% [markdown] after account_merge
# **Why.** Facts about a group that can be combined (size, minimum, sum) live at the root, and a merge writes two
# values, however large the groups are. Size decides who is the root, because that bounds the depth for *every* single
# call; compression makes repeated questions cheap. Each without the other fails one of the two bounds. Letting the
# oldest account be the root looks elegant and gives up the first: evidence that comes from the newest to the oldest
# builds a chain.
#
# **Alternatives.** Path halving, the other right answer, needs no list. A label for each account and the list of each
# group, relabelling the smaller at a merge, gives one read for each question and log₂ n rewrites of an account over its
# life: better if questions outnumber merges by far. In SQL, a recursive query over the evidence finds a group without
# any of that, and reads all of it each time.
#
# **The interviewer goes on**: *A piece of evidence was wrong: take it back? (Not with this structure: keep the
# evidence, and rebuild that one group.) Two services merge at once? (Two roots under each other: a cycle. Lock both
# roots in order, or compare-and-set on the value read.) Who must not be merged? (A list of pairs that is checked at the
# roots, and must be merged along.)*

# %% [markdown]
# ## The interview
#
# Say your answer aloud before you unfold one.

# %% [markdown] interview
# ### When do you take a heap, when a sorted list, when a tree?
#
# A heap if I only ever need the least, and items come and go: log n, in a plain list, `heapq`. A sorted list with
# `bisect` if it's read more than written or up to some ten thousand items: it searches in log n and moves memory at
# insertion, which is fast. A balanced tree, in Python `SortedList`, if I need neighbours or ranges *and* many
# insertions. If it is on disk, it's a B-tree, and somebody else's.

# %% [markdown] interview
# ### `heapq` has no decrease-key. What do you do?
#
# Mostly I push a second entry and skip stale ones when they're popped: a dict says which entry is current. That's
# enough for Dijkstra, where there are at most e of them. If priorities change much more often than items leave, the
# stale ones fill the memory; then I rebuild when more than half are stale, or keep a dict from item to position and
# sift in place.

# %% [markdown] interview
# ### Why do databases use B-trees and not binary trees or hash tables?
#
# Because a page is read at a time. A binary tree of 10⁸ keys is some 27 levels, and that many pages at worst; a B-tree
# with a few hundred keys a page is four, of which the upper ones are in memory. All leaves are at one depth, pages stay
# at least half full, and the leaves are linked, so ranges, prefixes and `ORDER BY` come from the same index. A hash
# index finds equal keys only.

# %% [markdown] interview
# ### How do you find a cycle in a directed graph, and how do you report it?
#
# Depth first with three colours: an edge to a node that's on the current way closes a cycle, and the way from that node
# on is the cycle. Or Kahn: what's never ready is on a cycle or behind one, so I walk along unmet needs until a node
# repeats. I report the cycle itself with its edges, in the user's terms, not the list of all that couldn't be ordered;
# and I write it with a loop, since recursion ends at a depth of a thousand.

# %% [markdown]
# ## Pitfalls seen in reviews
#
# * A heap's items changed in place; `(priority, item)` with items that have no order.
# * A priority queue with lazy deletion whose `len` is that of the heap.
# * `list.remove`, `pop(0)` or `in list` inside a structure that is said to be O(1).
# * A trie for a fixed list of words; one that never frees its nodes.
# * A recursive depth first search on data that users choose.
# * Nodes marked as visited on leaving the queue: it holds them once for each edge.
# * "Cyclic dependency detected", without the cycle.
# * Union-find without union by size; or asked to forget a connection.
#
# ## Where to read on
#
# * Cormen, Leiserson, Rivest, Stein, [Introduction to Algorithms](https://mitpress.mit.edu/9780262046305/), 4th
#   edition: chapters 6 (heaps), 12, 13 and 18 (search trees, red-black trees, B-trees), 19 (disjoint sets), 20 and 22
#   (graphs, shortest paths)
# * Sedgewick, Wayne, [Algorithms, 4th edition](https://algs4.cs.princeton.edu/): indexed heaps, tries and union-find
#   with code
# * Python documentation: [`heapq`](https://docs.python.org/3/library/heapq.html) (with a section on changing
#   priorities), [`graphlib`](https://docs.python.org/3/library/graphlib.html),
#   [`OrderedDict`](https://docs.python.org/3/library/collections.html#collections.OrderedDict),
#   [`bisect`](https://docs.python.org/3/library/bisect.html)
# * [Sorted Containers](https://grantjenks.com/docs/sortedcontainers/), with its notes on the implementation and on
#   performance
# * PostgreSQL documentation: [B-Tree Indexes](https://www.postgresql.org/docs/current/btree.html)
# * Redis documentation: [Key eviction](https://redis.io/docs/latest/develop/reference/eviction/), how LRU and LFU are
#   approximated
