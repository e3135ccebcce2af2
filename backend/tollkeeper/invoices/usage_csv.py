"""The usage behind an invoice as CSV, an event a row: what a customer asks for who does not believe a quantity."""

from collections.abc import Iterator

from sqlalchemy import select
from sqlalchemy.orm import Session

from tollkeeper.customers.tables import Customer
from tollkeeper.invoices.settle import stretches_of
from tollkeeper.invoices.tables import BilledPeriod, Invoice, InvoiceLine
from tollkeeper.metering.csv_cells import csv_row
from tollkeeper.metering.event import instant_of
from tollkeeper.metering.read import source_names
from tollkeeper.metering.rows import id_of
from tollkeeper.usage.counted_events import counted_events
from tollkeeper.usage.usage_of import question_of

HEADER = (
    "rate_card", "feature", "period_start", "period_end", "customer", "time", "source", "id", "subject", "value",
)  # fmt: skip


def usage_csv(session: Session, invoice: Invoice) -> Iterator[str]:
    """Yield the rows one by one: the events that each usage charge of the invoice counted, in the order of time.

    They are those of today, as in an export: of a charge that was corrected since, they are the correction's. The
    session has to stay open until the last row.
    """
    yield csv_row(HEADER)
    sources = source_names(session)
    keys: dict[str, str] = {}
    for row in _charges(session, invoice):
        question = question_of(session, row.proof["feature"])
        about = (row.rate_card_key, row.proof["feature"], row.period_start, row.period_end)
        for counted in counted_events(session, question, stretches_of(row)):
            if counted.customer_id not in keys:
                keys[counted.customer_id] = session.get_one(Customer, counted.customer_id).key
            event = counted.event
            texts = (sources[event.source_id], id_of(event.id_key, event.id_text), event.facts.subject or "")
            yield csv_row((*about, keys[counted.customer_id], instant_of(event.time_us), *texts, counted.value))


def _charges(session: Session, invoice: Invoice) -> list[BilledPeriod]:
    rows = session.scalars(
        select(BilledPeriod)
        .where(BilledPeriod.id.in_(select(InvoiceLine.billed_period_id).where(InvoiceLine.invoice_id == invoice.id)))
        .order_by(BilledPeriod.id)
    )
    return [row for row in rows if row.proof["feature"] is not None]
