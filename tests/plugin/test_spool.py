"""The spool: who appends never waits, what was kept comes back, what is lost is counted."""

import errno
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.waiting import PATIENCE_SECONDS, eventually
from tollkeeper_kong import segments, spool_writer
from tollkeeper_kong.frames import MOST_RECORD_BYTES, read_stretch
from tollkeeper_kong.segment_reader import SegmentReader
from tollkeeper_kong.segments import list_segments
from tollkeeper_kong.spool import Spool
from tollkeeper_kong.spool_writer import SpoolTuning

FAST = SpoolTuning(group_seconds=0.001, retry_seconds=0.01)


def stored(directory: Path) -> list[bytes]:
    """Read everything that a shipper would, oldest segment first; deletes what is closed, as a shipper does."""
    records: list[bytes] = []
    for segment in list_segments(directory):
        with SegmentReader(segment) as reader:
            while batch := reader.read(1000, 1_000_000):
                records += batch
                reader.settle()
            reader.settle()
    return records


def written(directory: Path) -> list[bytes]:
    """Read what is in the segments, and leave it there."""
    return [
        record
        for segment in list_segments(directory)
        for record in read_stretch(segment.path.read_bytes(), 0, is_final=False).records
    ]


def numbered(count: int, start: int = 0) -> list[bytes]:
    return [b'{"id":"%d"}' % number for number in range(start, start + count)]


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    made = Spool(tmp_path / "spool", tuning=FAST)
    yield made
    made.close(2)


def test_what_was_flushed_comes_back_in_order(spool: Spool) -> None:
    records = numbered(5000)
    assert all(spool.append(record) for record in records)
    assert spool.flush()
    assert stored(spool.directory) == records
    assert (spool.counters.accepted, spool.counters.spooled, spool.counters.dropped) == (5000, 5000, 0)


def test_files_are_readable_by_their_user_alone(spool: Spool) -> None:
    spool.append(b"{}")
    spool.flush()
    assert spool.directory.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in spool.directory.iterdir()} == {0o600}


