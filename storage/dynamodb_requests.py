"""DynamoDB's requests and answers: expressions out of conditions, errors out of exceptions. Pure functions, no I/O.

Source: Amazon DynamoDB developer guide, "Condition expressions", "Update expressions", "Error handling with DynamoDB".
"""

from collections.abc import Mapping
from typing import Any, assert_never

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

from storage.conditions import Absent, AllOf, AnyOf, Condition, Equals, LessThan, OneOf, Present, Update
from storage.cursors import decode_cursor
from storage.errors import (
    ConditionFailed,
    InvalidRequest,
    StorageDenied,
    StorageError,
    StorageThrottled,
    StorageUnavailable,
    TableMissing,
)
from storage.table import Change, Delete, Key, Put, Query, Write
from storage.tables import TableDefinition
from storage.values import Value, encode_item, encode_value

_THROTTLED = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "ThrottlingException",
        "Throttling",
        "RequestLimitExceeded",
        "LimitExceededException",
        # as reasons of a cancelled transaction:
        "ThrottlingError",
        "ProvisionedThroughputExceeded",
    }
)
_DENIED = frozenset(
    {
        "AccessDeniedException",
        "UnrecognizedClientException",
        "MissingAuthenticationTokenException",
        "InvalidSignatureException",
        "ExpiredTokenException",
        "IncompleteSignatureException",
    }
)
_INVALID = frozenset(
    {
        "ValidationException",
        "SerializationException",
        "IdempotentParameterMismatchException",
        # as reasons of a cancelled transaction:
        "ValidationError",
        "ItemCollectionSizeLimitExceeded",
        "DuplicateItem",
    }
)


class Conflict(StorageUnavailable):
    """Another transaction holds a record of this one; trying again at once is right."""


