"""Makes every metadata document and coordinate chunk of a Zarr store from its specification. Pure.

A store grows by the same function with more days. zarr writes to a dictionary; nothing here reads or writes objects.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Final

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec
from zarr.core.buffer import Buffer
from zarr.storage import MemoryStore

from hrrr_dask.catalog.variables import Variable, find_companion
from hrrr_dask.config.settings import Selection
from hrrr_dask.grid.point_columns import PointColumn
from hrrr_dask.outcomes import NEVER, NOT_INGESTED, OUTCOMES
from hrrr_dask.quality.flags import SINGLE_VARIABLE_FLAGS
from hrrr_dask.store.settings_attribute import SETTINGS, encode_settings
from hrrr_dask.store.spec import StoreSpec, settings_of

__all__ = ["ROOT_KEY", "build_template"]

ROOT_KEY: Final = "zarr.json"
"""Key of the root document, which has the consolidated metadata and is written last."""

AXIS_YEARS: Final = 40
"""Years from the start that the init_time chunk holds, so that growing never rewrites it [a]."""

VALID_TIME_DAYS: Final = 366
"""Days of init times in one chunk of valid_time [d]."""

_DIMS: Final = ("init_time", "lead_time", "point")
_SINCE: Final = "since 1970-01-01 00:00:00"
_MISSING_INTEGER: Final = -(2**63)
_MISSING_BOOLEAN: Final = -1


def _coordinates(spec: StoreSpec) -> str:
    """Return the names of the coordinates of each variable."""
    surface = "" if spec.surface is None else "cell_elevation cell_is_land "
    return (
        "valid_time point_id name latitude longitude cell_latitude cell_longitude cell_y cell_x cell_distance "
        f"cell_projection_y cell_projection_x {surface}{''.join(f'{name} ' for name in spec.points.columns)}"
        "status quality available_at"
    )


def build_template(spec: StoreSpec) -> dict[str, bytes]:
    """Make every metadata document and coordinate chunk of a store.

    Parameters
    ----------
    spec : StoreSpec
        Specification of the store.

    Returns
    -------
    dict of str to bytes
        Key to object, in the order in which they must be written: the root document last.
    """
    objects: dict[str, Buffer] = {}
    group = zarr.create_group(MemoryStore(objects), zarr_format=3, attributes=_group_attributes(spec))
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


def _group_attributes(spec: StoreSpec) -> dict[str, Any]:
    return {
        "Conventions": "CF-1.11",
        "title": f"HRRR forecasts at {len(spec.points)} points",
        "institution": "NOAA/NCEP; extracted with hrrr_dask",
        "source": f"NOAA HRRR, {spec.selection.domain}, wrf{spec.selection.product} files",
        "references": "https://registry.opendata.aws/noaa-hrrr-pds",
        "history": f"made by hrrr_dask {spec.package_version}; its ledger says what was read when",
        "featureType": "timeSeries",
        "coordinates": "crs",  # for xarray: the grid mapping is not a data variable
        SETTINGS: encode_settings(settings_of(spec)),
    }


def _lead_time_unit(selection: Selection) -> tuple[str, int]:
    """Return the unit of ``lead_time`` in a store, and its length [min]: hours if all lead times are whole hours."""
    return ("minutes", 1) if any(lead % 60 for lead in selection.lead_minutes) else ("hours", 60)


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
            "units": f"hours {_SINCE}",
            "calendar": "proleptic_gregorian",
            "units_metadata": "leap_seconds: none",
            "axis": "T",
        },
    )
    unit, minutes = _lead_time_unit(spec.selection)
    leads = np.asarray(spec.selection.lead_minutes, dtype=np.int64) // minutes
    _add(
        group,
        "lead_time",
        ("lead_time",),
        leads,
        {
            "standard_name": "forecast_period",
            "long_name": "time since the start of the run",
            "units": unit,
            "dtype": "timedelta64[ns]",
        },
    )
    chunk = VALID_TIME_DAYS * len(cycles)
    n_chunks = -(-spec.n_init // chunk)
    _add(
        group,
        "valid_time",
        ("init_time", "lead_time"),
        hours(VALID_TIME_DAYS * n_chunks)[:, None] * (60 // minutes) + leads,
        {
            "standard_name": "time",
            "long_name": "valid time",
            "units": f"{unit} {_SINCE}",
            "calendar": "proleptic_gregorian",
            "units_metadata": "leap_seconds: none",
        },
        chunks=(chunk, len(leads)),
    )


def _add_points(group: zarr.Group, spec: StoreSpec) -> None:
    points, cells = spec.points, spec.cells
    x, y = spec.grid.xy(cells.y, cells.x)
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
        ("cell_projection_y", y, _on_the_map("y")),
        ("cell_projection_x", x, _on_the_map("x")),
        ("cell_distance", cells.distance, {"long_name": "distance to the nearest grid cell's centre", "units": "m"}),
        *_surface(spec),
        *((name, *_encode_column(column)) for name, column in points.columns.items()),
    ]
    for name, values, attributes in columns:  # chunks have room, so that adding points does not disturb readers
        _add(group, name, ("point",), values, attributes, chunks=(spec.layout.shard_points,))
    crs = group.create_array(
        "crs",
        shape=(),
        dtype="int32",
        fill_value=0,
        attributes={"long_name": "map of the model's grid", **spec.grid.cf_attributes()},
    )
    crs[...] = 0


def _surface(spec: StoreSpec) -> list[tuple[str, NDArray[Any], dict[str, Any]]]:
    if spec.surface is None:
        return []
    elevation = {"standard_name": "surface_altitude", "long_name": "elevation of the nearest grid cell", "units": "m"}
    is_land = {
        "standard_name": "land_binary_mask",
        "long_name": "whether the nearest grid cell is land",
        "units": "1",
        "comment": "1 for land, 0 for water, NaN if it is unknown",
    }
    return [("cell_elevation", spec.surface.elevation, elevation), ("cell_is_land", spec.surface.is_land, is_land)]


def _encode_column(column: PointColumn) -> tuple[NDArray[Any], dict[str, Any]]:
    """Encode a column, and return its attributes.

    The type in the store stays when values are missing later, so that readers with older metadata read the same values.
    """
    attributes: dict[str, Any] = {"long_name": column.title}
    if column.kind in ("string", "float64"):
        return column.to_array(), attributes
    missing, dtype = (_MISSING_BOOLEAN, np.int8) if column.kind == "bool" else (_MISSING_INTEGER, np.int64)
    if column.has_missing:
        attributes["_FillValue"] = missing
    elif column.kind == "bool":
        attributes["dtype"] = "bool"  # read by xarray
    return np.array([missing if value is None else value for value in column.values], dtype=dtype), attributes


def _on_the_map(axis: str) -> dict[str, Any]:
    return {
        "standard_name": f"projection_{axis}_coordinate",
        "long_name": f"{axis} of the nearest grid cell's centre, on the map of crs",
        "units": "m",
    }


def _add_status(group: zarr.Group, spec: StoreSpec) -> None:
    status: dict[str, Any] = {
        "long_name": "what came of the file",
        "standard_name": "status_flag",
        "units": "1",
        "flag_values": [outcome.number for outcome in OUTCOMES.values()],
        "flag_meanings": " ".join(outcome.name for outcome in OUTCOMES.values()),
        "comment": "the gravest of its variables; each variable's own is in the ledger",
    }
    available_at: dict[str, Any] = {
        "long_name": "since when the archive has had the object that the values came from",
        "units": "seconds since 1970-01-01 00:00:00",
        "calendar": "proleptic_gregorian",
        "units_metadata": "leap_seconds: none",
        "_FillValue": NEVER,
        "comment": "its Last-Modified; a forecast was not known before",
    }
    quality: dict[str, Any] = {
        "long_name": "what is physically out of place among the values of the file",
        "standard_name": "quality_flag",
        "units": "1",
        "flag_masks": [flag.mask for flag in SINGLE_VARIABLE_FLAGS],
        "flag_meanings": " ".join(flag.name for flag in SINGLE_VARIABLE_FLAGS),
        "comment": "of any variable at any point, each looked at alone; hrrr-dask quality says which, and compares",
    }
    shape = (spec.n_init, len(spec.selection.lead_minutes))
    for name, dtype, fill, attributes in (
        ("status", np.dtype(np.uint8), NOT_INGESTED, status),
        ("quality", np.dtype(np.uint16), 0, quality),
        ("available_at", np.dtype(np.int64), NEVER, available_at),
    ):
        group.create_array(
            name,
            shape=shape,
            chunks=(spec.span, shape[1]),
            dtype=dtype,
            fill_value=fill,
            compressors=_codecs(dtype.itemsize),
            dimension_names=_DIMS[:2],
            attributes=attributes,
        )


def _add_variable(group: zarr.Group, spec: StoreSpec, variable: Variable) -> None:
    layout, n_leads = spec.layout, len(spec.selection.lead_minutes)
    discipline, category, number = variable.numbers
    attributes: dict[str, Any] = {
        "long_name": variable.long_name,
        "units": variable.units,
        "coordinates": _coordinates(spec),
        "grid_mapping": "crs",
        "hrrr_selector": str(variable.selector),
        "grib2_discipline": discipline,
        "grib2_category": category,
        "grib2_number": number,
    }
    optional = {"standard_name": variable.standard_name, "cell_methods": variable.cell_methods}
    attributes |= {key: value for key, value in optional.items() if value}
    if variable.units == "K":
        attributes["units_metadata"] = "temperature: on_scale"
    if find_companion(variable.selector):
        attributes["comment"] = "earth-relative: turned from the model grid's axes to east and north"
    group.create_array(
        variable.name,
        shape=(spec.n_init, n_leads, len(spec.points)),
        chunks=(spec.span, n_leads, layout.chunk_points),
        shards=(spec.span, n_leads, layout.shard_points),
        dtype="float32",
        fill_value=np.nan,
        compressors=_codecs(4),
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
        compressors=(ZstdCodec(), Crc32cCodec()) if text else _codecs(values.dtype.itemsize),
        dimension_names=dims,
        attributes=attributes,
    )
    array[...] = values


def _codecs(itemsize: int) -> tuple[BloscCodec, Crc32cCodec]:
    """Return the codecs of a chunk: each has a checksum, so that readers notice a flipped bit."""
    return BloscCodec(typesize=itemsize, cname="zstd", clevel=3, shuffle="shuffle"), Crc32cCodec()


def _shorten(documents: dict[str, bytes], name: str, length: int) -> None:
    """Shorten an array to the length of the axis; its last chunk keeps the values beyond."""
    document = json.loads(documents[f"{name}/zarr.json"])
    document["shape"][0] = length
    documents[f"{name}/zarr.json"] = json.dumps(document, indent=2).encode()
