"""Another route to the values at the points, and how the end-to-end tests look at a store.

The values: every message of a file with ecCodes, matched by its GRIB2 numbers; the nearest cell by trying all of them
on the sphere; wind turned by the formula for a Lambert cone. That half shares no code with the package.
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
from types import SimpleNamespace

import eccodes
import numpy as np
import pytest
from distributed.versions import get_versions

from hrrr_dask.job import execution
from hrrr_dask.job.loop import RunResult
from hrrr_dask.job.pipeline import extract_file, write_partition

LAMBERT_CONE = np.sin(np.radians(38.5))
"""HRRR's cone constant: one standard parallel."""

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
    """One decoded message."""

    numbers: tuple[int, int, int, int, int]
    step: str
    values: np.ndarray
    """dims (cell,), float64, NaN where the bitmap has none."""
    latitude: np.ndarray
    longitude: np.ndarray
    message: bytes


def read_fields(path):
    """Every message of a GRIB file."""
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
    latitude, longitude = _places(handle)
    step = eccodes.codes_get_string(handle, "stepRange")
    return Field(numbers, step, values, latitude, longitude, eccodes.codes_get_message(handle))


_PLACES: dict[str, tuple[np.ndarray, np.ndarray]] = {}


def _places(handle):
    grid = eccodes.codes_get_string(handle, "md5GridSection")
    if grid not in _PLACES:
        _PLACES[grid] = tuple(eccodes.codes_get_array(handle, key) for key in ("latitudes", "longitudes"))
    return _PLACES[grid]


def nearest_cells(latitude, longitude, points):
    """Flat index of the nearest cell for each (latitude, longitude): great-circle, all cells tried."""
    lat, lon = np.radians(latitude), np.radians(longitude)
    cells = []
    for point_latitude, point_longitude in np.radians(points):
        half = np.sin((lat - point_latitude) / 2) ** 2
        half += np.cos(lat) * np.cos(point_latitude) * np.sin((lon - point_longitude) / 2) ** 2
        cells.append(int(np.argmin(half)))
    return np.array(cells)


def to_earth(u, v, longitude):
    """Grid-relative components on HRRR's Lambert grid turned to east and north, float32."""
    alpha = LAMBERT_CONE * np.radians((np.asarray(longitude) - 262.5 + 180) % 360 - 180)
    u, v = np.asarray(u, np.float64), np.asarray(v, np.float64)
    east, north = u * np.cos(alpha) + v * np.sin(alpha), -u * np.sin(alpha) + v * np.cos(alpha)
    return east.astype(np.float32), north.astype(np.float32)


def file_at_points(path, points, lead_hours):
    """Name to float32 values at the points, of the instants in a file."""
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
            found[u], found[v] = to_earth(found[u], found[v], longitude)
    return found


# Looking at stores


def bits(values):
    """Float32 as integers, so that NaN equals NaN and -0 differs from 0."""
    return np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)


def objects(store, *, ledger=False):
    """Key to the digest of every object of a store in a directory; without the ledger unless told."""
    root = Path(store)
    paths = [path for path in root.rglob("*") if path.is_file()]
    keys = {path.relative_to(root).as_posix(): path for path in paths}
    return {
        key: hashlib.sha256(path.read_bytes()).hexdigest()
        for key, path in sorted(keys.items())
        if ledger or not key.startswith(".hrrr/")
    }


def contents(store, *, dates=True):
    """The same, but in the root document not how many steps it took to come there, nor where its files came from;
    without since when they were available, if the dates of the archive's files differ.
    """
    found = objects(store)
    root = json.loads((Path(store) / "zarr.json").read_bytes())
    said = root["attributes"]["hrrr_dask"]
    del said["growth"], said["source"]
    said["cohorts"] = [{**cohort, "growth": 0} for cohort in said["cohorts"]]
    found["zarr.json"] = json.dumps(root)
    return {key: digest for key, digest in found.items() if dates or not key.startswith("available_at/c/")}


def ledger_keys(store):
    """Entries of a store in a directory."""
    return sorted(path.relative_to(store).as_posix() for path in Path(store).glob(".hrrr/ledger/*/*.parquet"))


def write_points(path, points):
    """A points file with ids p0, p1, …"""
    rows = [f"p{number},{latitude},{longitude}" for number, (latitude, longitude) in enumerate(points)]
    Path(path).write_text("\n".join(["point_id,latitude,longitude", *rows]) + "\n")
    return Path(path)


# The command line

CLI = (str(Path(sys.executable).with_name("hrrr-dask")),)


def command(*arguments, **options):
    """The command line: ``lead_hours=1`` becomes ``--lead-hours 1``, a list repeats the option, True is a flag and
    False leaves it out.
    """
    words = [*CLI, *map(str, arguments)]
    for name, value in options.items():
        for each in value if isinstance(value, list) else [value][: value is not False]:
            words.append("--" + name.replace("_", "-"))
            if each is not True:
                words.append(str(each))
    return words


def run_cli(*arguments, environment=None, **options):
    """Run it; returns exit code, the JSON that it printed (or None), stderr."""
    done = subprocess.run(
        command(*arguments, **options),
        env=environment or dict(os.environ),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    last = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ""
    return done.returncode, json.loads(last) if last.startswith("{") else None, done.stderr


# Without a cluster


def versions_here(packages):
    """As a client says them, of a cluster that is this process."""
    here = get_versions(packages)
    return {"client": here, "scheduler": here, "workers": {"here": here}}


@contextmanager
def without_dask(reorder=reversed):
    """Let ``backfill(…, client=…)`` do its work in this process; yields the client to give it.

    ``reorder`` is called on each partition's list of readings, and of extracts, and may change its order in place.
    """

    def serial(client, job, partitions, progress, show):
        reports = []
        for partition in partitions:
            readings = list(partition.readings)
            reorder(readings)
            extracts = [extract_file(reading, job) for reading in readings]
            reorder(extracts)
            reports.append(write_partition(partition, extracts, job))
        return RunResult(tuple(reports), interrupted=False)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(execution, "run", serial)
        yield SimpleNamespace(dashboard_link="", get_versions=versions_here)
