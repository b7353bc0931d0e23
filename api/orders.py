"""/orders: what the tools do with orders, for front ends."""

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from aiohttp import web

from api.answers import answer
from api.authentication import PRINCIPAL
from api.errors import KeyReused, NotChangeable, NotFound, RuleBroken
from api.idempotency import IDEMPOTENCY_KEY, request_id
from api.kinds import CURSOR, DEFAULT_LIMIT, ID, LIMIT, person_name
from api.operations import Operation, Shape, Success
from api.order_shapes import (
    CUSTOMER_EMAIL,
    CUSTOMER_NAME,
    DELETED,
    DELIVERY,
    DESCRIPTION,
    DNI,
    ITEM_NAME,
    ITEMS,
    NEW_ORDER,
    ORDER,
    ORDER_CHANGES,
    PRICE,
    QUANTITY,
    STATUS,
    TOTAL,
    TRACKING,
    WANTED_EMAIL,
    WANTED_STATUS,
)
from api.ownership import may_see, visible_email
from api.requests import GIVEN
from api.schema import ListOf, Values
from api.versions import CHANGE_REFUSALS, IF_MATCH, etag, unless_changed, versioned
from auth.principal import Principal
from session.errors import Forbidden
from storage.listings import newest_orders
from storage.models import CANCELLABLE_ORDERS, Order, OrderItem, OrderStatus, order_json, order_total
from storage.orders import NewOrder, Orders, hash_dni
from storage.records import Listing
from storage.rules import ORDER_STEPS, is_total_right


@dataclass(frozen=True, slots=True)
class Shop:
    """What the operations on orders work on."""

    orders: Orders
    salt: bytes | None
    """Of the hashes of DNIs; None where no DNI is kept."""


SHOP: Final = web.AppKey("shop", Shop)


async def list_orders(request: web.Request) -> web.Response:
    """Tell all orders that the principal may see, newest first."""
    orders, query = request.app[SHOP].orders, request[GIVEN].query
    email = visible_email(request[PRINCIPAL], query.get(WANTED_EMAIL))
    found = await _page(orders, email, query.get(WANTED_STATUS), query.get(LIMIT) or DEFAULT_LIMIT, query.get(CURSOR))
    message = f"Retrieved {len(found.records)} orders successfully"
    return answer([order_json(one) for one in found.records], message, cursor=found.cursor)


async def get_order(request: web.Request) -> web.Response:
    """Tell one order."""
    order = await _find(request)
    return versioned(request, order.updated_at, lambda: order_json(order), f"Retrieved order {order.id} successfully")


async def create_order(request: web.Request) -> web.Response:
    """Place an order."""
    shop, body = request.app[SHOP], request[GIVEN].body
    if not may_see(request[PRINCIPAL], body[CUSTOMER_EMAIL]):
        raise Forbidden("Orders can be placed for your own e-mail address only.")
    new = NewOrder(
        person_name(body[CUSTOMER_NAME]), body[CUSTOMER_EMAIL].lower(), _lines(body[ITEMS], body.get(TOTAL)), _dni_hash(shop, body.get(DNI))
    )
    mark = request_id(request)
    order = await shop.orders.outcome(mark) or await shop.orders.create(new, mark)
    if NewOrder(order.customer_name, order.customer_email, order.items, order.dni_hash) != new:
        raise KeyReused
    headers = {"ETag": etag(order.updated_at), "Location": f"{request.path}/{order.id}"}
    return answer(order_json(order), f"Created order {order.id} successfully", status=201, headers=headers)


async def change_order(request: web.Request) -> web.Response:
    """Change an order, if it is as the client knows it."""
    orders, body = request.app[SHOP].orders, request[GIVEN].body

    async def change(before: Order) -> Order | None:
        return await orders.change(_changed(before, body, request[PRINCIPAL]), before)

    after = await unless_changed(request, _find, change)
    return answer(order_json(after), f"Updated order {after.id} successfully", headers={"ETag": etag(after.updated_at)})


async def delete_order(request: web.Request) -> web.Response:
    """Remove an order, if it is as the client knows it."""
    await unless_changed(request, _find_to_remove, request.app[SHOP].orders.remove)
    order_id = request[GIVEN].path[ID]
    return answer({"id": order_id}, f"Deleted order {order_id} successfully")


async def _page(orders: Orders, email: str | None, status: OrderStatus | None, limit: int, cursor: str | None) -> Listing[Order]:
    if email == "":
        return Listing((), None)
    if email is not None:
        found = await orders.of_customer(email, limit=limit, cursor=cursor)
        return Listing(tuple(one for one in found.records if status in (None, one.status)), found.cursor)
    if status is not None:
        return await orders.with_status(status, limit=limit, cursor=cursor)
    return await newest_orders(orders, limit=limit, cursor=cursor)


