"""Compares the cost of one file, eleven variables and 500 points with that of cfgrib.

Run ``python -m benchmarks one_file``. Every measurement runs in its own process, and nothing is printed before all
contenders have returned the same values. Beside that it counts what is downloaded of the file for fewer points.
"""

from __future__ import annotations

import argparse
import pickle
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

# A contender's process loads this module: only the standard library and numpy here, or its imports would be shared.
import numpy as np
from numpy.typing import NDArray

from benchmarks.measuring import (
    NANNY,
    Measurement,
    describe_environment,
    describe_machine,
    describe_versions,
    measure,
    medians,
    spawn,
)
from benchmarks.running import Answer, Row, default_engine, make_parser, run_alone, working

if TYPE_CHECKING:
    from hrrr_dask.testing import GridWindow

WHOLE: Final = (0, 0, 1059, 1799)
QUICK: Final = (288, 794, 40, 50)

OURS: Final = "hrrr_dask"

PEER_KEYS: Final = {
    "surface_pressure": ("sp", "surface", 0),
    "surface_roughness": ("fsr", "surface", 0),
    "visible_beam_downward_solar_flux": ("vbdsf", "surface", 0),
    "visible_diffuse_downward_solar_flux": ("vddsf", "surface", 0),
    "temperature_2m": ("2t", "heightAboveGround", 2),
    "dewpoint_2m": ("2d", "heightAboveGround", 2),
    "relative_humidity_2m": ("2r", "heightAboveGround", 2),
    "u_component_wind_10m": ("10u", "heightAboveGround", 10),
    "v_component_wind_10m": ("10v", "heightAboveGround", 10),
    "u_component_wind_80m": ("u", "heightAboveGround", 80),
    "v_component_wind_80m": ("v", "heightAboveGround", 80),
}
"""Variable to shortName, typeOfLevel and level, as ecCodes 2.50 has them."""

POINTS: Final = (1, 3, 10, 30, 100, 500)
"""Numbers of points anywhere in the grid for which downloads are counted."""

DRAWS: Final = 20
"""Random choices of so many points."""

CITIES: Final = ((43.62, 32.78, 40.71), (-116.20, -96.80, -74.01))
"""Latitude and longitude of Boise, Dallas and New York, three points as people have them [degrees]."""

Values = NDArray[np.float32]
"""dims (variable, point) [units of the catalogue]."""

Work = Callable[[], Values]


def extract_with_hrrr_dask(case: Path) -> Work:
    """Our path: what a worker does with one file, winds turned to east and north included."""
    from hrrr_dask.decode import get_engine
    from hrrr_dask.job.pipeline import extract_file

    reading, job = pickle.loads((case / "job.pickle").read_bytes())
    get_engine(job.engine)  # a worker imports it once, at its first file

    def work() -> Values:
        (extract,) = extract_file(reading, job)
        if extract.outcome.reasons:
            raise RuntimeError(f"the synthetic file has gaps: {extract.outcome.details}")
        return extract.values

    return work


def open_all_with_cfgrib(case: Path) -> Work:
    """Peer (a): ``cfgrib.open_datasets`` on the file, then the eleven variables at the cells."""
    import cfgrib
    import xarray as xr

    xr.backends.list_engines()
    cells = _cells(case)

    def work() -> Values:
        found = {}
        for dataset in cfgrib.open_datasets(str(_grib(case))):
            for field in dataset.data_vars.values():
                place = field.attrs["GRIB_typeOfLevel"]
                if place in dataset.coords and dataset[place].ndim == 0:
                    found[field.attrs["GRIB_shortName"], place, int(dataset[place])] = field
        return np.stack([found[key].isel(cells).to_numpy() for key in PEER_KEYS.values()])

    return work


def open_each_with_xarray(case: Path) -> Work:
    """Peer (b): ``xarray.open_dataset`` with a filter, once for each variable."""
    import cfgrib  # noqa: F401  the engine
    import xarray as xr

    xr.backends.list_engines()
    cells = _cells(case)

    def one(short_name: str, place: str, level: int) -> Values:
        keys = {"shortName": short_name, "typeOfLevel": place, "level": level}
        options = {"filter_by_keys": keys, "indexpath": ""}
        with xr.open_dataset(_grib(case), engine="cfgrib", backend_kwargs=options) as dataset:
            (field,) = dataset.data_vars.values()
            values: Values = field.isel(cells).to_numpy()
            return values

    return lambda: np.stack([one(*key) for key in PEER_KEYS.values()])


CONTENDERS: Final[dict[str, Callable[[Path], Work]]] = {
    OURS: extract_with_hrrr_dask,
    "cfgrib.open_datasets": open_all_with_cfgrib,
    "xr.open_dataset x 11": open_each_with_xarray,
}
"""Label to a function that imports and prepares, and gives the work that is measured. The first is ours."""


