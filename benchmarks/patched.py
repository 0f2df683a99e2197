"""A web server with thousands of files that share the fields of one file, each with its own times.

Only headers and inventory differ; they are made on request. ``python -m benchmarks.patched FILE.pickle`` serves on a
free port, which it prints.
"""

from __future__ import annotations

import functools
import pickle
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.case import FILE
from benchmarks.full_archive import with_times
from benchmarks.loopback import LOOPBACK, stop
from hrrr_dask.catalog.products import object_key
from hrrr_dask.catalog.variables import DEFAULT_VARIABLES
from hrrr_dask.records import GribFile
from hrrr_dask.testing import GridWindow
from hrrr_dask.testing.group_packing import repack_in_short_groups
from hrrr_dask.testing.messages import Message, encode_message, messages_of

__all__ = ["NAMES", "Template", "serve_patched", "write_template"]

NAMES: Final = (*DEFAULT_VARIABLES, "boundary_layer_height")
"""Messages of a file. The last of an inventory is read whole, and as in NOAA's files it is none of the eleven."""

_HEADER: Final = 1024
"""Of a message: all that tells its times is in it, and packed values come later or are the same [B]."""

_KEY: Final = re.compile(r"/hrrr\.(\d{8})/conus/hrrr\.t(\d\d)z\.wrfsfcf(\d\d)\.grib2(\.idx)?")


@dataclass(frozen=True, slots=True)
class Template:
    """The file that stands for all."""

    messages: tuple[tuple[Message, bytes], ...]
    """As they are packed, in the file's order."""

    @property
    def size(self) -> int:
        """Of each file [B]."""
        return sum(len(data) for _, data in self.messages)

    def inventory(self, file: GribFile) -> bytes:
        """Its ``.idx``."""
        lines, offset = "", 0
        for number, (kind, data) in enumerate(self.messages, start=1):
            lines += f"{number}:{offset}:{kind.inventory_text(file)}\n"
            offset += len(data)
        return lines.encode()

    def pieces(self, file: GribFile) -> list[memoryview]:
        """Its bytes: of each message a beginning of its own, and the rest, which all files share."""
        parts = []
        for kind, data in self.messages:
            turned = with_times(data, kind, file)
            if len(turned) != len(data) or turned[_HEADER:] != data[_HEADER:]:
                raise RuntimeError(f"{kind.name} of {file.label} differs in more than its times")
            parts += [memoryview(turned[:_HEADER]), memoryview(data)[_HEADER:]]
        return parts


def write_template(path: Path, window: GridWindow) -> Template:
    """Write the file, unless an earlier run did."""
    if path.exists():
        found: Template = pickle.loads(path.read_bytes())
        return found
    chance = np.random.default_rng(2024)
    kinds = messages_of(FILE, frozenset(NAMES))
    template = Template(
        tuple((kind, repack_in_short_groups(encode_message(kind, FILE, window), chance)) for kind in kinds)
    )
    path.write_bytes(pickle.dumps(template))
    return template


@contextmanager
def serve_patched(path: Path) -> Iterator[str]:
    """Serve the files of a template from a process of its own; gives their URL."""
    command = [sys.executable, "-m", "benchmarks.patched", str(path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[1])
    try:
        assert process.stdout is not None, "a pipe was asked for"
        port = process.stdout.readline().decode().strip()
        if not port:
            raise RuntimeError("the server of patched files did not start")
        yield f"http://{LOOPBACK}:{port}"
    finally:
        stop(process)


class _Handler(BaseHTTPRequestHandler):
    """GET, whole or a range."""

    protocol_version = "HTTP/1.1"
    template: Template

    def do_GET(self) -> None:
        found = _KEY.fullmatch(self.path)
        if not found:
            self.send_error(404)
            return
        file = GribFile(datetime.strptime(found[1] + found[2], "%Y%m%d%H"), int(found[3]))
        parts = [memoryview(self.template.inventory(file))] if found[4] else _pieces(self.template, file)
        size = sum(len(part) for part in parts)
        start, stop = self._range(size)
        self.send_response(206 if "Range" in self.headers else 200)
        self.send_header("Content-Length", str(stop - start))
        self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{size}")
        self.send_header("ETag", f'"{file.label}"')
        self.send_header("Last-Modified", "Mon, 01 Jul 2024 00:00:00 GMT")
        self.end_headers()
        for part in parts:
            if stop > 0 and start < len(part):
                self.wfile.write(part[max(start, 0) : stop])
            start, stop = start - len(part), stop - len(part)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  of the base
        """Say nothing."""

    def _range(self, size: int) -> tuple[int, int]:
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "bytes=0-"))
        if not asked:
            raise RuntimeError(f"a range that nobody asks for: {self.headers['Range']}")
        return int(asked[1]), min(int(asked[2]) + 1, size) if asked[2] else size


@functools.lru_cache(maxsize=32)
def _pieces(template: Template, file: GribFile) -> list[memoryview]:
    return template.pieces(file)


def _serve(path: Path) -> None:
    _Handler.template = pickle.loads(path.read_bytes())
    assert object_key(FILE) in "hrrr.20240701/conus/hrrr.t12z.wrfsfcf06.grib2", "as the pattern has it"
    with ThreadingHTTPServer((LOOPBACK, 0), _Handler) as server:
        print(server.server_port, flush=True)
        server.serve_forever()


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
