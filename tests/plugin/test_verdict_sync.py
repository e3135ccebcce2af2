"""The sync thread against a feed over real HTTP: fresh, kept on disk, and at peace with whatever answers."""

import json
import os
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.waiting import PATIENCE_SECONDS, eventually
from tollkeeper_kong.backend_client import ApiKey
from tollkeeper_kong.feed import FeedFrame
from tollkeeper_kong.heartbeat import HandlerState, Heartbeat, HeartbeatOptions
from tollkeeper_kong.schema import Policy
from tollkeeper_kong.shipper_state import ShipperCounters, save_counters
from tollkeeper_kong.snapshot import RequestScope, Snapshot, SnapshotBuilder
from tollkeeper_kong.spool import Spool
from tollkeeper_kong.sync import SyncOptions, VerdictSync
from tollkeeper_kong.verdict_store import FILE_NAME, VerdictStore
from tollkeeper_kong.verdicts import Verdicts

CONTRACT = Path(__file__).parent.parent / "contract"
KEY = "tk_gateway_secret"
SPENT = {"id": "l", "feature": "f", "kind": "requests", "state": "deny", "limit": "5", "used": "5"}


class FeedStub:
    """Answers the queued answers one by one; with none left it holds the poll, as the backend does."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, bytes]] = []
        self.cursors: list[str | None] = []
        self.beats: list[dict[str, Any]] = []
        self.url = ""
        self.hold_seconds = 0.05

    def say(self, cursor: str, *subjects: str, full: bool = False, removed: tuple[str, ...] = ()) -> None:
        listed = [{"subject": subject, "customer": "acme", "limits": [SPENT]} for subject in subjects]
        self.say_raw(
            json.dumps(
                {
                    "cursor": cursor,
                    "full": full,
                    "generated_at": "2026-11-22T07:30:00Z",
                    "subjects": listed,
                    "removed": removed,
                }
            ).encode()
        )

    def say_raw(self, content: bytes, status: int = 200) -> None:
        self.answers.append((status, content))


@pytest.fixture
def feed() -> Iterator[FeedStub]:
    stub = FeedStub()

    class Handler(_Handler):
        feed = stub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    stub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield stub
    server.shutdown()
    server.server_close()
    thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    feed: FeedStub

    def log_message(self, *args: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        assert self.headers["Authorization"] == f"Bearer {KEY}"
        assert query["wait"] == ["20"]
        cursor = query.get("cursor", [None])[0]
        self.feed.cursors.append(cursor)
        if not self.feed.answers:
            time.sleep(self.feed.hold_seconds)
            self.feed.say(cursor or "0")
        status, content = self.feed.answers.pop(0)
        self._send(status, content)

    def do_POST(self) -> None:
        self.feed.beats.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self._send(200, b'{"server_time": "2026-11-22T07:30:00.010Z"}')

    def _send(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


class Node:
    """Verdicts with their sync."""

    def __init__(self, feed: FeedStub, folder: Path) -> None:
        self.verdicts = Verdicts()
        self.sync = VerdictSync(
            self.verdicts, SyncOptions(feed.url, ApiKey(value=KEY), folder, least_poll_seconds=0.01)
        )

    def __enter__(self) -> Self:
        self.sync.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.sync.stop(PATIENCE_SECONDS)

    def refuses(self, subject: str) -> bool:
        return not self.verdicts.decide(subject, RequestScope(), Policy()).is_allowed


def test_the_contract_s_answer_is_taken_and_asked_on_from(feed: FeedStub, tmp_path: Path) -> None:
    feed.say_raw((CONTRACT / "verdicts.json").read_bytes())
    with Node(feed, tmp_path) as node:
        eventually(lambda: node.verdicts.subject_count == 2)
        eventually(lambda: len(feed.cursors) >= 2)
        assert feed.cursors[:2] == [None, "17"]
        assert (node.verdicts.age_seconds or 99) < 60


def test_deltas_are_laid_over_what_was_there(feed: FeedStub, tmp_path: Path) -> None:
    feed.say("1", "a", "b", full=True)
    feed.say("2", "c", removed=("a",))
    with Node(feed, tmp_path) as node:
        eventually(lambda: node.refuses("c"))
        assert not node.refuses("a")
        assert node.refuses("b")


def test_verdicts_hold_over_a_restart_while_the_backend_is_away(feed: FeedStub, tmp_path: Path) -> None:
    feed.say("1", "a", "b", full=True)
    feed.say("2", "c", removed=("a",))
    with Node(feed, tmp_path) as node:
        eventually(lambda: node.verdicts.cursor == "2")
    away = FeedStub()
    away.url = "http://127.0.0.1:9"
    with Node(away, tmp_path) as restarted:
        eventually(lambda: restarted.verdicts.cursor == "2")
        assert restarted.refuses("b")
        assert restarted.refuses("c")
        assert not restarted.refuses("a")
        eventually(lambda: restarted.sync.counters.failures)
        age = restarted.verdicts.age_seconds
        assert age is not None
        assert 0 < age < 60


def test_kept_verdicts_are_as_old_as_the_last_word_of_the_backend(feed: FeedStub, tmp_path: Path) -> None:
    feed.say("1", "a", full=True)
    with Node(feed, tmp_path) as node:
        eventually(lambda: node.verdicts.cursor == "1")
    _age(tmp_path, 500)
    away = FeedStub()
    away.url = "http://127.0.0.1:9"
    with Node(away, tmp_path) as restarted:
        eventually(lambda: restarted.verdicts.age_seconds)
        assert 499 < (restarted.verdicts.age_seconds or 0) < 600


def test_an_answer_without_news_keeps_verdicts_young_on_disk_too(feed: FeedStub, tmp_path: Path) -> None:
    feed.say("1", "a", full=True)
    with Node(feed, tmp_path) as node:
        eventually(lambda: node.verdicts.cursor == "1" and (tmp_path / FILE_NAME).exists())
        _age(tmp_path, 500)
        eventually(lambda: time.time() - (tmp_path / FILE_NAME).stat().st_mtime < 100)


@pytest.mark.parametrize(
    "answer",
    [
        (500, b"oops"),
        (429, b""),
        (404, b"not here"),
        (200, b"<html>sign in</html>"),
        (200, b'{"cursor": "9", "full": true, "generated_at": "2026-11-22T07:30:00Z", "subjects": [{"subject": "x"'),
        (401, b"{}"),
    ],
)
def test_whatever_answers_the_last_verdicts_hold_and_the_thread_goes_on(
    answer: tuple[int, bytes], feed: FeedStub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tollkeeper_kong.backend_client.Backoff.after", lambda self, error: 0.01)
    feed.say("1", "a", full=True)
    feed.say_raw(answer[1], answer[0])
    feed.say("2", "b")
    with Node(feed, tmp_path) as node:
        eventually(lambda: node.refuses("b"))
        assert node.refuses("a")
        assert node.sync.counters.failures == 1
        assert feed.cursors[:3] == [None, "1", "1"]


def test_a_cursor_that_the_backend_forgot_is_answered_in_full(feed: FeedStub, tmp_path: Path) -> None:
    feed.say("1", "a", full=True)
    feed.say("7", "b", full=True)
    with Node(feed, tmp_path) as node:
        eventually(lambda: node.verdicts.cursor == "7")
        assert (node.refuses("a"), node.refuses("b")) == (False, True)


def test_two_servers_on_one_directory_do_not_write_into_each_other(feed: FeedStub, tmp_path: Path) -> None:
    feed.say("1", "a", full=True)
    with Node(feed, tmp_path) as old:
        eventually(lambda: old.verdicts.cursor == "1" and (tmp_path / FILE_NAME).exists())
        feed.hold_seconds = 0.5
        store = VerdictStore(tmp_path)
        before = (tmp_path / FILE_NAME).read_bytes()
        builder = SnapshotBuilder()
        snapshot = store.load(builder)
        assert snapshot is not None
        store.keep(snapshot, None, _frame("99"))
        assert (tmp_path / FILE_NAME).read_bytes() == before
    store.keep(snapshot, None, _frame("99"))
    assert (tmp_path / FILE_NAME).read_bytes() == before, "once the first is gone it writes: the same snapshot"
    store.close()


def test_a_torn_end_of_the_kept_verdicts_is_left_out(feed: FeedStub, tmp_path: Path) -> None:
    feed.say("1", "a", full=True)
    feed.say("2", "b")
    with Node(feed, tmp_path) as node:
        eventually(lambda: node.verdicts.cursor == "2" and b'"cursor":"2"' in (tmp_path / FILE_NAME).read_bytes())
    content = (tmp_path / FILE_NAME).read_bytes()
    for cut in range(len(content)):
        (tmp_path / FILE_NAME).write_bytes(content[:cut])
        snapshot = VerdictStore(tmp_path).load(SnapshotBuilder())
        whole = content[:cut].count(b'"full":')
        assert (snapshot.cursor if snapshot else None) in ({"1", None} if whole < 2 else {"1", "2"})


def test_the_age_of_what_waits_in_the_spool_is_told_to_the_verdicts(feed: FeedStub, tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.append(b"{}")
    spool.flush()
    [segment] = tmp_path.glob("*.open")
    feed.say("1", "a", full=True)
    with Node(feed, tmp_path) as node:
        eventually(lambda: node.verdicts._unshipped_seconds > 0.25)
        segment.with_suffix(".progress").write_text(f"{segment.stat().st_size} 1\n")
        eventually(lambda: node.verdicts._unshipped_seconds == 0)
    spool.close()


def test_a_disk_that_refuses_does_not_stop_the_verdicts(feed: FeedStub, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("no directory")
    feed.say("1", "a", full=True)
    with Node(feed, blocked / "state") as node:
        eventually(lambda: node.refuses("a"))
        eventually(lambda: len(feed.cursors) > 2)
        assert node.sync.counters.failures == 0


def test_a_failure_of_our_own_is_counted_and_the_thread_goes_on(
    feed: FeedStub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed.say("1", "a", full=True)
    with Node(feed, tmp_path) as node:
        failing = [True]

        def replace(snapshot: Snapshot, **more: float) -> None:
            if failing.pop() if failing else False:
                raise ZeroDivisionError
            Verdicts.replace(node.verdicts, snapshot, **more)

        monkeypatch.setattr(node.verdicts, "replace", replace)
        feed.say("2", "b")
        eventually(lambda: node.refuses("b"))
        assert node.sync.counters.unexpected == 1


def test_a_beat_says_what_the_contract_says(feed: FeedStub, tmp_path: Path) -> None:
    contract = json.loads((CONTRACT / "heartbeat.json").read_text())["request"]
    spool = Spool(tmp_path)
    spool.append(b"{}")
    spool.close()
    save_counters(tmp_path, ShipperCounters(shipped=978, set_aside=3), ShipperCounters())
    state = HandlerState(enforce="on", access=1000, log=1000, refused=10, errors=2)
    heartbeat = Heartbeat(HeartbeatOptions(feed.url, ApiKey(value=KEY), "node-7"), spool, Verdicts(), lambda: state)
    heartbeat.beat()
    [beat] = feed.beats
    assert beat.keys() == contract.keys()
    assert beat["spool"].keys() == contract["spool"].keys()
    assert beat["counters"] == {
        "access": 1000,
        "log": 1000,
        "spooled": 1,
        "shipped": 978,
        "dropped": 0,
        "refused": 10,
        "set_aside": 3,
        "errors": 2,
    }
    assert (beat["node"], beat["verdict_cursor"], beat["spool"]["records"]) == ("node-7", None, 1)
    assert heartbeat.clock_offset_seconds is not None


def test_a_server_that_another_has_succeeded_beats_no_more(feed: FeedStub, tmp_path: Path) -> None:
    """Two servers that beat in turn under one name would make its counters jump to and fro."""
    spool = Spool(tmp_path)
    states = [HandlerState(access=7), None, HandlerState(access=8)]
    options = HeartbeatOptions(feed.url, ApiKey(value=KEY), "node-7")
    heartbeat = Heartbeat(options, spool, Verdicts(), lambda: states.pop(0))
    for _ in range(3):
        heartbeat.beat()
    assert [beat["counters"]["access"] for beat in feed.beats] == [7, 8]
    spool.close()


def test_beats_go_on_after_a_backend_that_was_away(feed: FeedStub, tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    url, feed.url = feed.url, "http://127.0.0.1:9"
    options = HeartbeatOptions(feed.url, ApiKey(value=KEY), "node-7", seconds=0.02)
    heartbeat = Heartbeat(options, spool, Verdicts(), HandlerState)
    heartbeat.start()
    eventually(lambda: heartbeat.failures)
    heartbeat._client._base_url = url
    eventually(lambda: len(feed.beats) >= 2)
    heartbeat.stop()
    spool.close()


def _frame(cursor: str) -> FeedFrame:
    return FeedFrame(cursor, full=False, generated_at="2026-11-22T07:30:00Z", removed=[])


def _age(folder: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(folder / FILE_NAME, (then, then))
