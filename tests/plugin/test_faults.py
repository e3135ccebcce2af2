"""What the spool said is kept is stored at the backend, once, whoever dies and whatever the disk and the network do.

20 seeded rounds; 200 with `pytest -m nightly tests/plugin/test_faults.py`. A failing seed fails again.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.plugin.events_stub import EventsStub, events_stub
from tests.plugin.fault_processes import event_of
from tests.plugin.kong_lines import kong_line
from tests.waiting import PATIENCE_SECONDS, eventually, wait_until
from tollkeeper_kong.segments import list_segments
from tollkeeper_kong.shipper_state import load_counters

ROOT = Path(__file__).parent.parent.parent
NETWORK = ["slow", "500", "503", "429", "half_body", "drop_before", "drop_after", "500_after", "portal", "proxy_400"]
TROUBLE_SECONDS = 0.8


class Processes:
    """Forks writers and shippers and kills them."""

    def __init__(self) -> None:
        self._forker = subprocess.Popen(
            [sys.executable, "-m", "tests.plugin.fault_processes"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.alive: dict[int, str] = {}

    def start(self, role: str, **order: Any) -> int:
        assert self._forker.stdin
        assert self._forker.stdout
        self._forker.stdin.write(json.dumps({"role": role} | order) + "\n")
        self._forker.stdin.flush()
        pid = int(self._forker.stdout.readline())
        self.alive[pid] = role
        return pid

    def end(self, pid: int, number: signal.Signals) -> None:
        """Send a signal and wait until the process is gone."""
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        assert wait_until(lambda: not _is_alive(pid)), f"{self.alive[pid]} {pid} does not end on {number.name}"
        del self.alive[pid]

    def close(self) -> None:
        for pid in list(self.alive):
            self.end(pid, signal.SIGKILL)
        self._forker.communicate(timeout=PATIENCE_SECONDS)


class Round:
    """One spool directory, one backend, one seed."""

    def __init__(self, folder: Path, seed: int, processes: Processes, backend: EventsStub) -> None:
        self.rng = random.Random(seed)
        self.spool = folder / "spool"
        self.backend = backend
        self._folder = folder
        self._processes = processes
        self._writers: dict[int, str] = {}
        self._shipper: int | None = None
        self._names: list[str] = []

    def start_writer(self, most: int = 100_000, **trouble: str) -> None:
        name = f"w{len(self._names)}"
        self._names.append(name)
        order = {"spool": str(self.spool), "name": name, "journal": str(self._folder / name), "most": most}
        pid = self._processes.start("writer", seed=self.rng.random(), **order, **trouble)
        self._writers[pid] = name

    def start_shipper(self, **trouble: Any) -> None:
        order = {"spool": str(self.spool), "url": self.backend.url, "seed": self.rng.random()}
        self._shipper = self._processes.start("shipper", **order, **trouble)

    def kill_writer(self) -> None:
        if not self._writers:
            return
        pid = self.rng.choice(sorted(self._writers))
        del self._writers[pid]
        self._processes.end(pid, signal.SIGKILL)

    def end_writers(self) -> None:
        for pid in sorted(self._writers):
            self._processes.end(pid, signal.SIGTERM)
        self._writers.clear()

    def kill_shipper(self) -> None:
        if self._shipper is not None:
            self._processes.end(self._shipper, signal.SIGKILL)
            self._shipper = None

    def tear_a_tail(self) -> None:
        """Leave half a record behind the last whole one of some dead writer's segment, as a power cut does."""
        for segment in list_segments(self.spool):
            is_orphan = segment.records is None and f"-{os.getpid()}-" not in segment.stem
            pid = int(segment.stem.split("-")[1])
            if is_orphan and not _is_alive(pid):
                with suppress(FileNotFoundError), segment.path.open("ab") as file:
                    file.write(b"\xf7TK\xf7\0\0\0\x07\0\0\0\x09\1\2\3\4half")
                return

    def intended(self) -> set[str]:
        return self._journaled("intends")

    def kept(self) -> set[str]:
        return self._journaled("keeps")

    def wait_until_shipped(self) -> None:
        assert wait_until(lambda: not list_segments(self.spool)), f"not shipped: {list_segments(self.spool)}"

    def keep_something(self) -> None:
        """Let a writer keep a record if none has come so far, as on a slow machine."""
        if not self.kept():
            self.start_writer(disk="sound", clock="steady")
            eventually(self.kept)

    def crashes(self) -> list[str]:
        return [path.read_text() for path in self._folder.glob("crash-*")]

    def _journaled(self, word: str) -> set[str]:
        found: set[str] = set()
        for name in self._names:
            path = self._folder / name
            lines = path.read_text().splitlines() if path.exists() else []
            upto = max((int(line.split()[1]) for line in lines if line.startswith(word)), default=0)
            found |= {f"{name}-{number}" for number in range(upto)}
        return found


