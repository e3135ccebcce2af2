"""Read a JSON or YAML file that a person wrote, without guessing at what it means."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import yaml

from tollkeeper.errors import InvalidInput

MOST_BYTES = 1 << 20
STANDARD_INPUT = "-"


class PlainLoader(yaml.SafeLoader):
    """YAML without its traps: 010 is no octal number, 1:30 no 90, 2026-01-01 a text, a key stands once."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - PyYAML's own
        """Build a mapping; refuse a key that stands twice, of which one would be lost."""
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if str(key) in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key!r} is there twice", key_node.start_mark)
            seen.add(str(key))
        return super().construct_mapping(node, deep=deep)


PlainLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag.rpartition(":")[2] in {"bool", "null", "merge"}]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
PlainLoader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^-?(0|[1-9][0-9]*)$"), list("-0123456789"))
PlainLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^-?[0-9]+\.[0-9]*([eE][-+]?[0-9]+)?$"), list("-0123456789")
)


def read_file(name: str) -> Any:
    """Return the document of a file, or of standard input for "-"; raises InvalidInput with the place."""
    text = _text_of(name)
    name = "standard input" if name == STANDARD_INPUT else name
    try:
        return json.loads(text, object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        if text.lstrip().startswith(("{", "[")) or name.endswith(".json"):
            raise InvalidInput(f"{name}: line {error.lineno}, column {error.colno}: {error.msg}") from None
    except ValueError as error:
        raise InvalidInput(f"{name}: {error}") from None
    try:
        return yaml.load(text, PlainLoader)  # noqa: S506 - a subclass of SafeLoader
    except yaml.YAMLError as error:
        raise InvalidInput(f"{name}: {_place(error)}") from None


def _text_of(name: str) -> str:
    try:
        raw = sys.stdin.buffer.read(MOST_BYTES + 1) if name == STANDARD_INPUT else Path(name).read_bytes()
        if len(raw) > MOST_BYTES:
            raise InvalidInput(f"{name} has more than {MOST_BYTES} bytes")
        return raw.decode()
    except OSError as error:
        raise InvalidInput(f"{name} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InvalidInput(f"{name} is no text in UTF-8") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} is there twice")
    return found


def _place(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    return f"line {mark.line + 1}, column {mark.column + 1}: {problem}" if mark else problem
