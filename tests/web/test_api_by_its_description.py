"""The API under fire from its own description: never a 500, and every answer is one that it describes."""

from pathlib import Path
from typing import Any

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from scripts.reference import make_app
from tests.web import seeded
from tollkeeper.access.keys import create_api_key
from tollkeeper.app import create_app, create_schema
from tollkeeper.clock import FixedClock
from tollkeeper.config import Settings
from tollkeeper.storage.engine import open_engine
from tollkeeper.storage.session import Database
from tollkeeper.web.api.openapi import build_description

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
bounded = settings(
    max_examples=8,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def description(app: Flask) -> dict[str, Any]:
    with app.app_context():
        return build_description(app)


OPERATIONS = [(method, path) for path, methods in description(make_app())["paths"].items() for method in methods]


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A real application on seeded books, and a key that may do anything."""
    folder: Path = tmp_path_factory.mktemp("described")
    database = Database(open_engine(f"sqlite:///{folder / 'books.db'}"))
    create_schema(database)
    seeded.fill(database)
    with database.transaction() as session:
        token = create_api_key(session, "fuzzer", ["admin"], now=seeded.NOW).token
    app = create_app(Settings(data_dir=folder), database=database, clock=FixedClock(seeded.NOW))
    schema = schemathesis.openapi.from_dict(description(app))
    schema.app = app
    return schema, {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["valid", "wrong"])
@pytest.mark.parametrize(("method", "path"), OPERATIONS, ids=[" ".join(one) for one in OPERATIONS])
def test_no_answer_is_a_500_or_another_than_described(
    described: Any, method: str, path: str, mode: GenerationMode
) -> None:
    schema, key = described

    @bounded
    @given(case=schema[path][method].as_strategy(generation_mode=mode))
    def fire(case: schemathesis.Case) -> None:
        case.query = {name: value for name, value in (case.query or {}).items() if name != "wait"}
        case.call_and_validate(checks=CHECKS, headers=key)

    fire()
