"""Migrations of a plan's subscriptions over the API: whom they concern, what they mean in money, and the act."""

from datetime import datetime
from typing import Annotated, Literal

from flask import Blueprint
from pydantic import BaseModel, ConfigDict, Field

from tollkeeper.invoices.preview_migration import Amounts, PreviewedMigration, preview_migration
from tollkeeper.money import format_minor
from tollkeeper.subscriptions.listing import list_subscriptions_of_plan
from tollkeeper.subscriptions.migrate import list_outdated, migrate_some
from tollkeeper.web.api.conventions import endpoint
from tollkeeper.web.api.paging import Page, PageQuery, encode_cursor, page_of
from tollkeeper.web.api.plans import VersionNumber
from tollkeeper.web.api.subscription_out import SubscriptionOut, describe_one
from tollkeeper.web.api.subscriptions import When
from tollkeeper.web.context import snapshot, transaction, web_context

blueprint = Blueprint("api_migrations", __name__, url_prefix="/api/v1/plans")


class ConcernedQuery(PageQuery):
    """All versions, or one."""

    version: Annotated[VersionNumber | None, Field(description="Number; by default every version.")] = None


class MigrationQuery(PageQuery):
    """From when the version on sale would hold."""

    at: Literal["now", "period_end"] = "period_end"


class MigrationIn(BaseModel):
    """From when the version on sale holds, and for how many subscriptions in this call."""

    model_config = ConfigDict(extra="forbid")

    at: When = "period_end"
    cursor: Annotated[str | None, Field(description="`next_cursor` of the call before.")] = None
    limit: Annotated[int, Field(ge=1, le=1000, description="All or none of them, in one transaction.")] = 100


class AmountsOut(BaseModel):
    """Money of the payer, as decimals."""

    next_invoice: Annotated[str, Field(description="What is billed until `billed_until`, at the usage so far.")]
    whole_period: Annotated[str, Field(description="One period of each rate card, at the running period's usage.")]


class PreviewedMigrationOut(BaseModel):
    """What a migration would change; nothing of it is done."""

    subscription: str
    customer: str
    payer: str
    currency: str
    moment: Annotated[datetime | None, Field(description="When the version on sale would hold.")]
    billed_until: datetime | None
    before: AmountsOut | None
    after: AmountsOut | None
    problem: Annotated[str | None, Field(description="Why it cannot be migrated, or its money not be said.")]


class RefusedOut(BaseModel):
    """One that was left as it is."""

    subscription: str
    reason: str


class MigrationOut(BaseModel):
    """What became of these subscriptions; go on with `next_cursor` until it is null."""

    moved: list[str]
    already: Annotated[list[str], Field(description="On the version on sale at that time already.")]
    refused: list[RefusedOut]
    next_cursor: str | None


@blueprint.get("/<key>/subscriptions")
@endpoint("read", query=ConcernedQuery, answer=Page[SubscriptionOut])
def list_concerned_subscriptions(key: str, query: ConcernedQuery) -> Page[SubscriptionOut]:
    """List the subscriptions that hold a version of a plan now or later, oldest first."""
    now = web_context().clock.now()
    with snapshot() as session:
        rows = list_subscriptions_of_plan(
            session, key, version=query.version, now=now, after=query.after(), limit=query.limit + 1
        )
        return page_of(rows, query.limit, lambda row: describe_one(session, row, now), lambda row: row.id)


@blueprint.get("/<key>/migration")
@endpoint("read", query=MigrationQuery, answer=Page[PreviewedMigrationOut])
def preview_plan_migration(key: str, query: MigrationQuery) -> Page[PreviewedMigrationOut]:
    """Say for each subscription on an older version what the payer's next invoice would be before and after."""
    now = web_context().clock.now()
    with transaction() as session:
        rows = list_outdated(session, key, now=now, after=query.after(), limit=query.limit + 1)
        answer = page_of(
            rows,
            query.limit,
            lambda row: _describe(preview_migration(session, row, at=query.at, now=now)),
            lambda row: row.id,
        )
        session.rollback()
    return answer


@blueprint.post("/<key>/migrate")
@endpoint("write", body=MigrationIn, answer=MigrationOut)
def migrate_plan(key: str, body: MigrationIn) -> MigrationOut:
    """Move the subscriptions of a plan to its version on sale, some at a time; a repeat moves only who is left."""
    after = PageQuery(cursor=body.cursor).after()
    with transaction() as session:
        now = web_context().clock.now()
        page = migrate_some(session, key, at=body.at, now=now, after=after, limit=body.limit)
    return MigrationOut(
        moved=page.moved,
        already=page.already,
        refused=[RefusedOut(subscription=one, reason=reason) for one, reason in page.refused.items()],
        next_cursor=page.next_after and encode_cursor(page.next_after),
    )


def _describe(one: PreviewedMigration) -> PreviewedMigrationOut:
    currency = one.currency
    return PreviewedMigrationOut(
        subscription=one.subscription_id,
        customer=one.customer_key,
        payer=one.payer_key,
        currency=currency,
        moment=one.moment,
        billed_until=one.billed_until,
        before=_amounts(one.before, currency),
        after=_amounts(one.after, currency),
        problem=one.problem,
    )


def _amounts(amounts: Amounts | None, currency: str) -> AmountsOut | None:
    if amounts is None:
        return None
    return AmountsOut(
        next_invoice=format_minor(amounts.next_invoice_minor, currency),
        whole_period=format_minor(amounts.whole_period_minor, currency),
    )
