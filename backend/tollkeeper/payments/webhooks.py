"""Take Stripe's webhooks in: verify the raw bytes, keep the event once, answer; a job applies it later."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import stripe
from sqlalchemy import select
from sqlalchemy.orm import Session

from tollkeeper.errors import TollkeeperError
from tollkeeper.payments.tables import StripeEvent
from tollkeeper.storage.upsert import insert_ignoring

TOLERANCE = timedelta(minutes=5)


class BadWebhook(TollkeeperError):
    """The webhook is not from Stripe, is too old or too new, or is no event; it is answered with 400."""

    code = "bad_webhook"


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """What the endpoint needs: signing secrets (two while one is being replaced) and which mode is ours."""

    secrets: tuple[str, ...]
    is_live: bool


def receive_webhook(
    session: Session,
    body: bytes,
    signature: str | None,
    settings: WebhookSettings,
    *,
    machine_now: datetime,
    now: datetime,
) -> bool:
    """Keep the event of a webhook; return whether it was new. A repeat is no error. Raises BadWebhook.

    `machine_now` is what the signature's time is compared with: a test clock is no concern of Stripe's.
    """
    verify_signature(body, signature, settings.secrets, now=machine_now)
    event = _read_event(body)
    if session.scalar(select(StripeEvent.id).where(StripeEvent.id == event["id"])) is not None:
        return False
    is_ours = bool(event.get("livemode", False)) == settings.is_live
    row = {
        "id": event["id"],
        "type": str(event["type"]),
        "is_live": bool(event.get("livemode", False)),
        "object_id": event["data"]["object"].get("id"),
        "payload": event,
        "received_at": now,
        "due_at": now,
        "failures": 0,
        "applied_at": None if is_ours else now,
        "outcome": None if is_ours else "ignored: of the other mode (live or test)",
    }
    insert_ignoring(session, StripeEvent, [row])
    return True


def verify_signature(body: bytes, signature: str | None, secrets: Sequence[str], *, now: datetime) -> None:
    """Check the signature by any of the secrets and a time near `now`, before and after; raises BadWebhook."""
    if not secrets:
        raise BadWebhook("no webhook secret is set; set TOLLKEEPER_STRIPE_WEBHOOK_SECRETS")
    try:
        text = body.decode()
        stamp = datetime.fromtimestamp(_timestamp_of(signature or ""), tz=now.tzinfo)
    except (ValueError, OverflowError, OSError):
        raise BadWebhook("the Stripe-Signature header or the body cannot be read") from None
    # The SDK refuses old timestamps by its own clock; both directions by ours is what we want.
    if abs(now - stamp) > TOLERANCE:
        raise BadWebhook("the webhook's timestamp is more than 5 minutes off")
    if not any(_is_signed_by(text, signature or "", secret) for secret in secrets):
        raise BadWebhook("the signature fits none of the webhook secrets")


def _timestamp_of(signature: str) -> int:
    fields = dict(field.partition("=")[::2] for field in signature.split(","))
    return int(fields.get("t", ""))


def _is_signed_by(text: str, signature: str, secret: str) -> bool:
    try:
        # tolerance None switches the SDK's own, one-sided check of the time off
        stripe.WebhookSignature.verify_header(text, signature, secret, tolerance=None)
    except stripe.SignatureVerificationError:
        return False
    return True


def _read_event(body: bytes) -> dict[str, Any]:
    try:
        event = json.loads(body)
        known = event["object"] == "event" and event["id"].startswith("evt_") and event["type"]
        known = known and isinstance(event["data"]["object"], dict)
    except (ValueError, KeyError, TypeError, AttributeError):
        known = False
    if not known:
        raise BadWebhook("the body is no Stripe event")
    return dict(event)
