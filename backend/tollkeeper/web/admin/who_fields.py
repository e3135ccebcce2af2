"""The fields that say who somebody is on a document, for the forms of customers and of legal entities."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from tollkeeper.customers.tables import Customer
from tollkeeper.errors import InvalidInput
from tollkeeper.rating.reading import read_document
from tollkeeper.web.admin.forms import Form, read_list
from tollkeeper.web.api.customers import Address, Exemption, TaxIds

# The fields of the forms are named by the paths of the API's.
ADDRESS = ("line1", "line2", "postal_code", "city", "state", "country")


class _Taxed(BaseModel):
    address: Address | None
    tax_ids: TaxIds
    tax_exemption: Exemption


def read_address(form: Form) -> dict[str, str] | None:
    """Return the parts that were typed, None if none was."""
    return {part: text for part in ADDRESS if (text := form.text(f"address/{part}"))} or None


def read_pairs(form: Form, name: str, example: str) -> list[tuple[str, str]]:
    """Read pairs like EUR 5.00, with commas between; raises InvalidInput with the example."""
    pairs = [part.split(maxsplit=1) for part in read_list(form, name)]
    if any(len(pair) == 1 for pair in pairs):
        raise InvalidInput.of(f"/{name}", f"write it like {example}")
    return [(first, second) for first, second in pairs]


def read_taxed(form: Form) -> dict[str, Any]:
    """Return a customer's address, tax ids and exemption by the rules of the API; raises InvalidInput."""
    tax_ids = [{"type": kind, "value": value} for kind, value in read_pairs(form, "tax_ids", "eu_vat DE123456789")]
    document = {
        "address": read_address(form),
        "tax_ids": tax_ids,
        "tax_exemption": form.text("tax_exemption") or "none",
    }
    return read_document(_Taxed, document, what="customer").model_dump(exclude_unset=True)


def address_texts(address: Mapping[str, Any] | None) -> dict[str, str]:
    """Return an address as it is typed."""
    return {f"address/{part}": (address or {}).get(part) or "" for part in ADDRESS}


def taxed_texts(customer: Customer) -> dict[str, str]:
    """Return a customer's address, tax ids and exemption as they are typed."""
    ids = ", ".join(f"{one['type']} {one['value']}" for one in customer.tax_ids)
    return {**address_texts(customer.address), "tax_ids": ids, "tax_exemption": customer.tax_exemption}
