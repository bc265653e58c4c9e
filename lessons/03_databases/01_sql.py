# %% [markdown]
# # SQL itself
#
# *"Here are three tables. Write the query."* It is the part of the interview that candidates prepare least, since they
# have an ORM. A junior answer returns the right rows for the rows on the whiteboard. A senior answer asks first: can
# this column be NULL, can two rows tie, is there a group without rows, how many rows does this join make of one? Each
# question is a bug that no exception reports: the number on the dashboard is merely wrong.
#
# **Assumed**: `SELECT`, `JOIN`, `GROUP BY` as you use them at work. **Left out**: schemas and constraints ("Database
# design"), transactions ("ACID properties"), plans and indexes ("Query optimisation"). Of the **advanced features** by
# which PostgreSQL is chosen, this lesson teaches those of the query language: window functions, recursive CTEs,
# `LATERAL` and grouping sets. **JSON support** and **full-text search** are left to the lesson "PostgreSQL". Every
# query here runs on a real PostgreSQL 18, and nothing is simulated.

# %%
import datetime as dt
import html
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import psycopg
from IPython.display import display
from psycopg import sql

from autograder import services
from autograder.notebook.figures import explore

# %% [markdown]
# Two tools for the whole lesson. `look` runs a query and shows what it returns. `ask` is for exercises and their
# tests: it makes empty tables, fills them with the rows that the call names, and returns what a query finds. For short
# results it turns a `numeric` that is a whole number into an `int`, and dates and times into text.

# %%
Connection = psycopg.Connection[Any]
Row = tuple[Any, ...]


