"""Administrators: passwords and sign-ins that end on our side."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.orm import Session

from tollkeeper.access.admins import (
    check_password,
    create_admin,
    end_sign_in,
    find_sign_in,
    note_sight,
    set_password,
    start_sign_in,
)
from tollkeeper.errors import Conflict, InvalidInput, NotFound

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
PASSWORD = "correct horse battery"


def test_a_password_opens_for_its_own_name_only(session: Session) -> None:
    admin = create_admin(session, "ada@example.com", PASSWORD, now=NOW)
    assert check_password(session, "ada@example.com", PASSWORD) is admin
    assert check_password(session, "ada@example.com", PASSWORD + "x") is None
    assert check_password(session, "bob@example.com", PASSWORD) is None


def test_passwords_are_hashed_with_argon2id(session: Session) -> None:
    assert create_admin(session, "ada", PASSWORD, now=NOW).password_hash.startswith("$argon2id$")


def test_a_short_password_is_refused(session: Session) -> None:
    with pytest.raises(InvalidInput, match="12 characters"):
        create_admin(session, "ada", "short", now=NOW)


def test_a_name_is_taken_once(session: Session) -> None:
    create_admin(session, "ada", PASSWORD, now=NOW)
    with pytest.raises(Conflict):
        create_admin(session, "ada ", PASSWORD, now=NOW)


def test_a_sign_in_ends_after_twelve_hours_even_if_used(session: Session) -> None:
    token = start_sign_in(session, create_admin(session, "ada", PASSWORD, now=NOW).id, now=NOW)
    for hour in range(12):
        assert find_sign_in(session, token, now=NOW + timedelta(hours=hour)) is not None
        note_sight(session, token, now=NOW + timedelta(hours=hour))
    assert find_sign_in(session, token, now=NOW + timedelta(hours=12)) is None


def test_a_sign_in_ends_after_two_idle_hours(session: Session) -> None:
    token = start_sign_in(session, create_admin(session, "ada", PASSWORD, now=NOW).id, now=NOW)
    assert find_sign_in(session, token, now=NOW + timedelta(hours=2)) is None


def test_a_sign_in_that_was_ended_is_over(session: Session) -> None:
    token = start_sign_in(session, create_admin(session, "ada", PASSWORD, now=NOW).id, now=NOW)
    end_sign_in(session, token)
    assert find_sign_in(session, token, now=NOW) is None


def test_a_new_password_ends_all_sign_ins(session: Session) -> None:
    token = start_sign_in(session, create_admin(session, "ada", PASSWORD, now=NOW).id, now=NOW)
    set_password(session, "ada", "another long password")
    assert find_sign_in(session, token, now=NOW) is None
    assert check_password(session, "ada", PASSWORD) is None


def test_a_password_for_nobody_is_refused(session: Session) -> None:
    with pytest.raises(NotFound):
        set_password(session, "bob", "another long password")
