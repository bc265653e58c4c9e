# %% [markdown]
# # DynamoDB: access patterns first, capacity second
#
# *"Orders, customers, products. Model it in DynamoDB."* A junior answer draws three tables and asks how one joins them.
# A senior answer asks for the list of queries, writes next to each the one request that answers it, and says what that
# request costs in capacity units. The follow-ups are always the same: two writers at once, a page with a filter, the
# table that throttles at a fifth of its capacity, and why auto-scaling didn't help on the day of the sale.
#
# **Assumed**: Python, and nothing about AWS. **Left out**: streams, global tables, backups, DAX, PartiQL, permissions.
#
# **The server here is a stand-in.** [moto](https://docs.getmoto.org) speaks DynamoDB's API over HTTP with its state in
# memory, so boto3 and your code are the real ones. It evaluates keys, conditions, transactions and pages. It has no
# partitions, no throughput, no throttling and no replicas, and what it reports as consumed capacity is made up: the
# first demo shows where it ends. Cost is therefore counted in requests and in items read, and capacity is worked out
# from sizes. Where throughput matters, the lesson has a **simulation** in Python, and says so.

# %%
import base64
import hashlib
import hmac
import html
import itertools
import json
import math
import random
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal, NamedTuple, Protocol

import pytest
from boto3.dynamodb.conditions import Attr, Key
from botocore.config import Config
from botocore.exceptions import ClientError

from autograder import services
from autograder.notebook.figures import explore

# %% [markdown]
# ## An AWS managed NoSQL database
#
# DynamoDB is **AWS managed NoSQL**: there is no server to size, patch or fail over, and none to log into. You get an
# HTTPS endpoint, a table, and a bill for requests and gigabytes. What managed takes from you is as much of an answer as
# what it gives:
#
# | AWS does | you still do |
# | --- | --- |
# | partitions by the hash of the key, splits them as they grow | choose a key with many values, evenly busy |
# | three copies in three zones, failover | say which reads must be consistent |
# | storage without a limit | stay below 400 KB an item |
# | scaling of throughput, by two modes | choose the mode, its bounds and its target |
# | encryption, backups, patches | indexes, conditions, retries, what a request costs |
#
# An **item** is a set of named, typed values (text, number, binary, Boolean, null, list, map, set). Only its primary
# key is declared: a **partition key**, whose hash says where the item is, and if you like a **sort key**, by which the
# items of one partition key are kept in order. All items with one partition key are an *item collection*. The whole
# query language follows from that:
#
# * `GetItem`: one item by its whole key. `BatchGetItem`: up to 100 of them.
# * `Query`: one partition key with `=`, and a range of the sort key (`begins_with`, `BETWEEN`, `<`), in order.
# * `Scan`: everything. In a request of a user it is always wrong.
#
# No joins, no aggregates, no query without the partition key. In return each of these costs the same in a table of ten
# thousand items and in one of ten billion. **Take it** where the queries are known and by key, traffic is uneven or
# large, and nobody wants to run a server: carts, sessions, orders, devices. **Don't** for reports, for search, for ad
# hoc questions of a growing product, or where a PostgreSQL of middle size already runs. Coming from
# [Cassandra](08_cassandra.ipynb) you know the model; what is new are conditions, transactions and a bill.
#
# The helpers of this lesson: a table whose keys are named for their job and not for their content, and a watch on the
# requests of a client, by botocore's own events.

# %%
Item = dict[str, Any]
# The SDK sends a request again by itself, after a pause, when it is throttled or the network fails. Not here: every
# request counts.
ONCE = Config(retries={"total_max_attempts": 1})


def connect(cloud: services.Cloud) -> Any:
    """Return a boto3 resource that sends each request once."""
    return cloud.resource("dynamodb", config=ONCE)


def create_table(
    resource: Any, name: str = "shop", indexes: Sequence[str] = ("GSI1", "GSI2"), projection: str = "KEYS_ONLY"
) -> Any:
    """Create a table with the key PK, SK, and indexes with the keys GSI1PK, GSI1SK and so on; all of them text."""
    keys = {"": ("PK", "SK")} | {index: (f"{index}PK", f"{index}SK") for index in indexes}
    schemas = {
        index: [{"AttributeName": partition, "KeyType": "HASH"}, {"AttributeName": sort, "KeyType": "RANGE"}]
        for index, (partition, sort) in keys.items()
    }
    own = schemas.pop("")
    secondary = [
        {"IndexName": index, "KeySchema": schema, "Projection": {"ProjectionType": projection}}
        for index, schema in schemas.items()
    ]
    return resource.create_table(
        TableName=name,
        KeySchema=own,
        AttributeDefinitions=[{"AttributeName": each, "AttributeType": "S"} for pair in keys.values() for each in pair],
        BillingMode="PAY_PER_REQUEST",
        **({"GlobalSecondaryIndexes": secondary} if secondary else {}),
    )


