"""What the tests' gateway reads of a kong.yml, and that it refuses, by place, what it would ignore."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.gateway.configuration import ConfigurationError, configuration_of, read_configuration
from tests.gateway.exchange import Exchange
from tests.gateway.plugins import ExternalPlugin, PluginSet
from tests.gateway.routing import Match, Router

ROOT = Path(__file__).parent.parent.parent
SERVICE: dict[str, Any] = {"name": "s", "host": "h", "routes": [{"name": "r", "paths": ["/r"]}]}
MINIMAL = {"_format_version": "3.0", "services": [SERVICE], "consumers": [{"username": "alice"}]}


def plugins_of(**more: Any) -> PluginSet:
    fields = ({"enforce": {"type": "string", "default": "on", "one_of": ["on", "off"]}},)
    return PluginSet(
        configuration_of(MINIMAL | more), {"tollkeeper": ExternalPlugin("tollkeeper", "s", 907, fields=fields)}
    )


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ([], "the file"),
        ({}, "_format_version"),
        ({"_format_version": "2.1"}, "_format_version"),
        (MINIMAL | {"upstreams": []}, "upstreams: is not simulated"),
        (MINIMAL | {"services": {"s": 1}}, "services: must be a list"),
        (MINIMAL | {"services": [7]}, "services[0]: must be a mapping"),
        (MINIMAL | {"services": [{"name": "s"}]}, "services[0].host: is missing"),
        (MINIMAL | {"services": [{"host": "h"}]}, "services[0].name: must be a text"),
        (MINIMAL | {"services": [{"name": "s", "url": "ftp://x"}]}, "services[0].url: must be like"),
        (MINIMAL | {"services": [{"name": "s", "host": "h", "ca_certificates": []}]}, "services[0].ca_certificates"),
        (MINIMAL | {"services": [SERVICE | {"routes": [{"name": "r"}]}]}, "services[0].routes[0]: needs at least one"),
        (MINIMAL | {"services": [SERVICE | {"routes": [{"name": "r", "snis": ["x"]}]}]}, "services[0].routes[0].snis"),
        (MINIMAL | {"consumers": [{"tags": []}]}, "consumers[0]: needs a username or a custom_id"),
        (MINIMAL | {"plugins": [{"name": "key-auth", "route": "nope"}]}, "plugins[0].route: there is no route 'nope'"),
        (MINIMAL | {"plugins": [{"name": "key-auth", "wrong": 1}]}, "plugins[0].wrong"),
        (
            MINIMAL | {"consumers": [{"username": n, "keyauth_credentials": [{"key": "k"}]} for n in "ab"]},
            "consumers[1].keyauth_credentials[0].key: is used twice",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_or_not_simulated_is_named_by_its_place(document: object, place: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(place)):
        configuration_of(document)


def test_a_file_that_is_no_yaml_is_named(tmp_path: Path) -> None:
    (tmp_path / "kong.yml").write_text("services: [")
    with pytest.raises(ConfigurationError, match=r"kong\.yml: is no YAML"):
        read_configuration(tmp_path / "kong.yml")


def test_an_unknown_plugin_is_named_by_its_place() -> None:
    route = {"name": "r", "paths": ["/r"], "plugins": [{"name": "ai-proxy"}]}
    with pytest.raises(
        ConfigurationError, match=r"services\[0\].routes\[0\].plugins\[0\].name: .*no plugin 'ai-proxy'"
    ):
        plugins_of(services=[SERVICE | {"routes": [route]}])


@pytest.mark.parametrize(
    ("config", "place"),
    [
        ({"enforced": "on"}, "plugins[0].config.enforced: unknown field"),
        ({"enforce": "yes"}, "plugins[0].config.enforce"),
    ],
)
def test_a_plugin_s_config_is_checked_against_its_schema(config: dict[str, str], place: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(place)):
        plugins_of(plugins=[{"name": "tollkeeper", "config": config}])


def test_a_plugin_gets_the_defaults_of_its_schema_and_its_scope() -> None:
    plugins = plugins_of(plugins=[{"name": "tollkeeper", "consumer": "alice"}])
    (config,) = plugins.configs.values()
    consumer_id = "b32379d9-3d28-5683-a79c-72139be6e34f"
    assert config["enforce"] == "on"
    assert config["consumer_id"] == consumer_id
    assert config["__key__"] == f"plugins:tollkeeper:::{consumer_id}::0dc6f45b-8f8d-40d2-a504-473544ee190b"
    assert "route_id" not in config


def test_lua_that_does_not_compile_is_named_by_its_place() -> None:
    with pytest.raises(ConfigurationError, match=r"plugins\[0\].config.body_filter: "):
        plugins_of(plugins=[{"name": "post-function", "config": {"body_filter": ["return function("]}}])


@pytest.mark.parametrize(
    ("scopes", "chosen"),
    [
        ([{}, {"service": "s"}], 1),
        ([{"route": "r"}, {}, {"service": "s"}], 0),
        ([{"route": "r"}, {"consumer": "alice"}], 1),
        ([{"consumer": "alice"}, {"route": "r", "consumer": "alice"}, {"route": "r", "service": "s"}], 1),
        ([{}], 0),
    ],
)
def test_the_most_specific_configuration_of_a_plugin_runs(scopes: list[dict[str, str]], chosen: int) -> None:
    plugins = plugins_of(plugins=[{"name": "tollkeeper", **scope} for scope in scopes])
    configuration = plugins.configuration
    exchange = Exchange("id", "GET", "/r", [], b"", 0, "127.0.0.1", 1, 8000)
    exchange.match = Match(next(iter(configuration.routes.values())), next(iter(configuration.services.values())), "/")
    exchange.consumer = next(iter(configuration.consumers.values()))
    assert [plugin.place for plugin in plugins.for_request(exchange)] == [f"plugins[{chosen}]"]


def test_plugins_run_by_priority_and_disabled_ones_not_at_all() -> None:
    names = ["file-log", "post-function", "tollkeeper", "request-termination", "key-auth"]
    disabled = {"name": "file-log", "enabled": False, "route": "r"}
    plugins = plugins_of(plugins=[*({"name": name} for name in names), disabled])
    exchange = Exchange("id", "GET", "/r", [], b"", 0, "127.0.0.1", 1, 8000)
    assert [plugin.name for plugin in plugins.for_request(exchange)] == [
        "key-auth", "tollkeeper", "file-log", "request-termination", "post-function",
    ]  # fmt: skip


ROUTED = {
    "_format_version": "3.0",
    "services": [
        {"name": "api", "url": "http://api:8080/base", "routes": [
            {"name": "short", "paths": ["/a"]},
            {"name": "long", "paths": ["/a/long"], "strip_path": False},
            {"name": "posts", "paths": ["/a"], "methods": ["POST"]},
            {"name": "hosted", "hosts": ["*.example.com"], "paths": ["/h"]},
            {"name": "pattern", "paths": ["~/users/[0-9]+$"]},
        ]},
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("method", "host", "path", "route", "upstream"),
    [
        ("GET", "x", "/a", "short", "/base"),
        ("GET", "x", "/a/", "short", "/base/"),
        ("GET", "x", "/a/b", "short", "/base/b"),
        ("GET", "x", "/a/long/b", "long", "/base/a/long/b"),
        ("POST", "x", "/a/b", "posts", "/base/b"),
        ("GET", "www.example.com:8000", "/h/1", "hosted", "/base/1"),
        ("GET", "example.org", "/h/1", None, ""),
        ("GET", "x", "/users/42", "pattern", "/base"),
        ("GET", "x", "/users/x", None, ""),
        ("GET", "x", "/", None, ""),
    ],
)
def test_routes_are_matched_as_kong_does(method: str, host: str, path: str, route: str | None, upstream: str) -> None:
    match = Router(configuration_of(ROUTED)).find_match(method, host, path)
    assert (match.route["name"] if match else None) == route
    assert (match.upstream_path if match else "") == upstream


def test_kong_yml_is_read_with_its_eight_consumers() -> None:
    configuration = read_configuration(ROOT / "kong.yml")
    assert sorted(consumer["username"] for consumer in configuration.consumers.values()) == [
        "hobby-pilot", "nimbus-agent", "nimbus-app", "skyline-cargo-api", "skyline-cargo-batch", "skyline-holidays-web",
        "skyline-mobile", "skyline-web",
    ]  # fmt: skip
    assert all(key.startswith("demo-") for key in configuration.credentials)
    assert {service["name"] for service in configuration.services.values()} == {
        "flights", "bookings", "destinations", "customer-service",
    }  # fmt: skip


def test_kong_yml_fits_the_schema_that_the_plugin_tells_kong() -> None:
    """As Kong does at its start: every field known, every value allowed, the defaults filled in."""
    printed = subprocess.run(
        [sys.executable, "-m", "tollkeeper_kong", "--dump"], capture_output=True, check=True, timeout=60
    ).stdout
    offered = json.loads(printed)[0]
    fields = next(field["config"]["fields"] for field in offered["Schema"]["fields"] if "config" in field)
    external = ExternalPlugin("tollkeeper", "s", offered["Priority"], frozenset(offered["Phases"]), tuple(fields))
    plugins = PluginSet(read_configuration(ROOT / "kong.yml"), {"tollkeeper": external})
    (config,) = plugins.configs.values()
    assert config["enforce"] == "on"
    assert {name for field in fields for name, options in field.items() if "default" in options} <= set(config)


def test_the_filter_in_kong_yml_is_the_file_word_for_word() -> None:
    document = yaml.safe_load((ROOT / "kong.yml").read_text())
    chat = next(service for service in document["services"] if service["name"] == "customer-service")["routes"][0]
    (code,) = chat["plugins"][0]["config"]["body_filter"]
    assert code == (ROOT / "kong-plugin/lua/llm_usage.lua").read_text()
