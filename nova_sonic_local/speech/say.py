"""Write a sentence to a WAV file: `python -m nova_sonic_local.speech.say --voice es-419 --out sentence.wav "Quiero ver mi pedido"`."""

import argparse
import asyncio
import shutil
import sys
import wave
from pathlib import Path

from nova_sonic_local.speech.voices import Engine, Espeak, Flite, SynthesisFailed, find_speaker, synthesise

_FLITE = "flite:"


def engine_of(voice: str, words_per_minute: int = 150) -> Engine:
    """Return the synthesiser of a voice: "flite:slt" and the like are flite's, all others espeak-ng's.

    Raises:
        ValueError: It is not installed.

    """
    name = "flite" if voice.startswith(_FLITE) else "espeak-ng"
    program = shutil.which(name)
    if program is None:
        raise ValueError(f"the voice {voice!r} needs the program {name} on the PATH")
    return Flite(program, voice.removeprefix(_FLITE)) if name == "flite" else Espeak(program, words_per_minute)


async def say(text: str, voice: str, hertz: int, words_per_minute: int = 150) -> bytes:
    """Return a sentence as 16-bit mono speech.

    Args:
        text: What is said.
        voice: A voice id of Nova Sonic ("carlos"), a voice of espeak-ng ("es-419+f2") or of flite ("flite:slt").
        hertz: Sample rate.
        words_per_minute: How fast; espeak-ng only.

    Raises:
        ValueError: The synthesiser is not installed.
        SynthesisFailed: It failed.

    """
    return await synthesise(engine_of(voice, words_per_minute), find_speaker(voice), text, hertz)


def write_wav(path: Path, pcm: bytes, hertz: int) -> None:
    """Write 16-bit mono samples as a WAV file."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(hertz)
        file.writeframes(pcm)


def main() -> int:
    """Run the command line; the exit code is 1 when nothing could be said."""
    parser = argparse.ArgumentParser(description="Write a sentence to a WAV file.")
    parser.add_argument("text")
    parser.add_argument("--voice", default="es-419", help="carlos, es-419+f2, flite:slt ... (default %(default)s)")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--hertz", type=int, default=16000, help="sample rate (default %(default)s)")
    arguments = parser.parse_args()
    try:
        pcm = asyncio.run(say(arguments.text, arguments.voice, arguments.hertz))
    except (ValueError, SynthesisFailed) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    write_wav(arguments.out, pcm, arguments.hertz)
    return 0


if __name__ == "__main__":
    sys.exit(main())
