"""Receives byte ranges with as little work as possible: the cost that no reader of the archive can avoid."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

__all__ = ["Range", "receive"]

Range = tuple[str, int, int | None]
"""Key of an object, start, and stop of the bytes; None for its end."""

BUFFER_BYTES: Final = 1 << 25
"""Of the one buffer that all responses are received into; a longer one wraps around."""


def receive(url: str, ranges: Sequence[Range]) -> float:
    """Receive byte ranges one after the other, from a web server on one connection, or from a directory.

    Returns
    -------
    float
        CPU time of this process [s].
    """
    buffer = memoryview(bytearray(BUFFER_BYTES))
    buffer[:] = bytes(BUFFER_BYTES)  # its pages are there before the measurement
    parts = urlsplit(url)
    if parts.scheme == "http":
        with socket.create_connection((parts.hostname or "", parts.port or 80), timeout=60) as connection:
            before = time.process_time()
            for key, start, stop in ranges:
                last = "" if stop is None else stop - 1
                path, host = quote(f"{parts.path}/{key}"), parts.netloc
                connection.sendall(
                    f"GET {path} HTTP/1.1\r\nHost: {host}\r\nRange: bytes={start}-{last}\r\n\r\n".encode()
                )
                _receive_response(connection, buffer)
            return time.process_time() - before
    before = time.process_time()
    for key, start, stop in ranges:
        with (Path(url) / key).open("rb") as file:
            n_bytes = (os.fstat(file.fileno()).st_size if stop is None else stop) - start
            os.preadv(file.fileno(), [buffer[:n_bytes]], start)
    return time.process_time() - before


def _receive_response(connection: socket.socket, buffer: memoryview) -> None:
    received, end = 0, -1
    while end < 0:
        received += _receive_some(connection, buffer[received:])
        end = bytes(buffer[:received]).find(b"\r\n\r\n")
    head = bytes(buffer[:end]).decode("latin-1").lower()
    if not head.startswith(("http/1.1 206", "http/1.1 200")):
        raise RuntimeError(f"the server responded {head.splitlines()[0]}")
    left = int(head.partition("content-length:")[2].split()[0]) - (received - end - 4)
    while left:
        left -= _receive_some(connection, buffer[: min(left, BUFFER_BYTES)])


def _receive_some(connection: socket.socket, buffer: memoryview) -> int:
    count = connection.recv_into(buffer)
    if not count:
        raise RuntimeError("the server closed the connection")
    return count
