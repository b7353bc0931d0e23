"""Get what the tests need beside Python packages, and name what could not be had.

Debian and Ubuntu as root: with apt-get. Elsewhere Chromium comes from Playwright. Packages of JavaScript come from npm, and what is left
is named with the way to get it. Tests that lack something are skipped; with CI=true nothing may be lacking and the exit status is 1.

Run from the repository's root: python -m scripts.get_test_needs
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests import ministack, needs

APT_SECONDS = 900
"""Chromium is a download of about 100 MB."""

DOWNLOAD_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Need:
    """One program or file outside the Python packages."""

    name: str
    found: Callable[[], Path | None]
    left_out: str
    """The tests that are skipped without it."""
    debian: tuple[str, ...] = ()
    """Debian packages that bring it."""
    other_way: Callable[[], object] | None = None
    """Another way to get it, tried after apt-get."""
    hint: str = ""


def run_quietly(command: Sequence[str], seconds: int) -> bool:
    """Run a command and show its last lines only when it fails."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(  # noqa: S603  # the commands are constants of this file
            list(command), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=seconds, env=environment, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        print(f"{command[0]}: {error}", file=sys.stderr)
        return False
    if done.returncode != 0:
        print(f"{' '.join(command)} failed:", *done.stdout.splitlines()[-5:], sep="\n  ", file=sys.stderr)
    return done.returncode == 0


def get_chromium_from_playwright() -> None:
    """Download Playwright's own build of Chromium."""
    run_quietly([sys.executable, "-m", "playwright", "install", "chromium"], DOWNLOAD_SECONDS)


def get_from_npm() -> None:
    """Install all npm packages into .local, where tests/needs.py looks; one alone would make npm remove the others."""
    folder = needs.NODE_PACKAGES
    folder.mkdir(parents=True, exist_ok=True)
    if shutil.which("npm"):
        packages = (
            f"axe-core@{needs.AXE_CORE_VERSION}",
            f"@aws-sdk/client-bedrock-runtime@{needs.NODE_SDK_VERSION}",
            f"@asyncapi/parser@{needs.ASYNCAPI_PARSER_VERSION}",
            f"wscat@{needs.WSCAT_VERSION}",
            f"openai@{needs.OPENAI_VERSION}",
            f"ws@{needs.WS_VERSION}",
            f"@openai/agents-realtime@{needs.AGENTS_VERSION}",
            f"zod@{needs.ZOD_VERSION}",
            f"@aws-amplify/api-graphql@{needs.AMPLIFY_VERSION}",
            f"@aws-amplify/core@{needs.AMPLIFY_CORE_VERSION}",
        )
        run_quietly(["npm", "install", "--prefix", str(folder), "--no-save", "--no-audit", "--no-fund", *packages], DOWNLOAD_SECONDS)


def get_ministack() -> None:
    """Make MiniStack's own virtual environment."""
    try:
        ministack.ensure()
    except ministack.Unavailable as error:
        print(f"MiniStack: {error}", file=sys.stderr)


NEEDS = (
    Need(
        "Chromium",
        needs.find_chromium,
        "tests that drive the page (browser)",
        debian=("chromium",),
        other_way=get_chromium_from_playwright,
        hint="install Chromium or Chrome, or set CHROMIUM=/path/to/it",
    ),
    Need("espeak-ng", needs.find_espeak, "spoken conversations (speech)", debian=("espeak-ng",), hint="macOS: brew install espeak-ng"),
    Need("flite", needs.find_flite, "the second English voice", debian=("flite",), hint="https://github.com/festvox/flite"),
    Need("Node", needs.find_node, "conversations with AWS's client for JavaScript", debian=("nodejs",), hint="https://nodejs.org"),
    Need("npm", needs.find_npm, "axe-core and AWS's client for JavaScript come through it", debian=("npm",), hint="https://nodejs.org"),
    Need("axe-core", needs.find_axe_core, "accessibility of the page", other_way=get_from_npm, hint="needs npm"),
    Need(
        "@aws-sdk/client-bedrock-runtime",
        needs.find_node_sdk,
        "conversations with AWS's client for JavaScript",
        other_way=get_from_npm,
        hint="needs npm",
    ),
    Need(
        "@asyncapi/parser",
        needs.find_asyncapi_parser,
        "the check of docs/reference/asyncapi.yaml by AsyncAPI's own parser",
        other_way=get_from_npm,
        hint="needs npm",
    ),
    Need("wscat", needs.find_wscat, "conversations with wscat", other_way=get_from_npm, hint="needs npm"),
    Need(
        "@openai/agents-realtime",
        needs.find_agents_node,
        "conversations with OpenAI's voice agents for JavaScript",
        other_way=get_from_npm,
        hint="needs npm",
    ),
    Need(
        "openai (npm)",
        needs.find_openai_node,
        "conversations with OpenAI's client for JavaScript",
        other_way=get_from_npm,
        hint="needs npm",
    ),
    Need(
        "@aws-amplify/api-graphql",
        needs.find_amplify,
        "following events with AWS's own client",
        other_way=get_from_npm,
        hint="needs npm",
    ),
    Need(
        "MiniStack",
        ministack.find,
        "the DynamoDB driver over HTTP (dynamodb)",
        other_way=get_ministack,
        hint="a package index must be reached",
    ),
    Need("shellcheck", needs.find_shellcheck, "linting of shell scripts", debian=("shellcheck",), hint="macOS: brew install shellcheck"),
)


def get_from_apt(missing: Sequence[Need]) -> None:
    """Install the Debian packages of what is missing, where apt-get exists and we are root."""
    packages = [package for need in missing for package in need.debian]
    if not packages or not shutil.which("apt-get") or os.geteuid() != 0:
        return
    print(f"Installing {', '.join(packages)} with apt-get ...", file=sys.stderr)
    if run_quietly(["apt-get", "update", "-q"], APT_SECONDS):
        run_quietly(["apt-get", "install", "-q", "-y", "--no-install-recommends", *packages], APT_SECONDS)


def main() -> int:
    """Get what is missing and report the rest."""
    get_from_apt([need for need in NEEDS if need.found() is None])
    for need in NEEDS:
        if need.found() is None and need.other_way is not None:
            need.other_way()
    lacking = [need for need in NEEDS if need.found() is None]
    if lacking:
        print("Not found, so these tests are left out:", file=sys.stderr)
    for need in lacking:
        print(f"  {need.name}: {need.left_out}. To get it: {need.hint}", file=sys.stderr)
    return 1 if lacking and os.environ.get("CI") == "true" else 0


if __name__ == "__main__":
    sys.exit(main())
