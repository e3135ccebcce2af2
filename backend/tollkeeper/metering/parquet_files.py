"""Events of a day as a Parquet file, and the digest of what such a file holds, computed from nothing else.

The columns are those of a CloudEvent; `data` is JSON. What the event store adds (dimension sets, payloads) follows
from them, so the file proves itself against the digests that were kept when the events were accepted.
"""

from collections.abc import Iterable, Iterator
from decimal import Decimal
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import msgspec

from tollkeeper.errors import Unavailable
from tollkeeper.metering.commitments import commitment_of
from tollkeeper.metering.digests import MODULUS_MASK, DigestSum, event_digest
from tollkeeper.metering.dimensions import SetKey, split_data
from tollkeeper.metering.event import EventRefused
from tollkeeper.metering.read import ReadEvent
from tollkeeper.metering.rows import id_of, key_of_id

COLUMNS = ("time", "source", "id", "type", "subject", "data")
# So many rows are held in memory, and are one row group.
ROWS_AT_ONCE = 20_000
_json = msgspec.json.Encoder(decimal_format="number", order="deterministic")
_parse = msgspec.json.Decoder(float_hook=Decimal)


class UnreadableFile(NamedTuple):
    """Why a file is no export of events."""

    reason: str


def require_parquet() -> ModuleType:
    """Return pyarrow, which is an extra; raises Unavailable naming how to get it."""
    try:
        import pyarrow.parquet  # noqa: PLC0415  # 160 MB that only this needs
    except ImportError:
        raise Unavailable("Parquet needs pyarrow: pip install 'tollkeeper[backend,parquet]'") from None
    arrow: ModuleType = pyarrow
    return arrow


def write_day(path: Path, events: Iterable[ReadEvent], sources: dict[int, str]) -> None:
    """Write events to a file; the same events and the same pyarrow give the same bytes."""
    arrow = require_parquet()
    text = arrow.string()
    types = [arrow.timestamp("us", tz="UTC"), *[text] * (len(COLUMNS) - 1)]
    schema = arrow.schema(list(zip(COLUMNS, types, strict=True)))
    left = iter(events)
    with arrow.parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        while chunk := list(islice(left, ROWS_AT_ONCE)):
            rows = [_row(event, sources) for event in chunk]
            columns = [list(column) for column in zip(*rows, strict=True)]
            arrays = [arrow.array(column, kind) for column, kind in zip(columns, types, strict=True)]
            writer.write_table(arrow.Table.from_arrays(arrays, schema=schema))


def _row(event: ReadEvent, sources: dict[int, str]) -> tuple[int | str, ...]:
    facts, data = event.facts, _json.encode(event.data).decode()
    event_id = id_of(event.id_key, event.id_text)
    return event.time_us, sources[event.source_id], event_id, facts.event_type, facts.subject, data


def sum_of_file(path: Path) -> DigestSum | UnreadableFile:
    """Return how many events a file holds and the sum of their digests, as accepting them would have kept it."""
    count = total = 0
    try:
        for time_us, *words in _rows(path):
            total += _digest_of(time_us, *words)
            count += 1
    except (OSError, ValueError, TypeError, ArithmeticError, EventRefused) as error:
        # pyarrow's own errors are ValueErrors, TypeErrors and OSErrors
        return UnreadableFile(str(error).partition("\n")[0][:200])
    return DigestSum(count, total & MODULUS_MASK)


def _rows(path: Path) -> Iterator[Any]:
    arrow = require_parquet()
    with arrow.parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=ROWS_AT_ONCE, columns=list(COLUMNS)):
            columns = [batch.column(name) for name in COLUMNS]
            times = columns[0].cast(arrow.int64())
            yield from zip(*(column.to_pylist() for column in (times, *columns[1:])), strict=True)


def _digest_of(time_us: int, source: str, event_id: str, event_type: str, subject: str, data: str) -> int:
    split = split_data(event_type, _parse.decode(data))
    commitment = commitment_of(SetKey(event_type, subject, split.dimensions, split.measured))
    id_key, id_text = key_of_id(event_id)
    return event_digest(time_us, source.encode(), id_key, id_text, commitment, split.payload)
