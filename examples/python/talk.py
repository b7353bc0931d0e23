"""Say what is in a WAV file to the server, and write what was heard of its answers into another.

    pip install websockets
    python talk.py ws://localhost:8081/ question.wav answers.wav

Where the server asks who you are, put a token into the environment variable TOKEN.
"""

import argparse
import asyncio
import os
import wave

from client import Call
from sound_card import SoundCard


async def main() -> None:
    """Hold one conversation."""
    parser = argparse.ArgumentParser(description="Say a WAV file (mono, 16 bit, 8000, 16000 or 24000 Hz) to the server.")
    parser.add_argument("url")
    parser.add_argument("question", help="what the microphone hears")
    parser.add_argument("answers", help="gets what the loudspeaker plays")
    parser.add_argument("--stay", type=float, default=10.0, help="seconds to listen when the question is over")
    arguments = parser.parse_args()
    with wave.open(arguments.question, "rb") as question, wave.open(arguments.answers, "wb") as answers:
        call = Call(SoundCard(question, answers))
        recording = asyncio.create_task(call.record(arguments.stay))
        await call.run(arguments.url, os.environ.get("TOKEN", ""))
        recording.cancel()
    print(f"ended: {call.end_reason}")


if __name__ == "__main__":
    asyncio.run(main())
