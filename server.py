"""Nova Sonic Server: `python server.py`, `python server.py --local`; --help has the rest.

Exit codes: 0 ended as asked, 1 could not start or a check failed, 2 wrong settings, credentials or ports.
This file is kept readable for old Pythons, so that they can say what is missing.
"""

import sys

if sys.version_info < (3, 12):  # noqa: UP036 - an older interpreter is what this is for
    sys.stderr.write(f"Nova Sonic Server needs Python 3.12 or newer, and this is {sys.version.split()[0]}; `make run` finds one.\n")
    sys.exit(2)

import argparse
import asyncio
import os
import signal
import time
from contextlib import AsyncExitStack, suppress
from typing import Any, NoReturn

STARTED = time.monotonic()

try:
    import structlog
    import uvloop

    from s2s.bedrock import sdk_version

    problem = sdk_version.find_problem()  # before anything that imports the SDK, which fails without a word of this
    if problem:
        sys.stderr.write(f"{problem}\n")
        sys.exit(2)

    import self_check
    from bootstrap import Listening, build, listen_on
    from config import LogFormat, LogLevel, Settings, SettingsError
    from parts.errors import NoCredentials, StartFailed
    from telemetry import logs
    from telemetry.loop_stalls import favour_loop
    from transports.sockets import PortUnavailable
except ModuleNotFoundError as missing:
    sys.stderr.write(f"The package {missing.name} is not installed: use `make run`, or pip install -r requirements.txt\n")
    sys.exit(2)

log = structlog.get_logger()

EXIT_FAILED = 1
EXIT_USAGE = 2

CHECK_SECONDS = 2.8
"""From the start of the process to the last line of --check."""
LEAST_CHECK_SECONDS = 1.8
"""For the parts themselves, however long a slow machine took to begin."""
LEAVE_SECONDS = 0.5
DEFAULT_OPENING_MS = 2_800


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """Return the flags; settings are environment variables."""
    parser = argparse.ArgumentParser(prog="server.py", description="A voice assistant on Amazon Nova Sonic.")
    parser.add_argument("--debug", action="store_true", help="log at DEBUG, whatever LOGLEVEL says")
    parser.add_argument("--local", action="store_true", help="run without AWS: Nova Sonic Local and an embedded database with examples")
    parser.add_argument("--check", action="store_true", help="check settings, credentials, model and tables, print the outcome and end")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """Run the server and return its exit code."""
    options = parse_arguments(arguments)
    try:
        settings = Settings.from_env(os.environ, local=options.local)
    except SettingsError as error:
        return _fail(EXIT_USAGE, *error.problems)
    as_json = settings.log_format is LogFormat.JSON or (settings.log_format is LogFormat.AUTO and not sys.stderr.isatty())
    logs.configure(LogLevel.DEBUG if options.debug else settings.log_level, as_json=as_json)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            if options.check:
                _leave(runner.run(check(settings)))
            return runner.run(serve(settings))
        except (NoCredentials, PortUnavailable) as error:
            return _fail(EXIT_USAGE, str(error))
        except StartFailed as error:
            return _fail(EXIT_FAILED, str(error))
        except KeyboardInterrupt:
            return 0


async def serve(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; a second signal cuts the polite end short."""
    signals: asyncio.Queue[int] = asyncio.Queue()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, signals.put_nowait, number)
    listening = listen_on(settings)
    building = asyncio.create_task(build(settings))
    try:
        if not await ends_first(building, signals):
            return 0
        application = building.result()
        try:
            await application.start(listening)
            favour_loop()
            asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, application.toggle_traces)
            announce(settings, listening)
            await signals.get()
            await ends_first(asyncio.create_task(application.drain(settings.drain_seconds)), signals)
        finally:
            await application.stop()
    finally:
        listening.close()
    log.info("server.stopped")
    return 0


async def ends_first(task: asyncio.Task[Any], signals: asyncio.Queue[int]) -> bool:
    """Wait for a task and return whether it ended before a signal came; the signal cancels it."""
    signalled = asyncio.create_task(signals.get())
    await asyncio.wait({task, signalled}, return_when=asyncio.FIRST_COMPLETED)
    signalled.cancel()
    ended = task.done()
    task.cancel()
    await asyncio.wait({task, signalled})
    return ended


async def check(settings: Settings) -> int:
    """Look at all that a conversation needs, tell it in one line each, and return 0 when all of it is there."""
    extra = max(0, settings.opening_ms - DEFAULT_OPENING_MS) / 1000  # somebody who waits longer for the model does so here
    seconds = max(LEAST_CHECK_SECONDS, STARTED + CHECK_SECONDS - time.monotonic()) + extra
    resources = AsyncExitStack()
    findings = await self_check.examine(settings, resources, seconds)
    for finding in findings:
        sys.stdout.write(f"{finding.part:12} {finding.code}{': ' if finding.line else ''}{finding.line}\n")
    sys.stdout.flush()
    with suppress(TimeoutError):
        async with asyncio.timeout(LEAVE_SECONDS):
            await resources.aclose()
    return 0 if all(finding.code == "ok" for finding in findings) else EXIT_FAILED


def _leave(code: int) -> NoReturn:
    """End at once: what a check waited for in vain, for instance a name service, may keep its thread for a minute."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def announce(settings: Settings, listening: Listening) -> None:
    """Tell a person where the page is."""
    host = "localhost" if settings.host in {"0.0.0.0", "::", "127.0.0.1"} else settings.host  # noqa: S104 - compared, not bound
    health = f"http://{host}:{listening.health_port}/health"
    log.info("server.started", port=listening.port, health_port=listening.health_port, local=settings.local, model_id=settings.model_id)
    sys.stdout.write(f"Nova Sonic Server is ready: open http://{host}:{listening.port}/ (health: {health}). Ctrl-C ends it.\n")
    sys.stdout.flush()


def _fail(code: int, *lines: str) -> int:
    for line in lines:
        sys.stderr.write(f"{line}\n")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
