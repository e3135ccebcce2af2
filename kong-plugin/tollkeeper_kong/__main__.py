"""Start the plugin server that Kong talks to."""

import click


@click.group()
def main() -> None:
    """Run the Tollkeeper plugin server."""


if __name__ == "__main__":
    main()
