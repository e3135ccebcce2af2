"""Usage prices told as stories; amounts by hand."""

from tests.scenarios.story import Story


def test_usage_within_the_included_quota_costs_nothing(bill: Story) -> None:
    """
    plan pro: 20.00 EUR per month, 1000 requests included, then 0.01 EUR each
    2026-01-01 acme subscribes to pro
    2026-01-10 acme uses 1000 requests
    2026-02-01 close period
    """
    assert bill.lines == ["pro 20.00 EUR"]


def test_each_unit_has_a_price_and_the_line_is_rounded_once(bill: Story) -> None:
    """
    plan payg: 0.0025 USD each of calls
    2026-01-01 acme subscribes to payg
    2026-01-10 acme uses 333 calls
    2026-02-01 close period
    """
    # 333 x 0.0025 = 0.8325
    assert bill.lines == ["333 calls 0.83 USD"]


def test_half_a_cent_is_rounded_away_from_zero(bill: Story) -> None:
    """
    plan payg: 0.005 USD each of calls
    2026-01-01 acme subscribes to payg
    2026-01-10 acme uses 101 calls
    2026-02-01 close period
    """
    # 0.505
    assert bill.lines == ["101 calls 0.51 USD"]


def test_graduated_tiers_price_each_unit_in_its_own_tier(bill: Story) -> None:
    """
    plan tiers: calls graduated to 100 at 0.05 | to 1000 at 0.04 | above at 0.03
    2026-01-01 acme subscribes to tiers
    2026-01-10 acme uses 1500 calls
    2026-02-01 close period
    """
    # 100 x 0.05, 900 x 0.04, 500 x 0.03
    assert bill.lines == ["100 calls 5.00 USD", "900 calls 36.00 USD", "500 calls 15.00 USD"]


def test_a_tier_s_flat_price_is_due_once_it_is_reached(bill: Story) -> None:
    """
    plan tiers: calls graduated to 100 at 0.05 plus 2.00 | above at 0.03 plus 7.00
    2026-01-01 acme subscribes to tiers
    2026-01-10 acme uses 101 calls
    2026-02-01 close period
    """
    # the tier's flat price is a line of kind flat: the story names it by plan and card
    assert bill.lines == ["100 calls 5.00 USD", "tiers calls 2.00 USD", "1 calls 0.03 USD", "tiers calls 7.00 USD"]


def test_the_first_tier_s_flat_price_is_due_without_usage(bill: Story) -> None:
    """
    plan tiers: calls graduated to 100 at 0.05 plus 2.00 | above at 0.03
    2026-01-01 acme subscribes to tiers
    2026-02-01 close period
    """
    assert bill.lines == ["tiers calls 2.00 USD"]


def test_volume_prices_every_unit_by_the_total(bill: Story) -> None:
    """
    plan bulk: calls volume to 1000 at 0.05 | above at 0.02
    2026-01-01 acme subscribes to bulk
    2026-01-10 acme uses 1001 calls
    2026-02-01 close period
    """
    assert bill.lines == ["1001 calls 20.02 USD"]


def test_at_the_bound_the_volume_is_still_in_the_lower_tier(bill: Story) -> None:
    """
    plan bulk: calls volume to 1000 at 0.05 | above at 0.02
    2026-01-01 acme subscribes to bulk
    2026-01-10 acme uses 1000 calls
    2026-02-01 close period
    """
    assert bill.lines == ["1000 calls 50.00 USD"]


def test_each_started_package_is_charged(bill: Story) -> None:
    """
    plan packs: 5.00 USD per 1000 tokens
    2026-01-01 acme subscribes to packs
    2026-01-10 acme uses 1001 tokens
    2026-02-01 close period
    """
    assert bill.lines == ["2 tokens 10.00 USD"]


def test_zero_usage_is_zero_packages_and_no_invoice(bill: Story) -> None:
    """
    plan packs: 5.00 USD per 1000 tokens
    2026-01-01 acme subscribes to packs
    2026-02-01 close period
    """
    assert bill.invoices == []


def test_a_percentage_is_taken_of_money_and_an_amount_of_each_event(bill: Story) -> None:
    """
    plan pay: 1.5 % of payments and 0.10 EUR each; 2 free
    2026-01-01 acme subscribes to pay
    2026-01-10 acme uses 250.00 payments in 5 events
    2026-02-01 close period
    """
    # 1.5 % of 250.00; 3 of 5 events at 0.10
    assert bill.lines == ["250 payments 3.75 EUR", "3 payments 0.30 EUR"]


