"""Kong's `post-function` plugin: real Lua (LuaJIT, by lupa) in what Kong's sandbox allows.

The code sees `kong`, `ngx` and the sandbox's own libraries, nothing else: no `require`, no `os.execute`, no
`table.concat`, no metatables. As in Kong, a chunk that returns a function is run once to set up, then the function is
called for each chunk of the body.
"""

from typing import Any

from lupa.luajit21 import LuaError, LuaRuntime

from tests.gateway.configuration import ConfigurationError, Plugin
from tests.gateway.exchange import Exchange, header_table

PHASES = ("access", "header_filter", "body_filter", "log")

_SANDBOX = """
local given_kong, given_ngx = ...
local function copy(library, names)
  local found = {}
  for name in names:gmatch("%S+") do found[name] = library[name] end
  return found
end
local function environment()
  local env = copy(_G, "_VERSION assert error ipairs next pairs pcall select tonumber tostring type unpack xpcall")
  env.coroutine = copy(coroutine, "create resume running status wrap yield")
  env.math = copy(math, "abs acos asin atan atan2 ceil cos cosh deg exp fmod floor frexp huge ldexp log log10 " ..
    "max min modf pi pow rad random sin sinh sqrt tan tanh")
  env.os = copy(os, "clock difftime time")
  env.string = copy(string, "byte char find format gmatch gsub len lower match reverse sub upper")
  env.table = copy(table, "insert maxn remove sort")
  env.kong, env.ngx, env._G = given_kong, given_ngx, env
  return env
end
return function(code, name)
  local chunk, message = loadstring(code, name)
  if not chunk then error(message, 0) end
  return setfenv(chunk, environment())
end
"""


class LuaFunctions:
    """The functions of one post-function plugin, by phase."""

    def __init__(self, plugin: Plugin) -> None:
        self._runtime = LuaRuntime(encoding=None, unpack_returned_tuples=True)
        self._exchange: Exchange | None = None
        self._plugin_id = plugin.id
        self._arg = self._runtime.table()
        self._ngx = self._table(arg=self._arg)
        kong = self._kong()
        self._kong_ctx = kong[b"ctx"]
        load = self._runtime.execute(_SANDBOX.encode(), kong, self._ngx)
        self._functions = {phase: self._compiled(load, plugin, phase) for phase in PHASES}

    def run(self, phase: str, exchange: Exchange, chunk: bytes = b"", *, last: bool = False) -> bytes:
        """Run a phase; in body_filter with a chunk of the body, which comes back as the code left it."""
        if not self._functions[phase]:
            return chunk
        self._enter(exchange)
        self._arg[1], self._arg[2] = chunk, last
        for index, function in enumerate(self._functions[phase]):
            made = function()
            if callable(made):  # the code set itself up and returned what is to be called from now on
                self._functions[phase][index] = made
                made()
        left = self._arg[1]
        return left if isinstance(left, bytes) else b""

    def publish(self, exchange: Exchange) -> None:
        """Hand what the code published to the log; it may have changed its table since."""
        for key, value in exchange.lua.pop(f"published {self._plugin_id}", []):
            exchange.serialize_values.append((key, plain(value)))

    def _enter(self, exchange: Exchange) -> None:
        self._exchange = exchange
        key = f"ctx {self._plugin_id}"
        if key not in exchange.lua:
            exchange.lua[key] = (self._runtime.table(), self._runtime.table())
        self._ngx[b"ctx"], self._kong_ctx[b"plugin"] = exchange.lua[key]

    def _compiled(self, load: Any, plugin: Plugin, phase: str) -> list[Any]:
        codes = plugin.config.get(phase) or []
        try:
            return [load(code.encode(), f"={plugin.place}.config.{phase}".encode()) for code in codes]
        except LuaError as error:
            raise ConfigurationError(f"{plugin.place}.config.{phase}: {error}") from None

    def _kong(self) -> Any:
        table = self._runtime.table
        return self._table(
            log=self._table(set_serialize_value=self._set_serialize_value, err=self._error),
            ctx=self._table(plugin=table(), shared=table()),
            request=self._table(get_header=self._request_header),
            response=self._table(get_header=self._answer_header, get_status=lambda: self._now.status),
            service=self._table(request=self._table(set_header=self._set_request_header)),
        )

    def _table(self, **entries: object) -> Any:
        found = self._runtime.table()
        for name, value in entries.items():
            found[name.encode()] = value
        return found

    @property
    def _now(self) -> Exchange:
        assert self._exchange is not None
        return self._exchange

    def _set_serialize_value(self, key: bytes, value: object = None, *_: object) -> None:
        published = self._now.lua.setdefault(f"published {self._plugin_id}", [])
        published.append((key.decode(), value))

    def _error(self, *parts: object) -> None:
        text = "".join(part.decode("utf-8", "replace") if isinstance(part, bytes) else str(part) for part in parts)
        self._now.lua.setdefault("errors", []).append(text)

    def _request_header(self, name: bytes) -> bytes | None:
        return _encoded(self._now.header(name.decode()))

    def _answer_header(self, name: bytes) -> bytes | None:
        value = header_table(self._now.answer_headers).get(name.decode().lower())
        return _encoded(value[0] if isinstance(value, list) else value)

    def _set_request_header(self, name: bytes, value: bytes) -> None:
        self._now.set_request_header(name.decode(), value.decode())


def plain(value: Any) -> Any:
    """Turn a Lua value into what JSON can hold; a table's integer keys make a list, as cjson does."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if not hasattr(value, "items"):
        return value
    pairs = [(plain(key), plain(inner)) for key, inner in value.items()]
    if pairs and [key for key, _ in pairs] == list(range(1, len(pairs) + 1)):
        return [inner for _, inner in pairs]
    return {str(key): inner for key, inner in pairs}


def _encoded(text: str | None) -> bytes | None:
    return None if text is None else text.encode("utf-8", "surrogateescape")
