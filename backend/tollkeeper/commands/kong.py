"""`tollkeeper kong`: take over what Kong knows."""

import json
from pathlib import Path

import click

from tollkeeper.clock import SystemClock
from tollkeeper.commands.database import acting
from tollkeeper.kong.admin_api import read_admin_api
from tollkeeper.kong.declarative import read_kong_file
from tollkeeper.metering.discover import take_over_kong


@click.group()
def kong() -> None:
    """Kong's consumers, services and routes."""


@kong.command("import")
@click.option("--file", "file", type=click.Path(path_type=Path), help="A declarative kong.yml.")
@click.option("--admin-url", help="Kong's Admin API, like http://127.0.0.1:8001.")
@click.option(
    "--admin-token-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with the token for the Admin API, if it asks for one.",
)
@click.option("--json", "as_json", is_flag=True, help="Print what was read as JSON.")
def import_command(file: Path | None, admin_url: str | None, admin_token_file: Path | None, *, as_json: bool) -> None:
    """Read Kong's consumers, services and routes from a file or from the Admin API; a repeat is harmless."""
    if (file is None) == (admin_url is None):
        raise click.UsageError("name either --file or --admin-url")
    if file is not None:
        config = read_kong_file(file)
    else:
        token = admin_token_file.read_text().strip() if admin_token_file else None
        config = read_admin_api(admin_url or "", token=token)
    with acting() as session:
        found = take_over_kong(session, config, now=SystemClock().now())
    for warning in found.warnings:
        click.echo(f"Warning: {warning}", err=True)
    counts = {"consumers": found.consumers, "services": found.services, "routes": found.routes}
    if as_json:
        click.echo(json.dumps({**counts, "warnings": found.warnings}))
    else:
        click.echo(", ".join(f"{count} {kind}" for kind, count in counts.items()))
