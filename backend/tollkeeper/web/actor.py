"""Name who does something, for the record of an act."""

from flask import g

from tollkeeper.web.auth import calling_key


def acting_key() -> str:
    """Return the name of the API key that this request came with."""
    key = calling_key()
    return f"API key {key.label} ({key.id})"


def acting_admin() -> str:
    """Return the name of the administrator who is signed in."""
    return f"admin {g.admin.name}"
