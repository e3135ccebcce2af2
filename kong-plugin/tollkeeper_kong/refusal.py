"""What a refused client is told: status, headers, body, as in docs/wire-contract.md."""

import re
from math import ceil

import msgspec

from tollkeeper_kong.passes import Passes
from tollkeeper_kong.snapshot import Amount, Limit, format_time

REFUSED_HEADER = "X-Tollkeeper-Refused"


class Decision(msgspec.Struct, frozen=True):
    """Whether a request may pass, and if not, the whole answer to it."""

    is_allowed: bool
    code: str | None = None
    limit_id: str | None = None
    status: int = 200
    headers: dict[str, str] = {}
    body: bytes = b""


ALLOWED = Decision(is_allowed=True)


class RefusalBody(msgspec.Struct, frozen=True):
    """The JSON of a refusal; amounts are strings, what is not known is null."""

    message: str
    code: str
    limit_id: str | None = None
    feature: str | None = None
    limit: str | None = None
    used: str | None = None
    resets_at: str | None = None
    docs_url: str | None = None


def refuse(limit: Limit, passes: Passes | None, *, now: float, docs_url: str | None) -> Decision:
    """Return the answer for a limit that is reached, by the feed's word or by our own count."""
    terms = limit.terms
    used = limit.used + (passes.total if passes else 0)
    message = limit.reason or _message(terms.limit, used, terms.feature)
    headers = _headers(terms.code, limit.id)
    if limit.resets_at is not None:
        seconds = str(max(1, ceil(limit.resets_at - now)))
        headers |= {"Retry-After": seconds, "RateLimit-Reset": seconds}
    if terms.limit is not None:
        headers |= {"RateLimit-Limit": _text(terms.limit), "RateLimit-Remaining": "0"}
    body = RefusalBody(
        message,
        terms.code,
        limit.id,
        terms.feature,
        None if terms.limit is None else _text(terms.limit),
        _text(used),
        None if limit.resets_at is None else format_time(limit.resets_at),
        docs_url,
    )
    return Decision(
        is_allowed=False,
        code=terms.code,
        limit_id=limit.id,
        status=terms.status,
        headers=headers,
        body=msgspec.json.encode(body),
    )


def refuse_by_policy(code: str, status: int, message: str, *, docs_url: str | None, retry_seconds: int = 0) -> Decision:
    """Return the answer for a refusal that no limit is behind."""
    headers = _headers(code, None)
    if retry_seconds:
        headers["Retry-After"] = str(retry_seconds)
    body = msgspec.json.encode(RefusalBody(message, code, docs_url=docs_url))
    return Decision(is_allowed=False, code=code, status=status, headers=headers, body=body)


def _headers(code: str, limit_id: str | None) -> dict[str, str]:
    refused = f"{_token(code)} {_token(limit_id) if limit_id else '-'}"
    return {"Content-Type": "application/json; charset=utf-8", REFUSED_HEADER: refused}


def _token(text: str) -> str:
    """Return text that may stand in a header and holds no space."""
    return re.sub(r"[^\x21-\x7e]", "_", text)


def _message(most: Amount | None, used: Amount, feature: str) -> str:
    return f"{feature} is not available" if most is None else f"{_text(used)} of {_text(most)} used"


def _text(amount: Amount) -> str:
    return str(amount) if isinstance(amount, int) else f"{amount:f}"
