"""Kafka: the mock cluster of librdkafka, which confluent-kafka bundles. It speaks Kafka's protocol, and stores nothing.

Only its C interface makes topics of a given size and lets consumers join without a wait of three seconds, so it is
called as C: see rdkafka_mock.h.
"""

from __future__ import annotations

import ctypes
import functools
import os
from importlib.util import find_spec

from autograder.course import CourseError
from autograder.notebook.services.handle import Finding, Handle, Kind

PRODUCER = 0  # RD_KAFKA_PRODUCER
ERROR_SIZE = 512
POINTER, TEXT, INT = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
# What is called: the type of the result, and those of the arguments.
FUNCTIONS = {
    "rd_kafka_conf_new": (POINTER, ()),
    "rd_kafka_conf_set": (INT, (POINTER, TEXT, TEXT, TEXT, ctypes.c_size_t)),
    "rd_kafka_new": (POINTER, (INT, POINTER, TEXT, ctypes.c_size_t)),
    "rd_kafka_destroy": (None, (POINTER,)),
    "rd_kafka_mock_cluster_new": (POINTER, (POINTER, INT)),
    "rd_kafka_mock_cluster_destroy": (None, (POINTER,)),
    "rd_kafka_mock_cluster_bootstraps": (TEXT, (POINTER,)),
    "rd_kafka_mock_group_initial_rebalance_delay_ms": (None, (POINTER, ctypes.c_int32)),
    "rd_kafka_mock_topic_create": (INT, (POINTER, TEXT, INT, INT)),
}


class Cluster(Handle):
    """A Kafka cluster of its own; its `bootstrap` is what clients call `bootstrap.servers`. Closing it ends it."""

    def __init__(self, brokers: int) -> None:
        """Start it in this process."""
        library = self._library = _library()
        self._owner = os.getpid()
        self._brokers = brokers
        error = ctypes.create_string_buffer(ERROR_SIZE)
        settings = library.rd_kafka_conf_new()
        library.rd_kafka_conf_set(settings, b"log_level", b"0", error, ERROR_SIZE)
        self._client = library.rd_kafka_new(PRODUCER, settings, error, ERROR_SIZE)
        self._cluster = library.rd_kafka_mock_cluster_new(self._client, brokers) if self._client else None
        if not self._cluster:
            raise CourseError(f"Kafka's mock cluster did not start: {error.value.decode() or 'no port is free'}")
        library.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, 0)
        super().__init__(library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode())
        self._opened.callback(self._end)

    @property
    def bootstrap(self) -> str:
        """The brokers' addresses: `host:port,…`."""
        return self.url

    def create_topic(self, name: str, partitions: int = 1) -> None:
        """Make a topic, on every broker; one that is made by its first use has four partitions.

        Raises CourseError where it can't be made. (The cluster doesn't understand an AdminClient's request.)
        """
        if self._library.rd_kafka_mock_topic_create(self._cluster, name.encode(), partitions, self._brokers):
            raise CourseError(f"the topic {name!r} can't be made: is there one of this name?")

    def _end(self) -> None:
        """End it; its threads aren't in a fork."""
        if os.getpid() == self._owner:
            self._library.rd_kafka_mock_cluster_destroy(self._cluster)
            self._library.rd_kafka_destroy(self._client)


def create(brokers: int = 1) -> Cluster:
    """Return a new cluster. Raises CourseError where confluent-kafka isn't installed."""
    return Cluster(brokers)


def find() -> Finding:
    """Return how Kafka is there."""
    if find_spec("confluent_kafka"):
        return Finding(Kind.STAND_IN, "librdkafka's mock cluster: Kafka's protocol in memory, no AdminClient")
    return Finding(Kind.MISSING, "`pip install confluent-kafka`")


@functools.cache
def _library() -> ctypes.CDLL:
    """Return librdkafka, as confluent-kafka has loaded it."""
    try:
        from confluent_kafka import cimpl
    except ImportError as error:
        raise CourseError("no Kafka is installed here: `pip install confluent-kafka`") from error
    library = ctypes.CDLL(cimpl.__file__)
    for name, (result, arguments) in FUNCTIONS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library
