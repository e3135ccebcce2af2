"""What a test process compiles once: SQL statements, templates of pages, rules of URLs.

Each test opens an engine on a database of its own and many make an application of their own, and SQLAlchemy, Jinja and
Werkzeug keep what they compile in those. Without this about a third of the suite's time went into compiling the
same things anew. What is shared depends on nothing that differs between two tests.
"""

from collections.abc import Callable
from typing import Any

import sqlalchemy
from flask import Flask
from jinja2 import BytecodeCache
from jinja2.bccache import Bucket
from sqlalchemy import Engine
from sqlalchemy.engine import URL
from werkzeug.routing import Rule

import tollkeeper.storage.engine

STATEMENTS_KEPT = 10_000

_first_engines: dict[str, Engine] = {}
_builders: dict[Any, Callable[..., tuple[str, str]]] = {}
_compile_builder = Rule._compile_builder


def share_what_is_compiled() -> None:
    """Share it among all engines and applications of this process from now on."""
    tollkeeper.storage.engine.create_engine = _create_engine
    Flask.jinja_options = {**Flask.jinja_options, "bytecode_cache": _Bytecode()}
    Rule._compile_builder = _builder_of


def _create_engine(url: URL, **options: Any) -> Engine:
    """Give each engine the dialect and the statements of the first of its kind.

    The databases of one kind are clones of one template, so what a dialect has learned of one holds for all.
    """
    engine = sqlalchemy.create_engine(url, **options)
    first = _first_engines.get(engine.dialect.name)
    if first is None or first.dialect.server_version_info is None:  # what never connected has learned nothing
        engine._compiled_cache.capacity = STATEMENTS_KEPT
        _first_engines[engine.dialect.name] = engine
        return engine
    engine.dialect = engine.pool._dialect = first.dialect
    engine._compiled_cache = first._compiled_cache
    return engine


def _builder_of(rule: Rule, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
    """Return the function that writes a rule's URLs; it gets the rule at each call, so equal rules may share it."""
    key = (rule.rule, tuple(rule._trace), repr(rule.defaults), append_unknown)
    if key not in _builders:
        _builders[key] = _compile_builder(rule, append_unknown)
    return _builders[key]


class _Bytecode(BytecodeCache):
    """Templates' bytecode in memory, by the name and the source of each."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        kept = self.kept.get((bucket.key, bucket.checksum))
        if kept is not None:
            bucket.bytecode_from_string(kept)

    def dump_bytecode(self, bucket: Bucket) -> None:
        self.kept[bucket.key, bucket.checksum] = bucket.bytecode_to_string()
