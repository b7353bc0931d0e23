"""The fixtures that other projects use, in a project of their own."""

import asyncio
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from nova_sonic_local.background import BackgroundEmulator
from nova_sonic_local.options import Options
from tests.emulator.wire import RawClient, audio_input, closing, opening, silence

ROOT = Path(__file__).parents[2]
pytest_plugins = ["pytester"]
CLIENT = """
    import asyncio
    from tests.emulator.wire import RawClient, audio_input, closing, opening, silence

    async def converse(emulator):
        async with RawClient(emulator.endpoint, emulator.ca_file) as client:
            stream = client.open()
            await stream.send(*opening(), audio_input(silence(0.1)), *closing())
            return await stream.ending()
"""
TLS_CLIENT = """
    import os, socket, ssl
    from urllib.parse import urlsplit

    context = ssl.create_default_context()  # trusts SSL_CERT_FILE
    context.set_alpn_protocols(["h2"])
    url = urlsplit(os.environ["AWS_ENDPOINT_URL_BEDROCK_RUNTIME"])
    with context.wrap_socket(socket.create_connection((url.hostname, url.port)), server_hostname=url.hostname) as connection:
        print(connection.selected_alpn_protocol())
"""
SETTINGS = f"""
    [pytest]
    pythonpath = {ROOT}
    addopts = -p nova_sonic_local.pytest_plugin -p no:cacheprovider --strict-markers
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makeini(SETTINGS)
    pytester.makepyfile(client=CLIENT)
    return pytester


def run(project: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    """Run the project's tests in a process of its own, as a user does."""
    return project.runpytest_subprocess("-p", "no:asyncio", *arguments, timeout=60)


def test_a_synchronous_test_uses_the_emulator(project: pytest.Pytester) -> None:
    project.makepyfile("""
        import asyncio
        import pytest
        from client import converse

        @pytest.mark.nova_sonic_local(brain="echo")
        def test_echo(nova_sonic_local):
            ending = asyncio.run(converse(nova_sonic_local))
            nova_sonic_local.quiet()
            (stream,) = nova_sonic_local.streams()
            names = [event["name"] for event in nova_sonic_local.transcript()]

            assert ending.status == 200
            assert (stream["brain"], stream["ending"]) == ("echo", {"how": "completed"})
            assert names.count("audioInput") == names.count("audioOutput") == 1
            assert nova_sonic_local.counters()["streams"]["opened"] == 1
    """)

    run(project).assert_outcomes(passed=1)


def test_an_asynchronous_test_uses_the_emulator(project: pytest.Pytester) -> None:
    project.makepyfile("""
        import pytest
        from client import converse

        @pytest.mark.asyncio
        async def test_fault(nova_sonic_local):
            nova_sonic_local.plan_next(fault="http_429")
            first, second = await converse(nova_sonic_local), await converse(nova_sonic_local)

            assert (first.status, second.status) == (429, 200)
    """)

    project.runpytest_subprocess(timeout=60).assert_outcomes(passed=1)


def test_options_come_from_the_folder_and_then_from_the_marker(project: pytest.Pytester) -> None:
    project.makeconftest("""
        import pytest

        @pytest.fixture
        def nova_sonic_local_options():
            return {"brain": "echo", "checks": "relaxed", "max_streams": 3}
    """)
    project.makepyfile("""
        import pytest

        @pytest.mark.nova_sonic_local(max_streams=4, brain="demo")
        class TestMarkers:
            @pytest.mark.nova_sonic_local(brain="script")
            def test_it(self, nova_sonic_local):
                options = nova_sonic_local.options

                assert (options.brain, options.checks.value, options.max_streams) == ("script", "relaxed", 4)
    """)

    run(project).assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("marker", "message"),
    [
        ("brian='echo'", "nova_sonic_local: there is no option 'brian'; there are admin_port, brain,"),
        ("brain='poet'", "nova_sonic_local: no brain is called 'poet'"),
        ("checks='lax'", "nova_sonic_local: 'lax' is not a valid Checks"),
        ("'echo'", "nova_sonic_local: options are given by name"),
        ("replay='/no/such/file'", "nova_sonic_local: /no/such/file: No such file"),
    ],
)
def test_wrong_options_are_told_in_one_line(project: pytest.Pytester, marker: str, message: str) -> None:
    project.makepyfile(f"""
        import pytest

        @pytest.mark.nova_sonic_local({marker})
        def test_it(nova_sonic_local):
            pass
    """)
    result = run(project)

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"{message}*"])


def test_the_report_of_a_failed_test_names_the_streams(project: pytest.Pytester) -> None:
    project.makepyfile("""
        import asyncio
        from client import converse

        def test_it(nova_sonic_local):
            asyncio.run(converse(nova_sonic_local))
            assert False
    """)
    result = run(project)

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*- Nova Sonic Local -*", "stream 1: brain script, * s, in {*"])


def test_the_streams_of_a_run_are_recorded_when_it_is_asked_for(project: pytest.Pytester) -> None:
    project.makepyfile("""
        import asyncio
        from client import converse

        def test_it(nova_sonic_local):
            asyncio.run(converse(nova_sonic_local))
    """)
    run(project, "--nova-sonic-local-record", "recordings").assert_outcomes(passed=1)

    assert len(list((project.path / "recordings").glob("*.jsonl"))) == 1


def test_the_environment_is_enough_for_a_child_process() -> None:
    with BackgroundEmulator(Options()) as emulator:
        command = [sys.executable, "-c", textwrap.dedent(TLS_CLIENT)]
        done = subprocess.run(command, env=emulator.environment, capture_output=True, text=True, check=False, timeout=20)

    assert (done.stdout, done.stderr) == ("h2\n", "")


@pytest.fixture
def background() -> Iterator[BackgroundEmulator]:
    with BackgroundEmulator(Options(brain="echo")) as emulator:
        yield emulator


async def test_a_fault_is_injected_into_the_newest_stream(background: BackgroundEmulator) -> None:
    async with RawClient(background.h2c_endpoint) as client:
        streams = [client.open() for _ in range(2)]
        for stream in streams:
            await stream.send(*opening(), audio_input(silence(0.1)))
            await stream.until("audioOutput")
        await asyncio.to_thread(background.inject, "rst")
        ending = await streams[1].ending()
        await streams[0].send(*closing())
        first = await streams[0].ending()

    assert ending.reset_code is not None
    assert first.events[-1].keys() == {"completionEnd"}


def test_what_is_not_there_is_told(background: BackgroundEmulator) -> None:
    with pytest.raises(LookupError, match="there was no stream yet"):
        background.inject("rst")
    with pytest.raises(LookupError, match="no stream has this id"):
        background.transcript(7)
    with pytest.raises(ValueError, match="poet"):
        background.plan_next("poet")


def test_after_its_end_it_says_that_it_is_over() -> None:
    with BackgroundEmulator(Options()) as emulator:
        assert emulator.streams() == []

    with pytest.raises(RuntimeError, match="not running"):
        emulator.streams()
