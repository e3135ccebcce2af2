"""Forgetting a person, over the API."""

from datetime import datetime
from typing import Annotated

from flask import Blueprint
from pydantic import BaseModel, ConfigDict, Field

from tollkeeper.invoices.forget import forget_person, list_acts
from tollkeeper.metering.export_days import name_of
from tollkeeper.metering.forget_person import Person
from tollkeeper.metering.keeping_tables import ForgettingAct
from tollkeeper.web.api.conventions import endpoint
from tollkeeper.web.api.paging import Page, PageQuery, page_of
from tollkeeper.web.auth import calling_key
from tollkeeper.web.context import snapshot, transaction, web_context

blueprint = Blueprint("api_forget", __name__, url_prefix="/api/v1")

Word = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^\x00]*$")]
Words = Annotated[list[Word], Field(max_length=100)]


class PersonIn(BaseModel):
    """By what a person is known; one name of a consumer finds its others."""

    model_config = ConfigDict(extra="forbid")

    subjects: Annotated[Words, Field(description="Subjects of events.")] = []
    consumer_ids: Annotated[Words, Field(description="Kong's ids of the consumer.")] = []
    usernames: Annotated[Words, Field(description="Kong's usernames of the consumer.")] = []
    custom_ids: Annotated[Words, Field(description="Kong's custom ids of the consumer.")] = []
    credentials: Annotated[
        Words, Field(description="Ids of credentials; those of the consumer are found without.")
    ] = []
    fields: Annotated[
        dict[Word, Words],
        Field(max_length=20, description="Other paths in `data`, each with the person's values: texts."),
    ] = {}


class ForgettingOut(BaseModel):
    """An act of forgetting; it holds no identifier."""

    id: str
    forgotten_at: datetime
    by: Annotated[str, Field(description="Label of the API key, or `command line`.")]
    events: Annotated[int, Field(description="How many events were rewritten.")]
    subjects: int
    dimension_sets: int


class ForgottenOut(ForgettingOut):
    """What an act came to."""

    proofs: Annotated[int, Field(description="Charges of invoices whose proofs were carried over.")]
    exported_days: Annotated[
        list[str], Field(description="Days that were exported as Parquet before: export them again, or delete them.")
    ]


@blueprint.post("/events/forget")
@endpoint("admin", body=PersonIn, answer=ForgottenOut)
def forget(body: PersonIn) -> ForgottenOut:
    """Forget a person.

    Replaces the identifiers by pseudonyms that cannot be led back, in events, subjects, mappings and Kong's consumers.
    Totals, digests and invoices stay valid. It cannot be undone. A repeat finds nothing more.
    """
    person = Person(**body.model_dump())
    with transaction() as session:
        done = forget_person(session, person, by=calling_key().label, now=web_context().clock.now())
        days = [name_of(day) for day in done.exported_days]
        return ForgottenOut(**_describe(done.act).model_dump(), proofs=done.proofs, exported_days=days)


@blueprint.get("/events/forgettings")
@endpoint("admin", query=PageQuery, answer=Page[ForgettingOut])
def list_forgettings(query: PageQuery) -> Page[ForgettingOut]:
    """List acts of forgetting, oldest first: when, by whom and how much, and nobody's name."""
    with snapshot() as session:
        rows = list_acts(session, after=query.after(), limit=query.limit + 1)
        return page_of(rows, query.limit, _describe, lambda act: act.id)


def _describe(act: ForgettingAct) -> ForgettingOut:
    return ForgettingOut(
        id=act.id,
        forgotten_at=act.forgotten_at,
        by=act.by,
        events=act.events,
        subjects=act.subjects,
        dimension_sets=act.dimension_sets,
    )
