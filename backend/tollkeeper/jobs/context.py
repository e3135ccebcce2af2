"""What every job needs: the database, the clock, the settings, the payment account."""

from dataclasses import dataclass
from datetime import timedelta

from tollkeeper.clock import Clock
from tollkeeper.config import Settings
from tollkeeper.payments.client import StripeAccount, find_account
from tollkeeper.storage.session import Database


@dataclass(frozen=True, slots=True)
class JobContext:
    """Made once per process that runs jobs; `stripe_account` is None without a key."""

    database: Database
    clock: Clock
    settings: Settings
    stripe_account: StripeAccount | None = None

    @property
    def grace(self) -> timedelta:
        """Return how long after a period's end its late events are waited for."""
        return timedelta(seconds=self.settings.late_event_grace_seconds)


def make_job_context(settings: Settings, database: Database, clock: Clock) -> JobContext:
    """Return the context of this process; raises InvalidInput for wrong payment settings."""
    key = settings.stripe_api_key.get_secret_value() if settings.stripe_api_key else None
    account = find_account(database, api_key=key, api_base=settings.stripe_api_base, stand_in=settings.stripe_stand_in)
    return JobContext(database, clock, settings, account)
