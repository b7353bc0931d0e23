"""Finds out which actions on a table are allowed, by trying each where it cannot have an effect.

Reads ask for a record that is not there. Writes carry a condition that no record fulfils: DynamoDB looks at the policy first, so what is
refused answers that, and what is allowed answers that the condition does not hold.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from scripts.upkeep.asking import Answer, ask, explained
from scripts.upkeep.findings import Finding, Weight
from storage.dynamodb import DynamoDatabase
from storage.dynamodb_requests import key_wire
from storage.table import Key
from storage.tables import TableDefinition

_NOBODY: Final = Key.twice("DIAGNOSIS#NONE")
_NEVER: Final = "attribute_exists(#p) AND attribute_not_exists(#p)"
_AS_EXPECTED: Final = frozenset({"", "ConditionalCheckFailedException", "TransactionCanceledException"})


class _Try(NamedTuple):
    action: str
    operation: Callable[..., Any]
    members: dict[str, Any]


def _tries(database: DynamoDatabase, definition: TableDefinition) -> list[_Try]:
    client, name, key = database.client, definition.name, key_wire(definition, _NOBODY)
    never = {"ConditionExpression": _NEVER, "ExpressionAttributeNames": {"#p": definition.partition}}
    change = {"UpdateExpression": "SET #a = :a", "ExpressionAttributeValues": {":a": {"S": "a"}}}
    names = {"#p": definition.partition, "#a": "diagnosis"}
    check = {"ConditionCheck": {"TableName": name, "Key": key, **never}}
    queries = [_query(database, definition, None, definition.partition)]
    queries += [_query(database, definition, index.name, index.partition) for index in definition.indexes]
    return [
        _Try("dynamodb:GetItem", client.get_item, {"TableName": name, "Key": key}),
        *queries,
        _Try("dynamodb:PutItem", client.put_item, {"TableName": name, "Item": key, **never}),
        _Try(
            "dynamodb:UpdateItem", client.update_item, {"TableName": name, "Key": key, **never, **change, "ExpressionAttributeNames": names}
        ),
        _Try("dynamodb:DeleteItem", client.delete_item, {"TableName": name, "Key": key, **never}),
        _Try("dynamodb:ConditionCheckItem", client.transact_write_items, {"TransactItems": [check]}),
    ]


def _query(database: DynamoDatabase, definition: TableDefinition, index: str | None, partition: str) -> _Try:
    members: dict[str, Any] = {
        "TableName": definition.name,
        "Limit": 1,
        "KeyConditionExpression": "#p = :p",
        "ExpressionAttributeNames": {"#p": partition},
        "ExpressionAttributeValues": {":p": {"S": _NOBODY.partition}},
    }
    if index is None:
        return _Try("dynamodb:Query", database.client.query, members)
    return _Try(f"dynamodb:Query on index {index}", database.client.query, {**members, "IndexName": index})


async def try_permissions(database: DynamoDatabase, definition: TableDefinition, arn: str) -> list[Finding]:
    """Return what may and may not be done with a table.

    Args:
        database: that has it.
        definition: of the table.
        arn: of the table, for the cure.
    """
    allowed, found = [], []
    for action, operation, members in _tries(database, definition):
        answer = await ask(operation, **members)
        if _is_allowed(answer):
            allowed.append(action.removeprefix("dynamodb:"))
        elif answer.is_denied:
            resource = f"{arn}/index/*" if " on index " in action else arn
            cure = f"allow {action.partition(' ')[0]} on {resource}; docs/how-to/run-on-aws.md has the policy"
            found.append(Finding("permissions", Weight.PROBLEM, f"{action} is refused", cure))
        elif " on index " not in action:  # an index that is missing is told with the schema
            found.append(explained("permissions", answer.code, action))
    return [Finding("permissions", Weight.OK, f"allowed: {', '.join(allowed)}"), *found] if allowed else found


def _is_allowed(answer: Answer) -> bool:
    return answer.code in _AS_EXPECTED
