"""What every driver has to do, word for word the same."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import pytest

from storage.conditions import Absent, AllOf, AnyOf, Condition, Equals, LessThan, OneOf, Present, Update
from storage.errors import BadCursor, ConditionFailed, InvalidRequest, TableMissing
from storage.table import Change, Database, Delete, Key, Put, Query, Table, Write
from storage.tables import Index, TableDefinition
from storage.values import Item, Value
from tests.storage.databases import StandingClock

KEY = Key.twice("A#1")


def record(key: str = "A#1", **attributes: Value) -> Item:
    return {"PK": key, "SK": key, **attributes}


@pytest.fixture
async def table(database: Database, prefix: str) -> Table:
    definition = TableDefinition(f"{prefix}-things", (Index("ByColour", "colour", "size"), Index("ByOwner", "owner")))
    opened = database.table(definition)
    await opened.create()
    return opened


async def everything(table: Table, query: Query) -> list[Item]:
    items: list[Item] = []
    while True:
        page = await table.query(query)
        items += page.items
        if page.cursor is None:
            return items
        query = replace(query, cursor=page.cursor)


async def test_a_table_is_created_once(database: Database, prefix: str) -> None:
    table = database.table(TableDefinition(f"{prefix}-new"))

    assert [await table.create(), await table.create()] == [True, False]


async def test_a_table_that_was_never_created_is_named_missing(database: Database, prefix: str) -> None:
    table = database.table(TableDefinition(f"{prefix}-nowhere"))

    with pytest.raises(TableMissing):
        await table.ping()
    with pytest.raises(TableMissing):
        await table.put(record())


async def test_a_ping_of_an_existing_table_returns(table: Table) -> None:
    assert await table.ping() is None  # type: ignore[func-returns-value]


async def test_what_is_put_comes_back(table: Table) -> None:
    item = record(
        text="ñandú 🦤", whole=7, money=Decimal("67.48"), zero=0, negative=Decimal("-0.01"), yes=True, no=False, nothing=None,
        parts=[1, "two", {"three": Decimal("3.5")}], empty=[], object={"inner": {"deep": []}}, blank="",
    )  # fmt: skip
    await table.put(item)

    assert await table.get(KEY) == item


async def test_numbers_keep_every_digit(table: Table) -> None:
    await table.put(record(long=Decimal("12345678901234567890.123456789"), round=Decimal("2.50"), big=10**37))
    item = await table.get(KEY)

    assert item is not None
    assert item["long"] == Decimal("12345678901234567890.123456789")
    assert item["big"] == 10**37
    assert str(item["round"]) == "2.5"


@pytest.mark.parametrize("value", [1.5, float("nan"), b"bytes", {1, 2}, object(), Decimal("NaN"), Decimal("1." + "3" * 40), "\ud800"])
async def test_what_cannot_be_stored_exactly_is_refused(table: Table, value: Value) -> None:
    with pytest.raises(InvalidRequest):
        await table.put(record(value=value))


async def test_a_record_that_is_not_there_is_none(table: Table) -> None:
    assert await table.get(KEY) is None


async def test_a_put_replaces_the_whole_record(table: Table) -> None:
    await table.put(record(old=1, colour="red", size="1"))
    await table.put(record(new=2))

    assert await table.get(KEY) == record(new=2)
    assert await everything(table, Query("red", "ByColour")) == []


STORED = record(number=5, text="b", flag=True, nothing=None)
CONDITIONS: Sequence[tuple[Condition, bool]] = [
    (Absent("PK"), False),
    (Absent("other"), True),
    (Absent("nothing"), False),
    (Present("text"), True),
    (Present("other"), False),
    (Present("nothing"), True),
    (Equals("number", 5), True),
    (Equals("number", Decimal("5.0")), True),
    (Equals("number", "5"), False),
    (Equals("flag", True), True),
    (Equals("flag", 1), False),
    (Equals("other", 5), False),
    (OneOf("text", ("a", "b")), True),
    (OneOf("text", ("a", "c")), False),
    (OneOf("other", ("a",)), False),
    (LessThan("number", 6), True),
    (LessThan("number", 5), False),
    (LessThan("text", 6), False),
    (LessThan("other", 6), False),
    (AllOf((Equals("number", 5), Equals("text", "b"))), True),
    (AllOf((Equals("number", 5), Equals("text", "c"))), False),
    (AnyOf((Equals("number", 4), Equals("text", "b"))), True),
    (AnyOf((Equals("number", 4), Equals("text", "c"))), False),
    (AllOf((AnyOf((Absent("other"), Equals("number", 1))), Present("PK"))), True),
]


@pytest.mark.parametrize(("condition", "expected"), CONDITIONS, ids=lambda value: type(value).__name__)
async def test_conditions_on_an_existing_record(table: Table, condition: Condition, *, expected: bool) -> None:
    await table.put(STORED)

    async def outcome() -> bool:
        try:
            await table.put(record(number=6), condition)
        except ConditionFailed:
            return False
        return True

    assert await outcome() is expected
    assert await table.get(KEY) == (record(number=6) if expected else STORED)


@pytest.mark.parametrize(
    ("condition", "expected"), [(Absent("PK"), True), (Present("PK"), False), (Equals("number", 5), False), (LessThan("number", 6), False)]
)
async def test_conditions_on_a_record_that_is_not_there(table: Table, condition: Condition, *, expected: bool) -> None:
    try:
        await table.delete(KEY, condition)
        outcome = True
    except ConditionFailed:
        outcome = False

    assert outcome is expected


async def test_an_update_sets_removes_and_adds_and_returns_the_record(table: Table) -> None:
    await table.put(record(keep="k", gone="g", number=5))
    updated = await table.update(KEY, Update(set={"new": "n", "status": "s"}, remove=("gone",), add={"number": 2, "fresh": -1}))

    assert updated == record(keep="k", number=7, new="n", status="s", fresh=-1)
    assert await table.get(KEY) == updated


async def test_an_update_makes_a_record_that_is_not_there(table: Table) -> None:
    assert await table.update(KEY, Update(add={"last": 1})) == record(last=1)


async def test_an_update_whose_condition_fails_changes_nothing(table: Table) -> None:
    await table.put(record(status="delivered"))
    with pytest.raises(ConditionFailed):
        await table.update(KEY, Update(set={"status": "cancelled"}), OneOf("status", ("pending", "processing")))

    assert await table.get(KEY) == record(status="delivered")


async def test_concurrent_additions_are_all_counted(table: Table) -> None:
    results = await asyncio.gather(*[table.update(KEY, Update(add={"last": 1})) for _ in range(40)])

    assert sorted(str(item["last"]).zfill(2) for item in results) == [str(number).zfill(2) for number in range(1, 41)]


async def test_deleting_what_is_not_there_succeeds(table: Table) -> None:
    await table.put(record(colour="red", size="1"))
    await table.delete(KEY)
    await table.delete(KEY)

    assert await table.get(KEY) is None
    assert await everything(table, Query("red", "ByColour")) == []


async def test_an_index_gives_its_partition_in_the_order_of_its_sort_key(table: Table) -> None:
    for number, size in enumerate(["m", "S", "é", "a", "Z", "zz", "10", "9"]):
        await table.put(record(f"A#{number}", colour="red", size=size))
    await table.put(record("A#x", colour="blue", size="a"))
    await table.put(record("A#y", colour="red"))
    found = await everything(table, Query("red", "ByColour"))
    backwards = await everything(table, Query("red", "ByColour", descending=True))

    # By bytes of UTF-8, and without the record that lacks a key of the index.
    assert [item["size"] for item in found] == ["10", "9", "S", "Z", "a", "m", "zz", "é"]
    assert backwards == found[::-1]


async def test_an_index_follows_updates(table: Table) -> None:
    await table.put(record(colour="red", size="1"))
    await table.update(KEY, Update(set={"colour": "blue"}))

    assert await everything(table, Query("red", "ByColour")) == []
    assert [item["PK"] for item in await everything(table, Query("blue", "ByColour"))] == ["A#1"]


async def test_a_range_includes_both_ends(table: Table) -> None:
    for number in range(6):
        await table.put(record(f"A#{number}", colour="red", size=str(number)))
    found = await everything(table, Query("red", "ByColour", between=("2", "4")))

    assert [item["size"] for item in found] == ["2", "3", "4"]


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("index", ["ByColour", "ByOwner", None])
async def test_pages_together_are_the_whole_without_repetition(table: Table, index: str | None, *, descending: bool) -> None:
    for number in range(11):
        item = {"PK": "red", "SK": f"{number:02}", "colour": "red", "size": str(number % 3), "owner": "red"}
        await table.put(item)
    whole = await everything(table, Query("red", index, descending=descending))
    paged = await everything(table, Query("red", index, descending=descending, limit=3))

    assert len(whole) == 11
    assert paged == whole


async def test_a_cursor_of_another_query_or_a_made_up_one_is_refused(table: Table) -> None:
    for number in range(3):
        await table.put(record(f"A#{number}", colour="red", size="1"))
    cursor = (await table.query(Query("red", "ByColour", limit=1))).cursor

    assert cursor is not None
    for stolen in (Query("blue", "ByColour", cursor=cursor), Query("red", "ByOwner", cursor=cursor), Query("red", cursor=cursor)):
        with pytest.raises(BadCursor):
            await table.query(stolen)
    for made_up in ("", "x", "e30", "ñ", cursor[:-3]):
        with pytest.raises(BadCursor):
            await table.query(Query("red", "ByColour", cursor=made_up))


async def test_a_transaction_does_all_of_its_writes(table: Table) -> None:
    await table.put(record("A#2", number=1))
    await table.put(record("A#3"))
    writes: list[Write] = [
        Put(record("A#1"), Absent("PK")),
        Change(Key.twice("A#2"), Update(add={"number": 1}), Present("PK")),
        Delete(Key.twice("A#3")),
    ]
    await table.transact(writes)

    assert [await table.get(Key.twice(f"A#{number}")) for number in (1, 2, 3)] == [record("A#1"), record("A#2", number=2), None]


async def test_a_transaction_with_a_condition_that_fails_does_nothing_and_names_it(table: Table) -> None:
    await table.put(record("A#2"))
    writes = [Put(record(f"A#{number}"), Absent("PK")) for number in (1, 2, 3)]
    with pytest.raises(ConditionFailed) as failure:
        await table.transact(writes)

    assert failure.value.failed == (1,)
    assert await table.get(Key.twice("A#1")) is None
    assert await table.get(Key.twice("A#3")) is None


async def test_a_transaction_takes_a_hundred_writes_and_no_more(table: Table) -> None:
    await table.transact([Put(record(f"A#{number}")) for number in range(100)])

    with pytest.raises(InvalidRequest):
        await table.transact([Put(record(f"B#{number}")) for number in range(101)])
    with pytest.raises(InvalidRequest):
        await table.transact([])
    assert await table.get(Key.twice("A#99")) is not None


async def test_a_transaction_touches_no_record_twice(table: Table) -> None:
    with pytest.raises(InvalidRequest):
        await table.transact([Put(record()), Delete(KEY)])


async def test_of_fifty_transactions_for_one_record_one_wins(table: Table) -> None:
    async def race(number: int) -> bool:
        writes = [Put(record(f"B#{number}")), Put(record("A#1", winner=number), Absent("PK"))]
        try:
            await table.transact(writes)
        except ConditionFailed:
            return False
        return True

    won = await asyncio.gather(*[race(number) for number in range(50)])
    left = [number for number in range(50) if await table.get(Key.twice(f"B#{number}")) is not None]

    assert won.count(True) == 1
    assert left == [won.index(True)]


async def test_a_record_past_its_time_is_not_returned(table: Table, clock: StandingClock) -> None:
    now = int(clock.seconds())
    await table.put(record("A#1", owner="me", expiresAt=now + 60))
    await table.put(record("A#2", owner="me"))
    before = await everything(table, Query("me", "ByOwner"))
    clock.advance(seconds=60)

    assert [item["PK"] for item in before] == ["A#1", "A#2"]
    assert await table.get(KEY) is None
    assert [item["PK"] for item in await everything(table, Query("me", "ByOwner"))] == ["A#2"]


@pytest.mark.parametrize(
    "bad",
    [{"PK": "a"}, {"PK": "", "SK": "a"}, {"PK": 1, "SK": "a"}, {"PK": "a", "SK": "a", "owner": 5}, {"PK": "a", "SK": "a", "owner": ""}],
)
async def test_keys_are_texts_that_are_not_empty(table: Table, bad: Item) -> None:
    with pytest.raises(InvalidRequest):
        await table.put(bad)


@pytest.mark.parametrize("text", ["' OR 1=1 --", "#PK = :v0", "attribute_exists(PK)", "a\nb\0c", "%", "ORDER#1"])
async def test_texts_are_values_and_never_statements(table: Table, text: str) -> None:
    await table.put(record(text, owner=text, **{"a.b-c #x": text}))

    assert await table.get(Key.twice(text)) == record(text, owner=text, **{"a.b-c #x": text})
    assert len(await everything(table, Query(text, "ByOwner"))) == 1
    assert await table.update(Key.twice(text), Update(set={"select": text}), Equals("a.b-c #x", text)) is not None


async def test_adding_to_a_text_is_refused(table: Table) -> None:
    await table.put(record(number="five"))
    with pytest.raises(InvalidRequest):
        await table.update(KEY, Update(add={"number": 1}))

    assert await table.get(KEY) == record(number="five")


async def test_a_table_can_have_keys_of_its_own_names(database: Database, prefix: str) -> None:
    definition = TableDefinition(f"{prefix}-named", (Index("ByTitle", "title"),), partition="author", sort="title")
    table = database.table(definition)
    await table.create()
    await table.transact([Put({"author": "eva", "title": f"t{number}"}, Absent("author")) for number in range(3)])
    changed = await table.update(Key("eva", "t3"), Update(set={"pages": 7}))
    await table.delete(Key("eva", "t0"))
    first = await table.query(Query("eva", limit=2))
    rest = await table.query(Query("eva", limit=2, cursor=first.cursor))

    assert changed == {"author": "eva", "title": "t3", "pages": 7}
    assert await table.get(Key("eva", "t3")) == changed
    assert [item["title"] for item in (*first.items, *rest.items)] == ["t1", "t2", "t3"]
    assert [item["author"] for item in await everything(table, Query("t2", "ByTitle"))] == ["eva"]
    assert definition.key_attributes() == ("author", "title")
