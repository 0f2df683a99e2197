"""An archive on HTTP that misbehaves by script.

::

    with FaultServer({"/a": b"0123456789"}, {"/a": ["503", "reset", "ok"]}) as server:
        read(server.url + "/a")            # fails twice, then answers
        assert server.requests["/a"] == 3

    with FaultServer(archive.root, random_script(archive, n_faults=100, seed=7)) as server:
        hrrr_dask.backfill(…, source=[server.url])

It serves byte ranges, ``ETag``, ``Last-Modified`` and ``If-Match`` as S3 does. Each request takes the next mode of its
key's script; what the modes are is in :data:`hrrr_dask.testing.fault_modes.MODES`.
"""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections import ChainMap, Counter
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Final, cast
from urllib.parse import unquote, urlsplit

from hrrr_dask.errors import ConfigError
from hrrr_dask.testing.archive import SyntheticArchive
from hrrr_dask.testing.fault_modes import IDX, MODES
from hrrr_dask.testing.fault_scripts import Script
from hrrr_dask.testing.http_servers import Handler, ThreadedServer

__all__ = ["BUCKET", "FaultServer"]

BUCKET: Final = "hrrr"
"""Name under which a served directory is a bucket, for ``s3://hrrr`` with the server as its endpoint."""

LAST_MODIFIED: Final = "Mon, 01 Jan 2024 07:05:09 GMT"
"""Of every object."""

_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_PAGE: Final = b"<html><body>Over the limit</body></html>"


class FaultServer(ThreadedServer):
    """Serve objects, wrongly where the script says so.

    Parameters
    ----------
    objects : mapping of str to bytes, path or SyntheticArchive
        Path, with its leading slash, to contents; or a directory, of which every file is an object, and which is also
        a bucket of the name :data:`BUCKET`. Nothing is ever written to it.
    script : Script or mapping of str to iterable of str, optional
        Key to the modes of its requests, in order.
    delay_s : float
        How long every answer takes [s].
    host, port
        Where to listen; by default any free port of this machine, which no other machine sees.

    Raises
    ------
    ConfigError
        If the script names a mode that there is not, or the directory is none.
    """

    def __init__(
        self,
        objects: Mapping[str, bytes] | str | Path | SyntheticArchive,
        script: Script | Mapping[str, Iterable[str]] | None = None,
        delay_s: float = 0.0,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.script = Script.of(script)
        self.objects: MutableMapping[str, bytes]
        if isinstance(objects, Mapping):
            self.objects, self._bucket = dict(objects), ""
        else:
            root = objects.root if isinstance(objects, SyntheticArchive) else Path(objects)
            self.objects, self._bucket = _over(_Directory(root)), f"/{BUCKET}"
        self.requests: Counter[str] = Counter()
        self.served: Counter[str] = Counter()
        self.ranges: list[str] = []
        self.most_at_once = 0
        self._versions: Counter[str] = Counter()
        self._delay_s = delay_s
        self._at_once = 0
        self._lock = threading.Lock()
        super().__init__(_Handler, host, port)

    def path_of(self, target: str) -> str:
        """Which object a request is about: its path, without the bucket."""
        path = unquote(urlsplit(target).path)
        return path.removeprefix(self._bucket) if path.startswith(f"{self._bucket}/") else path

    def begin(self, path: str, byte_range: str) -> str:
        """Count a request and take the next mode of its path."""
        with self._lock:
            mode = self.script.mode(path.lstrip("/"), self.requests[path])
            self.requests[path] += 1
            self.served[mode] += 1
            self.ranges.append(byte_range)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            if mode == "replaced" and path in self.objects:
                self.objects[path] = self.objects[path][::-1]
            self._versions[path] += mode == "reissued"
        time.sleep(self._delay_s)
        return mode

    def end(self) -> None:
        """Count a request's end."""
        with self._lock:
            self._at_once -= 1

    def content(self, path: str, mode: str) -> bytes | None:
        """The object as it is seen in a mode; None when there is none."""
        whole = self.objects.get(path)
        if whole is None or mode not in MODES:
            return whole
        change = MODES[mode].change
        if path.endswith(IDX):
            change = MODES[mode].change_idx or change
        return whole if change is None else change(whole)

    def validators(self, path: str, whole: bytes, mode: str) -> dict[str, str]:
        """Headers that name the version of an object."""
        if mode == "bare":
            return {}
        version = str(self._versions[path] or "").encode()
        tag = f'"{hashlib.sha256(whole + version).hexdigest()[:16]}"'
        return {"ETag": f"W/{tag}" if mode == "weak" else tag, "Last-Modified": LAST_MODIFIED}


class _Directory(Mapping[str, bytes]):
    """The files below a directory by their paths in it; read anew at each request, never written."""

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise ConfigError(f"{root} is no directory: give one that is laid out like the bucket")
        self._root = root.resolve()

    def __getitem__(self, path: str) -> bytes:
        file = (self._root / path.lstrip("/")).resolve()
        if not file.is_relative_to(self._root) or not file.is_file():
            raise KeyError(path)
        return file.read_bytes()

    def __iter__(self) -> Iterator[str]:
        return (f"/{path.relative_to(self._root).as_posix()}" for path in self._root.rglob("*") if path.is_file())

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _over(objects: Mapping[str, bytes]) -> MutableMapping[str, bytes]:
    """The same, to be changed without changing them."""
    return ChainMap({}, cast("MutableMapping[str, bytes]", objects))


class _Handler(Handler):
    def answer(self) -> None:
        server = cast("FaultServer", self.owner)
        path = server.path_of(self.path)
        mode = server.begin(path, self.headers.get("Range", ""))
        try:
            self._answer(server, path, mode)
        except ConfigError as error:  # an object that cannot be wrong in this way
            self._send(500, str(error).encode())
        finally:
            server.end()

    def _answer(self, server: FaultServer, path: str, mode: str) -> None:
        if mode == "reset":
            self.abort()
        elif mode.isdigit():
            self._send(int(mode), f"scripted {mode}".encode(), _ALSO.get(mode))
        elif mode == "page":
            self._send(200, _PAGE, {"Content-Type": "text/html; charset=utf-8"})
        elif (whole := server.content(path, mode)) is None:
            self._send(404, b"no such object")
        else:
            self._serve(whole, server.validators(path, whole, mode), mode)

    def _serve(self, whole: bytes, headers: dict[str, str], mode: str) -> None:
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
            body = _body(whole, start, stop, mode)
            last = start + len(body) - 1 if mode in ("narrow", "wide") else stop - 1
            self._send(206, body, headers | {"Content-Range": f"bytes {start}-{last}/{len(whole)}"}, mode)

    def _send(self, status: int, body: bytes, headers: Mapping[str, str] | None = None, mode: str = "ok") -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if mode not in ("stall", "short", "reset-inside"):
            self.wfile.write(body)
            return
        self.wfile.write(body[: len(body) // 2])
        self.close_connection = True
        if mode == "stall":
            self.stall()
        elif mode == "reset-inside":
            self.abort()


_ALSO: Final = {"302": {"Location": "/elsewhere"}, "429": {"Retry-After": "1"}, "503": {"Retry-After": "1"}}
"""Headers of some statuses."""


def _body(whole: bytes, start: int, stop: int, mode: str) -> bytes:
    """What is sent of a range."""
    if mode in ("narrow", "liar"):
        return whole[start : (start + stop) // 2]
    if mode == "wide":
        return whole[start : 2 * stop - start + 1]
    if mode == "surplus":
        return whole[start:stop] + whole[: stop - start]
    return whole[start:stop]
