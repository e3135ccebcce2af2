"""Describe the API as OpenAPI 3.1, from the routes themselves: /api/v1/openapi.json."""

import re
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

from flask import Blueprint, Flask, Response, current_app, jsonify
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema
from werkzeug.routing import Rule

from tollkeeper.web.acts import SAFE_METHODS
from tollkeeper.web.api.conventions import Operation, View

blueprint = Blueprint("openapi", __name__, url_prefix="/api/v1")

PREFIX = "/api/v1/"
REFERENCE = "#/components/schemas/{model}"
ModelUse = tuple[type[Any], JsonSchemaMode]
FAILURES = {
    400: "The request is malformed",
    401: "No valid key",
    403: "The key has not the scope",
    404: "Nothing of that name is here",
    409: "The state forbids it",
    413: "The body is too large",
    415: "Another content type",
    422: "Wrong fields, each with its path",
    429: "Too many failures from this address",
    503: "Something that we need is away; nothing was changed",
}
PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "RFC 9457 problem details.",
    "required": ["type", "title", "status", "code", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "description": "Stable; for programs."},
        "detail": {"type": "string", "description": "For people."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["path", "message"],
                "properties": {
                    "path": {"type": "string", "description": "JSON pointer (RFC 6901) of the wrong field."},
                    "message": {"type": "string"},
                },
            },
        },
    },
}
IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
    "description": "A repeat under the same key is answered as the first time and does nothing.",
}


@blueprint.get("/openapi.json")
def show() -> Response:
    """Serve the API description; needs no key."""
    return jsonify(build_description(current_app))


def build_description(app: Flask) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of all routes under /api/v1 that say what they are."""
    operations = list(described_routes(app))
    references, components = _schemas([operation for _, _, _, operation in operations])
    paths: dict[str, Any] = {}
    for rule, method, view, operation in operations:
        path = re.sub(r"<(?:[^:>]+:)?([^>]+)>", r"{\1}", rule.rule)
        paths.setdefault(path, {})[method.lower()] = _operation(rule, method, view, operation, references)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tollkeeper",
            "version": version("tollkeeper"),
            "description": "Usage-based billing for Kong Gateway.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": {**components, "Problem": PROBLEM},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "bearerFormat": "tk_<id>_<secret>"}},
        },
    }


def described_routes(app: Flask) -> Iterator[tuple[Rule, str, View, Operation]]:
    """Yield (rule, method, view, operation) of each route under /api/v1, by path."""
    for rule in sorted(app.url_map.iter_rules(), key=lambda rule: rule.rule):
        view = app.view_functions[rule.endpoint]
        operation = getattr(view, "operation", None)
        if rule.rule.startswith(PREFIX) and operation is not None:
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                yield rule, method, view, operation


def _schemas(operations: list[Operation]) -> tuple[dict[ModelUse, Any], dict[str, Any]]:
    uses: dict[ModelUse, None] = {}
    for operation in operations:
        sides: tuple[tuple[object, JsonSchemaMode], ...] = (
            (operation.body, "validation"),
            (operation.answer, "serialization"),
        )
        for model, mode in sides:
            if isinstance(model, type):
                uses[model, mode] = None
    references, document = models_json_schema(list(uses), ref_template=REFERENCE)
    components: dict[str, Any] = document.get("$defs", {})
    for operation in operations:
        if operation.query is not None:
            components |= _query_schema(operation.query).get("$defs", {})
    return dict(references), components


def _query_schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema(mode="validation", ref_template=REFERENCE)


def _operation(
    rule: Rule, method: str, view: View, operation: Operation, references: dict[ModelUse, Any]
) -> dict[str, Any]:
    summary, _, text = (view.__doc__ or view.__name__).strip().partition("\n")
    scopes: tuple[str, ...] = getattr(view, "required_scopes", ())
    described: dict[str, Any] = {
        "operationId": f"{view.__name__}",
        "summary": summary.removesuffix("."),
        "tags": [rule.endpoint.partition(".")[0].removeprefix("api_").replace("_", " ")],
        "parameters": _parameters(rule, method, operation, has_key=bool(scopes)),
        "responses": _responses(rule, method, operation, references, has_key=bool(scopes)),
    }
    if text.strip():
        described["description"] = "\n".join(line.strip() for line in text.strip().splitlines())
    if scopes:
        # one of them is enough
        described["security"] = [{"key": [scope]} for scope in scopes]
    if operation.body is not None:
        schema = operation.body if isinstance(operation.body, dict) else references[operation.body, "validation"]
        content = {body_type: {"schema": schema} for body_type in operation.body_types}
        described["requestBody"] = {"required": True, "content": content}
    return described


def _parameters(rule: Rule, method: str, operation: Operation, *, has_key: bool) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in sorted(rule.arguments)
    ]
    if operation.query is not None:
        schema = _query_schema(operation.query)
        required = schema.get("required", [])
        for name, field in schema["properties"].items():
            field.pop("title", None)
            parameter = {"name": name, "in": "query", "required": name in required, "schema": field}
            if "description" in field:
                parameter["description"] = field.pop("description")
            found.append(parameter)
    if method not in SAFE_METHODS and has_key and operation.is_idempotent:
        found.append(IDEMPOTENCY_KEY)
    return found


def _responses(
    rule: Rule, method: str, operation: Operation, references: dict[ModelUse, Any], *, has_key: bool
) -> dict[str, Any]:
    done: dict[str, Any] = {"description": "Done"}
    if operation.answer is not None:
        answer = operation.answer
        schema = answer if isinstance(answer, dict) else references[answer, "serialization"]
        done["content"] = {answer_type: {"schema": schema} for answer_type in operation.answer_types}
    failures = {429, 503, *operation.further_statuses}
    if has_key:
        failures |= {401, 403}
    if operation.body is not None:
        failures |= {400, 413, 415, 422}
    if operation.query is not None or method not in SAFE_METHODS:
        failures |= {422}
    if rule.arguments or operation.query is not None or operation.body is not None:
        failures |= {404}  # each may name a customer, a plan ...
    if method not in SAFE_METHODS:
        failures |= {409}
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        str(operation.status): done,
        **{str(status): {"description": FAILURES[status], "content": content} for status in sorted(failures)},
    }
