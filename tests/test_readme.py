"""The README's curl examples work as written, against a backend that was started as the README says."""

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BIN = Path(sys.executable).parent
EXAMPLES = re.findall(r"<!-- tested -->\n```bash\n(.*?)```", README, re.DOTALL)
ANSWER = re.search(r"<!-- tested: answer -->\n```json\n(.*?)```", README, re.DOTALL)
LINKS = re.findall(r"\]\(((?!https?://|#)[^)]+)\)", README)


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A running backend in an empty folder; yields the environment that its user's shell has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    names = {name: value for name, value in os.environ.items() if not name.startswith(("TOLLKEEPER", "DATABASE"))}
    environment = {**names, "PATH": f"{BIN}:{names['PATH']}", "TOLLKEEPER_PORT": str(port)}
    with (
        (tmp_path / "serve.log").open("wb") as log,
        subprocess.Popen(["tollkeeper", "serve"], cwd=tmp_path, env=environment, stdout=log, stderr=log) as backend,
    ):
        try:
            _wait_until_ready(port, backend)
            yield environment
        finally:
            backend.terminate()
            backend.wait(60)


def _wait_until_ready(port: int, backend: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert backend.poll() is None, "the backend ended"
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=20):
                return
        except (URLError, ConnectionError):
            time.sleep(0.1)
    raise AssertionError("the backend did not become ready")


def test_the_curl_examples_work_as_written(environment: dict[str, str], tmp_path: Path) -> None:
    assert len(EXAMPLES) >= 5
    script = "set -euo pipefail\n" + "\necho\n".join(EXAMPLES)
    script = script.replace("127.0.0.1:8750", f"127.0.0.1:{environment['TOLLKEEPER_PORT']}")
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert ANSWER is not None
    assert done.stdout.strip().endswith(json.dumps(json.loads(ANSWER[1]), separators=(",", ":")))
    assert '"accepted":1,"duplicates":0' in done.stdout
    assert '"accepted":0,"duplicates":1' in done.stdout
    assert '"value":"2"' in done.stdout


@pytest.mark.parametrize("link", sorted(set(LINKS)))
def test_what_the_readme_links_to_is_there(link: str) -> None:
    assert (ROOT / link.partition("#")[0]).exists()


def test_ci_runs_what_the_readme_names() -> None:
    commands = [line for line in (ROOT / ".ci/run").read_text().splitlines() if line.startswith("make ")]
    assert commands == ["make test"]
    assert "    make test\n" in README
