"""What the demo did, from what the backend says, beside what the clients saw."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tollkeeper.demo.api import BackendApi
from tollkeeper.demo.story import CUSTOMERS
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
class InvoiceRow:
    """One issued invoice as the API shows it."""

    number: str
    customer: str
    currency: str
    total: str
    lines: int
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


def summarize(api: BackendApi, seen: dict[str, Seen], spool: Path, restarts: dict[str, int]) -> Summary:
    """Ask the backend for its numbers and lay them beside the clients'."""
    statuses: dict[str, int] = {}
    for one in seen.values():
        for status, count in one.by_status.items():
            statuses[str(status)] = statuses.get(str(status), 0) + count
    consumers = _consumer_rows(api, seen)
    summary = Summary(
        requests_sent=sum(one.sent for one in seen.values()),
        events_stored=sum(row.stored for row in consumers),
        duplicates=json.loads((spool / "shipper.json").read_text())["duplicates"],
        refused=sum(one.refused for one in seen.values()),
        requests_by_status=dict(sorted(statuses.items())),
        output_tokens=int(_total(api, "output_tokens")),
        consumers=consumers,
        invoices=[_invoice_row(invoice) for invoice in api.list_all("/invoices")],
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
        invoices.add_row(invoice.number, invoice.customer, str(invoice.lines), total, stripe + note)
    console.print(invoices)
    for problem in summary.problems:
        console.print(f"[bold red]does not add up:[/] {problem}")


def _consumer_rows(api: BackendApi, seen: dict[str, Seen]) -> list[ConsumerRow]:
    stored = _by_consumer(api, "requests")
    refused = _by_consumer(api, "refused_requests")
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


def _by_consumer(api: BackendApi, meter: str) -> dict[str, int]:
    answer = api.get(f"/meters/{meter}/query", group_by="consumer")
    return {row["group"]["consumer"]: int(row["value"]) for row in answer["rows"]}


def _total(api: BackendApi, meter: str) -> str:
    rows = api.get(f"/meters/{meter}/query")["rows"]
    return str(rows[0]["value"]) if rows else "0"


def _invoice_row(invoice: dict[str, Any]) -> InvoiceRow:
    return InvoiceRow(**{name: invoice[name] for name in InvoiceRow.__dataclass_fields__})


def _find_problems(summary: Summary, seen: dict[str, Seen]) -> list[str]:
    problems = [
        f"{row.consumer}: sent {row.sent}, but stored {row.stored} and billed {row.billed} + refused {row.refused}"
        for row in summary.consumers
        if not row.sent == row.stored == row.billed + row.refused
    ]
    tokens = sum(one.output_tokens for one in seen.values())
    if tokens != summary.output_tokens:
        problems.append(f"clients received {tokens} output tokens, {summary.output_tokens} are metered")
    payers = {person.name for person in CUSTOMERS if person.plan}
    if len(summary.invoices) != len(payers):
        problems.append(f"{len(payers)} customers pay for themselves, but {len(summary.invoices)} invoices are issued")
    problems += [f"invoice {one.number} is not in Stripe" for one in summary.invoices if not one.stripe_id]
    return problems
