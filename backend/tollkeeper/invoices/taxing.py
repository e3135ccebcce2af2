"""Tax on invoices: a line for each rate, computed once on what is left of the charges after coupons (docs/taxes.md)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from tollkeeper.customers.tables import TaxExemption
from tollkeeper.errors import Conflict
from tollkeeper.invoices.bill import Bill
from tollkeeper.invoices.legal_entities import describe_buyer, describe_seller
from tollkeeper.invoices.net import charges_of, net_of_lines, proof_with_shares
from tollkeeper.invoices.reading import list_lines, parts_of
from tollkeeper.invoices.tables import TAX, Invoice, InvoiceLine, InvoiceStatus, LegalEntity, TaxMode
from tollkeeper.money import EXACT, format_minor
from tollkeeper.rating.spread import spread_minor
from tollkeeper.rating.taxes import TaxBase, taxes_inside, taxes_on_top
from tollkeeper.subscriptions.periods import MICROSECOND
from tollkeeper.taxes.rates import choose_rate, holds_at, rates_in
from tollkeeper.taxes.regimes import Treatment, is_reverse_charged
from tollkeeper.taxes.tables import TaxRate

NOTES = {
    Treatment.EXEMPT: "Exempt from tax",
    Treatment.REVERSE_CHARGE: "Reverse charge: the customer owes the tax",
}
Proof = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Parties:
    """Who sells and who buys, as a document keeps them."""

    seller: Mapping[str, Any]
    buyer: Mapping[str, Any]

    @property
    def is_taxed_here(self) -> bool:
        """Tell whether the seller charges tax by the rates here."""
        return self.seller.get("tax_mode") == TaxMode.OWN

    @property
    def place(self) -> tuple[str, str | None]:
        """Return the buyer's country and region; raises Conflict if they are not known."""
        address = self.buyer["address"] or {}
        if not address.get("country"):
            raise Conflict(f"the tax of {self.buyer['key']!r} is not known: its address has no country; set it")
        return address["country"], address.get("state")

    @property
    def treatment(self) -> Treatment:
        """Say how the buyer is taxed; raises Conflict if that is not known."""
        if self.buyer["tax_exemption"] == TaxExemption.EXEMPT:
            return Treatment.EXEMPT
        if self.buyer["tax_exemption"] == TaxExemption.REVERSE:
            return Treatment.REVERSE_CHARGE
        country = (self.seller["address"] or {}).get("country")
        if country is None:
            raise Conflict(f"legal entity {self.seller['key']!r} charges tax but its address has no country; set it")
        is_reversed = is_reverse_charged(country, self.place[0], self.buyer["tax_ids"])
        return Treatment.REVERSE_CHARGE if is_reversed else Treatment.TAXED


def tax_lines(session: Session, bill: Bill) -> list[InvoiceLine]:
    """Return the tax lines of a bill; none if its legal entity charges no tax here.

    Raises Conflict where the tax is not known: it is never guessed, and nothing goes out untaxed by mistake.
    """
    entity = session.get(LegalEntity, bill.invoice.legal_entity)
    if entity is None or entity.tax_mode == TaxMode.NONE:
        return []  # the default one may not be there yet when an invoice is looked at
    parties = Parties(describe_seller(entity), describe_buyer(bill.payer))
    charges = charges_of(bill.lines)
    if parties.treatment is not Treatment.TAXED:
        groups: list[tuple[TaxRate | None, list[InvoiceLine]]] = [(None, charges)]
    else:
        groups = [*_by_rate(session, parties, charges, issued_at=bill.now)]
    terms = [_terms_of(parties, rate, lines) for rate, lines in groups]
    proofs = proofs_of(terms, bill.lines, bill.payer.id)
    return [bill.line(TAX, *_said(proof, bill.invoice.currency), proof) for proof in proofs]


