import json
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.catalogue import TOOLS
from tools.errors import InvalidArguments
from tools.registry import Answer, Tool, ToolRegistry, tool
from tools.schema import Param, normalise_schema, object_schema

FORBIDDEN = {"anyOf", "oneOf", "allOf", "default", "additionalProperties", "title", "$ref", "$schema", "format", "nullable"}


class Size(StrEnum):
    SMALL = "small"
    LARGE = "large"


@dataclass(frozen=True)
class Line:
    name: Annotated[str, Param("Name")]
    price: Annotated[Decimal, Param("Price")]
    count: int = 1


@tool("everything", "Takes one of each")
async def everything(
    *,
    some_text: Annotated[str, Param("A text")],
    whole: Annotated[int | None, Param("A number")] = None,
    is_set: bool = False,
    size: Annotated[Size, Param("A size")] = Size.SMALL,
    lines: Annotated[tuple[Line, ...], Param("Lines")] = (),
) -> Answer:
    return {"text": some_text, "whole": whole, "isSet": is_set, "size": size, "lines": [f"{line}" for line in lines]}


def members_of(schema: Any) -> set[str]:
    """Return every keyword in a schema, but the names of properties."""
    if isinstance(schema, list):
        return set().union(*[members_of(part) for part in schema])
    if not isinstance(schema, dict):
        return set()
    found = set(schema)
    for name, value in schema.items():
        found |= set().union(*[members_of(part) for part in value.values()]) if name == "properties" else members_of(value)
    return found


def test_a_schema_is_written_from_the_type_hints() -> None:
    assert json.loads(everything.spec.input_schema) == {
        "type": "object",
        "properties": {
            "someText": {"type": "string", "description": "A text"},
            "whole": {"type": "integer", "description": "A number"},
            "isSet": {"type": "boolean", "description": ""},
            "size": {"type": "string", "enum": ["small", "large"], "description": "A size"},
            "lines": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "name": {"type": "string", "description": "Name"},
                        "price": {"type": "number", "description": "Price"},
                        "count": {"type": "integer", "description": ""},
                    },
                    "required": ["name", "price"],
                },
                "description": "Lines",
            },
        },
        "required": ["someText"],
    }


@pytest.mark.req("S4-08")
def test_the_seven_tools_are_told_in_the_part_of_json_schema_that_the_model_takes() -> None:
    names = [one.name for one in TOOLS]
    keywords = set().union(*[members_of(json.loads(one.spec.input_schema)) for one in TOOLS])

    assert names[:3] == ["consultarOrder", "cancelarOrder", "crearOrder"]
    assert names[3:7] == ["agendarTurno", "cancelarTurno", "modificarTurno", "consultarTurno"]
    assert keywords & FORBIDDEN == set()
    assert keywords <= {"type", "properties", "required", "items", "enum", "description"}


@pytest.mark.req("S4-08")
def test_the_tools_require_what_the_interface_names() -> None:
    required = {one.name: json.loads(one.spec.input_schema)["required"] for one in TOOLS[:7]}

    assert required == {
        "consultarOrder": ["orderId"],
        "cancelarOrder": ["orderId"],
        "crearOrder": ["customerName", "customerEmail", "items"],
        "agendarTurno": ["patientName", "patientEmail", "doctorName", "date"],
        "cancelarTurno": ["appointmentId", "patientName"],
        "modificarTurno": ["appointmentId", "patientName"],
        "consultarTurno": ["appointmentId", "patientName"],
    }


def test_a_type_without_a_schema_is_refused_when_the_tool_is_made() -> None:
    async def unclear(*, anything: dict[str, int]) -> Answer:
        return {"got": len(anything)}

    with pytest.raises(TypeError):
        tool("unclear", "Takes something")(unclear)


@pytest.mark.parametrize("name", ["clock.now", "", "a b", "ñ", "x" * 65])
def test_a_name_that_the_model_refuses_is_refused_here(name: str) -> None:
    with pytest.raises(TypeError):
        tool(name, "Does nothing")


def test_two_tools_of_one_name_or_a_missing_service_are_refused() -> None:
    async def needy(size: Size, *, text: str) -> Answer:
        return {"text": text, "size": size}

    needing: Tool[...] = tool("needy", "Needs a size")(needy)

    with pytest.raises(TypeError, match="share a name"):
        ToolRegistry([everything, everything], [])
    with pytest.raises(TypeError, match="Size"):
        ToolRegistry([needing], [])


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"anyOf": [{"type": "string"}, {"type": "null"}], "title": "X", "default": None}, {"type": "string"}),
        ({"type": ["null", "integer"]}, {"type": "integer"}),
        ({"type": "object", "properties": {"title": {"type": "string", "title": "T"}}, "additionalProperties": False},
         {"type": "object", "properties": {"title": {"type": "string"}}}),
        ({"type": "array", "items": {"oneOf": [{"type": "null"}, {"type": "number"}]}}, {"type": "array", "items": {"type": "number"}}),
        ({"anyOf": [{"type": "null"}]}, {}),
    ],
)  # fmt: skip
def test_foreign_schemas_are_reduced(schema: Any, expected: Any) -> None:
    assert normalise_schema(schema) == expected


def test_our_own_schemas_are_reduced_already() -> None:
    for one in TOOLS:
        schema = object_schema(one.parameters)

        assert normalise_schema(schema) == schema


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(["someText", "whole", "isSet", "size", "lines", "other"]), JSON))
def test_whatever_the_model_sends_is_a_call_or_a_question(arguments: dict[str, Any]) -> None:
    registry = ToolRegistry([everything], [])
    try:
        registry.arguments("everything", json.dumps(arguments))
        outcome = "call"
    except InvalidArguments as error:
        outcome = error.message

    assert outcome
