"""Make the Stripe client: per instance, with timeouts, two retries, no telemetry; or the stand-in."""

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import stripe

from tollkeeper.errors import InvalidInput
from tollkeeper.payments.api_key import problem_of_key
from tollkeeper.payments.stand_in import StandInHttpClient
from tollkeeper.storage.session import Database

CONNECT_TIMEOUT_SECONDS = 5
READ_TIMEOUT_SECONDS = 30
MAX_NETWORK_RETRIES = 2
# Stripe allows 25 requests a second per endpoint; what we spare is for the operator's other programs.
MOST_REQUESTS_PER_SECOND = 20
STAND_IN_KEY = "sk_test_stand_in"


@dataclass(frozen=True, slots=True)
class StripeAccount:
    """A client and what it talks to."""

    client: stripe.StripeClient
    is_stand_in: bool
    is_live: bool

    @property
    def name(self) -> str:
        """Name the world that ids belong to: a customer of the test mode is unknown in the live one."""
        return "standin" if self.is_stand_in else "live" if self.is_live else "test"


class PacedRequestsClient(stripe.RequestsClient):
    """Stripe's `requests` client, slowed down to a steady rate over all threads."""

    def __init__(self, timeout: tuple[float, float], least_gap_seconds: float) -> None:
        super().__init__(timeout=timeout)
        self._least_gap_seconds = least_gap_seconds
        self._lock = threading.Lock()
        self._next_at = 0.0

    # RequestsClient itself narrows HTTPClient.request in this way, unseen by mypy
    def request(  # type: ignore[override]
        self, method: str, url: str, headers: Mapping[str, str] | None, post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        """Wait for this request's turn, then send it; an answer of no use counts as none, and is asked for again."""
        with self._lock:
            turn = max(self._next_at, time.monotonic())
            self._next_at = turn + self._least_gap_seconds
        time.sleep(max(0.0, turn - time.monotonic()))
        body, status, answered_headers = super().request(method, url, headers, post_data)
        return _checked(body, status), status, answered_headers


def _checked(body: bytes, status: int) -> bytes:
    """Return the body as text that the SDK can read; raises APIConnectionError for a success that is none.

    A proxy's page or a body that was cut off says nothing about whether the work was done, just as silence does.
    The SDK would take it for a refusal, or fail with an error that is none of its own.
    """
    text = body.decode(errors="replace")
    if status >= 400:
        return text.encode()
    try:
        answer = json.loads(text)
    except ValueError:
        answer = None
    if not isinstance(answer, dict) or not (answer.get("id") or answer.get("object") == "list"):
        message = f"the answer of {status} is no object of Stripe"
        # the SDK's errors have no types of their own
        raise stripe.APIConnectionError(message, should_retry=True)  # type: ignore[no-untyped-call]
    return body


def open_stripe(
    api_key: str, api_base: str | None = None, *, requests_per_second: int = MOST_REQUESTS_PER_SECOND
) -> StripeAccount:
    """Return a client of the account of this key; call it after a fork, never before.

    `api_base` is another address for Stripe's API (a proxy, a test double). Raises InvalidInput for what is no key.
    """
    problem = problem_of_key(api_key)
    if problem:
        raise InvalidInput.of("/STRIPE_API_KEY", problem)
    # Telemetry writes to the home directory and fails where there is none; it has no per-client switch.
    stripe.enable_telemetry = False
    transport = PacedRequestsClient((CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS), 1 / requests_per_second)
    client = stripe.StripeClient(
        api_key.strip(),
        base_addresses={"api": api_base.rstrip("/")} if api_base else {},
        max_network_retries=MAX_NETWORK_RETRIES,
        http_client=transport,
    )
    return StripeAccount(client, is_stand_in=False, is_live="_live_" in api_key)


def open_stand_in(database: Database) -> StripeAccount:
    """Return a client of the in-process stand-in, whose objects are kept in our own database."""
    stripe.enable_telemetry = False
    client = stripe.StripeClient(STAND_IN_KEY, max_network_retries=0, http_client=StandInHttpClient(database))
    return StripeAccount(client, is_stand_in=True, is_live=False)


def find_account(
    database: Database, *, api_key: str | None, api_base: str | None = None, stand_in: bool = False
) -> StripeAccount | None:
    """Return what the settings ask for: the account of the key, the stand-in, or None without either.

    Raises InvalidInput for an API address without a key: a typo must not end in invoices that go nowhere.
    """
    if api_key:
        return open_stripe(api_key, api_base)
    if api_base:
        raise InvalidInput.of("/STRIPE_API_KEY", "is missing, but TOLLKEEPER_STRIPE_API_BASE is set; set both")
    return open_stand_in(database) if stand_in else None
