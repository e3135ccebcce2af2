"""What the query command prints: Kong reads it, and its rules for schemas hold."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import lupa
import msgspec
import pytest

from tests.plugin.rpc_client import ROOT
from tollkeeper_kong.dump import dump
from tollkeeper_kong.schema import KONG_FIELDS, Policy, read_policy, read_scope

# kong/db/schema/metaschema.lua of Kong 3.4 and later: which attributes a field may have, and on which types
ATTRIBUTES = {
    "type": None, "required": None, "default": None, "description": None,
    "one_of": {"string", "number", "integer"}, "gt": {"number", "integer"}, "match_any": {"string"},
}  # fmt: skip


def fields() -> Iterator[tuple[str, dict[str, Any]]]:
    for entry in KONG_FIELDS:
        (name,) = entry
        yield name, entry[name]


def test_the_command_prints_the_json_list_that_kong_reads() -> None:
    command = [sys.executable, "-m", "tollkeeper_kong", "--dump"]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, timeout=60)
    (info,) = json.loads(printed.stdout)
    assert list(info) == ["Name", "Phases", "Priority", "Version", "Schema"]
    assert (info["Name"], info["Priority"]) == ("tollkeeper", 907)
    assert sorted(info["Phases"]) == ["access", "log"], "never response: it buffers whole bodies"
    assert re.fullmatch(r"\d+\.\d+\.\d+", info["Version"])
    assert info["Schema"] == {"name": "tollkeeper", "fields": [{"config": {"type": "record", "fields": KONG_FIELDS}}]}
    assert printed.stderr == b""


def test_the_dump_has_the_shape_of_kong_pdk_s_own() -> None:
    """kong-pdk writes it: start_dedicated_server prints json.dumps([PluginServer.get_plugin_info(name)])."""
    assert json.loads(dump())[0]["Schema"]["fields"][0]["config"]["type"] == "record"


@pytest.mark.parametrize("command", ["serve", "ship", "follow", "doctor"])
def test_every_command_explains_itself(command: str) -> None:
    arguments = [sys.executable, "-m", "tollkeeper_kong", command, "--help"]
    printed = subprocess.run(arguments, cwd=ROOT, capture_output=True, check=True, timeout=60)
    assert b"Usage:" in printed.stdout


def test_kong_pdk_s_own_flags_are_taken() -> None:
    code = "import kong_pdk.cli as c, sys; sys.argv[1:] = ['--help']; c.parse(dedicated=True)"
    theirs = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, check=True, timeout=60)
    ours = subprocess.run(
        [sys.executable, "-m", "tollkeeper_kong", "--help"], cwd=ROOT, capture_output=True, check=True, timeout=60
    )
    wanted = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", theirs.stdout.decode().partition("options:")[2]))
    assert len(wanted) >= 14
    assert wanted <= set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", ours.stdout.decode()))


@pytest.mark.parametrize(("name", "field"), list(fields()), ids=[name for name, _ in fields()])
def test_a_field_obeys_kong_s_metaschema_and_has_a_sentence(name: str, field: dict[str, Any]) -> None:
    for attribute in field:
        types = ATTRIBUTES[attribute]
        assert types is None or field["type"] in types
    assert 10 <= len(field["description"]) <= 500
    assert field["description"].endswith(".")
    assert ("default" in field) == field.get("required", False), "required with a default, or optional without"
    if "one_of" in field:
        assert field["default"] in field["one_of"]


def test_the_defaults_of_kong_and_of_the_plugin_are_the_same() -> None:
    of_kong = {name: field.get("default") for name, field in fields()}
    assert of_kong == msgspec.structs.asdict(Policy())


def test_every_choice_that_kong_allows_is_taken_and_no_other() -> None:
    for name, field in fields():
        for choice in field.get("one_of", []):
            policy, wrong = read_policy({name: choice})
            assert (getattr(policy, name), wrong) == (choice, [])
        if "one_of" in field:
            assert read_policy({name: "another"})[1] == [name]


@pytest.mark.parametrize(
    ("subject_from", "allowed"),
    [
        ("consumer", True), ("credential", True), ("header:X-Team_1", True), ("jwt_claim:sub", True),
        ("jwt_claim:https://example.com/org-id", True), ("header:", False), ("header:a b", False),
        ("header:a\r\nb", False), ("consumers", False), ("", False), ("jwt_claim:", False),
    ],
)  # fmt: skip
def test_kong_s_lua_patterns_allow_exactly_the_documented_subjects(subject_from: str, allowed: bool) -> None:
    match = lupa.LuaRuntime().eval("string.match")
    patterns = dict(fields())["subject_from"]["match_any"]["patterns"]
    assert any(match(subject_from, pattern) for pattern in patterns) == allowed


def test_what_kong_adds_to_a_configuration_is_read() -> None:
    scope = read_scope({"route_id": "r", "service_id": None, "consumer_id": "", "__plugin_id": "p"})
    assert (scope.route_id, scope.service_id, scope.consumer_id) == ("r", None, None)