class Expressions:
    """Collects the names and values of one request while its expressions are written."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._values: dict[str, Any] = {}

    def name(self, attribute: str) -> str:
        """Return the placeholder of an attribute: every name is bound, so none can be a reserved word or an injection."""
        return self._names.setdefault(attribute, f"#n{len(self._names)}")

    def value(self, value: Value) -> str:
        """Return the placeholder of a value."""
        placeholder = f":v{len(self._values)}"
        self._values[placeholder] = encode_value(value)
        return placeholder

    def condition(self, condition: Condition) -> str:
        """Return a condition expression."""
        match condition:
            case Absent(attribute):
                return f"attribute_not_exists({self.name(attribute)})"
            case Present(attribute):
                return f"attribute_exists({self.name(attribute)})"
            case Equals(attribute, value):
                return f"{self.name(attribute)} = {self.value(value)}"
            case OneOf(attribute, values):
                return f"{self.name(attribute)} IN ({', '.join(self.value(value) for value in values)})"
            case LessThan(attribute, value):
                return f"{self.name(attribute)} < {self.value(value)}"
            case AllOf(parts):
                return "(" + " AND ".join(self.condition(part) for part in parts) + ")"
            case AnyOf(parts):
                return "(" + " OR ".join(self.condition(part) for part in parts) + ")"
            case _:
                assert_never(condition)

    def update(self, update: Update) -> str:
        """Return an update expression."""
        clauses = {
            "SET": [f"{self.name(name)} = {self.value(value)}" for name, value in update.set.items()],
            "REMOVE": [self.name(name) for name in update.remove],
            "ADD": [f"{self.name(name)} {self.value(step)}" for name, step in update.add.items()],
        }
        return " ".join(f"{verb} {', '.join(parts)}" for verb, parts in clauses.items() if parts)

    def members(self) -> dict[str, Any]:
        """Return the members of the request that carry names and values."""
        names = {placeholder: attribute for attribute, placeholder in self._names.items()}
        members = {"ExpressionAttributeNames": names, "ExpressionAttributeValues": self._values}
        return {name: member for name, member in members.items() if member}


def key_wire(definition: TableDefinition, key: Key) -> dict[str, Any]:
    """Return a primary key as a request carries it."""
    return {definition.partition: {"S": key.partition}, definition.sort: {"S": key.sort}}


def write_request(definition: TableDefinition, write: Write) -> dict[str, Any]:
    """Return the members of a write, the same alone and within a transaction."""
    expressions = Expressions()
    request: dict[str, Any] = {"TableName": definition.name}
    match write:
        case Put(item):
            request["Item"] = encode_item(item)
        case Change(key, update):
            request |= {"Key": key_wire(definition, key), "UpdateExpression": expressions.update(update)}
        case Delete(key):
            request["Key"] = key_wire(definition, key)
        case _:
            assert_never(write)
    if write.condition is not None:
        request["ConditionExpression"] = expressions.condition(write.condition)
    return request | expressions.members()


def transaction_member(definition: TableDefinition, write: Write) -> dict[str, Any]:
    """Return a write as a member of TransactItems."""
    verb = {Put: "Put", Change: "Update", Delete: "Delete"}[type(write)]
    return {verb: write_request(definition, write)}


def query_request(definition: TableDefinition, query: Query) -> dict[str, Any]:
    """Return the members of a query.

    Raises:
        BadCursor: the cursor was not made by this query.
    """
    partition, sort = definition.partition, definition.sort
    request: dict[str, Any] = {"TableName": definition.name, "Limit": query.limit, "ScanIndexForward": not query.descending}
    if query.index is None:
        request["ConsistentRead"] = True
    else:
        index = definition.index(query.index)
        partition, sort = index.partition, index.sort or ""
        request["IndexName"] = index.name
    expressions = Expressions()
    condition = f"{expressions.name(partition)} = {expressions.value(query.partition)}"
    if query.between is not None:
        low, high = query.between
        condition += f" AND {expressions.name(sort)} BETWEEN {expressions.value(low)} AND {expressions.value(high)}"
    request["KeyConditionExpression"] = condition
    if (after := decode_cursor(definition, query)) is not None:
        request["ExclusiveStartKey"] = {name: {"S": value} for name, value in after.items()}
    return request | expressions.members()


def table_request(definition: TableDefinition) -> dict[str, Any]:
    """Return the members of CreateTable."""
    request: dict[str, Any] = {
        "TableName": definition.name,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"} for name in definition.key_attributes()],
        "KeySchema": _key_schema(definition.partition, definition.sort),
    }
    if definition.indexes:  # the service refuses an empty list
        request["GlobalSecondaryIndexes"] = [
            {"IndexName": index.name, "KeySchema": _key_schema(index.partition, index.sort), "Projection": {"ProjectionType": "ALL"}}
            for index in definition.indexes
        ]
    if definition.stream is not None:
        request["StreamSpecification"] = {"StreamEnabled": True, "StreamViewType": definition.stream}
    return request


def translate(error: Exception) -> StorageError | None:
    """Return the storage error for an exception of botocore, or None for one that is not about the store.

    The service's messages can quote keys and values, which are personal data: only its error codes are taken over.
    """
    if isinstance(error, ClientError):
        return _translate_code(error.response)
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return StorageDenied("DynamoDB: there are no AWS credentials")
    if isinstance(error, BotoCoreError):
        return StorageUnavailable(f"DynamoDB: {type(error).__name__}")
    return None


def _translate_code(response: Mapping[str, Any]) -> StorageError:
    code = str(response.get("Error", {}).get("Code", ""))
    if code == "ConditionalCheckFailedException":
        return ConditionFailed()
    if code == "TransactionCanceledException":
        return _translate_reasons([str(reason.get("Code", "None")) for reason in response.get("CancellationReasons", [])])
    if code in ("TransactionConflictException", "TransactionInProgressException"):
        return Conflict(f"DynamoDB: {code}")
    if code == "ResourceNotFoundException":
        return TableMissing("DynamoDB: there is no such table, or no such index")
    return _by_code(code)


def _translate_reasons(reasons: list[str]) -> StorageError:
    failed = tuple(at for at, reason in enumerate(reasons) if reason == "ConditionalCheckFailed")
    if failed:
        return ConditionFailed(failed)
    if "TransactionConflict" in reasons:
        return Conflict("DynamoDB: TransactionConflict")
    return _by_code(next((reason for reason in reasons if reason != "None"), "TransactionCanceled"))


def _by_code(code: str) -> StorageError:
    if code in _THROTTLED:
        return StorageThrottled(f"DynamoDB: {code}")
    if code in _DENIED:
        return StorageDenied(f"DynamoDB: {code}")
    if code in _INVALID:
        return InvalidRequest(f"DynamoDB: {code}")
    return StorageUnavailable(f"DynamoDB: {code}")


def _key_schema(partition: str, sort: str | None) -> list[dict[str, str]]:
    schema = [{"AttributeName": partition, "KeyType": "HASH"}]
    return schema + ([{"AttributeName": sort, "KeyType": "RANGE"}] if sort else [])
