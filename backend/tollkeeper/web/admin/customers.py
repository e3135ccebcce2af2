"""Customers: list, create, edit; one customer with its consumers, subsidiaries, plans and invoices."""

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from tollkeeper.customers.customers import (
    CustomerDraft,
    archive_customer,
    create_customer,
    family_of,
    get_customer,
    list_customers,
    payer_of,
    update_customer,
)
from tollkeeper.customers.map_consumer import MATCHES, end_mapping, list_mappings, map_consumer
from tollkeeper.customers.tables import Customer
from tollkeeper.entitlements.balances import entitlement_balances
from tollkeeper.errors import Conflict, InvalidInput, NotFound
from tollkeeper.invoices.reading import list_invoices
from tollkeeper.web.admin.customer_billing import billing_of
from tollkeeper.web.admin.forms import Form, read_instant
from tollkeeper.web.admin.plan_options import sold_plans
from tollkeeper.web.admin.subscriptions import described_subscriptions
from tollkeeper.web.admin.who_fields import read_taxed, taxed_texts
from tollkeeper.web.context import snapshot, transaction, web_context

blueprint = Blueprint("customers", __name__, url_prefix="/customers")

PAGE_SIZE = 50
MOST_SUGGESTIONS = 500
MOST_INVOICES_SHOWN = 12
MATCH_NAMES = {"username": "username", "custom_id": "custom_id", "id": "Kong's id", "subject": "subject"}
REFUSALS = (InvalidInput, Conflict, NotFound)


@blueprint.get("")
def show_list() -> ResponseReturnValue:
    """List customers, oldest first."""
    with snapshot() as session:
        rows = list_customers(session, after=request.args.get("after"), limit=PAGE_SIZE + 1)
        shown = rows[:PAGE_SIZE]
        names = {row.id: row for row in shown}
        parents = {
            row.id: names.get(row.parent_id) or get_customer(session, row.parent_id) for row in shown if row.parent_id
        }
        mappings = {row.id: len(list_mappings(session, customer_id=row.id)) for row in shown}
    return render_template(
        "admin/customers.html",
        customers=shown,
        parents=parents,
        mappings=mappings,
        next_after=shown[-1].id if len(rows) > PAGE_SIZE else None,
    )


@blueprint.get("/new")
def show_new() -> ResponseReturnValue:
    """Offer the form for a new customer."""
    texts = {"currency": "USD", "time_zone": "UTC", "parent": request.args.get("parent", "")}
    return _form_page(Form(texts=texts))


@blueprint.post("/new")
def create() -> ResponseReturnValue:
    """Create a customer and show it."""
    form = Form.of(request.form)
    try:
        with transaction() as session:
            draft = CustomerDraft(
                key=form.text("key"),
                name=form.text("name"),
                email=form.text("email") or None,
                currency=form.text("currency").upper(),
                time_zone=form.text("time_zone"),
                parent=form.text("parent") or None,
                **read_taxed(form),
            )
            customer = create_customer(session, draft, now=web_context().clock.now())
    except REFUSALS as error:
        return _form_page(form.with_errors(error)), 422
    flash(f"{customer.name} is created. Map its consumers next, then start a plan.")
    return redirect(url_for("admin.customers.show", key=customer.key))


@blueprint.get("/<key>/edit")
def show_edit(key: str) -> ResponseReturnValue:
    """Offer the form with what is known."""
    with snapshot() as session:
        customer = get_customer(session, key)
        parent = get_customer(session, customer.parent_id).key if customer.parent_id else ""
    texts = {
        "name": customer.name,
        "email": customer.email or "",
        "currency": customer.currency,
        "time_zone": customer.time_zone,
        "parent": parent,
        **taxed_texts(customer),
    }
    return _form_page(Form(texts=texts), customer)


@blueprint.post("/<key>/edit")
def edit(key: str) -> ResponseReturnValue:
    """Change a customer."""
    form = Form.of(request.form)
    changes = {
        "name": form.text("name"),
        "email": form.text("email") or None,
        "currency": form.text("currency").upper(),
        "time_zone": form.text("time_zone"),
        "parent": form.text("parent") or None,
    }
    try:
        with transaction() as session:
            customer = update_customer(session, key, changes | read_taxed(form))
    except REFUSALS as error:
        with snapshot() as session:
            return _form_page(form.with_errors(error), get_customer(session, key)), 422
    flash(f"{customer.name} is saved.")
    return redirect(url_for("admin.customers.show", key=customer.key))


@blueprint.post("/<key>/archive")
def archive(key: str) -> ResponseReturnValue:
    """Hide a customer from the list; its documents stay."""
    with transaction() as session:
        customer = archive_customer(session, key, now=web_context().clock.now())
    flash(f"{customer.name} is archived.")
    return redirect(url_for("admin.customers.show_list"))


@blueprint.get("/<key>")
def show(key: str) -> ResponseReturnValue:
    """Show one customer."""
    return _customer_page(key, Form(texts={"match": "username"}))


@blueprint.post("/<key>/consumers")
def add_mapping(key: str) -> ResponseReturnValue:
    """Map a consumer to this customer, from now or from the date that was named."""
    form = Form.of(request.form)
    try:
        with transaction() as session:
            now = web_context().clock.now()
            since = read_instant(form, "since")
            mapping = map_consumer(session, key, form.text("match"), form.text("value"), since=since, now=now)
    except REFUSALS as error:
        return _customer_page(key, form.with_errors(error)), 422
    flash(f"Usage of {mapping.value} counts for this customer from now on.")
    return redirect(url_for("admin.customers.show", key=key))


@blueprint.post("/<key>/consumers/<mapping_id>/end")
def end_consumer(key: str, mapping_id: str) -> ResponseReturnValue:
    """End a mapping now; what was used until now stays with the customer."""
    with transaction() as session:
        customer = get_customer(session, key)
        if mapping_id not in {one.id for one in list_mappings(session, customer_id=customer.id)}:
            raise NotFound(f"{customer.name} has no mapping {mapping_id!r}")
        mapping = end_mapping(session, mapping_id, at=web_context().clock.now())
    flash(f"Usage of {mapping.value} counts for this customer no more.")
    return redirect(url_for("admin.customers.show", key=key))


def _customer_page(key: str, form: Form) -> str:
    now = web_context().clock.now()
    with snapshot() as session:
        customer = get_customer(session, key)
        payer = payer_of(session, customer)
        children = [row for row in family_of(session, customer.id) if row.parent_id == customer.id]
        return render_template(
            "admin/customer.html",
            customer=customer,
            payer=payer,
            children=children,
            mappings=list_mappings(session, customer_id=customer.id),
            matches={match: MATCH_NAMES[match] for match in MATCHES},
            subscriptions=described_subscriptions(session, customer.id, now=now),
            plans=sold_plans(session, customer.currency),
            balances=entitlement_balances(session, customer.id, now=now),
            invoices=list_invoices(session, customer_id=payer.id, limit=MOST_INVOICES_SHOWN),
            billing=billing_of(session, customer),
            form=form,
            blank=Form(),
        )


def _form_page(form: Form, customer: Customer | None = None) -> str:
    with snapshot() as session:
        suggestions = _suggest_parents(session, customer)
    return render_template("admin/customer_form.html", form=form, customer=customer, suggestions=suggestions)


def _suggest_parents(session: Session, customer: Customer | None) -> list[Customer]:
    rows = list_customers(session, limit=MOST_SUGGESTIONS)
    return [row for row in rows if customer is None or row.id != customer.id]
