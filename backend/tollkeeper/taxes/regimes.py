"""Who owes the tax: by the customer's exemption, and within the VAT of the EU by its tax id."""

import re
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
# After these letters each country has 2 to 12 digits and letters, a digit among them; people put spaces, dots and
# dashes between. What has none of that ("DE", "EL pending") is no id, and its holder is charged.
VAT_NUMBER = re.compile(r"(?=.*[0-9])[0-9A-Z+*]{2,12}")
FILLERS = re.compile(r"[\s.\-/]")


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
    return any(one["type"] == "eu_vat" and _is_id_of(prefix, one["value"]) for one in tax_ids)


def _is_id_of(prefix: str, value: str) -> bool:
    text = FILLERS.sub("", value).upper()
    return text.startswith(prefix) and VAT_NUMBER.fullmatch(text.removeprefix(prefix)) is not None
