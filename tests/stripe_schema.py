"""Read form-encoded requests and check them by the SDK's own TypedDicts: the schema of the installed API version."""

import re
import types
from collections import Counter
from decimal import Decimal
from typing import Any, Literal, NotRequired, Required, Union, get_args, get_origin, get_type_hints
from urllib.parse import parse_qsl

from stripe import RequestOptions
from stripe.params import (
    CreditNoteCreateParams,
    CreditNoteListParams,
    CreditNoteVoidCreditNoteParams,
    CustomerCreateParams,
    CustomerListParams,
    CustomerUpdateParams,
    InvoiceAddLinesParams,
    InvoiceCreateParams,
    InvoiceFinalizeInvoiceParams,
    InvoiceLineItemListParams,
    InvoiceListParams,
    InvoiceMarkUncollectibleParams,
    InvoicePayParams,
    InvoiceVoidInvoiceParams,
)
from typing_extensions import is_typeddict

OPERATIONS: dict[tuple[str, str], Any] = {
    ("POST", r"/v1/customers"): CustomerCreateParams,
    ("GET", r"/v1/customers"): CustomerListParams,
    ("POST", r"/v1/customers/[^/]+"): CustomerUpdateParams,
    ("POST", r"/v1/invoices"): InvoiceCreateParams,
    ("GET", r"/v1/invoices"): InvoiceListParams,
    ("GET", r"/v1/invoices/[^/]+"): None,
    ("DELETE", r"/v1/invoices/[^/]+"): None,
    ("GET", r"/v1/invoices/[^/]+/lines"): InvoiceLineItemListParams,
    ("POST", r"/v1/invoices/[^/]+/add_lines"): InvoiceAddLinesParams,
    ("POST", r"/v1/invoices/[^/]+/finalize"): InvoiceFinalizeInvoiceParams,
    ("POST", r"/v1/invoices/[^/]+/void"): InvoiceVoidInvoiceParams,
    ("POST", r"/v1/invoices/[^/]+/pay"): InvoicePayParams,
    ("POST", r"/v1/credit_notes"): CreditNoteCreateParams,
    ("GET", r"/v1/credit_notes"): CreditNoteListParams,
    ("GET", r"/v1/credit_notes/[^/]+"): None,
    ("POST", r"/v1/credit_notes/[^/]+/void"): CreditNoteVoidCreditNoteParams,
    ("POST", r"/v1/invoices/[^/]+/mark_uncollectible"): InvoiceMarkUncollectibleParams,
}
# They are options of the SDK's call, not parameters on the wire.
NOT_ON_THE_WIRE = frozenset(RequestOptions.__annotations__)


def read_form(text: str) -> dict[str, Any]:
    """Read `a[b][0]=1` into {"a": {"b": ["1"]}}; refuse a name that comes twice."""
    tree: dict[str, Any] = {}
    pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=bool(text))
    assert all(count == 1 for count in Counter(name for name, _ in pairs).values()), text
    for name, value in pairs:
        steps = re.findall(r"[^\[\]]+", name)
        here = tree
        for step in steps[:-1]:
            here = here.setdefault(step, {})
        here[steps[-1]] = value
    return _lists(tree)


def _lists(branch: Any) -> Any:
    if not isinstance(branch, dict):
        return branch
    whole = {key: _lists(value) for key, value in branch.items()}
    if whole and sorted(whole) == sorted(str(index) for index in range(len(whole))):
        return [whole[str(index)] for index in range(len(whole))]
    return whole


def problems_of(method: str, path: str, tree: dict[str, Any]) -> list[str]:
    """Say what is wrong with a request; nothing, if it is as the SDK's types describe it."""
    for (verb, pattern), params in OPERATIONS.items():
        if verb == method and re.fullmatch(pattern, path):
            if params is None:
                return [f"unknown parameter {name}" for name in tree]
            return _check_keys(tree, params, "", leave_out=NOT_ON_THE_WIRE)
    return [f"unexpected request {method} {path}"]


def _check_keys(tree: Any, typed_dict: Any, path: str, leave_out: frozenset[str] = frozenset()) -> list[str]:
    if not isinstance(tree, dict):
        return [f"{path}: {tree!r} is no object"]
    # names that the options of the call use and the params files do not import
    hints = get_type_hints(typed_dict, localns={"StripeContext": str, "Mapping": dict}, include_extras=True)
    known = {name: hint for name, hint in hints.items() if name not in leave_out}
    problems = [f"unknown parameter {path}/{name}" for name in tree if name not in known]
    required = typed_dict.__required_keys__ - leave_out
    problems += [f"missing parameter {path}/{name}" for name in required if name in known and name not in tree]
    for name, value in tree.items():
        if name in known:
            problems += _check(value, known[name], f"{path}/{name}")
    return problems


def _check(value: Any, hint: Any, path: str) -> list[str]:
    origin = get_origin(hint)
    if origin in {NotRequired, Required}:
        return _check(value, get_args(hint)[0], path)
    if origin in {Union, types.UnionType}:
        answers = [_check(value, choice, path) for choice in get_args(hint)]
        return [] if [] in answers else min(answers, key=len)
    if origin is list:
        return _check_list(value, get_args(hint)[0], path)
    if is_typeddict(hint):
        return _check_keys(value, hint, path)
    return _check_plain(value, hint, path)


def _check_list(value: Any, item: Any, path: str) -> list[str]:
    if not isinstance(value, list):
        return [f"{path}: {value!r} is no list"]
    return [problem for index, entry in enumerate(value) for problem in _check(entry, item, f"{path}/{index}")]


def _check_plain(value: Any, hint: Any, path: str) -> list[str]:
    if get_origin(hint) is Literal:
        return [] if value in get_args(hint) else [f"{path}: {value!r} is none of {get_args(hint)}"]
    if get_origin(hint) is dict or "UntypedStripeObject" in str(hint):
        fits = isinstance(value, dict) and all(isinstance(entry, str) for entry in value.values())
        return [] if fits else [f"{path}: {value!r} is no map of texts"]
    patterns = {int: r"-?\d+", bool: "true|false", str: r"(?s).*", Decimal: r"-?\d+(\.\d{1,12})?", type(None): ""}
    if hint not in patterns:
        return [f"{path}: the schema has an unknown type {hint}"]
    matched = isinstance(value, str) and re.fullmatch(patterns[hint], value)
    return [] if matched else [f"{path}: {value!r} is no {getattr(hint, '__name__', hint)}"]
