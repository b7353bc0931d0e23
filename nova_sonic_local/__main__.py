"""`python -m nova_sonic_local`: run the emulator until SIGTERM or SIGINT."""

import argparse
import asyncio
import contextlib
import json
import logging
import os
import shlex
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from nova_sonic_local.brains.chat_settings import KEY_VARIABLE, ChatSettings
from nova_sonic_local.brains.script import ScriptError
from nova_sonic_local.envelope import SignatureCheck
from nova_sonic_local.faults import parse_faults
from nova_sonic_local.options import Head, Options
from nova_sonic_local.parsing import Checks
from nova_sonic_local.server import NovaSonicLocal

_USAGE_ERROR = 2


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """Parse the command line; exits with status 2 and a line on stderr when it is wrong."""
    parser = argparse.ArgumentParser(prog="nova_sonic_local", description="An emulator of Amazon Nova Sonic's bidirectional stream.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    parser.add_argument("--port", type=int, default=8443, help="port for HTTP/2 over TLS, 0 for a free one (default %(default)s)")
    parser.add_argument("--h2c-port", type=int, default=0, help="port for HTTP/2 without TLS, 0 for a free one (default)")
    parser.add_argument("--admin-port", type=_admin_port, default=0, help="port of the admin endpoint, 0 for a free one (default), or off")
    parser.add_argument("--brain", choices=("demo", "script", "echo", "chat"), default="demo", help="who answers (default %(default)s)")
    parser.add_argument("--scenario", type=Path, help="TOML file for the demo or script brain, or what the chat brain recognises")
    parser.add_argument("--scenario-dir", type=_folder, help="scenarios and scripts that a stream can ask for by name")
    parser.add_argument("--record", type=Path, metavar="DIR", help="write each stream to a file in this folder")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="answer from a recording instead of a brain")
    parser.add_argument("--keep-sound", action="store_true", help="keep the samples in the admin endpoint's transcripts")
    _add_chat_arguments(parser)
    parser.add_argument("--voice", choices=("auto", "espeak", "flite", "builtin"), default="auto", help="who speaks (default %(default)s)")
    parser.add_argument("--signatures", choices=[check.value for check in SignatureCheck], default="off", help="check of signatures")
    parser.add_argument("--secret", action="append", default=[], metavar="ID=SECRET", help="a key for the strict check; may be repeated")
    parser.add_argument("--checks", choices=[checks.value for checks in Checks], default="strict", help="what is refused")
    parser.add_argument("--head", choices=[head.value for head in Head], default="first_event", help="when the 200 is sent")
    parser.add_argument("--time-scale", type=float, default=1.0, help="multiplies the 8 minutes and the idle times")
    parser.add_argument("--idle-profile", type=int, choices=(55, 295), default=55, help="seconds without audio or interactive content")
    parser.add_argument("--max-streams", type=int, default=20, help="streams at the same time (default %(default)s)")
    parser.add_argument("--fault", default="", type=_fault, help="for every stream: name[:argument][@moment],...")
    parser.add_argument("--seed", type=int, default=0, help="of all ids")
    parser.add_argument("--ca-dir", type=Path, help="where the certificate authority is kept and found again")
    parser.add_argument("--ready-json", action="store_true", help="print one line of JSON when listening")
    parser.add_argument("--exit-with-parent", action="store_true", help="end when stdin closes")
    parser.add_argument("--log-level", default="WARNING", choices=("DEBUG", "INFO", "WARNING", "ERROR"))
    return parser.parse_args(arguments)


def _add_chat_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--chat-url", default="", help="OpenAI-compatible API for the chat brain, as http://127.0.0.1:11434/v1")
    parser.add_argument("--chat-model", default="", help="model of that API")
    parser.add_argument("--chat-key-file", type=Path, help=f"file with the key of that API; else the variable {KEY_VARIABLE}, else none")
    parser.add_argument("--chat-transcription-model", default="", help="model that writes down what was spoken, by /audio/transcriptions")
    parser.add_argument("--chat-transcription-url", default="", help="API of that model, if it is not --chat-url")


