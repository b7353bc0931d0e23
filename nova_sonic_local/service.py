"""The operation InvokeModelWithBidirectionalStream: which requests are taken, and by which stream they are served."""

import asyncio
import logging
import re
from urllib.parse import unquote

from nova_sonic_local.ending import end_stream
from nova_sonic_local.envelope import Envelope, SignatureCheck
from nova_sonic_local.exchange import Exchange
from nova_sonic_local.faults import HEADER, parse_fault
from nova_sonic_local.ids import Ids
from nova_sonic_local.models import find_model
from nova_sonic_local.refusals import HTTP_FORM, Refusal, Refused
from nova_sonic_local.responses import send_error
from nova_sonic_local.signing import MISMATCH, MessageChain, SignatureError, parse_authorization, sign_request
from nova_sonic_local.stream import House, Request, Stream

_log = logging.getLogger(__name__)

_PATH = re.compile(r"/model/(?P<model>.+)/invoke-with-bidirectional-stream/?")


class Service:
    """Serves the requests of all connections, each in a task of its own.

    Args:
        house: what streams are answered with.
    """

    def __init__(self, house: House) -> None:
        self._house = house
        self._tasks: set[asyncio.Task[None]] = set()
        self._live = 0
        self._streams = 0

    @property
    def live_streams(self) -> int:
        """Streams being served now."""
        return self._live

    def accept(self, exchange: Exchange) -> None:
        """Serve a request; returns at once."""
        task = asyncio.get_running_loop().create_task(self._serve(exchange))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def idle(self) -> None:
        """Wait until no request is served."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def close(self) -> None:
        """End all streams and wait for them."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, exchange: Exchange) -> None:
        self._streams += 1
        ids = Ids(self._house.options.seed, self._streams)
        request_id = ids.new()
        try:
            request = self._check(exchange, request_id, ids)
            if request is not None:
                self._live += 1
                try:
                    await Stream(request, self._house).run()
                finally:
                    self._live -= 1
        except Exception:  # noqa: BLE001 -- the root of a stream's task: a fault of ours must not end the others
            _log.exception("the emulator failed")
            end_stream(exchange, request_id, Refused(Refusal.INTERNAL_ERROR))

    def _check(self, exchange: Exchange, request_id: str, ids: Ids) -> Request | None:
        """Return the request when it can be served; else it has been refused."""
        path = _PATH.fullmatch(exchange.headers.get(":path", "").partition("?")[0])
        if path is None:
            send_error(exchange, request_id, 404, "UnknownOperationException", "There is no such operation here.")
            return None
        if exchange.headers.get(":method") != "POST":
            send_error(exchange, request_id, 405, "UnknownOperationException", "This operation takes POST.")
            return None
        try:
            envelope = self._check_signature(exchange)
            fault = self._house.options.fault
            plan = parse_fault(exchange.headers.get(HEADER) or (fault if isinstance(fault, str) else fault()))
        except SignatureError as error:
            send_error(exchange, request_id, 403, error.code, str(error))
            return None
        except ValueError as error:
            send_error(exchange, request_id, 400, "ValidationException", f"{HEADER}: {error}")
            return None
        model_id = unquote(path["model"])
        model = find_model(model_id)
        refusal = Refusal.MODEL_ID if model is None else Refusal.TOO_MANY_STREAMS if self._live >= self._house.options.max_streams else None
        if refusal is not None or model is None:
            words = (refusal or Refusal.MODEL_ID).value
            send_error(exchange, request_id, *HTTP_FORM[words.member], words.text)
            return None
        return Request(exchange, request_id, model_id, model, plan, envelope, ids)

    def _check_signature(self, exchange: Exchange) -> Envelope:
        options = self._house.options
        if options.signatures is SignatureCheck.OFF:
            return Envelope(options.signatures)
        credential = parse_authorization(exchange.headers.get("authorization"))
        if options.signatures is SignatureCheck.LENIENT:
            return Envelope(options.signatures)
        secret = options.secrets.get(credential.access_key)
        if secret is None:
            raise SignatureError("UnrecognizedClientException", "The security token included in the request is invalid.")
        headers = {"host": exchange.headers.get(":authority", "")} | exchange.headers
        if sign_request(credential, secret, "POST", exchange.headers[":path"], headers) != credential.signature:
            raise SignatureError("InvalidSignatureException", MISMATCH)
        chain = MessageChain(secret, credential.region, credential.service, credential.signature)
        return Envelope(options.signatures, chain)
