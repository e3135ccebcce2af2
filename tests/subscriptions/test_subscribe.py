"""Subscribing: now, later, backdated; who may not."""

from dataclasses import replace
from decimal import Decimal

import pytest
from sqlalchemy.orm import Session

from tests.shop import add_customer, add_plan, at, flat
from tollkeeper.customers.customers import archive_customer
from tollkeeper.errors import Conflict, InvalidInput, NotFound
from tollkeeper.subscriptions.cancel import cancel
from tollkeeper.subscriptions.change_plan import change_plan
from tollkeeper.subscriptions.state import SubscriptionState, state_at
from tollkeeper.subscriptions.subscribe import DEFAULTS, subscribe
from tollkeeper.subscriptions.timeline import load_timeline
from tollkeeper.subscriptions.undo import undo

NOW = at("2026-01-10T12:00")


@pytest.fixture(autouse=True)
def shop(session: Session) -> None:
    add_plan(session, "pro", flat())
    add_customer(session, "acme", time_zone="Europe/Berlin")


def test_a_subscription_starts_at_once_on_the_published_version(session: Session) -> None:
    version = add_plan(session, "pro", flat(amount="30.00"))
    subscription = subscribe(session, "acme", "pro", start=NOW, now=NOW)
    assert subscription.plan_version_id == version.id
    assert (subscription.anchor, subscription.time_zone) == (NOW, "Europe/Berlin")
    assert state_at(subscription, NOW) is SubscriptionState.ACTIVE
    assert subscription.next_due_at == NOW, "the fee in advance is due"


def test_a_later_start_is_scheduled_until_then(session: Session) -> None:
    subscription = subscribe(session, "acme", "pro", start=at("2026-02-01"), now=NOW)
    assert state_at(subscription, NOW) is SubscriptionState.SCHEDULED
    assert load_timeline(session, subscription).segment_at(NOW) is None
    assert subscription.next_due_at == at("2026-02-01")


def test_a_backdated_start_is_due_from_its_beginning(session: Session) -> None:
    subscription = subscribe(session, "acme", "pro", start=at("2025-11-01"), now=NOW)
    assert subscription.next_due_at == at("2025-11-01")


def test_a_second_subscription_to_the_same_plan_is_refused(session: Session) -> None:
    subscribe(session, "acme", "pro", start=NOW, now=NOW)
    with pytest.raises(Conflict, match="is on plan 'pro' since 2026-01-10"):
        subscribe(session, "acme", "pro", start=at("2027-01-01"), now=NOW)


def test_after_the_end_the_same_plan_may_be_taken_again(session: Session) -> None:
    first = subscribe(session, "acme", "pro", start=at("2026-01-01"), now=NOW)
    cancel(session, first.id, at=at("2026-02-01"), now=NOW)
    with pytest.raises(Conflict):
        subscribe(session, "acme", "pro", start=at("2026-01-31"), now=NOW)
    assert subscribe(session, "acme", "pro", start=at("2026-02-01"), now=NOW).started_at == at("2026-02-01")


def test_one_that_ends_before_another_starts_does_not_overlap(session: Session) -> None:
    subscribe(session, "acme", "pro", start=at("2026-06-01"), now=NOW)
    options = replace(DEFAULTS, ends_at=at("2026-06-01"))
    assert subscribe(session, "acme", "pro", start=NOW, now=NOW, options=options).ends_at == at("2026-06-01")


def test_two_different_plans_may_run_side_by_side(session: Session) -> None:
    add_plan(session, "support", flat())
    subscribe(session, "acme", "pro", start=NOW, now=NOW)
    subscribe(session, "acme", "support", start=NOW, now=NOW)


def test_a_plan_in_another_currency_is_refused(session: Session) -> None:
    add_plan(session, "euro", flat(), currency="EUR")
    with pytest.raises(InvalidInput, match="priced in EUR, but the customer's currency is USD"):
        subscribe(session, "acme", "euro", start=NOW, now=NOW)


def test_an_archived_customer_cannot_subscribe(session: Session) -> None:
    archive_customer(session, "acme", now=NOW)
    with pytest.raises(InvalidInput, match="archived"):
        subscribe(session, "acme", "pro", start=NOW, now=NOW)


def test_unknown_names_are_said_so(session: Session) -> None:
    with pytest.raises(NotFound, match="no customer 'nobody'"):
        subscribe(session, "nobody", "pro", start=NOW, now=NOW)
    with pytest.raises(NotFound, match="no plan 'gold'"):
        subscribe(session, "acme", "gold", start=NOW, now=NOW)


def test_a_quantity_needs_a_flat_rate_card(session: Session) -> None:
    options = replace(DEFAULTS, quantities={"seats": Decimal(3)})
    with pytest.raises(InvalidInput, match="/quantities/seats"):
        subscribe(session, "acme", "pro", start=NOW, now=NOW, options=options)


def test_an_end_before_the_start_is_refused(session: Session) -> None:
    with pytest.raises(InvalidInput, match="/ends_at"):
        subscribe(session, "acme", "pro", start=NOW, now=NOW, options=replace(DEFAULTS, ends_at=NOW))


def test_a_subscription_that_is_to_leave_the_plan_is_on_it_until_then(session: Session) -> None:
    """A second one would charge for the same usage twice until the change."""
    add_plan(session, "pro", flat())
    add_plan(session, "max", flat(amount="50.00"))
    first = subscribe(session, "acme", "pro", start=at("2026-01-01"), now=at("2026-01-01"))
    change_plan(session, first.id, "max", at=at("2026-02-01"), now=at("2026-01-02"))
    with pytest.raises(Conflict, match="until 2026-02-01"):
        subscribe(session, "acme", "pro", start=at("2026-01-05"), now=at("2026-01-05"))
    with pytest.raises(Conflict, match="is on plan 'max' since 2026-02-01"):
        subscribe(session, "acme", "max", start=at("2026-01-05"), now=at("2026-01-05"))
    assert subscribe(session, "acme", "pro", start=at("2026-02-01"), now=at("2026-01-05")).plan_key == "pro"
    with pytest.raises(Conflict, match="is on plan 'pro' since 2026-02-01"):
        undo(session, first.id, "change_plan", now=at("2026-01-06"))
