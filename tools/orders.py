"""The tools on orders: consultarOrder, cancelarOrder, crearOrder."""

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Annotated

from storage.models import Order, OrderItem, OrderStatus, order_json, order_total
from storage.orders import NewOrder, Orders
from storage.rules import CENT, MAX_ITEM_DESCRIPTION, MAX_ITEM_NAME, MAX_ITEMS, MAX_PRICE, MAX_QUANTITY, is_total_right
from tools.errors import InvalidArguments, ToolError
from tools.identity import Dni, Email, Identity, PersonName, RecordId
from tools.registry import Answer, ToolCall, tool
from tools.schema import Param

_ORDER_ID = Param("Order number, as digits", aliases=("id", "orderNumber", "pedidoId", "numeroPedido", "order"))
_DNI = Param("DNI of the customer, digits only. Give this or customerName", aliases=("documento", "document"))
_CUSTOMER = Param("Full name of the customer. Give this or dni", aliases=("name", "nombre", "cliente", "fullName"))


@dataclass(frozen=True, slots=True)
class ItemArgument:
    """One item of an order that the model wants to place."""

    name: Annotated[str, Param("Name of the product", aliases=("producto", "product", "nombre"))]
    quantity: Annotated[int, Param("How many", aliases=("cantidad", "qty"))]
    price: Annotated[Decimal, Param("Price of one", aliases=("precio", "unitPrice"))]
    description: Annotated[str | None, Param("Description", aliases=("descripcion",))] = None


@tool(
    "consultarOrder",
    "Look up an order (pedido): its state, delivery date and products. The customer has to be verified by DNI or full name.",
)
async def look_up_order(
    call: ToolCall,
    orders: Orders,
    identity: Identity,
    *,
    order_id: Annotated[RecordId, _ORDER_ID],
    dni: Annotated[Dni | None, _DNI] = None,
    customer_name: Annotated[PersonName | None, _CUSTOMER] = None,
) -> Answer:
    """Return the order of a verified customer."""
    order = await identity.order(call, orders, order_id, dni, customer_name)
    return _answer(order, f"Order {order.id} is {order.status.value}.")


@tool("cancelarOrder", "Cancel an order (pedido) that is not on its way yet. The customer has to be verified by DNI or full name.")
async def cancel_order(
    call: ToolCall,
    orders: Orders,
    identity: Identity,
    *,
    order_id: Annotated[RecordId, _ORDER_ID],
    dni: Annotated[Dni | None, _DNI] = None,
    customer_name: Annotated[PersonName | None, _CUSTOMER] = None,
) -> Answer:
    """Cancel the order of a verified customer."""
    if (done := await orders.outcome(call.request_id)) is not None:
        return _answer(done, f"Order {done.id} is cancelled.")
    order = await identity.order(call, orders, order_id, dni, customer_name)
    cancelled = await orders.cancel(order_id, call.request_id)
    if cancelled is None:
        current = await orders.get(order_id) or order
        if current.status is OrderStatus.CANCELLED:
            raise ToolError("already_cancelled", f"Order {order_id} was cancelled before. Tell the user that nothing is left to do.")
        raise ToolError("not_cancellable", f"Order {order_id} is {current.status.value} and cannot be cancelled any more. Tell the user.")
    return _answer(cancelled, f"Order {cancelled.id} is cancelled.")


@tool("crearOrder", "Place a new order (pedido). Ask for the customer's name, e-mail address and the products before.")
async def place_order(
    call: ToolCall,
    orders: Orders,
    *,
    customer_name: Annotated[PersonName, Param("Full name of the customer", aliases=("name", "nombre", "cliente"))],
    customer_email: Annotated[Email, Param("E-mail address of the customer", aliases=("email", "correo", "mail"))],
    items: Annotated[tuple[ItemArgument, ...], Param("The products", aliases=("productos", "products"))],
    total: Annotated[Decimal | None, Param("Sum of quantity times price; it is checked")] = None,
) -> Answer:
    """Place an order; the total is computed here, and refused when the model's differs by more than a cent."""
    lines = tuple(_line(number, item) for number, item in enumerate(items, start=1))
    if not 0 < len(lines) <= MAX_ITEMS:
        raise InvalidArguments(f"An order has 1 to {MAX_ITEMS} products. Ask the user what to order.", "invalid_items")
    computed = order_total(lines)
    if not is_total_right(total, computed):
        raise ToolError(
            "total_mismatch", f"The products come to {computed}, not to the total given. Tell the user, and ask whether to go on."
        )
    order = await orders.outcome(call.request_id) or await orders.create(NewOrder(customer_name, customer_email, lines), call.request_id)
    return _answer(order, f"Order {order.id} is placed, the total is {order.total}.")


def _line(number: int, item: ItemArgument) -> OrderItem:
    price = item.price.quantize(CENT, ROUND_HALF_UP)
    if not 0 < item.quantity <= MAX_QUANTITY or not 0 <= price <= MAX_PRICE or price != item.price:
        raise InvalidArguments("A quantity or a price is not possible. Ask the user for both again.", "invalid_items")
    if len(item.name) > MAX_ITEM_NAME or len(item.description or "") > MAX_ITEM_DESCRIPTION:
        raise InvalidArguments("A product's name or description is too long. Use a shorter one.", "invalid_items")
    return OrderItem(str(number), item.name, item.quantity, price, item.description or "")


def _answer(order: Order, message: str) -> Answer:
    return {"order": order_json(order), "message": message}
