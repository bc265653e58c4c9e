# %% [markdown]
# # Algorithm design: divide and conquer, greedy, dynamic programming
#
# *"Which technique, and why is it correct here?"* The interviewer has a problem with an exponential number of
# candidates and wants to see how you avoid looking at them. A junior answer recognises a famous problem and recites its
# code. A senior answer says what the subproblems are, whether they overlap, why a local choice is safe or on which
# input it isn't, what the table costs in time *and* memory, and how the choice itself is read out of it.
#
# **Assumed**: the lesson on complexity (counting, recurrences, the master theorem, peak memory). **Left out**: heaps,
# trees and graphs as data structures, binary search on the answer and the routine of an interview, which have lessons
# of their own; approximation algorithms beyond a paragraph.

# %%
import bisect
import functools
import heapq
import html
import itertools
import math
import random
import tracemalloc
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar

import pytest
from IPython.display import display

from autograder.notebook.figures import Span, Timeline, explore

# %% [markdown]
# ## Three ways not to try everything
#
# | | divide and conquer | greedy | dynamic programming |
# | --- | --- | --- | --- |
# | subproblems | disjoint, a fraction of the size each | one: what the choice leaves | overlapping, few different |
# | must hold | the answers combine cheaply | a local choice is in *some* optimum | optimal substructure |
# | correctness by | induction on the size | an exchange argument | induction on the order of the table |
# | typical cost | n log n | n log n (the sort) | number of states × choices for each; memory: the states |
# | fails by | combining costs too much | a counter-example not looked for | a state that says too little |
#
# **Optimal substructure** means that an optimal answer contains optimal answers to its subproblems. Shortest paths have
# it. *Longest simple* paths don't: the longest way from a to b and the longest from b to c may share a node, so that
# gluing them gives no simple path. Ask for it first: without it neither greedy nor a table is right.
#
# What is dear has to be counted. These values count their comparisons:


# %%
class Counted:
    """A value that has an order and counts its comparisons; it has no hash."""

    def __init__(self, value: int, tally: Counter[str]) -> None:
        self.value = value
        self.tally = tally

    def _minus(self, other: "Counted") -> int:
        self.tally["comparisons"] += 1
        return self.value - other.value

    def __lt__(self, other: "Counted") -> bool:
        return self._minus(other) < 0

    def __le__(self, other: "Counted") -> bool:
        return self._minus(other) <= 0

    def __gt__(self, other: "Counted") -> bool:
        return self._minus(other) > 0

    def __ge__(self, other: "Counted") -> bool:
        return self._minus(other) >= 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Counted) and self._minus(other) == 0

    def __repr__(self) -> str:
        return f"Counted({self.value})"


def counted(values: Iterable[int], tally: Counter[str]) -> list[Counted]:
    """Return values that share a tally."""
    return [Counted(value, tally) for value in values]


class Ordered(Protocol):
    """What can be compared with its like."""

    def __lt__(self, other: Any, /) -> bool: ...
    def __le__(self, other: Any, /) -> bool: ...


T = TypeVar("T", bound=Ordered)


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


# %% [markdown]
# ## Divide and conquer: where does the work sit?
#
# **Divide** into parts that share nothing, **conquer** each by the same procedure, **combine**. The gain comes from the
# combining step: two sorted runs of n/2 are merged with at most n − 1 comparisons, because the order inside each run
# has been paid for and needn't be looked at again. The recurrence T(n) = 2·T(n/2) + n has the same work n on each of
# log₂ n levels: Θ(n log n) by the **master theorem** (a/b^d = 2/2¹ = 1).
#
# *How* one divides decides. Sixty-four sorted files of log lines are to become one. Three ways, with the comparisons
# counted:


# %%
def merge(left: list[Counted], right: list[Counted]) -> list[Counted]:
    """Return two sorted runs as one."""
    merged, i, j = [], 0, 0
    while i < len(left) and j < len(right):
        if right[j] < left[i]:
            merged.append(right[j])
            j += 1
        else:
            merged.append(left[i])
            i += 1
    return merged + left[i:] + right[j:]


def in_pairs(runs: list[list[Counted]]) -> list[Counted]:
    """Merge halves of the runs, each merged in the same way."""
    if len(runs) == 1:
        return runs[0]
    middle = len(runs) // 2
    return merge(in_pairs(runs[:middle]), in_pairs(runs[middle:]))


MERGES: dict[str, Callable[[list[list[Counted]]], object]] = {
    "one after another": lambda runs: functools.reduce(merge, runs),
    "in pairs": in_pairs,
    "heapq.merge": lambda runs: list(heapq.merge(*runs)),
}
print(f"{'runs of 100 lines':20}" + "".join(f"{k:>10}" for k in (16, 32, 64)) + "   comparisons")
for label, way in MERGES.items():
    row = []
    for k in (16, 32, 64):
        tally: Counter[str] = Counter()
        numbers = random.Random(k).sample(range(100 * k), 100 * k)
        way([counted(sorted(numbers[start : start + 100]), tally) for start in range(0, 100 * k, 100)])
        row.append(tally["comparisons"])
    print(f"{label:20}" + "".join(f"{count:10,}" for count in row))

# %% [markdown]
# One after another, the first run is gone through k times: T(k) = T(k − 1) + 100·k, quadratic in the number of runs
# (× 4 per doubling). In pairs each line takes part in log₂ k merges. The heap does as well without the intermediate
# runs, and reads its inputs as streams, at more than twice the comparisons: it compares lists of `[value, number, …]`,
# and comparing two lists first asks whether the values are *equal*, then which is less.
#
# | recurrence | example | cost |
# | --- | --- | --- |
# | 2·T(n/2) + n | merge sort, inversions, closest pair of points | n log n |
# | T(n/2) + 1 | binary search | log n |
# | T(n/2) + n | quickselect with good pivots | n |
# | 2·T(n/2) + 1 | maximum subarray with four sums for each part | n |
# | 2·T(n/2) + n² | combining by comparing all pairs: dividing gained nothing | n² |
# | T(n − 1) + n | quicksort with bad pivots, recursive merge of `rest` | n² |
#
# In production: recursion costs a frame per level, so parts that are *fractions* are log n deep and safe, while
# "first item and the rest" is n deep and ends in a `RecursionError`. Stop at a small size and use the simple way there
# (Timsort's runs have at least 32 items, sorted by insertion). Disjoint parts are also what can go to other processes.
#
# ### What a merge knows
#
# An **inversion** is a pair that stands in the wrong order. There are up to n(n − 1)/2 of them, and yet they can be
# counted with n log n comparisons. When an item of the right run is taken before `len(left) - i` items that wait in the
# left one, it is smaller than *all* of them: so many inversions, found with one comparison. Pairs inside a run have
# been counted by the recursion, and sorting the run doesn't lose them.
#
# The number says how much two orders disagree (it is the distance behind Kendall's τ), and how many swaps of
# neighbours insertion sort would make.

# %% [markdown] exercise ranking_disagreement topic=algorithm-design level=senior minutes=12
# ## Exercise: Does the new ranker agree?
#
# A new ranker runs in the shadow of the live one. For each query the live ranker lists pages, best first, and
# `penalties[i]` is what the new ranker gives to the i-th of them: **lower is better**. A dashboard shows on how many
# pairs of pages the two agree. Comparing every pair is 5 × 10⁹ comparisons for 100,000 pages.
#
# `pair_counts(penalties)` returns `(agree, disagree, tied)`. A pair of pages i < j
#
# * agrees if `penalties[i] < penalties[j]`, disagrees if `penalties[j] < penalties[i]`, and is tied otherwise;
# * so the three numbers add up to n(n − 1)/2.
#
# Penalties have a total order (`<`, `<=`, `>`, `>=`, `==`, `!=`) and need have no hash. `penalties` stays as it is. For
# n ≥ 2 penalties are compared at most **2·n·⌈log₂ n⌉ times**, by whatever operators. Lists of 100,000 pages in any
# order have to work within the usual recursion limit.
#
# ```python
# >>> pair_counts([1, 2, 3])
# (3, 0, 0)
# >>> pair_counts([3, 1, 2, 1])
# (1, 4, 1)
# >>> pair_counts([])
# (0, 0, 0)
# ```


# %% solution ranking_disagreement
def pair_counts(penalties: Sequence[T]) -> tuple[int, int, int]:
    """Return how many pairs agree, disagree, and are tied."""

    # BEGIN SOLUTION
    def by_merging(run: list[T]) -> tuple[list[T], int]:
        """Return the run in order, and its inversions."""
        if len(run) < 2:
            return run, 0
        middle = len(run) // 2
        left, left_inversions = by_merging(run[:middle])
        right, right_inversions = by_merging(run[middle:])
        inversions = left_inversions + right_inversions
        merged, i = [], 0
        for item in right:
            while i < len(left) and left[i] <= item:
                merged.append(left[i])
                i += 1
            merged.append(item)
            inversions += len(left) - i
        return merged + left[i:], inversions

    ordered, disagree = by_merging(list(penalties))
    tied = equal_before = 0
    for before, after in itertools.pairwise(ordered):
        equal_before = 0 if before < after else equal_before + 1
        tied += equal_before
    return math.comb(len(ordered), 2) - disagree - tied, disagree, tied
    # END SOLUTION


# %% check ranking_disagreement points=2
def test_counts_a_small_list_by_hand() -> None:
    assert pair_counts([2, 1, 3]) == (2, 1, 0), "2 before 1 is the one pair in the other order"
    assert pair_counts([5, 4, 3, 2, 1]) == (0, 10, 0), "the opposite order: all ten pairs disagree"


def test_the_comparisons_grow_with_n_log_n() -> None:
    for n in (256, 512, 1024):
        tally: Counter[str] = Counter()
        pair_counts(counted(random.Random(n).sample(range(n), n), tally))
        limit = 2 * n * math.ceil(math.log2(n))
        assert tally["comparisons"] <= limit, (
            f"{tally['comparisons']:,} comparisons for {n} pages; {limit:,} are allowed"
        )


# %% hidden ranking_disagreement points=4
def every_pair(penalties: Sequence[int]) -> tuple[int, int, int]:
    """Count with all pairs."""
    pairs = list(itertools.combinations(penalties, 2))
    agree, disagree = sum(a < b for a, b in pairs), sum(b < a for a, b in pairs)
    return agree, disagree, len(pairs) - agree - disagree


@pytest.mark.parametrize("different", [2, 5, 1000])
def test_agrees_with_counting_every_pair(different: int) -> None:
    rng = random.Random(different)
    for n in range(40):
        penalties = [rng.randrange(different) for _ in range(n)]
        assert pair_counts(penalties) == every_pair(penalties), f"{penalties}"


def test_equal_penalties_are_tied_in_either_half() -> None:
    assert pair_counts([1, 1]) == (0, 0, 1), "neither is less: no inversion and no agreement"
    assert pair_counts([7] * 9) == (0, 0, 36), "all 36 pairs are tied"


def test_nothing_to_compare_gives_zeros() -> None:
    assert pair_counts([]) == (0, 0, 0), "a query without results is no error"
    assert pair_counts([4]) == (0, 0, 0), "one page has no pair"


def test_the_list_stays_as_it_is() -> None:
    penalties = [3, 1, 2]
    pair_counts(penalties)
    assert penalties == [3, 1, 2], "the caller shows the pages in this order afterwards"


def test_lists_that_are_in_order_or_reversed_are_no_deeper() -> None:
    for penalties in ([*range(5_000)], [*range(5_000)][::-1]):
        expected = 5_000 * 4_999 // 2
        assert max(pair_counts(penalties)) == expected, "a recursion by single items would be 5,000 deep"


def test_ties_cost_no_more_comparisons() -> None:
    tally: Counter[str] = Counter()
    result = pair_counts(counted([number % 3 for number in range(600)], tally))
    assert result[2] == 3 * math.comb(200, 2), "three groups of 200 equal penalties"
    assert tally["comparisons"] <= 2 * 600 * 10, f"{tally['comparisons']:,} comparisons: equal ones in pairs are 59,700"


# %% wrong ranking_disagreement fails=test_the_comparisons_grow_with_n_log_n
# "There are n² pairs, so it takes n² comparisons": a merge counts many of them with one comparison.
def pair_counts(penalties: Sequence[T]) -> tuple[int, int, int]:
    """Return how many pairs agree, disagree, and are tied."""
    agree = disagree = tied = 0
    for first, second in itertools.combinations(penalties, 2):
        if first < second:
            agree += 1
        elif second < first:
            disagree += 1
        else:
            tied += 1
    return agree, disagree, tied


# %% wrong ranking_disagreement fails=test_equal_penalties_are_tied_in_either_half
# "Take from the right unless the left is smaller": equal items then count as inversions.
def pair_counts(penalties: Sequence[T]) -> tuple[int, int, int]:
    """Return how many pairs agree, disagree, and are tied."""

    def by_merging(run: list[T]) -> tuple[list[T], int]:
        if len(run) < 2:
            return run, 0
        middle = len(run) // 2
        left, first = by_merging(run[:middle])
        right, second = by_merging(run[middle:])
        merged, i, j, crossed = [], 0, 0, 0
        while i < len(left) and j < len(right):
            if left[i] < right[j]:
                merged.append(left[i])
                i += 1
            else:
                crossed += len(left) - i
                merged.append(right[j])
                j += 1
        return merged + left[i:] + right[j:], first + second + crossed

    _, disagree = by_merging(list(penalties))
    return math.comb(len(penalties), 2) - disagree, disagree, 0


