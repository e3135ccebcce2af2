"""Who is told: webhook endpoints, their addresses checked, their secrets made here."""

import base64
import ipaddress
import secrets
from collections.abc import Sequence
from datetime import datetime
from urllib.parse import urlsplit

from sqlalchemy import select
from sqlalchemy.orm import Session

from tollkeeper.errors import Conflict, InvalidInput, NotFound
from tollkeeper.notifications.tables import WebhookEndpoint
from tollkeeper.storage.ids import new_id
from tollkeeper.storage.upsert import insert_ignoring

LONGEST_URL = 2000
SECRET_BYTES = 32


def check_url(url: str, *, may_be_loopback: bool) -> None:
    """Raise InvalidInput unless the address is https, or plain http on this machine where that is allowed.

    Credentials in an address would end in logs and lists; they have no place in it.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise InvalidInput.of("/url", f"{url[:200]!r} is no address") from None
    if not host or len(url) > LONGEST_URL or parts.fragment or any(character.isspace() for character in url):
        raise InvalidInput.of("/url", "is no address of a webhook; write it like https://example.com/hooks")
    if parts.username is not None or parts.password is not None:
        raise InvalidInput.of("/url", "must not hold credentials; deliveries are signed instead")
    if parts.scheme == "https" or (parts.scheme == "http" and may_be_loopback and _is_loopback(host)):
        return
    raise InvalidInput.of(
        "/url",
        "must be https; http is for this machine alone, with TOLLKEEPER_WEBHOOKS_TO_LOOPBACK=1",
    )


def add_endpoint(
    session: Session, url: str, kinds: Sequence[str], *, may_be_loopback: bool, now: datetime
) -> WebhookEndpoint:
    """Add an address and make its secret; `kinds` empty means everything. Raises InvalidInput, Conflict."""
    check_url(url, may_be_loopback=may_be_loopback)
    row = {
        "id": new_id("whe"),
        "url": url,
        "kinds": sorted(set(kinds)),
        "secret": "whsec_" + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode(),
        "created_at": now,
    }
    insert_ignoring(session, WebhookEndpoint, [row])
    endpoint = session.scalars(select(WebhookEndpoint).where(WebhookEndpoint.url == url)).one()
    if endpoint.id != row["id"]:
        raise Conflict(f"there is an endpoint with this address already: {endpoint.id}")
    return endpoint


def list_endpoints(session: Session) -> Sequence[WebhookEndpoint]:
    """Return all endpoints by age, the disabled ones too."""
    return session.scalars(select(WebhookEndpoint).order_by(WebhookEndpoint.id)).all()


def disable_endpoint(session: Session, endpoint_id: str, *, now: datetime) -> WebhookEndpoint:
    """Tell it no more; what waits is not delivered. A repeat keeps the first instant. Raises NotFound."""
    endpoint = session.get(WebhookEndpoint, endpoint_id)
    if endpoint is None:
        raise NotFound(f"there is no webhook endpoint {endpoint_id!r}")
    if endpoint.disabled_at is None:
        endpoint.disabled_at = now
    return endpoint


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
