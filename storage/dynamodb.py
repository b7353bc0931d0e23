"""The DynamoDB driver: boto3's low-level client in one bounded pool of threads.

Sixteen threads and as many connections: measured at 50 calls a second, the event loop then lags 3 to 5 ms at p99, with 200 threads 300 ms.
The endpoint is AWS's own choice: boto3 honours AWS_ENDPOINT_URL_DYNAMODB.
"""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from storage import dynamodb_requests as requests
from storage.conditions import Condition, Update
from storage.cursors import encode_cursor
from storage.dynamodb_requests import Conflict
from storage.errors import InvalidRequest, StorageDenied, TableMissing
from storage.table import MAX_TRANSACTION, Change, Delete, Key, Page, Put, Query, Write
from storage.tables import TableDefinition
from storage.values import Item, Value, decode_item
from storage.workers import BoundedPool

if TYPE_CHECKING:  # stubs, which only the type checker has
    from mypy_boto3_dynamodb import DynamoDBClient

THREADS = 16
WAITING = 256
CONNECT_SECONDS, READ_SECONDS = 1.0, 2.0
"""With two attempts and their backoff this stays near the 5 s that a tool may take."""
ATTEMPTS = 3
"""Of one request, the first included; botocore's standard mode waits with full jitter in between, for throttling too."""
CONFLICT_TRIES = 8
CONFLICT_SECONDS = 0.02
"""First wait after a conflict of transactions; doubles each time, with full jitter."""


class DynamoDatabase:
    """The tables of one account and region.

    Args:
        client: a low-level client whose pool has as many connections as there are threads.
        clock: seconds since 1970, for expiry.
    """

    def __init__(self, client: "DynamoDBClient", *, clock: Callable[[], float] = time.time) -> None:
        self.client = client
        self.clock = clock
        self._pool = BoundedPool("dynamodb", THREADS, WAITING)
        self.conflicts = 0
        """Transactions that met another one and were tried again."""

    def table(self, definition: TableDefinition) -> "DynamoTable":
        """Return a table; does no I/O."""
        return DynamoTable(self, definition)

    async def call[T](self, operation: Callable[..., T], **members: Any) -> T:
        """Send one request and return its answer, trying again while other transactions are in the way.

        Raises:
            StorageError: as `storage/errors.py` has it.
        """
        send = partial(_send, operation, members)
        for attempt in range(CONFLICT_TRIES - 1):
            try:
                return await self._pool.run(send)
            except Conflict:
                self.conflicts += 1
                await asyncio.sleep(random.uniform(0, CONFLICT_SECONDS * 2**attempt))  # noqa: S311 - jitter
        return await self._pool.run(send)

    async def aclose(self) -> None:
        """Finish what runs and close the connections."""
        await self._pool.aclose()
        await asyncio.to_thread(self.client.close)


class DynamoTable:
    """One table."""

    def __init__(self, database: DynamoDatabase, definition: TableDefinition) -> None:
        self._database = database
        self._definition = definition

    @property
    def definition(self) -> TableDefinition:
        """What the table looks like."""
        return self._definition

    async def get(self, key: Key) -> Item | None:
        """Return a record as it is now, or None."""
        client = self._database.client
        answer = await self._database.call(
            client.get_item, TableName=self._definition.name, Key=requests.key_wire(self._definition, key), ConsistentRead=True
        )
        return next(iter(self._living([answer["Item"]])), None) if "Item" in answer else None

    async def query(self, query: Query) -> Page:
        """Return one page of a query."""
        request = requests.query_request(self._definition, query)
        answer = await self._database.call(self._database.client.query, **request)
        last = answer.get("LastEvaluatedKey")
        cursor = encode_cursor(self._definition, query, {name: value["S"] for name, value in last.items()}) if last else None
        return Page(self._living(answer["Items"]), cursor)

    async def put(self, item: Item, condition: Condition | None = None) -> None:
        """Write a record if the condition holds."""
        await self._database.call(self._database.client.put_item, **requests.write_request(self._definition, Put(item, condition)))

    async def update(self, key: Key, update: Update, condition: Condition | None = None) -> Item:
        """Change a record if the condition holds and return it as it is then."""
        request = requests.write_request(self._definition, Change(key, update, condition))
        answer = await self._database.call(self._database.client.update_item, **request, ReturnValues="ALL_NEW")
        return decode_item(answer["Attributes"])

    async def delete(self, key: Key, condition: Condition | None = None) -> None:
        """Remove a record if the condition holds."""
        await self._database.call(self._database.client.delete_item, **requests.write_request(self._definition, Delete(key, condition)))

    async def transact(self, writes: Sequence[Write]) -> None:
        """Do all writes or none."""
        # botocore adds a ClientRequestToken and keeps it while it tries again, so a lost answer does no harm. A token of our own would be
        # remembered for ten minutes over all tables, and a transaction that comes back to an earlier state would silently not be done.
        if not 0 < len(writes) <= MAX_TRANSACTION:
            raise InvalidRequest("a transaction takes 1 to 100 writes, each on another record")
        members = [requests.transaction_member(self._definition, write) for write in writes]
        await self._database.call(self._database.client.transact_write_items, TransactItems=members)

    async def create(self) -> bool:
        """Create the table and wait until it can be used; False if it was there already."""
        client = self._database.client
        try:
            await self._database.call(client.describe_table, TableName=self._definition.name)
        except TableMissing:
            await self._database.call(client.create_table, **requests.table_request(self._definition))
            waiter = client.get_waiter("table_exists")
            await self._database.call(waiter.wait, TableName=self._definition.name, WaiterConfig={"Delay": 1, "MaxAttempts": 120})
            ttl = {"Enabled": True, "AttributeName": self._definition.ttl_attribute}
            await self._database.call(client.update_time_to_live, TableName=self._definition.name, TimeToLiveSpecification=ttl)
            return True
        return False

    async def ping(self) -> None:
        """Read something that is not there."""
        await self.get(Key.twice("PING"))

    def _living(self, wires: Sequence[Any]) -> tuple[Item, ...]:
        now = self._database.clock()
        items: list[dict[str, Value]] = [decode_item(wire) for wire in wires]
        return tuple(item for item in items if not _has_expired(item.get(self._definition.ttl_attribute), now))


async def open_dynamodb(region: str) -> DynamoDatabase:
    """Return the tables of a region, with a client that is ready: making one takes 0.3 s, which no conversation should wait for.

    Raises:
        StorageDenied: there are no credentials.
    """
    return DynamoDatabase(await asyncio.to_thread(_make_client, region))


def _make_client(region: str) -> "DynamoDBClient":
    config = Config(
        max_pool_connections=THREADS,
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        tcp_keepalive=True,
    )
    try:
        session = boto3.session.Session(region_name=region)
        client = session.client("dynamodb", config=config)
        credentials = session.get_credentials()
    except BotoCoreError as error:
        raise StorageDenied(f"DynamoDB: {error}") from error
    if credentials is None:
        raise StorageDenied("DynamoDB: there are no AWS credentials")
    return client


def _send[T](operation: Callable[..., T], members: dict[str, Any]) -> T:
    try:
        return operation(**members)
    except (ClientError, BotoCoreError) as error:
        # Not `from error`: its text can quote keys, and tracebacks end up in logs.
        raise requests.translate(error) or error from None


def _has_expired(expires: Value, now: float) -> bool:
    return isinstance(expires, int) and expires <= now
