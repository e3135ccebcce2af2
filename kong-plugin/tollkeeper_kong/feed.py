"""The verdict feed as it comes over the wire (docs/wire-contract.md), and how a large one is read.

A full answer for 200,000 consumers has 100 MB. Decoding it at once would hold the interpreter lock for half a second,
in which Kong waits; so it is cut into subjects while it arrives, and each is decoded by itself.
"""

import re
import time
from collections.abc import Iterable, Iterator

import msgspec

REST_EVERY_SUBJECTS = 32
REST_SECONDS = 0.000_1
MOST_SUBJECT_BYTES = 1024 * 1024

_STRING = rb'"(?:[^"\\]++|\\.)*+"'


def _object_pattern(depth: int) -> bytes:
    """Return a pattern of one JSON object with objects in it down to a depth; possessive, so it cannot run wild."""
    inner = _STRING + (b"|" + _object_pattern(depth - 1) if depth else b"")
    return rb"\{(?:[^{}\"]++|" + inner + rb")*+\}"


_SUBJECT = re.compile(rb"\s*+,?\s*+(" + _object_pattern(5) + rb")", re.DOTALL)
_LIST_BEGINS = re.compile(rb'"subjects"\s*:\s*\[')
_LIST_ENDS = re.compile(rb"\s*\]")


class FeedScope(msgspec.Struct, frozen=True):
    """The part of the traffic that a limit is about; an empty list means any."""

    routes: tuple[str, ...] = ()
    route_ids: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    service_ids: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    models: tuple[str, ...] = ()


class FeedLimit(msgspec.Struct, frozen=True):
    """A limit that binds a subject. A limit without a number has `limit` null: something that is in the plan or not."""

    id: str
    feature: str
    kind: str
    state: str
    scope: FeedScope = FeedScope()
    reason: str | None = None
    code: str = "quota_exhausted"
    limit: str | None = None
    used: str | None = None
    resets_at: str | None = None
    hard: bool = True
    status: int = 429


class FeedSubject(msgspec.Struct, frozen=True):
    """One subject and all that binds it."""

    subject: str
    customer: str | None = None
    limits: list[FeedLimit] = []


class FeedFrame(msgspec.Struct, frozen=True):
    """An answer but for its subjects."""

    cursor: str
    full: bool
    generated_at: str
    removed: list[str] = []


class NotAFeed(ValueError):
    """The bytes are not what the verdict feed answers."""


_subject_decoder = msgspec.json.Decoder(FeedSubject)


def read_feed(chunks: Iterable[bytes], *, rest_seconds: float = REST_SECONDS) -> Iterator[FeedSubject | FeedFrame]:
    """Yield the subjects of an answer as they arrive, then its frame. Raises NotAFeed, also at the very end.

    Rests now and then without the interpreter lock, so that the thread that answers Kong never waits long for it.
    """
    buffer, more = _up_to_subjects(iter(chunks))
    frame = bytearray(buffer[0])
    rest = bytearray(buffer[1])
    at = seen = 0
    while True:
        match = _SUBJECT.match(rest, at)
        if match is not None:
            yield _decode(match[1])
            at = match.end()
            seen += 1
            if rest_seconds and seen % REST_EVERY_SUBJECTS == 0:
                time.sleep(rest_seconds)
            continue
        if _LIST_ENDS.match(rest, at):
            break
        del rest[:at]
        at = 0
        chunk = next(more, None)
        if chunk is None or len(rest) > MOST_SUBJECT_BYTES:
            raise NotAFeed("the list of subjects does not end, or holds something else")
        rest += chunk
    frame += rest[at:]
    for chunk in more:
        frame += chunk
    try:
        yield msgspec.json.decode(bytes(frame), type=FeedFrame)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NotAFeed(f"not a verdict feed: {error}") from None


def _up_to_subjects(more: Iterator[bytes]) -> tuple[tuple[bytes, bytes], Iterator[bytes]]:
    """Return (what comes before the subjects with the opening bracket, what follows), and the chunks left."""
    head = b""
    for chunk in more:
        head += chunk
        match = _LIST_BEGINS.search(head)
        if match is not None:
            return (head[: match.end()], head[match.end() :]), more
        if len(head) > MOST_SUBJECT_BYTES:
            break
    raise NotAFeed("no subjects in the answer")


def _decode(text: bytes | bytearray) -> FeedSubject:
    try:
        return _subject_decoder.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NotAFeed(f"not a subject: {error}") from None
