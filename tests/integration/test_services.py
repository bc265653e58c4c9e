"""The services with their servers: what each call gives, and that nothing of them outlives its process."""

from __future__ import annotations

import contextlib
import csv
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nbformat
import psutil
import psycopg
import pymongo
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from autograder.course import Course, CourseError
from autograder.grade.command import Options, grade_class
from autograder.kernel import Ending, fork_each
from autograder.lesson.release import build
from autograder.lesson.trial.worker import run_lessons
from autograder.notebook import services
from autograder.notebook.services import cluster, postgresql, server, valkey

# One worker has them all: each would start its own servers.
pytestmark = [
    pytest.mark.xdist_group("services"),
    pytest.mark.skipif(os.name != "posix", reason="the servers run on Linux and macOS"),
]

as_root = pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can be somebody else")
# A process that uses the services that its arguments name, says so, and waits for its end.
OWNER = """\
import sys
from autograder import services
if "postgres" in sys.argv:
    with services.postgres().connect() as connection:
        connection.execute("CREATE TABLE seen (number int)")
if "redis" in sys.argv:
    services.redis().client().set("seen", 1)
print("ready", flush=True)
sys.stdin.readline()
"""
BOTH = ("postgres", "redis")
LESSON = '''\
# %% [markdown]
# # Sums

# %%
from typing import Any

import psycopg
import pymongo

from autograder import services


def numbers(connection: psycopg.Connection[Any]) -> None:
    connection.execute("CREATE TABLE numbers AS SELECT generate_series(1, 100) AS number")


with services.postgres(template=numbers) as demo:
    print(demo.name)

# %% [markdown] exercise total topic=sums level=core minutes=5
# ## Exercise: total
#
# Add them.

# %% solution total
def total(connection: psycopg.Connection[Any]) -> int:
    """Return the sum of all numbers."""
    # BEGIN SOLUTION
    ((found,),) = connection.execute("SELECT sum(number) FROM numbers")
    return int(found)
    # END SOLUTION


# %% check total points=1
def test_adds_all_numbers() -> None:
    with services.postgres(template=numbers) as database, database.connect() as connection:
        assert total(connection) == 5050


# %% hidden total points=2
def test_adds_a_single_number(postgres: services.Database, redis: services.Store) -> None:
    assert redis.client().dbsize() == 0
    with postgres.connect() as connection:
        connection.execute("CREATE TABLE numbers AS SELECT 7 AS number")
        assert total(connection) == 7
'''


