"""Sentences about coupons, taxes and credit, for the stories, and of voids and payments."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from tests.scenarios.document_acts import TIME, instant
from tollkeeper.coupons.coupons import CouponDraft, create_coupon
from tollkeeper.coupons.redeem import redeem_coupon
from tollkeeper.coupons.tables import Duration
from tollkeeper.credits.expire import expire_due_grants
from tollkeeper.credits.grants import GrantDraft, grant_credit
from tollkeeper.credits.tables import GrantKind
from tollkeeper.credits.top_up import TopUpTerms, set_top_up
from tollkeeper.customers.customers import get_customer, update_customer
from tollkeeper.invoices.close_invoice import AfterVoid, void_invoice
from tollkeeper.invoices.legal_entities import save_legal_entity
from tollkeeper.invoices.pay import mark_paid
from tollkeeper.invoices.tables import DEFAULT_LEGAL_ENTITY
from tollkeeper.money import parse_minor
from tollkeeper.subscriptions.tables import Subscription
from tollkeeper.taxes.rates import TaxRateDraft, create_rate

BEGINNING = datetime(2020, 1, 1, tzinfo=UTC)


def coupon(story: Any, code: str, worth: str, unit: str, terms: str) -> None:
    """Make a coupon; its terms are how long, on what, and how many."""
    periods, features, most = (
        re.search(pattern, terms) for pattern in (r" for (\d+) invoices", r" on ([\w+]+)", r" at most (\d+) times")
    )
    duration = Duration.REPEATING if periods else Duration.FOREVER if " for ever" in terms else Duration.ONCE
    worths: dict[str, Any] = (
        {"percentage": Decimal(worth)}
        if unit == "%"
        else {"amount_minor": parse_minor(worth, unit, "/amount"), "currency": unit}
    )
    draft = CouponDraft(
        code=code,
        name=code.capitalize(),
        duration=duration,
        periods=int(periods[1]) if periods else None,
        features=features[1].split("+") if features else (),
        max_redemptions=int(most[1]) if most else None,
        **worths,
    )
    with story.database.transaction() as session:
        create_coupon(session, draft, now=BEGINNING)


def redeem(story: Any, time: str, key: str, code: str, is_for_subscription: str | None) -> None:
    """Redeem a code for a customer, or for its subscription."""
    with story.database.transaction() as session:
        customer = get_customer(session, key)
        one = session.query(Subscription).filter_by(customer_id=customer.id).first() if is_for_subscription else None
        redeem_coupon(session, key, code, subscription_id=one.id if one else None, now=instant(time))


def grant(story: Any, time: str, key: str, amount: str, kind: str, terms: str) -> None:
    """Grant prepaid credit; its terms are a name, an end and a priority, if any."""
    named, until, priority = (
        re.search(pattern, terms) for pattern in (r" named (\w+)", rf" until ({TIME})", r" with priority (\d+)")
    )
    with story.database.transaction() as session:
        draft = GrantDraft(
            kind=GrantKind(kind),
            amount_minor=parse_minor(amount, get_customer(session, key).currency, "/amount"),
            name=named and named[1],
            expires_at=instant(until[1]) if until else None,
            priority=int(priority[1]) if priority else 10,
        )
        grant_credit(session, key, draft, now=instant(time))


def top_up(story: Any, time: str, key: str, amount: str, threshold: str) -> None:
    """Let a customer be charged for a top-up whenever its credit falls below a threshold."""
    with story.database.transaction() as session:
        customer = get_customer(session, key)
        minor, below = (parse_minor(one, customer.currency, "/amount") for one in (amount, threshold))
        set_top_up(
            session, customer.id, customer.currency, TopUpTerms(below, minor, is_charged=True), now=instant(time)
        )


def charge_tax(story: Any, country: str, inside: str | None, before: str | None) -> None:
    """Let the default legal entity charge tax by the rates here, and say which credit is drawn before it."""
    changes: dict[str, Any] = {"address": {"country": country}, "tax_mode": "own", "prices_include_tax": bool(inside)}
    if before is not None:
        changes["credit_before_tax"] = "none" if before == "no" else before
    with story.database.transaction() as session:
        save_legal_entity(session, DEFAULT_LEGAL_ENTITY, changes)


def tax_rate(story: Any, name: str, worth: str, place: str, terms: str) -> None:
    """Make a tax rate; its terms are a tax code, a beginning and an end."""
    code, since, until = (
        re.search(pattern, terms) for pattern in (r" for (\w+)", rf" since ({TIME})", rf" until ({TIME})")
    )
    country, _, region = place.partition("/")
    draft = TaxRateDraft(
        name=name,
        country=country,
        region=region or None,
        percentage=Decimal(worth),
        tax_code=code and code[1],
        valid_from=since and instant(since[1]),
        valid_to=until and instant(until[1]),
    )
    with story.database.transaction() as session:
        create_rate(session, draft, now=BEGINNING)


def live(story: Any, key: str, place: str, tax_id: str | None, exemption: str | None) -> None:
    """Say where a customer is, with which VAT id, and whether it is exempt or owes the tax itself."""
    country, _, region = place.partition("/")
    changes = {
        "address": {"country": country, "state": region or None},
        "tax_ids": [{"type": "eu_vat", "value": tax_id}] if tax_id else [],
        "tax_exemption": exemption or "none",
    }
    with story.database.transaction() as session:
        update_customer(session, key, changes)


def void(story: Any, time: str, number: str, forgive: str | None) -> None:
    """Void an invoice."""
    then = AfterVoid.FORGIVE if forgive else AfterVoid.BILL_AGAIN
    with story.database.transaction() as session:
        void_invoice(session, number, then=then, now=instant(time))


def pay(story: Any, time: str, number: str) -> None:
    """Pay an invoice."""
    with story.database.transaction() as session:
        mark_paid(session, number, now=instant(time))


def expire(story: Any, time: str) -> None:
    """Run the job that expires credit."""
    with story.database.transaction() as session:
        expire_due_grants(session, now=instant(time))


TERMS = rf"(?: named \w+)?(?: until {TIME})?(?: with priority \d+)?"
MONEY_SENTENCES: list[tuple[str, Callable[..., None]]] = [
    (rf"({TIME}) void (INV-\d+)( and forgive)?", void),
    (rf"({TIME}) pay (INV-\d+)", pay),
    (rf"({TIME}) expire credit", expire),
    (rf"({TIME}) grant (\w+) ([\d.]+) [A-Z]{{3}} of (promotional|paid|external) credit({TERMS})", grant),
    (rf"({TIME}) (\w+) is charged ([\d.]+) whenever its credit is below ([\d.]+)", top_up),
    (
        r"tax is charged in ([A-Z]{2})( inside of prices)?(?:, after (no|promotional|all) credit)?",
        charge_tax,
    ),
    (
        rf"tax (\w+) of ([\d.]+) % in ([A-Z/]+)((?: for \w+)?(?: since {TIME})?(?: until {TIME})?)",
        tax_rate,
    ),
    (r"(\w+) is in ([A-Z/]+)(?: with VAT id (\w+))?(?:, (exempt|reverse))?", live),
    (r"coupon ([A-Z0-9_-]+): ([\d.]+) (%|[A-Z]{3}) off(.*)", coupon),
    (rf"({TIME}) (\w+) redeems ([A-Z0-9_-]+)( for its subscription)?", redeem),
]
