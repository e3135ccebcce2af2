"""docker-compose.yml and the images: valid by the Compose Specification, no root, no default secret."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from tollkeeper.cli import main

ROOT = Path(__file__).parent.parent
COMPOSE = ROOT / "docker-compose.yml"
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE.read_text())["services"]


def test_the_compose_file_keeps_to_the_compose_specification() -> None:
    checked = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(COMPOSE)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("service", SERVICES)
def test_no_service_has_a_secret_in_the_file(service: str) -> None:
    environment = SERVICES[service].get("environment", {})
    given = {name: value for name, value in environment.items() if any(word in name for word in ("PASSWORD", "KEY"))}
    assert all(name.endswith("_FILE") or str(value) == f"${{{name}:-}}" for name, value in given.items()), given


@pytest.mark.parametrize("service", SERVICES)
def test_ports_are_published_on_loopback_only(service: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[service].get("ports", []))


@pytest.mark.parametrize("dockerfile", ["backend/Dockerfile", "kong-plugin/Dockerfile"])
def test_an_image_runs_as_a_user_and_knows_its_health(dockerfile: str) -> None:
    final_stage = (ROOT / dockerfile).read_text().rpartition("\nFROM ")[2]
    assert "\nUSER tollkeeper\n" in final_stage
    assert "\nHEALTHCHECK " in final_stage


def test_the_spool_and_the_database_outlive_their_containers() -> None:
    volumes = yaml.safe_load(COMPOSE.read_text())["volumes"]
    assert {"database", "spool"} <= set(volumes)
    assert "spool:/var/spool/tollkeeper" in SERVICES["plugin-server"]["volumes"]
    assert "database:/var/lib/postgresql/data" in SERVICES["postgres"]["volumes"]


def test_the_commands_of_the_compose_file_are_there_with_their_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOLLKEEPER_ADMIN_PASSWORD", "a password of the tests")
    lines = re.findall(r"tollkeeper ((?:admin|keys) [^\n>)]+)", COMPOSE.read_text())
    assert len(lines) == 2
    for line in lines:
        group_name, name, *arguments = shlex.split(line)
        context = click.Context(main)
        group = main.get_command(context, group_name)
        assert isinstance(group, click.Group)
        command = group.get_command(context, name)
        assert command is not None, line
        command.make_context(name, arguments)


@pytest.mark.parametrize(
    ("dockerfile", "folder"),
    [("backend/Dockerfile", "/run/tollkeeper-key"), ("kong-plugin/Dockerfile", "/var/log/kong-records")],
)
def test_a_volume_belongs_to_the_user_who_writes_to_it(dockerfile: str, folder: str) -> None:
    final_stage = (ROOT / dockerfile).read_text().rpartition("\nFROM ")[2]
    assert re.search(rf"install -d -o tollkeeper [^\n]*{folder}\b", final_stage)
