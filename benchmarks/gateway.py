"""A real S3 server on this machine: one node of Ceph with its RADOS Gateway on loopback, with data in RAM.

Unlike moto it reads ranges without touching the rest of an object, checks signatures and serves thousands of requests a
second. A monitor, one object store in memory and the gateway run as children of this process, and stop with it.
"""

from __future__ import annotations

import secrets
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.loopback import LOOPBACK, answers, free_ports, stop
from benchmarks.running import UnavailableError

__all__ = ["Gateway", "GatewayError", "run_gateway"]

REGION: Final = "us-east-1"

PACKAGES: Final = {
    "radosgw": ("radosgw", "radosgw-admin"),
    "ceph-mon": ("ceph-mon", "monmaptool"),
    "ceph-osd": ("ceph-osd",),
    "ceph-common": ("ceph", "ceph-authtool"),
    "util-linux": ("setpriv",),
}
"""Debian package to the commands that are needed of it; ceph-mon draws monmaptool in."""

START_TIMEOUT_S: Final = 60.0

_CONFIGURATION: Final = """\
[global]
fsid = {fsid}
mon host = v2:127.0.0.1:{monitor_port}
public addr = 127.0.0.1
cluster addr = 127.0.0.1
run dir = {directory}
admin socket = {directory}/$name.asok
log file = {directory}/$name.log
pid file = {directory}/$name.pid
keyring = {directory}/keyring
auth allow insecure global id reclaim = false
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd crush chooseleaf type = 0
mon allow pool size one = true
mon warn on pool no redundancy = false
mon data avail crit = 1
mon data avail warn = 1
osd objectstore = memstore
memstore device bytes = {memory_bytes}
osd failsafe full ratio = .99
osd op num shards = 2
osd target pg log entries per osd = 0
osd min pg log entries = 10
osd max pg log entries = 20
osd pg log dups tracked = 10
ms bind ipv6 = false
ms bind msgr1 = false
rgw frontends = beast endpoint=127.0.0.1:{port} tcp_nodelay=1
rgw enable usage log = false
rgw dynamic resharding = false
rgw override bucket index max shards = 8
rgw enable apis = s3, admin
rgw thread pool size = 64
rgw run sync thread = false
"""

_GRANTS: Final = {
    "mon.": ("mon", "allow *"),
    "client.admin": ("mon", "allow *", "osd", "allow *", "mgr", "allow *"),
    "client.rgw": ("mon", "allow *", "osd", "allow *"),
    "osd.0": ("mon", "allow profile osd", "osd", "allow *"),
}
"""Name to what it may do."""


