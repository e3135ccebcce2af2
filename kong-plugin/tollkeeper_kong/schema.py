"""The plugin's configuration in Kong: every field with a sentence, and how one configuration is read."""

from typing import Any, Literal

import msgspec

NAME = "tollkeeper"
PRIORITY = 907  # after authentication, acl and rate-limiting (910), before ai-rate-limiting-advanced and ai-proxy


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """One configuration, as Kong sends it with StartInstance. The defaults are those of `KONG_FIELDS`."""

    enforce: Literal["off", "shadow", "on"] = "on"
    subject_from: str = "consumer"
    deny_unmapped: bool = False
    on_unknown: Literal["allow", "deny"] = "allow"
    on_stale: Literal["allow", "deny"] = "allow"
    max_stale_seconds: float = 900
    on_spool_full: Literal["drop_oldest_counted", "deny"] = "drop_oldest_counted"
    fault_tolerant: bool = True
    buffer_response: bool = False
    quota_headers: bool = False
    docs_url: str | None = None
    model: str | None = None


class Scope(msgspec.Struct, frozen=True):
    """Where Kong has attached the configuration; what is known here needs no PDK call."""

    consumer_id: str | None = None
    route_id: str | None = None
    service_id: str | None = None


def _choice(default: str, *others: str, description: str) -> dict[str, Any]:
    return {
        "type": "string",
        "required": True,
        "default": default,
        "one_of": [default, *others],
        "description": description,
    }


def _switch(*, default: bool, description: str) -> dict[str, Any]:
    return {"type": "boolean", "required": True, "default": default, "description": description}


KONG_FIELDS: list[dict[str, dict[str, Any]]] = [
    {
        "enforce": _choice(
            "on",
            "shadow",
            "off",
            description="Whether a spent quota stops a request: on refuses it, shadow lets it pass and records what "
            "would have been refused, off only meters.",
        )
    },
    {
        "subject_from": {
            "type": "string",
            "required": True,
            "default": "consumer",
            "match_any": {
                "patterns": ["^consumer$", "^credential$", "^header:[%w_-]+$", "^jwt_claim:[%w_.:/-]+$"],
                "err": "must be consumer, credential, header:<name> or jwt_claim:<name>",
            },
            "description": "Whom a request is attributed to: consumer, credential, header:<name> or jwt_claim:<name>. "
            "All but the first cost one more round trip in access; the last two trust what the client sent.",
        }
    },
    {
        "deny_unmapped": _switch(
            default=False,
            description="Refuse (403) a subject that belongs to no customer, and a request without a consumer. By "
            "default such requests pass and are metered as unmapped.",
        )
    },
    {
        "on_unknown": _choice(
            "allow",
            "deny",
            description="What happens to requests before the first verdicts have come from the backend.",
        )
    },
    {
        "on_stale": _choice(
            "allow",
            "deny",
            description="What happens to requests when the backend has been away for longer than max_stale_seconds.",
        )
    },
    {
        "max_stale_seconds": {
            "type": "number",
            "required": True,
            "default": 900,
            "gt": 0,
            "description": "How long the last verdicts hold while the backend is away, over restarts too.",
        }
    },
    {
        "on_spool_full": _choice(
            "drop_oldest_counted",
            "deny",
            description="What happens when the spool has reached its size: drop_oldest_counted loses the oldest "
            "records and counts them, deny answers 503 until there is room.",
        )
    },
    {
        "fault_tolerant": _switch(
            default=True,
            description="Whether a request passes when the plugin itself fails. Such failures are counted; false "
            "answers 500 instead.",
        )
    },
    {
        "buffer_response": _switch(
            default=False,
            description="Buffer answers of the upstream to read exact token counts from their JSON body. Never set it "
            "on routes that stream; costs a round trip in access and one in log.",
        )
    },
    {
        "quota_headers": _switch(
            default=False,
            description="Tell clients of allowed requests what is left, in X-Quota-* headers. Costs one more round "
            "trip for each request that a limit is about.",
        )
    },
    {
        "docs_url": {
            "type": "string",
            "description": "A page for the people behind refused requests; it is named in the answer.",
        }
    },
    {
        "model": {
            "type": "string",
            "description": "The LLM model behind this route, as limits name it. Without it a limit on models refuses "
            "nothing here: the model is known with the answer only.",
        }
    },
]


def read_policy(config: dict[str, Any]) -> tuple[Policy, list[str]]:
    """Return the policy of a configuration and the names of fields that were not usable and have their default.

    Kong has checked the configuration against the schema already; what is wrong here comes from another version of the
    schema. Failing would turn every request into a 500.
    """
    wrong: list[str] = []
    usable: dict[str, Any] = {}
    for field in msgspec.structs.fields(Policy):
        value = config.get(field.name)
        if value is None:  # Kong sends null for a field without a value
            continue
        try:
            usable[field.name] = msgspec.convert(value, field.type)
        except msgspec.ValidationError:
            wrong.append(field.name)
    return Policy(**usable), wrong


def read_scope(config: dict[str, Any]) -> Scope:
    """Return what the configuration is attached to."""
    ids = {name: config.get(name) for name in ("consumer_id", "route_id", "service_id")}
    return Scope(**{name: value for name, value in ids.items() if isinstance(value, str) and value})
