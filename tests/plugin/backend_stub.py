"""A stand-in for the backend that answers all three calls of a plugin server, over real HTTP."""

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "tk_test_secret"


class BackendStub:
    """What came, by (source, id); and what the verdict feed says."""

    def __init__(self) -> None:
        self.events: dict[tuple[str, str], dict[str, Any]] = {}
        self.beats: list[dict[str, Any]] = []
        self.subjects: list[dict[str, Any]] = []
        self.cursor = 1
        self.server_time = "2026-11-22T07:30:00.010Z"
        self.url = ""
        self.changed = threading.Condition()

    def publish(self, *subjects: dict[str, Any]) -> None:
        """Let the feed tell these subjects, whole."""
        with self.changed:
            self.subjects = list(subjects)
            self.cursor += 1
            self.changed.notify_all()

    @property
    def records(self) -> list[dict[str, Any]]:
        return list(self.events.values())


@contextmanager
def backend_stub() -> Iterator[BackendStub]:
    """Serve a stub on a loopback port."""
    stub = BackendStub()

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


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    backend: BackendStub

    def log_message(self, *args: object) -> None:
        """Say nothing."""

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except ConnectionError:
            self.close_connection = True

    def do_GET(self) -> None:
        if not self._is_known():
            return
        backend = self.backend
        with backend.changed:
            if f"cursor={backend.cursor}" in self.path:
                backend.changed.wait(1.0)
            feed = {
                "cursor": str(backend.cursor), "full": True, "generated_at": backend.server_time,
                "subjects": backend.subjects, "removed": [],
            }  # fmt: skip
        self._send(200, feed)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not self._is_known():
            return
        if self.path == "/api/v1/gateway/heartbeat":
            self.backend.beats.append(json.loads(body))
            self._send(200, {"server_time": self.backend.server_time})
            return
        events = json.loads(gzip.decompress(body))
        new = {(event["source"], event["id"]): event for event in events}
        duplicates = len([key for key in new if key in self.backend.events]) + len(events) - len(new)
        self.backend.events |= new
        self._send(200, {"accepted": len(events) - duplicates, "duplicates": duplicates, "rejected": []})

    def _is_known(self) -> bool:
        if self.headers.get("Authorization") == f"Bearer {KEY}":
            return True
        self._send(401, {"type": "about:blank", "status": 401, "code": "unauthorized", "detail": "no"})
        return False

    def _send(self, status: int, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        kind = "application/json" if status == 200 else "application/problem+json"
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
