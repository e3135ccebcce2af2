"""The whole table of errors to HTTP: RFC 9457 problem details, or a page for people under /admin."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

import structlog
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from tollkeeper.errors import Conflict, FieldError, InvalidInput, NotAllowed, NotFound, TollkeeperError, Unavailable

STATUS_OF: dict[type[TollkeeperError], HTTPStatus] = {
    InvalidInput: HTTPStatus.UNPROCESSABLE_ENTITY,
    NotFound: HTTPStatus.NOT_FOUND,
    NotAllowed: HTTPStatus.FORBIDDEN,
    Conflict: HTTPStatus.CONFLICT,
    Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
}

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Problem:
    """What went wrong, in the terms of RFC 9457."""

    status: int
    code: str
    detail: str
    fields: tuple[FieldError, ...] = ()

    @property
    def title(self) -> str:
        """Return the phrase of the status."""
        return HTTPStatus(self.status).phrase


RenderPage = Callable[[Problem], Response]


def problem(status: int, code: str, detail: str, fields: tuple[FieldError, ...] = ()) -> Response:
    """Build an application/problem+json answer."""
    return problem_json(Problem(status, code, detail, fields))


def problem_json(problem: Problem) -> Response:
    """Write a problem as application/problem+json; `errors` is a list of {"path", "message"}."""
    body: dict[str, object] = {
        "type": "about:blank",
        "title": problem.title,
        "status": problem.status,
        "code": problem.code,
        "detail": problem.detail,
    }
    if problem.fields:
        body["errors"] = [{"path": field.path, "message": field.message} for field in problem.fields]
    return Response(json.dumps(body), problem.status, mimetype="application/problem+json")


def register_error_handlers(app: Flask, render_page: RenderPage | None = None) -> None:
    """Answer every error of the domain and of HTTP; paths under /admin get `render_page`."""

    def answer(found: Problem) -> Response:
        if render_page is not None and request.path.startswith("/admin"):
            return render_page(found)
        return problem_json(found)

    def on_domain_error(error: TollkeeperError) -> Response:
        if isinstance(error, Unavailable):
            # The client is told that it may try again; why is the operator's, such as a full disk.
            cause = getattr(error.__cause__, "orig", error.__cause__) or error
            log.warning("unavailable", path=request.path, method=request.method, reason=str(cause).partition("\n")[0])
        return domain_problem(error, answer)

    def on_http_error(error: HTTPException) -> Response:
        return _http_problem(error, answer)

    def on_unexpected_error(error: Exception) -> Response:
        log.error("request_failed", path=request.path, method=request.method, exc_info=error)
        return answer(Problem(500, "internal_error", "Something failed here; the log of the backend has the details."))

    app.register_error_handler(TollkeeperError, on_domain_error)
    app.register_error_handler(HTTPException, on_http_error)
    app.register_error_handler(Exception, on_unexpected_error)


def status_of(error: TollkeeperError) -> int:
    """Return the HTTP status of an error by its kind."""
    return next(int(status) for kind, status in STATUS_OF.items() if isinstance(error, kind))


def domain_problem(error: TollkeeperError, answer: RenderPage = problem_json) -> Response:
    """Answer an error of the domain."""
    fields = error.fields if isinstance(error, InvalidInput) else ()
    response = answer(Problem(status_of(error), error.code, error.message, fields))
    if isinstance(error, Unavailable):
        response.headers["Retry-After"] = str(error.retry_after_seconds)
    return response


def _http_problem(error: HTTPException, answer: RenderPage) -> Response:
    # a redirect of the router (a missing slash) is an HTTPException too, and no error
    if error.code is not None and error.code < HTTPStatus.BAD_REQUEST:
        return Response(status=error.code, headers=error.get_headers())
    status = error.code or 500
    response = answer(Problem(status, error.name.lower().replace(" ", "_"), error.description or error.name))
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        response.headers["Allow"] = ", ".join(sorted(getattr(error, "valid_methods", None) or ()))
    return response
