"""The story of the style guide."""

from tests.scenarios.story import Story


def test_overage_is_billed_after_the_included_quota(bill: Story) -> None:
    """
    plan pro: 20.00 EUR per month, 1000 requests included, then 0.01 EUR each
    2026-01-01 acme subscribes to pro
    2026-01-10 acme uses 1200 requests
    2026-02-01 close period
    """
    assert bill.lines == ["pro 20.00 EUR", "200 requests 2.00 EUR"]
