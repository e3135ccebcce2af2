"""The state of one request on its way through the tests' gateway, and how Kong logs it."""

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote_to_bytes

from tests.gateway.routing import Match

KONG_VERSION = "3.9.1"
MOST_HEADERS = 100  # lua_max_req_headers, lua_max_resp_headers
REDACTED = {"authorization", "proxy-authorization"}

Headers = dict[str, Any]


class KongExit(Exception):
    """`kong.response.exit`: the phase ends here and this answer goes out."""

    def __init__(self, status: int, body: object = None, headers: dict[str, Any] | None = None) -> None:
        super().__init__(status)
        self.status = status
        self.body = body
        self.headers = headers or {}


@dataclass
class Exchange:
    """One request: what came in, what was found out about it, what went out."""

    id: str
    method: str
    target: str  # path and query as the client wrote them
    request_headers: list[tuple[str, str]]
    body: bytes
    request_size: int
    client_ip: str
    client_port: int
    listen_port: int
    worker: int = 0  # of the nginx worker that runs it; workers of a reload have new numbers
    started: float = field(default_factory=time.time)
    match: Match | None = None
    found_route: bool = False
    consumer: dict[str, Any] | None = None
    credential: dict[str, Any] | None = None
    shared: dict[str, Any] = field(default_factory=dict)
    nginx_ctx: dict[str, Any] = field(default_factory=dict)
    serialize_values: list[tuple[str, Any]] = field(default_factory=list)
    answer_headers_to_set: list[tuple[str, str]] = field(default_factory=list)  # by plugins, before the answer
    buffered: bool = False
    buffered_body: bytes | None = None
    source: str = "kong"
    status: int = 0
    upstream_status: str = ""
    upstream_uri: str = ""
    answer_headers: list[tuple[str, str]] = field(default_factory=list)
    answer_size: int = 0
    tries: list[dict[str, Any]] = field(default_factory=list)
    kong_ms: int = 0
    proxy_ms: int = -1
    receive_ms: int = 0
    lua: dict[str, Any] = field(default_factory=dict)  # what the Lua filters keep for this request
    _serialized: str | None = None

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def raw_query(self) -> str:
        return self.target.partition("?")[2]

    def header(self, name: str) -> str | None:
        """Return the first request header of that name."""
        wanted = name.lower()
        return next((value for key, value in self.request_headers if key == wanted), None)

    def set_request_header(self, name: str, value: str) -> None:
        """Replace a request header, for the upstream and the log."""
        self.clear_request_header(name)
        self.request_headers.append((name.lower(), value))

    def clear_request_header(self, name: str) -> None:
        """Remove a request header."""
        self.request_headers = [pair for pair in self.request_headers if pair[0] != name.lower()]

    def elapsed_ms(self) -> int:
        """Return the milliseconds since the request came in."""
        return int((time.time() - self.started) * 1000)

    def query(self) -> dict[str, Any]:
        """Return the query as OpenResty does: a flag is true, a repeated argument a list."""
        found: dict[str, Any] = {}
        for part in self.raw_query.split("&"):
            if not part:
                continue
            name, equals, _ = part.partition("=")
            value: str | bool = _unescape(part.partition("=")[2]) if equals else True
            _add(found, _unescape(name), value)
        return found

    def serialize(self) -> str:
        """Return the JSON of `kong.log.serialize()`; the same text for every plugin that asks."""
        if self._serialized is None:
            self._serialized = json.dumps(self._log_entry(), ensure_ascii=False, separators=(",", ":"))
        return self._serialized

    def _log_entry(self) -> dict[str, Any]:
        entry: dict[str, Any] = {
            "request": {
                "id": self.id,
                "uri": self.target,
                "url": f"http://{(self.header('host') or '').partition(':')[0]}:{self.listen_port}{self.target}",
                "querystring": self.query(),
                "method": self.method,
                "headers": _redacted(header_table(self.request_headers)),
                "size": self.request_size,
            },
            "upstream_uri": self.upstream_uri,
            "upstream_status": self.upstream_status,
            "response": {
                "status": self.status,
                "headers": header_table(self.answer_headers),
                "size": self.answer_size,
            },
            "latencies": {
                "kong": self.kong_ms,
                "proxy": self.proxy_ms,
                "receive": self.receive_ms,
                "request": self.elapsed_ms(),
            },
            "client_ip": self.client_ip,
            "started_at": int(self.started * 1000),
            "source": self.source,
            "workspace": "0dc6f45b-8f8d-40d2-a504-473544ee190b",
            "workspace_name": "default",
        }
        entry |= self._entities()
        for key, value in self.serialize_values:
            _set_deep(entry, key, value)
        return entry

    def _entities(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if self.match:
            found["route"] = self.match.route
            if self.match.service:
                found["service"] = self.match.service
            found["tries"] = self.tries
        if self.consumer:
            found["consumer"] = self.consumer
        if self.credential:
            found["authenticated_entity"] = {"id": self.credential["id"]}
        return found


def header_table(pairs: Iterable[tuple[str, str]]) -> Headers:
    """Return headers as OpenResty does: lower-case names, a list for a repeated one, 100 at the most."""
    found: Headers = {}
    for index, (name, value) in enumerate(pairs):
        if index >= MOST_HEADERS:
            break
        _add(found, name.lower(), value)
    return found


def multi_map(table: Headers) -> Headers:
    """Return headers or a query as the plugin server gets them: every value a list, a flag an empty one."""
    return {key: [] if value is True else value if isinstance(value, list) else [value] for key, value in table.items()}


def form_of(text: str) -> dict[str, Any]:
    """Read a form's fields as OpenResty does."""
    found: dict[str, Any] = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        _add(found, name, value)
    return found


def _add(table: dict[str, Any], key: str, value: object) -> None:
    if key not in table:
        table[key] = value
    elif isinstance(table[key], list):
        table[key].append(value)
    else:
        table[key] = [table[key], value]


def _unescape(text: str) -> str:
    return unquote_to_bytes(text.replace("+", " ").encode("utf-8", "surrogateescape")).decode(
        "utf-8", "surrogateescape"
    )


def _redacted(headers: Headers) -> Headers:
    return headers | {name: "REDACTED" for name in REDACTED if name in headers}


def _set_deep(entry: dict[str, Any], key: str, value: object) -> None:
    """Put a value of `kong.log.set_serialize_value` in: dots in the key are table accesses; nil removes."""
    *parents, last = key.split(".")
    node = entry
    for parent in parents:
        node = node.setdefault(parent, {})
        if not isinstance(node, dict):
            raise TypeError(f"The key {key!r} could not be used as a serialize value: {parent!r} is not a table")
    if value is None:
        node.pop(last, None)
    else:
        node[last] = value
