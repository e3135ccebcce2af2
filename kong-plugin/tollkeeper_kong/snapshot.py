"""What binds each subject, held compactly: 200,000 consumers fit into the memory of a gateway node.

A snapshot never changes; the next one replaces it. What many limits have in common is one object that they share, and a
delta is laid over the subjects that were there, so that a small change costs little.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation

import msgspec

from tollkeeper_kong.feed import FeedFrame, FeedLimit, FeedScope, FeedSubject, NotAFeed

FOLD_AT_CHANGES = 4096

Amount = int | Decimal


class RequestScope(msgspec.Struct, frozen=True, gc=False):
    """What is known of a request before it is answered; None is unknown."""

    route_id: str | None = None
    route_name: str | None = None
    service_id: str | None = None
    service_name: str | None = None
    method: str | None = None
    model: str | None = None


class Scope(msgspec.Struct, frozen=True):
    """The part of the traffic that a limit is about. Empty sets mean any."""

    routes: frozenset[str]
    services: frozenset[str]
    methods: frozenset[str]
    models: frozenset[str]
    has_by_id: tuple[frozenset[str], frozenset[str]]
    """Route ids and service ids: a request matches by its id or by its name."""
    is_any: bool

    def needs_route(self, request: RequestScope) -> bool:
        """Whether this part turns on the request's route, or on the service that its route leads to, not known yet."""
        route_ids, service_ids = self.has_by_id
        if request.route_name is None and self.routes:
            return request.route_id is None or request.route_id not in route_ids
        return (request.route_id is None and bool(route_ids)) or (
            request.service_id is None and request.route_name is None and bool(service_ids or self.services)
        )

    def needs_service_name(self, request: RequestScope) -> bool:
        """Whether this part names services and the request's id is none of theirs; its name may be."""
        return bool(self.services) and request.service_name is None and request.service_id not in self.has_by_id[1]

    def covers(self, request: RequestScope) -> bool:
        """Whether a request is in this part; what is unknown of it is in no part that names it."""
        route_ids, service_ids = self.has_by_id
        return self.is_any or (
            _names(request.route_id, request.route_name, route_ids, self.routes)
            and _names(request.service_id, request.service_name, service_ids, self.services)
            and (not self.methods or request.method in self.methods)
            and (not self.models or request.model in self.models)
        )


class Terms(msgspec.Struct, frozen=True):
    """What limits of the same plan share."""

    feature: str
    scope: Scope
    kind: str
    code: str
    limit: Amount | None
    status: int
    is_hard: bool
    counts_down: bool
    """Hard, in requests, with a number: the node counts its own passes between two snapshots."""


class Limit(msgspec.Struct, frozen=True, gc=False):
    """One limit of a subject as of a snapshot."""

    id: str
    terms: Terms
    used: Amount
    resets_at: float | None
    """Seconds since 1970, by the backend's clock."""
    denies: bool
    reason: str | None
    """Kept for limits that deny."""


Limits = tuple[Limit, ...]
_Held = Limit | Limits
_NONE: Limits = ()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All verdicts as of one answer of the feed."""

    cursor: str | None
    generated_at: float
    """By the backend's clock."""
    received_at: float
    """By this process's monotonic clock."""
    subjects: dict[str, _Held]
    changes: dict[str, _Held | None]
    """Laid over `subjects`; None: removed."""

    def find(self, subject: str) -> Limits | None:
        """Return what binds a subject; None if it belongs to no customer."""
        changes = self.changes
        held = changes[subject] if changes and subject in changes else self.subjects.get(subject)
        return (held,) if isinstance(held, Limit) else held

    def __len__(self) -> int:
        gone = sum(1 for subject, held in self.changes.items() if held is None and subject in self.subjects)
        new = sum(1 for subject, held in self.changes.items() if held is not None and subject not in self.subjects)
        return len(self.subjects) - gone + new

    def backend_time(self, monotonic: float) -> float:
        """Return the backend's time at an instant of our monotonic clock, whatever the wall clock here says."""
        return self.generated_at + (monotonic - self.received_at)

    def all(self) -> Iterator[tuple[str, Limits]]:
        """Yield every subject with its limits."""
        for subject in [*self.subjects, *(changed for changed in self.changes if changed not in self.subjects)]:
            limits = self.find(subject)
            if limits is not None:
                yield subject, limits


