"""The admin pages in a real Chromium: accessible, whole at 375 px, usable without JavaScript."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect
from pydantic import SecretStr

from tests.web import seeded
from tests.web.browser import run_browser, run_server, sign_in
from tollkeeper.app import create_app, create_schema
from tollkeeper.clock import FixedClock
from tollkeeper.config import Settings
from tollkeeper.storage.engine import open_engine
from tollkeeper.storage.session import Database

pytestmark = pytest.mark.browser

AXE = (Path(__file__).parent / "vendor/axe.min.js").read_text()
SUBSCRIPTION = "/admin/customers/tess#its-subscription"  # its address has an id
MOVE = "/admin/customers/tess#move-its-consumer"
MOVE_REVIEW = "/admin/customers/tess#what-a-move-changes"
PAGES = [
    "/admin/",
    "/admin/customers",
    "/admin/customers/new",
    "/admin/customers/kong-air",
    "/admin/customers/tess",
    "/admin/customers/tess/edit",
    "/admin/unmapped",
    "/admin/usage?what=meter:requests&by=customer",
    "/admin/plans",
    "/admin/plans/pro",
    "/admin/plans/new",
    "/admin/plans/pro/draft",
    "/admin/plans/pro/migration",
    SUBSCRIPTION,
    MOVE,
    MOVE_REVIEW,
    "/admin/add-ons",
    "/admin/add-ons/support",
    "/admin/entitlement-templates",
    "/admin/entitlement-templates/basic-quota",
    "/admin/coupons",
    "/admin/coupons/new",
    "/admin/coupons/LAUNCH",
    "/admin/invoices",
    "/admin/invoices/INV-000003",
    "/admin/legal-entities",
    "/admin/legal-entities/de",
    "/admin/tax-rates",
    "/admin/tax-rates/new",
    "/admin/nodes",
    "/admin/api-keys",
    "/admin/audit-log",
    "/admin/health",
    "/admin/customers/nobody",
]


def serve(path: Path) -> Iterator[str]:
    database = Database(open_engine(f"sqlite:///{path}"))
    settings = Settings(secret_key=SecretStr("a secret of the tests, long enough"))
    with run_server(create_app(settings, database=database, clock=FixedClock(seeded.NOW))) as address:
        yield address
    database.dispose()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with run_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def address(books: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server whose books these tests only read."""
    path = tmp_path_factory.mktemp("served") / "books.db"
    path.write_bytes(books.read_bytes())
    yield from serve(path)


@pytest.fixture
def own_address(books: Path, tmp_path: Path) -> Iterator[str]:
    """A server whose books this test may change."""
    path = tmp_path / "books.db"
    path.write_bytes(books.read_bytes())
    yield from serve(path)


@pytest.fixture
def empty_address(tmp_path: Path) -> Iterator[str]:
    """A server with an administrator and nothing else."""
    path = tmp_path / "empty.db"
    database = Database(open_engine(f"sqlite:///{path}"))
    create_schema(database)
    with database.transaction() as session:
        seeded.create_admin(session, seeded.ADMIN, seeded.PASSWORD, now=seeded.NOW)
    database.dispose()
    yield from serve(path)


@pytest.fixture(scope="module")
def signed_in(chromium: Browser, address: str) -> Any:
    with closing(chromium.new_context()) as context:
        sign_in(context.new_page(), address)
        return context.storage_state()


def open_context(chromium: Browser, signed_in: Any = None, **look: Any) -> BrowserContext:
    return chromium.new_context(storage_state=signed_in, **look)


def open_page(page: Page, address: str, path: str) -> None:
    page.goto(address + path)
    if path == SUBSCRIPTION:
        page.locator("a[href*='/customers/tess/subscriptions/']").first.click()
    if path in {MOVE, MOVE_REVIEW}:
        page.get_by_role("link", name="to another customer").first.click()
    if path == MOVE_REVIEW:
        page.get_by_role("button", name="See what changes").click()
        page.get_by_role("heading", name="What changes").wait_for()
    page.evaluate("document.querySelectorAll('.folded details').forEach(one => { one.open = true })")
    if page.locator("[data-chart]").count():
        page.locator("figure canvas").wait_for()
    if path == "/admin/":
        page.locator(".sums").wait_for()


RULES = ("wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice")


def complaints_of_axe(page: Page, rules: Sequence[str] = RULES) -> list[str]:
    # Evaluated from outside, so that the page's policy against foreign scripts stays as it is.
    page.evaluate(AXE)
    found = page.evaluate("rules => axe.run(document, {runOnly: rules})", list(rules))
    return [f"{one['id']}: {node['html']}" for one in found["violations"] for node in one["nodes"]]


