"""Following Kong's file-log: every line becomes one record, whatever rotation, truncation or a crash does meanwhile."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.plugin.events_stub import KEY, events_stub
from tests.plugin.kong_lines import kong_line
from tests.waiting import PATIENCE_SECONDS, eventually
from tollkeeper_kong.backend_client import ApiKey
from tollkeeper_kong.exchange import exchange_from_serialize
from tollkeeper_kong.follow import Follower, FollowOptions
from tollkeeper_kong.record import usage_record
from tollkeeper_kong.segment_reader import SegmentReader
from tollkeeper_kong.segments import list_segments
from tollkeeper_kong.shipper import ShipperOptions, run_shipper
from tollkeeper_kong.spool import Spool
from tollkeeper_kong.spool_writer import SpoolTuning


class Story:
    """A log file, a follower that may be restarted, and what came out."""

    def __init__(self, folder: Path, old_file_seconds: float = 3600) -> None:
        self.path = folder / "logs" / "records.json"
        self.path.parent.mkdir()
        self.spool = Spool(folder / "spool", tuning=SpoolTuning(group_seconds=0))
        self.stop = threading.Event()
        self._options = FollowOptions(
            self.path, folder / "spool", "node-1", old_file_seconds=old_file_seconds, stop=self.stop
        )
        self.follower = Follower(self._options, self.spool)

    def write(self, *names: str, path: Path | None = None) -> None:
        with (path or self.path).open("a") as file:
            file.writelines(kong_line(name) for name in names)

    def read(self) -> None:
        while self.follower.read_on():
            pass

    def restart(self) -> None:
        self.follower.close()
        self.follower = Follower(self._options, self.spool)

    def ids(self) -> list[str]:
        """Return the ids of all records that were spooled since the last call."""
        self.spool.flush()
        found: list[str] = []
        for segment in list_segments(self.spool.directory):
            with SegmentReader(segment) as reader:
                while records := reader.read(1000, 1_000_000):
                    found += [json.loads(record)["id"] for record in records]
                    reader.settle()
        return found


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Story]:
    made = Story(tmp_path)
    yield made
    made.follower.close()
    made.spool.close(2)


def test_each_line_becomes_the_record_that_the_plugin_makes(story: Story) -> None:
    story.write("a")
    story.read()
    story.spool.flush()
    [segment] = list_segments(story.spool.directory)
    with SegmentReader(segment) as reader:
        [record] = reader.read(10, 100_000)
    assert record == usage_record(exchange_from_serialize(kong_line("a")), node="node-1")


def test_a_file_that_comes_later_is_found(story: Story) -> None:
    story.read()
    story.write("a")
    story.read()
    assert story.ids() == ["a"]


def test_a_line_is_read_once_it_is_whole(story: Story) -> None:
    line = kong_line("a")
    story.path.write_text(line[:100])
    story.read()
    assert story.ids() == []
    story.path.write_text(line[:100])
    with story.path.open("a") as file:
        file.write(line[100:])
    story.read()
    assert story.ids() == ["a"]


def test_a_restart_reads_on_where_it_was(story: Story) -> None:
    story.write("a", "b")
    story.read()
    story.restart()
    story.write("c")
    story.read()
    assert story.ids() == ["a", "b", "c"]


def test_a_rotated_file_is_read_to_its_end_while_kong_still_writes_to_it(story: Story) -> None:
    story.write("a")
    story.read()
    rotated = story.path.rename(story.path.with_name("records.json.1"))
    story.write("b", path=rotated)
    story.read()
    story.write("d")
    story.write("c", path=rotated)
    story.read()
    story.write("e", path=rotated)
    story.read()
    assert story.ids() == ["a", "b", "c", "d", "e"]


def test_a_file_rotated_while_nobody_followed_is_read_to_its_end(story: Story) -> None:
    story.write("a")
    story.read()
    story.follower.close()
    story.write("b")
    story.path.rename(story.path.with_name("records.json.1"))
    story.write("c")
    story.restart()
    story.read()
    assert story.ids() == ["a", "b", "c"]


def test_files_that_came_and_were_rotated_while_nobody_followed_are_read(story: Story) -> None:
    story.write("a")
    story.read()
    story.follower.close()
    for turn, name in enumerate(["b", "c"]):
        story.path.rename(story.path.with_name(f"records.json.{turn}"))
        story.write(name)
    story.restart()
    story.read()
    assert story.ids() == ["a", "b", "c"]


def test_files_rotated_before_the_first_start_are_left_alone(story: Story) -> None:
    story.write("old", path=story.path.with_name("records.json.1"))
    story.write("a")
    story.read()
    story.restart()
    story.path.rename(story.path.with_name("records.json.2"))
    story.write("b")
    story.read()
    assert story.ids() == ["a", "b"]


def test_a_finished_file_that_grows_is_read_on_and_only_what_is_new(tmp_path: Path) -> None:
    story = Story(tmp_path, old_file_seconds=0)
    story.read()
    story.write("a")
    story.read()
    rotated = story.path.rename(story.path.with_name("records.json.1"))
    story.write("b")
    story.read()
    story.write("late", path=rotated)
    story.path.rename(story.path.with_name("records.json.2"))
    story.write("c")
    story.read()
    assert sorted(story.ids()) == ["a", "b", "c", "late"]
    story.follower.close()
    story.spool.close()


def test_what_copytruncate_took_is_read_from_the_copy(story: Story) -> None:
    story.write("a", "b")
    story.read()
    story.write("c")
    copy = story.path.with_name("records.json.1")
    copy.write_bytes(story.path.read_bytes())
    story.path.write_text("")
    story.write("d")
    story.read()
    assert story.ids() == ["a", "b", "c", "d"]
    assert story.follower.counters.truncations == 1


def test_a_file_that_was_emptied_and_has_outgrown_its_place_is_recognized(story: Story) -> None:
    story.write("a")
    story.read()
    story.path.write_text("")
    story.write("b" * 40, "c", "d")
    story.read()
    assert story.ids() == ["a", "b" * 40, "c", "d"]


def test_truncation_while_nobody_followed_is_noticed(story: Story) -> None:
    story.write("a", "b", "c")
    story.read()
    story.follower.close()
    copy = story.path.with_name("records.json.1")
    story.write("d")
    copy.write_bytes(story.path.read_bytes())
    story.path.write_text("")
    story.write("e")
    story.restart()
    story.read()
    assert story.ids() == ["a", "b", "c", "d", "e"]


def test_a_file_that_is_gone_is_counted(story: Story) -> None:
    story.write("a")
    story.read()
    story.follower.close()
    story.path.unlink()
    story.write("b")
    story.restart()
    story.read()
    assert story.ids() == ["a", "b"]
    assert story.follower.counters.missing_files == 1


def test_a_line_that_is_no_exchange_is_counted_and_never_copied(
    story: Story, capsys: pytest.CaptureFixture[str]
) -> None:
    story.write("a")
    with story.path.open("a") as file:
        file.write('{"apikey": "top-secret"}\nnot json, top-secret\n\n')
    story.write("b")
    story.read()
    assert story.ids() == ["a", "b"]
    assert story.follower.counters.unreadable == 2
    assert "top-secret" not in capsys.readouterr().out


def test_a_line_without_an_end_does_not_fill_the_memory(story: Story) -> None:
    with story.path.open("w") as file:
        file.write("x" * 9_000_000 + "\n")
    story.write("a")
    story.read()
    assert story.ids() == ["a"]
    assert story.follower.counters.too_long == 2, "two pieces of four megabytes; the rest is no exchange"


def test_what_the_spool_did_not_keep_is_read_again(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    story.write("a")
    monkeypatch.setattr(story.spool, "flush", lambda seconds: False)
    assert not story.follower.read_on()
    monkeypatch.undo()
    story.restart()
    story.read()
    assert set(story.ids()) == {"a"}, "twice under one id, which counts once"


def test_a_checkpoint_that_cannot_be_read_means_from_the_start(story: Story) -> None:
    story.write("a")
    story.read()
    [checkpoint] = (story.spool.directory / "follow").iterdir()
    assert checkpoint.stat().st_mode & 0o777 == 0o600
    checkpoint.write_text("{torn")
    story.restart()
    story.read()
    assert story.ids() == ["a", "a"]


def test_a_shipper_follows_several_files_beside_the_spool(tmp_path: Path) -> None:
    logs = [tmp_path / "one.json", tmp_path / "two.json"]
    for path in logs:
        path.write_text(kong_line(path.name))
    with events_stub() as backend:
        options = ShipperOptions(
            tmp_path / "spool", backend.url, ApiKey(value=KEY), "node-1", follow=tuple(logs), poll_seconds=0.05
        )
        shipper = threading.Thread(target=run_shipper, args=(options,))
        shipper.start()
        eventually(lambda: sorted(backend.ids) == ["one.json", "two.json"])
        options.stop.set()
        shipper.join(PATIENCE_SECONDS)
