"""`tollkeeper clock`: show the tenant's time, advance the test clock."""

from datetime import UTC, datetime

import click

from tollkeeper.app import job_context_of
from tollkeeper.commands.database import open_database
from tollkeeper.commands.logs import configure_logs
from tollkeeper.config import load_settings
from tollkeeper.errors import InvalidInput, NotAllowed
from tollkeeper.jobs.advance import advance_clock
from tollkeeper.storage.test_clock import open_clock

LATEST_YEAR = 3000  # calendars cannot compute far beyond


@click.group()
def clock() -> None:
    """The tenant's time: show it, advance it."""


@clock.command("show")
def show_command() -> None:
    """Show the tenant's time."""
    settings = load_settings()
    with open_database() as database:
        opened = open_clock(database, is_test_clock=settings.test_clock)
        click.echo(opened.clock.now().isoformat(timespec="seconds").replace("+00:00", "Z"))


@clock.command("advance")
@click.option("--to", "to_text", required=True, metavar="INSTANT", help="Like 2027-01-01T00:00:00Z.")
def advance_command(to_text: str) -> None:
    """Move the tenant's time forward, and run what falls due on the way, in order.

    Needs TOLLKEEPER_TEST_CLOCK=1 here, and a server that was started with it.
    """
    settings = load_settings()
    configure_logs(settings.log_level)
    if not settings.test_clock:
        raise NotAllowed("the test clock is closed: set TOLLKEEPER_TEST_CLOCK=1, and never in production")
    to = _read_instant(to_text)
    with open_database() as database:
        opened = open_clock(database, is_test_clock=True)
        assert opened.offset is not None
        steps = advance_clock(job_context_of(settings, database, opened.clock), opened.offset, to)
        shown = opened.clock.now().isoformat(timespec="seconds").replace("+00:00", "Z")
    click.echo(f"It is {shown}; {steps} steps.")


def _read_instant(text: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
        is_usable = instant.tzinfo is not None and instant.astimezone(UTC).year < LATEST_YEAR
    except (ValueError, OverflowError):
        is_usable = False
    if not is_usable:
        raise InvalidInput.of("/to", f"{text!r} is no instant; write it like 2027-01-01T00:00:00Z")
    return instant.astimezone(UTC)
