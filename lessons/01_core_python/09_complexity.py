# %% [markdown]
# # Complexity analysis
#
# *"What is the complexity of that?"* comes after every piece of code you write in an interview. A junior answer counts
# the `for` statements. A senior answer says what `n` is, what is counted, whether the bound is for the worst case or on
# average, what the built-ins inside the loop cost, how much memory it takes, and whether any of that matters at the
# size at hand. The follow-up is *"prove it"*: with a counter, not with a stopwatch.
#
# **Assumed**: Python's containers, `sorted`, recursion, special methods. No earlier lesson. **Left out**: the data
# structures themselves (heaps, tries, graphs) and the techniques of algorithm design, which have lessons of their own;
# complexity classes such as NP. Numbers are of CPython.

# %%
import bisect
import heapq
import html
import itertools
import math
import random
import sys
import time
import tracemalloc
import weakref
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, SupportsIndex, TypeVar

import pytest

from autograder.notebook.figures import explore

H = TypeVar("H", bound=Hashable)

# %% [markdown]
# ## Complexity is the growth of a count
#
# Three decisions come before any letter. **What is counted**: comparisons, hash calls, elements moved, bytes, queries.
# **What `n` is**: the records, the length of the longest key, the edges. **Which inputs**: the best, the worst, or an
# average over a stated distribution. What is left is a function T(n), and **Big O notation** compares its growth with
# that of a simpler function:
#
# | written | says | so that it bounds |
# | --- | --- | --- |
# | T ∈ O(f) | from some n on, T(n) ≤ c·f(n) for one constant c | from above |
# | T ∈ Ω(f) | from some n on, T(n) ≥ c·f(n) for one constant c > 0 | from below |
# | T ∈ Θ(f) | both, with two constants | on both sides: *this* is the growth |
#
# Constants and lower terms are gone: 3n² + 500n is Θ(n²). O alone is only a ceiling: binary search is O(n²) as well,
# truly and uselessly. In speech "it's O(n log n)" mostly means Θ. And O isn't "the worst case": worst and best case are
# two functions T, and each can have an upper and a lower bound. Insertion sort's worst case is Θ(n²), its best case
# Θ(n); of the algorithm over all inputs one can say O(n²) and Ω(n), and no Θ.
#
# **Time/space complexity** is the same idea for two counts: elementary steps, and memory in use at the highest point.
#
# To *count* we need values that tell on themselves:


# %%
class Item:
    """A value that counts how often it is compared and hashed."""

    def __init__(self, value: int, tally: Counter[str]) -> None:
        self.value = value
        self.tally = tally

    def __eq__(self, other: object) -> bool:
        self.tally["=="] += 1
        return isinstance(other, Item) and self.value == other.value

    def __lt__(self, other: "Item") -> bool:
        self.tally["<"] += 1
        return self.value < other.value

    def __hash__(self) -> int:
        self.tally["hash"] += 1
        return hash(self.value)


def items_of(values: Iterable[int], tally: Counter[str]) -> list[Item]:
    """Return new items that share a tally."""
    return [Item(value, tally) for value in values]


