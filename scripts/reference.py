"""Write the tables of docs/configuration.md, docs/api.md and docs/cli.md from the code: `make reference`.

What stands outside the two marker lines of a page is written by hand and stays.
"""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click
from flask import Flask
from pydantic import SecretStr

from tollkeeper import cli
from tollkeeper.app import create_app
from tollkeeper.config import Settings, name_of_setting
from tollkeeper.web.api.openapi import build_description
from tollkeeper_kong import __main__ as plugin_cli
from tollkeeper_kong.schema import KONG_FIELDS

DOCS = Path(__file__).parent.parent / "docs"
BEGIN, END = "<!-- from the code: begin (make reference) -->", "<!-- from the code: end -->"
METHODS = ("get", "post", "put", "patch", "delete")


def main() -> None:
    """Write all pages."""
    for name, lines in pages().items():
        path = DOCS / name
        path.write_text(merged(path.read_text(), lines))


def pages() -> dict[str, list[str]]:
    """Return the lines between the markers, by page."""
    return {
        "configuration.md": [*settings_lines(), "", *plugin_field_lines()],
        "api.md": list(route_lines(make_app())),
        "cli.md": list(command_lines()),
    }


def merged(page: str, lines: list[str]) -> str:
    """Put lines between the markers of a page."""
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n\n" + "\n".join(lines).strip() + f"\n\n{END}{tail}"


def make_app() -> Flask:
    """Make the application to ask it for its routes; it opens no database."""
    with tempfile.TemporaryDirectory() as folder:
        return create_app(Settings(secret_key=SecretStr("-" * 32), database_url=f"sqlite:///{folder}/unused.db"))


def settings_lines() -> Iterator[str]:
    """Yield the table of the backend's settings."""
    yield from ("## The backend's settings", "", "| variable | default | what it is |", "|---|---|---|")
    for name, field in Settings.model_fields.items():
        default = "not set" if field.default is None else f"`{str(field.default).lower()}`"
        yield f"| `{name_of_setting(name)}` | {default} | {escape(field.description or '')} |"


def plugin_field_lines() -> Iterator[str]:
    """Yield the table of the plugin's fields in Kong's configuration."""
    yield from ("## The plugin's fields in Kong", "", "| field | default | what it is |", "|---|---|---|")
    for entry in KONG_FIELDS:
        for name, field in entry.items():
            default = f"`{str(field['default']).lower()}`" if "default" in field else "not set"
            yield f"| `{name}` | {default} | {escape(field['description'])} |"


def route_lines(app: Flask) -> Iterator[str]:
    """Yield the routes of the API by area."""
    areas: dict[str, list[str]] = {}
    for path, methods in build_description(app)["paths"].items():
        for method in METHODS:
            if method in methods:
                operation = methods[method]
                areas.setdefault(operation["tags"][0], []).extend(_route(method, path, operation))
    for area in sorted(areas):
        yield from (
            f"### {area.capitalize()}",
            "",
            "| route | scope | what it does |",
            "|---|---|---|",
            *areas[area],
            "",
        )


def command_lines() -> Iterator[str]:
    """Yield every command of both programs with its options."""
    for name, command in (("tollkeeper", cli.main), ("tollkeeper-kong", plugin_cli.main)):
        yield from (f"## `{name}`", "")
        yield from _command(name, command, click.Context(command, info_name=name))


def escape(text: str) -> str:
    """Write a text on one line of a table."""
    return " ".join(text.replace("|", "\\|").split())


def _route(method: str, path: str, operation: dict[str, object]) -> Iterator[str]:
    security = operation.get("security")
    scope = " or ".join(f"`{one['key'][0]}`" for one in security) if isinstance(security, list) else "none"
    text = f"{operation['summary']}. {operation.get('description', '')}"
    yield f"| `{method.upper()} {path}` | {scope} | {escape(text)} |"


def _command(path: str, command: click.Command, context: click.Context) -> Iterator[str]:
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from _command(f"{path} {name}", found, click.Context(found, parent=context, info_name=name))
        return
    arguments = [param.make_metavar(context) for param in command.params if isinstance(param, click.Argument)]
    yield from (f"### `{' '.join([path, *arguments])}`", "", " ".join((command.help or "").split()), "")
    options = [param.get_help_record(context) for param in command.params if isinstance(param, click.Option)]
    rows = [f"- `{record[0]}`: {escape(record[1])}" for record in options if record is not None]
    if rows:
        yield from (*rows, "")


if __name__ == "__main__":
    sys.exit(main())
