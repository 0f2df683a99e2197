"""Measures what a notebook's first lines cost on a large store: open it, read a point's year, draw ``plot_leads``.

Run ``python -m benchmarks.notebook``. A store of ten years of one variable at 500 points is written to a Ceph gateway
on this machine and read with :func:`hrrr_dask.open_dataset` through a counting proxy.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any, Final

import matplotlib as mpl
import numpy as np

import hrrr_dask
from benchmarks.counting import Proxy, run_proxy
from benchmarks.gateway import run_gateway
from benchmarks.layouts import OURS, VARIABLE, Case, Values, synthetic_values, write_layout
from benchmarks.measuring import describe_machine, describe_versions
from benchmarks.running import Answer, Row, make_parser, run_alone, say
from benchmarks.store_read import BUCKET, Place, Server, sent_to

QUICK: Final = Case(n_days=40, n_leads=4, n_points=50)
LARGE: Final = Case(n_days=3_653, n_points=500)
YEAR_DAYS: Final = 365

STEPS: Final = ("open_dataset", "a point's year", "plot_leads, values", "plot_leads, errors", "a point, all years")


def measure_once(proxy: Proxy, url: str, case: Case, expected: Values) -> dict[str, dict[str, float]]:
    """Do the steps, each upon a dataset of its own except the first.

    Raises
    ------
    RuntimeError
        If the values are not those that were written.
    """
    point = case.n_points // 3
    days = min(YEAR_DAYS, case.n_days)
    first = 24 * ((case.n_days - days) // 2)
    year = slice(first, first + 24 * days)

    def opened() -> Any:
        return hrrr_dask.open_dataset(url, endpoint=proxy.endpoint)

    def check(values: Values, wanted: Values) -> None:
        if not np.array_equal(values, wanted):
            raise RuntimeError("the store gives other values than were written; no figure is worth printing")

    def draw(kind: str) -> None:
        figure = ds.isel(init_time=year, point=point).hrrr.plot_leads(VARIABLE, kind=kind).figure
        figure.canvas.draw()
        mpl.pyplot.close(figure)

    ds = opened()
    steps: tuple[Callable[[], Any], ...] = (
        opened,
        lambda: check(ds[VARIABLE][year, :, point].to_numpy(), expected[year]),
        lambda: draw("values"),
        lambda: draw("errors"),
        lambda: check(ds[VARIABLE][:, :, point].to_numpy(), expected),
    )
    found = {}
    for name, step in zip(STEPS, steps, strict=True):
        before, began = proxy.counts(), time.perf_counter()
        step()
        seconds, counts = time.perf_counter() - began, proxy.counts() - before
        found[name] = {"seconds": seconds, "requests": counts.requests, "bytes": counts.bytes_received}
        say(f"{name}: {seconds:.2f} s, {counts.requests} requests")
    return found


def compare(server: Server, case: Case, latency_ms: float, repeats: int) -> Answer:
    """Write the store and do the steps, several times."""
    mpl.use("Agg")
    url = f"s3://{BUCKET}/{OURS}"
    with sent_to(server):
        server.create_bucket(BUCKET)
        values = synthetic_values(case)
        direct = Place(f"s3://{BUCKET}", {"endpoint": f"http://127.0.0.1:{server.port}"})
        stored = write_layout(direct.open(OURS, create=True), case.spec(), OURS, values)
        say("the store is written")
        expected = np.ascontiguousarray(values[:, :, case.n_points // 3])
        del values
        with run_proxy(server.port, latency_ms / 1000) as proxy:
            every = [measure_once(proxy, url, case, expected) for _ in range(repeats + 1)][1:]  # the first imports
    medians = {
        name: {key: statistics.median(one[name][key] for one in every) for key in every[0][name]} for name in STEPS
    }
    runs, leads, points = case.shape
    about = {
        "store": f"{runs:,} runs x {leads} leads x {points} points of {VARIABLE}, "
        f"{stored.bytes_stored / 1e6:,.0f} MB in {stored.objects} objects",
        "server": f"a Ceph gateway on this machine, {latency_ms:g} ms added to each request",
        "repeats": f"{repeats}, after one that is not counted; medians",
        "versions": describe_versions(("hrrr-dask", "xarray", "zarr", "obstore", "matplotlib")),
        "machine": describe_machine(),
    }
    return {"about": about, "steps": medians}


def parser() -> argparse.ArgumentParser:
    """Its options."""
    made = make_parser("notebook", __doc__, repeats=3, quick="40 days, 4 lead times, 50 points")
    made.add_argument("--latency-ms", type=float, default=30.0, metavar="N", help="of each request (default 30)")
    return made


def collect(given: argparse.Namespace) -> Answer:
    """Measure."""
    with run_gateway() as server:
        return compare(server, QUICK if given.quick else LARGE, given.latency_ms, given.repeats)


def show(answer: Answer) -> None:
    """Print for people."""
    for name, text in answer["about"].items():
        print(f"{name:<10} {text}")
    print(f"\n{'':<20}{'requests':>9}{'MB':>9}{'s':>8}{'ratio':>8}")
    year = answer["steps"]["a point's year"]["seconds"]
    for name, row in answer["steps"].items():
        print(f"{name:<20}{row['requests']:9.0f}{row['bytes'] / 1e6:9.2f}", end="")
        print(f"{row['seconds']:8.2f}{row['seconds'] / year:8.2f}")


def readme_rows(answer: Answer) -> list[Row]:
    """For the README: how much a picture of all lead times costs beyond its values."""
    year, picture = (answer["steps"][name]["requests"] for name in STEPS[1:3])
    return [Row("drawing `plot_leads` of a year", "reading its values", f"{picture / year:.1f} x the requests")]


if __name__ == "__main__":
    run_alone("notebook")
