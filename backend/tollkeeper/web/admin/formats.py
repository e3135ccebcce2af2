"""How pages write numbers, money and times; the same everywhere, in UTC and in English."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from babel.dates import format_date
from flask import Flask

from tollkeeper.invoices.credit_note_tables import CreditNote
from tollkeeper.invoices.tables import Invoice
from tollkeeper.money import LOCALE, write_money, write_number, write_price

UNITS = {"D": "day", "W": "week", "M": "month", "Y": "year"}


def register_formats(app: Flask) -> None:
    """Make the formats known to every template."""
    app.jinja_env.filters.update(
        number=write_number,
        money=write_money,
        price=write_price,
        instant=write_instant,
        day=write_day,
        last_day=last_day,
        cadence=write_cadence,
        iso=write_iso,
        address=name_in_address,
    )


def write_cadence(cadence: str, is_counted: bool = False) -> str:  # noqa: FBT001, FBT002  # templates call it
    """Write P1M as "month" ("1 month" if it is counted), P3M as "3 months"."""
    count, unit = int(cadence[1:-1]), UNITS[cadence[-1]]
    if count == 1:
        return f"1 {unit}" if is_counted else unit
    return f"{count} {unit}s"


def write_instant(instant: datetime | None) -> str:
    """Write an instant to the minute, with its zone: 10 Mar 2026, 12:00 UTC."""
    if instant is None:
        return "never"
    return f"{write_day(instant)}, {instant.astimezone(UTC):%H:%M} UTC"


def write_day(day: datetime | None, zone: str = "UTC") -> str:
    """Write the day of an instant in a time zone: 10 Mar 2026."""
    return "–" if day is None else format_date(day.astimezone(ZoneInfo(zone)).date(), "d MMM y", locale=LOCALE)


def last_day(end: datetime, zone: str = "UTC") -> str:
    """Write the last day of a half-open period: its end is the next period's first instant."""
    return write_day(end - timedelta(microseconds=1), zone)


def write_iso(instant: datetime) -> str:
    """Write an instant for programs: 2026-03-10T12:00:00Z."""
    return instant.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def name_in_address(document: Invoice | CreditNote) -> str:
    """Return what names a document in a page's address: its number, its id if it has none or one with a slash."""
    number = document.number
    return document.id if number is None or "/" in number else number