def _by_rate(
    session: Session, parties: Parties, charges: Sequence[InvoiceLine], *, issued_at: datetime
) -> Iterator[tuple[TaxRate, list[InvoiceLine]]]:
    country, region = parties.place
    rates = rates_in(session, country, region)
    by_rate: dict[str, list[InvoiceLine]] = {}
    for line in charges:
        at, code = tax_point(line, issued_at), line.proof["tax_code"]
        rate = choose_rate(rates, code, at=at)
        if rate is None:
            what = f"tax code {code!r}" if code else "what has no tax code"
            raise Conflict(
                f"there is no tax rate for {what} in {country} at {at.isoformat()}; make one, of 0 % if nothing is due"
            )
        by_rate.setdefault(rate.id, []).append(line)
    known = {rate.id: rate for rate in rates}
    yield from ((known[rate_id], lines) for rate_id, lines in by_rate.items())


def tax_point(line: InvoiceLine, issued_at: datetime) -> datetime:
    """Return the instant whose rate holds: the end of what was sold, or the issue if it was billed before that."""
    return min(issued_at, line.period_end - MICROSECOND)


def _terms_of(parties: Parties, rate: TaxRate | None, lines: Sequence[InvoiceLine]) -> Proof:
    return {
        "treatment": (parties.treatment if rate is None else Treatment.TAXED).value,
        "rate": rate and rate.id,
        "name": rate and rate.name,
        "percentage": "0" if rate is None else format(rate.percentage.normalize(EXACT), "f"),
        "is_inclusive": bool(parties.seller["prices_include_tax"]) and rate is not None,
        "lines": [line.id for line in lines],
    }


def proofs_of(terms: Sequence[Mapping[str, Any]], lines: Sequence[InvoiceLine], payer_id: str) -> list[Proof]:
    """Return the terms of all tax lines of an invoice with base, tax and whose it is, from the lines before them."""
    net = net_of_lines(lines)
    by_id = {line.id: line for line in lines}
    bases = [TaxBase(sum(net[line_id] for line_id in one["lines"]), Decimal(one["percentage"])) for one in terms]
    is_inclusive = any(one["is_inclusive"] for one in terms)
    taxes = taxes_inside(bases) if is_inclusive else taxes_on_top(bases)
    proofs = []
    for one, base, tax in zip(terms, bases, taxes, strict=True):
        proof = {
            **{name: one[name] for name in ("treatment", "rate", "name", "percentage", "is_inclusive", "lines")},
            "base_minor": base.amount_minor - (tax if is_inclusive else 0),
            "tax_minor": tax,
        }
        shares = None if is_inclusive else _shares(payer_id, [by_id[line_id] for line_id in one["lines"]], net, tax)
        proofs.append(proof_with_shares(proof, shares))
    return proofs


def _shares(
    payer_id: str, lines: Sequence[InvoiceLine], net: Mapping[str, int], tax: int
) -> list[dict[str, Any]] | None:
    """Return whose the tax is, in proportion to what each customer owes of the lines; None if it is the payer's."""
    owed: dict[str, int] = {}
    for line in lines:
        users = parts_of(line)
        sign = 1 if net[line.id] >= 0 else -1
        weights = [max(0, amount if line.amount_minor >= 0 else -amount) for _, amount in users]
        parts = spread_minor(abs(net[line.id]), weights) if any(weights) else []
        for (customer_id, _), part in zip(users, parts, strict=False):
            owed[customer_id] = owed.get(customer_id, 0) + sign * part
    direction = 1 if sum(owed.values()) >= 0 else -1
    weights = [max(0, direction * amount) for amount in owed.values()]
    if not any(weights) or owed.keys() <= {payer_id}:
        return None
    parts = spread_minor(abs(tax), weights)
    sign = 1 if tax >= 0 else -1
    return [
        {"customer": one, "quantity": "0", "amount_minor": sign * part}
        for one, part in zip(owed, parts, strict=True)
        if part
    ] or None


