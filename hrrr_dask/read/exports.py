"""Writes a dataset as a CF-netCDF file, or as a tidy pandas table."""

from __future__ import annotations

import difflib
import os
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
import xarray as xr

from hrrr_dask.errors import ConfigError, UsageError
from hrrr_dask.outcomes import NEVER
from hrrr_dask.read.places import at_points
from hrrr_dask.store.settings_attribute import SETTINGS, encode_settings

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["to_frame", "to_netcdf"]

_CF_TIMES: Final = ("init_time", "valid_time", "lead_time", "available_at")
_SINCE: Final = "since 1970-01-01 00:00:00"
_TIMES: Final = ("valid_time", "init_time", "lead_time")
_HOUR: Final = np.timedelta64(1, "h")


def to_frame(
    ds: xr.Dataset,
    point: str | Sequence[str] | None = None,
    variables: str | Sequence[str] | None = None,
    *,
    dropna: bool = True,
) -> pd.DataFrame:
    """Make a tidy table, with one row for each forecast and point; reads the values.

    Parameters
    ----------
    ds : xarray.Dataset
        Any dims: the dataset of a store, or what a method of ``ds.hrrr`` returns.
    point : str, sequence of str, or None
        A ``point_id`` or several; None for all.
    variables : str, sequence of str, or None
        Names of variables, also of coordinates such as ``status``; None for all data variables.
    dropna : bool
        Leave out rows without any value: forecasts that do not exist, or that the archive or the store does not have.
        False keeps them, with NaN.

    Returns
    -------
    pandas.DataFrame
        Columns ``valid_time``, ``init_time`` (UTC), ``lead_hours`` [h], other dims such as ``member``, ``point_id``,
        and the variables; rows in the order of the dataset, the point changing fastest. ``lead_hours`` are integers;
        they are floats if there are quarter hours, or rows without a forecast. Times that the dataset does not have
        are left out. ``frame.attrs["units"]`` has the unit of each column. Only the selected variables at the selected
        points are read.

    Raises
    ------
    PointsError
        If a point is not in the dataset.
    UsageError
        If a variable is not in the dataset, or there is none.

    Examples
    --------
    >>> table = ds.hrrr.to_frame(point="roscoe", variables=["temperature_2m"])
    >>> table.head(3)
               valid_time  init_time  lead_hours point_id  temperature_2m
    0 2024-07-01 00:00:00 2024-07-01           0   roscoe        285.6250
    1 2024-07-01 06:00:00 2024-07-01           6   roscoe        285.5625
    2 2024-07-01 12:00:00 2024-07-01          12   roscoe        287.0625
    >>> table.attrs["units"]
    {'lead_hours': 'h', 'temperature_2m': 'K'}
    """
    names = _find_variables(ds, variables)
    if point is not None:
        ds = at_points(ds, point)
    times = {name: ds.coords[name].variable for name in ("init_time", "lead_time") if name in ds.coords}
    if "valid_time" in ds.dims or len(times) < 2:
        times |= {"valid_time": ds.coords["valid_time"].variable} if "valid_time" in ds.coords else {}
    else:
        times["valid_time"] = times["init_time"] + times["lead_time"]  # the stored one would be read
    # Loaded as one dataset, so that Dask reads what several variables share once.
    values = xr.Dataset({f"value {k}": ds.variables[name] for k, name in enumerate(names)}).compute()
    sizes = _sizes(values.sizes, times)
    titles = {"valid_time": "valid_time", "init_time": "init_time", "lead_time": "lead_hours"}
    columns: dict[str, NDArray[Any]] = {
        titles[name]: _spread(times[name], sizes)
        for name in _TIMES
        if name in times and {*times[name].dims} <= {*sizes}
    }
    for dim in sizes:
        if dim not in (*_TIMES, "point"):
            columns[str(dim)] = _spread(xr.Variable((dim,), ds[dim].values), sizes)
    if "point_id" in ds.coords:
        columns["point_id"] = _spread(ds.coords["point_id"].variable, sizes)
    elif "point" in sizes:
        columns["point"] = _spread(xr.Variable(("point",), ds["point"].values), sizes)
    found = {str(name): _spread(values.variables[f"value {k}"], sizes) for k, name in enumerate(names)}
    frame = pd.DataFrame(columns | found)
    if dropna:
        valued = [str(name) for name in names if name in ds.data_vars] or list(found)
        frame = frame.dropna(subset=valued, how="all").reset_index(drop=True)
    if "lead_hours" in frame:
        frame["lead_hours"] = _hours(frame["lead_hours"].to_numpy())
    units = {str(name): ds[name].attrs["units"] for name in names if "units" in ds[name].attrs}
    frame.attrs["units"] = ({"lead_hours": "h"} if "lead_hours" in frame else {}) | units
    return frame


