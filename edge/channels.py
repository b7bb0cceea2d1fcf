"""The only place that opens a gRPC channel: credentials, keepalive, limits."""

import logging

import grpc

from gpt_server.edge.config import ChannelSettings, TlsSettings, is_loopback
from gpt_server.edge.files import Content

MAX_MESSAGE_BYTES = 64 * 1024 * 1024

OPTIONS = (
    ("grpc.enable_http_proxy", 0),
    # Of two replicas at one address, one after the other, each has a connection of its own.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    # Which call may be repeated, and where, generation.py decides.
    ("grpc.enable_retries", 0),
)

Metadata = tuple[tuple[str, str], ...]

log = logging.getLogger(__name__)


class Channels:
    """Opens channels to replicas. Files of credentials are read again when they change.

    Raises:
        OSError: a file cannot be read.
        ValueError: one holds nothing of use.
    """

    def __init__(self, settings: ChannelSettings) -> None:
        tls, token = settings.tls, settings.token_file
        files = (tls.ca_file, tls.cert_file, tls.key_file) if tls else ()
        self._credentials = Content([file for file in files if file], lambda: _credentials(tls))
        self._token = Content([token] if token else [], lambda: _bearer(token.read_text()) if token else ())
        self._options = (
            *OPTIONS,
            # A silent peer is found dead after both; services allow a ping every 5 s, and any number between messages.
            ("grpc.keepalive_time_ms", round(settings.keepalive_s * 1000)),
            ("grpc.keepalive_timeout_ms", round(settings.keepalive_timeout_s * 1000)),
            # Without it a ping that is not returned ends the connection after a minute, whatever the line above says.
            ("grpc.http2.ping_timeout_ms", round(settings.keepalive_timeout_s * 1000)),
            *((("grpc.ssl_target_name_override", tls.server_name),) if tls and tls.server_name else ()),
        )

    def open(self, address: str) -> grpc.aio.Channel:
        """Returns a channel to the replica at `host:port`; it connects when it is first used."""
        credentials = self._credentials.now()
        if credentials is None:
            if not is_loopback(address.rpartition(":")[0].strip("[]")):
                log.warning("%s is spoken to in PLAIN TEXT over the network: set channel.tls", address)
            return grpc.aio.insecure_channel(address, self._options)
        return grpc.aio.secure_channel(address, credentials, self._options)

    @property
    def version(self) -> object:
        """Differs when a channel that is opened now would have other credentials than before."""
        self._credentials.now()
        return self._credentials.version

    @property
    def metadata(self) -> Metadata:
        """What every call carries: the edge's own token, if services want one."""
        return self._token.now()


def _credentials(tls: TlsSettings | None) -> grpc.ChannelCredentials | None:
    if tls is None:
        return None
    files = (path.read_bytes() if path else None for path in (tls.ca_file, tls.key_file, tls.cert_file))
    return grpc.ssl_channel_credentials(*files)


def _bearer(token: str) -> Metadata:
    if not (token := token.strip()) or not token.isascii() or not token.isprintable():
        raise ValueError("channel.token_file: must hold one token, of printable ASCII characters")
    return (("authorization", f"Bearer {token}"),)
