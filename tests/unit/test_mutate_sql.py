"""Mutants of SQL: which changes are made of which statement, and which text is none."""

from __future__ import annotations

import pytest

from autograder.lesson.mutate import Kind, mutants
from autograder.lesson.mutate.sql import edits, is_sql


def changed(statement: str, kind: Kind) -> list[str]:
    """Return the statements that the changes of one kind make, with single spaces."""
    return [" ".join(edit.apply(statement).split()) for edit in edits(statement) if edit.kind is kind]


@pytest.mark.parametrize(
    "text",
    [
        "SELECT a FROM t WHERE b = %s AND c = %(name)s",
        "WITH t AS (SELECT 1) SELECT * FROM t",
        "UPDATE t SET a = a + 1 WHERE id = ? RETURNING a",
        "INSERT INTO t (a) VALUES (:a) ON CONFLICT (a) DO UPDATE SET n = t.n + 1",
        "CREATE TABLE t (a int PRIMARY KEY);\nCREATE INDEX i ON t (a DESC) WHERE a > 0",
        "SELECT `a` FROM t WHERE b <=> 1",
    ],
)
def test_statements_are_sql(text: str) -> None:
    assert is_sql(text)


@pytest.mark.parametrize("text", ["", "Select one of them", "SELECT one of the two", "WHERE a = 1", "a = b", "UPDATE"])
def test_other_text_is_not(text: str) -> None:
    assert not is_sql(text)


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        (Kind.JOIN, "SELECT a FROM t JOIN u USING (b)", "SELECT a FROM t LEFT JOIN u USING (b)"),
        (Kind.JOIN, "SELECT a FROM t LEFT OUTER JOIN u USING (b)", "SELECT a FROM t JOIN u USING (b)"),
        (Kind.JOIN, "SELECT a FROM t FULL JOIN u USING (b)", "SELECT a FROM t JOIN u USING (b)"),
        (Kind.PREDICATE, "SELECT a FROM t WHERE b < c", "SELECT a FROM t WHERE b <= c"),
        (Kind.PREDICATE, "SELECT a FROM t WHERE b AND c", "SELECT a FROM t WHERE b OR c"),
        (Kind.PREDICATE, "SELECT a FROM t WHERE b AND c", "SELECT a FROM t WHERE true"),
        (Kind.PREDICATE, "SELECT a FROM t JOIN u ON t.b = u.b", "SELECT a FROM t JOIN u ON true"),
        (Kind.PREDICATE, "SELECT a FROM t WHERE b IS NOT NULL", "SELECT a FROM t WHERE b IS NULL"),
        (Kind.PREDICATE, "SELECT a FROM t WHERE b IS NULL", "SELECT a FROM t WHERE b IS NOT NULL"),
        (Kind.PREDICATE, "SELECT a FROM t WHERE b IN (%s, %s)", "SELECT a FROM t WHERE b NOT IN (%s, %s)"),
        (Kind.PREDICATE, "SELECT a FROM t WHERE NOT EXISTS (SELECT 1)", "SELECT a FROM t WHERE EXISTS (SELECT 1)"),
        (Kind.PREDICATE, "SELECT 1 WHERE b BETWEEN 1 AND 2 AND c", "SELECT 1 WHERE b BETWEEN 1 AND 2 OR c"),
        (Kind.PREDICATE, "SELECT count(*) FILTER (WHERE a) FROM t", "SELECT count(*) FILTER (WHERE true) FROM t"),
        (Kind.GROUPING, "SELECT DISTINCT a FROM t", "SELECT a FROM t"),
        (Kind.GROUPING, "SELECT count(DISTINCT a) FROM t", "SELECT count(a) FROM t"),
        (Kind.GROUPING, "SELECT count(*) FROM t GROUP BY a, b", "SELECT count(*) FROM t GROUP BY b"),
        (Kind.GROUPING, "SELECT count(*) FROM t GROUP BY a, b", "SELECT count(*) FROM t GROUP BY a"),
        (Kind.GROUPING, "SELECT sum(a) OVER (PARTITION BY b) FROM t", "SELECT sum(a) OVER () FROM t"),
        (Kind.GROUPING, "SELECT a FROM t UNION ALL SELECT b FROM u", "SELECT a FROM t UNION SELECT b FROM u"),
        (Kind.ORDER, "SELECT a FROM t ORDER BY a", "SELECT a FROM t ORDER BY a DESC"),
        (Kind.ORDER, "SELECT a FROM t ORDER BY a", "SELECT a FROM t"),
        (Kind.ORDER, "SELECT a FROM t ORDER BY a DESC, b LIMIT 3", "SELECT a FROM t ORDER BY a DESC LIMIT 3"),
        (Kind.ORDER, "SELECT a FROM t ORDER BY a DESC", "SELECT a FROM t ORDER BY a ASC"),
        (Kind.ORDER, "SELECT a FROM t ORDER BY a NULLS LAST", "SELECT a FROM t ORDER BY a DESC NULLS LAST"),
        (Kind.ORDER, "SELECT a FROM t ORDER BY a NULLS LAST", "SELECT a FROM t ORDER BY a NULLS FIRST"),
        (Kind.LIMIT, "SELECT a FROM t LIMIT 3", "SELECT a FROM t LIMIT 4"),
        (Kind.LIMIT, "SELECT a FROM t LIMIT %s OFFSET %s", "SELECT a FROM t LIMIT %s"),
        (Kind.LOCK, "SELECT a FROM t FOR UPDATE SKIP LOCKED", "SELECT a FROM t FOR UPDATE"),
        (Kind.LOCK, "SELECT a FROM t FOR UPDATE", "SELECT a FROM t"),
        (Kind.CONSTANT, "SELECT a FROM t WHERE b = 'x'", "SELECT a FROM t WHERE b = 'xXX'"),
        (Kind.CONSTANT, "SELECT now() - interval '2 days'", "SELECT now() - interval '3 days'"),
        (Kind.ARITHMETIC, "UPDATE t SET a = a - %s", "UPDATE t SET a = a + %s"),
        (Kind.CALL, "SELECT min(a) FROM t", "SELECT max(a) FROM t"),
    ],
)  # fmt: skip
def test_a_change(kind: Kind, before: str, after: str) -> None:
    assert after in changed(before, kind)


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE IF NOT EXISTS t (a numeric(10, 2))",
        "UPDATE t SET a = b",
        "SELECT a, count(*) FROM t GROUP BY a",
        "SELECT t.* FROM t CROSS JOIN u",
        "SELECT -a, left(b, %s), :1, $1",
        "SELECT extract(year FROM a)::text, '[]'::jsonb",
        "SELECT sum(a) OVER (ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) FROM t",
    ],
)
def test_what_says_the_same_or_nothing_is_left_alone(statement: str) -> None:
    assert [edit for edit in edits(statement) if edit.kind is not Kind.CALL] == []


def test_an_answer_names_the_line_of_the_statement() -> None:
    cell = 'QUERY = """\nSELECT a\nFROM t\nORDER BY a\n"""\n'

    assert [(m.line, m.before, m.after) for m in mutants(cell) if m.kind is Kind.ORDER] == [
        (4, "ORDER BY a", "ORDER BY a DESC"),
        (4, "ORDER BY a", ""),
    ]


def test_a_statement_is_changed_as_sql_alone() -> None:
    assert {m.kind for m in mutants('QUERY = "SELECT a FROM t"\nNAME = "a"\n')} == {Kind.STATEMENT, Kind.CONSTANT}
    assert not any("tXX" in m.source for m in mutants('QUERY = "SELECT a FROM t"\n'))
