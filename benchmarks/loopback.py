"""Servers on the loopback interface: free ports, readiness, shutdown."""

from __future__ import annotations

import http.client
import socket
import subprocess
from contextlib import ExitStack
from typing import Final

__all__ = ["LOOPBACK", "answers", "free_ports", "stop"]

LOOPBACK: Final = "127.0.0.1"

STOP_TIMEOUT_S: Final = 10.0


def free_ports(count: int) -> list[int]:
    """Different TCP ports that nobody listens on."""
    with ExitStack() as stack:
        found = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in found:
            one.bind((LOOPBACK, 0))
        return [int(one.getsockname()[1]) for one in found]


def answers(port: int) -> bool:
    """Whether a web server on that port answers, be it that it refuses."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=5)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status < 500
    except OSError:
        return False
    finally:
        connection.close()


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask a child to end, and end it where it does not."""
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
