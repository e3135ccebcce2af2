"""Recompute an issued invoice from the raw events and the stored plan versions, and say of each line: equal or not."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from fractions import Fraction
from itertools import chain
from typing import NamedTuple

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from tollkeeper.catalog.spec import RateCard
from tollkeeper.catalog.tables import PlanVersion
from tollkeeper.catalog.versions import spec_of
from tollkeeper.invoices.accounts import are_interim
from tollkeeper.invoices.charges import lines_as_json, rate_quantity
from tollkeeper.invoices.coupon_returns import check_returns
from tollkeeper.invoices.discount import check_coupons
from tollkeeper.invoices.forget import digests_after_forgetting
from tollkeeper.invoices.immutable import content_digest
from tollkeeper.invoices.prepaid import check_draws
from tollkeeper.invoices.raw_usage import raw_usage_of
from tollkeeper.invoices.reading import get_invoice, list_lines
from tollkeeper.invoices.settle import stretches_of
from tollkeeper.invoices.shares import share_charge
from tollkeeper.invoices.tables import BilledPeriod, ChargeKind, Invoice, InvoiceLine, InvoiceStatus
from tollkeeper.invoices.taxing import check_taxes, untaxed_problem
from tollkeeper.invoices.top_up_grant import check_top_up
from tollkeeper.invoices.wording import word_lines
from tollkeeper.metering.event import microseconds_of
from tollkeeper.metering.retention_bound import RawEventsDropped, raw_from_us
from tollkeeper.rating.types import Rated
from tollkeeper.subscriptions.billing_periods import share_of_pieces
from tollkeeper.subscriptions.periods import Period, period_at
from tollkeeper.subscriptions.tables import Subscription, SubscriptionOverride
from tollkeeper.subscriptions.timeline import override_of
from tollkeeper.subscriptions.types import BillingPeriod
from tollkeeper.usage.event_range import pooled_event_range
from tollkeeper.usage.usage_of import pooled_usage


class Verdict(StrEnum):
    """What came of recomputing a line."""

    EQUAL = "equal"
    FORGOTTEN = "forgotten"  # equal until somebody was forgotten; the events are those that were left then
    DROPPED = "dropped"  # raw events were dropped; equal by what is kept: totals, rating, amounts, the document
    LATE = "late"  # equal to what was known; events came since, which the next invoice will bill
    DIFFERS = "differs"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line (0 is the document as a whole): the verdict and, unless it is plainly equal, why."""

    position: int
    description: str
    amount_minor: int
    verdict: Verdict
    detail: str = ""

    @property
    def is_equal(self) -> bool:
        """Tell whether the line is what it should be."""
        return self.verdict is not Verdict.DIFFERS


class Note(NamedTuple):
    """Why a line is not plainly equal although nothing is wrong with it."""

    verdict: Verdict
    text: str


def verify_invoice(session: Session, id_or_number: str) -> list[Finding]:
    """Return a finding for the document and for each line; raises NotFound.

    Usage is counted from the events themselves, not from the totals that the billing run read.
    """
    invoice = get_invoice(session, id_or_number)
    lines = list_lines(session, invoice.id)
    findings = [_document(invoice, lines)]
    by_row: dict[str, list[InvoiceLine]] = {}
    for line in lines:
        if line.billed_period_id is not None:
            by_row.setdefault(line.billed_period_id, []).append(line)
    for row_id, its_lines in by_row.items():
        findings += _verify_row(session, session.get_one(BilledPeriod, row_id), its_lines)
    checks = (
        check_draws(session, invoice, lines),
        check_coupons(session, invoice, lines),
        check_returns(lines),
        check_taxes(session, invoice, lines),
        check_top_up(session, invoice, lines),
    )
    for line, problem in chain(*checks):
        findings.append(finding_of(line.position, line.description, line.amount_minor, [problem] if problem else []))
    return sorted(findings, key=lambda finding: finding.position)


def _document(invoice: Invoice, lines: Sequence[InvoiceLine]) -> Finding:
    name = f"invoice {invoice.number or invoice.id}"
    total = sum(line.amount_minor for line in lines)
    problems = []
    if total != invoice.total_minor:
        problems.append(f"the lines add up to {total}, the total says {invoice.total_minor}")
    if invoice.status != InvoiceStatus.DRAFT and content_digest(invoice, lines) != invoice.content_digest:
        problems.append("the document is not what was issued: its digest differs")
    problems += untaxed_problem(invoice, lines)
    return finding_of(0, name, invoice.total_minor, problems)


