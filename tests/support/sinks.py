"""Servers on the loopback interface that take notifications: HTTP with JSON, and SMTP."""

from __future__ import annotations

import socketserver
import threading
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from typing import Any, Self

from hrrr_dask.testing.http_servers import Handler, ThreadedServer

__all__ = ["HttpSink", "MailSink"]


@dataclass(frozen=True)
class Received:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class HttpSink(ThreadedServer):
    """Takes requests, and responds to each with the same status and body."""

    def __init__(self, status: int = 200, answer: bytes = b"ok") -> None:
        self.received: list[Received] = []
        self.status, self.answer = status, answer
        super().__init__(_Taker, "127.0.0.1", 0)

    @property
    def address(self) -> str:
        """HOST:PORT."""
        return self.url.removeprefix("http://")


class _Taker(Handler):
    owner: HttpSink

    def respond(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.owner.received.append(Received(self.command, self.path, dict(self.headers), body))
        self.send_response(self.owner.status)
        self.send_header("Content-Length", str(len(self.owner.answer)))
        self.end_headers()
        self.wfile.write(self.owner.answer)


class MailSink:
    """Takes mails by SMTP, after any user and password, for the duration of a ``with`` block."""

    def __init__(self) -> None:
        self.commands: list[str] = []
        self.raw: list[bytes] = []
        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), type("_", (_Smtp,), {"sink": self}))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def address(self) -> str:
        """HOST:PORT."""
        host, port = self._server.server_address[:2]
        return f"{host!s}:{port}"

    @property
    def mails(self) -> list[Message]:
        """The mails so far."""
        return [message_from_bytes(each) for each in self.raw]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Smtp(socketserver.StreamRequestHandler):
    sink: MailSink

    def handle(self) -> None:
        self._say("220 sink")
        while line := self.rfile.readline():
            command = line.decode().strip()
            self.sink.commands.append(command)
            match command.split()[0].upper():
                case "EHLO":
                    self._say("250-sink\r\n250 AUTH PLAIN")
                case "AUTH":
                    self._say("235 welcome")
                case "DATA":
                    self._say("354 go on")
                    self._take()
                case "QUIT":
                    self._say("221 bye")
                    return
                case _:
                    self._say("250 ok")

    def _take(self) -> None:
        lines = []
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
        self.sink.raw.append(b"".join(lines))
        self._say("250 taken")

    def _say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())
