"""Looks at everything that the server needs of its stores, and says what is wrong with it and what to do. Changes nothing."""

import asyncio
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import boto3
from botocore.exceptions import BotoCoreError

from config import Settings, StorageKind
from scripts.upkeep.asking import DENIED, MISSING, ask, explained
from scripts.upkeep.dynamodb_store import DynamoStore, state_of
from scripts.upkeep.findings import Diagnosis, Finding, TableFindings, Weight
from scripts.upkeep.opening import NamedTable
from scripts.upkeep.permissions import try_permissions
from scripts.upkeep.planning import PLANNERS, Planner
from scripts.upkeep.sampling import sample
from scripts.upkeep.services import examine_services
from scripts.upkeep.shapes import HARMLESS, TableState, differences
from scripts.upkeep.sqlite_store import SqliteStore
from scripts.upkeep.store import Store
from storage.dynamodb import DynamoDatabase, open_dynamodb
from storage.errors import StorageError, StorageUnavailable, TableMissing

_OPTIONAL: Final = frozenset({"sessions_table"})
"""Tables without which the server starts and serves: conversations then end with their process."""


async def diagnose(settings: Settings, tables: Sequence[NamedTable], most: int) -> Diagnosis:
    """Return what is found.

    Args:
        settings: of the server.
        tables: to look at.
        most: records of each table to look at.
    """
    if settings.storage is StorageKind.SQLITE:
        diagnosis = await _diagnose_file(settings, tables, most)
    else:
        diagnosis = await _diagnose_dynamodb(settings, tables, most)
    diagnosis.findings += await examine_services(settings)
    return diagnosis


async def _diagnose_file(settings: Settings, tables: Sequence[NamedTable], most: int) -> Diagnosis:
    path = settings.sqlite_path
    diagnosis = Diagnosis(f"SQLite, {path}")
    try:
        store = SqliteStore(path)
    except StorageUnavailable:
        cure = "correct SQLITE_PATH, or run `make seed`: that makes the file and its tables"
        diagnosis.findings.append(Finding("file", Weight.PROBLEM, "there is none", cure))
        return diagnosis
    try:
        wrong = await store.check()
        if wrong is not None:
            cure = "stop the server and put back a copy of the file, or a copy of its tables with scripts/migrate.py --restore"
            diagnosis.findings.append(Finding("file", Weight.PROBLEM, f"it is damaged: {wrong}", cure))
            return diagnosis
        diagnosis.findings.append(await _may_write(store, tables))
        for table in tables:
            state = await store.state(table.definition)
            diagnosis.tables.append(await _examine(store, table, state, _planner(store, settings, table), most))
    except StorageError as error:
        cure = "end what else holds the file; mind who may read it; use the version of this program that wrote it"
        diagnosis.findings.append(Finding("file", Weight.PROBLEM, str(error), cure))
    finally:
        await store.aclose()
    return diagnosis


async def _may_write(store: SqliteStore, tables: Sequence[NamedTable]) -> Finding:
    try:
        await store.database.table(tables[0].definition).ping()
    except TableMissing:
        pass  # told with the table
    except StorageError as error:
        cure = "another process writes for long, the disk is full, or this user may not write: end it, make room, or change the owner"
        return Finding("file", Weight.PROBLEM, f"it cannot be written: {error}", cure)
    return Finding("file", Weight.OK, "it can be read and written")


async def _diagnose_dynamodb(settings: Settings, tables: Sequence[NamedTable], most: int) -> Diagnosis:
    endpoint = settings.dynamodb_endpoint or f"https://dynamodb.{settings.region}.amazonaws.com"
    diagnosis = Diagnosis(f"DynamoDB, {endpoint}, region {settings.region}")
    code = await asyncio.to_thread(_missing_credentials, settings.region)
    if code is not None:
        diagnosis.findings.append(explained("credentials", code, "DynamoDB"))
        return diagnosis
    database = await open_dynamodb(settings.region)
    try:
        first = await ask(database.client.describe_table, TableName=tables[0].definition.name)
        if first.is_known or first.code not in {"", *MISSING, *DENIED}:
            diagnosis.findings.append(explained("connection", first.code, endpoint))
            return diagnosis
        diagnosis.findings.append(Finding("connection", Weight.OK, f"{endpoint} answers"))
        diagnosis.identity, told = await _identity(settings)
        diagnosis.findings += told
        for table in tables:
            diagnosis.tables.append(await _examine_dynamodb(settings, database, table, most))
    finally:
        await database.aclose()
    return diagnosis


