"""The PDK functions that an external plugin may call, in the phases where Kong allows them.

The phases are those recorded in tests/recordings/kong/pdk-phase-matrix.txt. A call that Kong refuses raises
PdkRefusal: in access the client then sees 500 and the plugin never hears of it, in log the timer aborts. A method that
Kong does not know returns nothing. A method that Kong knows and this gateway does not simulate is an error of its own,
so that no test passes by accident.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.gateway.exchange import Exchange, KongExit, header_table, multi_map

NODE_ID = "fb30e5a5-5b84-4b36-8903-039a1f02a610"
ACCESS, LOG = "access", "log"
BOTH = frozenset({ACCESS, LOG})
ONLY_ACCESS = frozenset({ACCESS})
ONLY_LOG = frozenset({LOG})

STEP_METHODS = {  # kong/runloop/plugin_servers/rpc/mp_rpc.lua, get_step_method
    "kong.client.get_credential": "plugin.StepCredential",
    "kong.client.load_consumer": "plugin.StepConsumer",
    "kong.client.get_consumer": "plugin.StepConsumer",
    "kong.router.get_route": "plugin.StepRoute",
    "kong.router.get_service": "plugin.StepService",
    "kong.request.get_query": "plugin.StepMultiMap",
    "kong.request.get_headers": "plugin.StepMultiMap",
    "kong.response.get_headers": "plugin.StepMultiMap",
}


class PdkRefusal(Exception):
    """Kong's Lua raised: wrong phase or wrong argument."""


class Binary(bytes):
    """A value that travels as MessagePack binary, not as a string."""


@dataclass(frozen=True)
class _Method:
    phases: frozenset[str]
    run: Callable[..., Any]
    refusal: str = "function cannot be called in {phase} phase"


def call_pdk(exchange: Exchange, phase: str, method: str, arguments: list[Any]) -> Any:
    """Run one PDK call of the plugin; raises PdkRefusal or KongExit as Kong would."""
    known = METHODS.get(method)
    if known is None:
        if method.startswith(_NOT_SIMULATED):
            raise NotImplementedError(f"the tests' gateway does not simulate {method}")
        return None  # Kong logs "could not find pdk method" and answers with nothing
    if phase not in known.phases:
        raise PdkRefusal(known.refusal.format(phase=phase))
    if phase == "log" and method == "kong.request.get_header":  # from the headers that Kong has saved: a hundred
        value = header_table(exchange.request_headers).get(str(arguments[0]).lower())
        return value[0] if isinstance(value, list) else value
    return known.run(exchange, *arguments)


_NOT_SIMULATED = ("kong.vault.", "kong.cluster.", "kong.service.set_", "kong.service.request.set_", "kong.client.tls.")
_DISABLED = "API disabled in the current context"


def _exit(_: Exchange, status: int, body: object = None, headers: dict[str, Any] | None = None) -> None:
    if not isinstance(status, int) or not 100 <= status <= 599:
        raise PdkRefusal("code must be a number between 100 and 599")
    raise KongExit(status, body, headers)


def _error(_: Exchange, status: int, message: str | None = None, headers: dict[str, Any] | None = None) -> None:
    raise KongExit(status, {"message": message or "An unexpected error occurred"}, headers)


def _set_serialize_value(exchange: Exchange, key: str, value: object = None, *_: object) -> None:
    if not isinstance(key, str):
        raise PdkRefusal("key must be a string")
    exchange.serialize_values.append((key, value))


def _set_answer_header(exchange: Exchange, name: str, value: object) -> None:
    name = name.lower()
    exchange.answer_headers_to_set = [pair for pair in exchange.answer_headers_to_set if pair[0] != name]
    _add_answer_header(exchange, name, value)


def _add_answer_header(exchange: Exchange, name: str, value: object) -> None:
    values = value if isinstance(value, list) else [value]
    exchange.answer_headers_to_set += [(name.lower(), str(one)) for one in values]


