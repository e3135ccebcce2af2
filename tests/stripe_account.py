"""The account of the fake Stripe: what it holds, and what each request does to it."""

import json
import re
import threading
from dataclasses import dataclass, field
from typing import Any

CREATED = 1_767_225_600  # 2026-01-01


class Refused(Exception):
    """An answer of 4xx."""

    def __init__(self, status: int, kind: str, message: str, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"type": kind, "message": message, "code": code, "param": param}}


@dataclass
class Fault:
    """One failure to inject: `how` is drop_before, drop_after, 429, 401, 409 or 503 (nothing is kept under the key),
    500_saved, 503_saved, 402_saved, 500_after, or the work done and an answer of 200 that is a proxy's page, is
    empty, or is no object of Stripe: 200_page, 200_empty, 200_list, 200_no_id.
    """

    request: str
    how: str
    times: int = 1


@dataclass
class Kept:
    """What is known under an idempotency key."""

    digest: str
    answer: tuple[int, dict[str, Any]] | None = None


@dataclass
class FakeStripe:
    """The account: what it holds, what it was asked, what is to go wrong."""

    customers: dict[str, dict[str, Any]] = field(default_factory=dict)
    invoices: dict[str, dict[str, Any]] = field(default_factory=dict)
    credit_notes: dict[str, dict[str, Any]] = field(default_factory=dict)
    requests: list[tuple[str, str, dict[str, Any], str | None]] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    keys: dict[str, Kept] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)
    made_invoices: int = 0
    extra_cents: int = 0
    customer_balance: int = 0
    url: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, request: str) -> int:
        """Return how many requests like "POST /v1/invoices" came."""
        return sum(1 for method, path, _, _ in self.requests if re.fullmatch(request, f"{method} {path}"))

    def take_number(self) -> int:
        """Return the next number of an invoice; that of a deleted one is not used again."""
        self.made_invoices += 1
        return self.made_invoices

    def forget_keys(self) -> None:
        """Let 24 hours pass."""
        self.keys.clear()

    def event(self, kind: str, invoice_id: str, event_id: str = "evt_1", *, live: bool = False) -> bytes:
        """Return the body of a webhook about an invoice as it is now."""
        told = {"id": event_id, "object": "event", "type": kind, "livemode": live, "created": CREATED}
        return json.dumps({**told, "data": {"object": self.invoices[invoice_id]}}).encode()


def route(account: FakeStripe, method: str, path: str, tree: dict[str, Any]) -> dict[str, Any]:
    """Do what a request asks."""
    parts = path.removeprefix("/v1/").split("/")
    name = f"{method} {parts[0]} {parts[2] if len(parts) > 2 else ''}{'/id' if len(parts) > 1 else ''}"
    acts = {
        "POST customers ": _create_customer,
        "GET customers ": _list_customers,
        "POST customers /id": _update_customer,
        "POST invoices ": _create_invoice,
        "GET invoices ": _list_invoices,
        "GET invoices /id": _get,
        "DELETE invoices /id": _delete,
        "GET invoices lines/id": _lines,
        "POST invoices add_lines/id": _add_lines,
        "POST invoices finalize/id": _finalize,
        "POST invoices void/id": _void,
        "POST invoices pay/id": _pay,
        "POST credit_notes ": _create_note,
        "GET credit_notes ": _list_notes,
        "GET credit_notes /id": _get_note,
        "POST credit_notes void/id": _void_note,
        "POST invoices mark_uncollectible/id": _give_up,
    }
    return acts[name](account, tree, *parts[1:2])


def _create_customer(account: FakeStripe, tree: dict[str, Any]) -> dict[str, Any]:
    customer = {"id": f"cus_{len(account.customers) + 1}", "object": "customer", "created": CREATED, **tree}
    account.customers[customer["id"]] = customer
    return customer


def _list_customers(account: FakeStripe, tree: dict[str, Any]) -> dict[str, Any]:
    newest_first = reversed(account.customers.values())
    return _page([c for c in newest_first if tree.get("email") in {None, c.get("email")}], tree)


def _update_customer(account: FakeStripe, tree: dict[str, Any], customer_id: str) -> dict[str, Any]:
    if customer_id not in account.customers:
        raise Refused(404, "invalid_request_error", "No such customer", "resource_missing", "id")
    customer = {**account.customers[customer_id], **tree}
    account.customers[customer_id] = {name: value for name, value in customer.items() if value != ""}
    return account.customers[customer_id]


