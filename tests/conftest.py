"""What holds for every test."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

collect_ignore = ["kube", "support"]  # what other tests stand on, with libraries of their own

_LOOPBACK = ("127.", "::1", "localhost", "0.0.0.0")


@pytest.fixture(autouse=True, scope="session")
def _no_network() -> Iterator[None]:
    """Make any connection beyond this machine an error."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: object) -> None:
        host = address[0] if isinstance(address, tuple) else "127."  # a path is a local socket
        if not str(host).startswith(_LOOPBACK):
            raise AssertionError(f"a test reached for {host}: tests stay on this machine")
        connect(self, address)  # type: ignore[arg-type]

    patch = pytest.MonkeyPatch()
    patch.setattr(socket.socket, "connect", guarded)
    yield
    patch.undo()
