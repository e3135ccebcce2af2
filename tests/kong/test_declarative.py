"""A kong.yml is read with the ids that Kong makes; errors name file, line and fix."""

import json
from pathlib import Path

import pytest

from tollkeeper.errors import InvalidInput
from tollkeeper.kong.declarative import parse_kong_yml, read_kong_file

HEAD = '_format_version: "3.0"\n'
RECORDINGS = Path(__file__).parent.parent / "recordings/kong"


def test_ids_are_those_of_a_running_kong() -> None:
    config = parse_kong_yml(
        HEAD
        + """
services:
- name: echo
  url: http://127.0.0.1:18080
  routes:
  - {name: keyed, paths: [/keyed], methods: [GET]}
consumers:
- {username: alice, custom_id: alice-42, tags: [team-a], keyauth_credentials: [{key: alice-key}]}
"""
    )
    recorded = json.loads((RECORDINGS / "kong-serialize-keyauth.json").read_text())
    [service], [route], [consumer] = config.services, config.routes, config.consumers
    assert service.id == recorded["service"]["id"]
    assert (route.id, route.service_id) == (recorded["route"]["id"], service.id)
    assert (route.paths, route.methods) == (("/keyed",), ("GET",))
    assert consumer.id == recorded["consumer"]["id"]
    assert (consumer.username, consumer.custom_id, consumer.tags) == ("alice", "alice-42", ("team-a",))


def test_a_route_on_its_own_names_its_service_in_each_way() -> None:
    config = parse_kong_yml(
        HEAD
        + """
services: [{name: echo, id: 11111111-1111-4111-8111-111111111111}]
routes:
- {name: one, service: echo}
- {name: two, service: {name: echo}}
- {name: three, service: {id: 11111111-1111-4111-8111-111111111111}}
- {name: four}
"""
    )
    assert [route.service_id and route.service_id[:4] for route in config.routes] == ["1111", "1111", "1111", None]


def test_an_entity_that_gets_a_new_id_at_every_load_is_named_with_the_fix() -> None:
    config = parse_kong_yml(HEAD + "consumers:\n- custom_id: x\nroutes:\n- paths: [/]\n", name="my.yml")
    assert (config.consumers, config.routes) == ((), ())
    lost = "so Kong gives it a new id at every load; give it a"
    assert config.warnings == (
        f"my.yml:5: one of routes has neither id nor name, {lost} name",
        f"my.yml:3: one of consumers has neither id nor username, {lost} username",
    )


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("services: [\n a: b\n", r"kong.yml:\d+: is no YAML: "),
        ("a: b: c\n", r"kong.yml:1: is no YAML: mapping values are not allowed here"),
        ("", r'kong.yml:1: is no Kong configuration; it begins with `_format_version: "3.0"`'),
        ("- a\n", r"kong.yml:1: is no Kong configuration"),
        ("services: []\n", r"kong.yml:1: has no _format_version; add"),
        (HEAD + "services: {a: b}\n", r"kong.yml:2: services must be a list"),
        (HEAD + "services:\n- echo\n", r"kong.yml:3: an entry of services must hold fields"),
        (HEAD + "consumers:\n- username: [a]\n", r"kong.yml:3: username must be a text"),
        (HEAD + 'consumers:\n- username: "a\\0"\n', r"kong.yml:3: username must be a text, without a NUL"),
        (HEAD + 'routes:\n- name: a\n  paths: ["\\0"]\n', r"kong.yml:4: paths must be a list of texts, without a NUL"),
        (HEAD + "routes:\n- name: a\n  paths: /a\n", r"kong.yml:4: paths must be a list of texts"),
        (HEAD + "routes:\n- name: a\n  service: gone\n", r"kong.yml:4: names the service 'gone', which is not in"),
        ("a: &a [*a, *a]\n_format_version: '3.0'\nroutes: [[" + "[" * 5000, r"kong.yml"),
        ("a: \x00", r"kong.yml: is no YAML"),
    ],
)
def test_a_wrong_file_is_refused_with_line_and_fix(text: str, error: str) -> None:
    with pytest.raises(InvalidInput, match=error):
        parse_kong_yml(text)


def test_a_bomb_of_aliases_is_read_in_no_time() -> None:
    levels = "\n".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 30))
    assert parse_kong_yml(f"{HEAD}l0: &l0 [x]\n{levels}\n").consumers == ()


def test_a_file_that_is_not_there_or_no_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be read: No such file or directory; name a kong"):
        read_kong_file(tmp_path / "gone.yml")
    (tmp_path / "kong.yml").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidInput, match="is no UTF-8 text"):
        read_kong_file(tmp_path / "kong.yml")
