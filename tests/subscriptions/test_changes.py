"""Cancelling, changing the plan and the quantity; and what of it is billed anew."""

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

import pytest
from sqlalchemy.orm import Session

from tests.shop import add_customer, add_feature, add_phased_plan, add_plan, at, flat, per_unit
from tollkeeper.errors import Conflict, InvalidInput, NotFound
from tollkeeper.subscriptions.billing_periods import billing_periods, due_periods, due_subscriptions, mark_billed
from tollkeeper.subscriptions.cancel import cancel
from tollkeeper.subscriptions.change_plan import change_plan
from tollkeeper.subscriptions.set_quantity import set_quantity
from tollkeeper.subscriptions.state import SubscriptionState, state_at
from tollkeeper.subscriptions.subscribe import DEFAULTS, subscribe
from tollkeeper.subscriptions.tables import Subscription

JAN, FEB, MAR, APR = at("2026-01-01"), at("2026-02-01"), at("2026-03-01"), at("2026-04-01")
MID = at("2026-01-16T12:00")


@pytest.fixture
def pro(session: Session) -> Subscription:
    add_feature(session, "calls")
    add_plan(session, "pro", flat(), per_unit("calls", "calls"))
    add_plan(session, "max", flat(amount="50.00"), per_unit("calls", "calls"))
    add_customer(session, "acme")
    return subscribe(session, "acme", "pro", start=JAN, now=JAN)


def due(session: Session, subscription: Subscription, now: datetime) -> list[str]:
    """What falls due, as "card start..end fraction"."""
    return [
        f"{one.rate_card.key} {one.start:%m-%d}..{one.end:%m-%d} {one.fraction}"
        for one in due_periods(session, subscription, now=now)
    ]


def test_a_fee_in_advance_is_due_at_the_start_and_usage_at_the_end(session: Session, pro: Subscription) -> None:
    assert due(session, pro, JAN) == ["fee 01-01..02-01 1"]
    mark_billed(session, pro, until=JAN)
    assert pro.next_due_at == FEB
    assert due(session, pro, FEB) == ["calls 01-01..02-01 1", "fee 02-01..03-01 1"]


def test_what_was_billed_is_due_no_more(session: Session, pro: Subscription) -> None:
    mark_billed(session, pro, until=FEB)
    assert due(session, pro, FEB) == []
    assert due_subscriptions(session, now=FEB) == []
    assert [one.id for one in due_subscriptions(session, now=MAR)] == [pro.id]


def test_runs_that_were_missed_are_all_due_at_the_next(session: Session, pro: Subscription) -> None:
    mark_billed(session, pro, until=JAN)
    assert due(session, pro, MAR) == [
        "calls 01-01..02-01 1",
        "fee 02-01..03-01 1",
        "calls 02-01..03-01 1",
        "fee 03-01..04-01 1",
    ]


def test_an_end_now_cuts_the_fee_in_advance_again(session: Session, pro: Subscription) -> None:
    """1 to 16 January noon is 15.5 of 31 days: a half."""
    mark_billed(session, pro, until=JAN)
    cancel(session, pro.id, at="now", now=MID)
    assert pro.ends_at == MID
    assert due(session, pro, MID) == ["fee 01-01..01-16 1/2", "calls 01-01..01-16 1/2"]
    mark_billed(session, pro, until=MID)
    assert pro.next_due_at is None


def test_an_end_at_the_period_s_end_bills_the_whole_period_and_no_further_one(
    session: Session, pro: Subscription
) -> None:
    mark_billed(session, pro, until=JAN)
    cancel(session, pro.id, at="period_end", now=MID)
    assert pro.ends_at == FEB
    assert state_at(pro, at("2026-01-31")) is SubscriptionState.ACTIVE
    assert state_at(pro, FEB) is SubscriptionState.ENDED
    mark_billed(session, pro, until=MID)
    assert due(session, pro, APR) == ["calls 01-01..02-01 1"]


def test_an_end_may_be_moved_until_it_is_there(session: Session, pro: Subscription) -> None:
    cancel(session, pro.id, at=MAR, now=MID)
    cancel(session, pro.id, at=FEB, now=MID)
    assert pro.ends_at == FEB
    with pytest.raises(Conflict, match="has ended"):
        cancel(session, pro.id, at="now", now=FEB)


def test_an_end_in_the_past_is_refused(session: Session, pro: Subscription) -> None:
    with pytest.raises(InvalidInput, match="/at: is in the past"):
        cancel(session, pro.id, at=JAN, now=MID)


def test_one_that_is_cancelled_before_its_start_never_was(session: Session) -> None:
    add_plan(session, "pro", flat())
    add_customer(session, "acme")
    later = subscribe(session, "acme", "pro", start=MAR, now=JAN)
    cancel(session, later.id, at="now", now=MID)
    assert state_at(later, MAR) is SubscriptionState.ENDED
    assert due(session, later, APR) == []
    assert subscribe(session, "acme", "pro", start=MAR, now=MID).started_at == MAR


def test_a_change_now_splits_the_month_between_the_plans(session: Session, pro: Subscription) -> None:
    mark_billed(session, pro, until=JAN)
    change_plan(session, pro.id, "max", at="now", now=MID)
    assert due(session, pro, MID) == ["fee 01-01..01-16 1/2", "calls 01-01..01-16 1/2", "fee 01-16..02-01 1/2"]
    mark_billed(session, pro, until=MID)
    assert due(session, pro, FEB) == ["calls 01-16..02-01 1/2", "fee 02-01..03-01 1"]
    versions = {one.plan_version_id for one in billing_periods(session, pro, since=MID, until=FEB)}
    assert len(versions) == 2


