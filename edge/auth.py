"""API keys: `Authorization: Bearer <key>` on everything but health and the documentation."""

import hashlib
import hmac
from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gpt_server.edge.config import EdgeSettings
from gpt_server.edge.context import exchange_of
from gpt_server.edge.errors import ApiError
from gpt_server.edge.files import Content
from gpt_server.edge.limits import OTHERS, Limits

DOCS_ASSETS = "/docs/assets"
OPEN_PATHS = frozenset(
    {
        "/health",
        "/readyz",
        "/docs",
        "/docs/oauth2-redirect",
        "/openapi.json",
        f"{DOCS_ASSETS}/favicon.png",
        f"{DOCS_ASSETS}/swagger-ui-bundle.js",
        f"{DOCS_ASSETS}/swagger-ui.css",
    }
)
"""Paths that need no key: they say nothing but whether the server is well, and what its API looks like."""
OPEN_PREFIX = "/v1/images/files/"
"""Below it a file's name is its key."""


def keys_of(settings: EdgeSettings) -> Content[dict[str, bytes]]:
    """Returns the API keys as they are at each moment. Raises `ValueError` as `load_keys`, and for limits of no key."""
    file = settings.api_keys_file
    keys = Content([file] if file else [], lambda: load_keys(settings))
    if unknown := settings.key_limits.keys() - keys.now().keys() - {OTHERS}:
        raise ValueError(f"key_limits: no API key is called {', '.join(sorted(unknown))}")
    return keys


def load_keys(settings: EdgeSettings) -> dict[str, bytes]:
    """Returns the API keys: name to SHA-256 of the key. Keys without a name are called `key-1`, `key-2`, ….

    Raises:
        ValueError: the file cannot be read or holds no key, a key is empty, or a name occurs twice.
    """
    lines = [entry for entry in settings.api_keys.get_secret_value().split(",") if entry.strip()]
    if (path := settings.api_keys_file) is not None:
        try:
            lines += [
                line for line in path.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("#")
            ]
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"api_keys_file: cannot read {path}: {error}") from None
    keys: dict[str, bytes] = {}
    for line in filter(None, map(str.strip, lines)):
        name, separator, key = line.partition(":")
        if not separator:
            name, key = f"key-{len(keys) + 1}", line
        if not key.strip() or not name.strip() or name in keys:
            raise ValueError(f"api_keys: entry {len(keys) + 1} needs a name of its own and a key: name:key")
        keys[name.strip()] = _digest(key.strip())
    if settings.has_keys and not keys:
        raise ValueError("api_keys_file: holds no key")
    return keys


class Authentication:
    """ASGI middleware that lets callers with a key through, within the key's limits. Without any keys everyone is."""

    def __init__(self, app: ASGIApp, keys: Content[dict[str, bytes]], limits: Limits) -> None:
        self._app = app
        self._keys = keys
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises `ApiError` INVALID_API_KEY or RATE_LIMIT_EXCEEDED, before a byte of the body is read."""
        if scope["type"] != "http" or _is_open(scope["path"]) or not (keys := self._keys.now()):
            await self._app(scope, receive, send)
            return
        exchange = exchange_of(scope)
        exchange.key_name = _name_of_key(keys, Headers(scope=scope).get("authorization", ""))
        account = self._limits.account(exchange.key_name)
        if account is None or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return

        async def send_with_limits(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *account.headers()]
            await send(message)

        with account.request(exchange):
            await self._app(scope, receive, send_with_limits)


def _name_of_key(keys: Mapping[str, bytes], authorization: str) -> str:
    scheme, _, key = authorization.partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise ApiError("INVALID_API_KEY", "An API key is needed: send the header `Authorization: Bearer <key>`.")
    shown = _digest(key.strip())
    # All are compared, so that the time says nothing about which one came close.
    matches = [name for name, digest in keys.items() if hmac.compare_digest(digest, shown)]
    if not matches:
        raise ApiError("INVALID_API_KEY", "The API key is not known to this server.")
    return matches[0]


def _is_open(path: str) -> bool:
    return path in OPEN_PATHS or path.startswith(OPEN_PREFIX)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
