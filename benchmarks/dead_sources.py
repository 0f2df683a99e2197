"""Read an archive from sources that do not work, first or alone: ``python -m benchmarks.dead_sources``.

Prints seconds and outcome of each kind of fault. With a good second source a run should take at most a tenth and 20 s
longer than the undisturbed one; with the only source down it should end within a minute.
"""

from __future__ import annotations

import argparse
import itertools
import socket
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from distributed import Client, LocalCluster

import hrrr_dask
from hrrr_dask.errors import HrrrDaskError
from hrrr_dask.testing import FaultServer, GridWindow, Script, write_archive
from hrrr_dask.testing.fault_scripts import FOREVER, keys_of

__all__ = ["FAULTS", "main"]

WINDOW: Final = GridWindow(288, 794, 40, 40)
DAYS: Final = ("2024-01-01", "2024-01-02")
LEAD_HOURS: Final = (0, 1, 2, 3, 4)
STALLED_EVERY: Final = 100
VARIABLES: Final = ("temperature_2m", "u_component_wind_10m", "v_component_wind_10m", "surface_pressure")

FAULTS: Final = {
    "silent": "accepts connections and never responds",
    "refused": "refuses connections",
    "no host": "its name has no address",
    "403": "denies access to everything",
    "503": "responds 503 to everything",
    "slow": "sends bodies at 500 bytes a second",
    "short": "closes the connection after half of every body",
    "stalls": f"stalls one request in {STALLED_EVERY}",
}
"""Kinds of fault."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, run each case, print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.dead_sources", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--fault", action="append", choices=FAULTS, help="may be given several times; all by default")
    parser.add_argument("--cycles", type=int, default=40, metavar="N", help="of two days; 5 files each (default 40)")
    given = parser.parse_args(arguments)
    cycles = [cycle for cycle in range(24) if cycle < -(-given.cycles // 2)]
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        work = Path(directory)
        archive = write_archive(
            work / "archive", window=WINDOW, start=pd.Timestamp(DAYS[0]).to_pydatetime(),
            end=pd.Timestamp(f"{DAYS[1]}T23").to_pydatetime(), cycles=cycles, lead_hours=LEAD_HOURS,
            variables=list(VARIABLES), decoys=False,
        )  # fmt: skip
        good = stack.enter_context(FaultServer(archive))
        undisturbed_s, _ = _read([good.url], cycles, work / "good.zarr")
        print(f"{'undisturbed':12}{undisturbed_s:18.1f} s")
        for fault in given.fault or FAULTS:
            cells = []
            for position in ("first", "only"):
                with bad_source(fault, archive.root) as url:
                    sources = [url, good.url] if position == "first" else [url]
                    seconds, outcome = _read(sources, cycles, work / f"{fault} {position}.zarr")
                cells.append(f"{position}: {seconds:5.1f} s {outcome}")
            print(f"{fault:12}{'   '.join(cells)}", flush=True)


@contextmanager
def bad_source(fault: str, root: Path) -> Iterator[str]:
    """Serve an archive with a fault; yields its URL."""
    if fault == "refused":
        yield f"http://127.0.0.1:{_unused_port()}"
    elif fault == "no host":
        yield "http://no-such-host.invalid"
    elif fault == "stalls":
        with _Stalling(root) as server:
            yield server.url
    else:
        with FaultServer(root, Script(dict.fromkeys(keys_of(root), (fault, FOREVER)))) as server:
            yield server.url


class _Stalling(FaultServer):
    """Stalls one request in a hundred, whatever it asks for."""

    _numbers = itertools.count(1)

    def begin(self, path: str, byte_range: str) -> str:
        mode = super().begin(path, byte_range)
        return "silent" if next(self._numbers) % STALLED_EVERY == 0 else mode


def _read(sources: list[str], cycles: list[int], store: Path) -> tuple[float, str]:
    """Read with workers that know nothing of the sources yet; returns seconds, and the outcome in words."""
    rows, columns = np.random.default_rng(1).uniform(1, 38, (2, 3))
    latitude, longitude = WINDOW.latlon(rows, columns)
    points = pd.DataFrame({"point_id": ["a", "b", "c"], "latitude": latitude, "longitude": longitude})
    with LocalCluster(n_workers=2, threads_per_worker=4, dashboard_address=":0") as cluster, Client(cluster) as client:
        return _backfill(points, sources, cycles, store, client)


def _backfill(
    points: pd.DataFrame, sources: list[str], cycles: list[int], store: Path, client: Client
) -> tuple[float, str]:
    began = time.perf_counter()
    try:
        report = hrrr_dask.backfill(
            points, *DAYS, str(store), source=sources, cycles=cycles, lead_hours=list(LEAD_HOURS),
            variables=list(VARIABLES), axis_start=DAYS[0], client=client,
        )  # fmt: skip
    except HrrrDaskError as error:
        return time.perf_counter() - began, f"{type(error).__name__}: {error}"
    gaps = f", {sum(report.gaps.values())} gaps" if report.gaps else ""
    return time.perf_counter() - began, f"{report.outcome}, {report.files_read} files{gaps}"


def _unused_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
    return port


if __name__ == "__main__":
    main()
