"""A process of :mod:`benchmarks.hourly_update`: fills a partition with runs, or adds one run and times that.

It imports only what another checkout of hrrr_dask has too, and takes a JSON object as its argument.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

import hrrr_dask
from hrrr_dask.archive.fetch import FetchSettings
from hrrr_dask.archive.grid_probe import find_point_cells
from hrrr_dask.catalog.variables import DEFAULT_VARIABLES, parse_variables
from hrrr_dask.config.settings import Selection
from hrrr_dask.grid.points import Points
from hrrr_dask.job.pipeline import Job, write_partition
from hrrr_dask.planning.layout import Axis, choose_layout
from hrrr_dask.records import Extract, FileOutcome, GribFile, Origin, Partition, Reading
from hrrr_dask.store import store as store_module
from hrrr_dask.store.merge import Piece
from hrrr_dask.store.spec import Growth, StoreSpec
from hrrr_dask.store.store import Store
from hrrr_dask.testing import GridWindow

FIRST_DAY = datetime(2024, 1, 1)


def main(given: dict[str, Any]) -> dict[str, Any]:
    """Do what the parent wants."""
    if given["at_once"] and hasattr(store_module, "SHARDS_AT_ONCE"):
        store_module.SHARDS_AT_ONCE = given["at_once"]
    spec = make_spec(given["n_points"], given["n_leads"], given["partition_days"])
    store = Store(given["url"], {"endpoint": given["endpoint"]}, spec).make_or_grow(Growth())
    stop = round(given["share"] * spec.span) - given["before"]
    if given["fill"]:
        fill(store, range(round(given["filled"] * spec.span), stop))
        return {}
    way = (("endpoint", given["through"]),)
    job = Job("hourly", store.spec, given["url"], way, (), FetchSettings(), "eccodes", 0, "0")
    return update(job, stop) | {"layout": asdict(spec.layout)}


def make_spec(n_points: int, n_leads: int, partition_days: int) -> StoreSpec:
    """Return the specification of a store of hourly runs of the default variables."""
    selection = Selection(parse_variables(list(DEFAULT_VARIABLES)), tuple(range(0, 60 * n_leads, 60)))
    window = GridWindow(0, 0, 1059, 1799)
    chance = np.random.default_rng(2024)
    latitude, longitude = window.latlon(*(chance.uniform(1, size - 2, n_points) for size in window.shape))
    names = tuple(f"p{number:05d}" for number in range(n_points))
    points, section = Points(names, names, latitude, longitude), window.section3()
    return StoreSpec(
        selection=selection,
        points=points,
        cells=find_point_cells(points, section, selection.method),
        grid_section=section,
        layout=choose_layout(selection, n_points, partition_days=partition_days),
        axis=Axis(FIRST_DAY, selection.cycles),
        asked_from=0,
        n_days=366,
        package_version=hrrr_dask.__version__,
        sources=(),
    )


def values_of(spec: StoreSpec, variable: int, run: int) -> NDArray[np.float32]:
    """Return values that compress about as real ones do: in steps of 1/16, dims (lead_time, point)."""
    chance = np.random.default_rng([variable, run])
    hours = run + np.arange(len(spec.selection.lead_minutes))[:, None]
    points = np.arange(len(spec.points))
    regular = 285 + variable + 8 * np.sin(2 * np.pi * hours / 24 + points) + 3 * np.sin(hours / 37 + points / 7)
    noise = 0.4 * np.sqrt(1 + hours - run) * chance.standard_normal((len(hours), len(points)))
    found: NDArray[np.float32] = (np.round(16 * (regular + noise)) / 16).astype(np.float32)
    return found


def fill(store: Store, runs: range) -> None:
    """Merge runs into the first partition, one variable after the other, without a ledger entry."""
    for v, variable in enumerate(store.spec.selection.variables):
        pieces = [
            Piece(run, lead, 0, values, complete=True)
            for run in runs
            for lead, values in enumerate(values_of(store.spec, v, run))
        ]
        if pieces:
            store.merge(0, {variable.name: pieces})


def update(job: Job, run: int) -> dict[str, Any]:
    """Write one run as ``hrrr-dask update`` does: shards, ledger entry, status."""
    extracts = list(extracts_of(job.spec, run))
    names = extracts[0].outcome.wanted
    partition = Partition(0, tuple(Reading.of(extract.outcome.file, names) for extract in extracts), run)
    began = time.perf_counter()
    report = write_partition(partition, extracts, job)
    return {
        "seconds": time.perf_counter() - began,
        "bytes_written": report.bytes_written,
        "bytes_new": sum(extract.values.nbytes for extract in extracts),
    }


def extracts_of(spec: StoreSpec, run: int) -> Iterator[Extract]:
    """Yield the extracts of the files of one run."""
    names = tuple(variable.name for variable in spec.selection.variables)
    values = np.stack([values_of(spec, v, run) for v in range(len(names))], axis=1)
    for lead, own in zip(spec.selection.lead_minutes, values, strict=True):
        outcome = FileOutcome(
            GribFile(spec.axis.init_time(run), lead // 60),
            lead,
            names,
            {},
            origin=Origin(published=FIRST_DAY),
            n_points=len(spec.points),
        )
        yield Extract(np.ascontiguousarray(own), outcome)


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
