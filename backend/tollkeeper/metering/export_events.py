"""Take stored events out: a line of JSON each, as they were received, packed with gzip."""

import gzip
import hashlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import msgspec
from sqlalchemy.orm import Session

from tollkeeper.metering.digests import DAY_US
from tollkeeper.metering.event import instant_of
from tollkeeper.metering.findings import Range
from tollkeeper.metering.read import list_sets, read_events, source_names
from tollkeeper.metering.rows import id_of

_json = msgspec.json.Encoder(decimal_format="number", order="deterministic")


class Exported(NamedTuple):
    """How many events were written, and the SHA-256 of their lines before packing."""

    events: int
    sha256: str


def export_events(session: Session, wanted: Range, path: Path) -> Exported:
    """Write the events of the days to a .jsonl.gz, by time, source and id; the same events give the same bytes.

    Each line is a CloudEvent that POST /api/v1/events takes back. An unfinished file has another name.
    """
    unfinished = path.with_name(f"{path.name}.part")
    digest, count = hashlib.sha256(), 0
    # Without a name and a time in its head the file depends on nothing but the events.
    with unfinished.open("wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed:
        for line in _lines(session, wanted):
            packed.write(line)
            digest.update(line)
            count += 1
    unfinished.replace(path)
    return Exported(count, digest.hexdigest())


def _lines(session: Session, wanted: Range) -> Iterator[bytes]:
    sources = source_names(session)
    sets = {facts.id: facts for facts in list_sets(session, None, wanted.subjects)}
    with closing(read_events(session, sets, wanted.first_day * DAY_US, wanted.end_day * DAY_US)) as events:
        for event in events:
            yield (
                _json.encode(
                    {
                        "specversion": "1.0",
                        "id": id_of(event.id_key, event.id_text),
                        "source": sources[event.source_id],
                        "type": event.facts.event_type,
                        "subject": event.facts.subject,
                        "time": instant_of(event.time_us),
                        "data": event.data,
                    }
                )
                + b"\n"
            )
