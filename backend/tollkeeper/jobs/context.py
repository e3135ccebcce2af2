"""What every job needs: the database, the clock, the payment account and a few settings."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from tollkeeper.clock import Clock
from tollkeeper.notifications.smtp import MailServer
from tollkeeper.payments.client import StripeAccount
from tollkeeper.storage.session import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class JobContext:
    """Made once per process that runs jobs; `grace` is how long after a period's end late events are waited for."""

    database: Database
    clock: Clock
    data_dir: Path
    grace: timedelta = timedelta(hours=1)
    keep_events_days: int | None = None
    drop_only_exported: bool = True
    webhooks_to_loopback: bool = False
    mail_server: MailServer | None = None
    stripe_account: StripeAccount | None = None
