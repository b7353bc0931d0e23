"""Responses that are no stream, and the head of those that are."""

import orjson

from nova_sonic_local.exchange import Exchange


def send_stream_head(exchange: Exchange, request_id: str) -> None:
    """Send the head of a stream of events."""
    exchange.send_head(200, [("content-type", "application/vnd.amazon.eventstream"), ("x-amzn-requestid", request_id)])


def send_error(exchange: Exchange, request_id: str, status: int, kind: str, message: str, *, member: str = "message") -> None:
    """Refuse a request: the error's name in x-amzn-errortype, its text in a JSON body, as the member that the service has for it."""
    body = orjson.dumps({member: message})
    headers = [
        ("content-type", "application/json"),
        ("content-length", str(len(body))),
        ("x-amzn-requestid", request_id),
        ("x-amzn-errortype", kind),
    ]
    exchange.send_head(status, headers)
    exchange.write(body)
    exchange.finish()


def send_page(exchange: Exchange, status: int, page: str) -> None:
    """Answer with HTML, as something between the client and the service does."""
    body = page.encode()
    exchange.send_head(status, [("content-type", "text/html"), ("content-length", str(len(body)))])
    exchange.write(body)
    exchange.finish()
