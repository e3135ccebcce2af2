"""Read a body of events: its content type, gzip within bounds, its size."""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from flask import request
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge, UnsupportedMediaType

from tollkeeper.web.context import web_context
from tollkeeper.web.intake import Held

SINGLE = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
PLAIN = "application/json"
BODY_TYPES = (SINGLE, BATCH, PLAIN)
MOST_BYTES = 16 << 20


@contextmanager
def event_body() -> Iterator[bytes]:
    """Yield the JSON of the request, unpacked; room for it is held until the request is answered.

    Raises 415 for a type or encoding that we do not read, 413 when the body is or unpacks to more than 16 MiB
    (we stop unpacking there), 400 for broken gzip, IntakeFull when too much is held by others.
    """
    # A length that is not told may be any; how much a packed body needs is known when it is unpacked.
    size = request.content_length
    with web_context().intake.hold(MOST_BYTES if size is None else min(size, MOST_BYTES)) as held:
        yield _read(held)


def _read(held: Held) -> bytes:
    if request.mimetype not in BODY_TYPES:
        raise UnsupportedMediaType(f"Send one of {', '.join(BODY_TYPES)}.")
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in {"identity", "gzip", "x-gzip"}:
        raise UnsupportedMediaType(f"Send the body as it is or as gzip, not as {encoding[:20]!r}.")
    request.max_content_length = MOST_BYTES
    raw = request.get_data(cache=False)
    body = raw if encoding == "identity" else _unpack(raw, held)
    _check_shape(body)
    return body


def _unpack(raw: bytes, held: Held) -> bytes:
    parts: list[bytes] = []
    room = MOST_BYTES
    while raw:
        member = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        try:
            part = member.decompress(raw, room + 1)
        except zlib.error as error:
            raise BadRequest(f"The body is no gzip: {error}.") from None
        room -= len(part)
        held.grow(MOST_BYTES - max(room, 0))
        if room < 0:
            raise RequestEntityTooLarge(f"The body unpacks to more than {MOST_BYTES >> 20} MiB; send fewer events.")
        if not member.eof:
            raise BadRequest("The gzip body ends too early.")
        parts.append(part)
        raw = member.unused_data
    return b"".join(parts)


def _check_shape(body: bytes) -> None:
    start = body.lstrip()[:1]
    if (request.mimetype == SINGLE and start == b"[") or (request.mimetype == BATCH and start == b"{"):
        wanted = "an array of events" if start == b"{" else "one event, an object"
        raise BadRequest(f"A body of the type {request.mimetype} is {wanted}.")
