# %% [markdown]
# # Documentation
#
# *"How do you keep the documentation of a service true?"* A junior answer says that everybody has to write more of it.
# A senior answer says where each fact has its one place; which part a machine can check, so that it fails on the day on
# which it becomes false; which part is a promise to callers and can't be changed any more; and what is better not
# written down. The follow-up is a docstring that everybody has copied for three years, and that is wrong.
#
# Documentation is treated here as code is: **docstrings** are read by ruff's rules and their examples run by `doctest`,
# **type hints** are read by mypy, and a **README** is run line by line against the package that it describes. No answer
# is marked by taste.
#
# **Assumed**: [decorators](03_decorators.ipynb) and [type hints](06_type_hints.ipynb). **Left out**: building sites
# with Sphinx or MkDocs, decision records and technical writing, which belong to other sections of the course.

# %%
import ast
import atexit
import doctest
import functools
import html
import inspect
import json
import linecache
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import textwrap
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from mypy import api
from typing_extensions import deprecated

from autograder.notebook.figures import explore

# %% [markdown]
# ## Each fact has one place
#
# | the fact | its place | who checks it |
# | --- | --- | --- |
# | what goes in, what comes out, may it be None | **type hint** | mypy, at each caller |
# | unit, range, order, errors; who owns what is passed; may I call it twice | **docstring** | doctest in part; review |
# | why so and not otherwise, here | comment beside the line | nobody: keep it short |
# | why so and not otherwise, in the large | decision record (ADR) | dated, never edited |
# | what it is, how to install it, the first call | **README** | run it in CI |
# | what has changed for those who use it | changelog | review |
# | why this change | commit message | fixed for ever |
# | which version, which Python, which dependencies | `pyproject.toml` | the installer |
#
# A fact with two places becomes two facts at the next change. `Returns: int: …` repeats the hint; "version 4.2" in the
# README repeats `pyproject.toml`; a comment that says what the next line does repeats the line. What is left for prose
# is what no machine can know: meaning, reasons, promises.
#
# **What a docstring is.** A string literal that is the first statement of a module, class or function. The compiler
# puts it into `__doc__`; `help()`, editors and Sphinx read it from there or from the source.


