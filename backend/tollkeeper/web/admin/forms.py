"""A submitted form with what is wrong in it, so that a page can show it again."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from pydantic_core import from_json
from werkzeug.datastructures import MultiDict

from tollkeeper.errors import FieldError, InvalidInput, TollkeeperError
from tollkeeper.web.api.instants import in_range
from tollkeeper.web.api.validation import refuse_nul

# Pydantic's words, and ours for people: how it has to be written stands below the field.
WORDS = {
    "string should match pattern": "is not written as it has to be",
    "input should be a valid integer": "has to be a whole number",
}


@dataclass(frozen=True, slots=True)
class Form:
    """What was typed, by field; `errors` by the same names, `message` for the whole."""

    texts: Mapping[str, str] = field(default_factory=dict)
    lists: Mapping[str, list[str]] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)
    message: str | None = None

    @classmethod
    def of(cls, submitted: MultiDict[str, str], *, lists: set[str] | None = None) -> "Form":
        """Read a submitted form; names in `lists` are check boxes of one name."""
        return cls(
            texts={name: value.strip() for name, value in submitted.items()},
            lists={name: submitted.getlist(name) for name in lists or ()},
        )

    def text(self, name: str) -> str:
        """Return a field's text, "" if it is not there."""
        return self.texts.get(name, "")

    def choices(self, name: str) -> list[str]:
        """Return what was ticked."""
        return self.lists.get(name, [])

    def with_errors(self, error: TollkeeperError) -> "Form":
        """Return the form with the domain's complaint beside its fields."""
        fields = error.fields if isinstance(error, InvalidInput) else ()
        by_name = dict(self._place(wrong) for wrong in fields)
        homeless = [f"{name}: {text}" for name, text in by_name.items() if name not in {*self.texts, *self.lists}]
        return replace(self, errors=by_name, message="; ".join(homeless) if by_name else error.message)

    def _place(self, wrong: FieldError) -> tuple[str, str]:
        """Return the field that a complaint stands beside: the one of that path, or else the one that holds it."""
        message = next((ours for theirs, ours in WORDS.items() if wrong.message.startswith(theirs)), wrong.message)
        name, inner = wrong.path.lstrip("/"), ""
        while name not in self.texts and "/" in name:
            name, _, last = name.rpartition("/")
            inner = f"{last}/{inner}".rstrip("/")
        return name, f"{inner}: {message}" if inner else message


def read_instant(form: Form, name: str) -> datetime | None:
    """Read a `<input type="datetime-local">` as UTC; None if it is empty, InvalidInput if it is no instant."""
    text = form.text(name)
    if not text:
        return None
    try:
        instant = datetime.fromisoformat(text)
        instant = instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant
        return in_range(instant)
    except ValueError:
        raise InvalidInput.of(f"/{name}", "write it like 2026-03-01T00:00, in UTC") from None


def read_json(form: Form, name: str, *, usual: str = "", parse_float: type[str] | None = None) -> Any:
    """Read a field as JSON; raises InvalidInput for what the API would refuse, too: NaN, a NUL, too deep a nesting."""
    text = form.text(name) or usual
    try:
        found = from_json(text, allow_inf_nan=False)
    except ValueError as error:
        raise InvalidInput.of(f"/{name}", f"is no JSON: {error}") from None
    refuse_nul(found, f"/{name}")
    return found if parse_float is None else json.loads(text, parse_float=parse_float)


def read_list(form: Form, name: str) -> list[str]:
    """Read what was typed with commas between; an empty field is an empty list."""
    return [part for text in form.text(name).split(",") if (part := text.strip())]
