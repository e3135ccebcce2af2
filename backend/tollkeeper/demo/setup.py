"""Make the demo's features, plans, customers and subscriptions by the API and the commands that users have."""

from datetime import UTC, datetime
from pathlib import Path

from tollkeeper.demo.api import BackendApi
from tollkeeper.demo.stack import Stack
from tollkeeper.demo.story import CUSTOMERS, FEATURES, PLANS

PLAN_FOLDER = Path(__file__).parent / "plans"


def month_start(now: datetime) -> datetime:
    """Return the first instant of the month in UTC."""
    return now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def next_month_start(now: datetime) -> datetime:
    """Return the first instant of the month after."""
    first = month_start(now)
    return first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)


def set_up(stack: Stack, api: BackendApi, *, now: datetime) -> None:
    """Bring the backend from empty to ready for traffic; subscriptions begin with the month."""
    since = month_start(now).isoformat()
    stack.command("kong", "import", "--file", str(stack.source / "kong.yml"))
    for feature in FEATURES:
        api.post("/features", feature)
    for plan in PLANS:
        stack.command("plan", "apply", str(PLAN_FOLDER / f"{plan}.yml"))
    for person in CUSTOMERS:
        customer = {"key": person.key, "name": person.name, "currency": person.currency}
        api.post("/customers", customer | ({"parent": person.parent} if person.parent else {}))
        for username in person.consumers:
            mapping = {"match": "username", "value": username, "since": since}
            api.post(f"/customers/{person.key}/consumers", mapping)
    for person in CUSTOMERS:
        if person.plan:
            subscription = {"customer": person.key, "plan": person.plan, "start": since, "anchor": since}
            api.post("/subscriptions", subscription)
