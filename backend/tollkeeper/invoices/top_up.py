"""Charge automatic top-ups: an invoice of one line for each fall of a balance; its payment grants the credit.

The fall (`top_up_due_since` of the wallet) is the key: whatever runs twice or is killed, it is charged once. While one
waits for its payment no other is charged, whatever the balance or the setting did meanwhile. Coupons,
minimum and credit do not touch such an invoice, and it bears no tax: tax is due on what the credit pays later.
"""

from datetime import datetime

import structlog
from sqlalchemy import and_, select
from sqlalchemy.orm import Session

from tollkeeper.credits.tables import CreditWallet
from tollkeeper.credits.wallets import close_act, lock_wallet
from tollkeeper.customers.tables import Customer
from tollkeeper.errors import Conflict, TollkeeperError
from tollkeeper.invoices.bill import Bill
from tollkeeper.invoices.billing_run import BillingReport
from tollkeeper.invoices.draft import new_invoice
from tollkeeper.invoices.finalize import issue_bills
from tollkeeper.invoices.legal_entities import read_terms
from tollkeeper.invoices.states import OPEN_STATUSES
from tollkeeper.invoices.tables import TOP_UP, CreditBeforeTax, Invoice, LegalEntity, TaxMode
from tollkeeper.invoices.top_up_tables import CreditTopUp
from tollkeeper.storage.session import Database
from tollkeeper.subscriptions.periods import MICROSECOND

log = structlog.get_logger()


def charge_top_ups(database: Database, *, now: datetime) -> BillingReport:
    """Issue an invoice for each top-up that is due and not charged yet, each in a transaction of its own."""
    report = BillingReport()
    with database.snapshot() as session:
        due = session.execute(
            select(CreditWallet.customer_id, CreditWallet.currency)
            .outerjoin(
                CreditTopUp,
                and_(
                    CreditTopUp.customer_id == CreditWallet.customer_id,
                    CreditTopUp.currency == CreditWallet.currency,
                    CreditTopUp.due_since == CreditWallet.top_up_due_since,
                ),
            )
            .where(
                CreditWallet.top_up_is_charged.is_(True),
                CreditWallet.top_up_due_since.is_not(None),
                CreditTopUp.invoice_id.is_(None),
            )
            .order_by(CreditWallet.customer_id, CreditWallet.currency)
        ).all()
    for customer_id, currency in due:
        try:
            with database.transaction() as session:
                invoice = charge_top_up(session, customer_id, currency, now=now)
        except TollkeeperError as error:
            log.warning("top_up_failed", customer=customer_id, currency=currency, reason=error.message)
            report.failures[customer_id] = error.message
            continue
        if invoice is not None:
            report.invoices.append(invoice.number or invoice.id)
    return report


def charge_top_up(session: Session, customer_id: str, currency: str, *, now: datetime) -> Invoice | None:
    """Issue the invoice for a wallet's top-up, once for each fall of its balance; None if nothing is to be charged.

    Nothing is, while an earlier top-up of the wallet may still be paid: what it will grant would come twice.

    Raises Conflict if somebody else pays for the customer by now, and where all credit is drawn before tax: then the
    top-up itself would have to be taxed.
    """
    wallet = lock_wallet(session, customer_id, currency, now=now)
    if wallet is None:
        return None
    close_act(session, wallet, now=now)
    since, amount = wallet.top_up_due_since, wallet.top_up_amount_minor
    if not wallet.top_up_is_charged or since is None or amount is None:
        return None
    if session.get(CreditTopUp, (customer_id, currency, since)) is not None or _is_one_open(session, wallet):
        return None
    payer = session.get_one(Customer, customer_id)
    terms = read_terms(session, [payer.id])
    seller = terms.entities[terms.seller_of(payer.id)]
    _check(payer, seller)
    invoice = new_invoice(payer, (), now=now)
    invoice.legal_entity, invoice.currency = seller.key, currency
    invoice.period_end, invoice.total_minor = now + MICROSECOND, amount
    bill = Bill(invoice, payer, now)
    line = bill.line(TOP_UP, "Top-up of prepaid credit", amount, {"due_since": since.isoformat()})
    line.position = 1
    bill.lines.append(line)
    session.add(invoice)
    session.flush()
    top_up = CreditTopUp(
        customer_id=customer_id, currency=currency, due_since=since, invoice_id=invoice.id, amount_minor=amount
    )
    session.add_all([line, top_up])
    session.flush()
    issue_bills(session, [bill], by="automatic top-up")
    return invoice


def _is_one_open(session: Session, wallet: CreditWallet) -> bool:
    waiting = (
        select(CreditTopUp.invoice_id)
        .join(Invoice, Invoice.id == CreditTopUp.invoice_id)
        .where(
            CreditTopUp.customer_id == wallet.customer_id,
            CreditTopUp.currency == wallet.currency,
            Invoice.status.in_(OPEN_STATUSES),
        )
    )
    return session.scalar(waiting.limit(1)) is not None


def _check(payer: Customer, seller: LegalEntity) -> None:
    if payer.parent_id is not None:
        raise Conflict(f"{payer.key!r} is paid by another customer by now: stop its top-up and set one there")
    if seller.tax_mode != TaxMode.NONE and seller.credit_before_tax == CreditBeforeTax.ALL:
        reason = "all credit is drawn before tax, so a top-up would have to be taxed"
        raise Conflict(f"{seller.key!r} charges no top-up: {reason}; set credit_before_tax to 'promotional' or 'none'")
