"""An invoice in the making: its charges, and what the steps after them have added so far."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from tollkeeper.customers.tables import Customer
from tollkeeper.invoices.tables import Invoice, InvoiceLine
from tollkeeper.storage.ids import new_id


@dataclass(slots=True)
class Bill:
    """The invoice, who pays it, and its lines in order; of a preview neither invoice nor lines are in the database.

    `now` is when it is issued, or looked at.
    """

    invoice: Invoice
    payer: Customer
    now: datetime
    lines: list[InvoiceLine] = field(default_factory=list)

    @property
    def total_minor(self) -> int:
        """Return what the lines come to so far."""
        return sum(line.amount_minor for line in self.lines)

    def line(self, kind: str, description: str, amount_minor: int, proof: Mapping[str, Any]) -> InvoiceLine:
        """Return a line of a step: the payer's, for the whole invoice; the caller may set more of it.

        Its place is given when the step is done (steps.py).
        """
        return InvoiceLine(
            id=new_id("line"),
            invoice_id=self.invoice.id,
            position=0,
            billed_period_id=None,
            customer_id=self.payer.id,
            subscription_id=None,
            plan_version_id=None,
            rate_card_key=None,
            kind=kind,
            description=description,
            quantity=Decimal(1),
            unit_price=None,
            amount_minor=amount_minor,
            period_start=self.invoice.period_start,
            period_end=self.invoice.period_end,
            proof=dict(proof),
        )
