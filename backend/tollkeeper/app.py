"""The composition root: puts settings, database, clock and doors together."""

from datetime import timedelta
from types import ModuleType

from flask import Blueprint, Flask
from werkzeug.middleware.proxy_fix import ProxyFix

import tollkeeper.access.tables
import tollkeeper.catalog.tables
import tollkeeper.coupons.tables
import tollkeeper.credits.immutable
import tollkeeper.credits.tables
import tollkeeper.customers.tables
import tollkeeper.entitlements.tables
import tollkeeper.invoices.credit_note_immutable
import tollkeeper.invoices.credit_note_tables
import tollkeeper.invoices.forget_tables
import tollkeeper.invoices.immutable
import tollkeeper.invoices.mail_tables
import tollkeeper.invoices.payment_tables
import tollkeeper.invoices.tables
import tollkeeper.invoices.top_up_tables
import tollkeeper.kong.tables
import tollkeeper.metering.keeping_tables
import tollkeeper.metering.stores.tables
import tollkeeper.metering.tables
import tollkeeper.notifications.tables
import tollkeeper.payments.tables
import tollkeeper.storage.changes
import tollkeeper.storage.test_clock
import tollkeeper.subscriptions.tables
import tollkeeper.taxes.tables
from tollkeeper.clock import Clock, SystemClock
from tollkeeper.config import Settings
from tollkeeper.errors import InvalidInput
from tollkeeper.jobs.advance import advance_clock
from tollkeeper.jobs.context import JobContext
from tollkeeper.metering.builtin import seed_builtin_meters
from tollkeeper.metering.stores.archive import archive_of, attach_archive
from tollkeeper.metering.stores.locate import open_archive_at
from tollkeeper.metering.stores.move import check_archive
from tollkeeper.notifications.smtp import MailServer, MailTls
from tollkeeper.payments.client import find_account
from tollkeeper.payments.webhooks import WebhookSettings
from tollkeeper.storage.engine import open_engine
from tollkeeper.storage.migrate import upgrade_schema
from tollkeeper.storage.session import Database
from tollkeeper.storage.test_clock import open_clock
from tollkeeper.web import health
from tollkeeper.web.admin.frame import install_admin, render_problem
from tollkeeper.web.api import access as api_access
from tollkeeper.web.api import add_ons as api_add_ons
from tollkeeper.web.api import audit_log as api_audit_log
from tollkeeper.web.api import capture as api_capture
from tollkeeper.web.api import catalog as api_catalog
from tollkeeper.web.api import coupons as api_coupons
from tollkeeper.web.api import credit_notes as api_credit_notes
from tollkeeper.web.api import credits as api_credits
from tollkeeper.web.api import customers as api_customers
from tollkeeper.web.api import entitlements as api_entitlements
from tollkeeper.web.api import events as api_events
from tollkeeper.web.api import forget as api_forget
from tollkeeper.web.api import gateway as api_gateway
from tollkeeper.web.api import invoice_mails as api_invoice_mails
from tollkeeper.web.api import invoice_payments as api_invoice_payments
from tollkeeper.web.api import invoices as api_invoices
from tollkeeper.web.api import kong as api_kong
from tollkeeper.web.api import legal_entities as api_legal_entities
from tollkeeper.web.api import meters as api_meters
from tollkeeper.web.api import migrations as api_migrations
from tollkeeper.web.api import openapi
from tollkeeper.web.api import payments as api_payments
from tollkeeper.web.api import plans as api_plans
from tollkeeper.web.api import rating as api_rating
from tollkeeper.web.api import subscription_parts as api_subscription_parts
from tollkeeper.web.api import subscriptions as api_subscriptions
from tollkeeper.web.api import taxes as api_taxes
from tollkeeper.web.api import templates as api_templates
from tollkeeper.web.api import test_clock as api_test_clock
from tollkeeper.web.api import usage as api_usage
from tollkeeper.web.context import WebContext
from tollkeeper.web.errors import register_error_handlers
from tollkeeper.web.intake import Intake
from tollkeeper.web.security import load_or_make_secret_key, register_security_headers

MOST_REQUEST_BYTES = 16 << 20  # a batch of events; the management API takes less (web/api/validation.py)

# Tables are known to the metadata once their module is imported.
TABLES: tuple[ModuleType, ...] = (
    tollkeeper.access.tables,
    tollkeeper.catalog.tables,
    tollkeeper.coupons.tables,
    tollkeeper.credits.tables,
    tollkeeper.customers.tables,
    tollkeeper.invoices.forget_tables,
    tollkeeper.invoices.tables,
    tollkeeper.invoices.payment_tables,
    tollkeeper.invoices.mail_tables,
    tollkeeper.invoices.credit_note_tables,
    tollkeeper.invoices.top_up_tables,
    tollkeeper.entitlements.tables,
    tollkeeper.kong.tables,
    tollkeeper.metering.keeping_tables,
    tollkeeper.metering.stores.tables,
    tollkeeper.metering.tables,
    tollkeeper.notifications.tables,
    tollkeeper.payments.tables,
    tollkeeper.storage.changes,
    tollkeeper.storage.test_clock,
    tollkeeper.subscriptions.tables,
    tollkeeper.taxes.tables,
)