def finding_of(
    position: int, description: str, amount: int, problems: Sequence[str], note: Note | None = None
) -> Finding:
    """Return what came of a line: it differs if there is a problem, else it is equal or what the note says."""
    if problems:
        return Finding(position, description, amount, Verdict.DIFFERS, "; ".join(problems))
    return Finding(position, description, amount, *(note or (Verdict.EQUAL, "")))


def _verify_row(session: Session, row: BilledPeriod, lines: Sequence[InvoiceLine]) -> list[Finding]:
    problems, note = _check_events(session, row)
    if not _is_credit_of_all(row):
        problems += _check_rating(session, row)
    problems += _check_amount(session, row)
    plan = spec_of(session.get_one(PlanVersion, row.plan_version_id)).name
    worded = list(word_lines(row, plan, row.rate_card_key))
    if len(worded) != len(lines):
        problems.append(f"{len(worded)} lines were expected, there are {len(lines)}")
    findings = []
    for line, expected in zip(lines, worded, strict=False):
        same = (line.kind, line.quantity, line.unit_price, line.amount_minor, line.proof.get("shares")) == (
            expected.kind, expected.quantity, expected.unit_price, expected.amount_minor, expected.shares
        )  # fmt: skip
        own = problems if same else [*problems, f"{expected.amount_minor} was expected for {expected.description}"]
        findings.append(finding_of(line.position, line.description, line.amount_minor, own, note))
    return findings


def _is_credit_of_all(row: BilledPeriod) -> bool:
    return row.kind == ChargeKind.CREDIT and row.proof["fraction"] == "0/1"


def _check_events(session: Session, row: BilledPeriod) -> tuple[list[str], Note | None]:
    """Compare the events of a usage charge now with those that it was billed for."""
    feature = row.proof["feature"]
    if feature is None:
        return [], None
    if is_dropped(session, row):
        return _check_totals(session, row)
    return _compare_events(session, row)


def _compare_events(session: Session, row: BilledPeriod) -> tuple[list[str], Note | None]:
    feature, kept = row.proof["feature"], row.proof["events"]
    found = pooled_event_range(session, feature, stretches_of(row))
    if found.digest == kept["digest"]:
        return _check_usage(session, row), None
    forgotten_at = digests_after_forgetting(session, row.id).get(found.digest)
    if forgotten_at is not None:
        told = f"identifiers were forgotten on {forgotten_at.date()}; the events are those that were left then"
        return _check_usage(session, row), Note(Verdict.FORGOTTEN, told)
    later = _later_row(session, row)
    if later is not None:
        return [], Note(Verdict.LATE, f"corrected since: {later.event_count} events instead of {kept['count']}")
    if found.count > kept["count"]:
        came = f"{found.count - kept['count']} events came since; the next invoice bills them"
        return [], Note(Verdict.LATE, came)
    return [f"the {kept['count']} events that were billed are not those that are stored ({found.count})"], None


def is_dropped(session: Session, row: BilledPeriod) -> bool:
    """Tell whether raw events of a charge's period were dropped."""
    raw_us = raw_from_us(session)
    starts = [microseconds_of(one.start) for one in stretches_of(row)]
    return raw_us is not None and min(starts, default=raw_us) < raw_us


def _check_totals(session: Session, row: BilledPeriod) -> tuple[list[str], Note | None]:
    """Compare the quantity with the hourly totals, which stay when the raw events go."""
    told = "raw events were dropped; the days' digests are kept: `tollkeeper events check-export` proves their export"
    try:
        pool = pooled_usage(session, row.proof["feature"], stretches_of(row))
    except RawEventsDropped:
        return [], Note(Verdict.DROPPED, f"{told}. The quantity is not in the totals and cannot be counted again")
    if (pool.whole.quantity, pool.whole.event_count) == (row.quantity, row.event_count):
        return [], Note(Verdict.DROPPED, f"{told}. The totals come to the same quantity")
    if _later_row(session, row) is not None:
        return [], Note(Verdict.LATE, f"corrected since; {told}")
    return [f"the totals come to {pool.whole.quantity}, {row.quantity} was billed"], None


def _check_usage(session: Session, row: BilledPeriod) -> list[str]:
    """Count the same events again, for all together and for each customer."""
    pool = raw_usage_of(session, row.proof["feature"], stretches_of(row))
    usage = pool.whole
    if (usage.quantity, usage.event_count) != (row.quantity, row.event_count):
        counted = f"the events come to {usage.quantity} in {usage.event_count}"
        return [f"{counted}, {row.quantity} in {row.event_count} was billed"]
    period = period_of_row(session, row)
    if period is not None:
        rated = _rate(period, row)
        if share_charge(row.customer_id, pool, rated) != row.proof["shares"]:
            return ["the events give the customers other shares than were billed"]
    return []


