"""`tollkeeper plan`: plans kept as files, and applied again and again."""

import json
from typing import Any, Literal

import click
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from tollkeeper.catalog.apply import Applied, apply_plan
from tollkeeper.catalog.diff import Change, diff_specs
from tollkeeper.catalog.features import FeatureDraft, create_feature, find_feature
from tollkeeper.catalog.plans import find_version_in, get_published_version, list_plans
from tollkeeper.catalog.preview import preview_plan
from tollkeeper.catalog.publish import check_publishable
from tollkeeper.catalog.spec import PlanSpec
from tollkeeper.catalog.tables import PlanVersion
from tollkeeper.catalog.versions import get_version, list_versions, plan_spec_of
from tollkeeper.catalog.words import Key, Name
from tollkeeper.clock import SystemClock
from tollkeeper.commands.database import acting, note_act, open_database
from tollkeeper.commands.documents import read_file
from tollkeeper.errors import InvalidInput
from tollkeeper.invoices.preview_migration import PreviewedMigration, preview_migration
from tollkeeper.metering.filters import check_filter
from tollkeeper.money import format_minor
from tollkeeper.rating.decimals import read_decimal
from tollkeeper.rating.reading import read_document
from tollkeeper.rating.statement import statement_of
from tollkeeper.storage.session import Database
from tollkeeper.subscriptions.migrate import list_outdated, migrate_some

PAGE_SIZE = 1000


class FeatureInFile(BaseModel):
    """A feature that the plan needs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: Key
    name: Name | None = None
    meter: Key | None = None
    filter: dict[str, Any] = Field(default_factory=dict)


class PlanFile(PlanSpec):
    """A plan as a file: its key, its content, and the features to create with it."""

    key: Key
    features: tuple[FeatureInFile, ...] = ()

    def spec(self) -> PlanSpec:
        """Return the content alone."""
        return PlanSpec(**{name: getattr(self, name) for name in PlanSpec.model_fields})


@click.group()
def plan() -> None:
    """Plans: apply a file, list, show, compare, price."""


@plan.command("apply")
@click.argument("file")
@click.option("--dry-run", is_flag=True, help="Say what would change and change nothing.")
@click.option("--replace-draft", is_flag=True, help="Overwrite a draft with other content.")
def apply_command(file: str, *, dry_run: bool, replace_draft: bool) -> None:
    """Publish the plan in FILE (JSON or YAML, "-" for standard input) as its next version if it changed."""
    document = _read_plan(file)
    now = SystemClock().now()
    with acting(only_tries=dry_run) as session:
        notes = _create_features(session, document, now=now)
        applied = apply_plan(session, document.key, document.spec(), now=now, replace_draft=replace_draft)
        for line in [*notes, *_told(document.key, applied)]:
            click.echo(line)
        if dry_run:
            click.echo("Nothing was changed: this was a dry run.")


@plan.command("validate")
@click.argument("file")
def validate_command(file: str) -> None:
    """Check the plan in FILE, alone and against the catalog, and change nothing."""
    document = _read_plan(file)
    with acting(only_tries=True) as session:
        _create_features(session, document, now=SystemClock().now())
        check_publishable(session, document.spec())
    click.echo(f"{document.key}: the plan can be published.")


@plan.command("list")
def list_command() -> None:
    """List plans: key, currency, version on sale, name."""
    with open_database() as database, database.snapshot() as session:
        after: str | None = None
        while page := list_plans(session, after=after, limit=PAGE_SIZE):
            for row in page:
                sold = find_version_in(session, row, "published")
                state = "archived" if row.archived_at else f"version {sold.version}" if sold else "draft"
                click.echo(f"{row.key:24}  {row.currency}  {state:12}  {row.name}")
            after = page[-1].id


@plan.command("show")
@click.argument("key")
@click.option("--version", "number", type=int, help="Its number; the version on sale by default.")
def show_command(key: str, *, number: int | None) -> None:
    """Print a plan's content as JSON, in the form that `apply` reads."""
    with open_database() as database, database.snapshot() as session:
        version = _version(session, key, number)
        click.echo(json.dumps({"key": key, **version.spec}, indent=2))


@plan.command("versions")
@click.argument("key")
def versions_command(key: str) -> None:
    """List the versions of a plan, newest first."""
    with open_database() as database, database.snapshot() as session:
        before: int | None = None
        while page := list_versions(session, key, before=before, limit=PAGE_SIZE):
            for version in page:
                since = version.published_at.isoformat() if version.published_at else "-"
                click.echo(f"{version.version:4}  {version.status:10}  {since}")
            before = page[-1].version


@plan.command("diff")
@click.argument("key")
@click.argument("older", type=int)
@click.argument("newer", type=int)
def diff_command(key: str, older: int, newer: int) -> None:
    """Say what differs between the versions OLDER and NEWER of a plan."""
    with open_database() as database, database.snapshot() as session:
        before, after = (plan_spec_of(get_version(session, key, number)) for number in (older, newer))
    for change in diff_specs(before, after):
        click.echo(_line_of(change))


