"""How a request to a service of a cascade ends on the wire."""

import logging

from h2.errors import ErrorCodes

from nova_sonic_local.cascade.call import Call
from nova_sonic_local.cascade.failures import ServiceError
from nova_sonic_local.emission import encode_exception, encode_unmodelled
from nova_sonic_local.ending import Cut, end_stream
from nova_sonic_local.faults import HTTP_ERRORS, Fault, FaultPlan
from nova_sonic_local.refusals import Refusal, Refused
from nova_sonic_local.responses import send_error
from nova_sonic_local.signing import SignatureError

_log = logging.getLogger(__name__)


def end_call(call: Call, ending: BaseException | None) -> None:
    """End a request as its ending asks: None is the orderly end."""
    match ending:
        case None:
            call.exchange.finish()
        case ServiceError():
            _refuse(call, ending.status, ending.kind, ending.message)
        case Refused():
            _refuse(call, *call.failures.members[ending.member], ending.text)
        case SignatureError():
            _refuse(call, 403, ending.code, str(ending))
        case Cut():
            _cut(call, ending)
        case _:
            _log.debug("request %s: the client is gone", call.request_id)


def _refuse(call: Call, status: int, kind: str, message: str) -> None:
    _log.info("request %s refused: %s", call.request_id, kind)
    exchange = call.exchange
    text_member = call.failures.text_member
    if not exchange.has_head:
        send_error(exchange, call.request_id, status, kind, message, member=text_member)
    elif not call.is_stream:
        exchange.reset(ErrorCodes.INTERNAL_ERROR)  # sound has no place for words
    else:
        member = call.failures.in_stream.get(kind)
        known = encode_exception(member, message, text_member=text_member) if member is not None else b""
        exchange.write(known or encode_unmodelled(kind, message))
        exchange.finish()


def _cut(call: Call, cut: Cut) -> None:
    plan, exchange = cut.plan, call.exchange
    if plan.fault in HTTP_ERRORS and (kind := call.failures.of_fault(plan.fault)):
        error = HTTP_ERRORS[plan.fault]
        _refuse(call, error.status, kind, error.message)
    elif call.is_stream or plan.fault in HTTP_ERRORS or plan.fault in (Fault.GOAWAY, Fault.TCP_DROP, Fault.RST, Fault.REFUSE_STREAM):
        end_stream(exchange, call.request_id, cut)
    elif exchange.has_head:
        exchange.finish()  # with less than the head promised
    else:
        _break(call, plan)


def _break(call: Call, plan: FaultPlan) -> None:
    """End what is no stream of events by a fault that only such a stream has words for."""
    if plan.fault in (Fault.UNKNOWN_EXCEPTION, Fault.ERROR_MESSAGE):
        send_error(call.exchange, call.request_id, 500, plan.word, Refusal.INTERNAL_ERROR.value.text)
    else:
        call.exchange.reset(ErrorCodes.INTERNAL_ERROR)
