"""HTTP to the backend: three calls, typed errors. The API key is never logged and never sent elsewhere.

An answer counts only if it speaks the wire contract (docs/wire-contract.md). A proxy, a captive portal or a wrong URL
that answers 200 or 400 by itself must neither delete nor set aside a record.
"""

import gzip
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import msgspec
import requests
from requests.auth import AuthBase
from requests.exceptions import InvalidSchema, InvalidURL, MissingSchema
from urllib3.exceptions import LocationValueError

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 30.0
MOST_ANSWER_BYTES = 16 * 1024 * 1024
_REFUSED_AS_INVALID = {400, 422}


class BackendError(Exception):
    """The backend did not do what was asked; `retry_after_seconds` is its own wish, if it had one."""

    def __init__(self, message: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class BackendAway(BackendError):
    """No answer, half an answer, 429 or 5xx: try again."""


class NotTheBackend(BackendError):
    """Something answered that is not Tollkeeper's backend, or not at this URL."""


class KeyRefused(BackendError):
    """401 or 403: the key is missing, wrong, revoked or lacks its scope."""


class TooLarge(BackendError):
    """413: send less at once."""


class Invalid(BackendError):
    """The backend refused the whole request as invalid, in its own words."""


class Rejected(msgspec.Struct, frozen=True):
    """An event of a batch that the backend refused; the others were taken."""

    index: int
    error: str
    id: str | None = None


class EventsAnswer(msgspec.Struct, frozen=True):
    """The answer to a batch of events: every one of them is in exactly one of the three."""

    accepted: int
    duplicates: int
    rejected: list[Rejected] = []


class Problem(msgspec.Struct, frozen=True):
    """RFC 9457 problem details, as far as we read them."""

    detail: str = ""
    code: str = ""


class HeartbeatAnswer(msgspec.Struct, frozen=True):
    """The backend's clock."""

    server_time: str


@dataclass(frozen=True, slots=True)
class ApiKey:
    """Where the key comes from: a file, read anew for each session so that it can be rotated, or the value itself."""

    path: Path | None = None
    value: str | None = field(default=None, repr=False)

    def read(self) -> str:
        """Return the key; raises KeyRefused if there is none."""
        if self.path is None:
            if not self.value:
                raise KeyRefused("no API key: set TOLLKEEPER_API_KEY_FILE to a file that holds one")
            return self.value
        try:
            key = self.path.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise KeyRefused(f"the API key file {self.path} cannot be read: {type(error).__name__}") from None
        if not key or not key.isascii() or len(key.split()) != 1:
            raise KeyRefused(f"the API key file {self.path} does not hold one key")
        return key


def api_key_from(path: str | None, value: str | None = None) -> ApiKey:
    """Return the key's source: the file goes before the value; `~` is expanded."""
    return ApiKey(Path(path).expanduser() if path else None, value)


class _Bearer(AuthBase):
    """Sets the header itself: without an `auth`, requests would take one from ~/.netrc."""

    def __init__(self, key: ApiKey) -> None:
        self._key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._key.read()}"
        return request