def shown(value: object) -> str:
    """Return a value as SQL would show it."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(map(shown, value)) if isinstance(value, list) else str(value)


@dataclass(frozen=True, repr=False)
class Grid:
    """A table with a title, some of its rows marked; as text where there is no browser."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    marked: Collection[int] = ()

    def cells(self) -> list[list[str]]:
        """Return the rows as text, with a sign before those that are marked."""
        signs = [["●" if number in self.marked else ""] if self.marked else [] for number in range(len(self.rows))]
        return [sign + [shown(value) for value in row] for sign, row in zip(signs, self.rows, strict=True)]

    def __repr__(self) -> str:
        lines = [[""] * bool(self.marked) + list(self.columns), *self.cells()]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join([self.title, *("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)])

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{html.escape(name)}</th>" for name in [""] * bool(self.marked) + list(self.columns))
        body = ""
        for number, row in enumerate(self.cells()):
            style = ' style="background: rgba(230, 159, 0, 0.3)"' if number in self.marked else ""
            cells = "".join(f'<td style="text-align: left">{html.escape(cell)}</td>' for cell in row)
            body += f"<tr{style}>{cells}</tr>"
        return (
            f'<table><caption style="text-align: left; font-weight: bold">{html.escape(self.title)}</caption>'
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        )


def look(title: str, connection: Connection, query: str, parameters: Mapping[str, Any] | None = None) -> Grid:
    """Run a query; return its result as a table."""
    cursor = connection.execute(query.encode(), parameters)
    return Grid(title, [column.name for column in cursor.description or ()], cursor.fetchall())


def plain(value: object) -> object:
    """Return a value as it is easily written down."""
    if isinstance(value, Decimal) and value == int(value):
        return int(value)
    return str(value) if isinstance(value, dt.date) else value


def ask(
    tables: Callable[[Connection], object],
    query: str,
    parameters: Mapping[str, Any] | None = None,
    **rows: Sequence[Row],
) -> list[Row]:
    """Return what a query finds in tables that have these rows."""
    with services.postgres(template=tables) as database, database.connect() as connection:
        for table, content in rows.items():
            for row in content:
                statement = sql.SQL("INSERT INTO {} VALUES ({})").format(
                    sql.Identifier(table), sql.SQL(", ").join(map(sql.Literal, row))
                )
                connection.execute(statement)
        connection.execute("SET statement_timeout = '2s'")  # for a recursion without end
        return [tuple(map(plain, row)) for row in connection.execute(query.encode(), parameters)]


def shop(connection: Connection) -> None:
    """Fill a small shop: Cleo has ordered nothing, and two orders are of nobody who is known."""
    connection.execute("""
        CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL, country text);
        CREATE TABLE orders (id int PRIMARY KEY, customer_id int, status text, cents int NOT NULL, shipping int);
        CREATE TABLE lines (order_id int, product text, cents int NOT NULL);
        INSERT INTO customers VALUES (1, 'Ada', 'NL'), (2, 'Ben', 'DE'), (3, 'Cleo', NULL);
        INSERT INTO orders VALUES
            (10, 1, 'paid', 3000, 500), (11, 1, 'cancelled', 800, 500), (12, 2, 'paid', 1200, 500),
            (13, NULL, 'paid', 700, NULL), (14, 9, NULL, 400, 300), (15, 1, 'paid', 900, 0);
        INSERT INTO lines VALUES
            (10, 'lamp', 2500), (10, 'bulb', 300), (10, 'bulb', 200), (11, 'desk', 800), (12, 'rug', 1200),
            (15, 'clock', 900);
        """)


# %% [markdown]
# ## The order in which a query is evaluated
#
# A query is written in one order and *means* what another one says:
#
# ```text
# FROM, JOIN … ON → WHERE → GROUP BY → HAVING → window functions → SELECT → DISTINCT
#     → UNION, EXCEPT, INTERSECT → ORDER BY → LIMIT, OFFSET, FETCH
# ```
#
# A clause knows only what the ones before it have made. Most rules that are learnt by heart follow from that:
#
# * An alias of `SELECT` isn't known in `WHERE`, `HAVING` or another column of `SELECT`; `ORDER BY` comes after, and
#   knows it. (PostgreSQL also takes it in `GROUP BY`, as long as it stands alone. A column of the table by that name
#   wins there; in `ORDER BY` the alias wins.)
# * `WHERE` filters rows and `HAVING` groups: an aggregate can't be in `WHERE`, and a condition on single rows doesn't
#   belong in `HAVING`.
# * A window function sees the rows that `WHERE`, `GROUP BY` and `HAVING` have left. To filter by its result, put it
#   into a subquery or CTE and filter outside. To filter *before* it changes it: a running total over `WHERE month =
#   'March'` begins in March.
# * `DISTINCT` comes after window functions: `SELECT DISTINCT country, row_number() OVER ()` removes nothing.
#
# It is the order of *meaning*. The planner may do it in any other that returns the same: push conditions down, join
# in another order, skip what isn't asked for. Even `WHERE b <> 0 AND a / b > 2` promises no order, so that the
# division may fail; `CASE WHEN b <> 0 THEN a / b > 2 END` does, or `a / nullif(b, 0) > 2`.

# %%
CLAUSES = [
    "FROM customers c JOIN orders o ON o.customer_id = c.id",
    "WHERE o.status = 'paid'",
    "GROUP BY c.country",
    "HAVING sum(o.cents) > 2000",
]
MISTAKES = {
    "an alias in WHERE": "SELECT cents / 100 AS euros FROM orders WHERE euros > 5",
    "an aggregate in WHERE": "SELECT customer_id FROM orders WHERE count(*) > 1 GROUP BY customer_id",
    "a window function in WHERE": "SELECT id FROM orders WHERE row_number() OVER (ORDER BY cents) = 1",
    "a column that is neither grouped nor aggregated": "SELECT customer_id, status FROM orders GROUP BY customer_id",
}
with services.postgres(template=shop) as database, database.connect(autocommit=True) as connection:
    left = []
    for number, clause in enumerate(CLAUSES, start=1):
        query = "SELECT " + " ".join(CLAUSES[:number])
        left.append((clause, connection.execute(query.encode()).rowcount))
    refused = []
    for mistake, query in MISTAKES.items():
        try:
            connection.execute(query.encode())
        except psycopg.Error as error:
            refused.append((mistake, error.diag.message_primary))
display(Grid("Rows that each clause leaves", ["after", "rows"], left))
Grid("What is refused", ["used", "PostgreSQL says"], refused)

# %% [markdown]
# ## NULL: neither true nor false
#
# `NULL` is no value but the lack of one, and a comparison with it is neither true nor false: SQL's logic has three
# values. `WHERE`, `ON`, `HAVING` and `FILTER` keep a row if the condition is **true**; a `CHECK` refuses one if it is
# **false**. "Unknown" therefore falls through both: it isn't found, and it isn't refused.

# %%
EXPRESSIONS = [
    "NULL = NULL",
    "NULL <> 1",
    "NOT (NULL = 1)",
    "NULL AND false",
    "NULL OR true",
    "1 IN (1, NULL)",
    "1 IN (2, NULL)",
    "1 NOT IN (2, NULL)",
    "NULL IS DISTINCT FROM 1",
    "NULL IS NOT DISTINCT FROM NULL",
    "(NULL = 1) IS NOT TRUE",
    "'a' || NULL",
    "concat('a', NULL)",
    "greatest(1, NULL)",
]
with services.postgres() as database, database.connect() as connection:
    truth = [(text, connection.execute(f"SELECT {text}".encode()).fetchone()) for text in EXPRESSIONS]
Grid("Three-valued logic", ["expression", "is"], [(text, row and row[0]) for text, row in truth])

# %% [markdown]
# `AND` with a false is false whatever the other one is, and `OR` with a true is true: that is why some rows of the
# table aren't NULL. `x NOT IN (2, NULL)` is `x <> 2 AND x <> NULL`: false or unknown, and never true. To compare with
# NULL as with any value there is `IS [NOT] DISTINCT FROM`; to make a condition of two values again `IS TRUE`, `IS NOT
# TRUE`. `status <> 'cancelled'` loses the rows without a status, and that is the commonest wrong report there is.
#
# Where NULL is treated otherwise, each by a rule of its own:
#
# | where | rule | the trap |
# | --- | --- | --- |
# | aggregates | ignore NULLs; `count(*)` counts rows | of nothing, `sum` is NULL and `count` 0 |
# | `GROUP BY`, `DISTINCT`, `UNION`, `PARTITION BY` | NULLs are equal to one another | one group of all the unknown |
# | `JOIN … ON a = b`, `USING` | NULL matches nothing | rows vanish, or come without a partner |
# | `ORDER BY` | NULL is the largest: last, and **first with `DESC`** | the "highest" is the unknown: `NULLS LAST` |
# | `UNIQUE` | NULLs differ | many rows without e-mail; `NULLS NOT DISTINCT` |
#
# `coalesce(x, 0)` says that unknown *is* zero: true of a sum over no rows, false of a temperature. `avg(x)` divides by
# the known, `avg(coalesce(x, 0))` by all. Over no rows `coalesce(sum(x), 0)` is 0, and `sum(coalesce(x, 0))` is NULL
# still, since there was nothing to coalesce. And `coalesce(a, '') = coalesce(b, '')` takes an empty text for an unknown
# one, and no index on `a`.

# %%
with services.postgres(template=shop) as database, database.connect() as connection:
    counted = look(
        "Six orders, of which one has no status and one no shipping",
        connection,
        """
        SELECT count(*) AS "count(*)", count(status) AS "count(status)", count(DISTINCT status) AS "count(distinct)",
            count(*) FILTER (WHERE status <> 'cancelled') AS "<> 'cancelled'",
            count(*) FILTER (WHERE status IS DISTINCT FROM 'cancelled') AS "IS DISTINCT FROM",
            round(avg(shipping)) AS "avg(shipping)", round(avg(coalesce(shipping, 0))) AS "avg(coalesce)"
        FROM orders
        """,
    )
    nothing = look(
        "No rows at all",
        connection,
        """
        SELECT count(*) AS "count(*)", sum(cents) AS "sum(cents)", coalesce(sum(cents), 0) AS "coalesce(sum)",
            sum(coalesce(cents, 0)) AS "sum(coalesce)"
        FROM orders WHERE id > 99
        """,
    )
display(counted)
nothing

# %% [markdown] exercise nth_salary topic=postgresql level=core minutes=8
# ## Exercise: The second highest salary
#
# The oldest question of all. The payroll page asks for "the second highest salary", and has shown nothing, NULL, and
# the highest one, each to another company. The table is `employees(id int PRIMARY KEY, salary int)`; `salary` is NULL
# as long as it isn't agreed on.
#
# `nth_salary()` returns one statement, a `SELECT` (it may begin with `WITH`), with psycopg's named parameter `%(n)s`, a
# whole number from 1. It returns **exactly one row**: the n-th highest of the *different* salaries, and how many
# employees have it. Where there are fewer than n different salaries, the row is NULL and 0. NULL is no salary.
#
# ```python
# >>> PAID = [(1, 7000), (2, 9000), (3, 9000), (4, 8000), (5, None), (6, 8000)]
# >>> ask(staff, nth_salary(), {"n": 2}, employees=PAID)
# [(8000, 2)]
# >>> ask(staff, nth_salary(), {"n": 1}, employees=PAID)
# [(9000, 2)]
# >>> ask(staff, nth_salary(), {"n": 4}, employees=PAID)
# [(None, 0)]
# ```


# %%
def staff(connection: Connection) -> None:
    """Make the table of employees."""
    connection.execute("CREATE TABLE employees (id int PRIMARY KEY, salary int)")


services.postgres(template=staff).close()  # for the checks: made once


# %% solution nth_salary
def nth_salary() -> str:
    """Return the query, with the parameter n."""
    # BEGIN SOLUTION
    return """
        SELECT any_value(salary), count(*)
        FROM (
            SELECT salary, dense_rank() OVER (ORDER BY salary DESC) AS place
            FROM employees
            WHERE salary IS NOT NULL
        ) AS ranked
        WHERE place = %(n)s
        """
    # END SOLUTION


# %% check nth_salary points=1
def test_two_who_share_the_highest_are_one_place() -> None:
    rows = ask(staff, nth_salary(), {"n": 2}, employees=[(1, 500), (2, 900), (3, 900), (4, 700)])
    assert rows == [(700, 1)], f"of 900, 900, 700, 500 the second highest salary is 700, of one employee; got {rows}"


def test_an_unknown_salary_has_no_place() -> None:
    rows = ask(staff, nth_salary(), {"n": 2}, employees=[(1, None), (2, 900), (3, 700), (4, None)])
    assert rows == [(700, 1)], f"NULL comes first with DESC, and isn't the highest salary; got {rows}"


def test_is_a_row_of_null_and_zero_where_there_is_no_such_salary() -> None:
    rows = ask(staff, nth_salary(), {"n": 2}, employees=[(1, 900), (2, 900)])
    assert rows == [(None, 0)], f"one different salary, no second: still one row; got {rows}"


# %% hidden nth_salary points=2
def test_counts_all_who_have_the_salary() -> None:
    paid = [(1, 700), (2, 900), (3, 700), (4, 800), (5, 700), (6, 800)]
    found = [ask(staff, nth_salary(), {"n": n}, employees=paid) for n in (1, 2, 3)]
    assert found == [[(900, 1)], [(800, 2)], [(700, 3)]], f"the places 1, 2 and 3 of {paid}; got {found}"


def test_a_place_further_down_counts_from_the_top() -> None:
    rows = ask(staff, nth_salary(), {"n": 4}, employees=[(n, 100 * n) for n in range(1, 7)])
    assert rows == [(300, 1)], f"the fourth highest of 100 to 600 is 300; got {rows}"


def test_the_last_place_is_the_lowest_salary_and_not_null() -> None:
    employees = [(1, 900), (2, None), (3, 700)]
    found = [ask(staff, nth_salary(), {"n": n}, employees=employees) for n in (2, 3)]
    assert found == [[(700, 1)], [(None, 0)]], f"two salaries, and nothing in the third place; got {found}"


def test_zero_is_a_salary() -> None:
    rows = ask(staff, nth_salary(), {"n": 2}, employees=[(1, 0), (2, 900), (3, 0)])
    assert rows == [(0, 2)], f"an intern is paid 0, which isn't unknown; got {rows}"


def test_nobody_is_paid() -> None:
    found = [ask(staff, nth_salary(), {"n": 1}, employees=rows) for rows in ([], [(1, None), (2, None)])]
    assert found == [[(None, 0)]] * 2, f"no employees, or none with a salary: one row; got {found}"


# %% wrong nth_salary fails=test_two_who_share_the_highest_are_one_place
# "Sort and skip one": skips a person and not a salary.
def nth_salary() -> str:
    """Return the query, with the parameter n."""
    return """
        SELECT max(salary), count(salary) FROM (
            SELECT salary FROM employees WHERE salary IS NOT NULL ORDER BY salary DESC LIMIT 1 OFFSET %(n)s - 1
        ) AS found
        """


# %% wrong nth_salary fails=test_an_unknown_salary_has_no_place
# "Unknown sorts to the end": with DESC it sorts to the front, and takes the first place.
def nth_salary() -> str:
    """Return the query, with the parameter n."""
    return """
        SELECT max(salary), count(salary)
        FROM (SELECT salary, dense_rank() OVER (ORDER BY salary DESC) AS place FROM employees) AS ranked
        WHERE place = %(n)s
        """


# %% wrong nth_salary fails=test_is_a_row_of_null_and_zero_where_there_is_no_such_salary
# "No such salary, no row": the page that reads one row fails then.
def nth_salary() -> str:
    """Return the query, with the parameter n."""
    return """
        SELECT salary, count(*) FROM employees WHERE salary IS NOT NULL
        GROUP BY salary ORDER BY salary DESC LIMIT 1 OFFSET %(n)s - 1
        """


# %% wrong nth_salary fails=test_a_place_further_down_counts_from_the_top
# "The highest below the highest": right for n = 2, and for no other.
def nth_salary() -> str:
    """Return the query, with the parameter n."""
    return """
        SELECT max(salary), count(salary) FROM employees
        WHERE salary = CASE %(n)s::int
            WHEN 1 THEN (SELECT max(salary) FROM employees)
            ELSE (SELECT max(salary) FROM employees WHERE salary < (SELECT max(salary) FROM employees)) END
        """


# %% right nth_salary
def nth_salary() -> str:
    """Return the query, with the parameter n."""
    return """
        WITH wanted AS (
            SELECT DISTINCT salary FROM employees WHERE salary IS NOT NULL ORDER BY salary DESC LIMIT 1 OFFSET %(n)s - 1
        )
        SELECT (SELECT salary FROM wanted), (SELECT count(*) FROM employees WHERE salary = (SELECT salary FROM wanted))
        """


# %% [markdown] hint nth_salary
# Three questions: which employees take no part; which function gives the same place to equal salaries and leaves no
# gap after them; what does an aggregate without `GROUP BY` return when there is no row?

# %% [markdown] hint nth_salary
# `dense_rank() OVER (ORDER BY salary DESC)` in a subquery over the known salaries, and `WHERE place = %(n)s` outside,
# since `WHERE` comes before window functions. `count(*)` without `GROUP BY` is always one row.

# %% [markdown] hint nth_salary
# `SELECT any_value(salary), count(*) FROM (SELECT salary, dense_rank() OVER (ORDER BY salary DESC) AS place FROM
# employees WHERE salary IS NOT NULL) AS ranked WHERE place = %(n)s`

# %% [markdown] after nth_salary
# **Why.** `dense_rank` numbers the different values; `rank` would leave a gap after a tie and `row_number` would number
# people. An aggregate over no rows is one row, with NULL and 0; with `GROUP BY` it would be none. `any_value`
# (PostgreSQL 16) says that all values of the group are equal, where `max` lets the reader wonder why the maximum.
#
# **Else.** `SELECT DISTINCT salary … ORDER BY salary DESC LIMIT 1 OFFSET n - 1` as a *scalar subquery*, which is NULL
# where it finds no row. With an index on `salary` and a small n that one stops early if the plan reads the index
# backwards, while the window function ranks all rows. `max(salary) WHERE salary < (SELECT max(salary) …)` is the
# textbook's answer for n = 2, gets the NULLs right by itself, and doesn't generalise.
#
# **The interviewer goes on**: *For each department? (`PARTITION BY department_id`, and a left join from the departments
# for those without one.) With MySQL 5.7, which has no window functions? (Count the different salaries above:
# `WHERE (SELECT count(DISTINCT e.salary) FROM employees e WHERE e.salary > x.salary) = n - 1`; quadratic.)*
