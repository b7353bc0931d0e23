"""The OpenAPI document."""

import re
from typing import Any

import jsonschema
import orjson
import pytest
import yaml

from api import openapi
from endpoints import ALL
from tests.api.desk import Desk
from tests.project.tree import ROOT

PAGE = ROOT / "docs" / "reference" / "openapi.yaml"


def document(*, needs_token: bool = True) -> dict[str, Any]:
    return dict(orjson.loads(openapi.encode(ALL, version="1", stage="demo", needs_token=needs_token)))


def resolved(schema: Any, whole: dict[str, Any]) -> Any:
    """Return a schema that a validator can be given alone."""
    return {**schema, "components": whole["components"]}


@pytest.mark.req("S4-86")
def test_the_page_of_the_reference_is_the_document_that_is_served() -> None:
    written = yaml.safe_load(PAGE.read_text(encoding="utf-8"))
    served = document()

    assert {name: written[name] for name in ("paths", "components")} == {name: served[name] for name in ("paths", "components")}


def test_every_operation_is_named_once() -> None:
    names = [one["operationId"] for path in document()["paths"].values() for one in path.values()]

    assert len(set(names)) == len(names) == len(ALL)
    assert all(re.fullmatch(r"[a-z][A-Za-z]+", name) for name in names)


def test_what_refers_to_a_schema_finds_it() -> None:
    whole = document()
    wanted = set(re.findall(r"#/components/schemas/(\w+)", orjson.dumps(whole).decode()))

    assert wanted == set(whole["components"]["schemas"])


def test_only_what_is_public_asks_for_no_token() -> None:
    public = {path for path, methods in document()["paths"].items() for one in methods.values() if "security" not in one}

    assert public == {"/health", "/ping", "/ready", "/config", "/openapi.json", "/recordings/content"}
    assert "security" not in orjson.dumps(document(needs_token=False)).decode()


@pytest.mark.req("S4-04")
@pytest.mark.parametrize("path", ["/orders", "/orders/{id}", "/appointments", "/appointments/{id}", "/appointments?date=2030-01-21"])
async def test_what_is_answered_fits_the_document(desk: Desk, path: str) -> None:
    whole = document()
    answers = whole["paths"][path.partition("?")[0]]["get"]["responses"]
    for number in ("1", "99"):
        response = await desk.ask("GET", path.replace("{id}", number))
        schema = answers[str(response.status)]["content"]["application/json"]["schema"]

        jsonschema.Draft202012Validator(resolved(schema, whole)).validate(await response.json())
