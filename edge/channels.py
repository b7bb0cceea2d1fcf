"""The only place that opens a channel to a service: its address and credentials."""

import ssl

from gpt_server.edge.config import ChannelSettings, TlsSettings
from gpt_server.edge.http2.channel import Channel


def open_channel(address: str, settings: ChannelSettings) -> Channel:
    """Returns a channel to one replica; it connects when it is first used.

    Args:
        address: `host:port`.
        settings: credentials. Files are read now.

    Raises:
        OSError: a credential file cannot be read.
    """
    tls = settings.tls
    return Channel(address, _context(tls), tls.server_name) if tls else Channel(address)


def _context(tls: TlsSettings) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=tls.ca_file)
    context.set_alpn_protocols(["h2"])
    if tls.cert_file is not None:
        context.load_cert_chain(tls.cert_file, tls.key_file)
    return context
