"""May this traffic pass now? A pure function of what is used and what is allowed."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum


class State(StrEnum):
    """What the gateway does: let pass, let pass and mind it, refuse."""

    ALLOW = "allow"
    WARN = "warn"
    DENY = "deny"


class Code(StrEnum):
    """Why, for programs."""

    WITHIN_QUOTA = "within_quota"
    QUOTA_WARNING = "quota_warning"
    QUOTA_EXCEEDED = "quota_exceeded"
    QUOTA_EXHAUSTED = "quota_exhausted"
    NOT_ENTITLED = "not_entitled"
    SUBSCRIPTION_PAUSED = "subscription_paused"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The state, the code, and a sentence for people."""

    state: State
    code: Code
    reason: str


@dataclass(frozen=True, slots=True)
class Quota:
    """A metered entitlement's limit: hard ones refuse, soft ones only warn; thresholds are per cent of it."""

    limit: Decimal
    is_hard: bool
    thresholds: Sequence[Decimal] = ()


def judge(used: Decimal, quota: Quota) -> Verdict:
    """Return the verdict on a metered entitlement: a quota is spent when what is used reaches it."""
    reason = f"{plain(used)} of {plain(quota.limit)} used"
    if used >= quota.limit:
        if quota.is_hard:
            return Verdict(State.DENY, Code.QUOTA_EXHAUSTED, reason)
        return Verdict(State.WARN, Code.QUOTA_EXCEEDED, f"{reason}; the limit is soft")
    if reached_thresholds(used, quota):
        return Verdict(State.WARN, Code.QUOTA_WARNING, reason)
    return Verdict(State.ALLOW, Code.WITHIN_QUOTA, reason)


def reached_thresholds(used: Decimal, quota: Quota) -> list[Decimal]:
    """Return the thresholds that the usage is at or above, lowest first."""
    return [threshold for threshold in sorted(quota.thresholds) if used * 100 >= threshold * quota.limit]


def not_entitled(feature_key: str) -> Verdict:
    """Return the verdict on a feature that other plans sell and this customer's does not."""
    return Verdict(State.DENY, Code.NOT_ENTITLED, f"the plan does not include {feature_key}")


def paused(*, is_exact: bool = True) -> Verdict:
    """Return the verdict on what a paused subscription is about; an inexact scope must not refuse other traffic."""
    return Verdict(State.DENY if is_exact else State.WARN, Code.SUBSCRIPTION_PAUSED, "the subscription is paused")


def plain(number: Decimal) -> str:
    """Write a quantity for people and programs: no exponent, no needless zeros."""
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
