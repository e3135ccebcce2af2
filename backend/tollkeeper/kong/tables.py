"""What Kong knows, as it was when we last read it."""

from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from tollkeeper.storage.base import Base, Json, UtcDateTime


class KongConsumer(Base):
    """A consumer of Kong."""

    __tablename__ = "kong_consumers"

    id: Mapped[str] = mapped_column(primary_key=True)
    username: Mapped[str | None] = mapped_column(index=True)
    custom_id: Mapped[str | None]
    tags: Mapped[list[str]] = mapped_column(Json)
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime)


class KongService(Base):
    """A service of Kong: an upstream."""

    __tablename__ = "kong_services"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str | None] = mapped_column(index=True)
    tags: Mapped[list[str]] = mapped_column(Json)
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime)


class KongRoute(Base):
    """A route of Kong; usage records name it."""

    __tablename__ = "kong_routes"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str | None] = mapped_column(index=True)
    service_id: Mapped[str | None] = mapped_column(index=True)
    paths: Mapped[list[str]] = mapped_column(Json)
    methods: Mapped[list[str]] = mapped_column(Json)
    tags: Mapped[list[str]] = mapped_column(Json)
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime)
