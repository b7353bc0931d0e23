"""How a stream ends on the wire."""

import logging

from h2.errors import ErrorCodes

from nova_sonic_local.emission import encode_exception, encode_unmodelled
from nova_sonic_local.exchange import Exchange
from nova_sonic_local.faults import HTTP_ERRORS, Fault, FaultPlan, HttpError
from nova_sonic_local.refusals import HTTP_FORM, Refusal, Refused
from nova_sonic_local.responses import send_error, send_page, send_stream_head
from nova_sonic_local.signing import SignatureError
from nova_sonic_local.wreckage import half_message

_log = logging.getLogger(__name__)

GOODBYE_SECONDS = 2.0
"""After sessionEnd a client may still end its request in order before the stream is reset."""


class Cut(Exception):
    """A fault ends the stream without a word.

    Args:
        plan: how.
    """

    def __init__(self, plan: FaultPlan) -> None:
        super().__init__(plan.fault.value)
        self.plan = plan
        self.fault = plan.fault


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
            _cut(exchange, request_id, ending.plan)
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


def _cut(exchange: Exchange, request_id: str, plan: FaultPlan) -> None:
    match plan.fault:
        case Fault.GOAWAY:
            exchange.connection.go_away(plan.code)
        case Fault.TCP_DROP:
            exchange.connection.abort()
        case Fault.RST:
            exchange.reset(plan.code)
        case Fault.REFUSE_STREAM:
            exchange.reset(ErrorCodes.REFUSED_STREAM)
        case fault if fault in HTTP_ERRORS:
            _refuse_with_status(exchange, request_id, HTTP_ERRORS[fault])
        case _:
            send_stream_head(exchange, request_id)
            exchange.write(_last_words(plan, request_id))
            exchange.finish()


def _refuse_with_status(exchange: Exchange, request_id: str, error: HttpError) -> None:
    if exchange.has_head:
        exchange.write(encode_unmodelled(error.kind, error.message))
        exchange.finish()
    elif error.kind:
        send_error(exchange, request_id, error.status, error.kind, error.message)
    else:
        send_page(exchange, error.status, error.message)


def _last_words(plan: FaultPlan, request_id: str) -> bytes:
    match plan.fault:
        case Fault.UNKNOWN_EXCEPTION:
            return encode_exception(plan.word, f"RequestId={request_id} : {Refusal.INTERNAL_ERROR.value.text}")
        case Fault.ERROR_MESSAGE:
            return encode_unmodelled(plan.word, Refusal.INTERNAL_ERROR.value.text)
        case Fault.TRUNCATED_FRAME:
            return half_message()
        case _:
            return b""
