"""Read a body of events: its content type, gzip within bounds, its size."""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from flask import request
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge, UnsupportedMediaType

from tollkeeper.web.context import web_context
from tollkeeper.web.intake import Held

SINGLE = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
PLAIN = "application/json"
BODY_TYPES = (SINGLE, BATCH, PLAIN)
MOST_BYTES = 16 << 20
STEP, PACKED_STEP = 256 << 10, 16 << 10
GZIP = zlib.MAX_WBITS | 16


class Body(NamedTuple):
    """The JSON of a request, unpacked, and the room that it takes."""

    json: bytes
    held: Held


@contextmanager
def event_body() -> Iterator[Body]:
    """Yield the body; room for it is held until the request is answered.

    Raises 415 for a type or encoding that we do not read, 413 when the body is or unpacks to more than 16 MiB
    (we stop unpacking there), 400 for broken gzip, IntakeFull when too much is held by others.
    """
    intake = web_context().intake
    # What was promised is not held yet: who stops in the middle would keep it from all others.
    intake.check(min(request.content_length or 0, MOST_BYTES))
    with intake.hold() as held:
        yield Body(_read(held), held)


def _read(held: Held) -> bytes:
    if request.mimetype not in BODY_TYPES:
        raise UnsupportedMediaType(f"Send one of {', '.join(BODY_TYPES)}.")
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in {"identity", "gzip", "x-gzip"}:
        raise UnsupportedMediaType(f"Send the body as it is or as gzip, not as {encoding[:20]!r}.")
    request.max_content_length = MOST_BYTES
    parts: list[bytes] = []
    size = 0
    for part in _arriving() if encoding == "identity" else _unpacked():
        size += len(part)
        held.grow(size)
        if size > MOST_BYTES:
            raise RequestEntityTooLarge(f"The body unpacks to more than {MOST_BYTES >> 20} MiB; send fewer events.")
        parts.append(part)
    body = b"".join(parts)
    _check_shape(body)
    return body


def _arriving(step: int = STEP) -> Iterator[bytes]:
    stream = request.stream
    while part := stream.read(step):
        yield part


def _unpacked() -> Iterator[bytes]:
    """Yield what gzip holds, a step at a time; one member may follow another.

    The packed steps are small: what a member leaves of one is copied for the next, and a member may be 20 bytes.
    """
    member = zlib.decompressobj(wbits=GZIP)
    is_begun = False
    try:
        for packed in _arriving(PACKED_STEP):
            left, is_full = packed, False
            while left or (is_full and not member.eof):
                if member.eof:
                    member = zlib.decompressobj(wbits=GZIP)
                part = member.decompress(left, STEP)
                left, is_full, is_begun = member.unconsumed_tail or member.unused_data, len(part) == STEP, True
                if part:
                    yield part
    except zlib.error as error:
        raise BadRequest(f"The body is no gzip: {error}.") from None
    if is_begun and not member.eof:
        raise BadRequest("The gzip body ends too early.")


def _check_shape(body: bytes) -> None:
    start = body.lstrip()[:1]
    if (request.mimetype == SINGLE and start == b"[") or (request.mimetype == BATCH and start == b"{"):
        wanted = "an array of events" if start == b"{" else "one event, an object"
        raise BadRequest(f"A body of the type {request.mimetype} is {wanted}.")
