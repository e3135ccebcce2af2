"""The two phases of the plugin: the only file that talks to `kong`.

`access` decides from memory whether a request may pass; `log` turns what Kong knows of it into a usage record. Neither
waits for a file, the network or a lock. What each asks of Kong is a round trip, counted in docs/plugin.md.
"""

import time
from collections.abc import Callable, Generator
from typing import Any

import structlog
from msgspec.structs import replace

from tollkeeper_kong.exchange import Exchange, NotAnExchange, exchange_from_serialize, header_text
from tollkeeper_kong.instances import Config
from tollkeeper_kong.llm import LlmUsage, is_stream, usage_of_answer
from tollkeeper_kong.node import Node
from tollkeeper_kong.pdk import Call, Steps, response_exit
from tollkeeper_kong.record import usage_record
from tollkeeper_kong.refusal import Decision, refuse_by_policy
from tollkeeper_kong.schema import read_policy, read_scope
from tollkeeper_kong.snapshot import Amount, Limit, RequestScope
from tollkeeper_kong.subject import subject_source

SERIALIZE = Call("kong.log.serialize")
GET_ROUTE = Call("kong.router.get_route")
GET_SERVICE = Call("kong.router.get_service")
GET_METHOD = Call("kong.request.get_method")
ASK_UNCOMPRESSED = Call("kong.service.request.set_header", "Accept-Encoding", "identity")
"""What a client lets the upstream compress (br, zstd) nobody could read: its tokens would be free."""
ENABLE_BUFFERING = Call("kong.service.request.enable_buffering")
GET_RAW_BODY = Call("kong.service.response.get_raw_body")
RETRY_SECONDS = 5
NAMES_SECONDS = 60.0
PLUGIN_FAILED = refuse_by_policy("plugin_failed", 500, "An unexpected error occurred.", docs_url=None)

log = structlog.get_logger()

PdkSteps = Generator[Call, Any, None]
"""What Kong answers is of many types; each is looked at where it is used."""


