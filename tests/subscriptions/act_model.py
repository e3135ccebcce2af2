"""An independent model of subscription acts: which day costs what, counted day by day and never by periods.

Every amount divides by the days of every month of 2026 (the least common multiple of 28, 30 and 31 is 13020), and every
act is at midnight, so a day has an exact price and no rounding hides an error.
"""

from dataclasses import dataclass, field
from datetime import date, timedelta

FIRST = date(2026, 1, 1)
PER_MONTH = 13020  # minor units, once for each plan's factor
ADD_ON = 1
# plan and version: (fee as a multiple of PER_MONTH, is it due in advance, minor units of a call)
PRICES = {
    ("basic", 1): (1, True, 1),
    ("basic", 2): (2, True, 2),
    ("top", 1): (5, True, 3),
    ("later", 1): (3, False, 4),
}
NEWEST = {"basic": 2, "top": 1, "later": 1}


def date_of(day: int) -> date:
    """Return the n-th day of the story."""
    return FIRST + timedelta(days=day)


def next_month(day: int) -> int:
    """Return the day on which the next calendar month begins."""
    at = date_of(day)
    return ((at.replace(day=1) + timedelta(days=32)).replace(day=1) - FIRST).days


def per_day(day: int) -> int:
    """Return what a day of its month costs of PER_MONTH."""
    at = date_of(day)
    start = (at.replace(day=1) - FIRST).days
    return PER_MONTH // (next_month(day) - start)


@dataclass
class Span:
    """From `start` until `end` (None: open) there is a pause, or `count` of the add-on."""

    start: int
    end: int | None
    count: int = 1

    def has(self, day: int) -> bool:
        """Tell whether the day is inside."""
        return self.start <= day and (self.end is None or day < self.end)


@dataclass
class Model:
    """What was agreed, as lists of (from day, what)."""

    terms: list[tuple[int, tuple[str, int]]] = field(default_factory=lambda: [(0, ("basic", 1))])
    seats: list[tuple[int, int]] = field(default_factory=lambda: [(0, 1)])
    own: list[tuple[int, str, int | None]] = field(default_factory=list)  # None: the list price again, 0: dropped
    pauses: list[Span] = field(default_factory=list)
    add_ons: list[Span] = field(default_factory=list)
    end: int | None = None
    keeps_fees: bool = False
    calls: list[tuple[int, int]] = field(default_factory=list)

    def cancel(self, at: int, *, keeps_fees: bool) -> None:
        """The end, instead of any other."""
        self.end, self.keeps_fees = at, keeps_fees

    def change(self, plan: str, at: int) -> None:
        """Another plan from then on, whatever was planned."""
        self.terms = [one for one in self.terms if one[0] < at] + [(at, (plan, NEWEST[plan]))]

    def migrate(self, at: int) -> None:
        """The newest version of the plan of that time, until the next change."""
        start, (plan, _) = [one for one in self.terms if one[0] <= at][-1]
        if (start, (plan, NEWEST[plan])) in self.terms:
            return
        self.terms = sorted([one for one in self.terms if one[0] != at] + [(at, (plan, NEWEST[plan]))])

    def set_seats(self, count: int, at: int) -> None:
        """So many seats from then on."""
        self.seats = [one for one in self.seats if one[0] < at] + [(at, count)]

    def agree(self, price: int | None, at: int) -> None:
        """A fee of its own on the plan of that time."""
        plan = self.plan_on(at)[0]
        self.own = [one for one in self.own if one[0] < at or one[1] != plan] + [(at, plan, price)]

    def resume(self, at: int) -> None:
        """End the pause that holds."""
        for one in self.pauses:
            if one.has(at):
                one.end = at

    def set_add_on(self, count: int, at: int) -> None:
        """So many of the add-on from then on, until the end that it had."""
        for one in [one for one in self.add_ons if one.has(at)]:
            if count:
                self.add_ons.append(Span(at, one.end, count))
            one.end = at

    def undo(self, what: str, now: int) -> None:
        """Forget what is to come."""
        if what == "cancel":
            self.end, self.keeps_fees = None, False
        elif what == "change plan":
            self.terms = [one for one in self.terms if one[0] <= now]
        elif what == "quantity":
            self.seats = [one for one in self.seats if one[0] <= now]
        elif what == "override":
            self.own = [one for one in self.own if one[0] <= now]
        elif what == "pause":
            self.pauses = [one for one in self.pauses if one.start <= now]
        else:
            self.add_ons = [one for one in self.add_ons if one.start <= now]
            for one in self.add_ons:
                one.end = None if one.end is not None and one.end > now else one.end

    def plan_on(self, day: int) -> tuple[str, int]:
        """Return plan and version of a day."""
        return [plan for start, plan in self.terms if start <= day][-1]

    def is_paused(self, day: int) -> bool:
        """Tell whether the day is paused."""
        return any(one.has(day) for one in self.pauses)

    def fee_of(self, day: int, at: int) -> int:
        """Return the fee for the day `at` by what was agreed on `day`."""
        plan, version = self.plan_on(day)
        own = [price for start, one, price in self.own if one == plan and start <= day]
        factor = PRICES[plan, version][0] if not own or own[-1] is None else own[-1]
        return factor * [count for start, count in self.seats if start <= day][-1] * per_day(at)

    def add_on_of(self, day: int, at: int) -> int:
        """Return the fees of add-ons for the day `at` by what was attached on `day`."""
        return sum(ADD_ON * one.count * per_day(at) for one in self.add_ons if one.has(day))

    def expected(self) -> int:
        """Return what all days and calls until the end come to."""
        end = self.end
        assert end is not None
        open_days = [day for day in range(end) if not self.is_paused(day)]
        total = sum(self.fee_of(day, day) + self.add_on_of(day, day) for day in open_days)
        total += sum(PRICES[self.plan_on(day)][2] * count for day, count in self.calls if day in open_days)
        return total + self._kept(end)

    def _kept(self, end: int) -> int:
        last = end - 1
        if not self.keeps_fees or end == 0 or self.is_paused(last) or next_month(last) == end:
            return 0
        is_in_advance = PRICES[self.plan_on(last)][1]
        days = range(end, next_month(last))
        return sum((self.fee_of(last, day) if is_in_advance else 0) + self.add_on_of(last, day) for day in days)
