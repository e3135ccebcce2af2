"""`tollkeeper events`: prove that the stored events are what was accepted, take them out, take them elsewhere."""

import json
import sys
from collections import Counter
from datetime import date, datetime, timedelta
from pathlib import Path

import click
from sqlalchemy.orm import Session

from tollkeeper.clock import SystemClock
from tollkeeper.commands.database import database_at, open_database
from tollkeeper.commands.forget import forget_command
from tollkeeper.config import load_settings
from tollkeeper.customers.customers import get_customer
from tollkeeper.customers.subjects import subjects_of_customer
from tollkeeper.errors import Conflict, InvalidInput
from tollkeeper.metering.copy_events import copy_events
from tollkeeper.metering.export_days import State, check_days, export_days, note_export
from tollkeeper.metering.export_events import export_events
from tollkeeper.metering.findings import Finding, Range, Verified
from tollkeeper.metering.parquet_files import require_parquet
from tollkeeper.metering.stores.locate import open_archive_at
from tollkeeper.metering.stores.move import move_all_events, return_events
from tollkeeper.metering.verify import verify_events, whole_range
from tollkeeper.storage.test_clock import read_offset

EPOCH = date(1970, 1, 1)
ARCHIVES = {"clickhouse", "clickhouses", "chdb"}
DAY = click.DateTime(["%Y-%m-%d"])


@click.group()
def events() -> None:
    """Stored events: verify, export, check an export, copy, forget a person."""


events.add_command(forget_command)


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
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--format", "kind", type=click.Choice(["jsonl", "parquet"]), default="jsonl", help="parquet: PATH is a folder."
)
@click.option("--from", "first", type=DAY, metavar="DAY", help="First day, in UTC; by default that of the first event.")
@click.option("--to", "end", type=DAY, metavar="DAY", help="Day after the last; by default after the last event.")
@click.option("--customer", help="Only events of subjects that are or were this customer's (key or id).")
def export_command(path: Path, kind: str, first: datetime | None, end: datetime | None, customer: str | None) -> None:
    """Write stored events to PATH, as they were received.

    jsonl: one file (.jsonl.gz), a CloudEvent a line. The same events give the same bytes, and POST /api/v1/events
    takes the lines back.

    parquet: a folder with a file for each day that is over, and manifest.json with their digests, each proved by
    reading it back. Days that the folder holds are not written again unless their events changed. Needs the extra
    `parquet`. `tollkeeper events check-export` checks the folder later.
    """
    if kind == "parquet":
        _export_parquet(path, first, end, customer)
        return
    if path.is_dir():
        raise InvalidInput.of("/path", f"{path} is a folder; name a file, or say --format parquet")
    with open_database() as database, database.snapshot() as session:
        written = export_events(session, _range(session, first, end, customer), path)
    click.echo(f"{written.events} events in {path}; SHA-256 of the lines: {written.sha256}")


@events.command("check-export")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line; the last one is the summary.")
def check_export_command(folder: Path, *, as_json: bool) -> None:
    """Recompute the digests of an export's files from their rows and compare them with those in the store.

    Reports each day that is not equal, and ends with 1 if a file was changed or is not what the store accepted. Days
    that grew since, or in which somebody was forgotten, are no difference: export them again.
    """
    require_parquet()
    counts: Counter[State] = Counter()
    with open_database() as database, database.snapshot() as session:
        for checked in check_days(session, folder):
            counts[checked.state] += 1
            if as_json:
                click.echo(json.dumps(checked._asdict()))
            elif checked.state != State.EQUAL:
                click.echo(f"{checked.state:12}  {checked.day}  {checked.detail}")
    if as_json:
        click.echo(json.dumps({state.value: counts[state] for state in State}))
    else:
        click.echo(f"{counts[State.EQUAL]} of {counts.total()} days are equal to what was accepted")
    sys.exit(1 if counts[State.CHANGED_FILE] or counts[State.DIFFERS] else 0)


def _export_parquet(folder: Path, first: datetime | None, end: datetime | None, customer: str | None) -> None:
    if customer is not None:
        raise InvalidInput.of("/customer", "a Parquet export holds whole days; leave it out, or say --format jsonl")
    if folder.exists() and not folder.is_dir():
        raise InvalidInput.of("/path", f"{folder} is a file; name a folder")
    require_parquet()
    days = written = count = 0
    with open_database() as database, database.snapshot() as session:
        now = SystemClock().now() + read_offset(session)
        wanted = _range(session, first, end, None)
        wanted = wanted._replace(end_day=min(wanted.end_day, (now.date() - EPOCH).days))
        for exported in export_days(session, wanted, folder):
            with database.transaction() as writing:
                note_export(writing, exported, now=now)
            days, written, count = days + 1, written + exported.is_new, count + exported.entry.events
    click.echo(f"{count} events of {days} days in {folder}, {written} days written now")


@events.command("copy")
@click.option("--from", "source", required=True, metavar="URL", help="Where the events are: sqlite:, postgresql:.")
@click.option("--to", "target", required=True, metavar="URL", help="Where they shall be, too; its schema is made.")
def copy_command(source: str, target: str) -> None:
    """Copy all events from one database to another, and prove by the digests that the copy is the same.

    Run it again after a kill: days that are equal are passed over. Exits 1 where the two differ. With a clickhouse: URL
    as --to the raw events are moved there from --from, with one as --from they are brought back into --to: then set, or
    take away, EVENTS_URL.
    """
    ends = {source.partition(":")[0], target.partition(":")[0]}
    try:
        if ends & ARCHIVES:
            count = _move_all(source, target)
            click.echo(f"{count} events moved, each read back")
            return
        with database_at(source) as one, database_at(target) as other:
            copied = copy_events(one, other, now=SystemClock().now(), progress=_show_day)
    except Conflict as error:
        raise click.ClickException(error.message) from None
    click.echo(f"{copied.events} events copied; {copied.days} days are the same, {copied.same_days} were before")


def _move_all(source: str, target: str) -> int:
    is_back = source.partition(":")[0] in ARCHIVES
    password = load_settings().events_password
    archive = open_archive_at(source if is_back else target, password.get_secret_value() if password else None)
    count = 0
    with database_at(target if is_back else source, archive=archive) as database:
        if not is_back:
            return move_all_events(database, archive, progress=_show_progress)
        while moved := return_events(database, archive):
            count += moved
            _show_progress(count)
    return count


def _show_day(day: int, count: int) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r{_day(day)}: {count} events", nl=False, err=True)


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
        summary["dropped"] = {"days": done.dropped_days, "events": done.dropped_events}
        click.echo(json.dumps(summary))
        return
    for one in late:
        click.echo(
            f"late       {one['day']}  grew by {one['events']} events that arrived on {one['arrived']}: in order"
        )
    if done.dropped_days:
        click.echo(
            f"dropped    {done.dropped_events} raw events of {done.dropped_days} days: their digests and totals are as "
            "they were then; `tollkeeper events check-export` proves the events from their export"
        )
    click.echo(f"{done.events} events, {done.subject_days} digests: {differences or 'no'} differences")


def _day(number: int) -> str:
    return (EPOCH + timedelta(days=number)).isoformat()