def test_append_does_not_wait_for_a_disk_that_is_stuck(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stuck = threading.Event()
    syncs: list[int] = []

    def wait(descriptor: int) -> None:
        syncs.append(descriptor)
        stuck.wait()

    monkeypatch.setattr(segments.os, "fdatasync", wait)
    spool = Spool(tmp_path, tuning=FAST)
    spool.append(b"{}")
    eventually(lambda: syncs)
    for record in numbered(1000):
        assert spool.append(record), "or it would wait for ever"
    assert not spool.flush(0.01), "nothing of it is kept yet"
    stuck.set()
    assert spool.flush()
    assert spool.close()


def test_one_sync_serves_a_whole_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    syncs: list[int] = []
    monkeypatch.setattr(segments.os, "fdatasync", syncs.append)
    spool = Spool(tmp_path, tuning=SpoolTuning(group_seconds=0.5))
    for record in numbered(1000):
        spool.append(record)
    spool.flush()
    assert 1 <= len(syncs) <= 5
    assert spool.close()


def test_groups_share_a_sync_and_need_none_to_outlive_their_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncs: list[int] = []
    monkeypatch.setattr(segments.os, "fdatasync", syncs.append)
    now = [time.monotonic()]
    monkeypatch.setattr(spool_writer, "time", SimpleNamespace(monotonic=lambda: now[0]))
    spool = Spool(tmp_path, tuning=SpoolTuning(group_seconds=0.001, sync_seconds=60))
    spool.append(b'{"id":"0"}')
    eventually(lambda: len(syncs) == 1)
    assert spool.counters.spooled == 1, "the first after a quiet time is synced at once"
    for count in range(2, 21):
        spool.append(b'{"id":"%d"}' % (count - 1))
        eventually(lambda count=count: len(written(tmp_path)) == count)  # type: ignore[misc] # a default binds the number
    assert (len(syncs), spool.counters.spooled) == (1, 1), "in the page cache, where kill -9 leaves it"
    now[0] += 60
    spool.append(b'{"id":"20"}')
    eventually(lambda: spool.counters.spooled == 21)
    assert len(syncs) == 2, "and synced without being asked"
    spool.append(b"hurried")
    assert spool.flush(), "whoever waits for it gets a sync at once"
    assert len(syncs) == 3
    assert spool.close()


def test_all_groups_since_the_last_sync_are_written_again_if_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails = [False]

    def fdatasync(_descriptor: int) -> None:
        if fails[0]:
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(segments.os, "fdatasync", fdatasync)
    now = [time.monotonic()]
    monkeypatch.setattr(spool_writer, "time", SimpleNamespace(monotonic=lambda: now[0]))
    spool = Spool(tmp_path, tuning=SpoolTuning(group_seconds=0, sync_seconds=60, retry_seconds=0.01))
    spool.append(b'{"id":"0"}')
    eventually(lambda: spool.counters.spooled == 1)
    fails[0] = True
    for count in range(2, 6):
        spool.append(b'{"id":"%d"}' % (count - 1))
        eventually(lambda count=count: len(written(tmp_path)) == count)  # type: ignore[misc] # a default binds the number
    now[0] += 60
    spool.append(b'{"id":"5"}')
    eventually(lambda: spool.is_failing)
    assert not spool.flush(0.1)
    fails[0] = False
    assert spool.flush()
    assert spool.close()
    assert stored(tmp_path) == numbered(6), "in order; the segment in doubt was cut where it was last synced"
    assert (spool.counters.spooled, spool.counters.dropped) == (6, 0)


@pytest.mark.parametrize(("fsync", "least", "most"), [("off", 0, 0), ("interval", 1, 1)])
def test_the_other_policies_sync_less(
    fsync: str, least: int, most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncs: list[int] = []
    monkeypatch.setattr(segments.os, "fdatasync", syncs.append)
    spool = Spool(tmp_path, fsync=fsync, tuning=SpoolTuning(group_seconds=0, interval_seconds=0.1))  # type: ignore[arg-type]
    began = time.monotonic()
    for record in numbered(20):
        spool.append(record)
        spool.flush()
    eventually(lambda: len(syncs) >= least)
    assert len(syncs) <= most * (1 + (time.monotonic() - began) / 0.1)
    spool.close()
    assert stored(tmp_path) == numbered(20)


def test_a_segment_ends_by_size_and_by_age(tmp_path: Path) -> None:
    spool = Spool(tmp_path, tuning=SpoolTuning(segment_bytes=1000, segment_seconds=0.1, group_seconds=0))
    for record in numbered(100):
        spool.append(record)
        spool.flush()
    assert len([s for s in list_segments(tmp_path) if s.records]) >= 2, "about 27 bytes each: two or three are full"
    spool.append(b"old")
    spool.flush()
    eventually(lambda: all(segment.records for segment in list_segments(tmp_path)))  # an idle spool closes what it has
    spool.close()


def test_segments_of_one_writer_are_in_order_even_within_a_millisecond(tmp_path: Path) -> None:
    spool = Spool(tmp_path, tuning=SpoolTuning(group_seconds=0, segment_bytes=1))
    for record in numbered(40):
        spool.append(record)
        spool.flush()
    spool.close()
    stems = [segment.stem.split("-") for segment in list_segments(tmp_path)]
    assert len({nonce for _start, _pid, nonce, _number in stems}) == 1, (
        "what comes before the number tells no two apart"
    )
    assert stored(tmp_path) == numbered(40)


def test_at_the_cap_the_oldest_go_and_are_counted(tmp_path: Path) -> None:
    spool = Spool(tmp_path, max_bytes=40_000, tuning=FAST)
    for begin in range(0, 5000, 50):
        for record in numbered(50, begin):
            spool.append(record)
        spool.flush()
    dropped = spool.counters.dropped_oldest
    assert spool.counters.accepted == 5000
    assert sum(segment.size for segment in list_segments(tmp_path)) <= 40_000
    spool.close()
    assert stored(tmp_path) == numbered(5000 - dropped, dropped), "the newest are all there, none is missing uncounted"
    assert dropped > 1000


def test_a_spool_that_denies_takes_no_more_and_says_so_before(tmp_path: Path) -> None:
    spool = Spool(tmp_path, max_bytes=10_000, when_full="deny", tuning=FAST)
    taken = 0
    while spool.append(b"x" * 84) and taken < 500:
        taken += 1
        spool.flush()
        if taken == 80:
            assert not spool.is_full, "80 records of 100 bytes"
        if taken == 91:
            assert spool.is_full
    assert taken == 100
    assert (spool.counters.accepted, spool.counters.dropped_full, spool.counters.dropped) == (100, 1, 1)
    assert len(stored(tmp_path)) == 100
    spool.close()


def test_a_spool_that_denied_takes_again_when_there_is_room(tmp_path: Path) -> None:
    spool = Spool(tmp_path, max_bytes=10_000, when_full="deny", tuning=FAST)
    while spool.append(b"x" * 84):
        spool.flush()
    for segment in list_segments(tmp_path):
        if segment.records:
            segment.path.unlink()
    eventually(lambda: not spool.is_full)
    assert spool.append(b"again")
    spool.close()


def test_what_a_full_disk_refuses_is_kept_once_there_is_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_write, left = os.write, [3000]

    def write(descriptor: int, content: memoryview) -> int:
        if left[0] <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = real_write(descriptor, content[: left[0]])
        left[0] -= written
        return written

    monkeypatch.setattr(segments.os, "write", write)
    spool = Spool(tmp_path, tuning=FAST)
    for record in numbered(1000):
        assert spool.append(record)
    assert not spool.flush(0.2)
    assert spool.is_failing
    left[0] = 10**9
    assert spool.flush()
    assert not spool.is_failing
    spool.close()
    assert sorted(set(stored(tmp_path))) == sorted(numbered(1000))
    assert spool.counters.write_failures > 0
    assert spool.counters.dropped == 0


def test_what_a_failed_sync_left_in_doubt_is_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failures = [True, False]

    def fdatasync(_descriptor: int) -> None:
        if failures.pop(0) if failures else False:
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(segments.os, "fdatasync", fdatasync)
    spool = Spool(tmp_path, tuning=FAST)
    spool.append(b'{"id":"1"}')
    assert spool.flush()
    assert len(list_segments(tmp_path)) == 1, "the segment in doubt held nothing that was kept"
    spool.close()
    assert stored(tmp_path) == [b'{"id":"1"}']


def test_memory_is_bounded_while_the_disk_refuses(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("a file where the directory should be")
    spool = Spool(blocked / "spool", tuning=SpoolTuning(memory_bytes=10_000, group_seconds=0, retry_seconds=0.01))
    taken = sum(spool.append(b"x" * 100) for _ in range(150))
    assert taken == 100
    assert (spool.counters.dropped_memory, spool.is_full) == (50, True)
    assert not spool.close(0.1)
    assert (spool.counters.dropped_close, spool.counters.dropped) == (100, 150)


def test_a_spool_made_before_its_disk_is_there_begins_when_it_is(tmp_path: Path) -> None:
    blocked = tmp_path / "disk"
    blocked.write_text("not mounted yet")
    spool = Spool(blocked, tuning=FAST)
    assert spool.append(b"{}")
    assert not spool.flush(0.1)
    blocked.unlink()
    assert spool.flush()
    spool.close()
    assert stored(blocked) == [b"{}"]


def test_a_record_that_is_too_long_is_dropped_alone(spool: Spool) -> None:
    assert not spool.append(b"x" * (MOST_RECORD_BYTES + 1))
    assert spool.append(b"x" * MOST_RECORD_BYTES)
    assert spool.flush()
    assert (spool.counters.dropped_size, len(stored(spool.directory))) == (1, 1)


def test_after_close_nothing_is_taken(spool: Spool) -> None:
    spool.append(b"1")
    assert spool.close()
    assert not spool.append(b"2")
    assert spool.counters.dropped_close == 1
    assert stored(spool.directory) == [b"1"]


def test_a_backlog_says_what_waits(spool: Spool) -> None:
    assert spool.backlog().records == 0
    for record in numbered(10):
        spool.append(record)
    spool.close()
    waits = spool.backlog()
    assert (waits.records, waits.bytes) == (10, 10 * (16 + 10))
    assert 0 <= waits.oldest_age_seconds < 60


def test_two_processes_spool_into_one_directory(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from tollkeeper_kong.spool import Spool\n"
        "spool = Spool(Path(sys.argv[1]), max_bytes=10**8)\n"
        "for n in range(2000): assert spool.append(b'%s-%d' % (sys.argv[2].encode(), n))\n"
        "assert spool.close()\n"
    )
    writers = [subprocess.Popen([sys.executable, "-c", program, str(tmp_path), name]) for name in ("old", "new")]
    assert [writer.wait(PATIENCE_SECONDS) for writer in writers] == [0, 0]
    found = stored(tmp_path)
    for name in (b"old", b"new"):
        assert [record for record in found if record.startswith(name)] == [b"%s-%d" % (name, n) for n in range(2000)]
