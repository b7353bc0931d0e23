"""What happens between the driver and a service that says no: real boto3, over HTTP, against a server that answers as it is told."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ReadTimeoutError,
)

from storage.dynamodb import ATTEMPTS, CONFLICT_TRIES, DynamoDatabase, open_dynamodb
from storage.dynamodb_requests import Conflict, table_request, translate
from storage.errors import (
    ConditionFailed,
    InvalidRequest,
    StorageDenied,
    StorageError,
    StorageThrottled,
    StorageUnavailable,
    TableMissing,
)
from storage.table import Key, Put, Table
from storage.tables import appointments_table, orders_table
from tests import ministack

SECRET = "canary-12345678"
ITEM: dict[str, object] = {"Item": {"PK": {"S": "a"}, "SK": {"S": "a"}}}


class Service:
    """A DynamoDB that answers from a script; the last answer is repeated."""

    def __init__(self, *answers: tuple[int, dict[str, object]]) -> None:
        self.answers = list(answers)
        self.requests = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
                await reader.readexactly(length)
                status, body = self.answers[min(self.requests, len(self.answers) - 1)]
                self.requests += 1
                text = json.dumps(body).encode()
                lines = f"HTTP/1.1 {status} X\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: {len(text)}\r\n\r\n"
                writer.write(lines.encode() + text)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


def refusal(code: str, **members: object) -> tuple[int, dict[str, object]]:
    return 400, {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": f"{code} {SECRET}", **members}


@asynccontextmanager
async def driver(service: Service, patch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Table, DynamoDatabase]]:
    server = await asyncio.start_server(service.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    patch.setenv("AWS_ENDPOINT_URL_DYNAMODB", f"http://127.0.0.1:{port}")
    for name, value in ministack.CREDENTIALS.items():
        patch.setenv(name, value)
    database = await open_dynamodb("us-east-1")
    try:
        yield database.table(orders_table()), database
    finally:
        await database.aclose()
        server.close()


async def test_a_throttled_request_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service(refusal("ThrottlingException"), (200, ITEM))
    async with driver(service, monkeypatch) as (table, _):
        item = await table.get(Key.twice("a"))

    assert item == {"PK": "a", "SK": "a"}
    assert service.requests == 2


@pytest.mark.parametrize("code", ["ThrottlingException", "ProvisionedThroughputExceededException"])
async def test_lasting_throttling_is_told_after_a_bounded_number_of_tries(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    service = Service(refusal(code))
    async with driver(service, monkeypatch) as (table, _):
        with pytest.raises(StorageThrottled) as failure:
            await table.get(Key.twice(SECRET))

    assert service.requests == ATTEMPTS
    assert SECRET not in str(failure.value)
    assert failure.value.__cause__ is None


async def test_transactions_in_conflict_are_tried_again_until_they_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    conflict = refusal("TransactionCanceledException", CancellationReasons=[{"Code": "TransactionConflict"}])
    service = Service(conflict, conflict, (200, {}))
    async with driver(service, monkeypatch) as (table, database):
        await table.transact([Put({"PK": "a", "SK": "a"})])

    assert service.requests == 3
    assert database.conflicts == 2


async def test_transactions_that_stay_in_conflict_are_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service(refusal("TransactionCanceledException", CancellationReasons=[{"Code": "None"}, {"Code": "TransactionConflict"}]))
    async with driver(service, monkeypatch) as (table, _):
        with pytest.raises(StorageUnavailable):
            await table.transact([Put({"PK": "a", "SK": "a"}), Put({"PK": "b", "SK": "b"})])

    assert service.requests == CONFLICT_TRIES


async def test_a_service_that_is_away_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", f"http://127.0.0.1:{closed.getsockname()[1]}")
        for name, value in ministack.CREDENTIALS.items():
            monkeypatch.setenv(name, value)
        database = await open_dynamodb("us-east-1")
        with pytest.raises(StorageUnavailable):
            await database.table(orders_table()).ping()
        await database.aclose()


async def test_without_credentials_the_driver_does_not_open(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ministack.CREDENTIALS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")

    with pytest.raises(StorageDenied):
        await open_dynamodb("us-east-1")


async def test_a_profile_that_does_not_exist_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")

    with pytest.raises(StorageDenied, match="nobody"):
        await open_dynamodb("us-east-1")


async def test_a_hundred_calls_at_once_use_no_more_than_sixteen_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    open_now, most = 0, 0

    class Counting(Service):
        async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal open_now, most
            open_now += 1
            most = max(most, open_now)
            await super().serve(reader, writer)
            open_now -= 1

    service = Counting((200, ITEM))
    async with driver(service, monkeypatch) as (table, _):
        items = await asyncio.gather(*[table.get(Key.twice("a")) for _ in range(100)])

    assert len(items) == 100
    assert 1 <= most <= 16


def client_error(code: str, *reasons: str) -> ClientError:
    response = {"Error": {"Code": code, "Message": SECRET}, "CancellationReasons": [{"Code": reason} for reason in reasons]}
    return ClientError(response, "PutItem")  # type: ignore[arg-type] # the stub's TypedDict lacks CancellationReasons


TRANSLATIONS: list[tuple[Exception, type[StorageError]]] = [
    (client_error("ConditionalCheckFailedException"), ConditionFailed),
    (client_error("TransactionCanceledException", "None", "ConditionalCheckFailed", "TransactionConflict"), ConditionFailed),
    (client_error("TransactionCanceledException", "None", "TransactionConflict"), Conflict),
    (client_error("TransactionCanceledException", "ThrottlingError"), StorageThrottled),
    (client_error("TransactionCanceledException", "ProvisionedThroughputExceeded"), StorageThrottled),
    (client_error("TransactionCanceledException", "ValidationError"), InvalidRequest),
    (client_error("TransactionCanceledException"), StorageUnavailable),
    (client_error("TransactionConflictException"), Conflict),
    (client_error("ResourceNotFoundException"), TableMissing),
    (client_error("AccessDeniedException"), StorageDenied),
    (client_error("ExpiredTokenException"), StorageDenied),
    (client_error("UnrecognizedClientException"), StorageDenied),
    (client_error("ValidationException"), InvalidRequest),
    (client_error("InternalServerError"), StorageUnavailable),
    (client_error("SomethingNew"), StorageUnavailable),
    (NoCredentialsError(), StorageDenied),
    (EndpointConnectionError(endpoint_url=SECRET), StorageUnavailable),
    (ConnectTimeoutError(endpoint_url=SECRET), StorageUnavailable),
    (ReadTimeoutError(endpoint_url=SECRET), StorageUnavailable),
]


@pytest.mark.parametrize(("error", "expected"), TRANSLATIONS, ids=lambda value: getattr(value, "__name__", str(value)[:60]))
def test_each_failure_has_its_class_and_no_personal_data(error: Exception, expected: type[StorageError]) -> None:
    translated = translate(error)

    assert type(translated) is expected
    assert SECRET not in str(translated)


def test_what_is_not_about_the_store_is_not_translated() -> None:
    assert translate(ValueError("a bug")) is None


@pytest.mark.req("S4-25")
@pytest.mark.req("S4-31")
def test_tables_are_made_on_demand_with_their_indexes_and_stream() -> None:
    orders, appointments = table_request(orders_table("o")), table_request(appointments_table("a"))
    keys = {
        index["IndexName"]: [(part["AttributeName"], part["KeyType"]) for part in index["KeySchema"]]
        for request in (orders, appointments)
        for index in request["GlobalSecondaryIndexes"]
        if (request, index["IndexName"]) != (orders, "StatusIndex")
    }

    assert orders["KeySchema"] == [{"AttributeName": "PK", "KeyType": "HASH"}, {"AttributeName": "SK", "KeyType": "RANGE"}]
    assert orders["GlobalSecondaryIndexes"][1]["KeySchema"] == [
        {"AttributeName": "status", "KeyType": "HASH"},
        {"AttributeName": "createdAt", "KeyType": "RANGE"},
    ]
    assert keys == {
        "CustomerEmailIndex": [("customerEmail", "HASH")],
        "PatientEmailIndex": [("patientEmail", "HASH")],
        "DoctorDateIndex": [("doctorName", "HASH"), ("appointmentDate", "RANGE")],
        "StatusIndex": [("status", "HASH")],
    }
    assert orders["BillingMode"] == appointments["BillingMode"] == "PAY_PER_REQUEST"
    assert orders["StreamSpecification"] == {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}


@pytest.mark.dynamodb
@pytest.mark.req("S4-28")
def test_a_made_table_has_its_ttl_and_stream_in_the_service(dynamodb: DynamoDatabase) -> None:
    table = dynamodb.table(orders_table("described-orders"))
    asyncio.run(table.create())
    ttl = dynamodb.client.describe_time_to_live(TableName="described-orders")["TimeToLiveDescription"]
    described = dynamodb.client.describe_table(TableName="described-orders")["Table"]

    assert ttl["AttributeName"] == "expiresAt"
    assert ttl["TimeToLiveStatus"] in {"ENABLED", "ENABLING"}
    assert described["StreamSpecification"]["StreamViewType"] == "NEW_IMAGE"
    assert {index["IndexName"] for index in described["GlobalSecondaryIndexes"]} == {"CustomerEmailIndex", "StatusIndex"}
