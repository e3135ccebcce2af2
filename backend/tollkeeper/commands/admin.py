"""`tollkeeper admin`: who may sign in to the admin pages."""

import click

from tollkeeper.access.admins import create_admin, set_password
from tollkeeper.clock import SystemClock
from tollkeeper.commands.database import acting

password_option = click.option(
    "--password",
    envvar="TOLLKEEPER_ADMIN_PASSWORD",
    prompt=True,
    hide_input=True,
    confirmation_prompt=True,
    help="At least 12 characters; asked for when it is not given.",
)


@click.group()
def admin() -> None:
    """Administrators: create one, set a password."""


@admin.command("create")
@click.argument("name")
@password_option
def create_command(name: str, password: str) -> None:
    """Let NAME (an e-mail address, say) sign in to the admin pages."""
    with acting() as session:
        create_admin(session, name, password, now=SystemClock().now())
    click.echo(f"{name} may sign in at /admin/.")


@admin.command("password")
@click.argument("name")
@password_option
def password_command(name: str, password: str) -> None:
    """Give NAME a new password; all sign-ins of NAME end."""
    with acting() as session:
        set_password(session, name, password)
    click.echo(f"{name} has a new password; earlier sign-ins are over.")