def test_the_cost_of_usage_is_passed_on_with_a_margin(bill: Story) -> None:
    """
    plan llm: cost of tokens times 1.2
    2026-01-01 acme subscribes to llm
    2026-01-10 acme uses 0.04123 tokens
    2026-01-11 acme uses 10.00 tokens
    2026-02-01 close period
    """
    # 10.04123 x 1.2 = 12.049476
    assert bill.lines == ["10.04123 tokens 12.05 USD"]


def test_bytes_are_billed_by_the_started_thousand(bill: Story) -> None:
    """
    plan traffic: 0.10 USD each of bytes, billed by 1000 rounded up
    2026-01-01 acme subscribes to traffic
    2026-01-10 acme uses 12001 bytes
    2026-02-01 close period
    """
    assert bill.lines == ["13 bytes 1.30 USD"]


def test_free_units_are_taken_off_before_the_price(bill: Story) -> None:
    """
    plan trial: 0.10 USD each of calls, 100 units free
    2026-01-01 acme subscribes to trial
    2026-01-10 acme uses 150 calls
    2026-02-01 close period
    """
    assert bill.lines == ["50 calls 5.00 USD"]


def test_a_percentage_off_is_a_negative_line(bill: Story) -> None:
    """
    plan friend: 0.10 USD each of calls, 15 % off
    2026-01-01 acme subscribes to friend
    2026-01-10 acme uses 33 calls
    2026-02-01 close period
    """
    # 15 % of 3.30 is 0.495
    assert bill.lines == ["33 calls 3.30 USD", "calls discount -0.50 USD"]


def test_the_maximum_spend_cuts_what_exceeds_it(bill: Story) -> None:
    """
    plan capped: 0.10 USD each of calls, at most 5.00 USD
    2026-01-01 acme subscribes to capped
    2026-01-10 acme uses 80 calls
    2026-02-01 close period
    """
    assert bill.lines == ["80 calls 8.00 USD", "calls maximum_spend -3.00 USD"]
    assert bill.total == "5.00"


def test_the_minimum_spend_is_filled_up_at_the_end(bill: Story) -> None:
    """
    plan committed: 0.10 USD each of calls, at least 50.00 USD
    2026-01-01 acme subscribes to committed
    2026-01-10 acme uses 80 calls
    2026-02-01 close period
    """
    assert bill.lines == ["80 calls 8.00 USD", "calls minimum_commitment 42.00 USD"]


def test_two_features_are_two_rate_cards(bill: Story) -> None:
    """
    plan both: 0.01 USD each of calls, 2.00 USD per 1000 tokens
    2026-01-01 acme subscribes to both
    2026-01-10 acme uses 100 calls
    2026-01-11 acme uses 500 tokens
    2026-02-01 close period
    """
    assert bill.lines == ["100 calls 1.00 USD", "1 tokens 2.00 USD"]


def test_usage_at_the_end_belongs_to_the_next_period(bill: Story) -> None:
    """
    plan payg: 1.00 USD each of calls
    2026-01-01 acme subscribes to payg
    2026-01-31 23:59:59 acme uses 1 calls
    2026-02-01 acme uses 2 calls
    2026-02-01 close period
    2026-03-01 close period
    """
    assert bill.invoices == ["INV-000002 acme 2.00 USD"]


def test_yen_have_no_decimals(bill: Story) -> None:
    """
    plan tokyo: 500 JPY per month, 0.5 JPY each of calls
    2026-01-01 acme subscribes to tokyo
    2026-01-10 acme uses 101 calls
    2026-02-01 close period
    """
    # 50.5 yen, half away from zero
    assert bill.lines == ["tokyo 500 JPY", "101 calls 51 JPY"]


def test_dinars_have_three_decimals(bill: Story) -> None:
    """
    plan kuwait: 1.250 KWD per month, 0.0015 KWD each of calls
    2026-01-01 acme subscribes to kuwait
    2026-01-10 acme uses 101 calls
    2026-02-01 close period
    """
    # 0.1515
    assert bill.lines == ["kuwait 1.250 KWD", "101 calls 0.152 KWD"]


def test_negative_usage_is_priced_as_zero(bill: Story) -> None:
    """
    plan payg: 1.00 USD per month, 1.00 USD each of calls
    2026-01-01 acme subscribes to payg
    2026-01-10 acme uses -5 calls
    2026-02-01 close period
    """
    assert bill.lines == ["payg 1.00 USD"]


def test_overage_is_billed_after_the_included_quota(bill: Story) -> None:
    """
    plan pro: 20.00 EUR per month, 1000 requests included, then 0.01 EUR each
    2026-01-01 acme subscribes to pro
    2026-01-10 acme uses 1200 requests
    2026-02-01 close period
    """
    assert bill.lines == ["pro 20.00 EUR", "200 requests 2.00 EUR"]
