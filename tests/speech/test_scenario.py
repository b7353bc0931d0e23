from pathlib import Path

import pytest

from nova_sonic_local.brains.demo import demo_factory
from nova_sonic_local.brains.scenario import ScenarioError, load_scenario, parse_scenario

SMALL = """
[languages.es]
voices = ["carlos"]
[slots.city]
kind = "choice"
values = ["Madrid"]
[[intents]]
name = "weather"
tool = "getWeather"
needs = ["city"]
"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "languages is empty"),
        ("default_language = 'fr'\n[languages.es]", "default_language 'fr'"),
        ("[languages.es]\nvoices = 3", "voices must be a list"),
        ("[languages.es]\nprefix = 3", "prefix must be a text"),
        ("languages = 3", "languages must be a table"),
        ("[languages.es]\n[slots.x]\nkind = 'colour'", "slots.x.kind must be one of"),
        ("[languages.es]\n[slots.x]\nkind = 'digits'\nshortest = 'a'", "shortest must be a whole number"),
        ("intents = 3\n[languages.es]", "intents must be a list"),
        ("[languages.es]\n[[intents]]\nneeds = ['x']", r"intents\[0\] names the slot 'x'"),
        ("[languages.es]\n[[intents]]\nneeds = 'x'", "needs must be a list"),
    ],
)
def test_a_wrong_scenario_is_refused_with_the_place_of_the_mistake(text: str, message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        parse_scenario(text)


def test_a_file_that_is_missing_or_no_toml_is_refused_by_name(tmp_path: Path) -> None:
    broken = tmp_path / "broken.toml"
    broken.write_text("name = ")

    with pytest.raises(ScenarioError, match=r"missing\.toml: No such file"):
        load_scenario(tmp_path / "missing.toml")
    with pytest.raises(ScenarioError, match=r"broken\.toml"):
        load_scenario(broken)


@pytest.mark.parametrize(
    ("phrases", "message"),
    [("hear = ['weather in {place}']", "there is no slot 'place'"), ("hear = ['[weather']", "expected ]")],
)
def test_a_wrong_pattern_is_refused_before_the_first_conversation(tmp_path: Path, phrases: str, message: str) -> None:
    path = tmp_path / "weather.toml"
    path.write_text(f"{SMALL}[intents.es]\n{phrases}\n")

    with pytest.raises(ScenarioError, match=message):
        demo_factory(path)


def test_a_language_without_its_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "klingon.toml"
    path.write_text("[languages.tlh]\nvoices = ['worf']\n")

    with pytest.raises(ScenarioError, match="'tlh' is not known"):
        demo_factory(path)


def test_members_that_are_left_out_have_defaults() -> None:
    scenario = parse_scenario(SMALL)

    assert scenario.default_language == "es"
    assert scenario.intents[0].slots == ("city",)
    assert scenario.slots["city"].phrases["es"].ask == ""
