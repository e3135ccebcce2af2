"""A strict fake of Stripe: a real HTTP server that checks every request and can fail in every way that Stripe does.

It keeps Stripe's promises about idempotency keys (same key and parameters: the saved answer, also a saved 500;
other parameters: 400 idempotency_error; still running: 409) and refuses what the SDK's TypedDicts do not know.
"""

import hashlib
import hmac
import json
import re
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import stripe

from tests.stripe_account import FakeStripe, Kept, Refused, route
from tests.stripe_schema import problems_of, read_form

API_KEY = "sk_test_of_the_fake"
NO_OBJECTS = {"200_page": b"<html>\xff", "200_empty": b"", "200_list": b"[]", "200_no_id": b"{}"}


def sign(body: bytes, secret: str, timestamp: int) -> str:
    """Return the Stripe-Signature header of a webhook."""
    signature = hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={timestamp},v1={signature}"


@contextmanager
def fake_stripe() -> Iterator[FakeStripe]:
    """Serve a fake account on a loopback port; a request that breaks the rules fails the test at the end."""
    account = FakeStripe()

    class Handler(_Handler):
        stripe = account

    server = _Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    account.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield account
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert not account.violations, account.violations


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that were killed while they waited for an answer."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    stripe: FakeStripe
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        pass

    def do_GET(self) -> None:
        self._serve("GET")

    def do_POST(self) -> None:
        self._serve("POST")

    def do_DELETE(self) -> None:
        self._serve("DELETE")

    def _serve(self, method: str) -> None:
        address = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length).decode()
        if len(body.encode()) < length:  # the client died in the middle: nobody acts on half a request
            self._drop()
            return
        form = body if method == "POST" else address.query
        key = self.headers.get("Idempotency-Key")
        tree = read_form(form)
        self.stripe.requests.append((method, address.path, tree, key))
        self._check_headers(method)
        problems = problems_of(method, address.path, tree)
        self.stripe.violations += problems
        fault = self._fault(f"{method} {address.path}")
        if fault == "drop_before":
            self._drop()
            return
        if fault in {"429", "401", "409", "503"}:
            self._answer(int(fault), _error("api_error", f"injected {fault}", code=f"injected_{fault}"))
            return
        if problems:
            self._answer(400, _error("invalid_request_error", "; ".join(problems), code="parameter_unknown"))
            return
        status, answer, replayed = self._idempotent(method, address.path, form, tree, key, fault)
        if fault == "drop_after":
            self._drop()
            return
        if fault in NO_OBJECTS:
            self._send(200, NO_OBJECTS[fault])
            return
        self._answer(status, answer, replayed=replayed)

    def _idempotent(
        self, method: str, path: str, form: str, tree: dict[str, Any], key: str | None, fault: str | None
    ) -> tuple[int, dict[str, Any], bool]:
        if method != "POST" or key is None:
            return (*self._do(method, path, tree, fault), False)
        digest = hashlib.sha256(f"{path}\n{form}".encode()).hexdigest()
        with self.stripe.lock:
            kept = self.stripe.keys.get(key)
            if kept is None:
                kept = self.stripe.keys[key] = Kept(digest)
                is_first = True
            else:
                is_first = False
        if kept.digest != digest:
            return 400, _error("idempotency_error", "Keys can only be used with the same parameters."), False
        if not is_first:
            if kept.answer is None:
                return 409, _error("invalid_request_error", "In progress.", code="idempotency_key_in_use"), False
            return (*kept.answer, True)
        kept.answer = self._do(method, path, tree, fault)
        return (*kept.answer, False)

    def _do(self, method: str, path: str, tree: dict[str, Any], fault: str | None) -> tuple[int, dict[str, Any]]:
        if fault in {"500_saved", "503_saved", "402_saved"}:
            return int(fault[:3]), _error("api_error", "injected")
        try:
            with self.stripe.lock:
                answer = route(self.stripe, method, path, tree)
        except Refused as refused:
            return refused.status, refused.body
        if fault == "500_after":
            return 500, _error("api_error", "injected after the work")
        return 200, json.loads(json.dumps(answer))

    def _check_headers(self, method: str) -> None:
        wrong = self.stripe.violations
        if self.headers.get("Authorization") != f"Bearer {API_KEY}":
            wrong.append("wrong Authorization")
        if self.headers.get("Stripe-Version") != stripe.api_version:
            wrong.append(f"wrong Stripe-Version {self.headers.get('Stripe-Version')}")
        if "X-Stripe-Client-Telemetry" in self.headers:
            wrong.append("telemetry was sent")
        if method == "POST":
            if self.headers.get("Content-Type") != "application/x-www-form-urlencoded":
                wrong.append("wrong Content-Type")
            if not re.fullmatch(r"tk-.{10,250}", self.headers.get("Idempotency-Key") or ""):
                wrong.append("a POST without a key of ours")

    def _fault(self, request: str) -> str | None:
        for fault in self.stripe.faults:
            if fault.times > 0 and re.fullmatch(fault.request, request):
                fault.times -= 1
                return fault.how
        return None

    def _drop(self) -> None:
        self.close_connection = True
        with suppress(OSError):  # it may be gone already
            self.connection.shutdown(socket.SHUT_RDWR)

    def _answer(self, status: int, body: dict[str, Any], *, replayed: bool = False) -> None:
        self._send(status, json.dumps(body).encode(), replayed=replayed)

    def _send(self, status: int, raw: bytes, *, replayed: bool = False) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.send_header("Request-Id", f"req_{len(self.stripe.requests)}")
        if replayed:
            self.send_header("Idempotent-Replayed", "true")
        self.end_headers()
        self.wfile.write(raw)


def _error(kind: str, message: str, code: str | None = None) -> dict[str, Any]:
    return {"error": {"type": kind, "message": message, "code": code}}
