"""Small changes of SQL. The tokens are sqlglot's; what isn't changed stays as it was written, to the last space."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache

from autograder.lesson.mutate.model import Kind

DIALECTS = ("postgres", "mysql", "sqlite")
# In capitals, as the course writes SQL: a sentence that begins with Select isn't a statement.
VERBS = re.compile(r"\s*(SELECT|WITH|INSERT|UPDATE|DELETE|MERGE|CREATE|ALTER|VALUES)\b")

COMPARISONS = {"=": "<>", "<>": "=", "!=": "=", "<": "<=", "<=": "<", ">": ">=", ">=": ">"}
CONNECTIVES = {"AND": "OR", "OR": "AND"}
DIRECTIONS = {"ASC": "DESC", "DESC": "ASC", "FIRST": "LAST", "LAST": "FIRST"}
SETS = {"UNION": "UNION ALL", "UNION ALL": "UNION", "EXCEPT": "INTERSECT", "INTERSECT": "EXCEPT"}
ARITHMETIC = {"+": "-", "-": "+", "*": "/", "/": "*"}
OPPOSITES = (
    ("min", "max"),
    ("sum", "avg"),
    ("bool_and", "bool_or"),
    ("greatest", "least"),
    ("lag", "lead"),
    ("first_value", "last_value"),
    ("rank", "dense_rank"),
    ("floor", "ceil"),
)
FUNCTIONS = {one: other for pair in OPPOSITES for one, other in (pair, pair[::-1])} | {"row_number": "rank"}

SIDES = {"LEFT", "RIGHT", "FULL", "INNER", "CROSS", "NATURAL", "OUTER"}
# What begins a clause, and so ends the one before it, at one depth of parentheses and of CASE.
CLAUSES = {
    *(
        "SELECT",
        "FROM",
        "JOIN",
        "LEFT",
        "RIGHT",
        "FULL",
        "INNER",
        "CROSS",
        "ON",
        "USING",
        "WHERE",
        "GROUP BY",
        "HAVING",
    ),
    *("WINDOW", "PARTITION BY", "ORDER BY", "ROWS", "RANGE", "GROUPS", "LIMIT", "OFFSET", "FETCH", "FOR", "UNION"),
    *("EXCEPT", "INTERSECT", "SET", "VALUES", "RETURNING", "WHEN", "THEN", "ELSE", ";"),
}
# Before these, NOT is no condition; after these, it is none that can go.
NOT_BEFORE = {"MATERIALIZED", "MATCHED", "DEFERRABLE", "VALID", "ENFORCED"}
NOT_AFTER = {"IF"}
NEGATABLE = {"IN", "EXISTS", "LIKE", "ILIKE", "BETWEEN"}
TYPES_WITH_SIZE = {"NUMERIC", "DECIMAL", "VARCHAR", "CHAR", "CHARACTER VARYING", "TIMESTAMP", "TIME", "BIT", "FLOAT"}
TYPES_OF_TEXT = {"INTERVAL", "DATE", "TIMESTAMP", "TIMESTAMPTZ", "TIME"}
AMOUNT = re.compile(r"'(\d+)(?= ?[a-z])")


@dataclass(frozen=True, slots=True)
class Edit:
    """Other text in the place of what stands from `start` to before `end`."""

    kind: Kind
    start: int
    end: int
    text: str

    def apply(self, statement: str) -> str:
        """Return the statement with this change."""
        return statement[: self.start] + self.text + statement[self.end :]


@dataclass(frozen=True, slots=True)
class Word:
    """A token: as it is written in capitals, where it stands, how deep in parentheses, and in which of CLAUSES."""

    text: str
    start: int
    end: int
    depth: int
    clause: str
    # Whether it begins that clause.
    begins: bool
    # "name", "number", "string", "" for others.
    sort: str


Words = Sequence[Word]
# Yields the changes of what the word with this index begins.
Operator = Callable[[Words, int], Iterator[Edit]]


def is_sql(text: str) -> bool:
    """Whether a string is a statement, or several."""
    return bool(VERBS.match(text)) and any(_parses(text, dialect) for dialect in DIALECTS)


def edits(statement: str) -> list[Edit]:
    """Return the changes of a statement, in the order in which they stand in it.

    A join is of another kind; a comparison, a connective, a negation is turned, a condition always holds; what is
    distinct no longer is; a key of a grouping, a partition or an order is dropped, its direction turned; a limit is
    dropped; a lock isn't taken; a number is one more, a string another one; a function or an operator is the opposite.
    """
    words = _words(statement)
    return [edit for index in range(len(words)) for operator in OPERATORS for edit in operator(words, index)]


@cache
def _parses(text: str, dialect: str) -> bool:
    """Whether a dialect knows the text as statements."""
    import sqlglot
    from sqlglot.errors import SqlglotError

    try:
        return all(sqlglot.parse(text, read=dialect))
    except SqlglotError:
        return False


def _words(statement: str) -> list[Word]:
    """Return the words of a statement."""
    import sqlglot

    words: list[Word] = []
    clauses = [""]
    tokens = sqlglot.tokenize(statement, read=DIALECTS[0])
    following = [*(token.text.upper() for token in tokens[1:]), ""]
    for token, after in zip(tokens, following, strict=True):
        kind = token.token_type.name
        sort = "string" if kind.endswith("STRING") else {"NUMBER": "number", "VAR": "name"}.get(kind, "")
        text = statement[token.start : token.end + 1] if sort == "string" else re.sub(r"\s+", " ", token.text.upper())
        if text in (")", "END") and len(clauses) > 1:
            clauses.pop()
        distinct = text == "FROM" and bool(words) and words[-1].text == "DISTINCT"
        function = text in ("LEFT", "RIGHT") and after == "("
        begins = text in CLAUSES and not distinct and not function
        if begins:
            clauses[-1] = text
        words.append(Word(text, token.start, token.end + 1, len(clauses), clauses[-1], begins, sort))
        if text in ("(", "CASE"):
            clauses.append("")
    return words


def _text(words: Words, index: int) -> str:
    """Return what the word with this index is, "" beyond both ends."""
    return words[index].text if 0 <= index < len(words) else ""


def _clause_end(words: Words, index: int) -> int:
    """Return the index after the last word of the clause that begins at `index`."""
    depth = words[index].depth
    for end in range(index + 1, len(words)):
        if words[end].depth < depth or (words[end].depth == depth and words[end].begins):
            return end
    return len(words)


def _keys(words: Words, index: int) -> list[tuple[int, int]]:
    """Return where the keys of the clause that begins at `index` begin, and end: as indices, the ends exclusive."""
    end = _clause_end(words, index)
    commas = [i for i in range(index, end) if words[i].text == "," and words[i].depth == words[index].depth]
    return list(zip([index + 1, *(comma + 1 for comma in commas)], [*commas, end], strict=True))


def _without_key(words: Words, keys: Sequence[tuple[int, int]], number: int, kind: Kind) -> Edit:
    """Return the change that drops one of several keys, and a comma with it."""
    if number + 1 < len(keys):
        return Edit(kind, words[keys[number][0]].start, words[keys[number + 1][0]].start, "")
    return Edit(kind, words[keys[number - 1][1] - 1].end, words[keys[number][1] - 1].end, "")


def _drop(words: Words, index: int, end: int, kind: Kind) -> Edit:
    """Return the change that drops the words from `index` to before `end`."""
    return Edit(kind, words[index].start, words[end - 1].end, "")


def _join(words: Words, index: int) -> Iterator[Edit]:
    """An outer join is an inner one, an inner one a left one."""
    if words[index].text != "JOIN":
        return
    first = index
    while _text(words, first - 1) in SIDES:
        first -= 1
    sides = {word.text for word in words[first:index]}
    if sides & {"LEFT", "RIGHT", "FULL"}:
        yield Edit(Kind.JOIN, words[first].start, words[index].end, "JOIN")
    elif not sides & {"CROSS", "NATURAL"}:
        yield Edit(Kind.JOIN, words[first].start, words[index].end, "LEFT JOIN")


def _condition(words: Words, index: int) -> Iterator[Edit]:
    """What is compared, connected or negated is so the other way round; a condition always holds."""
    word, before, after = words[index], _text(words, index - 1), _text(words, index + 1)
    if word.text in COMPARISONS and word.clause != "SET":
        yield Edit(Kind.PREDICATE, word.start, word.end, COMPARISONS[word.text])
    elif word.text in CONNECTIVES and not _is_between(words, index):
        yield Edit(Kind.PREDICATE, word.start, word.end, CONNECTIVES[word.text])
    elif word.text == "NOT" and after not in NOT_BEFORE and before not in NOT_AFTER:
        yield Edit(Kind.PREDICATE, word.start, words[index + 1].start, "")
    elif word.text == "IS" and after != "NOT":
        yield Edit(Kind.PREDICATE, word.start, word.end, "IS NOT")
    elif word.text in NEGATABLE and before not in {"NOT", "IF", "VALUES", "ROWS", "RANGE", "GROUPS"}:
        yield Edit(Kind.PREDICATE, word.start, word.end, f"NOT {word.text}")
    elif word.begins and (word.text in {"WHERE", "HAVING"} or (word.text == "ON" and after != "CONFLICT")):
        end = _clause_end(words, index)
        if word.text != "ON" or words[end - 1].end - words[index + 1].start > len("true"):
            yield Edit(Kind.PREDICATE, words[index + 1].start, words[end - 1].end, "true")


def _is_between(words: Words, index: int) -> bool:
    """Whether an AND is the one of BETWEEN."""
    for word in reversed(words[:index]):
        if word.depth < words[index].depth or (word.depth == words[index].depth and word.text in CONNECTIVES):
            return False
        if word.depth == words[index].depth and word.text == "BETWEEN":
            return True
    return False


def _group(words: Words, index: int) -> Iterator[Edit]:
    """Rows are no longer distinct; a key of a grouping or a partition is dropped; a set operation is another."""
    word, before, after = words[index], _text(words, index - 1), _text(words, index + 1)
    if word.text == "DISTINCT" and before in {"SELECT", "("} and after != "ON":
        yield Edit(Kind.GROUPING, word.start, words[index + 1].start, "")
    elif word.text in {"GROUP BY", "PARTITION BY"} and word.begins:
        keys = _keys(words, index)
        if len(keys) > 1:
            yield from (_without_key(words, keys, number, Kind.GROUPING) for number in range(len(keys)))
        elif word.text == "PARTITION BY":
            yield _drop(words, index, _clause_end(words, index), Kind.GROUPING)
    elif word.text in SETS:
        last = index + 1 if after == "ALL" else index
        both = " ".join(each.text for each in words[index : last + 1])
        if both in SETS:
            yield Edit(Kind.GROUPING, word.start, words[last].end, SETS[both])


def _order(words: Words, index: int) -> Iterator[Edit]:
    """A key is dropped, or its direction turned; rows without a value come at the other end."""
    word = words[index]
    if word.text == "ORDER BY":
        keys = _keys(words, index)
        for number, (_, end) in enumerate(keys):
            last = end - 2 if _text(words, end - 2) == "NULLS" else end
            if words[last - 1].text not in DIRECTIONS:
                yield Edit(Kind.ORDER, words[last - 1].end, words[last - 1].end, " DESC")
            if len(keys) > 1:
                yield _without_key(words, keys, number, Kind.ORDER)
        if len(keys) == 1:
            yield _drop(words, index, _clause_end(words, index), Kind.ORDER)
    elif word.text in {"ASC", "DESC"} or (word.text in {"FIRST", "LAST"} and _text(words, index - 1) == "NULLS"):
        yield Edit(Kind.ORDER, word.start, word.end, DIRECTIONS[word.text])


def _limit(words: Words, index: int) -> Iterator[Edit]:
    """All rows come, or the first ones too."""
    if words[index].text in {"LIMIT", "OFFSET"} and words[index].begins:
        yield _drop(words, index, _clause_end(words, index), Kind.LIMIT)


def _lock(words: Words, index: int) -> Iterator[Edit]:
    """Rows aren't locked; those that others have locked are waited for."""
    word, after = words[index], _text(words, index + 1)
    if word.text == "FOR" and after in {"UPDATE", "SHARE", "NO", "KEY"}:
        yield _drop(words, index, _clause_end(words, index), Kind.LOCK)
    elif (word.text, after) == ("SKIP", "LOCKED"):
        yield _drop(words, index, index + 2, Kind.LOCK)
    elif word.text == "NOWAIT":
        yield _drop(words, index, index + 1, Kind.LOCK)


