"""What gateway nodes report, and what is wrong with them: silent, late, losing records, on old verdicts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from tollkeeper.entitlements.tables import GatewayNode
from tollkeeper.notifications.enqueue import enqueue
from tollkeeper.storage.upsert import insert_into

# Nodes report every few seconds (plugin: sync.py); after so long without a report something is wrong.
SILENT_AFTER = timedelta(seconds=60)
FORGOTTEN_AFTER = timedelta(days=30)
LATE_SPOOL_SECONDS = 60
OLD_VERDICTS_SECONDS = 60
CLOCK_OFF_MS = 5000
MOST_LISTED = 1000
NODE_SILENT = "node.silent"


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A node's report (tests/contract/heartbeat.json); `verdict_age_seconds` is None without a snapshot."""

    node: str
    version: str
    sent_at: datetime
    enforce: str
    verdict_cursor: str | None
    verdict_age_seconds: float | None
    spool: Mapping[str, Any]
    counters: Mapping[str, int]


def record_heartbeat(session: Session, beat: Heartbeat, *, now: datetime) -> list[str]:
    """Store a node's report in place of its last one; return what is wrong with it, for people."""
    warnings = warnings_of(beat, now=now)
    row = {
        "last_seen_at": now,
        "version": beat.version,
        "enforce": beat.enforce,
        "verdict_cursor": beat.verdict_cursor,
        "verdict_age_seconds": None if beat.verdict_age_seconds is None else f"{beat.verdict_age_seconds:.1f}",
        "clock_offset_ms": _clock_offset_ms(beat, now=now),
        "spool": dict(beat.spool),
        "counters": dict(beat.counters),
        "warnings": warnings,
        "silent_since": None,
    }
    session.execute(
        insert_into(session, GatewayNode)
        .values(node=beat.node, first_seen_at=now, **row)
        .on_conflict_do_update(index_elements=["node"], set_=row)
    )
    return warnings


def warnings_of(beat: Heartbeat, *, now: datetime) -> list[str]:
    """Return what a report itself shows to be wrong; pure."""
    found = []
    oldest = beat.spool.get("oldest_age_seconds") or 0
    if oldest > LATE_SPOOL_SECONDS:
        found.append(f"late: the oldest record waits for {oldest:.0f} s to be shipped")
    if beat.counters.get("dropped"):
        found.append(f"lost: {beat.counters['dropped']} records were dropped since the node started")
    if beat.counters.get("set_aside"):
        found.append(f"set aside: the backend refused {beat.counters['set_aside']} records as invalid")
    if beat.verdict_age_seconds is None:
        found.append("no verdicts: the node has no snapshot and passes or refuses by its on_unknown setting")
    elif beat.verdict_age_seconds > OLD_VERDICTS_SECONDS:
        found.append(f"old verdicts: {beat.verdict_age_seconds:.0f} s old")
    offset = _clock_offset_ms(beat, now=now)
    if abs(offset) > CLOCK_OFF_MS:
        found.append(f"clock: the node's clock is {abs(offset) / 1000:.1f} s {'ahead' if offset > 0 else 'behind'}")
    return found


def list_nodes(session: Session) -> Sequence[GatewayNode]:
    """Return all nodes that were heard in the last FORGOTTEN_AFTER, by name."""
    return session.scalars(select(GatewayNode).order_by(GatewayNode.node).limit(MOST_LISTED)).all()


def watch_nodes(session: Session, *, now: datetime) -> int:
    """Mark nodes that fell silent, tell of each once per silence, forget those long gone; return how many fell."""
    session.execute(delete(GatewayNode).where(GatewayNode.last_seen_at < now - FORGOTTEN_AFTER))
    silent = session.scalars(
        select(GatewayNode)
        .where(GatewayNode.silent_since.is_(None), GatewayNode.last_seen_at < now - SILENT_AFTER)
        .with_for_update(skip_locked=True)
    ).all()
    for node in silent:
        node.silent_since = node.last_seen_at
        payload = {"node": node.node, "version": node.version, "last_seen_at": node.last_seen_at.isoformat()}
        enqueue(
            session, NODE_SILENT, payload, key=f"{NODE_SILENT}/{node.node}/{node.last_seen_at.isoformat()}", now=now
        )
    return len(silent)


def _clock_offset_ms(beat: Heartbeat, *, now: datetime) -> int:
    return round((beat.sent_at - now).total_seconds() * 1000)
