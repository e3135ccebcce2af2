"""Headers and bodies as Kong writes them, to the upstream and to the client."""

import itertools
import json
import time
from typing import Any

import aiohttp
from aiohttp import web
from multidict import CIMultiDict

from tests.gateway.exchange import KONG_VERSION, Exchange, KongExit

HOP_BY_HOP = {"connection", "keep-alive", "proxy-authenticate", "proxy-connection", "te", "trailer",
              "transfer-encoding", "upgrade"}  # fmt: skip


def upstream_headers(exchange: Exchange, authority: str) -> CIMultiDict[str]:
    """Return the request's headers as Kong sends them on."""
    assert exchange.match is not None
    headers: CIMultiDict[str] = CIMultiDict(
        (name, value)
        for name, value in exchange.request_headers
        if name not in HOP_BY_HOP and name not in {"host", "content-length"}
    )
    headers["Host"] = (exchange.header("host") or authority) if exchange.match.route["preserve_host"] else authority
    headers["X-Forwarded-For"] = exchange.client_ip
    headers["X-Forwarded-Proto"] = "http"
    headers["X-Forwarded-Host"] = (exchange.header("host") or "").partition(":")[0]
    headers["X-Forwarded-Path"] = exchange.path
    headers["X-Kong-Request-Id"] = exchange.id
    headers["Via"] = f"1.1 kong/{KONG_VERSION}"
    return headers


def answer_like(upstream: aiohttp.ClientResponse) -> web.StreamResponse:
    """Begin an answer with the upstream's status and end-to-end headers."""
    answer = web.StreamResponse(status=upstream.status, reason=upstream.reason)
    for name, value in upstream.headers.items():
        if name.lower() not in HOP_BY_HOP:
            answer.headers.add(name, value)
    return answer


def own_body(made: KongExit, request_id: str) -> tuple[bytes, str | None]:
    """Write the body of `kong.response.exit`: a table as JSON, Kong's own messages with the request's id."""
    body = made.body
    if body is None:
        return b"", None
    if isinstance(body, dict) and set(body) == {"message"}:
        text = f'{{\n  "message":{json.dumps(body["message"])},\n  "request_id":"{request_id}"\n}}'
        return text.encode(), "application/json; charset=utf-8"
    if isinstance(body, dict | list):
        return json.dumps(body, separators=(",", ":")).encode(), "application/json; charset=utf-8"
    return str(body).encode("utf-8", "surrogateescape"), None


def add_kong_headers(answer: web.StreamResponse, exchange: Exchange, own: list[tuple[str, str]]) -> None:
    """Add what plugins have set and what Kong adds itself."""
    for name, value in itertools.chain(exchange.answer_headers_to_set, own):
        answer.headers[name] = value
    answer.headers["X-Kong-Request-Id"] = exchange.id


def balancer_try(host: str, port: int) -> dict[str, Any]:
    """Return an entry of `tries` in the log."""
    now = time.time_ns()
    return {
        "ip": host, "port": port, "balancer_latency": 0, "balancer_latency_ns": 28160,
        "balancer_start": now // 1_000_000, "balancer_start_ns": float(now),
    }  # fmt: skip