@pytest.mark.parametrize(("scheme", "rules"), [("light", RULES), ("dark", ["color-contrast"])])
def test_every_page_is_accessible_by_axe(
    chromium: Browser, address: str, signed_in: Any, scheme: str, rules: Sequence[str]
) -> None:
    with closing(open_context(chromium, color_scheme=scheme)) as context:
        page = context.new_page()
        page.goto(f"{address}/admin/sign-in")
        found = {"sign-in": complaints_of_axe(page, rules)}
    with closing(open_context(chromium, signed_in, color_scheme=scheme)) as context:
        page = context.new_page()
        for path in PAGES:
            open_page(page, address, path)
            found[path] = complaints_of_axe(page, rules)
    assert [complaint for complaints in found.values() for complaint in complaints] == []


def test_axe_would_complain(chromium: Browser, address: str) -> None:
    with closing(open_context(chromium)) as context:
        page = context.new_page()
        page.goto(f"{address}/admin/sign-in")
        page.evaluate("document.querySelector('label').remove()")
        assert [complaint for complaint in complaints_of_axe(page) if complaint.startswith("label:")]


def test_pages_load_nothing_from_elsewhere_and_break_no_policy(chromium: Browser, address: str, signed_in: Any) -> None:
    with closing(open_context(chromium, signed_in)) as context:
        page = context.new_page()
        said: list[str] = []
        asked: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        for path in PAGES[:-1]:
            open_page(page, address, path)
    assert said == []
    assert [url for url in asked if not url.startswith(address)] == []


TOO_WIDE = "[...document.querySelectorAll('.card')].filter(one => one.scrollWidth > one.clientWidth).length"


def test_no_page_is_wider_than_its_screen_and_no_table_than_its_card(
    chromium: Browser, address: str, signed_in: Any
) -> None:
    with closing(open_context(chromium, signed_in)) as context:
        page = context.new_page()
        found = {}
        for path in PAGES:
            page.set_viewport_size({"width": 375, "height": 700})
            open_page(page, address, path)
            for width in (375, 1280):
                page.set_viewport_size({"width": width, "height": 700})
                found[path, width] = (page.evaluate("document.documentElement.scrollWidth"), page.evaluate(TOO_WIDE))
    assert found == {(path, width): (width, 0) for path in PAGES for width in (1280, 375)}


def test_one_signs_in_and_skips_to_the_content_by_keyboard_alone(chromium: Browser, address: str) -> None:
    with closing(open_context(chromium)) as context:
        page = context.new_page()
        page.goto(f"{address}/admin/sign-in")
        page.keyboard.type(seeded.ADMIN)
        page.keyboard.press("Tab")
        page.keyboard.type(seeded.PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_url(f"{address}/admin/")
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.locator("main")).to_be_focused()


def test_the_menu_opens_on_a_phone(chromium: Browser, address: str, signed_in: Any) -> None:
    with closing(open_context(chromium, signed_in, viewport={"width": 375, "height": 700})) as context:
        page = context.new_page()
        page.goto(f"{address}/admin/")
        page.get_by_text("Menu").click()
        page.get_by_role("link", name="Invoices", exact=True).click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Invoices")


def test_a_consumer_is_mapped_in_place(chromium: Browser, own_address: str) -> None:
    with closing(open_context(chromium)) as context:
        page = context.new_page()
        sign_in(page, own_address)
        page.goto(f"{own_address}/admin/unmapped")
        page.get_by_label("Customer for crew-portal").select_option("kong-air")
        page.get_by_role("button", name="Map crew-portal").click()
        expect(page.locator("tbody")).to_contain_text("Usage counts for Kong Air.")
        expect(page).to_have_url(f"{own_address}/admin/unmapped")


def test_revoking_a_key_asks_first(chromium: Browser, own_address: str) -> None:
    with closing(open_context(chromium)) as context:
        page = context.new_page()
        sign_in(page, own_address)
        page.goto(f"{own_address}/admin/api-keys")
        row = page.locator("tr", has_text="node-7")
        page.once("dialog", lambda dialog: dialog.dismiss())
        row.get_by_role("button").click()
        expect(row).to_contain_text("live")
        page.once("dialog", lambda dialog: dialog.accept())
        row.get_by_role("button").click()
        expect(page.locator("#messages")).to_contain_text("is revoked")
        expect(row).to_contain_text("revoked")


def test_a_refused_act_comes_back_open_with_what_was_typed_and_the_focus_on_what_is_wrong(
    chromium: Browser, own_address: str
) -> None:
    with closing(open_context(chromium)) as context:
        page = context.new_page()
        sign_in(page, own_address)
        page.on("dialog", lambda dialog: dialog.accept())
        page.goto(f"{own_address}/admin/invoices/INV-000003")
        page.locator("summary", has_text="Issue a credit note").press("Enter")
        page.get_by_label("Memo").fill("as agreed")
        page.get_by_label("Amount to take back").fill("9999")
        page.keyboard.press("Enter")
        expect(page.get_by_label("Amount to take back")).to_be_focused()
        expect(page.get_by_label("Memo")).to_have_value("as agreed")
        page.get_by_label("Amount to take back").fill("29.48")
        page.keyboard.press("Enter")
        expect(page.locator("#messages")).to_contain_text("The credit note is issued.")


