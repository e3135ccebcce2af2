"""From stored events to the feed: what is exhausted is refused, what is reset is open, what changed is told."""

from datetime import datetime
from typing import Any

import pytest
from sqlalchemy.orm import Session

from tests.shop import add_add_on, add_customer, add_feature, add_plan, at, flat, metered, per_unit, switch, use
from tollkeeper.customers.customers import update_customer
from tollkeeper.customers.map_consumer import end_mapping, list_mappings, map_consumer
from tollkeeper.entitlements.feed import verdict_feed
from tollkeeper.entitlements.refresh import refresh_verdicts
from tollkeeper.entitlements.survey import survey_usage
from tollkeeper.subscriptions.add_ons import AddOnDraft, attach
from tollkeeper.subscriptions.cancel import cancel
from tollkeeper.subscriptions.change_plan import change_plan
from tollkeeper.subscriptions.pause import pause, resume
from tollkeeper.subscriptions.subscribe import subscribe

JAN, FEB = at("2026-01-01"), at("2026-02-01")
NOW = at("2026-01-10T12:00")


@pytest.fixture(autouse=True)
def shop(session: Session) -> None:
    add_feature(session, "flights_ok", route={"eq": "flights"}, status={"lt": "300"})
    add_feature(session, "calls")
    add_plan(session, "free", metered("flights", "flights_ok", "10"))
    add_plan(session, "pro", flat(), metered("flights", "flights_ok", "1000"))
    add_customer(session, "acme", "alice", "bob")


def limits(session: Session, cursor: str | None = None) -> dict[str, list[str]]:
    """What the feed says: {consumer: ["feature state used/limit"]}."""
    return {
        one["subject"].removeprefix("consumer:"): [
            f"{limit['feature']} {limit['state']} {limit['used']}/{limit['limit']}" for limit in one["limits"]
        ]
        for one in verdict_feed(session, cursor).subjects
    }


def refresh(session: Session, now: datetime = NOW) -> None:
    while not refresh_verdicts(session, now=now).is_complete:
        pass


def only_limit(session: Session, consumer: str = "alice") -> dict[str, Any]:
    found = [one for one in verdict_feed(session, None).subjects if one["subject"] == f"consumer:{consumer}"]
    (limit,) = found[0]["limits"]
    assert isinstance(limit, dict)
    return limit


def test_a_customer_without_a_plan_has_no_limits(session: Session) -> None:
    refresh(session)
    assert limits(session) == {"alice": [], "bob": []}


def test_all_consumers_of_a_customer_share_its_quota(session: Session) -> None:
    subscribe(session, "acme", "free", start=JAN, now=JAN)
    use(session, "alice", NOW, 4)
    use(session, "bob", NOW, 3)
    refresh(session)
    assert limits(session) == {"alice": ["flights_ok allow 7/10"], "bob": ["flights_ok allow 7/10"]}


def test_the_request_that_fills_the_quota_closes_it(session: Session) -> None:
    subscribe(session, "acme", "free", start=JAN, now=JAN)
    use(session, "alice", NOW, 9)
    refresh(session)
    assert limits(session)["bob"] == ["flights_ok warn 9/10"]
    use(session, "alice", NOW)
    refresh(session)
    assert limits(session)["bob"] == ["flights_ok deny 10/10"]


def test_the_feed_has_the_shape_of_the_contract(session: Session) -> None:
    subscribe(session, "acme", "free", start=JAN, now=JAN)
    use(session, "alice", NOW, 10)
    refresh(session)
    feed = verdict_feed(session, None).as_json(now=NOW)
    assert (feed["full"], feed["removed"], feed["generated_at"]) == (True, [], "2026-01-10T12:00:00.000Z")
    limit = feed["subjects"][0]["limits"][0]
    assert limit.pop("id").startswith("lim_")
    assert limit == {
        "feature": "flights_ok",
        "scope": {
            "routes": ["flights"],
            "route_ids": [],
            "services": [],
            "service_ids": [],
            "methods": [],
            "models": [],
        },
        "kind": "requests",
        "state": "deny",
        "reason": "10 of 10 used",
        "code": "quota_exhausted",
        "limit": "10",
        "used": "10",
        "resets_at": "2026-02-01T00:00:00.000Z",
        "hard": True,
        "status": 429,
    }


