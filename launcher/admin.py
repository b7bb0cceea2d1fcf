"""Asks a process's admin port how it is."""

import asyncio
import json
from dataclasses import dataclass

TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Readiness:
    """What `/readyz` says: whether the process takes requests, and the state of each model."""

    ready: bool
    models: dict[str, str]


async def readiness(address: str) -> Readiness | None:
    """Returns what the process behind `host:port` says of itself; `None` if it does not answer."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            body = await get(address, "/readyz")
        document = json.loads(body)
    except (OSError, TimeoutError, ValueError):
        return None
    if not isinstance(document, dict):
        return None
    return Readiness(bool(document.get("ready")), dict(document.get("models") or {}))


async def get(address: str, path: str) -> bytes:
    """Returns the body of what `host:port` answers. Raises `OSError`: nobody does."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n".encode())
        answer = await reader.read()
    finally:
        writer.close()
    _, _, body = answer.partition(b"\r\n\r\n")
    return body
