"""The shipper: each record reaches the backend and is deleted only after it was answered."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from tests.plugin.events_stub import KEY, EventsStub, event_bytes, events_stub
from tests.waiting import PATIENCE_SECONDS, eventually
from tollkeeper_kong.backend_client import ApiKey
from tollkeeper_kong.segments import list_segments
from tollkeeper_kong.set_aside import SetAside
from tollkeeper_kong.shipper import ShipperOptions, run_shipper
from tollkeeper_kong.shipper_state import ShipperCounters, load_counters
from tollkeeper_kong.spool import Spool
from tollkeeper_kong.spool_writer import SpoolTuning

FAST = SpoolTuning(group_seconds=0.001, retry_seconds=0.01)


@pytest.fixture
def backend() -> Iterator[EventsStub]:
    with events_stub() as stub:
        yield stub
        assert not stub.protests


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    made = Spool(tmp_path, tuning=FAST)
    yield made
    made.close(2)


def spooled(spool: Spool, *names: str) -> None:
    for name in names:
        assert spool.append(event_bytes(name))
    assert spool.flush()


def options(spool: Spool, backend: EventsStub, **more: Any) -> ShipperOptions:
    given = {"api_key": ApiKey(value=KEY), "poll_seconds": 0.02, "backoff_seconds": (0.01, 0.05, 0.05)} | more
    return ShipperOptions(spool.directory, backend.url, node="node-1", **given)


def ship(spool: Spool, backend: EventsStub, **more: Any) -> ShipperCounters:
    """Ship what is there and return."""
    return run_shipper(options(spool, backend, drains=True, **more))


def misbehaving(*acts: str) -> Callable[[], str]:
    left = list(acts)
    return lambda: left.pop(0) if left else "ok"


class Running:
    """A shipper in a thread."""

    def __init__(self, chosen: ShipperOptions) -> None:
        self._stop = chosen.stop
        self.thread = threading.Thread(target=run_shipper, args=(chosen,))

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self.thread.join(PATIENCE_SECONDS)
        assert not self.thread.is_alive()


def test_records_arrive_and_their_segments_go(spool: Spool, backend: EventsStub) -> None:
    spooled(spool, "a", "b", "c")
    spool.close()
    assert ship(spool, backend).shipped == 3
    assert backend.ids == ["a", "b", "c"]
    assert list_segments(spool.directory) == []
    assert not list(spool.directory.glob("*.progress"))


def test_a_record_arrives_while_its_segment_is_still_written(spool: Spool, backend: EventsStub) -> None:
    with Running(options(spool, backend, poll_seconds=0.2)):
        spooled(spool, "first")
        eventually(lambda: backend.ids == ["first"])
        spooled(spool, "second")
        eventually(lambda: backend.ids == ["first", "second"])
        [segment] = list_segments(spool.directory)
        assert segment.records is None
    assert backend.seen == {"first": 1, "second": 1}, "none is sent twice while all goes well"


def test_batches_hold_at_most_a_thousand_records_and_a_megabyte(spool: Spool, backend: EventsStub) -> None:
    spooled(spool, *(f"small-{number}" for number in range(2500)))
    ship(spool, backend)
    assert backend.requests == [1000, 1000, 500]
    for number in range(6):
        spool.append(event_bytes(f"large-{number}", pad=250_000))
    spool.flush()
    ship(spool, backend)
    assert backend.requests[3:] == [4, 2], "250,179 bytes each"


@pytest.mark.parametrize(
    "act", ["500", "503", "429", "drop_before", "drop_after", "half_body", "500_after", "portal", "proxy_400", "slow"]
)
def test_a_backend_that_misbehaves_loses_nothing(act: str, spool: Spool, backend: EventsStub) -> None:
    backend.plan = misbehaving(act, act)
    spooled(spool, "a", "b")
    with Running(options(spool, backend)):
        eventually(
            lambda: not load_counters(spool.directory).last_error and load_counters(spool.directory).shipped == 2
        )
    assert backend.ids == ["a", "b"]
    assert not (spool.directory / "rejected").exists(), "no record is to blame"


def test_the_backend_s_own_wait_is_kept(spool: Spool, backend: EventsStub) -> None:
    backend.plan, backend.retry_after = misbehaving("429"), "1"
    spooled(spool, "a")
    started = time.monotonic()
    with Running(options(spool, backend)):
        eventually(lambda: backend.ids == ["a"])
    assert time.monotonic() - started >= 1.0


def test_what_the_backend_refuses_is_set_aside_and_the_rest_is_stored(spool: Spool, backend: EventsStub) -> None:
    backend.refuses = lambda event: "/time: is in the future" if event["id"] == "b" else None
    spooled(spool, "a", "b", "c")
    counters = ship(spool, backend)
    assert (counters.shipped, counters.set_aside) == (2, 1)
    assert backend.ids == ["a", "c"]
    path = spool.directory / "rejected/000001.jsonl"
    [line] = path.read_text().splitlines()
    told = json.loads(line)
    assert (told["event"]["id"], told["error"]) == ("b", "/time: is in the future")
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_record_that_makes_its_whole_batch_unreadable_is_found_and_set_aside(
    spool: Spool, backend: EventsStub
) -> None:
    spooled(spool, "a", "b", "c")
    spool.append(b'{"id": torn')
    spooled(spool, "d")
    counters = ship(spool, backend)
    assert sorted(backend.ids) == ["a", "b", "c", "d"]
    assert (counters.shipped, counters.set_aside) == (4, 1)
    told = json.loads((spool.directory / "rejected/000001.jsonl").read_text())
    assert (told["text"], told["error"]) == ('{"id": torn', "400 not_json: no")


def test_a_batch_that_is_too_large_is_split(spool: Spool, backend: EventsStub) -> None:
    backend.most_events = 3
    spooled(spool, *"abcdefgh")
    assert ship(spool, backend).shipped == 8
    assert sorted(backend.ids) == list("abcdefgh")
    assert max(backend.requests) <= 3


def test_a_refused_key_is_told_and_nothing_is_lost(
    spool: Spool, backend: EventsStub, capsys: pytest.CaptureFixture[str]
) -> None:
    spooled(spool, "a")
    wrong = ApiKey(value="tk_wrong_very-secret")
    assert ship(spool, backend, api_key=wrong).last_error == "KeyRefused: 401 unauthorized: no"
    assert "very-secret" not in capsys.readouterr().out + repr(wrong)
    assert ship(spool, backend).shipped == 1


def test_a_key_that_was_rotated_in_its_file_is_taken_up(spool: Spool, backend: EventsStub, tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("tk_old\n")
    spooled(spool, "a")
    with Running(options(spool, backend, api_key=ApiKey(path))):
        eventually(lambda: load_counters(spool.directory).errors)
        path.write_text(f"{KEY}\n")
        eventually(lambda: backend.ids == ["a"])


def test_a_key_file_that_is_not_there_is_named(spool: Spool, backend: EventsStub, tmp_path: Path) -> None:
    spooled(spool, "a")
    error = ship(spool, backend, api_key=ApiKey(tmp_path / "none")).last_error
    assert error == f"KeyRefused: the API key file {tmp_path}/none cannot be read: FileNotFoundError"


def test_a_wrong_url_sets_nothing_aside(spool: Spool, backend: EventsStub) -> None:
    spooled(spool, "a")
    stray = ShipperOptions(spool.directory, backend.url + "/elsewhere", ApiKey(value=KEY), "node-1", drains=True)
    assert run_shipper(stray).errors == 1
    assert ship(spool, backend).shipped == 1


@pytest.mark.parametrize(
    "url",
    ["backend", "http://", "http://host:port", "http://[::1", "http://a..b", "http://" + "a" * 70, "ftp://backend"],
)
def test_what_is_no_url_is_told_and_the_shipper_goes_on(spool: Spool, url: str) -> None:
    spool.append(event_bytes("a"))
    spool.close()
    counters = run_shipper(ShipperOptions(spool.directory, url, ApiKey(value=KEY), "node-1", drains=True))
    assert (counters.errors, counters.shipped) == (1, 0)
    assert counters.last_error is not None
    assert counters.last_error.startswith("NotTheBackend: the backend's URL cannot be used")


def test_records_of_a_process_that_died_are_shipped(tmp_path: Path, backend: EventsStub) -> None:
    program = (
        "import os, sys; from pathlib import Path; from tollkeeper_kong.spool import Spool\n"
        "spool = Spool(Path(sys.argv[1]))\n"
        "for line in sys.stdin.buffer: assert spool.append(line.strip())\n"
        "assert spool.flush(); os.kill(os.getpid(), 9)\n"
    )
    lines = b"\n".join(event_bytes(str(number)) for number in range(500))
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], input=lines, check=False, timeout=PATIENCE_SECONDS)
    [orphan] = list_segments(tmp_path)
    assert orphan.records is None
    with orphan.path.open("ab") as file:
        file.write(orphan.path.read_bytes()[:30])  # and a power cut left a torn tail
    spool = Spool(tmp_path, tuning=FAST)
    counters = ship(spool, backend)
    spool.close()
    assert (counters.shipped, counters.lost_to_damage) == (500, 0)
    assert sorted(map(int, backend.ids)) == list(range(500))


def test_a_damaged_record_is_counted_and_the_rest_arrives(spool: Spool, backend: EventsStub) -> None:
    spooled(spool, *map(str, range(100)))
    spool.close()
    [segment] = list_segments(spool.directory)
    content = bytearray(segment.path.read_bytes())
    content[segment.size // 2] ^= 1
    segment.path.write_bytes(content)
    counters = ship(spool, backend)
    assert (counters.shipped, counters.lost_to_damage) == (99, 1)
    assert load_counters(spool.directory).lost_to_damage == 1


def test_a_segment_that_holds_nothing_readable_is_counted_as_lost_and_goes(spool: Spool, backend: EventsStub) -> None:
    spooled(spool, *map(str, range(50)))
    spool.close()
    [segment] = list_segments(spool.directory)
    segment.path.write_bytes(os.urandom(3_000_000))
    assert ship(spool, backend).lost_to_damage == 50
    assert list_segments(spool.directory) == []


def test_a_second_shipper_waits_for_the_first(spool: Spool, backend: EventsStub) -> None:
    first, second = options(spool, backend), options(spool, backend)
    with Running(first), Running(second) as waiting:
        spooled(spool, "a")
        eventually(lambda: backend.ids == ["a"])
        assert waiting.thread.is_alive()
        first.stop.set()
        spooled(spool, "b")
        eventually(lambda: backend.ids == ["a", "b"])
    assert backend.seen == {"a": 1, "b": 1}


def test_a_shipper_ends_with_its_parent_where_asked(spool: Spool, backend: EventsStub) -> None:
    child = (
        "import sys; from pathlib import Path; from tollkeeper_kong.backend_client import ApiKey\n"
        "from tollkeeper_kong.shipper import *\n"
        "key = ApiKey(value='tk_test_secret')\n"
        "run_shipper(ShipperOptions(Path(sys.argv[1]), sys.argv[2], key, 'n', parent=int(sys.argv[3])))\n"
    )
    parent = (
        "import os, subprocess, sys\n"
        "command = [sys.executable, '-c', *sys.argv[1:], str(os.getpid())]\n"
        "child = subprocess.Popen(command, stdin=subprocess.DEVNULL)\n"
        "print(child.pid, flush=True); sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", parent, child, str(spool.directory), backend.url]
    spooled(spool, "a")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        pid = int(process.stdout.readline())
        eventually(lambda: backend.ids == ["a"])  # it runs, and knows its parent
        assert Path(f"/proc/{pid}").exists()
    eventually(lambda: not Path(f"/proc/{pid}").exists() or "zombie" in Path(f"/proc/{pid}/status").read_text())


def test_a_shipper_whose_parent_was_killed_before_it_began_ends_at_once(spool: Spool, backend: EventsStub) -> None:
    """A server killed in its first second left one behind that held the spool with the old settings."""
    spooled(spool, "a")
    run_shipper(options(spool, backend, parent=2**22 + 1))  # more than any process id
    assert backend.ids == []


def test_what_was_counted_survives_the_shipper(spool: Spool, backend: EventsStub) -> None:
    for name in "ab":
        spooled(spool, name)
        ship(spool, backend)
    assert load_counters(spool.directory).shipped == 2


def test_set_aside_files_are_bounded_and_what_goes_is_counted(tmp_path: Path) -> None:
    set_aside = SetAside(tmp_path, file_bytes=400, most_files=2)
    for number in range(20):
        set_aside.keep([(event_bytes(str(number)), "no")])
    kept = [json.loads(line) for path in sorted(tmp_path.iterdir()) for line in path.read_text().splitlines()]
    assert [int(line["event"]["id"]) for line in kept] == list(range(20 - len(kept), 20))
    assert len(list(tmp_path.iterdir())) == 2
    assert set_aside.forgotten == 20 - len(kept) > 0


def test_a_line_that_a_crash_tore_does_not_spoil_the_next_one(tmp_path: Path) -> None:
    (tmp_path / "000001.jsonl").write_text('{"set_aside_at": "20')
    SetAside(tmp_path).keep([(event_bytes("a"), "no")])
    assert json.loads((tmp_path / "000001.jsonl").read_text().splitlines()[1])["event"]["id"] == "a"


def test_a_shipper_with_nothing_to_do_writes_nothing(spool: Spool, backend: EventsStub) -> None:
    spooled(spool, "a")
    ship(spool, backend, api_key=ApiKey(value="tk_wrong"))
    assert load_counters(spool.directory).last_error
    with Running(options(spool, backend)):
        eventually(lambda: backend.ids == ["a"] and not load_counters(spool.directory).last_error)
        eventually(lambda: load_counters(spool.directory).shipped == 1)
        before = (spool.directory / "shipper.json").stat().st_mtime_ns
        time.sleep(1.2)
        assert (spool.directory / "shipper.json").stat().st_mtime_ns == before
