"""Legal entities: list, make, change; who sells, how its numbers look, and its terms of payment."""

from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from tollkeeper.errors import Conflict, InvalidInput
from tollkeeper.invoices.legal_entities import get_legal_entity, list_legal_entities, save_legal_entity
from tollkeeper.invoices.tables import DEFAULT_LEGAL_ENTITY, LastBelowMinimum, LegalEntity
from tollkeeper.rating.reading import read_document
from tollkeeper.web.admin.forms import Form
from tollkeeper.web.admin.who_fields import address_texts, read_address, read_pairs
from tollkeeper.web.api.legal_entities import LegalEntityIn
from tollkeeper.web.context import snapshot, transaction

blueprint = Blueprint("legal_entities", __name__, url_prefix="/legal-entities")

CLEARED = ("tax_id", "email")
TICKED = ("sends_invoices", "prices_include_tax")
KEPT = (
    "name", "payment_term_days", "last_below_minimum", "tax_mode", "credit_before_tax",
    "number_prefix", "number_digits", "credit_note_prefix",
)  # fmt: skip
LAST = {LastBelowMinimum.ISSUE: "is issued all the same", LastBelowMinimum.WAIVE: "is waived"}


@blueprint.get("")
def show_list() -> ResponseReturnValue:
    """List the legal entities by key."""
    with snapshot() as session:
        entities = list_legal_entities(session)
    return render_template("admin/legal_entities.html", entities=entities, default=DEFAULT_LEGAL_ENTITY)


@blueprint.get("/new")
def show_new() -> ResponseReturnValue:
    """Offer the form for a new one."""
    texts = {"key": request.args.get("key", ""), "payment_term_days": "30", "number_digits": "6"}
    return _form_page(Form(texts=texts))


@blueprint.post("/new")
def create() -> ResponseReturnValue:
    """Make a legal entity; the key must be new."""
    form = Form.of(request.form)
    key = form.text("key")
    try:
        with transaction() as session:
            if session.get(LegalEntity, key) is not None:
                raise InvalidInput.of("/key", "is that of another legal entity; change it on its page")
            entity = save_legal_entity(session, key, _changes(form))
    except (InvalidInput, Conflict) as error:
        return _form_page(form.with_errors(error)), 422
    flash(f"{entity.name} is made. Choose who sells to a customer on the customer’s page.")
    return redirect(url_for("admin.legal_entities.show_list"))


@blueprint.get("/<key>")
def show(key: str) -> ResponseReturnValue:
    """Offer the form with what is known."""
    with snapshot() as session:
        entity = get_legal_entity(session, key)
    return _form_page(Form(texts=_texts_of(entity)), entity)


@blueprint.post("/<key>")
def change(key: str) -> ResponseReturnValue:
    """Change a legal entity; issued documents keep what they say."""
    form = Form.of(request.form)
    try:
        with transaction() as session:
            get_legal_entity(session, key)
            entity = save_legal_entity(session, key, _changes(form))
    except (InvalidInput, Conflict) as error:
        with snapshot() as session:
            return _form_page(form.with_errors(error), get_legal_entity(session, key)), 422
    flash(f"{entity.name} is saved. Issued documents keep what they say.")
    return redirect(url_for("admin.legal_entities.show_list"))


def _changes(form: Form) -> dict[str, Any]:
    document: dict[str, Any] = {name: form.text(name) for name in KEPT if form.text(name)}
    document |= {name: form.text(name) or None for name in CLEARED}
    document |= {name: form.text(name) == "yes" for name in TICKED}
    totals = read_pairs(form, "minimum_totals", "EUR 5.00, USD 6.00")
    document |= {"address": read_address(form), "minimum_totals": {one.upper(): total for one, total in totals}}
    return read_document(LegalEntityIn, document, what="legal entity").model_dump(exclude_unset=True)


def _texts_of(entity: LegalEntity) -> dict[str, str]:
    texts = {name: str(getattr(entity, name)) for name in KEPT}
    texts |= {name: getattr(entity, name) or "" for name in CLEARED}
    texts |= {name: "yes" if getattr(entity, name) else "" for name in TICKED} | address_texts(entity.address)
    texts["minimum_totals"] = ", ".join(f"{currency} {total}" for currency, total in entity.minimum_totals.items())
    return texts


def _form_page(form: Form, entity: LegalEntity | None = None) -> str:
    last = [(one.value, words) for one, words in LAST.items()]
    return render_template("admin/legal_entity.html", form=form, entity=entity, last=last)
