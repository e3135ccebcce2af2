"""Who owes the tax: by the customer's exemption, and within the VAT of the EU by its tax id."""

from collections.abc import Mapping, Sequence
from enum import StrEnum

# By ISO 3166 code, what tax ids begin with: they differ for Greece only.
EU_VAT_PREFIXES = {
    country: "EL" if country == "GR" else country
    for country in (
        "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU",
        "IE", "IT", "LT", "LU", "LV", "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK",
    )
}  # fmt: skip


class Treatment(StrEnum):
    """Why tax is charged or not."""

    TAXED = "taxed"
    EXEMPT = "exempt"
    REVERSE_CHARGE = "reverse_charge"


def is_reverse_charged(seller_country: str, buyer_country: str, tax_ids: Sequence[Mapping[str, str]]) -> bool:
    """Tell whether a buyer in another country of the EU owes the VAT itself: it has that country's VAT id."""
    if seller_country == buyer_country or not {seller_country, buyer_country} <= EU_VAT_PREFIXES.keys():
        return False
    prefix = EU_VAT_PREFIXES[buyer_country]
    return any(one["type"] == "eu_vat" and one["value"].strip().upper().startswith(prefix) for one in tax_ids)
