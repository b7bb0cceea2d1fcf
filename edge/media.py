"""Pictures, sounds and documents of requests, as bytes: the only place that opens a URL which a caller wrote.

The guard stands where the socket is made: whatever a name resolved to, and wherever a redirect led, the address about
to be connected to is the one that is checked.
"""

import asyncio
import base64
import binascii
import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

import aiohttp
from yarl import URL

from gpt_server.common.v1.media_pb2 import Media
from gpt_server.edge.config import MediaSettings
from gpt_server.edge.errors import ApiError

NAT64 = IPv6Network("64:ff9b::/96")
REDIRECTS = (301, 302, 303, 307, 308)
UNSPECIFIC_TYPES = ("application/octet-stream", "binary/octet-stream", "")


class _AddressRefusedError(OSError):
    """An address that callers may not make us connect to."""


class MediaLoader:
    """Loads what requests refer to. One per edge; `close` it at the end."""

    def __init__(self, settings: MediaSettings) -> None:
        self._settings = settings
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Closes all connections."""
        if self._session is not None:
            await self._session.close()

    async def load(self, url: str, kind: str, param: str) -> Media:
        """Returns what a `data:` or `http(s):` URL holds.

        Args:
            url: as the caller wrote it.
            kind: what is wanted, the first half of its media type: `image`; empty for anything.
            param: the request's field, for errors.

        Raises:
            ApiError: INVALID_MEDIA, naming `param`: malformed, too large, of another kind, not to be fetched.
        """
        if url[:5].lower() == "data:":
            return self._inline(url, kind, param)
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                return await self._fetch(url, kind, param)
        except TimeoutError:
            raise _invalid(param, f"The URL did not answer within {self._settings.timeout_s:g} s.") from None
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, _AddressRefusedError):
                raise _invalid(param, "The URL leads to an address that this server does not fetch from.") from None
            raise _invalid(param, "The URL cannot be reached.") from None
        except (aiohttp.ClientError, ValueError, OSError):
            raise _invalid(param, "The URL cannot be fetched.") from None

    def decode(self, text: str, media_type: str, param: str) -> Media:
        """Returns what a field of base64 text holds. Raises as `load` does."""
        if len(text) * 3 // 4 > self._settings.max_bytes + 2:
            raise self._too_large(param)
        try:
            content = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            raise _invalid(param, "This is not valid base64.") from None
        return self.checked(content, media_type, param)

    def _inline(self, url: str, kind: str, param: str) -> Media:
        head, comma, text = url[5:].partition(",")
        media_type, *options = (part.strip().lower() for part in head.split(";"))
        if not comma or "base64" not in options:
            raise _invalid(param, "A data URL must look like data:image/png;base64,….")
        _check_kind(media_type, kind, param)
        return self.decode(text, media_type, param)

    async def _fetch(self, url: str, kind: str, param: str) -> Media:
        target = URL(url)
        for _ in range(self._settings.max_redirects + 1):
            if target.scheme not in ("http", "https") or not target.host or target.user or target.password:
                raise _invalid(param, "The URL must start with data:, http:// or https:// and carry no password.")
            async with self._client().get(target, allow_redirects=False) as response:
                if response.status in REDIRECTS and (location := response.headers.get("location")):
                    target = target.join(URL(location))
                    continue
                if response.status != 200:
                    raise _invalid(param, f"The URL answers with HTTP status {response.status}.")
                media_type = response.content_type if "content-type" in response.headers else ""
                _check_kind(media_type, kind, param)
                content = await self._read(response, param)
                return self.checked(content, "" if media_type in UNSPECIFIC_TYPES else media_type, param)
        raise _invalid(param, f"The URL redirects more than {self._settings.max_redirects} times.")

    async def _read(self, response: aiohttp.ClientResponse, param: str) -> bytes:
        content = bytearray()
        async for piece in response.content.iter_any():
            content += piece
            if len(content) > self._settings.max_bytes:
                raise self._too_large(param)
        return bytes(content)

    def checked(self, content: bytes, media_type: str, param: str) -> Media:
        """Returns a file that came with the request. Raises `ApiError` INVALID_MEDIA: empty, or too large."""
        self.check_size(len(content), param)
        return Media(content=content, media_type=media_type)

    def check_size(self, size_bytes: int, param: str) -> None:
        """Raises `ApiError` INVALID_MEDIA for a file of the request that is empty, or too large."""
        if not size_bytes:
            raise _invalid(param, "There is nothing in it.")
        if size_bytes > self._settings.max_bytes:
            raise self._too_large(param)

    def _too_large(self, param: str) -> ApiError:
        return _invalid(param, f"It is larger than {self._settings.max_bytes} bytes, the most that is allowed.")

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                socket_factory=self._make_socket, use_dns_cache=False, force_close=True, limit=64
            )
            # No cookies, no proxies and no credentials of ours.
            self._session = aiohttp.ClientSession(
                connector=connector, cookie_jar=aiohttp.DummyCookieJar(), headers={"user-agent": "gpt-server"}
            )
        return self._session

    def _make_socket(self, address: tuple[int, int, int, str, tuple[object, ...]]) -> socket.socket:
        family, kind, protocol, _, where = address
        if not (self._settings.allow_private_addresses or is_public(str(where[0]))):
            raise _AddressRefusedError("not a public address")
        return socket.socket(family, kind, protocol)


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the public internet, and so does any IPv4 address that it carries inside."""
    ip = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address) and (inner := _inner(ip)) is not None:
        return is_public(str(inner))
    return ip.is_global and not ip.is_multicast


def _inner(ip: IPv6Address) -> IPv4Address | None:
    if ip in NAT64:
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)


def _check_kind(media_type: str, kind: str, param: str) -> None:
    if kind and media_type not in UNSPECIFIC_TYPES and not media_type.startswith(kind + "/"):
        raise _invalid(param, f"It is {media_type}, not {kind}/….")


def _invalid(param: str, message: str) -> ApiError:
    return ApiError("INVALID_MEDIA", message, param=param)
