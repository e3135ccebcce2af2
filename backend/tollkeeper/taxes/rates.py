"""Make, end, list and find tax rates."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from tollkeeper.errors import Conflict, InvalidInput, NotFound
from tollkeeper.storage.ids import new_id
from tollkeeper.storage.locks import wait_for_turn
from tollkeeper.taxes.tables import TaxRate

COUNTRY = re.compile(r"[A-Z]{2}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TaxRateDraft:
    """A rate in a country; what is None of code and region holds for all that have no rate of their own."""

    name: str
    country: str
    percentage: Decimal
    tax_code: str | None = None
    region: str | None = None
    valid_from: datetime | None = None
    valid_to: datetime | None = None


def create_rate(session: Session, draft: TaxRateDraft, *, now: datetime) -> TaxRate:
    """Make a rate; raises InvalidInput for a wrong field, Conflict if another one holds there at some of the time."""
    if not draft.name.strip():
        raise InvalidInput.of("/name", "must not be empty: it stands on invoices")
    if not 0 <= draft.percentage <= 100:
        raise InvalidInput.of("/percentage", "has to be from 0 to 100")
    if not COUNTRY.fullmatch(draft.country):
        raise InvalidInput.of("/country", "is no ISO 3166 code of two letters, such as DE")
    if draft.valid_from is not None and draft.valid_to is not None and draft.valid_to <= draft.valid_from:
        raise InvalidInput.of("/valid_to", "has to be after valid_from")
    wait_for_turn(session, "tax_rates")
    _refuse_overlap(session, draft)
    rate = TaxRate(
        id=new_id("tax"),
        name=draft.name,
        tax_code=draft.tax_code,
        country=draft.country,
        region=draft.region,
        percentage=draft.percentage,
        valid_from=draft.valid_from,
        valid_to=draft.valid_to,
        created_at=now,
    )
    session.add(rate)
    session.flush()
    return rate


def _refuse_overlap(session: Session, draft: TaxRateDraft) -> None:
    query = select(TaxRate).where(
        TaxRate.country == draft.country,
        TaxRate.tax_code.is_not_distinct_from(draft.tax_code),
        TaxRate.region.is_not_distinct_from(draft.region),
    )
    if draft.valid_from is not None:
        query = query.where(or_(TaxRate.valid_to.is_(None), TaxRate.valid_to > draft.valid_from))
    if draft.valid_to is not None:
        query = query.where(or_(TaxRate.valid_from.is_(None), TaxRate.valid_from < draft.valid_to))
    other = session.scalars(query.order_by(TaxRate.id)).first()
    if other is not None:
        raise Conflict(f"tax rate {other.id} ({other.name}) holds there at that time; end it first")


def end_rate(session: Session, rate_id: str, *, at: datetime, now: datetime) -> TaxRate:
    """Let a rate hold no longer than until an instant from now on; raises NotFound, Conflict if it has ended."""
    rate = session.get(TaxRate, rate_id, with_for_update=True)
    if rate is None:
        raise NotFound(f"there is no tax rate {rate_id!r}")
    if rate.valid_to is not None and rate.valid_to <= at:
        if rate.valid_to == at:
            return rate
        raise Conflict(f"tax rate {rate_id} ends at {rate.valid_to.isoformat()} already")
    if at < now or (rate.valid_from is not None and at <= rate.valid_from):
        raise InvalidInput.of("/valid_to", "has to be now or later, and after valid_from")
    rate.valid_to = at
    session.flush()
    return rate


def list_rates(session: Session, *, after: str | None = None, limit: int = 100) -> Sequence[TaxRate]:
    """Return rates, oldest first, ended ones too, after the given id."""
    query = select(TaxRate).order_by(TaxRate.id).limit(limit)
    if after is not None:
        query = query.where(TaxRate.id > after)
    return session.scalars(query).all()


def rates_in(session: Session, country: str, region: str | None) -> Sequence[TaxRate]:
    """Return the rates that hold in a place at any time: its region's and its country's."""
    return session.scalars(
        select(TaxRate)
        .where(TaxRate.country == country, or_(TaxRate.region == region, TaxRate.region.is_(None)))
        .order_by(TaxRate.id)
    ).all()


def choose_rate(rates: Sequence[TaxRate], tax_code: str | None, *, at: datetime) -> TaxRate | None:
    """Return the closest of a place's rates at an instant: one for the code, else for any; its region's first."""
    return max(
        (rate for rate in rates if rate.tax_code in (None, tax_code) and holds_at(rate, at)),
        key=lambda rate: (rate.tax_code is not None, rate.region is not None),
        default=None,
    )


def holds_at(rate: TaxRate, at: datetime) -> bool:
    """Tell whether a rate holds at an instant; its end is exclusive."""
    return (rate.valid_from is None or rate.valid_from <= at) and (rate.valid_to is None or at < rate.valid_to)
