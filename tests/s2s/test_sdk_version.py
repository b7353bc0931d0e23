"""The guard of the SDK: what is installed is right; what is not is told in one line."""

import ast
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType

import pytest

from s2s.bedrock import sdk_version
from s2s.bedrock.sdk_version import NEEDED, PACKAGE, PARTS, find_problem, require
from s2s.errors import ModelError, Remedy

ROOT = Path(__file__).resolve().parents[2]
OF_THE_SDK = ("aws_sdk_bedrock_runtime", "smithy_")


def test_what_is_installed_is_what_is_needed() -> None:
    assert find_problem(with_runtime=True) is None


def test_what_is_needed_is_what_is_asked_of_the_installer() -> None:
    line = next(line for line in (ROOT / "requirements.in").read_text(encoding="utf-8").splitlines() if line.startswith(PACKAGE))
    major, minor = NEEDED

    assert f">={major}.{minor},<{major}.{minor + 1}" in line


@pytest.mark.parametrize("installed", ["0.7.0", "0.11.9", "0.13.0", "1.12.0"])
def test_another_version_is_named_with_the_needed_one_and_the_command(monkeypatch: pytest.MonkeyPatch, installed: str) -> None:
    monkeypatch.setattr(sdk_version, "version", lambda _: installed)
    problem = find_problem()

    assert problem == (
        f"aws-sdk-bedrock-runtime {installed} is installed, and 0.12 is needed: run `make setup`, or pip install -r requirements.txt"
    )


def test_a_patch_of_the_needed_version_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sdk_version, "version", lambda _: "0.12.7")

    assert find_problem() is None


def test_none_at_all_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(sdk_version, "version", missing)

    assert "is not installed" in str(find_problem())


def test_an_sdk_without_the_bidirectional_call_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    older = ModuleType("aws_sdk_bedrock_runtime.client")
    older.AsyncBedrockRuntimeClient = type("AsyncBedrockRuntimeClient", (), {})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, older.__name__, older)

    assert "invoke_model_with_bidirectional_stream" in str(find_problem())


@pytest.mark.parametrize("module", sorted({module for module, _ in PARTS}))
def test_a_part_that_is_away_is_told_without_a_traceback(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    monkeypatch.setitem(sys.modules, module, ModuleType(module))

    assert module in str(find_problem())


def test_a_configuration_without_our_ways_in_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    other = ModuleType("aws_sdk_bedrock_runtime.config")
    other.AsyncBedrockRuntimeConfig = type("AsyncBedrockRuntimeConfig", (), {"resolve": None, "protocol": None})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, other.__name__, other)

    assert "the field transport" in str(find_problem())


def test_the_common_runtime_is_missed_only_where_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "awscrt.http", None)

    assert find_problem() is None
    assert "awscrt.http" in str(find_problem(with_runtime=True))


def test_the_client_is_told_by_a_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sdk_version, "version", lambda _: "0.7.0")
    with pytest.raises(ModelError) as told:
        require()

    assert (told.value.code, told.value.remedy) == ("model_sdk", Remedy.FATAL_CONFIG)
    assert "0.7.0" in told.value.detail


def test_every_part_that_is_imported_of_the_sdk_is_looked_for() -> None:
    imported = {
        (node.module, name.name)
        for file in (ROOT / "s2s" / "bedrock").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(OF_THE_SDK)
        for name in node.names
    }

    assert imported <= {(module, name.partition(".")[0]) for module, name in PARTS}


def test_the_version_is_found_by_the_name_of_the_package() -> None:
    assert version(PACKAGE).startswith(".".join(str(part) for part in NEEDED))