print(f"{'n':>6} {'x in list':>10} {'bisect':>7} {'x in set':>9} {'sorted':>8}   (comparisons, worst or random input)")
for n in (1_000, 2_000, 4_000, 8_000):
    tally: Counter[str] = Counter()
    ordered = items_of(range(n), tally)
    shuffled = random.Random(n).sample(ordered, n)
    as_set = set(ordered)
    row = []
    for action in (
        lambda ordered=ordered, n=n, tally=tally: Item(n, tally) in ordered,
        lambda ordered=ordered, n=n, tally=tally: bisect.bisect_left(ordered, Item(n, tally)),
        lambda as_set=as_set, n=n, tally=tally: Item(n // 2, tally) in as_set,
        lambda shuffled=shuffled: sorted(shuffled),
    ):
        tally.clear()
        action()
        row.append(tally["=="] + tally["<"])
    print(f"{n:6,} {row[0]:10,} {row[1]:7,} {row[2]:9,} {row[3]:8,}")

# %% [markdown]
# Read the columns downwards: n doubles, and the counts double, grow by one, stay, and do a little more than double.
# That is the whole method: **double n and look at the factor**.
#
# | class | count at 2n | at n = 10⁶ | typical |
# | --- | --- | --- | --- |
# | 1 | the same | 1 | look up in a hash table, `append`, `len` |
# | log n | + a constant | 20 | `bisect`, one step of a heap, an index in a database |
# | n | × 2 | 10⁶ | one pass, `x in list`, a slice, `max` |
# | n log n | × 2, and a bit (2.1 at n = 10⁶) | 2 × 10⁷ | sorting |
# | n² | × 4 | 10¹² | every pair, a scan inside a loop |
# | 2ⁿ | squared | – | every subset; at n + 1 it doubles |
#
# Counts beat the clock as evidence: they are the same on every machine, under load and in CI. The clock has the last
# word on *constants*: a thousand bytes moved by `memmove` cost less than ten calls in Python.

# %% [markdown] exercise growth_class topic=complexity-analysis level=senior minutes=10
# ## Exercise: The reviewer's growth meter
#
# Your team counts operations (queries, comparisons) in tests, at doubling sizes, and a bot is to write the class of
# growth into the pull request. Its first version rounded the slope on log-log paper and called every n log n "n".
#
# `growth(counts)` gets a mapping from size to count and returns the name of the class in `CLASSES` (below) that fits
# best, or None where none fits.
#
# * Only the **larger half** of the sizes counts: of 8 sizes the 4 largest, of 7 the 4 largest. In the smaller half
#   start-up costs and lower terms hide the growth. The mapping may be in any order.
# * How well a class f fits is the **spread** of `counts[n] / f(n)` over those sizes: the largest quotient divided by
#   the smallest. Were the counts exactly c·f(n), it would be 1.
# * The class with the smallest spread is returned, if that spread is at most 9/8, otherwise None.
# * `ValueError` for fewer than six sizes, a size below 2, or a count that isn't positive.
#
# ```python
# >>> growth({n: 7 * n + 40 for n in (64, 128, 256, 512, 1024, 2048)})
# 'n'
# >>> growth({n: n * math.log2(n) - n for n in (64, 128, 256, 512, 1024, 2048)})
# 'n log n'
# >>> growth({n: 2**n for n in (2, 4, 8, 16, 32, 64)}) is None
# True
# >>> growth({64: 1, 128: 2})
# Traceback (most recent call last):
# ValueError: at least six sizes, from 2 on, with positive counts
# ```
#
# The wording of the error is yours.

# %%
CLASSES: dict[str, Callable[[int], float]] = {
    "1": lambda n: 1,
    "log n": lambda n: math.log2(n),
    "n": lambda n: n,
    "n log n": lambda n: n * math.log2(n),
    "n^2": lambda n: n**2,
    "n^2 log n": lambda n: n**2 * math.log2(n),
    "n^3": lambda n: n**3,
}


# %% solution growth_class
def growth(counts: Mapping[int, float]) -> str | None:
    """Return the name of the class by which the counts grow."""
    # BEGIN SOLUTION
    if len(counts) < 6 or min(counts) < 2 or min(counts.values()) <= 0:
        raise ValueError("at least six sizes, from 2 on, with positive counts")
    sizes = sorted(counts)[len(counts) // 2 :]

    def spread(name: str) -> float:
        quotients = [counts[n] / CLASSES[name](n) for n in sizes]
        return max(quotients) / min(quotients)

    best = min(CLASSES, key=spread)
    return best if 8 * spread(best) <= 9 else None
    # END SOLUTION


# %% check growth_class points=2
@pytest.mark.parametrize("name", list(CLASSES))
def test_recognises_each_class(name: str) -> None:
    counts = {2**k: 3 * CLASSES[name](2**k) for k in range(5, 13)}
    assert growth(counts) == name, "counts of exactly 3·f(n) leave no doubt"


def test_tells_n_log_n_from_n() -> None:
    sizes = [2**k for k in range(13, 20)]
    assert growth({n: 5 * n * math.log2(n) for n in sizes}) == "n log n", "its slope is about 1.08: rounding hides it"
    assert growth({n: 90 * n for n in sizes}) == "n", "a large constant is no logarithm"


# %% hidden growth_class points=3
def test_recognises_a_real_sort() -> None:
    counts = {}
    for n in (64, 128, 256, 512, 1024, 2048):
        tally: Counter[str] = Counter()
        sorted(items_of(random.Random(n).sample(range(n), n), tally))
        counts[n] = tally["<"]
    assert growth(counts) == "n log n", "sorted() of a random list, its comparisons counted"


def test_noise_does_not_change_the_class() -> None:
    noisy = [1.01, 0.99, 1.0, 1.01, 0.99, 1.01, 0.99, 1.01]
    counts = {2**k: 4 * 2**k * factor for k, factor in zip(range(5, 13), noisy, strict=True)}
    assert growth(counts) == "n", "measured counts scatter by a percent; the class is the best fit, not an exact one"


def test_the_smaller_half_is_left_out() -> None:
    counts = dict.fromkeys((16, 32, 64, 128), 10**9) | {n: n**2 for n in (256, 512, 1024, 2048)}
    assert growth(counts) == "n^2", "what happens at small sizes says nothing about growth"


def test_of_seven_sizes_the_four_largest_count() -> None:
    counts: dict[int, float] = {2**k: 2**k for k in range(5, 12)}
    assert growth(counts | {2**7: 10**9}) == "n", "the third of seven is in the smaller half"
    assert growth(counts | {2**8: 10**9}) is None, "the fourth of seven is in the larger half"


def test_the_order_of_the_mapping_does_not_matter() -> None:
    sizes = (2048, 64, 512, 1024, 128, 256)
    assert growth({n: n**2 if n > 256 else 7 for n in sizes}) == "n^2", "the largest sizes, not the last ones"


def test_none_for_growth_between_the_classes() -> None:
    counts = {2**k: (2**k) ** 1.5 for k in range(5, 13)}
    assert growth(counts) is None, "n^1.5 is none of the classes: a forced answer would be a false one"


def test_a_spread_of_nine_eighths_is_the_last_that_fits() -> None:
    small = {64: 8, 128: 8, 256: 8}
    assert growth({**small, 512: 9, 1024: 8, 2048: 8}) == "1", "9/8 is within the bound"
    assert growth({**small, 512: 9.01, 1024: 8, 2048: 8}) is None, "just above 9/8 nothing fits"


def test_six_sizes_from_two_on_are_enough() -> None:
    assert growth(dict.fromkeys((2, 4, 8, 16, 32, 64), 1)) == "1", "the least that the contract accepts"
    with pytest.raises(ValueError):  # noqa: PT011
        growth(dict.fromkeys((2, 4, 8, 16, 32), 5))


@pytest.mark.parametrize(("size", "count"), [(1, 5), (64, 0), (64, -1)])
def test_refuses_what_cannot_be_fitted(size: int, count: int) -> None:
    counts = dict.fromkeys((4, 8, 16, 32, 128, 256), 5) | {size: count}
    with pytest.raises(ValueError):  # noqa: PT011
        growth(counts)


# %% wrong growth_class fails=test_tells_n_log_n_from_n
# "The slope on log-log paper, rounded, is the exponent": a factor of log n bends the slope by less than a tenth.
def growth(counts: Mapping[int, float]) -> str | None:
    """Return the name of the class by which the counts grow."""
    if len(counts) < 6 or min(counts) < 2 or min(counts.values()) <= 0:
        raise ValueError("at least six sizes, from 2 on, with positive counts")
    *_, before, last = sorted(counts)
    slope = math.log2(counts[last] / counts[before]) / math.log2(last / before)
    return {0: "1", 1: "n", 2: "n^2", 3: "n^3"}.get(round(slope))


# %% wrong growth_class fails=test_the_smaller_half_is_left_out
# "More points make a better fit": the small sizes show start-up costs, not growth.
def growth(counts: Mapping[int, float]) -> str | None:
    """Return the name of the class by which the counts grow."""
    if len(counts) < 6 or min(counts) < 2 or min(counts.values()) <= 0:
        raise ValueError("at least six sizes, from 2 on, with positive counts")

    def spread(name: str) -> float:
        quotients = [counts[n] / CLASSES[name](n) for n in counts]
        return max(quotients) / min(quotients)

    best = min(CLASSES, key=spread)
    return best if 8 * spread(best) <= 9 else None


# %% wrong growth_class fails=test_none_for_growth_between_the_classes
# "The best of the classes is the answer": the best may still be a bad fit.
def growth(counts: Mapping[int, float]) -> str | None:
    """Return the name of the class by which the counts grow."""
    if len(counts) < 6 or min(counts) < 2 or min(counts.values()) <= 0:
        raise ValueError("at least six sizes, from 2 on, with positive counts")
    sizes = sorted(counts)[len(counts) // 2 :]

    def spread(name: str) -> float:
        quotients = [counts[n] / CLASSES[name](n) for n in sizes]
        return max(quotients) / min(quotients)

    return min(CLASSES, key=spread)


# %% right growth_class
def growth(counts: Mapping[int, float]) -> str | None:
    """Return the name of the class by which the counts grow."""
    if len(counts) < 6 or any(n < 2 or count <= 0 for n, count in counts.items()):
        raise ValueError("at least six sizes, from 2 on, with positive counts")
    larger = heapq.nlargest((len(counts) + 1) // 2, counts)
    found: tuple[float, str | None] = (9 / 8, None)
    for name, function in CLASSES.items():
        logs = [math.log(counts[n]) - math.log(function(n)) for n in larger]
        spread = math.exp(max(logs) - min(logs))
        if spread < found[0] or (found[1] is None and math.isclose(spread, 9 / 8)):
            found = (spread, name)
    return found[1]


# %% [markdown] hint growth_class
# If T(n) = c·f(n), what is T(n) / f(n)? And if T grows faster than f, where does that quotient go?

# %% [markdown] hint growth_class
# Sort the sizes and cut off the first `len // 2`. A small inner function gives the spread of one class, and
# `min(CLASSES, key=…)` the best of them. Judge its spread afterwards.

# %% [markdown] hint growth_class
# `sizes = sorted(counts)[len(counts) // 2:]`; for a name, `quotients = [counts[n] / CLASSES[name](n) for n in sizes]`
# and `max(quotients) / min(quotients)`; `best = min(CLASSES, key=spread)`; return it if its spread is `<= 9 / 8`.

# %% [markdown] after growth_class
# **Why.** The definition of Θ is "T(n) / f(n) stays between two constants"; this function looks at it on the largest
# sizes there are. The slope of log T over log n is the exponent plus log₂(1 + 1/log₂ n) for each factor of log n: 0.08
# at n = 2¹⁷. It is there, but rounding kills it, and so does noise of a few percent when only two points are used.
# Over three doublings the logarithm moves the quotient by 20 to 40 %, well above noise.
#
# **What it can't.** No measurement proves a bound: an input that wasn't tried may be worse, and n log n and n·log log n
# look alike at any size that fits into memory. It refutes well: counts that quadruple aren't linear. In CI use it with
# counted operations; with seconds the band of 9/8 is narrower than the noise of a shared runner.
#
# **The interviewer goes on**: *What about two parameters, n rows and k columns? (Double one at a time.) And a class
# that isn't in the table? (Fit log T = a + b·log n by least squares and report b.)*

# %% [markdown]
# ## What Python's own operations cost
#
# The `for` statements are the part of the cost that one sees. The rest stands in the built-ins:
#
# | operation | cost | instead |
# | --- | --- | --- |
# | `x in a_list`, `.index`, `.remove`, `.count` | n comparisons | a `set` or `dict`: 1 on average |
# | `a_list.pop(0)`, `.insert(0, x)`, `del a_list[0]` | n references moved | `deque.popleft`, `appendleft`: 1 |
# | `a_list[i:j]`, `a + b`, `list(a)`, `a[:]` | a copy | indexes; `itertools.islice`; `memoryview` for bytes |
# | `a_list += b`, `.extend(b)` | len(b), amortised | it's fine; `a = a + b` in a loop isn't |
# | `text += part` in a loop | a copy of `text` each time, in general | collect and `"".join(parts)`; `io.StringIO` |
# | `a_deque[len // 2]` | n (it is fast at both ends only) | a `list` |
# | `sorted(a)` | n log n at worst, n where it is in order already | `heapq.nlargest(k, a)`: n log k |
# | `max(a)`, `sum(a)`, `a == b`, `tuple(a)` | n | keep the aggregate up to date |
# | `s & t` for sets | the size of the smaller one | – |
# | `key in d.keys()`, `x in range(n)` | 1 (an `int` in a `range` is computed) | – |
# | `key in d.values()` | n | a second dict, the other way round |
#
# `text += part` is the famous exception. CPython appends in place where the string is a *local variable* and nobody
# else refers to it. Keep it in an attribute, and the same line is quadratic. Four thousand parts, then twice as many:


# %%
class Report:
    def __init__(self) -> None:
        self.text = ""

    def build(self, parts: list[str]) -> None:
        for part in parts:
            self.text += part


def build_local(parts: list[str]) -> None:
    text = ""
    for part in parts:
        text += part


def milliseconds(function: Callable[[], object]) -> float:
    """Return the best time of five."""
    times = []
    for _ in range(5):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times) * 1e3


few, many = ["line"] * 4_000, ["line"] * 8_000
ways: dict[str, Callable[[list[str]], object]] = {
    "self.text += part": lambda parts: Report().build(parts),
    "text += part": build_local,
    '"".join(parts)': lambda parts: "".join(parts),
}
for label, way in ways.items():
    once, twice = (milliseconds(lambda way=way, parts=parts: way(parts)) for parts in (few, many))  # type: ignore[misc]
    print(f"{label:18} {once:7.2f} ms, then {twice:7.2f} ms: × {twice / once:.1f}")

# %% [markdown]
# Two of them take twice as long for twice as much, the first about four times as long (and more, once the string is so
# large that the allocator asks the system for each copy). That the second is linear is a detail of CPython, not of the
# language: write `join`.

# %% [markdown] exercise reconcile_ledgers topic=complexity-analysis level=core minutes=10
# ## Exercise: The reconciliation that outgrew the night
#
# Each night a job compares our ledger with the bank's. With 2,000 records a day it took three seconds; with 200,000
# it was still running in the morning. And the report that is printed from our list afterwards lacks most of our
# records. Mend both.
#
# `reconcile(ours, theirs)` returns two lists, `(missing, extra)`: the records that only they have, and those that only
# we have.
#
# * Each record of ours is matched with at most one **equal** record of theirs: what is twice in `ours` and once in
#   `theirs` is once in `extra`. Of equal records in one list, the **earlier ones are matched first**, so that the later
#   ones are left.
# * Both results keep the order of the list that they come from.
# * `ours` is a list and stays as it is; `theirs` is any iterable, read once. Records are hashable; they have no order.
# * Records are compared by the database's rules, which is dear: `__eq__` and `__hash__` together are called at most
#   **eight times for each record** of the two inputs, where no two different records have the same hash.
#
# ```python
# >>> reconcile(["a", "b", "a", "c"], ["c", "d", "a"])
# (['d'], ['b', 'a'])
# >>> reconcile([], ["x", "x"])
# (['x', 'x'], [])
# ```


# %% starter reconcile_ledgers
def reconcile(ours: list[H], theirs: Iterable[H]) -> tuple[list[H], list[H]]:
    """Return what only they have, and what only we have."""
    missing: list[H] = []
    for record in theirs:
        if record in ours:
            ours.remove(record)
        else:
            missing = [*missing, record]
    return missing, ours


# %% solution reconcile_ledgers
def reconcile(ours: list[H], theirs: Iterable[H]) -> tuple[list[H], list[H]]:
    """Return what only they have, and what only we have."""
    # BEGIN SOLUTION
    unmatched = Counter(ours)
    missing = []
    for record in theirs:
        if unmatched[record]:
            unmatched[record] -= 1
        else:
            missing.append(record)
    extra = []
    for record in reversed(ours):
        if unmatched[record]:
            unmatched[record] -= 1
            extra.append(record)
    return missing, extra[::-1]
    # END SOLUTION


# %% check reconcile_ledgers points=2
def test_the_calls_grow_with_the_records_and_not_with_their_square() -> None:
    tally: Counter[str] = Counter()
    ours, theirs = items_of(range(400), tally), items_of(reversed(range(400)), tally)
    assert reconcile(ours, theirs) == ([], []), "the same records in another order: nothing is left"
    calls = tally["=="] + tally["hash"]
    assert calls <= 8 * 800, (
        f"{calls:,} calls for 800 records; 400,000 records would need a quarter of a million times as many"
    )


def test_the_callers_list_stays_as_it_is() -> None:
    ours = ["a", "b"]
    reconcile(ours, ["a"])
    assert ours == ["a", "b"], "the report is printed from the same list afterwards"


# %% hidden reconcile_ledgers points=3
def test_records_of_one_side_only() -> None:
    assert reconcile(["a", "b"], ["b", "c"]) == (["c"], ["a"]), "what only they have comes first"


def test_records_that_are_there_several_times() -> None:
    assert reconcile(["a"] * 3, ["a"]) == ([], ["a", "a"]), "one of theirs matches one of ours, not all of them"
    assert reconcile(["a"], ["a"] * 3) == (["a", "a"], []), "a payment that the bank has three times is missing twice"


def test_both_results_keep_their_order() -> None:
    ours, theirs = ["d", "a", "c", "a", "b", "d"], ["z", "a", "x", "z", "y"]
    assert reconcile(ours, theirs) == (["z", "x", "z", "y"], ["d", "c", "a", "b", "d"]), "reports follow the ledgers"


def test_the_later_of_equal_records_are_left() -> None:
    tally: Counter[str] = Counter()
    ours = items_of([1, 2, 1, 1], tally)
    _, extra = reconcile(ours, items_of([1], tally))
    assert [id(record) for record in extra] == [id(record) for record in ours[1:]], (
        "equal records are different entries: the earliest is the one that was settled"
    )


def test_theirs_may_be_read_only_once() -> None:
    assert reconcile(["a", "b"], iter(["b", "c"])) == (["c"], ["a"]), "it may be a cursor or a generator"


def test_two_disjoint_ledgers_cost_no_more() -> None:
    tally: Counter[str] = Counter()
    ours, theirs = items_of(range(500), tally), items_of(range(1_000, 1_500), tally)
    missing, extra = reconcile(ours, theirs)
    calls = tally["=="] + tally["hash"]
    assert (len(missing), len(extra)) == (500, 500), "nothing matches"
    assert calls <= 8 * 1_000, f"{calls:,} calls: the day on which nothing matches is the worst case of a scan"


# %% wrong reconcile_ledgers fails=test_records_that_are_there_several_times
# "Differences are set differences": a set forgets how often.
def reconcile(ours: list[H], theirs: Iterable[H]) -> tuple[list[H], list[H]]:
    """Return what only they have, and what only we have."""
    bank = list(theirs)
    ours_set, bank_set = set(ours), set(bank)
    return [each for each in bank if each not in ours_set], [each for each in ours if each not in bank_set]


# %% wrong reconcile_ledgers fails=test_the_calls_grow_with_the_records_and_not_with_their_square
# "The copy was the problem": `in` and `remove` still scan the list for each record.
def reconcile(ours: list[H], theirs: Iterable[H]) -> tuple[list[H], list[H]]:
    """Return what only they have, and what only we have."""
    missing, rest = [], list(ours)
    for record in theirs:
        if record in rest:
            rest.remove(record)
        else:
            missing.append(record)
    return missing, rest


# %% wrong reconcile_ledgers fails=test_both_results_keep_their_order
# "Subtract the counters": right numbers, but equal records end up side by side.
def reconcile(ours: list[H], theirs: Iterable[H]) -> tuple[list[H], list[H]]:
    """Return what only they have, and what only we have."""
    left, right = Counter(ours), Counter(theirs)
    return list((right - left).elements()), list((left - right).elements())


# %% wrong reconcile_ledgers fails=test_the_later_of_equal_records_are_left
# "Hand out what is unmatched from the front": the first of equal records is reported, though it was the one matched.
def reconcile(ours: list[H], theirs: Iterable[H]) -> tuple[list[H], list[H]]:
    """Return what only they have, and what only we have."""
    unmatched = Counter(ours)
    missing, extra = [], []
    for record in theirs:
        if unmatched[record]:
            unmatched[record] -= 1
        else:
            missing.append(record)
    for record in ours:
        if unmatched[record]:
            unmatched[record] -= 1
            extra.append(record)
    return missing, extra


# %% right reconcile_ledgers
def reconcile(ours: list[H], theirs: Iterable[H]) -> tuple[list[H], list[H]]:
    """Return what only they have, and what only we have."""
    places: defaultdict[H, deque[int]] = defaultdict(deque)
    for place, record in enumerate(ours):
        places[record].append(place)
    missing = []
    for record in theirs:
        queue = places.get(record)
        if queue:
            queue.popleft()
        else:
            missing.append(record)
    left = sorted(itertools.chain.from_iterable(places.values()))
    return missing, [ours[place] for place in left]


# %% [markdown] hint reconcile_ledgers
# For each of their records the starter asks two questions of a list: "is it there?" and "where?". Which container
# answers the first without looking at the others, and also knows *how many* there are?

# %% [markdown] hint reconcile_ledgers
# A `Counter` of ours; each of their records takes one away, or is missing. What remains in the counter is how many of
# each of our records are left. Which of them? The last ones, so go through `ours` from its end.

# %% [markdown] hint reconcile_ledgers
# `for record in reversed(ours): if unmatched[record]: unmatched[record] -= 1; extra.append(record)`, and reverse
# `extra` at the end. (Looking up what isn't in a `Counter` gives 0 and stores nothing.)

# %% [markdown] after reconcile_ledgers
# **Why.** `in` and `remove` are n comparisons each, for each of m records: O(n·m), and `[*missing, record]` copies
# what is there: O(m²). For n = m = 200,000 in reverse order that is 2 × 10¹⁰ comparisons for `in` and as many for
# `remove`; with the counter it is some 10⁶ hash calls. The price is **space**: O(n) for the counter. And the aliasing:
# `ours.remove` changes what the caller still needs, `extra` *was* the caller's list.
#
# **Alternatives.** Sort both and walk along them: O(n log n), little extra memory, and the way for ledgers that don't
# fit (sort on disk, merge two streams); it needs an order. A `FULL OUTER JOIN` on (record, `row_number()` within equal
# ones) does it where the data is. A dict of queues of positions (the other right answer) keeps *which* record is
# matched, and costs a sort of what is left.
#
# **The interviewer goes on**: *What if the bank's file has ten million lines and ours a thousand? (It's streamed; the
# counter is of the smaller side.) Why "at most eight calls" and not "fast"? What if somebody chooses the hashes?*

# %% [markdown]
# ## Average and worst case: what a hash table promises
#
# A lookup in a `dict` is O(1) *on average*, under the assumption that hashes spread. It hashes the key, looks at the
# slot, and compares only with keys whose whole **hash is equal** (after an identity check). In the worst case all
# hashes are equal, and the nth insertion compares with all n − 1 keys before it. Building the dict is then n(n − 1)/2
# comparisons:


# %%
class CountedInt(int):
    """An int that counts its comparisons; its hash is that of int."""

    compared = 0

    def __eq__(self, other: object) -> bool:
        CountedInt.compared += 1
        return isinstance(other, int) and int(self) == int(other)

    __hash__ = int.__hash__


def comparisons_to_build(keys: Iterable[int]) -> int:
    """Return how often keys are compared while a dict of them is made."""
    made = [CountedInt(key) for key in keys]
    CountedInt.compared = 0
    dict.fromkeys(made)
    return CountedInt.compared


modulus = sys.hash_info.modulus
print("hash(5 * modulus) =", hash(5 * modulus), "where the modulus is", modulus)
print(f"{'keys':>6} {'0, 1, 2, …':>11} {'multiples of the modulus':>26}")
for n in (250, 500, 1_000):
    print(f"{n:6,} {comparisons_to_build(range(n)):11,} {comparisons_to_build(k * modulus for k in range(n)):26,}")

# %% [markdown]
# The right column isn't contrived: those are plain integers, and a client can send a list of them that your code turns
# into a `set`. Strings and bytes are protected, since their hash is seeded afresh in each process (`PYTHONHASHSEED`);
# **the hash of an int is not**. Bound the number of keys and the size of a body, or use strings as keys.
#
# The other causes are home-made: a `__hash__` that uses one field out of five, or returns a constant; and a slow
# `__eq__`. And "O(1)" hides the key's length: hashing a string is linear in it, once (a `str` keeps its hash; a tuple
# does only from 3.14 on).
#
# Say which of the three you mean:
#
# * **worst case**: the dearest input of size n. `dict`: O(n) for one lookup;
# * **average case**: the mean over random inputs, or over the algorithm's own coin (*expected* cost, which an adversary
#   can't spoil). `dict`: O(1); quicksort: O(n log n);
# * **amortised**: no chance is involved. *Any* sequence of m operations costs at most m times this, though a single one
#   may cost n. `list.append`: O(1).
#
# ## Amortised cost: paying for the copy in advance
#
# A list is a block of references. When the block is full, a larger one is asked for, and everything may have to be
# copied. How much larger decides. Here are the elements copied for n appends, under the assumption that every growth
# moves the block:


# %%
def copied(appends: int, larger: Callable[[int], int]) -> list[int]:
    """Return how many elements each append copies; `larger` says how many slots follow a full block."""
    slots, costs = 4, []
    for length in range(appends):
        costs.append(length if length == slots else 0)
        if length == slots:
            slots = larger(slots)
    return costs


POLICIES: dict[str, Callable[[int], int]] = {
    "+ 100": lambda slots: slots + 100,
    "× 9/8 + 6 (CPython)": lambda slots: (slots + 1 + ((slots + 1) >> 3) + 6) & ~3,
    "× 2": lambda slots: 2 * slots,
}
print(f"{'a full block grows':20} " + " ".join(f"{n:>12,}" for n in (10_000, 20_000, 40_000)) + "   copies per append")
for label, policy in POLICIES.items():
    totals = [sum(copied(n, policy)) for n in (10_000, 20_000, 40_000)]
    print(f"{label:20} " + " ".join(f"{total:12,}" for total in totals) + f"   {totals[-1] / 40_000:8.2f}")

block_sizes: list[int] = []
grown: list[None] = []
for _ in range(40_000):
    grown.append(None)
    if not block_sizes or sys.getsizeof(grown) != block_sizes[-1]:
        block_sizes.append(sys.getsizeof(grown))
predicted = sum(1 for cost in copied(40_000, POLICIES["× 9/8 + 6 (CPython)"]) if cost)
print(f"a real list grew {len(block_sizes) - 1} times in 40,000 appends; predicted: {predicted}")

# %% [markdown]
# With a constant step the total quadruples when n doubles: n²/200. With a constant *factor* g the copies are a
# geometric series, at most n·g/(g − 1) in all: a constant for each append. That is **amortised analysis**. The
# *accounting* view of it: let each append pay 3, one for its own write and two put aside. When a block of 2k fills up,
# the k items that came since the last copy have put aside 2k, exactly the price of the next. A factor near 1 wastes
# less memory and copies more: CPython takes 9/8 (and `realloc` often extends a block where it stands, which copies
# nothing).
#
# One append in a row, and what it copies:


# %%
@dataclass(frozen=True, repr=False)
class Bars:
    """Horizontal bars with a label each; as text where there is no browser."""

    title: str
    values: Sequence[tuple[str, float]]

    @property
    def longest(self) -> float:
        return max((value for _, value in self.values), default=0) or 1

    def __repr__(self) -> str:
        lines = [
            f"{label:>22} |{'#' * round(40 * value / self.longest):40}| {value:,.0f}" for label, value in self.values
        ]
        return "\n".join((self.title, *lines))

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<text x="150" y="{row * 20 + 14}" text-anchor="end">{html.escape(label)}</text>'
            f'<rect x="158" y="{row * 20 + 2}" width="{400 * value / self.longest:.1f}" height="15" fill="#0072b2"/>'
            f'<text x="{164 + 400 * value / self.longest:.1f}" y="{row * 20 + 14}">{value:,.0f}</text>'
            for row, (label, value) in enumerate(self.values, start=1)
        )
        return (
            f'<svg role="img" aria-label="{html.escape(self.title)}" viewBox="0 0 680 {len(self.values) * 20 + 24}" '
            'width="680" style="max-width: 100%; height: auto" fill="currentColor" font-family="sans-serif" '
            'font-size="12" xmlns="http://www.w3.org/2000/svg">'
            f'<text x="0" y="14" font-weight="bold">{html.escape(self.title)}</text>{rows}</svg>'
        )


appended = copied(34, POLICIES["× 2"])
Bars(
    f"34 appends copy {sum(appended)} items, {sum(appended) / 34:.1f} each, but the dearest one copies {max(appended)}",
    [(f"append {number}", cost) for number, cost in enumerate(appended, start=1) if cost or number in (1, 2, 6, 34)],
)

# %% [markdown]
# The dearest append is a **latency spike**: amortised bounds are about throughput. A service with a limit for each
# request spreads the work (Redis rehashes its tables step by step) or allocates in advance.

# %% [markdown] exercise growing_array topic=complexity-analysis level=senior minutes=15
# ## Exercise: An array that grows, and gives back
#
# A measuring device has a few megabytes of memory and a runtime that hands out blocks of fixed size. You write the
# stack of readings on top. It has to grow cheaply and to give memory back after a burst, and there may be no length at
# which `append` and `pop` in turn copy everything each time.
#
# `GrowingArray(allocate)` gets its memory from `allocate(slots)`, which returns a new `Block` (below): it has a length,
# `block[i]` and `block[i] = item`. All items are kept in one block. It begins with `allocate(4)`.
#
# * `append(item)`, `pop()` (removes and returns the last item), `len(array)`, and `array[i]` for 0 ≤ i < `len(array)`.
#   `IndexError` for any other index, negative ones too, and for `pop()` of an empty array.
# * When `append` finds the block full, or when `pop` gives memory back, the items move to a new block that has **twice
#   as many slots as there are items to move**, and never fewer than 4. The old block isn't kept.
# * After each `pop`, **more than a quarter** of the slots are in use, unless the block has 4 slots. *When* to give back
#   is your decision, within this and the next rule.
# * From an empty array on, any m operations write **at most 4·m times** into blocks.
# * The array keeps no reference to an item that has been popped: write None over it.
# * If `allocate` raises in an `append`, the error comes out and the array is as it was. What a `pop` does in that case
#   is open.
#
# ```python
# >>> array = GrowingArray(Memory().allocate)
# >>> for reading in "abcde":
# ...     array.append(reading)
# >>> len(array), array[0], array.pop()
# (5, 'a', 'e')
# >>> array[-1]
# Traceback (most recent call last):
# IndexError: -1
# ```


# %%
class Block:
    """Memory for a fixed number of items."""

    def __init__(self, slots: int, memory: "Memory") -> None:
        self._items: list[object] = [None] * slots
        self._memory = memory

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> object:
        return self._items[index]

    def __setitem__(self, index: int, item: object) -> None:
        self._items[index] = item
        self._memory.writes += 1


class Memory:
    """Hands out blocks; knows their sizes, and how often has been written into them."""

    def __init__(self) -> None:
        self.writes = 0
        self.sizes: list[int] = []

    def allocate(self, slots: int) -> Block:
        """Return a new block."""
        self.sizes.append(slots)
        return Block(slots, self)


# %% solution growing_array
class GrowingArray:
    """A stack with indexes, in blocks of fixed size."""

    def __init__(self, allocate: Callable[[int], Block]) -> None:
        # BEGIN SOLUTION
        self._allocate = allocate
        self._block = allocate(4)
        self._length = 0
        # END SOLUTION

    def __len__(self) -> int:
        # BEGIN SOLUTION
        return self._length
        # END SOLUTION

    def __getitem__(self, index: int) -> object:
        # BEGIN SOLUTION
        if not 0 <= index < self._length:
            raise IndexError(index)
        return self._block[index]
        # END SOLUTION

    def append(self, item: object) -> None:
        """Add an item at the end."""
        # BEGIN SOLUTION
        if self._length == len(self._block):
            self._move()
        self._block[self._length] = item
        self._length += 1
        # END SOLUTION

    def pop(self) -> object:
        """Remove and return the last item."""
        # BEGIN SOLUTION
        if self._length == 0:
            raise IndexError("pop from an empty array")
        self._length -= 1
        item = self._block[self._length]
        self._block[self._length] = None
        if self._length >= 2 and 4 * self._length <= len(self._block):
            self._move()
        return item

    def _move(self) -> None:
        """Move the items to a block of which they fill half."""
        block = self._allocate(2 * self._length)
        for index in range(self._length):
            block[index] = self._block[index]
        self._block = block
        # END SOLUTION


# %% check growing_array points=2
def test_items_come_back_in_the_opposite_order() -> None:
    array = GrowingArray(Memory().allocate)
    for number in range(100):
        array.append(number)
    assert len(array) == 100, "each append adds one"
    assert [array[index] for index in range(100)] == list(range(100)), "moving keeps every item in its place"
    assert [array.pop() for _ in range(100)] == list(range(99, -1, -1)), "the last one in is the first one out"
    assert len(array) == 0, "each pop takes one away"


def test_appending_costs_a_constant_number_of_writes() -> None:
    for count in (1_000, 2_000, 4_000):
        memory = Memory()
        array = GrowingArray(memory.allocate)
        for number in range(count):
            array.append(number)
        assert memory.writes <= 4 * count, f"{memory.writes:,} writes for {count:,} appends"


# %% hidden growing_array points=4
def test_a_full_block_is_followed_by_one_of_twice_the_size() -> None:
    memory = Memory()
    array = GrowingArray(memory.allocate)
    for number in range(17):
        array.append(number)
    assert memory.sizes == [4, 8, 16, 32], "only a constant factor makes append O(1); a full block alone is a reason"


def test_more_than_a_quarter_of_the_slots_stays_in_use() -> None:
    memory = Memory()
    array = GrowingArray(memory.allocate)
    for number in range(300):
        array.append(number)
    while len(array):
        array.pop()
        slots = memory.sizes[-1]
        assert slots == 4 or 4 * len(array) > slots, f"{len(array)} items hold {slots} slots: the burst is over"
    assert memory.sizes[-1] == 4, "an empty array is back at four slots"
    assert min(memory.sizes) == 4, "and never below"


def test_a_block_that_gives_back_is_half_full_afterwards() -> None:
    memory = Memory()
    array = GrowingArray(memory.allocate)
    for number in range(256):
        array.append(number)
    while len(array):
        blocks = len(memory.sizes)
        array.pop()
        if len(memory.sizes) > blocks:
            assert memory.sizes[-1] == max(4, 2 * len(array)), "room to grow and room to shrink, the same on both sides"


@pytest.mark.parametrize("first", [3, 4, 5, 8, 9, 16, 17, 32, 33, 64, 65, 128])
def test_append_and_pop_in_turn_do_not_thrash(first: int) -> None:
    for start in (first, 4 * first):
        memory = Memory()
        array = GrowingArray(memory.allocate)
        operations = start + (start - first) + 1_000
        for number in range(start):
            array.append(number)
        for _ in range(start - first):
            array.pop()
        for _ in range(250):
            array.append(0)
            array.pop()
            array.pop()
            array.append(0)
        assert memory.writes <= 4 * operations, (
            f"{memory.writes:,} writes for {operations:,} operations at {first} items"
        )


def test_filling_and_emptying_costs_a_constant_number_of_writes() -> None:
    memory = Memory()
    array = GrowingArray(memory.allocate)
    for _ in range(3):
        for number in range(2_000):
            array.append(number)
        for _ in range(2_000):
            array.pop()
    assert memory.writes <= 4 * 12_000, f"{memory.writes:,} writes for 12,000 operations"


@pytest.mark.parametrize("index", [-1, -3, 3, 4, 100])
def test_other_indexes_are_refused(index: int) -> None:
    array = GrowingArray(Memory().allocate)
    for number in range(3):
        array.append(number)
    with pytest.raises(IndexError):
        array[index]
    assert (array[0], array[2]) == (0, 2), "the first and the last item are inside"


def test_nothing_can_be_popped_from_an_empty_array() -> None:
    array = GrowingArray(Memory().allocate)
    with pytest.raises(IndexError):
        array.pop()
    array.append("a")
    assert (len(array), array[0]) == (1, "a"), "after the error the array is empty and can be used"


def test_a_popped_item_can_be_freed() -> None:
    class Reading:
        pass

    array = GrowingArray(Memory().allocate)
    array.append("first")
    array.append(Reading())
    reading = weakref.ref(array.pop())
    assert reading() is None, "an item left in its slot lives until something is written over it"


def test_the_old_block_is_not_kept() -> None:
    blocks: list[weakref.ref[Block]] = []

    def allocate(slots: int) -> Block:
        block = Block(slots, Memory())
        blocks.append(weakref.ref(block))
        return block

    array = GrowingArray(allocate)
    for number in range(100):
        array.append(number)
    assert [block() is None for block in blocks[:-1]] == [True] * (len(blocks) - 1), (
        "one block, not all there ever were"
    )


def test_an_append_without_memory_changes_nothing() -> None:
    def allocate(slots: int) -> Block:
        if slots > 4:
            raise MemoryError(slots)
        return Block(slots, Memory())

    array = GrowingArray(allocate)
    for number in range(4):
        array.append(number)
    with pytest.raises(MemoryError):
        array.append(4)
    assert [array[index] for index in range(len(array))] == [0, 1, 2, 3], "what was stored before is still there"
    assert array.pop() == 3, "and can be taken away"


# %% wrong growing_array fails=test_append_and_pop_in_turn_do_not_thrash
# "Half empty means half the block": at the border the next append grows again, and each step copies everything.
class GrowingArray:
    """A stack with indexes, in blocks of fixed size."""

    def __init__(self, allocate: Callable[[int], Block]) -> None:
        self._allocate = allocate
        self._block = allocate(4)
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> object:
        if not 0 <= index < self._length:
            raise IndexError(index)
        return self._block[index]

    def append(self, item: object) -> None:
        """Add an item at the end."""
        if self._length == len(self._block):
            self._move(2 * self._length)
        self._block[self._length] = item
        self._length += 1

    def pop(self) -> object:
        """Remove and return the last item."""
        if self._length == 0:
            raise IndexError("pop from an empty array")
        self._length -= 1
        item = self._block[self._length]
        self._block[self._length] = None
        if len(self._block) > 4 and 2 * self._length <= len(self._block):
            self._move(self._length)
        return item

    def _move(self, slots: int) -> None:
        block = self._allocate(slots)
        for index in range(self._length):
            block[index] = self._block[index]
        self._block = block


# %% wrong growing_array fails=test_appending_costs_a_constant_number_of_writes
# "Grow by a fixed amount, so that no memory is wasted": every 64th append copies everything, which is quadratic.
class GrowingArray:
    """A stack with indexes, in blocks of fixed size."""

    def __init__(self, allocate: Callable[[int], Block]) -> None:
        self._allocate = allocate
        self._block = allocate(4)
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> object:
        if not 0 <= index < self._length:
            raise IndexError(index)
        return self._block[index]

    def append(self, item: object) -> None:
        """Add an item at the end."""
        if self._length == len(self._block):
            block = self._allocate(self._length + 64)
            for index in range(self._length):
                block[index] = self._block[index]
            self._block = block
        self._block[self._length] = item
        self._length += 1

    def pop(self) -> object:
        """Remove and return the last item."""
        if self._length == 0:
            raise IndexError("pop from an empty array")
        self._length -= 1
        item = self._block[self._length]
        self._block[self._length] = None
        return item


# %% wrong growing_array fails=test_a_popped_item_can_be_freed
# "The length says what is in use": the slot behind it still refers to the item.
class GrowingArray:
    """A stack with indexes, in blocks of fixed size."""

    def __init__(self, allocate: Callable[[int], Block]) -> None:
        self._allocate = allocate
        self._block = allocate(4)
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> object:
        if not 0 <= index < self._length:
            raise IndexError(index)
        return self._block[index]

    def append(self, item: object) -> None:
        """Add an item at the end."""
        if self._length == len(self._block):
            self._move()
        self._block[self._length] = item
        self._length += 1

    def pop(self) -> object:
        """Remove and return the last item."""
        if self._length == 0:
            raise IndexError("pop from an empty array")
        self._length -= 1
        item = self._block[self._length]
        if self._length >= 2 and 4 * self._length <= len(self._block):
            self._move()
        return item

    def _move(self) -> None:
        block = self._allocate(2 * self._length)
        for index in range(self._length):
            block[index] = self._block[index]
        self._block = block


# %% [markdown] hint growing_array
# After a move the new block is half full. How many operations lie between that and the next move, in either direction?
# That number has to be a fixed fraction of what the move copies.

# %% [markdown] hint growing_array
# One helper moves the items to a block of `2 * length` slots; `append` calls it when the block is full, `pop` when a
# quarter is left. With 4 slots and one item a quarter is left too: there it must not.

# %% [markdown] hint growing_array
# In `pop`: lower the length, read the item, write None, then `if length >= 2 and 4 * length <= len(block):` move. In
# `append`: move first if full, then write, then raise the length, so that an error of `allocate` leaves everything.

# %% [markdown] after growing_array
# **Why a quarter.** A move leaves the block half full with k items in 2k slots. Up to the next growth there are k
# appends, and then 2k copies; down to the next shrinking there are k/2 pops, and then k/2 copies. So at most two copies
# for each operation, and one write of its own: 3·m in all. Shrinking at a half leaves zero operations between a
# shrinking and a growth. The gap between the two thresholds is **hysteresis**, the same as in an autoscaler or a
# thermostat.
#
# **The price.** Up to three quarters of the slots are empty, and during a move both blocks are there: the peak is 3k
# slots for k items. CPython's `list` shrinks when less than half is in use (to about 9/8 of the length, so the gap is
# there too); a `dict` or `set` doesn't shrink when keys are deleted: copy it after a purge.
#
# **The interviewer goes on**: *Make the worst case of one append O(1). (Keep both blocks and move two items with each
# operation, or use a list of blocks: a deque.) What does iterating during an append see? Which factor lets freed blocks
# be used again by the next growth? (Below 1.618 the earlier ones together are large enough, sooner or later.)*

# %% [markdown]
# ## Recursion: draw the tree, add up the levels
#
# A recursive function that makes `a` calls on parts of size n/b and does n^d work itself has the cost
# T(n) = a·T(n/b) + n^d. Level i of its tree has aⁱ calls, each of size n/bⁱ, so its work is n^d·(a/b^d)ⁱ: a geometric
# series over log_b n levels. What matters is the quotient a/b^d, and that is the **master theorem**:
#
# | a/b^d | the work is | T(n) | example |
# | --- | --- | --- | --- |
# | < 1 | at the root | Θ(n^d) | quickselect with a good pivot: 1, 2, d = 1: n |
# | = 1 | the same on each level | Θ(n^d·log n) | merge sort: 2, 2, d = 1; binary search: 1, 2, d = 0 |
# | > 1 | in the leaves | Θ(n^(log_b a)) | Karatsuba: 3, 2, d = 1: n^1.58; visiting a tree: 2, 2, d = 0: n |
#
# Move the sliders (n = 1024) from 2, 2, 1 to 3, 2, 1 and to 1, 2, 1, and watch where the weight goes:


# %%
def recursion_tree(calls: int, divisor: int, exponent: int) -> Bars:
    """Draw the work on each level of T(n) = calls·T(n/divisor) + n^exponent."""
    levels, count, size = [], 1, 1024
    while size:
        levels.append((f"{count:,} × size {size:,}", float(count * size**exponent)))
        count, size = count * calls, size // divisor
    quotient = calls / divisor**exponent
    order = ("1", "n", "n²")[exponent]
    if quotient == 1:
        order = f"{order}·log n".removeprefix("1·")
    elif quotient > 1:
        order = f"n^{math.log(calls, divisor):.2f}"
    total = sum(work for _, work in levels)
    work_here = ("1", "n", "n²")[exponent]
    return Bars(f"T(n) = {calls}·T(n/{divisor}) + {work_here} is Θ({order}); in all {total:,.0f}", levels)


explore(recursion_tree, calls=(1, 8, 2), divisor=(2, 4, 2), exponent=(0, 2, 1))

# %% [markdown]
# The theorem needs parts of a *fraction* of n. Where a call takes one item away, add up by hand: T(n) = T(n − 1) + n is
# n²/2 (recursing on `items[1:]`, or quicksort with the worst pivots), T(n) = 2·T(n − 1) + 1 is 2ⁿ, and `fib(n)`
# without a cache makes 2·fib(n + 1) − 1 calls, which grows by 1.618 with each n.
#
# ## Space: auxiliary, total, and the call stack
#
# **Total space** counts the input and the output; **auxiliary space** is what is needed beside them, and mostly what is
# meant. Two items are forgotten: *what a frame holds* while the calls below it run (depth × frame), and *temporaries*
# at the highest point. `sorted(a)` needs n references for the result and up to n/2 for merging; `a.sort()` saves the
# first. `sum(x * x for x in a)` is O(1), with brackets O(n).
#
# Three sums of 800 numbers, with the peak measured:


# %%
def sum_slices(numbers: list[int]) -> int:
    return numbers[0] + sum_slices(numbers[1:]) if numbers else 0


def sum_from(numbers: list[int], start: int = 0) -> int:
    return numbers[start] + sum_from(numbers, start + 1) if start < len(numbers) else 0


def sum_halves(numbers: list[int], start: int, end: int) -> int:
    if end - start < 2:
        return sum(numbers[start:end])
    middle = (start + end) // 2
    return sum_halves(numbers, start, middle) + sum_halves(numbers, middle, end)


def peak_bytes(function: Callable[[], object]) -> int:
    """Return how many bytes more than before are in use at the highest point."""
    tracing = tracemalloc.is_tracing()
    if not tracing:
        tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        function()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        if not tracing:
            tracemalloc.stop()


print(f"{'n':>4} {'slices':>10} {'index':>8} {'halves':>7}   peak bytes")
for n in (200, 400, 800):
    zeros = [0] * n
    peaks = [
        peak_bytes(lambda zeros=zeros: sum_slices(zeros)),  # type: ignore[misc]
        peak_bytes(lambda zeros=zeros: sum_from(zeros)),  # type: ignore[misc]
        peak_bytes(lambda zeros=zeros, n=n: sum_halves(zeros, 0, n)),  # type: ignore[misc]
    ]
    print(f"{n:4} {peaks[0]:10,} {peaks[1]:8,} {peaks[2]:7,}")

# %% [markdown]
# The first is Θ(n²) in space, since each frame keeps its slice until the calls below have come back. The second is Θ(n)
# deep (frames lie in chunks of memory since 3.11, so the steps are coarse) and ends in a `RecursionError` at
# `sys.getrecursionlimit()`, 1000 by default. The third is Θ(log n) deep. Python has no tail-call elimination: a
# recursion as deep as the *data* is long becomes a loop with a stack of its own.
#
# ### Trading one for the other
#
# "Which two amounts add up to the target?" (*two-sum*) is the question by which interviewers hear whether you think in
# both:
#
# | way | time | auxiliary space | when |
# | --- | --- | --- | --- |
# | every pair | n² | 1 | n below some hundreds |
# | sort, then a pointer from each end | n log n (n if sorted) | n for the copy (1 if sorted) | the data is in order |
# | remember what was seen in a set | n on average | n | the default; also for streams |
#
# Here are the steps of all three where no pair adds up, which is the worst case:


# %%
def pairs_tried(amounts: list[int], target: int) -> tuple[bool, int]:
    steps = 0
    for first, second in itertools.combinations(amounts, 2):
        steps += 1
        if first + second == target:
            return True, steps
    return False, steps


def from_both_ends(ordered: list[int], target: int) -> tuple[bool, int]:
    steps, low, high = 0, 0, len(ordered) - 1
    while low < high:
        steps += 1
        total = ordered[low] + ordered[high]
        if total == target:
            return True, steps
        low, high = (low + 1, high) if total < target else (low, high - 1)
    return False, steps


def remembered(amounts: list[int], target: int) -> tuple[bool, int]:
    seen: set[int] = set()
    for steps, amount in enumerate(amounts, start=1):
        if target - amount in seen:
            return True, steps
        seen.add(amount)
    return False, len(amounts)


print(f"{'n':>5} {'every pair':>10} {'both ends':>9} {'set':>6}   steps; both ends: after sorting")
for n in (250, 500, 1_000):
    even = random.Random(n).sample(range(0, 10**6, 2), n)
    found = [pairs_tried(even, 777_777), from_both_ends(sorted(even), 777_777), remembered(even, 777_777)]
    print(f"{n:5,} {found[0][1]:10,} {found[1][1]:9,} {found[2][1]:6,}")

# %% [markdown]
# The set buys the factor of n/2 with n entries; the two pointers get it for nothing, where the order is there already.
#
# ## How fast can sorting be?
#
# A sort that only *compares* has to tell n! orders apart, and each comparison halves what is possible at best. Its
# decision tree has n! leaves, so its depth is at least log₂(n!) ≈ n·log₂ n − 1.44·n: **Ω(n log n)**, for every such
# algorithm that will ever be invented. Look how close Python comes:

# %%
print(f"{'n':>6} {'log2(n!)':>9} {'sorted, random':>15} {'in order':>9} {'reversed':>9} {'two runs':>9}")
for n in (1_000, 4_000, 16_000):
    row = []
    for order in (
        random.Random(n).sample(range(n), n),
        range(n),
        range(n)[::-1],
        [*range(0, n, 2), *range(1, n, 2)],
    ):
        tally = Counter()
        sorted(items_of(order, tally))
        row.append(tally["<"])
    bound = math.lgamma(n + 1) / math.log(2)
    print(f"{n:6,} {bound:9,.0f} {row[0]:15,} {row[1]:9,} {row[2]:9,} {row[3]:9,}")

# %% [markdown]
# Within a few percent for random input. It goes *below* for input with runs in it, since the bound is for the worst
# (and the average) case; Timsort (with powersort's merge rule since 3.11) is adaptive: Θ(n) at best. Only another
# operation beats the bound: counting and radix sort *index* with the key, in O(n + k) for keys in a range of k.

# %% [markdown] exercise snippet_classes topic=complexity-analysis level=core minutes=8
# ## Exercise: Ten snippets, ten classes
#
# The last round of the interview: ten functions on a whiteboard, one class for each. `tape` holds n different items;
# it is shuffled for `insort`, `heap` and `distinct`, and in ascending order for the others. `Tape` is a list.
#
# What counts is everything together: comparisons, hash calls, elements that slices copy, and elements that `pop` and
# `insert` take, put or move. `snippet_classes()` returns a dict from each function's name to one of `"1"`, `"log n"`,
# `"n"`, `"n log n"`, `"n^2"`.
#
# ```python
# >>> sorted(snippet_classes()) == sorted(SNIPPETS)
# True
# >>> set(snippet_classes().values()) <= {"1", "log n", "n", "n log n", "n^2"}
# True
# ```


# %%
class Tape(list[Item]):
    """A list that counts the elements that slices copy and that pop and insert take, put or move."""

    def __init__(self, items: Iterable[Item], tally: Counter[str]) -> None:
        super().__init__(items)
        self.tally = tally

    def __getitem__(self, index: Any) -> Any:
        found = super().__getitem__(index)
        if not isinstance(index, slice):
            return found
        self.tally["copied"] += len(found)
        return Tape(found, self.tally)

    def pop(self, index: SupportsIndex = -1) -> Item:
        self.tally["moved"] += len(range(len(self))[int(index) :])
        return super().pop(index)

    def insert(self, index: SupportsIndex, item: Item) -> None:
        self.tally["moved"] += len(self) - int(index) + 1
        super().insert(index, item)


def drain(tape: Tape) -> None:
    while tape:
        tape.pop(0)


def distinct(tape: Tape) -> int:
    seen = set()
    for item in tape:
        if item not in seen:
            seen.add(item)
    return len(seen)


def locate(tape: Tape) -> int:
    return bisect.bisect_left(tape, tape[-1])


def insort(tape: Tape) -> Tape:
    result = Tape([], tape.tally)
    for item in tape:
        bisect.insort(result, item)
    return result


def heap(tape: Tape) -> list[Item]:
    waiting: list[Item] = []
    for item in tape:
        heapq.heappush(waiting, item)
    return [heapq.heappop(waiting) for _ in range(len(waiting))]


def fold(tape: Tape) -> int:
    return tape[0].value + fold(tape[1:]) if tape else 0


def narrow(tape: Tape) -> bool:
    wanted = tape[-1]
    while len(tape) > 1:
        middle = len(tape) // 2
        tape = tape[:middle] if wanted < tape[middle] else tape[middle:]
    return tape[0] == wanted


def halve(tape: Tape) -> int:
    size, total = len(tape), 0
    while size:
        for item in tape[:size]:
            total += item.value
        size //= 2
    return total


def resort(tape: Tape) -> list[Item]:
    return sorted([*tape, Item(-1, tape.tally)])


def last(tape: Tape) -> Item:
    return tape.pop()


SNIPPETS: dict[str, Callable[[Tape], object]] = {
    function.__name__: function
    for function in (drain, distinct, locate, insort, heap, fold, narrow, halve, resort, last)
}


# %% solution snippet_classes
def snippet_classes() -> dict[str, str]:
    """Return the class of each snippet by its name."""
    # BEGIN SOLUTION
    return {
        "drain": "n^2",
        "distinct": "n",
        "locate": "log n",
        "insort": "n^2",
        "heap": "n log n",
        "fold": "n^2",
        "narrow": "n",
        "halve": "n",
        "resort": "n",
        "last": "1",
    }
    # END SOLUTION


# %% check snippet_classes points=1
def test_the_two_ends_of_a_list() -> None:
    answer = snippet_classes()
    assert (answer["drain"], answer["last"]) == ("n^2", "1"), "pop(0) moves all that is left; pop() moves nothing"


# %% hidden snippet_classes points=3
def counted_at(name: str, n: int) -> int:
    """Return the operations of a snippet at size n."""
    tally: Counter[str] = Counter()
    order = random.Random(n).sample(range(n), n) if name in ("insort", "heap", "distinct") else range(n)
    tape = Tape(items_of(order, tally), tally)
    SNIPPETS[name](tape)
    return tally.total()


def measured_class(counts: dict[int, int]) -> str:
    """Return the class whose quotient varies least."""
    spreads = {}
    for name in ("1", "log n", "n", "n log n", "n^2"):
        quotients = [count / CLASSES[name](n) for n, count in counts.items()]
        spreads[name] = max(quotients) / min(quotients)
    return min(spreads, key=lambda name: spreads[name])


@pytest.mark.parametrize("snippet", list(SNIPPETS))
def test_the_class_is_the_measured_one(snippet: str) -> None:
    counts = {n: counted_at(snippet, n) for n in (64, 128, 256, 512)}
    answer = snippet_classes()[snippet]
    assert answer == measured_class(counts), f"the operations of {snippet} by n: {counts}"


# %% wrong snippet_classes fails=test_the_class_is_the_measured_one
# "Count the loops": what pop, insert, slices and sorted do inside isn't counted.
def snippet_classes() -> dict[str, str]:
    """Return the class of each snippet by its name."""
    return {
        "drain": "n",
        "distinct": "n",
        "locate": "log n",
        "insort": "n log n",
        "heap": "n log n",
        "fold": "n",
        "narrow": "log n",
        "halve": "n log n",
        "resort": "n log n",
        "last": "1",
    }


# %% wrong snippet_classes fails=test_the_two_ends_of_a_list
# "A pop is a pop": at the front of a list everything moves up.
def snippet_classes() -> dict[str, str]:
    """Return the class of each snippet by its name."""
    return {
        "drain": "n",
        "distinct": "n",
        "locate": "log n",
        "insort": "n^2",
        "heap": "n log n",
        "fold": "n^2",
        "narrow": "n",
        "halve": "n",
        "resort": "n",
        "last": "1",
    }


# %% [markdown] hint snippet_classes
# Write beside each line what the built-in in it does to how many elements, and add up over the rounds. The rounds
# needn't cost the same.

# %% [markdown] hint snippet_classes
# n + n/2 + n/4 + … is less than 2n. `bisect` finds the place with log n comparisons, but somebody has to make room
# there. And what does Timsort do with a list that is in order but for its last item?

# %% [markdown] after snippet_classes
# | snippet | class | since |
# | --- | --- | --- |
# | `drain` | n² | the first `pop(0)` moves n − 1, the next n − 2, …; a `deque` makes it n |
# | `distinct` | n | one or two hash calls for each item, on average |
# | `locate` | log n | `bisect` halves, and copies nothing |
# | `insort` | n² | n log n comparisons, but n²/4 moves (by a loop in C: up to some thousands it is quick) |
# | `heap` | n log n | at most log n comparisons for each push, about log n for each pop |
# | `fold` | n² | `tape[1:]` copies n − 1, n − 2, … elements, and all those copies are alive at the bottom |
# | `narrow` | n | log n comparisons, but the slices copy n/2 + n/4 + … |
# | `halve` | n | n + n/2 + n/4 + … < 2n: log n rounds, but the rounds shrink |
# | `resort` | n | two runs: found with n comparisons, and merged with few |
# | `last` | 1 | nothing moves |
#
# **The interviewer goes on**: *Which of them would you change at n = 100? (Perhaps none.) `insort` keeps a list of a
# million sorted: what does one insertion cost, really? (Up to 8 MB of references moved, 1 to 2 ms when measured.) What
# does the third-party `sortedcontainers` do about it? (It keeps a list of short lists.)*

# %% [markdown] exercise cost_forecast topic=complexity-analysis level=senior minutes=8
# ## Exercise: Before you run it
#
# "How long will that take on the real data?" Answer on paper, then let the check measure or compute. Return numbers
# under these keys; 1 % off is accepted.
#
# * `"quadratic_seconds"`: a job with cost c·n² takes 2 s for 10,000 records. Seconds for 80,000?
# * `"sorting_seconds"`: a job with cost c·n·log n takes 2 s for 10,000 records. Seconds for 10,000² = 10⁸?
# * `"copies"`: items copied by 2²⁰ appends to an array that starts with **one** slot and doubles whenever it is full
#   (each growth copies all items that are there)
# * `"scan"`: comparisons for 1,000 successful `x in a_list` on average, where the list has 10,000 items and the one
#   that is looked for is at any place with equal probability (finding it counts as a comparison)
# * `"collisions"`: calls of `__eq__` while a dict is made of 1,000 different keys that all have the same hash
# * `"sort_bound"`: no sort by comparisons can guarantee to sort 10⁶ items with fewer than this many comparisons (by
#   log₂(n!) ≈ n·log₂(n/e))
# * `"slices_bytes"`: bytes of references (8 each) alive at the deepest point of
#   `def f(a): return a[0] + f(a[1:]) if a else 0` for a list of 900 numbers, the list itself left out
#
# ```python
# >>> sorted(cost_forecast())
# ['collisions', 'copies', 'quadratic_seconds', 'scan', 'slices_bytes', 'sort_bound', 'sorting_seconds']
# >>> cost_forecast()["copies"] < 2**21
# True
# ```


# %% solution cost_forecast
def cost_forecast() -> dict[str, float]:
    """Return the seven estimates by name."""
    # BEGIN SOLUTION
    million = 10**6
    thousand = 10**3
    numbers = 9 * 10**2
    return {
        "quadratic_seconds": 2 * 8**2,
        "sorting_seconds": 2 * 10**4 * 2,
        "copies": 2**20,
        "scan": thousand * 10**4 / 2,
        "collisions": thousand**2 / 2,
        "sort_bound": million * math.log2(million / math.e),
        "slices_bytes": 8 * numbers**2 / 2,
    }
    # END SOLUTION


# %% check cost_forecast points=1
def test_eight_times_the_records_at_quadratic_cost() -> None:
    answer = cost_forecast()["quadratic_seconds"]
    assert answer == pytest.approx(128, rel=0.01), "eight times n is 64 times the work"


def test_the_copies_of_a_doubling_array() -> None:
    slots, copies = 1, 0
    for length in range(2**20):
        if length == slots:
            copies, slots = copies + length, 2 * slots
    answer = cost_forecast()["copies"]
    assert answer == pytest.approx(copies, rel=0.01), "1 + 2 + 4 + … up to half of the slots: one for each append"


# %% hidden cost_forecast points=3
def test_the_square_of_the_records_at_n_log_n() -> None:
    answer = cost_forecast()["sorting_seconds"]
    assert answer == pytest.approx(40_000, rel=0.01), "10,000 times the records, and the logarithm doubles: 11 hours"


def test_scanning_finds_it_half_way_on_average() -> None:
    answer = cost_forecast()["scan"]
    assert answer == pytest.approx(1_000 * 5_000.5, rel=0.01), "half of the list for each lookup, if it is there at all"


def test_colliding_keys_are_compared_with_all_before_them() -> None:
    CountedInt.compared = 0
    dict.fromkeys([CountedInt(number * sys.hash_info.modulus) for number in range(1_000)])
    answer = cost_forecast()["collisions"]
    assert answer == pytest.approx(CountedInt.compared, rel=0.01), "0 + 1 + 2 + … + 999, counted just now"


def test_the_lower_bound_of_sorting() -> None:
    answer = cost_forecast()["sort_bound"]
    assert answer == pytest.approx(math.lgamma(10**6 + 1) / math.log(2), rel=0.01), "log2(n!): 1.44·n below n·log2(n)"


def test_every_frame_keeps_its_slice() -> None:
    alive = sum(8 * length for length in range(900))
    answer = cost_forecast()["slices_bytes"]
    assert answer == pytest.approx(alive, rel=0.01), "899 + 898 + … references: a slice lives as long as its frame"


# %% wrong cost_forecast fails=test_the_square_of_the_records_at_n_log_n
# "The logarithm doesn't matter": from 10^4 to 10^8 it doubles.
def cost_forecast() -> dict[str, float]:
    """Return the seven estimates by name."""
    return {
        "quadratic_seconds": 128,
        "sorting_seconds": 20_000,
        "copies": 2**20 - 1,
        "scan": 5_000_500,
        "collisions": 499_500,
        "sort_bound": 18.49e6,
        "slices_bytes": 3_236_400,
    }


# %% wrong cost_forecast fails=test_every_frame_keeps_its_slice
# "A slice is garbage after the call that made it": it is an argument, and lives until that call returns.
def cost_forecast() -> dict[str, float]:
    """Return the seven estimates by name."""
    return {
        "quadratic_seconds": 128,
        "sorting_seconds": 40_000,
        "copies": 2**20 - 1,
        "scan": 5_000_500,
        "collisions": 499_500,
        "sort_bound": 18.49e6,
        "slices_bytes": 8 * 899,
    }


# %% wrong cost_forecast fails=test_the_copies_of_a_doubling_array
# "Twenty growths, so each item is copied twenty times": most of them came later; the series is geometric.
def cost_forecast() -> dict[str, float]:
    """Return the seven estimates by name."""
    return {
        "quadratic_seconds": 128,
        "sorting_seconds": 40_000,
        "copies": 20 * 2**20,
        "scan": 5_000_500,
        "collisions": 499_500,
        "sort_bound": 19.93e6,
        "slices_bytes": 3_236_400,
    }


# %% [markdown] hint cost_forecast
# Divide: T(new) / T(old) is free of the constant c. And log(10⁸) / log(10⁴) needs no calculator.

# %% [markdown] hint cost_forecast
# 1 + 2 + 4 + … + 2¹⁹ = 2²⁰ − 1. And 0 + 1 + … + (n − 1) = n(n − 1)/2, about n²/2: that is the sum behind the
# collisions and behind the slices.

# %% [markdown] after cost_forecast
# 128 s; 40,000 s; 1,048,575; 5,000,500; 499,500; 18.5 million; 3.2 MB. `cost_forecast` may use the rounded forms: an
# estimate is there to choose between designs, and those differ by factors of a thousand.
#
# **Beyond the formula.** A forecast from 10⁴ to 10⁸ assumes that nothing else changes. Something does: at 10⁸ the data
# leaves the caches and then the memory, and the "constant" c grows on the way. Measure at two or three sizes in
# between. And 11 hours for a sort says: another tool (an index, `sort(1)`, a database), not a faster machine.
#
# **The interviewer goes on**: *The quadratic job has 20 minutes: how many records fit? (10,000·√600 ≈ 245,000: a
# machine twice as fast brings only 41 % more.)*

# %% [markdown]
# ## The interview
#
# Say your answer aloud before you unfold one.

# %% [markdown] interview
# ### Is a lookup in a dict O(1)?
#
# On average, if the hashes spread. In the worst case it is O(n) comparisons, when all keys have the same hash: through
# a bad `__hash__`, or through an attacker, since hashes of ints aren't seeded as those of strings are. In both cases
# hashing and comparing the key come on top, linear in its length. Where I need a guarantee I'd take a balanced tree or
# a sorted structure with O(log n), or I bound the number of keys that a client can send.

# %% [markdown] interview
# ### What is the difference between amortised and average cost?
#
# Average cost is about chance: the mean over inputs or over the algorithm's random choices; a particular input may be
# bad each time. Amortised cost is a guarantee about sequences: any m operations together cost at most m times that,
# with no probability in it, though one of them may be dear. `list.append` is amortised O(1) and O(n) at worst; a hash
# table's insertion is amortised (resizing) *and* on average (collisions).

# %% [markdown] interview
# ### "My algorithm is O(n²)." What have you told me?
#
# A ceiling for its growth, and no more: not that it is reached, not for which input, not what n is or what is counted.
# I'd say "in the worst case Θ(n²) comparisons in the number of records, when nothing matches; on our data it is linear,
# and it needs O(n) extra memory". Θ says that the bound is tight, Ω that no input is cheaper, or, for a problem, that
# no algorithm is.

# %% [markdown] interview
# ### When do you choose the worse complexity class?
#
# When n is small or bounded and the constant decides: a scan over twenty items beats hashing them, and Timsort itself
# uses binary insertion sort for short runs. When memory is the limit: O(n log n) in place against O(n) with a table.
# When the better one is hard to get right, and the bound on n is enforced, not hoped for. I write that bound down, and
# a test that counts operations guards it.

# %% [markdown] interview
# ### Can you sort in linear time?
#
# Not by comparing: n! orders have to be told apart by answers of one bit, so log₂(n!), about n·log₂ n, comparisons are
# needed at worst and on average. With keys in a known range, counting sort takes O(n + k), radix sort O(d·(n + k)). And
# data that is nearly in order is linear for Timsort, since the bound isn't about every input. Often I don't need a
# sort: the k largest of n are O(n log k) with a heap.

# %% [markdown] interview
# ### A page takes four times as long since the customer has twice the data. What do you do?
#
# A factor of four at twice the size says quadratic, so I look for a scan in a loop: `in` on a list, `pop(0)`, a slice
# or `+=` in a loop, a query for each row, a nested loop join without an index. I count instead of guessing (queries,
# calls by a profiler at n and 2n): the function whose *number of calls* quadruples is the one. I mend it with a dict,
# a set or a join, and add a test that counts at two sizes, since a timing test would be flaky.

# %% [markdown]
# ## Pitfalls seen in reviews
#
# * `if x not in result: result.append(x)`. To keep the order without duplicates: `list(dict.fromkeys(items))`.
# * `sum(lists, [])` and `functools.reduce(operator.add, lists)`: quadratic; `itertools.chain.from_iterable` isn't.
# * A queue on `list.pop(0)`; a `deque` that is indexed in the middle.
# * `max(items)` or `len(list(generator))` in the condition of a loop; `sorted` inside a loop where a heap would do.
# * `pd.concat` or `np.append` in a loop: each one copies what is there already.
# * "It's only one line": a comprehension, `any(x in other for x in items)` or `set(a)` inside a loop is a loop.
# * A regular expression with nested repetition, such as `(a+)+$`: exponential on input that almost matches.
# * `@cache` that makes the time linear and the memory unbounded: the space is part of the answer.
# * A benchmark at one size: it says nothing about growth.
#
# ## Where to read on
#
# * Python Wiki, [TimeComplexity](https://wiki.python.org/moin/TimeComplexity): the built-in containers, operation by
#   operation
# * CPython's [`Objects/listsort.txt`](https://github.com/python/cpython/blob/main/Objects/listsort.txt) (Tim Peters on
#   Timsort, with counted comparisons) and [`Objects/dictobject.c`](https://github.com/python/cpython/blob/main/Objects/dictobject.c)
#   (the comments on probing)
# * Python documentation: [`object.__hash__`](https://docs.python.org/3/reference/datamodel.html#object.__hash__) (on
#   seeded hashes), [Hashing of numeric
#   types](https://docs.python.org/3/library/stdtypes.html#hashing-of-numeric-types)
# * Cormen, Leiserson, Rivest, Stein, [Introduction to Algorithms](https://mitpress.mit.edu/9780262046305/), 4th
#   edition: chapters 3 (notation), 4 (recurrences), 8.1 (the lower bound), 16 (amortised analysis)
# * Crosby and Wallach, [Denial of Service via Algorithmic Complexity
#   Attacks](https://www.usenix.org/legacy/events/sec03/tech/full_papers/crosby/crosby_html/index.html)
#   (USENIX Security 2003)
