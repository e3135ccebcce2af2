"""`tollkeeper audit`: who changed what."""

import json

import click

from tollkeeper.access.audit import list_acts
from tollkeeper.commands.database import open_database

PAGE_SIZE = 1000


@click.group()
def audit() -> None:
    """The audit log: who changed what."""


@audit.command("list")
@click.option("--actor", help="Only of this id or name.")
@click.option("--target", help="Only on exactly this target.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def list_command(actor: str | None, target: str | None, *, as_json: bool) -> None:
    """List acts, newest first."""
    with open_database() as database, database.snapshot() as session:
        before: str | None = None
        while page := list_acts(session, before=before, actor=actor, target=target, limit=PAGE_SIZE):
            for one in page:
                described = {
                    "id": one.id,
                    "at": one.at.isoformat(),
                    "actor_kind": one.actor_kind,
                    "actor_id": one.actor_id,
                    "actor_name": one.actor_name,
                    "act": one.act,
                    "target": one.target,
                    "fields": one.fields,
                }
                short = f"{one.at.isoformat()}  {one.actor_kind} {one.actor_name}  {one.act}  {one.target}"
                click.echo(json.dumps(described) if as_json else short.rstrip())
            before = page[-1].id
