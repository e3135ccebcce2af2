"""`tollkeeper keys` and `tollkeeper admin` on an empty machine."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tollkeeper.access.admins import check_password
from tollkeeper.access.keys import authenticate
from tollkeeper.cli import main
from tollkeeper.clock import SystemClock
from tollkeeper.commands.database import open_database


@pytest.fixture(autouse=True)
def empty_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/tollkeeper.db")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def test_a_key_is_printed_once_and_works() -> None:
    made = run("keys", "create", "node-7", "--scope", "ingest", "--scope", "gateway")
    token = made.stdout.strip()
    with open_database() as database, database.snapshot() as session:
        key = authenticate(session, token, now=SystemClock().now())
    assert key is not None
    assert key.scopes == ["gateway", "ingest"]
    assert token.rsplit("_", 1)[1] not in run("keys", "list", "--json").stdout


def test_a_revoked_key_is_listed_as_such() -> None:
    key = json.loads(run("keys", "create", "node-7", "--scope", "read", "--json").stdout)
    assert run("keys", "revoke", key["id"]).exit_code == 0
    assert "revoked" in run("keys", "list").stdout


def test_an_unknown_key_ends_with_one_line_and_status_1() -> None:
    answer = run("keys", "revoke", "key_none")
    assert (answer.exit_code, answer.output) == (1, "Error: no API key 'key_none'\n")


def test_an_administrator_is_made_and_gets_a_new_password() -> None:
    assert run("admin", "create", "ada", "--password", "correct horse battery").exit_code == 0
    assert run("admin", "password", "ada", "--password", "another long password").exit_code == 0
    with open_database() as database, database.snapshot() as session:
        assert check_password(session, "ada", "another long password") is not None


def test_a_short_password_is_refused_with_the_place_and_the_fix() -> None:
    answer = run("admin", "create", "ada", "--password", "short")
    assert (answer.exit_code, answer.output) == (1, "Error: /password: needs at least 12 characters\n")


def test_an_unknown_command_is_named() -> None:
    assert "No such command 'fly'" in run("fly").output