def test_what_does_not_match_the_filter_does_not_count(session: Session) -> None:
    subscribe(session, "acme", "free", start=JAN, now=JAN)
    use(session, "alice", NOW, 5, status=500)
    use(session, "alice", NOW, 5, route="bookings")
    use(session, "alice", NOW, 5, status=429, origin="kong", refused={"code": "quota_exhausted", "limit_id": "x"})
    refresh(session)
    assert limits(session)["alice"] == ["flights_ok allow 0/10"]


def test_a_new_period_opens_the_quota_at_its_first_instant(session: Session) -> None:
    subscribe(session, "acme", "free", start=JAN, now=JAN)
    use(session, "alice", NOW, 10)
    refresh(session, at("2026-01-31T23:59:59.999999"))
    assert only_limit(session)["state"] == "deny"
    refresh(session, FEB)
    limit = only_limit(session)
    assert (limit["state"], limit["used"], limit["resets_at"]) == ("allow", "0", "2026-03-01T00:00:00.000Z")


def test_late_events_count_for_the_period_of_their_time(session: Session) -> None:
    subscribe(session, "acme", "free", start=JAN, now=JAN)
    refresh(session, at("2026-02-02"))
    use(session, "alice", at("2026-01-31T23:00"), 5)
    use(session, "alice", at("2026-02-01T01:00"), 2)
    refresh(session, at("2026-02-02T00:00:01"))
    assert only_limit(session)["used"] == "2"


def test_a_bigger_plan_opens_a_closed_quota_and_keeps_its_count(session: Session) -> None:
    subscription = subscribe(session, "acme", "free", start=JAN, now=JAN)
    use(session, "alice", NOW, 10)
    refresh(session)
    change_plan(session, subscription.id, "pro", at="now", now=NOW)
    refresh(session)
    assert limits(session)["alice"] == ["flights_ok allow 10/1000"]


def test_a_soft_limit_warns_and_never_refuses(session: Session) -> None:
    add_plan(session, "soft", metered("calls", "calls", "5", is_soft_limit=True))
    subscribe(session, "acme", "soft", start=JAN, now=JAN)
    use(session, "alice", NOW, 7)
    refresh(session)
    limit = only_limit(session)
    assert (limit["state"], limit["code"], limit["hard"]) == ("warn", "quota_exceeded", False)


def test_a_limit_whose_filter_cannot_be_told_before_the_answer_never_refuses_other_traffic(session: Session) -> None:
    add_feature(session, "not_health", route={"ne": "health"})
    add_plan(session, "odd", metered("calls", "not_health", "5"))
    subscribe(session, "acme", "odd", start=JAN, now=JAN)
    use(session, "alice", NOW, 7)
    refresh(session)
    assert (only_limit(session)["state"], only_limit(session)["hard"]) == ("warn", False)


def test_a_feature_that_a_plan_sells_is_refused_to_who_has_not_bought_it(session: Session) -> None:
    add_feature(session, "premium", route={"eq": "premium"})
    add_plan(session, "gold", switch("premium", "premium"))
    add_customer(session, "globex", "carol")
    subscribe(session, "globex", "gold", start=JAN, now=JAN)
    refresh(session)
    assert limits(session)["carol"] == []
    limit = only_limit(session)
    assert (limit["state"], limit["code"], limit["status"]) == ("deny", "not_entitled", 403)
    assert limit["scope"]["routes"] == ["premium"]
    assert limit["resets_at"] is None