class SnapshotBuilder:
    """Makes the next snapshot from the last one and an answer of the feed. For one thread."""

    def __init__(self) -> None:
        self._terms: dict[tuple[object, ...], Terms] = {}
        self._limits: dict[str, Limit] = {}
        self._last: Snapshot | None = None

    def apply(self, answer: Iterable[FeedSubject | FeedFrame], *, received_at: float) -> Snapshot:
        """Return the snapshot after an answer, full or delta. Raises NotAFeed; then nothing has changed."""
        seen: dict[str, _Held] = {}
        self._limits = {}
        frame: FeedFrame | None = None
        for part in answer:
            if isinstance(part, FeedFrame):
                frame = part
            else:
                seen[part.subject] = self._hold(part)
        if frame is None:
            raise NotAFeed("the answer has no end")
        if not frame.full and self._last is None:
            raise NotAFeed("a delta came where nothing was known")
        self._last = self._next(frame, seen, received_at)
        self._limits = {}
        return self._last

    def resume(self, snapshot: Snapshot) -> None:
        """Go on from a snapshot that was kept on disk."""
        self._last = snapshot

    def _next(self, frame: FeedFrame, seen: dict[str, _Held], received_at: float) -> Snapshot:
        generated_at = parse_time(frame.generated_at)
        if frame.full or self._last is None:
            return Snapshot(frame.cursor, generated_at, received_at, seen, {})
        last = self._last
        changes = last.changes
        if seen or frame.removed:
            changes = changes | seen | dict.fromkeys(frame.removed)
        subjects = last.subjects
        if len(changes) > FOLD_AT_CHANGES:
            subjects, changes = _fold(subjects, changes), {}
        return Snapshot(frame.cursor, generated_at, received_at, subjects, changes)

    def _hold(self, subject: FeedSubject) -> _Held:
        limits = tuple([self._limit(limit) for limit in subject.limits])
        held: _Held = limits[0] if len(limits) == 1 else limits or _NONE
        if self._last is None:
            return held
        known = self._last.changes.get(subject.subject) or self._last.subjects.get(subject.subject)
        if known is None or known != held:
            return held
        for limit in (known,) if isinstance(known, Limit) else known:
            self._limits[limit.id] = limit
        return known  # what has not changed stays the object that it was

    def _limit(self, wire: FeedLimit) -> Limit:
        denies = wire.state == "deny"
        limit = Limit(
            wire.id,
            self._share(wire),
            _amount(wire.used, "used") or 0,
            None if wire.resets_at is None else parse_time(wire.resets_at),
            denies,
            wire.reason if denies else None,
        )
        known = self._limits.setdefault(limit.id, limit)  # the consumers of a customer share its limits
        return known if known == limit else limit

    def _share(self, wire: FeedLimit) -> Terms:
        key = (wire.feature, wire.scope, wire.kind, wire.code, wire.limit, wire.status, wire.hard)
        terms = self._terms.get(key)
        if terms is None:
            limit = _amount(wire.limit, "limit")
            counts_down = wire.hard and wire.kind == "requests" and limit is not None
            scope = _scope(wire.scope)
            terms = Terms(wire.feature, scope, wire.kind, wire.code, limit, wire.status, wire.hard, counts_down)
            self._terms[key] = terms
        return terms


def _fold(subjects: dict[str, _Held], changes: dict[str, _Held | None]) -> dict[str, _Held]:
    folded = subjects.copy()
    for subject, held in changes.items():
        if held is None:
            folded.pop(subject, None)
        else:
            folded[subject] = held
    return folded


def parse_time(text: str) -> float:
    """Return an RFC 3339 time as seconds since 1970. Raises NotAFeed."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise NotAFeed(f"not a time: {text[:40]!r}") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def format_time(seconds: float) -> str:
    """Return seconds since 1970 as the wire writes a time."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _amount(text: str | None, name: str) -> Amount | None:
    if text is None:
        return None
    if text.isascii() and text.isdigit():
        return int(text)
    try:
        amount = Decimal(text)
    except InvalidOperation:
        raise NotAFeed(f"{name} is not a number: {text[:40]!r}") from None
    if not amount.is_finite():
        raise NotAFeed(f"{name} is not a number: {text[:40]!r}")
    return amount


def _scope(wire: FeedScope) -> Scope:
    return Scope(
        frozenset(wire.routes),
        frozenset(wire.services),
        frozenset(wire.methods),
        frozenset(wire.models),
        has_by_id=(frozenset(wire.route_ids), frozenset(wire.service_ids)),
        is_any=wire == FeedScope(),
    )


def _names(its_id: str | None, its_name: str | None, ids: frozenset[str], names: frozenset[str]) -> bool:
    return (not ids and not names) or its_id in ids or its_name in names
