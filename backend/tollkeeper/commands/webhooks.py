"""`tollkeeper webhooks`: who is told of what happens, and what became of it."""

import click

from tollkeeper.clock import SystemClock
from tollkeeper.commands.database import acting, open_database
from tollkeeper.config import load_settings
from tollkeeper.notifications.deliver import list_deliveries, resend
from tollkeeper.notifications.endpoints import add_endpoint, disable_endpoint, list_endpoints


@click.group()
def webhooks() -> None:
    """Webhooks: add and disable endpoints, see deliveries."""


@webhooks.command("add")
@click.argument("url")
@click.option("--kind", "kinds", multiple=True, help="Like entitlement.exhausted; repeat it. Without it: everything.")
def add_command(url: str, kinds: tuple[str, ...]) -> None:
    """Tell URL what happens, as Standard Webhooks; print the secret that signs."""
    may_be_loopback = load_settings().webhooks_to_loopback
    with acting() as session:
        endpoint = add_endpoint(session, url, kinds, may_be_loopback=may_be_loopback, now=SystemClock().now())
        click.echo(endpoint.secret)
        click.echo(
            f"{endpoint.id} is told from now on. Keep the secret: the receiver checks signatures by it.", err=True
        )


@webhooks.command("list")
def list_command() -> None:
    """List endpoints, without their secrets."""
    with open_database() as database, database.snapshot() as session:
        for endpoint in list_endpoints(session):
            state = "disabled" if endpoint.disabled_at else "live"
            click.echo(f"{endpoint.id}  {state:8}  {endpoint.url}  {','.join(endpoint.kinds) or 'everything'}")


@webhooks.command("disable")
@click.argument("endpoint_id")
def disable_command(endpoint_id: str) -> None:
    """Tell the endpoint no more."""
    with acting() as session:
        disable_endpoint(session, endpoint_id, now=SystemClock().now())
    click.echo(f"{endpoint_id} is disabled.")


@webhooks.command("deliveries")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, help="How many at most.")
def deliveries_command(limit: int) -> None:
    """Show the latest deliveries: what was told, how often it was tried, what the receiver said."""
    with open_database() as database, database.snapshot() as session:
        for delivery, notification in list_deliveries(session, limit=limit):
            state = "delivered" if delivery.delivered_at else "given up" if delivery.given_up_at else "waiting"
            said = delivery.last_error or delivery.last_status or ""
            click.echo(f"{delivery.id}  {state:9}  {delivery.attempts:2} tries  {notification.kind}  {said}".rstrip())


@webhooks.command("resend")
@click.argument("delivery_id")
def resend_command(delivery_id: str) -> None:
    """Deliver once more, at the next run of the jobs."""
    with acting() as session:
        resend(session, delivery_id, now=SystemClock().now())
    click.echo(f"{delivery_id} is due now.")
