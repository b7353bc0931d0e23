"""The outer message around each input event: unwrapping, and the check of its signature."""

from collections.abc import Iterator
from enum import Enum

from nova_sonic_local.framing import FramingError, Message, MessageDecoder, decode_message
from nova_sonic_local.refusals import Refusal, Refused
from nova_sonic_local.signing import MISMATCH, MessageChain, SignatureError


class SignatureCheck(Enum):
    """What is asked of signatures."""

    OFF = "off"
    LENIENT = "lenient"
    """They must be there."""
    STRICT = "strict"
    """They must be right, for the request and for every message."""


class Envelope:
    """Unwraps the messages of one stream.

    Args:
        check: off takes bare messages too.
        chain: what the signatures must be; needed by the strict check alone.
        event_type: of the events that there may be.
    """

    def __init__(self, check: SignatureCheck, chain: MessageChain | None = None, event_type: str = "chunk") -> None:
        self._check = check
        self._event_type = event_type
        self._chain = chain
        self._decoder = MessageDecoder()

    def feed(self, data: bytes) -> Iterator[bytes | None]:
        """Take bytes and yield the payload of each event, and None for the signed empty message that ends the input.

        Raises:
            Refused: not event-stream messages, or no events of this type.
            SignatureError: a signature is missing or wrong.
        """
        try:
            for message in self._decoder.messages(data):
                yield self._unwrap(message)
        except FramingError as error:
            raise Refused(Refusal.UNPARSABLE) from error

    def _unwrap(self, message: Message) -> bytes | None:
        signature = message.value(":chunk-signature")
        if signature is None:
            if self._check is not SignatureCheck.OFF:
                raise SignatureError("MissingAuthenticationTokenException", "Missing Authentication Token")
            return self._payload(message)
        if self._chain is not None:
            date = message.value(":date")
            if not isinstance(date, int) or self._chain.sign(date, message.payload) != signature:
                raise SignatureError("InvalidSignatureException", MISMATCH)
        return self._payload(decode_message(message.payload)) if message.payload else None

    def _payload(self, message: Message) -> bytes:
        if message.value(":message-type") != "event" or message.value(":event-type") != self._event_type:
            raise Refused(Refusal.UNPARSABLE)
        return message.payload
