"""A real headless Chromium and a real server with seeded books, for page tests and screenshots."""

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flask import Flask
from playwright.sync_api import Browser, Page, sync_playwright
from werkzeug.serving import WSGIRequestHandler, make_server

from tests.web.seeded import ADMIN, PASSWORD

ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
NAMES = ("chromium", "chromium-browser", "google-chrome")
HOW_TO_INSTALL = (
    "No Chromium was found, which the page tests drive. Install it (Debian, Ubuntu: `apt-get install -y chromium`; "
    "scripts/ensure_chromium.sh does that as root) or set CHROMIUM_PATH to one that is there."
)


def find_chromium() -> str:
    """Return the path of the browser; raises with what to do where there is none."""
    found = os.environ.get("CHROMIUM_PATH") or next(filter(None, map(shutil.which, NAMES)), None)
    if found is None or not Path(found).exists():
        raise RuntimeError(HOW_TO_INSTALL)
    return found


@contextmanager
def run_browser() -> Iterator[Browser]:
    """Yield a headless Chromium, closed at the end."""
    path = find_chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


class _AtOnce(WSGIRequestHandler):
    """Sends a body without waiting until its headers were acknowledged."""

    disable_nagle_algorithm = True


@contextmanager
def run_server(app: Flask) -> Iterator[str]:
    """Serve the application on a free loopback port; yield its address."""
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_AtOnce)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def sign_in(page: Page, address: str) -> None:
    """Sign in as the seeded administrator."""
    page.goto(f"{address}/admin/sign-in")
    page.get_by_label("Name").fill(ADMIN)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{address}/admin/")
