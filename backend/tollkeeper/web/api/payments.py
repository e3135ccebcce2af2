"""Stripe's webhooks, and the sync of one invoice tried again."""

from flask import Blueprint, Response, current_app, request

from tollkeeper.clock import SystemClock
from tollkeeper.errors import Conflict
from tollkeeper.invoices.reading import get_invoice
from tollkeeper.payments.sync import retry_sync
from tollkeeper.payments.webhooks import BadWebhook, WebhookSettings, receive_webhook
from tollkeeper.web.api.conventions import describe, endpoint
from tollkeeper.web.context import transaction, web_context
from tollkeeper.web.errors import problem

blueprint = Blueprint("api_payments", __name__, url_prefix="/api/v1")

MOST_WEBHOOK_BYTES = 1 << 20
EVENT = {"type": "object", "description": "A Stripe event."}
NO_SECRETS = WebhookSettings((), is_live=False)


@blueprint.post("/stripe/webhook")
@describe(body=EVENT, status=200, further_statuses=(400,))
def receive() -> Response:
    """Take a webhook of Stripe; the signature is its key.

    The event is stored under its id and answered; a job applies it. A repeat is answered like the first.
    """
    request.max_content_length = MOST_WEBHOOK_BYTES
    body = request.get_data(cache=False)
    settings = current_app.extensions.get("tollkeeper.stripe_webhooks", NO_SECRETS)
    try:
        with transaction() as session:
            receive_webhook(
                session,
                body,
                request.headers.get("Stripe-Signature"),
                settings,
                machine_now=SystemClock().now(),  # Stripe signs by the world's time, not by a test clock's
                now=web_context().clock.now(),
            )
    except BadWebhook as refused:
        return problem(400, refused.code, refused.message)
    return Response(status=200)


@blueprint.post("/invoices/<id_or_number>/retry-stripe")
@endpoint("write")
def retry(id_or_number: str) -> None:
    """Try a stopped or held invoice at Stripe again, after the cause was mended."""
    with transaction() as session:
        invoice = get_invoice(session, id_or_number)
        if not retry_sync(session, invoice.id, now=web_context().clock.now()):
            raise Conflict(f"invoice {invoice.number or invoice.id} is not stopped on its way to Stripe")
