"""API keys `tk_<id>_<secret>`: made, checked, listed, revoked."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.orm import Session

from tollkeeper.access.tables import ApiKey
from tollkeeper.errors import InvalidInput, NotFound
from tollkeeper.storage.ids import new_id

TOKEN = re.compile(r"tk_([0-9a-f]{26})_([0-9a-f]{64})", re.ASCII)
MOST_LABEL_CHARACTERS = 100
# The time of last use is for people who look for unused keys; a write per request would be a waste.
USE_IS_NOTED_EVERY = timedelta(minutes=10)


class Scope(StrEnum):
    """What a key may do; `admin` may do everything."""

    INGEST = "ingest"
    GATEWAY = "gateway"
    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class CreatedKey:
    """A new key with its token, which is never to be had again."""

    key: ApiKey
    token: str


def create_api_key(session: Session, label: str, scopes: Collection[str], *, now: datetime) -> CreatedKey:
    """Make a key; the token is in the answer only. Raises InvalidInput for an unknown or no scope."""
    label = label.strip()
    if not label or len(label) > MOST_LABEL_CHARACTERS:
        raise InvalidInput.of("/label", f"needs 1 to {MOST_LABEL_CHARACTERS} characters that say who uses the key")
    known = {str(scope) for scope in Scope}
    unknown = sorted(set(scopes) - known)
    if unknown or not scopes:
        raise InvalidInput.of("/scopes", f"choose from {', '.join(Scope)}; not {', '.join(unknown) or 'none'}")
    key_id, secret = new_id("key"), secrets.token_hex(32)
    key = ApiKey(
        id=key_id,
        label=label,
        scopes=sorted(set(scopes)),
        secret_digest=_digest(secret),
        created_at=now,
        last_used_at=None,
        revoked_at=None,
    )
    session.add(key)
    session.flush()
    return CreatedKey(key, f"tk_{key_id.removeprefix('key_')}_{secret}")


def authenticate(session: Session, token: str, *, now: datetime) -> ApiKey | None:
    """Return the live key that the token belongs to, or None; takes the same time for any wrong secret."""
    parts = TOKEN.fullmatch(token)
    if parts is None:
        return None
    key = session.get(ApiKey, f"key_{parts[1]}")
    expected = key.secret_digest if key else _digest("")
    matches = hmac.compare_digest(_digest(parts[2]), expected)
    if key is None or not matches or (key.revoked_at is not None and key.revoked_at <= now):
        return None
    return key


def permits(key: ApiKey, scope: str) -> bool:
    """Say whether the key may do what the scope covers."""
    return scope in key.scopes or Scope.ADMIN in key.scopes


def use_is_due(key: ApiKey, *, now: datetime) -> bool:
    """Say whether the time of last use is old enough to be written again."""
    return key.last_used_at is None or now - key.last_used_at >= USE_IS_NOTED_EVERY


def note_use(session: Session, key_id: str, *, now: datetime) -> None:
    """Write the time of last use."""
    get_api_key(session, key_id).last_used_at = now


def get_api_key(session: Session, key_id: str) -> ApiKey:
    """Return a key, revoked or not; raises NotFound."""
    key = session.get(ApiKey, key_id)
    if key is None:
        raise NotFound(f"no API key {key_id!r}")
    return key


def list_api_keys(session: Session, *, after: str | None = None, limit: int = 100) -> Sequence[ApiKey]:
    """Return keys by age, oldest first, those after the id `after`."""
    query = select(ApiKey).order_by(ApiKey.id).limit(limit)
    if after is not None:
        query = query.where(ApiKey.id > after)
    return session.scalars(query).all()


def revoke_api_key(session: Session, key_id: str, *, now: datetime) -> ApiKey:
    """Make a key useless from now on; to revoke twice changes nothing."""
    key = get_api_key(session, key_id)
    if key.revoked_at is None:
        key.revoked_at = now
    session.flush()
    return key


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
