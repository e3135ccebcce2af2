"""Administrators: their passwords (argon2id) and their sign-ins, which end on our side too."""

import hashlib
import secrets
from datetime import datetime, timedelta

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from tollkeeper.access.tables import AdminUser, SignIn
from tollkeeper.errors import Conflict, InvalidInput, NotFound
from tollkeeper.storage.ids import new_id

LEAST_PASSWORD_CHARACTERS = 12
MOST_PASSWORD_CHARACTERS = 1000
SIGN_IN_LASTS = timedelta(hours=12)
IDLE_SIGN_IN_LASTS = timedelta(hours=2)
SIGHT_IS_NOTED_EVERY = timedelta(minutes=5)

_hasher = PasswordHasher()
# Checked when nobody has that name, so that the time of the answer does not tell who exists.
_HASH_OF_NOBODY = _hasher.hash(secrets.token_hex(16))


def create_admin(session: Session, name: str, password: str, *, now: datetime) -> AdminUser:
    """Add an administrator; raises Conflict if the name is taken, InvalidInput for a short password."""
    name = name.strip()
    if not name:
        raise InvalidInput.of("/name", "is empty; an e-mail address is a good name")
    if find_admin(session, name) is not None:
        raise Conflict(f"an administrator {name!r} is already here; `tollkeeper admin password` sets a new password")
    admin = AdminUser(id=new_id("adm"), name=name, password_hash=_hash(password), created_at=now)
    session.add(admin)
    session.flush()
    return admin


def set_password(session: Session, name: str, password: str) -> AdminUser:
    """Give an administrator a new password and end all sign-ins; raises NotFound."""
    admin = find_admin(session, name)
    if admin is None:
        raise NotFound(f"no administrator {name!r}; `tollkeeper admin create` adds one")
    admin.password_hash = _hash(password)
    session.execute(delete(SignIn).where(SignIn.admin_id == admin.id))
    return admin


def find_admin(session: Session, name: str) -> AdminUser | None:
    """Return the administrator of that name, or None."""
    return session.scalar(select(AdminUser).where(AdminUser.name == name.strip()))


def check_password(session: Session, name: str, password: str) -> AdminUser | None:
    """Return the administrator if name and password are right, else None after the same work."""
    admin = find_admin(session, name)
    try:
        _hasher.verify(admin.password_hash if admin else _HASH_OF_NOBODY, password[:MOST_PASSWORD_CHARACTERS])
    except (VerificationError, InvalidHashError):
        return None
    return admin


def start_sign_in(session: Session, admin_id: str, *, now: datetime) -> str:
    """Open a sign-in and return its token; sign-ins of this administrator that are over are removed."""
    session.execute(
        delete(SignIn).where(SignIn.admin_id == admin_id, SignIn.started_at < now - SIGN_IN_LASTS),
    )
    token = secrets.token_urlsafe(32)
    session.add(SignIn(token_digest=_digest(token), admin_id=admin_id, started_at=now, last_seen_at=now))
    session.flush()
    return token


def find_sign_in(session: Session, token: str, *, now: datetime) -> tuple[AdminUser, SignIn] | None:
    """Return whom an open sign-in belongs to; None if it is over, idle for too long or never was."""
    sign_in = session.get(SignIn, _digest(token))
    if sign_in is None or now - sign_in.started_at >= SIGN_IN_LASTS:
        return None
    if now - sign_in.last_seen_at >= IDLE_SIGN_IN_LASTS:
        return None
    admin = session.get(AdminUser, sign_in.admin_id)
    return None if admin is None else (admin, sign_in)


def sight_is_due(sign_in: SignIn, *, now: datetime) -> bool:
    """Say whether the time of last sight is old enough to be written again."""
    return now - sign_in.last_seen_at >= SIGHT_IS_NOTED_EVERY


def note_sight(session: Session, token: str, *, now: datetime) -> None:
    """Keep a sign-in from going idle."""
    sign_in = session.get(SignIn, _digest(token))
    if sign_in is not None:
        sign_in.last_seen_at = now


def end_sign_in(session: Session, token: str) -> None:
    """Close a sign-in; the token is worth nothing from then on."""
    session.execute(delete(SignIn).where(SignIn.token_digest == _digest(token)))


def _hash(password: str) -> str:
    if not LEAST_PASSWORD_CHARACTERS <= len(password) <= MOST_PASSWORD_CHARACTERS:
        raise InvalidInput.of("/password", f"needs at least {LEAST_PASSWORD_CHARACTERS} characters")
    return _hasher.hash(password)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