@pytest.fixture(scope="module")
def processes() -> Iterator[Processes]:
    made = Processes()
    yield made
    made.close()


@pytest.fixture
def backend() -> Iterator[EventsStub]:
    with events_stub() as stub:
        yield stub


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        chosen = metafunc.config.getoption("markexpr")
        is_nightly = "nightly" in chosen and "not nightly" not in chosen
        marks = [pytest.mark.nightly] if is_nightly else []
        metafunc.parametrize("seed", [pytest.param(seed, marks=marks) for seed in range(200 if is_nightly else 20)])


def test_what_was_kept_is_stored_once_whoever_dies(
    seed: int, tmp_path: Path, processes: Processes, backend: EventsStub
) -> None:
    round_ = Round(tmp_path, seed, processes, backend)
    rng = round_.rng
    trouble_ends = time.monotonic() + TROUBLE_SECONDS
    share = rng.choice([0.0, 0.2, 0.6])

    def plan() -> str:
        return rng.choice(NETWORK) if time.monotonic() < trouble_ends and rng.random() < share else "ok"

    def trouble() -> dict[str, str]:
        return {"disk": rng.choice(["sound", "sound", "fails", "full"]), "clock": rng.choice(["steady", "jumps"])}

    backend.plan = plan
    round_.start_writer(**trouble())
    round_.start_shipper()
    while time.monotonic() < trouble_ends:
        time.sleep(rng.random() * 0.15)
        act = rng.choice(["kill writer", "kill shipper", "another writer", "tear a tail", "wait"])
        if act == "kill writer":
            round_.kill_writer()
            round_.start_writer(**trouble())
        elif act == "kill shipper":
            round_.kill_shipper()
            round_.start_shipper(disk=rng.choice(["sound", "fails"]))
        elif act == "another writer" and len(round_._writers) < 3:
            round_.start_writer(**trouble())
        elif act == "tear a tail":
            round_.tear_a_tail()
    round_.keep_something()
    round_.end_writers()
    round_.kill_shipper()
    round_.start_shipper(batch=1000)
    round_.wait_until_shipped()
    round_.kill_shipper()
    assert not round_.crashes()
    stored = set(backend.ids)
    assert round_.kept() <= stored, f"{len(round_.kept() - stored)} records were kept and are not stored"
    assert stored <= round_.intended(), "the backend has records that nobody wrote"
    assert all(event == json.loads(event_of(key[1])) for key, event in backend.stored.items()), "as they were written"
    assert not backend.protests
    assert not (round_.spool / "rejected").exists(), "no record was to blame for any of it"
    assert load_counters(round_.spool).lost_to_damage == 0
    assert stored, "the round did something"


@pytest.mark.parametrize("damaged_seed", range(4))
def test_a_damaged_byte_costs_one_record_which_is_counted(
    damaged_seed: int, tmp_path: Path, processes: Processes, backend: EventsStub
) -> None:
    round_ = Round(tmp_path, damaged_seed, processes, backend)
    round_.start_writer(most=200)
    round_.start_writer(most=200)
    eventually(lambda: len(round_.kept()) >= 400)
    round_.end_writers()
    segment = round_.rng.choice(list_segments(round_.spool))
    content = bytearray(segment.path.read_bytes())
    content[round_.rng.randrange(len(content))] ^= 1 << round_.rng.randrange(8)
    segment.path.write_bytes(content)
    round_.start_shipper()
    round_.wait_until_shipped()
    eventually(lambda: load_counters(round_.spool).lost_to_damage)
    assert len(round_.kept() - set(backend.ids)) == 1
    assert load_counters(round_.spool).lost_to_damage == 1


