"""Read consumers, services and routes from Kong's Admin API, page by page."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import requests

from tollkeeper.errors import InvalidInput, Unavailable
from tollkeeper.kong.entities import Consumer, KongConfig, Route, Service

PAGE_SIZE = 1000
MOST_PAGES = 1000
TIMEOUT_SECONDS = 10


def read_admin_api(url: str, *, token: str | None = None) -> KongConfig:
    """Read what Kong has at this moment; `token` is sent as Kong-Admin-Token.

    Raises InvalidInput for an address that is no Admin API, Unavailable if it does not answer.
    """
    if urlsplit(url).scheme not in {"http", "https"}:
        raise InvalidInput.of("/admin_url", "is no address; write it like http://127.0.0.1:8001")
    base = url.rstrip("/")
    with requests.Session() as http:
        if token is not None:
            http.headers["Kong-Admin-Token"] = token
        return KongConfig(
            consumers=tuple(
                Consumer(one["id"], one.get("username"), one.get("custom_id"), _texts(one, "tags"))
                for one in _entities(http, base, "consumers")
            ),
            services=tuple(
                Service(one["id"], one.get("name"), _texts(one, "tags")) for one in _entities(http, base, "services")
            ),
            routes=tuple(_route(one) for one in _entities(http, base, "routes")),
        )


def _route(entity: dict[str, Any]) -> Route:
    paths, methods, tags = (_texts(entity, key) for key in ("paths", "methods", "tags"))
    return Route(entity["id"], entity.get("name"), (entity.get("service") or {}).get("id"), paths, methods, tags)


def _texts(entity: dict[str, Any], key: str) -> tuple[str, ...]:
    return tuple(entity.get(key) or ())


def _entities(http: requests.Session, base: str, kind: str) -> Iterator[dict[str, Any]]:
    path = f"/{kind}?size={PAGE_SIZE}"
    for _ in range(MOST_PAGES):
        page = _get(http, base, path)
        yield from page["data"]
        if not page.get("next"):
            return
        path = str(page["next"])
        if not path.startswith("/"):
            raise InvalidInput.of("/admin_url", f"{_shown(base)} names a next page at another address")
    raise InvalidInput.of("/admin_url", f"{_shown(base)} has more than {MOST_PAGES} pages of {kind}")


def _get(http: requests.Session, base: str, path: str) -> dict[str, Any]:
    try:
        answer = http.get(base + path, timeout=TIMEOUT_SECONDS, allow_redirects=False)
    except requests.RequestException as error:
        raise Unavailable(
            f"Kong's Admin API at {_shown(base)} does not answer ({type(error).__name__}); is it there?"
        ) from None
    if answer.status_code in {401, 403}:
        raise InvalidInput.of("/admin_url", f"{_shown(base)} asks for a token; give the one of a Kong administrator")
    try:
        page = answer.json() if answer.status_code == 200 else None
    except requests.JSONDecodeError:
        page = None
    if not isinstance(page, dict) or not _is_page(page.get("data")):
        raise InvalidInput.of(
            "/admin_url",
            f"{_shown(base)}{path} answered {answer.status_code} and no list; is that the Admin API (port 8001)?",
        )
    return page


def _shown(base: str) -> str:
    """Leave out a password that the address may hold."""
    parts = urlsplit(base)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _is_page(entities: Any) -> bool:
    return isinstance(entities, list) and all(
        isinstance(one, dict) and isinstance(one.get("id"), str) for one in entities
    )
