"""The command line: `tollkeeper serve`, `tollkeeper demo` and what an operator needs."""

import click


@click.group()
@click.version_option(package_name="tollkeeper")
def main() -> None:
    """Usage-based billing for Kong Gateway."""