def _find_variables(ds: xr.Dataset, variables: str | Sequence[str] | None) -> list[Hashable]:
    names: list[Hashable] = [*ds.data_vars] if variables is None else [*np.atleast_1d(np.asarray(variables))]
    for name in names:
        if name not in ds.variables:
            known = [str(each) for each in ds.data_vars]
            near = difflib.get_close_matches(str(name), known, n=3, cutoff=0.5) or known
            raise UsageError(f"variable {str(name)!r} is not in this dataset: give one such as {', '.join(near)}")
    if not names:
        raise UsageError("a table needs variables, and this dataset has none: keep some, or name them")
    return names


def _sizes(sizes: Any, times: dict[str, xr.Variable]) -> dict[Hashable, int]:
    """Sizes of the rows' dims: those of times first, points last."""
    found = {dim: size for variable in times.values() for dim, size in variable.sizes.items()}
    found = {dim: size for dim, size in found.items() if dim in sizes} | dict(sizes)
    return {dim: found[dim] for dim in sorted(found, key=lambda dim: dim == "point")}


def _spread(variable: xr.Variable, sizes: dict[Hashable, int]) -> NDArray[Any]:
    """Repeat values along the other dims; dims (row,)."""
    return np.asarray(variable.set_dims(sizes).values).reshape(-1)  # type: ignore[no-untyped-call]


def _hours(lengths: NDArray[np.timedelta64]) -> NDArray[np.int64] | NDArray[np.float64]:
    missing = bool(np.isnat(lengths).any())
    hours = lengths / _HOUR
    return hours if missing or bool((hours % 1).any()) else hours.astype(np.int64)


def to_netcdf(ds: xr.Dataset, path: str | os.PathLike[str]) -> None:
    """Write a dataset to a netCDF file that follows CF 1.11; reads its values.

    Parameters
    ----------
    ds : xarray.Dataset
        Dataset of :func:`hrrr_dask.open_dataset`, whole or a selection.
    path : str or path
        The file; replaced if it exists.

    Raises
    ------
    ConfigError
        If no library that writes netCDF is installed.

    Examples
    --------
    >>> ds.sel(point_id=["roscoe"]).hrrr.to_netcdf("roscoe.nc")
    >>> xr.open_dataset("roscoe.nc").sizes["point"]
    1
    """
    ready = ds.copy()
    if "point_id" in ready.xindexes:
        ready = ready.drop_indexes("point_id")
    for name in ready.coords:
        ready.variables[name].load()  # the units of times depend on them, the length of strings too
    for variable in ready.variables.values():
        variable.encoding.clear()  # chunks and codecs of Zarr do not apply
        for flags in {"flag_values", "flag_masks"} & set(variable.attrs):  # CF 1.11, 3.5: flags have its type
            variable.attrs[flags] = np.array(variable.attrs[flags], dtype=variable.dtype)
    if isinstance(ready.attrs.get(SETTINGS), dict):  # xarray.open_zarr of a store from before
        ready.attrs[SETTINGS] = encode_settings(ready.attrs[SETTINGS])
    try:
        ready.to_netcdf(path, encoding={name: _encoding(ready, name) for name in _CF_TIMES if name in ready.variables})
    except ValueError as error:
        if "netcdf" in str(error).lower() and "install" in str(error).lower():
            raise ConfigError("no library that writes netCDF is installed: pip install 'hrrr-dask[netcdf]'") from error
        raise


def _encoding(ds: xr.Dataset, name: str) -> dict[str, Any]:
    """Encode times as whole hours if they are, else as minutes; times of publication as seconds."""
    if name == "available_at":
        return {"units": f"seconds {_SINCE}", "dtype": "int64", "calendar": "proleptic_gregorian", "_FillValue": NEVER}
    known = ds[name].values[~np.isnat(ds[name].values)]
    units = "hours" if np.array_equal(known.astype(f"{known.dtype.kind}8[h]"), known) else "minutes"
    if name == "lead_time":
        return {"units": units, "dtype": "int64"}
    return {"units": f"{units} {_SINCE}", "dtype": "int64", "calendar": "proleptic_gregorian"}
