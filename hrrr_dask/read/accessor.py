"""The accessor ``ds.hrrr``. Importing this module registers it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import date

import numpy as np
import xarray as xr

from hrrr_dask.read.forecasts import best_estimate, by_valid_time, fixed_lead, latest
from hrrr_dask.read.netcdf import to_netcdf
from hrrr_dask.read.times import Duration

__all__ = ["HrrrAccessor", "best_estimate", "by_valid_time", "fixed_lead", "latest"]


@xr.register_dataset_accessor("hrrr")  # type: ignore[no-untyped-call]
class HrrrAccessor:
    """Functions of this package as methods of a dataset: ``ds.hrrr.fixed_lead(24)``."""

    def __init__(self, ds: xr.Dataset) -> None:
        self._ds = ds

    def fixed_lead(self, hours: Duration = 24) -> xr.Dataset:
        """One lead time of every run: :func:`fixed_lead`."""
        return fixed_lead(self._ds, hours)

    def by_valid_time(self, point: str | Sequence[str] | None = None) -> xr.Dataset:
        """Every forecast made for a time: :func:`by_valid_time`."""
        return by_valid_time(self._ds, point)

    def latest(self, as_of: str | date | np.datetime64) -> xr.Dataset:
        """The newest forecast published at a moment: :func:`latest`."""
        return latest(self._ds, as_of)

    def best_estimate(self) -> xr.Dataset:
        """The forecast of shortest lead time: :func:`best_estimate`."""
        return best_estimate(self._ds)

    def to_netcdf(self, path: str | os.PathLike[str]) -> None:
        """Write a CF-netCDF file: :func:`hrrr_dask.read.netcdf.to_netcdf`."""
        to_netcdf(self._ds, path)
