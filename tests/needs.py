"""Finds what some tests need beside Python packages; a test that lacks it says so with missing().

Each find_* answers None when the thing is absent; the function without "find" skips the test instead. In a complete run
(NOVA_SONIC_TESTS_COMPLETE=1, as in CI) tests/conftest.py turns every skip into a failure.
"""

import json
import os
import shutil
from functools import cache
from pathlib import Path
from typing import NoReturn

import pytest

ROOT = Path(__file__).resolve().parent.parent

NODE_PACKAGES = ROOT / ".local" / "node"
"""Where scripts/get_test_needs.py puts the npm packages."""
AXE_CORE_VERSION = "4.14.1"
AXE_CORE = NODE_PACKAGES / "node_modules" / "axe-core" / "axe.min.js"
NODE_SDK_VERSION = "3.1163.0"
NODE_SDK = NODE_PACKAGES / "node_modules" / "@aws-sdk" / "client-bedrock-runtime" / "package.json"
ASYNCAPI_PARSER_VERSION = "3.6.3"
WSCAT_VERSION = "6.1.0"
OPENAI_VERSION = "6.49.0"
"""The last line that runs on Node 20."""
WS_VERSION = "8.23.0"
AGENTS_VERSION = "0.20.0"
ZOD_VERSION = "4.6.7"
AMPLIFY_VERSION = "4.10.1"
"""Of @aws-amplify/api-graphql, the part of aws-amplify that follows events."""
AMPLIFY_CORE_VERSION = "6.19.2"

COMPLETE_VARIABLE = "NOVA_SONIC_TESTS_COMPLETE"


def complete_run() -> bool:
    """Tell whether every test has to run."""
    return os.environ.get(COMPLETE_VARIABLE) == "1"


def missing(reason: str) -> NoReturn:
    """Leave the running test out for want of something outside the Python packages."""
    pytest.skip(f"missing: {reason}")


def _executable(*names: str) -> Path | None:
    for name in names:
        found = shutil.which(name)
        if found:
            return Path(found)
    return None


@cache
def _playwright_chromium() -> Path | None:
    # The build that `playwright install chromium` brings; the newest one when there are several.
    folder = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or Path.home() / ".cache" / "ms-playwright")
    mac_folder = Path.home() / "Library" / "Caches" / "ms-playwright"
    patterns = ("chromium-*/chrome-linux*/chrome", "chromium-*/chrome-mac*/*.app/Contents/MacOS/*")
    builds = [build for place in (folder, mac_folder) for pattern in patterns for build in place.glob(pattern)]
    return max(builds, default=None)


def find_chromium() -> Path | None:
    """Find a Chromium: $CHROMIUM, one on PATH, or Playwright's."""
    named = os.environ.get("CHROMIUM")
    if named:
        return _executable(named)
    return _executable("chromium", "chromium-browser", "google-chrome", "google-chrome-stable") or _playwright_chromium()


def find_espeak() -> Path | None:
    """Find espeak-ng."""
    return _executable("espeak-ng")


def find_flite() -> Path | None:
    """Find flite."""
    return _executable("flite")


def find_npm() -> Path | None:
    """Find npm."""
    return _executable("npm")


def find_node() -> Path | None:
    """Find Node."""
    return _executable("node", "nodejs")


def find_shellcheck() -> Path | None:
    """Find shellcheck."""
    return _executable("shellcheck")


def find_axe_core() -> Path | None:
    """Find axe-core's single-file build."""
    return AXE_CORE if AXE_CORE.is_file() else None


def find_node_sdk() -> Path | None:
    """Find the folder with AWS's Bedrock client for JavaScript, in the version that the tests are written for."""
    if not NODE_SDK.is_file() or json.loads(NODE_SDK.read_text())["version"] != NODE_SDK_VERSION:
        return None
    return NODE_PACKAGES


def _find_node_package(name: str, version: str) -> Path | None:
    """Find a package of JavaScript in the version that the tests are written for; the folder in whose node_modules it is."""
    described = NODE_PACKAGES / "node_modules" / name / "package.json"
    return NODE_PACKAGES if described.is_file() and json.loads(described.read_text())["version"] == version else None


def find_asyncapi_parser() -> Path | None:
    """Find the folder with AsyncAPI's own parser."""
    return _find_node_package("@asyncapi/parser", ASYNCAPI_PARSER_VERSION)


def find_wscat() -> Path | None:
    """Find the folder with wscat."""
    return _find_node_package("wscat", WSCAT_VERSION)


def find_openai_node() -> Path | None:
    """Find the folder with OpenAI's client for JavaScript, and with the WebSockets that it needs on Node."""
    return _find_node_package("openai", OPENAI_VERSION) and _find_node_package("ws", WS_VERSION)


def find_amplify() -> Path | None:
    """Find the folder with AWS's client for events, and with the WebSockets that it needs on Node."""
    core = _find_node_package("@aws-amplify/core", AMPLIFY_CORE_VERSION)
    return core and _find_node_package("@aws-amplify/api-graphql", AMPLIFY_VERSION) and _find_node_package("ws", WS_VERSION)


def find_agents_node() -> Path | None:
    """Find the folder with OpenAI's voice agents for JavaScript, and with the schemas that they want beside them."""
    return _find_node_package("@openai/agents-realtime", AGENTS_VERSION) and _find_node_package("zod", ZOD_VERSION)


def chromium() -> Path:
    """Return Chromium's executable, or leave the test out."""
    return find_chromium() or missing("Chromium")


def espeak() -> Path:
    """Return espeak-ng's executable, or leave the test out."""
    return find_espeak() or missing("espeak-ng")


def flite() -> Path:
    """Return flite's executable, or leave the test out."""
    return find_flite() or missing("flite")


def axe_core() -> Path:
    """Return the file of axe-core to put into a page, or leave the test out."""
    return find_axe_core() or missing("axe-core (npm)")


def node() -> Path:
    """Return Node's executable, or leave the test out."""
    return find_node() or missing("Node")


def node_sdk() -> Path:
    """Return the folder in whose node_modules AWS's Bedrock client for JavaScript is, or leave the test out."""
    return find_node_sdk() or missing("@aws-sdk/client-bedrock-runtime (npm)")


def asyncapi_parser() -> Path:
    """Return the folder in whose node_modules AsyncAPI's parser is, or leave the test out."""
    return find_asyncapi_parser() or missing("@asyncapi/parser (npm)")


def wscat() -> Path:
    """Return wscat's script, or leave the test out."""
    return (find_wscat() or missing("wscat (npm)")) / "node_modules" / "wscat" / "bin" / "wscat"


def openai_node() -> Path:
    """Return the folder in whose node_modules OpenAI's client for JavaScript is, or leave the test out."""
    return find_openai_node() or missing("openai (npm)")


def amplify() -> Path:
    """Return the folder in whose node_modules AWS's client for events is, or leave the test out."""
    return find_amplify() or missing("@aws-amplify/api-graphql (npm)")


def agents_node() -> Path:
    """Return the folder in whose node_modules OpenAI's voice agents are, or leave the test out."""
    return find_agents_node() or missing("@openai/agents-realtime (npm)")
