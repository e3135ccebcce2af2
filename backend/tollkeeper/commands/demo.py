"""`tollkeeper demo`: the zero-to-hero story on loopback."""

import signal
import sys
import threading
from pathlib import Path

import click
from rich.console import Console

from tollkeeper.demo.run import Demo, DemoOptions, run_demo
from tollkeeper.demo.summary import print_summary


@click.command()
@click.option("--once", is_flag=True, help="End after the summary instead of keeping the admin UI up.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON on standard output.")
@click.option(
    "--requests", default=3000, show_default=True, type=click.IntRange(100, 200_000), help="How many to send."
)
@click.option("--seed", default=1, show_default=True, help="Another seed makes other requests.")
@click.option(
    "--folder",
    default=Path("var/demo"),
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the demo keeps its database, spool and logs; made anew each time.",
)
def demo(folder: Path, *, once: bool, as_json: bool, requests: int, seed: int) -> None:
    """Run Kong Air's month: traffic, a refused consumer, invoices, Stripe.

    Everything runs on loopback. With STRIPE_API_KEY set the invoices go to that Stripe account (use a test key);
    without it to a stand-in that says so on each invoice.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    console = Console(stderr=True)
    with run_demo(DemoOptions(folder, requests, seed), console) as told:
        if as_json:
            click.echo(told.summary.to_json())
        else:
            print_summary(told.summary, Console())
        if not once:
            _stay(told, console)
    if told.summary.problems:
        sys.exit("the demo does not add up")


def _stay(told: Demo, console: Console) -> None:
    console.print(f"\nAdmin UI  [bold]{told.stack.addresses.backend_url}/admin[/]")
    console.print(f"          {told.admin_email}  [bold]{told.admin_password}[/]")
    console.print(f"Gateway   {told.stack.addresses.gateway_url}/flights  (header apikey: demo-skyline-web)")
    console.print("Everything keeps running; Ctrl-C ends it.")
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        console.print("Ending")
