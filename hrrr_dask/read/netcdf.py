"""Writes a store, or a part of it, as one CF-netCDF file."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hrrr_dask.errors import ConfigError
from hrrr_dask.outcomes import NEVER

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["to_netcdf"]

_TIMES: Final = ("init_time", "valid_time", "lead_time", "available_at")
_SINCE: Final = "since 1970-01-01 00:00:00"


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
    for name in ready.coords:
        ready.variables[name].load()  # the units of times depend on them, the length of strings too
    for variable in ready.variables.values():
        variable.encoding.clear()  # chunks and codecs of Zarr do not apply
        for flags in {"flag_values", "flag_masks"} & set(variable.attrs):  # CF 1.11, 3.5: flags have its type
            variable.attrs[flags] = np.array(variable.attrs[flags], dtype=variable.dtype)
    if "hrrr_dask" in ready.attrs:
        ready.attrs["hrrr_dask"] = json.dumps(ready.attrs["hrrr_dask"])
    try:
        ready.to_netcdf(path, encoding={name: _encoding(ready, name) for name in _TIMES if name in ready.variables})
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