# %%
class Carrier:
    """Brings parcels."""

    limit = 30_000
    """Grams. No docstring: Python throws this string away, though Sphinx reads it from the source."""

    def fee(self, grams: int) -> int:
        """Return the fee in cents.

        Started kilograms count as whole ones.
        """
        return 490 + 90 * -(-grams // 1000)


class Bicycle(Carrier):
    def fee(self, grams: int) -> int:
        f"""Return the fee in cents, up to {self.limit} g."""  # noqa: B021 - shows that it is no docstring
        return 250


print("as it is stored   :", repr(Carrier.fee.__doc__)[:72])
print("getdoc, cleaned   :", repr(inspect.getdoc(Carrier.fee)))
print("Bicycle.fee       :", Bicycle.fee.__doc__, "(an f-string is an expression, no literal)")
print("getdoc inherits   :", repr(inspect.getdoc(Bicycle().fee))[:40])
stripped = subprocess.run(
    [sys.executable, "-OO", "-c", "def f():\n 'Return nothing.'\nprint(f.__doc__)"], capture_output=True, text=True
)
print("under python -OO  :", stripped.stdout.strip(), "(a command line that prints its __doc__ as help prints None)")

# %% [markdown]
# **Its form.** PEP 257: a summary line that fits on one line and ends with a full stop, then a blank line, then the
# rest. Within that there are three styles: Google's (`Args:`, `Returns:` or `Yields:`, `Raises:`), NumPy's (underlined
# headings) and Sphinx's fields (`:param x:`). Choose one for the repository and let a tool hold it. ruff's rules `D…`
# come from pydocstyle; `lint.pydocstyle.convention = "google"` switches those off that the style contradicts. The rules
# `DOC…` (from pydoclint, in preview) compare a docstring with the body: returns, yields, `raise`.
#
# **Its content** is the contract: what a caller has to know and can't see in the signature.
#
# * Units and ranges: "grams, above 0". Nobody sees in `timeout: int` whether 30 is half a minute or 30 ms.
# * What is raised, *and when*: a generator raises while it is iterated over, not at the call.
# * What happens at the edges: nothing found, equal elements, empty input.
# * Whose the argument is afterwards (is it kept? changed?), and whether a call may be repeated.
#
# What it does **not** say: how it works inside (that may change tomorrow), who calls it, and the types once more.
#
# These helpers read a docstring, ask ruff, and run examples; the exercises use them too. A warning for your own trials:
# IPython takes the `>>>` out of most strings of a cell, as if they had been pasted from a session. Docstrings it leaves
# alone, so write examples in docstrings.

# %%
CONTRACT_RULES = "D,DOC102,DOC201,DOC202,DOC402,DOC403,DOC501"


@functools.cache
def ruff_findings(source: str, select: str = CONTRACT_RULES) -> list[str]:
    """Return what ruff says of the docstrings of a module in Google style: line, code, message."""
    options = ["--preview", "--config=lint.explicit-preview-rules=true", "--ignore=D100"]
    options += ["--config=lint.pydocstyle.convention='google'", f"--select={select}", "--output-format=json"]
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--no-cache", "--quiet", *options, "-"]
    done = subprocess.run(command, input=source, capture_output=True, encoding="utf-8", check=False)
    if done.returncode > 1:
        raise RuntimeError(done.stderr)
    return [f"{each['location']['row']}: {each['code']} {each['message']}" for each in json.loads(done.stdout)]


def entries(docstring: str | None, section: str) -> dict[str, str]:
    """Return the entries of a section ("Args", "Raises") of a Google style docstring: text by name."""
    found: dict[str, str] = {}
    inside, name = False, ""
    for line in inspect.cleandoc(docstring or "").splitlines():
        if line and not line[0].isspace():
            inside, name = line == f"{section}:", ""
        elif inside and (entry := re.fullmatch(r" {2,4}(\*{0,2}\w+)( \(.*?\))?:(.*)", line)):
            name = entry[1]
            found[name] = entry[3].strip()
        elif inside and name:
            found[name] = f"{found[name]} {line.strip()}".strip()
    return found


def section_text(docstring: str | None, section: str) -> str:
    """Return the text of a section of a Google style docstring; "" where there is none."""
    found = re.search(rf"^{section}:\n((?:[ ]+.*\n|\n)*)", inspect.cleandoc(docstring or "") + "\n", re.MULTILINE)
    return textwrap.dedent(found[1]).strip() if found else ""


class Examples(doctest.DocTestRunner):
    """Runs examples and notes what is wrong with them, a line each."""

    def __init__(self) -> None:
        super().__init__(verbose=False)
        self.problems: list[str] = []

    def report_failure(self, out: Any, test: doctest.DocTest, example: doctest.Example, got: str) -> None:
        self.note(test, example, got.strip().splitlines()[-1:])

    def report_unexpected_exception(
        self, out: Any, test: doctest.DocTest, example: doctest.Example, exc_info: Any
    ) -> None:
        self.note(test, example, [f"{exc_info[0].__name__}: {exc_info[1]}"])

    def note(self, test: doctest.DocTest, example: doctest.Example, got: list[str]) -> None:
        line = (test.lineno or 0) + example.lineno + 1
        self.problems.append(f"line {line}: {example.source.strip()} gives {' '.join(got) or 'nothing'}")


def examples_in(text: str | None) -> list[doctest.Example]:
    """Return the examples of a text."""
    return doctest.DocTestParser().get_examples(text or "")


def run_examples(text: str | None, names: dict[str, Any], first_line: int = 1) -> list[str]:
    """Run the examples of a text with these names, to which theirs are added; return what is wrong, a line each."""
    test = doctest.DocTestParser().get_doctest(text or "", {}, "examples", None, first_line - 1)
    test.globs = names
    runner = Examples()
    # At its end it calls sys.settrace with what was set before, so that a debugger goes on.
    runner.run(test, out=lambda _: None, clear_globs=False)
    return runner.problems


print(ruff_findings("def fee(grams, rate):\n    '''computes the fee\n\n    Args:\n        grams: Weight.\n    '''\n"))
print(run_examples(">>> 0.1 + 0.2\n0.3\n>>> [1, 2][5]\n'none'\n", {}))

# %% [markdown]
# ### Which tool notices which lie?
#
# Here is a function whose documentation is complete and true. Then somebody changes the code and leaves the docstring
# as it is, in eight ways. Four tools look at it: ruff's pydocstyle rules, its pydoclint rules, mypy (with one caller),
# and doctest. Move the slider, or read the table.

# %%
FEE = textwrap.dedent(
    '''\
    def fee(grams: int, *, express: bool = False) -> int:
        """Return the fee of a parcel in cents.

        Args:
            grams: The weight, above 0.
            express: Whether it has to be there the next day, which doubles the fee.

        Returns:
            The fee in cents; each started kilogram counts.

        Raises:
            ValueError: If the weight isn't above 0.

        Examples:
            >>> fee(500)
            580
            >>> fee(0)
            Traceback (most recent call last):
            ValueError: no weight
        """
        if grams <= 0:
            raise ValueError("no weight")
        cents = 490 + 90 * -(-grams // 1000)
        return 2 * cents if express else cents
    '''
)
CALLER = "\nto_pay: int = fee(grams=500)\n"
DRIFTS: dict[str, list[tuple[str, str]]] = {
    "a parameter is renamed": [("grams: int", "weight: int"), ("grams <= 0", "weight <= 0"), ("-grams", "-weight")],
    "a parameter is added": [("*, express", "*, insured: bool = False, express")],
    "a default is turned round": [("express: bool = False", "express: bool = True")],
    "another error is raised": [("raise ValueError", "raise OverflowError")],
    "None for what is too heavy": [
        (") -> int", ") -> int | None"),
        ("cents = 490", "if grams > 30_000:\n        return None\n    cents = 490"),
    ],
    "kilograms instead of grams": [("-(-grams // 1000)", "grams")],
    "above 10 kg it gets dearer": [("cents = 490", "cents = 490 + 500 * (grams > 10_000)")],
    "a look-up that may fail": [("cents = 490", "cents = {False: 490}[grams > 10_000]")],
}


def drifted(replacements: Iterable[tuple[str, str]]) -> str:
    """Return the function with its code changed and its docstring as it was."""
    head, docstring, body = re.split(r'(""".*""")', FEE, flags=re.DOTALL)
    for old, new in replacements:
        head, body = head.replace(old, new), body.replace(old, new)
    return head + docstring + body


TYPES = tempfile.mkdtemp(prefix="mypy-")  # what mypy knows of the standard library, for the second run
atexit.register(shutil.rmtree, TYPES, ignore_errors=True)


def mypy_errors(sources: Mapping[str, str], *options: str) -> dict[str, list[str]]:
    """Return mypy's errors in each of the modules, all read in one run."""
    folder = Path(tempfile.mkdtemp(prefix="docs-"))
    try:
        for name, source in sources.items():
            (folder / f"{name}.py").write_text(source, encoding="utf-8")
        paths = [str(folder / f"{name}.py") for name in sources]
        strict = ["--strict", "--config-file=", f"--cache-dir={TYPES}", "--no-site-packages", "--no-error-summary"]
        said = api.run([*strict, *options, *paths])[0]
    finally:
        shutil.rmtree(folder)
    told = re.findall(r"(\w+)\.py:\d+: error: (.*)", said)
    return {name: [message for where, message in told if where == name] for name in sources}


def doctest_errors(source: str) -> list[str]:
    """Return which examples of the function fail."""
    names: dict[str, Any] = {}
    exec(source, names)  # this lesson's own text
    return run_examples(names["fee"].__doc__, names)


versions = {f"v{number}": drifted(change) for number, change in enumerate(DRIFTS.values(), start=1)}
by_mypy = mypy_errors({name: source + CALLER for name, source in versions.items()})
noticed = {
    name: {
        "ruff D": ruff_findings(source, "D"),
        "ruff DOC": ruff_findings(source, "DOC102,DOC201,DOC202,DOC402,DOC403,DOC501"),
        "mypy": by_mypy[name],
        "doctest": doctest_errors(source),
    }
    for name, source in versions.items()
}


@dataclass(frozen=True, repr=False)
class Drift:
    """Which tools notice each change, and what they say of the chosen one."""

    chosen: int

    def __repr__(self) -> str:
        tools = list(noticed["v1"])
        lines = [f"{'the code changes, the docstring stays':38}" + "".join(f"{tool:>10}" for tool in tools)]
        for name, change in zip(noticed, DRIFTS, strict=True):
            lines.append(f"{change:38}" + "".join(f"{'✔' if noticed[name][tool] else '·':>10}" for tool in tools))
        return "\n".join([*lines, "", *self.said])

    @property
    def said(self) -> list[str]:
        """What the tools say of the chosen change."""
        said = [f"{tool}: {line}" for tool, lines in noticed[f"v{self.chosen}"].items() for line in lines]
        return said or ["no tool says anything"]

    def _repr_html_(self) -> str:
        tools = list(noticed["v1"])
        parts = []
        for row, (name, change) in enumerate(zip(noticed, DRIFTS, strict=True), start=1):
            weight = "bold" if row == self.chosen else "normal"
            parts.append(f'<text x="0" y="{row * 24 + 18}" font-weight="{weight}">{html.escape(change)}</text>')
            for column, tool in enumerate(tools):
                fill = "#0072b2" if noticed[name][tool] else "none"
                parts.append(
                    f'<rect x="{240 + 90 * column}" y="{row * 24 + 4}" width="84" height="19" fill="{fill}" '
                    f'stroke="currentColor"><title>{html.escape(chr(10).join(noticed[name][tool]))}</title></rect>'
                )
        heads = "".join(f'<text x="{240 + 90 * place}" y="18">{tool}</text>' for place, tool in enumerate(tools))
        figure = (
            f'<svg role="img" aria-label="which tool notices which change" viewBox="0 0 620 {24 * len(noticed) + 30}" '
            'width="620" style="max-width: 100%; height: auto" fill="currentColor" font-family="sans-serif" '
            f'font-size="13" xmlns="http://www.w3.org/2000/svg">{heads}{"".join(parts)}</svg>'
        )
        return f"{figure}<pre>{html.escape(chr(10).join(self.said))}</pre>"


def drift(change: float) -> Drift:
    """Return the figure for one of the changes."""
    return Drift(int(change))


explore(drift, change=(1, len(DRIFTS), 1))

# %% [markdown]
# No column is full: a linter compares names, a type checker compares types, and doctest compares the few values that
# somebody wrote down. The last two rows are nobody's: no example weighs 10 kg, and `KeyError` comes out of an
# expression that has no `raise`. What no tool can notice is a reviewer's work: *read the docstring against the diff*.
#
# **Type hints are the part of the documentation that is checked everywhere.** What can be said as a type belongs there:
# `int | None` instead of "may return None", `Literal["asc", "desc"]` instead of "one of", `Sequence` instead of "isn't
# changed", a `NewType` or a class `Grams` where a unit gets mixed up, `@deprecated` instead of "don't use". A hint has
# no place for errors, order, cost and time. And a hint is only as good as what reads it: without mypy in CI it is a
# comment with colons.
#
# ## Docstrings that are true

# %%
RATES = {"DE": (490, 90), "CH": (990, 210)}  # by country: cents for a parcel, cents for each started kilogram
TARIFF_CODE = """
def parcel_fee(weight: int, country: str, *, express: bool = False) -> int:
    if weight <= 0:
        raise ValueError(f"no parcel weighs {weight} g")
    base, per_kilogram = RATES[country]
    fee = base + per_kilogram * -(-weight // 1000)
    return 2 * fee if express else fee


def scans(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(lines, start=1):
        if not line.startswith("#"):
            code, found, place = line.partition("@")
            if not found:
                raise ValueError(f"line {number} has no place")
            yield code.strip(), place.strip()
"""


def cell_of(function: Callable[..., object]) -> str:
    """Return the source of the cell in which a function was defined."""
    return "".join(linecache.getlines(function.__code__.co_filename)).strip("\n") + "\n"


def without_docstrings(source: str) -> str:
    """Return the code of a source in one canonical layout, without docstrings and comments."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


# %% [markdown] exercise lying_docstrings topic=documentation level=core minutes=15
# ## Exercise: The docstrings that lie
#
# The tariff module is right, and its docstrings were written for the version before the last one. Two teams have copied
# their examples. Make the docstrings true and complete, in Google style, **without touching the code**. `RATES` and the
# code without docstrings stand in the cell above.
#
# * ruff finds nothing in your cell with `CONTRACT_RULES` (convention `google`; `DOC501` and its like compare the
#   docstring with the body). No comment switches a rule off.
# * `Args` has each parameter, in the order of the signature, and no types in brackets: those are in the signature. The
#   entry of `weight` and the section `Returns` of `parcel_fee` name their units by the words *grams* and *cents*.
# * `Raises` names exactly the exceptions that a call with arguments of the annotated types can end in (for `scans`: the
#   call, or the iteration over its result), also those that come out of an expression.
# * Each docstring has at least two examples, all of which pass, one after the other, with `parcel_fee`, `scans` and
#   `RATES` as names. Each exception of `Raises` is shown by an example, as a `Traceback (most recent call last):`. One
#   of `parcel_fee`'s examples is called with `express=True`, and one of `scans`' gets a string that begins with `#` as
#   a line. There are no directives (`# doctest: …`).
#
# `ruff_findings(cell_of(parcel_fee))` and `run_examples(parcel_fee.__doc__, globals())` say what is left.
#
# ```python
# >>> parcel_fee(1000, "DE"), parcel_fee(1001, "DE")
# (580, 670)
# >>> list(scans(["X1 @ Bonn", "# night", "X1 @ Köln"]))
# [('X1', 'Bonn'), ('X1', 'Köln')]
# >>> run_examples(scans.__doc__, {"scans": scans})
# []
# >>> parcel_fee(0, "DE")
# Traceback (most recent call last):
# ValueError: no parcel weighs 0 g
# ```


# %% starter lying_docstrings
def parcel_fee(weight: int, country: str, *, express: bool = False) -> int:
    """Calculates the fee.

    Args:
        weight (float): The weight in kilograms.
        destination (str): The code of the country.
        express (bool): Whether it is express. Defaults to True.

    Returns:
        The fee in euros.

    Raises:
        TypeError: If the weight is negative.

    >>> parcel_fee(800, "DE")
    490
    >>> parcel_fee(0, "DE")  # doctest: +SKIP
    0
    """
    if weight <= 0:
        raise ValueError(f"no parcel weighs {weight} g")
    base, per_kilogram = RATES[country]
    fee = base + per_kilogram * -(-weight // 1000)
    return 2 * fee if express else fee


def scans(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Reads the scans of a parcel
    Lines that can't be read are skipped.

    Returns:
        list: The pairs.

    >>> scans(["X1 @ Bonn"])
    [('X1', 'Bonn')]
    """
    for number, line in enumerate(lines, start=1):
        if not line.startswith("#"):
            code, found, place = line.partition("@")
            if not found:
                raise ValueError(f"line {number} has no place")
            yield code.strip(), place.strip()


# %% solution lying_docstrings
# BEGIN SOLUTION
def parcel_fee(weight: int, country: str, *, express: bool = False) -> int:
    """Return the fee of a parcel.

    Args:
        weight: The weight in grams, above 0; each started kilogram counts as a whole one.
        country: The code of the country that it goes to, a key of `RATES`.
        express: Whether it has to be there the next day, which doubles the fee.

    Returns:
        The fee in cents.

    Raises:
        ValueError: If the weight isn't above 0.
        KeyError: If no parcels are sent to the country.

    Examples:
        >>> parcel_fee(800, "DE")
        580
        >>> parcel_fee(800, "DE", express=True)
        1160
        >>> parcel_fee(0, "DE")
        Traceback (most recent call last):
        ValueError: no parcel weighs 0 g
        >>> parcel_fee(800, "XX")
        Traceback (most recent call last):
        KeyError: 'XX'
    """
    if weight <= 0:
        raise ValueError(f"no parcel weighs {weight} g")
    base, per_kilogram = RATES[country]
    fee = base + per_kilogram * -(-weight // 1000)
    return 2 * fee if express else fee


def scans(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield the scans of parcels, in the order of the log, reading it as far as they are asked for.

    Args:
        lines: The log, a scan a line: the parcel's code, `@`, the place. Lines that begin with `#` are skipped.

    Yields:
        The code and the place, without blanks around them.

    Raises:
        ValueError: If a line has no place; raised when the iteration gets there.

    Examples:
        >>> list(scans(["# night shift", "X1 @ Bonn"]))
        [('X1', 'Bonn')]
        >>> list(scans(["X1 Bonn"]))
        Traceback (most recent call last):
        ValueError: line 1 has no place
    """
    for number, line in enumerate(lines, start=1):
        if not line.startswith("#"):
            code, found, place = line.partition("@")
            if not found:
                raise ValueError(f"line {number} has no place")
            yield code.strip(), place.strip()


# END SOLUTION


# %% check lying_docstrings points=2
def test_ruff_finds_nothing_and_nothing_is_silenced() -> None:
    source = cell_of(parcel_fee)
    assert ruff_findings(source) == [], "line, code and message: the docstring against signature and body"
    assert "noqa" not in source, "a silenced rule makes no docstring true"
    assert "ruff:" not in source, "a silenced rule makes no docstring true"


def test_each_example_passes_and_none_is_skipped() -> None:
    names = {"parcel_fee": parcel_fee, "scans": scans, "RATES": RATES}
    for function in (parcel_fee, scans):
        assert run_examples(function.__doc__, dict(names)) == [], f"an example of {function.__name__} that others copy"
        assert len(examples_in(function.__doc__)) >= 2, f"{function.__name__} has two examples or more"
        assert "doctest:" not in (function.__doc__ or ""), "a skipped example is a lie with a permit"


# %% hidden lying_docstrings points=4
def test_the_code_is_as_it_was() -> None:
    assert without_docstrings(cell_of(parcel_fee)) == without_docstrings(TARIFF_CODE), (
        "the code was right: only its docstrings are mended"
    )


def test_parameters_are_described_without_their_types() -> None:
    assert list(entries(parcel_fee.__doc__, "Args")) == ["weight", "country", "express"], "each, in their order"
    assert list(entries(scans.__doc__, "Args")) == ["lines"], "each"
    for function in (parcel_fee, scans):
        repeated = re.findall(r"^\s*\w+ \(.*\):", section_text(function.__doc__, "Args"), re.MULTILINE)
        assert repeated == [], "types stand in the signature, where mypy reads them"


def test_units_are_named() -> None:
    assert re.search(r"\bgrams\b", entries(parcel_fee.__doc__, "Args")["weight"]), "2 is what: kilograms?"
    assert re.search(r"\bcents\b", section_text(parcel_fee.__doc__, "Returns")), "an int of what?"


def test_exactly_the_exceptions_that_can_come_are_listed() -> None:
    assert set(entries(parcel_fee.__doc__, "Raises")) == {"ValueError", "KeyError"}, (
        "RATES[country] raises too, although there is no `raise` that a linter could see"
    )
    assert set(entries(scans.__doc__, "Raises")) == {"ValueError"}, "lines that can't be read aren't skipped"


def test_each_exception_is_shown() -> None:
    for function in (parcel_fee, scans):
        shown = {(example.exc_msg or "").partition(":")[0] for example in examples_in(function.__doc__)}
        assert set(entries(function.__doc__, "Raises")) <= shown, f"an example of {function.__name__} for each"


def test_express_and_a_comment_line_are_shown() -> None:
    fee_sources = [example.source for example in examples_in(parcel_fee.__doc__)]
    assert any(re.search(r"express\s*=\s*True", source) for source in fee_sources), "what express costs"
    scan_sources = [example.source for example in examples_in(scans.__doc__)]
    assert any(re.search(r"""["']#""", source) for source in scan_sources), "what becomes of a line with #"


# %% wrong lying_docstrings fails=test_exactly_the_exceptions_that_can_come_are_listed
# "If the linter is content, Raises is complete": it sees `raise`, and not the look-up that raises KeyError.
def parcel_fee(weight: int, country: str, *, express: bool = False) -> int:
    """Return the fee of a parcel.

    Args:
        weight: The weight in grams.
        country: The code of the country.
        express: Whether it is express.

    Returns:
        The fee in cents.

    Raises:
        ValueError: If the weight isn't above 0.

    Examples:
        >>> parcel_fee(800, "DE", express=True)
        1160
        >>> parcel_fee(0, "DE")
        Traceback (most recent call last):
        ValueError: no parcel weighs 0 g
    """
    if weight <= 0:
        raise ValueError(f"no parcel weighs {weight} g")
    base, per_kilogram = RATES[country]
    fee = base + per_kilogram * -(-weight // 1000)
    return 2 * fee if express else fee


def scans(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield the scans of parcels.

    Args:
        lines: The log.

    Yields:
        The code and the place.

    Raises:
        ValueError: If a line has no place.

    Examples:
        >>> list(scans(["# night shift", "X1 @ Bonn"]))
        [('X1', 'Bonn')]
        >>> list(scans(["X1 Bonn"]))
        Traceback (most recent call last):
        ValueError: line 1 has no place
    """
    for number, line in enumerate(lines, start=1):
        if not line.startswith("#"):
            code, found, place = line.partition("@")
            if not found:
                raise ValueError(f"line {number} has no place")
            yield code.strip(), place.strip()


# %% wrong lying_docstrings fails=test_each_example_passes_and_none_is_skipped
# "An example that fails is skipped": it goes on being read and copied, and nobody hears of it any more.
def parcel_fee(weight: int, country: str, *, express: bool = False) -> int:
    """Return the fee of a parcel.

    Args:
        weight: The weight in grams.
        country: The code of the country.
        express: Whether it is express.

    Returns:
        The fee in cents.

    Raises:
        ValueError: If the weight isn't above 0.
        KeyError: If the country is unknown.

    Examples:
        >>> parcel_fee(800, "DE", express=True)
        1160
        >>> parcel_fee(0, "DE")
        Traceback (most recent call last):
        ValueError: no parcel weighs 0 g
        >>> parcel_fee(800, "XX")  # doctest: +SKIP
        Traceback (most recent call last):
        KeyError: unknown country
    """
    if weight <= 0:
        raise ValueError(f"no parcel weighs {weight} g")
    base, per_kilogram = RATES[country]
    fee = base + per_kilogram * -(-weight // 1000)
    return 2 * fee if express else fee


def scans(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield the scans of parcels.

    Args:
        lines: The log.

    Yields:
        The code and the place.

    Raises:
        ValueError: If a line has no place.

    Examples:
        >>> list(scans(["# night shift", "X1 @ Bonn"]))
        [('X1', 'Bonn')]
        >>> list(scans(["X1 Bonn"]))
        Traceback (most recent call last):
        ValueError: line 1 has no place
    """
    for number, line in enumerate(lines, start=1):
        if not line.startswith("#"):
            code, found, place = line.partition("@")
            if not found:
                raise ValueError(f"line {number} has no place")
            yield code.strip(), place.strip()


# %% wrong lying_docstrings fails=test_the_code_is_as_it_was
# "The docstring said list, so the code has to return one": the contract of others is changed to fit a stale sentence.
def parcel_fee(weight: int, country: str, *, express: bool = False) -> int:
    """Return the fee of a parcel.

    Args:
        weight: The weight in grams.
        country: The code of the country.
        express: Whether it is express.

    Returns:
        The fee in cents.

    Raises:
        ValueError: If the weight isn't above 0.
        KeyError: If the country is unknown.

    Examples:
        >>> parcel_fee(800, "DE", express=True)
        1160
        >>> parcel_fee(0, "DE")
        Traceback (most recent call last):
        ValueError: no parcel weighs 0 g
        >>> parcel_fee(800, "XX")
        Traceback (most recent call last):
        KeyError: 'XX'
    """
    if weight <= 0:
        raise ValueError(f"no parcel weighs {weight} g")
    base, per_kilogram = RATES[country]
    fee = base + per_kilogram * -(-weight // 1000)
    return 2 * fee if express else fee


def scans(lines: Iterable[str]) -> list[tuple[str, str]]:
    """Return the scans of parcels.

    Args:
        lines: The log.

    Returns:
        The codes and places.

    Raises:
        ValueError: If a line has no place.

    Examples:
        >>> scans(["# night shift", "X1 @ Bonn"])
        [('X1', 'Bonn')]
        >>> scans(["X1 Bonn"])
        Traceback (most recent call last):
        ValueError: line 1 has no place
    """
    result = []
    for number, line in enumerate(lines, start=1):
        if not line.startswith("#"):
            code, found, place = line.partition("@")
            if not found:
                raise ValueError(f"line {number} has no place")
            result.append((code.strip(), place.strip()))
    return result


# %% right lying_docstrings
def parcel_fee(weight: int, country: str, *, express: bool = False) -> int:
    """Calculates what a parcel costs.

    Example:
        >>> [parcel_fee(weight, "CH") for weight in (1, 1000, 1001)]
        [1200, 1200, 1410]
        >>> parcel_fee(1, "CH", express=True) == 2 * parcel_fee(1, "CH")
        True

    Negative weights, and countries that aren't in `RATES`, are refused:

        >>> parcel_fee(-1, "CH")
        Traceback (most recent call last):
        ValueError: no parcel weighs -1 g
        >>> parcel_fee(1, "ch")
        Traceback (most recent call last):
        KeyError: 'ch'

    Args:
        weight:
            The weight, as a whole number of grams.
        country: An ISO code in capitals.
        express: True doubles the fee.

    Returns:
        The price in cents.

    Raises:
        KeyError: If there is no rate for the country.
        ValueError: If the weight is 0 or less.
    """
    if weight <= 0:
        raise ValueError(f"no parcel weighs {weight} g")
    base, per_kilogram = RATES[country]
    fee = base + per_kilogram * -(-weight // 1000)
    return 2 * fee if express else fee


def scans(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Read a log of scans lazily.

    Args:
        lines: The lines of the log.

    Yields:
        Code and place of each scan.

    Raises:
        ValueError: If there is no `@` in a line.

    Examples:
        >>> log = scans(["# by hand", "X1 @ Bonn", "X1"])
        >>> next(log)
        ('X1', 'Bonn')
        >>> next(log)
        Traceback (most recent call last):
        ValueError: line 3 has no place
    """
    for number, line in enumerate(lines, start=1):
        if not line.startswith("#"):
            code, found, place = line.partition("@")
            if not found:
                raise ValueError(f"line {number} has no place")
            yield code.strip(), place.strip()


# %% [markdown] hint lying_docstrings
# Read the code, not the old docstrings: which unit has 1000 in it? Which expressions can raise without a `raise`? What
# does a function with `yield` return, and when does its body run? Then let ruff and doctest tell you what is left.

# %% [markdown] hint lying_docstrings
# `RATES[country]` raises `KeyError`. `scans` needs `Yields:` and no `Returns:`, and its examples need `list(…)`. A
# blank line follows the summary, which ends with a full stop.

# %% [markdown] hint lying_docstrings
# An error in an example is two lines: `Traceback (most recent call last):` and `KeyError: 'XX'` (that is how a KeyError
# prints: with the quotes). For `scans`: `>>> list(scans(["# night", "X1 @ Bonn"]))`.

# %% [markdown] after lying_docstrings
# **Why.** Two kinds of error stood there. Some are noticed by a tool: the name `destination` (D417, DOC102), `Returns`
# of a generator (DOC202, DOC402), the wrong number (doctest). The others aren't: kilograms, euros, the default, "are
# skipped", the `KeyError`. Those are the ones that cost money, and each is found by asking the code the questions of
# the contract.
#
# **DOC502** would report that a documented exception is "not explicitly raised", here the right `KeyError`. So it stays
# off: a rule that punishes the better docstring is the wrong rule. Should a `KeyError` be part of a contract at all? It
# tells callers about a dict inside. A `ValueError("no rate for 'XX'")` would be better, and is a change of the code:
# its own commit, with a line in the changelog.
#
# **Google's or PEP 257's mood?** "Return …" (PEP 257) or "Returns …" (Google allows both). ruff's D401 knows; the
# convention `google` switches it off.
#
# **The interviewer goes on**: *How much of it do you want on a private helper? (A line, or nothing with a good name: it
# has few callers, all in sight.) When is a docstring worse than none? (When it says the name again, and when it is
# false: nobody checks a blank.)*

# %% [markdown]
# ## A tool of your own: what is missing, what is left over
#
# D417 has a hole on purpose: it speaks only where there is an `Args` section. A docstring without one is silent about
# all its parameters, and clean. Rules like "in `api/` each public function documents each parameter" are a page of
# `ast`, and worth it where other teams build on a package. Parsing doesn't import: nothing is run, and a module whose
# dependencies aren't installed can be read too.

# %%
SILENT = '''
def fee(grams, rate):
    """Return the fee."""
'''
print("ruff on a docstring without Args:", ruff_findings(SILENT))
function_node = ast.parse("def f(a, /, b, *rest, c, **more): ...").body[0]
assert isinstance(function_node, ast.FunctionDef)
print(ast.dump(function_node.args))

# %% [markdown] exercise docstring_gaps topic=documentation level=senior minutes=18
# ## Exercise: The gaps of an interface
#
# The platform team wants a gate in CI for the packages that others build on. Write `docstring_gaps(source)`, which gets
# the text of a module and returns a list of `Gap` (below), in the order of the source: one for each public function
# whose docstring misses a parameter, or describes one that isn't there.
#
# * A function (`def` or `async def`) counts if it stands at the top level of the module or in the body of a class that
#   itself counts, also under `if`, `try` or `with`. Neither counts if its name begins with an underscore (so
#   `__init__` doesn't), and what is inside a function never does. A function decorated as `overload` or
#   `typing.overload` is passed over.
# * Its parameters are all those of the signature, in that order, with their stars: `("order", "*lines", "currency",
#   "**extra")`. In a class the first positional parameter is left out (`*lines` and what follows it are none), unless
#   the function is decorated as `staticmethod`.
# * Described are the entries of `Args`: the helper `entries(docstring, "Args")`, defined near the beginning, gives them
#   in their order, with the stars as written. Without a docstring nothing is described.
# * `line` is that of the `def`. `function` is the name with the classes before it: `"Basket.add"`. `missing` is in the
#   order of the signature, `stale` in that of the docstring.
#
# The module isn't run. A source that isn't Python raises the `SyntaxError` of `ast.parse`.
#
# ```python
# >>> docstring_gaps(FEE)
# []
# >>> docstring_gaps(SILENT)
# [Gap(line=2, function='fee', missing=('grams', 'rate'), stale=())]
# >>> docstring_gaps(versions["v1"])
# [Gap(line=1, function='fee', missing=('weight',), stale=('grams',))]
# >>> docstring_gaps("def fee(:")
# Traceback (most recent call last):
# SyntaxError: invalid syntax (<unknown>, line 1)
# ```


# %%
class Gap(NamedTuple):
    """Where a docstring and a signature disagree about the parameters."""

    line: int
    function: str
    missing: tuple[str, ...]
    stale: tuple[str, ...]


# For the checks.
def without_lines(gaps: list[Gap]) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """Return the gaps without their lines."""
    return [(gap.function, gap.missing, gap.stale) for gap in gaps]


# %% solution docstring_gaps
def docstring_gaps(source: str) -> list[Gap]:
    """Return where public functions and their docstrings disagree about the parameters, in the order of the source."""
    # BEGIN SOLUTION
    gaps: list[Gap] = []

    def read(function: ast.FunctionDef | ast.AsyncFunctionDef, owner: str) -> None:
        decorators = {ast.unparse(decorator) for decorator in function.decorator_list}
        if decorators & {"overload", "typing.overload"}:
            return
        signature = function.args
        names = [each.arg for each in signature.posonlyargs + signature.args]
        if owner and "staticmethod" not in decorators:
            del names[:1]
        names += [f"*{signature.vararg.arg}"] if signature.vararg else []
        names += [each.arg for each in signature.kwonlyargs]
        names += [f"**{signature.kwarg.arg}"] if signature.kwarg else []
        described = entries(ast.get_docstring(function), "Args")
        missing = tuple(name for name in names if name not in described)
        stale = tuple(name for name in described if name not in names)
        if missing or stale:
            gaps.append(Gap(function.lineno, owner + function.name, missing, stale))

    def search(node: ast.AST, owner: str) -> None:
        for child in ast.iter_child_nodes(node):
            match child:
                case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef() if child.name.startswith("_"):
                    pass
                case ast.FunctionDef() | ast.AsyncFunctionDef():
                    read(child, owner)
                case ast.ClassDef():
                    search(child, f"{owner}{child.name}.")
                case _:
                    search(child, owner)

    search(ast.parse(source), "")
    return gaps
    # END SOLUTION


# %% check docstring_gaps points=2
def test_a_parameter_that_is_not_described_is_missing() -> None:
    source = '''
    def fee(grams, rate):
        """Return the fee.

        Args:
            rate: Cents for a kilogram.
        """
    '''
    assert docstring_gaps(textwrap.dedent(source)) == [Gap(2, "fee", ("grams",), ())], "one is described, one isn't"


def test_a_description_without_a_parameter_is_stale() -> None:
    source = '''
    def fee(grams):
        """Return the fee.

        Args:
            weight: In grams.
            grams: In grams.
            rate: Gone since 3.0.
        """
    '''
    assert without_lines(docstring_gaps(textwrap.dedent(source))) == [("fee", (), ("weight", "rate"))], (
        "in the docstring's order"
    )


# %% hidden docstring_gaps points=4
def test_every_kind_of_parameter_in_the_order_of_the_signature() -> None:
    source = '''
    async def order(sku, /, count, *lines, currency, **extra):
        """Order."""
    '''
    assert without_lines(docstring_gaps(textwrap.dedent(source))) == [
        ("order", ("sku", "count", "*lines", "currency", "**extra"), ())
    ], "what args.args holds is one kind of five"


def test_stars_are_described_as_they_are_written() -> None:
    source = '''
    def order(*lines, **extra):
        """Order.

        Args:
            *lines: What is ordered.
            extra: What else there is.
        """
    '''
    assert without_lines(docstring_gaps(textwrap.dedent(source))) == [("order", ("**extra",), ("extra",))], (
        "*lines is there, extra is another name"
    )


def test_without_a_docstring_all_is_missing() -> None:
    assert without_lines(docstring_gaps("def fee(grams): ...\ndef now(): ...")) == [("fee", ("grams",), ())], (
        "a function without parameters has none to describe"
    )


def test_a_name_in_the_prose_is_no_description() -> None:
    source = '''
    def find(id):
        """Return the valid id that was provided.

        Returns:
            id: The id.
        """
    '''
    assert without_lines(docstring_gaps(textwrap.dedent(source))) == [("find", ("id",), ())], (
        '"id" stands in "valid" and "provided" too'
    )


def test_private_names_and_what_is_inside_functions_are_left_out() -> None:
    source = """
    def _help(a): ...
    class _Hidden:
        def method(self, a): ...
    class Basket:
        def __init__(self, a): ...
        def _check(self, a): ...
    def fee():
        def inner(a): ...
        class Local:
            def method(self, a): ...
    """
    assert without_lines(docstring_gaps(textwrap.dedent(source))) == [], "nobody outside can call them"


def test_the_first_parameter_of_a_method_is_left_out_except_of_a_static_one() -> None:
    source = """
    class Basket:
        def add(this, sku, /): ...
        def size(self): ...
        @classmethod
        async def load(cls, path): ...
        @staticmethod
        def parse(text): ...
        def total(*lines): ...
    """
    assert without_lines(docstring_gaps(textwrap.dedent(source))) == [
        ("Basket.add", ("sku",), ()),
        ("Basket.load", ("path",), ()),
        ("Basket.parse", ("text",), ()),
        ("Basket.total", ("*lines",), ()),
    ], "by position and not by the name self; *lines is no first parameter"


def test_classes_in_classes_are_named_in_full() -> None:
    source = """
    class Shop:
        class Basket:
            def add(self, sku): ...
        def open(self, hour): ...
    def close(hour): ...
    """
    assert [gap.function for gap in docstring_gaps(textwrap.dedent(source))] == [
        "Shop.Basket.add",
        "Shop.open",
        "close",
    ]


def test_definitions_under_a_condition_count() -> None:
    source = """
    try:
        import fast
    except ImportError:
        def fee(grams): ...
    else:
        class Basket:
            if fast:
                def add(self, sku): ...
    """
    assert [gap.function for gap in docstring_gaps(textwrap.dedent(source))] == ["fee", "Basket.add"], (
        "callers can call them"
    )


def test_overloads_are_passed_over_and_the_line_is_that_of_the_def() -> None:
    source = """
    @overload
    def fee(grams: int): ...
    @typing.overload
    def fee(grams: str): ...
    @functools.cache
    @audited
    def fee(grams): ...
    """
    assert docstring_gaps(textwrap.dedent(source)) == [Gap(8, "fee", ("grams",), ())], (
        "the implementation carries the docstring; an editor jumps to the def, not to the decorator"
    )


# %% wrong docstring_gaps fails=test_every_kind_of_parameter_in_the_order_of_the_signature
# "The parameters are node.args.args": positional-only, starred and keyword-only ones are in other lists.
def docstring_gaps(source: str) -> list[Gap]:
    """Return where public functions and their docstrings disagree about the parameters."""
    gaps: list[Gap] = []

    def search(node: ast.AST, owner: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                decorators = {ast.unparse(decorator) for decorator in child.decorator_list}
                if child.name.startswith("_") or decorators & {"overload", "typing.overload"}:
                    continue
                names = [each.arg for each in child.args.args]
                if owner and "staticmethod" not in decorators:
                    names = names[1:]
                described = entries(ast.get_docstring(child), "Args")
                missing = tuple(name for name in names if name not in described)
                stale = tuple(name for name in described if name not in names)
                if missing or stale:
                    gaps.append(Gap(child.lineno, owner + child.name, missing, stale))
            elif isinstance(child, ast.ClassDef):
                if not child.name.startswith("_"):
                    search(child, f"{owner}{child.name}.")
            else:
                search(child, owner)

    search(ast.parse(source), "")
    return gaps


# %% wrong docstring_gaps fails=test_private_names_and_what_is_inside_functions_are_left_out
# "ast.walk finds the functions": all of them, in functions and in private classes too, and without their owner.
def docstring_gaps(source: str) -> list[Gap]:
    """Return where public functions and their docstrings disagree about the parameters."""
    gaps = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            arguments = node.args
            names = [each.arg for each in arguments.posonlyargs + arguments.args]
            names = [name for name in names if name not in ("self", "cls")]
            names += [f"*{arguments.vararg.arg}"] if arguments.vararg else []
            names += [each.arg for each in arguments.kwonlyargs]
            names += [f"**{arguments.kwarg.arg}"] if arguments.kwarg else []
            described = entries(ast.get_docstring(node), "Args")
            missing = tuple(name for name in names if name not in described)
            stale = tuple(name for name in described if name not in names)
            if missing or stale:
                gaps.append(Gap(node.lineno, node.name, missing, stale))
    return gaps


# %% wrong docstring_gaps fails=test_a_name_in_the_prose_is_no_description
# "The name occurs in the docstring, so it is described": `id` occurs in "provided".
def docstring_gaps(source: str) -> list[Gap]:
    """Return where public functions and their docstrings disagree about the parameters."""
    gaps: list[Gap] = []

    def search(body: list[ast.stmt], owner: str) -> None:
        for child in body:
            if isinstance(child, ast.ClassDef) and not child.name.startswith("_"):
                search(child.body, f"{owner}{child.name}.")
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) and not child.name.startswith("_"):
                arguments = child.args
                names = [each.arg for each in arguments.posonlyargs + arguments.args][1 if owner else 0 :]
                names += [f"*{arguments.vararg.arg}"] if arguments.vararg else []
                names += [each.arg for each in arguments.kwonlyargs]
                names += [f"**{arguments.kwarg.arg}"] if arguments.kwarg else []
                docstring = ast.get_docstring(child) or ""
                missing = tuple(name for name in names if name not in docstring)
                stale = tuple(name for name in entries(docstring, "Args") if name not in names)
                if missing or stale:
                    gaps.append(Gap(child.lineno, owner + child.name, missing, stale))

    search(ast.parse(source).body, "")
    return gaps


# %% right docstring_gaps
class GapFinder(ast.NodeVisitor):
    """Visits what is public."""

    def __init__(self) -> None:
        self.owners: list[str] = []
        self.gaps: list[Gap] = []

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        if not node.name.startswith("_"):
            self.owners.append(node.name)
            self.generic_visit(node)
            self.owners.pop()

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        decorators = [ast.unparse(decorator) for decorator in node.decorator_list]
        if node.name.startswith("_") or "overload" in decorators or "typing.overload" in decorators:
            return
        listed = node.args.posonlyargs + node.args.args
        if self.owners and "staticmethod" not in decorators:
            listed = listed[1:]
        parameters = {each.arg: each.arg for each in listed}
        if node.args.vararg:
            parameters[f"*{node.args.vararg.arg}"] = ""
        parameters |= {each.arg: each.arg for each in node.args.kwonlyargs}
        if node.args.kwarg:
            parameters[f"**{node.args.kwarg.arg}"] = ""
        described = entries(ast.get_docstring(node), "Args")
        missing = [name for name in parameters if name not in described]
        stale = [name for name in described if name not in parameters]
        if missing or stale:
            self.gaps.append(Gap(node.lineno, ".".join([*self.owners, node.name]), tuple(missing), tuple(stale)))

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self.visit_FunctionDef(node)


def docstring_gaps(source: str) -> list[Gap]:
    """Return where public functions and their docstrings disagree about the parameters."""
    finder = GapFinder()
    finder.visit(ast.parse(source))
    return finder.gaps


# %% [markdown] hint docstring_gaps
# `ast.walk` forgets where a node stands. Go down yourself with a function that knows the classes around it
# (`ast.iter_child_nodes`), and stop at functions and at private classes.

# %% [markdown] hint docstring_gaps
# A signature is five lists in `node.args`: `posonlyargs`, `args`, `vararg`, `kwonlyargs`, `kwarg`. Drop the first of
# the first two together, before anything else is added. `ast.unparse(decorator)` is the decorator as text.

# %% [markdown] hint docstring_gaps
# `def search(node, owner)`: for each child: a class → `search(child, f"{owner}{child.name}.")`; a function → compare;
# anything else → `search(child, owner)`, which is how `if` and `try` come for free. Then
# `described = entries(ast.get_docstring(child), "Args")` and two comprehensions.

# %% [markdown] after docstring_gaps
# **Why `ast`, and not `inspect`?** `inspect.signature` sees what decorators made of the function, follows
# `__wrapped__`, and has inherited docstrings; but it imports the module, with its side effects and dependencies. `ast`
# reads what is written, in milliseconds, for a whole repository. Sphinx's `autodoc` imports, which is why builds of
# documentation fail on a missing library; `autoapi` and griffe (MkDocs) parse.
#
# **Its limits.** Parameters that come from elsewhere (`**kwargs: Unpack[Options]`, `functools.partial`), a decorator
# that changes the signature, `from x import *` in `__init__.py`. What is public is better said by `__all__` than
# guessed from underscores.
#
# **How such a gate is brought in**: with a baseline of the gaps that there are, which may only get fewer; never with a
# percentage alone, for it is met by "grams: The grams."
#
# **The interviewer goes on**: *Should every parameter be described? (No: `path: Path` of `read(path)` says it all. In a
# package that others build on I take the boredom for the completeness; inside a service I ask for units and edges
# only.)*

# %% [markdown]
# ## Examples that are tests
#
# `doctest` finds `>>>` in a text, runs it, and compares what is printed with the lines below, character by character.
# That is all, and it explains every trouble with it:
#
# * It compares the **text** of a result: the order of a set, an address in a `repr`, the last digits of a float, the
#   order of keys that is no promise. Write an example that prints something stable: `sorted(…)`, `round(…)`, `==`.
# * But `==` throws away what the text shows: `34.0 == 34` is True.
# * Of an error it compares type and message, and ignores the lines of the traceback between. Where the words aren't
#   promised: `# doctest: +ELLIPSIS` and `ValueError: ...`, or `+IGNORE_EXCEPTION_DETAIL`.
# * An empty line in an output ends it; write `<BLANKLINE>`.
# * One docstring is one namespace, from top to bottom.
# * `>>>` without an output checks that nothing is raised, if what it returns is None, and `x = f()` checks even less.
#
# In CI: `pytest --doctest-modules src` and `--doctest-glob="*.md"`. Examples are for readers first: three to eight good
# ones, chosen for the questions that a caller has. They are no replacement for tests, and still each should be able to
# fail. The function of the next exercise has a promise that is easily broken: no cent is lost.


# %%
def divide(cents: int, shares: Mapping[str, int]) -> dict[str, int]:
    """Divide a bill by shares, to the cent."""
    total = sum(shares.values())
    if cents < 0 or total <= 0 or min(shares.values()) < 0:
        raise ValueError("a bill and shares are 0 or more, and somebody has to pay")
    parts = {name: cents * share // total for name, share in shares.items()}
    by_remainder = sorted(shares, key=lambda name: (-(cents * shares[name] % total), name))
    for name in by_remainder[: cents - sum(parts.values())]:
        parts[name] += 1
    return parts


print(divide(100, {"Ada": 1, "Bo": 1, "Cy": 1}))
for text in (
    """
    >>> divide(10, {"Bo": 1, "Ada": 1})
    {'Ada': 5, 'Bo': 5}
    """,
    """
    >>> divide(-1, {"Ada": 1})
    Traceback (most recent call last):
    ValueError: negative
    """,
):
    print(run_examples(text, {"divide": divide}))


# For the checks: another correct implementation, which each argument by keyword makes faulty.
def split_by(
    cents: int,
    shares: Mapping[str, int],
    *,
    rank: Callable[[Fraction, str], Any] = lambda fraction, name: (-fraction, name),
    start: Callable[[Fraction], Any] = int,
    refuses: tuple[bool, bool, bool] = (True, True, True),
) -> dict[str, Any]:
    """Divide a bill by fractions, in descending order of the names; what is given makes it faulty."""
    total = sum(shares.values())
    wrong = (cents < 0, any(share < 0 for share in shares.values()), total == 0 or not shares)
    if any(is_wrong and refused for is_wrong, refused in zip(wrong, refuses, strict=True)):
        raise ValueError("no")
    exact = {name: Fraction(cents * shares[name], total or 1) for name in sorted(shares, reverse=True)}
    parts = {name: start(part) for name, part in exact.items()}
    left = cents - sum(parts.values())
    for name in sorted(exact, key=lambda name: rank(exact[name] - int(exact[name]), name))[: int(max(left, 0))]:
        parts[name] += 1
    return parts


def failing_examples(docstring: str | None, split: Callable[..., Any]) -> list[str]:
    """Return which examples of a docstring fail on an implementation of split_bill."""
    return run_examples(docstring, {"split_bill": split})


# %% [markdown] exercise split_bill_examples topic=documentation level=senior minutes=15
# ## Exercise: Examples that can fail
#
# `split_bill` hands over to `divide` (above), which is being rewritten for the third time; its docstring is all that
# the teams read. Write that docstring (the body stays as it is), with examples that show the contract. They are run
# against `split_bill`, against other correct functions, and against faulty ones, each under the name `split_bill`. All
# pass on the correct ones, and at least one fails on each faulty one. The contract:
#
# 1. Each name gets its part of the `cents` in proportion to its share, rounded down to whole cents; results are `int`.
#    A name whose share is 0 is in the result, with 0.
# 2. The cents that are then left are given out one by one: the name with the largest cut-off fraction first; among
#    equal ones the alphabetically first name first. So the parts add up to the bill.
# 3. `ValueError` if the bill or a share is negative, or if the shares add up to 0 (as no shares at all do). The words
#    aren't part of the contract.
# 4. The order of the names in the result isn't part of the contract either.
# 5. Amounts are of any size, and nothing is lost in large ones.
#
# The docstring begins with a summary line that ends with a full stop, and a blank line. It has three to eight examples
# (each `>>>` is one), with `split_bill` as the only name that is given. Two directives are allowed, `+ELLIPSIS` and
# `+IGNORE_EXCEPTION_DETAIL`.
#
# ```python
# >>> split_bill(100, {"Ada": 1, "Bo": 2}) == {"Ada": 33, "Bo": 67}
# True
# >>> run_examples(split_bill.__doc__, {"split_bill": split_bill})
# []
# >>> def everything_to_the_first(cents, shares):
# ...     return {name: 0 for name in shares} | {min(shares): cents}
# >>> len(run_examples(split_bill.__doc__, {"split_bill": everything_to_the_first})) > 0
# True
# ```


# %% starter split_bill_examples
def split_bill(cents: int, shares: Mapping[str, int]) -> dict[str, int]:
    """Divide a bill by shares, to the cent."""
    return divide(cents, shares)


# %% solution split_bill_examples
def split_bill(cents: int, shares: Mapping[str, int]) -> dict[str, int]:
    """Divide a bill by shares, to the cent.

    Parts are rounded down; the cents that are left go to the largest fractions, of equal ones to the first by name:

    >>> sorted(split_bill(200, {"Cy": 1, "Bo": 1, "Ada": 1}).items())
    [('Ada', 67), ('Bo', 67), ('Cy', 66)]
    >>> sorted(split_bill(100, {"Ada": 1, "Bo": 2, "Cy": 0}).items())
    [('Ada', 33), ('Bo', 67), ('Cy', 0)]

    However large the bill is, no cent is lost:

    >>> sorted(split_bill(10**20 + 1, {"Ada": 1, "Bo": 1}).items())
    [('Ada', 50000000000000000001), ('Bo', 50000000000000000000)]

    A bill or a share below 0, and shares that add up to 0, are refused:

    >>> split_bill(-1, {"Ada": 1})  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: ...
    >>> split_bill(100, {"Ada": -1, "Bo": 2})  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: ...
    >>> split_bill(0, {"Ada": 0})  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: ...
    >>> split_bill(0, {})  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: ...
    """
    return divide(cents, shares)


# %% check split_bill_examples points=2
def test_a_summary_and_three_to_eight_examples() -> None:
    lines = inspect.cleandoc(split_bill.__doc__ or "").splitlines()
    assert len(lines) > 2, "a summary, a blank line, and the rest"
    assert lines[0].endswith("."), "the summary line is a sentence"
    assert lines[1] == "", "and a blank line follows"
    assert 3 <= len(examples_in(split_bill.__doc__)) <= 8, "enough to see the contract, few enough to be read"


def test_the_examples_pass_on_the_function_as_it_is() -> None:
    assert failing_examples(split_bill.__doc__, split_bill) == [], (
        "an example that is wrong on correct code gets copied all the same"
    )


def test_notices_cents_that_are_lost() -> None:
    def rounds_down(cents: int, shares: Mapping[str, int]) -> dict[str, int]:
        return {name: cents * share // sum(shares.values()) for name, share in shares.items()}

    assert failing_examples(split_bill.__doc__, rounds_down), (
        "three people pay 99 cents of a euro, and no example fails"
    )


# %% hidden split_bill_examples points=4
def test_the_body_is_as_it_was() -> None:
    assert split_bill(100, {"Ada": 1, "Bo": 2}) == divide(100, {"Ada": 1, "Bo": 2}), (
        "only the docstring is to be written"
    )


def test_only_two_directives_are_used() -> None:
    used = set(re.findall(r"doctest:(.*)", split_bill.__doc__ or ""))
    allowed = {"+ELLIPSIS", "+IGNORE_EXCEPTION_DETAIL"}
    assert {word for line in used for word in re.split(r"[\s,]+", line.strip())} <= allowed, "no example is skipped"


def test_the_examples_pass_on_other_correct_functions() -> None:
    assert failing_examples(split_bill.__doc__, split_by) == [], (
        "another order of the names, other words in the error: both are allowed"
    )


def test_notices_parts_that_are_rounded_each_for_itself() -> None:
    def rounds(cents: int, shares: Mapping[str, int]) -> dict[str, Any]:
        return split_by(cents, shares, start=lambda part: int(part + Fraction(1, 2)))

    assert failing_examples(split_bill.__doc__, rounds), "the parts add up to more than the bill, and no example fails"


def test_notices_that_all_that_is_left_goes_to_one() -> None:
    def to_the_first(cents: int, shares: Mapping[str, int]) -> dict[str, int]:
        divide(cents, shares)  # refuses what has to be refused
        total = sum(shares.values())
        parts = {name: cents * share // total for name, share in shares.items()}
        first = min(shares, key=lambda name: (-(cents * shares[name] % total), name))
        return parts | {first: parts[first] + cents - sum(parts.values())}

    assert failing_examples(split_bill.__doc__, to_the_first), (
        "one pays two cents more than the others, and no example fails"
    )


def test_notices_that_equal_fractions_go_by_the_last_name() -> None:
    def last_name(cents: int, shares: Mapping[str, int]) -> dict[str, int]:
        order = sorted(shares, reverse=True)
        return split_by(cents, shares, rank=lambda fraction, name: (-fraction, order.index(name)))

    assert failing_examples(split_bill.__doc__, last_name), (
        "the contract says who pays the odd cent, and no example does"
    )


def test_notices_that_equal_fractions_go_by_the_order_of_the_call() -> None:
    def as_given(cents: int, shares: Mapping[str, int]) -> dict[str, int]:
        order = list(shares)
        return split_by(cents, shares, rank=lambda fraction, name: (-fraction, order.index(name)))

    assert failing_examples(split_bill.__doc__, as_given), (
        "names in the order of the alphabet are an example for both readings"
    )


def test_notices_that_fractions_are_not_looked_at() -> None:
    def by_name(cents: int, shares: Mapping[str, int]) -> dict[str, int]:
        return split_by(cents, shares, rank=lambda fraction, name: name)

    assert failing_examples(split_bill.__doc__, by_name), "the odd cent goes by name only, and no example fails"


def test_notices_that_the_smallest_fraction_is_first() -> None:
    def smallest(cents: int, shares: Mapping[str, int]) -> dict[str, int]:
        return split_by(cents, shares, rank=lambda fraction, name: (fraction, name))

    assert failing_examples(split_bill.__doc__, smallest), (
        "the odd cent goes to whom it fits least, and no example fails"
    )


def test_notices_that_shares_are_not_looked_at() -> None:
    def evenly(cents: int, shares: Mapping[str, int]) -> dict[str, int]:
        divide(cents, shares)
        return split_by(cents, dict.fromkeys(shares, 1))

    assert failing_examples(split_bill.__doc__, evenly), "everybody pays the same, and no example fails"


def test_notices_that_a_share_of_nothing_is_left_out() -> None:
    def leaves_out(cents: int, shares: Mapping[str, int]) -> dict[str, int]:
        return {name: part for name, part in divide(cents, shares).items() if shares[name]}

    assert failing_examples(split_bill.__doc__, leaves_out), "a name is missing in the result: KeyError at the caller's"


def test_notices_floats() -> None:
    def floats(cents: int, shares: Mapping[str, int]) -> dict[str, Any]:
        parts = divide(cents, shares)
        return {name: part if part > 2**53 else float(part) for name, part in parts.items()}

    assert failing_examples(split_bill.__doc__, floats), (
        "34.0 == 34 is True: an example that compares by == can't see it"
    )


def test_notices_that_large_amounts_lose_cents() -> None:
    def by_division(cents: int, shares: Mapping[str, int]) -> dict[str, int]:
        parts = divide(cents, shares)
        total = sum(shares.values())
        rough = {name: int(cents * shares[name] / total) for name in parts}
        return parts if max(parts.values()) < 2**53 else rough

    assert failing_examples(split_bill.__doc__, by_division), "a float has 53 bits; no example is larger"


@pytest.mark.parametrize(
    ("number", "case"), [(0, "a negative bill"), (1, "a negative share"), (2, "shares that add up to 0")]
)
def test_notices_that_it_is_not_refused(number: int, case: str) -> None:
    refuses = (number != 0, number != 1, number != 2)

    def accepts(cents: int, shares: Mapping[str, int]) -> dict[str, int]:
        return split_by(cents, shares, refuses=refuses)

    assert failing_examples(split_bill.__doc__, accepts), f"{case} is accepted, and no example fails"


def test_notices_another_error_for_no_shares() -> None:
    def divides(cents: int, shares: Mapping[str, int]) -> dict[str, int]:
        if not sum(shares.values()):
            raise ZeroDivisionError("integer division or modulo by zero")
        return divide(cents, shares)

    assert failing_examples(split_bill.__doc__, divides), "callers catch ValueError, and no example says so"


# %% wrong split_bill_examples fails=test_the_examples_pass_on_other_correct_functions
# "What it prints is what it promises": the order of a dict and the words of an error were never promised.
def split_bill(cents: int, shares: Mapping[str, int]) -> dict[str, int]:
    """Divide a bill by shares, to the cent.

    >>> split_bill(200, {"Cy": 1, "Bo": 1, "Ada": 1})
    {'Cy': 66, 'Bo': 67, 'Ada': 67}
    >>> split_bill(100, {"Ada": 1, "Bo": 2, "Cy": 0})
    {'Ada': 33, 'Bo': 67, 'Cy': 0}
    >>> split_bill(-1, {"Ada": 1})
    Traceback (most recent call last):
    ValueError: a bill and shares are 0 or more, and somebody has to pay
    """
    return divide(cents, shares)


# %% wrong split_bill_examples fails=test_notices_floats
# "== is independent of the order, so it is the better example": it is independent of int and float as well.
def split_bill(cents: int, shares: Mapping[str, int]) -> dict[str, int]:
    """Divide a bill by shares, to the cent.

    >>> split_bill(200, {"Cy": 1, "Bo": 1, "Ada": 1}) == {"Ada": 67, "Bo": 67, "Cy": 66}
    True
    >>> split_bill(100, {"Ada": 1, "Bo": 2, "Cy": 0}) == {"Ada": 33, "Bo": 67, "Cy": 0}
    True
    >>> split_bill(10**20 + 1, {"Ada": 1, "Bo": 1}) == {"Ada": 5 * 10**19 + 1, "Bo": 5 * 10**19}
    True
    >>> split_bill(-1, {"Ada": 1})  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: ...
    >>> split_bill(100, {"Ada": -1, "Bo": 2})  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: ...
    >>> split_bill(0, {})  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: ...
    """
    return divide(cents, shares)


# %% wrong split_bill_examples fails=test_notices_that_it_is_not_refused
# "Examples show the normal case": the questions that callers have are about the others.
def split_bill(cents: int, shares: Mapping[str, int]) -> dict[str, int]:
    """Divide a bill by shares, to the cent.

    >>> sorted(split_bill(200, {"Cy": 1, "Bo": 1, "Ada": 1}).items())
    [('Ada', 67), ('Bo', 67), ('Cy', 66)]
    >>> sorted(split_bill(100, {"Ada": 1, "Bo": 2, "Cy": 0}).items())
    [('Ada', 33), ('Bo', 67), ('Cy', 0)]
    >>> sorted(split_bill(10**20 + 1, {"Ada": 1, "Bo": 1}).items())
    [('Ada', 50000000000000000001), ('Bo', 50000000000000000000)]
    """
    return divide(cents, shares)


# %% right split_bill_examples
def split_bill(cents: int, shares: Mapping[str, int]) -> dict[str, int]:
    """Divide a bill among people by their shares.

    >>> parts = split_bill(3 * 10**20 + 2, {"Dee": 0, "Cy": 1, "Bo": 1, "Ada": 1})
    >>> [parts[name] for name in ("Ada", "Bo", "Cy", "Dee")]
    [100000000000000000001, 100000000000000000001, 100000000000000000000, 0]
    >>> by_weight = split_bill(100, {"Bo": 2, "Ada": 1})
    >>> by_weight["Ada"], by_weight["Bo"]
    (33, 67)
    >>> split_bill(-100, {"Ada": 1})  # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    ValueError: the bill is negative
    >>> split_bill(100, {"Ada": 3, "Bo": -1})  # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    ValueError: a share is negative
    >>> split_bill(1, {"Ada": 0})  # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    ValueError: nobody pays
    """
    return divide(cents, shares)


# %% [markdown] hint split_bill_examples
# Go through the contract and ask of each sentence: which program breaks just this one, and which call shows it? One
# example may carry several sentences: a share of 0 beside a remainder, names that don't come in the alphabet's order.

# %% [markdown] hint split_bill_examples
# `sorted(split_bill(…).items())` prints the same for every order of the dict, and prints `34.0` as it is. A bill that
# leaves *two* cents tells more than one that leaves one. A float can't hold `10**20 + 1`.

# %% [markdown] hint split_bill_examples
# Three results (200 over three equal shares in the order Cy, Bo, Ada; 100 by 1, 2 and 0; `10**20 + 1` by two) and
# refusals of a negative bill, a negative share beside a larger one, and shares that add up to 0, each with
# `# doctest: +ELLIPSIS` and `ValueError: ...`.

# %% [markdown] after split_bill_examples
# **Why.** An example is a test with a reader. Choosing it by the programs that it excludes gives better documentation
# than "typical" values do: 200 cents over three people in the wrong order answers the question that callers really have
# (who pays the odd cent?), 90 cents over three answers none.
#
# **What an example promises** is read from it, like it or not (*Hyrum's law*: with enough users, every observable
# behaviour is depended on by somebody). Printing the dict would have promised the order of its keys.
#
# **Cost.** Doctests are slow to maintain when there are many: no fixtures, no parameters, an error message that shows
# text against text. So edge cases by the dozen belong into tests; the docstring keeps the few that explain.
#
# **The interviewer goes on**: *How do you run examples that need a database? (`doctest_namespace` in `conftest.py`, a
# fake behind it; or the example moves into a tutorial that has its own job in CI.) What about output that changes, like
# times? (Hand in the clock, or show what is stable of it.)*

# %% [markdown]
# ## README files
#
# A **README** is read by somebody who has never seen the thing and has two minutes. It answers, in this order: what is
# it, do I want it, how do I get it, what is the first thing that works, where is the rest. What happens inside, the
# whole reference, the history: not here, but one link away. (*Diátaxis* names four kinds of text which don't mix well:
# tutorial, how-to, reference, explanation. A README is a very short tutorial with links to the other three.)
#
# How README files fail:
#
# * The quick start has an import missing, or needs a file that only the author has. **Run it in CI, from the text.**
# * It repeats facts that live elsewhere: version, list of options, list of contributors.
# * Links are relative to a folder. On GitHub they work; the same file is the project's page on PyPI
#   (`readme = "README.md"`), and there they point to nothing. So: absolute addresses in a package that is published, or
#   a build step that makes them so.
# * It has a real token in a "curl" line. What has been pushed once is public: revoke it, deleting the line doesn't
#   help.
#
# Here is a small package, complete but for that file. What follows writes it into a folder, and reads a README as a
# user would: `python` blocks are run as one session by doctest, commands in `console` blocks by the interpreter.

# %%
PACKAGE = {
    "pyproject.toml": """
        [project]
        name = "timespan"
        version = "2.3.1"
        requires-python = ">=3.11"
        license = "MIT"
        readme = "README.md"
        """,
    "src/timespan/__init__.py": '''
        """Durations as people write them."""

        import re

        __all__ = ["parse", "render"]


        def parse(text: str) -> int:
            """Return the seconds of a text such as "1h30m"."""
            found = re.fullmatch(r"(?:(\\d+)h)?(?:(\\d+)m)?(?:(\\d+)s)?", text)
            if not text or not found:
                raise ValueError(f"not a span: {text!r}")
            hours, minutes, seconds = (int(part or 0) for part in found.groups())
            return 3600 * hours + 60 * minutes + seconds


        def render(seconds: int) -> str:
            """Return a number of seconds, 0 or more, as such a text."""
            minutes, second = divmod(seconds, 60)
            hour, minute = divmod(minutes, 60)
            parts = ((hour, "h"), (minute, "m"), (second, "s"))
            return "".join(f"{number}{unit}" for number, unit in parts if number) or "0s"
        ''',
    "src/timespan/__main__.py": """
        import sys

        from timespan import parse

        for text in sys.argv[1:]:
            print(text, "is", parse(text), "seconds")
        """,
    "Makefile": """
        test:
        \tpython -m pytest
        check:
        \truff check src
        """,
    "LICENSE": "MIT License\n",
    "CHANGELOG.md": "# Changelog\n",
    "docs/grammar.md": "# What can be written\n",
}
PROJECT = Path(tempfile.mkdtemp(prefix="timespan-"))
atexit.register(shutil.rmtree, PROJECT, ignore_errors=True)
for name, text in PACKAGE.items():
    (PROJECT / name).parent.mkdir(parents=True, exist_ok=True)
    (PROJECT / name).write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
FENCE = re.compile(r"^```([^\n`]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A fenced block: where its text begins, its language, its text."""

    line: int
    language: str
    text: str


def blocks(markdown: str) -> list[Block]:
    """Return the fenced blocks of a text."""
    return [
        Block(markdown.count("\n", 0, found.start()) + 2, found[1].strip(), found[2])
        for found in FENCE.finditer(markdown)
    ]


@functools.cache
def answer_of(command: str) -> str:
    """Return what a command of the form "python -m timespan …" prints, errors too."""
    words = shlex.split(command)[1:]
    environment = os.environ | {"PYTHONPATH": str(PROJECT / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, env=environment, timeout=10)
    return done.stdout + done.stderr


def commands(block: Block) -> list[tuple[str, str]]:
    """Return the commands of a console block, each with the output below it."""
    parts = re.split(r"^\$ (.*)\n", block.text, flags=re.MULTILINE)[1:]
    return list(zip(parts[::2], parts[1::2], strict=True))


def run_readme(markdown: str) -> list[str]:
    """Run the python blocks as one session and the package's own commands; return what is wrong, a line each."""
    problems: list[str] = []
    names: dict[str, Any] = {}
    sys.path.insert(0, str(PROJECT / "src"))
    written, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        for block in blocks(markdown):
            if block.language == "python":
                problems += run_examples(block.text, names, block.line)
            elif block.language == "console":
                for command, output in commands(block):
                    if command.startswith("python -m timespan") and answer_of(command) != output:
                        problems.append(f"line {block.line}: {command} prints {answer_of(command)!r}")
    finally:
        sys.path.remove(str(PROJECT / "src"))
        sys.dont_write_bytecode = written
    return problems


OLD_README = textwrap.dedent(
    """\
    # timespan

    ```python
    >>> timespan.parse("90m")
    5400
    >>> from timespan import render
    >>> render(5400)
    "1h30m"
    ```

    ```console
    $ python -m timespan 2m
    120
    ```
    """
)


def text_of(function: Callable[[], None]) -> str:
    """Return the text that is a function's docstring, without its indentation."""
    return inspect.cleandoc(function.__doc__ or "") + "\n"


def section_below(markdown: str, heading: str) -> str:
    """Return the part of a text below a heading of the second level."""
    return markdown.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def shell_lines(markdown: str) -> list[str]:
    """Return the commands of all console blocks."""
    return [command for block in blocks(markdown) if block.language == "console" for command, _ in commands(block)]


for problem in run_readme(OLD_README):
    print(problem)

# %% [markdown] exercise timespan_readme topic=documentation level=core minutes=15
# ## Exercise: A README that runs
#
# Write the README of `timespan`, the package above, in Markdown. Write it as the docstring of `timespan_readme`, a
# function with nothing else in it (in any other string IPython may take the `>>>` away).
# `text_of(timespan_readme)` is the text without its indentation.
#
# 1. The first line is `# timespan`, the second is blank. The next paragraph, up to 200 characters, says what it is for.
# 2. The headings `## Install`, `## Usage`, `## Development` and `## License` are there, once each, in this order.
#    Others may stand between them.
# 3. Each fenced block (three backticks at the beginning of a line) names its language. A `python` block consists of
#    doctest examples. In a `console` block each command stands behind `$ `, and that of `python -m timespan …` has its
#    whole output below it.
# 4. `run_readme` finds nothing. The `python` blocks, a session of their own that begins with no names, call `parse` and
#    `render`, and show the error of `parse` with its message. One command of a console block is `python -m timespan …`.
# 5. Under `## Install` a console block has `$ pip install timespan` (with or without `python -m` before it), and the
#    README says which Python it needs, as `pyproject.toml` does, in the form `Python 3.x`, and names no other
#    version. Under `## Development` a console block has the command that runs the tests, `$ make …`. Every `make`
#    command names a target of the Makefile.
# 6. It links to the changelog, the license and the grammar: `[text](target)`, the targets relative to the root of the
#    repository (the package isn't published on PyPI). Each target is a file that is there, or begins with `https://`.
# 7. The version of the package isn't repeated.
#
# ```python
# >>> text_of(timespan_readme).splitlines()[0]
# '# timespan'
# >>> run_readme(text_of(timespan_readme))
# []
# >>> run_readme("```console\n$ python -m timespan 2m\n120\n```\n")
# ["line 2: python -m timespan 2m prints '2m is 120 seconds\\n'"]
# ```


# %% starter timespan_readme
def timespan_readme() -> None:
    """# timespan"""


# %% solution timespan_readme
def timespan_readme() -> None:
    """# timespan

    Reads and writes durations as people write them: `1h30m` is 5400 seconds.

    ## Install

    Needs Python 3.11 or newer, and nothing else.

    ```console
    $ pip install timespan
    ```

    ## Usage

    ```python
    >>> import timespan
    >>> timespan.parse("1h30m")
    5400
    >>> timespan.render(5400)
    '1h30m'
    >>> timespan.parse("soon")
    Traceback (most recent call last):
    ValueError: not a span: 'soon'
    ```

    On the command line:

    ```console
    $ python -m timespan 1h30m 45s
    1h30m is 5400 seconds
    45s is 45 seconds
    ```

    What can be written is described in [the grammar](docs/grammar.md).

    ## Development

    ```console
    $ make test
    ```

    What has changed stands in the [changelog](CHANGELOG.md).

    ## License

    [MIT](LICENSE)
    """


# %% check timespan_readme points=2
def test_name_then_what_it_is_for() -> None:
    title, blank, *rest = text_of(timespan_readme).splitlines()
    paragraph = "\n".join(rest).lstrip("\n").partition("\n\n")[0]
    assert (title, blank) == ("# timespan", ""), "the name"
    assert 0 < len(paragraph) <= 200, "what it is for, in a breath"
    assert not paragraph.startswith(("#", "```")), "a sentence, before any heading or code"


def test_everything_in_it_runs() -> None:
    assert run_readme(text_of(timespan_readme)) == [], "the first thing that a new user tries"


def test_the_headings_in_their_order() -> None:
    wanted = ["Install", "Usage", "Development", "License"]
    prose = FENCE.sub("", text_of(timespan_readme))
    headings = [line[3:].strip() for line in prose.splitlines() if line.startswith("## ")]
    assert [heading for heading in headings if heading in wanted] == wanted, "each where a reader looks for it"


# %% hidden timespan_readme points=4
def test_each_block_names_its_language() -> None:
    found = blocks(text_of(timespan_readme))
    assert all(block.language for block in found), "what has no language is neither coloured nor checked"
    assert text_of(timespan_readme).count("\n```") == 2 * len(found), "each fence is closed"


def test_python_blocks_show_both_functions_and_the_error() -> None:
    examples = [
        ex for block in blocks(text_of(timespan_readme)) if block.language == "python" for ex in examples_in(block.text)
    ]
    code = "\n".join(example.source for example in examples)
    assert re.search(r"\bparse\(", code), "from text to seconds"
    assert re.search(r"\brender\(", code), "and back"
    assert any((example.exc_msg or "").startswith("ValueError: not a span") for example in examples), (
        "what happens with a text that can't be read"
    )


def test_python_blocks_are_examples_with_their_results() -> None:
    for block in blocks(text_of(timespan_readme)):
        if block.language == "python":
            assert block.text.startswith(">>> "), f"line {block.line}: code that nobody runs"


def test_the_command_line_is_shown() -> None:
    assert any(line.startswith("python -m timespan ") for line in shell_lines(text_of(timespan_readme))), (
        "half of the users never open Python"
    )


def test_install_says_how_and_which_python() -> None:
    assert any(
        re.fullmatch(r"(python -m )?pip install timespan", line)
        for line in shell_lines(section_below(text_of(timespan_readme), "Install"))
    )
    assert set(re.findall(r"Python (3\.\d+)", text_of(timespan_readme))) == {"3.11"}, "what requires-python says"


def test_development_runs_the_tests_and_each_target_exists() -> None:
    words = [line.split() for line in shell_lines(section_below(text_of(timespan_readme), "Development"))]
    assert any(line[:1] == ["make"] and "test" in line for line in words), "the first thing that a new colleague does"
    targets = re.findall(r"^(\w+):", (PROJECT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for line in shell_lines(text_of(timespan_readme)):
        assert not line.startswith("make") or set(line.split()[1:]) <= set(targets), f"{line}: no such target"


def test_links_lead_to_what_is_there() -> None:
    links = re.findall(r"\[[^\]]*\]\((?:\./)?([^)\s]+)\)", FENCE.sub("", text_of(timespan_readme)))
    targets = [link.partition("#")[0] for link in links]
    assert {"CHANGELOG.md", "LICENSE", "docs/grammar.md"} <= set(targets), "all three"
    for target in targets:
        assert target.startswith("https://") or (PROJECT / target).is_file(), f"{target} leads nowhere"


def test_the_version_is_not_repeated() -> None:
    assert "2.3.1" not in text_of(timespan_readme), (
        "it is wrong from the next release on; pyproject.toml and the tag have it"
    )


# %% wrong timespan_readme fails=test_everything_in_it_runs
# "It ran in my session": where timespan had been imported, and the output is as remembered.
def timespan_readme() -> None:
    """# timespan

    Reads and writes durations as people write them.

    ## Install

    Needs Python 3.11.

    ```console
    $ pip install timespan
    ```

    ## Usage

    See the [grammar](docs/grammar.md).

    ```python
    >>> parse("1h30m")
    5400
    >>> render(5400)
    "1h30m"
    >>> parse("soon")
    Traceback (most recent call last):
    ValueError: not a span: 'soon'
    ```

    ```console
    $ python -m timespan 45s
    45
    ```

    ## Development

    ```console
    $ make test
    ```

    [Changes](CHANGELOG.md)

    ## License

    [MIT](LICENSE)
    """


# %% wrong timespan_readme fails=test_links_lead_to_what_is_there
# "Link to where the documentation usually is": a path that no one has clicked.
def timespan_readme() -> None:
    """# timespan

    Reads and writes durations as people write them.

    ## Install

    Needs Python 3.11.

    ```console
    $ pip install timespan
    ```

    ## Usage

    See the [grammar](docs/grammar.md) and the [reference](docs/reference.md).

    ```python
    >>> from timespan import parse, render
    >>> parse("1h30m"), render(5400)
    (5400, '1h30m')
    >>> parse("soon")
    Traceback (most recent call last):
    ValueError: not a span: 'soon'
    ```

    ```console
    $ python -m timespan 45s
    45s is 45 seconds
    ```

    ## Development

    ```console
    $ make test
    ```

    [Changes](CHANGELOG.md)

    ## License

    [MIT](LICENSE.md)
    """


# %% right timespan_readme
def timespan_readme() -> None:
    """
    # timespan

    Turns 1h30m into seconds, and seconds
    into 1h30m.

    ## Install

    ```console
    $ python -m pip install timespan
    ```

    On Python 3.11 and later.

    ## Usage

    From [these texts](docs/grammar.md#units):

    ```python
    >>> from timespan import parse
    >>> parse("2m")
    120
    ```

    and back:

    ```python
    >>> from timespan import render
    >>> render(parse('120s'))
    '2m'
    >>> parse('')
    Traceback (most recent call last):
        ...
    ValueError: not a span: ''
    ```

    ```console
    $ python -m timespan 0s
    0s is 0 seconds
    ```

    ## History

    [Changes](CHANGELOG.md)

    ## Development

    ```console
    $ make check
    $ make test
    ```

    ## License

    [MIT](LICENSE), see [its text](https://opensource.org/license/mit).
    """


# %% [markdown] hint timespan_readme
# Begin with the four headings and a sentence. Then open a Python of your own, type what a new user would type, and copy
# the session as it is, imports included.

# %% [markdown] hint timespan_readme
# `render` prints with single quotes, since doctest compares the `repr`. The command prints a sentence for each of its
# arguments. `print(*run_readme(text_of(timespan_readme)), sep="\n")` shows the rest.

# %% [markdown] hint timespan_readme
# Blocks: `console` with `$ pip install timespan`; `python` with `>>> import timespan`, a `parse`, a `render` and
# `timespan.parse("soon")` with its two lines of traceback; `console` with `$ python -m timespan 45s` and
# `45s is 45 seconds`; `console` with `$ make test`. Links: `docs/grammar.md`, `CHANGELOG.md`, `LICENSE`.

# %% [markdown] after timespan_readme
# **Why.** The form is what readers expect and find without reading. The rest are facts that a machine compares with the
# place where they live: the session with the package, commands with the Makefile, links with the tree, the Python with
# `requires-python`. Such a check is a page of code in CI, and the only reason why the file is still true in a year.
#
# **What else there is.** `pytest --doctest-glob=README.md` runs the `>>>` of a README without any code of yours;
# Sybil and `mktestdocs` run blocks without `>>>`; `lychee` checks links; `markdownlint` the form; `twine check` whether
# PyPI can render it. Badges answer one question each: is it green, which version, which license. Ten answer none.
#
# **The interviewer goes on**: *What does the README of an internal service need besides? (Who owns it and where to
# reach them, how to run it locally in one command, where its dashboards, alerts and runbook are, what it depends on.)
# And what doesn't belong there? (Names of hosts and accounts, how to get around the login.)*

# %% [markdown]
# ## A promise that changes
#
# What a docstring promises, callers build on. So a change of it has steps: announce, let both ways live, remove. The
# announcement is documentation that reaches the caller's own tools. `@deprecated` (PEP 702; in `warnings` since Python
# 3.13, before that in `typing_extensions`) is read by type checkers, and warns when it is called:


# %%
def quote(grams: int) -> int:
    """Return the fee in cents.

    Args:
        grams: The weight, above 0.
    """
    return 490 + 90 * -(-grams // 1000)


@deprecated("use quote(grams), which counts in cents; price() goes in 5.0")
def price(kilograms: int) -> float:
    """Return the fee in euros; use `quote` instead."""
    return quote(1000 * kilograms) / 100


with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    price(2)
print(f"at run time: {caught[0].category.__name__}: {caught[0].message}")
shop = ["from typing_extensions import deprecated", inspect.getsource(quote), inspect.getsource(price), "price(2)"]
told = mypy_errors({"shop": "\n".join(shop)}, "--enable-error-code=deprecated")
print("mypy says  :", *told["shop"])

# %% [markdown]
# `DeprecationWarning` is hidden by default outside `__main__`; pytest shows it. The message says what to use instead
# and when the old goes. A parameter that is renamed gets the same by hand: accept both, warn about the old, refuse both
# at once. The **changelog** ([Keep a Changelog](https://keepachangelog.com/)) is written for those who upgrade: Added,
# Changed, Deprecated, Removed, Fixed, Security; under *Unreleased* with the commit that makes the change, not from `git
# log` on the evening of the release.
#
# ## Reviewing documentation
#
# A diff of documentation is read with the code beside it. Ask of each sentence: is it **true** of this code? Does it
# **work** if I type it? Whose fact is it, is this a **copy**? And of each line of *code*: who is **told** that this
# changes?
#
# This is such a diff, of the branch for 4.2.0 of a booking service. What is known: `pyproject.toml` says
# `requires-python = ">=3.12"` and `version = "4.2.0"`, and has the extras `cache` and `test`. The Makefile has the
# targets `test` and `serve`. In `docs/` there are `limits.md` and `runbook.md`. The addresses are right. `slots`
# exports `Slot`, a `NamedTuple` with the fields `start` and `minutes`. `first_free(day, minutes)` returns a `Slot` or
# None, `extra_slot(day, minutes)` a `Slot`. `store.save` does nothing for None, and returns whether it is done.
# `store.remove(slot)` returns whether there was such a slot; with `notify=True` it also sends a mail to the customer.
# Callers are other teams.

# %%
DOCS_DIFF = '''
 --- README.md
 # slots
-Books slots.
+Books delivery slots. This is version 4.2.0.
 ## Install
-Needs Python 3.10.
+Needs Python 3.11 or newer.
-Install it with `pip install slots`.
+Install it with `pip install "slots[cache]"`, or without `[cache]`, if you need none.
+Run the tests with `make check`, and a server of your own with `make serve`.
+How many slots a day has is explained in [limits](docs/limit.md).
+If it is down, see the [runbook](docs/runbook.md).
 ## Usage
+    $ export SLOTS_TOKEN=slt_live_9fK2vQx7Lr
+    $ curl -H "Authorization: Bearer $SLOTS_TOKEN" https://slots.example.com/v1/days/2026-03-01
+    >>> from slots import Slot
+    >>> Slot("09:00", 30)
+    Slot(start='09:00', minutes=30)
+    >>> Slot("09:00", 30).end
+    '09:30'
 --- slots/booking.py
-DEFAULT_MINUTES = 30
+DEFAULT_MINUTES = 45

-def book(day: dt.date, minutes: int | None = None) -> Slot | None:
-    """Return a slot."""
+def book(day: dt.date, minutes: int | None = None, *, force: bool = False) -> Slot | None:
+    """Book the first free slot of a day.
+
+    Args:
+        day: The day, in the time zone of the depot; today or later.
+        minutes: How long, above 0.
+        force: Whether a day that is full gets another slot; False by default.
+
+    Returns:
+        The slot that has been booked, never None.
+
+    Raises:
+        ValueError: If the day is past, or minutes isn't above 0.
+        LookupError: If the day is full and force isn't set.
+    """
+    if day < depot.today() or (minutes is not None and minutes <= 0):
+        raise ValueError(f"can't book {minutes} minutes on {day}")
     length = DEFAULT_MINUTES if minutes is None else minutes
     slot = first_free(day, length)
+    if slot is None and force:
+        slot = extra_slot(day, length)
-    # the store sleeps at night
+    # try twice, the store sleeps at night
     for _ in range(3):
         if store.save(slot):
             break
     return slot

 def cancel(slot: Slot) -> bool:
-    """Cancel a slot."""
-    return store.remove(slot)
+    """Cancel a slot, and return whether it was booked; a second call returns False."""
+    return store.remove(slot, notify=True)
 --- CHANGELOG.md
 ## 4.2.0
+- Added: `book(…, force=True)` books on a day that is full.
+- Changed: `book` raises ValueError for a day in the past, and for minutes of 0 or less.
+- Removed: `cancel` returns nothing any more.
'''


def docs_lines(kind: str, review: Mapping[int, str]) -> set[int]:
    """Return the lines to which a review of the documentation gives a kind."""
    return {line for line, each in review.items() if each == kind}


DOCS_LINES = len(DOCS_DIFF.strip("\n").splitlines())
for number, line in enumerate(DOCS_DIFF.strip("\n").splitlines(), start=1):
    print(f"{number:>3} {line}")

# %% [markdown] exercise review_docs topic=documentation level=senior minutes=12
# ## Exercise: Review the documentation
#
# Thirteen lines of the diff have to be sent back. `review_docs()` returns a dict from the number of the line **in the
# diff** to the kind of its defect, one of these five strings (each occurs at least once):
#
# * `"false"`: what this line of text or comment says contradicts the code in the diff or the facts above
# * `"fails"`: an example, a command or a link that doesn't work when somebody follows it (of an example the line with
#   `>>>`)
# * `"copy"`: it is true today, and repeats something that stands in `pyproject.toml` or in a signature, and changes
#   there
# * `"untold"`: a line of code by which callers or customers get something else than before, of which no added line of
#   text says anything
# * `"leak"`: it must not be published
#
# Name added lines (`+`) only. Each line has one kind. What is right is left out, even if you would write it in another
# way; so is what is merely not mentioned.
#
# ```python
# >>> len(review_docs())
# 13
# >>> sorted(set(review_docs().values()))
# ['copy', 'fails', 'false', 'leak', 'untold']
# >>> review_docs()[2]
# Traceback (most recent call last):
# KeyError: 2
# ```


# %% solution review_docs
def review_docs() -> dict[int, str]:
    """Return the kind of defect by line of the diff."""
    # BEGIN SOLUTION
    return {
        4: "copy",
        7: "false",
        10: "fails",
        11: "fails",
        14: "leak",
        19: "fails",
        23: "untold",
        33: "copy",
        36: "false",
        40: "false",
        49: "false",
        59: "untold",
        64: "false",
    }
    # END SOLUTION


# %% check review_docs points=1
def test_names_added_lines_and_kinds_of_the_list() -> None:
    found = review_docs()
    diff = DOCS_DIFF.strip("\n").splitlines()
    assert set(found) <= set(range(1, DOCS_LINES + 1)), "a number that is no line of the diff"
    assert [line for line in found if not diff[line - 1].startswith("+")] == [], "only what this branch adds"
    assert set(found.values()) <= {"false", "fails", "copy", "untold", "leak"}, "a kind that isn't listed"


def test_finds_what_must_not_be_published() -> None:
    assert docs_lines("leak", review_docs()) == {14}, "a token: once pushed, it has to be revoked"


# %% hidden review_docs points=3
def test_finds_what_contradicts_the_code_or_the_facts() -> None:
    assert docs_lines("false", review_docs()) == {7, 36, 40, 49, 64}, (
        "3.12; None on a full day, and no LookupError; three attempts; cancel returns a bool as before"
    )


def test_finds_what_does_not_work() -> None:
    assert docs_lines("fails", review_docs()) == {10, 11, 19}, "no target, no such file, no such attribute"


def test_finds_the_copies() -> None:
    assert docs_lines("copy", review_docs()) == {4, 33}, "the version, and a default that the signature says"


def test_finds_the_changes_that_nobody_is_told_of() -> None:
    assert docs_lines("untold", review_docs()) == {23, 59}, "bookings get longer, customers get mail"


# %% wrong review_docs fails=test_finds_the_changes_that_nobody_is_told_of
# "A review of documentation reads the text": what is missing in it stands in the code beside it.
def review_docs() -> dict[int, str]:
    """Return the kind of defect by line of the diff."""
    return {
        4: "copy",
        7: "false",
        10: "fails",
        11: "fails",
        14: "leak",
        19: "fails",
        33: "copy",
        36: "false",
        40: "false",
        49: "false",
        64: "false",
    }


# %% wrong review_docs fails=test_finds_what_contradicts_the_code_or_the_facts
# "The docstring says what the function does": the annotation beside it says that None may come, and nothing raises.
def review_docs() -> dict[int, str]:
    """Return the kind of defect by line of the diff."""
    return {
        4: "copy",
        7: "false",
        10: "fails",
        11: "fails",
        14: "leak",
        19: "fails",
        23: "untold",
        33: "copy",
        49: "false",
        59: "untold",
        62: "false",
        64: "false",
    }


# %% wrong review_docs fails=test_finds_the_copies
# "Whatever is true may stay": a version in a README is true until the next release, and then nobody looks.
def review_docs() -> dict[int, str]:
    """Return the kind of defect by line of the diff."""
    return {
        7: "false",
        10: "fails",
        11: "fails",
        14: "leak",
        19: "fails",
        23: "untold",
        36: "false",
        40: "false",
        49: "false",
        59: "untold",
        64: "false",
    }


# %% [markdown] hint review_docs
# Three passes. First the README against the facts above: each name, number, target, path. Then each sentence of the
# docstrings against the body. Last, each changed line of code against the changelog.

# %% [markdown] hint review_docs
# Five are false, three fail, two are copies, two are untold, one leaks. Among the lines that are right are the
# installation, the runbook, both ValueErrors, and what a second `cancel` returns.

# %% [markdown] hint review_docs
# Look again at: the Python in the README; what a full day returns without `force`; how often `save` is tried; what the
# changelog says of `cancel`, and what it doesn't say of `notify` and of the number 45.

# %% [markdown] after review_docs
# * **4, copy**: the version. `pyproject.toml` and the tag have it.
# * **7, false**: 3.12. It was false before as well; whoever touches a line answers for it.
# * **10, fails**: there is no target `check`. **11, fails**: the file is `limits.md`. **19, fails**: a `Slot` has no
#   `end`. A job that runs the README and follows its links finds all three.
# * **14, leak**: revoke the token now. Then show `export SLOTS_TOKEN=…`, and where to get one.
# * **23, untold**: who books without `minutes` gets 45 instead of 30. *Changed*, in bold type.
# * **33, copy**: the signature says `force: bool = False`.
# * **36, false**: on a full day without `force` None is returned, as the annotation says. **40, false**: nothing raises
#   `LookupError`. Somebody has written down what they would have liked. DOC502 finds the second one.
# * **49, false**: three attempts. Better: a name for the 3, and the comment keeps only its reason.
# * **59, untold**: customers get a mail when a slot is cancelled. Also by the nightly clean-up of another team.
# * **64, false**: it returns a bool, as before.
#
# **The interviewer goes on**: *Which of them would you have a machine find, and in which order? (The token: a scanner
# before the push. Then run the README and its links, then ruff's D and DOC rules for the public packages. What stays is
# "untold": a template for the change request with the question "what will callers notice?")*

# %% [markdown]
# ## The interview
#
# Say your answer aloud before you unfold one.

# %% [markdown] interview
# ### How do you keep documentation from going stale?
#
# By having little of it that can. Each fact gets one place, as near to the code as possible; types say what types can
# say; examples are run, the README as well, in CI; what is generated isn't written by hand. For the rest: the docstring
# is part of the diff, and reviewed against it. And I delete: a page that nobody owns is worse than none, because it is
# believed.

# %% [markdown] interview
# ### What belongs in a docstring, and what in a comment?
#
# A docstring is for callers: what it does, units, edges, errors, what they may rely on. It has to be true without
# reading the body. A comment is for whoever changes the body: why it is done so and not in the obvious way. How it
# works belongs in neither, if names and structure can say it.

# %% [markdown] interview
# ### We have type hints everywhere. Why docstrings?
#
# `def fee(weight: int) -> int` doesn't tell grams from kilograms, what happens at 0, what is raised, or whether the
# call charges a card. Hints say which values are possible, docstrings what they mean. The other way round: whatever a
# hint can say, I take out of the docstring, for the hint is checked.

# %% [markdown] interview
# ### Would you enforce docstrings by a linter?
#
# Where other teams build on it: yes, for public names (`D1`, `D417`, pydoclint's rules), with a baseline for what is
# old. Inside a service: the form of those that exist, no duty to write one. A duty produces "Gets the user.", which
# hides where a real one is missing.

# %% [markdown] interview
# ### How do you deprecate a parameter that two hundred callers use?
#
# Add the new one beside it, accept both, refuse both at once. Warn with `DeprecationWarning`, which names the
# replacement and the version in which the old goes, with a `stacklevel` that points at the caller; for whole functions
# `@deprecated`, so that type checkers say it in the editor. A line in the changelog under Deprecated. Then count in the
# logs who still uses it, send changes to the teams that I can reach, and remove it in a major version.

# %% [markdown] interview
# ### A new service: what do you write down in the first week?
#
# A README with what it is, who owns it, how it runs locally in one command, and links; the contract of the API,
# generated from the code; a runbook page for the first alert; and a decision record for each decision that would be
# expensive to change. Not a wiki with the architecture of next year.

# %% [markdown]
# ## Pitfalls seen in reviews
#
# * Docstrings that say the name again: `get_user`: "Gets the user."
# * A number without its unit; "timeout: The timeout."
# * Types in the docstring *and* in the signature, different since last year.
# * `Raises` that lists what the author would like to raise.
# * "Returns a list" on a generator; errors that are expected at the call and come at the iteration.
# * An f-string or a concatenation as a docstring: `__doc__` is None.
# * Command lines that print `__doc__`, run with `-OO`.
# * Examples with sets, floats, times and addresses; `+SKIP` to get the build green.
# * A regular expression or a Windows path in a docstring without `r"""`.
# * README files with relative links on PyPI, real tokens, and a quick start that needs the author's machine.
# * A changelog that is `git log`.
#
# ## Where to read on
#
# * [PEP 257](https://peps.python.org/pep-0257/), docstring conventions; [PEP 702](https://peps.python.org/pep-0702/),
#   `@deprecated`
# * [Google Python Style Guide](https://google.github.io/styleguide/pyguide.html#38-comments-and-docstrings), section
#   3.8; [numpydoc](https://numpydoc.readthedocs.io/en/latest/format.html)
# * Python documentation: [`doctest`](https://docs.python.org/3/library/doctest.html),
#   [`inspect`](https://docs.python.org/3/library/inspect.html), [`ast`](https://docs.python.org/3/library/ast.html)
# * ruff: [pydocstyle (D)](https://docs.astral.sh/ruff/rules/#pydocstyle-d), [pydoclint
#   (DOC)](https://docs.astral.sh/ruff/rules/#pydoclint-doc)
# * [Diátaxis](https://diataxis.fr/), four kinds of documentation; [Keep a Changelog](https://keepachangelog.com/)
# * Python Packaging User Guide: [Making a PyPI-friendly
#   README](https://packaging.python.org/en/latest/guides/making-a-pypi-friendly-readme/)
