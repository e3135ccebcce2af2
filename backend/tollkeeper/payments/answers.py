"""Translate Stripe's errors, once, into what a job does next (the last section of docs/stripe.md)."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

import stripe


class Next(StrEnum):
    """What a job does after an error."""

    REPEAT = "repeat"  # again, same key, after a while
    LOOK = "look"  # the answer may be saved: look whether the work was done, else a new key
    STOP = "stop"  # a person has to change something first
    STOP_ACCOUNT = "stop_account"  # no request of this account will work
    STAYS_OPEN = "stays_open"  # the card was declined; the invoice stays open


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error of Stripe without its body: the body may hold a customer's details and is never kept."""

    next: Next
    code: str
    reason: str
    is_rate_limit: bool = False
    is_missing: bool = False  # what the request is about is not there, or not there any more


def read_refusal(error: stripe.StripeError) -> Refusal:
    """Say what to do after this error; the SDK's own two retries are already behind it."""
    code = _code_of(error)
    status = error.http_status
    if isinstance(error, stripe.IdempotencyError):
        return Refusal(Next.STOP, code, "the key was used for another request; look at Stripe before going on")
    if status is None:
        return Refusal(Next.REPEAT, code, "no answer from Stripe")
    if isinstance(error, stripe.RateLimitError):
        return Refusal(Next.REPEAT, code, "Stripe asks to go slower", is_rate_limit=True)
    parameter = getattr(error, "param", None)
    place = f" at {parameter}" if parameter else ""
    reason = f"Stripe answered {status}: {code}{place}"
    return Refusal(_next_after(error, status), code, reason, is_missing=status == 404 or code == "resource_missing")


def _next_after(error: stripe.StripeError, status: int) -> Next:
    if status == 503 and _is_replay(error):
        return Next.LOOK  # the key has this answer for a day
    if status < 400 or status in {409, 503}:
        return Next.REPEAT
    if status >= 500:
        return Next.LOOK
    if status in {401, 403}:
        return Next.STOP_ACCOUNT
    return Next.STAYS_OPEN if status == 402 else Next.STOP


def _is_replay(error: stripe.StripeError) -> bool:
    headers = {name.lower(): value for name, value in dict(error.headers or {}).items()}
    return headers.get("idempotent-replayed") == "true"


def _code_of(error: stripe.StripeError) -> str:
    inner = error.error
    code = error.code or (inner.code if inner is not None else None) or (inner.type if inner is not None else None)
    return str(code or type(error).__name__)


def wait_before_repeat(failures: int, refusal: Refusal) -> timedelta:
    """Return how long to wait after the n-th failure in a row: doubling from 2 s (429: 15 s) to an hour."""
    first = 15 if refusal.is_rate_limit else 2
    return timedelta(seconds=min(first * 2 ** min(failures - 1, 12), 3600))
