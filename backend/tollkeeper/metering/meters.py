"""Define and find meters: how events become a number."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from tollkeeper.errors import Conflict, FieldError, InvalidInput, NotFound
from tollkeeper.metering.filters import check_filter
from tollkeeper.metering.tables import Meter
from tollkeeper.storage.ids import new_id

KEY = re.compile(r"[a-z][a-z0-9_]{0,62}")
PATH = re.compile(r"\$subject|[^.\x00+$\s][^.\x00+\s]{0,63}(\.[^.\x00+\s]{1,64}){0,7}")
MOST_GROUPS = 20


class Aggregation(StrEnum):
    """How the values of many events become one."""

    SUM = "sum"
    COUNT = "count"
    MIN = "min"
    MAX = "max"
    AVG = "avg"
    UNIQUE_COUNT = "unique_count"
    LATEST = "latest"


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterDraft:
    """A meter to be: `value` is a path in `data`, or several with " + " between; `count` needs none."""

    key: str
    name: str
    event_type: str
    aggregation: str
    value: str | None = None
    group_by: Mapping[str, str] = field(default_factory=dict)
    filter: Mapping[str, Any] = field(default_factory=dict)


def create_meter(session: Session, draft: MeterDraft, *, now: datetime) -> Meter:
    """Define a meter; it counts events that are stored already, too.

    Raises InvalidInput with the path of each wrong field, Conflict if the key is taken.
    """
    meter = new_meter(draft, now=now)
    if find_meter(session, draft.key) is not None:
        raise Conflict(f"a meter with the key {draft.key!r} is there already; a meter does not change")
    session.add(meter)
    session.flush()
    return meter


def new_meter(draft: MeterDraft, *, now: datetime) -> Meter:
    """Return the meter to be, stored nowhere; raises InvalidInput with the path of each wrong field."""
    problems = _problems(draft)
    if problems:
        raise InvalidInput(f"the meter is wrong: {problems[0].path} {problems[0].message}", tuple(problems))
    filter_ = check_filter(dict(draft.filter))
    return Meter(
        id=new_id("met"),
        key=draft.key,
        name=draft.name,
        event_type=draft.event_type,
        aggregation=draft.aggregation,
        value=draft.value,
        group_by=dict(draft.group_by),
        filter=dict(filter_),
        is_built_in=0,
        created_at=now,
    )


def find_meter(session: Session, key: str) -> Meter | None:
    """Return the meter, or None."""
    return session.scalar(select(Meter).where(Meter.key == key))


def get_meter(session: Session, key: str) -> Meter:
    """Return the meter; raises NotFound."""
    meter = find_meter(session, key)
    if meter is None:
        raise NotFound(f"there is no meter {key!r}")
    return meter


def list_meters(session: Session, *, after: str | None = None, limit: int = 100) -> Sequence[Meter]:
    """List meters by key, after the given key."""
    query = select(Meter).order_by(Meter.key).limit(limit)
    return session.scalars(query if after is None else query.where(Meter.key > after)).all()


def value_paths(meter: Meter) -> tuple[str, ...]:
    """Return the paths whose numbers are added up to an event's value; none for a plain count."""
    return tuple(path.strip() for path in meter.value.split("+")) if meter.value else ()


def _problems(draft: MeterDraft) -> list[FieldError]:
    problems = []
    if not KEY.fullmatch(draft.key):
        problems.append(FieldError("/key", "must be a-z, 0-9 and _, beginning with a letter"))
    if not draft.name:
        problems.append(FieldError("/name", "must not be empty"))
    if not draft.event_type:
        problems.append(FieldError("/event_type", "must not be empty; the plugin's events are 'kong.request'"))
    if draft.aggregation not in set(Aggregation):
        problems.append(FieldError("/aggregation", f"must be one of {', '.join(Aggregation)}"))
    return problems + _value_problems(draft) + _group_problems(draft.group_by)


def _value_problems(draft: MeterDraft) -> list[FieldError]:
    if draft.value is None:
        needs_none = draft.aggregation == Aggregation.COUNT
        return [] if needs_none else [FieldError("/value", "is missing; name a field of data like 'llm.input_tokens'")]
    paths = [path.strip() for path in draft.value.split("+")]
    if all(PATH.fullmatch(path) for path in paths):
        return []
    return [FieldError("/value", "is no path of a field; write it like 'llm.input_tokens'")]


def _group_problems(group_by: Mapping[str, str]) -> list[FieldError]:
    if len(group_by) > MOST_GROUPS:
        return [FieldError("/group_by", f"has more than {MOST_GROUPS} dimensions")]
    return [
        FieldError(f"/group_by/{name}", "is no path of a field; write it like 'llm.model'")
        for name, path in group_by.items()
        if not KEY.fullmatch(name) or not PATH.fullmatch(path)
    ]
