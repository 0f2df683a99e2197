"""The Zarr store as documents: a pure function from its specification to every metadata object and coordinate chunk.

Growing is the same function with more days. zarr writes into a dictionary; nothing here touches a disk or a bucket.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec
from zarr.core.buffer import Buffer
from zarr.storage import MemoryStore

from hrrr_dask.config import Selection
from hrrr_dask.grid import read_grid
from hrrr_dask.outcomes import NOT_INGESTED, OUTCOMES
from hrrr_dask.planning import Axis, Layout
from hrrr_dask.points import Points
from hrrr_dask.projection import Grid
from hrrr_dask.records import Cells
from hrrr_dask.variables import Variable, companion_of

__all__ = ["FORMAT_VERSION", "ROOT_KEY", "StoreSpec", "build_template", "identity"]

FORMAT_VERSION: Final = 1
"""Raised when a store of an older version cannot be continued."""

ROOT_KEY: Final = "zarr.json"
"""The root document: holds the consolidated metadata, and is written last."""

AXIS_YEARS: Final = 40
"""The init_time chunk holds this many years from the start, so that growing never rewrites it [a]."""

VALID_TIME_DAYS: Final = 366
"""Days of init times in one chunk of valid_time [d]."""

_DIMS: Final = ("init_time", "lead_time", "point")
_HOURS: Final = "hours since 1970-01-01 00:00:00"
_COORDINATES: Final = (
    "valid_time point_id name latitude longitude cell_latitude cell_longitude cell_y cell_x cell_distance status"
)


@dataclass(frozen=True)
class StoreSpec:
    """Everything that fixes a store, and how many days it has."""

    selection: Selection
    """Variables, lead times, cycles, product, domain, method."""
    points: Points
    """The places asked for."""
    cells: Cells
    """The grid cells that serve them."""
    grid_section: bytes
    """Section 3 of the messages that the points were placed on."""
    layout: Layout
    """Sizes of shards and chunks."""
    axis: Axis
    """First day and cycles."""
    n_days: int
    """Days of the init_time axis [d]."""

    @property
    def grid(self) -> Grid:
        """The grid of the messages."""
        return read_grid(self.grid_section)

    @property
    def n_init(self) -> int:
        """Length of the init_time axis."""
        return self.n_days * len(self.axis.cycles)

    @property
    def span(self) -> int:
        """Init times in one partition."""
        return self.layout.partition_days * len(self.axis.cycles)


def identity(selection: Selection, points: Points) -> dict[str, Any]:
    """What must be equal to continue a store, ready for JSON."""
    return {
        "product": selection.product,
        "domain": selection.domain,
        "method": selection.method,
        "cycles": list(selection.cycles),
        "lead_hours": list(selection.lead_hours),
        "variables": [f"{variable.name}={variable.selector}" for variable in selection.variables],
        "points": f"{len(points)} points, digest {points.digest()}",
    }


def build_template(spec: StoreSpec, package_version: str) -> dict[str, bytes]:
    """Every metadata document and coordinate chunk of a store.

    Parameters
    ----------
    spec : StoreSpec
        The store.
    package_version : str
        Recorded in the group's attributes.

    Returns
    -------
    dict of str to bytes
        Key to object, in the order in which they must be written: the root document comes last.
    """
    objects: dict[str, Buffer] = {}
    group = zarr.create_group(MemoryStore(objects), zarr_format=3, attributes=_group_attributes(spec, package_version))
    _add_times(group, spec)
    _add_points(group, spec)
    _add_status(group, spec)
    for variable in spec.selection.variables:
        _add_variable(group, spec, variable)
    documents = {key: buffer.to_bytes() for key, buffer in objects.items()}
    _shorten(documents, "init_time", spec.n_init)
    _shorten(documents, "valid_time", spec.n_init)
    root = json.loads(documents.pop(ROOT_KEY))
    names = sorted(key.removesuffix("/zarr.json") for key in documents if key.endswith("/zarr.json"))
    root["consolidated_metadata"] = {
        "kind": "inline",
        "must_understand": False,
        "metadata": {name: json.loads(documents[f"{name}/zarr.json"]) for name in names},
    }
    documents[ROOT_KEY] = json.dumps(root, indent=1).encode()
    return documents


def _group_attributes(spec: StoreSpec, package_version: str) -> dict[str, Any]:
    return {
        "Conventions": "CF-1.11",
        "title": f"HRRR forecasts at {len(spec.points)} points",
        "institution": "NOAA/NCEP; extracted with hrrr_dask",
        "source": f"NOAA HRRR, {spec.selection.domain}, wrf{spec.selection.product} files",
        "references": "https://registry.opendata.aws/noaa-hrrr-pds",
        "featureType": "timeSeries",
        "coordinates": "crs",  # for xarray: the grid mapping is no data variable
        "hrrr_dask": {
            "format_version": FORMAT_VERSION,
            "package_version": package_version,
            **identity(spec.selection, spec.points),
            "layout": asdict(spec.layout),
            "first_day": f"{spec.axis.first_day:%Y-%m-%d}",
            "n_days": spec.n_days,
            "grid": spec.grid.describe(),
            "grid_section": spec.grid_section.hex(),
        },
    }


def _add_times(group: zarr.Group, spec: StoreSpec) -> None:
    epoch = datetime(1970, 1, 1)
    start = int((spec.axis.first_day - epoch).total_seconds()) // 3600
    cycles = np.asarray(spec.axis.cycles, dtype=np.int64)

    def hours(days: int) -> NDArray[np.int64]:
        return (start + 24 * np.arange(days, dtype=np.int64)[:, None] + cycles).ravel()

    inits = hours(366 * AXIS_YEARS)
    _add(
        group,
        "init_time",
        ("init_time",),
        inits,
        {
            "standard_name": "forecast_reference_time",
            "long_name": "start of the model run",
            "units": _HOURS,
            "calendar": "proleptic_gregorian",
            "axis": "T",
        },
    )
    leads = np.asarray(spec.selection.lead_hours, dtype=np.int64)
    _add(
        group,
        "lead_time",
        ("lead_time",),
        leads,
        {
            "standard_name": "forecast_period",
            "long_name": "time since the start of the run",
            "units": "hours",
            "dtype": "timedelta64[ns]",
        },
    )
    chunk = VALID_TIME_DAYS * len(cycles)
    n_chunks = -(-spec.n_init // chunk)
    _add(
        group,
        "valid_time",
        ("init_time", "lead_time"),
        hours(VALID_TIME_DAYS * n_chunks)[:, None] + leads,
        {
            "standard_name": "time",
            "long_name": "time for which the forecast holds",
            "units": _HOURS,
            "calendar": "proleptic_gregorian",
        },
        chunks=(chunk, len(leads)),
    )


def _add_points(group: zarr.Group, spec: StoreSpec) -> None:
    points, cells = spec.points, spec.cells
    degrees = {"latitude": ("latitude", "degrees_north"), "longitude": ("longitude", "degrees_east")}

    def place(axis: str, what: str) -> dict[str, Any]:
        standard_name, units = degrees[axis]
        return {"standard_name": standard_name, "units": units, "long_name": f"{axis} {what}"}

    columns: list[tuple[str, NDArray[Any], dict[str, Any]]] = [
        ("point_id", np.array(points.point_id, dtype=object), {"cf_role": "timeseries_id", "long_name": "point"}),
        ("name", np.array(points.name, dtype=object), {"long_name": "name of the point"}),
        ("latitude", points.latitude, place("latitude", "asked for")),
        ("longitude", points.longitude, place("longitude", "asked for")),
        ("cell_latitude", cells.latitude, place("latitude", "of the nearest grid cell's centre")),
        ("cell_longitude", cells.longitude, place("longitude", "of the nearest grid cell's centre")),
        ("cell_y", cells.y, {"long_name": "row of the nearest grid cell, from the south", "units": "1"}),
        ("cell_x", cells.x, {"long_name": "column of the nearest grid cell, from the west", "units": "1"}),
        ("cell_distance", cells.distance, {"long_name": "distance to the nearest grid cell's centre", "units": "m"}),
    ]
    for name, values, attributes in columns:
        _add(group, name, ("point",), values, attributes)
    crs = group.create_array(
        "crs", shape=(), dtype="int32", fill_value=0, attributes=dict[str, Any](spec.grid.cf_attributes())
    )
    crs[...] = 0


def _add_status(group: zarr.Group, spec: StoreSpec) -> None:
    attributes: dict[str, Any] = {
        "long_name": "what came of the file",
        "standard_name": "status_flag",
        "flag_values": [outcome.number for outcome in OUTCOMES.values()],
        "flag_meanings": " ".join(outcome.name for outcome in OUTCOMES.values()),
        "comment": "the gravest of its variables; each variable's own is in the ledger",
    }
    shape = (spec.n_init, len(spec.selection.lead_hours))
    group.create_array(
        "status",
        shape=shape,
        chunks=(spec.span, shape[1]),
        dtype="uint8",
        fill_value=NOT_INGESTED,
        compressors=_codec(1),
        dimension_names=_DIMS[:2],
        attributes=attributes,
    )


def _add_variable(group: zarr.Group, spec: StoreSpec, variable: Variable) -> None:
    layout, n_leads = spec.layout, len(spec.selection.lead_hours)
    discipline, category, number = variable.numbers
    attributes: dict[str, Any] = {
        "long_name": variable.long_name,
        "units": variable.units,
        "coordinates": _COORDINATES,
        "grid_mapping": "crs",
        "hrrr_selector": str(variable.selector),
        "grib2_discipline": discipline,
        "grib2_category": category,
        "grib2_number": number,
    }
    optional = {"standard_name": variable.standard_name, "cell_methods": variable.cell_methods}
    attributes |= {key: value for key, value in optional.items() if value}
    if companion_of(variable.selector):
        attributes["comment"] = "earth-relative: turned from the model grid's axes to east and north"
    group.create_array(
        variable.name,
        shape=(spec.n_init, n_leads, len(spec.points)),
        chunks=(spec.span, n_leads, layout.chunk_points),
        shards=(spec.span, n_leads, layout.shard_points),
        dtype="float32",
        fill_value=np.nan,
        compressors=_codec(4),
        dimension_names=_DIMS,
        attributes=attributes,
    )


def _add(
    group: zarr.Group,
    name: str,
    dims: tuple[str, ...],
    values: NDArray[Any],
    attributes: dict[str, Any],
    chunks: tuple[int, ...] | None = None,
) -> None:
    text = values.dtype == object
    array = group.create_array(
        name,
        shape=values.shape,
        chunks=chunks or values.shape,
        dtype=str if text else values.dtype,
        compressors="auto" if text else _codec(values.dtype.itemsize),
        dimension_names=dims,
        attributes=attributes,
    )
    array[...] = values


def _codec(itemsize: int) -> BloscCodec:
    return BloscCodec(typesize=itemsize, cname="zstd", clevel=3, shuffle="shuffle")


def _shorten(documents: dict[str, bytes], name: str, length: int) -> None:
    """Let the array end where the axis ends; its last chunk goes on holding what comes after."""
    document = json.loads(documents[f"{name}/zarr.json"])
    document["shape"][0] = length
    documents[f"{name}/zarr.json"] = json.dumps(document, indent=2).encode()
