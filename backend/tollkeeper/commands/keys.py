"""`tollkeeper keys`: API keys from the command line."""

import json
from datetime import datetime

import click

from tollkeeper.access.keys import Scope, create_api_key, list_api_keys, revoke_api_key
from tollkeeper.access.tables import ApiKey
from tollkeeper.clock import SystemClock
from tollkeeper.commands.database import acting, open_database

PAGE_SIZE = 1000


@click.group()
def keys() -> None:
    """API keys: create, list, revoke."""


@keys.command("create")
@click.argument("label")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    type=click.Choice([scope.value for scope in Scope]),
    help="What it may do; repeat it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the key as JSON.")
def create_command(label: str, scopes: tuple[str, ...], *, as_json: bool) -> None:
    """Make a key for LABEL and print its token, which is shown this once."""
    with acting() as session:
        created = create_api_key(session, label, scopes, now=SystemClock().now())
        described = {**_describe(created.key), "token": created.token}
    if as_json:
        click.echo(json.dumps(described))
        return
    click.echo(created.token)
    click.echo(
        f"Keep it now: it is not shown again. Revoke it with `tollkeeper keys revoke {created.key.id}`.", err=True
    )


@keys.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def list_command(*, as_json: bool) -> None:
    """List keys without their secrets, oldest first."""
    with open_database() as database, database.snapshot() as session:
        after: str | None = None
        while page := list_api_keys(session, after=after, limit=PAGE_SIZE):
            for key in page:
                click.echo(json.dumps(_describe(key)) if as_json else _line(key))
            after = page[-1].id


@keys.command("revoke")
@click.argument("key_id")
def revoke_command(key_id: str) -> None:
    """Make the key KEY_ID useless at once."""
    with acting() as session:
        key = revoke_api_key(session, key_id, now=SystemClock().now())
        click.echo(f"{key.id} ({key.label}) is revoked.")


def _line(key: ApiKey) -> str:
    state = "revoked" if key.revoked_at else "live"
    return f"{key.id}  {state:7}  {','.join(key.scopes):24}  {key.label}"


def _describe(key: ApiKey) -> dict[str, object]:
    return {
        "id": key.id,
        "label": key.label,
        "scopes": key.scopes,
        "created_at": _text(key.created_at),
        "last_used_at": _text(key.last_used_at),
        "revoked_at": _text(key.revoked_at),
    }


def _text(instant: datetime | None) -> str | None:
    return instant.isoformat() if instant else None
