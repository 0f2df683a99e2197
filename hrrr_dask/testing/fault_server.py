"""An HTTP and S3 server of an archive that injects faults into its responses by script.

::

    with FaultServer({"/a": b"0123456789"}, {"/a": ["503", "reset", "ok"]}) as server:
        read(server.url + "/a")            # fails twice, then succeeds
        assert server.requests["/a"] == 3

    with FaultServer(archive.root, random_script(archive, n_faults=100, seed=7)) as server:
        hrrr_dask.backfill(…, source=[server.url])

Byte ranges, ``ETag``, ``Last-Modified`` and ``If-Match`` work as in S3. Each request takes the next mode from the
script of its key; :data:`hrrr_dask.testing.fault_modes.MODES` describes the modes.
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
"""Bucket name of a served directory: ``s3://hrrr`` with the server as the endpoint."""

LAST_MODIFIED: Final = "Mon, 01 Jan 2024 07:05:09 GMT"
"""Last-Modified header of every object."""

SLOW_BYTES_S: Final = 500
"""Speed of the mode ``slow`` [B/s]."""

SLOW_STEP_S: Final = 0.1
"""Interval between two pieces of its body [s]."""

_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_PAGE: Final = b"<html><body>Over the limit</body></html>"


class FaultServer(ThreadedServer):
    """Serve objects over HTTP, with faults according to a script.

    Parameters
    ----------
    objects : mapping of str to bytes, path or SyntheticArchive
        Path, with a leading slash, to contents; or a directory, whose files are the objects, which is also served as
        the bucket :data:`BUCKET`. The directory is never modified.
    script : Script or mapping of str to iterable of str, optional
        Key to the modes of its requests, in order.
    delay_s : float
        Delay of every response [s].
    host, port
        Address to listen on; by default a free port on the loopback interface.

    Raises
    ------
    ConfigError
        If a mode of the script does not exist, or the directory does not.

    Examples
    --------
    >>> key = "hrrr.20240701/conus/hrrr.t00z.wrfsfcf06.grib2"
    >>> with FaultServer("archive", {key: ["reset"]}) as server:
    ...     report = hrrr_dask.backfill("points.csv", "2024-07-01", "2024-07-01", "new.zarr", source=[server.url])
    >>> report.gaps, server.served["reset"]
    ({'not-published': 11}, 1)

    What it sends, by its script:

    >>> with FaultServer({"/a": b"0123456789"}, {"a": ["cut", "..."]}) as server:
    ...     path = server.path_of("/a?x=1")
    ...     mode = server.begin(path, "bytes=0-9")
    ...     print(mode, server.last_mode(path), server.content(path, mode), sorted(server.validators(path, b"", mode)))
    cut cut b'01234' ['ETag', 'Last-Modified']
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
            self.objects, self._bucket = _copy_on_write(_Directory(root)), f"/{BUCKET}"
        self.requests: Counter[str] = Counter()
        self.served: Counter[str] = Counter()
        self.head_requests = 0
        self.ranges: list[str] = []
        self.most_at_once = 0
        self._versions: Counter[str] = Counter()
        self._delay_s = delay_s
        self._at_once = 0
        self._lock = threading.Lock()
        super().__init__(_Handler, host, port)

    def path_of(self, target: str) -> str:
        """Return the path of the requested object, without the bucket."""
        path = unquote(urlsplit(target).path)
        return path.removeprefix(self._bucket) if path.startswith(f"{self._bucket}/") else path

    def begin(self, path: str, byte_range: str) -> str:
        """Count a request and return the next mode of its path."""
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
        with self._lock:
            self._at_once -= 1  # before the response: after it, the client may already send its next request
        return mode

    def last_mode(self, path: str) -> str:
        """Return the mode of the last request for a path: a HEAD request is answered as the GET before it."""
        with self._lock:
            self.head_requests += 1
            return self.script.mode(path.lstrip("/"), max(self.requests[path] - 1, 0))

    def content(self, path: str, mode: str) -> bytes | None:
        """Return the object as modified by a mode; None if it does not exist."""
        whole = self.objects.get(path)
        if whole is None or mode not in MODES:
            return whole
        change = MODES[mode].change
        if path.endswith(IDX):
            change = MODES[mode].change_idx or change
        return whole if change is None else change(whole)

    def validators(self, path: str, whole: bytes, mode: str) -> dict[str, str]:
        """Return the headers that identify the version of an object."""
        if mode == "bare":
            return {}
        version = str(self._versions[path] or "").encode()
        tag = f'"{hashlib.sha256(whole + version).hexdigest()[:16]}"'
        return {"ETag": f"W/{tag}" if mode == "weak" else tag, "Last-Modified": LAST_MODIFIED}


class _Directory(Mapping[str, bytes]):
    """Files below a directory by relative path; read at each request, never written."""

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise ConfigError(f"{root} is not a directory: give one that is laid out like the bucket")
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


def _copy_on_write(objects: Mapping[str, bytes]) -> MutableMapping[str, bytes]:
    """Wrap a mapping so that changes do not reach it."""
    return ChainMap({}, cast("MutableMapping[str, bytes]", objects))


class _Handler(Handler):
    def respond(self) -> None:
        server = cast("FaultServer", self.owner)
        path = server.path_of(self.path)
        mode = server.last_mode(path) if self.command == "HEAD" else server.begin(path, self.headers.get("Range", ""))
        try:
            self._respond(server, path, mode)
        except ConfigError as error:  # the mode cannot be applied to the object
            self._send(500, str(error).encode())

    def _respond(self, server: FaultServer, path: str, mode: str) -> None:
        if mode == "reset":
            self.abort()
        elif mode == "silent":
            self.stall()
        elif mode.isdigit():
            self._send(int(mode), f"scripted {mode}".encode(), _EXTRA_HEADERS.get(mode))
        elif mode == "page":
            self._send(200, _PAGE, {"Content-Type": "text/html; charset=utf-8"})
        elif (whole := server.content(path, mode)) is None:
            self._send(404, b"no such object")
        else:
            self._serve(whole, server.validators(path, whole, mode), mode)

    def _serve(self, whole: bytes, headers: dict[str, str], mode: str) -> None:
        wanted = self.headers.get("If-Match")
        requested = _RANGE.fullmatch(self.headers.get("Range", ""))
        if wanted is not None and (mode == "weak" or wanted != headers.get("ETag")):
            self._send(412, b"precondition failed")
        elif requested is None or mode == "whole":
            self._send(200, whole, headers, mode)
        elif int(requested[1]) >= len(whole):
            self._send(416, b"out of range", {"Content-Range": f"bytes */{len(whole)}"})
        else:
            start, stop = int(requested[1]), min(int(requested[2] or len(whole) - 1) + 1, len(whole))
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
        if mode == "slow":
            self._send_slowly(body)
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

    def _send_slowly(self, body: bytes) -> None:
        step = max(int(SLOW_BYTES_S * SLOW_STEP_S), 1)
        for start in range(0, len(body), step):
            self.wfile.write(body[start : start + step])
            if self.owner.closing.wait(SLOW_STEP_S):
                self.close_connection = True
                return


_EXTRA_HEADERS: Final = {"302": {"Location": "/elsewhere"}, "429": {"Retry-After": "1"}, "503": {"Retry-After": "1"}}
"""Status to additional headers."""


def _body(whole: bytes, start: int, stop: int, mode: str) -> bytes:
    """Return the body for a byte range ``[start, stop)``."""
    if mode in ("narrow", "liar"):
        return whole[start : (start + stop) // 2]
    if mode == "wide":
        return whole[start : 2 * stop - start + 1]
    if mode == "surplus":
        return whole[start:stop] + whole[: stop - start]
    return whole[start:stop]