class GatewayError(UnavailableError):
    """The gateway cannot be started here."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running gateway; it forgets everything when its context ends."""

    port: int
    """TCP port on 127.0.0.1."""
    access_key: str
    """Made up for this run."""
    secret_key: str
    """Made up for this run."""

    @property
    def endpoint(self) -> str:
        """URL of the server."""
        return f"http://{LOOPBACK}:{self.port}"

    def environment(self) -> dict[str, str]:
        """Environment variables that send botocore, obstore and s3fs here."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ALLOW_HTTP": "true",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self) -> Any:
        """A botocore S3 client of this server."""
        import botocore.session

        return botocore.session.Session().create_client(
            "s3",
            region_name=REGION,
            endpoint_url=self.endpoint,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
        )

    def create_bucket(self, name: str) -> None:
        """Make an empty bucket."""
        self.client().create_bucket(Bucket=name)


@contextmanager
def run_gateway(memory_bytes: int = 8 << 30) -> Iterator[Gateway]:
    """Run a gateway on a free port of 127.0.0.1 for the length of a ``with`` block; it starts in about 15 s.

    Parameters
    ----------
    memory_bytes : int
        Most that its objects may take; what is not stored is not taken [B].

    Yields
    ------
    Gateway
        Without a bucket.

    Raises
    ------
    GatewayError
        If a command of Ceph's is missing, fails, or the gateway does not answer in time.
    """
    check_installed()
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rgw-", ignore_cleanup_errors=True)))
        fsid, (port, monitor_port) = str(uuid.uuid4()), free_ports(2)
        text = _CONFIGURATION.format(
            fsid=fsid, directory=directory, port=port, monitor_port=monitor_port, memory_bytes=memory_bytes
        )
        (directory / "ceph.conf").write_text(text)
        node = _Node(directory, stack)
        node.start_monitor(fsid, monitor_port)
        node.start_object_store()
        node.start_gateway(port)
        yield node.create_user(port)


def check_installed() -> None:
    """Refuse to go on without Ceph's commands.

    Raises
    ------
    GatewayError
        Naming the packages to install.
    """
    missing = {name: package for package, names in PACKAGES.items() for name in names if shutil.which(name) is None}
    if missing:
        raise GatewayError(
            f"a Ceph gateway needs {', '.join(missing)}, not found here; on Debian or Ubuntu: "
            f"apt-get install --no-install-recommends {' '.join(PACKAGES)}"
        )


@dataclass(frozen=True, slots=True)
class _Daemon:
    name: str
    """Its command."""
    process: subprocess.Popen[bytes]
    """Ours to stop."""


class _Node:
    """The daemons of one directory; each is stopped when the stack unwinds, last started first."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self.directory = directory
        self._stack = stack

    def start_monitor(self, fsid: str, port: int) -> None:
        keyring, monitors, data = (self.directory / name for name in ("keyring", "monmap", "mon"))
        keyring.touch(mode=0o600)
        for name, grants in _GRANTS.items():
            pairs = zip(grants[::2], grants[1::2], strict=True)
            capabilities = [word for what, how in pairs for word in ("--cap", what, how)]
            self.call("ceph-authtool", keyring, "--gen-key", "-n", name, *capabilities)
        address = f"[v2:{LOOPBACK}:{port}]"
        self.call("monmaptool", "--create", "--fsid", fsid, "--addv", "a", address, monitors)
        data.mkdir()
        options = ("-i", "a", "--mon-data", data)
        self.call("ceph-mon", "--mkfs", *options, "--monmap", monitors, "--keyring", keyring)
        self.spawn("ceph-mon", *options)
        self.call("ceph", "--connect-timeout", f"{START_TIMEOUT_S:.0f}", "osd", "pool", "ls")

    def start_object_store(self) -> None:
        identity, data = str(uuid.uuid4()), self.directory / "osd"
        data.mkdir()
        self.call("ceph", "osd", "new", identity)
        options = ("-i", "0", "--osd-data", data)
        self.call("ceph-osd", *options, "--mkfs", "--osd-uuid", identity)
        daemon = self.spawn("ceph-osd", *options)
        self.wait(daemon, lambda: "1 up" in self.call("ceph", "osd", "stat"))

    def start_gateway(self, port: int) -> None:
        daemon = self.spawn("radosgw", "-n", "client.rgw")
        self.wait(daemon, lambda: answers(port))

    def create_user(self, port: int) -> Gateway:
        gateway = Gateway(port, "benchmark", secrets.token_hex(16))
        keys = (f"--access-key={gateway.access_key}", f"--secret-key={gateway.secret_key}")
        self.call("radosgw-admin", "user", "create", "--uid=benchmark", "--display-name=benchmark", *keys)
        return gateway

    def call(self, name: str, *arguments: str | Path) -> str:
        """Run a command to its end."""
        done = subprocess.run(self._command(name, arguments), capture_output=True, text=True, check=False)
        if done.returncode:
            raise GatewayError(f"{name} {' '.join(map(str, arguments))} failed:\n{done.stderr or done.stdout}")
        return done.stdout

    def spawn(self, name: str, *arguments: str | Path) -> _Daemon:
        """Run a daemon in the foreground, as a child that no Ctrl-C reaches and that ends when we are killed."""
        command = ["setpriv", "--pdeathsig", "TERM", *self._command(name, arguments), "--foreground"]
        with (self.directory / f"{name}.output").open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
        self._stack.callback(stop, process)
        return _Daemon(name, process)

    def wait(self, daemon: _Daemon, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not ready():
            if daemon.process.poll() is not None or time.monotonic() > deadline:
                words = (self.directory / f"{daemon.name}.output").read_text(errors="replace")[-2000:]
                raise GatewayError(f"{daemon.name} did not start within {START_TIMEOUT_S:.0f} s:\n{words}")
            time.sleep(0.1)

    def _command(self, name: str, arguments: tuple[str | Path, ...]) -> list[str]:
        configuration = [] if name in ("ceph-authtool", "monmaptool") else ["-c", str(self.directory / "ceph.conf")]
        return [name, *configuration, *map(str, arguments)]