def test_a_parent_s_plan_counts_its_subsidiaries_together(session: Session) -> None:
    update_customer(session, "acme", {"name": "Acme"})
    add_customer(session, "rail", "rita", parent="acme")
    subscribe(session, "acme", "free", start=JAN, now=JAN)
    use(session, "alice", NOW, 4)
    use(session, "rita", NOW, 5)
    refresh(session)
    assert limits(session)["rita"] == limits(session)["alice"] == ["flights_ok warn 9/10"]


def test_a_subsidiary_with_a_plan_of_its_own_counts_for_itself(session: Session) -> None:
    add_customer(session, "rail", "rita", parent="acme")
    subscribe(session, "acme", "free", start=JAN, now=JAN)
    subscribe(session, "rail", "pro", start=JAN, now=JAN)
    use(session, "alice", NOW, 4)
    use(session, "rita", NOW, 5)
    refresh(session)
    assert limits(session)["alice"] == ["flights_ok allow 4/10"]
    assert limits(session)["rita"] == ["flights_ok allow 5/1000"]


def test_an_ended_subscription_limits_no_more(session: Session) -> None:
    subscription = subscribe(session, "acme", "free", start=JAN, now=JAN)
    refresh(session)
    cancel(session, subscription.id, at="now", now=NOW)
    refresh(session)
    assert limits(session)["alice"] == []


def test_a_scheduled_subscription_limits_from_its_start(session: Session) -> None:
    subscribe(session, "acme", "free", start=FEB, now=JAN)
    refresh(session)
    assert limits(session)["alice"] == []
    refresh(session, FEB)
    assert limits(session)["alice"] == ["flights_ok allow 0/10"]


def test_nothing_happened_means_no_new_version(session: Session) -> None:
    subscribe(session, "acme", "free", start=JAN, now=JAN)
    refresh(session)
    cursor = verdict_feed(session, None).cursor
    refresh(session, at("2026-01-10T12:01"))
    assert verdict_feed(session, cursor).cursor == cursor


def test_the_delta_names_only_who_changed(session: Session) -> None:
    add_customer(session, "globex", "carol")
    subscribe(session, "acme", "free", start=JAN, now=JAN)
    subscribe(session, "globex", "free", start=JAN, now=JAN)
    refresh(session)
    cursor = verdict_feed(session, None).cursor
    use(session, "carol", NOW, 10)
    refresh(session)
    assert limits(session, cursor) == {"carol": ["flights_ok deny 10/10"]}


def test_a_consumer_that_is_unmapped_is_removed(session: Session) -> None:
    subscribe(session, "acme", "free", start=JAN, now=JAN)
    refresh(session)
    cursor = verdict_feed(session, None).cursor
    mapping = next(one for one in list_mappings(session) if one.value == "consumer:alice")
    end_mapping(session, mapping.id, at=at("2026-01-10T11:00"))
    refresh(session)
    feed = verdict_feed(session, cursor)
    assert (feed.is_full, feed.removed, feed.subjects) == (False, ["consumer:alice"], [])
    assert "alice" not in limits(session)


def test_a_consumer_that_changes_hands_gets_the_other_s_limits(session: Session) -> None:
    add_customer(session, "globex", "carol")
    subscribe(session, "globex", "free", start=JAN, now=JAN)
    use(session, "carol", NOW, 10)
    mapping = next(one for one in list_mappings(session) if one.value == "consumer:alice")
    end_mapping(session, mapping.id, at=at("2026-01-10T11:00"))
    map_consumer(session, "globex", "subject", "consumer:alice", since=at("2026-01-10T11:00"), now=NOW)
    refresh(session)
    assert limits(session)["alice"] == ["flights_ok deny 10/10"]


@pytest.mark.parametrize("cursor", ["", "17", "beef.1", "nonsense", "....", "9" * 40])
def test_an_unknown_cursor_gets_everything(session: Session, cursor: str) -> None:
    refresh(session)
    feed = verdict_feed(session, cursor)
    assert feed.is_full
    assert len(feed.subjects) == 2


