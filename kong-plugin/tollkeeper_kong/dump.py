"""What Kong's query command prints: kong-pdk's own description of a plugin."""

import json
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tollkeeper_kong.schema import KONG_FIELDS, NAME, PRIORITY

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # kong-pdk asks for the locale in a way that Python gives up
    from kong_pdk import module
    from kong_pdk.server import PluginServer

module.FILEPATH = str(Path(__file__).parent)  # kong-pdk takes sys.path[0], which may be "" or a zip, and stats it


class _Described:
    """The shape in which kong-pdk reads a plugin; the phases are the methods' names."""

    version = version("tollkeeper")
    priority = PRIORITY
    Schema = KONG_FIELDS

    class Plugin:
        """Kong runs these two phases; never `response`, which buffers whole bodies."""

        def access(self) -> None:
            """Decide whether a request may pass."""

        def log(self) -> None:
            """Record what it was."""


def plugin_info() -> dict[str, Any]:
    """Return name, phases, priority, version and schema, as kong-pdk would."""
    server = PluginServer()
    server.plugins[NAME] = module.Module(NAME, module=_Described)
    info: dict[str, Any] = server.get_plugin_info(NAME)
    return info


def dump() -> str:
    """Return the JSON list that Kong reads from the query command."""
    return json.dumps([plugin_info()])
