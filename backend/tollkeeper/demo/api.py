"""Call the backend's API as any client would."""

from typing import Any

import requests

from tollkeeper.errors import InvalidInput, Unavailable

TIMEOUT_SECONDS = 60.0


class BackendApi:
    """A session with the backend under one API key."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {token}"

    def get(self, path: str, **query: str | int) -> Any:
        """GET a path below /api/v1; raises InvalidInput with the server's own words, Unavailable if it is away."""
        return self._call("GET", path, params={name: str(value) for name, value in query.items()})

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """POST JSON to a path below /api/v1; raises as get() does."""
        return self._call("POST", path, json=body)

    def list_all(self, path: str, **query: str | int) -> list[Any]:
        """GET every page of a list."""
        items: list[Any] = []
        cursor = ""
        while True:
            page = self.get(path, **query, limit=1000, **({"cursor": cursor} if cursor else {}))
            items += page["items"]
            cursor = page.get("next_cursor") or ""
            if not cursor:
                return items

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _call(self, method: str, path: str, **arguments: Any) -> Any:
        url = f"{self.url}/api/v1{path}"
        try:
            answer = self._session.request(method, url, timeout=TIMEOUT_SECONDS, **arguments)
        except requests.ConnectionError as error:
            raise Unavailable(f"{method} {path}: the backend does not answer") from error
        if answer.status_code >= 500:
            raise Unavailable(f"{method} {path}: {answer.status_code} {answer.text[:500]}")
        if not answer.ok:
            raise InvalidInput(f"{method} {path}: {answer.status_code} {answer.text[:500]}")
        return answer.json() if answer.content else None
