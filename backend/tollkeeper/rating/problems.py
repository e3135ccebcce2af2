"""Report rules across fields together with the errors inside them, each at its own path."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

# Where (keys and positions below the model that checks) and what to do about it.
Problem = tuple[tuple[str | int, ...], str]


class CheckedModel(BaseModel):
    """A frozen part of a document that knows the rules between its fields.

    A check across fields that ran only on a valid model would tell a person one error at a time, so
    `problems` gets the raw value (a dict, a model or anything else) and must bear with all of it.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def problems(cls, raw: Any) -> Iterable[Problem]:  # noqa: ARG003 - what subclasses read
        """Return what is wrong between the fields of a raw value; nothing unless a subclass says so."""
        return ()

    @model_validator(mode="wrap")
    @classmethod
    def _check(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        given = cls._without_nulls(value) if isinstance(value, dict) else value
        checked: Self = validate_with(given, handler, cls.problems, cls.__name__)
        return checked

    @classmethod
    def _without_nulls(cls, given: dict[Any, Any]) -> dict[Any, Any]:
        """Leave out nulls of fields that may be absent: the two mean the same."""
        return {name: value for name, value in given.items() if value is not None or not cls._may_be_absent(name)}

    @classmethod
    def _may_be_absent(cls, name: Any) -> bool:
        return name in cls.model_fields and not cls.model_fields[name].is_required()


def validate_with(
    value: Any, validate: Callable[[Any], Any], check: Callable[[Any], Iterable[Problem]], title: str
) -> Any:
    """Run pydantic's validation and a check on the raw value; raise what both found, together."""
    found: list[InitErrorDetails] = []
    result = None
    try:
        result = validate(value)
    except ValidationError as error:
        found += [_again(line["type"], line["msg"], line["loc"], line["input"]) for line in error.errors()]
    taken = {line["loc"] for line in found}
    found += [
        _again("rule" if _is_there(value, path) else "missing", message, path, value)
        for path, message in check(value)
        if path not in taken
    ]
    if found:
        raise ValidationError.from_exception_data(title, found)
    return result


def fields_of(value: Any) -> Mapping[str, Any]:
    """Return the given fields of a raw mapping or a model; nothing for anything else."""
    if isinstance(value, BaseModel):
        return {name: getattr(value, name) for name in value.model_fields_set}
    return value if isinstance(value, Mapping) else {}


def duplicates_of(items: Any, field: str) -> Iterable[Problem]:
    """Return a problem for each item of a raw list whose field an earlier one has already."""
    seen = set()
    for index, item in enumerate(items if isinstance(items, Sequence) else ()):
        name = fields_of(item).get(field)
        if isinstance(name, str):
            if name in seen:
                yield (index, field), f"{name!r} is there already; give each one a {field} of its own"
            seen.add(name)


def below(place: str | int, problems: Iterable[Problem]) -> Iterable[Problem]:
    """Move problems under a field or a position."""
    return (((place, *path), message) for path, message in problems)


def _is_there(value: Any, path: tuple[str | int, ...]) -> bool:
    for part in path:
        inside = value if isinstance(value, list | tuple) else fields_of(value)
        try:
            value = inside[part]  # type: ignore[index]  # a part that does not fit raises, which is the answer
        except (KeyError, IndexError, TypeError):
            return False
    return True


def _again(kind: str, message: str, path: tuple[str | int, ...], given: Any) -> InitErrorDetails:
    # The class asks for literals so that nobody formats input into a template; ours has no context to format.
    template: Any = message.removeprefix("Value error, ")
    # An error of the kind "value_error" carries the exception; this one has only its words.
    reason: Any = "rule" if kind == "value_error" else kind
    return {"type": PydanticCustomError(reason, template), "loc": path, "input": given}
