"""Events are listed in pages that meet without gap or repeat; what a meter cannot count is listed with the reason."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.orm import Session

from tollkeeper.metering import listing
from tollkeeper.metering.accept import accept_events
from tollkeeper.metering.event import Event
from tollkeeper.metering.listing import EventFilter, list_events, list_invalid_events
from tollkeeper.metering.meters import get_meter

START, NOW = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 31, tzinfo=UTC)
Make = Callable[..., Event]


def test_pages_meet_at_events_of_one_instant(session: Session, kong_event: Make) -> None:
    events = [kong_event(number) for number in (5, 2, 9, 4)]
    events[2].source = "kong/node-8"
    accept_events(session, events, now=NOW)
    seen, place = [], None
    while page := list_events(session, EventFilter(), after=place, limit=1):
        seen += [(one.source, int(one.id, 16)) for one in page]
        place = page[-1].place
    # Sources by their number, which is by their name within a request; ids by their bytes.
    assert seen == [("kong/node-7", 2), ("kong/node-7", 4), ("kong/node-7", 5), ("kong/node-8", 9)]


def test_a_list_is_narrowed_by_each_field(session: Session, kong_event: Make) -> None:
    job = Event(id="job 7", source="batch", type="job.done", time=START + timedelta(hours=1), data={"n": 1})
    accept_events(session, [kong_event(1), kong_event(2, 90, subject="consumer:2"), job], now=NOW)

    def ids(**wanted: object) -> list[str]:
        return [one.id for one in list_events(session, EventFilter(**wanted))]  # type: ignore[arg-type]  # a table of cases

    assert ids(event_type="job.done") == ids(source="batch") == ids(event_id="job 7") == ["job 7"]
    assert ids(subject="consumer:2") == ids(start=START + timedelta(minutes=61)) == [f"{2:032x}"]
    assert ids(end=START + timedelta(minutes=1)) == [f"{1:032x}"]
    assert ids(event_type="kong.request", subject="consumer:2", event_id="job 7") == []


def test_events_that_a_meter_cannot_count_are_found_over_short_pages(
    session: Session, kong_event: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of ten calls of a model every third has no output tokens; a page looks at four events."""
    events = [
        kong_event(number, number, llm={"model": "m", **({"output_tokens": 5} if number % 3 else {})})
        for number in range(1, 11)
    ]
    accept_events(session, [*events, kong_event(99, 3)], now=NOW)
    monkeypatch.setattr(listing, "MOST_EXAMINED", 4)
    found, place, pages = [], None, 0
    while True:
        page, place = list_invalid_events(
            session, get_meter(session, "output_tokens"), START, NOW, after=place, limit=2
        )
        found += [(int(one.id, 16), one.reason) for one in page]
        pages += 1
        if place is None:
            break
    assert found == [(number, "llm.output_tokens is missing") for number in (3, 6, 9)]
    assert pages == 3
