"""The only place that opens a gRPC port: options, credentials, interceptors, health, reflection, Watch."""

import logging
import socket
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Generic, TypeVar

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from gpt_server.common.v1 import model_service_pb2, model_service_pb2_grpc
from gpt_server.services.common.calls import Calls
from gpt_server.services.common.config import GrpcSettings, TlsSettings
from gpt_server.services.common.engines import Details, Engine
from gpt_server.services.common.files import Content
from gpt_server.services.common.interceptors import CallInterceptor
from gpt_server.services.common.models import Models
from gpt_server.services.common.settings import BadSettings, Problem
from gpt_server.services.common.tokens import Tokens
from gpt_server.services.common.watch import ModelServicer

log = logging.getLogger(__name__)

MAX_PENDING_CALLS, MAX_PENDING_S = 2**20, 3600

E = TypeVar("E", bound=Engine[Details])
Serving = health_pb2.HealthCheckResponse


class GrpcServer(Generic[E]):
    """The gRPC server of a process.

    Args:
        settings: address, limits and credentials.
        service_name: full name of the modality's service, for health and reflection.
        models: what `Watch` shows.
        calls: where calls in flight are counted.
        add_servicer: adds the modality's servicer to the server.
    """

    def __init__(
        self,
        settings: GrpcSettings,
        service_name: str,
        models: Models[E],
        calls: Calls,
        add_servicer: Callable[[grpc.aio.Server], None],
    ) -> None:
        interceptor = CallInterceptor(calls, settings.default_timeout_s, _tokens(settings))
        self._server = grpc.aio.server(interceptors=[interceptor], options=_options(settings))
        self._service_name = service_name
        self._health = health.aio.HealthServicer()  # type: ignore[attr-defined]
        self._watch = ModelServicer(models)
        add_servicer(self._server)
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(self._watch, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        watch_name = model_service_pb2.DESCRIPTOR.services_by_name["ModelService"].full_name
        reflection.enable_server_reflection(
            (service_name, watch_name, health.SERVICE_NAME, reflection.SERVICE_NAME), self._server
        )
        self.port = _bind(self._server, settings)

    async def start(self) -> None:
        """Answers calls from now on, health with NOT_SERVING."""
        await self.set_serving(False)
        await self._server.start()

    async def set_serving(self, serving: bool) -> None:
        """Changes what health says of the process and of its service."""
        status = Serving.SERVING if serving else Serving.NOT_SERVING
        for name in ("", self._service_name):
            await self._health.set(name, status)

    async def stop(self, grace_s: float) -> None:
        """Ends `Watch` streams with `OK`, then all others at the latest after `grace_s`, and closes the port."""
        self._watch.close()
        await self._server.stop(grace_s)


def _options(settings: GrpcSettings) -> list[tuple[str, int]]:
    age_s = settings.max_connection_age_s
    return [
        *((("grpc.max_connection_age_ms", round(age_s * 1000)),) if age_s else ()),
        ("grpc.so_reuseport", 0),  # else a second process binds the same port and takes half of the calls
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        # A burst of calls is for admission to refuse, in its own words; gRPC would drop them at random.
        ("grpc.server.max_pending_requests", MAX_PENDING_CALLS),
        ("grpc.server.max_pending_requests_hard_limit", MAX_PENDING_CALLS),
        ("grpc.server_max_unrequested_time_in_server", MAX_PENDING_S),
        # Clients ping every 10 s, also while a long prefill sends nothing.
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
        # A client that vanished without a word gives its slots back within a minute.
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.http2.ping_timeout_ms", 20_000),
    ]


def _bind(server: grpc.aio.Server, settings: GrpcSettings) -> int:
    if settings.tls is None and not _is_loopback(settings.host):
        log.warning("grpc.host %s can be reached in PLAIN TEXT from other machines: set grpc.tls", settings.host)
    address = join_address(settings.host, settings.port)
    credentials = _credentials(settings.tls) if settings.tls else None
    try:
        return server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    except RuntimeError:
        raise BadSettings([Problem("grpc.port", f"cannot listen on {address}: {_why(settings)}")]) from None


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _why(settings: GrpcSettings) -> str:
    """Asks the operating system for the reason, which gRPC does not pass on."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((settings.host, settings.port))
    except OSError as error:
        return error.strerror or str(error)
    return "gRPC refused the address or the certificate"


def _tokens(settings: GrpcSettings) -> Tokens | None:
    if settings.tokens_file is None:
        return None
    try:
        return Tokens(settings.tokens_file)
    except (OSError, ValueError) as error:
        why = f"{settings.tokens_file}: {error.strerror}" if isinstance(error, OSError) else str(error)
        raise BadSettings([Problem("grpc.tokens_file", why)]) from None


def _credentials(tls: TlsSettings) -> grpc.ServerCredentials:
    """Returns credentials that are asked for at each handshake; connections that stand go on with the old ones."""
    files = {"key_file": tls.key_file, "cert_file": tls.cert_file, "client_ca_file": tls.client_ca_file}
    there = {key: file for key, file in files.items() if file}
    for key, file in there.items():
        _check_readable(key, file)
    certificates = Content([*there.values()], lambda: _certificates(tls))
    return grpc.dynamic_ssl_server_credentials(
        certificates.now(), certificates.now, require_client_authentication=tls.client_ca_file is not None
    )


def _certificates(tls: TlsSettings) -> grpc.ServerCertificateConfiguration:
    pair = (tls.key_file.read_bytes(), tls.cert_file.read_bytes())
    authorities = tls.client_ca_file.read_bytes() if tls.client_ca_file else None
    return grpc.ssl_server_certificate_configuration([pair], root_certificates=authorities)


def _check_readable(key: str, path: Path) -> None:
    try:
        path.read_bytes()
    except OSError as error:
        raise BadSettings([Problem(f"grpc.tls.{key}", f"{path}: {error.strerror}")]) from None


def join_address(host: str, port: int) -> str:
    """Returns `host:port`, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
