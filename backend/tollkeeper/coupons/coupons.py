"""Make, find, list and archive coupons."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import select
from sqlalchemy.orm import Session

from tollkeeper.coupons.tables import Coupon, Duration
from tollkeeper.errors import Conflict, InvalidInput, NotFound
from tollkeeper.money import currency_exponent
from tollkeeper.storage.ids import new_id
from tollkeeper.storage.locks import wait_for_turn

CODE = re.compile(r"[A-Z0-9][A-Z0-9_-]{1,39}")
MOST_MINOR = 10**15
MOST_PERIODS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class CouponDraft:
    """What a code takes off: `percentage`, or `amount_minor` of a currency; from all features if none is named.

    `valid_from` and `valid_to` (exclusive) say when it may be redeemed.
    """

    code: str
    name: str
    percentage: Decimal | None = None
    amount_minor: int | None = None
    currency: str | None = None
    duration: Duration = Duration.ONCE
    periods: int | None = None
    features: Sequence[str] = ()
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    max_redemptions: int | None = None


def create_coupon(session: Session, draft: CouponDraft, *, now: datetime) -> Coupon:
    """Make a coupon, whose terms never change; raises InvalidInput for a wrong field, Conflict if the code is taken.

    Features need not be there yet: a coupon may be made before what it is for.
    """
    _check(draft, now=now)
    wait_for_turn(session, "coupons")
    if session.scalar(select(Coupon.id).where(Coupon.code == draft.code)) is not None:
        raise Conflict(
            f"a coupon with the code {draft.code!r} is there already; its terms never change: take a new code"
        )
    coupon = Coupon(
        id=new_id("cpn"),
        code=draft.code,
        name=draft.name,
        percentage=draft.percentage,
        amount_minor=draft.amount_minor,
        currency=draft.currency,
        duration=draft.duration.value,
        periods=draft.periods,
        features=sorted(set(draft.features)),
        valid_from=draft.valid_from or now,
        valid_to=draft.valid_to,
        max_redemptions=draft.max_redemptions,
        created_at=now,
        redemptions=0,
        archived_at=None,
    )
    session.add(coupon)
    session.flush()
    return coupon


def _check(draft: CouponDraft, *, now: datetime) -> None:
    if not CODE.fullmatch(draft.code):
        raise InvalidInput.of("/code", "takes 2 to 40 of A-Z, 0-9, _ and -, such as 'WELCOME-10'")
    if not draft.name.strip():
        raise InvalidInput.of("/name", "must not be empty: it stands on invoices")
    _check_worth(draft)
    if (draft.duration is Duration.REPEATING) != (draft.periods is not None):
        raise InvalidInput.of("/periods", "belongs to a repeating coupon, and only to that")
    if draft.periods is not None and not 1 <= draft.periods <= MOST_PERIODS:
        raise InvalidInput.of("/periods", f"has to be from 1 to {MOST_PERIODS}")
    if draft.valid_to is not None and draft.valid_to <= (draft.valid_from or now):
        raise InvalidInput.of("/valid_to", "has to be after valid_from")
    if draft.max_redemptions is not None and draft.max_redemptions < 1:
        raise InvalidInput.of("/max_redemptions", "has to be 1 or more")


def _check_worth(draft: CouponDraft) -> None:
    if (draft.percentage is None) == (draft.amount_minor is None):
        raise InvalidInput.of("/percentage", "give either percentage or amount, not both")
    if draft.percentage is not None and not 0 < draft.percentage <= 100:
        raise InvalidInput.of("/percentage", "has to be more than 0 and at most 100")
    if draft.amount_minor is not None and not 0 < draft.amount_minor <= MOST_MINOR:
        raise InvalidInput.of("/amount", "has to be more than zero and at most 10^15 of the smallest unit")
    if (draft.amount_minor is None) != (draft.currency is None):
        raise InvalidInput.of("/currency", "belongs to an amount, and only to that")
    if draft.currency is not None:
        currency_exponent(draft.currency)


def archive_coupon(session: Session, code: str, *, now: datetime) -> Coupon:
    """Let nobody redeem it any more; who has redeemed it keeps it. A repeat keeps the first instant."""
    coupon = get_coupon(session, code)
    if coupon.archived_at is None:
        coupon.archived_at = now
        session.flush()
    return coupon


def get_coupon(session: Session, code: str) -> Coupon:
    """Return a coupon by its code or id; raises NotFound."""
    coupon = session.scalars(select(Coupon).where((Coupon.code == code) | (Coupon.id == code))).first()
    if coupon is None:
        raise NotFound(f"there is no coupon {code!r}")
    return coupon


def list_coupons(session: Session, *, after: str | None = None, limit: int = 100) -> Sequence[Coupon]:
    """Return coupons, oldest first, archived ones too, after the given id."""
    query = select(Coupon).order_by(Coupon.id).limit(limit)
    if after is not None:
        query = query.where(Coupon.id > after)
    return session.scalars(query).all()
