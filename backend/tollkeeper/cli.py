"""The command line: `tollkeeper serve`, `tollkeeper demo` and what an operator needs."""

import sys
from importlib import import_module

import click

from tollkeeper.errors import InvalidInput, TollkeeperError

# Command -> the module under commands/ that holds it under this name, and its line in `tollkeeper --help`,
# which so waits for no web framework.
COMMANDS = {
    "admin": ("admin", "Administrators: create one, set a password."),
    "audit": ("audit", "The audit log: who changed what."),
    "bill": ("bill", "Billing: issue what is due."),
    "check-books": ("check_books", "Check that the books are in order."),
    "clock": ("clock", "The tenant's time: show it, advance it."),
    "credit": ("credit", "Prepaid credit: grant, void, balance, ledger."),
    "credit-note": ("credit_note", "Credit notes: issue, void, list, show."),
    "demo": ("demo", "Run Kong Air's month, from traffic to invoices."),
    "events": ("events", "Stored events: verify, export, copy, forget."),
    "invoice": ("invoice", "Invoices: list, show, print, verify, export, pay, void."),
    "jobs": ("jobs", "Jobs: what runs when, run them."),
    "keys": ("keys", "API keys: create, list, revoke."),
    "kong": ("kong", "Kong's consumers, services and routes."),
    "legal-entity": ("legal_entity", "Legal entities: list, show, save, who sells to whom."),
    "plan": ("plan", "Plans: apply a file, list, show, compare, price."),
    "price": ("price", "Prices: what usage costs."),
    "serve": ("serve", "Serve the API and the admin pages, and run the jobs."),
    "tax-rate": ("tax_rate", "Tax rates: create, list, end."),
    "webhooks": ("webhooks", "Webhooks: add and disable endpoints, see deliveries."),
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
        command = getattr(import_module(f"tollkeeper.commands.{COMMANDS[cmd_name][0]}"), cmd_name.replace("-", "_"))
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the line of each command without loading it."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

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
