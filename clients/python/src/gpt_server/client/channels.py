"""Channels as the services want them: balanced over all addresses of a name, kept alive, with a token."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import grpc

SERVICE_CONFIG = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [
        {
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.2s",
                "maxBackoff": "2s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
}
OPTIONS = (
    ("grpc.service_config", json.dumps(SERVICE_CONFIG)),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 20_000),
)


def open_channel(
    target: str, ca_file: Path | None, cert_file: Path | None, key_file: Path | None, token: str | None, tls: bool
) -> grpc.Channel:
    """Opens a channel; the arguments are those of `connect`."""
    if tls or ca_file or cert_file:
        authorities, key, certificate = (file.read_bytes() if file else None for file in (ca_file, key_file, cert_file))
        channel = grpc.secure_channel(target, grpc.ssl_channel_credentials(authorities, key, certificate), OPTIONS)
    else:
        channel = grpc.insecure_channel(target, OPTIONS)
    return grpc.intercept_channel(channel, _Token(token)) if token else channel


class _Details(NamedTuple):
    method: str
    timeout: float | None
    metadata: Any
    credentials: Any
    wait_for_ready: bool | None
    compression: Any


class _Token(
    grpc.UnaryUnaryClientInterceptor,  # type: ignore[type-arg]
    grpc.UnaryStreamClientInterceptor,  # type: ignore[type-arg]
    grpc.StreamUnaryClientInterceptor,  # type: ignore[type-arg]
    grpc.StreamStreamClientInterceptor,  # type: ignore[type-arg]
):
    """Shows a token with every call."""

    def __init__(self, token: str) -> None:
        self._shown = ("authorization", f"Bearer {token}")

    def _intercept(self, go_on: Callable[[Any, Any], Any], details: Any, request: Any) -> Any:
        metadata = [*(details.metadata or ()), self._shown]
        kept = (details.credentials, details.wait_for_ready, details.compression)
        return go_on(_Details(details.method, details.timeout, metadata, *kept), request)

    intercept_unary_unary = intercept_unary_stream = _intercept  # type: ignore[assignment]
    intercept_stream_unary = intercept_stream_stream = _intercept  # type: ignore[assignment]
