"""A whole client of docs/reference/binary-dialect.md, for `talk.py`.

It reports what was played, throws away what was not, and makes good a lost connection without a sample lost or doubled.
"""

import asyncio
import json
import struct
from collections import deque
from typing import Any

from sound_card import TICK_SECONDS, SoundCard
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

HEADER = struct.Struct("<BBHIII")  # kind, flags, turn, number, sample offset, time in ms
TRY_AGAIN = (1001, 1006, 1011, 1012, 1013, 4429)  # close codes; websockets itself waits between the tries


class Call:
    """One session, over as many connections as it takes."""

    def __init__(self, card: SoundCard) -> None:
        self.end_reason, self._card, self._token, self._is_over = "", card, "", False
        self._socket: ClientConnection | None = None  # while it carries the session
        self._started, self._recorded = asyncio.Event(), asyncio.Event()
        self._wanted = self._numbered = 0  # number of the server's next frame, and of ours; they wrap at 2^32, after years
        self._kept: deque[tuple[int, bytes]] = deque(maxlen=1000)  # frames that the server may lack, of the last 32 s

    async def run(self, url: str, token: str = "") -> None:
        """Talk until the session has ended."""
        hello = {"type": "hello", "protocol": 1, "resume": True, "input_hertz": self._card.hertz, "output_hertz": self._card.hertz}
        headers = {"Authorization": f"Bearer {token}"} if token else None
        options: dict[str, Any] = {"subprotocols": [Subprotocol("nova-sonic.v1")], "compression": None, "additional_headers": headers}
        async for socket in connect(url, ping_interval=5, ping_timeout=5, **options):
            resume = {"type": "resume", "protocol": 1, "token": self._token, "seq": self._wanted}
            sending: list[asyncio.Task[None]] = []
            try:
                await socket.send(json.dumps(resume if self._token else hello))
                async for frame in socket:
                    message = self._hear(frame) if isinstance(frame, bytes) else json.loads(frame)
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

    async def record(self, stay_seconds: float) -> None:
        """Keep what the microphone hears, connected or not. When nothing was said for this time, end the session."""
        await self._started.wait()
        began = asyncio.get_running_loop().time()
        while self._card.silence < stay_seconds:
            seconds = self._numbered * TICK_SECONDS
            header = HEADER.pack(1, 0, 0, self._numbered, self._numbered * self._card.samples, round(seconds * 1000))
            self._kept.append((self._numbered, header + self._card.tick()))
            self._numbered += 1
            self._recorded.set()
            await asyncio.sleep(began + seconds + TICK_SECONDS - asyncio.get_running_loop().time())
        self._is_over = True

    def _hear(self, frame: bytes) -> dict[str, Any]:
        _, _, turn, number, _, _ = HEADER.unpack_from(frame)
        if self._is_new(number):
            self._card.put(turn, frame[HEADER.size :])
        return {"type": "speech"}

    async def _take(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "ack":
            while self._kept and self._kept[0][0] < message["seq"]:
                self._kept.popleft()
        elif kind == "error" and (not self._started.is_set() or message["code"] == "resume_refused"):
            self.end_reason = message["code"]
        elif "seq" in message and kind != "session.resumed" and self._is_new(message["seq"]):
            if kind == "interrupted":
                self._card.flush(message["turn"])
                await self._report()
            elif kind == "session.ended" and message["reason"] != "parked":  # parked: another process goes on with it
                self.end_reason = message["reason"]
        if kind not in ("ack", "speech"):
            print(kind, message.get("text") or message.get("message") or "", flush=True)
        if self.end_reason and self._socket:
            await self._socket.close()

    def _is_new(self, number: int) -> bool:
        is_new, self._wanted = number >= self._wanted, max(self._wanted, number + 1)
        return is_new

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
            await asyncio.sleep(0.25)
            await socket.send(json.dumps({"type": "ack", "seq": self._wanted}))
            await self._report()
            if self._is_over:
                await socket.send(json.dumps({"type": "end"}))

    async def _report(self) -> None:
        if self._socket and self._card.turn:
            await self._socket.send(json.dumps({"type": "playback", "turn": self._card.turn, "heard_ms": self._card.heard_ms}))
