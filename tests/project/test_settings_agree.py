"""Settings, .env.example, the image and the compose file name the same variables."""

import re
from dataclasses import fields
from typing import Any

import pytest
import yaml

from config import Settings
from tests.project.tree import ROOT

AWS_KEYS = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
IMAGE_ONLY = {"PATH", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "HOME"}


def variables() -> dict[str, str]:
    """Return every variable with its default as text."""
    return {field.metadata["env"]: field.metadata["default"] for field in fields(Settings) if field.metadata}


def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8")))


@pytest.mark.req("S4-18")
def test_the_example_environment_names_every_variable_with_its_default() -> None:
    lines = dict(re.findall(r"^# ([A-Z][A-Z0-9_]+)=(.*)$", (ROOT / ".env.example").read_text(encoding="utf-8"), re.MULTILINE))

    assert variables() | dict.fromkeys(AWS_KEYS, "") == lines


@pytest.mark.req("S4-18")
def test_compose_gives_the_server_every_variable() -> None:
    given = {name: str(value) for name, value in compose()["services"]["server"]["environment"].items()}

    assert set(variables()) | AWS_KEYS == set(given)


def test_compose_can_be_told_only_what_is_a_setting() -> None:
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")

    assert set(re.findall(r"\$\{([A-Z0-9_]+)", text)) <= set(variables())


def test_defaults_in_compose_are_those_of_the_settings() -> None:
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    differs = {"DNI_SALT", "LOG_FORMAT", "HEALTH_PORT", "AUTH"}
    """Compose has example data, no terminal, an image that may not bind 80, and ports that are published on this machine alone."""
    pairs = [(name, default) for name, default in re.findall(r"\$\{([A-Z_]+):-([^}]*)\}", text) if name not in differs]

    assert [(name, variables()[name]) for name, _ in pairs] == pairs


def test_the_image_sets_only_settings() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    named = {name for line in re.findall(r"^ENV (.*)$", text, re.MULTILINE) for name in re.findall(r"\b([A-Z_]+)=", line)}

    assert named - IMAGE_ONLY <= set(variables())


def test_compose_builds_targets_of_the_dockerfile() -> None:
    stages = set(re.findall(r"^FROM .* AS ([\w-]+)$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE))
    targets = {service["build"]["target"] for service in compose()["services"].values() if "build" in service}

    assert {"server", "local"} == targets
    assert targets <= stages
