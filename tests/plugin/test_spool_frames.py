"""Records in a segment's bytes: whatever is damaged, the rest is found, and what is lost is counted."""

from hypothesis import given
from hypothesis import strategies as st

from tollkeeper_kong.frames import HEAD_BYTES, MARK, frames, read_stretch

RECORDS = [b'{"id":"1"}', b'{"id":"22"}', b"", MARK + b" is no mark here", b'{"id":"5"}' * 20]
SEGMENT = frames(RECORDS, 0)
SIZES = [HEAD_BYTES + len(record) for record in RECORDS]


def test_records_come_back_byte_for_byte() -> None:
    stretch = read_stretch(SEGMENT, 0, is_final=True)
    assert (stretch.records, stretch.end, stretch.next_sequence, stretch.lost) == (RECORDS, len(SEGMENT), 5, 0)


def test_a_tail_torn_at_any_byte_costs_only_the_record_that_was_torn() -> None:
    for cut in range(len(SEGMENT)):
        whole = sum(sum(SIZES[: count + 1]) <= cut for count in range(5))
        closed = read_stretch(SEGMENT[:cut], 0, is_final=True)
        assert closed.records == RECORDS[:whole]
        assert (closed.end, closed.lost) == (cut, 0)
        open_still = read_stretch(SEGMENT[:cut], 0, is_final=False)
        assert open_still.records == RECORDS[:whole]
        assert open_still.end == sum(SIZES[:whole]), "what is not whole yet is read again later"


def test_any_damaged_byte_costs_one_record_and_is_counted() -> None:
    for at in range(sum(SIZES[:4])):
        damaged = bytearray(SEGMENT)
        damaged[at] ^= 0x55
        stretch = read_stretch(bytes(damaged), 0, is_final=True)
        hit = next(count for count in range(5) if at < sum(SIZES[: count + 1]))
        assert stretch.records == RECORDS[:hit] + RECORDS[hit + 1 :]
        assert (stretch.lost, stretch.next_sequence) == (1, 5)


def test_damage_in_the_last_record_shows_in_the_count_that_the_segment_was_closed_with() -> None:
    damaged = SEGMENT[:-1] + b"!"
    stretch = read_stretch(damaged, 0, is_final=True)
    assert (stretch.records, stretch.next_sequence, stretch.end) == (RECORDS[:4], 4, len(SEGMENT))


def test_reading_stops_at_the_batch_size_but_gives_at_least_one_record() -> None:
    assert read_stretch(SEGMENT, 0, is_final=True, most_records=2).records == RECORDS[:2]
    assert read_stretch(SEGMENT, 0, is_final=True, most_bytes=21).records == RECORDS[:3]
    assert read_stretch(SEGMENT, 0, is_final=True, most_bytes=1).records == RECORDS[:1]


@given(st.lists(st.binary(max_size=60), max_size=12), st.data())
def test_a_stretch_of_garbage_never_invents_a_record(records: list[bytes], data: st.DataObject) -> None:
    segment = frames(records, 0)
    begin = data.draw(st.integers(0, len(segment)))
    garbage = data.draw(st.binary(min_size=1, max_size=80))
    damaged = segment[:begin] + garbage + segment[begin + len(garbage) :]
    stretch = read_stretch(damaged, 0, is_final=True)
    found = iter(records)
    assert all(any(record == candidate for candidate in found) for record in stretch.records), "in order, none new"
    assert stretch.end == len(damaged)
    assert stretch.lost <= len(records) - len(stretch.records)
