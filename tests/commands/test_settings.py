"""Settings and databases that cannot be used: one line with the place and the fix, never a traceback."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from tollkeeper.app import open_database_of
from tollkeeper.cli import main
from tollkeeper.config import load_settings


@pytest.fixture(autouse=True)
def empty_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/tollkeeper.db")
    monkeypatch.setenv("TOLLKEEPER_DATA_DIR", str(tmp_path))


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("TOLLKEEPER_PORT", "abc", "/TOLLKEEPER_PORT: Input should be a valid integer"),
        (
            "TOLLKEEPER_LOG_LEVEL",
            "loud",
            "/TOLLKEEPER_LOG_LEVEL: Input should be 'debug', 'info', 'warning' or 'error'",
        ),
        ("STRIPE_API_KEY", "hidden", "/STRIPE_API_KEY: is no key of Stripe; set the secret key (sk_test_"),
        ("STRIPE_API_KEY", "pk_test_hidden", "/STRIPE_API_KEY: is a publishable key"),
        ("TOLLKEEPER_STRIPE_API_BASE", "stripe", "/TOLLKEEPER_STRIPE_API_BASE: String should match pattern"),
        ("TOLLKEEPER_STRIPE_WEBHOOK_SECRETS", "whsec_1,hidden", "/TOLLKEEPER_STRIPE_WEBHOOK_SECRETS: holds what is no"),
        ("TOLLKEEPER_SECRET_KEY", "x", "/TOLLKEEPER_SECRET_KEY: has fewer than 32 characters"),
        ("TOLLKEEPER_SECRETS_DIR", "/nowhere", "/TOLLKEEPER_SECRETS_DIR: /nowhere is no folder"),
        ("DATABASE_URL", "sqlite:////proc/none/t.db", "/DATABASE_URL: the folder /proc/none cannot be made"),
        ("DATABASE_URL", "sqlite:////dev/null", "sqlite:////dev/null: "),
        ("DATABASE_URL", "postgresql://u:hidden@127.0.0.1:1/t", "postgresql+psycopg://u:***@127.0.0.1:1/t: connection"),
        ("TOLLKEEPER_DATA_DIR", "/proc/none", "/TOLLKEEPER_DATA_DIR: the session key cannot be kept in /proc/none"),
        ("TOLLKEEPER_HOST", "203.0.113.7", "/TOLLKEEPER_HOST: cannot listen on 203.0.113.7:8750"),
    ],
)
def test_what_cannot_be_used_is_named(name: str, value: str, complaint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    answer = CliRunner().invoke(main, ["serve", "--no-jobs"])
    assert isinstance(answer.exception, SystemExit), answer.exception
    assert answer.exit_code == 1
    assert answer.output.startswith(f"Error: {complaint}")
    assert "hidden" not in answer.output


def test_retention_that_would_not_reach_clickhouse_is_refused_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENTS_URL", "clickhouse://127.0.0.1:1/tollkeeper")
    monkeypatch.setenv("TOLLKEEPER_KEEP_EVENTS_DAYS", "30")
    answer = CliRunner().invoke(main, ["serve", "--no-jobs"])
    assert answer.exit_code == 1
    assert "/TOLLKEEPER_KEEP_EVENTS_DAYS: does not reach events in ClickHouse; set this or EVENTS_URL" in answer.output


def test_the_passwords_file_opens_the_database_that_the_url_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tollkeeper_database_password").write_text("of the file\n")
    monkeypatch.setenv("DATABASE_URL", "postgresql://tollkeeper@postgres/tollkeeper")
    monkeypatch.setenv("TOLLKEEPER_SECRETS_DIR", str(tmp_path))
    assert open_database_of(load_settings()).engine.url.password == "of the file"


def test_an_empty_variable_does_not_hide_the_secrets_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "stripe_api_key").write_text("sk_test_of_the_file")
    monkeypatch.setenv("TOLLKEEPER_SECRETS_DIR", str(tmp_path))
    monkeypatch.setenv("STRIPE_API_KEY", "")
    key = load_settings().stripe_api_key
    assert key is not None
    assert key.get_secret_value() == "sk_test_of_the_file"


def test_a_database_of_a_newer_version_is_left_alone() -> None:
    assert CliRunner().invoke(main, ["keys", "list"]).exit_code == 0
    database = open_database_of(load_settings())
    with database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999_of_the_future'")
    database.dispose()
    answer = CliRunner().invoke(main, ["keys", "list"])
    assert (answer.exit_code, "a newer version of Tollkeeper made this database" in answer.output) == (1, True)
