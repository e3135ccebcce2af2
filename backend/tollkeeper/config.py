"""Settings, read from the environment once (docs/configuration.md lists them all)."""

import os
import re
from pathlib import Path
from typing import Literal

from pydantic import AliasChoices, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from tollkeeper.errors import FieldError, InvalidInput
from tollkeeper.notifications.smtp import MailTls
from tollkeeper.payments.api_key import problem_of_key

SECRETS_DIR = "TOLLKEEPER_SECRETS_DIR"
LEAST_SECRET_KEY_CHARACTERS = 32


class Settings(BaseSettings):
    """Every setting of the backend; a secret may also be a file named after it in TOLLKEEPER_SECRETS_DIR."""

    # Empty is not set: compose passes `STRIPE_API_KEY: ${STRIPE_API_KEY:-}`, which must not hide the file of that name.
    model_config = SettingsConfigDict(
        env_prefix="TOLLKEEPER_", extra="ignore", populate_by_name=True, env_ignore_empty=True
    )

    database_url: str = Field(
        default="sqlite:///var/tollkeeper.db",
        validation_alias=AliasChoices("DATABASE_URL", "TOLLKEEPER_DATABASE_URL"),
        description="Where everything is kept: sqlite:///path (embedded default) or postgresql://user@host/name.",
    )
    database_password: SecretStr | None = Field(
        default=None, description="Password for the database, kept out of its URL; best given as a file."
    )
    events_url: str | None = Field(
        default=None,
        validation_alias=AliasChoices("EVENTS_URL", "TOLLKEEPER_EVENTS_URL"),
        description=(
            "A ClickHouse that raw events are moved to: clickhouse://user@host:8123/tollkeeper?cluster=name, "
            "clickhouses:// over TLS; without it they stay in the database (docs/operations.md)."
        ),
    )
    events_password: SecretStr | None = Field(
        default=None, description="Password for ClickHouse, kept out of its URL; best given as a file."
    )
    host: str = Field(default="127.0.0.1", description="Address that the backend listens on.")
    port: int = Field(default=8750, ge=0, le=65535, description="Port that the backend listens on.")
    secret_key: SecretStr | None = Field(
        default=None,
        description="Signs sessions of the admin UI, at least 32 characters (`openssl rand -hex 32`); "
        "by default made once and kept in the data folder, mode 0600.",
    )
    trusted_proxies: int = Field(
        default=0,
        ge=0,
        le=10,
        description="How many proxies in front may name the client's address and scheme (X-Forwarded-For, -Proto).",
    )
    data_dir: Path = Field(default=Path("var"), description="Folder for the session key and lock files.")
    stripe_api_key: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("STRIPE_API_KEY", "TOLLKEEPER_STRIPE_API_KEY"),
        description="Stripe's secret key; without it invoices are not synced.",
    )
    stripe_api_base: str | None = Field(
        default=None,
        pattern=r"^https?://[^/\s]+",
        description="Another address for Stripe's API: a proxy or a test double.",
    )
    stripe_webhook_secrets: SecretStr | None = Field(
        default=None,
        description="Signing secrets of the webhook endpoint, separated by commas: two while one is being replaced.",
    )
    stripe_stand_in: bool = Field(
        default=False,
        description="Without a Stripe key, bring invoices to a stand-in inside the process that says so on each.",
    )
    late_event_grace_seconds: int = Field(
        default=3600, ge=0, description="How long after a period's end late events are waited for before it is billed."
    )
    keep_events_days: int | None = Field(
        default=None,
        ge=2,
        description="Drop raw events after so many days, once no invoice needs them; older events are refused "
        "(docs/metering.md). By default they are kept for ever. Not together with EVENTS_URL.",
    )
    drop_only_exported: bool = Field(
        default=True, description="Drop only days that `tollkeeper events export --format parquet` has written."
    )
    webhooks_to_loopback: bool = Field(
        default=False, description="Allow webhook endpoints on this machine by plain http, for trying them out."
    )
    smtp_host: str | None = Field(
        default=None, description="Mail server that invoices are sent through; without it none is sent."
    )
    smtp_port: int = Field(default=587, ge=1, le=65535, description="Port of the mail server.")
    smtp_tls: MailTls = Field(
        default=MailTls.STARTTLS,
        description="How the way to the mail server is kept: starttls, tls (from the first byte, port 465), or none.",
    )
    smtp_user: str | None = Field(default=None, description="User at the mail server, if it asks for one.")
    smtp_password: SecretStr | None = Field(
        default=None, description="Password at the mail server; best given as a file."
    )
    smtp_from: str | None = Field(
        default=None,
        pattern=r"^[!-~]+@[!-~]+$",
        description="Address that invoices come from, such as billing@example.com.",
    )
    workers: int = Field(
        default=1, ge=1, le=64, description="HTTP processes; more than one needs PostgreSQL (docs/jobs.md)."
    )
    intake_mib: int = Field(
        default=64,
        ge=16,
        le=4096,
        description="MiB of event bodies, unpacked, that a worker holds at once; more is answered 503 and comes again.",
    )
    test_clock: bool = Field(
        default=False,
        description="Allow `tollkeeper clock advance`: time can be moved forward. Never in production.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least level that is logged."
    )

    @field_validator("secret_key")
    @classmethod
    def _is_hard_to_guess(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None and len(key.get_secret_value()) < LEAST_SECRET_KEY_CHARACTERS:
            raise ValueError("has fewer than 32 characters, so it may be guessed; make one with `openssl rand -hex 32`")
        return key

    @field_validator("stripe_api_key")
    @classmethod
    def _is_a_secret_key(cls, key: SecretStr | None) -> SecretStr | None:
        problem = problem_of_key(key.get_secret_value()) if key is not None else None
        if problem:
            raise ValueError(problem)
        return key

    @field_validator("stripe_webhook_secrets")
    @classmethod
    def _are_signing_secrets(cls, secrets: SecretStr | None) -> SecretStr | None:
        words = [] if secrets is None else [word.strip() for word in secrets.get_secret_value().split(",")]
        if any(word and not word.startswith("whsec_") for word in words):
            raise ValueError("holds what is no signing secret; Stripe's begin with whsec_, separate two by a comma")
        return secrets

    @field_validator("keep_events_days")
    @classmethod
    def _reaches_all_events(cls, days: int | None, others: ValidationInfo) -> int | None:
        if days is not None and others.data.get("events_url") is not None:
            raise ValueError("does not reach events in ClickHouse; set this or EVENTS_URL, not both")
        return days

    def describe(self) -> tuple[dict[str, str], ...]:
        """Return name, value and description of each setting for people; of a secret only whether it is set."""
        fields = type(self).model_fields
        return tuple(
            {
                "name": name_of_setting(name),
                "value": _shown(getattr(self, name)),
                "description": fields[name].description or "",
            }
            for name in fields
        )


def name_of_setting(field_name: str) -> str:
    """Return the environment variable that a setting is read from."""
    alias = Settings.model_fields[field_name].validation_alias
    return str(alias.choices[0]) if isinstance(alias, AliasChoices) else f"TOLLKEEPER_{field_name.upper()}"


def _shown(value: object) -> str:
    if value is None:
        return "not set"
    if isinstance(value, SecretStr):
        return "set"
    if isinstance(value, bool):
        return "on" if value else "off"
    return re.sub(r"(?<=://)([^:/@]*):[^@]*@", r"\1:***@", str(value))


def load_settings() -> Settings:
    """Read the settings from the environment and from files in TOLLKEEPER_SECRETS_DIR.

    Raises InvalidInput naming each setting that cannot be read; never with its value, which may be a secret.
    """
    folder = os.environ.get(SECRETS_DIR) or None
    if folder is not None and not Path(folder).is_dir():
        # Going on without would be going on without the Stripe key or the database's password.
        raise InvalidInput.of(f"/{SECRETS_DIR}", f"{folder} is no folder; name the folder that holds the secrets")
    try:
        return Settings(_secrets_dir=folder)
    except ValidationError as error:
        wrong = tuple(
            FieldError(f"/{_named(one['loc'])}", one["msg"].removeprefix("Value error, "))
            for one in error.errors(include_input=False)
        )
        raise InvalidInput("; ".join(f"{field.path}: {field.message}" for field in wrong), wrong) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput.of(f"/{SECRETS_DIR}", f"a file in {folder} cannot be read: {error}") from None


def _named(location: tuple[int | str, ...]) -> str:
    """Return the variable that a validation error is about; a field with aliases is told of by its alias."""
    name = str(location[0])
    return name_of_setting(name) if name in Settings.model_fields else name
