"""DynamoDB, for scripts."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from scripts.upkeep.lock import is_lock
from scripts.upkeep.shapes import ACTIVE, Difference, Drift, IndexState, TableState
from scripts.upkeep.store import Scanned
from storage import dynamodb_requests as requests
from storage.dynamodb import DynamoDatabase
from storage.errors import StorageUnavailable, TableMissing
from storage.table import Key
from storage.tables import Index, TableDefinition

WAIT_SECONDS = 1.0
LONGEST_WAIT = 3_600
"""Seconds: building an index over many records takes its time (DynamoDB developer guide, "Managing Global Secondary Indexes")."""


class DynamoStore:
    """The tables of one account and region.

    Args:
        database: the driver; closed with this.
    """

    def __init__(self, database: DynamoDatabase) -> None:
        self._database = database

    @property
    def database(self) -> DynamoDatabase:
        """The driver that the server uses as well."""
        return self._database

    async def state(self, definition: TableDefinition) -> TableState | None:
        """Return what a table looks like, None if there is none."""
        client = self._database.client
        try:
            answer = await self._database.call(client.describe_table, TableName=definition.name)
            expiry = await self._database.call(client.describe_time_to_live, TableName=definition.name)
        except TableMissing:
            return None
        return state_of(answer["Table"], expiry["TimeToLiveDescription"])

    async def scan(self, definition: TableDefinition, after: Key | None, limit: int) -> Scanned:
        """Return the next records of a table."""
        request: dict[str, Any] = {"TableName": definition.name, "Limit": limit, "ConsistentRead": True}
        if after is not None:
            request["ExclusiveStartKey"] = requests.key_wire(definition, after)
        answer = await self._database.call(self._database.client.scan, **request)
        now = self._database.clock()
        last = answer.get("LastEvaluatedKey")
        position = Key(last[definition.partition]["S"], last[definition.sort]["S"]) if last else None
        living = (wire for wire in answer["Items"] if not _has_expired(wire.get(definition.ttl_attribute), now))
        return Scanned(tuple(wire for wire in living if not is_lock(definition, wire)), position)

    async def mend(self, definition: TableDefinition, difference: Difference) -> None:
        """Put one thing right, and wait until it is."""
        client, name = self._database.client, definition.name
        match difference.drift:
            case Drift.MISSING_TABLE:
                await self._database.table(definition).create()
            case Drift.NO_EXPIRY:
                setting = {"Enabled": True, "AttributeName": definition.ttl_attribute}
                await self._database.call(client.update_time_to_live, TableName=name, TimeToLiveSpecification=setting)
            case Drift.NO_STREAM:
                stream = {"StreamEnabled": True, "StreamViewType": definition.stream}
                await self._database.call(client.update_table, TableName=name, StreamSpecification=stream)
                await self._until(definition, lambda state: state.stream is not None)
            case Drift.MISSING_INDEX if difference.index is not None:
                await self._make_index(definition, difference.index)
            case Drift.OTHER_INDEX if difference.index is not None:
                index = difference.index
                removal = [{"Delete": {"IndexName": index.name}}]
                await self._database.call(client.update_table, TableName=name, GlobalSecondaryIndexUpdates=removal)
                await self._until(definition, lambda state: index.name not in {one.index.name for one in state.indexes})
                await self._make_index(definition, index)
            case _:
                return

    async def put_back(self, definition: TableDefinition, wire: dict[str, Any]) -> None:
        """Write a record, whatever is there."""
        await self._database.call(self._database.client.put_item, TableName=definition.name, Item=wire)

    async def back_up(self, definition: TableDefinition, name: str) -> str:
        """Have DynamoDB keep a copy, and return its ARN when it is complete."""
        client = self._database.client
        made = await self._database.call(client.create_backup, TableName=definition.name, BackupName=name)
        arn = made["BackupDetails"]["BackupArn"]

        async def is_there() -> bool:
            told = await self._database.call(client.describe_backup, BackupArn=arn)
            return told["BackupDescription"]["BackupDetails"]["BackupStatus"] == "AVAILABLE"

        await self._wait(is_there, f"the copy of {definition.name}")
        return arn

    async def aclose(self) -> None:
        """Close the connections."""
        await self._database.aclose()

    async def _make_index(self, definition: TableDefinition, index: Index) -> None:
        # One at a time is all that DynamoDB takes (API reference, UpdateTable).
        request = requests.table_request(definition)
        (wanted,) = (one for one in request["GlobalSecondaryIndexes"] if one["IndexName"] == index.name)
        attributes = [{"AttributeName": name, "AttributeType": "S"} for name in _attributes(definition, index)]
        await self._database.call(
            self._database.client.update_table,
            TableName=definition.name,
            AttributeDefinitions=attributes,
            GlobalSecondaryIndexUpdates=[{"Create": wanted}],
        )
        await self._until(definition, lambda state: {one.index.name: one.status for one in state.indexes}.get(index.name) == ACTIVE)

    async def _until(self, definition: TableDefinition, is_so: Callable[[TableState], bool]) -> None:
        async def look() -> bool:
            state = await self.state(definition)
            return state is not None and state.status == ACTIVE and is_so(state)

        await self._wait(look, definition.name)

    async def _wait(self, is_so: Callable[[], Awaitable[bool]], what: str) -> None:
        for _ in range(int(LONGEST_WAIT / WAIT_SECONDS)):
            if await is_so():
                return
            await asyncio.sleep(WAIT_SECONDS)  # nothing tells when DynamoDB is done
        raise StorageUnavailable(f"DynamoDB has not finished with {what} within {LONGEST_WAIT} s")


def state_of(table: Mapping[str, Any], expiry: Mapping[str, Any]) -> TableState:
    """Return the answers of DescribeTable and DescribeTimeToLive as the state of a table."""
    types = {one["AttributeName"]: one["AttributeType"] for one in table["AttributeDefinitions"]}
    partition, sort = _schema(table["KeySchema"])
    stream = table.get("StreamSpecification", {})
    return TableState(
        name=table["TableName"],
        status=table["TableStatus"],
        partition=partition,
        sort=sort,
        key_types="".join(types[name] for name in (partition, sort) if name is not None),
        indexes=tuple(_index_of(one) for one in table.get("GlobalSecondaryIndexes", [])),
        expiry=expiry.get("AttributeName") if expiry["TimeToLiveStatus"] in ("ENABLED", "ENABLING") else None,
        stream=stream.get("StreamViewType") if stream.get("StreamEnabled") else None,
        billing=table.get("BillingModeSummary", {}).get("BillingMode", "PROVISIONED"),
        records=table.get("ItemCount"),
        size=table.get("TableSizeBytes"),
        arn=table.get("TableArn", ""),
    )


def _index_of(wire: Mapping[str, Any]) -> IndexState:
    partition, sort = _schema(wire["KeySchema"])
    projection = wire.get("Projection", {}).get("ProjectionType", "ALL")
    return IndexState(Index(wire["IndexName"], partition, sort), projection, wire.get("IndexStatus", ACTIVE))


def _schema(keys: list[Mapping[str, str]]) -> tuple[str, str | None]:
    roles = {one["KeyType"]: one["AttributeName"] for one in keys}
    return roles["HASH"], roles.get("RANGE")


def _attributes(definition: TableDefinition, index: Index) -> list[str]:
    return list(dict.fromkeys([definition.partition, definition.sort, index.partition, *([index.sort] if index.sort else [])]))


def _has_expired(value: Mapping[str, Any] | None, now: float) -> bool:
    return value is not None and "N" in value and float(value["N"]) <= now
