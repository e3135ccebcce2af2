"""The command line: `tollkeeper serve`, `tollkeeper demo` and what an operator needs."""

import sys
from importlib import import_module

import click

from tollkeeper.errors import InvalidInput, TollkeeperError

# Command -> the module under commands/ that holds it under this name; loaded when called, so that
# `tollkeeper --help` does not wait for the web framework.
COMMANDS = {
    "audit": "audit",
    "bill": "bill",
    "check-books": "check_books",
    "clock": "clock",
    "credit": "credit",
    "demo": "demo",
    "events": "events",
    "invoice": "invoice",
    "admin": "admin",
    "keys": "keys",
    "jobs": "jobs",
    "kong": "kong",
    "plan": "plan",
    "price": "price",
    "serve": "serve",
    "webhooks": "webhooks",
}


class Commands(click.Group):
    """Loads a command when it is called; shows an error of the domain as one line, not as a traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name every command."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load one command; None for an unknown one."""
        if cmd_name not in COMMANDS:
            return None
        command = getattr(import_module(f"tollkeeper.commands.{COMMANDS[cmd_name]}"), cmd_name.replace("-", "_"))
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; exit 1 with the place and the fix when the domain refuses."""
        try:
            return super().invoke(ctx)
        except TollkeeperError as error:
            click.echo(f"Error: {error.message}", err=True)
            if isinstance(error, InvalidInput) and len(error.fields) > 1:
                for field in error.fields:
                    click.echo(f"  {field.path}: {field.message}", err=True)
            sys.exit(1)


@click.group(cls=Commands)
@click.version_option(package_name="tollkeeper")
def main() -> None:
    """Usage-based billing for Kong Gateway."""