@plan.command("preview")
@click.argument("key")
@click.option("--quantity", "quantities", multiple=True, metavar="FEATURE=QUANTITY", help="Usage; repeat it.")
@click.option("--version", "number", type=int, help="Its number; the version on sale by default.")
@click.option("--phase", help="Key of the phase; the last one by default.")
def preview_command(key: str, quantities: tuple[str, ...], *, number: int | None, phase: str | None) -> None:
    """Say what usage would cost on a plan: `plan preview pro --quantity requests=1500`."""
    usage = dict(_usage(text) for text in quantities)
    with open_database() as database, database.snapshot() as session:
        spec = plan_spec_of(_version(session, key, number))
    cards = preview_plan(spec, usage, phase_key=phase)
    total_minor = sum(card.rated.total_minor for card in cards)
    answer = {
        "currency": spec.currency,
        "rate_cards": [
            {"key": card.key, "billing_cadence": card.billing_cadence, **statement_of(card.rated, spec.currency)}
            for card in cards
        ],
        "total": format_minor(total_minor, spec.currency),
    }
    click.echo(json.dumps(answer, indent=2))


@plan.command("migrate")
@click.argument("key")
@click.option("--at", type=click.Choice(["now", "period_end"]), default="period_end", help="When it takes effect.")
@click.option("--preview", is_flag=True, help="Say what it would mean in money and change nothing.")
def migrate_command(key: str, *, at: Literal["now", "period_end"], preview: bool) -> None:
    """Move every subscription of a plan to its version on sale, a hundred at a time; it may be killed and run again."""
    with open_database() as database:
        count = _preview_all(database, key, at) if preview else _migrate_all(database, key, at)
    click.echo(f"plan {key}: {count} subscriptions {'would be' if preview else 'were'} moved")


def _preview_all(database: Database, key: str, at: Literal["now", "period_end"]) -> int:
    """Print before and after for each subscription; return how many would be moved."""
    now, after, count = SystemClock().now(), None, 0
    while True:
        with database.transaction() as session:
            rows = list_outdated(session, key, now=now, after=after, limit=100)
            found = [preview_migration(session, row, at=at, now=now) for row in rows]
            session.rollback()
        for one in found:
            click.echo(f"  {one.customer_key} {one.subscription_id}: {_told_of(one)}")
        count += sum(one.problem is None for one in found)
        if not found:
            return count
        after = found[-1].subscription_id


def _told_of(one: PreviewedMigration) -> str:
    if one.before is None or one.after is None or one.moment is None:
        return f"cannot be moved: {one.problem}"
    before, after = (
        [format_minor(minor, one.currency) for minor in (amounts.next_invoice_minor, amounts.whole_period_minor)]
        for amounts in (one.before, one.after)
    )
    return (
        f"from {one.moment.isoformat()}; next invoice of {one.payer_key} {before[0]} -> {after[0]}, "
        f"a whole period {before[1]} -> {after[1]} {one.currency}"
    )


def _migrate_all(database: Database, key: str, at: Literal["now", "period_end"]) -> int:
    """Migrate page by page, each in a transaction of its own; return how many were moved."""
    after, count = None, 0
    while True:
        with database.transaction() as session:
            page = migrate_some(session, key, at=at, now=SystemClock().now(), after=after)
            note_act(session)
        for one, reason in page.refused.items():
            click.echo(f"  {one}: left as it is: {reason}", err=True)
        count += len(page.moved)
        after = page.next_after
        if after is None:
            return count


def _read_plan(file: str) -> PlanFile:
    document = read_document(PlanFile, read_file(file), what="plan")
    for place, feature in enumerate(document.features):
        check_filter(feature.filter, f"/features/{place}/filter")
    return document


def _create_features(session: Session, document: PlanFile, *, now: Any) -> list[str]:
    notes = []
    for place, feature in enumerate(document.features):
        draft = FeatureDraft(
            key=feature.key, name=feature.name or feature.key, meter_key=feature.meter, filter=feature.filter
        )
        is_new = find_feature(session, feature.key) is None
        create_feature(session, draft, now=now, at=f"/features/{place}")
        notes += [f"feature {feature.key}: created"] if is_new else []
    return notes


def _version(session: Session, key: str, number: int | None) -> PlanVersion:
    return get_published_version(session, key) if number is None else get_version(session, key, number)


def _told(key: str, applied: Applied) -> list[str]:
    if not applied.is_changed:
        return [f"plan {key}: version {applied.version.version} is on sale already; nothing changed"]
    return [f"plan {key}: published version {applied.version.version}", *map(_line_of, applied.changes)]


def _line_of(change: Change) -> str:
    before, after = (
        "-" if value is None else json.dumps(value, ensure_ascii=False) for value in (change.before, change.after)
    )
    return f"  {change.path}: {before} -> {after}"


def _usage(text: str) -> tuple[str, Any]:
    feature, _, quantity = text.partition("=")
    try:
        return feature, read_decimal(quantity)
    except ValueError as error:
        raise InvalidInput(f"--quantity {text}: {error}; write it like requests=1500") from None
