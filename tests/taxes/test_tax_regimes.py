"""Who owes the VAT of the EU, by what is written as the buyer's tax id."""

import pytest

from tollkeeper.taxes.regimes import is_reverse_charged


@pytest.mark.parametrize(
    "value",
    ["FR12345678901", "fr 12 345 678 901", "FRXX999999999", "FR-12.345.678.901"],
)
def test_an_id_of_the_buyers_country_reverses_the_charge_however_it_is_written(value: str) -> None:
    assert is_reverse_charged("DE", "FR", [{"type": "eu_vat", "value": value}])


@pytest.mark.parametrize("value", ["FR", "FR pending", "FRANCE", "fr -", "FR1", "DE123456789", "FR12345678901234"])
def test_what_is_no_vat_id_leaves_the_buyer_charged(value: str) -> None:
    assert not is_reverse_charged("DE", "FR", [{"type": "eu_vat", "value": value}])


def test_an_id_of_another_kind_reverses_nothing() -> None:
    assert not is_reverse_charged("DE", "FR", [{"type": "gb_vat", "value": "FR12345678901"}])
    assert not is_reverse_charged("DE", "GR", [{"type": "eu_vat", "value": "GR123456789"}])
    assert is_reverse_charged("DE", "GR", [{"type": "eu_vat", "value": "EL123456789"}])
