"""Reference implementation of point values, and helpers for end-to-end tests of stores and the command line.

Reference values: all messages of a file are decoded with ecCodes and matched by GRIB2 numbers, the nearest cell is
found by computing all distances on the sphere, and wind is rotated with the formula for a Lambert cone. This part
shares no code with the package.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import eccodes
import numpy as np
import pytest
from distributed import Client
from distributed.versions import get_versions

from hrrr_dask.job import backfill as job_backfill
from hrrr_dask.job.loop import RunResult
from hrrr_dask.job.pipeline import extract_file, write_partition
from hrrr_dask.store.settings_attribute import SETTINGS, settings_in

LAMBERT_CONE = np.sin(np.radians(38.5))
"""Cone constant of the HRRR projection with one standard parallel."""

NUMBERS = {
    "surface_pressure": (0, 3, 0, 1, 0),
    "surface_roughness": (2, 0, 1, 1, 0),
    "visible_beam_downward_solar_flux": (0, 4, 200, 1, 0),
    "visible_diffuse_downward_solar_flux": (0, 4, 201, 1, 0),
    "temperature_2m": (0, 0, 0, 103, 2),
    "dewpoint_2m": (0, 0, 6, 103, 2),
    "relative_humidity_2m": (0, 1, 1, 103, 2),
    "u_component_wind_10m": (0, 2, 2, 103, 10),
    "v_component_wind_10m": (0, 2, 3, 103, 10),
    "u_component_wind_80m": (0, 2, 2, 103, 80),
    "v_component_wind_80m": (0, 2, 3, 103, 80),
}
"""Discipline, category, number, type of the first fixed surface, level: WMO and NCEP tables."""

WINDS = [
    ("u_component_wind_10m", "v_component_wind_10m"),
    ("u_component_wind_80m", "v_component_wind_80m"),
]


@dataclass(frozen=True)
class Field:
    """A decoded message."""

    numbers: tuple[int, int, int, int, int]
    step: str
    values: np.ndarray
    """dims (cell,), float64, NaN where missing."""
    latitude: np.ndarray
    longitude: np.ndarray
    message: bytes


def read_fields(path):
    """Decode all messages of a GRIB file."""
    fields = []
    with Path(path).open("rb") as file:
        while (handle := eccodes.codes_grib_new_from_file(file)) is not None:
            try:
                fields.append(_field(handle))
            finally:
                eccodes.codes_release(handle)
    return fields


def _field(handle):
    keys = ("discipline", "parameterCategory", "parameterNumber", "typeOfFirstFixedSurface", "level")
    numbers = tuple(eccodes.codes_get(handle, key, int) for key in keys)
    eccodes.codes_set(handle, "missingValue", -1e100)
    values = eccodes.codes_get_values(handle)
    values[values == -1e100] = np.nan
    latitude, longitude = _coordinates(handle)
    step = eccodes.codes_get_string(handle, "stepRange")
    return Field(numbers, step, values, latitude, longitude, eccodes.codes_get_message(handle))


_COORDINATES: dict[str, tuple[np.ndarray, np.ndarray]] = {}


def _coordinates(handle):
    grid = eccodes.codes_get_string(handle, "md5GridSection")
    if grid not in _COORDINATES:
        _COORDINATES[grid] = tuple(eccodes.codes_get_array(handle, key) for key in ("latitudes", "longitudes"))
    return _COORDINATES[grid]


def nearest_cells(latitude, longitude, points):
    """Flat index of the nearest cell of each (latitude, longitude) by great-circle distance to all cells."""
    lat, lon = np.radians(latitude), np.radians(longitude)
    cells = []
    for point_latitude, point_longitude in np.radians(points):
        half = np.sin((lat - point_latitude) / 2) ** 2
        half += np.cos(lat) * np.cos(point_latitude) * np.sin((lon - point_longitude) / 2) ** 2
        cells.append(int(np.argmin(half)))
    return np.array(cells)


def rotate_to_earth(u, v, longitude):
    """Rotate grid-relative components on HRRR's Lambert grid to east and north, float32."""
    alpha = LAMBERT_CONE * np.radians((np.asarray(longitude) - 262.5 + 180) % 360 - 180)
    u, v = np.asarray(u, np.float64), np.asarray(v, np.float64)
    east, north = u * np.cos(alpha) + v * np.sin(alpha), -u * np.sin(alpha) + v * np.cos(alpha)
    return east.astype(np.float32), north.astype(np.float32)


