"""The words that documents of the catalog are made of: keys, names, currencies, durations."""

from typing import Annotated

from pydantic import AfterValidator, StringConstraints

from tollkeeper.errors import InvalidInput
from tollkeeper.money import currency_exponent


def _known_currency(code: str) -> str:
    try:
        currency_exponent(code)
    except InvalidInput:
        raise ValueError(f'{code[:10]!r} is no ISO 4217 currency; write it like "EUR"') from None
    return code


Key = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9_.-]{0,62}[a-z0-9])?$")]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]
Currency = Annotated[str, StringConstraints(max_length=10), AfterValidator(_known_currency)]
# Days, weeks, months or years, as ISO 8601 writes them: the calendar of subscriptions/periods.py.
Cadence = Annotated[str, StringConstraints(pattern=r"^P[1-9][0-9]{0,2}[DWMY]$")]
