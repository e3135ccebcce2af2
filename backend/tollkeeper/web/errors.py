"""The whole table of errors to HTTP: RFC 9457 problem details with the path of each wrong field."""

import json
from http import HTTPStatus

import structlog
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from tollkeeper.errors import Conflict, InvalidInput, NotAllowed, NotFound, TollkeeperError, Unavailable

STATUS_OF: dict[type[TollkeeperError], HTTPStatus] = {
    InvalidInput: HTTPStatus.UNPROCESSABLE_ENTITY,
    NotFound: HTTPStatus.NOT_FOUND,
    NotAllowed: HTTPStatus.FORBIDDEN,
    Conflict: HTTPStatus.CONFLICT,
    Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
}

log = structlog.get_logger()


def problem(status: int, code: str, detail: str, errors: list[dict[str, str]] | None = None) -> Response:
    """Build an application/problem+json answer; `errors` is a list of {"path", "message"}."""
    body: dict[str, object] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
    }
    if errors:
        body["errors"] = errors
    return Response(json.dumps(body), status, mimetype="application/problem+json")


def register_error_handlers(app: Flask) -> None:
    """Answer every error of the domain and of HTTP as a problem; pages register their own before."""
    app.register_error_handler(TollkeeperError, _domain_problem)
    app.register_error_handler(HTTPException, _http_problem)
    app.register_error_handler(Exception, _unexpected_problem)


def status_of(error: TollkeeperError) -> int:
    """Return the HTTP status of an error by its kind."""
    return next(int(status) for kind, status in STATUS_OF.items() if isinstance(error, kind))


def _domain_problem(error: TollkeeperError) -> Response:
    fields = error.fields if isinstance(error, InvalidInput) else ()
    answer = problem(
        status_of(error),
        error.code,
        error.message,
        [{"path": field.path, "message": field.message} for field in fields],
    )
    if isinstance(error, Unavailable):
        answer.headers["Retry-After"] = str(error.retry_after_seconds)
    return answer


def _http_problem(error: HTTPException) -> Response:
    status = error.code or 500
    answer = problem(status, error.name.lower().replace(" ", "_"), error.description or error.name)
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        answer.headers["Allow"] = ", ".join(sorted(getattr(error, "valid_methods", None) or ()))
    return answer


def _unexpected_problem(error: Exception) -> Response:
    log.error("request_failed", path=request.path, method=request.method, exc_info=error)
    return problem(500, "internal_error", "Something failed here; the log of the backend has the details.")
