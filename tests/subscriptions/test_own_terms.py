"""Add-ons and overrides: what is refused, what never changes, what they entitle to."""

from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import delete, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from tests.shop import add_add_on, add_customer, add_feature, add_phased_plan, add_plan, at, flat, metered, per_unit
from tollkeeper.entitlements.allotments import allotments_at
from tollkeeper.errors import Conflict, InvalidInput, NotFound
from tollkeeper.subscriptions.add_ons import AddOnDraft, attach, set_add_on_quantity
from tollkeeper.subscriptions.billing_periods import billing_periods
from tollkeeper.subscriptions.change_plan import change_plan
from tollkeeper.subscriptions.override import Act, OverrideDraft, override
from tollkeeper.subscriptions.subscribe import subscribe
from tollkeeper.subscriptions.tables import Subscription, SubscriptionOverride
from tollkeeper.subscriptions.timeline import load_timeline

JAN, FEB, MAR = at("2026-01-01"), at("2026-02-01"), at("2026-03-01")
MID = at("2026-01-16T12:00")
ONE = Decimal(1)


@pytest.fixture
def pro(session: Session) -> Subscription:
    add_feature(session, "calls")
    add_feature(session, "chats")
    add_plan(session, "pro", flat(), metered("calls", "calls", "1000"), per_unit("chats", "chats"))
    add_customer(session, "acme")
    return subscribe(session, "acme", "pro", start=JAN, now=JAN)


def quotas(session: Session, subscription: Subscription) -> list[str]:
    found = allotments_at(load_timeline(session, subscription), MID)
    return [f"{one.feature_key} {one.quota.limit}" if one.quota else one.feature_key for one in found]


def charges(session: Session, subscription: Subscription) -> list[str]:
    found = billing_periods(session, subscription, since=JAN, until=FEB)
    return sorted(
        f"{one.rate_card.key} {one.start:%m-%d}..{one.end:%m-%d} {one.quantity}"
        for one in found
        if one.start < FEB and one.rate_card.price is not None and one.rate_card.price.type == "flat"
    )


def test_an_add_on_s_limit_is_added_to_the_plan_s_as_often_as_there_are(session: Session, pro: Subscription) -> None:
    add_add_on(session, "more", metered("calls", "calls", "500"), instances="multiple")
    attach(session, pro.id, AddOnDraft("more", Decimal(3)), at="now", now=JAN)
    assert quotas(session, pro) == ["calls 2500"]
    set_add_on_quantity(session, pro.id, "more", ONE, at="now", now=JAN)
    assert quotas(session, pro) == ["calls 1500"]


def test_an_add_on_never_limits_what_the_plan_gives_without_a_limit(session: Session, pro: Subscription) -> None:
    """The plan prices chats and does not limit them."""
    add_add_on(session, "pack", metered("chats", "chats", "10"))
    attach(session, pro.id, AddOnDraft("pack"), at="now", now=JAN)
    assert quotas(session, pro) == ["calls 1000"]


def test_a_feature_of_the_add_on_alone_is_allowed_within_its_limit(session: Session, pro: Subscription) -> None:
    add_feature(session, "exports")
    add_add_on(session, "exports", metered("exports", "exports", "10"))
    attach(session, pro.id, AddOnDraft("exports"), at="now", now=JAN)
    assert quotas(session, pro) == ["calls 1000", "exports 10"]


def test_a_limit_of_another_usage_period_than_the_plan_s_is_refused(session: Session, pro: Subscription) -> None:
    add_add_on(session, "daily", metered("calls", "calls", "10", usage_period="P1D"))
    with pytest.raises(InvalidInput, match="is P1D, but the plan's limit on 'calls' is per P1M"):
        attach(session, pro.id, AddOnDraft("daily"), at="now", now=JAN)


@pytest.mark.parametrize(
    ("quantity", "until", "path"),
    [("2", None, "/quantity"), ("0", None, "/quantity"), ("0.5", None, "/quantity"), ("1", JAN, "/until")],
)
def test_a_wrong_add_on_is_refused_at_its_place(
    session: Session, pro: Subscription, quantity: str, until: datetime | None, path: str
) -> None:
    add_add_on(session, "care", flat())
    with pytest.raises(InvalidInput) as refused:
        attach(session, pro.id, AddOnDraft("care", Decimal(quantity), until), at="now", now=JAN)
    assert [one.path for one in refused.value.fields] == [path]


def test_an_add_on_is_attached_once_and_a_plan_is_none(session: Session, pro: Subscription) -> None:
    add_add_on(session, "care", flat())
    attach(session, pro.id, AddOnDraft("care"), at="now", now=JAN)
    with pytest.raises(Conflict, match="is attached from 2026-01-01"):
        attach(session, pro.id, AddOnDraft("care"), at=MID, now=JAN)
    with pytest.raises(NotFound, match="no add-on 'pro'"):
        attach(session, pro.id, AddOnDraft("pro"), at="now", now=JAN)
    with pytest.raises(NotFound, match="no plan 'care'"):
        change_plan(session, pro.id, "care", at="now", now=JAN)
    with pytest.raises(Conflict, match="is the key of a plan or an add-on already"):
        add_plan(session, "care", flat())


