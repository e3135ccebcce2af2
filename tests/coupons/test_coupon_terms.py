"""Coupons: what is refused, who gets the last one, what never changes."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from tollkeeper.coupons.coupons import CouponDraft, archive_coupon, create_coupon
from tollkeeper.coupons.redeem import redeem_coupon
from tollkeeper.coupons.tables import Coupon, CouponRedemption, Duration
from tollkeeper.customers.customers import CustomerDraft, create_customer
from tollkeeper.errors import Conflict, InvalidInput
from tollkeeper.storage.session import Database

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = datetime(2026, 6, 1, tzinfo=UTC)


def draft(**terms: Any) -> CouponDraft:
    return CouponDraft(**{"code": "TEN", "name": "Ten", "percentage": Decimal(10)} | terms)


def setup(database: Database, *customers: str, **terms: Any) -> None:
    with database.transaction() as session:
        create_coupon(session, draft(**terms), now=NOW)
        for key in customers:
            create_customer(session, CustomerDraft(key=key, name=key, currency="EUR"), now=NOW)


@pytest.mark.parametrize(
    ("terms", "path"),
    [
        ({"code": "ten"}, "/code"),
        ({"percentage": None}, "/percentage"),
        ({"amount_minor": 5, "currency": "EUR"}, "/percentage"),
        ({"percentage": Decimal("100.5")}, "/percentage"),
        ({"percentage": None, "amount_minor": 5}, "/currency"),
        ({"duration": Duration.REPEATING}, "/periods"),
        ({"periods": 3}, "/periods"),
        ({"valid_from": LATER, "valid_to": NOW}, "/valid_to"),
        ({"max_redemptions": 0}, "/max_redemptions"),
    ],
)
def test_wrong_terms_are_refused_beside_their_field(database: Database, terms: dict[str, Any], path: str) -> None:
    with database.transaction() as session, pytest.raises(InvalidInput) as refused:
        create_coupon(session, draft(**terms), now=NOW)
    assert refused.value.fields[0].path == path


def test_the_last_redemption_of_many_at_once_goes_to_one(database: Database) -> None:
    keys = [f"c{number}" for number in range(8)]
    setup(database, *keys, max_redemptions=3)

    def redeem(key: str) -> bool:
        try:
            with database.transaction() as session:
                redeem_coupon(session, key, "TEN", now=NOW)
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(redeem, keys)) == 3
    with database.snapshot() as session:
        assert session.scalars(select(Coupon.redemptions)).one() == 3
        assert len(session.scalars(select(CouponRedemption)).all()) == 3


@pytest.mark.parametrize(
    ("terms", "reason"),
    [
        ({"valid_from": LATER}, "valid from"),
        ({"valid_to": datetime(2026, 1, 1, 0, 0, 1, tzinfo=UTC)}, "valid until"),
        ({"percentage": None, "amount_minor": 5, "currency": "USD"}, "billed in EUR"),
    ],
)
def test_a_coupon_is_redeemed_only_where_it_holds(database: Database, terms: dict[str, Any], reason: str) -> None:
    setup(database, "acme", **terms)
    at = datetime(2026, 2, 1, tzinfo=UTC)
    with database.transaction() as session, pytest.raises(Conflict, match=reason):
        redeem_coupon(session, "acme", "TEN", now=at)


def test_an_archived_coupon_stays_with_those_who_have_it(database: Database) -> None:
    setup(database, "acme", "beta")
    with database.transaction() as session:
        first = redeem_coupon(session, "acme", "TEN", now=NOW).id
        archive_coupon(session, "TEN", now=NOW)
    with database.transaction() as session:
        assert redeem_coupon(session, "acme", "TEN", now=LATER).id == first
        with pytest.raises(Conflict, match="archived"):
            redeem_coupon(session, "beta", "TEN", now=LATER)


@pytest.mark.parametrize("statement", ["UPDATE coupons SET percentage = '99'", "DELETE FROM coupons"])
def test_the_database_refuses_other_terms(database: Database, statement: str) -> None:
    setup(database)
    with pytest.raises(DBAPIError, match="never change"), database.transaction() as session:
        session.execute(text(statement if "UPDATE" not in statement else "UPDATE coupons SET name = 'other'"))
