"""What the demo did, from what the backend says, beside what the clients saw."""

import json
from dataclasses import asdict, dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tollkeeper.demo.api import BackendApi
from tollkeeper.demo.story import CUSTOMERS, PAYING
from tollkeeper.demo.traffic import Seen


@dataclass(frozen=True)
class ConsumerRow:
    """One consumer: what it sent and was refused (its own view), what is stored and billed (the backend's)."""

    consumer: str
    customer: str
    sent: int
    refused: int
    stored: int
    billed: int


@dataclass(frozen=True)
class ShareRow:
    """What one customer used of a line's charge, and what of the line's amount is for it."""

    customer: str
    quantity: str
    amount: str


@dataclass(frozen=True)
class LineRow:
    """One line of an invoice: `customer` is whose plan it is, `shares` who used it if that is not it alone."""

    customer: str
    kind: str
    description: str
    quantity: str
    amount: str
    shares: list[ShareRow]

    @property
    def adds_up(self) -> bool:
        """Tell whether the shares, where there are any, are the whole amount."""
        return not self.shares or sum(Decimal(share.amount) for share in self.shares) == Decimal(self.amount)


@dataclass(frozen=True)
class InvoiceRow:
    """One issued invoice as the API shows it; `is_verified`: recomputed from the raw events, every line is equal."""

    number: str
    customer: str
    currency: str
    total: str
    lines: list[LineRow]
    is_verified: bool
    stripe_id: str | None
    stripe_status: str | None
    stripe_is_stand_in: bool


@dataclass(frozen=True)
class Summary:
    """The demo's result; `problems` is empty if everything adds up."""

    requests_sent: int
    events_stored: int
    duplicates: int
    refused: int
    requests_by_status: dict[str, int]
    output_tokens: int
    consumers: list[ConsumerRow]
    invoices: list[InvoiceRow]
    restarts: dict[str, int]
    problems: list[str] = field(default_factory=list)

    def to_json(self) -> str:
        """Write the summary as one JSON object."""
        return json.dumps(asdict(self), indent=2)


@dataclass(frozen=True)
class Month:
    """The month of the story, and the backend to ask about it."""

    api: BackendApi
    start: datetime
    end: datetime

    def count(self, meter: str) -> int:
        """Return a meter's total."""
        return sum(self.count_by_consumer(meter).values())

    def count_by_consumer(self, meter: str) -> dict[str, int]:
        """Return a meter's total for each consumer."""
        span = {"from": self.start.isoformat(), "to": self.end.isoformat()}
        rows = self.api.get(f"/meters/{meter}/query", **span, group_by="consumer")["rows"]
        return {str(row["group"]["consumer"]): int(row["value"]) for row in rows}


def summarize(month: Month, seen: dict[str, Seen], spool: Path, restarts: dict[str, int]) -> Summary:
    """Ask the backend for its numbers and lay them beside the clients'."""
    statuses: dict[str, int] = {}
    for one in seen.values():
        for status, count in one.by_status.items():
            statuses[str(status)] = statuses.get(str(status), 0) + count
    consumers = _consumer_rows(month, seen)
    summary = Summary(
        requests_sent=sum(one.sent for one in seen.values()),
        events_stored=sum(row.stored for row in consumers),
        duplicates=json.loads((spool / "shipper.json").read_text())["duplicates"],
        refused=sum(one.refused for one in seen.values()),
        requests_by_status=dict(sorted(statuses.items())),
        output_tokens=month.count("output_tokens"),
        consumers=consumers,
        invoices=_invoice_rows(month.api),
        restarts=restarts,
    )
    summary.problems.extend(_find_problems(summary, seen))
    return summary


