"""The orders of the shop."""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal

from storage import records
from storage.conditions import Absent, AllOf, Condition, Equals, Update
from storage.errors import ConditionFailed, StorageUnavailable
from storage.models import CANCELLABLE_ORDERS, Order, OrderItem, OrderStatus, format_instant, order_total, parse_instant
from storage.records import Listing, Reader
from storage.table import Change, Key, Put, Query, Table
from storage.tables import PARTITION, SORT
from storage.values import Item

_TRIES = 20
"""How often to try again when a number was taken past the counter, or somebody else was faster."""
_OPTIONAL = ("estimatedDelivery", "trackingNumber", "dniHash")
_EARLIEST = "0001"
"""Sorts before every instant; a key attribute may not be empty."""


@dataclass(frozen=True, slots=True)
class NewOrder:
    """An order that somebody wants to place."""

    customer_name: str
    customer_email: str
    items: tuple[OrderItem, ...]
    dni_hash: str | None = None


def hash_dni(dni: str, salt: bytes) -> str:
    """Return what is stored of a DNI: HMAC-SHA256, in hexadecimal, of its digits under the installation's salt."""
    return hmac.new(salt, dni.encode(), hashlib.sha256).hexdigest()


class Orders:
    """Repository of orders on one table.

    Args:
        table: the orders table.
        clock: the time now, with a zone.
    """

    def __init__(self, table: Table, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.table = table
        self._clock = clock

    async def get(self, order_id: str) -> Order | None:
        """Return an order, or None."""
        item = await self.table.get(_key(order_id))
        return from_item(item) if item is not None else None

    async def add(self, order: Order) -> bool:
        """Write an order under its own id; False if that id is taken."""
        try:
            await self.table.put(_to_item(order), Absent(PARTITION))
        except ConditionFailed:
            return False
        return True

    async def outcome(self, request_id: str) -> Order | None:
        """Return the order as this request left it, whatever has become of it since; None when the request has changed nothing."""
        item = await records.request_outcome(self.table, request_id)
        return from_item(item) if item is not None else None

    async def create(self, new: NewOrder, request_id: str) -> Order:
        """Place an order under a new number; the same request again changes nothing and returns what the first one did.

        Args:
            new: what is ordered; the total is computed here.
            request_id: unique for what may happen once.
        """
        for _ in range(_TRIES):
            now = records.to_milliseconds(self._clock())
            order_id = await records.next_number(self.table, "ORDER")
            order = Order(
                id=order_id,
                customer_name=new.customer_name,
                customer_email=new.customer_email,
                items=new.items,
                total=order_total(new.items),
                status=OrderStatus.PENDING,
                created_at=now,
                updated_at=now,
                dni_hash=new.dni_hash,
            )
            item = _to_item(order)
            try:
                await self.table.transact((records.request_record(request_id, item, now), Put(item, Absent(PARTITION))))
            except ConditionFailed:
                if (done := await self.outcome(request_id)) is not None:
                    return done
                continue  # the number was taken past the counter
            return order
        raise StorageUnavailable("other writers were faster each time")

    async def cancel(self, order_id: str, request_id: str) -> Order | None:
        """Cancel an order that can still be cancelled; the same request again changes nothing and returns what the first one did.

        Returns:
            The cancelled order; None if there is no such order or its status forbids it.
        """
        for _ in range(_TRIES):
            before = await self.get(order_id)
            if before is None or before.status not in CANCELLABLE_ORDERS:
                return await self.outcome(request_id)
            after = replace(before, status=OrderStatus.CANCELLED, updated_at=records.next_instant(before.updated_at, self._clock()))
            change = Update(set={"status": after.status.value, "updatedAt": format_instant(after.updated_at)})
            noted = records.request_record(request_id, _to_item(after), after.updated_at)
            try:
                await self.table.transact((noted, Change(_key(order_id), change, _is_still(before))))
            except ConditionFailed:
                if (done := await self.outcome(request_id)) is not None:
                    return done
                continue  # somebody changed it since it was read
            return after
        raise StorageUnavailable("other writers were faster each time")

    async def change(self, order: Order, expected: Order) -> Order | None:
        """Write a changed order if nobody has changed it since `expected` was read; None if somebody has."""
        changed = replace(order, updated_at=records.next_instant(expected.updated_at, self._clock()))
        try:
            await self.table.update(_key(order.id), records.whole_update(_to_item(changed), _OPTIONAL), _is_still(expected))
        except ConditionFailed:
            return None
        return changed

    async def remove(self, expected: Order) -> bool:
        """Remove an order if nobody has changed it since `expected` was read; False if somebody has."""
        try:
            await self.table.delete(_key(expected.id), _is_still(expected))
        except ConditionFailed:
            return False
        return True

    async def delete(self, order_id: str) -> None:
        """Remove an order; removing what is not there succeeds."""
        await self.table.delete(_key(order_id))

    async def with_status(
        self, status: OrderStatus, *, limit: int = 100, cursor: str | None = None, newest_first: bool = True, until: datetime | None = None
    ) -> Listing[Order]:
        """Return a page of the orders with a status, by creation time; with `until`, of those created then or before."""
        between = (_EARLIEST, format_instant(until)) if until is not None else None
        query = Query(status.value, "StatusIndex", between, descending=newest_first, limit=limit, cursor=cursor)
        return await self._page(query)

    async def of_customer(self, customer_email: str, *, limit: int = 100, cursor: str | None = None) -> Listing[Order]:
        """Return a page of a customer's orders."""
        return await self._page(Query(customer_email, "CustomerEmailIndex", limit=limit, cursor=cursor))

    async def everything(self) -> list[Order]:
        """Return every order, by number; five index queries instead of a scan over internal records."""
        found = [from_item(item) for status in OrderStatus async for item in records.pages(self.table, Query(status.value, "StatusIndex"))]
        return sorted(found, key=lambda order: (len(order.id), order.id))

    async def raise_numbering(self, last: int) -> None:
        """Let numbering go on after `last`; for whoever writes orders under ids of its own."""
        await records.raise_numbering(self.table, "ORDER", last)

    async def _page(self, query: Query) -> Listing[Order]:
        page = await self.table.query(query)
        return Listing(tuple(from_item(item) for item in page.items), page.cursor)


def _key(order_id: str) -> Key:
    return Key.twice(f"ORDER#{order_id}")


def _is_still(order: Order) -> Condition:
    """Return the condition that nobody has changed the order since it was read."""
    return AllOf((Equals("updatedAt", format_instant(order.updated_at)), Equals("status", order.status.value)))


def _to_item(order: Order) -> Item:
    key = _key(order.id)
    return records.without_nulls(
        {
            PARTITION: key.partition,
            SORT: key.sort,
            "id": order.id,
            "customerName": order.customer_name,
            "customerEmail": order.customer_email,
            "items": [
                {"id": item.id, "name": item.name, "quantity": item.quantity, "price": item.price, "description": item.description}
                for item in order.items
            ],
            "total": order.total,
            "status": order.status.value,
            "createdAt": format_instant(order.created_at),
            "updatedAt": format_instant(order.updated_at),
            "estimatedDelivery": format_instant(order.estimated_delivery) if order.estimated_delivery else None,
            "trackingNumber": order.tracking_number,
            "dniHash": order.dni_hash,
        }
    )


def from_item(item: Item) -> Order:
    """Return an order as it is stored.

    Raises:
        InvalidRequest: an attribute is missing, or of another type.
        ValueError: one has a value that is none of its kind.
    """
    read = Reader(item)
    delivery = read.maybe_text("estimatedDelivery")
    return Order(
        id=read.text("id"),
        customer_name=read.text("customerName"),
        customer_email=read.text("customerEmail"),
        items=tuple(_line(part) for part in read.parts("items")),
        total=read.number("total").quantize(Decimal("0.01")),
        status=OrderStatus(read.text("status")),
        created_at=parse_instant(read.text("createdAt")),
        updated_at=parse_instant(read.text("updatedAt")),
        estimated_delivery=parse_instant(delivery) if delivery else None,
        tracking_number=read.maybe_text("trackingNumber"),
        dni_hash=read.maybe_text("dniHash"),
    )


def _line(read: Reader) -> OrderItem:
    return OrderItem(read.text("id"), read.text("name"), int(read.number("quantity")), read.number("price"), read.text("description", ""))