def _set_answer_headers(exchange: Exchange, headers: dict[str, Any]) -> None:
    for name, value in headers.items():
        _set_answer_header(exchange, name, value)


def _clear_answer_header(exchange: Exchange, name: str) -> None:
    exchange.answer_headers_to_set = [pair for pair in exchange.answer_headers_to_set if pair[0] != name.lower()]


def _set_request_headers(exchange: Exchange, headers: dict[str, Any]) -> None:
    for name, value in headers.items():
        exchange.clear_request_header(name)
        values = value if isinstance(value, list) else [value]
        exchange.request_headers += [(name.lower(), str(one)) for one in values]


def _enable_buffering(exchange: Exchange) -> None:
    exchange.buffered = True


def _buffered_body(exchange: Exchange) -> Binary:
    if exchange.buffered_body is None:
        raise PdkRefusal("service body is only available with buffered proxying")
    return Binary(exchange.buffered_body)


def _buffered_json(exchange: Exchange) -> Any:
    return json.loads(_buffered_body(exchange))


def _answer_header(exchange: Exchange, name: str) -> Any:
    value = header_table(exchange.answer_headers).get(name.lower())
    return value[0] if isinstance(value, list) else value


def _query_argument(exchange: Exchange, name: str) -> Any:
    value = exchange.query().get(name)
    return value[0] if isinstance(value, list) else value


def _host(exchange: Exchange) -> str:
    return (exchange.header("host") or "").partition(":")[0]


def _nothing(*_: object) -> None:
    return None


def _source(exchange: Exchange) -> str:
    return {"upstream": "service", "kong": "exit"}[exchange.source]


