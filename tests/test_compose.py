"""docker-compose.yml and the images: valid by the Compose Specification, no root, no default secret."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

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


@pytest.mark.parametrize("dockerfile", ["backend/Dockerfile", "kong-plugin/Dockerfile", "tests/gateway/Dockerfile"])
def test_an_image_runs_as_a_user_and_knows_its_health(dockerfile: str) -> None:
    final_stage = (ROOT / dockerfile).read_text().rpartition("\nFROM ")[2]
    user = re.search(r"\nUSER ([a-z-]+)\n", final_stage)
    assert user
    assert re.search(rf"\bRUN .*\buseradd [^\n]*\b{user[1]}\b", final_stage, re.DOTALL)
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


def test_kong_may_open_the_socket_and_write_its_records_under_any_user_id() -> None:
    """The user kong has the id 1001 in kong:3.9 (Ubuntu 24.04 gives 1000 to another), 1000 in earlier images."""
    stage = (ROOT / "kong-plugin/Dockerfile").read_text().rpartition("\nFROM ")[2]
    assert "groupadd --gid 8750 tollkeeper" in stage
    assert re.search(r"useradd [^\n]*--gid 8750 [^\n]*tollkeeper", stage)
    assert "TOLLKEEPER_SOCKET_MODE=0660" in stage
    assert re.search(r"install -d -o tollkeeper -g tollkeeper -m 2750 /run/tollkeeper\b", stage)
    assert re.search(r"install -d -o tollkeeper -g tollkeeper -m 2770 /var/log/kong-records\b", stage)
    assert SERVICES["kong"]["group_add"] == ["8750"]


def test_every_upstream_of_kong_yml_answers_in_the_compose_network() -> None:
    upstreams = {
        urlsplit(service["url"]).netloc for service in yaml.safe_load((ROOT / "kong.yml").read_text())["services"]
    }
    network = SERVICES["kong-air"]["networks"]["inside"]
    assert upstreams == {f"{name}:8080" for name in network["aliases"]}
    assert "inside" in SERVICES["kong"]["networks"]
    assert '"--listen", "0.0.0.0:8080"' in (ROOT / "tests/gateway/Dockerfile").read_text()


@pytest.mark.parametrize("service", [name for name, service in SERVICES.items() if "build" in service])
def test_a_built_image_may_copy_what_it_names(service: str) -> None:
    """A file that .dockerignore leaves out of the context cannot be copied."""
    dockerfile = SERVICES[service]["build"]["dockerfile"]
    lines = re.findall(r"^COPY (?!--from)(.+)$", (ROOT / dockerfile).read_text(), re.MULTILINE)
    copied = [source for line in lines for source in line.split()[:-1]]
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert copied
    for source in copied:
        assert (ROOT / source).exists()
        assert source.partition("/")[0] not in ignored
        if source.startswith("tests/"):
            assert f"!{source}" in ignored
