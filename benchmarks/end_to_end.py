"""Measures a backfill of full-size files from a web server: files a second, requests, bytes, and CPU time by stage.

Run ``python -m benchmarks end_to_end``. Two local workers read synthetic files from nginx on loopback into a store in a
directory; one process measures the stages one after the other.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks.full_archive import Archive, write_full_archive
from benchmarks.gateway import run_gateway
from benchmarks.measuring import describe_machine, describe_versions, medians, spawn
from benchmarks.running import Answer, Row, default_engine, make_parser, run_alone, say, working
from benchmarks.stages import REHEARSAL, archive_of
from benchmarks.web import Served, run_nginx
from hrrr_dask.config.settings import FILES_AT_ONCE
from hrrr_dask.decode import ENGINES
from hrrr_dask.testing import GridWindow

BUCKET: Final = "archive"

WORKERS: Final = 2

CASES: Final = {"whole grid": 1.0, "southern half": 0.5}
"""Where the points are, and the share of the grid's rows, from the south, that has them all."""

GOALS: Final = {"whole grid": 1.05, "southern half": 0.6}
"""Most bytes that should be read for each byte of the wanted messages."""

OVERHEAD_GOAL: Final = 1.5
"""A file should cost at most so many times as receiving its bytes on a bare socket and decoding them."""

SETTLE_S: Final = 0.3
"""Until the server has noted its last answer [s]."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where archives are served, each below its name."""

    url: str
    """Of all of them."""
    options: dict[str, str] = field(default_factory=dict)
    """Of :mod:`hrrr_dask.objects.locations`."""
    environment: dict[str, str] = field(default_factory=dict)
    """Variables that lead there."""
    served: Callable[[str], Served] | None = None
    """What the server has sent of what lies below a path; None where it does not say."""


@contextmanager
def serve(server: str, work: Path, names: Sequence[str], connection_mb_per_s: int = 0) -> Iterator[Place]:
    """Serve archives of a directory: by ``nginx``, a Ceph ``gateway``, or as the ``directory`` that it is."""
    if server == "nginx":
        with run_nginx(work, connection_mb_per_s) as web:
            yield Place(web.url, served=web.served)
    elif server == "gateway":
        with run_gateway() as gateway:
            gateway.create_bucket(BUCKET)
            client = gateway.client()
            for path in [path for name in names for path in (work / name).rglob("*.grib2*")]:
                with path.open("rb") as body:
                    client.put_object(Bucket=BUCKET, Key=path.relative_to(work).as_posix(), Body=body)
            yield Place(f"s3://{BUCKET}", {"endpoint": gateway.endpoint}, gateway.environment())
    else:
        yield Place(str(work))


def measure_once(place: Place, request: dict[str, Any], work: Path, workers: int) -> dict[str, Any]:
    """One backfill, then its stages in the environment that its workers had; the CPU time of each, a file [s]."""
    path = f"/{archive_of(request['archive']).name}/"
    before = place.served(path) if place.served else None
    stores = [work / f"{time.monotonic_ns()}-{what}.zarr" for what in ("backfill", "stages")]
    whole = spawn(
        "benchmarks.stages.run_backfill", place.environment, request=request, store=str(stores[0]), workers=workers
    )
    time.sleep(SETTLE_S)
    sent = place.served(path) - before if place.served and before else None
    environment = whole.pop("environment")
    stages = spawn(
        "benchmarks.stages.run_stages_after_rehearsal",
        place.environment | environment,
        request=request,
        store=str(stores[1]),
    )
    files = whole["files"]
    each = {f"{stage}_s": seconds / files for stage, seconds in stages.items()}
    each["whole_s"] = (whole["client_cpu_s"] + whole["workers_cpu_s"]) / files
    each["else_s"] = each["whole_s"] - each["fetch_s"] - each["decode_s"] - each["store_s"]
    return {
        **each,
        "overhead": each["whole_s"] / (each["socket_s"] + each["decode_s"]),
        "files_per_s": files / whole["seconds"],
        "bytes_per_s": whole["bytes_read"] / whole["seconds"],
        "client_s": whole["client_cpu_s"] / files,
        "command_s": whole["command_cpu_s"] / files,
        "worker_peak_bytes": whole["worker_peak_bytes"],
        "requests": (sent.requests if sent else whole["requests"]) / files,
        "bytes_read": (sent.body_bytes if sent else whole["bytes_read"]) / files,
        "bytes_noted": whole["bytes_read"] / files,
        "environment": environment,
    }


def compare(
    place: Place, archive: Archive, how: dict[str, Any], repeats: int, work: Path
) -> dict[str, list[dict[str, Any]]]:
    """Measure the cases in turn, again and again."""
    window = archive.window
    found: dict[str, list[dict[str, Any]]] = {case: [] for case in CASES}
    for repeat in range(repeats):
        for case, share in CASES.items():
            request = {
                "archive": ((window.row, window.column, window.ny, window.nx), archive.n_runs, archive.n_leads),
                "share": share,
                "url": f"{place.url}/{archive.name}",
                "options": place.options,
                **how,
                "small": f"{place.url}/{archive_of(REHEARSAL).name}",
            }
            say(f"{case}, repeat {repeat + 1} of {repeats}")
            found[case].append(measure_once(place, request, work, WORKERS))
    return found


