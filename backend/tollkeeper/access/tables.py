"""Tables of access: secrets are kept as digests only."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from tollkeeper.storage.append_only import keep_append_only
from tollkeeper.storage.base import Base, Json, UtcDateTime


class ApiKey(Base):
    """A program's key; `secret_digest` is the sha256 of a 256-bit random secret, which needs no slow hash."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(primary_key=True)
    label: Mapped[str]
    scopes: Mapped[list[str]] = mapped_column(Json)
    secret_digest: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    last_used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class AdminUser(Base):
    """A person who may sign in to the admin pages."""

    __tablename__ = "admin_users"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    password_hash: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class SignIn(Base):
    """One open sign-in of an administrator; the browser holds the token, we its digest."""

    __tablename__ = "sign_ins"

    token_digest: Mapped[str] = mapped_column(primary_key=True)
    admin_id: Mapped[str] = mapped_column(ForeignKey("admin_users.id"), index=True)
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    last_seen_at: Mapped[datetime] = mapped_column(UtcDateTime)


class AuditEntry(Base):
    """One change that somebody made; entries are only ever added (access/audit.py)."""

    __tablename__ = "audit_log"
    __table_args__ = (Index("ix_audit_log_target", "target"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    actor_kind: Mapped[str]
    actor_id: Mapped[str] = mapped_column(index=True)
    actor_name: Mapped[str]
    act: Mapped[str]
    target: Mapped[str]
    fields: Mapped[list[str]] = mapped_column(Json)


keep_append_only(AuditEntry.__table__, "the audit log never changes")


class AnsweredRequest(Base):
    """An unsafe request that was answered under an Idempotency-Key, with the answer to repeat."""

    __tablename__ = "answered_requests"
    # the purge of old answers reads by age
    __table_args__ = (Index("ix_answered_requests_answered_at", "answered_at"),)

    caller: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    request_digest: Mapped[str]
    answered_at: Mapped[datetime] = mapped_column(UtcDateTime)
    status: Mapped[int | None]
    body: Mapped[str | None]
