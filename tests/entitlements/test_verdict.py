"""A verdict is a pure function of what is used and what is allowed."""

from decimal import Decimal

import pytest

from tollkeeper.entitlements.verdict import Quota, judge, not_entitled, reached_thresholds

THRESHOLDS = (Decimal(80), Decimal(100))


@pytest.mark.parametrize(
    ("used", "limit", "is_hard", "expected"),
    [
        ("0", "1000", True, "allow within_quota 0 of 1000 used"),
        ("799.99", "1000", True, "allow within_quota 799.99 of 1000 used"),
        ("800", "1000", True, "warn quota_warning 800 of 1000 used"),
        ("999", "1000", True, "warn quota_warning 999 of 1000 used"),
        ("1000", "1000", True, "deny quota_exhausted 1000 of 1000 used"),
        ("1200", "1000", True, "deny quota_exhausted 1200 of 1000 used"),
        ("1000", "1000", False, "warn quota_exceeded 1000 of 1000 used; the limit is soft"),
        ("0", "0", True, "deny quota_exhausted 0 of 0 used"),
        ("1E+3", "1E+4", True, "allow within_quota 1000 of 10000 used"),
    ],
)
def test_the_verdict_follows_from_usage_and_limit(used: str, limit: str, is_hard: bool, expected: str) -> None:
    verdict = judge(Decimal(used), Quota(Decimal(limit), is_hard, THRESHOLDS))
    assert f"{verdict.state} {verdict.code} {verdict.reason}" == expected


def test_a_threshold_is_reached_at_its_exact_value() -> None:
    quota = Quota(Decimal(3), is_hard=True, thresholds=(Decimal(100), Decimal("33.4"), Decimal("33.3")))
    assert reached_thresholds(Decimal(1), quota) == [Decimal("33.3")]


def test_a_feature_that_the_plan_lacks_is_refused_by_name() -> None:
    verdict = not_entitled("premium")
    assert (verdict.state, verdict.code, verdict.reason) == (
        "deny",
        "not_entitled",
        "the plan does not include premium",
    )
