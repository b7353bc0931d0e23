"""What orders look like in requests and answers."""

from dataclasses import replace
from typing import Final

from api.kinds import EMAIL, NAME
from api.schema import Amount, Choice, Instant, ListOf, Member, Nullable, Record, Text, Told, Whole
from storage.models import OrderStatus
from storage.rules import MAX_ITEM_DESCRIPTION, MAX_ITEM_NAME, MAX_ITEMS, MAX_PRICE, MAX_QUANTITY

_TOTAL = Amount(int(MAX_PRICE) * MAX_QUANTITY * MAX_ITEMS)
_ITEM_MEMBERS = (
    ITEM_NAME := Member("name", Text(MAX_ITEM_NAME, example="Yerba"), "Name of the product.", is_required=True),
    QUANTITY := Member("quantity", Whole(1, MAX_QUANTITY), "How many.", is_required=True),
    PRICE := Member("price", Amount(int(MAX_PRICE)), "Price of one.", is_required=True),
    DESCRIPTION := Member("description", Text(MAX_ITEM_DESCRIPTION, shortest=0), "Description."),
)
_NEW_ITEM = Record("NewItem", _ITEM_MEMBERS)
CUSTOMER_NAME = Member("customerName", NAME, "Full name of the customer.", is_required=True)
CUSTOMER_EMAIL = Member("customerEmail", EMAIL, "E-mail address of the customer, kept in small letters.", is_required=True)
ITEMS = Member("items", ListOf(_NEW_ITEM, MAX_ITEMS, 1), "The products.", is_required=True)
TOTAL = Member("total", _TOTAL, "Sum of quantity times price. It is computed here; one that is not the same to the cent is refused.")
DNI = Member(
    "dni", Text(9, shortest=6, pattern="^[0-9]+$"), "DNI of the customer, kept as a salted hash alone; the tools take it as proof."
)
STATUS = Member("status", Choice(OrderStatus), "Where the order is: pending, processing, shipped, delivered, in this order, or cancelled.")
DELIVERY = Member("estimatedDelivery", Nullable(Instant()), "When the order is expected to arrive; null removes it.")
TRACKING = Member("trackingNumber", Nullable(Text(64, pattern="^[A-Za-z0-9-]+$")), "Of the carrier; null removes it.")
NEW_ORDER = Record("NewOrder", (CUSTOMER_NAME, CUSTOMER_EMAIL, ITEMS, TOTAL, DNI))
ORDER_CHANGES = Record(
    "OrderChanges",
    (*(replace(one, is_required=False) for one in (CUSTOMER_NAME, CUSTOMER_EMAIL, ITEMS)), TOTAL, STATUS, DELIVERY, TRACKING),
    least=1,
)

WANTED_EMAIL = Member("customerEmail", EMAIL, "Orders of this customer alone.")
WANTED_STATUS = Member("status", Choice(OrderStatus), "Orders with this status alone.")

_WORD = Told({"type": "string"})
_MONEY = Told({"type": "number"})
_WHEN = Told({"type": "string", "format": "date-time"})
_WHEN_OR_NOT = Told({"type": ["string", "null"], "format": "date-time"})
_ITEM = Record(
    "OrderItem",
    (
        Member("id", _WORD, "Number of the line.", is_required=True),
        Member("name", _WORD, "Name of the product.", is_required=True),
        Member("quantity", Told({"type": "integer"}), "How many.", is_required=True),
        Member("price", _MONEY, "Price of one.", is_required=True),
        Member("description", _WORD, "Description.", is_required=True),
    ),
)
ORDER: Final = Record(
    "Order",
    (
        Member("id", _WORD, "Number of the order.", is_required=True),
        Member("customerName", _WORD, "Full name of the customer.", is_required=True),
        Member("customerEmail", _WORD, "E-mail address of the customer.", is_required=True),
        Member("items", ListOf(_ITEM), "The products.", is_required=True),
        Member("total", _MONEY, "Sum of quantity times price.", is_required=True),
        replace(STATUS, is_required=True),
        Member("createdAt", _WHEN, "When the order was placed.", is_required=True),
        Member("updatedAt", _WHEN, "When the order was changed last; the ETag is made of it.", is_required=True),
        Member("estimatedDelivery", _WHEN_OR_NOT, "When the order is expected to arrive.", is_required=True),
        Member("trackingNumber", Told({"type": ["string", "null"]}), "Of the carrier.", is_required=True),
    ),
)
DELETED: Final = Record("Deleted", (Member("id", _WORD, "Number of the record that is gone.", is_required=True),))
