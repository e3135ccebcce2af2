"""The first page: what happens now, and what wants doing."""

from datetime import timedelta

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from tollkeeper.customers.customers import get_customer, list_customers
from tollkeeper.invoices.preview import revenue_so_far
from tollkeeper.invoices.reading import list_invoices
from tollkeeper.metering.measure import Question
from tollkeeper.metering.meters import get_meter
from tollkeeper.usage.series import meter_totals
from tollkeeper.web.admin.series import last_days, series_by_day
from tollkeeper.web.context import snapshot, web_context

blueprint = Blueprint("today", __name__)

DAYS = 30
MOST_INVOICES = 6
# Pricing a customer's running periods takes a few milliseconds; above so many the sum is left to the reports.
MOST_PRICED_CUSTOMERS = 200
TILES = (
    ("requests", "Requests"),
    ("input_tokens", "Input tokens"),
    ("output_tokens", "Output tokens"),
    ("refused_requests", "Refused"),
)


@blueprint.get("/")
def show() -> ResponseReturnValue:
    """Show today's numbers, thirty days of requests and the last invoices."""
    now = web_context().clock.now()
    days = last_days(now, DAYS)
    with snapshot() as session:
        requests = series_by_day(session, Question(get_meter(session, "requests")), days)
        refused = series_by_day(session, Question(get_meter(session, "refused_requests")), days)
        invoices = list_invoices(session, limit=MOST_INVOICES)
        customers = {row.customer_id: get_customer(session, row.customer_id) for row in invoices}
        has_customers = bool(list_customers(session, limit=1))
    return render_template(
        "admin/today.html",
        days=days,
        series=[*requests, *refused],
        invoices=invoices,
        customers=customers,
        has_customers=has_customers,
        **_numbers(),
    )


@blueprint.get("/today/numbers")
def show_numbers() -> ResponseReturnValue:
    """Return today's numbers alone, for the page to refresh itself."""
    return render_template("admin/today_numbers.html", **_numbers())


@blueprint.get("/today/revenue")
def show_revenue() -> ResponseReturnValue:
    """Return what the running billing periods come to so far, by currency."""
    now = web_context().clock.now()
    sums: dict[str, int] = {}
    with snapshot() as session:
        customers = list_customers(session, limit=MOST_PRICED_CUSTOMERS + 1)
        is_complete = len(customers) <= MOST_PRICED_CUSTOMERS
        for customer in customers[:MOST_PRICED_CUSTOMERS]:
            amount = revenue_so_far(session, customer, now=now)
            if amount:
                sums[customer.currency] = sums.get(customer.currency, 0) + amount
    return render_template("admin/today_revenue.html", sums=sorted(sums.items()), is_complete=is_complete)


def _numbers() -> dict[str, object]:
    now = web_context().clock.now()
    today = last_days(now, 1)[0]
    keys = [key for key, _ in TILES]
    with snapshot() as session:
        of_today = meter_totals(session, keys, today.start, today.end)
        of_month = meter_totals(session, keys, today.end - timedelta(days=DAYS), today.end)
    return {"tiles": [(label, of_today[key], of_month[key]) for key, label in TILES], "as_of": now}