def values_at_points(path, points, lead_hours):
    """Name to float32 values at the points, for the instantaneous messages of a file."""
    fields = {field.numbers: field for field in read_fields(path) if field.step == str(lead_hours)}
    found = {}
    for name, numbers in NUMBERS.items():
        if numbers in fields:
            field = fields[numbers]
            cells = nearest_cells(field.latitude, field.longitude, points)
            found[name] = field.values[cells].astype(np.float32)
            longitude = field.longitude[cells]
    for u, v in WINDS:
        if u in found:
            found[u], found[v] = rotate_to_earth(found[u], found[v], longitude)
    return found


# Content of stores


def as_bits(values):
    """View float32 values as integers, so that NaN equals NaN and -0 differs from 0."""
    return np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)


def object_digests(store, *, ledger=False):
    """Key to the digest of every object of a store in a directory, optionally with the ledger."""
    root = Path(store)
    paths = [path for path in root.rglob("*") if path.is_file()]
    keys = {path.relative_to(root).as_posix(): path for path in paths}
    return {
        key: hashlib.sha256(path.read_bytes()).hexdigest()
        for key, path in sorted(keys.items())
        if ledger or not key.startswith(".hrrr/")
    }


def content_digests(store, *, dates=True):
    """Digests without the ledger, and without the number of growth steps and the sources in the root document.

    With ``dates=False`` also without ``available_at``, for archives whose files have different dates.
    """
    found = object_digests(store)
    root = json.loads((Path(store) / "zarr.json").read_bytes())
    stored = settings_in(root)
    del stored["growth"], stored["source"]
    stored["cohorts"] = [{**cohort, "growth": 0} for cohort in stored["cohorts"]]
    del root["attributes"][SETTINGS]
    found["zarr.json"] = json.dumps([root, stored])
    return {key: digest for key, digest in found.items() if dates or not key.startswith("available_at/c/")}


def ledger_keys(store):
    """Keys of the ledger entries of a store in a directory."""
    return sorted(path.relative_to(store).as_posix() for path in Path(store).glob(".hrrr/ledger/*/*.parquet"))


def write_points(path, points):
    """Write a points file with the ids p0, p1, …"""
    rows = [f"p{number},{latitude},{longitude}" for number, (latitude, longitude) in enumerate(points)]
    Path(path).write_text("\n".join(["point_id,latitude,longitude", *rows]) + "\n")
    return Path(path)


# The command line

CLI = (str(Path(sys.executable).with_name("hrrr-dask")),)


def cli_command(*arguments, **options):
    """Build a command line: ``lead_hours=1`` becomes ``--lead-hours 1``, a list repeats the option, True is a flag, and
    False omits it.
    """
    words = [*CLI, *map(str, arguments)]
    for name, value in options.items():
        for each in value if isinstance(value, list) else [value][: value is not False]:
            words.append("--" + name.replace("_", "-"))
            if each is not True:
                words.append(str(each))
    return words


def run_cli(*arguments, environment=None, **options):
    """Run the command line; returns exit code, printed JSON (or None) and stderr."""
    done = subprocess.run(
        cli_command(*arguments, **options),
        env=environment or dict(os.environ),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    last = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ""
    return done.returncode, json.loads(last) if last.startswith("{") else None, done.stderr


# Without a cluster


def local_versions(packages):
    """Versions as reported by a Dask client, for a cluster that consists of this process."""
    here = get_versions(packages)
    return {"client": here, "scheduler": here, "workers": {"here": here}}


class NoCluster(Client):
    """A connected client of a cluster that consists of this process."""

    status, asynchronous, dashboard_link = "running", False, ""
    get_versions = staticmethod(local_versions)

    def __init__(self):
        """Connect to nothing."""

    def __del__(self):
        """Close nothing."""

    __repr__ = object.__repr__


@contextmanager
def without_dask(reorder=reversed):
    """Make ``backfill(…, client=…)`` run in this process without Dask; yields the client to pass.

    ``reorder`` is called with each partition's list of readings, and of extracts, to change their order in place.
    """

    def serial(client, job, partitions, progress, show):
        reports = []
        for partition in partitions:
            readings = list(partition.readings)
            reorder(readings)
            extracts = [extract for reading in readings for extract in extract_file(reading, job)]
            reorder(extracts)
            reports.append(write_partition(partition, extracts, job))
        return RunResult(tuple(reports), interrupted=False)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job_backfill, "run", serial)
        yield NoCluster()
