"""Tell cheaply that nothing came late for what a subscription was billed, so that it need not be counted again.

A mark says: before this hour there were so many events of all whom the subscription covers, and what decides
whose they are was this. Events are only ever added, so if both still hold, every charge whose time is over by
that hour is what it was. Else all of them are counted again.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from tollkeeper.invoices.accounts import Account
from tollkeeper.invoices.tables import UsageMark
from tollkeeper.metering.event import instant_of, microseconds_of
from tollkeeper.metering.read import count_events_before, list_sets
from tollkeeper.metering.totals import HOUR_US
from tollkeeper.storage.upsert import insert_into
from tollkeeper.subscriptions.coverage import CoveredStretch
from tollkeeper.subscriptions.held_cards import held_cards
from tollkeeper.usage.spans import attributions_of, cut_spans


@dataclass(frozen=True, slots=True)
class Mark:
    """A usage mark as a value (tables.py)."""

    hour: int
    events: int
    covers: str

    @property
    def instant(self) -> datetime:
        """Return the hour's beginning."""
        return instant_of(self.hour * HOUR_US)


def read_marks(session: Session, account_until: Mapping[str, tuple[Account, datetime]]) -> "Marks":
    """Look at the marks of some subscriptions, and at what they would be at the instants given.

    Call it before the usage is read: an event that comes in between is then looked for again, never missed.
    """
    stored = {
        row.subscription_id: Mark(row.hour, row.events, row.covers)
        for row in session.scalars(select(UsageMark).where(UsageMark.subscription_id.in_(account_until)))
    }
    hours = {one: microseconds_of(until) // HOUR_US for one, (_, until) in account_until.items()}
    asked = [(account, hours[one]) for one, (account, _) in account_until.items()]
    asked += [(account_until[one][0], mark.hour) for one, mark in stored.items()]
    found = _count(session, asked)
    return Marks(
        quiet_until={one: mark.instant for one, mark in stored.items() if found[one, mark.hour] == mark},
        now={one: found[one, hours[one]] for one in account_until},
    )


@dataclass(frozen=True, slots=True)
class Marks:
    """Until when nothing came late, by subscription (a missing one: nobody knows), and the marks of now."""

    quiet_until: Mapping[str, datetime]
    now: Mapping[str, Mark]


def keep_marks(session: Session, marks: Mapping[str, Mark]) -> None:
    """Store the marks of subscriptions for which everything before them has been looked at."""
    if not marks:
        return
    insert = insert_into(session, UsageMark)
    newer = {name: insert.excluded[name] for name in ("hour", "events", "covers")}
    rows = [
        {"subscription_id": subscription_id, "hour": mark.hour, "events": mark.events, "covers": mark.covers}
        for subscription_id, mark in sorted(marks.items())
    ]
    session.execute(insert.on_conflict_do_update(index_elements=["subscription_id"], set_=newer), rows)


def _count(session: Session, asked: Collection[tuple[Account, int]]) -> dict[tuple[str, int], Mark]:
    """Return the mark of each account at each hour asked."""
    stretches = {(one.subscription.id, hour): _stretches(one, hour) for one, hour in asked}
    attributions = attributions_of(session, {one.customer_id for some in stretches.values() for one in some})
    sets_of = _sets_by_subject(session, {one.subject for some in attributions.values() for one in some})
    before = {
        hour: count_events_before(session, [set_id for some in sets_of.values() for set_id in some], hour)
        for hour in {hour for _, hour in asked}
    }
    marks = {}
    for account, hour in asked:
        key = (account.subscription.id, hour)
        whose = {
            (one.customer_id, *span)
            for one in stretches[key]
            for span in cut_spans(attributions.get(one.customer_id, ()), one.start, one.end)
        }
        subjects = {subject for _, subjects, *_ in whose for subject in subjects or ()}
        events = sum(before[hour].get(set_id, 0) for subject in subjects for set_id in sets_of[subject])
        marks[key] = Mark(hour, events, _digest_of(account, hour, sorted(map(_plain, whose))))
    return marks


def _stretches(account: Account, hour: int) -> Sequence[CoveredStretch]:
    until = instant_of(hour * HOUR_US)
    subscription = account.subscription
    if until <= subscription.started_at:
        return ()
    return account.coverage.stretches(subscription.customer_id, subscription.started_at, until)


def _sets_by_subject(session: Session, subjects: Collection[str]) -> Mapping[str, list[int]]:
    sets_of: dict[str, list[int]] = defaultdict(list)
    for facts in list_sets(session, None, subjects):
        sets_of[facts.subject].append(facts.id)
    return sets_of


def _plain(whose: tuple[Any, ...]) -> tuple[Any, ...]:
    customer_id, subjects, start_us, end_us = whose
    return customer_id, start_us, end_us, sorted(subjects)


def _digest_of(account: Account, hour: int, whose: Sequence[tuple[Any, ...]]) -> str:
    """Digest whose events count when, and which plans held: what decides it beside the events themselves."""
    until = instant_of(hour * HOUR_US)
    plans = [
        (one.term_id, one.phase_key, one.card.key, one.override_id, one.start, min(one.end or until, until))
        for one in held_cards(account.timeline)
        if one.start < until
    ]
    pauses = [(one.start, min(one.end, until)) for one in account.timeline.pauses if one.start < until]
    return hashlib.sha256(json.dumps([whose, plans, pauses], default=str).encode()).hexdigest()