def _chat_settings(arguments: argparse.Namespace) -> ChatSettings | None:
    """Return where the chat endpoint is, None when the command line names none."""
    if not arguments.chat_url and not arguments.chat_model:
        return None
    key = os.environ.get(KEY_VARIABLE, "")
    if arguments.chat_key_file is not None:
        try:
            key = arguments.chat_key_file.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"--chat-key-file: {arguments.chat_key_file} cannot be read: {type(error).__name__}") from None
    return ChatSettings(
        arguments.chat_url,
        arguments.chat_model,
        key.strip(),
        transcription_model=arguments.chat_transcription_model,
        transcription_url=arguments.chat_transcription_url,
    )


def _fault(text: str) -> str:
    parse_faults(text)
    return text


def _admin_port(text: str) -> int | None:
    if text == "off":
        return None
    if not (text.isascii() and text.isdigit() and int(text) < 65_536):  # noqa: PLR2004 -- ports of TCP
        raise argparse.ArgumentTypeError("must be a port, or off")
    return int(text)


def _folder(text: str) -> Path:
    if not Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"{text}: no such folder")
    return Path(text)


def to_options(arguments: argparse.Namespace) -> Options:
    """Return the options of a command line.

    Raises:
        ValueError: a secret is not of the form ID=SECRET, or the chat endpoint cannot be used.
    """
    if not all("=" in pair for pair in arguments.secret):
        raise ValueError("--secret: must be ID=SECRET")
    return Options(
        host=arguments.host,
        port=arguments.port,
        h2c_port=arguments.h2c_port,
        admin_port=arguments.admin_port,
        ca_dir=arguments.ca_dir,
        brain=arguments.brain,
        scenario=arguments.scenario,
        scenario_dir=arguments.scenario_dir,
        record=arguments.record,
        replay=arguments.replay,
        keep_sound=arguments.keep_sound,
        chat=_chat_settings(arguments),
        voice=arguments.voice,
        signatures=SignatureCheck(arguments.signatures),
        secrets=dict(pair.partition("=")[::2] for pair in arguments.secret),
        checks=Checks(arguments.checks),
        head=Head(arguments.head),
        time_scale=arguments.time_scale,
        idle_profile=arguments.idle_profile,
        max_streams=arguments.max_streams,
        fault=arguments.fault,
        seed=arguments.seed,
    )


def greeting(emulator: NovaSonicLocal) -> str:
    """Return what a person needs to know, as lines for the client's shell."""
    about = emulator.about()
    exports = "\n".join(f"export {name}={shlex.quote(value)}" for name, value in emulator.environment.items())
    return f"""\
# Nova Sonic Local {about["version"]} (brain {about["brain"]}, voice {about["voice"]}). Paste this into the client's shell:
{exports}
# Without TLS, for clients that speak HTTP/2 at once: export AWS_ENDPOINT_URL_BEDROCK_RUNTIME={emulator.h2c_endpoint}
# Admin endpoint: {f"{emulator.admin_endpoint}/v1" if emulator.admin_endpoint else "off"}"""


async def run(options: Options, *, is_json: bool, ends_with_parent: bool) -> None:
    """Run an emulator until a signal, or the end of stdin, stops it."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with NovaSonicLocal(options) as emulator:
        sys.stdout.write(f"{json.dumps(emulator.about()) if is_json else greeting(emulator)}\n")
        sys.stdout.flush()
        with _watch_parent(stop) if ends_with_parent else contextlib.nullcontext():
            await stop.wait()


@contextlib.contextmanager
def _watch_parent(stop: asyncio.Event) -> Iterator[None]:
    """Set `stop` when stdin, a pipe from the parent, closes: a parent that was killed cannot say goodbye."""
    loop = asyncio.get_running_loop()
    descriptor = sys.stdin.fileno()

    def read() -> None:
        if not os.read(descriptor, 1024):
            loop.remove_reader(descriptor)
            stop.set()

    loop.add_reader(descriptor, read)
    try:
        yield
    finally:
        loop.remove_reader(descriptor)


def main() -> int:
    """Run the program and return its exit status: 2 when the options are wrong, 1 when it cannot listen."""
    arguments = parse_arguments(sys.argv[1:])
    logging.basicConfig(level=arguments.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    try:
        asyncio.run(run(to_options(arguments), is_json=arguments.ready_json, ends_with_parent=arguments.exit_with_parent))
    except (ValueError, ScriptError, ImportError) as error:
        sys.stderr.write(f"nova_sonic_local: {error}\n")
        return _USAGE_ERROR
    except OSError as error:
        sys.stderr.write(f"nova_sonic_local: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
