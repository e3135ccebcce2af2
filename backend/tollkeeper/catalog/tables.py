"""Features, plans and plan versions."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from tollkeeper.storage.append_only import Kept, keep_rows
from tollkeeper.storage.base import Base, Json, UtcDateTime


class Feature(Base):
    """A meter with a filter: what plans price and limit. Without a meter it can be switched on and no more."""

    __tablename__ = "features"

    id: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    meter_key: Mapped[str | None] = mapped_column(ForeignKey("meters.key"), index=True)
    filter: Mapped[dict[str, Any]] = mapped_column(Json)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    archived_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class PlanKind(StrEnum):
    """A plan is what a customer subscribes to; an add-on is attached to a subscription."""

    PLAN = "plan"
    ADD_ON = "add_on"


class EntitlementTemplate(Base):
    """An entitlement under a name; plans copy it when they are saved."""

    __tablename__ = "entitlement_templates"

    id: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    entitlement: Mapped[dict[str, Any]] = mapped_column(Json)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Plan(Base):
    """What the versions of a plan or an add-on have in common; the currency is fixed with the first published version.

    The two share their keys, versions and rules of publishing; the content of an add-on is an AddOnSpec.
    """

    __tablename__ = "plans"

    id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(default=PlanKind.PLAN)
    key: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    currency: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    archived_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    @property
    def word(self) -> str:
        """Return what people call it."""
        return "plan" if self.kind == PlanKind.PLAN else "add-on"


class PlanVersion(Base):
    """One version of a plan: `status` is draft, published (the one that is sold) or archived.

    A draft may be edited and removed. After that only the status moves on, and an archived version stays one.
    """

    __tablename__ = "plan_versions"
    __table_args__ = (
        UniqueConstraint("plan_id", "version"),
        # one draft and one version on sale per plan, whatever two editors do at once
        Index(
            "ix_plan_versions_one_of_a_status",
            "plan_id",
            "status",
            unique=True,
            sqlite_where=text("status <> 'archived'"),
            postgresql_where=text("status <> 'archived'"),
        ),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    plan_id: Mapped[str] = mapped_column(ForeignKey("plans.id"))
    version: Mapped[int]
    status: Mapped[str]
    spec: Mapped[dict[str, Any]] = mapped_column(Json)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    published_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    archived_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


keep_rows(
    PlanVersion.__table__,
    Kept(
        message="a published plan version never changes",
        living=frozenset({"status", "archived_at"}),
        is_kept="{row}.status <> 'draft'",
        stays="{row}.status = 'archived'",
    ),
)