# %% wrong ranking_disagreement fails=test_lists_that_are_in_order_or_reversed_are_no_deeper
# "Sort while counting, one item at a time": the first item and the rest is a recursion as deep as the list is long.
def pair_counts(penalties: Sequence[T]) -> tuple[int, int, int]:
    """Return how many pairs agree, disagree, and are tied."""

    def insert_first(start: int) -> tuple[list[T], int, int]:
        if start == len(penalties):
            return [], 0, 0
        rest, disagree, tied = insert_first(start + 1)
        place = bisect.bisect_left(rest, penalties[start])
        equal = bisect.bisect_right(rest, penalties[start], place) - place
        rest.insert(place, penalties[start])
        return rest, disagree + place, tied + equal

    _, disagree, tied = insert_first(0)
    return math.comb(len(penalties), 2) - disagree - tied, disagree, tied


# %% right ranking_disagreement
def pair_counts(penalties: Sequence[T]) -> tuple[int, int, int]:
    """Return how many pairs agree, disagree, and are tied."""
    ordered: list[T] = []
    disagree = 0
    for seen, penalty in enumerate(penalties):
        place = bisect.bisect_right(ordered, penalty)
        disagree += seen - place
        ordered.insert(place, penalty)
    tied = equal = 0
    for before, after in itertools.pairwise(ordered):
        equal = 0 if before < after else equal + 1
        tied += equal
    return math.comb(len(ordered), 2) - disagree - tied, disagree, tied


# %% right ranking_disagreement
def pair_counts(penalties: Sequence[T]) -> tuple[int, int, int]:
    """Return how many pairs agree, disagree, and are tied."""
    order = sorted(range(len(penalties)), key=lambda place: penalties[place])
    ranks, rank, groups = [0] * len(penalties), 0, Counter[int]()
    for number, place in enumerate(order):
        if number and penalties[order[number - 1]] < penalties[place]:
            rank += 1
        ranks[place] = rank
        groups[rank] += 1
    tree = [0] * (rank + 2)
    disagree = 0
    for seen, own in enumerate(ranks):
        node, up_to = own + 1, 0
        while node:
            up_to += tree[node]
            node &= node - 1
        disagree += seen - up_to
        node = own + 1
        while node < len(tree):
            tree[node] += 1
            node += node & -node
    tied = sum(math.comb(size, 2) for size in groups.values())
    return math.comb(len(ranks), 2) - disagree - tied, disagree, tied


# %% [markdown] hint ranking_disagreement
# Let a function return two things for a part of the list: the part in order, and the number of disagreeing pairs in it.
# Which pairs are still missing when the two halves come back?

# %% [markdown] hint ranking_disagreement
# While merging: when an item of the right half is taken, everything that still waits in the left half is greater than
# it. On equal items take the *left* one first. The ties can be counted afterwards, in the sorted list, where equal
# items are neighbours.

# %% [markdown] hint ranking_disagreement
# `for item in right: while i < len(left) and left[i] <= item: … i += 1`, then append `item` and add `len(left) - i`.
# For ties walk over `itertools.pairwise(ordered)`: the k-th of equal items is tied with k − 1 before it. What remains
# of `math.comb(n, 2)` agrees.

# %% [markdown] after ranking_disagreement
# **Why.** The answer counts n²/2 pairs, but it is a *sum*, and a merge adds len(left) − i to it at once. It costs
# n·⌈log₂ n⌉ comparisons at most, n − 1 more for the ties, O(n) extra memory and log₂ n frames.
#
# **Alternatives.** `bisect` into a sorted list (a right answer here) makes as few comparisons, but n²/4 references are
# moved by `insert`: in C that is quick up to some 10⁵ pages, and then it isn't. Ranks in a Fenwick tree (the other one)
# take n log n steps too, work on a *stream*, and answer "how many are above" on the way. SciPy's `kendalltau` gives the
# coefficient with its corrections for ties.
#
# **The interviewer goes on**: *Only the first ten places matter, what then? (Weigh a pair by its place, or count only
# pairs with one in the top ten: n·10.) The list is on eight machines? (Each sorts and counts its part; merging counts
# the cross pairs: that's what "disjoint" buys.) Why is `<=` in the merge what keeps it stable?*

# %% [markdown]
# ## Greedy: one choice, never taken back
#
# **Greedy algorithms** sort the candidates by some rule, take what fits and never look back. They are short, they are
# n log n, and for most rules and most problems they are *wrong*. So a greedy answer has two parts: the rule, and the
# reason why its choice is safe.
#
# **Interval scheduling**: a cluster can take one release at a time; from the windows that teams ask for, choose as many
# as possible without overlap. Windows are half-open, `[start, end)`: one may begin when another ends. Four rules
# suggest themselves. Two thousand random days with eight windows each are tried against the optimum, found here by
# trying every subset:

# %%
Window = tuple[int, int]


def take_by(windows: Sequence[Window], key: Callable[[Window], int]) -> list[Window]:
    """Take the windows in the order of a key; leave out those that overlap one that was taken."""
    taken: list[Window] = []
    for start, end in sorted(windows, key=key):
        if all(end <= other_start or other_end <= start for other_start, other_end in taken):
            taken.append((start, end))
    return taken


def clashes(window: Window, windows: Sequence[Window]) -> int:
    """Return how many of the windows overlap this one; it counts itself."""
    return sum(start < window[1] and window[0] < end for start, end in windows)


RULES: dict[str, Callable[[Sequence[Window]], list[Window]]] = {
    "earliest start": lambda windows: take_by(windows, lambda window: window[0]),
    "shortest window": lambda windows: take_by(windows, lambda window: window[1] - window[0]),
    "fewest clashes": lambda windows: take_by(windows, lambda window: clashes(window, windows)),
    "earliest end": lambda windows: take_by(windows, lambda window: window[1]),
}


def most_by_trying(windows: Sequence[Window]) -> int:
    """Return the size of the largest subset without overlaps."""
    best = 0
    for chosen in itertools.product((False, True), repeat=len(windows)):
        subset = sorted(itertools.compress(windows, chosen))
        if len(subset) > best and all(a[1] <= b[0] for a, b in itertools.pairwise(subset)):
            best = len(subset)
    return best


rng = random.Random(11)
days = []
for _ in range(2_000):
    starts = [rng.randrange(24) for _ in range(8)]
    days.append([(start, start + rng.randint(1, 8)) for start in starts])
optima = [most_by_trying(day) for day in days]
for rule, choose in RULES.items():
    failures = sum(len(choose(day)) < best for day, best in zip(days, optima, strict=True))
    print(f"{rule:16} is not optimal on {failures:5,} of 2,000 days")

# %% [markdown]
# Three of the four are wrong, and one of these is wrong so rarely that a random test might have passed it. So a test
# can refute a greedy rule, and only an argument can establish it.
#
# **The exchange argument** for *earliest end*. Let g be the window that ends first, and take any optimal choice. If g
# isn't in it, put g in the place of the choice's first window f. That is allowed: g ends no later than f, so nothing
# that came after f can overlap g. The choice is as large as before, and contains g. So *some* optimum contains g; what
# remains is the same problem for the windows that begin at or after g's end, and by induction the rule is optimal.
# Three sentences, always the same: **take an optimum; exchange its first difference for the greedy choice; nothing
# gets worse**. Try it with *earliest start*, and it breaks at "nothing that came after f can overlap".
#
# The same day by the first and by the last rule:


# %%
def chosen_timeline(windows: Sequence[Window], rule: str) -> Timeline:
    """Draw the windows of a day, with those that a rule takes."""
    taken = RULES[rule](windows)
    spans = [
        Span(f"team {letter}", start, end, "taken" if (start, end) in taken else "refused")
        for letter, (start, end) in zip("ABCDEFGH", windows, strict=False)
    ]
    first = Span(spans[0].label, 0, 0, "taken")  # so that "taken" has the same colour in every picture
    return Timeline([first, *spans], title=f"{rule}: {len(taken)} of {len(windows)}", unit="h")


DAY = [(0, 9), (1, 4), (3, 6), (4, 8), (7, 10), (8, 12), (11, 14), (9, 16)]
for rule in ("earliest start", "earliest end"):
    display(chosen_timeline(DAY, rule))

# %% [markdown]
# Where a greedy choice is safe: interval scheduling, minimum spanning trees (Kruskal, Prim: the *cut* argument),
# Huffman's code, Dijkstra with weights that aren't negative, the nearest deadline first for the least lateness. The
# common structure of many of them is a **matroid**. Where it isn't: as soon as windows have *values* (one window of
# value 10 across two of value 1), things are indivisible (knapsack), or a choice closes more than one other door.
# Greedy may still be the right engineering: for set cover it stays within a factor of about ln n of the optimum, for
# value by ratio, together with the best single item, within a factor of two. Say then that it's a heuristic, and its
# bound.
#
# ### Sweep: sort the events, keep a little state
#
# "How many windows are open at the busiest moment?" Asking each pair is n². A **sweep** turns each window into two
# events, sorts them by time, and goes through them once with a counter. All the thought is in the ties: with half-open
# windows an **end comes before a start at the same time**.

# %%
release_windows = [(9, 11), (10, 12), (11, 13), (12, 14), (10, 13)]
for name, end_sign in (("end first", 0), ("start first", 2)):
    events = sorted(
        event for start, end in release_windows for event in ((start, 1, "opens"), (end, end_sign, "closes"))
    )
    is_open = most = 0
    for _, _, kind in events:
        is_open += 1 if kind == "opens" else -1
        most = max(most, is_open)
    print(f"{name:12} at equal times: {most} lanes at the busiest moment")

# %% [markdown]
# The depth at the busiest moment is a **lower bound** for the number of lanes: so many windows contain one moment, and
# need a lane each. A greedy assignment reaches it: by start, each window into any free lane, and a new lane only if
# none is free. Its proof is another kind than exchange: *when a lane is added, all the others are in use at this
# moment*, so the bound has risen too. A greedy result that meets a bound which no answer can beat needs no more.

# %% [markdown] exercise release_lanes topic=algorithm-design level=core minutes=10
# ## Exercise: As few release lanes as possible
#
# Releases run in lanes: a lane has a runner, a lock and a person on call, and takes one release at a time. The plan for
# the week stands; somebody has to say how many lanes to staff, and which release goes into which.
#
# `assign_lanes(windows)` gets a list of `(start, end)` and returns the lane of each, as a list of whole numbers in the
# order of `windows`.
#
# * Windows are half-open: one that starts when another ends can have the same lane. Windows that overlap can't.
# * As few lanes as possible are used, and they are numbered from 0 without gaps. Which of the lanes a window gets is
#   up to you.
# * `ValueError` if a window doesn't end after its start. No windows: `[]`.
# * Times have a total order (`<`, `<=`, `>`, `>=`, `==`, `!=`) and nothing else: no hash, no arithmetic (think of
#   `datetime`). For n ≥ 2 they are compared at most **10·n·⌈log₂ n⌉** times, by whatever operators.
#
# ```python
# >>> lanes = assign_lanes([(9, 12), (12, 14), (10, 11)])
# >>> lanes[0] != lanes[2], sorted(set(lanes))
# (True, [0, 1])
# >>> assign_lanes([(9, 10), (10, 11), (11, 12)])
# [0, 0, 0]
# >>> assign_lanes([(9, 9)])
# Traceback (most recent call last):
# ValueError: a window has to end after its start
# ```
#
# The wording of the error is yours.


# %% solution release_lanes
def assign_lanes(windows: Sequence[tuple[T, T]]) -> list[int]:
    """Return the lane of each window, so that as few as possible are used."""
    # BEGIN SOLUTION
    if any(end <= start for start, end in windows):
        raise ValueError("a window has to end after its start")
    by_start = sorted(range(len(windows)), key=lambda number: windows[number][0])
    by_end = sorted(range(len(windows)), key=lambda number: windows[number][1])
    lanes: dict[int, int] = {}
    free: list[int] = []
    over = used = 0
    for number in by_start:
        while windows[by_end[over]][1] <= windows[number][0]:
            free.append(lanes[by_end[over]])
            over += 1
        if not free:
            free.append(used)
            used += 1
        lanes[number] = free.pop()
    return [lanes[number] for number in range(len(windows))]
    # END SOLUTION


# %% check release_lanes points=2
def test_overlapping_windows_have_different_lanes() -> None:
    lanes = assign_lanes([(9, 12), (10, 11), (11, 13)])
    assert lanes[0] != lanes[1], "10 to 11 lies within 9 to 12"
    assert lanes[0] != lanes[2], "11 to 13 begins before 9 to 12 is over"
    assert set(lanes) == {0, 1}, "at no moment are more than two open"


def test_a_lane_is_free_again_when_its_window_ends() -> None:
    assert assign_lanes([(9, 10), (10, 11), (11, 12)]) == [0, 0, 0], "half-open: at 10 the first is over"


# %% hidden release_lanes points=3
def busiest(windows: Sequence[tuple[int, int]]) -> int:
    """Return how many windows are open at the busiest moment."""
    return max((sum(start <= moment < end for start, end in windows) for moment, _ in windows), default=0)


def random_windows(seed: int, most: int = 14) -> list[tuple[int, int]]:
    """Return some windows within a day."""
    rng = random.Random(seed)
    starts = [rng.randrange(24) for _ in range(rng.randint(1, most))]
    return [(start, start + rng.randint(1, 9)) for start in starts]


def test_no_lane_has_two_windows_at_once() -> None:
    for seed in range(200):
        windows = random_windows(seed)
        lanes = assign_lanes(windows)
        for (first, lane), (second, other) in itertools.combinations(zip(windows, lanes, strict=True), 2):
            overlap = first[0] < second[1] and second[0] < first[1]
            assert not (overlap and lane == other), f"{first} and {second} share lane {lane} in {windows}"


