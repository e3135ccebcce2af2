"""`tollkeeper events`: prove that the stored events are what was accepted, take them out."""

import json
import sys
from datetime import date, datetime, timedelta
from pathlib import Path

import click
from sqlalchemy.orm import Session

from tollkeeper.commands.database import open_database
from tollkeeper.customers.customers import get_customer
from tollkeeper.customers.subjects import subjects_of_customer
from tollkeeper.metering.export_events import export_events
from tollkeeper.metering.findings import Finding, Range, Verified
from tollkeeper.metering.verify import verify_events, whole_range

EPOCH = date(1970, 1, 1)
DAY = click.DateTime(["%Y-%m-%d"])


@click.group()
def events() -> None:
    """Stored events: verify, export."""


@events.command("verify")
@click.option("--from", "first", type=DAY, metavar="DAY", help="First day, in UTC; by default that of the first event.")
@click.option("--to", "end", type=DAY, metavar="DAY", help="Day after the last; by default after the last event.")
@click.option("--customer", help="Only events of subjects that are or were this customer's (key or id).")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line; the last one is the summary.")
def verify_command(first: datetime | None, end: datetime | None, customer: str | None, *, as_json: bool) -> None:
    """Recompute totals and digests from the raw events; report every difference and exit 1 if there is one.

    Reads all events of the days once; the server may run meanwhile.
    """
    done, differences = Verified(), 0
    with open_database() as database, database.snapshot() as session:
        wanted = _range(session, first, end, customer)
        for finding in verify_events(session, wanted, done, _show_progress):
            differences += 1
            click.echo(json.dumps(_describe(finding)) if as_json else _line(finding))
    _sum_up(done, differences, as_json=as_json)
    sys.exit(1 if differences else 0)


@events.command("export")
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False, writable=True))
@click.option("--from", "first", type=DAY, metavar="DAY", help="First day, in UTC; by default that of the first event.")
@click.option("--to", "end", type=DAY, metavar="DAY", help="Day after the last; by default after the last event.")
@click.option("--customer", help="Only events of subjects that are or were this customer's (key or id).")
def export_command(path: Path, first: datetime | None, end: datetime | None, customer: str | None) -> None:
    """Write stored events to PATH (.jsonl.gz), a CloudEvent a line, as they were received.

    The same events give the same bytes. POST /api/v1/events takes the lines back.
    """
    with open_database() as database, database.snapshot() as session:
        written = export_events(session, _range(session, first, end, customer), path)
    click.echo(f"{written.events} events in {path}; SHA-256 of the lines: {written.sha256}")


def _range(session: Session, first: datetime | None, end: datetime | None, customer: str | None) -> Range:
    subjects = None
    if customer is not None:
        attributions = subjects_of_customer(session, get_customer(session, customer).id)
        subjects = sorted({attribution.subject for attribution in attributions})
    whole = whole_range(session, subjects)
    return Range(
        whole.first_day if first is None else (first.date() - EPOCH).days,
        whole.end_day if end is None else (end.date() - EPOCH).days,
        subjects,
    )


def _show_progress(count: int) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r{count} events", nl=False, err=True)


def _describe(finding: Finding) -> dict[str, str | None]:
    day = None if finding.day is None else _day(finding.day)
    return {"kind": finding.kind, "day": day, "subject": finding.subject, "detail": finding.detail}


def _line(finding: Finding) -> str:
    day = "-" if finding.day is None else _day(finding.day)
    return f"{finding.kind:10} {day:10}  {finding.subject or '-'}: {finding.detail}"


def _sum_up(done: Verified, differences: int, *, as_json: bool) -> None:
    late = [
        {"day": _day(day), "arrived": _day(arrived), "events": count}
        for (day, arrived), count in sorted(done.late.items())
    ]
    if as_json:
        summary = {"events": done.events, "digests": done.subject_days, "late": late, "differences": differences}
        click.echo(json.dumps(summary))
        return
    for one in late:
        click.echo(
            f"late       {one['day']}  grew by {one['events']} events that arrived on {one['arrived']}: in order"
        )
    click.echo(f"{done.events} events, {done.subject_days} digests: {differences or 'no'} differences")


def _day(number: int) -> str:
    return (EPOCH + timedelta(days=number)).isoformat()