def compare(case: Path, label: str, values: Values, ours: Values) -> None:
    """Refuse a contender whose values are not ours, bit for bit; a peer's winds are turned first.

    Raises
    ------
    RuntimeError
        Naming the variables that differ.
    """
    from hrrr_dask.grid.projection import rotate_to_earth

    names = list(PEER_KEYS)
    turned = values.copy()
    if label != OURS:
        _, job = pickle.loads((case / "job.pickle").read_bytes())
        angle = job.placement.angle[:, 0]
        for height in ("10m", "80m"):
            pair = [names.index(f"{axis}_component_wind_{height}") for axis in "uv"]
            turned[pair] = rotate_to_earth(values[pair[0]], values[pair[1]], angle)
    bits, wanted = turned.view(np.uint32), ours.view(np.uint32)
    other = [name for k, name in enumerate(names) if np.isnan(turned[k]).any() or (bits[k] != wanted[k]).any()]
    if other:
        raise RuntimeError(f"{label} has other values than hrrr_dask: {', '.join(other)}; no figure is worth printing")


def measure_one(label: str, case: str) -> dict[str, float]:
    """Measure a contender in this process, and leave the values in the case's directory."""
    measurement, values = measure(CONTENDERS[label](Path(case)))
    np.save(Path(case) / "values.npy", values)
    return asdict(measurement)


def race(case: Path, repeats: int, environment: dict[str, str]) -> dict[str, list[Measurement]]:
    """Measure the contenders in turn, again and again, and compare their values each time."""
    found: dict[str, list[Measurement]] = {label: [] for label in CONTENDERS}
    _grib(case).read_bytes()  # nobody pays for the disk
    for _ in range(repeats):
        ours: Values | None = None
        for label in CONTENDERS:
            for index in _grib(case).parent.glob(f"{_grib(case).name}.*.idx"):
                index.unlink()  # cfgrib's own: in a back-fill every file is new
            one = spawn("benchmarks.one_file.measure_one", environment, label=label, case=str(case))
            found[label].append(Measurement(**one))
            values = np.load(case / "values.npy")
            ours = values if ours is None else ours
            compare(case, label, values, ours)
    return found


def summarise(found: dict[str, list[Measurement]]) -> dict[str, dict[str, float]]:
    """Medians of each contender, and their ratios to ours."""
    rows: dict[str, dict[str, float]] = {}
    for label, measurements in found.items():
        rows[label] = medians([asdict(measurement) for measurement in measurements])
    ours = dict(rows[OURS])
    for row in rows.values():
        row |= {f"{name}_ratio": row[name] / ours[name] for name in ("cpu_s", "wall_s", "peak_bytes")}
    return rows


def count_downloads(case: Path) -> list[dict[str, Any]]:
    """Count what is downloaded for points anywhere: by prefixes alone, and with parts of simple packing as well."""
    from hrrr_dask.archive.fetch import Tally, get_client
    from hrrr_dask.archive.messages import FileMessages, read_messages
    from hrrr_dask.archive.prefixes import REQUEST_BYTES, Prefixes
    from hrrr_dask.grid.definition import find_nearest_cells
    from hrrr_dask.job.extract import wanted_messages

    reading, job = pickle.loads((case / "job.pickle").read_bytes())
    client, grid = get_client(job.sources[0], job.fetch), job.spec.grid
    wanted = {lead: wanted_messages(job.variables) for lead, _ in reading.by_lead}

    def read(tally: Tally, prefixes: Prefixes | None) -> FileMessages:
        found = read_messages(client, reading.file, wanted, grid, tally, job.merge_gap_bytes, prefixes)
        return next(iter(found.values()))

    def read_twice(cells: NDArray[np.int64], request_bytes: int) -> tuple[float, float, float]:
        prefixes, first, second = Prefixes(cells, grid.nx * grid.ny, request_bytes), Tally(), Tally()
        for tally in (first, second):  # the second file of a process has learned from its first
            read(tally, prefixes)
        return second.requests, second.bytes_read / whole, first.bytes_read / whole

    whole, chance, rows = sum(map(len, read(Tally(), None).messages.values())), np.random.default_rng(2024), []
    choices = {
        f"{n_points} anywhere": [np.sort(chance.permutation(job.placement.wanted)[:n_points]) for _ in range(DRAWS)]
        for n_points in POINTS
    }
    if (grid.ny, grid.nx) == WHOLE[2:]:
        choices["3 cities"] = [np.sort(find_nearest_cells(grid, *map(np.array, CITIES)).index.ravel())]
    for points, draws in choices.items():
        row: dict[str, Any] = {"points": points}
        for kind, request_bytes in (("prefixes", 1 << 62), ("parts", REQUEST_BYTES)):
            counts = np.array([read_twice(cells, request_bytes) for cells in draws])
            names = (f"{kind}_requests", f"{kind}_bytes_ratio", f"{kind}_bytes_ratio_first_file")
            row |= dict(zip(names, np.median(counts, axis=0).tolist(), strict=True))
            row[f"{kind}_bytes_ratio_highest"] = float(counts[:, 1].max())
        rows.append(row)
    return rows


