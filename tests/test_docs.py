"""Every setting, route and command is documented, and what the documents name is there."""

import re
from pathlib import Path

import pytest

from scripts.reference import DOCS, make_app, merged, pages
from tollkeeper.config import Settings, name_of_setting
from tollkeeper.jobs.timetable import TIMETABLE

ROOT = DOCS.parent
# Read before the settings are (config.py), and by one command (commands/admin.py).
FURTHER_VARIABLES = {"TOLLKEEPER_SECRETS_DIR", "TOLLKEEPER_ADMIN_PASSWORD"}
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#]+)")


def documents() -> list[Path]:
    return sorted([*DOCS.rglob("*.md"), *ROOT.glob("*.md")])


@pytest.mark.parametrize("name", ["configuration.md", "api.md", "cli.md"])
def test_settings_routes_and_commands_are_written_down_as_they_are(name: str) -> None:
    page = (DOCS / name).read_text()
    assert merged(page, pages()[name]) == page, f"docs/{name} is out of date; run `make reference`"


def test_every_setting_says_what_it_is() -> None:
    for name, field in Settings.model_fields.items():
        assert (field.description or "").endswith("."), name


def test_every_route_of_the_api_says_what_it_does() -> None:
    app = make_app()
    for endpoint, view in app.view_functions.items():
        if hasattr(view, "operation"):
            assert (view.__doc__ or "").strip(), endpoint


def test_the_health_routes_are_documented() -> None:
    page = (DOCS / "api.md").read_text()
    assert "GET /healthz" in page
    assert "GET /readyz" in page


def test_documents_name_no_setting_that_is_not_there() -> None:
    known = {name_of_setting(name) for name in Settings.model_fields} | FURTHER_VARIABLES | plugin_variables()
    for path in documents():
        named = set(re.findall(r"(?<![A-Z_])TOLLKEEPER_[A-Z_]+", path.read_text()))
        assert named - known == set(), path.name


def test_links_between_documents_lead_somewhere() -> None:
    for path in documents():
        for target in LINK.findall(path.read_text()):
            assert (path.parent / target).exists(), f"{path.name} links to {target}"


def test_every_job_is_documented_with_its_interval() -> None:
    page = (DOCS / "jobs.md").read_text()
    for job in TIMETABLE:
        assert f"| `{job.name}` | {job.every_seconds:g} s |" in page, job.name


def test_the_rooms_of_the_house_are_those_of_its_plan() -> None:
    page = (DOCS / "architecture.md").read_text()
    told = {room for row in re.findall(r"^\| (`[^|]+) \|", page, re.MULTILINE) for room in re.findall(r"`(\w+)`", row)}
    folder = ROOT / "backend/tollkeeper"
    there = {path.stem for path in folder.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert told == there - {"__init__"}


def plugin_variables() -> set[str]:
    sources = (ROOT / "kong-plugin/tollkeeper_kong").rglob("*.py")
    return {name for path in sources for name in re.findall(r"(?<![A-Z_])TOLLKEEPER_[A-Z_]+", path.read_text())}
