"""Writes a store, or a part of it, as one CF-netCDF file."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from hrrr_dask.errors import ConfigError
from hrrr_dask.outcomes import NEVER

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["to_netcdf"]


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
    """
    ready = ds.copy()
    if "point_id" in ready.xindexes:
        ready = ready.drop_indexes("point_id")
    for variable in ready.variables.values():
        variable.encoding.clear()  # chunks and codecs of Zarr do not apply
        for flags in {"flag_values", "flag_masks"} & set(variable.attrs):  # CF 1.11, 3.5: flags have its type
            variable.attrs[flags] = np.array(variable.attrs[flags], dtype=variable.dtype)
    if "hrrr_dask" in ready.attrs:
        ready.attrs["hrrr_dask"] = json.dumps(ready.attrs["hrrr_dask"])
    hours: dict[str, Any] = {
        "units": "hours since 1970-01-01 00:00:00",
        "calendar": "proleptic_gregorian",
        "dtype": "int64",
    }
    wanted: dict[str, dict[str, Any]] = {
        "init_time": hours,
        "valid_time": hours,
        "lead_time": {"units": "hours", "dtype": "int64"},
        "available_at": {**hours, "units": "seconds since 1970-01-01 00:00:00", "_FillValue": NEVER},
    }
    encoding = {name: how for name, how in wanted.items() if name in ready.variables}
    try:
        ready.to_netcdf(path, encoding=encoding)
    except ValueError as error:
        if "netcdf" in str(error).lower() and "install" in str(error).lower():
            raise ConfigError("no library that writes netCDF is installed: pip install 'hrrr-dask[netcdf]'") from error
        raise