def _value(words: Words, index: int) -> Iterator[Edit]:
    """A number is one more; a string is another one."""
    word, before, after = words[index], _text(words, index - 1), _text(words, index + 1)
    if word.sort == "number" and before not in {"$", ":"} and not _says_nothing(words, index):
        kind = Kind.LIMIT if word.clause in {"LIMIT", "OFFSET", "FETCH"} else Kind.CONSTANT
        yield Edit(kind, word.start, word.end, str(Decimal(word.text) + 1))
    elif word.sort == "string" and (amount := AMOUNT.match(word.text)):
        yield Edit(Kind.CONSTANT, word.start + 1, word.start + amount.end(), str(int(amount[1]) + 1))
    elif word.text.startswith("'") and after != "::" and before not in TYPES_OF_TEXT:
        yield Edit(Kind.CONSTANT, word.end - 1, word.end - 1, "XX")


def _says_nothing(words: Words, index: int) -> bool:
    """Whether a number is the size of a type, or what EXISTS selects."""
    opening = next((i for i in range(index, -1, -1) if words[i].depth < words[index].depth), 0)
    sized = words[opening].text == "(" and _text(words, opening - 1) in TYPES_WITH_SIZE
    return sized or [_text(words, index - back) for back in (3, 2, 1)] == ["EXISTS", "(", "SELECT"]


def _calculate(words: Words, index: int) -> Iterator[Edit]:
    """`+` ↔ `-`, `*` ↔ `/` between two values."""
    if words[index].text in ARITHMETIC and index and _ends_value(words[index - 1]) and _text(words, index + 1) != ")":
        yield Edit(Kind.ARITHMETIC, words[index].start, words[index].end, ARITHMETIC[words[index].text])


def _ends_value(word: Word) -> bool:
    """Whether a value may end with this word."""
    return bool(word.sort) or word.text in {")", "]", "END"}


def _call(words: Words, index: int) -> Iterator[Edit]:
    """A function is the opposite one."""
    word = words[index]
    other = FUNCTIONS.get(word.text.lower())
    if other and _text(words, index + 1) == "(":
        yield Edit(Kind.CALL, word.start, word.end, other)


OPERATORS: tuple[Operator, ...] = (
    _join,
    _condition,
    _group,
    _order,
    _limit,
    _lock,
    _value,
    _calculate,
    _call,
)
