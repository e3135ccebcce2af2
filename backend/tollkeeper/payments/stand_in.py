"""A stand-in for Stripe inside our process, for the demo: no account, no network, and it says what it is.

It answers the few requests that payments/ sends, as Stripe would: form-encoded parameters, idempotency keys,
draft invoices that become open. Its objects are rows of our database, so a restart finds them. No money moves.
"""

import hashlib
import json
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, ClassVar
from urllib.parse import urlsplit

import stripe
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tollkeeper.payments.form import parse_form
from tollkeeper.payments.tables import StandInAnswer, StandInObject
from tollkeeper.storage.ids import new_id
from tollkeeper.storage.session import Database

Tree = dict[str, Any]
MOST_LISTED = 100


class Refused(Exception):
    """What Stripe would answer with 4xx."""

    def __init__(self, status: int, kind: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"type": kind, "message": message, "param": param}}


class StandInHttpClient(stripe.HTTPClient):
    """The transport of a StripeClient that never leaves the process."""

    name: ClassVar[str] = "tollkeeper-stand-in"

    def __init__(self, database: Database) -> None:
        super().__init__()
        self._database = database

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        post_data: Any = None,
        *,
        _usage: list[str] | None = None,
    ) -> tuple[str, int, Mapping[str, str]]:
        """Answer (body, status, headers), and keep the answer under the request's idempotency key."""
        address = urlsplit(url)
        form = parse_form(str(post_data or "") if method == "post" else address.query)
        key = (headers or {}).get("Idempotency-Key") if method == "post" else None
        digest = hashlib.sha256(f"{method} {address.path} {post_data}".encode()).hexdigest()
        with self._database.transaction() as session:
            kept = session.get(StandInAnswer, key) if key else None
            if kept is not None:
                return _replay(kept, digest)
            status, body = _route(session, method, address.path, form)
            text = json.dumps(body)
            if key:
                session.add(StandInAnswer(idempotency_key=key, request_digest=digest, status=status, body=text))
        return text, status, {"request-id": new_id("req_standin")}

    def close(self) -> None:
        """Nothing is open."""


def _replay(kept: StandInAnswer, digest: str) -> tuple[str, int, dict[str, str]]:
    if kept.request_digest == digest:
        return kept.body, kept.status, {"idempotent-replayed": "true"}
    refused = Refused(400, "idempotency_error", "Keys can only be used with the parameters they were first used with.")
    return json.dumps(refused.body), 400, {}


def _route(session: Session, method: str, path: str, form: Tree) -> tuple[int, Tree]:
    for verb, pattern, act in ROUTES:
        match = re.fullmatch(pattern, path)
        if verb == method and match:
            try:
                return 200, act(session, form, *match.groups())
            except Refused as refused:
                return refused.status, refused.body
    return 404, Refused(404, "invalid_request_error", f"The stand-in knows no {method.upper()} {path}").body


def _create_customer(session: Session, form: Tree) -> Tree:
    customer = {"object": "customer", "balance": 0, "metadata": {}, **form}
    return _store(session, "cus_standin", "customer", customer)


def _update_customer(session: Session, form: Tree, customer_id: str) -> Tree:
    row = _get(session, customer_id, "customer")
    row.body = {**row.body, **form}
    return row.body


def _list_customers(session: Session, form: Tree) -> Tree:
    return _page([c for c in _all(session, "customer") if form.get("email") in {None, c.get("email")}], form)


def _create_invoice(session: Session, form: Tree) -> Tree:
    _get(session, str(form.get("customer", "")), "customer")
    invoice = {
        "object": "invoice", "status": "draft", "total": 0, "amount_due": 0, "amount_paid": 0, "starting_balance": 0,
        "number": None, "hosted_invoice_url": None, "metadata": {}, **form, "auto_advance": False,
        "lines": _page([], {}),
    }  # fmt: skip
    return _store(session, "in_standin", "invoice", invoice)


def _list_invoices(session: Session, form: Tree) -> Tree:
    return _page([i for i in _all(session, "invoice") if form.get("customer") in {None, i["customer"]}], form)


def _get_invoice(session: Session, _form: Tree, invoice_id: str) -> Tree:
    return _get(session, invoice_id, "invoice").body


def _get_lines(session: Session, form: Tree, invoice_id: str) -> Tree:
    lines: list[Tree] = _get(session, invoice_id, "invoice").body["lines"]["data"]
    return _page(lines, form)


def _add_lines(session: Session, form: Tree, invoice_id: str) -> Tree:
    row = _get_draft(session, invoice_id)
    lines = [*row.body["lines"]["data"], *(_line(row.body["currency"], line) for line in form.get("lines", []))]
    total = sum(line["amount"] for line in lines)
    row.body = {**row.body, "lines": _page(lines, {"limit": 10_000}), "total": total, "amount_due": max(total, 0)}
    return row.body


def _line(currency: str, line: Tree) -> Tree:
    period = {edge: int(second) for edge, second in line.get("period", {}).items()}
    amount = int(line["amount"])
    new = {"id": new_id("il_standin"), "object": "line_item", "currency": currency, "metadata": {}}
    return {**new, **line, "amount": amount, "period": period}


def _finalize(session: Session, _form: Tree, invoice_id: str) -> Tree:
    row = _get_draft(session, invoice_id)
    status = "open" if row.body["total"] > 0 else "paid"
    row.body = {
        **row.body,
        "status": status,
        "number": f"STANDIN-{row.position:04}",
        "amount_remaining": row.body["amount_due"],
    }
    return row.body


