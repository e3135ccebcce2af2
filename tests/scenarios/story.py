"""Billing stories in text: a docstring is told to the real rooms, on a real database, with hand-made time."""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from tests.scenarios.document_acts import DOCUMENT_SENTENCES, TIME
from tests.scenarios.document_acts import instant as _instant
from tests.scenarios.line_text import describe_invoice, describe_line
from tests.scenarios.money_acts import MONEY_SENTENCES
from tests.scenarios.plan_text import read_agreement, read_plan
from tollkeeper.catalog.add_on_spec import AddOnSpec
from tollkeeper.catalog.draft import create_plan_draft
from tollkeeper.catalog.features import FeatureDraft, create_feature
from tollkeeper.catalog.plans import get_published_version
from tollkeeper.catalog.publish import publish_plan
from tollkeeper.catalog.spec import PlanSpec
from tollkeeper.catalog.tables import PlanKind
from tollkeeper.catalog.versions import plan_spec_of
from tollkeeper.credits.balance import balance_of
from tollkeeper.customers.customers import CustomerDraft, create_customer, find_customer, get_customer, update_customer
from tollkeeper.customers.map_consumer import map_consumer
from tollkeeper.invoices.billing_run import BillingReport, bill_after_the_end, bill_due_periods
from tollkeeper.invoices.books import check_books
from tollkeeper.invoices.credit_note_reading import list_all_notes
from tollkeeper.invoices.interim import bill_thresholds
from tollkeeper.invoices.legal_entities import save_legal_entity
from tollkeeper.invoices.preview import preview_invoice
from tollkeeper.invoices.reading import get_invoice, list_lines, parts_of, subtotals_of
from tollkeeper.invoices.tables import (
    DEFAULT_LEGAL_ENTITY,
    Invoice,
    InvoiceStatus,
    LastBelowMinimum,
)
from tollkeeper.invoices.top_up import charge_top_ups
from tollkeeper.invoices.verify import verify_invoice
from tollkeeper.invoices.verify_note import verify_credit_note
from tollkeeper.metering.accept import accept_events
from tollkeeper.metering.event import Event
from tollkeeper.metering.meters import MeterDraft, create_meter, find_meter
from tollkeeper.money import format_minor
from tollkeeper.storage.session import Database
from tollkeeper.subscriptions.add_ons import AddOnDraft, attach, set_add_on_quantity
from tollkeeper.subscriptions.cancel import cancel
from tollkeeper.subscriptions.change_plan import change_plan
from tollkeeper.subscriptions.migrate import migrate
from tollkeeper.subscriptions.override import OverrideDraft, override
from tollkeeper.subscriptions.pause import pause, resume
from tollkeeper.subscriptions.set_quantity import set_quantity
from tollkeeper.subscriptions.subscribe import SubscribeOptions, subscribe
from tollkeeper.subscriptions.tables import Subscription
from tollkeeper.subscriptions.undo import undo

BEGINNING = datetime(2020, 1, 1, tzinfo=UTC)


