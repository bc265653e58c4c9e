# %% [markdown]
# # PEP 8 and code style
#
# *"How do you keep a code base of two hundred thousand lines readable, with thirty people in it?"* A junior answer
# recites PEP 8: four spaces, snake_case, 79 columns. A senior answer sorts the question: what a formatter decides, so
# that nobody discusses it again; what a linter finds, and which of its findings are bugs and not style; what only a
# reviewer sees; and how rules get into old code without stopping everybody's work. The follow-up is a diff, "just
# style", that changes what the program does.
#
# **Assumed**: [decorators](03_decorators.ipynb) (closures, late binding). **Left out**: type checking, docstrings and
# package layout, which have lessons of their own. The tools are real: every answer is run, *and* read by the version of
# ruff that stands in the course's requirements.

# %%
import ast
import datetime as dt
import functools
import html
import io
import json
import linecache
import re
import subprocess
import sys
import tempfile
import tokenize
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

import pytest

# %% [markdown]
# ## What PEP 8 says
#
# PEP 8 holds the **code style guidelines** for the standard library of CPython; everybody else adopted them. Its first
# section after the introduction is the one that is forgotten: *a foolish consistency is the hobgoblin of little minds*.
# Consistency within a function outweighs that within a module, which outweighs that within a project, which outweighs
# the guide. Reasons that it names for leaving a rule alone: it would make the code harder to read, or break backwards
# compatibility, or disagree with the code around, or the code is older than the rule and nobody has to touch it.
#
# | about | PEP 8 | what teams do with it |
# | --- | --- | --- |
# | indentation | 4 spaces, never mixed with tabs | the formatter's |
# | line length | 79; 72 for comments; a team may agree on up to 99 | 88 (black, ruff), 100 or 120 |
# | breaking | inside brackets, not with `\`; *before* a binary operator | the formatter's |
# | blank lines | 2 around top-level definitions, 1 around methods | the formatter's |
# | whitespace | none inside brackets or before `:` `,` | the formatter's |
# | imports | one module a line, at the top; standard library, third party, own; no `import *` | isort's rules |
# | names | `module`, `function`, `ClassName`, `CONSTANT`, `SomeError`; never `l`, `O`, `I` | linter, review |
# | public, internal | `_name` is internal, `__all__` lists what is public; `class_` evades a keyword | review |
# | None | `is None`; and not `if x` when you mean `if x is not None` | linter, review |
# | booleans | `if ready:`, not `if ready == True:`, worse `is True` | linter, with care |
# | types | `isinstance(x, int)`, not `type(x) == type(1)` | linter |
# | exceptions | derive from `Exception`; name what is caught, never bare; little in the `try` | linter, review |
# | returns | all `return`s give a value, or none does; a missing value is written `return None` | linter |
# | functions | `def f(x): …`, not `f = lambda x: …` | linter |
#
# `__name` with two underscores is mangled with the class's name: against clashes in classes that others inherit from,
# not as "private". Names begin and end with two only if the language gives them a meaning.
#
# Two things that are quoted from it aren't in it: the 88 columns (black's), and mutable default arguments. The latter
# are no style at all but a **bug**; so are a closure over a loop's variable and a bare `except` around something that
# can be cancelled. A linter prints them in the same list as a missing blank line. Telling them apart is the work.
#
# ### `==` and `is`
#
# `==` asks the object: it calls `__eq__`, which may say anything. `is` compares identities and can't be overloaded. So
# `is` is for *singletons* (`None`, `NotImplemented`, sentinels, members of an enum) and `==` for values. The four ways
# to ask "is nothing there?" are four questions:


# %%
class Everything:
    """Equal to whatever it is compared with, as a mock's ANY is."""

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


candidates: dict[str, Any] = {"None": None, "0": 0, "''": "", "[]": [], "False": False, "1": 1, "ANY": Everything()}
questions: dict[str, Callable[[Any], bool]] = {
    "x is None": lambda x: x is None,
    "x == None": lambda x: x == None,  # noqa: E711 - what the rule is about
    "not x": lambda x: not x,
    "x == False": lambda x: x == False,  # noqa: E712 - what the rule is about
    "x is False": lambda x: x is False,
}
print(f"{'':12}" + "".join(f"{name:>7}" for name in candidates))
for question, ask in questions.items():
    print(f"{question:12}" + "".join(f"{'yes' if ask(x) else '·':>7}" for x in candidates.values()))

# %% [markdown]
# No two rows are alike. So no rewrite from one to another is "only style": it is right where the values that differ
# can't come in, and that is knowledge about the data which no tool has. Of `flag == False` PEP 8 prefers `not flag`.
# With a flag that may be `None` for "nobody has said yet", that turns "unknown" into "no".
#
# ## What a formatter settles, and what a linter finds
#
# A **formatter** (`ruff format`, or black, whose style it follows) parses the module, throws the layout away and prints
# the tree again. There are hardly any options, on purpose: the output depends on the code and not on who wrote it,
# diffs show what changed, and reviews are free of commas. It promises the same program: the tree before and after is
# equal (but for white space in docstrings). Hence it can't do anything that changes the tree: rename, reorder imports
# (in ruff that is the linter's rule `I001`), shorten a string, split a function. A "magic" trailing comma keeps a list
# one item a line; `# fmt: off` spares a table that is laid out by hand.
#
# A **linter** looks for patterns in tokens, tree and scopes. ruff has taken over the rules of older tools with their
# codes:
#
# | prefix | from | finds | for instance |
# | --- | --- | --- | --- |
# | `E`, `W` | pycodestyle | PEP 8's layout and idioms | E501 line too long, E711 `== None`, E722 bare `except` |
# | `F` | pyflakes | what can't be right | F401 unused import, F821 undefined name, F841 unused variable |
# | `I` | isort | the order of imports | I001 |
# | `N` | pep8-naming | names | N802 function, N803 argument, N806 local variable |
# | `B` | flake8-bugbear | likely bugs | B006 mutable default, B008 call in a default, B023 loop variable in a closure |
# | `UP` | pyupgrade | outdated idioms | UP006 `List[int]`, UP045 `Optional[X]` |
# | `SIM`, `C4` | -simplify, -comprehensions | detours | SIM118 `in d.keys()`, C400 `list(x for …)` |
# | `A`, `BLE`, `S` | -builtins, -blind-except, -bandit | shadowing, broad `except`, security | A001, S101 `assert` |
# | `RUF`, `PGH` | ruff, pygrep-hooks | among others suppressions | RUF100 unused `noqa`, PGH004 `noqa` without code |
#
# This is how the lesson talks to it: `run_ruff` gives the real command a module on its standard input.


# %%
class Finding(NamedTuple):
    """Where a linter finds what; line and column are counted from 1."""

    line: int
    column: int
    code: str


