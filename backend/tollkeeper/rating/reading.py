"""Read a document of JSON or YAML into a model; every wrong field is named by its JSON pointer."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from tollkeeper.errors import FieldError, InvalidInput

Model = TypeVar("Model", bound=BaseModel)

# Pydantic's words, and ours
MESSAGES = {
    "Field required": "is missing",
    "Extra inputs are not permitted": "is no field here; remove it or mend its name",
    "Unable to extract tag using discriminator 'type'": "is missing",
}
# The field that says which member of a union is meant; an error about it stands at the union.
TAG = "type"
TAG_ERRORS = ("union_tag_not_found", "union_tag_invalid")


def read_document(model: type[Model], document: Any, *, what: str) -> Model:
    """Validate a parsed document; raises InvalidInput with all of its wrong fields, not only the first."""
    try:
        return model.model_validate(document)
    except ValidationError as error:
        fields = wrong_fields(error, document)
    raise InvalidInput(_summary(what, fields), fields)


def wrong_fields(error: ValidationError, document: Any) -> tuple[FieldError, ...]:
    """Return what pydantic found wrong in a document, each at its JSON pointer (RFC 6901)."""
    return tuple(FieldError(_pointer(line, document), _message(line)) for line in error.errors(include_url=False))


def _summary(what: str, fields: tuple[FieldError, ...]) -> str:
    if len(fields) == 1:
        return f"the {what} is wrong: {f'{fields[0].path}: ' if fields[0].path else ''}{fields[0].message}"
    names = ", ".join(dict.fromkeys(field.path or "the whole" for field in fields))
    return f"the {what} has wrong fields: {names}"


def _pointer(line: ErrorDetails, document: Any) -> str:
    location = line["loc"]
    parts = list(_steps(location[:-1], document))
    here = document
    for part in parts:
        here = here[part]
    if location and (line["type"] == "missing" or _holds(here, location[-1])):
        parts.append(location[-1])
    if line["type"] in TAG_ERRORS:
        parts.append(TAG)
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def _steps(location: Sequence[str | int], document: Any) -> Iterator[str | int]:
    """Leave out the tags that pydantic puts into the path of a union: they are in no document.

    A field may be named like the tag; it is never on the way to another error, since no model has such a field.
    """
    here = document
    for place, part in enumerate(location):
        is_tag = place > 0 and isinstance(here, Mapping) and here.get(TAG) == part
        if not is_tag and _holds(here, part):
            here = here[part]
            yield part


def _holds(container: Any, part: str | int) -> bool:
    if isinstance(container, list | tuple):
        return isinstance(part, int) and part < len(container)
    return isinstance(container, Mapping) and part in container


def _message(line: ErrorDetails) -> str:
    message = MESSAGES.get(line["msg"], line["msg"]).removeprefix("Value error, ")
    if line["type"] == "union_tag_invalid":
        message = f"must be one of {message.rpartition('expected tags: ')[2]}"
    return message[:1].lower() + message[1:]