class Tollkeeper:
    """One configuration of the plugin."""

    def __init__(self, config: Config, node: Node) -> None:
        self._node = node
        self._counters = node.counters
        self._policy, wrong = read_policy(config)
        scope = read_scope(config)
        self._known = RequestScope(route_id=scope.route_id, service_id=scope.service_id, model=self._policy.model)
        self._route = self._known  # and what Kong told of it; service names by id: for a minute
        self._service_names: dict[str | None, str] = {}
        self._names_until = 0.0
        self._source = subject_source(self._policy.subject_from)
        by_consumer = not self._source.is_written_down
        self._fixed_subject = f"consumer:{scope.consumer_id}" if by_consumer and scope.consumer_id else None
        self._spool_full = refuse_by_policy(
            "metering_unavailable",
            503,
            "Usage cannot be recorded at the moment; try again.",
            docs_url=self._policy.docs_url,
            retry_seconds=RETRY_SECONDS,
        )
        if wrong:
            node.counters.config_problems += 1
            log.error("config_not_usable", fields=wrong, plugin_id=str(config.get("__plugin_id"))[:64])
        access = self.access_in_writing if self._source.is_written_down else self.access
        self.phases: dict[str, Callable[[], Steps]] = {"access": access, "log": self.log}

    @property
    def enforce(self) -> str:
        """Whether this configuration refuses: off, shadow or on."""
        return self._policy.enforce

    def failure_answer(self, phase: str) -> Call | None:
        """Let the request pass, or answer 500 where the configuration says so."""
        return None if self._policy.fault_tolerant or phase != "access" else _exit(PLUGIN_FAILED)

    def access_in_writing(self) -> PdkSteps:
        """Write down whom the request is attributed to, then decide."""
        subject = self._source.read((yield self._source.ask))
        yield _subject(subject)
        yield from self.access(subject)

    def access(self, subject: str | None = None) -> PdkSteps:
        """Decide whether the request may pass."""
        policy, verdicts = self._policy, self._node.verdicts
        if policy.enforce != "off":
            subject, known = subject or self._fixed_subject, self._known
            if subject is None:
                subject = self._source.read((yield self._source.ask))
            is_full = policy.on_spool_full == "deny" and self._node.spool.is_full
            decision = self._spool_full if is_full else verdicts.decide(subject, None, policy)
            if decision is None:
                known = yield from self._learn(subject)
                decision = verdicts.decide(subject, known, policy)
            assert decision is not None, "the request is known"
            if not decision.is_allowed:
                yield self._refusal(decision)
            elif policy.quota_headers:
                yield from self._tell_quota(subject, known)
        if policy.buffer_response:
            yield ASK_UNCOMPRESSED
            yield ENABLE_BUFFERING

    def log(self) -> PdkSteps:
        """Record the request."""
        text = yield SERIALIZE
        try:
            exchange = exchange_from_serialize(text)
        except NotAnExchange:
            self._counters.unreadable += 1
            raise
        if not self._policy.buffer_response or not _may_report_usage(exchange):
            self._keep(exchange, None)
            return
        llm = None
        try:
            body = yield GET_RAW_BODY
            llm = self._usage_of(body, exchange)
        finally:  # also when Kong does not answer: it ends its timer where a body was not buffered
            self._keep(exchange, llm)

    def _refusal(self, decision: Decision) -> Call:
        """Return the call that ends the request or, in shadow mode, notes that it would have been ended."""
        if self._policy.enforce == "on":
            self._counters.count_refusal(decision)
            return _exit(decision)
        self._counters.count_shadow(decision)
        return _would_refuse(decision)

    def _tell_quota(self, subject: str, known: RequestScope) -> PdkSteps:
        remaining = self._node.verdicts.remaining(subject, known)
        if remaining:
            yield _quota_headers(*remaining)

    def _learn(self, subject: str) -> Generator[Call, Any, RequestScope]:
        """Ask Kong for what the limits of a subject turn on and the configuration does not say."""
        scopes = [limit.terms.scope for limit in self._node.verdicts.limits_of(subject)]
        if time.monotonic() >= self._names_until:  # Kong may have renamed them
            self._names_until = time.monotonic() + NAMES_SECONDS
            self._route, self._service_names = self._known, {}
        known = self._route
        if any(scope.needs_route(known) for scope in scopes):
            route = yield GET_ROUTE
            known = _with_route(known, route if isinstance(route, dict) else {})
            if self._known.route_id is not None:  # all that comes here is of one route
                self._route = known
        if any(scope.needs_service_name(known) for scope in scopes):
            name = yield from self._service_name(known.service_id)
            known = replace(known, service_name=name)
        if any(scope.methods for scope in scopes):
            method = yield GET_METHOD
            known = replace(known, method=method)
        return known

    def _service_name(self, service_id: str | None) -> Generator[Call, Any, str]:
        """Return the name of the request's service; '' if it has none."""
        name = self._service_names.get(service_id)
        if name is None:
            service = yield GET_SERVICE
            name = (service.get("name") if isinstance(service, dict) else None) or ""
            if service_id is not None:
                self._service_names[service_id] = name
        return name

    def _usage_of(self, body: Any, exchange: Exchange) -> LlmUsage | None:
        if isinstance(body, str):
            body = body.encode("utf-8", "surrogateescape")
        if not isinstance(body, bytes) or not body:
            return None
        self._counters.bodies += 1
        return usage_of_answer(body, _content_type(exchange))

    def _keep(self, exchange: Exchange, llm: LlmUsage | None) -> None:
        counters = self._counters
        counters.recorded += 1
        if exchange.source == "upstream" or _is_ours(exchange):
            counters.recorded_after_access += 1
        self._node.spool.append(usage_record(exchange, node=self._node.name, llm=llm))


def _with_route(known: RequestScope, route: dict[str, Any]) -> RequestScope:
    service = route.get("service")
    found = service.get("id") if isinstance(service, dict) else None
    return replace(
        known,
        route_id=known.route_id or route.get("id"),
        route_name=route.get("name") or "",  # not None: it was asked for
        service_id=known.service_id or found,
    )


def _exit(decision: Decision) -> Call:
    return response_exit(decision.status, decision.body.decode(), decision.headers)


def _subject(subject: str) -> Call:
    """Write the subject into Kong's log: of the headers that Kong shows there, a client decides which are left out."""
    return Call("kong.log.set_serialize_value", "tollkeeper.subject", subject)


def _would_refuse(decision: Decision) -> Call:
    told = {"code": decision.code} | ({"limit_id": decision.limit_id} if decision.limit_id else {})
    return Call("kong.log.set_serialize_value", "tollkeeper.would_refuse", told)


def _quota_headers(limit: Limit, left: Amount) -> Call:
    headers = {"X-Quota-Limit": str(limit.terms.limit), "X-Quota-Remaining": str(left)}
    if limit.resets_at is not None:
        headers["X-Quota-Reset"] = str(int(limit.resets_at))
    return Call("kong.response.set_headers", headers)


def _is_ours(exchange: Exchange) -> bool:
    headers = exchange.response.headers if exchange.response else None
    return headers is not None and headers.refused is not None


def _content_type(exchange: Exchange) -> str:
    headers = exchange.response.headers if exchange.response else None
    return header_text(headers.content_type) if headers else ""


def _may_report_usage(exchange: Exchange) -> bool:
    """Say whether there is a buffered answer that may: asking for a stream gets no client out of its tokens."""
    kind = _content_type(exchange)
    return exchange.source == "upstream" and (is_stream(kind) or "json" in kind)
