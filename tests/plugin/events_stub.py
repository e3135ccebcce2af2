"""A strict stand-in for `POST /api/v1/events`, over real HTTP, that can misbehave in every way a network can.

It checks what it gets as the backend does, counts an event once by (source, id), and follows a plan: a function that
says for each request what shall happen to it.
"""

import gzip
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "tk_test_secret"
HEALTHY = "ok"


class EventsStub:
    """What is stored, what was asked, and the plan."""

    def __init__(self) -> None:
        self.plan: Callable[[], str] = lambda: HEALTHY
        self.refuses: Callable[[dict[str, Any]], str | None] = lambda event: None
        self.most_events = 10_000
        self.retry_after = "0"
        self.stored: dict[tuple[str, str], dict[str, Any]] = {}
        self.seen: Counter[str] = Counter()
        self.requests: list[int] = []
        self.protests: list[str] = []
        self.lock = threading.Lock()
        self.url = ""

    @property
    def ids(self) -> list[str]:
        with self.lock:
            return [event_id for _, event_id in self.stored]

    def take(self, events: list[dict[str, Any]]) -> dict[str, Any]:
        """Store what is new; answer as the contract says."""
        answer: dict[str, Any] = {"accepted": 0, "duplicates": 0, "rejected": []}
        with self.lock:
            self.requests.append(len(events))
            for index, event in enumerate(events):
                error = self.refuses(event)
                key = (event["source"], event["id"])
                self.seen[event["id"]] += 1
                if error:
                    answer["rejected"].append({"index": index, "id": event["id"], "error": error})
                elif key in self.stored:
                    if self.stored[key] != event:
                        self.protests.append(f"{key} came again with another content")
                    answer["duplicates"] += 1
                else:
                    self.stored[key] = event
                    answer["accepted"] += 1
        return answer


@contextmanager
def events_stub() -> Iterator[EventsStub]:
    """Serve a stub on a loopback port."""
    stub = EventsStub()

    class Handler(_Handler):
        backend = stub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    stub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    backend: EventsStub

    def log_message(self, *args: object) -> None:
        """Say nothing."""

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except ConnectionError:  # a shipper that was killed
            self.close_connection = True

    def do_POST(self) -> None:
        act = self.backend.plan()
        length = int(self.headers["Content-Length"])
        if act == "drop_before":
            self.rfile.read(length // 2)
            return self._drop()
        body = self.rfile.read(length)
        if len(body) < length:
            return self._drop()
        if act == "slow":
            time.sleep(0.1)
        if act in {"500", "503", "429"}:
            return self._problem(int(act), "no_luck")
        if act == "portal":
            return self._send(200, b"<html>Please sign in to the hotel's network</html>", "text/html")
        if act == "proxy_400":
            return self._send(400, b"<html>bad request</html>", "text/html")
        self._receive(act, body)
        return None

    def _receive(self, act: str, body: bytes) -> None:
        refused = self._refusal_of_the_door()
        if refused is not None:
            self._problem(*refused)
            return
        try:
            events = json.loads(gzip.decompress(body))
            assert all(event["specversion"] == "1.0" for event in events)
        except (ValueError, AssertionError, KeyError, TypeError):
            self._problem(400, "not_json")
            return
        if len(events) > self.backend.most_events:
            self._problem(413, "too_large")
            return
        self._answer(act, json.dumps(self.backend.take(events)).encode())

    def _refusal_of_the_door(self) -> tuple[int, str] | None:
        if self.headers.get("Authorization") != f"Bearer {KEY}":
            return 401, "unauthorized"
        if self.path != "/api/v1/events":
            return 404, "not_found"
        if self.headers["Content-Type"] != "application/cloudevents-batch+json":
            return 415, "unsupported"
        return None

    def _answer(self, act: str, answer: bytes) -> None:
        if act == "drop_after":
            self._drop()
        elif act == "half_body":
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer[: len(answer) // 2])
            self._drop()
        elif act == "500_after":
            self._problem(500, "stored_but_failed")
        else:
            self._send(200, answer, "application/json")

    def _drop(self) -> None:
        self.close_connection = True

    def _problem(self, status: int, code: str) -> None:
        body = json.dumps({"type": "about:blank", "status": status, "code": code, "detail": "no"}).encode()
        self._send(status, body, "application/problem+json")

    def _send(self, status: int, body: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        if status in {429, 503}:
            self.send_header("Retry-After", self.backend.retry_after)
        self.end_headers()
        self.wfile.write(body)


def event_bytes(event_id: str, *, source: str = "kong/node-1", pad: int = 0) -> bytes:
    """Return a record as the plugin makes one."""
    event = {"specversion": "1.0", "id": event_id, "source": source, "type": "kong.request", "subject": "anonymous"}
    return json.dumps(event | {"time": "2026-11-22T07:30:00.000Z", "data": {"pad": "x" * pad}}).encode()