def test_an_add_on_in_another_currency_is_refused(session: Session, pro: Subscription) -> None:
    add_add_on(session, "care", flat(), currency="EUR")
    with pytest.raises(InvalidInput, match="/add_on: is priced in EUR, but the customer's currency is USD"):
        attach(session, pro.id, AddOnDraft("care"), at="now", now=JAN)


def test_what_is_not_attached_has_no_quantity(session: Session, pro: Subscription) -> None:
    add_add_on(session, "care", flat())
    attach(session, pro.id, AddOnDraft("care"), at=FEB, now=JAN)
    with pytest.raises(Conflict, match="is not attached at that time"):
        set_add_on_quantity(session, pro.id, "care", ONE, at="now", now=JAN)


def test_fees_of_add_ons_and_of_overrides_tile_the_month(session: Session, pro: Subscription) -> None:
    add_add_on(session, "seat", flat(amount="5.00"), instances="multiple")
    attach(session, pro.id, AddOnDraft("seat", Decimal(2)), at="now", now=JAN)
    set_add_on_quantity(session, pro.id, "seat", Decimal(3), at=at("2026-01-11"), now=JAN)
    override(session, pro.id, draft("set", price=flat(amount="9.00")["price"]), at=at("2026-01-21"), now=JAN)
    assert charges(session, pro) == [
        "fee 01-01..01-21 1",
        "fee 01-21..02-01 1",
        "seat/fee 01-01..01-11 2",
        "seat/fee 01-11..02-01 3",
    ]


def draft(act: Act, rate_card: str = "fee", phase: str | None = None, **terms: Any) -> OverrideDraft:
    return OverrideDraft(act, rate_card, terms, phase)


@pytest.mark.parametrize(
    ("wrong", "path"),
    [
        (draft("set", "gold", price={"type": "flat", "amount": "1"}), "/rate_card"),
        (draft("add", price={"type": "flat", "amount": "1"}), "/rate_card"),
        (draft("set", feature="calls"), "/terms/feature"),
        (draft("set", price={"type": "flat", "amount": "-1"}), "/terms/price/amount"),
        (draft("set", commitments={"minimum_amount": "1"}), "/terms/commitments"),
        (draft("add", "gold", feature="nothing", price={"type": "unit", "amount": "1"}), "/terms/feature"),
        (draft("set", phase="trial", price={"type": "flat", "amount": "1"}), "/phase"),
    ],
)
def test_a_wrong_override_is_refused_at_its_place(
    session: Session, pro: Subscription, wrong: OverrideDraft, path: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        override(session, pro.id, wrong, at="now", now=JAN)
    assert [one.path for one in refused.value.fields] == [path]


def test_the_past_has_no_override(session: Session, pro: Subscription) -> None:
    with pytest.raises(InvalidInput, match="/at: is in the past"):
        override(session, pro.id, draft("drop"), at=JAN, now=MID)


def test_an_override_is_about_one_phase(session: Session) -> None:
    """The trial's fee of 0 is not the agreed one."""
    add_phased_plan(
        session,
        "tried",
        {"key": "trial", "duration": "P1M", "rate_cards": [flat(amount="0")]},
        {"key": "standard", "rate_cards": [flat()]},
    )
    add_customer(session, "acme")
    one = subscribe(session, "acme", "tried", start=JAN, now=JAN)
    agreed = draft("set", phase="standard", price={"type": "flat", "amount": "15.00"})
    override(session, one.id, agreed, at="now", now=JAN)
    found = billing_periods(session, one, since=JAN, until=MAR)
    prices = [getattr(charge.rate_card.price, "amount", None) for charge in found if charge.start < MAR]
    assert prices == [Decimal(0), Decimal("15.00")]


@pytest.mark.parametrize("change", ["update", "delete"])
def test_an_override_never_changes_below_every_program(session: Session, pro: Subscription, change: str) -> None:
    row = override(session, pro.id, draft("drop"), at="now", now=JAN)
    mine = SubscriptionOverride.id == row.id
    act = update(SubscriptionOverride).where(mine).values(is_reset=True)
    with pytest.raises(IntegrityError, match="a price override never changes"), session.begin_nested():
        session.execute(act if change == "update" else delete(SubscriptionOverride).where(mine))


def test_a_plan_that_lacks_the_subscription_s_currency_is_no_plan_for_it(session: Session, pro: Subscription) -> None:
    add_plan(session, "euro", flat(), currency="EUR")
    with pytest.raises(InvalidInput, match="/plan: is priced in EUR, but the customer's currency is USD"):
        change_plan(session, pro.id, "euro", at="now", now=JAN)
