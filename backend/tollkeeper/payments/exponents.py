"""Stripe's own exponents and minimum charges, which are not ISO's; an unknown currency is an error, never a guess.

Source: docs.stripe.com/currencies ("Zero-decimal currencies", "Special cases", "Minimum and maximum charge
amounts"), read 2026-11. Three-decimal currencies are refused until they were tried against a real account.
"""

from tollkeeper.errors import InvalidInput
from tollkeeper.money import currency_exponent, format_minor

ZERO = "BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF"
# They have no minor unit any more, but Stripe takes them with two decimals, in multiples of 100.
WHOLE_UNITS_IN_HUNDREDTHS = "ISK UGX"
TWO = """
    AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BWP BYN BZD CAD CDF CHF CNY COP CRC CVE
    CZK DKK DOP DZD EGP ETB EUR FJD FKP GBP GEL GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR JMD KES KGS KHR KYD KZT
    LAK LBP LKR LRD LSL MAD MDL MKD MMK MNT MOP MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR
    PLN QAR RON RSD RUB SAR SBD SCR SEK SGD SHP SLE SOS SRD SZL THB TJS TOP TRY TTD TWD TZS UAH USD UYU UZS WST XCD
    YER ZAR ZMW
"""
THREE = "BHD JOD KWD OMR TND"
EXPONENTS = {
    currency: exponent
    for codes, exponent in ((ZERO, 0), (WHOLE_UNITS_IN_HUNDREDTHS, 2), (TWO, 2), (THREE, 3))
    for currency in codes.split()
}

# In Stripe's own minor units; a smaller invoice would be marked paid and carried on Stripe's customer balance.
MINIMUM_CHARGE = {
    "AED": 200, "AUD": 50, "BRL": 50, "CAD": 50, "CHF": 50, "CZK": 1500, "DKK": 250, "EUR": 50,
    "GBP": 30, "HKD": 400, "HUF": 17500, "INR": 50, "JPY": 50, "MXN": 1000, "MYR": 200, "NOK": 300, "NZD": 50,
    "PLN": 200, "RON": 200, "SEK": 300, "SGD": 50, "THB": 1000, "USD": 50,
}  # fmt: skip


def stripe_exponent(currency: str) -> int:
    """Return how many decimals Stripe's integer amounts have; raises InvalidInput for what Stripe does not take."""
    exponent = EXPONENTS.get(currency)
    if exponent is None:
        raise InvalidInput.of("/currency", f"{currency} is not in Stripe's table of currencies; it is not sent")
    if exponent > 2:
        raise InvalidInput.of(
            "/currency", f"{currency} has three decimals and is not sent to Stripe; collect this invoice another way"
        )
    return exponent


def to_stripe_amount(amount_minor: int, currency: str) -> int:
    """Turn our minor units (ISO 4217) into Stripe's; raises InvalidInput if the amount has no exact counterpart."""
    shift = stripe_exponent(currency) - currency_exponent(currency)
    if shift >= 0:
        return amount_minor * int(10**shift)
    quotient, remainder = divmod(amount_minor, int(10**-shift))
    if remainder:
        raise InvalidInput.of(
            "/amount", f"{format_minor(amount_minor, currency)} {currency} is no whole number of Stripe's units"
        )
    return quotient


def from_stripe_amount(amount: int, currency: str) -> int:
    """Turn Stripe's units into our minor units; raises InvalidInput if the amount has no exact counterpart."""
    shift = currency_exponent(currency) - stripe_exponent(currency)
    if shift >= 0:
        return amount * int(10**shift)
    quotient, remainder = divmod(amount, int(10**-shift))
    if remainder:
        raise InvalidInput.of("/amount", f"{amount} in Stripe's units is no whole number of {currency}")
    return quotient


def minimum_charge(currency: str) -> int:
    """Return the least amount that Stripe charges, in Stripe's minor units; 0 where it names none."""
    return MINIMUM_CHARGE.get(currency, 0)
