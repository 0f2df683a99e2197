"""A counting proxy: counts requests and bytes to an S3 server on loopback, and can delay each request.

It runs in a process of its own and is the only way to the server that a measured reader knows, so that the counts are
exact: a request counts when its last header arrived, a byte before it is passed on.
"""

from __future__ import annotations

# It starts in an instant, also where the machine is busy: only the standard library here.
import asyncio
import mmap
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

__all__ = ["Counts", "Proxy", "RequestFraming", "run_proxy"]

LOOPBACK: Final = "127.0.0.1"
REQUESTS, BYTES = 0, 1


@dataclass(frozen=True, slots=True)
class Counts:
    """What went through a proxy."""

    requests: int
    """Of any kind."""
    bytes_received: int
    """By the reader, headers included [B]."""

    def __sub__(self, before: Counts) -> Counts:
        return Counts(self.requests - before.requests, self.bytes_received - before.bytes_received)


class Proxy:
    """A running proxy.

    Parameters
    ----------
    port : int
        TCP port on 127.0.0.1.
    tally : memoryview
        Requests and bytes, shared with its process.
    """

    def __init__(self, port: int, tally: memoryview) -> None:
        self.endpoint = f"http://{LOOPBACK}:{port}"
        self._tally = tally

    def counts(self) -> Counts:
        """Since the start; complete for every request whose answer has arrived."""
        requests, received = self._tally.tolist()
        return Counts(requests, received)


class RequestFraming:
    r"""Finds where requests begin in the bytes of one connection; pipelined and split ones too.

    Examples
    --------
    >>> framing = RequestFraming()
    >>> framing.feed(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\nPUT /b HTTP/1.1\r\nContent-Length: 3\r\n")
    1
    >>> framing.feed(b"\r\nabcGET /c HTTP/1.1\r\n\r\n")
    2
    """

    def __init__(self) -> None:
        self._head = b""
        self._body_left = 0

    def feed(self, data: bytes) -> int:
        """Take the next bytes and say how many requests' headers they complete."""
        completed = 0
        while data:
            if self._body_left:
                taken = min(self._body_left, len(data))
                self._body_left -= taken
                data = data[taken:]
                continue
            head, end, data = (self._head + data).partition(b"\r\n\r\n")
            self._head = b"" if end else head
            if end:
                completed += 1
                self._body_left = _content_length(head)
        return completed


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        match name.strip().lower():
            case b"content-length":
                return int(value)
            case b"transfer-encoding":
                raise ValueError("the counting proxy takes no request whose body is sent in chunks")
    return 0


@contextmanager
def run_proxy(server_port: int, latency_s: float = 0.0) -> Iterator[Proxy]:
    """Run a proxy for the length of a ``with`` block.

    Parameters
    ----------
    server_port : int
        Where the server listens on 127.0.0.1.
    latency_s : float
        How long everything that a reader sends is held back [s].

    Yields
    ------
    Proxy
        With counts of zero.

    Raises
    ------
    RuntimeError
        If it does not start.
    """
    with tempfile.NamedTemporaryFile() as file:
        file.write(bytes(16))
        file.flush()
        command = [sys.executable, "-I", __file__, str(server_port), str(latency_s), file.name]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        ) as process:
            assert process.stdout is not None, "it was asked for"
            try:
                port = process.stdout.readline()
                if not port:
                    raise RuntimeError("the counting proxy ended at once: its traceback is above")
                with _tally(file.name) as tally:
                    yield Proxy(int(port), tally)
            finally:
                process.terminate()


@contextmanager
def _tally(path: str) -> Iterator[memoryview]:
    """Two numbers of 64 bits that both processes see: requests and bytes; only the proxy writes them."""
    with (
        Path(path).open("r+b") as file,
        mmap.mmap(file.fileno(), 16) as shared,
        memoryview(shared) as view,
        view.cast("q") as tally,
    ):
        yield tally


def _serve(server_port: int, latency_s: float, tally: memoryview) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Reader(server_port, latency_s, tally), LOOPBACK, 0, backlog=1024)
        print(server.sockets[0].getsockname()[1], flush=True)
        await loop.run_in_executor(None, sys.stdin.read)  # until whoever started us ends

    asyncio.run(main())


class _Reader(asyncio.Protocol):
    """The side of a connection that the reader sees."""

    def __init__(self, server_port: int, latency_s: float, tally: memoryview) -> None:
        self.tally = tally
        self.transport: asyncio.Transport | None = None
        self._server_port = server_port
        self._latency_s = latency_s
        self._framing = RequestFraming()
        self._server: asyncio.Transport | None = None
        self._waiting: list[bytes] = []
        self._connecting: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._connecting = asyncio.get_running_loop().create_task(self._connect())

    def data_received(self, data: bytes) -> None:
        self.tally[REQUESTS] += self._framing.feed(data)
        if self._latency_s:
            # The event loop keeps the order of calls that are due one after the other.
            asyncio.get_running_loop().call_later(self._latency_s, self._pass_on, data)
        else:
            self._pass_on(data)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self._server is not None:
            self._server.close()

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            transport, _ = await loop.create_connection(lambda: _Server(self), LOOPBACK, self._server_port)
        except OSError:
            if self.transport is not None:
                self.transport.abort()
            return
        self._server = transport
        for data in self._waiting:
            transport.write(data)
        self._waiting.clear()

    def _pass_on(self, data: bytes) -> None:
        if self._server is None:
            self._waiting.append(data)
        else:
            self._server.write(data)


class _Server(asyncio.Protocol):
    """The side of a connection that the server sees."""

    def __init__(self, reader: _Reader) -> None:
        self._reader = reader

    def data_received(self, data: bytes) -> None:
        self._reader.tally[BYTES] += len(data)
        if self._reader.transport is not None:
            self._reader.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self._reader.transport is not None:
            self._reader.transport.close()


if __name__ == "__main__":
    with _tally(sys.argv[3]) as _shared:
        _serve(int(sys.argv[1]), float(sys.argv[2]), _shared)