def test_needs_no_more_lanes_than_the_busiest_moment() -> None:
    for seed in range(200):
        windows = random_windows(seed)
        lanes = assign_lanes(windows)
        assert len(set(lanes)) == busiest(windows), f"{len(set(lanes))} lanes for {windows}"


def test_lanes_are_numbered_from_zero_without_gaps() -> None:
    for seed in range(50):
        lanes = assign_lanes(random_windows(seed))
        assert set(lanes) == set(range(len(set(lanes)))), f"{lanes}: the rota has a row for each number"


def test_the_result_is_in_the_order_of_the_input() -> None:
    windows = [(20, 22), (1, 30), (2, 3), (21, 23), (4, 5)]
    lanes = assign_lanes(windows)
    assert len(lanes) == 5, "one lane for each window, in the place of its window"
    assert len({lanes[0], lanes[1], lanes[3]}) == 3, "(20, 22), (1, 30) and (21, 23) are open at 21"


def test_no_windows_need_no_lanes() -> None:
    assert assign_lanes([]) == [], "a week without releases"


@pytest.mark.parametrize("window", [(5, 5), (6, 5)])
def test_a_window_that_does_not_end_after_its_start_is_refused(window: tuple[int, int]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        assign_lanes([(1, 9), window])


def test_times_need_only_an_order() -> None:
    nine = datetime(2026, 3, 2, 9)
    hour = timedelta(hours=1)
    windows = [(nine, nine + 2 * hour), (nine + hour, nine + 3 * hour), (nine + 2 * hour, nine + 4 * hour)]
    first, second, third = assign_lanes(windows)
    assert first == third != second, "the third begins when the first ends"


@pytest.mark.parametrize("length", [1, 2_000])
def test_the_comparisons_do_not_grow_with_the_pairs(length: int) -> None:
    n = 600
    tally: Counter[str] = Counter()
    starts = random.Random(length).sample(range(n), n)
    assign_lanes(list(zip(counted(starts, tally), counted([each + length for each in starts], tally), strict=True)))
    limit = 10 * n * math.ceil(math.log2(n))
    assert tally["comparisons"] <= limit, f"{tally['comparisons']:,} comparisons; {limit:,} are allowed"


# %% wrong release_lanes fails=test_needs_no_more_lanes_than_the_busiest_moment
# "Earliest end was the right order before": for lanes it isn't; a long window comes too late to its gap.
def assign_lanes(windows: Sequence[tuple[T, T]]) -> list[int]:
    """Return the lane of each window, so that as few as possible are used."""
    if any(end <= start for start, end in windows):
        raise ValueError("a window has to end after its start")
    ends: list[T] = []
    lanes = {}
    for number in sorted(range(len(windows)), key=lambda number: windows[number][1]):
        start, end = windows[number]
        free = [lane for lane, last in enumerate(ends) if last <= start]
        lane = free[0] if free else len(ends)
        ends[lane : lane + 1] = [end]
        lanes[number] = lane
    return [lanes[number] for number in range(len(windows))]


# %% wrong release_lanes fails=test_a_lane_is_free_again_when_its_window_ends
# "Starts sort before ends": at equal times the lane that is just being freed isn't seen.
def assign_lanes(windows: Sequence[tuple[T, T]]) -> list[int]:
    """Return the lane of each window, so that as few as possible are used."""
    if any(end <= start for start, end in windows):
        raise ValueError("a window has to end after its start")
    by_end = sorted(range(len(windows)), key=lambda number: windows[number][1])
    lanes: dict[int, int] = {}
    free: list[int] = []
    over = used = 0
    for number in sorted(range(len(windows)), key=lambda number: windows[number][0]):
        while windows[by_end[over]][1] < windows[number][0]:
            free.append(lanes[by_end[over]])
            over += 1
        if not free:
            free.append(used)
            used += 1
        lanes[number] = free.pop()
    return [lanes[number] for number in range(len(windows))]


# %% wrong release_lanes fails=test_no_lane_has_two_windows_at_once
# "The number of open windows is the number of the lane": the one that ended needn't be the last that began.
def assign_lanes(windows: Sequence[tuple[T, T]]) -> list[int]:
    """Return the lane of each window, so that as few as possible are used."""
    if any(end <= start for start, end in windows):
        raise ValueError("a window has to end after its start")
    ends = sorted((end for _, end in windows))
    lanes = {}
    over = 0
    for begun, number in enumerate(sorted(range(len(windows)), key=lambda number: windows[number][0])):
        while ends[over] <= windows[number][0]:
            over += 1
        lanes[number] = begun - over
    return [lanes[number] for number in range(len(windows))]


# %% wrong release_lanes fails=test_the_comparisons_do_not_grow_with_the_pairs
# "Look for a lane that is free": with many lanes that is a scan over all of them for each window.
def assign_lanes(windows: Sequence[tuple[T, T]]) -> list[int]:
    """Return the lane of each window, so that as few as possible are used."""
    if any(end <= start for start, end in windows):
        raise ValueError("a window has to end after its start")
    ends: list[T] = []
    lanes = {}
    for number in sorted(range(len(windows)), key=lambda number: windows[number][0]):
        start, end = windows[number]
        lane = next((lane for lane, last in enumerate(ends) if last <= start), len(ends))
        ends[lane : lane + 1] = [end]
        lanes[number] = lane
    return [lanes[number] for number in range(len(windows))]


# %% right release_lanes
def assign_lanes(windows: Sequence[tuple[T, T]]) -> list[int]:
    """Return the lane of each window, so that as few as possible are used."""
    if not all(start < end for start, end in windows):
        raise ValueError("a window has to end after its start")
    lanes: dict[int, int] = {}
    busy: list[tuple[T, int]] = []
    for number in sorted(range(len(windows)), key=lambda number: windows[number][0]):
        start, end = windows[number]
        if busy and busy[0][0] <= start:
            lanes[number] = busy[0][1]
            heapq.heapreplace(busy, (end, lanes[number]))
        else:
            lanes[number] = len(busy)
            heapq.heappush(busy, (end, lanes[number]))
    return [lanes[number] for number in range(len(windows))]


# %% [markdown] hint release_lanes
# Go through the windows by their start. When one comes, what do you have to know about the lanes: all of their ends,
# or only the earliest?

# %% [markdown] hint release_lanes
# Either a heap of `(end, lane)`: if the earliest end is `<=` the start, take that lane over, else open a new one. Or no
# heap: the windows sorted by end a second time, and a list of free lanes into which you put each one that is over.

# %% [markdown] hint release_lanes
# `if busy and busy[0][0] <= start:` take `busy[0][1]` and `heapq.heapreplace(busy, (end, lane))`; else the lane is
# `len(busy)`, and `heapq.heappush`. Remember the lane under the window's *position*, and put the list together at the
# end.

# %% [markdown] after release_lanes
# **Why.** A lane is added only when all the others are in use at that start, so no assignment can do with fewer.
# Sorting twice is 2·n log n comparisons; with the heap it is one sort and at most log n steps per window. Sorting by
# *end*, right for choosing the most windows, is wrong here: same data, another question, another order. That is why
# one argues anew each time.
#
# **Alternatives.** If only the *number* of lanes is asked for, the counter of the sweep is enough. If a few lanes are
# given and the question is which windows to refuse: earliest end again, each into the lane that became free last. If
# windows have values and there is one lane: dynamic programming over the windows by end.
#
# **The interviewer goes on**: *Releases arrive one by one, and may not be moved. (By start it works online: the greedy
# never looks ahead. If they arrive in another order, more lanes may be needed.) Each lane needs ten minutes to clean
# up? (Add them to every end: then arithmetic on times is needed.) This is graph colouring, which is NP-hard: why is it
# easy here? (Interval graphs are perfect: as many colours as the largest clique.)*

# %% [markdown] exercise greedy_counterexamples topic=algorithm-design level=senior minutes=12
# ## Exercise: Refute it, or don't
#
# In the design review stand seven greedy rules, each with "obviously optimal" beside it. Break those that aren't, with
# inputs that go into the ticket: **text**, as short as these examples.
#
# * windows, `"0-9 1-3 4-6"`: whole numbers, each start before its end. Greedy and best are numbers of windows taken
#   without overlap; **more** is better.
# * bundles, `"1 4 5 for 8"`: licences come in bundles of these sizes (1 is one of them), and exactly 8 are needed.
#   **Fewer** bundles are better.
# * proposals, `"2:3 7:7 for 10"`: each `cost:value`, and a budget. **More** value is better.
# * tasks, `"3 2 2"`: hours, to be split over two machines. The time until both are done: **less** is better.
#
# `counterexamples()` returns a dict from the name of each rule in `CLAIMS` (below; read the rules there) to such a text
# on which the rule is **worse** than the best, or to None for the rules that are always optimal.
#
# * At most 12 windows, bundle sizes, proposals or tasks; numbers are whole, at most 1,000.
# * For `"best ratio"` the best has to be **at least ten times** what the rule gets: by how much a heuristic can fail is
#   the other half of the finding.
# * `results(name, text)` gives you `(greedy, best)`; it raises `ValueError` for a text that isn't in the form.
#   `objection(name, text)` says what is wrong with a counter-example, None if nothing is.
#
# ```python
# >>> results("largest bundle", "1 4 5 for 8")
# (4, 2)
# >>> results("best ratio", "2:3 7:7 for 10")
# (10, 10)
# >>> sorted(counterexamples()) == sorted(CLAIMS)
# True
# >>> results("longest task", "3 2 and 2")
# Traceback (most recent call last):
# ValueError: invalid literal for int() with base 10: 'and'
# ```
#
# (Bundles of 1, 4 and 5 are the example, so bring **another** one: sizes other than exactly these three. The other
# examples may be used where they refute a rule.)


# %%
def windows_of(text: str) -> list[Window]:
    """Return the windows of a text such as "0-9 1-3"."""
    windows = []
    for part in text.split():
        start, end = map(int, part.split("-"))
        if start >= end:
            raise ValueError(f"a window has to end after its start: {part}")
        windows.append((start, end))
    return windows


def with_limit(text: str) -> tuple[list[str], int]:
    """Split "a b c for limit"."""
    things, limit = text.split(" for ")
    return things.split(), int(limit)


def most_windows(text: str) -> int:
    """Return how many windows can be taken: earliest end, which is proved above."""
    return len(RULES["earliest end"](windows_of(text)))


def windows_taken(rule: Callable[[Sequence[Window]], list[Window]]) -> Callable[[str], int]:
    """Return the function from a text to the number of windows that a rule takes."""
    return lambda text: len(rule(windows_of(text)))


def largest_bundle(text: str) -> int:
    """Take the largest bundle that isn't too large, again and again."""
    things, needed = with_limit(text)
    bundles = 0
    for size in sorted(map(int, things), reverse=True):
        bundles, needed = bundles + needed // size, needed % size
    return bundles


def fewest_bundles(text: str) -> int:
    """Find the fewest bundles for each number up to the one that is needed."""
    things, needed = with_limit(text)
    sizes = [int(thing) for thing in things]
    if 1 not in sizes or min(sizes) < 1:
        raise ValueError("sizes are positive, and 1 is one of them")
    fewest = [0]
    for number in range(1, needed + 1):
        fewest.append(1 + min(fewest[number - size] for size in sizes if size <= number))
    return fewest[needed]


def proposals_of(text: str) -> tuple[list[tuple[int, int]], int]:
    """Return the proposals as (cost, value), and the budget."""
    things, budget = with_limit(text)
    proposals = []
    for thing in things:
        cost, value = map(int, thing.split(":"))
        if cost < 1 or value < 1:
            raise ValueError(f"cost and value have to be positive: {thing}")
        proposals.append((cost, value))
    return proposals, budget


def best_ratio(text: str) -> int:
    """Take what fits, the most value for its cost first."""
    proposals, budget = proposals_of(text)
    total = 0
    for cost, value in sorted(proposals, key=lambda proposal: proposal[1] / proposal[0], reverse=True):
        if cost <= budget:
            total, budget = total + value, budget - cost
    return total


def most_value(text: str) -> int:
    """Try every subset of the proposals."""
    proposals, budget = proposals_of(text)
    subsets = itertools.product((0, 1), repeat=len(proposals))
    return max(
        sum(value for _, value in chosen)
        for chosen in (list(itertools.compress(proposals, subset)) for subset in subsets)
        if sum(cost for cost, _ in chosen) <= budget
    )


def longest_task(text: str) -> int:
    """Give the longest task that is left to the machine that is done earlier."""
    machines = [0, 0]
    for hours in sorted(map(int, text.split()), reverse=True):
        machines[machines.index(min(machines))] += hours
    return max(machines)


def earliest_done(text: str) -> int:
    """Try every split."""
    tasks = [int(part) for part in text.split()]
    if min(tasks) < 1:
        raise ValueError("tasks take at least an hour")
    splits = itertools.product((0, 1), repeat=len(tasks))
    return min(max(first, sum(tasks) - first) for first in (sum(itertools.compress(tasks, split)) for split in splits))


CLAIMS: dict[str, tuple[Callable[[str], int], Callable[[str], int]]] = {
    "earliest start": (windows_taken(RULES["earliest start"]), most_windows),
    "shortest window": (windows_taken(RULES["shortest window"]), most_windows),
    "fewest clashes": (windows_taken(RULES["fewest clashes"]), most_windows),
    "latest start": (windows_taken(lambda windows: take_by(windows, lambda window: -window[0])), most_windows),
    "largest bundle": (largest_bundle, fewest_bundles),
    "best ratio": (best_ratio, most_value),
    "longest task": (longest_task, earliest_done),
}


def results(name: str, text: str) -> tuple[int, int]:
    """Return what the greedy rule gets on an input, and the best that is possible."""
    if len(text.split(" for ")[0].split()) > 12 or any(
        int(number) > 1_000 for number in text.replace("-", " ").replace(":", " ").replace(" for ", " ").split()
    ):
        raise ValueError("at most 12 things, numbers up to 1,000")
    greedy, best = CLAIMS[name]
    return greedy(text), best(text)


def objection(name: str, text: str | None, factor: int = 1) -> str | None:
    """Say why an input doesn't show that a rule isn't optimal (or not by this factor); None if it does."""
    if text is None:
        return f"{name}: there is an input on which it isn't optimal"
    greedy, best = results(name, text)
    worse = greedy > best if name in ("largest bundle", "longest task") else greedy < best
    if worse and (factor == 1 or best >= factor * greedy):
        return None
    return f"{name} on {text!r}: the rule gets {greedy}, and the best is {best}"


# %% solution greedy_counterexamples
def counterexamples() -> dict[str, str | None]:
    """Return an input on which the rule of this name isn't optimal, or None where it always is."""
    # BEGIN SOLUTION
    return {
        "earliest start": "0-9 1-2 3-4",
        "shortest window": "0-5 4-7 6-11",
        "fewest clashes": "0-3 2-5 2-5 2-5 4-7 6-9 8-11 10-13 10-13 10-13 12-15",
        "latest start": None,
        "largest bundle": "1 3 4 for 6",
        "best ratio": "1:2 100:100 for 100",
        "longest task": "3 3 2 2 2",
    }
    # END SOLUTION


# %% check greedy_counterexamples points=2
def test_refutes_earliest_start() -> None:
    found = objection("earliest start", counterexamples()["earliest start"])
    assert found is None, found


def test_refutes_the_largest_bundle_first() -> None:
    text = counterexamples()["largest bundle"]
    found = objection("largest bundle", text)
    assert found is None, found
    assert text is None or set(with_limit(text)[0]) != {"1", "4", "5"}, "that one is in the prompt"


# %% hidden greedy_counterexamples points=4
def test_refutes_the_shortest_window_first() -> None:
    found = objection("shortest window", counterexamples()["shortest window"])
    assert found is None, found


def test_refutes_the_fewest_clashes_first() -> None:
    found = objection("fewest clashes", counterexamples()["fewest clashes"])
    assert found is None, found


def test_refutes_the_longest_task_first() -> None:
    found = objection("longest task", counterexamples()["longest task"])
    assert found is None, found


def test_shows_that_the_best_ratio_can_be_ten_times_worse() -> None:
    found = objection("best ratio", counterexamples()["best ratio"], factor=10)
    assert found is None, f"{found}: ten times as much is asked for"


def test_claims_nothing_against_the_rule_that_is_optimal() -> None:
    text = counterexamples()["latest start"]
    shown = "" if text is None else f"on {text!r} it gets {results('latest start', text)}: "
    assert text is None, f"{shown}latest start is earliest end on a clock that runs backwards"


# %% wrong greedy_counterexamples fails=test_shows_that_the_best_ratio_can_be_ten_times_worse
# "Best ratio is nearly optimal, a small loss will do": without a bound on the sizes it can lose nearly everything.
def counterexamples() -> dict[str, str | None]:
    """Return an input on which the rule of this name isn't optimal, or None where it always is."""
    return {
        "earliest start": "0-100 1-2 3-4",
        "shortest window": "0-5 4-7 6-11",
        "fewest clashes": "0-3 2-5 2-5 2-5 4-7 6-9 8-11 10-13 10-13 10-13 12-15",
        "latest start": None,
        "largest bundle": "1 5 10 12 for 15",
        "best ratio": "6:7 5:5 5:5 for 10",
        "longest task": "3 3 2 2 2",
    }


# %% wrong greedy_counterexamples fails=test_refutes_the_fewest_clashes_first
# "It passed all of my random tests, so it's optimal": tests refute, they don't prove.
def counterexamples() -> dict[str, str | None]:
    """Return an input on which the rule of this name isn't optimal, or None where it always is."""
    return {
        "earliest start": "0-100 1-2 3-4",
        "shortest window": "0-5 4-7 6-11",
        "fewest clashes": None,
        "latest start": None,
        "largest bundle": "1 3 4 for 6",
        "best ratio": "1:2 100:100 for 100",
        "longest task": "3 3 2 2 2",
    }


# %% wrong greedy_counterexamples fails=test_claims_nothing_against_the_rule_that_is_optimal
# "Latest start is as wrong as earliest start": it leaves the most room *before* it, which is an exchange argument.
def counterexamples() -> dict[str, str | None]:
    """Return an input on which the rule of this name isn't optimal, or None where it always is."""
    return {
        "earliest start": "0-9 1-2 3-4",
        "shortest window": "0-5 4-7 6-11",
        "fewest clashes": "0-3 2-5 2-5 2-5 4-7 6-9 8-11 10-13 10-13 10-13 12-15",
        "latest start": "0-2 1-9 3-4 5-6",
        "largest bundle": "1 3 4 for 6",
        "best ratio": "1:2 100:100 for 100",
        "longest task": "3 3 2 2 2",
    }


# %% right greedy_counterexamples
def counterexamples() -> dict[str, str | None]:
    """Return an input on which the rule of this name isn't optimal, or None where it always is."""
    rng = random.Random(5)

    def some_windows() -> str:
        starts = [rng.randrange(12) for _ in range(6)]
        return " ".join(f"{start}-{start + rng.randint(1, 6)}" for start in starts)

    def found(name: str, make: Callable[[], str]) -> str:
        return next(text for text in iter(make, "") if len(set(results(name, text))) == 2)

    return {
        "earliest start": found("earliest start", some_windows),
        "shortest window": found("shortest window", some_windows),
        "fewest clashes": "10-13 10-13 10-13 12-15 8-11 6-9 4-7 2-5 2-5 2-5 0-3",
        "latest start": None,
        "largest bundle": found("largest bundle", lambda: f"1 6 {rng.randint(7, 11)} for {rng.randint(12, 30)}"),
        "best ratio": "2:3 900:900 for 900",
        "longest task": found("longest task", lambda: " ".join(str(rng.randint(1, 9)) for _ in range(6))),
    }


# %% [markdown] hint greedy_counterexamples
# Ask each rule what it *doesn't* look at. Earliest start doesn't see how long the window is; the shortest doesn't see
# what it lies across; the best ratio doesn't see what remains unused. Build the input from that.

# %% [markdown] hint greedy_counterexamples
# Few things are enough: three windows, three sizes, two proposals (a tiny one with a fine ratio that keeps the large
# one out), five tasks. Or search: random small inputs until `greedy != best`. For "latest start" try the exchange
# argument with the *last* window of an optimum.

# %% [markdown] hint greedy_counterexamples
# "Fewest clashes": let four windows in a row be the best choice, A B C D. Lay one window X across the gap between B and
# C: it clashes with two. Then give everybody else more clashes: three equal windows across the gap of A and B, three
# across that of C and D. Greedy takes X, and loses both B and C.

# %% [markdown] after greedy_counterexamples
# **How one finds them.** By what the rule ignores, or by search: small random inputs against a brute force, the
# smallest failing one kept. Property-based testing (Hypothesis) does that and shrinks the input. What the search
# *can't* find still has to be proved, as the one in 2,000 of "fewest clashes" shows.
#
# | rule | greedy / best here | how bad in general |
# | --- | --- | --- |
# | earliest start | 1 / 2 | as bad as you like |
# | shortest window | 1 / 2 | never below half: a short window crosses at most two of an optimum |
# | fewest clashes | 3 / 4 | never below half, for a similar reason |
# | latest start | – | optimal: mirror the axis of time |
# | largest bundle | 3 / 2 | as bad as you like; optimal if each size divides the next (1, 5, 10) |
# | best ratio | 2 / 100 | as bad as you like; half, if you take the better of it and the best single proposal |
# | longest task | 7 / 6 | on two machines never above 7/6 |
#
# **The interviewer goes on**: *Your currency has 1, 5, 10, 25: is largest-first right there? (Yes; but that's a
# property of this set, and needs a check.) You found no counter-example in ten minutes: what do you do? (Try to prove
# it. Where the proof gets stuck stands the counter-example.) When do you ship a greedy that isn't optimal?*

# %% [markdown]
# ## Dynamic programming: the same question, asked once
#
# **Dynamic programming** is recursion over subproblems that *overlap*, with each answer kept. One problem, in four
# steps. A shop ships n items in cartons, and a carton has a price by its size; what is the lowest price? The last
# carton is one of the sizes, and the items before it are a smaller question of the same kind:
#
# cost(n) = the least of price(size) + cost(n − size) over all sizes, cost(0) = 0
#
# (A carton may stay partly empty: cost of less than nothing is cost(0).) Greedy by price per item isn't optimal here,
# for the same reason as for bundles.
#
# **Step 1, recursion.** The formula as it stands. It is right, and asks the same question again and again:

# %%
PRICES = {1: 230, 4: 690, 6: 940}


def recursive(items: int) -> int:
    """Return the lowest price, by the formula."""
    if items <= 0:
        return 0
    return min(price + recursive(items - size) for size, price in PRICES.items())


@dataclass(frozen=True, repr=False)
class CallTree:
    """The tree of calls that `recursive` makes, without those for no items; repeated ones have another colour."""

    items: int

    def calls(self) -> list[tuple[int, int, float, int | None, bool]]:
        """Return (argument, depth, place, number of the caller, asked before) for each call, in order of calls."""
        calls: list[tuple[int, int, float, int | None, bool]] = []
        seen: set[int] = set()
        leaves = itertools.count()

        def visit(items: int, depth: int, caller: int | None) -> float:
            number = len(calls)
            calls.append((items, depth, 0.0, caller, items in seen))
            seen.add(items)
            below = [visit(items - size, depth + 1, number) for size in PRICES if items > size]
            place = (below[0] + below[-1]) / 2 if below else float(next(leaves))
            calls[number] = (items, depth, place, caller, calls[number][4])
            return place

        visit(self.items, 0, None)
        return calls

    @property
    def title(self) -> str:
        calls = self.calls()
        return f"cost({self.items}): {len(calls)} calls for {len({call[0] for call in calls})} different questions"

    def __repr__(self) -> str:
        asked = Counter(call[0] for call in self.calls())
        return "\n".join((self.title, *(f"cost({n:2}) {'#' * asked[n]} {asked[n]}" for n in sorted(asked)[::-1])))

    def _repr_html_(self) -> str:
        calls = self.calls()
        width = max(call[2] for call in calls) * 26 + 40
        height = (max(call[1] for call in calls) + 1) * 36 + 30
        lines, nodes = [], []
        for items, depth, place, caller, again in calls:
            x, y = 20 + 26 * place, 42 + 36 * depth
            if caller is not None:
                above = calls[caller]
                lines.append(
                    f'<line x1="{20 + 26 * above[2]:.0f}" y1="{42 + 36 * above[1]}" x2="{x:.0f}" y2="{y}" '
                    'stroke="currentColor" stroke-opacity="0.5"/>'
                )
            nodes.append(
                f'<circle cx="{x:.0f}" cy="{y}" r="11" fill="{"#e69f00" if again else "#56b4e9"}" '
                f'stroke="currentColor"/><text x="{x:.0f}" y="{y + 4}" text-anchor="middle" fill="#000">{items}</text>'
            )
        return (
            f'<svg role="img" aria-label="{html.escape(self.title)}" viewBox="0 0 {max(width, 460):.0f} {height}" '
            f'width="{max(width, 460):.0f}" style="max-width: 100%; height: auto" fill="currentColor" '
            'font-family="sans-serif" font-size="12" xmlns="http://www.w3.org/2000/svg">'
            f'<text x="0" y="14" font-weight="bold">{html.escape(self.title)} (orange: asked before)</text>'
            f"{''.join(lines)}{''.join(nodes)}</svg>"
        )


explore(CallTree, items=(2, 13, 10))

# %% [markdown]
# Blue is the work that is needed: one node for each different argument. Orange is repetition, and with one item more
# it grows by a factor of about 1.5. **Overlapping subproblems** means exactly this: a large tree with few different
# labels. In merge sort's tree all labels are different (each part occurs once): there a memo would only cost memory.
#
# **Step 2, memo** (top down): the same recursion with a dict in front. **Step 3, table** (bottom up): the questions in
# an order in which each finds its answers there already, with a loop in place of the recursion. **Step 4, constant
# space**: which old answers does a new one still read? Here the last six, the largest size; a window of six cells is
# enough, whatever n is.


# %%
def memoised(items: int) -> tuple[int, int]:
    """Return the lowest price, and the number of calls."""
    memo: dict[int, int] = {}
    calls = 0

    def cost(n: int) -> int:
        nonlocal calls
        calls += 1
        if n <= 0:
            return 0
        if n not in memo:
            memo[n] = min(price + cost(n - size) for size, price in PRICES.items())
        return memo[n]

    return cost(items), calls


def tabulated(items: int) -> list[int]:
    """Return the lowest price for each number of items up to this one."""
    table = [0]
    for n in range(1, items + 1):
        table.append(min(price + table[max(0, n - size)] for size, price in PRICES.items()))
    return table


def windowed(items: int) -> int:
    """Return the lowest price; keep as many cells as the largest carton has places."""
    largest = max(PRICES)
    recent = deque([0] * largest, maxlen=largest)  # recent[-size] is the price for `size` items less
    for _ in range(items):
        recent.append(min(price + recent[-size] for size, price in PRICES.items()))
    return recent[-1]


def calls_of_recursive(items: int) -> int:
    """Return how many calls the plain recursion makes."""
    return 1 if items <= 0 else 1 + sum(calls_of_recursive(items - size) for size in PRICES)


print(f"{'n':>3} {'price':>6} {'recursion: calls':>17} {'memo: calls, cells':>19} {'table: cells':>13} {'window':>7}")
for n in (10, 20, 30):
    price, calls = memoised(n)
    assert recursive(n) == price == tabulated(n)[n] == windowed(n)
    print(f"{n:3} {price:6,} {calls_of_recursive(n):17,} {calls:13,}, {n:4} {len(tabulated(n)):13} {max(PRICES):7}")

print(f"\n{'n':>6} {'memo':>9} {'table':>9} {'window':>7}   peak bytes")
for n in (200, 2_000, 20_000):
    table_peak = peak_bytes(lambda n=n: tabulated(n))  # type: ignore[misc]
    window_peak = peak_bytes(lambda n=n: windowed(n))  # type: ignore[misc]
    try:
        memo_peak = f"{peak_bytes(lambda n=n: memoised(n)):,}"  # type: ignore[misc]
    except RecursionError:
        memo_peak = "too deep"
    print(f"{n:6,} {memo_peak:>9} {table_peak:9,} {window_peak:7,}")

# %% [markdown]
# The memo has turned exponential into 3·n calls; the table saves the calls, the window the memory. Each step has its
# price:
#
# | | memo | table | window or rows |
# | --- | --- | --- | --- |
# | computes | what is asked for | everything | everything |
# | order | found by the recursion | you have to find it | and it has to be local |
# | depth | as deep as the longest chain: `RecursionError` | none | none |
# | memory | all answers, in a dict | all answers, in a list | what is still read |
# | the choice behind the answer | walk back | walk back | **lost** |
#
# A memo wins where few of the possible states are reached, or where their order is awkward (trees, games). A table wins
# in every other respect. And if the interviewer asks *which* cartons, the window isn't enough: keep the choice for
# each cell and **walk back** from the last one.
#
# The recipe, to be said aloud: **state** (what does a subproblem need to know? the less, the smaller the table),
# **choices**, **recurrence**, **base**, **order**, **where the answer is**, then cost = states × choices, and last
# what can be thrown away.
#
# ### How memos go wrong
#
# `functools.cache` is one line, and each of these looks right in a review:


# %%
def attempt(action: Callable[[], object]) -> str:
    """Return what an action returns or raises, in short."""
    try:
        return repr(action())
    except (TypeError, RecursionError) as error:
        return f"{type(error).__name__}: {error}"[:58]


@functools.cache
def total_price(cartons: Any) -> int:
    return sum(PRICES[size] for size in cartons)


@functools.cache
def deep_cost(items: int) -> int:
    return min(price + deep_cost(items - size) for size, price in PRICES.items()) if items > 0 else 0


def with_discount(items: int, percent: int, memo: dict[int, float] = {}) -> float:  # noqa: B006
    if items not in memo:
        memo[items] = windowed(items) * (100 - percent) / 100
    return memo[items]


@functools.cache
def sizes_up_to(largest: int) -> list[int]:
    return [size for size in PRICES if size <= largest]


print("unhashable argument  ", attempt(lambda: total_price([4, 6])))  # type: ignore[arg-type]
print("a tuple instead      ", attempt(lambda: total_price((4, 6))))
print("5,000 deep           ", attempt(lambda: deep_cost(5_000)))
print("the same, from below ", attempt(lambda: [deep_cost(n) for n in range(0, 5_001, 50)][-1]))
print("0 %, then 50 %       ", with_discount(6, 0), "then", with_discount(6, 50))
sizes_up_to(4).append(99)
print("after a caller's edit", sizes_up_to(4))

# %% [markdown]
# * **Unhashable**: a list, dict or set can't be a key. Pass a tuple or a `frozenset`, or better an *index* into data
#   that the inner function sees: `cost(i)` instead of `cost(items[i:])` makes keys small, and copies nothing.
# * **Recursion depth**: the memo removes repeated calls, not the depth of the first chain. Fill from below, in steps
#   smaller than the limit, or write the table. `sys.setrecursionlimit` moves the problem to the C stack or to the
#   next n.
# * **Mutable default**: `memo={}` is made once, when `def` runs, and shared by all calls for the life of the process.
# * **A key that says too little**: the second price above is the first one's. *Whatever the result depends on* is in
#   the key, or the memo lives as short as that stays fixed: in the closure of one call. (A key that says too *much*,
#   such as the path so far, never hits.)
# * **A mutable result** is shared by everybody who asked. Return a tuple or a copy, or build the result after the walk.
# * On methods `cache` holds every `self`; `@cache` has no bound; floats as keys hit only if they are the same to the
#   last bit.

# %% [markdown] exercise shipping_memo topic=algorithm-design level=senior minutes=12
# ## Exercise: The shipping quote that changes by itself
#
# The quote service finds the cheapest cartons for an order. Since it got a memo it's fast, and: the second customer
# gets prices of the first one's country; a list of cartons is longer each time one asks; and orders of a wholesaler
# end in a `RecursionError`. Mend it.
#
# `cheapest_cartons(items, prices)` gets the number of items and a dict from carton size to price in cents, and returns
# `(total, cartons)`: the lowest price at which all items can be shipped, and a list of the carton sizes, in any order.
#
# * A carton may be partly empty; cartons of each size are unlimited. Of several cheapest lists any one will do; it has
#   no carton that isn't needed.
# * Sizes and prices are positive whole numbers. `ValueError` if `items` is negative, and if `prices` is empty
#   (for 0 items too). Otherwise 0 items give `(0, [])`.
# * The result depends on this call's arguments only. `prices` stays as it is, and may be changed by the caller between
#   two calls; so may the returned list.
# * Orders have up to 20,000 items. The recursion limit isn't changed.
# * Cost: prices, and sums of prices, are added and compared at most **6·items·len(prices) + 10 times**; the memory at
#   the peak is at most **400 bytes for each item and 16 KiB** (`peak_bytes` from above; prices below a million).
#
# ```python
# >>> cheapest_cartons(8, {1: 230, 4: 690, 6: 940})
# (1380, [4, 4])
# >>> cheapest_cartons(5, {6: 940})
# (940, [6])
# >>> cheapest_cartons(0, {6: 940})
# (0, [])
# >>> cheapest_cartons(3, {})
# Traceback (most recent call last):
# ValueError: no cartons, or fewer items than none
# ```
#
# The wording of the error is yours. The cost is counted with `Metered` numbers as prices; beyond the limit they raise
# an error:


# %%
class TooDearError(Exception):
    """More operations than allowed."""


class Metered(int):
    """A whole number that counts additions and comparisons of itself and of its sums, up to a limit."""

    used = 0
    limit = 0

    @classmethod
    def start(cls, limit: int) -> None:
        """Count from zero again."""
        cls.used, cls.limit = 0, limit

    def _count(self) -> None:
        Metered.used += 1
        if Metered.used > Metered.limit:
            raise TooDearError(f"more than {Metered.limit:,} additions and comparisons")

    # `+other` is a plain number that doesn't count, and may be math.inf.
    def __add__(self, other: int) -> "Metered":
        self._count()
        total = int(self) + +other
        return Metered(total) if isinstance(total, int) else total

    __radd__ = __add__

    def __lt__(self, other: int) -> bool:
        self._count()
        return int(self) < +other

    def __le__(self, other: int) -> bool:
        self._count()
        return int(self) <= +other

    def __gt__(self, other: int) -> bool:
        self._count()
        return int(self) > +other

    def __ge__(self, other: int) -> bool:
        self._count()
        return int(self) >= +other

    def __eq__(self, other: object) -> bool:
        self._count()
        return isinstance(other, int) and int(self) == int(other)

    __hash__ = int.__hash__


# %% starter shipping_memo
def cheapest_cartons(
    items: int,
    prices: Mapping[int, int],
    memo: dict[int, tuple[int, list[int]]] = {},  # noqa: B006
) -> tuple[int, list[int]]:
    """Return the lowest price, and the sizes of the cartons."""
    if items < 0 or not prices:
        raise ValueError("no cartons, or fewer items than none")
    if items not in memo:
        best: tuple[int, list[int]] = (0, [])
        for size, price in prices.items():
            total, cartons = cheapest_cartons(max(0, items - size), prices) if items else (0, [])
            cartons.append(size)
            if not best[0] or total + price < best[0]:
                best = (total + price, cartons)
        memo[items] = best
    return memo[items]


# %% solution shipping_memo
def cheapest_cartons(items: int, prices: Mapping[int, int]) -> tuple[int, list[int]]:
    """Return the lowest price, and the sizes of the cartons."""
    # BEGIN SOLUTION
    if items < 0 or not prices:
        raise ValueError("no cartons, or fewer items than none")
    totals, last_cartons = [0], {}
    for count in range(1, items + 1):
        total, size = min((totals[max(0, count - size)] + price, size) for size, price in prices.items())
        totals.append(total)
        last_cartons[count] = size
    cartons = []
    while items > 0:
        cartons.append(last_cartons[items])
        items -= last_cartons[items]
    return totals[-1], cartons
    # END SOLUTION


# %% check shipping_memo points=2
def test_each_call_goes_by_its_own_prices() -> None:
    home, abroad = {1: 200, 3: 500}, {1: 900, 3: 1_900}
    assert cheapest_cartons(3, home)[0] == 500, "one carton of three"
    assert cheapest_cartons(3, abroad)[0] == 1_900, "the prices are an argument: what was remembered is for others"


def test_orders_of_a_wholesaler_work() -> None:
    total, cartons = cheapest_cartons(20_000, {4: 690, 6: 940})
    assert total == 3_332 * 940 + 2 * 690, "3,332 sixes and two fours"
    assert sorted(cartons) == [4] * 2 + [6] * 3_332, "one step of recursion for each carton is too deep"


# %% hidden shipping_memo points=3
CARTONS = [{1: 230, 4: 690, 6: 940}, {5: 100}, {2: 30, 3: 40}, {1: 10, 7: 55, 9: 80}, {10: 99, 1: 60}]


def lowest_price(items: int, prices: Mapping[int, int]) -> int:
    """Return the lowest price by a table of its own."""
    table = [0]
    for n in range(1, items + 1):
        table.append(min(price + table[max(0, n - size)] for size, price in prices.items()))
    return table[items]


@pytest.mark.parametrize("prices", CARTONS)
def test_the_price_is_the_lowest_and_the_cartons_make_it(prices: dict[int, int]) -> None:
    for items in range(1, 41):
        total, cartons = cheapest_cartons(items, prices)
        assert total == lowest_price(items, prices), f"{items} items, {prices}"
        assert sum(prices[size] for size in cartons) == total, f"{cartons} cost something else than {total}"
        assert sum(cartons) >= items, f"{items} items don't go into {cartons}"


def test_nothing_is_shipped_for_nothing() -> None:
    assert cheapest_cartons(0, {6: 940}) == (0, []), "no items, no cartons"
    assert cheapest_cartons(1, {6: 940}) == (940, [6]), "one item needs one, even if five places stay empty"


def test_the_returned_list_belongs_to_the_caller() -> None:
    prices = {1: 230, 4: 690, 6: 940}
    cheapest_cartons(8, prices)[1].append(99)
    cheapest_cartons(4, prices)[1].clear()
    total, cartons = cheapest_cartons(8, prices)
    assert (total, sorted(cartons)) == (1_380, [4, 4]), "what a caller does with its list is seen by nobody else"


def test_a_price_that_is_changed_in_place_counts_at_once() -> None:
    prices = {1: 230, 6: 940}
    cheapest_cartons(6, prices)
    prices[6] = 500
    assert cheapest_cartons(6, prices) == (500, [6]), "the same dict, with another price in it"


def test_the_callers_prices_stay_as_they_are() -> None:
    prices = {4: 690, 1: 230}
    cheapest_cartons(9, prices)
    assert list(prices.items()) == [(4, 690), (1, 230)], "they are the caller's"


@pytest.mark.parametrize(("items", "prices"), [(-1, {1: 5}), (3, {}), (0, {})])
def test_refuses_negative_orders_and_no_cartons(items: int, prices: dict[int, int]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        cheapest_cartons(items, prices)


def test_the_additions_grow_with_items_times_sizes() -> None:
    prices = {1: Metered(230), 4: Metered(690), 6: Metered(940)}
    Metered.start(6 * 300 * 3 + 10)
    try:
        cheapest_cartons(300, prices)
    except TooDearError as error:
        pytest.fail(f"{error} for 300 items and 3 sizes: is each question asked once?")


def test_the_memory_grows_with_the_items() -> None:
    peak = peak_bytes(lambda: cheapest_cartons(2_000, {1: 230, 2: 400}))
    assert peak <= 400 * 2_000 + 16_384, f"{peak:,} bytes for 2,000 items: a list of cartons for each is quadratic"


# %% wrong shipping_memo fails=test_a_price_that_is_changed_in_place_counts_at_once
# "Put the dict's id into the key": the same dict may say something else, and another one may get its id.
QUOTES: dict[tuple[int, int], tuple[int, tuple[int, ...]]] = {}


def cheapest_cartons(items: int, prices: Mapping[int, int]) -> tuple[int, list[int]]:
    """Return the lowest price, and the sizes of the cartons."""
    if items < 0 or not prices:
        raise ValueError("no cartons, or fewer items than none")
    for count in range(items + 1):
        if (count, id(prices)) not in QUOTES:
            best: tuple[int, tuple[int, ...]] = (0, ())
            for size, price in prices.items() if count else ():
                total, cartons = QUOTES[max(0, count - size), id(prices)]
                if not best[0] or total + price < best[0]:
                    best = (total + price, (*cartons, size))
            QUOTES[count, id(prices)] = best
    return QUOTES[items, id(prices)][0], [*QUOTES[items, id(prices)][1]]


# %% wrong shipping_memo fails=test_orders_of_a_wholesaler_work
# "A memo per call and a tuple, done": the recursion is as deep as before.
def cheapest_cartons(items: int, prices: Mapping[int, int]) -> tuple[int, list[int]]:
    """Return the lowest price, and the sizes of the cartons."""
    if items < 0 or not prices:
        raise ValueError("no cartons, or fewer items than none")

    @functools.cache
    def quote(count: int) -> tuple[int, int]:
        return min((quote(count - size)[0] + price, size) for size, price in prices.items()) if count > 0 else (0, 0)

    cartons = []
    count = items
    while count > 0:
        cartons.append(quote(count)[1])
        count -= cartons[-1]
    return quote(items)[0], cartons


# %% wrong shipping_memo fails=test_the_memory_grows_with_the_items
# "Keep the answer with each cell": n lists of up to n cartons, where one number for each cell is enough.
def cheapest_cartons(items: int, prices: Mapping[int, int]) -> tuple[int, list[int]]:
    """Return the lowest price, and the sizes of the cartons."""
    if items < 0 or not prices:
        raise ValueError("no cartons, or fewer items than none")
    table: list[tuple[int, list[int]]] = [(0, [])]
    for count in range(1, items + 1):
        total, size = min((table[max(0, count - size)][0] + price, size) for size, price in prices.items())
        table.append((total, [*table[max(0, count - size)][1], size]))
    return table[items]


# %% wrong shipping_memo fails=test_the_price_is_the_lowest_and_the_cartons_make_it
# "The lowest price per item first": greedy, and wrong where the last carton stays half empty.
def cheapest_cartons(items: int, prices: Mapping[int, int]) -> tuple[int, list[int]]:
    """Return the lowest price, and the sizes of the cartons."""
    if items < 0 or not prices:
        raise ValueError("no cartons, or fewer items than none")
    size = min(prices, key=lambda size: prices[size] / size)
    cartons = [size] * (items // size)
    rest = items % size
    if rest:
        cartons.append(min((each for each in prices if each >= rest), key=lambda each: prices[each]))
    return sum(prices[each] for each in cartons), cartons


# %% right shipping_memo
def cheapest_cartons(items: int, prices: Mapping[int, int]) -> tuple[int, list[int]]:
    """Return the lowest price, and the sizes of the cartons."""
    if items < 0 or not prices:
        raise ValueError("no cartons, or fewer items than none")

    @functools.cache
    def quote(count: int) -> tuple[int, int]:
        return min((quote(count - size)[0] + price, size) for size, price in prices.items()) if count > 0 else (0, 0)

    for count in range(items):
        quote(count)
    total, _ = quote(items)
    cartons = []
    while items > 0:
        cartons.append(quote(items)[1])
        items -= cartons[-1]
    return total, cartons


# %% right shipping_memo
def cheapest_cartons(items: int, prices: Mapping[int, int]) -> tuple[int, list[int]]:
    """Return the lowest price, and the sizes of the cartons."""
    if items < 0 or not prices:
        raise ValueError("no cartons, or fewer items than none")
    totals: list[float] = [0] + [math.inf] * items
    last_cartons = [0] * (items + 1)
    for count in range(1, items + 1):
        for size, price in prices.items():
            total = price + totals[max(0, count - size)]
            if total < totals[count]:
                totals[count], last_cartons[count] = total, size
    cartons = []
    left = items
    while left > 0:
        cartons.append(last_cartons[left])
        left -= last_cartons[left]
    return int(totals[items]), cartons


# %% [markdown] hint shipping_memo
# Three faults, three causes: where does the dict live, and what is in its key? Who holds the list that is appended to?
# And how deep is the first chain of calls?

# %% [markdown] hint shipping_memo
# Let the memo live for one call only: then the prices needn't be in the key. Fill it from 1 upwards, and no recursion
# is left. Keep the *last carton* for each number of items, not the list.

# %% [markdown] hint shipping_memo
# `total, size = min((totals[max(0, count - size)] + price, size) for size, price in prices.items())` for each `count`
# from 1 to `items`; remember `size` as the last carton of `count`. Then walk back: from `items` subtract its last
# carton until nothing is left.

# %% [markdown] after shipping_memo
# **Why.** The result depends on (items, prices). `prices` can't be a key (a dict has no hash, and can change); a
# closure or a local table makes it constant for the memo's life. Storing the *choice* per cell and walking back takes
# n numbers, where a list per cell takes n²/2; and since the list is built at the end, it belongs to the caller.
#
# **Alternatives.** Keep the recursion and warm it from below (the first right answer shown): the depth stays at the
# largest size. A cache over calls: key `(items, tuple(sorted(prices.items())))`, or the *version* of the price list,
# with a bound. If only the total is asked for: a window of `max(prices)` cells. For very large n the best ratio takes
# over but for a remainder of at most about max(size)² items, so that the table can be that short.
#
# **The interviewer goes on**: *Why is this the unbounded knapsack, and what changes if there are only five of a kind?
# At most three cartons in all? (A second dimension of state.) Two threads ask for the same quote: what does your
# cache do?*

# %% [markdown]
# ## Two dimensions: how far apart are two configurations?
#
# The **edit distance** of two sequences is the least number of edits (insert, delete or replace one element) that turn
# one into the other. State: (i, j), the distance from the first i lines of the old file to the first j of the new one.
# The last step was one of three, so three neighbours are read:
#
# d(i, j) = the least of d(i − 1, j) + 1 (delete), d(i, j − 1) + 1 (insert), d(i − 1, j − 1) + (0 if the lines are
# equal, else 1); d(i, 0) = i, d(0, j) = j
#
# Move the slider: the yellow cell is being filled, and reads the three blue ones. When the table is full, the walk back
# from the last cell says *which* edits they were. (Here two ways are equally short: the walk prefers the diagonal, and
# a person would rather say "port deleted, tls and trace inserted". A test has to accept either.)


# %%
@dataclass(frozen=True, repr=False)
class DistanceTable:
    """The table of an edit distance after some of its cells have been filled, row by row."""

    old: tuple[str, ...]
    new: tuple[str, ...]
    cells: int

    def table(self) -> list[list[int]]:
        """Return the whole table."""
        rows = [[*range(len(self.new) + 1)]]
        for i, line in enumerate(self.old, start=1):
            row = [i]
            for j, other in enumerate(self.new, start=1):
                row.append(min(rows[-1][j] + 1, row[-1] + 1, rows[-1][j - 1] + (line != other)))
            rows.append(row)
        return rows

    def walk_back(self) -> list[tuple[int, int, str]]:
        """Return the cells on the way back from the last one, each with the edit that led to it."""
        rows, i, j = self.table(), len(self.old), len(self.new)
        way = []
        while i or j:
            if i and j and rows[i][j] == rows[i - 1][j - 1] + (self.old[i - 1] != self.new[j - 1]):
                edit = "" if self.old[i - 1] == self.new[j - 1] else f"{self.old[i - 1]} → {self.new[j - 1]}"
                way.append((i, j, edit))
                i, j = i - 1, j - 1
            elif i and rows[i][j] == rows[i - 1][j] + 1:
                way.append((i, j, f"- {self.old[i - 1]}"))
                i -= 1
            else:
                way.append((i, j, f"+ {self.new[j - 1]}"))
                j -= 1
        return way

    @property
    def current(self) -> tuple[int, int]:
        """The cell that was filled last; (0, 0) where none was."""
        return (1 + (self.cells - 1) // len(self.new), 1 + (self.cells - 1) % len(self.new)) if self.cells else (0, 0)

    @property
    def full(self) -> bool:
        return self.cells >= len(self.old) * len(self.new)

    @property
    def title(self) -> str:
        rows, (i, j) = self.table(), self.current
        if self.full:
            edits = [edit for _, _, edit in reversed(self.walk_back()) if edit]
            return f"distance {rows[-1][-1]}: {', '.join(edits)}"
        if not self.cells:
            return "nothing but the edge: to and from the empty file"
        same = "=" if self.old[i - 1] == self.new[j - 1] else "≠"
        reads = f"{rows[i - 1][j]} + 1, {rows[i][j - 1]} + 1, {rows[i - 1][j - 1]} + {int(same == '≠')}"
        return f"cell ({i}, {j}): {self.old[i - 1]} {same} {self.new[j - 1]}, the least of {reads} is {rows[i][j]}"

    def filled(self, i: int, j: int) -> bool:
        """Whether the cell has a number by now."""
        return not i or not j or (i, j) <= self.current

    def __repr__(self) -> str:
        rows = self.table()
        lines = [self.title, " " * 14 + "".join(f"{line:>7}" for line in self.new)]
        for i, row in enumerate(rows):
            texts = (f"{value if self.filled(i, j) else '.':>7}" for j, value in enumerate(row))
            lines.append(f"{('', *self.old)[i]:7}{''.join(texts)}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows, (i, j) = self.table(), self.current
        way = {(0, 0), *((row, column) for row, column, _ in self.walk_back())} if self.full else set()
        read = {(i - 1, j), (i, j - 1), (i - 1, j - 1)} if self.cells and not self.full else set()
        parts = []
        for column, label in enumerate(self.new, start=1):
            parts.append(f'<text x="{100 + 56 * column}" y="40" text-anchor="middle">{html.escape(label)}</text>')
        for row, values in enumerate(rows):
            y = 48 + 32 * row
            if row:
                parts.append(f'<text x="64" y="{y + 20}" text-anchor="end">{html.escape(self.old[row - 1])}</text>')
            for column, value in enumerate(values):
                fill, cell = "none", (row, column)
                if cell in way:
                    fill = "#e69f00"
                elif cell in read:
                    fill = "#56b4e9"
                elif cell == (i, j) and self.cells and not self.full:
                    fill = "#f0e442"
                ink = "currentColor" if fill == "none" else "#000"
                text = str(value) if self.filled(row, column) else ""
                x = 72 + 56 * column
                parts.append(
                    f'<rect x="{x}" y="{y}" width="54" height="30" rx="3" fill="{fill}" stroke="currentColor" '
                    f'stroke-opacity="0.5"/><text x="{x + 27}" y="{y + 20}" text-anchor="middle" '
                    f'fill="{ink}">{text}</text>'
                )
        height = 60 + 32 * len(rows)
        return (
            f'<svg role="img" aria-label="{html.escape(self.title)}" viewBox="0 0 600 {height}" width="600" '
            'style="max-width: 100%; height: auto" fill="currentColor" font-family="sans-serif" font-size="13" '
            f'xmlns="http://www.w3.org/2000/svg"><text x="0" y="14" font-weight="bold">{html.escape(self.title)}</text>'
            f"{''.join(parts)}</svg>"
        )


BEFORE = ("host", "port", "pool", "log")
AFTER = ("host", "pool", "tls", "log", "trace")
explore(lambda cells: DistanceTable(BEFORE, AFTER, cells), cells=(0, 20, 13))

# %% [markdown]
# Rows suffice for the number: a cell reads its own row and the one above, so two rows are enough, and with one saved
# number even one row. The row can run along the *shorter* input. For two files of 10,000 and 200 lines:
#
# | kept | cells |
# | --- | --- |
# | the table | 2,010,201 |
# | two rows along the longer file | 20,002 |
# | one row along the shorter file | 201 |
#
# The time stays n·m, and no known algorithm is substantially better in the worst case. In practice one strips the
# common beginning and end, and if the distance matters only up to k, fills a band of width 2k + 1 around the diagonal:
# n·k. To get the *edits* in linear memory, Hirschberg's algorithm divides and conquers: the middle row is computed from
# both ends, where the sum is least the path crosses, and both halves are solved again: in all twice the time.

# %% [markdown] exercise config_distance topic=algorithm-design level=senior minutes=10
# ## Exercise: The size of a change
#
# A bot labels changes to configuration files: up to ten edits a colleague may approve, above that the owner has to. It
# runs in a container with little memory, and the largest files have 10,000 lines; the version with the full table was
# killed.
#
# `edit_distance(old, new)` returns the least number of edits that turn `old` into `new`, both sequences of lines. An
# edit inserts one line, deletes one, or replaces one by another.
#
# * Lines are compared by `==` or `!=` only (they have a rule of their own for white space, and no hash), and at most
#   **len(old)·len(new) times**.
# * Memory at the peak: at most **100 bytes for each line of the shorter sequence, and 16 KiB** (`peak_bytes`, the
#   sequences themselves left out), whichever of the two is the shorter.
# * Both are lists or tuples, and stay as they are.
#
# ```python
# >>> edit_distance(["host", "port", "log"], ["host", "pool", "log", "trace"])
# 2
# >>> edit_distance("kitten", "sitting"), edit_distance([], ["a", "b"])
# (3, 2)
# >>> edit_distance(["a", "b"], ["b", "a"])
# 2
# ```
#
# (Strings are sequences too, of letters, which makes short examples.)


# %% solution config_distance
def edit_distance(old: Sequence[object], new: Sequence[object]) -> int:
    """Return the least number of lines to insert, delete or replace."""
    # BEGIN SOLUTION
    shorter, longer = sorted((old, new), key=len)
    row = [*range(len(shorter) + 1)]
    for number, line in enumerate(longer, start=1):
        diagonal, row[0] = row[0], number
        for place, other in enumerate(shorter, start=1):
            replaced = diagonal + (line != other)
            diagonal = row[place]
            row[place] = min(row[place] + 1, row[place - 1] + 1, replaced)
    return row[-1]
    # END SOLUTION


# %% check config_distance points=2
def test_counts_the_edits_of_short_files() -> None:
    assert edit_distance("abc", "abc") == 0, "no edit for equal files"
    assert edit_distance("abc", "axc") == 1, "one line replaced"
    assert edit_distance("abc", "ac") == 1, "one line deleted"
    assert edit_distance("kitten", "sitting") == 3, "two replaced, one inserted"


def test_the_memory_is_that_of_the_shorter_file() -> None:
    long, short = [str(number) for number in range(2_000)], [str(number) for number in range(1_000, 1_020)]
    for old, new in ((long, short), (short, long)):
        peak = peak_bytes(lambda old=old, new=new: edit_distance(old, new))  # type: ignore[misc]
        assert peak <= 100 * 20 + 16_384, f"{peak:,} bytes for {len(old)} and {len(new)} lines"


# %% hidden config_distance points=3
def test_an_empty_file_is_as_far_as_the_other_is_long() -> None:
    assert edit_distance([], []) == 0, "nothing to do"
    assert (edit_distance([], ["a"] * 7), edit_distance(["a"] * 5, [])) == (7, 5), "all inserted, or all deleted"


def test_agrees_with_the_definition_on_random_files() -> None:
    @functools.cache
    def distance(old: str, new: str) -> int:
        if not old or not new:
            return len(old) + len(new)
        rest = distance(old[1:], new[1:])
        return rest if old[0] == new[0] else 1 + min(rest, distance(old[1:], new), distance(old, new[1:]))

    rng = random.Random(17)
    for _ in range(300):
        old, new = ("".join(rng.choices("abc", k=rng.randrange(8))) for _ in range(2))
        assert edit_distance(old, new) == distance(old, new), f"{old!r} to {new!r}"


def test_it_is_the_same_in_both_directions() -> None:
    assert edit_distance("xaby", "ab") == edit_distance("ab", "xaby") == 2, (
        "what is inserted is deleted on the way back"
    )


def test_lines_need_only_be_comparable_for_equality() -> None:
    class Line:
        def __init__(self, text: str) -> None:
            self.text = text

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Line) and self.text.split() == other.text.split()

    old = [Line("host  db"), Line("port 5432")]
    assert edit_distance(old, [Line("host db"), Line("port 5433")]) == 1, (
        "white space doesn't count, by the lines' rule"
    )


@pytest.mark.parametrize(("first", "second"), [(60, 40), (40, 60), (1, 30)])
def test_each_pair_of_lines_is_compared_once(first: int, second: int) -> None:
    tally: Counter[str] = Counter()
    edit_distance(counted(range(first), tally), counted(range(5, 5 + second), tally))
    assert tally["comparisons"] <= first * second, f"{tally['comparisons']:,} comparisons for {first}·{second} pairs"


def test_two_long_files_need_two_rows_at_most() -> None:
    rng = random.Random(3)
    old, new = (rng.choices("abcdef", k=300) for _ in range(2))
    peak = peak_bytes(lambda: edit_distance(old, new))
    assert peak <= 100 * 300 + 16_384, f"{peak:,} bytes: the table has 90,601 cells, and only the last row is asked for"


def test_the_inputs_stay_as_they_are() -> None:
    old, new = ["a", "b"], ["b", "c", "d"]
    edit_distance(old, new)
    assert (old, new) == (["a", "b"], ["b", "c", "d"]), "the bot shows them below its label"


# %% wrong config_distance fails=test_the_memory_is_that_of_the_shorter_file
# "Two rows are constant space": along the longer file they are a hundred times as long as along the shorter one.
def edit_distance(old: Sequence[object], new: Sequence[object]) -> int:
    """Return the least number of lines to insert, delete or replace."""
    above = list(range(len(new) + 1))
    for number, line in enumerate(old, start=1):
        row = [number]
        for place, other in enumerate(new, start=1):
            row.append(min(above[place] + 1, row[-1] + 1, above[place - 1] + (line != other)))
        above = row
    return above[-1]


# %% wrong config_distance fails=test_two_long_files_need_two_rows_at_most
# "The table is the algorithm": all of its rows are kept for the sake of the last cell.
def edit_distance(old: Sequence[object], new: Sequence[object]) -> int:
    """Return the least number of lines to insert, delete or replace."""
    table = [list(range(len(new) + 1))]
    for number, line in enumerate(old, start=1):
        row = [number]
        for place, other in enumerate(new, start=1):
            row.append(min(table[-1][place] + 1, row[-1] + 1, table[-1][place - 1] + (line != other)))
        table.append(row)
    return table[-1][-1]


# %% wrong config_distance fails=test_counts_the_edits_of_short_files
# "One row is enough, so read from it": the diagonal neighbour has been overwritten a moment ago.
def edit_distance(old: Sequence[object], new: Sequence[object]) -> int:
    """Return the least number of lines to insert, delete or replace."""
    shorter, longer = sorted((old, new), key=len)
    row = list(range(len(shorter) + 1))
    for number, line in enumerate(longer, start=1):
        row[0] = number
        for place, other in enumerate(shorter, start=1):
            row[place] = min(row[place] + 1, row[place - 1] + (line != other))
    return row[-1]


# %% wrong config_distance fails=test_agrees_with_the_definition_on_random_files
# "Compare line by line, the rest is inserted": after the first insertion every line counts as replaced.
def edit_distance(old: Sequence[object], new: Sequence[object]) -> int:
    """Return the least number of lines to insert, delete or replace."""
    return sum(a != b for a, b in zip(old, new, strict=False)) + abs(len(old) - len(new))


# %% right config_distance
def edit_distance(old: Sequence[object], new: Sequence[object]) -> int:
    """Return the least number of lines to insert, delete or replace."""
    if len(old) < len(new):
        old, new = new, old
    above = list(range(len(new) + 1))
    for number, line in enumerate(old):
        row = [number + 1]
        for place, other in enumerate(new):
            if line == other:
                row.append(above[place])
            else:
                row.append(1 + min(above[place], above[place + 1], row[place]))
        above = row
    return above[-1]


# %% [markdown] hint config_distance
# Which cells does d(i, j) read? Which of them belong to rows that are older than the one above?

# %% [markdown] hint config_distance
# The distance is symmetric, so swap the two if that makes the row shorter. With two rows: build the new one with
# `append`, then let it take the place of the one above.

# %% [markdown] hint config_distance
# In one row: before `row[place]` is overwritten it is the cell above, `row[place - 1]` is the cell to the left already,
# and the diagonal one is what `row[place - 1]` was: keep it in a variable that is moved on with each step.

# %% [markdown] after config_distance
# **Why.** The order of the loops makes the dependencies local, and what is no longer read can go: from n·m cells to
# min(n, m) + 1. The comparisons stay n·m. What is lost is the way: with one row one knows *how many* edits, not
# which. (If lines are equal, taking the diagonal at once is right, since neighbours differ by at most 1; the other
# right answer uses that.)
#
# **Alternatives.** `difflib.SequenceMatcher` finds matching blocks that look good to people, *not* the least number
# of edits. Git uses Myers' algorithm: O((n + m)·D) for a distance D made of insertions and deletions, fast where
# little has changed. For the question "more than ten?" a band of 21 cells around the diagonal, or a difference of the
# lengths above ten, decides at once. Letters are quicker by bit-parallel algorithms (the package rapidfuzz).
#
# **The interviewer goes on**: *Return the edits, with the same memory. (Hirschberg.) A moved block shall count as one
# edit: is there still optimal substructure? (No; with block moves the problem is NP-hard.) A replacement costs 2: what
# is the distance then? (n + m − 2·LCS, the longest common subsequence.)*

# %% [markdown]
# ## Budget: the knapsack, and the way back
#
# Proposals have a cost and a value; the budget is fixed, each proposal is taken whole or not at all. This is the **0/1
# knapsack**, and NP-hard. State: (the first i proposals, budget b). best(i, b) is the larger of best(i − 1, b) and
# best(i − 1, b − cost) + value. A table of n·(B + 1) cells, and one row of B + 1 is enough, *if it is filled from the
# right end*:


# %%
def row_after(proposals: Sequence[tuple[int, int]], budget: int, downwards: bool) -> list[int]:
    """Return the most value for each budget, from one row that is filled in one of the two directions."""
    row = [0] * (budget + 1)
    for cost, value in proposals:
        budgets = range(cost, budget + 1)
        for b in reversed(budgets) if downwards else budgets:
            row[b] = max(row[b], row[b - cost] + value)
    return row


offer = [(3, 40), (4, 50)]
print("budget              ", "".join(f"{b:4}" for b in range(11)))
print("downwards: each once", "".join(f"{value:4}" for value in row_after(offer, 10, downwards=True)))
print("upwards: repeatedly ", "".join(f"{value:4}" for value in row_after(offer, 10, downwards=False)))

# %% [markdown]
# Downwards, `row[b - cost]` is still the row *without* this proposal. Upwards it may hold it already, so that it's
# taken again: 130 for a budget of 10, where there are only 90 to be had. Upwards is right for the *unbounded*
# knapsack, as with the cartons. One `reversed`, another problem: say which one you mean.
#
# The cost n·B is **pseudo-polynomial**: polynomial in the *value* of B, exponential in the number of its digits. A
# budget of 10⁶ euros is fine, the same in tenths of a cent takes a thousand times as long. If B is huge and n is 40:
# split the proposals in two halves, list 2²⁰ subsets of each, and combine them by sorting (*meet in the middle*, a
# divide and conquer once). If both are large: scale the values down and accept an error of ε, or ask a solver.

# %% [markdown] exercise budget_choice topic=algorithm-design level=senior minutes=12
# ## Exercise: What the quarter's budget buys
#
# Each team hands in proposals with a cost (in thousands) and a score. The board wants the best total score within the
# budget, and then it wants to know *which proposals*. The single row that computes the score has forgotten them.
#
# `choose_proposals(proposals, budget)` gets a list of `(cost, score)` and returns `(total, chosen)`: the highest total
# score within the budget, and the positions of the chosen proposals in ascending order.
#
# * Costs and scores are positive whole numbers, the budget is a whole number from 0 on. Each proposal is taken at most
#   once. Equal proposals are different ones.
# * Of several choices with the highest score, return one of **lowest total cost**; if several are left, any of these.
# * Cost: scores, and sums of scores, are added and compared at most **6·(n + 1)·(budget + 1) times** for n proposals.
# * Memory at the peak: at most **2 bytes for each proposal and unit of budget, 100 bytes for each unit of budget, and
#   16 KiB**: 2·n·(budget + 1) + 100·(budget + 1) + 16,384 (scores below a million).
#
# ```python
# >>> choose_proposals([(3, 40), (4, 50), (6, 70)], 10)
# (120, [1, 2])
# >>> choose_proposals([(5, 10), (2, 10)], 5)
# (10, [1])
# >>> choose_proposals([(5, 10)], 4)
# (0, [])
# ```


# %% solution budget_choice
def choose_proposals(proposals: Sequence[tuple[int, int]], budget: int) -> tuple[int, list[int]]:
    """Return the highest total score within the budget, and the positions of what is chosen."""
    # BEGIN SOLUTION
    budgets = range(budget + 1)
    row = [0 for _ in budgets]
    taken = [bytearray(len(row)) for _ in proposals]
    for number, (cost, score) in enumerate(proposals):
        for spent in reversed(budgets[cost:]):
            best = max(row[spent], row[spent - cost] + score)
            taken[number][spent] = best != row[spent]
            row[spent] = best
    total = max(row)
    spent = row.index(total)
    chosen = []
    for number in reversed(range(len(proposals))):
        if taken[number][spent]:
            chosen.append(number)
            spent -= proposals[number][0]
    return total, chosen[::-1]
    # END SOLUTION


# %% check budget_choice points=2
def test_what_is_chosen_makes_the_total_within_the_budget() -> None:
    proposals = [(3, 40), (4, 50), (6, 70), (2, 15)]
    total, chosen = choose_proposals(proposals, 10)
    assert total == 120, "50 for 4 and 70 for 6"
    assert sum(proposals[number][1] for number in chosen) == total, f"{chosen} have another score"
    assert sum(proposals[number][0] for number in chosen) <= 10, f"{chosen} cost more than the budget"


def test_each_proposal_is_taken_once_at_most() -> None:
    assert choose_proposals([(3, 40)], 10) == (40, [0]), "there is one such proposal, not three"


# %% hidden budget_choice points=4
def best_of_all_subsets(proposals: Sequence[tuple[int, int]], budget: int) -> tuple[int, int]:
    """Return the highest score within the budget, and the lowest cost at which it can be had."""
    found = [(0, 0)]
    for cost, score in proposals:
        found += [(before + cost, total + score) for before, total in found if before + cost <= budget]
    score = max(total for _, total in found)
    return score, min(cost for cost, total in found if total == score)


def test_agrees_with_trying_every_subset() -> None:
    rng = random.Random(23)
    for _ in range(200):
        proposals = [(rng.randint(1, 9), rng.randint(1, 6)) for _ in range(rng.randrange(9))]
        budget = rng.randrange(25)
        total, chosen = choose_proposals(proposals, budget)
        best, _ = best_of_all_subsets(proposals, budget)
        assert total == best, f"{proposals} within {budget}"
        assert sum(proposals[number][1] for number in chosen) == best, f"{chosen} of {proposals} within {budget}"
        assert sum(proposals[number][0] for number in chosen) <= budget, f"{chosen} of {proposals} within {budget}"


def test_positions_ascend_without_repetition() -> None:
    rng = random.Random(29)
    for _ in range(50):
        proposals = [(rng.randint(1, 5), rng.randint(1, 9)) for _ in range(8)]
        _, chosen = choose_proposals(proposals, 15)
        assert chosen == sorted(set(chosen)), f"{chosen}: positions in ascending order, each once"


def test_of_equal_scores_the_cheapest_is_chosen() -> None:
    rng = random.Random(31)
    for _ in range(100):
        proposals = [(rng.randint(1, 9), rng.randint(1, 3)) for _ in range(7)]
        _, chosen = choose_proposals(proposals, 20)
        _, cheapest = best_of_all_subsets(proposals, 20)
        cost = sum(proposals[number][0] for number in chosen)
        assert cost == cheapest, f"the same score costs {cheapest}, not {cost}: {proposals}"


def test_the_best_ratio_may_be_the_wrong_choice() -> None:
    assert choose_proposals([(1, 2), (100, 100)], 100) == (100, [1]), (
        "a small one with a fine ratio keeps the large out"
    )


def test_equal_proposals_are_different_ones() -> None:
    assert choose_proposals([(2, 5), (2, 5)], 4) == (10, [0, 1]), "two teams want the same, and both can have it"


def test_the_whole_budget_can_be_spent() -> None:
    assert choose_proposals([(7, 9)], 7) == (9, [0]), "a cost equal to the budget is within it"
    assert choose_proposals([(8, 9)], 7) == (0, []), "one more isn't"


def test_no_budget_or_no_proposals_choose_nothing() -> None:
    assert choose_proposals([(1, 5)], 0) == (0, []), "nothing is free"
    assert choose_proposals([], 9) == (0, []), "nothing was handed in"


def test_the_operations_grow_with_proposals_times_budget() -> None:
    rng = random.Random(37)
    proposals: list[tuple[int, int]] = [(rng.randint(1, 20), Metered(rng.randint(1, 50))) for _ in range(40)]
    Metered.start(6 * 41 * 101)
    try:
        choose_proposals(proposals, 100)
    except TooDearError as error:
        pytest.fail(f"{error}: 40 proposals have 2**40 subsets, but only 41·101 states")


def test_the_choices_fit_into_bytes() -> None:
    rng = random.Random(41)
    proposals = [(rng.randint(1, 40), rng.randint(1, 500)) for _ in range(100)]
    peak = peak_bytes(lambda: choose_proposals(proposals, 800))
    limit = 2 * 100 * 801 + 100 * 801 + 16_384
    assert peak <= limit, f"{peak:,} bytes, {limit:,} are allowed: a list of numbers for each proposal takes 8 a cell"


# %% wrong budget_choice fails=test_each_proposal_is_taken_once_at_most
# "The direction of the inner loop is a matter of taste": upwards each proposal can be taken again and again.
def choose_proposals(proposals: Sequence[tuple[int, int]], budget: int) -> tuple[int, list[int]]:
    """Return the highest total score within the budget, and the positions of what is chosen."""
    row, taken = [0] * (budget + 1), [bytearray(budget + 1) for _ in proposals]
    for number, (cost, score) in enumerate(proposals):
        for spent in range(cost, budget + 1):
            if row[spent - cost] + score > row[spent]:
                row[spent] = row[spent - cost] + score
                taken[number][spent] = 1
    spent = row.index(max(row))
    chosen = []
    for number in reversed(range(len(proposals))):
        if taken[number][spent]:
            chosen.append(number)
            spent -= proposals[number][0]
    return max(row), chosen[::-1]


# %% wrong budget_choice fails=test_agrees_with_trying_every_subset
# "Remember the last proposal in each cell": later rounds overwrite what an earlier choice was built on.
def choose_proposals(proposals: Sequence[tuple[int, int]], budget: int) -> tuple[int, list[int]]:
    """Return the highest total score within the budget, and the positions of what is chosen."""
    row, last = [0] * (budget + 1), [-1] * (budget + 1)
    for number, (cost, score) in enumerate(proposals):
        for spent in range(budget, cost - 1, -1):
            if row[spent - cost] + score > row[spent]:
                row[spent], last[spent] = row[spent - cost] + score, number
    spent = row.index(max(row))
    chosen: set[int] = set()
    while last[spent] >= 0:
        chosen.add(last[spent])
        spent -= proposals[last[spent]][0]
    return max(row), sorted(chosen)


# %% wrong budget_choice fails=test_the_best_ratio_may_be_the_wrong_choice
# "Most score for its cost first": right only if proposals could be cut into pieces.
def choose_proposals(proposals: Sequence[tuple[int, int]], budget: int) -> tuple[int, list[int]]:
    """Return the highest total score within the budget, and the positions of what is chosen."""
    chosen = []
    for number in sorted(range(len(proposals)), key=lambda each: -proposals[each][1] / proposals[each][0]):
        if proposals[number][0] <= budget:
            chosen.append(number)
            budget -= proposals[number][0]
    return sum(proposals[number][1] for number in chosen), sorted(chosen)


# %% wrong budget_choice fails=test_the_choices_fit_into_bytes
# "To walk back one needs the table": a bit says whether a proposal was taken, where a reference takes eight bytes.
def choose_proposals(proposals: Sequence[tuple[int, int]], budget: int) -> tuple[int, list[int]]:
    """Return the highest total score within the budget, and the positions of what is chosen."""
    table = [[0] * (budget + 1)]
    for cost, score in proposals:
        above = table[-1]
        table.append(
            [
                max(above[spent], above[spent - cost] + score) if spent >= cost else above[spent]
                for spent in range(budget + 1)
            ]
        )
    total = max(table[-1])
    spent = table[-1].index(total)
    chosen = []
    for number in reversed(range(len(proposals))):
        if table[number + 1][spent] != table[number][spent]:
            chosen.append(number)
            spent -= proposals[number][0]
    return total, chosen[::-1]


# %% wrong budget_choice fails=test_of_equal_scores_the_cheapest_is_chosen
# "The answer is in the last cell": its score is the highest, but walked back from there with `>=` it may cost more.
def choose_proposals(proposals: Sequence[tuple[int, int]], budget: int) -> tuple[int, list[int]]:
    """Return the highest total score within the budget, and the positions of what is chosen."""
    row, taken = [0] * (budget + 1), [bytearray(budget + 1) for _ in proposals]
    for number, (cost, score) in enumerate(proposals):
        for spent in range(budget, cost - 1, -1):
            if row[spent - cost] + score >= row[spent]:
                row[spent] = row[spent - cost] + score
                taken[number][spent] = 1
    left, chosen = budget, []
    for number in reversed(range(len(proposals))):
        if taken[number][left]:
            chosen.append(number)
            left -= proposals[number][0]
    return row[-1], chosen[::-1]


# %% right budget_choice
def choose_proposals(proposals: Sequence[tuple[int, int]], budget: int) -> tuple[int, list[int]]:
    """Return the highest total score within the budget, and the positions of what is chosen."""
    row = [(0, 0)] * (budget + 1)  # the score, and the choice as the bits of a number
    for number, (cost, score) in enumerate(proposals):
        for spent in range(budget, cost - 1, -1):
            before, chosen = row[spent - cost]
            if before + score > row[spent][0]:
                row[spent] = (before + score, chosen | 1 << number)
    total = row[-1][0]
    bits = next(chosen for score, chosen in row if score == total)
    return total, [number for number in range(len(proposals)) if bits >> number & 1]


# %% [markdown] hint budget_choice
# To walk back one needs, for each proposal and each budget, one answer: was it taken there? How many bytes is that?

# %% [markdown] hint budget_choice
# One row for the scores, filled from the right end, and a `bytearray` for each proposal with a mark where taking it
# was *better*. From which cell does the walk back begin, if the cheapest of the best choices is wanted?

# %% [markdown] hint budget_choice
# `spent = row.index(max(row))` is the least budget with the highest score. Then, for the proposals from the last to the
# first: if `taken[number][spent]`, note the number and go to `spent - cost`. Reverse at the end.

# %% [markdown] after budget_choice
# **Why.** The marks are a record of decisions: mark (i, b) says what was done when the row stood at proposal i.
# Walking from the last proposal to the first undoes them in order. `row.index(max(row))` finds the least budget that
# reaches the score, and spending less than that isn't possible, or an earlier cell would have it.
#
# **Alternatives.** A full table needs no marks (compare two rows), at 8 bytes a cell and more. A bit set for each
# cell, the right answer shown, is short: B numbers of n bits, more than the bytes for a few proposals, less for a
# thousand. Hirschberg's trick works here too: O(B) memory and twice the time. A dict from cost to best score, with
# dominated entries removed, is better where few sums are possible (costs of 10,000, 20,000, 50,000). In production: a
# solver (OR-Tools, `scipy.optimize.milp`), which takes "A only with B" and "at most two for each team" as well.
#
# **The interviewer goes on**: *The budget is 10⁹ and there are 30 proposals? (Meet in the middle.) Two budgets, money
# and people? (n·B·P.) Proposals with variants, of which at most one is taken? (The loop over variants inside the one
# over budgets.) Prove that greedy by ratio is optimal when proposals can be split. (Exchange.)*

# %% [markdown]
# ## The interview
#
# Say your answer aloud before you unfold one.

# %% [markdown] interview
# ### How do you recognise that a problem wants dynamic programming?
#
# I write the recursion first: what's the last decision, and what's left after it? If the same leftovers come up by
# different ways, and their number is small against the number of ways, it's dynamic programming; if they are all
# different it's divide and conquer or plain search. Phrases such as "the least", "the most", "in how many ways" over a
# sequence of choices are the usual sign. Then I name the state and count the states: n·B cells decide whether it's
# feasible, before any code.

# %% [markdown] interview
# ### Memo or table?
#
# The memo is the recursion plus a dict: quick to write, computes only reachable states, and finds the order by
# itself. The price is a call and a dict entry for each state, and a depth that Python limits. The table is a loop:
# less memory a cell, no depth, and it shows which rows can be dropped. In an interview I start with the memo for
# correctness and turn it into a table when asked about depth or memory.

# %% [markdown] interview
# ### How do you convince me that your greedy algorithm is right?
#
# With an exchange argument: I take any optimal solution, look at its first difference from mine, put my choice in its
# place, and show that it stays feasible and gets no worse; then by induction. Or my result meets a bound that holds
# for every solution, as lanes meet the number of windows open at one moment. Tests against a brute force on small
# inputs come first, since they are quicker at telling me that I'm wrong; they can't tell me that I'm right.

# %% [markdown] interview
# ### What is the difference between divide and conquer and dynamic programming?
#
# Both split a problem and combine answers. In divide and conquer the parts are disjoint and a fraction of the size,
# so the tree has few levels and nothing is asked twice; the recurrence gives the cost. In dynamic programming the
# parts overlap, and are often just one smaller, so the tree is exponential while the number of *different* questions
# is small. Remembering is useless in merge sort and decisive in edit distance.

# %% [markdown] interview
# ### Your knapsack takes n·B steps, which is polynomial. Have you solved an NP-hard problem in polynomial time?
#
# No. The size of the input is the number of *digits* of B, and n·B is exponential in that: pseudo-polynomial. It's
# practical while B is some millions, and adding three digits to the unit makes it a thousand times slower. So I
# choose the unit of the budget with care, or scale values and accept a bounded error, or meet in the middle if n is
# small.

# %% [markdown] interview
# ### You have the optimal cost. Now they want the plan itself. What changes?
#
# The memory. The value alone often needs one row or a window; the plan needs the decision for each state, a byte or a
# bit, or a recomputation as in Hirschberg's algorithm. I store the choice, never the partial plan: a list in each
# cell multiplies the memory by the plan's length. Then I walk back from the final state, and test that the plan's
# cost is the one that was promised.

# %% [markdown]
# ## Pitfalls seen in reviews
#
# * A greedy rule with no argument and three happy examples. Ask for the exchange, or for a random test against a brute
#   force.
# * A memo whose key leaves out what the result depends on (tenant, price list, remaining budget), or holds the whole
#   path.
# * `@cache` on a recursion as deep as the data is long: fine in the test with 50, `RecursionError` with 5,000.
# * `[[0] * m] * n`: n references to *one* row. Write `[[0] * m for _ in range(n)]`.
# * `float("inf")` or −1 as "impossible", and then arithmetic with it: check before adding, or the answer is wrong
#   rather than absent.
# * One row filled in the wrong direction; a diagonal that has been overwritten already.
# * `items[1:]` as the argument of a memoised function: a copy and a long key for each call. Pass the index.
# * Ties in a sweep decided by accident: at equal times it's the *second* element of the tuple that decides.
# * A test that compares with *one* optimal plan where several exist: check that the plan is valid, and its value.
#
# ## Where to read on
#
# * Cormen, Leiserson, Rivest, Stein, [Introduction to Algorithms](https://mitpress.mit.edu/9780262046305/), 4th
#   edition: chapters 4 (divide and conquer), 14 (dynamic programming), 15 (greedy algorithms)
# * Jeff Erickson, [Algorithms](https://jeffe.cs.illinois.edu/teaching/algorithms/): a free book; chapters 1, 3
#   and 4 show how one *finds* the recursion
# * Kleinberg, Tardos, Algorithm Design (2005): chapter 4, "greedy stays ahead" and exchange arguments
# * Python documentation: [`functools.cache`](https://docs.python.org/3/library/functools.html#functools.cache),
#   [`bisect`](https://docs.python.org/3/library/bisect.html),
#   [`heapq.merge`](https://docs.python.org/3/library/heapq.html#heapq.merge)
# * Eugene Myers, [An O(ND) Difference Algorithm and Its Variations](https://doi.org/10.1007/BF01840446)
#   (Algorithmica 1, 1986): what is behind `git diff`