class BackendClient:
    """Speaks to one backend. Not for several threads at once: each makes its own."""

    def __init__(self, base_url: str, key: ApiKey, *, user_agent: str = "tollkeeper-kong") -> None:
        self._base_url = base_url.rstrip("/")
        self._session = requests.Session()
        self._session.auth = _Bearer(key)
        self._session.headers["User-Agent"] = user_agent

    def send_events(self, records: Sequence[bytes]) -> EventsAnswer:
        """Send records, each the JSON of a CloudEvent. Returns only what was answered for every one of them."""
        body = gzip.compress(b"[" + b",".join(records) + b"]", compresslevel=1, mtime=0)
        headers = {"Content-Type": "application/cloudevents-batch+json", "Content-Encoding": "gzip"}
        answer = self._call("POST", "/api/v1/events", body=body, headers=headers)
        told = _decode(answer, EventsAnswer)
        if told.accepted + told.duplicates + len(told.rejected) != len(records):
            raise NotTheBackend(f"the answer does not account for each of {len(records)} events")
        if any(not 0 <= refused.index < len(records) for refused in told.rejected):
            raise NotTheBackend("the answer rejects an event that was not sent")
        return told

    def fetch_verdicts(self, cursor: str | None, wait_seconds: int) -> requests.Response:
        """Ask for the verdicts since a cursor; the body is left unread, for the caller to stream and close."""
        query = {"wait": str(wait_seconds)} | ({"cursor": cursor} if cursor is not None else {})
        return self._call("GET", "/api/v1/gateway/verdicts", query=query, wait_seconds=wait_seconds, stream=True)

    def send_heartbeat(self, beat: object) -> HeartbeatAnswer:
        """Tell the backend how this node is; returns the backend's clock."""
        headers = {"Content-Type": "application/json"}
        body = msgspec.json.encode(beat)
        return _decode(self._call("POST", "/api/v1/gateway/heartbeat", body=body, headers=headers), HeartbeatAnswer)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _call(  # noqa: PLR0913 - one private door for three calls
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        query: dict[str, str] | None = None,
        wait_seconds: float = 0.0,
        stream: bool = False,
    ) -> requests.Response:
        try:
            answer = self._session.request(
                method,
                self._base_url + path,
                data=body,
                headers=headers,
                params=query,
                timeout=(CONNECT_SECONDS, ANSWER_SECONDS + wait_seconds),
                allow_redirects=False,  # the key goes to the backend and nowhere else
                stream=stream,
            )
        except (InvalidURL, MissingSchema, InvalidSchema, LocationValueError) as error:  # the last one slips through
            raise NotTheBackend(f"the backend's URL cannot be used: {type(error).__name__}") from None
        except requests.RequestException as error:
            raise BackendAway(f"{type(error).__name__}: {_cause(error)}") from None
        if not 200 <= answer.status_code < 300:
            with answer:
                raise _error_of(answer)
        return answer


T = TypeVar("T")


def _decode(answer: requests.Response, shape: type[T]) -> T:
    try:
        return msgspec.json.decode(answer.content, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise NotTheBackend("the answer is 200, but not what Tollkeeper's backend answers") from None


def _error_of(answer: requests.Response) -> BackendError:
    """Turn a status other than 2xx into its error."""
    status = answer.status_code
    problem = _problem_of(answer)
    text = f"{status} {problem.code}: {problem.detail}" if problem else f"{status} {answer.reason or ''}"
    retry_after = _retry_after(answer)
    if status in {401, 403}:
        return KeyRefused(text, retry_after)
    if status == 413:
        return TooLarge(text)
    if status == 429 or status >= 500:
        return BackendAway(text, retry_after)
    if status in _REFUSED_AS_INVALID and problem is not None:
        return Invalid(text)
    return NotTheBackend(f"{text} at {answer.url.partition('?')[0]}", retry_after)


def _problem_of(answer: requests.Response) -> Problem | None:
    if not answer.headers.get("Content-Type", "").startswith("application/problem+json"):
        return None
    try:
        return msgspec.json.decode(answer.content[:100_000], type=Problem)
    except (msgspec.DecodeError, UnicodeDecodeError, requests.RequestException):
        return None


def _retry_after(answer: requests.Response) -> float | None:
    """Return Retry-After in seconds; as a date it is left to our own back-off: clocks differ."""
    value = answer.headers.get("Retry-After", "")
    return min(float(value), 3600.0) if value.isascii() and value.isdigit() else None


def _cause(error: BaseException) -> str:
    """Say what went wrong below requests without its long repr, which holds the URL with its query."""
    inner = error.args[0] if error.args else error
    reason = getattr(inner, "reason", inner)
    text = str(getattr(reason, "strerror", None) or reason)
    return text.rpartition(": ")[2][:200]


@dataclass(slots=True)
class Backoff:
    """How long to wait after failures in a row: doubling, with jitter, or what the backend asks for."""

    first_seconds: float = 0.5
    last_seconds: float = 30.0
    slow_seconds: float = 30.0
    """At least so long after an error that only a person can end: a refused key, a wrong URL."""
    failures: int = 0

    def after(self, error: Exception) -> float:
        """Count a failure and return the seconds to wait."""
        ceiling = min(self.last_seconds, self.first_seconds * 2 ** min(self.failures, 20))
        self.failures += 1
        seconds = random.uniform(ceiling / 2, ceiling)  # noqa: S311 - spreads nodes in time, guards nothing
        if isinstance(error, KeyRefused | NotTheBackend):
            seconds = max(seconds, self.slow_seconds * random.uniform(0.8, 1.0))  # noqa: S311 - as above
        if isinstance(error, BackendError) and error.retry_after_seconds is not None:
            seconds = max(seconds, error.retry_after_seconds)
        return seconds

    def reset(self) -> None:
        """Start over after a success."""
        self.failures = 0
