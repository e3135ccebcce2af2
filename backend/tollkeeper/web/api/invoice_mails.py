"""Invoices by e-mail over the API: where it stands, and send one, also once more."""

from datetime import datetime
from typing import Annotated

from flask import Blueprint
from pydantic import BaseModel, Field

from tollkeeper.invoices.mail import ask_for_mail, list_mails
from tollkeeper.invoices.reading import get_invoice
from tollkeeper.web.actor import acting_key
from tollkeeper.web.api.conventions import endpoint
from tollkeeper.web.context import snapshot, transaction, web_context

blueprint = Blueprint("api_invoice_mails", __name__, url_prefix="/api/v1")


class MailOut(BaseModel):
    """One e-mail: waiting until it is sent or given up."""

    id: Annotated[str, Field(description="Also the first half of its Message-ID.")]
    asked_at: datetime
    asked_by: str
    attempts: int
    next_attempt_at: Annotated[datetime | None, Field(description="Null when it is sent or given up.")]
    sent_at: Annotated[datetime | None, Field(description="When the mail server took it.")]
    given_up_at: datetime | None
    last_error: Annotated[str | None, Field(description="Why the last attempt failed.")]


class Mails(BaseModel):
    """The e-mails of an invoice, oldest first."""

    items: list[MailOut]


@blueprint.get("/invoices/<id_or_number>/mails")
@endpoint("read", answer=Mails)
def list_of_invoice(id_or_number: str) -> Mails:
    """List the e-mails by which an invoice was or will be sent."""
    with snapshot() as session:
        mails = list_mails(session, get_invoice(session, id_or_number).id)
        return Mails(items=[MailOut.model_validate(mail, from_attributes=True) for mail in mails])


@blueprint.post("/invoices/<id_or_number>/mails")
@endpoint("write")
def send(id_or_number: str) -> None:
    """Send an issued invoice by e-mail to its customer, also once more; the job `send_mails` does it."""
    with transaction() as session:
        ask_for_mail(session, id_or_number, by=acting_key(), now=web_context().clock.now())