METHODS: dict[str, _Method] = {
    "kong.client.get_consumer": _Method(BOTH, lambda x: x.consumer),
    "kong.client.get_credential": _Method(BOTH, lambda x: x.credential),
    "kong.client.get_ip": _Method(ONLY_ACCESS, lambda x: x.client_ip, _DISABLED),
    "kong.client.get_forwarded_ip": _Method(ONLY_ACCESS, lambda x: x.client_ip, _DISABLED),
    "kong.client.get_port": _Method(ONLY_ACCESS, lambda x: x.client_port, _DISABLED),
    "kong.client.get_forwarded_port": _Method(ONLY_ACCESS, lambda x: x.client_port, _DISABLED),
    "kong.client.get_protocol": _Method(ONLY_ACCESS, lambda x, *_: "http", _DISABLED),
    "kong.ctx.shared.get": _Method(BOTH, lambda x, key: x.shared.get(key)),
    "kong.ctx.shared.set": _Method(BOTH, lambda x, key, value=None: x.shared.update({key: value})),
    "kong.nginx.get_ctx": _Method(BOTH, lambda x, key: x.nginx_ctx.get(key)),
    "kong.nginx.set_ctx": _Method(BOTH, lambda x, key, value=None: x.nginx_ctx.update({key: value})),
    "kong.nginx.get_subsystem": _Method(BOTH, lambda _: "http"),
    "kong.nginx.get_var": _Method(
        ONLY_ACCESS, lambda x, name: {"request_id": x.id, "request_method": x.method}.get(name), _DISABLED
    ),
    "kong.nginx.req_start_time": _Method(BOTH, lambda x: round(x.started, 3)),
    "kong.node.get_id": _Method(BOTH, lambda _: NODE_ID),
    "kong.node.get_hostname": _Method(BOTH, lambda _: "localhost"),
    "kong.plugin.get_id": _Method(BOTH, lambda x: x.nginx_ctx.get("plugin_id")),
    "kong.log.serialize": _Method(ONLY_LOG, lambda x: x.serialize()),
    "kong.log.set_serialize_value": _Method(BOTH, _set_serialize_value),
    **{f"kong.log.{level}": _Method(BOTH, _nothing) for level in ("debug", "info", "notice", "warn", "err", "crit")},
    "kong.request.get_header": _Method(BOTH, lambda x, name: x.header(name)),
    "kong.request.get_headers": _Method(BOTH, lambda x, *_: multi_map(header_table(x.request_headers))),
    "kong.request.get_start_time": _Method(BOTH, lambda x: int(x.started * 1000)),
    "kong.request.get_uri_captures": _Method(BOTH, lambda _: {"named": [], "unnamed": []}),
    "kong.request.get_method": _Method(ONLY_ACCESS, lambda x: x.method, _DISABLED),
    "kong.request.get_path": _Method(ONLY_ACCESS, lambda x: x.path, _DISABLED),
    "kong.request.get_raw_path": _Method(ONLY_ACCESS, lambda x: x.path, _DISABLED),
    "kong.request.get_path_with_query": _Method(ONLY_ACCESS, lambda x: x.target, _DISABLED),
    "kong.request.get_raw_query": _Method(ONLY_ACCESS, lambda x: x.raw_query, _DISABLED),
    "kong.request.get_query": _Method(ONLY_ACCESS, lambda x, *_: multi_map(x.query()), _DISABLED),
    "kong.request.get_query_arg": _Method(ONLY_ACCESS, _query_argument, _DISABLED),
    "kong.request.get_scheme": _Method(ONLY_ACCESS, lambda _: "http", _DISABLED),
    "kong.request.get_host": _Method(ONLY_ACCESS, _host, _DISABLED),
    "kong.request.get_port": _Method(ONLY_ACCESS, lambda x: x.listen_port, _DISABLED),
    "kong.request.get_http_version": _Method(ONLY_ACCESS, lambda _: 1.1, _DISABLED),
    "kong.request.get_raw_body": _Method(ONLY_ACCESS, lambda x: Binary(x.body)),
    "kong.response.exit": _Method(ONLY_ACCESS, _exit),
    "kong.response.error": _Method(ONLY_ACCESS, _error),
    "kong.response.set_header": _Method(ONLY_ACCESS, _set_answer_header),
    "kong.response.add_header": _Method(ONLY_ACCESS, _add_answer_header),
    "kong.response.set_headers": _Method(ONLY_ACCESS, _set_answer_headers),
    "kong.response.clear_header": _Method(ONLY_ACCESS, _clear_answer_header),
    "kong.response.set_status": _Method(ONLY_ACCESS, _nothing),
    "kong.response.get_status": _Method(ONLY_LOG, lambda x: x.status),
    "kong.response.get_header": _Method(ONLY_LOG, _answer_header),
    "kong.response.get_headers": _Method(ONLY_LOG, lambda x, *_: multi_map(header_table(x.answer_headers))),
    "kong.response.get_source": _Method(ONLY_LOG, _source),
    "kong.response.get_raw_body": _Method(frozenset(), _nothing),
    "kong.router.get_route": _Method(BOTH, lambda x: x.match.route if x.match else None),
    "kong.router.get_service": _Method(BOTH, lambda x: x.match.service if x.match else None),
    "kong.service.request.set_header": _Method(
        ONLY_ACCESS, lambda x, name, value: x.set_request_header(name, str(value))
    ),
    "kong.service.request.add_header": _Method(
        ONLY_ACCESS, lambda x, name, value: x.request_headers.append((name.lower(), str(value)))
    ),
    "kong.service.request.set_headers": _Method(ONLY_ACCESS, _set_request_headers),
    "kong.service.request.clear_header": _Method(ONLY_ACCESS, lambda x, name: x.clear_request_header(name)),
    "kong.service.request.enable_buffering": _Method(ONLY_ACCESS, _enable_buffering),
    "kong.service.response.get_raw_body": _Method(ONLY_LOG, _buffered_body),
    "kong.service.response.get_body": _Method(ONLY_LOG, _buffered_json),
    "kong.service.response.get_status": _Method(frozenset(), _nothing, _DISABLED),
    "kong.service.response.get_header": _Method(frozenset(), _nothing, _DISABLED),
    "kong.service.response.get_headers": _Method(frozenset(), _nothing, _DISABLED),
}  # fmt: skip
