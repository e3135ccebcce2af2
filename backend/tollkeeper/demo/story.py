"""Who is in the story: Kong Air, its three customers, their consumers, what each is sold and how much each calls."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Person:
    """A customer, its consumers in Kong and the plan that it is on; a subsidiary is covered by its parent's."""

    key: str
    name: str
    currency: str
    consumers: tuple[str, ...]
    parent: str | None = None
    plan: str | None = None


CUSTOMERS = (
    Person("skyline", "Skyline Group", "EUR", ("skyline-web", "skyline-mobile"), plan="enterprise"),
    Person("skyline-cargo", "Skyline Cargo", "EUR", ("skyline-cargo-api", "skyline-cargo-batch"), parent="skyline"),
    Person("skyline-holidays", "Skyline Holidays", "EUR", ("skyline-holidays-web",), parent="skyline"),
    Person("nimbus", "Nimbus AI", "USD", ("nimbus-app", "nimbus-agent"), plan="pro"),
    Person("hobby", "Hobby Pilot", "USD", ("hobby-pilot",), plan="free"),
)

# Who gets an invoice: on a plan that asks for money. A subsidiary is on its parent's, and Free has nothing to bill.
PAYING = tuple(person for person in CUSTOMERS if person.plan not in {None, "free"})

FEATURES: tuple[dict[str, Any], ...] = (
    {"key": "api_calls", "name": "API calls", "meter": "requests"},
    {
        "key": "flights_ok",
        "name": "Successful calls on /flights",
        "meter": "requests",
        "filter": {"route": {"eq": "flights"}, "status": {"gte": "200", "lt": "300"}},
    },
    {
        "key": "bookings_ok",
        "name": "Bookings made",
        "meter": "requests",
        "filter": {"route": {"eq": "bookings"}, "method": {"eq": "POST"}, "status": {"gte": "200", "lt": "300"}},
    },
    {
        "key": "gpt_4o_output_tokens",
        "name": "Output tokens of gpt-4o",
        "meter": "output_tokens",
        "filter": {"model": {"in": ["gpt-4o", "gpt-4o-2024-11-20"]}},
    },
)

PLANS = ("enterprise", "pro", "free")

# What part of all requests each consumer sends, in percent, and of which kinds.
SHARES = {
    "skyline-web": 18,
    "skyline-mobile": 12,
    "skyline-cargo-api": 15,
    "skyline-cargo-batch": 10,
    "skyline-holidays-web": 12,
    "nimbus-app": 12,
    "nimbus-agent": 11,
    "hobby-pilot": 10,
}
KINDS = {
    "skyline-web": ("flight", "flight", "flight", "destinations", "book"),
    "skyline-mobile": ("flight", "flight", "destinations"),
    "skyline-cargo-api": ("flight", "book", "book"),
    "skyline-cargo-batch": ("flight", "flight", "lost"),
    "skyline-holidays-web": ("flight", "destinations", "book"),
    "nimbus-app": ("chat", "chat", "destinations"),
    "nimbus-agent": ("chat", "chat-stream", "flight"),
    "hobby-pilot": ("flight", "destinations"),
}


def calls_per_consumer(requests: int) -> dict[str, int]:
    """Split the number of requests by SHARES; what rounding leaves goes to the first consumer."""
    counts = {consumer: requests * share // 100 for consumer, share in SHARES.items()}
    first = next(iter(counts))
    counts[first] += requests - sum(counts.values())
    return counts
