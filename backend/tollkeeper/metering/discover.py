"""Take over what Kong knows: keep it, and register its consumers as subjects before their first request."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from tollkeeper.customers.subjects import CONSUMER_PREFIX, SeenSubject, register_subjects
from tollkeeper.kong.entities import KongConfig
from tollkeeper.kong.keep import keep_config


@dataclass(frozen=True, slots=True)
class Discovered:
    """How much of what was taken over."""

    consumers: int
    services: int
    routes: int
    warnings: tuple[str, ...]


def take_over_kong(session: Session, config: KongConfig, *, now: datetime) -> Discovered:
    """Keep a configuration of Kong and register its consumers; a repeat changes nothing.

    So a mapping by username finds its consumer, and the gateway gets a verdict, before the first event.
    """
    keep_config(session, config, now=now)
    register_subjects(
        session,
        [SeenSubject(f"{CONSUMER_PREFIX}{one.id}", one.id, one.username, one.custom_id) for one in config.consumers],
        now=now,
    )
    return Discovered(len(config.consumers), len(config.services), len(config.routes), config.warnings)