class Story:
    """What a story has come to: `invoices` of its last billing, and the `lines` and `total` of the last of them."""

    def __init__(self, database: Database, text: str) -> None:
        self.database = database
        self.lines: list[str] = []
        self.subtotals: list[str] = []
        self.invoices: list[str] = []
        self.numbers: list[str] = []
        self.preview: list[str] = []
        self.sent: list[Event] = []
        self._currency = "USD"
        self._sequence = 0
        self._grace = timedelta(0)
        self.go_on(text)

    def go_on(self, text: str) -> None:
        """Tell more of the story."""
        for line in filter(None, (line.strip() for line in text.splitlines())):
            self._tell(line)
        self._check()

    def attempt(self, line: str) -> None:
        """Tell one sentence, which may be refused, without looking at the books."""
        self._tell(line)

    @property
    def total(self) -> str:
        """Return the total of the last invoice, or nothing if there was none."""
        return self.invoices[-1].split()[2] if self.invoices else ""

    def _tell(self, line: str) -> None:
        for pattern, act in SENTENCES:
            match = re.fullmatch(pattern, line)
            if match:
                act(self, *match.groups())
                return
        raise AssertionError(f"no sentence of a story: {line!r}")

    def _check(self) -> None:
        """After every story the books are in order and every invoice can be proved."""
        with self.database.snapshot() as session:
            problems = check_books(session)
            assert problems == []
            for invoice in session.scalars(select(Invoice).where(Invoice.status != InvoiceStatus.DRAFT)):
                wrong = [finding for finding in verify_invoice(session, invoice.id) if not finding.is_equal]
                assert wrong == [], (invoice.number, wrong)
            for note in list_all_notes(session):
                wrong = [finding for finding in verify_credit_note(session, note.id) if not finding.is_equal]
                assert wrong == [], (note.number, wrong)

    def move(self, key: str, parent: str | None) -> None:
        """Give a customer another parent, or none."""
        with self.database.transaction() as session:
            update_customer(session, key, {"parent": parent})

    def plan(self, name: str, text: str) -> None:
        """Publish a plan, with the features that it prices."""
        content = read_plan(name, text)
        self._currency = content["currency"]
        with self.database.transaction() as session:
            for phase in content["phases"]:
                for card in phase["rate_cards"]:
                    if "feature" in card:
                        _ensure_feature(session, card["feature"])
            create_plan_draft(session, name, PlanSpec.model_validate(content), now=BEGINNING)
            publish_plan(session, name, now=BEGINNING)

    def plan_also(self, name: str, text: str) -> None:
        """Publish the plan anew, with the prices of the text in another currency."""
        other = read_plan(name, text)
        with self.database.transaction() as session:
            spec = plan_spec_of(get_published_version(session, name))
            prices = {
                phase["key"]: {card["key"]: {"price": card["price"]} for card in phase["rate_cards"]}
                for phase in other["phases"]
            }
            content = spec.model_dump(mode="json") | {"other_currencies": {other["currency"]: prices}}
            create_plan_draft(session, name, PlanSpec.model_validate(content), now=BEGINNING)
            publish_plan(session, name, now=BEGINNING)

    def add_on(self, name: str, several: str | None, text: str) -> None:
        """Publish an add-on, of which a subscription may have one or several."""
        content = read_plan(name, text)
        (phase,) = content["phases"]
        spec = {
            "name": content["name"],
            "currency": content["currency"],
            "instances": "multiple" if several else "single",
            "rate_cards": phase["rate_cards"],
        }
        with self.database.transaction() as session:
            for card in phase["rate_cards"]:
                if "feature" in card:
                    _ensure_feature(session, card["feature"])
            create_plan_draft(session, name, AddOnSpec.model_validate(spec), now=BEGINNING)
            publish_plan(session, name, now=BEGINNING, kind=PlanKind.ADD_ON)

    def attach(self, time: str, key: str, count: str | None, add_on: str, when: str | None, until: str | None) -> None:
        """Attach an add-on now or at the period's end, until a date or for as long as it lasts."""
        draft = AddOnDraft(add_on, Decimal(count or 1), _instant(until) if until else None)
        self._with_subscription(
            time, key, lambda session, one: attach(session, one.id, draft, at=_when(when), now=_instant(time))
        )

    def set_add_on(self, time: str, key: str, count: str, add_on: str, when: str | None) -> None:
        """Change how many of an add-on there are, now or at the period's end."""
        number, at, now = Decimal(count), _when(when), _instant(time)
        self._with_subscription(
            time, key, lambda session, one: set_add_on_quantity(session, one.id, add_on, number, at=at, now=now)
        )

    def own_price(self, time: str, key: str, text: str, when: str | None) -> None:
        """Agree on a price with one customer, now or from the period's end on."""
        act, card, terms = read_agreement(text)
        draft = OverrideDraft(act, card, terms)  # type: ignore[arg-type]  # one of the four words
        self._with_subscription(
            time, key, lambda session, one: override(session, one.id, draft, at=_when(when), now=_instant(time))
        )

    def customer(self, key: str, currency: str | None, zone: str | None, parent: str | None) -> None:
        """Make a customer with a currency, a time zone, or a parent who pays."""
        with self.database.transaction() as session:
            draft = CustomerDraft(
                key=key,
                name=key.capitalize(),
                currency=currency or self._currency,
                time_zone=zone or "UTC",
                parent=parent,
            )
            _make_customer(session, draft)

    def subscribe(
        self, time: str, key: str, plan: str, anchor: str | None, seats: str | None, start: str | None
    ) -> None:
        """Subscribe a customer, who is made if the story has not named one; `from DATE` is backdated."""
        now = _instant(time)
        with self.database.transaction() as session:
            if find_customer(session, key) is None:
                _make_customer(session, CustomerDraft(key=key, name=key.capitalize(), currency=self._currency))
            options = SubscribeOptions(
                anchor=_instant(anchor) if anchor else None,
                quantities={"fee": Decimal(seats)} if seats else {},
            )
            subscribe(session, key, plan, start=_instant(start or time), now=now, options=options)

    def use(self, time: str, key: str, quantity: str, unit: str, events: str | None, at: str | None) -> None:
        """Report usage, in one event or in some; `on DATE` says that it happened then and comes late."""
        happened = _instant(at or time)
        count = int(events or 1)
        shares = [Decimal(quantity)] + [Decimal(0)] * (count - 1)
        told = [self._event(key, unit, share, happened) for share in shares]
        self.sent += told
        with self.database.transaction() as session:
            _ensure_feature(session, unit)
            accepted = accept_events(session, told, now=_instant(time))
            assert accepted.accepted == count, accepted

    def send_again(self, events: Sequence[Event], time: str) -> None:
        """Send events once more, as a gateway does that was not answered: none is new."""
        with self.database.transaction() as session:
            assert accept_events(session, events, now=_instant(time)).accepted == 0

    def _event(self, key: str, unit: str, quantity: Decimal, at: datetime) -> Event:
        self._sequence += 1
        told = {"quantity": str(quantity)}
        return Event(
            id=f"e{self._sequence}", source="story", type=f"story.{unit}", subject=f"user:{key}", time=at, data=told
        )

    def close(self, time: str) -> None:
        """Bill what is due."""
        self._note(bill_due_periods(self.database, now=_instant(time), grace=self._grace))

    def charge_top_ups(self, time: str) -> None:
        """Charge the top-ups that are due."""
        self._note(charge_top_ups(self.database, now=_instant(time)))

    def bill_thresholds(self, time: str) -> None:
        """Look for usage that has come to its plan's threshold, as the job does."""
        self._note(bill_thresholds(self.database, now=_instant(time)))

    def close_after_the_end(self, time: str) -> None:
        """Bill what came late for those who have left."""
        self._note(bill_after_the_end(self.database, now=_instant(time), grace=self._grace))

    def _note(self, report: BillingReport) -> None:
        assert not report.failures, report.failures
        self.numbers = report.invoices
        with self.database.snapshot() as session:
            invoices = [get_invoice(session, number) for number in self.numbers]
            self.invoices = [describe_invoice(session, invoice) for invoice in invoices]
            self.lines = [
                describe_line(session, invoice, line)
                for invoice in invoices[-1:]
                for line in list_lines(session, invoice.id)
                if line.amount_minor or any(amount for _, amount in parts_of(line))
            ]
            self.subtotals = [
                f"{one.customer_key} {format_minor(one.amount_minor, invoice.currency)}"
                for invoice in invoices[-1:]
                for one in subtotals_of(session, list_lines(session, invoice.id))
            ]

    def look(self, time: str, key: str) -> None:
        """Look at the next invoice as it stands."""
        with self.database.snapshot() as session:
            found = preview_invoice(session, get_customer(session, key), now=_instant(time))
            self.preview = [
                f"{line.rate_card_key or line.description} {format_minor(line.amount_minor, found.invoice.currency)}"
                for line in found.lines
                if line.amount_minor
            ]

    def change(self, time: str, key: str, plan: str, when: str | None) -> None:
        """Change the plan now or at the period's end."""
        self._with_subscription(
            time, key, lambda session, one: change_plan(session, one.id, plan, at=_when(when), now=_instant(time))
        )

    def cancel(self, time: str, key: str, when: str | None, on: str | None, forfeit: str | None) -> None:
        """End the subscription now, at the period's end or on a date, with or without the unused time given back."""
        at = _instant(on) if on else _when(when)
        self._with_subscription(
            time,
            key,
            lambda session, one: cancel(session, one.id, at=at, now=_instant(time), is_credited=not forfeit),
        )

    def pause(self, time: str, key: str, at: str | None, until: str | None) -> None:
        """Pause the subscription now or from a date, until a date or until it is resumed."""
        begin: Any = _instant(at) if at else "now"
        end = _instant(until) if until else None
        self._with_subscription(
            time, key, lambda session, one: pause(session, one.id, at=begin, until=end, now=_instant(time))
        )

    def resume(self, time: str, key: str) -> None:
        """Resume the subscription now."""
        self._with_subscription(time, key, lambda session, one: resume(session, one.id, now=_instant(time)))

    def migrate(self, time: str, key: str, when: str | None) -> None:
        """Move the subscription to its plan's version on sale."""
        self._with_subscription(
            time, key, lambda session, one: migrate(session, one.id, at=_when(when), now=_instant(time))
        )

    def undo(self, time: str, key: str, planned: str) -> None:
        """Take back what was planned."""
        kind: Any = planned.replace(" ", "_")
        self._with_subscription(time, key, lambda session, one: undo(session, one.id, kind, now=_instant(time)))

    def seats(self, time: str, key: str, count: str) -> None:
        """Change the number of seats."""
        self._with_subscription(
            time,
            key,
            lambda session, one: set_quantity(session, one.id, "fee", Decimal(count), at="now", now=_instant(time)),
        )

    def _with_subscription(self, time: str, key: str, act: Callable[[Session, Subscription], Any]) -> None:
        with self.database.transaction() as session:
            customer = get_customer(session, key)
            act(session, session.scalars(select(Subscription).where(Subscription.customer_id == customer.id)).one())

    def credit(self, key: str, time: str) -> str:
        """Return what a customer may use of its credit."""
        with self.database.snapshot() as session:
            customer = get_customer(session, key)
            balance = balance_of(session, customer.id, customer.currency, at=_instant(time))
            return format_minor(balance, customer.currency)

    def statuses(self) -> list[str]:
        """Return the states of all invoices, in order of their numbers."""
        with self.database.snapshot() as session:
            return list(session.scalars(select(Invoice.status).order_by(Invoice.sequence_number)))

    def minimum(self, amount: str, currency: str, waive: str | None) -> None:
        """Set what an invoice has to come to, and whether a last one that does not is waived."""
        last = LastBelowMinimum.WAIVE if waive else LastBelowMinimum.ISSUE
        changes = {"minimum_totals": {currency: amount}, "last_below_minimum": last}
        with self.database.transaction() as session:
            save_legal_entity(session, DEFAULT_LEGAL_ENTITY, changes)

    def wait(self, hours: str) -> None:
        """Wait for late events this long after a period's end."""
        self._grace = timedelta(hours=int(hours))


