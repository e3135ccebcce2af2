"""Read a document of JSON or YAML into a model; every wrong field is named by its JSON pointer."""

from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from tollkeeper.errors import FieldError, InvalidInput

Model = TypeVar("Model", bound=BaseModel)

# Pydantic's words, and ours
MESSAGES = {
    "Field required": "is missing",
    "Extra inputs are not permitted": "is no field here; remove it or mend its name",
    "Unable to extract tag using discriminator 'type'": "needs a type",
}


def read_document(model: type[Model], document: Any, *, what: str) -> Model:
    """Validate a parsed document; raises InvalidInput with all of its wrong fields, not only the first."""
    try:
        return model.model_validate(document)
    except ValidationError as error:
        fields = tuple(
            FieldError(_pointer(line["loc"], document, absent=line["type"] == "missing"), _message(line))
            for line in error.errors(include_url=False)
        )
    raise InvalidInput(_summary(what, fields), fields)


def _summary(what: str, fields: tuple[FieldError, ...]) -> str:
    if len(fields) == 1:
        return f"the {what} is wrong: {f'{fields[0].path}: ' if fields[0].path else ''}{fields[0].message}"
    names = ", ".join(dict.fromkeys(field.path or "the whole" for field in fields))
    return f"the {what} has wrong fields: {names}"


def _pointer(location: Sequence[str | int], document: Any, *, absent: bool) -> str:
    """Leave out the tags that pydantic puts into the path of a union: they are in no document."""
    parts: list[str] = []
    here = document
    for place, part in enumerate(location):
        try:
            here = here[part]
        except (KeyError, IndexError, TypeError):
            if not (absent and place == len(location) - 1):
                continue
        parts.append(str(part).replace("~", "~0").replace("/", "~1"))
    return "".join(f"/{part}" for part in parts)


def _message(line: ErrorDetails) -> str:
    message = MESSAGES.get(line["msg"], line["msg"]).removeprefix("Value error, ")
    return message[:1].lower() + message[1:]
