"""Whose usage a subscription covers: its customer's and that of descendants without a plan of their own."""

from sqlalchemy.orm import Session

from tests.shop import add_customer, add_plan, at, flat
from tollkeeper.subscriptions.coverage import covered_stretches
from tollkeeper.subscriptions.subscribe import subscribe

JAN, FEB, MAR = at("2026-01-01"), at("2026-02-01"), at("2026-03-01")


def test_a_subsidiary_without_a_plan_is_covered_and_leaves_when_it_gets_one(session: Session) -> None:
    """holding > air > cargo, and holding > rail; air has a plan of its own from February on."""
    add_plan(session, "pro", flat())
    names = {}
    for key, parent in (("holding", None), ("air", "holding"), ("cargo", "air"), ("rail", "holding")):
        names[add_customer(session, key, parent=parent).id] = key
    held = subscribe(session, "holding", "pro", start=JAN, now=JAN)
    own = subscribe(session, "air", "pro", start=FEB, now=JAN)

    def covered(subscription: object) -> list[tuple[str, str, str]]:
        stretches = covered_stretches(session, subscription, JAN, MAR)  # type: ignore[arg-type]  # either of the two
        return [(names[one.customer_id], f"{one.start:%m-%d}", f"{one.end:%m-%d}") for one in stretches]

    assert covered(held) == [
        ("holding", "01-01", "03-01"),
        ("air", "01-01", "02-01"),
        ("cargo", "01-01", "02-01"),
        ("rail", "01-01", "03-01"),
    ]
    assert covered(own) == [("air", "01-01", "03-01"), ("cargo", "01-01", "03-01")]
