"""Compares the cost of reading a year of one variable at 1,000 points in our layout and in two simpler ones.

Run ``python -m benchmarks.store_read``. The same values are written three times to a real S3 server on this machine
(a Ceph gateway) and read with ``xarray.open_zarr`` through a counting proxy; nothing is printed unless all values are
equal.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol
from unittest.mock import patch

import numpy as np
import obstore
import xarray as xr
import zarr
from zarr.storage import ObjectStore

from benchmarks.counting import Counts, run_proxy
from benchmarks.gateway import run_gateway
from benchmarks.layouts import LAYOUTS, OURS, VARIABLE, Case, Stored, Values, synthetic_values, write_layout
from benchmarks.measuring import describe_machine, describe_versions
from benchmarks.running import Answer, Row, make_parser, run_alone, say
from hrrr_dask.objects.backends import open_object_store

if TYPE_CHECKING:
    from obstore.store import ObjectStore as Objects

BUCKET: Final = "benchmark"

QUICK: Final = Case(n_days=40, n_leads=4, n_points=100)

MANY_OBJECTS: Final = 5_000
"""A read of more objects takes long, and differs so much from ours that once is enough for each latency."""

MOST_OBJECTS: Final = 50_000
"""A read of more objects takes many minutes, and is done at the first latency alone."""


class Server(Protocol):
    """An S3 on this machine: the gateway, or :func:`hrrr_dask.testing.loopback_s3`."""

    @property
    def port(self) -> int:
        """TCP port on 127.0.0.1."""

    def environment(self) -> dict[str, str]:
        """Environment variables that lead to it."""

    def create_bucket(self, name: str) -> None:
        """Make an empty bucket."""


@dataclass(frozen=True, slots=True)
class Read:
    """Something that a reader wants of the year."""

    name: str
    """For the table."""
    index: tuple[int | slice, int | slice, int | slice]
    """Dims (init_time, lead_time, point)."""
    with_coordinates: bool = False
    """Load the coordinates of the selection too, as ``.load()`` does."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One read, once: opening the store is part of it."""

    wall_s: float
    """From ``open_zarr`` to the values [s]."""
    counts: Counts | None
    """What went over the network; None in a directory."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the layouts lie, and the way there."""

    url: str
    """Each layout has a prefix of its own below."""
    options: dict[str, str]
    """Of :mod:`hrrr_dask.objects.locations`."""
    counts: Callable[[], Counts] | None = None
    """What has gone that way until now."""

    def open(self, layout: str, *, create: bool = False) -> Objects:
        """A new obstore store, without open connections."""
        return open_object_store(f"{self.url}/{layout.replace(' ', '-')}", self.options, create=create)


Found = dict[str, dict[str, list[Measurement]]]
"""Read to layout to measurements."""


def reads_of(case: Case) -> list[Read]:
    """The reads, at places that lie on no border of a shard."""
    everything = slice(None)
    point, lead, run = case.n_points // 3, case.n_leads // 3, case.shape[0] // 2 + 5
    return [
        Read("one point, all runs and leads", (everything, everything, point)),
        Read("the same with its coordinates", (everything, everything, point), with_coordinates=True),
        Read("one point, one lead of all runs", (everything, lead, point)),
        Read("all points, one lead of all runs", (everything, lead, everything)),
        Read("all points, one run", (run, everything, everything)),
    ]


