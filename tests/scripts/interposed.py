"""Stands between a client and the DynamoDB server of the tests, and answers some requests itself: refusals, faults, throttling."""

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

KEPT = ("content-type", "x-amz-target", "x-amz-date", "authorization", "x-amz-security-token")


@dataclass(slots=True)
class Fault:
    """What is answered instead."""

    action: str
    """Like PutItem; empty for every one."""
    code: str
    status: int = 400
    after: int = 0
    """Requests of the action that are let through first."""
    times: int = 1_000_000
    index: str = ""
    """Only queries on this index."""

    def strikes(self, action: str, body: dict[str, object]) -> bool:
        """Tell whether this request is answered so, and count it."""
        if self.action not in ("", action) or (self.index and body.get("IndexName") != self.index):
            return False
        if self.after > 0:
            self.after -= 1
            return False
        self.times -= 1
        return self.times >= 0


@dataclass(slots=True)
class Interposed:
    """The faults, and where they are met."""

    endpoint: str
    faults: list[Fault] = field(default_factory=list)
    actions: list[str] = field(default_factory=list)
    """Of every request that came."""


@contextmanager
def interposed(behind: str) -> Iterator[Interposed]:
    """Run the server and give it."""
    where = urlsplit(behind)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 65_536  # one packet an answer

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            action = self.headers.get("x-amz-target", "").partition(".")[2]
            state.actions.append(action)
            members = json.loads(body or b"{}")
            fault = next((one for one in state.faults if one.strikes(action, members)), None)
            if fault is not None:
                text = json.dumps({"__type": f"com.amazonaws.dynamodb.v20120810#{fault.code}", "message": "said by the test"}).encode()
                self.answer(fault.status, text)
                return
            connection = http.client.HTTPConnection(str(where.hostname), where.port, timeout=20)
            connection.request("POST", self.path, body, {name: self.headers[name] for name in KEPT if name in self.headers})
            response = connection.getresponse()
            self.answer(response.status, response.read())
            connection.close()

        def answer(self, status: int, text: bytes) -> None:
            self.send_response(status)
            self.send_header("content-type", "application/x-amz-json-1.0")
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is http.server's
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state = Interposed(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
