"""Serves a directory with nginx on loopback, as a stand-in for the public bucket, and counts requests."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.loopback import LOOPBACK, answers, free_ports, stop
from benchmarks.running import UnavailableError

__all__ = ["Served", "Web", "run_nginx"]

START_TIMEOUT_S: Final = 20.0

# Bodies leave without waiting for a full packet: tcp_nopush would add 40 ms to answers on loopback.
_CONFIGURATION: Final = """\
daemon off;
{user}worker_processes 1;
pid {directory}/pid;
error_log {directory}/error.log;
events {{ worker_connections 1024; }}
http {{
  sendfile on;
  tcp_nopush off;
  keepalive_requests 1000000;
  default_type application/octet-stream;
  log_format counted '$body_bytes_sent $uri';
  access_log {directory}/access.log counted;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  server {{
    listen {host}:{port};
    root {root};{limit}
  }}
}}
"""


@dataclass(frozen=True, slots=True)
class Served:
    """What a server has sent."""

    requests: int
    """Of any kind."""
    body_bytes: int
    """Without headers [B]."""

    def __sub__(self, before: Served) -> Served:
        return Served(self.requests - before.requests, self.body_bytes - before.body_bytes)


@dataclass(frozen=True, slots=True)
class Web:
    """A running nginx."""

    port: int
    """TCP port on 127.0.0.1."""
    log: Path
    """A line for each request that has ended."""

    @property
    def url(self) -> str:
        """Of its root."""
        return f"http://{LOOPBACK}:{self.port}"

    def served(self, path: str = "/") -> Served:
        """Since the start, of what lies below a path; requests that are being answered are not in it."""
        lines = [line.split(" ", 1) for line in self.log.read_text().splitlines()]
        sizes = [int(size) for size, uri in lines if uri.startswith(path)]
        return Served(len(sizes), sum(sizes))


@contextmanager
def run_nginx(root: Path, connection_mb_per_s: int = 0) -> Iterator[Web]:
    """Serve a directory for the length of a ``with`` block.

    Parameters
    ----------
    root : Path
        What stands for the bucket.
    connection_mb_per_s : int
        How fast each connection is, as those to a bucket are; 0 for as fast as it goes [MB/s].

    Yields
    ------
    Web
        That answers.

    Raises
    ------
    UnavailableError
        If there is no nginx, or it does not start.
    """
    command = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if command is None:
        raise UnavailableError(
            "nginx is not found here; on Debian or Ubuntu: apt-get install --no-install-recommends nginx-light"
        )
    with tempfile.TemporaryDirectory(prefix="nginx-") as temporary:
        directory, (port,) = Path(temporary), free_ports(1)
        user = "" if os.geteuid() else f"user {pwd.getpwuid(0).pw_name};\n"  # its workers read what root may read
        limit = f"\n    limit_rate {connection_mb_per_s}m;" if connection_mb_per_s else ""
        place = {"directory": directory, "host": LOOPBACK, "port": port, "root": root.absolute()}
        text = _CONFIGURATION.format(**place, user=user, limit=limit)
        (directory / "nginx.conf").write_text(text)
        with (directory / "output").open("wb") as output:
            process = subprocess.Popen(
                [command, "-p", temporary, "-c", str(directory / "nginx.conf"), "-e", str(directory / "error.log")],
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            _wait(process, port, directory)
            yield Web(port, directory / "access.log")
        finally:
            stop(process)


def _wait(process: subprocess.Popen[bytes], port: int, directory: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not answers(port):
        if process.poll() is not None or time.monotonic() > deadline:
            words = "".join((directory / name).read_text() for name in ("output", "error.log"))
            raise UnavailableError(f"nginx did not start within {START_TIMEOUT_S:.0f} s:\n{words}")
        time.sleep(0.05)
