"""How every route of the management API behaves; web/api/access.py is the example to copy.

    @blueprint.post("/things")
    @endpoint("write", body=ThingIn, answer=ThingOut, status=201)
    def create_thing(body: ThingIn) -> ThingOut:
        '''Create a thing. (The first line is the summary in the API description, the rest its text.)'''
        with transaction() as session:
            return describe(create(session, body.name, now=web_context().clock.now()))

- `body=` and `query=` are pydantic models; the view gets them as keyword arguments of these names.
- The view returns the answer's model, `(model, status)`, None (204), or a Flask response.
- Unsafe methods honour Idempotency-Key by themselves.
- Hot routes are plain views: put `@requires(scope)` and `@describe(...)` on them.
"""

import functools
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask import Response, request
from pydantic import BaseModel

from tollkeeper.access.idempotency import Answer, claim_request, keep_answer
from tollkeeper.web.acts import SAFE_METHODS, note_repeat
from tollkeeper.web.api.validation import MOST_BODY_BYTES, read_body, read_query, refuse_nul
from tollkeeper.web.auth import calling_key, requires
from tollkeeper.web.context import transaction, web_context

View = Callable[..., Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What the API description says of a route; schemas are pydantic models or JSON schemas."""

    body: type[BaseModel] | dict[str, Any] | None = None
    query: type[BaseModel] | None = None
    answer: type[BaseModel] | dict[str, Any] | None = None
    status: int = 200
    body_types: tuple[str, ...] = ("application/json",)
    answer_types: tuple[str, ...] = ("application/json",)
    further_statuses: tuple[int, ...] = ()
    is_idempotent: bool = False


def endpoint(
    scope: str,
    *,
    body: type[BaseModel] | None = None,
    query: type[BaseModel] | None = None,
    answer: type[BaseModel] | None = None,
    status: int | None = None,
    answer_is_secret: bool = False,
) -> Callable[[View], View]:
    """Make a view of a function on models: key and scope, parsing, idempotency, JSON, API description.

    `answer_is_secret`: the answer is shown once and not kept for a repeat under the same Idempotency-Key.
    """
    done = status or (200 if answer else 204)

    def decorate(view: View) -> View:
        def run(arguments: dict[str, Any]) -> Response:
            refuse_nul(arguments)
            if body is not None:
                arguments["body"] = read_body(body)
            if query is not None:
                arguments["query"] = read_query(query)
            return _respond(view(**arguments), done)

        @requires(scope)
        @functools.wraps(view)
        def served(**arguments: Any) -> Response:
            key = request.headers.get("Idempotency-Key")
            if key is None or request.method in SAFE_METHODS:
                return run(arguments)
            return _run_once(key, lambda: run(arguments), is_secret=answer_is_secret)

        return describe(body=body, query=query, answer=answer, status=done, is_idempotent=True)(served)

    return decorate


def describe(**facts: Any) -> Callable[[View], View]:
    """Put a plain view into the API description; takes the fields of Operation."""

    def decorate(view: View) -> View:
        view.operation = Operation(**facts)  # type: ignore[attr-defined]  # web/api/openapi.py reads it
        return view

    return decorate


def _respond(returned: Any, status: int) -> Response:
    if isinstance(returned, Response):
        return returned
    if isinstance(returned, tuple):
        returned, status = returned
    if returned is None:
        return Response(status=status)
    assert isinstance(returned, BaseModel), "a view returns a model, (model, status), None or a response"
    return Response(returned.model_dump_json(), status, mimetype="application/json")


def _run_once(key: str, run: Callable[[], Response], *, is_secret: bool) -> Response:
    caller = calling_key().id
    with transaction() as session:
        earlier = claim_request(session, caller, key, _request_digest(), now=web_context().clock.now())
        if earlier is not None:
            note_repeat()
            replay = Response(earlier.body, earlier.status, mimetype="application/json" if earlier.body else None)
            replay.headers["Idempotency-Replayed"] = "true"
            return replay
        answer = run()
        body = None if is_secret else answer.get_data(as_text=True)
        keep_answer(session, caller, key, Answer(answer.status_code, body))
        return answer


def _request_digest() -> str:
    request.max_content_length = MOST_BODY_BYTES
    head = f"{request.method} {request.full_path}\n".encode()
    return hashlib.sha256(head + request.get_data(cache=True)).hexdigest()