def test_publishing_asks_first_and_saving_does_not(chromium: Browser, own_address: str) -> None:
    with closing(open_context(chromium)) as context:
        page = context.new_page()
        sign_in(page, own_address)
        page.on("dialog", lambda dialog: dialog.dismiss())
        page.goto(f"{own_address}/admin/add-ons/support/draft")
        page.get_by_role("button", name="Publish").click()
        expect(page).to_have_url(f"{own_address}/admin/add-ons/support/draft")
        page.get_by_role("button", name="Save the draft").click()
        expect(page.locator("#messages")).to_contain_text("Saved.")
        expect(page.get_by_role("link", name="Version 2")).to_be_visible()


def test_a_long_name_leaves_room_for_the_other_columns(chromium: Browser, own_address: str) -> None:
    with closing(open_context(chromium, viewport={"width": 1280, "height": 800})) as context:
        page = context.new_page()
        sign_in(page, own_address)
        page.goto(f"{own_address}/admin/customers/tess/edit")
        page.get_by_label("Name").fill("Donaudampfschifffahrt" * 8)
        page.get_by_role("button", name="Save").click()
        expect(page.locator("#messages")).to_contain_text("is saved")
        assert page.evaluate(TOO_WIDE) == 0
        page.goto(f"{own_address}/admin/customers")
        assert page.evaluate(TOO_WIDE) == 0
        cell = page.locator("td", has_text="kong-air-cargo").first.bounding_box()
        # three lines and the padding; squeezed to two letters a line it is seven
        assert cell is not None
        assert cell["height"] < 100


def test_the_chart_is_drawn_from_the_table_below_it(chromium: Browser, address: str, signed_in: Any) -> None:
    with closing(open_context(chromium, signed_in)) as context:
        page = context.new_page()
        page.goto(f"{address}/admin/usage?what=meter:requests&days=7")
        expect(page.locator("figure canvas")).to_be_visible()
        page.get_by_text("Numbers as a table").click()
        expect(page.locator("figure details tbody tr")).to_have_count(7)
        page.get_by_label("Time").select_option("30 days")
        expect(page.locator("figure details tbody tr")).to_have_count(30)


def test_revenue_arrives_by_itself(chromium: Browser, address: str, signed_in: Any) -> None:
    with closing(open_context(chromium, signed_in)) as context:
        page = context.new_page()
        page.goto(f"{address}/admin/")
        expect(page.locator("section", has=page.get_by_role("heading", name="Revenue so far"))).to_contain_text(
            "€121.02"
        )


def test_the_main_acts_work_without_javascript(chromium: Browser, own_address: str) -> None:
    with closing(open_context(chromium, java_script_enabled=False)) as context:
        page = context.new_page()
        sign_in(page, own_address)
        page.get_by_role("link", name="Add it up").click()
        expect(page.locator("body")).to_contain_text("€121.02")
        page.goto(f"{own_address}/admin/customers/new")
        page.get_by_label("Name").fill("Zephyr")
        page.get_by_label("Key").fill("zephyr")
        page.get_by_role("button", name="Create customer").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Zephyr")
        page.goto(f"{own_address}/admin/unmapped")
        page.get_by_label("Customer for crew-portal").select_option("zephyr")
        page.get_by_role("button", name="Map crew-portal").click()
        expect(page.locator("#messages")).to_contain_text("Usage of consumer:crew-portal counts for Zephyr.")
        page.goto(f"{own_address}/admin/customers/zephyr")
        page.get_by_label("Plan").select_option("start-up")
        page.get_by_role("button", name="Start plan").click()
        expect(page.locator("#messages")).to_contain_text("Subscribed to Start-up.")


def test_empty_pages_say_what_to_do_next(chromium: Browser, empty_address: str) -> None:
    with closing(open_context(chromium)) as context:
        page = context.new_page()
        sign_in(page, empty_address)
        for path in (
            "/admin/customers",
            "/admin/plans",
            "/admin/add-ons",
            "/admin/entitlement-templates",
            "/admin/coupons",
            "/admin/invoices",
            "/admin/legal-entities",
            "/admin/tax-rates",
            "/admin/nodes",
            "/admin/api-keys",
            "/admin/audit-log",
            "/admin/unmapped",
        ):
            page.goto(empty_address + path)
            expect(page.locator(".empty").first).to_be_visible()
            assert complaints_of_axe(page) == []
        page.goto(f"{empty_address}/admin/")
        expect(page.locator("main")).to_contain_text("Three steps to the first invoice")
