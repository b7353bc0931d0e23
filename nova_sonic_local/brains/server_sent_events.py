"""Server-sent events, as far as chat endpoints use them: the data of each event (HTML Standard, 9.2 "Server-sent events")."""

from typing import Final

LARGEST_EVENT_BYTES: Final = 1024 * 1024


class EventTooLarge(ValueError):
    """An event does not end."""


class EventDecoder:
    """Takes bytes as they come and returns the data of the events that are complete."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes.

        Raises:
            EventTooLarge: more than `LARGEST_EVENT_BYTES` belong to one event.
        """
        # A carriage return at the very end may be the first half of a line end, so it waits for what follows.
        held = self._rest + data
        whole = held[:-1] if held.endswith(b"\r") else held
        lines = whole.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._rest = lines.pop() + held[len(whole) :]
        found = [event for line in lines if (event := self._take(line)) is not None]
        if self._size + len(self._rest) > LARGEST_EVENT_BYTES:
            raise EventTooLarge
        return found

    def _take(self, line: bytes) -> bytes | None:
        if not line:
            event, self._data, self._size = self._data, [], 0
            return b"\n".join(event) if event else None
        name, _, value = line.partition(b":")
        if name == b"data":
            self._data.append(value.removeprefix(b" "))
            self._size += len(value)
        return None
