"""The meters that every installation has, without any setup."""

from datetime import UTC, datetime

from sqlalchemy.orm import Session

from tollkeeper.metering.event import KONG_REQUEST
from tollkeeper.metering.tables import Meter
from tollkeeper.storage.locks import wait_for_turn
from tollkeeper.storage.upsert import insert_into

GROUP_BY = {
    "route": "route",
    "service": "service",
    "status": "status",
    "method": "method",
    "origin": "origin",
    "consumer": "consumer.username",
    "consumer_id": "consumer.id",
    "credential": "credential",
    "provider": "llm.provider",
    "model": "llm.model",
    "refused_code": "refused.code",
    "subject": "$subject",
}
# Built-in rows carry a fixed instant: they are the same in every database.
SHIPPED = datetime(2026, 1, 1, tzinfo=UTC)
SERVED = {"refused": {"exists": False}}
LLM = {**SERVED, "llm": {"exists": True}}

# key: (name, aggregation, value, filter). A missing number counts as none where values are added up.
BUILT_IN: dict[str, tuple[str, str, str | None, dict[str, dict[str, bool]]]] = {
    "requests": ("Requests", "count", None, SERVED),
    "refused_requests": ("Requests refused by Tollkeeper", "count", None, {"refused": {"exists": True}}),
    "input_tokens": ("LLM input tokens", "sum", "llm.input_tokens", LLM),
    "output_tokens": ("LLM output tokens", "sum", "llm.output_tokens", LLM),
    "cached_tokens": ("LLM input tokens from the cache", "sum", "llm.cached_tokens", LLM),
    "total_tokens": ("LLM tokens, input and output", "sum", "llm.input_tokens + llm.output_tokens", LLM),
    "response_bytes": ("Bytes of answers", "sum", "bytes.response", SERVED),
}


def seed_builtin_meters(session: Session) -> None:
    """Insert the built-in meters that are not there; bring those that are to their present definition."""
    # Two that begin at once would meet at the id first, which is no conflict that the statement is about.
    wait_for_turn(session, "seed_builtin_meters")
    for key, (name, aggregation, value, filter_) in BUILT_IN.items():
        definition = {
            "name": name,
            "event_type": KONG_REQUEST,
            "aggregation": aggregation,
            "value": value,
            "group_by": GROUP_BY,
            "filter": filter_,
            "is_built_in": 1,
        }
        session.execute(
            insert_into(session, Meter)
            .values(id=f"met_{key}", key=key, created_at=SHIPPED, **definition)
            .on_conflict_do_update(index_elements=["key"], set_=definition)
        )