@pytest.mark.parametrize("rotation_seed", range(6))
def test_every_line_of_a_rotated_file_is_stored_whoever_dies(
    rotation_seed: int, tmp_path: Path, processes: Processes, backend: EventsStub
) -> None:
    round_ = Round(tmp_path, rotation_seed, processes, backend)
    rng, log = round_.rng, tmp_path / "records.json"
    written: list[str] = []

    def start_follower(disk: str) -> int:
        order = {"spool": str(round_.spool), "file": str(log), "seed": rng.random()}
        return processes.start("follower", disk=disk, **order)

    round_.start_shipper()
    follower = start_follower("fails")
    eventually(lambda: list(round_.spool.glob("follow/*.checkpoint")))  # from here on every file is followed
    for turn in range(12):
        names = [f"{turn}-{number}" for number in range(rng.randint(1, 40))]
        text = "".join(kong_line(name) for name in names)
        written += names
        cut = rng.randrange(len(text))
        with log.open("a") as file:
            file.write(text[:cut])
            file.flush()
            if rng.random() < 0.3:
                processes.end(follower, signal.SIGKILL)
                follower = start_follower(rng.choice(["sound", "fails"]))
            if rng.random() < 0.3:
                log.rename(log.with_name(f"records.json.{turn}"))  # Kong goes on writing to it
            time.sleep(rng.random() * 0.05)
            file.write(text[cut:])
    eventually(lambda: len(set(backend.ids)) >= len(written))
    processes.end(follower, signal.SIGTERM)
    round_.wait_until_shipped()
    round_.kill_shipper()
    assert sorted(backend.ids) == sorted(written)
    assert not backend.protests, "the same line makes the same record"
    assert not round_.crashes()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB, where we may mount one."""
    mount, umount = shutil.which("mount"), shutil.which("umount")
    folder = tmp_path / "disk"
    folder.mkdir()
    order = [mount or "mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if not mount or not umount or subprocess.run(order, check=False, capture_output=True).returncode:
        pytest.skip("mounting a small file system is not permitted here; RLIMIT_FSIZE stands in for it above")
    yield folder
    subprocess.run([umount, "--lazy", str(folder)], check=True)


def test_a_disk_that_is_really_full_holds_up_and_loses_nothing(
    small_disk: Path, processes: Processes, backend: EventsStub
) -> None:
    round_ = _round_on(small_disk, processes, backend)
    round_.start_writer(most=1500)
    eventually(lambda: shutil.disk_usage(small_disk).free < 8192)
    time.sleep(0.2)
    assert len(round_.kept()) < 800, "256 KiB hold fewer"
    round_.start_shipper(batch=100)
    eventually(lambda: len(backend.ids) >= 1500)
    round_.end_writers()
    round_.wait_until_shipped()
    assert round_.intended() == set(backend.ids)


def test_a_read_only_disk_is_waited_out(small_disk: Path, processes: Processes, backend: EventsStub) -> None:
    mount = shutil.which("mount") or "mount"
    round_ = _round_on(small_disk, processes, backend)
    subprocess.run([mount, "-o", "remount,ro", str(small_disk)], check=True)
    round_.start_writer(most=50)
    eventually(lambda: len(round_.intended()) >= 1)
    time.sleep(0.2)
    assert not round_.kept()
    subprocess.run([mount, "-o", "remount,rw", str(small_disk)], check=True)
    eventually(lambda: len(round_.kept()) >= 50)
    round_.start_shipper()
    eventually(lambda: len(backend.ids) >= 50)
    round_.end_writers()
    assert round_.intended() == set(backend.ids)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _round_on(disk: Path, processes: Processes, backend: EventsStub) -> Round:
    journals = disk.parent / "journals"
    journals.mkdir()
    round_ = Round(journals, 0, processes, backend)
    round_.spool = disk / "spool"
    return round_
