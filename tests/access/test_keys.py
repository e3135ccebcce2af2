"""API keys: shown once, kept as digests, checked without telling why."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.orm import Session

from tollkeeper.access.keys import authenticate, create_api_key, permits, revoke_api_key
from tollkeeper.errors import InvalidInput, NotFound

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)


def test_a_key_is_known_by_its_token(session: Session) -> None:
    created = create_api_key(session, "node-7", ["ingest"], now=NOW)
    found = authenticate(session, created.token, now=NOW)
    assert found is not None
    assert found.label == "node-7"


def test_the_secret_is_not_in_the_database(session: Session) -> None:
    created = create_api_key(session, "node-7", ["ingest"], now=NOW)
    secret = created.token.rsplit("_", 1)[1]
    assert len(secret) == 64
    assert secret not in str(vars(created.key))


@pytest.mark.parametrize("change", ["x" * 94, "", "tk_", "TK", "\u0661"])
def test_a_token_of_another_form_is_nobody_s(session: Session, change: str) -> None:
    assert authenticate(session, change, now=NOW) is None


def test_the_right_id_with_another_secret_is_nobody_s(session: Session) -> None:
    mine, other = (create_api_key(session, name, ["read"], now=NOW).token for name in ("mine", "other"))
    mixed = mine.rsplit("_", 1)[0] + "_" + other.rsplit("_", 1)[1]
    assert authenticate(session, mixed, now=NOW) is None


def test_a_revoked_key_is_nobody_s_from_that_instant(session: Session) -> None:
    created = create_api_key(session, "node-7", ["ingest"], now=NOW)
    revoke_api_key(session, created.key.id, now=NOW + timedelta(hours=1))
    revoke_api_key(session, created.key.id, now=NOW + timedelta(hours=2))
    assert authenticate(session, created.token, now=NOW + timedelta(hours=1)) is None
    assert created.key.revoked_at == NOW + timedelta(hours=1)


def test_admin_may_do_everything_and_others_only_their_own(session: Session) -> None:
    admin = create_api_key(session, "a", ["admin"], now=NOW).key
    node = create_api_key(session, "n", ["ingest", "gateway"], now=NOW).key
    assert permits(admin, "write")
    assert permits(node, "gateway")
    assert not permits(node, "read")


@pytest.mark.parametrize(
    ("label", "scopes", "path"), [("", ["read"], "/label"), ("a", [], "/scopes"), ("a", ["x"], "/scopes")]
)
def test_a_key_needs_a_label_and_known_scopes(session: Session, label: str, scopes: list[str], path: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        create_api_key(session, label, scopes, now=NOW)
    assert [field.path for field in refused.value.fields] == [path]


def test_an_unknown_key_cannot_be_revoked(session: Session) -> None:
    with pytest.raises(NotFound):
        revoke_api_key(session, "key_none", now=NOW)
