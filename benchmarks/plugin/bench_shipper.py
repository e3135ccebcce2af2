"""How fast one shipper empties a spool, against the same batches posted by a bare loop.

    .venv/bin/python benchmarks/plugin/bench_shipper.py [records]

The backend is a stub in a process of its own that unpacks a batch and counts its events: no backend is as fast.
"""

import gzip
import json
import shutil
import subprocess
import sys
import tempfile
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import requests

from tollkeeper_kong.backend_client import ApiKey
from tollkeeper_kong.shipper import ShipperOptions, run_shipper
from tollkeeper_kong.spool import Spool

PAD = "x" * 380
BATCH = 1000


class Stub(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *args: object) -> None:
        pass

    def do_POST(self) -> None:
        body = gzip.decompress(self.rfile.read(int(self.headers["Content-Length"])))
        answer = json.dumps({"accepted": body.count(b'"specversion"'), "duplicates": 0, "rejected": []}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


def serve() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Stub)
    print(server.server_port, flush=True)
    server.serve_forever()


def record(number: int) -> bytes:
    return json.dumps({"specversion": "1.0", "id": f"{number:032x}", "source": "kong/n", "pad": PAD}).encode()


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    folder = Path(tempfile.mkdtemp())
    stub = subprocess.Popen([sys.executable, __file__, "serve"], stdout=subprocess.PIPE)
    try:
        assert stub.stdout
        url = f"http://127.0.0.1:{int(stub.stdout.readline())}"
        shipped = ship(folder, url, count)
        posted = post(url, count)
        print(f"{count:,} records of {len(record(0))} bytes in batches of {BATCH:,}")
        rates = f"shipper {count / shipped:,.0f} records/s, bare posts {count / posted:,.0f}/s"
        print(f"{rates}, ratio {posted / shipped:.2f}")
    finally:
        stub.terminate()
        stub.wait()
        shutil.rmtree(folder)


def ship(folder: Path, url: str, count: int) -> float:
    """Return the seconds until a spool of so many records is empty."""
    spool = Spool(folder)
    for number in range(count):
        spool.append(record(number))
    assert spool.close(60)
    started = time.perf_counter()
    counters = run_shipper(ShipperOptions(folder, url, ApiKey(value="k"), "n", drains=True))
    seconds = time.perf_counter() - started
    assert counters.shipped == count
    return seconds


def post(url: str, count: int) -> float:
    """Return the seconds that posting the same batches takes when they lie in memory, joined already."""
    records = [record(number) for number in range(count)]
    bodies = [b"[" + b",".join(records[at : at + BATCH]) + b"]" for at in range(0, count, BATCH)]
    session = requests.Session()
    started = time.perf_counter()
    for body in bodies:
        session.post(f"{url}/api/v1/events", data=gzip.compress(body, 1), timeout=30).raise_for_status()
    return time.perf_counter() - started


if __name__ == "__main__":
    serve() if sys.argv[1:] == ["serve"] else main()