def _void(session: Session, _form: Tree, invoice_id: str) -> Tree:
    return _move(session, invoice_id, {"open", "uncollectible"}, {"status": "void"})


def _pay(session: Session, _form: Tree, invoice_id: str) -> Tree:
    due = _get(session, invoice_id, "invoice").body["amount_due"]
    return _move(session, invoice_id, {"open", "uncollectible"}, {"status": "paid", "amount_paid": due})


def _give_up(session: Session, _form: Tree, invoice_id: str) -> Tree:
    return _move(session, invoice_id, {"open"}, {"status": "uncollectible"})


def _move(session: Session, invoice_id: str, allowed: set[str], change: Tree) -> Tree:
    row = _get(session, invoice_id, "invoice")
    if row.body["status"] not in allowed:
        raise Refused(400, "invalid_request_error", f"This invoice is {row.body['status']}.")
    row.body = {**row.body, **change}
    return row.body


def _create_note(session: Session, form: Tree) -> Tree:
    invoice = _get(session, str(form.get("invoice", "")), "invoice")
    amount = int(form["amount"])
    if invoice.body["status"] == "open":
        left = max(invoice.body.get("amount_remaining", invoice.body["amount_due"]) - amount, 0)
        invoice.body = {**invoice.body, "amount_remaining": left, "status": "open" if left else "paid"}
    note = {"object": "credit_note", "status": "issued", "metadata": {}, **form, "amount": amount}
    return _store(session, "cn_standin", "credit_note", note)


def _list_notes(session: Session, form: Tree) -> Tree:
    return _page([n for n in _all(session, "credit_note") if form.get("invoice") in {None, n["invoice"]}], form)


def _get_note(session: Session, _form: Tree, note_id: str) -> Tree:
    return _get(session, note_id, "credit_note").body


def _void_note(session: Session, _form: Tree, note_id: str) -> Tree:
    row = _get(session, note_id, "credit_note")
    invoice = _get(session, row.body["invoice"], "invoice")
    if invoice.body["status"] != "open":
        raise Refused(400, "invalid_request_error", "The invoice is not open.")
    invoice.body = {**invoice.body, "amount_remaining": invoice.body["amount_remaining"] + row.body["amount"]}
    row.body = {**row.body, "status": "void"}
    return row.body


def _delete(session: Session, _form: Tree, invoice_id: str) -> Tree:
    session.delete(_get_draft(session, invoice_id))
    return {"id": invoice_id, "object": "invoice", "deleted": True}


def _get_draft(session: Session, invoice_id: str) -> StandInObject:
    row = _get(session, invoice_id, "invoice")
    if row.body["status"] != "draft":
        raise Refused(400, "invalid_request_error", "This invoice is not a draft any more.")
    return row


def _store(session: Session, prefix: str, kind: str, body: Tree) -> Tree:
    count = session.scalar(select(func.count()).where(StandInObject.kind == kind)) or 0
    whole = {"id": new_id(prefix), "created": int(time.time()), "livemode": False, **body}
    session.add(StandInObject(id=whole["id"], kind=kind, body=whole, position=count + 1))
    return whole


def _all(session: Session, kind: str) -> list[Tree]:
    rows = session.scalars(select(StandInObject).where(StandInObject.kind == kind).order_by(StandInObject.id.desc()))
    return [row.body for row in rows]


def _get(session: Session, object_id: str, kind: str) -> StandInObject:
    row = session.get(StandInObject, object_id)
    if row is None or row.kind != kind:
        raise Refused(404, "invalid_request_error", f"No such {kind}: {object_id!r}", "id")
    return row


def _page(found: list[Tree], form: Tree) -> Tree:
    ids = [entry["id"] for entry in found]
    start = ids.index(form["starting_after"]) + 1 if form.get("starting_after") in ids else 0
    end = start + int(form.get("limit", MOST_LISTED))
    return {"object": "list", "data": found[start:end], "has_more": end < len(found), "url": "/v1/list"}


ROUTES: list[tuple[str, str, Callable[..., Tree]]] = [
    ("post", r"/v1/customers", _create_customer),
    ("get", r"/v1/customers", _list_customers),
    ("post", r"/v1/customers/([^/]+)", _update_customer),
    ("post", r"/v1/invoices", _create_invoice),
    ("get", r"/v1/invoices", _list_invoices),
    ("get", r"/v1/invoices/([^/]+)", _get_invoice),
    ("delete", r"/v1/invoices/([^/]+)", _delete),
    ("get", r"/v1/invoices/([^/]+)/lines", _get_lines),
    ("post", r"/v1/invoices/([^/]+)/add_lines", _add_lines),
    ("post", r"/v1/invoices/([^/]+)/finalize", _finalize),
    ("post", r"/v1/invoices/([^/]+)/void", _void),
    ("post", r"/v1/invoices/([^/]+)/pay", _pay),
    ("post", r"/v1/invoices/([^/]+)/mark_uncollectible", _give_up),
    ("post", r"/v1/credit_notes", _create_note),
    ("get", r"/v1/credit_notes", _list_notes),
    ("get", r"/v1/credit_notes/([^/]+)", _get_note),
    ("post", r"/v1/credit_notes/([^/]+)/void", _void_note),
]
