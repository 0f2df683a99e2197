"""Base classes of the test servers: an HTTP server in a thread, and a quiet handler that can reset or stall."""

from __future__ import annotations

import socket
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Final, Self

__all__ = ["Handler", "ThreadedServer"]

STALL_S: Final = 30.0
"""Maximum duration of a stalled response; it ends earlier if the server is closed [s]."""


class ThreadedServer:
    """HTTP server in a thread, which listens for the duration of a ``with`` block.

    Parameters
    ----------
    handler : type
        Request handler; this object is its ``owner``.
    host : str
        Address to listen on.
    port : int
        0 for any free port.
    """

    def __init__(self, handler: type[Handler], host: str, port: int) -> None:
        self.closing = threading.Event()
        self._http = _QuietServer((host, port), type("_Owned", (handler,), {"owner": self}))
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def url(self) -> str:
        """URL of the server, without a trailing slash."""
        return f"http://{self._http.server_address[0]!s}:{self._http.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closing.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


class _QuietServer(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore errors: tests disconnect on purpose."""


class Handler(BaseHTTPRequestHandler):
    """Base of request handlers, with the server as ``owner``."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    owner: ThreadedServer

    def respond(self) -> None:
        """Respond to a request of any method."""
        raise NotImplementedError

    def do_GET(self) -> None:  # noqa: D102
        self.respond()

    def do_HEAD(self) -> None:  # noqa: D102
        self.respond()

    def do_PUT(self) -> None:  # noqa: D102
        self.respond()

    def do_POST(self) -> None:  # noqa: D102
        self.respond()

    def do_DELETE(self) -> None:  # noqa: D102
        self.respond()

    def log_message(self, *_: object) -> None:
        """Do not log requests."""

    def abort(self) -> None:
        """Reset the connection: with a linger time of zero, closing sends RST instead of FIN."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def stall(self) -> None:
        """Send nothing until the server is closed, then close the connection."""
        self.owner.closing.wait(STALL_S)
        self.close_connection = True
