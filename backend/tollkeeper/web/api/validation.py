"""Read bodies and queries by pydantic; name each wrong field by a JSON pointer."""

from typing import Any, TypeVar

from flask import request
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json
from werkzeug.exceptions import BadRequest, UnsupportedMediaType

from tollkeeper.errors import InvalidInput
from tollkeeper.rating.reading import wrong_fields

Model = TypeVar("Model", bound=BaseModel)

MOST_BODY_BYTES = 1 << 20


def read_body(model: type[Model], *, most_bytes: int = MOST_BODY_BYTES) -> Model:
    """Parse the JSON body; 415 for another content type, 400 for no JSON, InvalidInput (422) for wrong fields."""
    if not request.is_json:
        raise UnsupportedMediaType(f"Send application/json, not {request.mimetype or 'a body without a Content-Type'}.")
    request.max_content_length = most_bytes
    raw = request.get_data(cache=True)
    try:
        body = from_json(raw, allow_inf_nan=False)
    except ValueError as error:
        raise BadRequest(f"The body is no JSON: {error}.") from None
    refuse_nul(body)
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        raise _invalid("body", error, body) from None


def read_query(model: type[Model]) -> Model:
    """Parse the query string; a name given twice becomes a list where the model has one."""
    given: dict[str, Any] = {
        name: values if len(values) > 1 or _is_list(model, name) else values[0]
        for name, values in request.args.to_dict(flat=False).items()
    }
    refuse_nul(given)
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise _invalid("query", error, given) from None


def refuse_nul(value: object, path: str = "") -> None:
    """Raise InvalidInput at the first text that holds a NUL character: PostgreSQL stores none."""
    if isinstance(value, str) and "\x00" in value:
        raise InvalidInput.of(path, "holds a NUL character; no text may hold one")
    if isinstance(value, dict):
        for name, inner in value.items():
            refuse_nul(name, path)
            refuse_nul(inner, f"{path}/{name}")
    if isinstance(value, list):
        for place, inner in enumerate(value):
            refuse_nul(inner, f"{path}/{place}")


def _invalid(where: str, error: ValidationError, given: object) -> InvalidInput:
    fields = wrong_fields(error, given)
    names = ", ".join(dict.fromkeys(field.path or "the whole" for field in fields))
    return InvalidInput(f"the {where} has wrong fields: {names}", fields)


def _is_list(model: type[BaseModel], name: str) -> bool:
    field = model.model_fields.get(name)
    return field is not None and getattr(field.annotation, "__origin__", None) is list
