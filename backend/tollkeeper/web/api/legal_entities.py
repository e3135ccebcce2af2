"""Legal entities over the API: who sells, how numbers look, and the terms of payment."""

from typing import Annotated, Any

from flask import Blueprint
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from tollkeeper.customers.customers import get_customer
from tollkeeper.invoices.legal_entities import (
    MOST_DAYS,
    MOST_DIGITS,
    find_terms,
    get_legal_entity,
    list_legal_entities,
    read_terms,
    save_legal_entity,
    set_terms,
)
from tollkeeper.invoices.tables import CreditBeforeTax, LastBelowMinimum, TaxMode
from tollkeeper.web.api.conventions import endpoint
from tollkeeper.web.api.customers import Address, Email, Name
from tollkeeper.web.context import snapshot, transaction

blueprint = Blueprint("api_legal_entities", __name__, url_prefix="/api/v1")

Prefix = Annotated[str, Field(min_length=1, max_length=20, examples=["DE-"])]
Days = Annotated[int, Field(ge=0, le=MOST_DAYS, description="Days from the issue to the due date; 0: due at once.")]


class LegalEntityIn(BaseModel):
    """The fields to be set; what is absent stays, or is the usual of a new one."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[Name | None, Field(description="As it stands on documents.")] = None
    address: Address | None = None
    tax_id: Annotated[str | None, Field(max_length=64, pattern=r"^[^\x00]*$")] = None
    email: Email | None = None
    payment_term_days: Days = 30
    minimum_totals: Annotated[
        dict[str, str],
        Field(
            max_length=200,
            description="By currency: an invoice of less is not issued, its charges are carried to the next one.",
            examples=[{"EUR": "5.00"}],
        ),
    ] = {}
    last_below_minimum: Annotated[
        LastBelowMinimum,
        Field(description="What becomes of less than that when a payer's subscriptions have ended: issue or waive it."),
    ] = LastBelowMinimum.ISSUE
    sends_invoices: Annotated[
        bool, Field(description="Send invoices by e-mail as they are issued, to customers who have an address.")
    ] = False
    tax_mode: Annotated[
        TaxMode,
        Field(description="`none`: no tax; `own`: by the tax rates here, needs a country; `stripe`: refused."),
    ] = TaxMode.NONE
    prices_include_tax: Annotated[bool, Field(description="Whether prices are with tax in them.")] = False
    credit_before_tax: Annotated[
        CreditBeforeTax,
        Field(
            description="Which prepaid credit is drawn before tax and lessens it; the other pays the total with tax."
        ),
    ] = CreditBeforeTax.PROMOTIONAL
    number_prefix: Annotated[Prefix, Field(description="Of invoices: A-Z, 0-9, /, _ and -.")] = "INV-"
    number_digits: Annotated[int, Field(ge=1, le=MOST_DIGITS, description="Least digits of a number.")] = 6
    credit_note_prefix: Annotated[Prefix, Field(description="Of credit notes, which are counted apart.")] = "CN-"


class LegalEntityOut(BaseModel):
    """Who sells; `last_number` and `last_credit_note` say how far its gap-free sequences are."""

    key: str
    name: str
    address: dict[str, Any] | None
    tax_id: str | None
    email: str | None
    payment_term_days: int
    minimum_totals: dict[str, str]
    last_below_minimum: str
    sends_invoices: bool
    tax_mode: TaxMode
    prices_include_tax: bool
    credit_before_tax: CreditBeforeTax
    number_prefix: str
    number_digits: int
    last_number: int
    credit_note_prefix: str
    last_credit_note: int


class LegalEntities(BaseModel):
    """All legal entities."""

    items: list[LegalEntityOut]


class TermsIn(BaseModel):
    """What was agreed with a payer; null leaves it to the legal entity."""

    model_config = ConfigDict(extra="forbid")

    legal_entity: Annotated[str | None, Field(max_length=40, pattern=r"^[^\x00]*$")] = None
    payment_term_days: Days | None = None


class TermsOut(BaseModel):
    """What was agreed with a payer, and what holds in the end."""

    legal_entity: str | None
    payment_term_days: int | None
    effective_legal_entity: str
    effective_payment_term_days: int


@blueprint.get("/legal-entities")
@endpoint("read", answer=LegalEntities)
def list_entities() -> LegalEntities:
    """List the legal entities; the first, `default`, is there from the first invoice on."""
    with snapshot() as session:
        rows = list_legal_entities(session)
        return LegalEntities(items=[LegalEntityOut.model_validate(row, from_attributes=True) for row in rows])


@blueprint.get("/legal-entities/<key>")
@endpoint("read", answer=LegalEntityOut)
def show_entity(key: str) -> LegalEntityOut:
    """Show a legal entity."""
    with snapshot() as session:
        return LegalEntityOut.model_validate(get_legal_entity(session, key), from_attributes=True)


@blueprint.put("/legal-entities/<key>")
@endpoint("admin", body=LegalEntityIn, answer=LegalEntityOut)
def save(key: str, body: LegalEntityIn) -> LegalEntityOut:
    """Make a legal entity, or change the named fields of one; issued documents keep what they say."""
    with transaction() as session:
        saved = save_legal_entity(session, key, body.model_dump(exclude_unset=True))
        return LegalEntityOut.model_validate(saved, from_attributes=True)


@blueprint.get("/customers/<customer>/billing-terms")
@endpoint("read", answer=TermsOut)
def show_terms(customer: str) -> TermsOut:
    """Show who sells to a customer and in how many days it pays."""
    with transaction() as session:  # the first look makes the default legal entity
        return _describe(session, get_customer(session, customer).id)


@blueprint.put("/customers/<customer>/billing-terms")
@endpoint("write", body=TermsIn, answer=TermsOut)
def save_terms(customer: str, body: TermsIn) -> TermsOut:
    """Set who sells to a customer and in how many days it pays; for invoices drafted from now on."""
    with transaction() as session:
        terms = set_terms(session, customer, legal_entity=body.legal_entity, payment_term_days=body.payment_term_days)
        return _describe(session, terms.customer_id)


def _describe(session: Session, customer_id: str) -> TermsOut:
    own, whole = find_terms(session, customer_id), read_terms(session, [customer_id])
    seller = whole.seller_of(customer_id)
    return TermsOut(
        legal_entity=own.legal_entity if own else None,
        payment_term_days=own.payment_term_days if own else None,
        effective_legal_entity=seller,
        effective_payment_term_days=whole.days_of(customer_id, seller),
    )
