"""Take the pictures in docs/images/: every page, and the main ones dark and at 375 px too (`make screenshots`).

`screenshots.py FOLDER` takes every page in every look there, to be looked at after a change.

They show a seeded database at a fixed instant, so that a picture changes only when its page does.
"""

import sys
import tempfile
from io import BytesIO
from pathlib import Path

ROOT = Path(__file__).parent.parent
COLOURS = 192
sys.path.insert(0, str(ROOT))

from PIL import Image  # noqa: E402  # the path above comes first
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
    "subscription": "/admin/customers/nimbus",
    "move-consumer": "/admin/customers/nimbus",
    "unmapped": "/admin/unmapped",
    "usage": "/admin/usage?what=meter:requests&by=customer",
    "plans": "/admin/plans",
    "plan": "/admin/plans/pro",
    "plan-draft": "/admin/plans/pro/draft",
    "add-ons": "/admin/add-ons",
    "add-on": "/admin/add-ons/support",
    "entitlement-templates": "/admin/entitlement-templates",
    "entitlement-template": "/admin/entitlement-templates/basic-quota",
    "coupons": "/admin/coupons",
    "coupon": "/admin/coupons/LAUNCH",
    "coupon-refused": "/admin/coupons/new",
    "invoices": "/admin/invoices",
    "invoice": "/admin/invoices/INV-000003",
    "invoice-credit": "/admin/invoices/INV-000003",
    "legal-entities": "/admin/legal-entities",
    "legal-entity": "/admin/legal-entities/de",
    "tax-rates": "/admin/tax-rates",
    "nodes": "/admin/nodes",
    "api-keys": "/admin/api-keys",
    "audit-log": "/admin/audit-log",
    "health": "/admin/health",
    "not-found": "/admin/customers/nobody",
}
LOOKS = {
    "light-desktop": {"viewport": {"width": 1280, "height": 800}, "color_scheme": "light"},
    "dark-desktop": {"viewport": {"width": 1280, "height": 800}, "color_scheme": "dark"},
    "light-phone": {"viewport": {"width": 375, "height": 720}, "color_scheme": "light"},
    "dark-phone": {"viewport": {"width": 375, "height": 720}, "color_scheme": "dark"},
}


def _refuse_coupon(page: Page) -> None:
    for label, text in (("Code", "spring sale"), ("Name", "Spring"), ("Per cent off", "200")):
        page.get_by_label(label, exact=True).fill(text)
    page.get_by_role("button", name="Create coupon").click()
    page.get_by_role("alert").wait_for()


def _follow(page: Page, selector: str) -> None:
    page.locator(selector).first.click()
    page.wait_for_load_state()


def _unfold(page: Page, act: str) -> None:
    page.locator("summary", has_text=act).click()


def _show_subscription(page: Page) -> None:
    _follow(page, "a[href*='/subscriptions/']")
    _unfold(page, "Change plan")


def _ask_to_move(page: Page) -> None:
    _follow(page, "a[href$='/move']")
    page.get_by_role("button", name="See what changes").click()
    page.get_by_role("heading", name="What changes").wait_for()


# What to do on a page before its picture is taken: the addresses of some hold ids, and some show a form in use.
BEFORE = {
    "subscription": _show_subscription,
    "move-consumer": _ask_to_move,
    "coupon-refused": _refuse_coupon,
    "invoice-credit": lambda page: _unfold(page, "Issue a credit note"),
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
            if name in BEFORE:
                BEFORE[name](page)
            _shoot(page, target / f"{name}-{look}.png")
    context.close()


def _shoot(page: Page, path: Path) -> None:
    page.wait_for_load_state("networkidle")
    page.evaluate("window.scrollTo(0, 0)")  # the navigation stays where the window is
    taken = Image.open(BytesIO(page.screenshot(full_page=True, animations="disabled")))
    # a page has few colours: a palette keeps the repository a third of the size
    taken.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    if sys.argv[1:]:
        main(Path(sys.argv[1]), in_every_look=tuple(PAGES))
    else:
        main(ROOT / "docs/images", in_every_look=SHOWN_IN_EVERY_LOOK)
