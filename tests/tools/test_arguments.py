import json
from decimal import Decimal
from typing import Annotated, Any

import pytest

from tools.arguments import bind, decode_arguments
from tools.errors import InvalidArguments
from tools.identity import Email, RecordId
from tools.schema import Param, parameters_of

PARAMETERS = parameters_of(
    {
        "order_id": Annotated[RecordId, Param("Number", aliases=("id",))],
        "count": int | None,
        "price": Decimal | None,
        "is_urgent": bool | None,
        "email": Email | None,
    },
    frozenset({"order_id"}),
)


def given(**arguments: Any) -> dict[str, object]:
    return bind(PARAMETERS, decode_arguments(json.dumps(arguments)))


def refusal(text: str) -> str:
    with pytest.raises(InvalidArguments) as failure:
        bind(PARAMETERS, decode_arguments(text))
    return failure.value.code


@pytest.mark.parametrize("layers", [0, 1, 2])
def test_arguments_may_be_encoded_again_and_again(layers: int) -> None:
    text = json.dumps({"orderId": "6"})
    for _ in range(layers):
        text = json.dumps(text)

    assert bind(PARAMETERS, decode_arguments(text)) == {"order_id": "6"}


@pytest.mark.parametrize(
    "text",
    [
        "not json", "[]", "1", "null", '"x"', "{", '{"orderId": NaN}', '{"orderId": Infinity}', "[" * 50_000, '{"a":' * 10_000,
        json.dumps(json.dumps(json.dumps(json.dumps({"orderId": "6"})))), '{"orderId": ' + "9" * 5000 + "}",
        json.dumps({f"k{number}": 1 for number in range(65)}),
    ],
)  # fmt: skip
def test_what_is_no_object_is_refused(text: str) -> None:
    assert refusal(text) == "arguments_not_json"


def test_arguments_beyond_64_kilobytes_are_not_even_read() -> None:
    assert refusal('{"orderId": "' + "6" * 70_000 + '"}') == "arguments_too_long"


def test_no_arguments_at_all_are_an_empty_object() -> None:
    assert refusal("") == refusal("{}") == "missing_arguments"


@pytest.mark.req("S4-56")
@pytest.mark.parametrize("name", ["orderId", "order_id", "OrderID", "order-id", "orderid", "id"])
def test_a_name_may_be_spelt_in_every_usual_way(name: str) -> None:
    assert given(**{name: 6}) == {"order_id": "6"}


@pytest.mark.req("S4-56")
def test_two_spellings_with_two_values_are_a_question() -> None:
    assert refusal('{"orderId": "1", "order_id": "2"}') == "invalid_arguments"
    assert given(orderId="1", order_id="1") == {"order_id": "1"}
    assert given(orderId="1", order_id=None) == {"order_id": "1"}


@pytest.mark.req("S4-55")
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (6, "6"),
        ("6", "6"),
        (" 6 ", "6"),
        ("#6", "6"),
        ("seis", "6"),
        ("número seis", "6"),
        ("A-17", "A-17"),
        ("2024-001", "2024-001"),
        (6.0, "6"),
    ],
)
def test_a_record_number_is_read(value: object, expected: str) -> None:
    assert given(orderId=value) == {"order_id": expected}


@pytest.mark.parametrize("value", [True, [], ["6"], {"id": 6}, "a/b", "6'--", "../6", "x" * 301, "un pedido cualquiera"])
def test_what_is_no_record_number_is_refused(value: object) -> None:
    assert refusal(json.dumps({"orderId": value})) in {"invalid_number", "invalid_arguments"}


@pytest.mark.parametrize("nothing", [None, "", "  ", "null", "None", "undefined", "N/A"])
def test_nothing_in_its_many_spellings_is_missing(nothing: object) -> None:
    assert refusal(json.dumps({"orderId": nothing})) == "missing_arguments"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"count": 3}, 3), ({"count": "3"}, 3), ({"count": "tres"}, 3), ({"count": 3.0}, 3),
        ({"price": 25.99}, Decimal("25.99")), ({"price": "25.99"}, Decimal("25.99")), ({"price": "25,99"}, Decimal("25.99")),
        ({"price": "$ 1.234,50"}, Decimal("1234.50")), ({"price": "1,234.5"}, Decimal("1234.5")), ({"price": "1.234"}, Decimal(1234)),
        ({"price": "veinte"}, Decimal(20)), ({"price": 7}, Decimal(7)), ({"price": "-5"}, Decimal(-5)),
        ({"isUrgent": True}, True), ({"isUrgent": "sí"}, True), ({"isUrgent": "no"}, False),
        ({"email": "Juan punto Perez arroba email punto com"}, "juan.perez@email.com"),
        ({"email": "ana guion bajo m at email dot com"}, "ana_m@email.com"),
    ],
)  # fmt: skip
def test_values_are_read_whatever_their_form(arguments: dict[str, object], expected: object) -> None:
    bound = given(orderId=1, **arguments)

    assert list(bound.values())[1:] == [expected]
    assert type(list(bound.values())[1]) is type(expected)


@pytest.mark.parametrize(
    "arguments",
    [
        {"count": 1.5}, {"count": "muchos"}, {"count": True}, {"count": [1]}, {"count": "9" * 13}, {"count": 10**12},
        {"price": "caro"}, {"price": True}, {"price": {}}, {"price": 1e300}, {"price": "1.2.3.4,5.6"}, {"price": "-"},
        {"isUrgent": "quizás"}, {"isUrgent": 1}, {"email": "nobody"}, {"email": "a@b"}, {"email": "a b@c.d\nBcc: x@y.z"},
    ],
)  # fmt: skip
def test_values_of_another_kind_are_a_question(arguments: dict[str, object]) -> None:
    assert refusal(json.dumps({"orderId": 1, **arguments})) in {"invalid_arguments", "invalid_email"}


def test_numbers_with_a_fraction_never_pass_through_a_float() -> None:
    assert bind(PARAMETERS, decode_arguments('{"orderId": 1, "price": 0.1234567890123456789}'))["price"] == Decimal("0.1234567890123456789")


@pytest.mark.parametrize("number", ["1e999999999", "-1e999999999", "1e-999999999"])
@pytest.mark.parametrize("name", ["orderId", "count", "price"])
def test_numbers_of_a_billion_digits_are_refused_at_once(name: str, number: str) -> None:
    others = "" if name == "orderId" else '"orderId": 1, '

    assert refusal(f'{{{others}"{name}": {number}}}') == "invalid_arguments"


def test_control_characters_and_lone_surrogates_are_taken_out_of_texts() -> None:
    assert refusal('{"orderId": "\\ud800"}') == "invalid_arguments"
    assert given(orderId="6\u0000\u200b") == {"order_id": "6"}


def test_names_that_no_parameter_has_are_left_out() -> None:
    assert given(orderId=1, status="delivered", total=0, __class__="x") == {"order_id": "1"}
