"""The admin HTTP port: `/livez`, `/readyz`, `/metrics`.

It has a thread of its own, so that a busy event loop does not take the probe down; `/livez` says so when the loop
has not run for `STUCK_S`.
"""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

STUCK_S = 10.0
BEAT_S = 1.0

Answer = tuple[HTTPStatus, str, bytes]


class Admin:
    """The port, open from the first moment, and its thread. Made inside the event loop that it watches.

    Args:
        host: address to listen on.
        port: port to listen on; 0: any free one.
        readiness: returns whether the process is ready, and the state of each model; called in the thread.

    Raises:
        OSError: the port cannot be opened.
    """

    def __init__(self, host: str, port: int, readiness: Callable[[], tuple[bool, Mapping[str, str]]]) -> None:
        self._readiness = readiness
        self._loop = asyncio.get_running_loop()
        self._http = _http_server(host, port, {"/livez": self._livez, "/readyz": self._readyz, "/metrics": _metrics})
        self.port: int = self._http.server_address[1]
        self._thread = threading.Thread(target=self._http.serve_forever, name="admin", daemon=True)

    def start(self) -> None:
        """Answers from now on."""
        self._beat()
        self._thread.start()

    def close(self) -> None:
        """Closes the port and ends the thread."""
        self._next_beat.cancel()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def _beat(self) -> None:
        self._last_beat_s = time.monotonic()
        self._next_beat = self._loop.call_later(BEAT_S, self._beat)

    def _livez(self) -> Answer:
        silent_s = time.monotonic() - self._last_beat_s
        if silent_s < STUCK_S:
            return HTTPStatus.OK, "text/plain", b"ok\n"
        return HTTPStatus.SERVICE_UNAVAILABLE, "text/plain", f"event loop stuck for {silent_s:.0f} s\n".encode()

    def _readyz(self) -> Answer:
        ready, models = self._readiness()
        status = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
        return status, "application/json", json.dumps({"ready": ready, "models": models}).encode()


def _metrics() -> Answer:
    return HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest()


def _http_server(host: str, port: int, routes: Mapping[str, Callable[[], Answer]]) -> ThreadingHTTPServer:
    class Requests(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            route = routes.get(self.path.partition("?")[0])
            status, kind, body = route() if route else (HTTPStatus.NOT_FOUND, "text/plain", b"not found\n")
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Probes are not logged."""

    return ThreadingHTTPServer((host, port), Requests)
