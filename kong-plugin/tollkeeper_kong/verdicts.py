"""May this request pass? Answered from memory, in about a microsecond.

`decide` belongs to the thread that answers Kong; the sync thread hands over a new snapshot by one assignment.
"""

import time
from collections.abc import Callable
from typing import Literal, Protocol

from tollkeeper_kong.passes import SETTLE_SECONDS, Passes
from tollkeeper_kong.refusal import ALLOWED, Decision, refuse, refuse_by_policy
from tollkeeper_kong.snapshot import Amount, Limit, Limits, RequestScope, Snapshot

PRUNE_SECONDS = 10.0
RETRY_SECONDS = 5


class VerdictPolicy(Protocol):
    """What an operator decides for one plugin configuration (schema.py)."""

    @property
    def on_unknown(self) -> Literal["allow", "deny"]:
        """Before the first verdicts."""

    @property
    def on_stale(self) -> Literal["allow", "deny"]:
        """When they are older than `max_stale_seconds`."""

    @property
    def max_stale_seconds(self) -> float:
        """How long verdicts hold without a word from the backend."""

    @property
    def deny_unmapped(self) -> bool:
        """Whether a subject must belong to a customer."""

    @property
    def docs_url(self) -> str | None:
        """A page for those who are refused."""


class Verdicts:
    """The current snapshot and what this node let pass since."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._snapshot: Snapshot | None = None
        self._passes: dict[str, Passes] = {}
        self._prune_at = 0.0
        self._unshipped_seconds = 0.0

    def replace(self, snapshot: Snapshot, *, unshipped_seconds: float = 0.0) -> None:
        """Take a newer snapshot; may be called from another thread.

        `unshipped_seconds`: how old the oldest record is that the backend has not got yet. Own passes since then are
        in no snapshot, however new it is.
        """
        self._unshipped_seconds = unshipped_seconds
        self._snapshot = snapshot

    @property
    def cursor(self) -> str | None:
        """How far the feed was read; None before the first answer."""
        return None if self._snapshot is None else self._snapshot.cursor

    @property
    def age_seconds(self) -> float | None:
        """How long ago the backend was last heard; None if never."""
        return None if self._snapshot is None else max(0.0, self._monotonic() - self._snapshot.received_at)

    @property
    def subject_count(self) -> int:
        """How many subjects belong to a customer."""
        return 0 if self._snapshot is None else len(self._snapshot)

    def limits_of(self, subject: str) -> Limits:
        """Return what binds a subject now; nothing if it belongs to no customer or nothing is known."""
        snapshot = self._snapshot
        return () if snapshot is None else snapshot.find(subject) or ()

    def decide(self, subject: str, request: RequestScope | None, policy: VerdictPolicy) -> Decision | None:
        """Return whether a request of a subject may pass now, and count it if so.

        `request` is None as long as Kong was not asked for it. Where the decision turns on it, so is the answer: learn
        it and ask again.
        """
        snapshot = self._snapshot
        if snapshot is None:
            return ALLOWED if policy.on_unknown == "allow" else _unknown(policy)
        monotonic = self._monotonic()
        if monotonic - snapshot.received_at > policy.max_stale_seconds:
            return ALLOWED if policy.on_stale == "allow" else _stale(policy)
        limits = snapshot.find(subject)
        if not limits:
            return ALLOWED if limits is not None or not policy.deny_unmapped else _unmapped(subject, policy)
        if monotonic >= self._prune_at:
            self._prune(snapshot, monotonic)
        return self._weigh(limits, request, snapshot, monotonic, policy)

    def remaining(self, subject: str, request: RequestScope) -> tuple[Limit, Amount] | None:
        """Return the limit that leaves a request's subject the least, and what it leaves; None if there is none."""
        snapshot = self._snapshot
        tightest: tuple[Limit, Amount] | None = None
        for limit in (None if snapshot is None else snapshot.find(subject)) or ():
            most = limit.terms.limit
            if most is None or not limit.terms.scope.covers(request):
                continue
            passes = self._passes.get(limit.id)
            left = max(0, most - limit.used - (passes.total if passes else 0))
            if tightest is None or left < tightest[1]:
                tightest = (limit, left)
        return tightest

    def _weigh(
        self, limits: Limits, request: RequestScope | None, snapshot: Snapshot, monotonic: float, policy: VerdictPolicy
    ) -> Decision | None:
        counting: list[Passes] = []
        for limit in limits:
            terms = limit.terms
            if not terms.scope.is_any:
                if request is None:
                    return None
                if not terms.scope.covers(request):
                    continue
            if limit.denies and not _has_begun_anew(limit, now := snapshot.backend_time(monotonic)):
                return refuse(limit, None, now=now, docs_url=policy.docs_url)
            if terms.counts_down:
                passes = self._count_of(limit)
                if passes.total >= passes.room and self._is_still_spent(passes, snapshot, monotonic):
                    return refuse(limit, passes, now=snapshot.backend_time(monotonic), docs_url=policy.docs_url)
                counting.append(passes)
        _count(counting, int(monotonic))
        return ALLOWED

    def _count_of(self, limit: Limit) -> Passes:
        passes = self._passes.get(limit.id)
        if passes is None:
            passes = self._passes[limit.id] = Passes(limit)
        elif passes.limit is not limit:
            passes.follow(limit)
        return passes

    def _is_still_spent(self, passes: Passes, snapshot: Snapshot, monotonic: float) -> bool:
        passes.forget_before(self._settled_before(snapshot))
        return passes.is_spent() and not _has_begun_anew(passes.limit, snapshot.backend_time(monotonic))

    def _settled_before(self, snapshot: Snapshot) -> float:
        """Return until when a pass is in the snapshot or was not to be counted."""
        return snapshot.received_at - SETTLE_SECONDS - self._unshipped_seconds

    def _prune(self, snapshot: Snapshot, monotonic: float) -> None:
        """Drop the counts of limits that nothing passed lately."""
        self._prune_at = monotonic + PRUNE_SECONDS
        for limit_id, passes in list(self._passes.items()):
            passes.forget_before(self._settled_before(snapshot))
            if not passes.total:
                del self._passes[limit_id]


def _count(counting: list[Passes], second: int) -> None:
    for passes in counting:
        passes.add(second)


def _has_begun_anew(limit: Limit, now: float) -> bool:
    return limit.resets_at is not None and limit.resets_at <= now


def _unknown(policy: VerdictPolicy) -> Decision:
    message = "No verdicts have come from the billing backend yet; try again."
    return refuse_by_policy("verdicts_unknown", 503, message, docs_url=policy.docs_url, retry_seconds=RETRY_SECONDS)


def _stale(policy: VerdictPolicy) -> Decision:
    message = "The billing backend has not been heard for too long; try again."
    return refuse_by_policy("verdicts_stale", 503, message, docs_url=policy.docs_url, retry_seconds=RETRY_SECONDS)


def _unmapped(subject: str, policy: VerdictPolicy) -> Decision:
    who = "This request has no consumer" if subject == "anonymous" else "This consumer belongs to no customer"
    return refuse_by_policy("unmapped", 403, f"{who}; it may not pass here.", docs_url=policy.docs_url)