@pytest.fixture(autouse=True)
def _no_servers_of_the_learners(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in (postgresql.VARIABLE, valkey.VARIABLE, "MONGODB_URL", "MYSQL_URL"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder with a short name for what servers keep, open to all."""
    with tempfile.TemporaryDirectory(prefix="s-", dir=server.in_memory() or "/tmp") as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


class Owner:
    """A process that has started servers whose folders are in `place`."""

    def __init__(self, place: Path, *used: str, python: str = sys.executable, **options: Any) -> None:
        self.place = place
        environment = {**os.environ, "TMPDIR": str(place), "HOME": str(place), "PYTHONPATH": os.pathsep.join(sys.path)}
        self.process = subprocess.Popen(
            [python, "-c", OWNER, *used],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            **options,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"
        self.started = psutil.Process(self.process.pid).children(recursive=True)

    def end(self, number: int | None = None) -> None:
        """End it, by a signal or by itself, and wait until what it has started is gone."""
        if number:
            self.process.send_signal(number)
        self.process.communicate("\n")
        _, alive = psutil.wait_procs(self.started, timeout=20)
        assert alive == []

    def left(self) -> list[Path]:
        """Return what is left in its place."""
        return list(self.place.iterdir())


def tables(database: services.Database) -> list[str]:
    with database.connect() as connection:
        found = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        return [name for (name,) in found]


# --- what each call gives ---


def test_databases_are_separate_and_dropped() -> None:
    with services.postgres() as one, services.postgres() as other:
        with one.connect() as connection:
            connection.execute("CREATE TABLE mine (number int)")
        assert tables(one) == ["mine"]
        assert tables(other) == []
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(one.url)


def test_sqlalchemy_has_an_engine() -> None:
    with services.postgres() as database:
        engine = database.engine(pool_size=2)
        with engine.connect() as connection:
            assert connection.exec_driver_sql("SELECT current_database()").scalar() == database.name


def test_a_database_is_dropped_under_open_connections() -> None:
    database = services.postgres()
    with contextlib.closing(psycopg.connect(database.url)) as connection:
        database.close()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")


def test_a_template_is_filled_once_and_copied() -> None:
    calls: list[object] = []

    def fill(connection: psycopg.Connection[Any]) -> None:
        calls.append(connection)
        connection.execute("CREATE TABLE filled AS SELECT generate_series(1, 1000) AS number")

    for _ in range(2):
        with services.postgres(template=fill) as database, database.connect() as connection:
            connection.execute("DELETE FROM filled WHERE number > 1")
            assert connection.execute("SELECT count(*) FROM filled").fetchone() == (1,)
    assert len(calls) == 1


def test_a_template_that_fails_is_filled_again() -> None:
    def fill(connection: psycopg.Connection[Any]) -> None:
        connection.execute("SELECT mistaken")

    for _ in range(2):
        with pytest.raises(psycopg.errors.UndefinedColumn):
            services.postgres(template=fill)


def test_redis_has_an_empty_database_for_each_call() -> None:
    with services.redis() as one, services.redis() as other:
        one.client().set("key", "value")
        assert one.client(decode_responses=True).get("key") == "value"
        assert other.client().get("key") is None
    assert one.client().dbsize() == 0


def test_the_imitation_of_redis_is_used_where_there_is_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(valkey, "program", lambda: None)
    with services.redis() as one, services.redis() as other:
        one.client().set("key", "value")
        assert one.client(decode_responses=True).get("key") == "value"
        assert other.client().get("key") is None


def test_kafka_passes_messages_on() -> None:
    from confluent_kafka import Consumer, Producer

    with services.kafka() as cluster:
        cluster.create_topic("orders", partitions=3)
        producer = Producer({"bootstrap.servers": cluster.bootstrap})
        assert len(producer.list_topics(timeout=10).topics["orders"].partitions) == 3
        producer.produce("orders", b"one", key=b"a")
        assert producer.flush(10) == 0
        settings = {"bootstrap.servers": cluster.bootstrap, "group.id": "test", "auto.offset.reset": "earliest"}
        consumer = Consumer(settings)
        consumer.subscribe(["orders"])
        message = consumer.poll(10)
        consumer.close()
        assert message is not None
        assert message.value() == b"one"
        with pytest.raises(CourseError, match="orders"):
            cluster.create_topic("orders")


# botocore still asks for the time in a way that Python will drop.
@pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")
def test_aws_is_empty_at_each_call() -> None:
    for _ in range(2):
        with services.aws() as account:
            storage = account.client("s3")
            assert storage.list_buckets()["Buckets"] == []
            storage.create_bucket(Bucket="orders")
            storage.put_object(Bucket="orders", Key="one", Body=b"1")
            address = storage.generate_presigned_url("get_object", Params={"Bucket": "orders", "Key": "one"})
            with urllib.request.urlopen(address) as answer:
                assert answer.read() == b"1"
            assert list(account.resource("dynamodb").tables.all()) == []
            with pytest.raises(urllib.error.HTTPError, match="403") as refused:
                urllib.request.urlopen(account.url)
            refused.value.close()


def test_mongo_has_a_database_for_each_call() -> None:
    with services.mongo() as one, services.mongo() as other:
        one.database.orders.insert_one({"cents": 100})
        assert one.database.orders.count_documents({"cents": {"$gt": 10}}) == 1
        assert other.database.orders.count_documents({}) == 0


def test_mongo_takes_bulk_writes() -> None:
    for _ in range(2):
        with services.mongo() as documents:
            mugs = documents.database["mugs"]
            written = mugs.bulk_write(
                [
                    pymongo.InsertOne({"_id": 1, "cents": 100}),
                    pymongo.UpdateOne({"_id": 2}, {"$setOnInsert": {"cents": 200}}, upsert=True),
                    pymongo.UpdateMany({}, {"$inc": {"cents": 1}}),
                    pymongo.ReplaceOne({"_id": 1}, {"cents": 300}),
                ]
            )
            assert (written.inserted_count, written.upserted_count, written.modified_count) == (1, 1, 3)
            assert list(mugs.find()) == [{"_id": 1, "cents": 300}, {"_id": 2, "cents": 201}]


@pytest.mark.parametrize(
    "operation",
    [pymongo.UpdateOne({}, {"$set": {"cents": 0}}, sort={"cents": -1}), pymongo.ReplaceOne({}, {}, sort={"cents": -1})],
)
def test_mongo_refuses_a_bulk_write_that_it_would_do_to_another_document(
    operation: pymongo.UpdateOne | pymongo.ReplaceOne[dict[str, Any]],
) -> None:
    with services.mongo() as documents:
        mugs = documents.database["mugs"]
        mugs.insert_many([{"_id": 1, "cents": 100}, {"_id": 2, "cents": 200}])
        with pytest.raises(NotImplementedError, match="sort"):
            mugs.bulk_write([operation])
        assert list(mugs.find()) == [{"_id": 1, "cents": 100}, {"_id": 2, "cents": 200}]


@pytest.mark.skipif(not services.available("mysql"), reason="no MySQL server here")
def test_mysql_has_a_database_for_each_call() -> None:
    with services.mysql() as one, services.mysql() as other:
        with one.connect() as connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE mine (number int)")
        with other.engine().connect() as connection:
            assert connection.exec_driver_sql("SHOW TABLES").all() == []


def test_a_server_of_the_learners_own_is_used_and_left_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    with services.postgres() as theirs, services.redis() as store:
        monkeypatch.setenv("DATABASE_URL", theirs.url)
        monkeypatch.setenv("REDIS_URL", store.url.replace("?db=", "/?db="))
        with services.postgres() as database, theirs.connect() as connection:
            assert database.url.partition("?")[2] == theirs.url.partition("?")[2]
            assert tables(database) == []
        with theirs.connect() as connection:
            assert not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database.name]).fetchall()


# --- nothing outlives its process ---


@pytest.mark.parametrize("number", [None, signal.SIGKILL, signal.SIGTERM])
def test_servers_go_with_their_process(place: Path, number: int | None) -> None:
    owner = Owner(place, *BOTH)
    assert len(owner.left()) == 2
    assert all(path.stat().st_mode & 0o777 == 0o700 for path in owner.left())
    owner.end(number)
    assert owner.left() == []


def test_an_interrupt_of_the_notebook_is_none_of_the_servers(place: Path) -> None:
    owner = Owner(place, *BOTH, start_new_session=True)
    watchers = [process for process in owner.started if process.ppid() == owner.process.pid]
    assert len(watchers) == 2
    assert all(os.getpgid(process.pid) not in (owner.process.pid, os.getpgid(0)) for process in owner.started)
    owner.end(signal.SIGINT)
    assert owner.left() == []


def test_a_server_that_has_died_is_started_again() -> None:
    before = services.redis().url.partition("?")[0]
    folder = os.fspath(Path(before.removeprefix("unix://")).parent)
    (watcher,) = [process for process in psutil.Process().children() if folder in process.cmdline()]
    (started,) = watcher.children()
    started.kill()
    watcher.wait(10)
    with services.redis() as again:
        assert again.url.partition("?")[0] != before


def test_a_server_that_does_not_start_says_why() -> None:
    folder = server.new_folder("no")
    with pytest.raises(CourseError, match=r"sh did not start: it has no legs"):
        server.Server(
            folder, ["/bin/sh", "-c", "echo it has no legs; exit 1"], ready=lambda: False, stop=signal.SIGKILL
        )
    assert not folder.exists()


# --- forks ---


def forked(call: Callable[[], Any]) -> Any:
    """Return what a call returns in a fork of this process."""
    (outcome,) = fork_each([call], limit=60)
    assert outcome.ending is Ending.RETURNED, outcome.error
    return outcome.value


@pytest.fixture
def nothing_lent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_lender", None)


@pytest.mark.usefixtures("nothing_lent")
def test_a_fork_has_servers_of_its_own() -> None:
    with services.postgres() as database, services.redis() as store:

        def call() -> list[str]:
            with services.postgres() as mine, services.redis() as also_mine:
                return [mine.url.partition("?")[2], also_mine.url.partition("?")[0]]

        ours = [database.url.partition("?")[2], store.url.partition("?")[0]]
        assert set(forked(call)).isdisjoint(ours)
        assert tables(database) == []
        assert store.client().ping()


@pytest.mark.usefixtures("nothing_lent")
def test_a_fork_that_ends_as_a_program_does_leaves_the_servers_alone() -> None:
    with services.postgres() as database, services.redis() as store:
        pid = os.fork()
        if pid == 0:
            try:
                import atexit

                atexit._run_exitfuncs()
            finally:
                os._exit(0)
        os.waitpid(pid, 0)
        assert tables(database) == []
        assert store.client().ping()


@pytest.mark.usefixtures("nothing_lent")
def test_forks_have_databases_of_their_own_on_a_server_that_is_lent() -> None:
    services.prepare_forks(["postgres", "redis"])

    def fill(connection: psycopg.Connection[Any]) -> None:
        connection.execute("CREATE TABLE filled ()")

    with services.postgres(template=fill) as database:

        def call() -> list[Any]:
            os.environ["TMPDIR"] = "/nowhere"  # where no server could be started
            with services.postgres() as mine, services.postgres(template=fill) as copy:
                left = services.postgres()  # not closed: it goes with the next fork's first one
                return [mine.url.partition("?")[2], tables(mine), tables(copy), left.name]

        address, empty, copied, left = forked(call)
        assert address == database.url.partition("?")[2]
        assert (empty, copied) == ([], ["filled"])
        forked(call)
        with database.connect() as connection:
            assert not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [left]).fetchall()


# --- users ---


@as_root
def test_an_ordinary_user_has_the_same(place: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    # Root's own may lie where only root can read.
    python = shutil.which(version, path="/usr/bin") if server.hidden(Path(sys.executable)) else sys.executable
    if python is None:
        pytest.skip(f"there is no {version} that others than root can run")
    owner = Owner(place, "postgres", python=python, user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[])
    assert {process.uids().real for process in owner.started} == {nobody.pw_uid}
    owner.end()
    assert [path.name for path in owner.left() if path.name != ".cache"] == []


@as_root
def test_root_runs_a_server_that_only_root_can_reach(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = cluster.program()
    assert found is not None
    package = found.parents[2]
    hidden = place / "hidden"
    hidden.mkdir(mode=0o700)
    for folder in (package, package.with_name(f"{package.name}.libs")):
        shutil.copytree(folder, hidden / folder.name, symlinks=True, ignore=shutil.ignore_patterns("*.a", "include"))
    monkeypatch.setattr(postgresql, "program", lambda: hidden / found.relative_to(package.parent))
    monkeypatch.setattr(sys, "prefix", "/proc")  # where nothing can be kept
    monkeypatch.setenv("XDG_CACHE_HOME", str(place / "cache"))
    embedded = postgresql.Embedded(str(place))
    assert len(list((place / "cache").rglob("PG_VERSION"))) > 1
    with embedded.create() as database:
        assert tables(database) == []
    embedded._server.stop()
    assert sorted(path.name for path in place.iterdir()) == ["cache", "hidden"]


# --- notebooks ---


def test_a_check_has_the_services_as_fixtures(tmp_path: Path, place: Path) -> None:
    (tmp_path / "lessons").mkdir()
    (tmp_path / "lessons/guide.toml").touch()
    check = """%%check total
def test_postgres(postgres):
    with postgres.connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
async def test_redis(redis):
    assert redis.client().ping()
def test_kafka(kafka):
    assert ":" in kafka.bootstrap
def test_mongo(mongo):
    assert mongo.database.things.count_documents({}) == 0
def test_aws(aws):
    assert aws.client("sqs").list_queues().get("QueueUrls", []) == []
"""
    cells = [new_code_cell("%load_ext autograder"), new_code_cell(check), new_code_cell(check)]
    client = NotebookClient(
        new_notebook(cells=cells), allow_errors=True, timeout=60, resources={"metadata": {"path": str(tmp_path)}}
    )
    notebook = client.execute(env={**os.environ, "TMPDIR": str(place)})
    nbformat.validate(notebook)
    for cell in notebook.cells[1:]:
        (report,) = cell.outputs
        assert report.data["text/plain"].count("✔") == 5, report.data["text/plain"]
    assert list(place.iterdir()) == []


@pytest.fixture
def lesson(small_course: Course, tmp_path: Path) -> Course:
    """A course of one lesson that uses services."""
    course = Course(shutil.copytree(small_course.root, tmp_path / "course"))
    (course.lessons / "01_core/01_sums.py").write_text(LESSON)
    build(course)
    return course


def test_a_lesson_is_graded_in_the_sandbox(lesson: Course, tmp_path: Path) -> None:
    handed_in = tmp_path / "class/ada/01_core"
    handed_in.mkdir(parents=True)
    shutil.copy(lesson.solutions / "01_core/01_sums.ipynb", handed_in)
    assert grade_class(lesson, tmp_path / "class", options=Options()) == 0
    (row,) = csv.DictReader((lesson.grading / "grades.csv").read_text().splitlines())
    assert (row["points"], row["max_points"]) == ("3", "3")


def test_a_lesson_is_proved_on_one_server(lesson: Course) -> None:
    (result,) = run_lessons(lesson, ["01_core/01_sums"], ["01_core/01_sums"], cores=2)
    assert [str(failure) for failure in result.failures] == []
    assert result.tally.mutants > 0
    assert result.tally.score == 100


# --- many ---


@pytest.mark.slow
def test_fifty_owners_in_turn_and_eight_at_once_leave_nothing(place: Path) -> None:
    def live(number: int | None, *used: str) -> None:
        Owner(place, *used).end(number)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: live(number, *BOTH), [None, signal.SIGKILL] * 4))
    assert list(place.iterdir()) == []
    turns = itertools.cycle(itertools.product([None, signal.SIGKILL], BOTH))
    for number, used in itertools.islice(turns, 50):
        live(number, used)
        assert list(place.iterdir()) == []
