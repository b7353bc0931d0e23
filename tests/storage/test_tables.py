"""Every table is known to whoever needs all of them."""

import inspect
from dataclasses import fields

from config import Settings
from storage import tables


def test_no_definition_is_missing_from_the_list_of_all() -> None:
    written = {
        name
        for name, function in inspect.getmembers(tables, inspect.isfunction)
        if function.__annotations__.get("return") is tables.TableDefinition
    }

    assert {define.__name__ for define in tables.DEFINITIONS} == written


def test_every_table_has_a_setting_with_the_default_of_its_definition() -> None:
    named = [definition.name for definition in tables.all_tables(Settings.from_env({}))]

    assert [inspect.signature(define).parameters["name"].default for define in tables.DEFINITIONS] == named
    assert len(set(named)) == len(named)


def test_each_table_gets_the_name_that_the_installation_gives_it() -> None:
    variables = {field.name: field.metadata["env"] for field in fields(Settings) if field.metadata}
    named = {variables[define.__name__]: f"other-{at}" for at, define in enumerate(tables.DEFINITIONS)}

    assert list(named.values()) == [definition.name for definition in tables.all_tables(Settings.from_env(named))]