def describe(case: Path, window: GridWindow, given: argparse.Namespace, environment: dict[str, str]) -> dict[str, str]:
    """Under which circumstances the figures hold."""
    path = _grib(case)
    messages = len(path.with_name(f"{path.name}.idx").read_text().splitlines())
    n_points = np.load(case / "cells.npy").shape[1]
    packages = ("hrrr-dask", "eccodes", "cfgrib", "xarray", "numpy")
    return {
        "file": f"{messages} messages of {window.ny} x {window.nx} cells, {path.stat().st_size / 1e6:.1f} MB",
        "wanted": f"{len(PEER_KEYS)} variables at {n_points} points; engine {given.engine}",
        "repeats": f"{given.repeats}, interleaved, each in its own process; medians",
        "environment": describe_environment(environment),
        "versions": describe_versions(packages),
        "machine": describe_machine(),
        "values": "the same bits from all contenders, in every repeat",
    }


def parser() -> argparse.ArgumentParser:
    """Its options."""
    from hrrr_dask.decode import ENGINES

    made = make_parser("one_file", __doc__, repeats=5, quick="a window of the grid", work="the synthetic file")
    made.add_argument("--engine", choices=ENGINES, default=default_engine(), help="ours (default %(default)s)")
    made.add_argument("--nanny-environment", action="store_true", help="as on a Dask worker: MALLOC_TRIM_THRESHOLD_")
    made.add_argument("--window", type=int, nargs=4, metavar=("ROW", "COLUMN", "NY", "NX"), help="only these cells")
    return made


def collect(given: argparse.Namespace) -> Answer:
    """Measure."""
    from benchmarks.case import prepare
    from hrrr_dask.testing import GridWindow

    window = GridWindow(*(given.window or (QUICK if given.quick else WHOLE)))
    environment = NANNY if given.nanny_environment else {}
    with working(given.work) as work:
        case = prepare(work, window, given.engine)
        found = race(case, given.repeats, environment)
        downloads = count_downloads(case)
        about = describe(case, window, given, environment)
    every = {label: [asdict(one) for one in measurements] for label, measurements in found.items()}
    return {"about": about, "medians": summarise(found), "downloads": downloads, "measurements": every}


def show(answer: Answer) -> None:
    """Print for people."""
    for name, text in answer["about"].items():
        print(f"{name:<12} {text}")
    print(f"\n{'':<22}{'CPU s':>8}{'ratio':>7}{'peak MB':>9}{'ratio':>7}{'wall s':>8}{'imports CPU s':>15}")
    for label, row in answer["medians"].items():
        print(
            f"{label:<22}{row['cpu_s']:8.3f}{row['cpu_s_ratio']:7.2f}{row['peak_bytes'] / 1e6:9.1f}"
            f"{row['peak_bytes_ratio']:7.2f}{row['wall_s']:8.3f}{row['imports_cpu_s']:15.2f}"
        )
    print(f"\n{'downloads':<22}{'prefixes':>24}{'parts as well':>24}{'first file':>12}")
    print(f"{'':<22}{'requests':>10}{'bytes':>7}{'most':>7}{'requests':>10}{'bytes':>7}{'most':>7}{'bytes':>12}")
    for row in answer["downloads"]:
        print(
            f"{row['points']:<22}{row['prefixes_requests']:10.0f}{row['prefixes_bytes_ratio']:7.2f}"
            f"{row['prefixes_bytes_ratio_highest']:7.2f}{row['parts_requests']:10.0f}{row['parts_bytes_ratio']:7.2f}"
            f"{row['parts_bytes_ratio_highest']:7.2f}{row['parts_bytes_ratio_first_file']:12.2f}"
        )


def readme_rows(answer: Answer) -> list[Row]:
    """For the README: CPU time and memory of the peers."""
    what = "eleven variables at 500 points out of a file on disk"
    return [
        Row(what, label, f"{row['cpu_s_ratio']:.1f} x the CPU time, {row['peak_bytes_ratio']:.1f} x the memory")
        for label, row in answer["medians"].items()
        if label != OURS
    ]


def _grib(case: Path) -> Path:
    (path,) = case.glob("archive/*/*/*.grib2")
    return path


def _cells(case: Path) -> Any:
    """What ``isel`` takes to pick single cells."""
    import xarray as xr

    return {
        axis: xr.DataArray(index, dims="point") for axis, index in zip("yx", np.load(case / "cells.npy"), strict=True)
    }


if __name__ == "__main__":
    run_alone("one_file")
