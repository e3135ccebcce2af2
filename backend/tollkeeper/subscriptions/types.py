"""What a subscription tells its readers: which charge of which plan is about which time (read by invoices)."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

from tollkeeper.catalog.spec import RateCard
from tollkeeper.subscriptions.periods import Period


@dataclass(frozen=True, slots=True)
class BillingPeriod:
    """One rate card's charge for one stretch of time.

    `full` is the calendar period of the rate card's cadence, `start`/`end` the part of it in which this
    rate card held (a plan may begin, change or end inside it); `fraction` is that part's share, by which
    flat prices and minimums are prorated. `(subscription_id, term_id, phase_key, rate_card.key, start)`
    names the charge for ever: when a plan changes later on, `end` and `fraction` shrink and the name
    stays, so what was billed under the name can be compared with what is due under it now. `holes` are the
    pauses inside a usage charge: its usage does not count, its time is not in `fraction`. A fee is cut instead.
    `override_id` names the price override that the rate card is of.

    Whose usage a usage price charges: coverage.covered_stretches(session, subscription, start, end), which is
    the customer's own and that of subsidiaries without a plan of their own.
    """

    subscription_id: str
    customer_id: str
    term_id: str
    plan_version_id: str
    phase_key: str
    rate_card: RateCard
    quantity: Decimal
    start: datetime
    end: datetime
    full: Period
    fraction: Fraction
    due_at: datetime
    holes: tuple[Period, ...] = ()
    override_id: str | None = None

    @property
    def pieces(self) -> list[Period]:
        """Return the stretches in which the charge holds: its time without the holes."""
        return Period(self.start, self.end).without(self.holes)

    @property
    def is_in_advance(self) -> bool:
        """Tell whether the charge falls due when its time begins; all others do when it ends."""
        return self.due_at == self.start
