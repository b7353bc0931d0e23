"""Publishes the changes of DynamoDB tables to AppSync Events: `lambda_changes.handle`, an AWS Lambda function on the tables' streams.

It wants the batch answers of Lambda's event source mapping (ReportBatchItemFailures): the first record that could not be published is
named, and Lambda sends it and those after it again (Lambda developer guide, "Configuring partial batch response"). A record that can never
be published is left out and noted in the log, so that it does not stop its shard until it expires.

Variables: EVENTS_ENDPOINT, EVENTS_API_KEY or the function's role, EVENTS_NAMESPACE, and the tables' names as the server has them. Beside
this file the function needs the package `publishing`, aiohttp, orjson and structlog.
"""

import asyncio
import os
from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from botocore.credentials import ReadOnlyCredentials
from botocore.session import Session

from publishing.appsync import AppSyncEvents, Outgoing
from publishing.changes import BadRecord, FollowedTables, event_of
from publishing.errors import PublishingError, Refused
from publishing.routes import NAMESPACE, Message, messages

log = structlog.get_logger()


class _Identity:
    """Botocore's credentials, as they are signed with."""

    def __init__(self, found: ReadOnlyCredentials) -> None:
        self.access_key_id = found.access_key or ""
        self.secret_access_key = found.secret_key or ""
        self.session_token = found.token


class _RoleCredentials:
    """Of the function's role, which Lambda puts into the environment."""

    async def identity(self) -> _Identity:
        """Return what the environment has now."""
        found = Session().get_credentials()
        if found is None:
            raise PublishingError("the function has no credentials")
        return _Identity(found.get_frozen_credentials())

    def forget(self) -> None:
        """Do nothing: they are read for every request."""


def tables_of(env: Mapping[str, str]) -> FollowedTables:
    """Return which tables are followed, as the environment names them."""
    usual = FollowedTables()
    return FollowedTables(
        conversations=env.get("CONVERSATIONS_TABLE", usual.conversations),
        bookings=env.get("BOOKINGS_TABLE", usual.bookings),
        orders=env.get("ORDERS_TABLE", usual.orders),
        appointments=env.get("APPOINTMENTS_TABLE", usual.appointments),
    )


async def publish(event: Mapping[str, Any], service: AppSyncEvents, tables: FollowedTables, namespace: str) -> str | None:
    """Publish the records of a batch in order.

    Args:
        event: as Lambda gives it: {"Records": [...]}.
        service: where to.
        tables: which tables are followed.
        namespace: first segment of every channel.

    Returns:
        Sequence number of the first record that could not be published now; None if all were.
    """
    waiting = [(record, Outgoing(message)) for record in event.get("Records", ()) for message in _messages(record, tables, namespace)]
    try:
        await service.write([one for _, one in waiting])
    except Refused:
        await _write_each(service, [one for _, one in waiting])
    except PublishingError as error:
        log.warning("change.not_published", reason=str(error))
    return next((_number_of(record) for record, one in waiting if not one.is_delivered), None)


def _messages(record: Mapping[str, Any], tables: FollowedTables, namespace: str) -> tuple[Message, ...]:
    try:
        found = event_of(record, tables)
        return () if found is None else messages(found, namespace)
    except (BadRecord, TypeError) as error:  # TypeError: a text that is not Unicode
        log.warning("change.left_out", reason=type(error).__name__)
        return ()


async def _write_each(service: AppSyncEvents, waiting: Sequence[Outgoing]) -> None:
    """Publish one after the other, leaving out what is never taken, until the service does not take something now."""
    for one in waiting:
        try:
            await service.write([one])
        except Refused as error:
            log.warning("change.left_out", reason=str(error))
            one.is_delivered = True
        except PublishingError as error:
            log.warning("change.not_published", reason=str(error))
            return


def _number_of(record: Mapping[str, Any]) -> str:
    return str(record["dynamodb"].get("SequenceNumber", ""))


async def run(event: Mapping[str, Any], env: Mapping[str, str]) -> dict[str, Any]:
    """Return the answer of the function."""
    api_key = env.get("EVENTS_API_KEY", "")
    service = AppSyncEvents(
        env["EVENTS_ENDPOINT"], api_key=api_key, credentials=None if api_key else _RoleCredentials(), region=env.get("AWS_REGION", "")
    )
    try:
        failed = await publish(event, service, tables_of(env), env.get("EVENTS_NAMESPACE", NAMESPACE))
    finally:
        await service.aclose()
    return {"batchItemFailures": [] if failed is None else [{"itemIdentifier": failed}]}


def handle(event: Mapping[str, Any], context: object) -> dict[str, Any]:
    """Publish a batch of records of a stream; Lambda's entry point."""
    del context
    return asyncio.run(run(event, os.environ))
