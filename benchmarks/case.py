"""The case of :mod:`benchmarks.one_file`: a synthetic file, points on its grid, and the job for our pipeline."""

from __future__ import annotations

import pickle
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np

import hrrr_dask
from hrrr_dask.archive.fetch import FetchSettings
from hrrr_dask.archive.grid_probe import find_point_cells, read_grid_section
from hrrr_dask.archive.sources import parse_source
from hrrr_dask.catalog.products import inventory_key, object_key
from hrrr_dask.catalog.variables import DEFAULT_VARIABLES
from hrrr_dask.config.settings import parse_selection, resolve_settings
from hrrr_dask.grid.points import Points
from hrrr_dask.job.pipeline import Job
from hrrr_dask.planning.layout import Axis, choose_layout
from hrrr_dask.records import GribFile, Reading
from hrrr_dask.store.spec import StoreSpec
from hrrr_dask.testing import GridWindow, write_archive
from hrrr_dask.testing.group_packing import repack_in_short_groups

__all__ = ["FILE", "make_job", "prepare", "scatter_points"]

FILE: Final = GribFile(datetime(2024, 7, 1, 12), 6)
"""In daytime, so that solar fields are not constant."""

N_POINTS: Final = 500


def prepare(work: Path, window: GridWindow, engine: str = "eccodes") -> Path:
    """Write the file, the points on its grid and the job, unless an earlier run has.

    Parameters
    ----------
    work : Path
        Directory to keep them in.
    window : GridWindow
        Cells of the file.
    engine : str
        Decoding engine.

    Returns
    -------
    Path
        Directory of the case.
    """
    case = work / "-".join(["case-short-groups", *map(str, (window.row, window.column, window.ny, window.nx))])
    if not (case / "archive").is_dir():
        draft = case / "draft"
        write_archive(
            draft, init_times=[FILE.init_time], lead_hours=[FILE.lead_hours], variables=DEFAULT_VARIABLES, window=window
        )
        _pack_as_ncep(draft)
        draft.rename(case / "archive")
    job = make_job(case / "archive", window, engine)
    reading = Reading.of(FILE, tuple(variable.name for variable in job.variables))
    (case / "job.pickle").write_bytes(pickle.dumps((reading, job)))
    np.save(case / "cells.npy", np.stack([job.spec.cells.y, job.spec.cells.x]))
    return case


def _pack_as_ncep(archive: Path) -> None:
    """Repack the messages of the file in groups as short as those of NOAA's."""
    grib, index = archive / object_key(FILE), archive / inventory_key(FILE)
    data, inventory, offset, chance = grib.read_bytes(), "", 0, np.random.default_rng(2024)
    lines = [line.split(":", 2) for line in index.read_text().splitlines()]
    starts = [int(start) for _, start, _ in lines]
    with grib.open("wb") as content:
        for (number, _, text), start, stop in zip(lines, starts, [*starts[1:], len(data)], strict=True):
            inventory += f"{number}:{offset}:{text}\n"
            offset += content.write(repack_in_short_groups(data[start:stop], chance))
    index.write_text(inventory)


def make_job(archive: Path, window: GridWindow, engine: str) -> Job:
    """Make the job that ``backfill`` would send to its workers, for the eleven default variables and the points."""
    settings = resolve_settings(cycles=[FILE.init_time.hour], lead_hours=[FILE.lead_hours], engine=engine)
    selection, sources, fetch = parse_selection(settings), (parse_source(str(archive)),), FetchSettings()
    points = scatter_points(window)
    section = read_grid_section([FILE], sources, fetch)
    spec = StoreSpec(
        selection=selection,
        points=points,
        cells=find_point_cells(points, section, selection.method),
        grid_section=section,
        layout=choose_layout(selection, len(points)),
        axis=Axis(FILE.init_time.replace(hour=0), selection.cycles),
        asked_from=0,
        n_days=1,
        package_version=hrrr_dask.__version__,
        sources=tuple(source.url for source in sources),
    )
    merge_gap_bytes = settings["fetch"]["merge-gap-kb"] * 1024
    return Job("one-file", spec, "", (), sources, fetch, settings["engine"], merge_gap_bytes, hrrr_dask.__version__)


def scatter_points(window: GridWindow, share: float = 1.0) -> Points:
    """Return 500 points within a window, always the same; ``share`` limits them to the southern rows."""
    chance = np.random.default_rng(2024)
    rows, columns = (chance.uniform(1, size - 2, N_POINTS) for size in (share * window.ny, window.nx))
    latitude, longitude = window.latlon(rows, columns)
    names = tuple(f"p{number:04d}" for number in range(N_POINTS))
    return Points(names, names, latitude, longitude)
