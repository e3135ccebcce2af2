"""Open the Stripe account that the settings name, for one command."""

from tollkeeper.config import Settings
from tollkeeper.payments.client import StripeAccount, find_account
from tollkeeper.storage.session import Database


def account_of(settings: Settings, database: Database) -> StripeAccount | None:
    """Return the account of the settings' key, the stand-in, or None without either."""
    return find_account(
        database,
        api_key=settings.stripe_api_key.get_secret_value() if settings.stripe_api_key else None,
        api_base=settings.stripe_api_base,
        stand_in=settings.stripe_stand_in,
    )
