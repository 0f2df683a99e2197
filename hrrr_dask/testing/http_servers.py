"""What the servers of this package share: a thread that listens, handlers that say nothing, connections that break."""

from __future__ import annotations

import socket
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Final, Self

__all__ = ["Handler", "ThreadedServer"]

STALL_S: Final = 30.0
"""How long a stalled answer is silent, unless its server is closed before [s]."""


class ThreadedServer:
    """Listens from the beginning of a ``with`` block to its end.

    Parameters
    ----------
    handler : type
        Handler of requests; gets this object as its ``owner``.
    host : str
        Address to listen at.
    port : int
        0 for any that is free.
    """

    def __init__(self, handler: type[Handler], host: str, port: int) -> None:
        self.closing = threading.Event()
        self._http = _QuietServer((host, port), type("_Owned", (handler,), {"owner": self}))
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def url(self) -> str:
        """Where it listens, without a slash at the end."""
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
        """Clients that leave early are part of the play."""


class Handler(BaseHTTPRequestHandler):
    """Answers in the name of its owner."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    owner: ThreadedServer

    def answer(self) -> None:
        """Answer a request of any method."""
        raise NotImplementedError

    def do_GET(self) -> None:  # noqa: D102
        self.answer()

    def do_HEAD(self) -> None:  # noqa: D102
        self.answer()

    def do_PUT(self) -> None:  # noqa: D102
        self.answer()

    def do_POST(self) -> None:  # noqa: D102
        self.answer()

    def do_DELETE(self) -> None:  # noqa: D102
        self.answer()

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def abort(self) -> None:
        """Reset the connection: with a linger time of zero, closing sends RST instead of FIN."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def stall(self) -> None:
        """Say nothing until the server is closed, then close the connection."""
        self.owner.closing.wait(STALL_S)
        self.close_connection = True
