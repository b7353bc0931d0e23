"""Say what is in a WAV file to the server, and write what was heard of its answers into another.

    pip install websockets
    python python_client.py ws://localhost:8081/ question.wav answers.wav

Where the server asks who you are, put a token into the environment variable TOKEN.

A whole client of docs/reference/binary-dialect.md: microphone and loudspeaker keep the pace of real ones, what was played is reported, an
interruption throws away what was not, and a lost connection is made good without a sample lost or doubled.
"""

import argparse
import asyncio
import json
import os
import struct
import wave
from collections import deque
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

HEADER = struct.Struct("<BBHIII")  # kind, flags, turn, number, sample offset, time in ms
TICK_SECONDS = 0.032
TELL_SECONDS = 0.25
TRY_AGAIN = (1001, 1006, 1011, 1012, 1013, 4429)  # close codes; websockets itself waits between the tries


class Call:
    """One session, over as many connections as it takes."""

    def __init__(self, question: wave.Wave_read, answers: wave.Wave_write) -> None:
        self.end_reason = ""
        self._question, self._answers, self._hertz = question, answers, question.getframerate()
        self._socket: ClientConnection | None = None  # while it carries the session
        self._started, self._recorded = asyncio.Event(), asyncio.Event()
        self._is_over = False
        self._token = ""
        self._wanted = 0  # number of the server's next frame; numbers wrap at 2^32, after years
        self._numbered = 0  # how many frames of ours have a number
        self._kept: deque[tuple[int, bytes]] = deque(maxlen=1000)  # those that the server may lack, of the last 32 s
        self._speech: deque[tuple[int, bytes]] = deque()  # turn and samples that wait to be played
        self._turn = self._heard_samples = self._flushed_turn = 0

    async def run(self, url: str) -> None:
        """Talk until the session has ended."""
        hello = {"type": "hello", "protocol": 1, "resume": True, "input_hertz": self._hertz, "output_hertz": self._hertz}
        options: dict[str, Any] = {"subprotocols": [Subprotocol("nova-sonic.v1")], "compression": None}
        if token := os.environ.get("TOKEN"):
            options["additional_headers"] = {"Authorization": f"Bearer {token}"}
        async for socket in connect(url, ping_interval=5, ping_timeout=5, **options):
            resume = {"type": "resume", "protocol": 1, "token": self._token, "seq": self._wanted}
            sending: list[asyncio.Task[None]] = []
            try:
                await socket.send(json.dumps(resume if self._token else hello))
                async for frame in socket:
                    if isinstance(frame, bytes):
                        self._hear(frame)
                        continue
                    message = json.loads(frame)
                    if message["type"] in ("session.started", "session.resumed"):
                        first = message["seq"] if message["type"] == "session.resumed" else 0
                        sending += [asyncio.create_task(self._send_kept(socket, first)), asyncio.create_task(self._tell(socket))]
                        self._token, self._socket = message.get("resume_token", ""), socket
                        self._started.set()
                    await self._take(message)
            except ConnectionClosed:
                pass
            print("closed", socket.close_code, flush=True)
            self._socket = None
            for task in sending:
                task.cancel()
            await asyncio.gather(*sending, return_exceptions=True)
            if socket.close_code not in TRY_AGAIN or (self._started.is_set() and not self._token):
                self.end_reason = self.end_reason or f"closed with {socket.close_code}"
            if self.end_reason:
                return

    async def _take(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "ack":
            while self._kept and self._kept[0][0] < message["seq"]:
                self._kept.popleft()
        elif kind == "error" and (not self._started.is_set() or message["code"] == "resume_refused"):
            self.end_reason = message["code"]
        elif "seq" in message and kind != "session.resumed" and self._is_new(message["seq"]):
            if kind == "interrupted":
                self._flushed_turn = message["turn"]
                self._speech = deque(each for each in self._speech if each[0] > self._flushed_turn)
                await self._report()
            elif kind == "session.ended" and message["reason"] != "parked":  # parked: another process goes on with it
                self.end_reason = message["reason"]
        if kind != "ack":
            print(kind, message.get("text") or message.get("message") or "", flush=True)
        if self.end_reason and self._socket:
            await self._socket.close()

    def _hear(self, frame: bytes) -> None:
        _, _, turn, number, _, _ = HEADER.unpack_from(frame)
        if self._is_new(number) and turn > self._flushed_turn:
            self._speech.append((turn, frame[HEADER.size :]))

    def _is_new(self, number: int) -> bool:
        is_new, self._wanted = number >= self._wanted, max(self._wanted, number + 1)
        return is_new

    async def record_and_play(self, stay_seconds: float) -> None:
        """Be the sound card, connected or not: 32 ms in and 32 ms out at a time. When nothing was said for this time, end the session."""
        await self._started.wait()
        began = asyncio.get_running_loop().time()
        samples, silence = round(self._hertz * TICK_SECONDS), 0.0
        while silence < stay_seconds:
            pcm = self._question.readframes(samples)
            silence += 0 if pcm else TICK_SECONDS
            seconds = self._numbered * TICK_SECONDS
            header = HEADER.pack(1, 0, 0, self._numbered, self._numbered * samples, round(seconds * 1000))
            self._kept.append((self._numbered, header + pcm.ljust(2 * samples, b"\0")))
            self._numbered += 1
            self._recorded.set()
            self._play(2 * samples)
            await asyncio.sleep(began + seconds + TICK_SECONDS - asyncio.get_running_loop().time())
        self._is_over = True

    def _play(self, size: int) -> None:
        while self._speech and size > 0:
            turn, pcm = self._speech.popleft()
            if turn != self._turn:
                self._turn, self._heard_samples = turn, 0
            if pcm[size:]:
                self._speech.appendleft((turn, pcm[size:]))
            self._answers.writeframesraw(pcm[:size])
            self._heard_samples += len(pcm[:size]) // 2
            size -= len(pcm)

    async def _send_kept(self, socket: ClientConnection, wanted: int) -> None:
        while True:
            for number, frame in list(self._kept):
                if number >= wanted:
                    await socket.send(frame)
                    wanted = number + 1
            self._recorded.clear()
            await self._recorded.wait()

    async def _tell(self, socket: ClientConnection) -> None:
        while True:
            await asyncio.sleep(TELL_SECONDS)
            await socket.send(json.dumps({"type": "ack", "seq": self._wanted}))
            await self._report()
            if self._is_over:
                await socket.send(json.dumps({"type": "end"}))

    async def _report(self) -> None:
        if self._socket and self._turn:
            heard_ms = self._heard_samples * 1000 // self._hertz
            await self._socket.send(json.dumps({"type": "playback", "turn": self._turn, "heard_ms": heard_ms}))


async def main() -> None:
    """Hold one conversation."""
    parser = argparse.ArgumentParser(description="Say a WAV file (mono, 16 bit, 8000, 16000 or 24000 Hz) to the server.")
    parser.add_argument("url")
    parser.add_argument("question", help="what the microphone hears")
    parser.add_argument("answers", help="gets what the loudspeaker plays")
    parser.add_argument("--stay", type=float, default=10.0, help="seconds to listen when the question is over")
    arguments = parser.parse_args()
    with wave.open(arguments.question, "rb") as question, wave.open(arguments.answers, "wb") as answers:
        answers.setparams((1, 2, question.getframerate(), 0, "NONE", ""))
        call = Call(question, answers)
        device = asyncio.create_task(call.record_and_play(arguments.stay))
        await call.run(arguments.url)
        device.cancel()
    print(f"ended: {call.end_reason}")


if __name__ == "__main__":
    asyncio.run(main())