class Watch:
    """Notes what a resource sends: operations, their parameters, and how many items were read for the answers.

    `before` is called with the name of each operation before it is sent, with the watch itself asleep.
    """

    def __init__(self, resource: Any, before: Callable[[str], None] | None = None) -> None:
        self.operations: list[str] = []
        self.parameters: list[dict[str, Any]] = []
        self.items_read = 0
        self._before = before
        self._asleep = False
        events = resource.meta.client.meta.events
        events.register("provide-client-params.dynamodb", self._sent)
        events.register("after-call.dynamodb", self._answered)

    def _sent(self, params: dict[str, Any], model: Any, **_: object) -> None:
        if self._asleep:
            return
        self.operations.append(model.name)
        self.parameters.append(dict(params))
        if self._before is not None:
            self._asleep = True
            try:
                self._before(model.name)
            finally:
                self._asleep = False

    def _answered(self, parsed: dict[str, Any], **_: object) -> None:
        if not self._asleep:
            self.items_read += parsed.get("ScannedCount", int("Item" in parsed))


def answer(call: Callable[[], Mapping[str, Any]]) -> str:
    """Make a request, and tell how it ended: accepted, or the code of the error."""
    try:
        call()
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return "accepted"


with services.aws() as cloud:
    resource = connect(cloud)
    table, client = create_table(resource), resource.meta.client
    puts = [{"PutRequest": {"Item": {"PK": "A", "SK": f"{n}"}}} for n in range(26)]
    actions = [{"Put": {"TableName": "shop", "Item": {"PK": "B", "SK": f"{n}"}}} for n in range(101)]
    key_filter = {"KeyConditionExpression": Key("PK").eq("A"), "FilterExpression": Attr("SK").eq("1")}
    from_index = {"IndexName": "GSI1", "KeyConditionExpression": Key("GSI1PK").eq("A")}
    room = 400 * 1024 - len("PK" + "A" + "SK" + "x" + "d")  # names count too
    trials: dict[str, Callable[[], Mapping[str, Any]]] = {
        "an item of 400 KB": lambda: table.put_item(Item={"PK": "A", "SK": "x", "d": "." * room}),
        "an item of 400 KB and 1 byte": lambda: table.put_item(Item={"PK": "A", "SK": "x", "d": "." * (room + 1)}),
        "an item without its sort key": lambda: table.put_item(Item={"PK": "A"}),
        "a put whose condition isn't met": lambda: table.put_item(
            Item={"PK": "A", "SK": "x"}, ConditionExpression="attribute_not_exists(PK)"
        ),
        "a transaction of 101 actions": lambda: client.transact_write_items(TransactItems=actions),
        "a consistent read from an index": lambda: table.query(**from_index, ConsistentRead=True),
        "a batch of 26 writes": lambda: client.batch_write_item(RequestItems={"shop": puts}),
        "a filter on a key": lambda: table.query(**key_filter),
        "one token, two transactions": lambda: [
            client.transact_write_items(TransactItems=actions[:size], ClientRequestToken="t") for size in (1, 2)
        ][-1],
    }
    for name, call in trials.items():
        print(f"{name:35}{answer(call)}")
    read = table.get_item(Key={"PK": "A", "SK": "x"}, ConsistentRead=True, ReturnConsumedCapacity="TOTAL")
    print(f"{'a consistent read of 400 KB':35}{read['ConsumedCapacity']['CapacityUnits']} units")

# %% [markdown]
# Down to the consistent read from an index, moto answers as DynamoDB does. The last four lines are where it **differs**:
# DynamoDB refuses the batch of 26 (25 is the limit), refuses a filter on a key attribute, and answers the token that
# comes back with another request by `IdempotentParameterMismatchException`. And the read costs 100 units, not a half. What moto
# never does at all: throttle, return `UnprocessedItems`, report a `TransactionConflict`, or show an index that lags. A
# test that is green on a stand-in says that your keys and conditions are right; it says nothing on load.