def _create_invoice(account: FakeStripe, tree: dict[str, Any]) -> dict[str, Any]:
    if tree.get("customer") not in account.customers:
        raise Refused(400, "invalid_request_error", "No such customer", "resource_missing", "customer")
    if tree.get("currency") != tree.get("currency", "").lower() or "currency" not in tree:
        raise Refused(400, "invalid_request_error", "currency is missing or not in lower case", None, "currency")
    if tree.get("collection_method") == "send_invoice":
        if not account.customers[tree["customer"]].get("email"):
            raise Refused(400, "invalid_request_error", "Missing email.", None, "customer")
        if "days_until_due" not in tree:
            raise Refused(400, "invalid_request_error", "days_until_due is missing", None, "days_until_due")
    elif "days_until_due" in tree:
        raise Refused(400, "invalid_request_error", "only with send_invoice", None, "days_until_due")
    invoice = {
        "id": f"in_{account.take_number()}", "object": "invoice", "created": CREATED, "status": "draft",
        "livemode": False, "total": 0, "amount_due": 0, "amount_paid": 0, "hosted_invoice_url": None,
        "starting_balance": account.customer_balance, "metadata": {}, **tree, "lines": _page([], {}),
    }  # fmt: skip
    account.invoices[invoice["id"]] = invoice
    return invoice


def _list_invoices(account: FakeStripe, tree: dict[str, Any]) -> dict[str, Any]:
    if tree.get("customer") not in {None, *account.customers}:
        raise Refused(400, "invalid_request_error", "No such customer", "resource_missing", "customer")
    newest_first = reversed(account.invoices.values())
    return _page([i for i in newest_first if tree.get("customer") in {None, i["customer"]}], tree)


def _invoice(account: FakeStripe, invoice_id: str) -> dict[str, Any]:
    if invoice_id not in account.invoices:
        raise Refused(404, "invalid_request_error", "No such invoice", "resource_missing", "invoice")
    return account.invoices[invoice_id]


def _get(account: FakeStripe, tree: dict[str, Any], invoice_id: str) -> dict[str, Any]:
    invoice = _invoice(account, invoice_id)
    return {**invoice, "lines": _page(invoice["lines"]["data"], {"limit": "10"})}


def _delete(account: FakeStripe, tree: dict[str, Any], invoice_id: str) -> dict[str, Any]:
    _draft(account, invoice_id)
    del account.invoices[invoice_id]
    return {"id": invoice_id, "object": "invoice", "deleted": True}


def _lines(account: FakeStripe, tree: dict[str, Any], invoice_id: str) -> dict[str, Any]:
    return _page(_invoice(account, invoice_id)["lines"]["data"], tree)


def _draft(account: FakeStripe, invoice_id: str) -> dict[str, Any]:
    invoice = _invoice(account, invoice_id)
    if invoice["status"] != "draft":
        raise Refused(400, "invalid_request_error", "The invoice is not a draft.", "invoice_not_editable")
    return invoice


def _add_lines(account: FakeStripe, tree: dict[str, Any], invoice_id: str) -> dict[str, Any]:
    invoice = _draft(account, invoice_id)
    lines = invoice["lines"]["data"]
    if len(tree["lines"]) > 100 or len(lines) + len(tree["lines"]) > 250:
        raise Refused(400, "invalid_request_error", "Too many lines.", None, "lines")
    for line in tree["lines"]:
        if int(line["period"]["end"]) < int(line["period"]["start"]):
            raise Refused(400, "invalid_request_error", "period", None, "lines[period]")
        made = {"id": f"il_{invoice_id}_{len(lines) + 1}", "object": "line_item", "currency": invoice["currency"]}
        lines.append({**made, **line, "amount": int(line["amount"])})
    invoice["total"] = sum(line["amount"] for line in lines) + account.extra_cents
    invoice["amount_due"] = max(invoice["total"], 0)
    return invoice


def _finalize(account: FakeStripe, tree: dict[str, Any], invoice_id: str) -> dict[str, Any]:
    invoice = _draft(account, invoice_id)
    invoice["status"] = "open"
    invoice["amount_remaining"] = invoice["amount_due"]
    invoice["hosted_invoice_url"] = f"https://invoice.stripe.test/{invoice_id}"
    return invoice