# Every door's routes; a room adds its blueprint here.
BLUEPRINTS: tuple[Blueprint, ...] = (
    health.blueprint,
    openapi.blueprint,
    api_access.blueprint,
    api_audit_log.blueprint,
    api_catalog.blueprint,
    api_plans.blueprint,
    api_migrations.blueprint,
    api_add_ons.blueprint,
    api_templates.blueprint,
    api_subscription_parts.blueprint,
    api_rating.blueprint,
    api_events.blueprint,
    api_forget.blueprint,
    api_capture.blueprint,
    api_usage.blueprint,
    api_subscriptions.blueprint,
    api_entitlements.blueprint,
    api_gateway.blueprint,
    api_test_clock.blueprint,
    api_meters.blueprint,
    api_kong.blueprint,
    api_customers.blueprint,
    api_coupons.blueprint,
    api_credits.blueprint,
    api_invoices.blueprint,
    api_invoice_mails.blueprint,
    api_invoice_payments.blueprint,
    api_credit_notes.blueprint,
    api_legal_entities.blueprint,
    api_taxes.blueprint,
    api_payments.blueprint,
)


def create_app(settings: Settings, *, database: Database | None = None, clock: Clock | None = None) -> Flask:
    """Return the Flask application; `database` and `clock` replace what the settings would open."""
    app = Flask("tollkeeper.web", static_folder=None)
    database = database or open_database_of(settings)
    app.extensions["tollkeeper"] = WebContext(
        database=database,
        clock=clock or _clock_of(app, settings, database),
        shown_settings=settings.describe(),
        intake=Intake(settings.intake_mib << 20),
    )
    app.extensions["tollkeeper.stripe_webhooks"] = _webhook_settings(settings)
    app.config["MAX_CONTENT_LENGTH"] = MOST_REQUEST_BYTES
    app.config["SECRET_KEY"] = (
        settings.secret_key.get_secret_value() if settings.secret_key else load_or_make_secret_key(settings.data_dir)
    )
    if settings.trusted_proxies:
        # Flask's own way to wrap an application; mypy takes the attribute for a method
        proxied = ProxyFix(app.wsgi_app, x_for=settings.trusted_proxies, x_proto=settings.trusted_proxies)
        app.wsgi_app = proxied  # type: ignore[method-assign]
    for blueprint in BLUEPRINTS:
        app.register_blueprint(blueprint)
    install_admin(app)
    register_error_handlers(app, render_problem)
    register_security_headers(app)
    return app


def open_database_of(settings: Settings) -> Database:
    """Return the database that the settings name, with the password that may be kept apart from its URL."""
    password = settings.database_password
    engine = open_engine(settings.database_url, password.get_secret_value() if password else None)
    if settings.events_url is not None:
        password = settings.events_password
        archive = open_archive_at(settings.events_url, password.get_secret_value() if password else None)
        attach_archive(engine, archive)
    return Database(engine)


def _clock_of(app: Flask, settings: Settings, database: Database) -> Clock:
    """Return the system's clock, or the test clock; then the API may advance it."""
    if not settings.test_clock:
        return SystemClock()
    opened = open_clock(database, is_test_clock=True)
    context = job_context_of(settings, database, opened.clock)
    offset = opened.offset
    assert offset is not None
    app.extensions[api_test_clock.EXTENSION] = lambda to: advance_clock(context, offset, to)
    return opened.clock


def job_context_of(settings: Settings, database: Database, clock: Clock) -> JobContext:
    """Return what the jobs of this process need; raises InvalidInput for wrong payment settings."""
    return JobContext(
        database=database,
        clock=clock,
        data_dir=settings.data_dir,
        grace=timedelta(seconds=settings.late_event_grace_seconds),
        keep_events_days=settings.keep_events_days,
        drop_only_exported=settings.drop_only_exported,
        webhooks_to_loopback=settings.webhooks_to_loopback,
        mail_server=mail_server_of(settings),
        stripe_account=find_account(
            database,
            api_key=settings.stripe_api_key.get_secret_value() if settings.stripe_api_key else None,
            api_base=settings.stripe_api_base,
            stand_in=settings.stripe_stand_in,
        ),
    )


def mail_server_of(settings: Settings) -> MailServer | None:
    """Return where mail is handed in, or None; raises InvalidInput for settings that do not go together."""
    if settings.smtp_host is None:
        return None
    if settings.smtp_from is None:
        raise InvalidInput.of("/TOLLKEEPER_SMTP_FROM", "is needed with TOLLKEEPER_SMTP_HOST: the sender's address")
    if settings.smtp_user is not None and settings.smtp_tls == MailTls.NONE:
        raise InvalidInput.of("/TOLLKEEPER_SMTP_TLS", "must not be none with a user: the password would be readable")
    return MailServer(
        host=settings.smtp_host,
        port=settings.smtp_port,
        sender=settings.smtp_from,
        tls=settings.smtp_tls,
        user=settings.smtp_user,
        password=settings.smtp_password.get_secret_value() if settings.smtp_password else None,
    )


def _webhook_settings(settings: Settings) -> WebhookSettings:
    api_key = settings.stripe_api_key.get_secret_value() if settings.stripe_api_key else ""
    secrets = settings.stripe_webhook_secrets.get_secret_value() if settings.stripe_webhook_secrets else ""
    return WebhookSettings(
        tuple(secret.strip() for secret in secrets.split(",") if secret.strip()), is_live="_live_" in api_key
    )


def create_schema(database: Database) -> None:
    """Bring the database to the newest schema, with the built-in meters in it; a repeat changes nothing.

    Raises Unavailable if events of the database lie in an archive that is not the one that the settings name.
    """
    upgrade_schema(database.engine)
    with database.transaction() as session:
        seed_builtin_meters(session)
    with database.snapshot() as session:
        check_archive(session, archive_of(session))