def summarise(found: dict[str, list[dict[str, Any]]], wanted_bytes: float) -> dict[str, dict[str, float]]:
    """Medians of each case; bytes over those of the wanted messages, a file."""
    rows = {}
    for case, measurements in found.items():
        rows[case] = medians([{k: v for k, v in one.items() if k != "environment"} for one in measurements])
        rows[case]["bytes_ratio"] = statistics.median(one["bytes_read"] for one in measurements) / wanted_bytes
    return rows


# What every benchmark offers


def parser() -> argparse.ArgumentParser:
    """Its options."""
    made = make_parser("end_to_end", __doc__, repeats=3, quick="four small files", work="the archive (39 MB a file)")
    made.add_argument("--runs", type=int, default=4, metavar="N", help="of the day, each hour (default 4)")
    made.add_argument("--leads", type=int, default=12, metavar="N", help="lead hours of each run (default 12)")
    default = default_engine()
    made.add_argument("--engine", choices=ENGINES, default=default, help=f"default {default}")
    made.add_argument(
        "--threads", type=int, default=FILES_AT_ONCE, metavar="N", help=f"of each worker (default {FILES_AT_ONCE})"
    )
    made.add_argument(
        "--connection",
        type=int,
        default=0,
        metavar="MB/S",
        help="speed of a connection to nginx (default: any)",
    )
    made.add_argument(
        "--server", choices=("nginx", "gateway", "directory"), default="nginx", help="of the files (default nginx)"
    )
    return made


def collect(given: argparse.Namespace) -> Answer:
    """Measure."""
    if given.quick:
        archive = Archive(GridWindow(288, 794, 40, 50), 2, 2)
    else:
        archive = Archive(GridWindow.whole(), given.runs, given.leads)
    how = {"engine": given.engine, "threads": given.threads}
    with working(given.work) as work, working(None) as stores:
        say(f"writing {len(archive.files)} files")
        root, small = (write_full_archive(work, one) for one in (archive, archive_of(REHEARSAL)))
        wanted, groups = archive.wanted_bytes(root) / len(archive.files), archive.groups(root)
        with serve(given.server, work, (root.name, small.name), given.connection) as place:
            found = compare(place, archive, how, given.repeats, stores)
        size = sum(path.stat().st_size for path in root.rglob("*.grib2")) / len(archive.files)
    environment = found["whole grid"][0]["environment"]
    cells, counted = f"{archive.window.ny} x {archive.window.nx}", "server" if given.server == "nginx" else "reader"
    about = {
        "files": f"{len(archive.files)} of {size / 1e6:.1f} MB: 21 messages of {cells} cells, "
        f"of which eleven are wanted, {wanted / 1e6:.1f} MB",
        "groups": f"{groups.messages} of the wanted messages are complex-packed, on average "
        f"{groups.size_bytes / 1e6:.2f} MB in {groups.groups:,.0f} groups of {groups.length:.1f} values",
        "backfill": f"500 points, {WORKERS} workers of {given.threads} threads, engine {given.engine}, to a directory",
        "from": given.server + (f", {given.connection} MB/s a connection" if given.connection else ""),
        "workers": ", ".join(f"{name}={value}" for name, value in environment.items()) or "environment as it is",
        "counted": f"requests and bytes by the {counted}",
        "repeats": f"{given.repeats}, backfill and stages of the cases in turn; medians",
        "versions": describe_versions(["hrrr-dask", "dask", "obstore", "zarr", "eccodes", "numpy"]),
        "machine": f"{describe_machine()}, load {os.getloadavg()[0]:.1f} at the end",
    }
    return {"about": about, "medians": summarise(found, wanted), "measurements": found}


def show(answer: Answer) -> None:
    """Print for people."""
    for name, text in answer["about"].items():
        print(f"{name:<10} {text}")
    for case, row in answer["medians"].items():
        print(f"\npoints in the {case}")
        print(f"  {row['files_per_s']:.2f} files/s, {row['bytes_per_s'] / 1e6:.1f} MB/s")
        print(f"  {row['requests']:.1f} requests and {row['bytes_read'] / 1e6:.2f} MB a file, ", end="")
        print(f"{row['bytes_ratio']:.3f} of the wanted messages (goal <= {GOALS[case]})")
        print(f"  worker's peak {row['worker_peak_bytes'] / 1e6:.0f} MB")
        print("  CPU ms a file")
        for label, name in _LINES.items():
            print(f"    {label:<34}{1000 * row[name]:9.2f}")
        print(f"    {'whole over socket and decode':<34}{row['overhead']:9.2f}   goal < {OVERHEAD_GOAL}")


_LINES: Final = {
    "socket: the same bytes, bare": "socket_s",
    "fetch": "fetch_s",
    "decode": "decode_s",
    "store": "store_s",
    "Dask and everything else": "else_s",
    "  the rest of extract_file in it": "rest_s",
    "whole, client and workers": "whole_s",
    "  the client and scheduler in it": "client_s",
    "  a command with one small file": "command_s",
}
"""Label to figure."""


def readme_rows(answer: Answer) -> list[Row]:
    """For the README: bytes of both cases, and the whole over what cannot be avoided."""
    what = "a backfill of full-size files on two workers, points in the "
    rows = [
        Row(what + case, "the wanted messages", f"{row['bytes_ratio']:.2f} x their bytes are read")
        for case, row in answer["medians"].items()
    ]
    whole = answer["medians"]["whole grid"]
    against = "receiving the bytes on a bare socket, and decoding"
    return [*rows, Row(what + "whole grid", against, f"{whole['overhead']:.2f} x the CPU time")]


if __name__ == "__main__":
    run_alone("end_to_end")
