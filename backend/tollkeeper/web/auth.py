"""Bearer keys at the API's door: `@requires(scope)`."""

import functools
from collections.abc import Callable
from datetime import timedelta
from typing import ParamSpec, TypeVar

from flask import Response, g, request

from tollkeeper.access.keys import authenticate, note_use, permits, use_is_due
from tollkeeper.access.tables import ApiKey
from tollkeeper.web.context import snapshot, transaction, web_context
from tollkeeper.web.errors import problem
from tollkeeper.web.limits import FailureLimit

P = ParamSpec("P")
R = TypeVar("R")

# A secret of 256 bits cannot be guessed; the limit keeps a broken client from costing a look-up each time. It is
# counted by address and token: whoever shares an address (a proxy, a NAT) must not be able to lock a node out.
bearer_failures = FailureLimit(most=60, window=timedelta(minutes=1))


def requires(scope: str, *others: str) -> Callable[[Callable[P, R]], Callable[P, R | Response]]:
    """Let only keys with one of the scopes through.

    401 without a valid key, 403 without the scope, 429 after many failures.
    """

    def decorate(view: Callable[P, R]) -> Callable[P, R | Response]:
        @functools.wraps(view)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> R | Response:
            refusal = _admit((scope, *others))
            return refusal if refusal is not None else view(*args, **kwargs)

        guarded.required_scopes = (scope, *others)  # type: ignore[attr-defined]  # web/api/openapi.py reads it
        return guarded

    return decorate


def calling_key() -> ApiKey:
    """Return the key that this request was let in with."""
    key = g.api_key
    assert isinstance(key, ApiKey)
    return key


def _admit(scopes: tuple[str, ...]) -> Response | None:
    now = web_context().clock.now()
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "bearer":
        return _unauthorized("This needs `Authorization: Bearer tk_...`; `tollkeeper keys create` makes a key.")
    caller = f"{request.remote_addr} {token}"
    wait = bearer_failures.seconds_to_wait(caller, now=now)
    if wait:
        answer = problem(429, "too_many_failures", "Too many requests with a wrong key came from this client.")
        answer.headers["Retry-After"] = str(wait)
        return answer
    with snapshot() as session:
        key = authenticate(session, token.strip(), now=now)
    if key is None:
        bearer_failures.note_failure(caller, now=now)
        return _unauthorized("The key is unknown, wrong or revoked.", error="invalid_token")
    if not any(permits(key, scope) for scope in scopes):
        needed = " or ".join(repr(scope) for scope in scopes)
        return problem(403, "scope_missing", f"The key {key.label!r} has not the scope {needed} that this needs.")
    if use_is_due(key, now=now):
        with transaction(is_act=False) as session:
            note_use(session, key.id, now=now)
    g.api_key = key
    return None


def _unauthorized(detail: str, *, error: str | None = None) -> Response:
    answer = problem(401, "unauthorized", detail)
    answer.headers["WWW-Authenticate"] = 'Bearer realm="tollkeeper"' + (f', error="{error}"' if error else "")
    return answer
