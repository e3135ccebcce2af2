"""`tollkeeper events forget`: put a person's identifiers out of the store."""

import click

from tollkeeper.clock import SystemClock
from tollkeeper.commands.database import open_database
from tollkeeper.errors import InvalidInput
from tollkeeper.invoices.forget import forget_person
from tollkeeper.metering.export_days import name_of
from tollkeeper.metering.forget_person import Person
from tollkeeper.storage.test_clock import read_offset


@click.command("forget")
@click.option("--subject", "subjects", multiple=True, help="A subject of events; repeat it for several.")
@click.option("--consumer-id", "consumer_ids", multiple=True, help="Kong's id of the consumer.")
@click.option("--username", "usernames", multiple=True, help="Kong's username of the consumer.")
@click.option("--custom-id", "custom_ids", multiple=True, help="Kong's custom id of the consumer.")
@click.option("--credential", "credentials", multiple=True, help="The id of a credential.")
@click.option("--field", "fields", multiple=True, metavar="PATH=VALUE", help="Another path in data, and its value.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def forget_command(fields: tuple[str, ...], *, yes: bool, **words: tuple[str, ...]) -> None:
    """Replace a person's identifiers by pseudonyms that cannot be led back; totals and proofs stay valid.

    One name of a consumer finds its others. Remove the consumer from Kong first. It cannot be undone.
    """
    person = Person(**words, fields=_read_fields(fields))
    if not yes:
        click.confirm("Identifiers are replaced for ever. Go on?", abort=True)
    with open_database() as database, database.transaction() as session:
        now = SystemClock().now() + read_offset(session)
        done = forget_person(session, person, by="command line", now=now)
        act, days = done.act, [name_of(day) for day in done.exported_days]
    click.echo(f"{act.events} events of {act.subjects} subjects name the person no more (act {act.id})")
    if days:
        click.echo(f"Exported before, and still with the names: {', '.join(days)}. Export them again, or delete them.")


def _read_fields(fields: tuple[str, ...]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for one in fields:
        path, is_given, value = one.partition("=")
        if not (path and is_given and value):
            raise InvalidInput.of("/field", f"{one!r} is no PATH=VALUE; write it like user.email=ada@example.com")
        found.setdefault(path, []).append(value)
    return found
