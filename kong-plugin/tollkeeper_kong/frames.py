"""How a record lies in a segment file: mark, sequence, length, checksum, bytes.

The sequence counts the records of one segment from 0, so that a reader knows how many a damaged stretch held. The mark
begins with a byte that UTF-8 never holds: after damage the next record is found by looking for it.
"""

import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

MARK = b"\xf7TK\xf7"
MOST_RECORD_BYTES = 256 * 1024
_HEAD = struct.Struct(">4sIII")  # mark, sequence, length, checksum
HEAD_BYTES = _HEAD.size
# A checksum begins with what the head says of the record, so that a wrong sequence or length does not go unseen:
# for the same bytes, two different beginnings never come to the same CRC.
_SPREAD, _WORD = 0x9E3779B1, 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Stretch:
    """What was read of a segment: whole records, where to go on, and how many records before that were damaged."""

    records: list[bytes]
    end: int
    next_sequence: int
    lost: int


def frames(records: Iterable[bytes], first_sequence: int) -> bytes:
    """Return the frames of consecutive records, joined."""
    parts: list[bytes] = []
    add, pack, checksum = parts.append, _HEAD.pack, zlib.crc32
    for sequence, record in enumerate(records, first_sequence):
        length = len(record)
        add(pack(MARK, sequence, length, checksum(record, (sequence * _SPREAD + length) & _WORD)))
        add(record)
    return b"".join(parts)


def read_stretch(
    buffer: bytes, sequence: int, *, is_final: bool, most_records: int = 2**31, most_bytes: int = 2**31
) -> Stretch:
    """Read whole records from the start of a buffer, the first of which should have this sequence.

    `is_final`: nothing will ever be added behind the buffer, so an incomplete end is a torn tail and is passed over.
    Otherwise reading stops before what is not whole yet; a damaged record is passed over once a whole one follows it.
    """
    records: list[bytes] = []
    at, size, lost = 0, 0, 0
    while at < len(buffer) and len(records) < most_records:
        found = _whole_frame_at(buffer, at)
        if found is None:
            following = _next_whole_frame(buffer, at + 1)
            if following is None:
                at = len(buffer) if is_final else at
                break
            at = following
            continue
        its_sequence, end = found
        size += end - at - HEAD_BYTES
        if records and size > most_bytes:
            break
        lost += max(0, its_sequence - sequence)
        records.append(buffer[at + HEAD_BYTES : end])
        sequence, at = its_sequence + 1, end
    return Stretch(records, at, sequence, lost)


def _whole_frame_at(buffer: bytes, at: int) -> tuple[int, int] | None:
    """Return (sequence, end) of an undamaged frame that begins here."""
    if at + HEAD_BYTES > len(buffer):
        return None
    mark, sequence, length, checksum = _HEAD.unpack_from(buffer, at)
    end = at + HEAD_BYTES + length
    if mark != MARK or length > MOST_RECORD_BYTES or end > len(buffer):
        return None
    content = memoryview(buffer)[at + HEAD_BYTES : end]
    if zlib.crc32(content, (sequence * _SPREAD + length) & _WORD) != checksum:
        return None
    return sequence, end


def _next_whole_frame(buffer: bytes, start: int) -> int | None:
    at = buffer.find(MARK, start)
    while at >= 0:
        if _whole_frame_at(buffer, at) is not None:
            return at
        at = buffer.find(MARK, at + 1)
    return None