def _later_row(session: Session, row: BilledPeriod) -> BilledPeriod | None:
    return session.scalars(
        _rows_of_charge(row).where(BilledPeriod.revision > row.revision).order_by(BilledPeriod.revision.desc())
    ).first()


def _rows_of_charge(row: BilledPeriod) -> Select[BilledPeriod]:
    return select(BilledPeriod).where(
        BilledPeriod.subscription_id == row.subscription_id,
        BilledPeriod.term_id == row.term_id,
        BilledPeriod.phase_key == row.phase_key,
        BilledPeriod.rate_card_key == row.rate_card_key,
        BilledPeriod.period_start == row.period_start,
    )


def _check_rating(session: Session, row: BilledPeriod) -> list[str]:
    """Rate the charge again by the stored plan version; the calendar is computed anew, too."""
    period = period_of_row(session, row)
    if period is None:
        return [f"plan version {row.plan_version_id} has no rate card {row.rate_card_key!r}"]
    problems = []
    sold = {"feature": period.rate_card.feature, "tax_code": period.rate_card.tax_code}
    if sold != row.proof["sold"]:
        problems.append(f"the rate card is about {sold}, {row.proof['sold']} was billed")
    told = [period.full.start.isoformat(), period.full.end.isoformat()]
    if told != row.proof["full_period"]:
        problems.append(f"the full period is {told}, {row.proof['full_period']} was billed")
    if period.fraction != Fraction(row.proof["fraction"]):
        problems.append(f"{period.fraction} of the period is due, {row.proof['fraction']} was billed")
    rated = _rate(period, row)
    if lines_as_json(rated.lines) != row.proof["lines"]:
        problems.append("the rate card gives other lines than were billed")
    if rated.total_minor != row.proof["whole_minor"]:
        problems.append(f"the charge comes to {rated.total_minor}, {row.proof['whole_minor']} was billed")
    return problems


def _rate(period: BillingPeriod, row: BilledPeriod) -> Rated:
    is_complete = row.kind != ChargeKind.INTERIM
    return rate_quantity(period, row.currency, row.quantity, row.event_count, is_complete=is_complete)


def _check_amount(session: Session, row: BilledPeriod) -> list[str]:
    earlier = session.scalars(
        _rows_of_charge(row).where(BilledPeriod.revision < row.revision).order_by(BilledPeriod.revision)
    ).all()
    charged = sum(one.amount_minor for one in earlier)
    before = earlier[-1].proof if earlier and are_interim(earlier) else {"lines": [], "shares": []}
    if (before["lines"], before["shares"]) != (row.proof["lines_before"], row.proof["shares_before"]):
        return ["the lines that it was compared with are not those of the interim invoice before"]
    due = row.proof["whole_minor"] - charged
    if (charged, due) == (row.proof["charged_before_minor"], row.amount_minor):
        return []
    return [f"{charged} was charged before, so {due} was due, {row.amount_minor} was billed"]


def period_of_row(session: Session, row: BilledPeriod) -> BillingPeriod | None:
    """Return the charge of a row as it was when it was billed; None if its plan has no such rate card."""
    subscription = session.get_one(Subscription, row.subscription_id)
    card = _card_of(session, row)
    if card is None:
        return None
    full = period_at(subscription.anchor, card.billing_cadence, subscription.time_zone, row.period_start)
    holes = tuple(Period(*map(datetime.fromisoformat, hole)) for hole in row.proof["holes"])
    return BillingPeriod(
        subscription_id=row.subscription_id,
        customer_id=row.customer_id,
        term_id=row.term_id,
        plan_version_id=row.plan_version_id,
        phase_key=row.phase_key,
        rate_card=card,
        quantity=row.quantity,
        start=row.period_start,
        end=row.period_end,
        full=full,
        fraction=share_of_pieces(row.period_start, row.period_end, holes, full),
        due_at=row.period_end,
        holes=holes,
        override_id=row.proof["override"],
    )


def _card_of(session: Session, row: BilledPeriod) -> RateCard | None:
    """Return the rate card by which a row was rated: the override that it names, or else the stored version's."""
    if row.proof["override"] is not None:
        override = session.get(SubscriptionOverride, row.proof["override"])
        return None if override is None else override_of(override).rate_card
    spec = spec_of(session.get_one(PlanVersion, row.plan_version_id)).in_currency(row.currency)
    key = row.rate_card_key.rpartition("/")[2]  # an add-on's rate card begins with the add-on's key
    cards = (card for phase in spec.phases if phase.key == row.phase_key for card in phase.rate_cards)
    card = next((card for card in cards if card.key == key), None)
    return card and card.model_copy(update={"key": row.rate_card_key})