def test_a_change_keeps_the_name_of_the_charge_that_it_cuts(session: Session, pro: Subscription) -> None:
    before = due_periods(session, pro, now=JAN)[0]
    mark_billed(session, pro, until=JAN)
    change_plan(session, pro.id, "max", at="now", now=MID)
    after = due_periods(session, pro, now=MID)[0]
    assert (after.term_id, after.rate_card.key, after.start) == (before.term_id, before.rate_card.key, before.start)
    assert (before.fraction, after.fraction) == (Fraction(1), Fraction(1, 2))


def test_a_change_at_the_period_s_end_waits_for_it_and_may_be_replaced(session: Session, pro: Subscription) -> None:
    change_plan(session, pro.id, "max", at="period_end", now=MID)
    mark_billed(session, pro, until=MID)
    assert due(session, pro, FEB) == ["calls 01-01..02-01 1", "fee 02-01..03-01 1"]
    add_plan(session, "mini", flat(amount="5.00"))
    change_plan(session, pro.id, "mini", at="period_end", now=MID)
    february = [one for one in billing_periods(session, pro, since=FEB, until=MAR) if one.start == FEB]
    assert [one.rate_card.price.amount for one in february if one.rate_card.price] == [Decimal("5.00")]


def test_a_change_to_the_same_version_is_refused_and_to_a_newer_one_is_not(session: Session, pro: Subscription) -> None:
    with pytest.raises(Conflict, match="on this version"):
        change_plan(session, pro.id, "pro", at="now", now=MID)
    add_plan(session, "pro", flat(amount="25.00"))
    assert change_plan(session, pro.id, "pro", at="now", now=MID).plan_key == "pro"


def test_a_change_to_a_plan_that_the_customer_has_already_is_refused(session: Session, pro: Subscription) -> None:
    subscribe(session, "acme", "max", start=JAN, now=JAN)
    with pytest.raises(Conflict, match="is on plan 'max'"):
        change_plan(session, pro.id, "max", at="now", now=MID)


def test_a_quantity_cuts_the_fee_but_not_the_usage(session: Session, pro: Subscription) -> None:
    mark_billed(session, pro, until=JAN)
    set_quantity(session, pro.id, "fee", Decimal(3), at="now", now=MID)
    fees = [(one.start, one.end, one.quantity) for one in due_periods(session, pro, now=MID)]
    assert fees == [(JAN, MID, Decimal(1)), (MID, FEB, Decimal(3))]
    mark_billed(session, pro, until=MID)
    assert due(session, pro, FEB) == ["calls 01-01..02-01 1", "fee 02-01..03-01 1"]


def test_a_quantity_of_usage_or_below_zero_is_refused(session: Session, pro: Subscription) -> None:
    with pytest.raises(InvalidInput, match="no rate card with a flat price"):
        set_quantity(session, pro.id, "calls", Decimal(3), at="now", now=MID)
    with pytest.raises(InvalidInput, match="negative"):
        set_quantity(session, pro.id, "fee", Decimal(-1), at="now", now=MID)


def test_a_trial_is_followed_by_the_paid_phase(session: Session) -> None:
    """A trial of one month from 31 January ends on 28 February."""
    trial = {"key": "trial", "duration": "P1M", "rate_cards": [flat(amount="0.00")]}
    add_phased_plan(session, "pro", trial, {"key": "paid", "rate_cards": [flat()]})
    add_customer(session, "acme")
    one = subscribe(session, "acme", "pro", start=at("2026-01-31"), now=JAN)
    periods = billing_periods(session, one, until=at("2026-04-01"))
    assert [(p.phase_key, p.start, p.end) for p in periods] == [
        ("trial", at("2026-01-31"), at("2026-02-28")),
        ("paid", at("2026-02-28"), at("2026-03-31")),
        ("paid", at("2026-03-31"), at("2026-04-30")),
    ]


def test_an_anchor_on_the_first_makes_a_short_first_period(session: Session) -> None:
    """16 January noon to 1 February is a half of January."""
    add_plan(session, "pro", flat())
    add_customer(session, "acme")
    one = subscribe(session, "acme", "pro", start=MID, now=MID, options=replace(DEFAULTS, anchor=JAN))
    assert due(session, one, FEB) == ["fee 01-16..02-01 1/2", "fee 02-01..03-01 1"]


def test_a_year_and_a_month_are_billed_side_by_side(session: Session) -> None:
    add_plan(session, "pro", flat("yearly", cadence="P1Y"), flat("monthly", term="in_arrears"))
    add_customer(session, "acme")
    one = subscribe(session, "acme", "pro", start=JAN, now=JAN)
    assert due(session, one, MAR) == ["yearly 01-01..01-01 1", "monthly 01-01..02-01 1", "monthly 02-01..03-01 1"]
    assert cancel(session, one.id, at="period_end", now=MID).ends_at == at("2027-01-01")


def test_an_unknown_subscription_is_said_so(session: Session) -> None:
    with pytest.raises(NotFound, match="no subscription 'sub_none'"):
        cancel(session, "sub_none", at="now", now=JAN)