async def _find(request: web.Request) -> Order:
    number = request[GIVEN].path[ID]
    order = await request.app[SHOP].orders.get(number)
    if order is None or not may_see(request[PRINCIPAL], order.customer_email):
        raise NotFound(f"There is no order {number}.")
    return order


async def _find_to_remove(request: web.Request) -> Order:
    order = await _find(request)
    if not request[PRINCIPAL].is_operator:
        raise Forbidden("An order can be cancelled; only an operator can remove it.")
    return order


def _changed(before: Order, body: Values, principal: Principal) -> Order:
    status = body.get(STATUS) or before.status
    if not principal.is_operator and (body.names != {STATUS.name} or status is not OrderStatus.CANCELLED):
        raise Forbidden("You may cancel your order; everything else is an operator's to change.")
    if not ORDER_STEPS[before.status]:
        raise NotChangeable(f"The order is {before.status.value} and cannot be changed any more.")
    if status is not before.status and status not in ORDER_STEPS[before.status]:
        raise NotChangeable(f"An order that is {before.status.value} cannot become {status.value}.")
    contents = body.names & {CUSTOMER_NAME.name, CUSTOMER_EMAIL.name, ITEMS.name, TOTAL.name}
    if contents and before.status not in CANCELLABLE_ORDERS:
        raise NotChangeable("The order is on its way: what it has and whose it is cannot be changed any more.")
    after = replace(before, status=status)
    if CUSTOMER_NAME in body:
        after = replace(after, customer_name=person_name(body[CUSTOMER_NAME]))
    if CUSTOMER_EMAIL in body:
        after = replace(after, customer_email=body[CUSTOMER_EMAIL].lower())
    if DELIVERY in body:
        after = replace(after, estimated_delivery=body[DELIVERY])
    if TRACKING in body:
        after = replace(after, tracking_number=body[TRACKING])
    lines = _lines(body[ITEMS], None) if ITEMS in body else before.items
    _check_total(body.get(TOTAL), lines)
    return replace(after, items=lines, total=order_total(lines))


def _lines(items: tuple[Values, ...], total: Decimal | None) -> tuple[OrderItem, ...]:
    lines = tuple(
        OrderItem(str(number), item[ITEM_NAME], item[QUANTITY], item[PRICE], item.get(DESCRIPTION) or "")
        for number, item in enumerate(items, start=1)
    )
    _check_total(total, lines)
    return lines


def _check_total(said: Decimal | None, lines: tuple[OrderItem, ...]) -> None:
    if not is_total_right(said, order_total(lines)):
        raise RuleBroken(f"The products come to {order_total(lines)}, not to the total given.")


def _dni_hash(shop: Shop, dni: str | None) -> str | None:
    if dni is None:
        return None
    if shop.salt is None:
        raise RuleBroken("This server keeps no DNI: DNI_SALT is not set.")
    return hash_dni(dni, shop.salt)


OPERATIONS: Final = (
    Operation(
        method="GET",
        path="/orders",
        handler=list_orders,
        summary="All orders that you may see, newest first",
        query=(WANTED_EMAIL, WANTED_STATUS, LIMIT, CURSOR),
        success=Success(description="A page of orders", data=ListOf(ORDER), shape=Shape.PAGE),
    ),
    Operation(
        method="POST",
        path="/orders",
        handler=create_order,
        summary="Place an order",
        headers=(IDEMPOTENCY_KEY,),
        body=NEW_ORDER,
        success=Success(status=201, description="The order", data=ORDER, is_versioned=True),
        refusals={422: "The total is not the sum of the items, or the Idempotency-Key belongs to another order"},
    ),
    Operation(
        method="GET",
        path="/orders/{id}",
        handler=get_order,
        summary="One order",
        parts=(ID,),
        success=Success(description="The order", data=ORDER, is_versioned=True),
        refusals={404: "There is no such order that you may see"},
    ),
    Operation(
        method="PATCH",
        path="/orders/{id}",
        handler=change_order,
        summary="Change an order; who is no operator can cancel",
        parts=(ID,),
        headers=(IF_MATCH,),
        body=ORDER_CHANGES,
        success=Success(description="The order as it is now", data=ORDER, is_versioned=True),
        refusals=CHANGE_REFUSALS,
    ),
    Operation(
        method="DELETE",
        path="/orders/{id}",
        handler=delete_order,
        summary="Remove an order; operators alone can",
        parts=(ID,),
        headers=(IF_MATCH,),
        success=Success(description="The order is gone", data=DELETED),
        refusals=CHANGE_REFUSALS,
    ),
)
