"""Each currency of Stripe's table, by hand from docs.stripe.com/currencies."""

import pytest

from tollkeeper.errors import InvalidInput
from tollkeeper.money import currency_exponent
from tollkeeper.payments.exponents import EXPONENTS, MINIMUM_CHARGE, minimum_charge, stripe_exponent, to_stripe_amount


@pytest.mark.parametrize(
    ("currency", "ours", "stripes"),
    [
        ("USD", 1999, 1999),
        ("EUR", -5, -5),
        ("JPY", 500, 500),
        ("KRW", 1, 1),
        ("BIF", 7, 7),
        ("CLP", 7, 7),
        ("DJF", 7, 7),
        ("GNF", 7, 7),
        ("KMF", 7, 7),
        ("PYG", 7, 7),
        ("RWF", 7, 7),
        ("VND", 7, 7),
        ("VUV", 7, 7),
        ("XAF", 7, 7),
        ("XOF", 7, 7),
        ("XPF", 7, 7),
        ("MGA", 500, 5),
        ("ISK", 5, 500),
        ("UGX", 5, 500),
        ("HUF", 100, 100),
        ("TWD", 100, 100),
    ],
)
def test_an_amount_is_told_in_stripe_s_units(currency: str, ours: int, stripes: int) -> None:
    assert to_stripe_amount(ours, currency) == stripes


@pytest.mark.parametrize("currency", sorted(EXPONENTS))
def test_every_entry_differs_from_iso_only_where_stripe_says_so(currency: str) -> None:
    special = {"ISK": 2, "UGX": 2, "MGA": 0}
    assert EXPONENTS[currency] == special.get(currency, currency_exponent(currency))


def test_an_ariary_that_is_no_whole_one_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no whole number"):
        to_stripe_amount(501, "MGA")


@pytest.mark.parametrize("currency", ["BHD", "JOD", "KWD", "OMR", "TND"])
def test_three_decimals_are_refused(currency: str) -> None:
    with pytest.raises(InvalidInput, match="three decimals"):
        stripe_exponent(currency)


def test_an_unknown_currency_is_an_error_not_a_guess() -> None:
    with pytest.raises(InvalidInput, match="not in Stripe's table"):
        stripe_exponent("XAU")


def test_every_minimum_is_of_a_known_currency() -> None:
    assert all(stripe_exponent(currency) in {0, 2} for currency in MINIMUM_CHARGE)
    assert (minimum_charge("USD"), minimum_charge("GBP"), minimum_charge("JPY"), minimum_charge("VND")) == (
        50,
        30,
        50,
        0,
    )
