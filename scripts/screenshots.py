"""Take the pictures in docs/images/: every page, and the main ones dark and at 375 px too (`make screenshots`).

`screenshots.py FOLDER` takes every page in every look there, to be looked at after a change.

They show a seeded database at a fixed instant, so that a picture changes only when its page does.
"""

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from playwright.sync_api import Browser, Page  # noqa: E402  # the path above comes first
from pydantic import SecretStr  # noqa: E402

from tests.web import seeded  # noqa: E402
from tests.web.browser import run_browser, run_server, sign_in  # noqa: E402
from tollkeeper.app import create_app, create_schema  # noqa: E402
from tollkeeper.clock import FixedClock  # noqa: E402
from tollkeeper.config import Settings  # noqa: E402
from tollkeeper.storage.engine import open_engine  # noqa: E402
from tollkeeper.storage.session import Database  # noqa: E402

PAGES = {
    "sign-in": "/admin/sign-in",
    "today": "/admin/",
    "customers": "/admin/customers",
    "customer": "/admin/customers/kong-air-group",
    "customer-limit": "/admin/customers/tess",
    "customer-form": "/admin/customers/new",
    "unmapped": "/admin/unmapped",
    "usage": "/admin/usage?what=meter:requests&by=customer",
    "plans": "/admin/plans",
    "plan": "/admin/plans/pro",
    "invoices": "/admin/invoices",
    "invoice": "/admin/invoices/INV-000003",
    "nodes": "/admin/nodes",
    "api-keys": "/admin/api-keys",
    "health": "/admin/health",
    "not-found": "/admin/customers/nobody",
}
LOOKS = {
    "light-desktop": {"viewport": {"width": 1280, "height": 800}, "color_scheme": "light"},
    "dark-desktop": {"viewport": {"width": 1280, "height": 800}, "color_scheme": "dark"},
    "light-phone": {"viewport": {"width": 375, "height": 720}, "color_scheme": "light"},
    "dark-phone": {"viewport": {"width": 375, "height": 720}, "color_scheme": "dark"},
}


# What docs/images holds of the further looks; all of them would be many megabytes.
SHOWN_IN_EVERY_LOOK = ("today", "usage", "customer", "invoice")


def main(target: Path, *, in_every_look: tuple[str, ...]) -> None:
    """Write PNG files `<page>-<look>.png`."""
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        database = Database(open_engine(f"sqlite:///{folder}/books.db"))
        create_schema(database)
        seeded.fill(database)
        app = create_app(
            Settings(secret_key=SecretStr("a secret of the pictures, long enough")),
            database=database,
            clock=FixedClock(seeded.NOW),
        )
        with run_server(app) as address, run_browser() as browser:
            for look in LOOKS:
                names = tuple(PAGES) if look == "light-desktop" else in_every_look
                take(browser, address, look, target, names)
        database.dispose()


def take(browser: Browser, address: str, look: str, target: Path, names: tuple[str, ...]) -> None:
    """Take the pages in one look."""
    context = browser.new_context(**LOOKS[look])  # type: ignore[arg-type]  # playwright's own TypedDicts are finer
    page = context.new_page()
    if "sign-in" in names:
        page.goto(address + PAGES["sign-in"])
        _shoot(page, target / f"sign-in-{look}.png")
    sign_in(page, address)
    for name in names:
        if name != "sign-in":
            page.goto(address + PAGES[name])
            _shoot(page, target / f"{name}-{look}.png")
    context.close()


def _shoot(page: Page, path: Path) -> None:
    page.wait_for_load_state("networkidle")
    page.screenshot(path=path, full_page=True, animations="disabled")


if __name__ == "__main__":
    if sys.argv[1:]:
        main(Path(sys.argv[1]), in_every_look=tuple(PAGES))
    else:
        main(ROOT / "docs/images", in_every_look=SHOWN_IN_EVERY_LOOK)
