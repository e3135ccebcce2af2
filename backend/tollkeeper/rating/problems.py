"""Report rules across fields together with the errors inside them, each at its own path."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

# Where (keys and positions below the model that checks) and what to do about it.
Problem = tuple[tuple[str | int, ...], str]


def validate_with(
    value: Any, validate: Callable[[Any], Any], check: Callable[[Any], Iterable[Problem]], title: str
) -> Any:
    """Run pydantic's validation and a check on the raw value; raise what both found, together.

    A check across fields that ran only on a valid model would tell a person one error at a time.
    The check gets the raw value (a dict, a list, a model or anything else) and must bear with all of it.
    """
    found: list[InitErrorDetails] = []
    result = None
    try:
        result = validate(value)
    except ValidationError as error:
        found += [_again(line["type"], line["msg"], line["loc"], line["input"]) for line in error.errors()]
    taken = {line["loc"] for line in found}
    found += [_again("rule", message, path, value) for path, message in check(value) if path not in taken]
    if found:
        raise ValidationError.from_exception_data(title, found)
    return result


def fields_of(value: Any) -> Mapping[str, Any]:
    """Return the given fields of a raw mapping or a model; nothing for anything else."""
    if isinstance(value, BaseModel):
        return {name: getattr(value, name) for name in value.model_fields_set}
    return value if isinstance(value, Mapping) else {}


def _again(kind: str, message: str, path: tuple[str | int, ...], given: Any) -> InitErrorDetails:
    # The class asks for literals so that nobody formats input into a template; ours has no context to format.
    template: Any = message.removeprefix("Value error, ")
    reason: Any = kind
    return {"type": PydanticCustomError(reason, template), "loc": path, "input": given}
