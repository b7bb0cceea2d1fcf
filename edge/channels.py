"""The only place that opens a gRPC channel: credentials, keepalive, limits."""

import grpc

from gpt_server.edge.config import ChannelSettings

MAX_MESSAGE_BYTES = 64 * 1024 * 1024

OPTIONS = (
    ("grpc.enable_http_proxy", 0),
    # Of two replicas at one address, one after the other, each has a connection of its own.
    ("grpc.use_local_subchannel_pool", 1),
    # A silent peer is found dead within 40 s; services allow a ping every 10 s.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    # Which call may be repeated, and where, generation.py decides.
    ("grpc.enable_retries", 0),
)


def open_channel(address: str, settings: ChannelSettings) -> grpc.aio.Channel:
    """Returns a channel to one replica; it connects when it is first used.

    Args:
        address: `host:port`.
        settings: credentials. Files are read now.

    Raises:
        OSError: a credential file cannot be read.
    """
    tls = settings.tls
    if tls is None:
        return grpc.aio.insecure_channel(address, OPTIONS)
    files = (path.read_bytes() if path else None for path in (tls.ca_file, tls.key_file, tls.cert_file))
    name = (("grpc.ssl_target_name_override", tls.server_name),) if tls.server_name else ()
    return grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(*files), (*OPTIONS, *name))