def print_summary(summary: Summary, console: Console) -> None:
    """Print the summary as tables for people."""
    traffic = Table(title="Traffic: sent = billed + refused", title_justify="left", show_footer=True)
    rows = summary.consumers
    for name, total in (("consumer", "all"), ("customer", "")):
        traffic.add_column(name, footer=total)
    for name in ("sent", "stored", "billed", "refused"):
        traffic.add_column(name, justify="right", footer=str(sum(getattr(row, name) for row in rows)))
    for row in rows:
        numbers = (row.sent, row.stored, row.billed, row.refused)
        traffic.add_row(row.consumer, row.customer, *(str(number) for number in numbers))
    console.print(traffic)
    invoices = Table(title="Invoices", title_justify="left")
    for name in ("number", "customer", "lines", "total", "Stripe"):
        invoices.add_column(name, justify="right" if name in {"lines", "total"} else "left")
    for invoice in summary.invoices:
        stripe = f"{invoice.stripe_id or '-'} ({invoice.stripe_status or 'not synced'})"
        note = " stand-in, not Stripe" if invoice.stripe_is_stand_in else ""
        total = f"{invoice.total} {invoice.currency}"
        invoices.add_row(invoice.number, invoice.customer, str(len(invoice.lines)), total, stripe + note)
    console.print(invoices)
    for problem in summary.problems:
        console.print(f"[bold red]does not add up:[/] {problem}")


def _consumer_rows(month: Month, seen: dict[str, Seen]) -> list[ConsumerRow]:
    stored = month.count_by_consumer("requests")
    refused = month.count_by_consumer("refused_requests")
    customer_of = {consumer: person.name for person in CUSTOMERS for consumer in person.consumers}
    return [
        ConsumerRow(
            consumer=consumer,
            customer=customer_of[consumer],
            sent=one.sent,
            refused=one.refused,
            stored=stored.get(consumer, 0) + refused.get(consumer, 0),
            billed=stored.get(consumer, 0),
        )
        for consumer, one in seen.items()
    ]


def _invoice_rows(api: BackendApi) -> list[InvoiceRow]:
    key_of = {customer["id"]: customer["key"] for customer in api.list_all("/customers")}
    rows = []
    for invoice in api.list_all("/invoices"):
        path = f"/invoices/{invoice['id']}"
        lines = api.get(f"{path}/lines")["items"]
        row = InvoiceRow(
            number=invoice["number"],
            customer=invoice["customer_key"],
            currency=invoice["currency"],
            total=invoice["total"],
            lines=[
                LineRow(
                    customer=key_of[line["customer"]],
                    shares=[
                        ShareRow(share["customer_key"], share["quantity"], share["amount"]) for share in line["shares"]
                    ],
                    **{name: line[name] for name in ("kind", "description", "quantity", "amount")},
                )
                for line in lines
            ],
            is_verified=api.get(f"{path}/verification")["is_equal"],
            **{name: invoice[name] for name in ("stripe_id", "stripe_status", "stripe_is_stand_in")},
        )
        rows.append(row)
    return sorted(rows, key=lambda row: row.number)


def _find_problems(summary: Summary, seen: dict[str, Seen]) -> list[str]:
    problems = [
        f"{row.consumer}: sent {row.sent}, but stored {row.stored} and billed {row.billed} + refused {row.refused}"
        for row in summary.consumers
        if not row.sent == row.stored == row.billed + row.refused
    ]
    tokens = sum(one.output_tokens for one in seen.values())
    if tokens != summary.output_tokens:
        problems.append(f"clients received {tokens} output tokens, {summary.output_tokens} are metered")
    if len(summary.invoices) != len(PAYING):
        problems.append(f"{len(PAYING)} customers have something to pay, {len(summary.invoices)} invoices are issued")
    for invoice in summary.invoices:
        if sum(Decimal(line.amount) for line in invoice.lines) != Decimal(invoice.total):
            problems.append(f"the lines of invoice {invoice.number} do not add up to its total")
        if not all(line.adds_up for line in invoice.lines):
            problems.append(f"the shares of a line of invoice {invoice.number} do not add up to it")
        if not invoice.is_verified:
            problems.append(f"invoice {invoice.number} does not follow from the raw events")
        if not invoice.stripe_id:
            problems.append(f"invoice {invoice.number} is not in Stripe")
    return problems