def run_ruff(command: str, *options: str, source: str) -> str:
    """Return what `ruff COMMAND OPTIONS -` prints about a source, without any project's configuration."""
    done = subprocess.run(
        [sys.executable, "-m", "ruff", command, "--isolated", "--no-cache", "--quiet", *options, "-"],
        input=source,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    if done.returncode > 1:
        raise RuntimeError(done.stderr)
    return done.stdout


def reported(select: str, source: str, *options: str) -> list[dict[str, Any]]:
    """Return ruff's findings as it describes them in JSON."""
    found: list[dict[str, Any]] = json.loads(
        run_ruff("check", "--output-format=json", f"--select={select}", *options, source=source)
    )
    return found


def findings(select: str, source: str, *options: str) -> list[Finding]:
    """Return the place and code of each of ruff's findings, in order."""
    return sorted(
        Finding(each["location"]["row"], each["location"]["column"], each["code"])
        for each in reported(select, source, *options)
    )


def cell_of(function: Callable[..., object]) -> str:
    """Return the source of the cell in which a function was defined."""
    lines = linecache.getlines(function.__code__.co_filename)
    return "".join(lines).strip("\n") + "\n"


LEGACY = '''
import sys, os
from typing import Dict, List, Optional
import json
def loadPrices( path,cache={} ):
    """Read prices."""
    if path in cache.keys() : return cache[path]
    try:
        l=json.load( open(path) )
    except:
        l=None
    if l==None:
        return {}
    Result = dict([ (x['sku'],x['cents']) for x in l if not x['cents'] is None ])
    cache[path]=Result ; return Result
class price_list:
    def __init__(self,prices :Dict[str,int],currency : Optional[str]=None ):
        self.prices=prices; self.currency=currency
    def Cheapest(self, id) :
        total = 0
        return "%s: %d" % (id,min( [ self.prices[k] for k in self.prices.keys() ] )) if self.prices else "unknown"
'''.lstrip()
RULES = "E,W,F,I,N,B,UP,SIM,C4,A"
for each in reported(RULES, LEGACY)[:12]:
    place = f"{each['location']['row']}:{each['location']['column']}"
    fixable = {"safe": "*", "unsafe": "?"}.get(each["fix"]["applicability"] if each["fix"] else "", " ")
    print(f"{place:>6} {each['code']:7}{fixable} {each['message'][:90]}")
print("   … (* has a safe fix, ? an unsafe one)")

# %% [markdown]
# A fix is **safe** if it keeps what the program does, **unsafe** if it may change it; `--fix` applies the safe ones
# only. Which part of the work does each step do?

# %%
steps = {"as written": LEGACY}
steps["ruff format"] = run_ruff("format", source=LEGACY)
steps["check --fix"] = run_ruff("check", "--fix-only", f"--select={RULES}", source=steps["ruff format"])
steps["--unsafe-fixes"] = run_ruff(
    "check", "--fix-only", "--unsafe-fixes", f"--select={RULES}", source=steps["check --fix"]
)


def by_family(source: str) -> Counter[str]:
    """Return how many findings there are of each family of rules."""
    return Counter(re.sub(r"\d+", "", finding.code) for finding in findings(RULES, source))


@dataclass(frozen=True, repr=False)
class Stacks:
    """Stacked horizontal bars; as a table where there is no browser."""

    title: str
    rows: Mapping[str, Mapping[str, int]]

    @property
    def kinds(self) -> list[str]:
        return list(dict.fromkeys(kind for row in self.rows.values() for kind in sorted(row)))

    def __repr__(self) -> str:
        lines = [self.title, f"{'':16}" + "".join(f"{kind:>6}" for kind in self.kinds) + f"{'all':>6}"]
        for label, row in self.rows.items():
            cells = "".join(f"{row.get(kind, 0) or '·':>6}" for kind in self.kinds)
            lines.append(f"{label:16}{cells}{sum(row.values()):>6}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        fills = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#f0e442", "#999999", "#000000")
        unit = 480 / max(sum(row.values()) for row in self.rows.values())
        parts = []
        for line, (label, row) in enumerate(self.rows.items(), start=1):
            left, top = 130.0, line * 26
            parts.append(f'<text x="122" y="{top + 15}" text-anchor="end">{html.escape(label)}</text>')
            for kind in self.kinds:
                width = unit * row.get(kind, 0)
                parts.append(
                    f'<rect x="{left:.1f}" y="{top}" width="{width:.1f}" height="21" stroke="currentColor" '
                    f'fill="{fills[self.kinds.index(kind)]}"><title>{kind}: {row.get(kind, 0)}</title></rect>'
                )
                left += width
            parts.append(f'<text x="{left + 6:.1f}" y="{top + 15}">{sum(row.values())}</text>')
        bottom = 26 * (len(self.rows) + 1) + 6
        for place, kind in enumerate(self.kinds):
            parts.append(
                f'<rect x="{130 + 60 * place}" y="{bottom}" width="12" height="12" fill="{fills[place]}"/>'
                f'<text x="{147 + 60 * place}" y="{bottom + 11}">{kind}</text>'
            )
        return (
            f'<svg role="img" aria-label="{html.escape(self.title)}" viewBox="0 0 680 {bottom + 20}" width="680" '
            'style="max-width: 100%; height: auto" fill="currentColor" font-family="sans-serif" font-size="12" '
            f'xmlns="http://www.w3.org/2000/svg"><text x="0" y="14" font-weight="bold">{html.escape(self.title)}'
            f"</text>{''.join(parts)}</svg>"
        )


Stacks("Findings that are left after each step", {step: by_family(source) for step, source in steps.items()})

# %%
print(steps["--unsafe-fixes"])
for each in reported(RULES, steps["--unsafe-fixes"]):
    print(f"{each['location']['row']:>3} {each['code']:7} {each['message'][:100]}")

# %% [markdown]
# What is left is what needs a person: names that others may call, a file that nobody closes, the bare `except`, a
# shadowed builtin. One fix was worse than its finding: B006's has made the shared default a fresh one, and thereby
# *switched the cache off*, for here the sharing was meant. And no rule mentions the currency that nobody reads, the
# error that becomes "no prices", or that one function reads, filters and caches. **A clean report isn't a good
# design.**
#
# The order of work on old code follows from the figure: format first, in a commit of its own (its hash goes into
# `.git-blame-ignore-revs`, which git's `blame.ignoreRevsFile` names, so that `git blame` looks through it); then the
# safe fixes, one family a commit; then the unsafe ones, read line by line; then, with tests, the findings that are
# bugs.
#
# ### Import order
#
# isort's rule sorts into sections: `__future__`, standard library, third party, first party, local (relative). Which
# section a name belongs to isn't visible in it: ruff knows the standard library of the target version, looks for
# first-party modules in the project's source folders (`src`) or in `known-first-party`, and takes all others for third
# party.

# %%
IMPORTS = """\
from .money import cents
import requests
import zoneinfo, json
from shop.orders import Order
from __future__ import annotations
from decimal import Decimal
import shop
import numpy as np
"""
OWN = "lint.isort.known-first-party=['shop']"
in_order = run_ruff("check", "--fix-only", "--select=I,E401", "--config", OWN, source=IMPORTS)


@dataclass(frozen=True, repr=False)
class ImportBlock:
    """Sorted imports, each section in a colour of its own."""

    source: str

    def __repr__(self) -> str:
        return self.source

    def _repr_html_(self) -> str:
        names = ("__future__", "standard library", "third party", "first party", "local")
        fills = ("#999999", "#0072b2", "#e69f00", "#009e73", "#cc79a7")
        parts, row = [], 0
        for name, fill, section in zip(names, fills, self.source.strip().split("\n\n"), strict=True):
            lines = section.splitlines()
            parts.append(
                f'<rect x="0" y="{row * 18 + 4}" width="8" height="{len(lines) * 18 - 4}" fill="{fill}"/>'
                f'<text x="380" y="{row * 18 + 16}" font-family="sans-serif">{name}</text>'
            )
            for line in lines:
                parts.append(f'<text x="18" y="{row * 18 + 16}">{html.escape(line)}</text>')
                row += 1
        return (
            f'<svg role="img" aria-label="imports by section" viewBox="0 0 560 {row * 18 + 8}" width="560" '
            'style="max-width: 100%; height: auto" fill="currentColor" font-family="monospace" font-size="13" '
            f'xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>'
        )


ImportBlock(in_order)

# %% [markdown]
# Sorting imports changes the order in which modules run. It is safe as long as importing does nothing but define; a
# module that patches, registers or reads the environment when it is imported (`import gevent.monkey`, a Django
# `setup()`) depends on its place, and an "unused" import may be there for its effect. Such lines get a suppression
# **with a code and a reason**: behind `import shop.signals` a comment `noqa: F401 - registers the handlers`.
#
# ### Names are an interface
#
# A local variable is renamed in a minute. A function is found by `grep`, unless it is called by a string. A
# **parameter** is part of the signature: who calls `overdue(bills, asOf=today)` breaks. So are attributes, keys that
# are serialised, and names in `__all__`. PEP 8 says so itself: don't break backwards compatibility only to comply. The
# ways out: keep the name and suppress the finding with the reason; or add the new name beside the old, with a
# `DeprecationWarning` and a date. A leading underscore on everything that isn't promised keeps that list short.

# %% [markdown] exercise tidy_invoices topic=pep-8 level=core minutes=15
# ## Exercise: The silenced module
#
# A module of the billing service is about to be opened up to the linter. It works, five services import it, the
# formatter has been over it already, and its author has switched every finding off with comments at both ends of the
# file. Make it clean **without changing what it does**.
#
# An `Invoice` (below) is a dict. `cents` is 0 or more. `paid` is True, False, or None while a dispute is open.
# `customer` is None where nobody has been assigned; `""` is a customer of its own.
#
# * `overdue(invoices, asOf)` returns a new list of the invoices whose `paid` is False and whose `due` is before `asOf`,
#   the oldest first, those of the same day in the order in which they came. The services call it with `asOf=…`, so the
#   parameter keeps its name.
# * `total_by_customer(invoices)` returns the cents by customer, with `"unknown"` for those without one, in the order of
#   first appearance.
# * `summary(invoice)` returns for instance `"INV-7: 12.05 EUR (open)"`; the state is `paid`, `open` or `disputed`.
# * `reference(text)` returns the first `INV-` in the text that has digits (0 to 9) behind it, together with all of
#   them, or None, also where the text is None.
#
# Marked besides what the functions return:
#
# * ruff, with the rules `E,W,I,N,B,UP,SIM,C4,F401,F841` and its own defaults for everything else (88 columns), finds
#   nothing in the cell, and `ruff format` would change nothing in it.
# * The cell has exactly one comment that switches anything off: a `noqa` with the code N803 and a reason of at least
#   two words behind it, on the line of `asOf`.
#
# All of your code belongs into the one cell, also the imports of what it uses. `Invoice` and `dt` (`datetime`) are
# there already; `dt` may be imported once more.
#
# ```python
# >>> bill = Invoice(number="INV-7", customer=None, cents=1205, due=dt.date(2026, 3, 1), paid=False)
# >>> summary(bill)
# 'INV-7: 12.05 EUR (open)'
# >>> overdue([bill], asOf=dt.date(2026, 3, 1))
# []
# >>> total_by_customer([bill])
# {'unknown': 1205}
# >>> reference("your letter about INV-42"), reference(None)
# ('INV-42', None)
# ```


# %%
class Invoice(TypedDict):
    """What the billing service keeps of an invoice."""

    number: str
    customer: str | None
    cents: int
    due: dt.date
    paid: bool | None


# For the checks.
BILL = Invoice(number="INV-7", customer="Ada", cents=1205, due=dt.date(2026, 3, 1), paid=False)
TIDY = "E,W,I,N,B,UP,SIM,C4,F401,F841"
SILENCERS = re.compile(r"#\s*(noqa|ruff\s*:|fmt\s*:|isort\s*:|flake8\s*:|yapf\s*:)", re.IGNORECASE)


def silencing_comments(source: str) -> list[str]:
    """Return the comments that switch a formatter or a linter off."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return [token.string for token in tokens if token.type == tokenize.COMMENT and SILENCERS.search(token.string)]


def bill(**changes: Any) -> Invoice:
    """Return an invoice with other fields."""
    return Invoice(**{**BILL, **changes})  # type: ignore[typeddict-item]


# %% starter tidy_invoices
# ruff: disable[E401, E711, E712, E713, E714, E731, E741, F841, I001, N803, N806]
# ruff: disable[SIM102, SIM105, SIM108, SIM118, UP006, UP031, UP035, UP045]
import datetime as dt
import sys, re
from typing import Dict, List, Optional


def overdue(invoices: List[Invoice], asOf: dt.date) -> List[Invoice]:
    """Return the invoices that are open and late, the oldest first."""
    l = []
    for i in range(len(invoices)):
        if invoices[i]["paid"] == False:
            if invoices[i]["due"] < asOf:
                l.append(invoices[i])
    dueDate = lambda invoice: invoice["due"]
    l.sort(key=dueDate)
    return l


def total_by_customer(invoices: List[Invoice]) -> Dict[str, int]:
    """Return the cents by customer."""
    Totals: Dict[str, int] = {}
    for invoice in invoices:
        who = invoice["customer"]
        if who == None:
            who = "unknown"
        if not who in Totals.keys():
            Totals[who] = invoice["cents"]
        else:
            Totals[who] = Totals[who] + invoice["cents"]
    return Totals


def summary(invoice: Invoice) -> str:
    """Return an invoice as one line."""
    if not invoice["paid"] is None:
        if invoice["paid"] == True:
            state = "paid"
        else:
            state = "open"
    else:
        state = "disputed"
    return "%s: %d.%02d EUR (%s)" % (invoice["number"], invoice["cents"] // 100, invoice["cents"] % 100, state)


def reference(text: Optional[str]) -> Optional[str]:
    """Return the first number of an invoice in a text."""
    found = None
    try:
        found = re.search("INV-[0-9]+", text).group()  # type: ignore[arg-type, union-attr]
    except Exception as error:
        pass
    return found


# ruff: enable[E401, E711, E712, E713, E714, E731, E741, F841, I001, N803, N806]
# ruff: enable[SIM102, SIM105, SIM108, SIM118, UP006, UP031, UP035, UP045]


# %% solution tidy_invoices
# BEGIN SOLUTION
import re

STATES = {True: "paid", False: "open", None: "disputed"}


def overdue(
    invoices: list[Invoice],
    asOf: dt.date,  # noqa: N803 - services pass it by keyword
) -> list[Invoice]:
    """Return the invoices that are open and late, the oldest first."""
    late = [each for each in invoices if each["paid"] is False and each["due"] < asOf]
    return sorted(late, key=lambda invoice: invoice["due"])


def total_by_customer(invoices: list[Invoice]) -> dict[str, int]:
    """Return the cents by customer."""
    totals: Counter[str] = Counter()
    for invoice in invoices:
        customer = invoice["customer"]
        totals["unknown" if customer is None else customer] += invoice["cents"]
    return dict(totals)


def summary(invoice: Invoice) -> str:
    """Return an invoice as one line."""
    units, cents = divmod(invoice["cents"], 100)
    return f"{invoice['number']}: {units}.{cents:02} EUR ({STATES[invoice['paid']]})"


def reference(text: str | None) -> str | None:
    """Return the first number of an invoice in a text."""
    found = re.search("INV-[0-9]+", text or "")
    return found.group() if found else None


# END SOLUTION


# %% check tidy_invoices points=2
def test_ruff_finds_nothing_even_if_nothing_is_silenced_but_the_one_parameter() -> None:
    found = findings(TIDY, cell_of(overdue), "--ignore-noqa")
    rest = [finding for finding in found if finding.code != "N803"]
    assert rest == [], "line, column and code in your cell: mend them, the comments only hid them"
    assert len(found) == 1, "asOf is the one name that stays"


def test_open_and_late_invoices_oldest_first() -> None:
    newer, older = Invoice(**BILL), Invoice(**{**BILL, "due": dt.date(2026, 1, 5)})
    assert overdue([newer, older], asOf=dt.date(2026, 3, 2)) == [older, newer], "the oldest is called first"
    assert overdue([newer], asOf=dt.date(2026, 3, 1)) == [], "on the day itself it isn't late"


# %% hidden tidy_invoices points=3
def test_one_suppression_with_its_code_and_a_reason() -> None:
    comments = silencing_comments(cell_of(overdue))
    assert len(comments) == 1, f"one name is kept for its callers, everything else is mended; found: {comments}"
    assert re.search(r"#\s*noqa:\s*N803\W+\w+\W+\w+", comments[0]), "the code, and why: the next reader wants to know"
    assert findings("N803", cell_of(overdue)) == [], "it stands on the line that it is for"


def test_the_formatter_has_nothing_to_change() -> None:
    source = cell_of(overdue)
    assert run_ruff("format", source=source) == source, "run `ruff format` last: fixes leave lines behind"


def test_a_disputed_invoice_is_not_overdue() -> None:
    disputed = bill(paid=None)
    assert overdue([disputed, bill(paid=True)], asOf=dt.date(2027, 1, 1)) == [], (
        "None is falsy and isn't False: a dunning letter for a disputed invoice ends in court"
    )


def test_invoices_of_one_day_keep_their_order_and_the_input_stays() -> None:
    first, second, early = bill(number="INV-9"), bill(number="INV-8"), bill(due=dt.date(2025, 1, 1))
    given = [first, second, early]
    assert overdue(given, asOf=dt.date(2027, 1, 1)) == [early, first, second], "the sort is stable, by the day only"
    assert given == [first, second, early], "a new list, not the caller's sorted"


def test_totals_keep_the_empty_name_apart_from_no_name() -> None:
    bills = [bill(customer="Bo"), bill(customer=""), bill(customer=None), bill(customer="Bo", cents=5)]
    assert total_by_customer(bills) == {"Bo": 1210, "": 1205, "unknown": 1205}, '"" is a customer, None is none'
    assert list(total_by_customer(bills)) == ["Bo", "", "unknown"], "the order of first appearance"
    assert total_by_customer([bill(cents=0)]) == {"Ada": 0}, "a customer who owes nothing is listed"


@pytest.mark.parametrize(("paid", "state"), [(True, "paid"), (False, "open"), (None, "disputed")])
def test_the_summary_names_the_state(paid: bool | None, state: str) -> None:
    assert summary(bill(paid=paid)) == f"INV-7: 12.05 EUR ({state})", "two digits for the cents"


def test_the_first_reference_or_none() -> None:
    assert reference("for INV-12, not INV-13") == "INV-12", "the first one"
    assert reference("INV- is missing, INV-3x") == "INV-3", "with digits behind it"
    assert [reference(text) for text in ("", "nothing", None)] == [None] * 3, "no reference is no error"


# %% wrong tidy_invoices fails=test_a_disputed_invoice_is_not_overdue
# "`== False` is `not`": ruff's own unsafe fix writes it so; a disputed invoice (None) is now overdue.
import re

STATES = {True: "paid", False: "open", None: "disputed"}


def overdue(
    invoices: list[Invoice],
    asOf: dt.date,  # noqa: N803 - services pass it by keyword
) -> list[Invoice]:
    """Return the invoices that are open and late, the oldest first."""
    late = [each for each in invoices if not each["paid"] and each["due"] < asOf]
    return sorted(late, key=lambda invoice: invoice["due"])


def total_by_customer(invoices: list[Invoice]) -> dict[str, int]:
    """Return the cents by customer."""
    totals: Counter[str] = Counter()
    for invoice in invoices:
        customer = invoice["customer"]
        totals["unknown" if customer is None else customer] += invoice["cents"]
    return dict(totals)


def summary(invoice: Invoice) -> str:
    """Return an invoice as one line."""
    units, cents = divmod(invoice["cents"], 100)
    return f"{invoice['number']}: {units}.{cents:02} EUR ({STATES[invoice['paid']]})"


def reference(text: str | None) -> str | None:
    """Return the first number of an invoice in a text."""
    found = re.search("INV-[0-9]+", text or "")
    return found.group() if found else None


# %% wrong tidy_invoices fails=test_totals_keep_the_empty_name_apart_from_no_name
# "`or` is the short way to give a default": the empty name is falsy too, and falls in with the unknown.
import re

STATES = {True: "paid", False: "open", None: "disputed"}


def overdue(
    invoices: list[Invoice],
    asOf: dt.date,  # noqa: N803 - services pass it by keyword
) -> list[Invoice]:
    """Return the invoices that are open and late, the oldest first."""
    late = [each for each in invoices if each["paid"] is False and each["due"] < asOf]
    return sorted(late, key=lambda invoice: invoice["due"])


def total_by_customer(invoices: list[Invoice]) -> dict[str, int]:
    """Return the cents by customer."""
    totals: dict[str, int] = {}
    for invoice in invoices:
        customer = invoice["customer"] or "unknown"
        totals[customer] = totals.get(customer, 0) + invoice["cents"]
    return totals


def summary(invoice: Invoice) -> str:
    """Return an invoice as one line."""
    units, cents = divmod(invoice["cents"], 100)
    return f"{invoice['number']}: {units}.{cents:02} EUR ({STATES[invoice['paid']]})"


def reference(text: str | None) -> str | None:
    """Return the first number of an invoice in a text."""
    found = re.search("INV-[0-9]+", text or "")
    return found.group() if found else None


# %% wrong tidy_invoices fails=test_ruff_finds_nothing_even_if_nothing_is_silenced_but_the_one_parameter
# "A parameter is an internal name": every caller with asOf=… gets a TypeError, and no finding tells.
import re

STATES = {True: "paid", False: "open", None: "disputed"}


def overdue(invoices: list[Invoice], as_of: dt.date) -> list[Invoice]:
    """Return the invoices that are open and late, the oldest first."""
    late = [each for each in invoices if each["paid"] is False and each["due"] < as_of]
    return sorted(late, key=lambda invoice: invoice["due"])


def total_by_customer(invoices: list[Invoice]) -> dict[str, int]:
    """Return the cents by customer."""
    totals: Counter[str] = Counter()
    for invoice in invoices:
        customer = invoice["customer"]
        totals["unknown" if customer is None else customer] += invoice["cents"]
    return dict(totals)


def summary(invoice: Invoice) -> str:
    """Return an invoice as one line."""
    units, cents = divmod(invoice["cents"], 100)
    return f"{invoice['number']}: {units}.{cents:02} EUR ({STATES[invoice['paid']]})"


def reference(text: str | None) -> str | None:
    """Return the first number of an invoice in a text."""
    found = re.search("INV-[0-9]+", text or "")
    return found.group() if found else None


# %% right tidy_invoices
import re


def overdue(invoices: list[Invoice], asOf: dt.date) -> list[Invoice]:  # noqa: N803 (public name)
    """Return the invoices that are open and late, the oldest first."""
    late = []
    for invoice in invoices:
        if invoice["paid"] is False and invoice["due"] < asOf:
            late.append(invoice)
    late.sort(key=lambda invoice: invoice["due"])
    return late


def total_by_customer(invoices: list[Invoice]) -> dict[str, int]:
    """Return the cents by customer."""
    totals: dict[str, int] = {}
    for invoice in invoices:
        customer = invoice["customer"]
        if customer is None:
            customer = "unknown"
        totals[customer] = totals.get(customer, 0) + invoice["cents"]
    return totals


def summary(invoice: Invoice) -> str:
    """Return an invoice as one line."""
    if invoice["paid"] is None:
        state = "disputed"
    elif invoice["paid"]:
        state = "paid"
    else:
        state = "open"
    cents = invoice["cents"]
    return f"{invoice['number']}: {cents // 100}.{cents % 100:02d} EUR ({state})"


def reference(text: str | None) -> str | None:
    """Return the first number of an invoice in a text."""
    if text is None:
        return None
    found = re.search(r"INV-\d+", text, re.ASCII)
    return found[0] if found else None


# %% [markdown] hint tidy_invoices
# Delete the comments in the first and the last lines, and let ruff speak: `print(findings(TIDY, cell_of(overdue)))`.
# Then go from the top. For each finding ask which values come in there, before you take the suggestion.

# %% [markdown] hint tidy_invoices
# Two traps: `paid` has three values, so `== False` means neither `not` nor `is not True`. And a customer may be `""`,
# so `or "unknown"` isn't `if customer is None`.

# %% [markdown] hint tidy_invoices
# `each["paid"] is False and each["due"] < asOf` in a comprehension, `sorted(…, key=lambda …)`; a `dict` from the state
# of `paid` to its word. Let the parameters stand one a line, with a trailing comma, and there is room for the comment.

# %% [markdown] after tidy_invoices
# **Why.** Of the findings, most are settled by the tool alone (imports, `List`, `%`). Three are questions: E712 on a
# flag with three values, N803 on a public name, and `except Exception`, which none of these rules mentions (BLE001
# would): it was there for `None` and for no match, and it would have hidden a misspelt name as well.
#
# `is False` is against the letter of PEP 8 ("worse: `if greeting is True`") and right here, for the value isn't a
# boolean but one of three. Better for the next version: an `enum` for the state, and then `is` is the norm.
#
# **The interviewer goes on**: *How would you rename `asOf` after all? (Accept both for two releases, with a
# `DeprecationWarning` for the old one; look in the logs who still uses it.) What do you do first, if there are no
# tests? (Characterisation tests: record what it returns for real inputs, odd ones included.)*

# %% [markdown]
# ## Findings that are bugs
#
# Some codes should stop a build even in a team that doesn't care about style. The mechanism of each:
#
# * **B006, mutable default; B008, call in a default.** Defaults are evaluated once, when `def` runs, and are kept in
#   `__defaults__`. All calls share the list, and `now()` is the time of the import.
# * **B023, loop variable in a closure.** A closure holds the *variable*, not its value at that time. When the function
#   runs, the loop is over.
# * **E722 and BLE001, bare and broad `except`.** A bare one catches `BaseException`: `KeyboardInterrupt`, `SystemExit`,
#   `asyncio.CancelledError`. A broad one still catches the `NameError` of your own typo.
# * **E711 where `__eq__` is overloaded.** SQLAlchemy's columns, NumPy's arrays, pandas' frames, mocks: `==` returns an
#   object that is true, or refuses to be tested.
# * **A001, shadowed builtin.** Harmless until somebody needs the builtin further down in the same scope.


# %%
def every(seconds: int, hooks: list[str] = []) -> list[str]:  # noqa: B006 - shows what it does
    """Collect hooks, in a list that all calls share."""
    hooks.append(f"every {seconds} s")
    return hooks


every(1)
print("a fresh call :", every(60), "   __defaults__ :", every.__defaults__)
late: list[Callable[[], str]] = [lambda: name for name in ("sku", "cents", "day")]  # noqa: B023 - shows what it does
bound = [functools.partial(str, name) for name in ("sku", "cents", "day")]
print("late binding :", [function() for function in late], "   bound at once :", [function() for function in bound])

# %% [markdown] exercise export_bugs topic=pep-8 level=senior minutes=15
# ## Exercise: Six findings, six incidents
#
# The export of the order system has six findings, and somebody wants to put a `noqa` behind all of them: "it has been
# running for years". Each of them is a bug that has been in the incident log. Mend them all.
#
# * `collect(row, into=None)` appends the row to `into` and returns it. Without a list, or with None, each call begins a
#   new one. A list that is handed in is used, also an empty one.
# * `stamp(row, now=None)` returns a new dict: the row with `"exported"`, the time that `now` says, or, if it is None,
#   the time of the call by `clock()` (below), which is asked only then.
# * `readers(fields)` returns a function for each of the field names; it takes a row and returns that field.
# * `order_by(column=None)` returns `"ORDER BY "` and the column's name, or `""` for None. A `Column` (below) makes a
#   condition of `==`, which is an object and so true.
# * `load(texts)` returns the rows of those texts that are numbers (`{"cents": int(text)}`), and the texts that aren't,
#   as a pair of lists, both in order. A text for which `int` raises `ValueError` isn't one. Whatever else is raised, by
#   a text or by the iterable itself, comes out.
# * `totals(rows)` returns the cents by currency (of the rows' `"currency"` and `"cents"`), in order of first
#   appearance, and after them `"all"`, the sum of these. `"all"` is no currency.
#
# ruff's rules `E`, `B`, `A` and `BLE` find nothing in the cell, and no comment in it switches anything off (120 columns
# are allowed).
#
# ```python
# >>> collect({"cents": 1}), collect({"cents": 2})
# ([{'cents': 1}], [{'cents': 2}])
# >>> [read({"sku": "A", "cents": 5}) for read in readers(["sku", "cents"])]
# ['A', 5]
# >>> load(["12", "n/a"])
# ([{'cents': 12}], ['n/a'])
# >>> totals([{"currency": "EUR", "cents": 5}, {"currency": "CHF", "cents": 2}])
# {'EUR': 5, 'CHF': 2, 'all': 7}
# ```


# %%
Row = dict[str, Any]


class Column:
    """A column of a query; comparing it makes a condition."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, other: object) -> str:  # type: ignore[override]
        return f"{self.name} = {other!r}"

    __hash__ = None  # type: ignore[assignment]


class Clock:
    """Says how often it has been asked."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self) -> int:
        self.asked += 1
        return self.asked


clock = Clock()


# %% starter export_bugs
# ruff: disable[B006, B008, B023, E711, E722]
def collect(row: Row, into: list[Row] = []) -> list[Row]:
    """Append a row to a list, or to a new one."""
    into.append(row)
    return into


def stamp(row: Row, now: Any = clock()) -> Row:
    """Return the row with the time of its export."""
    return {**row, "exported": now}


def readers(fields: Sequence[str]) -> list[Callable[[Row], Any]]:
    """Return a function for each field that reads it."""
    made: list[Callable[[Row], Any]] = []
    for field in fields:
        made.append(lambda row: row[field])
    return made


def order_by(column: Column | None = None) -> str:
    """Return the clause that sorts by a column."""
    if column == None:
        return ""
    return f"ORDER BY {column.name}"


def load(texts: Iterable[str]) -> tuple[list[Row], list[str]]:
    """Return the rows, and the texts that are no numbers."""
    rows: list[Row] = []
    refused: list[str] = []
    for text in texts:
        try:
            rows.append({"cents": int(text)})
        except:
            refused.append(text)
    return rows, refused


def totals(rows: Iterable[Row]) -> dict[str, int]:
    """Return the cents by currency, and of all."""
    sum: Any = {}
    for row in rows:
        sum[row["currency"]] = sum.get(row["currency"], 0) + row["cents"]
    sum["all"] = sum(sum.values())
    return dict(sum)


# ruff: enable[B006, B008, B023, E711, E722]


# %% solution export_bugs
# BEGIN SOLUTION
import operator


def collect(row: Row, into: list[Row] | None = None) -> list[Row]:
    """Append a row to a list, or to a new one."""
    if into is None:
        into = []
    into.append(row)
    return into


def stamp(row: Row, now: int | None = None) -> Row:
    """Return the row with the time of its export."""
    return {**row, "exported": clock() if now is None else now}


def readers(fields: Sequence[str]) -> list[Callable[[Row], Any]]:
    """Return a function for each field that reads it."""
    return [operator.itemgetter(field) for field in fields]


def order_by(column: Column | None = None) -> str:
    """Return the clause that sorts by a column."""
    return "" if column is None else f"ORDER BY {column.name}"


def load(texts: Iterable[str]) -> tuple[list[Row], list[str]]:
    """Return the rows, and the texts that are no numbers."""
    rows: list[Row] = []
    refused: list[str] = []
    for text in texts:
        try:
            rows.append({"cents": int(text)})
        except ValueError:
            refused.append(text)
    return rows, refused


def totals(rows: Iterable[Row]) -> dict[str, int]:
    """Return the cents by currency, and of all."""
    cents: Counter[str] = Counter()
    for row in rows:
        cents[row["currency"]] += row["cents"]
    return {**cents, "all": sum(cents.values())}


# END SOLUTION


# %% check export_bugs points=2
def test_ruff_finds_nothing_and_nothing_is_silenced() -> None:
    source = cell_of(collect)
    found = findings("E,B,A,BLE", source, "--ignore-noqa", "--line-length=120")
    assert (found, silencing_comments(source)) == ([], []), "findings, and comments that hide them"


def test_each_call_collects_into_a_list_of_its_own() -> None:
    collect({"cents": 1})
    assert collect({"cents": 2}) == [{"cents": 2}], "customers got the rows of those before them"


def test_there_is_a_grand_total() -> None:
    rows = [{"currency": code, "cents": cents} for code, cents in (("EUR", 5), ("CHF", 2), ("EUR", -1))]
    assert totals(rows) == {"EUR": 4, "CHF": 2, "all": 6}, "the name sum was a dict by then"


# %% hidden export_bugs points=4
def test_an_empty_list_that_is_handed_in_is_used() -> None:
    mine: list[Row] = []
    assert collect({"cents": 1}, mine) is mine, "the caller's list: `into or []` would fill another one"
    assert mine == [{"cents": 1}], "and it has the row"


def test_the_time_is_that_of_the_call() -> None:
    before = clock.asked
    first, second = stamp({"cents": 1}), stamp({"cents": 1}, None)
    assert [first["exported"], second["exported"]] == [before + 1, before + 2], "a default is evaluated at the import"


def test_a_given_time_is_kept_and_the_row_is_not_changed() -> None:
    row, before = {"cents": 1}, clock.asked
    assert stamp(row, 0) == {"cents": 1, "exported": 0}, "0 is a time"
    assert (row, clock.asked) == ({"cents": 1}, before), "a new dict, and the clock needn't be asked"


def test_each_reader_reads_its_own_field() -> None:
    row = {"sku": "A", "cents": 5, "day": 3}
    assert [read(row) for read in readers(["day", "sku", "cents"])] == [3, "A", 5], "all read the last field"


def test_sorting_by_a_column_and_by_none() -> None:
    assert order_by(Column("day")) == "ORDER BY day", "column == None is a condition, and true: never sorted"
    assert (order_by(), order_by(None)) == ("", ""), "no column, no clause"


def test_texts_that_are_no_numbers_are_listed() -> None:
    assert load(["7", "x", "", "-2"]) == ([{"cents": 7}, {"cents": -2}], ["x", ""]), "both in the order of the texts"


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, MemoryError, TypeError, KeyError])
def test_other_errors_come_out(error: type[BaseException]) -> None:
    class Text(str):
        __slots__ = ()

        def __int__(self) -> int:
            raise error

    class Texts:
        def __iter__(self) -> Iterator[str]:
            yield "1"
            raise error

    with pytest.raises(error):
        load([Text("1")])
    with pytest.raises(error):
        load(Texts())


def test_an_error_of_the_source_comes_out_even_if_it_is_a_value_error() -> None:
    def texts() -> Iterator[str]:
        yield "1"
        raise ValueError("the file is no UTF-8")

    with pytest.raises(ValueError, match="UTF-8"):
        load(texts())


def test_currencies_in_order_then_all_even_of_nothing() -> None:
    rows = [{"currency": code, "cents": 0} for code in ("USD", "EUR")]
    assert list(totals(iter(rows))) == ["USD", "EUR", "all"], "the report's columns"
    assert totals([]) == {"all": 0}, "an empty day has a total too"


# %% wrong export_bugs fails=test_an_empty_list_that_is_handed_in_is_used
# "`into or []` gives a new list": also to the caller whose list is still empty.
import operator


def collect(row: Row, into: list[Row] | None = None) -> list[Row]:
    """Append a row to a list, or to a new one."""
    into = into or []
    into.append(row)
    return into


def stamp(row: Row, now: int | None = None) -> Row:
    """Return the row with the time of its export."""
    return {**row, "exported": clock() if now is None else now}


def readers(fields: Sequence[str]) -> list[Callable[[Row], Any]]:
    """Return a function for each field that reads it."""
    return [operator.itemgetter(field) for field in fields]


def order_by(column: Column | None = None) -> str:
    """Return the clause that sorts by a column."""
    return "" if column is None else f"ORDER BY {column.name}"


def load(texts: Iterable[str]) -> tuple[list[Row], list[str]]:
    """Return the rows, and the texts that are no numbers."""
    rows: list[Row] = []
    refused: list[str] = []
    for text in texts:
        try:
            rows.append({"cents": int(text)})
        except ValueError:
            refused.append(text)
    return rows, refused


def totals(rows: Iterable[Row]) -> dict[str, int]:
    """Return the cents by currency, and of all."""
    cents: Counter[str] = Counter()
    for row in rows:
        cents[row["currency"]] += row["cents"]
    return {**cents, "all": sum(cents.values())}


# %% wrong export_bugs fails=test_other_errors_come_out
# "Naming Exception mends a bare except": E722 is gone, and a TypeError of our own is still a "refused text".
import operator


def collect(row: Row, into: list[Row] | None = None) -> list[Row]:
    """Append a row to a list, or to a new one."""
    if into is None:
        into = []
    into.append(row)
    return into


def stamp(row: Row, now: int | None = None) -> Row:
    """Return the row with the time of its export."""
    return {**row, "exported": clock() if now is None else now}


def readers(fields: Sequence[str]) -> list[Callable[[Row], Any]]:
    """Return a function for each field that reads it."""
    return [operator.itemgetter(field) for field in fields]


def order_by(column: Column | None = None) -> str:
    """Return the clause that sorts by a column."""
    return "" if column is None else f"ORDER BY {column.name}"


def load(texts: Iterable[str]) -> tuple[list[Row], list[str]]:
    """Return the rows, and the texts that are no numbers."""
    rows: list[Row] = []
    refused: list[str] = []
    for text in texts:
        try:
            rows.append({"cents": int(text)})
        except Exception:
            refused.append(text)
    return rows, refused


def totals(rows: Iterable[Row]) -> dict[str, int]:
    """Return the cents by currency, and of all."""
    cents: Counter[str] = Counter()
    for row in rows:
        cents[row["currency"]] += row["cents"]
    return {**cents, "all": sum(cents.values())}


# %% right export_bugs
def collect(row: Row, into: list[Row] | None = None) -> list[Row]:
    """Append a row to a list, or to a new one."""
    rows = [] if into is None else into
    rows.append(row)
    return rows


def stamp(row: Row, now: int | None = None) -> Row:
    """Return the row with the time of its export."""
    if now is None:
        now = clock()
    return row | {"exported": now}


def readers(fields: Sequence[str]) -> list[Callable[[Row], Any]]:
    """Return a function for each field that reads it."""

    def reader(field: str) -> Callable[[Row], Any]:
        return lambda row: row[field]

    return list(map(reader, fields))


def order_by(column: Column | None = None) -> str:
    """Return the clause that sorts by a column."""
    if column is None:
        return ""
    return f"ORDER BY {column.name}"


def load(texts: Iterable[str]) -> tuple[list[Row], list[str]]:
    """Return the rows, and the texts that are no numbers."""
    rows: list[Row] = []
    refused: list[str] = []
    for text in texts:
        try:
            cents = int(text)
        except ValueError:
            refused.append(text)
        else:
            rows.append({"cents": cents})
    return rows, refused


def totals(rows: Iterable[Row]) -> dict[str, int]:
    """Return the cents by currency, and of all."""
    by_currency: dict[str, int] = {}
    for row in rows:
        by_currency[row["currency"]] = by_currency.get(row["currency"], 0) + row["cents"]
    by_currency["all"] = sum(by_currency.values())
    return by_currency


# %% [markdown] hint export_bugs
# Run each function twice, or with two fields, or with a column: the checks of `findings("E,B,A,BLE", cell_of(collect))`
# name the lines, and the prompt says for each what should come out.

# %% [markdown] hint export_bugs
# None as the default, and `is None` inside: for the list and for the time. For the closure: `operator.itemgetter`, a
# function that makes the function, or a default (`lambda row, field=field: …`). `except ValueError` and nothing else.

# %% [markdown] after export_bugs
# **Why each was seen late.** A mutable default works in every test that calls once. A late closure works for one field.
# The bare `except` works until somebody presses Ctrl-C or a deployment cancels the task. `column == None` is a
# non-empty string and hence true, so nothing was ever sorted. The shadowed `sum` is a `TypeError` in the last line, and
# the type checker would have seen it, had it not been for `Any`.
#
# **`lambda row, field=field: …`** is right as well, and lets a caller override `field` by accident; a factory or
# `functools.partial` doesn't. **`except Exception`** has its place at the outermost frame of a worker: log with the
# traceback, go on with the next job. In the middle of a function it is a guess.
#
# **The interviewer goes on**: *Is a mutable default ever right? (As a private cache that is meant to be shared, and
# then `functools.cache` says it better.) What is wrong with B008 in FastAPI's `Depends()`? (Nothing: it is a marker,
# made once on purpose; tell the linter with `extend-immutable-calls`.)*

# %% [markdown]
# ## A linter from the inside
#
# A rule is a small function over the syntax tree. `ast.parse` gives nodes with `lineno` (from 1) and `col_offset` (from
# 0, in **bytes** of UTF-8). Comments aren't in the tree: they come from `tokenize`. A check that a team writes for
# itself ("no `datetime.now()` without a zone", "handlers don't import models") is thirty lines, and often worth more
# than a hundred rules from a catalogue.

# %%
SNIPPET = "prix = {'é': []}\ndef f(x={}): ...  # noqa: B006\n"
for node in ast.walk(ast.parse(SNIPPET)):
    if isinstance(node, ast.Dict | ast.List | ast.FunctionDef):
        print(f"{type(node).__name__:12} line {node.lineno}, col_offset {node.col_offset}")
for token in tokenize.generate_tokens(io.StringIO(SNIPPET).readline):
    if token.type == tokenize.COMMENT:
        print(f"comment      line {token.start[0]}, {token.string!r}")

# %% [markdown]
# The list is character 13 of its line, counted from 0, and the tree says 14, for é has two bytes.
#
# `noqa` in a comment at the end of a line switches findings of that line off: all of them, or, with a colon, those of
# the codes behind it. The first form is a hole, since it hides what isn't there yet. So: always a code, always a
# reason, and a rule that reports both the bare form (`PGH004`) and suppressions that suppress nothing any more
# (`RUF100`).

# %% [markdown] exercise mini_linter topic=pep-8 level=senior minutes=20
# ## Exercise: Three rules, as ruff has them
#
# Write the core of a linter, so that the next in-house rule needs ten lines. `lint(source)` returns the findings of a
# module as a list of `Finding(line, column, code)`, sorted. Line and column are counted from 1, the column in
# **characters**. The codes and places are those of ruff:
#
# * `E722`: an `except` without a type; at the `except`. (ruff spares one that raises again. Leave that out: no test has
#   such a one.)
# * `E711`: `None` to the right of `==` or `!=`, anywhere in a comparison (in `a == b != None` too); at that `None`.
# * `B006`: a mutable default of a parameter of a `def` or `async def` (methods and nested functions too, whatever the
#   kind of parameter; a `lambda` isn't looked at); at the default. Mutable are: a list, dict or set written as such or
#   as a comprehension, and a call of the plain names `list`, `dict` or `set`, with or without arguments.
#
# A comment in the line of a finding may switch it off. In the forms of `SILENCED` (below), from top to bottom: all
# codes; all codes, where the comment says something else first; the one code that is named; each of those named (with a
# comma, a space or both in between). The codes end with the first word that isn't a code (capitals, then digits); the
# rest is the reason. `noqa` is in lower case, one space behind its sign; without a colon after it everything is off,
# whatever follows. (A colon without a code behind it: no test has one.) The same text in a string is no comment.
#
# A source that isn't Python raises `SyntaxError`. A source without findings, also an empty one, gives `[]`.
#
# ```python
# >>> lint("try:\n    pay()\nexcept:\n    pass\n")
# [Finding(line=3, column=1, code='E722')]
# >>> lint("def f(é='é', seen=[], *, by={}): ...\n")
# [Finding(line=1, column=19, code='B006'), Finding(line=1, column=29, code='B006')]
# >>> lint(SILENCED)
# [Finding(line=5, column=10, code='E711')]
# >>> lint("if x ==")
# Traceback (most recent call last):
# SyntaxError: invalid syntax (<unknown>, line 1)
# ```

# %%
SILENCED = """\
a = x == None  # noqa
b = x == None  # an old one # noqa
c = x == None  # noqa: E711 - a column, not a value
d = x == None  # noqa: B006, E711
e = x == None  # noqa: B006
"""


# %% solution mini_linter
def lint(source: str) -> list[Finding]:
    """Return the findings of a module, sorted."""
    # BEGIN SOLUTION
    lines = source.encode().split(b"\n")
    silenced: dict[int, list[str]] = {}
    tree = ast.parse(source)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        noqa = re.search(r"# noqa(?:: *((?:[A-Z]+\d+[, ]*)+))?", token.string)
        if token.type == tokenize.COMMENT and noqa:
            silenced[token.start[0]] = re.findall(r"\w+", noqa[1] or "E722 E711 B006")

    def places() -> Iterator[tuple[ast.expr | ast.ExceptHandler, str]]:
        for node in ast.walk(tree):
            match node:
                case ast.ExceptHandler(type=None):
                    yield node, "E722"
                case ast.Compare():
                    for place, right in enumerate(node.comparators):
                        if isinstance(node.ops[place], ast.Eq | ast.NotEq) and ast.unparse(right) == "None":
                            yield right, "E711"
                case ast.FunctionDef() | ast.AsyncFunctionDef():
                    for default in (*node.args.defaults, *node.args.kw_defaults):
                        if default and is_mutable(default):
                            yield default, "B006"

    def is_mutable(default: ast.expr) -> bool:
        match default:
            case ast.Call(func=ast.Name(id="list" | "dict" | "set")):
                return True
        return isinstance(default, ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp)

    return sorted(
        Finding(node.lineno, len(lines[node.lineno - 1][: node.col_offset].decode()) + 1, code)
        for node, code in places()
        if code not in silenced.get(node.lineno, ())
    )
    # END SOLUTION


# %% check mini_linter points=2
def test_reports_a_bare_except_and_no_other() -> None:
    source = "try:\n    pay()\nexcept (ValueError):\n    pass\nexcept:\n    log()\n"
    assert lint(source) == [Finding(5, 1, "E722")], "it hides KeyboardInterrupt too; the one with a type doesn't"


def test_reports_each_mutable_default_at_its_place() -> None:
    assert lint("def f(a, b=[], *, c=None, d={}): ...\n") == [Finding(1, 12, "B006"), Finding(1, 29, "B006")]


def test_a_code_switches_off_only_itself() -> None:
    source = "def f(a=[], b=x == None): ...  # noqa: B006\n"
    assert lint(source) == [Finding(1, 20, "E711")], "the other finding of the line stays"


# %% hidden mini_linter points=4
MODULE = '''
"""Prices: # noqa isn't a comment here."""
async def pull(a, b=dict(x=1), /, c: list = [], *d, e=set(), f={*()}, **g): ...
class Ünit:
    def méthode(self, élan="é", seen=[x for x in y], by={k: 1 for k in y}, ids={i for i in y}):
        def inner(q=list()):
            return None if self != None else q == None
        try:
            try: pass
            except: log()
        except OSError: pass
        except:  # pragma: no cover
            return a == b != None, c is None, c is not None, (x, None) == y
keep = lambda seen=[]: seen
def g(a=(), b=frozenset(), c=None, d=tuple([]), e=[][0], f=m.list(), h=deque): ...
if (x
    == None
    or y ==
    None): pass
wert = "ä" + f(x == None)
'''


def test_agrees_with_ruff_about_a_module() -> None:
    assert lint(MODULE) == findings("E722,E711,B006", MODULE), "the places and codes that ruff reports"


def test_columns_count_characters() -> None:
    assert lint("é = f('ü', x == None)\n") == [Finding(1, 17, "E711")], "the tree counts bytes"


def test_findings_are_sorted() -> None:
    source = "def f(a=[]):\n    try:\n        x = y == None\n    except:\n        pass\ndef g(a={}): ...\nz != None\n"
    found = lint(source)
    assert found == sorted(found), "by line, then column"
    assert [finding.code for finding in found] == ["B006", "E711", "E722", "B006", "E711"]


@pytest.mark.parametrize(
    "comment",
    [
        "# noqa",
        "# noqa: E711",
        "# noqa: E711, B006",
        "# noqa: B006,E711",
        "# noqa: B006 E711",
        "# legacy # noqa",
        "# noqa: E711 - a column of ours",
        "# noqa: B006, E711 because of B008",
        "# noqa - all of it",
    ],
)
def test_comments_that_switch_it_off(comment: str) -> None:
    assert lint(f"x == None  {comment}\n") == [], "named, or all of them"


@pytest.mark.parametrize(
    "comment", ["# noqa: B006", "# noqa: E722, B006", "# noqa: B006 - not E711", "# E711", "# no qa", "# noqa: E7110"]
)
def test_comments_that_leave_it(comment: str) -> None:
    assert lint(f"x == None  {comment}\n") == [Finding(1, 6, "E711")], "another code, or a word of the reason"


@pytest.mark.parametrize("text", ["'# noqa'", '"""\n# noqa\n"""', "'# noqa: E711'"])
def test_a_string_is_no_comment(text: str) -> None:
    found = lint(f"x = {text}; x == None\n")
    assert [finding.code for finding in found] == ["E711"], "only a real comment counts"


def test_a_comment_counts_for_its_own_line() -> None:
    assert lint("# noqa\nx == None\n# noqa\n") == [Finding(2, 6, "E711")], "not for the line below or above"
    source = "try: pass\nexcept:  # noqa\n    def f(a=[]): ...\n    x == None  # noqa: E722\n"
    assert [finding.line for finding in lint(source)] == [3, 4], "each line has its own comment"


def test_every_code_can_be_switched_off() -> None:
    assert lint("def f(a=[]): ...  # noqa\ntry: pass\nexcept: pass  # noqa\nx != None  # noqa\n") == []
    assert lint("def f(a=[]): ...  # noqa: B006\ntry: pass\nexcept: pass  # noqa: E722\n") == []


def test_nothing_to_report_and_nothing_to_parse() -> None:
    assert lint("") == [], "an empty __init__.py"
    with pytest.raises(SyntaxError):
        lint("def f(:\n")


# %% wrong mini_linter fails=test_columns_count_characters
# "col_offset is the column": it counts bytes, so the editor jumps beside the finding in every line with an umlaut.
def lint(source: str) -> list[Finding]:
    """Return the findings of a module, sorted."""
    silenced: dict[int, str] = {}
    tree = ast.parse(source)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        noqa = re.search(r"# noqa(?:: *((?:[A-Z]+\d+[, ]*)+))?", token.string)
        if token.type == tokenize.COMMENT and noqa:
            silenced[token.start[0]] = noqa[1] or "E722 E711 B006"
    mutable = ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp
    found: list[Finding] = []

    def report(node: ast.expr | ast.ExceptHandler, code: str) -> None:
        if code not in silenced.get(node.lineno, ""):
            found.append(Finding(node.lineno, node.col_offset + 1, code))

    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler) and node.type is None:
            report(node, "E722")
        elif isinstance(node, ast.Compare):
            for sign, right in zip(node.ops, node.comparators, strict=True):
                if isinstance(sign, ast.Eq | ast.NotEq) and isinstance(right, ast.Constant) and right.value is None:
                    report(right, "E711")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for default in node.args.defaults + [each for each in node.args.kw_defaults if each]:
                called = default.func if isinstance(default, ast.Call) else None
                if isinstance(default, mutable) or getattr(called, "id", "") in ("list", "dict", "set"):
                    report(default, "B006")
    return sorted(found)


# %% wrong mini_linter fails=test_agrees_with_ruff_about_a_module
# "A linter is grep": text has no tree; comments, strings, chains and lambdas are all alike to it.
def lint(source: str) -> list[Finding]:
    """Return the findings of a module, sorted."""
    ast.parse(source)
    patterns = {
        "E722": r"(?P<at>except)\s*:",
        "E711": r"[=!]=\s*(?P<at>None)",
        "B006": r"def .*?=\s*(?P<at>\[|\{|list\(|dict\(|set\()",
    }
    found = []
    for number, line in enumerate(source.splitlines(), start=1):
        noqa = re.search(r"# noqa(?:: *((?:[A-Z]+\d+[, ]*)+))?", line)
        for code, pattern in patterns.items():
            if noqa and code in (noqa[1] or code):
                continue
            found += [Finding(number, match.start("at") + 1, code) for match in re.finditer(pattern, line)]
    return sorted(found)


# %% wrong mini_linter fails=test_a_string_is_no_comment
# "The comment is what follows the sign #": also in a string.
def lint(source: str) -> list[Finding]:
    """Return the findings of a module, sorted."""
    lines = source.split("\n")
    mutable = ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp
    found: list[Finding] = []

    def report(node: ast.expr | ast.ExceptHandler, code: str) -> None:
        line = lines[node.lineno - 1]
        noqa = re.search(r"# noqa(?:: *((?:[A-Z]+\d+[, ]*)+))?", line)
        if not noqa or (noqa[1] and code not in re.findall(r"\w+", noqa[1])):
            column = len(line.encode()[: node.col_offset].decode()) + 1
            found.append(Finding(node.lineno, column, code))

    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ExceptHandler) and node.type is None:
            report(node, "E722")
        elif isinstance(node, ast.Compare):
            for sign, right in zip(node.ops, node.comparators, strict=True):
                if isinstance(sign, ast.Eq | ast.NotEq) and isinstance(right, ast.Constant) and right.value is None:
                    report(right, "E711")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for default in node.args.defaults + [each for each in node.args.kw_defaults if each]:
                called = default.func if isinstance(default, ast.Call) else None
                if isinstance(default, mutable) or getattr(called, "id", "") in ("list", "dict", "set"):
                    report(default, "B006")
    return sorted(found)


# %% right mini_linter
class Rules(ast.NodeVisitor):
    """Visits a tree and collects places and codes."""

    def __init__(self) -> None:
        self.found: list[tuple[int, int, str]] = []

    def report(self, node: ast.expr | ast.ExceptHandler, code: str) -> None:
        self.found.append((node.lineno, node.col_offset, code))

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        if node.type is None:
            self.report(node, "E722")
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        for sign, right in zip(node.ops, node.comparators, strict=True):
            if isinstance(sign, ast.Eq | ast.NotEq) and isinstance(right, ast.Constant) and right.value is None:
                self.report(right, "E711")
        self.generic_visit(node)

    def visit_arguments(self, node: ast.arguments) -> None:
        for default in [*node.defaults, *node.kw_defaults]:
            kind = type(default).__name__
            if isinstance(default, ast.Call) and isinstance(default.func, ast.Name):
                kind = default.func.id
            if default and kind in {"list", "dict", "set", "List", "Dict", "Set", "ListComp", "DictComp", "SetComp"}:
                self.report(default, "B006")
        self.generic_visit(node)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self.visit(node.body)


def lint(source: str) -> list[Finding]:
    """Return the findings of a module, sorted."""
    rules = Rules()
    rules.visit(ast.parse(source))
    comments = {
        token.start[0]: token.string.partition("# noqa")
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }

    def silent(line: int, code: str) -> bool:
        _, sign, rest = comments.get(line, ("", "", ""))
        if not rest.startswith(":"):
            return bool(sign)
        for word in rest[1:].replace(",", " ").split():
            if not re.fullmatch(r"[A-Z]+\d+", word):
                return False
            if word == code:
                return True
        return False

    return sorted(
        Finding(line, len(source.split("\n")[line - 1].encode()[:offset].decode()) + 1, code)
        for line, offset, code in rules.found
        if not silent(line, code)
    )


# %% [markdown] hint mini_linter
# Two passes: `ast.walk` for the findings, `tokenize` for the comments by line. Print `ast.dump(ast.parse(…), indent=2)`
# of the examples, and look where `defaults` and `kw_defaults` are.

# %% [markdown] hint mini_linter
# `kw_defaults` has a None for each keyword-only parameter without a default. The column: take the line as bytes, cut it
# at `col_offset`, decode, and count. A `Compare` has lists, `ops` and `comparators`, that belong together pair by pair.

# %% [markdown] hint mini_linter
# Search the comment for `(?:: *((?:[A-Z]+\d+[, ]*)+))?` behind the word: without group 1 all codes are off, otherwise
# `re.findall(r"\w+", group)` are the codes. Then `sorted(Finding(…) for node, code in places() if …)`.

# %% [markdown] after mini_linter
# **Why two passes.** The tree is what the program means, the tokens are what the file says. Each rule reads the one
# where its question is easy: structure in the tree, comments and layout in the tokens. Formatters and fixers that have
# to give back every blank use a *concrete* tree (LibCST, ruff's own parser with trivia).
#
# **Why ruff is so much faster** than linters in Python: one parse and one walk for all rules together, files in
# parallel, a cache by content, and Rust. The design (one walk, many rules) is the same as here, and the reason for
# writing rules as `visit_…` methods.
#
# **False positives** decide whether people keep a linter. `m.list()` isn't a builtin, and `list` may have been
# redefined: ruff resolves the name in its scope before it reports. Where a rule must guess, it should stay silent, or
# be a hint and no error.
#
# **The interviewer goes on**: *How do you stop people from writing `noqa` on everything? (Count them in CI, and let the
# number only fall.) How would you find a call that is forbidden only in `async def`? (Keep a stack of functions while
# visiting.)*

# %% [markdown]
# ## Rules for an old code base
#
# Switching on two hundred rules on a Monday gives forty thousand findings, one enormous commit that conflicts with
# every open branch, and a team that hates the linter by Tuesday. What works:
#
# 1. **The formatter at once**, everywhere, in one commit, on a day without large open branches.
# 2. **A small `select`**, by use: `F` and the bugs of `B` first, `E`, `I`, `UP` next, `N`, `SIM`, `C4` where the team
#    wants them. List rules explicitly: what a tool selects by default changes with its versions (ruff 0.17 selects a
#    few hundred rules, older versions a part of `E` and `F`). Avoid `ALL`: it brings rules that contradict each other,
#    and new ones with every upgrade. Pin the version.
# 3. **Per-file ignores** for what is true of a folder: `assert` in tests, re-exports in `__init__.py`, names in
#    generated code. They are a policy; `noqa` is an exception, with a code and a reason.
# 4. **A baseline with a ratchet** for the rest: today's findings are counted by file and rule and committed; CI fails
#    where a count grows, and asks for a smaller baseline where it has shrunk. `ruff check --add-noqa` is the other
#    form: it writes a suppression into each line that has a finding, and `RUF100` reports those that aren't needed any
#    more.
# 5. **The same command everywhere**: editor, pre-commit, CI. pre-commit sees only the staged files and can be skipped
#    (`git commit --no-verify`): it is there for speed. CI sees all files and decides.
#
# The ratchet is a few lines:


# %%
def ratchet(baseline: Mapping[str, int], now: Mapping[str, int]) -> tuple[list[str], dict[str, int]]:
    """Return what has grown, and the baseline for the next time: it never rises."""
    grown = [
        f"{place}: {count}, allowed {baseline.get(place, 0)}"
        for place, count in sorted(now.items())
        if count > baseline.get(place, 0)
    ]
    lower = {place: min(allowed, now.get(place, 0)) for place, allowed in baseline.items() if now.get(place)}
    return grown, lower


january = {"tariffs.py E501": 40, "tariffs.py N802": 12, "orders.py B006": 3}
february = {"tariffs.py E501": 38, "tariffs.py N802": 12, "orders.py E722": 1}
worse, next_baseline = ratchet(january, february)
print("fails CI   :", worse)
print("new base   :", next_baseline)

# %% [markdown]
# Counting by file and rule is coarse on purpose: line numbers move with every edit. A finding that is swapped for
# another of the same kind slips through; that is cheap.
#
# The hooks, with the version pinned as in the requirements, and the line for CI:
#
# ```yaml
# # .pre-commit-config.yaml
# repos:
#   - repo: https://github.com/astral-sh/ruff-pre-commit
#     rev: v0.17.6
#     hooks:
#       - id: ruff-check
#         args: [--fix]
#       - id: ruff-format
# ```
#
# ```shell
# ruff check --output-format=github . && ruff format --check .
# ```
#
# With `--fix` the linter's hook comes before the formatter's, for fixes leave lines that want formatting. In CI nothing
# is fixed, only reported.
#
# A `pyproject.toml` is read from the folder upwards: the nearest one with a `[tool.ruff]` table counts, and *isn't*
# merged with those above it, unless it says `extend`. The target version comes from `target-version`, else from the
# project's `requires-python`: it decides which idioms `UP` offers. Wrong upwards, and ruff proposes what production
# can't run.

# %% [markdown] exercise ruff_policy topic=pep-8 level=senior minutes=15
# ## Exercise: The team's policy
#
# Below are the files of a small repository. The team has agreed on the following, and you write it down.
# `ruff_policy()` returns the text of the `pyproject.toml`; ruff is run with it in the repository's folder.
#
# * Production runs Python 3.11: idioms of 3.11 are asked for, none of a later version.
# * Lines have up to 100 characters; longer ones are reported.
# * Reported are the rules of `E`, `F`, `I`, `N`, `B` and `UP`, and the single rules `S101` (`assert`), `PGH004` (a
#   suppression without a code) and `RUF100` (one that suppresses nothing). No others.
# * Own code is what stands in `backend`: `shop` is first party in the order of imports.
# * In `tests` `assert` is allowed. In every `__init__.py` imports needn't be used: they are re-exports.
# * In `backend/shop/legacy` neither names (`N`) nor long lines (`E501`) are reported; everything else is.
# * `migrations` is generated and not looked at at all.
# * A call of `shop.di.Depends` in a default is a marker and allowed; other calls there are reported.
#
# Only what is said in the text counts: the files stay as they are, and the policy holds for files that will be added.
#
# ```python
# >>> sorted(ruff_report("[tool.ruff.lint]\nselect = ['S101']"))
# ['backend/shop/orders.py', 'migrations/0001_initial.py', 'tests/api/test_prices.py', 'tests/test_orders.py']
# >>> ruff_report("[tool.ruff.lint]\nselect = ['N806', 'N803']")
# {'backend/shop/legacy/eu/zones.py': [(1, 'N803')], 'backend/shop/legacy/tariffs.py': [(4, 'N803')]}
# >>> type(ruff_policy())
# <class 'str'>
# ```

# %%
REPOSITORY = {
    "backend/shop/__init__.py": "from shop.orders import total\n",
    "backend/shop/orders.py": """\
import datetime
from typing import Optional, TypeAlias

import requests

from shop.di import Depends, clock

Cents: TypeAlias = int


def total(rows: Optional[list[Cents]], session=Depends(clock), now=clock()) -> Cents:
    assert rows, "This message is not as long as it looks, but the line is longer than 88 columns."
    moment = datetime.datetime.now(datetime.timezone.utc)  # A comment that goes on and on, past 100.
    return sum(rows) + len(requests.get("https://prices.example/" + str(moment), timeout=5).text)


def Refund(rows):  # noqa
    return -total(rows)


def dismiss(rows):
    rows.clear()  # noqa: B006
""",
    "backend/shop/legacy/tariffs.py": """\
import os


def Tariff(Weight, seen=[]):
    text = "The name of the function and that of its argument are older than this team, as is this line."  # and more
    return seen + [Weight, text == None]
""",
    "tests/test_orders.py": """\
import pytest
from shop import total
import json


def test_total():
    assert total([1]) == 1
    assert json and pytest and total == None
""",
    "backend/shop/legacy/eu/zones.py": "def Zone(Name):\n    return Name\n",
    "tests/api/test_prices.py": "def test_price():\n    assert int('1')\n",
    "tests/conftest.py": """\
import pytest

from shop import total


@pytest.fixture
def of_nothing():
    return total([0])
""",
    "migrations/0001_initial.py": "import os, sys\ndef Apply(x=[]): assert x == None\n",
}


@functools.cache
def ruff_report(config: str) -> dict[str, list[tuple[int, str]]]:
    """Return ruff's findings in the repository by file, with this text as its `pyproject.toml`."""
    with tempfile.TemporaryDirectory(prefix="policy-") as folder:
        for name, text in {**REPOSITORY, "pyproject.toml": config}.items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        command = ["check", "--output-format=json", "--no-cache", "--quiet", "--config=pyproject.toml", "."]
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command], cwd=folder, capture_output=True, encoding="utf-8", check=False
        )
        if done.returncode > 1:
            raise ValueError(done.stderr)
        report: dict[str, list[tuple[int, str]]] = {}
        for each in json.loads(done.stdout):
            name = Path(each["filename"]).relative_to(Path(folder).resolve()).as_posix()
            report.setdefault(name, []).append((each["location"]["row"], each["code"]))
    return {name: sorted(report[name]) for name in sorted(report)}


ORDERS = "backend/shop/orders.py"


def codes_in(name: str, config: str) -> set[str]:
    """Return the codes that a policy reports in a file."""
    return {code for _, code in ruff_report(config).get(name, [])}


# %% solution ruff_policy
def ruff_policy() -> str:
    """Return the text of the team's `pyproject.toml`."""
    # BEGIN SOLUTION
    return """
[tool.ruff]
target-version = "py311"
line-length = 100
src = ["backend"]
extend-exclude = ["migrations"]

[tool.ruff.lint]
select = ["E", "F", "I", "N", "B", "UP", "S101", "PGH004", "RUF100"]

[tool.ruff.lint.per-file-ignores]
"tests/**" = ["S101"]
"__init__.py" = ["F401"]
"backend/shop/legacy/**" = ["N", "E501"]

[tool.ruff.lint.flake8-bugbear]
extend-immutable-calls = ["shop.di.Depends"]
"""
    # END SOLUTION


# %% check ruff_policy points=2
def test_it_is_toml_that_ruff_accepts() -> None:
    assert "ruff" in tomllib.loads(ruff_policy())["tool"], "the table is [tool.ruff]"
    assert ruff_report(ruff_policy()), "ruff refuses unknown keys and rules; there are findings in these files"


def test_asserts_are_reported_in_the_product_and_allowed_in_tests() -> None:
    assert "S101" in codes_in("backend/shop/orders.py", ruff_policy()), "python -O takes it away: no check of data"
    assert "S101" not in codes_in("tests/test_orders.py", ruff_policy()), "that is what pytest works with"


# %% hidden ruff_policy points=4
def test_long_lines_are_those_above_one_hundred() -> None:
    lines = [line for line, code in ruff_report(ruff_policy())[ORDERS] if code == "E501"]
    assert lines == [13], "line 12 has fewer than 100, line 13 more"


def test_idioms_of_the_version_in_production() -> None:
    found = [(line, code) for line, code in ruff_report(ruff_policy())[ORDERS] if code.startswith("UP")]
    assert found == [(11, "UP045"), (13, "UP017")], "datetime.UTC came with 3.11; the type statement only with 3.12"


def test_only_markers_are_allowed_in_defaults() -> None:
    found = [(line, code) for line, code in ruff_report(ruff_policy())[ORDERS] if code == "B008"]
    assert found == [(11, "B008")], "Depends() is a marker, clock() is called once, at the import"


def test_suppressions_need_a_code_and_a_purpose() -> None:
    found = [(line, code) for line, code in ruff_report(ruff_policy())[ORDERS] if code in ("PGH004", "RUF100")]
    assert found == [(17, "PGH004"), (22, "RUF100")], "one hides everything, one hides nothing"


def test_own_code_is_sorted_behind_third_parties() -> None:
    assert "I001" not in codes_in("tests/conftest.py", ruff_policy()), "pytest is third party, shop is ours"
    assert "I001" in codes_in("tests/test_orders.py", ruff_policy()), "json belongs above both"


def test_re_exports_are_no_unused_imports_elsewhere_they_are() -> None:
    assert codes_in("backend/shop/__init__.py", ruff_policy()) == set(), "a package's face"
    assert "F401" in codes_in("backend/shop/legacy/tariffs.py", ruff_policy()), "an unused import in a module is one"


def test_in_the_legacy_folder_bugs_are_still_reported() -> None:
    found = ruff_report(ruff_policy())["backend/shop/legacy/tariffs.py"]
    assert found == [(1, "F401"), (4, "B006"), (6, "E711")], "neither names nor long lines, everything else"


def test_generated_files_are_not_looked_at() -> None:
    assert codes_in("migrations/0001_initial.py", ruff_policy()) == set(), "nobody edits them"


def test_nothing_else_is_reported() -> None:
    found = {name: {code for _, code in each} for name, each in ruff_report(ruff_policy()).items()}
    assert found == {
        "backend/shop/legacy/tariffs.py": {"F401", "B006", "E711"},
        ORDERS: {"UP045", "B008", "S101", "E501", "UP017", "PGH004", "RUF100"},
        "tests/test_orders.py": {"I001", "E711"},
    }, "the rules that were agreed on, in the files that they hold for"


# %% wrong ruff_policy fails=test_in_the_legacy_folder_bugs_are_still_reported
# "Old code is excluded": its bugs are too, and every file that is moved there.
def ruff_policy() -> str:
    """Return the text of the team's `pyproject.toml`."""
    return """
[tool.ruff]
target-version = "py311"
line-length = 100
src = ["backend"]
extend-exclude = ["migrations", "backend/shop/legacy"]
lint.select = ["E", "F", "I", "N", "B", "UP", "S101", "PGH004", "RUF100"]
lint.per-file-ignores = {"tests/**" = ["S101"], "__init__.py" = ["F401"]}
lint.flake8-bugbear.extend-immutable-calls = ["shop.di.Depends"]
"""


# %% wrong ruff_policy fails=test_only_markers_are_allowed_in_defaults
# "The framework needs B008 off": for one marker all the calls at import time go unseen.
def ruff_policy() -> str:
    """Return the text of the team's `pyproject.toml`."""
    return """
[tool.ruff]
target-version = "py311"
line-length = 100
src = ["backend"]
extend-exclude = ["migrations"]
lint.select = ["E", "F", "I", "N", "B", "UP", "S101", "PGH004", "RUF100"]
lint.ignore = ["B008"]
lint.per-file-ignores = {"tests/**" = ["S101"], "__init__.py" = ["F401"], "backend/shop/legacy/**" = ["N", "E501"]}
"""


# %% wrong ruff_policy fails=test_idioms_of_the_version_in_production
# "The newest target gives the most modern code": production can't parse `type Cents = int`.
def ruff_policy() -> str:
    """Return the text of the team's `pyproject.toml`."""
    return """
[tool.ruff]
target-version = "py313"
line-length = 100
src = ["backend"]
extend-exclude = ["migrations"]
lint.select = ["E", "F", "I", "N", "B", "UP", "S101", "PGH004", "RUF100"]
lint.per-file-ignores = {"tests/**" = ["S101"], "__init__.py" = ["F401"], "backend/shop/legacy/**" = ["N", "E501"]}
lint.flake8-bugbear.extend-immutable-calls = ["shop.di.Depends"]
"""


# %% wrong ruff_policy fails=test_own_code_is_sorted_behind_third_parties
# "ruff finds out what is ours": it looks in the project's folder and in src, and this code is in backend.
def ruff_policy() -> str:
    """Return the text of the team's `pyproject.toml`."""
    return """
[tool.ruff]
target-version = "py311"
line-length = 100
extend-exclude = ["migrations"]
lint.select = ["E", "F", "I", "N", "B", "UP", "S101", "PGH004", "RUF100"]
lint.per-file-ignores = {"tests/**" = ["S101"], "__init__.py" = ["F401"], "backend/shop/legacy/**" = ["N", "E501"]}
lint.flake8-bugbear.extend-immutable-calls = ["shop.di.Depends"]
"""


# %% right ruff_policy
def ruff_policy() -> str:
    """Return the text of the team's `pyproject.toml`."""
    return """
[project]
name = "shop"
version = "1.0"
requires-python = ">=3.11"

[tool.ruff]
exclude = ["migrations"]
line-length = 100

[tool.ruff.lint]
select = ["E", "F", "I", "N", "B", "UP", "S101", "PGH004", "RUF100"]
isort.known-first-party = ["shop"]
flake8-bugbear.extend-immutable-calls = ["shop.di.Depends"]

[tool.ruff.lint.extend-per-file-ignores]
"tests/*.py" = ["S101"]
"**/__init__.py" = ["F401"]
"backend/shop/legacy/*" = ["N", "E501"]
"""


# %% [markdown] hint ruff_policy
# Begin with `[tool.ruff]` (version, length, folders) and `[tool.ruff.lint]` (`select`), look at
# `ruff_report(ruff_policy())`, and take one line of the agreement after another.

# %% [markdown] hint ruff_policy
# `[tool.ruff.lint.per-file-ignores]` maps a glob pattern to codes. Where ruff looks for first-party packages is `src`.
# What isn't checked at all is `extend-exclude`.

# %% [markdown] hint ruff_policy
# For the markers: `[tool.ruff.lint.flake8-bugbear]` with `extend-immutable-calls = ["shop.di.Depends"]`. For the legacy
# folder: `"backend/shop/legacy/**" = ["N", "E501"]`.

# %% [markdown] after ruff_policy
# **Why so, and not broader.** Each line takes away as little as it can: a rule in a folder, not the folder; one call,
# not the rule. What is excluded is invisible for ever, also when somebody moves a new file there. `extend-exclude` adds
# to the built-in list (`.venv`, `node_modules` …); `exclude` replaces it, which is right only by luck.
#
# **`E501` and the formatter.** The formatter breaks what it can, and leaves long strings and comments; E501 reports
# these. Many teams drop E501 and let the formatter have the last word. `W` is covered by the formatter too, unlike
# `E711` to `E741`, which no formatter touches.
#
# **Blanket `noqa`.** Line 17 hides N802, as meant, and also every other finding that this line will ever have. PGH004
# asks for the code; and PGH004 itself can't be hidden by the comment that it reports.
#
# **The interviewer goes on**: *Two teams in one repository want different rules? (A `pyproject.toml` in each folder,
# with `extend` to the common one.) Who decides about a new rule? (Whoever proposes it brings the number of findings and
# the commit that mends them.)*

# %% [markdown]
# ## Reviewing a commit of style
#
# "PEP 8 cleanup, no functional change": three hundred lines, approved after a minute. What to look for, in the order of
# damage: **conditions** that decide differently for some value (`== None`, `!= 0`, `is`); **interfaces** (names that
# others write); **effects** that run no longer, or more often; **objects** that are now shared or changed in place;
# handlers and comments that **hide** more than before. What helps: formatting in a commit of its own (`ruff format`
# reproduces it, nobody has to read it), and `git diff --ignore-all-space --color-moved` for the rest.
#
# This is such a diff. What is known: `limit` may be 0 (a blocked customer) or None (no limit); `lines` is a list;
# `status` and `channel` are read from JSON; `check` notes each violation in the audit log and returns whether there was
# one; `load_address` asks another service; several repositories call `send` and hand their own lists to `merge`;
# `shop.signals` registers handlers when it is imported; `cents` and `euros` are all that is used of `shop.money`, here
# and by way of this module; `discount` is a number or None; `tag` is called with a list or without.

# %%
STYLE_DIFF = """
 import json
-import shop.signals
-import os, sys
+import os
+import sys
-from shop.money import *
+from shop.money import cents, euros

-def send(order, dryRun=False):
-    if order.discount == None:
+def send(order, dry_run=False):
+    if order.discount is None:
         order.discount = default_discount(order)
-    if order.limit != None and order.cents > order.limit:
+    if order.limit and order.cents > order.limit:
         raise LimitExceeded(order)
-    if len(order.lines) == 0:
+    if not order.lines:
         return None
-    if order.status == "paid":
+    if order.status is "paid":
         archive(order)
-    if any([check(line) for line in order.lines]):
+    if any(check(line) for line in order.lines):
         return None
-    if order.customer in known.keys():
-        address = known[order.customer]
-    else:
-        address = load_address(order.customer)
+    address = known.get(order.customer, load_address(order.customer))
     try:
         channel = CHANNELS[json.loads(order.raw)["channel"]]
-    except (KeyError, ValueError):
+    except Exception:
         channel = CHANNELS["mail"]
-    if dryRun == False:
+    if not dry_run:
         channel.send(order, address)

 def merge(rows, more, seen=()):
-    rows = rows + [row for row in more if not row in seen]
-    names = list(map(lambda row: row.name, rows))
+    rows += [row for row in more if row not in seen]
+    names = [row.name for row in rows]
     return rows, names

-def tag(order, labels=None):
-    labels = [] if labels is None else labels
+def tag(order, labels=[]):
     labels.append(order.status)
-    order.labels = dict([(label, True) for label in labels])
+    order.labels = {label: True for label in labels}
     return labels
-from shop.legacy import prices
+from shop.legacy import prices  # noqa
"""


def lines_of(kind: str, review: Mapping[int, str]) -> set[int]:
    """Return the lines that a review gives a kind."""
    return {line for line, each in review.items() if each == kind}


STYLE_LINES = len(STYLE_DIFF.strip("\n").splitlines())
for number, line in enumerate(STYLE_DIFF.strip("\n").splitlines(), start=1):
    print(f"{number:>3} {line}")

# %% [markdown] exercise review_style topic=pep-8 level=senior minutes=10
# ## Exercise: Review the style commit
#
# Ten lines of the diff change what the program does, or may do after the next edit, for callers and data as described
# above. `review_style()` returns a dict from the number of the line **in the diff** to the kind of its defect, one of
# these five strings (each occurs at least once):
#
# * `"condition"`: the condition in this line decides differently for some value than the one before
# * `"interface"`: callers elsewhere that were right break by this line
# * `"effect"`: not by way of a condition that decides differently, something that ran doesn't run any more for some
#   input, or runs where it didn't
# * `"shared"`: this line makes calls share an object, or changes one that belongs to the caller
# * `"hides"`: this line catches or silences more than what was there
#
# Name the added line (`+`), or the removed one (`-`) where nothing takes its place. Each line has one kind. What stays
# right is left out, even if you would write it in another way. Each of `dry_run`'s values is True or False.
#
# ```python
# >>> len(review_style())
# 10
# >>> sorted(set(review_style().values()))
# ['condition', 'effect', 'hides', 'interface', 'shared']
# >>> review_style()[5]
# Traceback (most recent call last):
# KeyError: 5
# ```


# %% solution review_style
def review_style() -> dict[int, str]:
    """Return the kind of defect by line of the diff."""
    # BEGIN SOLUTION
    return {
        2: "effect",
        11: "interface",
        15: "condition",
        21: "condition",
        24: "effect",
        30: "effect",
        34: "hides",
        43: "shared",
        49: "shared",
        55: "hides",
    }
    # END SOLUTION


# %% check review_style points=1
def test_names_lines_of_the_diff_and_kinds_of_the_list() -> None:
    found = review_style()
    assert set(found) <= set(range(1, STYLE_LINES + 1)), "a number that is no line of the diff"
    kinds = {"condition", "interface", "effect", "shared", "hides"}
    assert set(found.values()) <= kinds, "a kind that isn't listed"


def test_finds_what_the_editor_would_have_marked() -> None:
    assert lines_of("hides", review_style()) == {34, 55}, (
        "every error of the try is 'mail' now; a suppression without a code hides all"
    )


# %% hidden review_style points=3
def test_finds_the_conditions_that_decide_differently() -> None:
    assert lines_of("condition", review_style()) == {15, 21}, (
        "a limit of 0 is a limit; a text from JSON is equal to 'paid', not the same"
    )


def test_finds_the_name_that_callers_use() -> None:
    assert lines_of("interface", review_style()) == {11}, (
        "send(order, dryRun=True) is a TypeError in the other repositories"
    )


def test_finds_what_no_longer_runs_or_runs_too_often() -> None:
    assert lines_of("effect", review_style()) == {2, 24, 30}, (
        "handlers, entries of the audit log, a call of another service each time"
    )


def test_finds_what_is_shared() -> None:
    assert lines_of("shared", review_style()) == {43, 49}, "+= changes the caller's list; a default is made once"


# %% wrong review_style fails=test_finds_what_no_longer_runs_or_runs_too_often
# "Shorter means the same": any() stops at the first, and an argument is evaluated before the call.
def review_style() -> dict[int, str]:
    """Return the kind of defect by line of the diff."""
    return {
        2: "effect",
        7: "effect",
        11: "interface",
        15: "condition",
        21: "condition",
        34: "hides",
        43: "shared",
        49: "shared",
        52: "effect",
        55: "hides",
    }


# %% wrong review_style fails=test_finds_the_conditions_that_decide_differently
# "Truthiness is fine where None is meant": it is for a list and isn't for a number that may be 0.
def review_style() -> dict[int, str]:
    """Return the kind of defect by line of the diff."""
    return {
        2: "effect",
        11: "interface",
        18: "condition",
        21: "condition",
        24: "effect",
        30: "effect",
        34: "hides",
        43: "shared",
        49: "shared",
        55: "hides",
    }


# %% wrong review_style fails=test_finds_what_is_shared
# "+= is short for = … +": for a list it is `extend`, in place, and the list is the caller's.
def review_style() -> dict[int, str]:
    """Return the kind of defect by line of the diff."""
    return {
        2: "effect",
        11: "interface",
        15: "condition",
        21: "condition",
        24: "effect",
        30: "effect",
        34: "hides",
        44: "shared",
        49: "shared",
        55: "hides",
    }


# %% [markdown] hint review_style
# Take the five kinds one after another, and go through the diff for each. For a condition try None, 0, `""`, `[]` and
# an equal but different object. For an effect ask what is evaluated, how often, and when.

# %% [markdown] hint review_style
# Two conditions, one interface, three effects, two shared objects, two lines that hide. Among the lines that stay right
# are the split imports, the empty list, the comprehensions and `not dry_run`.

# %% [markdown] hint review_style
# Look again at: the import that went; the limit of a blocked customer; where the text `"paid"` comes from; what `any`
# does after the first True; when `load_address` is called; whose list `rows` is.

# %% [markdown] after review_style
# * **2, effect**: F401 calls it unused; it was there for its effect. Back in, with a code and a reason.
# * **11, interface**: keep `dryRun`, or accept both for a while.
# * **15, condition**: a blocked customer (limit 0) orders without limit. `is not None`.
# * **21, condition**: literals are interned, texts from JSON aren't; nothing is archived any more. Python itself warns
#   (`SyntaxWarning`), ruff says F632.
# * **24, effect**: the list ran `check` for every line, the generator stops at the first violation. ruff's C419
#   proposes just this, as an unsafe fix. If a function is called for its effect, write a loop.
# * **30, effect**: `load_address` is called for each order, known or not; SIM401 stays silent for such a default.
# * **34, hides**: a `TypeError` of ours becomes a mail.
# * **43, shared**: `rows = rows + …` made a new list; `+=` is `extend`.
# * **49, shared**: the mutable default; here it also ends up in what is returned.
# * **55, hides**: a suppression without a code hides this finding and every other that the line will ever have.
#
# Right: the imports split in two (4, 5), the explicit names (7), `is None` for a number (12), `not order.lines` for a
# list (18), `not dry_run` for a flag with two values (37), `not in`, both comprehensions.
#
# **The interviewer goes on**: *What would you ask of the author? (Three commits: format; safe fixes by a named command;
# the rest with tests.) Which of the ten would a type checker have found? (The interface, in the repositories that are
# checked with it. Nothing else.)*

# %% [markdown]
# ## The interview
#
# Say your answer aloud before you unfold one.

# %% [markdown] interview
# ### What is PEP 8 for, and when do you break it?
#
# It makes code look alike, so that reading costs nothing extra: it is about the reader. Its own first rule is that
# consistency with the code around goes first. I leave it where it would break callers (a public name), where it makes
# the code less readable (a table by hand), or where an interface dictates the form (`visit_Name`, `setUp`); with a
# suppression that names code and reason. The layout I don't know by heart: a formatter does it.

# %% [markdown] interview
# ### What is the difference between a formatter, a linter and a type checker?
#
# A formatter prints the same tree in one canonical layout and decides nothing else. A linter looks for patterns in
# tree, tokens and scopes: style, outdated idioms, likely bugs; it guesses about values. A type checker derives what
# types values have across functions and modules, and proves the absence of a class of errors, as far as `Any` lets it.
# None says whether names are good or the design holds: that is the review, and it has time for it once the tools have
# done the rest.

# %% [markdown] interview
# ### How do you bring a linter into a code base of ten years?
#
# The formatter in one commit, listed in `.git-blame-ignore-revs`. Then few rules, the ones that find bugs, with the
# findings mended and not suppressed. For the rest a baseline by file and rule that may only fall, checked in CI, so
# that new code is clean from the first day and old code when it is touched. Per-file ignores for what is true of a
# folder. Safe fixes by machine in commits of their own; unsafe ones read. And the version pinned, since new versions
# bring new findings.

# %% [markdown] interview
# ### Which lint findings would you stop a release for?
#
# Those that are bugs: undefined names (F821), mutable defaults (B006), closures over loop variables (B023), bare
# `except` in anything asynchronous or long running, `is` with a literal (F632), an f-string without its f in a log,
# `assert` as validation of data (S101), a coroutine that isn't awaited or a task that nobody holds (RUF006). Not for a
# line of 101 characters.

# %% [markdown] interview
# ### A colleague and you disagree on style in every review. What do you do?
#
# Take the question out of the review: if a tool can decide it, we choose the tool's default and never talk about it
# again. If no tool can, we decide once, in writing, with an example, in the team's guide. What is left is taste, and I
# mark it as such ("nit") and approve. A review that is all commas finds no bugs.

# %% [markdown]
# ## Pitfalls seen in reviews
#
# * `noqa` without a code; a `noqa` on the wrong line of a multi-line statement; one whose reason is gone.
# * Formatting and a change of behaviour in one commit: nobody can read it.
# * `--unsafe-fixes` over the whole repository, without tests for the code that it changes.
# * `if x:` for `if x is not None:`; `x or default` where 0, `""` or `[]` is a value.
# * Renaming parameters, JSON keys or attributes "for PEP 8".
# * Removing an "unused" import that registers, patches or re-exports.
# * `select = ["ALL"]` and a list of sixty ignores, which nobody can explain.
# * A `target-version` newer than production; a different ruff in pre-commit and in CI.
# * `except Exception: pass` to satisfy E722.
# * Comments that say what the name should have said; abbreviations that only their author reads.
#
# ## Where to read on
#
# * [PEP 8](https://peps.python.org/pep-0008/), above all its second section; [PEP
#   20](https://peps.python.org/pep-0020/); [PEP 257](https://peps.python.org/pep-0257/) on docstrings
# * ruff: [Rules](https://docs.astral.sh/ruff/rules/), [The Ruff Linter](https://docs.astral.sh/ruff/linter/) (rule
#   selection, safety of fixes, suppression), [The Ruff Formatter](https://docs.astral.sh/ruff/formatter/), [Configuring
#   Ruff](https://docs.astral.sh/ruff/configuration/)
# * [The Black code style](https://black.readthedocs.io/en/stable/the_black_code_style/current_style.html), with the
#   reasons for each decision
# * [pre-commit](https://pre-commit.com/); git's [`blame.ignoreRevsFile`](https://git-scm.com/docs/git-blame)
# * [Google Python Style Guide](https://google.github.io/styleguide/pyguide.html): a team's guide that goes beyond
#   layout
# * Python documentation: [`ast`](https://docs.python.org/3/library/ast.html),
#   [`tokenize`](https://docs.python.org/3/library/tokenize.html)