async def _examine_dynamodb(settings: Settings, database: DynamoDatabase, table: NamedTable, most: int) -> TableFindings:
    name = table.definition.name
    answer = await ask(database.client.describe_table, TableName=name)
    if answer.code in MISSING:
        return await _examine(DynamoStore(database), table, None, None, most)
    found = TableFindings(name, table.setting)
    arn = f"arn:aws:dynamodb:{settings.region}:*:table/{name}"
    if answer.code:
        cure = f"allow dynamodb:DescribeTable on {arn}; without it the definition cannot be looked at"
        refused = Finding("schema", Weight.PROBLEM, "dynamodb:DescribeTable is refused", cure)
        found.findings.append(refused if answer.is_denied else explained("schema", answer.code, name))
    else:
        expiry = await ask(database.client.describe_time_to_live, TableName=name)
        described = expiry.members.get("TimeToLiveDescription") if not expiry.code else None
        # Where it may not be asked for, it is taken to be as expected.
        assumed = {"TimeToLiveStatus": "ENABLED", "AttributeName": table.definition.ttl_attribute}
        state = state_of(answer.members["Table"], described or assumed)
        store = DynamoStore(database)
        found = await _examine(store, table, state, _planner(store, settings, table), most)
        if expiry.code:
            cure = f"allow dynamodb:DescribeTimeToLive on {state.arn}"
            found.findings.append(Finding("schema", Weight.NOTICE, f"the time to live was not looked at ({expiry.code})", cure))
        arn = state.arn or arn
    found.findings += await try_permissions(database, table.definition, arn)
    return found


async def _examine(store: Store, table: NamedTable, state: TableState | None, planner: Planner | None, most: int) -> TableFindings:
    found = TableFindings(table.definition.name, table.setting)
    for one in differences(table.definition, state):
        is_mild = one.drift in HARMLESS or (state is None and table.kind in _OPTIONAL)
        found.findings.append(Finding("schema", Weight.NOTICE if is_mild else Weight.PROBLEM, one.line, one.cure))
    if state is None:
        return found
    found.facts = _facts(state)
    if not found.findings:
        found.findings.append(Finding("schema", Weight.OK, "keys, indexes, expiry and stream are as they have to be"))
    if (state.partition, state.sort) == (table.definition.partition, table.definition.sort):
        found.findings += await sample(store, table, planner, most)
    return found


def _facts(state: TableState) -> dict[str, Any]:
    return {
        "status": state.status,
        "keys": [name for name in (state.partition, state.sort) if name],
        "indexes": [f"{one.index.name}:{one.status}" for one in state.indexes],
        "expiry": state.expiry,
        "stream": state.stream,
        "billing": state.billing,
        "records": state.records,
        "bytes": state.size,
        "arn": state.arn,
    }


def _planner(store: Store, settings: Settings, table: NamedTable) -> Planner | None:
    make = PLANNERS.get(table.kind)
    return make(store.database.table(table.definition), settings.clinic_time_zone, datetime.now(UTC)) if make else None


def _missing_credentials(region: str) -> str | None:
    """Return the code of what is wrong with the credentials, None if there are some."""
    try:
        credentials = boto3.session.Session(region_name=region).get_credentials()
        if credentials is None:
            return "NoCredentialsError"
        credentials.get_frozen_credentials()
    except BotoCoreError as error:
        return type(error).__name__
    return None


async def _identity(settings: Settings) -> tuple[str, list[Finding]]:
    """Return who asks, by STS; not asked where DynamoDB is a stand-in and STS none."""
    if settings.dynamodb_endpoint and not os.environ.get("AWS_ENDPOINT_URL_STS"):
        return "", [Finding("credentials", Weight.OK, "there are some; a stand-in for DynamoDB takes any")]
    client = await asyncio.to_thread(boto3.session.Session(region_name=settings.region).client, "sts")
    answer = await ask(client.get_caller_identity)
    if answer.code:
        told = explained("credentials", answer.code, "STS")
        return "", [Finding(told.part, Weight.NOTICE, told.line, told.cure)]
    return str(answer.members["Arn"]), [Finding("credentials", Weight.OK, f"account {answer.members['Account']}")]