def test_a_cursor_from_the_future_gets_everything_as_after_a_restored_backup(session: Session) -> None:
    refresh(session)
    epoch, _, version = verdict_feed(session, None).cursor.partition(".")
    assert verdict_feed(session, f"{epoch}.{int(version) + 5}").is_full


def test_before_the_first_refresh_the_feed_is_empty_and_full(session: Session) -> None:
    feed = verdict_feed(session, None)
    assert (feed.is_full, feed.subjects) == (True, [])


def test_a_survey_that_another_refresh_overtook_changes_nothing(session: Session) -> None:
    """The slow one surveyed in January; when it comes to apply, another has begun February."""
    subscribe(session, "acme", "free", start=JAN, now=JAN)
    use(session, "alice", NOW, 10)
    refresh(session)
    use(session, "alice", NOW)
    slow = survey_usage(session, now=NOW)
    refresh(session, FEB)
    assert not refresh_verdicts(session, now=NOW, survey=slow).is_complete
    assert only_limit(session)["resets_at"] == "2026-03-01T00:00:00.000Z"


def test_a_paused_subscription_refuses_what_it_is_about_until_it_is_resumed(session: Session) -> None:
    add_plan(session, "metered", per_unit("calls", "calls"))
    one = subscribe(session, "acme", "free", start=JAN, now=JAN)
    other = subscribe(session, "acme", "metered", start=JAN, now=JAN)
    use(session, "alice", NOW, 3)
    refresh(session)
    assert limits(session)["alice"] == ["flights_ok allow 3/10"]
    pause(session, one.id, at="now", now=NOW)
    pause(session, other.id, at="now", now=NOW)
    refresh(session)
    # also what is only priced: it would pass for nothing
    assert sorted(limits(session)["alice"]) == ["calls deny 3/0", "flights_ok deny 3/0"]
    told = [limit for one in verdict_feed(session, None).subjects for limit in one["limits"]]
    assert {(limit["code"], limit["status"], limit["reason"]) for limit in told} == {
        ("subscription_paused", 402, "the subscription is paused")
    }
    resume(session, one.id, now=NOW)
    resume(session, other.id, now=NOW)
    refresh(session)
    assert limits(session)["alice"] == ["flights_ok allow 3/10"]


def test_a_pause_that_was_planned_begins_and_ends_by_the_clock(session: Session) -> None:
    one = subscribe(session, "acme", "free", start=JAN, now=JAN)
    pause(session, one.id, at=at("2026-01-11"), until=at("2026-01-12"), now=NOW)
    refresh(session)
    assert only_limit(session)["state"] == "allow"
    refresh(session, at("2026-01-11T01:00"))
    assert only_limit(session)["state"] == "deny"
    refresh(session, at("2026-01-12T01:00"))
    assert only_limit(session)["state"] == "allow"


def test_a_switch_of_an_add_on_is_refused_to_those_without_it(session: Session) -> None:
    add_add_on(session, "beta", switch("calls", "calls"))
    one = subscribe(session, "acme", "pro", start=JAN, now=JAN)
    refresh(session)
    assert "calls deny 0/0" in limits(session)["alice"]
    attach(session, one.id, AddOnDraft("beta"), at="now", now=NOW)
    refresh(session)
    assert limits(session)["alice"] == ["flights_ok allow 0/1000"]


def test_a_limit_grows_with_an_add_on_and_shrinks_when_it_ends(session: Session) -> None:
    add_add_on(session, "more", metered("flights", "flights_ok", "500"))
    one = subscribe(session, "acme", "pro", start=JAN, now=JAN)
    attach(session, one.id, AddOnDraft("more", until=at("2026-01-12")), at="now", now=NOW)
    refresh(session)
    assert limits(session)["alice"] == ["flights_ok allow 0/1500"]
    refresh(session, at("2026-01-12T01:00"))
    assert limits(session)["alice"] == ["flights_ok allow 0/1000"]
