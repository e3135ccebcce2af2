"""What a key of Stripe's API looks like: a mistake is found at the start, not by the first invoice."""

import re

# A secret key or a restricted one, of the test mode, a sandbox or the live mode; what follows is for Stripe to know.
_SECRET_KEY = re.compile(r"(sk|rk)_(test|live)_\S+")


def problem_of_key(api_key: str) -> str | None:
    """Say what is wrong with a key, without repeating it; None if nothing is."""
    if not api_key.strip():
        return "is empty; set Stripe's secret key (sk_... or rk_...)"
    if api_key.startswith("pk_"):
        return "is a publishable key; set the secret key (sk_... or rk_...)"
    if _SECRET_KEY.fullmatch(api_key.strip()) is None:
        return "is no key of Stripe; set the secret key (sk_test_..., sk_live_..., or rk_... for a restricted one)"
    return None