def _void(account: FakeStripe, tree: dict[str, Any], invoice_id: str) -> dict[str, Any]:
    invoice = _invoice(account, invoice_id)
    if invoice["status"] not in {"open", "uncollectible"}:
        raise Refused(400, "invalid_request_error", "It cannot be voided.")
    invoice["status"] = "void"
    return invoice


def _pay(account: FakeStripe, tree: dict[str, Any], invoice_id: str) -> dict[str, Any]:
    invoice = _invoice(account, invoice_id)
    if invoice["status"] not in {"open", "uncollectible"}:
        raise Refused(400, "invalid_request_error", "It cannot be paid.")
    invoice.update(status="paid", amount_paid=invoice["amount_due"])
    return invoice


def _give_up(account: FakeStripe, tree: dict[str, Any], invoice_id: str) -> dict[str, Any]:
    invoice = _invoice(account, invoice_id)
    if invoice["status"] != "open":
        raise Refused(400, "invalid_request_error", "It is not open.")
    invoice["status"] = "uncollectible"
    return invoice


def _create_note(account: FakeStripe, tree: dict[str, Any]) -> dict[str, Any]:
    """As Stripe: what is open is taken off first, the rest needs amounts that add up to it exactly."""
    invoice = _invoice(account, tree["invoice"])
    if invoice["status"] not in {"open", "paid"}:
        raise Refused(400, "invalid_request_error", "The invoice takes no credit note.")
    amount = int(tree["amount"])
    if amount > invoice["total"] - sum(n["amount"] for n in _notes_of(account, invoice) if n["status"] == "issued"):
        raise Refused(400, "invalid_request_error", "More than the invoice.", None, "amount")
    open_amount = invoice["amount_remaining"] if invoice["status"] == "open" else 0
    before = min(amount, open_amount)
    told = sum(int(tree.get(f"{way}_amount", 0)) for way in ("refund", "credit", "out_of_band"))
    if told != amount - before:
        raise Refused(400, "invalid_request_error", f"{amount - before} paid, {told} given back.", None, "amount")
    if int(tree.get("refund_amount", 0)) > invoice["amount_paid"]:
        raise Refused(400, "invalid_request_error", "More than was paid.", None, "refund_amount")
    invoice["amount_remaining"] -= before
    if invoice["status"] == "open" and invoice["amount_remaining"] == 0:
        invoice["status"] = "paid"
    note = {"id": f"cn_{len(account.credit_notes) + 1}", "object": "credit_note", "status": "issued", **tree}
    account.credit_notes[note["id"]] = {**note, "amount": amount, "pre_payment": before}
    return account.credit_notes[note["id"]]


def _notes_of(account: FakeStripe, invoice: dict[str, Any]) -> list[dict[str, Any]]:
    return [note for note in reversed(account.credit_notes.values()) if note["invoice"] == invoice["id"]]


def _list_notes(account: FakeStripe, tree: dict[str, Any]) -> dict[str, Any]:
    return _page(_notes_of(account, _invoice(account, tree["invoice"])), tree)


def _get_note(account: FakeStripe, tree: dict[str, Any], note_id: str) -> dict[str, Any]:
    if note_id not in account.credit_notes:
        raise Refused(404, "invalid_request_error", "No such credit note", "resource_missing", "id")
    return account.credit_notes[note_id]


def _void_note(account: FakeStripe, tree: dict[str, Any], note_id: str) -> dict[str, Any]:
    note = _get_note(account, tree, note_id)
    invoice = _invoice(account, note["invoice"])
    if invoice["status"] != "open" or note["status"] != "issued":
        raise Refused(400, "invalid_request_error", "It cannot be voided.")
    invoice["amount_remaining"] += note["pre_payment"]
    note["status"] = "void"
    return note


def _page(found: list[dict[str, Any]], tree: dict[str, Any]) -> dict[str, Any]:
    ids = [entry["id"] for entry in found]
    start = ids.index(tree["starting_after"]) + 1 if tree.get("starting_after") else 0
    end = start + int(tree.get("limit", 10))
    return {"object": "list", "data": found[start:end], "has_more": end < len(found), "url": "/v1/list"}
