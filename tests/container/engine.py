"""Builds images without a Docker engine (buildah) and runs them as containers (runc): read-only, as their own user, without privileges."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from tests import needs

ROOT = needs.ROOT
CACHE = ROOT / ".local" / "container"
BASE = "localhost/nova-sonic-base:trixie"
BASE_PACKAGES = "python3,python3-venv,ca-certificates"
BUILD_SECONDS = 900
STOP_SECONDS = 40
START_SECONDS = 60
FROM_HOST = (Path("/etc/pip.conf"), Path("/etc/ssl/certs"), Path("/usr/share/ca-certificates"), Path("/usr/local/share/ca-certificates"))
"""How this machine reaches its package index, lent to the build and not part of the image."""


def require_programs() -> None:
    """Leave the test out unless this machine can build and run containers."""
    absent = [name for name in ("buildah", "runc", "mmdebstrap") if not shutil.which(name)]
    if absent or os.geteuid() != 0:
        needs.missing(f"root on Debian or Ubuntu with {', '.join(absent) or 'buildah, runc and mmdebstrap'}")


def buildah(*arguments: str) -> str:
    """Run buildah on a storage of the project's own and return what it prints."""
    storage = ["--root", str(CACHE / "storage"), "--runroot", str(CACHE / "run"), "--storage-driver", "vfs"]
    done = subprocess.run(["buildah", *storage, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout.strip()


def base_image() -> str:
    """Return the base to build on: $BASE_IMAGE, or a small Debian with Python that is made once."""
    if named := os.environ.get("BASE_IMAGE"):
        return named
    if BASE in buildah("images", "--format", "{{.Name}}:{{.Tag}}"):
        return BASE
    archive = CACHE / "base.tar"
    command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={BASE_PACKAGES}", "trixie", str(archive)]
    subprocess.run(command, timeout=BUILD_SECONDS, check=True)
    container = buildah("from", "scratch")
    buildah("add", container, str(archive), "/")
    buildah("commit", "--rm", "--format", "docker", container, BASE)
    archive.unlink()
    return BASE


def build(target: str) -> str:
    """Build one target of the Dockerfile and return the image's name."""
    CACHE.mkdir(parents=True, exist_ok=True)
    image = f"localhost/nova-sonic-{target}:test"
    lent = [f"--volume={path}:{path}:ro" for path in FROM_HOST if path.exists()]
    options = ["--isolation", "chroot", "--network", "host", "--format", "docker", "--layers", "--build-arg", f"BASE_IMAGE={base_image()}"]
    buildah("bud", *options, *lent, "--target", target, "--tag", image, ".")
    return image


def configuration(image: str) -> dict[str, Any]:
    """Return what the image says about itself: Entrypoint, Env, User, Healthcheck, ExposedPorts."""
    return dict(json.loads(buildah("inspect", "--type", "image", image))["Docker"]["config"])


@dataclass(frozen=True, slots=True)
class Mount:
    """A folder of the host inside the container."""

    source: Path
    target: str


@dataclass(slots=True)
class Container:
    """A running container.

    Args:
        name: for runc.
        process: of runc, which lives as long as the container and ends with its status.
        log: what the container wrote.
    """

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    environment: list[str] = field(default_factory=list)

    def execute(self, command: Sequence[str]) -> int:
        """Run a command inside, as the container's user, and return its exit status."""
        environment = [part for entry in self.environment for part in ("--env", entry)]
        return subprocess.run(_runc("exec", *environment, self.name, *command), capture_output=True, timeout=60, check=False).returncode

    def stop(self) -> int:
        """Send SIGTERM as an engine does and return the exit status."""
        subprocess.run(_runc("kill", self.name, signal.SIGTERM.name), check=True, timeout=10)
        return self.process.wait(STOP_SECONDS)


def _runc(*arguments: str) -> list[str]:
    return ["runc", "--root", str(CACHE / "runc"), *arguments]


def _specification(root: Path, config: dict[str, Any], variables: Sequence[str], mounts: Sequence[Mount], command: Sequence[str]) -> str:
    spec = json.loads((CACHE / "config.json").read_text())
    user, group = (int(part) for part in config["User"].split(":"))
    spec["root"] = {"path": str(root), "readonly": True}
    spec["process"] |= {
        "terminal": False,
        "user": {"uid": user, "gid": group},
        "args": list(command),
        "env": list(variables),
        "cwd": config["WorkingDir"],
        "capabilities": {kind: [] for kind in spec["process"]["capabilities"]},
        "noNewPrivileges": True,
    }
    spec["mounts"].append({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev"]})
    spec["mounts"] += [{"destination": mount.target, "type": "bind", "source": str(mount.source), "options": ["rbind"]} for mount in mounts]
    # The host's network: ports of the container are ports of this machine's loopback.
    spec["linux"]["namespaces"] = [space for space in spec["linux"]["namespaces"] if space["type"] != "network"]
    return json.dumps(spec)


@contextmanager
def running(
    image: str,
    environment: Mapping[str, str],
    folder: Path,
    *,
    mounts: Sequence[Mount] = (),
    arguments: Sequence[str] = (),
    entrypoint: Sequence[str] | None = None,
) -> Iterator[Container]:
    """Run an image for the length of the block.

    Args:
        image: as build() returned it.
        environment: variables beside the image's own.
        folder: for the log and the container's description.
        mounts: folders that it may use.
        arguments: after the entry point.
        entrypoint: instead of the image's own.
    """
    config = configuration(image)
    (CACHE / "config.json").unlink(missing_ok=True)
    subprocess.run(["runc", "spec"], cwd=CACHE, check=True, timeout=10)
    variables = [*config["Env"], *(f"{name}={value}" for name, value in environment.items())]
    work = buildah("from", image)
    bundle = Path(tempfile.mkdtemp(prefix="bundle-", dir=folder))
    name = f"{work}-{bundle.name}"
    log = bundle / "output.log"
    try:
        command = [*(entrypoint or config["Entrypoint"]), *arguments]
        (bundle / "config.json").write_text(_specification(Path(buildah("mount", work)), config, variables, mounts, command))
        with log.open("wb") as output:
            process = subprocess.Popen(_runc("run", "--bundle", str(bundle), name), stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        try:
            yield Container(name, process, log, variables)
        finally:
            if process.poll() is None:
                subprocess.run(_runc("delete", "--force", name), check=False, timeout=30)
                process.wait(STOP_SECONDS)
    finally:
        buildah("rm", work)


def wait_until(condition: Callable[[], bool], container: Container) -> None:
    """Poll until a condition holds; a container that starts has no event to wait for.

    Raises:
        AssertionError: the container ended, or took too long; the text is its log.
    """
    deadline = time.monotonic() + START_SECONDS
    while not condition():
        assert container.process.poll() is None, container.log.read_text(errors="replace")
        assert time.monotonic() < deadline, container.log.read_text(errors="replace")
        time.sleep(0.1)


def wait_for(address: str, container: Container) -> bytes:
    """Wait until an address answers with a success and return the answer."""
    answers: list[bytes] = []

    def answered() -> bool:
        try:
            with urlopen(address, timeout=5) as answer:
                answers.append(answer.read())
        except OSError:
            return False
        return True

    wait_until(answered, container)
    return answers[0]
