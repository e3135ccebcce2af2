"""The story from nothing to invoices in Stripe: one step after another, each with a line that says so."""

import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.progress import Progress

from tollkeeper.demo.api import BackendApi
from tollkeeper.demo.setup import month_start, next_month_start, set_up
from tollkeeper.demo.stack import Stack, find_source
from tollkeeper.demo.story import CUSTOMERS, KINDS, PAYING, calls_per_consumer
from tollkeeper.demo.summary import Month, Summary, summarize
from tollkeeper.demo.traffic import Seen, plan_calls, send_traffic
from tollkeeper.errors import Conflict, Unavailable

ADMIN_EMAIL = "admin@kong-air.example"
MARK = "this-is-a-tollkeeper-demo"
SETTLE_SECONDS = 120.0

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class DemoOptions:
    """What the command's options say."""

    folder: Path
    requests: int
    seed: int


@dataclass(frozen=True)
class Demo:
    """A demo that has run: its processes are still up."""

    stack: Stack
    summary: Summary
    admin_email: str
    admin_password: str


@contextmanager
def run_demo(options: DemoOptions, console: Console) -> Iterator[Demo]:
    """Run the story and yield its result while everything is up; end every process afterwards."""
    source = find_source()
    stack = Stack(_fresh_folder(options.folder.resolve()), source)
    try:
        yield _tell(stack, options, console)
    finally:
        stack.stop()


def _tell(stack: Stack, options: DemoOptions, console: Console) -> Demo:
    now = datetime.now(UTC)
    password = secrets.token_urlsafe(12)
    with console.status("Starting the backend"):
        stack.start_backend()
        stack.command("admin", "create", ADMIN_EMAIL, "--password", password)
        api = BackendApi(stack.addresses.backend_url, stack.make_key("demo", "admin"))
    console.print("[green]✓[/] the backend runs")
    with console.status("Making features, plans, customers and subscriptions"):
        set_up(stack, api, now=now)
    console.print(f"[green]✓[/] {len(CUSTOMERS)} customers are set up, one of them with two subsidiaries")
    with console.status("Starting the plugin server, the shipper, the upstreams and the gateway"):
        stack.start_gateway(stack.make_key("gateway", "ingest", "gateway"))
    console.print("[green]✓[/] the gateway runs with Tollkeeper's plugin")
    seen = _send(stack, options, console)
    with console.status("Waiting until every record is stored"):
        month = Month(api, month_start(now), next_month_start(now))
        _wait_for_events(month, sum(one.sent for one in seen.values()))
    console.print("[green]✓[/] every record is stored")
    with console.status("Closing the month"):
        stack.command("clock", "advance", "--to", month.end.isoformat())
        _wait_for_invoices(api)
    console.print("[green]✓[/] the month is closed and invoiced")
    with console.status("Checking the books"):
        stack.command("check-books")
    console.print("[green]✓[/] the books are in order")
    summary = summarize(month, seen, stack.folder / "spool", stack.processes.restarts())
    api.close()
    return Demo(stack, summary, ADMIN_EMAIL, password)


def _send(stack: Stack, options: DemoOptions, console: Console) -> dict[str, Seen]:
    calls = plan_calls(calls_per_consumer(options.requests), KINDS, seed=options.seed)
    keys = {consumer: f"demo-{consumer}" for consumer in calls}
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("Sending requests through the gateway", total=options.requests)
        seen = send_traffic(stack.addresses.gateway_url, calls, keys, lambda: progress.advance(task))
    sent, refused = sum(one.sent for one in seen.values()), sum(one.refused for one in seen.values())
    console.print(f"[green]✓[/] {sent} requests were sent, {refused} of them refused by the Free plan's limit")
    return seen


def _wait_for_events(month: Month, expected: int) -> None:
    """Wait until as many events are stored as requests were sent; summarize() tells if they are not the same."""

    def stored() -> int:
        return month.count("requests") + month.count("refused_requests")

    deadline = time.monotonic() + SETTLE_SECONDS
    while (count := _try(stored)) is None or count < expected:
        if time.monotonic() > deadline:
            raise Unavailable(f"{count} of {expected} records arrived within {SETTLE_SECONDS:.0f} s")
        time.sleep(0.2)


def _wait_for_invoices(api: BackendApi) -> None:
    payers = len(PAYING)

    def synced() -> int:
        return sum(1 for invoice in api.list_all("/invoices") if invoice["stripe_status"] in {"open", "paid"})

    deadline = time.monotonic() + SETTLE_SECONDS
    while (count := _try(synced)) is None or count < payers:
        if time.monotonic() > deadline:
            why = "; ".join(sorted(_try(lambda: _stripe_problems(api)) or {"the invoices do not say why"}))
            raise Unavailable(f"{count} of {payers} invoices reached Stripe within {SETTLE_SECONDS:.0f} s: {why}")
        time.sleep(0.2)


def _stripe_problems(api: BackendApi) -> set[str]:
    return {invoice["stripe_problem"] for invoice in api.list_all("/invoices") if invoice["stripe_problem"]}


def _try(ask: Callable[[], Answer]) -> Answer | None:
    """Ask; None when the backend is away for the moment."""
    try:
        return ask()
    except Unavailable:
        return None


def _fresh_folder(folder: Path) -> Path:
    """Make the demo's folder anew; refuse to delete a folder that no demo made."""
    if folder.exists():
        if any(folder.iterdir()) and not (folder / MARK).exists():
            raise Conflict(f"{folder} holds files that no demo made; name another --folder")
        shutil.rmtree(folder)
    folder.mkdir(parents=True, mode=0o700)
    (folder / MARK).touch()
    return folder