def _said(proof: Mapping[str, Any], currency: str) -> tuple[str, int]:
    """Return what a tax line says and comes to; tax inside of the prices is said, and adds nothing."""
    treatment = Treatment(proof["treatment"])
    if treatment is not Treatment.TAXED:
        return NOTES[treatment], proof["tax_minor"]
    rate, base = f"{proof['name']} {proof['percentage']} %", format_minor(proof["base_minor"], currency)
    if proof["is_inclusive"]:
        return f"Including {rate} on {base}: {format_minor(proof['tax_minor'], currency)}", 0
    return f"{rate} on {base}", proof["tax_minor"]


def untaxed_problem(invoice: Invoice, lines: Sequence[InvoiceLine]) -> list[str]:
    """Say what is wrong if an issued invoice's charges are not each taxed once by a seller that charges tax."""
    if invoice.status == InvoiceStatus.DRAFT:
        return []
    told = sorted(line_id for line in lines if line.kind == TAX for line_id in line.proof["lines"])
    is_taxed = Parties(invoice.seller, invoice.buyer).is_taxed_here
    due = sorted(line.id for line in charges_of(lines)) if is_taxed else []
    return [] if told == due else ["each charge is to be taxed exactly once" if is_taxed else "no tax is to be charged"]


def check_taxes(session: Session, invoice: Invoice, lines: Sequence[InvoiceLine]) -> Iterator[tuple[InvoiceLine, str]]:
    """Yield each tax line with what is wrong with it by its rate, its lines and the parties, or an empty text."""
    shown = [line for line in lines if line.kind == TAX]
    known = {line.id: line for line in charges_of(lines)}
    terms = [line.proof for line in shown]
    if not all(line_id in known for one in terms for line_id in one["lines"]):
        yield from ((line, "it is about a line that is no charge of the invoice") for line in shown)
        return
    before = [line for line in lines if line.position < shown[0].position] if shown else []
    expected = proofs_of(terms, before, invoice.customer_id)
    for line, proof in zip(shown, expected, strict=True):
        said = (line.proof, line.description, line.amount_minor)
        if said != (proof, *_said(proof, invoice.currency)):
            yield line, f"{proof['tax_minor']} on {proof['base_minor']} was expected"
        else:
            yield line, _rate_problem(session, invoice, proof, [known[line_id] for line_id in proof["lines"]])


def _rate_problem(session: Session, invoice: Invoice, proof: Proof, charges: Sequence[InvoiceLine]) -> str:
    """Say why the rate of a tax line is not one that held for the buyer and its lines."""
    parties = Parties(invoice.seller, invoice.buyer)
    if proof["treatment"] != parties.treatment:
        return f"the customer is to be treated as {parties.treatment}"
    if parties.treatment is not Treatment.TAXED:
        return ""
    if proof["is_inclusive"] != invoice.seller["prices_include_tax"]:
        return "the seller's prices say otherwise whether tax is in them"
    rate = session.get(TaxRate, proof["rate"])
    if rate is None or (rate.percentage, rate.name) != (Decimal(proof["percentage"]), proof["name"]):
        return "there is no such tax rate"
    country, region = parties.place
    assert invoice.issued_at is not None
    for line in charges:
        is_about = rate.tax_code in (None, line.proof["tax_code"])
        if not is_about or not holds_at(rate, tax_point(line, invoice.issued_at)):
            return f"the tax rate did not hold for line {line.position}"
    return "" if rate.country == country and rate.region in (None, region) else "the tax rate is of another place"


def taxes_are_right(session: Session) -> Iterator[str]:
    """Yield each issued invoice whose tax lines are not what its rates and charges give."""
    has_tax = select(InvoiceLine.invoice_id).where(InvoiceLine.kind == TAX)
    charges_tax = Invoice.seller["tax_mode"].as_string() == TaxMode.OWN
    for invoice in session.scalars(
        select(Invoice)
        .where(Invoice.status != InvoiceStatus.DRAFT, or_(charges_tax, Invoice.id.in_(has_tax)))
        .order_by(Invoice.id)
        .execution_options(yield_per=500)
    ):
        lines = list_lines(session, invoice.id)
        problems = [*untaxed_problem(invoice, lines), *(text for _, text in check_taxes(session, invoice, lines))]
        yield from (f"{invoice.number}: {problem}" for problem in problems if problem)