def chunks_of(read: Read, stored: Stored, shape: tuple[int, ...]) -> int:
    """Objects of the variable that a read touches."""
    whole = [-(-n // chunk) for n, chunk in zip(shape, stored.chunks, strict=True)]
    return math.prod(n if isinstance(one, slice) else 1 for one, n in zip(read.index, whole, strict=True))


def measure(read: Read, store: Objects, counts: Callable[[], Counts] | None, expected: Values) -> Measurement:
    """Read once, with xarray's and zarr's default settings.

    Raises
    ------
    RuntimeError
        If the values are not those that were written, bit for bit.
    """
    before = counts() if counts else None
    began = time.perf_counter()
    dataset = xr.open_zarr(ObjectStore(store, read_only=True), chunks=None, consolidated=True, zarr_format=3)
    selected = dataset[VARIABLE][read.index]
    values = selected.load().to_numpy() if read.with_coordinates else selected.to_numpy()
    wall = time.perf_counter() - began
    if values.shape != expected.shape or (values.view(np.uint32) != expected.view(np.uint32)).any():
        raise RuntimeError(f"{read.name!r} gives other values than were written; no figure is worth printing")
    return Measurement(wall, counts() - before if counts and before else None)


def race(
    place: Place, case: Case, values: Values, stored: dict[str, Stored], repeats: int, *, most: float = math.inf
) -> Found:
    """Read from the layouts in turn, again and again; what takes more than ``most`` objects is left out."""
    reads = reads_of(case)
    found: Found = {read.name: {layout: [] for layout in LAYOUTS} for read in reads}
    run = reads[-1]
    measure(run, place.open(OURS), place.counts, values[run.index])  # nobody pays for what is done once in a process
    for repeat in range(repeats):
        for read in reads:
            expected = np.ascontiguousarray(values[read.index])
            for layout in LAYOUTS:
                if chunks_of(read, stored[layout], case.shape) > (MANY_OBJECTS if repeat else most):
                    continue
                if read.with_coordinates and layout != OURS:
                    continue  # the same coordinates as in ours
                measurement = measure(read, place.open(layout), place.counts, expected)
                found[read.name][layout].append(measurement)
                say(f"{read.name}, {layout}: {measurement.wall_s:.3f} s")
    return found


def summarise(found: Found) -> dict[str, dict[str, dict[str, float]]]:
    """Medians of each read and layout, and their ratios to ours."""
    rows: dict[str, dict[str, dict[str, float]]] = {}
    for name, layouts in found.items():
        rows[name] = {layout: _medians(measurements) for layout, measurements in layouts.items() if measurements}
        ours = dict(rows[name][OURS])
        for row in rows[name].values():
            row |= {f"{key}_ratio": row[key] / ours[key] for key in ours if key != "times"}
    return rows


def _medians(measurements: list[Measurement]) -> dict[str, float]:
    row: dict[str, float] = {
        "wall_s": statistics.median(one.wall_s for one in measurements),
        "times": len(measurements),
    }
    counted = [one.counts for one in measurements if one.counts]
    if counted:
        row["requests"] = statistics.median(counts.requests for counts in counted)
        row["bytes_received"] = statistics.median(counts.bytes_received for counts in counted)
    return row


def compare_on_server(server: Server, case: Case, latencies_ms: Sequence[float], repeats: int) -> dict[str, Any]:
    """Write the layouts to a bucket and read them through the counting proxy, once for each latency."""
    with sent_to(server):
        server.create_bucket(BUCKET)
        direct = Place(f"s3://{BUCKET}", {"endpoint": f"http://127.0.0.1:{server.port}"})
        values = synthetic_values(case)
        stored, seconds = write_all(direct, case, values)
        about = describe(case, stored, seconds, repeats)
        answer: dict[str, Any] = {"stored": {layout: asdict(one) for layout, one in stored.items()}, "latencies": {}}
        for latency_ms in latencies_ms:
            with run_proxy(server.port, latency_ms / 1000) as proxy:
                place = Place(direct.url, {"endpoint": proxy.endpoint}, proxy.counts)
                if not latency_ms:
                    about["proxy"] = f"adds {1000 * _added_s(place, direct):.2f} ms to a single request"
                most = MOST_OBJECTS if answer["latencies"] else math.inf
                found = race(place, case, values, stored, repeats, most=most)
            answer["latencies"][f"{latency_ms:g}"] = _answer(found)
    return {"about": about, **answer}


def compare_in_directory(directory: Path, case: Case, repeats: int) -> dict[str, Any]:
    """Write the layouts to a directory and read them: seconds only, there is nothing to count."""
    place = Place(directory.absolute().as_uri(), {})
    values = synthetic_values(case)
    stored, seconds = write_all(place, case, values)
    found = race(place, case, values, stored, repeats)
    return {
        "about": describe(case, stored, seconds, repeats),
        "stored": {layout: asdict(one) for layout, one in stored.items()},
        "latencies": {"0": _answer(found)},
    }


def write_all(place: Place, case: Case, values: Values) -> tuple[dict[str, Stored], dict[str, float]]:
    """Write every layout; what each takes, and how long it took [s]."""
    stored, seconds, spec = {}, {}, case.spec()
    for layout in LAYOUTS:
        began = time.perf_counter()
        stored[layout] = write_layout(place.open(layout, create=True), spec, layout, values)
        seconds[layout] = time.perf_counter() - began
        say(f"{layout} written in {seconds[layout]:.0f} s")
    return stored, seconds


def describe(case: Case, stored: dict[str, Stored], seconds: dict[str, float], repeats: int) -> dict[str, str]:
    """Under which circumstances the figures hold."""
    runs, leads, points = case.shape
    raw = 4 * math.prod(case.shape)
    packages = ("hrrr-dask", "xarray", "zarr", "obstore", "numpy")
    about = {
        "values": f"{runs} runs x {leads} leads x {points} points of {VARIABLE}, {raw / 1e6:.0f} MB of float32; "
        "equal bits from all layouts, in every repeat",
    }
    for layout, one in stored.items():
        about[layout] = (
            f"{one.objects} objects of {one.chunks}, inner chunks {one.inner_chunks}; {one.bytes_stored / 1e6:.1f} MB, "
            f"1/{raw / one.bytes_stored:.1f} of the raw bytes; written in {seconds[layout]:.0f} s"
        )
    about |= {
        "reader": "xarray.open_zarr(zarr's ObjectStore on obstore, chunks=None, consolidated=True), new connections, "
        f"opening included; zarr async.concurrency {zarr.config.get('async.concurrency')}",
        "repeats": f"{repeats}, the layouts in turn; medians; one where over {MANY_OBJECTS} objects are read",
        "versions": describe_versions(packages),
        "machine": describe_machine(),
    }
    return about


def show(answer: Answer) -> None:
    """Print for people."""
    for name, text in answer["about"].items():
        print(f"{name:<16} {text}")
    for latency_ms, figures in answer["latencies"].items():
        print(f"\n{f'{latency_ms} ms added to each request':<34}{'':<17}{'requests':>9}{'ratio':>9}", end="")
        print(f"{'MB':>9}{'ratio':>7}{'s':>9}{'ratio':>8}{'times':>7}")
        for name, rows in figures["medians"].items():
            for layout, row in rows.items():
                print(f"{name if layout == OURS else '':<34}{layout:<17}{_network(row)}", end="")
                print(f"{row['wall_s']:9.3f}{row['wall_s_ratio']:8.1f}{row['times']:7.0f}")


def _network(row: dict[str, float]) -> str:
    if "requests" not in row:
        return f"{'-':>9}{'-':>9}{'-':>9}{'-':>7}"
    megabytes = row["bytes_received"] / 1e6
    return f"{row['requests']:9.0f}{row['requests_ratio']:9.2f}{megabytes:9.2f}{row['bytes_received_ratio']:7.2f}"


def parser() -> argparse.ArgumentParser:
    """Its options."""
    made = make_parser("store_read", __doc__, repeats=5, quick="40 days, 4 lead times, 100 points")
    place = made.add_mutually_exclusive_group()
    place.add_argument("--directory", type=Path, metavar="DIR", help="instead of a Ceph gateway: nothing is counted")
    place.add_argument(
        "--latency-ms",
        type=float,
        nargs="+",
        default=[0.0],
        metavar="N",
        help="added to each request; several are measured one after the other (default 0)",
    )
    return made


def collect(given: argparse.Namespace) -> Answer:
    """Measure."""
    case = QUICK if given.quick else Case()
    if given.directory:
        return compare_in_directory(given.directory, case, given.repeats)
    with run_gateway() as server:
        return compare_on_server(server, case, given.latency_ms, given.repeats)


def readme_rows(answer: Answer) -> list[Row]:
    """For the README: requests for a point's year and for a lead time's."""
    figures = next(iter(answer["latencies"].values()))["medians"]
    return [
        Row(f"reading a year: {name}", f"one {layout}", f"{row['requests_ratio']:,.0f} x the requests")
        for name, rows in list(figures.items())[:3]
        for layout, row in rows.items()
        if layout != OURS and "requests_ratio" in row
    ]


def _answer(found: Found) -> dict[str, Any]:
    every = {
        name: {layout: [asdict(one) for one in measurements] for layout, measurements in layouts.items()}
        for name, layouts in found.items()
    }
    return {"medians": summarise(found), "measurements": every}


@contextmanager
def sent_to(server: Server) -> Iterator[None]:
    """Let botocore's chain find the server's keys, and no others."""
    others = {name for name in os.environ if name.startswith("AWS_")}
    with patch.dict(os.environ, server.environment()):
        for name in others - set(server.environment()):
            del os.environ[name]
        yield


def _added_s(place: Place, direct: Place, requests: int = 300) -> float:
    """How much longer a small GET takes by the way of a place, in the median, over a connection that is open [s]."""
    stores = [place.open(OURS), direct.open(OURS)]
    times: list[list[float]] = [[], []]
    for _ in range(requests):
        for store, own in zip(stores, times, strict=True):
            began = time.perf_counter()
            obstore.get(store, "lead_time/zarr.json").bytes()
            own.append(time.perf_counter() - began)
    return statistics.median(times[0]) - statistics.median(times[1])


if __name__ == "__main__":
    run_alone("store_read")
