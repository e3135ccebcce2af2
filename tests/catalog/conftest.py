"""A small plan as a document, and the features that it needs."""

import copy
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy.orm import Session

from tollkeeper.catalog.features import FeatureDraft, create_feature

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PRO: dict[str, Any] = {
    "name": "Pro",
    "currency": "USD",
    "phases": [
        {
            "key": "trial",
            "duration": "P1M",
            "rate_cards": [{"key": "base", "price": {"type": "flat", "amount": "0"}}],
        },
        {
            "key": "standard",
            "duration": None,
            "rate_cards": [
                {"key": "base", "price": {"type": "flat", "amount": "20.00", "payment_term": "in_advance"}},
                {
                    "key": "calls",
                    "feature": "calls",
                    "price": {
                        "type": "graduated",
                        "tiers": [
                            {"up_to": "1000", "unit_price": "0"},
                            {"up_to": None, "unit_price": "0.01"},
                        ],
                    },
                    "discounts": {"percentage": "10"},
                    "entitlement": {"type": "metered", "limit": "5000"},
                },
            ],
        },
    ],
}


@pytest.fixture
def pro() -> dict[str, Any]:
    """The document of a plan, to be changed by the test."""
    return copy.deepcopy(PRO)


@pytest.fixture
def now() -> datetime:
    return NOW


@pytest.fixture
def calls(session: Session) -> None:
    """The feature that the plan prices."""
    create_feature(session, FeatureDraft(key="calls", name="Calls", meter_key="requests"), now=NOW)