def _when(text: str | None) -> Any:
    return "period_end" if text else "now"


def _make_customer(session: Session, draft: CustomerDraft) -> None:
    create_customer(session, draft, now=BEGINNING)
    map_consumer(session, draft.key, "subject", f"user:{draft.key}", since=BEGINNING, now=BEGINNING)


def _ensure_feature(session: Session, unit: str) -> None:
    if find_meter(session, f"story_{unit}") is None:
        meter = MeterDraft(
            key=f"story_{unit}", name=unit, event_type=f"story.{unit}", aggregation="sum", value="quantity"
        )
        create_meter(session, meter, now=BEGINNING)
    create_feature(session, FeatureDraft(key=unit, name=unit, meter_key=f"story_{unit}"), now=BEGINNING)


SENTENCES: list[tuple[str, Callable[..., None]]] = [
    (r"plan (\w+): (.+)", Story.plan),
    (r"customer (\w+)(?: in ([A-Z]{3}))?(?: at ([\w/]+))?(?: paid by (\w+))?", Story.customer),
    (
        rf"({TIME}) (\w+) subscribes to (\w+)(?: anchored ({TIME}))?(?: with (\d+) seats)?(?: from ({TIME}))?",
        Story.subscribe,
    ),
    (rf"({TIME}) (\w+) uses ([\d.-]+) (\w+)(?: in (\d+) events)?(?: on ({TIME}))?", Story.use),
    (rf"({TIME}) close period", Story.close),
    (rf"({TIME}) bill thresholds", Story.bill_thresholds),
    (rf"({TIME}) charge top-ups", Story.charge_top_ups),
    (rf"({TIME}) close after the end", Story.close_after_the_end),
    (rf"({TIME}) look at (\w+)", Story.look),
    (rf"({TIME}) (\w+) changes to (\w+)( at period end)?", Story.change),
    (rf"({TIME}) (\w+) cancels(?:( at period end)| on ({TIME}))?( without credit)?", Story.cancel),
    (rf"({TIME}) (\w+) pauses(?: from ({TIME}))?(?: until ({TIME}))?", Story.pause),
    (rf"({TIME}) (\w+) resumes", Story.resume),
    (r"plan (\w+) also: (.+)", Story.plan_also),
    (r"add-on (\w+)( of several)?: (.+)", Story.add_on),
    (rf"({TIME}) (\w+) attaches (?:(\d+) )?(\w+)( at period end)?(?: until ({TIME}))?", Story.attach),
    (rf"({TIME}) (\w+) now has (\d+) of (\w+)( at period end)?", Story.set_add_on),
    (rf"({TIME}) (\w+) agrees on (.+?)( at period end)?", Story.own_price),
    (rf"({TIME}) (\w+) migrates( at period end)?", Story.migrate),
    (rf"({TIME}) (\w+) takes back the (cancel|change plan|pause|quantity|add on|override)", Story.undo),
    (rf"({TIME}) (\w+) has (\d+) seats", Story.seats),
    (r"(\w+) is paid by (\w+)", Story.move),
    (r"no invoice below ([\d.]+) ([A-Z]{3})( and the last is waived)?", Story.minimum),
    *DOCUMENT_SENTENCES,
    *MONEY_SENTENCES,
    (r"wait (\d+) hours? for late events", Story.wait),
]
