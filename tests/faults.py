"""An HTTP server on loopback that misbehaves by script.

::

    with FaultServer({"/a": b"0123456789"}, {"/a": ["503", "reset", "ok"]}) as server:
        read(server.url + "/a")            # fails twice, then answers
        assert server.requests["/a"] == 3

It serves byte ranges, ``ETag``, ``Last-Modified`` and ``If-Match`` as S3 does. Each request takes the next mode of its
path's script; a script that has run out means ``ok``, and :func:`itertools.repeat` makes one that never does.

============  =====================================================================================
``ok``        the right answer
``403``, …    any status number, with a short text; ``302`` leads to ``/elsewhere``
``whole``     200 and the whole object, whatever range was asked for
``page``      200 and a web page instead of the object
``short``     the right headers, half of the body, then the connection is closed
``narrow``    half of the range, and says so in ``Content-Range``
``liar``      half of the range, but ``Content-Range`` claims all of it
``replaced``  the object is another one from now on, then the right answer
``bare``      the right answer without ``ETag`` and ``Last-Modified``
``weak``      the right answer with a weak ``ETag``, and never a match for ``If-Match``
``reset``     the connection is reset
``stall``     the headers, then silence
============  =====================================================================================
"""

from __future__ import annotations

import hashlib
import re
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Final, Self

__all__ = ["MODES", "FaultServer"]

MODES: Final = ("ok", "whole", "page", "short", "narrow", "liar", "replaced", "bare", "weak", "reset", "stall")
"""What a script may name, besides status numbers."""

LAST_MODIFIED: Final = "Mon, 01 Jan 2024 07:05:09 GMT"
"""Of every object."""

_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_PAGE: Final = b"<html><body>Over the limit</body></html>"


class FaultServer:
    """Serve objects from memory, wrongly where the script says so.

    Parameters
    ----------
    objects : mapping of str to bytes
        Path, with its leading slash, to contents.
    script : mapping of str to iterable of str, optional
        Path to the modes of its requests, in order.
    delay_s : float
        How long every answer takes [s].
    """

    def __init__(
        self, objects: Mapping[str, bytes], script: Mapping[str, Iterable[str]] | None = None, delay_s: float = 0.0
    ) -> None:
        self.objects = dict(objects)
        self.requests: Counter[str] = Counter()
        self.ranges: list[str] = []
        self.most_at_once = 0
        self.closing = threading.Event()
        self._script = {path: iter(modes) for path, modes in (script or {}).items()}
        self._delay_s = delay_s
        self._at_once = 0
        self._lock = threading.Lock()
        self._http = _QuietServer(("127.0.0.1", 0), _handler_for(self))
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def url(self) -> str:
        """Where it listens, without a slash at the end."""
        return f"http://127.0.0.1:{self._http.server_port}"

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

    def begin(self, path: str, byte_range: str) -> str:
        """Count a request and take the next mode of its path."""
        with self._lock:
            self.requests[path] += 1
            self.ranges.append(byte_range)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            mode = next(self._script.get(path, iter(())), "ok")
            if mode == "replaced":
                self.objects[path] = self.objects[path][::-1]
        if mode not in MODES and not mode.isdigit():
            raise ValueError(f"the script of {path} names {mode!r}: write a status number or one of {', '.join(MODES)}")
        time.sleep(self._delay_s)
        return mode

    def end(self) -> None:
        """Count a request's end."""
        with self._lock:
            self._at_once -= 1


class _QuietServer(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that leave early are part of the play."""


def _handler_for(server: FaultServer) -> type[BaseHTTPRequestHandler]:
    return type("Handler", (_Handler,), {"faults": server})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    faults: FaultServer

    def do_GET(self) -> None:
        mode = self.faults.begin(self.path, self.headers.get("Range", ""))
        try:
            self._answer(mode)
        finally:
            self.faults.end()

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _answer(self, mode: str) -> None:
        if mode == "reset":
            self._reset()
        elif mode.isdigit():
            self._send(int(mode), f"scripted {mode}".encode(), {"Location": "/elsewhere"} if mode == "302" else {})
        elif mode == "page":
            self._send(200, _PAGE, {"Content-Type": "text/html; charset=utf-8"})
        elif self.path not in self.faults.objects:
            self._send(404, b"no such object")
        else:
            self._serve(self.faults.objects[self.path], mode)

    def _serve(self, whole: bytes, mode: str) -> None:
        headers = _validators(whole, mode)
        wanted = self.headers.get("If-Match")
        asked = _RANGE.fullmatch(self.headers.get("Range", ""))
        if wanted is not None and (mode == "weak" or wanted != headers.get("ETag")):
            self._send(412, b"precondition failed")
        elif asked is None or mode == "whole":
            self._send(200, whole, headers, mode)
        elif int(asked[1]) >= len(whole):
            self._send(416, b"out of range", {"Content-Range": f"bytes */{len(whole)}"})
        else:
            start, stop = int(asked[1]), min(int(asked[2] or len(whole) - 1) + 1, len(whole))
            body = whole[start : (start + stop) // 2 if mode in ("narrow", "liar") else stop]
            last = start + len(body) - 1 if mode == "narrow" else stop - 1
            self._send(206, body, headers | {"Content-Range": f"bytes {start}-{last}/{len(whole)}"}, mode)

    def _send(self, status: int, body: bytes, headers: Mapping[str, str] | None = None, mode: str = "ok") -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if mode == "stall":
            self.faults.closing.wait(30)
            self.close_connection = True
        elif mode == "short":
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
        else:
            self.wfile.write(body)

    def _reset(self) -> None:
        # With a linger time of zero, closing sends RST instead of FIN.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True


def _validators(whole: bytes, mode: str) -> dict[str, str]:
    if mode == "bare":
        return {}
    tag = f'"{hashlib.sha256(whole).hexdigest()[:16]}"'
    return {"ETag": f"W/{tag}" if mode == "weak" else tag, "Last-Modified": LAST_MODIFIED}
