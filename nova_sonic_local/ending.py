"""How a stream ends on the wire."""

import logging

from h2.errors import ErrorCodes

from nova_sonic_local.emission import encode_exception, encode_unmodelled
from nova_sonic_local.exchange import Exchange
from nova_sonic_local.faults import HTTP_ERRORS, Fault
from nova_sonic_local.refusals import HTTP_FORM, Refused
from nova_sonic_local.responses import send_error
from nova_sonic_local.signing import SignatureError

_log = logging.getLogger(__name__)

GOODBYE_SECONDS = 2.0
"""After sessionEnd a client may still end its request in order before the stream is reset."""


class Cut(Exception):
    """A fault ends the stream without a word.

    Args:
        fault: how.
    """

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.value)
        self.fault = fault


def end_stream(exchange: Exchange, request_id: str, ending: BaseException | None) -> None:
    """End a stream as its ending asks: None is the orderly end."""
    match ending:
        case None:
            exchange.finish(GOODBYE_SECONDS)
        case Refused():
            _log.info("stream %s refused: %s", request_id, ending.text)
            _refuse(exchange, request_id, ending)
        case SignatureError():
            _log.info("stream %s refused: %s", request_id, ending.code)
            _refuse_signature(exchange, request_id, ending)
        case Cut():
            _cut(exchange, request_id, ending.fault)
        case _:
            _log.debug("stream %s: the client is gone", request_id)


def _refuse(exchange: Exchange, request_id: str, refused: Refused) -> None:
    if exchange.has_head:
        exchange.write(encode_exception(refused.member, f"RequestId={request_id} : {refused.text}"))
        exchange.finish()
    else:
        send_error(exchange, request_id, *HTTP_FORM[refused.member], refused.text)


def _refuse_signature(exchange: Exchange, request_id: str, error: SignatureError) -> None:
    if exchange.has_head:
        exchange.write(encode_unmodelled(error.code, str(error)))
        exchange.finish()
    else:
        send_error(exchange, request_id, 403, error.code, str(error))


def _cut(exchange: Exchange, request_id: str, fault: Fault) -> None:
    if fault in HTTP_ERRORS and not exchange.has_head:
        send_error(exchange, request_id, *HTTP_ERRORS[fault])
    elif fault is Fault.GOAWAY:
        exchange.connection.go_away()
    elif fault is Fault.TCP_DROP:
        exchange.connection.abort()
    else:
        exchange.reset(ErrorCodes.NO_ERROR)
