"""The fixture `bill`: the story that the test's docstring tells."""

import pytest

from tests.scenarios.story import Story
from tollkeeper.storage.session import Database


@pytest.fixture
def bill(request: pytest.FixtureRequest, database: Database) -> Story:
    """What the story of the test's docstring comes to, once per engine."""
    return Story(database, request.function.__doc__ or "")
